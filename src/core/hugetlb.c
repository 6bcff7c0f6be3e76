// SPDX-License-Identifier: MIT
/*
 * Pools of huge pages: their free lists and counters, and pages in users' hands.
 *
 *	resize.c   growing and shrinking	resv.c	  promises and surplus pages
 *	release.c  leaving a pool		demote.c  becoming smaller pages
 *	scope.c    which pages are folded
 *
 * States of a huge page: HUGETLB_FREE on a pool's free list (refcount 0),
 * HUGETLB_USED in a user's hands, USED on its way in or out. HVO_PF_OPTIMIZED says
 * that Linux mode folded it; in on-demand mode every whole block is folded anyway,
 * and joining or leaving a pool costs nothing.
 *
 * Counters, as in Linux: total - surplus is the persistent number; free - reserved is
 * what somebody without a reservation can have.
 *
 * Locks: the pool's lock for lists and counters. Whoever frees takes no other lock and
 * never waits: what has to be restored is deferred.
 * Linux: mm/hugetlb.c, alloc_hugetlb_folio(), dequeue_hugetlb_folio_node_exact(),
 * free_huge_folio(), remove_hugetlb_folio(), dissolve_free_hugetlb_folio().
 */
#include "hugetlb.h"

#include "alloc.h"
#include "badframe.h"
#include "lock.h"
#include "sized.h"
#include "vmemmap.h"

#define WAIT_NS 1000

struct pool_node *hugetlb_node(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	return &pool->nodes[zone_of(pool->m, pfn)->node];
}

uint64_t hugetlb_sum(const struct hvo_pool *pool, size_t offset)
{
	uint64_t total = 0;
	uint32_t n;

	for (n = 0; n < pool->m->cfg.nr_nodes; n++)
		total += *(const uint64_t *)(const void *)((const char *)&pool->nodes[n] + offset);
	return total;
}

/* ---- lists and counters; pool lock held ------------------------------------------- */

void hugetlb_enqueue(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	struct pool_node *n = hugetlb_node(pool, pfn);
	struct hvo_machine *m = pool->m;
	struct hvo_page *page = page_rw(m, pfn);

	page_set_state(m, pfn, page, HVO_PAGE_HUGETLB_FREE, pool->order);
	page->prev = 0;
	page->next = n->free_list;
	if (page->next)
		page_rw(m, block_pfn(page->next - 1))->prev = (uint32_t)block_of(pfn) + 1;
	n->free_list = (uint32_t)block_of(pfn) + 1;
	n->free++;
	n->poisoned_free += page_poisoned(m, pfn);
	/* One that failed while it was on no list. */
	if (badframe_in_block(m, pfn, pool->order))
		hugetlb_mark_bad(pool, pfn);
}

/* The page stays in state HUGETLB_FREE: the caller says what it becomes. */
static void dequeue(struct hvo_pool *pool, struct pool_node *n, hvo_pfn_t pfn)
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
	n->poisoned_free -= page_poisoned(m, pfn);
}

void hugetlb_mark_bad(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	struct pool_node *n = hugetlb_node(pool, pfn);
	struct hvo_page *page = page_rw(pool->m, pfn);

	if (page_flags(page) & HVO_PF_POISONED)
		return;
	page_add_flags(page, HVO_PF_POISONED);
	n->poisoned++;
	n->poisoned_free += hvo_page_state(page) == HVO_PAGE_HUGETLB_FREE;
}

uint64_t hugetlb_sound_free(const struct hvo_pool *pool)
{
	return POOL_SUM(pool, free) - POOL_SUM(pool, poisoned_free);
}

uint64_t hugetlb_spare(const struct hvo_pool *pool)
{
	uint64_t sound = hugetlb_sound_free(pool);

	if (!pool->reserved)
		return POOL_SUM(pool, free);
	return sound > pool->reserved ? sound - pool->reserved : 0;
}

/* @one: 1 or -1 */
static void account(struct hvo_pool *pool, struct pool_node *n, hvo_pfn_t pfn, uint64_t one)
{
	uint16_t flags = page_flags(page_ro(pool->m, pfn));

	n->total += one;
	if (flags & HVO_PF_OPTIMIZED)
		n->optimized += one;
	if (flags & HVO_PF_POISONED)
		n->poisoned += one;
}

