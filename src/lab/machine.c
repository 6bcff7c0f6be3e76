// SPDX-License-Identifier: MIT
/*
 * Machines as userdata: opened, closed, counted; shrinkers and the out-of-memory notifier.
 *
 * States: open; broken (the simulated hardware stopped it; only close is left); closed.
 */
#include "lab/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- calls into the library and out of it ------------------------------------------- */

void lab_enter(lua_State *L, struct lab_machine *lm)
{
	if (lm->broken)
		luaL_error(L, "the machine is broken: %s", lm->why);
	if (!lm->box.m)
		luaL_error(L, "the machine is closed");
	lm->L = L;
}

void lab_enter_wait(lua_State *L, struct lab_machine *lm)
{
	lab_enter(L, lm);
	if (lm->depth)
		luaL_error(L, "this may wait: not from a shrinker or an out-of-memory notifier");
}

struct lab_machine *lab_machine(lua_State *L, int arg)
{
	struct lab_machine *lm = luaL_checkudata(L, arg, LAB_MACHINE);

	lab_enter(L, lm);
	return lm;
}

struct lab_machine *lab_machine_wait(lua_State *L, int arg)
{
	struct lab_machine *lm = luaL_checkudata(L, arg, LAB_MACHINE);

	lab_enter_wait(L, lm);
	return lm;
}

void lab_leave(lua_State *L, struct lab_machine *lm)
{
	/* In a function of the script's that the library called: it waits for the outer call. */
	if (!lm->failed || lm->depth)
		return;
	lm->failed = false;
	lua_rawgetp(L, LUA_REGISTRYINDEX, &lm->failed);
	lua_pushnil(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &lm->failed);
	lua_error(L);
}

int lab_return_number(lua_State *L, struct lab_machine *lm, int err, uint64_t n)
{
	lab_leave(L, lm);
	if (err)
		return lab_push_error(L, err);
	lua_pushinteger(L, (lua_Integer)n);
	return 1;
}

int lab_return_frame(lua_State *L, struct lab_machine *lm, int err, hvo_pfn_t pfn)
{
	int nr = lab_return_number(L, lm, err, pfn);

	if (!err)
		lab_hold_by_script(lm, pfn);
	return nr;
}

int lab_return(lua_State *L, struct lab_machine *lm, int err)
{
	lab_leave(L, lm);
	if (err < 0)
		return lab_push_error(L, err);
	lua_pushboolean(L, true);
	return 1;
}

void lab_keep(lua_State *L, int arg, const void *key)
{
	lua_getiuservalue(L, arg, 1);
	lua_insert(L, -2);
	lua_rawsetp(L, -2, key);
	lua_pop(L, 1);
}

static void keep_error(lua_State *L, struct lab_machine *lm)
{
	if (!lm->failed)
		lua_rawsetp(L, LUA_REGISTRYINDEX, &lm->failed);
	else
		lua_pop(L, 1);
	lm->failed = true;
}

/* Numbers of frames, and no others. */
static bool to_frames(lua_State *L, uint64_t *ret)
{
	int is_integer;
	lua_Integer n;

	if (lua_isnil(L, -1)) {
		*ret = 0;
		return true;
	}
	n = lua_tointegerx(L, -1, &is_integer);
	*ret = (uint64_t)n;
	return is_integer && n >= 0;
}

static int missing_frames(lua_State *L)
{
	return luaL_error(L, "a shrinker or out-of-memory notifier returns how many frames it "
			     "freed");
}

/* Run the function at the registry's @key with one number; returns how many frames it freed. */
static uint64_t call_back(struct lab_machine *lm, const void *key, lua_Integer number)
{
	lua_State *L = lm->L;
	uint64_t freed = 0;
	bool ok;

	if (!lua_checkstack(L, 8))
		return 0;
	lua_rawgetp(L, LUA_REGISTRYINDEX, key);
	lua_pushinteger(L, number);
	lm->depth++;
	ok = lua_pcall(L, 1, 1, 0) == LUA_OK;
	lm->depth--;
	lm->L = L;
	if (ok && !to_frames(L, &freed)) {
		lua_pop(L, 1);
		freed = 0;
		lua_pushcfunction(L, missing_frames);
		ok = lua_pcall(L, 0, 1, 0) == LUA_OK;
	}
	/* The library's frames are between here and the outer call; a broken machine needs none. */
	if (lm->broken)
		luaL_error(L, "the machine is broken: %s", lm->why);
	if (!ok) {
		keep_error(L, lm);
		return 0;
	}
	lua_pop(L, 1);
	return freed;
}

