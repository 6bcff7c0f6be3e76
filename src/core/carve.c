// SPDX-License-Identifier: MIT
/*
 * Policy carve: a huge page gives the frames for its own descriptors, and can be huge again only
 * when they have moved; healing moves them.
 *
 * States: pageblocks with PB_CARVED lie in [carved_lo, carved_hi) of the machine; while they
 * are emptied they are isolated, by healing.
 * Locks: the memmap lock; the zone's lock for the flags.
 * Linux: proposed for mm/hugetlb_vmemmap.c in 2021, and not merged.
 */
#include "carve.h"

#include "backing.h"
#include "base.h"
#include "lock.h"
#include "memmap_move.h"
#include "page.h"
#include "zone_cut.h"
#include "zone_whole.h"

/* ---- what it spoiled ------------------------------------------------------------------------ */

static void note_carved(struct hvo_machine *m, uint64_t block, uint64_t nr)
{
	lock_assert_held(m, &m->memmap_lock);
	if (!counter_read(&m->carved_blocks)) {
		m->carved_lo = block;
		m->carved_hi = block;
	}
	if (block < m->carved_lo)
		m->carved_lo = block;
	if (block + nr > m->carved_hi)
		m->carved_hi = block + nr;
	counter_add(&m->carved_blocks, nr);
}

void vmemmap_free_carved(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	struct tails t = tails_of(pfn, order);
	uint64_t keep = nr_tails(&t), nr = UINT64_C(1) << order, first, i;
	struct zone *z = zone_of(m, pfn);

	lock_assert_held(m, &m->memmap_lock);
	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_TAIL, 0);
	vmemmap_back(m, pfn, t.page[0], t.nr[0]);
	vmemmap_back(m, pfn + t.nr[0], t.page[1], t.nr[1]);
	note_carved(m, pageblock_of(pfn), (keep + HVO_PAGEBLOCK_FRAMES - 1) / HVO_PAGEBLOCK_FRAMES);
	/* All bytes first: no block may seem to be whole with a head that holds descriptors. */
	for (first = 0; first < nr; first += HVO_PAGEBLOCK_FRAMES)
		fold_set(m, pfn + first, HVO_PAGEBLOCK_ORDER,
			 keep > first ? 0 : HVO_PAGEBLOCK_ORDER);
	for (first = 0; first < nr; first += HVO_PAGEBLOCK_FRAMES) {
		uint64_t used = keep > first ? min_u64(keep - first, HVO_PAGEBLOCK_FRAMES) : 0;
		hvo_pfn_t block = pfn + first;

		for (i = 0; i < used; i++)
			page_set_state(m, block + i, page_rw(m, block + i), HVO_PAGE_MEMMAP, 0);
		lock_acquire(m, &z->lock);
		zone_count_freed(z, HVO_PAGEBLOCK_FRAMES - used);
		if (used)
			zone_open_pageblock(m, z, pageblock_of(block), (unsigned int)used,
					    MIGRATE_UNMOVABLE, PB_CARVED);
		else
			zone_put_whole(m, z, block, HVO_PAGEBLOCK_ORDER);
		lock_release(m, &z->lock);
	}
}

/* ---- healing -------------------------------------------------------------------------------- */

/* Lock the zone of a cut pageblock; NULL: it is not cut, or offline. No lock is taken for that. */
static struct zone *lock_cut(struct hvo_machine *m, uint64_t block)
{
	/* Offline memory in between may be cut, too. */
	return fold_order(m, pageblock_pfn(block)) ? NULL : zone_lock_of(m, pageblock_pfn(block));
}

/*
 * Isolate all carved pageblocks before anything moves: what leaves one must not go into another.
 * Frames that are in use stay so; an allocation that wants one of the others waits.
 */
