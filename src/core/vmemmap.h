/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_VMEMMAP_H
#define HVO_CORE_VMEMMAP_H

#include "machine.h"

/* A huge page or a part of it: the descriptor pages that are shared while it is folded. */
struct tails {
	uint64_t page[2]; /* first page of the array */
	uint64_t nr[2];	  /* 0: no such run */
};

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
 * The way back, in the order given: all or nothing for each page, and nothing
 * after the first one that fails. Frames come from @step. Returns how many pages
 * are present now; *ret_missing is how many frames the next one lacked (0: a
 * mapping was refused).
 */
unsigned int vmemmap_restore(struct hvo_machine *m, const hvo_pfn_t *pfns, unsigned int nr,
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

/*
 * A new frame for one page of the array, in state MEMMAP: the one it had at the start if
 * that is free, else any. Memmap lock held.
 */
HVO_MUST_CHECK int vmemmap_take_frame(struct hvo_machine *m, unsigned int gfp, uint64_t page,
				      hvo_pfn_t *ret);
/* Give descriptor frames that back no page any more to their zones. */
void vmemmap_put_frames(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);

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

/* Where Linux mode keeps a page of the array from the start. */
hvo_pfn_t vmemmap_home(const struct node *n, uint64_t page);

struct node *node_of(struct hvo_machine *m, hvo_pfn_t pfn);

#endif
