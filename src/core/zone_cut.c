// SPDX-License-Identifier: MIT
/*
 * A cut pageblock's own allocator, orders 0 to 8, and the bins of cut pageblocks. The fullest one
 * that can serve a request serves it, so the emptiest have a chance to become whole.
 *
 *	bins[type].head[bin][order]:  bin 0    1 .. 63 frames free
 *				      ...
 *				      bin 7    448 and more
 *				      bin 8    nothing in it but its own descriptors
 *
 * A pageblock of Linux mode whose frames are all free turns whole at once; one of on-demand mode
 * has to be folded for that (fold.c), which is put off. A cut pageblock that is isolated is in no
 * bin and serves nobody until it is put back.
 *
 * Locks: everything here is under the zone's lock.
 * Linux: mm/page_alloc.c, __rmqueue_fallback(); mm/page_isolation.c, start_isolate_page_range().
 */
#include "zone_cut.h"

#include "backing.h"
#include "badframe.h"
#include "base.h"
#include "lock.h"
#include "page.h"
#include "zone_whole.h"

/* ---- bins of cut pageblocks ----------------------------------------------------------------- */

static unsigned int used_by_itself(const struct hvo_machine *m, const struct pageblock *b)
{
	return b->flags & PB_SELF ? pb_tails(m) : 0;
}

bool pageblock_collapsible(struct hvo_machine *m, const struct pageblock *b)
{
	return on_demand(m) && b->nr_free + used_by_itself(m, b) == HVO_PAGEBLOCK_FRAMES;
}

static pb_t number_of(const struct hvo_machine *m, const struct pageblock *b)
{
	return (pb_t){ (uint64_t)(b - m->pageblocks) };
}

static uint32_t *bin_of(struct hvo_machine *m, struct zone *z, const struct pageblock *b,
			unsigned int *ret_bin, unsigned int *ret_order)
{
	unsigned int bin = pageblock_collapsible(m, b) ? BIN_COLLAPSIBLE : b->nr_free >> BIN_SHIFT;
	unsigned int order = 31 - (unsigned int)__builtin_clz(b->orders);

	*ret_bin = bin;
	*ret_order = order;
	return &z->bins[b->migratetype].head[bin][order];
}

static void bin_del(struct hvo_machine *m, struct zone *z, struct pageblock *b)
{
	unsigned int bin, order;
	uint32_t *head;

	if (!b->nr_free)
		return;
	head = bin_of(m, z, b, &bin, &order);
	if (b->next)
		pb_data(m, pb_of_link(b->next))->prev = b->prev;
	if (b->prev)
		pb_data(m, pb_of_link(b->prev))->next = b->next;
	else
		*head = b->next;
	if (!*head)
		z->bins[b->migratetype].orders[bin] &= (uint16_t) ~(1u << order);
	b->next = 0;
	b->prev = 0;
	if (bin == BIN_COLLAPSIBLE)
		counter_set(&z->nr_collapsible, z->nr_collapsible - 1);
}

static void bin_add(struct hvo_machine *m, struct zone *z, struct pageblock *b)
{
	uint32_t link = link_of_pb(number_of(m, b));
	unsigned int bin, order;
	uint32_t *head;

	if (!b->nr_free)
		return;
	head = bin_of(m, z, b, &bin, &order);
	b->prev = 0;
	b->next = *head;
	if (*head)
		pb_data(m, pb_of_link(*head))->prev = link;
	*head = link;
	z->bins[b->migratetype].orders[bin] |= (uint16_t)(1u << order);
	if (bin == BIN_COLLAPSIBLE)
		counter_set(&z->nr_collapsible, z->nr_collapsible + 1);
}

/* ---- what cut pageblocks serve -------------------------------------------------------------- */

/* Count one fragment more, or less, of a pageblock, unless the pageblock serves nobody. */
static void count_frag(struct hvo_machine *m, const struct pageblock *b, hvo_pfn_t base,
		       unsigned int order, int by)
{
	if (pageblock_serves(b))
		zone_of(m, base)->nr_frags[b->migratetype][order] += (uint64_t)(int64_t)by;
}

