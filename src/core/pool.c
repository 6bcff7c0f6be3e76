// SPDX-License-Identifier: MIT
/*
 * Pools of huge pages: their free lists and counters, new pages, and which pools there are.
 *
 * States of a huge page: HUGETLB_FREE on a pool's free list (refcount 0), HUGETLB_USED in a user's
 * hands, TAKEN on its way in or out. HVO_PF_OPTIMIZED says that Linux mode folded it; in on-demand
 * mode every whole block is folded anyway, and joining or leaving a pool costs nothing.
 *
 * Counters, as in Linux: total - surplus is the persistent number; free - reserved is what somebody
 * without a reservation can have.
 *
 * Locks: the pool's lock for lists and counters; the memmap lock for nodes in turn and for what
 * joins.
 * Linux: mm/hugetlb.c, enqueue_hugetlb_folio(), dequeue_hugetlb_folio_node_exact(),
 * remove_hugetlb_folio(), alloc_fresh_hugetlb_folio().
 */
#include "pool.h"

#include "alloc.h"
#include "badframe.h"
#include "base.h"
#include "lock.h"
#include "optimize.h"
#include "page.h"
#include "policy.h"
#include "scope.h"
#include "sized.h"
#include "sort.h"

struct pool_node *hugetlb_node(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	lock_assert_held(pool->m, &pool->lock);
	return &pool->nodes[zone_of(pool->m, pfn)->node];
}

uint64_t hugetlb_sum(const struct hvo_pool *pool, size_t offset)
{
	uint64_t total = 0;
	uint32_t n;

	lock_assert_held(pool->m, &pool->lock);
	for (n = 0; n < pool->m->cfg.nr_nodes; n++)
		total += *(const uint64_t *)(const void *)((const char *)&pool->nodes[n] + offset);
	return total;
}

/* ---- lists of pages that left --------------------------------------------------------------- */

void page_list_add(struct hvo_machine *m, struct page_list *list, hvo_pfn_t pfn)
{
	head_list_add(m, &list->first, pfn);
	list->nr++;
}

hvo_pfn_t page_list_pop(struct hvo_machine *m, struct page_list *list)
{
	hvo_pfn_t pfn;

	if (!list->first)
		return HVO_PFN_NONE;
	pfn = pb_pfn(pb_of_link(list->first));
	head_list_del(m, &list->first, page_rw(m, pfn));
	list->nr--;
	return pfn;
}

unsigned int page_list_peek(struct hvo_machine *m, const struct page_list *list, hvo_pfn_t *pfns,
			    unsigned int max)
{
	uint32_t at = list->first;
	unsigned int nr;

	for (nr = 0; nr < max && at; nr++) {
		pfns[nr] = pb_pfn(pb_of_link(at));
		at = page_ro(m, pfns[nr])->next;
	}
	return nr;
}

/* ---- lists and counters --------------------------------------------------------------------- */

void hugetlb_mark_bad(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	struct pool_node *n = hugetlb_node(pool, pfn);
	struct hvo_page *page = page_rw(pool->m, pfn);

	lock_assert_held(pool->m, &pool->lock);
	if (page_flags(page) & HVO_PF_POISONED || !badframe_in_block(pool->m, pfn, pool->order))
		return;
	page_add_flags(page, HVO_PF_POISONED);
	n->poisoned++;
	n->poisoned_free += hvo_page_state(page) == HVO_PAGE_HUGETLB_FREE;
}

/* Count a page as free (@one: 1), or as free no more (@one: -1). */
static void count_free(struct hvo_pool *pool, struct pool_node *n, hvo_pfn_t pfn, uint64_t one)
{
	n->free += one;
	if (page_poisoned(pool->m, pfn))
		n->poisoned_free += one;
}

void hugetlb_enqueue(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	struct pool_node *n = hugetlb_node(pool, pfn);
	struct hvo_machine *m = pool->m;

	lock_assert_held(m, &pool->lock);
	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_HUGETLB_FREE, pool->order);
	head_list_add(m, &n->free_list, pfn);
	count_free(pool, n, pfn, 1);
	/* A frame may have failed while the page was on no list. */
	hugetlb_mark_bad(pool, pfn);
}

/* Take a page off the free list. The state stays HUGETLB_FREE until the caller changes it. */
static void hugetlb_dequeue(struct hvo_pool *pool, struct pool_node *n, hvo_pfn_t pfn)
{
	lock_assert_held(pool->m, &pool->lock);
	head_list_del(pool->m, &n->free_list, page_rw(pool->m, pfn));
	count_free(pool, n, pfn, UINT64_MAX);
}