void hugetlb_account(struct hvo_pool *pool, hvo_pfn_t pfn, uint64_t surplus)
{
	struct pool_node *n = hugetlb_node(pool, pfn);

	account(pool, n, pfn, 1);
	n->surplus += surplus;
	if (badframe_in_block(pool->m, pfn, pool->order))
		hugetlb_mark_bad(pool, pfn);
}

void hugetlb_remove_used(struct hvo_pool *pool, hvo_pfn_t pfn, uint64_t surplus)
{
	struct pool_node *n = hugetlb_node(pool, pfn);

	account(pool, n, pfn, UINT64_MAX);
	n->surplus -= surplus;
	page_set_state(pool->m, pfn, page_rw(pool->m, pfn), HVO_PAGE_USED, pool->order);
}

void hugetlb_remove(struct hvo_pool *pool, hvo_pfn_t pfn, uint64_t surplus)
{
	dequeue(pool, hugetlb_node(pool, pfn), pfn);
	hugetlb_remove_used(pool, pfn, surplus);
}

void hugetlb_remove_to(struct hvo_pool *pool, struct pool_node *n, uint64_t surplus,
		       struct page_list *list)
{
	hvo_pfn_t pfn = block_pfn(n->free_list - 1);

	hugetlb_remove(pool, pfn, surplus);
	page_list_add(pool->m, list, pfn);
}

void hugetlb_hide(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	struct pool_node *n = hugetlb_node(pool, pfn);

	dequeue(pool, n, pfn);
	page_set_state(pool->m, pfn, page_rw(pool->m, pfn), HVO_PAGE_USED, pool->order);
	n->free++;
	n->poisoned_free += page_poisoned(pool->m, pfn);
	pool->in_flight++;
}

void hugetlb_unhide(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	struct pool_node *n = hugetlb_node(pool, pfn);

	n->free--;
	n->poisoned_free -= page_poisoned(pool->m, pfn);
	pool->in_flight--;
	hugetlb_enqueue(pool, pfn);
}

/*
 * BLOCK_ISOLATED, in a range that is to be emptied: as Linux, nobody gets it; BLOCK_KEPT too,
 * if only a user ends that; or 0.
 */
static unsigned int page_apart(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	uint64_t block = block_of(pfn), end = block_of(pfn + (UINT64_C(1) << pool->order));
	struct zone *z = zone_of(pool->m, pfn);
	unsigned int flags = 0;

	lock_acquire(pool->m, &z->lock);
	for (; z->nr_isolated && block < end; block++)
		flags |= pool->m->blocks[block].flags;
	lock_release(pool->m, &z->lock);
	return flags & BLOCK_APART;
}

/*
 * The newest free page of a node that can be handed out, or HVO_PFN_NONE; then *ret_soon is
 * set if there is one that only the library itself keeps apart, for a moment.
 */
static hvo_pfn_t newest(struct hvo_pool *pool, const struct pool_node *n, bool *ret_soon)
{
	unsigned int apart;
	hvo_pfn_t pfn;
	uint32_t at;

	for (at = n->free_list; at; at = page_ro(pool->m, pfn)->next) {
		pfn = block_pfn(at - 1);
		if (page_poisoned(pool->m, pfn))
			continue;
		apart = page_apart(pool, pfn);
		if (!apart)
			return pfn;
		*ret_soon |= apart == BLOCK_ISOLATED;
	}
	return HVO_PFN_NONE;
}

static hvo_pfn_t take_free(struct hvo_pool *pool, unsigned int gfp, int node, bool *ret_soon)
{
	uint32_t first, nr = nodes_to_try(pool->m, gfp, node, &first), i, n;
	hvo_pfn_t pfn;

	*ret_soon = false;
	for (i = 0; i < nr; i++) {
		n = (first + i) % pool->m->cfg.nr_nodes;
		pfn = newest(pool, &pool->nodes[n], ret_soon);
		if (pfn == HVO_PFN_NONE)
			continue;
		dequeue(pool, &pool->nodes[n], pfn);
		page_set_state(pool->m, pfn, page_rw(pool->m, pfn), HVO_PAGE_HUGETLB_USED,
			       pool->order);
		return pfn;
	}
	return HVO_PFN_NONE;
}

/* ---- to users and back ------------------------------------------------------------------ */

/*
 * A page for a user, state HUGETLB_USED. With @reserved one reservation is used up, and
 * pages that are promised to somebody can be taken.
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
			pfn = take_free(pool, gfp, node, &soon);
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

/* Off to hvo_work(). Pool lock held; the page left the counters. */
static void defer(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	page_add_flags(page_rw(pool->m, pfn), HVO_PF_DEFERRED);
	page_list_add(pool->m, &pool->deferred, pfn);
	work_wanted(pool->m);
}

