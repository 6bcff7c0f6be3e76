// SPDX-License-Identifier: MIT
/*
 * Contiguous ranges: given frames are emptied and allocated, whoever has them now.
 *
 *	1. isolate the pageblocks	2. evacuate	3. claim	4. give the rest back
 *
 * Only the frames that are wanted are emptied. A pageblock at an edge that has its own tails in the
 * part that is wanted is emptied as a whole: then the pageblock collapses, and is cut again with
 * its tails elsewhere.
 *
 * States: what is found is TAKEN until it is published.
 * Locks: none held while anything moves. Places are looked over under the zone's lock, and the
 * result is a guess: moving decides.
 * Linux: mm/page_alloc.c, alloc_contig_range_noprof(), alloc_contig_pages_noprof(),
 * pfn_range_valid_contig(), free_contig_range().
 */
#include "contig.h"

#include "alloc.h"
#include "badframe.h"
#include "base.h"
#include "evacuate.h"
#include "fold.h"
#include "isolate.h"
#include "last_ref.h"
#include "lock.h"
#include "page.h"
#include "ref.h"
#include "reporting.h"
#include "scope.h"

#define PB_MASK (HVO_PAGEBLOCK_FRAMES - UINT64_C(1))

static hvo_pfn_t round_down(hvo_pfn_t pfn)
{
	return pfn & ~PB_MASK;
}

/* ---- one place ------------------------------------------------------------------------------ */

/* Empty a range. *@ret_behind: after an error, the end of the last block that stays, or 0. */
static int empty_range(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end, hvo_pfn_t *ret_behind)
{
	struct evacuated done = { 0 };
	int rc = evacuate(m, start, end, EVACUATE_CONTIG, UINT64_MAX, &done);

	*ret_behind = done.behind;
	if (rc != -HVO_EBUSY || !done.own_only || !((start | end) & PB_MASK))
		return rc;
	return evacuate(m, round_down(start), align_up(end, HVO_PAGEBLOCK_FRAMES), EVACUATE_CONTIG,
			UINT64_MAX, NULL);
}

static int claim_range(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end, bool one)
{
	unsigned int order = (unsigned int)__builtin_ctzll(end - start);
	int rc;

	if (!one)
		rc = isolated_claim_frames(m, start, end);
	else
		rc = isolated_claim_one(m, start, order) ? 0 : -HVO_EBUSY;
	if (rc)
		return rc;
	rc = reported_populate(m, start, end - start);
	if (rc)
		free_blocks(m, start, end);
	return rc;
}

/*
 * Claim one place: state TAKEN. @one: as one block, aligned to its size. *@ret_behind:
 * after an error, the lowest frame from which trying again may be of use; 0: not known.
 */
static int claim_place(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end, bool one,
		       hvo_pfn_t *ret_behind)
{
	hvo_pfn_t from = round_down(start), to = align_up(end, HVO_PAGEBLOCK_FRAMES);
	int rc = isolate_range(m, from, to);

	*ret_behind = 0;
	if (rc)
		return rc;
	rc = empty_range(m, start, end, ret_behind);
	if (!rc)
		rc = claim_range(m, start, end, one);
	unisolate_range(m, from, to);
	return rc;
}

int contig_clear(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end, unsigned int gfp)
{
	int rc = 0;

	if (gfp & HVO_GFP_ZERO || m->cfg.clear == HVO_CLEAR_ON_ALLOC)
		rc = clear_frames(m, start, end - start);
	/* A frame may have failed since it was claimed. */
	if (!rc && badframe_in(m, start, end))
		rc = -HVO_EAGAIN;
	if (rc)
		free_blocks(m, start, end);
	return rc;
}

void contig_publish(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end, bool cma)
{
	unsigned int order;

	for (; start < end; start += UINT64_C(1) << order) {
		order = block_order(m, start);
		publish_block(m, start, order, 0, cma ? HVO_PF_CMA : 0);
	}
}

