// SPDX-License-Identifier: MIT
/*
 * Freeing never needs memory, and memory stays whole.
 *
 * On-demand mode: in a machine with no free frame, not even a reserve, pools shrink at
 * the first call by all that was asked for; what they leave can be cut into frames to
 * the last one, and when those are freed, in whatever order, it is whole and folded
 * again: as many free blocks of each order as before, and pools of the old size.
 *
 * Linux mode, policy carve: how many huge pages have to give frames of their own, what
 * that spoils, for how long, and how carve-heal mends it.
 *
 * States of a full machine: pools with pages in use (filled) and free ones; all else is
 * the hog's (filled). Locks: none.
 * In Linux: tools/testing/selftests/mm/hugetlb-vmemmap.c.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#define ANY HVO_NODE_ANY

#define MAX_ZONES 4
#define MAX_USED 16
#define FILL_STEP 61 /* one in so many of the frames that memory is cut into is filled */

/* A pool: @nr pages of @order, or all that there is room for, @used of them in use. */
struct want {
	unsigned int order;
	uint64_t nr, used;
};

struct plan {
	uint64_t mib, movable_mib, reserve; /* bytes; 0: as Linux computes it */
	uint32_t nodes;
	unsigned int nr_pools;
	struct want pools[3];
};

struct zones {
	unsigned int nr;
	struct hvo_zone_stat z[MAX_ZONES];
};

struct full {
	struct rig r;
	struct zones empty; /* before anything was allocated */
	const struct plan *plan;
	struct hvo_pool *pool[3];
	uint64_t total[3];
	hvo_pfn_t used[3][MAX_USED];
	struct hog h;
	uint64_t random;
};

/* ---- what a machine looks like ------------------------------------------------------- */

static struct zones zones_of(struct rig *r)
{
	const struct hvo_config *cfg = hvo_machine_config(r->m);
	struct zones s;
	uint32_t n;

	memset(&s, 0, sizeof(s));
	for (n = 0; n < cfg->nr_nodes; n++) {
		s.z[s.nr++] = rig_zone(r, (int)n, HVO_ZONE_NORMAL);
		if (cfg->movable_bytes)
			s.z[s.nr++] = rig_zone(r, (int)n, HVO_ZONE_MOVABLE);
	}
	assert_true(s.nr <= MAX_ZONES);
	return s;
}

static uint64_t cut_blocks(struct rig *r)
{
	struct zones s = zones_of(r);
	uint64_t nr = 0;

	while (s.nr)
		nr += s.z[--s.nr].nr_cut;
	return nr;
}

static uint8_t fold_byte(struct rig *r, hvo_pfn_t pfn)
{
	return hvo_fold_byte(hvo_machine_memmap(r->m), pfn >> HVO_PAGEBLOCK_ORDER);
}

/* All of [pfn, pfn + 2^order) is one block and folded. */
static bool is_folded(struct rig *r, hvo_pfn_t pfn, unsigned int order)
{
	hvo_pfn_t end = pfn + (UINT64_C(1) << order);

	for (; pfn < end; pfn += HVO_PAGEBLOCK_FRAMES)
		if (fold_byte(r, pfn) != (order | HVO_FOLDED))
			return false;
	return true;
}

/* Huge pages of an order that are there, each of them folded. */
static uint64_t folded_huge_pages(struct rig *r, unsigned int order)
{
	uint64_t end = hvo_machine_memmap(r->m)->nr_frames, nr = 0;
	hvo_pfn_t pfn;

	for (pfn = 0; pfn < end; pfn += HVO_PAGEBLOCK_FRAMES) {
		enum hvo_page_state state;

		if ((fold_byte(r, pfn) & HVO_FOLD_ORDER) != order ||
		    pfn & ((UINT64_C(1) << order) - 1))
			continue;
		state = hvo_page_state(rig_page(r, pfn));
		if (state != HVO_PAGE_HUGETLB_FREE && state != HVO_PAGE_HUGETLB_USED)
			continue;
		assert_true(is_folded(r, pfn, order));
		nr++;
	}
	return nr;
}

/* ---- what others have ------------------------------------------------------------------- */

