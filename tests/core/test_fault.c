// SPDX-License-Identifier: MIT
/*
 * Whatever can fail fails, once each: an operation is run once to count the points
 * where it could (see hvo_sim_fail()), then again with a failure at each of them: alone,
 * with everything after it, and (at order 9) with each single one after it. After that
 * the audit is clean, contents are intact, no frame is lost, and the operation can be
 * repeated with success.
 *
 * HVO_FAULT=POINT, POINT+ (and all after it) or POINT,POINT: only that, in each operation.
 *
 * States: a scene has nr blocks of its order that are free (holes) between as many
 * that are not (keepers), single free frames with others between them, and nothing
 * else free. Locks: none.
 * In Linux: lib/fault-inject.c, fail_page_alloc of mm/fail_page_alloc.c.
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>

#define HOLES 6
#define SINGLES 9000
/* Of failures, of each operation; all of them where there are fewer. */
#define PAIRS (WITH_ASAN ? 100 : 300)

struct scene {
	struct rig r;
	struct hvo_pool *pool, *parts; /* the latter: what demotion makes */
	struct hog h;
	unsigned int order;
	enum hvo_mode mode;
	uint64_t nr;	       /* holes */
	hvo_pfn_t user[HOLES]; /* huge pages in use */
	uint64_t nr_users;
	hvo_pfn_t hole[HOLES], keep[HOLES], subject;
	unsigned int keep_order;
	/* Free ones are the even ones, from scatter() on. */
	hvo_pfn_t single[SINGLES];
	unsigned int nr_singles, single_order;
	uint64_t balance;
};

struct operation {
	const char *name;
	bool (*applies)(enum hvo_mode mode, unsigned int order);
	void (*prepare)(struct scene *s);
	/* Returns whether all that was asked for was done. */
	bool (*run)(struct scene *s);
	/* After a run that was not complete: make it one that can be. */
	void (*again)(struct scene *s);
	bool all_or_nothing;
};

/* ---- the scene --------------------------------------------------------------------------- */

static uint64_t huge_frames(struct hvo_pool *pool, unsigned int order)
{
	struct hvo_pool_stat st = rig_pool(pool, HVO_NODE_ANY);

	return (st.total + st.deferred) << order;
}

/* Frames that somebody has, by kind; the sum never changes while users hold the same. */
static uint64_t balance(struct scene *s)
{
	struct hvo_machine_stat m = rig_stat(&s->r);

	return m.free_frames + m.memmap + m.memmap_boot + huge_frames(s->pool, s->order) +
	       (s->parts ? huge_frames(s->parts, HVO_PAGEBLOCK_ORDER) : 0);
}

static void scene_open(struct scene *s, enum hvo_mode mode, unsigned int order,
		       enum hvo_clear clear)
{
	struct hvo_config cfg = rig_config(mode, order == HVO_GIGA_ORDER ? 2048 : 128);
	uint64_t i, want;

	memset(s, 0, sizeof(*s));
	cfg.clear = clear;
	rig_open(&s->r, RIG_SIM, &cfg);
	assert_int_equal(hvo_pool_create(s->r.m, order, &s->pool), 0);
	s->order = order;
	s->mode = mode;
	s->nr = order == 9 ? HOLES : order == 12 ? 3 : 1;
	s->keep_order = order == HVO_GIGA_ORDER ? 9 : order;
	for (i = 0; i < s->nr; i++) {
		s->hole[i] = rig_alloc(&s->r, HVO_GFP_KERNEL, order);
		s->keep[i] = rig_alloc(&s->r, HVO_GFP_KERNEL, s->keep_order);
		rig_fill_some(&s->r, s->keep[i], HVO_PAGEBLOCK_FRAMES, 5);
	}
	want = (s->nr << order) / 64 + 64;
	s->single_order = order == HVO_GIGA_ORDER ? 2 : 0;
	s->nr_singles = (unsigned int)(2 * want >> s->single_order);
	assert_true(s->nr_singles <= SINGLES);
	for (i = 0; i < s->nr_singles; i++)
		s->single[i] = rig_alloc(&s->r, HVO_GFP_KERNEL, s->single_order);
	hog_all(&s->r, &s->h, 0, false);
}

static void scatter(struct scene *s)
{
	unsigned int i;

	for (i = 2; i < s->nr_singles; i += 2)
		rig_put(&s->r, s->single[i]);
}

