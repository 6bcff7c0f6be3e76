#!/bin/sh
# SPDX-License-Identifier: MIT
#
# hvo-lab.7.sh HVO SCRIPT SCDOC - the manual page of the lab: what hvo.help() says.

set -eu

text=$("$1" run "$2")
{
	cat <<EOF
hvo-lab(7)

# NAME

hvo-lab - what a script of the lab can call

# DESCRIPTION

EOF
	# Indented by 4: what is called, by 6: more of that; by 8: what it does. Not at all: a heading.
	printf '%s\n' "$text" | awk '/^      [^ ]/ { sub(/^ +/, ""); line = line " " $0; next }
		{ if (NR > 1) print line; line = $0 } END { print line }' | sed -E \
		-e 's/[_*\\]/\\&/g' \
		-e 's/^        ([^ ].*)/\t\1/' \
		-e 's/^    ([^ ].*)/\n*\1*/' \
		-e 's/^([A-Z].*)/\n# \1\n/'
	cat <<EOF

# SEE ALSO

*hvo-run*(1), *hvo-shell*(1), *libhvo*(3)
EOF
} | awk 'NR > 8 && !seen && /^\t/ { sub(/^\t/, "") } /^#/ && NR > 8 { seen = 1 } { print }' |
	cat -s | "$3"