uint64_t hugetlb_sound_free(const struct hvo_pool *pool)
{
	lock_assert_held(pool->m, &pool->lock);
	return POOL_SUM(pool, free) - POOL_SUM(pool, poisoned_free);
}

uint64_t hugetlb_spare(const struct hvo_pool *pool)
{
	uint64_t sound = hugetlb_sound_free(pool);

	lock_assert_held(pool->m, &pool->lock);
	if (!pool->reserved)
		return POOL_SUM(pool, free);
	return sound > pool->reserved ? sound - pool->reserved : 0;
}

/* Count a page in (@one: 1) or out (@one: -1). */
static void account(struct hvo_pool *pool, struct pool_node *n, hvo_pfn_t pfn, uint64_t one)
{
	uint16_t flags = page_flags(page_ro(pool->m, pfn));

	lock_assert_held(pool->m, &pool->lock);
	n->total += one;
	if (flags & HVO_PF_OPTIMIZED)
		n->optimized += one;
	if (flags & HVO_PF_POISONED)
		n->poisoned += one;
}

void hugetlb_account(struct hvo_pool *pool, hvo_pfn_t pfn, uint64_t surplus)
{
	struct pool_node *n = hugetlb_node(pool, pfn);

	lock_assert_held(pool->m, &pool->lock);
	account(pool, n, pfn, 1);
	n->surplus += surplus;
	hugetlb_mark_bad(pool, pfn);
}

void hugetlb_remove_used(struct hvo_pool *pool, hvo_pfn_t pfn, uint64_t surplus)
{
	struct pool_node *n = hugetlb_node(pool, pfn);

	lock_assert_held(pool->m, &pool->lock);
	HVO_ASSERT(pool->m, n->total && n->surplus >= surplus, POOL_1, "more leave than there are",
		   pfn);
	account(pool, n, pfn, UINT64_MAX);
	n->surplus -= surplus;
	page_set_state(pool->m, pfn, page_rw(pool->m, pfn), HVO_PAGE_TAKEN, pool->order);
}

void hugetlb_remove(struct hvo_pool *pool, hvo_pfn_t pfn, uint64_t surplus)
{
	lock_assert_held(pool->m, &pool->lock);
	hugetlb_dequeue(pool, hugetlb_node(pool, pfn), pfn);
	hugetlb_remove_used(pool, pfn, surplus);
}

void hugetlb_remove_to(struct hvo_pool *pool, struct pool_node *n, uint64_t surplus,
		       struct page_list *list)
{
	hvo_pfn_t pfn;

	lock_assert_held(pool->m, &pool->lock);
	HVO_ASSERT(pool->m, n->free_list, POOL_3, "list is empty", HVO_PFN_NONE);
	pfn = pb_pfn(pb_of_link(n->free_list));
	hugetlb_remove(pool, pfn, surplus);
	page_list_add(pool->m, list, pfn);
}

void hugetlb_hide(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	struct pool_node *n = hugetlb_node(pool, pfn);

	lock_assert_held(pool->m, &pool->lock);
	lock_assert_held(pool->m, &pool->m->memmap_lock);
	hugetlb_dequeue(pool, n, pfn);
	page_set_state(pool->m, pfn, page_rw(pool->m, pfn), HVO_PAGE_TAKEN, pool->order);
	count_free(pool, n, pfn, 1);
	pool->in_flight++;
}

void hugetlb_unhide(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	struct pool_node *n = hugetlb_node(pool, pfn);

	lock_assert_held(pool->m, &pool->lock);
	lock_assert_held(pool->m, &pool->m->memmap_lock);
	HVO_ASSERT(pool->m, n->free && pool->in_flight, POOL_6, "not in flight", pfn);
	count_free(pool, n, pfn, UINT64_MAX);
	pool->in_flight--;
	hugetlb_enqueue(pool, pfn);
}

/* Pages join and leave pools under the memmap lock, or in state TAKEN. */
struct hvo_pool *hugetlb_lock_pool_of(struct hvo_machine *m, hvo_pfn_t *pfn, bool *ret_used)
{
	unsigned int i;
	hvo_pfn_t head;

