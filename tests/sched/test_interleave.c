// SPDX-License-Identifier: MIT
/*
 * The short form of torture: from each prepared state some of the pairs of operations in all their
 * interleavings with one preemption, and with each call of the platform failed, lists of operations
 * at random, sequences of one thread, all short ones too, and the runs that once found something.
 * All pairs, and more: make torture.
 */
#include "program.h"

#include <stdio.h>
#include <stdlib.h>

#include "harness.h"
#include "random.h"
#include "reach.h"

/* One pair in so many, each state another part of all: the others are for make torture. */
#ifdef HVO_ATOMIC_STEPS
#define ONE_PAIR_IN 60
#define RANDOM_RUNS 30 /* of each state */
#elif WITH_ASAN || defined(HVO_COVERAGE)
#define ONE_PAIR_IN 40
#define RANDOM_RUNS 40
#else
#define ONE_PAIR_IN 14
#define RANDOM_RUNS 100
#endif

static struct finding finding;

static void expect_fine(bool fine, struct world *w)
{
	if (fine)
		return;
	run_shrink(w, &finding);
	(void)run_replay(w, &finding, &finding);
	finding_print(stderr, &finding, w);
	fail_msg("%s", finding.what);
}

static void for_states(void (*fn)(struct world *w, unsigned int state, enum hvo_mode mode))
{
	unsigned int i, mode;
	struct world w;

	for (mode = 0; mode < 2; mode++)
		for (i = 0; i < nr_states; i++) {
			if (!state_fits(&states[i], (enum hvo_mode)mode))
				continue;
			assert_int_equal(state_open(&w, &states[i], (enum hvo_mode)mode), 0);
			fn(&w, i, (enum hvo_mode)mode);
			world_close(&w);
		}
}

static void some_pairs(struct world *w, unsigned int state, enum hvo_mode mode)
{
	unsigned int a, b, nr = state + mode * 5;
	bool all;

	for (a = 0; a < nr_ops; a++)
		for (b = a; b < nr_ops; b++) {
			struct run run;

			if (!run_pair(&run, mode, &states[state], &ops[a], &ops[b]) ||
			    nr++ % ONE_PAIR_IN)
				continue;
			expect_fine(run_explore(w, &run, 1, REDUCE, UINT64_MAX, &finding, &all), w);
			assert_true(all);
		}
}

static void test_pairs(void **state)
{
	uint64_t runs = counts.runs;

	(void)state;
	for_states(some_pairs);
	assert_true(counts.runs > runs + 1000);
}

/* Others than some_pairs() takes. */
static void some_failing(struct world *w, unsigned int state, enum hvo_mode mode)
{
	unsigned int a, b, nr = state + mode * 5 + ONE_PAIR_IN / 2;
	bool all;

	for (a = 0; a < nr_ops; a++)
		for (b = a; b < nr_ops; b++) {
			struct run run;

			if (!run_pair(&run, mode, &states[state], &ops[a], &ops[b]) ||
			    nr++ % (4 * ONE_PAIR_IN))
				continue;
			expect_fine(run_failing(w, &run, 1, 1, REDUCE, 1000, &finding, &all), w);
		}
}

static void test_failures(void **state)
{
	uint64_t failed = counts.failed;

	(void)state;
	for_states(some_failing);
	assert_true(counts.failed > failed + 1000);
}

static void not_fine(struct world *w, struct finding *f)
{
	(void)f;
	expect_fine(false, w);
}

/* All sequences of two operations. */
static void reach_two(struct world *w, unsigned int state, enum hvo_mode mode)
{
	struct reach r = { .depth = 2, .max = UINT64_MAX, .found = not_fine, .finding = &finding };

	reach_all(&r, w, mode, &states[state]);
	assert_int_equal(r.whole, 2);
	assert_true(r.seen > 10);
}

static void test_reach(void **state)
{
	(void)state;
	for_states(reach_two);
}

static void some_random(struct world *w, unsigned int state, enum hvo_mode mode)
{
	uint64_t seed = rig_seed(1), i;

	for (i = 0; i < RANDOM_RUNS; i++)
		expect_fine(random_run(w, mode, &states[state], seed + i, POINTS, &finding), w);
}

static void test_random(void **state)
{
	(void)state;
	for_states(some_random);
}

static void some_sequences(struct world *w, unsigned int state, enum hvo_mode mode)
{
	uint64_t seed = rig_seed(1), i;

	for (i = 0; i < RANDOM_RUNS; i++)
		expect_fine(random_sequence(w, mode, &states[state], seed + i, &finding), w);
}

static void test_sequences(void **state)
{
	(void)state;
	for_states(some_sequences);
}

/* The lines of tests/sched/found. */
static void test_found(void **state)
{
	FILE *f = fopen(HVO_SOURCE "/tests/sched/found", "r");
	char line[8192];
	struct world w;
	unsigned int nr = 0;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (line[0] == '#' || line[0] == '\n')
			continue;
		if (!finding_parse(line, &finding))
			fail_msg("not a run: %s", line);
		nr++;
		/* Steps are others where each atomic access is one. */
		if (finding.run.points != POINTS)
			continue;
		assert_int_equal(state_open(&w, finding.run.state, finding.run.mode), 0);
		expect_fine(run_replay(&w, &finding, &finding), &w);
		world_close(&w);
	}
	fclose(f);
	assert_true(nr > 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),	 cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_failures), cmocka_unit_test(test_reach),
		cmocka_unit_test(test_random),	 cmocka_unit_test(test_sequences),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
