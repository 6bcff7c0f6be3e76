// SPDX-License-Identifier: MIT
/*
 * Pools of huge pages: growing and shrinking, surplus, the switch, what memory the
 * descriptors cost and give back, and every restore policy. The numbers in names
 * of tests are those that the kernel's cases have in our list of them.
 *
 * States and locks: none beyond one machine for each test.
 * In Linux: tools/testing/selftests/mm/hugetlb_*.
 */
#include "harness.h"

#include <string.h>

#define ANY HVO_NODE_ANY

static struct hvo_pool *pool_new(struct rig *r, unsigned int order, const char *policy)
{
	struct hvo_pool *pool = rig_pool_new(r, order);

	if (policy)
		assert_int_equal(hvo_pool_set_policy(pool, hvo_policy_find(policy)), 0);
	return pool;
}

#define assert_pool(pool, node, t, f, s) assert_pool_at(pool, node, t, f, s, __FILE__, __LINE__)

static void assert_pool_at(struct hvo_pool *pool, int node, uint64_t total, uint64_t nr_free,
			   uint64_t surplus, const char *file, int line)
{
	struct hvo_pool_stat s = rig_pool(pool, node);

	if (s.total == total && s.free == nr_free && s.surplus == surplus)
		return;
	print_error("pool: total %llu, free %llu, surplus %llu\n", (unsigned long long)s.total,
		    (unsigned long long)s.free, (unsigned long long)s.surplus);
	_fail(file, line);
}

/* What a step did to the counters of descriptor memory. */
struct delta {
	int64_t boot, memmap, total, nr_free;
};

static struct delta since(struct rig *r, struct hvo_machine_stat *last)
{
	struct hvo_machine_stat now = rig_stat(r);
	struct delta d = {
		(int64_t)(now.memmap_boot - last->memmap_boot),
		(int64_t)(now.memmap - last->memmap),
		(int64_t)(now.total_frames - last->total_frames),
		(int64_t)(now.free_frames - last->free_frames),
	};

	*last = now;
	return d;
}

#define assert_delta(r, last, b, mm, t, f)        \
	do {                                      \
		struct delta d_ = since(r, last); \
                                                  \
		assert_int_equal(d_.boot, b);     \
		assert_int_equal(d_.memmap, mm);  \
		assert_int_equal(d_.total, t);    \
		assert_int_equal(d_.nr_free, f);  \
	} while (0)

/* ---- counters of Linux mode ---------------------------------------------------------- */

/* 1 to 4: what the first fold, the restore and the second fold change. */
static void fold_counters(unsigned int order)
{
	int64_t size = INT64_C(1) << order, tails = (size >> 6) - 1;
	struct hvo_config cfg = rig_config(HVO_LINUX, order == 18 ? 2048 : 256);
	struct hvo_machine_stat last = { .size = sizeof(last) };
	struct hvo_pool *pool;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	pool = pool_new(&r, order, NULL);
	last = rig_stat(&r);
	rig_resize(pool, ANY, 1);
	assert_delta(&r, &last, -(tails + 1), 1, tails + 1, tails - size);
	assert_int_equal(rig_pool(pool, 0).optimized, 1);
	rig_audit(&r);
	rig_resize(pool, ANY, 0);
	assert_delta(&r, &last, 0, tails, 0, size - tails);
	rig_audit(&r);
	rig_resize(pool, ANY, 1);
	assert_delta(&r, &last, 0, -tails, 0, tails - size);
	rig_resize(pool, ANY, 0);
	assert_delta(&r, &last, 0, tails, 0, size - tails);
	rig_audit(&r);
	rig_close(&r);
}

static void test_fold_counters_1_2_3_4(void **state)
{
	(void)state;
	fold_counters(9);
	fold_counters(12);
	fold_counters(18);
}

