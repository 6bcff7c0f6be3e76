// SPDX-License-Identifier: MIT
/*
 * What is true between any two steps of any threads; of what a lock protects, while nobody holds
 * that lock.
 *
 * What a reader without a lock sees is looked at at each step, what a lock protects when that is
 * released, and all of it when threads are switched.
 */
#include "between.h"

#include <string.h>

#include "core/base.h"
#include "core/page.h"
#include "core/zone_cut.h"
#include "race.h"

uint64_t world_backing(const struct world *w, uint64_t slot)
{
	uint64_t pte;

	if (table_layout(w->m))
		return w->m->table[slot] ? w->m->table[slot] - UINT64_C(1) : HVO_SHARED_TAIL;
	pte = hvo_mmu_lookup(&w->sim->mmu, HVO_SIM_VADDR + (slot << HVO_FRAME_SHIFT));
	return pte == w->sim->mmu.fill ? HVO_SHARED_TAIL : hvo_mmu_frame(pte);
}

const struct hvo_page *world_page(const struct world *w, hvo_pfn_t pfn)
{
	uint64_t frame;

	if (table_layout(w->m) && !pb_index(pfn))
		return &w->m->mm.heads[pb_of(pfn).nr];
	frame = world_backing(w, slot_of(w->m, pfn).nr);
	if (frame == HVO_SHARED_TAIL)
		frame = hvo_sim_tail_frame(w->sim);
	return (const struct hvo_page *)(const void *)hvo_sim_bytes(w->sim, frame) +
	       pfn % HVO_PAGES_PER_FRAME;
}

enum pageblock_place world_place(const struct world *w, uint64_t pb)
{
	unsigned int flags = w->m->pageblocks[pb].flags;

	if (flags & PB_CUT)
		return flags & PB_BUSY ? PLACE_COLLAPSING : PLACE_CUT;
	return w->m->fold[pb] ? PLACE_WHOLE : PLACE_CUTTING;
}

uint64_t world_frames(const struct hvo_page *page, hvo_pfn_t pfn)
{
	uint64_t nr = page_cut_frames(hvo_page_state(page), page_order(page));

	return pfn & (nr - 1) ? 1 : nr;
}

static bool is_free(const struct hvo_lock *lock)
{
	return !lock->word;
}

static const struct zone *zone_around(const struct world *w, hvo_pfn_t pfn)
{
	uint8_t zone = section_zone(w->m, pfn);

	return zone == ZONE_NONE ? NULL : zone_by_id(w->m, zone);
}

static bool failed(const struct world *w, hvo_pfn_t pfn)
{
	return w->m->bad[pfn / 64] >> pfn % 64 & 1;
}

static bool any_failed(const struct world *w, hvo_pfn_t pfn, uint64_t nr)
{
	hvo_pfn_t p = pfn;

	while (w->m->nr_bad && p < pfn + nr && !failed(w, p))
		p++;
	return w->m->nr_bad && p < pfn + nr;
}

/* ---- what a reader sees ---------------------------------------------------------------------- */

/* Does a larger block begin before this pageblock, folded as a whole? That is Linux's way. */
static bool folded_with_head(const struct world *w, uint64_t pb, uint8_t byte)
{
	unsigned int order = byte & HVO_FOLD_ORDER;

	return w->mode == HVO_LINUX && byte & HVO_FOLDED && order > HVO_PAGEBLOCK_ORDER &&
	       pb & ((UINT64_C(1) << (order - HVO_PAGEBLOCK_ORDER)) - 1);
}

/* Of the pages of descriptors of a pageblock: the first that is there only while it is cut. */
static unsigned int first_tail(const struct world *w)
{
	return w->mode == HVO_LINUX ? 1 : HVO_PAGEBLOCK_MEMMAP - pb_tails(w->m);
}

static void look_at_descriptors(const struct world *w, uint64_t pb, uint8_t byte)
{
	const uint32_t *behind = &w->behind[pb * HVO_PAGEBLOCK_MEMMAP];
	unsigned int i = first_tail(w);

	must(!i || folded_with_head(w, pb, byte) || behind[0] != NOTHING_BEHIND,
	     "BETWEEN-1: a head page that nothing backs", pb);
	for (; !(byte & HVO_FOLDED) && i < HVO_PAGEBLOCK_MEMMAP; i++)
		must(behind[i] != NOTHING_BEHIND,
		     "BETWEEN-1: a pageblock that is not folded, and has no descriptors", pb);
}

