/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_BACKING_H
#define HVO_CORE_BACKING_H

#include "machine.h"

struct run_list {
	struct hvo_remap *runs;
	unsigned int nr, max;
};

/* The pages of the array that describe some memory. */
struct tails {
	uint64_t page[2]; /* first page of each run */
	uint64_t nr[2];	  /* 0: no such run */
};

/* Append, merging with the last run where both continue it. False: no room. */
bool run_add(struct run_list *l, uint64_t page, hvo_pfn_t pfn, uint64_t nr);

/* Order them by page, whatever order they were added in, and merge neighbours. */
void run_sort(struct run_list *l);

/* What backs the pages [page, page + nr) now. */
bool run_add_backing(struct hvo_machine *m, struct run_list *l, uint64_t page, uint64_t nr);

/* The pages of the array that a huge page of this order can do without. */
struct tails tails_of(hvo_pfn_t pfn, unsigned int order);

/* How many pages these are. */
uint64_t nr_tails(const struct tails *t);

/* The node whose descriptors a frame was set aside for at the start, or NULL. */
const struct node *vmemmap_described_at_start(const struct hvo_machine *m, hvo_pfn_t pfn);

/*
 * On-demand mode: the page of the array that a frame in a whole block of descriptors was set aside
 * for.
 */
uint64_t vmemmap_page_at_start(struct hvo_machine *m, hvo_pfn_t pfn);

/* Where Linux mode keeps a page of the array from the start; HVO_PFN_NONE: nowhere. */
hvo_pfn_t vmemmap_home(const struct node *n, uint64_t page);

/* Frames of cut blocks back these pages of the array from now on. */
void vmemmap_set_backs(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t page, uint64_t nr);

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