static void test_switch_5_6(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	struct hvo_machine_stat last = { .size = sizeof(last) };
	struct hvo_pool *pool;
	struct rig r;

	(void)state;
	cfg.optimize = false;
	rig_open(&r, RIG_SIM, &cfg);
	pool = pool_new(&r, 9, NULL);
	last = rig_stat(&r);
	rig_resize(pool, ANY, 10);
	assert_delta(&r, &last, 0, 0, 0, -5120);
	hvo_set_optimize(r.m, true);
	assert_delta(&r, &last, 0, 0, 0, 0);
	assert_int_equal(rig_pool(pool, ANY).optimized, 0);
	rig_resize(pool, ANY, 13);
	assert_delta(&r, &last, -24, 3, 24, -3 * 512 + 21);
	assert_int_equal(rig_pool(pool, ANY).optimized, 3);
	/* Off again: the three are restored all the same. */
	hvo_set_optimize(r.m, false);
	rig_resize(pool, ANY, 0);
	assert_delta(&r, &last, 0, 21, 0, 13 * 512 - 21);
	rig_audit(&r);
	rig_close(&r);
}

static void test_nothing_folds_32(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	struct hvo_machine_stat last = { .size = sizeof(last) };
	struct hvo_pool *pool;
	struct rig r;

	(void)state;
	/* A store cannot fail. */
	cfg.layout = HVO_LAYOUT_VIRTUAL;
	rig_open(&r, RIG_SIM, &cfg);
	pool = pool_new(&r, 9, NULL);
	last = rig_stat(&r);
	rig_arm(&r, 1, true);
	assert_int_equal(rig_resize(pool, ANY, 5).done, 5);
	assert_true(rig_disarm(&r));
	assert_delta(&r, &last, 0, 0, 0, -5 * 512);
	assert_pool(pool, ANY, 5, 5, 0);
	assert_int_equal(rig_pool(pool, ANY).optimized, 0);
	rig_audit(&r);
	rig_resize(pool, ANY, 0);
	assert_delta(&r, &last, 0, 0, 0, 5 * 512);
	rig_audit(&r);
	rig_close(&r);
}

/* 13: some frames are not enough. 14, 15, 16: refused, and what helps afterwards. */
static void test_refused_13_14_15_16(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	struct hvo_resize_result res = { .size = sizeof(res) };
	struct hvo_machine_stat last = { .size = sizeof(last) };
	struct hvo_pool *pool;
	struct hog h = { 0 };
	uint64_t min;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	pool = pool_new(&r, 9, "mayfail");
	rig_resize(pool, ANY, 20);
	min = rig_zone(&r, 0, HVO_ZONE_NORMAL).watermark_min;
	hog_all(&r, &h, 6 + min, true);
	last = rig_stat(&r);
	res = rig_resize(pool, ANY, 13);
	assert_true(res.asked == 7 && res.done == 0 && res.refused == 7 && res.carved == 0);
	assert_pool(pool, ANY, 20, 20, 7);
	assert_delta(&r, &last, 0, 0, 0, 0);
	assert_int_equal(rig_pool(pool, ANY).optimized, 20);
	assert_int_equal(rig_pool(pool, ANY).refused_total, 7);
	assert_int_equal(r.events[HVO_EVENT_FREE_REFUSED], 7);
	assert_int_equal(r.last_event[HVO_EVENT_FREE_REFUSED].a, 9);
	/* gather() had 6 of 7. */
	assert_int_equal(r.last_event[HVO_EVENT_FREE_REFUSED].b, 1);
	rig_audit(&r);
	/* 15: with memory there, the same value changes nothing. */
	assert_true(hog_intact(&r, &h));
	hog_release(&r, &h, UINT64_MAX);
	last = rig_stat(&r);
	res = rig_resize(pool, ANY, 13);
	assert_true(res.asked == 0 && res.done == 0);
	assert_pool(pool, ANY, 20, 20, 7);
	assert_delta(&r, &last, 0, 0, 0, 0);
	/* 16: up allocates nothing, down frees. */
	rig_resize(pool, ANY, 20);
	assert_pool(pool, ANY, 20, 20, 0);
	assert_delta(&r, &last, 0, 0, 0, 0);
	res = rig_resize(pool, ANY, 13);
	assert_true(res.done == 7 && res.refused == 0);
	assert_pool(pool, ANY, 13, 13, 0);
	assert_delta(&r, &last, 0, 49, 0, 7 * 505);
	rig_audit(&r);
	rig_close(&r);
}

