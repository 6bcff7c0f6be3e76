// SPDX-License-Identifier: MIT
/*
 * Frames that are about to fail: what is in them is somewhere else afterwards, with all its
 * contents, and the frame serves nobody again. Or nothing has changed.
 *
 * In Linux: tools/testing/selftests/mm/hugetlb-soft-offline.c.
 */
#include "harness.h"

#include <hvo/migrate.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/base.h"

#define ANY HVO_NODE_ANY

/* ---- an owner of blocks ------------------------------------------------------------------ */

/* One block that somebody holds and can move. */
struct holder {
	struct hvo_owner owner;
	uint32_t id;
	_Atomic hvo_pfn_t pfn, origin;
	unsigned int order;
	bool refuse;
};

static uint32_t on_isolate(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
			   unsigned int order)
{
	struct holder *h = owner->arg;

	(void)m;
	return !h->refuse && pfn == h->pfn && order == h->order;
}

static int on_move(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t dst, hvo_pfn_t src,
		   unsigned int order)
{
	struct holder *h = owner->arg;

	(void)m;
	(void)src;
	(void)order;
	h->pfn = dst;
	return 0;
}

static void hold(struct rig *r, struct holder *h, hvo_pfn_t pfn, unsigned int order)
{
	*h = (struct holder){ .pfn = pfn, .origin = pfn, .order = order };
	h->owner = (struct hvo_owner){
		sizeof(struct hvo_owner), on_isolate, on_move, rig_putback, NULL, h
	};
	assert_int_equal(hvo_owner_register(r->m, &h->owner, &h->id), 0);
	assert_int_equal(hvo_set_owner(r->m, pfn, h->id), 0);
	rig_fill(r, pfn, UINT64_C(1) << order, 7);
}

static void let_go(struct rig *r, struct holder *h)
{
	assert_true(rig_moved_intact(r, h->pfn, UINT64_C(1) << h->order, 7, h->origin));
	rig_put(r, h->pfn);
	assert_int_equal(hvo_owner_unregister(r->m, h->id), 0);
}

/* ---- what must be true ---------------------------------------------------------------------- */

static bool is_out(struct rig *r, hvo_pfn_t pfn)
{
	hvo_pfn_t pfns[1024];
	uint64_t nr = (uint64_t)hvo_poisoned(r->m, pfns, 1024), i;

	for (i = 0; i < nr; i++)
		if (pfns[i] == pfn)
			return true;
	return false;
}

/* Of all that can be had, nothing has it. */
static void expect_out(struct rig *r, hvo_pfn_t pfn)
{
	struct hog hog = { 0 };
	uint64_t i;

	assert_true(is_out(r, pfn));
	/* In a whole pageblock of descriptors there is none to say so. */
	if (!hvo_fold_byte(hvo_machine_memmap(r->m), pfn >> HVO_PAGEBLOCK_ORDER))
		assert_int_equal(rig_page(r, pfn)->state, HVO_PAGE_POISONED);
	rig_audit(r);
	hog_all(r, &hog, 0, false);
	for (i = 0; i < hog.nr; i++)
		assert_false(pfn >= hog.blocks[i].pfn &&
			     pfn < hog.blocks[i].pfn + (UINT64_C(1) << hog.blocks[i].order));
	hog_release(r, &hog, UINT64_MAX);
	hvo_collapse(r->m, UINT64_MAX, NULL);
	rig_audit(r);
}

/* Frames that are free, or that blocks which are cut for them have for themselves. */
static uint64_t balance(struct rig *r)
{
	struct hvo_machine_stat s = rig_stat(r);

	return s.free_frames + s.memmap + s.memmap_boot;
}

/* Refused, and there is no trace of it. */
static void expect_refused(struct rig *r, hvo_pfn_t pfn, int rc)
{
	struct hvo_zone_stat before[HVO_NR_ZONES], after;
	uint64_t nr = (uint64_t)hvo_poisoned(r->m, NULL, 0);
	int t;

	for (t = 0; t < HVO_NR_ZONES; t++)
		before[t] = rig_zone(r, 0, (enum hvo_zone_type)t);
	assert_int_equal(hvo_soft_offline(r->m, pfn), rc);
	for (t = 0; t < HVO_NR_ZONES; t++) {
		after = rig_zone(r, 0, (enum hvo_zone_type)t);
		assert_memory_equal(&before[t], &after, sizeof(after));
	}
	assert_int_equal(hvo_poisoned(r->m, NULL, 0), nr);
	assert_int_equal(r->events[HVO_EVENT_POISONED], nr);
	rig_audit(r);
}

