// SPDX-License-Identifier: MIT
/*
 * CMA areas: parts of a node's CMA zone, and what each of them has lent.
 *
 * There is no map of an area: what hvo_cma_alloc() gave is blocks in use like any others, with
 * HVO_PF_CMA in their heads from their first reference to the last.
 *
 * Locks: the memmap lock for new areas; counters are atomic.
 * Linux: mm/cma.c, cma_declare_contiguous(), cma_init_reserved_mem().
 */
#include "cma_area.h"

#include "base.h"
#include "lock.h"
#include "page.h"

uint32_t cma_nr_areas(const struct hvo_machine *m)
{
	return __atomic_load_n(&m->nr_cmas, __ATOMIC_ACQUIRE);
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

		if (start >= cma->start + cma->nr || cma->start >= start + nr)
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
	struct hvo_cma *cma;
	hvo_pfn_t start;

	if (m->nr_cmas == HVO_MAX_CMA)
		return -HVO_ENOSPC;
	if (nr > z->end - z->start)
		return -HVO_ENOMEM;
	order = fitting_order(0, nr, HVO_GIGA_ORDER);
	do
		start = find_place(m, z, nr, UINT64_C(1) << order);
	while (start == HVO_PFN_NONE && order-- > HVO_BLOCK_ORDER);
	if (start == HVO_PFN_NONE)
		return -HVO_ENOMEM;
	cma = &m->cmas[m->nr_cmas];
	cma->m = m;
	cma->start = start;
	cma->nr = nr;
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

void cma_count_taken(struct hvo_cma *cma, uint64_t nr)
{
	counter_add(&cma->used, nr);
	counter_add(&cma->allocated, nr);
}

void cma_freed(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	uint32_t i;

	for (i = 0; i < cma_nr_areas(m); i++)
		if (pfn - m->cmas[i].start < m->cmas[i].nr) {
			counter_sub(&m->cmas[i].used, UINT64_C(1) << order);
			counter_add(&m->cmas[i].released, UINT64_C(1) << order);
		}
	page_clear_flags(page_rw(m, pfn), HVO_PF_CMA | HVO_PF_CMA_FIRST);
}

struct hvo_cma *hvo_cma_get(struct hvo_machine *m, unsigned int index)
{
	return !machine_gone(m) && index < cma_nr_areas(m) ? &m->cmas[index] : NULL;
}

void hvo_cma_events(const struct hvo_cma *cma, struct hvo_cma_events *ret)
{
	ret->allocated = counter_read(&cma->allocated);
	ret->failed = counter_read(&cma->failed);
	ret->released = counter_read(&cma->released);
}

void hvo_cma_stat(const struct hvo_cma *cma, hvo_pfn_t *start, uint64_t *nr, uint64_t *used)
{
	if (start)
		*start = cma->start;
	if (nr)
		*nr = cma->nr;
	if (used)
		*used = counter_read(&cma->used);
}
