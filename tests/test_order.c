/* SPDX-License-Identifier: MIT */
/*
 * The order in which pages join a pool and leave it, against a model of Linux's lists. It decides
 * which pages are freed when there is no memory for the descriptors of all of them.
 *
 *	grow	[ newest of this batch ... its first one | what was there ]	free list, first ...
 *	shrink	pages leave from the front; the last one that left is restored first
 *
 * The model has a list of pages and a number of free frames. What it knows of a page is where
 * that lies and whether its descriptors are there: libhvo says so, before the shrink.
 *
 * States and locks: none beyond one machine for each test.
 * In Linux: mm/hugetlb.c, prep_and_add_allocated_folios(), remove_pool_hugetlb_folio(),
 * update_and_free_pages_bulk(), bulk_vmemmap_restore_error().
 */
#include "harness.h"

#include <string.h>

#define ANY HVO_NODE_ANY
#define MAX_PAGES 600
#define TAILS 7
#define ROUNDS 60

/* ---- a machine ------------------------------------------------------------------------- */

struct world {
	struct rig r;
	struct hvo_pool *pool;
	struct hog h;
};

static void world_open(struct world *w, enum hvo_mode mode, uint64_t mib, uint64_t movable_mib)
{
	struct hvo_config cfg = rig_config(mode, mib);

	memset(w, 0, sizeof(*w));
	cfg.movable_bytes = movable_mib * MIB;
	rig_open(&w->r, RIG_SIM, &cfg);
	w->pool = rig_pool_new(&w->r, HVO_BLOCK_ORDER);
}

static void world_close(struct world *w)
{
	rig_audit(&w->r);
	hog_release(&w->r, &w->h, UINT64_MAX);
	rig_close(&w->r);
}

static void grow(struct world *w, bool optimize, uint64_t nr)
{
	uint64_t want = rig_pool(w->pool, ANY).total + nr;

	hvo_set_optimize(w->r.m, optimize);
	assert_int_equal(rig_resize(w->pool, ANY, want).done, nr);
}

/* All memory is taken, but for @left frames of NORMAL above its watermark. */
static void fill(struct world *w, uint64_t left)
{
	uint64_t nr = left + rig_zone(&w->r, 0, HVO_ZONE_NORMAL).watermark_min, i;
	hvo_pfn_t pfns[512];

	assert_true(nr <= 512);
	for (i = 0; i < nr; i++)
		assert_int_equal(hvo_alloc_pages(w->r.m, HVO_GFP_MEMALLOC, 0, ANY, &pfns[i]), 0);
	hog_all(&w->r, &w->h, 0, false);
	for (i = 0; i < nr; i++)
		rig_put(&w->r, pfns[i]);
}

static bool movable(struct world *w, hvo_pfn_t pfn)
{
	return pfn >= rig_zone(&w->r, 0, HVO_ZONE_MOVABLE).start_pfn;
}

/* ---- cases that were measured on Linux 7.3 ------------------------------------------------ */

static void no_frame_left(enum hvo_mode mode, bool present_first, uint64_t refused)
{
	struct hvo_resize_result res = { .size = sizeof(res) };
	struct hvo_pool_stat s = { .size = sizeof(s) };
	struct world w;

	world_open(&w, mode, 256, 0);
	/* The last ones to come are the first ones to leave, and the last ones to be restored. */
	grow(&w, !present_first, present_first ? 5 : 20);
	grow(&w, present_first, present_first ? 20 : 5);
	fill(&w, 0);
	res = rig_resize(w.pool, ANY, 0);
	assert_int_equal(res.refused, refused);
	assert_int_equal(res.done, 25 - refused);
	s = rig_pool(w.pool, ANY);
	assert_int_equal(s.total, refused);
	assert_int_equal(s.surplus, refused);
	assert_int_equal(s.optimized, refused);
	world_close(&w);
}

static void test_no_frame_left(void **state)
{
	(void)state;
	no_frame_left(HVO_LINUX, false, 20);
	no_frame_left(HVO_LINUX, true, 0);
	no_frame_left(HVO_ON_DEMAND, false, 0);
	no_frame_left(HVO_ON_DEMAND, true, 0);
}

