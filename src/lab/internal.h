/* SPDX-License-Identifier: MIT */
#ifndef HVO_LAB_INTERNAL_H
#define HVO_LAB_INTERNAL_H

#include "common/box.h"
#include "common/events.h"
#include "lab/lab.h"

#include <hvo/contig.h>
#include <hvo/hotplug.h>
#include <hvo/migrate.h>

#include <lauxlib.h>
#include <lualib.h>

/*
 * What the files of the lab share.
 *
 *	lab.c		the state, the module hvo, running scripts
 *	value.c		arguments, options, errors, counters as tables
 *	machine.c	machines; shrinkers and what else calls back
 *	frames.c	frames and blocks of a machine
 *	pool.c		pools, policies and scopes
 *	range.c		ranges, CMA areas, memory that comes and goes
 *	hold.c		blocks that the lab itself holds (hogs), and moves
 *	churn.c		a mix of blocks with lifetimes
 *	trace.c		allocations as they were recorded
 *	result.c	hvo.result()
 *	complete.c	what can be typed
 *
 * One thread. A script's functions are called by the library in the middle of something
 * (shrinkers, the out-of-memory notifier): an error in one is kept, and raised when the call
 * that led there has returned; calls that may wait are errors there.
 */

/**
 * struct lab_binding - a function of a table or userdata; the manual is made of these
 * @usage: how it is called, and what it returns behind "->"
 * @what: what it does, in a line or two
 */
struct lab_binding {
	const char *name;
	lua_CFunction fn;
	const char *usage;
	const char *what;
};

/* Ended by one without a name. */
extern const struct lab_binding lab_module_bindings[];
extern const struct lab_binding lab_machine_bindings[];
extern const struct lab_binding lab_frames_bindings[]; /* of machines, too */
extern const struct lab_binding lab_range_bindings[];  /* and these */
extern const struct lab_binding lab_work_bindings[];   /* and these */
extern const struct lab_binding lab_shrinker_bindings[];
extern const struct lab_binding lab_pool_bindings[];
extern const struct lab_binding lab_cma_bindings[];
extern const struct lab_binding lab_hog_bindings[];
extern const struct lab_binding lab_churn_bindings[];

/* Names of metatables. */
#define LAB_MACHINE "hvo.machine"
#define LAB_SHRINKER "hvo.shrinker"
#define LAB_POOL "hvo.pool"
#define LAB_CMA "hvo.cma"
#define LAB_HOG "hvo.hog"
#define LAB_CHURN "hvo.churn"

/**
 * struct lab_machine - a machine, as userdata; its first user value keeps its hogs and functions
 * @box: box.m is NULL when it is closed
 * @L: who called the library last: what it calls back runs there
 * @depth: how many functions of the script's the library is calling now
 * @broken: the simulation stopped; all that is left is to close it
 * @failed: an error of such a function waits in the registry, under the address of this field
 * @owner: moves what the lab holds
 * @holds: all that the lab holds, by number
 */
struct lab_machine {
	struct box box;
	lua_State *L;
	unsigned int depth;
	bool broken;
	bool failed;
	bool has_oom;
	char why[160];
	struct hvo_owner owner;
	uint32_t owner_id;
	struct lab_hold **holds;
	uint32_t nr_holds;
	struct events events;
};

struct lab_pool {
	struct lab_machine *lm; /* kept by the first user value */
	struct hvo_pool *pool;
	unsigned int order;
};

/* ---- lab.c ---------------------------------------------------------------------- */

/* A metatable with these methods; lists of bindings, NULL after the last. */
void lab_class(lua_State *L, const char *name, const struct lab_binding *const *lists,
	       const luaL_Reg *meta);
uint64_t lab_seed(lua_State *L);
/* Raise the error if lab_interrupted(): what takes long asks. */
void lab_check_interrupt(lua_State *L);

/* ---- value.c -------------------------------------------------------------------- */

