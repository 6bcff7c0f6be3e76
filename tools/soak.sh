#!/bin/bash
# SPDX-License-Identifier: MIT
#
# soak.sh [MINUTES [SEED]] - what is random, again and again with new seeds, for an hour or as long
# as said: the model, the kernel beside Linux mode, memory that comes and goes while threads use it,
# and threads under the thread sanitizer. After make check, whose programs it runs. What fails is
# kept, with the command that does it again; exit status 1 then.

set -u
export LC_ALL=C

cd "$(dirname "$0")/.." || exit 1

minutes=${1:-60}
seed=${2:-$(date +%s)}
if ! [[ $minutes =~ ^[1-9][0-9]*$ && $seed =~ ^[1-9][0-9]*$ ]]; then
	echo "usage: ${0##*/} [MINUTES [SEED]]" >&2
	exit 2
fi
for program in build-gcc/tests/test_model build-asan/tests/test_model build-tsan/tests/test_threads; do
	[ -x $program ] && continue
	echo "${0##*/}: there is no $program; make check builds it" >&2
	exit 1
done

# As make check does, where the kernel randomises more address bits than the sanitizer knows.
tsan=''
build-tsan/tests/test_page >/dev/null 2>&1 || tsan='setarch -R '

# Of each mode of test_threads_unplug: a minute for both.
export HVO_SECONDS=30

out=build-gcc/soak
mkdir -p "$out"
end=$((SECONDS + minutes * 60))
failed=0

# log_of SEED COMMAND: of each build its own
log_of()
{
	local program=${2##* }

	echo "$out/$1-${program//\//-}.log"
}

# run SEED COMMAND: one job
run()
{
	local log
	log=$(log_of "$@")

	# shellcheck disable=SC2086 # a command is words
	HVO_SEED=$1 timeout -k 5 900 $2 >"$log" 2>&1 </dev/null && rm "$log"
}

# What one of the two has to do; both stop at the first round after the end.
work()
{
	local lane=$1 command rc=0 at

	for ((at = seed; SECONDS < end; at++)); do
		for command in "${@:2}"; do
			run "$at" "$command" && continue
			echo "failed: HVO_SECONDS=$HVO_SECONDS HVO_SEED=$at $command" \
				"(see $(log_of "$at" "$command"))"
			rc=1
		done
	done
	echo "lane $lane: $((at - seed)) rounds"
	return $rc
}

echo "for $minutes minutes, from seed $seed on"
work 1 build-gcc/tests/test_model build-gcc/tests/test_diff build-asan/tests/test_model \
	build-asan/tests/test_threads_unplug "env HVO_THOROUGH=1 build-asan/tests/test_failed" &
first=$!
work 2 "${tsan}build-tsan/tests/test_threads" "${tsan}build-tsan/tests/test_threads_move" \
	"${tsan}build-tsan/tests/test_threads_pools" "${tsan}build-tsan/tests/test_threads_tree" \
	"${tsan}build-tsan/tests/test_threads_unplug" &
second=$!
wait $first || failed=1
wait $second || failed=1
[ $failed -eq 0 ] && echo "nothing failed"
exit $failed
