// SPDX-License-Identifier: MIT
/*
 * Descriptors and where they live: cutting and collapsing blocks (on-demand mode),
 * optimizing and restoring huge pages (Linux mode). Both are built from the same
 * two movements of whole runs of descriptor pages:
 *
 *	fold	1. the fold byte says FOLDED	2. wait for readers
 *		3. remap to the shared tail	4. flush	5. free the frames
 *	present	1. clear the frames, through the direct map
 *		2. remap to them		3. flush
 *		4. write what the descriptors are to say
 *		5. the fold byte says so
 *
 * The point of no return is step 4 of both, the first step after the remapping;
 * all that can fail comes before it. When the remapping of a fold fails, the byte is
 * set back, and the block or page is what it was.
 *
 * States of a block in the fold map: 0 cut; order: inside a whole block, tails
 * present (Linux mode); order | FOLDED: inside a whole block, tails shared.
 * Locks: batches of Linux mode under the memmap lock, which also owns the scratch
 * arrays. Cutting and collapsing need no lock: the block is the caller's own.
 *
 * Linux: mm/hugetlb_vmemmap.c, hugetlb_vmemmap_optimize_folios(),
 * hugetlb_vmemmap_restore_folios(), vmemmap_remap_free(), vmemmap_remap_alloc(),
 * alloc_vmemmap_page_list().
 */
#include "vmemmap.h"

#include "alloc.h"
#include "lock.h"
#include "move.h"
#include "page.h"
#include "poison.h"
#include "sort.h"
#include "zone.h"

#define WAITS_STEPS 64
#define WAITS_AVOIDED 16

#define GIGA_MEMMAP (HVO_BLOCK_MEMMAP << (HVO_GIGA_ORDER - HVO_BLOCK_ORDER))

struct node *node_of(struct hvo_machine *m, hvo_pfn_t pfn)
{
	return &m->nodes[m->sections[pfn >> HVO_SECTION_ORDER].node];
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- lists of runs --------------------------------------------------------- */

struct run_list {
	struct hvo_remap *runs;
	unsigned int nr, max;
};

/* Append, merging with the last run where both continue it. False: no room. */
static bool run_add(struct run_list *l, uint64_t page, hvo_pfn_t pfn, uint64_t nr)
{
	struct hvo_remap *last = l->nr ? &l->runs[l->nr - 1] : NULL;

	if (!nr)
		return true;
	if (last && last->page + last->nr == page &&
	    (pfn == HVO_SHARED_TAIL ?
		     last->pfn == HVO_SHARED_TAIL :
		     last->pfn != HVO_SHARED_TAIL && last->pfn + last->nr == pfn)) {
		last->nr += nr;
		return true;
	}
	if (l->nr == l->max)
		return false;
	l->runs[l->nr++] = (struct hvo_remap){ page, pfn, nr };
	return true;
}

/* What backs the pages [page, page + nr) now. */
static bool run_add_backing(struct hvo_machine *m, struct run_list *l, uint64_t page, uint64_t nr)
{
	uint64_t i;

	for (i = 0; i < nr; i++)
		if (!run_add(l, page + i, m->ops->backing(m->ctx, page + i), 1))
			return false;
	return true;
}

static struct tails tails_of(hvo_pfn_t pfn, unsigned int order)
{
	uint64_t block = block_of(pfn), nr = UINT64_C(1) << (order - HVO_BLOCK_ORDER);

	/* The heads of the other blocks, and the tails of all: neighbours in a 1 GiB page. */
	return (struct tails){ { hvo_block_head_page(block) + 1, hvo_block_tail_page(block) },
			       { nr - 1, nr * HVO_BLOCK_TAILS } };
}

static uint64_t nr_tails(const struct tails *t)
{
	return t->nr[0] + t->nr[1];
}

/* ---- frames that hold descriptors ------------------------------------------- */

/* Frames of cut blocks back these pages of the array from now on. */
static void set_backs(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t page, uint64_t nr)
{
	while (nr--)
		page_rw(m, pfn++)->private_data[0] = page++;
}

/* Of their descriptors nothing is left; returns how many were set aside at the start. */
static uint64_t clear_backs(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr)
{
	uint64_t boot = 0;

	while (nr--) {
		struct hvo_page *page = page_rw(m, pfn++);

		boot += page_flags(page) & HVO_PF_BOOT;
		page_set_flags(page, 0);
		page->private_data[0] = 0;
	}
	return boot;
}

void vmemmap_put_frames(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr)
{
	while (nr) {
		struct zone *z = zone_of(m, pfn);
		uint64_t n = min_u64(nr, HVO_SECTION_FRAMES - pfn % HVO_SECTION_FRAMES), boot;
		bool bad;

		if (m->cfg.clear == HVO_CLEAR_ON_FREE)
			m->ops->zero(m->ctx, pfn, n);
		/* All under the lock: a collapse does this while descriptors may be moved. */
		lock_acquire(m, &z->lock);
		boot = clear_backs(m, pfn, n);
		counter_set(&z->managed, z->managed + boot);
		bad = poison_in(m, pfn, pfn + n);
		if (!bad)
			zone_put_range(m, z, pfn, n);
		lock_release(m, &z->lock);
		if (bad)
			poison_free_frames(m, pfn, n);
		counter_sub(&m->memmap_boot, boot);
		counter_sub(&m->memmap, n - boot);
		pfn += n;
		nr -= n;
	}
}

static void put_runs(struct hvo_machine *m, const struct hvo_remap *runs, unsigned int nr)
{
	while (nr--)
		vmemmap_put_frames(m, runs[nr].pfn, runs[nr].nr);
}

/*
 * Frames of an allocated block become descriptor frames, for the pages of the array from
 * @page on; the ones from @keep on are freed.
 */
static void claim_block(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order, uint64_t page,
			uint64_t keep)
{
	uint64_t nr = UINT64_C(1) << order, i;
	struct zone *z = zone_of(m, pfn);

	if (order >= HVO_BLOCK_ORDER) {
		/* A whole block: it has to be a cut one first, so that frames can go singly. */
		hvo_pfn_t p;

		page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_TAIL, 0);
		lock_acquire(m, &z->lock);
		for (p = pfn; p < pfn + nr; p += HVO_BLOCK_FRAMES) {
			fold_set(m, p, HVO_BLOCK_ORDER, 0);
			zone_open_block(m, z, block_of(p), HVO_BLOCK_FRAMES, MIGRATE_UNMOVABLE, 0);
		}
		lock_release(m, &z->lock);
	}
	for (i = 0; i < nr; i++) {
		struct hvo_page *p = page_rw(m, pfn + i);

		if (p->state == HVO_PAGE_USED && i)
			HVO_ASSERT(m, false, "MEMMAP-1: frame in use", pfn + i);
		page_set_state(m, pfn + i, p, HVO_PAGE_MEMMAP, 0);
		page_set_flags(p, 0);
	}
	set_backs(m, pfn, page, keep);
	if (keep < nr) {
		lock_acquire(m, &z->lock);
		zone_put_range(m, z, pfn + keep, nr - keep);
		lock_release(m, &z->lock);
	}
	counter_add(&m->memmap, keep);
}

