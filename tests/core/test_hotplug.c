// SPDX-License-Identifier: MIT
/*
 * Hot-plug: memory added, taken into use, taken out and removed, with its descriptors here
 * or there; what was in it moves, and nothing else notices.
 */
#include "holder.h"

#include <hvo/hotplug.h>
#include <hvo/migrate.h>

#include <stdlib.h>
#include <string.h>

#define ANY HVO_NODE_ANY
#define SECTION ((hvo_pfn_t)HVO_SECTION_FRAMES)

static bool take(struct holder *h, unsigned int order, int node)
{
	hvo_pfn_t pfn;

	if (hvo_alloc_pages(h->r->m, HVO_GFP_USER | HVO_GFP_NOWARN | HVO_GFP_THISNODE, order, node,
			    &pfn))
		return false;
	holder_hold(h, pfn, order, HOLD_FILLED);
	return true;
}

/* What leaves goes to another node, also where that has nothing but zone Normal. */
static void to_another_node(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 512);
	hvo_pfn_t start = 4 * SECTION;
	struct holder h;
	struct rig r;

	cfg.nr_nodes = 2;
	cfg.hotplug_bytes = 256 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	holder_open(&h, &r, 0);
	assert_int_equal(hvo_memory_add(r.m, 0, start, start + SECTION, 0), 0);
	assert_int_equal(hvo_memory_online(r.m, start, start + SECTION, HVO_ZONE_MOVABLE), 0);
	assert_true(take(&h, 3, 0));
	assert_in_range(h.held[0].pfn, start, start + SECTION - 1);
	assert_int_equal(hvo_memory_offline(r.m, start, start + SECTION), 0);
	assert_in_range(h.held[0].pfn, 2 * SECTION, 4 * SECTION - 1);
	rig_audit(&r);
	holder_close(&h);
	rig_close(&r);
}
EACH_MODE(to_another_node)

/* ---- to and fro ------------------------------------------------------------------------- */

static uint64_t descriptors_of(const struct rig *r, uint64_t sections)
{
	return sections * SECTION / 512 * rig_lasting(r);
}

/* Frames of a section that hosts its own descriptors. */
static uint64_t hosted_by(const struct rig *r)
{
	uint64_t nr = descriptors_of(r, 1);

	return hvo_machine_config(r->m)->mode == HVO_ON_DEMAND && nr ? nr + rig_tails(r) : nr;
}

static void cycle(enum rig_platform platform, enum hvo_mode mode, unsigned int flags,
		  enum hvo_zone_type zone)
{
	struct hvo_config cfg = rig_config(mode, 256);
	hvo_pfn_t start = 65536 + SECTION, end = start + 2 * SECTION;
	uint64_t hosted, backed = 0, i;
	struct hvo_machine_stat empty = { .size = sizeof(empty) },
				before = { .size = sizeof(before) }, now = { .size = sizeof(now) };
	struct holder h;
	struct hvo_linux_info info = { .size = sizeof(info) };
	struct rig r;
	int round;