/* ---- shrinkers ---------------------------------------------------------------------- */

struct lab_shrinker {
	struct hvo_shrinker shrinker;
	struct lab_machine *lm;
	bool registered;
};

static uint64_t scan(struct hvo_shrinker *shrinker, struct hvo_machine *m, uint64_t nr_frames)
{
	struct lab_shrinker *s = shrinker->arg;

	(void)m;
	return call_back(s->lm, s, (lua_Integer)nr_frames);
}

static int machine_shrinker(lua_State *L)
{
	struct lab_machine *lm = lab_machine_wait(L, 1);
	struct lab_shrinker *s;

	luaL_checktype(L, 2, LUA_TFUNCTION);
	s = lua_newuserdatauv(L, sizeof(*s), 1);
	memset(s, 0, sizeof(*s));
	s->lm = lm;
	s->shrinker.size = sizeof(s->shrinker);
	s->shrinker.scan = scan;
	s->shrinker.arg = s;
	luaL_setmetatable(L, LAB_SHRINKER);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	lua_pushvalue(L, 2);
	lua_rawsetp(L, LUA_REGISTRYINDEX, s);
	/* The library has its address as long as the machine is there. */
	lua_pushvalue(L, -1);
	lab_keep(L, 1, s);
	hvo_shrinker_register(lm->box.m, &s->shrinker);
	s->registered = true;
	return 1;
}

static int shrinker_remove(lua_State *L)
{
	struct lab_shrinker *s = luaL_checkudata(L, 1, LAB_SHRINKER);
	int rc;

	lab_enter_wait(L, s->lm);
	if (!s->registered)
		return lab_push_error(L, -HVO_EINVAL);
	rc = hvo_shrinker_unregister(s->lm->box.m, &s->shrinker);
	s->registered = rc != 0;
	lua_pushnil(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, s);
	return lab_return(L, s->lm, rc);
}

static int shrinker_gc(lua_State *L)
{
	struct lab_shrinker *s = luaL_checkudata(L, 1, LAB_SHRINKER);

	/* Its machine is closed, or goes right now. */
	lua_pushnil(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, s);
	return 0;
}

const struct lab_binding lab_shrinker_bindings[] = {
	{ "remove", shrinker_remove, "shrinker:remove() -> true", "it is not called any more" },
	{ NULL, NULL, NULL, NULL },
};

static uint64_t notify(void *arg, struct hvo_machine *m, unsigned int order)
{
	struct lab_machine *lm = arg;

	(void)m;
	return call_back(lm, &lm->has_oom, (lua_Integer)order);
}

static int machine_oom(lua_State *L)
{
	struct lab_machine *lm = lab_machine_wait(L, 1);

	luaL_argcheck(L, lua_isnil(L, 2) || lua_isfunction(L, 2), 2, "a function, or nil for none");
	lm->has_oom = lua_isfunction(L, 2);
	hvo_set_oom_notifier(lm->box.m, lm->has_oom ? notify : NULL, lm);
	lua_settop(L, 2);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &lm->has_oom);
	lua_pushboolean(L, true);
	return 1;
}

/* ---- opening and closing ------------------------------------------------------------- */

/* What the simulated hardware caught, or a broken promise of the library's. */
static void on_fault(void *arg, enum hvo_sim_fault fault, const char *what, uint64_t where)
{
	struct lab_machine *lm = arg;

	(void)fault;
	lm->broken = true;
	(void)snprintf(lm->why, sizeof(lm->why), "%s (%#llx)", what, (unsigned long long)where);
	luaL_error(lm->L, "the simulation stopped: %s", lm->why);
	abort(); /* luaL_error() does not return */
}

