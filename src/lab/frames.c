// SPDX-License-Identifier: MIT
/*
 * Frames and blocks that a script names by number.
 */
#include "lab/internal.h"

static int push_pfn(lua_State *L, struct lab_machine *lm, int err, hvo_pfn_t pfn)
{
	return lab_return_number(L, lm, err, pfn);
}

static int frames_alloc(lua_State *L)
{
	struct lab_machine *lm = lab_machine(L, 1);
	unsigned int order = lab_order(L, 2);
	/* In the middle of something nothing may wait. */
	unsigned int flags = lab_flags(L, 3, lm->depth ? HVO_GFP_NOWARN : HVO_GFP_USER);
	int node = lab_node(L, 4), err;
	hvo_pfn_t pfn = 0;

	if (flags & HVO_GFP_RECLAIM)
		lab_enter_wait(L, lm);
	err = hvo_alloc_pages(lm->box.m, flags, order, node, &pfn);
	if (!err)
		lab_hold_by_script(lm, pfn);
	return push_pfn(L, lm, err, pfn);
}

/*
 * What a reference, or the map count, is taken or dropped of. A script's function that the library
 * calls may not touch what the library is working on: to it that is no block in use.
 */
static int call_page(lua_State *L, int (*fn)(struct hvo_machine *m, hvo_pfn_t pfn))
{
	struct lab_machine *lm = lab_machine(L, 1);
	hvo_pfn_t pfn = lab_pfn(L, 2);

	if (lm->depth && !lab_is_held(lm, pfn))
		return lab_push_error(L, -HVO_EINVAL);
	return lab_return(L, lm, fn(lm->box.m, pfn));
}

static int frames_put(lua_State *L)
{
	return call_page(L, hvo_put_page);
}

static int frames_map(lua_State *L)
{
	return call_page(L, hvo_map_page);
}

static int frames_unmap(lua_State *L)
{
	return call_page(L, hvo_unmap_page);
}

static int frames_get(lua_State *L)
{
	struct lab_machine *lm = lab_machine_wait(L, 1);
	hvo_pfn_t head = 0;
	int err = hvo_get_page(lm->box.m, lab_pfn(L, 2), &head);

	return push_pfn(L, lm, err, head);
}

static int frames_split(lua_State *L)
{
	struct lab_machine *lm = lab_machine_wait(L, 1);
	hvo_pfn_t pfn = lab_pfn(L, 2);

	return lab_return(L, lm, hvo_split_page(lm->box.m, pfn, lab_order(L, 3)));
}

static int frames_migrate(lua_State *L)
{
	struct lab_machine *lm = lab_machine_wait(L, 1);
	hvo_pfn_t pfn = lab_pfn(L, 2), dst = 0;
	int err = hvo_migrate(lm->box.m, pfn, lab_node(L, 3), &dst);

	return push_pfn(L, lm, err, dst);
}

static int frames_move_memmap(lua_State *L)
{
	struct lab_machine *lm = lab_machine_wait(L, 1);

	return lab_return(L, lm, hvo_move_memmap(lm->box.m, lab_pfn(L, 2)));
}

static int frames_memory_failure(lua_State *L)
{
	struct lab_machine *lm = lab_machine_wait(L, 1);

	return lab_return(L, lm, hvo_memory_failure(lm->box.m, lab_pfn(L, 2)));
}

static int frames_soft_offline(lua_State *L)
{
	struct lab_machine *lm = lab_machine_wait(L, 1);

	return lab_return(L, lm, hvo_soft_offline(lm->box.m, lab_pfn(L, 2)));
}

static int frames_poisoned(lua_State *L)
{
	struct lab_machine *lm = lab_machine(L, 1);
	int64_t max = hvo_poisoned(lm->box.m, NULL, 0), nr, i;
	hvo_pfn_t *pfns;

	if (max < 0)
		return lab_push_error(L, (int)max);
	pfns = lua_newuserdatauv(L, (size_t)max * sizeof(*pfns), 0);
	nr = hvo_poisoned(lm->box.m, pfns, (uint64_t)max);
	lua_newtable(L);
	for (i = 0; i < nr && i < max; i++) {
		lua_pushinteger(L, (lua_Integer)pfns[i]);
		lua_rawseti(L, -2, i + 1);
	}
	return 1;
}

