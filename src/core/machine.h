/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_MACHINE_H
#define HVO_CORE_MACHINE_H

#include <hvo/contig.h>
#include <hvo/hotplug.h>
#include <hvo/hvo.h>
#include <hvo/migrate.h>

/*
 * The structures of a machine, and who may touch which field:
 *
 *	(c) constant after hvo_machine_init()	(a) atomic access
 *	(z) under the zone's lock		(p) under the pool's lock
 *	(v) under the memmap lock		(s) under the shrinker lock
 *
 * Lock order, outermost first:
 *
 *	hvo_pool::resize_lock, hvo_cma::lock	one resize, one allocation at a time
 *	hvo_machine::memmap_lock		descriptors and pools change; scratch arrays
 *	hvo_machine::shrinker_lock		shrinkers and the notifier are called
 *	hvo_pool::lock				spin: free lists and counters of a pool
 *	zone::lock				spin: free lists, counters, pageblocks of a zone
 *	hvo_machine::owner_lock			spin: owners, blocks on the move
 *
 * No two locks of one kind are held together. The locks above the spin locks may be held while
 * waiting for memory. Nothing waits under a spin lock but for the one page that a move remaps
 * (memmap_move.c); that call takes no lock of the machine. Functions of users run without spin
 * locks. A shrinker calls nothing that waits for the memmap lock, since the allocation that asked
 * the shrinker may hold that lock. Readers hold no lock: the platform's read_lock() begins a
 * section that may be inside any lock.
 *
 * In every link 0 is "none" and n is element n - 1, so that zeroed memory is a valid empty state,
 * and a machine of many TiB need not be written to come up. Links to a pageblock, and to a block of
 * 2 MiB and above by its first pageblock: link_of_pb(), pb_of_link().
 */

/*
 * Numbers of a pageblock, and of a page of the descriptor array. Frame numbers, hvo_pfn_t, are the
 * third kind. These are structs, so that no kind is taken for another.
 */
typedef struct {
	uint64_t nr;
} pb_t;
typedef struct {
	uint64_t nr;
} slot_t;

/* 0 free, 1 held, 2 held and somebody waits. */
struct hvo_lock {
	uint32_t word;
};

/*
 * MIGRATE_HOSTED: a cut pageblock of on-demand mode whose own tails lie in other pageblocks. It
 * gets no descriptors of others: pageblocks that host each other's tails would never become whole.
 */
enum migratetype {
	MIGRATE_MOVABLE = 0,
	MIGRATE_UNMOVABLE,
	MIGRATE_RECLAIMABLE,
	MIGRATE_HOSTED,
	MIGRATE_TYPES
};

#define SMALL_ORDERS HVO_PAGEBLOCK_ORDER		       /* orders 0 to 8 */
#define WHOLE_ORDERS (HVO_MAX_ORDER - HVO_PAGEBLOCK_ORDER + 1) /* orders 9 to 18 */

/* The buddy allocator of one cut pageblock. Meaningful only while the pageblock is cut. All (z). */
struct pageblock {
	uint32_t next, prev;		  /* bin list: pageblocks */
	uint16_t nr_free;		  /* frames */
	uint16_t orders;		  /* bit o: free_head[o] is not empty */
	uint16_t free_head[SMALL_ORDERS]; /* index of a frame in the pageblock + 1 */
	uint8_t migratetype : 4;
	uint8_t isolation : 4; /* enum isolation */
	uint8_t flags;	       /* PB_* */
};
_Static_assert(sizeof(struct pageblock) <= 32, "two pageblocks a cache line");

/*
 * PB_SELF: the pageblock's tails lie in pb_tails() frames of the pageblock itself. These are
 * neighbours, unless one of them failed: then the pageblock never becomes whole.
 */
#define PB_SELF 0x1u
#define PB_BUSY 0x2u	  /* being collapsed: in no bin, no frame counts as free */
#define PB_CUT 0x4u	  /* cut: the other fields are meaningful */
#define PB_CARVED 0x8u	  /* policy carve left frames here as descriptors */
#define PB_REPORTED 0x10u /* the system has the content; never while cut */

/*
 * Who keeps a pageblock isolated: in no bin, with free frames that are not counted. The isolation
 * lasts when the pageblock is cut or becomes whole. The library ends its own isolations soon; one
 * of a user lasts until the user ends it.
 */
enum isolation { NOT_ISOLATED, ISOLATED_BY_LIBRARY, ISOLATED_BY_HEALING, ISOLATED_BY_USER };

/*
 * Bins of cut pageblocks, by the number of free frames: the fullest pageblocks are in bin 0.
 * Allocation takes from the fullest pageblock that can serve the request, so that the emptiest
 * ones can become whole. Pageblocks that hold nothing but their own tails are in the last bin.
 */