/* What is free in a pageblock begins or ceases to serve: 256 fragments at most. */
static void count_serving(struct hvo_machine *m, struct zone *z, const struct pageblock *b,
			  unsigned int type, int by)
{
	hvo_pfn_t base = pb_pfn(number_of(m, b));
	unsigned int order;
	uint32_t at;

	z->nr_serving[type] += (uint64_t)(int64_t)by;
	for (order = 0; order < SMALL_ORDERS; order++)
		for (at = b->free_head[order]; at; at = page_ro(m, base + at - 1)->next)
			z->nr_frags[type][order] += (uint64_t)(int64_t)by;
}

/*
 * Between begin and end a pageblock changes: what is free in it, its type, its flags, whether it
 * serves at all. It is in no bin meanwhile; the zone counts what it is then.
 */
struct update {
	struct hvo_machine *m;
	struct zone *z;
	struct pageblock *b;
	bool served;
	unsigned int type, nr_free; /* that counted */
};

static struct update update_begin(struct hvo_machine *m, struct zone *z, struct pageblock *b)
{
	bool serves = pageblock_serves(b);

	if (serves)
		bin_del(m, z, b);
	return (struct update){ m, z, b, serves, b->migratetype, serves ? b->nr_free : 0 };
}

static void update_end(const struct update *u)
{
	struct pageblock *b = u->b;
	bool serves = pageblock_serves(b);
	unsigned int nr_free = serves ? b->nr_free : 0;

	if (u->served != serves || u->type != b->migratetype) {
		if (u->served)
			count_serving(u->m, u->z, b, u->type, -1);
		if (serves)
			count_serving(u->m, u->z, b, b->migratetype, 1);
	}
	if (nr_free > u->nr_free)
		zone_free_add(u->z, nr_free - u->nr_free);
	else if (nr_free < u->nr_free)
		zone_free_sub(u->m, u->z, u->nr_free - nr_free);
	if (serves)
		bin_add(u->m, u->z, b);
}

/* ---- small blocks inside one cut pageblock -------------------------------------------------- */

static void frag_add(struct hvo_machine *m, struct pageblock *b, hvo_pfn_t base, unsigned int idx,
		     unsigned int order)
{
	struct hvo_page *page = page_rw(m, base + idx);

	page_set_state(m, base + idx, page, HVO_PAGE_FREE, order);
	page->prev = 0;
	page->next = b->free_head[order];
	if (page->next)
		page_rw(m, base + page->next - 1)->prev = idx + 1;
	b->free_head[order] = (uint16_t)(idx + 1);
	b->orders |= (uint16_t)(1u << order);
	b->nr_free = (uint16_t)(b->nr_free + (1u << order));
	count_frag(m, b, base, order, 1);
}

/* The page stays in state FREE: the caller says what it becomes. */
static struct hvo_page *frag_del(struct hvo_machine *m, struct pageblock *b, hvo_pfn_t base,
				 unsigned int idx, unsigned int order)
{
	struct hvo_page *page = page_rw(m, base + idx);

	if (page->next)
		page_rw(m, base + page->next - 1)->prev = page->prev;
	if (page->prev)
		page_rw(m, base + page->prev - 1)->next = page->next;
	else
		b->free_head[order] = (uint16_t)page->next;
	if (!b->free_head[order])
		b->orders &= (uint16_t) ~(1u << order);
	page->next = 0;
	page->prev = 0;
	b->nr_free = (uint16_t)(b->nr_free - (1u << order));
	count_frag(m, b, base, order, -1);
	return page;
}

/* Cut a free fragment down to the part of @order at @idx, TAIL or FREE; the rest is free again. */
static void frag_split(struct hvo_machine *m, struct pageblock *b, hvo_pfn_t base,
		       unsigned int head, unsigned int have, unsigned int idx, unsigned int order)
{
	(void)frag_del(m, b, base, head, have);
	while (have-- > order)
		frag_add(m, b, base, (unsigned int)buddy_of(idx, have), have);
}

static hvo_pfn_t take_from_pageblock(struct hvo_machine *m, struct zone *z, pb_t pb,
				     unsigned int order)
{
	struct pageblock *b = pb_data(m, pb);
	hvo_pfn_t base = pb_pfn(pb);
	unsigned int have = (unsigned int)__builtin_ctz(b->orders & ~((1u << order) - 1u));
	unsigned int idx = b->free_head[have] - 1u;
	struct update u = update_begin(m, z, b);

	frag_split(m, b, base, idx, have, idx, order);
	page_set_state(m, base + idx, page_rw(m, base + idx), HVO_PAGE_TAKEN, order);
	update_end(&u);
	return base + idx;
}