static void isolate_carved(struct hvo_machine *m)
{
	uint64_t block;

	lock_assert_held(m, &m->memmap_lock);
	for (block = m->carved_lo; block < m->carved_hi; block++) {
		const struct pageblock *b = &m->pageblocks[block];
		struct zone *z = lock_cut(m, block);

		if (!z)
			continue;
		if (pageblock_serves(b) && b->flags & PB_CARVED)
			zone_isolate_pageblock(m, z, block, ISOLATED_BY_HEALING);
		lock_release(m, &z->lock);
	}
}

/* End these isolations, and narrow [carved_lo, carved_hi) to what is still carved. */
static void unisolate_carved(struct hvo_machine *m)
{
	uint64_t block, lo = m->carved_hi, hi = m->carved_lo;

	lock_assert_held(m, &m->memmap_lock);
	for (block = m->carved_lo; block < m->carved_hi; block++) {
		const struct pageblock *b = &m->pageblocks[block];
		struct zone *z = lock_cut(m, block);

		if (!z)
			continue;
		if (b->isolation == ISOLATED_BY_HEALING)
			zone_unisolate_pageblock(m, z, block);
		if (b->flags & PB_CARVED) {
			lo = min_u64(lo, block);
			hi = block + 1;
		}
		lock_release(m, &z->lock);
	}
	m->carved_lo = lo;
	m->carved_hi = hi;
}

static bool is_healing(struct hvo_machine *m, uint64_t block)
{
	struct zone *z = lock_cut(m, block);
	bool healing;

	if (!z)
		return false;
	healing = m->pageblocks[block].isolation == ISOLATED_BY_HEALING;
	lock_release(m, &z->lock);
	return healing;
}

static void pageblock_healed(struct hvo_machine *m, uint64_t block)
{
	struct zone *z = zone_of(m, pageblock_pfn(block));

	lock_acquire(m, &z->lock);
	m->pageblocks[block].flags &= (uint8_t)~PB_CARVED;
	lock_release(m, &z->lock);
	HVO_ASSERT(m, counter_read(&m->carved_blocks), MEMMAP_4, "none is carved",
		   pageblock_pfn(block));
	counter_sub(&m->carved_blocks, 1);
	trace(m, HVO_EVENT_HEALED, pageblock_pfn(block), 0, 0);
}

/* Empty an isolated pageblock of descriptors. -HVO_ENOMEM: there is no frame for the next one. */
static int heal_pageblock(struct hvo_machine *m, uint64_t block, uint64_t max, uint64_t *moved)
{
	hvo_pfn_t pfn = pageblock_pfn(block), end = pfn + HVO_PAGEBLOCK_FRAMES;
	bool left = false;
	int rc;

	lock_assert_held(m, &m->memmap_lock);
	for (; pfn < end; pfn++) {
		/* Only under the memmap lock does a frame here begin or cease to be one. */
		if (hvo_page_state(page_ro(m, pfn)) != HVO_PAGE_MEMMAP)
			continue;
		if (*moved == max)
			return 0;
		rc = vmemmap_move_frame(m, pfn);
		if (!rc) {
			(*moved)++;
			continue;
		}
		if (rc != -HVO_EBUSY)
			return rc;
		/* The next healing comes back to it. */
		left = true;
	}
	if (!left)
		pageblock_healed(m, block);
	return 0;
}

uint64_t vmemmap_heal(struct hvo_machine *m, uint64_t max)
{
	uint64_t moved = 0, nr, block;

	lock_assert_held(m, &m->memmap_lock);
	if (!max || !counter_read(&m->carved_blocks))
		return 0;
	isolate_carved(m);
	/* Round the range once, from where the last healing stopped. */
	block = m->heal_next;
	for (nr = m->carved_hi - m->carved_lo; nr; nr--, block++) {
		if (block < m->carved_lo || block >= m->carved_hi)
			block = m->carved_lo;
		m->heal_next = block;
		if (!is_healing(m, block))
			continue;
		if (heal_pageblock(m, block, max, &moved) || moved == max)
			break;
	}
	unisolate_carved(m);
	return moved;
}
