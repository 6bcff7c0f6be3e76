// SPDX-License-Identifier: MIT
/*
 * Hot-plug where it meets the rest: descriptors of offline memory that move, what a failure
 * half-way through several sections leaves, frames of descriptors that fail, and the audit of
 * memory that is offline.
 */
#include "harness.h"

#include <hvo/contig.h>
#include <hvo/hotplug.h>

#include "core/page.h"

#define BOOT_MIB 512
#define FIRST (BOOT_MIB * MIB / HVO_FRAME_SIZE)
#define SECTION HVO_SECTION_FRAMES

static struct hvo_config config(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, BOOT_MIB);

	/* All of this is about memory that has descriptors as long as it is there. */
	cfg.layout = HVO_LAYOUT_VIRTUAL;
	cfg.hotplug_bytes = 384 * MIB;
	return cfg;
}

/* Descriptors of memory that is in no zone move like others. */
static void move_offline(enum hvo_mode mode)
{
	struct hvo_config cfg = config(mode);
	hvo_pfn_t frame, to;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_memory_add(r.m, 0, FIRST, FIRST + SECTION, 0), 0);
	frame = r.m->ops->backing(r.m->ctx, hvo_pageblock_head_page(pb_of(FIRST).nr));
	assert_int_equal(hvo_move_memmap(r.m, frame), 0);
	to = r.m->ops->backing(r.m->ctx, hvo_pageblock_head_page(pb_of(FIRST).nr));
	assert_int_not_equal(to, frame);
	rig_audit(&r);
	assert_int_equal(hvo_memory_online(r.m, FIRST, FIRST + SECTION, HVO_ZONE_NORMAL), 0);
	rig_audit(&r);
	assert_int_equal(hvo_memory_offline(r.m, FIRST, FIRST + SECTION), 0);
	assert_int_equal(hvo_memory_remove(r.m, FIRST, FIRST + SECTION), 0);
	rig_audit(&r);
	rig_close(&r);
}

static void test_move_offline(void **state)
{
	(void)state;
	move_offline(HVO_ON_DEMAND);
	move_offline(HVO_LINUX);
}

/* Descriptors of one section in another one: both can go at once. */
static void offline_together(enum hvo_mode mode)
{
	struct hvo_config cfg = config(mode);
	hvo_pfn_t end = FIRST + 2 * SECTION, frame;
	struct hog hog = { 0 };
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_memory_add(r.m, 0, FIRST, FIRST + SECTION, 0), 0);
	hog_all(&r, &hog, 0, false);
	assert_int_equal(hvo_memory_online(r.m, FIRST, FIRST + SECTION, HVO_ZONE_NORMAL), 0);
	assert_int_equal(hvo_memory_add(r.m, 0, FIRST + SECTION, end, 0), 0);
	frame = r.m->ops->backing(r.m->ctx, hvo_pageblock_head_page(pb_of(FIRST + SECTION).nr));
	assert_true(frame >= FIRST && frame < FIRST + SECTION);
	assert_int_equal(hvo_memory_online(r.m, FIRST + SECTION, end, HVO_ZONE_NORMAL), 0);
	hog_release(&r, &hog, UINT64_MAX);
	rig_audit(&r);
	assert_int_equal(hvo_memory_offline(r.m, FIRST, end), 0);
	rig_audit(&r);
	assert_int_equal(hvo_memory_remove(r.m, FIRST, end), 0);
	rig_audit(&r);
	rig_close(&r);
}

static void test_offline_together(void **state)
{
	(void)state;
	offline_together(HVO_ON_DEMAND);
	offline_together(HVO_LINUX);
}

/* Memory of CMA areas is promised to them: it stays, and nothing is moved. */
static void cma_stays(enum hvo_mode mode)
{
	struct hvo_config cfg = config(mode);
	const hvo_pfn_t start = FIRST - SECTION;
	struct hvo_cma *area;
	hvo_pfn_t pfn = 0;
	struct rig r;

	cfg.cma_bytes = 128 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_cma_create(r.m, 0, SECTION, &area), 0);
	assert_int_equal(hvo_memory_offline(r.m, start, FIRST), -HVO_EBUSY);
	assert_int_equal(hvo_section_state(r.m, start), HVO_SECTION_ONLINE);
	rig_audit(&r);
	assert_int_equal(hvo_cma_alloc(area, 100, 0, &pfn), 0);
	assert_int_equal(pfn, start);
	assert_int_equal(hvo_cma_release(area, pfn, 100), 0);
	rig_audit(&r);
	rig_close(&r);
}

