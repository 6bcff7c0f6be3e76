/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_FOLD_H
#define HVO_CORE_FOLD_H

#include "backing.h"

/* Nothing of its last user's is left in it, if the machine clears on free. */
void clear_freed(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);

/*
 * The same for frames that were taken and in which nothing was ever written: on the way back of
 * what failed. They are not touched, since the system may have no memory for them.
 */
void vmemmap_put_unused(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);

/* Give descriptor frames that back no page any more to their zones. */
void vmemmap_put_frames(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);

/* The same for one that failed, in a whole block of descriptors. */
void vmemmap_leave_frame(struct hvo_machine *m, hvo_pfn_t pfn);

void vmemmap_put_runs(struct hvo_machine *m, const struct hvo_remap *runs, unsigned int nr);

void vmemmap_put_unused_runs(struct hvo_machine *m, const struct run_list *l);

/*
 * On-demand mode. @block is folded and the caller's own (state USED, order 9). Its tails
 * are in its own frames from then on, from the one with index @at.
 */
HVO_MUST_CHECK int vmemmap_cut(struct hvo_machine *m, uint64_t block, unsigned int at);

/* Cut one pageblock that was set aside around what failed in it; false: not set aside, or it cannot be. */
bool cut_aside(struct hvo_machine *m, hvo_pfn_t block);

/*
 * Cut the pageblocks of [start, end) that were set aside, up to @max, as far as they can be; returns
 * how many were. No spin lock held.
 */
uint64_t cut_all_aside(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end, uint64_t max);

/* One that is BUSY and in flight; false: it stays cut. */
bool vmemmap_collapse_block(struct hvo_machine *m, struct zone *z, uint64_t block);

/* Make up to @max collapsible blocks of a zone whole; returns how many. */
uint64_t vmemmap_collapse(struct hvo_machine *m, struct zone *z, uint64_t max);

/* The way back of alloc_block(): cleared before, if there was a user. */
void free_block(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

/* The same for all blocks that [start, end) consists of. */
void free_blocks(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

/* A frame of a block in state USED failed since it was taken: it is free again, without that. */
bool gave_up_bad(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

#endif
