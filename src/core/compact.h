/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_COMPACT_H
#define HVO_CORE_COMPACT_H

#include "machine.h"

/* Move things until one more block of this order is free where @gfp can have it; false: none. */
bool compact_direct(struct hvo_machine *m, unsigned int gfp, unsigned int order, int node);

#endif
