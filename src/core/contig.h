/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_CONTIG_H
#define HVO_CORE_CONTIG_H

#include "machine.h"

/* No function of this header is called with a lock of the machine held. */

/* A wanted place: @nr frames of one zone in [lo, hi). */
struct contig_want {
	hvo_pfn_t lo, hi;
	uint64_t nr, align; /* a power of two */
	bool one;	    /* as one block, of any order */
	bool spare_huge;    /* huge pages of at least this size stay where they are */
	/*
	 * By zone, or NULL: the frame to begin at. A search moves it on to where the next place may
	 * be, so that looking for many places tries none in vain twice.
	 */
	hvo_pfn_t *tried;
};

/*
 * Clear frames that contig_search_on() found, if @gfp asks for that. After an error the frames are
 * free. -HVO_EAGAIN: a frame failed meanwhile.
 */
HVO_MUST_CHECK int contig_clear(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end,
				unsigned int gfp);

/* Give each block of [start, end) its first reference; @cma: the range is of a CMA area. */
void contig_publish(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end, bool cma);

/* Is [start, end) covered by blocks in use? @cma: by blocks of hvo_cma_alloc()? */
bool contig_held(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end, bool cma);

/*
 * Claim the lowest place that can be emptied, from *@tried on (NULL: from the start), which is moved
 * on: state TAKEN.
 *
 * -HVO_EBUSY: something in each place could not be moved;
 * -HVO_ENOMEM: there is no place.
 */
HVO_MUST_CHECK int contig_search_on(struct hvo_machine *m, struct zone *z, struct contig_want *w,
				    hvo_pfn_t *tried, hvo_pfn_t *ret);

/* Claim one block of any order up to 18, state TAKEN, in the zones of one node that @gfp allows. */
HVO_MUST_CHECK int contig_alloc_one(struct hvo_machine *m, unsigned int gfp, int node,
				    unsigned int order, hvo_pfn_t *tried, hvo_pfn_t *ret);

#endif
