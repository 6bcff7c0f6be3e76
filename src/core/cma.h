/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_CMA_H
#define HVO_CORE_CMA_H

#include "machine.h"

/*
 * Allocate one block of any order up to 18 from the CMA areas of a node: state TAKEN, HVO_PF_CMA. No
 * lock held. @tried: where to go on in each area, moved on. Errors: as contig_search_on().
 */
HVO_MUST_CHECK int cma_alloc_one(struct hvo_machine *m, int node, unsigned int order,
				 hvo_pfn_t *tried, hvo_pfn_t *ret);

#endif
