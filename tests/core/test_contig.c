// SPDX-License-Identifier: MIT
/*
 * Contiguous ranges, CMA areas, gigantic pages at run time: exactly the frames that were
 * asked for, whoever had them; his contents are somewhere else, and after an error nothing
 * is lost.
 *
 * In Linux: mm/cma_debug.c, tools/testing/selftests/mm/hugetlb-*.
 */
#include "holder.h"

#include <hvo/contig.h>
#include <hvo/migrate.h>

#include <stdlib.h>

#include "core/base.h"

#define ANY HVO_NODE_ANY
#define GFP_QUIET (HVO_GFP_USER | HVO_GFP_NOWARN)

/* ---- ranges ------------------------------------------------------------------------------ */

struct shape {
	hvo_pfn_t start, end;
};

/* From block 64 on: single frames, edges of all kinds, several blocks. */
#define BASE UINT64_C(32768)
static const struct shape shapes[] = {
	{ BASE, BASE + 1 },	    { BASE + 3, BASE + 10 },	 { BASE, BASE + 512 },
	{ BASE + 511, BASE + 512 }, { BASE + 511, BASE + 513 },	 { BASE + 5, BASE + 510 },
	{ BASE + 1, BASE + 511 },   { BASE + 100, BASE + 1500 }, { BASE + 7, BASE + 8192 + 505 },
	{ BASE, BASE + 8192 + 1 },  { BASE + 512, BASE + 4096 }, { BASE + 509, BASE + 1024 },
};
#define NR_SHAPES (sizeof(shapes) / sizeof(shapes[0]))

/* All of it is in use now, one reference for each block, and can be given back. */
static void expect_taken(struct rig *r, hvo_pfn_t start, hvo_pfn_t end)
{
	unsigned int order;
	hvo_pfn_t pfn;

	for (pfn = start; pfn < end; pfn += UINT64_C(1) << order) {
		assert_int_equal(hvo_page_head(&r->m->mm, pfn), pfn);
		assert_int_equal(rig_page(r, pfn)->state, HVO_PAGE_USED);
		assert_int_equal(rig_page(r, pfn)->refcount, 1);
		order = rig_page(r, pfn)->order;
		assert_true(pfn + (UINT64_C(1) << order) <= end);
	}
	assert_int_equal(pfn, end);
}

static void expect_free_again(struct rig *r, const struct hvo_zone_stat *before)
{
	struct hvo_zone_stat after = { .size = sizeof(after) };

	hvo_collapse(r->m, UINT64_MAX, NULL);
	after = rig_zone(r, 0, HVO_ZONE_NORMAL);
	assert_memory_equal(before, &after, sizeof(after));
}

static void free_ranges(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 512);
	struct hvo_zone_stat before = { .size = sizeof(before) };
	struct rig r;
	uint64_t free;
	size_t i;

	rig_open(&r, RIG_SIM, &cfg);
	before = rig_zone(&r, 0, HVO_ZONE_NORMAL);
	for (i = 0; i < NR_SHAPES; i++) {
		const struct shape *s = &shapes[i];

		free = rig_free(&r);
		assert_int_equal(hvo_alloc_contig_range(r.m, s->start, s->end, HVO_GFP_ZERO), 0);
		expect_taken(&r, s->start, s->end);
		assert_true(rig_zero(&r, s->start, s->end - s->start));
		assert_true(rig_free(&r) <= free - (s->end - s->start));
		rig_fill(&r, s->start, s->end - s->start, 7);
		rig_audit(&r);
		/* Somebody has it: once more does not work, and changes nothing. */
		assert_int_equal(hvo_alloc_contig_range(r.m, s->start, s->end, GFP_QUIET),
				 -HVO_EBUSY);
		assert_int_equal(hvo_free_contig_range(r.m, s->start, s->end + 1), -HVO_EINVAL);
		assert_int_equal(hvo_free_contig_range(r.m, s->start - 1, s->end), -HVO_EINVAL);
		assert_true(rig_intact(&r, s->start, s->end - s->start, 7));
		rig_audit(&r);
		assert_int_equal(hvo_free_contig_range(r.m, s->start, s->end), 0);
		assert_int_equal(hvo_free_contig_range(r.m, s->start, s->end), -HVO_EINVAL);
		rig_audit(&r);
		expect_free_again(&r, &before);
	}
	rig_close(&r);
}
EACH_MODE(free_ranges)

/* Half of the machine is small blocks of all orders, each with its contents. */
static void hold_small(struct holder *h, uint64_t frames, unsigned int how)
{
	uint64_t random = 11, have = 0;

	while (have < frames) {
		unsigned int order = (unsigned int)(rig_random(&random) % 9);

		holder_hold(h, rig_alloc(h->r, HVO_GFP_USER, order), order, how);
		have += UINT64_C(1) << order;
	}
}

static void used_ranges(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 512);
	struct hvo_zone_stat before = { .size = sizeof(before) };
	struct holder h;
	struct rig r;
	hvo_pfn_t start, end;
	uint64_t i;

	rig_open(&r, RIG_SIM, &cfg);
	before = rig_zone(&r, 0, HVO_ZONE_NORMAL);
	holder_open(&h, &r, 0);
	hold_small(&h, 30000, HOLD_FILLED);
	/* With holes. */
	for (i = 0; i < h.nr; i += 5)
		holder_let_go(&h, i);
	for (i = 0; i < NR_SHAPES; i++) {
		/* Around something that is in use there. */
		start = (h.held[1 + 20 * i + i % 3].pfn & ~(hvo_pfn_t)511) + shapes[i].start - BASE;
		if (h.held[1 + 20 * i + i % 3].pfn == HVO_PFN_NONE)
			start = h.held[2 + 20 * i].pfn;
		end = start + shapes[i].end - shapes[i].start;
		assert_int_equal(hvo_alloc_contig_range(r.m, start, end, GFP_QUIET), 0);
		expect_taken(&r, start, end);
		rig_fill(&r, start, end - start, 9);
		rig_audit(&r);
		holder_check(&h);
		assert_int_equal(hvo_free_contig_range(r.m, start, end), 0);
		rig_audit(&r);
	}
	assert_true(h.moves > 0);
	holder_close(&h);
	rig_audit(&r);
	expect_free_again(&r, &before);
	rig_close(&r);
}
EACH_MODE(used_ranges)

