// SPDX-License-Identifier: MIT
/*
 * A frame fails at any moment: from inside every call that an operation makes to the platform, in
 * another thread, as far as no spin lock is held there. Whatever the operation was about, the
 * frame is never free again, what was given afterwards is without it, and nothing else is lost.
 *
 * Beside that: frames that fail while a block is nobody's for longer, moves of descriptors while
 * their block is cut or collapsed, promises that a failed page cannot keep, and a stress.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <hvo/contig.h>
#include <hvo/hotplug.h>
#include <hvo/migrate.h>

#include "core/base.h"
#include "core/lock.h"
#include "core/page.h"
#include "core/zone_cut.h"
#include "core/zone_whole.h"
#include "crew.h"
#include "harness.h"

#define ANY HVO_NODE_ANY
#define FIRST UINT64_C(32768) /* of ZONE_MOVABLE */
#define T UINT64_C(51200)     /* the pageblock that everything is about */
#define END (T + 512)
#define T_TAIL(r) rig_tail_slot(r, T >> 9)
#define T_HEAD(r) rig_head_slot(r, T >> 9)
#define MAX_HELD 256

struct scene {
	struct rig r;
	struct hvo_pool *pool, *big;
	struct hvo_cma *cma;
	struct hvo_owner owner;
	uint32_t owner_id;
	hvo_pfn_t held[MAX_HELD]; /* with one reference each */
	unsigned int nr_held;
	hvo_pfn_t moved_to; /* what the owner has at last */
	hvo_pfn_t room;	    /* where that can go, if there is one place only */
	bool told;	    /* the owner, of what failed */
	hvo_pfn_t soft;	    /* what was taken out before it failed */
	bool refuse;	    /* the owner lets nothing move */

	/* What fails, and when. */
	hvo_pfn_t bad;
	uint64_t at, calls;
	pthread_t main, thread;
	bool fired, joined, done; /* done: (a) */
	int rc;
};

/* ---- failing ------------------------------------------------------------------------------ */

static bool recorded(struct scene *s)
{
	return __atomic_load_n(&s->r.m->bad[s->bad / 64], __ATOMIC_ACQUIRE) >> (s->bad % 64) & 1;
}

static bool locked(const struct hvo_lock *lock)
{
	return __atomic_load_n(&lock->word, __ATOMIC_RELAXED);
}

static bool spin_lock_held(struct hvo_machine *m)
{
	bool held = locked(&m->owner_lock);
	unsigned int i;

	for (i = 0; i < HVO_NR_ZONES; i++)
		held = held || locked(&m->nodes[0].zones[i].lock);
	for (i = 0; i < HVO_MAX_POOLS; i++)
		held = held || (m->pools[i].order && locked(&m->pools[i].lock));
	return held;
}

static void *fail_it(void *arg)
{
	struct scene *s = arg;

	s->rc = hvo_memory_failure(s->r.m, s->bad);
	__atomic_store_n(&s->done, true, __ATOMIC_RELEASE);
	return NULL;
}

/* It is recorded when this returns; the rest may have to wait for the operation to end. */
static void on_call(void *arg)
{
	struct scene *s = arg;

	if (!s->at || s->fired || !pthread_equal(pthread_self(), s->main))
		return;
	if (++s->calls < s->at || spin_lock_held(s->r.m))
		return;
	s->fired = true;
	assert_int_equal(pthread_create(&s->thread, NULL, fail_it, s), 0);
	while (!recorded(s) && !__atomic_load_n(&s->done, __ATOMIC_ACQUIRE))
		sched_yield();
}

static hvo_pfn_t backing_of(struct scene *s, uint64_t page)
{
	return rig_backing(&s->r, page);
}

/* ---- what the operations are made of ------------------------------------------------------- */

static void hold(struct scene *s, hvo_pfn_t pfn)
{
	assert_true(s->nr_held < MAX_HELD);
	s->held[s->nr_held++] = pfn;
}

/* What was recorded before a call returned is not in what it gave. */
static void expect_sound(struct scene *s, hvo_pfn_t start, uint64_t nr)
{
	assert_false(s->fired && s->bad >= start && s->bad < start + nr);
}

/* Freeing them is another operation. */
static void put_all(struct scene *s)
{
	uint64_t at = s->at;

	s->at = 0;
	while (s->nr_held)
		rig_put(&s->r, s->held[--s->nr_held]);
	s->at = at;
}

static void give_room(struct scene *s)
{
	s->room = s->held[--s->nr_held];
	rig_put(&s->r, s->room);
}

/* All of ZONE_MOVABLE is held in blocks of 2 MiB, but for T, which is free. */
static void only_t_free(struct scene *s)
{
	hvo_pfn_t pfn = 0;

	for (;;) {
		if (hvo_alloc_pages(s->r.m, HVO_GFP_MOVABLE | HVO_GFP_NOWARN, 9, ANY, &pfn))
			break;
		if (pfn < FIRST) {
			rig_put(&s->r, pfn);
			break;
		}
		if (pfn != T)
			hold(s, pfn);
	}
	rig_put(&s->r, T);
}

static void t_held(struct scene *s)
{
	only_t_free(s);
	assert_int_equal(rig_alloc(&s->r, HVO_GFP_MOVABLE, 9), T);
}

static void t_owned(struct scene *s)
{
	t_held(s);
	assert_int_equal(hvo_set_owner(s->r.m, T, s->owner_id), 0);
	s->moved_to = T;
	/* Somewhere to go. */
	give_room(s);
}

/* T is cut, with a small block in it. */
static void t_cut(struct scene *s)
{
	only_t_free(s);
	hold(s, rig_alloc(&s->r, HVO_GFP_MOVABLE, 1));
	assert_int_equal(s->held[s->nr_held - 1] >> 9, T >> 9);
}

static void t_collapsible(struct scene *s)
{
	t_cut(s);
	rig_put(&s->r, s->held[--s->nr_held]);
}

/* Nothing else is left in its zone. */
static void t_last(struct scene *s)
{
	t_collapsible(s);
	hold(s, rig_alloc(&s->r, GFP_HOG, 9));
}

static void t_pinned(struct scene *s)
{
	t_cut(s);
	assert_int_equal(hvo_set_owner(s->r.m, s->held[s->nr_held - 1], s->owner_id), 0);
	s->refuse = true;
}

