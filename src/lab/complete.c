// SPDX-License-Identifier: MIT
/*
 * What can be typed: words that may follow, and the manual of all bindings.
 */
#include "common/text.h"
#include "lab/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- the manual ---------------------------------------------------------------------------- */

#define USAGE "    "
#define MORE "      " /* of it */
#define WHAT "        "

void lab_print_help(FILE *out)
{
	static const struct {
		const char *title;
		const struct lab_binding *bindings;
	} groups[] = {
		{ "The module", lab_module_bindings },
		{ "Machines", lab_machine_bindings },
		{ "Frames and blocks", lab_frames_bindings },
		{ "Ranges", lab_range_bindings },
		{ "Workloads", lab_work_bindings },
		{ "Pools", lab_pool_bindings },
		{ "Hogs", lab_hog_bindings },
		{ "Churn", lab_churn_bindings },
		{ "CMA areas", lab_cma_bindings },
		{ "Shrinkers", lab_shrinker_bindings },
	};
	const struct lab_binding *b;
	size_t i;

	text_wrap(out, WHAT, WHAT,
		  "What the library refuses is nil and the name of the error (\"ENOMEM\"); "
		  "a call that makes no sense is an error. hvo.seed and hvo.quick are "
		  "what the command line says.");
	for (i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		fprintf(out, "\n%s\n", groups[i].title);
		for (b = groups[i].bindings; b->name; b++) {
			text_wrap(out, USAGE, MORE, b->usage);
			text_wrap(out, WHAT, WHAT, b->what);
		}
	}
}

/* ---- completion ------------------------------------------------------------------------------ */

struct words {
	char **words;
	size_t nr;
};

static bool add_word(struct words *w, const char *before, size_t len, const char *word)
{
	char **more = realloc(w->words, (w->nr + 2) * sizeof(*more)), *text;

	if (!more)
		return false;
	w->words = more;
	more[w->nr] = NULL;
	text = malloc(len + strlen(word) + 1);
	if (!text)
		return false;
	memcpy(text, before, len);
	strcpy(text + len, word);
	more[w->nr++] = text;
	more[w->nr] = NULL;
	return true;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names with @begin in the table on top of the stack. Only functions after a ':'. */
static void add_keys(lua_State *L, struct words *w, const char *text, size_t len, bool methods)
{
	const char *begin = text + len, *key;

	lua_pushnil(L);
	while (lua_next(L, -2)) {
		if (lua_type(L, -2) == LUA_TSTRING && (!methods || lua_isfunction(L, -1))) {
			key = lua_tostring(L, -2);
			if (!strncmp(key, begin, strlen(begin)) && !add_word(w, text, len, key)) {
				lua_pop(L, 2);
				return;
			}
		}
		lua_pop(L, 1);
	}
}

/* From a value to where its fields are: itself, or what its metatable says. No code runs. */
static bool to_table(lua_State *L)
{
	if (lua_istable(L, -1))
		return true;
	if (luaL_getmetafield(L, -1, "__index") != LUA_TNIL) {
		lua_remove(L, -2);
		return lua_istable(L, -1);
	}
	return false;
}

/* One name more: the value of that field of what is on top replaces it. */
static bool descend(lua_State *L, const char *name, size_t len)
{
	if (!to_table(L))
		return false;
	lua_pushlstring(L, name, len);
	lua_rawget(L, -2);
	lua_remove(L, -2);
	return !lua_isnil(L, -1);
}

static void complete(lua_State *L, struct words *w, const char *text)
{
	const char *at = text;
	bool methods = false;
	size_t len;

	lua_pushglobaltable(L);
	for (;;) {
		len = strcspn(at, ".:");
		if (!at[len])
			break;
		if (!descend(L, at, len))
			return;
		methods = at[len] == ':';
		at += len + 1;
	}
	if (to_table(L))
		add_keys(L, w, text, (size_t)(at - text), methods);
}

char **lab_complete(lua_State *L, const char *text)
{
	struct words w = { 0 };
	int top = lua_gettop(L);

	if (lua_checkstack(L, 8))
		complete(L, &w, text);
	lua_settop(L, top);
	if (w.nr)
		qsort(w.words, w.nr, sizeof(*w.words), compare);
	else if (!w.words)
		w.words = calloc(1, sizeof(*w.words));
	return w.words;
}

void lab_free_words(char **words)
{
	char **word;

	for (word = words; word && *word; word++)
		free(*word);
	free(words);
}