/* Huge pages, free and in use, and descriptors of others. */
static void huge_ranges(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 1024);
	hvo_pfn_t start, end, pfn, first = HVO_PFN_NONE, last = 0;
	struct hvo_pool *pool;
	struct holder h;
	struct rig r;
	int i;

	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_pool_create(r.m, 9, &pool), 0);
	holder_open(&h, &r, 0);
	assert_int_equal(rig_resize(pool, ANY, 64).done, 64);
	for (i = 0; i < 20; i++) {
		assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_USER, ANY, &pfn), 0);
		holder_hold(&h, pfn, 9, HOLD_FILLED);
		first = pfn < first ? pfn : first;
		last = pfn > last ? pfn : last;
	}
	/* On-demand mode gets its descriptors from elsewhere. */
	pfn = rig_alloc(&r, HVO_GFP_USER, 9);
	assert_int_equal(hvo_split_page(r.m, pfn, 0), 0);
	for (i = 0; i < 512; i++)
		holder_hold(&h, pfn + (hvo_pfn_t)i, 0, HOLD_FILLED);
	start = (first < pfn ? first : pfn) + 9;
	end = (last > pfn ? last : pfn) + 100;
	assert_int_equal(hvo_alloc_contig_range(r.m, start, end, GFP_QUIET), 0);
	expect_taken(&r, start, end);
	rig_fill_some(&r, start, end - start, 9);
	rig_audit(&r);
	holder_check(&h);
	assert_true(h.moves >= 100);
	assert_int_equal(rig_pool(pool, ANY).total, 64);
	assert_int_equal(rig_pool(pool, ANY).free, 44);
	assert_int_equal(rig_pool(pool, ANY).surplus, 0);
	assert_int_equal(hvo_free_contig_range(r.m, start, end), 0);
	/* In on-demand mode, the frames that the descriptors of the split block are in. */
	for (i = 0; i < 7; i++) {
		hvo_pfn_t at = rig_backing(&r, rig_tail_slot(&r, pfn >> 9));

		if (mode == HVO_LINUX)
			break;
		assert_int_equal(hvo_alloc_contig_range(r.m, at, at + 1, GFP_QUIET), 0);
		assert_int_equal(rig_page(&r, at)->state, HVO_PAGE_USED);
		rig_audit(&r);
		assert_int_equal(hvo_free_contig_range(r.m, at, at + 1), 0);
	}
	holder_close(&h);
	rig_audit(&r);
	rig_close(&r);
}
EACH_MODE(huge_ranges)

/* What nobody can move stays, and all of the rest is as it was. */
static void unmovable(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 512);
	struct hvo_zone_stat before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	hvo_pfn_t pfn, block;
	struct holder h;
	struct rig r;
	uint64_t own;
	int i;

	rig_open(&r, RIG_SIM, &cfg);
	own = mode == HVO_ON_DEMAND ? rig_tails(&r) : 0;
	holder_open(&h, &r, 0);
	for (i = 0; i < 300; i++)
		holder_hold(&h, rig_alloc(&r, HVO_GFP_USER, 2), 2, HOLD_FILLED);
	pfn = rig_alloc(&r, HVO_GFP_USER, 0);
	rig_fill(&r, pfn, 1, 5);
	block = pfn & ~(hvo_pfn_t)511;
	hvo_collapse(r.m, UINT64_MAX, NULL);
	before = rig_zone(&r, 0, HVO_ZONE_NORMAL);
	assert_int_equal(hvo_alloc_contig_range(r.m, block, block + 512, GFP_QUIET), -HVO_EBUSY);
	assert_int_equal(hvo_alloc_contig_range(r.m, pfn, pfn + 1, GFP_QUIET), -HVO_EBUSY);
	assert_int_equal(hvo_alloc_contig_range(r.m, block + 3, block + 2048, HVO_GFP_USER),
			 -HVO_EBUSY);
	assert_int_equal(r.events[HVO_EVENT_ALLOC_FAILED], 1);
	hvo_collapse(r.m, UINT64_MAX, NULL);
	after = rig_zone(&r, 0, HVO_ZONE_NORMAL);
	/* What left is in another pageblock, which may have been cut for that. */
	assert_int_equal(after.free + (after.nr_cut - before.nr_cut) * own, before.free);
	assert_true(rig_intact(&r, pfn, 1, 5));
	holder_check(&h);
	rig_audit(&r);
	/* Set aside at the start. */
	if (rig_lasting(&r))
		assert_int_equal(hvo_alloc_contig_range(r.m, 0, 1, GFP_QUIET), -HVO_EBUSY);
	rig_put(&r, pfn);
	assert_int_equal(hvo_alloc_contig_range(r.m, block, block + 512, GFP_QUIET), 0);
	rig_audit(&r);
	holder_check(&h);
	assert_int_equal(hvo_free_contig_range(r.m, block, block + 512), 0);
	holder_close(&h);
	rig_close(&r);
}
EACH_MODE(unmovable)

/* The tails of a block that is wanted in part lie behind that; memory is free once they are clear. */
static void test_clear_on_free(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 512);
	struct rig r;

	(void)state;
	cfg.clear = HVO_CLEAR_ON_FREE;
	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_alloc_contig_range(r.m, BASE, BASE + 8, GFP_QUIET), 0);
	assert_int_equal(rig_page(&r, BASE + 8)->state, HVO_PAGE_MEMMAP);
	assert_false(rig_zero(&r, BASE + 8, rig_tails(&r)));
	rig_fill(&r, BASE, 8, 3);
	assert_int_equal(hvo_free_contig_range(r.m, BASE, BASE + 8), 0);
	assert_int_equal(hvo_collapse(r.m, UINT64_MAX, NULL), 1);
	assert_true(rig_zero(&r, BASE, HVO_PAGEBLOCK_FRAMES));
	rig_audit(&r);
	rig_close(&r);
}

