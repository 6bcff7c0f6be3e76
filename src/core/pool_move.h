/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_POOL_MOVE_H
#define HVO_CORE_POOL_MOVE_H

#include "machine.h"

/* A page that nobody can take out of the pool meanwhile. It may stay present. */
void hugetlb_fold_in_place(struct hvo_pool *pool, hvo_pfn_t pfn);

/*
 * The page in use at @src, which the caller holds, is about to move to @dst, which
 * hugetlb_take_target() gave: bring in line with the scope what has to be. *ret_restored: @src
 * was folded before, and is to be again if it does not move. -HVO_ENOMEM: nothing changed.
 */
HVO_MUST_CHECK int hugetlb_scope_move(struct hvo_pool *pool, hvo_pfn_t dst, hvo_pfn_t src,
				      bool fresh, bool *ret_restored);

/* The same for a free page that a new one takes the place of. */
HVO_MUST_CHECK int hugetlb_scope_replace(struct hvo_pool *pool, hvo_pfn_t fresh, hvo_pfn_t pfn);

/*
 * Migration. Where a page in use is to go: state HUGETLB_USED, populated, no reference; a
 * free one that nobody reserved, else a new one (*ret_fresh), which makes the pool one larger
 * until the migration ends. @where: 0, HVO_GFP_THISNODE or GFP_OTHER_NODES. Memmap lock held.
 */
HVO_MUST_CHECK int hugetlb_take_target(struct hvo_pool *pool, unsigned int where, int node,
				       hvo_pfn_t *ret, bool *ret_fresh);

/* It is not needed, and as before: nobody holds it. Memmap lock held. */
void hugetlb_put_target(struct hvo_pool *pool, hvo_pfn_t pfn, bool fresh);

/* Nor this one, which others still hold: it leaves when they let go of it. */
void hugetlb_leave_target(struct hvo_pool *pool, hvo_pfn_t pfn, bool fresh);

/* All that was at @src, which nobody holds any more, is at @dst. */
void hugetlb_migrated(struct hvo_pool *pool, hvo_pfn_t dst, hvo_pfn_t src, bool fresh);

/*
 * Another page takes the place of a free one, as alloc_and_dissolve_hugetlb_folio(); drops the
 * pool's lock. @where: as above. -HVO_EBUSY: it is not free any more, or its memory is not;
 * -HVO_ENOMEM: there is no other page. Memmap lock held.
 */
HVO_MUST_CHECK int hugetlb_replace_locked(struct hvo_pool *pool, unsigned int where, hvo_pfn_t pfn);

#endif
