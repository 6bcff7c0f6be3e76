/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_WATERMARK_H
#define HVO_CORE_WATERMARK_H

#include "machine.h"

/*
 * Compute the watermarks of all zones, and min_free unless a user set it, after the size of a zone
 * or min_free changed. Memmap lock held, or no other thread yet.
 */
void zone_set_watermarks(struct hvo_machine *m);

/* Frames that an allocation with @gfp has to leave free in a zone. No lock needed. */
uint64_t gfp_watermark(const struct zone *z, unsigned int gfp);

#endif
