// SPDX-License-Identifier: MIT
/*
 * Linux mode's fold and restore of huge pages, in batches; and, for both modes, descriptors of a
 * whole block in frames from elsewhere.
 *
 *	optimize	1. the fold byte says FOLDED	2. wait for readers
 *			3. remap to the shared tail	4. flush	5. free the frames
 *	restore		1. clear the frames, through the direct map
 *			2. remap to them		3. flush	4. the fold byte says so
 *
 * Each step that can fail comes before the flush. When the remapping of a fold fails, the fold byte
 * is set back, and the page is present as before.
 *
 * States of a page in the fold map: order: its tails are present; order | FOLDED: shared.
 * Locks: the memmap lock, which also owns the scratch arrays.
 * Linux: mm/hugetlb_vmemmap.c, hugetlb_vmemmap_optimize_folios(),
 * hugetlb_vmemmap_restore_folios(), vmemmap_remap_free(), vmemmap_remap_alloc().
 */
#include "optimize.h"

#include "backing.h"
#include "base.h"
#include "fold.h"
#include "frames.h"
#include "lock.h"
#include "page.h"
#include "sort.h"

int vmemmap_restore_elsewhere(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	uint64_t nr = UINT64_C(1) << (order - HVO_PAGEBLOCK_ORDER), want = nr * pb_tails(m);
	slot_t tails = tail_slot(m, pb_of(pfn));
	struct run_list l = { m->runs, 0, NR_RUNS };
	int rc = -HVO_ENOMEM;

	lock_acquire(m, &m->memmap_lock);
	if (!vmemmap_gather(m, HVO_GFP_KERNEL, zone_of(m, pfn)->node, tails, want, &l))
		rc = vmemmap_map_runs(m, &l);
	if (rc) {
		vmemmap_put_unused_runs(m, &l);
		trace(m, HVO_EVENT_RESTORE_FAILED, pfn, nr, (uint64_t)-rc);
	} else {
		counter_add(&m->restored, nr);
	}
	lock_release(m, &m->memmap_lock);
	return rc;
}

/* ---- Linux mode: optimize ------------------------------------------------------------------- */

/* Number of the pages that show the shared tail. */
static uint64_t nr_shared(struct hvo_machine *m, const struct tails *t)
{
	uint64_t nr = 0, i, n;
	unsigned int j;
	bool shared;

	for (j = 0; j < 2; j++) {
		for (i = 0; i < t->nr[j]; i += n) {
			n = vmemmap_part(m, slot_add(t->slot[j], i), t->nr[j] - i, &shared);
			nr += shared ? n : 0;
		}
	}
	return nr;
}

/* Put the frames of those pages of a list that show the shared tail. */
static void put_shared(struct hvo_machine *m, const struct run_list *l,
		       void (*put)(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr))
{
	unsigned int i;
	uint64_t k, n;
	bool shared;

	for (i = 0; i < l->nr; i++) {
		const struct hvo_remap *r = &l->runs[i];

		for (k = 0; k < r->nr; k += n) {
			n = vmemmap_part(m, slot_add(run_slot(r), k), r->nr - k, &shared);
			if (shared)
				put(m, r->pfn + k, n);
		}
	}
}

/*
 * Make the frame of a head page that was set aside at the start a descriptor frame like any other.
 * Linux copies the head page to another frame; the counts are the same.
 */
static void retag_head_frame(struct hvo_machine *m, hvo_pfn_t pfn)
{
	hvo_pfn_t frame = slot_backing(m, slot_of(m, pfn));
	struct hvo_page *page = page_rw(m, frame);
	struct zone *z;

	if (!(page_flags(page) & HVO_PF_BOOT))
		return;
	page_clear_flags(page, HVO_PF_BOOT);
	z = zone_of(m, frame);
	lock_acquire(m, &z->lock);
	vmemmap_count(m, z, 1, -1);
	lock_release(m, &z->lock);
}

/* Map the runs of a page of which a fold remapped only a part to their old frames. */
static void undo_fold(struct hvo_machine *m, const struct tails *t, const struct run_list *old)
{
	unsigned int i, j;

	for (j = 0; j < 2; j++) {
		for (i = 0; i < old->nr && t->nr[j]; i++) {
			const struct hvo_remap *r = &old->runs[i];
			uint64_t from = max_u64(r->page, t->slot[j].nr);
			uint64_t to = min_u64(r->page + r->nr, t->slot[j].nr + t->nr[j]);

			if (from < to)
				vmemmap_undo(m,
					     &(struct hvo_remap){ from, r->pfn + (from - r->page),
								  to - from });
		}
	}
}

