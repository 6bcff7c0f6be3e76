// SPDX-License-Identifier: MIT
/*
 * Huge pages in users' hands: taking one from a pool, giving it back, and folding those that were
 * present.
 *
 * States: HUGETLB_FREE -> HUGETLB_USED and back; a surplus page comes in state TAKEN.
 * Locks: the pool's lock; the memmap lock where a new page is wanted, or pages are folded.
 * Linux: mm/hugetlb.c, alloc_hugetlb_folio(), hugetlb_reserve_pages().
 */
#include "alloc.h"
#include "badframe.h"
#include "base.h"
#include "fold.h"
#include "last_ref.h"
#include "lock.h"
#include "optimize.h"
#include "page.h"
#include "pool.h"
#include "pool_leave.h"
#include "ref.h"
#include "reserve.h"
#include "scope.h"

#define WAIT_NS 1000

/* ---- to users and back ---------------------------------------------------------------------- */

/*
 * Get a page for a user, state HUGETLB_USED. @reserved: use one reservation up, so that a promised
 * page can be taken too.
 */
static int get_page(struct hvo_pool *pool, unsigned int gfp, int node, bool reserved,
		    hvo_pfn_t *ret)
{
	struct hvo_machine *m = pool->m;
	hvo_pfn_t pfn = HVO_PFN_NONE;
	bool soon, wait;
	int rc;

	for (;;) {
		soon = false;
		lock_acquire(m, &pool->lock);
		if (reserved && !pool->reserved) {
			lock_release(m, &pool->lock);
			return -HVO_EINVAL;
		}
		if (reserved || hugetlb_sound_free(pool) > pool->reserved)
			pfn = hugetlb_dequeue_sound(pool, gfp, node, &soon);
		if (pfn != HVO_PFN_NONE)
			break;
		wait = (pool->in_flight || soon) && gfp & HVO_GFP_RECLAIM;
		lock_release(m, &pool->lock);
		if (wait) {
			m->ops->sleep_ns(m->ctx, WAIT_NS);
			continue;
		}
		if (!(gfp & HVO_GFP_RECLAIM))
			return -HVO_ENOMEM;
		lock_acquire(m, &m->memmap_lock);
		rc = hugetlb_alloc_surplus(pool, gfp, node, &pfn);
		lock_release(m, &m->memmap_lock);
		if (rc)
			return rc;
		lock_acquire(m, &pool->lock);
		page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_HUGETLB_USED, pool->order);
		break;
	}
	if (reserved && pool->reserved)
		pool->reserved--;
	lock_release(m, &pool->lock);
	*ret = pfn;
	return 0;
}

static int alloc_page(struct hvo_pool *pool, unsigned int gfp, int node, bool reserved,
		      hvo_pfn_t *ret)
{
	hvo_pfn_t pfn = HVO_PFN_NONE;
	struct hvo_machine *m;
	int rc = pool_check(pool, node);

	if (rc || !ret || gfp & ~HVO_GFP_ALL)
		return rc ? rc : -HVO_EINVAL;
	m = pool->m;
	for (;;) {
		rc = get_page(pool, gfp, node, reserved, &pfn);
		if (rc)
			return rc;
		if (gfp & HVO_GFP_ZERO || m->cfg.clear == HVO_CLEAR_ON_ALLOC)
			rc = clear_frames(m, pfn, UINT64_C(1) << pool->order);
		if (!rc && !badframe_in_block(m, pfn, pool->order))
			break;
		hugetlb_put(pool, pfn, reserved, HVO_PFN_NONE);
		if (rc)
			return rc;
	}
	page_hand_out(page_rw(m, pfn), 0);
	*ret = pfn;
	return 0;
}

int hvo_pool_alloc(struct hvo_pool *pool, unsigned int gfp, int node, hvo_pfn_t *ret)
{
	return alloc_page(pool, gfp, node, false, ret);
}

int hvo_pool_alloc_reserved(struct hvo_pool *pool, unsigned int gfp, int node, hvo_pfn_t *ret)
{
	return alloc_page(pool, gfp, node, true, ret);
}