/* ---- free ------------------------------------------------------------------------------------ */

static void free_frames(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	hvo_pfn_t small, pfn[3];
	uint64_t before;
	struct rig r;
	int i;

	rig_open(&r, RIG_SIM, &cfg);
	small = rig_alloc(&r, HVO_GFP_KERNEL, 0);
	pfn[0] = (small | 511) - 60; /* of a block that is cut */
	pfn[1] = 20 * 512;	     /* of a whole one: where its own descriptors would be */
	pfn[2] = 30 * 512 + 77;
	before = balance(&r);
	for (i = 0; i < 3; i++) {
		assert_int_equal(hvo_soft_offline(r.m, pfn[i]), 0);
		assert_int_equal(balance(&r), before - (unsigned int)i - 1);
		assert_int_equal(hvo_poisoned(r.m, NULL, 0), i + 1);
		expect_out(&r, pfn[i]);
		/* Once is enough. */
		assert_int_equal(hvo_soft_offline(r.m, pfn[i]), 0);
		assert_int_equal(balance(&r), before - (unsigned int)i - 1);
	}
	rig_put(&r, small);
	rig_audit(&r);
	rig_close(&r);
}
EACH_MODE(free_frames)

/* ---- in use ---------------------------------------------------------------------------------- */

static void used_block(enum hvo_mode mode, enum rig_platform platform, unsigned int order)
{
	struct hvo_config cfg = rig_config(mode, 256);
	uint64_t before, size = UINT64_C(1) << order;
	hvo_pfn_t pfn, bad;
	struct holder h;
	struct rig r;

	rig_open(&r, platform, &cfg);
	before = balance(&r);
	pfn = rig_alloc(&r, HVO_GFP_USER, order);
	bad = pfn + size * 2 / 3;
	rig_fill(&r, pfn, size, 9);
	/* Nobody could move it. */
	expect_refused(&r, bad, -HVO_EBUSY);
	assert_true(rig_intact(&r, pfn, size, 9));
	hold(&r, &h, pfn, order);
	h.refuse = true;
	expect_refused(&r, bad, -HVO_EBUSY);
	h.refuse = false;
	assert_int_equal(hvo_map_page(r.m, pfn), 0);
	assert_int_equal(hvo_soft_offline(r.m, bad), 0);
	assert_true(h.pfn != pfn);
	expect_out(&r, bad);
	assert_int_equal(hvo_unmap_page(r.m, h.pfn), 0);
	let_go(&r, &h);
	rig_audit(&r);
	assert_int_equal(balance(&r), before - 1);
	rig_close(&r);
}

static void used(enum hvo_mode mode)
{
	static const unsigned int orders[] = { 0, 3, 8, 9, 11 };
	unsigned int i;

	for (i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		used_block(mode, RIG_SIM, orders[i]);
		used_block(mode, RIG_LINUX, orders[i]);
	}
}
EACH_MODE(used)

/* There is no other place: it stays where it is. */
static void no_place(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	struct hog hog = { 0 };
	struct holder h;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	hold(&r, &h, rig_alloc(&r, HVO_GFP_USER, 9), 9);
	hog_all(&r, &hog, 0, false);
	expect_refused(&r, h.pfn + 5, -HVO_ENOMEM);
	assert_int_equal(h.pfn, h.origin);
	hog_release(&r, &hog, UINT64_MAX);
	assert_int_equal(hvo_soft_offline(r.m, h.pfn + 5), 0);
	expect_out(&r, h.origin + 5);
	let_go(&r, &h);
	rig_close(&r);
}
EACH_MODE(no_place)

/* ---- huge pages -------------------------------------------------------------------------------- */

