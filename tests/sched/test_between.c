// SPDX-License-Identifier: MIT
/*
 * The table of intermediate states can say no: a machine in which one thing is made wrong by hand is
 * told from one that is well, by name, at the next switch or at the end of the operation.
 */
#include "program.h"

#include <stdlib.h>
#include <string.h>

#include "between.h"
#include "core/base.h"
#include "ops.h"

/* ---- what is made wrong --------------------------------------------------------------------- */

static struct zone *zone(struct world *w)
{
	return &w->m->nodes[0].zones[HVO_ZONE_MOVABLE];
}

static struct pageblock *t(struct world *w)
{
	return &w->m->pageblocks[pb_of(T).nr];
}

static struct hvo_page *page(struct world *w, hvo_pfn_t pfn)
{
	hvo_sim_dirty(w->sim, world_backing(w, slot_of(w->m, pfn).nr), 1);
	return (struct hvo_page *)(uintptr_t)world_page(w, pfn);
}

static struct hvo_pool *pool(struct world *w)
{
	return hvo_pool_find(w->m, HVO_PAGEBLOCK_ORDER);
}

static void map_t(struct world *w, hvo_pfn_t frame)
{
	const struct hvo_remap run = { hvo_pageblock_tail_page(pb_of(T).nr), frame, 1 };
	unsigned int done;

	assert_int_equal(hvo_sim_remap(w->sim, &run, 1, &done), 0);
	hvo_sim_flush(w->sim);
}

static void no_descriptors(struct world *w)
{
	w->m->fold[pb_of(T).nr] = 0;
}

static void two_pages(struct world *w)
{
	map_t(w, world_backing(w, hvo_pageblock_head_page(pb_of(T).nr)));
}

static void not_zero(struct world *w)
{
	memset(hvo_window(w->m, T + 9, 1), 1, HVO_FRAME_SIZE);
	map_t(w, T + 9);
}

static void with_descriptors(struct world *w)
{
	map_t(w, T + 9);
}

static void self_and_whole(struct world *w)
{
	t(w)->flags = PB_SELF;
}

static void not_optimized(struct world *w)
{
	page(w, T)->flags ^= HVO_PF_OPTIMIZED;
}

static void other_byte(struct world *w)
{
	w->m->fold[pb_of(T_END).nr] = HVO_PAGEBLOCK_ORDER | HVO_FOLDED;
}

static void busy(struct world *w)
{
	t(w)->flags |= PB_BUSY;
}

static void other_page(struct world *w)
{
	page(w, world_backing(w, hvo_pageblock_tail_page(pb_of(T).nr)))->private_data[0]++;
}

static void one_free(struct world *w)
{
	pool(w)->nodes[0].free--;
}

static void hidden(struct world *w)
{
	pool(w)->nodes[0].total++;
	pool(w)->nodes[0].free++;
	pool(w)->in_flight++;
}

static void two_reserved(struct world *w)
{
	pool(w)->reserved = 2;
}

static void offline(struct world *w)
{
	section_of(w->m, T)->state = HVO_SECTION_OFFLINE;
}

static void use_offline(struct world *w)
{
	hvo_pfn_t end = MEMORY_END + HVO_SECTION_FRAMES;

	assert_int_equal(hvo_memory_add(w->m, 0, MEMORY_END, end, 0), 0);
	page(w, MEMORY_END)->state = HVO_PAGE_USED;
}

static void on_the_move(struct world *w)
{
	w->m->move_seq++;
}

static void discarded(struct world *w)
{
	hvo_sim_discard(w->sim, T, HVO_PAGEBLOCK_FRAMES);
}

static void reference(struct world *w)
{
	page(w, T)->refcount = 1;
}

static void order(struct world *w)
{
	page(w, T)->order = 10;
}

static void failed(struct world *w)
{
	w->m->bad[(T + HVO_PAGEBLOCK_FRAMES / 2) / 64] |= UINT64_C(1)
							  << (T + HVO_PAGEBLOCK_FRAMES / 2) % 64;
	w->m->nr_bad++;
}

static void free_and_isolated(struct world *w)
{
	t(w)->isolation = ISOLATED_BY_USER;
}

