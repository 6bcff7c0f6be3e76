/* SPDX-License-Identifier: MIT */
/*
 * The sim platform: page tables, the software TLB, and what goes through them.
 *
 * States of an array page: shared tail (no table, or a read-only PTE), or a frame
 * (PTE, or part of a PMD leaf). remap() moves between them; between it and
 * flush() the TLB may show what was there before. A PMD without a table becomes a
 * leaf when a run covers it with neighbouring, aligned frames; a part of a leaf is
 * changed by splitting it. Tables are never freed.
 *
 * Locks: sim->lock around everything here. Faults are raised after it is dropped.
 *
 * In Linux: remap is mm/hugetlb_vmemmap.c vmemmap_remap_range() with
 * vmemmap_remap_pte() and vmemmap_restore_pte(); its leaves are those of
 * arch/x86/mm/init_64.c vmemmap_populate(); flush is flush_tlb_all().
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "platform/sim/internal.h"

#define PTE_TAIL (HVO_MMU_P | HVO_MMU_ACCESSED | HVO_MMU_NX)
#define PTE_FRAME (PTE_TAIL | HVO_MMU_RW | HVO_MMU_DIRTY)

/* A hit is thrown out, as if something had needed the entry, one time in so many. */
#define EVICT_ONE_IN 16

/* ---- table frames ------------------------------------------------------- */

static uint64_t *table(void *ctx, uint64_t frame)
{
	const struct hvo_sim *sim = (const struct hvo_sim *)ctx;

	/* Frames are page aligned. */
	return (uint64_t *)(void *)hvo_sim_bytes(sim, frame);
}

static int table_alloc(void *ctx, uint64_t *ret_frame)
{
	struct hvo_sim *sim = (struct hvo_sim *)ctx;

	if (sim->tables_free) {
		*ret_frame = sim->tables_free;
		sim->tables_free = *table(sim, *ret_frame);
	} else if (sim->tables_fresh < hvo_sim_all_frames(sim)) {
		/* Not linked before, so that the host need not back them all. */
		*ret_frame = sim->tables_fresh++;
	} else {
		return -HVO_ENOMEM;
	}
	sim->tables_used++;
	return 0;
}

static void table_free(void *ctx, uint64_t frame)
{
	struct hvo_sim *sim = (struct hvo_sim *)ctx;

	*table(sim, frame) = sim->tables_free;
	sim->tables_free = frame;
	sim->tables_used--;
}

int hvo_sim_tables_init(struct hvo_sim *sim)
{
	sim->tables_fresh = hvo_sim_tail_frame(sim) + 1;
	sim->mmu.fill = hvo_sim_tail_frame(sim) << HVO_FRAME_SHIFT | PTE_TAIL;
	sim->mmu.table = table;
	sim->mmu.table_alloc = table_alloc;
	sim->mmu.table_free = table_free;
	sim->mmu.ctx = sim;
	return hvo_mmu_init(&sim->mmu);
}

/* ---- remap ---------------------------------------------------------------- */

static uint64_t page_addr(uint64_t page)
{
	return HVO_SIM_VADDR + (page << HVO_FRAME_SHIFT);
}

static uint64_t addr_page(uint64_t addr)
{
	return (addr - HVO_SIM_VADDR) >> HVO_FRAME_SHIFT;
}

static uint64_t frame_pte(uint64_t frame)
{
	return frame << HVO_FRAME_SHIFT | PTE_FRAME;
}

struct change {
	struct hvo_sim *sim;
	const struct hvo_remap *run;
};

/* The frame that the run puts behind an address in it. */
static uint64_t run_frame(const struct hvo_remap *run, uint64_t addr)
{
	return run->pfn + (addr_page(addr) - run->page);
}

static bool leaf_fits(const struct hvo_remap *run, uint64_t addr, bool whole)
{
	return whole && !(run_frame(run, addr) & (HVO_PAGEBLOCK_FRAMES - 1));
}

/*
 * First pass: get every table that the second will need.
 *
 * A leaf that goes away whole is split too while there are table frames, so that
 * bringing it back page by page, from wherever, needs none. Without one it
 * becomes absent again in the second pass: so taking back a leaf that was just
 * mapped never fails.
 */
static enum hvo_mmu_step prepare_pmd(void *arg, uint64_t addr, uint64_t *entry, bool whole)
{
	const struct change *change = (const struct change *)arg;
	bool leaf = hvo_mmu_get(entry) & HVO_MMU_P;

	if (change->run->pfn == HVO_SHARED_TAIL) {
		if (!leaf)
			return HVO_MMU_NEXT;
		return whole ? HVO_MMU_TRY_TABLE : HVO_MMU_TABLE;
	}
	return leaf_fits(change->run, addr, whole) ? HVO_MMU_NEXT : HVO_MMU_TABLE;
}

