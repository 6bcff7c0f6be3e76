// SPDX-License-Identifier: MIT
/*
 * Whatever can fail fails, once each: an operation is run once to count the points
 * where it could (see harness.h), then again with a failure at each of them, alone
 * and with everything after it. After each failure the audit is clean, contents
 * are intact, no frame is lost, and the operation can be repeated with success.
 *
 * States: a scene has nr blocks of its order that are free (holes) between as many
 * that are not (keepers), single free frames with others between them, and nothing
 * else free. Locks: none.
 * In Linux: lib/fault-inject.c, fail_page_alloc of mm/fail_page_alloc.c.
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>

#define HOLES 6
#define SINGLES 9000

struct scene {
	struct rig r;
	struct hvo_pool *pool;
	struct hog h;
	unsigned int order;
	enum hvo_mode mode;
	uint64_t nr; /* holes */
	hvo_pfn_t hole[HOLES], keep[HOLES], subject;
	unsigned int keep_order;
	/* Free ones are the even ones, from scatter() on. */
	hvo_pfn_t single[SINGLES];
	unsigned int nr_singles, single_order;
	uint64_t balance;
};

struct operation {
	const char *name;
	bool (*applies)(enum hvo_mode mode, unsigned int order);
	void (*prepare)(struct scene *s);
	/* Returns whether all that was asked for was done. */
	bool (*run)(struct scene *s);
	/* After a run that was not complete: make it one that can be. */
	void (*again)(struct scene *s);
	bool all_or_nothing;
};

/* ---- the scene --------------------------------------------------------------------------- */

/* Frames that somebody has, by kind; the sum never changes while users hold the same. */
static uint64_t balance(struct scene *s)
{
	struct hvo_machine_stat m = rig_stat(&s->r);

	return m.free_frames + m.memmap + m.memmap_boot + (rig_pool(s->pool, -1).total << s->order);
}

static void scene_open(struct scene *s, enum hvo_mode mode, unsigned int order)
{
	struct hvo_config cfg = rig_config(mode, order == HVO_GIGA_ORDER ? 2048 : 128);
	uint64_t i, want;

	memset(s, 0, sizeof(*s));
	rig_open(&s->r, RIG_FAULTY, &cfg);
	assert_int_equal(hvo_pool_create(s->r.m, order, &s->pool), 0);
	s->order = order;
	s->mode = mode;
	s->nr = order == 9 ? HOLES : order == 12 ? 3 : 1;
	s->keep_order = order == HVO_GIGA_ORDER ? 9 : order;
	for (i = 0; i < s->nr; i++) {
		s->hole[i] = rig_alloc(&s->r, HVO_GFP_KERNEL, order);
		s->keep[i] = rig_alloc(&s->r, HVO_GFP_KERNEL, s->keep_order);
		rig_fill(&s->r, s->keep[i], HVO_BLOCK_FRAMES, 5);
	}
	want = (s->nr << order) / 64 + 64;
	s->single_order = order == HVO_GIGA_ORDER ? 2 : 0;
	s->nr_singles = (unsigned int)(2 * want >> s->single_order);
	assert_true(s->nr_singles <= SINGLES);
	for (i = 0; i < s->nr_singles; i++)
		s->single[i] = rig_alloc(&s->r, HVO_GFP_KERNEL, s->single_order);
	hog_all(&s->r, &s->h, 0, false);
}

static void scatter(struct scene *s)
{
	unsigned int i;

	for (i = 2; i < s->nr_singles; i += 2)
		rig_put(&s->r, s->single[i]);
}

/* And what the watermark keeps back. */
static void free_holes(struct scene *s)
{
	uint64_t i;

	rig_put(&s->r, s->single[0]);
	for (i = 0; i < s->nr; i++)
		rig_put(&s->r, s->hole[i]);
}

static void check(struct scene *s)
{
	uint64_t i;

	rig_audit(&s->r);
	assert_int_equal(balance(s), s->balance);
	for (i = 0; i < s->nr; i++)
		assert_true(rig_intact(&s->r, s->keep[i], HVO_BLOCK_FRAMES, 5));
}

/* Everything can still be given back. */
static void scene_close(struct scene *s)
{
	uint64_t i;

	check(s);
	for (i = 1; i < s->nr_singles; i += 2)
		rig_put(&s->r, s->single[i]);
	for (i = 0; i < s->nr; i++)
		rig_put(&s->r, s->keep[i]);
	hog_release(&s->r, &s->h, UINT64_MAX);
	hvo_collapse(s->r.m, UINT64_MAX);
	rig_audit(&s->r);
	rig_close(&s->r);
}

/* ---- operations ------------------------------------------------------------------------------ */

static bool both_modes(enum hvo_mode mode, unsigned int order)
{
	(void)mode;
	(void)order;
	return true;
}

static bool on_demand_only(enum hvo_mode mode, unsigned int order)
{
	(void)order;
	return mode == HVO_ON_DEMAND;
}