/* And what the watermark keeps back. */
static void free_holes(struct scene *s)
{
	uint64_t i;

	rig_put(&s->r, s->single[0]);
	for (i = 0; i < s->nr; i++)
		rig_put(&s->r, s->hole[i]);
}

static void check(struct scene *s)
{
	uint64_t i;

	rig_audit(&s->r);
	assert_int_equal(balance(s), s->balance);
	for (i = 0; i < s->nr; i++)
		assert_true(rig_some_intact(&s->r, s->keep[i], HVO_PAGEBLOCK_FRAMES, 5));
	for (i = 0; i < s->nr_users; i++)
		assert_true(rig_some_intact(&s->r, s->user[i], UINT64_C(1) << s->order, i));
}

/* After check(). Everything can still be given back. */
static void scene_close(struct scene *s)
{
	uint64_t i;

	for (i = 1; i < s->nr_singles; i += 2)
		rig_put(&s->r, s->single[i]);
	for (i = 0; i < s->nr; i++)
		rig_put(&s->r, s->keep[i]);
	hog_release(&s->r, &s->h, UINT64_MAX);
	hvo_collapse(s->r.m, UINT64_MAX, NULL);
	rig_audit(&s->r);
	rig_close(&s->r);
}

/* ---- operations ------------------------------------------------------------------------------ */

static bool both_modes(enum hvo_mode mode, unsigned int order)
{
	(void)mode;
	(void)order;
	return true;
}

static bool on_demand_only(enum hvo_mode mode, unsigned int order)
{
	(void)order;
	return mode == HVO_ON_DEMAND;
}

static bool linux_only(enum hvo_mode mode, unsigned int order)
{
	(void)order;
	return mode == HVO_LINUX;
}

static bool large_only(enum hvo_mode mode, unsigned int order)
{
	(void)mode;
	return order > HVO_PAGEBLOCK_ORDER;
}

static bool large_linux_only(enum hvo_mode mode, unsigned int order)
{
	return linux_only(mode, order) && large_only(mode, order);
}

static void nothing(struct scene *s)
{
	(void)s;
}

static void open_holes(struct scene *s)
{
	scatter(s);
	free_holes(s);
}

/* fold: a pool grows; in Linux mode it folds what it can, and takes the rest as it is. */
static bool run_grow(struct scene *s)
{
	struct hvo_pool_stat st = { .size = sizeof(st) };

	/* As the kernel: what folding gave back serves the next call. */
	while (rig_resize(s->pool, HVO_NODE_ANY, s->nr).done)
		;
	st = rig_pool(s->pool, HVO_NODE_ANY);
	if (s->mode == HVO_LINUX)
		assert_int_equal(st.total, s->nr);
	assert_int_equal(st.free, st.total);
	return st.total == s->nr && st.optimized == s->nr;
}

static void shrink_all(struct scene *s)
{
	assert_int_equal(rig_resize(s->pool, HVO_NODE_ANY, 0).refused, 0);
	assert_int_equal(rig_pool(s->pool, HVO_NODE_ANY).total, 0);
}

/* restore: from frames of their own, from single frames, from the page itself. */
static void prepare_restore_home(struct scene *s)
{
	open_holes(s);
	assert_true(run_grow(s));
}

static void prepare_restore(struct scene *s)
{
	free_holes(s);
	assert_true(run_grow(s));
	hog_all(&s->r, &s->h, 0, false);
	scatter(s);
}

static void prepare_carve(struct scene *s)
{
	free_holes(s);
	assert_true(run_grow(s));
	hog_all(&s->r, &s->h, 0, false);
	assert_int_equal(hvo_pool_set_policy(s->pool, hvo_policy_find("carve")), 0);
}

static bool run_shrink(struct scene *s)
{
	struct hvo_resize_result res = rig_resize(s->pool, HVO_NODE_ANY, 0);
	struct hvo_pool_stat st = rig_pool(s->pool, HVO_NODE_ANY);

	assert_int_equal(res.done + res.refused, res.asked);
	assert_true(st.total == res.refused && st.surplus == res.refused);
	assert_true(st.free == st.total && st.optimized == st.total);
	return !res.refused;
}

static void unrefuse(struct scene *s)
{
	struct hvo_pool_stat st = rig_pool(s->pool, HVO_NODE_ANY);

	assert_int_equal(rig_resize(s->pool, HVO_NODE_ANY, st.total).done, st.total);
	assert_int_equal(rig_pool(s->pool, HVO_NODE_ANY).surplus, 0);
}