static enum hvo_mmu_step apply_pmd(void *arg, uint64_t addr, uint64_t *entry, bool whole)
{
	const struct change *change = (const struct change *)arg;

	/* After the first pass what is left here is absent, or goes as a whole. */
	(void)whole;
	if (change->run->pfn == HVO_SHARED_TAIL)
		hvo_mmu_set(entry, 0);
	else
		hvo_mmu_set(entry, frame_pte(run_frame(change->run, addr)) | HVO_MMU_PS);
	return HVO_MMU_NEXT;
}

static int apply_pte(void *arg, uint64_t addr, uint64_t *entry)
{
	const struct change *change = (const struct change *)arg;

	if (change->run->pfn == HVO_SHARED_TAIL)
		hvo_mmu_set(entry, change->sim->mmu.fill);
	else
		hvo_mmu_set(entry, frame_pte(run_frame(change->run, addr)));
	return 0;
}

static uint64_t record_now(const struct hvo_sim *sim, uint64_t pfn_plus_one)
{
	/* Plus one: 0 in these bits is for "never". Wrapping only blurs a message. */
	return (sim->flushes + 1) << HVO_SIM_RECORD_BITS | pfn_plus_one;
}

static bool flush_owed(const struct hvo_sim *sim, uint64_t page)
{
	return (sim->records[page] & ~HVO_SIM_RECORD_MASK) == record_now(sim, 0);
}

static int remap_run(struct hvo_sim *sim, const struct hvo_remap *run)
{
	struct change change = { .sim = sim, .run = run };
	struct hvo_mmu_walk walk = {
		.start = page_addr(run->page),
		.end = page_addr(run->page + run->nr),
		/* What has no tables shows the shared tail already. */
		.flags = run->pfn == HVO_SHARED_TAIL ? 0 : HVO_MMU_CREATE,
		.pmd = prepare_pmd,
		.arg = &change,
	};
	uint64_t i;
	int err;

	err = hvo_mmu_walk(&sim->mmu, &walk, NULL);
	if (err)
		return err;

	walk.flags = 0;
	walk.pmd = apply_pmd;
	walk.pte = apply_pte;
	err = hvo_mmu_walk(&sim->mmu, &walk, NULL);
	if (err)
		return err;

	for (i = 0; i < run->nr; i++)
		sim->records[run->page + i] =
			record_now(sim, run->pfn == HVO_SHARED_TAIL ? 0 : run->pfn + i + 1);
	sim->remapped_pages += run->nr;
	return 0;
}

static void owe_flush(struct hvo_sim *sim)
{
	pthread_t self = pthread_self();

	if (sched_self()) {
		sim->threads_owing |= 1u << sched_self();
		return;
	}
	if (sim->owed && !pthread_equal(sim->owing, self))
		sim->owed_by_many = true;
	sim->owed = true;
	sim->owing = self;
}

int hvo_sim_remap(void *ctx, const struct hvo_remap *runs, unsigned int nr, unsigned int *ret_done)
{
	struct hvo_sim *sim = (struct hvo_sim *)ctx;
	unsigned int i, pass = nr;
	bool way_back;
	int err = 0;

	*ret_done = 0;
	hvo_sim_call(sim, HVO_SIM_REMAP, HVO_PFN_NONE, nr);
	for (i = 0; i < nr; i++) {
		if (runs[i].page >= sim->nr_pages || runs[i].nr > sim->nr_pages - runs[i].page)
			hvo_sim_fault(sim, HVO_SIM_PANIC, "remap() outside the array",
				      runs[i].page);
		if (runs[i].pfn != HVO_SHARED_TAIL &&
		    (runs[i].pfn >= sim->nr_frames || runs[i].nr > sim->nr_frames - runs[i].pfn))
			hvo_sim_fault(sim, HVO_SIM_PANIC, "remap() to frames outside the arena",
				      runs[i].pfn);
	}

	way_back = hvo_sim_is_way_back(sim, runs, nr);
	if (!way_back)
		pass = hvo_sim_pass(sim, nr);
	pthread_mutex_lock(&sim->lock);
	for (i = 0; i < pass; i++) {
		sim->remaps++;
		err = remap_run(sim, &runs[i]);
		if (err)
			break;
		owe_flush(sim);
	}
	pthread_mutex_unlock(&sim->lock);
	*ret_done = i;
	if (!way_back)
		hvo_sim_remember(sim, runs, i);
	return err || pass == nr ? err : -HVO_ENOMEM;
}

