#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check.sh - build with both compilers and under the sanitizers, run all tests, and check what
# a compiler does not. The last line is "N passed, N failed", with ", N skipped" if any.
#
# JOBS (default: all processors) and TEST_TIMEOUT (seconds for one program, default 600).

set -u
shopt -s nullglob
export LC_ALL=C
unset CFLAGS CPPFLAGS CXXFLAGS LDFLAGS
ulimit -c 0

cd "$(dirname "$0")/.." || exit 1

jobs=${JOBS:-$(nproc)}
timeout=${TEST_TIMEOUT:-600}
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
	printf '  %-28s %s%-32s%s %4d.%d s\n' "$1" "$colour" "$2" "$plain" \
		$(($3 / 1000)) $(($3 % 1000 / 100))
}

skip() # NAME REASON: counts as one
{
	printf '  %-28s %sskipped: %s%s\n' "$1" "$yellow" "$2" "$plain"
	skipped=$((skipped + 1))
}

show_log()
{
	tail -n "${2:-60}" "$1" | sed 's/^/      | /'
}

# ---- steps ---------------------------------------------------------------------

# build DIR CC [MESON OPTION...]
build()
{
	local dir=$1 cc=$2 log=$1/check-build.log start rc

	shift 2
	start=$(now)
	mkdir -p "$dir" || exit 1
	: >"$log"
	rc=0
	if [ ! -f "$dir/build.ninja" ]; then
		CC=$cc meson setup "$dir" -Dtests=enabled -Dcommand=enabled "$@" >>"$log" 2>&1 || rc=1
	fi
	if [ $rc -eq 0 ]; then
		ninja -C "$dir" -j "$jobs" -k 0 >>"$log" 2>&1 || rc=1
	fi
	if [ $rc -ne 0 ]; then
		line build FAILED $(($(now) - start))
		show_log "$log"
		failed=$((failed + 1))
		return 1
	fi
	line build ok $(($(now) - start))
}

# run_one PROGRAM LOG [WRAPPER...]: leaves LOG, LOG.rc and LOG.ms
run_one()
{
	local program=$1 log=$2 start rc

	shift 2
	start=$(now)
	timeout -k 5 "$timeout" "$@" "$program" >"$log" 2>&1 </dev/null
	rc=$?
	echo $(($(now) - start)) >"$log.ms"
	echo $rc >"$log.rc"
}

# count_one NAME LOG: reads cmocka's own count. A program that ends badly without telling of
# a failed test (a crash, a leak, a time-out), or that counts nothing, is one failure.
count_one()
{
	local name=$1 log=$2 rc ms p f s text why=

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
	fi
	if [ "$s" -gt 0 ]; then
		awk '/\[  SKIPPED \] [0-9]+ test\(s\)/ { on = 1; next }
			on && /^\[  SKIPPED \] / { sub(/^\[  SKIPPED \] /, ""); print "      skipped: " $0; next }
			{ on = 0 }' "$log"
	fi
}

# run_tests DIR "WRAPPER" NAME...: the programs side by side, their results in order
run_tests()
{
	local dir=$1 wrapper=$2 name running=0
	local -a wrap

	shift 2
	read -ra wrap <<<"$wrapper"
	mkdir -p "$dir/check-logs"
	for name in "$@"; do
		[ -x "$dir/tests/$name" ] || continue
		if [ $running -ge "$jobs" ]; then
			wait -n
			running=$((running - 1))
		fi
		run_one "$dir/tests/$name" "$dir/check-logs/$name.log" "${wrap[@]}" 2>/dev/null &
		running=$((running + 1))
	done
	wait
	for name in "$@"; do
		if [ -x "$dir/tests/$name" ]; then
			count_one "$name" "$dir/check-logs/$name.log"
		else
			line "$name" "1 failed (not built)" 0
			echo "      | is it in tests/meson.build?"
			failed=$((failed + 1))
		fi
	done
}

