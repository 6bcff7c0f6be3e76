/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_MEMMAP_MOVE_H
#define HVO_CORE_MEMMAP_MOVE_H

#include "alloc.h"

/* Flags of the allocation of the new frame. */
#define GFP_MOVE (HVO_GFP_KERNEL | HVO_GFP_RETRY_MAYFAIL | HVO_GFP_NOWARN | GFP_ISOLATING)

/* Do as hvo_move_memmap(), with the memmap lock held. */
HVO_MUST_CHECK int vmemmap_move_frame(struct hvo_machine *m, hvo_pfn_t pfn);

/*
 * Move the descriptors in a frame that failed or is about to, even those that never move otherwise.
 *
 * 0: the frame is out of use;
 * -HVO_EINVAL: the frame holds no descriptors;
 * other errors: as hvo_move_memmap(), and nothing changed.
 */
HVO_MUST_CHECK int vmemmap_replace_frame(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int gfp);

#endif