static void surplus(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 256);
	struct hvo_machine_stat last = { .size = sizeof(last) };
	struct hvo_pool *pool;
	hvo_pfn_t pfn[6];
	struct rig r;
	int i;
	int64_t tails = mode == HVO_LINUX ? 7 : 0;

	rig_open(&r, RIG_SIM, &cfg);
	pool = pool_new(&r, 9, NULL);
	rig_resize(pool, ANY, 6);
	for (i = 0; i < 6; i++)
		pfn[i] = rig_take(pool, ANY);
	/* 20: no surplus: it stays, and nothing is restored. */
	last = rig_stat(&r);
	assert_int_equal(hvo_pool_free(pool, pfn[5]), 0);
	assert_delta(&r, &last, 0, 0, 0, 0);
	assert_pool(pool, ANY, 6, 1, 0);
	pfn[5] = rig_take(pool, ANY);
	/* 19: below what is in use. */
	rig_resize(pool, ANY, 2);
	assert_pool(pool, ANY, 6, 0, 4);
	rig_audit(&r);
	/* 21: what is given back leaves at once, while there is surplus. */
	last = rig_stat(&r);
	for (i = 0; i < 6; i++) {
		assert_int_equal(hvo_pool_free(pool, pfn[i]), 0);
		assert_pool(pool, ANY, i < 4 ? 5 - (uint64_t)i : 2, i < 4 ? 0 : (uint64_t)i - 3,
			    i < 4 ? 3 - (uint64_t)i : 0);
		assert_int_equal(rig_pool(pool, ANY).deferred, mode == HVO_LINUX && i < 4);
		rig_audit(&r);
		/* Nobody waited for its descriptors; now they are restored. */
		assert_int_equal(hvo_work(r.m, UINT64_MAX, NULL), mode == HVO_LINUX && i < 4);
		assert_int_equal(rig_pool(pool, ANY).deferred, 0);
		assert_delta(&r, &last, 0, i < 4 ? tails : 0, 0, i < 4 ? 512 - tails : 0);
		rig_audit(&r);
	}
	rig_resize(pool, ANY, 0);
	rig_audit(&r);
	rig_close(&r);
}

static void test_surplus_19_20_21(void **state)
{
	(void)state;
	surplus(HVO_ON_DEMAND);
	surplus(HVO_LINUX);
}

/* 23: the last reference on a surplus page whose descriptors cannot be had. */
static void test_surplus_refused(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	struct hvo_pool *pool;
	struct hog h = { 0 };
	struct rig r;
	hvo_pfn_t pfn;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	pool = pool_new(&r, 9, NULL);
	rig_resize(pool, ANY, 1);
	pfn = rig_take(pool, ANY);
	rig_resize(pool, ANY, 0);
	hog_all(&r, &h, 0, false);
	assert_int_equal(hvo_pool_free(pool, pfn), 0);
	assert_pool(pool, ANY, 0, 0, 0);
	assert_int_equal(hvo_work(r.m, UINT64_MAX, NULL), 1);
	assert_pool(pool, ANY, 1, 1, 1);
	assert_int_equal(r.events[HVO_EVENT_FREE_REFUSED], 1);
	assert_int_equal(r.last_event[HVO_EVENT_FREE_REFUSED].c, HVO_REFUSED_NO_FRAMES);
	rig_audit(&r);
	hog_release(&r, &h, UINT64_MAX);
	rig_resize(pool, ANY, 1);
	rig_resize(pool, ANY, 0);
	assert_pool(pool, ANY, 0, 0, 0);
	rig_audit(&r);
	rig_close(&r);
}

/* ---- growing and shrinking -------------------------------------------------------------- */

