// SPDX-License-Identifier: MIT
/*
 * Frames that failed. They are recorded, ascending, and leave circulation as soon as
 * nobody uses them: the block that such a frame is in is freed without it.
 *
 * States of a recorded frame:
 *	IN_USE	somebody has it; the head of its block is marked HVO_PF_POISONED. Or it holds
 *		descriptors that could not leave it yet: poison_replace() tries again
 *	OUT	its descriptor says POISONED, nothing will touch it again. In a whole block of
 *		descriptors it has none that could: there it just backs nothing any more
 *	STUCK	its 2 MiB could not be cut around it: all of that is POISONED, until
 *		poison_retry() can
 * HVO_PF_UNRELIABLE: there was no room to record it, so the block is never freed. Descriptors
 * leave such a frame too, but there is no second attempt.
 *
 * The tails of a block that is cut around a bad frame lie in the first 8-frame group
 * of it that has none.
 *
 * Locks: the poison lock for the record, innermost; whoever frees a block owns it. The owner
 * of a block in use is told when all locks are dropped, while we hold a reference on it.
 * The source of a migration cannot be marked while it is frozen: migrate.c looks at the record
 * before it frees it.
 * Linux: mm/memory-failure.c, memory_failure(), hugetlb_update_hwpoison(),
 * take_page_off_buddy(); mm/hugetlb.c, folio_clear_hugetlb_hwpoison().
 */
#include "poison.h"

#include "alloc.h"
#include "hugetlb.h"
#include "lock.h"
#include "migrate.h"
#include "move.h"
#include "page.h"
#include "report.h"
#include "vmemmap.h"
#include "zone.h"

#define ATTEMPTS 16
#define WAIT_NS 1000

/* ---- the record --------------------------------------------------------------------- */

