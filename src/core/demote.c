// SPDX-License-Identifier: MIT
/*
 * Demotion: a free huge page becomes many smaller ones of another pool.
 *
 * The head pages of the parts are there already in on-demand mode, so each part
 * gets a head descriptor and a fold byte and nothing else. Linux mode restores the
 * pages as a whole and folds the parts anew, as the kernel does (4095 frames for a
 * 1 GiB page); or, by HVO_POLICY_DEMOTE_HEADS, just the head pages that the parts need
 * (511), and what was folded stays folded.
 *
 * States: HUGETLB_FREE -> TAKEN, parts TAIL -> TAKEN -> HUGETLB_FREE of the other pool.
 * Nobody holds a reference on any of them meanwhile, so readers find none to take.
 * Locks: the memmap lock throughout; each pool's lock for its own list, never both.
 * Linux: mm/hugetlb.c, demote_pool_huge_page(), demote_free_hugetlb_folios().
 */
#include "base.h"
#include "lock.h"
#include "optimize.h"
#include "page.h"
#include "pool.h"
#include "pool_leave.h"
#include "scope.h"

struct demote {
	struct hvo_pool *pool, *target;
	uint64_t nodes, done;
	/* Pages of the node that are demoted now left it; so many ceased to count as surplus. */
	struct pool_node *node;
	uint64_t dropped;
};

static bool has_free(const struct pool_node *n)
{
	return n->free_list;
}

/* The pool that takes the parts: the one that was set, else the next smaller. */
static struct hvo_pool *demote_target(struct hvo_pool *pool)
{
	unsigned int order = pool->order;
	struct hvo_pool *target = NULL;

	lock_assert_held(pool->m, &pool->m->memmap_lock);
	if (pool->demote_order)
		return pool_of_order(pool->m, pool->demote_order);
	while (!target && order > HVO_PAGEBLOCK_ORDER)
		target = pool_of_order(pool->m, --order);
	return target;
}

/* Split a page in state TAKEN, and let its parts join the target pool. */
static void split_huge(struct demote *d, hvo_pfn_t pfn)
{
	struct hvo_machine *m = d->pool->m;
	uint8_t folded = fold_byte(m, pb_of(pfn)) & HVO_FOLDED;
	uint16_t flags =
		page_flags(page_ro(m, pfn)) & (HVO_PF_OPTIMIZED | HVO_PF_AT_BOOT | HVO_PF_CMA);
	hvo_pfn_t end = pfn + (UINT64_C(1) << d->pool->order);
	struct hvo_pool *target = d->target;
	unsigned int nr = 0;

	lock_assert_held(m, &m->memmap_lock);
	for (; pfn < end; pfn += UINT64_C(1) << target->order) {
		struct hvo_page *page = page_rw(m, pfn);

		page_set_state(m, pfn, page, HVO_PAGE_TAKEN, target->order);
		page_set_flags(page, flags);
		fold_set(m, pfn, target->order, (uint8_t)(target->order | folded));
		target->batch[nr++] = pfn;
	}
	if (!(flags & HVO_PF_OPTIMIZED))
		hugetlb_fold_batch(target, nr);
	hugetlb_add_batch(target, nr);
	d->done++;
}

/* Put pages back into the pool that they came from; the first one could not be restored. */
static void put_back(struct demote *d, struct page_list *list, uint64_t missing)
{
	struct hvo_pool *pool = d->pool;
	struct hvo_machine *m = pool->m;
	hvo_pfn_t pfn = page_list_pop(m, list);
	struct pool_node *n = d->node;

	lock_assert_held(m, &m->memmap_lock);
	if (pfn == HVO_PFN_NONE)
		return;
	hugetlb_refuse(pool, pfn, missing, 0);
	lock_acquire(m, &pool->lock);
	while ((pfn = page_list_pop(m, list)) != HVO_PFN_NONE) {
		hugetlb_account(pool, pfn, 0);
		hugetlb_enqueue(pool, pfn);
	}
	n->surplus = min_u64(n->surplus + d->dropped, n->total - n->incoming);
	lock_release(m, &pool->lock);
}

static bool restore(struct demote *d, hvo_pfn_t pfn, uint64_t *ret_missing)
{
	const struct hvo_restore_step *step = &d->pool->policy.steps[0];
	struct hvo_machine *m = d->pool->m;

	*ret_missing = 0;
	if (!page_optimized(m, pfn))
		return true;
	if (step->source != HVO_RESTORE_ALLOC)
		return false;
	if (d->pool->policy.flags & HVO_POLICY_DEMOTE_HEADS && hvo_optimize(m) &&
	    hugetlb_in_scope(d->target, pfn))
		return vmemmap_restore_heads(m, pfn, d->pool->order, d->target->order, step,
					     ret_missing);
	return vmemmap_restore(m, &pfn, 1, d->pool->order, step, ret_missing);
}

/*
 * Restore all pages, then split all that could be restored. That is Linux's order, which decides
 * how many can be demoted when memory is short.
 */