/* cut: the last block of order 8 is not in one that is cut. */
static bool run_cut(struct scene *s)
{
	hvo_pfn_t pfn;

	if (hvo_alloc_pages(s->r.m, HVO_GFP_KERNEL, 8, HVO_NODE_ANY, &pfn))
		return false;
	rig_fill(&s->r, pfn, 256, 6);
	rig_audit(&s->r);
	assert_true(rig_intact(&s->r, pfn, 256, 6));
	rig_put(&s->r, pfn);
	return true;
}

/* collapse: half of the holes cut by themselves, the first one by a split. */
static void prepare_collapse(struct scene *s)
{
	hvo_pfn_t pfn[1024];
	unsigned int n = 0;
	uint64_t i;

	scatter(s);
	rig_put(&s->r, s->single[0]);
	assert_int_equal(hvo_split_page(s->r.m, s->hole[0], 8), 0);
	for (i = 0; i < UINT64_C(1) << s->order; i += 256)
		rig_put(&s->r, s->hole[0] + i);
	for (i = 1; i < s->nr; i++)
		rig_put(&s->r, s->hole[i]);
	while (n < 1024 && !hvo_alloc_pages(s->r.m, GFP_HOG, 8, HVO_NODE_ANY, &pfn[n]))
		n++;
	while (n)
		rig_put(&s->r, pfn[--n]);
	rig_audit(&s->r);
}

static bool run_collapse(struct scene *s)
{
	uint64_t before = rig_zone(&s->r, 0, HVO_ZONE_NORMAL).nr_cut, done;

	done = (uint64_t)hvo_collapse(s->r.m, UINT64_MAX, NULL);
	assert_int_equal(rig_zone(&s->r, 0, HVO_ZONE_NORMAL).nr_cut, before - done);
	return !rig_zone(&s->r, 0, HVO_ZONE_NORMAL).nr_collapsible;
}

/* split: an allocated block of user's data. */
static void prepare_split(struct scene *s)
{
	scatter(s);
	rig_put(&s->r, s->single[0]);
	s->subject = s->hole[0];
	rig_fill_some(&s->r, s->subject, UINT64_C(1) << s->order, 7);
}

static bool run_split(struct scene *s)
{
	unsigned int to = s->order == HVO_GIGA_ORDER ? 6 : 0;
	uint64_t nr = UINT64_C(1) << s->order, i;
	int rc = hvo_split_page(s->r.m, s->subject, to);

	assert_true(rig_some_intact(&s->r, s->subject, nr, 7));
	if (rc) {
		assert_int_equal(rc, -HVO_ENOMEM);
		assert_int_equal(rig_page(&s->r, s->subject)->order, s->order);
		return false;
	}
	rig_audit(&s->r);
	for (i = 0; i < nr; i += UINT64_C(1) << to)
		rig_put(&s->r, s->subject + i);
	for (i = 1; i < s->nr; i++)
		rig_put(&s->r, s->hole[i]);
	s->balance += s->nr << s->order;
	return true;
}

/* Memory that must be cleared first, out of a zone and out of a pool. */
static bool run_clear(struct scene *s)
{
	hvo_pfn_t pfn = HVO_PFN_NONE;
	int rc = hvo_alloc_pages(s->r.m, HVO_GFP_KERNEL | HVO_GFP_ZERO, s->order, 0, &pfn);

	if (rc) {
		assert_true(rc == -HVO_ENOMEM && pfn == HVO_PFN_NONE);
		return false;
	}
	rig_put(&s->r, pfn);
	return true;
}

static bool run_clear_huge(struct scene *s)
{
	hvo_pfn_t pfn = HVO_PFN_NONE;
	int rc = hvo_pool_alloc(s->pool, HVO_GFP_ZERO, 0, &pfn);

	if (rc) {
		assert_true(rc == -HVO_ENOMEM && pfn == HVO_PFN_NONE);
		return false;
	}
	assert_int_equal(hvo_pool_free(s->pool, pfn), 0);
	return true;
}

/* dissolve: page by page; a refusal leaves no trace. */
static bool run_dissolve(struct scene *s)
{
	uint64_t i, refused = 0;

	for (i = 0; i < s->nr; i++) {
		struct hvo_pool_stat before = rig_pool(s->pool, HVO_NODE_ANY), now;
		uint64_t memmap = rig_stat(&s->r).memmap;
		int rc = hvo_hugetlb_dissolve(s->r.m, s->hole[i]);

		now = rig_pool(s->pool, HVO_NODE_ANY);
		if (!rc)
			continue;
		assert_int_equal(rc, -HVO_ENOMEM);
		assert_int_equal(rig_stat(&s->r).memmap, memmap);
		before.refused_total++;
		assert_memory_equal(&now, &before, sizeof(now));
		refused++;
	}
	assert_int_equal(rig_pool(s->pool, HVO_NODE_ANY).total, refused);
	return !refused;
}

