// SPDX-License-Identifier: MIT
/*
 * Free page reporting: what is given back is with the system, what is used is here. The sim
 * panics where the core clears or copies to a frame that is not there.
 *
 * States and locks: none beyond a rig for each test.
 * In Linux: no test of its own.
 */
#include "harness.h"

#include <hvo/contig.h>
#include <hvo/hotplug.h>
#include <hvo/migrate.h>

#include <pthread.h>

#include "core/base.h"

static uint64_t reported(struct rig *r)
{
	return rig_stat(r).reported;
}

static uint64_t released(struct rig *r)
{
	struct hvo_sim_stat s = { .size = sizeof(s) };

	hvo_sim_stat(r->sim, &s);
	return s.discarded_frames;
}

/* Everything that may be given back, and nothing else changes. */
static uint64_t report_all(struct rig *r, unsigned int order)
{
	uint64_t before = rig_free(r), was = reported(r);
	int64_t done = hvo_report_free(r->m, HVO_NODE_ANY, order, UINT64_MAX, NULL);

	assert_true(done >= 0);
	assert_int_equal(rig_free(r), before);
	assert_int_equal(reported(r), was + (uint64_t)done);
	rig_audit(r);
	return (uint64_t)done;
}

static void open_mode(struct rig *r, enum hvo_mode mode, uint64_t mib)
{
	struct hvo_config cfg = rig_config(mode, mib);

	cfg.clear = HVO_CLEAR_ON_ALLOC;
	rig_open(r, RIG_SIM, &cfg);
}

/* ---- there and back ------------------------------------------------------------------------ */

static void there_and_back(enum hvo_mode mode)
{
	struct hog h = { 0 };
	struct rig r;
	uint64_t all;

	open_mode(&r, mode, 256);
	all = report_all(&r, 9);
	/* All but what was set aside, what is cut, and the low watermark. */
	assert_true(all >= rig_free(&r) - 4 * HVO_PAGEBLOCK_FRAMES);
	assert_int_equal(released(&r), all);
	assert_int_equal(report_all(&r, 9), 0);
	/* Each frame of it can be had and written to. */
	hog_all(&r, &h, 0, true);
	assert_int_equal(reported(&r), 0);
	assert_int_equal(released(&r), 0);
	assert_true(hog_intact(&r, &h));
	rig_audit(&r);
	hog_release(&r, &h, UINT64_MAX);
	hvo_collapse(r.m, UINT64_MAX, NULL);
	assert_true(report_all(&r, 9) >= all);
	rig_close(&r);
}

static void test_there_and_back(void **state)
{
	(void)state;
	there_and_back(HVO_ON_DEMAND);
	there_and_back(HVO_LINUX);
}

/* It reads as zero, whatever the machine clears, also what a user has left in it. */
static void test_zero_again(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	hvo_pfn_t pfn, again;
	struct rig r;

	(void)state;
	cfg.clear = HVO_CLEAR_NEVER;
	rig_open(&r, RIG_SIM, &cfg);
	pfn = rig_alloc(&r, HVO_GFP_KERNEL, 12);
	rig_fill(&r, pfn, 4096, 7);
	rig_put(&r, pfn);
	assert_true(report_all(&r, 9) > 0);
	again = rig_alloc(&r, HVO_GFP_KERNEL, 12);
	assert_int_equal(again, pfn);
	assert_true(rig_zero(&r, pfn, 4096));
	rig_put(&r, again);
	rig_close(&r);
}

/* ---- the frames that descriptors had at the start ------------------------------------------- */

static uint64_t mappings(struct rig *r)
{
	struct hvo_linux_info info = { .size = sizeof(info) };

	assert_int_equal(hvo_linux_info(r->host, &info), 0);
	return info.nr_mappings;
}

/* Where the tails of all blocks are, folded or not. */
static void note_backing(struct rig *r, hvo_pfn_t *at)
{
	uint64_t nr = r->m->mm.nr_frames >> HVO_PAGEBLOCK_ORDER, i;

	for (i = 0; i < nr * rig_tails(r); i++)
		at[i] = rig_backing(r, rig_tail_slot(r, i / rig_tails(r)) + i % rig_tails(r));
}