static void test_arguments(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 512);
	struct hvo_cma *cma;
	hvo_pfn_t pfn = 7;
	struct rig r;

	(void)state;
	cfg.cma_bytes = 128 * MIB;
	cfg.hotplug_bytes = 128 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_alloc_contig_range(r.m, BASE, BASE, 0), -HVO_EINVAL);
	assert_int_equal(hvo_alloc_contig_range(r.m, BASE + 1, BASE, 0), -HVO_EINVAL);
	assert_int_equal(hvo_alloc_contig_range(r.m, BASE, BASE + 1, 0x800000), -HVO_EINVAL);
	assert_int_equal(hvo_alloc_contig_range(r.m, 98304 - 1, 98304 + 1, 0), -HVO_EINVAL);
	assert_int_equal(hvo_alloc_contig_range(r.m, 131072 - 1, 131072 + 1, 0), -HVO_EINVAL);
	assert_int_equal(hvo_alloc_contig_range(r.m, UINT64_MAX - 1, UINT64_MAX, 0), -HVO_EINVAL);
	assert_int_equal(hvo_free_contig_range(r.m, BASE, BASE), -HVO_EINVAL);
	assert_int_equal(hvo_free_contig_range(r.m, UINT64_MAX - 1, UINT64_MAX), -HVO_EINVAL);
	assert_int_equal(hvo_alloc_contig_pages(r.m, 0, 0, ANY, &pfn), -HVO_EINVAL);
	assert_int_equal(hvo_alloc_contig_pages(r.m, 1, 0, 1, &pfn), -HVO_EINVAL);
	assert_int_equal(hvo_alloc_contig_pages(r.m, 1, 0, ANY, NULL), -HVO_EINVAL);
	assert_int_equal(hvo_alloc_contig_pages(r.m, 1 << 20, HVO_GFP_NOWARN, ANY, &pfn),
			 -HVO_ENOMEM);
	assert_int_equal(hvo_alloc_contig_pages(r.m, UINT64_MAX, HVO_GFP_NOWARN, ANY, &pfn),
			 -HVO_ENOMEM);
	assert_int_equal(hvo_cma_create(r.m, ANY, 512, &cma), -HVO_EINVAL);
	assert_int_equal(hvo_cma_create(r.m, 0, 511, &cma), -HVO_EINVAL);
	assert_int_equal(hvo_cma_create(r.m, 0, 0, &cma), -HVO_EINVAL);
	assert_int_equal(hvo_cma_create(r.m, 0, 32768 + 512, &cma), -HVO_ENOMEM);
	assert_int_equal(hvo_cma_create(r.m, 0, 512, &cma), 0);
	assert_int_equal(hvo_cma_alloc(cma, 0, 0, &pfn), -HVO_EINVAL);
	assert_int_equal(hvo_cma_alloc(cma, 1, 19, &pfn), -HVO_EINVAL);
	assert_int_equal(hvo_cma_alloc(cma, 513, 0, &pfn), -HVO_ENOMEM);
	assert_int_equal(hvo_cma_alloc(cma, UINT64_MAX, 0, &pfn), -HVO_ENOMEM);
	assert_int_equal(pfn, 7);
	rig_audit(&r);
	rig_close(&r);
}

/* ---- wherever there is a place ------------------------------------------------------------ */

static void pages(enum hvo_mode mode)
{
	static const uint64_t sizes[] = { 1, 7, 512, 500, 511, 513, 1536, 5000, 65536 };
	struct hvo_config cfg = rig_config(mode, 1024);
	hvo_pfn_t got[sizeof(sizes) / sizeof(sizes[0])];
	struct hvo_zone_stat before = { .size = sizeof(before) };
	struct rig r;
	size_t i;

	cfg.movable_bytes = 128 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	before = rig_zone(&r, 0, HVO_ZONE_NORMAL);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t align = UINT64_C(1) << (63 - __builtin_clzll(sizes[i]));

		assert_int_equal(
			hvo_alloc_contig_pages(r.m, sizes[i], HVO_GFP_KERNEL, ANY, &got[i]), 0);
		assert_int_equal(got[i] & (align - 1), 0);
		assert_true(got[i] < 229376);
		expect_taken(&r, got[i], got[i] + sizes[i]);
		rig_audit(&r);
	}
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		assert_int_equal(hvo_free_contig_range(r.m, got[i], got[i] + sizes[i]), 0);
	rig_audit(&r);
	expect_free_again(&r, &before);
	assert_int_equal(hvo_alloc_contig_pages(r.m, 512, HVO_GFP_USER, ANY, &got[0]), 0);
	assert_true(got[0] >= 229376);
	rig_close(&r);
}
EACH_MODE(pages)

/* A section that is not there is passed over, and nothing behind it. */
static void past_absent(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 512);
	hvo_pfn_t start = 5 * HVO_SECTION_FRAMES, end = start + HVO_SECTION_FRAMES, pfn = 0, i;
	struct rig r;
	int rc[4];

	cfg.hotplug_bytes = 256 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_memory_add(r.m, 0, start, end, 0), 0);
	assert_int_equal(hvo_memory_online(r.m, start, end, HVO_ZONE_NORMAL), 0);
	/* Something stays in each section before; in the first one that may be descriptors. */
	for (i = 0; i < 4; i++)
		rc[i] = hvo_alloc_contig_range(r.m, i * HVO_SECTION_FRAMES + 5,
					       i * HVO_SECTION_FRAMES + 6, 0);
	assert_true(rc[0] == 0 || rc[0] == -HVO_EBUSY);
	assert_true(!rc[1] && !rc[2] && !rc[3]);
	assert_int_equal(hvo_alloc_contig_pages(r.m, HVO_SECTION_FRAMES, HVO_GFP_KERNEL, ANY, &pfn),
			 0);
	assert_int_equal(pfn, start);
	rig_audit(&r);
	assert_int_equal(hvo_free_contig_range(r.m, start, end), 0);
	rig_audit(&r);
	rig_close(&r);
}
EACH_MODE(past_absent)

