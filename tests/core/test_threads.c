// SPDX-License-Identifier: MIT
/*
 * Two threads on one machine: they allocate, free, split, cut and collapse, resize
 * pools, take and give back huge pages, and take references on frames they know
 * nothing of. Contents must survive, and the audit at the end must be clean. The
 * thread sanitizer looks at the rest.
 *
 * Locks: none here. What a thread allocated is its own; cmocka is called by the
 * main thread only.
 * In Linux: tools/testing/selftests/mm/, KCSAN.
 */
#include "crew.h"
#include "harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define THREADS 2
#define HELD 24

struct worker {
	struct rig *r;
	struct hvo_pool *pool;
	uint64_t random;
	unsigned int nr, steps, number;
	struct hog_block held[HELD];
	bool huge[HELD];
	uint64_t errors;
	const char *what; /* of the first one */
};

static void must(struct worker *w, bool ok, const char *what)
{
	if (ok)
		return;
	if (!w->errors++)
		w->what = what;
}

/* Two words a frame: most of the time is to go into the machine. */
static uint64_t *word(struct worker *w, const struct hog_block *b, unsigned int i)
{
	uint64_t nr = UINT64_C(1) << b->order;

	return (uint64_t *)hvo_window(w->r->m, i ? b->pfn + nr - 1 : b->pfn, 1) + (i ? 511 : 0);
}

static void keep(struct worker *w, hvo_pfn_t pfn, unsigned int order, bool huge)
{
	struct hog_block *b = &w->held[w->nr];

	b->pfn = pfn;
	b->order = order;
	w->huge[w->nr++] = huge;
	*word(w, b, 0) = pfn ^ w->number;
	*word(w, b, 1) = pfn ^ w->number;
}

static void drop(struct worker *w, unsigned int i)
{
	struct hog_block *b = &w->held[i];

	must(w, *word(w, b, 0) == (b->pfn ^ w->number) && *word(w, b, 1) == (b->pfn ^ w->number),
	     "contents");
	must(w, !hvo_put_page(w->r->m, b->pfn), "put");
	*b = w->held[--w->nr];
	w->huge[i] = w->huge[w->nr];
}

static void step_alloc(struct worker *w, unsigned int dice)
{
	static const unsigned int orders[] = { 0, 0, 0, 1, 3, 5, 8, 8, 9, 10 };
	unsigned int order = orders[dice % 10];
	unsigned int gfp = dice & 64 ? HVO_GFP_USER : HVO_GFP_KERNEL;
	hvo_pfn_t pfn;

	if (w->nr < HELD && !hvo_alloc_pages(w->r->m, gfp | HVO_GFP_NOWARN, order, -1, &pfn))
		keep(w, pfn, order, false);
}

static void step_split(struct worker *w, unsigned int dice)
{
	unsigned int i = dice % HELD, order;
	hvo_pfn_t pfn, part;
	int rc;

	if (i >= w->nr || w->huge[i] || !w->held[i].order)
		return;
	order = w->held[i].order;
	pfn = w->held[i].pfn;
	rc = hvo_split_page(w->r->m, pfn, order - 1);
	/* Somebody else may hold it for an instant. */
	must(w, !rc || rc == -HVO_EBUSY || rc == -HVO_ENOMEM, "split");
	if (rc)
		return;
	part = pfn + (UINT64_C(1) << (order - 1));
	must(w, *word(w, &w->held[i], 1) == (pfn ^ w->number), "contents after a split");
	w->held[i].order--;
	*word(w, &w->held[i], 1) = pfn ^ w->number;
	if (w->nr < HELD)
		keep(w, part, order - 1, false);
	else
		must(w, !hvo_put_page(w->r->m, part), "put of a part");
}

static void step_pool(struct worker *w, unsigned int dice)
{
	hvo_pfn_t pfn;

	switch (dice % 4) {
	case 0:
		must(w, !hvo_pool_resize(w->pool, -1, dice / 4 % 6, NULL), "resize");
		break;
	case 1:
		hvo_set_optimize(w->r->m, dice & 8);
		break;
	default:
		if (w->nr < HELD && !hvo_pool_alloc(w->pool, 0, -1, &pfn))
			keep(w, pfn, 9, true);
	}
}

