// SPDX-License-Identifier: MIT
/*
 * Huge pages that leave their pool one by one (dissolve) or become smaller ones
 * (demote): counters, refusals, contents of the others, and no frame left.
 */
#include "harness.h"

#define ANY HVO_NODE_ANY

static void expect_pool(struct hvo_pool *pool, uint64_t total, uint64_t nr_free, uint64_t surplus)
{
	struct hvo_pool_stat s = rig_pool(pool, ANY);

	assert_int_equal(s.total, total);
	assert_int_equal(s.free, nr_free);
	assert_int_equal(s.surplus, surplus);
}

/* A free page of the pool: taken and given back, it is the newest. */
static hvo_pfn_t free_one(struct rig *r, struct hvo_pool *pool)
{
	hvo_pfn_t pfn = rig_take(pool, ANY);

	rig_put(r, pfn);
	return pfn;
}

static void dissolve_in(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 256);
	struct hvo_machine_stat before = { .size = sizeof(before) },
				after = { .size = sizeof(after) };
	struct hvo_pool *pool;
	hvo_pfn_t used, page;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	rig_resize(pool, ANY, 10);
	used = rig_take(pool, ANY);
	rig_fill(&r, used, 512, 7);
	assert_int_equal(hvo_hugetlb_dissolve(r.m, used), -HVO_EBUSY);
	assert_int_equal(hvo_hugetlb_dissolve(r.m, used + 100), -HVO_EBUSY);
	assert_int_equal(hvo_hugetlb_dissolve(r.m, UINT64_MAX), -HVO_EINVAL);
	/* Not huge. */
	assert_int_equal(hvo_hugetlb_dissolve(r.m, used + 32768), 0);
	expect_pool(pool, 10, 9, 0);
	before = rig_stat(&r);
	page = free_one(&r, pool);
	/* Any frame of the page names it. */
	assert_int_equal(hvo_hugetlb_dissolve(r.m, page + 511), 0);
	expect_pool(pool, 9, 8, 0);
	after = rig_stat(&r);
	assert_int_equal(after.free_frames - before.free_frames, mode == HVO_LINUX ? 505 : 512);
	assert_int_equal(after.memmap - before.memmap, mode == HVO_LINUX ? 7 : 0);
	/* It is no huge page any more. */
	assert_int_equal(hvo_hugetlb_dissolve(r.m, page), 0);
	expect_pool(pool, 9, 8, 0);
	/* Surplus is used up first. */
	rig_resize(pool, ANY, 0);
	expect_pool(pool, 1, 0, 1);
	rig_resize(pool, ANY, 3);
	expect_pool(pool, 3, 2, 0);
	assert_true(rig_intact(&r, used, 512, 7));
	rig_audit(&r);
	rig_close(&r);
}

static void test_dissolve(void **state)
{
	(void)state;
	dissolve_in(HVO_ON_DEMAND);
	dissolve_in(HVO_LINUX);
}

/* Refused: everything as before, and no surplus. */
static void test_dissolve_refused(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	struct hvo_machine_stat before = { .size = sizeof(before) },
				after = { .size = sizeof(after) };
	struct hvo_pool *pool;
	struct hog hog = { 0 };
	struct rig r;
	hvo_pfn_t page;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	rig_resize(pool, ANY, 10);
	hog_all(&r, &hog, 0, true);
	page = free_one(&r, pool);
	before = rig_stat(&r);
	assert_int_equal(hvo_hugetlb_dissolve(r.m, page), -HVO_ENOMEM);
	after = rig_stat(&r);
	assert_memory_equal(&before, &after, sizeof(before));
	expect_pool(pool, 10, 10, 0);
	assert_int_equal(rig_pool(pool, ANY).refused_total, 1);
	assert_int_equal(r.events[HVO_EVENT_FREE_REFUSED], 1);
	rig_audit(&r);
	assert_true(hog_intact(&r, &hog));
	hog_release(&r, &hog, UINT64_MAX);
	assert_int_equal(hvo_hugetlb_dissolve(r.m, page), 0);
	expect_pool(pool, 9, 9, 0);
	rig_audit(&r);
	rig_close(&r);
}