static void nr_free(struct world *w)
{
	zone(w)->nr_free++;
}

static void nr_cut(struct world *w)
{
	zone(w)->nr_cut++;
}

static void nr_whole(struct world *w)
{
	zone(w)->nr_whole[0]++;
}

static void nr_isolated(struct world *w)
{
	zone(w)->nr_isolated++;
}

static void nr_serving(struct world *w)
{
	zone(w)->nr_serving[MIGRATE_MOVABLE]++;
}

static void nr_collapsible(struct world *w)
{
	zone(w)->nr_collapsible++;
}

static void nr_free_of_block(struct world *w)
{
	t(w)->nr_free--;
}

static void orders_of_block(struct world *w)
{
	t(w)->orders ^= 1;
}

static void own_tails(struct world *w)
{
	t(w)->flags |= PB_SELF;
}

static void surplus(struct world *w)
{
	pool(w)->nodes[0].surplus = 3;
}

static void listed(struct world *w)
{
	page(w, T)->state = HVO_PAGE_HUGETLB_USED;
}

static void optimized(struct world *w)
{
	pool(w)->nodes[0].optimized ^= 1;
}

static void deferred(struct world *w)
{
	pool(w)->deferred.nr++;
}

static void reported(struct world *w)
{
	w->m->reported++;
}

static void flush_owed(struct world *w)
{
	w->sim->threads_owing = 1u << sched_self();
}

static void in_flight(struct world *w)
{
	zone(w)->in_flight++;
}

static void incoming(struct world *w)
{
	pool(w)->nodes[0].incoming++;
}

static void total(struct world *w)
{
	pool(w)->nodes[0].total++;
}

static void taken(struct world *w)
{
	page(w, T)->state = HVO_PAGE_TAKEN;
}

static void frozen(struct world *w)
{
	page(w, T)->refcount = 0;
}

static void memmap(struct world *w)
{
	w->m->memmap++;
}

static void area(struct world *w)
{
	w->m->cmas[0].used++;
}

static void moving(struct world *w)
{
	w->m->migrating[3] = T + 1;
}

static void calls(struct world *w)
{
	w->m->owners[0].calls++;
}

static const struct {
	const char *name, *state;
	enum hvo_mode mode;
	void (*spoil)(struct world *w);
} wrongs[] = {
	{ "BETWEEN-1", "free", HVO_ON_DEMAND, no_descriptors },
	{ "BETWEEN-2", "free", HVO_ON_DEMAND, two_pages },
	{ "BETWEEN-3", "held", HVO_ON_DEMAND, self_and_whole },
	{ "BETWEEN-4", "free", HVO_ON_DEMAND, not_zero },
	{ "BETWEEN-7", "free", HVO_ON_DEMAND, with_descriptors },
	{ "BETWEEN-7", "pool", HVO_LINUX, not_optimized },
	{ "BETWEEN-8", "demotable", HVO_ON_DEMAND, other_byte },
	{ "BETWEEN-9", "cut", HVO_ON_DEMAND, busy },
	{ "BETWEEN-10", "cut", HVO_ON_DEMAND, other_page },
	{ "BETWEEN-11", "pool", HVO_ON_DEMAND, one_free },
	{ "BETWEEN-11", "pool", HVO_LINUX, hidden },
	{ "BETWEEN-12", "pool", HVO_ON_DEMAND, two_reserved },
	{ "BETWEEN-13", "held", HVO_ON_DEMAND, offline },
	{ "BETWEEN-13", "hotplug", HVO_ON_DEMAND, use_offline },
	{ "BETWEEN-14", "held", HVO_ON_DEMAND, on_the_move },
	{ "BETWEEN-16", "held", HVO_ON_DEMAND, discarded },
	{ "PAGE-2", "free", HVO_ON_DEMAND, reference },
	{ "FOLD-2", "free", HVO_ON_DEMAND, order },
	{ "POISON-1", "free", HVO_ON_DEMAND, failed },
	{ "POISON-1", "collapsible", HVO_ON_DEMAND, failed },
	{ "ZONE-1", "cut", HVO_ON_DEMAND, nr_free },
	{ "ZONE-2", "cut", HVO_LINUX, nr_cut },
	{ "ZONE-3", "free", HVO_ON_DEMAND, nr_whole },
	{ "ZONE-4", "free", HVO_ON_DEMAND, free_and_isolated },
	{ "ZONE-4", "cut", HVO_ON_DEMAND, nr_isolated },
	{ "ZONE-6", "cut", HVO_ON_DEMAND, nr_serving },
	{ "BIN-1", "collapsible", HVO_ON_DEMAND, nr_collapsible },
	{ "BLOCK-1", "cut", HVO_ON_DEMAND, nr_free_of_block },
	{ "BLOCK-1", "split", HVO_ON_DEMAND, own_tails },
	{ "BLOCK-2", "cut", HVO_ON_DEMAND, orders_of_block },
	{ "POOL-2", "pool", HVO_ON_DEMAND, surplus },
	{ "POOL-3", "pool", HVO_ON_DEMAND, listed },
	{ "POOL-4", "pool", HVO_LINUX, optimized },
	{ "POOL-5", "pool", HVO_ON_DEMAND, deferred },
	{ "REPORT-1", "free", HVO_ON_DEMAND, reported },
	{ "END-1", "free", HVO_ON_DEMAND, flush_owed },
	{ "END-6", "free", HVO_ON_DEMAND, in_flight },
	{ "END-6", "pool", HVO_ON_DEMAND, incoming },
	{ "END-6", "huge", HVO_ON_DEMAND, total },
	{ "END-6", "held", HVO_ON_DEMAND, taken },
	{ "END-6", "held", HVO_ON_DEMAND, frozen },
	{ "END-6", "held", HVO_ON_DEMAND, memmap },
	{ "END-6", "cma", HVO_ON_DEMAND, area },
	{ "END-6", "held", HVO_ON_DEMAND, moving },
	{ "END-6", "held", HVO_ON_DEMAND, calls },
};