/* Is it the head of a huge page of this pool that somebody holds? */
static int check_used(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	const struct hvo_page *page;
	int rc = pool_check(pool, HVO_NODE_ANY);
	struct hvo_machine *m;

	if (rc)
		return rc;
	m = pool->m;
	if (pfn >= m->mm.nr_frames || pfn & ((UINT64_C(1) << pool->order) - 1))
		return -HVO_EINVAL;
	m->ops->read_lock(m->ctx);
	page = page_ro(m, pfn);
	if (fold_order(m, pfn) != pool->order || hvo_page_state(page) != HVO_PAGE_HUGETLB_USED)
		rc = -HVO_EINVAL;
	m->ops->read_unlock(m->ctx);
	return rc;
}

int hvo_pool_free(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	int rc = check_used(pool, pfn);

	return rc ? rc : hvo_put_page(pool->m, pfn);
}

int hvo_pool_free_reserved(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	int rc = check_used(pool, pfn);

	if (rc)
		return rc;
	rc = freeze_page(pool->m, pfn);
	if (rc)
		return rc;
	clear_freed(pool->m, pfn, UINT64_C(1) << pool->order);
	hugetlb_put(pool, pfn, true, HVO_PFN_NONE);
	return 0;
}

/* ---- folding what is present ---------------------------------------------------------------- */

/*
 * Collect up to BATCH present pages of the pool from *@pfn on, so that nobody can free or take
 * them: free ones go off their list, ones in use get a reference of the library.
 */
static unsigned int collect_present(struct hvo_pool *pool, hvo_pfn_t *pfn)
{
	uint64_t size = UINT64_C(1) << pool->order;
	struct hvo_machine *m = pool->m;
	unsigned int nr = 0;

	lock_assert_held(m, &m->memmap_lock);
	lock_acquire(m, &pool->lock);
	for (; *pfn < m->mm.nr_frames && nr < BATCH; *pfn += size) {
		const struct hvo_page *page = page_ro(m, *pfn);

		if (!frame_online(m, *pfn) || fold_byte(m, pb_of(*pfn)) != pool->order ||
		    section_of(m, *pfn)->self_hosted || !hugetlb_in_scope(pool, *pfn))
			continue;
		if (hvo_page_state(page) == HVO_PAGE_HUGETLB_FREE)
			hugetlb_hide(pool, *pfn);
		else if (hvo_page_state(page) != HVO_PAGE_HUGETLB_USED ||
			 hvo_get_page(m, *pfn, NULL))
			continue;
		pool->batch[nr++] = *pfn;
	}
	lock_release(m, &pool->lock);
	return nr;
}

static unsigned int fold_collected(struct hvo_pool *pool, unsigned int nr)
{
	struct hvo_machine *m = pool->m;
	unsigned int i, folded;

	lock_assert_held(m, &m->memmap_lock);
	folded = vmemmap_optimize(m, pool->batch, nr, pool->order);
	lock_acquire(m, &pool->lock);
	for (i = 0; i < nr; i++) {
		struct pool_node *n = hugetlb_node(pool, pool->batch[i]);

		n->optimized += page_optimized(m, pool->batch[i]);
		if (hvo_page_state(page_ro(m, pool->batch[i])) != HVO_PAGE_TAKEN)
			continue;
		hugetlb_unhide(pool, pool->batch[i]);
		pool->batch[i] = HVO_PFN_NONE;
	}
	lock_release(m, &pool->lock);
	for (i = 0; i < nr; i++)
		if (pool->batch[i] != HVO_PFN_NONE)
			put_page_mapped(m, pool->batch[i]);
	return folded;
}

int hvo_pool_optimize(struct hvo_pool *pool, uint64_t *ret_done)
{
	struct hvo_machine *m;
	uint64_t done = 0;
	unsigned int nr, folded;
	hvo_pfn_t pfn = 0;
	int rc = pool_check(pool, HVO_NODE_ANY);

	if (rc)
		return rc;
	m = pool->m;
	lock_acquire(m, &m->memmap_lock);
	while (!on_demand(m) && !rc && (nr = collect_present(pool, &pfn))) {
		folded = fold_collected(pool, nr);
		done += folded;
		if (folded < nr)
			rc = -HVO_ENOMEM;
	}
	lock_release(m, &m->memmap_lock);
	if (ret_done)
		*ret_done = done;
	return rc;
}