/*
 * Allocate frames for the pages [page, page + want) of the array and append them
 * to the list, in as few pieces as there are. Frames already appended stay on it
 * after an error. Returns how many frames are missing.
 */
static uint64_t gather(struct hvo_machine *m, unsigned int gfp, int node, uint64_t page,
		       uint64_t want, struct run_list *l)
{
	/* In on-demand mode a frame of a whole block has no descriptor of its own. */
	unsigned int max = on_demand(m) ? SMALL_ORDERS - 1 : HVO_BLOCK_ORDER + 3;
	unsigned int order = 64u - (unsigned int)__builtin_clzll(want | 1);

	if (order > max)
		order = max;
	if (order && UINT64_C(1) << (order - 1) == want)
		order--;
	while (want) {
		uint64_t size = UINT64_C(1) << order, keep = min_u64(size, want);
		unsigned int flags = gfp | GFP_MEMMAP | GFP_ISOLATING;
		hvo_pfn_t pfn = 0;

		/* Only single frames are worth waiting for. */
		if (order)
			flags = (flags & ~HVO_GFP_RECLAIM) | HVO_GFP_NOWARN;
		if (alloc_block(m, flags, order, node, &pfn)) {
			if (!order)
				return want;
			order--;
			continue;
		}
		claim_block(m, pfn, order, page, keep);
		if (!run_add(l, page, pfn, keep)) {
			vmemmap_put_frames(m, pfn, keep);
			return want;
		}
		page += keep;
		want -= keep;
	}
	return 0;
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

/* Clear the frames, then map them; the first *ret_done runs are, after an error too. */
static int map_some(struct hvo_machine *m, const struct run_list *l, unsigned int *ret_done)
{
	int rc = clear_runs(m, l->runs, l->nr);

	*ret_done = 0;
	return rc || !l->nr ? rc : m->ops->remap(m->ctx, l->runs, l->nr, ret_done);
}

/*
 * The same for pages that are shared before: after an error all are again, and *ret_done says
 * only how far it came. The memmap lock is needed for more than one run.
 */
static int map_runs(struct hvo_machine *m, const struct run_list *l, unsigned int *ret_done)
{
	int rc = map_some(m, l, ret_done);
	struct run_list back = { m->undo, 0, NR_RUNS };
	unsigned int i, n;

	if (!*ret_done)
		return rc;
	for (i = 0; rc && i < *ret_done; i++)
		run_add(&back, l->runs[i].page, HVO_SHARED_TAIL, l->runs[i].nr);
	/* In one call: that does not fail. */
	if (rc && m->ops->remap(m->ctx, back.runs, back.nr, &n))
		machine_panic(m, "MEMMAP-2: undo failed", l->runs[0].pfn);
	m->ops->flush(m->ctx);
	return rc;
}

/* ---- on-demand mode: cut and collapse ---------------------------------------- */

int vmemmap_cut(struct hvo_machine *m, uint64_t block, unsigned int at)
{
	hvo_pfn_t pfn = block_pfn(block), i;
	struct hvo_remap run = { hvo_block_tail_page(block), pfn + at, HVO_BLOCK_TAILS };
	unsigned int done;
	int rc = map_runs(m, &(struct run_list){ &run, 1, 1 }, &done);

	if (rc) {
		counter_add(&m->cut_failures, 1);
		trace(m, HVO_EVENT_PRESENT_FAILED, pfn, 1, (uint64_t)-rc);
		return rc;
	}
	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_TAIL, 0);
	for (i = at; i < at + HVO_BLOCK_TAILS; i++)
		page_set_state(m, pfn + i, page_rw(m, pfn + i), HVO_PAGE_MEMMAP, 0);
	set_backs(m, pfn + at, run.page, HVO_BLOCK_TAILS);
	fold_set(m, pfn, HVO_BLOCK_ORDER, 0);
	counter_add(&m->memmap, HVO_BLOCK_TAILS);
	counter_add(&m->cuts, 1);
	counter_add(&m->presents, 1);
	trace(m, HVO_EVENT_CUT, pfn, 0, 0);
	return 0;
}

/*
 * A folded block's frames are all free: clean its head page, drop the frames that
 * held its tails, and give it to the zone as a whole one.
 */
static void finish_collapse(struct hvo_machine *m, struct zone *z, uint64_t block,
			    const struct hvo_remap *old, unsigned int nr_old)
{
	struct block *b = &m->blocks[block];
	hvo_pfn_t pfn = block_pfn(block);
	bool self = b->flags & BLOCK_SELF, bad = poison_in(m, pfn, pfn + HVO_BLOCK_FRAMES);
	unsigned int i;

	if (self && m->cfg.clear == HVO_CLEAR_ON_FREE)
		m->ops->zero(m->ctx, pfn, HVO_BLOCK_TAILS);
	for (i = 0; i < HVO_PAGES_PER_FRAME; i++) {
		struct hvo_page *page = page_rw(m, pfn + i);

		page_set_state(m, pfn + i, page, HVO_PAGE_TAIL, 0);
		page->next = 0;
		page->prev = 0;
		page_set_flags(page, 0);
		page->private_data[0] = 0;
	}
	lock_acquire(m, &z->lock);
	b->flags &= BLOCK_ISOLATED;
	b->nr_free = 0;
	b->orders = 0;
	z->nr_cut--;
	z->in_flight--;
	/* A frame of its descriptors failed: now it can be left out. */
	if (bad)
		page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_USED, HVO_BLOCK_ORDER);
	else
		zone_put_whole(m, z, pfn, HVO_BLOCK_ORDER);
	lock_release(m, &z->lock);
	if (bad)
		poison_free_block(m, pfn, HVO_BLOCK_ORDER);
	if (self)
		counter_sub(&m->memmap, HVO_BLOCK_TAILS);
	else
		put_runs(m, old, nr_old);
}

