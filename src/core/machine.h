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
 * Lock order, outermost first: resize lock of a pool, lock of a CMA area, memmap lock,
 * shrinker lock; then the spin locks:
 * pool lock, zone lock, owner lock. No two locks of one kind are held together. The
 * first two may be held while waiting for memory; nothing waits under a spin lock, but for the
 * one page that a move remaps (memmap_move.c), a call that waits for no lock of ours. User
 * functions are called without spin locks. What a shrinker may call never waits
 * for the memmap lock, since the allocation that called it may hold it.
 *
 * In every link 0 is "none" and n is element n - 1, so that zeroed memory is a
 * valid empty state and a machine of many TiB need not be written to come up.
 */

/* 0 free, 1 held, 2 held and somebody waits. */
struct hvo_lock {
	uint32_t word;
};

/*
 * MIGRATE_SPLIT: a block of on-demand mode whose own descriptors lie elsewhere. It gets no
 * descriptors of others: what waits for each other never becomes whole.
 */
enum migratetype {
	MIGRATE_MOVABLE = 0,
	MIGRATE_UNMOVABLE,
	MIGRATE_RECLAIMABLE,
	MIGRATE_SPLIT,
	MIGRATE_TYPES
};

#define SMALL_ORDERS HVO_BLOCK_ORDER			   /* orders 0 to 8 */
#define WHOLE_ORDERS (HVO_MAX_ORDER - HVO_BLOCK_ORDER + 1) /* orders 9 to 18 */

/* A cut block's own buddy. Meaningful only while the block is cut. All (z). */
struct block {
	uint32_t next, prev;		  /* bin list: block number in the machine + 1 */
	uint16_t nr_free;		  /* frames */
	uint16_t orders;		  /* bit o: free_head[o] is not empty */
	uint16_t free_head[SMALL_ORDERS]; /* frame in the block + 1 */
	uint8_t migratetype : 4;
	uint8_t isolation : 4; /* enum isolation */
	uint8_t flags;	       /* BLOCK_* */
};
_Static_assert(sizeof(struct block) == 32, "two blocks' metadata a cache line");

/*
 * Its tails live in its own frames, HVO_BLOCK_TAILS of them. Neighbours, unless one failed: then
 * the block never becomes whole.
 */
#define BLOCK_SELF 0x1u
#define BLOCK_BUSY 0x2u	     /* being collapsed: on no bin, its frames not free */
#define BLOCK_CUT 0x4u	     /* cut: the fields are meaningful */
#define BLOCK_CARVED 0x8u    /* frames of it stayed behind for descriptors, by policy carve */
#define BLOCK_REPORTED 0x10u /* its content was given back to the system; never while it is cut */

/*
 * Who keeps a pageblock isolated: on no bin, and what is free in it counts for nobody. It stays so
 * when the pageblock is cut or gets whole. The library ends an isolation of its own soon; a user's
 * lasts as long as the user likes.
 */
enum isolation { NOT_ISOLATED, ISOLATED_BY_LIBRARY, ISOLATED_BY_HEALING, ISOLATED_BY_USER };

/*
 * Bins of cut blocks, by how many of their frames are free: a block in bin 0 is
 * the fullest. Allocation takes from the fullest block that can serve it, so the
 * emptiest have a chance to become whole. Blocks that hold nothing but their
 * descriptors are in a bin of their own, the last.
 */
#define BIN_SHIFT 6
#define BIN_COLLAPSIBLE 8
#define NR_BINS 9

struct bins {
	uint32_t head[NR_BINS][SMALL_ORDERS]; /* by largest free order */
	uint16_t orders[NR_BINS];
};

struct zone {
	struct hvo_lock lock;
	uint8_t id, node, type; /* (c) */
	/* (z) all of its sections are in [start, end); others may be, too */
	hvo_pfn_t start, end;
	uint64_t present;		 /* (z) */
	uint64_t managed;		 /* (z), read (a) */
	uint64_t nr_free;		 /* (z), read (a) */
	uint64_t min, low, high;	 /* (v), read (a): watermarks, in frames */
	uint32_t whole[WHOLE_ORDERS];	 /* (z) free blocks by order: block + 1 */
	uint64_t nr_whole[WHOLE_ORDERS]; /* (z) */
	struct bins bins[MIGRATE_TYPES]; /* (z) */
	uint64_t nr_cut;		 /* (z) */
	/* (z) of cut blocks that serve: how many, and what is free in them, by type and order */
	uint64_t nr_serving[MIGRATE_TYPES];
	uint64_t nr_frags[MIGRATE_TYPES][SMALL_ORDERS];
	uint64_t nr_collapsible;	  /* (z), read (a) */
	uint32_t in_flight;		  /* (z), read (a): blocks being cut or collapsed */
	uint32_t nr_isolated;		  /* (z): blocks, whole ones too */
	uint32_t nr_kept;		  /* (z): of these, those that a user isolated */
	uint64_t compact_next;		  /* (a): where compaction goes on, a frame */
	uint64_t nr_allocs;		  /* (z) */
	uint64_t allocated, freed;	  /* (z), read (a): frames, since the machine is there */
	uint64_t numa_miss, numa_foreign; /* (a) */
	uint64_t report_next;		  /* (v): the same of reporting */
};

/* 128 MiB, the unit of hot-plug. */
#define ZONE_NONE 0xffu
struct section {
	uint8_t zone;	     /* struct zone::id while it is online, else ZONE_NONE */
	uint8_t state;	     /* enum hvo_section_state */
	uint8_t node;	     /* that its memory belongs to, unless it is absent */
	uint8_t self_hosted; /* its descriptors lie in itself */
	uint32_t nr_bad;     /* (z), read (a): frames of it that failed */
};

