// SPDX-License-Identifier: MIT
/*
 * The state that a script runs in: libraries, the module hvo, errors with file and line.
 */
#include "lab/internal.h"

#include "common/cli.h"
#include "common/progress.h"
#include "common/text.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Keys of the registry. */
static const char key_options, key_show;

/* ---- what every state begins with -------------------------------------------------- */

/*
 * The order of keys in a table differs from run to run, and what a script does may not: pairs()
 * goes through them in order. Returns pairs() and a function that shows values as a person
 * wants to see them.
 */
static const char prelude[] =
	"local next, type, sort, getmetatable, tostring = next, type, table.sort, getmetatable, "
	"tostring\n"
	"local plain, concat, format, print, select = pairs, table.concat, string.format, print, "
	"select\n"
	"local rank = { number = 1, string = 2 }\n"
	"local function before(a, b)\n"
	"  local x, y = type(a), type(b)\n"
	"  if x == y then return a < b end\n"
	"  return rank[x] < rank[y]\n"
	"end\n"
	"local function ordered(t)\n"
	"  local keys, rest = {}, {}\n"
	"  for k in next, t do\n"
	"    local into = rank[type(k)] and keys or rest\n"
	"    into[#into + 1] = k\n"
	"  end\n"
	"  sort(keys, before)\n"
	"  for i = 1, #rest do keys[#keys + 1] = rest[i] end\n"
	"  return keys\n"
	"end\n"
	"local function pairs(t)\n"
	"  local mt = getmetatable(t)\n"
	"  if type(mt) == 'table' and mt.__pairs then return plain(t) end\n"
	"  if type(t) ~= 'table' then\n"
	"    error('pairs() needs a table, this is ' .. type(t), 2)\n"
	"  end\n"
	"  local keys, i = ordered(t), 0\n"
	"  return function()\n"
	"    while true do\n"
	"      i = i + 1\n"
	"      local k = keys[i]\n"
	"      if k == nil then return nil end\n"
	"      local v = t[k]\n"
	"      if v ~= nil then return k, v end\n"
	"    end\n"
	"  end\n"
	"end\n"
	"local function text(v, depth)\n"
	"  if type(v) == 'string' then return depth > 0 and format('%q', v) or v end\n"
	"  if type(v) ~= 'table' or depth > 3 then return tostring(v) end\n"
	"  local parts, n = {}, #v\n"
	"  for i = 1, n do parts[i] = text(v[i], depth + 1) end\n"
	"  for _, k in plain(ordered(v)) do\n"
	"    if not (type(k) == 'number' and k >= 1 and k <= n) then\n"
	"      parts[#parts + 1] = tostring(k) .. ' = ' .. text(v[k], depth + 1)\n"
	"    end\n"
	"  end\n"
	"  local all = '{ ' .. concat(parts, ', ') .. ' }'\n"
	"  if depth > 0 or #all <= 80 then return all end\n"
	"  return '{\\n  ' .. concat(parts, ',\\n  ') .. '\\n}'\n"
	"end\n"
	"local function show(...)\n"
	"  for i = 1, select('#', ...) do print(text(select(i, ...), 0)) end\n"
	"end\n"
	"return pairs, show\n";

static const struct lab_options *options(lua_State *L)
{
	const struct lab_options *opt;

	lua_rawgetp(L, LUA_REGISTRYINDEX, &key_options);
	opt = lua_touserdata(L, -1);
	lua_pop(L, 1);
	return opt;
}

uint64_t lab_seed(lua_State *L)
{
	return options(L)->seed;
}

/* ---- interruptions ------------------------------------------------------------------ */

/* Often enough for a person, too seldom to cost anything. */
#define INSTRUCTIONS_A_LOOK 1000

static volatile sig_atomic_t interrupted;

void lab_interrupt(void)
{
	interrupted = 1;
}

bool lab_interrupted(void)
{
	return interrupted;
}

void lab_check_interrupt(lua_State *L)
{
	if (interrupted)
		luaL_error(L, "interrupted");
}

/* A script that catches the error does not get far: it comes again at each instruction. */
static void look(lua_State *L, lua_Debug *at)
{
	(void)at;
	if (interrupted)
		lua_sethook(L, look, LUA_MASKCOUNT, 1);
	lab_check_interrupt(L);
}

/* Coroutines inherit it. */
static void start_looking(lua_State *L)
{
	interrupted = 0;
	if (options(L)->interruptible)
		lua_sethook(L, look, LUA_MASKCOUNT, INSTRUCTIONS_A_LOOK);
}

