// SPDX-License-Identifier: MIT
/*
 * Backing of the descriptors: runs of slots and the frames behind them, the frame of each slot at
 * the start, and the only way in which runs are mapped: in the virtual layout by the platform, which
 * maps pages of the array, in the table layout by a word a slot.
 *
 * Readers without a lock, table layout. A reader's section loads
 *
 *	R1 the fold byte (acquire)	R2 the word (acquire)	R3 the descriptor behind the word
 *
 * or, if the byte says that a block covers the pageblock, the head, whose address never changes.
 * hvo_page_ro() alone begins with R2.
 *
 *	cut, restore	C1 clear frames; C2 store words (release); C3 store the byte (release)
 *		Who sees C3 at R1 sees C2 at R2; who sees C2 at R2 sees C1 at R3.
 *	collapse, fold	X1 store the byte; X2 store "none"; X3 quiesce(); X4 use the frames
 *		A section that saw the byte or a word of before X1, X2 began before X3, which
 *		waits for it. One that begins later sees X1 and X2. So X2 is before X3: R2 does not
 *		wait for R1.
 *	move		M1 hold counts; M2 copy; M3 store the word (release); M4 quiesce(); M5 use the
 *			old frame
 *		Who loads the old word at R2 finds at R3 what was copied. A count that changes
 *		there does not compare, for HVO_HOLD stays set in the old frame; its writer looks
 *		the word up again. A private word is stored again (hvo_page_set_private()).
 *
 * What a caller keeps outside a section is a frame number, never the address of a descriptor: with
 * a reference alone that address may change. Who has a block in no other's hands, or the lock of its
 * zone and a pageblock at PLACE_CUT, may look without a section: nothing moves then.
 *
 * States: a frame in state MEMMAP backs a page. private_data[0] says which; frames that fill a
 * whole block have one descriptor together, and the place of such a frame says which page it backs,
 * until it fails. HVO_PF_BOOT: set aside at the start.
 * Locks: the memmap lock for more than one run; a single run belongs to who cuts the pageblock.
 * Linux: mm/hugetlb_vmemmap.c, vmemmap_remap_range(); mm/sparse-vmemmap.c. The table is as the
 * section array of SPARSEMEM without VMEMMAP, a section being 64 frames.
 */
#include "backing.h"

#include "base.h"
#include "page.h"
#include "sort.h"

/* ---- lists of runs -------------------------------------------------------------------------- */

bool run_add(struct run_list *l, slot_t slot, hvo_pfn_t pfn, uint64_t nr)
{
	struct hvo_remap *last = l->nr ? &l->runs[l->nr - 1] : NULL;

	if (!nr)
		return true;
	if (last && last->page + last->nr == slot.nr &&
	    (pfn == HVO_SHARED_TAIL ?
		     last->pfn == HVO_SHARED_TAIL :
		     last->pfn != HVO_SHARED_TAIL && last->pfn + last->nr == pfn)) {
		last->nr += nr;
		return true;
	}
	if (l->nr == l->max)
		return false;
	l->runs[l->nr++] = (struct hvo_remap){ slot.nr, pfn, nr };
	return true;
}

void run_sort(struct run_list *l)
{
	unsigned int i, nr = l->nr;

	_Static_assert(sizeof(struct hvo_remap) == SORT_WORDS * sizeof(uint64_t) &&
			       !offsetof(struct hvo_remap, page),
		       "a record that begins with its page");
	sort_records((uint64_t *)(void *)l->runs, nr, SORT_WORDS);
	l->nr = 0;
	for (i = 0; i < nr; i++) {
		struct hvo_remap r = l->runs[i];

		run_add(l, run_slot(&r), r.pfn, r.nr);
	}
}

bool run_add_backing(struct hvo_machine *m, struct run_list *l, slot_t slot, uint64_t nr)
{
	for (; nr; nr--, slot = slot_add(slot, 1))
		if (!run_add(l, slot, slot_backing(m, slot), 1))
			return false;
	return true;
}

hvo_pfn_t vmemmap_gib_end(hvo_pfn_t pfn, hvo_pfn_t end)
{
	return min_u64(order_start(pfn, HVO_GIGA_ORDER) + (UINT64_C(1) << HVO_GIGA_ORDER), end);
}

