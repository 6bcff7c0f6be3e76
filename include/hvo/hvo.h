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

/* ---- version and errors ------------------------------------------------ */

/**
 * hvo_version() - the version of the library that runs
 *
 * That may be another one than the HVO_VERSION that a program was built with.
 *
 * Context: any.
 * Return: static text, "0.1.0".
 */
const char *hvo_version(void);

/**
 * hvo_error_name() - an error number as text
 * @rc: what a function returned, or one of enum hvo_errno
 *
 * Context: any.
 * Return: static text: "ENOMEM" for -HVO_ENOMEM or HVO_ENOMEM, "0" for 0, else "unknown".
 */
const char *hvo_error_name(int rc);
/* A few words for people, of the same numbers, in lower case. Static text. Context: any. */
const char *hvo_error_text(int rc);

/* ---- machine ---------------------------------------------------------- */

enum hvo_mode {
	HVO_ON_DEMAND = 0, /* descriptors exist where memory is cut */
	HVO_LINUX = 1,	   /* all descriptors exist; HugeTLB pages fold theirs */
};

/* How descriptors are found, see page.h. */
enum hvo_layout {
	HVO_LAYOUT_DEFAULT = 0, /* the table in on-demand mode, the array in Linux mode */
	HVO_LAYOUT_VIRTUAL = 1, /* an array of pages that the platform maps to frames */
	HVO_LAYOUT_TABLE = 2,	/* a table of frames: folding is a store, which never fails */
};

/* When frames are cleared, so that no user sees another's bytes. */
enum hvo_clear {
	HVO_CLEAR_ON_ALLOC = 0,
	HVO_CLEAR_ON_FREE = 1,
	HVO_CLEAR_NEVER = 2,
};

/**
 * struct hvo_config - what a machine is to be; zero means the default
 * @size: sizeof(struct hvo_config), see types.h
 * @memory_bytes: all nodes together; a multiple of @nr_nodes sections (128 MiB), at
 *                most 16 TiB
 * @movable_bytes: of each node, at its end, in ZONE_MOVABLE; whole sections
 * @cma_bytes: of each node, below ZONE_MOVABLE, for CMA areas; whole sections. It begins at a
 *             multiple of the largest huge page that fits into it, up to 1 GiB, if there is
 *             room for that: then memory behind it belongs to NORMAL as well
 * @movable_nodes: bit n: all memory of node n is in ZONE_MOVABLE, as with movable_node; its
 *                 descriptors lie in NORMAL memory of the next node that has some, counted round.
 *                 @movable_bytes and @cma_bytes are for the others, of which there is one at least
 * @hotplug_bytes: address space behind all of it, for hvo_memory_add(); whole sections
 * @min_free_bytes: kept back below the min watermarks, see hvo_set_min_free()
 *                  (default: as Linux computes it from the size)
 * @nr_nodes: 1 (default) to HVO_MAX_NODES
 * @max_order: largest free block, 9 to 18 (default 18; Linux has 10)
 * @mode: enum hvo_mode
 * @clear: enum hvo_clear
 * @boot_gigantic: 1 GiB pages reserved before anything else, node after node in turn, as
 *                 hugepagesz=1G hugepages=N: their pool is there from the start. Nodes that
 *                 have no NORMAL memory get none; where there is no room there are fewer
 * @boot_gigantic_nodes: so many on each node, as hugepages=0:2,1:3; @boot_gigantic is their sum,
 *                       or 0
 * @optimize: Linux mode: the switch hugetlb_optimize_vmemmap at creation. Boot-time
 *            gigantic pages then never had frames for their tails
 * @layout: enum hvo_layout
 */
struct hvo_config {
	uint32_t size;
	uint64_t memory_bytes;
	uint64_t movable_bytes;
	uint64_t cma_bytes;
	uint64_t hotplug_bytes;
	uint64_t min_free_bytes;
	uint64_t movable_nodes;
	uint32_t nr_nodes;
	uint32_t max_order;
	uint32_t mode;
	uint32_t clear;
	uint32_t boot_gigantic;
	uint32_t boot_gigantic_nodes[HVO_MAX_NODES];
	bool optimize;
	uint32_t layout;
};

