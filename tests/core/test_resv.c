// SPDX-License-Identifier: MIT
/*
 * Pools beyond their size: reservations, overcommit, deferred frees, nodes chosen by
 * the user, growing that is watched and stopped, and folding what is present.
 * The numbers are those of the kernel's own rules; test_diff asks the kernel itself.
 */
#include "harness.h"

#include <string.h>

#define ANY HVO_NODE_ANY

#define expect(pool, total, free, surplus, reserved) \
	expect_at(pool, total, free, surplus, reserved, __FILE__, __LINE__)

static void expect_at(struct hvo_pool *pool, uint64_t total, uint64_t nr_free, uint64_t surplus,
		      uint64_t reserved, const char *file, int line)
{
	struct hvo_pool_stat s = rig_pool(pool, ANY);

	if (s.total == total && s.free == nr_free && s.surplus == surplus && s.reserved == reserved)
		return;
	print_error("total %llu free %llu surplus %llu reserved %llu\n",
		    (unsigned long long)s.total, (unsigned long long)s.free,
		    (unsigned long long)s.surplus, (unsigned long long)s.reserved);
	_fail(file, line);
}

/* ---- reservations ---------------------------------------------------------------- */

static void reserve_in(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 256);
	hvo_pfn_t pfn[8], none = 77;
	struct hvo_pool *pool;
	struct rig r;
	int i;

	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	assert_int_equal(hvo_pool_reserve(pool, ANY, 1), -HVO_ENOMEM);
	rig_resize(pool, ANY, 10);
	assert_int_equal(hvo_pool_reserve(pool, ANY, 11), -HVO_ENOMEM);
	assert_int_equal(hvo_pool_reserve(pool, ANY, 4), 0);
	expect(pool, 10, 10, 0, 4);
	/* Who has none gets what is left, and no more. */
	for (i = 0; i < 6; i++)
		pfn[i] = rig_take(pool, ANY);
	assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_KERNEL, ANY, &none), -HVO_ENOMEM);
	assert_int_equal(none, 77);
	expect(pool, 10, 4, 0, 4);
	assert_int_equal(hvo_pool_reserve(pool, ANY, 1), -HVO_ENOMEM);
	/* Nothing that is promised leaves: not by dissolving, not by shrinking. */
	assert_int_equal(rig_resize(pool, ANY, 0).done, 0);
	expect(pool, 10, 4, 10, 4);
	/* So many of them are wanted again, and no more. */
	assert_int_equal(rig_resize(pool, ANY, 4).done, 4);
	expect(pool, 10, 4, 6, 4);
	rig_resize(pool, ANY, 10);
	expect(pool, 10, 4, 0, 4);
	pfn[6] = rig_take_reserved(pool);
	expect(pool, 10, 3, 0, 3);
	/* Not put to use: the promise is there again. */
	assert_int_equal(hvo_get_page(r.m, pfn[6], NULL), 0);
	assert_int_equal(hvo_pool_free_reserved(pool, pfn[6]), -HVO_EBUSY);
	rig_put(&r, pfn[6]);
	assert_int_equal(hvo_pool_free_reserved(pool, pfn[6]), 0);
	expect(pool, 10, 4, 0, 4);
	assert_int_equal(hvo_pool_free_reserved(pool, pfn[6]), -HVO_EINVAL);
	assert_int_equal(hvo_hugetlb_dissolve(r.m, pfn[6]), -HVO_EBUSY);
	assert_int_equal(hvo_pool_unreserve(pool, 5), -HVO_EINVAL);
	assert_int_equal(hvo_pool_unreserve(pool, 4), 0);
	expect(pool, 10, 4, 0, 0);
	assert_int_equal(hvo_pool_alloc_reserved(pool, HVO_GFP_KERNEL, ANY, &none), -HVO_EINVAL);
	assert_int_equal(hvo_hugetlb_dissolve(r.m, pfn[6]), 0);
	expect(pool, 9, 3, 0, 0);
	for (i = 0; i < 6; i++)
		rig_put(&r, pfn[i]);
	/* Shrinking keeps what is reserved and turns the rest of it into surplus. */
	assert_int_equal(hvo_pool_reserve(pool, ANY, 4), 0);
	rig_resize(pool, ANY, 2);
	expect(pool, 4, 4, 2, 4);
	/* With the promise the surplus goes. */
	assert_int_equal(hvo_pool_unreserve(pool, 1), 0);
	expect(pool, 3, 3, 1, 3);
	assert_int_equal(hvo_pool_unreserve(pool, 3), 0);
	expect(pool, 2, 2, 0, 0);
	rig_audit(&r);
	assert_int_equal(hvo_pool_reserve(pool, 1, 1), -HVO_EINVAL);
	assert_int_equal(hvo_pool_reserve(pool, -2, 1), -HVO_EINVAL);
	assert_int_equal(hvo_pool_reserve(NULL, 0, 1), -HVO_EINVAL);
	assert_int_equal(hvo_pool_reserve(pool, ANY, UINT64_MAX), -HVO_ENOMEM);
	assert_int_equal(hvo_pool_reserve(pool, ANY, 0), 0);
	assert_int_equal(hvo_pool_unreserve(pool, UINT64_MAX), -HVO_EINVAL);
	rig_close(&r);
}

