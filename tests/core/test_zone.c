// SPDX-License-Identifier: MIT
/*
 * Zones and the buddy allocator: orders, watermarks, flags, reclaim, reference and
 * map counts, splitting, and that no user sees another's bytes.
 *
 * States and locks: none beyond one machine for each test.
 * In Linux: mm/page_alloc.c; lib/test_free_pages.c.
 */
#include "harness.h"

#include <string.h>

#include "core/base.h"

#define BOTH(f)                            \
	static void test_##f(void **state) \
	{                                  \
		(void)state;               \
		f(HVO_ON_DEMAND);          \
		f(HVO_LINUX);              \
	}

/* On-demand mode puts collapsing off: after it all that is free is whole. */
static uint64_t settled(struct rig *r)
{
	hvo_collapse(r->m, UINT64_MAX, NULL);
	return rig_free(r);
}

static int try_alloc(struct rig *r, unsigned int gfp, unsigned int order, int node)
{
	hvo_pfn_t pfn = HVO_PFN_NONE;
	int rc = hvo_alloc_pages(r->m, gfp, order, node, &pfn);

	if (rc)
		assert_true(pfn == HVO_PFN_NONE);
	else
		rig_put(r, pfn);
	return rc;
}

/* ---- orders -------------------------------------------------------------------------- */

static void orders(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 2048);
	unsigned int order;
	uint64_t before;
	hvo_pfn_t pfn;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	before = settled(&r);
	for (order = 0; order <= HVO_MAX_ORDER; order++) {
		uint64_t cuts = rig_stat(&r).cuts;

		pfn = rig_alloc(&r, HVO_GFP_KERNEL, order);
		cuts = rig_stat(&r).cuts - cuts;
		assert_int_equal(pfn & ((UINT64_C(1) << order) - 1), 0);
		assert_int_equal(rig_free(&r),
				 before - (UINT64_C(1) << order) - rig_tails(&r) * cuts);
		assert_int_equal(hvo_page_state(rig_page(&r, pfn)), HVO_PAGE_USED);
		assert_int_equal(rig_page(&r, pfn)->order, order);
		rig_audit(&r);
		rig_put(&r, pfn);
		assert_int_equal(settled(&r), before);
		rig_audit(&r);
	}
	rig_close(&r);
}
BOTH(orders)

/* Every frame can be had, singly and in blocks, and all come back. */
static void exhaust(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	struct hog h = { 0 };
	uint64_t before, i, n;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	before = settled(&r);
	for (n = 0; n < 3; n++) {
		hog_all(&r, &h, n * 100, false);
		assert_int_equal(try_alloc(&r, GFP_HOG | HVO_GFP_NORETRY, 9, HVO_NODE_ANY),
				 -HVO_ENOMEM);
		rig_audit(&r);
		/* In another order than they were taken. */
		for (i = 0; i < h.nr; i += 2) {
			struct hog_block b = h.blocks[i];

			h.blocks[i] = h.blocks[h.nr - 1 - i / 3];
			h.blocks[h.nr - 1 - i / 3] = b;
		}
		hog_release(&r, &h, UINT64_MAX);
		rig_audit(&r);
		assert_int_equal(settled(&r), before);
		rig_audit(&r);
	}
	rig_close(&r);
}
BOTH(exhaust)

/* ---- watermarks and flags ------------------------------------------------------------ */

/* Order-0 allocations that succeed with these flags, all given back. */
static uint64_t how_many(struct rig *r, unsigned int gfp)
{
	static hvo_pfn_t pfn[4096];
	uint64_t n = 0, i;

	while (n < 4096 && !hvo_alloc_pages(r->m, gfp | HVO_GFP_NOWARN, 0, 0, &pfn[n]))
		n++;
	for (i = 0; i < n; i++)
		rig_put(r, pfn[i]);
	return n;
}

static void watermarks(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	struct hog h = { 0 };
	struct hvo_zone_stat z = { .size = sizeof(z) };
	struct rig r;
	uint64_t min = 200;

	cfg.min_free_bytes = min * HVO_FRAME_SIZE;
	rig_open(&r, RIG_SIM, &cfg);
	z = rig_zone(&r, 0, HVO_ZONE_NORMAL);
	assert_int_equal(z.watermark_min, min);
	assert_true(z.watermark_low > z.watermark_min && z.watermark_high > z.watermark_low);
	hog_all(&r, &h, 1000, false);
	assert_int_equal(how_many(&r, HVO_GFP_KERNEL), 1000 - min);
	assert_int_equal(how_many(&r, 0), 1000 - min);
	assert_int_equal(how_many(&r, HVO_GFP_ATOMIC), 1000 - min / 2);
	assert_int_equal(how_many(&r, HVO_GFP_KERNEL | HVO_GFP_MEMALLOC), 1000);
	assert_int_equal(rig_free(&r), 1000);
	rig_audit(&r);
	hog_release(&r, &h, UINT64_MAX);
	rig_close(&r);
}
BOTH(watermarks)

