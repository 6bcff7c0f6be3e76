/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_POOL_LEAVE_H
#define HVO_CORE_POOL_LEAVE_H

#include "machine.h"

/* A page that is present goes back to the buddy allocator. */
void hugetlb_free_page(struct hvo_pool *pool, hvo_pfn_t pfn);

/* A page that left could not be restored: back, with @surplus, counted and reported. */
void hugetlb_refuse(struct hvo_pool *pool, hvo_pfn_t pfn, uint64_t missing, uint64_t surplus);

/* Free one page, by the pool's policy; false: as before, *ret_missing frames were missing. */
bool hugetlb_restore_one(struct hvo_pool *pool, hvo_pfn_t pfn, struct hvo_resize_result *res,
			 uint64_t *ret_missing);

/* One page with what memory there is, and no policy; it is free then. False: as before. */
bool hugetlb_restore_quietly(struct hvo_pool *pool, hvo_pfn_t pfn);

/* Restore and free pages that left, in the order of the list; those that cannot be are surplus. */
void hugetlb_release_list(struct hvo_pool *pool, struct page_list *list,
			  struct hvo_resize_result *res);

/* Finish frees that were deferred, up to @max; returns how many pages were tried. */
uint64_t hugetlb_flush(struct hvo_pool *pool, uint64_t max);

/* Of all pools, as everything does that changes one. */
void hugetlb_flush_all(struct hvo_machine *m);

/* A new page on node @to has the place of one of node @from, surplus or not. Pool lock held. */
void hugetlb_take_over(struct pool_node *from, struct pool_node *to);

/*
 * Back to the pool, or out of it: as surplus, because a frame of it failed and the
 * reservations can do without it, or since a new page of node @replaced has its place.
 */
void hugetlb_put(struct hvo_pool *pool, hvo_pfn_t pfn, bool restore_reserve,
		 struct pool_node *replaced);

/* The last reference on a huge page is gone. Takes the pool's lock itself. */
void hugetlb_release(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

/*
 * Dissolve the free page that was found so; drops the pool's lock. @quietly: without the policy,
 * and nobody is told if its descriptors cannot be restored.
 */
HVO_MUST_CHECK int hugetlb_dissolve_locked(struct hvo_pool *pool, hvo_pfn_t pfn, bool quietly);

#endif
