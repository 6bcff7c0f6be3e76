// SPDX-License-Identifier: MIT
/*
 * Isolation of ranges: what is free in one serves nobody, whatever it was before and
 * however it gets free, and all of it is back afterwards.
 */
#include "harness.h"

#include <hvo/hotplug.h>
#include <hvo/migrate.h>

#include "core/base.h"
#include "core/fold.h"
#include "core/isolate.h"

#define ANY HVO_NODE_ANY

/* Everything that can be had is outside of [start, end). */
static void expect_apart(struct rig *r, hvo_pfn_t start, hvo_pfn_t end)
{
	struct hog hog = { 0 };
	uint64_t i;

	hog_all(r, &hog, 0, false);
	for (i = 0; i < hog.nr; i++)
		assert_true(hog.blocks[i].pfn + (UINT64_C(1) << hog.blocks[i].order) <= start ||
			    hog.blocks[i].pfn >= end);
	rig_audit(r);
	hog_release(r, &hog, UINT64_MAX);
	rig_audit(r);
}

static void isolate_in(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 512);
	hvo_pfn_t start = 65536 + 512, end = start + 40 * 512, used[4], small;
	struct hvo_zone_stat before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	struct hvo_pool *pool;
	struct rig r;
	int i;

	rig_open(&r, RIG_SIM, &cfg);
	before = rig_zone(&r, 0, HVO_ZONE_NORMAL);
	assert_int_equal(hvo_pool_create(r.m, 9, &pool), 0);
	/* Free memory alone: all of it leaves, and comes back as it was. */
	assert_int_equal(hvo_isolate_range(r.m, start, end), 0);
	assert_int_equal(rig_free(&r), before.free - (end - start));
	assert_int_equal(hvo_isolate_range(r.m, end - 512, end + 512), -HVO_EBUSY);
	rig_audit(&r);
	expect_apart(&r, start, end);
	for (i = 0; i < 40; i++) {
		isolated_collapse(r.m, pb_of(start + (hvo_pfn_t)i * 512));
		assert_int_equal(rig_page(&r, start + (hvo_pfn_t)i * 512)->state,
				 HVO_PAGE_ISOLATED);
	}
	assert_int_equal(hvo_unisolate_range(r.m, start, end), 0);
	after = rig_zone(&r, 0, HVO_ZONE_NORMAL);
	assert_memory_equal(&before, &after, sizeof(before));
	/* Something of each kind in it, which gets free while it is isolated. */
	rig_resize(pool, ANY, 20);
	for (i = 0; i < 3; i++)
		used[i] = rig_alloc(&r, HVO_GFP_USER, i == 2 ? 11 : 9);
	used[3] = rig_alloc(&r, HVO_GFP_USER, 9);
	assert_int_equal(hvo_split_page(r.m, used[3], 0), 0);
	small = rig_alloc(&r, HVO_GFP_USER, 3);
	start = 2048;
	end = 131072 - 512;
	assert_int_equal(hvo_isolate_range(r.m, start, end), 0);
	rig_audit(&r);
	assert_int_equal(hvo_split_page(r.m, used[0], 8), 0);
	rig_put(&r, used[0] + 256);
	rig_audit(&r);
	for (i = 0; i < 3; i++)
		rig_put(&r, used[i]);
	for (i = 0; i < 512; i++)
		rig_put(&r, used[3] + (hvo_pfn_t)i);
	rig_put(&r, small);
	rig_resize(pool, ANY, 0);
	rig_audit(&r);
	expect_apart(&r, start, end);
	for (small = start; small < end; small += 512)
		isolated_collapse(r.m, pb_of(small));
	rig_audit(&r);
	assert_int_equal(hvo_unisolate_range(r.m, start, end), 0);
	hvo_collapse(r.m, UINT64_MAX, NULL);
	rig_audit(&r);
	after = rig_zone(&r, 0, HVO_ZONE_NORMAL);
	if (mode == HVO_ON_DEMAND)
		assert_memory_equal(&before, &after, sizeof(before));
	rig_close(&r);
}

static void test_isolate(void **state)
{
	(void)state;
	isolate_in(HVO_ON_DEMAND);
	isolate_in(HVO_LINUX);
}

/* A range that is all free can be taken, in blocks as large as fit. */
static void take_in(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 2048);
	hvo_pfn_t start = 262144 - 1024, end = 524288;
	struct rig r;
	uint64_t before;

	rig_open(&r, RIG_SIM, &cfg);
	before = rig_free(&r);
	assert_int_equal(hvo_isolate_range(r.m, start, end), 0);
	assert_int_equal(isolated_claim_frames(r.m, start, end), 0);
	assert_int_equal(hvo_unisolate_range(r.m, start, end), 0);
	assert_int_equal(rig_page(&r, start)->order, 10);
	assert_int_equal(rig_page(&r, 262144)->order, 18);
	assert_int_equal(rig_page(&r, 262144)->state, HVO_PAGE_TAKEN);
	assert_int_equal(rig_free(&r), before - (end - start));
	/* Nobody holds the two blocks, and no list has them. */
	assert_int_equal(rig_findings(&r), 2);
	free_blocks(r.m, start, end);
	assert_int_equal(rig_free(&r), before);
	rig_audit(&r);
	rig_close(&r);
}

