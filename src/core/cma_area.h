/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_CMA_AREA_H
#define HVO_CORE_CMA_AREA_H

#include "machine.h"

/* Areas that are complete, however many are made meanwhile. */
uint32_t cma_nr_areas(const struct hvo_machine *m);

/* An area gave @nr frames. */
void cma_count_taken(struct hvo_cma *cma, uint64_t nr);

/* A block with HVO_PF_CMA is free: the area counts it no more, and the flag is gone. */
void cma_freed(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

#endif