static void default_watermarks(enum hvo_mode mode)
{
	struct hvo_config cfg = {
		.size = sizeof(cfg), .memory_bytes = 1024 * MIB, .mode = mode, .nr_nodes = 2
	};
	uint64_t sum = 0, kib, root = 0, total;
	struct rig r;

	cfg.movable_bytes = 128 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	total = rig_stat(&r).total_frames * 4;
	for (int n = 0; n < 2; n++)
		total -= rig_zone(&r, n, HVO_ZONE_MOVABLE).managed * 4;
	while ((root + 1) * (root + 1) <= total)
		root++;
	kib = 4 * root;
	assert_int_equal(hvo_min_free(r.m), kib << 10);
	for (int n = 0; n < 2; n++)
		for (int t = 0; t < HVO_NR_ZONES; t++)
			if (t != HVO_ZONE_MOVABLE)
				sum += rig_zone(&r, n, (enum hvo_zone_type)t).watermark_min;
	/* Each zone rounds down. */
	assert_in_range(sum, kib / 4 - 4, kib / 4);
	rig_close(&r);
}
BOTH(default_watermarks)

/* What is kept back can be changed, and is kept back from then on. */
static void min_free(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 512);
	struct hvo_zone_stat before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	hvo_pfn_t pfn;
	struct rig r;

	cfg.movable_bytes = 256 * MIB;
	cfg.hotplug_bytes = 128 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_min_free(r.m), HVO_FRAME_SIZE);
	assert_int_equal(hvo_set_min_free(r.m, HVO_MIN_FREE_MAX + 1), -HVO_EINVAL);
	assert_int_equal(hvo_min_free(r.m), HVO_FRAME_SIZE);
	before = rig_zone(&r, 0, HVO_ZONE_NORMAL);
	assert_int_equal(hvo_set_min_free(r.m, before.free * HVO_FRAME_SIZE), 0);
	after = rig_zone(&r, 0, HVO_ZONE_NORMAL);
	assert_int_equal(after.watermark_min, before.free);
	assert_int_equal(after.watermark_low, before.free + before.free / 4);
	assert_int_equal(after.watermark_high, before.free + before.free / 4 * 2);
	assert_int_equal(rig_zone(&r, 0, HVO_ZONE_MOVABLE).watermark_min, 64);
	assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_KERNEL, 0, 0, &pfn), -HVO_ENOMEM);
	pfn = rig_alloc(&r, HVO_GFP_USER, 0);
	rig_put(&r, pfn);
	pfn = rig_alloc(&r, HVO_GFP_MEMALLOC, 0);
	rig_put(&r, pfn);
	/* More memory is no reason to forget it. */
	pfn = cfg.memory_bytes / HVO_FRAME_SIZE;
	assert_int_equal(hvo_set_min_free(r.m, 0), 0);
	assert_int_equal(hvo_memory_add(r.m, 0, pfn, pfn + HVO_SECTION_FRAMES, 0), 0);
	assert_int_equal(hvo_memory_online(r.m, pfn, pfn + HVO_SECTION_FRAMES, HVO_ZONE_NORMAL), 0);
	assert_int_equal(hvo_min_free(r.m), 0);
	after = rig_zone(&r, 0, HVO_ZONE_NORMAL);
	assert_int_equal(after.watermark_min, 0);
	assert_int_equal(after.watermark_low, after.managed / 1000);
	pfn = rig_alloc(&r, HVO_GFP_KERNEL, 0);
	rig_put(&r, pfn);
	rig_close(&r);
}
BOTH(min_free)

/* What was computed from the size is forgotten once somebody says how much. */
static void min_free_given(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 512);
	hvo_pfn_t pfn = cfg.memory_bytes / HVO_FRAME_SIZE;
	struct rig r;

	cfg.min_free_bytes = 0;
	cfg.hotplug_bytes = 128 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	assert_int_not_equal(hvo_min_free(r.m), 5 * MIB);
	assert_int_equal(hvo_set_min_free(r.m, 5 * MIB), 0);
	assert_int_equal(hvo_memory_add(r.m, 0, pfn, pfn + HVO_SECTION_FRAMES, 0), 0);
	assert_int_equal(hvo_memory_online(r.m, pfn, pfn + HVO_SECTION_FRAMES, HVO_ZONE_NORMAL), 0);
	assert_int_equal(hvo_min_free(r.m), 5 * MIB);
	assert_int_equal(rig_zone(&r, 0, HVO_ZONE_NORMAL).watermark_min, 5 * MIB / HVO_FRAME_SIZE);
	rig_close(&r);
}
BOTH(min_free_given)

static void nodes_and_zones(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 512);
	struct hvo_zone_stat z = { .size = sizeof(z) };
	struct rig r;
	hvo_pfn_t pfn;
	int n;

	cfg.nr_nodes = 2;
	cfg.movable_bytes = 128 * MIB;
	cfg.max_order = 10;
	rig_open(&r, RIG_SIM, &cfg);
	for (n = 0; n < 2; n++) {
		z = rig_zone(&r, n, HVO_ZONE_MOVABLE);
		assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_USER, 3, n, &pfn), 0);
		assert_in_range(pfn, z.start_pfn, z.end_pfn - 1);
		rig_put(&r, pfn);
		z = rig_zone(&r, n, HVO_ZONE_NORMAL);
		assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_KERNEL, 3, n, &pfn), 0);
		assert_in_range(pfn, z.start_pfn, z.end_pfn - 1);
		rig_put(&r, pfn);
	}
	/* All of NORMAL of node 1: the next comes from node 0, or from nowhere. */
	while (!hvo_alloc_pages(r.m, HVO_GFP_MEMALLOC | HVO_GFP_THISNODE | HVO_GFP_NOWARN, 9, 1,
				&pfn))
		assert_in_range(pfn, z.start_pfn, z.end_pfn - 1);
	assert_int_equal(try_alloc(&r, HVO_GFP_KERNEL | HVO_GFP_THISNODE, 9, 1), -HVO_ENOMEM);
	assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_KERNEL, 9, 1, &pfn), 0);
	assert_true(pfn < z.start_pfn);
	rig_put(&r, pfn);
	/* What may move still finds room there. */
	assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_USER | HVO_GFP_THISNODE, 9, 1, &pfn), 0);
	assert_true(pfn >= z.end_pfn);
	rig_put(&r, pfn);
	assert_int_equal(try_alloc(&r, HVO_GFP_KERNEL, 11, 0), -HVO_EINVAL);
	rig_audit(&r);
	rig_close(&r);
}
BOTH(nodes_and_zones)

