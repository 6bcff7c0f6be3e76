/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_HUGETLB_H
#define HVO_CORE_HUGETLB_H

#include "machine.h"

/* The last reference on a huge page is gone. */
void hugetlb_release(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

/* A free page leaves its pool, state USED; the pool's lock held, n->free_list not empty. */
hvo_pfn_t hugetlb_take_free(struct hvo_pool *pool, struct pool_node *n);
/* The first @nr of pool->batch, state USED, are folded if that is on, and join it free. */
void hugetlb_join(struct hvo_pool *pool, unsigned int nr);
/* A page that left could not be restored: back, with @surplus, counted and reported. */
void hugetlb_refuse(struct hvo_pool *pool, hvo_pfn_t pfn, uint64_t missing, uint64_t surplus);
/* Nodes in turn: the next one of those allowed that @fits, or NULL. */
struct pool_node *hugetlb_next_node(struct hvo_pool *pool, int node,
				    bool (*fits)(const struct pool_node *n));

bool policy_valid(const struct hvo_policy *policy);

#endif