/*
 * A pool of Linux mode gives blocks of such frames back; their content goes to the system, and
 * the pool shrinks: all of them come home, as if nothing had been reported, and the mappings
 * merge. With @fail the system has no memory for the first block: then any frames serve.
 */
static void home_again(enum rig_platform platform, unsigned int order, uint64_t nr, bool fail)
{
	static hvo_pfn_t before[512 * HVO_PAGEBLOCK_MEMMAP], after[512 * HVO_PAGEBLOCK_MEMMAP];
	struct hvo_config cfg = rig_config(HVO_LINUX, 1024);
	struct hvo_resize_result res = { .size = sizeof(res) };
	struct hvo_pool *pool;
	uint64_t maps = 0, homes, i;
	struct rig r;

	rig_open(&r, platform, &cfg);
	if (platform == RIG_LINUX)
		maps = mappings(&r);
	note_backing(&r, before);
	pool = rig_pool_new(&r, order);
	assert_int_equal(rig_resize(pool, HVO_NODE_ANY, nr).done, nr);
	report_all(&r, 9);
	/* Blocks of descriptors among what that gave back. */
	for (i = 0, homes = 0; i < HVO_PAGEBLOCK_MEMMAP; i++)
		homes += hvo_reported(r.m, i << HVO_PAGEBLOCK_ORDER);
	assert_in_range(homes, 1, HVO_PAGEBLOCK_MEMMAP - 1);
	if (platform == RIG_SIM)
		rig_arm(&r, fail, false);
	res = rig_resize(pool, HVO_NODE_ANY, 0);
	if (platform == RIG_SIM)
		assert_int_equal(rig_disarm(&r), fail);
	assert_int_equal(res.refused, 0);
	assert_int_equal(res.done, nr);
	rig_audit(&r);
	note_backing(&r, after);
	if (fail)
		assert_memory_not_equal(before, after, sizeof(before));
	else
		assert_memory_equal(before, after, sizeof(before));
	if (platform == RIG_LINUX)
		assert_int_equal(mappings(&r), maps);
	rig_close(&r);
}

static void test_home_again(void **state)
{
	(void)state;
	home_again(RIG_SIM, 9, 200, false);
	home_again(RIG_SIM, 12, 30, false);
	home_again(RIG_SIM, 9, 200, true);
	home_again(RIG_LINUX, 9, 200, false);
}

/* ---- bounds and orders ----------------------------------------------------------------------- */

static void test_arguments(void **state)
{
	struct rig r;

	(void)state;
	open_mode(&r, HVO_ON_DEMAND, 256);
	assert_int_equal(hvo_report_free(r.m, HVO_NODE_ANY, 8, 512, NULL), -HVO_EINVAL);
	assert_int_equal(hvo_report_free(r.m, HVO_NODE_ANY, 19, 512, NULL), -HVO_EINVAL);
	assert_int_equal(hvo_report_free(r.m, 1, 9, 512, NULL), -HVO_EINVAL);
	assert_int_equal(hvo_report_free(r.m, -2, 9, 512, NULL), -HVO_EINVAL);
	assert_int_equal(hvo_report_free(r.m, 0, 9, 0, NULL), 0);
	assert_int_equal(hvo_report_free(r.m, 0, 9, 511, NULL), 0);
	assert_int_equal(reported(&r), 0);
	rig_close(&r);
}

/* In steps of any size, each goes on where the last one ended. */
static void test_steps(void **state)
{
	uint64_t sum = 0;
	struct rig r;
	int64_t done;

	(void)state;
	open_mode(&r, HVO_ON_DEMAND, 512);
	do {
		done = hvo_report_free(r.m, HVO_NODE_ANY, 9, 3 * HVO_PAGEBLOCK_FRAMES + 77, NULL);
		assert_true(done >= 0 && done <= 3 * (int64_t)HVO_PAGEBLOCK_FRAMES);
		assert_int_equal(done % (int64_t)HVO_PAGEBLOCK_FRAMES, 0);
		sum += (uint64_t)done;
		assert_int_equal(reported(&r), sum);
		rig_audit(&r);
	} while (done);
	assert_true(sum >= rig_free(&r) - 4 * HVO_PAGEBLOCK_FRAMES);
	rig_close(&r);
}

