// SPDX-License-Identifier: MIT
/*
 * Allocation: the order of nodes and zones, and cutting a pageblock when no cut one can serve. From
 * here on up code may need memory; no file below calls this one.
 *
 * States: a block comes from a zone in state TAKEN.
 * Locks: takes the zone lock, drops it around every remapping. Pageblocks in transition are
 * counted in zone->in_flight, so that another thread waits for them instead of failing. A thread
 * that may reclaim also waits for pageblocks that the library isolated.
 *
 * Linux: mm/page_alloc.c, __alloc_pages_slowpath(), get_page_from_freelist().
 */
#include "alloc.h"

#include "base.h"
#include "fold.h"
#include "lock.h"
#include "reclaim.h"
#include "ref.h"
#include "reporting.h"
#include "watermark.h"
#include "zone_cut.h"
#include "zone_whole.h"

#define CUT_ATTEMPTS 3
#define WAIT_NS 1000

static enum migratetype gfp_type(unsigned int gfp)
{
	if (gfp & HVO_GFP_MOVABLE)
		return MIGRATE_MOVABLE;
	return gfp & HVO_GFP_RECLAIMABLE ? MIGRATE_RECLAIMABLE : MIGRATE_UNMOVABLE;
}

/*
 * Cut a whole pageblock and take a block of @order of it under the same lock, so that no cut
 * pageblock is ever left entirely free (Linux mode). Called and returns with the zone's lock; drops
 * the lock around the remapping. A pageblock that cannot be cut stays whole, and the next one is
 * tried.
 */
static bool alloc_from_cut(struct hvo_machine *m, struct zone *z, enum migratetype type,
			   unsigned int order, hvo_pfn_t *ret)
{
	hvo_pfn_t failed[CUT_ATTEMPTS], pfn = 0;
	unsigned int nr_failed = 0, at;
	bool taken = false;
	int rc;

	lock_assert_held(m, &z->lock);
	while (nr_failed < CUT_ATTEMPTS && zone_take_whole(m, z, HVO_PAGEBLOCK_ORDER, &pfn)) {
		z->in_flight++;
		lock_release(m, &z->lock);
		at = on_demand(m) ? pb_tails_at(m, pb_of(pfn)) : HVO_PAGEBLOCK_FRAMES;
		rc = vmemmap_cut(m, pb_of(pfn), at);
		lock_acquire(m, &z->lock);
		zone_end_flight(m, z);
		if (!rc) {
			zone_open_around(m, z, pb_of(pfn), at, type);
			taken = zone_take_from(m, z, pb_of(pfn), order, ret);
			break;
		}
		failed[nr_failed++] = pfn;
	}
	while (nr_failed)
		zone_put_whole(m, z, failed[--nr_failed], HVO_PAGEBLOCK_ORDER);
	return taken;
}

static int alloc_small(struct hvo_machine *m, struct zone *z, unsigned int gfp, unsigned int order,
		       hvo_pfn_t *ret)
{
	enum migratetype type = gfp_type(gfp);
	bool split = !(gfp & GFP_MEMMAP);

	lock_assert_held(m, &z->lock);
	if (zone_take_small(m, z, order, type, ret))
		return 0;
	if (type == MIGRATE_MOVABLE && split && zone_take_small(m, z, order, MIGRATE_HOSTED, ret))
		return 0;
	if (!(gfp & GFP_UNCUT) && alloc_from_cut(m, z, type, order, ret))
		return 0;
	/* Something may have been freed meanwhile. */
	if (zone_take_small(m, z, order, type, ret))
		return 0;
	return zone_take_fallback(m, z, order, type, split, ret) ? 0 : -HVO_ENOMEM;
}

/*
 * May an allocation wait for pageblocks that the library isolated? An isolating thread may wait for
 * shrinkers, and these must not allocate with RECLAIM, so the wait ends. Nothing waits for
 * pageblocks that a user isolated: these may stay isolated for ever.
 */
static bool may_wait_for_isolated(struct hvo_machine *m, const struct zone *z, unsigned int gfp)
{
	lock_assert_held(m, &z->lock);
	return z->nr_isolated > z->nr_isolated_by_user &&
	       (gfp & (HVO_GFP_RECLAIM | GFP_ISOLATING)) == HVO_GFP_RECLAIM;
}

