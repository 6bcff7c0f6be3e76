// SPDX-License-Identifier: MIT
/*
 * Descriptors: which state may follow which, and the fold map.
 *
 *	TAIL <-> FREE		merging and splitting of free blocks
 *	FREE -> TAKEN -> USED -> FREE	allocation; TAKEN -> FREE: nobody got it
 *	TAIL -> TAKEN, USED	a part of a block that is split gets a head of its own
 *	TAKEN, USED -> TAIL	a pageblock is cut, or collapses: its head is none any more
 *	TAKEN -> HUGETLB_FREE <-> HUGETLB_USED	in a pool; TAKEN -> HUGETLB_USED: a surplus page
 *	HUGETLB_* -> TAKEN	out of it
 *	FREE, TAKEN, TAIL -> MEMMAP -> FREE, TAIL	frames that hold descriptors
 *	TAIL, TAKEN -> ISOLATED -> TAKEN, TAIL	free memory of an isolated range
 *	FREE, TAIL, TAKEN -> POISONED	for good; a whole pageblock, ISOLATED too, until it can be
 *				cut: -> TAKEN
 *
 * USED or HUGETLB_USED with no reference: a user's block that is frozen (split, moved), or on its way
 * back.
 *
 * The owner of a frame changes its state: the holder of the zone lock for free frames, else the
 * thread that took the frame off the free lists. Readers without a lock see single bytes change,
 * and check again when they have a reference.
 *
 * Linux: include/linux/page-flags.h, PageBuddy(), PageHuge(), PageTail();
 * include/linux/page_ref.h, page_ref_freeze().
 */
#include "page.h"

#include "base.h"
#include "step.h"

#define WAIT_TURNS 64
#define WAIT_NS 1000
#define FROM(state) (uint16_t)(1u << HVO_PAGE_##state)

const uint16_t page_transitions[HVO_PAGE_NR_STATES] = {
	[HVO_PAGE_TAIL] =
		FROM(TAIL) | FROM(FREE) | FROM(USED) | FROM(MEMMAP) | FROM(ISOLATED) | FROM(TAKEN),
	[HVO_PAGE_FREE] = FROM(TAIL) | FROM(FREE) | FROM(USED) | FROM(MEMMAP) | FROM(TAKEN),
	[HVO_PAGE_USED] = FROM(TAIL) | FROM(USED) | FROM(TAKEN),
	[HVO_PAGE_HUGETLB_FREE] = FROM(HUGETLB_USED) | FROM(TAKEN),
	[HVO_PAGE_HUGETLB_USED] = FROM(HUGETLB_FREE) | FROM(TAKEN),
	[HVO_PAGE_MEMMAP] = FROM(TAIL) | FROM(FREE) | FROM(TAKEN),
	[HVO_PAGE_POISONED] = FROM(TAIL) | FROM(FREE) | FROM(ISOLATED) | FROM(TAKEN),
	[HVO_PAGE_ISOLATED] = FROM(TAIL) | FROM(TAKEN),
	[HVO_PAGE_TAKEN] = FROM(TAIL) | FROM(FREE) | FROM(HUGETLB_FREE) | FROM(HUGETLB_USED) |
			   FROM(POISONED) | FROM(ISOLATED) | FROM(TAKEN),
};

void page_wait(struct hvo_machine *m, unsigned int *turns)
{
	if (++*turns > WAIT_TURNS)
		m->ops->sleep_ns(m->ctx, WAIT_NS);
}

static uint32_t *count_of(struct hvo_page *page, size_t which)
{
	return (uint32_t *)(void *)((char *)page + which);
}

uint32_t page_count(struct hvo_machine *m, hvo_pfn_t pfn, size_t which)
{
	unsigned int turns = 0;

	for (;;) {
		/* Look the address up each time: a move changes it (software translation). */
		const char *page = (const char *)page_ro(m, pfn);
		uint32_t n = __atomic_load_n((const uint32_t *)(const void *)(page + which),
					     __ATOMIC_RELAXED);

		if (HVO_LIKELY(!(n & HVO_HOLD)))
			return n;
		page_wait(m, &turns);
	}
}

bool page_count_change(struct hvo_machine *m, hvo_pfn_t pfn, size_t which, uint32_t from,
		       uint32_t to)
{
	uint32_t *count = count_of(page_rw(m, pfn), which);

	hvo_step(STEP_MARK, count);
	return __atomic_compare_exchange_n(count, &from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

bool page_freeze(struct hvo_machine *m, hvo_pfn_t pfn, uint32_t refs)
{
	while (page_count(m, pfn, PAGE_REFCOUNT) == refs)
		if (page_count_change(m, pfn, PAGE_REFCOUNT, refs, 0))
			return true;
	return false;
}

void fold_set(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order, uint8_t byte)
{
	uint64_t nr = UINT64_C(1) << (order - HVO_PAGEBLOCK_ORDER);
	uint8_t *p = m->fold + pb_of(pfn).nr;
	uint64_t word = UINT64_C(0x0101010101010101) * byte;

	if (nr < sizeof(word)) {
		while (nr--)
			__atomic_store_n(p++, byte, __ATOMIC_RELEASE);
		return;
	}
	for (; nr; nr -= sizeof(word), p += sizeof(word))
		__atomic_store_n((uint64_t *)(void *)p, word, __ATOMIC_RELEASE);
}
