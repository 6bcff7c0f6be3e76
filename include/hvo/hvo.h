/* SPDX-License-Identifier: MIT */
#ifndef HVO_HVO_H
#define HVO_HVO_H

#include <hvo/page.h>
#include <hvo/platform.h>
#include <hvo/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * libhvo: memory management for memory you own. A machine has nodes, zones, a
 * buddy allocator and HugeTLB pools; its page descriptors exist only where they
 * are needed. Frames are named by number (hvo_pfn_t) everywhere.
 *
 * Every function is thread-safe unless its Context says otherwise.
 */

/* ---- machine ---------------------------------------------------------- */

enum hvo_mode {
	HVO_ON_DEMAND = 0, /* descriptors exist where memory is cut */
	HVO_LINUX = 1,	   /* all descriptors exist; HugeTLB pages fold theirs */
};

/* When frames are cleared, so that no user sees another's bytes. */
enum hvo_clear {
	HVO_CLEAR_ON_ALLOC = 0,
	HVO_CLEAR_ON_FREE = 1,
	HVO_CLEAR_NEVER = 2,
};

/**
 * struct hvo_config - what a machine is to be; zero means the default
 * @memory_bytes: all nodes together; a multiple of @nr_nodes sections (128 MiB), at
 *                most 16 TiB
 * @movable_bytes: of each node, at its end, in ZONE_MOVABLE; whole sections
 * @min_free_bytes: kept back below the min watermark of all zones (default: as
 *                  Linux computes it from the size)
 * @nr_nodes: 1 (default) to HVO_MAX_NODES
 * @max_order: largest free block, 9 to 18 (default 18; Linux has 10)
 * @mode: enum hvo_mode
 * @clear: enum hvo_clear
 * @optimize: Linux mode: the switch hugetlb_optimize_vmemmap at creation
 */
struct hvo_config {
	uint64_t memory_bytes;
	uint64_t movable_bytes;
	uint64_t min_free_bytes;
	uint32_t nr_nodes;
	uint32_t max_order;
	uint32_t mode;
	uint32_t clear;
	bool optimize;
};

/**
 * hvo_machine_size() - memory that a machine of this configuration needs
 * Return: bytes, or 0 if the configuration is not valid.
 */
size_t hvo_machine_size(const struct hvo_config *cfg);

/**
 * hvo_machine_init() - build a machine and bring its memory online
 * @mem: zeroed, 64-byte aligned, at least hvo_machine_size() bytes; most of it is
 *       touched only as memory is cut, so it may be lazily backed
 * @array: where the descriptor array is (hvo_memmap_pages() pages of address
 *         space, all showing the shared tail page)
 *
 * Context: may wait. One thread.
 * Return: 0; -HVO_EINVAL for a configuration that makes no sense; -HVO_ENOMEM if
 * the platform could not map or back the descriptors. After an error nothing is
 * kept: @mem, the platform's mappings and *@ret are as before or unused.
 */
HVO_MUST_CHECK int hvo_machine_init(void *mem, size_t len, const struct hvo_config *cfg,
				    const struct hvo_platform_ops *ops, void *ctx,
				    struct hvo_page *array, struct hvo_machine **ret);

/* Pages of address space that the descriptor array of @memory_bytes takes. */
uint64_t hvo_memmap_pages(uint64_t memory_bytes);

/* The descriptor array of a machine; valid as long as the machine. */
const struct hvo_memmap *hvo_machine_memmap(const struct hvo_machine *m);

/* The configuration with its defaults filled in. */
const struct hvo_config *hvo_machine_config(const struct hvo_machine *m);

/* Bytes of the frames [pfn, pfn + nr). */
void *hvo_window(const struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);

/**
 * hvo_machine_abandon() - make every later call fail with -HVO_ENODEV
 *
 * For a platform whose memory has gone away under the machine, such as the child
 * of a fork.
 */
void hvo_machine_abandon(struct hvo_machine *m);

/* ---- frames ----------------------------------------------------------- */