/* ---- reclaim -------------------------------------------------------------------------- */

struct giver {
	struct hvo_shrinker shrinker;
	struct rig *r;
	struct hog *h;
	uint64_t calls, limit; /* gives at the first so many calls */
};

static uint64_t give(struct giver *g, uint64_t nr)
{
	uint64_t had = g->h->nr;

	if (g->calls++ >= g->limit)
		return 0;
	hog_release(g->r, g->h, nr);
	return had - g->h->nr;
}

static uint64_t scan(struct hvo_shrinker *shrinker, struct hvo_machine *m, uint64_t nr_frames)
{
	(void)m;
	return give(shrinker->arg, nr_frames);
}

static uint64_t notify(void *arg, struct hvo_machine *m, unsigned int order)
{
	(void)m;
	(void)order;
	return give(arg, 64);
}

static void reclaim(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	struct giver s, oom;
	struct hog h = { 0 };
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	s = (struct giver){ { sizeof(s.shrinker), scan, &s, NULL }, &r, &h, 0, 0 };
	oom = (struct giver){ { 0 }, &r, &h, 0, 0 };
	hvo_shrinker_register(r.m, &s.shrinker);
	hvo_set_oom_notifier(r.m, notify, &oom);
	hog_all(&r, &h, 0, false);

	/* Without RECLAIM nobody is asked. */
	assert_int_equal(try_alloc(&r, HVO_GFP_ATOMIC, 0, 0), -HVO_ENOMEM);
	assert_int_equal(s.calls + oom.calls, 0);
	assert_int_equal(r.events[HVO_EVENT_ALLOC_FAILED], 1);
	assert_int_equal(r.last_event[HVO_EVENT_ALLOC_FAILED].b, HVO_GFP_ATOMIC);
	assert_int_equal(try_alloc(&r, HVO_GFP_ATOMIC | HVO_GFP_NOWARN, 0, 0), -HVO_ENOMEM);
	assert_int_equal(r.events[HVO_EVENT_ALLOC_FAILED], 1);
	/* Shrinkers that have nothing: MAYFAIL and NORETRY end there. */
	assert_int_equal(try_alloc(&r, HVO_GFP_KERNEL | HVO_GFP_NORETRY, 0, 0), -HVO_ENOMEM);
	assert_int_equal(s.calls, 1);
	assert_int_equal(try_alloc(&r, HVO_GFP_KERNEL | HVO_GFP_RETRY_MAYFAIL, 0, 0), -HVO_ENOMEM);
	assert_true(s.calls > 1 && oom.calls == 0);
	/* Others ask the notifier too, and believe it. */
	assert_int_equal(try_alloc(&r, HVO_GFP_KERNEL, 0, 0), -HVO_ENOMEM);
	assert_int_equal(oom.calls, 1);
	oom.limit = oom.calls + 1;
	assert_int_equal(try_alloc(&r, HVO_GFP_KERNEL, 0, 0), 0);
	assert_int_equal(oom.calls, 2);
	hog_all(&r, &h, 0, false);
	/* One round of a shrinker is enough for NORETRY. */
	s.calls = 0;
	s.limit = 1;
	assert_int_equal(try_alloc(&r, HVO_GFP_KERNEL | HVO_GFP_NORETRY, 0, 0), 0);
	assert_int_equal(s.calls, 1);
	/* And for a large block it is asked again while it gives. */
	hog_all(&r, &h, 0, false);
	s.calls = 0;
	s.limit = 100;
	assert_int_equal(try_alloc(&r, HVO_GFP_KERNEL | HVO_GFP_RETRY_MAYFAIL, 9, 0), 0);
	assert_true(s.calls > 0 && s.calls <= 16);
	assert_int_equal(hvo_shrinker_unregister(r.m, &s.shrinker), 0);
	assert_int_equal(hvo_shrinker_unregister(r.m, &s.shrinker), -HVO_EINVAL);
	hog_release(&r, &h, UINT64_MAX);
	rig_audit(&r);
	rig_close(&r);
}
BOTH(reclaim)

/* As much as was asked for is enough: no other shrinker is called. */
static uint64_t scan_exactly(struct hvo_shrinker *shrinker, struct hvo_machine *m,
			     uint64_t nr_frames)
{
	struct giver *g = shrinker->arg;

	(void)m;
	g->calls++;
	hog_release(g->r, g->h, 16);
	return nr_frames;
}

