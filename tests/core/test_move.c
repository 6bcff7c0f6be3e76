// SPDX-License-Identifier: MIT
/*
 * Moving frames of descriptors, isolating cut blocks, healing carved ones. What a move
 * must not change is compared byte by byte: descriptors of all that is in use.
 *
 * Locks: where a function of the core wants one, it is taken here; threads at the end.
 * In Linux: tools/testing/selftests/mm/migration.c.
 */
#include "crew.h"
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/carve.h"
#include "core/fold.h"
#include "core/frames.h"
#include "core/lock.h"
#include "core/memmap_move.h"
#include "core/page.h"
#include "core/zone_cut.h"

#define ANY HVO_NODE_ANY

#define EACH_PLATFORM(name)                   \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		name(RIG_SIM);                \
		name(RIG_LINUX);              \
	}

/* ---- what must not change --------------------------------------------------------- */

struct shot {
	hvo_pfn_t first;
	uint64_t nr;
	struct hvo_page pages[];
};

static struct shot *shot_take(struct rig *r, hvo_pfn_t first, uint64_t nr)
{
	struct shot *shot = malloc(sizeof(*shot) + nr * sizeof(struct hvo_page));
	uint64_t i;

	assert_non_null(shot);
	shot->first = first;
	shot->nr = nr;
	for (i = 0; i < nr; i++)
		shot->pages[i] = *rig_page(r, first + i);
	return shot;
}

static struct shot *shot_all(struct rig *r)
{
	return shot_take(r, 0, hvo_machine_memmap(r->m)->nr_frames);
}

/* All descriptors of what was in use are as they were, but those of two frames. */
static void shot_check(struct rig *r, struct shot *shot, hvo_pfn_t but, hvo_pfn_t and_but)
{
	uint64_t i, end, pfn;

	for (i = 0; i < shot->nr; i = end) {
		end = i + (UINT64_C(1) << shot->pages[i].order);
		/* The inside of a larger block. */
		if (!i && shot->pages[i].state == HVO_PAGE_TAIL)
			end = shot->nr;
		else
			assert_int_not_equal(shot->pages[i].state, HVO_PAGE_TAIL);
		if (shot->pages[i].state == HVO_PAGE_FREE)
			continue;
		for (pfn = shot->first + i; i < end && i < shot->nr; i++, pfn++)
			if (pfn != but && pfn != and_but &&
			    memcmp(&shot->pages[i], rig_page(r, pfn), sizeof(struct hvo_page)))
				fail_msg("descriptor of %#llx changed", (unsigned long long)pfn);
	}
	free(shot);
}

static hvo_pfn_t backing(struct rig *r, uint64_t page)
{
	return rig_backing(r, page);
}

/* A machine in which nothing but the audit says anything of moves. */
static void assert_same(struct rig *r, const struct hvo_machine_stat *was)
{
	struct hvo_machine_stat s = rig_stat(r);
	uint64_t cut = rig_tails(r) * (s.cuts - was->cuts);

	/* Cutting a block for the new frame takes some for that block's own descriptors. */
	assert_int_equal(s.memmap, was->memmap + cut);
	assert_int_equal(s.free_frames + cut, was->free_frames);
	assert_int_equal(s.memmap_boot, was->memmap_boot);
	assert_int_equal(s.total_frames, was->total_frames);
}

/* Move what backs a page of the array, and describes frames of one block; the new frame. */
/* @findings: blocks that the library has in its hands meanwhile. */
static hvo_pfn_t move_while(struct rig *r, uint64_t page, uint64_t findings)
{
	struct hvo_machine_stat was = rig_stat(r);
	struct shot *shot = shot_take(r, rig_group(r, page) / 8 * 512, 512);
	hvo_pfn_t old = backing(r, page), new;

	assert_int_equal(hvo_move_memmap(r->m, old), 0);
	new = backing(r, page);
	assert_int_not_equal(new, old);
	assert_int_not_equal(new, HVO_SHARED_TAIL);
	assert_int_equal(rig_page(r, new)->state, HVO_PAGE_MEMMAP);
	assert_int_equal(rig_page(r, new)->private_data[0], page);
	assert_int_not_equal(rig_page(r, old)->state, HVO_PAGE_MEMMAP);
	assert_int_equal(rig_stat(r).moved, was.moved + 1);
	assert_same(r, &was);
	shot_check(r, shot, old, new);
	assert_int_equal(rig_findings(r), findings);
	return new;
}

static hvo_pfn_t move(struct rig *r, uint64_t page)
{
	return move_while(r, page, 0);
}

/* An allocated block of 2 MiB, split; its tails are in frames from elsewhere. */
static hvo_pfn_t split_block(struct rig *r, unsigned int order)
{
	hvo_pfn_t pfn = rig_alloc(r, HVO_GFP_USER, 9);

	rig_fill(r, pfn, 512, order);
	assert_int_equal(hvo_split_page(r->m, pfn, order), 0);
	return pfn;
}

static void put_parts(struct rig *r, hvo_pfn_t pfn, hvo_pfn_t end, unsigned int order)
{
	for (; pfn < end; pfn += UINT64_C(1) << order)
		rig_put(r, pfn);
}

/* ---- moves ------------------------------------------------------------------------------ */

static void split_tails(enum rig_platform platform)
{
	static const unsigned int orders[] = { 0, 3, 8 };
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	unsigned int n, k, round;
	uint64_t memmap;
	hvo_pfn_t pfn, i;
	struct rig r;

	rig_open(&r, platform, &cfg);
	memmap = rig_stat(&r).memmap;
	for (n = 0; n < 3; n++) {
		pfn = split_block(&r, orders[n]);
		for (i = pfn; i < pfn + 512; i += UINT64_C(1) << orders[n])
			rig_mark(&r, i);
		for (round = 0; round < 2; round++)
			for (k = 0; k < 7; k++)
				move(&r, rig_tail_slot(&r, pfn >> 9) + k);
		for (i = pfn; i < pfn + 512; i += UINT64_C(1) << orders[n])
			rig_unmark(&r, i);
		assert_true(rig_intact(&r, pfn, 512, orders[n]));
		put_parts(&r, pfn, pfn + 512, orders[n]);
		rig_audit(&r);
		/* Free fragments and their lists move as well. */
		move(&r, rig_tail_slot(&r, pfn >> 9) + 3);
		hvo_collapse(r.m, UINT64_MAX, NULL);
		rig_audit(&r);
		assert_int_equal(rig_stat(&r).memmap, memmap);
	}
	rig_close(&r);
}
EACH_PLATFORM(split_tails)

static bool may_move(struct rig *r, uint64_t page)
{
	hvo_pfn_t pfn = backing(r, page);

	return pfn != HVO_SHARED_TAIL && !(rig_page(r, pfn)->flags & HVO_PF_BOOT);
}

/* What is described by a page of the array. */
enum kind { KIND_CUT, KIND_FREE, KIND_USED, KIND_HUGE_FREE, KIND_HUGE_USED, NR_KINDS };

static enum kind kind_of(struct rig *r, uint64_t block)
{
	const struct hvo_memmap *mm = hvo_machine_memmap(r->m);

