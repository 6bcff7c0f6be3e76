// SPDX-License-Identifier: MIT
/*
 * One kind of lock for everything: a word that is free, held, or held and waited
 * for. Uncontended it is two atomic operations; the rest is the platform's.
 *
 * Linux: spinlock_t and struct mutex; the word's protocol is that of any futex mutex.
 */
#include "lock.h"

#include "base.h"

#define SPINS 64

void lock_slow(struct hvo_machine *m, struct hvo_lock *lock)
{
	uint32_t word;
	int i;

	for (i = 0; i < SPINS; i++) {
		word = 0;
		if (__atomic_compare_exchange_n(&lock->word, &word, 1, false, __ATOMIC_ACQUIRE,
						__ATOMIC_RELAXED))
			return;
	}
	/* From here on the lock is taken as "waited for": who comes behind us may sleep. */
	while (__atomic_exchange_n(&lock->word, 2, __ATOMIC_ACQUIRE) != 0)
		m->ops->lock_wait(m->ctx, &lock->word, 2);
}

void lock_release_slow(struct hvo_machine *m, struct hvo_lock *lock, uint32_t was)
{
	HVO_ASSERT(m, was, LOCK_1, "a lock is released that nobody holds", HVO_PFN_NONE);
	m->ops->lock_wake(m->ctx, &lock->word);
}

struct zone *zone_lock_of(struct hvo_machine *m, hvo_pfn_t pfn)
{
	struct zone *z;
	uint8_t n;

	while (pfn < m->mm.nr_frames && (n = section_zone(m, pfn)) != ZONE_NONE) {
		z = zone_by_id(m, n);
		lock_acquire(m, &z->lock);
		if (zone_has(m, z, pfn))
			return z;
		/* It went, and may be in another zone by now. */
		lock_release(m, &z->lock);
	}
	return NULL;
}