/* Blocks that are too small stay here. */
static void test_order(void **state)
{
	hvo_pfn_t pfn[64];
	unsigned int i;
	uint64_t all;
	struct rig r;

	(void)state;
	open_mode(&r, HVO_ON_DEMAND, 256);
	for (i = 0; i < 64; i++)
		pfn[i] = rig_alloc(&r, HVO_GFP_KERNEL, 9);
	for (i = 0; i < 64; i += 2)
		rig_put(&r, pfn[i]);
	all = report_all(&r, 11);
	assert_true(all > 0);
	assert_true(all <= rig_free(&r) - 30 * HVO_PAGEBLOCK_FRAMES);
	assert_true(report_all(&r, 9) >= 30 * HVO_PAGEBLOCK_FRAMES);
	rig_close(&r);
}

/* ---- everything that takes free memory --------------------------------------------------------- */

static void test_pools(void **state)
{
	struct hvo_pool *pool;
	hvo_pfn_t pfn;
	struct rig r;

	(void)state;
	open_mode(&r, HVO_LINUX, 512);
	pool = rig_pool_new(&r, 9);
	report_all(&r, 9);
	assert_int_equal(rig_resize(pool, HVO_NODE_ANY, 100).done, 100);
	assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_KERNEL, HVO_NODE_ANY, &pfn), 0);
	assert_int_equal(released(&r), reported(&r));
	rig_audit(&r);
	report_all(&r, 9);
	assert_int_equal(hvo_pool_free(pool, pfn), 0);
	assert_int_equal(rig_resize(pool, HVO_NODE_ANY, 0).done, 100);
	rig_audit(&r);
	rig_close(&r);
}

static void contig(enum hvo_mode mode)
{
	hvo_pfn_t pfn;
	struct rig r;

	open_mode(&r, mode, 512);
	report_all(&r, 9);
	assert_int_equal(hvo_alloc_contig_pages(r.m, 3000, HVO_GFP_KERNEL, 0, &pfn), 0);
	assert_true(rig_zero(&r, pfn, 3000));
	rig_fill(&r, pfn, 3000, 5);
	rig_audit(&r);
	report_all(&r, 9);
	assert_true(rig_intact(&r, pfn, 3000, 5));
	assert_int_equal(hvo_free_contig_range(r.m, pfn, pfn + 3000), 0);
	/* Frames of one block, and around an edge. */
	report_all(&r, 9);
	assert_int_equal(hvo_alloc_contig_range(r.m, 70000, 70003, HVO_GFP_KERNEL), 0);
	assert_int_equal(hvo_alloc_contig_range(r.m, 71100, 72900, HVO_GFP_KERNEL), 0);
	assert_int_equal(released(&r), reported(&r));
	rig_audit(&r);
	assert_int_equal(hvo_free_contig_range(r.m, 70000, 70003), 0);
	assert_int_equal(hvo_free_contig_range(r.m, 71100, 72900), 0);
	rig_audit(&r);
	rig_close(&r);
}

static void test_contig(void **state)
{
	(void)state;
	contig(HVO_ON_DEMAND);
	contig(HVO_LINUX);
}

