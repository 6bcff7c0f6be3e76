/* SPDX-License-Identifier: MIT */
/*
 * What goes to another node, and what must not: memory that is taken offline empties into the other
 * nodes; a contiguous range empties within its own, and a huge page never leaves that.
 *
 *	node 0 [ NORMAL | MOVABLE ]	node 1 [ NORMAL | MOVABLE ]
 *
 * In Linux: mm/memory_hotplug.c, do_migrate_range(); mm/page_alloc.c,
 * __alloc_contig_migrate_range(); include/linux/hugetlb.h, htlb_allow_alloc_fallback().
 */
#include "holder.h"

#include <hvo/contig.h>
#include <hvo/hotplug.h>
#include <hvo/migrate.h>

#include <string.h>

#define ANY HVO_NODE_ANY
#define NODE_FRAMES (UINT64_C(512) * MIB / HVO_FRAME_SIZE)
#define SECTION ((hvo_pfn_t)HVO_SECTION_FRAMES)
#define MOVABLE (NODE_FRAMES - SECTION)

static const enum hvo_mode modes[] = { HVO_ON_DEMAND, HVO_LINUX };

/* Two nodes, and one who can move what he has. */
struct world {
	struct rig r;
	struct holder h;
	hvo_pfn_t eaten[2 * NODE_FRAMES];
	uint64_t nr_eaten;
};

static struct world world;

static struct world *world_open_as(const struct hvo_config *cfg)
{
	struct world *w = &world;

	memset(w, 0, sizeof(*w));
	rig_open(&w->r, RIG_SIM, cfg);
	holder_open(&w->h, &w->r, 0);
	return w;
}

static struct world *world_open(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 1024);

	cfg.nr_nodes = 2;
	cfg.movable_bytes = 128 * MIB;
	return world_open_as(&cfg);
}

static void world_close(struct world *w)
{
	rig_audit(&w->r);
	while (w->nr_eaten)
		rig_put(&w->r, w->eaten[--w->nr_eaten]);
	holder_close(&w->h);
	hvo_work(w->r.m, UINT64_MAX, NULL);
	rig_audit(&w->r);
	rig_close(&w->r);
}

static int node_of(hvo_pfn_t pfn)
{
	return (int)(pfn / NODE_FRAMES);
}

static hvo_pfn_t hold(struct world *w, hvo_pfn_t pfn, unsigned int order)
{
	holder_hold(&w->h, pfn, order, 0);
	return pfn;
}

/* Blocks of a node for users, which come from MOVABLE first. */
static hvo_pfn_t hold_block(struct world *w, int node, unsigned int order)
{
	hvo_pfn_t pfn = HVO_PFN_NONE;

	assert_int_equal(
		hvo_alloc_pages(w->r.m, HVO_GFP_USER | HVO_GFP_THISNODE, order, node, &pfn), 0);
	return hold(w, pfn, order);
}

static hvo_pfn_t hold_huge(struct world *w, struct hvo_pool *pool, int node)
{
	hvo_pfn_t pfn = HVO_PFN_NONE;

	assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_KERNEL | HVO_GFP_THISNODE, node, &pfn), 0);
	return hold(w, pfn, HVO_PAGEBLOCK_ORDER);
}

/* All that is free of a node is somebody's. */
static void eat(struct world *w, int node)
{
	unsigned int order = HVO_MAX_ORDER + 1;
	hvo_pfn_t pfn;

	while (order--)
		while (!hvo_alloc_pages(w->r.m, GFP_HOG | HVO_GFP_THISNODE, order, node, &pfn))
			w->eaten[w->nr_eaten++] = pfn;
}

/* How many of the blocks are on another node than they were, and on the one where they were. */
static void count(const struct world *w, unsigned int *ret_away, unsigned int *ret_moved)
{
	unsigned int i;

	*ret_away = *ret_moved = 0;
	for (i = 0; i < w->h.nr; i++) {
		if (w->h.held[i].pfn == HVO_PFN_NONE)
			continue;
		*ret_away += node_of(w->h.held[i].pfn) != node_of(w->h.held[i].was);
		*ret_moved += w->h.held[i].pfn != w->h.held[i].was;
	}
}

static void assert_all_away(const struct world *w, bool away)
{
	unsigned int nr_away, nr_moved;

	count(w, &nr_away, &nr_moved);
	assert_int_equal(nr_moved, w->h.nr);
	assert_int_equal(nr_away, away ? w->h.nr : 0);
}

/* ---- offline ---------------------------------------------------------------------------- */

/* In the movable section of node 0: small and large blocks, huge pages in use. */
static struct hvo_pool *fill_section(struct world *w)
{
	struct hvo_pool *pool = rig_pool_new(&w->r, HVO_PAGEBLOCK_ORDER);
	unsigned int i;

	rig_resize(pool, 0, 4);
	for (i = 0; i < 4; i++)
		hold_huge(w, pool, 0);
	for (i = 0; i < 60; i++)
		hold_block(w, 0, i % 11);
	for (i = 0; i < w->h.nr; i++)
		assert_true(w->h.held[i].pfn >= MOVABLE && w->h.held[i].pfn < NODE_FRAMES);
	return pool;
}

