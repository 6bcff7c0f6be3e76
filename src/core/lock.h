/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_LOCK_H
#define HVO_CORE_LOCK_H

#include "base.h"
#include "step.h"

void lock_slow(struct hvo_machine *m, struct hvo_lock *lock);
/* Go on from a release that found the word other than 1: wake who waits. */
void lock_release_slow(struct hvo_machine *m, struct hvo_lock *lock, uint32_t was);

static inline void lock_acquire(struct hvo_machine *m, struct hvo_lock *lock)
{
	uint32_t free_word = 0;

	hvo_step(STEP_LOCK, &lock->word);
	if (HVO_UNLIKELY(!__atomic_compare_exchange_n(&lock->word, &free_word, 1, false,
						      __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)))
		lock_slow(m, lock);
	hvo_step_locked(&lock->word);
}

static inline bool lock_try(struct hvo_lock *lock)
{
	uint32_t free_word = 0;

	hvo_step(STEP_LOCK, &lock->word);
	if (!__atomic_compare_exchange_n(&lock->word, &free_word, 1, false, __ATOMIC_ACQUIRE,
					 __ATOMIC_RELAXED))
		return false;
	hvo_step_locked(&lock->word);
	return true;
}

static inline void lock_release(struct hvo_machine *m, struct hvo_lock *lock)
{
	uint32_t was;

	hvo_step_unlocked(&lock->word);
	was = __atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE);
	if (HVO_UNLIKELY(was != 1))
		lock_release_slow(m, lock, was);
	hvo_step(STEP_UNLOCK, &lock->word);
}

/*
 * First in each function whose caller has to hold a lock. That it is the caller who does, a build
 * with steps can say, and TSan.
 */
#define lock_assert_held(m, lock)                                      \
	HVO_ASSERT(m,                                                  \
		   __atomic_load_n(&(lock)->word, __ATOMIC_RELAXED) && \
			   hvo_step_holds(&(lock)->word),              \
		   LOCK_1, #lock " is not held", HVO_PFN_NONE)

/*
 * Find and lock the zone of a frame of which the caller knows nothing but the number. The frame
 * stays in the zone until the lock is released. NULL: no such frame, or it is not online.
 */
HVO_MUST_CHECK struct zone *zone_lock_of(struct hvo_machine *m, hvo_pfn_t pfn);

#endif