static int alloc_failed(struct hvo_machine *m, uint64_t nr, unsigned int gfp, int rc)
{
	unsigned int order = 63 - (unsigned int)__builtin_clzll(nr);

	if (rc && !(gfp & HVO_GFP_NOWARN))
		trace(m, HVO_EVENT_ALLOC_FAILED, HVO_PFN_NONE, order, gfp);
	return rc;
}

int hvo_alloc_contig_range(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end, unsigned int gfp)
{
	hvo_pfn_t behind;
	int rc;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (gfp & ~HVO_GFP_ALL || start >= end || end > m->mm.nr_frames ||
	    !isolate_range_valid(m, round_down(start), align_up(end, HVO_PAGEBLOCK_FRAMES)))
		return -HVO_EINVAL;
	rc = claim_place(m, start, end, false, &behind);
	if (!rc)
		rc = contig_clear(m, start, end, gfp);
	if (!rc)
		contig_publish(m, start, end, false);
	return alloc_failed(m, end - start, gfp, rc == -HVO_EAGAIN ? -HVO_EBUSY : rc);
}

/* ---- giving it back ------------------------------------------------------------------------- */

/* End of the block that begins at @pfn, if it is in use and can be freed; else @pfn. */
static hvo_pfn_t held_end(struct hvo_machine *m, hvo_pfn_t pfn, uint16_t *ret_flags)
{
	hvo_pfn_t end = pfn;

	m->ops->read_lock(m->ctx);
	if (heads_held(m, pfn)) {
		const struct hvo_page *page = page_ro(m, pfn);

		*ret_flags = page_flags(page);
		if (hvo_page_state(page) == HVO_PAGE_USED && !page_count(m, pfn, PAGE_MAPCOUNT))
			end += UINT64_C(1) << page_order(page);
	}
	m->ops->read_unlock(m->ctx);
	return end;
}

bool contig_held(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end, bool cma)
{
	uint16_t flags = 0;
	hvo_pfn_t next;

	for (; start < end; start = next) {
		next = held_end(m, start, &flags);
		if (next == start || next > end || (cma && !(flags & HVO_PF_CMA)))
			return false;
	}
	return true;
}

int hvo_free_contig_range(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end)
{
	unsigned int order;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (start >= end || end > m->mm.nr_frames || !contig_held(m, start, end, false))
		return -HVO_EINVAL;
	for (; start < end; start += UINT64_C(1) << order) {
		order = block_order(m, start);
		put_page_mapped(m, start);
	}
	return 0;
}

/* ---- looking for a place -------------------------------------------------------------------- */

/* Does a huge page stay? As in Linux 2 MiB pages make room for 1 GiB, 1 GiB pages not for 2 MiB. */
static bool huge_stays(const struct contig_want *w, const struct hvo_page *page, unsigned int order)
{
	enum hvo_page_state state = hvo_page_state(page);

	return w->spare_huge && w->nr <= UINT64_C(1) << order &&
	       (state == HVO_PAGE_HUGETLB_FREE || state == HVO_PAGE_HUGETLB_USED);
}

/* End of the last block in [pfn, end) of one pageblock that stays, or 0. */
static hvo_pfn_t obstacle_in(struct hvo_machine *m, struct zone *z, const struct contig_want *w,
			     hvo_pfn_t pfn, hvo_pfn_t end)
{
	hvo_pfn_t base = round_down(pfn), p = base, found = 0;
	unsigned int whole;

	lock_assert_held(m, &z->lock);
	if (!zone_has(m, z, base))
		return (base | (HVO_SECTION_FRAMES - 1)) + 1;
	if (pb_data(m, pb_of(base))->isolation)
		return base + HVO_PAGEBLOCK_FRAMES;
	whole = fold_order(m, base);
	if (whole) {
		p = order_start(base, whole);
		return page_stays(page_ro(m, p)) || huge_stays(w, page_ro(m, p), whole) ||
				       hugetlb_page_stays(m, page_ro(m, p), whole) ?
			       p + (UINT64_C(1) << whole) :
			       0;
	}
	while (p < end) {
		bool stays = page_stays(page_step(m, &p));

		if (p > pfn && stays)
			found = p;
	}
	return found;
}