static bool linux_only(enum hvo_mode mode, unsigned int order)
{
	(void)order;
	return mode == HVO_LINUX;
}

static void nothing(struct scene *s)
{
	(void)s;
}

static void open_holes(struct scene *s)
{
	scatter(s);
	free_holes(s);
}

/* fold: a pool grows; in Linux mode it folds what it can, and takes the rest as it is. */
static bool run_grow(struct scene *s)
{
	struct hvo_pool_stat st;

	rig_resize(s->pool, HVO_NODE_ANY, s->nr);
	st = rig_pool(s->pool, HVO_NODE_ANY);
	if (s->mode == HVO_LINUX)
		assert_int_equal(st.total, s->nr);
	assert_int_equal(st.free, st.total);
	return st.total == s->nr && st.optimized == s->nr;
}

static void shrink_all(struct scene *s)
{
	assert_int_equal(rig_resize(s->pool, HVO_NODE_ANY, 0).refused, 0);
	assert_int_equal(rig_pool(s->pool, HVO_NODE_ANY).total, 0);
}

/* restore: from frames of their own, from single frames, from the page itself. */
static void prepare_restore_home(struct scene *s)
{
	open_holes(s);
	assert_true(run_grow(s));
}

static void prepare_restore(struct scene *s)
{
	free_holes(s);
	assert_true(run_grow(s));
	hog_all(&s->r, &s->h, 0, false);
	scatter(s);
}

static void prepare_carve(struct scene *s)
{
	free_holes(s);
	assert_true(run_grow(s));
	hog_all(&s->r, &s->h, 0, false);
	assert_int_equal(hvo_pool_set_policy(s->pool, hvo_policy_find("carve")), 0);
}

static bool run_shrink(struct scene *s)
{
	struct hvo_resize_result res = rig_resize(s->pool, HVO_NODE_ANY, 0);
	struct hvo_pool_stat st = rig_pool(s->pool, HVO_NODE_ANY);

	assert_int_equal(res.done + res.refused, res.asked);
	assert_true(st.total == res.refused && st.surplus == res.refused);
	assert_true(st.free == st.total && st.optimized == st.total);
	return !res.refused;
}

static void unrefuse(struct scene *s)
{
	struct hvo_pool_stat st = rig_pool(s->pool, HVO_NODE_ANY);

	assert_int_equal(rig_resize(s->pool, HVO_NODE_ANY, st.total).done, st.total);
	assert_int_equal(rig_pool(s->pool, HVO_NODE_ANY).surplus, 0);
}

/* cut: the last block of order 8 is not in one that is cut. */
static bool run_cut(struct scene *s)
{
	hvo_pfn_t pfn;

	if (hvo_alloc_pages(s->r.m, HVO_GFP_KERNEL, 8, HVO_NODE_ANY, &pfn))
		return false;
	rig_fill(&s->r, pfn, 256, 6);
	rig_audit(&s->r);
	assert_true(rig_intact(&s->r, pfn, 256, 6));
	rig_put(&s->r, pfn);
	return true;
}

/* collapse: half of the holes cut by themselves, the first one by a split. */
static void prepare_collapse(struct scene *s)
{
	hvo_pfn_t pfn[1024];
	unsigned int n = 0;
	uint64_t i;

	scatter(s);
	rig_put(&s->r, s->single[0]);
	assert_int_equal(hvo_split_page(s->r.m, s->hole[0], 8), 0);
	for (i = 0; i < UINT64_C(1) << s->order; i += 256)
		rig_put(&s->r, s->hole[0] + i);
	for (i = 1; i < s->nr; i++)
		rig_put(&s->r, s->hole[i]);
	while (n < 1024 && !hvo_alloc_pages(s->r.m, GFP_HOG, 8, HVO_NODE_ANY, &pfn[n]))
		n++;
	while (n)
		rig_put(&s->r, pfn[--n]);
	rig_audit(&s->r);
}

static bool run_collapse(struct scene *s)
{
	uint64_t before = rig_zone(&s->r, 0, HVO_ZONE_NORMAL).nr_cut, done;

	done = hvo_collapse(s->r.m, UINT64_MAX);
	assert_int_equal(rig_zone(&s->r, 0, HVO_ZONE_NORMAL).nr_cut, before - done);
	return !rig_zone(&s->r, 0, HVO_ZONE_NORMAL).nr_collapsible;
}

/* split: an allocated block of user's data. */
static void prepare_split(struct scene *s)
{
	scatter(s);
	rig_put(&s->r, s->single[0]);
	s->subject = s->hole[0];
	rig_fill(&s->r, s->subject, UINT64_C(1) << s->order, 7);
}