static void resize(enum hvo_mode mode, unsigned int order)
{
	struct hvo_config cfg = rig_config(mode, order == 18 ? 4096 : 512);
	struct hvo_resize_result res = { .size = sizeof(res) };
	uint64_t most, before, i;
	struct hvo_pool *pool;
	struct rig r;

	cfg.nr_nodes = 2;
	rig_open(&r, RIG_SIM, &cfg);
	before = rig_free(&r);
	pool = pool_new(&r, order, NULL);
	res = rig_resize(pool, ANY, UINT64_MAX / 2);
	assert_int_equal(res.asked, UINT64_MAX / 2);
	most = res.done;
	assert_true(most >= 2 && most % 2 == 0);
	assert_pool(pool, ANY, most, most, 0);
	assert_pool(pool, 0, most / 2, most / 2, 0);
	rig_audit(&r);
	/* One node, then all in turn. */
	res = rig_resize(pool, 1, 0);
	assert_int_equal(res.done, most / 2);
	assert_pool(pool, 1, 0, 0, 0);
	assert_pool(pool, 0, most / 2, most / 2, 0);
	assert_int_equal(rig_resize(pool, 1, 1).done, 1);
	assert_pool(pool, 1, 1, 1, 0);
	rig_resize(pool, ANY, most);
	/* In Linux mode descriptors that came back may lie where a page was. */
	if (mode == HVO_ON_DEMAND || order > 9)
		assert_pool(pool, 1, most / 2, most / 2, 0);
	most = rig_pool(pool, ANY).total & ~UINT64_C(1);
	for (i = most; i-- > 0;) {
		uint64_t nr[2];

		rig_resize(pool, ANY, i);
		assert_pool(pool, ANY, i, i, 0);
		nr[0] = rig_pool(pool, 0).total;
		nr[1] = rig_pool(pool, 1).total;
		assert_true(nr[0] - nr[1] + 8 <= 16);
		if (most > 8 && i > 4)
			i -= i / 4;
	}
	assert_int_equal(hvo_pool_resize(pool, 2, 0, NULL), -HVO_EINVAL);
	assert_int_equal(hvo_pool_resize(pool, -2, 0, NULL), -HVO_EINVAL);
	assert_int_equal(hvo_pool_resize(NULL, 0, 0, NULL), -HVO_EINVAL);
	rig_audit(&r);
	/* Linux moved its descriptors; on-demand has everything back. */
	if (mode == HVO_ON_DEMAND)
		assert_int_equal(rig_free(&r), before);
	rig_close(&r);
}

static void test_resize(void **state)
{
	(void)state;
	resize(HVO_ON_DEMAND, 9);
	resize(HVO_ON_DEMAND, 12);
	resize(HVO_ON_DEMAND, 18);
	resize(HVO_LINUX, 9);
	resize(HVO_LINUX, 12);
	resize(HVO_LINUX, 18);
}

/* On-demand mode: with nothing free, nothing is refused. */
static void test_freeing_needs_no_memory(void **state)
{
	static const unsigned int orders[] = { 9, 12, 18 };
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 2048);
	struct hvo_pool *pool;
	struct hog h = { 0 };
	struct rig r;
	unsigned int i;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	for (i = 0; i < 3; i++) {
		uint64_t nr = orders[i] == 18 ? 1 : 20;

		pool = pool_new(&r, orders[i], NULL);
		assert_int_equal(rig_resize(pool, ANY, nr).done, nr);
		hog_all(&r, &h, 0, false);
		assert_int_equal(rig_resize(pool, ANY, 0).done, nr);
		assert_int_equal(rig_free(&r), nr << orders[i]);
		rig_audit(&r);
		hog_release(&r, &h, UINT64_MAX);
		hvo_collapse(r.m, UINT64_MAX, NULL);
	}
	rig_close(&r);
}

