/* SPDX-License-Identifier: MIT */
/*
 * Inside of the sim platform: struct hvo_sim and what its files share.
 *
 *	sim.c		open, close, create, statistics, faults
 *	tables.c	page tables, TLB, remap, flush, translate, audit
 *	host.c		bytes of frames, waiting, readers, time
 *	fail.c		calls that are told to fail
 *	snapshot.c	a state to come back to
 *	sched.c, fiber.c	threads of its own, one at a time
 *
 * Physical memory of the simulated machine is one lazily backed mapping of the
 * host: the frames of the arena, the shared tail frame, the page-table frames.
 *
 *	 0             nr_frames  nr_frames + 1    nr_frames + 1 + nr_tables
 *	+-------------+----------+----------------+
 *	| arena       | tail     | page tables    |
 *	+-------------+----------+----------------+
 *
 * The descriptor array is a range of host addresses that nothing may touch
 * (PROT_NONE): a pointer into it that skips translate() traps. To the page tables
 * its first byte is HVO_SIM_VADDR, the same in every run, so that what a run does
 * follows from the seed alone.
 *
 * An array page whose PMD is absent shows the shared tail; so the tables of an
 * arena of terabytes are as large as what is mapped in it. A PTE is exact.
 *
 * Locks: @lock covers all down to the blank line; what is below is atomic, or
 * does not change after hvo_sim_open(). No lock of the core is taken under it.
 *
 * In Linux: no counterpart; HVO_SIM_VADDR stands for VMEMMAP_START.
 */
#ifndef HVO_PLATFORM_SIM_INTERNAL_H
#define HVO_PLATFORM_SIM_INTERNAL_H

#include <pthread.h>

#include <hvo/sim.h>

#include "mmu/walk.h"
#include "platform/sim/sched.h"

#define HVO_SIM_VADDR UINT64_C(0xffffea0000000000)

/* backing of an array page in audit(): nothing, or an entry that makes no sense */
#define HVO_SIM_NO_BACKING (UINT64_MAX - 1)

/*
 * What remap() last did to an array page: 0 for never, else the frame plus one
 * (0 for the shared tail) in the low bits, and above them the number of flushes
 * at that time, so that a page whose flush is owed is known without a list.
 */
#define HVO_SIM_RECORD_BITS 40
#define HVO_SIM_RECORD_MASK ((UINT64_C(1) << HVO_SIM_RECORD_BITS) - 1)

struct hvo_sim_tlb_entry {
	uint64_t page; /* of the array, plus one; 0: empty */
	uint64_t pte;
	uint64_t flushes; /* hvo_sim::flushes when it was made: another number has emptied it */
	uint64_t remaps;  /* hvo_sim::remaps when the tables last said so */
};

/* See hvo_sim_fail(). */
struct hvo_sim_failing {
	struct hvo_sim_failures wanted;
	uint64_t points, failures;
	/* What the last remap() that counted put in force: to undo it never fails. */
	struct hvo_remap *last;
	unsigned int nr_last, max_last;
	bool counting;
	bool any_refused; /* a bit of hvo_sim.refused is set */
};

struct hvo_sim_snapshot; /* snapshot.c */

/* Frames of descriptors that a thread has the address of, in the reader's section it is in. */
#define HVO_SIM_READ_FRAMES 32u
struct hvo_sim_reading {
	uint32_t section; /* sched_section() */
	uint32_t nr;
	uint64_t frames[HVO_SIM_READ_FRAMES]; /* the last ones */
};

struct hvo_sim {
	pthread_mutex_t lock;
	/* From here to @opt: what a snapshot has. */
	struct hvo_mmu mmu;
	uint64_t tables_free;  /* first free table frame, linked through word 0; 0: none */
	uint64_t tables_fresh; /* from here to the end they were never used */
	uint64_t tables_used;
	uint64_t *records; /* of each array page, see above */
	uint8_t *
		discarded; /* (a) a bit for each frame: discard() was called, populate() not since */
	uint64_t nr_discarded; /* (a) frames */
	uint8_t *refused;      /* a bit for each frame: populate() was told to fail there */
	uint64_t random;
	uint64_t tlb_hits, tlb_misses, flushes, remaps, remapped_pages;
	pthread_t owing; /* who remapped and has not flushed yet */
	bool owed, owed_by_many;
	uint32_t threads_owing; /* of the scheduler: bits */

	uint64_t readers;
	uint64_t now;
	uint64_t quiesces;
	uint64_t works;
	struct hvo_sim_reading reading[SCHED_THREADS];

	struct hvo_sim_options opt;
	struct hvo_sim_failing failing;
	struct hvo_sim_tlb_entry
		*tlb; /* one of the host's threads, one for each of the scheduler's */
	struct hvo_sim_snapshot *snapshot;
	uint64_t id;	     /* no two sims of a process have the same */
	uint64_t spin_limit; /* of a wait that nothing ends */
	uint64_t nr_frames, nr_tables;
	uint64_t nr_pages; /* of the array */
	bool table; /* the array is one page, and descriptors are read through the direct map */
	uint8_t *memory;   /* frame 0 */
	struct hvo_page *array;
	void *machine_memory;
	size_t machine_size;
	struct hvo_machine *machine;
	void (*trace)(void *arg, const struct hvo_event_record *event);
	void *trace_arg;
};

static inline uint64_t hvo_sim_tail_frame(const struct hvo_sim *sim)
{
	return sim->nr_frames;
}

