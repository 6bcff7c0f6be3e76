/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_CARVE_H
#define HVO_CORE_CARVE_H

#include "machine.h"

/* Policy carve keeps frames of the blocks [block, block + nr), which get BLOCK_CARVED. */
void vmemmap_note_carved(struct hvo_machine *m, uint64_t block, uint64_t nr);

/* After a restore by HVO_RESTORE_CARVE: free the page, less the frames it keeps. */
void vmemmap_free_carved(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

/*
 * Move descriptors out of blocks that policy carve spoiled, at most @max frames of them.
 * Returns how many were moved: fewer than @max if there are no more, or no memory.
 */
uint64_t vmemmap_heal(struct hvo_machine *m, uint64_t max);

#endif
