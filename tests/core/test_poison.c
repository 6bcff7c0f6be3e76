// SPDX-License-Identifier: MIT
/*
 * Frames that fail: wherever they are, they are never handed out again, and everything
 * around them still is.
 */
#include "crew.h"
#include "harness.h"

#include <hvo/contig.h>
#include <hvo/migrate.h>

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/badframe.h"
#include "core/fold.h"
#include "core/page.h"

#define ANY HVO_NODE_ANY

/* All that is free, in single frames: @bad is not among them, its neighbours can be. */
static uint64_t take_all(struct rig *r, struct hog *h, const hvo_pfn_t *bad, unsigned int nr_bad)
{
	uint64_t i, k;

	hvo_work(r->m, UINT64_MAX, NULL);
	hog_all(r, h, 0, false);
	for (i = 0; i < h->nr; i++)
		for (k = 0; k < nr_bad; k++)
			assert_false(bad[k] >= h->blocks[i].pfn &&
				     bad[k] < h->blocks[i].pfn +
						      (UINT64_C(1) << h->blocks[i].order));
	return h->nr;
}

/* @bad becomes ascending. */
static void sort(hvo_pfn_t *bad, unsigned int nr)
{
	unsigned int i, j;

	for (i = 1; i < nr; i++) {
		hvo_pfn_t x = bad[i];

		for (j = i; j && bad[j - 1] > x; j--)
			bad[j] = bad[j - 1];
		bad[j] = x;
	}
}

static void expect_out(struct rig *r, hvo_pfn_t *bad, unsigned int nr)
{
	hvo_pfn_t found[16];
	struct hog hog = { 0 };
	unsigned int i;

	sort(bad, nr);
	assert_int_equal(hvo_poisoned(r->m, found, 16), nr);
	assert_int_equal(rig_stat(r).poisoned, nr);
	for (i = 0; i < nr; i++) {
		assert_int_equal(found[i], bad[i]);
		assert_int_equal(hvo_get_page(r->m, bad[i], NULL), -HVO_EBUSY);
		assert_int_equal(hvo_put_page(r->m, bad[i]), -HVO_EINVAL);
		assert_int_equal(hvo_memory_failure(r->m, bad[i]), 0);
	}
	rig_audit(r);
	take_all(r, &hog, bad, nr);
	rig_audit(r);
	hog_release(r, &hog, UINT64_MAX);
	hvo_collapse(r->m, UINT64_MAX, NULL);
	rig_audit(r);
}

static void free_frames_in(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 256);
	uint64_t tails, had;
	hvo_pfn_t bad[5];
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	tails = mode == HVO_ON_DEMAND ? rig_tails(&r) : 0;
	assert_int_equal(hvo_memory_failure(r.m, UINT64_MAX), -HVO_EINVAL);
	had = rig_free(&r);
	/* In the middle of memory that is whole: its 2 MiB are cut around it. */
	bad[2] = 51200 + 300;
	assert_int_equal(hvo_memory_failure(r.m, bad[2]), 0);
	assert_int_equal(r.events[HVO_EVENT_POISONED], 1);
	assert_int_equal(rig_free(&r), had - 1 - tails);
	/* Where the tails would lie, and in the second place for them as well. */
	bad[3] = 52224 + pb_tails_at(r.m, pb_of(52224)) + 3;
	bad[4] = 53248 + pb_tails_at(r.m, pb_of(53248)) + 15;
	bad[1] = bad[2] - 1;
	assert_int_equal(hvo_memory_failure(r.m, bad[3]), 0);
	assert_int_equal(hvo_memory_failure(r.m, bad[4]), 0);
	/* One beside it, in the block that is cut now. */
	assert_int_equal(hvo_memory_failure(r.m, bad[1]), 0);
	assert_int_equal(rig_free(&r), had - 4 - 3 * tails);
	/* A frame that a small allocation had. */
	bad[0] = rig_alloc(&r, HVO_GFP_KERNEL, 0);
	rig_put(&r, bad[0]);
	assert_int_equal(hvo_memory_failure(r.m, bad[0]), 0);
	expect_out(&r, bad, 5);
	/*
	 * That one lies behind the head pages, in a block that is cut for good, or in one more that
	 * was cut for it.
	 */
	assert_int_equal(rig_free(&r), had - 5 - (rig_lasting(&r) ? 3 : 4) * tails);
	rig_close(&r);
}

static void test_free_frames(void **state)
{
	(void)state;
	free_frames_in(HVO_ON_DEMAND);
	free_frames_in(HVO_LINUX);
}

/* In use: recorded, and left out when it is freed; also after it was split. */
static void used_frames_in(enum hvo_mode mode)
{
	static const unsigned int orders[] = { 0, 3, 8, 9, 11 };
	struct hvo_config cfg = rig_config(mode, 256);
	unsigned int i, k;

	for (i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		for (k = 0; k < 2; k++) {
			uint64_t size = UINT64_C(1) << orders[i], part;
			hvo_pfn_t pfn, bad[2];
			struct rig r;

			rig_open(&r, RIG_SIM, &cfg);
			pfn = rig_alloc(&r, HVO_GFP_USER, orders[i]);
			rig_fill(&r, pfn, size, 8);
			bad[0] = pfn + size / 2;
			bad[1] = pfn + size - 1;
			assert_int_equal(hvo_memory_failure(r.m, bad[0]), -HVO_EBUSY);
			assert_int_equal(hvo_memory_failure(r.m, bad[1]), -HVO_EBUSY);
			assert_int_equal(hvo_memory_failure(r.m, bad[1]), -HVO_EBUSY);
			assert_true(rig_intact(&r, pfn, size, 8));
			rig_audit(&r);
			if (k && orders[i]) {
				assert_int_equal(hvo_split_page(r.m, pfn, orders[i] / 2), 0);
				assert_true(rig_intact(&r, pfn, size, 8));
				for (part = 0; part < size; part += UINT64_C(1) << orders[i] / 2)
					rig_put(&r, pfn + part);
			} else {
				rig_put(&r, pfn);
			}
			hvo_collapse(r.m, UINT64_MAX, NULL);
			expect_out(&r, bad, orders[i] > 0 && bad[1] != bad[0] ? 2 : 1);
			rig_close(&r);
		}
	}
}

static void test_used_frames(void **state)
{
	(void)state;
	used_frames_in(HVO_ON_DEMAND);
	used_frames_in(HVO_LINUX);
}

