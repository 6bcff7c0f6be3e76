// SPDX-License-Identifier: MIT
/*
 * References on blocks, map counts, and the private words of a block, which its holder may use.
 *
 * States: publish_block() gives a block its first reference, with release order; last_ref.c says
 * where a block goes with its last one.
 * Locks: none. Counts of a held block change by compare-and-swap in a reader's section, and wait
 * while the descriptor is on the move (memmap_move.c).
 * Linux: include/linux/page_ref.h; include/linux/mm.h, try_get_page(), page_mapcount().
 */
#include "ref.h"

#include "badframe.h"
#include "base.h"
#include "lock.h"
#include "page.h"

/* ---- references and mappings ---------------------------------------------------------------- */

int ref_drop(struct hvo_machine *m, hvo_pfn_t head, bool mapped)
{
	for (;;) {
		uint32_t refs = page_count(m, head, PAGE_REFCOUNT);

		if (!refs)
			return -HVO_EINVAL;
		if (refs == 1 && !mapped && page_count(m, head, PAGE_MAPCOUNT))
			return -HVO_EBUSY;
		if (page_count_change(m, head, PAGE_REFCOUNT, refs, refs - 1))
			return refs == 1;
	}
}

bool ref_covers(struct hvo_machine *m, hvo_pfn_t head, hvo_pfn_t pfn)
{
	const struct hvo_page *page = page_ro(m, head);

	return pfn - head < UINT64_C(1) << page_order(page);
}

hvo_pfn_t held_head(struct hvo_machine *m, hvo_pfn_t pfn)
{
	hvo_pfn_t head;

	if (pfn >= m->mm.nr_frames)
		return HVO_PFN_NONE;
	head = hvo_page_head(&m->mm, pfn);
	/* A free tail still has the order of the block that it was in last. */
	if (!hvo_page_refs(page_ro(m, head)) || !ref_covers(m, head, pfn))
		return HVO_PFN_NONE;
	return head;
}

int freeze_page(struct hvo_machine *m, hvo_pfn_t head)
{
	int rc;

	m->ops->read_lock(m->ctx);
	rc = page_count(m, head, PAGE_MAPCOUNT) || !page_freeze(m, head, 1) ? -HVO_EBUSY : 0;
	m->ops->read_unlock(m->ctx);
	return rc;
}

bool hvo_pages_held(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr)
{
	hvo_pfn_t end = pfn + nr, head;

	if (machine_gone(m) || pfn > m->mm.nr_frames || nr > m->mm.nr_frames - pfn)
		return false;
	while (pfn < end) {
		m->ops->read_lock(m->ctx);
		head = held_head(m, pfn);
		if (head != HVO_PFN_NONE)
			pfn = head + (UINT64_C(1) << page_order(page_ro(m, head)));
		m->ops->read_unlock(m->ctx);
		if (head == HVO_PFN_NONE)
			return false;
	}
	return true;
}

static int add_mapping(struct hvo_machine *m, hvo_pfn_t pfn, uint32_t limit, uint32_t one)
{
	int rc = -HVO_EINVAL;
	hvo_pfn_t head;
	uint32_t n;

	if (machine_gone(m))
		return -HVO_ENODEV;
	m->ops->read_lock(m->ctx);
	head = held_head(m, pfn);
	while (rc && head != HVO_PFN_NONE) {
		n = page_count(m, head, PAGE_MAPCOUNT);
		if (n == limit)
			break;
		if (page_count_change(m, head, PAGE_MAPCOUNT, n, n + one))
			rc = 0;
	}
	m->ops->read_unlock(m->ctx);
	return rc;
}

int hvo_map_page(struct hvo_machine *m, hvo_pfn_t pfn)
{
	return add_mapping(m, pfn, PAGE_COUNT_MAX, 1);
}

int hvo_unmap_page(struct hvo_machine *m, hvo_pfn_t pfn)
{
	return add_mapping(m, pfn, 0, UINT32_MAX);
}

/* ---- the first reference -------------------------------------------------------------------- */

void set_tails(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	hvo_pfn_t end = pfn + (UINT64_C(1) << order);

	if (order >= HVO_PAGEBLOCK_ORDER)
		return;
	for (pfn++; pfn < end; pfn++)
		__atomic_store_n(&page_rw(m, pfn)->order, (uint8_t)order, __ATOMIC_RELAXED);
}