	lock_assert_held(m, &m->memmap_lock);
	m->ops->read_lock(m->ctx);
	head = hvo_page_head(&m->mm, *pfn);
	m->ops->read_unlock(m->ctx);
	for (i = 0; i < HVO_MAX_POOLS; i++) {
		struct hvo_pool *pool = &m->pools[i];
		enum hvo_page_state state;

		if (!__atomic_load_n(&pool->order, __ATOMIC_ACQUIRE) ||
		    head & ((UINT64_C(1) << pool->order) - 1))
			continue;
		lock_acquire(m, &pool->lock);
		state = hvo_page_state(page_ro(m, head));
		if (fold_order(m, head) == pool->order &&
		    (state == HVO_PAGE_HUGETLB_FREE || state == HVO_PAGE_HUGETLB_USED)) {
			*pfn = head;
			*ret_used = state == HVO_PAGE_HUGETLB_USED;
			return pool;
		}
		lock_release(m, &pool->lock);
	}
	return NULL;
}

/*
 * The strongest isolation of any part of a page: as in Linux nobody gets a page of a range that is
 * to be emptied.
 */
static enum isolation page_isolation(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	hvo_pfn_t end = pfn + (UINT64_C(1) << pool->order);
	struct zone *z = zone_of(pool->m, pfn);
	enum isolation most = NOT_ISOLATED, by;

	lock_acquire(pool->m, &z->lock);
	for (; z->nr_isolated && pfn < end; pfn += HVO_PAGEBLOCK_FRAMES) {
		by = pb_data(pool->m, pb_of(pfn))->isolation;
		most = by > most ? by : most;
	}
	lock_release(pool->m, &z->lock);
	return most;
}

/*
 * The newest free page of a node that can be handed out, or HVO_PFN_NONE; then *ret_soon is
 * set if there is one that only the library itself keeps apart, for a moment.
 */
static hvo_pfn_t newest(struct hvo_pool *pool, const struct pool_node *n, bool *ret_soon)
{
	enum isolation by;
	hvo_pfn_t pfn;
	uint32_t at;

	lock_assert_held(pool->m, &pool->lock);
	for (at = n->free_list; at; at = page_ro(pool->m, pfn)->next) {
		pfn = pb_pfn(pb_of_link(at));
		if (page_poisoned(pool->m, pfn))
			continue;
		by = page_isolation(pool, pfn);
		if (!by)
			return pfn;
		*ret_soon |= by != ISOLATED_BY_USER;
	}
	return HVO_PFN_NONE;
}

hvo_pfn_t hugetlb_dequeue_sound(struct hvo_pool *pool, unsigned int gfp, int node, bool *ret_soon)
{
	uint32_t first, nr = nodes_to_try(pool->m, gfp, node, &first), i, n;
	hvo_pfn_t pfn;

	lock_assert_held(pool->m, &pool->lock);
	*ret_soon = false;
	for (i = 0; i < nr; i++) {
		n = (first + i) % pool->m->cfg.nr_nodes;
		pfn = newest(pool, &pool->nodes[n], ret_soon);
		if (pfn == HVO_PFN_NONE)
			continue;
		hugetlb_dequeue(pool, &pool->nodes[n], pfn);
		page_set_state(pool->m, pfn, page_rw(pool->m, pfn), HVO_PAGE_HUGETLB_USED,
			       pool->order);
		return pfn;
	}
	return HVO_PFN_NONE;
}

/* ---- nodes in turn -------------------------------------------------------------------------- */

uint64_t all_nodes(const struct hvo_machine *m)
{
	return UINT64_MAX >> (64 - m->cfg.nr_nodes);
}

unsigned int nr_of_nodes(uint64_t nodes)
{
	unsigned int nr = 0;

	for (; nodes; nodes &= nodes - 1)
		nr++;
	return nr;
}

static uint32_t next_in(uint32_t node, uint64_t nodes)
{
	uint64_t behind = node == 63 ? 0 : nodes & (UINT64_MAX << (node + 1));

	return (uint32_t)__builtin_ctzll(behind ? behind : nodes);
}

struct pool_node *hugetlb_next_node(struct hvo_pool *pool, uint32_t *turn, uint64_t nodes,
				    bool (*fits)(const struct pool_node *n))
{
	unsigned int left = nr_of_nodes(nodes);

	lock_assert_held(pool->m, &pool->m->memmap_lock);
	while (left--) {
		uint32_t node = nodes >> *turn & 1 ? *turn : next_in(*turn, nodes);

		*turn = next_in(node, nodes);
		if (fits(&pool->nodes[node]))
			return &pool->nodes[node];
	}
	return NULL;
}

bool hugetlb_has_free_surplus(const struct pool_node *n)
{
	return n->free_list && n->surplus;
}

/* ---- joining -------------------------------------------------------------------------------- */

