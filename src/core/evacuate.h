/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_EVACUATE_H
#define HVO_CORE_EVACUATE_H

#include "machine.h"

/*
 * The purpose for which a range is emptied: decides where blocks go, and what becomes of free huge
 * pages.
 *
 * COMPACT: blocks stay on their node; another huge page replaces a free one.
 * CONTIG: as COMPACT, but blocks that have no room on their node go to other nodes once nothing
 * else is left in the range. So a call that fails before that moved nothing across nodes.
 * OFFLINE: blocks go to the other nodes, if any of these has memory; pools get smaller. Where the
 * other nodes have no room Linux mode gives up, and on-demand mode takes the node itself.
 * SOFT: blocks go anywhere, best on their node; pools get smaller.
 *
 * Descriptors go near the memory that they describe, whatever the purpose.
 */
enum evacuate_for { EVACUATE_COMPACT, EVACUATE_CONTIG, EVACUATE_OFFLINE, EVACUATE_SOFT };

/* How far evacuate() came. */
struct evacuated {
	uint64_t moved;	  /* frames */
	hvo_pfn_t behind; /* after an error: end of the last block that could not go; or 0 */
	bool own_only;	  /* after -HVO_EBUSY: only tails of the pageblock that they lie in stay */
};

/*
 * Move everything out of the isolated range [start, end): blocks that have owners, huge pages,
 * descriptors; pageblocks that hold nothing but their own tails collapse. No lock held. Moves at
 * most @max frames; @ret may be NULL.
 *
 * 0: all of the range is free but for frames that failed;
 * -HVO_EBUSY: something stays;
 * -HVO_ENOMEM: there is no place to move to;
 * -HVO_EAGAIN: @max was reached.
 * After an error the range is still isolated, and what moved stays where it is.
 */
int evacuate(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end, enum evacuate_for purpose,
	     uint64_t max, struct evacuated *ret);

#endif