static void huge_order(enum hvo_mode mode, unsigned int order)
{
	struct hvo_config cfg = rig_config(mode, 256);
	uint64_t size = UINT64_C(1) << order;
	struct hvo_pool_stat stat = { .size = sizeof(stat) };
	struct hvo_pool *pool;
	hvo_pfn_t pfn, free;
	struct holder h;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_pool_create(r.m, order, &pool), 0);
	assert_int_equal(rig_resize(pool, ANY, 4).done, 4);
	assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_KERNEL, ANY, &pfn), 0);
	rig_fill(&r, pfn, size, 9);
	expect_refused(&r, pfn + 3, -HVO_EBUSY);
	assert_int_equal(rig_pool(pool, ANY).total, 4);
	/* In use, it takes the place of a free one, and the pool has one less. */
	hold(&r, &h, pfn, order);
	assert_int_equal(hvo_soft_offline(r.m, pfn + 3), 0);
	stat = rig_pool(pool, ANY);
	assert_int_equal(stat.total, 3);
	assert_int_equal(stat.free, 2);
	assert_int_equal(stat.surplus + stat.poisoned, 0);
	expect_out(&r, pfn + 3);
	/* Where none is free, a new one joins before. */
	assert_int_equal(rig_resize(pool, ANY, 1).done, 2);
	pfn = h.pfn;
	assert_int_equal(hvo_soft_offline(r.m, pfn + size - 1), 0);
	assert_true(h.pfn != pfn);
	assert_int_equal(rig_pool(pool, ANY).total, 1);
	assert_int_equal(rig_pool(pool, ANY).free, 0);
	expect_out(&r, pfn + size - 1);
	/* A free one. */
	assert_int_equal(rig_resize(pool, ANY, 3).done, 2);
	assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_KERNEL, ANY, &free), 0);
	assert_int_equal(hvo_pool_free(pool, free), 0);
	assert_int_equal(hvo_soft_offline(r.m, free + size / 2), 0);
	assert_int_equal(rig_pool(pool, ANY).total, 2);
	expect_out(&r, free + size / 2);
	/* One that is promised: another takes its place. */
	assert_int_equal(hvo_pool_reserve(pool, ANY, 1), 0);
	assert_int_equal(hvo_pool_alloc_reserved(pool, HVO_GFP_KERNEL, ANY, &free), 0);
	assert_int_equal(hvo_pool_free_reserved(pool, free), 0);
	assert_int_equal(hvo_soft_offline(r.m, free), 0);
	assert_int_equal(rig_pool(pool, ANY).total, 2);
	assert_int_equal(rig_pool(pool, ANY).free, 1);
	expect_out(&r, free);
	assert_int_equal(hvo_pool_unreserve(pool, 1), 0);
	let_go(&r, &h);
	assert_int_equal(rig_resize(pool, ANY, 0).done, 2);
	rig_audit(&r);
	rig_close(&r);
}

static void huge(enum hvo_mode mode)
{
	huge_order(mode, 9);
	huge_order(mode, 12);
}
EACH_MODE(huge)

/* Its descriptors cannot be restored: the free page stays, and can be had. */
static void test_huge_refused(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 128);
	struct hog hog = { 0 };
	struct hvo_pool *pool;
	hvo_pfn_t pfn;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_pool_create(r.m, 9, &pool), 0);
	assert_int_equal(rig_resize(pool, ANY, 1).done, 1);
	assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_KERNEL, ANY, &pfn), 0);
	assert_int_equal(hvo_pool_free(pool, pfn), 0);
	hog_all(&r, &hog, 0, false);
	expect_refused(&r, pfn + 100, -HVO_ENOMEM);
	assert_int_equal(rig_pool(pool, ANY).free, 1);
	assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_KERNEL, ANY, &pfn), 0);
	assert_int_equal(hvo_pool_free(pool, pfn), 0);
	hog_release(&r, &hog, UINT64_MAX);
	assert_int_equal(hvo_soft_offline(r.m, pfn + 100), 0);
	assert_int_equal(rig_pool(pool, ANY).total, 0);
	expect_out(&r, pfn + 100);
	rig_close(&r);
}

/* ---- descriptors ---------------------------------------------------------------------------------- */