/**
 * hvo_machine_size() - memory that a machine of this configuration needs
 *
 * Context: any.
 * Return: bytes, or 0 if the configuration is not valid.
 */
size_t hvo_machine_size(const struct hvo_config *cfg);

/**
 * hvo_config_check() - does a configuration make sense, and if not, which field is wrong?
 * @why: NULL, or where the field and what is wrong with it go, as
 *       "max_order: not from 9 to 18"; empty if nothing is
 * @len: bytes there are at @why; what does not fit is cut off, the end is 0 always
 *
 * What every function that takes a configuration refuses, it refuses for such a reason.
 *
 * Context: any; needs no machine.
 * Return: 0; -HVO_EINVAL; -HVO_E2BIG: fields that this library does not know are set.
 */
int hvo_config_check(const struct hvo_config *cfg, char *why, size_t len);

/**
 * hvo_machine_init() - build a machine and bring its memory online
 * @mem: zeroed, 64-byte aligned, at least hvo_machine_size() bytes; most of it is
 *       touched only as memory is cut, so it may be lazily backed
 * @array: hvo_memmap_pages() pages of address space, all showing the shared tail page: the
 *         descriptor array of the virtual layout; what the table layout shows where there are
 *         no descriptors
 *
 * Context: may wait. One thread.
 * Return: 0; -HVO_EINVAL for a configuration that makes no sense; -HVO_ENOMEM if
 * the platform could not map or back the descriptors. After an error nothing is
 * kept: @mem, the platform's mappings and *@ret are as before or unused.
 */
HVO_MUST_CHECK int hvo_machine_init(void *mem, size_t len, const struct hvo_config *cfg,
				    const struct hvo_platform_ops *ops, void *ctx,
				    struct hvo_page *array, struct hvo_machine **ret);

/**
 * hvo_memmap_pages() - address space that hvo_machine_init() needs for descriptors
 *
 * Context: any.
 * Return: how many pages of 4 KiB: 1 in the table layout; 0 if the configuration is not valid.
 */
uint64_t hvo_memmap_pages(const struct hvo_config *cfg);

/**
 * hvo_pageblock_tails() - pages of descriptors that a pageblock has only while it is cut
 *
 * Context: any.
 * Return: 8 in the table layout, 7 in the virtual one.
 */
unsigned int hvo_pageblock_tails(const struct hvo_machine *m);

/**
 * hvo_machine_memmap() - the descriptor array of a machine
 *
 * Context: any.
 * Return: what hvo_page_head() and the like read; valid as long as the machine.
 */
const struct hvo_memmap *hvo_machine_memmap(const struct hvo_machine *m);

/**
 * hvo_machine_config() - the configuration of a machine
 *
 * Context: any.
 * Return: the one it was built with, defaults filled in; valid as long as the machine.
 */
const struct hvo_config *hvo_machine_config(const struct hvo_machine *m);

/**
 * hvo_set_min_free() - how much is kept back below the min watermarks of all zones
 * @bytes: up to HVO_MIN_FREE_MAX, 0 too
 *
 * As the kernel's vm.min_free_kbytes: shared out over the zones NORMAL and CMA by size; a zone
 * MOVABLE keeps 32 to 128 frames, whatever the number. Unlike there, what was set, here or in
 * the configuration, stays when memory comes online.
 *
 * Context: may wait. Acts on later allocations; nothing is freed for it.
 * Return: 0; -HVO_EINVAL: too much, nothing has changed.
 */
int hvo_set_min_free(struct hvo_machine *m, uint64_t bytes);
#define HVO_MIN_FREE_MAX (UINT64_C(0x7fffffff) << 10)
/* Where it stands, in bytes, or -HVO_ENODEV. Context: any. */
int64_t hvo_min_free(const struct hvo_machine *m);

/**
 * hvo_window() - where the bytes of the frames [pfn, pfn + nr) are
 *
 * Whosever these are: what is not the caller's is not for reading or writing.
 *
 * Context: any.
 * Return: their address; NULL: no such frames.
 */
