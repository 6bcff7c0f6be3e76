// SPDX-License-Identifier: MIT
/*
 * The number of pages of a pool: growing and shrinking it, over nodes in turn.
 *
 * Order of work, as in Linux: finish deferred frees; surplus becomes persistent; new
 * pages are allocated and folded in batches; free pages that nobody reserved leave, one
 * node after the other; what is still too much becomes surplus.
 *
 * States: FREE -> TAKEN -> HUGETLB_FREE on the way in.
 * Locks: the memmap lock throughout; the pool's lock for lists and counters.
 * Linux: mm/hugetlb.c, set_max_huge_pages(), adjust_pool_surplus(),
 * alloc_pool_huge_folio(), remove_pool_hugetlb_folio(), hstate_next_node_to_alloc().
 */
#include "base.h"
#include "cma.h"
#include "compact.h"
#include "contig.h"
#include "lock.h"
#include "page.h"
#include "pool.h"
#include "pool_leave.h"
#include "scope.h"
#include "sized.h"

/* ---- nodes in turn -------------------------------------------------------------------------- */

static bool has_surplus(const struct pool_node *n)
{
	return n->surplus;
}

static uint64_t node_persistent(const struct pool_node *n)
{
	return n->total - n->surplus - n->incoming;
}

static bool has_persistent(const struct pool_node *n)
{
	return node_persistent(n);
}

static bool has_free_persistent(const struct pool_node *n)
{
	return n->free_list && node_persistent(n);
}

static bool any(const struct pool_node *n)
{
	(void)n;
	return true;
}

/* ---- making room ---------------------------------------------------------------------------- */

/*
 * Put a page together by moving blocks away. As in Linux only a pool that is made larger does that:
 * a page that is to take another one's place could ask for a third one. Moving takes the memmap
 * lock, so it is dropped meanwhile; pools may have changed on return.
 */
static int make_room(struct hvo_pool *pool, int node, bool cma, hvo_pfn_t *ret)
{
	unsigned int gfp = HVO_GFP_KERNEL | HVO_GFP_THISNODE | hugetlb_movable_gfp(pool);
	struct hvo_machine *m = pool->m;
	int rc = -HVO_ENOMEM;

	lock_assert_held(m, &m->memmap_lock);
	lock_release(m, &m->memmap_lock);
	if (cma)
		rc = cma_alloc_one(m, node, pool->order, pool->tried, ret);
	else if (pool->order > m->cfg.max_order)
		rc = contig_alloc_one(m, gfp, node, pool->order, pool->nodes[node].tried, ret);
	else if (compact_direct(m, gfp, pool->order, node))
		rc = -HVO_EAGAIN;
	lock_acquire(m, &m->memmap_lock);
	return rc == -HVO_EAGAIN ? hugetlb_alloc_fresh(pool, HVO_GFP_THISNODE, node, ret) : rc;
}

static bool alloc_on(struct hvo_pool *pool, int node, hvo_pfn_t *ret)
{
	return (pool->cma && !hugetlb_stays(pool) && !make_room(pool, node, true, ret)) ||
	       !hugetlb_alloc_fresh(pool, HVO_GFP_THISNODE, node, ret) ||
	       !make_room(pool, node, false, ret);
}

static bool alloc_in_turn(struct hvo_pool *pool, uint64_t nodes, hvo_pfn_t *ret)
{
	unsigned int left = nr_of_nodes(nodes);

	lock_assert_held(pool->m, &pool->m->memmap_lock);
	while (left--) {
		struct pool_node *n = hugetlb_next_node(pool, &pool->next_alloc, nodes, any);

		if (alloc_on(pool, (int)(n - pool->nodes), ret))
			return true;
	}
	return false;
}

/* ---- resizing ------------------------------------------------------------------------------- */

struct resize {
	struct hvo_pool *pool;
	uint64_t nodes;
	const struct hvo_resize_options *opt;
	struct hvo_resize_result res;
	bool stopped;
};

/* Ask the user whether to go on; false: the user stops the resize. */
static bool go_on(struct resize *r)
{
	if (r->opt->progress && !r->stopped)
		r->stopped = !r->opt->progress(r->opt->arg, &r->res);
	return !r->stopped;
}

static uint64_t persistent(const struct hvo_pool *pool)
{
	return POOL_SUM(pool, total) - POOL_SUM(pool, surplus) - POOL_SUM(pool, incoming);
}

/* Make surplus pages persistent until there are @count persistent pages, or no surplus ones. */
static void adopt_surplus(struct resize *r, uint64_t count)
{
	struct hvo_pool *pool = r->pool;
	struct pool_node *n;

	lock_assert_held(pool->m, &pool->lock);
	while (count > persistent(pool) &&
	       (n = hugetlb_next_node(pool, &pool->next_alloc, r->nodes, has_surplus))) {
		n->surplus--;
		r->res.done++;
	}
}

/* Make persistent pages that cannot be freed now surplus, until @count are persistent. */
static void make_surplus(struct resize *r, uint64_t count)
{
	struct hvo_pool *pool = r->pool;
	struct pool_node *n;

	lock_assert_held(pool->m, &pool->lock);
	while (count < persistent(pool) &&
	       (n = hugetlb_next_node(pool, &pool->next_free, r->nodes, has_persistent)))
		n->surplus++;
}

