// SPDX-License-Identifier: MIT
/*
 * Churn: blocks of a mix come and live for a while. Everything follows from the seed.
 *
 * Times between arrivals, and lifetimes, are spread evenly between nothing and twice their
 * mean; a mix of several kinds has long-lived blocks among short-lived ones.
 */
#include "lab/internal.h"

#include <stdlib.h>
#include <string.h>

#define MAX_KINDS 16

struct kind {
	struct hvo_pool *pool; /* NULL: ordinary memory */
	unsigned int order;
	unsigned int flags;
	uint64_t weight; /* of this kind and those before */
	uint64_t life_ns;
};

struct expiry {
	uint64_t when;
	uint32_t id;
};

/**
 * struct churn - as userdata
 * @heap: when blocks are to go, the next one first
 * @unused: numbers that no block has
 * @next_id: above all that were ever used
 * @now, @next: time since the start; the next arrival
 * @told: the time that the machine's clock knows of
 */
struct churn {
	struct lab_hold hold;
	struct kind kinds[MAX_KINDS];
	unsigned int nr_kinds;
	uint64_t every_ns;
	uint64_t rng;
	bool running;
	struct expiry *heap;
	uint64_t nr_heap, max_heap;
	uint32_t *unused;
	uint64_t nr_unused, max_unused;
	uint32_t next_id;
	uint64_t now, next;
	uint64_t told, steps;
	uint64_t allocs, failed, frees;
};

/* ---- when what goes ---------------------------------------------------------------------- */

static bool before(const struct expiry *a, const struct expiry *b)
{
	return a->when != b->when ? a->when < b->when : a->id < b->id;
}

static void swap(struct expiry *a, struct expiry *b)
{
	struct expiry c = *a;

	*a = *b;
	*b = c;
}

static bool heap_push(struct churn *c, struct expiry e)
{
	uint64_t max = c->max_heap ? c->max_heap * 2 : 256, i;

	if (c->nr_heap == c->max_heap) {
		struct expiry *more = realloc(c->heap, max * sizeof(*more));

		if (!more)
			return false;
		c->heap = more;
		c->max_heap = max;
	}
	i = c->nr_heap++;
	c->heap[i] = e;
	for (; i && before(&c->heap[i], &c->heap[(i - 1) / 2]); i = (i - 1) / 2)
		swap(&c->heap[i], &c->heap[(i - 1) / 2]);
	return true;
}

static struct expiry heap_pop(struct churn *c)
{
	struct expiry first = c->heap[0];
	uint64_t i = 0, child;

	c->heap[0] = c->heap[--c->nr_heap];
	while ((child = 2 * i + 1) < c->nr_heap) {
		if (child + 1 < c->nr_heap && before(&c->heap[child + 1], &c->heap[child]))
			child++;
		if (!before(&c->heap[child], &c->heap[i]))
			break;
		swap(&c->heap[child], &c->heap[i]);
		i = child;
	}
	return first;
}

/* ---- numbers -------------------------------------------------------------------------------- */

static uint32_t get_id(struct churn *c)
{
	return c->nr_unused ? c->unused[--c->nr_unused] : c->next_id++;
}

/* Without memory the number is never used again. */
static void put_id(struct churn *c, uint32_t id)
{
	uint64_t max = c->max_unused ? c->max_unused * 2 : 256;

	if (c->nr_unused == c->max_unused) {
		uint32_t *more = realloc(c->unused, max * sizeof(*more));

		if (!more)
			return;
		c->unused = more;
		c->max_unused = max;
	}
	c->unused[c->nr_unused++] = id;
}

/* Between nothing and twice @mean. */
static uint64_t spread(struct churn *c, uint64_t mean)
{
	return rng_next(&c->rng) % (2 * mean + 1);
}

/* ---- what happens ------------------------------------------------------------------------------ */

static const struct kind *choose_kind(struct churn *c)
{
	uint64_t r = rng_next(&c->rng) % c->kinds[c->nr_kinds - 1].weight;
	unsigned int i = 0;

	while (r >= c->kinds[i].weight)
		i++;
	return &c->kinds[i];
}

/* Something comes, or finds no place. */
static void arrive(struct churn *c)
{
	const struct kind *kind = choose_kind(c);
	struct hvo_machine *m = c->hold.lm->box.m;
	struct expiry e = { .when = c->now + spread(c, kind->life_ns) };
	hvo_pfn_t pfn;
	int err;

	c->next = c->now + spread(c, c->every_ns);
	if (kind->pool)
		err = hvo_pool_alloc(kind->pool, kind->flags, HVO_NODE_ANY, &pfn);
	else
		err = hvo_alloc_pages(m, kind->flags, kind->order, HVO_NODE_ANY, &pfn);
	if (err) {
		c->failed++;
		return;
	}
	e.id = get_id(c);
	if (lab_hold_add_id(&c->hold, pfn, kind->order, e.id)) {
		put_id(c, e.id);
		c->failed++;
		return;
	}
	c->allocs++;
	/* Without memory for it, it stays for good. */
	(void)heap_push(c, e);
}