static const char *const machine_options[] = {
	"platform", "memory",	"nodes",	 "movable", "cma",  "hotplug",
	"mode",	    "optimize", "max_order",	 "clear",   "seed", "boot_gigantic",
	"min_free", "sparse",	"movable_nodes", "layout",  NULL
};
static const char *const platforms[] = { "sim", "linux", NULL };
static const char *const modes[] = { "on-demand", "linux", NULL };
/* By enum hvo_layout; the first is what is used where none is named. */
static const char *const layouts[] = { "default", "virtual", "table", NULL };
static const char *const clears[] = { "on-alloc", "on-free", "never", NULL };

static uint64_t number_at(lua_State *L, int at, const char *name, lua_Integer max)
{
	int is_integer;
	lua_Integer n = lua_tointegerx(L, at, &is_integer);

	if (!is_integer || n < 0 || n > max)
		luaL_error(L, "%s: there is something in it that is not a number from 0 to %I",
			   name, max);
	return (uint64_t)n;
}

/* A number of all nodes, or a table of numbers by node. */
static void read_boot_gigantic(lua_State *L, int arg, struct hvo_config *cfg)
{
	static const char name[] = "boot_gigantic";
	uint64_t node;

	if (!lab_has(L, arg, name))
		return;
	if (!lua_istable(L, -1)) {
		lua_pop(L, 1);
		cfg->boot_gigantic = (uint32_t)lab_field_count(L, arg, name, 16384, 0);
		return;
	}
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
		node = number_at(L, -2, name, HVO_MAX_NODES - 1);
		cfg->boot_gigantic_nodes[node] = (uint32_t)number_at(L, -1, name, 16384);
	}
	lua_pop(L, 1);
}

/* A list of nodes. */
static uint64_t read_nodes(lua_State *L, int arg, const char *name)
{
	uint64_t nodes = 0;

	if (!lab_has(L, arg, name))
		return 0;
	if (!lua_istable(L, -1))
		luaL_error(L, "%s is a list of nodes", name);
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
		nodes |= UINT64_C(1) << number_at(L, -1, name, HVO_MAX_NODES - 1);
	lua_pop(L, 1);
	return nodes;
}

static void read_config(lua_State *L, int arg, struct hvo_config *cfg)
{
	cfg->memory_bytes = lab_field_size(L, arg, "memory", UINT64_C(1) << 30);
	cfg->movable_bytes = lab_field_size(L, arg, "movable", 0);
	cfg->cma_bytes = lab_field_size(L, arg, "cma", 0);
	cfg->hotplug_bytes = lab_field_size(L, arg, "hotplug", 0);
	cfg->min_free_bytes = lab_field_size(L, arg, "min_free", 0);
	cfg->nr_nodes = (uint32_t)lab_field_count(L, arg, "nodes", HVO_MAX_NODES, 1);
	cfg->max_order = (uint32_t)lab_field_count(L, arg, "max_order", HVO_MAX_ORDER, 0);
	cfg->mode = lab_field_choice(L, arg, "mode", modes, HVO_ON_DEMAND);
	cfg->layout = lab_field_choice(L, arg, "layout", layouts, HVO_LAYOUT_DEFAULT);
	cfg->clear = lab_field_choice(L, arg, "clear", clears, HVO_CLEAR_ON_ALLOC);
	read_boot_gigantic(L, arg, cfg);
	cfg->movable_nodes = read_nodes(L, arg, "movable_nodes");
	cfg->optimize = lab_field_bool(L, arg, "optimize", cfg->mode == HVO_LINUX);
}

static int open_sim(lua_State *L, struct lab_machine *lm, const struct hvo_config *cfg)
{
	struct hvo_sim_options opt = {
		.size = sizeof(opt),
		.seed = lm->box.seed,
		.on_fault = on_fault,
		.on_fault_arg = lm,
	};
	int err;

	lm->L = L;
	err = hvo_sim_create(cfg, &opt, &lm->box.on_sim);
	if (err)
		return err;
	lm->box.m = hvo_sim_machine(lm->box.on_sim);
	events_count(&lm->events, &lm->box);
	return 0;
}

static int open_linux(struct lab_machine *lm, const struct hvo_config *cfg, bool sparse)
{
	struct hvo_linux_options opt = { .size = sizeof(opt), .sparse = sparse };
	int err = box_open(&lm->box, cfg, false, &opt, lm->box.seed);

	if (!err)
		events_count(&lm->events, &lm->box);
	return err;
}

