// SPDX-License-Identifier: MIT
/*
 * Compaction: what is scattered moves together, in steps that are bounded and come to an end,
 * and an allocation that finds no large block does it by itself.
 *
 * In Linux: tools/testing/selftests/mm/compaction_test.c.
 */
#include "holder.h"

#include <hvo/migrate.h>

#include <stdlib.h>

#include "core/base.h"

#define ANY HVO_NODE_ANY

static uint64_t nr_large(struct rig *r, unsigned int order)
{
	struct hvo_zone_stat s = rig_zone(r, 0, HVO_ZONE_NORMAL);
	uint64_t nr = 0;
	unsigned int o;

	for (o = order; o <= HVO_MAX_ORDER; o++)
		nr += s.nr_free[o] << (o - order);
	return nr;
}

/* All of memory in use frame by frame, then all but one in @keep of them free. */
static void scatter(struct holder *h, unsigned int keep)
{
	struct rig *r = h->r;
	uint64_t random = 5;
	uint64_t i;
	hvo_pfn_t pfn;

	while (!hvo_alloc_pages(r->m, GFP_HOG, 0, ANY, &pfn))
		holder_hold(h, pfn, 0, HOLD_FILLED);
	for (i = 0; i < r->m->mm.nr_frames; i++)
		if (h->at[i] && rig_random(&random) % keep)
			holder_let_go(h, h->at[i] - 1);
	hvo_collapse(r->m, UINT64_MAX, NULL);
}

/* How many huge pages could there be, if all that is in use were together? */
static void together(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 256);
	uint64_t held, before, after, most;
	struct hvo_pool *pool;
	struct holder h;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_pool_create(r.m, 9, &pool), 0);
	holder_open(&h, &r, 0);
	scatter(&h, 10);
	held = holder_check(&h);
	before = nr_large(&r, 9);
	assert_in_range(before, 0, 4);
	assert_true(hvo_compact(r.m, ANY, 9, UINT64_MAX, NULL) > 0);
	rig_audit(&r);
	assert_int_equal(holder_check(&h), held);
	after = nr_large(&r, 9);
	most = rig_free(&r) / 512;
	print_message("%s: of %lu huge pages %lu were free, then %lu\n",
		      mode == HVO_LINUX ? "linux" : "on demand", (unsigned long)most,
		      (unsigned long)before, (unsigned long)after);
	assert_true(after + 3 >= most);
	/* Nothing more to be gained, however often. */
	hvo_compact(r.m, ANY, 9, UINT64_MAX, NULL);
	assert_int_equal(hvo_compact(r.m, ANY, 9, UINT64_MAX, NULL), 0);
	assert_int_equal(rig_resize(pool, ANY, after - 2).done, after - 2);
	rig_audit(&r);
	holder_close(&h);
	rig_audit(&r);
	rig_close(&r);
}
EACH_MODE(together)

/* Steps: never more than they may, and they come to the same end. */
static void steps(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	uint64_t total = 0, turns = 0;
	struct holder h;
	int64_t moved;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	holder_open(&h, &r, 0);
	scatter(&h, 6);
	assert_int_equal(hvo_compact(r.m, 0, 9, 0, NULL), 0);
	assert_int_equal(h.moved_frames, 0);
	do {
		moved = hvo_compact(r.m, 0, 9, 100, NULL);
		assert_in_range(moved, 0, 100);
		total += (uint64_t)moved;
		turns++;
		assert_true(turns < 1000);
	} while (moved == 100);
	rig_audit(&r);
	holder_check(&h);
	assert_true(turns > 5);
	/* Descriptors count, too. */
	assert_true(total >= h.moved_frames);
	assert_true(nr_large(&r, 9) + 4 >= rig_free(&r) / 512);
	holder_close(&h);
	rig_close(&r);
}
EACH_MODE(steps)

/* What cannot move stays, and memory around it becomes no huge page. */
static void unmovable(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	struct holder h;
	hvo_pfn_t pfn;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	holder_open(&h, &r, 0);
	scatter(&h, 6);
	for (pfn = 0; pfn < r.m->mm.nr_frames; pfn++)
		if (h.at[pfn])
			assert_int_equal(hvo_set_owner(r.m, pfn, 0), 0);
	assert_int_equal(hvo_compact(r.m, ANY, 9, UINT64_MAX, NULL), 0);
	assert_int_equal(h.moved_frames, 0);
	for (pfn = 0; pfn < r.m->mm.nr_frames; pfn++)
		if (h.at[pfn])
			assert_int_equal(hvo_set_owner(r.m, pfn, h.id), 0);
	rig_audit(&r);
	holder_close(&h);
	rig_close(&r);
}
EACH_MODE(unmovable)