static void hog_rest(struct rig *r, struct hog *h)
{
	uint64_t i = h->nr;

	hog_all(r, h, 0, false);
	for (; i < h->nr; i++)
		rig_fill_some(r, h->blocks[i].pfn, UINT64_C(1) << h->blocks[i].order, 0xb1);
}

static bool rest_intact(struct rig *r, const struct hog *h)
{
	uint64_t i;

	for (i = 0; i < h->nr; i++)
		if (!rig_some_intact(r, h->blocks[i].pfn, UINT64_C(1) << h->blocks[i].order, 0xb1))
			return false;
	return true;
}

/* ---- a full machine ---------------------------------------------------------------------- */

static void expect_pools(struct full *f)
{
	unsigned int i;

	for (i = 0; i < f->plan->nr_pools; i++) {
		struct hvo_pool_stat st = rig_pool(f->pool[i], ANY);

		assert_int_equal(st.total, f->total[i]);
		assert_int_equal(st.optimized, st.total);
		assert_int_equal(st.surplus, 0);
		assert_int_equal(folded_huge_pages(&f->r, f->plan->pools[i].order), st.total);
	}
}

static void full_open(struct full *f, const struct plan *plan, enum rig_platform platform)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, plan->mib);
	unsigned int i;
	uint64_t k;

	memset(f, 0, sizeof(*f));
	f->plan = plan;
	f->random = 11;
	cfg.nr_nodes = plan->nodes;
	cfg.movable_bytes = plan->movable_mib * MIB;
	cfg.min_free_bytes = plan->reserve;
	rig_open(&f->r, platform, &cfg);
	f->empty = zones_of(&f->r);
	for (i = 0; i < plan->nr_pools; i++) {
		const struct want *w = &plan->pools[i];

		assert_int_equal(hvo_pool_create(f->r.m, w->order, &f->pool[i]), 0);
		f->total[i] = rig_resize(f->pool[i], ANY, w->nr).done;
		assert_true(w->nr == UINT64_MAX ? f->total[i] > w->used : f->total[i] == w->nr);
		assert_true(w->used <= MAX_USED);
		for (k = 0; k < w->used; k++) {
			assert_int_equal(hvo_pool_alloc(f->pool[i], 0, ANY, &f->used[i][k]), 0);
			rig_fill(&f->r, f->used[i][k], UINT64_C(1) << w->order, k);
		}
	}
	hog_rest(&f->r, &f->h);
	expect_pools(f);
	rig_audit(&f->r);
}

static void expect_contents(struct full *f)
{
	unsigned int i;
	uint64_t k;

	assert_true(rest_intact(&f->r, &f->h));
	for (i = 0; i < f->plan->nr_pools; i++) {
		const struct want *w = &f->plan->pools[i];

		for (k = 0; k < w->used; k++) {
			assert_true(rig_intact(&f->r, f->used[i][k], UINT64_C(1) << w->order, k));
			assert_true(is_folded(&f->r, f->used[i][k], w->order));
		}
	}
}

/* ---- into frames and back ------------------------------------------------------------------ */

struct frames {
	hvo_pfn_t *pfn;
	uint64_t nr;
};

/* Allocate single frames until there are no more; @most is how many there may be. */
static struct frames cut_all(struct full *f, uint64_t most)
{
	struct frames s = { malloc((most + 1) * sizeof(*s.pfn)), 0 };
	hvo_pfn_t pfn;

	assert_non_null(s.pfn);
	while (s.nr <= most && !hvo_alloc_pages(f->r.m, GFP_HOG, 0, ANY, &pfn)) {
		if (s.nr % FILL_STEP == 0)
			rig_fill(&f->r, pfn, 1, 0xc0);
		s.pfn[s.nr++] = pfn;
	}
	return s;
}

static bool frames_intact(struct full *f, const struct frames *s)
{
	uint64_t i;

	for (i = 0; i < s->nr; i += FILL_STEP)
		if (!rig_intact(&f->r, s->pfn[i], 1, 0xc0))
			return false;
	return true;
}

static void free_shuffled(struct full *f, struct frames *s)
{
	while (s->nr) {
		uint64_t i = rig_random(&f->random) % s->nr;

		rig_put(&f->r, s->pfn[i]);
		s->pfn[i] = s->pfn[--s->nr];
	}
	free(s->pfn);
}

