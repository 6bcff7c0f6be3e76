// SPDX-License-Identifier: MIT
/*
 * Blocks that the lab holds for a script: hogs. Two words of a block say who of the lab has it and
 * where in his list, so that a script that frees what it does not hold does no harm: not to a hog,
 * nor, from a shrinker, to what the library is just working on. Movable ones have the machine's
 * one owner.
 */
#include "lab/internal.h"

#include <stdlib.h>
#include <string.h>

/* Which words. The first is 0 where nobody of the lab has it. */
#define WORD_HOLDER 0
#define WORD_PLACE 1
#define SCRIPT UINT64_MAX

/* ---- the owner ------------------------------------------------------------------------ */

bool lab_is_held(struct lab_machine *lm, hvo_pfn_t pfn)
{
	uint64_t holder;

	return !hvo_page_private(lm->box.m, pfn, WORD_HOLDER, &holder) && holder;
}

void lab_hold_by_script(struct lab_machine *lm, hvo_pfn_t pfn)
{
	(void)hvo_page_set_private(lm->box.m, pfn, WORD_HOLDER, SCRIPT);
}

/* The entry of the block that is at @pfn, whose words are readable at @at. */
static struct lab_block *find_block(struct lab_machine *lm, hvo_pfn_t at, hvo_pfn_t pfn)
{
	uint64_t holder, place;
	struct lab_hold *hold;

	if (hvo_page_private(lm->box.m, at, WORD_HOLDER, &holder) ||
	    hvo_page_private(lm->box.m, at, WORD_PLACE, &place) || !holder || holder > lm->nr_holds)
		return NULL;
	hold = lm->holds[holder - 1];
	/* A script may have freed it, and another one may have it now. */
	if (place >= hold->nr || hold->blocks[place].pfn != pfn)
		return NULL;
	return &hold->blocks[place];
}

static uint32_t isolate(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
			unsigned int order)
{
	struct lab_block *block = find_block(owner->arg, pfn, pfn);

	(void)m;
	(void)order;
	if (!block || block->moving)
		return 0;
	block->moving = true;
	return 1;
}

static int move(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t dst, hvo_pfn_t src,
		unsigned int order)
{
	struct lab_block *block = find_block(owner->arg, dst, src);

	(void)m;
	(void)order;
	if (!block)
		return -HVO_EBUSY;
	block->pfn = dst;
	block->moving = false;
	return 0;
}

static void putback(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
		    unsigned int order)
{
	struct lab_block *block = find_block(owner->arg, pfn, pfn);

	(void)m;
	(void)order;
	if (block)
		block->moving = false;
}

const struct hvo_owner lab_hold_owner = {
	.size = sizeof(lab_hold_owner), .isolate = isolate, .move = move, .putback = putback
};

/* ---- the list --------------------------------------------------------------------------- */

struct lab_hold *lab_hold_new(lua_State *L, int arg, size_t size, const char *metatable)
{
	struct lab_machine *lm = lab_machine_wait(L, arg);
	struct lab_hold **holds, *hold = lua_newuserdatauv(L, size, 1);

	memset(hold, 0, size);
	luaL_setmetatable(L, metatable);
	holds = realloc(lm->holds, (lm->nr_holds + 1) * sizeof(*holds));
	if (!holds)
		luaL_error(L, "out of memory");
	lm->holds = holds;
	holds[lm->nr_holds] = hold;
	hold->id = lm->nr_holds++;
	hold->lm = lm;
	lua_pushvalue(L, arg);
	lua_setiuservalue(L, -2, 1);
	/* What it holds may be moved as long as the machine is there. */
	lua_pushvalue(L, -1);
	lab_keep(L, arg, hold);
	return hold;
}

/* Where the place of number @id is noted; NULL: its list was never made. */
static uint64_t *place_of(const struct lab_hold *hold, uint64_t id)
{
	uint64_t *list = hold->places && id <= LAB_MAX_ID ? hold->places[id / LAB_PLACES] : NULL;

	return list ? &list[id % LAB_PLACES] : NULL;
}

