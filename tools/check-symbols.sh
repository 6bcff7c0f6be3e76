#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check-symbols.sh BUILDDIR - what each shared library exports is what its map lists, and that
# is what its public headers declare.

set -u
export LC_ALL=C

if [ $# -ne 1 ] || [ ! -e "$1/libhvo.so" ]; then
	echo "usage: ${0##*/} BUILDDIR" >&2
	exit 2
fi
build=$(cd "$1" && pwd) || exit 1
cd "$(dirname "$0")/.." || exit 1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
rc=0

# compare LIBRARY MAP HEADER...
compare()
{
	local library=$1 map=$2 header

	shift 2
	nm -D --defined-only "$build/$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
		sort >"$dir/exported"
	grep -oE '\bhvo_[a-z0-9_]+;' "$map" | tr -d ';' | sort >"$dir/listed"
	for header in "$@"; do
		echo "#include <${header#include/}>"
	done >"$dir/all.c"
	gcc -Iinclude -std=c11 -fsyntax-only -aux-info "$dir/protos" "$dir/all.c" || exit 1
	{
		for header in "$@"; do
			grep "^/\* $header:" "$dir/protos"
		done | grep ' extern ' | grep -oE '\bhvo_[a-z0-9_]+ \(' | tr -d ' ('
		sed -nE 's/^extern const struct [a-z_]+ (hvo_[a-z0-9_]+);.*/\1/p' "$@"
	} | sort -u >"$dir/declared"

	if [ ! -s "$dir/exported" ] || [ ! -s "$dir/declared" ]; then
		echo "$library: no symbols at all"
		rc=1
	fi
	diff -u --label "$library" --label "$map" "$dir/exported" "$dir/listed" || rc=1
	diff -u --label "declared in $*" --label "$map" "$dir/declared" "$dir/listed" || rc=1
}

headers=()
for header in include/hvo/*.h; do
	[ "$header" = include/hvo/client.h ] || headers+=("$header")
done
compare libhvo.so src/libhvo.map "${headers[@]}"
compare libhvo-client.so src/client/libhvo-client.map include/hvo/client.h
exit $rc
