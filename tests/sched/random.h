/* SPDX-License-Identifier: MIT */
#ifndef HVO_TESTS_SCHED_RANDOM_H
#define HVO_TESTS_SCHED_RANDOM_H

#include "run.h"

#define MAX_CHOSEN 64u

/* Choose what each of the threads does. */
void random_lists(struct run *run, uint64_t seed, unsigned int threads, unsigned int longest);
/* Two or three threads with lists of operations. True: all was well. */
bool random_run(struct world *w, enum hvo_mode mode, const struct state *state, uint64_t seed,
		uint32_t points, struct finding *ret);
/* One thread, up to six operations, at times with a call of the platform that fails. */
bool random_sequence(struct world *w, enum hvo_mode mode, const struct state *state, uint64_t seed,
		     struct finding *ret);

#endif