/* Its tails are elsewhere. */
static void t_split(struct scene *s)
{
	hvo_pfn_t pfn;

	t_held(s);
	assert_int_equal(hvo_split_page(s->r.m, T, 0), 0);
	hold(s, T);
	for (pfn = T + 1; pfn < END; pfn++)
		rig_put(&s->r, pfn);
}

static void pool_page(struct scene *s)
{
	only_t_free(s);
	s->pool = rig_pool_new(&s->r, 9);
	assert_int_equal(rig_resize(s->pool, ANY, 1).done, 1);
	assert_int_equal(hvo_page_head(hvo_machine_memmap(s->r.m), T + 5), T);
}

static void pool_page_used(struct scene *s)
{
	hvo_pfn_t pfn = 0;

	pool_page(s);
	assert_int_equal(hvo_pool_alloc(s->pool, HVO_GFP_KERNEL, ANY, &pfn), 0);
	assert_int_equal(pfn, T);
}

static void pool_page_owned(struct scene *s)
{
	pool_page_used(s);
	assert_int_equal(hvo_set_owner(s->r.m, T, s->owner_id), 0);
	s->moved_to = T;
	give_room(s);
}

static void pool_page_present(struct scene *s)
{
	hvo_set_optimize(s->r.m, false);
	pool_page(s);
	hvo_set_optimize(s->r.m, true);
}

static void pool_empty(struct scene *s)
{
	only_t_free(s);
	s->pool = rig_pool_new(&s->r, 9);
}

static void pool_demotable(struct scene *s)
{
	only_t_free(s);
	/* T and its neighbour. */
	rig_put(&s->r, T + 512);
	for (s->nr_held--; s->held[s->nr_held] != T + 512; s->nr_held--)
		rig_put(&s->r, s->held[s->nr_held]);
	s->pool = rig_pool_new(&s->r, 9);
	s->big = rig_pool_new(&s->r, 10);
	assert_int_equal(rig_resize(s->big, ANY, 1).done, 1);
	assert_int_equal(hvo_page_state(rig_page(&s->r, T)), HVO_PAGE_HUGETLB_FREE);
}

static void t_reported(struct scene *s)
{
	only_t_free(s);
	assert_true(hvo_report_free(s->r.m, ANY, 9, UINT64_MAX, NULL) > 0);
}

static void cma_area(struct scene *s)
{
	assert_int_equal(hvo_cma_create(s->r.m, 0, HVO_SECTION_FRAMES, &s->cma), 0);
}

static void cma_pool(struct scene *s)
{
	cma_area(s);
	s->pool = rig_pool_new(&s->r, 9);
	assert_int_equal(hvo_pool_set_cma(s->pool, true), 0);
}

/* A huge page of NORMAL, which leaves its scope when it moves to T. */
static void scope_page(struct scene *s)
{
	hvo_pfn_t pfn = 0;

	t_held(s);
	s->pool = rig_pool_new(&s->r, 9);
	assert_int_equal(hvo_pool_set_fold_scope(s->pool, HVO_FOLD_NORMAL), 0);
	assert_int_equal(rig_resize(s->pool, ANY, 1).done, 1);
	assert_int_equal(hvo_pool_alloc(s->pool, HVO_GFP_KERNEL, ANY, &pfn), 0);
	assert_true(pfn < FIRST);
	assert_int_equal(hvo_set_owner(s->r.m, pfn, s->owner_id), 0);
	s->moved_to = pfn;
	rig_put(&s->r, T);
}

/* One that is present, free and in its scope; another page takes its place in T. */
static void scope_page_free(struct scene *s)
{
	scope_page(s);
	assert_int_equal(hvo_set_owner(s->r.m, s->moved_to, 0), 0);
	rig_put(&s->r, s->moved_to);
}

static void alloc(struct scene *s, unsigned int gfp, unsigned int order)
{
	hvo_pfn_t pfn = 0;

	if (hvo_alloc_pages(s->r.m, gfp, order, ANY, &pfn))
		return;
	expect_sound(s, pfn, UINT64_C(1) << order);
	hold(s, pfn);
}

/* ---- the operations -------------------------------------------------------------------------- */

static void op_alloc_small(struct scene *s)
{
	alloc(s, HVO_GFP_USER, 0);
	alloc(s, HVO_GFP_USER, 8);
}

static void op_alloc_small_zero(struct scene *s)
{
	alloc(s, HVO_GFP_USER | HVO_GFP_ZERO, 3);
}

static void op_alloc_block(struct scene *s)
{
	alloc(s, HVO_GFP_MOVABLE, 9);
}

static void op_alloc_block_zero(struct scene *s)
{
	alloc(s, HVO_GFP_MOVABLE | HVO_GFP_ZERO, 9);
}

static void op_alloc_last(struct scene *s)
{
	alloc(s, GFP_HOG, 9);
}

static void op_free_t(struct scene *s)
{
	rig_put(&s->r, T);
}

static void op_collapse(struct scene *s)
{
	hvo_collapse(s->r.m, UINT64_MAX, NULL);
}

static void op_split(struct scene *s)
{
	hvo_pfn_t pfn;

	if (hvo_split_page(s->r.m, T, 0)) {
		hold(s, T);
		return;
	}
	/* Freeing them is another operation. */
	s->at = 0;
	for (pfn = T; pfn < END; pfn++)
		rig_put(&s->r, pfn);
}

static void op_grow(struct scene *s)
{
	rig_resize(s->pool, ANY, 1);
}

static void op_grow_and_shrink(struct scene *s)
{
	rig_resize(s->pool, ANY, 1);
	rig_resize(s->pool, ANY, 0);
}

static void op_shrink(struct scene *s)
{
	rig_resize(s->pool, ANY, 0);
}

static void op_carve(struct scene *s)
{
	unsigned int i;

	for (i = 0; hvo_policy_get(i); i++)
		if (!strcmp(hvo_policy_get(i)->name, "carve"))
			assert_int_equal(hvo_pool_set_policy(s->pool, hvo_policy_get(i)), 0);
	rig_resize(s->pool, ANY, 0);
}

static void op_dissolve(struct scene *s)
{
	(void)hvo_hugetlb_dissolve(s->r.m, T);
}