static int demote_list(struct demote *d, struct page_list *list)
{
	struct hvo_machine *m = d->pool->m;
	uint64_t missing = 0, ready = 0;
	uint32_t at = list->first;

	lock_assert_held(m, &m->memmap_lock);
	for (; at && restore(d, pb_pfn(pb_of_link(at)), &missing); ready++)
		at = page_ro(m, pb_pfn(pb_of_link(at)))->next;
	while (ready--)
		split_huge(d, page_list_pop(m, list));
	put_back(d, list, missing);
	return at ? -HVO_ENOMEM : 0;
}

/* Sound free pages of one node leave the pool. */
static void dequeue_sound(struct demote *d, struct pool_node *n, uint64_t max,
			  struct page_list *list)
{
	struct hvo_machine *m = d->pool->m;
	uint32_t at = n->free_list, next;
	uint64_t surplus;

	lock_assert_held(m, &d->pool->lock);
	for (; at && list->nr < max; at = next) {
		hvo_pfn_t pfn = pb_pfn(pb_of_link(at));

		next = page_ro(m, pfn)->next;
		if (page_poisoned(m, pfn))
			continue;
		hugetlb_remove(d->pool, pfn, 0);
		page_list_add(m, list, pfn);
	}
	/* No node has more surplus pages than pages, whoever looks. */
	surplus = min_u64(n->surplus, n->total - n->incoming);
	d->node = n;
	d->dropped = n->surplus - surplus;
	n->surplus = surplus;
}

/* Count the free pages, of one node or of all, that may be demoted. */
static uint64_t available(const struct demote *d)
{
	struct hvo_pool *pool = d->pool;
	uint64_t free = POOL_SUM(pool, free), of_nodes = 0;
	uint32_t n;

	lock_assert_held(pool->m, &pool->lock);
	for (n = 0; n < pool->m->cfg.nr_nodes; n++)
		if (d->nodes >> n & 1)
			of_nodes += pool->nodes[n].free;
	free = free > pool->reserved ? free - pool->reserved : 0;
	return free < of_nodes ? free : of_nodes;
}

/* Demote some pages. 1: some were demoted; 0: none is left; -HVO_EBUSY: all left are poisoned. */
static int demote_some(struct demote *d, uint64_t want)
{
	struct hvo_pool *pool = d->pool;
	struct page_list list = { 0 };
	struct pool_node *n;
	uint64_t max, sound;
	unsigned int left;

	lock_assert_held(pool->m, &pool->m->memmap_lock);
	lock_acquire(pool->m, &pool->lock);
	max = available(d);
	sound = hugetlb_sound_free(pool);
	if (!max || sound <= pool->reserved) {
		lock_release(pool->m, &pool->lock);
		return max ? -HVO_EBUSY : 0;
	}
	max = min_u64(max, min_u64(want, sound - pool->reserved));
	/* Nodes in turn; one whose free pages are all poisoned gives none. */
	for (left = nr_of_nodes(d->nodes); left && !list.nr; left--) {
		n = hugetlb_next_node(pool, &pool->next_free, d->nodes, has_free);
		if (n)
			dequeue_sound(d, n, max, &list);
	}
	lock_release(pool->m, &pool->lock);
	if (!list.nr)
		return -HVO_EBUSY;
	return demote_list(d, &list) ? -HVO_ENOMEM : 1;
}

int hvo_pool_demote(struct hvo_pool *pool, int node, uint64_t nr, uint64_t *ret_done)
{
	struct demote d = { .pool = pool };
	struct hvo_machine *m;
	int rc = pool_check(pool, node);

	if (rc || !ret_done)
		return rc ? rc : -HVO_EINVAL;
	m = pool->m;
	d.nodes = node >= 0 ? UINT64_C(1) << node : all_nodes(m);
	lock_acquire(m, &m->memmap_lock);
	d.target = demote_target(pool);
	if (!d.target) {
		lock_release(m, &m->memmap_lock);
		return -HVO_EINVAL;
	}
	for (rc = 1; d.done < nr && rc > 0;)
		rc = demote_some(&d, nr - d.done);
	lock_release(m, &m->memmap_lock);
	*ret_done = d.done;
	return rc < 0 ? rc : 0;
}

int hvo_pool_demote_order(struct hvo_pool *pool)
{
	int rc = pool_check(pool, HVO_NODE_ANY);
	const struct hvo_pool *target;

	if (rc)
		return rc;
	lock_acquire(pool->m, &pool->m->memmap_lock);
	target = demote_target(pool);
	rc = target ? (int)target->order : 0;
	lock_release(pool->m, &pool->m->memmap_lock);
	return rc;
}

int hvo_pool_set_demote_order(struct hvo_pool *pool, unsigned int order)
{
	int rc = pool_check(pool, HVO_NODE_ANY);

	if (rc)
		return rc;
	if (order >= pool->order || !pool_of_order(pool->m, order))
		return -HVO_EINVAL;
	lock_acquire(pool->m, &pool->m->memmap_lock);
	pool->demote_order = order;
	lock_release(pool->m, &pool->m->memmap_lock);
	return 0;
}
