/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_EVACUATE_H
#define HVO_CORE_EVACUATE_H

#include "machine.h"

/*
 * What a range is emptied for. That says where things go, and what becomes of free huge pages.
 *
 * COMPACT: all stays on its node; another page replaces a free huge one.
 * CONTIG: the same, but blocks for which the node has no room go to others once nothing else is
 * left in the range. So a call that fails has moved nothing across nodes before that.
 * OFFLINE: to the other nodes, if any of them has memory; pools get smaller. Where the others
 * have no room Linux mode gives up, and on-demand mode takes the node itself.
 * SOFT: anywhere, best on the node; pools get smaller.
 *
 * Descriptors go near what they describe, whatever the purpose.
 */
enum evacuate_for { EVACUATE_COMPACT, EVACUATE_CONTIG, EVACUATE_OFFLINE, EVACUATE_SOFT };

/* How far that came. */
struct evacuated {
	uint64_t moved;	  /* frames */
	hvo_pfn_t behind; /* after an error: the end of the last thing that could not go; or 0 */
	bool own_only; /* after -HVO_EBUSY: nothing stays but tails of the block that they are in */
};

/*
 * Move everything out of an isolated range: blocks that have owners, huge pages, descriptors;
 * blocks that hold nothing but their own descriptors collapse. Memmap lock not held.
 * @max: at most so many frames. Returns 0 with all of it free but for frames that failed;
 * -HVO_EBUSY: something stays; -HVO_ENOMEM: no place; -HVO_EAGAIN: @max was reached.
 * *@ret may be NULL.
 */
int evacuate(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end, enum evacuate_for purpose,
	     uint64_t max, struct evacuated *ret);

#endif