static unsigned int collapse_batch(struct hvo_machine *m, struct zone *z, uint64_t *blocks,
				   unsigned int nr)
{
	struct hvo_remap runs[COLLAPSE_BATCH];
	struct run_list l = { runs, 0, COLLAPSE_BATCH };
	unsigned int i, done = 0, whole = 0;
	int rc;

	sort_ascending(blocks, nr);
	for (i = 0; i < nr; i++) {
		fold_set(m, block_pfn(blocks[i]), HVO_BLOCK_ORDER, HVO_BLOCK_ORDER | HVO_FOLDED);
		/* One whose old backing is asked for below starts a run of its own. */
		if (m->blocks[blocks[i]].flags & BLOCK_SELF)
			run_add(&l, hvo_block_tail_page(blocks[i]), HVO_SHARED_TAIL,
				HVO_BLOCK_TAILS);
		else
			runs[l.nr++] = (struct hvo_remap){ hvo_block_tail_page(blocks[i]),
							   HVO_SHARED_TAIL, HVO_BLOCK_TAILS };
	}
	m->ops->quiesce(m->ctx);
	for (i = 0; i < nr; i++) {
		struct hvo_remap old[HVO_BLOCK_TAILS];
		struct run_list ol = { old, 0, HVO_BLOCK_TAILS };
		uint64_t page = hvo_block_tail_page(blocks[i]);

		if (!(m->blocks[blocks[i]].flags & BLOCK_SELF))
			run_add_backing(m, &ol, page, HVO_BLOCK_TAILS);
		/* The run that this block is in, with its neighbours, at its first block. */
		if (done < l.nr && runs[done].page == page) {
			unsigned int n = 0;

			rc = m->ops->remap(m->ctx, &runs[done], 1, &n);
			if (rc)
				trace(m, HVO_EVENT_FOLD_FAILED, block_pfn(blocks[i]),
				      runs[done].nr / HVO_BLOCK_TAILS, (uint64_t)-rc);
			else
				m->ops->flush(m->ctx);
			done++;
		}
		if (m->ops->backing(m->ctx, page) == HVO_SHARED_TAIL) {
			finish_collapse(m, z, blocks[i], old, ol.nr);
			whole++;
			continue;
		}
		fold_set(m, block_pfn(blocks[i]), HVO_BLOCK_ORDER, 0);
		lock_acquire(m, &z->lock);
		zone_put_collapsible(m, z, blocks[i]);
		lock_release(m, &z->lock);
	}
	counter_add(&m->collapse_failures, nr - whole);
	counter_add(&m->collapses, whole);
	counter_add(&m->folds, whole);
	if (whole)
		trace(m, HVO_EVENT_COLLAPSED, HVO_PFN_NONE, whole, 0);
	return whole;
}

bool vmemmap_collapse_block(struct hvo_machine *m, struct zone *z, uint64_t block)
{
	return collapse_batch(m, z, &block, 1);
}

uint64_t vmemmap_collapse(struct hvo_machine *m, struct zone *z, uint64_t max)
{
	uint64_t blocks[COLLAPSE_BATCH], total = 0;

	while (total < max) {
		unsigned int nr, whole;

		lock_acquire(m, &z->lock);
		nr = zone_take_collapsible(m, z, blocks,
					   (unsigned int)min_u64(max - total, COLLAPSE_BATCH));
		lock_release(m, &z->lock);
		if (!nr)
			break;
		whole = collapse_batch(m, z, blocks, nr);
		total += whole;
		if (whole < nr)
			break;
	}
	return total;
}

int vmemmap_present_elsewhere(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	uint64_t nr = UINT64_C(1) << (order - HVO_BLOCK_ORDER), want = nr * HVO_BLOCK_TAILS;
	uint64_t page = hvo_block_tail_page(block_of(pfn));
	struct run_list l = { m->runs, 0, NR_RUNS };
	unsigned int done;
	int rc = -HVO_ENOMEM;

	lock_acquire(m, &m->memmap_lock);
	if (!gather(m, HVO_GFP_KERNEL, zone_of(m, pfn)->node, page, want, &l))
		rc = map_runs(m, &l, &done);
	if (rc) {
		put_runs(m, l.runs, l.nr);
		trace(m, HVO_EVENT_PRESENT_FAILED, pfn, nr, (uint64_t)-rc);
	} else {
		counter_add(&m->presents, nr);
	}
	lock_release(m, &m->memmap_lock);
	return rc;
}

/* ---- Linux mode: optimize ------------------------------------------------------ */

static bool page_folded_in_part(struct hvo_machine *m, const struct tails *t)
{
	return (t->nr[0] && m->ops->backing(m->ctx, t->page[0]) == HVO_SHARED_TAIL) ||
	       m->ops->backing(m->ctx, t->page[1]) == HVO_SHARED_TAIL;
}

/* The head page stays, but as a frame like any other: Linux moves it, with the same counts. */
static void retag_head_frame(struct hvo_machine *m, hvo_pfn_t pfn)
{
	hvo_pfn_t frame = m->ops->backing(m->ctx, hvo_block_head_page(block_of(pfn)));
	struct hvo_page *page = page_rw(m, frame);
	struct zone *z;

	if (!(page_flags(page) & HVO_PF_BOOT))
		return;
	page_clear_flags(page, HVO_PF_BOOT);
	counter_sub(&m->memmap_boot, 1);
	counter_add(&m->memmap, 1);
	z = zone_of(m, frame);
	lock_acquire(m, &z->lock);
	counter_set(&z->managed, z->managed + 1);
	lock_release(m, &z->lock);
}

