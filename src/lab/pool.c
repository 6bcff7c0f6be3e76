// SPDX-License-Identifier: MIT
/*
 * Pools of huge pages, their scopes, and policies as tables.
 */
#include "lab/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct lab_pool *lab_pool(lua_State *L, int arg)
{
	struct lab_pool *pool = luaL_checkudata(L, arg, LAB_POOL);

	lab_enter(L, pool->lm);
	return pool;
}

static struct lab_pool *pool_wait(lua_State *L, int arg)
{
	struct lab_pool *pool = luaL_checkudata(L, arg, LAB_POOL);

	lab_enter_wait(L, pool->lm);
	return pool;
}

/* ---- policies ---------------------------------------------------------------------- */

static const char *const sources[] = { "alloc", "carve", "oom", NULL };

/* @endless: instead of retries without end; UINT32_MAX: as it is. */
static void push_step(lua_State *L, const struct hvo_restore_step *step, uint32_t endless)
{
	lua_newtable(L);
	lua_pushstring(L, sources[step->source - HVO_RESTORE_ALLOC]);
	lua_setfield(L, -2, "source");
	lab_push_flags(L, step->gfp);
	lua_setfield(L, -2, "flags");
	if (step->retries < UINT32_MAX)
		lua_pushinteger(L, step->retries);
	else if (endless < UINT32_MAX)
		lua_pushinteger(L, endless);
	else
		lua_pushnumber(L, HUGE_VAL);
	lua_setfield(L, -2, "retries");
	lua_pushnumber(L, step->delay_ms / 1e3);
	lua_setfield(L, -2, "delay");
}

static const char *near_policy(lua_State *L, const char *word)
{
	const char *names[32] = { NULL };
	const struct hvo_policy *policy;
	unsigned int i;

	for (i = 0; i < 31 && (policy = hvo_policy_get(i)); i++)
		names[i] = policy->name;
	return lab_near(L, word, names, sizeof(names[0]));
}