void *hvo_window(const struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);
/*
 * And back: the frame that a byte of hvo_window() is in. HVO_PFN_NONE: @addr is no such byte, or the
 * machine is gone.
 */
hvo_pfn_t hvo_addr_to_pfn(const struct hvo_machine *m, const void *addr);

/**
 * hvo_machine_abandon() - make every later call fail with -HVO_ENODEV
 *
 * For a platform whose memory has gone away under the machine, such as the child
 * of a fork.
 *
 * Context: any.
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
 * A surplus huge page of Linux mode leaves its pool, but what has to be restored first is deferred,
 * as hvo_pool_free() says; if hvo_work() cannot restore it then, it is surplus in its pool again.
 *
 * Context: any without locks of the core's; needs no memory and does not wait.
 * Return: 0; -HVO_EINVAL where no reference is held on a block there; -HVO_EBUSY if it is
 * the last one and the map count is not 0. After an error nothing has changed.
 */
int hvo_put_page(struct hvo_machine *m, hvo_pfn_t pfn);

/**
 * hvo_alloc_pages_bulk() - allocate many blocks of 2^order frames
 * @nr: how many, at least 1
 * @pfns: room for as many: their first frames
 *
 * All or none: as many calls of hvo_alloc_pages(). Nothing is held from one to
 * the next, so others may allocate and free between them.
 *
 * Context: as hvo_alloc_pages().
 * Return: 0; what hvo_alloc_pages() returns. After an error nothing is allocated, and what is in
 * @pfns means nothing.
 */
HVO_MUST_CHECK int hvo_alloc_pages_bulk(struct hvo_machine *m, unsigned int gfp, unsigned int order,
					int node, uint64_t nr, hvo_pfn_t *pfns);

/**
 * hvo_put_pages_bulk() - drop a reference on each of many blocks, huge pages too
 * @pfns: any frame of each
 * @nr: how many, at least 1
 * @ret_done: NULL, or how many references were dropped, the first ones of @pfns
 *
 * As many calls of hvo_put_page(), up to the first that fails.
 *
 * Context: as hvo_put_page().
 * Return: 0; what hvo_put_page() returns of @pfns[*ret_done], which it did not drop, nor any behind
 * it. *@ret_done is untouched after -HVO_ENODEV and where there is nothing to drop (-HVO_EINVAL).
 */
int hvo_put_pages_bulk(struct hvo_machine *m, const hvo_pfn_t *pfns, uint64_t nr,
		       uint64_t *ret_done);

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

/**
 * hvo_pages_held() - is all of [pfn, pfn + nr) in blocks that somebody holds?
 * @pfn: any number
 * @nr: how many frames; with none of them: is @pfn no more than the number of frames?
 *
 * True of what the caller holds, and as long as he does; of all else the answer may be stale as
 * soon as it is given. False while a block is just being moved or split.
 *
 * Context: any; takes no lock.
 * Return: true or false; false without a machine.
 */
bool hvo_pages_held(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);

/**
 * hvo_map_page() - raise and lower the map count of an allocated block
 * @pfn: any frame of a block that the caller holds a reference on
 *
 * A block that is mapped is not freed: hvo_put_page() of the last reference is -HVO_EBUSY.
 *
 * Context: any; takes no lock, but waits while descriptors are on the move.
 * Return: 0; -HVO_EINVAL: nobody holds a block there, or the count is 0 already; nothing changed.
 */
int hvo_map_page(struct hvo_machine *m, hvo_pfn_t pfn);
int hvo_unmap_page(struct hvo_machine *m, hvo_pfn_t pfn);

/**
 * hvo_page_set_private() - store one of the words that a block's holder has
 * @pfn: any frame of a block that the caller holds a reference on
 * @i: 0 to HVO_PAGE_PRIVATE - 1
 *
 * The words are zero when the block is allocated. Two who store to one word at a time agree
 * between themselves on the order.
 *
 * Context: any; takes no lock, but waits while descriptors are on the move.
 * Return: 0; -HVO_EINVAL: no such word, or nobody holds a block there. Nothing changed then.
 */
int hvo_page_set_private(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int i, uint64_t value);
/*
 * Read one of them, with a reference too, or of the block at @src in an owner's @move (struct
 * hvo_owner). The same errors; *@ret is untouched after one.
 */
