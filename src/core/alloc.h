/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_ALLOC_H
#define HVO_CORE_ALLOC_H

#include "machine.h"

/* hvo_alloc_pages() without clearing and without a reference: state USED. */
int alloc_block(struct hvo_machine *m, unsigned int gfp, unsigned int order, int node,
		hvo_pfn_t *ret);
/* The way back of alloc_block(); clears if the machine clears on free. */
void free_block(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

/* Zero frames that nobody else uses; -HVO_ENOMEM where the platform has no memory for them. */
int clear_frames(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);

/* Frames that an allocation with these flags has to leave free in a zone. */
uint64_t gfp_watermark(const struct zone *z, unsigned int gfp);

uint64_t call_oom_notifier(struct hvo_machine *m, unsigned int order);

#endif
