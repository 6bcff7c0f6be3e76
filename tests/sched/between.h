/* SPDX-License-Identifier: MIT */
/*
 * The table of intermediate states: what may be there between two steps, what a thread has in its
 * hands, and what it owes at the end of an operation. The names are those of INVARIANTS.md.
 *
 * Nothing here goes through the machine: that would be steps, and would change what its CPUs have
 * in their TLBs.
 */
#ifndef HVO_TESTS_SCHED_BETWEEN_H
#define HVO_TESTS_SCHED_BETWEEN_H

#include "core/zone_whole.h"
#include "world.h"

/* between.c. What can be seen at any step, of a struct world. */
void world_between(void *w);
/* What is to be seen when another thread goes on, and what this one has done since it began. */
void world_switch(void *w);

/* hands.c. Note what is in nobody's hands before a run. */
void hands_begin(struct world *w);
/* The thread that runs took, or gave back, what changed since the last switch. */
void hands_count(struct world *w);
/* An operation of a thread is over. */
void hands_end(struct world *w, unsigned int thread);

/* The frame behind a page of descriptors, or HVO_SHARED_TAIL; and a descriptor, as nobody's TLB. */
uint64_t world_backing(const struct world *w, uint64_t slot);
const struct hvo_page *world_page(const struct world *w, hvo_pfn_t pfn);
/* As pageblock_place(), without MEMMAP; whatever locks are held. */
enum pageblock_place world_place(const struct world *w, uint64_t pb);
/* The frames that a descriptor of a cut pageblock speaks for: a block's, if that lies in there. */
uint64_t world_frames(const struct hvo_page *page, hvo_pfn_t pfn);

static inline uint64_t world_pageblocks(const struct world *w)
{
	return w->m->mm.nr_frames >> HVO_PAGEBLOCK_ORDER;
}

#endif
