#!/bin/bash
# SPDX-License-Identifier: MIT
#
# coverage.sh - build with gcc --coverage, run all test programs, and say for each folder of src
# which part of its lines and branches they reach, beside what it should be. Exit status 1 where
# that is not reached, or a test fails.
#
# A branch that only a broken rule takes does not count: of lines with HVO_ASSERT, HVO_PANIC or
# another assertion, see $no_branches. What is not reached: build-coverage/missing.txt.
#
# ONLY='test_p*': programs called so, added to what ran before. JOBS, TEST_TIMEOUT: as check.sh.

set -u
shopt -s nullglob
export LC_ALL=C
unset CFLAGS CPPFLAGS LDFLAGS

cd "$(dirname "$0")/.." || exit 1

dir=build-coverage
only=${ONLY:-*}

# Percent of branches, by folder.
declare -A target=([src/core]=96 [src/platform/linux]=85 [src/lend]=92 [src/tree]=92)

# The macros that stop where a rule is broken.
no_branches='(HVO_ASSERT|HVO_PANIC|lock_assert_held)'

build()
{
	[ -f $dir/build.ninja ] ||
		CC=gcc meson setup $dir -Dtests=enabled -Dcommand=enabled -Dman=disabled \
			-Dbuildtype=debug -Db_coverage=true -Dc_args=-fprofile-update=atomic
	ninja -C $dir
}

# run PROGRAM
run()
{
	local log=$dir/logs/${1##*/}.log

	timeout -k 5 "${TEST_TIMEOUT:-1200}" "$1" >"$log" 2>&1 </dev/null && return
	echo "failed: $1, see $log"
	return 1
}
export -f run
export dir

mkdir -p $dir/logs
build >$dir/build.log 2>&1 || {
	tail -n 40 $dir/build.log
	exit 1
}
[ "$only" != '*' ] || find $dir -name '*.gcda' -delete
# A test that becomes somebody else writes its counts, too.
umask 0
find $dir -type d -exec chmod a+rwx {} +
rc=0
# Programs that change what is the host's, or are long, first; these are not beside each other.
host=() others=()
for program in "$dir"/tests/test_*; do
	# shellcheck disable=SC2053 # a pattern
	if ! [ -f "$program" ] || ! [[ ${program##*/} == $only ]]; then
		continue
	fi
	case $program in
	*/test_admin | */test_arena | */test_diff | */test_lend* | */test_thp) host+=("$program") ;;
	*) others+=("$program") ;;
	esac
done
for program in "${host[@]}"; do
	run "$program" || rc=1
done
# shellcheck disable=SC2016 # of the shell that xargs starts
printf '%s\0' "${others[@]}" |
	xargs -0 -r -n 1 -P "${JOBS:-$(nproc)}" bash -c 'run "$1"' - || rc=1

report()
{
	gcovr --root . --filter src/ --exclude-unreachable-branches \
		--exclude-branches-by-pattern ".*\\b$no_branches\\(" \
		--csv $dir/coverage.csv --branches --txt $dir/missing.txt $dir/*.p
}

# Of each folder: what is reached, and what should be.
folders()
{
	local folder

	for folder in "${!target[@]}"; do
		echo "$folder,${target[$folder]}"
	done | awk -F, '
		function percent(part, all) { return all ? 100 * part / all : 100 }
		FNR == NR { target[$1] = $2; next }
		FNR == 1 { next }
		{
			sub("/[^/]*$", "", $1)
			lines[$1] += $2; ran[$1] += $3; branches[$1] += $5; taken[$1] += $6
		}
		END {
			printf "%-20s %19s %23s %9s\n", "", "lines", "branches", "wanted"
			order = "sort"
			for (f in lines) {
				p = percent(taken[f], branches[f])
				low = f in target && p < target[f]
				missed += low
				printf "%-20s %5d of %5d %5.1f %% %6d of %5d %5.1f %% %7s%s\n", f,
					ran[f], lines[f], percent(ran[f], lines[f]), taken[f], branches[f],
					p, f in target ? target[f] " %" : "", low ? " too few" : "" | order
			}
			close(order)
			for (f in target)
				if (!(f in lines)) {
					print f ": nothing is there"
					missed++
				}
			exit missed > 0
		}' - $dir/coverage.csv
}

report >$dir/gcovr.log 2>&1 || {
	cat $dir/gcovr.log
	exit 1
}
folders || rc=1
echo "without branches of lines with ${no_branches//|/, }; lines that miss some: $dir/missing.txt"
exit $rc