/* May a page be folded? Not a self-hosted one, nor one that the scope leaves out. */
static bool may_fold(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	struct hvo_machine *m = pool->m;

	if (section_of(m, pfn)->self_hosted) {
		counter_add(&m->self_hosted_huge, 1);
		return false;
	}
	if (hugetlb_in_scope(pool, pfn))
		return true;
	counter_add(&pool->out_of_scope, 1);
	return false;
}

/* Sort the pages of the batch that stay present to the end; returns how many are before them. */
static unsigned int fold_last(struct hvo_pool *pool, unsigned int nr)
{
	unsigned int i = 0;

	while (i < nr) {
		hvo_pfn_t pfn = pool->batch[i];

		if (may_fold(pool, pfn)) {
			i++;
			continue;
		}
		pool->batch[i] = pool->batch[--nr];
		pool->batch[nr] = pfn;
	}
	return nr;
}

void hugetlb_fold_batch(struct hvo_pool *pool, unsigned int nr)
{
	struct hvo_machine *m = pool->m;

	lock_assert_held(m, &m->memmap_lock);
	if (on_demand(m) || !__atomic_load_n(&m->optimize, __ATOMIC_RELAXED))
		return;
	nr = fold_last(pool, nr);
	sort_ascending(pool->batch, nr);
	vmemmap_optimize(m, pool->batch, nr, pool->order);
}

void hugetlb_add_batch(struct hvo_pool *pool, unsigned int nr)
{
	struct hvo_machine *m = pool->m;
	unsigned int i;

	lock_assert_held(m, &m->memmap_lock);
	lock_acquire(m, &pool->lock);
	for (i = nr; i--;) {
		hugetlb_account(pool, pool->batch[i], 0);
		hugetlb_enqueue(pool, pool->batch[i]);
	}
	lock_release(m, &pool->lock);
}

bool hvo_movable_gigantic(const struct hvo_machine *m)
{
	return !machine_gone(m) && __atomic_load_n(&m->movable_gigantic, __ATOMIC_RELAXED);
}

int hvo_set_movable_gigantic(struct hvo_machine *m, bool on)
{
	if (machine_gone(m))
		return -HVO_ENODEV;
	__atomic_store_n(&m->movable_gigantic, on, __ATOMIC_RELAXED);
	return 0;
}

unsigned int hugetlb_movable_gfp(const struct hvo_pool *pool)
{
	if (pool->order >= HVO_GIGA_ORDER && !hvo_movable_gigantic(pool->m))
		return 0;
	return hugetlb_stays(pool) ? 0 : HVO_GFP_MOVABLE;
}

static unsigned int fresh_gfp(const struct hvo_pool *pool)
{
	return HVO_GFP_KERNEL | HVO_GFP_RETRY_MAYFAIL | HVO_GFP_NOWARN | GFP_ISOLATING |
	       hugetlb_movable_gfp(pool);
}

int hugetlb_alloc_fresh(struct hvo_pool *pool, unsigned int gfp, int node, hvo_pfn_t *ret)
{
	int rc;

	lock_assert_held(pool->m, &pool->m->memmap_lock);
	if (pool->order > pool->m->cfg.max_order)
		return -HVO_ENOMEM;
	gfp &= HVO_GFP_THISNODE | GFP_OTHER_NODES;
	rc = alloc_block(pool->m, gfp | fresh_gfp(pool), pool->order, node, ret);
	counter_add(rc ? &pool->m->hugetlb_alloc_failures : &pool->m->hugetlb_allocs, 1);
	return rc;
}

unsigned int hugetlb_alloc_free(struct hvo_pool *pool, int node, unsigned int max, hvo_pfn_t *pfns)
{
	unsigned int nr;

	lock_assert_held(pool->m, &pool->m->memmap_lock);
	nr = alloc_free_blocks(pool->m, fresh_gfp(pool), pool->order, node, max, pfns);
	counter_add(&pool->m->hugetlb_allocs, nr);
	return nr;
}

uint64_t hugetlb_count_free(struct hvo_pool *pool, int node)
{
	return count_free_blocks(pool->m, fresh_gfp(pool), pool->order, node);
}

/* ---- pools ---------------------------------------------------------------------------------- */