/* Mark the first @nr pages of pool->batch if they come at boot. */
static void mark_boot(const struct resize *r, unsigned int nr)
{
	struct hvo_pool *pool = r->pool;
	unsigned int i;

	for (i = 0; i < nr && r->opt->boot; i++)
		page_add_flags(page_rw(pool->m, pool->batch[i]), HVO_PF_AT_BOOT);
}

/* Let the next pages of a list join the pool, in the order of the list, as in Linux. */
static void join(struct resize *r, struct page_list *list)
{
	struct hvo_pool *pool = r->pool;
	struct hvo_machine *m = pool->m;
	unsigned int nr = page_list_peek(m, list, pool->batch, BATCH), i;

	lock_assert_held(m, &m->memmap_lock);
	mark_boot(r, nr);
	hugetlb_fold_batch(pool, nr);
	lock_acquire(m, &pool->lock);
	for (i = 0; i < nr; i++) {
		hvo_pfn_t pfn = page_list_pop(m, list);

		hugetlb_account(pool, pfn, 0);
		hugetlb_enqueue(pool, pfn);
	}
	lock_release(m, &pool->lock);
	r->res.done += nr;
}

/* Try all places again: places that could not be emptied may be emptied now. */
static void forget_tried(struct hvo_pool *pool)
{
	uint32_t n, i;

	lock_assert_held(pool->m, &pool->m->memmap_lock);
	for (i = 0; i < HVO_MAX_CMA; i++)
		pool->tried[i] = 0;
	for (n = 0; n < pool->m->cfg.nr_nodes; n++)
		for (i = 0; i < HVO_NR_ZONES; i++)
			pool->nodes[n].tried[i] = 0;
}

/* Pages, at most @max, that can be had on each node without making room on any. */
static unsigned int free_on_each(struct resize *r, uint64_t max)
{
	uint64_t nodes;

	for (nodes = r->nodes; max && nodes; nodes &= nodes - 1)
		max = min_u64(max, hugetlb_count_free(r->pool, __builtin_ctzll(nodes)));
	return (unsigned int)max;
}

/*
 * Tell the platform if descriptors beside all frames are going to be written, most of them: several
 * in each page of these.
 */
static void expect_heads(struct resize *r, uint64_t want)
{
	struct hvo_machine *m = r->pool->m;
	uint64_t nr = m->mm.nr_frames >> HVO_PAGEBLOCK_ORDER;

	if (m->ops->willneed && m->mm.heads && want > nr / 2)
		m->ops->willneed(m->ctx, m->mm.heads, nr * sizeof(*m->mm.heads));
}

/*
 * On demand nothing is to be folded: let free memory join in batches, as much of it on each node as
 * single pages in turn would be, and at most @want pages. Returns how many are wanted still.
 */
static uint64_t join_free(struct resize *r, uint64_t want)
{
	struct hvo_pool *pool = r->pool;
	unsigned int nr_nodes = nr_of_nodes(r->nodes), each, nr, i;

	lock_assert_held(pool->m, &pool->m->memmap_lock);
	expect_heads(r, want);
	while (!r->stopped && (each = free_on_each(r, min_u64(want, BATCH) / nr_nodes))) {
		for (i = 0, nr = 0; i < nr_nodes; i++) {
			struct pool_node *n =
				hugetlb_next_node(pool, &pool->next_alloc, r->nodes, any);

			nr += hugetlb_alloc_free(pool, (int)(n - pool->nodes), each,
						 pool->batch + nr);
		}
		mark_boot(r, nr);
		hugetlb_add_batch(pool, nr);
		r->res.done += nr;
		want -= nr;
		go_on(r);
	}
	return want;
}

/*
 * Linux folds when all pages are allocated, or no more can be: frames that folding frees do not
 * make the pool larger. With policies that are not Linux's, and with users that watch, each batch
 * is folded before the next.
 */
static void grow(struct resize *r, uint64_t want)
{
	bool eager = on_demand(r->pool->m) || r->opt->progress ||
		     r->pool->policy.flags & HVO_POLICY_RETRY;
	struct page_list list = { 0 };
	hvo_pfn_t pfn = 0;

	lock_assert_held(r->pool->m, &r->pool->m->memmap_lock);
	if (on_demand(r->pool->m) && !r->pool->cma)
		want = join_free(r, want);
	if (r->stopped)
		return;
	forget_tried(r->pool);
	while (want) {
		if (alloc_in_turn(r->pool, r->nodes, &pfn)) {
			page_list_add(r->pool->m, &list, pfn);
			want--;
			if (!eager || list.nr < BATCH)
				continue;
		} else if (!eager || !list.nr) {
			break;
		}
		join(r, &list);
		forget_tried(r->pool);
		if (!go_on(r))
			break;
	}
	if (!list.nr)
		return;
	while (list.nr)
		join(r, &list);
	go_on(r);
}

