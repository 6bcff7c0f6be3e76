// SPDX-License-Identifier: MIT
/*
 * Huge pages that move: a place in the pool to move to, a page that takes a free one's place, and
 * what the pool's scope asks for on the way (scope.c).
 *
 *	to a page that is in the scope		that one is folded
 *	to one that is not, but folded		that one is restored
 *	to a new one that is not		the old one is restored, since it leaves the pool
 *
 * Restoring comes before anything moves, so a page that cannot be restored stays where it is.
 *
 * Locks: the memmap lock; the pool's lock for lists and counters.
 * Linux: mm/hugetlb.c, alloc_hugetlb_folio_nodemask(), alloc_and_dissolve_hugetlb_folio(),
 * move_hugetlb_state().
 */
#include "pool_move.h"

#include "alloc.h"
#include "base.h"
#include "fold.h"
#include "lock.h"
#include "optimize.h"
#include "page.h"
#include "pool.h"
#include "pool_leave.h"
#include "scope.h"

/* ---- pages that stay in the pool ------------------------------------------------------------ */

/*
 * Restore a page that stays in the pool, and that nobody can take out of the pool meanwhile. Frames
 * come by the first step of the policy, as for a demotion: nothing can be carved out of a page in
 * use, and a move does not wait for ever.
 */
static int restore_in_place(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	const struct hvo_restore_step *step = &pool->policy.steps[0];
	struct hvo_machine *m = pool->m;
	uint64_t missing;

	lock_assert_held(m, &m->memmap_lock);
	if (step->source != HVO_RESTORE_ALLOC ||
	    !vmemmap_restore(m, &pfn, 1, pool->order, step, &missing)) {
		hugetlb_move_refused(pool);
		return -HVO_ENOMEM;
	}
	lock_acquire(m, &pool->lock);
	HVO_ASSERT(m, hugetlb_node(pool, pfn)->optimized, POOL_4, "none is folded", pfn);
	hugetlb_node(pool, pfn)->optimized--;
	pool->move_restores++;
	lock_release(m, &pool->lock);
	return 0;
}