/* Check that there is memory behind a whole block that was just taken; if not, put it back. */
static int check_allocated(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, unsigned int order)
{
	int rc = reported_populate(m, pfn, UINT64_C(1) << order);

	if (!rc)
		return 0;
	lock_acquire(m, &z->lock);
	zone_put_whole(m, z, pfn, order);
	z->nr_allocs--;
	zone_count_allocated(z, -(UINT64_C(1) << order));
	lock_release(m, &z->lock);
	return rc;
}

/* Take a block from the lists of a zone. -HVO_EAGAIN: none now, but a pageblock is in transition. */
static int zone_take(struct hvo_machine *m, struct zone *z, unsigned int gfp, unsigned int order,
		     uint64_t mark, hvo_pfn_t *ret)
{
	uint64_t want = UINT64_C(1) << order;
	int rc = -HVO_ENOMEM;

	lock_acquire(m, &z->lock);
	if (z->nr_free >= want + mark) {
		if (order < HVO_PAGEBLOCK_ORDER)
			rc = alloc_small(m, z, gfp, order, ret);
		else
			rc = zone_take_whole(m, z, order, ret) ? 0 : -HVO_ENOMEM;
	}
	if (!rc) {
		z->nr_allocs++;
		zone_count_allocated(z, want);
	} else if (z->in_flight || may_wait_for_isolated(m, z, gfp)) {
		rc = -HVO_EAGAIN;
	}
	lock_release(m, &z->lock);
	return rc;
}

/* Allocate from one zone, where empty cut pageblocks become whole if nothing else will do. */
static int zone_alloc(struct hvo_machine *m, struct zone *z, unsigned int gfp, unsigned int order,
		      uint64_t mark, hvo_pfn_t *ret)
{
	int rc;

	if (!counter_read(&z->present))
		return -HVO_ENOMEM;
	do
		rc = zone_take(m, z, gfp, order, mark, ret);
	while (rc == -HVO_ENOMEM && order >= HVO_PAGEBLOCK_ORDER &&
	       counter_read(&z->nr_collapsible) && vmemmap_collapse(m, z, UINT64_MAX));
	return rc || order < HVO_PAGEBLOCK_ORDER ? rc : check_allocated(m, z, *ret, order);
}

/* Movable memory comes first from zones where no other memory may lie. */
const uint8_t zonelist[HVO_NR_ZONES] = { HVO_ZONE_MOVABLE, HVO_ZONE_CMA, HVO_ZONE_NORMAL };

static int try_zones(struct hvo_machine *m, unsigned int gfp, unsigned int order, int node,
		     bool low, hvo_pfn_t *ret)
{
	uint32_t first, nr = nodes_to_try(m, gfp, node, &first), i;
	bool again = false;
	unsigned int k;
	int rc;

	for (i = 0; i < nr; i++) {
		struct node *n = &m->nodes[(first + i) % m->cfg.nr_nodes];

		for (k = zonelist_start(gfp); k < HVO_NR_ZONES; k++) {
			struct zone *z = &n->zones[zonelist[k]];

			rc = zone_alloc(m, z, gfp, order,
					low ? counter_read(&z->low) : gfp_watermark(z, gfp), ret);
			if (!rc && i) {
				counter_add(&z->numa_miss, 1);
				counter_add(&m->nodes[first].zones[z->type].numa_foreign, 1);
			}
			if (!rc)
				return 0;
			if (rc == -HVO_EAGAIN)
				again = true;
		}
	}
	return again ? -HVO_EAGAIN : -HVO_ENOMEM;
}

int alloc_block(struct hvo_machine *m, unsigned int gfp, unsigned int order, int node,
		hvo_pfn_t *ret)
{
	struct reclaim r = { .gfp = gfp, .order = order, .node = node };
	int rc;

	for (;;) {
		rc = try_zones(m, gfp, order, node, true, ret);
		if (rc)
			rc = try_zones(m, gfp, order, node, false, ret);
		if (!rc)
			return 0;
		if (rc == -HVO_EAGAIN) {
			m->ops->sleep_ns(m->ctx, WAIT_NS);
			continue;
		}
		if (!m->reclaim(m, &r))
			break;
	}
	if (!(gfp & HVO_GFP_NOWARN))
		trace(m, HVO_EVENT_ALLOC_FAILED, HVO_PFN_NONE, order, gfp);
	return -HVO_ENOMEM;
}

