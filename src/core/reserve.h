/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_RESERVE_H
#define HVO_CORE_RESERVE_H

#include "machine.h"

/*
 * Allocate a surplus page: state TAKEN, accounted. -HVO_ENOMEM: the overcommit limit is reached, or
 * there is no memory.
 */
HVO_MUST_CHECK int hugetlb_alloc_surplus(struct hvo_pool *pool, unsigned int gfp, int node,
					 hvo_pfn_t *ret);

#endif
