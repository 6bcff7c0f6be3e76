/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_LAST_REF_H
#define HVO_CORE_LAST_REF_H

#include "machine.h"

/* Drop a reference that the core itself took, whatever the user's map count is. */
void put_page_mapped(struct hvo_machine *m, hvo_pfn_t head);

#endif