/* Demote @nr pages of @from and give all back. */
static void demote_in(enum hvo_mode mode, unsigned int from, unsigned int to, uint64_t mib)
{
	uint64_t parts = UINT64_C(1) << (from - to), done = 99, free_frames;
	struct hvo_config cfg = rig_config(mode, mib);
	struct hvo_pool *large, *small;
	struct hog hog = { 0 };
	struct rig r;
	hvo_pfn_t part;

	rig_open(&r, RIG_SIM, &cfg);
	large = rig_pool_new(&r, from);
	assert_int_equal(hvo_pool_demote(large, ANY, 1, &done), -HVO_EINVAL);
	assert_int_equal(done, 99);
	small = rig_pool_new(&r, to);
	free_frames = rig_free(&r);
	assert_int_equal(rig_resize(large, ANY, 1).done, 1);
	if (mode == HVO_ON_DEMAND)
		hog_all(&r, &hog, 0, true);
	assert_int_equal(hvo_pool_demote(large, ANY, 5, &done), 0);
	assert_int_equal(done, 1);
	expect_pool(large, 0, 0, 0);
	expect_pool(small, parts, parts, 0);
	assert_int_equal(rig_pool(small, ANY).optimized, parts);
	rig_audit(&r);
	part = rig_take(small, ANY);
	rig_fill(&r, part, UINT64_C(1) << to, 3);
	assert_int_equal(rig_resize(small, ANY, 1).refused, 0);
	expect_pool(small, 1, 0, 0);
	assert_true(rig_intact(&r, part, UINT64_C(1) << to, 3));
	rig_put(&r, part);
	assert_int_equal(rig_resize(small, ANY, 0).done, 1);
	rig_audit(&r);
	assert_true(hog_intact(&r, &hog));
	hog_release(&r, &hog, UINT64_MAX);
	(void)hvo_collapse(r.m, UINT64_MAX, NULL);
	if (mode == HVO_ON_DEMAND)
		assert_int_equal(rig_free(&r), free_frames);
	rig_audit(&r);
	rig_close(&r);
}

static void test_demote(void **state)
{
	(void)state;
	demote_in(HVO_ON_DEMAND, 12, 9, 256);
	demote_in(HVO_LINUX, 12, 9, 256);
	demote_in(HVO_ON_DEMAND, 12, 10, 256);
	demote_in(HVO_LINUX, 13, 10, 256);
}

static void test_demote_1g(void **state)
{
	(void)state;
	demote_in(HVO_ON_DEMAND, 18, 9, 2048);
	demote_in(HVO_LINUX, 18, 9, 2048);
	demote_in(HVO_LINUX, 18, 12, 2048);
}

/* Linux mode, no frame free, and so many pages of 16 MiB. */
static void open_full(struct rig *r, uint64_t nr, struct hvo_pool **small, struct hvo_pool **large,
		      struct hog *hog)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);

	rig_open(r, RIG_SIM, &cfg);
	*small = rig_pool_new(r, 9);
	*large = rig_pool_new(r, 12);
	rig_resize(*large, ANY, nr);
	hog_all(r, hog, 0, true);
}

/* Linux mode without memory: what was done stays done, the next one stays whole. */
static void test_demote_refused(void **state)
{
	struct hvo_pool *large, *small;
	struct hog hog = { 0 };
	uint64_t done = 99;
	struct rig r;

	(void)state;
	open_full(&r, 4, &small, &large, &hog);
	assert_int_equal(hvo_pool_demote(large, ANY, 2, &done), -HVO_ENOMEM);
	assert_int_equal(done, 0);
	expect_pool(large, 4, 4, 0);
	expect_pool(small, 0, 0, 0);
	rig_audit(&r);
	/* 63 frames for one page and the one of the reserve; its parts give 56 back. */
	hog_release(&r, &hog, UINT64_MAX);
	hog_all(&r, &hog, 64, true);
	assert_int_equal(hvo_pool_demote(large, ANY, 4, &done), -HVO_ENOMEM);
	assert_int_equal(done, 1);
	expect_pool(large, 3, 3, 0);
	expect_pool(small, 8, 8, 0);
	rig_audit(&r);
	assert_true(hog_intact(&r, &hog));
	hog_release(&r, &hog, UINT64_MAX);
	rig_audit(&r);
	rig_close(&r);
}

/* Pages that could not be freed are surplus; none is left once they are demoted. */
static void test_demote_surplus(void **state)
{
	struct hvo_pool *large, *small;
	struct hog hog = { 0 };
	uint64_t done = 0;
	struct rig r;

	(void)state;
	open_full(&r, 3, &small, &large, &hog);
	assert_int_equal(rig_resize(large, ANY, 0).refused, 3);
	expect_pool(large, 3, 3, 3);
	/* Nor can they be demoted now: they stay what they are. */
	assert_int_equal(hvo_pool_demote(large, ANY, 2, &done), -HVO_ENOMEM);
	expect_pool(large, 3, 3, 3);
	hog_release(&r, &hog, UINT64_MAX);
	assert_int_equal(hvo_pool_demote(large, ANY, 1, &done), 0);
	expect_pool(large, 2, 2, 2);
	assert_int_equal(hvo_pool_demote(large, ANY, 2, &done), 0);
	expect_pool(large, 0, 0, 0);
	expect_pool(small, 24, 24, 0);
	rig_audit(&r);
	rig_close(&r);
}