static void op_huge_alloc(struct scene *s)
{
	hvo_pfn_t pfn = 0;

	if (hvo_pool_alloc(s->pool, HVO_GFP_KERNEL | HVO_GFP_ZERO, ANY, &pfn))
		return;
	expect_sound(s, pfn, 512);
	hold(s, pfn);
}

static void op_huge_reserved(struct scene *s)
{
	hvo_pfn_t pfn = 0;

	if (hvo_pool_reserve(s->pool, ANY, 1))
		return;
	if (!hvo_pool_alloc_reserved(s->pool, HVO_GFP_KERNEL | HVO_GFP_ZERO, ANY, &pfn)) {
		expect_sound(s, pfn, 512);
		hold(s, pfn);
	} else {
		assert_int_equal(hvo_pool_unreserve(s->pool, 1), 0);
	}
}

static void op_surplus(struct scene *s)
{
	hvo_pfn_t pfn = 0;

	assert_int_equal(hvo_pool_set_overcommit(s->pool, 1), 0);
	if (!hvo_pool_alloc(s->pool, HVO_GFP_KERNEL | HVO_GFP_ZERO, ANY, &pfn)) {
		expect_sound(s, pfn, 512);
		rig_put(&s->r, pfn);
	}
	hvo_work(s->r.m, UINT64_MAX, NULL);
}

static void op_optimize_pool(struct scene *s)
{
	uint64_t done;

	(void)hvo_pool_optimize(s->pool, &done);
}

static void op_demote(struct scene *s)
{
	uint64_t done;

	(void)hvo_pool_demote(s->big, ANY, 100, &done);
}

static void contig(struct scene *s, hvo_pfn_t start, hvo_pfn_t end, unsigned int gfp);

static void join(struct scene *s)
{
	if (s->fired && !s->joined)
		assert_int_equal(pthread_join(s->thread, NULL), 0);
	s->joined = true;
}

/* If it has what failed, whenever that was, the owner was told, at last by hvo_work(). */
static void owner_leaves(struct scene *s)
{
	s->at = 0;
	join(s);
	hvo_work(s->r.m, UINT64_MAX, NULL);
	if (s->fired && s->bad >> 9 == s->moved_to >> 9) {
		assert_true(s->told);
		assert_true(page_flags(rig_page(&s->r, s->moved_to)) & HVO_PF_POISONED);
	}
	hold(s, s->moved_to);
	assert_int_equal(hvo_set_owner(s->r.m, s->moved_to, 0), 0);
}

static void op_migrate(struct scene *s)
{
	(void)hvo_migrate(s->r.m, s->moved_to, ANY, NULL);
	owner_leaves(s);
}

static void op_migrate_refused(struct scene *s)
{
	hvo_pfn_t pfn = s->moved_to;

	s->refuse = true;
	assert_int_not_equal(hvo_migrate(s->r.m, pfn, ANY, NULL), 0);
	assert_int_equal(s->moved_to, pfn);
	owner_leaves(s);
}

static void op_replace(struct scene *s)
{
	hvo_pfn_t start = s->moved_to;

	contig(s, start, start + 512, HVO_GFP_KERNEL);
}

static void soft_offline(struct scene *s, hvo_pfn_t pfn)
{
	if (!hvo_soft_offline(s->r.m, pfn))
		s->soft = pfn;
}

static void op_soft_offline(struct scene *s)
{
	soft_offline(s, T + 300);
}

static void op_soft_offline_owned(struct scene *s)
{
	soft_offline(s, T + 300);
	owner_leaves(s);
}

static void op_soft_offline_refused(struct scene *s)
{
	s->refuse = true;
	assert_int_not_equal(hvo_soft_offline(s->r.m, T + 300), 0);
	assert_int_equal(s->moved_to, T);
	owner_leaves(s);
}

static void op_soft_offline_tail(struct scene *s)
{
	soft_offline(s, backing_of(s, T_TAIL(&s->r)));
}

static void op_soft_offline_head(struct scene *s)
{
	soft_offline(s, backing_of(s, T_HEAD(&s->r)));
}

static void op_cma_pool(struct scene *s)
{
	rig_resize(s->pool, ANY, 1);
	rig_resize(s->pool, ANY, 0);
}

static void add_and_remove(struct scene *s, unsigned int flags)
{
	const hvo_pfn_t start = UINT64_C(65536), end = start + HVO_SECTION_FRAMES;

	if (hvo_memory_add(s->r.m, 0, start, end, flags))
		return;
	if (!hvo_memory_online(s->r.m, start, end, HVO_ZONE_MOVABLE)) {
		on_call(s);
		assert_int_equal(hvo_memory_offline(s->r.m, start, end), 0);
	}
	on_call(s);
	assert_int_equal(hvo_memory_remove(s->r.m, start, end), 0);
}

static void op_hotplug(struct scene *s)
{
	add_and_remove(s, 0);
}

static void op_hotplug_self(struct scene *s)
{
	add_and_remove(s, HVO_MEMMAP_ON_MEMORY);
}

static void contig(struct scene *s, hvo_pfn_t start, hvo_pfn_t end, unsigned int gfp)
{
	if (hvo_alloc_contig_range(s->r.m, start, end, gfp))
		return;
	expect_sound(s, start, end - start);
	assert_int_equal(hvo_free_contig_range(s->r.m, start, end), 0);
}

static void op_contig(struct scene *s)
{
	contig(s, T, END, HVO_GFP_KERNEL);
}

static void op_contig_zero(struct scene *s)
{
	contig(s, T, END, HVO_GFP_KERNEL | HVO_GFP_ZERO);
}

static void op_contig_part(struct scene *s)
{
	contig(s, T + 100, T + 400, HVO_GFP_KERNEL);
}

static void op_contig_owned(struct scene *s)
{
	contig(s, T, END, HVO_GFP_KERNEL);
	owner_leaves(s);
}

static void op_contig_pages(struct scene *s)
{
	hvo_pfn_t pfn = 0;

	if (hvo_alloc_contig_pages(s->r.m, 300, HVO_GFP_MOVABLE | HVO_GFP_ZERO, ANY, &pfn))
		return;
	expect_sound(s, pfn, 300);
	assert_int_equal(hvo_free_contig_range(s->r.m, pfn, pfn + 300), 0);
}

static void op_isolate(struct scene *s)
{
	assert_int_equal(hvo_isolate_range(s->r.m, T, END), 0);
	/* Between the two is a moment as any other. */
	on_call(s);
	assert_int_equal(hvo_unisolate_range(s->r.m, T, END), 0);
}

