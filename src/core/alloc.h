/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_ALLOC_H
#define HVO_CORE_ALLOC_H

#include "machine.h"

/*
 * Beside HVO_GFP_*: do not wait for blocks that are isolated, and isolate none: it is the
 * caller who did it, or he holds the memmap lock, which is needed to end that.
 */
#define GFP_ISOLATING 0x80000000u
/* For descriptors: not from MIGRATE_SPLIT. */
#define GFP_MEMMAP 0x40000000u

/* From any node but the preferred one. */
#define GFP_OTHER_NODES 0x20000000u
/* From blocks that are cut already. */
#define GFP_UNCUT 0x10000000u

/* The nodes that an allocation tries, in turn: how many, from *ret_first on. */
static inline uint32_t nodes_to_try(const struct hvo_machine *m, unsigned int gfp, int node,
				    uint32_t *ret_first)
{
	uint32_t nr = m->cfg.nr_nodes, first = node < 0 ? 0 : (uint32_t)node;

	*ret_first = gfp & GFP_OTHER_NODES ? (first + 1) % nr : first;
	if (gfp & GFP_OTHER_NODES)
		return nr - 1;
	return gfp & HVO_GFP_THISNODE && node >= 0 ? 1 : nr;
}

/* hvo_alloc_pages() without clearing and without a reference: state USED. */
int alloc_block(struct hvo_machine *m, unsigned int gfp, unsigned int order, int node,
		hvo_pfn_t *ret);
/* Nothing of its last user's is left in it, if the machine clears on free. */
void clear_freed(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);
/* The way back of alloc_block(): cleared before, if there was a user. */
void free_block(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);
/* The same for all blocks that [start, end) consists of. */
void free_blocks(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);
/* The order of a block that the caller owns or holds. */
unsigned int block_order(struct hvo_machine *m, hvo_pfn_t pfn);

/* In which order zones are tried; what cannot be moved begins with the last. */
extern const uint8_t zonelist[HVO_NR_ZONES];

static inline unsigned int zonelist_start(unsigned int gfp)
{
	return gfp & HVO_GFP_MOVABLE ? 0 : HVO_NR_ZONES - 1;
}

/* The descriptors of a new block of order below 9 say which block they are in. */
void set_tails(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);
/*
 * A block in state USED, which nobody holds, gets its first reference. @flags: HVO_PF_POISONED if
 * the owner knows of what failed; what he does not know of hvo_work() tells him.
 */
void publish_block(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order, uint32_t owner,
		   uint16_t flags);
/* Head of a block that somebody holds, or HVO_PFN_NONE. Inside a reader's section. */
hvo_pfn_t held_head(struct hvo_machine *m, hvo_pfn_t pfn);
/* Does that block begin at @pfn? Of any number, HVO_PFN_NONE too. Inside a reader's section. */
static inline bool heads_held(struct hvo_machine *m, hvo_pfn_t pfn)
{
	return pfn != HVO_PFN_NONE && held_head(m, pfn) == pfn;
}
/* Take the only reference on a block that is not mapped away from it; -HVO_EBUSY otherwise. */
HVO_MUST_CHECK int freeze_page(struct hvo_machine *m, hvo_pfn_t head);
/* Drop a reference that the core itself took, whatever the user's map count is. */
void put_page_mapped(struct hvo_machine *m, hvo_pfn_t head);

/* A frame of a block in state USED failed since it was taken: it is free again, without that. */
bool gave_up_bad(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

/* Zero frames that nobody else uses; -HVO_ENOMEM where the platform has no memory for them. */
int clear_frames(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);

uint64_t call_oom_notifier(struct hvo_machine *m, unsigned int order);

#endif
