// SPDX-License-Identifier: MIT
/*
 * torture - every interleaving, as far as time goes
 *
 *	torture pairs [MINUTES [SEED]]	all pairs of operations from all states
 *	torture twice [MINUTES [SEED]]	the same with two preemptions, up to a bound for each pair
 *	torture failures [MINUTES [SEED]]	the same as pairs, each call of the platform failed
 *	torture two-failures [MINUTES [SEED]]	one after the other, each two calls failed
 *	torture reach [MINUTES [SEED]]	one thread, all sequences, as long as 100,000 runs go
 *	torture deep [MINUTES [SEED]]	up to six of the operations that change a pageblock
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
#include "reach.h"
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

/* ---- campaigns ------------------------------------------------------------------------------ */

struct campaign {
	const char *name;
	/* Do a part of it, in a state that was prepared. */
	void (*part)(struct campaign *c, struct world *w, const struct state *state,
		     enum hvo_mode mode);
	/* All there is once, in so many parts of each state; 0: in turn until the time is over. */
	unsigned int parts;
	unsigned int preemptions, failures;
	unsigned int flags; /* of operations */
	uint64_t max;	    /* runs of each pair, or from each state */
	uint64_t seed;
	double end;
	uint64_t nr, whole; /* pairs, or states; and of which all runs were run */
	struct finding finding;
};

static bool time_left(const struct campaign *c)
{
	return now() < c->end;
}

static void explore(struct campaign *c, struct world *w, const struct run *run)
{
	bool all, fine;

	if (c->failures)
		fine = run_failing(w, run, c->failures, c->preemptions, REDUCE, c->max, &c->finding,
				   &all);
	else
		fine = run_explore(w, run, c->preemptions, REDUCE, c->max, &c->finding, &all);
	c->nr++;
	c->whole += fine && all;
	if (!fine)
		found(w, &c->finding);
}

/* All pairs, or a part of them: in little time some of each operation and state. */
static void pairs(struct campaign *c, struct world *w, const struct state *state,
		  enum hvo_mode mode)
{
	uint64_t nr = c->seed;
	struct run run;
	unsigned int a, b;

	for (a = 0; a < nr_ops && time_left(c); a++)
		for (b = a; b < nr_ops; b++)
			if (run_pair(&run, mode, state, &ops[a], &ops[b]) && !(nr++ % c->parts))
				explore(c, w, &run);
}

static void reach(struct campaign *c, struct world *w, const struct state *state,
		  enum hvo_mode mode)
{
	struct reach r = { .depth = MAX_REACH,
			   .flags = c->flags,
			   .max = c->max,
			   .found = found,
			   .finding = &c->finding };

	reach_all(&r, w, mode, state);
	c->nr++;
	c->whole += r.whole == r.depth;
	printf("%s %s: %" PRIu64 " runs, %" PRIu64 " machines, all sequences of %u\n",
	       mode == HVO_LINUX ? "linux" : "on-demand", state->name, r.runs, r.seen, r.whole);
	fflush(stdout);
}

/* An operation of each kind in turn against one at random. */
static void some(struct campaign *c, struct world *w, const struct state *state, enum hvo_mode mode)
{
	struct run run;
	unsigned int i;
	uint64_t seed;

	for (i = 0; i < 8 && time_left(c); i++) {
		seed = c->seed++;
		if (run_pair(&run, mode, state, &ops[seed % nr_ops],
			     &ops[hvo_sim_random(&seed) % nr_ops]))
			explore(c, w, &run);
	}
}

/* Two against one, chosen by seed; each until it was all, or a few thousand. */
static void threes(struct campaign *c, struct world *w, const struct state *state,
		   enum hvo_mode mode)
{
	unsigned int i;

	for (i = 0; i < 10 && time_left(c); i++) {
		struct run run = { .mode = mode, .state = state, .points = POINTS };

		random_lists(&run, c->seed++, 3, 1);
		explore(c, w, &run);
	}
}

