// SPDX-License-Identifier: MIT
/*
 * What is true between any two steps of any threads, whoever holds which lock. A reader without a
 * lock relies on the first two; the others are what src/core/zone_whole.h lists as places of a
 * pageblock, which its zone's lock shows whole.
 *
 * Nothing here goes through the machine: that would be steps, and would change what its CPUs have
 * in their TLBs.
 */
#include "world.h"

#include <string.h>

#include "core/base.h"

static uint64_t backing(const struct world *w, uint64_t slot)
{
	uint64_t pte = hvo_mmu_lookup(&w->sim->mmu, HVO_SIM_VADDR + (slot << HVO_FRAME_SHIFT));

	return pte == w->sim->mmu.fill ? HVO_SHARED_TAIL : hvo_mmu_frame(pte);
}

/* BETWEEN-1: a cut pageblock's descriptors are there for whoever reads them; a head always is. */
static void look_at_descriptors(const struct world *w, uint64_t pb, uint8_t byte)
{
	uint64_t slot = hvo_pageblock_tail_page(pb), i;

	must(backing(w, hvo_pageblock_head_page(pb)) != HVO_SHARED_TAIL,
	     "BETWEEN-1: a head page that nothing backs", pb);
	for (i = 0; !byte && i < HVO_PAGEBLOCK_TAILS; i++)
		must(backing(w, slot + i) != HVO_SHARED_TAIL,
		     "BETWEEN-1: a cut pageblock whose descriptors are gone", pb);
}

/* BETWEEN-2: no frame backs two pages of the array. */
static void look_at_frames(struct world *w)
{
	uint64_t slot, frame;

	memset(w->backs, 0, sizeof(w->backs));
	for (slot = 0; slot < w->sim->nr_pages; slot++) {
		frame = backing(w, slot);
		if (frame >= MEMORY_END + HVO_SECTION_FRAMES)
			continue;
		must(!(w->backs[frame / 8] >> frame % 8 & 1),
		     "BETWEEN-2: a frame backs two pages of descriptors", frame);
		w->backs[frame / 8] = (uint8_t)(w->backs[frame / 8] | 1u << frame % 8);
	}
}

/* BETWEEN-3: while nobody holds the zone's lock a pageblock is at one of its places. */
static void look_at_place(const struct world *w, uint64_t pb, uint8_t byte)
{
	const struct pageblock *b = &w->m->pageblocks[pb];
	unsigned int order = byte & HVO_FOLD_ORDER;

	must(!(byte & HVO_FOLDED) || order, "BETWEEN-3: folded, and no block", pb);
	must(!order || (order >= HVO_PAGEBLOCK_ORDER && order <= HVO_MAX_ORDER),
	     "BETWEEN-3: an order that no block has", pb);
	must(!(b->flags & PB_CUT) || !(b->flags & PB_REPORTED), "BETWEEN-3: cut, with the system",
	     pb);
	must(!(b->flags & PB_CUT) || !byte || b->flags & PB_BUSY, "BETWEEN-3: cut and whole", pb);
	must(b->flags & PB_CUT || !(b->flags & (PB_BUSY | PB_SELF | PB_CARVED)),
	     "BETWEEN-3: flags of a cut pageblock on a whole one", pb);
}

void world_between(void *arg)
{
	struct world *w = arg;
	uint64_t pb, nr = w->m->mm.nr_frames >> HVO_PAGEBLOCK_ORDER;
	const struct zone *z;
	uint8_t byte, zone;
	bool same;

	same = w->looked_remaps == w->sim->remaps && !memcmp(w->looked_fold, w->m->fold, nr);
	for (pb = 0; pb < nr; pb++) {
		zone = section_zone(w->m, pb << HVO_PAGEBLOCK_ORDER);
		if (zone == ZONE_NONE)
			continue;
		byte = w->m->fold[pb];
		if (!same)
			look_at_descriptors(w, pb, byte);
		z = zone_by_id(w->m, zone);
		if (!z->lock.word)
			look_at_place(w, pb, byte);
	}
	if (same)
		return;
	look_at_frames(w);
	w->looked_remaps = w->sim->remaps;
	memcpy(w->looked_fold, w->m->fold, nr);
}
