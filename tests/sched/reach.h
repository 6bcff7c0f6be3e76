/* SPDX-License-Identifier: MIT */
/*
 * All sequences of operations of one thread, from a state, up to a length: breadth first, and only
 * from machines that were not seen yet. Two machines are the same if all is that decides what
 * operations do: descriptors and what backs them, fold map, pageblocks, zones, sections, pools, and
 * what the world knows. Counters and hints, of where a search goes on, are left out.
 */
#ifndef HVO_TESTS_SCHED_REACH_H
#define HVO_TESTS_SCHED_REACH_H

#include "run.h"

#define MAX_REACH 6u

struct reach {
	unsigned int depth; /* operations in a row, at most MAX_REACH */
	unsigned int flags; /* that an operation has to have */
	uint64_t max;	    /* runs */
	void (*found)(struct world *w, struct finding *f);
	struct finding *finding; /* room */

	/* What came of it: runs, machines that differ, and how long all sequences were run. */
	uint64_t runs, seen;
	unsigned int whole;
};

void reach_all(struct reach *r, struct world *w, enum hvo_mode mode, const struct state *state);

#endif
