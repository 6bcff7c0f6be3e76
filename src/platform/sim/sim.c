/* SPDX-License-Identifier: MIT */
/*
 * The sim platform: the public calls of include/hvo/sim.h, and faults.
 *
 * States: open (hvo_sim_open), with a machine (hvo_sim_create), closed. After a
 * fault that on_fault left with longjmp() a sim can only be closed.
 *
 * Locks: the statistics take sim->lock; the rest is the caller's thread alone.
 *
 * In Linux: a fault is what arch/x86/mm/fault.c page_fault_oops() and BUG() do.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/sized.h"
#include "platform/sim/internal.h"

#define TLB_ENTRIES 64u
#define SPIN_LIMIT UINT64_C(100000000)

/* More would leave no host addresses for anything else. */
#define MEMORY_MAX (UINT64_C(64) << 40)

/* ---- faults ----------------------------------------------------------------- */

void hvo_sim_fault(struct hvo_sim *sim, enum hvo_sim_fault fault, const char *what, uint64_t where)
{
	static const char *const names[] = {
		[HVO_SIM_NOT_PRESENT] = "not present",
		[HVO_SIM_WRITE_TO_TAIL] = "write to tail",
		[HVO_SIM_STALE_TLB] = "stale TLB",
		[HVO_SIM_PANIC] = "panic",
		[HVO_SIM_NOT_POPULATED] = "not populated",
	};

	sched_find(SCHED_FAULT, what, where);
	if (sim->opt.on_fault)
		sim->opt.on_fault(sim->opt.on_fault_arg, fault, what, where);
	fprintf(stderr, "hvo sim: %s: %s (%s %#" PRIx64 ", seed %" PRIu64 ")\n", names[fault], what,
		fault == HVO_SIM_PANIC || fault == HVO_SIM_NOT_POPULATED ? "pfn" : "array page",
		where, sim->opt.seed);
	abort();
}

static void sim_panic(void *ctx, const char *what, uint64_t pfn, const struct hvo_page *page)
	__attribute__((noreturn));

static void sim_panic(void *ctx, const char *what, uint64_t pfn, const struct hvo_page *page)
{
	(void)page;
	hvo_sim_fault((struct hvo_sim *)ctx, HVO_SIM_PANIC, what, pfn);
}

static void sim_trace(void *ctx, const struct hvo_event_record *event)
{
	const struct hvo_sim *sim = (const struct hvo_sim *)ctx;

	if (sim->trace)
		sim->trace(sim->trace_arg, event);
}

const struct hvo_platform_ops hvo_sim_ops = {
	.size = sizeof(hvo_sim_ops),
	.window = hvo_sim_window,
	.translate = hvo_sim_translate,
	.remap = hvo_sim_remap,
	.flush = hvo_sim_flush,
	.backing = hvo_sim_backing,
	.populate = hvo_sim_populate,
	.discard = hvo_sim_discard,
	.zero = hvo_sim_zero,
	.copy = hvo_sim_copy,
	.lock_wait = hvo_sim_lock_wait,
	.lock_wake = hvo_sim_lock_wake,
	.read_lock = hvo_sim_read_lock,
	.read_unlock = hvo_sim_read_unlock,
	.quiesce = hvo_sim_quiesce,
	.now_ns = hvo_sim_now_ns,
	.sleep_ns = hvo_sim_sleep_ns,
	.kick = hvo_sim_kick,
	.trace = sim_trace,
	.panic = sim_panic,
	.audit = hvo_sim_audit,
};

/* ---- open and close --------------------------------------------------------- */

/* Address space of the host that costs nothing until it is touched; NULL without. */
static void *reserve(uint64_t bytes, int prot)
{
	void *mem = mmap(NULL, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem == MAP_FAILED)
		return NULL;
	/* One touched frame must not cost 2 MiB. */
	(void)madvise(mem, bytes, MADV_NOHUGEPAGE);
	return mem;
}

/* Table frames for an array that is mapped in 4 KiB pages everywhere. */
static uint64_t tables_needed(uint64_t pages)
{
	uint64_t sum = 1;
	unsigned int level;

	for (level = HVO_MMU_PTE; level < HVO_MMU_PGD; level++) {
		pages = (pages + HVO_MMU_ENTRIES - 1) / HVO_MMU_ENTRIES;
		sum += pages;
	}
	return sum;
}

static int set_options(struct hvo_sim *sim, const struct hvo_config *cfg,
		       const struct hvo_sim_options *opt)
{
	int rc = opt ? SIZED_IN(&sim->opt, opt) : 0;

	if (rc)
		return rc;
	if (!cfg->memory_bytes || cfg->memory_bytes > MEMORY_MAX ||
	    cfg->hotplug_bytes > MEMORY_MAX || cfg->memory_bytes % HVO_SECTION_SIZE ||
	    cfg->hotplug_bytes % HVO_SECTION_SIZE)
		return -HVO_EINVAL;
	if (!sim->opt.tlb_entries)
		sim->opt.tlb_entries = TLB_ENTRIES;
	if (sim->opt.tlb_entries & (sim->opt.tlb_entries - 1))
		return -HVO_EINVAL;
	sim->nr_frames = (cfg->memory_bytes + cfg->hotplug_bytes) >> HVO_FRAME_SHIFT;
	sim->nr_pages = hvo_memmap_pages(cfg);
	if (!sim->nr_pages)
		return -HVO_EINVAL;
	sim->table = sim->nr_pages == 1;
	sim->nr_tables = sim->opt.table_frames;
	if (!sim->nr_tables)
		sim->nr_tables = tables_needed(sim->nr_pages);
	sim->random = sim->opt.seed;
	sim->spin_limit = SPIN_LIMIT;
	return 0;
}

