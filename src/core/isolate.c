// SPDX-License-Identifier: MIT
/*
 * Isolation of ranges: free memory in them serves nobody, until it is taken as a whole or
 * given back.
 *
 * What the library isolates itself is put back soon; what a user isolates only the user puts back.
 *
 * States of a pageblock that is isolated: whole and free: ISOLATED, on no list, not counted;
 * cut: in no bin, its free frames not counted; anything else as before, until it is freed.
 * Locks: the memmap lock, so that nobody else isolates; the zone's lock for each pageblock.
 * Linux: mm/page_isolation.c, start_isolate_page_range(), undo_isolate_page_range(),
 * test_pages_isolated().
 */
#include "isolate.h"

#include "badframe.h"
#include "base.h"
#include "fold.h"
#include "lock.h"
#include "optimize.h"
#include "page.h"
#include "zone_cut.h"
#include "zone_whole.h"

static int isolate(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end, enum isolation by)
{
	struct zone *z;
	hvo_pfn_t pfn;
	int rc = 0;

	lock_acquire(m, &m->memmap_lock);
	z = zone_lock_of(m, start);
	if (!z) {
		lock_release(m, &m->memmap_lock);
		return -HVO_EINVAL;
	}
	for (pfn = start; pfn < end && !rc; pfn += HVO_PAGEBLOCK_FRAMES) {
		/* It may have gone offline since the caller looked. */
		if (!zone_has(m, z, pfn))
			rc = -HVO_EINVAL;
		else if (pb_data(m, pb_of(pfn))->isolation)
			rc = -HVO_EBUSY;
	}
	for (pfn = start; pfn < end && !rc; pfn += HVO_PAGEBLOCK_FRAMES)
		zone_isolate_pageblock(m, z, pb_of(pfn), by);
	lock_release(m, &z->lock);
	lock_release(m, &m->memmap_lock);
	return rc;
}

int isolate_range(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end)
{
	return isolate(m, start, end, ISOLATED_BY_LIBRARY);
}

/* End the isolation of a range; false: part of the range is not so isolated. */
static bool unisolate(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end, enum isolation by)
{
	struct zone *z = zone_of(m, start);
	bool is = true;
	hvo_pfn_t pfn;

	lock_assert_held(m, &m->memmap_lock);
	lock_acquire(m, &z->lock);
	for (pfn = start; pfn < end && is; pfn += HVO_PAGEBLOCK_FRAMES)
		is = pb_data(m, pb_of(pfn))->isolation == by;
	for (pfn = start; pfn < end && is; pfn += HVO_PAGEBLOCK_FRAMES)
		zone_unisolate_pageblock(m, z, pb_of(pfn));
	lock_release(m, &z->lock);
	return is;
}

void unisolate_range(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end)
{
	lock_acquire(m, &m->memmap_lock);
	if (!unisolate(m, start, end, ISOLATED_BY_LIBRARY))
		HVO_PANIC(m, ZONE_4, "block is not isolated", start);
	lock_release(m, &m->memmap_lock);
}

void isolated_collapse(struct hvo_machine *m, pb_t pb)
{
	struct zone *z = zone_of(m, pb_pfn(pb));
	bool busy;

	lock_acquire(m, &z->lock);
	busy = zone_settle_isolated(m, z, pb);
	lock_release(m, &z->lock);
	if (busy)
		(void)vmemmap_collapse_pageblock(m, z, pb);
}

/* Claim pageblocks that are all free, as blocks as large as fit. */
static bool claim_whole(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end, unsigned int max)
{
	struct zone *z = zone_of(m, start);
	unsigned int order;
	hvo_pfn_t pfn, p;
	bool free = true;

	lock_acquire(m, &z->lock);
	for (pfn = start; pfn < end && free; pfn += HVO_PAGEBLOCK_FRAMES)
		free = fold_byte(m, pb_of(pfn)) &&
		       hvo_page_state(page_ro(m, pfn)) == HVO_PAGE_ISOLATED;
	for (pfn = start; pfn < end && free; pfn += UINT64_C(1) << order) {
		order = fitting_order(pfn, end, max);
		for (p = pfn; p < pfn + (UINT64_C(1) << order); p += HVO_PAGEBLOCK_FRAMES)
			page_set_state(m, p, page_rw(m, p), HVO_PAGE_TAIL, 0);
		fold_set(m, pfn, order, (uint8_t)(order | (fold_byte(m, pb_of(pfn)) & HVO_FOLDED)));
		page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_TAKEN, order);
	}
	lock_release(m, &z->lock);
	return free;
}

