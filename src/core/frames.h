/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_FRAMES_H
#define HVO_CORE_FRAMES_H

#include "backing.h"

/*
 * Allocate frames for the pages [slot, slot + want) of the array, in as few runs as can be had, and
 * append them to @l. Returns how many frames are missing; frames that were appended before one was
 * missing stay on @l.
 */
uint64_t vmemmap_gather(struct hvo_machine *m, unsigned int gfp, int node, slot_t slot,
			uint64_t want, struct run_list *l);

/*
 * Append to @l the frames that backed the pages [slot, slot + nr) of node @n at the start. False:
 * not all of them are free, and nothing changed.
 */
bool vmemmap_gather_home(struct hvo_machine *m, unsigned int gfp, slot_t slot, uint64_t nr,
			 const struct node *n, struct run_list *l);

/*
 * Allocate a frame for one page of the array, state MEMMAP: the frame of the start if that is free,
 * else one in a pageblock that does not wait for the described one; with @any, one that does will do.
 * -HVO_ENOMEM: there is none.
 */
HVO_MUST_CHECK int vmemmap_alloc_frame(struct hvo_machine *m, unsigned int gfp, slot_t slot,
				       bool any, hvo_pfn_t *ret);

/*
 * Allocate a free frame of a cut pageblock for one page of the array, state MEMMAP, whatever
 * the watermarks say. False: there is none.
 */
bool vmemmap_alloc_frame_of(struct hvo_machine *m, pb_t pb, slot_t slot, hvo_pfn_t *ret);

#endif
