/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_POOL_H
#define HVO_CORE_POOL_H

#include "page.h"

#define POOL_SUM(pool, field) hugetlb_sum(pool, offsetof(struct pool_node, field))

/* What the pool has on the node that a frame is on. */
struct pool_node *hugetlb_node(struct hvo_pool *pool, hvo_pfn_t pfn);

/* Sum of a field of struct pool_node over all nodes. */
uint64_t hugetlb_sum(const struct hvo_pool *pool, size_t offset);

/* Put a huge page that left its pool in front of a list. */
void page_list_add(struct hvo_machine *m, struct page_list *list, hvo_pfn_t pfn);

/* Take the first page off a list, or HVO_PFN_NONE. */
hvo_pfn_t page_list_pop(struct hvo_machine *m, struct page_list *list);

/* The first ones of a list, up to @max, which stay on it; returns how many. */
unsigned int page_list_peek(struct hvo_machine *m, const struct page_list *list, hvo_pfn_t *pfns,
			    unsigned int max);

/* A frame of a page that the pool has failed: nobody gets the page. Pool lock held. */
void hugetlb_mark_bad(struct hvo_pool *pool, hvo_pfn_t pfn);

/* It goes on the free list; it is accounted already. */
void hugetlb_enqueue(struct hvo_pool *pool, hvo_pfn_t pfn);

/* Free pages that can be handed out, so many can be promised. Pool lock held. */
uint64_t hugetlb_sound_free(const struct hvo_pool *pool);

/* Free pages that may leave, whichever of them they are: what is promised stays. Pool lock held. */
uint64_t hugetlb_spare(const struct hvo_pool *pool);

/* A page, state USED, joins the pool's counters; @surplus more of it are surplus. */
void hugetlb_account(struct hvo_pool *pool, hvo_pfn_t pfn, uint64_t surplus);

/* The same for a page in use that nobody holds any more. */
void hugetlb_remove_used(struct hvo_pool *pool, hvo_pfn_t pfn, uint64_t surplus);

/* A free page leaves pool and list, with @surplus less: state USED. */
void hugetlb_remove(struct hvo_pool *pool, hvo_pfn_t pfn, uint64_t surplus);

/* The newest one of a node that has one, onto a list. */
void hugetlb_remove_to(struct hvo_pool *pool, struct pool_node *n, uint64_t surplus,
		       struct page_list *list);

/*
 * A free page, on the list, that something is done with: free for all who count, but state USED
 * and on no list, so that nobody gets it. And the way back. Memmap lock held too.
 */
void hugetlb_hide(struct hvo_pool *pool, hvo_pfn_t pfn);

void hugetlb_unhide(struct hvo_pool *pool, hvo_pfn_t pfn);

/*
 * The pool whose huge page covers a frame, with its lock held and *pfn the page's head;
 * *ret_used says whether somebody has it. NULL without a lock: no huge page there. Under
 * the memmap lock.
 */
struct hvo_pool *hugetlb_lock_pool_of(struct hvo_machine *m, hvo_pfn_t *pfn, bool *ret_used);

/*
 * Take a free page that is sound and not isolated, by the nodes of @gfp: state HUGETLB_USED. HVO_PFN_NONE:
 * none; then *ret_soon says whether there is one that the library keeps apart for a moment. Pool lock held.
 */
hvo_pfn_t hugetlb_take_free(struct hvo_pool *pool, unsigned int gfp, int node, bool *ret_soon);

/* Sets of nodes: a bit for each. */
uint64_t all_nodes(const struct hvo_machine *m);

unsigned int nr_of_nodes(uint64_t nodes);

/* The next node in turn of those in @nodes that @fits; NULL after one round. */
struct pool_node *hugetlb_next_node(struct hvo_pool *pool, uint32_t *turn, uint64_t nodes,
				    bool (*fits)(const struct pool_node *n));

bool hugetlb_has_free_surplus(const struct pool_node *n);

/* The first @nr of pool->batch are folded, if that is on, and in another order afterwards. */
void hugetlb_fold_batch(struct hvo_pool *pool, unsigned int nr);

/* They join the pool, free, the last one first: so the first one is handed out first, as in Linux. */
void hugetlb_add_batch(struct hvo_pool *pool, unsigned int nr);

/* A 1 GiB page can hardly be moved, so movable memory with one in it stays where it is. */
/* 0, or HVO_GFP_MOVABLE where a page of the pool may be on movable memory. */
unsigned int hugetlb_movable_gfp(const struct hvo_pool *pool);

/* A new page for the pool, from this node: state USED, not folded, in no counter. */
HVO_MUST_CHECK int hugetlb_alloc_fresh(struct hvo_pool *pool, unsigned int gfp, int node,
				       hvo_pfn_t *ret);

#endif
