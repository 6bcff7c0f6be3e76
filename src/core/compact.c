// SPDX-License-Identifier: MIT
/*
 * Compaction: emptying ranges that are used in part, so that large blocks become free.
 *
 * A scanner goes up each zone, over aligned ranges of the wanted size, and remembers where it was.
 * First it takes ranges with no unmovable block that are less than half in use; when none is left,
 * all that are not full. There is no scanner for free memory: blocks move to the fullest
 * pageblocks, as every allocation does, and never to an isolated range.
 *
 * Compaction stops when moving gains nothing: when the blocks of a range could only move to
 * pageblocks that are cut for them, or to parts of free blocks of the wanted size, or when a move
 * got no block of the order free.
 *
 * States: ranges are isolated while they are emptied.
 * Locks: none held while anything moves; a range is looked over under the zone's lock.
 * Linux: mm/compaction.c, compact_zone(), isolate_migratepages(), compaction_suitable().
 */
#include "compact.h"

#include "alloc.h"
#include "base.h"
#include "evacuate.h"
#include "isolate.h"
#include "lock.h"
#include "page.h"
#include "scope.h"
#include "watermark.h"
#include "zone_whole.h"

struct compaction {
	struct hvo_machine *m;
	struct zone *z;
	hvo_pfn_t lo, hi; /* [lo, hi) of the zone, which may grow meanwhile */
	unsigned int order;
	uint64_t max, moved; /* frames */
	uint64_t room;	     /* free frames that moving blocks can use without another cut */
	bool one;	     /* stop when there is one block more */
	bool gained;
	bool spent; /* the next block would be more than @max */
};

/* Blocks that a range holds, counted. */
struct census {
	uint64_t small, large; /* frames that would move, in cut pageblocks and in whole blocks */
	uint64_t free_small;   /* free frames of cut pageblocks */
	uint64_t largest;      /* frames of the largest block that would move */
	/* whole blocks by order: those that would move, and free ones */
	uint64_t nr_large[WHOLE_ORDERS], nr_free[WHOLE_ORDERS];
	bool hopeless;
};

/* ---- looking -------------------------------------------------------------------------------- */

static void count_head(const struct hvo_page *page, struct census *c, uint64_t *used,
		       uint64_t *free, uint64_t nr)
{
	uint64_t before = *used;

	c->hopeless |= page_stays(page);
	switch (hvo_page_state(page)) {
	case HVO_PAGE_USED:
	case HVO_PAGE_TAKEN:
	case HVO_PAGE_HUGETLB_USED:
	case HVO_PAGE_HUGETLB_FREE:
	case HVO_PAGE_MEMMAP:
		*used += nr;
		break;
	case HVO_PAGE_FREE:
		*free += nr;
		break;
	default:
		break;
	}
	if (*used > before && nr > c->largest)
		c->largest = nr;
}

/* Count the frames of a cut pageblock, but for its own tails, which vanish with a collapse. */
static void count_cut(struct hvo_machine *m, hvo_pfn_t base, struct census *c)
{
	bool self = pb_data(m, pb_of(base))->flags & PB_SELF;
	hvo_pfn_t pfn = base, end = base + HVO_PAGEBLOCK_FRAMES;

	if (pb_data(m, pb_of(base))->flags & PB_BUSY)
		c->hopeless = true;
	while (pfn < end && !c->hopeless) {
		hvo_pfn_t head = pfn;
		const struct hvo_page *page = page_step(m, &pfn);

		count_head(page, c, &c->small, &c->free_small, pfn - head);
	}
	if (self && c->small >= pb_tails(m))
		c->small -= pb_tails(m);
}

static void count_whole(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order, struct census *c)
{
	uint64_t used = 0, free = 0;

	count_head(page_ro(m, pfn), c, &used, &free, UINT64_C(1) << order);
	c->hopeless |= hugetlb_page_stays(m, page_ro(m, pfn), order);
	c->large += used;
	c->nr_large[order - HVO_PAGEBLOCK_ORDER] += used >> order;
	c->nr_free[order - HVO_PAGEBLOCK_ORDER] += free >> order;
}