static void test_demote_order(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	struct hvo_pool *a, *b, *c;
	uint64_t done = 99;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	a = rig_pool_new(&r, 9);
	b = rig_pool_new(&r, 10);
	c = rig_pool_new(&r, 12);
	rig_resize(c, ANY, 2);
	assert_int_equal(hvo_pool_set_demote_order(c, 12), -HVO_EINVAL);
	assert_int_equal(hvo_pool_set_demote_order(c, 11), -HVO_EINVAL);
	assert_int_equal(hvo_pool_set_demote_order(NULL, 9), -HVO_EINVAL);
	assert_int_equal(hvo_pool_set_demote_order(a, 9), -HVO_EINVAL);
	assert_int_equal(hvo_pool_demote_order(a), 0);
	assert_int_equal(hvo_pool_demote_order(b), 9);
	assert_int_equal(hvo_pool_demote_order(c), 10);
	assert_int_equal(hvo_pool_demote(a, ANY, 1, &done), -HVO_EINVAL);
	assert_int_equal(hvo_pool_demote(c, 1, 1, &done), -HVO_EINVAL);
	assert_int_equal(hvo_pool_demote(c, -2, 1, &done), -HVO_EINVAL);
	assert_int_equal(hvo_pool_demote(c, ANY, 1, NULL), -HVO_EINVAL);
	assert_int_equal(done, 99);
	/* The next smaller one, until another is set. */
	assert_int_equal(hvo_pool_demote(c, 0, 1, &done), 0);
	expect_pool(b, 4, 4, 0);
	assert_int_equal(hvo_pool_set_demote_order(c, 9), 0);
	assert_int_equal(hvo_pool_demote(c, ANY, 1, &done), 0);
	expect_pool(a, 8, 8, 0);
	expect_pool(c, 0, 0, 0);
	rig_audit(&r);
	rig_close(&r);
}

/* Every fallible call on the way fails once; then it works. */
static void demote_faults(uint32_t flags)
{
	struct hvo_policy policy = *hvo_policy_find("mayfail");
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	uint64_t point;

	policy.flags = flags;
	for (point = 1;; point++) {
		struct hvo_pool *large, *small;
		uint64_t done = 0;
		struct rig r;
		bool failed;
		int rc;

		rig_open(&r, RIG_SIM, &cfg);
		small = rig_pool_new(&r, 9);
		large = rig_pool_new(&r, 12);
		rig_resize(large, ANY, 2);
		assert_int_equal(hvo_pool_set_policy(large, &policy), 0);
		rig_arm(&r, point, false);
		rc = hvo_pool_demote(large, ANY, 2, &done);
		failed = rig_disarm(&r);
		rig_audit(&r);
		assert_int_equal(rig_pool(large, ANY).total, 2 - done);
		assert_int_equal(rig_pool(small, ANY).total, 8 * done);
		assert_true(rc == 0 ? done == 2 : rc == -HVO_ENOMEM && failed);
		assert_int_equal(hvo_pool_demote(large, ANY, 2 - done, &done), 0);
		assert_int_equal(rig_pool(small, ANY).total, 16);
		assert_int_equal(rig_resize(small, ANY, 0).done, 16);
		rig_audit(&r);
		rig_close(&r);
		if (!failed)
			break;
	}
	assert_true(point > 3);
}

static void test_demote_faults(void **state)
{
	(void)state;
	demote_faults(0);
	demote_faults(HVO_POLICY_DEMOTE_HEADS);
}

/* Reserved pages are not demoted; neither are poisoned ones. */
static void demote_spares(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 256);
	struct hvo_pool *large, *small;
	uint64_t done = 99;
	struct rig r;
	hvo_pfn_t page;

	rig_open(&r, RIG_SIM, &cfg);
	small = rig_pool_new(&r, 9);
	large = rig_pool_new(&r, 12);
	rig_resize(large, ANY, 6);
	assert_int_equal(hvo_pool_reserve(large, ANY, 4), 0);
	assert_int_equal(hvo_pool_demote(large, ANY, 6, &done), 0);
	assert_int_equal(done, 2);
	expect_pool(large, 4, 4, 0);
	expect_pool(small, 16, 16, 0);
	assert_int_equal(hvo_pool_demote(large, 0, 1, &done), 0);
	assert_int_equal(done, 0);
	assert_int_equal(hvo_pool_unreserve(large, 3), 0);
	/* A frame fails in a page that somebody has; the page stays, free but never handed out. */
	page = rig_take(large, ANY);
	assert_int_equal(hvo_memory_failure(r.m, page + 7), -HVO_EBUSY);
	assert_int_equal(rig_pool(large, ANY).poisoned, 1);
	assert_int_equal(hvo_pool_demote(large, ANY, 9, &done), 0);
	assert_int_equal(done, 2);
	expect_pool(large, 2, 1, 0);
	rig_put(&r, page);
	rig_audit(&r);
	rig_close(&r);
}