/*
 * "; did you mean 'NAME'?" for a name that is not known, "" if there is none like it; pushed.
 * @table, @stride: as for text_near()
 */
const char *lab_near(lua_State *L, const char *word, const void *table, size_t stride);

const char *lab_error_name(int err);
/* nil and the name; returns 2. */
int lab_push_error(lua_State *L, int err);

/* Each raises an error for what makes no sense. */
uint64_t lab_count(lua_State *L, int arg);
uint64_t lab_opt_count(lua_State *L, int arg, uint64_t none);
hvo_pfn_t lab_pfn(lua_State *L, int arg);
unsigned int lab_order(lua_State *L, int arg);
int lab_node(lua_State *L, int arg); /* nil: any */
unsigned int lab_flags(lua_State *L, int arg, unsigned int none);
/* The way back. */
void lab_push_flags(lua_State *L, unsigned int flags);
uint64_t lab_size(lua_State *L, int arg);
uint64_t lab_time(lua_State *L, int arg); /* in ns */
enum hvo_zone_type lab_zone(lua_State *L, int arg);

/* The order of blocks of so many bytes. */
unsigned int lab_size_order(lua_State *L, uint64_t bytes);

/* A table of options at @arg (or none): an error for a key that is not in @names. */
void lab_options(lua_State *L, int arg, const char *const *names);
/* One of them on the stack, if it is there. */
bool lab_has(lua_State *L, int arg, const char *name);
uint64_t lab_field_count(lua_State *L, int arg, const char *name, uint64_t max, uint64_t none);
uint64_t lab_field_size(lua_State *L, int arg, const char *name, uint64_t none);
uint64_t lab_field_time(lua_State *L, int arg, const char *name, uint64_t none);
bool lab_field_bool(lua_State *L, int arg, const char *name, bool none);
unsigned int lab_field_flags(lua_State *L, int arg, const char *name, unsigned int none);
/* Its place in @names, which NULL ends. */
unsigned int lab_field_choice(lua_State *L, int arg, const char *name, const char *const *names,
			      unsigned int none);
/* NULL if it is not there; stays on the stack. */
const char *lab_field_string(lua_State *L, int arg, const char *name);

/* Counters of a structure as a table. */
struct lab_counter {
	const char *name;
	size_t offset; /* of a uint64_t */
};
/* A field of the table on top of the stack. */
void lab_set_number(lua_State *L, const char *name, uint64_t n);
void lab_set_text(lua_State *L, const char *name, const char *text);
void lab_set_bool(lua_State *L, const char *name, bool is);
void lab_push_counters(lua_State *L, const struct lab_counter *counters, const void *from);

/* ---- machine.c ------------------------------------------------------------------ */

void lab_machine_classes(lua_State *L);
int lab_machine_new(lua_State *L); /* hvo.machine() */
/* The machine at @arg: open. */
struct lab_machine *lab_machine(lua_State *L, int arg);
/* And not in the middle of something. */
struct lab_machine *lab_machine_wait(lua_State *L, int arg);
/* The same for what belongs to a machine. */
void lab_enter(lua_State *L, struct lab_machine *lm);
void lab_enter_wait(lua_State *L, struct lab_machine *lm);
/* After each call of the library that may have called back. */
void lab_leave(lua_State *L, struct lab_machine *lm);
/* And its result: true, or nil and a name. */
int lab_return(lua_State *L, struct lab_machine *lm, int err);
/* Or a number, or a frame that the script holds from now on. */
int lab_return_number(lua_State *L, struct lab_machine *lm, int err, uint64_t n);
int lab_return_frame(lua_State *L, struct lab_machine *lm, int err, hvo_pfn_t pfn);
/* Keep what is on top of the stack as long as the machine at @arg. Pops it. */
void lab_keep(lua_State *L, int arg, const void *key);

/* ---- pool.c --------------------------------------------------------------------- */