/*
 * A freed page gives the descriptors of others a place only where it lies in NORMAL. Those come
 * last when the pool grows, so they are restored first: (7 + 5 * 512) / 7 pages in all.
 */
static void test_few_in_normal(void **state)
{
	struct hvo_resize_result res = { .size = sizeof(res) };
	uint64_t in_normal;
	struct world w;

	(void)state;
	world_open(&w, HVO_LINUX, 2048, 1024);
	in_normal = rig_zone(&w.r, 0, HVO_ZONE_NORMAL).free;
	grow(&w, true, 516);
	in_normal -= rig_zone(&w.r, 0, HVO_ZONE_NORMAL).free;
	/* What the 516 give back lies in NORMAL, too. */
	assert_int_equal(in_normal + 516 * TAILS, 5 * 512);
	fill(&w, 7);
	res = rig_resize(w.pool, ANY, 0);
	assert_int_equal(res.done, 366);
	assert_int_equal(res.refused, 150);
	assert_int_equal(rig_pool(w.pool, ANY).surplus, 150);
	world_close(&w);
}

/* ---- a model ------------------------------------------------------------------------------ */

struct model_page {
	hvo_pfn_t pfn;
	bool optimized, normal;
};

struct model_list {
	struct model_page page[MAX_PAGES]; /* the first one last */
	unsigned int nr;
};

static void push(struct model_list *l, const struct model_page *page)
{
	assert_true(l->nr < MAX_PAGES);
	l->page[l->nr++] = *page;
}

static struct model_page pop(struct model_list *l)
{
	assert_true(l->nr > 0);
	return l->page[--l->nr];
}

/* The pool's free list: who asks gets the first one, and who comes back is the first one. */
static void look(struct world *w, struct model_list *l)
{
	unsigned int i, nr = (unsigned int)rig_pool(w->pool, ANY).free;
	hvo_pfn_t pfn = HVO_PFN_NONE;

	l->nr = nr;
	assert_true(nr <= MAX_PAGES);
	for (i = nr; i--;) {
		assert_int_equal(hvo_pool_alloc(w->pool, 0, ANY, &pfn), 0);
		l->page[i] =
			(struct model_page){ pfn, rig_page(&w->r, pfn)->flags & HVO_PF_OPTIMIZED,
					     !movable(w, pfn) };
	}
	for (i = 0; i < nr; i++)
		assert_int_equal(hvo_pool_free(w->pool, l->page[i].pfn), 0);
}

static bool model_restore(struct model_page *page, uint64_t *frames)
{
	if (!page->optimized)
		return true;
	if (*frames < TAILS)
		return false;
	*frames -= TAILS;
	page->optimized = false;
	return true;
}

/* Free what was restored together. */
static unsigned int model_free(struct model_list *restored, uint64_t *frames)
{
	unsigned int nr = restored->nr;

	while (restored->nr)
		*frames += pop(restored).normal ? HVO_BLOCK_FRAMES : 0;
	return nr;
}

/* @nr pages leave @pool; those that cannot be restored come back. Returns how many were freed. */
static unsigned int model_shrink(struct model_list *pool, unsigned int nr, uint64_t *frames)
{
	static struct model_list list, restored;
	unsigned int freed = 0;

	list.nr = restored.nr = 0;
	while (nr--) {
		struct model_page page = pop(pool);

		push(&list, &page);
	}
	while (list.nr) {
		struct model_page page = pop(&list);

		if (model_restore(&page, frames)) {
			push(&restored, &page);
		} else if (restored.nr) {
			push(&list, &page);
			freed += model_free(&restored, frames);
		} else {
			push(pool, &page);
		}
	}
	return freed + model_free(&restored, frames);
}

/* ---- random pools --------------------------------------------------------------------------- */

static void show(const struct model_list *l)
{
	unsigned int i;

	for (i = l->nr; i--;)
		print_error(" %llu%s%s", (unsigned long long)l->page[i].pfn / HVO_BLOCK_FRAMES,
			    l->page[i].optimized ? "o" : "", l->page[i].normal ? "n" : "");
	print_error("\n");
}

static bool same(const struct model_list *a, const struct model_list *b)
{
	unsigned int i;

	if (a->nr != b->nr)
		return false;
	for (i = 0; i < a->nr; i++)
		if (a->page[i].pfn != b->page[i].pfn ||
		    a->page[i].optimized != b->page[i].optimized)
			return false;
	return true;
}