bool zone_take_small(struct hvo_machine *m, struct zone *z, unsigned int order,
		     enum migratetype type, hvo_pfn_t *ret)
{
	struct bins *bins = &z->bins[type];
	unsigned int bin, orders;
	pb_t pb;

	lock_assert_held(m, &z->lock);
	for (bin = 0; bin < NR_BINS; bin++) {
		orders = bins->orders[bin] & ~((1u << order) - 1u);
		if (!orders)
			continue;
		pb = pb_of_link(bins->head[bin][__builtin_ctz(orders)]);
		*ret = take_from_pageblock(m, z, pb, order);
		return true;
	}
	return false;
}

bool zone_take_from(struct hvo_machine *m, struct zone *z, pb_t pb, unsigned int order,
		    hvo_pfn_t *ret)
{
	lock_assert_held(m, &z->lock);
	if (pb_data(m, pb)->isolation || !(pb_data(m, pb)->orders >> order))
		return false;
	*ret = take_from_pageblock(m, z, pb, order);
	return true;
}

/* Take a block from the emptiest pageblock of a type: that pollutes the fewest neighbours. */
static bool take_emptiest(struct hvo_machine *m, struct zone *z, unsigned int order,
			  enum migratetype from, enum migratetype to, hvo_pfn_t *ret)
{
	struct bins *bins = &z->bins[from];
	unsigned int bin, orders;
	struct update u;
	struct pageblock *b;
	pb_t pb;

	for (bin = NR_BINS; bin-- > 0;) {
		orders = bins->orders[bin] & ~((1u << order) - 1u);
		if (!orders)
			continue;
		pb = pb_of_link(bins->head[bin][__builtin_ctz(orders)]);
		b = pb_data(m, pb);
		/* A pageblock that is mostly free takes the type of the block. */
		if (b->nr_free >= HVO_PAGEBLOCK_FRAMES / 2 && from != MIGRATE_HOSTED) {
			u = update_begin(m, z, b);
			b->migratetype = to & 0xf;
			update_end(&u);
		}
		*ret = take_from_pageblock(m, z, pb, order);
		return true;
	}
	return false;
}

bool zone_take_fallback(struct hvo_machine *m, struct zone *z, unsigned int order,
			enum migratetype type, bool split, hvo_pfn_t *ret)
{
	static const enum migratetype others[][3] = {
		[MIGRATE_MOVABLE] = { MIGRATE_RECLAIMABLE, MIGRATE_UNMOVABLE, MIGRATE_HOSTED },
		[MIGRATE_UNMOVABLE] = { MIGRATE_RECLAIMABLE, MIGRATE_MOVABLE, MIGRATE_HOSTED },
		[MIGRATE_RECLAIMABLE] = { MIGRATE_UNMOVABLE, MIGRATE_MOVABLE, MIGRATE_HOSTED },
	};
	unsigned int i, nr = split ? 3 : 2;

	lock_assert_held(m, &z->lock);
	for (i = 0; i < nr; i++)
		if (take_emptiest(m, z, order, others[type][i], type, ret))
			return true;
	return false;
}

static void free_into_pageblock(struct hvo_machine *m, struct pageblock *b, hvo_pfn_t base,
				unsigned int idx, unsigned int order)
{
	struct hvo_page *page;
	unsigned int buddy;

	page_set_state(m, base + idx, page_rw(m, base + idx), HVO_PAGE_FREE, order);
	for (; order < SMALL_ORDERS - 1; order++) {
		buddy = (unsigned int)buddy_of(idx, order);
		if (!zone_heads_free(m, base + buddy, order))
			break;
		page = frag_del(m, b, base, buddy, order);
		if (buddy > idx)
			page_set_state(m, base + buddy, page, HVO_PAGE_TAIL, 0);
		else
			page_set_state(m, base + idx, page_rw(m, base + idx), HVO_PAGE_TAIL, 0);
		idx &= ~(1u << order);
	}
	frag_add(m, b, base, idx, order);
}

/* Take all free fragments of a cut pageblock off its lists. */
static void frags_drop(struct hvo_machine *m, struct pageblock *b, hvo_pfn_t base)
{
	while (b->orders) {
		unsigned int order = (unsigned int)__builtin_ctz(b->orders);
		unsigned int idx = b->free_head[order] - 1u;

		page_set_state(m, base + idx, frag_del(m, b, base, idx, order), HVO_PAGE_TAIL, 0);
	}
}