static void op_isolate_and_free(struct scene *s)
{
	assert_int_equal(hvo_isolate_range(s->r.m, T, END), 0);
	on_call(s);
	rig_put(&s->r, s->held[--s->nr_held]);
	on_call(s);
	assert_int_equal(hvo_unisolate_range(s->r.m, T, END), 0);
}

static void op_report(struct scene *s)
{
	assert_true(hvo_report_free(s->r.m, ANY, 9, UINT64_MAX, NULL) >= 0);
}

static void op_offline(struct scene *s)
{
	put_all(s);
	if (hvo_memory_offline(s->r.m, FIRST, FIRST + HVO_SECTION_FRAMES))
		return;
	on_call(s);
	assert_int_equal(
		hvo_memory_online(s->r.m, FIRST, FIRST + HVO_SECTION_FRAMES, HVO_ZONE_MOVABLE), 0);
}

static void op_offline_fails(struct scene *s)
{
	hvo_pfn_t pinned = s->held[--s->nr_held];

	put_all(s);
	hold(s, pinned);
	assert_int_not_equal(hvo_memory_offline(s->r.m, FIRST, FIRST + HVO_SECTION_FRAMES), 0);
}

static void op_move_memmap(struct scene *s)
{
	(void)hvo_move_memmap(s->r.m, backing_of(s, T_TAIL(&s->r)));
	hvo_collapse(s->r.m, UINT64_MAX, NULL);
}

static void op_cma(struct scene *s)
{
	hvo_pfn_t pfn = 0;

	if (hvo_cma_alloc(s->cma, 512, 9, &pfn))
		return;
	expect_sound(s, pfn, 512);
	assert_int_equal(hvo_cma_release(s->cma, pfn, 512), 0);
}

#define LINUX_ONLY 1u
#define ON_DEMAND_ONLY 2u
#define FEW 4u /* it takes long: every other one of the frames */

static const struct op {
	const char *name;
	void (*prepare)(struct scene *s);
	void (*run)(struct scene *s);
	unsigned int flags;
	hvo_pfn_t around; /* 0: T */
} ops[] = {
	{ "allocate small, cutting", only_t_free, op_alloc_small, 0, 0 },
	{ "allocate small, cleared", only_t_free, op_alloc_small_zero, 0, 0 },
	{ "allocate a block, cleared", only_t_free, op_alloc_block_zero, 0, 0 },
	{ "allocate what was reported", t_reported, op_alloc_block, 0, 0 },
	{ "cut what was reported", t_reported, op_alloc_small, 0, 0 },
	{ "free a block", t_held, op_free_t, 0, 0 },
	{ "collapse", t_collapsible, op_collapse, ON_DEMAND_ONLY, 0 },
	{ "collapse for a block", t_last, op_alloc_last, ON_DEMAND_ONLY, 0 },
	{ "split", t_held, op_split, 0, 0 },
	{ "grow a pool", pool_empty, op_grow, 0, 0 },
	{ "grow and shrink a pool", pool_empty, op_grow_and_shrink, 0, 0 },
	{ "shrink a pool", pool_page, op_shrink, 0, 0 },
	{ "shrink a pool, carve", pool_page, op_carve, LINUX_ONLY, 0 },
	{ "dissolve", pool_page, op_dissolve, 0, 0 },
	{ "allocate a huge page", pool_page, op_huge_alloc, 0, 0 },
	{ "allocate a promised page", pool_page, op_huge_reserved, 0, 0 },
	{ "a surplus page", pool_empty, op_surplus, 0, 0 },
	{ "fold a pool", pool_page_present, op_optimize_pool, LINUX_ONLY, 0 },
	{ "demote", pool_demotable, op_demote, 0, 0 },
	{ "free a huge page", pool_page_used, op_free_t, 0, 0 },
	{ "migrate a block", t_owned, op_migrate, 0, 0 },
	{ "migrate a huge page", pool_page_owned, op_migrate, 0, 0 },
	{ "migrate in vain", t_owned, op_migrate_refused, 0, 0 },
	{ "migrate a huge page in vain", pool_page_owned, op_migrate_refused, 0, 0 },
	{ "contiguous range, free", only_t_free, op_contig, 0, 0 },
	{ "contiguous range, cleared", only_t_free, op_contig_zero, 0, 0 },
	{ "contiguous range, part", only_t_free, op_contig_part, 0, 0 },
	{ "contiguous range, owned", t_owned, op_contig_owned, 0, 0 },
	{ "contiguous range, huge", pool_page, op_contig, 0, 0 },
	{ "contiguous range, reported", t_reported, op_contig, 0, 0 },
	{ "contiguous range in vain", t_pinned, op_contig, 0, 0 },
	{ "contiguous pages", only_t_free, op_contig_pages, 0, 0 },
	{ "isolate free memory", only_t_free, op_isolate, 0, 0 },
	{ "isolate and free", t_cut, op_isolate_and_free, 0, 0 },
	{ "report free memory", only_t_free, op_report, 0, 0 },
	{ "offline and online", only_t_free, op_offline, 0, 0 },
	{ "offline in vain", t_pinned, op_offline_fails, 0, 0 },
	{ "move descriptors", t_split, op_move_memmap, ON_DEMAND_ONLY, 0 },
	{ "a CMA area", cma_area, op_cma, 0, 16384 },
	{ "a pool in a CMA area", cma_pool, op_cma_pool, FEW, 16384 },
	{ "migrate, to be present", scope_page, op_migrate, LINUX_ONLY | FEW, 0 },
	{ "migrate, to be present, in vain", scope_page, op_migrate_refused, LINUX_ONLY | FEW, 0 },
	{ "replace, to be present", scope_page_free, op_replace, LINUX_ONLY | FEW, 0 },
	{ "soft offline, free", only_t_free, op_soft_offline, FEW, 0 },
	{ "soft offline, reported", t_reported, op_soft_offline, FEW, 0 },
	{ "soft offline, owned", t_owned, op_soft_offline_owned, FEW, 0 },
	{ "soft offline in vain", t_owned, op_soft_offline_refused, FEW, 0 },
	{ "soft offline, huge, in vain", pool_page_owned, op_soft_offline_refused, FEW, 0 },
	{ "soft offline, huge", pool_page, op_soft_offline, FEW, 0 },
	{ "soft offline, huge, owned", pool_page_owned, op_soft_offline_owned, FEW, 0 },
	{ "soft offline, tails", t_cut, op_soft_offline_tail, FEW, 0 },
	{ "soft offline, tails elsewhere", t_split, op_soft_offline_tail, ON_DEMAND_ONLY | FEW, 0 },
	{ "soft offline, heads", only_t_free, op_soft_offline_head, FEW, 0 },
	{ "hot-plug", only_t_free, op_hotplug, FEW, 65536 },
	{ "hot-plug, self-hosted", only_t_free, op_hotplug_self, FEW, 65536 },
};

