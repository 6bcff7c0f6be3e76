/* SPDX-License-Identifier: MIT */
/*
 * A test program: its arguments, and the line that repeats a test that failed. Everything that
 * tests include has this first, instead of cmocka.h.
 */
#ifndef HVO_TESTS_PROGRAM_H
#define HVO_TESTS_PROGRAM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>

/*
 * What main() returns: the status of these tests, or of those of them that the arguments choose.
 * @setup and @teardown are for all together, NULL for nothing.
 */
#define run_program(argc, argv, tests, setup, teardown) \
	run_array(argc, argv, tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)
int run_array(int argc, char **argv, const struct CMUnitTest *tests, size_t nr,
	      CMFixtureFunction setup, CMFixtureFunction teardown);

/*
 * From here to the end of the test, or to another call: if the test fails, @name=VALUE stands in
 * front of the command that repeats it. Without @fmt it no longer does. For the thread of the test.
 */
void repeat_with(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * The seeds that tests/seeds has on record for the test that runs, in that order; HVO_SEED of the
 * environment alone, if it is set. Asserts that there is at least one, and no more than @max.
 */
size_t seeds_of_test(uint64_t *ret, size_t max);

/* File descriptors of the process that are open, one more for the look. */
unsigned int open_files(void);

/* cmocka's own, and noted: what is skipped has not failed. */
#undef skip
#define skip() skip_at(__FILE__, __LINE__)
void skip_at(const char *file, int line);

#endif