/* Index of the first recorded frame at or behind @pfn. Poison lock held. */
static uint64_t find(const struct hvo_machine *m, hvo_pfn_t pfn)
{
	uint64_t low = 0, high = m->nr_poison;

	while (low < high) {
		uint64_t mid = (low + high) / 2;

		if (m->poison[mid].pfn < pfn)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* 0: recorded now; 1: it was; -HVO_ENOSPC. */
static int record(struct hvo_machine *m, hvo_pfn_t pfn, enum poison_state *ret)
{
	uint64_t i, at;
	int rc = 0;

	lock_acquire(m, &m->poison_lock);
	at = find(m, pfn);
	if (at < m->nr_poison && m->poison[at].pfn == pfn) {
		*ret = (enum poison_state)m->poison[at].state;
		rc = 1;
	} else if (m->nr_poison == NR_POISON) {
		rc = -HVO_ENOSPC;
	} else {
		for (i = m->nr_poison; i > at; i--)
			m->poison[i] = m->poison[i - 1];
		m->poison[at] = (struct poison){ pfn, POISON_IN_USE };
		counter_set(&m->nr_poison, m->nr_poison + 1);
	}
	lock_release(m, &m->poison_lock);
	return rc;
}

int poison_record(struct hvo_machine *m, hvo_pfn_t pfn)
{
	enum poison_state state;

	return record(m, pfn, &state);
}

bool poison_unrecord(struct hvo_machine *m, hvo_pfn_t pfn)
{
	bool out;
	uint64_t i;

	lock_acquire(m, &m->poison_lock);
	i = find(m, pfn);
	out = m->poison[i].state == POISON_OUT;
	for (; !out && i + 1 < m->nr_poison; i++)
		m->poison[i] = m->poison[i + 1];
	counter_set(&m->nr_poison, m->nr_poison - !out);
	lock_release(m, &m->poison_lock);
	return out;
}

hvo_pfn_t poison_first(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end)
{
	hvo_pfn_t found = HVO_PFN_NONE;
	uint64_t at;

	lock_acquire(m, &m->poison_lock);
	at = find(m, pfn);
	if (at < m->nr_poison && m->poison[at].pfn < end)
		found = m->poison[at].pfn;
	lock_release(m, &m->poison_lock);
	return found;
}

uint64_t poison_sound_frames(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end)
{
	hvo_pfn_t bad = poison_in(m, pfn, end) ? poison_first(m, pfn, end) : end;

	return min_u64(bad, end) - pfn;
}

bool poison_find(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end)
{
	return poison_first(m, pfn, end) != HVO_PFN_NONE;
}

static void set_states(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end, enum poison_state state)
{
	uint64_t at;

	lock_acquire(m, &m->poison_lock);
	for (at = find(m, pfn); at < m->nr_poison && m->poison[at].pfn < end; at++)
		m->poison[at].state = state;
	lock_release(m, &m->poison_lock);
}

uint64_t poison_unrecorded(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end)
{
	uint64_t nr = 0;

	if (!counter_read(&m->unrecorded_poison))
		return 0;
	for (; pfn < end; pfn++) {
		/* One that holds a whole block is not counted: nothing of it was ever cut. */
		if (hvo_fold_byte(&m->mm, block_of(pfn)))
			pfn |= HVO_BLOCK_FRAMES - 1;
		else if (hvo_page_state(page_ro(m, pfn)) == HVO_PAGE_POISONED)
			nr += !poison_find(m, pfn, pfn + 1);
	}
	return nr;
}

void poison_forget(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end, uint64_t unrecorded)
{
	uint64_t first, behind, i;

	lock_acquire(m, &m->poison_lock);
	first = find(m, pfn);
	behind = find(m, end);
	for (i = behind; i < m->nr_poison; i++)
		m->poison[first + (i - behind)] = m->poison[i];
	counter_set(&m->nr_poison, m->nr_poison - (behind - first));
	lock_release(m, &m->poison_lock);
	counter_sub(&m->unrecorded_poison, unrecorded);
}

uint64_t hvo_poisoned(struct hvo_machine *m, hvo_pfn_t *pfns, uint64_t max)
{
	uint64_t nr, i;

	if (machine_gone(m))
		return 0;
	lock_acquire(m, &m->poison_lock);
	nr = m->nr_poison;
	for (i = 0; pfns && i < nr && i < max; i++)
		pfns[i] = m->poison[i].pfn;
	lock_release(m, &m->poison_lock);
	return nr;
}

/* ---- freeing around them ---------------------------------------------------------------- */

/* Frames [pfn, end) of a cut block, in nobody's hands: the sound ones are free now. */
static void free_sound(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, hvo_pfn_t end)
{
	while (pfn < end) {
		hvo_pfn_t bad = poison_first(m, pfn, end), to = bad < end ? bad : end;

		lock_acquire(m, &z->lock);
		if (to > pfn)
			zone_put_range(m, z, pfn, to - pfn);
		if (to < end) {
			struct hvo_page *page = page_rw(m, to);

			page_set_flags(page, 0);
			page_set_state(m, to, page, HVO_PAGE_POISONED, 0);
		}
		lock_release(m, &z->lock);
		if (to < end)
			trace(m, HVO_EVENT_POISONED, to, 0, 0);
		pfn = to + 1;
	}
}

void poison_free_frames(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr)
{
	free_sound(m, zone_of(m, pfn), pfn, pfn + nr);
	set_states(m, pfn, pfn + nr, POISON_OUT);
}

void poison_out(struct hvo_machine *m, hvo_pfn_t pfn)
{
	set_states(m, pfn, pfn + 1, POISON_OUT);
	trace(m, HVO_EVENT_POISONED, pfn, 0, 0);
}

unsigned int poison_sound_group(struct hvo_machine *m, hvo_pfn_t block, hvo_pfn_t start,
				hvo_pfn_t end)
{
	unsigned int at;

	for (at = 0; at < HVO_BLOCK_FRAMES; at += HVO_BLOCK_MEMMAP) {
		hvo_pfn_t pfn = block + at;

		if ((pfn + HVO_BLOCK_MEMMAP <= start || pfn >= end) &&
		    !poison_in(m, pfn, pfn + HVO_BLOCK_MEMMAP))
			break;
	}
	return at;
}

/* A whole 2 MiB block in state USED with bad frames. False: it cannot be cut. */
static bool free_block_around(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn)
{
	unsigned int at = poison_sound_group(m, pfn, pfn, pfn);
	hvo_pfn_t end = pfn + HVO_BLOCK_FRAMES;

	if (reported_take_back(m, pfn, HVO_BLOCK_FRAMES))
		return false;
	if (on_demand(m) && (at == HVO_BLOCK_FRAMES || vmemmap_cut(m, block_of(pfn), at)))
		return false;
	if (!on_demand(m)) {
		page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_TAIL, 0);
		fold_set(m, pfn, HVO_BLOCK_ORDER, 0);
	}
	lock_acquire(m, &z->lock);
	zone_open_block(m, z, block_of(pfn), HVO_BLOCK_FRAMES, MIGRATE_MOVABLE,
			on_demand(m) ? BLOCK_SELF : 0);
	lock_release(m, &z->lock);
	if (on_demand(m)) {
		free_sound(m, z, pfn, pfn + at);
		free_sound(m, z, pfn + at + HVO_BLOCK_TAILS, end);
	} else {
		free_sound(m, z, pfn, end);
	}
	set_states(m, pfn, end, POISON_OUT);
	return true;
}

static void set_aside(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_POISONED, order);
	set_states(m, pfn, pfn + (UINT64_C(1) << order), POISON_STUCK);
}

