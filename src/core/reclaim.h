/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_RECLAIM_H
#define HVO_CORE_RECLAIM_H

#include "machine.h"

/* For struct hvo_machine::reclaim. */
bool reclaim(struct hvo_machine *m, struct reclaim *r);

#endif
