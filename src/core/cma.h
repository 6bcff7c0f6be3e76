/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_CMA_H
#define HVO_CORE_CMA_H

#include "machine.h"

/* The same from the CMA areas of a node, with HVO_PF_CMA; @tried is by area. */
HVO_MUST_CHECK int cma_take_one(struct hvo_machine *m, int node, unsigned int order,
				hvo_pfn_t *tried, hvo_pfn_t *ret);

#endif