void lab_pool_classes(lua_State *L);
struct lab_pool *lab_pool(lua_State *L, int arg);
int lab_pool_new(lua_State *L); /* m:pool() */
int lab_policy(lua_State *L);	/* hvo.policy() */
int lab_policies(lua_State *L); /* hvo.policies() */
int lab_scopes(lua_State *L);	/* hvo.scopes() */

/* ---- range.c -------------------------------------------------------------------- */

void lab_range_classes(lua_State *L);

/* ---- hold.c --------------------------------------------------------------------- */

/* What takes memory where a script says nothing else: whatever is left, once, quietly. */
#define LAB_HOG_FLAGS (HVO_GFP_MOVABLE | HVO_GFP_MEMALLOC | HVO_GFP_NORETRY | HVO_GFP_NOWARN)

#define LAB_NO_ID UINT32_MAX
#define LAB_MAX_ID ((UINT32_C(1) << 24) - 1)
/* A list of places is for so many numbers. */
#define LAB_PLACES ((size_t)1 << 12)

struct lab_block {
	hvo_pfn_t pfn;
	uint32_t id; /* up to LAB_MAX_ID, by which it is found in the hold's places; or LAB_NO_ID */
	uint8_t order;
	bool moving; /* the library is about to move it: not to be freed */
};

/**
 * struct lab_hold - blocks that the lab holds for a script
 * @lm: kept by the first user value of the userdata that has this
 * @id: of this among the machine's
 * @movable: the library may move them
 * @frames: of all blocks
 * @places: lists of LAB_PLACES numbers each: where in @blocks it is, plus one, or 0; NULL: no list
 */
struct lab_hold {
	struct lab_machine *lm;
	uint32_t id;
	bool movable;
	struct lab_block *blocks;
	uint64_t nr, max;
	uint64_t frames;
	uint64_t **places;
};

/* @arg: the machine. The userdata of @size bytes, which begins with a hold, is pushed. */
struct lab_hold *lab_hold_new(lua_State *L, int arg, size_t size, const char *metatable);
/* Take over a block with one reference. -HVO_ENOMEM: it was given back. */
int lab_hold_add(struct lab_hold *hold, hvo_pfn_t pfn, unsigned int order);
/* The same with a number, by which it is found. */
int lab_hold_add_id(struct lab_hold *hold, hvo_pfn_t pfn, unsigned int order, uint32_t id);
bool lab_hold_find(const struct lab_hold *hold, uint64_t id, uint64_t *ret_place);
/* Give one back; the last one takes its place. */
void lab_hold_put(struct lab_hold *hold, uint64_t i);
/* Memory of the list only. */
void lab_hold_free(struct lab_hold *hold);
/* Is a block held by a hog, or the script itself? What the library is working on is not. */
bool lab_is_held(struct lab_machine *lm, hvo_pfn_t pfn);
/* The script has a reference on it. */
void lab_hold_by_script(struct lab_machine *lm, hvo_pfn_t pfn);
/* A hog of the machine at @arg, pushed. */
struct lab_hold *lab_hog_push(lua_State *L, int arg);
/* Moves what is held; for the machine's owner. */
extern const struct hvo_owner lab_hold_owner;
void lab_hold_classes(lua_State *L);

/* ---- churn.c, trace.c ------------------------------------------------------------- */

void lab_churn_classes(lua_State *L);
int lab_churn_new(lua_State *L); /* m:churn() */
int lab_replay(lua_State *L);	 /* m:replay() */
/* Call the function at @fn with a time in seconds; an error stays on top, and is false. */
bool lab_sample(lua_State *L, int fn, uint64_t ns);
/* Let virtual time pass; real time passes by itself. */
void lab_pass_time(struct lab_machine *lm, uint64_t ns);

/* ---- result.c --------------------------------------------------------------------- */

int lab_result(lua_State *L); /* hvo.result() */

#endif