	if (!(hvo_fold_byte(mm, block) & HVO_FOLD_ORDER))
		return KIND_CUT;
	switch (rig_page(r, hvo_page_head(mm, block << 9))->state) {
	case HVO_PAGE_FREE:
		return KIND_FREE;
	case HVO_PAGE_HUGETLB_FREE:
		return KIND_HUGE_FREE;
	case HVO_PAGE_HUGETLB_USED:
		return KIND_HUGE_USED;
	default:
		return KIND_USED;
	}
}

/* Moves pages @first to 7 of each block, if they may move; of what, is in kinds[]. */
static uint64_t move_all(struct rig *r, uint64_t first, bool home, uint64_t kinds[NR_KINDS])
{
	uint64_t nr = hvo_machine_memmap(r->m)->nr_frames >> 9, block, k, page, moved = 0;
	hvo_pfn_t new;

	memset(kinds, 0, NR_KINDS * sizeof(*kinds));
	for (block = 0; block < nr; block++) {
		for (k = first; k < 8; k++) {
			page = rig_slot(r, block * 8 + k);
			if (!may_move(r, page))
				continue;
			kinds[kind_of(r, block)]++;
			new = move(r, page);
			assert_int_equal(
				new == vmemmap_home(r->m, &r->m->nodes[0], (slot_t){ page }), home);
			moved++;
		}
	}
	return moved;
}

/* 2 MiB whose descriptors are not where they were at first. */
static hvo_pfn_t alloc_restored(struct rig *r)
{
	hvo_pfn_t others[128], pfn;
	unsigned int nr = 0;

	for (;;) {
		pfn = rig_alloc(r, HVO_GFP_KERNEL, 9);
		if (may_move(r, rig_tail_slot(r, pfn >> 9)))
			break;
		assert_true(nr < 128);
		others[nr++] = pfn;
	}
	while (nr)
		rig_put(r, others[--nr]);
	return pfn;
}

/* Linux mode: what was restored to frames from anywhere, in all that a block can be. */
static void restored(enum rig_platform platform)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	uint64_t kinds[NR_KINDS], i;
	hvo_pfn_t huge[2], used[2];
	struct hog h = { 0 };
	struct hvo_pool *pool;
	struct rig r;

	rig_open(&r, platform, &cfg);
	assert_int_equal(hvo_pool_create(r.m, 9, &pool), 0);
	rig_resize(pool, ANY, 8);
	/* With their first frames in use, restored descriptors go elsewhere. */
	hog_all(&r, &h, 0, true);
	assert_true(h.blocks[0].order > 9);
	rig_put(&r, h.blocks[0].pfn);
	h.blocks[0] = h.blocks[--h.nr];
	hvo_set_optimize(r.m, false);
	assert_int_equal(rig_resize(pool, ANY, 0).done, 8);
	assert_int_equal(rig_resize(pool, ANY, 4).done, 4);
	for (i = 0; i < 2; i++) {
		assert_int_equal(hvo_pool_alloc(pool, 0, ANY, &huge[i]), 0);
		rig_mark(&r, huge[i]);
		used[i] = alloc_restored(&r);
		rig_mark(&r, used[i]);
		rig_fill(&r, used[i], 512, 1);
	}
	rig_unmark(&r, used[1]);
	assert_int_equal(hvo_split_page(r.m, used[1], 2), 0);
	rig_audit(&r);
	assert_int_equal(move_all(&r, 1, false, kinds), 56);
	for (i = 0; i < NR_KINDS; i++)
		assert_true(kinds[i] > 0);
	assert_true(hog_intact(&r, &h));
	hog_release(&r, &h, UINT64_MAX);
	assert_int_equal(move_all(&r, 1, true, kinds), 56);
	/* With the 8 heads, which count as allocated since they were optimized. */
	assert_int_equal(move_all(&r, 0, false, kinds), 64);
	for (i = 0; i < 2; i++) {
		rig_unmark(&r, huge[i]);
		rig_put(&r, huge[i]);
		assert_true(rig_intact(&r, used[i], 512, 1));
	}
	rig_unmark(&r, used[0]);
	rig_put(&r, used[0]);
	put_parts(&r, used[1], used[1] + 512, 2);
	hvo_set_optimize(r.m, true);
	rig_resize(pool, ANY, 0);
	rig_audit(&r);
	rig_close(&r);
}
EACH_PLATFORM(restored)

/* ---- errors ------------------------------------------------------------------------------- */

static void refuse_while(struct rig *r, hvo_pfn_t pfn, int rc, uint64_t findings)
{
	struct hvo_machine_stat was = rig_stat(r);
	struct shot *shot = shot_all(r);

	assert_int_equal(hvo_move_memmap(r->m, pfn), rc);
	assert_int_equal(rig_stat(r).moved, was.moved);
	assert_same(r, &was);
	shot_check(r, shot, HVO_PFN_NONE, HVO_PFN_NONE);
	assert_int_equal(rig_findings(r), findings);
}

static void refuse(struct rig *r, hvo_pfn_t pfn, int rc)
{
	refuse_while(r, pfn, rc, 0);
}

static void test_not_movable(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	hvo_pfn_t pfn, small, own;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	pfn = split_block(&r, 0);
	small = rig_alloc(&r, HVO_GFP_KERNEL, 0);
	refuse(&r, hvo_machine_memmap(r.m)->nr_frames, -HVO_EINVAL);
	refuse(&r, UINT64_MAX, -HVO_EINVAL);
	/* Set aside at the start: a head page, and the tails of the block that it is in. */
	if (!rig_table(&r)) {
		refuse(&r, 0, -HVO_EINVAL);
		refuse(&r, 128, -HVO_EINVAL);
	}
	/* Of its own block, in use, free in a cut block, free in a whole one. */
	own = backing(&r, rig_tail_slot(&r, small >> 9));
	assert_int_equal(rig_page(&r, own)->state, HVO_PAGE_MEMMAP);
	refuse(&r, own, -HVO_EINVAL);
	refuse(&r, pfn, -HVO_EINVAL);
	rig_put(&r, pfn);
	refuse(&r, pfn, -HVO_EINVAL);
	refuse(&r, hvo_machine_memmap(r.m)->nr_frames - 1, -HVO_EINVAL);
	pfn = backing(&r, rig_tail_slot(&r, pfn >> 9));
	assert_int_equal(rig_page(&r, pfn)->state, HVO_PAGE_MEMMAP);
	hvo_machine_abandon(r.m);
	assert_int_equal(hvo_move_memmap(r.m, pfn), -HVO_ENODEV);
	rig_close(&r);
}

/* A frame that fills a whole block of them has no descriptor. */
static void test_not_movable_whole(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 2048);
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_move_memmap(r.m, 0), -HVO_EINVAL);
	assert_int_equal(hvo_move_memmap(r.m, 100), -HVO_EINVAL);
	rig_audit(&r);
	rig_close(&r);
}