/* Any frame at all: with a reference it does not go away. */
static void step_get(struct worker *w)
{
	const struct hvo_memmap *mm = hvo_machine_memmap(w->r->m);
	hvo_pfn_t pfn = rig_random(&w->random) % mm->nr_frames, head = 0;
	enum hvo_page_state state;
	int rc;

	if (w->nr && rig_random(&w->random) % 2)
		/* Near one's own, where the other one works too. */
		pfn = w->held[0].pfn ^ rig_random(&w->random) % 1024;
	if (pfn >= mm->nr_frames)
		return;
	rc = hvo_get_page(w->r->m, pfn, &head);
	must(w, !rc || rc == -HVO_EBUSY, "get");
	if (!rc) {
		hvo_read_lock(w->r->m);
		must(w, hvo_page_head(mm, pfn) == head, "head of a held page");
		state = hvo_page_state(hvo_page_ro(mm, head));
		must(w, state == HVO_PAGE_USED || state == HVO_PAGE_HUGETLB_USED, "state");
		hvo_read_unlock(w->r->m);
		must(w, !hvo_put_page(w->r->m, head), "put of a reference");
		return;
	}
	hvo_read_lock(w->r->m);
	head = hvo_page_head(mm, pfn);
	state = hvo_page_state(hvo_page_ro(mm, head));
	must(w, state < HVO_PAGE_NR_STATES, "state of any page");
	hvo_read_unlock(w->r->m);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned int i, dice;

	for (i = 0; i < w->steps; i++) {
		dice = (unsigned int)(rig_random(&w->random) >> 33);
		switch (dice % 16) {
		case 0:
			hvo_collapse(w->r->m, dice / 16 % 8, NULL);
			break;
		case 1:
			step_split(w, dice / 16);
			break;
		case 2:
		case 3:
			step_pool(w, dice / 16);
			break;
		case 4:
		case 5:
		case 6:
		case 7:
			step_get(w);
			break;
		case 8:
		case 9:
		case 10:
		case 11:
			step_alloc(w, dice / 16);
			break;
		default:
			if (w->nr)
				drop(w, dice / 16 % w->nr);
		}
	}
	while (w->nr)
		drop(w, w->nr - 1);
	return NULL;
}

static void together(enum rig_platform platform, enum hvo_mode mode, unsigned int steps)
{
	struct hvo_config cfg = rig_config(mode, 256);
	struct worker w[THREADS];
	struct crew crew = { 0 };
	struct rig r;
	unsigned int i;

	cfg.clear = HVO_CLEAR_ON_FREE;
	rig_open(&r, platform, &cfg);
	r.quiet = true;
	memset(w, 0, sizeof(w));
	assert_int_equal(hvo_pool_create(r.m, 9, &w[0].pool), 0);
	for (i = 0; i < THREADS; i++) {
		w[i].r = &r;
		w[i].pool = w[0].pool;
		w[i].random = rig_seed(0) * THREADS + i;
		w[i].number = i + 1;
		w[i].steps = steps;
		crew_add(&crew, work, &w[i]);
	}
	crew_go(&crew);
	crew_join(&crew);
	for (i = 0; i < THREADS; i++)
		if (w[i].errors)
			fail_msg("thread %u: %llu errors, the first: %s", i,
				 (unsigned long long)w[i].errors, w[i].what);
	rig_audit(&r);
	rig_resize(w[0].pool, HVO_NODE_ANY, 0);
	hvo_collapse(r.m, UINT64_MAX, NULL);
	rig_audit(&r);
	rig_close(&r);
}

/* ---- split against a reader ------------------------------------------------------ */

#define ROUNDS 400

struct split_race {
	struct hvo_machine *m;
	hvo_pfn_t pfn; /* atomic: what is being split */
	bool stop;     /* atomic */
	uint64_t got, lost;
};

/* References through any frame of the block, as quick as it can. */
static void *reader(void *arg)
{
	struct split_race *s = arg;
	uint64_t i = 0;
	hvo_pfn_t pfn, head;

	while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
		pfn = __atomic_load_n(&s->pfn, __ATOMIC_ACQUIRE);
		if (hvo_get_page(s->m, pfn + i++ % 2 * 5, &head))
			continue;
		s->got++;
		if (hvo_put_page(s->m, head))
			s->lost++;
	}
	return NULL;
}