	cfg.hotplug_bytes = 512 * MIB;
	rig_open(&r, platform, &cfg);
	hosted = flags ? hosted_by(&r) : 0;
	empty = rig_stat(&r);
	if (platform == RIG_LINUX) {
		assert_int_equal(hvo_linux_info(r.host, &info), 0);
		backed = info.backed_bytes;
	}
	for (round = 0; round < 2; round++) {
		holder_open(&h, &r, 0);
		assert_int_equal(hvo_section_state(r.m, start), HVO_SECTION_ABSENT);
		assert_int_equal(hvo_memory_online(r.m, start, end, zone), -HVO_EBUSY);
		assert_int_equal(hvo_memory_add(r.m, 0, start, end, flags), 0);
		assert_int_equal(hvo_section_state(r.m, end - 1), HVO_SECTION_OFFLINE);
		assert_int_equal(hvo_memory_add(r.m, 0, start, end, flags), -HVO_EBUSY);
		now = rig_stat(&r);
		assert_int_equal(now.total_frames, empty.total_frames);
		assert_int_equal(empty.free_frames - now.free_frames,
				 flags ? 0 : descriptors_of(&r, 2));
		rig_audit(&r);
		before = rig_stat(&r);
		assert_int_equal(hvo_memory_online(r.m, start, end, zone), 0);
		now = rig_stat(&r);
		assert_int_equal(now.free_frames - before.free_frames, 2 * (SECTION - hosted));
		assert_int_equal(now.total_frames - before.total_frames, 2 * (SECTION - hosted));
		rig_audit(&r);
		/* It is memory like any other. */
		while (take(&h, (unsigned int)(h.nr % 3 * 4), 0) && h.nr < 2000)
			;
		assert_int_equal(hvo_memory_remove(r.m, start, end), -HVO_EBUSY);
		if (platform == RIG_LINUX) {
			assert_int_equal(hvo_linux_info(r.host, &info), 0);
			assert_true(info.backed_bytes >= backed + 256 * MIB);
		}
		for (i = h.nr - h.nr / 4; i; i--)
			holder_let_go(&h, --h.nr);
		rig_audit(&r);
		assert_int_equal(hvo_memory_offline(r.m, start, end), 0);
		assert_int_equal(hvo_section_state(r.m, start), HVO_SECTION_OFFLINE);
		holder_check(&h);
		for (i = 0; i < h.nr; i++)
			assert_true(h.held[i].pfn < start || h.held[i].pfn >= end);
		assert_int_equal(hvo_get_page(r.m, start + 5, NULL), -HVO_EBUSY);
		assert_int_equal(rig_stat(&r).total_frames, empty.total_frames);
		rig_audit(&r);
		assert_int_equal(hvo_memory_remove(r.m, start, end), 0);
		assert_int_equal(hvo_get_page(r.m, start + 5, NULL), -HVO_EBUSY);
		assert_int_equal(hvo_section_state(r.m, start), HVO_SECTION_ABSENT);
		rig_audit(&r);
		holder_close(&h);
		hvo_collapse(r.m, UINT64_MAX, NULL);
		now = rig_stat(&r);
		assert_int_equal(now.free_frames, empty.free_frames);
		assert_int_equal(now.memmap + now.memmap_boot, empty.memmap + empty.memmap_boot);
		if (platform == RIG_LINUX) {
			/* Really back with the system. */
			assert_int_equal(hvo_linux_info(r.host, &info), 0);
			assert_true(info.backed_bytes <= backed + 4 * MIB);
		}
		rig_audit(&r);
	}
	rig_close(&r);
}

static void cycles(enum rig_platform platform)
{
	cycle(platform, HVO_ON_DEMAND, 0, HVO_ZONE_NORMAL);
	cycle(platform, HVO_ON_DEMAND, 0, HVO_ZONE_MOVABLE);
	cycle(platform, HVO_ON_DEMAND, HVO_MEMMAP_ON_MEMORY, HVO_ZONE_MOVABLE);
	cycle(platform, HVO_LINUX, 0, HVO_ZONE_NORMAL);
	cycle(platform, HVO_LINUX, HVO_MEMMAP_ON_MEMORY, HVO_ZONE_MOVABLE);
}

static void test_cycle_sim(void **state)
{
	(void)state;
	cycles(RIG_SIM);
}

static void test_cycle_linux(void **state)
{
	(void)state;
	cycles(RIG_LINUX);
}

/* ---- what is in the way -------------------------------------------------------------------- */