/* Free the frames of the recorded backing that no page of the array shows any more. */
static void put_folded_backing(struct hvo_machine *m, const struct run_list *old, bool all)
{
	unsigned int i;
	uint64_t k;

	for (i = 0; i < old->nr; i++) {
		const struct hvo_remap *r = &old->runs[i];

		if (all) {
			vmemmap_put_frames(m, r->pfn, r->nr);
			continue;
		}
		for (k = 0; k < r->nr; k++)
			if (m->ops->backing(m->ctx, r->page + k) == HVO_SHARED_TAIL)
				vmemmap_put_frames(m, r->pfn + k, 1);
	}
}

/* A page whose runs were remapped only in part gets them back. */
static void undo_partial_fold(struct hvo_machine *m, const struct tails *t,
			      const struct run_list *old)
{
	struct hvo_remap r;
	unsigned int i, j, n;

	for (j = 0; j < 2; j++) {
		for (i = 0; i < old->nr && t->nr[j]; i++) {
			uint64_t start = old->runs[i].page, end = start + old->runs[i].nr;

			if (end <= t->page[j] || start >= t->page[j] + t->nr[j])
				continue;
			r.page = start > t->page[j] ? start : t->page[j];
			r.nr = min_u64(end, t->page[j] + t->nr[j]) - r.page;
			r.pfn = old->runs[i].pfn + (r.page - start);
			if (m->ops->backing(m->ctx, r.page) != HVO_SHARED_TAIL)
				continue;
			if (m->ops->remap(m->ctx, &r, 1, &n))
				machine_panic(m, "MEMMAP-2: undo failed", r.pfn);
		}
	}
}

static bool page_folded_whole(struct hvo_machine *m, const struct tails *t)
{
	return (!t->nr[0] || m->ops->backing(m->ctx, t->page[0]) == HVO_SHARED_TAIL) &&
	       m->ops->backing(m->ctx, t->page[1]) == HVO_SHARED_TAIL;
}

static unsigned int finish_optimize(struct hvo_machine *m, const hvo_pfn_t *pfns, unsigned int nr,
				    unsigned int order, const struct run_list *old, bool all)
{
	unsigned int i, folded = 0;

	for (i = 0; i < nr; i++) {
		struct tails t = tails_of(pfns[i], order);

		if (all || page_folded_whole(m, &t)) {
			page_add_flags(page_rw(m, pfns[i]), HVO_PF_OPTIMIZED);
			folded++;
			continue;
		}
		if (page_folded_in_part(m, &t))
			undo_partial_fold(m, &t, old);
		fold_set(m, pfns[i], order, (uint8_t)order);
	}
	m->ops->flush(m->ctx);
	put_folded_backing(m, old, all);
	for (i = 0; i < nr; i++)
		if (page_flags(page_ro(m, pfns[i])) & HVO_PF_OPTIMIZED)
			retag_head_frame(m, pfns[i]);
	counter_add(&m->folds, (uint64_t)folded << (order - HVO_BLOCK_ORDER));
	return folded;
}

unsigned int vmemmap_optimize(struct hvo_machine *m, const hvo_pfn_t *pfns, unsigned int nr,
			      unsigned int order)
{
	struct run_list l = { m->runs, 0, NR_RUNS }, old = { m->undo, 0, NR_RUNS };
	unsigned int taken = 0, done = 0, folded;
	int rc = 0;

	for (; taken < nr; taken++) {
		struct tails t = tails_of(pfns[taken], order);
		struct run_list l_before = l, old_before = old;

		if (!run_add_backing(m, &old, t.page[0], t.nr[0]) ||
		    !run_add_backing(m, &old, t.page[1], t.nr[1]) ||
		    !run_add(&l, t.page[0], HVO_SHARED_TAIL, t.nr[0]) ||
		    !run_add(&l, t.page[1], HVO_SHARED_TAIL, t.nr[1])) {
			/* Cannot happen for the first one: the arrays hold a 1 GiB page. */
			l.nr = l_before.nr;
			old.nr = old_before.nr;
			break;
		}
		fold_set(m, pfns[taken], order, (uint8_t)(order | HVO_FOLDED));
	}
	if (!taken)
		return 0;
	m->ops->quiesce(m->ctx);
	rc = m->ops->remap(m->ctx, l.runs, l.nr, &done);
	if (rc)
		trace(m, HVO_EVENT_FOLD_FAILED, pfns[0], l.nr - done, (uint64_t)-rc);
	folded = finish_optimize(m, pfns, taken, order, &old, !rc);
	if (taken < nr && !rc)
		folded += vmemmap_optimize(m, pfns + taken, nr - taken, order);
	return folded;
}

/* ---- Linux mode: restore --------------------------------------------------------- */

/* Frames that the boot-time gigantic pages below a block of the node saved. */
static uint64_t boot_saved(const struct node *n, uint64_t block)
{
	hvo_pfn_t pfn = block_pfn(block);

	if (pfn <= n->boot_start)
		return 0;
	pfn = min_u64(pfn, n->boot_end);
	return ((pfn - n->boot_start) >> HVO_GIGA_ORDER) * (GIGA_MEMMAP - 1);
}

hvo_pfn_t vmemmap_home(const struct node *n, uint64_t page)
{
	uint64_t q = hvo_memmap_to_q(page), block = q >> 3, k = q & 7;
	uint64_t first = block_of(n->start), last = block_of(n->end);
	uint64_t from = block & ~UINT64_C(511), to = from + 512, base;

	/* Memory that was added later has none. */
	if (block < first || block >= last)
		return HVO_PFN_NONE;
	/* The part of this GiB that belongs to the node: heads first, then tails. */
	from = from < first ? first : from;
	to = min_u64(to, last);
	base = n->memmap_pfn + (from - first) * HVO_BLOCK_MEMMAP - boot_saved(n, from);
	if (block_pfn(from) >= n->boot_start && block_pfn(from) < n->boot_end)
		return block == from && !k ? base : HVO_PFN_NONE;
	if (!k)
		return base + (block - from);
	return base + (to - from) + (block - from) * HVO_BLOCK_TAILS + k - 1;
}

