// SPDX-License-Identifier: MIT
/*
 * torture - every interleaving, as far as time goes
 *
 *	torture pairs [MINUTES]		all pairs of operations from all states
 *	torture some MINUTES SEED	pairs at random, all of each
 *	torture threes MINUTES SEED	two against one
 *	torture random MINUTES SEED	lists of operations, failures, priorities
 *	torture sequences MINUTES SEED	one thread, up to six operations
 *	torture one 'MODE STATE OP/OP' [PREEMPTIONS]
 *	torture replay LINE		the line of a finding
 *	torture list			modes, states, operations
 *
 * Status: 0; 1 if something was found; 2 for arguments that make no sense.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "random.h"
#include "run.h"

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static unsigned int nr_found;

static void found(struct world *w, struct finding *f)
{
	run_shrink(w, f);
	(void)run_replay(w, f, f);
	finding_print(stdout, f, w);
	fflush(stdout);
	nr_found++;
}

static void summary(const char *what, double start)
{
	double s = now() - start;

	printf("%s: %" PRIu64 " runs, %" PRIu64 " steps, %" PRIu64
	       " switches, %.1f s (%.0f runs/s, "
	       "%.0f switches/s), %u findings\n",
	       what, counts.runs, counts.steps, counts.switches, s, (double)counts.runs / s,
	       (double)counts.switches / s, nr_found);
}

static void pairs_of(const struct state *state, enum hvo_mode mode, uint32_t points,
		     unsigned int preemptions, double end, struct finding *f)
{
	struct world w;
	unsigned int a, b;
	bool all;

	if (state_open(&w, state, mode)) {
		printf("%s cannot be made\n", state->name);
		return;
	}
	for (a = 0; a < nr_ops && now() < end; a++)
		for (b = a; b < nr_ops; b++) {
			struct run run = { .mode = mode,
					   .state = state,
					   .nr = 2,
					   .lists = { { &ops[a] }, { &ops[b] } },
					   .nr_list = { 1, 1 },
					   .points = points };

			if (!op_fits(&ops[a], state, mode) || !op_fits(&ops[b], state, mode))
				continue;
			if (!run_explore(&w, &run, preemptions, REDUCE, UINT64_MAX, f, &all))
				found(&w, f);
		}
	world_close(&w);
}

static void pairs(double minutes, uint32_t points, unsigned int preemptions)
{
	struct finding *f = malloc(sizeof(*f));
	double start = now(), end = start + 60 * minutes;
	unsigned int s, mode;

	for (mode = 0; mode < 2; mode++)
		for (s = 0; s < nr_states && now() < end; s++)
			if (state_fits(&states[s], (enum hvo_mode)mode))
				pairs_of(&states[s], (enum hvo_mode)mode, points, preemptions, end,
					 f);
	summary("pairs", start);
	free(f);
}

/* Two against one, chosen by seed; each until it was all, or a few thousand. */
static void threes(double minutes, uint64_t seed)
{
	struct finding *f = malloc(sizeof(*f));
	double start = now(), end = start + 60 * minutes;
	unsigned int s, mode, i, t;
	uint64_t whole = 0, parts = 0;
	struct world w;
	bool all;

	while (f && now() < end)
		for (mode = 0; mode < 2; mode++)
			for (s = 0; s < nr_states && now() < end; s++) {
				if (!state_fits(&states[s], (enum hvo_mode)mode) ||
				    state_open(&w, &states[s], (enum hvo_mode)mode))
					continue;
				for (i = 0; i < 10 && now() < end; i++) {
					struct run run = { .mode = (enum hvo_mode)mode,
							   .state = &states[s],
							   .points = POINTS };

					random_lists(&run, seed++, 3, 1);
					t = run_explore(&w, &run, 1, REDUCE, 4000, f, &all);
					if (!t)
						found(&w, f);
					whole += all;
					parts += !all;
				}
				world_close(&w);
			}
	printf("threes: %" PRIu64 " whole, %" PRIu64 " in part\n", whole, parts);
	summary("threes", start);
	free(f);
}

/* Each state in turn, so many seeds each, until the time is over. */
static void at_random(double minutes, uint64_t seed, bool alone)
{
	struct finding *f = malloc(sizeof(*f));
	double start = now(), end = start + 60 * minutes;
	unsigned int s, mode, i;
	struct world w;

	while (now() < end)
		for (mode = 0; mode < 2; mode++)
			for (s = 0; s < nr_states && now() < end; s++) {
				if (!state_fits(&states[s], (enum hvo_mode)mode) ||
				    state_open(&w, &states[s], (enum hvo_mode)mode))
					continue;
				for (i = 0; i < 1000 && now() < end; i++, seed++)
					if (!(alone ? random_sequence(&w, (enum hvo_mode)mode,
								      &states[s], seed, f) :
						      random_run(&w, (enum hvo_mode)mode,
								 &states[s], seed, POINTS, f)))
						found(&w, f);
				world_close(&w);
			}
	summary(alone ? "sequences" : "random", start);
	free(f);
}

