#!/bin/bash
# SPDX-License-Identifier: MIT
#
# install-deps.sh [build|lab|format|deb|check|mutants|fuzz|coverage] - install what building needs (or
# what else make does) and this host lacks, with apt-get. Says nothing where nothing is missing.

set -u

want=${1:-build}
case $want in
build | lab | format | deb | check | mutants | fuzz | coverage) ;;
*)
	echo "usage: ${0##*/} [build|lab|format|deb|check|mutants|fuzz|coverage]" >&2
	exit 2
	;;
esac

missing=()

# need PACKAGE COMMAND...: the package is missing unless the command succeeds
need()
{
	local package=$1

	shift
	"$@" >/dev/null 2>&1 || missing+=("$package")
}

compiles()
{
	echo "#include <$1>" | gcc -E -x c - -o /dev/stdout
}

# A package, not just what is in it: Debian's tools look for that.
installed()
{
	[[ $(dpkg-query -W -f '${db:Status-Status}' "$1") == installed ]]
}

# One line for each package that debian/control wants for building.
build_depends()
{
	local line on=''

	while IFS= read -r line; do
		case $line in
		Build-Depends:*) on=1 line=${line#*:} ;;
		[A-Z]*) on='' ;;
		esac
		[ -n "$on" ] || continue
		line=${line%%(*}
		line=${line//[, ]/}
		[ "$line" != debhelper-compat ] || line=debhelper
		[ -z "$line" ] || echo "$line"
	done <"${0%/*}/../debian/control"
}

clang_sanitizes()
{
	local dir rc

	command -v clang || return 1
	dir=$(mktemp -d) || return 1
	echo 'int main(void) { return 0; }' >"$dir/probe.c"
	clang -fsanitize=thread "$dir/probe.c" -o "$dir/probe"
	rc=$?
	rm -rf "$dir"
	return $rc
}

need gcc command -v gcc
need libc6-dev compiles stdio.h
need meson command -v meson
need ninja-build command -v ninja
need pkg-config command -v pkg-config
need liburcu-dev pkg-config --exists liburcu-bp
need libnuma-dev pkg-config --exists numa
need libjansson-dev pkg-config --exists jansson
need libfuse3-dev pkg-config --exists fuse3
need liblua5.4-dev pkg-config --exists lua5.4
need libncurses-dev pkg-config --exists ncursesw
need libreadline-dev pkg-config --exists readline
need scdoc command -v scdoc
if [ "$want" = lab ]; then
	need gnuplot-nox command -v gnuplot
fi
if [ "$want" = format ]; then
	need clang-format command -v clang-format
fi
if [ "$want" = deb ]; then
	need dpkg-dev command -v dpkg-buildpackage
	need build-essential installed build-essential
	while read -r package; do
		case " ${missing[*]} " in
		*" $package "*) ;;
		*) need "$package" installed "$package" ;;
		esac
	done < <(build_depends)
fi
if [ "$want" = check ] || [ "$want" = coverage ]; then
	need libcmocka-dev pkg-config --exists cmocka
	need gnuplot-nox command -v gnuplot
	need libhugetlbfs-bin command -v hugeadm
	need numactl command -v numastat
	need fuse3 command -v fusermount3
fi
if [ "$want" = coverage ]; then
	need gcovr command -v gcovr
fi
if [ "$want" = check ]; then
	need binutils command -v nm
	need g++ command -v g++
	need clang command -v clang++
	version=$(clang -dumpversion 2>/dev/null)
	version=${version%%.*}
	need "libclang-rt-${version:-14}-dev" clang_sanitizes
	need mandoc command -v mandoc
	need qemu-system-x86 command -v qemu-system-x86_64
	need busybox-static command -v busybox
	need cpio command -v cpio
fi
if [ "$want" = fuzz ]; then
	need clang command -v clang
	version=$(clang -dumpversion 2>/dev/null)
	version=${version%%.*}
	need "libclang-rt-${version:-14}-dev" clang_sanitizes
	need libcmocka-dev pkg-config --exists cmocka
	[ "${HVO_AFL:-0}" != 1 ] || need afl++ command -v afl-fuzz
fi

if [ "$want" = mutants ]; then
	need python3 command -v python3
	need libcmocka-dev pkg-config --exists cmocka
fi

[ ${#missing[@]} -eq 0 ] && exit 0

echo "missing: ${missing[*]}"

line="apt-get install -y --no-install-recommends ${missing[*]}"
give_up()
{
	echo "$1; as root, run" >&2
	echo "    apt-get update && $line" >&2
	exit 1
}

command -v apt-get >/dev/null || give_up "there is no apt-get here: find these packages' equivalents"

as_root=(env DEBIAN_FRONTEND=noninteractive)
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || give_up "cannot install packages"
	if ! sudo -n true 2>/dev/null && ! { [ -t 0 ] && [ -t 2 ]; }; then
		give_up "cannot install packages (sudo wants a password)"
	fi
	as_root=(sudo "${as_root[@]}")
fi

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
echo "installing with apt-get ..."
if ! "${as_root[@]}" apt-get -q update >"$log" 2>&1; then
	cat "$log" >&2
	give_up "apt-get update failed"
fi
# shellcheck disable=SC2086 # package names, one word each
if ! "${as_root[@]}" $line >"$log" 2>&1 </dev/null; then
	cat "$log" >&2
	give_up "apt-get install failed"
fi