static void expire(struct churn *c)
{
	struct expiry e = heap_pop(c);
	uint64_t place;

	if (!lab_hold_find(&c->hold, e.id, &place))
		return;
	lab_hold_put(&c->hold, place);
	put_id(c, e.id);
	c->frees++;
}

/* The machine's clock is told now and then: a step of it costs more than what happens here. */
#define STEPS_A_TICK 64

static void tell_time(struct churn *c)
{
	if (c->now > c->told)
		lab_pass_time(c->hold.lm, c->now - c->told);
	c->told = c->now;
}

static void pass(struct churn *c, uint64_t until)
{
	c->now = until;
	if (++c->steps % STEPS_A_TICK == 0)
		tell_time(c);
}

/* The next thing, if it comes no later than @until. */
static bool step(struct churn *c, uint64_t until)
{
	uint64_t gone = c->nr_heap ? c->heap[0].when : UINT64_MAX;
	uint64_t next = gone <= c->next ? gone : c->next;

	if (next > until) {
		pass(c, until);
		return false;
	}
	pass(c, next);
	if (gone <= c->next)
		expire(c);
	else
		arrive(c);
	return true;
}

bool lab_sample(lua_State *L, int fn, uint64_t ns)
{
	lua_pushvalue(L, fn);
	lua_pushnumber(L, (double)ns / 1e9);
	return lua_pcall(L, 1, 0, 0) == LUA_OK;
}

/* ---- bindings ---------------------------------------------------------------------------------- */

#define LONGEST UINT64_C(4000000000000000000)

static void read_kind(lua_State *L, int at, struct churn *c, uint64_t weight_before)
{
	static const char *const names[] = { "order", "pool", "weight", "life", "flags", NULL };
	struct kind *kind = &c->kinds[c->nr_kinds];
	struct lab_pool *pool;

	luaL_checktype(L, at, LUA_TTABLE);
	lab_options(L, at, names);
	kind->order = (unsigned int)lab_field_count(L, at, "order", HVO_MAX_ORDER, 0);
	kind->weight = weight_before + lab_field_count(L, at, "weight", 1000000, 1);
	kind->life_ns = lab_field_time(L, at, "life", UINT64_C(60000000000));
	if (kind->life_ns > LONGEST)
		luaL_error(L, "life: too long");
	kind->flags =
		lab_field_flags(L, at, "flags", HVO_GFP_USER | HVO_GFP_NORETRY | HVO_GFP_NOWARN);
	if (lab_has(L, at, "pool")) {
		pool = lab_pool(L, lua_gettop(L));
		if (pool->lm != c->hold.lm)
			luaL_error(L, "pool: of another machine");
		kind->pool = pool->pool;
		kind->order = pool->order;
	}
	c->nr_kinds++;
}

static void read_mix(lua_State *L, int at, struct churn *c)
{
	uint64_t weight = 0;
	lua_Unsigned nr, i;
	int mix;

	if (!lab_has(L, at, "mix") || !lua_istable(L, -1))
		luaL_error(L, "mix: a list of what comes and goes");
	mix = lua_gettop(L);
	nr = lua_rawlen(L, mix);
	if (nr > MAX_KINDS)
		luaL_error(L, "mix: %d kinds at most", MAX_KINDS);
	for (i = 1; i <= nr; i++) {
		lua_rawgeti(L, mix, (lua_Integer)i);
		read_kind(L, lua_gettop(L), c, weight);
		weight = c->kinds[c->nr_kinds - 1].weight;
		lua_settop(L, mix);
	}
	if (!weight)
		luaL_error(L, "mix: nothing comes");
	lua_settop(L, mix - 1);
}

int lab_churn_new(lua_State *L)
{
	static const char *const names[] = { "every", "mix", "movable", "seed", NULL };
	struct churn *c;

	(void)lab_machine_wait(L, 1);
	lua_settop(L, 2);
	lab_options(L, 2, names);
	c = (struct churn *)lab_hold_new(L, 1, sizeof(*c), LAB_CHURN);
	c->every_ns = lab_field_time(L, 2, "every", UINT64_C(1000000000));
	if (!c->every_ns || c->every_ns > LONGEST)
		luaL_error(L, "every: a time between 1ns and 100 years");
	c->rng = lab_field_count(L, 2, "seed", INT64_MAX, lab_seed(L));
	c->hold.movable = lab_field_bool(L, 2, "movable", false);
	read_mix(L, 2, c);
	lua_settop(L, 3);
	return 1;
}

static struct churn *churn_wait(lua_State *L)
{
	struct churn *c = luaL_checkudata(L, 1, LAB_CHURN);

