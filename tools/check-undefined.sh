#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check-undefined.sh BUILDDIR... - the core and the mmu need nothing but memcpy() and its
# like, and have no globals. Looks at the objects of each build.

set -u
export LC_ALL=C

if [ $# -eq 0 ]; then
	echo "usage: ${0##*/} BUILDDIR..." >&2
	exit 2
fi

rc=0
for build in "$@"; do
	libs=("$build/libhvo_core.a" "$build/libhvo_mmu.a")

	for lib in "${libs[@]}"; do
		if [ ! -f "$lib" ]; then
			echo "$lib: not built"
			exit 1
		fi
	done

	# "|" separates nm's columns: name, value, class, type, size, line, section.
	symbols=$(nm --format=sysv "${libs[@]}") || exit 1
	out=$(awk -F '|' '
		/^Symbols from/ { object = $0; sub(/^Symbols from /, "", object); sub(/:$/, "", object) }
		NF < 7 { next }
		{
			name = $1; class = $3; section = $7
			gsub(/ /, "", name); gsub(/ /, "", class); gsub(/[ \t]/, "", section)
			seen++
		}
		class == "U" || class == "w" || class == "v" { wanted[name] = object; next }
		class ~ /^[A-Z]$/ { defined[name] = 1 }
		# Constants that hold addresses are in .data.rel.ro: read-only once loaded.
		class ~ /^[DBCGSdbgs]$/ && section !~ /^\.data\.rel\.ro/ {
			print object ": global data: " name " (" section ")"
		}
		END {
			if (!seen)
				print "no symbols at all"
			# The last one belongs to the linker: addresses in shared code.
			split("memcpy memset memmove memcmp _GLOBAL_OFFSET_TABLE_", ok, " ")
			for (i in ok)
				defined[ok[i]] = 1
			for (name in wanted)
				if (!(name in defined))
					print wanted[name] ": undefined: " name
		}' <<<"$symbols")
	if [ -n "$out" ]; then
		sort <<<"$out"
		rc=1
	fi
done
exit $rc
