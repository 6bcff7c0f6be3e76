// SPDX-License-Identifier: MIT
/*
 * Pools of huge pages: growing and shrinking, per node and in all, their free
 * lists and counters, and what becomes of a huge page whose descriptors cannot be
 * restored.
 *
 * States of a huge page: HUGETLB_FREE on a pool's free list (refcount 0),
 * HUGETLB_USED in a user's hands, USED on its way in or out. HVO_PF_OPTIMIZED says
 * that Linux mode folded it; in on-demand mode every whole block is folded anyway,
 * and joining or leaving a pool costs nothing.
 *
 * Counters, as in Linux: total - surplus is the persistent number. A refused free
 * goes back to the free list and counts as surplus.
 *
 * Locks: the pool's lock for lists and counters; the memmap lock for resizing.
 * Linux: mm/hugetlb.c, set_max_huge_pages(), update_and_free_pages_bulk(),
 * bulk_vmemmap_restore_error(), free_huge_folio(), dequeue_hugetlb_folio_node_exact().
 */
#include "hugetlb.h"

#include "alloc.h"
#include "lock.h"
#include "page.h"
#include "sort.h"
#include "vmemmap.h"

#define NS_PER_MS UINT64_C(1000000)

static struct pool_node *pool_node_of(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	return &pool->nodes[zone_of(pool->m, pfn)->node];
}

/* ---- free lists; pool lock held --------------------------------------------- */

static void free_list_add(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	struct pool_node *n = pool_node_of(pool, pfn);
	struct hvo_machine *m = pool->m;
	struct hvo_page *page = page_rw(m, pfn);

	page_set_state(m, pfn, page, HVO_PAGE_HUGETLB_FREE, pool->order);
	page->prev = 0;
	page->next = n->free_list;
	if (page->next)
		page_rw(m, block_pfn(page->next - 1))->prev = (uint32_t)block_of(pfn) + 1;
	n->free_list = (uint32_t)block_of(pfn) + 1;
	n->free++;
}

static void free_list_del(struct hvo_pool *pool, struct pool_node *n, hvo_pfn_t pfn)
{
	struct hvo_machine *m = pool->m;
	struct hvo_page *page = page_rw(m, pfn);

	if (page->next)
		page_rw(m, block_pfn(page->next - 1))->prev = page->prev;
	if (page->prev)
		page_rw(m, block_pfn(page->prev - 1))->next = page->next;
	else
		n->free_list = page->next;
	page->next = 0;
	page->prev = 0;
	n->free--;
}

static hvo_pfn_t free_list_pop(struct hvo_pool *pool, struct pool_node *n)
{
	hvo_pfn_t pfn;

	if (!n->free_list)
		return HVO_PFN_NONE;
	pfn = block_pfn(n->free_list - 1);
	free_list_del(pool, n, pfn);
	return pfn;
}

static bool is_optimized(struct hvo_machine *m, hvo_pfn_t pfn)
{
	return page_ro(m, pfn)->flags & HVO_PF_OPTIMIZED;
}

/* A page joins the pool or leaves it. */
static void account(struct hvo_pool *pool, hvo_pfn_t pfn, bool joins)
{
	struct pool_node *n = pool_node_of(pool, pfn);
	uint64_t one = joins ? 1 : UINT64_MAX;

	n->total += one;
	if (is_optimized(pool->m, pfn))
		n->optimized += one;
}

hvo_pfn_t hugetlb_take_free(struct hvo_pool *pool, struct pool_node *n)
{
	hvo_pfn_t pfn = free_list_pop(pool, n);

	account(pool, pfn, false);
	page_set_state(pool->m, pfn, page_rw(pool->m, pfn), HVO_PAGE_USED, pool->order);
	return pfn;
}

