// SPDX-License-Identifier: MIT
/*
 * Calls that take a frame's number, and numbers that are not the caller's: descriptors of the start
 * and of a cut block, free memory, pages of a pool, what is isolated, deferred, failed, offline,
 * removed, or not there at all. Who may write to memory or give it away has to hold it, so every
 * call of that kind says -HVO_EINVAL, and changes neither a byte nor a count. The same calls on
 * what is held do what they are for.
 *
 * In Linux: lib/test_free_pages.c; mm/memory-failure.c, pfn_to_online_page() and its callers.
 */
#include "harness.h"

#include <hvo/contig.h>
#include <hvo/hotplug.h>
#include <hvo/migrate.h>

#include <string.h>

#define ANY HVO_NODE_ANY
#define SECTION (UINT64_C(1) << HVO_SECTION_ORDER)
#define BLOCK (UINT64_C(1) << HVO_PAGEBLOCK_ORDER)

/* NORMAL, CMA, MOVABLE; then a section that is offline, and one that was removed. */
#define CMA_START (2 * SECTION)
#define MOVABLE_START (3 * SECTION)
#define OFFLINE_START (4 * SECTION)
#define REMOVED_START (5 * SECTION)
#define END (6 * SECTION)

#define MAX_KINDS 40

/* A frame of some kind, and what its neighbours may be. */
struct kind {
	const char *name;
	hvo_pfn_t pfn;
	bool online;
};

struct world {
	struct rig r;
	struct hvo_pool *pool;
	struct hvo_cma *cma;
	struct hvo_owner owner;
	uint32_t owner_id;
	hvo_pfn_t held, next; /* 2 MiB that somebody has, and 2 MiB that nobody has behind it */
	struct kind kinds[MAX_KINDS];
	unsigned int nr_kinds;
};

/* ---- the world --------------------------------------------------------------------------- */

static void never_put_back(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
			   unsigned int order)
{
	(void)owner;
	(void)m;
	(void)pfn;
	(void)order;
}

static void add_kind(struct world *w, const char *name, hvo_pfn_t pfn, bool online)
{
	assert_true(w->nr_kinds < MAX_KINDS);
	w->kinds[w->nr_kinds++] = (struct kind){ name, pfn, online };
}

/* The first frame in a state, of those that have a descriptor; @flags: all or none of these. */
static void find_kind(struct world *w, const char *name, enum hvo_page_state state,
		      unsigned int order, bool boot)
{
	const struct hvo_memmap *mm = hvo_machine_memmap(w->r.m);
	hvo_pfn_t pfn;

	for (pfn = 0; pfn < OFFLINE_START; pfn++) {
		uint8_t whole = hvo_fold_byte(mm, pfn / BLOCK) & HVO_FOLD_ORDER;
		const struct hvo_page *page;

		if (whole && pfn & ((UINT64_C(1) << whole) - 1))
			continue;
		page = hvo_page_ro(mm, pfn);
		if (hvo_page_state(page) != state || page->order < order ||
		    !(page->flags & HVO_PF_BOOT) != !boot)
			continue;
		add_kind(w, name, pfn, true);
		return;
	}
	/* In the table layout on-demand mode sets nothing aside. */
	assert_true(boot && rig_table(&w->r));
}

/* A surplus page whose descriptors have to be restored before it can be freed. */
static void defer_page(struct world *w)
{
	hvo_pfn_t pfn = 0;

	assert_int_equal(hvo_pool_set_overcommit(w->pool, 1), 0);
	assert_int_equal(hvo_pool_reserve(w->pool, ANY, 3), 0);
	assert_int_equal(hvo_pool_alloc(w->pool, HVO_GFP_KERNEL, ANY, &pfn), 0);
	assert_int_equal(hvo_pool_free(w->pool, pfn), 0);
	assert_int_equal(rig_pool(w->pool, ANY).deferred, 1);
	add_kind(w, "a page that waits to be freed", pfn, true);
}