static void test_arguments(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	const hvo_pfn_t huge = UINT64_C(1) << 63;
	struct rig r;

	(void)state;
	cfg.hotplug_bytes = 256 * MIB;
	cfg.movable_bytes = 128 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_memory_add(r.m, 0, 65536, 65536, 0), -HVO_EINVAL);
	assert_int_equal(hvo_memory_add(r.m, 0, 65537, 65536 + SECTION, 0), -HVO_EINVAL);
	assert_int_equal(hvo_memory_add(r.m, 0, 65536, 65536 + 3 * SECTION, 0), -HVO_EINVAL);
	assert_int_equal(hvo_memory_add(r.m, 1, 65536, 65536 + SECTION, 0), -HVO_EINVAL);
	assert_int_equal(hvo_memory_add(r.m, -1, 65536, 65536 + SECTION, 0), -HVO_EINVAL);
	assert_int_equal(hvo_memory_add(r.m, 0, 65536, 65536 + SECTION, 2), -HVO_EINVAL);
	assert_int_equal(hvo_memory_add(r.m, 0, huge, huge + SECTION, 0), -HVO_EINVAL);
	assert_int_equal(hvo_memory_add(r.m, 0, 65536, huge, 0), -HVO_EINVAL);
	assert_int_equal(hvo_memory_add(r.m, 0, 32768, 65536 + SECTION, 0), -HVO_EBUSY);
	assert_int_equal(hvo_memory_offline(r.m, 65536, 65536 + SECTION), -HVO_EINVAL);
	assert_int_equal(hvo_memory_offline(r.m, 0, 65536), -HVO_EINVAL);
	assert_int_equal(hvo_memory_remove(r.m, 32768, 65536), -HVO_EBUSY);
	assert_int_equal(hvo_memory_add(r.m, 0, 65536, 65536 + SECTION, 0), 0);
	assert_int_equal(hvo_memory_online(r.m, 65536, 65536 + SECTION, HVO_ZONE_CMA), -HVO_EINVAL);
	assert_int_equal(hvo_memory_online(r.m, 65536, 65536 + 2 * SECTION, HVO_ZONE_NORMAL),
			 -HVO_EBUSY);
	assert_int_equal(hvo_section_state(r.m, huge), HVO_SECTION_ABSENT);
	/* The node's own head pages are there, if it has some. */
	assert_int_equal(hvo_memory_offline(r.m, 0, SECTION), rig_lasting(&r) ? -HVO_EBUSY : 0);
	rig_audit(&r);
	rig_close(&r);
}

/* Memory of somebody who cannot move it stays, and everything else of the section works on. */
static void test_pinned(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	struct holder h;
	uint64_t nr_free;
	hvo_pfn_t pfn;
	struct rig r;

	(void)state;
	cfg.movable_bytes = 128 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	holder_open(&h, &r, 0);
	assert_true(take(&h, 3, 0) && take(&h, 9, 0));
	pfn = rig_alloc(&r, HVO_GFP_USER, 4);
	assert_true(pfn >= 32768);
	nr_free = rig_free(&r);
	assert_int_equal(hvo_memory_offline(r.m, 32768, 65536), -HVO_EBUSY);
	assert_int_equal(hvo_section_state(r.m, 32768), HVO_SECTION_ONLINE);
	holder_check(&h);
	rig_audit(&r);
	assert_true(rig_free(&r) + rig_tails(&r) * 2 >= nr_free);
	/* A frame that failed is no hindrance. */
	rig_put(&r, pfn);
	assert_int_equal(hvo_memory_failure(r.m, 40000), 0);
	assert_int_equal(hvo_memory_offline(r.m, 32768, 65536), 0);
	holder_check(&h);
	rig_audit(&r);
	assert_int_equal(hvo_memory_online(r.m, 32768, 65536, HVO_ZONE_MOVABLE), 0);
	rig_audit(&r);
	assert_int_equal(hvo_get_page(r.m, 40000, NULL), -HVO_EBUSY);
	assert_int_equal(rig_stat(&r).poisoned, 1);
	holder_close(&h);
	rig_audit(&r);
	rig_close(&r);
}