	lab_enter_wait(L, c->hold.lm);
	if (c->running)
		luaL_error(L, "this churn is running");
	return c;
}

static void push_totals(lua_State *L, const struct churn *c)
{
	static const struct lab_counter counters[] = {
		{ "allocs", offsetof(struct churn, allocs) },
		{ "failed", offsetof(struct churn, failed) },
		{ "frees", offsetof(struct churn, frees) },
		{ NULL, 0 },
	};

	lab_push_counters(L, counters, c);
	lua_pushinteger(L, (lua_Integer)c->hold.nr);
	lua_setfield(L, -2, "blocks");
	lua_pushinteger(L, (lua_Integer)c->hold.frames);
	lua_setfield(L, -2, "frames");
	lua_pushnumber(L, (double)c->now / 1e9);
	lua_setfield(L, -2, "time");
}

/* Until @end, or @ops have happened. Is the script's function content? */
static bool run(lua_State *L, struct churn *c, uint64_t end, uint64_t ops, uint64_t every, int fn)
{
	uint64_t sample = every ? c->now + every : UINT64_MAX, until;

	while (ops && !c->hold.lm->failed && !lab_interrupted()) {
		until = sample < end ? sample : end;
		if (step(c, until)) {
			ops--;
			continue;
		}
		tell_time(c);
		if (until == sample) {
			if (!lab_sample(L, fn, c->now))
				return false;
			/* It may have closed it. */
			if (!c->hold.lm->box.m || c->hold.lm->broken)
				return true;
			sample = sample > UINT64_MAX - every ? UINT64_MAX : sample + every;
		}
		if (until == end)
			return true;
	}
	tell_time(c);
	return true;
}

static int churn_run(lua_State *L)
{
	static const char *const names[] = { "time", "ops", "every", "sample", NULL };
	struct churn *c = churn_wait(L);
	uint64_t ns, ops, every;
	bool ok;

	lua_settop(L, 2);
	lab_options(L, 2, names);
	ns = lab_field_time(L, 2, "time", UINT64_MAX);
	ops = lab_field_count(L, 2, "ops", INT64_MAX, UINT64_MAX);
	every = lab_field_time(L, 2, "every", 0);
	if (ns == UINT64_MAX && ops == UINT64_MAX)
		luaL_error(L, "how long? time or ops says so");
	if (lab_has(L, 2, "sample") != (every > 0))
		luaL_error(L, "sample and every belong together");
	lua_settop(L, 3);
	if (every && !lua_isfunction(L, 3))
		luaL_error(L, "sample: a function");
	if (c->now > LONGEST || (ns != UINT64_MAX && ns > LONGEST))
		luaL_error(L, "time: too long");
	c->running = true;
	ok = run(L, c, ns == UINT64_MAX ? UINT64_MAX : c->now + ns, ops, every, 3);
	c->running = false;
	if (!ok)
		return lua_error(L);
	lab_leave(L, c->hold.lm);
	lab_check_interrupt(L);
	push_totals(L, c);
	return 1;
}

static int churn_stat(lua_State *L)
{
	struct churn *c = luaL_checkudata(L, 1, LAB_CHURN);

	lab_enter(L, c->hold.lm);
	push_totals(L, c);
	return 1;
}

static int churn_release(lua_State *L)
{
	struct churn *c = churn_wait(L);
	uint64_t nr = c->hold.nr;

	while (c->nr_heap)
		expire(c);
	while (c->hold.nr)
		lab_hold_put(&c->hold, c->hold.nr - 1);
	lab_leave(L, c->hold.lm);
	lua_pushinteger(L, (lua_Integer)nr);
	return 1;
}

static int churn_gc(lua_State *L)
{
	struct churn *c = luaL_checkudata(L, 1, LAB_CHURN);

	lab_hold_free(&c->hold);
	free(c->heap);
	free(c->unused);
	c->heap = NULL;
	c->unused = NULL;
	c->nr_heap = c->nr_unused = 0;
	return 0;
}

const struct lab_binding lab_churn_bindings[] = {
	{ "run", churn_run, "churn:run{time=\"1h\"|ops=n, every=, sample=fn} -> {}",
	  "goes on for so long; sample(seconds) is called in every such time. Time is virtual, "
	  "that of the machine on sim" },
	{ "stat", churn_stat, "churn:stat() -> {allocs=, failed=, frees=, blocks=, frames=, time=}",
	  "since the start; blocks and frames: held now" },
	{ "release", churn_release, "churn:release() -> blocks", "give back everything" },
	{ NULL, NULL, NULL, NULL },
};

void lab_churn_classes(lua_State *L)
{
	static const struct lab_binding *const churn[] = { lab_churn_bindings, NULL };
	static const luaL_Reg meta[] = { { "__gc", churn_gc }, { NULL, NULL } };

	lab_class(L, LAB_CHURN, churn, meta);
}
