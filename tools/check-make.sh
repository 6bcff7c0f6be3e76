#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check-make.sh - what make is told holds whenever it is told, and each thing that it makes asks
# for all that it needs.

set -u

cd "$(dirname "$0")/.." || exit 1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
unset PREFIX CC CFLAGS CPPFLAGS LDFLAGS MAKEFLAGS MAKELEVEL
rc=0

wrong()
{
	echo "$1"
	rc=1
}

# ---- PREFIX and CC ---------------------------------------------------------------

info()
{
	python3 - "$dir/build" <<'PY'
import json, sys
options = json.load(open(sys.argv[1] + '/meson-info/intro-buildoptions.json'))
prefix = [o['value'] for o in options if o['name'] == 'prefix'][0]
commands = json.load(open(sys.argv[1] + '/compile_commands.json'))
print(prefix, commands[0]['command'].split()[0])
PY
}

# told WANTED VARIABLE=VALUE...: then that holds
told()
{
	local wanted=$1 is

	shift
	env "$@" tools/configure.sh "$dir/build" >"$dir/log" 2>&1 || wrong "configure.sh $*: $(cat "$dir/log")"
	is=$(info)
	[ "$is" = "$wanted" ] || wrong "configure.sh $*: '$is', not '$wanted'"
}

told "/usr/local gcc" CC=gcc
told "/opt/hvo gcc" PREFIX=/opt/hvo
told "/opt/hvo gcc"
told "/opt/hvo clang" CC=clang
told "/usr clang" PREFIX=/usr

for target in all tour lab install; do
	make -n "$target" | grep -q 'tools/configure.sh build' || wrong "make $target: is it configured?"
done

# ---- packages ----------------------------------------------------------------------

# Where nothing is there but a shell, everything is missing.
mkdir "$dir/bin"
for tool in bash env dirname; do
	ln -s "$(command -v "$tool")" "$dir/bin/$tool"
done

# wants TARGET MODE PACKAGE...: make TARGET asks for these
wants()
{
	local target=$1 mode=$2 missing package

	shift 2
	make -n "$target" | grep -q "tools/install-deps.sh $mode" ||
		wrong "make $target: does it look for what it needs?"
	missing=$(PATH=$dir/bin tools/install-deps.sh "$mode" 2>/dev/null | sed -n 's/^missing: //p')
	for package; do
		case " $missing " in
		*" $package "*) ;;
		*) wrong "make $target: $package is not asked for, but: $missing" ;;
		esac
	done
}

build='gcc libc6-dev meson ninja-build pkg-config liburcu-dev scdoc'
# shellcheck disable=SC2046,SC2086 # words
{
	wants all build $build
	wants tour build $build
	wants install build $build
	wants lab lab $build gnuplot-nox
	wants check check $build clang libcmocka-dev
	wants coverage coverage $build libcmocka-dev gcovr
	wants format format clang-format
	wants mutants mutants $build python3 libcmocka-dev
	wants deb deb $build dpkg-dev build-essential $(sed -n '/^Build-Depends:/,/^[A-Z].*:/p' debian/control |
		sed -e 's/^Build-Depends://' -e '/^[A-Z]/d' -e 's/(.*//' -e 's/[, ]//g' -e 's/-compat$//')
}
exit $rc
