/* SPDX-License-Identifier: MIT */
/*
 * Runs: threads with lists of operations, from a state, by a plan of the scheduler. A finding is
 * one line, which repeats it, and is shrunk to the fewest operations and switches that show it.
 */
#ifndef HVO_TESTS_SCHED_RUN_H
#define HVO_TESTS_SCHED_RUN_H

#include <stdio.h>

#include "ops.h"

#define MAX_LIST 8u
#define MAX_SWITCHES 4096u

/* Where threads are switched: at locks and calls of the platform, or at each atomic access too. */
#define POINTS_LOCKS                                                                             \
	((1u << STEP_LOCK) | (1u << STEP_UNLOCK) | (1u << STEP_MARK) | (1u << STEP_BETWEEN) |    \
	 (1u << STEP_READ_LOCK) | (1u << STEP_READ_UNLOCK) | (1u << STEP_REMAP) |                \
	 (1u << STEP_FLUSH) | (1u << STEP_POPULATE) | (1u << STEP_DISCARD) | (1u << STEP_ZERO) | \
	 (1u << STEP_COPY) | (1u << STEP_QUIESCE))
#define POINTS_CALLS                                                                              \
	((1u << STEP_REMAP) | (1u << STEP_FLUSH) | (1u << STEP_POPULATE) | (1u << STEP_DISCARD) | \
	 (1u << STEP_ZERO) | (1u << STEP_COPY) | (1u << STEP_QUIESCE) | (1u << STEP_BETWEEN))
#define POINTS_ATOMIC \
	(POINTS_CALLS | (1u << STEP_ATOMIC) | (1u << STEP_READ_LOCK) | (1u << STEP_READ_UNLOCK))
#ifdef HVO_ATOMIC_STEPS
#define POINTS POINTS_ATOMIC
#define REDUCE true
#else
#define POINTS POINTS_LOCKS
#define REDUCE false
#endif

struct run {
	enum hvo_mode mode;
	const struct state *state;
	unsigned int nr; /* threads */
	const struct op *lists[SCHED_THREADS][MAX_LIST];
	unsigned int nr_list[SCHED_THREADS];
	uint64_t fail; /* this call of the platform fails; 0: none */
	uint64_t also; /* and this one after it */
	uint32_t points;
	bool unfair;
	/* Looks at the world when all threads are done; NULL: nobody does. */
	uint64_t (*print)(const struct world *w);
	uint64_t *ret_print;
};

struct finding {
	struct run run;
	enum sched_finding kind;
	char what[160];
	uint64_t where;
	struct sched_switch switches[MAX_SWITCHES];
	unsigned int nr_switches;
};

/* Counted over all runs of the process. */
struct counts {
	uint64_t runs, steps, switches;
	uint64_t failed; /* runs in which all calls failed that were to */
};
extern struct counts counts;

/* Two threads with one operation each. False: one of them can do nothing in that state. */
bool run_pair(struct run *ret, enum hvo_mode mode, const struct state *state, const struct op *a,
	      const struct op *b);
/* One run. True: it came to its end and all was well. False: *ret is the finding. */
bool run_once(struct world *w, const struct run *run, const struct sched_plan *plan,
	      struct finding *ret);
/* The run that a finding says, once more. True: nothing is found. */
bool run_replay(struct world *w, const struct finding *f, struct finding *ret);
/*
 * All interleavings with at most @preemptions, until @max runs. True: nothing was found; *ret_all:
 * these were all.
 */
bool run_explore(struct world *w, const struct run *run, unsigned int preemptions, bool reduce,
		 uint64_t max, struct finding *ret, bool *ret_all);
/*
 * The same with each call of the platform failed that some run comes to; @failures: 2, and each two
 * of them.
 */
bool run_failing(struct world *w, const struct run *run, unsigned int failures,
		 unsigned int preemptions, bool reduce, uint64_t max, struct finding *ret,
		 bool *ret_all);
/* As short as it gets, with the same finding. */
void run_shrink(struct world *w, struct finding *f);

/* The line, and what is found, with where each thread was. */
void finding_print(FILE *to, const struct finding *f, struct world *w);
void finding_line(const struct finding *f, char *to, size_t len);
/* False: the line says nothing that can be run. */
bool finding_parse(const char *line, struct finding *ret);

#endif