/* Huge pages: a free one is dissolved, one in use leaves its pool when it is freed. */
static void huge_in(enum hvo_mode mode, unsigned int order)
{
	uint64_t size = UINT64_C(1) << order, nr = order == 18 ? 2 : 5;
	struct hvo_config cfg = rig_config(mode, order == 18 ? 4096 : 256);
	hvo_pfn_t used, idle, bad[2];
	struct hvo_pool *pool;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, order);
	rig_resize(pool, ANY, nr);
	used = rig_take(pool, ANY);
	idle = rig_take(pool, ANY);
	rig_put(&r, idle);
	rig_fill(&r, used, size, 8);
	bad[0] = idle + size - 2;
	bad[1] = used + 513 % size;
	assert_int_equal(hvo_memory_failure(r.m, bad[0]), 0);
	assert_int_equal(rig_pool(pool, ANY).total, nr - 1);
	assert_int_equal(hvo_memory_failure(r.m, bad[1]), -HVO_EBUSY);
	assert_int_equal(rig_pool(pool, ANY).poisoned, 1);
	assert_true(rig_intact(&r, used, size, 8));
	rig_audit(&r);
	rig_put(&r, used);
	assert_int_equal(rig_pool(pool, ANY).total, nr - 2);
	assert_int_equal(rig_pool(pool, ANY).deferred, 1);
	assert_int_equal(hvo_work(r.m, UINT64_MAX, NULL), 1);
	expect_out(&r, bad, 2);
	/* No huge page is ever built from them again. */
	rig_resize(pool, ANY, UINT64_MAX);
	rig_audit(&r);
	assert_int_equal(rig_pool(pool, ANY).poisoned, 0);
	rig_close(&r);
}

static void test_huge(void **state)
{
	(void)state;
	huge_in(HVO_ON_DEMAND, 9);
	huge_in(HVO_LINUX, 9);
	huge_in(HVO_ON_DEMAND, 12);
	huge_in(HVO_LINUX, 12);
	huge_in(HVO_ON_DEMAND, 18);
	huge_in(HVO_LINUX, 18);
}

/* 39, 44: it cannot leave: no memory for its descriptors, or all is reserved. Never handed out. */
static void test_huge_stays(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	struct hvo_pool *pool;
	struct hog hog = { 0 };
	hvo_pfn_t page, none;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	rig_resize(pool, ANY, 2);
	page = rig_take(pool, ANY);
	rig_put(&r, page);
	hog_all(&r, &hog, 0, false);
	assert_int_equal(hvo_memory_failure(r.m, page + 9), -HVO_ENOMEM);
	assert_int_equal(rig_pool(pool, ANY).total, 2);
	assert_int_equal(rig_pool(pool, ANY).poisoned, 1);
	rig_audit(&r);
	assert_int_not_equal(rig_take(pool, ANY), page);
	assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_KERNEL, ANY, &none), -HVO_ENOMEM);
	assert_int_equal(rig_pool(pool, ANY).free, 1);
	hog_release(&r, &hog, UINT64_MAX);
	/* It is no page that could be promised. */
	assert_int_equal(hvo_pool_reserve(pool, ANY, 1), -HVO_ENOMEM);
	assert_int_equal(hvo_hugetlb_dissolve(r.m, page), 0);
	page += 9;
	expect_out(&r, &page, 1);
	rig_close(&r);
}

/* Cutting fails: the whole 2 MiB are out of use until it can be cut. */
static void test_cut_fails(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	hvo_pfn_t bad[1] = { 51200 + 300 };
	uint64_t had;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	had = rig_free(&r);
	rig_arm(&r, 1, true);
	assert_int_equal(hvo_memory_failure(r.m, bad[0]), -HVO_ENOMEM);
	assert_int_equal(hvo_work(r.m, UINT64_MAX, NULL), 0);
	assert_true(rig_disarm(&r));
	assert_int_equal(rig_free(&r), had - 512);
	rig_audit(&r);
	assert_int_equal(hvo_work(r.m, UINT64_MAX, NULL), 1);
	assert_int_equal(rig_free(&r), had - 1 - rig_tails(&r));
	assert_int_equal(hvo_work(r.m, UINT64_MAX, NULL), 0);
	expect_out(&r, bad, 1);
	rig_close(&r);
}

/* ---- frames that hold descriptors -------------------------------------------------------- */

static hvo_pfn_t backing(struct rig *r, uint64_t page)
{
	return rig_backing(r, page);
}

static void unmark_and_put(struct rig *r, hvo_pfn_t pfn)
{
	rig_unmark(r, pfn);
	rig_put(r, pfn);
}

/* All 64 descriptors are as they were, but those of two frames, and of what is free. */
static void expect_same(struct rig *r, const struct hvo_page *was, hvo_pfn_t first, hvo_pfn_t but,
			hvo_pfn_t and_but)
{
	const struct hvo_page *now;
	hvo_pfn_t pfn;

	for (pfn = first; pfn < first + 64; pfn++, was++) {
		if (pfn == but || pfn == and_but)
			continue;
		now = rig_page(r, pfn);
		if (was->state == HVO_PAGE_FREE || now->state == HVO_PAGE_FREE ||
		    (was->state == HVO_PAGE_TAIL && now->state != HVO_PAGE_TAIL))
			continue;
		if (now->state != HVO_PAGE_TAIL || was->state == HVO_PAGE_TAIL)
			assert_memory_equal(was, now, sizeof(*now));
	}
}

/* What backs a page of the array fails, and is replaced at once; the frame that failed. */
static hvo_pfn_t fail_backing(struct rig *r, uint64_t page)
{
	hvo_pfn_t first = rig_group(r, page) * 64, old = backing(r, page), new, pfn;
	struct hvo_machine_stat was = rig_stat(r), now;
	struct hvo_page pages[64];

	for (pfn = first; pfn < first + 64; pfn++)
		pages[pfn - first] = *rig_page(r, pfn);
	assert_int_equal(hvo_memory_failure(r->m, old), 0);
	new = backing(r, page);
	assert_true(new != old &&new != HVO_SHARED_TAIL);
	expect_same(r, pages, first, old, new);
	now = rig_stat(r);
	assert_int_equal(now.moved, was.moved + 1);
	assert_int_equal(now.poisoned, was.poisoned + 1);
	/* One less that was set aside is one more that is managed. */
	assert_int_equal(was.memmap_boot - now.memmap_boot, now.total_frames - was.total_frames);
	assert_int_equal(now.memmap + now.memmap_boot,
			 was.memmap + was.memmap_boot + rig_tails(r) * (now.cuts - was.cuts));
	assert_int_equal(hvo_get_page(r->m, old, NULL), -HVO_EBUSY);
	rig_audit(r);
	return old;
}

/* A block of on-demand mode with @nr marked small blocks in it; its first frame. */
static hvo_pfn_t busy_block(struct rig *r, hvo_pfn_t *small, unsigned int nr)
{
	unsigned int i;
	hvo_pfn_t base;

	while (rig_zone(r, 0, HVO_ZONE_NORMAL).nr_cut < (rig_lasting(r) ? 2 : 1))
		small[0] = rig_alloc(r, HVO_GFP_KERNEL, 3);
	base = small[0] & ~UINT64_C(511);
	for (i = 1; i < nr; i++) {
		small[i] = rig_alloc(r, HVO_GFP_KERNEL, 3);
		assert_int_equal(small[i] >> 9, base >> 9);
	}
	for (i = 0; i < nr; i++)
		rig_mark(r, small[i]);
	return base;
}

