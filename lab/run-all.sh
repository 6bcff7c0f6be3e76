#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run-all.sh HVO [OUTPUT-DIRECTORY [--quick]] - run all experiments that are beside this file, and
# make a report of them.

set -u

if [ $# -lt 1 ] || [ $# -gt 3 ]; then
	echo "usage: ${0##*/} HVO [OUTPUT-DIRECTORY [--quick]]" >&2
	exit 2
fi
hvo=$1
out=${2:-lab-results}
here=$(dirname "$0")
rc=0

for script in "$here"/*.lua; do
	"$hvo" run ${3:+"$3"} -o "$out" "$script" || rc=1
done
"$hvo" report "$out" -o "$out/report.html" || rc=1
[ $rc -eq 0 ] && echo "the report: $out/report.html"
exit $rc