static void enough(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	struct giver first = { 0 }, last = { 0 };
	struct hog h = { 0 };
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	last = (struct giver){ { sizeof(last.shrinker), scan_exactly, &last, NULL }, &r, &h, 0, 0 };
	first = (struct giver){
		{ sizeof(last.shrinker), scan_exactly, &first, NULL }, &r, &h, 0, 0
	};
	assert_int_equal(hvo_shrinker_register(r.m, &last.shrinker), 0);
	assert_int_equal(hvo_shrinker_register(r.m, &first.shrinker), 0);
	hog_all(&r, &h, 0, false);
	assert_int_equal(try_alloc(&r, HVO_GFP_KERNEL | HVO_GFP_NORETRY, 0, 0), 0);
	assert_int_equal(first.calls, 1);
	assert_int_equal(last.calls, 0);
	hog_release(&r, &h, UINT64_MAX);
	rig_audit(&r);
	rig_close(&r);
}
BOTH(enough)

/* ---- which block serves ----------------------------------------------------------------- */

static void fullest_first(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	hvo_pfn_t pfn[3 * 64], emptier = 0, fuller = 0;
	unsigned int i, n = 0;
	uint64_t full = 0, empty = 0;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	/* Three blocks' worth of order 3; then the second is thinned out most. */
	for (i = 0; i < 3 * 64; i++)
		pfn[i] = rig_alloc(&r, HVO_GFP_USER, 3);
	fuller = pfn[64] >> HVO_PAGEBLOCK_ORDER;
	emptier = pfn[191] >> HVO_PAGEBLOCK_ORDER;
	for (i = 0; i < 3 * 64; i++) {
		uint64_t block = pfn[i] >> HVO_PAGEBLOCK_ORDER;

		if ((block == fuller && full++ % 8 == 0) ||
		    (block == emptier && empty++ % 2 == 0)) {
			rig_put(&r, pfn[i]);
			n++;
		}
	}
	assert_true(fuller != emptier && n > 8);
	/* What was freed in the fuller one goes first. */
	for (i = 0; i < (full + 7) / 8; i++)
		assert_int_equal(rig_alloc(&r, HVO_GFP_USER, 3) >> HVO_PAGEBLOCK_ORDER, fuller);
	assert_int_equal(rig_alloc(&r, HVO_GFP_USER, 3) >> HVO_PAGEBLOCK_ORDER, emptier);
	rig_audit(&r);
	rig_close(&r);
}
BOTH(fullest_first)

/* Kinds keep to blocks of their own while there are any; then they share. */
static void migrate_types(enum hvo_mode mode)
{
	static const unsigned int kinds[] = { HVO_GFP_KERNEL, HVO_GFP_USER,
					      HVO_GFP_KERNEL | HVO_GFP_RECLAIMABLE };
	struct hvo_config cfg = rig_config(mode, 128);
	hvo_pfn_t pfn[3], freed, got;
	struct hog h = { 0 };
	unsigned int i, k;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	/* One block is cut for descriptors from the start: let it be full. */
	for (i = 0; i < 3; i++)
		pfn[i] = rig_alloc(&r, kinds[i], 0);
	for (i = 0; i < 3; i++)
		for (k = 0; k < i; k++)
			assert_true(pfn[i] >> HVO_PAGEBLOCK_ORDER != pfn[k] >> HVO_PAGEBLOCK_ORDER);
	hog_all(&r, &h, 0, false);
	for (i = 0; i < 3; i++) {
		for (k = 0; k < 3; k++) {
			rig_put(&r, pfn[k]);
			freed = pfn[k];
			assert_int_equal(
				hvo_alloc_pages(r.m, kinds[i] | HVO_GFP_MEMALLOC, 0, 0, &got), 0);
			assert_int_equal(got, freed);
			rig_audit(&r);
		}
	}
	hog_release(&r, &h, UINT64_MAX);
	for (i = 0; i < 3; i++)
		rig_put(&r, pfn[i]);
	rig_audit(&r);
	rig_close(&r);
}
BOTH(migrate_types)

/* A pageblock that is mostly free becomes one of the kind that takes from it; another stays. */
static void type_follows(enum hvo_mode mode)
{
	struct hvo_zone_types types = { .size = sizeof(types) };
	struct hvo_config cfg = rig_config(mode, 128);
	unsigned int kernel = HVO_GFP_KERNEL, reclaimable = kernel | HVO_GFP_RECLAIMABLE, i, nr;
	hvo_pfn_t mine[2], whole[64], pfn;
	uint64_t unmovable;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	mine[0] = rig_alloc(&r, kernel, 0);
	mine[1] = rig_alloc(&r, kernel, 8);
	for (nr = 0; nr < 64; nr++)
		if (hvo_alloc_pages(r.m, kernel | HVO_GFP_NOWARN, 9, 0, &whole[nr]))
			break;
	assert_int_equal(hvo_zone_types(r.m, 0, HVO_ZONE_NORMAL, &types), 0);
	unmovable = types.nr_cut[HVO_MIGRATE_UNMOVABLE];
	assert_int_equal(types.nr_cut[HVO_MIGRATE_RECLAIMABLE], 0);
	/* Less than half is left. */
	pfn = rig_alloc(&r, reclaimable, 7);
	assert_int_equal(hvo_zone_types(r.m, 0, HVO_ZONE_NORMAL, &types), 0);
	assert_int_equal(types.nr_cut[HVO_MIGRATE_UNMOVABLE], unmovable);
	rig_put(&r, pfn);
	rig_put(&r, mine[1]);
	pfn = rig_alloc(&r, reclaimable, 7);
	assert_int_equal(pfn >> HVO_PAGEBLOCK_ORDER, mine[0] >> HVO_PAGEBLOCK_ORDER);
	assert_int_equal(hvo_zone_types(r.m, 0, HVO_ZONE_NORMAL, &types), 0);
	assert_int_equal(types.nr_cut[HVO_MIGRATE_UNMOVABLE], unmovable - 1);
	assert_int_equal(types.nr_cut[HVO_MIGRATE_RECLAIMABLE], 1);
	rig_audit(&r);
	rig_put(&r, pfn);
	rig_put(&r, mine[0]);
	for (i = 0; i < nr; i++)
		rig_put(&r, whole[i]);
	rig_audit(&r);
	rig_close(&r);
}
BOTH(type_follows)

