/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_ZONE_H
#define HVO_CORE_ZONE_H

#include "machine.h"

/* All with the zone's lock held. Blocks handed out are in state USED, refcount 0. */

/* Frames that somebody got, and that came back: for statistics, and read without the lock. */
static inline void zone_count_allocated(struct zone *z, uint64_t nr)
{
	counter_set(&z->allocated, z->allocated + nr);
}

static inline void zone_count_freed(struct zone *z, uint64_t nr)
{
	counter_set(&z->freed, z->freed + nr);
}

/* Take a block of order 9 and above off the free lists; false if there is none. */
bool zone_take_whole(struct hvo_machine *m, struct zone *z, unsigned int order, hvo_pfn_t *ret);
/* Give one back; merges with its neighbours. Its fold bytes say what it is to be. */
void zone_put_whole(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, unsigned int order);

/* The same for orders 0 to 8, from blocks that are cut. */
bool zone_take_small(struct hvo_machine *m, struct zone *z, unsigned int order,
		     enum migratetype type, hvo_pfn_t *ret);
/* From this one, which was just opened; false if it is isolated. */
bool zone_take_from(struct hvo_machine *m, struct zone *z, uint64_t block, unsigned int order,
		    hvo_pfn_t *ret);
/* From a block of another type; @split: also of MIGRATE_SPLIT. */
bool zone_take_fallback(struct hvo_machine *m, struct zone *z, unsigned int order,
			enum migratetype type, bool split, hvo_pfn_t *ret);
void zone_put_small(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, unsigned int order);

/*
 * A block that the caller owns becomes a cut one; frames [first, 512) of it are free
 * from now on (none if first is 512). Its descriptors are present.
 */
void zone_open_block(struct hvo_machine *m, struct zone *z, uint64_t block, unsigned int first,
		     enum migratetype type, unsigned int flags);

/* Free frames [pfn, pfn + nr) of cut blocks, each of them in state MEMMAP. */
void zone_put_range(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, uint64_t nr);
/*
 * Take exactly the frames [pfn, pfn + nr), all of them in this zone and, if all are
 * free, make them MEMMAP. False and nothing changed otherwise.
 */
bool zone_take_range(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, uint64_t nr);

/*
 * Take one frame of a cut block (state MEMMAP), or the 2 MiB around a frame of a whole
 * one (state USED). False and nothing changed if it is not free.
 */
bool zone_take_frame(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn);
bool zone_take_block(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn);

/* Order of the free block of 2 MiB and above that a frame is in; 0: in none. */
unsigned int zone_free_order(struct hvo_machine *m, hvo_pfn_t pfn);
/* Take the part of @order, at most that order, which begins at @pfn: state USED. */
void zone_take_part(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, unsigned int order);
/* Any free frame of a cut block, isolated or not, in state MEMMAP; false if there is none. */
bool zone_take_any_frame(struct hvo_machine *m, struct zone *z, uint64_t block, hvo_pfn_t *ret);

/*
 * A cut block whose tails are all in its own frames is no longer one of BLOCK_SELF, so that one of
 * them can go elsewhere, or is one again. False: it is changing or is so already.
 */
bool zone_set_self(struct hvo_machine *m, struct zone *z, uint64_t block, bool self);

/* Up to max collapsible blocks, off the bins and marked BUSY; their numbers in blocks[]. */
unsigned int zone_take_collapsible(struct hvo_machine *m, struct zone *z, uint64_t *blocks,
				   unsigned int max);
/* One of them is to stay cut. */
void zone_put_collapsible(struct hvo_machine *m, struct zone *z, uint64_t block);

/*
 * Isolation: a cut block serves nobody any more, and what is freed in it stays in it, so
 * that it can be emptied. Its free frames are not counted as free meanwhile. Putting it
 * back also makes it whole, or collapsible, if it is empty by then.
 */
void zone_isolate_block(struct hvo_machine *m, struct zone *z, uint64_t block);
void zone_unisolate_block(struct hvo_machine *m, struct zone *z, uint64_t block);
/*
 * Is an isolated block free as a whole? One of Linux mode turns whole for that. Where
 * *ret_busy the caller has to collapse it: it is BUSY and in flight.
 */
bool zone_settle_isolated(struct hvo_machine *m, struct zone *z, uint64_t block, bool *ret_busy);

/* Whole blocks [pfn, end) that nobody has, of the zone, become free, as large as fit. */
void zone_put_free(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, hvo_pfn_t end);

/*
 * Going offline: can an isolated block leave its zone? All in it is free, failed, or holds
 * descriptors of its own block or, where they are self-hosted, of its section.
 */
bool zone_can_close(struct hvo_machine *m, uint64_t block);
/* It leaves: nothing in it is free any more, and it is not isolated. */
void zone_close_block(struct hvo_machine *m, struct zone *z, uint64_t block);
/* A cut block that was closed is back: what is free in it is. */
void zone_reopen_block(struct hvo_machine *m, struct zone *z, uint64_t block);

/*
 * Take exactly the frames [pfn, pfn + nr) of one isolated block that is cut, if all are free:
 * blocks in state USED, as large as fit. False and nothing changed otherwise.
 */
bool zone_take_isolated(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);

/*
 * Memory came or went, or another number is to be kept back: the watermarks of all zones, and
 * that number where nobody has set it. Memmap lock held, or no other thread yet.
 */
void zone_set_watermarks(struct hvo_machine *m);

bool block_collapsible(struct hvo_machine *m, const struct block *b);

#endif
