/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_POISON_H
#define HVO_CORE_POISON_H

#include "machine.h"

/*
 * Free a block (state USED, HVO_PF_POISONED, present if it is of Linux mode) without
 * the frames in it that failed. Where it cannot be cut it is set aside as a whole.
 */
void poison_free_block(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);
/* The same for frames of a cut block that held descriptors. */
void poison_free_frames(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);
/* One that is recorded, and has no descriptor to say so, is out of use. */
void poison_out(struct hvo_machine *m, hvo_pfn_t pfn);
/* Record a frame: 0; 1: it was; -HVO_ENOSPC. */
int poison_record(struct hvo_machine *m, hvo_pfn_t pfn);
/* It did not fail: as before poison_record(). True: it is out of use already, and stays so. */
bool poison_unrecord(struct hvo_machine *m, hvo_pfn_t pfn);
/* How hvo_memory_failure() of a frame ended, for the statistics of its node (soft_offline.c). */
void failure_count(struct hvo_machine *m, hvo_pfn_t pfn, int rc);
/* The first frame of [pfn, end) that failed, or HVO_PFN_NONE. */
hvo_pfn_t poison_first(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end);
bool poison_find(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end);
/* Did a frame of [pfn, end) fail? */
static inline bool poison_in(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end)
{
	return HVO_UNLIKELY(counter_read(&m->nr_poison)) && poison_find(m, pfn, end);
}
/* How many frames from @pfn on have not failed, up to @end. */
uint64_t poison_sound_frames(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end);
/*
 * Where the tails of a block can lie: 8 aligned frames, all sound, none of them in [start, end);
 * the index of the first, or HVO_BLOCK_FRAMES.
 */
unsigned int poison_sound_group(struct hvo_machine *m, hvo_pfn_t block, hvo_pfn_t start,
				hvo_pfn_t end);
/* A block with failed frames was split: mark the parts that have them now. */
void poison_mark_parts(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);
/* Frames of offline memory that are out of use, but not recorded. */
uint64_t poison_unrecorded(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end);
/* The memory is gone: forget what failed in [pfn, end), and so many that are not recorded. */
void poison_forget(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end, uint64_t unrecorded);
/* Try again to cut what was set aside; up to @max blocks, returns how many could be. */
uint64_t poison_retry(struct hvo_machine *m, uint64_t max);
/* The same for descriptors that could not leave a failed frame; memmap lock held. */
uint64_t poison_replace(struct hvo_machine *m, uint64_t max);

#endif