void hugetlb_join(struct hvo_pool *pool, unsigned int nr)
{
	struct hvo_machine *m = pool->m;
	unsigned int i;

	if (!on_demand(m) && __atomic_load_n(&m->optimize, __ATOMIC_RELAXED)) {
		sort_ascending(pool->batch, nr);
		vmemmap_optimize(m, pool->batch, nr, pool->order);
	}
	lock_acquire(m, &pool->lock);
	for (i = 0; i < nr; i++) {
		account(pool, pool->batch[i], true);
		free_list_add(pool, pool->batch[i]);
	}
	lock_release(m, &pool->lock);
}

void hugetlb_refuse(struct hvo_pool *pool, hvo_pfn_t pfn, uint64_t missing, uint64_t surplus)
{
	lock_acquire(pool->m, &pool->lock);
	account(pool, pfn, true);
	free_list_add(pool, pfn);
	pool_node_of(pool, pfn)->surplus += surplus;
	pool->refused++;
	lock_release(pool->m, &pool->lock);
	trace(pool->m, HVO_EVENT_FREE_REFUSED, pfn, pool->order, missing);
}

/* ---- leaving a pool ----------------------------------------------------------- */

static void free_to_buddy(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	page_rw(pool->m, pfn)->flags = 0;
	free_block(pool->m, pfn, pool->order);
}

static void note_carved(struct hvo_pool *pool, hvo_pfn_t pfn, struct hvo_resize_result *res)
{
	lock_acquire(pool->m, &pool->lock);
	pool->carved++;
	lock_release(pool->m, &pool->lock);
	res->carved++;
	trace(pool->m, HVO_EVENT_CARVED, pfn, pool->order, 0);
}

static bool try_step(struct hvo_pool *pool, hvo_pfn_t pfn, const struct hvo_restore_step *step,
		     uint64_t *ret_missing)
{
	struct hvo_restore_step alloc = *step;

	if (step->source == HVO_RESTORE_OOM) {
		if (!call_oom_notifier(pool->m, 0))
			return false;
		alloc.source = HVO_RESTORE_ALLOC;
	}
	return vmemmap_restore(pool->m, &pfn, 1, pool->order, &alloc, ret_missing);
}

/*
 * The interpreter of policies: restore one page (state USED) and free it. False:
 * refused, the page is as before.
 */
static bool restore_one(struct hvo_pool *pool, hvo_pfn_t pfn, struct hvo_resize_result *res,
			uint64_t *ret_missing)
{
	struct hvo_machine *m = pool->m;
	uint64_t missing = 0;
	uint32_t i, attempt;

	*ret_missing = 0;
	for (i = 0; i < pool->policy.nr_steps; i++) {
		const struct hvo_restore_step *step = &pool->policy.steps[i];

		for (attempt = 0;; attempt++) {
			if (try_step(pool, pfn, step, &missing)) {
				if (step->source == HVO_RESTORE_CARVE) {
					vmemmap_free_carved(m, pfn, pool->order);
					note_carved(pool, pfn, res);
				} else {
					free_to_buddy(pool, pfn);
				}
				return true;
			}
			if (missing)
				*ret_missing = missing;
			if (step->retries != UINT32_MAX && attempt >= step->retries)
				break;
			if (machine_gone(m))
				return false;
			m->ops->sleep_ns(m->ctx, step->delay_ms * NS_PER_MS);
		}
	}
	return false;
}

/* Pages that left the pool's lists, state USED, in ascending order. */
static void release_pages(struct hvo_pool *pool, const hvo_pfn_t *pfns, unsigned int nr,
			  struct hvo_resize_result *res)
{
	/* Many together first, quietly; the policy is for the page that this fails for. */
	struct hvo_restore_step bulk = pool->policy.steps[0];
	struct hvo_machine *m = pool->m;
	unsigned int i = 0, k, end;
	uint64_t missing;