static void test_cma_stays(void **state)
{
	(void)state;
	cma_stays(HVO_ON_DEMAND);
	cma_stays(HVO_LINUX);
}

/* A free huge page of a section leaves its pool. */
static void dissolve_in(struct rig *r, hvo_pfn_t start)
{
	hvo_pfn_t pfn = start;

	while (rig_page(r, pfn)->state != HVO_PAGE_HUGETLB_FREE)
		pfn += HVO_PAGEBLOCK_FRAMES;
	assert_true(pfn < start + SECTION);
	assert_int_equal(hvo_hugetlb_dissolve(r->m, pfn), 0);
}

/* Healing goes from one carved block to the next, past offline memory that hosts its own. */
static void test_heal_past_offline(void **state)
{
	struct hvo_config cfg = config(HVO_LINUX);
	hvo_pfn_t middle = FIRST, last = FIRST + SECTION;
	struct hog hog = { 0 };
	struct hvo_pool *pool;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	assert_int_equal(hvo_pool_set_policy(pool, hvo_policy_find("carve-heal")), 0);
	assert_int_equal(hvo_memory_add(r.m, 0, middle, last, HVO_MEMMAP_ON_MEMORY), 0);
	assert_int_equal(hvo_memory_add(r.m, 0, last, last + SECTION, 0), 0);
	assert_int_equal(hvo_memory_online(r.m, last, last + SECTION, HVO_ZONE_NORMAL), 0);
	rig_resize(pool, HVO_NODE_ANY, 1000);
	hog_all(&r, &hog, 0, false);
	dissolve_in(&r, SECTION);
	hog_all(&r, &hog, 0, false);
	dissolve_in(&r, last);
	assert_int_equal(rig_stat(&r).carved_blocks, 2);
	hog_release(&r, &hog, UINT64_MAX);
	hvo_work(r.m, UINT64_MAX, NULL);
	assert_int_equal(rig_stat(&r).carved_blocks, 0);
	rig_audit(&r);
	rig_close(&r);
}

/* A block that could not be cut around a frame that failed waits until it is online again. */
static void test_stuck_offline(void **state)
{
	struct hvo_config cfg = config(HVO_ON_DEMAND);
	hvo_pfn_t end = FIRST + SECTION;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_memory_add(r.m, 0, FIRST, end, 0), 0);
	assert_int_equal(hvo_memory_online(r.m, FIRST, end, HVO_ZONE_MOVABLE), 0);
	rig_arm(&r, 1, true);
	assert_int_equal(hvo_memory_failure(r.m, FIRST + 1000), -HVO_ENOMEM);
	assert_true(rig_disarm(&r));
	assert_int_equal(hvo_memory_offline(r.m, FIRST, end), 0);
	assert_int_equal(hvo_work(r.m, UINT64_MAX, NULL), 0);
	rig_audit(&r);
	assert_int_equal(hvo_memory_online(r.m, FIRST, end, HVO_ZONE_MOVABLE), 0);
	rig_audit(&r);
	assert_int_equal(hvo_work(r.m, UINT64_MAX, NULL), 1);
	assert_int_equal(hvo_memory_failure(r.m, FIRST + 1000), 0);
	rig_audit(&r);
	assert_int_equal(hvo_memory_offline(r.m, FIRST, end), 0);
	assert_int_equal(hvo_memory_remove(r.m, FIRST, end), 0);
	assert_int_equal(hvo_poisoned(r.m, NULL, 0), 0);
	rig_audit(&r);
	rig_close(&r);
}

static void expect_states(struct rig *r, enum hvo_section_state state)
{
	hvo_pfn_t pfn;

	for (pfn = FIRST; pfn < FIRST + 3 * SECTION; pfn += SECTION)
		assert_int_equal(hvo_section_state(r->m, pfn), state);
}

