/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_ISOLATE_H
#define HVO_CORE_ISOLATE_H

#include "machine.h"

/*
 * hvo_isolate_range() and back, without the checks of arguments: whole blocks, online, of one
 * zone. Takes the zone's lock itself. -HVO_EINVAL: they are not by now; -HVO_EBUSY: part of it is
 * isolated. Nothing changed then.
 */
HVO_MUST_CHECK int isolate_range(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

void unisolate_range(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

/*
 * Of an isolated range: is a 2 MiB block free as a whole (state ISOLATED)? Or may it become so
 * by collapse: tries that. Takes the zone's lock itself.
 */
bool isolated_block_free(struct hvo_machine *m, hvo_pfn_t block);

/*
 * Take the frames [start, end) of an isolated range, all of them free, for good: blocks in
 * state USED, refcount 0, as large as fit. False and nothing changed if not all are free.
 */
bool isolated_take(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

/* The same as one block, whatever max_order is. */
bool isolated_take_one(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

/*
 * The same for any frames, of which those of whole blocks are free as such. A whole block that
 * is wanted in part is cut, with its descriptors in frames that are not wanted, or
 * elsewhere. Memmap lock not held. 0; -HVO_EBUSY: not free; -HVO_ENOMEM: it cannot be cut.
 */
HVO_MUST_CHECK int isolated_take_frames(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

/* Whole blocks, online, of one zone? */
bool isolate_range_valid(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

#endif
