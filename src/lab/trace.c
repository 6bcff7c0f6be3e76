// SPDX-License-Identifier: MIT
/*
 * Allocations as somebody recorded them, made again. A line for each, times in nanoseconds:
 *
 *	0 alloc 1 9	block number 1, of 2^9 frames
 *	2500 free 1
 *
 * Empty lines, and what follows a '#', say nothing. Numbers can be used again once they are free.
 */
#include "lab/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct op {
	uint64_t when, id, order;
	bool alloc;
};

/**
 * struct replay - one run
 * @fn: where the script's function is on the stack
 */
struct replay {
	struct lab_hold *hold;
	unsigned int flags;
	uint64_t every, sample, now;
	int fn;
	uint64_t allocs, failed, frees, missed, peak_frames;
};

/* ---- text ---------------------------------------------------------------------------------- */

static const char *skip_blanks(const char *at)
{
	return at + strspn(at, " \t\r");
}

static bool read_number(const char **at, uint64_t *ret)
{
	char *end;

	*at = skip_blanks(*at);
	if (**at < '0' || **at > '9')
		return false;
	errno = 0;
	*ret = strtoull(*at, &end, 10);
	*at = end;
	return !errno;
}

static bool read_word(const char **at, bool *ret_alloc)
{
	*at = skip_blanks(*at);
	*ret_alloc = !strncmp(*at, "alloc ", 6);
	if (!*ret_alloc && strncmp(*at, "free ", 5) != 0)
		return false;
	*at += *ret_alloc ? 6 : 5;
	return true;
}

static bool at_end(const char *at)
{
	at = skip_blanks(at);
	return !*at || *at == '\n' || *at == '#';
}

/* One line that is not empty. */
static bool read_op(const char *at, struct op *op)
{
	op->order = 0;
	return read_number(&at, &op->when) && read_word(&at, &op->alloc) &&
	       read_number(&at, &op->id) && (!op->alloc || read_number(&at, &op->order)) &&
	       at_end(at) && op->id <= LAB_MAX_ID && op->order <= HVO_MAX_ORDER &&
	       op->when <= INT64_MAX;
}

/* ---- what it says is done -------------------------------------------------------------------- */

static void do_alloc(struct replay *r, const struct op *op)
{
	struct hvo_machine *m = r->hold->lm->box.m;
	hvo_pfn_t pfn;

	if (hvo_alloc_pages(m, r->flags, (unsigned int)op->order, HVO_NODE_ANY, &pfn) ||
	    lab_hold_add_id(r->hold, pfn, (unsigned int)op->order, (uint32_t)op->id)) {
		r->failed++;
		return;
	}
	r->allocs++;
	if (r->hold->frames > r->peak_frames)
		r->peak_frames = r->hold->frames;
}

/* Time goes on, with a sample in every so much of it. */
static bool advance(lua_State *L, struct replay *r, uint64_t when)
{
	while (r->fn && r->sample <= when) {
		lab_pass_time(r->hold->lm, r->sample - r->now);
		r->now = r->sample;
		r->sample += r->every;
		if (!lab_sample(L, r->fn, r->now))
			return false;
		lab_enter_wait(L, r->hold->lm);
	}
	lab_pass_time(r->hold->lm, when - r->now);
	r->now = when;
	return true;
}

static const char *do_op(struct replay *r, const struct op *op)
{
	uint64_t place;
	bool there = lab_hold_find(r->hold, op->id, &place);

	if (op->alloc && there)
		return "this number is in use";
	if (op->alloc) {
		do_alloc(r, op);
	} else if (there) {
		lab_hold_put(r->hold, place);
		r->frees++;
	} else {
		r->missed++; /* it had found no place */
	}
	return NULL;
}

static void replay(lua_State *L, struct replay *r, const char *name, const char *text)
{
	const char *why;
	struct op op;
	int line = 1;

	for (; *text && !r->hold->lm->failed; line++) {
		lab_check_interrupt(L);
		if (!at_end(text)) {
			if (!read_op(text, &op))
				luaL_error(L, "%s:%d: not \"NS alloc ID ORDER\" or \"NS free ID\"",
					   name, line);
			if (op.when < r->now)
				luaL_error(L, "%s:%d: time goes backwards", name, line);
			if (!advance(L, r, op.when))
				lua_error(L);
			why = do_op(r, &op);
			if (why)
				luaL_error(L, "%s:%d: %s", name, line, why);
		}
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
}

/* ---- bindings ----------------------------------------------------------------------------------- */

/* All of a file, pushed. */
static const char *read_file(lua_State *L, const char *name)
{
	FILE *f = fopen(name, "re");
	luaL_Buffer b;
	size_t len;

	if (!f)
		luaL_error(L, "%s: %s", name, strerror(errno));
	luaL_buffinit(L, &b);
	do {
		len = fread(luaL_prepbuffer(&b), 1, LUAL_BUFFERSIZE, f);
		luaL_addsize(&b, len);
	} while (len);
	fclose(f);
	luaL_pushresult(&b);
	return lua_tostring(L, -1);
}

static void push_counts(lua_State *L, const struct replay *r)
{
	static const struct lab_counter counters[] = {
		{ "allocs", offsetof(struct replay, allocs) },
		{ "failed", offsetof(struct replay, failed) },
		{ "frees", offsetof(struct replay, frees) },
		{ "missed", offsetof(struct replay, missed) },
		{ "peak_frames", offsetof(struct replay, peak_frames) },
		{ NULL, 0 },
	};

	lab_push_counters(L, counters, r);
	lua_pushnumber(L, (double)r->now / 1e9);
	lua_setfield(L, -2, "time");
}

int lab_replay(lua_State *L)
{
	static const char *const names[] = { "file",  "text",	"flags", "movable",
					     "every", "sample", NULL };
	const char *text, *file;
	struct replay r = { 0 };
	int hog;

	(void)lab_machine_wait(L, 1);
	lua_settop(L, 2);
	lab_options(L, 2, names);
	r.hold = lab_hog_push(L, 1);
	hog = lua_gettop(L);
	r.hold->movable = lab_field_bool(L, 2, "movable", false);
	r.flags = lab_field_flags(L, 2, "flags", HVO_GFP_USER | HVO_GFP_NORETRY | HVO_GFP_NOWARN);
	r.every = lab_field_time(L, 2, "every", 0);
	r.sample = r.every;
	if (lab_has(L, 2, "sample") != (r.every > 0))
		luaL_error(L, "sample and every belong together");
	r.fn = r.every ? lua_gettop(L) : 0;
	if (r.fn && !lua_isfunction(L, r.fn))
		luaL_error(L, "sample: a function");
	file = lab_field_string(L, 2, "file");
	text = lab_field_string(L, 2, "text");
	if (!file == !text)
		luaL_error(L, "file or text says what is to be done");
	replay(L, &r, file ? file : "text", file ? read_file(L, file) : text);
	lab_leave(L, r.hold->lm);
	lua_pushvalue(L, hog);
	push_counts(L, &r);
	return 2;
}
