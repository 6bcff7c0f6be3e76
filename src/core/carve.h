/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_CARVE_H
#define HVO_CORE_CARVE_H

#include "machine.h"

/* Free a page that HVO_RESTORE_CARVE restored, but for the frames that back its descriptors. */
void vmemmap_free_carved(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

/*
 * Move descriptors out of pageblocks that policy carve spoiled, at most @max frames. Returns the
 * number of frames moved: fewer than @max if there are no more, or no memory.
 */
uint64_t vmemmap_heal(struct hvo_machine *m, uint64_t max);

#endif
