// SPDX-License-Identifier: MIT
/*
 * See world.h. Locks: none; all threads are one host thread, and nothing here is a step.
 */
#include "between.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/layout.h"

void world_wrong(const char *what, uint64_t where)
{
	sched_find(SCHED_CHECK, what, where);
	fprintf(stderr, "%s (%#llx)\n", what, (unsigned long long)where);
	abort();
}

/* ---- blocks --------------------------------------------------------------------------------- */

/* Not hvo_window(): nothing that is looked at here may be a step. */
static uint64_t *words_of(struct world *w, hvo_pfn_t pfn)
{
	hvo_sim_dirty(w->sim, pfn, 1);
	return (uint64_t *)(void *)hvo_sim_bytes(w->sim, pfn);
}

#define LAST_WORD (HVO_FRAME_SIZE / sizeof(uint64_t) - 1)

static void write_tag(struct world *w, hvo_pfn_t pfn, uint64_t nr, uint64_t tag)
{
	words_of(w, pfn)[0] = tag;
	words_of(w, pfn + nr - 1)[LAST_WORD] = ~tag;
}

static bool has_tag(struct world *w, hvo_pfn_t pfn, uint64_t nr, uint64_t tag)
{
	return words_of(w, pfn)[0] == tag && words_of(w, pfn + nr - 1)[LAST_WORD] == ~tag;
}

static bool is_zero(struct world *w, hvo_pfn_t pfn, uint64_t nr)
{
	hvo_pfn_t p;

	for (p = pfn; p < pfn + nr; p++)
		if (words_of(w, p)[0] || words_of(w, p)[LAST_WORD] || words_of(w, p)[77])
			return false;
	return true;
}

static bool overlap(hvo_pfn_t a, uint64_t nr_a, hvo_pfn_t b, uint64_t nr_b)
{
	return a < b + nr_b && b < a + nr_a;
}

static struct block *add_block(struct world *w, hvo_pfn_t pfn, uint64_t nr)
{
	struct block *b = &w->blocks[w->nr_blocks];

	must(w->nr_blocks < MAX_BLOCKS, "the test has too many blocks", w->nr_blocks);
	w->nr_blocks++;
	memset(b, 0, sizeof(*b));
	b->pfn = pfn;
	b->nr = nr;
	b->tag = ++w->tags << 32 | pfn;
	return b;
}

static void remove_block(struct world *w, struct block *b)
{
	*b = w->blocks[--w->nr_blocks];
}

/*
 * What failed before the operation began is not in what it gets. What failed since may have been on
 * its way out already; that it is marked then is for the audit.
 */
static void expect_sound(struct world *w, hvo_pfn_t pfn, uint64_t nr)
{
	unsigned int self = sched_self(), i;
	uint64_t began = self ? w->began[self - 1] : UINT64_MAX;

	for (i = 0; i < w->nr_failed; i++)
		must(w->failed[i].pfn - pfn >= nr || !w->failed[i].known ||
			     w->failed[i].known > began,
		     "END-3: a frame that failed was handed out", w->failed[i].pfn);
}

struct block *world_hold(struct world *w, hvo_pfn_t pfn, uint64_t nr, bool zero)
{
	struct block *b;
	unsigned int i;

	for (i = 0; i < w->nr_blocks; i++)
		must(!overlap(pfn, nr, w->blocks[i].pfn, w->blocks[i].nr),
		     "END-3: handed out, and somebody has it", pfn);
	for (i = 0; i < SCHED_THREADS; i++)
		must(!w->pins[i].nr || w->pins[i].pfn == pfn ||
			     !overlap(pfn, nr, w->pins[i].pfn, w->pins[i].nr),
		     "END-3: handed out while somebody has a reference", pfn);
	must(!hvo_sim_is_read(w->sim, pfn, nr),
	     "BETWEEN-5: handed out while a reader has descriptors there", pfn);
	expect_sound(w, pfn, nr);
	must(!zero || is_zero(w, pfn, nr), "END-3: not cleared", pfn);
	b = add_block(w, pfn, nr);
	write_tag(w, pfn, nr, b->tag);
	return b;
}

struct block *world_at(struct world *w, hvo_pfn_t pfn)
{
	unsigned int i;

	for (i = 0; i < w->nr_blocks; i++)
		if (w->blocks[i].pfn == pfn)
			return &w->blocks[i];
	return NULL;
}

struct block *world_around(struct world *w, hvo_pfn_t pfn)
{
	unsigned int i;

	for (i = 0; i < w->nr_blocks; i++)
		if (pfn - w->blocks[i].pfn < w->blocks[i].nr)
			return &w->blocks[i];
	return NULL;
}

void world_drop(struct world *w, struct block *b)
{
	must(has_tag(w, b->pfn, b->nr, b->tag), "END-4: contents changed", b->pfn);
	remove_block(w, b);
}

