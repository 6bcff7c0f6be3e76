// SPDX-License-Identifier: MIT
/*
 * Moving descriptors: the frame behind one page of the array is replaced by another,
 * while everybody goes on using the 64 descriptors in it.
 *
 *	1. a new frame, populated, in state MEMMAP
 *	2. locks: memmap, pool (if a huge page is described), zone of the described frames
 *	3. all 64 descriptors are at rest, or -HVO_EBUSY; those that somebody holds are held
 *	4. copy, remap, flush		5. let go, unlock	6. the old frame is free
 *
 * The new frame is any free one, in Linux mode best the one of the start. Frames that were set
 * aside at the start, and frames with tails of the pageblock that they lie in, move only when they
 * failed, and never back. The former cease to be set aside; tails stay in their pageblock if it has
 * a free frame, else the pageblock becomes one with tails elsewhere. A pageblock with a failed
 * frame stays cut. A frame in a whole block of descriptors has no descriptor: its place says which
 * page the frame backs, and only its bit (badframe.c) says that the frame failed.
 *
 * Each step that can fail comes before the flush of step 4, and nothing has changed by then.
 * No reader is waited for: a reader sees the old frame or the new one, with the same content.
 *
 * Who may write to a descriptor, and why no write is lost between the copy and the flush:
 *
 *  - zone code, under the lock of its zone: step 2.
 *  - pool code, on heads in state HUGETLB_FREE under the pool's lock: step 2.
 *  - code under the memmap lock: the caller has it.
 *  - whoever changes flags or owner of a block that is held, by the lock of its zone or the
 *    memmap lock: step 2.
 *  - an owner without a lock: of a block between the zone and its first reference, or
 *    between its last one and the zone; who splits a frozen block, cuts or collapses
 *    a pageblock. Then the head is TAKEN, or USED or HUGETLB_USED with refcount 0, or is no
 *    head, or the pageblock is BUSY, or not CUT yet: not at rest. The owner gets the block and
 *    gives it back under the zone's lock, so none of that begins after step 3. The
 *    head may lie in another page of descriptors than the tails that the owner writes:
 *    step 3 starts from the head of the block that reaches into this page. All of that is
 *    said by the fold byte, the pageblock and the head's own page: also for head pages.
 *  - whoever has a reference, on refcount and mapcount, by compare-and-swap: HVO_HOLD is
 *    set in both, so all that was read before does not compare any more, and who reads
 *    now waits (page_count()). This also keeps the owner of a held block from
 *    freezing it, so its order and its tails stay as they are. HOLD is set only while
 *    refcount is not 0, by compare-and-swap too: order and state are read after that.
 *  - the library's user, private_data of a block that it holds: hvo_page_set_private()
 *    stores again if m->move_seq says that something moved meanwhile. Each of us writes
 *    his word, passes a fence, and reads the other's: so either the copy has the new value or
 *    the user sees an odd number.
 *
 * A waiter may be inside a reader's section, and may hold a lock that is not of ours: nothing
 * here waits for readers or allocates while HOLD is set, and remap() of one page must not
 * either. A platform that translates in software has users with an address of the old frame
 * in their hands, even after the flush: there, readers are waited for before step 6.
 *
 * Locks: as above. Zone locks are taken one after the other, never two.
 * Linux: mm/migrate.c, folio_ref_freeze(), as the idea; descriptors do not move there.
 */
#include "memmap_move.h"

#include "backing.h"
#include "badframe.h"
#include "base.h"
#include "fold.h"
#include "frames.h"
#include "lock.h"
#include "page.h"
#include "zone_cut.h"
#include "zone_whole.h"

/* ---- holding writers ------------------------------------------------------------------------ */

/* Heads with HVO_HOLD set: of the blocks that reach into one page of descriptors. */
struct held {
	hvo_pfn_t heads[HVO_PAGES_PER_FRAME];
	unsigned int nr;
};

