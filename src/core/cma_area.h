/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_CMA_AREA_H
#define HVO_CORE_CMA_AREA_H

#include "machine.h"

/* Places of areas that are complete, however many are made meanwhile; some may be gone (nr is 0). */
uint32_t cma_nr_areas(const struct hvo_machine *m);

/* What every call on an area refuses: none, or none any more, and a machine that is gone. */
int cma_check(const struct hvo_cma *cma);

/* A block with HVO_PF_CMA is free: the area counts it no more, and the flag is gone. */
void cma_freed(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

#endif