/* The frames that these descriptors had at the start, if they are free. */
static bool take_home(struct hvo_machine *m, unsigned int gfp, uint64_t page, uint64_t nr,
		      const struct node *n, hvo_pfn_t *ret)
{
	hvo_pfn_t pfn = vmemmap_home(n, page);
	struct zone *z;
	bool ok;

	if (pfn == HVO_PFN_NONE)
		return false;
	z = zone_of(m, pfn);
	lock_acquire(m, &z->lock);
	ok = z->nr_free >= nr + gfp_watermark(z, gfp) && zone_take_range(m, z, pfn, nr);
	lock_release(m, &z->lock);
	if (!ok)
		return false;
	set_backs(m, pfn, page, nr);
	counter_add(&m->memmap, nr);
	*ret = pfn;
	return true;
}

static bool gather_home(struct hvo_machine *m, unsigned int gfp, uint64_t page, uint64_t nr,
			const struct node *n, struct run_list *l)
{
	hvo_pfn_t pfn;

	if (!take_home(m, gfp, page, nr, n, &pfn))
		return false;
	if (run_add(l, page, pfn, nr))
		return true;
	vmemmap_put_frames(m, pfn, nr);
	return false;
}

/*
 * Linux mode: can a block be folded only after @target was, since the frames of its
 * descriptors are in there, or in one of which that is true? Many steps: say yes.
 */
static bool waits_for(struct hvo_machine *m, uint64_t block, uint64_t target, unsigned int *steps)
{
	uint64_t page = hvo_block_tail_page(block), last = block;
	unsigned int k;

	if (block == target || ++*steps > WAITS_STEPS)
		return true;
	for (k = 0; k < HVO_BLOCK_TAILS; k++) {
		hvo_pfn_t pfn = m->ops->backing(m->ctx, page + k);

		if (pfn == HVO_SHARED_TAIL || block_of(pfn) == block || block_of(pfn) == last)
			continue;
		last = block_of(pfn);
		if (waits_for(m, last, target, steps))
			return true;
	}
	return false;
}

/* A frame for descriptors of @target, not in a block that waits for it. */
static int alloc_not_waiting(struct hvo_machine *m, unsigned int gfp, int node, uint64_t target,
			     hvo_pfn_t *ret)
{
	uint64_t avoided[WAITS_AVOIDED];
	unsigned int nr = 0, steps = 0;
	struct zone *z;
	int rc;

	while (!(rc = alloc_block(m, gfp, 0, node, ret)) && !on_demand(m) &&
	       waits_for(m, block_of(*ret), target, &steps)) {
		z = zone_of(m, *ret);
		if (nr < WAITS_AVOIDED) {
			avoided[nr++] = block_of(*ret);
			lock_acquire(m, &z->lock);
			zone_isolate_block(m, z, block_of(*ret));
			lock_release(m, &z->lock);
		} else {
			rc = -HVO_ENOMEM;
		}
		free_block(m, *ret, 0);
		if (rc)
			break;
		steps = 0;
	}
	while (nr) {
		z = zone_of(m, block_pfn(avoided[--nr]));
		lock_acquire(m, &z->lock);
		zone_unisolate_block(m, z, avoided[nr]);
		lock_release(m, &z->lock);
	}
	return rc;
}

int vmemmap_take_frame(struct hvo_machine *m, unsigned int gfp, uint64_t page, hvo_pfn_t *ret)
{
	hvo_pfn_t described = hvo_memmap_to_q(page) * HVO_PAGES_PER_FRAME, pfn = 0;
	int rc;

	if (!on_demand(m) && take_home(m, gfp, page, 1, node_of(m, described), ret))
		return 0;
	rc = alloc_not_waiting(m, gfp | GFP_MEMMAP | GFP_ISOLATING,
			       m->sections[described >> HVO_SECTION_ORDER].node,
			       block_of(described), &pfn);
	if (rc)
		return rc;
	claim_block(m, pfn, 0, page, 1);
	*ret = pfn;
	return 0;
}

static uint64_t gather_page(struct hvo_machine *m, hvo_pfn_t pfn, const struct tails *t,
			    const struct hvo_restore_step *step, struct run_list *l)
{
	struct node *n = node_of(m, pfn);
	hvo_pfn_t own = pfn;
	uint64_t missing;
	unsigned int j;

	for (j = 0; j < 2; j++) {
		if (!t->nr[j])
			continue;
		if (step->source == HVO_RESTORE_CARVE) {
			if (!run_add(l, t->page[j], own, t->nr[j]))
				return nr_tails(t);
			own += t->nr[j];
			continue;
		}
		if (gather_home(m, step->gfp, t->page[j], t->nr[j], n, l))
			continue;
		missing = gather(m, step->gfp, zone_of(m, pfn)->node, t->page[j], t->nr[j], l);
		if (missing)
			return missing;
	}
	return 0;
}

/* Drop from the list all that lies behind a position in it, and free those frames. */
static void truncate_runs(struct hvo_machine *m, struct run_list *l, unsigned int nr,
			  uint64_t last_nr, bool put)
{
	while (l->nr > nr) {
		l->nr--;
		if (put)
			vmemmap_put_frames(m, l->runs[l->nr].pfn, l->runs[l->nr].nr);
	}
	if (nr && l->runs[nr - 1].nr > last_nr) {
		if (put)
			vmemmap_put_frames(m, l->runs[nr - 1].pfn + last_nr,
					   l->runs[nr - 1].nr - last_nr);
		l->runs[nr - 1].nr = last_nr;
	}
}

/* Fold the pages of one huge page again that a failed restore had mapped already. */
static void undo_partial_restore(struct hvo_machine *m, const struct tails *t)
{
	unsigned int j, n;
	uint64_t i;

	for (j = 0; j < 2; j++) {
		for (i = 0; i < t->nr[j]; i++) {
			struct hvo_remap r = { t->page[j] + i, HVO_SHARED_TAIL, 1 };

			if (m->ops->backing(m->ctx, r.page) == HVO_SHARED_TAIL)
				continue;
			while (i + r.nr < t->nr[j] &&
			       m->ops->backing(m->ctx, r.page + r.nr) != HVO_SHARED_TAIL)
				r.nr++;
			if (m->ops->remap(m->ctx, &r, 1, &n))
				machine_panic(m, "MEMMAP-2: undo failed", r.page);
			i += r.nr - 1;
		}
	}
}

