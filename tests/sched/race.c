// SPDX-License-Identifier: MIT
/*
 * See race.h. Each thread has a clock of all threads: how much of theirs came before what it does
 * now. It passes on its clock with a release, and takes the clock of a word with an acquire.
 *
 * Locks: none; all threads are one host thread, and nothing here is a step.
 */
#include "race.h"

#include <stdint.h>
#include <string.h>

#include "core/machine.h"
#include "platform/sim/sched.h"
#include "world.h"

#define CELLS_LOG 15

struct clock {
	uint32_t at[SCHED_THREADS];
};

/* Eight bytes of memory: for each byte when each thread did what there. */
struct cell {
	uint64_t key, run;
	struct clock released;
	struct clock when[NR_ACCESSES][8];
};

static struct {
	const struct hvo_machine *m;
	uintptr_t start;
	size_t bytes;
	uint64_t run;
	unsigned int used;
	bool paused;
	struct clock now[SCHED_THREADS];
	struct cell cells[1u << CELLS_LOG];
} race;

#define BIT(access) (1u << (access))
/* What has to be before or behind each. */
static const unsigned int conflicts[NR_ACCESSES] = {
	[RACE_READ] = BIT(RACE_WRITE) | BIT(RACE_STORE) | BIT(RACE_CHANGE),
	[RACE_WRITE] = BIT(RACE_READ) | BIT(RACE_WRITE) | BIT(RACE_LOAD) | BIT(RACE_STORE) |
		       BIT(RACE_CHANGE),
	[RACE_LOAD] = BIT(RACE_WRITE),
	[RACE_STORE] = BIT(RACE_READ) | BIT(RACE_WRITE) | BIT(RACE_STORE),
	[RACE_CHANGE] = BIT(RACE_READ) | BIT(RACE_WRITE),
};

void race_begin(struct hvo_sim *sim)
{
	unsigned int t;

	race.m = sim ? sim->machine : NULL;
	race.start = sim ? (uintptr_t)sim->machine_memory : 0;
	race.bytes = sim ? sim->machine_size : 0;
	race.run++;
	race.used = 0;
	race.paused = false;
	memset(race.now, 0, sizeof(race.now));
	for (t = 0; t < SCHED_THREADS; t++)
		race.now[t].at[t] = 1;
}

/* Descriptors: counts and words that holders change without a lock. */
static bool is_head(uintptr_t at)
{
	uintptr_t heads = (uintptr_t)race.m->mm.heads;

	return at - heads < (race.m->mm.nr_frames >> HVO_PAGEBLOCK_ORDER) * sizeof(struct hvo_page);
}

/* Stores that nothing orders on purpose: the last one counts. */
static bool last_counts(const volatile void *at)
{
	unsigned int id;

	for (id = 0; id < race.m->cfg.nr_nodes * HVO_NR_ZONES; id++)
		if (at == &race.m->nodes[id / HVO_NR_ZONES].zones[id % HVO_NR_ZONES].compact_next)
			return true;
	return at == &race.m->movable_gigantic || at == &race.m->optimize;
}

void race_pause(bool pause)
{
	race.paused = pause;
}

static void join(struct clock *to, const struct clock *from)
{
	unsigned int t;

	for (t = 0; t < SCHED_THREADS; t++)
		if (from->at[t] > to->at[t])
			to->at[t] = from->at[t];
}

static struct cell *cell_of(uintptr_t at)
{
	uint64_t key = at >> 3, h = key * UINT64_C(0x9e3779b97f4a7c15) >> (64 - CELLS_LOG);
	struct cell *c;

	for (;; h = (h + 1) & ((1u << CELLS_LOG) - 1)) {
		c = &race.cells[h];
		if (c->run != race.run)
			break;
		if (c->key == key)
			return c;
	}
	must(race.used < (1u << CELLS_LOG) / 2, "the test has too few cells", race.used);
	race.used++;
	memset(c, 0, sizeof(*c));
	c->key = key;
	c->run = race.run;
	return c;
}

/* Byte @byte of a cell: what others did there came before. */
static void look(const struct cell *c, unsigned int byte, unsigned int self, enum access access)
{
	const struct clock *now = &race.now[self];
	unsigned int other, t;

	for (other = 0; other < NR_ACCESSES; other++) {
		if (!(conflicts[access] >> other & 1))
			continue;
		for (t = 0; t < SCHED_THREADS; t++)
			must(t == self || c->when[other][byte].at[t] <= now->at[t],
			     "nothing orders two accesses, one of which writes",
			     (c->key << 3) + byte - race.start);
	}
}

static void order_by(struct cell *c, unsigned int self, enum access access, int order)
{
	struct clock *now = &race.now[self];

	if (access != RACE_STORE && order != __ATOMIC_RELAXED && order != __ATOMIC_RELEASE)
		join(now, &c->released);
	if (access != RACE_LOAD && order >= __ATOMIC_RELEASE) {
		join(&c->released, now);
		now->at[self]++;
	}
}

void race_access(const volatile void *at, size_t bytes, enum access access, int order)
{
	uintptr_t a = (uintptr_t)at, end = a + bytes;
	unsigned int self = sched_self() - 1;
	struct cell *c = NULL;

	if (!sched_self() || race.paused || a - race.start >= race.bytes || is_head(a))
		return;
	if (access == RACE_STORE && last_counts(at))
		access = RACE_CHANGE;
	for (; a < end; a++) {
		if (!c || !(a & 7))
			c = cell_of(a);
		look(c, a & 7, self, access);
		c->when[access][a & 7].at[self] = race.now[self].at[self];
	}
	if (access >= RACE_LOAD)
		order_by(c, self, access, order);
}

void race_quiesced(void)
{
	unsigned int t;

	for (t = 0; sched_self() && t < SCHED_THREADS; t++) {
		join(&race.now[sched_self() - 1], &race.now[t]);
		race.now[t].at[t]++;
	}
}