/* ---- classes ------------------------------------------------------------------------ */

/*
 * A field that is not there: a name with a typing error. The bindings, in upvalues, are looked
 * through for what it may have been.
 */
static int no_such_field(lua_State *L)
{
	const char *of = lua_tostring(L, lua_upvalueindex(1)), *name = luaL_tolstring(L, 2, NULL);
	const char *near = NULL;
	int i;

	for (i = 2; !near && !lua_isnone(L, lua_upvalueindex(i)); i++)
		near = text_near(name, lua_touserdata(L, lua_upvalueindex(i)),
				 sizeof(struct lab_binding));
	return luaL_error(L, "%s has no '%s'%s%s%s", of, name, near ? "; did you mean '" : "",
			  near ? near : "", near ? "'?" : "");
}

/* For the table on top of the stack. */
static void refuse_unknown(lua_State *L, const char *name, const struct lab_binding *const *lists)
{
	int nr = 1;

	lua_newtable(L);
	lua_pushstring(L, name);
	for (; *lists; lists++, nr++)
		lua_pushlightuserdata(L, (void *)(uintptr_t)*lists);
	lua_pushcclosure(L, no_such_field, nr);
	lua_setfield(L, -2, "__index");
	lab_set_bool(L, "__metatable", false);
	lua_setmetatable(L, -2);
}

void lab_class(lua_State *L, const char *name, const struct lab_binding *const *lists,
	       const luaL_Reg *meta)
{
	const struct lab_binding *const *list, *b;

	luaL_newmetatable(L, name);
	luaL_setfuncs(L, meta, 0);
	lab_set_bool(L, "__metatable", false);
	lua_newtable(L);
	for (list = lists; *list; list++)
		for (b = *list; b->name; b++) {
			lua_pushcfunction(L, b->fn);
			lua_setfield(L, -2, b->name);
		}
	refuse_unknown(L, name, lists);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
}

/* ---- the module -------------------------------------------------------------------- */

static int module_clock(lua_State *L)
{
	lua_pushnumber(L, (double)cli_now_ns() / 1e9);
	return 1;
}

static int module_usage(lua_State *L)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	lua_newtable(L);
	lab_set_number(L, "max_bytes", (uint64_t)ru.ru_maxrss * 1024);
	lua_pushnumber(L, (double)ru.ru_utime.tv_sec + (double)ru.ru_utime.tv_usec / 1e6);
	lua_setfield(L, -2, "user");
	lua_pushnumber(L, (double)ru.ru_stime.tv_sec + (double)ru.ru_stime.tv_usec / 1e6);
	lua_setfield(L, -2, "system");
	return 1;
}

static int module_progress(lua_State *L)
{
	double done = luaL_checknumber(L, 1), total = luaL_checknumber(L, 2);

	progress_show(total > 0 ? done / total : 0, luaL_optstring(L, 3, ""));
	return 0;
}

static int module_size(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)lab_size(L, 1));
	return 1;
}

static int module_help(lua_State *L)
{
	(void)L;
	lab_print_help(stdout);
	return 0;
}

const struct lab_binding lab_module_bindings[] = {
	{ "machine", lab_machine_new,
	  "hvo.machine{platform=\"sim\"|\"linux\", memory=\"1G\", nodes=1, movable=, cma=, "
	  "hotplug=, mode=\"on-demand\"|\"linux\", layout=\"table\"|\"virtual\", optimize=, max_order=18, "
	  "clear=\"on-alloc\"|\"on-free\"|\"never\", seed=, boot_gigantic=, movable_nodes=, min_free=, "
	  "sparse=} -> m",
	  "a machine; movable, cma and hotplug are sizes, of each node but for hotplug; "
	  "boot_gigantic is a number, or a table of them by node: {[0]=2, [1]=3}; movable_nodes a "
	  "list of nodes without NORMAL memory; sparse: on linux, do not allocate its memory in "
	  "advance" },
	{ "policies", lab_policies, "hvo.policies() -> list", "names of the restore policies" },
	{ "policy", lab_policy, "hvo.policy(name [, retries]) -> table",
	  "a policy as data: name, retry, heal, demote_heads, and its steps {source=\"alloc\"|"
	  "\"carve\"|\"oom\", flags=, retries=, delay=}; change it for one of your own; "
	  "with retries, one that waits without end tries so often only" },
	{ "scopes", lab_scopes, "hvo.scopes() -> list",
	  "names of the scopes: all (pages are folded), boot (those reserved at boot), normal "
	  "(those in that zone), unmovable (all are there, and stay)" },
	{ "result", lab_result,
	  "hvo.result(name, {title=, question=, parameters={}, x=, y=, logx=, logy=, "
	  "series={{name=, points={{x, y}, ...}}, ...}, columns={}, rows={{}, ...}, notes={}})",
	  "something found: goes to the JSON and the report. Points whose x are strings become "
	  "bars" },
	{ "progress", module_progress, "hvo.progress(done, total [, what])",
	  "how far it is: on a terminal only" },
	{ "size", module_size, "hvo.size(\"2M\") -> bytes", "what a size stands for" },
	{ "clock", module_clock, "hvo.clock() -> seconds", "real time, from some start on" },
	{ "usage", module_usage, "hvo.usage() -> {max_bytes=, user=, system=}",
	  "what this process used, as getrusage() says" },
	{ "help", module_help, "hvo.help()", "all of this" },
	{ NULL, NULL, NULL, NULL },
};

