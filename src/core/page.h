/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_PAGE_H
#define HVO_CORE_PAGE_H

#include "base.h"
#include "lock.h"

static inline struct hvo_page *page_rw(struct hvo_machine *m, hvo_pfn_t pfn)
{
	struct hvo_page *page = hvo_page_addr(&m->mm, pfn);

	if (HVO_UNLIKELY(m->mm.translate))
		return m->mm.translate(m->mm.ctx, page, true);
	return page;
}

static inline const struct hvo_page *page_ro(struct hvo_machine *m, hvo_pfn_t pfn)
{
	return hvo_page_ro(&m->mm, pfn);
}

/* bit s of page_transitions[t]: a frame may go from state s to state t */
extern const uint16_t page_transitions[HVO_PAGE_NR_STATES];

/* Change the state of a frame, here and nowhere else. The caller owns the frame. */
static inline void page_set_state(struct hvo_machine *m, hvo_pfn_t pfn, struct hvo_page *page,
				  enum hvo_page_state state, unsigned int order)
{
	HVO_ASSERT(m, page_transitions[state] & (1u << page->state), PAGE_1, "transition", pfn);
	__atomic_store_n(&page->order, (uint8_t)order, __ATOMIC_RELAXED);
	__atomic_store_n(&page->state, (uint8_t)state, __ATOMIC_RELEASE);
}

static inline void page_set_refs(struct hvo_page *page, uint32_t refs)
{
	__atomic_store_n(&page->refcount, refs, __ATOMIC_RELEASE);
}

/*
 * Reference and map count of a block that somebody may hold, used inside a reader's section.
 * HVO_HOLD in a count says that the frame behind the descriptor is on the move (memmap_move.c):
 * page_count() waits for the end of that move.
 */
#define PAGE_REFCOUNT offsetof(struct hvo_page, refcount)
#define PAGE_MAPCOUNT offsetof(struct hvo_page, mapcount)
#define PAGE_COUNT_MAX (HVO_HOLD - 1)

/* Read a count; @which: PAGE_REFCOUNT or PAGE_MAPCOUNT. */
uint32_t page_count(struct hvo_machine *m, hvo_pfn_t pfn, size_t which);
/* Change a count from @from to @to; false: the count differs or is on the move, read it again. */
bool page_count_change(struct hvo_machine *m, hvo_pfn_t pfn, size_t which, uint32_t from,
		       uint32_t to);
/*
 * Drop exactly @refs references, all there are, so that nobody can take another one.
 * False and nothing changed: there are more or fewer.
 */
bool page_freeze(struct hvo_machine *m, hvo_pfn_t pfn, uint32_t refs);
/* Wait for another thread inside a loop: the first turns return at once, later ones sleep. */
void page_wait(struct hvo_machine *m, unsigned int *turns);

/* Read the order of a head that another thread may be changing. */
static inline unsigned int page_order(const struct hvo_page *page)
{
	return __atomic_load_n(&page->order, __ATOMIC_RELAXED);
}

static inline uint32_t page_owner(const struct hvo_page *page)
{
	return __atomic_load_n(&page->owner, __ATOMIC_RELAXED);
}

static inline void page_set_owner(struct hvo_page *page, uint32_t id)
{
	__atomic_store_n(&page->owner, id, __ATOMIC_RELAXED);
}

/* Read flags that other threads may be changing. */
static inline uint16_t page_flags(const struct hvo_page *page)
{
	return __atomic_load_n(&page->flags, __ATOMIC_RELAXED);
}

static inline bool page_optimized(struct hvo_machine *m, hvo_pfn_t pfn)
{
	return page_flags(page_ro(m, pfn)) & HVO_PF_OPTIMIZED;
}

static inline bool page_poisoned(struct hvo_machine *m, hvo_pfn_t pfn)
{
	return page_flags(page_ro(m, pfn)) & HVO_PF_POISONED;
}

static inline void page_set_flags(struct hvo_page *page, unsigned int flags)
{
	__atomic_store_n(&page->flags, (uint16_t)flags, __ATOMIC_RELAXED);
}

static inline void page_add_flags(struct hvo_page *page, unsigned int flags)
{
	__atomic_fetch_or(&page->flags, (uint16_t)flags, __ATOMIC_RELAXED);
}

static inline void page_clear_flags(struct hvo_page *page, unsigned int flags)
{
	__atomic_fetch_and(&page->flags, (uint16_t)~flags, __ATOMIC_RELAXED);
}

static inline void page_set_word(struct hvo_page *page, unsigned int i, uint64_t value)
{
	__atomic_store_n(&page->private_data[i], value, __ATOMIC_RELAXED);
}