void world_split(struct world *w, struct block *b, unsigned int order)
{
	uint64_t nr = UINT64_C(1) << order;
	struct block whole = *b, *part;
	hvo_pfn_t pfn;

	world_drop(w, b);
	for (pfn = whole.pfn; pfn < whole.pfn + whole.nr; pfn += nr) {
		part = add_block(w, pfn, nr);
		part->owned = whole.owned;
		write_tag(w, pfn, nr, part->tag);
	}
}

void world_put(struct world *w, struct block *b)
{
	struct block gone = *b;
	int rc;

	world_drop(w, b);
	if (gone.cma)
		rc = hvo_cma_release(w->cma, gone.pfn, gone.nr);
	else if (gone.range)
		rc = hvo_free_contig_range(w->m, gone.pfn, gone.pfn + gone.nr);
	else
		rc = hvo_put_page(w->m, gone.pfn);
	must(!rc, "what is held cannot be freed", gone.pfn);
}

/* ---- what fails ------------------------------------------------------------------------------- */

void world_failing(struct world *w, hvo_pfn_t pfn)
{
	unsigned int i;

	for (i = 0; i < w->nr_failed; i++)
		if (w->failed[i].pfn == pfn)
			return;
	must(w->nr_failed < MAX_FAILED, "the test has too many failures", w->nr_failed);
	w->failed[w->nr_failed].pfn = pfn;
	w->failed[w->nr_failed++].known = 0;
}

void world_failed(struct world *w, hvo_pfn_t pfn)
{
	unsigned int i;

	for (i = 0; i < w->nr_failed; i++)
		if (w->failed[i].pfn == pfn && !w->failed[i].known)
			w->failed[i].known = ++w->clock;
}

/* ---- the owner -------------------------------------------------------------------------------- */

static uint32_t owner_isolate(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
			      unsigned int order)
{
	struct world *w = owner->arg;
	struct block *b = world_at(w, pfn);

	(void)m;
	(void)order;
	hvo_step(STEP_BETWEEN, NULL);
	b = world_at(w, pfn);
	/* Not any more, or not yet: the owner has it from hvo_set_owner() on. */
	if (!b || !b->owned || b->users || w->owner_refuses)
		return 0;
	b->users++;
	return 1;
}

/* Whoever finds the new place has all of the block, and nobody can have the old one. */
static void look_at_move(struct world *w, const struct block *b, hvo_pfn_t dst)
{
	const struct hvo_page *from = world_page(w, b->pfn), *to = world_page(w, dst);

	must(!from->refcount, "BETWEEN-15: the old place of a block that moves can be had", b->pfn);
	must(hvo_page_refs(to) >= b->users && to->owner == b->owned && to->order == from->order &&
		     !memcmp(to->private_data, from->private_data, sizeof(to->private_data)),
	     "BETWEEN-15: the new place of a block that moves is not complete", dst);
	must(w->nr_failed || has_tag(w, dst, b->nr, b->tag),
	     "BETWEEN-15: a block moves without its content", dst);
}

static int owner_move(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t dst, hvo_pfn_t src,
		      unsigned int order)
{
	struct world *w = owner->arg;
	uint64_t nr = UINT64_C(1) << order;
	struct block *b, old;

	(void)m;
	hvo_step(STEP_BETWEEN, NULL);
	b = world_at(w, src);
	must(b && b->users == 1 && b->nr == nr, "moves what the owner did not isolate", src);
	must(has_tag(w, src, nr, b->tag), "END-4: contents changed before a move", src);
	look_at_move(w, b, dst);
	old = *b;
	remove_block(w, b);
	/* Nobody has the place, and it is sound. */
	b = world_hold(w, dst, nr, false);
	b->owned = old.owned;
	hvo_step(STEP_BETWEEN, NULL);
	return 0;
}

static void owner_putback(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
			  unsigned int order)
{
	struct world *w = owner->arg;
	struct block *b;

	(void)m;
	(void)order;
	hvo_step(STEP_BETWEEN, NULL);
	b = world_at(w, pfn);
	must(b && b->users == 1, "puts back what the owner did not isolate", pfn);
	b->users = 0;
}

static void owner_failed(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t frame,
			 hvo_pfn_t pfn, unsigned int order)
{
	struct world *w = owner->arg;
	unsigned int i;

	(void)m;
	hvo_step(STEP_BETWEEN, NULL);
	must(frame - pfn < UINT64_C(1) << order, "told of a frame that is not in the block", frame);
	for (i = 0; i < w->nr_failed; i++)
		if (w->failed[i].pfn == frame)
			return;
	world_wrong("told of a frame that did not fail", frame);
}

/* ---- opening, and coming back ----------------------------------------------------------------- */