bool isolated_claim_one(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	return claim_whole(m, pfn, pfn + (UINT64_C(1) << order), order);
}

/* ---- blocks that are wanted in part --------------------------------------------------------- */

/* Make a pageblock in state TAKEN a cut one, all of it free. */
static int cut_isolated(struct hvo_machine *m, struct zone *z, pb_t pb, hvo_pfn_t start,
			hvo_pfn_t end)
{
	unsigned int at =
		on_demand(m) ? badframe_sound_group(m, pb, start, end) : HVO_PAGEBLOCK_FRAMES;
	bool self = at < HVO_PAGEBLOCK_FRAMES;
	int rc = vmemmap_cut(m, pb, at);

	if (!rc && !self && on_demand(m))
		rc = vmemmap_restore_elsewhere(m, pb_pfn(pb), HVO_PAGEBLOCK_ORDER);
	if (rc)
		return rc;
	lock_acquire(m, &z->lock);
	zone_open_around(m, z, pb, at, self || !on_demand(m) ? MIGRATE_MOVABLE : MIGRATE_HOSTED);
	lock_release(m, &z->lock);
	return 0;
}

/* Cut an isolated pageblock, so that single frames of it can be taken. 0: it is cut, or was. */
static int open_isolated(struct hvo_machine *m, struct zone *z, pb_t pb, hvo_pfn_t start,
			 hvo_pfn_t end)
{
	hvo_pfn_t base = pb_pfn(pb);
	bool whole, free;
	int rc;

	lock_acquire(m, &z->lock);
	whole = fold_byte(m, pb);
	free = whole && hvo_page_state(page_ro(m, base)) == HVO_PAGE_ISOLATED;
	if (free)
		page_set_state(m, base, page_rw(m, base), HVO_PAGE_TAKEN, HVO_PAGEBLOCK_ORDER);
	lock_release(m, &z->lock);
	if (!free)
		return whole ? -HVO_EBUSY : 0;
	rc = cut_isolated(m, z, pb, start, end);
	if (!rc)
		return 0;
	lock_acquire(m, &z->lock);
	zone_set_isolated(m, base);
	lock_release(m, &z->lock);
	return rc;
}

static int claim_part(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end)
{
	struct zone *z = zone_of(m, start);
	int rc;

	/* What failed in the other part is no obstacle. */
	(void)cut_all_aside(m, pb_start(start), pb_end(start), UINT64_MAX);
	rc = open_isolated(m, z, pb_of(start), start, end);
	if (rc)
		return rc;
	lock_acquire(m, &z->lock);
	if (!zone_take_isolated(m, start, end - start))
		rc = -HVO_EBUSY;
	lock_release(m, &z->lock);
	return rc;
}

int isolated_claim_frames(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end)
{
	hvo_pfn_t pfn = start, to;
	int rc = 0;

	for (; pfn < end && !rc; pfn = rc ? pfn : to) {
		to = pb_start(end);
		if (!pb_index(pfn) && to > pfn) {
			rc = claim_whole(m, pfn, to, m->cfg.max_order) ? 0 : -HVO_EBUSY;
			continue;
		}
		to = pb_end(pfn);
		to = to < end ? to : end;
		rc = claim_part(m, pfn, to);
	}
	if (rc)
		free_blocks(m, start, pfn);
	return rc;
}

bool isolate_range_valid(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end)
{
	hvo_pfn_t pfn;
	uint8_t zone;

	if (start >= end || (start | end) & (HVO_PAGEBLOCK_FRAMES - 1) || end > m->mm.nr_frames)
		return false;
	/* Without a lock any of it may go offline meanwhile. */
	zone = section_zone(m, start);
	for (pfn = start; pfn < end; pfn += HVO_PAGEBLOCK_FRAMES)
		if (section_zone(m, pfn) != zone)
			return false;
	return zone != ZONE_NONE;
}

int hvo_isolate_range(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end)
{
	if (machine_gone(m))
		return -HVO_ENODEV;
	return isolate_range_valid(m, start, end) ? isolate(m, start, end, ISOLATED_BY_USER) :
						    -HVO_EINVAL;
}

int hvo_unisolate_range(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end)
{
	int rc = -HVO_EINVAL;

	if (machine_gone(m))
		return -HVO_ENODEV;
	lock_acquire(m, &m->memmap_lock);
	if (isolate_range_valid(m, start, end) && unisolate(m, start, end, ISOLATED_BY_USER))
		rc = 0;
	lock_release(m, &m->memmap_lock);
	return rc;
}