/* Held once more than its owner knows. */
static void pin(struct holder *h, hvo_pfn_t start, unsigned int order)
{
	hvo_pfn_t end = start + (UINT64_C(1) << order);

	assert_int_equal(hvo_alloc_contig_range(h->r->m, start, end, 0), 0);
	assert_int_equal(rig_page(h->r, start)->order, order);
	holder_hold(h, start, order, HOLD_FILLED);
	assert_int_equal(hvo_get_page(h->r->m, start, NULL), 0);
}

/* What is in use when a range is looked at first, and is not a moment later, is in nobody's way. */
static void let_go(void *arg, uint64_t ns)
{
	struct holder *h = arg;

	(void)ns;
	/* Between two rounds. */
	if (h->isolates == 2 && rig_page(h->r, 98304 + 700)->refcount == 2)
		assert_int_equal(hvo_put_page(h->r->m, 98304 + 700), 0);
}

static void gone_meanwhile(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 512);
	struct holder h;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	holder_open(&h, &r, 0);
	pin(&h, 98304 + 700, 0);
	r.on_sleep = let_go;
	r.on_sleep_arg = &h;
	assert_int_equal(hvo_alloc_contig_range(r.m, 98304, 98304 + 2048, 0), 0);
	r.on_sleep = NULL;
	assert_int_equal(h.moves, 1);
	expect_taken(&r, 98304, 98304 + 2048);
	assert_int_equal(hvo_free_contig_range(r.m, 98304, 98304 + 2048), 0);
	rig_audit(&r);
	holder_close(&h);
	rig_close(&r);
}
EACH_MODE(gone_meanwhile)

/* ---- CMA areas ------------------------------------------------------------------------------ */

static void cma_small(enum hvo_mode mode)
{
	static const uint64_t sizes[] = { 1, 3, 16, 512, 700, 1024, 5 };
	struct hvo_config cfg = rig_config(mode, 512);
	hvo_pfn_t got[7], start = 0, other, pfn = 0;
	uint64_t used = 0, nr = 0, sum = 0;
	struct hvo_cma *cma, *second;
	struct holder h;
	struct rig r;
	int i;

	cfg.cma_bytes = 128 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_cma_create(r.m, 0, 16384, &cma), 0);
	assert_int_equal(hvo_cma_create(r.m, 0, 16384, &second), 0);
	hvo_cma_stat(second, &other, &nr, &used);
	assert_int_equal(other, 98304 + 16384);
	for (i = 0; i < 7; i++) {
		unsigned int align = i == 2 ? 4 : i == 5 ? 10 : 0;

		assert_int_equal(hvo_cma_alloc(cma, sizes[i], align, &got[i]), 0);
		assert_int_equal(got[i] & ((UINT64_C(1) << align) - 1), 0);
		assert_in_range(got[i], 98304, 98304 + 16384 - sizes[i]);
		expect_taken(&r, got[i], got[i] + sizes[i]);
		sum += sizes[i];
		hvo_cma_stat(cma, &start, &nr, &used);
		assert_int_equal(used, sum);
		rig_audit(&r);
	}
	assert_int_equal(start, 98304);
	assert_int_equal(nr, 16384);
	/* It was asked for here, so it stays. */
	holder_open(&h, &r, 0);
	assert_int_equal(hvo_set_owner(r.m, got[3], h.id), -HVO_EINVAL);
	assert_int_equal(hvo_set_owner(r.m, got[3], 0), -HVO_EINVAL);
	holder_close(&h);
	/* Not of this one, not all allocated, not by it. */
	assert_int_equal(hvo_cma_release(second, got[0], 1), -HVO_EINVAL);
	assert_int_equal(hvo_cma_release(cma, got[4], 8000), -HVO_EINVAL);
	assert_int_equal(hvo_cma_release(cma, start - 1, 1), -HVO_EINVAL);
	assert_int_equal(hvo_cma_release(cma, got[0], UINT64_MAX), -HVO_EINVAL);
	assert_int_equal(hvo_alloc_contig_range(r.m, start + 8192, start + 8200, 0), 0);
	assert_int_equal(hvo_cma_release(cma, start + 8192, 8), -HVO_EINVAL);
	assert_int_equal(hvo_free_contig_range(r.m, start + 8192, start + 8200), 0);
	/* In parts, where it was split too. */
	assert_int_equal(hvo_split_page(r.m, got[5], 0), 0);
	assert_int_equal(hvo_cma_release(cma, got[5], 300), 0);
	assert_int_equal(hvo_cma_release(cma, got[5], 300), -HVO_EINVAL);
	/* What is there now touches the rest of the other one: both together are frames of the area. */
	assert_int_equal(hvo_cma_alloc(cma, 300, 10, &pfn), 0);
	assert_int_equal(pfn, got[5]);
	assert_int_equal(hvo_cma_release(cma, pfn, 1024), 0);
	assert_int_equal(hvo_cma_release(cma, pfn, 300), -HVO_EINVAL);
	assert_int_equal(hvo_cma_release(cma, got[5] + 300, 724), -HVO_EINVAL);
	for (i = 0; i < 7; i++)
		if (i != 5)
			assert_int_equal(hvo_cma_release(cma, got[i], sizes[i]), 0);
	hvo_cma_stat(cma, NULL, NULL, &used);
	assert_int_equal(used, 0);
	rig_audit(&r);
	rig_close(&r);
}
EACH_MODE(cma_small)