static bool is_zero(const struct world *w, uint64_t frame)
{
	static const uint8_t zero[HVO_FRAME_SIZE];

	return !memcmp(hvo_sim_bytes(w->sim, frame), zero, HVO_FRAME_SIZE);
}

/* A page that was not there is. To undo a call that failed brings back what was. */
static void look_at_content(const struct world *w, uint64_t q, uint64_t frame)
{
	must(is_zero(w, frame) || (frame == w->before[q] && w->sim->failing.failures),
	     "BETWEEN-4: descriptors that begin with something in them", frame);
}

static void look_at_frame(struct world *w, uint64_t frame)
{
	must(!(w->backs[frame / 8] >> frame % 8 & 1),
	     "BETWEEN-2: a frame backs two pages of descriptors", frame);
	w->backs[frame / 8] = (uint8_t)(w->backs[frame / 8] | 1u << frame % 8);
}

static size_t table_bytes(const struct world *w)
{
	return world_pageblocks(w) * HVO_PAGEBLOCK_MEMMAP * sizeof(*w->m->table);
}

/* Does something else back a page of descriptors than the last time? */
static bool is_remapped(const struct world *w)
{
	return w->looked_remaps != w->sim->remaps ||
	       (table_layout(w->m) && memcmp(w->looked_table, w->m->table, table_bytes(w)));
}

/* Mappings differ from those that were there the last time. */
static void look_at_mappings(struct world *w)
{
	uint64_t q, frame;

	memset(w->backs, 0, sizeof(w->backs));
	for (q = 0; q < world_pageblocks(w) * HVO_PAGEBLOCK_MEMMAP; q++) {
		frame = world_backing(w, slot_of(w->m, q * HVO_PAGES_PER_FRAME).nr);
		if (frame == HVO_SHARED_TAIL) {
			if (w->behind[q] != NOTHING_BEHIND)
				w->before[q] = w->behind[q];
			w->behind[q] = NOTHING_BEHIND;
			continue;
		}
		look_at_frame(w, frame);
		if (w->behind[q] == NOTHING_BEHIND)
			look_at_content(w, q, frame);
		w->behind[q] = (uint32_t)frame;
	}
}

/* BETWEEN-3: while nobody holds the zone's lock a pageblock is at one of its places. */
static void look_at_place(const struct world *w, uint64_t pb, uint8_t byte)
{
	const struct pageblock *b = &w->m->pageblocks[pb];
	unsigned int order = byte & HVO_FOLD_ORDER;

	must(!(byte & HVO_FOLDED) || order, "BETWEEN-3: folded, and no block", pb);
	must(!order || (order >= HVO_PAGEBLOCK_ORDER && order <= HVO_MAX_ORDER),
	     "BETWEEN-3: an order that no block has", pb);
	must(!(b->flags & PB_REPORTED) || world_place(w, pb) == PLACE_WHOLE,
	     "BETWEEN-3: cut, with the system", pb);
	must(!(b->flags & PB_CUT) || !byte || b->flags & PB_BUSY, "BETWEEN-3: cut and whole", pb);
	must(b->flags & PB_CUT || !(b->flags & (PB_BUSY | PB_SELF | PB_CARVED)),
	     "BETWEEN-3: flags of a cut pageblock on a whole one", pb);
}

/* ---- one whole block ------------------------------------------------------------------------- */

static void expect_shared(const struct world *w, hvo_pfn_t pfn, unsigned int order)
{
	uint64_t q = pfn / HVO_PAGES_PER_FRAME, nr = (UINT64_C(1) << order) / HVO_PAGES_PER_FRAME,
		 i;

	/* On-demand mode keeps the head page of each pageblock. */
	for (i = 1; i < nr; i++)
		if (w->mode == HVO_LINUX || i % 8)
			must(w->behind[q + i] == NOTHING_BEHIND,
			     "BETWEEN-7: a folded block with descriptors", pfn);
}