static inline uint64_t hvo_sim_all_frames(const struct hvo_sim *sim)
{
	return sim->nr_frames + 1 + sim->nr_tables;
}

static inline uint8_t *hvo_sim_bytes(const struct hvo_sim *sim, uint64_t frame)
{
	return sim->memory + frame * HVO_FRAME_SIZE;
}

/* splitmix64: any seed will do, 0 too. */
static inline uint64_t hvo_sim_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* Of a bitmap with a bit for each frame. */
static inline size_t hvo_sim_bitmap_bytes(const struct hvo_sim *sim)
{
	return sim->nr_frames / 8;
}

static inline void hvo_sim_call(const struct hvo_sim *sim, enum hvo_sim_call call, hvo_pfn_t pfn,
				uint64_t nr)
{
	if (sim->opt.on_call)
		sim->opt.on_call(sim->opt.on_call_arg, call, pfn, nr);
	if (call < HVO_SIM_QUIESCE)
		hvo_step((enum hvo_step)(STEP_REMAP + (unsigned int)call), NULL);
}

/* snapshot.c */
void hvo_sim_note_write(struct hvo_sim *sim, uint64_t frame, uint64_t nr);
/* Was a frame zero when it was saved, and not written to since? */
bool hvo_sim_is_untouched(const struct hvo_sim *sim, uint64_t frame);

/* Bytes of these frames are about to be written to, or may be. */
static inline void hvo_sim_dirty(struct hvo_sim *sim, uint64_t frame, uint64_t nr)
{
	if (sim->snapshot)
		hvo_sim_note_write(sim, frame, nr);
}

static inline size_t hvo_sim_tlb_bytes(const struct hvo_sim *sim)
{
	return sim->opt.tlb_entries * sizeof(*sim->tlb) * (SCHED_THREADS + 1);
}

/* sim.c. Stop; @where is an array page, or the pfn of a panic. Not with @lock held. */
void hvo_sim_fault(struct hvo_sim *sim, enum hvo_sim_fault fault, const char *what, uint64_t where)
	__attribute__((noreturn));

/* tables.c */
HVO_MUST_CHECK int hvo_sim_tables_init(struct hvo_sim *sim);
void *hvo_sim_translate(void *ctx, const void *addr, bool write);
int hvo_sim_remap(void *ctx, const struct hvo_remap *runs, unsigned int nr, unsigned int *ret_done);
void hvo_sim_flush(void *ctx);
hvo_pfn_t hvo_sim_backing(void *ctx, uint64_t page);
void hvo_sim_audit(void *ctx,
		   void (*mismatch)(void *arg, uint64_t page, uint64_t recorded, uint64_t real),
		   void *arg);

/* host.c */
void *hvo_sim_window(void *ctx, hvo_pfn_t pfn, uint64_t nr);
int hvo_sim_populate(void *ctx, hvo_pfn_t pfn, uint64_t nr);
void hvo_sim_discard(void *ctx, hvo_pfn_t pfn, uint64_t nr);
void hvo_sim_zero(void *ctx, hvo_pfn_t pfn, uint64_t nr);
void hvo_sim_copy(void *ctx, hvo_pfn_t dst, hvo_pfn_t src, uint64_t nr);
void hvo_sim_lock_wait(void *ctx, uint32_t *word, uint32_t value);
void hvo_sim_lock_wake(void *ctx, uint32_t *word);
void hvo_sim_read_lock(void *ctx);
void hvo_sim_read_unlock(void *ctx);
void hvo_sim_quiesce(void *ctx);
void hvo_sim_kick(void *ctx);
uint64_t hvo_sim_now_ns(void *ctx);
void hvo_sim_sleep_ns(void *ctx, uint64_t ns);
/* Forget that this thread is inside read_lock() of a sim that goes away. */
void hvo_sim_forget_reader(const struct hvo_sim *sim);

/* tables.c. Does the thread of the scheduler that runs owe a flush? */
bool hvo_sim_owes_flush(const struct hvo_sim *sim);
/*
 * Does a thread of the scheduler, in a reader's section, have the address of descriptors in one of
 * these frames? Then they are still descriptors.
 */
bool hvo_sim_is_read(const struct hvo_sim *sim, hvo_pfn_t pfn, uint64_t nr);

/*
 * snapshot.c. Keep all of the sim and its machine as they are now, while no call of the machine
 * runs; 0 or -HVO_ENOMEM. Bring that state back, as often as is wanted.
 */
HVO_MUST_CHECK int hvo_sim_save(struct hvo_sim *sim);
void hvo_sim_restore(struct hvo_sim *sim);
void hvo_sim_forget_saved(struct hvo_sim *sim);

/* fail.c. How many of the next @nr points pass; @nr if all do. What is behind a failure is none. */
unsigned int hvo_sim_pass(struct hvo_sim *sim, unsigned int nr);
/* Do these change only pages that the last remap() changed, after a failure? */
bool hvo_sim_is_way_back(const struct hvo_sim *sim, const struct hvo_remap *runs, unsigned int nr);
/* Note what a remap() put in force. */
void hvo_sim_remember(struct hvo_sim *sim, const struct hvo_remap *runs, unsigned int nr);
/* Note whether populate() failed; tell it of one frame. */
void hvo_sim_refuse(struct hvo_sim *sim, hvo_pfn_t pfn, uint64_t nr, bool refuse);
bool hvo_sim_is_refused(const struct hvo_sim *sim, hvo_pfn_t pfn);

#endif