static void test_demote_spares(void **state)
{
	(void)state;
	demote_spares(HVO_ON_DEMAND);
	demote_spares(HVO_LINUX);
}

/*
 * Linux mode: the kernel's way needs all of a page's frames for a moment, the other
 * way one for each part but the first. Both end with the same counters.
 */
static void demote_needs(unsigned int from, unsigned int to, uint64_t mib)
{
	uint64_t all = (UINT64_C(1) << from) / 64 - 1, heads = (UINT64_C(1) << (from - to)) - 1;
	struct hvo_policy thrifty = *hvo_policy_find("mayfail");
	struct hvo_config cfg = rig_config(HVO_LINUX, mib);
	struct hvo_machine_stat before = { .size = sizeof(before) },
				after = { .size = sizeof(after) };
	struct hvo_pool *large, *small;
	struct hog hog = { 0 };
	uint64_t done = 99;
	struct rig r;
	hvo_pfn_t part;

	thrifty.flags = HVO_POLICY_DEMOTE_HEADS;
	rig_open(&r, RIG_SIM, &cfg);
	small = rig_pool_new(&r, to);
	large = rig_pool_new(&r, from);
	assert_int_equal(rig_resize(large, ANY, 2).done, 2);
	/* One for the reserve. */
	hog_all(&r, &hog, heads, true);
	assert_int_equal(hvo_pool_set_policy(large, &thrifty), 0);
	before = rig_stat(&r);
	assert_int_equal(hvo_pool_demote(large, ANY, 1, &done), -HVO_ENOMEM);
	assert_int_equal(done, 0);
	after = rig_stat(&r);
	assert_memory_equal(&before, &after, sizeof(before));
	rig_audit(&r);
	hog_release(&r, &hog, 1);
	before = rig_stat(&r);
	assert_true(before.free_frames <= all);
	assert_int_equal(hvo_pool_set_policy(large, hvo_policy_find("mayfail")), 0);
	assert_int_equal(hvo_pool_demote(large, ANY, 1, &done), -HVO_ENOMEM);
	assert_int_equal(hvo_pool_set_policy(large, &thrifty), 0);
	assert_int_equal(hvo_pool_demote(large, ANY, 1, &done), 0);
	assert_int_equal(done, 1);
	after = rig_stat(&r);
	assert_int_equal(after.memmap - before.memmap, heads);
	assert_int_equal(before.free_frames - after.free_frames, heads);
	expect_pool(small, heads + 1, heads + 1, 0);
	assert_int_equal(rig_pool(small, ANY).optimized, heads + 1);
	rig_audit(&r);
	assert_true(hog_intact(&r, &hog));
	/* The kernel's way, with memory there: the same counters. */
	hog_release(&r, &hog, UINT64_MAX);
	before = rig_stat(&r);
	assert_int_equal(hvo_pool_set_policy(large, hvo_policy_find("mayfail")), 0);
	assert_int_equal(hvo_pool_demote(large, ANY, 1, &done), 0);
	after = rig_stat(&r);
	assert_int_equal(after.memmap - before.memmap, heads);
	rig_audit(&r);
	part = rig_take(small, ANY);
	rig_fill(&r, part, UINT64_C(1) << to, 4);
	assert_int_equal(rig_resize(small, ANY, 0).refused, 0);
	assert_true(rig_intact(&r, part, UINT64_C(1) << to, 4));
	rig_put(&r, part);
	rig_audit(&r);
	rig_close(&r);
}

static void test_demote_heads(void **state)
{
	(void)state;
	demote_needs(12, 9, 512);
	demote_needs(13, 10, 512);
	demote_needs(18, 9, 4096);
	demote_needs(18, 12, 4096);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dissolve),       cmocka_unit_test(test_dissolve_refused),
		cmocka_unit_test(test_demote),	       cmocka_unit_test(test_demote_1g),
		cmocka_unit_test(test_demote_refused), cmocka_unit_test(test_demote_order),
		cmocka_unit_test(test_demote_faults),  cmocka_unit_test(test_demote_spares),
		cmocka_unit_test(test_demote_heads),   cmocka_unit_test(test_demote_surplus),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
