// SPDX-License-Identifier: MIT
/*
 * What scripts hand over and get back: arguments, options, names of errors, counters.
 */
#include "common/args.h"
#include "common/text.h"
#include "lab/internal.h"

#include <errno.h>
#include <string.h>

/* ---- errors --------------------------------------------------------------------- */

const char *lab_error_name(int err)
{
	static const struct {
		int err;
		const char *name;
	} names[] = {
		{ HVO_EPERM, "EPERM" },		{ HVO_EINTR, "EINTR" },
		{ HVO_EAGAIN, "EAGAIN" },	{ HVO_ENOMEM, "ENOMEM" },
		{ HVO_EFAULT, "EFAULT" },	{ HVO_EBUSY, "EBUSY" },
		{ HVO_ENODEV, "ENODEV" },	{ HVO_EINVAL, "EINVAL" },
		{ HVO_EFBIG, "EFBIG" },		{ HVO_ENOSPC, "ENOSPC" },
		{ HVO_ERANGE, "ERANGE" },	{ HVO_ENOSYS, "ENOSYS" },
		{ HVO_EOVERFLOW, "EOVERFLOW" }, { HVO_EOPNOTSUPP, "EOPNOTSUPP" },
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].err == err || names[i].err == -err)
			return names[i].name;
	return "EUNKNOWN";
}

const char *lab_near(lua_State *L, const char *word, const void *table, size_t stride)
{
	const char *near = text_near(word, table, stride);

	return near ? lua_pushfstring(L, "; did you mean '%s'?", near) : lua_pushliteral(L, "");
}

int lab_push_error(lua_State *L, int err)
{
	lua_pushnil(L);
	lua_pushstring(L, lab_error_name(err));
	return 2;
}

/* ---- arguments ------------------------------------------------------------------ */

uint64_t lab_count(lua_State *L, int arg)
{
	lua_Integer n = luaL_checkinteger(L, arg);

	luaL_argcheck(L, n >= 0, arg, "a count cannot be negative");
	return (uint64_t)n;
}

uint64_t lab_opt_count(lua_State *L, int arg, uint64_t none)
{
	return lua_isnoneornil(L, arg) ? none : lab_count(L, arg);
}

hvo_pfn_t lab_pfn(lua_State *L, int arg)
{
	lua_Integer n = luaL_checkinteger(L, arg);

	luaL_argcheck(L, n >= 0, arg, "a frame number cannot be negative");
	return (hvo_pfn_t)n;
}

unsigned int lab_order(lua_State *L, int arg)
{
	lua_Integer n = luaL_checkinteger(L, arg);

	luaL_argcheck(L, n >= 0 && n <= HVO_MAX_ORDER, arg, "an order is 0 to 18");
	return (unsigned int)n;
}

int lab_node(lua_State *L, int arg)
{
	lua_Integer n;

	if (lua_isnoneornil(L, arg))
		return HVO_NODE_ANY;
	n = luaL_checkinteger(L, arg);
	luaL_argcheck(L, n >= 0 && n < HVO_MAX_NODES, arg, "a node is 0 to 63");
	return (int)n;
}

static const struct {
	const char *name;
	unsigned int flag;
} flag_names[] = {
	{ "kernel", HVO_GFP_KERNEL },
	{ "high", HVO_GFP_HIGH },
	{ "memalloc", HVO_GFP_MEMALLOC },
	{ "noretry", HVO_GFP_NORETRY },
	{ "retry-mayfail", HVO_GFP_RETRY_MAYFAIL },
	{ "nowarn", HVO_GFP_NOWARN },
	{ "thisnode", HVO_GFP_THISNODE },
	{ "reclaimable", HVO_GFP_RECLAIMABLE },
	{ "zero", HVO_GFP_ZERO },
	{ "movable", HVO_GFP_MOVABLE },
	/* Other names, for reading only: lab_push_flags() has none of a flag left by then. */
	{ "reclaim", HVO_GFP_RECLAIM },
	{ "atomic", HVO_GFP_ATOMIC },
	{ "user", HVO_GFP_USER },
	{ NULL, 0 },
};

void lab_push_flags(lua_State *L, unsigned int flags)
{
	bool first = true;
	luaL_Buffer b;
	size_t i;

	luaL_buffinit(L, &b);
	for (i = 0; flag_names[i].name; i++) {
		if (!(flags & flag_names[i].flag))
			continue;
		if (!first)
			luaL_addchar(&b, '|');
		luaL_addstring(&b, flag_names[i].name);
		first = false;
		flags &= ~flag_names[i].flag;
	}
	luaL_pushresult(&b);
}

static bool find_flag(const char *word, size_t len, unsigned int *flags)
{
	size_t i;

	for (i = 0; flag_names[i].name; i++)
		if (strlen(flag_names[i].name) == len && !memcmp(flag_names[i].name, word, len)) {
			*flags |= flag_names[i].flag;
			return true;
		}
	return false;
}