/* Both nodes have plenty of room: all goes to the other. */
static void test_offline(void **state)
{
	struct hvo_pool *pool;
	struct world *w;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		w = world_open(modes[i]);
		pool = fill_section(w);
		assert_int_equal(hvo_memory_offline(w->r.m, MOVABLE, NODE_FRAMES), 0);
		assert_all_away(w, true);
		assert_int_equal(rig_pool(pool, 0).total, 0);
		assert_int_equal(rig_pool(pool, 1).total, 4);
		world_close(w);
	}
}

/* A free page of the pool serves, too, of another node only. */
static void test_offline_free_pages(void **state)
{
	struct hvo_pool *pool;
	struct world *w;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		w = world_open(modes[i]);
		pool = fill_section(w);
		rig_resize(pool, 0, 6);
		rig_resize(pool, 1, 3);
		assert_int_equal(hvo_memory_offline(w->r.m, MOVABLE, NODE_FRAMES), 0);
		assert_all_away(w, true);
		/* Three of four went to pages that were there, and the two free ones went. */
		assert_int_equal(rig_pool(pool, 1).total, 4);
		assert_int_equal(rig_pool(pool, 0).total, 0);
		world_close(w);
	}
}

/* Free pages that are promised: others take their place, on the other node. */
static void test_offline_reserved(void **state)
{
	struct hvo_pool *pool;
	struct world *w;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		w = world_open(modes[i]);
		pool = rig_pool_new(&w->r, HVO_PAGEBLOCK_ORDER);
		rig_resize(pool, 0, 5);
		assert_int_equal(hvo_pool_reserve(pool, ANY, 5), 0);
		/* Two of them are surplus. */
		rig_resize(pool, ANY, 3);
		assert_int_equal(hvo_memory_offline(w->r.m, MOVABLE, NODE_FRAMES), 0);
		assert_int_equal(rig_pool(pool, 0).total, 0);
		assert_int_equal(rig_pool(pool, 0).surplus, 0);
		assert_int_equal(rig_pool(pool, 1).total, 5);
		assert_int_equal(rig_pool(pool, 1).surplus, 2);
		world_close(w);
	}
}

/* The others are full. Linux gives up, whatever the node itself has. */
static void test_offline_others_full(void **state)
{
	struct world *w;
	unsigned int i, away, moved;

	(void)state;
	for (i = 0; i < 2; i++) {
		w = world_open(modes[i]);
		fill_section(w);
		eat(w, 1);
		if (modes[i] == HVO_LINUX) {
			assert_int_equal(hvo_memory_offline(w->r.m, MOVABLE, NODE_FRAMES),
					 -HVO_ENOMEM);
			count(w, &away, &moved);
			assert_int_equal(moved, 0);
		} else {
			assert_int_equal(hvo_memory_offline(w->r.m, MOVABLE, NODE_FRAMES), 0);
			assert_all_away(w, false);
		}
		world_close(w);
	}
}

/* No other node has memory: all of node 1 is offline. */
static void test_offline_only_node(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 512);
	struct hvo_pool *pool;
	struct world *w;
	unsigned int i;

	(void)state;
	cfg.movable_bytes = 128 * MIB;
	for (i = 0; i < 2; i++) {
		cfg.mode = modes[i];
		w = world_open_as(&cfg);
		pool = fill_section(w);
		assert_int_equal(hvo_memory_offline(w->r.m, MOVABLE, NODE_FRAMES), 0);
		assert_all_away(w, false);
		assert_int_equal(rig_pool(pool, 0).total, 4);
		world_close(w);
	}
}

/* ---- contiguous ranges ---------------------------------------------------------------------- */

static hvo_pfn_t pageblock_of(hvo_pfn_t pfn)
{
	return pfn & ~(hvo_pfn_t)(HVO_PAGEBLOCK_FRAMES - 1);
}

/* Its own node is full, the other one is not: a huge page stays, in the buddy or in the pool. */
static void huge_stays(enum hvo_mode mode, bool free_page)
{
	struct world *w = world_open(mode);
	struct hvo_pool *pool = rig_pool_new(&w->r, HVO_PAGEBLOCK_ORDER);
	hvo_pfn_t pfn;

	rig_resize(pool, 0, 1);
	rig_resize(pool, 1, free_page);
	pfn = hold_huge(w, pool, 0);
	eat(w, 0);
	assert_int_not_equal(hvo_alloc_contig_range(w->r.m, pfn, pfn + 512, HVO_GFP_NOWARN), 0);
	assert_int_equal(w->h.held[0].pfn, pfn);
	assert_int_equal(rig_pool(pool, 0).total, 1);
	assert_int_equal(rig_pool(pool, 1).total, free_page);
	rig_audit(&w->r);
	/* A part of it is not had either. */
	assert_int_not_equal(hvo_alloc_contig_range(w->r.m, pfn + 7, pfn + 9, HVO_GFP_NOWARN), 0);
	assert_int_equal(w->h.held[0].pfn, pfn);
	/* With room on its own node it goes there. */
	while (w->nr_eaten)
		rig_put(&w->r, w->eaten[--w->nr_eaten]);
	assert_int_equal(hvo_alloc_contig_range(w->r.m, pfn, pfn + 512, 0), 0);
	assert_all_away(w, false);
	assert_int_equal(rig_pool(pool, 0).total, 1);
	assert_int_equal(hvo_free_contig_range(w->r.m, pfn, pfn + 512), 0);
	world_close(w);
}

