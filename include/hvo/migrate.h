/* SPDX-License-Identifier: MIT */
#ifndef HVO_MIGRATE_H
#define HVO_MIGRATE_H

#include <hvo/hvo.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Memory that moves: owners who can follow their blocks, migration, isolation and compaction.
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
 * hvo_pool_free_reserved()) is -HVO_EBUSY there.
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

#ifdef __cplusplus
}
#endif

#endif