static void free_whole(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	uint8_t folded = hvo_fold_byte(&m->mm, block_of(pfn)) & HVO_FOLDED;
	hvo_pfn_t end = pfn + (UINT64_C(1) << order);
	struct zone *z = zone_of(m, pfn);

	/* Parts of 2 MiB; the sound ones merge again. */
	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_TAIL, 0);
	for (; pfn < end; pfn += HVO_BLOCK_FRAMES) {
		page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_USED, HVO_BLOCK_ORDER);
		fold_set(m, pfn, HVO_BLOCK_ORDER, HVO_BLOCK_ORDER | folded);
		if (poison_first(m, pfn, pfn + HVO_BLOCK_FRAMES) == HVO_PFN_NONE)
			free_block(m, pfn, HVO_BLOCK_ORDER);
		else if (!free_block_around(m, z, pfn))
			set_aside(m, pfn, HVO_BLOCK_ORDER);
	}
}

/* Which of its frames failed is not known: none of them is used again. */
static void lose(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	hvo_pfn_t end = pfn + (UINT64_C(1) << order);

	if (order >= HVO_BLOCK_ORDER) {
		page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_POISONED, order);
		return;
	}
	counter_add(&m->unrecorded_poison, end - pfn);
	for (; pfn < end; pfn++)
		page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_POISONED, 0);
}

void poison_free_block(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	hvo_pfn_t end = pfn + (UINT64_C(1) << order);
	struct hvo_page *page = page_rw(m, pfn);

	if (page_flags(page) & HVO_PF_UNRELIABLE) {
		lose(m, pfn, order);
		return;
	}
	page_set_flags(page, 0);
	if (order >= HVO_BLOCK_ORDER) {
		free_whole(m, pfn, order);
		return;
	}
	page_set_state(m, pfn, page, HVO_PAGE_TAIL, 0);
	poison_free_frames(m, pfn, end - pfn);
}

void poison_mark_parts(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr)
{
	hvo_pfn_t end = pfn + nr;

	while ((pfn = poison_first(m, pfn, end)) != HVO_PFN_NONE) {
		page_add_flags(page_rw(m, hvo_page_head(&m->mm, pfn)), HVO_PF_POISONED);
		pfn++;
	}
}

/* The first recorded frame in this state from @pfn on, or HVO_PFN_NONE. */
static hvo_pfn_t next_in(struct hvo_machine *m, hvo_pfn_t pfn, enum poison_state state)
{
	hvo_pfn_t found = HVO_PFN_NONE;
	uint64_t at;

	lock_acquire(m, &m->poison_lock);
	for (at = find(m, pfn); at < m->nr_poison; at++) {
		/* What is offline is in no zone that it could be freed to. */
		if (m->poison[at].state != state || !frame_online(m, m->poison[at].pfn))
			continue;
		found = m->poison[at].pfn;
		break;
	}
	lock_release(m, &m->poison_lock);
	return found;
}

uint64_t poison_retry(struct hvo_machine *m, uint64_t max)
{
	hvo_pfn_t pfn = 0;
	uint64_t done = 0;

	while (done < max && (pfn = next_in(m, pfn, POISON_STUCK)) != HVO_PFN_NONE) {
		pfn &= ~(hvo_pfn_t)(HVO_BLOCK_FRAMES - 1);
		page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_USED, HVO_BLOCK_ORDER);
		if (!free_block_around(m, zone_of(m, pfn), pfn)) {
			set_aside(m, pfn, HVO_BLOCK_ORDER);
			break;
		}
		done++;
		pfn += HVO_BLOCK_FRAMES;
	}
	return done;
}

uint64_t poison_replace(struct hvo_machine *m, uint64_t max)
{
	hvo_pfn_t pfn = 0;
	uint64_t done = 0;

	/* Nobody waits for it: what there is has to do. */
	for (; done < max && (pfn = next_in(m, pfn, POISON_IN_USE)) != HVO_PFN_NONE; pfn++)
		done += !vmemmap_replace_frame(m, pfn, GFP_MOVE & ~HVO_GFP_RECLAIM, true);
	return done;
}

/* ---- a frame fails ------------------------------------------------------------------------ */

static int result(struct hvo_machine *m, hvo_pfn_t pfn)
{
	int rc = -HVO_EBUSY;
	uint64_t at;

	lock_acquire(m, &m->poison_lock);
	at = find(m, pfn);
	if (m->poison[at].state == POISON_OUT)
		rc = 0;
	else if (m->poison[at].state == POISON_STUCK)
		rc = -HVO_ENOMEM;
	lock_release(m, &m->poison_lock);
	return rc;
}

/*
 * @flags for the head of a huge page; a free one is dissolved. One in use is held for
 * *ret_held, if anybody else does. Pool lock held, dropped.
 */