/* Count the whole block or the cut pageblock at @pfn; returns where the next one begins. */
static hvo_pfn_t count_block(struct compaction *k, hvo_pfn_t pfn, struct census *c)
{
	struct hvo_machine *m = k->m;
	unsigned int whole;

	lock_assert_held(m, &k->z->lock);
	if (!zone_has(m, k->z, pfn) || pb_data(m, pb_of(pfn))->isolation) {
		c->hopeless = true;
		return pfn;
	}
	whole = fold_order(m, pfn);
	if (!whole) {
		count_cut(m, pfn, c);
		return pfn + HVO_PAGEBLOCK_FRAMES;
	}
	/* A block of the wanted size is free already, or would gain nothing by moving. */
	if (whole >= k->order)
		c->hopeless = true;
	else
		count_whole(m, pfn, whole, c);
	return pfn + (UINT64_C(1) << whole);
}

/*
 * Is there room for the whole blocks in free blocks elsewhere that are smaller than the wanted
 * size?
 */
static bool large_fit(const struct compaction *k, const struct census *c)
{
	unsigned int o = k->order - HVO_PAGEBLOCK_ORDER;
	uint64_t room = 0;

	while (o--) {
		room = 2 * room + k->z->nr_whole[o] - c->nr_free[o];
		if (room < c->nr_large[o])
			return false;
		room -= c->nr_large[o];
	}
	return true;
}

static struct census look_over(struct compaction *k, hvo_pfn_t start, hvo_pfn_t end)
{
	struct hvo_machine *m = k->m;
	struct census c = { 0 };
	hvo_pfn_t first = start;

	lock_acquire(m, &k->z->lock);
	while (start < end && !c.hopeless)
		start = count_block(k, start, &c);
	counter_add(&m->compact_scanned, start - first);
	c.hopeless = c.hopeless || !large_fit(k, &c);
	lock_release(m, &k->z->lock);
	return c;
}

/* Count the free frames that a movable allocation takes before it cuts another pageblock. */
static uint64_t room_in(const struct compaction *k)
{
	struct hvo_machine *m = k->m;
	hvo_pfn_t section, pfn, end;
	struct zone *z = k->z;
	uint64_t room = 0;

	for (section = k->lo; section < k->hi; section += HVO_SECTION_FRAMES) {
		lock_acquire(m, &z->lock);
		end = zone_has(m, z, section) ? section + HVO_SECTION_FRAMES : 0;
		for (pfn = section; pfn < end; pfn += HVO_PAGEBLOCK_FRAMES) {
			const struct pageblock *b = pb_data(m, pb_of(pfn));

			if (!fold_order(m, pfn) && pageblock_serves(b) &&
			    (b->migratetype == MIGRATE_MOVABLE || b->migratetype == MIGRATE_HOSTED))
				room += b->nr_free;
		}
		lock_release(m, &z->lock);
	}
	return room;
}

/* Count the free blocks of @order and above, in units of @order. */
static uint64_t nr_large(struct hvo_machine *m, struct zone *z, unsigned int order)
{
	uint64_t nr = 0;
	unsigned int o;

	lock_acquire(m, &z->lock);
	for (o = order; o <= m->cfg.max_order; o++)
		nr += z->nr_whole[o - HVO_PAGEBLOCK_ORDER] << (o - order);
	lock_release(m, &z->lock);
	return nr;
}

/* ---- moving --------------------------------------------------------------------------------- */

/* Compact one range. False: stop compacting the zone. */
static bool compact_range(struct compaction *k, hvo_pfn_t start, hvo_pfn_t end,
			  const struct census *c)
{
	uint64_t before = nr_large(k->m, k->z, k->order), left = k->max - k->moved, after;
	struct evacuated done = { 0 };
	int rc;

	if (left < c->largest) {
		k->spent = true;
		return false;
	}
	if (isolate_range(k->m, start, end))
		return true;
	/* evacuate() checks its limit before each block, so the last one may exceed it. */
	rc = evacuate(k->m, start, end, EVACUATE_COMPACT, left - (c->largest - 1), &done);
	unisolate_range(k->m, start, end);
	counter_add(&k->m->compact_isolated, done.moved);
	k->moved += done.moved;
	after = nr_large(k->m, k->z, k->order);
	k->gained |= after > before;
	k->room -= c->free_small;
	k->room -= c->small < k->room ? c->small : k->room;
	k->spent = rc == -HVO_EAGAIN;
	if (k->spent || rc == -HVO_ENOMEM)
		return false;
	return after > before && !(k->one && k->gained);
}