int hvo_page_private(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int i, uint64_t *ret);

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

/**
 * hvo_read_lock() - begin and end a section that reads descriptors without a reference
 *
 * What is read between the two calls may be stale, but is memory: descriptors that go, go after a
 * wait for readers.
 *
 * Context: any; takes no lock. What may wait is not called between the two.
 */
void hvo_read_lock(struct hvo_machine *m);
void hvo_read_unlock(struct hvo_machine *m);

/**
 * struct hvo_shrinker - frees memory that its owner can do without
 * @size: sizeof(struct hvo_shrinker), see types.h
 * @scan: asked to free @nr_frames frames; returns how many it freed. Called without
 *        spin locks. It may free pages and huge pages; it must not resize pools,
 *        split blocks or register shrinkers, and what it allocates must not set
 *        RECLAIM.
 *
 * The caller owns the memory; it must stay until hvo_shrinker_unregister().
 */
struct hvo_shrinker {
	uint32_t size;
	uint64_t (*scan)(struct hvo_shrinker *shrinker, struct hvo_machine *m, uint64_t nr_frames);
	void *arg;
	struct hvo_shrinker *next;
};

/**
 * hvo_shrinker_register() - add a shrinker, and take it away
 *
 * Context: may wait; not from a shrinker.
 * Return: 0; -HVO_EINVAL: there is no function; -HVO_ENODEV.
 */
int hvo_shrinker_register(struct hvo_machine *m, struct hvo_shrinker *shrinker);
/* 0, -HVO_ENODEV, or -HVO_EINVAL if it is not registered. Waits for a running scan. */
int hvo_shrinker_unregister(struct hvo_machine *m, struct hvo_shrinker *shrinker);

/**
 * hvo_set_oom_notifier() - the last resort of an allocation without NORETRY or RETRY_MAYFAIL
 * @notify: frees memory and returns how many frames; called as a shrinker's scan is. NULL for none
 *
 * Context: may wait; not from a shrinker.
 * Return: 0; -HVO_ENODEV.
 */
int hvo_set_oom_notifier(struct hvo_machine *m,
			 uint64_t (*notify)(void *arg, struct hvo_machine *m, unsigned int order),
			 void *arg);

/**
 * hvo_collapse() - make cut blocks that hold nothing but their descriptors whole again
 * @max_blocks: at most so many
 * @ret_more: NULL, or: was it @max_blocks that ended it?
 *
 * On-demand mode does this by itself when a whole block is wanted; this is for
 * doing it earlier. Linux mode has nothing to collapse.
 *
 * Context: may wait.
 * Return: number of blocks made whole; -HVO_ENODEV.
 */
int64_t hvo_collapse(struct hvo_machine *m, uint64_t max_blocks, bool *ret_more);

/**
 * hvo_work() - do what was put off, in bounded steps
 * @max: at most so many steps: a huge page freed, a descriptor frame moved, a block collapsed
 * @ret_more: NULL, or: was it @max that ended it?
 *
 * Finishes deferred frees, moves descriptors out of blocks that policy carve-heal carved,
 * and collapses blocks as long as more of them wait than are worth keeping. A thread
 * that the linux platform can run calls this; so may anybody else.
 *
 * Context: may wait. Not from a shrinker.
 * Return: steps done; -HVO_ENODEV.
 */
int64_t hvo_work(struct hvo_machine *m, uint64_t max, bool *ret_more);

/**
 * hvo_report_free() - give the content of free memory back to the system
 * @node: of one node, or HVO_NODE_ANY
 * @order: of the free blocks that are worth it: of 2^order frames and above, 9 to max_order
 * @max: at most so many frames
 * @ret_more: NULL, or: was it @max that ended it?
 *
 * The memory stays online, free and counted. What is behind it comes back, as zeroes, when a
 * block of it is allocated, or taken in any other way; if the system has none by then, that
 * is -HVO_ENOMEM. What was given back already is passed over.
 * It begins where the last call ended.
 *
 * Context: may wait. Not from a shrinker.
 * Return: frames given back now, a multiple of 512; -HVO_EINVAL; -HVO_ENODEV.
 */