/* Make a cut pageblock one that is not, with no flags. */
static void forget_cut(struct hvo_machine *m, struct zone *z, struct pageblock *b)
{
	if (b->flags & PB_CARVED)
		counter_sub(&m->carved_blocks, 1);
	b->flags = 0;
	z->nr_cut--;
}

/* Make a pageblock of Linux mode, all of it free, a whole one in the caller's hands. */
static hvo_pfn_t make_whole(struct hvo_machine *m, struct zone *z, struct pageblock *b)
{
	hvo_pfn_t base = pb_pfn(number_of(m, b));
	struct update u = update_begin(m, z, b);

	frags_drop(m, b, base);
	forget_cut(m, z, b);
	fold_set(m, base, HVO_PAGEBLOCK_ORDER, HVO_PAGEBLOCK_ORDER);
	update_end(&u);
	return base;
}

/* Linux mode: does nothing keep a pageblock from being whole? */
static bool all_free(const struct hvo_machine *m, const struct pageblock *b)
{
	return b->nr_free == HVO_PAGEBLOCK_FRAMES && !on_demand(m);
}

static void settle(struct hvo_machine *m, struct zone *z, struct pageblock *b)
{
	if (all_free(m, b) && pageblock_serves(b))
		zone_put_whole(m, z, make_whole(m, z, b), HVO_PAGEBLOCK_ORDER);
}

/* Take a frame that is in nobody's hands and on no list out of use. */
static void frame_out(struct hvo_machine *m, hvo_pfn_t pfn)
{
	struct hvo_page *page = page_rw(m, pfn);

	page_set_flags(page, 0);
	page_set_state(m, pfn, page, HVO_PAGE_POISONED, 0);
	trace(m, HVO_EVENT_POISONED, pfn, 0, 0);
}

static void put_sound(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, unsigned int order)
{
	hvo_pfn_t end = pfn + (UINT64_C(1) << order);

	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_TAIL, 0);
	for (; pfn < end; pfn++) {
		uint64_t sound = badframe_sound(m, pfn, end);

		zone_put_range(m, z, pfn, sound);
		pfn += sound;
		if (pfn < end)
			frame_out(m, pfn);
	}
}

void zone_put_small(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, unsigned int order)
{
	struct pageblock *b = pb_data(m, pb_of(pfn));
	struct update u;

	lock_assert_held(m, &z->lock);
	if (badframe_in_block(m, pfn, order)) {
		put_sound(m, z, pfn, order);
		return;
	}
	u = update_begin(m, z, b);
	free_into_pageblock(m, b, pb_start(pfn), pb_index(pfn), order);
	update_end(&u);
	settle(m, z, b);
}

/* ---- isolation ------------------------------------------------------------------------------ */

void zone_isolate_pageblock(struct hvo_machine *m, struct zone *z, pb_t pb, enum isolation by)
{
	enum pageblock_place place = pageblock_place(m, pb);
	struct pageblock *b = pb_data(m, pb);
	hvo_pfn_t pfn = pb_pfn(pb);
	struct update u;

	lock_assert_held(m, &z->lock);
	HVO_ASSERT(m, !b->isolation, ZONE_4, "block is isolated", pfn);
	/* What is free leaves the lists; what is in transition will come back to an isolated one. */
	if (place == PLACE_WHOLE && zone_take_free_pageblock(m, z, pfn))
		zone_set_isolated(m, pfn);
	u = update_begin(m, z, b);
	b->isolation = by & 0xf;
	update_end(&u);
	z->nr_isolated++;
	z->nr_isolated_by_user += by == ISOLATED_BY_USER;
}

void zone_unisolate_pageblock(struct hvo_machine *m, struct zone *z, pb_t pb)
{
	enum pageblock_place place = pageblock_place(m, pb);
	struct pageblock *b = pb_data(m, pb);
	hvo_pfn_t pfn = pb_pfn(pb);
	struct update u = update_begin(m, z, b);

	lock_assert_held(m, &z->lock);
	HVO_ASSERT(m, b->isolation, ZONE_4, "block is not isolated", pfn);
	z->nr_isolated--;
	z->nr_isolated_by_user -= b->isolation == ISOLATED_BY_USER;
	b->isolation = NOT_ISOLATED;
	update_end(&u);
	if (place == PLACE_WHOLE && hvo_page_state(page_ro(m, pfn)) == HVO_PAGE_ISOLATED)
		zone_put_whole(m, z, pfn, HVO_PAGEBLOCK_ORDER);
	else
		settle(m, z, b);
}

