// SPDX-License-Identifier: MIT
/*
 * The buddy allocator of a zone from 2 MiB on: one free list for each of the orders 9 to
 * max_order, linked through the head descriptors. Splitting and merging touches head pages and
 * fold bytes only, so both work on folded memory.
 *
 * States: FREE on a list; ISOLATED or POISONED (set aside) on none and in no count.
 * Locks: everything here is under the zone's lock.
 * Linux: mm/page_alloc.c, __rmqueue_smallest(), expand(), __free_one_page().
 */
#include "zone_whole.h"

#include "backing.h"
#include "badframe.h"
#include "base.h"
#include "lock.h"
#include "page.h"

void zone_free_add(struct zone *z, uint64_t nr)
{
	counter_set(&z->nr_free, z->nr_free + nr);
}

void zone_free_sub(struct hvo_machine *m, struct zone *z, uint64_t nr)
{
	lock_assert_held(m, &z->lock);
	HVO_ASSERT(m, z->nr_free >= nr, ZONE_1, "more taken than free", z->start);
	counter_set(&z->nr_free, z->nr_free - nr);
}

/* ---- what a pageblock can be ---------------------------------------------------------------- */

#define CUT_ONLY (PB_SELF | PB_BUSY | PB_CARVED)

bool zone_whole_state(struct hvo_machine *m, pb_t pb, enum hvo_page_state *ret)
{
	unsigned int order;
	uint8_t byte;

	lock_assert_held(m, &zone_of(m, pb_pfn(pb))->lock);
	do {
		byte = fold_byte(m, pb);
		order = byte & HVO_FOLD_ORDER;
		*ret = hvo_page_state(page_ro(m, order_start(pb_pfn(pb), order)));
	} while (byte != fold_byte(m, pb));
	return byte;
}

enum pageblock_place pageblock_place(struct hvo_machine *m, pb_t pb)
{
	unsigned int flags = pb_data(m, pb)->flags;
	enum hvo_page_state state;

	lock_assert_held(m, &zone_of(m, pb_pfn(pb))->lock);
	if (flags & PB_CUT) {
		HVO_ASSERT(m, !(flags & PB_REPORTED), BLOCK_4, "cut, with the system", pb_pfn(pb));
		HVO_ASSERT(m, !fold_byte(m, pb) || flags & PB_BUSY, BLOCK_4, "cut and whole",
			   pb_pfn(pb));
		return flags & PB_BUSY ? PLACE_COLLAPSING : PLACE_CUT;
	}
	HVO_ASSERT(m, !(flags & CUT_ONLY), BLOCK_4, "flags of a block that is not cut", pb_pfn(pb));
	if (!zone_whole_state(m, pb, &state)) {
		HVO_ASSERT(m, !(flags & PB_REPORTED), BLOCK_4, "being cut, with the system",
			   pb_pfn(pb));
		return PLACE_CUTTING;
	}
	if (state != HVO_PAGE_MEMMAP)
		return PLACE_WHOLE;
	HVO_ASSERT(m, vmemmap_described_at_start(m, pb_pfn(pb)), BLOCK_4,
		   "descriptors in a whole block", pb_pfn(pb));
	return PLACE_MEMMAP;
}

/* ---- free lists ----------------------------------------------------------------------------- */

static void whole_add(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, unsigned int order)
{
	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_FREE, order);
	head_list_add(m, &z->whole[order - HVO_PAGEBLOCK_ORDER], pfn);
	z->nr_whole[order - HVO_PAGEBLOCK_ORDER]++;
}

/* Take a block off its list. The state stays FREE until the caller changes it. */
static void whole_del(struct hvo_machine *m, struct zone *z, struct hvo_page *page,
		      unsigned int order)
{
	head_list_del(m, &z->whole[order - HVO_PAGEBLOCK_ORDER], page);
	z->nr_whole[order - HVO_PAGEBLOCK_ORDER]--;
}

static uint8_t whole_byte(const struct hvo_machine *m, unsigned int order)
{
	return (uint8_t)(order | (on_demand(m) ? HVO_FOLDED : 0));
}

