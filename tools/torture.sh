#!/bin/bash
# SPDX-License-Identifier: MIT
#
# torture.sh MINUTES [SEED] - interleavings of the library's operations, as many as there is time
# for: all pairs with a switch at each atomic access and at each lock, with two switches, with calls
# of the platform failed, all sequences of one thread, two against one, lists of operations, sequences
# with failures, the last two under the address sanitizer too. Says what was run; each finding is a
# line that repeats it. The last line is "N findings"; status 1 if N is not 0.

set -u
export LC_ALL=C

cd "$(dirname "$0")/.." || exit 1

minutes=${1:-}
seed=${2:-$(date +%s%N)}
if ! [[ $minutes =~ ^[0-9]+$ && $minutes -gt 0 && $seed =~ ^[0-9]+$ ]]; then
	echo "usage: make torture [MINUTES=N] [SEED=N]" >&2
	exit 2
fi

# build NAME OPTION...
build()
{
	local dir=build-$1

	shift
	[ -f "$dir/build.ninja" ] ||
		CC=gcc meson setup "$dir" -Dtests=enabled -Dcommand=enabled "$@" >/dev/null || exit 1
	ninja -C "$dir" "${programs[@]}" >"$dir/torture-build.log" 2>&1 || {
		cat "$dir/torture-build.log"
		exit 1
	}
}

tools/install-deps.sh check || exit 1
programs=(tests/torture tests/torture-atomics)
build gcc -Dwerror=true
programs=(tests/torture)
build asan -Db_sanitize=address,undefined -Db_lundef=false

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT

# part SHARE PROGRAM COMMAND [SEED]: SHARE hundredths of the time
part()
{
	local share=$1 program=$2 command=$3

	shift 3
	"$program" "$command" "$(awk "BEGIN { print $minutes * $share / 100 }")" "$@" | tee -a "$log"
}

echo "seed $seed"
part 15 build-gcc/tests/torture-atomics pairs "$seed"
part 5 build-gcc/tests/torture pairs "$seed"
part 10 build-gcc/tests/torture twice "$seed"
part 10 build-gcc/tests/torture failures "$seed"
part 5 build-gcc/tests/torture two-failures "$seed"
part 5 build-gcc/tests/torture reach
part 5 build-gcc/tests/torture deep
part 5 build-gcc/tests/torture-atomics threes "$seed"
part 10 build-gcc/tests/torture threes "$seed"
part 10 build-gcc/tests/torture random "$seed"
part 5 build-gcc/tests/torture sequences "$seed"
part 10 build-asan/tests/torture random $((seed + 1))
part 5 build-asan/tests/torture sequences $((seed + 1))
found=$(grep -c '^  repeat: ' "$log")
echo "$found findings"
[ "$found" = 0 ]