/* Isolated, put back, offline, online, removed, added: it is still with the system, or here. */
static void plug(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 512);
	hvo_pfn_t start = (512 * MIB - HVO_SECTION_SIZE) / HVO_FRAME_SIZE;
	hvo_pfn_t end = start + HVO_SECTION_FRAMES;
	struct hog h = { 0 };
	uint64_t before;
	struct rig r;

	cfg.movable_bytes = HVO_SECTION_SIZE;
	cfg.clear = HVO_CLEAR_ON_ALLOC;
	rig_open(&r, RIG_SIM, &cfg);
	report_all(&r, 9);
	before = reported(&r);
	assert_int_equal(hvo_isolate_range(r.m, start, start + 1024), 0);
	rig_audit(&r);
	assert_int_equal(hvo_unisolate_range(r.m, start, start + 1024), 0);
	assert_int_equal(hvo_memory_offline(r.m, start, end), 0);
	assert_int_equal(reported(&r), before);
	rig_audit(&r);
	assert_int_equal(hvo_memory_online(r.m, start, end, HVO_ZONE_MOVABLE), 0);
	assert_int_equal(reported(&r), before);
	assert_int_equal(hvo_memory_offline(r.m, start, end), 0);
	assert_int_equal(hvo_memory_remove(r.m, start, end), 0);
	assert_true(reported(&r) < before);
	rig_audit(&r);
	assert_int_equal(hvo_memory_add(r.m, 0, start, end, 0), 0);
	assert_int_equal(hvo_memory_online(r.m, start, end, HVO_ZONE_MOVABLE), 0);
	hog_all(&r, &h, 0, true);
	assert_int_equal(released(&r), 0);
	assert_true(hog_intact(&r, &h));
	hog_release(&r, &h, UINT64_MAX);
	rig_audit(&r);
	rig_close(&r);
}

static void test_plug(void **state)
{
	(void)state;
	plug(HVO_ON_DEMAND);
	plug(HVO_LINUX);
}

/* A frame of what is with the system fails; the rest can be used. */
static void failure(enum hvo_mode mode)
{
	hvo_pfn_t bad = 50000;
	struct hog h = { 0 };
	struct rig r;
	uint64_t i;

	open_mode(&r, mode, 256);
	report_all(&r, 9);
	assert_int_equal(hvo_memory_failure(r.m, bad), 0);
	rig_audit(&r);
	hog_all(&r, &h, 0, true);
	for (i = 0; i < h.nr; i++)
		assert_false(bad - h.blocks[i].pfn < UINT64_C(1) << h.blocks[i].order);
	assert_int_equal(released(&r), 0);
	hog_release(&r, &h, UINT64_MAX);
	rig_audit(&r);
	rig_close(&r);
}

static void test_failure(void **state)
{
	(void)state;
	failure(HVO_ON_DEMAND);
	failure(HVO_LINUX);
}

/* ---- the system has no memory any more ------------------------------------------------------------ */

/* Each thing that takes memory back, where that fails: nothing has changed. */
static int take(struct rig *r, unsigned int what, hvo_pfn_t *ret)
{
	switch (what) {
	case 0:
		return hvo_alloc_pages(r->m, HVO_GFP_ATOMIC | HVO_GFP_NOWARN, 0, 0, ret);
	case 1:
		return hvo_alloc_pages(r->m, HVO_GFP_ATOMIC | HVO_GFP_NOWARN, 13, 0, ret);
	case 2:
		*ret = 32768;
		return hvo_alloc_contig_range(r->m, *ret, *ret + 4096, HVO_GFP_NOWARN);
	case 3:
		*ret = 40001;
		return hvo_alloc_contig_range(r->m, *ret, *ret + 30, HVO_GFP_NOWARN);
	case 4:
		/* A block is taken, with the system as it is, when the next one cannot be cut. */
		*ret = 40960;
		return hvo_alloc_contig_range(r->m, *ret, *ret + 512 + 30, HVO_GFP_NOWARN);
	default:
		return hvo_alloc_contig_pages(r->m, 1536, HVO_GFP_NOWARN, 0, ret);
	}
}