int lab_machine_new(lua_State *L)
{
	struct hvo_config cfg = { .size = sizeof(cfg) };
	struct lab_machine *lm;
	bool sparse, on_sim;
	uint64_t seed;
	int err;

	lua_settop(L, 1);
	lab_options(L, 1, machine_options);
	read_config(L, 1, &cfg);
	sparse = lab_field_bool(L, 1, "sparse", false);
	seed = lab_field_count(L, 1, "seed", INT64_MAX, lab_seed(L));
	on_sim = !lab_field_choice(L, 1, "platform", platforms, 0);
	lua_settop(L, 1);
	/* Machines that nobody has any more may be much larger than they look. */
	lua_gc(L, LUA_GCCOLLECT);
	lm = lua_newuserdatauv(L, sizeof(*lm), 1);
	memset(lm, 0, sizeof(*lm));
	lm->box.seed = seed;
	luaL_setmetatable(L, LAB_MACHINE);
	lua_newtable(L);
	lua_setiuservalue(L, -2, 1);
	err = on_sim ? open_sim(L, lm, &cfg) : open_linux(lm, &cfg, sparse);
	if (err)
		return lab_push_error(L, err);
	lm->owner = lab_hold_owner;
	lm->owner.arg = lm;
	err = hvo_owner_register(lm->box.m, &lm->owner, &lm->owner_id);
	return err ? lab_push_error(L, err) : 1;
}

static void close_machine(lua_State *L, struct lab_machine *lm)
{
	box_close(&lm->box);
	free(lm->holds);
	lm->holds = NULL;
	lm->nr_holds = 0;
	lua_pushnil(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &lm->has_oom);
}

static int machine_close(lua_State *L)
{
	struct lab_machine *lm = luaL_checkudata(L, 1, LAB_MACHINE);

	if (lm->depth && !lm->broken)
		return luaL_error(L, "the machine is in use: not from a shrinker or an "
				     "out-of-memory notifier");
	close_machine(L, lm);
	return 0;
}

static int machine_gc(lua_State *L)
{
	close_machine(L, luaL_checkudata(L, 1, LAB_MACHINE));
	return 0;
}

static int machine_tostring(lua_State *L)
{
	struct lab_machine *lm = luaL_checkudata(L, 1, LAB_MACHINE);

	if (lm->broken || !lm->box.m)
		lua_pushstring(L, lm->broken ? "machine (broken)" : "machine (closed)");
	else
		lua_pushfstring(L, "machine (%s, %I MiB)", lm->box.on_sim ? "sim" : "linux",
				(lua_Integer)(hvo_machine_config(lm->box.m)->memory_bytes >> 20));
	return 1;
}

/* ---- what there is --------------------------------------------------------------------- */

#define COUNTER(type, field)                         \
	{                                            \
#field, offsetof(struct type, field) \
	}

static const struct lab_counter machine_counters[] = {
	COUNTER(hvo_machine_stat, total_frames),
	COUNTER(hvo_machine_stat, free_frames),
	COUNTER(hvo_machine_stat, memmap_boot),
	COUNTER(hvo_machine_stat, head_bytes),
	COUNTER(hvo_machine_stat, memmap),
	COUNTER(hvo_machine_stat, folds),
	COUNTER(hvo_machine_stat, restored),
	COUNTER(hvo_machine_stat, cuts),
	COUNTER(hvo_machine_stat, cut_failures),
	COUNTER(hvo_machine_stat, collapses),
	COUNTER(hvo_machine_stat, collapse_failures),
	COUNTER(hvo_machine_stat, moved),
	COUNTER(hvo_machine_stat, carved_blocks),
	COUNTER(hvo_machine_stat, poisoned),
	COUNTER(hvo_machine_stat, reported),
	COUNTER(hvo_machine_stat, self_hosted_huge),
	COUNTER(hvo_machine_stat, cma_allocs),
	COUNTER(hvo_machine_stat, cma_alloc_failures),
	COUNTER(hvo_machine_stat, compact_scanned),
	COUNTER(hvo_machine_stat, compact_isolated),
	COUNTER(hvo_machine_stat, compact_stalls),
	COUNTER(hvo_machine_stat, compact_successes),
	{ NULL, 0 },
};

