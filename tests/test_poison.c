// SPDX-License-Identifier: MIT
/*
 * Frames that fail: wherever they are, they are never handed out again, and everything
 * around them still is.
 */
#include "harness.h"

#include <string.h>

#define ANY HVO_NODE_ANY

static hvo_pfn_t take(struct hvo_pool *pool)
{
	hvo_pfn_t pfn = HVO_PFN_NONE;

	assert_int_equal(hvo_hugetlb_alloc(pool, HVO_GFP_KERNEL, ANY, &pfn), 0);
	return pfn;
}

/* All that is free, in single frames: @bad is not among them, its neighbours can be. */
static uint64_t take_all(struct rig *r, struct hog *h, const hvo_pfn_t *bad, unsigned int nr_bad)
{
	uint64_t i, k;

	hvo_work(r->m, UINT64_MAX);
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
	hvo_collapse(r->m, UINT64_MAX);
	rig_audit(r);
}

static void free_frames_in(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 256);
	uint64_t tails = mode == HVO_ON_DEMAND ? 7 : 0, had;
	hvo_pfn_t bad[5];
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_memory_failure(r.m, UINT64_MAX), -HVO_EINVAL);
	had = rig_free(&r);
	/* In the middle of memory that is whole: its 2 MiB are cut around it. */
	bad[2] = 51200 + 300;
	assert_int_equal(hvo_memory_failure(r.m, bad[2]), 0);
	assert_int_equal(r.events[HVO_EVENT_POISONED], 1);
	assert_int_equal(rig_free(&r), had - 1 - tails);
	/* Where the tails would lie, and in the second place for them as well. */
	bad[3] = 52224 + 3;
	bad[4] = 53248 + 15;
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
	/* That one lies behind the head pages, in a block that is cut for good. */
	assert_int_equal(rig_free(&r), had - 5 - 3 * tails);
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
			hvo_collapse(r.m, UINT64_MAX);
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
	used = take(pool);
	idle = take(pool);
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
	assert_int_equal(hvo_work(r.m, UINT64_MAX), 1);
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
	page = take(pool);
	rig_put(&r, page);
	hog_all(&r, &hog, 0, false);
	assert_int_equal(hvo_memory_failure(r.m, page + 9), -HVO_ENOMEM);
	assert_int_equal(rig_pool(pool, ANY).total, 2);
	assert_int_equal(rig_pool(pool, ANY).poisoned, 1);
	rig_audit(&r);
	assert_int_not_equal(take(pool), page);
	assert_int_equal(hvo_hugetlb_alloc(pool, HVO_GFP_KERNEL, ANY, &none), -HVO_ENOMEM);
	assert_int_equal(rig_pool(pool, ANY).free, 1);
	hog_release(&r, &hog, UINT64_MAX);
	assert_int_equal(hvo_hugetlb_reserve(pool, ANY, 1), 0);
	assert_int_equal(hvo_hugetlb_dissolve(r.m, page), -HVO_EBUSY);
	assert_int_equal(hvo_hugetlb_unreserve(pool, 1), 0);
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
	rig_open(&r, RIG_FAULTY, &cfg);
	had = rig_free(&r);
	rig_arm(&r, 1, true);
	assert_int_equal(hvo_memory_failure(r.m, bad[0]), -HVO_ENOMEM);
	assert_int_equal(hvo_work(r.m, UINT64_MAX), 0);
	assert_true(rig_disarm(&r));
	assert_int_equal(rig_free(&r), had - 512);
	rig_audit(&r);
	assert_int_equal(hvo_memory_failure(r.m, bad[0]), -HVO_ENOMEM);
	assert_int_equal(hvo_work(r.m, UINT64_MAX), 1);
	assert_int_equal(rig_free(&r), had - 8);
	expect_out(&r, bad, 1);
	rig_close(&r);
}

/* Frames that hold descriptors: those from elsewhere are replaced, a block's own wait for it. */
static void test_descriptors(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	hvo_pfn_t pfn, small, bad[3], i;
	struct hog hog = { 0 };
	unsigned int nr = 0;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	pfn = rig_alloc(&r, HVO_GFP_USER, 9);
	rig_fill(&r, pfn, 512, 6);
	assert_int_equal(hvo_split_page(r.m, pfn, 3), 0);
	/* Its tails lie in small frames of NORMAL. */
	for (i = 0; i < hvo_machine_memmap(r.m)->nr_frames && nr < 2; i++) {
		const struct hvo_page *page = rig_page(&r, i);

		if (hvo_fold_byte(hvo_machine_memmap(r.m), i >> HVO_BLOCK_ORDER) ||
		    page->state != HVO_PAGE_MEMMAP || page->flags & HVO_PF_BOOT)
			continue;
		bad[nr++] = i;
	}
	assert_int_equal(nr, 2);
	assert_int_equal(hvo_memory_failure(r.m, bad[0]), 0);
	assert_int_equal(rig_stat(&r).moved, 1);
	assert_int_equal(hvo_memory_failure(r.m, bad[1]), 0);
	assert_int_equal(rig_stat(&r).moved, 2);
	rig_audit(&r);
	assert_true(rig_intact(&r, pfn, 512, 6));
	/* A block that is cut holds its own: they go when it is whole. */
	hog_all(&r, &hog, 512, false);
	small = rig_alloc(&r, HVO_GFP_KERNEL, 8);
	assert_int_equal(rig_page(&r, small & ~UINT64_C(511))->state, HVO_PAGE_MEMMAP);
	bad[2] = (small & ~UINT64_C(511)) + 2;
	assert_int_equal(hvo_memory_failure(r.m, bad[2]), -HVO_EBUSY);
	rig_put(&r, small);
	rig_audit(&r);
	hog_release(&r, &hog, UINT64_MAX);
	hvo_collapse(r.m, UINT64_MAX);
	for (i = 0; i < 512; i += 8)
		rig_put(&r, pfn + i);
	hvo_collapse(r.m, UINT64_MAX);
	expect_out(&r, bad, 3);
	rig_close(&r);
}

/* More than can be recorded: what holds them is never freed. */
static void test_too_many(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	struct hvo_pool *pool;
	uint64_t i, nr_free;
	hvo_pfn_t page, pfn;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	rig_resize(pool, ANY, 1);
	page = take(pool);
	for (i = 0; i < 1024; i++)
		assert_int_equal(hvo_memory_failure(r.m, 40960 + i), 0);
	nr_free = rig_free(&r);
	assert_int_equal(hvo_memory_failure(r.m, page + 5), -HVO_ENOSPC);
	pfn = rig_alloc(&r, HVO_GFP_KERNEL, 2);
	assert_int_equal(hvo_memory_failure(r.m, pfn), -HVO_ENOSPC);
	rig_put(&r, pfn);
	rig_put(&r, page);
	hvo_work(r.m, UINT64_MAX);
	assert_int_equal(rig_pool(pool, ANY).total, 0);
	assert_int_equal(hvo_get_page(r.m, page, NULL), -HVO_EBUSY);
	/* The huge page was not free before; the four frames were. */
	assert_int_equal(rig_free(&r), nr_free - 4 - 7);
	assert_int_equal(hvo_poisoned(r.m, NULL, 0), 1024);
	rig_audit(&r);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_free_frames), cmocka_unit_test(test_used_frames),
		cmocka_unit_test(test_huge),	    cmocka_unit_test(test_huge_stays),
		cmocka_unit_test(test_cut_fails),   cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