static void test_busy(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	uint64_t tails;
	pb_t pbs[8];
	hvo_pfn_t pfn, part = 0;
	struct zone *z;
	unsigned int k;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	pfn = split_block(&r, 0);
	/* Slot of the frames from pfn + 64 on. */
	tails = rig_slot(&r, (pfn >> 6) + 1);
	z = zone_of(r.m, pfn);
	/* On its way to a user: one page of descriptors; then one that has only tails of it. */
	put_parts(&r, pfn + 64, pfn + 128, 0);
	assert_int_equal(alloc_block(r.m, HVO_GFP_USER, 6, ANY, &part), 0);
	assert_int_equal(part, pfn + 64);
	refuse_while(&r, backing(&r, tails), -HVO_EBUSY, 1);
	move_while(&r, tails + 1, 1);
	free_block(r.m, part, 6);
	move(&r, tails);
	put_parts(&r, pfn + 128, pfn + 256, 0);
	assert_int_equal(alloc_block(r.m, HVO_GFP_USER, 7, ANY, &part), 0);
	assert_int_equal(part, pfn + 128);
	refuse_while(&r, backing(&r, tails + 1), -HVO_EBUSY, 1);
	refuse_while(&r, backing(&r, tails + 2), -HVO_EBUSY, 1);
	move_while(&r, tails + 3, 1);
	free_block(r.m, part, 7);
	move(&r, tails + 2);
	/* Frozen by who is about to split it. */
	assert_true(page_freeze(r.m, pfn + 300, 1));
	assert_false(page_freeze(r.m, pfn + 300, 1));
	refuse_while(&r, backing(&r, tails + 3), -HVO_EBUSY, 1);
	page_set_refs(page_rw(r.m, pfn + 300), 1);
	/* Being collapsed. */
	put_parts(&r, pfn, pfn + 64, 0);
	put_parts(&r, pfn + 256, pfn + 512, 0);
	lock_acquire(r.m, &z->lock);
	assert_int_equal(zone_take_collapsible(r.m, z, pbs, 8), 1);
	lock_release(r.m, &z->lock);
	assert_true(pb_same(pbs[0], pb_of(pfn)));
	for (k = 0; k < 7; k++)
		assert_int_equal(hvo_move_memmap(r.m, backing(&r, tails + k)), -HVO_EBUSY);
	lock_acquire(r.m, &z->lock);
	zone_put_collapsible(r.m, z, pbs[0]);
	lock_release(r.m, &z->lock);
	move(&r, tails);
	rig_close(&r);
}

static void test_no_memory(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	struct hog h = { 0 };
	hvo_pfn_t pfn;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	pfn = split_block(&r, 3);
	hog_all(&r, &h, 0, true);
	refuse(&r, backing(&r, rig_tail_slot(&r, pfn >> 9)), -HVO_ENOMEM);
	assert_true(hog_intact(&r, &h));
	hog_release(&r, &h, UINT64_MAX);
	move(&r, rig_tail_slot(&r, pfn >> 9));
	rig_close(&r);
}

/* Free blocks below 2 MiB. */
static uint64_t small_free(struct rig *r)
{
	struct hvo_zone_stat z = rig_zone(r, 0, HVO_ZONE_NORMAL);
	uint64_t nr = 0;
	unsigned int o;

	for (o = 0; o < 9; o++)
		nr += z.nr_free[o];
	return nr;
}

/* Each point that can fail, in turn, with a block to cut for the new frame and without. */
static void test_each_failure(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	struct hvo_machine_stat was = { .size = sizeof(was) };
	uint64_t fail_at, refused = 0;
	struct shot *shot;
	hvo_pfn_t pfn, frame;
	bool cut, failed;
	struct rig r;

	(void)state;
	for (cut = false;; cut = true) {
		rig_open(&r, RIG_SIM, &cfg);
		pfn = split_block(&r, 1);
		if (cut)
			/* Nothing is left in a cut block that could serve. */
			while (small_free(&r))
				rig_alloc(&r, HVO_GFP_KERNEL, 0);
		frame = backing(&r, rig_tail_slot(&r, pfn >> 9) + 2);
		refused = 0;
		for (fail_at = 1;; fail_at++) {
			was = rig_stat(&r);
			shot = shot_all(&r);
			rig_arm(&r, fail_at, true);
			if (!hvo_move_memmap(r.m, frame)) {
				failed = rig_disarm(&r);
				free(shot);
				break;
			}
			assert_true(rig_disarm(&r));
			assert_int_equal(backing(&r, rig_tail_slot(&r, pfn >> 9) + 2), frame);
			assert_int_equal(rig_stat(&r).moved, 0);
			assert_same(&r, &was);
			shot_check(&r, shot, HVO_PFN_NONE, HVO_PFN_NONE);
			rig_audit(&r);
			refused++;
		}
		/* populate() and remap(); before them those of the cut, which stays cut then. */
		assert_false(failed);
		assert_int_equal(refused, (cut ? 3 : 2) - (rig_table(&r) ? 1 : 0));
		rig_audit(&r);
		rig_close(&r);
		if (cut)
			break;
	}
}

/* ---- counts and words --------------------------------------------------------------------- */

static void test_private(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	uint64_t word = 42;
	struct rig r;
	hvo_pfn_t pfn;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	pfn = rig_alloc(&r, HVO_GFP_KERNEL, 10);
	/* Of the block, through any frame of it. */
	assert_int_equal(hvo_page_set_private(r.m, pfn + 700, 4, 7), 0);
	assert_int_equal(hvo_page_private(r.m, pfn + 1023, 4, &word), 0);
	assert_int_equal(word, 7);
	assert_int_equal(hvo_page_private(r.m, pfn, 3, &word), 0);
	assert_int_equal(word, 0);
	word = 42;
	assert_int_equal(hvo_page_set_private(r.m, pfn, 5, 7), -HVO_EINVAL);
	assert_int_equal(hvo_page_private(r.m, pfn, 5, &word), -HVO_EINVAL);
	assert_int_equal(hvo_page_private(r.m, pfn, 0, NULL), -HVO_EINVAL);
	assert_int_equal(hvo_page_set_private(r.m, UINT64_MAX, 0, 7), -HVO_EINVAL);
	assert_int_equal(hvo_page_private(r.m, UINT64_MAX, 0, &word), -HVO_EINVAL);
	rig_put(&r, pfn);
	assert_int_equal(hvo_page_set_private(r.m, pfn, 0, 7), -HVO_EINVAL);
	assert_int_equal(hvo_page_private(r.m, pfn, 0, &word), -HVO_EINVAL);
	assert_int_equal(word, 42);
	rig_audit(&r);
	hvo_machine_abandon(r.m);
	assert_int_equal(hvo_page_set_private(r.m, pfn, 0, 7), -HVO_ENODEV);
	assert_int_equal(hvo_page_private(r.m, pfn, 0, &word), -HVO_ENODEV);
	rig_close(&r);
}

