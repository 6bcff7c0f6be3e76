// SPDX-License-Identifier: MIT
/*
 * Which pages of a pool are folded, in Linux mode: scopes, as data.
 *
 * What they decide, and where that is asked:
 *	a page joins a pool			hugetlb_fold_batch(), demote.c
 *	present pages are folded		hvo_hugetlb_optimize_pool()
 *	where new pages come from		resize.c
 *	a page in use, or a free one, makes room for somebody: migrate.c, hugetlb_replace_locked()
 *
 * A scope that follows (SCOPE_FOLLOW) is kept where a page moves:
 *
 *	to a page that is in the scope		that one is folded
 *	to one that is not, but folded		that one is restored
 *	to a new one that is not		the old one is restored, since it leaves the pool
 *
 * All of this comes before anything moves, so what cannot be restored stays where it is.
 *
 * Locks: the memmap lock; the pool's lock for counters and for pages on its list.
 * Linux: nothing of it was merged. The series of 2021 discussed each of them; the nearest is
 * hugepage_migration_supported() with htlb_alloc_mask(), mm/hugetlb.c.
 */
#include "hugetlb.h"

#include "lock.h"
#include "vmemmap.h"

#define SCOPE_BOOT 0x1u	  /* only what was reserved at boot */
#define SCOPE_NORMAL 0x2u /* only in NORMAL */
#define SCOPE_FOLLOW 0x4u /* so too where a page moves */
#define SCOPE_STAY 0x8u	  /* while the switch is on: none elsewhere, and none moves */

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

/* ---- what they say ----------------------------------------------------------------- */

bool hugetlb_in_scope(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	unsigned int flags = scope_flags(pool);

	if (flags & SCOPE_BOOT && !(page_flags(page_ro(pool->m, pfn)) & HVO_PF_AT_BOOT))
		return false;
	return !(flags & SCOPE_NORMAL) || zone_of(pool->m, pfn)->type == HVO_ZONE_NORMAL;
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
	pool = hvo_pool_find(m, order);
	return pool && hugetlb_stays(pool);
}

/* ---- moving ------------------------------------------------------------------------ */

void hugetlb_move_refused(struct hvo_pool *pool)
{
	lock_acquire(pool->m, &pool->lock);
	pool->moves_refused++;
	lock_release(pool->m, &pool->lock);
}

/*
 * The descriptors of a page that stays in the pool, and that nobody can take out of it
 * meanwhile. Frames come by the first step of the policy, as for a demotion: nothing can be
 * carved out of a page that is in use, and a move does not wait for ever.
 */
static int restore_in_place(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	const struct hvo_restore_step *step = &pool->policy.steps[0];
	struct hvo_machine *m = pool->m;
	uint64_t missing;

	if (step->source != HVO_RESTORE_ALLOC ||
	    !vmemmap_restore(m, &pfn, 1, pool->order, step, &missing)) {
		hugetlb_move_refused(pool);
		return -HVO_ENOMEM;
	}
	lock_acquire(m, &pool->lock);
	hugetlb_node(pool, pfn)->optimized--;
	pool->move_restores++;
	lock_release(m, &pool->lock);
	return 0;
}

void hugetlb_fold_in_place(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	struct hvo_machine *m = pool->m;

	if (page_optimized(m, pfn) || m->sections[pfn >> HVO_SECTION_ORDER].self_hosted)
		return;
	vmemmap_optimize(m, &pfn, 1, pool->order);
	lock_acquire(m, &pool->lock);
	hugetlb_node(pool, pfn)->optimized += page_optimized(m, pfn);
	lock_release(m, &pool->lock);
}

int hugetlb_scope_move(struct hvo_pool *pool, hvo_pfn_t dst, hvo_pfn_t src, bool fresh,
		       bool *ret_restored)
{
	struct hvo_machine *m = pool->m;
	int rc = 0;

	*ret_restored = false;
	if (!(scope_flags(pool) & SCOPE_FOLLOW))
		return 0;
	if (hugetlb_in_scope(pool, dst)) {
		if (hvo_optimize(m))
			hugetlb_fold_in_place(pool, dst);
		return 0;
	}
	if (page_optimized(m, dst))
		return restore_in_place(pool, dst);
	if (fresh && page_optimized(m, src)) {
		rc = restore_in_place(pool, src);
		*ret_restored = !rc;
	}
	return rc;
}

int hugetlb_scope_replace(struct hvo_pool *pool, hvo_pfn_t fresh, hvo_pfn_t pfn)
{
	struct hvo_machine *m = pool->m;
	bool free;
	int rc;

	if (!(scope_flags(pool) & SCOPE_FOLLOW) || hugetlb_in_scope(pool, fresh))
		return 0;
	lock_acquire(m, &pool->lock);
	free = hvo_page_state(page_ro(m, pfn)) == HVO_PAGE_HUGETLB_FREE && page_optimized(m, pfn);
	if (free)
		hugetlb_hide(pool, pfn);
	lock_release(m, &pool->lock);
	if (!free)
		return 0;
	rc = restore_in_place(pool, pfn);
	lock_acquire(m, &pool->lock);
	hugetlb_unhide(pool, pfn);
	lock_release(m, &pool->lock);
	return rc;
}

/* ---- the setting ------------------------------------------------------------------- */

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
