/* SPDX-License-Identifier: MIT */
/*
 * A small machine of the sim for threads of its scheduler, and what is known of it from outside:
 * who has which frames, what is in them, which failed. Everything that an operation gets or gives
 * back is held against that; what contradicts is a finding, at once.
 *
 * A world is prepared once, saved, and brought back before each run.
 */
#ifndef HVO_TESTS_SCHED_WORLD_H
#define HVO_TESTS_SCHED_WORLD_H

#include <hvo/contig.h>
#include <hvo/hotplug.h>
#include <hvo/hvo.h>
#include <hvo/migrate.h>
#include <hvo/sim.h>

#include "core/machine.h"
#include "platform/sim/internal.h"
#include "platform/sim/sched.h"

#define ANY HVO_NODE_ANY
/* Two sections of ZONE_NORMAL, and two of ZONE_MOVABLE; one more can be added. */
#define NORMAL_END (2 * HVO_SECTION_FRAMES)
#define MEMORY_END (2 * NORMAL_END)
#define MAX_FRAMES (MEMORY_END + HVO_SECTION_FRAMES)
/* The pageblock that operations are about. */
#define T (NORMAL_END + 4 * HVO_PAGEBLOCK_FRAMES)
#define T_END (T + HVO_PAGEBLOCK_FRAMES)
/* A frame of T in its second half, a number of frames that is no order, an order in T. */
#define LATE (HVO_PAGEBLOCK_FRAMES / 2 + 2)
#define SOME (HVO_PAGEBLOCK_FRAMES * 3 / 5)
#define PART_ORDER (HVO_PAGEBLOCK_ORDER - 2)

#define MAX_BLOCKS 512u
#define MAX_FAILED 32u

#define NOTHING_BEHIND UINT32_MAX

/* What a thread may have in its hands, or owe. */
enum hand {
	HAND_FLIGHT,
	HAND_HIDDEN,
	HAND_INCOMING,
	HAND_JOINING,
	HAND_ISOLATED,
	HAND_TAKEN,
	HAND_FROZEN,
	HAND_CHANGING,
	HAND_SPLIT,
	HAND_UNMAPPED,
	HAND_UNCOUNTED,
	HAND_HELD,
	HAND_AREA,
	HAND_MOVING,
	HAND_CALLS,
	NR_HANDS
};

struct block {
	hvo_pfn_t pfn;
	uint64_t nr;
	uint64_t tag;	/* in the first and last word of the first and last frame */
	uint32_t owned; /* hvo_set_owner() */
	uint16_t users; /* threads that do something with it, so that nobody frees or moves it */
	bool range;	/* of hvo_alloc_contig_range() */
	bool cma;
};

struct world {
	struct hvo_sim *sim;
	struct hvo_machine *m;
	struct sched *sched;
	enum hvo_mode mode;
	struct hvo_owner owner;
	uint32_t owner_id;
	bool owner_refuses;
	struct hvo_pool *pool, *big; /* of a pageblock, of two */
	struct hvo_cma *cma;

	struct block blocks[MAX_BLOCKS];
	unsigned int nr_blocks;
	uint64_t tags;
	/* Blocks that a thread has a reference on that it got by number. */
	struct {
		hvo_pfn_t pfn;
		uint64_t nr; /* 0: none */
	} pins[SCHED_THREADS];
	/* Counts operations that begin, and failures. */
	uint64_t clock, began[SCHED_THREADS];
	struct {
		hvo_pfn_t pfn;
		uint64_t known; /* when hvo_memory_failure() returned; 0: not yet */
	} failed[MAX_FAILED];
	unsigned int nr_failed;
	bool isolated;		/* T, for a user */
	uint64_t isolations;	/* of users, begun so far */
	unsigned int isolating; /* and under way */
	bool layout_changed;	/* memory came or went: counts cannot be compared */

	/* between.c: what it saw the last time, and room. Frames behind the descriptors, now and
	 * before those were folded, in the order of what they describe. */
	uint64_t looked_remaps;
	uint32_t looked_table[MAX_FRAMES / HVO_PAGES_PER_FRAME];
	uint8_t looked_fold[MAX_FRAMES >> HVO_PAGEBLOCK_ORDER];
	uint8_t backs[MAX_FRAMES / 8];
	uint32_t behind[MAX_FRAMES / HVO_PAGES_PER_FRAME];
	uint32_t before[MAX_FRAMES / HVO_PAGES_PER_FRAME];
	uint64_t looked_unlocks;
	bool locked;				/* the memmap lock was held */
	struct zone looked_zones[HVO_NR_ZONES]; /* of the one node */
	struct pageblock looked_pageblocks[MAX_FRAMES >> HVO_PAGEBLOCK_ORDER];
	/* hands.c: what was there the last time, and what of it is each thread's. */
	int64_t counted[NR_HANDS], hands[SCHED_THREADS][NR_HANDS];

	/* What stays when a run is over. */
	uint64_t free_drained;
	uint64_t works; /* how often hvo_work() had been asked for at the start */
	struct world *saved;
};

/* 0; else no such machine could be made. */
int world_open(struct world *w, enum hvo_mode mode, uint64_t cma_bytes, uint64_t hotplug_bytes);
void world_close(struct world *w);
/* Keep the state as it is now. */
int world_save(struct world *w);
void world_restore(struct world *w);

/* All others are done: audit, contents, everything given back, and nothing lost. */
void world_settle(struct world *w);

/* Stop with a finding. Outside of a run: abort(). */
void world_wrong(const char *what, uint64_t where);
#define must(cond, what, where)                   \
	do {                                      \
		if (!(cond))                      \
			world_wrong(what, where); \
	} while (0)

/* Memory that was handed out: to nobody else, sound, and zero if that was asked for. */
struct block *world_hold(struct world *w, hvo_pfn_t pfn, uint64_t nr, bool zero);
/* The block that begins at a frame, or that a frame is in; NULL: nobody has it. */
struct block *world_at(struct world *w, hvo_pfn_t pfn);
struct block *world_around(struct world *w, hvo_pfn_t pfn);
/* It is about to be given back: its contents are as they were, and it is nobody's. */
void world_drop(struct world *w, struct block *b);
/* In the place of @b come its parts of @order, each a block. */
void world_split(struct world *w, struct block *b, unsigned int order);
/* Give a block back, in the way that it was taken. */
void world_put(struct world *w, struct block *b);

void world_failing(struct world *w, hvo_pfn_t pfn);
void world_failed(struct world *w, hvo_pfn_t pfn);

#endif
