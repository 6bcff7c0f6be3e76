/* SPDX-License-Identifier: MIT */
#ifndef HVO_CONTIG_H
#define HVO_CONTIG_H

#include <hvo/hvo.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Ranges of neighbouring frames: exactly those that are wanted, or of a CMA area.
 *
 * Ranges are half-open and in frames. Everything here may wait, and none of it may be called
 * from a shrinker or from an owner's functions, unless its Context says otherwise.
 */

/* ---- contiguous ranges --------------------------------------------------------------- */

/**
 * hvo_alloc_contig_range() - allocate exactly these frames
 * @start, @end: any frames of one zone
 * @gfp: HVO_GFP_ZERO, HVO_GFP_NOWARN and what is needed to find places for what moves
 *
 * What is in use there and has an owner is moved; free huge pages are replaced, or dissolved
 * where there is no replacement; descriptor frames are moved out. All of it stays on its node; only
 * ordinary blocks for which that has no room go to another one, when nothing else is left in the
 * range. A huge page never does.
 *
 * The range is then covered by blocks as large as fit, one reference each; give it back with
 * hvo_free_contig_range(), in parts if wanted.
 *
 * Context: may wait; not from a shrinker, nor from an owner's functions.
 * Return: 0; -HVO_EINVAL; -HVO_EBUSY: something there cannot be moved; -HVO_ENOMEM: no place for
 * it. After an error nothing is allocated; what was moved stays moved.
 */
HVO_MUST_CHECK int hvo_alloc_contig_range(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end,
					  unsigned int gfp);
/* Drops one reference of every block in the range. 0; -HVO_EINVAL: not all of it is allocated. */
int hvo_free_contig_range(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

/**
 * hvo_alloc_contig_pages() - allocate @nr frames, wherever there is a place
 *
 * Aligned to @nr rounded down to a power of two, at most to 1 GiB. Tries places where
 * nothing unmovable is, nor a huge page of at least @nr frames, lowest first.
 *
 * Context: may wait; not from a shrinker, nor from an owner's functions.
 * Return: 0; -HVO_EINVAL; -HVO_ENOMEM. After an error nothing is allocated.
 */
HVO_MUST_CHECK int hvo_alloc_contig_pages(struct hvo_machine *m, uint64_t nr, unsigned int gfp,
					  int node, hvo_pfn_t *ret);

/* ---- CMA areas --------------------------------------------------------------------------- */

/*
 * A node's CMA memory (struct hvo_config::cma_bytes) is lent to movable allocations until
 * an area takes it back.
 */
struct hvo_cma;
#define HVO_MAX_CMA 16

/**
 * hvo_cma_create() - make an area of a node's CMA memory
 * @nr: frames, a multiple of 512
 *
 * An area begins at a multiple of the largest huge page that fits into it, up to 1 GiB, if there is
 * such a place; hvo_cma_stat() says where.
 *
 * Context: may wait; not from a shrinker, nor from an owner's functions.
 * Return: 0; -HVO_EINVAL; -HVO_ENOMEM: not so much left in one piece; -HVO_ENOSPC.
 */
HVO_MUST_CHECK int hvo_cma_create(struct hvo_machine *m, int node, uint64_t nr,
				  struct hvo_cma **ret);

/**
 * hvo_cma_destroy() - remove an area, whose memory stays CMA memory
 *
 * Another area may be made there. Nobody may use @cma from now on.
 *
 * Context: may wait; not from a shrinker, nor from an owner's functions.
 * Return: 0; -HVO_EINVAL; -HVO_ENODEV; -HVO_EBUSY: frames of it are in use, by hvo_cma_alloc() or
 * a pool, or are just being allocated. After an error nothing has changed.
 */
int hvo_cma_destroy(struct hvo_cma *cma);

/**
 * hvo_cma_alloc() - take frames of an area
 * @align_order: of the first frame, up to 18
 *
 * What is in use there and has an owner is moved, as by hvo_alloc_contig_range().
 *
 * Context: may wait; not from a shrinker, nor from an owner's functions.
 * Return: 0; -HVO_EINVAL; -HVO_ENOMEM; -HVO_EBUSY. After an error nothing is allocated.
 */
HVO_MUST_CHECK int hvo_cma_alloc(struct hvo_cma *cma, uint64_t nr, unsigned int align_order,
				 hvo_pfn_t *ret);

/**
 * hvo_cma_release() - give frames back to their area
 * @nr: frames; the range may be a part of what hvo_cma_alloc() gave, or several such parts
 *
 * Context: may wait; not from a shrinker, nor from an owner's functions.
 * Return: 0; -HVO_ENODEV; -HVO_EINVAL: hvo_cma_alloc() gave not all of the range, which must begin
 * and end where blocks do, or parts are free or mapped. After an error nothing has changed.
 */
int hvo_cma_release(struct hvo_cma *cma, hvo_pfn_t pfn, uint64_t nr);

/**
 * hvo_cma_stat() - where an area is, and how much of it is in use
 * @start: first frame
 * @nr: frames
 * @used: of them: allocated by hvo_cma_alloc(), or pages that a pool took from the area
 *        (hvo_pool_set_cma()) until these are free again. Any of the three may be NULL
 *
 * Context: any.
 * Return: 0; -HVO_EINVAL; -HVO_ENODEV. All are untouched after an error.
 */
int hvo_cma_stat(const struct hvo_cma *cma, hvo_pfn_t *start, uint64_t *nr, uint64_t *used);

/**
 * hvo_cma_get() - the areas of a machine, one by one
 * @index: from 0
 *
 * Context: any.
 * Return: the area; NULL behind the last.
 */
struct hvo_cma *hvo_cma_get(struct hvo_machine *m, unsigned int index);

/**
 * struct hvo_cma_events - since an area is there, in frames
 * @size: sizeof(struct hvo_cma_events), see types.h
 * @allocated: that hvo_cma_alloc() gave
 * @failed: that it was asked for and did not give
 * @released: of @allocated, what came back
 */
struct hvo_cma_events {
	uint32_t size;
	uint64_t allocated, failed, released;
};

/**
 * hvo_cma_events() - what an area was asked for
 *
 * Context: any.
 * Return: 0; -HVO_ENODEV: the machine is gone, *@ret untouched.
 */
int hvo_cma_events(const struct hvo_cma *cma, struct hvo_cma_events *ret);

/**
 * hvo_pool_set_cma() - new pages of a pool come from CMA areas first, as with hugetlb_cma=
 *
 * Context: may wait. Not from a shrinker.
 * Return: 0; -HVO_EINVAL; -HVO_ENODEV.
 */
int hvo_pool_set_cma(struct hvo_pool *pool, bool on);

#ifdef __cplusplus
}
#endif

#endif
