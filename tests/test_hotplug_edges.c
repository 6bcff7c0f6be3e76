// SPDX-License-Identifier: MIT
/*
 * Hot-plug where it meets the rest: descriptors of offline memory that move, and what a
 * failure half-way through several sections leaves.
 */
#include "harness.h"

#include <hvo/move.h>

#include "core/machine.h"

#define BOOT_MIB 512
#define FIRST (BOOT_MIB * MIB / HVO_FRAME_SIZE)
#define SECTION HVO_SECTION_FRAMES

static struct hvo_config config(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, BOOT_MIB);

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
	frame = r.m->ops->backing(r.m->ctx, hvo_block_head_page(block_of(FIRST)));
	assert_int_equal(hvo_move_memmap(r.m, frame), 0);
	to = r.m->ops->backing(r.m->ctx, hvo_block_head_page(block_of(FIRST)));
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
	frame = r.m->ops->backing(r.m->ctx, hvo_block_head_page(block_of(FIRST + SECTION)));
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
		pfn += HVO_BLOCK_FRAMES;
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
	hvo_work(r.m, UINT64_MAX);
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
	rig_open(&r, RIG_FAULTY, &cfg);
	assert_int_equal(hvo_memory_add(r.m, 0, FIRST, end, 0), 0);
	assert_int_equal(hvo_memory_online(r.m, FIRST, end, HVO_ZONE_MOVABLE), 0);
	rig_arm(&r, 1, true);
	assert_int_equal(hvo_memory_failure(r.m, FIRST + 1000), -HVO_ENOMEM);
	assert_true(rig_disarm(&r));
	assert_int_equal(hvo_memory_offline(r.m, FIRST, end), 0);
	assert_int_equal(hvo_work(r.m, UINT64_MAX), 0);
	rig_audit(&r);
	assert_int_equal(hvo_memory_online(r.m, FIRST, end, HVO_ZONE_MOVABLE), 0);
	rig_audit(&r);
	assert_int_equal(hvo_work(r.m, UINT64_MAX), 1);
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

	rig_open(&r, RIG_FAULTY, &cfg);
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
			hvo_collapse(r.m, UINT64_MAX);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_move_offline),  cmocka_unit_test(test_offline_together),
		cmocka_unit_test(test_cma_stays),     cmocka_unit_test(test_heal_past_offline),
		cmocka_unit_test(test_stuck_offline), cmocka_unit_test(test_faults_once),
		cmocka_unit_test(test_faults_sticky),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