static void at_random(struct campaign *c, struct world *w, const struct state *state,
		      enum hvo_mode mode)
{
	unsigned int i;

	for (i = 0; i < 1000 && time_left(c); i++)
		if (!random_run(w, mode, state, c->seed++, POINTS, &c->finding))
			found(w, &c->finding);
}

static void sequences(struct campaign *c, struct world *w, const struct state *state,
		      enum hvo_mode mode)
{
	unsigned int i;

	for (i = 0; i < 1000 && time_left(c); i++)
		if (!random_sequence(w, mode, state, c->seed++, &c->finding))
			found(w, &c->finding);
}

static struct campaign campaigns[] = {
	{ .name = "pairs", .part = pairs, .parts = 16, .preemptions = 1, .max = UINT64_MAX },
	{ .name = "twice", .part = pairs, .parts = 16, .preemptions = 2, .max = 4000 },
	{ .name = "failures",
	  .part = pairs,
	  .parts = 16,
	  .preemptions = 1,
	  .failures = 1,
	  .max = 20000 },
	{ .name = "two-failures", .part = pairs, .parts = 16, .failures = 2, .max = 4000 },
	{ .name = "reach", .part = reach, .parts = 1, .max = 100000 },
	{ .name = "deep", .part = reach, .parts = 1, .flags = DEEP, .max = 100000 },
	{ .name = "some", .part = some, .preemptions = 1, .max = 1000 },
	{ .name = "threes", .part = threes, .preemptions = 1, .max = 4000 },
	{ .name = "random", .part = at_random },
	{ .name = "sequences", .part = sequences },
};

static int in_each_state(struct campaign *c, enum hvo_mode mode)
{
	struct world w;
	unsigned int i;

	for (i = 0; i < nr_states && time_left(c); i++) {
		if (!state_fits(&states[i], mode))
			continue;
		if (state_open(&w, &states[i], mode)) {
			fprintf(stderr, "torture: %s cannot be made\n", states[i].name);
			return 2;
		}
		c->part(c, &w, &states[i], mode);
		world_close(&w);
	}
	return 0;
}

static int run_campaign(struct campaign *c, double minutes, uint64_t seed)
{
	double start = now();
	unsigned int parts = 0;
	int rc = 0;

	c->seed = seed;
	c->end = start + 60 * minutes;
	do {
		rc = in_each_state(c, HVO_ON_DEMAND);
		if (!rc)
			rc = in_each_state(c, HVO_LINUX);
		c->seed += c->parts != 0;
	} while (!rc && ++parts != c->parts && time_left(c));
	if (c->nr)
		printf("%s: %" PRIu64 ", all runs of %" PRIu64 "\n", c->name, c->nr, c->whole);
	summary(c->name, start);
	return rc ? rc : nr_found != 0;
}

/* ---- one run, or one pair -------------------------------------------------------------------- */

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
	size_t i;

	if (argc > 2 && !strcmp(argv[1], "replay"))
		return replay(argv[2]);
	if (argc > 2 && !strcmp(argv[1], "one"))
		return one(argv[2], argc > 3 ? (unsigned int)atoi(argv[3]) : 1);
	for (i = 0; argc > 1 && i < sizeof(campaigns) / sizeof(*campaigns); i++) {
		struct campaign *c = &campaigns[i];

		if (strcmp(argv[1], c->name) || (!c->parts && argc < 4))
			continue;
		return run_campaign(c, argc > 2 ? atof(argv[2]) : 1e9,
				    argc > 3 ? strtoull(argv[3], NULL, 0) : 0);
	}
	if (argc > 1 && !strcmp(argv[1], "list"))
		return list();
	fputs("usage: torture pairs|twice|failures|two-failures|reach|deep [MINUTES [SEED]] |\n"
	      "       some|threes|random|sequences MINUTES SEED |\n"
	      "       one 'MODE STATE OP/OP' [PREEMPTIONS] | replay LINE | list\n",
	      stderr);
	return 2;
}