static void test_arguments(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	struct hvo_pool *pool = NULL, *other = NULL;
	struct hvo_pool_stat s = { .size = sizeof(s), .total = 77 };
	struct rig r;
	hvo_pfn_t pfn = 77, page;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_pool_create(r.m, 8, &pool), -HVO_EINVAL);
	assert_int_equal(hvo_pool_create(r.m, 19, &pool), -HVO_EINVAL);
	assert_null(hvo_pool_find(r.m, 9));
	pool = pool_new(&r, 9, NULL);
	assert_ptr_equal(hvo_pool_find(r.m, 9), pool);
	assert_int_equal(hvo_pool_create(r.m, 9, &other), -HVO_EBUSY);
	assert_int_equal(hvo_pool_create(r.m, 10, &other), 0);
	assert_int_equal(hvo_pool_create(r.m, 11, &other), 0);
	assert_int_equal(hvo_pool_create(r.m, 12, &other), 0);
	assert_int_equal(hvo_pool_create(r.m, 13, &other), -HVO_ENOSPC);
	assert_int_equal(hvo_pool_alloc(pool, 0, 0, &pfn), -HVO_ENOMEM);
	assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_ALL + 1, 0, &pfn), -HVO_EINVAL);
	assert_int_equal(hvo_pool_alloc(pool, 0, 1, &pfn), -HVO_EINVAL);
	assert_int_equal(hvo_pool_stat(pool, 1, &s), -HVO_EINVAL);
	assert_true(s.total == 77 && pfn == 77);
	rig_resize(pool, 0, 2);
	page = rig_take(pool, ANY);
	assert_int_equal(hvo_pool_free(other, page), -HVO_EINVAL);
	assert_int_equal(hvo_pool_free(pool, page + 1), -HVO_EINVAL);
	assert_int_equal(hvo_split_page(r.m, page, 0), -HVO_EINVAL);
	/* Mapped, and held twice. */
	assert_int_equal(hvo_map_page(r.m, page + 511), 0);
	assert_int_equal(hvo_pool_free(pool, page), -HVO_EBUSY);
	assert_int_equal(hvo_unmap_page(r.m, page), 0);
	assert_int_equal(hvo_get_page(r.m, page + 100, &pfn), 0);
	assert_int_equal(pfn, page);
	assert_int_equal(hvo_pool_free(pool, page), 0);
	assert_pool(pool, ANY, 2, 1, 0);
	assert_int_equal(hvo_put_page(r.m, page + 300), 0);
	assert_pool(pool, ANY, 2, 2, 0);
	assert_int_equal(hvo_pool_free(pool, page), -HVO_EINVAL);
	/* The newest first. */
	assert_int_equal(rig_take(pool, ANY), page);
	rig_audit(&r);
	rig_close(&r);
}

/* 41: pages reserved at boot never had frames for their tails, and count one frame each. */
static void boot_in(enum hvo_mode mode, bool optimize, uint64_t movable)
{
	struct hvo_config cfg = rig_config(mode, 2 * 5120);
	struct hvo_machine_stat plain = { .size = sizeof(plain) },
				booted = { .size = sizeof(booted) },
				last = { .size = sizeof(last) };
	bool early = mode == HVO_LINUX && optimize;
	struct hvo_pool *pool;
	struct rig r;
	hvo_pfn_t pfn;

	cfg.nr_nodes = 2;
	cfg.optimize = optimize;
	cfg.movable_bytes = movable;
	rig_open(&r, RIG_SIM, &cfg);
	plain = rig_stat(&r);
	rig_close(&r);
	cfg.boot_gigantic = 3;
	rig_open(&r, RIG_SIM, &cfg);
	booted = rig_stat(&r);
	pool = hvo_pool_find(r.m, 18);
	assert_non_null(pool);
	assert_pool(pool, ANY, 3, 3, 0);
	assert_true(rig_pool(pool, 0).total == 2 && rig_pool(pool, 1).total == 1);
	assert_int_equal(rig_pool(pool, ANY).optimized, mode == HVO_LINUX && !optimize ? 0 : 3);
	assert_int_equal(plain.memmap_boot - booted.memmap_boot, early ? 3 * 4095 : 0);
	assert_int_equal(booted.total_frames - plain.total_frames, early ? 3 * 4095 : 0);
	assert_int_equal(booted.memmap, plain.memmap);
	rig_audit(&r);
	pfn = rig_take(pool, ANY);
	rig_fill(&r, pfn, UINT64_C(1) << 18, 4);
	assert_true(rig_intact(&r, pfn, UINT64_C(1) << 18, 4));
	assert_int_equal(hvo_put_page(r.m, pfn), 0);
	/* 4: leaving, they are restored like any other. */
	last = rig_stat(&r);
	assert_int_equal(rig_resize(pool, ANY, 0).done, 3);
	assert_delta(&r, &last, 0, mode == HVO_LINUX && optimize ? 3 * 4095 : 0, 0,
		     (3 << 18) - (early ? 3 * 4095 : 0));
	rig_audit(&r);
	assert_int_equal(rig_resize(pool, ANY, 3).done, 3);
	rig_audit(&r);
	assert_int_equal(rig_resize(pool, ANY, 0).done, 3);
	rig_audit(&r);
	rig_close(&r);
}

