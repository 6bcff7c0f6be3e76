/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_RECLAIM_H
#define HVO_CORE_RECLAIM_H

#include "machine.h"

/*
 * Free memory for an allocation that found none; true: another attempt is worth the time. Called by
 * struct hvo_machine::reclaim. No spin lock held; with GFP_ISOLATING perhaps the memmap lock.
 */
bool reclaim(struct hvo_machine *m, struct reclaim *r);

#endif