void hvo_sim_flush(void *ctx)
{
	struct hvo_sim *sim = (struct hvo_sim *)ctx;

	hvo_sim_call(sim, HVO_SIM_FLUSH, HVO_PFN_NONE, 0);
	pthread_mutex_lock(&sim->lock);
	sim->flushes++;
	sim->owed = false;
	sim->owed_by_many = false;
	sim->threads_owing = 0;
	pthread_mutex_unlock(&sim->lock);
}

bool hvo_sim_owes_flush(const struct hvo_sim *sim)
{
	return sim->threads_owing >> sched_self() & 1;
}

/* ---- translate -------------------------------------------------------------- */

/*
 * Whether this thread may use an entry that the tables have moved on from. Another
 * CPU's reader may until flush() returns: that is the contract of remap(). Who
 * remapped must flush first; and a write would go to a frame that has been taken
 * away, but where another one took its place: that is a move, and who writes knows. With
 * several who owe a flush nobody knows whose page this is.
 */
static bool may_be_stale(const struct hvo_sim *sim, bool write, uint64_t old_pte, uint64_t pte)
{
	if (write && !(old_pte & pte & HVO_MMU_RW))
		return false;
	if (sched_self())
		return sim->threads_owing & ~(1u << sched_self());
	return sim->owed && (sim->owed_by_many || !pthread_equal(sim->owing, pthread_self()));
}

/* The PTE that an access to an array page goes through; NULL or what is wrong. */
static const char *access_page(struct hvo_sim *sim, unsigned int thread, uint64_t page, bool write,
			       uint64_t *ret_pte, enum hvo_sim_fault *ret_fault)
{
	struct hvo_sim_tlb_entry *entry =
		&sim->tlb[thread * sim->opt.tlb_entries + (page & (sim->opt.tlb_entries - 1))];
	bool has = entry->page == page + 1 && entry->flushes == sim->flushes;
	bool current = has && entry->remaps == sim->remaps;
	/* Tables that nobody changed say what they said. */
	uint64_t pte = current ? entry->pte : hvo_mmu_lookup(&sim->mmu, page_addr(page));

	if (has && hvo_sim_random(&sim->random) % EVICT_ONE_IN) {
		sim->tlb_hits++;
		if (entry->pte != pte && !may_be_stale(sim, write, entry->pte, pte)) {
			*ret_fault = HVO_SIM_STALE_TLB;
			return flush_owed(sim, page) ?
				       "access through a stale TLB entry" :
				       "TLB and page tables differ with no flush owed";
		}
		if (entry->pte == pte)
			entry->remaps = sim->remaps;
		pte = entry->pte;
	} else {
		sim->tlb_misses++;
		if (!(pte & HVO_MMU_P)) {
			*ret_fault = HVO_SIM_NOT_PRESENT;
			return "access to an array page that nothing backs";
		}
		entry->page = page + 1;
		entry->pte = pte;
		entry->flushes = sim->flushes;
		entry->remaps = sim->remaps;
	}
	if (write && !(pte & HVO_MMU_RW)) {
		*ret_fault = HVO_SIM_WRITE_TO_TAIL;
		return "write to a read-only descriptor page";
	}
	*ret_pte = pte;
	return NULL;
}

/* A thread's reader's section has the address of descriptors in a frame from now on. */
static void note_read(struct hvo_sim *sim, unsigned int thread, uint64_t frame)
{
	uint32_t section = sched_section(sched_current(), thread), i;
	struct hvo_sim_reading *r = &sim->reading[thread];

	if (!section || frame >= sim->nr_frames)
		return;
	if (r->section != section) {
		r->section = section;
		r->nr = 0;
	}
	for (i = 0; i < r->nr && i < HVO_SIM_READ_FRAMES; i++)
		if (r->frames[i] == frame)
			return;
	r->frames[r->nr++ % HVO_SIM_READ_FRAMES] = frame;
}

bool hvo_sim_is_read(const struct hvo_sim *sim, hvo_pfn_t pfn, uint64_t nr)
{
	const struct hvo_sim_reading *r;
	unsigned int t;
	uint32_t i;

	for (t = 0; sched_self() && t < SCHED_THREADS; t++) {
		r = &sim->reading[t];
		if (!r->nr || r->section != sched_section(sched_current(), t))
			continue;
		for (i = 0; i < r->nr && i < HVO_SIM_READ_FRAMES; i++)
			if (r->frames[i] - pfn < nr)
				return true;
	}
	return false;
}

/* Are there descriptors in a frame, by the table? */
static bool in_table(const struct hvo_memmap *mm, uint64_t frame)
{
	uint64_t slot;

	for (slot = 0; slot < mm->nr_frames / HVO_PAGES_PER_FRAME; slot++)
		if (__atomic_load_n(&mm->table[slot], __ATOMIC_RELAXED) == frame + 1)
			return true;
	return false;
}

