// SPDX-License-Identifier: MIT
/*
 * The sim's scheduler and its snapshots, by themselves: the same plan is the same run, all
 * interleavings are all, and what is wrong is found and said.
 */
#include "program.h"

#include <string.h>

#include "world.h"

#define ALL_POINTS UINT32_MAX

static struct sched *s;

static int set_up(void **state)
{
	(void)state;
	return sched_create(&s);
}

static int tear_down(void **state)
{
	(void)state;
	sched_destroy(s);
	return 0;
}

/* ---- what is run --------------------------------------------------------------------------- */

struct shared {
	uint32_t a, b; /* words of locks */
	unsigned int count, seen[SCHED_THREADS];
	char log[256];
	unsigned int nr_log;
};

static void log_thread(struct shared *x, unsigned int thread)
{
	if (x->nr_log < sizeof(x->log) - 1)
		x->log[x->nr_log++] = (char)('0' + thread);
}

static void steps(void *arg, unsigned int thread)
{
	unsigned int i;

	for (i = 0; i < 10; i++) {
		hvo_step(STEP_MARK, arg);
		log_thread(arg, thread);
	}
}

/* Load, and store what depends on it: between the two another thread may come. */
static void lose_update(void *arg, unsigned int thread)
{
	struct shared *x = arg;
	unsigned int count = x->count;

	(void)thread;
	hvo_step(STEP_MARK, &x->count);
	x->count = count + 1;
}

static void lock(uint32_t *word)
{
	hvo_step(STEP_LOCK, word);
	while (*word)
		sched_lock_wait(word, 1);
	*word = 1;
	hvo_step_locked(word);
}

static void unlock(uint32_t *word)
{
	hvo_step_unlocked(word);
	*word = 0;
	hvo_step(STEP_UNLOCK, word);
}

static void cross_locks(void *arg, unsigned int thread)
{
	struct shared *x = arg;

	lock(thread ? &x->b : &x->a);
	lock(thread ? &x->a : &x->b);
	unlock(&x->a);
	unlock(&x->b);
}

static void count_locked(void *arg, unsigned int thread)
{
	struct shared *x = arg;

	lock(&x->a);
	lose_update(arg, thread);
	unlock(&x->a);
}

static void release_only(void *arg, unsigned int thread)
{
	struct shared *x = arg;

	if (!thread)
		lock(&x->a);
	hvo_step(STEP_BETWEEN, NULL);
	unlock(&x->a);
}

static void keep_lock(void *arg, unsigned int thread)
{
	(void)thread;
	lock(&((struct shared *)arg)->a);
}

static void sleep_for_ever(void *arg, unsigned int thread)
{
	(void)arg;
	(void)thread;
	for (;;)
		sched_sleep();
}

static void touch_nothing(void *arg, unsigned int thread)
{
	int *volatile nothing = (int *)(uintptr_t)16;

	(void)arg;
	if (thread)
		*nothing = 1;
	hvo_step(STEP_MARK, NULL);
}

/* Thread 0 reads; thread 1 waits for readers, and may then take away what they read. */
static void read_or_reclaim(void *arg, unsigned int thread)
{
	struct shared *x = arg;
	unsigned int i;

	if (thread) {
		x->count = 1;
		sched_quiesce();
		x->count = 2;
		return;
	}
	for (i = 0; i < 2; i++) {
		sched_read_lock();
		x->seen[0] = x->count;
		hvo_step(STEP_MARK, &x->count);
		/* What was there at the start of the section has not gone. */
		if (!x->seen[0] && x->count == 2)
			sched_find(SCHED_CHECK, "reclaimed while it is read", i);
		sched_read_unlock();
	}
}

/* ---- tests ---------------------------------------------------------------------------------- */

static struct sched_result run(const struct sched_plan *plan, unsigned int nr,
			       void (*body)(void *arg, unsigned int thread), struct shared *x)
{
	struct sched_result r;

	memset(x, 0, sizeof(*x));
	sched_run(s, plan, nr, body, x, &r);
	return r;
}

