// SPDX-License-Identifier: MIT
/*
 * hvo.result(): what a script found out, checked when it is said, so that a report can rely on
 * its form.
 */
#include "common/table.h"
#include "lab/internal.h"

#include <math.h>
#include <string.h>

static const char key_results;

static int free_results(lua_State *L)
{
	json_t **all = lua_touserdata(L, 1);

	json_decref(*all);
	*all = NULL;
	return 0;
}

/* Made at the first use, and freed with the state. */
static json_t *all_results(lua_State *L)
{
	json_t **all;

	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key_results) == LUA_TUSERDATA) {
		all = lua_touserdata(L, -1);
		lua_pop(L, 1);
		return *all;
	}
	lua_pop(L, 1);
	all = lua_newuserdatauv(L, sizeof(json_t *), 0);
	*all = json_array();
	lua_newtable(L);
	lua_pushcfunction(L, free_results);
	lua_setfield(L, -2, "__gc");
	lua_setmetatable(L, -2);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &key_results);
	return *all;
}

const json_t *lab_results(lua_State *L)
{
	return all_results(L);
}

/*
 * What is under way belongs to a result that is in the list already, so that it is freed
 * whatever happens; a result that turns out to make no sense is taken out again.
 */
static void put(lua_State *L, json_t *object, const char *name, json_t *value)
{
	if (json_object_set_new(object, name, value))
		luaL_error(L, "%s: out of memory, or no text", name);
}

static void append(lua_State *L, json_t *array, json_t *value)
{
	if (json_array_append_new(array, value))
		luaL_error(L, "out of memory, or no text");
}

/* The number, string or boolean on top; pops it. NULL if it is none, or cannot be written. */
static json_t *scalar(lua_State *L)
{
	json_t *value = NULL;
	size_t len;
	const char *text;

	switch (lua_type(L, -1)) {
	case LUA_TBOOLEAN:
		value = json_boolean(lua_toboolean(L, -1));
		break;
	case LUA_TNUMBER:
		if (lua_isinteger(L, -1))
			value = json_integer(lua_tointeger(L, -1));
		else if (isfinite(lua_tonumber(L, -1)))
			value = json_real(lua_tonumber(L, -1));
		break;
	case LUA_TSTRING:
		text = lua_tolstring(L, -1, &len);
		/* A report can show no others. */
		value = strlen(text) == len ? json_stringn(text, len) : NULL;
		break;
	default:
		break;
	}
	lua_pop(L, 1);
	return value;
}

static json_t *checked_scalar(lua_State *L, const char *where)
{
	json_t *value = scalar(L);

	if (!value)
		luaL_error(L, "%s: only finite numbers, text (UTF-8), true and false", where);
	return value;
}

static void add_string(lua_State *L, json_t *result, const char *name)
{
	const char *text = lab_field_string(L, 2, name);

	if (!text)
		return;
	put(L, result, name, json_string(text));
	lua_pop(L, 1);
}

static void add_parameters(lua_State *L, json_t *result)
{
	json_t *parameters, *value;
	int at;

	if (!lab_has(L, 2, "parameters"))
		return;
	if (!lua_istable(L, -1))
		luaL_error(L, "parameters: a table");
	at = lua_gettop(L);
	put(L, result, "parameters", json_object());
	parameters = json_object_get(result, "parameters");
	lua_pushnil(L);
	while (lua_next(L, at)) {
		if (lua_type(L, -2) != LUA_TSTRING)
			luaL_error(L, "parameters: the names are strings");
		value = checked_scalar(L, "parameters");
		put(L, parameters, lua_tostring(L, -1), value);
	}
	lua_pop(L, 1);
}

/* The list of scalars on top of the stack, to the end of @to; pops it. @len: 0: any. */
static void add_list(lua_State *L, json_t *to, const char *where, lua_Unsigned len)
{
	json_t *list;
	lua_Unsigned i, nr;

	if (!lua_istable(L, -1))
		luaL_error(L, "%s: a list", where);
	nr = lua_rawlen(L, -1);
	if (len && nr != len)
		luaL_error(L, "%s: %I entries where there should be %I", where, (lua_Integer)nr,
			   (lua_Integer)len);
	append(L, to, json_array());
	list = json_array_get(to, json_array_size(to) - 1);
	for (i = 1; i <= nr; i++) {
		lua_rawgeti(L, -1, (lua_Integer)i);
		append(L, list, checked_scalar(L, where));
	}
	lua_pop(L, 1);
}

/* A point's x is a number or a name, and its y a number. */
static bool is_point(const json_t *point)
{
	const json_t *x = json_array_get(point, 0);

	return (json_is_number(x) || json_is_string(x)) && json_is_number(json_array_get(point, 1));
}

static void add_points(lua_State *L, json_t *one)
{
	json_t *points;
	lua_Unsigned i, nr;

	if (!lab_has(L, -1, "points") || !lua_istable(L, -1))
		luaL_error(L, "series: each has points, a list");
	put(L, one, "points", json_array());
	points = json_object_get(one, "points");
	nr = lua_rawlen(L, -1);
	for (i = 1; i <= nr; i++) {
		lua_rawgeti(L, -1, (lua_Integer)i);
		add_list(L, points, "points", 2);
		if (!is_point(json_array_get(points, i - 1)))
			luaL_error(L, "points: {x, y}: numbers, or a name and a number");
	}
	lua_pop(L, 1);
}