/* demote: the parts join folded, or as they are. */
static void prepare_demote_home(struct scene *s)
{
	prepare_restore_home(s);
	assert_int_equal(hvo_pool_create(s->r.m, HVO_PAGEBLOCK_ORDER, &s->parts), 0);
}

static void prepare_demote(struct scene *s)
{
	prepare_restore(s);
	assert_int_equal(hvo_pool_create(s->r.m, HVO_PAGEBLOCK_ORDER, &s->parts), 0);
}

static void prepare_demote_heads(struct scene *s)
{
	struct hvo_policy policy = *hvo_policy_find("mayfail");

	prepare_demote(s);
	policy.flags |= HVO_POLICY_DEMOTE_HEADS;
	assert_int_equal(hvo_pool_set_policy(s->pool, &policy), 0);
}

static bool run_demote(struct scene *s)
{
	uint64_t parts = UINT64_C(1) << (s->order - HVO_PAGEBLOCK_ORDER), done = UINT64_MAX;
	uint64_t nr = rig_pool(s->pool, HVO_NODE_ANY).total;
	int rc = hvo_pool_demote(s->pool, HVO_NODE_ANY, nr, &done);
	struct hvo_pool_stat from = rig_pool(s->pool, HVO_NODE_ANY);
	struct hvo_pool_stat to = rig_pool(s->parts, HVO_NODE_ANY);

	assert_true(rc ? rc == -HVO_ENOMEM && done < nr : done == nr);
	assert_int_equal(from.total, nr - done);
	assert_true(from.free == from.total && from.optimized == from.total && !from.surplus);
	assert_int_equal(to.total, (s->nr - from.total) * parts);
	assert_true(to.free == to.total && !to.surplus);
	return !rc && to.optimized == to.total;
}

static void undo_demote(struct scene *s)
{
	assert_int_equal(rig_resize(s->parts, HVO_NODE_ANY, 0).refused, 0);
	assert_true(run_grow(s));
}

/* reserve: surplus pages come for the promise and leave with it. */
static void prepare_reserve(struct scene *s)
{
	open_holes(s);
	assert_int_equal(hvo_pool_set_overcommit(s->pool, s->nr), 0);
}

static void prepare_reserve_collapse(struct scene *s)
{
	prepare_collapse(s);
	assert_int_equal(hvo_pool_set_overcommit(s->pool, s->nr), 0);
}

static bool run_reserve(struct scene *s)
{
	int rc = hvo_pool_reserve(s->pool, HVO_NODE_ANY, s->nr);
	struct hvo_pool_stat st = rig_pool(s->pool, HVO_NODE_ANY);

	rig_audit(&s->r);
	if (rc) {
		assert_int_equal(rc, -HVO_ENOMEM);
		assert_true(!st.reserved && !st.total && !st.surplus);
		return false;
	}
	assert_true(st.reserved == s->nr && st.surplus == s->nr && st.free == s->nr);
	assert_int_equal(hvo_pool_unreserve(s->pool, s->nr), 0);
	st = rig_pool(s->pool, HVO_NODE_ANY);
	assert_true(!st.reserved && st.surplus == st.total && st.free == st.total);
	return !st.total;
}

/* Pages that could not leave become persistent, and leave as those. */
static void free_refused(struct scene *s)
{
	unrefuse(s);
	shrink_all(s);
}

