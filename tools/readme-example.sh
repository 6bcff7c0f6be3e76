#!/bin/bash
# SPDX-License-Identifier: MIT
#
# readme-example.sh BUILDDIR - compile the first C program of README.md against the library
# in BUILDDIR, as a user would with pkg-config, and run it: it must succeed and say something.

set -u

if [ $# -ne 1 ] || [ ! -d "$1" ]; then
	echo "usage: ${0##*/} BUILDDIR" >&2
	exit 2
fi
build=$(cd "$1" && pwd) || exit 1
top=$(cd "$(dirname "$0")/.." && pwd) || exit 1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

awk '/^```c[ \t]*$/ { on = 1; next } on && /^```/ { exit } on' "$top/README.md" >"$dir/example.c" ||
	exit 1
if [ ! -s "$dir/example.c" ]; then
	echo "README.md has no \`\`\`c block"
	exit 1
fi

flags=$(PKG_CONFIG_PATH=$build/meson-uninstalled pkg-config --cflags --libs libhvo) || exit 1
# shellcheck disable=SC2086 # flags are words
"${CC:-gcc}" -std=c11 -Wall -Wextra -Werror "$dir/example.c" -o "$dir/example" $flags || exit 1

LD_LIBRARY_PATH=$build timeout 60 "$dir/example" >"$dir/output"
rc=$?
cat "$dir/output"
if [ $rc -ne 0 ]; then
	echo "the example ended with status $rc"
	exit 1
fi
if [ ! -s "$dir/output" ]; then
	echo "the example printed nothing"
	exit 1
fi