static bool page_present(struct hvo_machine *m, const struct tails *t)
{
	unsigned int j;
	uint64_t i;

	for (j = 0; j < 2; j++)
		for (i = 0; i < t->nr[j]; i++)
			if (m->ops->backing(m->ctx, t->page[j] + i) == HVO_SHARED_TAIL)
				return false;
	return true;
}

/* The mapping failed after some runs: keep the pages that are complete, undo one. */
static unsigned int keep_complete(struct hvo_machine *m, const hvo_pfn_t *pfns, unsigned int nr,
				  unsigned int order, const struct run_list *l, bool put)
{
	unsigned int complete = 0, i;
	uint64_t k;

	while (complete < nr) {
		struct tails t = tails_of(pfns[complete], order);

		if (!page_present(m, &t))
			break;
		complete++;
	}
	for (i = complete; i < nr; i++) {
		struct tails t = tails_of(pfns[i], order);

		undo_partial_restore(m, &t);
	}
	m->ops->flush(m->ctx);
	for (i = 0; i < l->nr && put; i++)
		for (k = 0; k < l->runs[i].nr; k++)
			if (m->ops->backing(m->ctx, l->runs[i].page + k) == HVO_SHARED_TAIL)
				vmemmap_put_frames(m, l->runs[i].pfn + k, 1);
	return complete;
}

unsigned int vmemmap_restore(struct hvo_machine *m, const hvo_pfn_t *pfns, unsigned int nr,
			     unsigned int order, const struct hvo_restore_step *step,
			     uint64_t *ret_missing)
{
	struct run_list l = { m->runs, 0, NR_RUNS };
	bool put = step->source != HVO_RESTORE_CARVE;
	unsigned int taken, done = 0, i;
	int rc = 0;

	*ret_missing = 0;
	for (taken = 0; taken < nr; taken++) {
		struct tails t = tails_of(pfns[taken], order);
		unsigned int runs = l.nr;
		uint64_t last = l.nr ? l.runs[l.nr - 1].nr : 0;

		*ret_missing = gather_page(m, pfns[taken], &t, step, &l);
		if (*ret_missing) {
			truncate_runs(m, &l, runs, last, put);
			break;
		}
	}
	if (!taken)
		return 0;
	rc = map_some(m, &l, &done);
	if (rc) {
		trace(m, HVO_EVENT_PRESENT_FAILED, pfns[0], l.nr - done, (uint64_t)-rc);
		taken = keep_complete(m, pfns, taken, order, &l, put);
		*ret_missing = 0;
	} else {
		m->ops->flush(m->ctx);
	}
	for (i = 0; i < taken; i++) {
		fold_set(m, pfns[i], order, (uint8_t)order);
		page_clear_flags(page_rw(m, pfns[i]), HVO_PF_OPTIMIZED);
	}
	counter_add(&m->presents, (uint64_t)taken << (order - HVO_BLOCK_ORDER));
	return taken;
}

bool vmemmap_restore_heads(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order,
			   unsigned int part_order, const struct hvo_restore_step *step,
			   uint64_t *ret_missing)
{
	uint64_t stride = UINT64_C(1) << (part_order - HVO_BLOCK_ORDER), i;
	uint64_t nr = UINT64_C(1) << (order - HVO_BLOCK_ORDER);
	uint64_t page = hvo_block_head_page(block_of(pfn));
	uint64_t each = stride == 1 ? nr - 1 : 1;
	struct run_list l = { m->runs, 0, NR_RUNS };
	unsigned int done;
	int rc;

	*ret_missing = 0;
	for (i = stride; i < nr; i += each == 1 ? stride : each) {
		if (gather_home(m, step->gfp, page + i, each, node_of(m, pfn), &l))
			continue;
		*ret_missing = gather(m, step->gfp, zone_of(m, pfn)->node, page + i, each, &l);
		if (*ret_missing) {
			put_runs(m, l.runs, l.nr);
			return false;
		}
	}
	rc = map_runs(m, &l, &done);
	if (rc) {
		trace(m, HVO_EVENT_PRESENT_FAILED, pfn, l.nr - done, (uint64_t)-rc);
		put_runs(m, l.runs, l.nr);
	}
	return !rc;
}

void vmemmap_free_carved(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	struct tails t = tails_of(pfn, order);
	uint64_t keep = nr_tails(&t), nr = UINT64_C(1) << order, first, i;
	struct zone *z = zone_of(m, pfn);

	counter_add(&m->memmap, keep);
	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_TAIL, 0);
	set_backs(m, pfn, t.page[0], t.nr[0]);
	set_backs(m, pfn + t.nr[0], t.page[1], t.nr[1]);
	vmemmap_note_carved(m, block_of(pfn), (keep + HVO_BLOCK_FRAMES - 1) / HVO_BLOCK_FRAMES);
	for (first = 0; first < nr; first += HVO_BLOCK_FRAMES) {
		uint64_t used = keep > first ? min_u64(keep - first, HVO_BLOCK_FRAMES) : 0;
		hvo_pfn_t block = pfn + first;

		for (i = 0; i < used; i++)
			page_set_state(m, block + i, page_rw(m, block + i), HVO_PAGE_MEMMAP, 0);
		if (used)
			fold_set(m, block, HVO_BLOCK_ORDER, 0);
		else
			fold_set(m, block, HVO_BLOCK_ORDER, HVO_BLOCK_ORDER);
		lock_acquire(m, &z->lock);
		if (used)
			zone_open_block(m, z, block_of(block), (unsigned int)used,
					MIGRATE_UNMOVABLE, BLOCK_CARVED);
		else
			zone_put_whole(m, z, block, HVO_BLOCK_ORDER);
		lock_release(m, &z->lock);
	}
}

/* ---- coming online --------------------------------------------------------------- */

hvo_pfn_t vmemmap_boot_gigantic(struct hvo_machine *m, hvo_pfn_t pfn)
{
	struct hvo_page *page = page_rw(m, pfn);

	fold_set(m, pfn, HVO_GIGA_ORDER, HVO_GIGA_ORDER | HVO_FOLDED);
	page_set_state(m, pfn, page, HVO_PAGE_USED, HVO_GIGA_ORDER);
	page_set_flags(page, HVO_PF_OPTIMIZED);
	return pfn + (UINT64_C(1) << HVO_GIGA_ORDER);
}