/* Batches of both kinds, of both zones. */
static void grow_at_random(struct world *w, uint64_t *random)
{
	hvo_pfn_t held[4];
	unsigned int batches = 1 + (unsigned int)(rig_random(random) % 4), nr_held = 0;

	while (batches--) {
		grow(w, rig_random(random) % 3, 1 + rig_random(random) % 30);
		/* So that what comes next is not a neighbour. */
		if (nr_held < 4 && rig_random(random) % 2)
			held[nr_held++] = rig_alloc(&w->r, HVO_GFP_USER, HVO_BLOCK_ORDER);
	}
	while (nr_held)
		rig_put(&w->r, held[--nr_held]);
}

static void shrink_at_random(uint64_t seed)
{
	static struct model_list before, model, after;
	struct hvo_resize_result res = { .size = sizeof(res) };
	uint64_t random = seed, frames;
	struct world w;
	unsigned int nr;

	world_open(&w, HVO_LINUX, 512, rig_random(&random) % 2 * 128);
	grow_at_random(&w, &random);
	look(&w, &before);
	frames = rig_random(&random) % 3 * (rig_random(&random) % 60);
	fill(&w, frames);
	nr = 1 + (unsigned int)rig_random(&random) % before.nr;
	model = before;
	res = rig_resize(w.pool, ANY, before.nr - nr);
	if (res.done != model_shrink(&model, nr, &frames))
		fail_msg("HVO_SEED=%llu: %llu of %u freed, in Linux %u", (unsigned long long)seed,
			 (unsigned long long)res.done, nr, before.nr - model.nr);
	look(&w, &after);
	if (!same(&model, &after)) {
		show(&before);
		show(&model);
		show(&after);
		fail_msg("HVO_SEED=%llu: shrink by %u", (unsigned long long)seed, nr);
	}
	world_close(&w);
}

static void test_shrink(void **state)
{
	uint64_t seed = rig_seed(1), i;

	(void)state;
	for (i = 0; i < ROUNDS; i++)
		shrink_at_random(seed + i);
}

/* Alone in an empty machine, the first page that is allocated is the first to be handed out. */
static void test_grow(void **state)
{
	static struct model_list all;
	hvo_pfn_t first, next;
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w, HVO_LINUX, 512, 128);
	/* One by one: what the allocator gives, in its order. */
	first = rig_alloc(&w.r, HVO_GFP_USER, HVO_BLOCK_ORDER);
	next = rig_alloc(&w.r, HVO_GFP_USER, HVO_BLOCK_ORDER);
	rig_put(&w.r, next);
	rig_put(&w.r, first);
	grow(&w, true, 80);
	look(&w, &all);
	assert_int_equal(all.page[all.nr - 1].pfn, first);
	assert_int_equal(all.page[all.nr - 2].pfn, next);
	/* MOVABLE is used first: nothing of it is behind a page of NORMAL. */
	for (i = 1; i < all.nr; i++)
		assert_true(all.page[i - 1].normal || !all.page[i].normal);
	world_close(&w);
}

/* The parts of a demoted page join as if they had been allocated one after the other. */
static void test_demote(void **state)
{
	static struct model_list parts;
	struct hvo_pool *large;
	uint64_t done = 0;
	struct world w;
	unsigned int i;

	(void)state;
	world_open(&w, HVO_LINUX, 512, 0);
	large = rig_pool_new(&w.r, HVO_BLOCK_ORDER + 3);
	assert_int_equal(rig_resize(large, ANY, 2).done, 2);
	assert_int_equal(hvo_pool_demote(large, ANY, 2, &done), 0);
	assert_int_equal(done, 2);
	look(&w, &parts);
	assert_int_equal(parts.nr, 16);
	for (i = 1; i < 16; i++)
		if (i != 8)
			assert_int_equal(parts.page[i - 1].pfn,
					 parts.page[i].pfn + HVO_BLOCK_FRAMES);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_frame_left), cmocka_unit_test(test_few_in_normal),
		cmocka_unit_test(test_shrink),	      cmocka_unit_test(test_grow),
		cmocka_unit_test(test_demote),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
