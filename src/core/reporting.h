/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_REPORTING_H
#define HVO_CORE_REPORTING_H

#include "machine.h"

/*
 * Populate frames [pfn, pfn + nr) of whole blocks that the caller owns, state TAKEN, if the system
 * has their content. May sleep; takes the zone's lock itself. -HVO_ENOMEM: nothing changed.
 */
HVO_MUST_CHECK int reported_populate(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);

/* Forget that the system has the content of [start, end), memory that is removed. */
void reported_forget(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

#endif
