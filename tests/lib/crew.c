// SPDX-License-Identifier: MIT
/*
 * Threads that begin together: see crew.h.
 *
 * States: a crew gathers, works, is empty again. Locks: the barrier; the rest is for one thread.
 */
#include "crew.h"

#include "program.h"

static void *run(void *arg)
{
	struct crew_member *w = arg;

	pthread_barrier_wait(&w->crew->start);
	return w->work(w->arg);
}

void crew_add(struct crew *c, void *(*work)(void *arg), void *arg)
{
	assert_true(c->nr < CREW_MAX);
	c->member[c->nr++] = (struct crew_member){ .crew = c, .work = work, .arg = arg };
}

void crew_go(struct crew *c)
{
	unsigned int i;

	assert_int_equal(pthread_barrier_init(&c->start, NULL, c->nr), 0);
	for (i = 0; i < c->nr; i++)
		assert_int_equal(pthread_create(&c->member[i].thread, NULL, run, &c->member[i]), 0);
}

void crew_join(struct crew *c)
{
	unsigned int i;

	for (i = 0; i < c->nr; i++)
		assert_int_equal(pthread_join(c->member[i].thread, NULL), 0);
	pthread_barrier_destroy(&c->start);
	c->nr = 0;
}