static void test_same_seed(void **state)
{
	struct sched_plan plan = { .mode = SCHED_RANDOM, .points = ALL_POINTS, .one_in = 2 };
	struct shared a, b;
	unsigned int differ = 0;

	(void)state;
	for (plan.seed = 0; plan.seed < 50; plan.seed++) {
		assert_int_equal(run(&plan, 3, steps, &a).finding, SCHED_FINE);
		run(&plan, 3, steps, &b);
		assert_string_equal(a.log, b.log);
		assert_int_equal(strlen(a.log), 30);
		plan.seed += 1000;
		run(&plan, 3, steps, &b);
		plan.seed -= 1000;
		differ += strcmp(a.log, b.log) != 0;
	}
	assert_true(differ > 40);
}

static void replays(enum sched_mode mode)
{
	struct sched_plan plan = {
		.mode = mode, .points = ALL_POINTS, .one_in = 3, .preemptions = 4
	};
	struct sched_switch list[256];
	struct sched_result r;
	struct shared a, b;

	for (plan.seed = 0; plan.seed < 50; plan.seed++) {
		struct sched_plan again = { .mode = SCHED_REPLAY,
					    .points = ALL_POINTS,
					    .replay = list };

		r = run(&plan, 3, steps, &a);
		assert_true(r.nr_record <= 256);
		memcpy(list, r.record, r.nr_record * sizeof(*list));
		again.nr_replay = r.nr_record;
		r = run(&again, 3, steps, &b);
		assert_string_equal(a.log, b.log);
		assert_int_equal(r.nr_record, again.nr_replay);
	}
}

static void test_replay(void **state)
{
	(void)state;
	replays(SCHED_RANDOM);
	replays(SCHED_PRIORITY);
}

/* How many executions there are, and in how many of them an update is lost. */
static unsigned int explore(unsigned int preemptions, unsigned int nr,
			    void (*body)(void *arg, unsigned int thread), unsigned int *ret_lost)
{
	struct sched_plan plan = { .mode = SCHED_EXPLORE,
				   .points = ALL_POINTS,
				   .preemptions = preemptions };
	unsigned int runs = 0;
	struct shared x;

	*ret_lost = 0;
	sched_explore(s);
	do {
		assert_int_equal(run(&plan, nr, body, &x).finding, SCHED_FINE);
		*ret_lost += x.count != nr;
		runs++;
	} while (sched_next(s));
	return runs;
}

static void test_all_interleavings(void **state)
{
	unsigned int lost;

	(void)state;
	/* Two threads of two parts: 6 orders of the parts; bound by one preemption, 4. */
	assert_int_equal(explore(0, 2, lose_update, &lost), 2);
	assert_int_equal(lost, 0);
	assert_int_equal(explore(1, 2, lose_update, &lost), 4);
	assert_int_equal(lost, 2);
	assert_int_equal(explore(9, 2, lose_update, &lost), 6);
	assert_int_equal(lost, 4);
	assert_int_equal(explore(9, 3, lose_update, &lost), 90);
	/* A lock helps, however they are switched. */
	assert_true(explore(9, 2, count_locked, &lost) > 6);
	assert_int_equal(lost, 0);
	assert_true(explore(2, 3, count_locked, &lost) > 20);
	assert_int_equal(lost, 0);
}

/* Explore until something is found. */
static struct sched_result find(unsigned int nr, void (*body)(void *arg, unsigned int thread),
				struct shared *x)
{
	struct sched_plan plan = { .mode = SCHED_EXPLORE, .points = ALL_POINTS, .preemptions = 2 };
	struct sched_result r;

	sched_explore(s);
	do
		r = run(&plan, nr, body, x);
	while (!r.finding && sched_next(s));
	return r;
}

static void test_deadlock(void **state)
{
	void *stack[SCHED_STACK];
	struct shared x;

	(void)state;
	assert_int_equal(find(2, cross_locks, &x).finding, SCHED_DEADLOCK);
	assert_true(x.a && x.b);
	/* Where each of the two waits. */
	assert_true(sched_stack(s, 0, stack) > 2);
	assert_true(sched_stack(s, 1, stack) > 2);
	/* Alone, each of them comes to its end. */
	assert_int_equal(find(1, cross_locks, &x).finding, SCHED_FINE);
}

