/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_REF_H
#define HVO_CORE_REF_H

#include "page.h"

/*
 * Drop a reference, inside a reader's section. 1: it was the last one, the block is
 * the caller's to free. @mapped: also the last one on a block that is mapped.
 */
int ref_drop(struct hvo_machine *m, hvo_pfn_t head, bool mapped);

/* Head of the block around a frame, and does it reach that far? */
bool ref_covers(struct hvo_machine *m, hvo_pfn_t head, hvo_pfn_t pfn);

/* Head of a block that somebody holds, or HVO_PFN_NONE. Inside a reader's section. */
hvo_pfn_t held_head(struct hvo_machine *m, hvo_pfn_t pfn);

/* Take the only reference on a block that is not mapped away from it; -HVO_EBUSY otherwise. */
HVO_MUST_CHECK int freeze_page(struct hvo_machine *m, hvo_pfn_t head);

/* The descriptors of a new block of order below 9 say which block they are in. */
void set_tails(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

/*
 * A block in state USED, which nobody holds, gets its first reference. @flags: HVO_PF_POISONED if
 * the owner knows of what failed; what he does not know of hvo_work() tells him.
 */
void publish_block(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order, uint32_t owner,
		   uint16_t flags);

/* The order of a block that the caller owns or holds. */
unsigned int block_order(struct hvo_machine *m, hvo_pfn_t pfn);

/* Does that block begin at @pfn? Of any number, HVO_PFN_NONE too. Inside a reader's section. */
static inline bool heads_held(struct hvo_machine *m, hvo_pfn_t pfn)
{
	return pfn != HVO_PFN_NONE && held_head(m, pfn) == pfn;
}

#endif
