/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_ISOLATE_H
#define HVO_CORE_ISOLATE_H

#include "machine.h"

/*
 * Isolate the pageblocks [start, end) of one zone, as hvo_isolate_range() without its checks of the
 * arguments. No lock held.
 *
 * -HVO_EINVAL: a part went offline;
 * -HVO_EBUSY: a part is isolated already.
 * Nothing changed then.
 */
HVO_MUST_CHECK int isolate_range(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

/* End an isolation of isolate_range(). No lock held. */
void unisolate_range(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

/*
 * Make an isolated pageblock that holds nothing but its own tails whole, state ISOLATED.
 * Takes the zone's lock itself.
 */
void isolated_collapse(struct hvo_machine *m, pb_t pb);

/*
 * Claim one free block of an isolated range as a whole, whatever max_order is: state TAKEN.
 * Takes the zone's lock itself. False and nothing changed: not all of it is free.
 */
bool isolated_claim_one(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

/*
 * Claim any free frames [start, end) of an isolated range: blocks in state TAKEN, as large as
 * fit. A whole pageblock that is wanted in part is cut, with its tails in frames that are
 * not wanted, or elsewhere. No lock held.
 *
 * -HVO_EBUSY: not all frames are free;
 * -HVO_ENOMEM: a pageblock cannot be cut.
 * Nothing is claimed then.
 */
HVO_MUST_CHECK int isolated_claim_frames(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

/*
 * Is [start, end) a range of whole pageblocks, online, of one zone? A guess without the zone's
 * lock.
 */
bool isolate_range_valid(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

#endif
