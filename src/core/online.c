// SPDX-License-Identifier: MIT
/*
 * Descriptors of memory that comes online, at the start or later, and of memory that goes.
 *
 * At the start each node sets frames aside, HVO_PF_BOOT, of its own NORMAL memory or, where it has
 * none, of another one's. Memory that is added gets
 * frames of NORMAL, or of the sections themselves.
 *
 * States: TAIL -> MEMMAP for frames that are set aside. The fold map says what the blocks are.
 * Locks: at the start the zone's lock for what enters the zone; the memmap lock for hot-plug, which
 * owns the scratch arrays.
 * Linux: mm/sparse-vmemmap.c, vmemmap_populate_hugepages(); mm/memory_hotplug.c,
 * mhp_init_memmap_on_memory(); mm/hugetlb_vmemmap.c, hugetlb_vmemmap_init_early().
 */
#include "online.h"

#include "backing.h"
#include "base.h"
#include "fold.h"
#include "frames.h"
#include "lock.h"
#include "page.h"
#include "zone_cut.h"
#include "zone_whole.h"

/* ---- coming online -------------------------------------------------------------------------- */

hvo_pfn_t vmemmap_boot_gigantic(struct hvo_machine *m, hvo_pfn_t pfn)
{
	struct hvo_page *page = page_rw(m, pfn);

	fold_set(m, pfn, HVO_GIGA_ORDER, HVO_GIGA_ORDER | HVO_FOLDED);
	page_set_state(m, pfn, page, HVO_PAGE_TAKEN, HVO_GIGA_ORDER);
	page_set_flags(page, HVO_PF_OPTIMIZED | HVO_PF_AT_BOOT);
	return pfn + (UINT64_C(1) << HVO_GIGA_ORDER);
}

/*
 * The slots of the descriptors of [pfn, end), in one GiB: heads, and the tails of all pageblocks.
 * In the table layout heads are in no slot.
 */
static struct tails part_slots(const struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end)
{
	uint64_t nr = (end - pfn) / HVO_PAGEBLOCK_FRAMES;

	return (struct tails){ { slot_of(m, pfn), tail_slot(m, pb_of(pfn)) },
			       { table_layout(m) ? 0 : nr, nr * pb_tails(m) } };
}

/* Those that have frames whatever the memory is used for: in on-demand mode no tails. */
static struct tails lasting_slots(const struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end)
{
	struct tails t = part_slots(m, pfn, end);

	if (on_demand(m))
		t.nr[1] = 0;
	return t;
}

/* The frame that is set aside for a page at the start; HVO_PFN_NONE: none. */
static hvo_pfn_t home_of(const struct hvo_machine *m, const struct node *n, slot_t slot)
{
	if (on_demand(m))
		return n->memmap_pfn + (slot_pfn(m, slot) - n->start) / HVO_PAGEBLOCK_FRAMES;
	return vmemmap_home(m, n, slot);
}

/* Append the frames that are set aside for slots of a node. False: no room. */
static bool add_homes(struct hvo_machine *m, const struct node *n, slot_t slot, uint64_t nr,
		      struct run_list *l)
{
	uint64_t run;

	for (; nr; nr -= run, slot = slot_add(slot, run)) {
		run = vmemmap_home_run(m, slot, nr);
		if (!run_add(l, slot, home_of(m, n, slot), run))
			return false;
	}
	return true;
}

/* Map what lasts of the node's part of one GiB. */
static int online_gib(struct hvo_machine *m, const struct node *n, hvo_pfn_t pfn, hvo_pfn_t end)
{
	struct tails t = lasting_slots(m, pfn, end);
	struct run_list l = { m->runs, 0, NR_RUNS };
	unsigned int done;

	if (pfn >= n->boot_start && pfn < n->boot_end)
		t = (struct tails){ { t.slot[0] }, { 1 } };
	if (!add_homes(m, n, t.slot[0], t.nr[0], &l) || !add_homes(m, n, t.slot[1], t.nr[1], &l))
		return -HVO_ENOMEM;
	return vmemmap_map(m, &l, &done);
}

