/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_ALLOC_H
#define HVO_CORE_ALLOC_H

#include "base.h"

/*
 * Beside HVO_GFP_*: neither wait for isolated pageblocks nor isolate any. The caller isolated them,
 * or holds the memmap lock, which ending an isolation needs.
 */
#define GFP_ISOLATING 0x80000000u

/* Allocate for descriptors: not from MIGRATE_HOSTED. */
#define GFP_MEMMAP 0x40000000u

/* Allocate from any node but the preferred one. */
#define GFP_OTHER_NODES 0x20000000u

/* Allocate from cut pageblocks only, and cut none. */
#define GFP_UNCUT 0x10000000u

/* Count the nodes that an allocation tries, in turn from *@ret_first on. */
static inline uint32_t nodes_to_try(const struct hvo_machine *m, unsigned int gfp, int node,
				    uint32_t *ret_first)
{
	uint32_t nr = m->cfg.nr_nodes, first = node < 0 ? 0 : (uint32_t)node;

	*ret_first = gfp & GFP_OTHER_NODES ? (first + 1) % nr : first;
	if (gfp & GFP_OTHER_NODES)
		return nr - 1;
	return gfp & HVO_GFP_THISNODE && node >= 0 ? 1 : nr;
}

/* Index in zonelist[] of the first zone that an allocation with @gfp tries. */
static inline unsigned int zonelist_start(unsigned int gfp)
{
	return gfp & HVO_GFP_MOVABLE ? 0 : HVO_NR_ZONES - 1;
}

/* Zone types in the order in which they are tried; unmovable memory comes from the last only. */
extern const uint8_t zonelist[HVO_NR_ZONES];

/*
 * Allocate a block as hvo_alloc_pages(), without clearing and without a reference: state TAKEN. No
 * spin lock held. Errors: as hvo_alloc_pages().
 */
int alloc_block(struct hvo_machine *m, unsigned int gfp, unsigned int order, int node,
		hvo_pfn_t *ret);

/*
 * Allocate up to @max blocks of an order of 9 and above that are free on a node, in state TAKEN, as
 * alloc_block() would, but make no room: no zone goes below its low watermark. No spin lock held.
 * Returns how many.
 */
unsigned int alloc_free_blocks(struct hvo_machine *m, unsigned int gfp, unsigned int order,
			       int node, unsigned int max, hvo_pfn_t *pfns);

/* How many blocks alloc_free_blocks() could find now. */
uint64_t count_free_blocks(struct hvo_machine *m, unsigned int gfp, unsigned int order, int node);

/* Zero frames that only the caller uses. -HVO_ENOMEM: the platform has no memory for them. */
int clear_frames(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);

#endif