/* A surplus page that is allocated, folded and cleared for one user. */
static bool run_surplus(struct scene *s)
{
	struct hvo_pool_stat before = rig_pool(s->pool, HVO_NODE_ANY), st;
	hvo_pfn_t pfn = HVO_PFN_NONE;
	uint64_t nr_free = rig_free(&s->r);
	int rc = hvo_pool_alloc(s->pool, HVO_GFP_KERNEL | HVO_GFP_ZERO, HVO_NODE_ANY, &pfn);

	st = rig_pool(s->pool, HVO_NODE_ANY);
	if (rc) {
		assert_true(rc == -HVO_ENOMEM && pfn == HVO_PFN_NONE);
		/* What was allocated for it has left, or waits to, or was refused. */
		while (hvo_work(s->r.m, UINT64_MAX, NULL))
			;
		st = rig_pool(s->pool, HVO_NODE_ANY);
		assert_int_equal(st.refused_total - before.refused_total, st.total);
		assert_true(st.total || rig_free(&s->r) == nr_free);
		return false;
	}
	assert_true(st.total == 1 && st.surplus == 1 && !st.free);
	assert_true(rig_zero(&s->r, pfn, UINT64_C(1) << s->order));
	rig_audit(&s->r);
	assert_int_equal(hvo_pool_free(s->pool, pfn), 0);
	(void)hvo_work(s->r.m, UINT64_MAX, NULL);
	return !rig_pool(s->pool, HVO_NODE_ANY).total;
}

/* Deferred frees: pages in use are surplus; their users leave, the work is done later. */
static void take_users(struct scene *s)
{
	while (!hvo_pool_alloc(s->pool, 0, HVO_NODE_ANY, &s->user[s->nr_users])) {
		rig_fill_some(&s->r, s->user[s->nr_users], UINT64_C(1) << s->order, s->nr_users);
		s->nr_users++;
	}
	assert_int_equal(rig_resize(s->pool, HVO_NODE_ANY, 0).done, 0);
	assert_int_equal(rig_pool(s->pool, HVO_NODE_ANY).surplus, s->nr_users);
}

static void prepare_deferred_home(struct scene *s)
{
	prepare_restore_home(s);
	take_users(s);
}

static void prepare_deferred(struct scene *s)
{
	prepare_restore(s);
	take_users(s);
}

static bool run_deferred(struct scene *s)
{
	uint64_t deferred = s->mode == HVO_LINUX ? s->nr_users : 0;
	struct hvo_pool_stat st = { .size = sizeof(st) };

	while (s->nr_users)
		assert_int_equal(hvo_pool_free(s->pool, s->user[--s->nr_users]), 0);
	st = rig_pool(s->pool, HVO_NODE_ANY);
	assert_true(!st.total && !st.surplus && st.deferred == deferred);
	rig_audit(&s->r);
	assert_true((uint64_t)hvo_work(s->r.m, UINT64_MAX, NULL) >= deferred);
	st = rig_pool(s->pool, HVO_NODE_ANY);
	assert_true(!st.deferred && st.free == st.total && st.surplus == st.total);
	return !st.total;
}

static void defer_again(struct scene *s)
{
	unrefuse(s);
	take_users(s);
}

/* Fold what joined while the switch was off, in use or not. */
static void prepare_optimize(struct scene *s)
{
	open_holes(s);
	hvo_set_optimize(s->r.m, false);
	assert_int_equal(rig_resize(s->pool, HVO_NODE_ANY, s->nr).done, s->nr);
	assert_int_equal(rig_pool(s->pool, HVO_NODE_ANY).optimized, 0);
	hvo_set_optimize(s->r.m, true);
	assert_int_equal(hvo_pool_alloc(s->pool, 0, HVO_NODE_ANY, &s->user[0]), 0);
	rig_fill_some(&s->r, s->user[0], UINT64_C(1) << s->order, 0);
	s->nr_users = 1;
}

static bool run_optimize(struct scene *s)
{
	uint64_t before = rig_pool(s->pool, HVO_NODE_ANY).optimized, done = UINT64_MAX;
	int rc = hvo_pool_optimize(s->pool, &done);
	struct hvo_pool_stat st = rig_pool(s->pool, HVO_NODE_ANY);

	assert_int_equal(st.optimized, before + done);
	assert_true(st.total == s->nr && st.free == s->nr - 1);
	assert_true(rc ? rc == -HVO_ENOMEM && st.optimized < s->nr : st.optimized == s->nr);
	return !rc;
}

/*
 * heal: the descriptors that carve left in a huge page move out of it, to frames that others
 * gave back. (What the pages freed themselves does not do: it waits for what was carved.)
 */
static void prepare_heal(struct scene *s)
{
	prepare_carve(s);
	assert_int_equal(hvo_pool_set_policy(s->pool, hvo_policy_find("carve-heal")), 0);
	assert_true(run_shrink(s));
	scatter(s);
	assert_true(rig_stat(&s->r).carved_blocks > 0);
}