/*
 * A descriptor of the table layout, in a frame or, as heads are, beside all frames. Between the word
 * and the descriptor that page may have moved: only a reader's section keeps the frame.
 */
static void *translate_direct(struct hvo_sim *sim, const void *addr, bool write)
{
	uint64_t frame = ((uintptr_t)addr - (uintptr_t)sim->memory) >> HVO_FRAME_SHIFT;
	unsigned int thread = sched_self();

	if (thread && frame < sim->nr_frames)
		note_read(sim, thread - 1, frame);
	if (thread)
		hvo_step(STEP_TRANSLATE, addr);
	if (frame >= sim->nr_frames)
		return (void *)(uintptr_t)addr;
	if (thread && sim->machine && !sched_section(sched_current(), thread - 1) &&
	    !in_table(hvo_machine_memmap(sim->machine), frame))
		hvo_sim_fault(sim, HVO_SIM_STALE_TLB,
			      "access to descriptors that moved, and no reader's section", frame);
	if (write)
		hvo_sim_dirty(sim, frame, 1);
	return (void *)(uintptr_t)addr;
}

void *hvo_sim_translate(void *ctx, const void *addr, bool write)
{
	struct hvo_sim *sim = (struct hvo_sim *)ctx;
	uint64_t offset = (uint64_t)((uintptr_t)addr - (uintptr_t)sim->array);
	uint64_t page = offset >> HVO_FRAME_SHIFT;
	enum hvo_sim_fault fault = HVO_SIM_NOT_PRESENT;
	unsigned int thread = sched_self();
	uint64_t pte = 0;
	const char *what;

	if (page >= sim->nr_pages && sim->table)
		return translate_direct(sim, addr, write);
	if (page >= sim->nr_pages)
		hvo_sim_fault(sim, fault, "access outside the descriptor array", page);
	if (thread)
		hvo_step(STEP_TRANSLATE, addr);
	pthread_mutex_lock(&sim->lock);
	what = access_page(sim, thread, page, write, &pte, &fault);
	pthread_mutex_unlock(&sim->lock);
	if (what)
		hvo_sim_fault(sim, fault, what, page);
	if (thread)
		note_read(sim, thread - 1, hvo_mmu_frame(pte));
	if (write)
		hvo_sim_dirty(sim, hvo_mmu_frame(pte), 1);
	return hvo_sim_bytes(sim, hvo_mmu_frame(pte)) + (offset & (HVO_FRAME_SIZE - 1));
}

/* ---- backing and audit -------------------------------------------------------- */

static uint64_t real_backing(const struct hvo_sim *sim, uint64_t page)
{
	uint64_t pte = hvo_mmu_lookup(&sim->mmu, page_addr(page));
	uint64_t frame = hvo_mmu_frame(pte);

	if (pte == sim->mmu.fill)
		return HVO_SHARED_TAIL;
	if (frame < sim->nr_frames && pte == frame_pte(frame))
		return frame;
	return HVO_SIM_NO_BACKING;
}

hvo_pfn_t hvo_sim_backing(void *ctx, uint64_t page)
{
	struct hvo_sim *sim = (struct hvo_sim *)ctx;
	uint64_t real;

	if (page >= sim->nr_pages)
		hvo_sim_fault(sim, HVO_SIM_PANIC, "backing() outside the array", page);
	pthread_mutex_lock(&sim->lock);
	real = real_backing(sim, page);
	pthread_mutex_unlock(&sim->lock);
	if (real == HVO_SIM_NO_BACKING)
		hvo_sim_fault(sim, HVO_SIM_NOT_PRESENT, "backing() of a page without one", page);
	return real;
}

/*
 * Against the flat record of what remap() was asked for, from the first page to
 * the last. The lock is dropped for @mismatch, which may use the sim.
 */
void hvo_sim_audit(void *ctx,
		   void (*mismatch)(void *arg, uint64_t page, uint64_t recorded, uint64_t real),
		   void *arg)
{
	struct hvo_sim *sim = (struct hvo_sim *)ctx;
	uint64_t page, recorded, real;

	pthread_mutex_lock(&sim->lock);
	for (page = 0; page < sim->nr_pages; page++) {
		recorded = sim->records[page] & HVO_SIM_RECORD_MASK;
		recorded = recorded ? recorded - 1 : HVO_SHARED_TAIL;
		real = real_backing(sim, page);
		if (recorded == real)
			continue;
		pthread_mutex_unlock(&sim->lock);
		mismatch(arg, page, recorded, real);
		pthread_mutex_lock(&sim->lock);
	}
	pthread_mutex_unlock(&sim->lock);
}