int hvo_pool_create(struct hvo_machine *m, unsigned int order, struct hvo_pool **ret)
{
	int rc = -HVO_ENOSPC, i;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (order < HVO_PAGEBLOCK_ORDER || order > HVO_MAX_ORDER || !ret)
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

/* Has a pool no page, nor anybody the promise of one? */
static bool is_empty(struct hvo_pool *pool)
{
	lock_assert_held(pool->m, &pool->lock);
	return !POOL_SUM(pool, total) && !pool->reserved && !pool->deferred.nr;
}

/* Let the pools that demoted to one of this order, which goes, choose another. */
static void forget_target(struct hvo_machine *m, unsigned int order)
{
	int i;

	lock_assert_held(m, &m->memmap_lock);
	for (i = 0; i < HVO_MAX_POOLS; i++)
		if (m->pools[i].demote_order == order)
			m->pools[i].demote_order = 0;
}

int hvo_pool_destroy(struct hvo_pool *pool)
{
	int rc = pool_check(pool, HVO_NODE_ANY);
	struct hvo_machine *m;

	if (rc)
		return rc;
	m = pool->m;
	if (!lock_try(&pool->resize_lock))
		return -HVO_EBUSY;
	lock_acquire(m, &m->memmap_lock);
	lock_acquire(m, &pool->lock);
	rc = is_empty(pool) ? 0 : -HVO_EBUSY;
	if (!rc) {
		forget_target(m, pool->order);
		__atomic_store_n(&pool->order, 0, __ATOMIC_RELEASE);
		/* All but the machine and the locks, which are held. */
		__builtin_memset(&pool->cma, 0, sizeof(*pool) - offsetof(struct hvo_pool, cma));
	}
	lock_release(m, &pool->lock);
	lock_release(m, &m->memmap_lock);
	lock_release(m, &pool->resize_lock);
	return rc;
}

struct hvo_pool *hvo_pool_next(struct hvo_machine *m, const struct hvo_pool *pool)
{
	unsigned int order = HVO_PAGEBLOCK_ORDER;
	struct hvo_pool *next = NULL;

	if (pool)
		order = __atomic_load_n(&pool->order, __ATOMIC_ACQUIRE) + 1;
	for (; !next && order <= HVO_MAX_ORDER; order++)
		next = hvo_pool_find(m, order);
	return next;
}

int hvo_pool_order(const struct hvo_pool *pool)
{
	int rc = pool_check(pool, HVO_NODE_ANY);

	return rc ? rc : (int)__atomic_load_n(&pool->order, __ATOMIC_ACQUIRE);
}

struct hvo_pool *hvo_pool_find(struct hvo_machine *m, unsigned int order)
{
	return machine_gone(m) ? NULL : pool_of_order(m, order);
}

int hvo_pool_set_policy(struct hvo_pool *pool, const struct hvo_policy *policy)
{
	struct hvo_policy own;
	int rc = pool_check(pool, HVO_NODE_ANY);

	if (!rc)
		rc = SIZED_IN(&own, policy);
	if (rc || !policy_valid(&own))
		return rc ? rc : -HVO_EINVAL;
	lock_acquire(pool->m, &pool->m->memmap_lock);
	pool->policy = own;
	lock_release(pool->m, &pool->m->memmap_lock);
	return 0;
}

int hvo_pool_policy(struct hvo_pool *pool, struct hvo_policy *ret)
{
	int rc = pool_check(pool, HVO_NODE_ANY);

	if (!rc)
		rc = sized_check(ret);
	if (rc)
		return rc;
	lock_acquire(pool->m, &pool->m->memmap_lock);
	SIZED_OUT(ret, &pool->policy);
	lock_release(pool->m, &pool->m->memmap_lock);
	return 0;
}

static void node_stat(const struct pool_node *n, struct hvo_pool_stat *s)
{
	s->total += n->total;
	s->free += n->free;
	s->surplus += n->surplus;
	s->optimized += n->optimized;
	s->poisoned += n->poisoned;
}

int hvo_pool_stat(struct hvo_pool *pool, int node, struct hvo_pool_stat *ret)
{
	struct hvo_pool_stat s = { 0 };
	int rc = pool_check(pool, node);
	uint32_t n;

	if (!rc)
		rc = sized_check(ret);
	if (rc)
		return rc;
	lock_acquire(pool->m, &pool->lock);
	for (n = 0; n < pool->m->cfg.nr_nodes; n++)
		if (node == HVO_NODE_ANY || n == (uint32_t)node)
			node_stat(&pool->nodes[n], &s);
	s.reserved = pool->reserved;
	s.overcommit = pool->overcommit;
	s.deferred = pool->deferred.nr;
	s.refused_total = pool->refused;
	s.carved_total = pool->carved;
	s.out_of_scope_total = counter_read(&pool->out_of_scope);
	s.move_restores_total = pool->move_restores;
	s.moves_refused_total = counter_read(&pool->moves_refused);
	lock_release(pool->m, &pool->lock);
	if (on_demand(pool->m))
		s.optimized = s.total;
	SIZED_OUT(ret, &s);
	return 0;
}