static bool run_heal(struct scene *s)
{
	struct hvo_machine_stat before = rig_stat(&s->r), now;
	uint64_t healed = s->r.events[HVO_EVENT_HEALED], done;

	done = (uint64_t)hvo_work(s->r.m, UINT64_MAX, NULL);
	now = rig_stat(&s->r);
	assert_int_equal(now.moved, before.moved + done);
	assert_int_equal(now.memmap, before.memmap);
	assert_int_equal(before.carved_blocks - now.carved_blocks,
			 s->r.events[HVO_EVENT_HEALED] - healed);
	return !now.carved_blocks;
}

/* move: one frame of descriptors, those of a huge page that left or of a block that was split. */
static void prepare_move(struct scene *s)
{
	struct hvo_page page;

	if (s->mode == HVO_LINUX) {
		prepare_restore(s);
		assert_true(run_shrink(s));
	} else {
		scatter(s);
		rig_put(&s->r, s->single[0]);
		assert_int_equal(hvo_split_page(s->r.m, s->hole[0], 6), 0);
	}
	do {
		assert_true(++s->subject < hvo_machine_memmap(s->r.m)->nr_frames);
		page = *rig_page(&s->r, s->subject);
	} while (page.state != HVO_PAGE_MEMMAP || page.flags & HVO_PF_BOOT ||
		 rig_group(&s->r, page.private_data[0]) >> 3 != s->hole[0] >> HVO_PAGEBLOCK_ORDER);
}

static bool run_move(struct scene *s)
{
	struct hvo_page before = *rig_page(&s->r, s->subject), now;
	uint64_t memmap = rig_stat(&s->r).memmap;
	int rc = hvo_move_memmap(s->r.m, s->subject);

	now = *rig_page(&s->r, s->subject);
	assert_int_equal(rig_stat(&s->r).memmap, memmap);
	if (!rc) {
		assert_int_not_equal(now.state, HVO_PAGE_MEMMAP);
		return true;
	}
	assert_int_equal(rc, -HVO_ENOMEM);
	assert_memory_equal(&now, &before, sizeof(now));
	return false;
}

static const struct operation operations[] = {
	{ "grow", both_modes, open_holes, run_grow, shrink_all, false },
	{ "grow by collapsing", on_demand_only, prepare_collapse, run_grow, nothing, false },
	{ "shrink, home", both_modes, prepare_restore_home, run_shrink, unrefuse, false },
	{ "shrink, single frames", both_modes, prepare_restore, run_shrink, unrefuse, false },
	{ "shrink, carve", linux_only, prepare_carve, run_shrink, unrefuse, false },
	{ "dissolve, home", both_modes, prepare_restore_home, run_dissolve, nothing, false },
	{ "dissolve, single frames", both_modes, prepare_restore, run_dissolve, nothing, false },
	{ "dissolve, carve", linux_only, prepare_carve, run_dissolve, nothing, false },
	{ "demote, home", large_only, prepare_demote_home, run_demote, undo_demote, false },
	{ "demote, single frames", large_only, prepare_demote, run_demote, undo_demote, false },
	{ "demote, heads", large_linux_only, prepare_demote_heads, run_demote, undo_demote, false },
	{ "reserve", both_modes, prepare_reserve, run_reserve, free_refused, false },
	{ "reserve by collapsing", on_demand_only, prepare_reserve_collapse, run_reserve, nothing,
	  false },
	{ "surplus page", both_modes, prepare_reserve, run_surplus, free_refused, false },
	{ "deferred, home", both_modes, prepare_deferred_home, run_deferred, defer_again, false },
	{ "deferred, single frames", both_modes, prepare_deferred, run_deferred, defer_again,
	  false },
	{ "optimize pool", linux_only, prepare_optimize, run_optimize, nothing, false },
	{ "heal", linux_only, prepare_heal, run_heal, nothing, false },
	{ "move descriptors", both_modes, prepare_move, run_move, nothing, true },
	{ "cut", on_demand_only, open_holes, run_cut, nothing, true },
	{ "collapse", on_demand_only, prepare_collapse, run_collapse, nothing, false },
	{ "split", both_modes, prepare_split, run_split, nothing, false },
	{ "clear", both_modes, open_holes, run_clear, nothing, true },
	{ "clear, huge", both_modes, prepare_restore_home, run_clear_huge, nothing, true },
};

/* ---- the loop ------------------------------------------------------------------------------------ */

/* Do it once, with these failures. Returns the points that there were. */
static uint64_t fail_once(const struct operation *op, enum hvo_mode mode, unsigned int order,
			  enum hvo_clear clear, struct hvo_sim_failures f)
{
	static struct scene s;
	uint64_t before, points, failures;
	bool done;

