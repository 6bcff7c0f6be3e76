/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_MIGRATE_H
#define HVO_CORE_MIGRATE_H

#include "alloc.h"

#define GFP_TARGET (HVO_GFP_USER | HVO_GFP_RETRY_MAYFAIL | HVO_GFP_NOWARN | GFP_ISOLATING)
#define GFP_TARGET_QUIET (GFP_TARGET & ~HVO_GFP_RECLAIM)

/* Where things may go, beside the node that is preferred: flags of an allocation. */
struct where {
	unsigned int block; /* all of them */
	unsigned int huge;  /* 0, HVO_GFP_THISNODE or GFP_OTHER_NODES */
};

extern const struct where migrate_anywhere;

struct migration {
	struct hvo_machine *m;
	struct hvo_owner *owner;
	uint32_t id;
	hvo_pfn_t src, dst;
	unsigned int order;
	uint32_t refs; /* of the owner */
	int node;
	unsigned int where;    /* the one of struct where that is meant */
	struct hvo_pool *pool; /* NULL: an ordinary block */
	bool fresh;	       /* the pool is one larger for it */
	bool restored;	       /* the old place was folded, before the scope asked for it */
	bool stays;	       /* the scope lets nothing of the pool move */
};

/* Linux mode gives up where the other nodes have no room, as the kernel. */
bool migrate_may_stay(const struct hvo_machine *m, unsigned int where);

/* 1: nobody holds a block there, for now. */
int migrate_try(struct hvo_machine *m, hvo_pfn_t pfn, int node, const struct where *where,
		struct migration *g);

/* Move the block or huge page in use that covers a frame; memmap lock not held. */
int migrate_block(struct hvo_machine *m, hvo_pfn_t pfn, int node, hvo_pfn_t *ret_dst);

#endif
