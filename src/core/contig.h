/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_CONTIG_H
#define HVO_CORE_CONTIG_H

#include "machine.h"

/* Nothing here is called with a lock of ours held. */

/* ---- contig.c ---------------------------------------------------------------------- */

/* What is looked for: @nr frames of one zone in [lo, hi). */
struct contig_want {
	hvo_pfn_t lo, hi;
	uint64_t nr, align; /* a power of two */
	bool one;	    /* as one block, of whatever order */
	bool spare_huge;    /* huge pages of at least this size stay where they are */
};

/*
 * The lowest place for it, in state USED and without a reference. -HVO_EBUSY: something
 * could not be moved; -HVO_ENOMEM: no place.
 */
HVO_MUST_CHECK int contig_search(struct hvo_machine *m, struct zone *z, const struct contig_want *w,
				 hvo_pfn_t *ret);
/*
 * Clear frames that were found so, if asked for; after an error they are free. -HVO_EAGAIN: one
 * of them failed meanwhile.
 */
HVO_MUST_CHECK int contig_clear(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end,
				unsigned int gfp);
/* Their first references; @cma: it is one piece of hvo_cma_alloc(). */
void contig_publish(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end, bool cma);
/* All of it covered by blocks that somebody holds? @cma: and it is in one such piece? */
bool contig_held(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end, bool cma);

/* One block of any order up to 18, state USED, by the zones and nodes of @gfp. */
HVO_MUST_CHECK int contig_take_one(struct hvo_machine *m, unsigned int gfp, int node,
				   unsigned int order, hvo_pfn_t *ret);

/* ---- cma.c -------------------------------------------------------------------------- */

/* The same from the CMA areas of a node; nobody counts it as theirs. */
HVO_MUST_CHECK int cma_take_one(struct hvo_machine *m, int node, unsigned int order,
				hvo_pfn_t *ret);
/* The last reference on a block with HVO_PF_CMA is gone. */
void cma_freed(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

/* ---- compact.c ----------------------------------------------------------------------- */

/* Move things until one more block of this order is free where @gfp can have it; false: none. */
bool compact_direct(struct hvo_machine *m, unsigned int gfp, unsigned int order, int node);

#endif
