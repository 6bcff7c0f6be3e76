/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_MIGRATE_H
#define HVO_CORE_MIGRATE_H

#include "alloc.h"

#define GFP_TARGET (HVO_GFP_USER | HVO_GFP_RETRY_MAYFAIL | HVO_GFP_NOWARN | GFP_ISOLATING)
#define GFP_TARGET_QUIET (GFP_TARGET & ~HVO_GFP_RECLAIM)

/* Where blocks may go, beside the preferred node: flags of an allocation. */
struct where {
	unsigned int block; /* for blocks: any HVO_GFP_* and GFP_* */
	unsigned int huge;  /* for huge pages: 0, HVO_GFP_THISNODE or GFP_OTHER_NODES */
};

extern const struct where migrate_anywhere;

struct migration {
	struct hvo_machine *m;
	struct hvo_owner *owner;
	uint32_t id;
	hvo_pfn_t src, dst;
	unsigned int order;
	uint32_t refs; /* references that the owner has */
	int node;
	unsigned int where;    /* struct where::block or ::huge, by what moves */
	struct hvo_pool *pool; /* NULL: an ordinary block */
	bool fresh;	       /* dst is a new page: the pool is one larger until src leaves */
	bool restored;	       /* src was folded, and was restored for the scope */
	bool stays;	       /* the scope lets nothing of the pool move */
};

/*
 * May blocks go to their own node when the other nodes have no room? In Linux mode not, as Linux.
 */
bool migrate_may_stay(const struct hvo_machine *m, unsigned int where);

/*
 * Try to migrate the block or huge page in use that covers @pfn; fills @g. No lock held.
 *
 * 0: migrated;
 * 1: nobody holds a block there, for now;
 * negative: as hvo_migrate().
 */
int migrate_try(struct hvo_machine *m, hvo_pfn_t pfn, int node, const struct where *where,
		struct migration *g);

#endif
