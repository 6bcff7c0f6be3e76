/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_ALLOC_H
#define HVO_CORE_ALLOC_H

#include "base.h"

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

static inline unsigned int zonelist_start(unsigned int gfp)
{
	return gfp & HVO_GFP_MOVABLE ? 0 : HVO_NR_ZONES - 1;
}

/* In which order zones are tried; what cannot be moved begins with the last. */
extern const uint8_t zonelist[HVO_NR_ZONES];

/* hvo_alloc_pages() without clearing and without a reference: state USED. */
int alloc_block(struct hvo_machine *m, unsigned int gfp, unsigned int order, int node,
		hvo_pfn_t *ret);

/* Zero frames that nobody else uses; -HVO_ENOMEM where the platform has no memory for them. */
int clear_frames(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);

#endif