/* Allocation flags: the kernel's names and meanings. */
#define HVO_GFP_RECLAIM 0x01u	    /* may call shrinkers and wait */
#define HVO_GFP_HIGH 0x02u	    /* may use half of the reserve */
#define HVO_GFP_MEMALLOC 0x04u	    /* may use all of it */
#define HVO_GFP_NORETRY 0x08u	    /* one attempt at reclaim */
#define HVO_GFP_RETRY_MAYFAIL 0x10u /* try hard, do not call the OOM notifier */
#define HVO_GFP_NOWARN 0x20u	    /* no event for a failure */
#define HVO_GFP_THISNODE 0x40u	    /* this node only */
#define HVO_GFP_MOVABLE 0x80u	    /* may lie in ZONE_MOVABLE */
#define HVO_GFP_RECLAIMABLE 0x100u  /* groups with memory that shrinkers free */
#define HVO_GFP_ZERO 0x200u	    /* cleared, whatever the machine's setting */
#define HVO_GFP_KERNEL HVO_GFP_RECLAIM
#define HVO_GFP_ATOMIC HVO_GFP_HIGH
#define HVO_GFP_USER (HVO_GFP_RECLAIM | HVO_GFP_MOVABLE)
#define HVO_GFP_ALL 0x3ffu

/**
 * hvo_alloc_pages() - allocate a block of 2^order frames
 * @gfp: HVO_GFP_*
 * @order: 0 to the machine's max_order
 * @node: preferred node, or HVO_NODE_ANY
 * @ret: first frame
 *
 * The block is aligned to its size, has one reference, and is one compound page.
 *
 * Context: with HVO_GFP_RECLAIM it may wait and call shrinkers and the
 * out-of-memory notifier; without, it takes spin locks only, but may cut a block.
 * Return: 0; -HVO_EINVAL (unknown flag, order or node); -HVO_ENOMEM. After an error
 * nothing has changed.
 */
HVO_MUST_CHECK int hvo_alloc_pages(struct hvo_machine *m, unsigned int gfp, unsigned int order,
				   int node, hvo_pfn_t *ret);

/**
 * hvo_put_page() - drop a reference; the last one frees the block
 * @pfn: any frame of an allocated block
 *
 * Context: with no lock of the caller's that a shrinker takes: a block may be
 * collapsed, or a surplus huge page restored, on the way. Never needs memory in
 * on-demand mode; in Linux mode a surplus huge page that cannot be restored stays in
 * its pool.
 * Return: 0; -HVO_EINVAL where no reference is held on a block there; -HVO_EBUSY if it is
 * the last one and the map count is not 0. After an error nothing has changed.
 */
int hvo_put_page(struct hvo_machine *m, hvo_pfn_t pfn);

/**
 * hvo_get_page() - take a reference on whatever block covers a frame, if it is in use
 * @pfn: any number
 * @ret_head: head of the block, may be NULL
 *
 * Context: any; takes no lock.
 * Return: 0; -HVO_EINVAL if there is no such frame; -HVO_EBUSY if nobody holds it (free
 * memory, descriptors).
 */
HVO_MUST_CHECK int hvo_get_page(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t *ret_head);

/* Map count of an allocated block: 0 or -HVO_EINVAL, nothing changed. */
int hvo_map_page(struct hvo_machine *m, hvo_pfn_t pfn);
int hvo_unmap_page(struct hvo_machine *m, hvo_pfn_t pfn);

/**
 * hvo_split_page() - split an allocated block into blocks of a lower order
 * @pfn: its head; one reference, not mapped, no HugeTLB page
 * @order: order of the parts; each gets one reference of its own
 *
 * In on-demand mode a split of a block of order 9 or above to below 9 needs
 * 7 frames for each 2 MiB: an ordinary allocation.
 *
 * Context: may wait.
 * Return: 0; -HVO_EINVAL; -HVO_EBUSY (more than one reference); -HVO_ENOMEM. After an
 * error nothing has changed.
 */