static unsigned int finish_optimize(struct hvo_machine *m, const hvo_pfn_t *pfns, unsigned int nr,
				    unsigned int order, const struct run_list *old)
{
	unsigned int i, folded = 0;

	for (i = 0; i < nr; i++) {
		struct tails t = tails_of(m, pfns[i], order);

		if (nr_shared(m, &t) == nr_tails(&t)) {
			page_add_flags(page_rw(m, pfns[i]), HVO_PF_OPTIMIZED);
			folded++;
			continue;
		}
		undo_fold(m, &t, old);
		fold_set(m, pfns[i], order, (uint8_t)order);
	}
	vmemmap_flush(m);
	put_shared(m, old, vmemmap_put_frames);
	for (i = 0; i < nr; i++)
		if (page_flags(page_ro(m, pfns[i])) & HVO_PF_OPTIMIZED)
			retag_head_frame(m, pfns[i]);
	counter_add(&m->folds, (uint64_t)folded << (order - HVO_PAGEBLOCK_ORDER));
	return folded;
}

unsigned int vmemmap_optimize(struct hvo_machine *m, const hvo_pfn_t *pfns, unsigned int nr,
			      unsigned int order)
{
	struct run_list l = { m->runs, 0, NR_RUNS }, old = { m->undo, 0, NR_RUNS };
	unsigned int taken = 0, done = 0, folded;
	int rc = 0;

	lock_assert_held(m, &m->memmap_lock);
	for (; taken < nr; taken++) {
		struct tails t = tails_of(m, pfns[taken], order);
		struct run_list l_before = l, old_before = old;

		if (!run_add_backing(m, &old, t.slot[0], t.nr[0]) ||
		    !run_add_backing(m, &old, t.slot[1], t.nr[1]) ||
		    !run_add(&l, t.slot[0], HVO_SHARED_TAIL, t.nr[0]) ||
		    !run_add(&l, t.slot[1], HVO_SHARED_TAIL, t.nr[1])) {
			/* Not for the first page: the arrays have room for a 1 GiB page. */
			l.nr = l_before.nr;
			old.nr = old_before.nr;
			break;
		}
		fold_set(m, pfns[taken], order, (uint8_t)(order | HVO_FOLDED));
	}
	if (!taken)
		return 0;
	rc = vmemmap_unback(m, &l, &done);
	folded = finish_optimize(m, pfns, taken, order, &old);
	if (rc)
		trace(m, HVO_EVENT_FOLD_FAILED, pfns[0],
		      (uint64_t)(taken - folded) << (order - HVO_PAGEBLOCK_ORDER), (uint64_t)-rc);
	if (taken < nr && !rc)
		folded += vmemmap_optimize(m, pfns + taken, nr - taken, order);
	return folded;
}

/* ---- Linux mode: restore -------------------------------------------------------------------- */

/* Find frames for slots of a huge page: those of the start, or any. Returns how many are missing. */
static uint64_t gather_slots(struct hvo_machine *m, hvo_pfn_t pfn, slot_t slot, uint64_t nr,
			     const struct hvo_restore_step *step, struct run_list *l)
{
	int node = zone_of(m, pfn)->node;
	uint64_t n, missing;

	for (; nr; nr -= n, slot = slot_add(slot, n)) {
		n = vmemmap_home_run(m, slot, nr);
		if (vmemmap_gather_home(m, step->gfp, slot, n, node_of(m, pfn), l))
			continue;
		missing = vmemmap_gather(m, step->gfp, node, slot, n, l);
		if (missing)
			return missing + nr - n;
	}
	return 0;
}

static uint64_t gather_page(struct hvo_machine *m, hvo_pfn_t pfn, const struct tails *t,
			    const struct hvo_restore_step *step, struct run_list *l)
{
	hvo_pfn_t own = pfn;
	uint64_t missing = 0;
	unsigned int j;

	for (j = 0; j < 2 && !missing; j++) {
		if (step->source != HVO_RESTORE_CARVE)
			missing = gather_slots(m, pfn, t->slot[j], t->nr[j], step, l);
		else if (!run_add(l, t->slot[j], own, t->nr[j]))
			return nr_tails(t);
		own += t->nr[j];
	}
	return missing;
}