	bulk.gfp = (bulk.gfp & ~HVO_GFP_RECLAIM) | HVO_GFP_NOWARN;
	while (i < nr) {
		if (!is_optimized(m, pfns[i])) {
			free_to_buddy(pool, pfns[i++]);
			res->done++;
			continue;
		}
		for (end = i + 1; end < nr && is_optimized(m, pfns[end]); end++)
			;
		k = 0;
		if (bulk.source == HVO_RESTORE_ALLOC)
			k = vmemmap_restore(m, pfns + i, end - i, pool->order, &bulk, &missing);
		res->done += k;
		for (end = i + k; i < end; i++)
			free_to_buddy(pool, pfns[i]);
		if (k)
			continue;
		if (restore_one(pool, pfns[i], res, &missing)) {
			res->done++;
		} else {
			/* As the kernel: surplus from now on. */
			hugetlb_refuse(pool, pfns[i], missing, 1);
			res->refused++;
		}
		i++;
	}
}

void hugetlb_release(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	struct hvo_pool *pool = hvo_pool_find(m, order);
	struct hvo_resize_result res = { 0 };
	struct pool_node *n;
	bool folded, locked;

	HVO_ASSERT(m, pool, "POOL-1: huge page without a pool", pfn);
	if (m->cfg.clear == HVO_CLEAR_ON_FREE)
		m->ops->zero(m->ctx, pfn, UINT64_C(1) << order);
	n = pool_node_of(pool, pfn);
	folded = is_optimized(m, pfn);
	/*
	 * A surplus page leaves, if its descriptors can be restored now. Where a
	 * resize is under way (this may even be its own shrinker) it stays, free and
	 * surplus, as one whose restore failed does.
	 */
	locked = folded && lock_try(&m->memmap_lock);
	lock_acquire(m, &pool->lock);
	if ((folded && !locked) || !n->surplus) {
		free_list_add(pool, pfn);
		lock_release(m, &pool->lock);
	} else {
		account(pool, pfn, false);
		n->surplus--;
		page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_USED, order);
		lock_release(m, &pool->lock);
		if (folded)
			release_pages(pool, &pfn, 1, &res);
		else
			free_to_buddy(pool, pfn);
	}
	if (locked)
		lock_release(m, &m->memmap_lock);
}

/*
 * The pool whose free huge page covers a frame, with its lock held and *pfn the page's
 * head. NULL without a lock: *ret_rc is -HVO_EBUSY if it is in use, 0 if no huge page.
 */
static struct hvo_pool *lock_pool_of(struct hvo_machine *m, hvo_pfn_t *pfn, int *ret_rc)
{
	unsigned int i;
	hvo_pfn_t head;

	m->ops->read_lock(m->ctx);
	head = hvo_page_head(&m->mm, *pfn);
	m->ops->read_unlock(m->ctx);
	for (i = 0; i < HVO_MAX_POOLS; i++) {
		struct hvo_pool *pool = &m->pools[i];
		enum hvo_page_state state;

		if (!__atomic_load_n(&pool->order, __ATOMIC_ACQUIRE) ||
		    head & ((UINT64_C(1) << pool->order) - 1))
			continue;
		/* Pages join and leave pools under the memmap lock or in state USED. */
		lock_acquire(m, &pool->lock);
		state = hvo_page_state(page_ro(m, head));
		if ((hvo_fold_byte(&m->mm, block_of(head)) & HVO_FOLD_ORDER) == pool->order) {
			*pfn = head;
			if (state == HVO_PAGE_HUGETLB_FREE)
				return pool;
			if (state == HVO_PAGE_HUGETLB_USED)
				*ret_rc = -HVO_EBUSY;
		}
		lock_release(m, &pool->lock);
	}
	return NULL;
}