/* The top bit is the mover's: counts end below it. */
static void test_count_limit(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	struct hvo_page *page;
	struct rig r;
	hvo_pfn_t pfn;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	pfn = rig_alloc(&r, HVO_GFP_KERNEL, 0);
	page = page_rw(r.m, pfn);
	page->refcount = HVO_HOLD - 2;
	assert_int_equal(hvo_get_page(r.m, pfn, NULL), 0);
	assert_int_equal(hvo_get_page(r.m, pfn, NULL), -HVO_EBUSY);
	assert_int_equal(page->refcount, HVO_HOLD - 1);
	page->mapcount = HVO_HOLD - 2;
	assert_int_equal(hvo_map_page(r.m, pfn), 0);
	assert_int_equal(hvo_map_page(r.m, pfn), -HVO_EINVAL);
	assert_int_equal(page->mapcount, HVO_HOLD - 1);
	page->refcount = 1;
	page->mapcount = 0;
	rig_put(&r, pfn);
	rig_audit(&r);
	rig_close(&r);
}

/* ---- in the middle of a move ------------------------------------------------------- */

/*
 * A second thread does one thing at a point of a move that the test chooses. The move goes
 * on when that thread waits, or is done.
 */
struct intruder {
	struct rig *r;
	const struct hvo_platform_ops *ops; /* the platform's own */
	int (*act)(struct hvo_machine *m, hvo_pfn_t pfn);
	hvo_pfn_t pfn;
	int rc;
	bool waits, done; /* atomic */
	pthread_t thread;
};

static struct intruder intruder;
static _Thread_local bool is_intruder;

static void intruder_sleeps(void *ctx, uint64_t ns)
{
	if (is_intruder)
		__atomic_store_n(&intruder.waits, true, __ATOMIC_RELEASE);
	intruder.ops->sleep_ns(ctx, ns);
}

static void intruder_waits(void *ctx, uint32_t *word, uint32_t value)
{
	if (is_intruder)
		__atomic_store_n(&intruder.waits, true, __ATOMIC_RELEASE);
	intruder.ops->lock_wait(ctx, word, value);
}

static void *intrude(void *arg)
{
	(void)arg;
	is_intruder = true;
	intruder.rc = intruder.act(intruder.r->m, intruder.pfn);
	__atomic_store_n(&intruder.done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void start_intruder(void)
{
	if (pthread_create(&intruder.thread, NULL, intrude, NULL))
		abort();
}

/* Copied, but not mapped yet: a change in the old frame now would be lost. */
static void copy_and_intrude(void *ctx, hvo_pfn_t dst, hvo_pfn_t src, uint64_t nr)
{
	intruder.ops->copy(ctx, dst, src, nr);
	start_intruder();
	while (!__atomic_load_n(&intruder.waits, __ATOMIC_ACQUIRE) &&
	       !__atomic_load_n(&intruder.done, __ATOMIC_ACQUIRE))
		sched_yield();
}

static int act_get(struct hvo_machine *m, hvo_pfn_t pfn)
{
	return hvo_get_page(m, pfn, NULL);
}

static int act_set_private(struct hvo_machine *m, hvo_pfn_t pfn)
{
	return hvo_page_set_private(m, pfn, 3, 4711);
}

static int act_private(struct hvo_machine *m, hvo_pfn_t pfn)
{
	uint64_t word = 0;
	int rc = hvo_page_private(m, pfn, 0, &word);

	return rc ? rc : (int)word;
}

static int act_split(struct hvo_machine *m, hvo_pfn_t pfn)
{
	return hvo_split_page(m, pfn, 2);
}

static int act_alloc(struct hvo_machine *m, hvo_pfn_t pfn)
{
	hvo_pfn_t got = 0;
	int rc = hvo_alloc_pages(m, HVO_GFP_USER, 0, ANY, &got);

	(void)pfn;
	return rc ? rc : hvo_put_page(m, got);
}

/* One move with somebody in the middle of it, who has to wait, and succeeds. */
static void move_against(struct rig *r, hvo_pfn_t described, hvo_pfn_t pfn,
			 int (*act)(struct hvo_machine *m, hvo_pfn_t pfn), int rc)
{
	uint64_t page = rig_slot(r, described >> 6);
	struct hvo_platform_ops ops = *r->m->ops;
	int moved;

	intruder = (struct intruder){ .r = r, .ops = r->m->ops, .act = act, .pfn = pfn };
	ops.copy = copy_and_intrude;
	ops.sleep_ns = intruder_sleeps;
	ops.lock_wait = intruder_waits;
	r->m->ops = &ops;
	moved = hvo_move_memmap(r->m, backing(r, page));
	assert_int_equal(pthread_join(intruder.thread, NULL), 0);
	r->m->ops = intruder.ops;
	assert_int_equal(moved, 0);
	assert_int_equal(intruder.rc, rc);
	assert_true(intruder.waits);
	rig_audit(r);
}

static void writers_wait(enum rig_platform platform)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	const struct hvo_page *page;
	uint64_t word = 0;
	hvo_pfn_t pfn;
	struct rig r;

	rig_open(&r, platform, &cfg);
	pfn = split_block(&r, 3) + 128;
	/* Blocks of order 3 that are free. */
	put_parts(&r, pfn + 16, pfn + 64, 3);
	assert_int_equal(hvo_page_set_private(r.m, pfn, 0, 8), 0);
	move_against(&r, pfn, pfn, act_get, 0);
	move_against(&r, pfn, pfn, hvo_map_page, 0);
	move_against(&r, pfn, pfn, hvo_map_page, 0);
	move_against(&r, pfn, pfn, hvo_unmap_page, 0);
	move_against(&r, pfn, pfn, act_set_private, 0);
	move_against(&r, pfn, pfn, act_private, 8);
	page = rig_page(&r, pfn);
	assert_int_equal(page->refcount, 2);
	assert_int_equal(page->mapcount, 1);
	assert_int_equal(hvo_page_private(r.m, pfn, 3, &word), 0);
	assert_int_equal(word, 4711);
	move_against(&r, pfn, pfn, hvo_put_page, 0);
	move_against(&r, pfn, pfn, hvo_put_page, -HVO_EBUSY);
	move_against(&r, pfn, pfn, hvo_unmap_page, 0);
	move_against(&r, pfn, pfn, act_split, 0);
	assert_int_equal(rig_page(&r, pfn + 4)->refcount, 1);
	/* The last reference, and an allocation: this one waits for the zone. */
	move_against(&r, pfn, pfn + 4, hvo_put_page, 0);
	assert_int_equal(rig_page(&r, pfn + 4)->state, HVO_PAGE_FREE);
	move_against(&r, pfn, pfn, act_alloc, 0);
	rig_close(&r);
}

static void test_threads_writers_wait(void **state)
{
	(void)state;
	writers_wait(RIG_SIM);
	writers_wait(RIG_LINUX);
}

/* A head in one page, tails in another one that moves: the head is held as well. */
static void test_threads_head_elsewhere(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	struct rig r;
	hvo_pfn_t pfn;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	pfn = split_block(&r, 8);
	move_against(&r, pfn + 256 + 192, pfn + 256, act_split, 0);
	assert_int_equal(rig_page(&r, pfn + 256 + 192)->refcount, 1);
	rig_close(&r);
}

/*
 * The other way round: whoever stores a word has looked where the descriptor is, and it
 * moves before the store, which goes to the old frame.
 */
static bool late_moved; /* atomic */

static void *late_translate(void *ctx, const void *addr, bool write)
{
	void *here = intruder.ops->translate(ctx, addr, write);
	static _Thread_local bool once;

	if (!is_intruder || !write || once)
		return here;
	once = true;
	__atomic_store_n(&intruder.waits, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&late_moved, __ATOMIC_ACQUIRE))
		sched_yield();
	return here;
}

