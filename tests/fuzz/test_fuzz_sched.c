// SPDX-License-Identifier: MIT
/*
 * A target for fuzzers: runs of the sim's scheduler (tests/sched/run.h). The input chooses the
 * state, operations of up to three threads, which calls of the platform fail, and switches:
 *
 *	byte 0		state
 *	byte 1		bits 0-1: threads; 2-3: who is first; 4: unfair; 5: Linux mode
 *	byte 2, 3	the call that fails, and how many later another one does; 0: none
 *	byte 4 to 15	four operations of each thread; 0: none
 *	two each	a switch: bits 0-1: from, 2-3: to, 4-15: at which step of the first
 *
 * What is missing at the end is 0. A world for each state is made once, and brought back before
 * each run. A finding is shrunk, printed as the line that torture replays, and aborts.
 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/sanitizers.h"
#include "../sched/run.h"

#if WITH_ASAN
#include <sanitizer/asan_interface.h>
#endif

#define THREADS 3u
#define OPS 4u
#define HEADER (4u + THREADS * OPS)
#define MOST_SWITCHES 64u

/* What runs, and what came of it. */
static struct finding current, result;

#if WITH_ASAN
/* Called by the sanitizer, which then ends the program. */
void __asan_on_error(void)
{
	finding_print(stderr, &current, NULL);
}
#endif

/* ---- the input -------------------------------------------------------------------------- */

static void choose_ops(struct run *run, const uint8_t *choices)
{
	const struct op *op;
	unsigned int t, i;

	for (t = 0; t < run->nr; t++)
		for (i = 0; i < OPS; i++, choices++) {
			if (!*choices)
				continue;
			op = &ops[(*choices - 1u) % nr_ops];
			if (op_fits(op, run->state, run->mode))
				run->lists[t][run->nr_list[t]++] = op;
		}
}

/* In the order of their steps, as the scheduler wants them. */
static void add_switch(struct finding *f, struct sched_switch s)
{
	unsigned int i;

	for (i = f->nr_switches++; i && f->switches[i - 1].step > s.step; i--)
		f->switches[i] = f->switches[i - 1];
	f->switches[i] = s;
}

static void choose_switches(struct finding *f, const uint8_t *data, size_t size)
{
	struct sched_switch s;

	for (; size > 1 && f->nr_switches < MOST_SWITCHES; data += 2, size -= 2) {
		s.from = (uint8_t)((data[0] & 3u) % f->run.nr);
		s.to = (uint8_t)((data[0] >> 2 & 3u) % f->run.nr);
		s.step = data[0] >> 4 | (uint32_t)data[1] << 4;
		if (s.from != s.to)
			add_switch(f, s);
	}
}

static void choose(struct finding *f, const uint8_t *data, size_t size)
{
	uint8_t header[HEADER] = { 0 };
	struct run *run = &f->run;
	size_t used = size < HEADER ? size : HEADER;

	memset(run, 0, sizeof(*run));
	if (used)
		memcpy(header, data, used);
	run->state = &states[header[0] % nr_states];
	run->mode = header[1] >> 5 & 1 ? HVO_LINUX : HVO_ON_DEMAND;
	if (!state_fits(run->state, run->mode))
		run->mode = run->mode == HVO_LINUX ? HVO_ON_DEMAND : HVO_LINUX;
	run->nr = 1 + (header[1] & 3u) % THREADS;
	run->unfair = header[1] >> 4 & 1;
	run->points = POINTS_LOCKS;
	run->fail = header[2];
	run->also = header[2] && header[3] ? header[2] + header[3] : 0;
	choose_ops(run, header + 4);
	f->nr_switches = 0;
	add_switch(f, (struct sched_switch){ 0, SCHED_THREADS,
					     (uint8_t)((header[1] >> 2 & 3u) % run->nr) });
	choose_switches(f, data + used, size - used);
}

/* ---- running it ----------------------------------------------------------------------------- */

static struct world *world_of(const struct run *run)
{
	static struct world *worlds[64][2];
	struct world **w = &worlds[run->state - states][run->mode == HVO_LINUX];

	if (*w)
		return *w;
	*w = malloc(sizeof(**w));
	if (!*w || state_open(*w, run->state, run->mode)) {
		fprintf(stderr, "%s cannot be made\n", run->state->name);
		abort();
	}
	return *w;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world *w;

	choose(&current, data, size);
	w = world_of(&current.run);
	if (run_replay(w, &current, &result))
		return 0;
	finding_print(stderr, &result, w);
	run_shrink(w, &result);
	(void)run_replay(w, &result, &result);
	finding_print(stderr, &result, w);
	abort();
}
