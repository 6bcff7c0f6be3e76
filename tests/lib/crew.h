/* SPDX-License-Identifier: MIT */
/*
 * A crew: threads that begin at the same moment, and are waited for.
 *
 * What it promises: no thread runs its work before all of them are there, and crew_join() returns
 * when each has returned. A crew is empty again then.
 *
 * In Linux: tools/testing/selftests/kselftest_harness.h; kernel/torture.c.
 */
#ifndef HVO_TESTS_CREW_H
#define HVO_TESTS_CREW_H

#include <pthread.h>

#define CREW_MAX 16

struct crew {
	unsigned int nr;
	struct crew_member {
		struct crew *crew;
		pthread_t thread;
		void *(*work)(void *arg);
		void *arg;
	} member[CREW_MAX];
	pthread_barrier_t start;
};

/* One more thread that will run @work(@arg). The crew began as { 0 }. */
void crew_add(struct crew *c, void *(*work)(void *arg), void *arg);
/* Everybody begins; the crew stays where it is in memory until crew_join(). */
void crew_go(struct crew *c);
void crew_join(struct crew *c);

#endif