static void open_module(lua_State *L, const struct lab_options *opt)
{
	static const struct lab_binding *const lists[] = { lab_module_bindings, NULL };
	const struct lab_binding *b;

	lua_newtable(L);
	for (b = lab_module_bindings; b->name; b++) {
		lua_pushcfunction(L, b->fn);
		lua_setfield(L, -2, b->name);
	}
	lab_set_number(L, "seed", opt->seed);
	lab_set_bool(L, "quick", opt->quick);
	refuse_unknown(L, "hvo", lists);
	lua_setglobal(L, "hvo");
}

/* ---- opening ----------------------------------------------------------------------- */

/* load() of text only: the checks of binary code are not made for malice. */
static int load_text(lua_State *L)
{
	int nr;

	lua_settop(L, 4);
	lua_pushliteral(L, "t");
	lua_replace(L, 3);
	if (lua_isnil(L, 4))
		lua_settop(L, 3);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	nr = lua_gettop(L) - 1;
	lua_call(L, nr, LUA_MULTRET);
	return lua_gettop(L);
}

/* The same of files: dofile() runs it, loadfile() returns the function. */
static int load_file(lua_State *L)
{
	if (luaL_loadfilex(L, luaL_checkstring(L, 1), "t") == LUA_OK)
		return 1;
	lua_pushnil(L);
	lua_insert(L, -2);
	return 2;
}

static int do_file(lua_State *L)
{
	lua_settop(L, 1);
	if (luaL_loadfilex(L, luaL_checkstring(L, 1), "t") != LUA_OK)
		return lua_error(L);
	lua_call(L, 0, LUA_MULTRET);
	return lua_gettop(L) - 1;
}

/* What can undermine what the bindings rely on is left out: debug, C modules. */
static void open_libraries(lua_State *L)
{
	static const luaL_Reg libraries[] = {
		{ LUA_GNAME, luaopen_base },
		{ LUA_COLIBNAME, luaopen_coroutine },
		{ LUA_TABLIBNAME, luaopen_table },
		{ LUA_IOLIBNAME, luaopen_io },
		{ LUA_OSLIBNAME, luaopen_os },
		{ LUA_STRLIBNAME, luaopen_string },
		{ LUA_MATHLIBNAME, luaopen_math },
		{ LUA_UTF8LIBNAME, luaopen_utf8 },
		{ NULL, NULL },
	};
	const luaL_Reg *lib;

	for (lib = libraries; lib->func; lib++) {
		luaL_requiref(L, lib->name, lib->func, 1);
		lua_pop(L, 1);
	}
	lua_getglobal(L, "load");
	lua_pushcclosure(L, load_text, 1);
	lua_setglobal(L, "load");
	lua_register(L, "loadfile", load_file);
	lua_register(L, "dofile", do_file);
}

static void seed_random(lua_State *L, uint64_t seed)
{
	lua_getglobal(L, "math");
	lua_getfield(L, -1, "randomseed");
	lua_pushinteger(L, (lua_Integer)seed);
	lua_call(L, 1, 0);
	lua_pop(L, 1);
}

static void run_prelude(lua_State *L)
{
	if (luaL_loadbufferx(L, prelude, sizeof(prelude) - 1, "=hvo", "t") != LUA_OK)
		lua_error(L);
	lua_call(L, 0, 2);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &key_show);
	lua_setglobal(L, "pairs");
}

static void push_arguments(lua_State *L, char **args)
{
	int i;

	lua_newtable(L);
	for (i = 0; args && args[i]; i++) {
		lua_pushstring(L, args[i]);
		lua_rawseti(L, -2, i + 1);
	}
	lua_setglobal(L, "arg");
}

