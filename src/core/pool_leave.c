// SPDX-License-Identifier: MIT
/*
 * Leaving a pool: what becomes of a huge page whose descriptors have to be restored before its
 * memory can be used, the interpreter of restore policies, frees that are put off, and pages that
 * are dissolved.
 *
 *	in a pool --> list of pages that left --> present --> free lists
 *	    ^		       |
 *	    +--- refused, surplus: its descriptors cannot be had
 *
 * Pages are restored in the order of the list, the last page that left first. As in Linux that
 * order decides which pages get the free frames, and which pages give frames to the next ones.
 *
 * States: HUGETLB_* -> TAKEN on the list; TAKEN -> FREE, or back to HUGETLB_FREE.
 * HVO_PF_DEFERRED while a page is on its pool's deferred list.
 * Locks: the memmap lock throughout, but for hugetlb_put(): whoever frees takes the pool's lock,
 * no other, and never waits; what has to be restored is deferred.
 * Linux: mm/hugetlb.c, update_and_free_pages_bulk(), bulk_vmemmap_restore_error(),
 * free_huge_folio(), free_hpage_workfn(), flush_free_hpage_work(), dissolve_free_hugetlb_folio().
 */
#include "pool_leave.h"

#include "badframe.h"
#include "base.h"
#include "carve.h"
#include "cma_area.h"
#include "fold.h"
#include "lock.h"
#include "optimize.h"
#include "page.h"
#include "pool.h"
#include "shrinker.h"
#include "sort.h"

#define NS_PER_MS UINT64_C(1000000)

void hugetlb_refuse(struct hvo_pool *pool, hvo_pfn_t pfn, uint64_t missing, uint64_t surplus)
{
	lock_assert_held(pool->m, &pool->m->memmap_lock);
	lock_acquire(pool->m, &pool->lock);
	hugetlb_account(pool, pfn, surplus);
	hugetlb_enqueue(pool, pfn);
	pool->refused++;
	lock_release(pool->m, &pool->lock);
	trace3(pool->m, HVO_EVENT_FREE_REFUSED, pfn, pool->order, missing,
	       missing ? HVO_REFUSED_NO_FRAMES : HVO_REFUSED_NO_MAPPING);
}

/* ---- the interpreter of restore policies ---------------------------------------------------- */

static void note_carved(struct hvo_pool *pool, hvo_pfn_t pfn, struct hvo_resize_result *res)
{
	lock_assert_held(pool->m, &pool->m->memmap_lock);
	lock_acquire(pool->m, &pool->lock);
	pool->carved++;
	lock_release(pool->m, &pool->lock);
	res->carved++;
	trace(pool->m, HVO_EVENT_CARVED, pfn, pool->order, 0);
	if (pool->policy.flags & HVO_POLICY_HEAL)
		work_wanted(pool->m);
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
	/* No descriptors go to a frame that failed. */
	if (step->source == HVO_RESTORE_CARVE && badframe_in_block(pool->m, pfn, pool->order))
		return false;
	return vmemmap_restore(pool->m, &pfn, 1, pool->order, &alloc, ret_missing);
}