/* Begin or end the collapse of a pageblock. */
static void set_busy(struct hvo_machine *m, struct zone *z, struct pageblock *b, bool busy)
{
	struct update u = update_begin(m, z, b);

	b->flags ^= PB_BUSY;
	if (busy)
		z->in_flight++;
	else
		zone_end_flight(m, z);
	update_end(&u);
}

bool zone_settle_isolated(struct hvo_machine *m, struct zone *z, pb_t pb)
{
	struct pageblock *b = pb_data(m, pb);

	lock_assert_held(m, &z->lock);
	HVO_ASSERT(m, b->isolation, ZONE_4, "block is not isolated", pb_pfn(pb));
	if (pageblock_place(m, pb) != PLACE_CUT)
		return false;
	if (all_free(m, b))
		zone_set_isolated(m, make_whole(m, z, b));
	else if (pageblock_collapsible(m, b))
		set_busy(m, z, b, true);
	return b->flags & PB_BUSY;
}

/* ---- opening -------------------------------------------------------------------------------- */

static unsigned int largest_order(hvo_pfn_t pfn, uint64_t nr)
{
	return fitting_order(pfn, pfn + nr, SMALL_ORDERS - 1);
}

/* Free the frames of a pageblock with indices [idx, end). */
static void frags_add(struct hvo_machine *m, struct pageblock *b, hvo_pfn_t base, unsigned int idx,
		      unsigned int end)
{
	unsigned int order;

	for (; idx < end; idx += 1u << order) {
		order = largest_order(idx, end - idx);
		while (order && badframe_in_block(m, base + idx, order))
			order--;
		if (badframe_in_block(m, base + idx, order))
			frame_out(m, base + idx);
		else
			frag_add(m, b, base, idx, order);
	}
}

void zone_open_pageblock(struct hvo_machine *m, struct zone *z, pb_t pb, unsigned int from,
			 unsigned int to, enum migratetype type, unsigned int flags)
{
	struct pageblock *b = pb_data(m, pb);
	hvo_pfn_t base = pb_pfn(pb);
	struct update u;

	lock_assert_held(m, &z->lock);
	if (hvo_page_state(page_ro(m, base)) == HVO_PAGE_TAKEN)
		page_set_state(m, base, page_rw(m, base), HVO_PAGE_TAIL, 0);
	fold_set(m, base, HVO_PAGEBLOCK_ORDER, 0);
	*b = (struct pageblock){ .migratetype = type & 0xf, .isolation = b->isolation };
	u = update_begin(m, z, b);
	frags_add(m, b, base, 0, from);
	frags_add(m, b, base, to, HVO_PAGEBLOCK_FRAMES);
	z->nr_cut++;
	b->flags = (uint8_t)(flags | PB_CUT);
	update_end(&u);
}

void zone_open_around(struct hvo_machine *m, struct zone *z, pb_t pb, unsigned int at,
		      enum migratetype type)
{
	bool self = at < HVO_PAGEBLOCK_FRAMES;

	lock_assert_held(m, &z->lock);
	zone_open_pageblock(m, z, pb, at, self ? at + pb_tails(m) : at, type, self ? PB_SELF : 0);
}

void zone_put_range(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, uint64_t nr)
{
	uint64_t i;

	lock_assert_held(m, &z->lock);
	while (nr) {
		unsigned int order = largest_order(pfn, nr);

		for (i = 1; i < UINT64_C(1) << order; i++)
			page_set_state(m, pfn + i, page_rw(m, pfn + i), HVO_PAGE_TAIL, 0);
		page_set_refs(page_rw(m, pfn), 0);
		zone_put_small(m, z, pfn, order);
		pfn += UINT64_C(1) << order;
		nr -= UINT64_C(1) << order;
	}
}

/* ---- exactly these frames ------------------------------------------------------------------- */