static void test_findings(void **state)
{
	struct sched_plan plan = { .mode = SCHED_RANDOM, .points = ALL_POINTS, .max_steps = 1000 };
	struct sched_result r;
	struct shared x;

	(void)state;
	assert_int_equal(run(&plan, 2, sleep_for_ever, &x).finding, SCHED_LIVELOCK);
	r = find(2, touch_nothing, &x);
	assert_int_equal(r.finding, SCHED_CRASH);
	assert_int_equal(r.where, 16);
	assert_int_equal(r.thread, 1);
	assert_int_equal(find(2, release_only, &x).finding, SCHED_CHECK);
	r = find(1, keep_lock, &x);
	assert_int_equal(r.finding, SCHED_CHECK);
	assert_non_null(strstr(r.what, "with a lock held"));
	/* The next run knows nothing of it. */
	assert_int_equal(find(2, count_locked, &x).finding, SCHED_FINE);
}

static void test_readers(void **state)
{
	struct shared x;

	(void)state;
	assert_int_equal(find(2, read_or_reclaim, &x).finding, SCHED_FINE);
	/* Nobody waits for those who begin to read later: so the last section can see both. */
	assert_int_equal(x.count, 2);
}

/* ---- snapshots ------------------------------------------------------------------------------- */

static uint64_t sum_of(struct world *w)
{
	uint64_t sum = 0, *words, i;
	hvo_pfn_t pfn;

	for (pfn = 0; pfn < MEMORY_END; pfn++) {
		words = (void *)hvo_sim_bytes(w->sim, pfn);
		for (i = 0; i < HVO_FRAME_SIZE / 8; i++)
			sum = (sum ^ words[i]) * UINT64_C(0x100000001b3);
	}
	return sum;
}

static void test_snapshot(void **state)
{
	struct hvo_machine_stat before = { .size = sizeof(before) }, after = before;
	hvo_pfn_t first = 0, pfn = 0;
	struct world w;
	uint64_t sum;
	unsigned int i;

	(void)state;
	assert_int_equal(world_open(&w, HVO_ON_DEMAND, 0, 0), 0);
	assert_int_equal(hvo_alloc_pages(w.m, HVO_GFP_USER, 0, ANY, &pfn), 0);
	world_hold(&w, pfn, 1, false);
	assert_int_equal(world_save(&w), 0);
	assert_int_equal(hvo_machine_stat(w.m, &before), 0);
	sum = sum_of(&w);
	for (i = 0; i < 5; i++) {
		assert_int_equal(hvo_alloc_pages(w.m, HVO_GFP_USER | HVO_GFP_ZERO, i, ANY, &pfn),
				 0);
		if (!i)
			first = pfn;
		memset(hvo_window(w.m, pfn, 1), 0x55, HVO_FRAME_SIZE);
		assert_int_equal(hvo_alloc_pages(w.m, HVO_GFP_USER | HVO_GFP_ZERO,
						 HVO_PAGEBLOCK_ORDER, ANY, &pfn),
				 0);
		memset(hvo_window(w.m, pfn, SOME), 0x77, SOME * HVO_FRAME_SIZE);
		assert_int_equal(hvo_report_free(w.m, ANY, HVO_PAGEBLOCK_ORDER,
						 HVO_PAGEBLOCK_FRAMES, NULL),
				 HVO_PAGEBLOCK_FRAMES);
		assert_int_not_equal(sum_of(&w), sum);
		world_restore(&w);
		assert_int_equal(sum_of(&w), sum);
		assert_int_equal(hvo_machine_stat(w.m, &after), 0);
		assert_memory_equal(&before, &after, sizeof(before));
		assert_int_equal(hvo_machine_audit(w.m, NULL, NULL), 0);
	}
	/* The next allocation is what it was the first time. */
	assert_int_equal(hvo_alloc_pages(w.m, HVO_GFP_USER | HVO_GFP_ZERO, 0, ANY, &pfn), 0);
	assert_int_equal(pfn, first);
	world_close(&w);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_seed),	  cmocka_unit_test(test_replay),
		cmocka_unit_test(test_all_interleavings), cmocka_unit_test(test_deadlock),
		cmocka_unit_test(test_findings),	  cmocka_unit_test(test_readers),
		cmocka_unit_test(test_snapshot),
	};

	return run_program(argc, argv, tests, set_up, tear_down);
}