static void own_frames(enum rig_platform platform, enum hvo_clear clear)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	hvo_pfn_t small[63], base, bad[16], filler[512];
	unsigned int nr = 0, nr_filler = 0, i, k;
	uint64_t tails, memmap;
	struct rig r;

	cfg.clear = clear;
	rig_open(&r, platform, &cfg);
	base = busy_block(&r, small, 40);
	tails = rig_tail_slot(&r, base >> 9);
	memmap = rig_stat(&r).memmap;
	/* Each of them, and then what came instead: all stay in the block. */
	for (i = 0; i < 2; i++) {
		for (k = 0; k < 7; k++) {
			bad[nr++] = fail_backing(&r, tails + k);
			assert_int_equal(backing(&r, tails + k) >> 9, base >> 9);
		}
	}
	assert_int_equal(rig_stat(&r).memmap, memmap);
	/* No frame of it is free: another block has to serve. */
	while (r.m->pageblocks[base >> 9].nr_free)
		filler[nr_filler++] = rig_alloc(&r, HVO_GFP_KERNEL, 0);
	bad[nr++] = fail_backing(&r, tails + 3);
	assert_int_not_equal(backing(&r, tails + 3) >> 9, base >> 9);
	/* One that lies elsewhere is like any other. */
	assert_int_equal(hvo_move_memmap(r.m, backing(&r, tails + 3)), 0);
	bad[nr++] = fail_backing(&r, tails + 3);
	while (nr_filler)
		rig_put(&r, filler[--nr_filler]);
	for (i = 0; i < 40; i++)
		unmark_and_put(&r, small[i]);
	hvo_collapse(r.m, UINT64_MAX, NULL);
	assert_int_equal(hvo_fold_byte(hvo_machine_memmap(r.m), base >> 9), 0);
	rig_audit(&r);
	expect_out(&r, bad, nr);
	rig_close(&r);
}

static void test_own_frames(void **state)
{
	(void)state;
	own_frames(RIG_SIM, HVO_CLEAR_NEVER);
	own_frames(RIG_SIM, HVO_CLEAR_ON_FREE);
	own_frames(RIG_LINUX, HVO_CLEAR_NEVER);
}

/* A block that was full when one of its own frames failed, and then is empty: it stays cut. */
static void own_frame_full(enum hvo_clear clear)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	hvo_pfn_t small[64], base, bad, filler[512];
	unsigned int nr = 0, i;
	uint64_t tails, memmap;
	struct rig r;

	cfg.clear = clear;
	rig_open(&r, RIG_SIM, &cfg);
	memmap = rig_stat(&r).memmap;
	base = busy_block(&r, small, 8);
	tails = rig_tail_slot(&r, base >> 9);
	while (r.m->pageblocks[base >> 9].nr_free)
		filler[nr++] = rig_alloc(&r, HVO_GFP_KERNEL, 0);
	bad = fail_backing(&r, tails + 3);
	assert_int_not_equal(backing(&r, tails + 3) >> 9, base >> 9);
	for (i = 0; i < 8; i++)
		unmark_and_put(&r, small[i]);
	while (nr)
		rig_put(&r, filler[--nr]);
	rig_audit(&r);
	hvo_collapse(r.m, UINT64_MAX, NULL);
	rig_audit(&r);
	assert_int_equal(hvo_fold_byte(hvo_machine_memmap(r.m), base >> 9), 0);
	/* All but one of its own, that one elsewhere, and a block that was cut for it. */
	assert_int_equal(rig_stat(&r).memmap, memmap + 2 * rig_tails(&r));
	/* Its other tails can leave it now: all but the frame that failed can be had. */
	assert_int_equal(hvo_alloc_contig_range(r.m, base + 8, base + 512, HVO_GFP_KERNEL), 0);
	rig_audit(&r);
	assert_int_equal(hvo_free_contig_range(r.m, base + 8, base + 512), 0);
	expect_out(&r, &bad, 1);
	rig_close(&r);
}

static void test_own_frame_full(void **state)
{
	(void)state;
	own_frame_full(HVO_CLEAR_NEVER);
	own_frame_full(HVO_CLEAR_ON_FREE);
}

/* Isolated, what is free in a block is not counted; it serves all the same. */
static void test_own_frame_isolated(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	hvo_pfn_t small[10], base, bad[2];
	unsigned int i;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	base = busy_block(&r, small, 10);
	assert_int_equal(hvo_isolate_range(r.m, base, base + 512), 0);
	bad[0] = fail_backing(&r, rig_tail_slot(&r, base >> 9));
	assert_int_equal(backing(&r, rig_tail_slot(&r, base >> 9)) >> 9, base >> 9);
	assert_int_equal(hvo_unisolate_range(r.m, base, base + 512), 0);
	bad[1] = fail_backing(&r, rig_tail_slot(&r, base >> 9) + 6);
	for (i = 0; i < 10; i++)
		unmark_and_put(&r, small[i]);
	expect_out(&r, bad, 2);
	rig_close(&r);
}

/* Those of others: they could always move. */
static void test_descriptors_elsewhere(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	hvo_pfn_t pfn, bad[2], i;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	pfn = rig_alloc(&r, HVO_GFP_USER, 9);
	rig_fill(&r, pfn, 512, 6);
	assert_int_equal(hvo_split_page(r.m, pfn, 3), 0);
	for (i = 0; i < 2; i++)
		bad[i] = fail_backing(&r, rig_tail_slot(&r, pfn >> 9) + i);
	assert_true(rig_intact(&r, pfn, 512, 6));
	for (i = 0; i < 512; i += 8)
		rig_put(&r, pfn + i);
	hvo_collapse(r.m, UINT64_MAX, NULL);
	expect_out(&r, bad, 2);
	rig_close(&r);
}

/*
 * What was set aside at the start, behind all that a block can be: its head page, and a tail where
 * that is present.
 */
struct scene {
	struct rig r;
	struct hvo_pool *pool;
	hvo_pfn_t small, whole, huge_used, huge_free, free;
};

static void scene_open(struct scene *s, enum rig_platform platform, enum hvo_mode mode,
		       uint64_t mib, bool optimize)
{
	struct hvo_config cfg = rig_config_aside(mode, mib);

	rig_open(&s->r, platform, &cfg);
	hvo_set_optimize(s->r.m, optimize);
	assert_int_equal(hvo_pool_create(s->r.m, 9, &s->pool), 0);
	rig_resize(s->pool, ANY, 2);
	s->huge_used = rig_take(s->pool, ANY);
	s->huge_free = rig_take(s->pool, ANY);
	rig_put(&s->r, s->huge_free);
	s->small = rig_alloc(&s->r, HVO_GFP_USER, 0);
	s->whole = rig_alloc(&s->r, HVO_GFP_USER, 9);
	s->free = rig_alloc(&s->r, HVO_GFP_USER, 10) + 512;
	rig_put(&s->r, s->free);
	rig_mark(&s->r, s->huge_used);
	rig_mark(&s->r, s->small);
	rig_mark(&s->r, s->whole);
}