static int fail_huge(struct hvo_machine *m, struct hvo_pool *pool, hvo_pfn_t head, bool used,
		     uint16_t flags, hvo_pfn_t pfn, hvo_pfn_t *ret_held)
{
	struct hvo_page *page = page_rw(m, head);
	int rc = -HVO_EBUSY;

	if (!(page_flags(page) & HVO_PF_POISONED))
		hugetlb_node(pool, head)->poisoned++;
	page_add_flags(page, flags);
	if (used && !hvo_get_page(m, head, NULL))
		*ret_held = head;
	if (used)
		lock_release(m, &pool->lock);
	else
		rc = hugetlb_dissolve_locked(pool, head);
	return rc || flags & HVO_PF_UNRELIABLE ? rc : result(m, pfn);
}

/* A free frame leaves the zone for good: 0, or -HVO_EAGAIN if it is not free. */
static int fail_free(struct hvo_machine *m, hvo_pfn_t pfn, uint16_t flags)
{
	struct zone *z = zone_of(m, pfn);
	hvo_pfn_t block;

	lock_acquire(m, &z->lock);
	if (zone_take_frame(m, z, pfn)) {
		lock_release(m, &z->lock);
		block = pfn;
	} else if (zone_take_block(m, z, pfn)) {
		lock_release(m, &z->lock);
		block = pfn & ~(hvo_pfn_t)(HVO_BLOCK_FRAMES - 1);
	} else {
		lock_release(m, &z->lock);
		return -HVO_EAGAIN;
	}
	page_add_flags(page_rw(m, block), flags);
	poison_free_block(m, block, page_ro(m, block)->order);
	return 0;
}

/* Somebody holds a block there: 0 marked, and held by us too; -HVO_EAGAIN otherwise. */
static int fail_used(struct hvo_machine *m, hvo_pfn_t pfn, uint16_t flags, hvo_pfn_t *ret_held)
{
	if (hvo_get_page(m, pfn, ret_held))
		return -HVO_EAGAIN;
	page_add_flags(page_rw(m, *ret_held), flags);
	return 0;
}

static int fail(struct hvo_machine *m, hvo_pfn_t pfn, uint16_t flags, hvo_pfn_t *ret_held)
{
	bool used = false, recorded = !(flags & HVO_PF_UNRELIABLE);
	hvo_pfn_t head = pfn;
	struct hvo_pool *pool;
	int i, rc = 0;

	for (i = 0; i < ATTEMPTS && rc != -HVO_ENOMEM; i++) {
		/* It is on its way from one hand to another. */
		if (i)
			m->ops->sleep_ns(m->ctx, WAIT_NS);
		pool = hugetlb_lock_pool_of(m, &head, &used);
		if (pool)
			return fail_huge(m, pool, head, used, flags, pfn, ret_held);
		if (!fail_free(m, pfn, flags) || !fail_used(m, pfn, flags, ret_held))
			return recorded ? result(m, pfn) : 0;
		/* Descriptors leave it, and with them it leaves. */
		rc = vmemmap_replace_frame(m, pfn, GFP_MOVE, recorded);
		if (!rc)
			return recorded ? result(m, pfn) : 0;
	}
	/* Some other time; poison_replace(). */
	work_wanted(m);
	/* A migration that was just giving it up has taken it out. */
	return recorded ? result(m, pfn) : -HVO_EBUSY;
}

/*
 * Without the memmap lock, and without any other: the owner may free what he has there,
 * or move it. The last reference may be ours by then, and dropping it takes the frame out.
 */
static int tell_and_put(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t held, int rc)
{
	tell_owner(m, pfn, held);
	put_page_mapped(m, held);
	return rc == -HVO_ENOSPC ? rc : result(m, pfn);
}

int hvo_memory_failure(struct hvo_machine *m, hvo_pfn_t pfn)
{
	hvo_pfn_t held = HVO_PFN_NONE;
	enum poison_state state;
	uint16_t flags = HVO_PF_POISONED;
	bool known;
	int rc;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (!frame_online(m, pfn))
		return -HVO_EINVAL;
	lock_acquire(m, &m->memmap_lock);
	hugetlb_flush_all(m);
	rc = record(m, pfn, &state);
	known = rc > 0;
	if (known) {
		rc = result(m, pfn);
	} else {
		if (rc)
			flags |= HVO_PF_UNRELIABLE;
		if (!rc)
			rc = fail(m, pfn, flags, &held);
		else
			(void)fail(m, pfn, flags, &held);
	}
	lock_release(m, &m->memmap_lock);
	if (held != HVO_PFN_NONE)
		rc = tell_and_put(m, pfn, held, rc);
	if (!known)
		failure_count(m, pfn, rc);
	return rc;
}
