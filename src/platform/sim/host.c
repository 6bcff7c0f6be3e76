/* SPDX-License-Identifier: MIT */
/*
 * The sim platform: bytes of frames, waiting, readers, time.
 *
 * Time is a counter that every question advances, and sleeping adds to. Nothing
 * here ever sleeps for real, so a wait that nobody can end is found by counting:
 * after spin_limit turns it is a deadlock, and a panic.
 *
 * Locks: none. All is atomic or belongs to the caller.
 *
 * In Linux: window is the direct map (page_address()), lock_wait and lock_wake are
 * kernel/locking, quiesce is synchronize_rcu() of kernel/rcu/tree.c, discard has
 * its counterpart in mm/madvise.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "platform/sim/internal.h"

/* What one look at the clock costs: code that polls gets somewhere. */
#define CLOCK_STEP_NS 100

/* Below this many frames a memset() is cheaper than giving memory back. */
#define ZERO_BY_DISCARD 64

/*
 * Which sims this thread reads in, to tell quiesce() inside read_lock() from a
 * wait for others. More sims at once than there is room for are not noticed
 * here, only by the limit.
 */
#define READING_MAX 4
static _Thread_local struct {
	uint64_t sim_id;
	uint64_t depth;
} reading[READING_MAX];

/* The frames' bytes, if they are all the arena's: never the shared tail's. */
static uint8_t *arena_bytes(struct hvo_sim *sim, hvo_pfn_t pfn, uint64_t nr, const char *what)
{
	if (pfn >= sim->nr_frames || nr > sim->nr_frames - pfn)
		hvo_sim_fault(sim, HVO_SIM_PANIC, what, pfn);
	return hvo_sim_bytes(sim, pfn);
}

void *hvo_sim_window(void *ctx, hvo_pfn_t pfn, uint64_t nr)
{
	struct hvo_sim *sim = (struct hvo_sim *)ctx;
	uint8_t *bytes = arena_bytes(sim, pfn, nr, "window() outside the arena");

	hvo_sim_dirty(sim, pfn, nr);
	return bytes;
}

static bool is_discarded(const struct hvo_sim *sim, hvo_pfn_t pfn)
{
	return __atomic_load_n(&sim->discarded[pfn / 8], __ATOMIC_RELAXED) >> pfn % 8 & 1;
}

static void set_discarded(struct hvo_sim *sim, hvo_pfn_t pfn, uint64_t nr, bool discarded)
{
	hvo_pfn_t end = pfn + nr;

	if (!discarded && !__atomic_load_n(&sim->nr_discarded, __ATOMIC_RELAXED))
		return;
	for (; pfn < end; pfn++) {
		if (is_discarded(sim, pfn) == discarded)
			continue;
		__atomic_fetch_xor(&sim->discarded[pfn / 8], (uint8_t)(1u << pfn % 8),
				   __ATOMIC_RELAXED);
		__atomic_fetch_add(&sim->nr_discarded, discarded ? 1 : UINT64_MAX,
				   __ATOMIC_RELAXED);
	}
}

/* Words of descriptors, for the scheduler: more than these are no descriptors that are read. */
#define TOUCHED_FRAMES 8

static void touch_frames(struct hvo_sim *sim, hvo_pfn_t pfn, uint64_t nr, bool write)
{
	uint64_t first = (uint64_t)(uintptr_t)hvo_sim_bytes(sim, pfn) >> 3, i;

	if (sched_reduces() && nr <= TOUCHED_FRAMES)
		for (i = 0; i < nr * HVO_FRAME_SIZE / sizeof(uint64_t); i++)
			sched_touch(first + i, write);
}