static void scene_close(struct scene *s, hvo_pfn_t *bad, unsigned int nr)
{
	unmark_and_put(&s->r, s->huge_used);
	unmark_and_put(&s->r, s->small);
	unmark_and_put(&s->r, s->whole);
	hvo_work(s->r.m, UINT64_MAX, NULL);
	/* Through all the movements that ask for home frames. */
	hvo_set_optimize(s->r.m, true);
	rig_resize(s->pool, ANY, 10000);
	rig_audit(&s->r);
	rig_resize(s->pool, ANY, 0);
	expect_out(&s->r, bad, nr);
	rig_close(&s->r);
}

static void boot_frames(enum rig_platform platform, enum hvo_mode mode, uint64_t mib, bool optimize)
{
	hvo_pfn_t of[6], bad[16];
	unsigned int nr = 0, i;
	uint64_t boot, tail;
	struct scene s;

	scene_open(&s, platform, mode, mib, optimize);
	boot = rig_stat(&s.r).memmap_boot;
	of[0] = s.small;
	of[1] = s.whole;
	of[2] = s.huge_used;
	of[3] = s.huge_free;
	of[4] = s.free;
	of[5] = 0; /* the very block that they lie in */
	for (i = 0; i < 6; i++) {
		bad[nr++] = fail_backing(&s.r, rig_head_slot(&s.r, of[i] >> 9));
		tail = rig_tail_slot(&s.r, of[i] >> 9) + i;
		if (backing(&s.r, tail) != HVO_SHARED_TAIL &&
		    (rig_page(&s.r, backing(&s.r, tail))->flags & HVO_PF_BOOT))
			bad[nr++] = fail_backing(&s.r, tail);
	}
	/* In the table of Linux mode the first head page is the first tail, too. */
	if (mode == HVO_LINUX)
		assert_int_equal(nr + rig_table(&s.r), optimize ? 10 : 12);
	else
		assert_int_equal(nr, mib == 256 ? 7 : 6);
	/* Heads of optimized pages were counted anew before. */
	assert_int_equal(rig_stat(&s.r).memmap_boot,
			 boot - nr + (mode == HVO_LINUX && optimize ? 2 : 0));
	/* And what came instead, once more. */
	bad[nr++] = fail_backing(&s.r, rig_head_slot(&s.r, s.small >> 9));
	scene_close(&s, bad, nr);
}

static void test_boot_frames(void **state)
{
	(void)state;
	boot_frames(RIG_SIM, HVO_ON_DEMAND, 256, true);
	boot_frames(RIG_SIM, HVO_LINUX, 256, true);
	boot_frames(RIG_SIM, HVO_LINUX, 256, false);
	boot_frames(RIG_LINUX, HVO_ON_DEMAND, 256, true);
	boot_frames(RIG_LINUX, HVO_LINUX, 256, true);
	boot_frames(RIG_LINUX, HVO_LINUX, 256, false);
}

/* In whole blocks of them, without a descriptor to say what became of each. */
static void test_boot_frames_whole(void **state)
{
	(void)state;
	boot_frames(RIG_SIM, HVO_ON_DEMAND, 2048, true);
	boot_frames(RIG_LINUX, HVO_ON_DEMAND, 2048, true);
}

/* Which page such a frame backs depends on its node. */
static void test_boot_frames_two_nodes(void **state)
{
	struct hvo_config cfg = rig_config_aside(HVO_ON_DEMAND, 2 * 1152);
	hvo_pfn_t node = 1152 * MIB / HVO_FRAME_SIZE, bad[4];
	struct rig r;

	(void)state;
	cfg.nr_nodes = 2;
	rig_open(&r, RIG_SIM, &cfg);
	bad[0] = fail_backing(&r, rig_head_slot(&r, node >> 9));
	bad[1] = fail_backing(&r, rig_head_slot(&r, (node >> 9) + 511));
	/* The rest of the node's head pages are in a cut block. */
	bad[2] = fail_backing(&r, rig_head_slot(&r, (node >> 9) + 512));
	bad[3] = fail_backing(&r, rig_head_slot(&r, (node >> 9) - 1));
	assert_int_equal(bad[0], node);
	assert_int_equal(bad[1], node + 511);
	expect_out(&r, bad, 4);
	rig_close(&r);
}

/* Head pages and tails of a 1 GiB page that is demoted and dissolved afterwards. */
static void gigantic_descriptors(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config_aside(mode, 4096);
	struct hvo_pool *giga, *mega;
	uint64_t page, done, step;
	unsigned int nr = 0;
	hvo_pfn_t pfn, bad[16];
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	giga = rig_pool_new(&r, 18);
	mega = rig_pool_new(&r, 9);
	hvo_set_optimize(r.m, false);
	rig_resize(giga, ANY, 1);
	pfn = rig_take(giga, ANY);
	rig_mark(&r, pfn);
	page = rig_head_slot(&r, pfn >> 9);
	step = mode == HVO_ON_DEMAND ? 100 : 700;
	for (done = 0; nr < 5; done += step)
		bad[nr++] = fail_backing(&r, page + done);
	unmark_and_put(&r, pfn);
	assert_int_equal(hvo_pool_demote(giga, ANY, 1, &done), 0);
	assert_int_equal(done, 1);
	for (done = 1; nr < 8; done += 37)
		bad[nr++] = fail_backing(&r, page + done);
	assert_int_equal(hvo_hugetlb_dissolve(r.m, pfn + 512 * 37), 0);
	rig_audit(&r);
	hvo_set_optimize(r.m, true);
	assert_int_equal(hvo_pool_optimize(mega, &done), 0);
	rig_audit(&r);
	rig_resize(mega, ANY, 0);
	expect_out(&r, bad, nr);
	rig_close(&r);
}

static void test_gigantic_descriptors(void **state)
{
	(void)state;
	gigantic_descriptors(HVO_ON_DEMAND);
	gigantic_descriptors(HVO_LINUX);
}

/* ---- descriptors that cannot leave at once ------------------------------------------------- */

enum victim { OWN_FRAME, OWN_FRAME_FULL, BOOT_FRAME, WHOLE_FRAME, ELSEWHERE, NR_VICTIMS };

/* A frame of that kind; what backs *ret_page. */
static hvo_pfn_t victim_open(struct rig *r, enum victim victim, enum rig_platform platform,
			     uint64_t *ret_page)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, victim == WHOLE_FRAME ? 2048 : 256);
	hvo_pfn_t small[8], base;

	if (victim == BOOT_FRAME || victim == WHOLE_FRAME)
		cfg.layout = HVO_LAYOUT_VIRTUAL;
	rig_open(r, platform, &cfg);
	base = busy_block(r, small, 8);
	*ret_page = rig_tail_slot(r, base >> 9) + 5;
	if (victim == OWN_FRAME_FULL)
		while (r->m->pageblocks[base >> 9].nr_free)
			rig_alloc(r, HVO_GFP_KERNEL, 0);
	if (victim == BOOT_FRAME || victim == WHOLE_FRAME)
		*ret_page = rig_head_slot(r, base >> 9);
	if (victim == ELSEWHERE) {
		base = rig_alloc(r, HVO_GFP_USER, 9);
		assert_int_equal(hvo_split_page(r->m, base, 0), 0);
		*ret_page = rig_tail_slot(r, base >> 9) + 5;
	}
	return backing(r, *ret_page);
}

