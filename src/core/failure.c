// SPDX-License-Identifier: MIT
/*
 * A frame fails. It is recorded and, if it is free, out of use in one hold of its zone's lock
 * (badframe.c, zone_take_bad()). If it is not, who brings it back meets its bit under that lock:
 * there is no moment at which a failure can be forgotten. So all that is done here beyond that is
 * to bring it back soon:
 *
 *	in a free huge page		the page is dissolved
 *	in a block that somebody holds	the head is marked HVO_PF_POISONED, and its owner told
 *	it holds descriptors		they move to another frame
 *	in a pageblock that was set aside	that is cut around it
 *	between two hands		nothing: it is met on its way, or by poison_work()
 *
 * The tails of a pageblock that is cut around a bad frame lie in the first 8-frame group of it that
 * has none. What is allocated is looked over once more before it is handed out; what joins a pool is
 * marked, and nobody gets it.
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
	unsigned int gfp; /* for a frame that descriptors move to */
	bool again;	  /* who has it knows */
	hvo_pfn_t held;	  /* head of the block whose owner is to be told, held for that */
	int rc;		  /* of who has it, if it is not out */
};

/*
 * Out of the zone, if it is free. What this says stays so, but for BAD_IN_USE. Offline memory is
 * in nobody's hands, and comes back through the gate.
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

/* A block that is held and marked now stays so until its owner is told, unless he knows. */
static void keep_to_tell(struct failure *f, hvo_pfn_t head, bool marked)
{
	if (marked && f->again)
		put_page_mapped(f->m, head);
	else
		f->held = head;
}

/* In a huge page; a free one is dissolved. Pool lock held, dropped. */
static void fail_huge(struct failure *f, struct hvo_pool *pool, hvo_pfn_t head, bool used)
{
	struct hvo_machine *m = f->m;
	bool held = used && !hvo_get_page(m, head, NULL), marked = page_poisoned(m, head);

	lock_assert_held(m, &pool->lock);
	lock_assert_held(m, &m->memmap_lock);
	/* Between two hands it is marked when it is back in one: then its owner is told, too. */
	if (held || !used)
		hugetlb_mark_bad(pool, head);
	if (!used) {
		f->rc = hugetlb_dissolve_locked(pool, head, f->again);
		return;
	}
	lock_release(m, &pool->lock);
	if (held)
		keep_to_tell(f, head, marked);
}

/* Make who has it give it up. False: nobody was found, it is on its way from one hand to another. */
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
	if (pool) {
		fail_huge(f, pool, head, used);
		return true;
	}
	if (!hvo_get_page(m, f->pfn, &head)) {
		marked = page_poisoned(m, head);
		page_add_flags(page_rw(m, head), HVO_PF_POISONED);
		keep_to_tell(f, head, marked);
		return true;
	}
	/* Without memory for another frame there is nothing to wait for. */
	rc = vmemmap_replace_frame(m, f->pfn, f->gfp);
	return !rc || rc == -HVO_ENOMEM;
}

/* What became of it. */
static int result(struct failure *f)
{
	switch (take_bad(f)) {
	case BAD_OUT:
		return 0;
	case BAD_ASIDE:
		return cut_aside(f->m, pageblock_pfn(pageblock_of(f->pfn))) ? 0 : -HVO_ENOMEM;
	default:
		return f->rc ? f->rc : -HVO_EBUSY;
	}
}

/*
 * Without the memmap lock, and without any other: the owner may free what he has there,
 * or move it. The last reference may be ours by then, and dropping it takes the frame out.
 */
static void tell_and_put(struct failure *f)
{
	if (f->held == HVO_PFN_NONE)
		return;
	tell_owner(f->m, f->pfn, f->held);
	put_page_mapped(f->m, f->held);
}

/* It is recorded, and not free. Memmap lock held, so that it stays online. */
static int bring_back(struct failure *f)
{
	struct hvo_machine *m = f->m;
	int rc, i;

	lock_assert_held(m, &m->memmap_lock);
	hugetlb_flush_all(m);
	for (i = 0; take_bad(f) == BAD_IN_USE && !fail_once(f) && i < ATTEMPTS; i++)
		m->ops->sleep_ns(m->ctx, WAIT_NS);
	rc = result(f);
	/* Some other time. */
	if (rc)
		work_wanted(m);
	return rc;
}

/* It is recorded, not free, and nobody has the memmap lock. */
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
 * The next failed frame from @pfn on that is still in use, as f->pfn; false: none. What was set
 * aside is not, and offline memory comes back through the gate. Memmap lock held.
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
		/* Nobody waits for it: what there is has to do. */
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
