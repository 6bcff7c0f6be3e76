#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check-design.sh - DESIGN.md names the files of the core in the order of core_sources.

set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1
files=$(awk '/^core_sources = files/ { on = 1; next } on && /^\)/ { exit }
	on { gsub(/.*\/|\.c.*/, ""); print }' meson.build)
named=$(sed -n '/^## .* Layers$/,/^## /p' DESIGN.md | grep '^| ' | cut -d'|' -f3 |
	grep -oE '[a-z_]+' | grep -vx files)
diff --label "DESIGN.md, Layers" --label "core_sources in meson.build" -u <(echo "$named") \
	<(echo "$files")