static void add_not_online(struct world *w)
{
	add_kind(w, "offline, holds descriptors", OFFLINE_START, false);
	add_kind(w, "offline", OFFLINE_START + SECTION - BLOCK, false);
	add_kind(w, "removed", REMOVED_START, false);
	add_kind(w, "removed, the last one", END - 1, false);
	add_kind(w, "behind the end", END, false);
	add_kind(w, "2^32", UINT64_C(1) << 32, false);
	/* As bytes these are frame 0 and its neighbours. */
	add_kind(w, "2^52", UINT64_C(1) << 52, false);
	add_kind(w, "2^52 and what is held", (UINT64_C(1) << 52) + w->held, false);
	/* As blocks and sections, too. */
	add_kind(w, "2^55", UINT64_C(1) << 55, false);
	add_kind(w, "2^63", UINT64_C(1) << 63, false);
	add_kind(w, "below 2^63", (UINT64_C(1) << 63) - BLOCK, false);
	add_kind(w, "2^64 less a block", UINT64_MAX - BLOCK + 1, false);
	add_kind(w, "2^64 less one", UINT64_MAX, false);
}

static void world_open(struct world *w, enum rig_platform platform, enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 512);
	hvo_pfn_t failed;

	memset(w, 0, sizeof(*w));
	cfg.max_order = 10;
	cfg.cma_bytes = 128 * MIB;
	cfg.movable_bytes = 128 * MIB;
	cfg.hotplug_bytes = 256 * MIB;
	rig_open(&w->r, platform, &cfg);
	w->pool = rig_pool_new(&w->r, 9);
	rig_resize(w->pool, ANY, 3);
	assert_int_equal(hvo_cma_create(w->r.m, 0, SECTION, &w->cma), 0);
	w->owner = (struct hvo_owner){
		sizeof(struct hvo_owner), rig_never_isolate, rig_never_move, never_put_back, NULL, w
	};
	assert_int_equal(hvo_owner_register(w->r.m, &w->owner, &w->owner_id), 0);
	assert_int_equal(hvo_memory_add(w->r.m, 0, OFFLINE_START, END, HVO_MEMMAP_ON_MEMORY), 0);
	assert_int_equal(hvo_memory_remove(w->r.m, REMOVED_START, END), 0);

	/* Two blocks, of which one stays. */
	w->held = rig_alloc(&w->r, HVO_GFP_USER, 10);
	w->next = w->held + BLOCK;
	assert_int_equal(hvo_split_page(w->r.m, w->held, 9), 0);
	rig_put(&w->r, w->next);
	rig_fill(&w->r, w->held, BLOCK, 7);
	add_kind(w, "behind what is held", w->next, true);

	/* Blocks that are cut, of which one has a frame that failed. */
	(void)rig_alloc(&w->r, HVO_GFP_USER, 0);
	(void)rig_alloc(&w->r, HVO_GFP_KERNEL, 0);
	failed = rig_alloc(&w->r, HVO_GFP_KERNEL, 0);
	rig_put(&w->r, failed);
	assert_int_equal(hvo_memory_failure(w->r.m, failed), 0);
	add_kind(w, "failed", failed, true);
	assert_int_equal(hvo_isolate_range(w->r.m, CMA_START, CMA_START + BLOCK), 0);
	add_kind(w, "isolated", CMA_START, true);
	add_kind(w, "of the start", 0, true);
	find_kind(w, "free", HVO_PAGE_FREE, 0, false);
	find_kind(w, "free, a large block", HVO_PAGE_FREE, 9, false);
	find_kind(w, "of a pool", HVO_PAGE_HUGETLB_FREE, 9, false);
	add_kind(w, "of a pool, in it", w->kinds[w->nr_kinds - 1].pfn + 100, true);
	find_kind(w, "set aside at the start", HVO_PAGE_MEMMAP, 0, true);
	find_kind(w, "descriptors", HVO_PAGE_MEMMAP, 0, false);
	if (mode == HVO_LINUX)
		defer_page(w);
	add_not_online(w);
}

