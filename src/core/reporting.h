/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_REPORTING_H
#define HVO_CORE_REPORTING_H

#include "machine.h"

/*
 * The frames of whole blocks that the caller owns, in state USED, are there again if their
 * content was given back to the system. -HVO_ENOMEM: nothing has changed.
 */
HVO_MUST_CHECK int reported_take_back(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);

/* Their memory is removed. Memmap lock held. */
void reported_forget(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

#endif
