#!/bin/bash
# SPDX-License-Identifier: MIT
#
# configure.sh DIR - make DIR ready for ninja. PREFIX, and the compiler and its flags (CC, CFLAGS,
# CPPFLAGS, LDFLAGS), come from the environment at any time: what is said now holds, what is not
# said stays as it was. So no later make is of other opinion than the build that it finds.

set -eu

if [ $# -ne 1 ]; then
	echo "usage: ${0##*/} DIR" >&2
	exit 2
fi
dir=$1
cd "$(dirname "$0")/.."

# Of the compiler: what was said, in one line; empty: nothing.
said=''
for name in CC CFLAGS CPPFLAGS LDFLAGS; do
	[ -z "${!name-}" ] || said+="$name=${!name} "
done

quiet() # COMMAND...: its output only if it fails
{
	"$@" >"$dir/setup.txt" 2>&1 || { cat "$dir/setup.txt"; exit 1; }
}

prefix_of()
{
	python3 -c 'import json, sys
for option in json.load(open(sys.argv[1])):
    if option["name"] == "prefix":
        print(option["value"])' "$1/meson-info/intro-buildoptions.json"
}

mkdir -p "$dir"
if [ ! -f "$dir/build.ninja" ]; then
	quiet meson setup -Dtests=disabled --prefix="${PREFIX:-/usr/local}" "$dir"
	echo "$said" >"$dir/said.txt"
	exit 0
fi
if [ -n "$said" ] && [ "$said" != "$(cat "$dir/said.txt" 2>/dev/null || true)" ]; then
	echo "$dir: from the beginning, with $said"
	prefix=${PREFIX:-$(prefix_of "$dir")}
	rm -rf "$dir"
	mkdir -p "$dir"
	quiet meson setup -Dtests=disabled --prefix="$prefix" "$dir"
	echo "$said" >"$dir/said.txt"
	exit 0
fi
if [ -n "${PREFIX-}" ] && [ "$PREFIX" != "$(prefix_of "$dir")" ]; then
	quiet meson configure "$dir" --prefix="$PREFIX"
fi