static void late_flush(void *ctx)
{
	intruder.ops->flush(ctx);
	__atomic_store_n(&late_moved, true, __ATOMIC_RELEASE);
}

/* A table is not flushed; a move waits for readers when its word is there. */
static void late_quiesce(void *ctx)
{
	__atomic_store_n(&late_moved, true, __ATOMIC_RELEASE);
	intruder.ops->quiesce(ctx);
}

/* Until both are through the flush the move waits for readers, of which one is late. */
static void late(struct rig *r, hvo_pfn_t pfn, int (*act)(struct hvo_machine *m, hvo_pfn_t pfn))
{
	uint64_t page = rig_slot(r, pfn >> 6);
	struct hvo_platform_ops ops = *r->m->ops;
	void *(*translate)(void *ctx, const void *addr, bool write) = r->m->mm.translate;

	intruder = (struct intruder){ .r = r, .ops = r->m->ops, .act = act, .pfn = pfn };
	__atomic_store_n(&late_moved, false, __ATOMIC_RELEASE);
	if (rig_table(r))
		ops.quiesce = late_quiesce;
	else
		ops.flush = late_flush;
	r->m->ops = &ops;
	r->m->mm.translate = late_translate;
	start_intruder();
	while (!__atomic_load_n(&intruder.waits, __ATOMIC_ACQUIRE))
		sched_yield();
	assert_int_equal(hvo_move_memmap(r->m, backing(r, page)), 0);
	assert_int_equal(pthread_join(intruder.thread, NULL), 0);
	r->m->ops = intruder.ops;
	r->m->mm.translate = translate;
	assert_int_equal(intruder.rc, 0);
	rig_audit(r);
}

static void test_threads_late_writers(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	uint64_t word = 0;
	struct rig r;
	hvo_pfn_t pfn;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	pfn = split_block(&r, 3) + 128;
	late(&r, pfn, act_set_private);
	assert_int_equal(hvo_page_private(r.m, pfn, 3, &word), 0);
	assert_int_equal(word, 4711);
	late(&r, pfn, act_get);
	late(&r, pfn, hvo_map_page);
	assert_int_equal(rig_page(&r, pfn)->refcount, 2);
	assert_int_equal(rig_page(&r, pfn)->mapcount, 1);
	late(&r, pfn, hvo_unmap_page);
	late(&r, pfn, hvo_put_page);
	late(&r, pfn, hvo_put_page);
	assert_int_equal(rig_page(&r, pfn)->state, HVO_PAGE_FREE);
	rig_close(&r);
}

/* ---- isolation ------------------------------------------------------------------------------ */

static void isolate(struct rig *r, uint64_t block, bool on)
{
	pb_t pb = { block };
	struct zone *z = zone_of(r->m, pb_pfn(pb));

	lock_acquire(r->m, &z->lock);
	if (on)
		zone_isolate_pageblock(r->m, z, pb, ISOLATED_BY_LIBRARY);
	else
		zone_unisolate_pageblock(r->m, z, pb);
	lock_release(r->m, &z->lock);
	rig_audit(r);
}

static void isolation(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 256);
	struct hvo_zone_stat z = { .size = sizeof(z) };
	hvo_pfn_t pfn[3], other;
	uint64_t left, own;
	struct rig r;
	bool taken;

	rig_open(&r, RIG_SIM, &cfg);
	own = mode == HVO_ON_DEMAND ? rig_tails(&r) : 0;
	/* A block of its own for movable frames. */
	pfn[0] = rig_alloc(&r, HVO_GFP_USER, 0);
	pfn[1] = rig_alloc(&r, HVO_GFP_USER, 3);
	pfn[2] = rig_alloc(&r, HVO_GFP_USER, 8);
	assert_true(pfn[0] >> 9 == pfn[1] >> 9 && pfn[0] >> 9 == pfn[2] >> 9);
	left = rig_free(&r);
	isolate(&r, pfn[0] >> 9, true);
	assert_int_equal(rig_free(&r), left - (512 - own - 1 - 8 - 256));
	other = rig_alloc(&r, HVO_GFP_USER, 0);
	assert_int_not_equal(other >> 9, pfn[0] >> 9);
	rig_put(&r, other);
	left = rig_free(&r);
	rig_put(&r, pfn[1]);
	rig_put(&r, pfn[2]);
	rig_audit(&r);
	assert_int_equal(rig_free(&r), left);
	/* By name neither. */
	lock_acquire(r.m, &zone_of(r.m, pfn[1])->lock);
	taken = zone_take_range(r.m, zone_of(r.m, pfn[1]), pfn[1], 1);
	lock_release(r.m, &zone_of(r.m, pfn[1])->lock);
	assert_false(taken);
	isolate(&r, pfn[0] >> 9, false);
	assert_int_equal(rig_free(&r), left + 512 - own - 1);
	/* Emptied while it is isolated. */
	isolate(&r, pfn[0] >> 9, true);
	rig_put(&r, pfn[0]);
	rig_audit(&r);
	z = rig_zone(&r, 0, HVO_ZONE_NORMAL);
	isolate(&r, pfn[0] >> 9, false);
	assert_int_equal(rig_free(&r), left + 512 - own);
	if (mode == HVO_ON_DEMAND)
		assert_int_equal(rig_zone(&r, 0, HVO_ZONE_NORMAL).nr_collapsible,
				 z.nr_collapsible + 1);
	else
		assert_int_equal(rig_zone(&r, 0, HVO_ZONE_NORMAL).nr_cut, z.nr_cut - 1);
	hvo_collapse(r.m, UINT64_MAX, NULL);
	assert_int_equal(hvo_fold_byte(hvo_machine_memmap(r.m), pfn[0] >> 9) != 0, true);
	rig_audit(&r);
	rig_close(&r);
}

static void test_isolation(void **state)
{
	(void)state;
	isolation(HVO_ON_DEMAND);
	isolation(HVO_LINUX);
}

/* Putting back what is not isolated; isolating twice. */
static void isolate_wrongly(struct rig *r, bool twice)
{
	pb_t pb = pb_of(rig_alloc(r, HVO_GFP_KERNEL, 0));
	struct zone *z = zone_of(r->m, pb_pfn(pb));

	lock_acquire(r->m, &z->lock);
	if (twice) {
		zone_isolate_pageblock(r->m, z, pb, ISOLATED_BY_LIBRARY);
		zone_isolate_pageblock(r->m, z, pb, ISOLATED_BY_LIBRARY);
	}
	zone_unisolate_pageblock(r->m, z, pb);
}

static void test_isolation_panics(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	struct rig r[2];
	unsigned int n;

	(void)state;
	for (n = 0; n < 2; n++)
		rig_open(&r[n], RIG_SIM, &cfg);
	if (!rig_panics(&r[0])) {
		isolate_wrongly(&r[0], false);
		fail();
	}
	if (!rig_panics(&r[1])) {
		isolate_wrongly(&r[1], true);
		fail();
	}
	for (n = 0; n < 2; n++) {
		assert_memory_equal(r[n].panic_what, "ZONE-4", 6);
		rig_close(&r[n]);
	}
}

