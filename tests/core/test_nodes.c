// SPDX-License-Identifier: MIT
/*
 * What a configuration makes of nodes: CMA memory at a place where huge pages fit, 1 GiB pages of
 * the start on each node, and nodes whose memory is all movable, with their descriptors elsewhere.
 *
 * States and locks: none beyond a rig for each test.
 * In Linux: mm/cma.c; mm/hugetlb.c, hugepages_setup(); Documentation of movable_node.
 */
#include "harness.h"

#include <hvo/contig.h>
#include <hvo/hotplug.h>

#include <stdlib.h>

#include "core/base.h"

#define ANY HVO_NODE_ANY
#define GIGA (UINT64_C(1) << HVO_GIGA_ORDER)

/* ---- CMA memory ------------------------------------------------------------------------ */

static uint64_t cma_used(const struct hvo_cma *cma)
{
	uint64_t used = 0;

	hvo_cma_stat(cma, NULL, NULL, &used);
	return used;
}

/*
 * 1 GiB in 3584 MiB: at 2 GiB, where a 1 GiB page fits, with NORMAL on both sides. The area counts
 * what a pool has of it, until that is free again, in whatever way it gets so.
 */
static void cma_pool(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 3584);
	struct hvo_zone_stat before[2];
	struct hvo_pool *giga, *huge;
	hvo_pfn_t start = 0, pfn = 0;
	struct hvo_cma *cma;
	uint64_t done = 0;
	struct rig r;

	cfg.cma_bytes = GIB;
	rig_open(&r, RIG_SIM, &cfg);
	rig_audit(&r);
	before[0] = rig_zone(&r, 0, HVO_ZONE_NORMAL);
	before[1] = rig_zone(&r, 0, HVO_ZONE_CMA);
	assert_int_equal(before[0].present, 2560 * MIB / HVO_FRAME_SIZE);
	assert_int_equal(before[0].end_pfn, 3584 * MIB / HVO_FRAME_SIZE);
	assert_int_equal(before[1].start_pfn, 2 * GIGA);
	assert_int_equal(before[1].present, GIGA);
	giga = rig_pool_new(&r, HVO_GIGA_ORDER);
	huge = rig_pool_new(&r, 9);
	assert_int_equal(hvo_cma_create(r.m, 0, GIGA, &cma), 0);
	assert_int_equal(hvo_pool_set_cma(giga, true), 0);
	assert_int_equal(rig_resize(giga, ANY, 1).done, 1);
	assert_int_equal(cma_used(cma), GIGA);
	rig_audit(&r);
	/* In somebody's hands, and no longer: nobody but the pool gives it back. */
	assert_int_equal(hvo_pool_alloc(giga, HVO_GFP_KERNEL, ANY, &pfn), 0);
	hvo_cma_stat(cma, &start, NULL, NULL);
	assert_int_equal(pfn, start);
	assert_int_equal(hvo_cma_release(cma, pfn, GIGA), -HVO_EINVAL);
	assert_int_equal(hvo_pool_free(giga, pfn), 0);
	assert_int_equal(cma_used(cma), GIGA);
	assert_int_equal(rig_resize(giga, ANY, 0).done, 1);
	assert_int_equal(cma_used(cma), 0);
	rig_audit(&r);
	/* In parts. */
	assert_int_equal(rig_resize(giga, ANY, 1).done, 1);
	assert_int_equal(hvo_pool_demote(giga, ANY, 1, &done), 0);
	assert_int_equal(cma_used(cma), GIGA);
	rig_audit(&r);
	assert_int_equal(rig_resize(huge, ANY, 500).done, 12);
	assert_int_equal(cma_used(cma), 500 * HVO_PAGEBLOCK_FRAMES);
	rig_audit(&r);
	assert_int_equal(rig_resize(huge, ANY, 0).done, 500);
	assert_int_equal(cma_used(cma), 0);
	rig_audit(&r);
	/* And a frame that failed, which is out of use and nobody's. */
	assert_int_equal(rig_resize(giga, ANY, 1).done, 1);
	assert_int_equal(hvo_memory_failure(r.m, start + 1000), 0);
	assert_int_equal(cma_used(cma), 0);
	rig_audit(&r);
	rig_close(&r);
}
EACH_MODE(cma_pool)