static const struct lab_counter zone_counters[] = {
	COUNTER(hvo_zone_stat, start_pfn),
	COUNTER(hvo_zone_stat, end_pfn),
	COUNTER(hvo_zone_stat, present),
	COUNTER(hvo_zone_stat, managed),
	COUNTER(hvo_zone_stat, free),
	COUNTER(hvo_zone_stat, watermark_min),
	COUNTER(hvo_zone_stat, watermark_low),
	COUNTER(hvo_zone_stat, watermark_high),
	COUNTER(hvo_zone_stat, nr_cut),
	COUNTER(hvo_zone_stat, nr_collapsible),
	{ NULL, 0 },
};

static int machine_stat(lua_State *L)
{
	struct lab_machine *lm = lab_machine(L, 1);
	struct hvo_machine_stat stat = { .size = sizeof(stat) };

	hvo_machine_stat(lm->box.m, &stat);
	lab_push_counters(L, machine_counters, &stat);
	return 1;
}

static int machine_zone_stat(lua_State *L)
{
	struct lab_machine *lm = lab_machine(L, 1);
	struct hvo_zone_events events = { .size = sizeof(events) };
	struct hvo_zone_stat stat = { .size = sizeof(stat) };
	unsigned int i;
	int rc;

	rc = hvo_zone_stat(lm->box.m, lab_node(L, 2), lab_zone(L, 3), &stat);
	if (rc)
		return lab_push_error(L, rc);
	lab_push_counters(L, zone_counters, &stat);
	lua_newtable(L);
	for (i = 0; i <= HVO_MAX_ORDER; i++) {
		lua_pushinteger(L, (lua_Integer)stat.nr_free[i]);
		lua_rawseti(L, -2, (lua_Integer)i);
	}
	lua_setfield(L, -2, "nr_free");
	rc = hvo_zone_events(lm->box.m, lab_node(L, 2), lab_zone(L, 3), &events);
	if (rc)
		return lab_push_error(L, rc);
	lab_set_number(L, "allocated", events.allocated);
	lab_set_number(L, "freed", events.freed);
	return 1;
}

static int machine_events(lua_State *L)
{
	struct lab_machine *lm = lab_machine(L, 1);
	unsigned int i;

	lua_newtable(L);
	for (i = 0; i < HVO_EVENT_NR; i++) {
		lab_set_number(L, events_name((enum hvo_event)i), atomic_load(&lm->events.nr[i]));
	}
	return 1;
}

static void push_nodes(lua_State *L, uint64_t nodes)
{
	lua_Integer i = 0;

	lua_newtable(L);
	for (; nodes; nodes &= nodes - 1) {
		lua_pushinteger(L, __builtin_ctzll(nodes));
		lua_rawseti(L, -2, ++i);
	}
}

static int machine_config(lua_State *L)
{
	const struct hvo_config *cfg = hvo_machine_config(lab_machine(L, 1)->box.m);
	static const struct lab_counter counters[] = {
		COUNTER(hvo_config, memory_bytes),   COUNTER(hvo_config, movable_bytes),
		COUNTER(hvo_config, cma_bytes),	     COUNTER(hvo_config, hotplug_bytes),
		COUNTER(hvo_config, min_free_bytes), { NULL, 0 },
	};

	lab_push_counters(L, counters, cfg);
	lab_set_number(L, "nodes", cfg->nr_nodes);
	lab_set_number(L, "max_order", cfg->max_order);
	lab_set_text(L, "mode", modes[cfg->mode]);
	lab_set_text(L, "layout", layouts[cfg->layout]);
	lab_set_text(L, "clear", clears[cfg->clear]);
	lab_set_number(L, "boot_gigantic", cfg->boot_gigantic);
	push_nodes(L, cfg->movable_nodes);
	lua_setfield(L, -2, "movable_nodes");
	lab_set_bool(L, "optimize", cfg->optimize);
	return 1;
}

/* ---- what it does ----------------------------------------------------------------------- */

/* How much was done, and whether another call may do more. */
static int push_done(lua_State *L, struct lab_machine *lm, int64_t done, bool more)
{
	lab_leave(L, lm);
	if (done < 0)
		return lab_push_error(L, (int)done);
	lua_pushinteger(L, done);
	lua_pushboolean(L, more);
	return 2;
}