/*
 * What is pinned cannot be moved, which only trying shows: once. Then it goes on behind that, and
 * nobody waits for a thousand attempts.
 */
#define ATTEMPT 5 /* rounds */

static void cma_pinned(enum hvo_mode mode)
{
	static const struct {
		uint64_t at;
		unsigned int order;
		uint64_t nr;
		unsigned int align;
		uint64_t place; /* 0: none */
	} tries[] = {
		/* The same block, the next block, another range. */
		{ 1000, 0, 490, 0, 1001 },     { 1000, 0, 1024, 0, 1001 },
		{ 1000, 0, 1024, 9, 1024 },    { 1000, 0, 1024, 10, 1024 },
		{ 1023, 0, 1500, 3, 1024 },    { 512, 9, 700, 0, 1024 },
		{ 12288, 12, 20000, 0, 0 },    { 10000, 0, 30000, 0, 0 },
		{ 15360, 9, 16896, 0, 15872 }, { 15360, 9, 16897, 0, 0 },
	};
	struct hvo_config cfg = rig_config(mode, 512);
	hvo_pfn_t start = 98304, pfn = 0;
	struct hvo_cma *cma;
	unsigned int i;

	cfg.cma_bytes = 128 * MIB;
	for (i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		struct holder h;
		struct rig r;
		int rc;

		rig_open(&r, RIG_SIM, &cfg);
		holder_open(&h, &r, 0);
		assert_int_equal(hvo_cma_create(r.m, 0, 32768, &cma), 0);
		pin(&h, start + tries[i].at, tries[i].order);
		/* What is left of its block before it is too small. */
		if (!i)
			assert_int_equal(hvo_alloc_contig_range(r.m, start, start + 512, 0), 0);
		rc = hvo_cma_alloc(cma, tries[i].nr, tries[i].align, &pfn);
		assert_int_equal(rc, tries[i].place ? 0 : -HVO_EBUSY);
		assert_in_range(h.isolates, 1, ATTEMPT);
		if (!rc) {
			assert_int_equal(pfn, start + tries[i].place);
			expect_taken(&r, pfn, pfn + tries[i].nr);
		}
		rig_audit(&r);
		rig_put(&r, start + tries[i].at);
		holder_close(&h);
		rig_close(&r);
	}
}
EACH_MODE(cma_pinned)

/* All of an area is lent; then it is wanted back in one piece. */
static void cma_giga(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 4096);
	hvo_pfn_t pfn = 0, start = 0;
	uint64_t nr, used, random = 3, left, low;
	struct hvo_cma *cma;
	struct holder h;
	struct rig r;

	cfg.cma_bytes = 1024 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_cma_create(r.m, 0, 262144, &cma), 0);
	hvo_cma_stat(cma, &start, &nr, &used);
	holder_open(&h, &r, 0);
	/* All but what the watermark keeps while there is memory elsewhere. */
	low = rig_zone(&r, 0, HVO_ZONE_CMA).watermark_low;
	while ((left = rig_zone(&r, 0, HVO_ZONE_CMA).free) > low) {
		uint64_t pick = rig_random(&random);
		unsigned int order = pick % 4 ? 9 : (unsigned int)(pick >> 8) % 9;

		if (left < low + 1024)
			order = 0;
		pfn = rig_alloc(&r, GFP_HOG, order);
		/* There is none of that order in it any more. */
		if (pfn < start) {
			rig_put(&r, pfn);
			order = 0;
			pfn = rig_alloc(&r, GFP_HOG, order);
		}
		assert_true(pfn >= start);
		holder_hold(&h, pfn, order, HOLD_FILLED);
	}
	assert_int_equal(hvo_cma_alloc(cma, 262144, 18, &pfn), 0);
	assert_int_equal(pfn, start);
	assert_int_equal(rig_page(&r, pfn)->order, 18);
	rig_fill_some(&r, pfn, 262144, 77);
	holder_check(&h);
	assert_true(h.moves > 500);
	hvo_cma_stat(cma, NULL, NULL, &used);
	assert_int_equal(used, 262144);
	rig_audit(&r);
	assert_int_equal(hvo_cma_alloc(cma, 1, 0, &start), -HVO_ENOMEM);
	assert_int_equal(hvo_cma_release(cma, pfn, 262144), 0);
	rig_audit(&r);
	holder_close(&h);
	rig_audit(&r);
	rig_close(&r);
}
EACH_MODE(cma_giga)

/* ---- gigantic pages where the buddy allocator has none ---------------------------------------- */

