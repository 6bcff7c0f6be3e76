/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the core share: a machine on either platform (a rig), an audit
 * that must be clean, contents that must survive, something that eats memory, and
 * calls that are told to fail (hvo_sim_fail()).
 *
 * In Linux: tools/testing/memblock.
 */
#ifndef HVO_TESTS_HARNESS_H
#define HVO_TESTS_HARNESS_H

#include "program.h"

#include <hvo/contig.h>
#include <hvo/hotplug.h>
#include <hvo/hvo.h>
#include <hvo/linux.h>
#include <hvo/migrate.h>
#include <hvo/sim.h>

#include "sanitizers.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* Take anything that is left, once, and say nothing. */
#define GFP_HOG (HVO_GFP_MOVABLE | HVO_GFP_MEMALLOC | HVO_GFP_NOWARN)

/* RIG_SPARSE: as RIG_LINUX, without memory before it is used, and for threads: quiet. */
enum rig_platform { RIG_SIM, RIG_LINUX, RIG_SPARSE };

struct rig {
	struct hvo_machine *m;
	struct hvo_sim *sim;
	struct hvo_linux *host;

	/* Called before the sim sleeps, if there. */
	void (*on_sleep)(void *arg, uint64_t ns);
	void *on_sleep_arg;
	uint64_t sleeps;
	/* Before every call of the machine for what changes something or waits: enum hvo_sim_call. */
	void (*on_call)(void *arg);
	void *on_call_arg;
	/* Before populate(): others may do things meanwhile. */
	void (*on_populate)(void *arg, hvo_pfn_t pfn, uint64_t nr);
	void *on_populate_arg;

	/* Events are for one thread: with several it is set before they start. */
	bool quiet;
	uint64_t events[HVO_EVENT_NR];
	struct hvo_event_record last_event[HVO_EVENT_NR];

	/* See rig_panics(). Without it a fault of the sim fails the test. */
	bool may_panic;
	jmp_buf panic;
	const char *panic_what;
};

/* One node, @mib, nothing cleared, a reserve of one frame, HVO on. */
struct hvo_config rig_config(enum hvo_mode mode, uint64_t mib);

/* The same, of a layout in which each mode sets frames aside for descriptors at the start. */
struct hvo_config rig_config_aside(enum hvo_mode mode, uint64_t mib);

/* Asserts that it works. */
void rig_open(struct rig *r, enum rig_platform platform, const struct hvo_config *cfg);
void rig_close(struct rig *r);

/* hvo_sim_fail(), noted for the line that repeats the test. */
void rig_fail(struct rig *r, const struct hvo_sim_failures *failures);
/* Point @fail_at is the one to fail; 0 counts only. */
void rig_arm(struct rig *r, uint64_t fail_at, bool sticky);
/*
 * HVO_FAULT of the environment, as POINT, POINT+ (sticky) or POINT,POINT: for a test that lets each
 * point fail anyway. False if it is not set, or begins with @: that counts from rig_open() on, which
 * sees to it for every test; what the test itself then asks for takes its place.
 */
bool rig_asked_to_fail(struct hvo_sim_failures *ret);
/* Points and failures are in here. */
struct hvo_sim_stat rig_sim(struct rig *r);
/* Returns whether something failed. */
bool rig_disarm(struct rig *r);

#define rig_audit(r) rig_audit_at(r, __FILE__, __LINE__)
void rig_audit_at(struct rig *r, const char *file, int line);
/* Number of findings, printed. */
uint64_t rig_findings(struct rig *r);

/* 0 and again with the text in r->panic_what: if (!rig_panics(r)) do something wrong. */
#define rig_panics(r) ((r)->may_panic = true, setjmp((r)->panic))

/* ---- where descriptors are, in either layout ----------------------------------- */

