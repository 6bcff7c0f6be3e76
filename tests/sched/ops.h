/* SPDX-License-Identifier: MIT */
/*
 * The catalogue: states that a world is prepared in, and operations of the whole API on it. An
 * operation knows what may come back: an error that its documentation does not have is a finding.
 */
#ifndef HVO_TESTS_SCHED_OPS_H
#define HVO_TESTS_SCHED_OPS_H

#include "world.h"

#define LINUX_ONLY 1u
#define ON_DEMAND_ONLY 2u
#define WITH_CMA 4u
#define WITH_HOTPLUG 8u
#define NEEDS_POOL 16u
#define ISOLATED 32u
/* Of the few that lead a pageblock through its states, for long sequences. */
#define DEEP 64u

struct op {
	const char *name;
	void (*run)(struct world *w); /* in a thread of the scheduler */
	unsigned int flags;
};

struct state {
	const char *name;
	void (*prepare)(struct world *w);
	unsigned int flags;
};

extern const struct op ops[];
extern const unsigned int nr_ops;
extern const struct state states[];
extern const unsigned int nr_states;

const struct op *op_find(const char *name);
const struct state *state_find(const char *name);
/* Can this operation do anything in that state? */
bool op_fits(const struct op *op, const struct state *state, enum hvo_mode mode);
bool state_fits(const struct state *state, enum hvo_mode mode);

/* Run an operation in a thread of the scheduler; at its end nothing is owed. */
void op_run(const struct op *op, struct world *w, unsigned int thread);

/* 0, or what world_open() and world_save() say. */
int state_open(struct world *w, const struct state *state, enum hvo_mode mode);

#endif