#define BIN_SHIFT (HVO_PAGEBLOCK_ORDER - 3)
#define BIN_COLLAPSIBLE 8
#define NR_BINS 9

struct bins {
	uint32_t head[NR_BINS][SMALL_ORDERS]; /* by largest free order */
	uint16_t orders[NR_BINS];
};

struct zone {
	struct hvo_lock lock;
	uint8_t id, node, type; /* (c) */
	/* (z) holds all sections of the zone, and perhaps sections of other zones */
	hvo_pfn_t start, end;
	uint64_t present;		 /* (z) */
	uint64_t managed;		 /* (z), read (a) */
	uint64_t nr_free;		 /* (z), read (a) */
	uint64_t min, low, high;	 /* (v), read (a): watermarks, in frames */
	uint32_t whole[WHOLE_ORDERS];	 /* (z) first free block of each order */
	uint64_t nr_whole[WHOLE_ORDERS]; /* (z) */
	struct bins bins[MIGRATE_TYPES]; /* (z) */
	uint64_t nr_cut;		 /* (z) */
	/* (z) cut pageblocks that serve, by type; their free blocks, by type and order */
	uint64_t nr_serving[MIGRATE_TYPES];
	uint64_t nr_frags[MIGRATE_TYPES][SMALL_ORDERS];
	uint64_t nr_collapsible;	  /* (z), read (a) */
	uint32_t in_flight;		  /* (z), read (a): pageblocks being cut or collapsed */
	uint32_t nr_isolated;		  /* (z): pageblocks, cut and whole */
	uint32_t nr_isolated_by_user;	  /* (z): of these, those that a user isolated */
	uint64_t compact_next;		  /* (a): frame where compaction goes on */
	uint64_t nr_allocs;		  /* (z) */
	uint64_t allocated, freed;	  /* (z), read (a): frames, since the start */
	uint64_t numa_miss, numa_foreign; /* (a) */
	uint64_t report_next;		  /* (v): frame where reporting goes on */
};

/* 128 MiB, the unit of hot-plug. Written under the memmap lock and the zone's lock, read (a). */
#define ZONE_NONE 0xffu
struct section {
	uint8_t zone;	     /* struct zone::id while it is online, else ZONE_NONE */
	uint8_t state;	     /* enum hvo_section_state */
	uint8_t node;	     /* where the memory is; meaningless while absent */
	uint8_t self_hosted; /* the section's descriptors lie in the section */
	uint32_t nr_bad;     /* (z), read (a): frames that failed */
};

struct node {
	/* (c) memory of the start, [start, end); memory that is added later may lie anywhere */
	hvo_pfn_t start, end;	/* (c) */
	hvo_pfn_t memmap_pfn;	/* (c) first frame set aside for descriptors */
	uint64_t memmap_frames; /* (c) */
	uint32_t memmap_node;	/* (c) node whose NORMAL memory these frames are */
	/*
	 * (c) [start, end) of 1 GiB pages reserved at boot in Linux mode with HVO on. Only the
	 * first descriptor page of each ever had a frame.
	 */
	hvo_pfn_t boot_start, boot_end;
	uint64_t failures_recovered, failures_delayed, failures_failed; /* (a) */
	struct zone zones[HVO_NR_ZONES];
};

#define BATCH 512u	   /* huge pages optimized or restored together */
#define NR_RUNS 4608u	   /* a 1 GiB page restored frame by frame fits */
#define COLLAPSE_BATCH 64u /* pageblocks */
#define COLLAPSE_KEEP 64u  /* pageblocks of a zone that stay cut for small allocations */

struct pool_node {
	uint32_t free_list;				    /* (p) newest first */
	uint64_t total, free, surplus, optimized, poisoned; /* (p) */
	uint64_t poisoned_free;				    /* (p) part of free: nobody gets them */
	/* (p) part of total: new pages that others move to, surplus until those others left */
	uint64_t incoming;
	/* (v) by zone, while the pool grows: first frame where a page can be put together */
	hvo_pfn_t tried[HVO_NR_ZONES];
};

/* Huge pages that left their pool: state TAKEN, linked by @next of their heads. */
struct page_list {
	uint32_t first;
	uint64_t nr;
};

