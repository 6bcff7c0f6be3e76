// SPDX-License-Identifier: MIT
/*
 * See reach.h.
 */
#include "reach.h"

#include <stdlib.h>
#include <string.h>

#include "between.h"
#include "core/base.h"
#include "core/machine.h"

/* ---- what a machine is like ------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 32;
}

static uint64_t mix_bytes(uint64_t hash, const void *bytes, size_t len)
{
	const char *at = bytes;
	uint64_t word;

	for (; len >= sizeof(word); len -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		hash = mix(hash, word);
	}
	word = 0;
	if (len)
		memcpy(&word, at, len);
	return mix(hash, word);
}

/* Descriptors without the words of who uses the block, and the frames that they are in. */
static uint64_t mix_descriptors(uint64_t hash, const struct world *w)
{
	uint64_t frame, nr, i;
	hvo_pfn_t pfn;

	for (pfn = 0; pfn < w->m->mm.nr_frames; pfn += HVO_PAGES_PER_FRAME) {
		frame = world_backing(w, slot_of(w->m, pfn).nr);
		hash = mix(hash, frame);
		/* In the table layout the head of a pageblock is in no frame. */
		nr = frame == HVO_SHARED_TAIL ? !pb_index(pfn) : HVO_PAGES_PER_FRAME;
		for (i = 0; i < nr; i++)
			hash = mix_bytes(hash, world_page(w, pfn + i),
					 offsetof(struct hvo_page, private_data));
	}
	return hash;
}

static uint64_t mix_zones(uint64_t hash, const struct hvo_machine *m)
{
	unsigned int t;

	for (t = 0; t < HVO_NR_ZONES; t++) {
		const struct zone *z = &m->nodes[0].zones[t];

		hash = mix_bytes(hash, z->whole, sizeof(z->whole));
		hash = mix_bytes(hash, z->bins, sizeof(z->bins));
		hash = mix(hash, z->nr_free);
		hash = mix(hash, z->min);
	}
	return hash;
}

static uint64_t mix_pools(uint64_t hash, const struct hvo_machine *m)
{
	const struct hvo_pool *p;

	for (p = m->pools; p < m->pools + HVO_MAX_POOLS; p++) {
		if (!p->order)
			continue;
		hash = mix_bytes(hash, &p->nodes[0], offsetof(struct pool_node, tried));
		hash = mix_bytes(hash, &p->deferred, sizeof(p->deferred));
		hash = mix(hash, p->reserved);
		hash = mix(hash, p->overcommit);
		hash = mix(hash, p->order);
	}
	return hash;
}

static uint64_t machine_print(const struct world *w)
{
	uint64_t nr = w->m->mm.nr_frames >> HVO_PAGEBLOCK_ORDER, hash = w->nr_failed;
	const struct block *b;

	hash = mix_descriptors(hash, w);
	hash = mix_bytes(hash, w->m->fold, nr);
	hash = mix_bytes(hash, w->m->pageblocks, nr * sizeof(*w->m->pageblocks));
	hash = mix_bytes(hash, w->m->bad, w->m->mm.nr_frames / 8);
	hash = mix_bytes(hash, w->m->sections,
			 (w->m->mm.nr_frames >> HVO_SECTION_ORDER) * sizeof(*w->m->sections));
	hash = mix_zones(hash, w->m);
	hash = mix_pools(hash, w->m);
	for (b = w->blocks; b < w->blocks + w->nr_blocks; b++) {
		hash = mix(mix(hash, b->pfn), b->nr);
		hash = mix(mix(mix(hash, b->owned), b->range), b->cma);
	}
	return mix(hash, w->isolated) | 1;
}

/* ---- machines that were seen ------------------------------------------------------------------ */

struct sequence {
	uint8_t ops[MAX_REACH];
};

struct seen {
	uint64_t *prints; /* a table of @size, a power of two; 0: empty */
	uint64_t size;
	struct sequence *list; /* how each was come to, shortest first */
	uint64_t nr;
};

static void place_print(struct seen *s, uint64_t print)
{
	uint64_t i = print >> 20 & (s->size - 1);

	while (s->prints[i])
		i = (i + 1) & (s->size - 1);
	s->prints[i] = print;
}

static bool has_print(const struct seen *s, uint64_t print)
{
	uint64_t i;

	for (i = print >> 20 & (s->size - 1); s->prints[i]; i = (i + 1) & (s->size - 1))
		if (s->prints[i] == print)
			return true;
	return false;
}

static void grow(struct seen *s)
{
	uint64_t *old = s->prints, was = s->size, i;

	s->size = was ? 2 * was : 4096;
	s->prints = calloc(s->size, sizeof(*s->prints));
	s->list = realloc(s->list, s->size / 2 * sizeof(*s->list));
	if (!s->prints || !s->list)
		abort();
	for (i = 0; i < was; i++)
		if (old[i])
			place_print(s, old[i]);
	free(old);
}

/* False: it was seen before. */
static bool add_seen(struct seen *s, uint64_t print, const struct sequence *sequence)
{
	if (s->nr >= s->size / 2)
		grow(s);
	if (has_print(s, print))
		return false;
	place_print(s, print);
	s->list[s->nr++] = *sequence;
	return true;
}

/* ---- sequences -------------------------------------------------------------------------------- */

/* Run a sequence; if all is well the machine that it leads to is new, or is not. */
static void try_sequence(struct reach *r, struct world *w, struct run *run, struct seen *seen,
			 const struct sequence *sequence)
{
	const struct sched_plan plan = { .mode = SCHED_REPLAY };
	uint64_t print = 0;
	unsigned int i;

	for (i = 0; i < run->nr_list[0]; i++)
		run->lists[0][i] = &ops[sequence->ops[i]];
	run->print = machine_print;
	run->ret_print = &print;
	r->runs++;
	if (!run_once(w, run, &plan, r->finding)) {
		r->finding->run.print = NULL;
		r->found(w, r->finding);
		return;
	}
	(void)add_seen(seen, print, sequence);
}

void reach_all(struct reach *r, struct world *w, enum hvo_mode mode, const struct state *state)
{
	struct run run = { .mode = mode, .state = state, .nr = 1 };
	struct seen seen = { 0 };
	uint64_t from = 0, end;
	struct sequence sequence = { { 0 } };
	unsigned int op;

	r->runs = 0;
	r->whole = 0;
	world_restore(w);
	add_seen(&seen, machine_print(w), &sequence);
	while (run.nr_list[0] < r->depth && r->runs < r->max) {
		run.nr_list[0]++;
		for (end = seen.nr; from < end; from++)
			for (op = 0; op < nr_ops && r->runs < r->max; op++) {
				sequence = seen.list[from];
				sequence.ops[run.nr_list[0] - 1] = (uint8_t)op;
				if (op_fits(&ops[op], state, mode) && !(r->flags & ~ops[op].flags))
					try_sequence(r, w, &run, &seen, &sequence);
			}
		if (r->runs < r->max)
			r->whole = run.nr_list[0];
	}
	r->seen = seen.nr;
	free(seen.prints);
	free(seen.list);
}
