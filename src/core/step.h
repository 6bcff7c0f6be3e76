/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_STEP_H
#define HVO_CORE_STEP_H

#include <stdbool.h>

/*
 * Steps: the points at which another thread may come between. Nothing in a library that is
 * installed; in a build with HVO_STEPS, for tests, the sim's scheduler is told of each and may let
 * another thread go on (platform/sim/sched.h).
 *
 * What the core asks of its platform is a step without a word here: the sim tells the scheduler
 * itself. The core tells of locks, taken and released, and marks where a thread without a lock is
 * between a load and a store that depends on it. A build with HVO_ATOMIC_STEPS has a step at each
 * atomic access, too.
 */
enum hvo_step {
	STEP_LOCK,   /* about to take a lock: @word is the lock's */
	STEP_UNLOCK, /* has released a lock */
	STEP_MARK,   /* about to write to @word what follows from a load, without a lock */
	STEP_ATOMIC, /* about to touch @word atomically; in a build where each access is a step */
	STEP_TRANSLATE,	  /* about to find the descriptors of a page of the array */
	STEP_READ_LOCK,	  /* about to begin a reader's section */
	STEP_READ_UNLOCK, /* has ended one */
	STEP_REMAP,
	STEP_FLUSH,
	STEP_POPULATE,
	STEP_DISCARD,
	STEP_ZERO,
	STEP_COPY,
	STEP_QUIESCE,
	STEP_SLEEP,
	STEP_LOCK_WAIT, /* a lock is somebody else's */
	STEP_BETWEEN,	/* between two operations of a thread */
	NR_STEPS
};

#ifdef HVO_STEPS
void hvo_step(enum hvo_step step, const void *word);
/* Keep in mind who holds which lock. */
void hvo_step_locked(const void *word);
void hvo_step_unlocked(const void *word);
/* Does the thread that runs hold the lock? True outside of the scheduler. */
bool hvo_step_holds(const void *word);
#else
#define hvo_step(step, word) ((void)0)
#define hvo_step_locked(word) ((void)0)
#define hvo_step_unlocked(word) ((void)0)
#define hvo_step_holds(word) true
#endif

#endif
