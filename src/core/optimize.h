/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_OPTIMIZE_H
#define HVO_CORE_OPTIMIZE_H

#include "machine.h"

/*
 * Give the blocks of an allocated whole block present tails in frames from
 * elsewhere, before it is split below order 9.
 */
HVO_MUST_CHECK int vmemmap_present_elsewhere(struct hvo_machine *m, hvo_pfn_t pfn,
					     unsigned int order);

/*
 * Linux mode. Fold the tails of @nr huge pages of one order that the caller owns.
 * Returns how many are folded now: their HVO_PF_OPTIMIZED is set. The others are as
 * before, present and usable.
 */
unsigned int vmemmap_optimize(struct hvo_machine *m, const hvo_pfn_t *pfns, unsigned int nr,
			      unsigned int order);

/*
 * The way back. Frames come from @step, and pages get them in the order given: all or nothing for
 * each, and nothing after the first one that fails; pages that are present need none. Returns how
 * many are present now, which come first in @pfns and are sorted, as they were mapped;
 * *ret_missing is how many frames the next one lacked (0: a mapping was refused).
 */
unsigned int vmemmap_restore(struct hvo_machine *m, hvo_pfn_t *pfns, unsigned int nr,
			     unsigned int order, const struct hvo_restore_step *step,
			     uint64_t *ret_missing);

/*
 * Only the head pages that parts of @part_order need; the rest stays folded. Frames by
 * @step, which allocates. False: as before.
 */
bool vmemmap_restore_heads(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order,
			   unsigned int part_order, const struct hvo_restore_step *step,
			   uint64_t *ret_missing);

#endif