/* A new page on node @to has the place of one of node @from, surplus or not. Pool lock held. */
static void take_over(struct pool_node *from, struct pool_node *to)
{
	/* As move_hugetlb_state(): a page that was there already keeps its node's number. */
	if (from != to && from->surplus) {
		from->surplus--;
		to->surplus++;
	}
}

/*
 * Back to the pool, or out of it: as surplus, because a frame of it failed and the
 * reservations can do without it, or since a new page of node @replaced has its place.
 */
static void release(struct hvo_pool *pool, hvo_pfn_t pfn, bool restore_reserve,
		    struct pool_node *replaced)
{
	struct hvo_machine *m = pool->m;
	struct pool_node *n = hugetlb_node(pool, pfn);
	bool direct = false, poisoned;

	lock_acquire(m, &pool->lock);
	if (badframe_in_block(m, pfn, pool->order))
		hugetlb_mark_bad(pool, pfn);
	pool->reserved += restore_reserve;
	if (replaced) {
		replaced->incoming--;
		take_over(n, replaced);
	}
	poisoned = page_poisoned(m, pfn) && POOL_SUM(pool, free) >= pool->reserved;
	if (restore_reserve || (!n->surplus && !poisoned && !replaced)) {
		hugetlb_enqueue(pool, pfn);
	} else {
		hugetlb_remove_used(pool, pfn, n->surplus > 0 && !replaced);
		direct = !page_optimized(m, pfn) && !page_poisoned(m, pfn);
		if (!direct)
			defer(pool, pfn);
	}
	lock_release(m, &pool->lock);
	if (direct)
		hugetlb_free_page(pool, pfn);
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
		release(pool, pfn, reserved, NULL);
		if (rc)
			return rc;
	}
	page_hand_out(page_rw(m, pfn), 0);
	*ret = pfn;
	return 0;
}

int hvo_hugetlb_alloc(struct hvo_pool *pool, unsigned int gfp, int node, hvo_pfn_t *ret)
{
	return alloc_page(pool, gfp, node, false, ret);
}

int hvo_hugetlb_alloc_reserved(struct hvo_pool *pool, unsigned int gfp, int node, hvo_pfn_t *ret)
{
	return alloc_page(pool, gfp, node, true, ret);
}

void hugetlb_release(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	struct hvo_pool *pool = hvo_pool_find(m, order);

	HVO_ASSERT(m, pool, "POOL-1: huge page without a pool", pfn);
	release(pool, pfn, false, NULL);
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
	if ((hvo_fold_byte(&m->mm, block_of(pfn)) & HVO_FOLD_ORDER) != pool->order ||
	    hvo_page_state(page) != HVO_PAGE_HUGETLB_USED)
		rc = -HVO_EINVAL;
	m->ops->read_unlock(m->ctx);
	return rc;
}

int hvo_hugetlb_free(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	int rc = check_used(pool, pfn);

	return rc ? rc : hvo_put_page(pool->m, pfn);
}

int hvo_hugetlb_free_reserved(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	int rc = check_used(pool, pfn);

	if (rc)
		return rc;
	rc = freeze_page(pool->m, pfn);
	if (rc)
		return rc;
	clear_freed(pool->m, pfn, UINT64_C(1) << pool->order);
	release(pool, pfn, true, NULL);
	return 0;
}

/* ---- dissolve ---------------------------------------------------------------------------- */

/* Pages join and leave pools under the memmap lock, or in state USED. */
struct hvo_pool *hugetlb_lock_pool_of(struct hvo_machine *m, hvo_pfn_t *pfn, bool *ret_used)
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
		lock_acquire(m, &pool->lock);
		state = hvo_page_state(page_ro(m, head));
		if ((hvo_fold_byte(&m->mm, block_of(head)) & HVO_FOLD_ORDER) == pool->order &&
		    (state == HVO_PAGE_HUGETLB_FREE || state == HVO_PAGE_HUGETLB_USED)) {
			*pfn = head;
			*ret_used = state == HVO_PAGE_HUGETLB_USED;
			return pool;
		}
		lock_release(m, &pool->lock);
	}
	return NULL;
}

