#!/bin/sh
# Installs what is missing, and nothing else: setup.sh build | lint | tests | fuzz. Works as root or with sudo; quick when
# all is there. tests: also a virtual environment, .venv-tests, with the Triton interpreter that kernels are compared with.
set -eu
cd "$(dirname "$0")/.."
packages="gcc libc6-dev meson ninja-build pkg-config python3 llvm-19-dev libjansson-dev libcmocka-dev"
case "${1:-build}" in
lint) packages="python3 git clang-format-19 clang-tidy-19 libomp-19-dev" ;;
tests) packages="python3 python3-venv" ;;
fuzz) packages="clang-19 libclang-rt-19-dev libomp-19-dev meson ninja-build pkg-config python3 llvm-19-dev libjansson-dev libcmocka-dev" ;;
esac
missing=""
for p in $packages; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing="$missing $p"
done
if [ -n "$missing" ]; then
    as_root=""
    [ "$(id -u)" = 0 ] || as_root=sudo
    echo "setup: installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    $as_root apt-get update -qq >/dev/null
    # shellcheck disable=SC2086
    $as_root apt-get install -yqq --no-install-recommends $missing >/dev/null
fi
[ "${1:-build}" = tests ] || exit 0
if ! .venv-tests/bin/python -c 'import torch, triton, numpy; assert torch.__version__.startswith("2.13.0")' 2>/dev/null; then
    echo "setup: PyTorch 2.13.0 (CPU) and Triton into .venv-tests"
    python3 -m venv .venv-tests
    .venv-tests/bin/python -m pip install -qq torch==2.13.0 triton numpy
fi