int64_t hvo_report_free(struct hvo_machine *m, int node, unsigned int order, uint64_t max,
			bool *ret_more);

/**
 * hvo_reported() - was the content of a frame given back by hvo_report_free()?
 * @pfn: any number
 *
 * Context: any.
 * Return: true if so, and it was not taken again; false for what is offline.
 */
bool hvo_reported(struct hvo_machine *m, hvo_pfn_t pfn);

/**
 * hvo_move_memmap() - move the descriptors that a frame holds to another frame
 * @pfn: a frame that holds descriptors (state HVO_PAGE_MEMMAP)
 *
 * Readers of those descriptors never notice; who takes or drops a reference on one of them
 * meanwhile waits until it is done. The new frame is the one that these descriptors had when
 * memory came online, if that is free (Linux mode), else an ordinary allocation from NORMAL.
 *
 * Context: may wait. Not from a shrinker, not inside hvo_read_lock().
 * Return: 0; -HVO_EINVAL: it holds none, or ones that move only when it fails (it was set aside
 * when memory came online, or they are those of its own block); -HVO_EBUSY: one of them is just
 * being changed, try again; -HVO_ENOMEM: no frame, or no mapping. After an error nothing has
 * changed.
 */
int hvo_move_memmap(struct hvo_machine *m, hvo_pfn_t pfn);

/* ---- frames that failed ------------------------------------------------ */

/**
 * hvo_memory_failure() - a frame is broken: never hand it out again
 * @pfn: any frame
 *
 * It is recorded first, in a bit of its own, and there is no moment from then on at which it can be
 * handed out: who brings it back meets the bit. A free frame is taken out at once; a free huge page
 * is dissolved without it, or, if its descriptors cannot be restored or all free pages are
 * reserved, stays, is never handed out nor promised, and is dissolved by hvo_work() as soon as that
 * is possible. What is in use stays with its user; its owner is told (hvo_set_owner()), without
 * any lock, and when it is freed the broken frame is left out: at once, if the owner frees it then. A frame of descriptors is replaced, as
 * by hvo_move_memmap() but whichever it is: also one that was set aside when memory came online,
 * which is managed memory from then on, and one with those of its own block, which stays cut. If
 * there is no frame for them, or one of them is just being changed, hvo_work() tries again.
 *
 * Context: may wait. Not from a shrinker.
 * Return:
 * 0: taken out;
 * -HVO_EINVAL: no such frame, or not online; nothing changed;
 * -HVO_EBUSY: recorded, and in use or on its way from one hand to the next: taken out when it is
 * freed, or by hvo_work() where it holds descriptors;
 * -HVO_ENOMEM: recorded, but what holds it could not be cut or restored yet: hvo_work() tries again;
 * -HVO_ENODEV: the machine is gone.
 */
int hvo_memory_failure(struct hvo_machine *m, hvo_pfn_t pfn);

/**
 * hvo_soft_offline() - a frame is about to fail: move what is in it, and never hand it out again
 * @pfn: any frame
 *
 * A block in use moves if it has an owner (hvo_migrate()), whatever its size; a huge page too, to
 * a free page of its pool or a new one. The rest of either is free, or in its pool, then: only the
 * frame itself is out of use, as one that failed is. A free huge page is dissolved, or another one
 * takes its place where all are promised. Descriptors move, whichever they are.
 *
 * Context: may wait. Not from a shrinker, nor from an owner's functions.
 * Return: 0: out of use, or failed before; -HVO_EINVAL: no such frame, or not online; -HVO_EBUSY:
 * what is there cannot be moved, or not now, or somebody has isolated the pageblock
 * around; -HVO_ENOMEM: no place for it, or what holds it could not be cut. After an error the frame
 * serves as before; what was moved or dissolved stays so.
 */
HVO_MUST_CHECK int hvo_soft_offline(struct hvo_machine *m, hvo_pfn_t pfn);

/**
 * struct hvo_failure_stat - how hvo_memory_failure() ended, each frame counted once
 * @size: sizeof(struct hvo_failure_stat), see types.h
 * @total: all of them
 * @recovered: taken out at once
 * @delayed: in use, taken out when it is freed (-HVO_EBUSY)
 * @failed: what holds it could not be cut (-HVO_ENOMEM)
 */