static void gigantic(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 5120);
	struct hvo_pool *giga, *huge;
	hvo_pfn_t pfn = 0;
	uint64_t free, total, done;
	struct holder h;
	struct rig r;
	int i;

	cfg.max_order = 10;
	cfg.cma_bytes = 1024 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	free = rig_free(&r);
	total = rig_stat(&r).total_frames;
	holder_open(&h, &r, 0);
	assert_int_equal(hvo_pool_create(r.m, 18, &giga), 0);
	assert_int_equal(hvo_pool_create(r.m, 9, &huge), 0);
	assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_USER, 18, ANY, &pfn), -HVO_EINVAL);
	/* Something in the way, all over the place. */
	for (i = 0; i < 1200; i++)
		holder_hold(&h, rig_alloc(&r, HVO_GFP_USER, i % 10 ? 9 : 5), i % 10 ? 9 : 5,
			    i % 40 < 3 ? HOLD_FILLED : 0);
	for (i = 0; i < 1200; i++)
		if (i % 3)
			holder_let_go(&h, (uint64_t)i);
	/* NORMAL is 4 GiB less what is set aside, and unaligned. */
	assert_int_equal(rig_resize(giga, ANY, 2).done, 2);
	rig_audit(&r);
	holder_check(&h);
	assert_int_equal(rig_pool(giga, ANY).total, 2);
	assert_int_equal(rig_pool(giga, ANY).optimized, 2);
	assert_int_equal(hvo_pool_alloc(giga, HVO_GFP_USER, ANY, &pfn), 0);
	assert_int_equal(rig_page(&r, pfn)->order, 18);
	rig_fill_some(&r, pfn, 262144, 4);
	assert_int_equal(hvo_pool_free(giga, pfn), 0);
	/* And one from the area, which takes what is lent back. */
	assert_int_equal(hvo_cma_create(r.m, 0, 262144, &(struct hvo_cma *){ NULL }), 0);
	assert_int_equal(hvo_pool_set_cma(giga, true), 0);
	assert_int_equal(rig_resize(giga, ANY, 3).done, 1);
	assert_int_equal(hvo_pool_alloc(giga, HVO_GFP_USER, ANY, &pfn), 0);
	assert_int_equal(pfn, 1048576);
	assert_int_equal(hvo_pool_free(giga, pfn), 0);
	rig_audit(&r);
	holder_check(&h);
	/* Smaller ones of a gigantic one, and all of it back. */
	assert_int_equal(hvo_pool_demote(giga, ANY, 1, &done), 0);
	assert_int_equal(done, 1);
	assert_int_equal(rig_pool(huge, ANY).total, 512);
	rig_audit(&r);
	assert_int_equal(rig_resize(giga, ANY, 0).done, 2);
	assert_int_equal(rig_resize(huge, ANY, 0).done, 512);
	rig_audit(&r);
	holder_close(&h);
	rig_audit(&r);
	hvo_collapse(r.m, UINT64_MAX, NULL);
	/* Frames of the start that Linux mode moved count as managed from then on. */
	assert_int_equal(rig_free(&r) + rig_stat(&r).memmap,
			 free + rig_stat(&r).total_frames - total);
	rig_close(&r);
}
EACH_MODE(gigantic)

/*
 * Many gigantic pages, of areas and of NORMAL, where some places cannot be had: each is tried once,
 * not once for each page, and once more if folding gave memory back meanwhile.
 */
static void gigantic_pinned(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 10 * 1024);
	struct hvo_pool *giga;
	struct holder h;
	uint64_t already;
	struct rig r;

	cfg.max_order = 10;
	cfg.cma_bytes = 4096 * MIB;
	rig_open(&r, RIG_SIM, &cfg);
	holder_open(&h, &r, 0);
	pin(&h, 262144, 9);
	pin(&h, 6 * 262144 + 5 * 512, 9);
	assert_int_equal(hvo_cma_create(r.m, 0, 4 * 262144, &(struct hvo_cma *){ NULL }), 0);
	assert_int_equal(hvo_pool_create(r.m, 18, &giga), 0);
	assert_int_equal(hvo_pool_set_cma(giga, true), 0);
	/* Where nothing is set aside at the start, the first GiB is one, too. */
	assert_int_equal(rig_resize(giga, ANY, 100).done,
			 mode == HVO_ON_DEMAND && rig_table(&r) ? 8 : 7);
	assert_in_range(h.isolates, 2, 2 * 2 * ATTEMPT);
	rig_audit(&r);
	/* Another time they are looked at again. */
	already = rig_pool(giga, ANY).total;
	rig_put(&r, 262144);
	rig_put(&r, 6 * 262144 + 5 * 512);
	assert_int_equal(rig_resize(giga, ANY, 100).done, 9 - already);
	assert_int_equal(rig_pool(giga, ANY).total, 9);
	holder_check(&h);
	assert_int_equal(rig_resize(giga, ANY, 0).done, 9);
	holder_close(&h);
	rig_audit(&r);
	rig_close(&r);
}
EACH_MODE(gigantic_pinned)

/* ---- two nodes -------------------------------------------------------------------------------- */

#define NODE1 UINT64_C(131072) /* its first frame */

static void open_nodes(struct rig *r, enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 1024);

	cfg.nr_nodes = 2;
	cfg.cma_bytes = 128 * MIB;
	rig_open(r, RIG_SIM, &cfg);
}

/* Nobody can move what is in use of a node's zones, but for @left blocks of 2 MiB that are free. */
static void fill_node(struct rig *r, struct hog *h, int node, uint64_t left)
{
	unsigned int order = HVO_MAX_ORDER + 1;
	hvo_pfn_t kept[4] = { 0 };
	uint64_t i;

	assert_in_range(left, 0, 4);
	for (i = 0; i < left; i++)
		assert_int_equal(hvo_alloc_pages(r->m, HVO_GFP_KERNEL, 9, node, &kept[i]), 0);
	h->max = NODE1;
	h->blocks = calloc(h->max, sizeof(*h->blocks));
	assert_non_null(h->blocks);
	while (order--)
		while (!hvo_alloc_pages(r->m, GFP_HOG | HVO_GFP_THISNODE, order, node,
					&h->blocks[h->nr].pfn))
			h->blocks[h->nr++].order = order;
	while (left--)
		rig_put(r, kept[left]);
}

static void expect_as_before(struct rig *r, const struct hvo_zone_stat before[4])
{
	int i;

	for (i = 0; i < 4; i++) {
		struct hvo_zone_stat now =
			rig_zone(r, i / 2, i % 2 ? HVO_ZONE_CMA : HVO_ZONE_NORMAL);

		assert_memory_equal(&before[i], &now, sizeof(now));
	}
}