static void online_frames(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr)
{
	uint64_t i;

	for (i = 0; i < nr; i++) {
		struct hvo_page *page = page_rw(m, pfn + i);

		page_set_state(m, pfn + i, page, HVO_PAGE_MEMMAP, 0);
		page_set_flags(page, HVO_PF_BOOT);
	}
}

/* Set up the pageblocks that hold the node's descriptors. The last one may have free frames. */
static int online_memmap_pageblocks(struct hvo_machine *m, const struct node *n)
{
	uint64_t left = n->memmap_frames;
	struct zone *z = zone_of(m, n->memmap_pfn);
	hvo_pfn_t pfn = n->memmap_pfn;
	int rc;

	for (; left; pfn += HVO_PAGEBLOCK_FRAMES) {
		uint64_t used = min_u64(left, HVO_PAGEBLOCK_FRAMES), tails = 0;

		left -= used;
		if (on_demand(m) && used == HVO_PAGEBLOCK_FRAMES) {
			/* Whole and folded, one descriptor for all of it. */
			page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_MEMMAP,
				       HVO_PAGEBLOCK_ORDER);
			page_set_flags(page_rw(m, pfn), HVO_PF_BOOT);
			fold_set(m, pfn, HVO_PAGEBLOCK_ORDER, HVO_PAGEBLOCK_ORDER | HVO_FOLDED);
			continue;
		}
		if (on_demand(m)) {
			struct hvo_remap run = { tail_slot(m, pb_of(pfn)).nr, pfn + used,
						 pb_tails(m) };

			tails = pb_tails(m);
			rc = vmemmap_map_runs(m, &(struct run_list){ &run, 1, 1 });
			if (rc)
				return rc;
		}
		online_frames(m, pfn, used + tails);
		vmemmap_set_backs(m, pfn + used, tail_slot(m, pb_of(pfn)), tails);
		lock_acquire(m, &z->lock);
		vmemmap_count(m, z, 0, (int64_t)tails);
		zone_count_freed(z, HVO_PAGEBLOCK_FRAMES - used - tails);
		zone_open_pageblock(m, z, pb_of(pfn), 0, (unsigned int)(used + tails),
				    MIGRATE_UNMOVABLE, 0);
		lock_release(m, &z->lock);
	}
	return 0;
}

/*
 * Note in each descriptor frame of the node which page it backs. In on-demand mode frames that fill
 * a whole block have no descriptors of their own for that.
 */
static void online_backs(struct hvo_machine *m, const struct node *n)
{
	uint64_t step = on_demand(m) ? HVO_PAGEBLOCK_FRAMES : HVO_PAGES_PER_FRAME;
	hvo_pfn_t described, pfn;

	for (described = n->start; described < n->end; described += step) {
		pfn = home_of(m, n, slot_of(m, described));
		if (pfn != HVO_PFN_NONE && !fold_byte(m, pb_of(pfn)))
			vmemmap_set_backs(m, pfn, slot_of(m, described), 1);
	}
}

int vmemmap_map_node(struct hvo_machine *m, const struct node *n)
{
	hvo_pfn_t pfn = n->start, end;
	int rc = 0;

	for (; pfn < n->end && !rc; pfn = end) {
		end = vmemmap_gib_end(pfn, n->end);
		rc = online_gib(m, n, pfn, end);
	}
	return rc;
}

int vmemmap_online_node(struct hvo_machine *m, const struct node *n)
{
	struct zone *z = zone_of(m, n->memmap_pfn);
	int rc;

	if (!n->memmap_frames)
		return 0;
	lock_acquire(m, &z->lock);
	vmemmap_count(m, z, 0, (int64_t)n->memmap_frames);
	lock_release(m, &z->lock);
	rc = online_memmap_pageblocks(m, n);
	if (!rc)
		online_backs(m, n);
	return rc;
}

/* ---- hot-plug ------------------------------------------------------------------------------- */

