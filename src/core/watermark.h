/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_WATERMARK_H
#define HVO_CORE_WATERMARK_H

#include "machine.h"

/*
 * Memory came or went, or another number is to be kept back: the watermarks of all zones, and
 * that number where nobody has set it. Memmap lock held, or no other thread yet.
 */
void zone_set_watermarks(struct hvo_machine *m);

/* Frames that an allocation with these flags has to leave free in a zone. */
uint64_t gfp_watermark(const struct zone *z, unsigned int gfp);

#endif
