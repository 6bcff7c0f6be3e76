// SPDX-License-Identifier: MIT
/*
 * Finding frames for descriptors: the ones that they had at the start, any others, and those that
 * no other pageblock waits for.
 *
 * States: FREE -> MEMMAP.
 * Locks: the memmap lock where frames are looked for; the zone's lock for taking them.
 * Linux: mm/hugetlb_vmemmap.c, alloc_vmemmap_page_list().
 */
#include "frames.h"

#include "alloc.h"
#include "backing.h"
#include "base.h"
#include "fold.h"
#include "lock.h"
#include "page.h"
#include "reporting.h"
#include "watermark.h"
#include "zone_cut.h"
#include "zone_whole.h"

#define WAITS_STEPS 64
#define WAITS_AVOIDED 16

/*
 * Make the first @keep frames of an allocated block descriptor frames, for the pages of the array
 * from @slot on, and free the other frames.
 */
static void claim_block(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order, slot_t slot,
			uint64_t keep)
{
	uint64_t nr = UINT64_C(1) << order, i;
	struct zone *z = zone_of(m, pfn);

	if (order >= HVO_PAGEBLOCK_ORDER) {
		/* Cut the pageblocks of a whole block, so that each frame can be freed alone. */
		hvo_pfn_t p;

		lock_acquire(m, &z->lock);
		for (p = pfn; p < pfn + nr; p += HVO_PAGEBLOCK_FRAMES)
			zone_open_pageblock(m, z, pb_of(p), 0, HVO_PAGEBLOCK_FRAMES,
					    MIGRATE_UNMOVABLE, 0);
		lock_release(m, &z->lock);
	}
	for (i = 0; i < nr; i++) {
		struct hvo_page *p = page_rw(m, pfn + i);

		HVO_ASSERT(m, !i || p->state == HVO_PAGE_TAIL, ZONE_7, "frame in use", pfn + i);
		page_set_state(m, pfn + i, p, HVO_PAGE_MEMMAP, 0);
		page_set_flags(p, 0);
	}
	vmemmap_back(m, pfn, slot, keep);
	if (keep < nr) {
		lock_acquire(m, &z->lock);
		zone_count_freed(z, nr - keep);
		zone_put_range(m, z, pfn + keep, nr - keep);
		lock_release(m, &z->lock);
	}
}

uint64_t vmemmap_gather(struct hvo_machine *m, unsigned int gfp, int node, slot_t slot,
			uint64_t want, struct run_list *l)
{
	lock_assert_held(m, &m->memmap_lock);
	/* In on-demand mode a frame of a whole block has no descriptor of its own. */
	unsigned int max = on_demand(m) ? SMALL_ORDERS - 1 : HVO_PAGEBLOCK_ORDER + 3;
	unsigned int order = 64u - (unsigned int)__builtin_clzll(want | 1);

	if (order > max)
		order = max;
	if (order && UINT64_C(1) << (order - 1) == want)
		order--;
	while (want) {
		uint64_t size = UINT64_C(1) << order, keep = min_u64(size, want);
		unsigned int flags = gfp | GFP_MEMMAP | GFP_ISOLATING;
		hvo_pfn_t pfn = 0;

		/* Only single frames are worth waiting for. */
		if (order)
			flags = (flags & ~HVO_GFP_RECLAIM) | HVO_GFP_NOWARN;
		if (alloc_block(m, flags, order, node, &pfn)) {
			if (!order)
				return want;
			order--;
			continue;
		}
		claim_block(m, pfn, order, slot, keep);
		if (!run_add(l, slot, pfn, keep)) {
			vmemmap_put_unused(m, pfn, keep);
			return want;
		}
		slot = slot_add(slot, keep);
		want -= keep;
	}
	return 0;
}

/*
 * Allocate exactly the frames [pfn, pfn + nr). Populates pageblocks whose content the system has,
 * one after the other; other threads that want one wait meanwhile. Zone lock held, dropped on the
 * way.
 */
static bool alloc_exactly(struct hvo_machine *m, struct zone *z, uint64_t mark, hvo_pfn_t pfn,
			  uint64_t nr)
{
	hvo_pfn_t reported = 0;
	int rc = 0;

	lock_assert_held(m, &z->lock);
	for (;;) {
		if (rc || z->nr_free < nr + mark)
			return false;
		if (zone_take_range(m, z, pfn, nr))
			return true;
		if (!zone_take_reported(m, z, pfn, nr, &reported))
			return false;
		z->in_flight++;
		lock_release(m, &z->lock);
		rc = reported_populate(m, reported, HVO_PAGEBLOCK_FRAMES);
		lock_acquire(m, &z->lock);
		zone_end_flight(m, z);
		zone_put_whole(m, z, reported, HVO_PAGEBLOCK_ORDER);
	}
}

/* Allocate the frames that backed the pages [slot, slot + nr) at the start, if all are free. */
static bool alloc_home(struct hvo_machine *m, unsigned int gfp, slot_t slot, uint64_t nr,
		       const struct node *n, hvo_pfn_t *ret)
{
	hvo_pfn_t pfn = vmemmap_home(m, n, slot);
	struct zone *z;
	bool ok;

	lock_assert_held(m, &m->memmap_lock);
	if (pfn == HVO_PFN_NONE)
		return false;
	/* Frames that were set aside at the start may be free by now, or offline. */
	z = zone_lock_of(m, pfn);
	if (!z)
		return false;
	ok = (!(gfp & HVO_GFP_THISNODE) || &m->nodes[z->node] == n) &&
	     alloc_exactly(m, z, gfp_watermark(z, gfp), pfn, nr);
	zone_count_allocated(z, ok ? nr : 0);
	lock_release(m, &z->lock);
	if (!ok)
		return false;
	vmemmap_back(m, pfn, slot, nr);
	*ret = pfn;
	return true;
}

