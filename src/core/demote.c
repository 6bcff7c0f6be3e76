// SPDX-License-Identifier: MIT
/*
 * Demotion: a free huge page becomes many smaller ones of another pool.
 *
 * The head pages of the parts are there already in on-demand mode, so each part
 * gets a head descriptor and a fold byte and nothing else. Linux mode restores the
 * page as a whole and folds the parts anew, as the kernel does.
 *
 * States: HUGETLB_FREE -> USED, parts TAIL -> USED -> HUGETLB_FREE of the other pool.
 * Nobody holds a reference on any of them meanwhile, so readers find none to take.
 * Locks: the memmap lock throughout; each pool's lock for its own list, never both.
 * Linux: mm/hugetlb.c, demote_pool_huge_page(), demote_free_hugetlb_folios().
 */
#include "hugetlb.h"
#include "lock.h"
#include "page.h"
#include "vmemmap.h"

static bool has_free(const struct pool_node *n)
{
	return n->free_list;
}

/* The pool that takes the parts: the one that was set, else the next smaller. */
static struct hvo_pool *demote_target(struct hvo_pool *pool)
{
	struct hvo_pool *best = NULL;
	unsigned int i;

	if (pool->demote_order)
		return hvo_pool_find(pool->m, pool->demote_order);
	for (i = 0; i < HVO_MAX_POOLS; i++) {
		struct hvo_pool *p = &pool->m->pools[i];

		if (p->order && p->order < pool->order && (!best || p->order > best->order))
			best = p;
	}
	return best;
}

static bool restore_for_demote(struct hvo_pool *pool, hvo_pfn_t pfn, uint64_t *ret_missing)
{
	const struct hvo_restore_step *step = &pool->policy.steps[0];

	if (!(page_ro(pool->m, pfn)->flags & HVO_PF_OPTIMIZED))
		return true;
	return step->source == HVO_RESTORE_ALLOC &&
	       vmemmap_restore(pool->m, &pfn, 1, pool->order, step, ret_missing);
}

/* The page's parts, in state USED, join the target pool. */
static void split_huge(struct hvo_pool *pool, struct hvo_pool *target, hvo_pfn_t pfn)
{
	uint8_t folded = hvo_fold_byte(&pool->m->mm, block_of(pfn)) & HVO_FOLDED;
	hvo_pfn_t end = pfn + (UINT64_C(1) << pool->order);
	struct hvo_machine *m = pool->m;
	unsigned int nr = 0;

	for (; pfn < end; pfn += UINT64_C(1) << target->order) {
		page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_USED, target->order);
		fold_set(m, pfn, target->order, (uint8_t)(target->order | folded));
		target->batch[nr++] = pfn;
	}
	hugetlb_join(target, nr);
}

/* 1: done, 0: no free page, -HVO_ENOMEM: could not be restored, as before. */
static int demote_one(struct hvo_pool *pool, struct hvo_pool *target, int node)
{
	struct hvo_machine *m = pool->m;
	struct pool_node *n;
	uint64_t missing = 0;
	hvo_pfn_t pfn;

	lock_acquire(m, &pool->lock);
	n = hugetlb_next_node(pool, node, has_free);
	if (!n) {
		lock_release(m, &pool->lock);
		return 0;
	}
	pfn = hugetlb_take_free(pool, n);
	lock_release(m, &pool->lock);
	if (!restore_for_demote(pool, pfn, &missing)) {
		hugetlb_refuse(pool, pfn, missing, 0);
		return -HVO_ENOMEM;
	}
	/* A page that was surplus goes as one: there is one less of both. */
	lock_acquire(m, &pool->lock);
	if (n->surplus > n->total)
		n->surplus = n->total;
	lock_release(m, &pool->lock);
	split_huge(pool, target, pfn);
	return 1;
}

int hvo_pool_demote(struct hvo_pool *pool, int node, uint64_t nr, uint64_t *ret_done)
{
	struct hvo_machine *m;
	struct hvo_pool *target;
	uint64_t done = 0;
	int rc = 1;

	if (!pool || !ret_done || node < HVO_NODE_ANY)
		return -HVO_EINVAL;
	m = pool->m;
	if (machine_gone(m))
		return -HVO_ENODEV;
	if (node >= (int)m->cfg.nr_nodes)
		return -HVO_EINVAL;
	lock_acquire(m, &m->memmap_lock);
	target = demote_target(pool);
	if (!target) {
		lock_release(m, &m->memmap_lock);
		return -HVO_EINVAL;
	}
	while (done < nr) {
		rc = demote_one(pool, target, node);
		if (rc <= 0)
			break;
		done++;
	}
	lock_release(m, &m->memmap_lock);
	*ret_done = done;
	return rc < 0 ? rc : 0;
}

int hvo_pool_set_demote_order(struct hvo_pool *pool, unsigned int order)
{
	if (!pool)
		return -HVO_EINVAL;
	if (machine_gone(pool->m))
		return -HVO_ENODEV;
	if (order >= pool->order || !hvo_pool_find(pool->m, order))
		return -HVO_EINVAL;
	lock_acquire(pool->m, &pool->m->memmap_lock);
	pool->demote_order = order;
	lock_release(pool->m, &pool->m->memmap_lock);
	return 0;
}