/* Policy carve keeps frames of the page for descriptors: the area has all of it back. */
static void test_cma_carved(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 3584);
	struct hvo_pool *giga;
	struct hog hog = { 0 };
	struct hvo_cma *cma;
	struct rig r;

	(void)state;
	cfg.cma_bytes = GIB;
	rig_open(&r, RIG_SIM, &cfg);
	giga = rig_pool_new(&r, HVO_GIGA_ORDER);
	assert_int_equal(hvo_pool_set_policy(giga, hvo_policy_find("carve")), 0);
	assert_int_equal(hvo_cma_create(r.m, 0, GIGA, &cma), 0);
	assert_int_equal(hvo_pool_set_cma(giga, true), 0);
	assert_int_equal(rig_resize(giga, ANY, 1).done, 1);
	hog_all(&r, &hog, 0, false);
	assert_int_equal(rig_resize(giga, ANY, 0).carved, 1);
	assert_int_equal(cma_used(cma), 0);
	rig_audit(&r);
	hog_release(&r, &hog, UINT64_MAX);
	rig_close(&r);
}

/* Each size at a multiple of the largest huge page in it, where that leaves room in front. */
static void test_cma_places(void **state)
{
	static const struct {
		uint64_t mib, movable, cma, at;
	} places[] = {
		{ 3584, 0, 1024, 2048 },    { 3584, 0, 512, 3072 },    { 3584, 128, 512, 2560 },
		{ 3584, 0, 1536, 2048 },    { 3584, 640, 1280, 1024 }, { 1536, 0, 1024, 512 },
		{ 1152, 128, 640, 256 },    { 512, 0, 128, 384 },      { 2048, 0, 1920, 128 },
		{ 6144, 3072, 2048, 1024 },
	};
	struct hvo_cma *areas[4];
	hvo_pfn_t start = 0;
	unsigned int i, mode;
	struct rig r;

	(void)state;
	for (i = 0; i < 2 * sizeof(places) / sizeof(places[0]); i++) {
		struct hvo_config cfg = rig_config(i & 1, places[i / 2].mib);
		struct hvo_zone_stat z = { .size = sizeof(z) };

		cfg.movable_bytes = places[i / 2].movable * MIB;
		cfg.cma_bytes = places[i / 2].cma * MIB;
		rig_open(&r, RIG_SIM, &cfg);
		z = rig_zone(&r, 0, HVO_ZONE_CMA);
		assert_int_equal(z.start_pfn, places[i / 2].at * MIB / HVO_FRAME_SIZE);
		assert_int_equal(z.present, cfg.cma_bytes / HVO_FRAME_SIZE);
		assert_int_equal(rig_zone(&r, 0, HVO_ZONE_NORMAL).present + z.present +
					 rig_zone(&r, 0, HVO_ZONE_MOVABLE).present,
				 cfg.memory_bytes / HVO_FRAME_SIZE);
		rig_audit(&r);
		rig_close(&r);
	}
	/* Areas in it as well; what is between them serves smaller ones. */
	for (mode = 0; mode < 2; mode++) {
		struct hvo_config cfg = rig_config(mode, 4096);

		cfg.cma_bytes = 2048 * MIB;
		rig_open(&r, RIG_SIM, &cfg);
		assert_int_equal(hvo_cma_create(r.m, 0, GIGA / 4, &areas[0]), 0);
		assert_int_equal(hvo_cma_create(r.m, 0, GIGA, &areas[1]), 0);
		hvo_cma_stat(areas[1], &start, NULL, NULL);
		assert_int_equal(start, 3 * GIGA);
		/* Not at a multiple of 512 MiB: there is no such place. */
		assert_int_equal(hvo_cma_create(r.m, 0, GIGA * 5 / 8, &areas[2]), 0);
		hvo_cma_stat(areas[2], &start, NULL, NULL);
		assert_int_equal(start, 2 * GIGA + GIGA / 4);
		assert_int_equal(hvo_cma_create(r.m, 0, GIGA / 4, &areas[3]), -HVO_ENOMEM);
		assert_int_equal(hvo_cma_create(r.m, 0, GIGA / 8, &areas[3]), 0);
		assert_int_equal(hvo_cma_create(r.m, 0, 512, &areas[3]), -HVO_ENOMEM);
		rig_close(&r);
	}
}

/* ---- 1 GiB pages of the start ---------------------------------------------------------------- */

