/* SPDX-License-Identifier: MIT */
#ifndef HVO_PAGE_H
#define HVO_PAGE_H

#include <hvo/types.h>

/*
 * The descriptor of a frame, where descriptors are, and the arithmetic between the two. Linux:
 * struct page, include/asm-generic/memory_model.h, compound_head().
 *
 * Descriptors are kept by the page: 64 of them, of neighbouring frames. A slot is the place of
 * such a page, whatever frame the page is in. There are two layouts.
 *
 * Table layout: slot n is that of the frames from n * 64 on, and a table has a word for each: the
 * frame that the page is in. A pageblock that is whole has none, for its own descriptor is in an
 * array of heads, 64 bytes a pageblock, which never move.
 *
 * Virtual layout: an array, contiguous in virtual memory, of pages that are mapped to frames. For
 * each GiB of frames: the 512 head pages first, one a
 * pageblock, then the 7 tail pages of pageblock 0, of pageblock 1, and so on. The tails
 * of neighbours touch, so a run of folded pageblocks is one mapping.
 *
 *	 page 0        511 512       518 519       525           4095
 *	+------ - - - ----+-------------+-------------+-- - - - ----+
 *	| heads of 512    | tails of    | tails of    |             |
 *	| pageblocks      | pageblock 0 | pageblock 1 |             |
 *	+------ - - - ----+-------------+-------------+-- - - - ----+
 *
 * The fold map has one byte a pageblock. Its low bits are the order (9 and above) of
 * the one block that covers this 2 MiB, or 0 where the pageblock is cut into smaller
 * blocks; HVO_FOLDED is set while the tail pages have no frames of their own. The
 * head of any frame in a covered block is found from the byte alone: a folded
 * tail is never read.
 */

/* What a frame is. The legal transitions are in src/core/page.c. */
enum hvo_page_state {
	HVO_PAGE_TAIL = 0,	   /* inside a block that an earlier descriptor heads */
	HVO_PAGE_FREE = 1,	   /* head of a free block of the buddy allocator */
	HVO_PAGE_USED = 2,	   /* head of an allocated block */
	HVO_PAGE_HUGETLB_FREE = 3, /* head of a huge page on its pool's free list */
	HVO_PAGE_HUGETLB_USED = 4, /* head of a huge page that a user holds */
	HVO_PAGE_MEMMAP = 5,	   /* holds descriptors; private_data[0]: which page of the array */
	HVO_PAGE_POISONED = 6,	   /* failed: a frame, or a block that could not be cut around it */
	HVO_PAGE_ISOLATED = 7,	   /* free, 2 MiB, in an isolated range: on no list */
	HVO_PAGE_TAKEN = 8,	   /* head of a block in the library's hands, on no free list */
	HVO_PAGE_NR_STATES
};

/* Page flags. */
#define HVO_PF_BOOT 0x01u      /* MEMMAP: set aside when the memory came online */
#define HVO_PF_OPTIMIZED 0x02u /* HUGETLB: folded by Linux mode */
#define HVO_PF_POISONED 0x04u  /* a frame of the block that this heads failed */
#define HVO_PF_CMA 0x20u       /* USED: by hvo_cma_alloc(), or a huge page from an area */
#define HVO_PF_DEFERRED 0x10u  /* TAKEN: a huge page that left its pool, waits for hvo_work() */
#define HVO_PF_AT_BOOT 0x100u  /* HUGETLB: reserved at boot */

/*
 * struct hvo_page - descriptor of one frame, one cache line
 * @state: enum hvo_page_state; read it with hvo_page_state()
 * @order: of the block that this descriptor heads; of the compound page it is a
 *         tail of, when the block is cut
 * @flags: HVO_PF_*
 * @refcount: 0 for what nobody holds
 * @mapcount: how often a user says that it is mapped
 * @owner: who can move it, hvo_set_owner(); 0: nobody
 * @next, @prev: links of the list that the owner of @state keeps
 * @private_data: words for the library's user, from allocation to free. Written through
 *                hvo_page_set_private() only: the frame that the descriptor is in may
 *                be moved at any time, and a plain store can miss that
 *
 * A descriptor of all zero bytes is a valid tail: that is what lets one shared
 * zero page stand for all folded tails.
 */
