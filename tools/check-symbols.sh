#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check-symbols.sh BUILDDIR - what the shared library exports is what src/libhvo.map lists,
# and that is what the public headers declare.

set -u
export LC_ALL=C

if [ $# -ne 1 ] || [ ! -e "$1/libhvo.so" ]; then
	echo "usage: ${0##*/} BUILDDIR" >&2
	exit 2
fi
library=$(realpath "$1/libhvo.so") || exit 1
cd "$(dirname "$0")/.." || exit 1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

# Versions have no '_' in front of a lower-case letter: they are not taken for functions.
nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort >"$dir/exported"
grep -oE '\bhvo_[a-z0-9_]+;' src/libhvo.map | tr -d ';' | sort >"$dir/listed"

for header in include/hvo/*.h; do
	echo "#include <${header#include/}>"
done >"$dir/all.c"
gcc -Iinclude -std=c11 -fsyntax-only -aux-info "$dir/protos" "$dir/all.c" || exit 1
{
	grep '^/\* include/hvo/' "$dir/protos" | grep ' extern ' | grep -oE '\bhvo_[a-z0-9_]+ \(' | tr -d ' ('
	sed -nE 's/^extern const struct [a-z_]+ (hvo_[a-z0-9_]+);.*/\1/p' include/hvo/*.h
} | sort -u >"$dir/declared"

rc=0
if [ ! -s "$dir/exported" ] || [ ! -s "$dir/declared" ]; then
	echo "no symbols at all"
	rc=1
fi
diff -u --label exported --label src/libhvo.map "$dir/exported" "$dir/listed" || rc=1
diff -u --label 'declared in include/hvo' --label src/libhvo.map "$dir/declared" "$dir/listed" || rc=1
exit $rc