/* No place for what must move: -HVO_ENOMEM, and all of it is online. */
static void test_no_place(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	struct holder h;
	struct hog hog = { 0 };
	struct rig r;

	(void)state;
	cfg.movable_bytes = 128 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	holder_open(&h, &r, 0);
	while (take(&h, 9, 0))
		;
	hog_all(&r, &hog, 0, false);
	assert_int_equal(hvo_memory_offline(r.m, 32768, 65536), -HVO_ENOMEM);
	assert_int_equal(hvo_section_state(r.m, 32768), HVO_SECTION_ONLINE);
	rig_audit(&r);
	hog_release(&r, &hog, UINT64_MAX);
	holder_close(&h);
	rig_audit(&r);
	rig_close(&r);
}

/* ---- the last section of a node ---------------------------------------------------------------- */

/*
 * The node's last memory holds free huge pages, everything else of it is isolated, and
 * there is no frame for descriptors: nothing is needed in on-demand mode. Linux mode refuses.
 */
static void last_section(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 256);
	hvo_pfn_t start = 65536, end = start + SECTION, pfn;
	struct hvo_pool *pool;
	struct hog h = { 0 };
	struct rig r;
	int i;

	cfg.hotplug_bytes = 128 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_memory_add(r.m, 0, start, end, 0), 0);
	assert_int_equal(hvo_memory_online(r.m, start, end, HVO_ZONE_MOVABLE), 0);
	assert_int_equal(hvo_pool_create(r.m, 9, &pool), 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(rig_resize(pool, 0, (uint64_t)i + 1).done, 1);
	assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_KERNEL, 0, &pfn), 0);
	assert_true(pfn >= start);
	rig_put(&r, pfn);
	hog_all(&r, &h, 0, false);
	/* What the hog has in the section goes; the rest of the machine is full. */
	for (i = 0; (uint64_t)i < h.nr; i++) {
		if (h.blocks[i].pfn < start)
			continue;
		rig_put(&r, h.blocks[i].pfn);
		h.blocks[i--] = h.blocks[--h.nr];
	}
	if (mode == HVO_ON_DEMAND) {
		assert_int_equal(hvo_memory_offline(r.m, start, end), 0);
		assert_int_equal(rig_pool(pool, ANY).total, 0);
		assert_int_equal(hvo_section_state(r.m, start), HVO_SECTION_OFFLINE);
	} else {
		assert_int_equal(hvo_memory_offline(r.m, start, end), -HVO_ENOMEM);
		assert_int_equal(rig_pool(pool, ANY).total, 3);
		assert_int_equal(hvo_section_state(r.m, start), HVO_SECTION_ONLINE);
		rig_audit(&r);
		hog_release(&r, &h, 64);
		assert_int_equal(hvo_memory_offline(r.m, start, end), 0);
	}
	rig_audit(&r);
	hog_release(&r, &h, UINT64_MAX);
	rig_audit(&r);
	rig_close(&r);
}

static void test_last_section(void **state)
{
	(void)state;
	last_section(HVO_ON_DEMAND);
	last_section(HVO_LINUX);
}

/* 34: pages whose section hosts its own descriptors are never folded, without an error. */
static void test_self_hosted(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	hvo_pfn_t start = 65536, end = start + SECTION;
	struct hvo_pool *pool;
	struct hvo_pool_stat s = { .size = sizeof(s) };
	uint64_t done, hosted;
	struct rig r;

	(void)state;
	cfg.hotplug_bytes = 128 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_memory_add(r.m, 0, start, end, HVO_MEMMAP_ON_MEMORY), 0);
	assert_int_equal(hvo_memory_online(r.m, start, end, HVO_ZONE_MOVABLE), 0);
	assert_int_equal(hvo_pool_create(r.m, 9, &pool), 0);
	rig_resize(pool, ANY, 100);
	s = rig_pool(pool, ANY);
	assert_int_equal(s.total, 100);
	hosted = rig_stat(&r).self_hosted_huge;
	assert_true(hosted > 50 && hosted <= 63);
	assert_int_equal(s.optimized, 100 - hosted);
	assert_int_equal(hvo_pool_optimize(pool, &done), 0);
	assert_int_equal(done, 0);
	rig_audit(&r);
	assert_int_equal(hvo_memory_offline(r.m, start, end), 0);
	assert_int_equal(rig_pool(pool, ANY).total, 100 - hosted);
	assert_int_equal(hvo_memory_remove(r.m, start, end), 0);
	rig_audit(&r);
	rig_close(&r);
}