/* The frame from which to go on looking; 0: the place at hand may be emptied. */
static hvo_pfn_t obstacle(struct hvo_machine *m, struct zone *z, const struct contig_want *w,
			  hvo_pfn_t start, hvo_pfn_t end)
{
	hvo_pfn_t pfn, next, found = 0;

	for (pfn = start; pfn < end && !found; pfn = next) {
		next = round_down(pfn) + HVO_PAGEBLOCK_FRAMES;
		lock_acquire(m, &z->lock);
		found = obstacle_in(m, z, w, pfn, next < end ? next : end);
		lock_release(m, &z->lock);
	}
	return found;
}

static int search(struct hvo_machine *m, struct zone *z, const struct contig_want *w,
		  hvo_pfn_t *ret)
{
	hvo_pfn_t pfn = align_up(w->lo, w->align), behind;
	int rc = -HVO_ENOMEM, one;

	while (pfn < w->hi && w->nr <= w->hi - pfn) {
		behind = obstacle(m, z, w, pfn, pfn + w->nr);
		if (!behind) {
			one = claim_place(m, pfn, pfn + w->nr, w->one, &behind);
			if (!one) {
				*ret = pfn;
				return 0;
			}
			if (one == -HVO_EBUSY)
				rc = one;
		}
		/* The obstacle is in the way of every place that begins before its end. */
		pfn = align_up(behind > pfn ? behind : pfn + 1, w->align);
	}
	return rc;
}

int contig_search_on(struct hvo_machine *m, struct zone *z, struct contig_want *w, hvo_pfn_t *tried,
		     hvo_pfn_t *ret)
{
	int rc;

	if (tried && *tried > w->lo)
		w->lo = *tried;
	rc = search(m, z, w, ret);
	if (tried)
		*tried = rc ? w->hi : *ret + w->nr;
	return rc;
}

/* Search the zones in the order of any allocation. */
static int search_nodes(struct hvo_machine *m, unsigned int gfp, int node, struct contig_want *w,
			hvo_pfn_t *ret)
{
	uint32_t first, nr = nodes_to_try(m, gfp, node, &first), i;
	unsigned int k;

	for (i = 0; i < nr; i++) {
		for (k = zonelist_start(gfp); k < HVO_NR_ZONES; k++) {
			struct zone *z =
				&m->nodes[(first + i) % m->cfg.nr_nodes].zones[zonelist[k]];

			lock_acquire(m, &z->lock);
			w->lo = z->start;
			w->hi = z->end;
			lock_release(m, &z->lock);
			if (!contig_search_on(m, z, w, w->tried ? &w->tried[z->type] : NULL, ret))
				return 0;
		}
	}
	return -HVO_ENOMEM;
}

int contig_alloc_one(struct hvo_machine *m, unsigned int gfp, int node, unsigned int order,
		     hvo_pfn_t *tried, hvo_pfn_t *ret)
{
	struct contig_want w = { .nr = UINT64_C(1) << order,
				 .align = UINT64_C(1) << order,
				 .one = true,
				 .spare_huge = true,
				 .tried = tried };

	return search_nodes(m, gfp | HVO_GFP_THISNODE, node, &w, ret);
}

int hvo_alloc_contig_pages(struct hvo_machine *m, uint64_t nr, unsigned int gfp, int node,
			   hvo_pfn_t *ret)
{
	struct contig_want w = { .nr = nr, .spare_huge = true };
	unsigned int order;
	hvo_pfn_t pfn = 0;
	int rc;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (gfp & ~HVO_GFP_ALL || !nr || !ret || !node_valid(m, node))
		return -HVO_EINVAL;
	order = 63 - (unsigned int)__builtin_clzll(nr);
	w.align = UINT64_C(1) << (order < HVO_GIGA_ORDER ? order : HVO_GIGA_ORDER);
	do {
		rc = search_nodes(m, gfp, node, &w, &pfn);
		if (!rc)
			rc = contig_clear(m, pfn, pfn + nr, gfp);
	} while (rc == -HVO_EAGAIN);
	if (rc)
		return alloc_failed(m, nr, gfp, rc);
	contig_publish(m, pfn, pfn + nr, false);
	*ret = pfn;
	return 0;
}
