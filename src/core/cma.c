// SPDX-License-Identifier: MIT
/*
 * CMA areas: parts of a node's CMA zone, lent to movable allocations until they are wanted.
 *
 * There is no map of an area: what hvo_cma_alloc() has is blocks in use like any others, with
 * HVO_PF_CMA in their heads from their first reference to the last, and
 * HVO_PF_CMA_FIRST where one piece begins. The huge pages that a pool has of an area carry both
 * from the moment they are taken until they are free; only the pool can give them back.
 *
 * Locks: an area's own lock, so that two who look for a place do not get in each other's
 * way; the memmap lock for new areas.
 * Linux: mm/cma.c, cma_alloc(), cma_release(); mm/hugetlb_cma.c, hugetlb_cma_alloc_folio().
 */
#include "alloc.h"
#include "contig.h"
#include "hugetlb.h"
#include "lock.h"
#include "page.h"
#include "sized.h"

static uint32_t nr_areas(const struct hvo_machine *m)
{
	return __atomic_load_n(&m->nr_cmas, __ATOMIC_ACQUIRE);
}

/* What every call on an area refuses: none, or none any more, and a machine that is gone. */
static int cma_check(const struct hvo_cma *cma)
{
	if (!cma)
		return -HVO_EINVAL;
	if (machine_gone(cma->m))
		return -HVO_ENODEV;
	return counter_read(&cma->nr) ? 0 : -HVO_EINVAL;
}

static hvo_pfn_t align_up(hvo_pfn_t pfn, uint64_t align)
{
	return (pfn + align - 1) & ~(align - 1);
}

/* The lowest place of a zone that is in no area yet, or HVO_PFN_NONE. Memmap lock held. */
static hvo_pfn_t find_place(struct hvo_machine *m, const struct zone *z, uint64_t nr,
			    uint64_t align)
{
	hvo_pfn_t start = align_up(z->start, align);
	uint32_t i;

	for (i = 0; i < m->nr_cmas; i++) {
		const struct hvo_cma *cma = &m->cmas[i];

		if (!cma->nr || start >= cma->start + cma->nr || cma->start >= start + nr)
			continue;
		start = align_up(cma->start + cma->nr, align);
		/* Others may be in the way there. */
		i = UINT32_MAX;
	}
	return start < z->end && nr <= z->end - start ? start : HVO_PFN_NONE;
}

/* Best where a huge page that fits into it does so there, too. Memmap lock held. */
static int carve_area(struct hvo_machine *m, struct zone *z, uint64_t nr, struct hvo_cma **ret)
{
	unsigned int order;
	struct hvo_cma *cma = m->cmas;
	hvo_pfn_t start;

	while (cma < m->cmas + m->nr_cmas && cma->nr)
		cma++;
	if (cma == m->cmas + HVO_MAX_CMA)
		return -HVO_ENOSPC;
	if (nr > z->end - z->start)
		return -HVO_ENOMEM;
	order = fitting_order(0, nr, HVO_GIGA_ORDER);
	do
		start = find_place(m, z, nr, UINT64_C(1) << order);
	while (start == HVO_PFN_NONE && order-- > HVO_BLOCK_ORDER);
	if (start == HVO_PFN_NONE)
		return -HVO_ENOMEM;
	cma->m = m;
	counter_set(&cma->start, start);
	counter_set(&cma->allocated, 0);
	counter_set(&cma->failed, 0);
	counter_set(&cma->released, 0);
	__atomic_store_n(&cma->nr, nr, __ATOMIC_RELEASE);
	if (cma == m->cmas + m->nr_cmas)
		__atomic_store_n(&m->nr_cmas, m->nr_cmas + 1, __ATOMIC_RELEASE);
	*ret = cma;
	return 0;
}

int hvo_cma_create(struct hvo_machine *m, int node, uint64_t nr, struct hvo_cma **ret)
{
	int rc;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (node < 0 || node >= (int)m->cfg.nr_nodes || !nr || nr & (HVO_BLOCK_FRAMES - 1) || !ret)
		return -HVO_EINVAL;
	lock_acquire(m, &m->memmap_lock);
	rc = carve_area(m, &m->nodes[node].zones[HVO_ZONE_CMA], nr, ret);
	lock_release(m, &m->memmap_lock);
	return rc;
}