/* What is promised is a page that can be handed out, and one that cannot is not needed for that. */
static bool may_dissolve(const struct hvo_pool *pool, hvo_pfn_t pfn)
{
	uint64_t free =
		page_poisoned(pool->m, pfn) ? POOL_SUM(pool, free) : hugetlb_sound_free(pool);

	return free > pool->reserved;
}

int hugetlb_dissolve_locked(struct hvo_pool *pool, hvo_pfn_t pfn, bool quietly)
{
	struct hvo_resize_result res = { 0 };
	struct hvo_machine *m = pool->m;
	uint64_t missing, surplus;

	if (!may_dissolve(pool, pfn)) {
		lock_release(m, &pool->lock);
		return -HVO_EBUSY;
	}
	surplus = hugetlb_node(pool, pfn)->surplus > 0;
	hugetlb_remove(pool, pfn, surplus);
	lock_release(m, &pool->lock);
	if (quietly ? hugetlb_restore_quietly(pool, pfn) :
		      hugetlb_restore_one(pool, pfn, &res, &missing))
		return 0;
	/* Exactly as before: a refused dissolve makes no surplus. */
	if (!quietly) {
		hugetlb_refuse(pool, pfn, missing, surplus);
		return -HVO_ENOMEM;
	}
	lock_acquire(m, &pool->lock);
	hugetlb_account(pool, pfn, surplus);
	hugetlb_enqueue(pool, pfn);
	lock_release(m, &pool->lock);
	return -HVO_ENOMEM;
}

int hvo_hugetlb_dissolve(struct hvo_machine *m, hvo_pfn_t pfn)
{
	struct hvo_pool *pool;
	bool used = false;
	int rc = 0;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (pfn >= m->mm.nr_frames)
		return -HVO_EINVAL;
	lock_acquire(m, &m->memmap_lock);
	pool = hugetlb_lock_pool_of(m, &pfn, &used);
	if (pool && used) {
		lock_release(m, &pool->lock);
		rc = -HVO_EBUSY;
	} else if (pool) {
		rc = hugetlb_dissolve_locked(pool, pfn, false);
	}
	lock_release(m, &m->memmap_lock);
	return rc;
}

/* ---- migration --------------------------------------------------------------------------- */

static int populate_page(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	return pool->m->ops->populate(pool->m->ctx, pfn, UINT64_C(1) << pool->order);
}

/*
 * A new page, folded if that is on, in no counter. Folding comes last: there is no need to
 * take it back. Memmap lock held.
 */
static int fresh_page(struct hvo_pool *pool, unsigned int gfp, int node, bool populate,
		      hvo_pfn_t *ret)
{
	hvo_pfn_t pfn = 0;
	int rc = hugetlb_alloc_fresh(pool, gfp | GFP_ISOLATING, node, &pfn);

	if (rc)
		return rc;
	rc = populate ? populate_page(pool, pfn) : 0;
	if (rc) {
		hugetlb_free_page(pool, pfn);
		return rc;
	}
	pool->batch[0] = pfn;
	hugetlb_fold_batch(pool, 1);
	*ret = pfn;
	return 0;
}

/* A new page that is not needed leaves; where it cannot, it is surplus. Memmap lock held. */
static void give_fresh_back(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	struct hvo_resize_result res = { 0 };
	struct page_list list = { 0 };

	page_list_add(pool->m, &list, pfn);
	hugetlb_release_list(pool, &list, &res);
}

