#!/bin/sh
# Installs what is missing, and nothing else: setup.sh build | lint. Works as root or with sudo; quick when all is there.
set -eu
packages="gcc libc6-dev meson ninja-build pkg-config python3 llvm-19-dev libjansson-dev libcmocka-dev"
[ "${1:-build}" = lint ] && packages="python3 git clang-format-19"
missing=""
for p in $packages; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing="$missing $p"
done
[ -z "$missing" ] && exit 0
as_root=""
[ "$(id -u)" = 0 ] || as_root=sudo
echo "setup: installing$missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq >/dev/null
# shellcheck disable=SC2086
$as_root apt-get install -yqq --no-install-recommends $missing >/dev/null