#define HVO_PAGE_PRIVATE 5u
struct hvo_page {
	uint8_t state;
	uint8_t order;
	uint16_t flags;
	uint32_t refcount;
	uint32_t mapcount;
	uint32_t next;
	uint32_t prev;
	uint32_t owner;
	uint64_t private_data[HVO_PAGE_PRIVATE];
};

#ifdef __cplusplus
static_assert(sizeof(struct hvo_page) == 64, "a descriptor is one cache line");
#else
_Static_assert(sizeof(struct hvo_page) == 64, "a descriptor is one cache line");
#endif

/*
 * In refcount and mapcount: the frame that this descriptor is in is just being
 * moved; who wants to change the count waits. hvo_page_refs() masks it.
 */
#define HVO_HOLD 0x80000000u

/* Descriptors in one descriptor page, and room for them: more only in a machine built smaller. */
#define HVO_PAGES_PER_FRAME (HVO_PAGEBLOCK_FRAMES / HVO_PAGEBLOCK_MEMMAP)
#define HVO_PAGES_ROOM (HVO_FRAME_SIZE / sizeof(struct hvo_page))
/* In the array, for each GiB of frames: pages, and how many of these are head pages. */
#define HVO_GIGA_HEADS (UINT64_C(1) << (HVO_GIGA_ORDER - HVO_PAGEBLOCK_ORDER))
#define HVO_GIGA_MEMMAP (HVO_PAGEBLOCK_MEMMAP * HVO_GIGA_HEADS)
#define HVO_FOLDED 0x80u
#define HVO_FOLD_ORDER 0x1fu

/*
 * struct hvo_memmap - descriptors as a reader sees them
 * @array: virtual layout: the array of all; table layout: one read-only page of zeroes, for the
 *         descriptors that no frame holds
 * @fold: the fold map
 * @nr_frames: frames of the arena; no pfn at or above it is valid
 * @table: table layout: by slot, the frame that holds its descriptors + 1, or 0; else NULL
 * @heads: table layout: descriptors of the first frame of each pageblock
 * @direct: table layout: the arena, from frame 0 on
 * @translate: NULL where descriptors are real memory; else turns the address of a descriptor into
 *             one that can be dereferenced (simulation)
 */
struct hvo_memmap {
	struct hvo_page *array;
	const uint8_t *fold;
	uint64_t nr_frames;
	const uint32_t *table;
	struct hvo_page *heads;
	uint8_t *direct;
	void *(*translate)(void *ctx, const void *addr, bool write);
	void *ctx;
};

/* Virtual layout: the slot of the descriptors from frame q * HVO_PAGES_PER_FRAME on. */
static inline uint64_t hvo_memmap_slot(uint64_t q)
{
	uint64_t r = q % HVO_GIGA_MEMMAP, pb = r / HVO_PAGEBLOCK_MEMMAP;

	return q - r + (r % HVO_PAGEBLOCK_MEMMAP ? HVO_GIGA_HEADS - 1 + r - pb : pb);
}

static inline uint64_t hvo_memmap_group(uint64_t page)
{
	uint64_t r = page % HVO_GIGA_MEMMAP, tail = r - HVO_GIGA_HEADS;

	if (r < HVO_GIGA_HEADS)
		return page - r + r * HVO_PAGEBLOCK_MEMMAP;
	return page - r + tail / HVO_PAGEBLOCK_TAILS * HVO_PAGEBLOCK_MEMMAP +
	       tail % HVO_PAGEBLOCK_TAILS + 1;
}

/* Virtual layout: head page and first tail page of a pageblock, as pages of the array. */
static inline uint64_t hvo_pageblock_head_page(uint64_t pb)
{
	return hvo_memmap_slot(pb * HVO_PAGEBLOCK_MEMMAP);
}

static inline uint64_t hvo_pageblock_tail_page(uint64_t pb)
{
	return hvo_memmap_slot(pb * HVO_PAGEBLOCK_MEMMAP + 1);
}

