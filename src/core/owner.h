/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_OWNER_H
#define HVO_CORE_OWNER_H

#include "machine.h"

/* The owner with this number, for one call or a few; NULL: none. It stays until owner_put(). */
struct hvo_owner *owner_get(struct hvo_machine *m, uint32_t id);

void owner_put(struct hvo_machine *m, uint32_t id);

/* hvo_set_owner() of a block that the caller holds, without a check. */
void owner_set(struct hvo_machine *m, hvo_pfn_t head, uint32_t id);

/* One migration of a block at a time. False: it is on the move, or too many are. */
bool migrating_begin(struct hvo_machine *m, hvo_pfn_t head);

void migrating_end(struct hvo_machine *m, hvo_pfn_t head);

/* A frame of a block that the caller holds failed: tell its owner. No lock is held. */
void tell_owner(struct hvo_machine *m, hvo_pfn_t frame, hvo_pfn_t head);

#endif