/* Each point of failure of adding and removing three sections: all of it or nothing. */
static void faults(enum hvo_mode mode, unsigned int flags, bool sticky)
{
	struct hvo_config cfg = config(mode);
	hvo_pfn_t end = FIRST + 3 * SECTION;
	uint64_t at, free;
	struct rig r;
	bool failed;
	int rc;

	rig_open(&r, RIG_SIM, &cfg);
	for (at = 1, failed = true; failed; at++) {
		free = rig_free(&r);
		rig_arm(&r, at, sticky);
		rc = hvo_memory_add(r.m, 0, FIRST, end, flags);
		failed = rig_disarm(&r);
		assert_true(!rc || (failed && rc == -HVO_ENOMEM));
		expect_states(&r, rc ? HVO_SECTION_ABSENT : HVO_SECTION_OFFLINE);
		rig_audit(&r);
		/* It may have made do without the block that could not be cut. */
		if (!rc && failed)
			assert_int_equal(hvo_memory_remove(r.m, FIRST, end), 0);
		if (failed) {
			hvo_collapse(r.m, UINT64_MAX, NULL);
			assert_int_equal(rig_free(&r), free);
		}
	}
	for (at = 1, failed = true; failed; at++) {
		rig_arm(&r, at, sticky);
		rc = hvo_memory_remove(r.m, FIRST, end);
		failed = rig_disarm(&r);
		assert_int_equal(rc, failed ? -HVO_ENOMEM : 0);
		expect_states(&r, failed ? HVO_SECTION_OFFLINE : HVO_SECTION_ABSENT);
		rig_audit(&r);
		if (!failed)
			break;
		/* As usable as before. */
		assert_int_equal(hvo_memory_online(r.m, FIRST, end, HVO_ZONE_MOVABLE), 0);
		rig_audit(&r);
		assert_int_equal(hvo_memory_offline(r.m, FIRST, end), 0);
		rig_audit(&r);
	}
	rig_close(&r);
}

static void test_faults_once(void **state)
{
	(void)state;
	faults(HVO_ON_DEMAND, 0, false);
	faults(HVO_ON_DEMAND, HVO_MEMMAP_ON_MEMORY, false);
	faults(HVO_LINUX, 0, false);
	faults(HVO_LINUX, HVO_MEMMAP_ON_MEMORY, false);
}

static void test_faults_sticky(void **state)
{
	(void)state;
	faults(HVO_ON_DEMAND, 0, true);
	faults(HVO_ON_DEMAND, HVO_MEMMAP_ON_MEMORY, true);
	faults(HVO_LINUX, 0, true);
	faults(HVO_LINUX, HVO_MEMMAP_ON_MEMORY, true);
}

/* ---- frames of descriptors that fail --------------------------------------------------------- */

static hvo_pfn_t backing(struct rig *r, uint64_t page)
{
	return r->m->ops->backing(r->m->ctx, page);
}

/* It is replaced at once; where the page is now. */
static hvo_pfn_t fail_backing(struct rig *r, uint64_t page)
{
	hvo_pfn_t old = backing(r, page);

	assert_int_equal(hvo_memory_failure(r->m, old), 0);
	assert_int_not_equal(backing(r, page), old);
	rig_audit(r);
	return backing(r, page);
}

static void expect_counts(struct rig *r, const struct hvo_machine_stat *was)
{
	struct hvo_machine_stat now = { .size = sizeof(now) };

	hvo_collapse(r->m, UINT64_MAX, NULL);
	now = rig_stat(r);
	assert_int_equal(now.memmap, was->memmap);
	assert_int_equal(now.memmap_boot, was->memmap_boot);
	assert_int_equal(now.total_frames, was->total_frames);
	assert_int_equal(now.free_frames, was->free_frames);
	assert_int_equal(now.poisoned, was->poisoned);
	rig_audit(r);
}

/*
 * Frames of a section that host its own descriptors, at its start, in the middle and at the
 * end of them. @inside: what replaces them lies in the section itself.
 */