struct hvo_failure_stat {
	uint32_t size;
	uint64_t total, recovered, delayed, failed;
};

/**
 * hvo_failure_stat() - how the failures of a node's frames ended
 *
 * Context: any.
 * Return: 0; -HVO_EINVAL: no such node, *@ret untouched.
 */
int hvo_failure_stat(struct hvo_machine *m, int node, struct hvo_failure_stat *ret);

/**
 * hvo_poisoned() - the frames that failed
 * @pfns: up to @max of them go there, ascending; may be NULL
 *
 * Context: any.
 * Return: how many there are; -HVO_ENODEV.
 */
int64_t hvo_poisoned(struct hvo_machine *m, hvo_pfn_t *pfns, uint64_t max);

/* ---- counters, events, audit ------------------------------------------ */

enum hvo_zone_type {
	HVO_ZONE_NORMAL = 0,
	HVO_ZONE_MOVABLE = 1,
	HVO_ZONE_CMA = 2, /* lent to movable allocations */
	HVO_NR_ZONES = 3
};

struct hvo_zone_stat {
	uint32_t size;
	uint64_t start_pfn, end_pfn;
	uint64_t present; /* frames */
	uint64_t managed; /* present minus what was set aside at the start */
	uint64_t free;
	uint64_t watermark_min, watermark_low, watermark_high;
	uint64_t nr_free[HVO_MAX_ORDER + 1]; /* free blocks of each order */
	uint64_t nr_cut;		     /* blocks cut below order 9 */
	uint64_t nr_collapsible;	     /* of them, those that hold nothing */
	uint64_t nr_isolated;		     /* blocks, cut or not */
};

/**
 * hvo_zone_stat() - the counters of a zone
 *
 * All of it is counted as it changes: cheap at any size.
 *
 * Context: any.
 * Return: 0; -HVO_EINVAL: no such zone, *@ret untouched.
 */
int hvo_zone_stat(struct hvo_machine *m, int node, enum hvo_zone_type type,
		  struct hvo_zone_stat *ret);

/* What blocks that are cut are kept for, so that what can be moved stays together. */
enum hvo_migratetype {
	HVO_MIGRATE_MOVABLE = 0,
	HVO_MIGRATE_UNMOVABLE = 1,
	HVO_MIGRATE_RECLAIMABLE = 2,
	HVO_NR_MIGRATETYPES = 3
};

/* Of a zone's cut blocks, by what they are kept for; whole blocks are for anything. */
struct hvo_zone_types {
	uint32_t size;
	uint64_t nr_cut[HVO_NR_MIGRATETYPES];
	uint64_t nr_free[HVO_NR_MIGRATETYPES][HVO_PAGEBLOCK_ORDER]; /* free blocks of each order */
};

/**
 * hvo_zone_types() - what the cut blocks of a zone are kept for
 *
 * As cheap as hvo_zone_stat().
 *
 * Context: any.
 * Return: 0; -HVO_EINVAL: no such zone, *@ret untouched.
 */
int hvo_zone_types(struct hvo_machine *m, int node, enum hvo_zone_type type,
		   struct hvo_zone_types *ret);

/**
 * struct hvo_numa_stat - allocations since the machine is there, as the kernel counts them
 * @size: sizeof(struct hvo_numa_stat), see types.h
 * @hit: this node was preferred, and gave
 * @miss: this node gave, another one was preferred
 * @foreign: this node was preferred, another one gave
 *
 * Whoever asks for HVO_NODE_ANY prefers node 0.
 */
struct hvo_numa_stat {
	uint32_t size;
	uint64_t hit, miss, foreign;
};

/**
 * hvo_numa_stat() - where the allocations of a zone were wanted
 *
 * Context: any.
 * Return: 0; -HVO_EINVAL: no such zone, *@ret untouched.
 */
int hvo_numa_stat(struct hvo_machine *m, int node, enum hvo_zone_type type,
		  struct hvo_numa_stat *ret);