/* Make a descriptor that nobody but readers looks at one of all zeroes: a tail. */
static inline void page_forget(struct hvo_machine *m, hvo_pfn_t pfn)
{
	uint64_t *words = (uint64_t *)(void *)page_rw(m, pfn);
	unsigned int i;

	for (i = 0; i < sizeof(struct hvo_page) / sizeof(*words); i++)
		__atomic_store_n(&words[i], 0, __ATOMIC_RELAXED);
}

/* Prepare a head for a new user: clear words and map count, set @owner and one reference. */
static inline void page_hand_out(struct hvo_page *page, uint32_t owner)
{
	unsigned int i;

	for (i = 0; i < HVO_PAGE_PRIVATE; i++)
		page_set_word(page, i, 0);
	__atomic_store_n(&page->mapcount, 0, __ATOMIC_RELAXED);
	page_set_owner(page, owner);
	page_set_refs(page, 1);
}

/*
 * Frames of the block, free or allocated, that a frame of a cut pageblock heads; 1: the frame heads
 * none. A guess without the zone's lock.
 */
static inline uint64_t page_cut_frames(enum hvo_page_state state, unsigned int order)
{
	bool head = state == HVO_PAGE_FREE || state == HVO_PAGE_USED || state == HVO_PAGE_TAKEN;

	return head && order < SMALL_ORDERS ? UINT64_C(1) << order : 1;
}

/* The descriptor at *@pfn of a cut pageblock; *@pfn moves behind the block that it heads. */
static inline const struct hvo_page *page_step(struct hvo_machine *m, hvo_pfn_t *pfn)
{
	const struct hvo_page *page = page_ro(m, *pfn);

	*pfn += page_cut_frames(hvo_page_state(page), page_order(page));
	return page;
}

/* True if the block that this descriptor heads, or the single frame, can never be moved. */
static inline bool page_stays(const struct hvo_page *page)
{
	switch (hvo_page_state(page)) {
	case HVO_PAGE_USED:
	case HVO_PAGE_HUGETLB_USED:
		return !page_owner(page);
	case HVO_PAGE_MEMMAP:
		return page_flags(page) & HVO_PF_BOOT;
	case HVO_PAGE_POISONED:
	case HVO_PAGE_TAKEN:
		return true;
	default:
		return false;
	}
}

/* Page of the array that a frame in state MEMMAP of a cut pageblock backs. */
static inline slot_t page_backs(const struct hvo_page *page)
{
	return (slot_t){ page->private_data[0] };
}

/*
 * Does a frame in state MEMMAP hold tails of the pageblock that the frame lies in? The head page is
 * no tail: the page stays when the pageblock becomes whole. The zone's lock is held and the
 * pageblock is at PLACE_CUT: at other places its descriptors belong to a thread without the lock.
 */
static inline bool page_describes_itself(struct hvo_machine *m, hvo_pfn_t pfn)
{
	slot_t slot = page_backs(page_ro(m, pfn));

	lock_assert_held(m, &zone_of(m, pfn)->lock);
	return pb_data(m, pb_of(pfn))->flags & PB_SELF &&
	       pb_same(pb_of(slot_pfn(m, slot)), pb_of(pfn)) && slot_is_tail(m, slot);
}

/*
 * Lists of blocks of 2 MiB and above, through their heads; @list links to the first block. Under
 * whatever lock the list is.
 */
static inline void head_list_add(struct hvo_machine *m, uint32_t *list, hvo_pfn_t pfn)
{
	struct hvo_page *page = page_rw(m, pfn);

	page->prev = 0;
	page->next = *list;
	if (*list)
		page_rw(m, pb_pfn(pb_of_link(*list)))->prev = link_of_pb(pb_of(pfn));
	*list = link_of_pb(pb_of(pfn));
}

static inline void head_list_del(struct hvo_machine *m, uint32_t *list, struct hvo_page *page)
{
	if (page->next)
		page_rw(m, pb_pfn(pb_of_link(page->next)))->prev = page->prev;
	if (page->prev)
		page_rw(m, pb_pfn(pb_of_link(page->prev)))->next = page->next;
	else
		*list = page->next;
	page->next = 0;
	page->prev = 0;
}

static inline uint8_t fold_byte(const struct hvo_machine *m, pb_t pb)
{
	return hvo_fold_byte(&m->mm, pb.nr);
}

/* Order of the whole block around a frame; 0: the pageblock is cut. */
static inline unsigned int fold_order(const struct hvo_machine *m, hvo_pfn_t pfn)
{
	return fold_byte(m, pb_of(pfn)) & HVO_FOLD_ORDER;
}

/* Set the fold byte of each pageblock of one whole block of @order, free or allocated. */
void fold_set(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order, uint8_t byte);

#endif
