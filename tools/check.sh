#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check.sh - build with both compilers and under the sanitizers, run all tests, and check what
# a compiler does not. The last line is "N passed, N failed", with ", N skipped" if any.
#
# First everything is built, then one queue of all programs of all builds and of the other checks
# is worked off, the longest first, so that no processor waits for the end of a stage. Results are
# printed as they come.
#
# JOBS (default: all processors), TEST_TIMEOUT (seconds for one program, default 600) and ONLY (a
# pattern for names of programs and checks: those alone, in all builds).

set -u
shopt -s nullglob
export LC_ALL=C
unset CFLAGS CPPFLAGS CXXFLAGS LDFLAGS
ulimit -c 0

cd "$(dirname "$0")/.." || exit 1

jobs=${JOBS:-$(nproc)}
timeout=${TEST_TIMEOUT:-600}
only=${ONLY:-*}
passed=0
failed=0
skipped=0

tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

if [ -t 1 ]; then
	bold=$'\e[1m' red=$'\e[31m' yellow=$'\e[33m' plain=$'\e[0m'
else
	bold='' red='' yellow='' plain=''
fi

# ---- output --------------------------------------------------------------------

now() # in ms
{
	local t=${EPOCHREALTIME/./}

	echo $((t / 1000))
}

heading()
{
	printf '%s%s%s\n' "$bold" "$1" "$plain"
}

# line NAME RESULT MS: one step's result
line()
{
	local colour=''

	case $2 in
	*failed* | *FAILED*) colour=$red ;;
	*skipped*) colour=$yellow ;;
	esac
	printf '  %-34s %s%-26s%s %4d.%d s\n' "$1" "$colour" "$2" "$plain" \
		$(($3 / 1000)) $(($3 % 1000 / 100))
}

skip() # NAME REASON: counts as one
{
	printf '  %-34s %sskipped: %s%s\n' "$1" "$yellow" "$2" "$plain"
	skipped=$((skipped + 1))
}

show_log()
{
	tail -n "${2:-60}" "$1" | sed 's/^/      | /'
}

# ---- builds --------------------------------------------------------------------

# setup BUILD CC [MESON OPTION...]: build-BUILD, if it is not there
setup()
{
	local dir=build-$1 cc=$2

	shift 2
	mkdir -p "$dir/check-logs" || exit 1
	: >"$dir/check-build.log"
	[ -f "$dir/build.ninja" ] ||
		CC=$cc meson setup "$dir" -Dtests=enabled -Dcommand=enabled "$@" \
			>>"$dir/check-build.log" 2>&1
}

# build BUILD
build()
{
	local dir=build-$1 start

	start=$(now)
	if ! ninja -C "$dir" -j "$jobs" -k 0 >>"$dir/check-build.log" 2>&1; then
		line "build $1" FAILED $(($(now) - start))
		show_log "$dir/check-build.log"
		failed=$((failed + 1))
		return 1
	fi
	line "build $1" ok $(($(now) - start))
}

# ---- the queue -----------------------------------------------------------------

# By number: what is printed, what counts its result, where its output goes, its command, and what
# must not run beside it.
labels=() counts=() logs=() commands=() alone=()

# add_program BUILD NAME [WRAPPER...]; HVO_LAYOUT: the layout of descriptors, if not the default
add_program()
{
	local build=$1 name=$2 layout=${HVO_LAYOUT-}

	shift 2
	# shellcheck disable=SC2053 # a pattern
	[[ $name == $only ]] || return
	labels+=("$build $name${layout:+, $layout}")
	counts+=(count_one)
	logs+=("build-$build/check-logs/$name${layout:+-$layout}.log")
	case $name in
	# Those that change what is the host's: its pools, its switches.
	test_admin | test_arena | test_diff | test_lend* | test_thp) alone+=(host) ;;
	# The same program of two builds may have a name in common, of a socket or a cgroup.
	*) alone+=("$name") ;;
	esac
	if [ -x "build-$build/tests/$name" ]; then
		commands+=("${layout:+env HVO_LAYOUT=$layout} $* build-$build/tests/$name ${only_tests[$build,$name]-}")
	else
		commands+=("echo is it in tests/meson.build?")
	fi
}

