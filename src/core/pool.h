/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_POOL_H
#define HVO_CORE_POOL_H

#include "page.h"

#define POOL_SUM(pool, field) hugetlb_sum(pool, offsetof(struct pool_node, field))

/* The pool's lists and counters of the node that a frame is on. Pool lock held. */
struct pool_node *hugetlb_node(struct hvo_pool *pool, hvo_pfn_t pfn);

/* Sum of a field of struct pool_node over all nodes. */
uint64_t hugetlb_sum(const struct hvo_pool *pool, size_t offset);

/* Put a huge page that left its pool in front of a list. */
void page_list_add(struct hvo_machine *m, struct page_list *list, hvo_pfn_t pfn);

/* Take the first page off a list, or HVO_PFN_NONE. */
hvo_pfn_t page_list_pop(struct hvo_machine *m, struct page_list *list);

/* Copy the heads of the first pages of a list, up to @max, to @pfns; returns how many. */
unsigned int page_list_peek(struct hvo_machine *m, const struct page_list *list, hvo_pfn_t *pfns,
			    unsigned int max);

/* Mark a page of the pool if a frame of the page failed, so that nobody gets the page. */
void hugetlb_mark_bad(struct hvo_pool *pool, hvo_pfn_t pfn);

/* Put a page that is accounted on the free list. */
void hugetlb_enqueue(struct hvo_pool *pool, hvo_pfn_t pfn);

/* Count the free pages that can be handed out, and so be promised. */
uint64_t hugetlb_sound_free(const struct hvo_pool *pool);

/* Count the free pages that may leave so that all promises can be kept. */
uint64_t hugetlb_spare(const struct hvo_pool *pool);

/* Count a page in state TAKEN in; @surplus: 1 if the page is surplus, else 0. */
void hugetlb_account(struct hvo_pool *pool, hvo_pfn_t pfn, uint64_t surplus);

/* Count a page that was in use, and that nobody holds, out: state TAKEN. */
void hugetlb_remove_used(struct hvo_pool *pool, hvo_pfn_t pfn, uint64_t surplus);

/* Take a free page off list and counters: state TAKEN. @surplus: 1 if one surplus goes too. */
void hugetlb_remove(struct hvo_pool *pool, hvo_pfn_t pfn, uint64_t surplus);

/* Move the newest free page of node @n, which has one, to @list: state TAKEN. */
void hugetlb_remove_to(struct hvo_pool *pool, struct pool_node *n, uint64_t surplus,
		       struct page_list *list);

/*
 * Take a free page off the list, to fold or restore the page: state TAKEN, still counted as free.
 */
void hugetlb_hide(struct hvo_pool *pool, hvo_pfn_t pfn);

/* Put a page that hugetlb_hide() took off the list back. */
void hugetlb_unhide(struct hvo_pool *pool, hvo_pfn_t pfn);

/*
 * Find and lock the pool whose huge page covers a frame; *@pfn becomes the head of the page, and
 * *@ret_used says whether a user has the page. NULL, and nothing locked: no huge page covers the
 * frame.
 */
struct hvo_pool *hugetlb_lock_pool_of(struct hvo_machine *m, hvo_pfn_t *pfn, bool *ret_used);

/*
 * Take a free page, sound and not isolated, off the list of a node that @gfp allows: state
 * HUGETLB_USED. HVO_PFN_NONE: there is none; *@ret_soon says whether the library keeps one isolated
 * for a moment.
 */
hvo_pfn_t hugetlb_dequeue_sound(struct hvo_pool *pool, unsigned int gfp, int node, bool *ret_soon);

/* The set of all nodes: a bit for each. */
uint64_t all_nodes(const struct hvo_machine *m);

/* Number of nodes in a set. */
unsigned int nr_of_nodes(uint64_t nodes);

/* The next node of the set @nodes, from *@turn on, that @fits; NULL: none in one round. */
struct pool_node *hugetlb_next_node(struct hvo_pool *pool, uint32_t *turn, uint64_t nodes,
				    bool (*fits)(const struct pool_node *n));

/* Has a node free pages and surplus ones, so that a free page can leave as surplus? */
bool hugetlb_has_free_surplus(const struct pool_node *n);

/* Fold the first @nr pages of pool->batch, if folding is on, and reorder them. */
void hugetlb_fold_batch(struct hvo_pool *pool, unsigned int nr);

/*
 * Add the first @nr pages of pool->batch to the pool, free, the last one first: so the first one is
 * handed out first, as in Linux.
 */
void hugetlb_add_batch(struct hvo_pool *pool, unsigned int nr);

/*
 * HVO_GFP_MOVABLE if a page of the pool may lie in movable memory, else 0: a 1 GiB page can hardly
 * be moved, so it would pin the movable memory around it.
 */
unsigned int hugetlb_movable_gfp(const struct hvo_pool *pool);

/* Allocate a page for the pool from a node: state TAKEN, not folded, in no counter. */
HVO_MUST_CHECK int hugetlb_alloc_fresh(struct hvo_pool *pool, unsigned int gfp, int node,
				       hvo_pfn_t *ret);

/*
 * Allocate up to @max pages for the pool that are free on a node, without making room: state TAKEN,
 * in no counter. Returns how many.
 */
unsigned int hugetlb_alloc_free(struct hvo_pool *pool, int node, unsigned int max, hvo_pfn_t *pfns);

/* How many pages hugetlb_alloc_free() could find on a node now. */
uint64_t hugetlb_count_free(struct hvo_pool *pool, int node);

#endif