/* ---- calls ------------------------------------------------------------------------------- */

/* What only a holder may do. @nr: how many frames, where it takes that. */
#define CALL(name, expr)                                                    \
	static int call_##name(struct world *w, hvo_pfn_t pfn, uint64_t nr) \
	{                                                                   \
		(void)nr;                                                   \
		return expr;                                                \
	}

CALL(put_page, hvo_put_page(w->r.m, pfn))
CALL(map_page, hvo_map_page(w->r.m, pfn))
CALL(unmap_page, hvo_unmap_page(w->r.m, pfn))
CALL(set_private, hvo_page_set_private(w->r.m, pfn, 0, 1))
CALL(private, hvo_page_private(w->r.m, pfn, 0, &(uint64_t){ 0 }))
CALL(split_page, hvo_split_page(w->r.m, pfn, 0))
CALL(set_owner, hvo_set_owner(w->r.m, pfn, w->owner_id))
CALL(no_owner, hvo_set_owner(w->r.m, pfn, 0))
CALL(hugetlb_free, hvo_pool_free(w->pool, pfn))
CALL(free_reserved, hvo_pool_free_reserved(w->pool, pfn))
CALL(free_contig_range, hvo_free_contig_range(w->r.m, pfn, pfn + nr))
CALL(cma_release, hvo_cma_release(w->cma, pfn, nr))
CALL(migrate, hvo_migrate(w->r.m, pfn, ANY, NULL))
CALL(held, hvo_pages_held(w->r.m, pfn, nr) ? 0 : -HVO_EINVAL)
CALL(release, w->r.host ? hvo_linux_discard(w->r.host, pfn, nr) : -HVO_EINVAL)
CALL(populate, w->r.host ? hvo_linux_populate(w->r.host, pfn, nr) : -HVO_EINVAL)

/* What is for any memory that is online, if it is. */
CALL(memory_failure, hvo_memory_failure(w->r.m, pfn))
CALL(move_memmap, hvo_move_memmap(w->r.m, pfn))
CALL(isolate_range, hvo_isolate_range(w->r.m, pfn & ~(BLOCK - 1), (pfn & ~(BLOCK - 1)) + BLOCK))
CALL(unisolate_range, hvo_unisolate_range(w->r.m, pfn & ~(BLOCK - 1), (pfn & ~(BLOCK - 1)) + BLOCK))
CALL(alloc_contig_range, hvo_alloc_contig_range(w->r.m, pfn, pfn + nr, 0))
CALL(offline, hvo_memory_offline(w->r.m, pfn & ~(SECTION - 1), (pfn & ~(SECTION - 1)) + SECTION))
CALL(reported, hvo_reported(w->r.m, pfn) ? 0 : -HVO_EINVAL)

struct call {
	const char *name;
	int (*fn)(struct world *w, hvo_pfn_t pfn, uint64_t nr);
};
#define ROW(name)                  \
	{                          \
#name, call_##name \
	}

static const struct call of_holder[] = {
	ROW(put_page),	   ROW(map_page),      ROW(unmap_page),	       ROW(set_private),
	ROW(private),	   ROW(split_page),    ROW(set_owner),	       ROW(no_owner),
	ROW(hugetlb_free), ROW(free_reserved), ROW(free_contig_range), ROW(cma_release),
	ROW(migrate),	   ROW(held),	       ROW(release),	       ROW(populate),
};

static const struct call of_online[] = {
	ROW(memory_failure),	 ROW(move_memmap), ROW(isolate_range), ROW(unisolate_range),
	ROW(alloc_contig_range), ROW(offline),	   ROW(reported),
};
#define NR_OF(array) (sizeof(array) / sizeof((array)[0]))

