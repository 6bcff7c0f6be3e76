/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_FRAMES_H
#define HVO_CORE_FRAMES_H

#include "backing.h"

/*
 * Allocate frames for the pages [page, page + want) of the array and append them
 * to the list, in as few pieces as there are. Frames already appended stay on it
 * after an error. Returns how many frames are missing.
 */
uint64_t vmemmap_gather(struct hvo_machine *m, unsigned int gfp, int node, uint64_t page,
			uint64_t want, struct run_list *l);

/* The frames that they had at the start, if all of these are free; false: nothing is changed. */
bool vmemmap_gather_home(struct hvo_machine *m, unsigned int gfp, uint64_t page, uint64_t nr,
			 const struct node *n, struct run_list *l);

/* The same wherever it lies: its block may wait for the described one to become whole. */
HVO_MUST_CHECK int vmemmap_take_any_frame(struct hvo_machine *m, unsigned int gfp, uint64_t page,
					  hvo_pfn_t *ret);

/*
 * A new frame for one page of the array, in state MEMMAP: the one it had at the start if
 * that is free, else any. Memmap lock held.
 */
HVO_MUST_CHECK int vmemmap_take_frame(struct hvo_machine *m, unsigned int gfp, uint64_t page,
				      hvo_pfn_t *ret);

/* The same, but any free frame of one cut block, whatever the watermarks say. */
bool vmemmap_take_frame_of(struct hvo_machine *m, uint64_t block, uint64_t page, hvo_pfn_t *ret);

#endif
