#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check-install.sh BUILDDIR - install what is in BUILDDIR somewhere else, and use it as a
# stranger would: a program in C and one in C++ by pkg-config, with the shared library and with
# the static one.

set -u

if [ $# -ne 1 ] || [ ! -f "$1/build.ninja" ]; then
	echo "usage: ${0##*/} BUILDDIR" >&2
	exit 2
fi
build=$(cd "$1" && pwd) || exit 1
top=$(cd "$(dirname "$0")/.." && pwd) || exit 1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

die()
{
	echo "$1"
	exit 1
}

DESTDIR=$dir/root meson install -C "$build" --no-rebuild --quiet || die "meson install failed"
pc=$(find "$dir/root" -name libhvo.pc)
[ -n "$pc" ] || die "no libhvo.pc"
lib=$(dirname "$(dirname "$pc")")
prefix=$(pkg-config --variable=prefix "$pc")

# The system's own files as well: liburcu is there. Not the sysroot: it would move those, too.
export PKG_CONFIG_PATH=$dir/pc
mkdir "$dir/pc"
for name in libhvo libhvo-client; do
	sed "s|^prefix=.*|prefix=$dir/root$prefix|" "$(dirname "$pc")/$name.pc" >"$dir/pc/$name.pc" ||
		die "no $name.pc"
done

[ -n "$(find "$lib" -maxdepth 1 -name 'libhvo.so.*.*')" ] || die "no versioned shared library"
readelf -d "$lib/libhvo.so" | grep -q 'SONAME.*libhvo\.so\.[0-9]' || die "no SONAME with a version"

# use NAME COMPILER-ARGUMENTS...: both examples, NAME the second one
use()
{
	local name=$1 out

	shift
	gcc -std=c11 -pthread -Wall -Wextra -Wpedantic -Werror "$top/examples/bufferpool.c" \
		-o "$dir/bufferpool" "$@" || die "$name: bufferpool.c does not build"
	out=$(LD_LIBRARY_PATH=$lib timeout 60 "$dir/bufferpool") || die "$name: bufferpool failed: $out"
	echo "$name: $out"
	g++ -std=c++17 -Wall -Wextra -Wpedantic -Werror "$top/examples/arena.cc" -o "$dir/$name" "$@" ||
		die "$name: does not build"
	out=$(LD_LIBRARY_PATH=$lib timeout 60 "$dir/$name") || die "$name: failed: $out"
	echo "$name: $out"
}

# shellcheck disable=SC2046 # words
use shared $(pkg-config --cflags --libs libhvo)
ldd "$dir/shared" | grep -q libhvo || die "shared: not linked with the shared library"
# shellcheck disable=SC2046 # words
use static $(pkg-config --cflags libhvo) "$lib/libhvo.a" \
	$(pkg-config --static --libs libhvo | tr ' ' '\n' | grep -v -e '^-lhvo$' -e '^-L')
ldd "$dir/static" | grep -q libhvo && die "static: linked with the shared library"

# The client library needs nothing but libc, and is fit for C++ too.
cat >"$dir/client.cc" <<'EOF'
#include <hvo/client.h>
#include <cerrno>
int main()
{
	hvo_client *client = nullptr;

	return hvo_client_connect("/nowhere/at/all", &client) == -ENOENT ? 0 : 1;
}
EOF
# shellcheck disable=SC2046 # words
g++ -std=c++17 -Wall -Wextra -Wpedantic -Werror "$dir/client.cc" -o "$dir/client" \
	$(pkg-config --cflags --libs libhvo-client) || die "client: does not build"
LD_LIBRARY_PATH=$lib "$dir/client" || die "client: failed"
readelf -d "$lib/libhvo-client.so" | grep NEEDED | grep -v 'libc\.so' && die "libhvo-client needs more than libc"

# Who lends and who borrows, with both libraries; with what POSIX adds to C.
# shellcheck disable=SC2046 # words
gcc -std=gnu11 -Wall -Wextra -Wpedantic -Werror "$top/examples/lend.c" -o "$dir/lend" \
	$(pkg-config --cflags --libs libhvo libhvo-client) || die "lend.c does not build"
out=$(LD_LIBRARY_PATH=$lib timeout 60 "$dir/lend") || die "lend failed: $out"
grep -q '^lent 100 pages of 2 MiB, 0 of them pinned$' <<<"$out" || die "lend: $out"
echo "lend: $out"

hvo=$dir/root$prefix/bin/hvo
"$hvo" --version || die "hvo does not run"

# The experiments and the examples, all of them, and they work from where they are.
lab=$dir/root$prefix/share/hvo/lab
examples=$dir/root$prefix/share/doc/libhvo/examples
for file in "$top"/lab/*; do
	cmp "$file" "$lab/${file##*/}" || die "lab: ${file##*/} is not installed"
done
for file in "$top"/examples/*; do
	cmp "$file" "$examples/${file##*/}" || die "examples: ${file##*/} is not installed"
done
"$hvo" run --quick "$lab/frees.lua" >/dev/null || die "lab: frees.lua does not run"
[ -x "$lab/run-all.sh" ] || die "lab: run-all.sh cannot be run"
[ -x "$examples/qemu.sh" ] || die "examples: qemu.sh cannot be run"

# Each command and each function has its page. Without what roff escapes:
man=$dir/root$prefix/share/man
sed 's/[\]//g' "$man/man1/hvo.1" >"$dir/man1"
[ -s "$man/man3/libhvo.3" ] || die "no manual; is scdoc missing?"
commands=$("$hvo" --help | sed -nE 's/^  ([a-z]+) +.*/\1/p')
[ -n "$commands" ] || die "hvo --help names no commands"
for command in $commands; do
	[ -s "$man/man1/hvo-$command.1" ] || die "hvo $command: no manual page"
	grep -q -e "hvo-${command}fR(1)" "$dir/man1" || die "hvo $command: not in hvo(1)"
done
names=$(cat "$top/src/libhvo.map" "$top/src/client/libhvo-client.map" | grep -oE '\bhvo_[a-z0-9_]+;' | tr -d ';')
for name in $names; do
	[ -s "$man/man3/$name.3" ] || die "$name(): no manual page"
done