/* Pages of descriptors that a pageblock has only while it is cut, and the first of their slots. */
unsigned int rig_tails(const struct rig *r);
uint64_t rig_tail_slot(const struct rig *r, uint64_t pageblock);
/* The slot with a pageblock's own descriptor; in the table layout the first of its tails. */
uint64_t rig_head_slot(const struct rig *r, uint64_t pageblock);
/* The slot of the frames from @group * 64 on, and the other way round. */
uint64_t rig_slot(const struct rig *r, uint64_t group);
uint64_t rig_group(const struct rig *r, uint64_t slot);
/* The frame behind a slot, or HVO_SHARED_TAIL. */
hvo_pfn_t rig_backing(const struct rig *r, uint64_t slot);
bool rig_table(const struct rig *r);
/* Of the pages of descriptors of a pageblock, those that are there whatever it is used for. */
unsigned int rig_lasting(const struct rig *r);

/* ---- contents ---------------------------------------------------------------- */

/* One word in each 64 bytes; of a very large range, not of every frame. */
void rig_fill(struct rig *r, hvo_pfn_t pfn, uint64_t nr, uint64_t tag);
bool rig_intact(struct rig *r, hvo_pfn_t pfn, uint64_t nr, uint64_t tag);
/* The same for one frame in 61, where all would take too long. */
void rig_fill_some(struct rig *r, hvo_pfn_t pfn, uint64_t nr, uint64_t tag);
bool rig_some_intact(struct rig *r, hvo_pfn_t pfn, uint64_t nr, uint64_t tag);
/* Filled at @origin, and moved since. */
bool rig_moved_intact(struct rig *r, hvo_pfn_t pfn, uint64_t nr, uint64_t tag, hvo_pfn_t origin);
bool rig_zero(struct rig *r, hvo_pfn_t pfn, uint64_t nr);

/* ---- memory that somebody else has -------------------------------------------- */

struct hog_block {
	hvo_pfn_t pfn;
	unsigned int order;
};

struct hog {
	struct hog_block *blocks;
	uint64_t nr, max;
	bool filled; /* with contents */
};

/* Take everything but @left frames, which are order 0; fill it if asked to. */
void hog_all(struct rig *r, struct hog *h, uint64_t left, bool fill);
bool hog_intact(struct rig *r, const struct hog *h);
/* Give back the last @nr blocks, or all with UINT64_MAX. */
void hog_release(struct rig *r, struct hog *h, uint64_t nr);

/* ---- counters ------------------------------------------------------------------ */

struct hvo_machine_stat rig_stat(struct rig *r);
uint64_t rig_free(struct rig *r);
struct hvo_zone_stat rig_zone(struct rig *r, int node, enum hvo_zone_type type);
struct hvo_pool *rig_pool_new(struct rig *r, unsigned int order);
/* A page of the pool; @node or any. Asserts that there is one, as all of these do. */
hvo_pfn_t rig_take(struct hvo_pool *pool, int node);
/* A page that was reserved: the promise is used up. */
hvo_pfn_t rig_take_reserved(struct hvo_pool *pool);
struct hvo_pool_stat rig_pool(struct hvo_pool *pool, int node);
hvo_pfn_t rig_alloc(struct rig *r, unsigned int gfp, unsigned int order);
void rig_put(struct rig *r, hvo_pfn_t pfn);
const struct hvo_page *rig_page(struct rig *r, hvo_pfn_t pfn);
struct hvo_resize_result rig_resize(struct hvo_pool *pool, int node, uint64_t nr);

/* Give a block, with one reference, counts and words that follow from its number. */
void rig_mark(struct rig *r, hvo_pfn_t pfn);
/* As rig_mark() left it, and the way back. */
void rig_unmark(struct rig *r, hvo_pfn_t pfn);

/* For an owner who lets nothing move. */
uint32_t rig_never_isolate(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
			   unsigned int order);
int rig_never_move(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t dst, hvo_pfn_t src,
		   unsigned int order);
/* For an owner with nothing to put back. */
void rig_putback(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

/* A test of the function @name that takes a mode, in both. */
#define EACH_MODE(name)                       \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		name(HVO_ON_DEMAND);          \
		name(HVO_LINUX);              \
	}

/* splitmix64 */
uint64_t rig_random(uint64_t *state);
/* HVO_SEED of the environment: a test that is random starts from there. */
uint64_t rig_seed(uint64_t otherwise);

#endif