/* Blocks of 2 MiB that are in use are in the way of a larger one. */
static void larger(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 512);
	uint64_t random = 9, before, after, turns = 0;
	struct holder h;
	int64_t moved;
	struct rig r;
	hvo_pfn_t pfn;

	rig_open(&r, RIG_SIM, &cfg);
	holder_open(&h, &r, 0);
	while (!hvo_alloc_pages(r.m, GFP_HOG, 9, ANY, &pfn))
		holder_hold(&h, pfn, 9, HOLD_FILLED);
	for (pfn = 0; pfn < r.m->mm.nr_frames; pfn += 512)
		if (h.at[pfn] && rig_random(&random) % 5)
			holder_let_go(&h, h.at[pfn] - 1);
	before = nr_large(&r, 13);
	/* Too little for one of them. */
	assert_int_equal(hvo_compact(r.m, ANY, 13, 511, NULL), 0);
	moved = hvo_compact(r.m, ANY, 13, 2000, NULL);
	assert_in_range(moved, 512, 2000);
	/* Short of the bound by less than the largest block may be; and they come to an end. */
	do {
		moved = hvo_compact(r.m, ANY, 13, 4200, NULL);
		assert_in_range(moved, 0, 4200);
		assert_true(++turns < 32);
	} while (moved > 4200 - 4096);
	assert_int_equal(hvo_compact(r.m, ANY, 13, UINT64_MAX, NULL), 0);
	after = nr_large(&r, 13);
	assert_true(after > before);
	rig_audit(&r);
	holder_close(&h);
	rig_audit(&r);
	rig_close(&r);
}
EACH_MODE(larger)

/* An allocation that may wait gets one by itself, one that may not does not. */
static void direct(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	hvo_pfn_t pfn = 0, got[8];
	struct hvo_machine_stat stat = { .size = sizeof(stat) };
	struct hvo_pool *pool;
	struct holder h;
	struct rig r;
	int i;

	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_pool_create(r.m, 9, &pool), 0);
	holder_open(&h, &r, 0);
	scatter(&h, 10);
	assert_int_equal(nr_large(&r, 9), 0);
	assert_int_equal(hvo_alloc_pages(r.m, GFP_HOG, 9, ANY, &pfn), -HVO_ENOMEM);
	assert_int_equal(h.moved_frames, 0);
	assert_int_equal(rig_stat(&r).compact_stalls, 0);
	for (i = 0; i < 8; i++)
		assert_int_equal(
			hvo_alloc_pages(r.m, HVO_GFP_USER | HVO_GFP_NOWARN, 9, ANY, &got[i]), 0);
	assert_true(h.moved_frames > 0);
	stat = rig_stat(&r);
	assert_in_range(stat.compact_successes, 1, 8);
	assert_in_range(stat.compact_stalls, stat.compact_successes, 8);
	/* Descriptors move, too. */
	assert_true(stat.compact_isolated >= h.moved_frames);
	assert_true(stat.compact_scanned >= stat.compact_isolated);
	rig_audit(&r);
	/* A pool that grows does, too. */
	assert_int_equal(rig_resize(pool, ANY, 8).done, 8);
	rig_audit(&r);
	holder_check(&h);
	for (i = 0; i < 8; i++)
		rig_put(&r, got[i]);
	holder_close(&h);
	rig_audit(&r);
	rig_close(&r);
}
EACH_MODE(direct)

static void test_arguments(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 128);
	struct rig r;

	(void)state;
	cfg.max_order = 10;
	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_compact(r.m, ANY, 8, 1, NULL), -HVO_EINVAL);
	assert_int_equal(hvo_compact(r.m, ANY, 11, 1, NULL), -HVO_EINVAL);
	assert_int_equal(hvo_compact(r.m, 1, 9, 1, NULL), -HVO_EINVAL);
	assert_int_equal(hvo_compact(r.m, -2, 9, 1, NULL), -HVO_EINVAL);
	assert_int_equal(hvo_compact(r.m, ANY, 10, UINT64_MAX, NULL), 0);
	rig_audit(&r);
	rig_close(&r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_together),  cmocka_unit_test(test_steps),
		cmocka_unit_test(test_unmovable), cmocka_unit_test(test_larger),
		cmocka_unit_test(test_direct),	  cmocka_unit_test(test_arguments),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
