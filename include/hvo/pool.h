/* SPDX-License-Identifier: MIT */
#ifndef HVO_POOL_H
#define HVO_POOL_H

#include <hvo/hvo.h>

#ifdef __cplusplus
extern "C" {
#endif

/* HugeTLB: pools of huge pages. A part of hvo.h, which includes it. */

/*
 * Restore policies of Linux mode: where the frames for the descriptors of a huge
 * page that leaves its pool come from. A policy is data: steps, tried in order
 * until one of them succeeds; the last one failing refuses the free.
 */
enum hvo_restore_source {
	HVO_RESTORE_ALLOC = 1, /* allocate frames with @gfp */
	HVO_RESTORE_CARVE = 2, /* frames of the huge page itself, which spoils it */
	HVO_RESTORE_OOM = 3,   /* call the out-of-memory notifier, then allocate */
};

struct hvo_restore_step {
	uint32_t source; /* enum hvo_restore_source */
	uint32_t gfp;
	uint32_t retries;  /* further attempts; UINT32_MAX: without end */
	uint32_t delay_ms; /* before each further attempt */
};

/*
 * Without flags a policy is as Linux in everything: the same number written again does
 * nothing, demotion restores all of a page.
 */
#define HVO_POLICY_RETRY 0x1u /* every resize tries again to free what was refused */
#define HVO_POLICY_HEAL 0x2u  /* descriptors are moved out of carved blocks, see hvo_work() */
#define HVO_POLICY_DEMOTE_HEADS 0x4u /* demotion restores the head pages of the parts only */
#define HVO_POLICY_FLAGS 0x7u

#define HVO_POLICY_STEPS 4
struct hvo_policy {
	uint32_t size;
	char name[16];
	uint32_t flags; /* HVO_POLICY_* */
	uint32_t nr_steps;
	struct hvo_restore_step steps[HVO_POLICY_STEPS];
};

/**
 * hvo_policy_find() - a restore policy by its name
 * @name: "mayfail", "mayfail-node", "noretry", "atomic", "retry", "oom", "carve", "carve-heal"
 *
 * Context: any.
 * Return: the policy; NULL if unknown.
 */
const struct hvo_policy *hvo_policy_find(const char *name);
/* The policies by number from 0; NULL after the last. */
const struct hvo_policy *hvo_policy_get(unsigned int index);

/**
 * hvo_pool_create() - add a pool of huge pages of one order
 * @order: 9 to 18; at most HVO_MAX_POOLS pools, one for each order
 *
 * Context: may wait. Not from a shrinker.
 * Return: 0; -HVO_EINVAL; -HVO_EBUSY if the order has a pool; -HVO_ENOSPC.
 */
#define HVO_MAX_POOLS 4
HVO_MUST_CHECK int hvo_pool_create(struct hvo_machine *m, unsigned int order,
				   struct hvo_pool **ret);

/**
 * hvo_pool_destroy() - remove a pool that has no pages
 *
 * Shrink it to 0 first. Its counters and settings are gone; a pool that hvo_pool_set_demote_order()
 * sent here demotes to the next smaller pool again. Nobody may use @pool from now on; until there
 * is another pool in its place, every call on it is -HVO_EINVAL.
 *
 * Context: may wait. Not from a shrinker.
 * Return: 0; -HVO_EINVAL; -HVO_ENODEV; -HVO_EBUSY: it has pages, free, in use or deferred, or
 * a promise, or is just being resized. After an error nothing has changed.
 */
int hvo_pool_destroy(struct hvo_pool *pool);

/**
 * hvo_pool_find() - the pool of an order
 *
 * Context: any.
 * Return: the pool; NULL: there is none, or the machine is gone.
 */
struct hvo_pool *hvo_pool_find(struct hvo_machine *m, unsigned int order);

/**
 * hvo_pool_next() - the pools of a machine by order, the smallest first
 * @pool: NULL for the first one
 *
 * Context: any.
 * Return: the pool of the next larger order than @pool's; NULL behind the last.
 */
struct hvo_pool *hvo_pool_next(struct hvo_machine *m, const struct hvo_pool *pool);
#define hvo_for_each_pool(m, pool) \
	for ((pool) = hvo_pool_next(m, NULL); (pool); (pool) = hvo_pool_next(m, pool))

/**
 * hvo_pool_order() - order of a pool's pages
 *
 * Context: any.
 * Return: 9 to 18; -HVO_EINVAL; -HVO_ENODEV.
 */
int hvo_pool_order(const struct hvo_pool *pool);

/**
 * hvo_pool_set_policy() - choose where frames for descriptors come from, in Linux mode
 * @policy: copied; "mayfail" at first
 *
 * Acts on what leaves the pool later.
 *
 * Context: may wait. Not from a shrinker.
 * Return: 0; -HVO_EINVAL: it makes no sense, nothing changed; -HVO_ENODEV.
 */
int hvo_pool_set_policy(struct hvo_pool *pool, const struct hvo_policy *policy);
/* A copy of the one in force. Context: may wait. 0; -HVO_EINVAL; -HVO_ENODEV; then *@ret is untouched. */
int hvo_pool_policy(struct hvo_pool *pool, struct hvo_policy *ret);

/**
 * enum hvo_fold_scope - which pages of a pool may be folded, in Linux mode
 * @HVO_FOLD_ALL: all, as Linux does
 * @HVO_FOLD_BOOT: those that were reserved at boot (struct hvo_config::boot_gigantic, struct
 *                 hvo_resize_options::boot), and what they are demoted to; not the page that
 *                 such a one moves to
 * @HVO_FOLD_NORMAL: those in NORMAL, wherever they came from. A page in use that moves there from
 *                   MOVABLE or CMA is folded there. One that goes the other way, and so leaves
 *                   the pool, is restored first; and so is a free page that it moves to, if that
 *                   is folded. Where that cannot be done the move fails, with -HVO_ENOMEM, and
 *                   nothing has changed
 * @HVO_FOLD_UNMOVABLE: those in NORMAL; and as long as the switch is on, no new page comes from
 *                      MOVABLE or CMA, and no page in use moves (-HVO_EBUSY)
 *
 * They were discussed for Linux, and not merged: what is not folded needs no memory to be freed,
 * and descriptors are always in NORMAL.
 */
enum hvo_fold_scope {
	HVO_FOLD_ALL = 0,
	HVO_FOLD_BOOT = 1,
	HVO_FOLD_NORMAL = 2,
	HVO_FOLD_UNMOVABLE = 3,
};

/**
 * hvo_fold_scope_name() - "all", "boot", "normal", "unmovable"
 * @scope: by number from 0
 *
 * Context: any.
 * Return: the name; NULL after the last.
 */
const char *hvo_fold_scope_name(unsigned int scope);

/**
 * hvo_pool_set_fold_scope() - choose which pages of a pool may be folded
 * @scope: HVO_FOLD_ALL at first
 *
 * Acts on later allocations, moves and hvo_pool_optimize(): what is in the pool stays
 * as it is.
 *
 * Context: any.
 * Return: 0; -HVO_EINVAL: no such scope, or on-demand mode, which folds everything and never needs
 * memory to unfold it; -HVO_ENODEV. Nothing changed after an error.
 */
int hvo_pool_set_fold_scope(struct hvo_pool *pool, enum hvo_fold_scope scope);
/* The one in force. Context: any. -HVO_EINVAL, also in on-demand mode; -HVO_ENODEV. */
int hvo_pool_fold_scope(struct hvo_pool *pool);

/**
 * hvo_set_optimize() - the switch hugetlb_optimize_vmemmap
 *
 * Acts on later allocations only. On-demand mode has no use for it.
 *
 * Context: any.
 * Return: 0; -HVO_ENODEV.
 */
int hvo_set_optimize(struct hvo_machine *m, bool on);
/* Where it stands. Context: any. */
bool hvo_optimize(const struct hvo_machine *m);

/**
 * hvo_set_movable_gigantic() - may new 1 GiB pages come from ZONE_MOVABLE?
 *
 * As the kernel's vm.movable_gigantic_pages: off at first, since memory with such a page in use
 * goes offline only where there is another one free. Acts on later allocations only; pages of
 * a pool that takes them from CMA areas come from there in either case.
 *
 * Context: any.
 * Return: 0; -HVO_ENODEV.
 */
int hvo_set_movable_gigantic(struct hvo_machine *m, bool on);
/* Where it stands. Context: any. */
bool hvo_movable_gigantic(const struct hvo_machine *m);

/**
 * hvo_pool_optimize() - fold what is present: pages that joined while the switch was
 * off, or that could not be folded then
 * @ret_done: NULL, or how many were folded
 *
 * Free pages and pages in use alike, those that the pool's scope allows; whoever holds one
 * notices nothing. Pages in use that get freed meanwhile are skipped. On-demand mode has nothing to fold.
 *
 * Context: may wait. Not from a shrinker.
 * Return: 0; -HVO_EINVAL; -HVO_ENODEV; -HVO_ENOMEM where a mapping was refused: what is folded
 * stays so, the rest is as before.
 */
int hvo_pool_optimize(struct hvo_pool *pool, uint64_t *ret_done);

struct hvo_resize_result {
	uint32_t size;
	uint64_t asked;	  /* pages to add or to remove */
	uint64_t done;	  /* added or freed */
	uint64_t refused; /* stayed for want of descriptor frames (now surplus) */
	uint64_t carved;  /* freed, but spoiled by policy carve */
};

/**
 * hvo_pool_resize() - set the persistent number of pages of a pool (nr_hugepages)
 * @node: of one node, or HVO_NODE_ANY for all, in turn
 * @nr: persistent pages wanted
 * @ret: NULL, or what was done
 *
 * Frees that were deferred are finished first. Growing turns surplus into persistent
 * pages first, then allocates; shrinking frees free pages that nobody reserved, one node
 * after the other, and turns the excess into surplus. As in Linux, doing less than asked
 * is not an error: read @ret or hvo_pool_stat(). With HVO_POLICY_RETRY every call also
 * tries to free surplus pages that are free, whatever @nr.
 *
 * Context: may wait. Not from a shrinker.
 * Return: 0; -HVO_EINVAL for no such node.
 */
int hvo_pool_resize(struct hvo_pool *pool, int node, uint64_t nr, struct hvo_resize_result *ret);

/**
 * struct hvo_resize_options - zero means the default
 * @size: sizeof(struct hvo_resize_options), see types.h
 * @nodes: bit n allows node n, as a memory policy does (nr_hugepages_mempolicy); 0: all.
 *         Only with HVO_NODE_ANY
 * @progress: called after each batch; false ends the resize there, what was done stays. It
 *            may allocate and free, and must not resize, dissolve, demote or split
 * @boot: new pages count as reserved at boot, as by hugepages= on the kernel's command line;
 *        see HVO_FOLD_BOOT
 */
struct hvo_resize_options {
	uint32_t size;
	uint64_t nodes;
	bool (*progress)(void *arg, const struct hvo_resize_result *so_far);
	void *arg;
	bool boot;
};

/**
 * hvo_pool_resize_with() - hvo_pool_resize() with options
 * @opt: NULL: none
 *
 * Context: may wait. Not from a shrinker.
 * Return: as hvo_pool_resize(); -HVO_EINVAL also for nodes that are none of the machine.
 */
int hvo_pool_resize_with(struct hvo_pool *pool, int node, uint64_t nr,
			 const struct hvo_resize_options *opt, struct hvo_resize_result *ret);

/**
 * hvo_pool_set_overcommit() - nr_overcommit_hugepages: new surplus pages are allocated below this number
 *
 * Context: may wait. Not from a shrinker.
 * Return: 0; -HVO_EINVAL; -HVO_ENODEV.
 */
int hvo_pool_set_overcommit(struct hvo_pool *pool, uint64_t nr);

/**
 * hvo_pool_reserve() - promise @nr huge pages to somebody, before they are taken
 * @node: where surplus pages come from first, or HVO_NODE_ANY
 *
 * Where the pool has too few free pages, surplus ones are allocated within the
 * overcommit limit and wait on the free list.
 *
 * Context: may wait. Not from a shrinker.
 * Return: 0; -HVO_EINVAL; -HVO_ENOMEM: too few, nothing is reserved.
 */
HVO_MUST_CHECK int hvo_pool_reserve(struct hvo_pool *pool, int node, uint64_t nr);

/**
 * hvo_pool_unreserve() - take back a promise that was not used
 *
 * As many surplus pages as that leave the pool if they are free.
 *
 * Context: may wait. Not from a shrinker.
 * Return: 0; -HVO_EINVAL: so many are not reserved, nothing changed.
 */
int hvo_pool_unreserve(struct hvo_pool *pool, uint64_t nr);

/**
 * hvo_pool_alloc() - take a huge page that nobody has reserved
 *
 * From the free list, else, with HVO_GFP_RECLAIM, as a surplus page within the overcommit
 * limit. Free pages in a range that the library empties at that moment (hvo_alloc_contig_range(),
 * hvo_memory_offline() and the like) are waited for with HVO_GFP_RECLAIM; those in a range of
 * hvo_isolate_range() cannot be had.
 *
 * Context: with HVO_GFP_RECLAIM it may wait; not from a shrinker then.
 * Return: 0; -HVO_EINVAL; -HVO_ENOMEM: no free page there, nothing changed.
 */
HVO_MUST_CHECK int hvo_pool_alloc(struct hvo_pool *pool, unsigned int gfp, int node,
				  hvo_pfn_t *ret);
/* The same by a reservation, which is used up. -HVO_EINVAL also where none is left. */
HVO_MUST_CHECK int hvo_pool_alloc_reserved(struct hvo_pool *pool, unsigned int gfp, int node,
					   hvo_pfn_t *ret);

/**
 * hvo_pool_alloc_bulk() - take many huge pages that nobody has reserved
 * @nr: how many, at least 1
 * @pfns: room for as many
 *
 * All or none: as many calls of hvo_pool_alloc(). hvo_put_pages_bulk() gives them back.
 *
 * Context: as hvo_pool_alloc().
 * Return: 0; what hvo_pool_alloc() returns. After an error nothing is taken, and what is in
 * @pfns means nothing; surplus pages that came for it have left again, or are deferred.
 */
HVO_MUST_CHECK int hvo_pool_alloc_bulk(struct hvo_pool *pool, unsigned int gfp, int node,
				       uint64_t nr, hvo_pfn_t *pfns);

/**
 * hvo_pool_free() - drop a reference on a huge page, as hvo_put_page() does
 * @pfn: its head
 *
 * The last one returns it to the pool; if its node has surplus it leaves the pool at
 * once, and if its descriptors have to be restored for that, that is deferred: nobody
 * who frees has to wait. hvo_work(), every call that changes a pool, and an allocation
 * that finds no memory finish what was deferred.
 *
 * Context: any without locks of the core's; needs no memory and does not wait.
 * Return: 0; -HVO_EINVAL; -HVO_EBUSY as hvo_put_page(). After an error nothing has changed.
 */
int hvo_pool_free(struct hvo_pool *pool, hvo_pfn_t pfn);
/*
 * Give back a page of hvo_pool_alloc_reserved() that was not put to use: the
 * reservation is there again. -HVO_EBUSY if others hold it or it is mapped.
 */
int hvo_pool_free_reserved(struct hvo_pool *pool, hvo_pfn_t pfn);

/**
 * hvo_hugetlb_dissolve() - take a free huge page out of its pool and free it
 * @pfn: any frame of it
 *
 * Surplus of its node is used up first; otherwise the persistent number falls by one.
 *
 * Context: may wait. Not from a shrinker.
 * Return: 0, also where there is no huge page; -HVO_EINVAL: no such frame; -HVO_EBUSY: in use,
 * or all free pages are reserved; -HVO_ENOMEM: its descriptors could not be restored. After
 * an error nothing has changed.
 */
int hvo_hugetlb_dissolve(struct hvo_machine *m, hvo_pfn_t pfn);

/**
 * hvo_pool_set_demote_order() - into what hvo_pool_demote() turns pages of this pool
 * @order: of another pool, smaller; at first it is the next smaller pool's
 *
 * Context: may wait. Not from a shrinker.
 * Return: 0; -HVO_EINVAL, nothing changed.
 */
int hvo_pool_set_demote_order(struct hvo_pool *pool, unsigned int order);
/* That order; 0: there is no smaller pool. Context: may wait. -HVO_EINVAL, -HVO_ENODEV. */
int hvo_pool_demote_order(struct hvo_pool *pool);

/**
 * hvo_pool_demote() - turn free huge pages into smaller ones, in another pool
 * @node: of one node, or HVO_NODE_ANY
 * @nr: how many
 * @ret_done: how many were; always set unless -HVO_EINVAL or -HVO_ENODEV is returned
 *
 * On-demand mode needs nothing for it. Linux mode restores each page and folds its
 * parts again; frames for that come from the first step of the policy. Poisoned and
 * reserved pages stay.
 *
 * Context: may wait. Not from a shrinker.
 * Return: 0, with fewer than asked if no more were free; -HVO_EINVAL: no such node, or no
 * smaller pool; -HVO_EBUSY: all that are free are poisoned; -HVO_ENOMEM: the next page could
 * not be restored and stays as it was.
 */
int hvo_pool_demote(struct hvo_pool *pool, int node, uint64_t nr, uint64_t *ret_done);

struct hvo_pool_stat {
	uint32_t size;
	uint64_t total; /* sysfs nr_hugepages, surplus included */
	uint64_t free;
	uint64_t surplus;
	uint64_t optimized; /* folded */
	uint64_t poisoned;  /* of them, pages with a frame that failed */
	/* whole pool only: */
	uint64_t reserved;
	uint64_t overcommit;
	uint64_t deferred;	/* left the pool, wait for hvo_work() */
	uint64_t refused_total; /* frees refused since creation */
	uint64_t carved_total;
	/* since creation, by enum hvo_fold_scope: */
	uint64_t out_of_scope_total;  /* pages that joined the pool and were not folded */
	uint64_t move_restores_total; /* pages restored for a move */
	uint64_t moves_refused_total; /* moves that failed for want of that, or are not allowed */
};

/**
 * hvo_pool_stat() - the counters of a pool
 * @node: of one node, or HVO_NODE_ANY for the sums
 *
 * Context: any.
 * Return: 0; -HVO_EINVAL: no such node, *@ret untouched; -HVO_ENODEV.
 */
int hvo_pool_stat(struct hvo_pool *pool, int node, struct hvo_pool_stat *ret);

#ifdef __cplusplus
}
#endif

#endif