static void boot_nodes(enum hvo_mode mode)
{
	unsigned int optimize, small;

	for (optimize = 0; optimize < 2; optimize++) {
		for (small = 0; small < 2; small++) {
			struct hvo_config cfg = rig_config(mode, 3 * 4096);
			struct hvo_pool *pool;
			hvo_pfn_t pfn = 0;
			struct rig r;

			cfg.nr_nodes = 3;
			cfg.optimize = optimize;
			cfg.max_order = small ? 10 : 18;
			cfg.boot_gigantic_nodes[0] = 2;
			cfg.boot_gigantic_nodes[2] = 1;
			rig_open(&r, RIG_SIM, &cfg);
			assert_int_equal(hvo_machine_config(r.m)->boot_gigantic, 3);
			pool = hvo_pool_find(r.m, 18);
			assert_non_null(pool);
			assert_int_equal(rig_pool(pool, 0).total, 2);
			assert_int_equal(rig_pool(pool, 1).total, 0);
			assert_int_equal(rig_pool(pool, 2).total, 1);
			assert_int_equal(rig_pool(pool, ANY).free, 3);
			assert_int_equal(rig_pool(pool, ANY).optimized,
					 mode == HVO_LINUX && !optimize ? 0 : 3);
			rig_audit(&r);
			assert_int_equal(hvo_pool_alloc(pool, 0, 2, &pfn), 0);
			rig_fill_some(&r, pfn, GIGA, 3);
			assert_true(rig_some_intact(&r, pfn, GIGA, 3));
			assert_int_equal(hvo_pool_free(pool, pfn), 0);
			/* All of it can be had again, and put together again. */
			assert_int_equal(rig_resize(pool, ANY, 0).done, 3);
			rig_audit(&r);
			assert_int_equal(rig_resize(pool, 1, 1).done, 1);
			rig_audit(&r);
			rig_close(&r);
		}
	}
}
EACH_MODE(boot_nodes)

static void test_boot_arguments(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 2 * 3072);
	struct rig r;

	(void)state;
	cfg.nr_nodes = 2;
	cfg.boot_gigantic_nodes[1] = 9;
	cfg.boot_gigantic = 8;
	assert_int_equal(hvo_machine_size(&cfg), 0);
	cfg.boot_gigantic = 9;
	assert_int_not_equal(hvo_machine_size(&cfg), 0);
	cfg.boot_gigantic_nodes[2] = 1;
	assert_int_equal(hvo_machine_size(&cfg), 0);
	cfg.boot_gigantic_nodes[2] = 0;
	/* As many as fit there. */
	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(rig_pool(hvo_pool_find(r.m, 18), 0).total, 0);
	assert_int_equal(rig_pool(hvo_pool_find(r.m, 18), 1).total, 2);
	rig_audit(&r);
	rig_close(&r);
}

/* ---- nodes that are all movable ---------------------------------------------------------------- */

#define NODE_MIB 512
#define NODE_FRAMES (NODE_MIB * MIB / HVO_FRAME_SIZE)

/* Of 4 nodes, 0 and 3 have no NORMAL memory: descriptors of both lie in node 1. */
static struct hvo_config movable_config(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 4 * NODE_MIB);

	cfg.nr_nodes = 4;
	cfg.movable_nodes = 0x9;
	cfg.cma_bytes = 128 * MIB;
	cfg.movable_bytes = 128 * MIB;
	cfg.hotplug_bytes = 128 * MIB;
	return cfg;
}

static bool frames_on(struct rig *r, hvo_pfn_t start, hvo_pfn_t end, int node)
{
	hvo_pfn_t pfn, at;

	for (pfn = start; pfn < end; pfn += 512) {
		at = rig_backing(r, rig_head_slot(r, pfn >> 9));
		if (at / NODE_FRAMES != (uint64_t)node)
			return false;
	}
	return true;
}