int hvo_hugetlb_dissolve(struct hvo_machine *m, hvo_pfn_t pfn)
{
	struct hvo_resize_result res = { 0 };
	struct hvo_pool *pool;
	struct pool_node *n;
	uint64_t missing;
	bool surplus;
	int rc = 0;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (pfn >= m->mm.nr_frames)
		return -HVO_EINVAL;
	lock_acquire(m, &m->memmap_lock);
	pool = lock_pool_of(m, &pfn, &rc);
	if (!pool)
		goto out;
	n = pool_node_of(pool, pfn);
	surplus = n->surplus > 0;
	free_list_del(pool, n, pfn);
	account(pool, pfn, false);
	n->surplus -= surplus;
	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_USED, pool->order);
	lock_release(m, &pool->lock);
	if (!is_optimized(m, pfn)) {
		free_to_buddy(pool, pfn);
	} else if (!restore_one(pool, pfn, &res, &missing)) {
		/* Exactly as before: a refused dissolve makes no surplus. */
		hugetlb_refuse(pool, pfn, missing, surplus);
		rc = -HVO_ENOMEM;
	}
out:
	lock_release(m, &m->memmap_lock);
	return rc;
}

/* ---- resizing; memmap lock held -------------------------------------------------- */

static uint64_t sum(struct hvo_pool *pool, int node, size_t offset)
{
	uint64_t total = 0;
	uint32_t n;

	for (n = 0; n < pool->m->cfg.nr_nodes; n++)
		if (node == HVO_NODE_ANY || n == (uint32_t)node)
			total += *(uint64_t *)(void *)((char *)&pool->nodes[n] + offset);
	return total;
}

#define SUM(pool, node, field) sum(pool, node, offsetof(struct pool_node, field))

static uint64_t persistent(struct hvo_pool *pool, int node)
{
	return SUM(pool, node, total) - SUM(pool, node, surplus);
}

/* Nodes in turn: the next one of those allowed that @fits. */
struct pool_node *hugetlb_next_node(struct hvo_pool *pool, int node,
				    bool (*fits)(const struct pool_node *n))
{
	uint32_t i, n, nr = pool->m->cfg.nr_nodes;

	for (i = 0; i < nr; i++) {
		n = pool->next_node;
		pool->next_node = (n + 1) % nr;
		if ((node == HVO_NODE_ANY || n == (uint32_t)node) && fits(&pool->nodes[n]))
			return &pool->nodes[n];
	}
	return NULL;
}

static bool has_surplus(const struct pool_node *n)
{
	return n->surplus;
}

static bool has_persistent(const struct pool_node *n)
{
	return n->total > n->surplus;
}

static bool has_free_persistent(const struct pool_node *n)
{
	return n->free_list && n->total > n->surplus;
}

static uint64_t persistent_now(struct hvo_pool *pool, int node)
{
	uint64_t nr;

	lock_acquire(pool->m, &pool->lock);
	nr = persistent(pool, node);
	lock_release(pool->m, &pool->lock);
	return nr;
}

/*
 * Surplus pages become persistent ones (or the other way) until the number is right.
 * Returns the persistent number then.
 */
static uint64_t adjust_surplus(struct hvo_pool *pool, int node, uint64_t nr)
{
	struct pool_node *n;

	lock_acquire(pool->m, &pool->lock);
	while (persistent(pool, node) < nr && (n = hugetlb_next_node(pool, node, has_surplus)))
		n->surplus--;
	while (persistent(pool, node) > nr && (n = hugetlb_next_node(pool, node, has_persistent)))
		n->surplus++;
	nr = persistent(pool, node);
	lock_release(pool->m, &pool->lock);
	return nr;
}

static bool alloc_fresh(struct hvo_pool *pool, int node, hvo_pfn_t *ret)
{
	unsigned int gfp = HVO_GFP_KERNEL | HVO_GFP_RETRY_MAYFAIL | HVO_GFP_NOWARN |
			   HVO_GFP_THISNODE | (pool->order < HVO_GIGA_ORDER ? HVO_GFP_MOVABLE : 0);
	uint32_t i, nr = pool->m->cfg.nr_nodes;

	for (i = 0; i < nr; i++) {
		uint32_t n = pool->next_node;

		pool->next_node = (n + 1) % nr;
		if (node != HVO_NODE_ANY && n != (uint32_t)node)
			continue;
		if (!alloc_block(pool->m, gfp, pool->order, (int)n, ret))
			return true;
	}
	return false;
}