/* From one frame to so many that the sum, or its bytes, begin anew. */
static const uint64_t lengths[] = {
	1,
	2,
	BLOCK,
	SECTION,
	END,
	UINT64_MAX,
	UINT64_C(1) << 63,
	(UINT64_C(1) << 52) + 1,
	UINT64_C(1) << 52,
};

/* ---- nothing changes ---------------------------------------------------------------------- */

struct before {
	struct hvo_machine_stat machine;
	struct hvo_pool_stat pool;
	struct hvo_zone_stat zones[HVO_NR_ZONES];
	struct hvo_page page; /* of the frame, where it has one */
	uint8_t bytes[HVO_FRAME_SIZE];
};

static void look(struct world *w, const struct kind *k, struct before *b)
{
	const struct hvo_memmap *mm = hvo_machine_memmap(w->r.m);
	unsigned int z;

	memset(b, 0, sizeof(*b));
	b->machine = rig_stat(&w->r);
	b->pool = rig_pool(w->pool, ANY);
	for (z = 0; z < HVO_NR_ZONES; z++)
		b->zones[z] = rig_zone(&w->r, 0, (enum hvo_zone_type)z);
	if (hvo_section_state(w->r.m, k->pfn) == HVO_SECTION_ABSENT)
		return;
	b->page = *hvo_page_ro(mm, hvo_page_head(mm, k->pfn));
	memcpy(b->bytes, hvo_window(w->r.m, k->pfn, 1), sizeof(b->bytes));
}

static void refused(struct world *w, const struct kind *k, const struct call *call, uint64_t nr)
{
	static struct before before, after;
	int rc;

	look(w, k, &before);
	rc = call->fn(w, k->pfn, nr);
	look(w, k, &after);
	if (rc != -HVO_EINVAL)
		fail_msg("%s of %llu frames, %s (%#llx): %d", call->name, (unsigned long long)nr,
			 k->name, (unsigned long long)k->pfn, rc);
	if (memcmp(&before, &after, sizeof(before)))
		fail_msg("%s of %llu frames, %s (%#llx): something changed", call->name,
			 (unsigned long long)nr, k->name, (unsigned long long)k->pfn);
}

static void walk(struct world *w, const struct kind *k, const struct call *calls,
		 unsigned int nr_calls)
{
	unsigned int i, n;

	for (i = 0; i < nr_calls; i++)
		for (n = 0; n < NR_OF(lengths); n++)
			refused(w, k, &calls[i], lengths[n]);
}

static void nobodys(enum rig_platform platform, enum hvo_mode mode)
{
	static struct world w;
	unsigned int i;

	world_open(&w, platform, mode);
	for (i = 0; i < w.nr_kinds; i++) {
		walk(&w, &w.kinds[i], of_holder, NR_OF(of_holder));
		if (!w.kinds[i].online)
			walk(&w, &w.kinds[i], of_online, NR_OF(of_online));
		rig_audit(&w.r);
	}
	assert_true(rig_intact(&w.r, w.held, BLOCK, 7));
	rig_close(&w.r);
}

static void test_nobodys_sim(void **state)
{
	(void)state;
	nobodys(RIG_SIM, HVO_ON_DEMAND);
	nobodys(RIG_SIM, HVO_LINUX);
}

static void test_nobodys_linux(void **state)
{
	(void)state;
	nobodys(RIG_LINUX, HVO_ON_DEMAND);
	nobodys(RIG_LINUX, HVO_LINUX);
}

/* ---- ranges that are somebody's in part ------------------------------------------------------ */