void hugetlb_fold_in_place(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	struct hvo_machine *m = pool->m;

	lock_assert_held(m, &m->memmap_lock);
	if (page_optimized(m, pfn) || section_of(m, pfn)->self_hosted)
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

	lock_assert_held(m, &m->memmap_lock);
	*ret_restored = false;
	if (!hugetlb_scope_follows(pool))
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

/*
 * Bring a free page, and the new page that is to take its place, in line with the scope. Memmap
 * lock held. -HVO_ENOMEM: nothing changed.
 */
static int scope_replace(struct hvo_pool *pool, hvo_pfn_t fresh, hvo_pfn_t pfn)
{
	struct hvo_machine *m = pool->m;
	bool free;
	int rc;

	lock_assert_held(m, &m->memmap_lock);
	if (!hugetlb_scope_follows(pool) || hugetlb_in_scope(pool, fresh))
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

/* ---- a place to move to --------------------------------------------------------------------- */

static int populate_page(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	return pool->m->ops->populate(pool->m->ctx, pfn, UINT64_C(1) << pool->order);
}

/*
 * Allocate a page, folded if folding is on, in no counter. Folding is the last
 * step, so that no error has to undo it.
 */
static int fresh_page(struct hvo_pool *pool, unsigned int gfp, int node, bool populate,
		      hvo_pfn_t *ret)
{
	hvo_pfn_t pfn = 0;
	int rc;

	lock_assert_held(pool->m, &pool->m->memmap_lock);
	rc = hugetlb_alloc_fresh(pool, gfp | GFP_ISOLATING, node, &pfn);
	if (rc)
		return rc;
	rc = populate ? populate_page(pool, pfn) : 0;
	if (rc) {
		free_block(pool->m, pfn, pool->order);
		return rc;
	}
	pool->batch[0] = pfn;
	hugetlb_fold_batch(pool, 1);
	*ret = pfn;
	return 0;
}

/*
 * Free a new page that is not needed; a page that cannot be restored is surplus.
 */
static void give_fresh_back(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	struct hvo_resize_result res = { 0 };
	struct page_list list = { 0 };

	lock_assert_held(pool->m, &pool->m->memmap_lock);
	page_list_add(pool->m, &list, pfn);
	hugetlb_leave_list(pool, &list, &res);
}

int hugetlb_get_target(struct hvo_pool *pool, unsigned int where, int node, hvo_pfn_t *ret,
		       bool *ret_fresh)
{
	struct hvo_machine *m = pool->m;
	hvo_pfn_t pfn = HVO_PFN_NONE;
	bool soon;
	int rc;

	lock_assert_held(m, &m->memmap_lock);
	/* Wait for no isolated page: the caller may have isolated it. */
	lock_acquire(m, &pool->lock);
	if (hugetlb_sound_free(pool) > pool->reserved)
		pfn = hugetlb_dequeue_sound(pool, where, node, &soon);
	lock_release(m, &pool->lock);
	*ret_fresh = pfn == HVO_PFN_NONE;
	rc = *ret_fresh ? fresh_page(pool, where, node, true, &pfn) : populate_page(pool, pfn);
	if (rc && !*ret_fresh)
		hugetlb_put_target(pool, pfn, false);
	if (rc)
		return rc;
	if (*ret_fresh) {
		lock_acquire(m, &pool->lock);
		hugetlb_account(pool, pfn, 0);
		hugetlb_node(pool, pfn)->incoming++;
		page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_HUGETLB_USED, pool->order);
		lock_release(m, &pool->lock);
	}
	*ret = pfn;
	return 0;
}

void hugetlb_put_target(struct hvo_pool *pool, hvo_pfn_t pfn, bool fresh)
{
	lock_assert_held(pool->m, &pool->m->memmap_lock);
	lock_acquire(pool->m, &pool->lock);
	if (fresh) {
		HVO_ASSERT(pool->m, hugetlb_node(pool, pfn)->incoming, POOL_6, "none is incoming",
			   pfn);
		hugetlb_node(pool, pfn)->incoming--;
		hugetlb_remove_used(pool, pfn, 0);
	} else {
		hugetlb_enqueue(pool, pfn);
	}
	lock_release(pool->m, &pool->lock);
	if (fresh)
		give_fresh_back(pool, pfn);
}

void hugetlb_leave_target(struct hvo_pool *pool, hvo_pfn_t pfn, bool fresh)
{
	lock_acquire(pool->m, &pool->lock);
	/* The page is surplus from now on, so it leaves the pool when it is freed. */
	hugetlb_node(pool, pfn)->incoming -= fresh;
	hugetlb_node(pool, pfn)->surplus += fresh;
	lock_release(pool->m, &pool->lock);
}

void hugetlb_migrated(struct hvo_pool *pool, hvo_pfn_t dst, hvo_pfn_t src, bool fresh)
{
	hugetlb_put(pool, src, false, fresh ? dst : HVO_PFN_NONE);
}

int hugetlb_replace_locked(struct hvo_pool *pool, unsigned int where, hvo_pfn_t pfn)
{
	struct hvo_resize_result res = { 0 };
	struct hvo_machine *m = pool->m;
	hvo_pfn_t fresh = 0;
	uint64_t missing;
	bool free;
	int rc;

	lock_assert_held(m, &pool->lock);
	lock_assert_held(m, &m->memmap_lock);
	lock_release(m, &pool->lock);
	rc = fresh_page(pool, where, zone_of(m, pfn)->node, false, &fresh);
	if (rc)
		return rc;
	rc = scope_replace(pool, fresh, pfn);
	if (rc) {
		give_fresh_back(pool, fresh);
		return rc;
	}
	lock_acquire(m, &pool->lock);
	/* Look again: allocating and freeing need no memmap lock. */
	free = hvo_page_state(page_ro(m, pfn)) == HVO_PAGE_HUGETLB_FREE;
	if (free) {
		hugetlb_hand_over(hugetlb_node(pool, pfn), hugetlb_node(pool, fresh));
		hugetlb_remove(pool, pfn, 0);
		hugetlb_account(pool, fresh, 0);
		hugetlb_enqueue(pool, fresh);
	}
	lock_release(m, &pool->lock);
	if (!free) {
		give_fresh_back(pool, fresh);
		return -HVO_EBUSY;
	}
	if (hugetlb_restore_one(pool, pfn, &res, &missing))
		return 0;
	hugetlb_refuse(pool, pfn, missing, 1);
	return -HVO_EBUSY;
}
