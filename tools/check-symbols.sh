#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check-symbols.sh BUILDDIR - what each shared library exports is what its map lists, and that
# is what the public headers declare.

set -u
export LC_ALL=C

if [ $# -ne 1 ] || [ ! -e "$1/libhvo.so" ] || [ ! -e "$1/libhvo-client.so" ]; then
	echo "usage: ${0##*/} BUILDDIR" >&2
	exit 2
fi
build=$(realpath "$1") || exit 1
cd "$(dirname "$0")/.." || exit 1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

for header in include/hvo/*.h; do
	echo "#include <${header#include/}>"
done >"$dir/all.c"
gcc -Iinclude -std=c11 -fsyntax-only -aux-info "$dir/protos" "$dir/all.c" || exit 1
{
	grep '^/\* include/hvo/' "$dir/protos" | grep ' extern ' | grep -oE '\bhvo_[a-z0-9_]+ \(' | tr -d ' ('
	sed -nE 's/^extern const struct [a-z_]+ (hvo_[a-z0-9_]+);.*/\1/p' include/hvo/*.h
} | sort -u >"$dir/all"

rc=0

# compare LIBRARY MAP: with what is in $dir/declared
compare()
{
	# Versions have no '_' in front of a lower-case letter: they are not taken for functions.
	nm -D --defined-only "$build/$1" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort >"$dir/exported"
	grep -oE '\bhvo_[a-z0-9_]+;' "$2" | tr -d ';' | sort >"$dir/listed"
	if [ ! -s "$dir/exported" ] || [ ! -s "$dir/declared" ]; then
		echo "$1: no symbols at all"
		rc=1
	fi
	diff -u --label exported --label "$2" "$dir/exported" "$dir/listed" || rc=1
	diff -u --label 'declared in include/hvo' --label "$2" "$dir/declared" "$dir/listed" || rc=1
}

grep -v '^hvo_client_' "$dir/all" >"$dir/declared"
compare libhvo.so src/libhvo.map
grep '^hvo_client_' "$dir/all" >"$dir/declared"
compare libhvo-client.so src/client/libhvo-client.map
exit $rc
