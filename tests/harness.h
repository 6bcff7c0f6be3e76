/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the core share: a machine on either platform (a rig), an audit
 * that must be clean, contents that must survive, something that eats memory, and
 * a platform whose n-th fallible call fails.
 *
 * Points: where a rig on RIG_FAULTY can fail, counted from rig_arm() on. Each
 * populate() is one, and each run of a remap(). A remap() that fails at a run has
 * done the runs before it, as the contract says, and never comes to those after it.
 *
 * In Linux: lib/fault-inject.c, tools/testing/memblock.
 */
#ifndef HVO_TESTS_HARNESS_H
#define HVO_TESTS_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>

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
enum rig_platform { RIG_SIM, RIG_FAULTY, RIG_LINUX, RIG_SPARSE };

struct rig_fault {
	bool armed;
	bool sticky;	    /* all fail from the first failure on, but for the way back */
	uint64_t fail_at;   /* this point fails, from 1; 0: none */
	uint64_t fail_also; /* and this one, of those after the first failure */
	uint64_t points;    /* since rig_arm() */
	uint64_t failures;
	/* What the last remap() that counted put in force: to undo it never fails. */
	struct hvo_remap *last;
	unsigned int nr_last, max_last;
	/*
	 * By frame: populate() failed there since rig_arm(). Nobody may write to it through
	 * zero() or copy(), until another populate() works.
	 */
	bool *refused;
};

struct rig {
	struct hvo_machine *m;
	struct hvo_sim *sim;
	struct hvo_linux *host;
	void *memory; /* of a machine on RIG_FAULTY */
	size_t size;
	struct rig_fault fault;

	/* Called by sleep_ns() of RIG_FAULTY, if there. */
	void (*on_sleep)(void *arg, uint64_t ns);
	void *on_sleep_arg;
	uint64_t sleeps;
	/* Before every call of RIG_FAULTY that changes something or waits. */
	void (*on_call)(void *arg);
	void *on_call_arg;
	/* The same by populate(), before anything else: others may do things meanwhile. */
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

/* Asserts that it works. */
void rig_open(struct rig *r, enum rig_platform platform, const struct hvo_config *cfg);
void rig_close(struct rig *r);

/* Point @fail_at is the one to fail; 0 counts only. */
void rig_arm(struct rig *r, uint64_t fail_at, bool sticky);
/* Two points, the second one counted on the way that things take after the first. */
void rig_arm_pair(struct rig *r, uint64_t first, uint64_t second);
/* Returns whether something failed. */
bool rig_disarm(struct rig *r);

#define rig_audit(r) rig_audit_at(r, __FILE__, __LINE__)
void rig_audit_at(struct rig *r, const char *file, int line);
/* Number of findings, printed. */
uint64_t rig_findings(struct rig *r);

/* 0 and again with the text in r->panic_what: if (!rig_panics(r)) do something wrong. */
#define rig_panics(r) ((r)->may_panic = true, setjmp((r)->panic))

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
struct hvo_pool_stat rig_pool(struct hvo_pool *pool, int node);
hvo_pfn_t rig_alloc(struct rig *r, unsigned int gfp, unsigned int order);
void rig_put(struct rig *r, hvo_pfn_t pfn);
const struct hvo_page *rig_page(struct rig *r, hvo_pfn_t pfn);
struct hvo_resize_result rig_resize(struct hvo_pool *pool, int node, uint64_t nr);

/* Give a block, with one reference, counts and words that follow from its number. */
void rig_mark(struct rig *r, hvo_pfn_t pfn);
/* As rig_mark() left it, and the way back. */
void rig_unmark(struct rig *r, hvo_pfn_t pfn);

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
