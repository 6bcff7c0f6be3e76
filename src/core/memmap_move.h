/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_MEMMAP_MOVE_H
#define HVO_CORE_MEMMAP_MOVE_H

#include "alloc.h"

/* For the new frame. */
#define GFP_MOVE (HVO_GFP_KERNEL | HVO_GFP_RETRY_MAYFAIL | HVO_GFP_NOWARN | GFP_ISOLATING)

/*
 * All with the memmap lock held. hvo_move_memmap() but for the lock; the contract is there.
 */
HVO_MUST_CHECK int vmemmap_move_frame(struct hvo_machine *m, hvo_pfn_t pfn);

/*
 * The same for one that failed, or is about to, and also for those that never move otherwise. 0: it is out of use.
 * -HVO_EINVAL: it holds no descriptors.
 */
HVO_MUST_CHECK int vmemmap_replace_frame(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int gfp);

#endif
