/* SPDX-License-Identifier: MIT */
#ifndef HVO_MOVE_H
#define HVO_MOVE_H

#include <hvo/hvo.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Memory that moves: owners who can follow their blocks, migration, isolation, compaction,
 * contiguous ranges, CMA areas, and hot-plug.
 *
 * Ranges are half-open and in frames. Everything here may wait, and none of it may be called
 * from a shrinker or from an owner's functions, unless its Context says otherwise.
 */

/* ---- owners ----------------------------------------------------------------- */

/**
 * struct hvo_owner - who can move blocks that it holds
 * @size: sizeof(struct hvo_owner), see types.h
 * @isolate: the block at @pfn is to move: from now on do not use, free, split, map or
 *           reference it. Returns how many references the owner has on it; 0: not now, and neither
 *           @move nor @putback follows
 * @move: all that was at @src is at @dst; make every reference of the owner name @dst.
 *        0, or negative errno and nothing changed. After 0 @src is not the owner's any more;
 *        @dst has its references, map count and private words. Until then hvo_page_private() reads
 *        those of both; of @src nobody can change anything
 * @putback: it stays where it is, and can be used again
 * @failed: a frame of it is broken (hvo_memory_failure()); NULL: the owner need not know
 * @arg: the owner's own
 *
 * In @failed the library holds a reference of its own, so what needs the only one (splitting,
 * hvo_hugetlb_free_reserved()) is -HVO_EBUSY there.
 *
 * Threads: @isolate and the @move or @putback that follows it run in one thread, the one that made
 * the call which moves: any of this header, hvo_soft_offline(), hvo_pool_resize(), an allocation with
 * HVO_GFP_RECLAIM. @failed runs in the thread of hvo_memory_failure() or hvo_work(), which may be the
 * worker of the linux platform. Several threads may move different blocks of one owner at a time;
 * of one block, one at a time.
 *
 * All four may sleep, on locks of the owner's too: no spin lock is held and no reader's section. What
 * the thread does hold are the locks of a resize and of a CMA area. So they may
 * read and store private words, take and drop references, map and unmap, set owners, look at
 * counters and at bytes, and allocate and free blocks and huge pages without HVO_GFP_RECLAIM; they must
 * not call anything else that may wait, nor hold a lock of the owner's while another of his threads
 * waits for it inside a call that moves.
 *
 * The caller owns the memory of the structure; it must stay until hvo_owner_unregister().
 */
struct hvo_owner {
	uint32_t size;
	uint32_t (*isolate)(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
			    unsigned int order);
	int (*move)(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t dst, hvo_pfn_t src,
		    unsigned int order);
	void (*putback)(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
			unsigned int order);
	void (*failed)(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t frame,
		       hvo_pfn_t pfn, unsigned int order);
	void *arg;
};

#define HVO_MAX_OWNERS 64

/**
 * hvo_owner_register() - add an owner, and take it away
 * @ret_id: its number, 1 to HVO_MAX_OWNERS
 *
 * Context: any; hvo_owner_unregister() may wait.
 * Return: 0; -HVO_EINVAL: a function is missing; -HVO_ENOSPC. After an error nothing has changed.
 */
HVO_MUST_CHECK int hvo_owner_register(struct hvo_machine *m, struct hvo_owner *owner,
				      uint32_t *ret_id);
/* No block may have this owner any more. Waits for running calls. 0 or -HVO_EINVAL. */
int hvo_owner_unregister(struct hvo_machine *m, uint32_t id);

/**
 * hvo_set_owner() - say who can move a block
 * @pfn: head of a block or huge page that the caller holds a reference on
 * @id: of a registered owner; 0: nobody, it stays where it is
 *
 * Only what was allocated with HVO_GFP_MOVABLE, and huge pages, should have one; memory in
 * ZONE_MOVABLE or a CMA area without an owner keeps that memory from being taken back. Parts
 * of a block that is split have the owner of the whole. What hvo_cma_alloc() gave is wanted where
 * it is, and cannot have one.
 *
 * Context: any.
 * Return: 0; -HVO_EINVAL. After an error nothing has changed.
 */