/* What the last user wrote into the words of a block is no business of the next one. */
static void words_of_others(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	hvo_pfn_t pfn, again;
	uint64_t word;
	unsigned int i;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	pfn = rig_alloc(&r, HVO_GFP_KERNEL, 3);
	for (i = 0; i < HVO_PAGE_PRIVATE; i++)
		assert_int_equal(hvo_page_set_private(r.m, pfn, i, 7 + i), 0);
	rig_put(&r, pfn);
	again = rig_alloc(&r, HVO_GFP_KERNEL, 3);
	assert_int_equal(again, pfn);
	for (i = 0; i < HVO_PAGE_PRIVATE; i++) {
		assert_int_equal(hvo_page_private(r.m, pfn, i, &word), 0);
		assert_int_equal(word, 0);
	}
	rig_put(&r, again);
	rig_audit(&r);
	rig_close(&r);
}
BOTH(words_of_others)

/* ---- arguments and counts ------------------------------------------------------------------ */

static void arguments(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	struct hvo_zone_stat z = { .size = sizeof(z), .free = 77 };
	hvo_pfn_t pfn = 77, nr;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	nr = hvo_machine_memmap(r.m)->nr_frames;
	assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_ALL + 1, 0, 0, &pfn), -HVO_EINVAL);
	assert_int_equal(hvo_alloc_pages(r.m, 0, HVO_MAX_ORDER + 1, 0, &pfn), -HVO_EINVAL);
	assert_int_equal(hvo_alloc_pages(r.m, 0, 0, 1, &pfn), -HVO_EINVAL);
	assert_int_equal(hvo_alloc_pages(r.m, 0, 0, -2, &pfn), -HVO_EINVAL);
	assert_int_equal(hvo_alloc_pages(r.m, 0, 0, 0, NULL), -HVO_EINVAL);
	assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_NOWARN, 18, 0, &pfn), -HVO_ENOMEM);
	assert_int_equal(hvo_get_page(r.m, nr, &pfn), -HVO_EINVAL);
	assert_int_equal(hvo_get_page(r.m, nr - 1, &pfn), -HVO_EBUSY);
	assert_int_equal(hvo_get_page(r.m, 0, &pfn), -HVO_EBUSY); /* descriptors */
	assert_int_equal(hvo_put_page(r.m, 0), -HVO_EINVAL);
	assert_int_equal(hvo_put_page(r.m, nr - 1), -HVO_EINVAL);
	assert_int_equal(hvo_put_page(r.m, nr), -HVO_EINVAL);
	assert_int_equal(hvo_put_page(r.m, HVO_PFN_NONE), -HVO_EINVAL);
	assert_int_equal(hvo_map_page(r.m, nr - 1), -HVO_EINVAL);
	assert_int_equal(hvo_split_page(r.m, nr - 1, 0), -HVO_EINVAL);
	assert_int_equal(hvo_zone_stat(r.m, 1, HVO_ZONE_NORMAL, &z), -HVO_EINVAL);
	assert_int_equal(hvo_zone_stat(r.m, -1, HVO_ZONE_NORMAL, &z), -HVO_EINVAL);
	assert_int_equal(hvo_zone_stat(r.m, 0, HVO_NR_ZONES, &z), -HVO_EINVAL);
	assert_null(hvo_window(r.m, nr, 1));
	assert_null(hvo_window(r.m, nr - 1, 2));
	assert_true(pfn == 77 && z.free == 77);
	rig_audit(&r);
	hvo_machine_abandon(r.m);
	assert_int_equal(hvo_alloc_pages(r.m, 0, 0, 0, &pfn), -HVO_ENODEV);
	assert_int_equal(hvo_put_page(r.m, 0), -HVO_ENODEV);
	rig_close(&r);
}
BOTH(arguments)