/*
 * Whole, free blocks and nothing else free: all of it can be used as frames, but for the
 * 7 of each block, and is what it was when they come back.
 */
static void cut_and_mend(struct full *f, uint64_t nr_free)
{
	struct zones whole = zones_of(&f->r), now;
	uint64_t blocks = nr_free / HVO_PAGEBLOCK_FRAMES, cut = cut_blocks(&f->r);
	uint64_t memmap = rig_stat(&f->r).memmap;
	struct frames s = cut_all(f, nr_free);

	assert_int_equal(rig_free(&f->r), 0);
	assert_int_equal(s.nr, blocks * (HVO_PAGEBLOCK_FRAMES - rig_tails(&f->r)));
	/* 505 or 504 of 512. */
	assert_true(s.nr * 1000 >= nr_free * 984);
	assert_int_equal(cut_blocks(&f->r), cut + blocks);
	assert_int_equal(rig_stat(&f->r).memmap, memmap + blocks * rig_tails(&f->r));
	rig_audit(&f->r);
	assert_true(frames_intact(f, &s));
	expect_contents(f);
	free_shuffled(f, &s);
	rig_audit(&f->r);
	(void)hvo_collapse(f->r.m, UINT64_MAX, NULL);
	now = zones_of(&f->r);
	assert_memory_equal(&now, &whole, sizeof(now));
	assert_int_equal(rig_stat(&f->r).memmap, memmap);
	rig_audit(&f->r);
}

/* ---- the promise ----------------------------------------------------------------------------- */

/* Each pool in turn gives back all that is not in use, with nothing free anywhere. */
static void shrink_and_cut(struct full *f)
{
	struct hog rest[3] = { 0 };
	unsigned int i;

	for (i = 0; i < f->plan->nr_pools; i++) {
		const struct want *w = &f->plan->pools[i];
		uint64_t free_pages = f->total[i] - w->used;
		struct hvo_resize_result res = { .size = sizeof(res) };

		assert_int_equal(rig_free(&f->r), 0);
		res = rig_resize(f->pool[i], ANY, w->used);
		assert_true(res.asked == free_pages && res.done == res.asked && !res.refused);
		assert_int_equal(rig_free(&f->r), free_pages << w->order);
		assert_int_equal(folded_huge_pages(&f->r, w->order), w->used);
		rig_audit(&f->r);
		cut_and_mend(f, free_pages << w->order);
		hog_rest(&f->r, &rest[i]);
	}
	while (i--)
		hog_release(&f->r, &rest[i], UINT64_MAX);
}

/* What the watermarks keep back cannot become huge pages: somebody else gives as much. */
static void give_reserves(struct full *f)
{
	struct zones had = zones_of(&f->r), now;
	unsigned int i;

	for (i = 0; i < had.nr; i++) {
		for (;;) {
			now = zones_of(&f->r);
			if (now.z[i].free >= had.z[i].free + now.z[i].watermark_min)
				break;
			assert_true(f->h.nr > 0);
			hog_release(&f->r, &f->h, 1);
		}
	}
}

static void build_again(struct full *f)
{
	unsigned int i;

	give_reserves(f);
	for (i = 0; i < f->plan->nr_pools; i++) {
		struct hvo_resize_result res = rig_resize(f->pool[i], ANY, f->total[i]);

		assert_int_equal(res.asked, f->total[i] - f->plan->pools[i].used);
		assert_int_equal(res.done, res.asked);
	}
	hog_rest(&f->r, &f->h);
	expect_pools(f);
	expect_contents(f);
	rig_audit(&f->r);
}