struct hvo_pool {
	struct hvo_machine *m; /* (c) */
	uint32_t order;	       /* (c) */
	struct hvo_lock lock;
	struct hvo_lock resize_lock;	/* outermost: one resize at a time */
	bool cma;			/* (v) new pages come from CMA areas first */
	uint32_t demote_order;		/* (v) 0: the next smaller pool */
	struct hvo_policy policy;	/* (v) */
	uint32_t scope;			/* enum hvo_fold_scope; written (v), read (a) */
	uint32_t next_alloc, next_free; /* (v) node whose turn it is */
	hvo_pfn_t batch[BATCH];		/* (v) pages on their way in or out */
	hvo_pfn_t tried[HVO_MAX_CMA];	/* (v) as pool_node::tried, by CMA area */
	struct page_list deferred;	/* (p) */
	uint64_t reserved, overcommit;	/* (p) */
	uint64_t in_flight;		/* (p) free pages being folded, on no list */
	uint64_t refused, carved;	/* (p) */
	uint64_t out_of_scope;		/* (v), read (a): pages that the scope left unfolded */
	uint64_t move_restores;		/* (p) because of the scope */
	uint64_t moves_refused;		/* (a) because of the scope */
	struct pool_node nodes[HVO_MAX_NODES];
};

/* An owner, who can move blocks, and how many calls of his functions run. Under the owner lock. */
struct owner_slot {
	struct hvo_owner *owner; /* NULL: the number is free */
	uint32_t calls;
	bool leaving; /* no further call begins */
};
#define NR_MIGRATING 64u /* blocks on the move at a time; more wait */

struct hvo_cma {
	struct hvo_machine *m; /* (c) */
	hvo_pfn_t start;       /* written (v), read (a) */
	uint64_t nr;	       /* written (v), read (a): frames; 0: no area */
	uint64_t used;	       /* (a) frames that hvo_cma_alloc() gave and that are in use */
	/* (a) frames given, asked for in vain, and given back */
	uint64_t allocated, failed, released;
	struct hvo_lock lock; /* outermost: one allocation at a time */
};

/* An allocation that found no memory, and its attempts so far. */
struct reclaim {
	unsigned int gfp, order;
	int node;
	unsigned int compactions, rounds;
};

struct hvo_machine {
	struct hvo_memmap mm;		    /* (c) for readers; first member on purpose */
	const struct hvo_platform_ops *ops; /* (c) */
	void *ctx;			    /* (c) */
	uint8_t *fold;			    /* (a) the array that mm.fold names */
	uint32_t *table;		    /* (a) table layout: what mm.table names; else NULL */
	struct pageblock *pageblocks;	    /* (z) */
	struct section *sections;	    /* written under memmap and zone lock, read (a) */
	struct hvo_config cfg;		    /* (c) */
	uint32_t abandoned;		    /* (a) every call fails with -HVO_ENODEV */
	uint32_t optimize;		    /* (a) Linux mode: new huge pages are folded */
	uint32_t movable_gigantic;	    /* (a) 1 GiB pages may come from ZONE_MOVABLE */

	uint64_t min_free; /* written (v), read (a): bytes kept back below all min watermarks */
	bool min_free_set; /* (v) min_free was given, not computed from the size */

	/* (c) free memory for an allocation that found none; true: try once more */
	bool (*reclaim)(struct hvo_machine *m, struct reclaim *r);

	struct hvo_lock memmap_lock; /* resizing of pools, batches of remapping */
	struct hvo_remap *runs;	     /* (v) NR_RUNS */
	struct hvo_remap *undo;	     /* (v) NR_RUNS */
	uint32_t move_seq;	     /* (a), written (v): odd while a frame of descriptors moves */
	hvo_pfn_t carved_lo, carved_hi; /* (v) all carved pageblocks are in [lo, hi) */
	hvo_pfn_t heal_next;		/* (v) frame where healing goes on */

	struct hvo_lock shrinker_lock;
	struct hvo_shrinker *shrinkers;					       /* (s) */
	uint64_t (*oom)(void *arg, struct hvo_machine *m, unsigned int order); /* (s) */
	void *oom_arg;

	uint64_t *bad;	 /* (z), read (a): a bit for each frame, set if it failed */
	uint64_t nr_bad; /* (a) */

	struct hvo_lock owner_lock;
	struct owner_slot owners[HVO_MAX_OWNERS]; /* under owner_lock */
	hvo_pfn_t migrating[NR_MIGRATING];	  /* under owner_lock: heads + 1 */

	/* (a) */
	uint64_t memmap_boot, memmap;
	uint64_t folds, restored, cuts, cut_failures, collapses, collapse_failures;
	uint64_t moved, carved_blocks;
	uint64_t reported;	   /* frames whose content is with the system */
	uint64_t self_hosted_huge; /* huge pages left unfolded since they are self-hosted */
	uint64_t hugetlb_allocs, hugetlb_alloc_failures;
	uint64_t migrated, migrate_failures; /* frames */
	uint64_t cma_allocs, cma_alloc_failures;
	uint64_t compact_scanned, compact_isolated; /* frames */
	uint64_t compact_stalls, compact_successes;

	struct hvo_cma cmas[HVO_MAX_CMA];
	uint32_t nr_cmas; /* written (v), read (a) */

	struct hvo_pool pools[HVO_MAX_POOLS];
	struct node nodes[]; /* cfg.nr_nodes */
};

#endif