int hvo_set_owner(struct hvo_machine *m, hvo_pfn_t pfn, uint32_t id);

/**
 * hvo_migrate() - move one block somewhere else
 * @pfn: any frame of it
 * @node: where to, preferably, or HVO_NODE_ANY for its own
 * @ret_dst: NULL, or its new head
 *
 * A huge page in use moves to a free page of its pool that nobody has reserved, else to a
 * new one; its surplus state moves with it, as in Linux. Where that node has no room another
 * one serves.
 *
 * What else happens to its descriptors in Linux mode is in enum hvo_fold_scope.
 *
 * Context: may wait; not from a shrinker, nor from an owner's functions.
 * Return: 0; -HVO_EINVAL: no block in use there, or one without an owner; -HVO_EBUSY: the
 * owner refused, others hold it after some attempts, 64 migrations run already, or the scope of its
 * pool lets nothing move; -HVO_ENOMEM: no place for it, or for descriptors that a scope wants
 * restored first; what @move returned. After an error everything is where it was; a free page of
 * the pool that it could have moved to may have been folded or restored.
 */
int hvo_migrate(struct hvo_machine *m, hvo_pfn_t pfn, int node, hvo_pfn_t *ret_dst);

/* ---- isolation ------------------------------------------------------------------ */

/**
 * hvo_isolate_range() - keep free memory of a range from being allocated
 * @start, @end: multiples of 512 frames, online, of one zone
 *
 * What is free, and what gets free, stays out of the free lists and counts until
 * hvo_unisolate_range(). Nobody waits for that: an allocation that finds nothing else fails,
 * where it would wait, with HVO_GFP_RECLAIM, for blocks that the library itself has isolated for
 * a moment. Contiguous ranges are looked for elsewhere; hvo_alloc_contig_range() and
 * hvo_memory_offline() of any of it are -HVO_EBUSY.
 *
 * Context: may wait; not from a shrinker, nor from an owner's functions.
 * Return: 0; -HVO_EINVAL; -HVO_EBUSY: part of it is isolated already. After an error nothing
 * has changed.
 */
HVO_MUST_CHECK int hvo_isolate_range(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);
/*
 * The same range again, or part of it. 0; -HVO_EINVAL: not all of it was isolated so, and nothing
 * has changed.
 */