/* Pages in use are surplus from now on, and leave when their users do. */
static void shrink_under_users(struct full *f)
{
	unsigned int i;
	uint64_t k;

	assert_int_equal(rig_free(&f->r), 0);
	for (i = 0; i < f->plan->nr_pools; i++) {
		const struct want *w = &f->plan->pools[i];
		struct hvo_resize_result res = rig_resize(f->pool[i], ANY, 0);

		assert_int_equal(res.asked, f->total[i]);
		assert_int_equal(res.done, f->total[i] - w->used);
		assert_int_equal(res.refused, 0);
		assert_int_equal(rig_pool(f->pool[i], ANY).surplus, w->used);
		assert_int_equal(rig_pool(f->pool[i], ANY).total, w->used);
	}
	hog_rest(&f->r, &f->h);
	expect_contents(f);
	for (i = 0; i < f->plan->nr_pools; i++) {
		unsigned int order = f->plan->pools[i].order;

		for (k = 0; k < f->plan->pools[i].used; k++) {
			uint64_t before = rig_free(&f->r);

			assert_true(rig_intact(&f->r, f->used[i][k], UINT64_C(1) << order, k));
			assert_int_equal(hvo_pool_free(f->pool[i], f->used[i][k]), 0);
			assert_int_equal(rig_free(&f->r), before + (UINT64_C(1) << order));
		}
		assert_int_equal(rig_pool(f->pool[i], ANY).total, 0);
	}
	rig_audit(&f->r);
}

static void promise(const struct plan *plan, enum rig_platform platform)
{
	struct hvo_machine_stat first = { .size = sizeof(first) }, last = { .size = sizeof(last) };
	struct zones zones;
	struct full f;

	full_open(&f, plan, platform);
	first = rig_stat(&f.r);
	shrink_and_cut(&f);
	build_again(&f);
	last = rig_stat(&f.r);
	assert_int_equal(last.free_frames, first.free_frames);
	assert_int_equal(last.total_frames, first.total_frames);
	shrink_under_users(&f);
	assert_true(rest_intact(&f.r, &f.h));
	hog_release(&f.r, &f.h, UINT64_MAX);
	(void)hvo_collapse(f.r.m, UINT64_MAX, NULL);
	zones = zones_of(&f.r);
	assert_memory_equal(&zones, &f.empty, sizeof(zones));
	assert_int_equal(rig_stat(&f.r).memmap, 0);
	rig_audit(&f.r);
	rig_close(&f.r);
}

static void test_full_of_2m(void **state)
{
	/* All blocks but the one that holds the descriptors. */
	static const struct plan plan = {
		.mib = 640,
		.reserve = HVO_FRAME_SIZE,
		.nodes = 1,
		.nr_pools = 1,
		.pools = { { 9, 319, 9 } },
	};
	static const struct plan smaller = {
		.mib = 256,
		.reserve = HVO_FRAME_SIZE,
		.nodes = 1,
		.nr_pools = 1,
		.pools = { { 9, 127, 9 } },
	};

	(void)state;
	promise(&plan, RIG_SIM);
	promise(&smaller, RIG_LINUX);
}

static void test_full_of_1g(void **state)
{
	static const struct plan plan = {
		.mib = 4096,
		.nodes = 1,
		.nr_pools = 1,
		.pools = { { 18, 3, 2 } },
	};
	static const struct plan smaller = {
		.mib = 2048,
		.nodes = 1,
		.nr_pools = 1,
		.pools = { { 18, 1, 0 } },
	};

	(void)state;
	promise(&plan, RIG_SIM);
	promise(&smaller, RIG_LINUX);
}

static void test_full_of_many(void **state)
{
	/* Two nodes, a gigabyte of each is a huge page. */
	static const struct plan plan = {
		.mib = 4096,
		.nodes = 2,
		.nr_pools = 3,
		.pools = { { 18, 2, 1 }, { 12, 30, 3 }, { 9, 50, 7 } },
	};
	/* And a zone that the kernel may not use; 2 MiB pages are all that is left. */
	static const struct plan smaller = {
		.mib = 384,
		.movable_mib = 128,
		.nodes = 1,
		.nr_pools = 3,
		.pools = { { 14, 1, 0 }, { 12, 8, 2 }, { 9, UINT64_MAX, 16 } },
	};

	(void)state;
	promise(&plan, RIG_SIM);
	promise(&smaller, RIG_SIM);
	promise(&smaller, RIG_LINUX);
}

/* ---- blocks of no pool ------------------------------------------------------------------------ */

#define FOLIOS 1000

struct folio {
	hvo_pfn_t pfn;
	unsigned int order;
};