struct waiting {
	struct rig *r;
	uint64_t block;
};

static void unisolate_at_sleep(void *arg, uint64_t ns)
{
	struct waiting *w = arg;

	(void)ns;
	w->r->on_sleep = NULL;
	isolate(w->r, w->block, false);
}

/* Who may wait gets a frame of an isolated block once that is over; others fail at once. */
static void test_allocation_waits(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	struct hog h = { 0 };
	struct waiting w;
	hvo_pfn_t pfn;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	hog_all(&r, &h, 10, false);
	pfn = rig_alloc(&r, HVO_GFP_KERNEL, 0);
	isolate(&r, pfn >> 9, true);
	assert_int_equal(rig_free(&r), 0);
	assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_ATOMIC, 0, ANY, &pfn), -HVO_ENOMEM);
	assert_int_equal(alloc_block(r.m, HVO_GFP_KERNEL | HVO_GFP_NORETRY | GFP_ISOLATING, 0, ANY,
				     &pfn),
			 -HVO_ENOMEM);
	assert_int_equal(r.sleeps, 0);
	w = (struct waiting){ &r, pfn >> 9 };
	r.on_sleep = unisolate_at_sleep;
	r.on_sleep_arg = &w;
	assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_KERNEL, 0, ANY, &pfn), 0);
	assert_int_equal(r.sleeps, 1);
	hog_release(&r, &h, UINT64_MAX);
	rig_audit(&r);
	rig_close(&r);
}

/* ---- healing ------------------------------------------------------------- */

struct ward {
	struct rig r;
	struct hvo_pool *pool;
	struct hog h;
	uint64_t all; /* pages, with all of the memory in the pool */
	uint64_t cut; /* blocks, at the start */
};

/* @nr pages of a pool are freed in @rounds, each time with no memory left but their own. */
static void ward_open(struct ward *w, enum rig_platform platform, unsigned int order, uint64_t nr,
		      uint64_t rounds)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, order == 18 ? 2048 : 256);
	struct hvo_resize_result res = { .size = sizeof(res) };
	uint64_t i;

	memset(w, 0, sizeof(*w));
	rig_open(&w->r, platform, &cfg);
	w->cut = rig_zone(&w->r, 0, HVO_ZONE_NORMAL).nr_cut;
	assert_int_equal(hvo_pool_create(w->r.m, order, &w->pool), 0);
	w->all = rig_resize(w->pool, ANY, 10000).done;
	rig_resize(w->pool, ANY, nr);
	assert_int_equal(hvo_pool_set_policy(w->pool, hvo_policy_find("carve")), 0);
	for (i = 0; i < rounds; i++) {
		hog_all(&w->r, &w->h, 0, order < 18);
		res = rig_resize(w->pool, ANY, nr - nr / rounds * (i + 1));
		assert_true(res.done == nr / rounds && res.carved == 1);
		rig_audit(&w->r);
	}
}

static uint64_t heal(struct ward *w, uint64_t max)
{
	uint64_t moved;

	lock_acquire(w->r.m, &w->r.m->memmap_lock);
	moved = vmemmap_heal(w->r.m, max);
	lock_release(w->r.m, &w->r.m->memmap_lock);
	rig_audit(&w->r);
	return moved;
}

static uint64_t carved(struct ward *w)
{
	return rig_stat(&w->r).carved_blocks;
}

/* With everything free: nothing is spoiled any more, and the pool is as large as ever. */
static void ward_close(struct ward *w)
{
	struct hvo_zone_stat z = rig_zone(&w->r, 0, HVO_ZONE_NORMAL);
	unsigned int o;

	assert_int_equal(carved(w), 0);
	for (o = 0; o < 9; o++)
		assert_int_equal(z.nr_free[o], 0);
	assert_int_equal(z.nr_cut, w->cut);
	assert_int_equal(hvo_pool_set_policy(w->pool, hvo_policy_find("mayfail")), 0);
	assert_int_equal(rig_resize(w->pool, ANY, 10000).done, w->all);
	rig_audit(&w->r);
	assert_int_equal(rig_resize(w->pool, ANY, 0).done, w->all);
	rig_audit(&w->r);
	rig_close(&w->r);
}

static void ward_release(struct ward *w)
{
	assert_true(hog_intact(&w->r, &w->h));
	hog_release(&w->r, &w->h, UINT64_MAX);
	rig_audit(&w->r);
}

/* Two pages are carved, and the rest of both holds the descriptors of 118 others. */
#define WARD_PAGES 120u
#define WARD_FRAMES (7u * WARD_PAGES)

static void healing(enum rig_platform platform)
{
	uint64_t moved;
	struct ward w;

	ward_open(&w, platform, 9, WARD_PAGES, 2);
	assert_int_equal(carved(&w), 2);
	ward_release(&w);
	/* That alone heals nothing. */
	assert_int_equal(carved(&w), 2);
	assert_int_equal(rig_zone(&w.r, 0, HVO_ZONE_NORMAL).nr_cut, w.cut + 2);
	moved = rig_stat(&w.r).moved;
	assert_int_equal(heal(&w, 0), 0);
	assert_int_equal(heal(&w, 10), 10);
	assert_int_equal(carved(&w), 2);
	assert_int_equal(rig_stat(&w.r).moved, moved + 10);
	assert_int_equal(heal(&w, WARD_FRAMES / 2 - 10), WARD_FRAMES / 2 - 10);
	assert_int_equal(carved(&w), 1);
	assert_int_equal(w.r.events[HVO_EVENT_HEALED], 1);
	assert_int_equal(heal(&w, UINT64_MAX), WARD_FRAMES / 2);
	assert_int_equal(w.r.events[HVO_EVENT_HEALED], 2);
	assert_int_equal(heal(&w, UINT64_MAX), 0);
	ward_close(&w);
}
EACH_PLATFORM(healing)

/* First frames in use: what leaves a carved block goes anywhere, but into none of them. */
static void test_heal_elsewhere(void **state)
{
	struct ward w;

	(void)state;
	ward_open(&w, RIG_SIM, 9, WARD_PAGES, 2);
	hog_all(&w.r, &w.h, 0, true);
	while (rig_free(&w.r) <= WARD_FRAMES) {
		assert_true(w.h.blocks[0].order >= 9);
		rig_put(&w.r, w.h.blocks[0].pfn);
		w.h.blocks[0] = w.h.blocks[--w.h.nr];
	}
	assert_int_equal(heal(&w, UINT64_MAX), WARD_FRAMES);
	assert_int_equal(carved(&w), 0);
	ward_release(&w);
	rig_close(&w.r);
}

