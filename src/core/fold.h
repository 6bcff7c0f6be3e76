/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_FOLD_H
#define HVO_CORE_FOLD_H

#include "backing.h"

/* Clear frames that a user gave back, if the machine clears on free. */
void clear_freed(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);

/*
 * Give descriptor frames in which nothing was ever written to their zones, after an error. The
 * frames are not cleared: the system may have no memory for them. No spin lock held.
 */
void vmemmap_put_unused(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);

/* Give descriptor frames that back no page any more to their zones. No spin lock held. */
void vmemmap_put_frames(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);

/* Put a failed frame of a whole block of descriptors, which backs no page any more, out of use. */
void vmemmap_leave_frame(struct hvo_machine *m, hvo_pfn_t pfn);

/* Give the frames of a list, in which nothing was ever written, to their zones, after an error. */
void vmemmap_put_unused_runs(struct hvo_machine *m, const struct run_list *l);

/*
 * Prepare a pageblock that the caller owns (state TAKEN, order 9) to be cut: ask the system for its
 * memory, and restore its tails to the frames of the pageblock from index @at on;
 * HVO_PAGEBLOCK_FRAMES: to none. No spin lock held. After an error the pageblock is folded as
 * before.
 */
HVO_MUST_CHECK int vmemmap_cut(struct hvo_machine *m, pb_t pb, unsigned int at);

/*
 * Cut one pageblock that was set aside around what failed in it; false: not set aside, or it cannot
 * be.
 */
bool cut_aside(struct hvo_machine *m, pb_t pb);

/*
 * Cut the pageblocks of [start, end) that were set aside, up to @max, as far as they can be;
 * returns how many were. No spin lock held.
 */
uint64_t cut_all_aside(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end, uint64_t max);

/* Collapse a pageblock that is BUSY and in flight; false: the pageblock stays cut. */
bool vmemmap_collapse_pageblock(struct hvo_machine *m, struct zone *z, pb_t pb);

/* Make up to @max collapsible pageblocks of a zone whole; returns how many. */
uint64_t vmemmap_collapse(struct hvo_machine *m, struct zone *z, uint64_t max);

/* Free a block that nobody holds. Clear a user's frames before. No spin lock held. */
void free_block(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

/*
 * Free blocks of one order of 9 and above that nobody holds, under one lock as long as they are in one
 * zone. No spin lock held.
 */
void free_batch(struct hvo_machine *m, const hvo_pfn_t *pfns, unsigned int nr, unsigned int order);

/* Free all blocks that [start, end) consists of, in state TAKEN. */
void free_blocks(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

/* Free a block in state TAKEN if a frame failed since the block was taken; true: it was freed. */
bool gave_up_bad(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

#endif