/* Each call that can fail, once and for good; what is left is clean, and done later. */
static void each_failure(enum victim victim, bool sticky)
{
	uint64_t fail_at, page, late = 0;
	bool failed, table = false;
	hvo_pfn_t bad;
	struct rig r;
	int rc;

	for (fail_at = 1;; fail_at++) {
		bad = victim_open(&r, victim, RIG_SIM, &page);
		table = rig_table(&r);
		rig_arm(&r, fail_at, sticky);
		rc = hvo_memory_failure(r.m, bad);
		failed = rig_disarm(&r);
		rig_audit(&r);
		if (rc) {
			assert_true(failed && rc == -HVO_EBUSY);
			assert_int_equal(backing(&r, page), bad);
			assert_int_equal(rig_stat(&r).moved, 0);
			if (victim <= OWN_FRAME_FULL)
				assert_true(r.m->pageblocks[bad >> 9].flags & PB_SELF);
			assert_int_equal(hvo_memory_failure(r.m, bad), -HVO_EBUSY);
			rig_arm(&r, 1, true);
			assert_int_equal(hvo_work(r.m, UINT64_MAX, NULL), 0);
			assert_true(rig_disarm(&r));
			rig_audit(&r);
			assert_int_equal(hvo_work(r.m, UINT64_MAX, NULL), 1);
			assert_int_equal(hvo_work(r.m, UINT64_MAX, NULL), 0);
			late++;
		}
		assert_int_not_equal(backing(&r, page), bad);
		assert_int_equal(rig_stat(&r).moved, 1);
		expect_out(&r, &bad, 1);
		rig_close(&r);
		if (!failed)
			break;
	}
	/* populate(), and remap() if there is a map. */
	assert_true(late >= (table ? 1 : 2));
}

static void test_each_failure(void **state)
{
	unsigned int victim;

	(void)state;
	for (victim = 0; victim < NR_VICTIMS; victim++) {
		each_failure((enum victim)victim, false);
		each_failure((enum victim)victim, true);
	}
}

/* No frame anywhere: it is asked for when there is one. */
static void no_memory(enum victim victim)
{
	struct hvo_sim_stat before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	struct hog hog = { 0 };
	hvo_pfn_t bad, found = 0;
	struct rig r;
	uint64_t page;

	bad = victim_open(&r, victim, RIG_SIM, &page);
	hog_all(&r, &hog, 0, false);
	hvo_sim_stat(r.sim, &before);
	assert_int_equal(hvo_memory_failure(r.m, bad), -HVO_EBUSY);
	hvo_sim_stat(r.sim, &after);
	assert_true(after.works > before.works);
	assert_int_equal(hvo_poisoned(r.m, &found, 1), 1);
	assert_int_equal(found, bad);
	assert_int_equal(hvo_work(r.m, UINT64_MAX, NULL), 0);
	assert_int_equal(backing(&r, page), bad);
	rig_audit(&r);
	hog_release(&r, &hog, UINT64_MAX);
	assert_int_equal(hvo_work(r.m, 1, NULL), 1);
	assert_int_not_equal(backing(&r, page), bad);
	expect_out(&r, &bad, 1);
	rig_close(&r);
}

static void test_no_memory(void **state)
{
	(void)state;
	no_memory(OWN_FRAME_FULL);
	no_memory(BOOT_FRAME);
	no_memory(WHOLE_FRAME);
	no_memory(ELSEWHERE);
}

/* No frame is free but in the block itself: that is enough, whatever the watermarks say. */
static void test_last_frame_of_block(void **state)
{
	hvo_pfn_t bad[2], base, pfn;
	struct hog hog = { 0 };
	uint64_t page, i;
	struct rig r;

	(void)state;
	bad[0] = victim_open(&r, OWN_FRAME_FULL, RIG_SIM, &page);
	base = bad[0] & ~UINT64_C(511);
	hog_all(&r, &hog, 0, false);
	for (pfn = base; rig_page(&r, pfn)->state != HVO_PAGE_USED || rig_page(&r, pfn)->order;)
		pfn++;
	rig_put(&r, pfn);
	bad[0] = fail_backing(&r, page);
	assert_int_equal(backing(&r, page), pfn);
	assert_int_equal(rig_free(&r), 0);
	/* Not moved in time, it is left out when the block is whole. */
	bad[1] = backing(&r, page + 1);
	assert_int_equal(hvo_memory_failure(r.m, bad[1]), -HVO_EBUSY);
	hog_release(&r, &hog, UINT64_MAX);
	for (i = 0; i < 512; i++)
		if (rig_page(&r, base + i)->state == HVO_PAGE_USED)
			while (!hvo_put_page(r.m, base + i))
				;
	hvo_work(r.m, UINT64_MAX, NULL);
	expect_out(&r, bad, 2);
	rig_close(&r);
}

/* Without hvo_work() between: collapse finds it. */
static void test_left_out_by_collapse(void **state)
{
	hvo_pfn_t bad, base, i;
	struct hog hog = { 0 };
	uint64_t page;
	struct rig r;

	(void)state;
	bad = victim_open(&r, OWN_FRAME_FULL, RIG_SIM, &page);
	base = bad & ~UINT64_C(511);
	hog_all(&r, &hog, 0, false);
	assert_int_equal(hvo_memory_failure(r.m, bad), -HVO_EBUSY);
	hog_release(&r, &hog, UINT64_MAX);
	for (i = base; i < base + 512; i++)
		while (rig_page(&r, i)->state == HVO_PAGE_USED && rig_page(&r, i)->mapcount)
			assert_int_equal(hvo_unmap_page(r.m, i), 0);
	for (i = base; i < base + 512; i++)
		while (rig_page(&r, i)->state == HVO_PAGE_USED)
			rig_put(&r, i);
	hvo_collapse(r.m, UINT64_MAX, NULL);
	assert_int_equal(rig_stat(&r).moved, 0);
	expect_out(&r, &bad, 1);
	rig_close(&r);
}