/* Pages of added memory that are present are folded later like any other. */
static void test_huge_added_later(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	hvo_pfn_t start = 65536, end = start + SECTION, pfn;
	uint64_t done = 0, total, nr_used = 0;
	struct hvo_pool *pool;
	struct rig r;

	(void)state;
	cfg.hotplug_bytes = 128 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	hvo_set_optimize(r.m, false);
	assert_int_equal(hvo_memory_add(r.m, 0, start, end, 0), 0);
	assert_int_equal(hvo_memory_online(r.m, start, end, HVO_ZONE_MOVABLE), 0);
	total = rig_resize(pool, ANY, 100).done;
	assert_int_equal(total, 100);
	assert_int_equal(rig_pool(pool, ANY).optimized, 0);
	assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_KERNEL, ANY, &pfn), 0);
	rig_fill(&r, pfn, 512, 9);
	hvo_set_optimize(r.m, true);
	assert_int_equal(hvo_pool_optimize(pool, &done), 0);
	assert_int_equal(done, total);
	assert_int_equal(rig_pool(pool, ANY).optimized, total);
	assert_true(rig_intact(&r, pfn, 512, 9));
	for (; start < end; start += 512)
		nr_used += rig_page(&r, start)->state == HVO_PAGE_HUGETLB_FREE ||
			   rig_page(&r, start)->state == HVO_PAGE_HUGETLB_USED;
	assert_true(nr_used > 30);
	rig_audit(&r);
	rig_put(&r, pfn);
	rig_close(&r);
}

/* ---- both nodes, one after the other ---------------------------------------------------------- */

/*
 * Two nodes, 95 % full of movable user memory of all sizes, huge pages in use and free, and
 * cut blocks. Both movable parts go offline, one after the other, and come back.
 */
static void both_nodes(enum rig_platform platform, enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 2 * 2048);
	const hvo_pfn_t node = 524288, movable = node - SECTION;
	struct holder h;
	struct hvo_pool *pool;
	uint64_t total, round;
	hvo_pfn_t pfn;
	struct rig r;
	int n;

	cfg.nr_nodes = 2;
	cfg.movable_bytes = 128 * MIB;
	rig_open(&r, platform, &cfg);
	holder_open(&h, &r, 0);
	total = rig_stat(&r).total_frames;
	assert_int_equal(hvo_pool_create(r.m, 9, &pool), 0);
	for (n = 0; n < 2; n++)
		rig_resize(pool, n, 60);
	for (n = 0; n < 80; n++) {
		assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_KERNEL, n & 1, &pfn), 0);
		holder_hold(&h, pfn, 9, HOLD_FILLED);
	}
	for (n = 0; n < 1200; n++)
		assert_true(take(&h, (unsigned int)(n % 5 * 2), n & 1));
	while (rig_free(&r) > total / 20)
		assert_true(take(&h, 10, (int)(h.nr & 1)) || take(&h, 10, (int)(~h.nr & 1)) ||
			    take(&h, 9, (int)(h.nr & 1)) || take(&h, 9, (int)(~h.nr & 1)));
	rig_audit(&r);
	for (round = 0; round < 2; round++) {
		for (n = 0; n < 2; n++) {
			hvo_pfn_t start = (hvo_pfn_t)n * node + movable, end = start + SECTION;
			unsigned int i;

			assert_int_equal(hvo_memory_offline(r.m, start, end), 0);
			for (i = 0; i < h.nr; i++)
				assert_true(h.held[i].pfn < start || h.held[i].pfn >= end);
			holder_check(&h);
			rig_audit(&r);
			if (round) {
				assert_int_equal(hvo_memory_remove(r.m, start, end), 0);
				rig_audit(&r);
				assert_int_equal(hvo_memory_add(r.m, n, start, end, 0), 0);
			}
			assert_int_equal(hvo_memory_online(r.m, start, end, HVO_ZONE_MOVABLE), 0);
			rig_audit(&r);
		}
	}
	holder_close(&h);
	hvo_work(r.m, UINT64_MAX, NULL);
	rig_audit(&r);
	rig_close(&r);
}

