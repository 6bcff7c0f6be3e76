#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check-design.sh - DESIGN.md names the files of the core in the order of core_sources, and lists
# every invariant that the core asserts or recounts, once.

set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1
rc=0

listed=$(sed -n '/^## .* Invariants$/,/^## .* What differs/p' DESIGN.md | grep '^| [A-Z]' |
	cut -d'|' -f2 | grep -oE '[A-Z]+-[0-9]+' | sort)
used=$(grep -ohE '"[A-Z]+-[0-9]+[":]' src/core/*.[ch] | grep -oE '[A-Z]+-[0-9]+' | sort -u)

files=$(awk '/^core_sources = files/ { on = 1; next } on && /^\)/ { exit }
	on { gsub(/.*\/|\.c.*/, ""); print }' meson.build)
named=$(sed -n '/^## .* Layers$/,/^## /p' DESIGN.md | grep '^| ' | cut -d'|' -f3 |
	grep -oE '[a-z_]+' | grep -vx files)
diff --label "DESIGN.md, Layers" --label "core_sources in meson.build" -u <(echo "$named") \
	<(echo "$files") || rc=1

if [ -z "$listed" ] || [ -z "$used" ]; then
	echo "no rules at all"
	exit 1
fi
for rule in $(uniq -d <<<"$listed"); do
	echo "$rule: twice in DESIGN.md"
	rc=1
done
for rule in $(comm -13 <(sort -u <<<"$listed") <(echo "$used")); do
	echo "$rule: in the core, and not in the list of DESIGN.md"
	rc=1
done
exit $rc
