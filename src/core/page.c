// SPDX-License-Identifier: MIT
/*
 * Descriptors: which state may follow which, and the fold map.
 *
 *	TAIL <-> FREE		merging and splitting of free blocks
 *	FREE -> USED -> FREE	allocation
 *	TAIL -> USED		a part of a split allocation gets a head of its own
 *	USED -> TAIL		a block is cut, or collapses: its head is no head any more
 *	USED -> HUGETLB_FREE <-> HUGETLB_USED	in a pool
 *	HUGETLB_* -> USED	out of it
 *	USED, TAIL -> MEMMAP -> FREE, TAIL	frames that hold descriptors
 *
 * The owner of a frame changes its state: the holder of the zone lock for free
 * frames, whoever took it off the free lists otherwise. Readers without a lock see
 * single bytes change and check again after they got a reference.
 *
 * Linux: include/linux/page-flags.h, PageBuddy(), PageHuge(), PageTail().
 */
#include "page.h"

#define FROM(state) (uint8_t)(1u << HVO_PAGE_##state)

const uint8_t page_transitions[HVO_PAGE_NR_STATES] = {
	[HVO_PAGE_TAIL] = FROM(TAIL) | FROM(FREE) | FROM(USED) | FROM(MEMMAP),
	[HVO_PAGE_FREE] = FROM(TAIL) | FROM(FREE) | FROM(USED) | FROM(MEMMAP),
	[HVO_PAGE_USED] =
		FROM(TAIL) | FROM(FREE) | FROM(USED) | FROM(HUGETLB_FREE) | FROM(HUGETLB_USED),
	[HVO_PAGE_HUGETLB_FREE] = FROM(USED) | FROM(HUGETLB_USED),
	[HVO_PAGE_HUGETLB_USED] = FROM(HUGETLB_FREE),
	[HVO_PAGE_MEMMAP] = FROM(TAIL) | FROM(USED),
};

void fold_set(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order, uint8_t byte)
{
	uint64_t nr = UINT64_C(1) << (order - HVO_BLOCK_ORDER);
	uint8_t *p = m->fold + block_of(pfn);
	uint64_t word = UINT64_C(0x0101010101010101) * byte;

	if (nr < sizeof(word)) {
		while (nr--)
			__atomic_store_n(p++, byte, __ATOMIC_RELEASE);
		return;
	}
	for (; nr; nr -= sizeof(word), p += sizeof(word))
		__atomic_store_n((uint64_t *)(void *)p, word, __ATOMIC_RELEASE);
}