int world_open(struct world *w, enum hvo_mode mode, uint64_t cma_bytes, uint64_t hotplug_bytes)
{
	struct hvo_config cfg = {
		.size = sizeof(cfg),
		.memory_bytes = MEMORY_END << HVO_FRAME_SHIFT,
		.movable_bytes = cma_bytes ? 0 : (MEMORY_END - NORMAL_END) << HVO_FRAME_SHIFT,
		.cma_bytes = cma_bytes,
		.hotplug_bytes = hotplug_bytes,
		.min_free_bytes = HVO_FRAME_SIZE,
		.mode = mode,
		.clear = HVO_CLEAR_NEVER,
		.optimize = true,
		.layout = layout_asked(mode),
	};
	struct hvo_sim_options opt = { .size = sizeof(opt), .seed = 1, .tlb_entries = 512 };
	int err;

	memset(w, 0, sizeof(*w));
	w->mode = mode;
	err = sched_create(&w->sched);
	if (err)
		return err;
	err = hvo_sim_create(&cfg, &opt, &w->sim);
	if (err)
		return err;
	w->m = hvo_sim_machine(w->sim);
	w->owner = (struct hvo_owner){ .size = sizeof(w->owner),
				       .isolate = owner_isolate,
				       .move = owner_move,
				       .putback = owner_putback,
				       .failed = owner_failed,
				       .arg = w };
	return hvo_owner_register(w->m, &w->owner, &w->owner_id);
}

void world_close(struct world *w)
{
	hvo_sim_close(w->sim);
	sched_destroy(w->sched);
	free(w->saved);
	memset(w, 0, sizeof(*w));
}

/* What a policy refused to free is surplus, and goes once it counts again. */
static void empty_pool(struct hvo_pool *pool)
{
	struct hvo_pool_stat s = { .size = sizeof(s) };

	if (!pool)
		return;
	must(!hvo_pool_stat(pool, ANY, &s), "hvo_pool_stat()", 0);
	(void)hvo_pool_resize(pool, ANY, s.total, NULL);
	(void)hvo_pool_resize(pool, ANY, 0, NULL);
}

static void drain(struct world *w)
{
	unsigned int i;

	if (w->isolated)
		must(!hvo_unisolate_range(w->m, T, T_END), "hvo_unisolate_range()", T);
	while (w->nr_blocks)
		world_put(w, &w->blocks[w->nr_blocks - 1]);
	empty_pool(w->pool);
	empty_pool(w->big);
	/* What waits for memory gets it once others have worked. */
	for (i = 0; i < 3; i++) {
		(void)hvo_work(w->m, UINT64_MAX, NULL);
		(void)hvo_collapse(w->m, UINT64_MAX, NULL);
	}
}

static uint64_t free_frames(struct world *w)
{
	struct hvo_machine_stat s = { .size = sizeof(s) };

	must(!hvo_machine_stat(w->m, &s), "no statistics", 0);
	return s.free_frames;
}

int world_save(struct world *w)
{
	struct hvo_sim_stat stat = { .size = sizeof(stat) };
	uint64_t drained;
	int err;

	free(w->saved);
	w->saved = malloc(sizeof(*w));
	if (!w->saved)
		return -HVO_ENOMEM;
	err = hvo_sim_save(w->sim);
	if (err)
		return err;
	must(!hvo_sim_stat(w->sim, &stat), "no statistics", 0);
	w->works = stat.works;
	w->looked_remaps = UINT64_MAX;
	memset(w->behind, 0, sizeof(w->behind));
	world_between(w);
	hands_begin(w);
	*w->saved = *w;
	drain(w);
	drained = free_frames(w);
	world_restore(w);
	w->free_drained = drained;
	w->saved->free_drained = drained;
	return 0;
}

void world_restore(struct world *w)
{
	struct world *saved = w->saved;

	hvo_sim_restore(w->sim);
	*w = *saved;
	w->saved = saved;
}

/* ---- at the end -------------------------------------------------------------------------------- */

static void expect_no_finding(void *arg, const struct hvo_finding *finding)
{
	char text[160];

	snprintf(text, sizeof(text), "OVER-1: audit %s: %s %s: expected %#llx, found %#llx",
		 (const char *)arg, finding->rule, finding->what,
		 (unsigned long long)finding->expected, (unsigned long long)finding->found);
	world_wrong(text, finding->where);
}

static void audit(struct world *w, const char *when)
{
	char text[40];

	snprintf(text, sizeof(text), "%s", when);
	must(hvo_machine_audit(w->m, expect_no_finding, text) == 0, "the audit says no number", 0);
}

void world_settle(struct world *w)
{
	unsigned int i;
	uint64_t left;

	struct hvo_sim_stat stat = { .size = sizeof(stat) };

	hvo_sim_fail(w->sim, NULL);
	/* What was put off, and asked for: nothing else may be left to do. */
	must(!hvo_sim_stat(w->sim, &stat), "no statistics", 0);
	if (stat.works != w->works)
		(void)hvo_work(w->m, UINT64_MAX, NULL);
	audit(w, "at the end");
	for (i = 0; i < w->nr_blocks; i++)
		must(has_tag(w, w->blocks[i].pfn, w->blocks[i].nr, w->blocks[i].tag),
		     "OVER-2: contents changed", w->blocks[i].pfn);
	drain(w);
	audit(w, "when all is given back");
	left = free_frames(w);
	if (w->nr_failed || w->layout_changed)
		return;
	must(left >= w->free_drained, "OVER-3: frames were lost", w->free_drained - left);
	must(left <= w->free_drained, "OVER-3: more is free than there was",
	     left - w->free_drained);
}