static void self_hosted_fails(enum hvo_mode mode, bool inside)
{
	uint64_t head = hvo_pageblock_head_page(pb_of(FIRST).nr), pages[4], hosts, i;
	struct hvo_config cfg = config(mode);
	hvo_pfn_t end = FIRST + SECTION, frame;
	struct hvo_machine_stat empty = { .size = sizeof(empty) }, full = { .size = sizeof(full) };
	struct hog hog = { 0 };
	struct rig r;

	hosts = mode == HVO_LINUX ? 512 : 71;
	pages[0] = head;
	pages[1] = head + 63;
	pages[2] = hvo_pageblock_tail_page(pb_of(FIRST).nr);
	pages[3] = hvo_pageblock_tail_page(pb_of(FIRST).nr) + 6;
	rig_open(&r, RIG_SIM, &cfg);
	empty = rig_stat(&r);
	if (inside)
		hog_all(&r, &hog, 0, false);
	assert_int_equal(hvo_memory_add(r.m, 0, FIRST, end, HVO_MEMMAP_ON_MEMORY), 0);
	assert_int_equal(hvo_memory_online(r.m, FIRST, end, HVO_ZONE_NORMAL), 0);
	full = rig_stat(&r);
	full.free_frames = empty.free_frames + SECTION - hosts;
	for (i = 0; i < 4; i++) {
		frame = fail_backing(&r, pages[i]);
		assert_true(frame >= FIRST + hosts || frame < FIRST);
		assert_int_equal(frame >= FIRST, inside);
		assert_int_equal(rig_stat(&r).memmap_boot, full.memmap_boot - i - 1);
		assert_int_equal(rig_stat(&r).total_frames, full.total_frames + i + 1);
	}
	hog_release(&r, &hog, UINT64_MAX);
	for (i = 0; i < 2; i++) {
		assert_int_equal(hvo_memory_offline(r.m, FIRST, end), 0);
		rig_audit(&r);
		assert_int_equal(rig_stat(&r).total_frames, empty.total_frames);
		assert_int_equal(rig_stat(&r).memmap_boot, empty.memmap_boot);
		assert_true(backing(&r, pages[0]) < FIRST);
		if (i)
			break;
		assert_int_equal(hvo_memory_online(r.m, FIRST, end, HVO_ZONE_MOVABLE), 0);
		assert_int_equal(rig_stat(&r).total_frames, full.total_frames + 4);
		rig_audit(&r);
	}
	/* The frames go with the memory that they are in; what replaced them is free. */
	assert_int_equal(hvo_memory_remove(r.m, FIRST, end), 0);
	expect_counts(&r, &empty);
	assert_int_equal(hvo_memory_add(r.m, 0, FIRST, end, HVO_MEMMAP_ON_MEMORY), 0);
	assert_int_equal(backing(&r, pages[0]), FIRST);
	assert_int_equal(hvo_memory_online(r.m, FIRST, end, HVO_ZONE_NORMAL), 0);
	expect_counts(&r, &full);
	rig_close(&r);
}

static void test_self_hosted_fails(void **state)
{
	(void)state;
	self_hosted_fails(HVO_ON_DEMAND, false);
	self_hosted_fails(HVO_ON_DEMAND, true);
	self_hosted_fails(HVO_LINUX, false);
	self_hosted_fails(HVO_LINUX, true);
}

/* The same where each call on the way fails once. */
static void self_hosted_faults(enum hvo_mode mode)
{
	uint64_t page = hvo_pageblock_head_page(pb_of(FIRST).nr) + 3, at;
	struct hvo_config cfg = config(mode);
	hvo_pfn_t end = FIRST + SECTION;
	struct hvo_machine_stat empty = { .size = sizeof(empty) };
	bool failed = true;
	struct rig r;
	int rc;

	for (at = 1; failed; at++) {
		rig_open(&r, RIG_SIM, &cfg);
		empty = rig_stat(&r);
		assert_int_equal(hvo_memory_add(r.m, 0, FIRST, end, HVO_MEMMAP_ON_MEMORY), 0);
		assert_int_equal(hvo_memory_online(r.m, FIRST, end, HVO_ZONE_MOVABLE), 0);
		rig_arm(&r, at, true);
		rc = hvo_memory_failure(r.m, FIRST + 3);
		failed = rig_disarm(&r);
		assert_int_equal(rc, failed ? -HVO_EBUSY : 0);
		assert_int_equal(backing(&r, page) == FIRST + 3, failed);
		rig_audit(&r);
		/* Offline it stays as it is, with the page in it. */
		assert_int_equal(hvo_memory_offline(r.m, FIRST, end), 0);
		assert_int_equal(hvo_work(r.m, UINT64_MAX, NULL), 0);
		rig_audit(&r);
		assert_int_equal(hvo_memory_online(r.m, FIRST, end, HVO_ZONE_NORMAL), 0);
		assert_int_equal(hvo_work(r.m, UINT64_MAX, NULL), failed);
		assert_int_not_equal(backing(&r, page), FIRST + 3);
		rig_audit(&r);
		assert_int_equal(hvo_memory_offline(r.m, FIRST, end), 0);
		assert_int_equal(hvo_memory_remove(r.m, FIRST, end), 0);
		expect_counts(&r, &empty);
		rig_close(&r);
	}
	assert_true(at > 3);
}