/* What the core writes to must be populated. */
static uint8_t *bytes_to_write(struct hvo_sim *sim, hvo_pfn_t pfn, uint64_t nr, const char *what)
{
	uint8_t *bytes = arena_bytes(sim, pfn, nr, what);
	hvo_pfn_t p;

	if (__atomic_load_n(&sim->nr_discarded, __ATOMIC_RELAXED) || sim->failing.any_refused)
		for (p = pfn; p < pfn + nr; p++)
			if (is_discarded(sim, p) || hvo_sim_is_refused(sim, p))
				hvo_sim_fault(sim, HVO_SIM_NOT_POPULATED, what, p);
	touch_frames(sim, pfn, nr, true);
	if (hvo_sim_is_read(sim, pfn, nr))
		hvo_sim_fault(sim, HVO_SIM_PANIC,
			      "BETWEEN-5: written to while a reader has descriptors there", pfn);
	return bytes;
}

int hvo_sim_populate(void *ctx, hvo_pfn_t pfn, uint64_t nr)
{
	struct hvo_sim *sim = (struct hvo_sim *)ctx;
	bool refuse;

	/* The host backs what is touched, as far as it has memory. */
	arena_bytes(sim, pfn, nr, "populate() outside the arena");
	hvo_sim_call(sim, HVO_SIM_POPULATE, pfn, nr);
	refuse = !hvo_sim_pass(sim, 1);
	hvo_sim_refuse(sim, pfn, nr, refuse);
	if (refuse)
		return -HVO_ENOMEM;
	set_discarded(sim, pfn, nr, false);
	return 0;
}

/* Of a snapshot what is zero stays as it is: a page that is written to becomes a copy. */
static void clear_frames(struct hvo_sim *sim, hvo_pfn_t pfn, uint64_t nr)
{
	uint8_t *bytes = hvo_sim_bytes(sim, pfn);

	for (; nr; nr--, pfn++, bytes += HVO_FRAME_SIZE)
		if (!hvo_sim_is_untouched(sim, pfn)) {
			hvo_sim_dirty(sim, pfn, 1);
			memset(bytes, 0, HVO_FRAME_SIZE);
		}
}

static void clear(struct hvo_sim *sim, hvo_pfn_t pfn, uint64_t nr)
{
	uint8_t *bytes = hvo_sim_bytes(sim, pfn);

	if (sim->snapshot)
		clear_frames(sim, pfn, nr);
	/* A private mapping without a file reads as zero afterwards. */
	else if (nr && madvise(bytes, nr * HVO_FRAME_SIZE, MADV_DONTNEED))
		memset(bytes, 0, nr * HVO_FRAME_SIZE);
}

void hvo_sim_discard(void *ctx, hvo_pfn_t pfn, uint64_t nr)
{
	struct hvo_sim *sim = (struct hvo_sim *)ctx;

	hvo_sim_call(sim, HVO_SIM_DISCARD, pfn, nr);
	arena_bytes(sim, pfn, nr, "discard() outside the arena");
	clear(sim, pfn, nr);
	set_discarded(sim, pfn, nr, true);
}

void hvo_sim_zero(void *ctx, hvo_pfn_t pfn, uint64_t nr)
{
	struct hvo_sim *sim = (struct hvo_sim *)ctx;

	hvo_sim_call(sim, HVO_SIM_ZERO, pfn, nr);
	bytes_to_write(sim, pfn, nr, "zero()");
	if (nr < ZERO_BY_DISCARD)
		clear_frames(sim, pfn, nr);
	else
		clear(sim, pfn, nr);
}