/* Without memory healing stops, and what it did stays. */
static void test_heal_short(void **state)
{
	uint64_t left, moved;
	struct ward w;

	(void)state;
	ward_open(&w, RIG_SIM, 9, WARD_PAGES, 2);
	hog_all(&w.r, &w.h, 0, true);
	assert_int_equal(heal(&w, UINT64_MAX), 0);
	assert_int_equal(carved(&w), 2);
	/* Some, whether of use or in a carved block itself. */
	hog_release(&w.r, &w.h, 10);
	left = rig_free(&w.r);
	assert_true(left >= 10);
	moved = heal(&w, UINT64_MAX);
	assert_true(moved < left);
	assert_int_equal(rig_free(&w.r), left);
	assert_int_equal(carved(&w), 2);
	/* Bit by bit more of it comes back. */
	while (w.h.nr) {
		hog_release(&w.r, &w.h, 4);
		moved += heal(&w, UINT64_MAX);
	}
	assert_int_equal(moved, WARD_FRAMES);
	assert_int_equal(carved(&w), 0);
	rig_close(&w.r);
}

/* Who has a frame in a carved block keeps it; healed it is when no descriptor is in it. */
static void test_heal_in_use(void **state)
{
	hvo_pfn_t pfn, got[400];
	unsigned int i, in_it = 0;
	struct ward w;

	(void)state;
	ward_open(&w, RIG_SIM, 9, 10, 1);
	assert_int_equal(carved(&w), 1);
	pfn = w.r.last_event[HVO_EVENT_CARVED].pfn;
	for (i = 0; i < 400; i++) {
		got[i] = rig_alloc(&w.r, HVO_GFP_KERNEL, 0);
		rig_fill(&w.r, got[i], 1, 5);
		in_it += got[i] >> 9 == pfn >> 9;
	}
	assert_true(in_it > 0);
	ward_release(&w);
	assert_true(heal(&w, UINT64_MAX) >= 7);
	assert_int_equal(carved(&w), 0);
	assert_int_equal(w.r.last_event[HVO_EVENT_HEALED].pfn, pfn);
	assert_int_equal(hvo_fold_byte(hvo_machine_memmap(w.r.m), pfn >> 9), 0);
	for (i = 0; i < 400; i++) {
		assert_true(rig_intact(&w.r, got[i], 1, 5));
		rig_put(&w.r, got[i]);
	}
	ward_close(&w);
}

/* By itself too a block gets rid of the mark: folded again, its descriptors leave it. */
static void test_heal_by_folding(void **state)
{
	struct ward w;

	(void)state;
	ward_open(&w, RIG_SIM, 9, 10, 1);
	ward_release(&w);
	assert_int_equal(carved(&w), 1);
	/* But for its own 7 frames: it is not free as a whole. */
	assert_int_equal(hvo_pool_set_policy(w.pool, hvo_policy_find("mayfail")), 0);
	rig_resize(w.pool, ANY, 10000);
	assert_int_equal(carved(&w), 1);
	rig_audit(&w.r);
	assert_int_equal(heal(&w, UINT64_MAX), 7);
	assert_int_equal(carved(&w), 0);
	rig_resize(w.pool, ANY, 0);
	ward_close(&w);
}

/* 1 GiB: 4095 frames in 8 blocks, head pages of the other blocks among them. */
static void test_heal_gigantic(void **state)
{
	struct ward w;

	(void)state;
	ward_open(&w, RIG_SIM, 18, 1, 1);
	assert_int_equal(carved(&w), 8);
	ward_release(&w);
	assert_int_equal(heal(&w, 1000), 1000);
	assert_int_equal(carved(&w), 7);
	assert_int_equal(heal(&w, UINT64_MAX), 3095);
	assert_int_equal(w.r.events[HVO_EVENT_HEALED], 8);
	ward_close(&w);
}

/* Each failure ends a healing; nothing stays isolated, and the next one goes on. */
static void test_heal_failures(void **state)
{
	uint64_t fail_at, moved = 0, points;
	struct ward w;

	(void)state;
	ward_open(&w, RIG_SIM, 9, WARD_PAGES, 2);
	ward_release(&w);
	/* Of a move: populate(), and remap() if there is a map. */
	points = rig_table(&w.r) ? 1 : 2;
	for (fail_at = 1; fail_at <= 20 * points; fail_at++) {
		uint64_t n;

		rig_arm(&w.r, fail_at, false);
		n = heal(&w, UINT64_MAX);
		assert_true(rig_disarm(&w.r));
		assert_int_equal(n, (fail_at - 1) / points);
		moved += n;
	}
	assert_int_equal(carved(&w), 2);
	assert_int_equal(heal(&w, UINT64_MAX), WARD_FRAMES - moved);
	ward_close(&w);
}

/* ---- threads ------------------------------------------------------------- */

#define WORKERS 3
#define FRAMES 1024
#define MOVES 300 /* at least, before the workers end */

struct scene {
	struct rig r;
	struct hvo_pool *pool;
	hvo_pfn_t pfn[FRAMES]; /* heads of blocks that stay */
	unsigned int nr;
	bool stop;	/* atomic */
	uint64_t moved; /* atomic */
	uint64_t errors;
};

struct worker {
	struct scene *s;
	uint64_t random, steps, errors;
	const char *what;
	unsigned int number;
	uint32_t refs[FRAMES], maps[FRAMES];
	uint64_t word[FRAMES];
};

static void must(struct worker *w, bool ok, const char *what)
{
	if (ok)
		return;
	if (!w->errors++)
		w->what = what;
}

/* Allocates and splits where descriptors are being moved. */
static void step_alloc(struct worker *w)
{
	struct hvo_machine *m = w->s->r.m;
	unsigned int order = 1 + (unsigned int)(rig_random(&w->random) % 3), i;
	hvo_pfn_t pfn = 0, huge = 0;
	int rc;

	rc = hvo_alloc_pages(m, HVO_GFP_USER, order, ANY, &pfn);
	must(w, !rc, "alloc");
	if (rc)
		return;
	must(w, !hvo_page_set_private(m, pfn, 4, pfn), "word of an allocated block");
	/* Nobody else takes references here. */
	must(w, !hvo_split_page(m, pfn, 0), "split");
	for (i = 0; i < 1u << order; i++)
		must(w, !hvo_put_page(m, pfn + i), "put of a part");
	if (!w->s->pool || hvo_pool_alloc(w->s->pool, 0, ANY, &huge))
		return;
	must(w, !hvo_page_set_private(m, huge, 4, huge), "word of a huge page");
	must(w, !hvo_put_page(m, huge), "put of a huge page");
}