struct node {
	/* (c) memory of the start; what is added later may lie anywhere */
	hvo_pfn_t start, end;	/* (c) */
	hvo_pfn_t memmap_pfn;	/* (c) first frame set aside for descriptors */
	uint64_t memmap_frames; /* (c) */
	uint32_t memmap_node;	/* (c) whose NORMAL memory these are */
	/*
	 * (c) 1 GiB pages reserved at boot in Linux mode with HVO on: [start, end). Of their
	 * descriptor pages only the first ones ever had a frame.
	 */
	hvo_pfn_t boot_start, boot_end;
	uint64_t failures_recovered, failures_delayed, failures_failed; /* (a) */
	struct zone zones[HVO_NR_ZONES];
};

#define BATCH 512u	   /* huge pages optimized or restored together */
#define NR_RUNS 4608u	   /* a 1 GiB page restored frame by frame fits */
#define COLLAPSE_BATCH 64u /* blocks */
#define COLLAPSE_KEEP 64u  /* of each zone, stay cut for the next small allocations */

struct pool_node {
	uint32_t free_list;				    /* (p) block + 1, newest first */
	uint64_t total, free, surplus, optimized, poisoned; /* (p) */
	uint64_t poisoned_free;				    /* (p) of free: nobody gets them */
	/* (p) of total: new pages that others move to, which are one too many until these left */
	uint64_t incoming;
	/* (v) by zone, while it grows: one that is put together lies at this frame or behind it */
	hvo_pfn_t tried[HVO_NR_ZONES];
};

/* Huge pages that left their pool: state USED, linked by @next of their heads. */
struct page_list {
	uint32_t first; /* block + 1 */
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
	uint32_t next_alloc, next_free; /* (v) the node whose turn it is */
	hvo_pfn_t batch[BATCH];		/* (v) pages on their way in or out */
	hvo_pfn_t tried[HVO_MAX_CMA];	/* (v) the same in each CMA area */
	struct page_list deferred;	/* (p) */
	uint64_t reserved, overcommit;	/* (p) */
	uint64_t in_flight;		/* (p) free pages that are being folded, on no list */
	uint64_t refused, carved;	/* (p) */
	uint64_t out_of_scope;		/* (v), read (a): not folded, by the scope */
	uint64_t move_restores, moves_refused; /* (p) by the scope */
	struct pool_node nodes[HVO_MAX_NODES];
};

/* Somebody who can move blocks, and how many calls of his functions run. */
struct owner_slot {
	struct hvo_owner *owner; /* NULL: the number is free */
	uint32_t calls;
	bool leaving; /* no new call begins */
};
#define NR_MIGRATING 64u /* blocks on the move at a time; more wait */

struct hvo_cma {
	struct hvo_machine *m; /* (c) */
	hvo_pfn_t start;       /* written (v), read (a) */
	uint64_t nr;	       /* written (v), read (a): frames; 0: no area */
	uint64_t used;	       /* (a) by hvo_cma_alloc() */
	/* (a) frames that it gave, that it could not give, and that came back */
	uint64_t allocated, failed, released;
	struct hvo_lock lock; /* outermost: one allocation at a time */
};

/* An allocation that found nothing, and how often it asked. */
struct reclaim {
	unsigned int gfp, order;
	int node;
	unsigned int compactions, rounds;
};

struct hvo_machine {
	struct hvo_memmap mm;		    /* (c) what readers need; first on purpose */
	const struct hvo_platform_ops *ops; /* (c) */
	void *ctx;			    /* (c) */
	uint8_t *fold;			    /* (a) same as mm.fold */
	struct block *blocks;		    /* (z) */
	struct section *sections;	    /* written under memmap and zone lock, read (a) */
	struct hvo_config cfg;		    /* (c) */
	uint32_t abandoned;		    /* (a) */
	uint32_t optimize;		    /* (a) the switch */
	uint32_t movable_gigantic;	    /* (a) 1 GiB pages may come from ZONE_MOVABLE */

	uint64_t min_free; /* written (v), read (a): bytes kept back below all min watermarks */
	bool min_free_set; /* (v) by somebody, and not computed from the size */

	/* (c) Something was freed, or will be soon: is another attempt worth it? */
	bool (*reclaim)(struct hvo_machine *m, struct reclaim *r);

	struct hvo_lock memmap_lock; /* resizing of pools, batches of remapping */
	struct hvo_remap *runs;	     /* (v) NR_RUNS */
	struct hvo_remap *undo;	     /* (v) NR_RUNS */
	uint32_t move_seq;	     /* (a), written (v): odd while a frame of descriptors moves */
	uint64_t carved_lo, carved_hi; /* (v) all carved blocks are in [lo, hi) */
	uint64_t heal_next;	       /* (v) block where the next healing goes on */

	struct hvo_lock shrinker_lock;
	struct hvo_shrinker *shrinkers;					       /* (s) */
	uint64_t (*oom)(void *arg, struct hvo_machine *m, unsigned int order); /* (s) */
	void *oom_arg;

	uint64_t *bad;	 /* (z), read (a): a bit for each frame, set if it failed */
	uint64_t nr_bad; /* (a) */

	struct hvo_lock owner_lock;
	struct owner_slot owners[HVO_MAX_OWNERS]; /* under it */
	hvo_pfn_t migrating[NR_MIGRATING];	  /* under it: heads + 1 */

	/* (a) */
	uint64_t memmap_boot, memmap;
	uint64_t folds, restored, cuts, cut_failures, collapses, collapse_failures;
	uint64_t moved, carved_blocks;
	uint64_t reported;	   /* frames whose content is with the system */
	uint64_t self_hosted_huge; /* huge pages that were not folded for that reason */
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