int hugetlb_take_target(struct hvo_pool *pool, unsigned int where, int node, hvo_pfn_t *ret,
			bool *ret_fresh)
{
	struct hvo_machine *m = pool->m;
	hvo_pfn_t pfn = HVO_PFN_NONE;
	bool soon;
	int rc;

	/* Who moves something may have isolated a range himself: nothing is waited for here. */
	lock_acquire(m, &pool->lock);
	if (hugetlb_sound_free(pool) > pool->reserved)
		pfn = take_free(pool, where, node, &soon);
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
	lock_acquire(pool->m, &pool->lock);
	if (fresh) {
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
	/* Then it goes when it is freed. */
	hugetlb_node(pool, pfn)->incoming -= fresh;
	hugetlb_node(pool, pfn)->surplus += fresh;
	lock_release(pool->m, &pool->lock);
}

void hugetlb_migrated(struct hvo_pool *pool, hvo_pfn_t dst, hvo_pfn_t src, bool fresh)
{
	release(pool, src, false, fresh ? hugetlb_node(pool, dst) : NULL);
}

int hugetlb_replace_locked(struct hvo_pool *pool, unsigned int where, hvo_pfn_t pfn)
{
	struct hvo_resize_result res = { 0 };
	struct hvo_machine *m = pool->m;
	hvo_pfn_t fresh = 0;
	uint64_t missing;
	bool free;
	int rc;

	lock_release(m, &pool->lock);
	rc = fresh_page(pool, where, zone_of(m, pfn)->node, false, &fresh);
	if (rc)
		return rc;
	rc = hugetlb_scope_replace(pool, fresh, pfn);
	if (rc) {
		give_fresh_back(pool, fresh);
		return rc;
	}
	lock_acquire(m, &pool->lock);
	/* Who allocates or frees does not need the memmap lock. */
	free = hvo_page_state(page_ro(m, pfn)) == HVO_PAGE_HUGETLB_FREE;
	if (free) {
		take_over(hugetlb_node(pool, pfn), hugetlb_node(pool, fresh));
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

/* ---- folding what is present ------------------------------------------------------------- */

/*
 * Take up to BATCH present pages of the pool from *pfn on out of everybody's reach:
 * free ones off their list, ones in use by a reference of our own.
 */
static unsigned int collect_present(struct hvo_pool *pool, hvo_pfn_t *pfn)
{
	uint64_t size = UINT64_C(1) << pool->order;
	struct hvo_machine *m = pool->m;
	unsigned int nr = 0;

	lock_acquire(m, &pool->lock);
	for (; *pfn < m->mm.nr_frames && nr < BATCH; *pfn += size) {
		const struct hvo_page *page = page_ro(m, *pfn);

		if (!frame_online(m, *pfn) ||
		    hvo_fold_byte(&m->mm, block_of(*pfn)) != pool->order ||
		    m->sections[*pfn >> HVO_SECTION_ORDER].self_hosted ||
		    !hugetlb_in_scope(pool, *pfn))
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

	folded = vmemmap_optimize(m, pool->batch, nr, pool->order);
	lock_acquire(m, &pool->lock);
	for (i = 0; i < nr; i++) {
		struct pool_node *n = hugetlb_node(pool, pool->batch[i]);

		n->optimized += page_optimized(m, pool->batch[i]);
		if (hvo_page_state(page_ro(m, pool->batch[i])) != HVO_PAGE_USED)
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

int hvo_hugetlb_optimize_pool(struct hvo_pool *pool, uint64_t *ret_done)
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

/* ---- pools ------------------------------------------------------------------------------------ */

int hvo_pool_create(struct hvo_machine *m, unsigned int order, struct hvo_pool **ret)
{
	int rc = -HVO_ENOSPC, i;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (order < HVO_BLOCK_ORDER || order > HVO_MAX_ORDER || !ret)
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

/* Nobody has anything of it, nor a promise. Pool lock held. */
static bool is_empty(struct hvo_pool *pool)
{
	return !POOL_SUM(pool, total) && !pool->reserved && !pool->deferred.nr;
}

/* Other pools that demoted to one that is gone. Memmap lock held. */
static void forget_target(struct hvo_machine *m, unsigned int order)
{
	int i;

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
	unsigned int order = HVO_BLOCK_ORDER;
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
	int i;

	if (machine_gone(m))
		return NULL;
	for (i = 0; i < HVO_MAX_POOLS; i++)
		if (order && __atomic_load_n(&m->pools[i].order, __ATOMIC_ACQUIRE) == order)
			return &m->pools[i];
	return NULL;
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

bool hvo_movable_gigantic(const struct hvo_machine *m)
{
	return __atomic_load_n(&m->movable_gigantic, __ATOMIC_RELAXED);
}

void hvo_set_movable_gigantic(struct hvo_machine *m, bool on)
{
	__atomic_store_n(&m->movable_gigantic, on, __ATOMIC_RELAXED);
}

bool hvo_optimize(const struct hvo_machine *m)
{
	return __atomic_load_n(&m->optimize, __ATOMIC_RELAXED);
}

void hvo_set_optimize(struct hvo_machine *m, bool on)
{
	__atomic_store_n(&m->optimize, on, __ATOMIC_RELAXED);
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
	s.moves_refused_total = pool->moves_refused;
	lock_release(pool->m, &pool->lock);
	if (on_demand(pool->m))
		s.optimized = s.total;
	SIZED_OUT(ret, &s);
	return 0;
}