static void movable_node(enum hvo_mode mode)
{
	static const uint64_t normal[4] = { 0, 256, 256, 0 }, movable[4] = { 512, 128, 128, 512 };
	static const uint64_t own[4] = { 0, 3, 1, 0 };
	struct hvo_config cfg = movable_config(mode);
	struct hvo_machine_stat at_start = { .size = sizeof(at_start) };
	struct hvo_pool *huge;
	struct hog hog = { 0 };
	hvo_pfn_t pfn = 0;
	uint64_t each, i;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	rig_audit(&r);
	each = NODE_FRAMES / 512 * rig_lasting(&r);
	at_start = rig_stat(&r);
	for (i = 0; i < 4; i++) {
		struct hvo_zone_stat z = rig_zone(&r, (int)i, HVO_ZONE_NORMAL);
		uint64_t tails = mode == HVO_ON_DEMAND && each ? own[i] * rig_tails(&r) : 0;

		assert_int_equal(z.present, normal[i] * MIB / HVO_FRAME_SIZE);
		assert_int_equal(z.managed, z.present - own[i] * each - tails);
		assert_int_equal(rig_zone(&r, (int)i, HVO_ZONE_MOVABLE).managed,
				 movable[i] * MIB / HVO_FRAME_SIZE);
		assert_true(!each ||
			    frames_on(&r, i * NODE_FRAMES, (i + 1) * NODE_FRAMES, i == 2 ? 2 : 1));
	}
	/* What cannot be moved is nowhere on it; what can is, cut as well. */
	assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_KERNEL | HVO_GFP_THISNODE | HVO_GFP_NOWARN, 0,
					 0, &pfn),
			 -HVO_ENOMEM);
	assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_KERNEL, 0, 0, &pfn), 0);
	assert_int_equal(pfn / NODE_FRAMES, 1);
	rig_put(&r, pfn);
	assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_USER | HVO_GFP_THISNODE, 0, 0, &pfn), 0);
	assert_int_equal(pfn / NODE_FRAMES, 0);
	rig_audit(&r);
	rig_put(&r, pfn);
	/* Pools on it, but for what a movable zone keeps back, with no frame free while they shrink. */
	huge = rig_pool_new(&r, 9);
	assert_int_equal(rig_resize(huge, 0, 255).done, 255);
	rig_audit(&r);
	assert_int_equal(rig_pool(huge, 0).optimized, 255);
	if (mode == HVO_ON_DEMAND)
		hog_all(&r, &hog, 0, false);
	assert_int_equal(rig_resize(huge, 0, 0).done, 255);
	assert_int_equal(rig_pool(huge, 0).surplus, 0);
	rig_audit(&r);
	hog_release(&r, &hog, UINT64_MAX);
	hvo_collapse(r.m, UINT64_MAX, NULL);
	rig_audit(&r);
	if (mode == HVO_ON_DEMAND)
		assert_int_equal(rig_stat(&r).free_frames, at_start.free_frames);
	rig_close(&r);
}
EACH_MODE(movable_node)

/*
 * A policy for frames of the page's own node finds none there, ever, as Linux before 6.7: homes are
 * elsewhere, too. One for any node brings all of them home.
 */
static void test_movable_policies(void **state)
{
	static const char *const policies[] = { "noretry", "mayfail-node", "mayfail" };
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		struct hvo_config cfg = movable_config(HVO_LINUX);
		struct hvo_resize_result res = { .size = sizeof(res) };
		struct hvo_pool *huge;
		uint64_t page;
		struct rig r;

		rig_open(&r, RIG_SIM, &cfg);
		huge = rig_pool_new(&r, 9);
		assert_int_equal(hvo_pool_set_policy(huge, hvo_policy_find(policies[i])), 0);
		assert_int_equal(rig_resize(huge, 3, 200).done, 200);
		res = rig_resize(huge, 3, 0);
		assert_int_equal(res.done, i == 2 ? 200 : 0);
		assert_int_equal(res.refused, i == 2 ? 0 : 200);
		rig_audit(&r);
		for (page = rig_tail_slot(&r, 3 * NODE_FRAMES >> 9); i == 2 && page % 7; page++)
			assert_int_equal(rig_backing(&r, page) / NODE_FRAMES, 1);
		/* On the other nodes they do. */
		assert_int_equal(rig_resize(huge, 1, 20).done, 20);
		assert_int_equal(rig_resize(huge, 1, 0).done, 20);
		rig_audit(&r);
		rig_close(&r);
	}
}