/* Set HVO_HOLD in a head. False: nobody has a reference, so its owner may be changing the block. */
static bool hold_head(struct hvo_machine *m, struct held *h, hvo_pfn_t head)
{
	struct hvo_page *page = page_rw(m, head);
	uint32_t refs = __atomic_load_n(&page->refcount, __ATOMIC_RELAXED);

	do {
		if (!refs)
			return false;
		hvo_step(STEP_MARK, &page->refcount);
	} while (!__atomic_compare_exchange_n(&page->refcount, &refs, refs | HVO_HOLD, true,
					      __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	__atomic_fetch_or(&page->mapcount, HVO_HOLD, __ATOMIC_ACQ_REL);
	h->heads[h->nr++] = head;
	return true;
}

static void let_go(struct hvo_machine *m, const struct held *h)
{
	unsigned int i;

	for (i = 0; i < h->nr; i++) {
		struct hvo_page *page = page_rw(m, h->heads[i]);

		__atomic_fetch_and(&page->mapcount, ~HVO_HOLD, __ATOMIC_RELEASE);
		__atomic_fetch_and(&page->refcount, ~HVO_HOLD, __ATOMIC_RELEASE);
	}
}

/* Hold the block that a descriptor heads; returns its frames, or 0 if the block is changing. */
static uint64_t hold_block(struct hvo_machine *m, struct held *h, hvo_pfn_t head)
{
	const struct hvo_page *page = page_ro(m, head);

	switch (hvo_page_state(page)) {
	case HVO_PAGE_FREE:
	case HVO_PAGE_ISOLATED:
	case HVO_PAGE_HUGETLB_FREE:
	case HVO_PAGE_MEMMAP:
	case HVO_PAGE_POISONED:
		break;
	case HVO_PAGE_USED:
	case HVO_PAGE_HUGETLB_USED:
		if (!hold_head(m, h, head))
			return 0;
		break;
	default:
		return 0;
	}
	return UINT64_C(1) << (page_order(page) & HVO_FOLD_ORDER);
}

/* Guess the head of the block that a frame of a cut pageblock lies in, by the descriptors. */
static hvo_pfn_t small_head(struct hvo_machine *m, hvo_pfn_t pfn)
{
	unsigned int order;
	hvo_pfn_t head;

	for (order = 0; order < SMALL_ORDERS; order++) {
		head = order_start(pfn, order);
		if (hvo_page_state(page_ro(m, head)) != HVO_PAGE_TAIL)
			return head;
	}
	return pfn;
}

/* Hold all 64 descriptors from the one of @first on; false: one of them is changing. */
static bool hold_page(struct hvo_machine *m, struct held *h, hvo_pfn_t first, unsigned int order)
{
	const struct pageblock *b = pb_data(m, pb_of(first));
	hvo_pfn_t pfn, end = first + HVO_PAGES_PER_FRAME;
	uint64_t nr;

	if (b->flags & PB_BUSY)
		return false;
	if (order)
		return hold_block(m, h, order_start(first, order)) == UINT64_C(1) << order;
	if (!(b->flags & PB_CUT))
		return false;
	for (pfn = small_head(m, first); pfn < end; pfn += nr) {
		nr = hold_block(m, h, pfn);
		if (!nr || pfn + nr <= first)
			return false;
	}
	return true;
}

/* ---- one frame ------------------------------------------------------------------------------ */

/* What a frame is to the mover. */
enum kind {
	KIND_NONE,     /* no descriptors are in it */
	KIND_CHANGING, /* its pageblock is just being cut or collapsed */
	KIND_ANY,      /* it can move */
	KIND_OWN,      /* tails of the pageblock that it lies in: moves when it fails */
	KIND_BOOT,     /* set aside when memory came online: moves when it fails */
	KIND_WHOLE,    /* set aside so, in a whole block of such frames: moves when it fails */
};

static enum kind kind_in_whole(struct hvo_machine *m, hvo_pfn_t pfn, slot_t *ret_slot)
{
	lock_assert_held(m, &zone_of(m, pfn)->lock);
	*ret_slot = vmemmap_slot_at_start(m, pfn);
	/* A page leaves a frame that failed once and for all. */
	return slot_backing(m, *ret_slot) == pfn ? KIND_WHOLE : KIND_NONE;
}

static enum kind kind_in_cut(struct hvo_machine *m, hvo_pfn_t pfn, slot_t *ret_slot)
{
	const struct hvo_page *page = page_ro(m, pfn);

	lock_assert_held(m, &zone_of(m, pfn)->lock);
	if (hvo_page_state(page) != HVO_PAGE_MEMMAP)
		return KIND_NONE;
	*ret_slot = page_backs(page);
	if (page_flags(page) & HVO_PF_BOOT)
		return KIND_BOOT;
	return page_describes_itself(m, pfn) ? KIND_OWN : KIND_ANY;
}

/* Find the kind of a frame, and the page of the array that the frame backs. */
static enum kind kind_of(struct hvo_machine *m, hvo_pfn_t pfn, slot_t *ret_slot)
{
	enum kind kind = KIND_CHANGING;
	struct zone *z;

	lock_assert_held(m, &m->memmap_lock);
	z = zone_lock_of(m, pfn);
	if (!z)
		return KIND_NONE;
	switch (pageblock_place(m, pb_of(pfn))) {
	case PLACE_WHOLE:
		kind = KIND_NONE;
		break;
	case PLACE_MEMMAP:
		kind = kind_in_whole(m, pfn, ret_slot);
		break;
	case PLACE_CUT:
		kind = kind_in_cut(m, pfn, ret_slot);
		break;
	default:
		break;
	}
	lock_release(m, &z->lock);
	return kind;
}

/* Steps 3 and 4, with the locks of step 2. */
static int replace_backing(struct hvo_machine *m, slot_t slot, hvo_pfn_t old, hvo_pfn_t new)
{
	struct hvo_remap run = { slot.nr, new, 1 };
	uint32_t seq = m->move_seq;
	unsigned int done;
	int rc;

	lock_assert_held(m, &m->memmap_lock);
	__atomic_store_n(&m->move_seq, seq + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	m->ops->copy(m->ctx, new, old, 1);
	rc = vmemmap_map(m, &(struct run_list){ &run, 1, 1 }, &done);
	if (!rc)
		vmemmap_flush(m);
	__atomic_store_n(&m->move_seq, seq + 2, __ATOMIC_RELEASE);
	return rc;
}

static int hold_and_replace(struct hvo_machine *m, slot_t slot, hvo_pfn_t old, hvo_pfn_t new)
{
	hvo_pfn_t first = slot_pfn(m, slot);
	unsigned int order = fold_order(m, first);
	struct hvo_pool *pool = pool_of_order(m, order);
	/* Descriptors of offline memory are at rest: nobody but the memmap lock's holder writes. */
	struct zone *z = frame_online(m, first) ? zone_of(m, first) : NULL;
	struct held h = { .nr = 0 };
	int rc = -HVO_EBUSY;

	lock_assert_held(m, &m->memmap_lock);
	if (pool)
		lock_acquire(m, &pool->lock);
	if (z)
		lock_acquire(m, &z->lock);
	/* If @old does not back the page any more, a collapse has just folded the page. */
	if (fold_order(m, first) == order && slot_backing(m, slot) == old &&
	    (!z || hold_page(m, &h, first, order)))
		rc = replace_backing(m, slot, old, new);
	let_go(m, &h);
	if (z)
		lock_release(m, &z->lock);
	if (pool)
		lock_release(m, &pool->lock);
	return rc;
}

/*
 * Move a page from frame @old to frame @new. After an error @new is free, and @old backs the page.
 */
static int move_page(struct hvo_machine *m, slot_t slot, hvo_pfn_t old, hvo_pfn_t new)
{
	int rc = m->ops->populate(m->ctx, new, 1);

	if (rc) {
		vmemmap_put_unused(m, new, 1);
		return rc;
	}
	rc = hold_and_replace(m, slot, old, new);
	if (rc) {
		vmemmap_put_frames(m, new, 1);
		return rc;
	}
	if (table_layout(m) || m->mm.translate)
		m->ops->quiesce(m->ctx);
	counter_add(&m->moved, 1);
	return 0;
}

int vmemmap_move_frame(struct hvo_machine *m, hvo_pfn_t pfn)
{
	hvo_pfn_t new = 0;
	slot_t slot = { 0 };
	enum kind kind = kind_of(m, pfn, &slot);
	int rc;

	if (kind != KIND_ANY)
		return kind == KIND_CHANGING ? -HVO_EBUSY : -HVO_EINVAL;
	rc = vmemmap_alloc_frame(m, GFP_MOVE, slot, false, &new);
	if (!rc)
		rc = move_page(m, slot, pfn, new);
	if (!rc)
		vmemmap_put_frames(m, pfn, 1);
	return rc;
}

static bool set_self(struct hvo_machine *m, pb_t pb, bool self)
{
	struct zone *z = zone_of(m, pb_pfn(pb));
	bool done;

	lock_acquire(m, &z->lock);
	done = zone_set_self(m, z, pb, self);
	lock_release(m, &z->lock);
	return done;
}

/*
 * Move a page whose frame failed, even to a frame that depends on the described pageblock: in Linux
 * mode many pageblocks depend on those with frames that were set aside.
 */
static int replace_anywhere(struct hvo_machine *m, slot_t slot, hvo_pfn_t pfn, unsigned int gfp)
{
	hvo_pfn_t new = 0;
	int rc = vmemmap_alloc_frame(m, gfp, slot, true, &new);

	return rc ? rc : move_page(m, slot, pfn, new);
}

/*
 * Move tails to another frame of their own pageblock, if one is free. Else clear PB_SELF before the
 * page leaves the pageblock: with all other frames free the pageblock would seem to hold nothing
 * but its own tails, and collapse.
 */
static int replace_own(struct hvo_machine *m, slot_t slot, hvo_pfn_t pfn, unsigned int gfp)
{
	pb_t pb = pb_of(pfn);
	hvo_pfn_t new = 0;
	int rc;

	if (vmemmap_alloc_frame_of(m, pb, slot, &new))
		return move_page(m, slot, pfn, new);
	if (!set_self(m, pb, false))
		return -HVO_EBUSY;
	rc = replace_anywhere(m, slot, pfn, gfp);
	if (rc && !set_self(m, pb, true))
		HVO_PANIC(m, BLOCK_1, "not cut any more", pfn);
	return rc;
}

int vmemmap_replace_frame(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int gfp)
{
	slot_t slot = { 0 };
	enum kind kind = kind_of(m, pfn, &slot);
	int rc;

	if (kind == KIND_NONE || kind == KIND_CHANGING)
		return kind == KIND_CHANGING ? -HVO_EBUSY : -HVO_EINVAL;
	rc = kind == KIND_OWN ? replace_own(m, slot, pfn, gfp) :
				replace_anywhere(m, slot, pfn, gfp);
	if (rc)
		return rc;
	/* Record now, if the frame is only about to fail, so that it is never free. */
	badframe_record_own(m, pfn);
	if (kind == KIND_WHOLE)
		vmemmap_leave_frame(m, pfn);
	else
		vmemmap_put_frames(m, pfn, 1);
	return 0;
}

int hvo_move_memmap(struct hvo_machine *m, hvo_pfn_t pfn)
{
	int rc;

	if (machine_gone(m))
		return -HVO_ENODEV;
	lock_acquire(m, &m->memmap_lock);
	rc = vmemmap_move_frame(m, pfn);
	lock_release(m, &m->memmap_lock);
	return rc;
}
