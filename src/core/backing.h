/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_BACKING_H
#define HVO_CORE_BACKING_H

#include "base.h"
#include "machine.h"

struct run_list {
	struct hvo_remap *runs;
	unsigned int nr, max;
};

/* Slots that describe some memory, in up to two runs. */
struct tails {
	slot_t slot[2]; /* first of each run */
	uint64_t nr[2]; /* 0: no such run */
};

static inline slot_t run_slot(const struct hvo_remap *run)
{
	return (slot_t){ run->page };
}

/* Frame that backs a slot, or HVO_SHARED_TAIL. */
static inline hvo_pfn_t slot_backing(const struct hvo_machine *m, slot_t slot)
{
	uint32_t word;

	if (!table_layout(m))
		return m->ops->backing(m->ctx, slot.nr);
	word = __atomic_load_n(&m->table[slot.nr], __ATOMIC_ACQUIRE);
	return word ? word - 1 : HVO_SHARED_TAIL;
}

/* Append a run, merged with the last one if page and frame continue that. False: no room. */
bool run_add(struct run_list *l, slot_t slot, hvo_pfn_t pfn, uint64_t nr);

/* Sort the runs of a list by page and merge neighbours. */
void run_sort(struct run_list *l);

/* Append the runs that back the pages [slot, slot + nr) now. False: no room. */
bool run_add_backing(struct hvo_machine *m, struct run_list *l, slot_t slot, uint64_t nr);

/* End of the part of [pfn, end) that lies in one GiB, and so has its pages together. */
hvo_pfn_t vmemmap_gib_end(hvo_pfn_t pfn, hvo_pfn_t end);

/* The slots that a folded huge page of this order has no frames for. */
struct tails tails_of(const struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

/* Number of pages in both runs. */
uint64_t nr_tails(const struct tails *t);

/* The node for whose descriptors a frame was set aside at the start; NULL: for none. */
const struct node *vmemmap_described_at_start(const struct hvo_machine *m, hvo_pfn_t pfn);

/* On-demand mode: the page that a frame in a whole block of descriptors was set aside for. */
slot_t vmemmap_slot_at_start(struct hvo_machine *m, hvo_pfn_t pfn);

/* Linux mode: the frame that backs a page of the array at the start; HVO_PFN_NONE: none. */
hvo_pfn_t vmemmap_home(const struct hvo_machine *m, const struct node *n, slot_t slot);

/*
 * How many of the slots [slot, slot + nr), which are together in the virtual layout, had frames at
 * the start that are neighbours.
 */
uint64_t vmemmap_home_run(const struct hvo_machine *m, slot_t slot, uint64_t nr);

/*
 * Count frames that begin to hold descriptors, or cease to (negative numbers): @nr ordinary ones, and
 * @boot that are set aside, which zone @z does not manage; its lock is held if there are any.
 */
void vmemmap_count(struct hvo_machine *m, struct zone *z, int64_t nr, int64_t boot);

/* Note in frames [pfn, pfn + nr) of cut pageblocks that they back pages [slot, slot + nr). */
void vmemmap_set_backs(struct hvo_machine *m, hvo_pfn_t pfn, slot_t slot, uint64_t nr);

/* Note that in frames which were not set aside at the start, and count the frames. */
void vmemmap_back(struct hvo_machine *m, hvo_pfn_t pfn, slot_t slot, uint64_t nr);

/* Map runs, in the order given; after an error the first *@ret_done are mapped. Then flush. */
HVO_MUST_CHECK int vmemmap_map(struct hvo_machine *m, const struct run_list *l,
			       unsigned int *ret_done);
void vmemmap_flush(struct hvo_machine *m);

/*
 * As vmemmap_map(), to the shared tail, with a wait for readers; the fold bytes say so already. The
 * wait is first, so that nobody writes to what is read-only then; but in the table layout it is last,
 * since a reader who does not look at the fold byte must not find a frame that is about to be used
 * for something else. Then flush.
 */
HVO_MUST_CHECK int vmemmap_unback(struct hvo_machine *m, const struct run_list *l,
				  unsigned int *ret_done);

/*
 * Clear the frames of the runs, then map the runs, without a flush. After an error the first
 * *@ret_done runs are mapped.
 */
HVO_MUST_CHECK int vmemmap_map_some(struct hvo_machine *m, const struct run_list *l,
				    unsigned int *ret_done);

/*
 * Clear the frames of the runs, map the runs, whose pages all show the shared tail, and flush.
 * Memmap lock held if there is more than one run. After an error all pages show the shared tail
 * again.
 */
HVO_MUST_CHECK int vmemmap_map_runs(struct hvo_machine *m, const struct run_list *l);

/*
 * Map the pages of the first @done runs, which are mapped, to @was again, in one call, without a
 * flush. The pages of both lists are equal and in equal order, and no run of @was reaches over two
 * of @l.
 */
void vmemmap_map_back(struct hvo_machine *m, const struct run_list *l, unsigned int done,
		      const struct run_list *was);

/* Map those pages of a run that a call which failed half-way changed back to what they showed. */
void vmemmap_undo(struct hvo_machine *m, const struct hvo_remap *was);

/*
 * Number of pages from @slot on, of at most @nr, that all show the shared tail (*@ret_shared), or
 * that all have frames.
 */
uint64_t vmemmap_part(struct hvo_machine *m, slot_t slot, uint64_t nr, bool *ret_shared);

#endif