# check NAME COMMAND...: one test; with status 77 the last line says why it cannot be done here
check()
{
	local name=$1

	shift
	# shellcheck disable=SC2053 # a pattern
	[[ $name == $only ]] || return
	labels+=("$name")
	counts+=(count_check)
	logs+=("$tmp/check-${#logs[@]}")
	commands+=("$*")
	alone+=("$name")
}

# run_one COMMAND LOG: leaves LOG, LOG.rc and LOG.ms
run_one()
{
	local start rc

	start=$(now)
	# A function of this script, or a program.
	# shellcheck disable=SC2086 # a command is words
	if declare -F "${1%% *}" >/dev/null; then
		$1 >"$2" 2>&1 </dev/null
	else
		set -f
		timeout -k 5 "$timeout" $1 >"$2" 2>&1 </dev/null
	fi
	rc=$?
	echo $(($(now) - start)) >"$2.ms"
	echo $rc >"$2.rc"
}

# next: sets $at to the number of what can be started; false if there is nothing
next()
{
	local running=" ${busy[*]} "

	for at in "${!waiting[@]}"; do
		[[ $running == *" <${alone[at]}> "* ]] || return 0
	done
	return 1
}

run_queue()
{
	local -A number=() busy=()
	local -a waiting=("${!labels[@]}")
	local at pid

	while [ ${#waiting[@]} -gt 0 ] || [ ${#number[@]} -gt 0 ]; do
		while [ ${#number[@]} -lt "$jobs" ] && next; do
			run_one "${commands[at]}" "${logs[at]}" 2>/dev/null &
			number[$!]=$at
			busy[$!]="<${alone[at]}>"
			unset "waiting[at]"
		done
		wait -n -p pid "${!number[@]}"
		at=${number[$pid]}
		unset "number[$pid]" "busy[$pid]"
		${counts[at]} "${labels[at]}" "${logs[at]}"
	done
}

# count_one NAME LOG: reads cmocka's own count. A program that ends badly without telling of
# a failed test (a crash, a leak, a time-out), or that counts nothing, is one failure.
count_one()
{
	local name=$1 log=$2 rc ms p f s text why='' program=build-${1/ //tests/}

	[[ $program == *", "* ]] && program="HVO_LAYOUT=${program##*, } ${program%, *}"
	rc=$(cat "$log.rc")
	ms=$(cat "$log.ms")
	read -r p f s < <(awk '
		match($0, /\[  PASSED  \] [0-9]+ test\(s\)/) { split(substr($0, RSTART), w, " "); p += w[4] }
		match($0, /\[  FAILED  \] [0-9]+ test\(s\)/) { split(substr($0, RSTART), w, " "); f += w[4] }
		match($0, /\[  SKIPPED \] [0-9]+ test\(s\)/) { split(substr($0, RSTART), w, " "); s += w[4] }
		END { print p + 0, f + 0, s + 0 }' "$log")

	if [ "$f" -eq 0 ]; then
		if [ "$rc" -eq 124 ] || [ "$rc" -eq 137 ]; then
			f=1 why=" (more than $timeout s)"
		elif [ "$rc" -ne 0 ]; then
			f=1 why=" (status $rc)"
		elif [ $((p + s)) -eq 0 ]; then
			f=1 why=" (no tests in it)"
		fi
	fi
	passed=$((passed + p))
	failed=$((failed + f))
	skipped=$((skipped + s))

	text="$p passed"
	[ "$f" -gt 0 ] && text+=", $f failed$why"
	[ "$s" -gt 0 ] && text+=", $s skipped"
	line "$name" "$text" "$ms"
	if [ "$f" -gt 0 ]; then
		# What it said, without the tests that went well.
		grep -Ev '^\[( RUN      |       OK )\]' "$log" >"$tmp/shown"
		show_log "$tmp/shown"
		# A program that died did not say how to repeat what it was at.
		grep -q '^repeat: ' "$log" ||
			sed -n 's/^\[ RUN      \] //p' "$log" | tail -n 1 |
			sed "s|^|      repeat: $program -t |"
	fi
	if [ "$s" -gt 0 ]; then
		awk '/\[  SKIPPED \] [0-9]+ test\(s\)/ { on = 1; next }
			on && /^\[  SKIPPED \] / { sub(/^\[  SKIPPED \] /, ""); print "      skipped: " $0; next }
			{ on = 0 }' "$log"
	fi
}

count_check()
{
	local name=$1 log=$2 rc ms

	rc=$(cat "$log.rc")
	ms=$(cat "$log.ms")
	if [ "$rc" -eq 0 ]; then
		passed=$((passed + 1))
		line "$name" "1 passed" "$ms"
	elif [ "$rc" -eq 77 ]; then
		skip "$name" "$(tail -n 1 "$log")"
	else
		failed=$((failed + 1))
		line "$name" "1 failed" "$ms"
		show_log "$log" 40
	fi
}

# ---- checks --------------------------------------------------------------------

# compile_headers COMPILER...: each header on its own
compile_headers()
{
	local header rc=0

	for header in include/hvo/*.h; do
		echo "#include <${header#include/}>" | "$@" -Iinclude -fsyntax-only - || rc=1
	done
	return $rc
}

headers_c11()
{
	local cc rc=0

	for cc in gcc clang; do
		compile_headers $cc -x c -std=c11 -Wall -Wextra -Wpedantic -Wconversion \
			-Wsign-conversion -Wshadow -Wundef -Wstrict-prototypes -Werror || rc=1
	done
	return $rc
}

headers_cxx17()
{
	local cxx rc=0

	for cxx in clang++ g++; do
		command -v $cxx >/dev/null || continue
		compile_headers $cxx -x c++ -std=c++17 -Wall -Wextra -Wpedantic -Werror || rc=1
	done
	return $rc
}

# What is there but in no list is never built.
sources_listed()
{
	local file rc=0

	while read -r file; do
		if ! grep -Fq "'$file'" meson.build; then
			echo "$file: not in meson.build"
			rc=1
		fi
	done < <(find src -name '*.c' && find include -name '*.h')
	return $rc
}

# probe NAME CC FLAGS [WRAPPER...]: does a program built like this run here?
probe()
{
	local program=$tmp/probe-$1 cc=$2 flags=$3

	shift 3
	if [ ! -x "$program" ]; then
		# shellcheck disable=SC2086 # flags are words
		echo 'int main(void) { return 0; }' | $cc $flags -x c - -o "$program" 2>/dev/null ||
			return 1
	fi
	"$@" "$program" >/dev/null 2>&1
}

# ---- what is done --------------------------------------------------------------

begin=$(now)
programs=()
for file in tests/*/test_*.c; do
	name=${file##*/}
	programs+=("${name%.c}")
done
# What takes longest is begun first.
slowest=(test_fault test_hotplug test_migrate test_failed test_model test_contig test_command
	test_lab test_cli test_lend test_linux test_scope test_whole test_threads_move
	test_interleave)
for name in "${programs[@]}"; do
	[[ " ${slowest[*]} " == *" $name "* ]] || slowest+=("$name")
done

heading "builds"
setup gcc gcc -Dwerror=true &
setup clang clang -Dwerror=true &
setup asan gcc -Db_sanitize=address,undefined -Db_lundef=false &
setup tsan clang -Db_sanitize=thread -Db_lundef=false &
wait
built=' '
for name in gcc clang asan tsan; do
	build $name && built+="$name "
done

export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export ASAN_OPTIONS=detect_leaks=1
export TSAN_OPTIONS=second_deadlock_stack=1
if ! probe asan gcc -fsanitize=address; then
	ASAN_OPTIONS=detect_leaks=0
	skip "leaks" "the leak sanitizer does not run here"
fi
# Where the kernel randomises more address bits than the sanitizer knows.
tsan=()
if ! probe tsan clang -fsanitize=thread; then
	tsan=(setarch -R)
	if ! probe tsan clang -fsanitize=thread "${tsan[@]}"; then
		skip "thread sanitizer" "it does not run here"
		built=${built/ tsan/}
	fi
fi

# Of a program with a few tests of threads the thread sanitizer runs these.
declare -A only_tests=()
with_clang() # NAME
{
	case $1 in
	# With gcc, and with gcc under the sanitizers: the longest programs of one thread.
	test_contig | test_failed | test_fault | test_hotplug | test_migrate | test_model | \
		test_scope | test_cli | test_command | test_lab | test_zone | test_hugetlb | \
		test_nodes | test_across | test_interleave) false ;;
	esac
}

# What walks all that can be done, in the table layout too.
with_other() # NAME
{
	case $1 in
	test_model | test_move | test_poison | test_hugetlb | test_order | test_zone | test_migrate | \
		test_threads | test_threads_move | test_threads_unplug | test_interleave) ;;
	*) false ;;
	esac
}

with_threads() # NAME
{
	local file

	case $1 in
	test_threads* | test_failed | test_lend | test_lend_memory) return ;;
	# The other tests of it, whole under the others, have one thread.
	test_linux)
		only_tests[tsan,$1]='-t *@(worker|busy|asleep)*'
		return
		;;
	esac
	file=(tests/*/"$1".c)
	grep -q '<pthread\.h>' "${file[@]}" || return
	only_tests[tsan,$1]='-t *threads*'
}

for name in "${slowest[@]}"; do
	[[ $built == *" asan "* ]] && add_program asan "$name"
	[[ $built == *" tsan "* ]] && with_threads "$name" && add_program tsan "$name" "${tsan[@]}"
	[[ $built == *" gcc "* ]] && add_program gcc "$name"
	[[ $built == *" clang "* ]] && with_clang "$name" && add_program clang "$name"
	if with_other "$name"; then
		[[ $built == *" gcc "* ]] && HVO_LAYOUT=other add_program gcc "$name"
		[[ $built == *" tsan "* && $name == test_threads* ]] &&
			HVO_LAYOUT=other add_program tsan "$name" "${tsan[@]}"
	fi
	# Once more, with each atomic access a step.
	[ "$name" = test_interleave ] && [[ $built == *" gcc "* ]] &&
		add_program gcc test_interleave_atomics
	if [ "$name" = test_model ]; then
		check "a kernel that refuses" env HVO=build-gcc/hvo examples/refused.sh
		check "memory for a QEMU" env HVO=build-gcc/hvo examples/qemu.sh
	fi
done
check "make does what it is told" tools/check-make.sh
check "core and mmu stand alone" tools/check-undefined.sh build-gcc build-clang
check "layers of the core" tools/check-layers.sh build-gcc build-clang
check "assertions of the core" tools/check-asserts.sh
check "headers alone, C11" headers_c11
check "headers alone, C++17" headers_cxx17
check "sources are listed" sources_listed
check "README example" tools/readme-example.sh build-gcc
check "completion" tools/check-completion.sh build-gcc
check "folders in order" tools/check-folders.sh
check "exported symbols" tools/check-symbols.sh build-gcc
check "manual pages" tools/check-man.sh build-gcc
check "design" tools/check-design.sh
check "installed, used from C, C++" tools/check-install.sh build-gcc
if command -v shellcheck >/dev/null; then
	check "shellcheck" shellcheck tools/*.sh lab/*.sh examples/*.sh .ci/run
else
	skip "shellcheck" "not installed"
fi

heading "tests and other checks"
run_queue
if [ ${#programs[@]} -eq 0 ]; then
	line "tests" "1 failed (there are none)" 0
	failed=$((failed + 1))
fi

printf '%d s\n' $((($(now) - begin) / 1000))
echo "$passed passed, $failed failed$([ $skipped -gt 0 ] && echo ", $skipped skipped")"
[ $failed -eq 0 ]