static int open_protected(lua_State *L)
{
	const struct lab_options *opt = lua_touserdata(L, 1);
	struct lab_options *copy = lua_newuserdatauv(L, sizeof(*copy), 0);

	*copy = *opt;
	lua_rawsetp(L, LUA_REGISTRYINDEX, &key_options);
	open_libraries(L);
	run_prelude(L);
	seed_random(L, opt->seed);
	push_arguments(L, opt->args);
	lab_machine_classes(L);
	lab_pool_classes(L);
	lab_range_classes(L);
	lab_hold_classes(L);
	lab_churn_classes(L);
	open_module(L, opt);
	return 0;
}

lua_State *lab_open(const struct lab_options *opt)
{
	lua_State *L = luaL_newstate();

	if (!L)
		return NULL;
	lua_pushcfunction(L, open_protected);
	lua_pushlightuserdata(L, (void *)(uintptr_t)opt);
	if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
		lua_close(L);
		return NULL;
	}
	return L;
}

void lab_close(lua_State *L)
{
	if (L)
		lua_close(L);
}

/* ---- running ----------------------------------------------------------------------- */

/* assert() and error values have no place of their own: say where in the script it was. */
static int handle_error(lua_State *L)
{
	const char *text = luaL_tolstring(L, 1, NULL);
	lua_Debug at;
	int level;

	for (level = 1; lua_getstack(L, level, &at); level++) {
		size_t len;

		lua_getinfo(L, "Sl", &at);
		if (at.currentline <= 0 || !strcmp(at.source, "=hvo"))
			continue;
		len = strlen(at.short_src);
		if (!strncmp(text, at.short_src, len) && text[len] == ':')
			return 1;
		lua_pushfstring(L, "%s:%d: %s", at.short_src, at.currentline, text);
		return 1;
	}
	return 1;
}

/* One line of it. */
static char *first_line(lua_State *L)
{
	const char *text = lua_tostring(L, -1);

	return text ? strndup(text, strcspn(text, "\n")) : strdup("an error that is no text");
}

bool lab_run(lua_State *L, const char *file, char **ret_error)
{
	bool ok;

	start_looking(L);
	lua_settop(L, 0);
	lua_getglobal(L, "arg");
	lua_pushstring(L, file);
	lua_rawseti(L, 1, 0);
	lua_settop(L, 0);
	lua_pushcfunction(L, handle_error);
	ok = luaL_loadfilex(L, file, "t") == LUA_OK && lua_pcall(L, 0, 0, 1) == LUA_OK;
	if (!ok)
		*ret_error = first_line(L);
	lua_settop(L, 0);
	progress_end();
	return ok;
}

/* An expression, or else a statement. */
static int load_line(lua_State *L, const char *text)
{
	const char *expression = lua_pushfstring(L, "return %s", text);
	int rc = luaL_loadbufferx(L, expression, strlen(expression), "=shell", "t");

	if (rc != LUA_OK) {
		lua_pop(L, 1);
		rc = luaL_loadbufferx(L, text, strlen(text), "=shell", "t");
	}
	lua_remove(L, -2);
	return rc;
}

static bool unfinished(lua_State *L)
{
	const char *text = lua_tostring(L, -1);
	size_t len = text ? strlen(text) : 0, end = strlen("<eof>");

	return len >= end && !strcmp(text + len - end, "<eof>");
}

enum lab_line lab_run_line(lua_State *L, const char *text, char **ret_error)
{
	int rc;

	start_looking(L);
	lua_settop(L, 0);
	lua_pushcfunction(L, handle_error);
	rc = load_line(L, text);
	if (rc == LUA_ERRSYNTAX && unfinished(L)) {
		lua_settop(L, 0);
		return LAB_LINE_UNFINISHED;
	}
	if (rc == LUA_OK)
		rc = lua_pcall(L, 0, LUA_MULTRET, 1);
	if (rc == LUA_OK && lua_gettop(L) > 1) {
		lua_rawgetp(L, LUA_REGISTRYINDEX, &key_show);
		lua_insert(L, 2);
		rc = lua_pcall(L, lua_gettop(L) - 2, 0, 1);
	}
	if (rc != LUA_OK)
		*ret_error = first_line(L);
	lua_settop(L, 0);
	progress_end();
	return rc == LUA_OK ? LAB_LINE_OK : LAB_LINE_FAILED;
}