/* Map the descriptor pages of one GiB's part of the node; heads, and in Linux mode tails. */
static int online_gib(struct hvo_machine *m, const struct node *n, uint64_t from, uint64_t to)
{
	uint64_t first = block_of(n->start);
	struct hvo_remap runs[2];
	unsigned int done, nr = 1;

	runs[0] = (struct hvo_remap){ hvo_block_head_page(from), n->memmap_pfn + (from - first),
				      to - from };
	if (!on_demand(m)) {
		runs[0].pfn = vmemmap_home(n, runs[0].page);
		if (block_pfn(from) >= n->boot_start && block_pfn(from) < n->boot_end) {
			runs[0].nr = 1;
			return m->ops->remap(m->ctx, runs, 1, &done);
		}
		runs[1].page = hvo_block_tail_page(from);
		runs[1].pfn = vmemmap_home(n, runs[1].page);
		runs[1].nr = (to - from) * HVO_BLOCK_TAILS;
		nr = 2;
		if (runs[0].page + runs[0].nr == runs[1].page) {
			runs[0].nr += runs[1].nr;
			nr = 1;
		}
	}
	return m->ops->remap(m->ctx, runs, nr, &done);
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

/* The blocks that hold the node's descriptors. The last one has room for more. */
static int online_memmap_blocks(struct hvo_machine *m, struct node *n)
{
	uint64_t left = n->memmap_frames;
	struct zone *z = &n->zones[HVO_ZONE_NORMAL];
	hvo_pfn_t pfn = n->memmap_pfn;
	int rc;

	for (; left; pfn += HVO_BLOCK_FRAMES) {
		uint64_t used = min_u64(left, HVO_BLOCK_FRAMES), tails = 0;

		left -= used;
		if (on_demand(m) && used == HVO_BLOCK_FRAMES) {
			/* Whole and folded, one descriptor for all of it. */
			page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_MEMMAP, HVO_BLOCK_ORDER);
			page_set_flags(page_rw(m, pfn), HVO_PF_BOOT);
			fold_set(m, pfn, HVO_BLOCK_ORDER, HVO_BLOCK_ORDER | HVO_FOLDED);
			continue;
		}
		if (on_demand(m)) {
			struct hvo_remap run = { hvo_block_tail_page(block_of(pfn)), pfn + used,
						 HVO_BLOCK_TAILS };
			unsigned int done;

			tails = HVO_BLOCK_TAILS;
			rc = map_runs(m, &(struct run_list){ &run, 1, 1 }, &done);
			if (rc)
				return rc;
		}
		online_frames(m, pfn, used + tails);
		set_backs(m, pfn + used, hvo_block_tail_page(block_of(pfn)), tails);
		fold_set(m, pfn, HVO_BLOCK_ORDER, 0);
		counter_add(&m->memmap_boot, tails);
		z->managed -= tails;
		zone_open_block(m, z, block_of(pfn), (unsigned int)(used + tails),
				MIGRATE_UNMOVABLE, 0);
	}
	return 0;
}

/*
 * Which page each of the node's frames backs. In on-demand mode those that fill a whole
 * block have no descriptors to say it in.
 */
static void online_backs(struct hvo_machine *m, const struct node *n)
{
	uint64_t first = block_of(n->start), block, k, page;
	hvo_pfn_t pfn;

	for (block = first; block < block_of(n->end); block++) {
		for (k = 0; k < (on_demand(m) ? 1 : HVO_BLOCK_MEMMAP); k++) {
			page = hvo_q_to_memmap(block * HVO_BLOCK_MEMMAP + k);
			pfn = on_demand(m) ? n->memmap_pfn + (block - first) :
					     vmemmap_home(n, page);
			if (pfn != HVO_PFN_NONE && !hvo_fold_byte(&m->mm, block_of(pfn)))
				set_backs(m, pfn, page, 1);
		}
	}
}

int vmemmap_online_node(struct hvo_machine *m, struct node *n)
{
	uint64_t block = block_of(n->start), last = block_of(n->end), to;
	int rc = 0;

	for (; block < last && !rc; block = to) {
		to = min_u64((block & ~UINT64_C(511)) + 512, last);
		rc = online_gib(m, n, block, to);
	}
	if (rc)
		return rc;
	m->ops->flush(m->ctx);
	counter_add(&m->memmap_boot, n->memmap_frames);
	n->zones[HVO_ZONE_NORMAL].managed -= n->memmap_frames;
	rc = online_memmap_blocks(m, n);
	if (!rc)
		online_backs(m, n);
	return rc;
}

/* ---- hot-plug ---------------------------------------------------------------------- */

#define SECTION_BLOCKS (HVO_SECTION_FRAMES >> HVO_BLOCK_ORDER)

uint64_t vmemmap_self_hosted(const struct hvo_machine *m)
{
	return SECTION_BLOCKS * (on_demand(m) ? 1 : HVO_BLOCK_MEMMAP) +
	       (on_demand(m) ? HVO_BLOCK_TAILS : 0);
}

/* Where the part of [pfn, end) that is in one GiB, and so has its pages together, ends. */
static hvo_pfn_t part_end(hvo_pfn_t pfn, hvo_pfn_t end)
{
	return min_u64((pfn | ((UINT64_C(1) << HVO_GIGA_ORDER) - 1)) + 1, end);
}

/* The pages of its descriptors: heads, and the tails of all its blocks. */
static struct tails part_pages(hvo_pfn_t pfn, hvo_pfn_t end)
{
	uint64_t nr = block_of(end) - block_of(pfn);

	return (struct tails){ { hvo_block_head_page(block_of(pfn)),
				 hvo_block_tail_page(block_of(pfn)) },
			       { nr, nr * HVO_BLOCK_TAILS } };
}

/* Frames for those of the pages [page, page + nr) that have none. */
static bool gather_missing(struct hvo_machine *m, int node, uint64_t page, uint64_t nr,
			   struct run_list *l)
{
	uint64_t end = page + nr, from;

	while (page < end) {
		if (m->ops->backing(m->ctx, page) != HVO_SHARED_TAIL) {
			page++;
			continue;
		}
		for (from = page; page < end && m->ops->backing(m->ctx, page) == HVO_SHARED_TAIL;)
			page++;
		if (gather(m, HVO_GFP_KERNEL | HVO_GFP_RETRY_MAYFAIL | HVO_GFP_NOWARN, node, from,
			   page - from, l))
			return false;
	}
	return true;
}