/* All parts of a block that nobody is changing say the same. */
static void look_at_settled(const struct world *w, hvo_pfn_t pfn, unsigned int order)
{
	uint8_t byte = w->m->fold[pb_of(pfn).nr];
	uint64_t pb;

	for (pb = pb_of(pfn).nr; pb < pb_of(pfn + (UINT64_C(1) << order)).nr; pb++)
		must(w->m->fold[pb] == byte, "BETWEEN-8: fold bytes of one block differ", pb);
	must(byte & HVO_FOLDED || w->mode == HVO_LINUX, "BETWEEN-7: a whole block is not folded",
	     pfn);
	if (byte & HVO_FOLDED)
		expect_shared(w, pfn, order);
}

static void look_at_free(const struct world *w, const struct hvo_page *page, hvo_pfn_t pfn,
			 unsigned int order)
{
	uint64_t pb;

	must(!page->refcount, "PAGE-2: somebody holds what is free", pfn);
	must(page->order == order, "FOLD-2: order of a free block", pfn);
	must(!any_failed(w, pfn, UINT64_C(1) << order), "POISON-1: a frame that failed is free",
	     pfn);
	must(w->mode == HVO_ON_DEMAND || !(w->m->fold[pb_of(pfn).nr] & HVO_FOLDED),
	     "BETWEEN-7: free and folded, in Linux mode", pfn);
	for (pb = pb_of(pfn).nr; pb < pb_of(pfn + (UINT64_C(1) << order)).nr; pb++)
		must(!w->m->pageblocks[pb].isolation == (page->state == HVO_PAGE_FREE),
		     "ZONE-4: free memory is not isolated, isolated memory is apart", pb);
	look_at_settled(w, pfn, order);
}

/* ---- one zone, under its lock ---------------------------------------------------------------- */

struct tally {
	uint64_t free, cut, in_flight, isolated, by_user, collapsible, served;
	uint64_t whole[WHOLE_ORDERS], serving[MIGRATE_TYPES], frags[MIGRATE_TYPES][SMALL_ORDERS];
};

static void tally_whole(const struct world *w, uint64_t pb, struct tally *t)
{
	unsigned int order = w->m->fold[pb] & HVO_FOLD_ORDER;
	hvo_pfn_t pfn = pb << HVO_PAGEBLOCK_ORDER;
	const struct hvo_page *page;

	if (pfn != order_start(pfn, order))
		return;
	page = world_page(w, pfn);
	switch (hvo_page_state(page)) {
	case HVO_PAGE_FREE:
		t->free += UINT64_C(1) << order;
		t->whole[order - HVO_PAGEBLOCK_ORDER]++;
		look_at_free(w, page, pfn, order);
		break;
	case HVO_PAGE_ISOLATED:
		look_at_free(w, page, pfn, order);
		break;
	case HVO_PAGE_USED:
		/* Else it is just being split, or moved. */
		if (hvo_page_refs(page) && page->order == order)
			look_at_settled(w, pfn, order);
		break;
	default:
		break;
	}
}

/* The free frames of a cut pageblock, by its lists. */
static uint64_t listed(const struct world *w, uint64_t pb, uint64_t *ret_frags)
{
	const struct pageblock *b = &w->m->pageblocks[pb];
	hvo_pfn_t base = pb << HVO_PAGEBLOCK_ORDER;
	const struct hvo_page *page;
	uint64_t nr = 0;
	unsigned int o;
	uint32_t at;

	for (o = 0; o < SMALL_ORDERS; o++) {
		ret_frags[o] = 0;
		must(!b->free_head[o] == !(b->orders >> o & 1), "BLOCK-2: orders of a cut block",
		     pb);
		for (at = b->free_head[o]; at && nr <= HVO_PAGEBLOCK_FRAMES; at = page->next) {
			page = world_page(w, base + at - 1);
			must(page->state == HVO_PAGE_FREE && page->order == o && !page->refcount,
			     "BLOCK-2: not free, and on a list", base + at - 1);
			must(!any_failed(w, base + at - 1, UINT64_C(1) << o),
			     "POISON-1: a frame that failed is free", base + at - 1);
			ret_frags[o]++;
			nr += UINT64_C(1) << o;
		}
	}
	return nr;
}