/* Words, apart by '|'. What is no flag goes to @bad. */
static unsigned int parse_flags(lua_State *L, const char *text, const char **bad)
{
	unsigned int flags = 0;
	size_t len;

	*bad = NULL;
	while (*text) {
		len = strcspn(text, "|");
		if (!find_flag(text, len, &flags)) {
			*bad = lua_pushlstring(L, text, len);
			return 0;
		}
		text += len;
		text += *text == '|';
	}
	return flags;
}

static const char *near_flag(lua_State *L, const char *word)
{
	return lab_near(L, word, flag_names, sizeof(flag_names[0]));
}

unsigned int lab_flags(lua_State *L, int arg, unsigned int none)
{
	unsigned int flags;
	const char *bad;

	if (lua_isnoneornil(L, arg))
		return none;
	flags = parse_flags(L, luaL_checkstring(L, arg), &bad);
	if (bad)
		luaL_argerror(L, arg,
			      lua_pushfstring(L, "'%s' is not an allocation flag%s", bad,
					      near_flag(L, bad)));
	return flags;
}

/* Bytes; NULL, or why the value on top of the stack makes no sense. */
static const char *size_of(lua_State *L, int at, uint64_t *ret)
{
	lua_Integer n;
	int is_integer;

	if (lua_type(L, at) == LUA_TSTRING) {
		if (!args_size(lua_tostring(L, at), ret))
			return NULL;
		return lua_pushfstring(L, "'%s' is not a size such as 512M or 2G",
				       lua_tostring(L, at));
	}
	n = lua_tointegerx(L, at, &is_integer);
	if (!is_integer || n < 0)
		return "a size is a number of bytes, or a string such as 512M";
	*ret = (uint64_t)n;
	return NULL;
}

uint64_t lab_size(lua_State *L, int arg)
{
	uint64_t bytes = 0;
	const char *why = size_of(L, arg, &bytes);

	if (why)
		luaL_argerror(L, arg, why);
	return bytes;
}

/* Longer than any run: 292 years. */
#define TIME_MAX 9.2e18

static double time_unit(const char *text)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = { { "ns", 1 },   { "us", 1e3 },   { "ms", 1e6 },	{ "s", 1e9 },
		      { "m", 60e9 }, { "h", 3600e9 }, { "d", 86400e9 }, { "w", 604800e9 } };
	size_t i;

	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(text, units[i].name))
			return units[i].ns;
	return 0;
}

static const char *time_of(lua_State *L, int at, uint64_t *ret)
{
	double value = -1, unit = 1e9;
	char digits[32];
	const char *text;
	size_t len;

	if (lua_type(L, at) == LUA_TNUMBER) {
		value = lua_tonumber(L, at);
	} else if (lua_type(L, at) == LUA_TSTRING) {
		text = lua_tostring(L, at);
		len = strspn(text, "0123456789.");
		unit = time_unit(text + len);
		if (len && len < sizeof(digits) && unit > 0) {
			memcpy(digits, text, len);
			digits[len] = '\0';
			lua_pushnil(L);
			if (lua_stringtonumber(L, digits)) {
				value = lua_tonumber(L, -1);
				lua_pop(L, 1);
			}
			lua_pop(L, 1);
		}
	}
	/* Not a number is not in here either. */
	if (!(value >= 0 && value * unit <= TIME_MAX))
		return "a time is a number of seconds, or a string such as 10ms, 5m or 1w";
	*ret = (uint64_t)(value * unit);
	return NULL;
}

uint64_t lab_time(lua_State *L, int arg)
{
	const char *why;
	uint64_t ns = 0;

	luaL_checkany(L, arg);
	why = time_of(L, arg, &ns);
	if (why)
		luaL_argerror(L, arg, why);
	return ns;
}

static const char *const zone_names[] = { "normal", "movable", "cma", NULL };

enum hvo_zone_type lab_zone(lua_State *L, int arg)
{
	return (enum hvo_zone_type)luaL_checkoption(L, arg, NULL, zone_names);
}

unsigned int lab_size_order(lua_State *L, uint64_t bytes)
{
	unsigned int order;

	for (order = HVO_PAGEBLOCK_ORDER; order <= HVO_MAX_ORDER; order++)
		if (bytes == HVO_FRAME_SIZE << order)
			return order;
	return (unsigned int)luaL_error(L, "huge pages are 2M to 1G, a power of two");
}

/* ---- options -------------------------------------------------------------------- */

static bool is_known(const char *name, const char *const *names)
{
	for (; *names; names++)
		if (!strcmp(name, *names))
			return true;
	return false;
}