static void note_place(struct lab_hold *hold, uint64_t i)
{
	if (hold->blocks[i].id != LAB_NO_ID)
		*place_of(hold, hold->blocks[i].id) = i + 1;
	(void)hvo_page_set_private(hold->lm->box.m, hold->blocks[i].pfn, WORD_PLACE, i);
}

static bool make_room(struct lab_hold *hold)
{
	uint64_t max = hold->max ? hold->max * 2 : 256;
	struct lab_block *more;

	if (hold->nr < hold->max)
		return true;
	more = realloc(hold->blocks, max * sizeof(*more));
	if (!more)
		return false;
	hold->blocks = more;
	hold->max = max;
	return true;
}

/* A list for @id: what numbers cost depends on how many there are, not on how large they are. */
static bool make_place(struct lab_hold *hold, uint32_t id)
{
	uint64_t **list;

	if (!hold->places)
		hold->places = calloc((LAB_MAX_ID + 1) / LAB_PLACES, sizeof(*hold->places));
	if (!hold->places)
		return false;
	list = &hold->places[id / LAB_PLACES];
	if (!*list)
		*list = calloc(LAB_PLACES, sizeof(**list));
	return *list;
}

int lab_hold_add_id(struct lab_hold *hold, hvo_pfn_t pfn, unsigned int order, uint32_t id)
{
	struct hvo_machine *m = hold->lm->box.m;

	if (!make_room(hold) || (id != LAB_NO_ID && !make_place(hold, id))) {
		(void)hvo_put_page(m, pfn);
		return -HVO_ENOMEM;
	}
	hold->blocks[hold->nr] =
		(struct lab_block){ .pfn = pfn, .order = (uint8_t)order, .id = id };
	note_place(hold, hold->nr++);
	hold->frames += UINT64_C(1) << order;
	(void)hvo_page_set_private(m, pfn, WORD_HOLDER, (uint64_t)hold->id + 1);
	if (hold->movable)
		(void)hvo_set_owner(m, pfn, hold->lm->owner_id);
	return 0;
}

int lab_hold_add(struct lab_hold *hold, hvo_pfn_t pfn, unsigned int order)
{
	return lab_hold_add_id(hold, pfn, order, LAB_NO_ID);
}

bool lab_hold_find(const struct lab_hold *hold, uint64_t id, uint64_t *ret_place)
{
	const uint64_t *place = place_of(hold, id);

	if (!place || !*place)
		return false;
	*ret_place = *place - 1;
	return true;
}

void lab_hold_put(struct lab_hold *hold, uint64_t i)
{
	struct lab_machine *lm = hold->lm;
	struct lab_block block = hold->blocks[i];
	/* Not if the script has freed it itself: somebody else may have it by now. */
	bool ours = find_block(lm, block.pfn, block.pfn) == &hold->blocks[i];

	if (block.id != LAB_NO_ID)
		*place_of(hold, block.id) = 0;
	hold->frames -= UINT64_C(1) << block.order;
	if (i != --hold->nr) {
		hold->blocks[i] = hold->blocks[hold->nr];
		note_place(hold, i);
	}
	if (ours)
		(void)hvo_put_page(lm->box.m, block.pfn);
}

void lab_hold_free(struct lab_hold *hold)
{
	size_t i;

	for (i = 0; hold->places && i <= LAB_MAX_ID / LAB_PLACES; i++)
		free(hold->places[i]);
	free(hold->places);
	free(hold->blocks);
	hold->blocks = NULL;
	hold->places = NULL;
	hold->nr = hold->max = hold->frames = 0;
}

/* ---- hogs --------------------------------------------------------------------------------- */

struct hog {
	struct lab_hold hold;
	unsigned int flags;
	int node;
};

struct lab_hold *lab_hog_push(lua_State *L, int arg)
{
	return lab_hold_new(L, arg, sizeof(struct hog), LAB_HOG);
}