static void references(enum hvo_mode mode)
{
	static const unsigned int some[] = { 0, 3, 8, 9, 12 };
	struct hvo_config cfg = rig_config(mode, 128);
	unsigned int i;
	struct rig r;
	hvo_pfn_t pfn, last, head;

	rig_open(&r, RIG_SIM, &cfg);
	for (i = 0; i < 5; i++) {
		pfn = rig_alloc(&r, HVO_GFP_KERNEL, some[i]);
		last = pfn + (UINT64_C(1) << some[i]) - 1;
		assert_int_equal(hvo_get_page(r.m, last, &head), 0);
		assert_int_equal(head, pfn);
		assert_int_equal(hvo_get_page(r.m, pfn, NULL), 0);
		rig_put(&r, last);
		rig_put(&r, pfn);
		/* The last reference waits for the map count. */
		assert_int_equal(hvo_unmap_page(r.m, pfn), -HVO_EINVAL);
		assert_int_equal(hvo_map_page(r.m, last), 0);
		assert_int_equal(hvo_map_page(r.m, pfn), 0);
		assert_int_equal(rig_page(&r, pfn)->mapcount, 2);
		assert_int_equal(hvo_put_page(r.m, pfn), -HVO_EBUSY);
		assert_int_equal(hvo_unmap_page(r.m, pfn), 0);
		assert_int_equal(hvo_put_page(r.m, last), -HVO_EBUSY);
		assert_int_equal(hvo_unmap_page(r.m, last), 0);
		rig_put(&r, last);
		/* Twice is once too often. */
		assert_int_equal(hvo_put_page(r.m, pfn), -HVO_EINVAL);
		assert_int_equal(hvo_put_page(r.m, last), -HVO_EINVAL);
		assert_int_equal(hvo_unmap_page(r.m, pfn), -HVO_EINVAL);
		assert_int_equal(hvo_get_page(r.m, pfn, &head), -HVO_EBUSY);
		rig_audit(&r);
	}
	rig_close(&r);
}
BOTH(references)

/* Free frames inside what was a larger block: a neighbour's reference is not theirs. */
static void stale_tails(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	struct hog h = { 0 };
	struct rig r;
	hvo_pfn_t pfn, big, i;

	rig_open(&r, RIG_SIM, &cfg);
	/* The only free memory is one block of order 5, freed as such. */
	big = rig_alloc(&r, HVO_GFP_USER, 5);
	hog_all(&r, &h, 0, false);
	rig_put(&r, big);
	assert_int_equal(hvo_alloc_pages(r.m, GFP_HOG, 0, 0, &pfn), 0);
	assert_int_equal(pfn, big);
	for (i = 1; i < 32; i++) {
		assert_int_equal(hvo_get_page(r.m, big + i, NULL), -HVO_EBUSY);
		assert_int_equal(hvo_map_page(r.m, big + i), -HVO_EINVAL);
		assert_int_equal(hvo_put_page(r.m, big + i), -HVO_EINVAL);
	}
	assert_int_equal(hvo_page_refs(rig_page(&r, pfn)), 1);
	rig_put(&r, pfn);
	hog_release(&r, &h, UINT64_MAX);
	rig_audit(&r);
	rig_close(&r);
}
BOTH(stale_tails)

/* ---- splitting ------------------------------------------------------------------------------- */

static void split_pair(struct rig *r, unsigned int have, unsigned int order)
{
	uint64_t nr = UINT64_C(1) << have, step = UINT64_C(1) << order, i, before = settled(r);
	bool cut = have >= 9 && order < 9;
	struct hvo_machine_stat s = { .size = sizeof(s) }, t = { .size = sizeof(t) };
	hvo_pfn_t pfn = rig_alloc(r, HVO_GFP_KERNEL, have);
	uint64_t *words = (uint64_t *)(uintptr_t)rig_page(r, pfn)->private_data;

	rig_fill(r, pfn, nr, have);
	words[0] = 42;
	s = rig_stat(r);
	assert_int_equal(hvo_split_page(r->m, pfn, order), 0);
	t = rig_stat(r);
	assert_true(rig_intact(r, pfn, nr, have));
	/* Frames from elsewhere for each block, and as many more where they had to be cut. */
	if (hvo_machine_config(r->m)->mode == HVO_ON_DEMAND) {
		assert_int_equal(t.memmap - s.memmap,
				 rig_tails(r) * ((cut ? nr / 512 : 0) + t.cuts - s.cuts));
		assert_int_equal(s.free_frames - t.free_frames, t.memmap - s.memmap);
	} else {
		assert_int_equal(s.free_frames, t.free_frames);
	}
	for (i = 0; i < nr; i += step) {
		const struct hvo_page *page = rig_page(r, pfn + i);

		if (page->state != HVO_PAGE_USED || page->order != order || page->refcount != 1 ||
		    hvo_page_head(hvo_machine_memmap(r->m), pfn + i + step - 1) != pfn + i)
			fail_msg("%u to %u: part %llu", have, order, (unsigned long long)i);
	}
	rig_audit(r);
	/* Given back in an order that merges late. */
	for (i = 0; i < nr; i += 2 * step)
		rig_put(r, pfn + i);
	for (i = step; i < nr; i += 2 * step)
		rig_put(r, pfn + i);
	assert_int_equal(settled(r), before);
}

static void split(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 256);
	unsigned int have, order;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	for (have = 1; have <= 14; have++)
		for (order = 0; order < have; order++)
			split_pair(&r, have, order);
	rig_audit(&r);
	rig_close(&r);
	cfg.memory_bytes = 2 * GIB;
	rig_open(&r, RIG_SIM, &cfg);
	split_pair(&r, 18, 9);
	split_pair(&r, 18, 17);
	split_pair(&r, 18, 8);
	rig_audit(&r);
	rig_close(&r);
}
BOTH(split)