/* Table layout: the address of a descriptor, while its page stays where it is. */
static inline struct hvo_page *hvo_page_look_up(const struct hvo_memmap *mm, hvo_pfn_t pfn)
{
	uint64_t at = pfn % HVO_PAGES_PER_FRAME;
	uint32_t word;

	if (!(pfn % HVO_PAGEBLOCK_FRAMES))
		return mm->heads + pfn / HVO_PAGEBLOCK_FRAMES;
	word = __atomic_load_n(&mm->table[pfn / HVO_PAGES_PER_FRAME], __ATOMIC_ACQUIRE);
	if (__builtin_expect(!word, 0))
		return mm->array + at;
	return (struct hvo_page *)(void *)(mm->direct + (word - UINT64_C(1)) * HVO_FRAME_SIZE) + at;
}

/*
 * The descriptor's address; dereference it through hvo_page_ro(). In the table layout inside
 * hvo_read_lock(): without, the page of descriptors may move at any time.
 */
static inline struct hvo_page *hvo_page_addr(const struct hvo_memmap *mm, hvo_pfn_t pfn)
{
	if (mm->table)
		return hvo_page_look_up(mm, pfn);
	return mm->array + hvo_memmap_slot(pfn / HVO_PAGES_PER_FRAME) * HVO_PAGES_ROOM +
	       pfn % HVO_PAGES_PER_FRAME;
}

static inline const struct hvo_page *hvo_page_ro(const struct hvo_memmap *mm, hvo_pfn_t pfn)
{
	struct hvo_page *page = hvo_page_addr(mm, pfn);

	if (__builtin_expect(!!mm->translate, 0))
		return (const struct hvo_page *)mm->translate(mm->ctx, page, false);
	return page;
}

/* The frame that a descriptor is of. */
static inline hvo_pfn_t hvo_page_to_pfn(const struct hvo_memmap *mm, const struct hvo_page *page)
{
	uint64_t at, group;

	if (!mm->table) {
		at = (uint64_t)(page - mm->array);
		group = hvo_memmap_group(at / HVO_PAGES_ROOM);
		return group * HVO_PAGES_PER_FRAME + at % HVO_PAGES_ROOM;
	}
	at = (uint64_t)((uintptr_t)page - (uintptr_t)mm->heads) / sizeof(*page);
	if (at < mm->nr_frames >> HVO_PAGEBLOCK_ORDER)
		return at << HVO_PAGEBLOCK_ORDER;
	/* The frame that the descriptor is in says which slot it backs. */
	at = (uint64_t)((uintptr_t)page - (uintptr_t)mm->direct) / sizeof(*page);
	group = hvo_page_ro(mm, at / HVO_PAGES_ROOM)->private_data[0];
	return group * HVO_PAGES_PER_FRAME + at % HVO_PAGES_ROOM;
}

static inline enum hvo_page_state hvo_page_state(const struct hvo_page *page)
{
	return (enum hvo_page_state)__atomic_load_n(&page->state, __ATOMIC_ACQUIRE);
}

static inline uint32_t hvo_page_refs(const struct hvo_page *page)
{
	return __atomic_load_n(&page->refcount, __ATOMIC_RELAXED) & ~HVO_HOLD;
}

static inline uint8_t hvo_fold_byte(const struct hvo_memmap *mm, uint64_t pb)
{
	return __atomic_load_n(&mm->fold[pb], __ATOMIC_ACQUIRE);
}

/**
 * hvo_page_head() - head frame of the block that a frame lies in
 * @mm: the descriptor array
 * @pfn: any frame below mm->nr_frames
 *
 * Context: inside hvo_read_lock(); in the virtual layout a reference on the page does as well.
 * Without a reference the answer may be stale as soon as it is given; hvo_get_page() is the safe
 * way to one.
 * Return: the head's frame number; @pfn itself where it heads a block.
 */
static inline hvo_pfn_t hvo_page_head(const struct hvo_memmap *mm, hvo_pfn_t pfn)
{
	uint8_t order = hvo_fold_byte(mm, pfn >> HVO_PAGEBLOCK_ORDER) & HVO_FOLD_ORDER;
	const struct hvo_page *page;

	if (!order) {
		page = hvo_page_ro(mm, pfn);
		if (hvo_page_state(page) != HVO_PAGE_TAIL)
			return pfn;
		order = __atomic_load_n(&page->order, __ATOMIC_RELAXED) & HVO_FOLD_ORDER;
	}
	return pfn & ~((UINT64_C(1) << order) - 1);
}

#endif