static int hog_new(lua_State *L)
{
	static const char *const names[] = { "flags", "node", "movable", NULL };
	unsigned int flags;
	struct hog *hog;
	bool movable;
	int node;

	(void)lab_machine_wait(L, 1);
	lua_settop(L, 2);
	lab_options(L, 2, names);
	flags = lab_field_flags(L, 2, "flags", LAB_HOG_FLAGS);
	movable = lab_field_bool(L, 2, "movable", false);
	node = lab_has(L, 2, "node") ? lab_node(L, lua_gettop(L)) : HVO_NODE_ANY;
	hog = (struct hog *)lab_hog_push(L, 1);
	hog->hold.movable = movable;
	hog->flags = flags | (movable ? HVO_GFP_MOVABLE : 0);
	hog->node = node;
	return 1;
}

static struct hog *hog_wait(lua_State *L)
{
	struct hog *hog = luaL_checkudata(L, 1, LAB_HOG);

	lab_enter_wait(L, hog->hold.lm);
	return hog;
}

/* One more block; does the machine have it, and can it go on? */
static bool take_one(struct hog *hog, unsigned int order)
{
	struct lab_machine *lm = hog->hold.lm;
	hvo_pfn_t pfn;

	return !hvo_alloc_pages(lm->box.m, hog->flags, order, hog->node, &pfn) &&
	       !lab_hold_add(&hog->hold, pfn, order) && !lm->failed;
}

static int hog_take(lua_State *L)
{
	struct hog *hog = hog_wait(L);
	uint64_t nr = lab_count(L, 2), taken = 0;
	unsigned int order = lua_isnoneornil(L, 3) ? 0 : lab_order(L, 3);

	while (taken < nr && take_one(hog, order))
		taken++;
	lab_leave(L, hog->hold.lm);
	lua_pushinteger(L, (lua_Integer)taken);
	return 1;
}

/* Blocks as large as fit that make up @frames, at the end of the list. How many blocks? */
static uint64_t take_frames(struct hog *hog, uint64_t frames)
{
	unsigned int order = hvo_machine_config(hog->hold.lm->box.m)->max_order + 1;
	uint64_t blocks = 0;

	while (order--)
		while (frames >= UINT64_C(1) << order && take_one(hog, order)) {
			frames -= UINT64_C(1) << order;
			blocks++;
		}
	return blocks;
}

/* What is to be left is taken first, and given back when nothing else is left. */
static int hog_take_all(lua_State *L)
{
	struct hog *hog = hog_wait(L);
	struct lab_hold *hold = &hog->hold;
	uint64_t left = lab_opt_count(L, 2, 0), first = hold->nr, before = hold->frames, nr;

	nr = take_frames(hog, left);
	(void)take_frames(hog, UINT64_MAX);
	/* From the last one on, as what is last takes the place of what goes. */
	while (nr--)
		if (first + nr < hold->nr) /* a shrinker may have taken some out of the list */
			lab_hold_put(hold, first + nr);
	lab_leave(L, hold->lm);
	lua_pushinteger(L, (lua_Integer)hold->frames - (lua_Integer)before);
	return 1;
}

static int hog_take_pool(lua_State *L)
{
	struct hog *hog = hog_wait(L);
	struct lab_pool *pool = lab_pool(L, 2);
	uint64_t nr = lab_opt_count(L, 3, UINT64_MAX), taken = 0;
	hvo_pfn_t pfn;

	luaL_argcheck(L, pool->lm == hog->hold.lm, 2, "a pool of another machine");
	while (taken < nr &&
	       !hvo_pool_alloc(pool->pool, hog->flags & ~HVO_GFP_RECLAIM, hog->node, &pfn) &&
	       !lab_hold_add(&hog->hold, pfn, pool->order))
		taken++;
	lab_leave(L, hog->hold.lm);
	lua_pushinteger(L, (lua_Integer)taken);
	return 1;
}

/* From the end; what the library is just about to move stays. */
static int hog_release(lua_State *L)
{
	struct hog *hog = luaL_checkudata(L, 1, LAB_HOG);
	struct lab_hold *hold = &hog->hold;
	uint64_t nr = lab_opt_count(L, 2, UINT64_MAX), done = 0, i;

	lab_enter(L, hold->lm);
	for (i = hold->nr; i-- && done < nr;)
		if (!hold->blocks[i].moving) {
			lab_hold_put(hold, i);
			done++;
		}
	return lab_return_number(L, hold->lm, 0, done);
}