/* All of it goes offline, is removed, comes back; more is added to it. */
static void movable_plug(enum hvo_mode mode)
{
	struct hvo_config cfg = movable_config(mode);
	hvo_pfn_t end = 4 * NODE_FRAMES, pfn = 0;
	struct hvo_machine_stat before = { .size = sizeof(before) }, now = { .size = sizeof(now) };
	struct hvo_pool *huge;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	before = rig_stat(&r);
	huge = rig_pool_new(&r, 9);
	assert_int_equal(rig_resize(huge, 0, 100).done, 100);
	assert_int_equal(hvo_memory_offline(r.m, 0, NODE_FRAMES), 0);
	assert_int_equal(rig_zone(&r, 0, HVO_ZONE_MOVABLE).present, 0);
	assert_int_equal(rig_pool(huge, 0).total, 0);
	rig_audit(&r);
	assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_USER, 9, 0, &pfn), 0);
	assert_int_not_equal(pfn / NODE_FRAMES, 0);
	rig_put(&r, pfn);
	assert_int_equal(hvo_memory_remove(r.m, 0, NODE_FRAMES), 0);
	rig_audit(&r);
	assert_int_equal(hvo_memory_add(r.m, 0, 0, NODE_FRAMES, 0), 0);
	assert_int_equal(hvo_memory_online(r.m, 0, NODE_FRAMES, HVO_ZONE_MOVABLE), 0);
	rig_audit(&r);
	assert_int_equal(hvo_memory_add(r.m, 0, end, end + HVO_SECTION_FRAMES, 0), 0);
	assert_int_equal(hvo_memory_online(r.m, end, end + HVO_SECTION_FRAMES, HVO_ZONE_MOVABLE),
			 0);
	rig_audit(&r);
	assert_int_equal(rig_resize(huge, 0, 280).done, 280);
	rig_audit(&r);
	assert_int_equal(rig_resize(huge, 0, 0).done, 280);
	assert_int_equal(hvo_memory_offline(r.m, end, end + HVO_SECTION_FRAMES), 0);
	assert_int_equal(hvo_memory_remove(r.m, end, end + HVO_SECTION_FRAMES), 0);
	/* NORMAL memory can be had there, too. */
	assert_int_equal(hvo_memory_add(r.m, 0, end, end + HVO_SECTION_FRAMES, 0), 0);
	assert_int_equal(hvo_memory_online(r.m, end, end + HVO_SECTION_FRAMES, HVO_ZONE_NORMAL), 0);
	assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_KERNEL | HVO_GFP_THISNODE, 0, 0, &pfn), 0);
	assert_true(pfn >= end);
	rig_put(&r, pfn);
	hvo_collapse(r.m, UINT64_MAX, NULL);
	assert_int_equal(hvo_memory_offline(r.m, end, end + HVO_SECTION_FRAMES), 0);
	assert_int_equal(hvo_memory_remove(r.m, end, end + HVO_SECTION_FRAMES), 0);
	rig_audit(&r);
	hvo_collapse(r.m, UINT64_MAX, NULL);
	now = rig_stat(&r);
	assert_int_equal(now.free_frames + now.memmap + now.memmap_boot,
			 before.free_frames + before.memmap + before.memmap_boot);
	rig_close(&r);
}
EACH_MODE(movable_plug)

/* A frame fails that holds descriptors of a node that is elsewhere: they move, nothing is lost. */
static void movable_failure(enum hvo_mode mode)
{
	struct hvo_config cfg = movable_config(mode);
	hvo_pfn_t pfn, frame;
	struct rig r;
	int i;

	rig_open(&r, RIG_SIM, &cfg);
	for (i = 0; i < 4; i += 3) {
		pfn = (hvo_pfn_t)i * NODE_FRAMES + 7 * 512;
		frame = rig_backing(&r, rig_head_slot(&r, pfn >> 9));
		if (!rig_lasting(&r)) {
			assert_true(frame == HVO_SHARED_TAIL);
			continue;
		}
		assert_int_equal(frame / NODE_FRAMES, 1);
		assert_int_equal(hvo_memory_failure(r.m, frame), 0);
		assert_int_not_equal(rig_backing(&r, rig_head_slot(&r, pfn >> 9)), frame);
		rig_audit(&r);
	}
	rig_close(&r);
}
EACH_MODE(movable_failure)

