#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check-layers.sh BUILDDIR... - the files of the core stand in layers: core_sources of meson.build
# lists them from the bottom up, and each may use only what a file before it defines. What a free
# can reach stands before alloc.c, and so needs no memory.

set -u
export LC_ALL=C

if [ $# -eq 0 ]; then
	echo "usage: ${0##*/} BUILDDIR..." >&2
	exit 2
fi

cd "$(dirname "$0")/.." || exit 1

mapfile -t layers < <(awk '/^core_sources = files/ { on = 1; next }
	on && /^\)/ { exit }
	on { gsub(/[\t\047,]/, ""); sub(/.*\//, ""); print $0 ".o" }' meson.build)
if [ ${#layers[@]} -eq 0 ]; then
	echo "no core_sources in meson.build"
	exit 1
fi

rc=0
for build in "$@"; do
	# Either kind of archive tells its members: "Symbols from libhvo_core.a[src_core_page.c.o]:".
	symbols=$(nm --format=sysv "$build/libhvo_core.a") || exit 1
	out=$(awk -F '|' -v layers="${layers[*]}" '
		BEGIN {
			nr = split(layers, name, " ")
			for (i = 1; i <= nr; i++)
				layer[name[i]] = i
		}
		/^(Symbols|Undefined symbols) from/ {
			object = $0
			sub(/.*[\[\/]/, "", object)
			sub(/[\]:].*/, "", object)
			sub(/^src_core_/, "", object)
			if (!(object in layer))
				print object ": not in core_sources"
			next
		}
		NF < 7 { next }
		{
			symbol = $1
			class = $3
			gsub(/ /, "", symbol)
			gsub(/ /, "", class)
		}
		class == "U" { uses[object, symbol] = 1; next }
		class ~ /^[A-Z]$/ { home[symbol] = object; seen++ }
		END {
			if (!seen)
				print "no symbols at all"
			for (use in uses) {
				split(use, part, SUBSEP)
				user = part[1]
				symbol = part[2]
				if (symbol in home && layer[home[symbol]] > layer[user])
					print user " uses " symbol "() of " home[symbol] ", which stands above"
			}
		}' <<<"$symbols" | sed 's/\.c\.o/.c/g')
	if [ -n "$out" ]; then
		sort <<<"$out"
		rc=1
	fi
done
exit $rc