/* Find the free fragment that a frame of a cut pageblock lies in; false: the frame is not free. */
static bool frag_find(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int *ret_idx,
		      unsigned int *ret_order)
{
	unsigned int idx = pb_index(pfn), order;
	hvo_pfn_t base = pfn - idx;

	for (order = 0; order < SMALL_ORDERS; order++) {
		unsigned int head = idx & ~((1u << order) - 1u);
		const struct hvo_page *page = page_ro(m, base + head);

		if (hvo_page_state(page) != HVO_PAGE_FREE)
			continue;
		if (page->order < order)
			return false;
		*ret_idx = head;
		*ret_order = page->order;
		return true;
	}
	return false;
}

/* Are all frames free? @reported: also where the system has the content. */
static bool range_is_free(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, uint64_t nr,
			  bool reported)
{
	hvo_pfn_t end = pfn + nr;

	while (pfn < end) {
		unsigned int order = fold_order(m, pfn);
		hvo_pfn_t head = order_start(pfn, order);
		unsigned int idx, o;

		if (!zone_has(m, z, pfn))
			return false;
		if (order) {
			if (hvo_page_state(page_ro(m, head)) != HVO_PAGE_FREE ||
			    (!reported && pb_data(m, pb_of(pfn))->flags & PB_REPORTED))
				return false;
			pfn = pb_end(pfn);
			continue;
		}
		if (!pageblock_serves(pb_data(m, pb_of(pfn))) || !frag_find(m, pfn, &idx, &o))
			return false;
		pfn = pb_start(pfn) + idx + (1u << o);
	}
	return true;
}

/* Take free frames of a cut pageblock: blocks in state TAKEN, or single frames in state MEMMAP. */
static void frags_take(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr, enum hvo_page_state state)
{
	struct pageblock *b = pb_data(m, pb_of(pfn));
	hvo_pfn_t base = pb_start(pfn), end = pfn + nr;
	unsigned int head, have;

	while (pfn < end) {
		unsigned int order = largest_order(pfn, end - pfn), i, each;

		HVO_ASSERT(m, frag_find(m, pfn, &head, &have), ZONE_7, "range not free", pfn);
		if (order > have)
			order = have;
		frag_split(m, b, base, head, have, (unsigned int)(pfn - base), order);
		each = state == HVO_PAGE_TAKEN ? order : 0;
		for (i = 0; i < 1u << order; i += 1u << each)
			page_set_state(m, pfn + i, page_rw(m, pfn + i), state, each);
		pfn += 1u << order;
	}
}

static void take_range_in_pageblock(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn,
				    uint64_t nr)
{
	struct update u = update_begin(m, z, pb_data(m, pb_of(pfn)));

	frags_take(m, pfn, nr, HVO_PAGE_MEMMAP);
	update_end(&u);
}

bool zone_take_isolated(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr)
{
	hvo_pfn_t p = pfn, end = pfn + nr;
	unsigned int head, have;

	lock_assert_held(m, &zone_of(m, pfn)->lock);
	if (pageblock_place(m, pb_of(pfn)) != PLACE_CUT)
		return false;
	while (p < end) {
		if (!frag_find(m, p, &head, &have))
			return false;
		p = pb_start(pfn) + head + (1u << have);
	}
	frags_take(m, pfn, nr, HVO_PAGE_TAKEN);
	return true;
}

bool zone_take_range(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, uint64_t nr)
{
	lock_assert_held(m, &z->lock);
	if (!range_is_free(m, z, pfn, nr, false))
		return false;
	while (nr) {
		uint64_t in_pb = min_u64(pb_end(pfn) - pfn, nr);

		/* Linux mode: a pageblock of a free whole block. */
		if (zone_take_free_pageblock(m, z, pfn))
			zone_open_around(m, z, pb_of(pfn), HVO_PAGEBLOCK_FRAMES, MIGRATE_UNMOVABLE);
		take_range_in_pageblock(m, z, pfn, in_pb);
		pfn += in_pb;
		nr -= in_pb;
	}
	return true;
}

bool zone_take_reported(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, uint64_t nr,
			hvo_pfn_t *ret)
{
	hvo_pfn_t end = pfn + nr;

	lock_assert_held(m, &z->lock);
	if (!range_is_free(m, z, pfn, nr, true))
		return false;
	for (; pfn < end; pfn = pb_end(pfn)) {
		if (!(pb_data(m, pb_of(pfn))->flags & PB_REPORTED))
			continue;
		*ret = pb_start(pfn);
		return zone_take_free_pageblock(m, z, pfn);
	}
	return false;
}