static void test_self_hosted_faults(void **state)
{
	(void)state;
	self_hosted_faults(HVO_ON_DEMAND);
	self_hosted_faults(HVO_LINUX);
}

/* Blocks whose own tails are scattered, one of them in another block, go offline and come back. */
static void test_own_frames_offline(void **state)
{
	struct hvo_config cfg = config(HVO_ON_DEMAND);
	hvo_pfn_t end = FIRST + SECTION, base, last = 0, held[512], bad[3];
	unsigned int nr = 0, i;
	struct hvo_machine_stat empty = { .size = sizeof(empty) };
	struct rig r;
	uint64_t tails;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	empty = rig_stat(&r);
	assert_int_equal(hvo_memory_add(r.m, 0, FIRST, end, 0), 0);
	assert_int_equal(hvo_memory_online(r.m, FIRST, end, HVO_ZONE_MOVABLE), 0);
	held[nr++] = rig_alloc(&r, HVO_GFP_USER, 0);
	assert_true(held[0] >= FIRST);
	base = held[0] & ~UINT64_C(511);
	tails = hvo_pageblock_tail_page(pb_of(base).nr);
	bad[0] = backing(&r, tails + 1);
	assert_int_equal(pb_of(fail_backing(&r, tails + 1)).nr, pb_of(base).nr);
	while (pb_data(r.m, pb_of(base))->nr_free)
		held[nr++] = rig_alloc(&r, HVO_GFP_USER, 0);
	for (i = 2; i < 4; i++) {
		bad[i - 1] = backing(&r, tails + i);
		last = fail_backing(&r, tails + i);
		assert_true(last < FIRST);
	}
	while (nr)
		rig_put(&r, held[--nr]);
	for (i = 0; i < 2; i++) {
		assert_int_equal(hvo_memory_offline(r.m, FIRST, end), 0);
		rig_audit(&r);
		assert_int_equal(backing(&r, tails + 3), last);
		/* Descriptors of offline memory move, too. */
		last = fail_backing(&r, tails + 3);
		if (i)
			break;
		assert_int_equal(hvo_memory_online(r.m, FIRST, end, HVO_ZONE_MOVABLE), 0);
		rig_audit(&r);
		for (nr = 0; nr < 3; nr++)
			assert_int_equal(hvo_get_page(r.m, bad[nr], NULL), -HVO_EBUSY);
	}
	assert_int_equal(hvo_memory_remove(r.m, FIRST, end), 0);
	hvo_collapse(r.m, UINT64_MAX, NULL);
	/* Two frames outside of it failed, and each keeps a block cut. */
	assert_int_equal(rig_stat(&r).poisoned, 2);
	assert_int_equal(rig_stat(&r).memmap_boot, empty.memmap_boot);
	assert_int_equal(rig_stat(&r).total_frames, empty.total_frames);
	rig_audit(&r);
	rig_close(&r);
}

/*
 * Head pages in a whole block of them: of memory that is there, of offline memory, and of none. A
 * page that left is freed with its memory, and comes back to any frame.
 */
static void test_whole_boot_frames(void **state)
{
	struct hvo_config cfg = rig_config_aside(HVO_ON_DEMAND, 2048);
	hvo_pfn_t end = 524288, start = end - SECTION, frame[3];
	uint64_t page = hvo_pageblock_head_page(pb_of(start).nr);
	struct hvo_machine_stat empty = { .size = sizeof(empty) };
	struct hog hog = { 0 };
	struct rig r;
	uint64_t i, k;

	(void)state;
	cfg.movable_bytes = 128 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	empty = rig_stat(&r);
	for (i = 0; i < 3; i++)
		frame[i] = backing(&r, page + i);
	fail_backing(&r, page);
	assert_int_equal(hvo_memory_offline(r.m, start, end), 0);
	fail_backing(&r, page + 1);
	assert_int_equal(hvo_memory_remove(r.m, start, end), 0);
	rig_audit(&r);
	/* Freed with the memory; those that were set aside stay. */
	assert_int_equal(backing(&r, page), HVO_SHARED_TAIL);
	assert_int_equal(backing(&r, page + 1), HVO_SHARED_TAIL);
	assert_int_equal(backing(&r, page + 2), frame[2]);
	fail_backing(&r, page + 2);
	assert_int_equal(rig_stat(&r).memmap_boot, empty.memmap_boot - 3);
	assert_int_equal(hvo_memory_add(r.m, 0, start, end, 0), 0);
	rig_audit(&r);
	assert_int_equal(hvo_memory_online(r.m, start, end, HVO_ZONE_MOVABLE), 0);
	for (i = 0; i < 3; i++)
		assert_int_not_equal(backing(&r, page + i), frame[i]);
	hog_all(&r, &hog, 0, false);
	for (i = 0; i < hog.nr; i++)
		for (k = 0; k < 3; k++)
			assert_true(frame[k] < hog.blocks[i].pfn ||
				    frame[k] >= hog.blocks[i].pfn +
							(UINT64_C(1) << hog.blocks[i].order));
	rig_audit(&r);
	hog_release(&r, &hog, UINT64_MAX);
	rig_audit(&r);
	rig_close(&r);
}