/* A place on the node that was named, then on the other one, unless that is ruled out. */
static void node_pages(enum hvo_mode mode)
{
	const unsigned int here = HVO_GFP_KERNEL | HVO_GFP_THISNODE | HVO_GFP_NOWARN;
	struct hvo_zone_stat before[4];
	struct hog hog = { 0 };
	hvo_pfn_t pfn = 7;
	struct rig r;
	int i;

	open_nodes(&r, mode);
	assert_int_equal(hvo_alloc_contig_pages(r.m, 700, here, 1, &pfn), 0);
	assert_true(pfn >= NODE1);
	assert_int_equal(hvo_free_contig_range(r.m, pfn, pfn + 700), 0);
	assert_int_equal(hvo_alloc_contig_pages(r.m, 700, HVO_GFP_KERNEL, ANY, &pfn), 0);
	assert_true(pfn < NODE1);
	assert_int_equal(hvo_free_contig_range(r.m, pfn, pfn + 700), 0);
	fill_node(&r, &hog, 1, 0);
	hvo_collapse(r.m, UINT64_MAX, NULL);
	for (i = 0; i < 4; i++)
		before[i] = rig_zone(&r, i / 2, i % 2 ? HVO_ZONE_CMA : HVO_ZONE_NORMAL);
	pfn = 7;
	assert_int_equal(hvo_alloc_contig_pages(r.m, 1024, here, 1, &pfn), -HVO_ENOMEM);
	assert_int_equal(hvo_alloc_contig_pages(r.m, 1, here, 1, &pfn), -HVO_ENOMEM);
	assert_int_equal(pfn, 7);
	expect_as_before(&r, before);
	rig_audit(&r);
	assert_int_equal(hvo_alloc_contig_pages(r.m, 1024, HVO_GFP_KERNEL, 1, &pfn), 0);
	assert_true(pfn < NODE1);
	expect_taken(&r, pfn, pfn + 1024);
	assert_int_equal(hvo_free_contig_range(r.m, pfn, pfn + 1024), 0);
	/* Without a node there is none that THISNODE could mean. */
	assert_int_equal(hvo_alloc_contig_pages(r.m, 1024, here, ANY, &pfn), 0);
	assert_int_equal(hvo_free_contig_range(r.m, pfn, pfn + 1024), 0);
	/* No range lies on both, nor in two zones of one. */
	assert_int_equal(hvo_alloc_contig_range(r.m, NODE1 - 1, NODE1 + 1, 0), -HVO_EINVAL);
	assert_int_equal(hvo_alloc_contig_range(r.m, 98304 - 1, 98304 + 1, 0), -HVO_EINVAL);
	assert_int_equal(hvo_alloc_contig_range(r.m, 98304 - 1, NODE1 + 1, 0), -HVO_EINVAL);
	hvo_collapse(r.m, UINT64_MAX, NULL);
	expect_as_before(&r, before);
	rig_audit(&r);
	hog_release(&r, &hog, UINT64_MAX);
	rig_close(&r);
}
EACH_MODE(node_pages)

/* How many of those that somebody holds are on node 1. */
static uint64_t on_node1(const struct holder *h)
{
	uint64_t nr = 0, i;

	for (i = 0; i < h->nr; i++)
		nr += h->held[i].pfn != HVO_PFN_NONE && h->held[i].pfn >= NODE1;
	return nr;
}

/* What is in the way stays on its node while there is a place. */
static void node_evacuate(enum hvo_mode mode)
{
	struct hog hog = { 0 };
	hvo_pfn_t pfn = 0, base;
	struct holder h;
	struct rig r;
	int i;

	open_nodes(&r, mode);
	holder_open(&h, &r, 0);
	for (i = 0; i < 4; i++) {
		assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_KERNEL, 9, 1, &pfn), 0);
		holder_hold(&h, pfn, 9, HOLD_FILLED);
	}
	for (i = 0; i < 4; i++) {
		base = h.held[i].pfn;
		assert_true(base >= NODE1);
		assert_int_equal(hvo_alloc_contig_range(r.m, base, base + 512, GFP_QUIET), 0);
		assert_int_equal(h.moves, i + 1);
		assert_int_equal(on_node1(&h), 4);
		assert_int_equal(hvo_free_contig_range(r.m, base, base + 512), 0);
	}
	rig_audit(&r);
	/* Two places are left there; the third one is on the other node. */
	fill_node(&r, &hog, 1, 2);
	for (i = 0; i < 3; i++) {
		base = h.held[i].pfn;
		assert_int_equal(hvo_alloc_contig_range(r.m, base, base + 512, GFP_QUIET), 0);
		expect_taken(&r, base, base + 512);
		assert_int_equal(on_node1(&h), i < 2 ? 4 : 3);
	}
	assert_true(h.held[2].pfn < NODE1);
	holder_check(&h);
	rig_audit(&r);
	holder_close(&h);
	hog_release(&r, &hog, UINT64_MAX);
	rig_close(&r);
}
EACH_MODE(node_evacuate)

/* The area of a node is memory of that node, for whoever asks; so are pages of pools from it. */
static void node_cma(enum hvo_mode mode)
{
	uint64_t nr = 0, used = 7;
	hvo_pfn_t pfn = 7, start[2] = { 0 };
	struct hvo_cma *cma[2];
	struct hvo_pool *pool;
	struct rig r;
	int i;

	open_nodes(&r, mode);
	pool = rig_pool_new(&r, 12);
	assert_int_equal(hvo_cma_create(r.m, 2, 512, &cma[0]), -HVO_EINVAL);
	for (i = 1; i >= 0; i--) {
		assert_int_equal(hvo_cma_create(r.m, i, 16384, &cma[i]), 0);
		hvo_cma_stat(cma[i], &start[i], &nr, &used);
		assert_int_equal(start[i], 98304 + (hvo_pfn_t)i * NODE1);
		assert_int_equal(nr, 16384);
		assert_int_equal(used, 0);
	}
	assert_int_equal(hvo_cma_alloc(cma[1], 16384, 0, &pfn), 0);
	assert_int_equal(pfn, start[1]);
	/* It is used up; that of the other node is none of it. */
	assert_int_equal(hvo_cma_alloc(cma[1], 1, 0, &pfn), -HVO_ENOMEM);
	assert_int_equal(hvo_cma_release(cma[0], pfn, 16384), -HVO_EINVAL);
	assert_int_equal(hvo_cma_release(cma[1], pfn, 16384), 0);
	rig_audit(&r);
	assert_int_equal(hvo_pool_set_cma(pool, true), 0);
	for (i = 0; i < 2; i++) {
		assert_int_equal(rig_resize(pool, i, 1).done, 1);
		assert_int_equal(rig_pool(pool, i).total, 1);
		assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_KERNEL | HVO_GFP_THISNODE, i, &pfn),
				 0);
		assert_in_range(pfn, start[i], start[i] + 16384 - 4096);
		assert_int_equal(hvo_pool_free(pool, pfn), 0);
		assert_int_equal(rig_resize(pool, i, 2).done, 1);
		assert_int_equal(rig_pool(pool, i).total, 2);
	}
	rig_audit(&r);
	assert_int_equal(rig_resize(pool, ANY, 0).done, 4);
	rig_close(&r);
}
EACH_MODE(node_cma)

