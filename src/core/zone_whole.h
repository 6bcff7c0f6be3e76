/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_ZONE_WHOLE_H
#define HVO_CORE_ZONE_WHOLE_H

#include "base.h"
#include "lock.h"

/*
 * All with the zone's lock held. Blocks handed out are in state TAKEN.
 *
 * What is between two steps of another thread can be seen under the lock; this is all of it, and
 * pageblock_place() stops at anything else:
 *
 *	place	    fold byte	  CUT BUSY  head of the pageblock
 *	WHOLE	    order|FOLDED   -   -    FREE, ISOLATED, HUGETLB_*, POISONED (set aside); TAIL of a
 *		    or order		    larger block; USED, TAKEN: in a user's hands, or the
 *					    library's (folding and restoring too)
 *	MEMMAP	    as WHOLE	   -   -    MEMMAP: all of it holds descriptors, since the start
 *	CUTTING	    0		   -   -    anything: its descriptors are the cutter's alone
 *	CUT	    0		  CUT  -    anything: what the frames say
 *	COLLAPSING  0, then	  CUT BUSY  anything: its frames are the collapser's alone, and the
 *		    order|FOLDED	    byte does not say which step it is at
 *
 *	whole -> cut: TAKEN, CUTTING, CUT	cut -> whole: CUT, COLLAPSING, then whole, or CUT again
 *
 * Isolation goes with each of them; a free whole block is isolated exactly if its state is ISOLATED
 * or it is set aside. CARVED and SELF go with CUT only, REPORTED only with WHOLE. Moving changes what
 * backs a page, and never the place. INVARIANTS.md has the steps of each operation, and what they
 * owe.
 */
enum pageblock_place { PLACE_WHOLE, PLACE_MEMMAP, PLACE_CUTTING, PLACE_CUT, PLACE_COLLAPSING };

/*
 * No frame that failed enters a zone: it is POISONED instead of FREE. A whole pageblock with such
 * a frame is set aside as one, POISONED, and hvo_work() is wanted: to cut it takes more than the
 * lock.
 */

/* Frames that somebody got, and that came back: for statistics, and read without the lock. */
static inline void zone_count_allocated(struct zone *z, uint64_t nr)
{
	counter_set(&z->allocated, z->allocated + nr);
}

static inline void zone_count_freed(struct zone *z, uint64_t nr)
{
	counter_set(&z->freed, z->freed + nr);
}

/* A pageblock that was being cut, or asked back for, is at its place again. */
static inline void zone_end_flight(struct hvo_machine *m, struct zone *z)
{
	lock_assert_held(m, &z->lock);
	HVO_ASSERT(m, z->in_flight, ZONE_2, "nothing is in flight", z->start);
	z->in_flight--;
}

/* Count frames as free, or as free no more. */
void zone_free_add(struct zone *z, uint64_t nr);
void zone_free_sub(struct hvo_machine *m, struct zone *z, uint64_t nr);

/*
 * What the head of the whole block around says; false: it is cut. Who changes that without the
 * lock writes all bytes first, and then the descriptors.
 */
bool zone_whole_state(struct hvo_machine *m, pb_t pb, enum hvo_page_state *ret);

/* Is a pageblock cut, not about to change, and open to everybody? Zone lock held. */
static inline bool pageblock_serves(const struct pageblock *b)
{
	return (b->flags & (PB_CUT | PB_BUSY)) == PB_CUT && !b->isolation;
}

/* Where a pageblock is, by the table above. */
enum pageblock_place pageblock_place(struct hvo_machine *m, pb_t pb);

/* Take a block of order 9 and above off the free lists; false if there is none. */
bool zone_take_whole(struct hvo_machine *m, struct zone *z, unsigned int order, hvo_pfn_t *ret);

/*
 * Take up to @max blocks of an order of 9 and above: those that so many calls of zone_take_whole()
 * would take. Returns how many.
 */
unsigned int zone_take_batch(struct hvo_machine *m, struct zone *z, unsigned int order,
			     unsigned int max, hvo_pfn_t *pfns);

/* Count the blocks of an order of 9 and above that are free, or part of larger ones that are. */
uint64_t zone_count_whole(struct hvo_machine *m, const struct zone *z, unsigned int order);

/* Does a free block of this order begin at @pfn? */
bool zone_heads_free(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

/* Order of the free block of 2 MiB and above that a frame is in; 0: in none. */
unsigned int zone_free_order(struct hvo_machine *m, hvo_pfn_t pfn);

/* Take the part of @order of a free block, at least as large, that begins at @pfn: state TAKEN. */
void zone_take_part(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, unsigned int order);

/* Take the pageblock of a frame, if it is free as part of a whole block: state TAKEN. */
bool zone_take_free_pageblock(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn);

/*
 * Make a pageblock in the caller's hands a free one of an isolated range: on no list, in no count.
 * With a failed frame it is set aside instead.
 */
void zone_set_isolated(struct hvo_machine *m, hvo_pfn_t pfn);

/* Set a pageblock in the caller's hands aside: POISONED as a whole, until it can be cut. */
void zone_set_aside(struct hvo_machine *m, pb_t pb);

/* Take a pageblock that was set aside: state TAKEN; false: it is not set aside. */
bool zone_take_aside(struct hvo_machine *m, pb_t pb);

/* Free a whole block: merge it with its free neighbours and set the fold bytes. */
void zone_put_whole(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, unsigned int order);

/* Free the pageblocks [pfn, end) of the zone, which nobody has, as blocks as large as fit. */
void zone_put_free(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, hvo_pfn_t end);

#endif
