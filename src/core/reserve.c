// SPDX-License-Identifier: MIT
/*
 * Reservations, and the surplus pages that back them when the pool is too small.
 *
 *	reserve		free - reserved >= nr, else surplus pages are allocated for it
 *	use up		hvo_pool_alloc_reserved() in hugetlb.c
 *	unreserve	surplus pages that are free leave with the promise
 *
 * free >= reserved holds throughout, but for pages whose memory failed meanwhile.
 *
 * States: FREE -> TAKEN, accounted and on nobody's list, -> HUGETLB_FREE or _USED.
 * Locks: the memmap lock while pages come or go; the pool's lock for the counters.
 * Linux: mm/hugetlb.c, hugetlb_acct_memory(), gather_surplus_pages(),
 * return_unused_surplus_pages(), alloc_surplus_hugetlb_folio().
 */
#include "reserve.h"

#include "base.h"
#include "lock.h"
#include "pool.h"
#include "pool_leave.h"

/* How many more surplus pages are allowed. */
static uint64_t overcommit_room(struct hvo_pool *pool)
{
	uint64_t surplus, room;

	lock_acquire(pool->m, &pool->lock);
	surplus = POOL_SUM(pool, surplus);
	room = pool->overcommit > surplus ? pool->overcommit - surplus : 0;
	lock_release(pool->m, &pool->lock);
	return room;
}

/* Allocate up to @want pages, fold them together, account them as surplus, and list them. */
static unsigned int gather_batch(struct hvo_pool *pool, unsigned int gfp, int node, uint64_t want,
				 struct page_list *list)
{
	uint64_t room = overcommit_room(pool);
	struct hvo_machine *m = pool->m;
	unsigned int nr, i;

	lock_assert_held(m, &m->memmap_lock);
	want = want < room ? want : room;
	for (nr = 0; nr < BATCH && nr < want; nr++) {
		if (hugetlb_alloc_fresh(pool, gfp, node, &pool->batch[nr]))
			break;
		page_list_add(m, list, pool->batch[nr]);
	}
	hugetlb_fold_batch(pool, nr);
	lock_acquire(m, &pool->lock);
	for (i = 0; i < nr; i++)
		hugetlb_account(pool, pool->batch[i], 1);
	lock_release(m, &pool->lock);
	return nr;
}

int hugetlb_alloc_surplus(struct hvo_pool *pool, unsigned int gfp, int node, hvo_pfn_t *ret)
{
	struct page_list list = { 0 };

	lock_assert_held(pool->m, &pool->m->memmap_lock);
	if (!gather_batch(pool, gfp, node, 1, &list))
		return -HVO_ENOMEM;
	*ret = page_list_pop(pool->m, &list);
	return 0;
}

/* Let pages that were gathered in vain leave, unless others left in their place meanwhile. */
static void give_up(struct hvo_pool *pool, struct page_list *list)
{
	struct hvo_resize_result res = { 0 };
	struct hvo_machine *m = pool->m;
	struct page_list gone = { 0 };
	hvo_pfn_t pfn;

	lock_assert_held(m, &m->memmap_lock);
	lock_acquire(m, &pool->lock);
	while ((pfn = page_list_pop(m, list)) != HVO_PFN_NONE) {
		if (!hugetlb_node(pool, pfn)->surplus) {
			hugetlb_enqueue(pool, pfn);
			continue;
		}
		hugetlb_remove_used(pool, pfn, 1);
		page_list_add(m, &gone, pfn);
	}
	lock_release(m, &pool->lock);
	hugetlb_leave_list(pool, &gone, &res);
}

/* Gather surplus pages on @list until there are enough. Pool lock held, dropped on the way. */
static int gather(struct hvo_pool *pool, int node, uint64_t nr, struct page_list *list)
{
	struct hvo_machine *m = pool->m;
	uint64_t have;
	unsigned int got;

	lock_assert_held(m, &pool->lock);
	lock_assert_held(m, &m->memmap_lock);
	while ((have = hugetlb_sound_free(pool) + list->nr) < pool->reserved + nr) {
		uint64_t needed = pool->reserved + nr - have;

		lock_release(m, &pool->lock);
		got = gather_batch(pool, 0, node, needed, list);
		lock_acquire(m, &pool->lock);
		if (!got)
			return -HVO_ENOMEM;
	}
	return 0;
}

int hvo_pool_reserve(struct hvo_pool *pool, int node, uint64_t nr)
{
	struct page_list list = { 0 };
	struct hvo_machine *m;
	uint64_t needed;
	hvo_pfn_t pfn;
	int rc = pool_check(pool, node);

	if (rc)
		return rc;
	m = pool->m;
	if (nr > m->mm.nr_frames >> pool->order)
		return -HVO_ENOMEM;
	lock_acquire(m, &m->memmap_lock);
	lock_acquire(m, &pool->lock);
	rc = gather(pool, node, nr, &list);
	if (!rc) {
		pool->reserved += nr;
		/* Count again: pages may have been freed meanwhile. */
		needed = hugetlb_sound_free(pool);
		needed = pool->reserved > needed ? pool->reserved - needed : 0;
		for (; needed && (pfn = page_list_pop(m, &list)) != HVO_PFN_NONE; needed--)
			hugetlb_enqueue(pool, pfn);
	}
	lock_release(m, &pool->lock);
	give_up(pool, &list);
	lock_release(m, &m->memmap_lock);
	return rc;
}

int hvo_pool_unreserve(struct hvo_pool *pool, uint64_t nr)
{
	struct hvo_resize_result res = { 0 };
	struct page_list list = { 0 };
	struct pool_node *n;
	struct hvo_machine *m;
	uint64_t left;
	int rc = pool_check(pool, HVO_NODE_ANY);

	if (rc)
		return rc;
	m = pool->m;
	rc = -HVO_EINVAL;
	lock_acquire(m, &m->memmap_lock);
	lock_acquire(m, &pool->lock);
	if (nr <= pool->reserved) {
		rc = 0;
		pool->reserved -= nr;
		/* Pages with failed frames may leave now. */
		if (POOL_SUM(pool, poisoned_free))
			work_wanted(m);
		left = min_u64(min_u64(nr, POOL_SUM(pool, surplus)), hugetlb_spare(pool));
		for (; left; left--) {
			n = hugetlb_next_node(pool, &pool->next_free, all_nodes(m),
					      hugetlb_has_free_surplus);
			if (!n)
				break;
			hugetlb_remove_to(pool, n, 1, &list);
		}
	}
	lock_release(m, &pool->lock);
	hugetlb_leave_list(pool, &list, &res);
	lock_release(m, &m->memmap_lock);
	return rc;
}

int hvo_pool_set_overcommit(struct hvo_pool *pool, uint64_t nr)
{
	int rc = pool_check(pool, HVO_NODE_ANY);
	struct hvo_machine *m;

	if (rc)
		return rc;
	m = pool->m;
	/* Under the memmap lock nobody is between asking for room and using it. */
	lock_acquire(m, &m->memmap_lock);
	lock_acquire(m, &pool->lock);
	pool->overcommit = nr;
	lock_release(m, &pool->lock);
	lock_release(m, &m->memmap_lock);
	return 0;
}