bool zone_take_any_frame(struct hvo_machine *m, struct zone *z, pb_t pb, hvo_pfn_t *ret)
{
	struct hvo_page *page;

	lock_assert_held(m, &z->lock);
	if (pageblock_place(m, pb) != PLACE_CUT || !pb_data(m, pb)->orders)
		return false;
	*ret = take_from_pageblock(m, z, pb, 0);
	page = page_rw(m, *ret);
	page_set_state(m, *ret, page, HVO_PAGE_MEMMAP, 0);
	page_set_flags(page, 0);
	return true;
}

bool zone_set_self(struct hvo_machine *m, struct zone *z, pb_t pb, bool self)
{
	struct pageblock *b = pb_data(m, pb);
	bool is = b->flags & PB_SELF;
	struct update u;

	lock_assert_held(m, &z->lock);
	if (pageblock_place(m, pb) != PLACE_CUT || is == self)
		return false;
	u = update_begin(m, z, b);
	b->flags ^= PB_SELF;
	update_end(&u);
	return true;
}

/* Say where a failed frame is that cannot be taken out; its descriptor tells, if there is one. */
static enum bad_place bad_place(struct hvo_machine *m, hvo_pfn_t pfn)
{
	enum hvo_page_state state;

	switch (pageblock_place(m, pb_of(pfn))) {
	case PLACE_WHOLE:
		return zone_whole_state(m, pb_of(pfn), &state) && state == HVO_PAGE_POISONED ?
			       BAD_ASIDE :
			       BAD_IN_USE;
	case PLACE_MEMMAP:
		return slot_backing(m, vmemmap_slot_at_start(m, pfn)) == pfn ? BAD_IN_USE : BAD_OUT;
	case PLACE_CUT:
		return hvo_page_state(page_ro(m, pfn)) == HVO_PAGE_POISONED ? BAD_OUT : BAD_IN_USE;
	default:
		return BAD_IN_USE;
	}
}

/* Take one free frame of a cut pageblock, isolated or not, out of use. */
static void frag_out(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, unsigned int head,
		     unsigned int have)
{
	struct pageblock *b = pb_data(m, pb_of(pfn));
	struct update u = update_begin(m, z, b);

	frag_split(m, b, pb_start(pfn), head, have, pb_index(pfn), 0);
	frame_out(m, pfn);
	update_end(&u);
}

enum bad_place zone_take_bad(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn)
{
	enum pageblock_place place = pageblock_place(m, pb_of(pfn));
	hvo_pfn_t base = pb_start(pfn);
	unsigned int head, have;

	lock_assert_held(m, &z->lock);
	if (place == PLACE_CUT && frag_find(m, pfn, &head, &have))
		frag_out(m, z, pfn, head, have);
	else if (place == PLACE_WHOLE && (zone_take_free_pageblock(m, z, base) ||
					  hvo_page_state(page_ro(m, base)) == HVO_PAGE_ISOLATED))
		zone_set_aside(m, pb_of(pfn));
	return bad_place(m, pfn);
}

/* ---- collapse ------------------------------------------------------------------------------- */

unsigned int zone_take_collapsible(struct hvo_machine *m, struct zone *z, pb_t *pbs,
				   unsigned int max)
{
	unsigned int type, order, nr = 0;

	lock_assert_held(m, &z->lock);
	for (type = 0; type < MIGRATE_TYPES; type++) {
		for (order = 0; order < SMALL_ORDERS; order++) {
			uint32_t *head = &z->bins[type].head[BIN_COLLAPSIBLE][order];

			while (*head && nr < max) {
				pbs[nr] = pb_of_link(*head);
				set_busy(m, z, pb_data(m, pbs[nr++]), true);
			}
		}
	}
	return nr;
}

void zone_put_collapsible(struct hvo_machine *m, struct zone *z, pb_t pb)
{
	hvo_pfn_t pfn = pb_pfn(pb), end = pfn + HVO_PAGEBLOCK_FRAMES;

	lock_assert_held(m, &z->lock);
	set_busy(m, z, pb_data(m, pb), false);
	/* What failed meanwhile was out of reach. */
	while (badframe_in(m, pfn, end)) {
		pfn = badframe_next(m, pfn, end);
		(void)zone_take_bad(m, z, pfn++);
	}
}