int lab_policy(lua_State *L)
{
	const struct hvo_policy *policy = hvo_policy_find(luaL_checkstring(L, 1));
	uint64_t endless = lab_opt_count(L, 2, UINT32_MAX);
	unsigned int i;

	if (!policy)
		return luaL_argerror(L, 1,
				     lua_pushfstring(L, "there is no policy '%s'%s",
						     lua_tostring(L, 1),
						     near_policy(L, lua_tostring(L, 1))));
	luaL_argcheck(L, endless <= UINT32_MAX, 2, "at most 2^32 - 1 retries");
	lua_newtable(L);
	lua_pushstring(L, policy->name);
	lua_setfield(L, -2, "name");
	lua_pushboolean(L, policy->flags & HVO_POLICY_RETRY);
	lua_setfield(L, -2, "retry");
	lua_pushboolean(L, policy->flags & HVO_POLICY_HEAL);
	lua_setfield(L, -2, "heal");
	lua_pushboolean(L, policy->flags & HVO_POLICY_DEMOTE_HEADS);
	lua_setfield(L, -2, "demote_heads");
	lua_newtable(L);
	for (i = 0; i < policy->nr_steps; i++) {
		push_step(L, &policy->steps[i], (uint32_t)endless);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_setfield(L, -2, "steps");
	return 1;
}

int lab_policies(lua_State *L)
{
	const struct hvo_policy *policy;
	unsigned int i;

	lua_newtable(L);
	for (i = 0; (policy = hvo_policy_get(i)); i++) {
		lua_pushstring(L, policy->name);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

static uint32_t read_retries(lua_State *L, int at)
{
	bool endless;

	if (!lab_has(L, at, "retries"))
		return 0;
	endless = lua_type(L, -1) == LUA_TNUMBER && lua_tonumber(L, -1) >= HUGE_VAL;
	lua_pop(L, 1);
	return endless ? UINT32_MAX :
			 (uint32_t)lab_field_count(L, at, "retries", UINT32_MAX - 1, 0);
}

static void read_step(lua_State *L, int at, struct hvo_restore_step *step)
{
	static const char *const names[] = { "source", "flags", "retries", "delay", NULL };
	uint64_t ms;

	luaL_checktype(L, at, LUA_TTABLE);
	lab_options(L, at, names);
	step->source = HVO_RESTORE_ALLOC + lab_field_choice(L, at, "source", sources, 0);
	step->gfp = lab_field_flags(L, at, "flags", 0);
	step->retries = read_retries(L, at);
	ms = lab_field_time(L, at, "delay", 0) / 1000000;
	step->delay_ms = ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

/* The table at @at. */
static void read_policy(lua_State *L, int at, struct hvo_policy *policy)
{
	static const char *const names[] = {
		"name", "retry", "heal", "demote_heads", "steps", NULL
	};
	const char *name;
	lua_Unsigned nr;
	unsigned int i;
	int steps;

	memset(policy, 0, sizeof(*policy));
	policy->size = sizeof(*policy);
	lab_options(L, at, names);
	name = lab_field_string(L, at, "name");
	if (!name || strlen(name) >= sizeof(policy->name))
		luaL_error(L, "name: a policy has one, of 15 characters at most");
	(void)snprintf(policy->name, sizeof(policy->name), "%s", name);
	policy->flags |= lab_field_bool(L, at, "retry", false) ? HVO_POLICY_RETRY : 0;
	policy->flags |= lab_field_bool(L, at, "heal", false) ? HVO_POLICY_HEAL : 0;
	policy->flags |= lab_field_bool(L, at, "demote_heads", false) ? HVO_POLICY_DEMOTE_HEADS : 0;
	if (!lab_has(L, at, "steps") || !lua_istable(L, -1))
		luaL_error(L, "steps: a policy has a list of them");
	steps = lua_gettop(L);
	nr = lua_rawlen(L, steps);
	if (nr > HVO_POLICY_STEPS)
		luaL_error(L, "steps: 4 at most");
	policy->nr_steps = (uint32_t)nr;
	for (i = 0; i < nr; i++) {
		lua_rawgeti(L, steps, (lua_Integer)i + 1);
		read_step(L, lua_gettop(L), &policy->steps[i]);
		lua_settop(L, steps);
	}
	lua_settop(L, at);
}

/* What is at @at, the top of the stack, becomes the pool's policy. */
static int set_policy(lua_State *L, int at, struct hvo_pool *pool)
{
	const struct hvo_policy *found;
	struct hvo_policy own = { .size = sizeof(own) };

	if (lua_istable(L, at)) {
		read_policy(L, at, &own);
		return hvo_pool_set_policy(pool, &own);
	}
	found = lua_isstring(L, at) ? hvo_policy_find(lua_tostring(L, at)) : NULL;
	if (!found)
		luaL_error(L, "a policy is a table, or one of the names in hvo.policies()%s",
			   lua_isstring(L, at) ? near_policy(L, lua_tostring(L, at)) : "");
	return hvo_pool_set_policy(pool, found);
}

static int pool_set_policy(lua_State *L)
{
	struct lab_pool *pool = pool_wait(L, 1);

	lua_settop(L, 2);
	return lab_return(L, pool->lm, set_policy(L, 2, pool->pool));
}

/* ---- scopes ------------------------------------------------------------------------ */

int lab_scopes(lua_State *L)
{
	const char *name;
	unsigned int i;

	lua_newtable(L);
	for (i = 0; (name = hvo_fold_scope_name(i)); i++) {
		lua_pushstring(L, name);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

/* What is at @at becomes the pool's scope. */
static int set_scope(lua_State *L, int at, struct hvo_pool *pool)
{
	const char *name;
	unsigned int i;

	for (i = 0; (name = hvo_fold_scope_name(i)); i++)
		if (lua_type(L, at) == LUA_TSTRING && !strcmp(lua_tostring(L, at), name))
			return hvo_pool_set_fold_scope(pool, (enum hvo_fold_scope)i);
	return luaL_error(L, "a scope is one of the names in hvo.scopes()");
}

static int pool_set_scope(lua_State *L)
{
	struct lab_pool *pool = pool_wait(L, 1);

	return lab_return(L, pool->lm, set_scope(L, 2, pool->pool));
}

static int pool_scope(lua_State *L)
{
	struct lab_pool *pool = lab_pool(L, 1);
	int scope = hvo_pool_fold_scope(pool->pool);

	if (scope < 0)
		return lab_push_error(L, scope);
	lua_pushstring(L, hvo_fold_scope_name((unsigned int)scope));
	return 1;
}

/* ---- pools ------------------------------------------------------------------------- */

int lab_pool_new(lua_State *L)
{
	static const char *const names[] = { "size", "policy", "scope", "boot", NULL };
	static const struct hvo_resize_options at_boot = { .size = sizeof(at_boot), .boot = true };
	struct lab_machine *lm = lab_machine_wait(L, 1);
	struct hvo_pool *pool;
	unsigned int order;
	struct lab_pool *p;
	int err = 0;

	lua_settop(L, 2);
	lab_options(L, 2, names);
	order = lab_size_order(L, lab_field_size(L, 2, "size", HVO_BLOCK_SIZE));
	pool = hvo_pool_find(lm->box.m, order);
	if (!pool)
		err = hvo_pool_create(lm->box.m, order, &pool);
	if (err)
		return lab_push_error(L, err);
	if (lab_has(L, 2, "policy"))
		err = set_policy(L, 3, pool);
	lua_settop(L, 2);
	if (!err && lab_has(L, 2, "scope"))
		err = set_scope(L, 3, pool);
	lua_settop(L, 2);
	if (!err && lab_has(L, 2, "boot"))
		err = hvo_pool_resize_with(pool, HVO_NODE_ANY,
					   lab_field_count(L, 2, "boot", UINT32_MAX, 0), &at_boot,
					   NULL);
	lab_leave(L, lm);
	if (err)
		return lab_push_error(L, err);
	p = lua_newuserdatauv(L, sizeof(*p), 1);
	*p = (struct lab_pool){ lm, pool, order };
	luaL_setmetatable(L, LAB_POOL);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	return 1;
}

static int pool_resize(lua_State *L)
{
	static const struct lab_counter counters[] = {
		{ "asked", offsetof(struct hvo_resize_result, asked) },
		{ "done", offsetof(struct hvo_resize_result, done) },
		{ "refused", offsetof(struct hvo_resize_result, refused) },
		{ "carved", offsetof(struct hvo_resize_result, carved) },
		{ NULL, 0 },
	};
	struct lab_pool *pool = pool_wait(L, 1);
	uint64_t nr = lab_count(L, 2);
	struct hvo_resize_result res = { .size = sizeof(res) };
	int err = hvo_pool_resize(pool->pool, lab_node(L, 3), nr, &res);

	lab_leave(L, pool->lm);
	if (err)
		return lab_push_error(L, err);
	lab_push_counters(L, counters, &res);
	return 1;
}

/* Folding frees frames, and those may make up another huge page: until nothing more comes. */
static int pool_grow_all(lua_State *L)
{
	struct lab_pool *pool = pool_wait(L, 1);
	uint64_t all = hvo_machine_memmap(pool->lm->box.m)->nr_frames >> pool->order, pages = 0;
	struct hvo_resize_result res = { .size = sizeof(res) };
	int err;

	do {
		err = hvo_pool_resize(pool->pool, HVO_NODE_ANY, all, &res);
		pages += err ? 0 : res.done;
	} while (!err && res.done && !pool->lm->failed);
	lab_leave(L, pool->lm);
	if (err)
		return lab_push_error(L, err);
	lua_pushinteger(L, (lua_Integer)pages);
	return 1;
}

/* Real time on either platform: what is asked for is the cost. */
static uint64_t real_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t persistent(struct lab_pool *pool)
{
	struct hvo_pool_stat stat = { .size = sizeof(stat) };

	return hvo_pool_stat(pool->pool, HVO_NODE_ANY, &stat) ? 0 : stat.total - stat.surplus;
}

static int pool_shrink_each(lua_State *L)
{
	struct lab_pool *pool = pool_wait(L, 1);
	uint64_t nr = lab_count(L, 2), i, freed = 0, start, pages = persistent(pool), before;
	struct hvo_resize_result res = { .size = sizeof(res) };
	int err = 0;

	lua_newtable(L);
	for (i = 1; i <= nr && pages; i++) {
		start = real_ns();
		err = hvo_pool_resize(pool->pool, HVO_NODE_ANY, pages - 1, &res);
		start = real_ns() - start;
		lab_leave(L, pool->lm);
		before = pages;
		pages = persistent(pool);
		/* What is reserved stays. */
		if (err || pages >= before)
			break;
		freed += res.done;
		lua_pushinteger(L, (lua_Integer)start);
		lua_rawseti(L, -2, (lua_Integer)i);
	}
	if (err)
		return lab_push_error(L, err);
	lua_pushinteger(L, (lua_Integer)freed);
	return 2;
}

static int pool_alloc(lua_State *L)
{
	struct lab_pool *pool = lab_pool(L, 1);
	unsigned int flags = lab_flags(L, 2, pool->lm->depth ? HVO_GFP_NOWARN : HVO_GFP_USER);
	int node = lab_node(L, 3), err;
	hvo_pfn_t pfn = 0;

	if (flags & HVO_GFP_RECLAIM)
		lab_enter_wait(L, pool->lm);
	err = hvo_pool_alloc(pool->pool, flags, node, &pfn);
	lab_leave(L, pool->lm);
	if (err)
		return lab_push_error(L, err);
	lab_hold_by_script(pool->lm, pfn);
	lua_pushinteger(L, (lua_Integer)pfn);
	return 1;
}

static int pool_alloc_reserved(lua_State *L)
{
	struct lab_pool *pool = pool_wait(L, 1);
	unsigned int flags = lab_flags(L, 2, HVO_GFP_USER);
	hvo_pfn_t pfn = 0;
	int err = hvo_pool_alloc_reserved(pool->pool, flags, lab_node(L, 3), &pfn);

	lab_leave(L, pool->lm);
	if (err)
		return lab_push_error(L, err);
	lab_hold_by_script(pool->lm, pfn);
	lua_pushinteger(L, (lua_Integer)pfn);
	return 1;
}

static int pool_free(lua_State *L)
{
	struct lab_pool *pool = lab_pool(L, 1);
	hvo_pfn_t pfn = lab_pfn(L, 2);

	if (pool->lm->depth && !lab_is_held(pool->lm, pfn))
		return lab_push_error(L, -HVO_EINVAL);
	return lab_return(L, pool->lm, hvo_pool_free(pool->pool, pfn));
}

static int pool_free_reserved(lua_State *L)
{
	struct lab_pool *pool = pool_wait(L, 1);

	return lab_return(L, pool->lm, hvo_pool_free_reserved(pool->pool, lab_pfn(L, 2)));
}

static int pool_reserve(lua_State *L)
{
	struct lab_pool *pool = pool_wait(L, 1);
	uint64_t nr = lab_count(L, 2);

	return lab_return(L, pool->lm, hvo_pool_reserve(pool->pool, lab_node(L, 3), nr));
}

static int pool_unreserve(lua_State *L)
{
	struct lab_pool *pool = pool_wait(L, 1);

	return lab_return(L, pool->lm, hvo_pool_unreserve(pool->pool, lab_count(L, 2)));
}

static int pool_set_overcommit(lua_State *L)
{
	struct lab_pool *pool = pool_wait(L, 1);

	return lab_return(L, pool->lm, hvo_pool_set_overcommit(pool->pool, lab_count(L, 2)));
}

static int pool_demote(lua_State *L)
{
	struct lab_pool *pool = pool_wait(L, 1);
	uint64_t nr = lab_count(L, 2), done = 0;
	int err = hvo_pool_demote(pool->pool, lab_node(L, 3), nr, &done);

	lab_leave(L, pool->lm);
	if (err)
		lab_push_error(L, err);
	lua_pushinteger(L, (lua_Integer)done);
	return err ? 3 : 1;
}

static int pool_set_demote(lua_State *L)
{
	struct lab_pool *pool = pool_wait(L, 1);
	unsigned int order = lab_size_order(L, lab_size(L, 2));

	return lab_return(L, pool->lm, hvo_pool_set_demote_order(pool->pool, order));
}

static int pool_optimize(lua_State *L)
{
	struct lab_pool *pool = pool_wait(L, 1);
	uint64_t done = 0;
	int err = hvo_pool_optimize(pool->pool, &done);

	lab_leave(L, pool->lm);
	if (err)
		return lab_push_error(L, err);
	lua_pushinteger(L, (lua_Integer)done);
	return 1;
}

static int pool_set_cma(lua_State *L)
{
	struct lab_pool *pool = pool_wait(L, 1);

	luaL_checktype(L, 2, LUA_TBOOLEAN);
	return lab_return(L, pool->lm, hvo_pool_set_cma(pool->pool, lua_toboolean(L, 2)));
}

#define COUNTER(field)                                        \
	{                                                     \
#field, offsetof(struct hvo_pool_stat, field) \
	}

static int pool_stat(lua_State *L)
{
	static const struct lab_counter counters[] = {
		COUNTER(total),
		COUNTER(free),
		COUNTER(surplus),
		COUNTER(optimized),
		COUNTER(poisoned),
		COUNTER(reserved),
		COUNTER(overcommit),
		COUNTER(deferred),
		{ "refused", offsetof(struct hvo_pool_stat, refused_total) },
		{ "carved", offsetof(struct hvo_pool_stat, carved_total) },
		{ "out_of_scope", offsetof(struct hvo_pool_stat, out_of_scope_total) },
		{ "move_restores", offsetof(struct hvo_pool_stat, move_restores_total) },
		{ "moves_refused", offsetof(struct hvo_pool_stat, moves_refused_total) },
		{ NULL, 0 },
	};
	struct lab_pool *pool = lab_pool(L, 1);
	struct hvo_pool_stat stat = { .size = sizeof(stat) };
	int err = hvo_pool_stat(pool->pool, lab_node(L, 2), &stat);

	if (err)
		return lab_push_error(L, err);
	lab_push_counters(L, counters, &stat);
	return 1;
}

static int pool_tostring(lua_State *L)
{
	struct lab_pool *pool = luaL_checkudata(L, 1, LAB_POOL);

	lua_pushfstring(L, "pool of %I MiB pages",
			(lua_Integer)((HVO_FRAME_SIZE << pool->order) >> 20));
	return 1;
}

const struct lab_binding lab_pool_bindings[] = {
	{ "resize", pool_resize,
	  "pool:resize(pages [, node]) -> {asked=, done=, refused=, carved=}",
	  "persistent pages, as nr_hugepages" },
	{ "grow_all", pool_grow_all, "pool:grow_all() -> pages", "as many as there are" },
	{ "shrink_each", pool_shrink_each, "pool:shrink_each(n) -> list of ns, pages freed",
	  "shrinks by one page, n times, and takes the (real) time of each" },
	{ "alloc", pool_alloc, "pool:alloc([flags=\"user\" [, node]]) -> pfn",
	  "a huge page that nobody has reserved" },
	{ "free", pool_free, "pool:free(pfn) -> true", "drop a reference on one" },
	{ "reserve", pool_reserve, "pool:reserve(pages [, node]) -> true", "promise pages" },
	{ "unreserve", pool_unreserve, "pool:unreserve(pages) -> true", "take that back" },
	{ "alloc_reserved", pool_alloc_reserved,
	  "pool:alloc_reserved([flags=\"user\" [, node]]) -> pfn", "one that was promised" },
	{ "free_reserved", pool_free_reserved, "pool:free_reserved(pfn) -> true",
	  "give one back that was not used: it is promised again" },
	{ "set_overcommit", pool_set_overcommit, "pool:set_overcommit(pages) -> true",
	  "nr_overcommit_hugepages" },
	{ "set_policy", pool_set_policy, "pool:set_policy(name|table) -> true",
	  "what to do without frames for descriptors; a table as hvo.policy() gives it" },
	{ "set_scope", pool_set_scope, "pool:set_scope(name) -> true",
	  "which pages are folded from now on, in Linux mode: one of hvo.scopes()" },
	{ "scope", pool_scope, "pool:scope() -> name", "the one in force" },
	{ "demote", pool_demote, "pool:demote(pages [, node]) -> pages",
	  "into pages of the next smaller pool; after nil and the error: how many were" },
	{ "set_demote_size", pool_set_demote, "pool:set_demote_size(\"2M\") -> true",
	  "into which pool pages are demoted" },
	{ "optimize", pool_optimize, "pool:optimize() -> pages", "fold what is present" },
	{ "set_cma", pool_set_cma, "pool:set_cma(bool) -> true", "new pages come from CMA first" },
	{ "stat", pool_stat, "pool:stat([node]) -> table",
	  "total, free, surplus, optimized, poisoned; and of all nodes reserved, overcommit, "
	  "deferred, refused, carved; and by the scope out_of_scope, move_restores, moves_refused" },
	{ NULL, NULL, NULL, NULL },
};

void lab_pool_classes(lua_State *L)
{
	static const struct lab_binding *const pool[] = { lab_pool_bindings, NULL };
	static const luaL_Reg meta[] = { { "__tostring", pool_tostring }, { NULL, NULL } };

	lab_class(L, LAB_POOL, pool, meta);
}
