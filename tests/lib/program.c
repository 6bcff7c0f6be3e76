// SPDX-License-Identifier: MIT
/*
 * A test program: see program.h.
 *
 * cmocka does not say which test failed. So each one gets a setup and a body from here, around its
 * own: a test that began and neither returned nor skipped has failed, as the next one's setup and
 * the end of all find.
 *
 * States: @at is the test that runs, nr before the first. Locks: none, one thread.
 */
#include "program.h"

#include <dirent.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <unistd.h>

#define VARIABLES 4
#define VALUE_MAX 64

static struct {
	const char *program;
	const struct CMUnitTest **chosen;
	size_t nr, at;
	bool over; /* the test that runs has returned or skipped */
	struct {
		const char *name;
		char value[VALUE_MAX];
	} variable[VARIABLES];
} self;

extern char **environ;

/* ---- the line that repeats a test -------------------------------------------------- */

void repeat_with(const char *name, const char *fmt, ...)
{
	va_list args;
	size_t i = 0;

	while (i < VARIABLES && self.variable[i].name && strcmp(self.variable[i].name, name) != 0)
		i++;
	assert_true(i < VARIABLES);
	self.variable[i].name = name;
	self.variable[i].value[0] = 0;
	if (!fmt)
		return;
	va_start(args, fmt);
	(void)vsnprintf(self.variable[i].value, VALUE_MAX, fmt, args);
	va_end(args);
}

static bool is_set_here(const char *assignment)
{
	size_t i, len;

	for (i = 0; i < VARIABLES && self.variable[i].name; i++) {
		len = strlen(self.variable[i].name);
		if (self.variable[i].value[0] && !strncmp(assignment, self.variable[i].name, len) &&
		    assignment[len] == '=')
			return true;
	}
	return false;
}

static const char *program_name(void)
{
	const char *slash = strrchr(self.program, '/');

	return slash ? slash + 1 : self.program;
}

/* A seed that found something is worth a line of tests/seeds. */
static void say_what_to_record(const char *test)
{
	size_t i;

	for (i = 0; i < VARIABLES && self.variable[i].name; i++)
		if (!strcmp(self.variable[i].name, "HVO_SEED") && self.variable[i].value[0])
			fprintf(stderr, "tests/seeds: %s %s %s WHY\n", program_name(), test,
				self.variable[i].value);
}

static void say_how_to_repeat(const char *test)
{
	int persona = personality(0xffffffff);
	char **var;
	size_t i;

	fprintf(stderr, "repeat: ");
	for (var = environ; *var; var++)
		if (!strncmp(*var, "HVO_", 4) && !is_set_here(*var))
			fprintf(stderr, "%s ", *var);
	for (i = 0; i < VARIABLES && self.variable[i].name; i++)
		if (self.variable[i].value[0])
			fprintf(stderr, "%s=%s ", self.variable[i].name, self.variable[i].value);
	if (persona != -1 && persona & ADDR_NO_RANDOMIZE)
		fprintf(stderr, "setarch -R ");
	fprintf(stderr, "%s -t %s\n", self.program, test);
	say_what_to_record(test);
}

size_t seeds_of_test(uint64_t *ret, size_t max)
{
	const char *asked = getenv("HVO_SEED");
	char line[256], program[64], test[64];
	unsigned long long seed;
	size_t nr = 0;
	FILE *f;

	if (asked) {
		ret[0] = strtoull(asked, NULL, 0);
		return 1;
	}
	f = fopen(HVO_SOURCE "/tests/seeds", "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (line[0] == '#')
			continue;
		if (sscanf(line, "%63s %63s %llu", program, test, &seed) != 3)
			fail_msg("tests/seeds: not PROGRAM TEST SEED WHY: %s", line);
		if (strcmp(program, program_name()) != 0 ||
		    strcmp(test, self.chosen[self.at]->name) != 0)
			continue;
		assert_true(nr < max);
		ret[nr++] = seed;
	}
	(void)fclose(f);
	if (!nr)
		fail_msg("tests/seeds: none for %s %s", program_name(), self.chosen[self.at]->name);
	return nr;
}

static void settle(void)
{
	if (self.at < self.nr && !self.over)
		say_how_to_repeat(self.chosen[self.at]->name);
	memset(self.variable, 0, sizeof(self.variable));
	self.over = false;
}

/* ---- around each test ---------------------------------------------------------------- */

unsigned int open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int nr = 0;

	assert_non_null(dir);
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

void skip_at(const char *file, int line)
{
	self.over = true;
	_skip(file, line);
}

static int begin(void **state)
{
	settle();
	self.at = self.at < self.nr ? self.at + 1 : 0;
	return self.chosen[self.at]->setup_func ? self.chosen[self.at]->setup_func(state) : 0;
}

static void body(void **state)
{
	self.chosen[self.at]->test_func(state);
	self.over = true;
}

/* ---- arguments ------------------------------------------------------------------------- */

static int usage(FILE *out, int status)
{
	fprintf(out,
		"usage: %s [-t GLOB] [-l]\n"
		"	-t GLOB	only tests with such a name, as *move* or *@(move|heal)*\n"
		"	-l	list the tests, run none\n"
		"	-h	this\n"
		"What is random starts from HVO_SEED, else from the seeds in tests/seeds. With\n"
		"HVO_FAULT=@POINT, @POINT+ or @POINT,POINT a simulated machine fails at these points,\n"
		"counted from its opening, in any test that does not choose them itself.\n",
		self.program);
	return status;
}

static int run_chosen(struct CMUnitTest *around, CMFixtureFunction setup,
		      CMFixtureFunction teardown)
{
	int failed;
	size_t i;

	for (i = 0; i < self.nr; i++) {
		around[i] = *self.chosen[i];
		around[i].setup_func = begin;
		around[i].test_func = body;
	}
	self.at = self.nr;
	failed = _cmocka_run_group_tests("tests", around, self.nr, setup, teardown);
	settle();
	return failed;
}

static int run_matching(const struct CMUnitTest *tests, size_t nr, const char *glob, bool list,
			CMFixtureFunction setup, CMFixtureFunction teardown)
{
	struct CMUnitTest *around = calloc(nr, sizeof(*around));
	int status = 0;
	size_t i;

	self.chosen = calloc(nr, sizeof(const struct CMUnitTest *));
	if (!around || !self.chosen)
		abort();
	for (i = 0; i < nr; i++)
		if (!fnmatch(glob, tests[i].name, FNM_EXTMATCH))
			self.chosen[self.nr++] = &tests[i];
	if (!self.nr) {
		fprintf(stderr, "%s: no test is called '%s'; -l lists them\n", self.program, glob);
		status = 2;
	} else if (!list) {
		status = run_chosen(around, setup, teardown);
	} else {
		for (i = 0; i < self.nr; i++)
			puts(self.chosen[i]->name);
	}
	free(self.chosen);
	free(around);
	return status;
}

int run_array(int argc, char **argv, const struct CMUnitTest *tests, size_t nr,
	      CMFixtureFunction setup, CMFixtureFunction teardown)
{
	const char *glob = "*";
	bool list = false;
	int opt;

	self.program = argv[0];
	while ((opt = getopt(argc, argv, "t:lh")) != -1) {
		switch (opt) {
		case 't':
			glob = optarg;
			break;
		case 'l':
			list = true;
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	if (optind < argc)
		return usage(stderr, 2);
	return run_matching(tests, nr, glob, list, setup, teardown);
}