static void no_memory(enum hvo_mode mode, enum hvo_clear clear, unsigned int what)
{
	struct hvo_config cfg = rig_config(mode, 256);
	uint64_t before, free;
	hvo_pfn_t pfn = 1;
	struct rig r;
	int rc;

	cfg.clear = clear;
	rig_open(&r, RIG_SIM, &cfg);
	report_all(&r, 9);
	/* What the watermark kept here is used up first. */
	while (reported(&r) + 2 * HVO_PAGEBLOCK_FRAMES < rig_free(&r))
		rig_alloc(&r, HVO_GFP_KERNEL | HVO_GFP_NOWARN, 9);
	before = reported(&r);
	free = rig_free(&r);
	rig_arm(&r, 1, true);
	rc = take(&r, what, &pfn);
	assert_true(rig_disarm(&r));
	assert_int_equal(rc, -HVO_ENOMEM);
	assert_int_equal(reported(&r), before);
	assert_int_equal(rig_free(&r), free);
	rig_audit(&r);
	assert_int_equal(take(&r, what, &pfn), 0);
	/* A single frame may come of the block that is here. */
	assert_true(what ? reported(&r) < before : reported(&r) <= before);
	rig_audit(&r);
	rig_close(&r);
}

static void test_no_memory(void **state)
{
	unsigned int what, clear;

	(void)state;
	for (clear = HVO_CLEAR_ON_ALLOC; clear <= HVO_CLEAR_NEVER; clear++) {
		/* The single frame is here: only clearing it can fail. */
		for (what = clear != HVO_CLEAR_ON_ALLOC; what < 6; what++) {
			no_memory(HVO_ON_DEMAND, clear, what);
			no_memory(HVO_LINUX, clear, what);
		}
	}
}

/* A frame fails and its block cannot be cut for want of memory: set aside, later mended. */
static void test_failure_without_memory(void **state)
{
	struct hog h = { 0 };
	struct rig r;

	(void)state;
	open_mode(&r, HVO_ON_DEMAND, 256);
	report_all(&r, 9);
	rig_arm(&r, 1, true);
	assert_int_equal(hvo_memory_failure(r.m, 50000), -HVO_ENOMEM);
	assert_true(rig_disarm(&r));
	rig_audit(&r);
	assert_true(hvo_work(r.m, 10, NULL) > 0);
	rig_audit(&r);
	hog_all(&r, &h, 0, true);
	assert_int_equal(released(&r), 0);
	hog_release(&r, &h, UINT64_MAX);
	rig_audit(&r);
	rig_close(&r);
}

/* ---- somebody frees while a block comes back ------------------------------------------------------ */

struct meanwhile {
	struct rig *r;
	hvo_pfn_t last; /* the frame that was got last, freed when memory comes back */
	hvo_pfn_t back; /* and the block that did */
};

static void free_last(void *arg, hvo_pfn_t pfn, uint64_t nr)
{
	struct meanwhile *w = arg;

	if (nr != HVO_PAGEBLOCK_FRAMES)
		return;
	w->r->on_populate = NULL;
	w->back = pfn;
	rig_put(w->r, w->last);
}

/* The block that came back is used, also where by then there is a frame elsewhere. */
static void freed_meanwhile(enum hvo_mode mode)
{
	struct meanwhile w = { 0 };
	struct rig r;
	hvo_pfn_t pfn;

	open_mode(&r, mode, 256);
	pfn = rig_alloc(&r, HVO_GFP_KERNEL, 0);
	report_all(&r, 9);
	w.r = &r;
	r.on_populate_arg = &w;
	r.on_populate = free_last;
	while (r.on_populate) {
		w.last = pfn;
		pfn = rig_alloc(&r, HVO_GFP_KERNEL, 0);
	}
	assert_int_equal(pfn / HVO_PAGEBLOCK_FRAMES, w.back / HVO_PAGEBLOCK_FRAMES);
	rig_audit(&r);
	hvo_collapse(r.m, UINT64_MAX, NULL);
	rig_audit(&r);
	rig_put(&r, pfn);
	rig_audit(&r);
	rig_close(&r);
}

static void test_freed_meanwhile(void **state)
{
	(void)state;
	freed_meanwhile(HVO_ON_DEMAND);
	freed_meanwhile(HVO_LINUX);
}

/* ---- real memory ------------------------------------------------------------------------------------- */

static uint64_t backed(struct rig *r)
{
	struct hvo_linux_info info = { .size = sizeof(info) };

	assert_int_equal(hvo_linux_info(r->host, &info), 0);
	return info.backed_bytes;
}