/* Go once around the zone for ranges with at most @limit frames in use. False: stop compacting. */
static bool compact_pass(struct compaction *k, uint64_t limit)
{
	uint64_t size = UINT64_C(1) << k->order, left;
	struct zone *z = k->z;
	hvo_pfn_t first = align_up(k->lo, size), pfn, next;

	if (first >= k->hi || k->hi - first < size)
		return true;
	left = (k->hi - first) / size;
	next = order_start(counter_read(&z->compact_next), k->order);
	for (; left; left--) {
		struct census c;
		bool more = true;

		pfn = next < first || next + size > k->hi ? first : next;
		next = pfn + size;
		c = look_over(k, pfn, next);
		if (!c.hopeless && c.small + c.large && c.small + c.large <= limit &&
		    k->room >= c.free_small && k->room - c.free_small >= c.small)
			more = compact_range(k, pfn, next, &c);
		if (!more) {
			/* A range that was only begun comes first the next time. */
			counter_set(&z->compact_next, k->spent ? pfn : next);
			return false;
		}
	}
	counter_set(&z->compact_next, next);
	return true;
}

static void compact_zone(struct compaction *k, struct zone *z)
{
	uint64_t size = UINT64_C(1) << k->order;

	k->z = z;
	lock_acquire(k->m, &z->lock);
	k->lo = z->start;
	k->hi = z->present ? z->end : z->start;
	lock_release(k->m, &z->lock);
	k->room = room_in(k);
	if (compact_pass(k, size / 2 - 1))
		compact_pass(k, size - 1);
}

int64_t hvo_compact(struct hvo_machine *m, int node, unsigned int order, uint64_t max,
		    bool *ret_more)
{
	struct compaction k = { .m = m, .order = order, .max = max };
	uint32_t n, t;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (order < HVO_PAGEBLOCK_ORDER || order > m->cfg.max_order || !node_valid(m, node))
		return -HVO_EINVAL;
	for (n = 0; n < m->cfg.nr_nodes; n++) {
		if (node >= 0 && n != (uint32_t)node)
			continue;
		for (t = 0; t < HVO_NR_ZONES && !k.spent; t++)
			compact_zone(&k, &m->nodes[n].zones[t]);
	}
	if (ret_more)
		*ret_more = k.spent;
	return (int64_t)k.moved;
}

/* Are enough frames free, in smaller blocks? */
static bool suitable(struct zone *z, unsigned int gfp, unsigned int order)
{
	return counter_read(&z->nr_free) >= gfp_watermark(z, gfp) + (UINT64_C(1) << order);
}

bool compact_direct(struct hvo_machine *m, unsigned int gfp, unsigned int order, int node)
{
	struct compaction k = { .m = m, .order = order, .max = UINT64_MAX, .one = true };
	uint32_t first, nr = nodes_to_try(m, gfp, node, &first), i, t;
	bool tried = false;

	for (i = 0; i < nr && !k.gained; i++) {
		for (t = 0; t < HVO_NR_ZONES && !k.gained; t++) {
			struct zone *z = &m->nodes[(first + i) % m->cfg.nr_nodes].zones[t];

			if ((t == HVO_ZONE_NORMAL || gfp & HVO_GFP_MOVABLE) &&
			    suitable(z, gfp, order)) {
				compact_zone(&k, z);
				tried = true;
			}
		}
	}
	/* As in Linux a zone where no range was worth a try counts as no stall. */
	counter_add(&m->compact_stalls, tried);
	counter_add(&m->compact_successes, k.gained);
	return k.gained;
}