/* ---- all of them, at all moments ------------------------------------------------------------ */

static uint32_t on_isolate(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
			   unsigned int order)
{
	(void)owner;
	(void)m;
	(void)pfn;
	(void)order;
	return 1;
}

static int on_move(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t dst, hvo_pfn_t src,
		   unsigned int order)
{
	struct scene *s = owner->arg;

	(void)m;
	(void)src;
	(void)order;
	on_call(s);
	if (s->refuse)
		return -HVO_EBUSY;
	s->moved_to = dst;
	return 0;
}

static void on_failed(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t frame,
		      hvo_pfn_t pfn, unsigned int order)
{
	struct scene *s = owner->arg;

	(void)m;
	assert_int_equal(frame, s->bad);
	assert_true(frame - pfn < UINT64_C(1) << order);
	__atomic_store_n(&s->told, true, __ATOMIC_RELEASE);
}

static void scene_open(struct scene *s, const struct op *op, enum hvo_mode mode, uint32_t clear)
{
	uint64_t cma = op->prepare == cma_area || op->prepare == cma_pool ? 128 * MIB : 0;
	struct hvo_config cfg = rig_config(mode, 256);

	memset(s, 0, sizeof(*s));
	cfg.clear = clear;
	cfg.cma_bytes = cma;
	cfg.movable_bytes = cma ? 0 : 128 * MIB;
	if (cma)
		cfg.memory_bytes = 256 * MIB;
	if (op->run == op_hotplug || op->run == op_hotplug_self)
		cfg.hotplug_bytes = 128 * MIB;
	rig_open(&s->r, RIG_SIM, &cfg);
	s->r.quiet = true;
	s->main = pthread_self();
	s->owner = (struct hvo_owner){ .size = sizeof(struct hvo_owner),
				       .isolate = on_isolate,
				       .move = on_move,
				       .putback = rig_putback,
				       .failed = on_failed,
				       .arg = s };
	s->soft = HVO_PFN_NONE;
	assert_int_equal(hvo_owner_register(s->r.m, &s->owner, &s->owner_id), 0);
	op->prepare(s);
	s->r.on_call = on_call;
	s->r.on_call_arg = s;
}

static void expect_never_free(struct scene *s)
{
	struct hog hog = { 0 };
	uint64_t i;

	rig_audit(&s->r);
	hog_all(&s->r, &hog, 0, false);
	for (i = 0; i < hog.nr; i++) {
		uint64_t size = UINT64_C(1) << hog.blocks[i].order;

		assert_false(s->bad - hog.blocks[i].pfn < size);
		assert_false(s->soft - hog.blocks[i].pfn < size);
	}
	hog_release(&s->r, &hog, UINT64_MAX);
}

/* Nothing is held any more: all is free but for what failed, and it is out. */
static void expect_nothing_lost(struct scene *s)
{
	put_all(s);
	if (s->pool)
		rig_resize(s->pool, ANY, 0);
	if (s->big)
		rig_resize(s->big, ANY, 0);
	hvo_work(s->r.m, UINT64_MAX, NULL);
	hvo_collapse(s->r.m, UINT64_MAX, NULL);
	hvo_work(s->r.m, UINT64_MAX, NULL);
	assert_int_equal(hvo_memory_failure(s->r.m, s->bad), 0);
	assert_int_equal(hvo_poisoned(s->r.m, NULL, 0),
			 s->soft == HVO_PFN_NONE || s->soft == s->bad ? 1 : 2);
	expect_never_free(s);
}

/* What fails: a frame of the pageblock, or one that holds descriptors of it. */
#define OF_TAIL 512
#define OF_HEAD 513
#define OF_ROOM 514

static hvo_pfn_t choose(struct scene *s, const struct op *op, unsigned int frame)
{
	if (frame == OF_TAIL)
		return backing_of(s, T_TAIL(&s->r));
	if (frame == OF_HEAD)
		return backing_of(s, T_HEAD(&s->r));
	if (frame == OF_ROOM)
		return s->room ? s->room + 300 : HVO_SHARED_TAIL;
	return (op->around ? op->around : T) + frame;
}

/* False: the operation makes no more calls than that. */
static bool fail_at(const struct op *op, enum hvo_mode mode, uint32_t clear, uint64_t at,
		    unsigned int frame)
{
	struct scene *s = calloc(1, sizeof(*s));
	bool fired;

	assert_non_null(s);
	scene_open(s, op, mode, clear);
	s->bad = choose(s, op, frame);
	s->at = s->bad == HVO_SHARED_TAIL ? 0 : at;
	op->run(s);
	s->at = 0;
	fired = s->fired;
	if (fired) {
		join(s);
		hvo_work(s->r.m, UINT64_MAX, NULL);
		rig_audit(&s->r);
		/* Offline memory cannot fail, and what left the machine is forgotten. */
		if (hvo_poisoned(s->r.m, NULL, 0) > (s->soft != HVO_PFN_NONE)) {
			expect_never_free(s);
			expect_nothing_lost(s);
		}
	}
	rig_close(&s->r);
	free(s);
	return fired;
}

static uint64_t at_all_moments(const struct op *op, enum hvo_mode mode, uint32_t clear)
{
	static const unsigned int frames[] = { 0, 3, 8, 300, 511, OF_TAIL, OF_HEAD, OF_ROOM };
	uint64_t at, nr = 0;
	/* All of them takes minutes: each in some operation, unless asked for (make soak). */
	unsigned int step = getenv("HVO_THOROUGH") ? 1 : WITH_ASAN ? 5 : 3;
	unsigned int i = (unsigned int)((uint64_t)(op - ops) + mode + clear) % step;

	for (; i < sizeof(frames) / sizeof(*frames); i += op->flags & FEW ? 2 * step : step)
		for (at = 1; fail_at(op, mode, clear, at, frames[i]); at++)
			nr++;
	return nr;
}

