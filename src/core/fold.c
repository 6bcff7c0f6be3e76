// SPDX-License-Identifier: MIT
/*
 * On-demand mode's fold: a pageblock is cut, and collapses; and how every block is freed, which
 * needs no memory in either mode: nothing here calls what may need some.
 *
 *	cut		1. clear the frames, through the direct map	2. remap to them
 *			3. flush	4. descriptors say so	5. so does the fold byte
 *	collapse	1. the fold byte says FOLDED	2. wait for readers
 *			3. remap to the shared tail	4. flush	5. the pageblock is whole
 *
 * The point of no return is the step after the flush; all that can fail comes before. When the
 * remapping of a collapse fails the byte is set back, and the pageblock stays cut.
 *
 * States: TAKEN -> cut; cut and BUSY -> whole; a pageblock that was set aside -> cut around the
 * frames that failed. MEMMAP -> FREE for frames of descriptors.
 * Locks: none for a pageblock that is the caller's own; the zone's lock where it enters a zone.
 * Linux: mm/page_alloc.c, __free_pages_ok(); nothing else is like it.
 */
#include "fold.h"

#include "backing.h"
#include "badframe.h"
#include "base.h"
#include "cma_area.h"
#include "lock.h"
#include "page.h"
#include "ref.h"
#include "reporting.h"
#include "sort.h"
#include "zone_cut.h"
#include "zone_whole.h"

/* ---- frames of descriptors that are given back ---------------------------------------------- */

void clear_freed(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr)
{
	hvo_pfn_t end = pfn + nr;
	uint64_t n;

	if (m->cfg.clear != HVO_CLEAR_ON_FREE)
		return;
	for (; pfn < end; pfn += n + 1) {
		n = badframe_sound(m, pfn, end);
		if (n)
			m->ops->zero(m->ctx, pfn, n);
	}
}

/* Forget what frames backed; returns how many of the frames were set aside at the start. */
static uint64_t clear_backs(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr)
{
	uint64_t boot = 0;

	while (nr--) {
		struct hvo_page *page = page_rw(m, pfn++);

		boot += page_flags(page) & HVO_PF_BOOT;
		page_set_flags(page, 0);
		page_set_word(page, 0, 0);
	}
	return boot;
}

void vmemmap_put_unused(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr)
{
	while (nr) {
		struct zone *z = zone_of(m, pfn);
		uint64_t n = min_u64(nr, HVO_SECTION_FRAMES - pfn % HVO_SECTION_FRAMES), boot;

		/* All under the lock: a collapse does this while descriptors may be moved. */
		lock_acquire(m, &z->lock);
		boot = clear_backs(m, pfn, n);
		vmemmap_count(m, z, (int64_t)boot - (int64_t)n, -(int64_t)boot);
		zone_count_freed(z, n);
		zone_put_range(m, z, pfn, n);
		lock_release(m, &z->lock);
		pfn += n;
		nr -= n;
	}
}

void vmemmap_put_frames(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr)
{
	clear_freed(m, pfn, nr);
	vmemmap_put_unused(m, pfn, nr);
}

void vmemmap_leave_frame(struct hvo_machine *m, hvo_pfn_t pfn)
{
	struct zone *z = zone_of(m, pfn);

	/* Its descriptor is folded: that nobody uses it, only its bit can say. */
	lock_acquire(m, &z->lock);
	vmemmap_count(m, z, 0, -1);
	lock_release(m, &z->lock);
	trace(m, HVO_EVENT_POISONED, pfn, 0, 0);
}

static void put_runs(struct hvo_machine *m, const struct hvo_remap *runs, unsigned int nr)
{
	while (nr--)
		vmemmap_put_frames(m, runs[nr].pfn, runs[nr].nr);
}

void vmemmap_put_unused_runs(struct hvo_machine *m, const struct run_list *l)
{
	unsigned int nr = l->nr;

	while (nr--)
		vmemmap_put_unused(m, l->runs[nr].pfn, l->runs[nr].nr);
}

/* ---- cut ------------------------------------------------------------------------------------ */