static int machine_work(lua_State *L)
{
	struct lab_machine *lm = lab_machine_wait(L, 1);
	bool more = false;
	int64_t done = hvo_work(lm->box.m, lab_opt_count(L, 2, INT64_MAX), &more);

	return push_done(L, lm, done, more);
}

static int machine_collapse(lua_State *L)
{
	struct lab_machine *lm = lab_machine_wait(L, 1);
	bool more = false;
	int64_t done = hvo_collapse(lm->box.m, lab_opt_count(L, 2, INT64_MAX), &more);

	return push_done(L, lm, done, more);
}

static int machine_compact(lua_State *L)
{
	struct lab_machine *lm = lab_machine_wait(L, 1);
	unsigned int order = lua_isnoneornil(L, 2) ? HVO_PAGEBLOCK_ORDER : lab_order(L, 2);
	bool more = false;
	int64_t done = hvo_compact(lm->box.m, lab_node(L, 4), order, lab_opt_count(L, 3, INT64_MAX),
				   &more);

	return push_done(L, lm, done, more);
}

static int machine_report_free(lua_State *L)
{
	struct lab_machine *lm = lab_machine_wait(L, 1);
	unsigned int order = lua_isnoneornil(L, 2) ? HVO_PAGEBLOCK_ORDER : lab_order(L, 2);
	bool more = false;
	int64_t done = hvo_report_free(lm->box.m, lab_node(L, 4), order,
				       lab_opt_count(L, 3, INT64_MAX), &more);

	return push_done(L, lm, done, more);
}

static int machine_set_movable_gigantic(lua_State *L)
{
	struct lab_machine *lm = lab_machine_wait(L, 1);

	luaL_checktype(L, 2, LUA_TBOOLEAN);
	hvo_set_movable_gigantic(lm->box.m, lua_toboolean(L, 2));
	return lab_return(L, lm, 0);
}

static int machine_set_min_free(lua_State *L)
{
	struct lab_machine *lm = lab_machine_wait(L, 1);

	return lab_return(L, lm, hvo_set_min_free(lm->box.m, lab_size(L, 2)));
}

static int machine_set_optimize(lua_State *L)
{
	struct lab_machine *lm = lab_machine_wait(L, 1);

	luaL_checktype(L, 2, LUA_TBOOLEAN);
	hvo_set_optimize(lm->box.m, lua_toboolean(L, 2));
	lua_pushboolean(L, true);
	return 1;
}

static int machine_now(lua_State *L)
{
	lua_pushnumber(L, box_now_ns(&lab_machine(L, 1)->box) / 1e9);
	return 1;
}

void lab_pass_time(struct lab_machine *lm, uint64_t ns)
{
	if (lm->box.on_sim)
		hvo_sim_ops.sleep_ns(lm->box.on_sim, ns);
}

/* A signal that came just before it does not end a sleep: somebody looks now and then. */
#define SLEEP_STEP UINT64_C(500000000)

static void sleep_in_steps(lua_State *L, uint64_t ns)
{
	struct timespec ts;
	uint64_t step;

	for (; ns; ns -= step) {
		lab_check_interrupt(L);
		step = ns < SLEEP_STEP ? ns : SLEEP_STEP;
		ts = (struct timespec){ 0, (long)step };
		while (nanosleep(&ts, &ts) && errno == EINTR)
			lab_check_interrupt(L);
	}
}

static int machine_sleep(lua_State *L)
{
	struct lab_machine *lm = lab_machine(L, 1);
	uint64_t ns = lab_time(L, 2);

	lab_pass_time(lm, ns);
	if (lm->box.on_linux)
		sleep_in_steps(L, ns);
	lua_pushboolean(L, true);
	return 1;
}

