#!/bin/bash
# SPDX-License-Identifier: MIT
#
# fuzz.sh [MINUTES] - the targets of tests/fuzz under libFuzzer, each for half of the time, with
# clang, AddressSanitizer and UBSan: executions, executions a second, coverage, findings. Where
# afl-fuzz is installed it follows, for as long again: HVO_AFL=1.
#
# What is found is in build-fuzz/found; of test_fuzz_sched with the line that torture replays, and
# the line is in the log. Exit status 1 then.
#
# Inputs that fuzzers found worth keeping are in build-fuzz/corpus, and stay for the next time. The
# files of tests/fuzz/corpus were chosen of such: of all, those few that together reach the most
# branches (-merge=1 -use_counters=0 -merge_control_file=FILE says which file reaches which), from
# files written by hand: one or more for each parser.

set -u
export LC_ALL=C

cd "$(dirname "$0")/.." || exit 1

minutes=${1:-10}
if ! [[ $minutes =~ ^[1-9][0-9]*$ ]]; then
	echo "usage: ${0##*/} [MINUTES]" >&2
	exit 2
fi

root=$PWD
targets=(sched parse)
seconds=$((minutes * 60 / ${#targets[@]}))
declare -A longest=([sched]=80 [parse]=1024)
# The sanitizers' own stacks are no fibers'; who leaks is for make check to say. What one input frees
# is less than a quarantine of 8 MiB; a larger one is memory that is new to the processor each time.
export ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0:quarantine_size_mb=8
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

# build DIR CC [MESON OPTION...]
build()
{
	local dir=$1 cc=$2

	shift 2
	mkdir -p "$dir"
	{
		[ -f "$dir/build.ninja" ] ||
			CC=$cc meson setup "$dir" -Dtests=enabled -Dcommand=enabled -Dman=disabled \
				-Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false "$@"
		ninja -C "$dir" tests/test_fuzz_sched tests/test_fuzz_parse
	} >"$dir/build.log" 2>&1 && return
	tail -n 40 "$dir/build.log"
	exit 1
}

# What libFuzzer says of itself at the end: "cov: 1 ft: 2" and "stat::name: N".
report() # TARGET LOG
{
	local found

	found=$(find "$root/build-fuzz/found" -name "$1-*" | wc -l)
	awk -v target="$1" -v found="$found" '
		match($0, /cov: [0-9]+/) { cov = substr($0, RSTART + 5, RLENGTH - 5) }
		/^stat::number_of_executed_units/ { n = $2 }
		/^stat::average_exec_per_sec/ { rate = $2 }
		END { printf "%-6s libFuzzer: %d executions, %d a second, %d branches, %d findings\n",
			target, n, rate, cov, found }' "$2"
	grep -E 'repeat: torture|^finding: |ERROR: |runtime error' "$2"
}

libfuzzer() # TARGET
{
	local corpus=build-fuzz/corpus/$1 log=build-fuzz/$1.log dir

	mkdir -p "$corpus" build-fuzz/found
	# A socket without a name, and nothing else, is made where the target runs.
	dir=$(mktemp -d) || exit 1
	(cd "$dir" && nice -n 10 "$root/build-fuzz/tests/test_fuzz_$1" \
		-max_total_time="$seconds" -max_len="${longest[$1]}" -len_control=0 -entropic=0 \
		-timeout=60 -rss_limit_mb=4096 -print_final_stats=1 \
		-artifact_prefix="$root/build-fuzz/found/$1-" \
		"$root/$corpus" "$root/tests/fuzz/corpus/$1") >"$log" 2>&1 </dev/null
	rmdir "$dir"
	report "$1" "$log"
}

afl() # TARGET
{
	local out=build-afl/out-$1

	nice -n 10 env AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_NO_AFFINITY=1 \
		AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_AUTORESUME=1 \
		ASAN_OPTIONS="$ASAN_OPTIONS:abort_on_error=1:symbolize=0" \
		UBSAN_OPTIONS="$UBSAN_OPTIONS:abort_on_error=1:symbolize=0" \
		afl-fuzz -V "$seconds" -m none -t 20000 -G "${longest[$1]}" \
		-i "tests/fuzz/corpus/$1" -o "$out" -- "build-afl/tests/test_fuzz_$1" \
		>"build-afl/$1.log" 2>&1 </dev/null
	awk -F ' *: *' -v target="$1" '
		$1 == "execs_done" { n = $2 }
		$1 == "execs_per_sec" { rate = $2 }
		$1 == "edges_found" { cov = $2 }
		$1 == "saved_crashes" || $1 == "saved_hangs" { found += $2 }
		END { printf "%-6s AFL++: %d executions, %d a second, %d branches, %d findings\n",
			target, n, rate, cov, found }' "$out/default/fuzzer_stats"
	find "$out/default/crashes" "$out/default/hangs" -name 'id*' 2>/dev/null |
		while read -r file; do cp "$file" "build-fuzz/found/$1-${file##*/}"; done
}

build build-fuzz clang
mkdir -p build-fuzz/found
before=$(find build-fuzz/found -type f | wc -l)
for target in "${targets[@]}"; do
	libfuzzer "$target"
done
if [ "${HVO_AFL:-0}" = 1 ] && command -v afl-fuzz >/dev/null; then
	build build-afl afl-clang-fast
	for target in "${targets[@]}"; do
		afl "$target"
	done
fi
found=$(($(find build-fuzz/found -type f | wc -l) - before))
echo "$found found"
[ "$found" -eq 0 ]