/* Fold as huge pages do: no descriptor is added or freed, at no time. */
static void test_folios(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 10240);
	static struct folio folios[FOLIOS];
	struct hvo_machine_stat before = { .size = sizeof(before) }, now = { .size = sizeof(now) };
	struct zones empty, zones;
	uint64_t random = 5, i, k;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	empty = zones_of(&r);
	before = rig_stat(&r);
	for (i = 0; i < FOLIOS; i++) {
		struct folio *f = &folios[i];

		f->order = 9 + (unsigned int)(rig_random(&random) % 4);
		f->pfn = rig_alloc(&r, HVO_GFP_USER, f->order);
		assert_true(is_folded(&r, f->pfn, f->order));
		assert_int_equal(hvo_page_state(rig_page(&r, f->pfn)), HVO_PAGE_USED);
		rig_fill(&r, f->pfn + (i & 511), 1, i);
	}
	now = rig_stat(&r);
	assert_int_equal(now.memmap, before.memmap);
	assert_int_equal(now.memmap_boot, before.memmap_boot);
	assert_int_equal(now.restored, before.restored);
	rig_audit(&r);
	for (i = FOLIOS; i--;) {
		k = rig_random(&random) % (i + 1);
		assert_true(is_folded(&r, folios[k].pfn, folios[k].order));
		rig_put(&r, folios[k].pfn);
		folios[k] = folios[i];
	}
	now = rig_stat(&r);
	assert_memory_equal(&now, &before, sizeof(now));
	zones = zones_of(&r);
	assert_memory_equal(&zones, &empty, sizeof(zones));
	rig_audit(&r);
	rig_close(&r);
}

/* ---- Linux mode: frames of the huge page itself ------------------------------------------------- */

/*
 * When a page of 2^o frames is carved, p = 2^o / 64 - 1 of them become its descriptors
 * and 2^o - p are free. With c pages carved and a watermark of w frames the next one is
 * restored from free frames, above the watermark, if c * (2^o - p) >= w + p. From then on
 * each restored page frees more than it took. So, whatever the size of the pool:
 *
 *	carved = min(pages, ceil((w + p) / (2^o - p)))
 *
 * which is one in all for 2 MiB pages and a watermark up to 498 frames.
 */
static uint64_t carved_of(unsigned int order, uint64_t pages, uint64_t mark)
{
	uint64_t p = (UINT64_C(1) << order) / HVO_PAGES_PER_FRAME - 1;
	uint64_t gain = (UINT64_C(1) << order) - p, nr = (mark + p + gain - 1) / gain;

	return nr < pages ? nr : pages;
}

/* Until no more comes: what a batch folds makes blocks whole for the next one. */
static uint64_t grow_to_the_end(struct hvo_pool *pool)
{
	while (rig_resize(pool, ANY, UINT64_MAX).done)
		;
	return rig_pool(pool, ANY).total;
}

struct carve {
	struct rig r;
	struct hvo_pool *pool;
	struct hog h;
	uint64_t total, carved;
	struct zones full;
	struct hvo_machine_stat stat;
};

/* A machine full of pages of a pool; all are freed, which carves some. Then all is free. */
static void carve_open(struct carve *c, const char *policy, unsigned int order, uint64_t reserve)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	struct hvo_resize_result res = { .size = sizeof(res) };

	memset(c, 0, sizeof(*c));
	cfg.min_free_bytes = reserve * HVO_FRAME_SIZE;
	rig_open(&c->r, RIG_SIM, &cfg);
	assert_int_equal(hvo_pool_create(c->r.m, order, &c->pool), 0);
	assert_int_equal(hvo_pool_set_policy(c->pool, hvo_policy_find(policy)), 0);
	c->total = grow_to_the_end(c->pool);
	c->full = zones_of(&c->r);
	c->stat = rig_stat(&c->r);
	hog_rest(&c->r, &c->h);
	c->carved = carved_of(order, c->total, c->full.z[0].watermark_min);
	res = rig_resize(c->pool, ANY, 0);
	assert_true(res.asked == c->total && res.done == c->total && !res.refused);
	assert_int_equal(res.carved, c->carved);
	assert_int_equal(rig_pool(c->pool, ANY).carved_total, c->carved);
	rig_audit(&c->r);
	assert_true(rest_intact(&c->r, &c->h));
	hog_release(&c->r, &c->h, UINT64_MAX);
	rig_audit(&c->r);
}