int hvo_unisolate_range(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

/* ---- compaction ------------------------------------------------------------------- */

/**
 * hvo_compact() - move what is in use together, so that large blocks become free
 * @node: of one node, or HVO_NODE_ANY
 * @order: of the blocks that are wanted, 9 to max_order
 * @max: move at most so many frames
 * @ret_more: NULL, or: was it @max that ended it?
 *
 * An allocation with HVO_GFP_RECLAIM that finds no block of order 9 and above does this by
 * itself; with a bound it is a step in the background. It begins where the last one ended.
 *
 * It stops before a block that may be more than what is left of @max, and goes on with that one
 * the next time. No block that it moves is larger than 2^(@order - 1) frames, so it may stop up
 * to 2^(@order - 1) - 1 frames short of @max; with an @max below that size it may never get past
 * such a block. It can be more than @max only by what others allocate in a range after it was
 * looked over. Nothing moves to another node.
 *
 * Context: may wait; not from a shrinker, nor from an owner's functions.
 * Return: frames moved; -HVO_EINVAL; -HVO_ENODEV. Without more, what is left is not worth moving.
 */
int64_t hvo_compact(struct hvo_machine *m, int node, unsigned int order, uint64_t max,
		    bool *ret_more);

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
/* 0; -HVO_EINVAL: not allocated from it as one piece or part of one. */
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

/* ---- hot-plug --------------------------------------------------------------------------------- */

enum hvo_section_state {
	HVO_SECTION_ABSENT = 0,	 /* address space without memory */
	HVO_SECTION_OFFLINE = 1, /* memory, with descriptors, that nobody uses */
	HVO_SECTION_ONLINE = 2,
};

/* Descriptors of added memory lie in itself. */
#define HVO_MEMMAP_ON_MEMORY 0x1u

/**
 * hvo_memory_add() - add memory at absent sections
 * @node: that it belongs to
 * @start, @end: multiples of a section (128 MiB)
 * @flags: HVO_MEMMAP_ON_MEMORY or 0
 *
 * Its head pages (in Linux mode: all descriptors) take frames of NORMAL, or the first frames of
 * the memory itself. Linux mode then never folds the pages in it.
 *
 * Context: may wait; not from a shrinker, nor from an owner's functions.
 * Return: 0; -HVO_EINVAL; -HVO_EBUSY: there is memory; -HVO_ENOMEM. After an error nothing has changed.
 */
HVO_MUST_CHECK int hvo_memory_add(struct hvo_machine *m, int node, hvo_pfn_t start, hvo_pfn_t end,
				  unsigned int flags);

/**
 * hvo_memory_online() - give offline memory to a zone
 * @zone: NORMAL or MOVABLE
 *
 * Context: may wait; not from a shrinker, nor from an owner's functions.
 * Return: 0; -HVO_EINVAL; -HVO_EBUSY: not offline; -HVO_ENOMEM. After an error nothing has changed.
 */
HVO_MUST_CHECK int hvo_memory_online(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end,
				     enum hvo_zone_type zone);

/**
 * hvo_memory_offline() - take memory out of use
 *
 * What is in use moves to other nodes, if any of them has memory; where they have no room, Linux
 * mode gives up and on-demand mode takes the node itself. Free huge pages are dissolved; those that
 * are reserved are replaced, by the same rule. CMA memory stays.
 *
 * Context: may wait; not from a shrinker, nor from an owner's functions.
 * Return: 0; -HVO_EINVAL: not online; -HVO_EBUSY: something cannot be moved; -HVO_ENOMEM: no place
 * for it, or, in Linux mode, for the descriptors of a huge page. After an error all of it is
 * online; what was moved or dissolved stays so.
 */
HVO_MUST_CHECK int hvo_memory_offline(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

/**
 * hvo_memory_remove() - give offline memory back to the system, with its descriptors
 *
 * Context: may wait; not from a shrinker, nor from an owner's functions.
 * Return: 0; -HVO_EINVAL; -HVO_EBUSY: not offline; -HVO_ENOMEM: a mapping was refused, nothing changed.
 */
HVO_MUST_CHECK int hvo_memory_remove(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

/**
 * hvo_section_state() - whether a section of memory is there, and online
 * @pfn: any frame of it
 *
 * Context: any.
 * Return: enum hvo_section_state; absent beyond the end of the address space.
 */
enum hvo_section_state hvo_section_state(struct hvo_machine *m, hvo_pfn_t pfn);

/**
 * struct hvo_section_info - a section of 128 MiB
 * @size: sizeof(struct hvo_section_info), see types.h
 * @state: as hvo_section_state() says; absent beyond the end of the address space
 * @node: that it belongs to; -1 if it is absent
 * @zone: where it is online, enum hvo_zone_type; -1 if it is not
 * @self_hosted: its descriptors lie in itself, HVO_MEMMAP_ON_MEMORY
 */
struct hvo_section_info {
	uint32_t size;
	enum hvo_section_state state;
	int node;
	int zone;
	bool self_hosted;
};

/**
 * hvo_section_info() - hvo_section_state() and more
 *
 * What comes or goes meanwhile is seen before or after.
 *
 * Context: any.
 * Return: 0; -HVO_ENODEV: the machine is gone, *@ret untouched.
 */
int hvo_section_info(struct hvo_machine *m, hvo_pfn_t pfn, struct hvo_section_info *ret);

#ifdef __cplusplus
}
#endif

#endif
