/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_SCOPE_H
#define HVO_CORE_SCOPE_H

#include "machine.h"

/* Does the scope of a pool follow its pages when they move? */
bool hugetlb_scope_follows(const struct hvo_pool *pool);

/* Does the scope of the pool allow that a page is folded, by where the page lies? */
bool hugetlb_in_scope(struct hvo_pool *pool, hvo_pfn_t pfn);

/* Does the scope keep all pages of a pool from moving, just now? No lock needed. */
bool hugetlb_stays(const struct hvo_pool *pool);

/*
 * Is the whole block of @order that @page heads a page of a pool of hugetlb_stays()? No lock
 * needed.
 */
bool hugetlb_page_stays(struct hvo_machine *m, const struct hvo_page *page, unsigned int order);

/* Count one move that the scope did not allow. Takes the pool lock itself. */
void hugetlb_move_refused(struct hvo_pool *pool);

#endif
