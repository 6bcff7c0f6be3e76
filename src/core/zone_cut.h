/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_ZONE_CUT_H
#define HVO_CORE_ZONE_CUT_H

#include "machine.h"

/* All with the zone's lock held. Blocks handed out are in state USED, refcount 0. */

/* Where a frame is that failed. */
enum bad_place {
	BAD_IN_USE, /* in somebody's hands, or between two */
	BAD_OUT,    /* out of use for good */
	BAD_ASIDE,  /* so is the pageblock around it, until that can be cut */
};

/* Would a cut pageblock be whole, were its tails folded? */
bool block_collapsible(struct hvo_machine *m, const struct block *b);

/* The same for orders 0 to 8, from blocks that are cut. */
bool zone_take_small(struct hvo_machine *m, struct zone *z, unsigned int order,
		     enum migratetype type, hvo_pfn_t *ret);

/* From this one, which was just opened; false if it is isolated, or has no such block. */
bool zone_take_from(struct hvo_machine *m, struct zone *z, uint64_t block, unsigned int order,
		    hvo_pfn_t *ret);

/* From a block of another type; @split: also of MIGRATE_SPLIT. */
bool zone_take_fallback(struct hvo_machine *m, struct zone *z, unsigned int order,
			enum migratetype type, bool split, hvo_pfn_t *ret);

void zone_put_small(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, unsigned int order);

/*
 * Isolation: a cut block serves nobody any more, and what is freed in it stays in it, so
 * that it can be emptied. Its free frames are not counted as free meanwhile. Putting it
 * back also makes it whole, or collapsible, if it is empty by then.
 */
void zone_isolate_block(struct hvo_machine *m, struct zone *z, uint64_t block, enum isolation by);

void zone_unisolate_block(struct hvo_machine *m, struct zone *z, uint64_t block);

/*
 * Is an isolated block free as a whole? One of Linux mode turns whole for that. Where
 * *ret_busy the caller has to collapse it: it is BUSY and in flight.
 */
bool zone_settle_isolated(struct hvo_machine *m, struct zone *z, uint64_t block, bool *ret_busy);

/*
 * A block that the caller owns becomes a cut one; frames [first, 512) of it are free
 * from now on (none if first is 512). Its descriptors are present.
 */
void zone_open_block(struct hvo_machine *m, struct zone *z, uint64_t block, unsigned int first,
		     enum migratetype type, unsigned int flags);

/*
 * The same for a pageblock of which all is free but for the tails, cut to the frames from the one
 * with index @at on; HVO_BLOCK_FRAMES: they are elsewhere, and it has been in state USED until now.
 */
void zone_open_around(struct hvo_machine *m, struct zone *z, hvo_pfn_t block, unsigned int at,
		      enum migratetype type);

/* Free frames [pfn, pfn + nr) of cut blocks, each of them in state MEMMAP. */
void zone_put_range(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, uint64_t nr);

/*
 * Take exactly the frames [pfn, pfn + nr) of one isolated block that is cut, if all are free:
 * blocks in state USED, as large as fit. False and nothing changed otherwise.
 */
bool zone_take_isolated(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);

/*
 * Take exactly the frames [pfn, pfn + nr), all of them in this zone and, if all are
 * free, make them MEMMAP. False and nothing changed otherwise.
 */
bool zone_take_range(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, uint64_t nr);

/*
 * Where that fails only because the content of some of it is with the system: take one such
 * 2 MiB block, state USED, so that the caller can ask for its memory. False: it is not only that.
 */
bool zone_take_reported(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, uint64_t nr,
			hvo_pfn_t *ret);

/* Any free frame of a cut block, isolated or not, in state MEMMAP; false if there is none. */
bool zone_take_any_frame(struct hvo_machine *m, struct zone *z, uint64_t block, hvo_pfn_t *ret);

/*
 * A cut block whose tails are all in its own frames is no longer one of BLOCK_SELF, so that one of
 * them can go elsewhere, or is one again. False: it is changing or is so already.
 */
bool zone_set_self(struct hvo_machine *m, struct zone *z, uint64_t block, bool self);

/* Take it out, if it is free. */
enum bad_place zone_take_bad(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn);

/* Up to max collapsible blocks, off the bins and marked BUSY; their numbers in blocks[]. */
unsigned int zone_take_collapsible(struct hvo_machine *m, struct zone *z, uint64_t *blocks,
				   unsigned int max);

/* One of these is folded now, and becomes whole. */
void zone_collapsed(struct hvo_machine *m, struct zone *z, uint64_t block);

/* One of them is to stay cut. */
void zone_put_collapsible(struct hvo_machine *m, struct zone *z, uint64_t block);

/*
 * Going offline: can an isolated block leave its zone? All in it is free, failed, or holds
 * descriptors of its own block or, where they are self-hosted, of its section.
 */
bool zone_can_close(struct hvo_machine *m, uint64_t block);

/* It leaves: nothing in it is free any more, and it is not isolated. */
void zone_close_block(struct hvo_machine *m, struct zone *z, uint64_t block);

/* A cut block that was closed is back: what is free in it is. */
void zone_reopen_block(struct hvo_machine *m, struct zone *z, uint64_t block);

#endif