/* Every kind of frame that holds some: of its own block, of others, set aside at the start. */
static void descriptors(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	hvo_pfn_t split, small, pfn, end = 32768;
	unsigned int boot = 0, own = 0;
	struct hvo_pool *pool;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_pool_create(r.m, 9, &pool), 0);
	small = rig_alloc(&r, HVO_GFP_KERNEL, 0);
	split = rig_alloc(&r, HVO_GFP_KERNEL, 9);
	assert_int_equal(hvo_split_page(r.m, split, 3), 0);
	for (pfn = split; pfn < split + 512; pfn += 8)
		rig_mark(&r, pfn);
	for (pfn = 0; pfn < end; pfn++) {
		const struct hvo_page *page;
		unsigned int *of;

		/* What has whole blocks of them has none of its own to look at. */
		if (hvo_fold_byte(hvo_machine_memmap(r.m), pfn >> 9))
			continue;
		page = rig_page(&r, pfn);
		of = page->flags & HVO_PF_BOOT ? &boot : &own;
		if (page->state != HVO_PAGE_MEMMAP || *of == 20)
			continue;
		assert_int_equal(hvo_soft_offline(r.m, pfn), 0);
		++*of;
		expect_out(&r, pfn);
	}
	assert_true(boot > 0 || (mode == HVO_ON_DEMAND && rig_table(&r)));
	assert_true(mode == HVO_LINUX || own > 7);
	for (pfn = split; pfn < split + 512; pfn += 8) {
		rig_unmark(&r, pfn);
		rig_put(&r, pfn);
	}
	rig_put(&r, small);
	rig_audit(&r);
	rig_close(&r);
}
EACH_MODE(descriptors)

/* The same where they fill pageblocks. */
static void whole_descriptors(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 2048);
	uint64_t before;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	before = balance(&r);
	assert_true(hvo_fold_byte(hvo_machine_memmap(r.m), 0));
	assert_int_equal(hvo_soft_offline(r.m, 5), 0);
	expect_out(&r, 5);
	assert_int_equal(hvo_soft_offline(r.m, 511), 0);
	expect_out(&r, 511);
	assert_int_equal(hvo_poisoned(r.m, NULL, 0), 2);
	assert_int_equal(balance(&r), before - 2);
	rig_close(&r);
}

static void test_whole_descriptors(void **state)
{
	(void)state;
	whole_descriptors(HVO_ON_DEMAND);
}

/* No frame for them: refused, and they are where they were. */
static void descriptors_refused(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	struct hog hog = { 0 };
	hvo_pfn_t small;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	small = rig_alloc(&r, HVO_GFP_USER, 0);
	hog_all(&r, &hog, 0, false);
	expect_refused(&r, 0, -HVO_ENOMEM);
	if (mode == HVO_ON_DEMAND)
		expect_refused(&r, small & ~UINT64_C(511), -HVO_ENOMEM);
	hog_release(&r, &hog, UINT64_MAX);
	rig_put(&r, small);
	rig_close(&r);
}
EACH_MODE(descriptors_refused)

/* ---- what can fail ------------------------------------------------------------------------------------- */

/* What is in the frame. */
enum content { WHOLE, CUT, USED, USED_LARGE, HUGE_FREE, HUGE_USED, TAILS, NR_CONTENTS };

struct scene {
	struct rig r;
	struct hvo_pool *pool;
	struct holder h;
	hvo_pfn_t other, bad;
	bool held;
};

static void scene_open(struct scene *s, enum hvo_mode mode, enum content content)
{
	struct hvo_config cfg = rig_config(mode, 128);

	*s = (struct scene){ .held = false };
	rig_open(&s->r, RIG_SIM, &cfg);
	assert_int_equal(hvo_pool_create(s->r.m, 9, &s->pool), 0);
	s->other = rig_alloc(&s->r, HVO_GFP_USER, 0);
	s->bad = 25 * 512 + 3;
	if (content == CUT)
		s->bad = (s->other | 511) - 9;
	if (content == TAILS)
		s->bad = s->other & ~UINT64_C(511);
	if (content == HUGE_FREE || content == HUGE_USED) {
		assert_int_equal(rig_resize(s->pool, ANY, 1).done, 1);
		assert_int_equal(hvo_pool_alloc(s->pool, HVO_GFP_KERNEL, ANY, &s->bad), 0);
	}
	if (content == HUGE_FREE)
		assert_int_equal(hvo_pool_free(s->pool, s->bad), 0);
	if (content == USED || content == USED_LARGE)
		s->bad = rig_alloc(&s->r, HVO_GFP_USER, content == USED ? 2 : 10);
	s->held = content == USED || content == USED_LARGE || content == HUGE_USED;
	if (s->held)
		hold(&s->r, &s->h, s->bad,
		     content == USED	   ? 2 :
		     content == USED_LARGE ? 10 :
					     HVO_PAGEBLOCK_ORDER);
}

