#!/bin/sh
# A virtual environment of its own for the peers of the benchmarks: .venv-peers, made once.
set -eu
cd "$(dirname "$0")/.."
if .venv-peers/bin/python -c 'import torch, numpy, safetensors; assert torch.__version__.startswith("2.13.0")' 2>/dev/null; then exit 0; fi
missing=""
for p in python3-venv python3-dev g++; do # torch.compile runs a C++ compiler
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing="$missing $p"
done
if [ -n "$missing" ]; then
    echo "setup: installing$missing"
    as_root=""
    [ "$(id -u)" = 0 ] || as_root=sudo
    export DEBIAN_FRONTEND=noninteractive
    $as_root apt-get update -qq >/dev/null
    # shellcheck disable=SC2086
    $as_root apt-get install -yqq --no-install-recommends $missing >/dev/null
fi
echo "setup: PyTorch 2.13.0 (CPU) into .venv-peers"
python3 -m venv .venv-peers
.venv-peers/bin/python -m pip install -q torch==2.13.0 numpy safetensors