HVO_MUST_CHECK int hvo_split_page(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

/* Readers that look at descriptors without a reference: between these two calls. */
void hvo_read_lock(struct hvo_machine *m);
void hvo_read_unlock(struct hvo_machine *m);

/**
 * struct hvo_shrinker - frees memory that its owner can do without
 * @scan: asked to free @nr_frames frames; returns how many it freed. Called without
 *        spin locks. It may free pages and huge pages; it must not resize pools,
 *        split blocks or register shrinkers, and what it allocates must not set
 *        RECLAIM.
 *
 * The caller owns the memory; it must stay until hvo_shrinker_unregister().
 */
struct hvo_shrinker {
	uint64_t (*scan)(struct hvo_shrinker *shrinker, struct hvo_machine *m, uint64_t nr_frames);
	void *arg;
	struct hvo_shrinker *next;
};

void hvo_shrinker_register(struct hvo_machine *m, struct hvo_shrinker *shrinker);
/* 0, -HVO_ENODEV, or -HVO_EINVAL if it is not registered. Waits for a running scan. */
int hvo_shrinker_unregister(struct hvo_machine *m, struct hvo_shrinker *shrinker);

/*
 * The last resort of an allocation without NORETRY or RETRY_MAYFAIL: frees memory
 * and returns how many frames. NULL for none. Called as a shrinker's scan is.
 */
void hvo_set_oom_notifier(struct hvo_machine *m,
			  uint64_t (*notify)(void *arg, struct hvo_machine *m, unsigned int order),
			  void *arg);

/**
 * hvo_collapse() - make cut blocks that hold nothing but their descriptors whole again
 * @max_blocks: at most so many
 *
 * On-demand mode does this by itself when a whole block is wanted; this is for
 * doing it earlier. Linux mode has nothing to collapse.
 *
 * Context: may wait.
 * Return: number of blocks made whole (0 or more).
 */
uint64_t hvo_collapse(struct hvo_machine *m, uint64_t max_blocks);

/* ---- HugeTLB ---------------------------------------------------------- */

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

#define HVO_POLICY_STEPS 4
struct hvo_policy {
	char name[16];
	uint32_t nr_steps;
	struct hvo_restore_step steps[HVO_POLICY_STEPS];
};

/* "mayfail", "mayfail-node", "noretry", "atomic", "retry", "oom", "carve"; NULL if unknown. */
const struct hvo_policy *hvo_policy_find(const char *name);
/* The policies by number from 0; NULL after the last. */
const struct hvo_policy *hvo_policy_get(unsigned int index);

/**
 * hvo_pool_create() - add a pool of huge pages of one order
 * @order: 9 to 18; at most HVO_MAX_POOLS pools, one for each order
 *
 * Return: 0; -HVO_EINVAL; -HVO_EBUSY if the order has a pool; -HVO_ENOSPC.
 */
#define HVO_MAX_POOLS 4
HVO_MUST_CHECK int hvo_pool_create(struct hvo_machine *m, unsigned int order,
				   struct hvo_pool **ret);
/* The pool of an order, or NULL. */
struct hvo_pool *hvo_pool_find(struct hvo_machine *m, unsigned int order);

/* Linux mode, "mayfail" by default. Copies the policy. -HVO_EINVAL if it makes no sense. */
int hvo_pool_set_policy(struct hvo_pool *pool, const struct hvo_policy *policy);

/* The switch hugetlb_optimize_vmemmap; acts on later allocations only. */
void hvo_set_optimize(struct hvo_machine *m, bool on);

struct hvo_resize_result {
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
 * Growing turns surplus into persistent pages first, then allocates; shrinking
 * frees free pages, one node after the other, and turns the excess of pages in
 * use into surplus. As in Linux, doing less than asked is not an error: read @ret or
 * hvo_pool_stat().
 *
 * Context: may wait. Not from a shrinker.
 * Return: 0; -HVO_EINVAL for no such node.
 */
int hvo_pool_resize(struct hvo_pool *pool, int node, uint64_t nr, struct hvo_resize_result *ret);

/**
 * hvo_hugetlb_alloc() - take a huge page out of a pool
 * Return: 0; -HVO_EINVAL; -HVO_ENOMEM if the pool has no free page there.
 */
HVO_MUST_CHECK int hvo_hugetlb_alloc(struct hvo_pool *pool, unsigned int gfp, int node,
				     hvo_pfn_t *ret);
/*
 * Give it back: one reference less; the last one returns it to the pool, or to the
 * free lists if the node has surplus. Same as hvo_put_page().
 */
int hvo_hugetlb_free(struct hvo_pool *pool, hvo_pfn_t pfn);

/**
 * hvo_hugetlb_dissolve() - take a free huge page out of its pool and free it
 * @pfn: any frame of it
 *
 * Surplus of its node is used up first; otherwise the persistent number falls by one.
 *
 * Context: may wait. Not from a shrinker.
 * Return: 0, also where there is no huge page; -HVO_EINVAL: no such frame; -HVO_EBUSY: in use;
 * -HVO_ENOMEM: its descriptors could not be restored. After an error nothing has changed.
 */
int hvo_hugetlb_dissolve(struct hvo_machine *m, hvo_pfn_t pfn);

/**
 * hvo_pool_set_demote_order() - into what hvo_pool_demote() turns pages of this pool
 * @order: of another pool, smaller; at first it is the next smaller pool's
 * Return: 0; -HVO_EINVAL, nothing changed.
 */
int hvo_pool_set_demote_order(struct hvo_pool *pool, unsigned int order);

/**
 * hvo_pool_demote() - turn free huge pages into smaller ones, in another pool
 * @node: of one node, or HVO_NODE_ANY
 * @nr: how many
 * @ret_done: how many were; always set unless -HVO_EINVAL or -HVO_ENODEV is returned
 *
 * On-demand mode needs nothing for it. Linux mode restores each page and folds its
 * parts again; frames for that come from the first step of the policy.
 *
 * Context: may wait. Not from a shrinker.
 * Return: 0, with fewer than asked if no more were free; -HVO_EINVAL: no such node, or no
 * smaller pool; -HVO_ENOMEM: the next page could not be restored and stays as it was.
 */
int hvo_pool_demote(struct hvo_pool *pool, int node, uint64_t nr, uint64_t *ret_done);

struct hvo_pool_stat {
	uint64_t total; /* sysfs nr_hugepages, surplus included */
	uint64_t free;
	uint64_t surplus;
	uint64_t optimized; /* folded */
	/* whole pool only: */
	uint64_t refused_total; /* frees refused since creation */
	uint64_t carved_total;
};

/* @node or HVO_NODE_ANY for the sums. -HVO_EINVAL: no such node, *@ret untouched. */
int hvo_pool_stat(struct hvo_pool *pool, int node, struct hvo_pool_stat *ret);

/* ---- counters, events, audit ------------------------------------------ */

enum hvo_zone_type { HVO_ZONE_NORMAL = 0, HVO_ZONE_MOVABLE = 1, HVO_NR_ZONES = 2 };

struct hvo_zone_stat {
	uint64_t start_pfn, end_pfn;
	uint64_t present; /* frames */
	uint64_t managed; /* present minus what was set aside at the start */
	uint64_t free;
	uint64_t watermark_min, watermark_low, watermark_high;
	uint64_t nr_free[HVO_MAX_ORDER + 1]; /* free blocks of each order */
	uint64_t nr_cut;		     /* blocks cut below order 9 */
	uint64_t nr_collapsible;	     /* of them, those that hold nothing */
};

/* -HVO_EINVAL: no such zone, *@ret untouched. */
int hvo_zone_stat(struct hvo_machine *m, int node, enum hvo_zone_type type,
		  struct hvo_zone_stat *ret);

struct hvo_machine_stat {
	uint64_t total_frames;	  /* managed: MemTotal */
	uint64_t free_frames;	  /* MemFree */
	uint64_t memmap_boot;	  /* frames for descriptors, set aside at the start */
	uint64_t memmap;	  /* and allocated later (nr_memmap_pages) */
	uint64_t folds, presents; /* blocks folded, made present */
	uint64_t cuts, cut_failures;
	uint64_t collapses, collapse_failures;
};

void hvo_machine_stat(struct hvo_machine *m, struct hvo_machine_stat *ret);

enum hvo_event {
	HVO_EVENT_ALLOC_FAILED,	  /* order a, gfp b */
	HVO_EVENT_FREE_REFUSED,	  /* pool order a, frames missing b */
	HVO_EVENT_CARVED,	  /* pool order a */
	HVO_EVENT_FOLD_FAILED,	  /* blocks a, error b */
	HVO_EVENT_PRESENT_FAILED, /* blocks a, error b */
	HVO_EVENT_CUT,
	HVO_EVENT_COLLAPSED,
	HVO_EVENT_NR
};

struct hvo_event_record {
	enum hvo_event event;
	hvo_pfn_t pfn;
	uint64_t a, b;
};

/**
 * struct hvo_finding - one mismatch that an audit found
 * @rule: the invariant, as numbered in DESIGN.md ("BUDDY-1")
 * @what: a few words
 */
struct hvo_finding {
	const char *rule;
	const char *what;
	uint64_t where, expected, found;
};

/**
 * hvo_machine_audit() - recount everything from scratch
 * @report: called for each mismatch, may be NULL
 *
 * Free lists against descriptors, against the fold map, against the mappings,
 * against the counters.
 *
 * Context: may wait. No other thread may use the machine meanwhile: the count would be wrong.
 * Return: number of mismatches.
 */
uint64_t hvo_machine_audit(struct hvo_machine *m,
			   void (*report)(void *arg, const struct hvo_finding *finding), void *arg);

#ifdef __cplusplus
}
#endif

#endif