/* Cut a list of runs back to @nr runs, the last of them to @last pages; @put: free those frames. */
static void truncate_runs(struct hvo_machine *m, struct run_list *l, unsigned int nr,
			  uint64_t last_nr, bool put)
{
	while (l->nr > nr) {
		l->nr--;
		if (put)
			vmemmap_put_unused(m, l->runs[l->nr].pfn, l->runs[l->nr].nr);
	}
	if (nr && l->runs[nr - 1].nr > last_nr) {
		if (put)
			vmemmap_put_unused(m, l->runs[nr - 1].pfn + last_nr,
					   l->runs[nr - 1].nr - last_nr);
		l->runs[nr - 1].nr = last_nr;
	}
}

/* After a mapping failed: keep the pages that are complete, undo the one that is not. */
static unsigned int keep_complete(struct hvo_machine *m, const hvo_pfn_t *pfns, unsigned int nr,
				  unsigned int order)
{
	unsigned int complete = nr, i, j;

	for (i = nr; i--;) {
		struct tails t = tails_of(m, pfns[i], order);

		if (!nr_shared(m, &t))
			continue;
		complete = i;
		for (j = 0; j < 2; j++)
			vmemmap_undo(m,
				     &(struct hvo_remap){ t.slot[j].nr, HVO_SHARED_TAIL, t.nr[j] });
	}
	vmemmap_flush(m);
	return complete;
}

unsigned int vmemmap_restore(struct hvo_machine *m, hvo_pfn_t *pfns, unsigned int nr,
			     unsigned int order, const struct hvo_restore_step *step,
			     uint64_t *ret_missing)
{
	struct run_list l = { m->runs, 0, NR_RUNS };
	bool put = step->source != HVO_RESTORE_CARVE;
	unsigned int taken, done = 0, i;
	uint64_t folded = 0;
	int rc = 0;

	lock_assert_held(m, &m->memmap_lock);
	*ret_missing = 0;
	for (taken = 0; taken < nr; taken++) {
		struct tails t = tails_of(m, pfns[taken], order);
		unsigned int runs = l.nr;
		uint64_t last = l.nr ? l.runs[l.nr - 1].nr : 0;

		if (!page_optimized(m, pfns[taken]))
			continue;
		*ret_missing = gather_page(m, pfns[taken], &t, step, &l);
		if (*ret_missing) {
			truncate_runs(m, &l, runs, last, put);
			break;
		}
	}
	if (!taken)
		return 0;
	/* Each page has its frames: sort, so that neighbours are mapped together. */
	sort_ascending(pfns, taken);
	run_sort(&l);
	rc = vmemmap_map_some(m, &l, &done);
	if (rc) {
		unsigned int complete = keep_complete(m, pfns, taken, order);

		if (put)
			put_shared(m, &l, vmemmap_put_unused);
		trace(m, HVO_EVENT_RESTORE_FAILED, pfns[complete],
		      (uint64_t)(taken - complete) << (order - HVO_PAGEBLOCK_ORDER), (uint64_t)-rc);
		taken = complete;
		*ret_missing = 0;
	} else if (l.nr) {
		vmemmap_flush(m);
	}
	for (i = 0; i < taken; i++) {
		if (!page_optimized(m, pfns[i]))
			continue;
		fold_set(m, pfns[i], order, (uint8_t)order);
		page_clear_flags(page_rw(m, pfns[i]), HVO_PF_OPTIMIZED);
		folded++;
	}
	counter_add(&m->restored, folded << (order - HVO_PAGEBLOCK_ORDER));
	return taken;
}

bool vmemmap_restore_heads(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order,
			   unsigned int part_order, const struct hvo_restore_step *step,
			   uint64_t *ret_missing)
{
	hvo_pfn_t part = pfn + (UINT64_C(1) << part_order), end = pfn + (UINT64_C(1) << order);
	/* In the virtual layout head pages of pageblocks are neighbours. */
	bool together = part_order == HVO_PAGEBLOCK_ORDER && !table_layout(m);
	uint64_t each = together ? (end - part) >> part_order : 1;
	struct run_list l = { m->runs, 0, NR_RUNS };
	int rc;

	lock_assert_held(m, &m->memmap_lock);
	for (; part < end; part += each << part_order) {
		slot_t slot = slot_of(m, part);

		*ret_missing = gather_slots(m, pfn, slot, each, step, &l);
		if (*ret_missing) {
			vmemmap_put_unused_runs(m, &l);
			return false;
		}
	}
	rc = vmemmap_map_runs(m, &l);
	if (rc) {
		trace(m, HVO_EVENT_RESTORE_FAILED, pfn, ((end - pfn) >> part_order) - 1,
		      (uint64_t)-rc);
		vmemmap_put_unused_runs(m, &l);
	}
	return !rc;
}