bool vmemmap_gather_home(struct hvo_machine *m, unsigned int gfp, slot_t slot, uint64_t nr,
			 const struct node *n, struct run_list *l)
{
	hvo_pfn_t pfn;

	lock_assert_held(m, &m->memmap_lock);
	if (!alloc_home(m, gfp, slot, nr, n, &pfn))
		return false;
	if (run_add(l, slot, pfn, nr))
		return true;
	vmemmap_put_unused(m, pfn, nr);
	return false;
}

/*
 * Does pageblock @pb depend on pageblock @target (Linux mode): does a frame of its descriptors lie
 * in @target, or in a pageblock that depends on @target? Heads are left out: a search through two
 * frames of each pageblock would have no end. Gives up after some steps with yes.
 */
static bool waits_for(struct hvo_machine *m, pb_t pb, pb_t target, unsigned int *steps)
{
	slot_t slot = slot_of(m, pb_pfn(pb) + HVO_PAGES_PER_FRAME);
	pb_t last = pb;
	unsigned int k;

	if (pb_same(pb, target) || ++*steps > WAITS_STEPS)
		return true;
	for (k = 1; k < HVO_PAGEBLOCK_MEMMAP; k++, slot = slot_add(slot, 1)) {
		hvo_pfn_t pfn = slot_backing(m, slot);

		if (pfn == HVO_SHARED_TAIL || pb_same(pb_of(pfn), pb) || pb_same(pb_of(pfn), last))
			continue;
		last = pb_of(pfn);
		if (waits_for(m, last, target, steps))
			return true;
	}
	return false;
}

/* Allocate a frame for descriptors of @target in a pageblock that does not depend on @target. */
static int try_not_waiting(struct hvo_machine *m, unsigned int gfp, int node, pb_t target,
			   hvo_pfn_t *ret)
{
	pb_t avoided[WAITS_AVOIDED];
	unsigned int nr = 0, steps = 0;
	struct zone *z;
	int rc;

	while (!(rc = alloc_block(m, gfp, 0, node, ret)) && !on_demand(m) &&
	       waits_for(m, pb_of(*ret), target, &steps)) {
		z = zone_of(m, *ret);
		if (nr < WAITS_AVOIDED) {
			avoided[nr++] = pb_of(*ret);
			lock_acquire(m, &z->lock);
			zone_isolate_pageblock(m, z, pb_of(*ret), ISOLATED_BY_LIBRARY);
			lock_release(m, &z->lock);
		} else {
			rc = -HVO_ENOMEM;
		}
		free_block(m, *ret, 0);
		if (rc)
			break;
		steps = 0;
	}
	while (nr) {
		z = zone_of(m, pb_pfn(avoided[--nr]));
		lock_acquire(m, &z->lock);
		zone_unisolate_pageblock(m, z, avoided[nr]);
		lock_release(m, &z->lock);
	}
	return rc;
}

/*
 * Allocate a frame that does not depend on @target, best in a cut pageblock: a whole one may well
 * depend on others itself, and only so many frames are tried.
 */
static int alloc_not_waiting(struct hvo_machine *m, unsigned int gfp, int node, pb_t target,
			     hvo_pfn_t *ret)
{
	unsigned int uncut = (gfp & ~HVO_GFP_RECLAIM) | GFP_UNCUT | HVO_GFP_NOWARN;

	if (!on_demand(m) && !try_not_waiting(m, uncut, node, target, ret))
		return 0;
	return try_not_waiting(m, gfp, node, target, ret);
}

/*
 * Does the frame that backed a page at the start depend on the described pageblock? The frame may
 * lie in a huge page by now, with descriptors in that pageblock.
 */
static bool home_waits(struct hvo_machine *m, slot_t slot, hvo_pfn_t described)
{
	hvo_pfn_t home = vmemmap_home(m, node_of(m, described), slot);
	unsigned int steps = 0;

	return home != HVO_PFN_NONE && waits_for(m, pb_of(home), pb_of(described), &steps);
}

int vmemmap_alloc_frame(struct hvo_machine *m, unsigned int gfp, slot_t slot, bool any,
			hvo_pfn_t *ret)
{
	hvo_pfn_t described = slot_pfn(m, slot);
	int node = section_of(m, described)->node, rc;

	lock_assert_held(m, &m->memmap_lock);
	if (!on_demand(m) && !home_waits(m, slot, described) &&
	    alloc_home(m, gfp, slot, 1, node_of(m, described), ret))
		return 0;
	gfp |= GFP_MEMMAP | GFP_ISOLATING;
	rc = alloc_not_waiting(m, gfp, node, pb_of(described), ret);
	if (rc && any)
		rc = alloc_block(m, gfp, 0, node, ret);
	if (!rc)
		claim_block(m, *ret, 0, slot, 1);
	return rc;
}

bool vmemmap_alloc_frame_of(struct hvo_machine *m, pb_t pb, slot_t slot, hvo_pfn_t *ret)
{
	struct zone *z = zone_of(m, pb_pfn(pb));
	bool taken;

	lock_assert_held(m, &m->memmap_lock);
	lock_acquire(m, &z->lock);
	taken = zone_take_any_frame(m, z, pb, ret);
	if (taken) {
		zone_count_allocated(z, 1);
		vmemmap_back(m, *ret, slot, 1);
	}
	lock_release(m, &z->lock);
	return taken;
}