/* One's own word, and a look at the descriptor as any reader does it. */
static void step_word(struct worker *w, unsigned int i)
{
	struct hvo_machine *m = w->s->r.m;
	const struct hvo_memmap *mm = hvo_machine_memmap(m);
	hvo_pfn_t pfn = w->s->pfn[i];
	uint64_t word = 0;

	must(w, !hvo_page_private(m, pfn, w->number, &word) && word == w->word[i], "word lost");
	w->word[i] = rig_random(&w->random);
	must(w, !hvo_page_set_private(m, pfn, w->number, w->word[i]), "word");
	hvo_read_lock(m);
	must(w, hvo_page_head(mm, pfn) == pfn, "head");
	must(w, hvo_page_refs(hvo_page_ro(mm, pfn)) > w->refs[i], "references seen by a reader");
	hvo_read_unlock(m);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct hvo_machine *m = w->s->r.m;
	uint64_t n;

	for (n = 0; n < w->steps || __atomic_load_n(&w->s->moved, __ATOMIC_RELAXED) < MOVES; n++) {
		uint64_t dice = rig_random(&w->random);
		unsigned int i = (unsigned int)(dice >> 8) % w->s->nr;
		hvo_pfn_t pfn = w->s->pfn[i];

		switch (dice % 8) {
		case 0:
		case 1:
			must(w, !hvo_get_page(m, pfn, NULL), "get");
			w->refs[i]++;
			break;
		case 2:
			if (w->refs[i]) {
				must(w, !hvo_put_page(m, pfn), "put");
				w->refs[i]--;
			}
			break;
		case 3:
			must(w, !hvo_map_page(m, pfn), "map");
			w->maps[i]++;
			break;
		case 4:
			if (w->maps[i]) {
				must(w, !hvo_unmap_page(m, pfn), "unmap");
				w->maps[i]--;
			}
			break;
		case 5:
			step_alloc(w);
			break;
		default:
			step_word(w, i);
		}
	}
	return NULL;
}

/* Moves what describes the blocks that stay, and some of what is around them, without end. */
static void *mover(void *arg)
{
	struct scene *s = arg;
	uint64_t seed = 7, page;
	hvo_pfn_t frame;
	int rc;

	while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
		page = s->pfn[rig_random(&seed) % s->nr] >> 9;
		page = rig_slot(&s->r, page * 8 + rig_random(&seed) % 8);
		frame = backing(&s->r, page);
		if (frame == HVO_SHARED_TAIL)
			continue;
		rc = hvo_move_memmap(s->r.m, frame);
		if (!rc)
			__atomic_fetch_add(&s->moved, 1, __ATOMIC_RELAXED);
		/* Head pages of on-demand mode never move. */
		s->errors += rc && rc != -HVO_EBUSY && rc != -HVO_EINVAL;
	}
	return NULL;
}

static void scene_on_demand(struct scene *s)
{
	static const unsigned int orders[] = { 0, 2, 7 };
	hvo_pfn_t pfn, i;
	unsigned int n;

	for (n = 0; n < 3; n++) {
		pfn = split_block(&s->r, orders[n]);
		for (i = pfn; i < pfn + 512; i += UINT64_C(1) << orders[n]) {
			/* Every other pair of frames is free, for who allocates there. */
			if (n < 2 && i & 4)
				rig_put(&s->r, i);
			else
				s->pfn[s->nr++] = i;
		}
	}
}

/* Present huge pages whose descriptors were restored to anywhere, in use and free. */
static void scene_linux_mode(struct scene *s)
{
	hvo_pfn_t pfn;
	unsigned int n;

	assert_int_equal(hvo_pool_create(s->r.m, 9, &s->pool), 0);
	rig_resize(s->pool, ANY, 100);
	rig_resize(s->pool, ANY, 0);
	hvo_set_optimize(s->r.m, false);
	rig_resize(s->pool, ANY, 20);
	for (n = 0; n < 16; n++) {
		assert_int_equal(hvo_pool_alloc(s->pool, 0, ANY, &pfn), 0);
		s->pfn[s->nr++] = pfn;
	}
	for (n = 0; n < 16; n++) {
		pfn = rig_alloc(&s->r, HVO_GFP_USER, n % 2 ? 9 : 5);
		s->pfn[s->nr++] = pfn;
	}
}

static void check_counts(struct scene *s, struct worker *w)
{
	unsigned int i, n;

	for (i = 0; i < s->nr; i++) {
		uint32_t refs = 1, maps = 0;

		for (n = 0; n < WORKERS; n++) {
			uint64_t word = 0;

			refs += w[n].refs[i];
			maps += w[n].maps[i];
			assert_int_equal(hvo_page_private(s->r.m, s->pfn[i], n, &word), 0);
			assert_int_equal(word, w[n].word[i]);
		}
		assert_int_equal(rig_page(&s->r, s->pfn[i])->refcount, refs);
		assert_int_equal(rig_page(&s->r, s->pfn[i])->mapcount, maps);
	}
}

static void together(enum rig_platform platform, enum hvo_mode mode, uint64_t steps)
{
	struct hvo_config cfg = rig_config(mode, 256);
	struct scene *s = calloc(1, sizeof(*s));
	struct worker *w = calloc(WORKERS, sizeof(*w));
	struct crew crew = { 0 };
	pthread_t moving;
	unsigned int n;

	assert_non_null(s);
	assert_non_null(w);
	rig_open(&s->r, platform, &cfg);
	s->r.quiet = true;
	if (mode == HVO_ON_DEMAND)
		scene_on_demand(s);
	else
		scene_linux_mode(s);
	for (n = 0; n < WORKERS; n++) {
		w[n].s = s;
		w[n].random = n;
		w[n].number = n;
		w[n].steps = steps;
		crew_add(&crew, work, &w[n]);
	}
	crew_go(&crew);
	assert_int_equal(pthread_create(&moving, NULL, mover, s), 0);
	crew_join(&crew);
	__atomic_store_n(&s->stop, true, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(moving, NULL), 0);
	for (n = 0; n < WORKERS; n++)
		if (w[n].errors)
			fail_msg("thread %u: %llu errors, the first: %s", n,
				 (unsigned long long)w[n].errors, w[n].what);
	assert_int_equal(s->errors, 0);
	assert_true(s->moved >= MOVES);
	check_counts(s, w);
	rig_audit(&s->r);
	rig_close(&s->r);
	free(s);
	free(w);
}

static void test_threads_on_demand(void **state)
{
	(void)state;
	together(RIG_LINUX, HVO_ON_DEMAND, 10000);
}

static void test_threads_linux_mode(void **state)
{
	(void)state;
	together(RIG_LINUX, HVO_LINUX, 10000);
}

static void test_threads_sim(void **state)
{
	(void)state;
	together(RIG_SIM, HVO_ON_DEMAND, 2000);
	together(RIG_SIM, HVO_LINUX, 2000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split_tails),
		cmocka_unit_test(test_restored),
		cmocka_unit_test(test_not_movable),
		cmocka_unit_test(test_not_movable_whole),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_each_failure),
		cmocka_unit_test(test_private),
		cmocka_unit_test(test_count_limit),
		cmocka_unit_test(test_threads_writers_wait),
		cmocka_unit_test(test_threads_head_elsewhere),
		cmocka_unit_test(test_threads_late_writers),
		cmocka_unit_test(test_isolation),
		cmocka_unit_test(test_isolation_panics),
		cmocka_unit_test(test_allocation_waits),
		cmocka_unit_test(test_healing),
		cmocka_unit_test(test_heal_elsewhere),
		cmocka_unit_test(test_heal_short),
		cmocka_unit_test(test_heal_in_use),
		cmocka_unit_test(test_heal_by_folding),
		cmocka_unit_test(test_heal_gigantic),
		cmocka_unit_test(test_heal_failures),
		cmocka_unit_test(test_threads_on_demand),
		cmocka_unit_test(test_threads_linux_mode),
		cmocka_unit_test(test_threads_sim),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