static void test_take(void **state)
{
	(void)state;
	take_in(HVO_ON_DEMAND);
	take_in(HVO_LINUX);
}

/* ---- who waits for what is isolated -------------------------------------------------- */

struct waiter {
	struct rig *r;
	hvo_pfn_t start, end; /* what the library isolated itself; nothing: nobody may wait */
};

static void on_sleep(void *arg, uint64_t ns)
{
	struct waiter *w = arg;

	(void)ns;
	if (w->start == w->end)
		fail_msg("waits for what only the caller himself can end");
	unisolate_range(w->r->m, w->start, w->end);
	w->start = w->end;
}

/* What the caller isolated stays so: there is no memory. What the library did is a matter of time. */
static void wait_in(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 256);
	hvo_pfn_t start = 512 * 40, end = 512 * 60, pfn = 1;
	struct hog hog = { 0 };
	struct rig r;
	struct waiter w = { &r, 0, 0 };
	unsigned int order;

	rig_open(&r, RIG_SIM, &cfg);
	r.on_sleep = on_sleep;
	r.on_sleep_arg = &w;
	assert_int_equal(hvo_isolate_range(r.m, start, end), 0);
	assert_int_equal(isolate_range(r.m, end, end + 1024), 0);
	hog_all(&r, &hog, 0, false);
	assert_int_equal(r.sleeps, 0);
	assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_ATOMIC, 0, ANY, &pfn), -HVO_ENOMEM);
	assert_int_equal(r.sleeps, 0);
	w.start = end;
	w.end = end + 1024;
	assert_true(rig_alloc(&r, HVO_GFP_USER, 9) >= end);
	assert_int_equal(r.sleeps, 1);
	hog_all(&r, &hog, 0, false);
	for (order = 0; order < 11; order++)
		assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_USER, order, ANY, &pfn), -HVO_ENOMEM);
	assert_int_equal(r.sleeps, 1);
	rig_audit(&r);
	/* Only whoever isolated a range ends it, and who is to take it away waits for him. */
	assert_int_equal(isolate_range(r.m, end, end + 512), 0);
	assert_int_equal(hvo_unisolate_range(r.m, end, end + 512), -HVO_EINVAL);
	assert_int_equal(hvo_unisolate_range(r.m, end - 512, end + 512), -HVO_EINVAL);
	unisolate_range(r.m, end, end + 512);
	assert_int_equal(hvo_memory_offline(r.m, 0, HVO_SECTION_FRAMES), -HVO_EBUSY);
	rig_audit(&r);
	assert_int_equal(hvo_unisolate_range(r.m, start, start + 512), 0);
	assert_int_equal(rig_alloc(&r, GFP_HOG, 9), start);
	assert_int_equal(hvo_unisolate_range(r.m, start + 512, end), 0);
	assert_int_equal(r.sleeps, 1);
	rig_audit(&r);
	hog_release(&r, &hog, UINT64_MAX);
	rig_close(&r);
}

static void test_wait(void **state)
{
	(void)state;
	wait_in(HVO_ON_DEMAND);
	wait_in(HVO_LINUX);
}

/*
 * Huge pages as well, promised or not: that a range is being emptied where the only free one
 * lies is a matter of time, and who may wait gets it. What a user keeps apart is not.
 */