static void test_reserve(void **state)
{
	(void)state;
	reserve_in(HVO_ON_DEMAND);
	reserve_in(HVO_LINUX);
}

/* ---- overcommit -------------------------------------------------------------------- */

/* More at once than is gathered in one go. */
static void promise_many(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 2048);
	struct hvo_pool *pool;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	assert_int_equal(hvo_pool_set_overcommit(pool, 700), 0);
	assert_int_equal(hvo_pool_reserve(pool, ANY, 701), -HVO_ENOMEM);
	expect(pool, 0, 0, 0, 0);
	assert_int_equal(hvo_pool_reserve(pool, ANY, 700), 0);
	expect(pool, 700, 700, 700, 700);
	assert_int_equal(rig_pool(pool, ANY).optimized, 700);
	rig_audit(&r);
	assert_int_equal(hvo_pool_unreserve(pool, 700), 0);
	expect(pool, 0, 0, 0, 0);
	rig_audit(&r);
	rig_close(&r);
}
EACH_MODE(promise_many)

static void overcommit_in(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 256);
	uint64_t tails = mode == HVO_LINUX ? 7 : 0, works;
	struct hvo_machine_stat before = { .size = sizeof(before) },
				after = { .size = sizeof(after) };
	hvo_pfn_t pfn[8], none = 77;
	struct hvo_pool *pool;
	struct rig r;
	int i;

	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	rig_resize(pool, ANY, 2);
	assert_int_equal(hvo_pool_set_overcommit(pool, 3), 0);
	assert_int_equal(rig_pool(pool, ANY).overcommit, 3);
	for (i = 0; i < 5; i++)
		pfn[i] = rig_take(pool, ANY);
	expect(pool, 5, 0, 3, 0);
	assert_int_equal(rig_pool(pool, ANY).optimized, 5);
	assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_KERNEL, ANY, &none), -HVO_ENOMEM);
	assert_int_equal(none, 77);
	/* Who must not wait gets no new page. */
	assert_int_equal(hvo_pool_set_overcommit(pool, 4), 0);
	assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_ATOMIC, ANY, &none), -HVO_ENOMEM);
	rig_audit(&r);
	/* The first three that come back leave, whichever they are. */
	before = rig_stat(&r);
	works = rig_sim(&r).works;
	for (i = 0; i < 5; i++)
		rig_put(&r, pfn[i]);
	expect(pool, 2, 2, 0, 0);
	assert_int_equal(rig_sim(&r).works > works, mode == HVO_LINUX);
	assert_int_equal(rig_pool(pool, ANY).deferred, mode == HVO_LINUX ? 3 : 0);
	rig_audit(&r);
	assert_int_equal(hvo_work(r.m, 2, NULL), mode == HVO_LINUX ? 2 : 0);
	assert_int_equal(rig_pool(pool, ANY).deferred, mode == HVO_LINUX ? 1 : 0);
	/* Everything that changes a pool finishes them first. */
	rig_resize(pool, ANY, 2);
	assert_int_equal(rig_pool(pool, ANY).deferred, 0);
	after = rig_stat(&r);
	assert_int_equal(after.free_frames - before.free_frames, 3 * (512 - tails));
	assert_int_equal(after.memmap - before.memmap, 3 * tails);
	rig_audit(&r);
	/* A reservation beyond the pool allocates its pages at once. */
	assert_int_equal(hvo_pool_reserve(pool, ANY, 7), -HVO_ENOMEM);
	hvo_work(r.m, UINT64_MAX, NULL);
	expect(pool, 2, 2, 0, 0);
	assert_int_equal(hvo_pool_reserve(pool, ANY, 6), 0);
	expect(pool, 6, 6, 4, 6);
	for (i = 0; i < 6; i++)
		pfn[i] = rig_take_reserved(pool);
	expect(pool, 6, 0, 4, 0);
	for (i = 0; i < 6; i++)
		rig_put(&r, pfn[i]);
	expect(pool, 2, 2, 0, 0);
	assert_int_equal(hvo_pool_reserve(pool, ANY, 5), 0);
	assert_int_equal(hvo_pool_unreserve(pool, 5), 0);
	expect(pool, 2, 2, 0, 0);
	/* The limit is for new ones; what is there stays. */
	for (i = 0; i < 3; i++)
		pfn[i] = rig_take(pool, ANY);
	assert_int_equal(hvo_pool_set_overcommit(pool, 0), 0);
	expect(pool, 3, 0, 1, 0);
	assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_KERNEL, ANY, &none), -HVO_ENOMEM);
	assert_int_equal(hvo_pool_set_overcommit(NULL, 0), -HVO_EINVAL);
	rig_audit(&r);
	rig_close(&r);
}

