// SPDX-License-Identifier: MIT
/*
 * A frame fails. One hold of its zone's lock records the failure and, if the frame is free, takes
 * it out of use (badframe.c, zone_take_bad()). Whoever frees a frame in use meets its bit under
 * that lock, so no failure is ever forgotten. The rest of this file makes the user of a frame give
 * it up soon:
 *
 *	in a free huge page		the page is dissolved
 *	in a block that somebody holds	the head is marked HVO_PF_POISONED, and its owner told
 *	it holds descriptors		they move to another frame
 *	in a pageblock that was set aside	that is cut around it
 *	between two hands		nothing: it is met on its way, or by poison_work()
 *
 * The tails of a pageblock that is cut around a bad frame lie in the first 8-frame group of it that
 * has none. What is allocated is looked over once more before it is handed out; what joins a pool
 * is marked, and nobody gets it.
 *
 * Locks: the memmap lock around each attempt; the owner of a block in use is told when all
 * locks are dropped, while we hold a reference on it.
 * Linux: mm/memory-failure.c, memory_failure(), hugetlb_update_hwpoison(), take_page_off_buddy();
 * mm/hugetlb.c, folio_clear_hugetlb_hwpoison().
 */
#include "failure.h"

#include "badframe.h"
#include "base.h"
#include "fold.h"
#include "last_ref.h"
#include "lock.h"
#include "memmap_move.h"
#include "owner.h"
#include "page.h"
#include "pool.h"
#include "pool_leave.h"
#include "stat.h"
#include "zone_cut.h"

#define ATTEMPTS 16
#define WAIT_NS 1000

/* ---- one attempt ---------------------------------------------------------------------------- */

struct failure {
	struct hvo_machine *m;
	hvo_pfn_t pfn;
	unsigned int gfp; /* flags of the allocation of a frame that descriptors move to */
	bool again;	  /* the owner was told before */
	hvo_pfn_t held;	  /* head of a block, held until its owner is told */
	int rc;		  /* result of the attempt, if the frame is still in use */
};

/*
 * Take the frame out of use, if it is free. The answer is final, but for BAD_IN_USE. Offline memory
 * is in nobody's hands; the frame is met when the memory comes online.
 */
static enum bad_place take_bad(struct failure *f)
{
	struct hvo_machine *m = f->m;
	struct zone *z = zone_lock_of(m, f->pfn);
	enum bad_place place;

	if (!z)
		return BAD_OUT;
	place = zone_take_bad(m, z, f->pfn);
	lock_release(m, &z->lock);
	return place;
}

/* Hold a block that was marked now until its owner is told, unless the owner was told before. */
static void keep_to_tell(struct failure *f, hvo_pfn_t head, bool marked)
{
	if (marked && f->again)
		put_page_mapped(f->m, head);
	else
		f->held = head;
}

/*
 * Mark a huge page of which the frame failed; dissolve a free one. Pool lock held, dropped. False:
 * the page is on its way from one hand to another, and is marked when it is in a hand again.
 */
static bool fail_huge(struct failure *f, struct hvo_pool *pool, hvo_pfn_t head, bool used)
{
	struct hvo_machine *m = f->m;
	bool held = used && !hvo_get_page(m, head, NULL), marked = page_poisoned(m, head);

	lock_assert_held(m, &pool->lock);
	lock_assert_held(m, &m->memmap_lock);
	if (held || !used)
		hugetlb_mark_bad(pool, head);
	if (!used) {
		f->rc = hugetlb_dissolve_locked(pool, head, f->again);
		return true;
	}
	lock_release(m, &pool->lock);
	if (held)
		keep_to_tell(f, head, marked);
	return held;
}

/*
 * Make the user of the frame give it up. False: the frame is on its way from one hand to another.
 */
static bool fail_once(struct failure *f)
{
	struct hvo_machine *m = f->m;
	hvo_pfn_t head = f->pfn;
	bool used = false, marked;
	struct hvo_pool *pool;
	int rc;

	lock_assert_held(m, &m->memmap_lock);
	f->rc = -HVO_EBUSY;
	pool = hugetlb_lock_pool_of(m, &head, &used);
	if (pool)
		return fail_huge(f, pool, head, used);
	if (!hvo_get_page(m, f->pfn, &head)) {
		marked = page_poisoned(m, head);
		page_add_flags(page_rw(m, head), HVO_PF_POISONED);
		keep_to_tell(f, head, marked);
		return true;
	}
	/* Do not try again without memory for another frame. */
	rc = vmemmap_replace_frame(m, f->pfn, f->gfp);
	return !rc || rc == -HVO_ENOMEM;
}