static void huge_wait_in(enum hvo_mode mode, unsigned int order, bool reserved)
{
	struct hvo_config cfg = rig_config(mode, 256);
	uint64_t size = UINT64_C(1) << order;
	hvo_pfn_t pfn = 1, page;
	struct hvo_pool *pool;
	struct hog hog = { 0 };
	struct waiter w;
	struct rig r;
	int (*alloc)(struct hvo_pool * pool, unsigned int gfp, int node, hvo_pfn_t *ret) =
		reserved ? hvo_pool_alloc_reserved : hvo_pool_alloc;

	rig_open(&r, RIG_SIM, &cfg);
	w = (struct waiter){ &r, 0, 0 };
	r.on_sleep = on_sleep;
	r.on_sleep_arg = &w;
	assert_int_equal(hvo_pool_create(r.m, order, &pool), 0);
	assert_int_equal(rig_resize(pool, ANY, 1).done, 1);
	assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_KERNEL, ANY, &page), 0);
	assert_int_equal(hvo_pool_free(pool, page), 0);
	hog_all(&r, &hog, 0, false);
	if (reserved)
		assert_int_equal(hvo_pool_reserve(pool, ANY, 1), 0);
	/* The last of its blocks is enough. */
	assert_int_equal(hvo_isolate_range(r.m, page + size - 512, page + size), 0);
	assert_int_equal(alloc(pool, HVO_GFP_KERNEL, ANY, &pfn), -HVO_ENOMEM);
	assert_int_equal(hvo_unisolate_range(r.m, page + size - 512, page + size), 0);
	w.start = page + size - 512;
	w.end = page + size;
	assert_int_equal(isolate_range(r.m, w.start, w.end), 0);
	assert_int_equal(alloc(pool, HVO_GFP_ATOMIC, ANY, &pfn), -HVO_ENOMEM);
	assert_int_equal(r.sleeps, 0);
	assert_int_equal(rig_pool(pool, ANY).reserved, reserved);
	assert_int_equal(alloc(pool, HVO_GFP_KERNEL, ANY, &pfn), 0);
	assert_int_equal(r.sleeps, 1);
	assert_int_equal(pfn, page);
	assert_int_equal(rig_pool(pool, ANY).reserved, 0);
	rig_audit(&r);
	assert_int_equal(hvo_pool_free(pool, pfn), 0);
	hog_release(&r, &hog, UINT64_MAX);
	rig_close(&r);
}

static void test_huge_wait(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 8; i++)
		huge_wait_in(i & 1 ? HVO_LINUX : HVO_ON_DEMAND, i & 2 ? 10 : 9, i & 4);
}

static void test_arguments(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 512);
	struct rig r;

	(void)state;
	cfg.movable_bytes = 128 * MIB;
	cfg.cma_bytes = 128 * MIB;
	cfg.hotplug_bytes = 256 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_isolate_range(r.m, 1024, 1024), -HVO_EINVAL);
	assert_int_equal(hvo_isolate_range(r.m, 1024, 512), -HVO_EINVAL);
	assert_int_equal(hvo_isolate_range(r.m, 1024, 1500), -HVO_EINVAL);
	assert_int_equal(hvo_isolate_range(r.m, 1, 512), -HVO_EINVAL);
	/* NORMAL | CMA | MOVABLE | nothing */
	assert_int_equal(hvo_isolate_range(r.m, 65536 - 512, 65536 + 512), -HVO_EINVAL);
	assert_int_equal(hvo_isolate_range(r.m, 98304 - 512, 98304 + 512), -HVO_EINVAL);
	assert_int_equal(hvo_isolate_range(r.m, 131072 - 512, 131072 + 512), -HVO_EINVAL);
	assert_int_equal(hvo_isolate_range(r.m, 131072, 131072 + 512), -HVO_EINVAL);
	assert_int_equal(hvo_isolate_range(r.m, UINT64_MAX - 511, 0), -HVO_EINVAL);
	assert_int_equal(hvo_unisolate_range(r.m, 65536, 65536 + 512), -HVO_EINVAL);
	assert_int_equal(hvo_isolate_range(r.m, 65536, 65536 + 512), 0);
	assert_int_equal(hvo_unisolate_range(r.m, 65536, 65536 + 1024), -HVO_EINVAL);
	assert_int_equal(hvo_unisolate_range(r.m, 65536, 65536 + 512), 0);
	/* Where no memory is, there is nothing to hold. */
	assert_int_equal(hvo_get_page(r.m, 131072 + 7, NULL), -HVO_EBUSY);
	assert_int_equal(hvo_memory_failure(r.m, 131072 + 7), -HVO_EINVAL);
	assert_int_equal(hvo_hugetlb_dissolve(r.m, 131072 + 7), 0);
	assert_int_equal(hvo_move_memmap(r.m, 131072 + 7), -HVO_EINVAL);
	assert_int_equal(rig_zone(&r, 0, HVO_ZONE_CMA).present, 32768);
	rig_audit(&r);
	rig_close(&r);
}

/* Only what can be moved is lent memory of a CMA area, and before NORMAL. */
static void test_cma_zone(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 384);
	struct rig r;

	(void)state;
	cfg.cma_bytes = 128 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	assert_true(rig_alloc(&r, HVO_GFP_USER, 0) >= 65536);
	assert_true(rig_alloc(&r, HVO_GFP_USER, 9) >= 65536);
	assert_true(rig_alloc(&r, HVO_GFP_KERNEL, 0) < 65536);
	assert_true(rig_alloc(&r, HVO_GFP_KERNEL, 9) < 65536);
	rig_audit(&r);
	rig_close(&r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_isolate),	  cmocka_unit_test(test_take),
		cmocka_unit_test(test_wait),	  cmocka_unit_test(test_huge_wait),
		cmocka_unit_test(test_arguments), cmocka_unit_test(test_cma_zone),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