/* A reference taken while the block is split is not lost: it counts, or is refused. */
static void split_against_reader(enum rig_platform platform, enum hvo_mode mode)
{
	static const unsigned int orders[] = { 3, 9 };
	struct hvo_config cfg = rig_config(mode, 128);
	struct split_race s = { 0 };
	pthread_t thread;
	struct rig r;
	unsigned int n, i, bad = 0;
	hvo_pfn_t pfn;

	rig_open(&r, platform, &cfg);
	r.quiet = true;
	s.m = r.m;
	s.pfn = rig_alloc(&r, HVO_GFP_KERNEL, 3);
	assert_int_equal(pthread_create(&thread, NULL, reader, &s), 0);
	for (n = 0; n < ROUNDS; n++) {
		unsigned int order = orders[n % 8 == 0];

		if (hvo_alloc_pages(r.m, HVO_GFP_KERNEL, order, -1, &pfn)) {
			bad++;
			break;
		}
		__atomic_store_n(&s.pfn, pfn, __ATOMIC_RELEASE);
		while (hvo_split_page(r.m, pfn, 0) == -HVO_EBUSY)
			;
		for (i = 0; i < 1u << order; i++)
			bad += hvo_put_page(r.m, pfn + i) != 0;
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(bad + s.lost, 0);
	rig_audit(&r);
	rig_close(&r);
}

static void test_split_against_reader(void **state)
{
	(void)state;
	split_against_reader(RIG_SIM, HVO_ON_DEMAND);
	split_against_reader(RIG_LINUX, HVO_ON_DEMAND);
	split_against_reader(RIG_LINUX, HVO_LINUX);
}

static void test_sim_on_demand(void **state)
{
	(void)state;
	together(RIG_SIM, HVO_ON_DEMAND, 3000);
}

static void test_sim_linux_mode(void **state)
{
	(void)state;
	together(RIG_SIM, HVO_LINUX, 3000);
}

static void test_linux_on_demand(void **state)
{
	(void)state;
	together(RIG_LINUX, HVO_ON_DEMAND, 6000);
}

static void test_linux_linux_mode(void **state)
{
	(void)state;
	together(RIG_LINUX, HVO_LINUX, 6000);
}

/* ---- whom a machine calls ---------------------------------------------------------- */

struct called {
	struct hvo_shrinker shrinker;
	struct hvo_machine *m;
	pthread_t other;
	bool oom;
	unsigned int calls;
	atomic_bool gone;
};

static void *take_away(void *arg)
{
	struct called *c = arg;

	if (c->oom)
		(void)hvo_set_oom_notifier(c->m, NULL, NULL);
	else
		(void)hvo_shrinker_unregister(c->m, &c->shrinker);
	atomic_store(&c->gone, true);
	return NULL;
}

/* Somebody takes away what is just called, and has to wait until it returns. */
static uint64_t while_called(struct called *c)
{
	if (c->calls++)
		return 0;
	assert_int_equal(pthread_create(&c->other, NULL, take_away, c), 0);
	(void)usleep(20000);
	assert_false(atomic_load(&c->gone));
	return 0;
}

static uint64_t on_scan(struct hvo_shrinker *shrinker, struct hvo_machine *m, uint64_t nr_frames)
{
	(void)m;
	(void)nr_frames;
	return while_called(shrinker->arg);
}

static uint64_t on_oom(void *arg, struct hvo_machine *m, unsigned int order)
{
	(void)m;
	(void)order;
	return while_called(arg);
}

static void test_taken_away(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 128);
	unsigned int oom;

	(void)state;
	for (oom = 0; oom < 2; oom++) {
		struct called c = { .oom = oom };
		struct hog hog = { 0 };
		struct rig r;
		hvo_pfn_t pfn;

		rig_open(&r, RIG_LINUX, &cfg);
		hog_all(&r, &hog, 0, false);
		c.m = r.m;
		c.shrinker = (struct hvo_shrinker){ sizeof(c.shrinker), on_scan, &c, NULL };
		if (oom)
			assert_int_equal(hvo_set_oom_notifier(r.m, on_oom, &c), 0);
		else
			assert_int_equal(hvo_shrinker_register(r.m, &c.shrinker), 0);
		assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_KERNEL, 0, 0, &pfn), -HVO_ENOMEM);
		assert_int_equal(c.calls, 1);
		assert_int_equal(pthread_join(c.other, NULL), 0);
		assert_true(c.gone);
		assert_int_equal(hvo_alloc_pages(r.m, HVO_GFP_KERNEL, 0, 0, &pfn), -HVO_ENOMEM);
		assert_int_equal(c.calls, 1);
		hog_release(&r, &hog, UINT64_MAX);
		rig_audit(&r);
		rig_close(&r);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sim_on_demand),
		cmocka_unit_test(test_sim_linux_mode),
		cmocka_unit_test(test_linux_on_demand),
		cmocka_unit_test(test_linux_linux_mode),
		cmocka_unit_test(test_split_against_reader),
		cmocka_unit_test(test_taken_away),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