/* Blocks that hold descriptors. */
static uint64_t blocks_with_memmap(struct rig *r)
{
	uint64_t end = hvo_machine_memmap(r->m)->nr_frames, nr = 0;
	hvo_pfn_t pfn, block;

	for (block = 0; block < end; block += HVO_PAGEBLOCK_FRAMES) {
		if (fold_byte(r, block))
			continue;
		for (pfn = block; pfn < block + HVO_PAGEBLOCK_FRAMES; pfn++)
			if (hvo_page_state(rig_page(r, pfn)) == HVO_PAGE_MEMMAP)
				break;
		nr += pfn < block + HVO_PAGEBLOCK_FRAMES;
	}
	return nr;
}

static bool is_carved(struct rig *r, hvo_pfn_t pfn, unsigned int order)
{
	hvo_pfn_t end = pfn + (UINT64_C(1) << order) / HVO_PAGES_PER_FRAME - 1;

	if (fold_byte(r, pfn))
		return false;
	for (; pfn < end; pfn++)
		if (hvo_page_state(rig_page(r, pfn)) != HVO_PAGE_MEMMAP)
			return false;
	return true;
}

/*
 * All is free, and blocks stay cut: the carved ones, and the ones that the descriptors of
 * other pages are in.
 */
static void carve_open_checked(struct carve *c, unsigned int order, uint64_t reserve)
{
	carve_open(c, "carve", order, reserve);
	assert_int_equal(c->r.events[HVO_EVENT_CARVED], c->carved);
	assert_true(is_carved(&c->r, c->r.last_event[HVO_EVENT_CARVED].pfn, order));
	assert_int_equal(cut_blocks(&c->r), blocks_with_memmap(&c->r));
	assert_true(cut_blocks(&c->r) >= c->full.z[0].nr_cut + c->carved);
	/* That is for blocks that hold their own descriptors in on-demand mode. */
	assert_int_equal(hvo_collapse(c->r.m, UINT64_MAX, NULL), 0);
}

static void test_carve(void **state)
{
	static const struct {
		unsigned int order;
		uint64_t reserve, carved;
	} cases[] = { { 9, 1, 1 },  { 9, 498, 1 },   { 9, 499, 2 },   { 9, 2048, 5 },
		      { 12, 1, 1 }, { 12, 3970, 1 }, { 12, 3971, 2 }, { 12, 9000, 3 } };
	struct carve c;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		carve_open_checked(&c, cases[i].order, cases[i].reserve);
		assert_int_equal(c.carved, cases[i].carved);
		rig_close(&c.r);
	}
}

/*
 * When the pool grows again, blocks that hold descriptors of others become whole, one
 * after the other. A carved one does not: to free its descriptors it would have to be
 * part of a page, and for that be whole. So that memory is lost for good.
 */
static void spoiled_in(unsigned int order)
{
	uint64_t size = UINT64_C(1) << order, tails = size / HVO_PAGES_PER_FRAME - 1;
	/* That the frames of a carved one serve, above a watermark of one frame. */
	uint64_t more = (size - tails - 1) / tails;
	struct zones now;
	struct carve c;
	hvo_pfn_t last;

	carve_open_checked(&c, order, 1);
	last = c.r.last_event[HVO_EVENT_CARVED].pfn;
	assert_true(c.carved * (more + 1) <= c.total + more);
	assert_true(cut_blocks(&c.r) > c.full.z[0].nr_cut + c.carved);
	assert_int_equal(grow_to_the_end(c.pool), c.total - c.carved);
	assert_int_equal(rig_pool(c.pool, ANY).optimized, c.total - c.carved);
	assert_true(is_carved(&c.r, last, order));
	/* Nor does the work that is left see to it: nobody asked for that. */
	rig_put(&c.r, rig_take(c.pool, HVO_NODE_ANY));
	(void)hvo_work(c.r.m, UINT64_MAX, NULL);
	assert_int_equal(rig_stat(&c.r).carved_blocks, c.carved);
	now = zones_of(&c.r);
	assert_int_equal(now.z[0].nr_cut, c.full.z[0].nr_cut + c.carved);
	assert_int_equal(now.z[0].free, c.full.z[0].free + c.carved * (size - tails));
	assert_int_equal(rig_stat(&c.r).memmap, c.stat.memmap + c.carved * tails);
	rig_audit(&c.r);
	rig_close(&c.r);
}