static void test_boot_gigantic(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 3072);
	struct rig r;

	(void)state;
	boot_in(HVO_ON_DEMAND, true, 0);
	boot_in(HVO_LINUX, true, 0);
	boot_in(HVO_LINUX, false, 0);
	boot_in(HVO_LINUX, true, 1280 * MIB);
	/* More than fit: as many as do. */
	cfg.boot_gigantic = 7;
	rig_open(&r, RIG_SIM, &cfg);
	assert_pool(hvo_pool_find(r.m, 18), ANY, 2, 2, 0);
	rig_audit(&r);
	rig_close(&r);
	/* None does, by the size of the memory and by where ZONE_NORMAL ends. */
	cfg.movable_bytes = 2304 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	assert_pool(hvo_pool_find(r.m, 18), ANY, 0, 0, 0);
	rig_audit(&r);
	rig_close(&r);
	cfg.memory_bytes = 768 * MIB;
	cfg.movable_bytes = 0;
	rig_open(&r, RIG_SIM, &cfg);
	assert_pool(hvo_pool_find(r.m, 18), ANY, 0, 0, 0);
	rig_audit(&r);
	rig_close(&r);
}

/* ---- policies -------------------------------------------------------------------------------- */

struct pinch {
	struct rig r;
	struct hvo_pool *pool;
	struct hog h;
};

/* @nr pages in a pool, @left frames free, the rest taken and filled. */
static void pinch_open(struct pinch *p, const char *policy, unsigned int order, uint64_t nr,
		       uint64_t left, uint64_t reserve)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, order == 18 ? 2048 : 256);

	cfg.min_free_bytes = reserve * HVO_FRAME_SIZE;
	memset(p, 0, sizeof(*p));
	rig_open(&p->r, RIG_SIM, &cfg);
	p->pool = pool_new(&p->r, order, policy);
	assert_int_equal(rig_resize(p->pool, ANY, nr).done, nr);
	hog_all(&p->r, &p->h, left, order != 18);
}

static void pinch_close(struct pinch *p)
{
	rig_audit(&p->r);
	assert_true(hog_intact(&p->r, &p->h));
	hog_release(&p->r, &p->h, UINT64_MAX);
	rig_audit(&p->r);
	rig_close(&p->r);
}

static void all_refused(const char *policy, unsigned int order, uint64_t nr, uint64_t left,
			uint64_t reserve)
{
	struct hvo_resize_result res = { .size = sizeof(res) };
	struct hvo_machine_stat last = { .size = sizeof(last) };
	struct pinch p;

	pinch_open(&p, policy, order, nr, left, reserve);
	last = rig_stat(&p.r);
	res = rig_resize(p.pool, ANY, 0);
	if (res.done || res.refused != nr)
		fail_msg("%s, order %u: %llu freed", policy, order, (unsigned long long)res.done);
	assert_pool(p.pool, ANY, nr, nr, nr);
	assert_delta(&p.r, &last, 0, 0, 0, 0);
	pinch_close(&p);
}

static void test_policies_refuse(void **state)
{
	static const char *const plain[] = { "mayfail", "mayfail-node", "noretry", "atomic",
					     "oom" };
	unsigned int i;

	(void)state;
	for (i = 0; i < 5; i++) {
		all_refused(plain[i], 9, 30, 0, 1);
		all_refused(plain[i], 12, 3, 0, 1);
		all_refused(plain[i], 9, 5, 6, 1);
	}
	all_refused("mayfail", 18, 1, 4000, 1);
	/* The reserve is not for mayfail, and half of it for atomic. */
	all_refused("mayfail", 9, 5, 56, 50);
	all_refused("atomic", 9, 5, 31, 50);
}

/* With what one page needs above the watermark, all go: each gives 512 frames. */
static void test_policies_suffice(void **state)
{
	static const char *const names[] = { "mayfail", "mayfail-node", "noretry", "atomic",
					     "oom",	"retry",	"carve" };
	static const uint64_t left[] = { 57, 57, 57, 32, 57, 57, 57 };
	struct hvo_resize_result res = { .size = sizeof(res) };
	struct pinch p;
	unsigned int i;

	(void)state;
	for (i = 0; i < 7; i++) {
		pinch_open(&p, names[i], 9, 10, left[i], 50);
		res = rig_resize(p.pool, ANY, 0);
		if (res.done != 10 || res.refused || res.carved)
			fail_msg("%s: %llu freed", names[i], (unsigned long long)res.done);
		assert_pool(p.pool, ANY, 0, 0, 0);
		pinch_close(&p);
	}
}

