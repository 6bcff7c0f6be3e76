// SPDX-License-Identifier: MIT
/*
 * References that may be the last one, and the one place that says where a block goes then.
 *
 * States: USED -> FREE; HUGETLB_USED -> its pool, or out of it.
 * Locks: none of its own; pool_leave.c and fold.c take theirs. Nothing is restored on the way, and
 * nothing waits.
 * Linux: mm/swap.c, __folio_put(); mm/hugetlb.c, free_huge_folio().
 */
#include "last_ref.h"

#include "base.h"
#include "fold.h"
#include "page.h"
#include "pool_leave.h"
#include "ref.h"

/* Free the block, or put the huge page, that @head heads and that nobody holds any more. */
static void free_head(struct hvo_machine *m, hvo_pfn_t head)
{
	struct hvo_page *page = page_rw(m, head);

	HVO_ASSERT(m, !hvo_page_refs(page), PAGE_2, "freed while somebody holds it", head);
	page_set_owner(page, 0);
	clear_freed(m, head, UINT64_C(1) << page->order);
	if (hvo_page_state(page) == HVO_PAGE_HUGETLB_USED)
		hugetlb_leave(m, head, page->order);
	else
		free_block(m, head, page->order);
}

void put_page_mapped(struct hvo_machine *m, hvo_pfn_t head)
{
	int last;

	m->ops->read_lock(m->ctx);
	last = ref_drop(m, head, true);
	m->ops->read_unlock(m->ctx);
	HVO_ASSERT(m, last >= 0, PAGE_2, "reference lost", head);
	if (last)
		free_head(m, head);
}

int hvo_get_page(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t *ret_head)
{
	int rc = -HVO_EBUSY, last = 0;
	uint32_t refs;
	hvo_pfn_t head;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (pfn >= m->mm.nr_frames)
		return -HVO_EINVAL;
	m->ops->read_lock(m->ctx);
	head = hvo_page_head(&m->mm, pfn);
	do {
		refs = page_count(m, head, PAGE_REFCOUNT);
		if (!refs || refs == PAGE_COUNT_MAX)
			goto out;
	} while (!page_count_change(m, head, PAGE_REFCOUNT, refs, refs + 1));
	rc = 0;
	/*
	 * The block could change before the reference was there. Drop the reference without a
	 * look-up of the head: the fold byte may lag behind.
	 */
	if (hvo_page_head(&m->mm, pfn) != head || !ref_covers(m, head, pfn)) {
		rc = -HVO_EBUSY;
		last = ref_drop(m, head, true);
		HVO_ASSERT(m, last >= 0, PAGE_2, "reference lost", head);
	}
out:
	m->ops->read_unlock(m->ctx);
	if (last)
		free_head(m, head);
	if (!rc && ret_head)
		*ret_head = head;
	return rc;
}

int hvo_put_page(struct hvo_machine *m, hvo_pfn_t pfn)
{
	hvo_pfn_t head;
	int rc;

	if (machine_gone(m))
		return -HVO_ENODEV;
	m->ops->read_lock(m->ctx);
	head = held_head(m, pfn);
	rc = head == HVO_PFN_NONE ? -HVO_EINVAL : ref_drop(m, head, false);
	m->ops->read_unlock(m->ctx);
	if (rc <= 0)
		return rc;
	free_head(m, head);
	return 0;
}