static uint64_t free_by_descriptors(const struct world *w, uint64_t pb)
{
	hvo_pfn_t pfn = pb << HVO_PAGEBLOCK_ORDER, end = pfn + HVO_PAGEBLOCK_FRAMES;
	const struct hvo_page *page;
	uint64_t nr, free = 0;

	for (; pfn < end; pfn += nr) {
		page = world_page(w, pfn);
		nr = world_frames(page, pfn);
		free += hvo_page_state(page) == HVO_PAGE_FREE ? nr : 0;
	}
	return free;
}

/* A pageblock with PB_SELF has its tails in frames of its own, wherever they are. */
static void look_at_own(const struct world *w, uint64_t pb)
{
	unsigned int i;

	for (i = first_tail(w); i < HVO_PAGEBLOCK_MEMMAP; i++)
		must(w->behind[pb * HVO_PAGEBLOCK_MEMMAP + i] >> HVO_PAGEBLOCK_ORDER == pb,
		     "BLOCK-1: tails of PB_SELF elsewhere", pb);
}

static void tally_cut(const struct world *w, uint64_t pb, struct tally *t)
{
	const struct pageblock *b = &w->m->pageblocks[pb];
	uint64_t frags[SMALL_ORDERS], nr = listed(w, pb, frags);
	unsigned int o;

	must(nr == b->nr_free, "BLOCK-1: free frames of a cut block", pb);
	must(free_by_descriptors(w, pb) == nr, "BLOCK-2: free, and on no list", pb);
	must(w->mode == HVO_ON_DEMAND || b->isolation || nr < HVO_PAGEBLOCK_FRAMES,
	     "BLOCK-3: a cut block is free as a whole", pb);
	if (b->flags & PB_SELF)
		look_at_own(w, pb);
	if (b->isolation) {
		must(!b->next && !b->prev, "ZONE-4: isolated, and in a bin", pb);
		return;
	}
	t->free += nr;
	t->serving[b->migratetype]++;
	t->served += nr != 0;
	t->collapsible += pageblock_collapsible(w->m, b);
	for (o = 0; o < SMALL_ORDERS; o++)
		t->frags[b->migratetype][o] += frags[o];
}

static void tally_pageblock(const struct world *w, uint64_t pb, struct tally *t)
{
	const struct pageblock *b = &w->m->pageblocks[pb];
	enum pageblock_place place = world_place(w, pb);

	look_at_place(w, pb, w->m->fold[pb]);
	t->isolated += b->isolation != NOT_ISOLATED;
	t->by_user += b->isolation == ISOLATED_BY_USER;
	t->cut += place == PLACE_CUT || place == PLACE_COLLAPSING;
	/* Who cuts what is isolated is who isolated it; who carves has the memmap lock. */
	t->in_flight += place == PLACE_COLLAPSING ||
			(place == PLACE_CUTTING && !b->isolation && is_free(&w->m->memmap_lock));
	if (place == PLACE_WHOLE)
		tally_whole(w, pb, t);
	else if (place == PLACE_CUT)
		tally_cut(w, pb, t);
}

static void look_at_whole_lists(const struct world *w, const struct zone *z, const struct tally *t)
{
	const struct hvo_page *page;
	unsigned int o;
	uint64_t nr;
	uint32_t at;

	for (o = 0; o < WHOLE_ORDERS; o++) {
		nr = 0;
		for (at = z->whole[o]; at && nr <= t->whole[o]; at = page->next, nr++) {
			page = world_page(w, pb_pfn(pb_of_link(at)));
			must(page->state == HVO_PAGE_FREE && page->order == o + HVO_PAGEBLOCK_ORDER,
			     "ZONE-3: not free, and on a list", at);
		}
		must(nr == t->whole[o] && nr == z->nr_whole[o], "ZONE-3: blocks on a free list", o);
	}
}

static uint64_t members(const struct world *w, const struct zone *z, unsigned int type,
			unsigned int bin)
{
	const struct pageblock *b;
	unsigned int o;
	uint64_t nr = 0;
	uint32_t at;

	for (o = 0; o < SMALL_ORDERS; o++) {
		at = z->bins[type].head[bin][o];
		must(!at == !(z->bins[type].orders[bin] >> o & 1), "BIN-1: bin is marked", bin);
		for (; at && nr <= world_pageblocks(w); at = b->next, nr++) {
			b = &w->m->pageblocks[at - 1];
			must(pageblock_serves(b) && b->migratetype == type && b->orders >> o == 1 &&
				     bin == (pageblock_collapsible(w->m, b) ?
						     BIN_COLLAPSIBLE :
						     b->nr_free >> BIN_SHIFT),
			     "BIN-1: in a bin that is not its own", at - 1);
		}
	}
	return nr;
}