/* Of each operation, in all modes: none of them is there in vain. */
static uint64_t moments[sizeof(ops) / sizeof(*ops)];

static void test_moments(void **state)
{
	unsigned int i;

	(void)state;
	if (WITH_TSAN)
		skip();
	for (i = 0; i < sizeof(ops) / sizeof(*ops); i++)
		if (!moments[i])
			fail_msg("%s: no call", ops[i].name);
}

static void all_ops(enum hvo_mode mode, uint32_t clear)
{
	uint64_t nr, total = 0;
	unsigned int i;

	/* Two threads that take turns: the stress is what it is for. */
	if (WITH_TSAN)
		skip();
	for (i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
		if (ops[i].flags & (mode == HVO_LINUX ? ON_DEMAND_ONLY : LINUX_ONLY))
			continue;
		if (ops[i].flags & FEW && clear != HVO_CLEAR_NEVER)
			continue;
		nr = at_all_moments(&ops[i], mode, clear);
		moments[i] += nr;
		print_message("%-30s %3llu\n", ops[i].name, (unsigned long long)nr);
		total += nr;
	}
	assert_true(total > 80);
}

static void test_all_moments(void **state)
{
	(void)state;
	all_ops(HVO_ON_DEMAND, HVO_CLEAR_NEVER);
}

static void test_all_moments_linux(void **state)
{
	(void)state;
	all_ops(HVO_LINUX, HVO_CLEAR_NEVER);
}

static void test_all_moments_cleared(void **state)
{
	(void)state;
	all_ops(HVO_ON_DEMAND, HVO_CLEAR_ON_FREE);
}

/* ---- promises ------------------------------------------------------------------------------- */

/* A page that failed is not promised again, and goes when it can. */
static void promised(enum hvo_mode mode, bool memory)
{
	struct hvo_config cfg = rig_config(mode, 256);
	struct hvo_pool *pool;
	struct hog hog = { 0 };
	hvo_pfn_t pfn = 0, bad;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	assert_int_equal(rig_resize(pool, ANY, 4).done, 4);
	assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_KERNEL, ANY, &pfn), 0);
	bad = pfn + 100;
	rig_put(&r, pfn);
	assert_int_equal(hvo_pool_reserve(pool, ANY, 4), 0);
	if (!memory)
		hog_all(&r, &hog, 0, false);
	assert_int_equal(hvo_memory_failure(r.m, bad), -HVO_EBUSY);
	assert_int_equal(rig_pool(pool, ANY).poisoned, 1);
	rig_audit(&r);
	assert_int_equal(hvo_pool_unreserve(pool, 4), 0);
	/* Before and after it went. */
	assert_int_equal(hvo_pool_reserve(pool, ANY, 4), -HVO_ENOMEM);
	assert_int_equal(hvo_pool_reserve(pool, ANY, 3), 0);
	rig_audit(&r);
	hvo_work(r.m, UINT64_MAX, NULL);
	if (!memory && mode == HVO_LINUX) {
		/* Nobody is told again and again of what cannot be. */
		assert_int_equal(rig_pool(pool, ANY).total, 4);
		assert_int_equal(r.events[HVO_EVENT_FREE_REFUSED], 0);
		assert_int_equal(hvo_pool_reserve(pool, ANY, 1), -HVO_ENOMEM);
		hog_release(&r, &hog, UINT64_MAX);
		hvo_work(r.m, UINT64_MAX, NULL);
	}
	assert_int_equal(rig_pool(pool, ANY).total, 3);
	assert_int_equal(rig_pool(pool, ANY).free, 3);
	assert_int_equal(rig_pool(pool, ANY).poisoned, 0);
	assert_int_equal(hvo_memory_failure(r.m, bad), 0);
	hog_release(&r, &hog, UINT64_MAX);
	rig_audit(&r);
	assert_int_equal(hvo_pool_reserve(pool, ANY, 1), -HVO_ENOMEM);
	rig_audit(&r);
	rig_close(&r);
}

static void test_promised(void **state)
{
	(void)state;
	promised(HVO_ON_DEMAND, true);
	promised(HVO_ON_DEMAND, false);
	promised(HVO_LINUX, true);
	promised(HVO_LINUX, false);
}

/* Surplus pages leave with a promise, but not those that another promise needs. */
static void surplus_promised(enum hvo_mode mode, bool newest, bool resize)
{
	struct hvo_config cfg = rig_config(mode, 256);
	hvo_pfn_t pfn = 0, bad = 0;
	struct hvo_pool *pool;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	assert_int_equal(hvo_pool_set_overcommit(pool, 2), 0);
	assert_int_equal(hvo_pool_reserve(pool, ANY, 2), 0);
	assert_int_equal(hvo_pool_alloc_reserved(pool, 0, ANY, &bad), 0);
	assert_int_equal(hvo_pool_alloc_reserved(pool, 0, ANY, &pfn), 0);
	assert_int_equal(hvo_pool_free_reserved(pool, newest ? pfn : bad), 0);
	assert_int_equal(hvo_pool_free_reserved(pool, newest ? bad : pfn), 0);
	assert_int_equal(hvo_memory_failure(r.m, bad + 100), -HVO_EBUSY);
	assert_int_equal(hvo_pool_unreserve(pool, 1), 0);
	rig_audit(&r);
	if (resize) {
		/* A policy that frees again what could not be freed. */
		assert_int_equal(hvo_pool_set_policy(pool, hvo_policy_find("atomic")), 0);
		rig_resize(pool, ANY, 0);
		rig_audit(&r);
	}
	hvo_work(r.m, UINT64_MAX, NULL);
	assert_int_equal(hvo_memory_failure(r.m, bad + 100), 0);
	assert_int_equal(hvo_pool_alloc_reserved(pool, 0, ANY, &pfn), 0);
	rig_audit(&r);
	rig_close(&r);
}

static void test_surplus_promised(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 8; i++)
		surplus_promised(i & 1 ? HVO_LINUX : HVO_ON_DEMAND, i & 2, i & 4);
}