#define SECTION_PAGEBLOCKS (HVO_SECTION_FRAMES >> HVO_PAGEBLOCK_ORDER)
_Static_assert(SECTION_PAGEBLOCKS *HVO_PAGEBLOCK_MEMMAP <= HVO_PAGEBLOCK_FRAMES,
	       "a section's descriptors lie in its first pageblock");

/*
 * The slots that a section hosts if it hosts itself: what lasts, and in on-demand mode the tails of
 * its first pageblock, which is cut for that. None, if nothing lasts.
 */
static struct tails hosted_slots(const struct hvo_machine *m, hvo_pfn_t pfn)
{
	struct tails t = lasting_slots(m, pfn, pfn + HVO_SECTION_FRAMES);

	if (on_demand(m))
		t.nr[1] = t.nr[0] ? pb_tails(m) : 0;
	return t;
}

uint64_t vmemmap_self_hosted(const struct hvo_machine *m)
{
	struct tails t = hosted_slots(m, 0);

	return nr_tails(&t);
}

/* Allocate frames for those of the pages [slot, slot + nr) that show the shared tail. */
static bool gather_missing(struct hvo_machine *m, int node, slot_t slot, uint64_t nr,
			   struct run_list *l)
{
	unsigned int gfp = HVO_GFP_KERNEL | HVO_GFP_RETRY_MAYFAIL | HVO_GFP_NOWARN;
	uint64_t end = slot.nr + nr;
	bool shared;

	for (; slot.nr < end; slot = slot_add(slot, nr)) {
		nr = vmemmap_part(m, slot, end - slot.nr, &shared);
		if (shared && vmemmap_gather(m, gfp, node, slot, nr, l))
			return false;
	}
	return true;
}

static bool gather_range(struct hvo_machine *m, int node, hvo_pfn_t pfn, hvo_pfn_t end,
			 struct run_list *l)
{
	for (; pfn < end; pfn = vmemmap_gib_end(pfn, end)) {
		struct tails t = lasting_slots(m, pfn, vmemmap_gib_end(pfn, end));

		if (!gather_missing(m, node, t.slot[0], t.nr[0], l) ||
		    !gather_missing(m, node, t.slot[1], t.nr[1], l))
			return false;
	}
	return true;
}

/* Let each section host its own descriptors, so that each can be removed alone. */
static bool host_range(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end, struct run_list *l)
{
	for (; pfn < end; pfn += HVO_SECTION_FRAMES) {
		struct tails t = hosted_slots(m, pfn);

		if (!run_add(l, t.slot[0], pfn, t.nr[0]) ||
		    !run_add(l, t.slot[1], pfn + t.nr[0], t.nr[1]))
			return false;
	}
	return true;
}

/* Make a section's first frames descriptor frames, until the section is removed. */
static void host_itself(struct hvo_machine *m, hvo_pfn_t pfn)
{
	struct tails t = hosted_slots(m, pfn);

	online_frames(m, pfn, nr_tails(&t));
	vmemmap_set_backs(m, pfn, t.slot[0], t.nr[0]);
	vmemmap_set_backs(m, pfn + t.nr[0], t.slot[1], t.nr[1]);
	pb_data(m, pb_of(pfn))->flags = PB_CUT;
}

/* Set the fold bytes of offline memory. */
static void fold_bytes_offline(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end)
{
	uint8_t whole = HVO_PAGEBLOCK_ORDER | (on_demand(m) ? HVO_FOLDED : 0);

	for (; pfn < end; pfn += HVO_PAGEBLOCK_FRAMES)
		fold_set(m, pfn, HVO_PAGEBLOCK_ORDER,
			 pb_data(m, pb_of(pfn))->flags & PB_CUT ? 0 : whole);
}