static void test_overcommit(void **state)
{
	(void)state;
	overcommit_in(HVO_ON_DEMAND);
	overcommit_in(HVO_LINUX);
}

/* 19: refused frees use up the room for new surplus pages. */
static void test_refused_uses_room(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	struct hvo_pool *pool;
	struct hog hog = { 0 };
	hvo_pfn_t pfn = 77;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	rig_resize(pool, ANY, 3);
	hog_all(&r, &hog, 0, false);
	assert_int_equal(rig_resize(pool, ANY, 0).refused, 3);
	expect(pool, 3, 3, 3, 0);
	assert_int_equal(hvo_pool_set_overcommit(pool, 3), 0);
	hog_release(&r, &hog, UINT64_MAX);
	/* Free ones are used, and there is no room for a fourth. */
	assert_int_equal(hvo_pool_reserve(pool, ANY, 4), -HVO_ENOMEM);
	assert_int_equal(hvo_pool_reserve(pool, ANY, 3), 0);
	expect(pool, 3, 3, 3, 3);
	assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_KERNEL, ANY, &pfn), -HVO_ENOMEM);
	assert_int_equal(hvo_pool_unreserve(pool, 3), 0);
	expect(pool, 0, 0, 0, 0);
	rig_audit(&r);
	rig_close(&r);
}

