/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_REF_H
#define HVO_CORE_REF_H

#include "page.h"

/*
 * Drop a reference, inside a reader's section. @mapped: drop the last one of a mapped block too.
 *
 * 0: others hold the block;
 * 1: that was the last reference, and the caller frees the block;
 * -HVO_EBUSY: the last reference on a mapped block;
 * -HVO_EINVAL: nobody holds the block.
 */
int ref_drop(struct hvo_machine *m, hvo_pfn_t head, bool mapped);

/* Does the block that @head heads cover @pfn? */
bool ref_covers(struct hvo_machine *m, hvo_pfn_t head, hvo_pfn_t pfn);

/*
 * Head of the block around @pfn, any number, if somebody holds it, or HVO_PFN_NONE. In a reader's
 * section.
 */
hvo_pfn_t held_head(struct hvo_machine *m, hvo_pfn_t pfn);

/* Freeze a block: take its only reference away. -HVO_EBUSY: mapped, or more than one reference. */
HVO_MUST_CHECK int freeze_page(struct hvo_machine *m, hvo_pfn_t head);

/* Write the order of a new block of order 0 to 8 to its tail descriptors, for hvo_page_head(). */
void set_tails(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

/*
 * Give a block that nobody holds its first reference: TAKEN -> USED, or a part that is split off.
 * @flags: with HVO_PF_POISONED the owner knows of the frames that failed; of others hvo_work()
 * tells the owner.
 */
void publish_block(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order, uint32_t owner,
		   uint16_t flags);

/* Order of a block that the caller owns or holds. */
unsigned int block_order(struct hvo_machine *m, hvo_pfn_t pfn);

/* Does a block that somebody holds begin at @pfn, any number? Inside a reader's section. */
static inline bool heads_held(struct hvo_machine *m, hvo_pfn_t pfn)
{
	return pfn != HVO_PFN_NONE && held_head(m, pfn) == pfn;
}

#endif