int vmemmap_cut(struct hvo_machine *m, pb_t pb, unsigned int at)
{
	hvo_pfn_t pfn = pb_pfn(pb), i;
	struct hvo_remap run = { tail_slot(m, pb).nr, pfn + at, pb_tails(m) };
	int rc = reported_populate(m, pfn, HVO_PAGEBLOCK_FRAMES);

	if (rc || at == HVO_PAGEBLOCK_FRAMES)
		return rc;
	rc = vmemmap_map_runs(m, &(struct run_list){ &run, 1, 1 });
	if (rc) {
		counter_add(&m->cut_failures, 1);
		trace(m, HVO_EVENT_RESTORE_FAILED, pfn, 1, (uint64_t)-rc);
		return rc;
	}
	fold_set(m, pfn, HVO_PAGEBLOCK_ORDER, 0);
	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_TAIL, 0);
	for (i = at; i < at + pb_tails(m); i++)
		page_set_state(m, pfn + i, page_rw(m, pfn + i), HVO_PAGE_MEMMAP, 0);
	vmemmap_back(m, pfn + at, tail_slot(m, pb), pb_tails(m));
	counter_add(&m->cuts, 1);
	counter_add(&m->restored, 1);
	trace(m, HVO_EVENT_CUT, pfn, 0, 0);
	return 0;
}

bool cut_aside(struct hvo_machine *m, pb_t pb)
{
	struct zone *z = zone_lock_of(m, pb_pfn(pb));
	unsigned int at = HVO_PAGEBLOCK_FRAMES;
	bool taken, cut;

	if (!z)
		return false;
	taken = zone_take_aside(m, pb);
	z->in_flight += taken;
	lock_release(m, &z->lock);
	if (!taken)
		return false;
	if (on_demand(m))
		at = badframe_sound_group(m, pb, 0, 0);
	cut = on_demand(m) == (at < HVO_PAGEBLOCK_FRAMES) && !vmemmap_cut(m, pb, at);
	lock_acquire(m, &z->lock);
	zone_end_flight(m, z);
	if (cut)
		zone_open_around(m, z, pb, at, MIGRATE_MOVABLE);
	else
		zone_set_aside(m, pb);
	lock_release(m, &z->lock);
	return cut;
}

uint64_t cut_all_aside(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end, uint64_t max)
{
	uint64_t done = 0;

	while (done < max && (start = badframe_next(m, start, end)) != HVO_PFN_NONE) {
		done += cut_aside(m, pb_of(start));
		start = pb_end(start);
	}
	return done;
}

/* ---- collapse ------------------------------------------------------------------------------- */

/*
 * Clean the descriptors of a pageblock whose tails are folded, which are all that stays, and the
 * frames that the tails were in, from @own on.
 */
static void clean_folded(struct hvo_machine *m, pb_t pb, hvo_pfn_t own)
{
	hvo_pfn_t pfn = pb_pfn(pb);
	unsigned int i, stay = table_layout(m) ? 1 : HVO_PAGES_PER_FRAME;

	if (own != HVO_PFN_NONE)
		clear_freed(m, own, pb_tails(m));
	for (i = 0; i < stay; i++) {
		struct hvo_page *page = page_rw(m, pfn + i);

		page_set_state(m, pfn + i, page, HVO_PAGE_TAIL, 0);
		page->next = 0;
		page->prev = 0;
		page_set_flags(page, 0);
		page_set_word(page, 0, 0);
	}
}

/*
 * Fold the tails of pageblocks, sorted, whose bytes say FOLDED. A run that cannot be mapped stays,
 * with all its pageblocks.
 */
static void fold_tails(struct hvo_machine *m, const pb_t *pbs, unsigned int nr)
{
	struct hvo_remap runs[COLLAPSE_BATCH];
	struct run_list l = { runs, 0, COLLAPSE_BATCH };
	unsigned int i, done;
	int rc;

	for (i = 0; i < nr; i++)
		run_add(&l, tail_slot(m, pbs[i]), HVO_SHARED_TAIL, pb_tails(m));
	for (i = 0; i < l.nr; i += done + !!rc) {
		rc = vmemmap_unback(m, &(struct run_list){ &runs[i], l.nr - i, l.nr - i }, &done);
		if (rc)
			trace(m, HVO_EVENT_FOLD_FAILED,
			      pb_start(slot_pfn(m, run_slot(&runs[i + done]))),
			      runs[i + done].nr / pb_tails(m), (uint64_t)-rc);
	}
	vmemmap_flush(m);
}