static void test_movable_arguments(void **state)
{
	struct hvo_config cfg = movable_config(HVO_LINUX);

	(void)state;
	assert_int_not_equal(hvo_machine_size(&cfg), 0);
	cfg.movable_nodes = 0xf;
	assert_int_equal(hvo_machine_size(&cfg), 0);
	cfg.movable_nodes = 0x10;
	assert_int_equal(hvo_machine_size(&cfg), 0);
	/* NORMAL of one node holds the descriptors of 63 others, or not. */
	cfg = rig_config(HVO_LINUX, 64 * 1024);
	cfg.nr_nodes = 64;
	cfg.movable_nodes = UINT64_MAX - 1;
	assert_int_equal(hvo_machine_size(&cfg), 0);
	cfg.mode = HVO_ON_DEMAND;
	assert_int_not_equal(hvo_machine_size(&cfg), 0);
}

/* ---- many pages at once -------------------------------------------------------------- */

#define AT_ONCE_NODES 3

/* A machine whose nodes have unlike amounts of free memory, in pieces. */
static struct hvo_pool *open_uneven(struct rig *r, uint64_t seed)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, AT_ONCE_NODES * 512);
	struct hvo_pool *pool;
	hvo_pfn_t v[400];
	unsigned int nr = 0, i, order;

	cfg.nr_nodes = AT_ONCE_NODES;
	cfg.movable_bytes = seed % 2 ? 128 * MIB : 0;
	rig_open(r, RIG_SIM, &cfg);
	pool = rig_pool_new(r, 9);
	for (i = 0; i < 400; i++) {
		int node = (int)(rig_random(&seed) % 4);

		order = (unsigned int)rig_random(&seed) % (i % 8 ? 12 : 15);
		if (!hvo_alloc_pages(r->m, GFP_HOG | HVO_GFP_THISNODE, order, node == 3 ? 0 : node,
				     &v[nr]))
			nr++;
	}
	for (i = 0; i < nr; i++)
		if (rig_random(&seed) % 2)
			rig_put(r, v[i]);
	return pool;
}

static int compare_pfns(const void *a, const void *b)
{
	const hvo_pfn_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* All free pages of a pool, in order of their frames. */
static unsigned int take_all(struct hvo_pool *pool, hvo_pfn_t *pfns)
{
	unsigned int nr = 0;

	while (!hvo_pool_alloc(pool, HVO_GFP_NOWARN, ANY, &pfns[nr]))
		nr++;
	qsort(pfns, nr, sizeof(*pfns), compare_pfns);
	return nr;
}

/* What grows in batches takes the very pages that it would take one by one, in turn over nodes. */
static void test_grow_at_once(void **state)
{
	hvo_pfn_t pfns[2][AT_ONCE_NODES * 256];
	unsigned int nr[2], batches = 0, i;
	struct hvo_pool *pool[2];
	uint64_t seed, n, want, random = 1;
	struct rig r[2];
	int node;

	(void)state;
	for (seed = 1; seed <= 24; seed++) {
		for (i = 0; i < 2; i++)
			pool[i] = open_uneven(&r[i], seed);
		want = 20 + rig_random(&random) % (AT_ONCE_NODES * 256);
		n = rig_resize(pool[0], ANY, want).done;
		while (rig_resize(pool[1], ANY, rig_pool(pool[1], ANY).total + 1).done &&
		       rig_pool(pool[1], ANY).total < want)
			;
		assert_int_equal(rig_pool(pool[0], ANY).total, n);
		for (node = 0; node < AT_ONCE_NODES; node++) {
			struct hvo_pool_stat a = rig_pool(pool[0], node);

			assert_int_equal(a.total, rig_pool(pool[1], node).total);
			batches += a.total > 20;
		}
		rig_audit(&r[0]);
		for (i = 0; i < 2; i++)
			nr[i] = take_all(pool[i], pfns[i]);
		assert_int_equal(nr[0], n);
		assert_int_equal(nr[1], n);
		assert_memory_equal(pfns[0], pfns[1], n * sizeof(pfns[0][0]));
		for (i = 0; i < 2; i++)
			rig_close(&r[i]);
	}
	assert_true(batches > 10);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cma_pool),	 cmocka_unit_test(test_cma_carved),
		cmocka_unit_test(test_cma_places),	 cmocka_unit_test(test_boot_nodes),
		cmocka_unit_test(test_boot_arguments),	 cmocka_unit_test(test_movable_node),
		cmocka_unit_test(test_movable_policies), cmocka_unit_test(test_movable_plug),
		cmocka_unit_test(test_movable_failure),	 cmocka_unit_test(test_movable_arguments),
		cmocka_unit_test(test_grow_at_once),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
