/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_VMEMMAP_FRAMES_H
#define HVO_CORE_VMEMMAP_FRAMES_H

#include "machine.h"

/* ---- lists of runs ------------------------------------------------------------------- */

struct run_list {
	struct hvo_remap *runs;
	unsigned int nr, max;
};

/* Append, merging with the last run where both continue it. False: no room. */
bool run_add(struct run_list *l, uint64_t page, hvo_pfn_t pfn, uint64_t nr);
/* Order them by page, whatever order they were added in, and merge neighbours. */
void run_sort(struct run_list *l);
/* What backs the pages [page, page + nr) now. */
bool run_add_backing(struct hvo_machine *m, struct run_list *l, uint64_t page, uint64_t nr);

/* The pages of the array that describe some memory. */
struct tails {
	uint64_t page[2]; /* first page of each run */
	uint64_t nr[2];	  /* 0: no such run */
};

/* ---- frames for pages of the array ------------------------------------------------------ */

/*
 * On-demand mode: the page of the array that a frame in a whole block of descriptors was set aside
 * for.
 */
uint64_t vmemmap_page_at_start(struct hvo_machine *m, hvo_pfn_t pfn);
/* Where Linux mode keeps a page of the array from the start; HVO_PFN_NONE: nowhere. */
hvo_pfn_t vmemmap_home(const struct node *n, uint64_t page);

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
/*
 * A new frame for one page of the array, in state MEMMAP: the one it had at the start if
 * that is free, else any. Memmap lock held.
 */
HVO_MUST_CHECK int vmemmap_take_frame(struct hvo_machine *m, unsigned int gfp, uint64_t page,
				      hvo_pfn_t *ret);

/* The same wherever it lies: its block may wait for the described one to become whole. */
HVO_MUST_CHECK int vmemmap_take_any_frame(struct hvo_machine *m, unsigned int gfp, uint64_t page,
					  hvo_pfn_t *ret);
/* The same, but any free frame of one cut block, whatever the watermarks say. */
bool vmemmap_take_frame_of(struct hvo_machine *m, uint64_t block, uint64_t page, hvo_pfn_t *ret);

/* Frames of cut blocks back these pages of the array from now on. */
void vmemmap_set_backs(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t page, uint64_t nr);

/* Give descriptor frames that back no page any more to their zones. */
void vmemmap_put_frames(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr);
/* The same for one that failed, in a whole block of descriptors. */
void vmemmap_leave_frame(struct hvo_machine *m, hvo_pfn_t pfn);
void vmemmap_put_runs(struct hvo_machine *m, const struct hvo_remap *runs, unsigned int nr);

/* ---- mapping them -------------------------------------------------------------------------- */

/* Clear the frames, then map them; the first *ret_done runs are, after an error too. */
HVO_MUST_CHECK int vmemmap_map_some(struct hvo_machine *m, const struct run_list *l,
				    unsigned int *ret_done);
/*
 * The same for pages that are shared before, and flush: after an error all are again, and
 * *ret_done says only how far it came. The memmap lock is needed for more than one run.
 */
HVO_MUST_CHECK int vmemmap_map_runs(struct hvo_machine *m, const struct run_list *l,
				    unsigned int *ret_done);

#endif