static void look_at_bins(const struct world *w, const struct zone *z, const struct tally *t)
{
	unsigned int type, bin;
	uint64_t nr = 0;

	for (type = 0; type < MIGRATE_TYPES; type++)
		for (bin = 0; bin < NR_BINS; bin++)
			nr += members(w, z, type, bin);
	must(nr == t->served, "BIN-1: free frames, and in no bin", z->start);
	must(!memcmp(t->serving, z->nr_serving, sizeof(t->serving)),
	     "ZONE-6: cut blocks of a type that serve", z->start);
	must(!memcmp(t->frags, z->nr_frags, sizeof(t->frags)), "ZONE-6: free fragments", z->start);
	must(t->collapsible == z->nr_collapsible, "BIN-1: blocks that may collapse", z->start);
}

static void look_at_zone(const struct world *w, const struct zone *z)
{
	struct tally t = { 0 };
	uint64_t pb;

	for (pb = 0; pb < world_pageblocks(w); pb++)
		if (zone_has(w->m, z, pb << HVO_PAGEBLOCK_ORDER))
			tally_pageblock(w, pb, &t);
	must(t.in_flight <= z->in_flight, "BETWEEN-9: being cut or collapsed, and not in flight",
	     z->start);
	must(t.free == z->nr_free, "ZONE-1: free frames", z->start);
	must(t.cut == z->nr_cut, "ZONE-2: cut blocks", z->start);
	must(t.isolated == z->nr_isolated && t.by_user == z->nr_isolated_by_user,
	     "ZONE-4: isolated blocks", z->start);
	look_at_whole_lists(w, z, &t);
	look_at_bins(w, z, &t);
}

/* ---- descriptors ------------------------------------------------------------------------------- */

/* What a frame is that backs a page of descriptors. */
static void look_at_backing(const struct world *w, uint64_t q, hvo_pfn_t frame)
{
	uint64_t pb = pb_of(frame).nr;
	const struct hvo_page *page;

	switch (world_place(w, pb)) {
	case PLACE_WHOLE:
		page = world_page(w, order_start(frame, w->m->fold[pb] & HVO_FOLD_ORDER));
		/* Just being cut, or carved. */
		must(page->state == HVO_PAGE_MEMMAP || page->state == HVO_PAGE_TAKEN,
		     "BETWEEN-10: a frame behind the array is in a block of something else", frame);
		break;
	case PLACE_CUT:
		page = world_page(w, frame);
		must(page->state == HVO_PAGE_MEMMAP,
		     "BETWEEN-10: a frame behind the array is something else", frame);
		must(page->private_data[0] == slot_of(w->m, q * HVO_PAGES_PER_FRAME).nr,
		     "BETWEEN-10: a frame behind the array says another page", frame);
		break;
	default:
		break;
	}
}

/* Is a frame free, for anybody who takes its zone's lock? */
static bool frame_free(const struct world *w, hvo_pfn_t pfn)
{
	uint64_t pb = pb_of(pfn).nr;
	const struct zone *z = zone_around(w, pfn);
	enum hvo_page_state state;
	const struct hvo_page *page;
	unsigned int o;

	if (!z || !is_free(&z->lock))
		return false;
	if (world_place(w, pb) == PLACE_WHOLE) {
		state = world_page(w, order_start(pfn, w->m->fold[pb] & HVO_FOLD_ORDER))->state;
		return state == HVO_PAGE_FREE || state == HVO_PAGE_ISOLATED;
	}
	for (o = 0; world_place(w, pb) == PLACE_CUT && o < SMALL_ORDERS; o++) {
		page = world_page(w, order_start(pfn, o));
		if (page->state == HVO_PAGE_FREE)
			return page->order >= o;
	}
	return false;
}