static void scene_close(struct scene *s)
{
	if (s->held)
		let_go(&s->r, &s->h);
	rig_put(&s->r, s->other);
	rig_resize(s->pool, ANY, 0);
	rig_audit(&s->r);
	rig_close(&s->r);
}

/* Each call that can fail, once and for good: refused without a trace, and done without it. */
static void each_failure(enum hvo_mode mode)
{
	uint64_t point, refused = 0;
	enum content content;
	struct scene s;
	bool failed;
	int i, rc;

	for (i = 0; i < 2 * NR_CONTENTS; i++) {
		content = (enum content)(i / 2);
		if (content == TAILS && mode == HVO_LINUX)
			continue;
		failed = true;
		for (point = 1; failed; point++) {
			scene_open(&s, mode, content);
			rig_arm(&s.r, point, i & 1);
			rc = hvo_soft_offline(s.r.m, s.bad);
			failed = rig_disarm(&s.r);
			rig_audit(&s.r);
			if (rc) {
				assert_true(failed && (rc == -HVO_ENOMEM || rc == -HVO_EBUSY));
				assert_false(is_out(&s.r, s.bad));
				assert_int_equal(hvo_poisoned(s.r.m, NULL, 0), 0);
				refused++;
				assert_int_equal(hvo_soft_offline(s.r.m, s.bad), 0);
			}
			expect_out(&s.r, s.bad);
			scene_close(&s);
			assert_true(point < 1000);
		}
	}
	assert_true(refused > 0);
}
EACH_MODE(each_failure)

/* ---- arguments, and too many of them ---------------------------------------------------------------------- */

static void test_arguments(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	struct hvo_failure_stat stat = { .size = sizeof(stat), .total = 77 };
	struct rig r;

	(void)state;
	cfg.hotplug_bytes = 128 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_soft_offline(r.m, 3 * HVO_SECTION_FRAMES), -HVO_EINVAL);
	assert_int_equal(hvo_soft_offline(r.m, HVO_PFN_NONE), -HVO_EINVAL);
	assert_int_equal(hvo_soft_offline(r.m, 2 * HVO_SECTION_FRAMES), -HVO_EINVAL);
	assert_int_equal(hvo_failure_stat(r.m, 1, &stat), -HVO_EINVAL);
	assert_int_equal(hvo_failure_stat(r.m, ANY, &stat), -HVO_EINVAL);
	assert_int_equal(hvo_failure_stat(r.m, 0, NULL), -HVO_EINVAL);
	assert_int_equal(stat.total, 77);
	/* Somebody else empties what is around it. */
	assert_int_equal(hvo_isolate_range(r.m, 50 * 512, 51 * 512), 0);
	expect_refused(&r, 50 * 512 + 9, -HVO_EBUSY);
	assert_int_equal(hvo_unisolate_range(r.m, 50 * 512, 51 * 512), 0);
	hvo_machine_abandon(r.m);
	assert_int_equal(hvo_soft_offline(r.m, 0), -HVO_ENODEV);
	assert_int_equal(hvo_failure_stat(r.m, 0, &stat), -HVO_ENODEV);
	r.m->abandoned = 0;
	rig_close(&r);
}

/* How failures ended, of each node; a frame that moved in time is none. */
static void test_failure_stat(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 512);
	struct hvo_failure_stat stat = { .size = sizeof(stat) };
	hvo_pfn_t pfn;
	struct rig r;

	(void)state;
	cfg.nr_nodes = 2;
	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_KERNEL | HVO_GFP_THISNODE, 0, 1, &pfn), 0);
	assert_int_equal(hvo_soft_offline(r.m, 100 * 512), 0);
	assert_int_equal(hvo_memory_failure(r.m, 100 * 512), 0);
	assert_int_equal(hvo_memory_failure(r.m, 101 * 512), 0);
	assert_int_equal(hvo_memory_failure(r.m, pfn), -HVO_EBUSY);
	assert_int_equal(hvo_memory_failure(r.m, pfn), -HVO_EBUSY);
	assert_int_equal(hvo_memory_failure(r.m, HVO_PFN_NONE), -HVO_EINVAL);
	assert_int_equal(hvo_failure_stat(r.m, 0, &stat), 0);
	assert_true(stat.total == 1 && stat.recovered == 1 && !stat.delayed && !stat.failed);
	assert_int_equal(hvo_failure_stat(r.m, 1, &stat), 0);
	assert_true(stat.total == 1 && stat.delayed == 1 && !stat.recovered && !stat.failed);
	/* In use, and recorded already. */
	assert_int_equal(hvo_soft_offline(r.m, pfn), 0);
	rig_put(&r, pfn);
	expect_out(&r, pfn);
	rig_close(&r);
}

