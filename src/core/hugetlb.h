/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_HUGETLB_H
#define HVO_CORE_HUGETLB_H

#include "machine.h"

/* The last reference on a huge page is gone. */
void hugetlb_release(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

/* Free lists and counters of a pool; its lock held. Pages come and go in state USED. */
void hugetlb_free_list_add(struct hvo_pool *pool, hvo_pfn_t pfn);
hvo_pfn_t hugetlb_free_list_pop(struct hvo_pool *pool, struct pool_node *n);
/* A page joins the pool or leaves it. */
void hugetlb_account(struct hvo_pool *pool, hvo_pfn_t pfn, bool joins);
/* Nodes in turn: the next one of those allowed that @fits, or NULL. */
struct pool_node *hugetlb_next_node(struct hvo_pool *pool, int node,
				    bool (*fits)(const struct pool_node *n));

bool policy_valid(const struct hvo_policy *policy);

#endif