/* While a flush is owed a CPU may still go where the tables have moved on from. */
static void look_at_tlbs(const struct world *w)
{
	const struct hvo_sim_tlb_entry *e = w->sim->tlb, *end = e;
	uint64_t pte;

	end += w->sim->opt.tlb_entries * (SCHED_THREADS + 1);
	for (; w->sim->threads_owing && e < end; e++) {
		if (!e->page || e->flushes != w->sim->flushes || e->remaps == w->sim->remaps)
			continue;
		pte = hvo_mmu_lookup(&w->sim->mmu,
				     HVO_SIM_VADDR + ((e->page - 1) << HVO_FRAME_SHIFT));
		must(pte == e->pte || hvo_mmu_frame(e->pte) >= w->sim->nr_frames ||
			     !frame_free(w, hvo_mmu_frame(e->pte)),
		     "BETWEEN-6: a TLB shows a frame that is free", hvo_mmu_frame(e->pte));
	}
}

static void look_at_readers(const struct world *w)
{
	const struct hvo_sim_reading *r;
	unsigned int t, i;

	for (t = 0; t < SCHED_THREADS; t++) {
		r = &w->sim->reading[t];
		if (!r->nr || r->section != sched_section(w->sched, t))
			continue;
		for (i = 0; i < r->nr && i < HVO_SIM_READ_FRAMES; i++)
			must(!frame_free(w, r->frames[i]),
			     "BETWEEN-5: free, and a reader has descriptors there", r->frames[i]);
	}
}

/* ---- sections ---------------------------------------------------------------------------------- */

/* Offline memory, under the memmap lock: nobody has any of it. */
static void look_at_offline(const struct world *w, uint64_t pb)
{
	const struct pageblock *b = &w->m->pageblocks[pb];
	hvo_pfn_t pfn = pb << HVO_PAGEBLOCK_ORDER, end = pfn + HVO_PAGEBLOCK_FRAMES;
	enum hvo_page_state state;

	must(!b->isolation, "BETWEEN-13: offline and isolated", pb);
	must((w->m->fold[pb] & HVO_FOLD_ORDER) == (b->flags & PB_CUT ? 0 : HVO_PAGEBLOCK_ORDER),
	     "BETWEEN-13: fold byte of offline memory", pb);
	look_at_descriptors(w, pb, w->m->fold[pb]);
	for (; pfn < end; pfn++) {
		state = hvo_page_state(world_page(w, pfn));
		must(state == HVO_PAGE_TAIL || state == HVO_PAGE_POISONED ||
			     (state == HVO_PAGE_MEMMAP && b->flags & PB_CUT),
		     "BETWEEN-13: somebody has offline memory", pfn);
		must(!world_page(w, pfn)->refcount, "BETWEEN-13: somebody holds offline memory",
		     pfn);
	}
}

static void look_at_sections(const struct world *w)
{
	const struct section *s;
	uint64_t pb;

	for (pb = 0; pb < world_pageblocks(w); pb++) {
		s = section_of(w->m, pb << HVO_PAGEBLOCK_ORDER);
		must((s->state == HVO_SECTION_ONLINE) == (s->zone != ZONE_NONE),
		     "BETWEEN-13: a section that is online is in a zone", pb);
		if (s->state == HVO_SECTION_OFFLINE)
			look_at_offline(w, pb);
	}
}

/* ---- pools --------------------------------------------------------------------------------------- */

static uint64_t on_list(const struct world *w, const struct hvo_pool *pool,
			const struct pool_node *n)
{
	const struct hvo_page *page;
	uint64_t nr = 0;
	uint32_t at;

	for (at = n->free_list; at && nr <= n->free; at = page->next, nr++) {
		page = world_page(w, pb_pfn(pb_of_link(at)));
		must(page->state == HVO_PAGE_HUGETLB_FREE && page->order == pool->order,
		     "POOL-3: not free, and on the list", at);
		must(!page->refcount, "PAGE-2: somebody holds what is free", at);
	}
	return nr;
}

/* Pages that left the pool, and wait for hvo_work(). */
static void look_at_deferred(const struct world *w, const struct hvo_pool *pool)
{
	const struct hvo_page *page;
	uint64_t nr = 0;
	uint32_t at;

	for (at = pool->deferred.first; at && nr <= pool->deferred.nr; at = page->next, nr++) {
		page = world_page(w, pb_pfn(pb_of_link(at)));
		must(page->state == HVO_PAGE_TAKEN && page->flags & HVO_PF_DEFERRED,
		     "POOL-5: waits to be freed, and does not say so", at);
	}
	must(nr == pool->deferred.nr, "POOL-5: pages that wait to be freed", pool->order);
}

