// SPDX-License-Identifier: MIT
/*
 * Who can give memory back: shrinkers, asked in the order of their registration, newest first, and
 * one notifier for when there is none.
 *
 * Locks: the shrinker lock around each call. What is called never waits for the memmap lock, since
 * the allocation that called may hold it.
 * Linux: mm/shrinker.c, shrink_slab(); mm/oom_kill.c, register_oom_notifier().
 */
#include "shrinker.h"

#include "base.h"
#include "lock.h"
#include "sized.h"

uint64_t call_shrinkers(struct hvo_machine *m, uint64_t nr_frames)
{
	struct hvo_shrinker *s;
	uint64_t freed = 0;

	lock_acquire(m, &m->shrinker_lock);
	for (s = m->shrinkers; s && freed < nr_frames; s = s->next)
		freed += s->scan(s, m, nr_frames - freed);
	lock_release(m, &m->shrinker_lock);
	return freed;
}

uint64_t call_oom_notifier(struct hvo_machine *m, unsigned int order)
{
	uint64_t freed = 0;

	lock_acquire(m, &m->shrinker_lock);
	if (m->oom)
		freed = m->oom(m->oom_arg, m, order);
	lock_release(m, &m->shrinker_lock);
	return freed;
}

int hvo_shrinker_register(struct hvo_machine *m, struct hvo_shrinker *shrinker)
{
	int rc = machine_gone(m) ? -HVO_ENODEV : sized_whole(shrinker, sizeof(*shrinker));

	if (rc || !shrinker->scan)
		return rc ? rc : -HVO_EINVAL;
	lock_acquire(m, &m->shrinker_lock);
	shrinker->next = m->shrinkers;
	m->shrinkers = shrinker;
	lock_release(m, &m->shrinker_lock);
	return 0;
}

int hvo_shrinker_unregister(struct hvo_machine *m, struct hvo_shrinker *shrinker)
{
	struct hvo_shrinker **p;
	int rc = -HVO_EINVAL;

	if (machine_gone(m))
		return -HVO_ENODEV;
	lock_acquire(m, &m->shrinker_lock);
	for (p = &m->shrinkers; *p; p = &(*p)->next) {
		if (*p != shrinker)
			continue;
		*p = shrinker->next;
		rc = 0;
		break;
	}
	lock_release(m, &m->shrinker_lock);
	return rc;
}

int hvo_set_oom_notifier(struct hvo_machine *m,
			 uint64_t (*notify)(void *arg, struct hvo_machine *m, unsigned int order),
			 void *arg)
{
	if (machine_gone(m))
		return -HVO_ENODEV;
	lock_acquire(m, &m->shrinker_lock);
	m->oom = notify;
	m->oom_arg = arg;
	lock_release(m, &m->shrinker_lock);
	return 0;
}