static void add_series(lua_State *L, json_t *result)
{
	static const char *const names[] = { "name", "points", NULL };
	lua_Unsigned i, nr;
	json_t *series, *one;
	int at;

	if (!lab_has(L, 2, "series"))
		return;
	if (!lua_istable(L, -1))
		luaL_error(L, "series: a list");
	at = lua_gettop(L);
	nr = lua_rawlen(L, at);
	put(L, result, "series", json_array());
	series = json_object_get(result, "series");
	for (i = 1; i <= nr; i++) {
		lua_rawgeti(L, at, (lua_Integer)i);
		luaL_checktype(L, at + 1, LUA_TTABLE);
		lab_options(L, at + 1, names);
		append(L, series, json_object());
		one = json_array_get(series, i - 1);
		if (!lab_field_string(L, at + 1, "name"))
			luaL_error(L, "series: each has a name");
		put(L, one, "name", json_string(lua_tostring(L, -1)));
		lua_settop(L, at + 1);
		add_points(L, one);
		lua_settop(L, at);
	}
	lua_pop(L, 1);
}

static void add_rows(lua_State *L, json_t *result)
{
	lua_Unsigned columns, i, nr;
	json_t *rows;

	if (!lab_has(L, 2, "columns")) {
		if (lab_has(L, 2, "rows"))
			luaL_error(L, "rows: without columns");
		return;
	}
	columns = lua_istable(L, -1) ? lua_rawlen(L, -1) : 0;
	if (!columns || columns > TABLE_MAX_COLUMNS)
		luaL_error(L, "columns: a list of 1 to %d names", TABLE_MAX_COLUMNS);
	put(L, result, "rows", json_array());
	rows = json_object_get(result, "rows");
	add_list(L, rows, "columns", columns);
	put(L, result, "columns", json_incref(json_array_get(rows, 0)));
	json_array_remove(rows, 0);
	for (i = 0; i < columns; i++)
		if (!json_is_string(json_array_get(json_object_get(result, "columns"), i)))
			luaL_error(L, "columns: names are strings");
	if (!lab_has(L, 2, "rows"))
		return;
	if (!lua_istable(L, -1))
		luaL_error(L, "rows: a list");
	nr = lua_rawlen(L, -1);
	for (i = 1; i <= nr; i++) {
		lua_rawgeti(L, -1, (lua_Integer)i);
		add_list(L, rows, "rows", columns);
	}
	lua_pop(L, 1);
}

static void add_notes(lua_State *L, json_t *result)
{
	json_t *notes;
	size_t i;

	if (!lab_has(L, 2, "notes"))
		return;
	if (lua_type(L, -1) == LUA_TSTRING) {
		lua_newtable(L);
		lua_insert(L, -2);
		lua_rawseti(L, -2, 1);
	}
	put(L, result, "notes", json_array());
	notes = json_object_get(result, "notes");
	add_list(L, notes, "notes", 0);
	put(L, result, "notes", json_incref(json_array_get(notes, 0)));
	notes = json_object_get(result, "notes");
	for (i = 0; i < json_array_size(notes); i++)
		if (!json_is_string(json_array_get(notes, i)))
			luaL_error(L, "notes: text, or a list of texts");
}

static int fill_result(lua_State *L)
{
	static const char *const names[] = { "title",	"question", "parameters", "x",
					     "y",	"logx",	    "logy",	  "series",
					     "columns", "rows",	    "notes",	  NULL };
	json_t *all = all_results(L), *result = json_array_get(all, json_array_size(all) - 1);

	lab_options(L, 2, names);
	put(L, result, "name", json_string(lua_tostring(L, 1)));
	add_string(L, result, "title");
	add_string(L, result, "question");
	add_string(L, result, "x");
	add_string(L, result, "y");
	put(L, result, "logx", json_boolean(lab_field_bool(L, 2, "logx", false)));
	put(L, result, "logy", json_boolean(lab_field_bool(L, 2, "logy", false)));
	add_parameters(L, result);
	add_series(L, result);
	add_rows(L, result);
	add_notes(L, result);
	return 0;
}

int lab_result(lua_State *L)
{
	json_t *all = all_results(L), *result;
	const char *name = luaL_checkstring(L, 1);
	size_t i;

	luaL_argcheck(L, *name, 1, "a result has a name");
	luaL_checktype(L, 2, LUA_TTABLE);
	json_array_foreach(all, i,
			   result) if (!strcmp(json_string_value(json_object_get(result, "name")),
					       name))
		luaL_argerror(L, 1, "there is a result of that name");
	lua_settop(L, 2);
	append(L, all, json_object());
	lua_pushcfunction(L, fill_result);
	lua_pushvalue(L, 1);
	lua_pushvalue(L, 2);
	if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
		json_array_remove(all, json_array_size(all) - 1);
		/* It names no place yet: the place is where hvo.result() was called. */
		return luaL_error(L, "%s", luaL_tolstring(L, -1, NULL));
	}
	return 0;
}
