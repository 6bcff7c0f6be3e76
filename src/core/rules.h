/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_RULES_H
#define HVO_CORE_RULES_H

/*
 * The rules of the core, all of them: a name that is not here does not compile. HVO_ASSERT() stops
 * the machine at once where one is broken; hvo_machine_audit() recounts what takes a walk.
 */

/* Locks: who calls a function that needs one holds it. */
#define RULE_LOCK_1 "LOCK-1"

/* The fold map: a folded block's tails show the shared page, a present one's do not. */
#define RULE_FOLD_1 "FOLD-1"
/* Every fold byte of a whole block is the same, and its head has that order. */
#define RULE_FOLD_2 "FOLD-2"

/* A frame's state fits its place and its last state; the inside of a whole block is TAIL. */
#define RULE_PAGE_1 "PAGE-1"
/*
 * Nobody puts a reference that he does not hold, and nothing that is free has one. While nobody is
 * at work a block in use has one, and a block is TAKEN only if it waits to be freed.
 */
#define RULE_PAGE_2 "PAGE-2"

/* A cut pageblock's free count is what its descriptors say; with PB_SELF all its tails are in it. */
#define RULE_BLOCK_1 "BLOCK-1"
/* Its free fragments are exactly the ones on its lists. */
#define RULE_BLOCK_2 "BLOCK-2"
/* In Linux mode no cut pageblock is free as a whole, unless it is isolated. */
#define RULE_BLOCK_3 "BLOCK-3"
/* A pageblock is at one of the places of zone_whole.h; while nobody is at work, whole or cut. */
#define RULE_BLOCK_4 "BLOCK-4"
/* A cut pageblock with free frames is in the bin that its count says, and in no other. */
#define RULE_BIN_1 "BIN-1"

/* Free frames of a zone. */
#define RULE_ZONE_1 "ZONE-1"
/* Cut pageblocks of a zone, and those in flight. */
#define RULE_ZONE_2 "ZONE-2"
/* The free lists of a zone, and their lengths. */
#define RULE_ZONE_3 "ZONE-3"
/* Isolated pageblocks of a zone, which are in no bin, and those that a user keeps so. */
#define RULE_ZONE_4 "ZONE-4"
/* Memory that somebody uses is online. */
#define RULE_ZONE_5 "ZONE-5"
/* Cut pageblocks that serve, and what is free in them, by type and order. */
#define RULE_ZONE_6 "ZONE-6"
/* What is taken is free, and lies where it is looked for. */
#define RULE_ZONE_7 "ZONE-7"

/* Frames in state MEMMAP. */
#define RULE_MEMMAP_1 "MEMMAP-1"
/* A frame behind the array is in state MEMMAP. */
#define RULE_MEMMAP_2 "MEMMAP-2"
/* The page of the array that a frame in a cut pageblock says it backs. */
#define RULE_MEMMAP_3 "MEMMAP-3"
/* Carved pageblocks. */
#define RULE_MEMMAP_4 "MEMMAP-4"
/* A frame in a whole block of descriptors backs what it was set aside for. */
#define RULE_MEMMAP_5 "MEMMAP-5"
/* A mapping that was changed halfway can be undone. */
#define RULE_MEMMAP_6 "MEMMAP-6"
/* Managed frames of a zone are those not set aside at the start. */
#define RULE_MANAGED_1 "MANAGED-1"

/* Pages of a pool. */
#define RULE_POOL_1 "POOL-1"
/* Free pages of a pool, and surplus ones: no more than there are. */
#define RULE_POOL_2 "POOL-2"
/* The free lists of a pool. */
#define RULE_POOL_3 "POOL-3"
/* Folded pages of a pool, and poisoned ones. */
#define RULE_POOL_4 "POOL-4"
/* Pages that wait to be freed. */
#define RULE_POOL_5 "POOL-5"
/* What is reserved is there, and nothing is in flight while nobody is at work. */
#define RULE_POOL_6 "POOL-6"
/* Frames that CMA areas say are in use. */
#define RULE_CMA_1 "CMA-1"

/* Calls of an owner's functions that run. */
#define RULE_OWNER_1 "OWNER-1"

/*
 * No frame that failed is free. What is out of use failed, or is in a pageblock with a frame that
 * did; in a whole block of descriptors it is what backs nothing.
 */
#define RULE_POISON_1 "POISON-1"
/* Failed frames of a section, and of all. */
#define RULE_POISON_2 "POISON-2"
/* Who holds a frame that failed has it marked. */
#define RULE_POISON_3 "POISON-3"

/* Offline memory: fold bytes and flags; nothing in it is free or used; its descriptors are there. */
#define RULE_OFFLINE_1 "OFFLINE-1"
/* Pageblocks whose content is with the system: their count, and nobody uses them. */
#define RULE_REPORT_1 "REPORT-1"
/* The platform's record against what is really mapped. */
#define RULE_MAP_1 "MAP-1"

#endif