/* ---- telling -------------------------------------------------------------------------------- */

struct body {
	struct world *w;
	void (*spoil)(struct world *w);
};

/* Thread 0 is an operation that does wrong; thread 1 does nothing, but is switched to. */
static void run_body(void *arg, unsigned int thread)
{
	const struct body *b = arg;

	hvo_step(STEP_BETWEEN, NULL);
	if (!thread && b->spoil)
		b->spoil(b->w);
	hvo_step(STEP_BETWEEN, NULL);
	hands_end(b->w, thread);
}

static void at_step(void *w, enum hvo_step step)
{
	(void)step;
	world_between(w);
}

static struct sched_result look(struct world *w, void (*spoil)(struct world *w))
{
	const struct sched_switch switches[] = { { 2, 0, 1 } };
	const struct sched_plan plan = { .mode = SCHED_REPLAY,
					 .points = UINT32_MAX,
					 .replay = switches,
					 .nr_replay = 1,
					 .check = at_step,
					 .at_switch = world_switch,
					 .arg = w };
	struct body body = { w, spoil };
	struct sched_result result;

	world_restore(w);
	sched_run(w->sched, &plan, 2, run_body, &body, &result);
	return result;
}

static void test_says_no(void **state)
{
	struct sched_result r;
	struct world w;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrongs) / sizeof(*wrongs); i++) {
		assert_int_equal(state_open(&w, state_find(wrongs[i].state), wrongs[i].mode), 0);
		r = look(&w, wrongs[i].spoil);
		if (!r.finding || strncmp(r.what, wrongs[i].name, strlen(wrongs[i].name)) ||
		    r.what[strlen(wrongs[i].name)] != ':')
			fail_msg("%s of %s: %s", wrongs[i].name, wrongs[i].state,
				 r.finding ? r.what : "nothing");
		/* The next run knows nothing of it, and all is well. */
		r = look(&w, NULL);
		if (r.finding)
			fail_msg("after %s, %s is well: %s", wrongs[i].name, wrongs[i].state,
				 r.what);
		world_close(&w);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_says_no) };

	/* Some of what is made wrong is wrong there only. */
	setenv("HVO_LAYOUT", "virtual", 1);
	return run_program(argc, argv, tests, NULL, NULL);
}