/* Failed frames, however many, are forgotten with their memory, and no others. */
static void forgotten(enum hvo_mode mode)
{
	struct hvo_config cfg = config(mode);
	hvo_pfn_t end = FIRST + SECTION, i, pfn;
	struct hog hog = { 0 };
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_memory_add(r.m, 0, FIRST, end, 0), 0);
	assert_int_equal(hvo_memory_online(r.m, FIRST, end, HVO_ZONE_MOVABLE), 0);
	assert_int_equal(hvo_memory_failure(r.m, end - 1), 0);
	for (i = 0; i < 2000; i++)
		assert_int_equal(hvo_memory_failure(r.m, 65536 + i), 0);
	pfn = rig_alloc(&r, HVO_GFP_USER, 2);
	assert_true(pfn >= FIRST);
	assert_int_equal(hvo_memory_failure(r.m, pfn), -HVO_EBUSY);
	rig_put(&r, pfn);
	assert_int_equal(rig_page(&r, pfn)->state, HVO_PAGE_POISONED);
	assert_int_equal(rig_page(&r, pfn + 1)->state, HVO_PAGE_FREE);
	rig_audit(&r);
	assert_int_equal(hvo_poisoned(r.m, NULL, 0), 2002);
	assert_int_equal(hvo_memory_offline(r.m, FIRST, end), 0);
	assert_int_equal(hvo_memory_failure(r.m, pfn + 1), -HVO_EINVAL);
	rig_audit(&r);
	/* The first frames behind it. */
	assert_int_equal(hvo_memory_add(r.m, 0, end, end + SECTION, 0), 0);
	assert_int_equal(hvo_memory_online(r.m, end, end + SECTION, HVO_ZONE_MOVABLE), 0);
	assert_int_equal(hvo_memory_failure(r.m, end), 0);
	assert_int_equal(hvo_memory_remove(r.m, FIRST, end), 0);
	assert_int_equal(hvo_poisoned(r.m, NULL, 0), 2001);
	pfn = 0;
	assert_int_equal(hvo_poisoned(r.m, &pfn, 1), 2001);
	assert_int_equal(pfn, 65536);
	assert_int_equal(rig_page(&r, end)->state, HVO_PAGE_POISONED);
	rig_audit(&r);
	assert_int_equal(hvo_memory_add(r.m, 0, FIRST, end, 0), 0);
	assert_int_equal(hvo_memory_online(r.m, FIRST, end, HVO_ZONE_MOVABLE), 0);
	hog_all(&r, &hog, 0, false);
	rig_audit(&r);
	hog_release(&r, &hog, UINT64_MAX);
	rig_close(&r);
}

static void test_forgotten(void **state)
{
	(void)state;
	forgotten(HVO_ON_DEMAND);
	forgotten(HVO_LINUX);
}

/* ---- the audit of offline memory ------------------------------------------------------------- */

static void expect_found(struct rig *r)
{
	assert_true(rig_findings(r) > 0);
}