void publish_block(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order, uint32_t owner,
		   uint16_t flags)
{
	bool known = !owner || flags & HVO_PF_POISONED, bad = badframe_in_block(m, pfn, order);
	struct hvo_page *page = page_rw(m, pfn);

	HVO_ASSERT(m, !hvo_page_refs(page), PAGE_2, "handed out while somebody holds it", pfn);
	set_tails(m, pfn, order);
	page_set_state(m, pfn, page, HVO_PAGE_USED, order);
	flags &= (uint16_t)~HVO_PF_POISONED;
	hvo_step(STEP_MARK, &page->flags);
	/* Mark frames that failed when nobody could be told; with an owner, when the owner is. */
	page_set_flags(page, bad && known ? flags | HVO_PF_POISONED : flags);
	page_hand_out(page, owner);
	if (bad && !known)
		work_wanted(m);
}

/* ---- private words -------------------------------------------------------------------------- */

/* Wait until no descriptors are on the move; returns the number to check with move_seq_same(). */
static uint32_t move_seq_even(struct hvo_machine *m)
{
	unsigned int turns = 0;
	uint32_t seq;

	while ((seq = __atomic_load_n(&m->move_seq, __ATOMIC_ACQUIRE)) & 1)
		page_wait(m, &turns);
	return seq;
}

/* Have no descriptors moved since @seq was read? The fence pairs with the one in memmap_move.c. */
static bool move_seq_same(struct hvo_machine *m, uint32_t seq)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&m->move_seq, __ATOMIC_RELAXED) == seq;
}

int hvo_page_set_private(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int i, uint64_t value)
{
	struct hvo_page *page;
	hvo_pfn_t head;
	uint32_t seq;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (i >= HVO_PAGE_PRIVATE)
		return -HVO_EINVAL;
	m->ops->read_lock(m->ctx);
	head = held_head(m, pfn);
	/* A store that may have gone to the old frame after it was copied is done again. */
	if (head != HVO_PFN_NONE)
		do {
			seq = move_seq_even(m);
			page = page_rw(m, head);
			hvo_step(STEP_MARK, &page->private_data[i]);
			page_set_word(page, i, value);
		} while (!move_seq_same(m, seq));
	m->ops->read_unlock(m->ctx);
	return head == HVO_PFN_NONE ? -HVO_EINVAL : 0;
}

/*
 * The head of a block that is just moving away from @pfn: nobody has a reference on it any more,
 * but its descriptor stays where and as it is until its owner has moved. Inside a reader's section.
 */
static hvo_pfn_t leaving_head(struct hvo_machine *m, hvo_pfn_t pfn)
{
	hvo_pfn_t head = HVO_PFN_NONE;
	unsigned int i;

	if (pfn >= m->mm.nr_frames)
		return HVO_PFN_NONE;
	pfn = hvo_page_head(&m->mm, pfn);
	lock_acquire(m, &m->owner_lock);
	for (i = 0; i < NR_MIGRATING; i++)
		if (m->migrating[i] == pfn + 1)
			head = pfn;
	lock_release(m, &m->owner_lock);
	return head;
}

int hvo_page_private(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int i, uint64_t *ret)
{
	uint64_t value = 0;
	hvo_pfn_t head;
	uint32_t seq;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (i >= HVO_PAGE_PRIVATE || !ret)
		return -HVO_EINVAL;
	m->ops->read_lock(m->ctx);
	head = held_head(m, pfn);
	if (head == HVO_PFN_NONE)
		head = leaving_head(m, pfn);
	/* So that nobody sees a new value in the old frame and then the old one in the new. */
	if (head != HVO_PFN_NONE)
		do {
			seq = move_seq_even(m);
			value = __atomic_load_n(&page_ro(m, head)->private_data[i],
						__ATOMIC_RELAXED);
		} while (!move_seq_same(m, seq));
	m->ops->read_unlock(m->ctx);
	if (head == HVO_PFN_NONE)
		return -HVO_EINVAL;
	*ret = value;
	return 0;
}

void hvo_read_lock(struct hvo_machine *m)
{
	m->ops->read_lock(m->ctx);
}

void hvo_read_unlock(struct hvo_machine *m)
{
	m->ops->read_unlock(m->ctx);
}

unsigned int block_order(struct hvo_machine *m, hvo_pfn_t pfn)
{
	unsigned int order;

	m->ops->read_lock(m->ctx);
	order = page_order(page_ro(m, pfn));
	m->ops->read_unlock(m->ctx);
	return order;
}