static void test_spoiled(void **state)
{
	(void)state;
	spoiled_in(9);
	spoiled_in(12);
}

/*
 * carve-heal: when there is memory again, the work that is left makes all of it whole, and
 * nothing is left of the carving.
 */
static void heal_in(unsigned int order, uint64_t reserve, uint64_t carved)
{
	struct hvo_machine_stat stat = { .size = sizeof(stat) };
	struct carve c;
	hvo_pfn_t last;

	carve_open(&c, "carve-heal", order, reserve);
	last = c.r.last_event[HVO_EVENT_CARVED].pfn;
	assert_true(is_carved(&c.r, last, order));
	assert_int_equal(c.carved, carved);
	assert_int_equal(rig_stat(&c.r).carved_blocks, carved);
	assert_true((uint64_t)hvo_work(c.r.m, UINT64_MAX, NULL) >=
		    carved * ((UINT64_C(1) << order) / 64 - 1));
	assert_int_equal(rig_stat(&c.r).carved_blocks, 0);
	assert_int_equal(c.r.events[HVO_EVENT_HEALED], carved);
	assert_int_not_equal(fold_byte(&c.r, last), 0);
	assert_int_equal(hvo_work(c.r.m, UINT64_MAX, NULL), 0);
	rig_audit(&c.r);
	assert_int_equal(grow_to_the_end(c.pool), c.total);
	assert_int_equal(rig_pool(c.pool, ANY).optimized, c.total);
	stat = rig_stat(&c.r);
	assert_int_equal(stat.memmap, c.stat.memmap);
	assert_int_equal(stat.free_frames, c.stat.free_frames);
	assert_int_equal(cut_blocks(&c.r), c.full.z[0].nr_cut);
	rig_audit(&c.r);
	rig_close(&c.r);
}

static void test_heal(void **state)
{
	(void)state;
	heal_in(9, 1, 1);
	heal_in(9, 2048, 5);
	heal_in(12, 1, 1);
	heal_in(12, 9000, 3);
}

/*
 * Descriptors that move must not get into the block that they describe, nor into one
 * whose own are in there: what waits for itself never becomes whole.
 */
static void test_move_elsewhere(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 128);
	struct zones empty, zones;
	uint64_t moved = 0;
	struct hog h = { 0 };
	hvo_pfn_t block, pfn;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	empty = zones_of(&r);
	block = rig_alloc(&r, HVO_GFP_KERNEL, HVO_PAGEBLOCK_ORDER);
	assert_int_equal(hvo_split_page(r.m, block, 0), 0);
	hog_rest(&r, &h);
	/* Free frames in the split block, and nowhere else. */
	for (pfn = block; pfn < block + 64; pfn++)
		rig_put(&r, pfn);
	for (pfn = 0; pfn < hvo_machine_memmap(r.m)->nr_frames; pfn++) {
		const struct hvo_page *page;

		if (fold_byte(&r, pfn))
			continue;
		page = rig_page(&r, pfn);
		if (hvo_page_state(page) == HVO_PAGE_MEMMAP && !(page->flags & HVO_PF_BOOT) &&
		    rig_group(&r, page->private_data[0]) >> 3 == block >> HVO_PAGEBLOCK_ORDER)
			moved += !hvo_move_memmap(r.m, pfn);
	}
	assert_int_equal(moved, 0);
	rig_audit(&r);
	for (pfn = block + 64; pfn < block + HVO_PAGEBLOCK_FRAMES; pfn++)
		rig_put(&r, pfn);
	hog_release(&r, &h, UINT64_MAX);
	(void)hvo_collapse(r.m, UINT64_MAX, NULL);
	zones = zones_of(&r);
	assert_memory_equal(&zones, &empty, sizeof(zones));
	assert_int_equal(rig_stat(&r).memmap, 0);
	rig_audit(&r);
	rig_close(&r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_of_2m),   cmocka_unit_test(test_full_of_1g),
		cmocka_unit_test(test_full_of_many), cmocka_unit_test(test_folios),
		cmocka_unit_test(test_carve),	     cmocka_unit_test(test_spoiled),
		cmocka_unit_test(test_heal),	     cmocka_unit_test(test_move_elsewhere),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
