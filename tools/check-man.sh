#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check-man.sh BUILDDIR - every function that a library exports has a kernel-doc comment, a manual
# page made of it, and a line in libhvo(3); all pages are what mandoc takes for well formed.

set -u

if [ $# -ne 1 ] || [ ! -d "$1/man" ]; then
	echo "usage: ${0##*/} BUILDDIR" >&2
	exit 2
fi
man=$(cd "$1/man" && pwd) || exit 1
cd "$(dirname "$0")/.." || exit 1
maps=(src/libhvo.map src/client/libhvo-client.map)
rc=0

awk -v check=1 -f tools/man3.awk man/subjects "${maps[@]}" include/hvo/*.h || rc=1

while read -r name; do
	if [ ! -s "$man/$name.3" ]; then
		echo "$name: no page"
		rc=1
	elif ! grep -q -e "fB${name}.fR(3)" "$man/libhvo.3"; then
		echo "$name: not in libhvo(3)"
		rc=1
	fi
done < <(grep -ohE '\bhvo_[a-z0-9_]+;' "${maps[@]}" | tr -d ';')

# Not links; and scdoc begins a paragraph more than it needs.
mapfile -t pages < <(grep -L '^\.so ' "$man"/*.[1-9])
mandoc -T lint -W warning "${pages[@]}" | grep -v 'skipping paragraph macro' && rc=1
exit $rc
