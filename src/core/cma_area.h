/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_CMA_AREA_H
#define HVO_CORE_CMA_AREA_H

#include "machine.h"

/*
 * Number of places for areas that are in use or were; others may be added meanwhile. nr is 0: gone.
 */
uint32_t cma_nr_areas(const struct hvo_machine *m);

/*
 * Check the area of a call. -HVO_EINVAL: none, or none any more; -HVO_ENODEV: the machine is gone.
 */
int cma_check(const struct hvo_cma *cma);

/* Count a block with HVO_PF_CMA, which nobody holds any more, out of its area; clears the flag. */
void cma_freed(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

#endif
