// SPDX-License-Identifier: MIT
/*
 * The tour's last step: a node's movable memory is to go offline while everything else is full.
 * All of it is huge pages; half are in use, the others free in their pool. As many are free
 * elsewhere, so there is room for what must move, and no frame besides.
 */
#include "tour.h"

#include <hvo/hotplug.h>
#include <hvo/migrate.h>

#include <stdlib.h>
#include <string.h>

/* A huge page in use: where it is, and where it was filled. */
struct moving {
	hvo_pfn_t pfn, origin;
};

struct plan {
	struct box box;
	struct hvo_pool *pool;
	struct held frames;
	struct moving *pages;
	uint64_t nr;
	struct hvo_owner owner;
	uint32_t id;
	hvo_pfn_t start, end; /* what is to go */
	struct tour_offline *ret;
};

static bool is_inside(const struct plan *p, hvo_pfn_t pfn)
{
	return pfn >= p->start && pfn < p->end;
}

/* ---- the pages' owner ---------------------------------------------------------- */

static struct moving *find_page(struct plan *p, hvo_pfn_t pfn)
{
	uint64_t i;

	for (i = 0; i < p->nr; i++)
		if (p->pages[i].pfn == pfn)
			return &p->pages[i];
	return NULL;
}

static uint32_t on_isolate(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
			   unsigned int order)
{
	(void)m;
	(void)order;
	return find_page(owner->arg, pfn) ? 1 : 0;
}

static int on_move(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t dst, hvo_pfn_t src,
		   unsigned int order)
{
	struct plan *p = owner->arg;

	(void)m;
	(void)order;
	find_page(p, src)->pfn = dst;
	p->ret->moved++;
	return 0;
}

static void on_putback(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
		       unsigned int order)
{
	(void)owner;
	(void)m;
	(void)pfn;
	(void)order;
}

/* ---- a machine that is full --------------------------------------------------------- */

/* Half of each node is movable; a node of one section is too small for that. */
static void open_machine(const struct tour *t, struct plan *p, enum hvo_mode mode)
{
	struct hvo_config cfg = {
		.size = sizeof(cfg),
		.memory_bytes = t->opt->memory_bytes,
		.nr_nodes = t->opt->nr_nodes,
		.mode = mode,
		.clear = HVO_CLEAR_NEVER,
		.optimize = true,
	};
	uint64_t sections;
	int err;

	if (cfg.memory_bytes / cfg.nr_nodes < 2 * HVO_SECTION_SIZE)
		cfg.nr_nodes = 1;
	if (cfg.memory_bytes < 2 * HVO_SECTION_SIZE)
		cfg.memory_bytes = 2 * HVO_SECTION_SIZE;
	sections = cfg.memory_bytes / cfg.nr_nodes / HVO_SECTION_SIZE;
	cfg.movable_bytes = sections / 2 * HVO_SECTION_SIZE;
	if (t->opt->sim)
		err = box_open_sim(&p->box, &cfg, t->opt->seed);
	else
		err = box_open_linux(&p->box, &cfg, NULL, t->opt->seed);
	if (!err)
		err = hvo_pool_create(p->box.m, HVO_BLOCK_ORDER, &p->pool);
	if (err)
		cli_die("no machine for the last step could be built here: %s", strerror(-err));
	p->end = cfg.memory_bytes / HVO_FRAME_SIZE;
	p->start = p->end - cfg.movable_bytes / HVO_FRAME_SIZE;
	p->ret->bytes = cfg.movable_bytes;
}

/* Every second page inside stays in use; as many pages outside are free. */
static void choose_pages(struct plan *p, struct held *huge)
{
	struct held put = { 0 };
	uint64_t i, inside = 0, outside = 0;

	p->pages = cli_alloc(huge->nr + 1, sizeof(*p->pages));
	put.order = huge->order;
	put.pfn = cli_alloc(huge->nr + 1, sizeof(*put.pfn));
	for (i = 0; i < huge->nr; i++)
		if (is_inside(p, huge->pfn[i]) && inside++ % 2)
			put.pfn[put.nr++] = huge->pfn[i];
		else if (is_inside(p, huge->pfn[i]))
			p->pages[p->nr++] = (struct moving){ huge->pfn[i], huge->pfn[i] };
	p->ret->in_use = p->nr;
	p->ret->in_pool = put.nr;
	for (i = 0; i < huge->nr; i++) {
		if (is_inside(p, huge->pfn[i]))
			continue;
		if (outside++ < p->ret->in_use)
			put.pfn[put.nr++] = huge->pfn[i];
		else
			p->pages[p->nr++] = (struct moving){ huge->pfn[i], huge->pfn[i] };
	}
	held_put(&put, &p->box);
	held_free(&put);
}

