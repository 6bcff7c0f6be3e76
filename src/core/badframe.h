/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_BADFRAME_H
#define HVO_CORE_BADFRAME_H

#include "base.h"

/*
 * Record that a frame failed; false: the failure was recorded before. Zone lock held. The same hold
 * takes a free frame out of use, so that no free frame is ever a recorded one.
 */
bool badframe_record(struct hvo_machine *m, hvo_pfn_t pfn);

/* Record that a frame in the caller's hands failed. Takes the zone lock itself. */
void badframe_record_own(struct hvo_machine *m, hvo_pfn_t pfn);

/* Forget the failures in [start, end), whole sections that left the machine. Memmap lock held. */
void badframe_forget(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

/*
 * Find the first failed frame of [pfn, end), or HVO_PFN_NONE. Without the zone lock the result is a
 * guess, unless the frames are in the caller's hands.
 */
hvo_pfn_t badframe_next(const struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end);

/* Did a frame of [pfn, end) fail? One load where none ever did. */
static inline bool badframe_in(const struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end)
{
	return HVO_UNLIKELY(counter_read(&m->nr_bad)) && badframe_next(m, pfn, end) != HVO_PFN_NONE;
}

/* Did a frame of the block of @order at @pfn fail? */
static inline bool badframe_in_block(const struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	return badframe_in(m, pfn, pfn + (UINT64_C(1) << order));
}

/* Let hvo_work() tell the owner of a block of frames that failed while nobody could be told. */
static inline void badframe_tell_later(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	if (badframe_in_block(m, pfn, order))
		work_wanted(m);
}

/* Count the frames from @pfn on before the first failed one, up to @end. */
uint64_t badframe_sound(const struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end);

/*
 * Find 8 aligned frames of a pageblock for its tails: all sound, none in [start, end). Returns the
 * index of the first in the pageblock; HVO_PAGEBLOCK_FRAMES: none.
 */
unsigned int badframe_sound_group(const struct hvo_machine *m, pb_t pb, hvo_pfn_t start,
				  hvo_pfn_t end);

#endif