/* One page gives its own 7 frames, and the other 505 serve 72 more. */
static void test_carve(void **state)
{
	struct hvo_resize_result res = { .size = sizeof(res) };
	struct hvo_machine_stat last = { .size = sizeof(last) };
	struct pinch p;
	unsigned int round;
	uint64_t left = 100;

	(void)state;
	pinch_open(&p, "carve", 9, left, 0, 1);
	for (round = 0; round < 3; round++) {
		uint64_t nr = round < 2 ? 10 : 73;

		last = rig_stat(&p.r);
		left -= nr;
		res = rig_resize(p.pool, ANY, left);
		assert_true(res.done == nr && res.refused == 0);
		assert_int_equal(res.carved, 1);
		assert_delta(&p.r, &last, 0, 7 * (int64_t)nr, 0, 505 * (int64_t)nr);
		/* Spoiled: that block is cut, and stays so. */
		assert_int_equal(rig_pool(p.pool, ANY).carved_total, round + 1);
		assert_int_equal(p.r.events[HVO_EVENT_CARVED], round + 1);
		rig_audit(&p.r);
		hog_all(&p.r, &p.h, 0, true);
	}
	assert_true(hog_intact(&p.r, &p.h));
	hog_release(&p.r, &p.h, UINT64_MAX);
	/* Everything is free, and of these blocks none is whole. */
	assert_true(rig_zone(&p.r, 0, HVO_ZONE_NORMAL).nr_cut >= 3);
	rig_audit(&p.r);
	pinch_close(&p);
}

static void test_carve_large(void **state)
{
	static const unsigned int orders[] = { 12, 18 };
	struct hvo_resize_result res = { .size = sizeof(res) };
	struct hvo_machine_stat last = { .size = sizeof(last) };
	struct pinch p;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		int64_t size = INT64_C(1) << orders[i], tails = size / 64 - 1;

		pinch_open(&p, "carve", orders[i], 1, 0, 1);
		last = rig_stat(&p.r);
		res = rig_resize(p.pool, ANY, 0);
		assert_true(res.done == 1 && res.carved == 1 && res.refused == 0);
		assert_delta(&p.r, &last, 0, tails, 0, size - tails);
		pinch_close(&p);
	}
}

/* retry: waits, for 100 ms of its own time, until somebody gives memory back. */
static void give_at_third(void *arg, uint64_t ns)
{
	struct pinch *p = arg;

	if (ns == UINT64_C(100000000) && p->r.sleeps == 3)
		hog_release(&p->r, &p->h, 64);
}

static void test_retry(void **state)
{
	struct hvo_resize_result res = { .size = sizeof(res) };
	struct pinch p;

	(void)state;
	pinch_open(&p, "retry", 9, 10, 0, 1);
	p.r.on_sleep = give_at_third;
	p.r.on_sleep_arg = &p;
	res = rig_resize(p.pool, ANY, 0);
	assert_true(res.done == 10 && res.refused == 0);
	assert_int_equal(p.r.sleeps, 3);
	p.r.on_sleep = NULL;
	pinch_close(&p);
}

static uint64_t oom_gives(void *arg, struct hvo_machine *m, unsigned int order)
{
	struct pinch *p = arg;
	uint64_t had = p->h.nr;

	(void)m;
	(void)order;
	hog_release(&p->r, &p->h, 64);
	return had - p->h.nr;
}

static void test_oom(void **state)
{
	struct hvo_resize_result res = { .size = sizeof(res) };
	struct pinch p;

	(void)state;
	pinch_open(&p, "mayfail", 9, 10, 0, 1);
	hvo_set_oom_notifier(p.r.m, oom_gives, &p);
	/* mayfail does not ask it. */
	res = rig_resize(p.pool, ANY, 9);
	assert_true(res.done == 0 && res.refused == 1);
	assert_int_equal(hvo_pool_set_policy(p.pool, hvo_policy_find("oom")), 0);
	res = rig_resize(p.pool, ANY, 0);
	/* And the one that was refused before. */
	assert_true(res.done == 10 && res.refused == 0);
	hvo_set_oom_notifier(p.r.m, NULL, NULL);
	pinch_close(&p);
}