static void audit_offline(enum hvo_mode mode, unsigned int flags)
{
	uint64_t page = hvo_pageblock_head_page(pb_of(FIRST).nr) + 5;
	struct hvo_config cfg = config(mode);
	struct hvo_remap run = { page, HVO_SHARED_TAIL, 1 };
	hvo_pfn_t end = FIRST + SECTION, pfn = FIRST + 10 * 512, frame;
	unsigned int done;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_memory_add(r.m, 0, FIRST, end, flags), 0);
	rig_audit(&r);
	r.m->fold[pb_of(pfn).nr] ^= HVO_FOLDED;
	expect_found(&r);
	r.m->fold[pb_of(pfn).nr] ^= HVO_FOLDED;
	pb_data(r.m, pb_of(pfn))->isolation = ISOLATED_BY_LIBRARY;
	expect_found(&r);
	pb_data(r.m, pb_of(pfn))->isolation = NOT_ISOLATED;
	page_rw(r.m, pfn)->state = HVO_PAGE_FREE;
	expect_found(&r);
	page_rw(r.m, pfn)->state = HVO_PAGE_USED;
	expect_found(&r);
	/* Nobody recorded it. */
	page_rw(r.m, pfn)->state = HVO_PAGE_MEMMAP;
	expect_found(&r);
	page_rw(r.m, pfn)->state = HVO_PAGE_TAIL;
	rig_audit(&r);
	frame = backing(&r, page);
	assert_int_equal(r.m->ops->remap(r.m->ctx, &run, 1, &done), 0);
	r.m->ops->flush(r.m->ctx);
	expect_found(&r);
	run.pfn = frame;
	assert_int_equal(r.m->ops->remap(r.m->ctx, &run, 1, &done), 0);
	r.m->ops->flush(r.m->ctx);
	rig_audit(&r);
	if (flags) {
		r.m->sections[FIRST >> HVO_SECTION_ORDER].self_hosted = 0;
		expect_found(&r);
		r.m->sections[FIRST >> HVO_SECTION_ORDER].self_hosted = 1;
		page_rw(r.m, FIRST + 5)->state = HVO_PAGE_TAIL;
		expect_found(&r);
		page_rw(r.m, FIRST + 5)->state = HVO_PAGE_MEMMAP;
		page_rw(r.m, FIRST + 511)->state = HVO_PAGE_POISONED;
		expect_found(&r);
		page_rw(r.m, FIRST + 511)->state =
			mode == HVO_LINUX ? HVO_PAGE_MEMMAP : HVO_PAGE_TAIL;
		rig_audit(&r);
	}
	assert_int_equal(hvo_memory_remove(r.m, FIRST, end), 0);
	rig_audit(&r);
	rig_close(&r);
}

static void test_audit_offline(void **state)
{
	(void)state;
	audit_offline(HVO_ON_DEMAND, 0);
	audit_offline(HVO_ON_DEMAND, HVO_MEMMAP_ON_MEMORY);
	audit_offline(HVO_LINUX, 0);
	audit_offline(HVO_LINUX, HVO_MEMMAP_ON_MEMORY);
}

/*
 * Linux mode: the frames that descriptors had at the start become free when those are folded, and
 * once all in a section are, it can go. Then they are not there to be asked for again.
 */
static void test_home_offline(void **state)
{
	/* Of which the second section holds descriptors of blocks behind the first 8 GiB. */
	struct hvo_config cfg = rig_config(HVO_LINUX, 17 * 1024);
	struct hvo_pool *pool;
	struct rig r;
	uint64_t nr;

	(void)state;
	rig_open(&r, RIG_SPARSE, &cfg);
	pool = rig_pool_new(&r, 9);
	nr = rig_stat(&r).free_frames / HVO_PAGEBLOCK_FRAMES - 8;
	rig_resize(pool, HVO_NODE_ANY, nr);
	assert_int_equal(rig_pool(pool, HVO_NODE_ANY).optimized, nr);
	assert_int_equal(hvo_memory_offline(r.m, SECTION, 2 * SECTION), 0);
	rig_audit(&r);
	rig_resize(pool, HVO_NODE_ANY, 0);
	assert_int_equal(rig_pool(pool, HVO_NODE_ANY).total, 0);
	assert_int_equal(hvo_memory_online(r.m, SECTION, 2 * SECTION, HVO_ZONE_NORMAL), 0);
	rig_audit(&r);
	rig_close(&r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_move_offline),
		cmocka_unit_test(test_offline_together),
		cmocka_unit_test(test_cma_stays),
		cmocka_unit_test(test_heal_past_offline),
		cmocka_unit_test(test_stuck_offline),
		cmocka_unit_test(test_faults_once),
		cmocka_unit_test(test_faults_sticky),
		cmocka_unit_test(test_self_hosted_fails),
		cmocka_unit_test(test_self_hosted_faults),
		cmocka_unit_test(test_own_frames_offline),
		cmocka_unit_test(test_whole_boot_frames),
		cmocka_unit_test(test_forgotten),
		cmocka_unit_test(test_audit_offline),
		cmocka_unit_test(test_home_offline),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