/* One of its descriptors is on its way to a user. */
static void test_busy_descriptors(void **state)
{
	struct hvo_config cfg = rig_config_aside(HVO_ON_DEMAND, 256);
	hvo_pfn_t small[8], base, bad[2], part = 0;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	base = busy_block(&r, small, 8);
	assert_int_equal(alloc_block(r.m, HVO_GFP_KERNEL, 6, ANY, &part), 0);
	assert_int_equal(part >> 9, base >> 9);
	bad[0] = backing(&r, rig_slot(&r, part >> 6));
	assert_int_equal(hvo_memory_failure(r.m, bad[0]), -HVO_EBUSY);
	assert_int_equal(backing(&r, rig_slot(&r, part >> 6)), bad[0]);
	assert_int_equal(hvo_work(r.m, UINT64_MAX, NULL), 0);
	free_block(r.m, part, 6);
	assert_int_equal(hvo_work(r.m, UINT64_MAX, NULL), 1);
	/* A whole block, and its head page. */
	assert_int_equal(alloc_block(r.m, HVO_GFP_KERNEL, 9, ANY, &part), 0);
	bad[1] = backing(&r, rig_head_slot(&r, part >> 9));
	assert_int_equal(hvo_memory_failure(r.m, bad[1]), -HVO_EBUSY);
	free_block(r.m, part, 9);
	rig_audit(&r);
	assert_int_equal(hvo_work(r.m, UINT64_MAX, NULL), 1);
	expect_out(&r, bad, 2);
	rig_close(&r);
}

/* A head page may come to lie in the block that it heads, and leaves it like any other. */
static void test_head_in_its_block(void **state)
{
	struct hvo_config cfg = rig_config_aside(HVO_ON_DEMAND, 256);
	hvo_pfn_t small[4], base, bad, frame;
	unsigned int i;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	/* Behind the head pages, 377 frames are free: the fullest block serves first. */
	while (rig_zone(&r, 0, HVO_ZONE_NORMAL).nr_cut < 2)
		small[0] = rig_alloc(&r, HVO_GFP_KERNEL, 3);
	while (r.m->pageblocks[0].nr_free)
		assert_int_equal(rig_alloc(&r, HVO_GFP_KERNEL, 0) >> 9, 0);
	base = small[0] & ~UINT64_C(511);
	for (i = 1; i < 4; i++)
		small[i] = rig_alloc(&r, HVO_GFP_KERNEL, 3);
	bad = fail_backing(&r, rig_head_slot(&r, base >> 9));
	frame = backing(&r, rig_head_slot(&r, base >> 9));
	assert_int_equal(frame >> 9, base >> 9);
	assert_int_equal(hvo_move_memmap(r.m, frame), 0);
	rig_audit(&r);
	for (i = 0; i < 4; i++)
		rig_put(&r, small[i]);
	/* Emptied, wherever it is now: the frame moves, its own tails go with it. */
	assert_int_equal(hvo_alloc_contig_range(r.m, base, base + 512, HVO_GFP_KERNEL), 0);
	assert_int_not_equal(backing(&r, rig_head_slot(&r, base >> 9)) >> 9, base >> 9);
	rig_audit(&r);
	assert_int_equal(hvo_free_contig_range(r.m, base, base + 512), 0);
	expect_out(&r, &bad, 1);
	rig_close(&r);
}

/* ---- the audit ----------------------------------------------------------------------------- */

/* The bit and the counts of one frame. */
static void flip(struct hvo_machine *m, hvo_pfn_t pfn)
{
	uint64_t bit = UINT64_C(1) << (pfn % 64), one = m->bad[pfn / 64] & bit ? UINT64_MAX : 1;

	m->bad[pfn / 64] ^= bit;
	m->nr_bad += one;
	m->sections[pfn >> HVO_SECTION_ORDER].nr_bad += (uint32_t)one;
}

/* It notices what is wrong with what failed: a page that is back in such a frame, and the rest. */
static void test_audit(void **state)
{
	struct hvo_remap run;
	struct hvo_page *page;
	struct pageblock *b;
	hvo_pfn_t bad, now;
	unsigned int done;
	struct rig r;

	(void)state;
	bad = victim_open(&r, WHOLE_FRAME, RIG_SIM, &run.page);
	assert_int_equal(fail_backing(&r, run.page), bad);
	now = backing(&r, run.page);
	run.nr = 1;
	run.pfn = bad;
	assert_int_equal(r.m->ops->remap(r.m->ctx, &run, 1, &done), 0);
	r.m->ops->flush(r.m->ctx);
	assert_true(rig_findings(&r) > 0);
	/* A frame of another page. */
	run.pfn = bad + 1;
	assert_int_equal(r.m->ops->remap(r.m->ctx, &run, 1, &done), 0);
	r.m->ops->flush(r.m->ctx);
	assert_true(rig_findings(&r) > 0);
	run.pfn = now;
	assert_int_equal(r.m->ops->remap(r.m->ctx, &run, 1, &done), 0);
	r.m->ops->flush(r.m->ctx);
	rig_audit(&r);
	/* Out of use, but it did not fail; free, but it did. */
	flip(r.m, bad);
	assert_true(rig_findings(&r) > 0);
	flip(r.m, bad);
	rig_audit(&r);
	now = rig_alloc(&r, HVO_GFP_KERNEL, 0);
	rig_put(&r, now);
	flip(r.m, now);
	assert_true(rig_findings(&r) > 0);
	flip(r.m, now);
	rig_audit(&r);
	rig_close(&r);
	bad = victim_open(&r, ELSEWHERE, RIG_SIM, &run.page);
	/* Tails of a block in which nothing failed. */
	b = &r.m->pageblocks[rig_group(&r, run.page) >> 3];
	b->flags |= PB_SELF;
	assert_int_equal(rig_findings(&r), 1);
	b->flags &= (uint8_t)~PB_SELF;
	assert_int_equal(fail_backing(&r, run.page), bad);
	page = page_rw(r.m, bad);
	page->state = HVO_PAGE_USED;
	page->refcount = 1;
	assert_true(rig_findings(&r) > 0);
	page = page_rw(r.m, bad);
	page->state = HVO_PAGE_POISONED;
	page->refcount = 0;
	rig_audit(&r);
	rig_close(&r);
}

/* ---- threads ------------------------------------------------------------------------------ */

#define WORKERS 3
#define HELD 128
#define FAILURES 200
#define OWN_FAILURES 60

/* However long the frames that fail are not those that are looked for. */
#define MOST_FAILURES 6000

struct crowd {
	struct rig r;
	bool stop;	    /* atomic */
	unsigned int ready; /* atomic: workers */
	uint64_t out, own;  /* that failed, and those with tails of their own block */
};

struct worker {
	struct crowd *c;
	uint64_t random, errors, steps;
	hvo_pfn_t held[HELD];
	uint64_t words[HELD];
};

static void must(struct worker *w, bool ok)
{
	w->errors += !ok;
}