/* Two attempts by the reserves, 3 ms apart, then carve. */
static void test_custom_policy(void **state)
{
	struct hvo_policy mine = { sizeof(mine),
				   "mine",
				   0,
				   2,
				   { { HVO_RESTORE_ALLOC, HVO_GFP_ATOMIC, 1, 3 },
				     { HVO_RESTORE_CARVE, 0, 0, 0 } } };
	struct hvo_policy bad = { .size = sizeof(bad) };
	struct hvo_resize_result res = { .size = sizeof(res) };
	struct pinch p;
	unsigned int i;

	(void)state;
	pinch_open(&p, NULL, 9, 10, 0, 1);
	assert_int_equal(hvo_pool_set_policy(p.pool, &mine), 0);
	memset(mine.name, 'x', sizeof(mine.name)); /* it was copied */
	res = rig_resize(p.pool, ANY, 0);
	assert_true(res.done == 10 && res.carved == 1);
	assert_int_equal(p.r.sleeps, 1);
	assert_int_equal(hvo_pool_set_policy(p.pool, &mine), -HVO_EINVAL);
	for (i = 0; hvo_policy_get(i); i++) {
		assert_ptr_equal(hvo_policy_find(hvo_policy_get(i)->name), hvo_policy_get(i));
		assert_int_equal(hvo_pool_set_policy(p.pool, hvo_policy_get(i)), 0);
	}
	assert_int_equal(i, 8);
	assert_null(hvo_policy_find("none"));
	assert_null(hvo_policy_find(NULL));
	assert_int_equal(hvo_pool_set_policy(p.pool, NULL), -HVO_EINVAL);
	bad = *hvo_policy_get(0);
	bad.nr_steps = 0;
	assert_int_equal(hvo_pool_set_policy(p.pool, &bad), -HVO_EINVAL);
	bad.nr_steps = HVO_POLICY_STEPS + 1;
	assert_int_equal(hvo_pool_set_policy(p.pool, &bad), -HVO_EINVAL);
	bad.nr_steps = 1;
	bad.steps[0].source = 4;
	assert_int_equal(hvo_pool_set_policy(p.pool, &bad), -HVO_EINVAL);
	bad.steps[0] = (struct hvo_restore_step){ HVO_RESTORE_ALLOC, HVO_GFP_USER, 0, 0 };
	assert_int_equal(hvo_pool_set_policy(p.pool, &bad), -HVO_EINVAL);
	pinch_close(&p);
}

/* Memory on the other node only. */
static void test_node_policies(void **state)
{
	static const char *const names[] = { "mayfail", "mayfail-node", "noretry" };
	struct hvo_config cfg = rig_config(HVO_LINUX, 512);
	struct hvo_resize_result res = { .size = sizeof(res) };
	struct hvo_pool *pool;
	unsigned int i;
	struct rig r;
	hvo_pfn_t pfn;

	(void)state;
	cfg.nr_nodes = 2;
	for (i = 0; i < 3; i++) {
		rig_open(&r, RIG_SIM, &cfg);
		pool = pool_new(&r, 9, names[i]);
		rig_resize(pool, 0, 10);
		while (!hvo_alloc_pages(r.m, GFP_HOG | HVO_GFP_THISNODE, 9, 0, &pfn))
			;
		while (!hvo_alloc_pages(r.m, GFP_HOG | HVO_GFP_THISNODE, 0, 0, &pfn))
			;
		/* One at a time: what the first one gives would serve the others. */
		res = rig_resize(pool, 0, 9);
		assert_int_equal(res.done, i == 0);
		assert_int_equal(res.refused, i != 0);
		rig_audit(&r);
		rig_close(&r);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fold_counters_1_2_3_4),
		cmocka_unit_test(test_switch_5_6),
		cmocka_unit_test(test_nothing_folds_32),
		cmocka_unit_test(test_refused_13_14_15_16),
		cmocka_unit_test(test_surplus_19_20_21),
		cmocka_unit_test(test_surplus_refused),
		cmocka_unit_test(test_resize),
		cmocka_unit_test(test_freeing_needs_no_memory),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_policies_refuse),
		cmocka_unit_test(test_policies_suffice),
		cmocka_unit_test(test_carve),
		cmocka_unit_test(test_carve_large),
		cmocka_unit_test(test_retry),
		cmocka_unit_test(test_boot_gigantic),
		cmocka_unit_test(test_oom),
		cmocka_unit_test(test_custom_policy),
		cmocka_unit_test(test_node_policies),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
