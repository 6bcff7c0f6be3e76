/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_ZONE_CUT_H
#define HVO_CORE_ZONE_CUT_H

#include "machine.h"

/* All functions need the zone's lock. Blocks handed out are in state TAKEN. */

/* The place of a failed frame. */
enum bad_place {
	BAD_IN_USE, /* in somebody's hands, or between two */
	BAD_OUT,    /* out of use for good */
	BAD_ASIDE,  /* out of use with its pageblock, until the pageblock can be cut */
};

/* Would a cut pageblock be whole, were its tails folded? */
bool pageblock_collapsible(struct hvo_machine *m, const struct pageblock *b);

/* Take a block of order 0 to 8 from a cut pageblock of the type; false: there is none. */
bool zone_take_small(struct hvo_machine *m, struct zone *z, unsigned int order,
		     enum migratetype type, hvo_pfn_t *ret);

/* Take a block from a pageblock just opened; false: isolated, or without such a block. */
bool zone_take_from(struct hvo_machine *m, struct zone *z, pb_t pb, unsigned int order,
		    hvo_pfn_t *ret);

/* Take a block from a cut pageblock of another type; @split: of MIGRATE_HOSTED too. */
bool zone_take_fallback(struct hvo_machine *m, struct zone *z, unsigned int order,
			enum migratetype type, bool split, hvo_pfn_t *ret);

/* Free a block of order 0 to 8 of a cut pageblock. A failed frame goes out of use instead. */
void zone_put_small(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, unsigned int order);

/*
 * Isolate a pageblock, so that it can be emptied: no allocation takes frames of it, frames freed in
 * it stay there, and its free frames are not counted.
 */
void zone_isolate_pageblock(struct hvo_machine *m, struct zone *z, pb_t pb, enum isolation by);

/* End the isolation of a pageblock; an empty one becomes whole or collapsible. */
void zone_unisolate_pageblock(struct hvo_machine *m, struct zone *z, pb_t pb);

/*
 * Make an isolated pageblock that is free but for its own tails whole, in Linux mode. True: the
 * pageblock is BUSY and in flight, and the caller has to collapse it.
 */
bool zone_settle_isolated(struct hvo_machine *m, struct zone *z, pb_t pb);

/*
 * Make a pageblock that the caller owns, whole (TAKEN, or part of such a block) or at
 * PLACE_CUTTING, with its descriptors present, a cut one. Its frames are free from now on, but for
 * those with indices [from, to).
 */
void zone_open_pageblock(struct hvo_machine *m, struct zone *z, pb_t pb, unsigned int from,
			 unsigned int to, enum migratetype type, unsigned int flags);

/*
 * Make a pageblock that the caller owns a cut one of which all is free but for its tails, in the
 * frames from index @at on. @at is HVO_PAGEBLOCK_FRAMES: the tails lie elsewhere, and the pageblock
 * is in state TAKEN.
 */
void zone_open_around(struct hvo_machine *m, struct zone *z, pb_t pb, unsigned int at,
		      enum migratetype type);

/* Free the frames [pfn, pfn + nr) of cut pageblocks, each in state MEMMAP. */
void zone_put_range(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, uint64_t nr);

/*
 * Take exactly the frames [pfn, pfn + nr) of one isolated pageblock that is cut, if all are free,
 * as blocks in state TAKEN, as large as fit. False: nothing has changed.
 */
bool zone_take_isolated(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);

/*
 * Take exactly the frames [pfn, pfn + nr), if all are in this zone and free: state MEMMAP. False:
 * nothing has changed.
 */
bool zone_take_range(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, uint64_t nr);

/*
 * Take a pageblock whose content the system has, state TAKEN, if nothing else keeps
 * zone_take_range() from taking [pfn, pfn + nr): the caller asks the system for the memory. False:
 * something else does.
 */
bool zone_take_reported(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, uint64_t nr,
			hvo_pfn_t *ret);

/* Take any free frame of a cut pageblock, isolated or not: state MEMMAP. False: there is none. */
bool zone_take_any_frame(struct hvo_machine *m, struct zone *z, pb_t pb, hvo_pfn_t *ret);

/*
 * Set or clear PB_SELF of a cut pageblock whose tails are all in its own frames. Cleared, a tail
 * can go elsewhere. False: the pageblock is changing, or nothing is to be done.
 */
bool zone_set_self(struct hvo_machine *m, struct zone *z, pb_t pb, bool self);

/* Take a failed frame out of use, if it is free, and say where the frame is now. */
enum bad_place zone_take_bad(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn);

/* Take up to @max collapsible pageblocks off the bins: BUSY, in flight. Returns how many. */
unsigned int zone_take_collapsible(struct hvo_machine *m, struct zone *z, pb_t *pbs,
				   unsigned int max);

/* Make a BUSY pageblock, whose tails are folded now, a free whole block. */
void zone_collapsed(struct hvo_machine *m, struct zone *z, pb_t pb);

/* Put a pageblock that zone_take_collapsible() gave back: it stays cut. */
void zone_put_collapsible(struct hvo_machine *m, struct zone *z, pb_t pb);

/* A block that keeps an isolated range from being empty. */
struct in_way {
	hvo_pfn_t head;
	enum hvo_page_state state; /* TAIL: its pageblock is changing */
	uint16_t flags;
	bool own; /* tails of the pageblock that the frame lies in, which vanish when that collapses */
};

/*
 * Find the next block, from *@pfn on in one pageblock, that is in the way of the isolated range
 * [start, end): all that is neither free nor failed. Tails stay in a pageblock that can not
 * collapse since a frame of it failed. *@pfn moves behind the block; false: none is left, and *@pfn
 * is behind the pageblock. The first time *@pfn begins a pageblock.
 */
bool zone_next_in_way(struct hvo_machine *m, hvo_pfn_t *pfn, hvo_pfn_t start, hvo_pfn_t end,
		      struct in_way *ret);

/* Take a pageblock out of its zone: no frame of it is free or isolated any more. */
void zone_close_pageblock(struct hvo_machine *m, struct zone *z, pb_t pb);

/* Put a cut pageblock that was closed back into its zone, and count its free frames again. */
void zone_reopen_pageblock(struct hvo_machine *m, struct zone *z, pb_t pb);

#endif
