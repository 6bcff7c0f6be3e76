// SPDX-License-Identifier: MIT
/*
 * States that a world is prepared in. The pageblock T is what operations are about; in most states
 * all the rest of ZONE_MOVABLE is held, so that what they want is T or nothing.
 */
#include <string.h>

#include "ops.h"

static struct block *take(struct world *w, unsigned int gfp, unsigned int order)
{
	hvo_pfn_t pfn = HVO_PFN_NONE;

	must(!hvo_alloc_pages(w->m, gfp | HVO_GFP_NOWARN, order, ANY, &pfn),
	     "a state cannot be prepared", order);
	return world_hold(w, pfn, UINT64_C(1) << order, false);
}

static void free_t(struct world *w)
{
	hvo_pfn_t pfn = 0;

	for (;;) {
		if (hvo_alloc_pages(w->m, HVO_GFP_MOVABLE | HVO_GFP_NOWARN, HVO_PAGEBLOCK_ORDER,
				    ANY, &pfn))
			break;
		if (pfn < NORMAL_END) {
			(void)hvo_put_page(w->m, pfn);
			break;
		}
		world_hold(w, pfn, HVO_PAGEBLOCK_FRAMES, false);
	}
	world_put(w, world_at(w, T));
}

/* One place where a block can move to. */
static void give_room(struct world *w)
{
	world_put(w, world_at(w, T + HVO_PAGEBLOCK_FRAMES * 2));
}

static void own(struct world *w, struct block *b)
{
	must(!hvo_set_owner(w->m, b->pfn, w->owner_id), "hvo_set_owner()", b->pfn);
	b->owned = w->owner_id;
}

static void held_t(struct world *w)
{
	free_t(w);
	must(take(w, HVO_GFP_MOVABLE, HVO_PAGEBLOCK_ORDER)->pfn == T, "T is not T", T);
}

static void owned_t(struct world *w)
{
	held_t(w);
	own(w, world_at(w, T));
	give_room(w);
}

/* T is cut for a small block, which is returned. */
static struct block *piece_of_t(struct world *w)
{
	struct block *b;

	free_t(w);
	b = take(w, HVO_GFP_MOVABLE, 1);
	must(b->pfn - T < HVO_PAGEBLOCK_FRAMES, "T is not cut", b->pfn);
	return b;
}

/* T is cut, with a small block in it, which can move. */
static void cut_t(struct world *w)
{
	own(w, piece_of_t(w));
	give_room(w);
}

static void collapsible_t(struct world *w)
{
	world_put(w, piece_of_t(w));
}

/* Cut, and descriptors of the parts lie elsewhere. */
static void split_t(struct world *w)
{
	held_t(w);
	must(!hvo_split_page(w->m, T, PART_ORDER), "hvo_split_page()", T);
	world_split(w, world_at(w, T), PART_ORDER);
	world_put(w, world_at(w, T + HVO_PAGEBLOCK_FRAMES / 4));
	world_put(w, world_at(w, T + HVO_PAGEBLOCK_FRAMES / 2));
}

/* Nothing at all is left but T. */
static void full(struct world *w)
{
	hvo_pfn_t pfn = 0;
	unsigned int order;

	free_t(w);
	must(!hvo_isolate_range(w->m, T, T_END), "hvo_isolate_range()", T);
	for (order = HVO_PAGEBLOCK_ORDER + 1; order--;)
		while (!hvo_alloc_pages(w->m, HVO_GFP_MOVABLE | HVO_GFP_MEMALLOC | HVO_GFP_NOWARN,
					order, ANY, &pfn))
			world_hold(w, pfn, UINT64_C(1) << order, false);
	must(!hvo_unisolate_range(w->m, T, T_END), "hvo_unisolate_range()", T);
}

static void isolated_t(struct world *w)
{
	cut_t(w);
	must(!hvo_isolate_range(w->m, T, T_END), "hvo_isolate_range()", T);
	w->isolated = true;
}

static void reported_t(struct world *w)
{
	free_t(w);
	must(hvo_report_free(w->m, ANY, HVO_PAGEBLOCK_ORDER, UINT64_MAX, NULL) > 0,
	     "hvo_report_free()", 0);
}

static void make_pool(struct world *w)
{
	must(!hvo_pool_create(w->m, HVO_PAGEBLOCK_ORDER, &w->pool), "hvo_pool_create()", 0);
}

static void pool_of_t(struct world *w)
{
	free_t(w);
	make_pool(w);
	must(!hvo_pool_resize(w->pool, ANY, 1, NULL), "hvo_pool_resize()", 1);
	must(hvo_page_head(hvo_machine_memmap(w->m), T + 5) == T, "T is not in the pool", T);
}

static void huge_t(struct world *w)
{
	hvo_pfn_t pfn = 0;

	pool_of_t(w);
	must(!hvo_pool_alloc(w->pool, HVO_GFP_KERNEL, ANY, &pfn) && pfn == T, "hvo_pool_alloc()",
	     pfn);
	own(w, world_hold(w, T, HVO_PAGEBLOCK_FRAMES, false));
	give_room(w);
}

static void empty_pool(struct world *w)
{
	free_t(w);
	make_pool(w);
}

static void demotable_t(struct world *w)
{
	free_t(w);
	world_put(w, world_at(w, T_END));
	make_pool(w);
	must(!hvo_pool_create(w->m, HVO_PAGEBLOCK_ORDER + 1, &w->big), "hvo_pool_create()", 1);
	must(!hvo_pool_resize(w->big, ANY, 1, NULL), "hvo_pool_resize()", 1);
}

static void cma_area(struct world *w)
{
	make_pool(w);
	must(!hvo_cma_create(w->m, 0, MEMORY_END - NORMAL_END, &w->cma), "hvo_cma_create()", 0);
	must(!hvo_pool_set_cma(w->pool, true), "hvo_pool_set_cma()", 0);
}

const struct state states[] = {
	{ "free", free_t, 0 },
	{ "held", held_t, 0 },
	{ "owned", owned_t, 0 },
	{ "cut", cut_t, 0 },
	{ "collapsible", collapsible_t, 0 },
	{ "split", split_t, 0 },
	{ "full", full, 0 },
	{ "isolated", isolated_t, ISOLATED },
	{ "reported", reported_t, 0 },
	{ "pool", pool_of_t, NEEDS_POOL },
	{ "huge", huge_t, NEEDS_POOL },
	{ "empty-pool", empty_pool, NEEDS_POOL },
	{ "demotable", demotable_t, NEEDS_POOL },
	{ "cma", cma_area, NEEDS_POOL | WITH_CMA },
	{ "hotplug", make_pool, NEEDS_POOL | WITH_HOTPLUG },
};
const unsigned int nr_states = sizeof(states) / sizeof(*states);

const struct state *state_find(const char *name)
{
	unsigned int i;

	for (i = 0; i < nr_states; i++)
		if (!strcmp(states[i].name, name))
			return &states[i];
	return NULL;
}

bool state_fits(const struct state *state, enum hvo_mode mode)
{
	return !(state->flags & (mode == HVO_LINUX ? ON_DEMAND_ONLY : LINUX_ONLY));
}

int state_open(struct world *w, const struct state *state, enum hvo_mode mode)
{
	uint64_t cma = (MEMORY_END - NORMAL_END) << HVO_FRAME_SHIFT;
	int err = world_open(w, mode, state->flags & WITH_CMA ? cma : 0,
			     state->flags & WITH_HOTPLUG ? HVO_SECTION_SIZE : 0);

	if (err)
		return err;
	state->prepare(w);
	return world_save(w);
}