/* A policy that is not Linux's tries again whenever it is asked; Linux's does not. */
static void retried(const char *policy, bool again)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	struct hvo_resize_result res = { .size = sizeof(res) };
	struct hvo_pool *pool;
	struct hog hog = { 0 };
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	rig_resize(pool, ANY, 8);
	assert_int_equal(hvo_pool_set_policy(pool, hvo_policy_find(policy)), 0);
	hog_all(&r, &hog, 0, false);
	res = rig_resize(pool, ANY, 5);
	assert_true(res.asked == 3 && res.refused == 3 && res.done == 0);
	assert_int_equal(r.events[HVO_EVENT_FREE_REFUSED], 3);
	hog_release(&r, &hog, UINT64_MAX);
	res = rig_resize(pool, ANY, 5);
	if (again)
		assert_true(res.asked == 3 && res.done == 3 && !res.refused);
	else
		assert_true(!res.asked && !res.done && !res.refused);
	expect(pool, again ? 5 : 8, again ? 5 : 8, again ? 0 : 3, 0);
	rig_audit(&r);
	rig_close(&r);
}

static void test_retried(void **state)
{
	(void)state;
	retried("mayfail", false);
	retried("mayfail-node", false);
	retried("noretry", false);
	retried("atomic", true);
	retried("oom", true);
}

/* ---- deferred frees under pressure ------------------------------------------------------- */

/* An allocation that finds nothing finishes them: they hold the memory that it wants. */
static void test_pressure_flushes(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	struct hvo_pool *pool;
	struct hog hog = { 0 };
	hvo_pfn_t pfn, frame;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	rig_resize(pool, ANY, 1);
	pfn = rig_take(pool, ANY);
	rig_resize(pool, ANY, 0);
	/* What its descriptors need, and the one frame of the reserve. */
	hog_all(&r, &hog, 8, false);
	rig_put(&r, pfn);
	assert_int_equal(rig_pool(pool, ANY).deferred, 1);
	assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_ATOMIC, 8, ANY, &frame), -HVO_ENOMEM);
	assert_int_equal(rig_pool(pool, ANY).deferred, 1);
	assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_KERNEL, 8, ANY, &frame), 0);
	assert_int_equal(rig_pool(pool, ANY).deferred, 0);
	rig_audit(&r);
	hog_release(&r, &hog, UINT64_MAX);
	rig_close(&r);
}

struct giver {
	struct hvo_shrinker shrinker;
	hvo_pfn_t pfn;
	struct rig *r;
};

static uint64_t give_page(struct hvo_shrinker *s, struct hvo_machine *m, uint64_t nr)
{
	struct giver *g = s->arg;

	(void)m;
	(void)nr;
	if (g->pfn == HVO_PFN_NONE)
		return 0;
	rig_put(g->r, g->pfn);
	g->pfn = HVO_PFN_NONE;
	return HVO_PAGEBLOCK_FRAMES;
}

/* A shrinker gives a surplus page back under the very restore that called it. */
static void test_shrinker_gives_surplus(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	struct hvo_pool *pool;
	struct hog hog = { 0 };
	struct giver g = { .r = NULL };
	hvo_pfn_t other;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	rig_resize(pool, ANY, 3);
	g.r = &r;
	g.pfn = rig_take(pool, ANY);
	other = rig_take(pool, ANY);
	rig_resize(pool, ANY, 1);
	expect(pool, 2, 0, 1, 0);
	rig_put(&r, other);
	hvo_work(r.m, UINT64_MAX, NULL);
	expect(pool, 1, 0, 0, 0);
	rig_resize(pool, ANY, 2);
	rig_resize(pool, 0, 2);
	expect(pool, 2, 1, 0, 0);
	hog_all(&r, &hog, 0, false);
	g.shrinker.size = sizeof(g.shrinker);
	g.shrinker.scan = give_page;
	g.shrinker.arg = &g;
	hvo_shrinker_register(r.m, &g.shrinker);
	/* One is free and refused; the other one comes back meanwhile, and stays. */
	rig_resize(pool, ANY, 0);
	assert_int_equal(g.pfn, HVO_PFN_NONE);
	assert_int_equal(hvo_shrinker_unregister(r.m, &g.shrinker), 0);
	rig_audit(&r);
	hog_release(&r, &hog, UINT64_MAX);
	hvo_work(r.m, UINT64_MAX, NULL);
	rig_resize(pool, ANY, 2);
	rig_resize(pool, ANY, 0);
	expect(pool, 0, 0, 0, 0);
	rig_audit(&r);
	rig_close(&r);
}

