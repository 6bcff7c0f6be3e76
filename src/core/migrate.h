/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_MIGRATE_H
#define HVO_CORE_MIGRATE_H

#include "machine.h"

/* What becomes of free huge pages in a range that is to be emptied. */
enum evacuate_huge {
	EVACUATE_REPLACE,  /* another page joins the pool first, as alloc_contig_range() */
	EVACUATE_DISSOLVE, /* the pool gets smaller, as offline */
};

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
int evacuate(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end, enum evacuate_huge huge,
	     uint64_t max, struct evacuated *ret);

/* Move the block or huge page in use that covers a frame; memmap lock not held. */
int migrate_block(struct hvo_machine *m, hvo_pfn_t pfn, int node, hvo_pfn_t *ret_dst);

/* A frame of a block that the caller holds failed: tell its owner. No lock is held. */
void tell_owner(struct hvo_machine *m, hvo_pfn_t frame, hvo_pfn_t head);

#endif