/* Under the pool's lock. */
static void look_at_pool(const struct world *w, const struct hvo_pool *pool)
{
	uint64_t listed_pages = 0, free = 0, bad = 0;
	const struct pool_node *n = pool->nodes;

	for (; n < pool->nodes + w->m->cfg.nr_nodes; n++) {
		listed_pages += on_list(w, pool, n);
		free += n->free;
		bad += n->poisoned_free;
		must(n->surplus + n->incoming <= n->total && n->free <= n->total &&
			     n->poisoned <= n->total && n->poisoned_free <= n->free &&
			     n->optimized <= n->total,
		     "POOL-2: more of a kind than there are", pool->order);
	}
	look_at_deferred(w, pool);
	must(free == listed_pages + pool->in_flight,
	     "BETWEEN-11: free, and neither on the list nor in flight", pool->order);
	must(w->m->nr_bad || pool->reserved <= free - bad,
	     "BETWEEN-12: what is reserved is not there", pool->order);
}

/* ---- what the memmap lock protects -------------------------------------------------------------- */

/* Huge pages are folded or present, as they say; returns 1 for one that says it is folded. */
static uint64_t look_at_huge(const struct world *w, uint64_t pb)
{
	hvo_pfn_t pfn = pb << HVO_PAGEBLOCK_ORDER;
	uint8_t byte = w->m->fold[pb];
	const struct hvo_page *page;
	bool says;

	if (world_place(w, pb) != PLACE_WHOLE || pfn != order_start(pfn, byte & HVO_FOLD_ORDER))
		return 0;
	page = world_page(w, pfn);
	if (page->state != HVO_PAGE_HUGETLB_FREE && page->state != HVO_PAGE_HUGETLB_USED)
		return 0;
	says = page->flags & HVO_PF_OPTIMIZED;
	must(w->mode == HVO_ON_DEMAND || !(byte & HVO_FOLDED) == !says,
	     "BETWEEN-7: a huge page is folded, and does not say so", pfn);
	look_at_settled(w, pfn, byte & HVO_FOLD_ORDER);
	return says;
}

static void look_under_memmap_lock(const struct world *w)
{
	const struct hvo_pool *pool;
	uint64_t pb, folded = 0;

	must(!w->counted[HAND_HELD] && !(w->m->move_seq & 1),
	     "BETWEEN-14: descriptors are on the move", w->m->move_seq);
	for (pb = 0; pb < world_pageblocks(w); pb++)
		if (frame_online(w->m, pb << HVO_PAGEBLOCK_ORDER))
			folded += look_at_huge(w, pb);
	for (pool = w->m->pools; pool < w->m->pools + HVO_MAX_POOLS; pool++) {
		must(!pool->in_flight, "BETWEEN-11: a page is hidden", pool->order);
		folded -= pool->nodes[0].optimized;
	}
	/* Those that are counted before they join say so, too. */
	must(!folded || w->counted[HAND_JOINING], "POOL-4: folded pages", folded);
	look_at_sections(w);
}

/* ---- what the system has ------------------------------------------------------------------------- */

/* The platform has discarded it: its content is with the system, or in a hand for a moment. */
static void look_at_discarded(const struct world *w, hvo_pfn_t pfn)
{
	uint64_t pb = pb_of(pfn).nr;
	const struct hvo_page *page =
		world_page(w, order_start(pfn, w->m->fold[pb] & HVO_FOLD_ORDER));
	bool reported = w->m->pageblocks[pb].flags & PB_REPORTED;

	must(world_place(w, pb) == PLACE_WHOLE &&
		     (page->state == HVO_PAGE_TAKEN ||
		      (reported &&
		       (page->state == HVO_PAGE_FREE || page->state == HVO_PAGE_ISOLATED ||
			page->state == HVO_PAGE_POISONED))),
	     "BETWEEN-16: somebody uses what the system has", pfn);
}

