#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check-asserts.sh [DIR] - the assertions of the core (default src/core): at least 8 per 1,000
# lines; each rule of rules.h is used, and no other is; no condition changes anything. INVARIANTS.md
# has each name that is cited, there and by the tests of tests/sched, and no other.

set -u
shopt -s nullglob
export LC_ALL=C

LEAST=8

cd "$(dirname "$0")/.." || exit 1
dir=${1:-src/core}

files=("$dir"/*.[ch])
if [ ${#files[@]} -eq 0 ]; then
	echo "$dir: nothing there"
	exit 1
fi

# Each use on one line, "FILE:LINE<tab>NAME(ARGUMENTS)", without comments, macros and strings.
calls=$(awk '
	FNR == 1 { open = 0; comment = 0; macro = 0 }
	{
		line = $0
		if (comment) {
			if (!sub(/^.*\*\//, "", line))
				next
			comment = 0
		}
		gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
		gsub(/\/\*([^*]|\*+[^*\/])*\*+\//, "", line)
		if (sub(/\/\*.*/, "", line))
			comment = 1
		sub(/\/\/.*/, "", line)
		if (macro || line ~ /^[ \t]*#[ \t]*define/) {
			macro = line ~ /\\$/
			next
		}
		while (line != "") {
			if (!open) {
				if (!match(line, /(HVO_ASSERT|HVO_PANIC|lock_assert_held)\(/))
					break
				text = substr(line, RSTART, RLENGTH)
				line = substr(line, RSTART + RLENGTH)
				open = 1
				at = FILENAME ":" FNR
			}
			while (line != "" && open) {
				c = substr(line, 1, 1)
				line = substr(line, 2)
				open += (c == "(") - (c == ")")
				text = text c
			}
			if (!open)
				print at "\t" text
			else
				text = text " "
		}
	}' "${files[@]}")
rc=0

nr=$(grep -cE $'\t(HVO_ASSERT|lock_assert_held)\(' <<<"$calls")
lines=$(cat "${files[@]}" | wc -l)
if [ $((nr * 1000)) -lt $((lines * LEAST)) ]; then
	echo "$nr assertions in $lines lines: fewer than $LEAST per 1,000"
	rc=1
fi

# All but the comparisons: what is left of =, ++ and -- changes something.
bad=$(sed -E 's/[=!<>]=//g' <<<"$calls" | grep -E '=|\+\+|--')
if [ -n "$bad" ]; then
	echo "an assertion that changes something:"
	cut -f 1 <<<"$bad"
	rc=1
fi

listed=$(sed -nE 's/^#define RULE_([A-Z]+_[0-9]+) .*/\1/p' "$dir/rules.h")
if [ -z "$listed" ]; then
	echo "$dir/rules.h: no rules"
	exit 1
fi
twice=$(uniq -d <(sort <(sed -nE 's/^#define RULE_[A-Z0-9_]+ (".*")$/\1/p' "$dir/rules.h")))
used=$({
	grep -oE '\b[A-Z]+_[0-9]+\b' <<<"$calls"
	grep -hoE '\bRULE_[A-Z]+_[0-9]+\b' "${files[@]}" | sort | uniq -c |
		awk '$1 > 1 { sub(/^RULE_/, "", $2); print $2 }'
	# lock.h has the one use of its own in a macro.
	grep -hoE '\bLOCK_[0-9]+\b' "$dir/lock.h"
} | sort -u)
spelled=$(grep -nE '"[A-Z]+-[0-9]+[:"]' "${files[@]}" | grep -v '/rules\.h:')
for rule in $listed; do
	if ! grep -qx "$rule" <<<"$used"; then
		echo "RULE_$rule is listed and not used"
		rc=1
	fi
done
for rule in $used; do
	if ! grep -qx "$rule" <<<"$listed"; then
		echo "RULE_$rule is used and not listed"
		rc=1
	fi
done
for text in $twice; do
	echo "$text: two rules"
	rc=1
done
if [ -n "$spelled" ]; then
	echo "a rule's name that is not from the list:"
	echo "$spelled"
	rc=1
fi

# The tests cite rules, too; names of their own are those that the rules do not have.
in_tests=$(cat tests/sched/*.[ch] src/platform/sim/*.c | grep -oE '"[A-Z]+-[0-9]+:' | tr -d '":')
cited=$(sort -u <(echo "$in_tests") <(sed -nE 's/^#define RULE_.* "(.*)"$/\1/p' "$dir/rules.h"))
named=$(sed -nE 's/^\| ([A-Z]+-[0-9]+) \|.*/\1/p' INVARIANTS.md | sort)
diff --label INVARIANTS.md --label "what is cited" -u <(echo "$named") <(echo "$cited") || rc=1
unknown=$(grep -oE '\b[A-Z]+-[0-9]+\b' INVARIANTS.md | sort -u | grep -vxF "$named")
if [ -n "$unknown" ]; then
	echo "INVARIANTS.md: no such name: ${unknown//$'\n'/, }"
	rc=1
fi
exit $rc