static void test_both_nodes(void **state)
{
	(void)state;
	both_nodes(RIG_SIM, HVO_ON_DEMAND);
	both_nodes(RIG_SIM, HVO_LINUX);
	both_nodes(RIG_LINUX, HVO_ON_DEMAND);
	both_nodes(RIG_LINUX, HVO_LINUX);
}

/* ---- failures ------------------------------------------------------------------------------------- */

/*
 * Every fallible call on the way fails once; then it works. With AddressSanitizer, which takes many
 * times as long, each of the first eight and then one in seven: the plain build walks them all.
 */
#define NEXT_POINT(point) ((point) + (WITH_ASAN && (point) >= 8 ? 7 : 1))

static void faults(enum hvo_mode mode, unsigned int flags)
{
	struct hvo_config cfg = rig_config(mode, 256);
	hvo_pfn_t start = 65536, end = start + 2 * SECTION;
	struct holder h;
	uint64_t point;
	bool failed;

	cfg.hotplug_bytes = 256 * MIB;
	for (point = 1;; point = NEXT_POINT(point)) {
		struct rig r;
		int rc[4], i;

		rig_open(&r, RIG_SIM, &cfg);
		holder_open(&h, &r, 0);
		rig_arm(&r, point, false);
		rc[0] = hvo_memory_add(r.m, 0, start, end, flags);
		rig_audit(&r);
		if (rc[0])
			assert_int_equal(hvo_memory_add(r.m, 0, start, end, flags), 0);
		rc[1] = hvo_memory_online(r.m, start, end, HVO_ZONE_MOVABLE);
		assert_int_equal(rc[1], 0);
		for (i = 0; i < 20; i++)
			(void)take(&h, (unsigned int)i % 4 * 3, 0);
		rc[2] = hvo_memory_offline(r.m, start, end);
		holder_check(&h);
		rig_audit(&r);
		if (rc[2])
			assert_int_equal(hvo_memory_offline(r.m, start, end), 0);
		rc[3] = hvo_memory_remove(r.m, start, end);
		rig_audit(&r);
		failed = rig_disarm(&r);
		if (rc[3])
			assert_int_equal(hvo_memory_remove(r.m, start, end), 0);
		for (i = 0; i < 4; i++)
			assert_true(!rc[i] || (failed && (rc[i] == -HVO_ENOMEM || i == 2)));
		assert_int_equal(hvo_section_state(r.m, start), HVO_SECTION_ABSENT);
		holder_close(&h);
		rig_audit(&r);
		rig_close(&r);
		if (!failed)
			break;
	}
	assert_true(point > 4);
}

static void test_faults(void **state)
{
	(void)state;
	faults(HVO_ON_DEMAND, 0);
	faults(HVO_ON_DEMAND, HVO_MEMMAP_ON_MEMORY);
	faults(HVO_LINUX, 0);
	faults(HVO_LINUX, HVO_MEMMAP_ON_MEMORY);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_to_another_node),	 cmocka_unit_test(test_cycle_sim),
		cmocka_unit_test(test_cycle_linux),	 cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_pinned),		 cmocka_unit_test(test_no_place),
		cmocka_unit_test(test_last_section),	 cmocka_unit_test(test_self_hosted),
		cmocka_unit_test(test_huge_added_later), cmocka_unit_test(test_both_nodes),
		cmocka_unit_test(test_faults),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
