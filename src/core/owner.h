/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_OWNER_H
#define HVO_CORE_OWNER_H

#include "machine.h"

/* Find the owner with this number, who stays registered until owner_put(); NULL: none. */
struct hvo_owner *owner_get(struct hvo_machine *m, uint32_t id);

/* End the use of an owner that owner_get() found. */

void owner_put(struct hvo_machine *m, uint32_t id);

/* Set the owner of a block that the caller holds, without the checks of hvo_set_owner(). */
void owner_set(struct hvo_machine *m, hvo_pfn_t head, uint32_t id);

/* Begin the migration of a block. False: the block is on the move, or NR_MIGRATING others are. */
bool migrating_begin(struct hvo_machine *m, hvo_pfn_t head);

/* End the migration of a block. */

void migrating_end(struct hvo_machine *m, hvo_pfn_t head);

/* Tell the owner of a block that the caller holds that @frame of the block failed. No lock held. */
void tell_owner(struct hvo_machine *m, hvo_pfn_t frame, hvo_pfn_t head);

#endif