# check NAME COMMAND...: one test; with status 77 the last line says why it cannot be done here
check()
{
	local name=$1 start rc

	shift
	start=$(now)
	"$@" >"$tmp/check.log" 2>&1 </dev/null
	rc=$?
	if [ $rc -eq 0 ]; then
		passed=$((passed + 1))
		line "$name" "1 passed" $(($(now) - start))
	elif [ $rc -eq 77 ]; then
		skip "$name" "$(tail -n 1 "$tmp/check.log")"
	else
		failed=$((failed + 1))
		line "$name" "1 failed" $(($(now) - start))
		show_log "$tmp/check.log" 40
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

all=()
threaded=()
with_clang=()
for file in tests/test_*.c; do
	name=${file#tests/}
	name=${name%.c}
	all+=("$name")
	# The longest ones run with gcc, and with it under the sanitizers.
	case $name in
	test_contig | test_failed | test_fault | test_hotplug) ;;
	*) with_clang+=("$name") ;;
	esac
	case $name in
	test_threads*) threaded+=("$name") ;;
	*) grep -Eq '<(pthread|threads)\.h>' "$file" && threaded+=("$name") ;;
	esac
done
begin=$(now)

heading "gcc -Werror"
build build-gcc gcc -Dwerror=true && run_tests build-gcc "" "${all[@]}"

heading "clang -Werror"
build build-clang clang -Dwerror=true && run_tests build-clang "" "${with_clang[@]}"

heading "gcc, address and undefined behaviour sanitizers"
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export ASAN_OPTIONS=detect_leaks=1
if build build-asan gcc -Db_sanitize=address,undefined -Db_lundef=false; then
	if ! probe asan gcc -fsanitize=address; then
		ASAN_OPTIONS=detect_leaks=0
		skip "leaks" "the leak sanitizer does not run here"
	fi
	run_tests build-asan "" "${all[@]}"
fi

heading "clang, thread sanitizer"
export TSAN_OPTIONS=second_deadlock_stack=1
if [ ${#threaded[@]} -eq 0 ]; then
	skip "tests" "none starts threads"
elif build build-tsan clang -Db_sanitize=thread -Db_lundef=false; then
	# Where the kernel randomises more address bits than the sanitizer knows.
	if probe tsan clang -fsanitize=thread; then
		run_tests build-tsan "" "${threaded[@]}"
	elif probe tsan clang -fsanitize=thread setarch -R; then
		run_tests build-tsan "setarch -R" "${threaded[@]}"
	else
		skip "${#threaded[@]} programs" "the thread sanitizer does not run here"
	fi
fi

heading "other checks"
check "core and mmu stand alone" tools/check-undefined.sh build-gcc build-clang
check "layers of the core" tools/check-layers.sh build-gcc build-clang
check "headers alone, C11" headers_c11
check "headers alone, C++17" headers_cxx17
check "sources are listed" sources_listed
check "README example" tools/readme-example.sh build-gcc
check "make does what it is told" tools/check-make.sh
check "memory for a QEMU" env HVO=build-gcc/hvo examples/qemu.sh
check "a kernel that refuses" env HVO=build-gcc/hvo examples/refused.sh
check "completion" tools/check-completion.sh build-gcc
check "exported symbols" tools/check-symbols.sh build-gcc
check "manual pages" tools/check-man.sh build-gcc
check "design" tools/check-design.sh
check "installed, used from C, C++" tools/check-install.sh build-gcc
if command -v shellcheck >/dev/null; then
	check "shellcheck" shellcheck tools/*.sh lab/*.sh examples/*.sh .ci/run
else
	skip "shellcheck" "not installed"
fi

if [ ${#all[@]} -eq 0 ]; then
	line "tests" "1 failed (there are none)" 0
	failed=$((failed + 1))
fi

printf '%d s\n' $((($(now) - begin) / 1000))
echo "$passed passed, $failed failed$([ $skipped -gt 0 ] && echo ", $skipped skipped")"
[ $failed -eq 0 ]