static bool gather_range(struct hvo_machine *m, int node, hvo_pfn_t pfn, hvo_pfn_t end,
			 struct run_list *l)
{
	for (; pfn < end; pfn = part_end(pfn, end)) {
		struct tails t = part_pages(pfn, part_end(pfn, end));

		if (!gather_missing(m, node, t.page[0], t.nr[0], l) ||
		    (!on_demand(m) && !gather_missing(m, node, t.page[1], t.nr[1], l)))
			return false;
	}
	return true;
}

/* Each section hosts its own, so that it can go alone. */
static bool host_range(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end, struct run_list *l)
{
	for (; pfn < end; pfn += HVO_SECTION_FRAMES) {
		struct tails t = part_pages(pfn, pfn + HVO_SECTION_FRAMES);

		if (!run_add(l, t.page[0], pfn, t.nr[0]) ||
		    !run_add(l, t.page[1], pfn + t.nr[0], on_demand(m) ? HVO_BLOCK_TAILS : t.nr[1]))
			return false;
	}
	return true;
}

/* The section's first frames become descriptor frames, for good. */
static void host_itself(struct hvo_machine *m, hvo_pfn_t pfn)
{
	struct tails t = part_pages(pfn, pfn + HVO_SECTION_FRAMES);

	online_frames(m, pfn, vmemmap_self_hosted(m));
	set_backs(m, pfn, t.page[0], t.nr[0]);
	set_backs(m, pfn + t.nr[0], t.page[1], vmemmap_self_hosted(m) - t.nr[0]);
	m->blocks[block_of(pfn)].flags = BLOCK_CUT;
	fold_set(m, pfn, HVO_BLOCK_ORDER, 0);
}

/* What the blocks of offline memory are in the fold map. */
static void fold_bytes_offline(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end)
{
	uint8_t whole = HVO_BLOCK_ORDER | (on_demand(m) ? HVO_FOLDED : 0);

	for (; pfn < end; pfn += HVO_BLOCK_FRAMES)
		fold_set(m, pfn, HVO_BLOCK_ORDER,
			 m->blocks[block_of(pfn)].flags & BLOCK_CUT ? 0 : whole);
}

int vmemmap_add_range(struct hvo_machine *m, int node, hvo_pfn_t start, hvo_pfn_t end, bool self)
{
	struct run_list l = { m->runs, 0, NR_RUNS };
	unsigned int done;
	hvo_pfn_t pfn;
	int rc = -HVO_ENOMEM;

	if (self ? host_range(m, start, end, &l) : gather_range(m, node, start, end, &l))
		rc = map_runs(m, &l, &done);
	if (rc) {
		if (!self)
			put_runs(m, l.runs, l.nr);
		return rc;
	}
	for (pfn = start; pfn < end && self; pfn += HVO_SECTION_FRAMES)
		host_itself(m, pfn);
	fold_bytes_offline(m, start, end);
	return 0;
}

/* Frames of whole blocks, set aside at the start, cannot be had singly: they stay, empty. */
static bool stays(struct hvo_machine *m, hvo_pfn_t frame)
{
	return hvo_fold_byte(&m->mm, block_of(frame));
}

/* What is to be folded of pages, and what backs it now. */
static bool collect_backing(struct hvo_machine *m, uint64_t page, uint64_t nr, struct run_list *l,
			    struct run_list *old)
{
	for (; nr; page++, nr--) {
		hvo_pfn_t frame = m->ops->backing(m->ctx, page);

		if (frame == HVO_SHARED_TAIL || stays(m, frame))
			continue;
		if (!run_add(old, page, frame, 1) || !run_add(l, page, HVO_SHARED_TAIL, 1))
			return false;
	}
	return true;
}

/*
 * The first @done runs get back what they had, in one call: that does not fail. Both lists
 * have the same pages in the same order.
 */
static void undo_remove(struct hvo_machine *m, const struct run_list *l, unsigned int done,
			const struct run_list *old)
{
	unsigned int i, nr = 0, n;
	uint64_t pages = 0;

	for (i = 0; i < done; i++)
		pages += l->runs[i].nr;
	for (; pages; nr++)
		pages -= old->runs[nr].nr;
	if (!nr)
		return;
	if (m->ops->remap(m->ctx, old->runs, nr, &n))
		machine_panic(m, "MEMMAP-2: undo failed", old->runs[0].pfn);
	m->ops->flush(m->ctx);
}

/* Heads that keep their frames say nothing any more. */
static void clear_staying(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end)
{
	for (; pfn < end; pfn += HVO_BLOCK_FRAMES) {
		hvo_pfn_t frame = m->ops->backing(m->ctx, hvo_block_head_page(block_of(pfn)));

		if (frame != HVO_SHARED_TAIL)
			m->ops->zero(m->ctx, frame, 1);
	}
}

/* Free the frames of a run; what lies in the range itself goes with it. */
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
	unsigned int done = 0, i;
	hvo_pfn_t pfn;
	int rc = 0;

	for (pfn = start; pfn < end; pfn = part_end(pfn, end)) {
		struct tails t = part_pages(pfn, part_end(pfn, end));

		if (!collect_backing(m, t.page[0], t.nr[0], &l, &old) ||
		    !collect_backing(m, t.page[1], t.nr[1], &l, &old))
			return -HVO_ENOMEM;
	}
	for (pfn = start; pfn < end; pfn += HVO_SECTION_FRAMES)
		fold_set(m, pfn, HVO_SECTION_ORDER, HVO_BLOCK_ORDER | HVO_FOLDED);
	m->ops->quiesce(m->ctx);
	if (l.nr)
		rc = m->ops->remap(m->ctx, l.runs, l.nr, &done);
	if (rc) {
		undo_remove(m, &l, done, &old);
		fold_bytes_offline(m, start, end);
		return rc;
	}
	m->ops->flush(m->ctx);
	clear_staying(m, start, end);
	for (i = 0; i < old.nr; i++)
		put_outside(m, &old.runs[i], start, end);
	for (pfn = start; pfn < end; pfn += HVO_BLOCK_FRAMES)
		m->blocks[block_of(pfn)] = (struct block){ 0 };
	return 0;
}