int hvo_cma_destroy(struct hvo_cma *cma)
{
	int rc = cma_check(cma);
	struct hvo_machine *m;

	if (rc)
		return rc;
	m = cma->m;
	if (!lock_try(&cma->lock))
		return -HVO_EBUSY;
	lock_acquire(m, &m->memmap_lock);
	rc = counter_read(&cma->used) ? -HVO_EBUSY : 0;
	if (!rc)
		counter_set(&cma->nr, 0);
	lock_release(m, &m->memmap_lock);
	lock_release(m, &cma->lock);
	return rc;
}

/* Nobody else looks for a place meanwhile, nor removes the area; it may be gone by then. */
static int area_take(struct hvo_cma *cma, struct contig_want *w, hvo_pfn_t *tried, hvo_pfn_t *ret)
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
		rc = area_take(cma, &w, NULL, &pfn);
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

void cma_freed(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	uint32_t i;

	for (i = 0; i < nr_areas(m); i++)
		if (pfn - m->cmas[i].start < m->cmas[i].nr) {
			counter_sub(&m->cmas[i].used, UINT64_C(1) << order);
			counter_add(&m->cmas[i].released, UINT64_C(1) << order);
		}
	page_clear_flags(page_rw(m, pfn), HVO_PF_CMA | HVO_PF_CMA_FIRST);
}

/* What is left of a piece behind the part that goes is one of its own, and the caller's. */
static void begin_rest(struct hvo_machine *m, hvo_pfn_t pfn)
{
	uint16_t flags = 0;

	/* So that its descriptor does not move. */
	lock_acquire(m, &m->memmap_lock);
	m->ops->read_lock(m->ctx);
	if (heads_held(m, pfn))
		flags = page_flags(page_ro(m, pfn));
	m->ops->read_unlock(m->ctx);
	if ((flags & (HVO_PF_CMA | HVO_PF_CMA_FIRST)) == HVO_PF_CMA)
		page_add_flags(page_rw(m, pfn), HVO_PF_CMA_FIRST);
	lock_release(m, &m->memmap_lock);
}

int hvo_cma_release(struct hvo_cma *cma, hvo_pfn_t pfn, uint64_t nr)
{
	int rc = cma_check(cma);

	if (rc)
		return rc;
	if (!nr || pfn < cma->start || nr > cma->nr || pfn - cma->start > cma->nr - nr ||
	    !contig_held(cma->m, pfn, pfn + nr, true))
		return -HVO_EINVAL;
	begin_rest(cma->m, pfn + nr);
	return hvo_free_contig_range(cma->m, pfn, pfn + nr);
}

struct hvo_cma *hvo_cma_get(struct hvo_machine *m, unsigned int index)
{
	uint32_t i;

	for (i = 0; !machine_gone(m) && i < nr_areas(m); i++)
		if (counter_read(&m->cmas[i].nr) && !index--)
			return &m->cmas[i];
	return NULL;
}

int hvo_cma_events(const struct hvo_cma *cma, struct hvo_cma_events *ret)
{
	struct hvo_cma_events events = { 0 };
	int rc = cma_check(cma);

	if (!rc)
		rc = sized_check(ret);
	if (rc)
		return rc;
	events.allocated = counter_read(&cma->allocated);
	events.failed = counter_read(&cma->failed);
	events.released = counter_read(&cma->released);
	SIZED_OUT(ret, &events);
	return 0;
}

int hvo_cma_stat(const struct hvo_cma *cma, hvo_pfn_t *start, uint64_t *nr, uint64_t *used)
{
	int rc = cma_check(cma);

	if (rc)
		return rc;
	if (start)
		*start = cma->start;
	if (nr)
		*nr = cma->nr;
	if (used)
		*used = counter_read(&cma->used);
	return 0;
}

/* ---- pools ------------------------------------------------------------------------------- */

int cma_take_one(struct hvo_machine *m, int node, unsigned int order, hvo_pfn_t *tried,
		 hvo_pfn_t *ret)
{
	struct contig_want w = { .nr = UINT64_C(1) << order,
				 .align = UINT64_C(1) << order,
				 .one = true,
				 .spare_huge = true };
	uint32_t i;

	for (i = 0; i < nr_areas(m); i++) {
		struct hvo_cma *cma = &m->cmas[i];

		if (!counter_read(&cma->nr) || zone_of(m, cma->start)->node != node ||
		    area_take(cma, &w, &tried[i], ret))
			continue;
		counter_add(&cma->allocated, w.nr);
		page_set_flags(page_rw(m, *ret), HVO_PF_CMA | HVO_PF_CMA_FIRST);
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