static void test_contig_huge(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		huge_stays(modes[i], false);
		huge_stays(modes[i], true);
	}
}

/* Ordinary blocks go to the other node when theirs is full. */
static void test_contig_blocks(void **state)
{
	struct world *w;
	unsigned int i, k;
	hvo_pfn_t start;

	(void)state;
	for (i = 0; i < 2; i++) {
		w = world_open(modes[i]);
		start = pageblock_of(hold_block(w, 0, 0));
		for (k = 0; k < 100; k++)
			assert_int_equal(pageblock_of(hold_block(w, 0, k % 3)), start);
		eat(w, 0);
		/* What the hog has in it goes. */
		for (k = 0; k < w->nr_eaten; k++) {
			if (pageblock_of(w->eaten[k]) != start)
				continue;
			rig_put(&w->r, w->eaten[k]);
			w->eaten[k--] = w->eaten[--w->nr_eaten];
		}
		assert_int_equal(hvo_alloc_contig_range(w->r.m, start, start + 512, 0), 0);
		assert_all_away(w, true);
		assert_int_equal(hvo_free_contig_range(w->r.m, start, start + 512), 0);
		world_close(w);
	}
}

/* What the hog has of a range is the holder's, too. */
static void adopt(struct world *w, hvo_pfn_t start, hvo_pfn_t end)
{
	uint64_t k;

	for (k = 0; k < w->nr_eaten; k++) {
		hvo_pfn_t pfn = w->eaten[k];

		if (pfn < start || pfn >= end)
			continue;
		hold(w, pfn, rig_page(&w->r, pfn)->order);
		w->eaten[k--] = w->eaten[--w->nr_eaten];
	}
}

/* Something of the range stays: a call that fails leaves the rest on its node, which is full. */
static void contig_fails(enum hvo_mode mode, bool huge)
{
	struct world *w = world_open(mode);
	struct hvo_pool *pool = rig_pool_new(&w->r, HVO_PAGEBLOCK_ORDER);
	unsigned int k, away, moved;

	rig_resize(pool, 0, huge);
	if (huge)
		hold_huge(w, pool, 0);
	else
		w->h.stays = hold_block(w, 0, HVO_PAGEBLOCK_ORDER);
	for (k = 0; k < 200; k++)
		hold_block(w, 0, k % 3);
	eat(w, 0);
	adopt(w, MOVABLE, NODE_FRAMES);
	assert_int_not_equal(hvo_alloc_contig_range(w->r.m, MOVABLE, NODE_FRAMES, HVO_GFP_NOWARN),
			     0);
	count(w, &away, &moved);
	assert_int_equal(away, 0);
	/* Without it the call works, and all of that is on the other node. */
	holder_let_go(&w->h, 0);
	assert_int_equal(rig_resize(pool, ANY, 0).refused, 0);
	assert_int_equal(hvo_alloc_contig_range(w->r.m, MOVABLE, NODE_FRAMES, 0), 0);
	count(w, &away, &moved);
	assert_true(away > 200);
	assert_int_equal(hvo_free_contig_range(w->r.m, MOVABLE, NODE_FRAMES), 0);
	world_close(w);
}

static void test_contig_fails(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		contig_fails(modes[i], false);
		contig_fails(modes[i], true);
	}
}

/* Compaction never leaves the node: what it could gain is there. */
static void test_compact(void **state)
{
	struct hvo_pool *pool;
	struct world *w;
	unsigned int i, k, away, moved;

	(void)state;
	for (i = 0; i < 2; i++) {
		w = world_open(modes[i]);
		pool = rig_pool_new(&w->r, HVO_PAGEBLOCK_ORDER);
		rig_resize(pool, 0, 40);
		for (k = 0; k < 40; k++)
			hold_huge(w, pool, 0);
		eat(w, 0);
		/* Every other one of them is free, and there is room on node 1. */
		for (k = 0; k < 40; k += 2)
			holder_let_go(&w->h, k);
		rig_resize(pool, 1, 4);
		rig_resize(pool, 0, 20);
		assert_true(hvo_compact(w->r.m, 0, HVO_PAGEBLOCK_ORDER + 2, UINT64_MAX, NULL) >= 0);
		count(w, &away, &moved);
		assert_int_equal(away, 0);
		assert_int_equal(rig_pool(pool, 0).total, 20);
		world_close(w);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offline),
		cmocka_unit_test(test_offline_free_pages),
		cmocka_unit_test(test_offline_reserved),
		cmocka_unit_test(test_offline_others_full),
		cmocka_unit_test(test_offline_only_node),
		cmocka_unit_test(test_contig_huge),
		cmocka_unit_test(test_contig_blocks),
		cmocka_unit_test(test_contig_fails),
		cmocka_unit_test(test_compact),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
