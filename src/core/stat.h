/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_STAT_H
#define HVO_CORE_STAT_H

#include "machine.h"

/* Count how hvo_memory_failure() of a frame ended (@rc) in the statistics of the frame's node. */
void failure_count(struct hvo_machine *m, hvo_pfn_t pfn, int rc);

#endif
