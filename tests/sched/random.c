// SPDX-License-Identifier: MIT
/*
 * Runs that follow from one 64-bit number: how many threads, which operations, which calls of the
 * platform fail, how threads are switched. Some kinds of operations are left out of each, so that
 * others meet more often.
 */
#include "random.h"

static unsigned int below(uint64_t *seed, unsigned int n)
{
	return (unsigned int)(hvo_sim_random(seed) % n);
}

static void choose_lists(struct run *run, uint64_t *seed, unsigned int longest)
{
	const struct op *fitting[MAX_CHOSEN];
	unsigned int i, t, nr = 0;

	for (i = 0; i < nr_ops && nr < MAX_CHOSEN; i++)
		if (op_fits(&ops[i], run->state, run->mode) && below(seed, 3))
			fitting[nr++] = &ops[i];
	for (t = 0; t < run->nr && nr; t++) {
		run->nr_list[t] = 1 + below(seed, longest);
		for (i = 0; i < run->nr_list[t]; i++)
			run->lists[t][i] = fitting[below(seed, nr)];
	}
}

void random_lists(struct run *run, uint64_t seed, unsigned int threads, unsigned int longest)
{
	run->nr = threads;
	choose_lists(run, &seed, longest);
}

bool random_run(struct world *w, enum hvo_mode mode, const struct state *state, uint64_t seed,
		uint32_t points, struct finding *ret)
{
	static const uint32_t one_in[] = { 1, 2, 4, 8, 16, 32, 64, 200 };
	struct run run = { .mode = mode, .state = state, .points = points };
	struct sched_plan plan = { .seed = seed, .points = points };

	run.nr = 2 + below(&seed, 2);
	choose_lists(&run, &seed, MAX_LIST);
	if (!below(&seed, 3)) {
		run.fail = 1 + below(&seed, 60);
		run.also = below(&seed, 2) ? run.fail + 1 + below(&seed, 20) : 0;
	}
	run.unfair = below(&seed, 2);
	plan.unfair = run.unfair;
	plan.mode = below(&seed, 3) ? SCHED_RANDOM : SCHED_PRIORITY;
	plan.one_in = one_in[below(&seed, sizeof(one_in) / sizeof(*one_in))];
	plan.preemptions = 1 + below(&seed, 6);
	return run_once(w, &run, &plan, ret);
}

bool random_sequence(struct world *w, enum hvo_mode mode, const struct state *state, uint64_t seed,
		     struct finding *ret)
{
	struct run run = { .mode = mode, .state = state, .nr = 1 };
	const struct sched_plan plan = { .mode = SCHED_REPLAY };

	choose_lists(&run, &seed, 6);
	run.fail = below(&seed, 2) ? 1 + below(&seed, 40) : 0;
	return run_once(w, &run, &plan, ret);
}
