/* SPDX-License-Identifier: MIT */
/*
 * Walking and changing x86-64 4-level page tables: PGD, PUD, PMD, PTE.
 *
 * Freestanding: no libc, no globals; all memory and all pointers come through
 * struct hvo_mmu. The sim platform uses it on tables in its arena, ring 0 on the
 * real ones.
 *
 * States: an entry is absent, a leaf (PTE, or PMD with PS) or a table. Absent to
 * leaf, leaf to leaf, absent to table and leaf to table (a split) are the moves;
 * a table never becomes anything else before hvo_mmu_destroy().
 *
 * Locks: none here. The caller lets one walk at a time change a range, and
 * flushes the TLB. hvo_mmu_lookup() may run beside a walk: entries are stored
 * whole, tables are complete before they are published.
 *
 * In Linux: mm/hugetlb_vmemmap.c vmemmap_remap_range(), vmemmap_split_pmd();
 * mm/pagewalk.c walk_page_range().
 */
#ifndef HVO_MMU_WALK_H
#define HVO_MMU_WALK_H

#include <hvo/types.h>

/* Bits of an entry, as the processor has them. */
#define HVO_MMU_P UINT64_C(0x1)
#define HVO_MMU_RW UINT64_C(0x2)
#define HVO_MMU_ACCESSED UINT64_C(0x20)
#define HVO_MMU_DIRTY UINT64_C(0x40)
#define HVO_MMU_PS UINT64_C(0x80)	   /* PMD, PUD: this is a leaf */
#define HVO_MMU_PAT_PTE UINT64_C(0x80)	   /* PTE: this bit means PAT */
#define HVO_MMU_PAT_LARGE UINT64_C(0x1000) /* and PAT of a large leaf is here */
#define HVO_MMU_NX (UINT64_C(1) << 63)
#define HVO_MMU_ADDR UINT64_C(0x000ffffffffff000)

#define HVO_MMU_ENTRIES 512u

enum hvo_mmu_level {
	HVO_MMU_PTE = 0,
	HVO_MMU_PMD = 1,
	HVO_MMU_PUD = 2,
	HVO_MMU_PGD = 3,
};

/**
 * struct hvo_mmu - a set of page tables
 * @root: frame of the PGD
 * @fill: the PTE that an absent entry of a higher level stands for; a new PTE
 *        table is filled with it. 0 where absent means absent
 * @splits: leaves that were split, ever
 * @table: where the 512 entries of a table frame can be reached
 * @table_alloc: a frame for a table, content undefined: 0 or -HVO_ENOMEM
 * @table_free: give it back
 * @ctx: for the three
 */
struct hvo_mmu {
	uint64_t root;
	uint64_t fill;
	uint64_t splits;
	uint64_t *(*table)(void *ctx, uint64_t frame);
	int (*table_alloc)(void *ctx, uint64_t *ret_frame);
	void (*table_free)(void *ctx, uint64_t frame);
	void *ctx;
};

/* Answers of struct hvo_mmu_walk::pmd about an entry that is no table. */
enum hvo_mmu_step {
	HVO_MMU_NEXT,	   /* go on: the callback has dealt with the entry */
	HVO_MMU_TABLE,	   /* make the entry a PTE table, then visit the table */
	HVO_MMU_TRY_TABLE, /* as TABLE; as NEXT if there is no frame for a table */
};

#define HVO_MMU_CREATE 0x1u /* make missing tables; else skip absent entries */
#define HVO_MMU_SPLIT 0x2u  /* split PMD leaves; else skip them */

/**
 * struct hvo_mmu_walk - one pass over a range
 * @start, @end: the range, in whole pages. @end 0 is the top of the address space
 * @flags: HVO_MMU_CREATE, HVO_MMU_SPLIT; at the PMD level @pmd overrules them
 * @pte: NULL, or called for each PTE of a PTE table, in order. Writes it with
 *       hvo_mmu_set(). An error stops the walk
 * @pmd: NULL, or called for each PMD entry that is absent or a leaf, in order.
 *       @whole: all 2 MiB are in the range, so it may be replaced right here
 * @arg: for the two
 */
struct hvo_mmu_walk {
	uint64_t start, end;
	unsigned int flags;
	int (*pte)(void *arg, uint64_t addr, uint64_t *entry);
	enum hvo_mmu_step (*pmd)(void *arg, uint64_t addr, uint64_t *entry, bool whole);
	void *arg;
};

/* Entries are read and written whole, and what a table holds before its address. */
static inline uint64_t hvo_mmu_get(const uint64_t *entry)
{
	return __atomic_load_n(entry, __ATOMIC_ACQUIRE);
}

static inline void hvo_mmu_set(uint64_t *entry, uint64_t value)
{
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

static inline uint64_t hvo_mmu_frame(uint64_t entry)
{
	return (entry & HVO_MMU_ADDR) >> HVO_FRAME_SHIFT;
}

/**
 * hvo_mmu_init() - allocate an empty PGD
 * @mmu: all but @root and @splits filled in
 *
 * Return: 0 or -HVO_ENOMEM.
 */
HVO_MUST_CHECK int hvo_mmu_init(struct hvo_mmu *mmu);

/* Free every table, the PGD too. Nothing may use them any more. */
void hvo_mmu_destroy(struct hvo_mmu *mmu);

/**
 * hvo_mmu_walk() - visit the entries of a range
 * @ret_end: NULL, or set to the address up to which all entries were visited. To undo after an
 *           error, walk again from the start to this address with the inverse callback
 *
 * A change that must be all or nothing takes two passes: one without @pte that
 * creates and splits, where everything that can fail does, then one without
 * flags that writes and needs no memory. Tables made by a first pass that failed
 * stay; no address translates differently for them.
 *
 * Return: 0; -HVO_EINVAL for a range that makes no sense or holds a 1 GiB leaf;
 * -HVO_ENOMEM for want of a table frame; or what @pte returned.
 */
HVO_MUST_CHECK int hvo_mmu_walk(struct hvo_mmu *mmu, const struct hvo_mmu_walk *walk,
				uint64_t *ret_end);

/**
 * hvo_mmu_lookup() - the PTE for an address
 *
 * Return: the PTE; for a large leaf, the one that a split would put there; @fill
 * where a higher level is absent.
 */
uint64_t hvo_mmu_lookup(const struct hvo_mmu *mmu, uint64_t addr);

#endif
