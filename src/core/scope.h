/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_SCOPE_H
#define HVO_CORE_SCOPE_H

#include "machine.h"

/* Is the scope kept where a page moves? */
bool hugetlb_scope_follows(const struct hvo_pool *pool);

/* May a page be folded where it is? */
bool hugetlb_in_scope(struct hvo_pool *pool, hvo_pfn_t pfn);

/*
 * Are its pages like memory that cannot be moved, just now? And does a whole block stay for that
 * reason, by its head? No lock is needed for either.
 */
bool hugetlb_stays(const struct hvo_pool *pool);

/* Does the whole block of @order that @page heads stay for that reason? */
bool hugetlb_page_stays(struct hvo_machine *m, const struct hvo_page *page, unsigned int order);

/* One more move that the scope did not let happen. */
void hugetlb_move_refused(struct hvo_pool *pool);

#endif