static uint64_t grow(struct hvo_pool *pool, int node, uint64_t want)
{
	uint64_t done = 0;
	unsigned int nr;

	while (done < want) {
		for (nr = 0; nr < BATCH && done + nr < want; nr++)
			if (!alloc_fresh(pool, node, &pool->batch[nr]))
				break;
		if (!nr)
			break;
		hugetlb_join(pool, nr);
		done += nr;
		if (nr < BATCH)
			break;
	}
	return done;
}

static void shrink(struct hvo_pool *pool, int node, uint64_t left, struct hvo_resize_result *res)
{
	struct hvo_machine *m = pool->m;

	while (left) {
		unsigned int taken = 0, i;

		lock_acquire(m, &pool->lock);
		while (taken < BATCH && taken < left) {
			struct pool_node *n = hugetlb_next_node(pool, node, has_free_persistent);

			if (!n)
				break;
			pool->batch[taken++] = hugetlb_take_free(pool, n);
		}
		lock_release(m, &pool->lock);
		if (!taken)
			break;
		left -= taken;
		if (on_demand(m)) {
			for (i = 0; i < taken; i++)
				free_to_buddy(pool, pool->batch[i]);
			res->done += taken;
			continue;
		}
		sort_ascending(pool->batch, taken);
		release_pages(pool, pool->batch, taken, res);
	}
}

int hvo_pool_resize(struct hvo_pool *pool, int node, uint64_t nr, struct hvo_resize_result *ret)
{
	struct hvo_resize_result res = { 0 };
	struct hvo_machine *m;
	uint64_t now;

	if (!pool || node < HVO_NODE_ANY)
		return -HVO_EINVAL;
	m = pool->m;
	if (machine_gone(m))
		return -HVO_ENODEV;
	if (node >= (int)m->cfg.nr_nodes)
		return -HVO_EINVAL;
	lock_acquire(m, &m->memmap_lock);
	now = persistent_now(pool, node);
	if (nr > now) {
		res.asked = nr - now;
		res.done = adjust_surplus(pool, node, nr) - now;
		res.done += grow(pool, node, res.asked - res.done);
	} else if (nr < now) {
		res.asked = now - nr;
		shrink(pool, node, res.asked, &res);
		adjust_surplus(pool, node, nr);
	}
	lock_release(m, &m->memmap_lock);
	if (ret)
		*ret = res;
	return 0;
}

/* ---- the rest of the interface ------------------------------------------------------ */

int hvo_pool_create(struct hvo_machine *m, unsigned int order, struct hvo_pool **ret)
{
	int rc = -HVO_ENOSPC, i;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (order < HVO_BLOCK_ORDER || order > m->cfg.max_order || !ret)
		return -HVO_EINVAL;
	lock_acquire(m, &m->memmap_lock);
	for (i = 0; i < HVO_MAX_POOLS; i++) {
		struct hvo_pool *pool = &m->pools[i];

		if (pool->order == order) {
			rc = -HVO_EBUSY;
			break;
		}
		if (pool->order)
			continue;
		pool->m = m;
		pool->policy = *hvo_policy_get(0);
		__atomic_store_n(&pool->order, order, __ATOMIC_RELEASE);
		*ret = pool;
		rc = 0;
		break;
	}
	lock_release(m, &m->memmap_lock);
	return rc;
}

struct hvo_pool *hvo_pool_find(struct hvo_machine *m, unsigned int order)
{
	int i;

	for (i = 0; i < HVO_MAX_POOLS; i++)
		if (order && __atomic_load_n(&m->pools[i].order, __ATOMIC_ACQUIRE) == order)
			return &m->pools[i];
	return NULL;
}