void hvo_sim_copy(void *ctx, hvo_pfn_t dst, hvo_pfn_t src, uint64_t nr)
{
	struct hvo_sim *sim = (struct hvo_sim *)ctx;
	const uint64_t *from;
	uint64_t *to, i;

	hvo_sim_call(sim, HVO_SIM_COPY, dst, nr);
	to = (void *)bytes_to_write(sim, dst, nr, "copy()");
	hvo_sim_dirty(sim, dst, nr);
	from = (void *)arena_bytes(sim, src, nr, "copy() from outside the arena");
	touch_frames(sim, src, nr, false);
	/* Word by word: descriptors that are being copied may be written to at that moment. */
	for (i = 0; i < nr * HVO_FRAME_SIZE / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

void hvo_sim_lock_wait(void *ctx, uint32_t *word, uint32_t value)
{
	struct hvo_sim *sim = (struct hvo_sim *)ctx;
	uint64_t spins = 0;

	if (sched_self()) {
		sched_lock_wait(word, value);
		return;
	}
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value) {
		if (++spins > sim->spin_limit)
			hvo_sim_fault(sim, HVO_SIM_PANIC, "deadlock: a lock is never released",
				      value);
		sched_yield();
	}
}

void hvo_sim_lock_wake(void *ctx, uint32_t *word)
{
	/* Whoever waits looks at the word all the time. */
	(void)ctx;
	(void)word;
}

void hvo_sim_read_lock(void *ctx)
{
	struct hvo_sim *sim = (struct hvo_sim *)ctx;
	size_t i, unused = READING_MAX;

	if (sched_self()) {
		sched_read_lock();
		return;
	}
	for (i = 0; i < READING_MAX; i++) {
		if (reading[i].depth && reading[i].sim_id == sim->id)
			break;
		if (!reading[i].depth)
			unused = i;
	}
	if (i == READING_MAX)
		i = unused;
	if (i < READING_MAX) {
		reading[i].sim_id = sim->id;
		reading[i].depth++;
	}
	__atomic_add_fetch(&sim->readers, 1, __ATOMIC_SEQ_CST);
}

void hvo_sim_read_unlock(void *ctx)
{
	struct hvo_sim *sim = (struct hvo_sim *)ctx;
	size_t i;

	if (sched_self()) {
		sched_read_unlock();
		return;
	}
	for (i = 0; i < READING_MAX; i++)
		if (reading[i].depth && reading[i].sim_id == sim->id)
			reading[i].depth--;
	if (!__atomic_fetch_sub(&sim->readers, 1, __ATOMIC_SEQ_CST))
		hvo_sim_fault(sim, HVO_SIM_PANIC, "read_unlock() without read_lock()", 0);
}

void hvo_sim_forget_reader(const struct hvo_sim *sim)
{
	size_t i;

	for (i = 0; i < READING_MAX; i++)
		if (reading[i].sim_id == sim->id)
			reading[i].depth = 0;
}

/*
 * Waits for more than it must: until there is an instant without any reader, not
 * only for those that ran at the call.
 */
void hvo_sim_quiesce(void *ctx)
{
	struct hvo_sim *sim = (struct hvo_sim *)ctx;
	uint64_t spins = 0;
	size_t i;

	hvo_sim_call(sim, HVO_SIM_QUIESCE, HVO_PFN_NONE, 0);
	if (sched_self())
		sched_quiesce();
	for (i = 0; i < READING_MAX; i++)
		if (reading[i].depth && reading[i].sim_id == sim->id)
			hvo_sim_fault(sim, HVO_SIM_PANIC, "quiesce() inside read_lock()", 0);
	while (__atomic_load_n(&sim->readers, __ATOMIC_SEQ_CST)) {
		if (++spins > sim->spin_limit)
			hvo_sim_fault(sim, HVO_SIM_PANIC, "deadlock: a reader never ends", 0);
		sched_yield();
	}
	__atomic_add_fetch(&sim->quiesces, 1, __ATOMIC_RELAXED);
}

/* No thread of its own, so that everything follows from the seed: whoever tests looks here. */
void hvo_sim_kick(void *ctx)
{
	__atomic_add_fetch(&((struct hvo_sim *)ctx)->works, 1, __ATOMIC_RELAXED);
}

uint64_t hvo_sim_now_ns(void *ctx)
{
	struct hvo_sim *sim = (struct hvo_sim *)ctx;

	return __atomic_add_fetch(&sim->now, CLOCK_STEP_NS, __ATOMIC_SEQ_CST);
}

void hvo_sim_sleep_ns(void *ctx, uint64_t ns)
{
	struct hvo_sim *sim = (struct hvo_sim *)ctx;

	hvo_sim_call(sim, HVO_SIM_SLEEP, HVO_PFN_NONE, ns);
	__atomic_add_fetch(&sim->now, ns, __ATOMIC_SEQ_CST);
	/* Others may have something to do meanwhile. */
	if (sched_self())
		sched_sleep();
	else
		sched_yield();
}