/* 2 GiB each, with one place for a gigantic page. */
static void node_gigantic(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config_aside(mode, 4096);
	struct hvo_pool *pool;
	struct holder h;
	struct rig r;
	hvo_pfn_t pfn;
	int i, k;

	cfg.max_order = 10;
	cfg.nr_nodes = 2;
	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 18);
	holder_open(&h, &r, 0);
	/* All over both of them; and one page does not take another's place. */
	for (i = 0; i < 1200; i++) {
		assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_USER, 9, i % 2, &pfn), 0);
		holder_hold(&h, pfn, 9, i % 40 < 2 ? HOLD_FILLED : 0);
	}
	for (i = 0; i < 1200; i++)
		if (i % 3)
			holder_let_go(&h, (uint64_t)i);
	for (i = 1; i >= 0; i--) {
		assert_int_equal(rig_resize(pool, i, 2).done, 1);
		for (k = 0; k < 2; k++)
			assert_int_equal(rig_pool(pool, k).total, k >= i);
		holder_check(&h);
		/* Everybody is where he was. */
		assert_int_equal(h.wrong, 0);
		rig_audit(&r);
	}
	assert_true(h.moves > 100);
	for (i = 0; i < 2; i++) {
		assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_KERNEL | HVO_GFP_THISNODE, i, &pfn),
				 0);
		assert_int_equal(pfn, 262144 + (hvo_pfn_t)i * 524288);
		rig_fill_some(&r, pfn, 262144, 4);
		assert_int_equal(hvo_pool_free(pool, pfn), 0);
	}
	assert_int_equal(rig_resize(pool, ANY, 0).done, 2);
	holder_close(&h);
	rig_audit(&r);
	rig_close(&r);
}
EACH_MODE(node_gigantic)

/* ---- whatever can fail ------------------------------------------------------------------------ */

/* Point @at fails, if there are so many; returns how many there were. */
static uint64_t fail_at(enum hvo_mode mode, uint64_t at)
{
	struct hvo_config cfg = rig_config_aside(mode, 256);
	hvo_pfn_t base, start, end;
	struct hvo_pool *pool;
	struct holder h;
	uint64_t points;
	struct rig r;
	int rc, i;

	rig_open(&r, RIG_SIM, &cfg);
	holder_open(&h, &r, 0);
	assert_int_equal(hvo_pool_create(r.m, 9, &pool), 0);
	assert_int_equal(rig_resize(pool, ANY, 2).done, 2);
	for (i = 0; i < 40; i++)
		holder_hold(&h, rig_alloc(&r, HVO_GFP_USER, 4), 4, HOLD_FILLED);
	base = h.held[0].pfn & ~(hvo_pfn_t)511;
	start = base < 512 * 4 ? base : base - 1024 + 200;
	end = base + 512 + 77;
	rig_arm(&r, at, false);
	rc = hvo_alloc_contig_range(r.m, start, end, HVO_GFP_ZERO | HVO_GFP_NOWARN);
	rig_disarm(&r);
	points = rig_sim(&r).points;
	rig_audit(&r);
	holder_check(&h);
	assert_int_equal(r.m->nodes[0].zones[0].nr_isolated, 0);
	if (!at)
		assert_int_equal(rc, 0);
	assert_true(rc == 0 || rc == -HVO_ENOMEM || rc == -HVO_EBUSY);
	if (rc)
		assert_int_equal(hvo_alloc_contig_range(r.m, start, end, HVO_GFP_ZERO), 0);
	expect_taken(&r, start, end);
	assert_true(rig_zero(&r, start, end - start));
	rig_audit(&r);
	assert_int_equal(hvo_free_contig_range(r.m, start, end), 0);
	holder_close(&h);
	rig_audit(&r);
	rig_close(&r);
	return points;
}

static void fails(enum hvo_mode mode)
{
	uint64_t points = fail_at(mode, 0), at;

	assert_in_range(points, 2, 200);
	for (at = 1; at <= points; at++)
		fail_at(mode, at);
}
EACH_MODE(fails)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_free_ranges),    cmocka_unit_test(test_used_ranges),
		cmocka_unit_test(test_huge_ranges),    cmocka_unit_test(test_unmovable),
		cmocka_unit_test(test_clear_on_free),  cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_pages),	       cmocka_unit_test(test_past_absent),
		cmocka_unit_test(test_gone_meanwhile), cmocka_unit_test(test_cma_small),
		cmocka_unit_test(test_cma_pinned),     cmocka_unit_test(test_cma_giga),
		cmocka_unit_test(test_gigantic),       cmocka_unit_test(test_gigantic_pinned),
		cmocka_unit_test(test_fails),	       cmocka_unit_test(test_node_pages),
		cmocka_unit_test(test_node_evacuate),  cmocka_unit_test(test_node_cma),
		cmocka_unit_test(test_node_gigantic),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
