// SPDX-License-Identifier: MIT
/*
 * Splitting an allocated block: each part gets a head, a reference and the owner of the whole.
 *
 * States: USED with its only reference taken away, so nobody can take one -> USED, many.
 * Locks: none; below order 9 the zone's lock, to open the pageblocks.
 * Linux: mm/page_alloc.c, split_page().
 */
#include "badframe.h"
#include "base.h"
#include "lock.h"
#include "optimize.h"
#include "page.h"
#include "ref.h"
#include "zone_cut.h"

/*
 * Make each part of [pfn, end) a block of its own, with cleared words and the owner of the whole.
 * The owner may move a part as soon as the part has its reference, so the head is complete before.
 */
static void split_into(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end, unsigned int order,
		       uint32_t owner, uint16_t flags)
{
	for (; pfn < end; pfn += UINT64_C(1) << order)
		publish_block(m, pfn, order, owner, flags);
}

static void split_below_pageblock(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int have,
				  unsigned int order, uint32_t owner, uint16_t flags)
{
	struct zone *z = zone_of(m, pfn);
	hvo_pfn_t end = pfn + (UINT64_C(1) << have);

	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_TAIL, 0);
	for (; pfn < end; pfn += HVO_PAGEBLOCK_FRAMES) {
		split_into(m, pfn, pfn + HVO_PAGEBLOCK_FRAMES, order, owner, flags);
		lock_acquire(m, &z->lock);
		zone_open_pageblock(m, z, pb_of(pfn), 0, HVO_PAGEBLOCK_FRAMES,
				    on_demand(m) ? MIGRATE_HOSTED : MIGRATE_MOVABLE, 0);
		lock_release(m, &z->lock);
	}
}

/* Freeze a block at no reference, so that nobody can take one while the block changes. */
static int freeze_for_split(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order,
			    unsigned int *ret_have)
{
	const struct hvo_page *page;

	if (!heads_held(m, pfn))
		return -HVO_EINVAL;
	page = page_ro(m, pfn);
	*ret_have = page_order(page);
	if (hvo_page_state(page) != HVO_PAGE_USED || order >= *ret_have)
		return -HVO_EINVAL;
	return page_count(m, pfn, PAGE_MAPCOUNT) || !page_freeze(m, pfn, 1) ? -HVO_EBUSY : 0;
}

static int split_frozen(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int have, unsigned int order,
			uint32_t owner, uint16_t flags)
{
	hvo_pfn_t end = pfn + (UINT64_C(1) << have);
	uint8_t folded;
	int rc;

	if (have < HVO_PAGEBLOCK_ORDER) {
		split_into(m, pfn, end, order, owner, flags);
		return 0;
	}
	if (order < HVO_PAGEBLOCK_ORDER) {
		rc = on_demand(m) ? vmemmap_restore_elsewhere(m, pfn, have) : 0;
		if (!rc)
			split_below_pageblock(m, pfn, have, order, owner, flags);
		return rc;
	}
	folded = fold_byte(m, pb_of(pfn)) & HVO_FOLDED;
	for (; pfn < end; pfn += UINT64_C(1) << order) {
		fold_set(m, pfn, order, (uint8_t)(order | folded));
		split_into(m, pfn, pfn + (UINT64_C(1) << order), order, owner, flags);
	}
	return 0;
}

int hvo_split_page(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	unsigned int have = 0;
	int rc;

	if (machine_gone(m))
		return -HVO_ENODEV;
	m->ops->read_lock(m->ctx);
	rc = freeze_for_split(m, pfn, order, &have);
	m->ops->read_unlock(m->ctx);
	if (rc)
		return rc;
	rc = split_frozen(m, pfn, have, order, page_owner(page_ro(m, pfn)),
			  page_flags(page_ro(m, pfn)) & (HVO_PF_CMA | HVO_PF_POISONED));
	if (rc)
		page_set_refs(page_rw(m, pfn), 1);
	badframe_tell_later(m, pfn, have);
	return rc;
}