int hvo_pool_set_policy(struct hvo_pool *pool, const struct hvo_policy *policy)
{
	if (!pool || !policy_valid(policy))
		return -HVO_EINVAL;
	if (machine_gone(pool->m))
		return -HVO_ENODEV;
	lock_acquire(pool->m, &pool->m->memmap_lock);
	pool->policy = *policy;
	lock_release(pool->m, &pool->m->memmap_lock);
	return 0;
}

void hvo_set_optimize(struct hvo_machine *m, bool on)
{
	__atomic_store_n(&m->optimize, on, __ATOMIC_RELAXED);
}

int hvo_hugetlb_alloc(struct hvo_pool *pool, unsigned int gfp, int node, hvo_pfn_t *ret)
{
	hvo_pfn_t pfn = HVO_PFN_NONE;
	struct hvo_machine *m;
	uint32_t i, n;
	int rc;

	if (!pool || !ret || gfp & ~HVO_GFP_ALL || node < HVO_NODE_ANY)
		return -HVO_EINVAL;
	m = pool->m;
	if (machine_gone(m))
		return -HVO_ENODEV;
	if (node >= (int)m->cfg.nr_nodes)
		return -HVO_EINVAL;
	lock_acquire(m, &pool->lock);
	for (i = 0; i < m->cfg.nr_nodes && pfn == HVO_PFN_NONE; i++) {
		if (i && node >= 0 && gfp & HVO_GFP_THISNODE)
			break;
		n = ((node < 0 ? 0 : (uint32_t)node) + i) % m->cfg.nr_nodes;
		pfn = free_list_pop(pool, &pool->nodes[n]);
	}
	if (pfn != HVO_PFN_NONE)
		page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_HUGETLB_USED, pool->order);
	lock_release(m, &pool->lock);
	if (pfn == HVO_PFN_NONE)
		return -HVO_ENOMEM;
	if (gfp & HVO_GFP_ZERO || m->cfg.clear == HVO_CLEAR_ON_ALLOC) {
		rc = clear_frames(m, pfn, UINT64_C(1) << pool->order);
		if (rc) {
			lock_acquire(m, &pool->lock);
			free_list_add(pool, pfn);
			lock_release(m, &pool->lock);
			return rc;
		}
	}
	page_hand_out(page_rw(m, pfn));
	*ret = pfn;
	return 0;
}

int hvo_hugetlb_free(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	const struct hvo_page *page;

	if (!pool || machine_gone(pool->m))
		return pool ? -HVO_ENODEV : -HVO_EINVAL;
	if (pfn >= pool->m->mm.nr_frames || pfn & ((UINT64_C(1) << pool->order) - 1))
		return -HVO_EINVAL;
	page = page_ro(pool->m, pfn);
	if (hvo_page_state(page) != HVO_PAGE_HUGETLB_USED || page->order != pool->order)
		return -HVO_EINVAL;
	return hvo_put_page(pool->m, pfn);
}

int hvo_pool_stat(struct hvo_pool *pool, int node, struct hvo_pool_stat *ret)
{
	struct hvo_pool_stat s;

	if (!pool || !ret || node < HVO_NODE_ANY || node >= (int)pool->m->cfg.nr_nodes)
		return -HVO_EINVAL;
	if (machine_gone(pool->m))
		return -HVO_ENODEV;
	lock_acquire(pool->m, &pool->lock);
	s.total = SUM(pool, node, total);
	s.free = SUM(pool, node, free);
	s.surplus = SUM(pool, node, surplus);
	s.optimized = SUM(pool, node, optimized);
	s.refused_total = pool->refused;
	s.carved_total = pool->carved;
	lock_release(pool->m, &pool->lock);
	if (on_demand(pool->m))
		s.optimized = s.total;
	*ret = s;
	return 0;
}