/* While a page that failed is folded, what is promised is given to nobody else. */
static void take_promised(void *arg)
{
	struct scene *s = arg;
	hvo_pfn_t pfn = 0;

	if (spin_lock_held(s->r.m))
		return;
	s->calls++;
	assert_int_equal(hvo_pool_alloc(s->pool, HVO_GFP_NOWARN, ANY, &pfn), -HVO_ENOMEM);
}

static void test_promised_while_folding(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	struct scene s = { 0 };
	uint64_t done = 0;
	hvo_pfn_t pfn = 0;

	(void)state;
	rig_open(&s.r, RIG_SIM, &cfg);
	s.pool = rig_pool_new(&s.r, 9);
	assert_int_equal(rig_resize(s.pool, ANY, 1).done, 1);
	hvo_set_optimize(s.r.m, false);
	assert_int_equal(rig_resize(s.pool, ANY, 2).done, 1);
	hvo_set_optimize(s.r.m, true);
	/* The one that is present; the newest comes first. */
	assert_int_equal(hvo_pool_alloc(s.pool, 0, ANY, &pfn), 0);
	assert_false(page_flags(rig_page(&s.r, pfn)) & HVO_PF_OPTIMIZED);
	rig_put(&s.r, pfn);
	assert_int_equal(hvo_pool_reserve(s.pool, ANY, 2), 0);
	assert_int_equal(hvo_memory_failure(s.r.m, pfn + 100), -HVO_EBUSY);
	assert_int_equal(hvo_pool_unreserve(s.pool, 1), 0);
	s.r.on_call = take_promised;
	s.r.on_call_arg = &s;
	assert_int_equal(hvo_pool_optimize(s.pool, &done), 0);
	s.r.on_call = NULL;
	assert_int_equal(done, 1);
	assert_true(s.calls > 0);
	assert_int_equal(hvo_pool_alloc_reserved(s.pool, 0, ANY, &pfn), 0);
	rig_audit(&s.r);
	rig_close(&s.r);
}

/* ---- descriptors that move while their block changes ---------------------------------------- */

struct mover {
	struct rig *r;
	hvo_pfn_t frames[8];
	bool in_it;
	uint64_t busy, other;
};

static void move_now(void *arg)
{
	struct mover *v = arg;
	unsigned int i;
	int rc;

	if (v->in_it || locked(&v->r->m->memmap_lock) || spin_lock_held(v->r->m))
		return;
	v->in_it = true;
	for (i = 0; i < 8; i++) {
		rc = hvo_move_memmap(v->r->m, v->frames[i]);
		if (rc == -HVO_EBUSY)
			v->busy++;
		else
			v->other += rc != -HVO_EINVAL;
	}
	v->in_it = false;
}

/* -HVO_EBUSY while it is cut or collapsed, and nothing else happens. */
static void test_move_in_between(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	struct mover v = { 0 };
	hvo_pfn_t pfn, base;
	unsigned int i;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	v.r = &r;
	pfn = rig_alloc(&r, HVO_GFP_USER, 9);
	rig_put(&r, pfn);
	/* The block that is cut next. */
	base = pfn;
	for (i = 0; i < 8; i++)
		v.frames[i] = base + i;
	r.on_call = move_now;
	r.on_call_arg = &v;
	pfn = rig_alloc(&r, HVO_GFP_USER, 8);
	assert_int_equal(pfn >> 9, base >> 9);
	rig_put(&r, pfn);
	v.busy = 0;
	assert_int_equal(hvo_collapse(r.m, 1, NULL), 1);
	/* In quiesce, remap and flush. */
	assert_true(v.busy > 0);
	assert_int_equal(v.other, 0);
	r.on_call = NULL;
	rig_audit(&r);
	rig_close(&r);
}

/* ---- what another thread sees of a block --------------------------------------------------- */

struct watch {
	struct hvo_machine *m;
	bool stop; /* (a) */
	uint64_t looks;
	pthread_t thread;
};

/* Under the lock there is nothing but what the table in zone_whole.h has: pageblock_place() stops at it. */
static void *look_at_places(void *arg)
{
	struct watch *w = arg;
	struct hvo_machine *m = w->m;
	hvo_pfn_t pfn = 0;

	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
		struct zone *z = zone_lock_of(m, pfn);

		if (z) {
			(void)pageblock_place(m, pb_of(pfn));
			lock_release(m, &z->lock);
			w->looks++;
		}
		pfn = (pfn + HVO_PAGEBLOCK_FRAMES) % m->mm.nr_frames;
	}
	return NULL;
}

static void watch_begin(struct watch *w, struct rig *r)
{
	*w = (struct watch){ .m = r->m };
	assert_int_equal(pthread_create(&w->thread, NULL, look_at_places, w), 0);
}

static void watch_end(struct watch *w)
{
	__atomic_store_n(&w->stop, true, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(w->thread, NULL), 0);
	assert_true(w->looks > 0);
}

/* Pages of several pageblocks, out of which their own descriptors are carved. */
static void test_carve_watched(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	struct hvo_pool *pool;
	struct watch w;
	unsigned int i;
	struct rig r;

	(void)state;
	cfg.max_order = 13;
	rig_open(&r, RIG_SIM, &cfg);
	r.quiet = true;
	pool = rig_pool_new(&r, 13);
	watch_begin(&w, &r);
	for (i = 0; i < 100; i++) {
		struct hog hog = { 0 };

		assert_int_equal(hvo_pool_set_policy(pool, hvo_policy_find("carve")), 0);
		assert_true(rig_resize(pool, ANY, 4).done > 0);
		/* No frame for descriptors but those in the pages. */
		hog_all(&r, &hog, 0, false);
		assert_true(rig_resize(pool, ANY, 0).carved > 0);
		hog_release(&r, &hog, UINT64_MAX);
		assert_int_equal(hvo_pool_set_policy(pool, hvo_policy_find("carve-heal")), 0);
		hvo_work(r.m, UINT64_MAX, NULL);
	}
	watch_end(&w);
	rig_audit(&r);
	rig_close(&r);
}

/* ---- a stress ---------------------------------------------------------------------------------- */

#define FAILURES 400

struct crowd {
	struct rig r;
	struct hvo_pool *pool;
	bool stop; /* (a) */
	hvo_pfn_t bad[FAILURES];
};

