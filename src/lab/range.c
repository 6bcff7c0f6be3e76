// SPDX-License-Identifier: MIT
/*
 * Ranges of frames: contiguous ones, CMA areas, memory that comes and goes. Isolating a range is
 * left out: allocations would wait for the end of it, and a script has one thread only.
 */
#include "lab/internal.h"

struct lab_cma {
	struct lab_machine *lm; /* kept by the first user value */
	struct hvo_cma *cma;
};

/* ---- contiguous ranges ---------------------------------------------------------------- */

static int range_contig(lua_State *L)
{
	struct lab_machine *lm = lab_machine_wait(L, 1);
	hvo_pfn_t start = lab_pfn(L, 2), end = lab_pfn(L, 3);
	unsigned int flags = lab_flags(L, 4, HVO_GFP_KERNEL);

	return lab_return(L, lm, hvo_alloc_contig_range(lm->box.m, start, end, flags));
}

static int range_contig_pages(lua_State *L)
{
	struct lab_machine *lm = lab_machine_wait(L, 1);
	uint64_t nr = lab_count(L, 2);
	unsigned int flags = lab_flags(L, 3, HVO_GFP_KERNEL);
	hvo_pfn_t pfn = 0;
	int err = hvo_alloc_contig_pages(lm->box.m, nr, flags, lab_node(L, 4), &pfn);

	return lab_return_number(L, lm, err, pfn);
}

/* What a function of two frame numbers says. */
static int call_range(lua_State *L,
		      int (*fn)(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end))
{
	struct lab_machine *lm = lab_machine_wait(L, 1);
	hvo_pfn_t start = lab_pfn(L, 2), end = lab_pfn(L, 3);

	return lab_return(L, lm, fn(lm->box.m, start, end));
}

static int range_free_contig(lua_State *L)
{
	return call_range(L, hvo_free_contig_range);
}

/* ---- memory that comes and goes --------------------------------------------------------- */

static int range_memory_add(lua_State *L)
{
	static const char *const names[] = { "on_memory", NULL };
	struct lab_machine *lm = lab_machine_wait(L, 1);
	int node = lab_node(L, 2);
	hvo_pfn_t start = lab_pfn(L, 3), end = lab_pfn(L, 4);
	unsigned int flags;

	lua_settop(L, 5);
	lab_options(L, 5, names);
	flags = lab_field_bool(L, 5, "on_memory", false) ? HVO_MEMMAP_ON_MEMORY : 0;
	return lab_return(L, lm, hvo_memory_add(lm->box.m, node, start, end, flags));
}

static int range_memory_online(lua_State *L)
{
	struct lab_machine *lm = lab_machine_wait(L, 1);
	hvo_pfn_t start = lab_pfn(L, 2), end = lab_pfn(L, 3);

	return lab_return(L, lm, hvo_memory_online(lm->box.m, start, end, lab_zone(L, 4)));
}

static int range_memory_offline(lua_State *L)
{
	return call_range(L, hvo_memory_offline);
}

static int range_memory_remove(lua_State *L)
{
	return call_range(L, hvo_memory_remove);
}

static int range_section_state(lua_State *L)
{
	static const char *const names[] = { "absent", "offline", "online" };
	struct lab_machine *lm = lab_machine(L, 1);

	lua_pushstring(L, names[hvo_section_state(lm->box.m, lab_pfn(L, 2))]);
	return 1;
}

/* ---- CMA areas -------------------------------------------------------------------------- */

static int range_cma(lua_State *L)
{
	struct lab_machine *lm = lab_machine_wait(L, 1);
	uint64_t bytes = lab_size(L, 2);
	struct hvo_cma *cma = NULL;
	struct lab_cma *c;
	int node = lua_isnoneornil(L, 3) ? 0 : lab_node(L, 3), err;

	luaL_argcheck(L, bytes % HVO_FRAME_SIZE == 0, 2, "not a number of whole frames");
	err = hvo_cma_create(lm->box.m, node, bytes / HVO_FRAME_SIZE, &cma);
	if (err)
		return lab_push_error(L, err);
	c = lua_newuserdatauv(L, sizeof(*c), 1);
	*c = (struct lab_cma){ lm, cma };
	luaL_setmetatable(L, LAB_CMA);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	return 1;
}