/* Take the part of @order at @pfn out of a free block of order @have: state TAKEN. */
static void take_out(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, unsigned int have,
		     unsigned int order)
{
	hvo_pfn_t head = order_start(pfn, have);
	struct hvo_page *page = page_rw(m, head);
	unsigned int o = have;

	lock_assert_held(m, &z->lock);
	HVO_ASSERT(m, have >= order && page->state == HVO_PAGE_FREE, ZONE_7, "block not free", pfn);
	whole_del(m, z, page, have);
	page_set_state(m, head, page, HVO_PAGE_TAIL, 0);
	while (o-- > order) {
		fold_set(m, buddy_of(pfn, o), o, whole_byte(m, o));
		whole_add(m, z, buddy_of(pfn, o), o);
	}
	fold_set(m, pfn, order, whole_byte(m, order));
	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_TAKEN, order);
	zone_free_sub(m, z, UINT64_C(1) << order);
}

/* The first block of the smallest order, from *@order on, of which there is one. */
static bool smallest(struct hvo_machine *m, const struct zone *z, unsigned int *order,
		     hvo_pfn_t *ret)
{
	unsigned int o;

	lock_assert_held(m, &z->lock);
	for (o = *order; o <= m->cfg.max_order; o++) {
		if (!z->whole[o - HVO_PAGEBLOCK_ORDER])
			continue;
		*ret = pb_pfn(pb_of_link(z->whole[o - HVO_PAGEBLOCK_ORDER]));
		*order = o;
		return true;
	}
	return false;
}

bool zone_take_whole(struct hvo_machine *m, struct zone *z, unsigned int order, hvo_pfn_t *ret)
{
	unsigned int have = order;

	if (!smallest(m, z, &have, ret))
		return false;
	take_out(m, z, *ret, have, order);
	return true;
}

/* Make a block in state TAKEN blocks of @order; returns how many. */
static unsigned int split_taken(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int have,
				unsigned int order, hvo_pfn_t *pfns)
{
	unsigned int nr = 1u << (have - order), i;

	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_TAIL, 0);
	for (i = 0; i < nr; i++, pfn += UINT64_C(1) << order) {
		fold_set(m, pfn, order, whole_byte(m, order));
		page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_TAKEN, order);
		pfns[i] = pfn;
	}
	return nr;
}

unsigned int zone_take_batch(struct hvo_machine *m, struct zone *z, unsigned int order,
			     unsigned int max, hvo_pfn_t *pfns)
{
	unsigned int nr = 0, have = order, part;
	hvo_pfn_t pfn = 0;

	lock_assert_held(m, &z->lock);
	for (; nr < max && smallest(m, z, &have, &pfn); have = order) {
		for (part = have; 1u << (part - order) > max - nr; part--)
			;
		take_out(m, z, pfn, have, part);
		nr += split_taken(m, pfn, part, order, pfns + nr);
	}
	return nr;
}

uint64_t zone_count_whole(struct hvo_machine *m, const struct zone *z, unsigned int order)
{
	unsigned int o;
	uint64_t nr = 0;

	lock_assert_held(m, &z->lock);
	for (o = order; o <= m->cfg.max_order; o++)
		nr += (uint64_t)z->nr_whole[o - HVO_PAGEBLOCK_ORDER] << (o - order);
	return nr;
}

bool zone_heads_free(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	const struct hvo_page *page = page_ro(m, pfn);

	return hvo_page_state(page) == HVO_PAGE_FREE && page_order(page) == order;
}

unsigned int zone_free_order(struct hvo_machine *m, hvo_pfn_t pfn)
{
	unsigned int order = fold_order(m, pfn);

	lock_assert_held(m, &zone_of(m, pfn)->lock);
	return order && zone_heads_free(m, order_start(pfn, order), order) ? order : 0;
}

void zone_take_part(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, unsigned int order)
{
	take_out(m, z, pfn, zone_free_order(m, pfn), order);
}

bool zone_take_free_pageblock(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn)
{
	lock_assert_held(m, &z->lock);
	if (!zone_free_order(m, pfn))
		return false;
	zone_take_part(m, z, pb_start(pfn), HVO_PAGEBLOCK_ORDER);
	return true;
}

/* ---- set aside, isolated, and what is around ------------------------------------------------ */

void zone_set_aside(struct hvo_machine *m, pb_t pb)
{
	hvo_pfn_t pfn = pb_pfn(pb);

	lock_assert_held(m, &zone_of(m, pb_pfn(pb))->lock);
	fold_set(m, pfn, HVO_PAGEBLOCK_ORDER, whole_byte(m, HVO_PAGEBLOCK_ORDER));
	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_POISONED, HVO_PAGEBLOCK_ORDER);
}