static void split_refused(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	struct rig r;
	hvo_pfn_t pfn;

	rig_open(&r, RIG_SIM, &cfg);
	pfn = rig_alloc(&r, HVO_GFP_KERNEL, 10);
	assert_int_equal(hvo_split_page(r.m, pfn + 1, 3), -HVO_EINVAL);
	assert_int_equal(hvo_split_page(r.m, pfn, 10), -HVO_EINVAL);
	assert_int_equal(hvo_get_page(r.m, pfn, NULL), 0);
	assert_int_equal(hvo_split_page(r.m, pfn, 3), -HVO_EBUSY);
	rig_put(&r, pfn);
	assert_int_equal(hvo_map_page(r.m, pfn), 0);
	assert_int_not_equal(hvo_split_page(r.m, pfn, 3), 0);
	assert_int_equal(hvo_unmap_page(r.m, pfn), 0);
	rig_put(&r, pfn);
	rig_audit(&r);
	rig_close(&r);
}
BOTH(split_refused)

static void test_split_without_memory(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 128);
	struct hvo_machine_stat before = { .size = sizeof(before) },
				after = { .size = sizeof(after) };
	struct hog h = { 0 };
	struct rig r;
	hvo_pfn_t pfn;
	uint64_t left;

	(void)state;
	cfg.min_free_bytes = 0;
	rig_open(&r, RIG_SIM, &cfg);
	pfn = rig_alloc(&r, HVO_GFP_KERNEL, 10);
	rig_fill(&r, pfn, 1024, 9);
	left = 13 + rig_zone(&r, 0, HVO_ZONE_NORMAL).watermark_min;
	hog_all(&r, &h, left, true);
	before = rig_stat(&r);
	assert_int_equal(hvo_split_page(r.m, pfn, 8), -HVO_ENOMEM);
	after = rig_stat(&r);
	assert_int_equal(after.free_frames, before.free_frames);
	assert_int_equal(after.memmap, before.memmap);
	assert_int_equal(hvo_page_refs(rig_page(&r, pfn)), 1);
	assert_int_equal(rig_page(&r, pfn)->order, 10);
	rig_audit(&r);
	/* To whole blocks it costs nothing; and then one of the two has enough. */
	assert_int_equal(hvo_split_page(r.m, pfn, 9), 0);
	assert_int_equal(hvo_split_page(r.m, pfn + 512, 0), 0);
	assert_int_equal(hvo_split_page(r.m, pfn, 0), -HVO_ENOMEM);
	assert_int_equal(rig_stat(&r).memmap, before.memmap + rig_tails(&r));
	assert_true(rig_intact(&r, pfn, 1024, 9) && hog_intact(&r, &h));
	rig_audit(&r);
	hog_release(&r, &h, UINT64_MAX);
	rig_close(&r);
}

/* ---- clearing ------------------------------------------------------------------------------------ */

/*
 * Memory is used, given back in other pieces, and had again: no byte of the first
 * user, and none of a descriptor, shows. With CLEAR_NEVER only ZERO promises that.
 */
static void clearing(enum hvo_mode mode)
{
	static const unsigned int some[] = { 0, 9, 8, 11 };
	struct hvo_config cfg = rig_config(mode, 128);
	struct hvo_pool *pool;
	unsigned int clear, i, k;
	struct hog h = { 0 };
	struct rig r;
	hvo_pfn_t pfn;

	for (clear = HVO_CLEAR_ON_ALLOC; clear <= HVO_CLEAR_NEVER; clear++) {
		unsigned int gfp = GFP_HOG | (clear == HVO_CLEAR_NEVER ? HVO_GFP_ZERO : 0);

		cfg.clear = clear;
		rig_open(&r, RIG_SIM, &cfg);
		assert_int_equal(hvo_pool_create(r.m, 9, &pool), 0);
		for (k = 0; k < 4; k++) {
			/* Cut everything, write everywhere, give it back. */
			while (!hvo_alloc_pages(r.m, GFP_HOG, 4 + k % 2, 0, &pfn)) {
				struct hvo_page *page =
					(struct hvo_page *)(uintptr_t)rig_page(&r, pfn);

				page->private_data[0] = UINT64_MAX;
				rig_fill(&r, pfn, 16, 1);
				h.blocks =
					h.blocks ? h.blocks : test_malloc(sizeof(*h.blocks) * 4096);
				assert_true(h.nr < 4096);
				h.blocks[h.nr++] = (struct hog_block){ pfn, 4 };
			}
			while (h.nr)
				rig_put(&r, h.blocks[--h.nr].pfn);
			hvo_collapse(r.m, UINT64_MAX, NULL);
			for (i = 0; !hvo_alloc_pages(r.m, gfp, some[k], 0, &pfn) && i < 4096; i++) {
				if (!rig_zero(&r, pfn, UINT64_C(1) << some[k]))
					fail_msg("clear %u, order %u, frame %#llx", clear, some[k],
						 (unsigned long long)pfn);
				h.blocks[h.nr++] = (struct hog_block){ pfn, some[k] };
			}
			while (h.nr)
				rig_put(&r, h.blocks[--h.nr].pfn);
			test_free(h.blocks);
			h.blocks = NULL;
			/* And through a pool. */
			rig_resize(pool, HVO_NODE_ANY, 8);
			assert_int_equal(hvo_pool_alloc(pool, gfp & HVO_GFP_ZERO, 0, &pfn), 0);
			assert_true(rig_zero(&r, pfn, 512));
			rig_fill(&r, pfn, 512, 2);
			assert_int_equal(hvo_pool_free(pool, pfn), 0);
			assert_int_equal(hvo_pool_alloc(pool, gfp & HVO_GFP_ZERO, 0, &pfn), 0);
			assert_true(rig_zero(&r, pfn, 512));
			rig_fill(&r, pfn, 512, 3);
			assert_int_equal(hvo_pool_free(pool, pfn), 0);
			rig_resize(pool, HVO_NODE_ANY, 0);
		}
		rig_audit(&r);
		rig_close(&r);
	}
}
BOTH(clearing)

