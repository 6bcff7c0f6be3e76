/* SPDX-License-Identifier: MIT */
#ifndef HVO_PLATFORM_SIM_SCHED_H
#define HVO_PLATFORM_SIM_SCHED_H

#include <hvo/types.h>

#ifndef HVO_STEPS
#define HVO_STEPS
#endif
#include "core/step.h"

/*
 * The sim's own threads: contexts on one host thread, of which one runs at a time. At each step
 * (core/step.h) a plan says which one goes on: a seed, priorities, a recorded list of switches, or
 * all lists there are, one after the other. The same plan gives the same run, always.
 *
 * A run that does not come to its end has a finding: a fault of the simulated hardware or a panic,
 * a host signal, threads that all wait, steps without an end, what a caller's own check says.
 *
 * Steps are counted for each thread by itself and switches named by (thread, its step, next
 * thread): so that the switches that are left mean the same when one is taken out of a list.
 */

#define SCHED_THREADS 4
#define SCHED_HELD 8   /* locks of a thread */
#define SCHED_STACK 32 /* return addresses */

enum sched_mode {
	SCHED_RANDOM,	/* one point in @one_in, to anybody */
	SCHED_PRIORITY, /* the highest goes on; it falls at @switches points of the seed's choice */
	SCHED_REPLAY,	/* what is in @replay; where that says nothing, as long as it goes */
	SCHED_EXPLORE,	/* each choice once, depth first: sched_next() */
};

enum sched_finding {
	SCHED_FINE,
	SCHED_DEADLOCK,
	SCHED_LIVELOCK,
	SCHED_FAULT, /* hvo_sim_fault() */
	SCHED_CRASH, /* a signal */
	SCHED_CHECK, /* of the caller: sched_find() */
};

/* A thread that had come to its own @step gave way to another one, or to itself from a sleep. */
struct sched_switch {
	uint32_t step;
	uint8_t from, to; /* SCHED_THREADS: the start */
};

struct sched_plan {
	enum sched_mode mode;
	uint64_t seed;
	uint32_t points;      /* 1 << each enum hvo_step at which threads may be switched */
	uint32_t one_in;      /* RANDOM */
	uint32_t preemptions; /* EXPLORE, PRIORITY: at most */
	/* A sleeper may go on at once, again and again, though others could run. */
	bool unfair;
	/* EXPLORE: at an atomic access, only before words that two threads touch. */
	bool reduce;
	uint64_t max_steps; /* of all threads; 0: a million */
	const struct sched_switch *replay;
	unsigned int nr_replay;
	/* Called at each step, with @arg; may call sched_find(). NULL: nothing. */
	void (*check)(void *arg, enum hvo_step step);
	void (*at_switch)(void *arg); /* the same when another thread is about to go on */
	void *arg;
};

struct sched_result {
	enum sched_finding finding;
	char what[160];
	uint64_t where;
	unsigned int thread; /* who ran at last */
	uint64_t steps, switches;
	/* Until the next run. */
	const struct sched_switch *record;
	unsigned int nr_record;
};

struct sched;

HVO_MUST_CHECK int sched_create(struct sched **ret);
void sched_destroy(struct sched *s); /* accepts NULL */

/* Run @body for threads 0 to @nr - 1 until all came to their end, or to a finding. */
void sched_run(struct sched *s, const struct sched_plan *plan, unsigned int nr,
	       void (*body)(void *arg, unsigned int thread), void *arg, struct sched_result *ret);

/* EXPLORE: forget what was chosen so far. */
void sched_explore(struct sched *s);
/* EXPLORE: make the next run another one; false: there is none. */
bool sched_next(struct sched *s);

/* Return addresses of a thread, where it was when the last run stopped at a finding. */
unsigned int sched_stack(struct sched *s, unsigned int thread, void *ret[SCHED_STACK]);

/* ---- inside a run ------------------------------------------------------------------------- */

/* The scheduler whose thread runs here; NULL: none. */
struct sched *sched_current(void);
/* From 1; 0 outside of a run. */
unsigned int sched_self(void);
/* Stop the run. Returns only outside of one. */
void sched_find(enum sched_finding finding, const char *what, uint64_t where);
/* How many locks a thread holds now. */
unsigned int sched_held(const struct sched *s, unsigned int thread);
/* How often any lock was released, in all runs. */
uint64_t sched_unlocks(const struct sched *s);
/* Is a thread inside a reader's section? The number of the section, or 0. */
uint32_t sched_section(const struct sched *s, unsigned int thread);
/* EXPLORE: something without an address of its own is touched; does anybody want to know? */
void sched_touch(uint64_t key, bool write);
bool sched_reduces(void);

/* For the platform. */
void sched_lock_wait(const uint32_t *word, uint32_t value);
void sched_quiesce(void);
void sched_sleep(void);
void sched_read_lock(void);
void sched_read_unlock(void);

#endif