static struct lab_cma *cma_wait(lua_State *L)
{
	struct lab_cma *c = luaL_checkudata(L, 1, LAB_CMA);

	lab_enter_wait(L, c->lm);
	return c;
}

static int cma_alloc(lua_State *L)
{
	struct lab_cma *c = cma_wait(L);
	uint64_t nr = lab_count(L, 2);
	unsigned int order = lua_isnoneornil(L, 3) ? 0 : lab_order(L, 3);
	hvo_pfn_t pfn = 0;
	int err = hvo_cma_alloc(c->cma, nr, order, &pfn);

	return lab_return_number(L, c->lm, err, pfn);
}

static int cma_release(lua_State *L)
{
	struct lab_cma *c = cma_wait(L);
	hvo_pfn_t pfn = lab_pfn(L, 2);

	return lab_return(L, c->lm, hvo_cma_release(c->cma, pfn, lab_count(L, 3)));
}

static int cma_stat(lua_State *L)
{
	struct lab_cma *c = luaL_checkudata(L, 1, LAB_CMA);
	uint64_t nr, used;
	hvo_pfn_t start;

	lab_enter(L, c->lm);
	hvo_cma_stat(c->cma, &start, &nr, &used);
	lua_newtable(L);
	lab_set_number(L, "start", start);
	lab_set_number(L, "frames", nr);
	lab_set_number(L, "used", used);
	return 1;
}

const struct lab_binding lab_cma_bindings[] = {
	{ "alloc", cma_alloc, "cma:alloc(frames [, align_order]) -> pfn", "frames in one piece" },
	{ "release", cma_release, "cma:release(pfn, frames) -> true", "give them back" },
	{ "stat", cma_stat, "cma:stat() -> {start=, frames=, used=}", "where it is, what is used" },
	{ NULL, NULL, NULL, NULL },
};

const struct lab_binding lab_range_bindings[] = {
	{ "contig", range_contig, "m:contig(start, stop [, flags=\"kernel\"]) -> true",
	  "allocate exactly these frames, [start, stop)" },
	{ "contig_pages", range_contig_pages,
	  "m:contig_pages(frames [, flags=\"kernel\" [, node]]) -> pfn",
	  "so many frames in one piece, wherever" },
	{ "free_contig", range_free_contig, "m:free_contig(start, stop) -> true",
	  "give back what contig() or contig_pages() gave" },
	{ "cma", range_cma, "m:cma(size [, node=0]) -> cma",
	  "a CMA area, of the node's CMA memory" },
	{ "memory_add", range_memory_add,
	  "m:memory_add(node, start, stop [, {on_memory=bool}]) -> true",
	  "memory at absent sections" },
	{ "memory_online", range_memory_online,
	  "m:memory_online(start, stop, \"normal\"|\"movable\") -> true", "give it to a zone" },
	{ "memory_offline", range_memory_offline, "m:memory_offline(start, stop) -> true",
	  "take memory out of use: what is movable moves" },
	{ "memory_remove", range_memory_remove, "m:memory_remove(start, stop) -> true",
	  "give offline memory back to the system" },
	{ "section_state", range_section_state,
	  "m:section_state(pfn) -> \"absent\"|\"offline\"|\"online\"",
	  "of the section (128 MiB) that a frame is in" },
	{ NULL, NULL, NULL, NULL },
};

void lab_range_classes(lua_State *L)
{
	static const struct lab_binding *const cma[] = { lab_cma_bindings, NULL };
	static const luaL_Reg meta[] = { { NULL, NULL } };

	lab_class(L, LAB_CMA, cma, meta);
}
