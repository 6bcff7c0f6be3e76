// SPDX-License-Identifier: MIT
/*
 * Scripts of the lab: bindings called with arguments of any kind, in any order; and traces. A
 * script could do anything to the host, so the input does not say its text, but which of these
 * calls and values it is made of.
 */
#include "parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include "lab/internal.h"

#define MAX_CALLS 12u
#define MAX_VALUES 4u
#define NR_OF(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
	const char *object;
	const struct lab_binding *bindings;
} objects[] = {
	{ "m", lab_machine_bindings },	{ "m", lab_frames_bindings },
	{ "m", lab_range_bindings },	{ "m", lab_work_bindings },
	{ "p", lab_pool_bindings },	{ "c", lab_cma_bindings },
	{ "h", lab_hog_bindings },	{ "w", lab_churn_bindings },
	{ "hvo", lab_module_bindings }, { "s", lab_shrinker_bindings },
	{ "r", lab_pool_bindings },	{ "r", lab_hog_bindings },
};

/* r: what the last call returned; t: a text of the input; n: a number of it. */
static const char *const values[] = {
	"nil",
	"r",
	"t",
	"n",
	"0",
	"1",
	"9",
	"-1",
	"2^53",
	"math.mininteger",
	"math.maxinteger",
	"0/0",
	"1/0",
	"0.5",
	"true",
	"false",
	"{}",
	"m",
	"p",
	"h",
	"c",
	"'2M'",
	"'1G'",
	"'99999T'",
	"'kernel'",
	"'user,zero'",
	"'movable'",
	"'alloc-then-carve'",
	"'normal'",
	"32768",
	"33280",
	"65536",
	"function() error('no') end",
	"function() m:close() end",
	"function() return m:alloc(0) end",
	"function() return -1 end",
	"function(...) return ... end",
	"{size='2M', boot=n}",
	"{size='2M', policy=t}",
	"{size=n}",
	"{order=n, flags=t}",
	"{every=1, mix={{order=n, weight=1, life=1}}}",
	"{every=n, mix={{pool=p, life=t}}}",
	"{ops=10}",
	"{ops=n % 64, every=0.5, sample=function() m:close() end}",
	"{ops=-1}",
	"{movable=true}",
	"{movable=r, node=n}",
	"{name=t, retry=true, steps={{source='alloc', retries=n}}}",
	"{steps={{source=t, delay=n}}}",
	"{title=t, series={{name=t, points={{n, r}, {t, t}}}}}",
	"{columns={t, t}, rows={{n, t}, {}}}",
	"setmetatable({}, {__index=function() error('x') end})",
	"{text=t, every=1, sample=function() m:close() end}",
	"{text=t}",
	"{[t]=t}",
	"string.rep('9', 400)",
	"coroutine.create(print)",
	"{m, m}",
	"-n",
	"n * 512",
	"r, r",
};

static bool is_allowed(const char *object, const char *name)
{
	/* Machines of any size; and what is for eyes. */
	return strcmp(object, "hvo") != 0 ||
	       (strcmp(name, "machine") != 0 && strcmp(name, "help") != 0);
}

static const struct lab_binding *choose(const struct lab_binding *list, uint8_t choice)
{
	unsigned int nr = 0;

	while (list[nr].name)
		nr++;
	return &list[choice % nr];
}

static void run(lua_State *L, const char *text)
{
	char *error = NULL;

	(void)lab_run_line(L, text, &error);
	free(error);
}

/* Nothing that a script does may break the machine. */
static void check(lua_State *L)
{
	static const char text[] = "local ok, n = pcall(m.audit, m)\n"
				   "if ok and n ~= 0 then error('audit') end";
	char *error = NULL;

	if (lab_run_line(L, text, &error) != LAB_LINE_OK)
		parse_wrong(error);
	free(error);
}

static lua_State *open_lab(void)
{
	static const struct lab_options opt = { .seed = 1, .quick = true };
	lua_State *L = lab_open(&opt);

	must(L, "out of memory");
	lua_pushinteger(L, HVO_SECTION_SIZE);
	lua_setglobal(L, "size");
	run(L, "m = assert(hvo.machine{memory=2*size, movable=size, hotplug=size})");
	return L;
}

static void call(lua_State *L, struct input *in)
{
	unsigned int o = input_byte(in) % NR_OF(objects), nr, i;
	const struct lab_binding *b = choose(objects[o].bindings, input_byte(in));
	const char *object = objects[o].object;
	char text[1024];
	int len;

	if (!is_allowed(object, b->name))
		return;
	len = snprintf(text, sizeof(text), "r = %s%c%s(", object, strcmp(object, "hvo") ? ':' : '.',
		       b->name);
	nr = input_byte(in) % (MAX_VALUES + 1);
	for (i = 0; i < nr; i++)
		len += snprintf(text + len, sizeof(text) - (size_t)len, "%s%s", i ? ", " : "",
				values[input_byte(in) % NR_OF(values)]);
	(void)snprintf(text + len, sizeof(text) - (size_t)len, ")");
	run(L, text);
}

/* A number and a text, and calls: object, binding, how many values, values. */
void parse_script(struct input *in)
{
	uint64_t n = input_byte(in) | (uint64_t)input_byte(in) << 8;
	char *text = input_text(in);
	lua_State *L = open_lab();
	unsigned int i;

	lua_pushinteger(L, (lua_Integer)n);
	lua_setglobal(L, "n");
	lua_pushstring(L, text);
	lua_setglobal(L, "t");
	free(text);
	run(L, "p = m:pool{size='2M'}");
	run(L, "p:resize(2)");
	run(L, "h = m:hog{movable=true}");
	run(L, "s = m:shrinker(function() return 0 end)");
	run(L, "w = m:churn{every='1ms', mix={{order=0, weight=1, life='1s'}}}");
	for (i = 0; in->left && i < MAX_CALLS; i++)
		call(L, in);
	check(L);
	lab_close(L);
}

void parse_trace(struct input *in)
{
	char *text = input_text(in);
	lua_State *L = open_lab();

	lua_pushstring(L, text);
	lua_setglobal(L, "t");
	free(text);
	run(L, "h, r = m:replay{text=t}");
	run(L, "h:release()");
	check(L);
	lab_close(L);
}