void lab_options(lua_State *L, int arg, const char *const *names)
{
	const char *word;

	if (lua_isnoneornil(L, arg)) {
		lua_settop(L, arg - 1);
		lua_newtable(L);
		return;
	}
	luaL_checktype(L, arg, LUA_TTABLE);
	lua_pushnil(L);
	while (lua_next(L, arg)) {
		lua_pop(L, 1);
		if (lua_type(L, -1) == LUA_TSTRING && is_known(lua_tostring(L, -1), names))
			continue;
		word = luaL_tolstring(L, -1, NULL);
		luaL_argerror(L, arg,
			      lua_pushfstring(L, "there is no option '%s'%s", word,
					      lab_near(L, word, names, sizeof(*names))));
	}
}

bool lab_has(lua_State *L, int arg, const char *name)
{
	luaL_checkstack(L, 4, NULL);
	arg = lua_absindex(L, arg);
	lua_pushstring(L, name);
	/* Nothing of the script's runs meanwhile. */
	if (lua_rawget(L, arg) != LUA_TNIL)
		return true;
	lua_pop(L, 1);
	return false;
}

uint64_t lab_field_count(lua_State *L, int arg, const char *name, uint64_t max, uint64_t none)
{
	int is_integer;
	lua_Integer n;

	if (!lab_has(L, arg, name))
		return none;
	n = lua_tointegerx(L, -1, &is_integer);
	if (!is_integer || n < 0 || (uint64_t)n > max)
		luaL_error(L, "%s: %s is not a number from 0 to %I", name,
			   luaL_tolstring(L, -1, NULL), (lua_Integer)max);
	lua_pop(L, 1);
	return (uint64_t)n;
}

static uint64_t lab_field(lua_State *L, int arg, const char *name, uint64_t none,
			  const char *(*read)(lua_State *L, int at, uint64_t *ret))
{
	uint64_t value = none;
	const char *why;

	if (!lab_has(L, arg, name))
		return none;
	why = read(L, lua_gettop(L), &value);
	if (why)
		luaL_error(L, "%s: %s", name, why);
	lua_pop(L, 1);
	return value;
}

uint64_t lab_field_size(lua_State *L, int arg, const char *name, uint64_t none)
{
	return lab_field(L, arg, name, none, size_of);
}

uint64_t lab_field_time(lua_State *L, int arg, const char *name, uint64_t none)
{
	return lab_field(L, arg, name, none, time_of);
}

bool lab_field_bool(lua_State *L, int arg, const char *name, bool none)
{
	bool value;

	if (!lab_has(L, arg, name))
		return none;
	if (!lua_isboolean(L, -1))
		luaL_error(L, "%s is true or false", name);
	value = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return value;
}

unsigned int lab_field_flags(lua_State *L, int arg, const char *name, unsigned int none)
{
	const char *text = lab_field_string(L, arg, name), *bad;
	unsigned int flags;

	if (!text)
		return none;
	flags = parse_flags(L, text, &bad);
	if (bad)
		luaL_error(L, "%s: '%s' is not an allocation flag%s", name, bad, near_flag(L, bad));
	return flags;
}

unsigned int lab_field_choice(lua_State *L, int arg, const char *name, const char *const *names,
			      unsigned int none)
{
	const char *text = lab_field_string(L, arg, name);
	unsigned int i;

	if (!text)
		return none;
	for (i = 0; names[i]; i++)
		if (!strcmp(names[i], text))
			return i;
	return (unsigned int)luaL_error(L, "%s: there is no '%s'%s", name, text,
					lab_near(L, text, names, sizeof(*names)));
}

const char *lab_field_string(lua_State *L, int arg, const char *name)
{
	if (!lab_has(L, arg, name))
		return NULL;
	if (lua_type(L, -1) != LUA_TSTRING)
		luaL_error(L, "%s is a string", name);
	return lua_tostring(L, -1);
}

/* ---- fields of the table on top of the stack ------------------------------------ */

void lab_set_number(lua_State *L, const char *name, uint64_t n)
{
	lua_pushinteger(L, (lua_Integer)n);
	lua_setfield(L, -2, name);
}

void lab_set_text(lua_State *L, const char *name, const char *text)
{
	lua_pushstring(L, text);
	lua_setfield(L, -2, name);
}

void lab_set_bool(lua_State *L, const char *name, bool is)
{
	lua_pushboolean(L, is);
	lua_setfield(L, -2, name);
}

/* ---- counters ------------------------------------------------------------------- */

void lab_push_counters(lua_State *L, const struct lab_counter *counters, const void *from)
{
	uint64_t value;

	lua_newtable(L);
	for (; counters->name; counters++) {
		memcpy(&value, (const char *)from + counters->offset, sizeof(value));
		lab_set_number(L, counters->name, value);
	}
}