void zone_set_isolated(struct hvo_machine *m, hvo_pfn_t pfn)
{
	lock_assert_held(m, &zone_of(m, pfn)->lock);
	if (badframe_in_block(m, pfn, HVO_PAGEBLOCK_ORDER)) {
		zone_set_aside(m, pb_of(pfn));
		work_wanted(m);
		return;
	}
	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_ISOLATED, HVO_PAGEBLOCK_ORDER);
	fold_set(m, pfn, HVO_PAGEBLOCK_ORDER, whole_byte(m, HVO_PAGEBLOCK_ORDER));
}

bool zone_take_aside(struct hvo_machine *m, pb_t pb)
{
	hvo_pfn_t pfn = pb_pfn(pb);

	lock_assert_held(m, &zone_of(m, pb_pfn(pb))->lock);
	if (pageblock_place(m, pb) != PLACE_WHOLE ||
	    hvo_page_state(page_ro(m, pfn)) != HVO_PAGE_POISONED)
		return false;
	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_TAKEN, HVO_PAGEBLOCK_ORDER);
	return true;
}

/* Does a pageblock serve nobody when it is free: is it isolated, or did a frame fail? */
static bool stays_apart(struct hvo_machine *m, hvo_pfn_t pfn)
{
	return pb_data(m, pb_of(pfn))->isolation || badframe_in_block(m, pfn, HVO_PAGEBLOCK_ORDER);
}

/* Free a block around the pageblocks that are isolated or failed; false: there are none. */
static bool put_around(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, unsigned int order)
{
	hvo_pfn_t end = pfn + (UINT64_C(1) << order), p = pfn;

	while (p < end && !stays_apart(m, p))
		p += HVO_PAGEBLOCK_FRAMES;
	if (p == end)
		return false;
	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_TAIL, 0);
	for (p = pfn; p < end; p += HVO_PAGEBLOCK_FRAMES) {
		if (stays_apart(m, p))
			zone_set_isolated(m, p);
		else
			zone_put_whole(m, z, p, HVO_PAGEBLOCK_ORDER);
	}
	return true;
}

/* Free a block that contig.c put together, larger than a free one may be, in parts. */
static void put_oversized(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, unsigned int order)
{
	unsigned int max = m->cfg.max_order;
	hvo_pfn_t end = pfn + (UINT64_C(1) << order);

	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_TAIL, 0);
	for (; pfn < end; pfn += UINT64_C(1) << max)
		zone_put_whole(m, z, pfn, max);
}

void zone_put_whole(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, unsigned int order)
{
	unsigned int o = order;
	struct hvo_page *page;
	hvo_pfn_t buddy;

	lock_assert_held(m, &z->lock);
	HVO_ASSERT(m, !(pfn & ((UINT64_C(1) << order) - 1)), PAGE_1, "order does not fit", pfn);
	HVO_ASSERT(m, !hvo_page_refs(page_ro(m, pfn)), PAGE_2, "freed while somebody holds it",
		   pfn);
	if (HVO_UNLIKELY(z->nr_isolated || counter_read(&m->nr_bad)) &&
	    put_around(m, z, pfn, order))
		return;
	if (HVO_UNLIKELY(order > m->cfg.max_order)) {
		put_oversized(m, z, pfn, order);
		return;
	}
	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_TAIL, 0);
	zone_free_add(z, UINT64_C(1) << order);
	for (; o < m->cfg.max_order; o++) {
		uint8_t byte;

		buddy = buddy_of(pfn, o);
		/* No block lies in two zones: where a free one begins is enough. */
		if (!zone_has(m, z, buddy))
			break;
		byte = fold_byte(m, pb_of(buddy));
		/* The order too: a pageblock that is just collapsing has its byte already. */
		if (byte != whole_byte(m, o) || !zone_heads_free(m, buddy, o))
			break;
		page = page_rw(m, buddy);
		whole_del(m, z, page, o);
		page_set_state(m, buddy, page, HVO_PAGE_TAIL, 0);
		pfn = min_u64(pfn, buddy);
	}
	fold_set(m, pfn, o, whole_byte(m, o));
	whole_add(m, z, pfn, o);
}

void zone_put_free(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, hvo_pfn_t end)
{
	lock_assert_held(m, &z->lock);
	zone_count_freed(z, end > pfn ? end - pfn : 0);
	while (pfn < end) {
		unsigned int order = fitting_order(pfn, end, m->cfg.max_order);

		zone_put_whole(m, z, pfn, order);
		pfn += UINT64_C(1) << order;
	}
}