int vmemmap_add_range(struct hvo_machine *m, int node, hvo_pfn_t start, hvo_pfn_t end, bool self)
{
	struct run_list l = { m->runs, 0, NR_RUNS };
	hvo_pfn_t pfn;
	int rc = -HVO_ENOMEM;

	lock_assert_held(m, &m->memmap_lock);
	if (self ? host_range(m, start, end, &l) : gather_range(m, node, start, end, &l))
		rc = vmemmap_map_runs(m, &l);
	if (rc) {
		if (!self)
			vmemmap_put_unused_runs(m, &l);
		return rc;
	}
	for (pfn = start; pfn < end && self; pfn += HVO_SECTION_FRAMES)
		host_itself(m, pfn);
	fold_bytes_offline(m, start, end);
	return 0;
}

/* Does a frame stay when its page goes? Frames of a whole block cannot be freed alone. */
static bool stays(struct hvo_machine *m, hvo_pfn_t frame)
{
	return fold_byte(m, pb_of(frame));
}

/* List the pages to fold (@l) and their backing (@old). False: no room. */
static bool collect_backing(struct hvo_machine *m, slot_t slot, uint64_t nr, struct run_list *l,
			    struct run_list *old)
{
	for (; nr; slot = slot_add(slot, 1), nr--) {
		hvo_pfn_t frame = slot_backing(m, slot);

		if (frame == HVO_SHARED_TAIL || stays(m, frame))
			continue;
		if (!run_add(old, slot, frame, 1) || !run_add(l, slot, HVO_SHARED_TAIL, 1))
			return false;
	}
	return true;
}

/* Clear the heads that stay: those of the table layout, and head pages that keep their frames. */
static void clear_staying(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end)
{
	for (; pfn < end; pfn += HVO_PAGEBLOCK_FRAMES) {
		hvo_pfn_t frame;

		if (table_layout(m)) {
			page_forget(m, pfn);
			continue;
		}
		frame = slot_backing(m, slot_of(m, pfn));
		if (frame != HVO_SHARED_TAIL)
			m->ops->zero(m->ctx, frame, 1);
	}
}

/* Free the frames of a run outside [start, end); frames in the range go with the memory. */
static void put_outside(struct hvo_machine *m, const struct hvo_remap *run, hvo_pfn_t start,
			hvo_pfn_t end)
{
	hvo_pfn_t pfn = run->pfn, last = pfn + run->nr;

	if (pfn < start)
		vmemmap_put_frames(m, pfn, min_u64(last, start) - pfn);
	if (last > end)
		vmemmap_put_frames(m, pfn > end ? pfn : end, last - (pfn > end ? pfn : end));
}

int vmemmap_remove_range(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end)
{
	struct run_list old = { m->undo, 0, NR_RUNS }, l = { m->runs, 0, NR_RUNS };
	unsigned int i, done;
	hvo_pfn_t pfn;
	int rc;

	lock_assert_held(m, &m->memmap_lock);
	for (pfn = start; pfn < end; pfn = vmemmap_gib_end(pfn, end)) {
		struct tails t = part_slots(m, pfn, vmemmap_gib_end(pfn, end));

		if (!collect_backing(m, t.slot[0], t.nr[0], &l, &old) ||
		    !collect_backing(m, t.slot[1], t.nr[1], &l, &old))
			return -HVO_ENOMEM;
	}
	for (pfn = start; pfn < end; pfn += HVO_SECTION_FRAMES)
		fold_set(m, pfn, HVO_SECTION_ORDER, HVO_PAGEBLOCK_ORDER | HVO_FOLDED);
	rc = vmemmap_unback(m, &l, &done);
	if (rc)
		vmemmap_map_back(m, &l, done, &old);
	if (done)
		vmemmap_flush(m);
	if (rc) {
		fold_bytes_offline(m, start, end);
		return rc;
	}
	clear_staying(m, start, end);
	for (i = 0; i < old.nr; i++)
		put_outside(m, &old.runs[i], start, end);
	/* PB_REPORTED stays until the memory goes, too. */
	for (pfn = start; pfn < end; pfn += HVO_PAGEBLOCK_FRAMES) {
		struct pageblock *b = pb_data(m, pb_of(pfn));

		*b = (struct pageblock){ .flags = b->flags & PB_REPORTED };
	}
	return 0;
}
