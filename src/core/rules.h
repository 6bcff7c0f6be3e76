/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_RULES_H
#define HVO_CORE_RULES_H

/*
 * The rules of the core, all of them: a name that is not here does not compile. INVARIANTS.md says
 * what each of them is. HVO_ASSERT() stops the machine at once where one is broken;
 * hvo_machine_audit() recounts what takes a walk.
 */

#define RULE_LOCK_1 "LOCK-1"

#define RULE_FOLD_1 "FOLD-1"
#define RULE_FOLD_2 "FOLD-2"

#define RULE_PAGE_1 "PAGE-1"
#define RULE_PAGE_2 "PAGE-2"

#define RULE_BLOCK_1 "BLOCK-1"
#define RULE_BLOCK_2 "BLOCK-2"
#define RULE_BLOCK_3 "BLOCK-3"
#define RULE_BLOCK_4 "BLOCK-4"

#define RULE_BIN_1 "BIN-1"

#define RULE_ZONE_1 "ZONE-1"
#define RULE_ZONE_2 "ZONE-2"
#define RULE_ZONE_3 "ZONE-3"
#define RULE_ZONE_4 "ZONE-4"
#define RULE_ZONE_5 "ZONE-5"
#define RULE_ZONE_6 "ZONE-6"
#define RULE_ZONE_7 "ZONE-7"

#define RULE_MEMMAP_1 "MEMMAP-1"
#define RULE_MEMMAP_2 "MEMMAP-2"
#define RULE_MEMMAP_3 "MEMMAP-3"
#define RULE_MEMMAP_4 "MEMMAP-4"
#define RULE_MEMMAP_5 "MEMMAP-5"
#define RULE_MEMMAP_6 "MEMMAP-6"

#define RULE_MANAGED_1 "MANAGED-1"

#define RULE_POOL_1 "POOL-1"
#define RULE_POOL_2 "POOL-2"
#define RULE_POOL_3 "POOL-3"
#define RULE_POOL_4 "POOL-4"
#define RULE_POOL_5 "POOL-5"
#define RULE_POOL_6 "POOL-6"

#define RULE_CMA_1 "CMA-1"

#define RULE_OWNER_1 "OWNER-1"

#define RULE_POISON_1 "POISON-1"
#define RULE_POISON_2 "POISON-2"
#define RULE_POISON_3 "POISON-3"

#define RULE_OFFLINE_1 "OFFLINE-1"

#define RULE_REPORT_1 "REPORT-1"

#define RULE_MAP_1 "MAP-1"

#endif