/**
 * struct hvo_zone_events - frames since the machine is there, as the kernel counts them
 * @size: sizeof(struct hvo_zone_events), see types.h
 * @allocated: that an allocation gave, for descriptors too, but for contiguous ranges
 * @freed: that became free again, and when memory came online
 */
struct hvo_zone_events {
	uint32_t size;
	uint64_t allocated, freed;
};

/**
 * hvo_zone_events() - frames that a zone gave and got
 *
 * Context: any.
 * Return: 0; -HVO_EINVAL: no such zone, *@ret untouched.
 */
int hvo_zone_events(struct hvo_machine *m, int node, enum hvo_zone_type type,
		    struct hvo_zone_events *ret);

struct hvo_machine_stat {
	uint32_t size;
	uint64_t total_frames;	  /* managed: MemTotal */
	uint64_t free_frames;	  /* MemFree */
	uint64_t memmap_boot;	  /* frames for descriptors, set aside at the start */
	uint64_t memmap;	  /* and allocated later (nr_memmap_pages) */
	uint64_t folds, restored; /* blocks folded, made present */
	uint64_t cuts, cut_failures;
	uint64_t collapses, collapse_failures;
	uint64_t moved;		/* descriptor frames */
	uint64_t carved_blocks; /* spoiled by carve and not whole again */
	uint64_t poisoned;	/* frames that failed */
	uint64_t reported;	/* free frames whose content was given back to the system */
	/* new huge pages asked of the buddy allocator: had, and not had */
	uint64_t hugetlb_allocs, hugetlb_alloc_failures;
	uint64_t migrated, migrate_failures; /* frames of blocks in use that were to move */
	/* Linux mode: how often a huge page was not folded, its section hosting its descriptors */
	uint64_t self_hosted_huge;
	uint64_t cma_allocs, cma_alloc_failures; /* of CMA areas, by pools too: calls */
	/*
	 * Compaction: frames looked over, and frames that moved or were to; how often an
	 * allocation did it, and how often that got it a block.
	 */
	uint64_t compact_scanned, compact_isolated, compact_stalls, compact_successes;
	/* Table layout: descriptors beside all frames, those of first frames of pageblocks. */
	uint64_t head_bytes;
};

/**
 * hvo_machine_stat() - the counters of a machine
 *
 * Context: any; takes no lock.
 * Return: 0; -HVO_ENODEV: the machine is gone, *@ret untouched.
 */
int hvo_machine_stat(struct hvo_machine *m, struct hvo_machine_stat *ret);

enum hvo_event {
	HVO_EVENT_ALLOC_FAILED,	  /* order a, gfp b */
	HVO_EVENT_FREE_REFUSED,	  /* pool order a, frames missing b, enum hvo_refusal c */
	HVO_EVENT_CARVED,	  /* pool order a */
	HVO_EVENT_FOLD_FAILED,	  /* 2 MiB blocks that stay present a, error b */
	HVO_EVENT_RESTORE_FAILED, /* 2 MiB blocks that stay folded a, error b */
	HVO_EVENT_CUT,
	HVO_EVENT_COLLAPSED,
	HVO_EVENT_HEALED,   /* block at pfn holds no descriptors any more */
	HVO_EVENT_POISONED, /* frame */
	HVO_EVENT_NR
};

/* Why a huge page could not be freed. */
enum hvo_refusal {
	HVO_REFUSED_NO_FRAMES = 1,  /* frames for its descriptors are missing */
	HVO_REFUSED_NO_MAPPING = 2, /* the platform refused to map them */
};

struct hvo_event_record {
	enum hvo_event event;
	hvo_pfn_t pfn;
	uint64_t a, b, c;
};

/**
 * struct hvo_finding - one mismatch that an audit found
 * @rule: the invariant, by its name in INVARIANTS.md ("PAGE-1")
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
 * Return: number of mismatches; -HVO_ENODEV: there is nothing left that could be counted.
 */
int64_t hvo_machine_audit(struct hvo_machine *m,
			  void (*report)(void *arg, const struct hvo_finding *finding), void *arg);

#ifdef __cplusplus
}
#endif

#include <hvo/pool.h> /* needs what is above */

#endif
