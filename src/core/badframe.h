/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_BADFRAME_H
#define HVO_CORE_BADFRAME_H

#include "base.h"

/*
 * Record that a frame failed; false: it was recorded. Under the lock of the frame's zone, in the
 * same hold that takes the frame out where it is free: so no free frame is ever a recorded one.
 */
bool badframe_record(struct hvo_machine *m, hvo_pfn_t pfn);
/* The same for a frame in the caller's hands; takes the lock itself. */
void badframe_record_own(struct hvo_machine *m, hvo_pfn_t pfn);
/* Forget the frames of whole sections that left the machine. Memmap lock held. */
void badframe_forget(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

/*
 * The first frame of [pfn, end) that failed, or HVO_PFN_NONE. Final for frames that are not the
 * caller's only under their zone's lock.
 */
hvo_pfn_t badframe_next(const struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end);

/* Did a frame of [pfn, end) fail? One load where none ever did. */
static inline bool badframe_in(const struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end)
{
	return HVO_UNLIKELY(counter_read(&m->nr_bad)) && badframe_next(m, pfn, end) != HVO_PFN_NONE;
}

/* A frame of the block of @order at @pfn? */
static inline bool badframe_in_block(const struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	return badframe_in(m, pfn, pfn + (UINT64_C(1) << order));
}

/* How many frames from @pfn on have not failed, up to @end. */
uint64_t badframe_sound(const struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end);
/*
 * Where the tails of a pageblock can lie: 8 aligned frames, all sound, none of them in
 * [start, end); the index of the first, or HVO_BLOCK_FRAMES.
 */
unsigned int badframe_sound_group(const struct hvo_machine *m, hvo_pfn_t block, hvo_pfn_t start,
				  hvo_pfn_t end);

#endif