/* The result of hvo_memory_failure(): where is the frame by now? */
static int result(struct failure *f)
{
	lock_assert_held(f->m, &f->m->memmap_lock);
	switch (take_bad(f)) {
	case BAD_OUT:
		return 0;
	case BAD_ASIDE:
		return cut_aside(f->m, pb_of(f->pfn)) ? 0 : -HVO_ENOMEM;
	default:
		return f->rc ? f->rc : -HVO_EBUSY;
	}
}

/*
 * Tell the owner and drop the reference of keep_to_tell(). No lock held: the owner may free or move
 * the block. Dropping the last reference takes the frame out of use.
 */
static void tell_and_put(struct failure *f)
{
	if (f->held == HVO_PFN_NONE)
		return;
	tell_owner(f->m, f->pfn, f->held);
	put_page_mapped(f->m, f->held);
}

/* Bring a recorded frame in use back. Memmap lock held, so that the frame stays online. */
static int bring_back(struct failure *f)
{
	struct hvo_machine *m = f->m;
	int rc, i;

	lock_assert_held(m, &m->memmap_lock);
	hugetlb_flush_all(m);
	for (i = 0; take_bad(f) == BAD_IN_USE && !fail_once(f) && i < ATTEMPTS; i++)
		m->ops->sleep_ns(m->ctx, WAIT_NS);
	rc = result(f);
	/* hvo_work() tries again. */
	if (rc)
		work_wanted(m);
	return rc;
}

/* Take a recorded frame in use from its user. No lock held. */
static int take_from_user(struct hvo_machine *m, hvo_pfn_t pfn, bool again)
{
	struct failure f = {
		.m = m, .pfn = pfn, .gfp = GFP_MOVE, .held = HVO_PFN_NONE, .rc = -HVO_EBUSY
	};
	int rc;

	lock_acquire(m, &m->memmap_lock);
	rc = again ? result(&f) : bring_back(&f);
	lock_release(m, &m->memmap_lock);
	if (f.held == HVO_PFN_NONE)
		return rc;
	tell_and_put(&f);
	lock_acquire(m, &m->memmap_lock);
	rc = result(&f);
	lock_release(m, &m->memmap_lock);
	return rc;
}

int hvo_memory_failure(struct hvo_machine *m, hvo_pfn_t pfn)
{
	enum bad_place place;
	struct zone *z;
	bool again;
	int rc;

	if (machine_gone(m))
		return -HVO_ENODEV;
	z = zone_lock_of(m, pfn);
	if (!z)
		return -HVO_EINVAL;
	again = !badframe_record(m, pfn);
	place = zone_take_bad(m, z, pfn);
	lock_release(m, &z->lock);
	rc = place == BAD_OUT ? 0 : take_from_user(m, pfn, again);
	if (!again)
		failure_count(m, pfn, rc);
	return rc;
}

/* ---- again ---------------------------------------------------------------------------------- */

/*
 * Find the next failed frame from @pfn on that is still in use, as f->pfn; false: none. Frames in
 * pageblocks set aside and in offline memory are not in use.
 */
static bool next_in_use(struct failure *f, hvo_pfn_t pfn)
{
	struct hvo_machine *m = f->m;

	lock_assert_held(m, &m->memmap_lock);
	while ((pfn = badframe_next(m, pfn, m->mm.nr_frames)) != HVO_PFN_NONE) {
		f->pfn = pfn++;
		if (take_bad(f) == BAD_IN_USE)
			return true;
	}
	return false;
}

uint64_t poison_work(struct hvo_machine *m, uint64_t max)
{
	hvo_pfn_t pfn = 0;
	uint64_t done = 0;
	bool found = true;

	while (found && done < max && counter_read(&m->nr_bad)) {
		/* Nobody waits for this work, so nothing is reclaimed for it. */
		struct failure f = { .m = m,
				     .gfp = GFP_MOVE & ~HVO_GFP_RECLAIM,
				     .again = true,
				     .held = HVO_PFN_NONE };

		lock_acquire(m, &m->memmap_lock);
		found = next_in_use(&f, pfn);
		if (found) {
			(void)fail_once(&f);
			done += !result(&f);
		}
		lock_release(m, &m->memmap_lock);
		tell_and_put(&f);
		pfn = f.pfn + 1;
	}
	return done;
}