/*
 * Collapse pageblocks, sorted, that hold their own tails, or one that does not. Tails in their own
 * pageblock are neighbours: had one been replaced, the pageblock would have a failed frame, and
 * would not collapse.
 */
static unsigned int collapse_batch(struct hvo_machine *m, struct zone *z, const pb_t *pbs,
				   unsigned int nr, bool self)
{
	bool clear = self && m->cfg.clear == HVO_CLEAR_ON_FREE;
	struct hvo_remap old[HVO_PAGEBLOCK_MEMMAP];
	struct run_list ol = { old, 0, HVO_PAGEBLOCK_MEMMAP };
	hvo_pfn_t own[COLLAPSE_BATCH];
	unsigned int i, whole = 0;

	for (i = 0; i < nr; i++) {
		fold_set(m, pb_pfn(pbs[i]), HVO_PAGEBLOCK_ORDER, HVO_PAGEBLOCK_ORDER | HVO_FOLDED);
		own[i] = clear ? slot_backing(m, tail_slot(m, pbs[i])) : HVO_PFN_NONE;
	}
	if (!self)
		run_add_backing(m, &ol, tail_slot(m, pbs[0]), pb_tails(m));
	fold_tails(m, pbs, nr);
	for (i = 0; i < nr; i++) {
		bool folded = slot_backing(m, tail_slot(m, pbs[i])) == HVO_SHARED_TAIL;

		if (folded)
			clean_folded(m, pbs[i], own[i]);
		else
			fold_set(m, pb_pfn(pbs[i]), HVO_PAGEBLOCK_ORDER, 0);
		whole += folded;
	}
	lock_acquire(m, &z->lock);
	for (i = 0; i < nr; i++) {
		if (fold_byte(m, pbs[i]))
			zone_collapsed(m, z, pbs[i]);
		else
			zone_put_collapsible(m, z, pbs[i]);
	}
	lock_release(m, &z->lock);
	for (i = 0; i < nr; i++)
		if (badframe_in_block(m, pb_pfn(pbs[i]), HVO_PAGEBLOCK_ORDER))
			(void)cut_aside(m, pbs[i]);
	if (self)
		vmemmap_count(m, NULL, -(int64_t)(whole * pb_tails(m)), 0);
	else if (whole)
		put_runs(m, old, ol.nr);
	counter_add(&m->collapse_failures, nr - whole);
	counter_add(&m->collapses, whole);
	counter_add(&m->folds, whole);
	if (whole)
		trace(m, HVO_EVENT_COLLAPSED, HVO_PFN_NONE, whole, 0);
	return whole;
}

/* Put BUSY pageblocks that hold their own tails to the front; returns how many. */
static unsigned int self_first(struct hvo_machine *m, struct zone *z, pb_t *pbs, unsigned int nr)
{
	unsigned int i, self = 0;

	lock_assert_held(m, &z->lock);
	for (i = 0; i < nr; i++) {
		pb_t pb = pbs[i];

		if (!(pb_data(m, pb)->flags & PB_SELF))
			continue;
		pbs[i] = pbs[self];
		pbs[self++] = pb;
	}
	return self;
}

static unsigned int collapse(struct hvo_machine *m, struct zone *z, pb_t *pbs, unsigned int nr,
			     unsigned int self)
{
	unsigned int whole = 0, i;

	sort_ascending((uint64_t *)(void *)pbs, self);
	if (self)
		whole = collapse_batch(m, z, pbs, self, true);
	for (i = self; i < nr; i++)
		whole += collapse_batch(m, z, &pbs[i], 1, false);
	return whole;
}

