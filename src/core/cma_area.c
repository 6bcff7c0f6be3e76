// SPDX-License-Identifier: MIT
/*
 * CMA areas: parts of a node's CMA zone, and counters of the frames that each area gave.
 *
 * There is no map of an area: what hvo_cma_alloc() gave is blocks in use like any others, with
 * HVO_PF_CMA in their heads from their first reference to the last.
 *
 * Locks: the memmap lock where areas come and go; an area's own lock when it goes; counters are
 * atomic.
 * Linux: mm/cma.c, cma_declare_contiguous(), cma_init_reserved_mem().
 */
#include "cma_area.h"

#include "base.h"
#include "lock.h"
#include "page.h"
#include "sized.h"

uint32_t cma_nr_areas(const struct hvo_machine *m)
{
	return __atomic_load_n(&m->nr_cmas, __ATOMIC_ACQUIRE);
}

int cma_check(const struct hvo_cma *cma)
{
	if (!cma)
		return -HVO_EINVAL;
	if (machine_gone(cma->m))
		return -HVO_ENODEV;
	return counter_read(&cma->nr) ? 0 : -HVO_EINVAL;
}

/* The lowest place of a zone that is in no area yet, or HVO_PFN_NONE. */
static hvo_pfn_t find_place(struct hvo_machine *m, const struct zone *z, uint64_t nr,
			    uint64_t align)
{
	hvo_pfn_t start = align_up(z->start, align);
	uint32_t i;

	lock_assert_held(m, &m->memmap_lock);
	for (i = 0; i < m->nr_cmas; i++) {
		const struct hvo_cma *cma = &m->cmas[i];

		if (!cma->nr || start >= cma->start + cma->nr || cma->start >= start + nr)
			continue;
		start = align_up(cma->start + cma->nr, align);
		/* Look at all areas again: another one may be in the way there. */
		i = UINT32_MAX;
	}
	return start < z->end && nr <= z->end - start ? start : HVO_PFN_NONE;
}

/* Place an area, best aligned to the largest huge page that fits into it. */
static int carve_area(struct hvo_machine *m, struct zone *z, uint64_t nr, struct hvo_cma **ret)
{
	unsigned int order;
	struct hvo_cma *cma = m->cmas;
	hvo_pfn_t start;

	lock_assert_held(m, &m->memmap_lock);
	while (cma < m->cmas + m->nr_cmas && cma->nr)
		cma++;
	if (cma == m->cmas + HVO_MAX_CMA)
		return -HVO_ENOSPC;
	if (nr > z->end - z->start)
		return -HVO_ENOMEM;
	order = fitting_order(0, nr, HVO_GIGA_ORDER);
	do
		start = find_place(m, z, nr, UINT64_C(1) << order);
	while (start == HVO_PFN_NONE && order-- > HVO_PAGEBLOCK_ORDER);
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
	if (node < 0 || node >= (int)m->cfg.nr_nodes || !nr || nr & (HVO_PAGEBLOCK_FRAMES - 1) ||
	    !ret)
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

void cma_freed(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	uint32_t i;

	for (i = 0; i < cma_nr_areas(m); i++)
		if (pfn - m->cmas[i].start < m->cmas[i].nr) {
			counter_sub(&m->cmas[i].used, UINT64_C(1) << order);
			counter_add(&m->cmas[i].released, UINT64_C(1) << order);
		}
	page_clear_flags(page_rw(m, pfn), HVO_PF_CMA);
}

struct hvo_cma *hvo_cma_get(struct hvo_machine *m, unsigned int index)
{
	uint32_t i;

	for (i = 0; !machine_gone(m) && i < cma_nr_areas(m); i++)
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
