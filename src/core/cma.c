// SPDX-License-Identifier: MIT
/*
 * CMA areas: parts of a node's CMA zone, lent to movable allocations until they are wanted.
 *
 * There is no map of an area: what hvo_cma_alloc() has is blocks in use like any others, with
 * HVO_PF_CMA in their heads from their first reference to the last. The huge pages that a pool has
 * of an area carry the flag from the moment they are taken until they are free; only the pool can
 * give them back.
 *
 * Locks: an area's own lock, so that two who look for a place do not get in each other's
 * way; the memmap lock for new areas.
 * Linux: mm/cma.c, cma_alloc(), cma_release(); mm/hugetlb_cma.c, hugetlb_cma_alloc_folio().
 */
#include "cma.h"

#include "base.h"
#include "cma_area.h"
#include "contig.h"
#include "lock.h"
#include "page.h"

/* Nobody else looks for a place meanwhile, nor removes the area; it may be gone by then. */
static int area_alloc(struct hvo_cma *cma, struct contig_want *w, hvo_pfn_t *tried, hvo_pfn_t *ret)
{
	struct hvo_machine *m = cma->m;
	int rc = -HVO_ENOMEM;

	lock_acquire(m, &cma->lock);
	w->lo = cma->start;
	w->hi = cma->start + cma->nr;
	if (cma->nr)
		rc = contig_search_on(m, zone_of(m, cma->start), w, tried, ret);
	if (!rc)
		counter_add(&cma->used, w->nr);
	lock_release(m, &cma->lock);
	counter_add(rc ? &m->cma_alloc_failures : &m->cma_allocs, 1);
	return rc;
}

int hvo_cma_alloc(struct hvo_cma *cma, uint64_t nr, unsigned int align_order, hvo_pfn_t *ret)
{
	struct contig_want w = { .nr = nr };
	hvo_pfn_t pfn = 0;
	int rc;

	rc = cma_check(cma);
	if (rc)
		return rc;
	if (!nr || align_order > HVO_GIGA_ORDER || !ret)
		return -HVO_EINVAL;
	w.align = UINT64_C(1) << align_order;
	do {
		rc = area_alloc(cma, &w, NULL, &pfn);
		if (rc)
			break;
		rc = contig_clear(cma->m, pfn, pfn + nr, 0);
		if (rc)
			counter_sub(&cma->used, nr);
	} while (rc == -HVO_EAGAIN);
	if (rc) {
		counter_add(&cma->failed, nr);
		return rc;
	}
	counter_add(&cma->allocated, nr);
	contig_publish(cma->m, pfn, pfn + nr, true);
	*ret = pfn;
	return 0;
}

int hvo_cma_release(struct hvo_cma *cma, hvo_pfn_t pfn, uint64_t nr)
{
	int rc = cma_check(cma);

	if (rc)
		return rc;
	if (!nr || pfn < cma->start || nr > cma->nr || pfn - cma->start > cma->nr - nr ||
	    !contig_held(cma->m, pfn, pfn + nr, true))
		return -HVO_EINVAL;
	return hvo_free_contig_range(cma->m, pfn, pfn + nr);
}

/* ---- pools ---------------------------------------------------------------------------------- */

int cma_alloc_one(struct hvo_machine *m, int node, unsigned int order, hvo_pfn_t *tried,
		  hvo_pfn_t *ret)
{
	struct contig_want w = { .nr = UINT64_C(1) << order,
				 .align = UINT64_C(1) << order,
				 .one = true,
				 .spare_huge = true };
	uint32_t i;

	for (i = 0; i < cma_nr_areas(m); i++) {
		struct hvo_cma *cma = &m->cmas[i];

		if (zone_of(m, cma->start)->node != node || area_alloc(cma, &w, &tried[i], ret))
			continue;
		counter_add(&cma->allocated, w.nr);
		page_set_flags(page_rw(m, *ret), HVO_PF_CMA);
		return 0;
	}
	return -HVO_ENOMEM;
}

int hvo_pool_set_cma(struct hvo_pool *pool, bool on)
{
	int rc = pool_check(pool, HVO_NODE_ANY);

	if (rc)
		return rc;
	lock_acquire(pool->m, &pool->m->memmap_lock);
	pool->cma = on;
	lock_release(pool->m, &pool->m->memmap_lock);
	return 0;
}