static void in_part(enum rig_platform platform, enum hvo_mode mode)
{
	static const struct call calls[] = { ROW(free_contig_range), ROW(cma_release), ROW(held),
					     ROW(release), ROW(populate) };
	static const uint64_t too_long[] = { BLOCK + 1,
					     2 * BLOCK,
					     END,
					     UINT64_MAX,
					     UINT64_C(1) << 63,
					     UINT64_C(1) << 52,
					     (UINT64_C(1) << 52) + BLOCK };
	static struct world w;
	unsigned int i, n;

	world_open(&w, platform, mode);
	for (i = 0; i < NR_OF(calls); i++) {
		struct kind first = { "held, and what is behind", w.held, true };
		struct kind last = { "before what is held", w.held - 1, true };

		for (n = 0; n < NR_OF(too_long); n++)
			refused(&w, &first, &calls[i], too_long[n]);
		refused(&w, &last, &calls[i], 2);
		refused(&w, &last, &calls[i], BLOCK + 1);
	}
	assert_true(rig_intact(&w.r, w.held, BLOCK, 7));
	rig_audit(&w.r);
	rig_close(&w.r);
}

static void test_in_part(void **state)
{
	(void)state;
	in_part(RIG_SIM, HVO_ON_DEMAND);
	in_part(RIG_LINUX, HVO_ON_DEMAND);
	in_part(RIG_LINUX, HVO_LINUX);
}

/* ---- what is held ----------------------------------------------------------------------------- */

/* Blocks of every origin, and a range that several of them make up. */
static void held(enum rig_platform platform, enum hvo_mode mode)
{
	hvo_pfn_t small, huge = 0, cma = 0, contig = MOVABLE_START + SECTION / 2 + 3;
	static struct world w;
	unsigned int i;

	world_open(&w, platform, mode);
	small = rig_alloc(&w.r, HVO_GFP_KERNEL, 3);
	assert_int_equal(hvo_pool_alloc(w.pool, HVO_GFP_KERNEL, ANY, &huge), 0);
	assert_int_equal(hvo_cma_alloc(w.cma, 1000, 0, &cma), 0);
	assert_int_equal(hvo_alloc_contig_range(w.r.m, contig, contig + 700, HVO_GFP_USER), 0);
	{
		const struct {
			hvo_pfn_t pfn;
			uint64_t nr;
		} ranges[] = { { small, 8 },	    { small + 3, 2 },	  { w.held, BLOCK },
			       { w.held + 17, 30 }, { cma, 1000 },	  { cma + 1, 998 },
			       { contig, 700 },	    { contig + 99, 600 }, { huge, BLOCK } };

		for (i = 0; i < NR_OF(ranges); i++) {
			hvo_pfn_t pfn = ranges[i].pfn;

			assert_true(hvo_pages_held(w.r.m, pfn, ranges[i].nr));
			if (platform != RIG_LINUX)
				continue;
			rig_fill(&w.r, pfn, ranges[i].nr, i);
			assert_int_equal(hvo_linux_discard(w.r.host, pfn, ranges[i].nr), 0);
			assert_int_equal(hvo_linux_populate(w.r.host, pfn, ranges[i].nr), 0);
			assert_true(rig_zero(&w.r, pfn, ranges[i].nr));
		}
	}
	assert_false(hvo_pages_held(w.r.m, small, 9) && hvo_pages_held(w.r.m, small - 1, 9));
	assert_true(hvo_pages_held(w.r.m, END, 0));
	assert_false(hvo_pages_held(w.r.m, END + 1, 0));
	rig_put(&w.r, small);
	assert_false(hvo_pages_held(w.r.m, small, 1));
	assert_int_equal(hvo_cma_release(w.cma, cma, 1000), 0);
	assert_int_equal(hvo_free_contig_range(w.r.m, contig, contig + 700), 0);
	assert_false(hvo_pages_held(w.r.m, contig + 99, 1));
	rig_audit(&w.r);
	rig_close(&w.r);
}

static void test_held(void **state)
{
	(void)state;
	held(RIG_SIM, HVO_ON_DEMAND);
	held(RIG_SIM, HVO_LINUX);
	held(RIG_LINUX, HVO_ON_DEMAND);
	held(RIG_LINUX, HVO_LINUX);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobodys_sim),
		cmocka_unit_test(test_nobodys_linux),
		cmocka_unit_test(test_in_part),
		cmocka_unit_test(test_held),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