static void add_finding(void *arg, const struct hvo_finding *f)
{
	lua_State *L = arg;

	/* It is under way in the library: what does not fit is only counted. */
	if (lua_rawlen(L, -1) >= 64)
		return;
	lua_createtable(L, 0, 5);
	lab_set_text(L, "rule", f->rule);
	lab_set_text(L, "what", f->what);
	lab_set_number(L, "where", f->where);
	lab_set_number(L, "expected", f->expected);
	lab_set_number(L, "found", f->found);
	lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

static int machine_audit(lua_State *L)
{
	struct lab_machine *lm = lab_machine_wait(L, 1);
	int64_t nr;

	luaL_checkstack(L, 8, NULL);
	lua_newtable(L);
	nr = hvo_machine_audit(lm->box.m, add_finding, L);
	if (nr < 0)
		return lab_push_error(L, (int)nr);
	lua_pushinteger(L, nr);
	lua_insert(L, -2);
	return 2;
}

const struct lab_binding lab_machine_bindings[] = {
	{ "pool", lab_pool_new, "m:pool{size=\"2M\", policy=, scope=, boot=} -> pool",
	  "the pool of huge pages of that size; made if there is none; policy is a name or a "
	  "table (see hvo.policy), scope a name (see hvo.scopes); boot: so many pages, which count "
	  "as reserved at boot" },
	{ "stat", machine_stat, "m:stat() -> table", "all counters (struct hvo_machine_stat)" },
	{ "zone_stat", machine_zone_stat,
	  "m:zone_stat(node, \"normal\"|\"movable\"|\"cma\") -> table",
	  "of one zone (struct hvo_zone_stat); nr_free[order]; frames allocated and freed so far" },
	{ "config", machine_config, "m:config() -> table", "what it was made of, defaults too" },
	{ "events", machine_events, "m:events() -> table",
	  "how often each event was (enum hvo_event), alloc_failed, free_refused, cut, ..." },
	{ "work", machine_work, "m:work([steps]) -> steps done, more",
	  "hvo_work(): do what was put off; more: the bound ended it, another call may do more" },
	{ "collapse", machine_collapse, "m:collapse([blocks]) -> blocks made whole, more",
	  "hvo_collapse()" },
	{ "compact", machine_compact,
	  "m:compact([order=9 [, frames [, node]]]) -> frames moved, more", "hvo_compact()" },
	{ "report_free", machine_report_free,
	  "m:report_free([order=9 [, frames [, node]]]) -> frames given back, more",
	  "hvo_report_free(): free memory goes back to the system" },
	{ "set_optimize", machine_set_optimize, "m:set_optimize(bool) -> true",
	  "the switch hugetlb_optimize_vmemmap" },
	{ "set_movable_gigantic", machine_set_movable_gigantic,
	  "m:set_movable_gigantic(bool) -> true", "may 1 GiB pages come from zone movable?" },
	{ "set_min_free", machine_set_min_free, "m:set_min_free(size) -> true",
	  "what is kept back below the min watermarks, as vm.min_free_kbytes" },
	{ "shrinker", machine_shrinker, "m:shrinker(fn) -> shrinker",
	  "fn(frames) is called when memory is short; it frees some and returns how many frames" },
	{ "oom", machine_oom, "m:oom(fn|nil) -> true",
	  "the out-of-memory notifier: fn(order) frees some and returns how many frames" },
	{ "now", machine_now, "m:now() -> seconds", "time; virtual on sim" },
	{ "sleep", machine_sleep, "m:sleep(seconds|\"5m\") -> true",
	  "let time pass; costs nothing on sim" },
	{ "audit", machine_audit, "m:audit() -> findings, list",
	  "recount everything; 0 and an empty list if all is well" },
	{ "close", machine_close, "m:close()", "gives back all of it; again does nothing" },
	{ NULL, NULL, NULL, NULL },
};

void lab_machine_classes(lua_State *L)
{
	static const struct lab_binding *const machine[] = { lab_machine_bindings,
							     lab_frames_bindings,
							     lab_range_bindings, lab_work_bindings,
							     NULL };
	static const struct lab_binding *const shrinker[] = { lab_shrinker_bindings, NULL };
	static const luaL_Reg machine_meta[] = { { "__gc", machine_gc },
						 { "__close", machine_close },
						 { "__tostring", machine_tostring },
						 { NULL, NULL } };
	static const luaL_Reg shrinker_meta[] = { { "__gc", shrinker_gc }, { NULL, NULL } };

	lab_class(L, LAB_MACHINE, machine, machine_meta);
	lab_class(L, LAB_SHRINKER, shrinker, shrinker_meta);
}