struct tails tails_of(const struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	uint64_t nr = UINT64_C(1) << (order - HVO_PAGEBLOCK_ORDER);

	if (table_layout(m))
		return (struct tails){ { slot_add(slot_of(m, pfn), 1) },
				       { nr * HVO_PAGEBLOCK_MEMMAP - 1 } };
	/* The heads of the other pageblocks, and the tails of all: neighbours in a 1 GiB page. */
	return (struct tails){ { slot_add(slot_of(m, pfn), 1), tail_slot(m, pb_of(pfn)) },
			       { nr - 1, nr * pb_tails(m) } };
}

uint64_t nr_tails(const struct tails *t)
{
	return t->nr[0] + t->nr[1];
}

/* ---- which frame backs what ----------------------------------------------------------------- */

/* Frames that the 1 GiB pages reserved at boot below a frame of the node saved. */
static uint64_t boot_saved(const struct node *n, hvo_pfn_t pfn)
{
	if (pfn <= n->boot_start)
		return 0;
	pfn = min_u64(pfn, n->boot_end);
	return ((pfn - n->boot_start) >> HVO_GIGA_ORDER) * (HVO_GIGA_MEMMAP - 1);
}

const struct node *vmemmap_described_at_start(const struct hvo_machine *m, hvo_pfn_t pfn)
{
	uint32_t i;

	/* The node at hand may host the descriptors of others. */
	for (i = 0; i < m->cfg.nr_nodes; i++)
		if (pfn - m->nodes[i].memmap_pfn < m->nodes[i].memmap_frames)
			return &m->nodes[i];
	return NULL;
}

slot_t vmemmap_slot_at_start(struct hvo_machine *m, hvo_pfn_t pfn)
{
	const struct node *n = vmemmap_described_at_start(m, pfn);

	return slot_of(m, n ? n->start + (pfn - n->memmap_pfn) * HVO_PAGEBLOCK_FRAMES : 0);
}

hvo_pfn_t vmemmap_home(const struct hvo_machine *m, const struct node *n, slot_t slot)
{
	hvo_pfn_t pfn = slot_pfn(m, slot), from, to, base;
	uint64_t nr, k = pb_index(pfn) / HVO_PAGES_PER_FRAME;

	/* Memory that was added later has no frames of the start. */
	if (pfn < n->start || pfn >= n->end)
		return HVO_PFN_NONE;
	from = max_u64(order_start(pfn, HVO_GIGA_ORDER), n->start);
	base = n->memmap_pfn + (from - n->start) / HVO_PAGES_PER_FRAME - boot_saved(n, from);
	if (from >= n->boot_start && from < n->boot_end)
		return pfn == from ? base : HVO_PFN_NONE;
	/* The part of this GiB that belongs to the node: heads first, then tails. */
	to = vmemmap_gib_end(pfn, n->end);
	nr = (pfn - from) / HVO_PAGEBLOCK_FRAMES;
	if (!k)
		return base + nr;
	return base + (to - from) / HVO_PAGEBLOCK_FRAMES + nr * (HVO_PAGEBLOCK_MEMMAP - 1) + k - 1;
}

uint64_t vmemmap_home_run(const struct hvo_machine *m, slot_t slot, uint64_t nr)
{
	unsigned int k = pb_index(slot_pfn(m, slot)) / HVO_PAGES_PER_FRAME;

	if (!table_layout(m))
		return nr;
	return k ? min_u64(nr, HVO_PAGEBLOCK_MEMMAP - k) : 1;
}

void vmemmap_set_backs(struct hvo_machine *m, hvo_pfn_t pfn, slot_t slot, uint64_t nr)
{
	while (nr--)
		page_set_word(page_rw(m, pfn++), 0, slot.nr++);
}

void vmemmap_count(struct hvo_machine *m, struct zone *z, int64_t nr, int64_t boot)
{
	counter_add(&m->memmap, (uint64_t)nr);
	if (!boot)
		return;
	lock_assert_held(m, &z->lock);
	counter_add(&m->memmap_boot, (uint64_t)boot);
	counter_set(&z->managed, z->managed - (uint64_t)boot);
}

void vmemmap_back(struct hvo_machine *m, hvo_pfn_t pfn, slot_t slot, uint64_t nr)
{
	vmemmap_set_backs(m, pfn, slot, nr);
	vmemmap_count(m, NULL, (int64_t)nr, 0);
}

/* ---- mapping -------------------------------------------------------------------------------- */

/*
 * Set words of the table. Release: who loads a word sees what was written to the frame before.
 */