void zone_collapsed(struct hvo_machine *m, struct zone *z, pb_t pb)
{
	struct pageblock *b = pb_data(m, pb);

	forget_cut(m, z, b);
	b->nr_free = 0;
	b->orders = 0;
	zone_end_flight(m, z);
	zone_put_whole(m, z, pb_pfn(pb), HVO_PAGEBLOCK_ORDER);
}

/* ---- what an isolated range still holds ------------------------------------------------------ */

/* Find the next block of a cut pageblock, from *@pfn up to @end, that is in the way. */
static bool next_in_cut(struct hvo_machine *m, hvo_pfn_t *pfn, hvo_pfn_t start, hvo_pfn_t end,
			struct in_way *ret)
{
	bool bad = badframe_in_block(m, pb_start(*pfn), HVO_PAGEBLOCK_ORDER);

	while (*pfn < end) {
		hvo_pfn_t head = *pfn;
		const struct hvo_page *page = page_step(m, pfn);

		*ret = (struct in_way){ head, hvo_page_state(page), page_flags(page), false };
		if (*pfn <= start || ret->state == HVO_PAGE_FREE || ret->state == HVO_PAGE_POISONED)
			continue;
		ret->own = ret->state == HVO_PAGE_MEMMAP && page_describes_itself(m, ret->head);
		if (!ret->own || !bad)
			return true;
	}
	return false;
}

bool zone_next_in_way(struct hvo_machine *m, hvo_pfn_t *pfn, hvo_pfn_t start, hvo_pfn_t end,
		      struct in_way *ret)
{
	enum pageblock_place place = pageblock_place(m, pb_of(*pfn));
	hvo_pfn_t next = pb_end(*pfn), head;

	if (place == PLACE_CUT)
		return next_in_cut(m, pfn, start, min_u64(end, next), ret);
	*ret = (struct in_way){ *pfn, HVO_PAGE_TAIL, 0, place == PLACE_COLLAPSING };
	if (place == PLACE_WHOLE || place == PLACE_MEMMAP) {
		head = order_start(*pfn, fold_order(m, *pfn));
		next = head + (UINT64_C(1) << fold_order(m, *pfn));
		*ret = (struct in_way){ head, hvo_page_state(page_ro(m, head)),
					page_flags(page_ro(m, head)), false };
	}
	*pfn = next;
	return ret->state != HVO_PAGE_ISOLATED && ret->state != HVO_PAGE_POISONED;
}

/* ---- hot-plug ------------------------------------------------------------------------------- */

void zone_close_pageblock(struct hvo_machine *m, struct zone *z, pb_t pb)
{
	unsigned int stays = PB_SELF | PB_CUT | PB_REPORTED;
	struct pageblock *b = pb_data(m, pb);
	hvo_pfn_t base = pb_pfn(pb);

	lock_assert_held(m, &z->lock);
	stays &= b->flags;
	if (stays & PB_CUT) {
		frags_drop(m, b, base);
		if (stays & PB_SELF)
			vmemmap_count(m, NULL, -(int64_t)pb_tails(m), 0);
		forget_cut(m, z, b);
	} else if (hvo_page_state(page_ro(m, base)) == HVO_PAGE_ISOLATED) {
		page_set_state(m, base, page_rw(m, base), HVO_PAGE_TAIL, 0);
	}
	b->flags = (uint8_t)stays;
	b->isolation = NOT_ISOLATED;
	z->nr_isolated--;
}

void zone_reopen_pageblock(struct hvo_machine *m, struct zone *z, pb_t pb)
{
	unsigned int flags = pb_data(m, pb)->flags & PB_SELF;
	hvo_pfn_t base = pb_pfn(pb), pfn, end;

	lock_assert_held(m, &z->lock);
	if (flags)
		vmemmap_count(m, NULL, pb_tails(m), 0);
	zone_open_pageblock(m, z, pb, 0, HVO_PAGEBLOCK_FRAMES, MIGRATE_MOVABLE, flags);
	for (pfn = base; pfn < base + HVO_PAGEBLOCK_FRAMES; pfn = end + 1) {
		for (end = pfn; end < base + HVO_PAGEBLOCK_FRAMES &&
				hvo_page_state(page_ro(m, end)) == HVO_PAGE_TAIL;)
			end++;
		if (end > pfn) {
			zone_count_freed(z, end - pfn);
			zone_put_range(m, z, pfn, end - pfn);
		}
	}
}