static void *resize_it(void *arg)
{
	struct crowd *c = arg;
	uint64_t seed = 5;

	while (!__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE))
		(void)hvo_pool_resize(c->pool, ANY, rig_random(&seed) % 100, NULL);
	return NULL;
}

/* Small blocks come and go, and what they leave collapses. */
static void *cut_it(void *arg)
{
	struct crowd *c = arg;
	hvo_pfn_t pfns[64];
	unsigned int i;

	memset(pfns, 0xff, sizeof(pfns));
	while (!__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE)) {
		for (i = 0; i < 64; i++)
			if (hvo_alloc_pages(c->r.m, HVO_GFP_USER | HVO_GFP_NOWARN, i % 9, ANY,
					    &pfns[i]))
				pfns[i] = HVO_PFN_NONE;
		for (i = 0; i < 64; i++)
			if (pfns[i] != HVO_PFN_NONE)
				(void)hvo_put_page(c->r.m, pfns[i]);
		hvo_collapse(c->r.m, UINT64_MAX, NULL);
	}
	return NULL;
}

static void *contig_it(void *arg)
{
	struct crowd *c = arg;
	uint64_t seed = 6;
	hvo_pfn_t pfn;

	while (!__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE)) {
		pfn = 32768 + rig_random(&seed) % 60 * 512;
		if (!hvo_alloc_contig_range(c->r.m, pfn, pfn + 1024, HVO_GFP_USER))
			(void)hvo_free_contig_range(c->r.m, pfn, pfn + 1024);
		if (!hvo_isolate_range(c->r.m, pfn, pfn + 512))
			(void)hvo_unisolate_range(c->r.m, pfn, pfn + 512);
	}
	return NULL;
}

static void *split_it(void *arg)
{
	struct crowd *c = arg;
	hvo_pfn_t pfn = 0, end;

	while (!__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE)) {
		if (hvo_alloc_pages(c->r.m, HVO_GFP_MOVABLE | HVO_GFP_NOWARN, 10, ANY, &pfn))
			continue;
		end = pfn + 1024;
		if (hvo_split_page(c->r.m, pfn, 7))
			end = pfn + 128;
		for (; pfn < end; pfn += 128)
			(void)hvo_put_page(c->r.m, pfn);
	}
	return NULL;
}

/* A section comes and goes, with its descriptors in it or elsewhere. */
static void *plug_it(void *arg)
{
	const hvo_pfn_t start = 65536, end = 65536 + HVO_SECTION_FRAMES;
	struct crowd *c = arg;
	unsigned int flags = 0;

	while (!__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE)) {
		(void)!hvo_memory_add(c->r.m, 0, start, end, flags);
		(void)!hvo_memory_online(c->r.m, start, end, HVO_ZONE_MOVABLE);
		sched_yield();
		(void)!hvo_memory_offline(c->r.m, start, end);
		(void)!hvo_memory_remove(c->r.m, start, end);
		flags ^= HVO_MEMMAP_ON_MEMORY;
	}
	return NULL;
}

/* Nobody has an owner here: what is free, or descriptors. */
static void *soften_it(void *arg)
{
	struct crowd *c = arg;
	uint64_t seed = 8;

	/* Frames that will fail anyway. */
	while (!__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE))
		(void)!hvo_soft_offline(c->r.m, c->bad[rig_random(&seed) % FAILURES]);
	return NULL;
}

#define WORKERS 6

static void together(enum rig_platform platform, enum hvo_mode mode)
{
	void *(*const work[WORKERS])(void *) = { resize_it, cut_it,  contig_it,
						 split_it,  plug_it, soften_it };
	struct hvo_config cfg = rig_config(mode, 256);
	struct crowd *c = calloc(1, sizeof(*c));
	struct crew crew = { 0 };
	struct hog hog = { 0 };
	uint64_t seed = 7, i, k;
	struct watch w;

	assert_non_null(c);
	cfg.hotplug_bytes = HVO_SECTION_FRAMES * HVO_FRAME_SIZE;
	rig_open(&c->r, platform, &cfg);
	c->r.quiet = true;
	c->pool = rig_pool_new(&c->r, 9);
	/* A few to a block, so that there is memory to the end. */
	for (i = 0; i < FAILURES; i++)
		c->bad[i] = 32768 + rig_random(&seed) % 50 * 512 + rig_random(&seed) % 512;
	watch_begin(&w, &c->r);
	for (i = 0; i < WORKERS; i++)
		crew_add(&crew, work[i], c);
	crew_go(&crew);
	for (i = 0; i < FAILURES; i++) {
		int rc = hvo_memory_failure(c->r.m, c->bad[i]);

		assert_true(!rc || rc == -HVO_EBUSY || rc == -HVO_ENOMEM);
	}
	__atomic_store_n(&c->stop, true, __ATOMIC_RELEASE);
	crew_join(&crew);
	watch_end(&w);
	hvo_work(c->r.m, UINT64_MAX, NULL);
	rig_audit(&c->r);
	rig_resize(c->pool, ANY, 0);
	hvo_work(c->r.m, UINT64_MAX, NULL);
	for (i = 0; i < FAILURES; i++)
		assert_int_equal(hvo_memory_failure(c->r.m, c->bad[i]), 0);
	hog_all(&c->r, &hog, 0, false);
	for (i = 0; i < hog.nr; i++)
		for (k = 0; k < FAILURES; k++)
			assert_false(c->bad[k] - hog.blocks[i].pfn <
				     UINT64_C(1) << hog.blocks[i].order);
	rig_audit(&c->r);
	hog_release(&c->r, &hog, UINT64_MAX);
	rig_close(&c->r);
	free(c);
}

static void test_together(void **state)
{
	(void)state;
	together(RIG_SIM, HVO_ON_DEMAND);
	together(RIG_SIM, HVO_LINUX);
	together(RIG_LINUX, HVO_ON_DEMAND);
	together(RIG_LINUX, HVO_LINUX);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_promised),
		cmocka_unit_test(test_surplus_promised),
		cmocka_unit_test(test_promised_while_folding),
		cmocka_unit_test(test_carve_watched),
		cmocka_unit_test(test_move_in_between),
		cmocka_unit_test(test_all_moments),
		cmocka_unit_test(test_all_moments_linux),
		cmocka_unit_test(test_all_moments_cleared),
		cmocka_unit_test(test_moments),
		cmocka_unit_test(test_together),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