static void table_set(struct hvo_machine *m, const struct hvo_remap *run)
{
	uint32_t word = run->pfn == HVO_SHARED_TAIL ? 0 : (uint32_t)run->pfn + 1;
	uint64_t i;

	for (i = run->page; i < run->page + run->nr; i++, word += !!word)
		__atomic_store_n(&m->table[i], word, __ATOMIC_RELEASE);
}

static int map(struct hvo_machine *m, const struct hvo_remap *runs, unsigned int nr,
	       unsigned int *ret_done)
{
	if (!table_layout(m))
		return m->ops->remap(m->ctx, runs, nr, ret_done);
	for (*ret_done = 0; *ret_done < nr; ++*ret_done)
		table_set(m, &runs[*ret_done]);
	return 0;
}

int vmemmap_map(struct hvo_machine *m, const struct run_list *l, unsigned int *ret_done)
{
	*ret_done = 0;
	return l->nr ? map(m, l->runs, l->nr, ret_done) : 0;
}

void vmemmap_flush(struct hvo_machine *m)
{
	if (!table_layout(m))
		m->ops->flush(m->ctx);
}

int vmemmap_unback(struct hvo_machine *m, const struct run_list *l, unsigned int *ret_done)
{
	int rc;

	if (!table_layout(m))
		m->ops->quiesce(m->ctx);
	rc = vmemmap_map(m, l, ret_done);
	if (table_layout(m))
		m->ops->quiesce(m->ctx);
	return rc;
}

static int clear_runs(struct hvo_machine *m, const struct hvo_remap *runs, unsigned int nr)
{
	unsigned int i;
	int rc;

	for (i = 0; i < nr; i++) {
		rc = m->ops->populate(m->ctx, runs[i].pfn, runs[i].nr);
		if (rc)
			return rc;
	}
	for (i = 0; i < nr; i++)
		m->ops->zero(m->ctx, runs[i].pfn, runs[i].nr);
	return 0;
}

int vmemmap_map_some(struct hvo_machine *m, const struct run_list *l, unsigned int *ret_done)
{
	int rc = clear_runs(m, l->runs, l->nr);

	*ret_done = 0;
	return rc ? rc : vmemmap_map(m, l, ret_done);
}

void vmemmap_map_back(struct hvo_machine *m, const struct run_list *l, unsigned int done,
		      const struct run_list *was)
{
	unsigned int i, nr = 0, n;
	uint64_t pages = 0;

	for (i = 0; i < done; i++)
		pages += l->runs[i].nr;
	for (; pages; nr++)
		pages -= was->runs[nr].nr;
	if (nr && map(m, was->runs, nr, &n))
		HVO_PANIC(m, MEMMAP_6, "undo failed", l->runs[0].pfn);
}

int vmemmap_map_runs(struct hvo_machine *m, const struct run_list *l)
{
	struct run_list was = { m->undo, 0, NR_RUNS };
	int rc = clear_runs(m, l->runs, l->nr);
	unsigned int done;

	if (rc)
		return rc;
	/* One run is mapped or not, and needs no undo. */
	if (l->nr > 1)
		lock_assert_held(m, &m->memmap_lock);
	for (; l->nr > 1 && was.nr < l->nr; was.nr++)
		was.runs[was.nr] = (struct hvo_remap){ l->runs[was.nr].page, HVO_SHARED_TAIL,
						       l->runs[was.nr].nr };
	rc = vmemmap_map(m, l, &done);
	if (rc)
		vmemmap_map_back(m, l, done, &was);
	if (done)
		vmemmap_flush(m);
	return rc;
}

uint64_t vmemmap_part(struct hvo_machine *m, slot_t slot, uint64_t nr, bool *ret_shared)
{
	uint64_t n = 1;

	*ret_shared = slot_backing(m, slot) == HVO_SHARED_TAIL;
	while (n < nr && (slot_backing(m, slot_add(slot, n)) == HVO_SHARED_TAIL) == *ret_shared)
		n++;
	return n;
}

void vmemmap_undo(struct hvo_machine *m, const struct hvo_remap *was)
{
	struct hvo_remap part = *was;
	uint64_t end = was->page + was->nr;
	unsigned int done;
	bool shared;

	for (; part.page < end; part.page += part.nr) {
		part.nr = vmemmap_part(m, run_slot(&part), end - part.page, &shared);
		if (was->pfn != HVO_SHARED_TAIL)
			part.pfn = was->pfn + (part.page - was->page);
		if (shared == (was->pfn == HVO_SHARED_TAIL))
			continue;
		if (map(m, &part, 1, &done))
			HVO_PANIC(m, MEMMAP_6, "undo failed", part.page);
	}
}