static int frames_dissolve(lua_State *L)
{
	struct lab_machine *lm = lab_machine_wait(L, 1);

	return lab_return(L, lm, hvo_hugetlb_dissolve(lm->box.m, lab_pfn(L, 2)));
}

/* A descriptor as it is at this moment. */
struct look {
	hvo_pfn_t head;
	struct hvo_page page;
	uint8_t fold;
};

static const char *state_name(unsigned int state)
{
	static const char *const names[HVO_PAGE_NR_STATES] = {
		[HVO_PAGE_TAIL] = "tail",
		[HVO_PAGE_FREE] = "free",
		[HVO_PAGE_USED] = "used",
		[HVO_PAGE_HUGETLB_FREE] = "hugetlb_free",
		[HVO_PAGE_HUGETLB_USED] = "hugetlb_used",
		[HVO_PAGE_MEMMAP] = "memmap",
		[HVO_PAGE_POISONED] = "poisoned",
		[HVO_PAGE_ISOLATED] = "isolated",
		[HVO_PAGE_TAKEN] = "taken",
	};

	return state < HVO_PAGE_NR_STATES ? names[state] : "unknown";
}

static void push_look(lua_State *L, const struct look *look)
{
	lua_newtable(L);
	lab_set_text(L, "state", state_name(look->page.state));
	lab_set_number(L, "head", look->head);
	lab_set_number(L, "order", look->page.order);
	lab_set_number(L, "refs", look->page.refcount & ~HVO_HOLD);
	lab_set_number(L, "maps", look->page.mapcount & ~HVO_HOLD);
	lab_set_bool(L, "folded", (look->fold & HVO_FOLDED) != 0);
}

static int frames_page(lua_State *L)
{
	struct lab_machine *lm = lab_machine(L, 1);
	const struct hvo_memmap *mm = hvo_machine_memmap(lm->box.m);
	hvo_pfn_t pfn = lab_pfn(L, 2);
	struct look look;

	if (pfn >= mm->nr_frames || hvo_section_state(lm->box.m, pfn) != HVO_SECTION_ONLINE)
		return lab_push_error(L, -HVO_EINVAL);
	hvo_read_lock(lm->box.m);
	look.head = hvo_page_head(mm, pfn);
	look.page = *hvo_page_ro(mm, look.head);
	look.fold = hvo_fold_byte(mm, pfn >> HVO_PAGEBLOCK_ORDER);
	hvo_read_unlock(lm->box.m);
	push_look(L, &look);
	return 1;
}

const struct lab_binding lab_frames_bindings[] = {
	{ "alloc", frames_alloc, "m:alloc(order [, flags=\"user\" [, node]]) -> pfn",
	  "a block of 2^order frames; flags are words as \"kernel|nowarn\": kernel, atomic, user, "
	  "reclaim, high, memalloc, noretry, retry-mayfail, nowarn, thisnode, movable, "
	  "reclaimable, zero" },
	{ "put", frames_put, "m:put(pfn) -> true", "drop a reference; the last one frees" },
	{ "get", frames_get, "m:get(pfn) -> head", "take a reference on what is in use there" },
	{ "map", frames_map, "m:map(pfn) -> true", "one more on the map count" },
	{ "unmap", frames_unmap, "m:unmap(pfn) -> true", "one less" },
	{ "split", frames_split, "m:split(pfn, order) -> true", "a block into smaller ones" },
	{ "page", frames_page, "m:page(pfn) -> {state=, head=, order=, refs=, maps=, folded=}",
	  "what the descriptors say about a frame" },
	{ "migrate", frames_migrate, "m:migrate(pfn [, node]) -> pfn",
	  "move a block that a movable hog holds; where it is now" },
	{ "move_memmap", frames_move_memmap, "m:move_memmap(pfn) -> true",
	  "move the descriptors that a frame holds" },
	{ "memory_failure", frames_memory_failure, "m:memory_failure(pfn) -> true",
	  "a frame is broken; nil, \"EBUSY\" while it is in use" },
	{ "soft_offline", frames_soft_offline, "m:soft_offline(pfn) -> true",
	  "a frame is about to fail: what is in it moves, and it is out of use; else nil, why not" },
	{ "poisoned", frames_poisoned, "m:poisoned() -> list",
	  "the frames that failed, ascending" },
	{ "dissolve", frames_dissolve, "m:dissolve(pfn) -> true",
	  "take a free huge page out of its pool" },
	{ NULL, NULL, NULL, NULL },
};
