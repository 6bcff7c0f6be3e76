/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_RESERVE_H
#define HVO_CORE_RESERVE_H

#include "machine.h"

/* A new surplus page, in nobody's hands: state USED, accounted. -HVO_ENOMEM: not allowed, or none. */
HVO_MUST_CHECK int hugetlb_alloc_surplus(struct hvo_pool *pool, unsigned int gfp, int node,
					 hvo_pfn_t *ret);

#endif