/* ---- nodes ------------------------------------------------------------------------------------ */

static void test_nodes(void **state)
{
	static const uint64_t wanted[] = { 1, 2, 5, 3 };
	struct hvo_resize_options opt = { .size = sizeof(opt), .nodes = 0x6 };
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 4 * 128);
	struct hvo_resize_result res = { .size = sizeof(res) };
	struct hvo_pool *pool;
	struct rig r;
	int n;

	(void)state;
	cfg.nr_nodes = 4;
	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	/* As a memory policy: the number is of the whole pool, the pages of these nodes. */
	assert_int_equal(hvo_pool_resize_with(pool, ANY, 9, &opt, &res), 0);
	assert_true(res.asked == 9 && res.done == 9);
	assert_int_equal(rig_pool(pool, 0).total + rig_pool(pool, 3).total, 0);
	assert_true(rig_pool(pool, 1).total == 5 && rig_pool(pool, 2).total == 4);
	/* Of one node: the others keep theirs. */
	assert_int_equal(rig_resize(pool, 3, 2).done, 2);
	assert_int_equal(rig_resize(pool, 1, 1).done, 4);
	assert_true(rig_pool(pool, ANY).total == 7 && rig_pool(pool, 1).total == 1);
	/* In turn, beginning behind the one that was last. */
	assert_int_equal(rig_resize(pool, ANY, 11).done, 4);
	for (n = 0; n < 4; n++)
		assert_int_equal(rig_pool(pool, n).total, wanted[n]);
	/* Nodes of the mask alone give pages back. */
	opt.nodes = 1;
	assert_int_equal(hvo_pool_resize_with(pool, ANY, 0, &opt, &res), 0);
	assert_true(res.asked == 11 && res.done == 1);
	assert_int_equal(rig_pool(pool, ANY).total, 10);
	opt.nodes = UINT64_C(1) << 40;
	assert_int_equal(hvo_pool_resize_with(pool, ANY, 0, &opt, &res), -HVO_EINVAL);
	opt.nodes = 1;
	assert_int_equal(hvo_pool_resize_with(pool, 0, 0, &opt, &res), -HVO_EINVAL);
	/* More than there can be: as many as there are. */
	assert_int_equal(hvo_pool_resize(pool, 2, UINT64_MAX, &res), 0);
	assert_true(rig_pool(pool, 2).total > 50 && rig_pool(pool, 0).total == 0);
	rig_audit(&r);
	rig_close(&r);
}

/* ---- watched and stopped --------------------------------------------------------------------- */

struct watch {
	unsigned int calls, stop_at;
	uint64_t last;
};

static bool watched(void *arg, const struct hvo_resize_result *so_far)
{
	struct watch *w = arg;

	assert_true(so_far->done >= w->last && so_far->done <= so_far->asked);
	w->last = so_far->done;
	return ++w->calls != w->stop_at;
}