bool hugetlb_restore_one(struct hvo_pool *pool, hvo_pfn_t pfn, struct hvo_resize_result *res,
			 uint64_t *ret_missing)
{
	struct hvo_machine *m = pool->m;
	uint64_t missing = 0;
	uint32_t i, attempt;

	lock_assert_held(m, &m->memmap_lock);
	*ret_missing = 0;
	if (!page_optimized(m, pfn)) {
		free_block(pool->m, pfn, pool->order);
		return true;
	}
	for (i = 0; i < pool->policy.nr_steps; i++) {
		const struct hvo_restore_step *step = &pool->policy.steps[i];

		for (attempt = 0;; attempt++) {
			if (try_step(pool, pfn, step, &missing)) {
				if (step->source == HVO_RESTORE_CARVE) {
					if (page_flags(page_ro(m, pfn)) & HVO_PF_CMA)
						cma_freed(m, pfn, pool->order);
					vmemmap_free_carved(m, pfn, pool->order);
					note_carved(pool, pfn, res);
				} else {
					free_block(pool->m, pfn, pool->order);
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

/* ---- many at once --------------------------------------------------------------------------- */

/* Restore and free as many pages as one batch can, without policy; returns how many. */
static unsigned int leave_bulk(struct hvo_pool *pool, hvo_pfn_t *pfns, unsigned int nr)
{
	struct hvo_restore_step bulk = pool->policy.steps[0];
	unsigned int done;
	uint64_t missing;

	if (bulk.source != HVO_RESTORE_ALLOC)
		return 0;
	bulk.gfp = (bulk.gfp & ~HVO_GFP_RECLAIM) | HVO_GFP_NOWARN;
	done = vmemmap_restore(pool->m, pfns, nr, pool->order, &bulk, &missing);
	free_batch(pool->m, pfns, done, pool->order);
	return done;
}

/* Restore and free one page by the policy, or make the page surplus, as Linux. */
static void leave_one(struct hvo_pool *pool, hvo_pfn_t pfn, struct hvo_resize_result *res)
{
	uint64_t missing;

	lock_assert_held(pool->m, &pool->m->memmap_lock);
	if (hugetlb_restore_one(pool, pfn, res, &missing)) {
		res->done++;
		return;
	}
	hugetlb_refuse(pool, pfn, missing, 1);
	res->refused++;
}

/* Are there frames for all descriptors of these pages, wherever the first step looks? */
static bool frames_suffice(struct hvo_pool *pool, const hvo_pfn_t *pfns, unsigned int nr)
{
	const struct hvo_restore_step *step = &pool->policy.steps[0];
	uint64_t want = 0, each = (UINT64_C(1) << pool->order) / HVO_PAGES_PER_FRAME;
	struct hvo_machine *m = pool->m;
	unsigned int i;
	uint32_t n;

	if (step->source != HVO_RESTORE_ALLOC ||
	    (step->gfp & HVO_GFP_THISNODE && m->cfg.nr_nodes > 1))
		return false;
	for (i = 0; i < nr; i++)
		want += page_optimized(m, pfns[i]) ? each : 0;
	for (n = 0; n < m->cfg.nr_nodes && want; n++) {
		const struct zone *z = &m->nodes[n].zones[HVO_ZONE_NORMAL];
		uint64_t free = counter_read(&z->nr_free), high = counter_read(&z->high);

		want -= free > high ? min_u64(want, free - high) : 0;
	}
	return !want;
}

/*
 * Sort pages that will all be free, so that the fewest mappings are needed: present pages first,
 * since they free frames of the start, then by address. Returns how many pages are left to restore.
 */
static unsigned int sort_for_mapping(struct hvo_pool *pool, hvo_pfn_t *pfns, unsigned int nr,
				     struct hvo_resize_result *res)
{
	unsigned int i, left = 0;

	for (i = 0; i < nr; i++) {
		if (page_optimized(pool->m, pfns[i])) {
			pfns[left++] = pfns[i];
			continue;
		}
		free_block(pool->m, pfns[i], pool->order);
		res->done++;
	}
	sort_ascending(pfns, left);
	return left;
}

void hugetlb_leave_list(struct hvo_pool *pool, struct page_list *list,
			struct hvo_resize_result *res)
{
	unsigned int nr, i, done;

	lock_assert_held(pool->m, &pool->m->memmap_lock);
	while (list->nr) {
		for (nr = 0; nr < BATCH && list->nr; nr++)
			pool->batch[nr] = page_list_pop(pool->m, list);
		if (on_demand(pool->m)) {
			free_batch(pool->m, pool->batch, nr, pool->order);
			res->done += nr;
			continue;
		}
		if (frames_suffice(pool, pool->batch, nr))
			nr = sort_for_mapping(pool, pool->batch, nr, res);
		for (i = 0; i < nr; i += done) {
			done = leave_bulk(pool, pool->batch + i, nr - i);
			res->done += done;
			if (done)
				continue;
			leave_one(pool, pool->batch[i], res);
			done = 1;
		}
	}
}

/* ---- deferred ------------------------------------------------------------------------------- */

uint64_t hugetlb_flush(struct hvo_pool *pool, uint64_t max)
{
	struct hvo_resize_result res = { 0 };
	struct hvo_machine *m = pool->m;
	struct page_list list = { 0 };
	uint64_t nr;
	hvo_pfn_t pfn;

	lock_assert_held(m, &m->memmap_lock);
	lock_acquire(m, &pool->lock);
	while (list.nr < max && (pfn = page_list_pop(m, &pool->deferred)) != HVO_PFN_NONE) {
		page_clear_flags(page_rw(m, pfn), HVO_PF_DEFERRED);
		page_list_add(m, &list, pfn);
	}
	lock_release(m, &pool->lock);
	nr = list.nr;
	hugetlb_leave_list(pool, &list, &res);
	return nr;
}

void hugetlb_flush_all(struct hvo_machine *m)
{
	unsigned int i;

	lock_assert_held(m, &m->memmap_lock);
	for (i = 0; i < HVO_MAX_POOLS; i++)
		if (m->pools[i].order)
			hugetlb_flush(&m->pools[i], UINT64_MAX);
}

/* Leave a page that is in no counter to hvo_work(). */
static void defer(struct hvo_pool *pool, hvo_pfn_t pfn)
{
	lock_assert_held(pool->m, &pool->lock);
	page_add_flags(page_rw(pool->m, pfn), HVO_PF_DEFERRED);
	page_list_add(pool->m, &pool->deferred, pfn);
	work_wanted(pool->m);
}

void hugetlb_hand_over(struct pool_node *from, struct pool_node *to)
{
	/* As Linux's move_hugetlb_state(): within a node the number of surplus pages stays. */
	if (from != to && from->surplus) {
		from->surplus--;
		to->surplus++;
	}
}

void hugetlb_put(struct hvo_pool *pool, hvo_pfn_t pfn, bool restore_reserve, hvo_pfn_t fresh)
{
	bool direct = false, poisoned, replaced = fresh != HVO_PFN_NONE;
	struct hvo_machine *m = pool->m;
	struct pool_node *n;

	lock_acquire(m, &pool->lock);
	n = hugetlb_node(pool, pfn);
	hugetlb_mark_bad(pool, pfn);
	pool->reserved += restore_reserve;
	if (replaced) {
		struct pool_node *to = hugetlb_node(pool, fresh);

		HVO_ASSERT(m, to->incoming, POOL_6, "none is incoming", pfn);
		to->incoming--;
		hugetlb_hand_over(n, to);
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
		free_block(pool->m, pfn, pool->order);
}

void hugetlb_leave(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	struct hvo_pool *pool = pool_of_order(m, order);

	HVO_ASSERT(m, pool, POOL_1, "huge page without a pool", pfn);
	hugetlb_put(pool, pfn, false, HVO_PFN_NONE);
}

/* ---- dissolve ------------------------------------------------------------------------------- */

/* May a free page be dissolved? A page that cannot be handed out keeps no promise. */
static bool may_dissolve(const struct hvo_pool *pool, hvo_pfn_t pfn)
{
	uint64_t free =
		page_poisoned(pool->m, pfn) ? POOL_SUM(pool, free) : hugetlb_sound_free(pool);

	lock_assert_held(pool->m, &pool->lock);
	return free > pool->reserved;
}

int hugetlb_dissolve_locked(struct hvo_pool *pool, hvo_pfn_t pfn, bool quietly)
{
	struct hvo_resize_result res = { 0 };
	struct hvo_machine *m = pool->m;
	uint64_t missing, surplus;

	lock_assert_held(m, &pool->lock);
	lock_assert_held(m, &m->memmap_lock);
	if (!may_dissolve(pool, pfn)) {
		lock_release(m, &pool->lock);
		return -HVO_EBUSY;
	}
	surplus = hugetlb_node(pool, pfn)->surplus > 0;
	hugetlb_remove(pool, pfn, surplus);
	lock_release(m, &pool->lock);
	if (quietly ? leave_bulk(pool, &pfn, 1) : hugetlb_restore_one(pool, pfn, &res, &missing))
		return 0;
	/* Undo: a refused dissolve makes no surplus page. */
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