static int map_memory(struct hvo_sim *sim)
{
	sim->memory = reserve(hvo_sim_all_frames(sim) * HVO_FRAME_SIZE, PROT_READ | PROT_WRITE);
	sim->array = reserve(sim->nr_pages * HVO_FRAME_SIZE, PROT_NONE);
	sim->records = reserve(sim->nr_pages * sizeof(*sim->records), PROT_READ | PROT_WRITE);
	sim->discarded = reserve(hvo_sim_bitmap_bytes(sim), PROT_READ | PROT_WRITE);
	sim->refused = reserve(hvo_sim_bitmap_bytes(sim), PROT_READ | PROT_WRITE);
	sim->tlb = calloc(1, hvo_sim_tlb_bytes(sim));
	if (!sim->memory || !sim->array || !sim->records || !sim->discarded || !sim->refused ||
	    !sim->tlb)
		return -HVO_ENOMEM;
	/* A stray write that slips past translate() still traps, in the host. */
	if (mprotect(hvo_sim_bytes(sim, hvo_sim_tail_frame(sim)), HVO_FRAME_SIZE, PROT_READ))
		return -HVO_ENOMEM;
	return hvo_sim_tables_init(sim);
}

int hvo_sim_open(const struct hvo_config *cfg, const struct hvo_sim_options *opt,
		 struct hvo_sim **ret)
{
	static uint64_t last_id;
	struct hvo_sim *sim;
	struct hvo_config c;
	int err = SIZED_IN(&c, cfg);

	if (err)
		return err;
	sim = calloc(1, sizeof(*sim));
	if (!sim)
		return -HVO_ENOMEM;
	if (pthread_mutex_init(&sim->lock, NULL)) {
		free(sim);
		return -HVO_ENOMEM;
	}
	sim->id = __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
	err = set_options(sim, &c, opt);
	if (!err)
		err = map_memory(sim);
	if (!err && sim->opt.failures.at)
		hvo_sim_fail(sim, &sim->opt.failures);
	if (err) {
		hvo_sim_close(sim);
		return err;
	}
	*ret = sim;
	return 0;
}

void hvo_sim_close(struct hvo_sim *sim)
{
	if (!sim)
		return;
	hvo_sim_forget_reader(sim);
	hvo_sim_forget_saved(sim);
	if (sim->machine_memory)
		munmap(sim->machine_memory, sim->machine_size);
	if (sim->refused)
		munmap(sim->refused, hvo_sim_bitmap_bytes(sim));
	if (sim->discarded)
		munmap(sim->discarded, hvo_sim_bitmap_bytes(sim));
	if (sim->records)
		munmap(sim->records, sim->nr_pages * sizeof(*sim->records));
	if (sim->array)
		munmap(sim->array, sim->nr_pages * HVO_FRAME_SIZE);
	if (sim->memory)
		munmap(sim->memory, hvo_sim_all_frames(sim) * HVO_FRAME_SIZE);
	free(sim->failing.last);
	free(sim->tlb);
	pthread_mutex_destroy(&sim->lock);
	free(sim);
}

int hvo_sim_create(const struct hvo_config *cfg, const struct hvo_sim_options *opt,
		   struct hvo_sim **ret)
{
	size_t size = hvo_machine_size(cfg);
	struct hvo_sim *sim;
	int err = hvo_config_check(cfg, NULL, 0);

	if (err)
		return err;
	err = hvo_sim_open(cfg, opt, &sim);
	if (err)
		return err;
	/* Before the machine comes up: after a fault in there it can be closed. */
	*ret = sim;
	sim->machine_memory = reserve(size, PROT_READ | PROT_WRITE);
	sim->machine_size = size;
	err = -HVO_ENOMEM;
	if (sim->machine_memory)
		err = hvo_machine_init(sim->machine_memory, size, cfg, &hvo_sim_ops, sim,
				       sim->array, &sim->machine);
	if (err) {
		hvo_sim_close(sim);
		*ret = NULL;
	}
	return err;
}

/* ---- what it knows ------------------------------------------------------------ */

struct hvo_page *hvo_sim_array(struct hvo_sim *sim)
{
	return sim->array;
}

struct hvo_machine *hvo_sim_machine(struct hvo_sim *sim)
{
	return sim->machine;
}

int hvo_sim_stat(struct hvo_sim *sim, struct hvo_sim_stat *ret)
{
	struct hvo_sim_stat s = { 0 };
	int rc = sized_check(ret);

	if (rc)
		return rc;
	pthread_mutex_lock(&sim->lock);
	s.tlb_hits = sim->tlb_hits;
	s.tlb_misses = sim->tlb_misses;
	s.flushes = sim->flushes;
	s.table_frames_used = sim->tables_used;
	s.pmd_splits = sim->mmu.splits;
	s.remapped_pages = sim->remapped_pages;
	pthread_mutex_unlock(&sim->lock);
	s.now_ns = __atomic_load_n(&sim->now, __ATOMIC_SEQ_CST);
	s.quiesces = __atomic_load_n(&sim->quiesces, __ATOMIC_RELAXED);
	s.discarded_frames = __atomic_load_n(&sim->nr_discarded, __ATOMIC_RELAXED);
	s.works = __atomic_load_n(&sim->works, __ATOMIC_RELAXED);
	s.points = sim->failing.points;
	s.failures = sim->failing.failures;
	SIZED_OUT(ret, &s);
	return 0;
}

void hvo_sim_set_trace(struct hvo_sim *sim,
		       void (*trace)(void *arg, const struct hvo_event_record *event), void *arg)
{
	sim->trace = trace;
	sim->trace_arg = arg;
}
