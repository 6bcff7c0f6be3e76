/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_OPTIMIZE_H
#define HVO_CORE_OPTIMIZE_H

#include "machine.h"

/*
 * Restore the tails of the pageblocks of an allocated whole block, to frames that do not lie in the
 * block, before the block is split below order 9. On-demand mode; no spin lock held.
 * After an error all tails are folded as before.
 */
HVO_MUST_CHECK int vmemmap_restore_elsewhere(struct hvo_machine *m, hvo_pfn_t pfn,
					     unsigned int order);

/*
 * Fold the tails of @nr huge pages of one order that the caller owns. Linux mode. Returns how many
 * pages are folded now: HVO_PF_OPTIMIZED says which. The others are present and usable, as before.
 */
unsigned int vmemmap_optimize(struct hvo_machine *m, const hvo_pfn_t *pfns, unsigned int nr,
			      unsigned int order);

/*
 * Restore the tails of @nr huge pages of one order that the caller owns. Linux mode. Frames come
 * from @step. Pages get their frames in the order given: each page gets all or none, and no page
 * gets any after the first one that fails; pages that are present need none.
 *
 * Returns how many pages are present now. These come first in @pfns, sorted as they were mapped;
 * behind them are the pages that are folded as before. *@ret_missing: the number of frames that the
 * first page behind them lacked; 0: a mapping was refused.
 */
unsigned int vmemmap_restore(struct hvo_machine *m, hvo_pfn_t *pfns, unsigned int nr,
			     unsigned int order, const struct hvo_restore_step *step,
			     uint64_t *ret_missing);

/*
 * Restore only the head pages that the parts of @part_order of a huge page need; the tails stay
 * folded. Linux mode. @step: a step that allocates frames. False: all stays folded as before, and
 * *@ret_missing frames were missing (0: a mapping was refused).
 */
bool vmemmap_restore_heads(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order,
			   unsigned int part_order, const struct hvo_restore_step *step,
			   uint64_t *ret_missing);

#endif
