/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_VMEMMAP_H
#define HVO_CORE_VMEMMAP_H

#include "machine.h"

/*
 * On-demand mode. @block is folded and the caller's own (state USED, order 9). Its tails
 * are in its own frames from then on, from the one with index @at.
 */
HVO_MUST_CHECK int vmemmap_cut(struct hvo_machine *m, uint64_t block, unsigned int at);
/* Make up to @max collapsible blocks of a zone whole; returns how many. */
uint64_t vmemmap_collapse(struct hvo_machine *m, struct zone *z, uint64_t max);
/* One that is BUSY and in flight; false: it stays cut. */
bool vmemmap_collapse_block(struct hvo_machine *m, struct zone *z, uint64_t block);
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
/* After a restore by HVO_RESTORE_CARVE: free the page, less the frames it keeps. */
void vmemmap_free_carved(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

/* ---- vmemmap_online.c ------------------------------------------------------------------ */

/* Set descriptor frames aside and map them; for hvo_machine_init(). */
HVO_MUST_CHECK int vmemmap_online_node(struct hvo_machine *m, struct node *n);

/* A 1 GiB page reserved at boot is one from now on, folded, state USED; returns its end. */
hvo_pfn_t vmemmap_boot_gigantic(struct hvo_machine *m, hvo_pfn_t pfn);

/*
 * Hot-plug, memmap lock held, whole sections. Descriptors for sections that have none, in frames
 * of NORMAL or in the first frames of each. -HVO_ENOMEM, nothing changed: also where these take
 * more runs than there is room for.
 */
HVO_MUST_CHECK int vmemmap_add_range(struct hvo_machine *m, int node, hvo_pfn_t start,
				     hvo_pfn_t end, bool self);
/* How many frames of its own a self-hosted section needs. */
uint64_t vmemmap_self_hosted(const struct hvo_machine *m);
/* Their descriptors go; nobody uses anything there. The same errors. */
HVO_MUST_CHECK int vmemmap_remove_range(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

#endif
