/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_POOL_LEAVE_H
#define HVO_CORE_POOL_LEAVE_H

#include "machine.h"

/*
 * Put a page that left, and for whose tails @missing frames were missing, back into the pool, as
 * surplus if @surplus is 1; count and trace that.
 */
void hugetlb_refuse(struct hvo_pool *pool, hvo_pfn_t pfn, uint64_t missing, uint64_t surplus);

/*
 * Restore and free one page that left, by the pool's policy. False: the page is as before, and
 * *@ret_missing frames were missing.
 */
bool hugetlb_restore_one(struct hvo_pool *pool, hvo_pfn_t pfn, struct hvo_resize_result *res,
			 uint64_t *ret_missing);

/*
 * Restore and free the pages of a list that left, in its order. Pages that cannot be restored go
 * back into the pool as surplus.
 */
void hugetlb_leave_list(struct hvo_pool *pool, struct page_list *list,
			struct hvo_resize_result *res);

/* Finish deferred frees of a pool, up to @max pages; returns how many were tried. */
uint64_t hugetlb_flush(struct hvo_pool *pool, uint64_t max);

/* Finish all deferred frees of all pools, before a pool is changed. */
void hugetlb_flush_all(struct hvo_machine *m);

/*
 * Let a new page of node @to take the place of one of node @from in the counters. Pool lock held.
 */
void hugetlb_hand_over(struct pool_node *from, struct pool_node *to);

/*
 * Put a page that nobody holds back into the pool, or out of it: as surplus, because a frame of the
 * page failed and the reservations can do without it, or since the new page @fresh (HVO_PFN_NONE:
 * none) has its place. @restore_reserve: give the reservation back too. Takes the pool's lock.
 */
void hugetlb_put(struct hvo_pool *pool, hvo_pfn_t pfn, bool restore_reserve, hvo_pfn_t fresh);

/* Put a huge page whose last reference is gone where it belongs. Takes the pool's lock itself. */
void hugetlb_leave(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

/*
 * Dissolve a free page that hugetlb_lock_pool_of() found. Drops the pool's lock. @quietly: without
 * the policy, and without a trace if the tails cannot be restored. After an error the page is free
 * in the pool, as before.
 */
HVO_MUST_CHECK int hugetlb_dissolve_locked(struct hvo_pool *pool, hvo_pfn_t pfn, bool quietly);

#endif
