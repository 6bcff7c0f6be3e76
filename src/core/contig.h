/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_CONTIG_H
#define HVO_CORE_CONTIG_H

#include "machine.h"

/* Nothing here is called with a lock of ours held. */

/* What is looked for: @nr frames of one zone in [lo, hi). */
struct contig_want {
	hvo_pfn_t lo, hi;
	uint64_t nr, align; /* a power of two */
	bool one;	    /* as one block, of whatever order */
	bool spare_huge;    /* huge pages of at least this size stay where they are */
	/*
	 * By zone, or NULL: where to begin there. It goes on to where the next place may be, so that
	 * who wants many does not try again what was of no use.
	 */
	hvo_pfn_t *tried;
};

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

/*
 * The lowest place for it, in state USED and without a reference. -HVO_EBUSY: something
 * could not be moved; -HVO_ENOMEM: no place.
 */
HVO_MUST_CHECK int contig_search(struct hvo_machine *m, struct zone *z, const struct contig_want *w,
				 hvo_pfn_t *ret);

/* The same from *@tried on, if there is one, which goes on. */
HVO_MUST_CHECK int contig_search_on(struct hvo_machine *m, struct zone *z, struct contig_want *w,
				    hvo_pfn_t *tried, hvo_pfn_t *ret);

/* One block of any order up to 18, state USED, by the zones of @gfp of one node. */
HVO_MUST_CHECK int contig_take_one(struct hvo_machine *m, unsigned int gfp, int node,
				   unsigned int order, hvo_pfn_t *tried, hvo_pfn_t *ret);

#endif