/* So many blocks could a zone give, if it has them, without going below its low watermark. */
static uint64_t zone_spare(struct hvo_machine *m, struct zone *z, unsigned int order)
{
	uint64_t low = counter_read(&z->low);

	lock_assert_held(m, &z->lock);
	return z->nr_free > low ? (z->nr_free - low) >> order : 0;
}

static unsigned int zone_take_spare(struct hvo_machine *m, struct zone *z, unsigned int order,
				    unsigned int max, hvo_pfn_t *pfns)
{
	unsigned int taken, nr = 0, i;

	lock_acquire(m, &z->lock);
	max = (unsigned int)min_u64(max, zone_spare(m, z, order));
	taken = zone_take_batch(m, z, order, max, pfns);
	z->nr_allocs += taken;
	zone_count_allocated(z, (uint64_t)taken << order);
	lock_release(m, &z->lock);
	for (i = 0; i < taken; i++)
		if (!check_allocated(m, z, pfns[i], order))
			pfns[nr++] = pfns[i];
	return nr;
}

/* As zone_alloc(): where cut pageblocks are empty they become whole before another zone is asked. */
static unsigned int zone_alloc_spare(struct hvo_machine *m, struct zone *z, unsigned int order,
				     unsigned int max, hvo_pfn_t *pfns)
{
	unsigned int nr = zone_take_spare(m, z, order, max, pfns);

	while (nr < max && counter_read(&z->nr_collapsible) && vmemmap_collapse(m, z, UINT64_MAX))
		nr += zone_take_spare(m, z, order, max - nr, pfns + nr);
	return nr;
}

unsigned int alloc_free_blocks(struct hvo_machine *m, unsigned int gfp, unsigned int order,
			       int node, unsigned int max, hvo_pfn_t *pfns)
{
	unsigned int nr = 0, k;

	for (k = zonelist_start(gfp); k < HVO_NR_ZONES && nr < max; k++)
		nr += zone_alloc_spare(m, &m->nodes[node].zones[zonelist[k]], order, max - nr,
				       pfns + nr);
	return nr;
}

uint64_t count_free_blocks(struct hvo_machine *m, unsigned int gfp, unsigned int order, int node)
{
	uint64_t nr = 0;
	unsigned int k;

	for (k = zonelist_start(gfp); k < HVO_NR_ZONES; k++) {
		struct zone *z = &m->nodes[node].zones[zonelist[k]];

		lock_acquire(m, &z->lock);
		nr += min_u64(zone_spare(m, z, order), zone_count_whole(m, z, order));
		lock_release(m, &z->lock);
	}
	return nr;
}

int clear_frames(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr)
{
	int rc = m->ops->populate(m->ctx, pfn, nr);

	if (!rc)
		m->ops->zero(m->ctx, pfn, nr);
	return rc;
}

int hvo_alloc_pages(struct hvo_machine *m, unsigned int gfp, unsigned int order, int node,
		    hvo_pfn_t *ret)
{
	hvo_pfn_t pfn = 0;
	int rc;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (gfp & ~HVO_GFP_ALL || order > m->cfg.max_order || !ret || !node_valid(m, node))
		return -HVO_EINVAL;
	do {
		rc = alloc_block(m, gfp, order, node, &pfn);
		if (rc)
			return rc;
		if (gfp & HVO_GFP_ZERO || m->cfg.clear == HVO_CLEAR_ON_ALLOC) {
			rc = clear_frames(m, pfn, UINT64_C(1) << order);
			if (rc) {
				free_block(m, pfn, order);
				return rc;
			}
		}
	} while (gave_up_bad(m, pfn, order));
	publish_block(m, pfn, order, 0, 0);
	*ret = pfn;
	return 0;
}
