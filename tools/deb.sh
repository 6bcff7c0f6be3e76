#!/bin/bash
# SPDX-License-Identifier: MIT
#
# deb.sh [DIR] - build Debian packages from this tree, in a copy of it, into DIR (default: build/deb).
# Needs debhelper and what debian/control names.

set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-$top/build/deb}
mkdir -p "$out"
out=$(cd "$out" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

mkdir "$dir/libhvo"
tar -C "$top" --exclude='./build*' --exclude=./.git -cf - . | tar -C "$dir/libhvo" -xf -
cd "$dir/libhvo"
dpkg-buildpackage -us -uc -b
mv "$dir"/*.deb "$out"
echo "packages are in $out:"
ls "$out"
