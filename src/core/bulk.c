// SPDX-License-Identifier: MIT
/*
 * Many blocks in one call: all of them or none. Each is an allocation of its own, with its own
 * locks: a call in the middle finds the zone as free as between two of the caller's.
 *
 * Linux: mm/page_alloc.c, alloc_pages_bulk_noprof().
 */
#include "base.h"
#include "pool.h"

/* The last ones of @pfns go back, which nobody else can have a reference on. */
static int undo(struct hvo_machine *m, const hvo_pfn_t *pfns, uint64_t nr, int rc)
{
	while (nr)
		(void)hvo_put_page(m, pfns[--nr]);
	return rc;
}

int hvo_alloc_pages_bulk(struct hvo_machine *m, unsigned int gfp, unsigned int order, int node,
			 uint64_t nr, hvo_pfn_t *pfns)
{
	uint64_t i;
	int rc;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (!nr || !pfns)
		return -HVO_EINVAL;
	for (i = 0; i < nr; i++) {
		rc = hvo_alloc_pages(m, gfp, order, node, &pfns[i]);
		if (rc)
			return undo(m, pfns, i, rc);
	}
	return 0;
}

int hvo_pool_alloc_bulk(struct hvo_pool *pool, unsigned int gfp, int node, uint64_t nr,
			hvo_pfn_t *pfns)
{
	int rc = pool_check(pool, node);
	uint64_t i;

	if (rc || !nr || !pfns)
		return rc ? rc : -HVO_EINVAL;
	for (i = 0; i < nr; i++) {
		rc = hvo_pool_alloc(pool, gfp, node, &pfns[i]);
		if (rc)
			return undo(pool->m, pfns, i, rc);
	}
	return 0;
}

int hvo_put_pages_bulk(struct hvo_machine *m, const hvo_pfn_t *pfns, uint64_t nr,
		       uint64_t *ret_done)
{
	uint64_t i;
	int rc = 0;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (!nr || !pfns)
		return -HVO_EINVAL;
	for (i = 0; i < nr && !rc; i++)
		rc = hvo_put_page(m, pfns[i]);
	if (ret_done)
		*ret_done = rc ? i - 1 : i;
	return rc;
}