/* Allocates, frees and writes words where frames of descriptors fail. */
static void *work(void *arg)
{
	struct worker *w = arg;
	struct hvo_machine *m = w->c->r.m;
	uint64_t word;

	while (!__atomic_load_n(&w->c->stop, __ATOMIC_ACQUIRE) || w->steps < 1000) {
		uint64_t dice = rig_random(&w->random);
		unsigned int i = (unsigned int)(dice >> 8) % HELD;
		hvo_pfn_t *pfn = &w->held[i];

		if (w->steps++ == HELD)
			__atomic_fetch_add(&w->c->ready, 1, __ATOMIC_RELEASE);
		if (!*pfn) {
			must(w, !hvo_alloc_pages(m, HVO_GFP_KERNEL, dice % 16 ? dice % 4 : 9, ANY,
						 pfn));
			w->words[i] = 0;
			continue;
		}
		must(w, !hvo_page_private(m, *pfn, 2, &word) && word == w->words[i]);
		w->words[i] = rig_random(&w->random);
		must(w, !hvo_page_set_private(m, *pfn, 2, w->words[i]));
		must(w, !hvo_get_page(m, *pfn, NULL));
		must(w, !hvo_put_page(m, *pfn));
		if (dice % 3)
			continue;
		must(w, !hvo_put_page(m, *pfn));
		*pfn = 0;
	}
	return NULL;
}

/* Descriptors of blocks that are in use, or were a moment ago. */
static void fail_under_them(struct crowd *c, uint64_t own)
{
	uint64_t tries = 0, seed = 11, nr = hvo_machine_memmap(c->r.m)->nr_frames >> 9, q, i;
	hvo_pfn_t frame;

	while (__atomic_load_n(&c->ready, __ATOMIC_ACQUIRE) < WORKERS)
		sched_yield();
	while ((c->out < FAILURES || c->own < own) && rig_stat(&c->r).poisoned < MOST_FAILURES) {
		tries++;
		q = rig_random(&seed) % nr * 8 + rig_random(&seed) % 8;
		/* Those of cut blocks above all: there is nowhere more going on. */
		for (i = 0; i < nr && tries % 4; i++, q = (q + 8) % (nr * 8))
			if (!hvo_fold_byte(hvo_machine_memmap(c->r.m), q >> 3))
				break;
		frame = backing(&c->r, rig_slot(&c->r, q));
		if (frame == HVO_SHARED_TAIL)
			continue;
		if (!hvo_memory_failure(c->r.m, frame)) {
			c->out++;
			c->own += q & 7 && frame >> 9 == q >> 3;
		}
		if (tries % 16 == 0)
			hvo_work(c->r.m, UINT64_MAX, NULL);
	}
}

static void together(enum rig_platform platform, enum hvo_mode mode)
{
	uint64_t own = mode == HVO_ON_DEMAND ? OWN_FAILURES : 0;
	struct hvo_config cfg = rig_config(mode, 256);
	struct crowd *c = calloc(1, sizeof(*c));
	struct worker *w = calloc(WORKERS, sizeof(*w));
	unsigned int n, i;
	hvo_pfn_t *bad = calloc(MOST_FAILURES + 1, sizeof(*bad));
	uint64_t nr, word;
	struct hog hog = { 0 };
	struct crew crew = { 0 };

	assert_true(c && w && bad);
	rig_open(&c->r, platform, &cfg);
	c->r.quiet = true;
	for (n = 0; n < WORKERS; n++) {
		w[n].c = c;
		w[n].random = n;
		crew_add(&crew, work, &w[n]);
	}
	crew_go(&crew);
	fail_under_them(c, own);
	assert_true(c->out >= FAILURES && c->own >= own);
	__atomic_store_n(&c->stop, true, __ATOMIC_RELEASE);
	crew_join(&crew);
	rig_audit(&c->r);
	for (n = 0; n < WORKERS; n++) {
		assert_int_equal(w[n].errors, 0);
		for (i = 0; i < HELD; i++) {
			if (!w[n].held[i])
				continue;
			assert_int_equal(hvo_page_private(c->r.m, w[n].held[i], 2, &word), 0);
			assert_int_equal(word, w[n].words[i]);
			rig_put(&c->r, w[n].held[i]);
		}
	}
	hvo_work(c->r.m, UINT64_MAX, NULL);
	nr = (uint64_t)hvo_poisoned(c->r.m, bad, MOST_FAILURES + 1);
	for (i = 0; i < nr; i++)
		assert_int_equal(hvo_memory_failure(c->r.m, bad[i]), 0);
	take_all(&c->r, &hog, bad, (unsigned int)nr);
	rig_audit(&c->r);
	hog_release(&c->r, &hog, UINT64_MAX);
	rig_audit(&c->r);
	rig_close(&c->r);
	free(bad);
	free(w);
	free(c);
}

static void test_threads(void **state)
{
	(void)state;
	together(RIG_LINUX, HVO_ON_DEMAND);
	together(RIG_LINUX, HVO_LINUX);
	together(RIG_SIM, HVO_ON_DEMAND);
}

/* Whoever frees the last of an isolated block leaves what failed in it to hvo_work(). */
static void freed_isolated(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	uint64_t works;
	hvo_pfn_t pfn;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	pfn = rig_alloc(&r, HVO_GFP_USER, HVO_PAGEBLOCK_ORDER);
	assert_int_equal(hvo_memory_failure(r.m, pfn + 5), -HVO_EBUSY);
	assert_int_equal(hvo_isolate_range(r.m, pfn, pfn + HVO_PAGEBLOCK_FRAMES), 0);
	works = rig_sim(&r).works;
	rig_put(&r, pfn);
	assert_true(rig_sim(&r).works > works);
	assert_int_equal(hvo_unisolate_range(r.m, pfn, pfn + HVO_PAGEBLOCK_FRAMES), 0);
	(void)hvo_work(r.m, UINT64_MAX, NULL);
	assert_int_equal(rig_page(&r, pfn + 5)->state, HVO_PAGE_POISONED);
	rig_audit(&r);
	rig_close(&r);
}
EACH_MODE(freed_isolated)

/* ---- nobody to be told ------------------------------------------------------------------------- */

struct meanwhile {
	struct rig r;
	hvo_pfn_t bad;
};

/* Recorded while its block is in no hand; the rest of hvo_memory_failure() would wait for us. */
static void fail_once(void *arg)
{
	struct meanwhile *w = arg;

	if (w->bad != HVO_PFN_NONE)
		badframe_record_own(w->r.m, w->bad);
	w->bad = HVO_PFN_NONE;
}

/* A frame fails while its block is split: whatever becomes of that, hvo_work() is asked to tell. */
static void while_split(bool refused)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 128);
	struct meanwhile w;
	uint64_t works;
	hvo_pfn_t pfn;

	rig_open(&w.r, RIG_SIM, &cfg);
	pfn = rig_alloc(&w.r, HVO_GFP_USER, 10);
	w.bad = pfn + 700;
	w.r.on_call = fail_once;
	w.r.on_call_arg = &w;
	works = rig_sim(&w.r).works;
	if (refused)
		rig_arm(&w.r, 1, true);
	assert_int_equal(hvo_split_page(w.r.m, pfn, 0), refused ? -HVO_ENOMEM : 0);
	rig_disarm(&w.r);
	w.r.on_call = NULL;
	assert_int_equal(w.bad, HVO_PFN_NONE);
	assert_int_equal(rig_sim(&w.r).works, works + 1);
	(void)hvo_work(w.r.m, UINT64_MAX, NULL);
	assert_true(rig_page(&w.r, hvo_page_head(hvo_machine_memmap(w.r.m), pfn + 700))->flags &
		    HVO_PF_POISONED);
	rig_audit(&w.r);
	rig_close(&w.r);
}