/*
 * Count the persistent pages that have to stay: reserved ones and ones in use. Free pages in excess
 * of the persistent number are surplus pages that could not be freed.
 */
static uint64_t lower_bound(const struct hvo_pool *pool, uint64_t count)
{
	lock_assert_held(pool->m, &pool->lock);
	/* A promise needs a sound page, and the pages that leave may be sound. */
	uint64_t free = pool->reserved ? hugetlb_sound_free(pool) : POOL_SUM(pool, free);
	uint64_t surplus = POOL_SUM(pool, surplus), all = persistent(pool), min;

	if (free > all)
		free = free > surplus ? free - surplus : 0;
	min = pool->reserved + all - free;
	return min > count ? min : count;
}

/* Let @left free pages leave. Pool lock held, dropped for each batch. */
static void shrink(struct resize *r, uint64_t left, bool surplus)
{
	struct hvo_pool *pool = r->pool;
	struct hvo_machine *m = pool->m;
	struct page_list list = { 0 };
	struct pool_node *n;

	lock_assert_held(m, &pool->lock);
	for (; left; left--) {
		n = hugetlb_next_node(pool, &pool->next_free, r->nodes,
				      surplus ? hugetlb_has_free_surplus : has_free_persistent);
		if (!n)
			break;
		hugetlb_remove_to(pool, n, surplus, &list);
	}
	lock_release(m, &pool->lock);
	hugetlb_leave_list(pool, &list, &r->res);
	lock_acquire(m, &pool->lock);
}

/* Let free surplus pages leave, which could not be restored when they were to leave before. */
static void retry_refused(struct resize *r)
{
	struct hvo_pool *pool = r->pool;
	uint64_t nr = min_u64(POOL_SUM(pool, surplus), hugetlb_spare(pool));

	lock_assert_held(pool->m, &pool->lock);
	r->res.asked += nr;
	shrink(r, nr, true);
}

static void resize_to(struct resize *r, uint64_t count)
{
	struct hvo_pool *pool = r->pool;
	struct hvo_machine *m = pool->m;
	uint64_t now, min;

	lock_assert_held(m, &m->memmap_lock);
	lock_acquire(m, &pool->lock);
	now = persistent(pool);
	if (count > now) {
		r->res.asked = count - now;
		adopt_surplus(r, count);
		now = persistent(pool);
		lock_release(m, &pool->lock);
		if (count > now && go_on(r))
			grow(r, count - now);
		return;
	}
	r->res.asked = now - count;
	if (pool->policy.flags & HVO_POLICY_RETRY)
		retry_refused(r);
	/* Shrink in steps that a user can follow; without a user to ask, all at once as Linux. */
	while ((min = lower_bound(pool, count)) < (now = persistent(pool))) {
		uint64_t step = r->opt->progress && now - min > BATCH ? BATCH : now - min;
		bool more;

		shrink(r, step, false);
		lock_release(m, &pool->lock);
		more = go_on(r);
		lock_acquire(m, &pool->lock);
		if (!more || step == now - min || persistent(pool) == now)
			break;
	}
	if (!r->stopped)
		make_surplus(r, count);
	lock_release(m, &pool->lock);
}

/* The size of the whole pool at which one node has @nr pages and the others keep theirs. */
static uint64_t count_of_node(struct hvo_pool *pool, int node, uint64_t nr)
{
	const struct pool_node *n = &pool->nodes[node];
	uint64_t others;

	lock_acquire(pool->m, &pool->lock);
	others = persistent(pool) - node_persistent(n);
	lock_release(pool->m, &pool->lock);
	return nr > UINT64_MAX - others ? UINT64_MAX : nr + others;
}

int hvo_pool_resize_with(struct hvo_pool *pool, int node, uint64_t nr,
			 const struct hvo_resize_options *opt, struct hvo_resize_result *ret)
{
	struct hvo_resize_options own = { 0 };
	struct resize r = { .pool = pool, .opt = &own, .res.size = sizeof(r.res) };
	struct hvo_machine *m;
	int rc = pool_check(pool, node);

	if (!rc && opt)
		rc = SIZED_IN(&own, opt);
	if (!rc && ret)
		rc = sized_check(ret);
	if (rc || (node >= 0 && own.nodes))
		return rc ? rc : -HVO_EINVAL;
	m = pool->m;
	r.nodes = node >= 0 ? UINT64_C(1) << node : all_nodes(m);
	if (own.nodes)
		r.nodes &= own.nodes;
	if (!r.nodes)
		return -HVO_EINVAL;
	lock_acquire(m, &pool->resize_lock);
	lock_acquire(m, &m->memmap_lock);
	hugetlb_flush_all(m);
	resize_to(&r, node >= 0 ? count_of_node(pool, node, nr) : nr);
	lock_release(m, &m->memmap_lock);
	lock_release(m, &pool->resize_lock);
	if (ret)
		SIZED_OUT(ret, &r.res);
	return 0;
}

int hvo_pool_resize(struct hvo_pool *pool, int node, uint64_t nr, struct hvo_resize_result *ret)
{
	return hvo_pool_resize_with(pool, node, nr, NULL, ret);
}