bool vmemmap_collapse_pageblock(struct hvo_machine *m, struct zone *z, pb_t pb)
{
	unsigned int self;

	/* The lock is for who isolates the pageblock meanwhile. */
	lock_acquire(m, &z->lock);
	self = self_first(m, z, &pb, 1);
	lock_release(m, &z->lock);
	return collapse(m, z, &pb, 1, self);
}

uint64_t vmemmap_collapse(struct hvo_machine *m, struct zone *z, uint64_t max)
{
	pb_t pbs[COLLAPSE_BATCH];
	uint64_t total = 0;

	while (total < max) {
		unsigned int nr, self, whole;

		lock_acquire(m, &z->lock);
		nr = zone_take_collapsible(m, z, pbs,
					   (unsigned int)min_u64(max - total, COLLAPSE_BATCH));
		self = self_first(m, z, pbs, nr);
		lock_release(m, &z->lock);
		if (!nr)
			break;
		whole = collapse(m, z, pbs, nr, self);
		total += whole;
		if (whole < nr)
			break;
	}
	return total;
}

int64_t hvo_collapse(struct hvo_machine *m, uint64_t max_blocks, bool *ret_more)
{
	uint64_t done = 0;
	uint32_t n, t;

	if (machine_gone(m))
		return -HVO_ENODEV;
	for (n = 0; n < m->cfg.nr_nodes; n++)
		for (t = 0; t < HVO_NR_ZONES && done < max_blocks; t++)
			done += vmemmap_collapse(m, &m->nodes[n].zones[t], max_blocks - done);
	if (ret_more)
		*ret_more = done >= max_blocks;
	return (int64_t)done;
}

/* ---- free ----------------------------------------------------------------------------------- */

/* Forget what the last user's flags said. */
static void forget_flags(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	uint16_t flags = page_flags(page_ro(m, pfn));

	if (HVO_LIKELY(!flags))
		return;
	if (flags & HVO_PF_CMA)
		cma_freed(m, pfn, order);
	page_set_flags(page_rw(m, pfn), 0);
}

void free_block(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	struct zone *z = zone_of(m, pfn);

	forget_flags(m, pfn, order);
	lock_acquire(m, &z->lock);
	zone_count_freed(z, UINT64_C(1) << order);
	if (order >= HVO_PAGEBLOCK_ORDER)
		zone_put_whole(m, z, pfn, order);
	else
		zone_put_small(m, z, pfn, order);
	lock_release(m, &z->lock);
	if (order >= HVO_PAGEBLOCK_ORDER && badframe_in_block(m, pfn, order))
		(void)cut_all_aside(m, pfn, pfn + (UINT64_C(1) << order), UINT64_MAX);
	/* Bounds what waits to be collapsed; hysteresis: some stay cut for the next one. */
	if (counter_read(&z->nr_collapsible) >= COLLAPSE_KEEP + COLLAPSE_BATCH)
		vmemmap_collapse(m, z, COLLAPSE_BATCH);
}

void free_batch(struct hvo_machine *m, const hvo_pfn_t *pfns, unsigned int nr, unsigned int order)
{
	uint64_t frames = UINT64_C(1) << order;
	struct zone *z;
	unsigned int i;

	for (i = 0; i < nr; i++)
		forget_flags(m, pfns[i], order);
	for (i = 0; i < nr;) {
		z = zone_of(m, pfns[i]);
		lock_acquire(m, &z->lock);
		for (; i < nr && zone_has(m, z, pfns[i]); i++) {
			zone_count_freed(z, frames);
			zone_put_whole(m, z, pfns[i], order);
		}
		lock_release(m, &z->lock);
	}
	for (i = 0; i < nr && counter_read(&m->nr_bad); i++)
		if (badframe_in_block(m, pfns[i], order))
			(void)cut_all_aside(m, pfns[i], pfns[i] + frames, UINT64_MAX);
}

void free_blocks(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end)
{
	unsigned int order;

	for (; start < end; start += UINT64_C(1) << order) {
		order = block_order(m, start);
		free_block(m, start, order);
	}
}

bool gave_up_bad(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	if (!badframe_in_block(m, pfn, order))
		return false;
	free_block(m, pfn, order);
	return true;
}