static void test_real_memory(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	uint64_t before, done;
	struct hog h = { 0 };
	struct rig r;

	(void)state;
	rig_open(&r, RIG_LINUX, &cfg);
	before = backed(&r);
	done = report_all(&r, 9);
	assert_true(done * HVO_FRAME_SIZE >= 200 * MIB);
	assert_int_equal(backed(&r), before - done * HVO_FRAME_SIZE);
	hog_all(&r, &h, 0, true);
	assert_int_equal(backed(&r), before);
	assert_true(hog_intact(&r, &h));
	hog_release(&r, &h, UINT64_MAX);
	rig_audit(&r);
	rig_close(&r);
}

struct worker {
	struct rig *r;
	uint64_t seed;
	int failed;
};

static void *churn(void *arg)
{
	struct worker *w = arg;
	unsigned int i;

	for (i = 0; i < 300; i++) {
		unsigned int order = (unsigned int)(rig_random(&w->seed) % 13);
		hvo_pfn_t pfn;

		if (hvo_alloc_pages(w->r->m, HVO_GFP_KERNEL | HVO_GFP_NOWARN, order, 0, &pfn)) {
			w->failed++;
			continue;
		}
		if (!rig_zero(w->r, pfn, 1))
			w->failed += 1000;
		rig_fill(w->r, pfn, UINT64_C(1) << order, i + 1);
		if (!rig_intact(w->r, pfn, UINT64_C(1) << order, i + 1))
			w->failed += 1000;
		if (hvo_put_page(w->r->m, pfn))
			w->failed += 1000;
	}
	return NULL;
}

static void *give_back(void *arg)
{
	struct worker *w = arg;
	unsigned int i;

	for (i = 0; i < 300; i++)
		if (hvo_report_free(w->r->m, HVO_NODE_ANY, 9, 64 * HVO_PAGEBLOCK_FRAMES, NULL) < 0)
			w->failed++;
	return NULL;
}

/* Nobody finds memory missing that is only on its way, nor anything but zeroes in it. */
static void threads(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 256);
	struct worker w[3];
	pthread_t thread[3];
	struct rig r;
	unsigned int i;

	cfg.clear = HVO_CLEAR_ON_ALLOC;
	rig_open(&r, RIG_LINUX, &cfg);
	r.quiet = true;
	for (i = 0; i < 3; i++) {
		w[i] = (struct worker){ &r, i, 0 };
		assert_int_equal(pthread_create(&thread[i], NULL, i ? churn : give_back, &w[i]), 0);
	}
	for (i = 0; i < 3; i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(w[i].failed, 0);
	}
	rig_audit(&r);
	rig_close(&r);
}

static void test_threads(void **state)
{
	(void)state;
	threads(HVO_ON_DEMAND);
	threads(HVO_LINUX);
}

/* Of the node that is named, and of no other. */
static void of_one_node(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 512);
	uint64_t there[2], pfn;
	struct rig r;

	cfg.nr_nodes = 2;
	rig_open(&r, RIG_SIM, &cfg);
	assert_true(hvo_report_free(r.m, 1, 9, UINT64_MAX, NULL) > 0);
	for (pfn = there[0] = there[1] = 0; pfn < 131072; pfn += 512)
		there[pfn >= 65536] += hvo_reported(r.m, pfn);
	assert_int_equal(there[0], 0);
	assert_int_equal(there[1] * 512, reported(&r));
	assert_true(hvo_report_free(r.m, 0, 9, UINT64_MAX, NULL) > 0);
	assert_true(reported(&r) > there[1] * 512);
	rig_audit(&r);
	rig_close(&r);
}
EACH_MODE(of_one_node)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_of_one_node),
		cmocka_unit_test(test_zero_again),
		cmocka_unit_test(test_home_again),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_pools),
		cmocka_unit_test(test_contig),
		cmocka_unit_test(test_plug),
		cmocka_unit_test(test_failure),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_failure_without_memory),
		cmocka_unit_test(test_freed_meanwhile),
		cmocka_unit_test(test_real_memory),
		cmocka_unit_test(test_threads),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
