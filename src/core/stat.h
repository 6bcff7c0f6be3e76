/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_STAT_H
#define HVO_CORE_STAT_H

#include "machine.h"

/* How hvo_memory_failure() of a frame ended, for the statistics of its node (soft_offline.c). */
void failure_count(struct hvo_machine *m, hvo_pfn_t pfn, int rc);

#endif