	scene_open(&s, mode, order, clear);
	op->prepare(&s);
	before = rig_free(&s.r);
	s.balance = balance(&s);
	rig_fail(&s.r, &f);
	done = op->run(&s);
	points = rig_sim(&s.r).points;
	failures = rig_sim(&s.r).failures;
	assert_int_equal(rig_disarm(&s.r), failures > 0);
	if (f.sticky)
		assert_true(failures >= (f.at <= points));
	else
		assert_int_equal(failures, (f.at && f.at <= points) + (f.also && f.also <= points));
	if (!failures)
		assert_true(done);
	check(&s);
	if (!done && op->all_or_nothing)
		assert_int_equal(rig_free(&s.r), before);
	if (!done) {
		op->again(&s);
		check(&s);
		if (!op->run(&s))
			fail_msg("%s, order %u: not possible after failures", op->name, order);
		check(&s);
	}
	scene_close(&s);
	return points;
}

#define FAIL(...) \
	fail_once(op, mode, order, HVO_CLEAR_NEVER, (struct hvo_sim_failures){ __VA_ARGS__ })

/*
 * Each point with each one that comes after it, or PAIRS of them by chance. Failures on
 * the way change what comes: the second one is chosen among the points there are then.
 */
static uint64_t each_pair(const struct operation *op, enum hvo_mode mode, unsigned int order,
			  uint64_t points)
{
	uint64_t random = points, after[128], pairs = 0, i, k, at;

	assert_true(points <= 128);
	for (at = 1; at <= points; at++) {
		after[at - 1] = FAIL(.at = at);
		pairs += after[at - 1] - at;
	}
	if (pairs > PAIRS) {
		for (i = 0; i < PAIRS; i++) {
			do
				at = 1 + rig_random(&random) % points;
			while (after[at - 1] == at);
			k = at + 1 + rig_random(&random) % (after[at - 1] - at);
			FAIL(.at = at, .also = k);
		}
		return PAIRS;
	}
	for (at = 1; at <= points; at++)
		for (k = at + 1; k <= after[at - 1]; k++)
			FAIL(.at = at, .also = k);
	return pairs;
}

static void fail_each(const struct operation *op, enum hvo_mode mode, unsigned int order)
{
	uint64_t most = order == HVO_GIGA_ORDER ? 2 : order == 12 ? 5 : 12, points, at, step, pairs;

	points = FAIL(.at = 0);
	step = points / most + 1;
	for (at = 1; at <= points; at += at < 3 && order == 9 ? 1 : step) {
		FAIL(.at = at);
		if (points > 1 && order != HVO_GIGA_ORDER)
			FAIL(.at = at, .sticky = true);
	}
	if (points > 1)
		FAIL(.at = points);
	pairs = order == 9 ? each_pair(op, mode, order, points) : 0;
	print_message("%-23s order %2u: %4llu points, %3llu pairs\n", op->name, order,
		      (unsigned long long)points, (unsigned long long)pairs);
}

static void each_operation(enum hvo_mode mode, unsigned int order)
{
	struct hvo_sim_failures asked;
	bool all = !rig_asked_to_fail(&asked);
	unsigned int i;

	for (i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		const struct operation *op = &operations[i];

		if (!op->applies(mode, order))
			continue;
		if (all)
			fail_each(op, mode, order);
		else
			fail_once(op, mode, order, HVO_CLEAR_NEVER, asked);
	}
}

/*
 * Where frames are cleared when they are freed: what was taken and could not be used is not, since
 * there may be no memory behind it. The rig looks for that.
 */
static void each_cleared(enum hvo_mode mode, unsigned int order)
{
	struct hvo_sim_failures f = { 0 };
	uint64_t points;
	unsigned int i;

	for (i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		const struct operation *op = &operations[i];

		if (!op->applies(mode, order))
			continue;
		f.at = 0;
		points = fail_once(op, mode, order, HVO_CLEAR_ON_FREE, f);
		for (f.at = 1; f.at <= points; f.at += f.at < 4 ? 1 : points / 4 + 1)
			fail_once(op, mode, order, HVO_CLEAR_ON_FREE, f);
	}
}