static void progress_in(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 4096);
	struct watch w = { .stop_at = 3 };
	struct hvo_resize_options opt = { .size = sizeof(opt), .progress = watched, .arg = &w };
	struct hvo_resize_result res = { .size = sizeof(res) };
	struct hvo_pool *pool;
	struct rig r;
	uint64_t had;

	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	assert_int_equal(hvo_pool_resize_with(pool, ANY, 1800, &opt, &res), 0);
	/* What was done stays, all of it folded. */
	assert_int_equal(w.calls, 3);
	assert_true(res.asked == 1800 && res.done > 0 && res.done < 1800);
	had = res.done;
	expect(pool, had, had, 0, 0);
	assert_int_equal(rig_pool(pool, ANY).optimized, had);
	rig_audit(&r);
	w = (struct watch){ .stop_at = 0 };
	assert_int_equal(hvo_pool_resize_with(pool, ANY, 1800, &opt, &res), 0);
	assert_true(res.done == 1800 - had && w.calls > 1 && w.last == res.done);
	/* Stopped on the way down: the rest stays persistent. */
	w = (struct watch){ .stop_at = 1 };
	assert_int_equal(hvo_pool_resize_with(pool, ANY, 0, &opt, &res), 0);
	assert_true(w.calls == 1 && res.done > 0 && res.done < 1800);
	expect(pool, 1800 - res.done, 1800 - res.done, 0, 0);
	w = (struct watch){ .stop_at = 0 };
	assert_int_equal(hvo_pool_resize_with(pool, ANY, 0, &opt, &res), 0);
	assert_true(w.calls > 1 && res.done == res.asked);
	expect(pool, 0, 0, 0, 0);
	rig_audit(&r);
	rig_close(&r);
}

static void test_progress(void **state)
{
	(void)state;
	progress_in(HVO_ON_DEMAND);
	progress_in(HVO_LINUX);
}

/* ---- folding what is present ------------------------------------------------------------------- */

static void optimize_later(unsigned int order)
{
	uint64_t nr = order == 18 ? 2 :
		      order == 12 ? 100 :
				    600,
		 size = UINT64_C(1) << order, done = 99, tails;
	struct hvo_config cfg = rig_config(HVO_LINUX, order == 18 ? 4096 : 2048);
	struct hvo_machine_stat before = { .size = sizeof(before) },
				after = { .size = sizeof(after) };
	struct hvo_pool *pool;
	hvo_pfn_t used;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, order);
	hvo_set_optimize(r.m, false);
	assert_int_equal(rig_resize(pool, ANY, nr).done, nr);
	assert_int_equal(rig_pool(pool, ANY).optimized, 0);
	used = rig_take(pool, ANY);
	rig_fill(&r, used, size, 5);
	assert_int_equal(hvo_map_page(r.m, used), 0);
	before = rig_stat(&r);
	assert_int_equal(hvo_pool_optimize(pool, &done), 0);
	assert_int_equal(done, nr);
	after = rig_stat(&r);
	tails = (UINT64_C(1) << order) / 64 - 1;
	assert_int_equal(before.memmap + before.memmap_boot - after.memmap - after.memmap_boot,
			 nr * tails);
	assert_int_equal(after.free_frames - before.free_frames, nr * tails);
	expect(pool, nr, nr - 1, 0, 0);
	assert_int_equal(rig_pool(pool, ANY).optimized, nr);
	assert_true(rig_page(&r, used)->refcount == 1 && rig_page(&r, used)->mapcount == 1);
	assert_true(rig_intact(&r, used, size, 5));
	rig_audit(&r);
	assert_int_equal(hvo_pool_optimize(pool, &done), 0);
	assert_int_equal(done, 0);
	assert_int_equal(hvo_unmap_page(r.m, used), 0);
	rig_put(&r, used);
	assert_int_equal(rig_resize(pool, ANY, 0).done, nr);
	assert_int_equal(hvo_pool_optimize(NULL, &done), -HVO_EINVAL);
	rig_audit(&r);
	rig_close(&r);
}

static void test_optimize_later(void **state)
{
	(void)state;
	optimize_later(9);
	optimize_later(12);
	optimize_later(18);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_promise_many),
		cmocka_unit_test(test_overcommit),
		cmocka_unit_test(test_refused_uses_room),
		cmocka_unit_test(test_retried),
		cmocka_unit_test(test_pressure_flushes),
		cmocka_unit_test(test_shrinker_gives_surplus),
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_progress),
		cmocka_unit_test(test_optimize_later),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