/* Frames that the zone itself kept go back: they lie in what is to go. */
static void take_frames(struct plan *p)
{
	struct held inside = { 0 };
	uint64_t i, nr = 0;

	(void)held_take_frames(&p->frames, &p->box, UINT64_MAX);
	inside.pfn = cli_alloc(p->frames.nr + 1, sizeof(*inside.pfn));
	for (i = 0; i < p->frames.nr; i++) {
		if (is_inside(p, p->frames.pfn[i]))
			inside.pfn[inside.nr++] = p->frames.pfn[i];
		else
			p->frames.pfn[nr++] = p->frames.pfn[i];
	}
	p->frames.nr = nr;
	held_put(&inside, &p->box);
	held_free(&inside);
}

static void fill(struct plan *p)
{
	struct held huge = { 0 };
	struct hvo_machine_stat stat = { .size = sizeof(stat) };
	struct hvo_zone_stat zone = { .size = sizeof(zone) };
	uint64_t pages, i;

	(void)tour_grow(&p->box, p->pool, &pages);
	(void)held_take_pool(&huge, p->pool, HVO_BLOCK_ORDER);
	held_fill(&huge, &p->box);
	choose_pages(p, &huge);
	held_free(&huge);
	take_frames(p);
	held_fill(&p->frames, &p->box);
	p->owner = (struct hvo_owner){ .size = sizeof(p->owner),
				       .isolate = on_isolate,
				       .move = on_move,
				       .putback = on_putback,
				       .arg = p };
	if (hvo_owner_register(p->box.m, &p->owner, &p->id))
		cli_die("no owner of the pages could be registered");
	for (i = 0; i < p->nr; i++)
		if (hvo_set_owner(p->box.m, p->pages[i].pfn, p->id))
			cli_die("a page that is ours could not be made movable");
	hvo_machine_stat(p->box.m, &stat);
	p->ret->free_elsewhere = stat.free_frames;
	if (!hvo_zone_stat(p->box.m, (int)hvo_machine_config(p->box.m)->nr_nodes - 1,
			   HVO_ZONE_MOVABLE, &zone))
		p->ret->free_elsewhere -= zone.free;
}

/* ---- and what becomes of it --------------------------------------------------------------- */

static void check(struct tour *t, struct plan *p)
{
	uint64_t i, wrong = held_check(&p->frames, &p->box);

	for (i = 0; i < p->nr; i++)
		wrong += box_check(&p->box, p->pages[i].pfn, p->pages[i].origin, HVO_BLOCK_FRAMES);
	p->ret->checksum_errors += wrong;
	t->checksum_errors += wrong;
	tour_audit(t, &p->box, p->ret->mode, "offline");
}

static void run(struct tour *t, enum hvo_mode mode, struct tour_offline *ret)
{
	struct plan p = { .ret = ret };
	int rc;

	strcpy(ret->mode, mode == HVO_LINUX ? "linux" : "on-demand");
	open_machine(t, &p, mode);
	fill(&p);
	rc = hvo_memory_offline(p.box.m, p.start, p.end);
	ret->error = -rc;
	check(t, &p);
	if (!rc)
		rc = hvo_memory_online(p.box.m, p.start, p.end, HVO_ZONE_MOVABLE);
	ret->back = hvo_section_state(p.box.m, p.start) == HVO_SECTION_ONLINE &&
		    hvo_section_state(p.box.m, p.end - 1) == HVO_SECTION_ONLINE;
	check(t, &p);
	held_free(&p.frames);
	free(p.pages);
	box_close(&p.box);
}

void tour_offline(struct tour *t)
{
	run(t, HVO_ON_DEMAND, &t->offline[0]);
	run(t, HVO_LINUX, &t->offline[1]);
}