static int hog_shuffle(lua_State *L)
{
	struct hog *hog = hog_wait(L);
	struct lab_hold *hold = &hog->hold;
	uint64_t rng = lab_opt_count(L, 2, lab_seed(L)), i, k;

	for (i = hold->nr; i > 1; i--) {
		struct lab_block block = hold->blocks[i - 1];

		k = rng_next(&rng) % i;
		hold->blocks[i - 1] = hold->blocks[k];
		hold->blocks[k] = block;
	}
	for (i = 0; i < hold->nr; i++)
		note_place(hold, i);
	lua_pushboolean(L, true);
	return 1;
}

static int hog_pfn(lua_State *L)
{
	struct hog *hog = luaL_checkudata(L, 1, LAB_HOG);
	uint64_t i = lab_count(L, 2);

	lab_enter(L, hog->hold.lm);
	if (!i || i > hog->hold.nr)
		return lab_push_error(L, -HVO_EINVAL);
	lua_pushinteger(L, (lua_Integer)hog->hold.blocks[i - 1].pfn);
	return 1;
}

static int hog_stat(lua_State *L)
{
	struct hog *hog = luaL_checkudata(L, 1, LAB_HOG);

	lab_enter(L, hog->hold.lm);
	lua_newtable(L);
	lab_set_number(L, "blocks", hog->hold.nr);
	lab_set_number(L, "frames", hog->hold.frames);
	return 1;
}

static int hog_gc(lua_State *L)
{
	/* Its machine goes, or is gone: nobody moves these blocks any more. */
	lab_hold_free(luaL_checkudata(L, 1, LAB_HOG));
	return 0;
}

const struct lab_binding lab_hog_bindings[] = {
	{ "take", hog_take, "hog:take(blocks [, order=0]) -> blocks",
	  "so many more; how many there were" },
	{ "take_all", hog_take_all, "hog:take_all([left=0]) -> frames",
	  "all but so many frames, the reserves too" },
	{ "take_pool", hog_take_pool, "hog:take_pool(pool [, pages]) -> pages",
	  "huge pages that are free in a pool" },
	{ "release", hog_release, "hog:release([blocks]) -> blocks", "give back the last ones" },
	{ "shuffle", hog_shuffle, "hog:shuffle([seed]) -> true", "put them in a random order" },
	{ "pfn", hog_pfn, "hog:pfn(i) -> pfn", "where the i-th block is now" },
	{ "stat", hog_stat, "hog:stat() -> {blocks=, frames=}", "what it holds" },
	{ NULL, NULL, NULL, NULL },
};

const struct lab_binding lab_work_bindings[] = {
	{ "hog", hog_new,
	  "m:hog{flags=\"movable|memalloc|noretry|nowarn\", node=, movable=false} -> hog",
	  "holds memory; movable: the library may move it" },
	{ "churn", lab_churn_new,
	  "m:churn{every=\"1s\", mix={{order=|pool=, weight=1, life=\"1m\", flags=}, ...}, "
	  "movable=false, seed=} -> churn",
	  "memory that comes and goes: a block of the mix in every such time, on the average, "
	  "which lives for its time, on the average" },
	{ "replay", lab_replay,
	  "m:replay{file=|text=, flags=, movable=, every=, sample=fn} -> hog, {}",
	  "allocations as recorded, a line for each: \"NS alloc ID ORDER\" or \"NS free ID\"; what "
	  "is left is the hog's. sample(seconds) is called in every such time" },
	{ NULL, NULL, NULL, NULL },
};

void lab_hold_classes(lua_State *L)
{
	static const struct lab_binding *const hog[] = { lab_hog_bindings, NULL };
	static const luaL_Reg meta[] = { { "__gc", hog_gc }, { NULL, NULL } };

	lab_class(L, LAB_HOG, hog, meta);
}
