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

/* Count pageblocks [start, end), in which frames of descriptors stay, as carved. */
static void note_carved(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end)
{
	bool first = !counter_read(&m->carved_blocks);

	lock_assert_held(m, &m->memmap_lock);
	if (first || start < m->carved_lo)
		m->carved_lo = start;
	if (first || end > m->carved_hi)
		m->carved_hi = end;
	counter_add(&m->carved_blocks, (end - start) / HVO_PAGEBLOCK_FRAMES);
}

void vmemmap_free_carved(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	struct tails t = tails_of(m, pfn, order);
	uint64_t keep = nr_tails(&t), nr = UINT64_C(1) << order, first, i;
	struct zone *z = zone_of(m, pfn);

	lock_assert_held(m, &m->memmap_lock);
	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_TAIL, 0);
	vmemmap_back(m, pfn, t.slot[0], t.nr[0]);
	vmemmap_back(m, pfn + t.nr[0], t.slot[1], t.nr[1]);
	note_carved(m, pfn, pfn + align_up(keep, HVO_PAGEBLOCK_FRAMES));
	/* All bytes first: no block may seem to be whole with a head that holds descriptors. */
	for (first = 0; first < nr; first += HVO_PAGEBLOCK_FRAMES)
		fold_set(m, pfn + first, HVO_PAGEBLOCK_ORDER,
			 keep > first ? 0 : HVO_PAGEBLOCK_ORDER);
	for (first = 0; first < nr; first += HVO_PAGEBLOCK_FRAMES) {
		uint64_t used = keep > first ? min_u64(keep - first, HVO_PAGEBLOCK_FRAMES) : 0;
		hvo_pfn_t base = pfn + first;

		for (i = 0; i < used; i++)
			page_set_state(m, base + i, page_rw(m, base + i), HVO_PAGE_MEMMAP, 0);
		lock_acquire(m, &z->lock);
		zone_count_freed(z, HVO_PAGEBLOCK_FRAMES - used);
		if (used)
			zone_open_pageblock(m, z, pb_of(base), 0, (unsigned int)used,
					    MIGRATE_UNMOVABLE, PB_CARVED);
		else
			zone_put_whole(m, z, base, HVO_PAGEBLOCK_ORDER);
		lock_release(m, &z->lock);
	}
}

/* ---- healing -------------------------------------------------------------------------------- */

/* Lock the zone of a cut pageblock; NULL and no lock: the pageblock is not cut, or offline. */
static struct zone *lock_cut(struct hvo_machine *m, hvo_pfn_t pfn)
{
	/* Offline memory in between may be cut, too. */
	return fold_order(m, pfn) ? NULL : zone_lock_of(m, pfn);
}

/*
 * Isolate all carved pageblocks before anything moves: what leaves one must not go into another.
 * Frames that are in use stay so; an allocation that wants one of the others waits.
 */
static void isolate_carved(struct hvo_machine *m)
{
	hvo_pfn_t pfn;

	lock_assert_held(m, &m->memmap_lock);
	for (pfn = m->carved_lo; pfn < m->carved_hi; pfn += HVO_PAGEBLOCK_FRAMES) {
		const struct pageblock *b = pb_data(m, pb_of(pfn));
		struct zone *z = lock_cut(m, pfn);

		if (!z)
			continue;
		if (pageblock_serves(b) && b->flags & PB_CARVED)
			zone_isolate_pageblock(m, z, pb_of(pfn), ISOLATED_BY_HEALING);
		lock_release(m, &z->lock);
	}
}

/* End these isolations, and narrow [carved_lo, carved_hi) to what is still carved. */
static void unisolate_carved(struct hvo_machine *m)
{
	hvo_pfn_t pfn, lo = m->carved_hi, hi = m->carved_lo;

	lock_assert_held(m, &m->memmap_lock);
	for (pfn = m->carved_lo; pfn < m->carved_hi; pfn += HVO_PAGEBLOCK_FRAMES) {
		const struct pageblock *b = pb_data(m, pb_of(pfn));
		struct zone *z = lock_cut(m, pfn);

		if (!z)
			continue;
		if (b->isolation == ISOLATED_BY_HEALING)
			zone_unisolate_pageblock(m, z, pb_of(pfn));
		if (b->flags & PB_CARVED) {
			lo = min_u64(lo, pfn);
			hi = pfn + HVO_PAGEBLOCK_FRAMES;
		}
		lock_release(m, &z->lock);
	}
	m->carved_lo = lo;
	m->carved_hi = hi;
}

static bool is_healing(struct hvo_machine *m, hvo_pfn_t pfn)
{
	struct zone *z = lock_cut(m, pfn);
	bool healing;

	if (!z)
		return false;
	healing = pb_data(m, pb_of(pfn))->isolation == ISOLATED_BY_HEALING;
	lock_release(m, &z->lock);
	return healing;
}

static void pageblock_healed(struct hvo_machine *m, hvo_pfn_t pfn)
{
	struct zone *z = zone_of(m, pfn);

	lock_acquire(m, &z->lock);
	pb_data(m, pb_of(pfn))->flags &= (uint8_t)~PB_CARVED;
	lock_release(m, &z->lock);
	HVO_ASSERT(m, counter_read(&m->carved_blocks), MEMMAP_4, "none is carved", pfn);
	counter_sub(&m->carved_blocks, 1);
	trace(m, HVO_EVENT_HEALED, pfn, 0, 0);
}

/* Empty an isolated pageblock of descriptors. -HVO_ENOMEM: there is no frame for the next one. */
static int heal_pageblock(struct hvo_machine *m, hvo_pfn_t base, uint64_t max, uint64_t *moved)
{
	hvo_pfn_t pfn = base, end = base + HVO_PAGEBLOCK_FRAMES;
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
		pageblock_healed(m, base);
	return 0;
}

uint64_t vmemmap_heal(struct hvo_machine *m, uint64_t max)
{
	uint64_t moved = 0, nr;
	hvo_pfn_t pfn;

	lock_assert_held(m, &m->memmap_lock);
	if (!max || !counter_read(&m->carved_blocks))
		return 0;
	isolate_carved(m);
	/* Round the range once, from where the last healing stopped. */
	nr = (m->carved_hi - m->carved_lo) / HVO_PAGEBLOCK_FRAMES;
	for (pfn = m->heal_next; nr; nr--, pfn += HVO_PAGEBLOCK_FRAMES) {
		if (pfn < m->carved_lo || pfn >= m->carved_hi)
			pfn = m->carved_lo;
		m->heal_next = pfn;
		if (!is_healing(m, pfn))
			continue;
		if (heal_pageblock(m, pfn, max, &moved) || moved == max)
			break;
	}
	unisolate_carved(m);
	return moved;
}
