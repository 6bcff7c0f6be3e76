/* SPDX-License-Identifier: MIT */
/*
 * Accesses to the machine's own memory that nothing orders: what TSan calls a data race, here in
 * each run of the scheduler, whoever of the two came first. A store behind the release of the lock
 * that is for it is found without any switch. Atomic stores count against each other too: a counter
 * that is read, added to and stored is its lock's.
 *
 * Order is what locks, atomic acquires and releases, and quiesce() make. Only in a build with
 * HVO_ATOMIC_STEPS somebody tells of accesses (atomics.c).
 */
#ifndef HVO_TESTS_SCHED_RACE_H
#define HVO_TESTS_SCHED_RACE_H

#include <stdbool.h>
#include <stddef.h>

enum access { RACE_READ, RACE_WRITE, RACE_LOAD, RACE_STORE, RACE_CHANGE, NR_ACCESSES };

struct hvo_sim;

/* A run begins: forget all, and watch the memory of this one's machine. NULL: no more. */
void race_begin(struct hvo_sim *sim);
/* The thread that runs is about to. @order: the compiler's, of an atomic access. */
void race_access(const volatile void *at, size_t bytes, enum access access, int order);
/* What is looked at between two steps is no access of any thread. */
void race_pause(bool pause);
/* It has waited for all readers. */
void race_quiesced(void);

#endif