static void look_at_system(const struct world *w)
{
	uint64_t nr = 0;
	const struct zone *z;
	hvo_pfn_t pfn;

	for (pfn = 0; pfn < w->m->mm.nr_frames; pfn += HVO_PAGEBLOCK_FRAMES) {
		z = zone_around(w, pfn);
		if (z && !is_free(&z->lock))
			return;
		if (w->m->pageblocks[pb_of(pfn).nr].flags & PB_REPORTED)
			nr += HVO_PAGEBLOCK_FRAMES;
		if (z && w->sim->discarded[pfn / 8] & 1)
			look_at_discarded(w, pfn);
	}
	must(nr == w->m->reported, "REPORT-1: frames that are with the system", nr);
}

/* ---- at a step, and at a switch -------------------------------------------------------------------- */

/* Is a zone, or a pageblock of it, not as it was? */
static bool is_changed(struct world *w, const struct zone *z)
{
	size_t size = sizeof(*w->m->pageblocks);
	bool is = memcmp(&w->looked_zones[z->id], z, sizeof(*z));
	uint64_t pb, nr = world_pageblocks(w);

	if (is)
		w->looked_zones[z->id] = *z;
	if (!memcmp(w->looked_pageblocks, w->m->pageblocks, nr * size))
		return is;
	for (pb = 0; pb < nr; pb++) {
		if (!zone_has(w->m, z, pb << HVO_PAGEBLOCK_ORDER) ||
		    !memcmp(&w->looked_pageblocks[pb], &w->m->pageblocks[pb], size))
			continue;
		w->looked_pageblocks[pb] = w->m->pageblocks[pb];
		is = true;
	}
	return is;
}

/* Zones and pools that nobody has the lock of; @all: those, too, that are as they were. */
static void look_at_unlocked(struct world *w, bool all)
{
	struct hvo_machine *m = w->m;
	const struct zone *z;
	unsigned int i;

	/* There is one node. */
	for (i = 0; i < HVO_NR_ZONES; i++) {
		z = zone_by_id(m, (uint8_t)i);
		if (!is_free(&z->lock) || (!is_changed(w, z) && !all))
			continue;
		look_at_zone(w, z);
		look_at_tlbs(w);
		look_at_readers(w);
	}
	for (i = 0; i < HVO_MAX_POOLS; i++)
		if (m->pools[i].order && is_free(&m->pools[i].lock))
			look_at_pool(w, &m->pools[i]);
}

/* Descriptors, or fold bytes, are not as they were. */
static void look_for_readers(struct world *w)
{
	uint64_t pb, nr = world_pageblocks(w);
	const struct zone *z;

	if (is_remapped(w))
		look_at_mappings(w);
	for (pb = 0; pb < nr; pb++) {
		z = zone_around(w, pb << HVO_PAGEBLOCK_ORDER);
		if (!z)
			continue;
		look_at_descriptors(w, pb, w->m->fold[pb]);
		if (is_free(&z->lock))
			look_at_place(w, pb, w->m->fold[pb]);
	}
	w->looked_remaps = w->sim->remaps;
	if (table_layout(w->m))
		memcpy(w->looked_table, w->m->table, table_bytes(w));
	memcpy(w->looked_fold, w->m->fold, nr);
}

static void look_between(struct world *w)
{
	if (is_remapped(w) || memcmp(w->looked_fold, w->m->fold, world_pageblocks(w)))
		look_for_readers(w);
	if (w->looked_unlocks != sched_unlocks(w->sched))
		look_at_unlocked(w, false);
	if (w->locked && is_free(&w->m->memmap_lock)) {
		hands_count(w);
		look_under_memmap_lock(w);
	}
	w->looked_unlocks = sched_unlocks(w->sched);
	w->locked = !is_free(&w->m->memmap_lock);
}

void world_between(void *arg)
{
	race_pause(true);
	look_between(arg);
	race_pause(false);
}

void world_switch(void *arg)
{
	struct world *w = arg;
	uint64_t q;

	race_pause(true);
	look_between(w);
	hands_count(w);
	look_at_unlocked(w, true);
	if (is_free(&w->m->memmap_lock))
		look_under_memmap_lock(w);
	for (q = 0; q < world_pageblocks(w) * HVO_PAGEBLOCK_MEMMAP; q++)
		if (w->behind[q] != NOTHING_BEHIND && frame_online(w->m, w->behind[q]))
			look_at_backing(w, q, w->behind[q]);
	look_at_system(w);
	race_pause(false);
}
