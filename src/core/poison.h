/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_POISON_H
#define HVO_CORE_POISON_H

#include "machine.h"

/* How hvo_memory_failure() of a frame ended, for the statistics of its node (soft_offline.c). */
void failure_count(struct hvo_machine *m, hvo_pfn_t pfn, int rc);
/*
 * Cut the pageblocks of [start, end) that were set aside, up to @max, as far as they can be; returns
 * how many were. No spin lock held.
 */
uint64_t poison_cut_aside(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end, uint64_t max);
/*
 * Look again at every failed frame that is in use: what holds it may give it up by now.
 * Up to @max, returns how many went out. Takes the memmap lock itself, and calls owners without it.
 */
uint64_t poison_work(struct hvo_machine *m, uint64_t max);

#endif