/* A machine that cannot come up says so, and is gone. */
static void test_boot(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 128);
	struct hvo_sim_options opt = { .size = sizeof(opt), .failures.at = 1 };
	struct hvo_sim *sim = NULL;
	int rc;

	(void)state;
	/* Where frames have to be mapped. */
	cfg.layout = HVO_LAYOUT_VIRTUAL;
	while ((rc = hvo_sim_create(&cfg, &opt, &sim)) == -HVO_ENOMEM) {
		assert_null(sim);
		opt.failures.at++;
	}
	assert_int_equal(rc, 0);
	assert_true(opt.failures.at > 1);
	assert_int_equal(hvo_machine_audit(hvo_sim_machine(sim), NULL, NULL), 0);
	hvo_sim_close(sim);
}

static void test_cleared(void **state)
{
	(void)state;
	each_cleared(HVO_ON_DEMAND, 9);
	each_cleared(HVO_LINUX, 9);
	each_cleared(HVO_LINUX, 12);
}

#define TEST(name, mode, order)               \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		each_operation(mode, order);  \
	}

TEST(on_demand_9, HVO_ON_DEMAND, 9)
TEST(on_demand_12, HVO_ON_DEMAND, 12)
TEST(on_demand_18, HVO_ON_DEMAND, 18)
TEST(linux_9, HVO_LINUX, 9)
TEST(linux_12, HVO_LINUX, 12)
TEST(linux_18, HVO_LINUX, 18)

/* ---- what is told ---------------------------------------------------------------------------- */

enum telling { TELL_FOLD, TELL_RESTORE, TELL_DEMOTE, TELL_DEMOTE_HEADS };

static void run_telling(enum telling what, struct hvo_pool *pool)
{
	uint64_t done;

	if (what == TELL_FOLD || what == TELL_RESTORE)
		(void)hvo_pool_resize(pool, HVO_NODE_ANY, what == TELL_FOLD ? 2 : 0, NULL);
	else
		(void)hvo_pool_demote(pool, HVO_NODE_ANY, 1, &done);
}

/*
 * Two pages of 8 blocks each, to fold or to restore: events count the blocks for which it
 * failed, whatever the mappings that it took. From point @at on all fails; returns the points.
 */
static uint64_t tell(enum telling what, uint64_t at)
{
	enum hvo_event event = what == TELL_FOLD ? HVO_EVENT_FOLD_FAILED : HVO_EVENT_RESTORE_FAILED;
	struct hvo_policy policy = *hvo_policy_find("mayfail");
	struct hvo_config cfg = rig_config(HVO_LINUX, 128);
	struct hvo_machine_stat before = { .size = sizeof(before) };
	uint64_t points, blocks;
	struct hvo_pool *pool;
	struct rig r;

	cfg.layout = HVO_LAYOUT_VIRTUAL;
	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 12);
	(void)rig_pool_new(&r, 9);
	policy.flags = what == TELL_DEMOTE_HEADS ? HVO_POLICY_DEMOTE_HEADS : 0;
	assert_int_equal(hvo_pool_set_policy(pool, &policy), 0);
	if (what != TELL_FOLD)
		rig_resize(pool, HVO_NODE_ANY, 2);
	before = rig_stat(&r);
	rig_arm(&r, at, true);
	run_telling(what, pool);
	points = rig_sim(&r).points;
	rig_disarm(&r);
	/* A fold fails once, for all of the pages that are not folded then; a restore page by page. */
	blocks = what == TELL_FOLD	   ? 16 - (rig_stat(&r).folds - before.folds) :
		 what == TELL_DEMOTE_HEADS ? 7 :
					     8;
	if (r.events[event])
		assert_int_equal(r.last_event[event].a, blocks);
	/* The last point of a demotion is a fold, of the parts. */
	if (at < 2)
		assert_int_equal(r.events[event] > 0, at);
	rig_audit(&r);
	rig_close(&r);
	return points;
}

static void test_events(void **state)
{
	enum telling what;
	uint64_t at, n;

	(void)state;
	for (what = TELL_FOLD; what <= TELL_DEMOTE_HEADS; what++) {
		n = tell(what, 0);
		assert_in_range(n, 2, 8);
		for (at = 1; at <= n; at++)
			tell(what, at);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_on_demand_9),  cmocka_unit_test(test_on_demand_12),
		cmocka_unit_test(test_on_demand_18), cmocka_unit_test(test_linux_9),
		cmocka_unit_test(test_linux_12),     cmocka_unit_test(test_linux_18),
		cmocka_unit_test(test_boot),	     cmocka_unit_test(test_cleared),
		cmocka_unit_test(test_events),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
