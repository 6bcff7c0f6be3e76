// SPDX-License-Identifier: MIT
/*
 * Which pages of a pool are folded, in Linux mode: scopes, as data.
 *
 * Where each decision of a scope is asked for:
 *	a page joins a pool			hugetlb_fold_batch(), demote.c
 *	present pages are folded		hvo_pool_optimize()
 *	where new pages come from		pool.c, resize.c
 *	a page in use, or a free one, makes room for somebody: migrate.c, hugetlb_replace_locked()
 *
 * A scope that follows (SCOPE_FOLLOW) is kept where a page moves: pool_move.c.
 *
 * Locks: the memmap lock; the pool's lock for counters and for pages on its list.
 * Linux: nothing of it was merged. The series of 2021 discussed each of them; the nearest is
 * hugepage_migration_supported() with htlb_alloc_mask(), mm/hugetlb.c.
 */
#include "scope.h"

#include "base.h"
#include "lock.h"
#include "page.h"

#define SCOPE_BOOT 0x1u	  /* fold only pages reserved at boot */
#define SCOPE_NORMAL 0x2u /* fold only pages in NORMAL */
#define SCOPE_FOLLOW 0x4u /* keep to that where a page moves */
#define SCOPE_STAY 0x8u	  /* with HVO on: pages come from NORMAL only, and never move */

static const struct {
	const char *name;
	unsigned int flags;
} scopes[] = {
	[HVO_FOLD_ALL] = { "all", 0 },
	[HVO_FOLD_BOOT] = { "boot", SCOPE_BOOT },
	[HVO_FOLD_NORMAL] = { "normal", SCOPE_NORMAL | SCOPE_FOLLOW },
	[HVO_FOLD_UNMOVABLE] = { "unmovable", SCOPE_NORMAL | SCOPE_STAY },
};

#define NR_SCOPES (sizeof(scopes) / sizeof(scopes[0]))

static unsigned int scope_flags(const struct hvo_pool *pool)
{
	return scopes[__atomic_load_n(&pool->scope, __ATOMIC_RELAXED)].flags;
}

/* ---- the switch ----------------------------------------------------------------------------- */

bool hvo_optimize(const struct hvo_machine *m)
{
	return !machine_gone(m) && __atomic_load_n(&m->optimize, __ATOMIC_RELAXED);
}

int hvo_set_optimize(struct hvo_machine *m, bool on)
{
	if (machine_gone(m))
		return -HVO_ENODEV;
	__atomic_store_n(&m->optimize, on, __ATOMIC_RELAXED);
	return 0;
}

/* ---- what they say -------------------------------------------------------------------------- */

bool hugetlb_in_scope(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	unsigned int flags = scope_flags(pool);

	if (flags & SCOPE_BOOT && !(page_flags(page_ro(pool->m, pfn)) & HVO_PF_AT_BOOT))
		return false;
	return !(flags & SCOPE_NORMAL) || zone_of(pool->m, pfn)->type == HVO_ZONE_NORMAL;
}

bool hugetlb_scope_follows(const struct hvo_pool *pool)
{
	return scope_flags(pool) & SCOPE_FOLLOW;
}

bool hugetlb_stays(const struct hvo_pool *pool)
{
	return scope_flags(pool) & SCOPE_STAY && !on_demand(pool->m) && hvo_optimize(pool->m);
}

bool hugetlb_page_stays(struct hvo_machine *m, const struct hvo_page *page, unsigned int order)
{
	const struct hvo_pool *pool;

	if (hvo_page_state(page) != HVO_PAGE_HUGETLB_USED)
		return false;
	pool = pool_of_order(m, order);
	return pool && hugetlb_stays(pool);
}

void hugetlb_move_refused(struct hvo_pool *pool)
{
	counter_add(&pool->moves_refused, 1);
}

/* ---- the setting ---------------------------------------------------------------------------- */

const char *hvo_fold_scope_name(unsigned int scope)
{
	return scope < NR_SCOPES ? scopes[scope].name : NULL;
}

int hvo_pool_set_fold_scope(struct hvo_pool *pool, enum hvo_fold_scope scope)
{
	int rc = pool_check(pool, HVO_NODE_ANY);

	if (rc || (unsigned int)scope >= NR_SCOPES || on_demand(pool->m))
		return rc ? rc : -HVO_EINVAL;
	lock_acquire(pool->m, &pool->m->memmap_lock);
	__atomic_store_n(&pool->scope, (uint32_t)scope, __ATOMIC_RELAXED);
	lock_release(pool->m, &pool->m->memmap_lock);
	return 0;
}

int hvo_pool_fold_scope(struct hvo_pool *pool)
{
	int rc = pool_check(pool, HVO_NODE_ANY);

	if (rc || on_demand(pool->m))
		return rc ? rc : -HVO_EINVAL;
	return (int)__atomic_load_n(&pool->scope, __ATOMIC_RELAXED);
}