/* ---- threads ------------------------------------------------------------------------------------------------ */

struct crowd {
	struct rig r;
	struct hvo_pool *pool;
	atomic_bool stop;
	atomic_uint wrong;
};

static void *allocate_and_free(void *arg)
{
	struct crowd *c = arg;
	hvo_pfn_t pfn[64];
	uint64_t random = 3;
	unsigned int i, nr;

	while (!c->stop) {
		for (nr = 0; nr < 64; nr++)
			if (hvo_alloc_pages(c->r.m, HVO_GFP_USER | HVO_GFP_NOWARN,
					    (unsigned int)(rig_random(&random) % 4), ANY, &pfn[nr]))
				break;
		for (i = 0; i < nr; i++)
			c->wrong += hvo_put_page(c->r.m, pfn[i]) != 0;
	}
	return NULL;
}

static void *grow_and_shrink(void *arg)
{
	struct crowd *c = arg;
	hvo_pfn_t pfn;

	while (!c->stop) {
		c->wrong += hvo_pool_resize(c->pool, ANY, 20, NULL) != 0;
		if (!hvo_pool_alloc(c->pool, HVO_GFP_KERNEL, ANY, &pfn))
			c->wrong += hvo_pool_free(c->pool, pfn) != 0;
		c->wrong += hvo_pool_resize(c->pool, ANY, 0, NULL) != 0;
		hvo_collapse(c->r.m, 8, NULL);
	}
	return NULL;
}

/* Whatever others do: what was taken out is never handed out again, and is refused or done. */
static void threads_crowded(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	hvo_pfn_t bad[200], pfn;
	unsigned int nr = 0, i, rest;
	struct hog hog = { 0 };
	uint64_t random = 11, b;
	pthread_t thread[2];
	struct crowd c = { .stop = false };

	rig_open(&c.r, RIG_LINUX, &cfg);
	c.r.quiet = true;
	assert_int_equal(hvo_pool_create(c.r.m, 9, &c.pool), 0);
	assert_int_equal(pthread_create(&thread[0], NULL, allocate_and_free, &c), 0);
	assert_int_equal(pthread_create(&thread[1], NULL, grow_and_shrink, &c), 0);
	for (i = 0; i < 200; i++) {
		int rc;

		pfn = rig_random(&random) % 32768;
		rc = hvo_soft_offline(c.r.m, pfn);
		if (!rc)
			bad[nr++] = pfn;
		else
			c.wrong += rc != -HVO_EBUSY && rc != -HVO_ENOMEM;
	}
	c.stop = true;
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(c.wrong, 0);
	assert_true(nr > 20);
	rig_audit(&c.r);
	hog_all(&c.r, &hog, 0, false);
	for (i = 0; i < nr; i++) {
		assert_true(is_out(&c.r, bad[i]));
		for (b = 0; b < hog.nr; b++) {
			rest = (unsigned int)(bad[i] - hog.blocks[b].pfn);
			assert_true(bad[i] < hog.blocks[b].pfn || rest >> hog.blocks[b].order);
		}
	}
	hog_release(&c.r, &hog, UINT64_MAX);
	rig_audit(&c.r);
	rig_close(&c.r);
}
EACH_MODE(threads_crowded)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_free_frames),
		cmocka_unit_test(test_used),
		cmocka_unit_test(test_no_place),
		cmocka_unit_test(test_huge),
		cmocka_unit_test(test_huge_refused),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_whole_descriptors),
		cmocka_unit_test(test_descriptors_refused),
		cmocka_unit_test(test_each_failure),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_failure_stat),
		cmocka_unit_test(test_threads_crowded),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