static void test_while_split(void **state)
{
	(void)state;
	while_split(false);
	while_split(true);
}

/* ---- many ------------------------------------------------------------------------------------ */

#define MANY 3000

/* Descriptors leave a frame however many failed before, one in a whole block of them, too. */
static void test_many_descriptors(void **state)
{
	hvo_pfn_t *bad = calloc(MANY + 3, sizeof(*bad)), i, more;
	struct hog hog = { 0 };
	uint64_t page;
	struct rig r;

	(void)state;
	assert_non_null(bad);
	bad[MANY] = victim_open(&r, WHOLE_FRAME, RIG_SIM, &page);
	for (i = 0; i < MANY; i++) {
		bad[i] = 204800 + i;
		assert_int_equal(hvo_memory_failure(r.m, bad[i]), 0);
	}
	assert_int_equal(hvo_memory_failure(r.m, bad[MANY]), 0);
	assert_int_not_equal(backing(&r, page), bad[MANY]);
	rig_audit(&r);
	bad[MANY + 1] = backing(&r, rig_tail_slot(&r, rig_group(&r, page) >> 3));
	assert_int_equal(hvo_memory_failure(r.m, bad[MANY + 1]), 0);
	assert_int_equal(rig_page(&r, bad[MANY + 1])->state, HVO_PAGE_POISONED);
	more = rig_alloc(&r, HVO_GFP_USER, 9);
	assert_int_equal(hvo_split_page(r.m, more, 0), 0);
	bad[MANY + 2] = backing(&r, rig_tail_slot(&r, more >> 9));
	assert_int_equal(hvo_memory_failure(r.m, bad[MANY + 2]), 0);
	assert_int_equal(hvo_poisoned(r.m, NULL, 0), MANY + 3);
	rig_audit(&r);
	take_all(&r, &hog, bad, MANY + 3);
	hog_release(&r, &hog, UINT64_MAX);
	rig_audit(&r);
	rig_close(&r);
	free(bad);
}

/* What holds them is freed without them, and they are told ascending. */
static void test_many(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	hvo_pfn_t *bad = calloc(MANY, sizeof(*bad));
	struct hvo_pool *pool;
	uint64_t i, nr_free;
	hvo_pfn_t page, pfn;
	struct rig r;

	(void)state;
	assert_non_null(bad);
	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	rig_resize(pool, ANY, 1);
	page = rig_take(pool, ANY);
	for (i = MANY; i--;)
		assert_int_equal(hvo_memory_failure(r.m, 40960 + i), 0);
	nr_free = rig_free(&r);
	assert_int_equal(hvo_memory_failure(r.m, page + 5), -HVO_EBUSY);
	pfn = rig_alloc(&r, HVO_GFP_KERNEL, 2);
	assert_int_equal(hvo_memory_failure(r.m, pfn), -HVO_EBUSY);
	rig_put(&r, pfn);
	rig_put(&r, page);
	hvo_work(r.m, UINT64_MAX, NULL);
	assert_int_equal(rig_pool(pool, ANY).total, 0);
	assert_int_equal(hvo_get_page(r.m, page, NULL), -HVO_EBUSY);
	/* The huge page comes back but for one frame, less 7 for its descriptors; so do 3 of 4. */
	assert_int_equal(rig_free(&r), nr_free + 511 - 7 - 1);
	assert_int_equal(hvo_poisoned(r.m, NULL, 0), MANY + 2);
	assert_int_equal(hvo_poisoned(r.m, bad, MANY), MANY + 2);
	for (i = 1; i < MANY; i++)
		assert_true(bad[i - 1] < bad[i]);
	rig_audit(&r);
	rig_close(&r);
	free(bad);
}

/* What failed is not written to, whatever is cleared around it. */
static void cleared_around(enum hvo_mode mode, unsigned int order, bool huge)
{
	struct hvo_config cfg = rig_config(mode, 256);
	uint64_t nr = UINT64_C(1) << order;
	struct hvo_pool *pool;
	hvo_pfn_t pfn = 0, bad;
	struct rig r;

	cfg.clear = HVO_CLEAR_ON_FREE;
	rig_open(&r, RIG_SIM, &cfg);
	if (huge) {
		pool = rig_pool_new(&r, order);
		assert_int_equal(rig_resize(pool, HVO_NODE_ANY, 2).done, 2);
		assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_KERNEL, HVO_NODE_ANY, &pfn), 0);
	} else {
		pfn = rig_alloc(&r, HVO_GFP_KERNEL, order);
	}
	bad = pfn + nr - 4;
	rig_fill(&r, pfn, nr, 5);
	assert_int_equal(hvo_memory_failure(r.m, bad), -HVO_EBUSY);
	rig_put(&r, pfn);
	/* Before it in its block: not the first frames, they may hold descriptors now. */
	assert_true(rig_zero(&r, nr < 100 ? pfn : bad - 100, nr < 100 ? 4 : 100));
	assert_true(rig_intact(&r, bad, 1, 5));
	assert_true(rig_zero(&r, bad + 1, 3));
	rig_audit(&r);
	rig_close(&r);
}

static void test_cleared_around(void **state)
{
	unsigned int mode;

	(void)state;
	for (mode = HVO_ON_DEMAND; mode <= HVO_LINUX; mode++) {
		cleared_around((enum hvo_mode)mode, 3, false);
		cleared_around((enum hvo_mode)mode, 11, false);
		cleared_around((enum hvo_mode)mode, 9, true);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_free_frames),
		cmocka_unit_test(test_used_frames),
		cmocka_unit_test(test_huge),
		cmocka_unit_test(test_huge_stays),
		cmocka_unit_test(test_cut_fails),
		cmocka_unit_test(test_own_frames),
		cmocka_unit_test(test_own_frame_full),
		cmocka_unit_test(test_own_frame_isolated),
		cmocka_unit_test(test_descriptors_elsewhere),
		cmocka_unit_test(test_boot_frames),
		cmocka_unit_test(test_boot_frames_whole),
		cmocka_unit_test(test_boot_frames_two_nodes),
		cmocka_unit_test(test_gigantic_descriptors),
		cmocka_unit_test(test_each_failure),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_last_frame_of_block),
		cmocka_unit_test(test_left_out_by_collapse),
		cmocka_unit_test(test_busy_descriptors),
		cmocka_unit_test(test_head_in_its_block),
		cmocka_unit_test(test_audit),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_freed_isolated),
		cmocka_unit_test(test_while_split),
		cmocka_unit_test(test_many_descriptors),
		cmocka_unit_test(test_cleared_around),
		cmocka_unit_test(test_many),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
