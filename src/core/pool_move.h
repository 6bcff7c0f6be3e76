/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_POOL_MOVE_H
#define HVO_CORE_POOL_MOVE_H

#include "machine.h"

/*
 * Try to fold a page of the pool that nobody can take out of the pool meanwhile; after a failure
 * the page stays present.
 */
void hugetlb_fold_in_place(struct hvo_pool *pool, hvo_pfn_t pfn);

/*
 * Bring @src, a page in use that the caller holds, and @dst, which hugetlb_get_target() gave, in
 * line with the scope before @src moves to @dst. *@ret_restored: @src was folded, and is to be
 * folded again if the move fails. -HVO_ENOMEM: nothing changed.
 */
HVO_MUST_CHECK int hugetlb_scope_move(struct hvo_pool *pool, hvo_pfn_t dst, hvo_pfn_t src,
				      bool fresh, bool *ret_restored);

/*
 * Get a page to which a page in use can migrate: state HUGETLB_USED, populated, no reference. A
 * free page that nobody reserved, else a new one (*@ret_fresh), which makes the pool one larger
 * until the migration ends. @where: 0, HVO_GFP_THISNODE or GFP_OTHER_NODES.
 */
HVO_MUST_CHECK int hugetlb_get_target(struct hvo_pool *pool, unsigned int where, int node,
				      hvo_pfn_t *ret, bool *ret_fresh);

/* Give a target that is not needed and that nobody holds back. */
void hugetlb_put_target(struct hvo_pool *pool, hvo_pfn_t pfn, bool fresh);

/* Let go of a target that is not needed: the page leaves when its last reference is dropped. */
void hugetlb_leave_target(struct hvo_pool *pool, hvo_pfn_t pfn, bool fresh);

/* End a migration: @dst has taken the place of @src, which nobody holds any more. */
void hugetlb_migrated(struct hvo_pool *pool, hvo_pfn_t dst, hvo_pfn_t src, bool fresh);

/*
 * Let another page take the place of a free one, as Linux's alloc_and_dissolve_hugetlb_folio().
 * Drops the pool's lock. @where: as for hugetlb_get_target().
 *
 * -HVO_EBUSY: the page was taken meanwhile, or its memory cannot be freed;
 * -HVO_ENOMEM: there is no other page.
 */
HVO_MUST_CHECK int hugetlb_replace_locked(struct hvo_pool *pool, unsigned int where, hvo_pfn_t pfn);

#endif
