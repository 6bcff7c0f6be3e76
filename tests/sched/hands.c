// SPDX-License-Identifier: MIT
/*
 * What is in the hands of a thread: blocks that it took and did not hand out or give back yet,
 * pageblocks that it is changing, counts that say so to others. Between two switches only one
 * thread runs, so what changes is that thread's doing; at the end of its operation all is as it was.
 */
#include "between.h"

#include <stdio.h>
#include <string.h>

#include "core/base.h"

static const char *const names[NR_HANDS] = {
	[HAND_FLIGHT] = "in_flight of a zone",
	[HAND_HIDDEN] = "in_flight of a pool",
	[HAND_INCOMING] = "pages that are incoming",
	[HAND_JOINING] = "pages counted, and in no pool",
	[HAND_ISOLATED] = "pageblocks isolated by the library",
	[HAND_TAKEN] = "frames taken",
	[HAND_FROZEN] = "frames of blocks frozen",
	[HAND_CHANGING] = "pageblocks being cut or collapsed",
	[HAND_SPLIT] = "pageblocks whose head has another order",
	[HAND_UNMAPPED] = "descriptor frames that back nothing",
	[HAND_UNCOUNTED] = "descriptor frames that are not counted",
	[HAND_HELD] = "blocks with HOLD set",
	[HAND_AREA] = "frames of CMA areas that no block says",
	[HAND_MOVING] = "blocks on the move",
	[HAND_CALLS] = "calls of an owner",
};

static void count_used(int64_t *now, const struct hvo_page *page, int64_t nr)
{
	now[HAND_FROZEN] += hvo_page_refs(page) ? 0 : nr;
	now[HAND_HELD] += page->refcount & HVO_HOLD || page->mapcount & HVO_HOLD;
}

static void count_whole(const struct world *w, uint64_t pb, int64_t *now)
{
	unsigned int order = w->m->fold[pb] & HVO_FOLD_ORDER;
	hvo_pfn_t pfn = pb << HVO_PAGEBLOCK_ORDER, head = order_start(pfn, order);
	const struct hvo_page *page = world_page(w, head);
	enum hvo_page_state state = hvo_page_state(page);
	int64_t nr = INT64_C(1) << order;

	now[HAND_SPLIT] += page->order != order;
	if (head != pfn)
		return;
	if (state == HVO_PAGE_TAKEN && !(page->flags & HVO_PF_DEFERRED))
		now[HAND_TAKEN] += nr;
	if (state == HVO_PAGE_USED || state == HVO_PAGE_HUGETLB_USED)
		count_used(now, page, nr);
	now[HAND_AREA] -= page->flags & HVO_PF_CMA ? nr : 0;
	now[HAND_JOINING] -= state == HVO_PAGE_HUGETLB_FREE || state == HVO_PAGE_HUGETLB_USED;
}

static void count_cut(const struct world *w, uint64_t pb, int64_t *now)
{
	hvo_pfn_t pfn = pb << HVO_PAGEBLOCK_ORDER, end = pfn + HVO_PAGEBLOCK_FRAMES;
	const struct hvo_page *page;
	uint64_t nr;

	for (; pfn < end; pfn += nr) {
		page = world_page(w, pfn);
		nr = world_frames(page, pfn);
		now[HAND_AREA] -= page->flags & HVO_PF_CMA ? (int64_t)nr : 0;
		if (hvo_page_state(page) == HVO_PAGE_TAKEN)
			now[HAND_TAKEN] += (int64_t)nr;
		else if (hvo_page_state(page) == HVO_PAGE_USED)
			count_used(now, page, (int64_t)nr);
		else if (hvo_page_state(page) == HVO_PAGE_MEMMAP)
			now[HAND_UNMAPPED]++;
	}
}

static void count_pageblock(const struct world *w, uint64_t pb, int64_t *now)
{
	const struct pageblock *b = &w->m->pageblocks[pb];

	now[HAND_ISOLATED] += b->isolation && b->isolation != ISOLATED_BY_USER;
	switch (world_place(w, pb)) {
	case PLACE_WHOLE:
		count_whole(w, pb, now);
		break;
	case PLACE_CUT:
		count_cut(w, pb, now);
		break;
	default:
		now[HAND_CHANGING]++;
	}
}

static void count_pools(const struct world *w, int64_t *now)
{
	const struct hvo_pool *pool = w->m->pools;
	uint32_t n;

	for (; pool < w->m->pools + HVO_MAX_POOLS; pool++) {
		now[HAND_HIDDEN] += (int64_t)pool->in_flight;
		for (n = 0; n < w->m->cfg.nr_nodes; n++) {
			now[HAND_INCOMING] += (int64_t)pool->nodes[n].incoming;
			now[HAND_JOINING] += (int64_t)pool->nodes[n].total;
		}
	}
}

static void count(const struct world *w, int64_t *now)
{
	const struct hvo_machine *m = w->m;
	uint64_t pb, q;
	uint32_t n, t;

	memset(now, 0, NR_HANDS * sizeof(*now));
	for (n = 0; n < m->cfg.nr_nodes; n++)
		for (t = 0; t < HVO_NR_ZONES; t++)
			now[HAND_FLIGHT] += m->nodes[n].zones[t].in_flight;
	for (pb = 0; pb < world_pageblocks(w); pb++)
		if (frame_online(m, pb << HVO_PAGEBLOCK_ORDER))
			count_pageblock(w, pb, now);
	/* Frames in whole blocks, and in those that are changing, are not among these. */
	now[HAND_UNCOUNTED] = now[HAND_UNMAPPED] - (int64_t)(m->memmap + m->memmap_boot);
	for (q = 0; q < world_pageblocks(w) * HVO_PAGEBLOCK_MEMMAP; q++)
		if (w->behind[q] != NOTHING_BEHIND && frame_online(m, w->behind[q]) &&
		    world_place(w, pb_of(w->behind[q]).nr) == PLACE_CUT)
			now[HAND_UNMAPPED]--;
	count_pools(w, now);
	for (n = 0; n < m->nr_cmas; n++)
		now[HAND_AREA] += (int64_t)m->cmas[n].used;
	for (n = 0; n < NR_MIGRATING; n++)
		now[HAND_MOVING] += m->migrating[n] != 0;
	for (n = 0; n < HVO_MAX_OWNERS; n++)
		now[HAND_CALLS] += m->owners[n].calls;
}

void hands_begin(struct world *w)
{
	count(w, w->counted);
	memset(w->hands, 0, sizeof(w->hands));
}

void hands_count(struct world *w)
{
	int64_t now[NR_HANDS], *hands;
	unsigned int i;

	if (!sched_self())
		return;
	hands = w->hands[sched_self() - 1];
	count(w, now);
	for (i = 0; i < NR_HANDS; i++) {
		hands[i] += now[i] - w->counted[i];
		w->counted[i] = now[i];
	}
}

void hands_end(struct world *w, unsigned int thread)
{
	char text[120];
	unsigned int i;

	must(!hvo_sim_owes_flush(w->sim), "END-1: a flush is owed at the end", 0);
	must(!sched_held(w->sched, thread), "END-2: a lock is held at the end", 0);
	must(!sched_section(w->sched, thread), "END-2: still in a reader's section", 0);
	world_switch(w);
	for (i = 0; i < NR_HANDS; i++) {
		if (!w->hands[thread][i])
			continue;
		snprintf(text, sizeof(text), "END-6: left at the end: %s", names[i]);
		world_wrong(text, (uint64_t)w->hands[thread][i]);
	}
}