/* An operation of each kind in turn against one at random. */
static void some_of(struct world *w, const struct state *state, enum hvo_mode mode,
		    unsigned int first, double end, struct finding *f)
{
	unsigned int i, a, b;
	bool all;

	for (i = 0; i < 8 && now() < end; i++) {
		a = (first + i) % nr_ops;
		b = (unsigned int)rand() % nr_ops;
		struct run run = { .mode = mode,
				   .state = state,
				   .nr = 2,
				   .lists = { { &ops[a] }, { &ops[b] } },
				   .nr_list = { 1, 1 },
				   .points = POINTS };

		if (op_fits(&ops[a], state, mode) && op_fits(&ops[b], state, mode) &&
		    !run_explore(w, &run, 1, REDUCE, 1000, f, &all))
			found(w, f);
	}
}

/* Some pairs of each state in turn, until the time is over. */
static void some(double minutes, unsigned int seed)
{
	struct finding *f = malloc(sizeof(*f));
	double start = now(), end = start + 60 * minutes;
	unsigned int s, mode, first = seed;
	struct world w;

	srand(seed);
	while (now() < end)
		for (mode = 0; mode < 2; mode++)
			for (s = 0; s < nr_states && now() < end; s++) {
				if (!state_fits(&states[s], (enum hvo_mode)mode) ||
				    state_open(&w, &states[s], (enum hvo_mode)mode))
					continue;
				some_of(&w, &states[s], (enum hvo_mode)mode, first, end, f);
				first += 8;
				world_close(&w);
			}
	summary("some pairs", start);
	free(f);
}

static int one(const char *text, unsigned int preemptions)
{
	struct finding *f = malloc(sizeof(*f));
	double start = now();
	char line[1024];
	struct world w;
	bool all = false;

	snprintf(line, sizeof(line), "%s %x 0,0 0 ", text, POINTS);
	if (!f || !finding_parse(line, f) || state_open(&w, f->run.state, f->run.mode)) {
		fprintf(stderr, "torture: %s: cannot be run\n", text);
		return 2;
	}
	struct run run = f->run;

	if (!run_explore(&w, &run, preemptions, REDUCE, UINT64_MAX, f, &all))
		found(&w, f);
	summary(all ? "all" : "not all", start);
	world_close(&w);
	free(f);
	return nr_found != 0;
}

static int replay(const char *line)
{
	struct finding *f = malloc(sizeof(*f)), *got = malloc(sizeof(*got));
	struct world w;
	bool fine;

	if (!f || !got || !finding_parse(line, f) || state_open(&w, f->run.state, f->run.mode)) {
		fprintf(stderr, "torture: cannot be run\n");
		return 2;
	}
	fine = run_replay(&w, f, got);
	if (fine)
		printf("all is well\n");
	else
		finding_print(stdout, got, &w);
	world_close(&w);
	free(f);
	free(got);
	return !fine;
}

static int list(void)
{
	unsigned int i;

	printf("modes: on-demand linux\nstates:");
	for (i = 0; i < nr_states; i++)
		printf(" %s", states[i].name);
	printf("\noperations:");
	for (i = 0; i < nr_ops; i++)
		printf(" %s", ops[i].name);
	printf("\n");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "replay"))
		return replay(argv[2]);
	if (argc > 2 && !strcmp(argv[1], "one"))
		return one(argv[2], argc > 3 ? (unsigned int)atoi(argv[3]) : 1);
	if (argc > 1 && !strcmp(argv[1], "pairs")) {
		pairs(argc > 2 ? atof(argv[2]) : 1e9, POINTS, 1);
		return nr_found != 0;
	}
	if (argc > 3 && !strcmp(argv[1], "threes")) {
		threes(atof(argv[2]), strtoull(argv[3], NULL, 0));
		return nr_found != 0;
	}
	if (argc > 3 && !strcmp(argv[1], "some")) {
		some(atof(argv[2]), (unsigned int)strtoul(argv[3], NULL, 0));
		return nr_found != 0;
	}
	if (argc > 3 && (!strcmp(argv[1], "random") || !strcmp(argv[1], "sequences"))) {
		at_random(atof(argv[2]), strtoull(argv[3], NULL, 0), argv[1][0] == 's');
		return nr_found != 0;
	}
	if (argc > 1 && !strcmp(argv[1], "list"))
		return list();
	fputs("usage: torture pairs [MINUTES] | threes MINUTES SEED | random MINUTES SEED |\n"
	      "       sequences MINUTES SEED | one 'MODE STATE OP/OP' [PREEMPTIONS] |\n"
	      "       replay LINE | list\n",
	      stderr);
	return 2;
}