static bool run_split(struct scene *s)
{
	unsigned int to = s->order == HVO_GIGA_ORDER ? 6 : 0;
	uint64_t nr = UINT64_C(1) << s->order, i;
	int rc = hvo_split_page(s->r.m, s->subject, to);

	assert_true(rig_intact(&s->r, s->subject, nr, 7));
	if (rc) {
		assert_int_equal(rc, -HVO_ENOMEM);
		assert_int_equal(rig_page(&s->r, s->subject)->order, s->order);
		return false;
	}
	rig_audit(&s->r);
	for (i = 0; i < nr; i += UINT64_C(1) << to)
		rig_put(&s->r, s->subject + i);
	for (i = 1; i < s->nr; i++)
		rig_put(&s->r, s->hole[i]);
	s->balance += s->nr << s->order;
	return true;
}

/* Memory that must be cleared first, out of a zone and out of a pool. */
static bool run_clear(struct scene *s)
{
	hvo_pfn_t pfn = HVO_PFN_NONE;
	int rc = hvo_alloc_pages(s->r.m, HVO_GFP_KERNEL | HVO_GFP_ZERO, s->order, 0, &pfn);

	if (rc) {
		assert_true(rc == -HVO_ENOMEM && pfn == HVO_PFN_NONE);
		return false;
	}
	rig_put(&s->r, pfn);
	return true;
}

static bool run_clear_huge(struct scene *s)
{
	hvo_pfn_t pfn = HVO_PFN_NONE;
	int rc = hvo_hugetlb_alloc(s->pool, HVO_GFP_ZERO, 0, &pfn);

	if (rc) {
		assert_true(rc == -HVO_ENOMEM && pfn == HVO_PFN_NONE);
		return false;
	}
	assert_int_equal(hvo_hugetlb_free(s->pool, pfn), 0);
	return true;
}

static const struct operation operations[] = {
	{ "grow", both_modes, open_holes, run_grow, shrink_all, false },
	{ "grow by collapsing", on_demand_only, prepare_collapse, run_grow, nothing, false },
	{ "shrink, home", both_modes, prepare_restore_home, run_shrink, unrefuse, false },
	{ "shrink, single frames", both_modes, prepare_restore, run_shrink, unrefuse, false },
	{ "shrink, carve", linux_only, prepare_carve, run_shrink, unrefuse, false },
	{ "cut", on_demand_only, open_holes, run_cut, nothing, true },
	{ "collapse", on_demand_only, prepare_collapse, run_collapse, nothing, false },
	{ "split", both_modes, prepare_split, run_split, nothing, false },
	{ "clear", both_modes, open_holes, run_clear, nothing, true },
	{ "clear, huge", both_modes, prepare_restore_home, run_clear_huge, nothing, true },
};

/* ---- the loop ------------------------------------------------------------------------------------ */

/* One failure, at a point or (0) none; returns the points that there were. */
static uint64_t fail_once(const struct operation *op, enum hvo_mode mode, unsigned int order,
			  uint64_t at, bool sticky)
{
	static struct scene s;
	uint64_t before, points;
	bool failed, done;

	scene_open(&s, mode, order);
	op->prepare(&s);
	before = rig_free(&s.r);
	s.balance = balance(&s);
	rig_arm(&s.r, at, sticky);
	done = op->run(&s);
	points = s.r.fault.points;
	failed = rig_disarm(&s.r);
	assert_int_equal(failed, at && at <= points);
	if (!failed)
		assert_true(done);
	check(&s);
	if (!done && op->all_or_nothing)
		assert_int_equal(rig_free(&s.r), before);
	if (!done) {
		op->again(&s);
		if (!op->run(&s))
			fail_msg("%s, order %u: not possible after a failure", op->name, order);
		check(&s);
	}
	scene_close(&s);
	return points;
}

static void each_failure(enum hvo_mode mode, unsigned int order)
{
	uint64_t most = order == HVO_GIGA_ORDER ? 2 : order == 12 ? 5 : 12, points, at, step;
	unsigned int i;

	for (i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		const struct operation *op = &operations[i];

		if (!op->applies(mode, order))
			continue;
		points = fail_once(op, mode, order, 0, false);
		step = points / most + 1;
		for (at = 1; at <= points; at += at < 3 && order == 9 ? 1 : step) {
			fail_once(op, mode, order, at, false);
			if (points > 1 && order != HVO_GIGA_ORDER)
				fail_once(op, mode, order, at, true);
		}
		if (points > 1)
			fail_once(op, mode, order, points, false);
		print_message("%-22s order %2u: %llu points\n", op->name, order,
			      (unsigned long long)points);
	}
}

#define TEST(name, mode, order)               \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		each_failure(mode, order);    \
	}

TEST(on_demand_9, HVO_ON_DEMAND, 9)
TEST(on_demand_12, HVO_ON_DEMAND, 12)
TEST(on_demand_18, HVO_ON_DEMAND, 18)
TEST(linux_9, HVO_LINUX, 9)
TEST(linux_12, HVO_LINUX, 12)
TEST(linux_18, HVO_LINUX, 18)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_on_demand_9),  cmocka_unit_test(test_on_demand_12),
		cmocka_unit_test(test_on_demand_18), cmocka_unit_test(test_linux_9),
		cmocka_unit_test(test_linux_12),     cmocka_unit_test(test_linux_18),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