static struct hvo_zone_events events_of(struct rig *r, enum hvo_zone_type type)
{
	struct hvo_zone_events e = { .size = sizeof(e) };

	assert_int_equal(hvo_zone_events(r->m, 0, type, &e), 0);
	return e;
}

/* Frames that were given and came back since @last, which becomes now. */
static void expect_events(struct rig *r, enum hvo_zone_type type, struct hvo_zone_events *last,
			  uint64_t allocated, uint64_t freed)
{
	struct hvo_zone_events now = events_of(r, type);

	assert_int_equal(now.allocated - last->allocated, allocated);
	assert_int_equal(now.freed - last->freed, freed);
	*last = now;
}

static void events(enum hvo_mode mode)
{
	static const unsigned int orders[] = { 0, 3, 8, 9, 10 };
	struct hvo_config cfg = rig_config(mode, 512);
	struct hvo_zone_events last;
	hvo_pfn_t start, first, pfn, pfns[3];
	struct hvo_pool *pool;
	uint64_t done = 0;
	unsigned int i;
	struct rig r;

	cfg.movable_bytes = 256 * MIB;
	start = (cfg.memory_bytes - HVO_SECTION_SIZE) >> HVO_FRAME_SHIFT;
	rig_open(&r, RIG_SIM, &cfg);
	for (i = HVO_ZONE_NORMAL; i <= HVO_ZONE_MOVABLE; i++) {
		last = events_of(&r, i);
		assert_int_equal(last.freed - last.allocated, rig_zone(&r, 0, i).free);
	}
	assert_int_equal(last.freed, cfg.movable_bytes >> HVO_FRAME_SHIFT);
	/* The pageblock that small ones come from is cut by then. */
	first = rig_alloc(&r, HVO_GFP_KERNEL, 0);
	last = events_of(&r, HVO_ZONE_NORMAL);
	for (i = 0; i < sizeof(orders) / sizeof(*orders); i++) {
		pfn = rig_alloc(&r, HVO_GFP_KERNEL, orders[i]);
		expect_events(&r, HVO_ZONE_NORMAL, &last, UINT64_C(1) << orders[i], 0);
		rig_put(&r, pfn);
		expect_events(&r, HVO_ZONE_NORMAL, &last, 0, UINT64_C(1) << orders[i]);
	}
	assert_int_equal(hvo_alloc_pages_bulk(r.m, HVO_GFP_KERNEL, 0, HVO_NODE_ANY, 3, pfns), 0);
	expect_events(&r, HVO_ZONE_NORMAL, &last, 3, 0);
	assert_int_equal(hvo_put_pages_bulk(r.m, pfns, 3, &done), 0);
	expect_events(&r, HVO_ZONE_NORMAL, &last, 0, 3);
	rig_put(&r, first);
	/* With descriptors that go and come; those inside of a cut pageblock are not counted. */
	(void)hvo_collapse(r.m, UINT64_MAX, NULL);
	pool = rig_pool_new(&r, 9);
	for (i = 4; i <= 4; i -= 2) {
		rig_resize(pool, HVO_NODE_ANY, i);
		last = events_of(&r, HVO_ZONE_NORMAL);
		assert_int_equal(last.freed - last.allocated,
				 rig_zone(&r, 0, HVO_ZONE_NORMAL).free);
	}
	last = events_of(&r, HVO_ZONE_MOVABLE);
	assert_int_equal(hvo_memory_offline(r.m, start, start + HVO_SECTION_FRAMES), 0);
	expect_events(&r, HVO_ZONE_MOVABLE, &last, 0, 0);
	assert_int_equal(
		hvo_memory_online(r.m, start, start + HVO_SECTION_FRAMES, HVO_ZONE_MOVABLE), 0);
	expect_events(&r, HVO_ZONE_MOVABLE, &last, 0, HVO_SECTION_FRAMES);
	rig_audit(&r);
	rig_close(&r);
}

EACH_MODE(events)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_orders),		cmocka_unit_test(test_exhaust),
		cmocka_unit_test(test_watermarks),	cmocka_unit_test(test_default_watermarks),
		cmocka_unit_test(test_nodes_and_zones), cmocka_unit_test(test_reclaim),
		cmocka_unit_test(test_fullest_first),	cmocka_unit_test(test_migrate_types),
		cmocka_unit_test(test_type_follows),	cmocka_unit_test(test_min_free_given),
		cmocka_unit_test(test_enough),		cmocka_unit_test(test_words_of_others),
		cmocka_unit_test(test_arguments),	cmocka_unit_test(test_references),
		cmocka_unit_test(test_stale_tails),	cmocka_unit_test(test_split),
		cmocka_unit_test(test_split_refused),	cmocka_unit_test(test_split_without_memory),
		cmocka_unit_test(test_clearing),	cmocka_unit_test(test_min_free),
		cmocka_unit_test(test_events),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
