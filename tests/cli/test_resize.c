/* SPDX-License-Identifier: MIT */
/*
 * Changing a pool and seeing what came of it (src/cli/pool/resize.c), against a model of how Linux
 * behaves: which frees it refuses and how it counts those pages, what a second write of the
 * same number does, what growing converts, what stays because somebody has it.
 *
 * The model is set_max_huge_pages() with numbers instead of pages: a node has a number of
 * pages, of free ones and of surplus ones. Its time is virtual.
 * In Linux: mm/hugetlb.c, set_max_huge_pages(), update_and_free_pages_bulk(),
 * bulk_vmemmap_restore_error(), demote_pool_huge_page().
 */
#include "cli/pool/resize.h"
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES 2
#define ALL_NODES (-1)
#define PLENTY UINT64_C(1000000)
#define NEEDS 7 /* frames for the descriptors of a page */
#define STEP 512
#define SECOND UINT64_C(1000000000)

struct model_node {
	uint64_t total, free, surplus;
	uint64_t blocks; /* that a page could still be made of */
};

/**
 * struct model - a pool as Linux has it
 * @frames: for descriptors
 * @gives: frames that a freed page adds to them; none where it lies in a movable zone
 * @node_of: the node that is resized, or ALL_NODES
 * @fail_write, @fail_read: the n-th fails, from 1; 0: none
 * @on_pause, @on_write: what others do meanwhile
 */
struct model {
	struct model_node node[NODES];
	uint64_t reserved, overcommit;
	uint64_t frames, gives;
	int node_of;
	int next; /* node, round robin */

	uint64_t now;
	unsigned int writes, reads, pauses;
	unsigned int fail_write, fail_read;
	bool interrupted;
	bool poisoned;
	void (*on_pause)(struct model *m);
	void (*on_write)(struct model *m, uint64_t nr);
};

/* ---- the model -------------------------------------------------------------------- */

static uint64_t sum_total(const struct model *m)
{
	return m->node[0].total + m->node[1].total;
}

static uint64_t sum_free(const struct model *m)
{
	return m->node[0].free + m->node[1].free;
}

static uint64_t sum_surplus(const struct model *m)
{
	return m->node[0].surplus + m->node[1].surplus;
}

static uint64_t persistent(const struct model *m)
{
	return sum_total(m) - sum_surplus(m);
}

static bool allowed(const struct model *m, int node)
{
	return m->node_of == ALL_NODES || m->node_of == node;
}

static bool can_unsurplus(const struct model_node *n)
{
	return n->surplus;
}

static bool can_surplus(const struct model_node *n)
{
	return n->surplus < n->total;
}

static bool can_grow(const struct model_node *n)
{
	return n->blocks;
}

static bool can_shrink(const struct model_node *n)
{
	return n->free;
}

/* The next node that @can, round robin; NULL if none. */
static struct model_node *next_node(struct model *m, bool (*can)(const struct model_node *n))
{
	int i, node;

	for (i = 0; i < NODES; i++) {
		node = (m->next + i) % NODES;
		if (!allowed(m, node) || !can(&m->node[node]))
			continue;
		m->next = (node + 1) % NODES;
		return &m->node[node];
	}
	return NULL;
}

static void grow(struct model *m, uint64_t count)
{
	struct model_node *n;

	while (count > persistent(m) && (n = next_node(m, can_unsurplus)))
		n->surplus--;
	while (count > persistent(m) && (n = next_node(m, can_grow))) {
		n->blocks--;
		n->total++;
		n->free++;
	}
}

/* Pages leave the pool first and are restored then; those that cannot be come back. */
static void shrink(struct model *m, uint64_t count)
{
	uint64_t used = m->reserved + sum_total(m) - sum_free(m);
	uint64_t least = count > used ? count : used, out[NODES] = { 0 };
	struct model_node *n;
	int i;

	while (least < persistent(m) && (n = next_node(m, can_shrink))) {
		n->total--;
		n->free--;
		out[n - m->node]++;
	}
	for (i = 0; i < NODES; i++)
		for (; out[i]; out[i]--) {
			if (m->frames >= NEEDS) {
				m->frames += m->gives;
				m->frames -= NEEDS;
				m->node[i].blocks++;
				continue;
			}
			m->node[i].total++;
			m->node[i].free++;
			m->node[i].surplus++;
		}
	while (count < persistent(m) && (n = next_node(m, can_surplus)))
		n->surplus++;
}

static int model_write(void *ctx, uint64_t nr)
{
	struct model *m = ctx;
	struct model_node *n;

	if (++m->writes == m->fail_write)
		return -EACCES;
	if (m->node_of != ALL_NODES) {
		n = &m->node[m->node_of];
		nr += persistent(m) - (n->total - n->surplus);
	}
	grow(m, nr);
	shrink(m, nr);
	if (m->on_write)
		m->on_write(m, nr);
	return 0;
}

static uint64_t stuck_of(const struct model_node *n)
{
	return n->free < n->surplus ? n->free : n->surplus;
}

static int model_read(void *ctx, struct resize_counts *ret)
{
	struct model *m = ctx;
	const struct model_node *n = &m->node[m->node_of == ALL_NODES ? 0 : m->node_of];
	uint64_t stuck = stuck_of(n), unpromised = sum_free(m) - m->reserved;

	if (++m->reads == m->fail_read)
		return -EIO;
	ret->total = n->total;
	ret->free = n->free;
	ret->surplus = n->surplus;
	if (m->node_of == ALL_NODES) {
		ret->total = sum_total(m);
		ret->free = sum_free(m);
		ret->surplus = sum_surplus(m);
		stuck += stuck_of(&m->node[1]);
	}
	ret->stuck = stuck < unpromised ? stuck : unpromised;
	ret->reserved = m->reserved;
	ret->overcommit = m->overcommit;
	return 0;
}

/* A page of 512; what it becomes goes to another pool. */
static int model_demote(void *ctx, uint64_t nr)
{
	struct model *m = ctx;
	struct model_node *n;

	if (++m->writes == m->fail_write)
		return -EACCES;
	for (; nr && sum_free(m) > m->reserved; nr--) {
		if (m->poisoned)
			return -EBUSY;
		if (m->frames < NEEDS)
			return -ENOMEM;
		n = next_node(m, can_shrink);
		if (!n)
			break;
		n->total--;
		n->free--;
		m->frames -= NEEDS;
		m->frames += m->gives;
	}
	return 0;
}

static uint64_t model_now(void *ctx)
{
	return ((struct model *)ctx)->now;
}

static void model_pause(void *ctx, uint64_t ns)
{
	struct model *m = ctx;

	assert_true(ns > 0);
	m->now += ns;
	m->pauses++;
	if (m->on_pause)
		m->on_pause(m);
}

static bool model_interrupted(void *ctx)
{
	return ((struct model *)ctx)->interrupted;
}

static void model_progress(void *ctx, const struct resize_counts *now, uint64_t wanted)
{
	struct model *m = ctx;

	(void)m;
	(void)wanted;
	assert_true(now->free <= now->total && now->surplus <= now->total);
}

static const struct resize_ops ops = {
	.read = model_read,
	.write_nr = model_write,
	.demote = model_demote,
	.now_ns = model_now,
	.pause = model_pause,
	.interrupted = model_interrupted,
	.progress = model_progress,
};

/* All of it on node 0. */
static struct model model_of(uint64_t total, uint64_t free, uint64_t surplus)
{
	struct model m = { .node = { { total, free, surplus, PLENTY } },
			   .frames = PLENTY,
			   .node_of = ALL_NODES };

	return m;
}

static struct resize_report run(struct model *m, uint64_t wanted, uint64_t wait_ns)
{
	struct resize_report r;

	resize_run(&ops, m, wanted, STEP, wait_ns, &r);
	if (!r.err)
		assert_int_equal(r.after.total, m->node_of == ALL_NODES ?
							sum_total(m) :
							m->node[m->node_of].total);
	return r;
}

/* ---- growing ------------------------------------------------------------------------- */

static void test_grow(void **state)
{
	struct model m = model_of(0, 0, 0);
	struct resize_report r = run(&m, 100, RESIZE_NO_WAIT);

	(void)state;
	assert_true(r.done);
	assert_int_equal(sum_total(&m), 100);
	assert_int_equal(m.writes, 1);
	assert_int_equal(r.before.total, 0);
	assert_int_equal(r.retries, 0);
	/* In steps. */
	r = run(&m, 100000, RESIZE_NO_WAIT);
	assert_true(r.done);
	assert_int_equal(sum_total(&m), 100000);
	assert_in_range(m.writes, 1 + RESIZE_STEPS / 2, 1 + RESIZE_STEPS + 1);
	r = run(&m, 0, RESIZE_NO_WAIT);
	assert_true(r.done);
	assert_int_equal(sum_total(&m), 0);
	assert_int_equal(m.pauses, 0);
}

/* Nobody may have the right to write what is there already. */
static void test_as_it_is(void **state)
{
	struct model m = model_of(100, 40, 0);
	struct resize_report r = run(&m, 100, RESIZE_NO_WAIT);

	(void)state;
	assert_true(r.done);
	assert_int_equal(m.writes, 0);
	assert_int_equal(r.after.total, 100);
}

static void find_blocks(struct model *m)
{
	if (m->now >= SECOND)
		m->node[0].blocks = PLENTY;
}

static void test_grow_short(void **state)
{
	struct model m = model_of(0, 0, 0);
	struct resize_report r;

	(void)state;
	m.node[0].blocks = 600;
	r = run(&m, 5000, RESIZE_NO_WAIT);
	assert_false(r.done);
	assert_int_equal(r.missing, 4400);
	assert_int_equal(r.refused + r.held + r.extra, 0);
	assert_int_equal(r.after.total, 600);
	assert_true(r.retries > 0);
	/* It gave up by itself, and did not go on in steps without any use. */
	assert_true(m.writes < 10);
	m.on_pause = find_blocks;
	r = run(&m, 5000, 10 * SECOND);
	assert_true(r.done);
	assert_true(m.now >= SECOND && m.now < 10 * SECOND);
}

/* ---- refused frees ---------------------------------------------------------------------- */

static void find_frames(struct model *m)
{
	if (m->now >= SECOND)
		m->frames = PLENTY;
}

static void test_refused(void **state)
{
	struct model m = model_of(64, 64, 0);
	struct resize_report r;

	(void)state;
	m.frames = 0;
	r = run(&m, 0, RESIZE_NO_WAIT);
	assert_false(r.done);
	assert_int_equal(r.refused, 64);
	assert_int_equal(r.missing + r.held + r.extra, 0);
	assert_int_equal(r.after.surplus, 64);
	assert_int_equal(r.retries, RESIZE_IDLE_ROUNDS);
	/* The number that was written is in force, whatever there is: no round stops halfway. */
	assert_int_equal(persistent(&m), 0);

	/* Linux does nothing for the same number; here it is tried again. */
	m.frames = PLENTY;
	assert_int_equal(model_write(&m, 0), 0);
	assert_int_equal(sum_total(&m), 64);
	r = run(&m, 0, RESIZE_NO_WAIT);
	assert_true(r.done);
	assert_int_equal(sum_total(&m), 0);
}

static void test_refused_wait(void **state)
{
	struct model m = model_of(64, 64, 0);
	struct resize_report r;

	(void)state;
	m.frames = 0;
	m.on_pause = find_frames;
	r = run(&m, 10, 60 * SECOND);
	assert_true(r.done);
	assert_int_equal(sum_total(&m), 10);
	assert_int_equal(sum_surplus(&m), 0);
	assert_true(m.now >= SECOND && m.now < 10 * SECOND);

	/* The time is over, and not much later. */
	m = model_of(64, 64, 0);
	m.frames = 0;
	r = run(&m, 10, 5 * SECOND);
	assert_false(r.done);
	assert_int_equal(r.refused, 54);
	assert_int_equal(m.now, 5 * SECOND);

	/* Forever is long. */
	m = model_of(64, 64, 0);
	m.frames = 0;
	m.on_pause = find_frames;
	r = run(&m, 10, RESIZE_WAIT_FOREVER);
	assert_true(r.done);
}

static void trickle(struct model *m)
{
	m->frames += 3 * NEEDS;
}

/* What others let go between two rounds frees a few pages: so it goes on without waiting. */
static void on_write_trickle(struct model *m, uint64_t nr)
{
	if (nr == 0)
		trickle(m);
}

static void test_refused_in_part(void **state)
{
	struct model m = model_of(64, 64, 0);
	struct resize_report r;

	(void)state;
	m.frames = 20 * NEEDS;
	r = run(&m, 0, RESIZE_NO_WAIT);
	assert_int_equal(r.refused, 44);
	assert_int_equal(r.after.total, 44);

	m.on_write = on_write_trickle;
	r = run(&m, 0, RESIZE_NO_WAIT);
	assert_true(r.done);
	assert_true(r.retries > 44 / 3);

	/* A freed page gives the memory for the next ones: nothing is refused. */
	m = model_of(64, 64, 0);
	m.frames = NEEDS;
	m.gives = 512;
	r = run(&m, 0, RESIZE_NO_WAIT);
	assert_true(r.done);
}

/* To grow is to find those pages first. */
static void test_refused_then_grow(void **state)
{
	struct model m = model_of(20, 20, 8);
	struct resize_report r = run(&m, 16, RESIZE_NO_WAIT);

	(void)state;
	assert_true(r.done);
	assert_int_equal(sum_total(&m), 16);
	assert_int_equal(sum_surplus(&m), 0);
	assert_int_equal(m.node[0].blocks, PLENTY + 4); /* four were freed, none was made */
}

/*
 * Pages in use count against what may leave the pool: only if all surplus becomes persistent,
 * that of users too, do the stuck ones go. A raise by their number alone frees nothing.
 */
static void test_refused_beside_used(void **state)
{
	struct model m = model_of(17, 3, 7);
	struct resize_report r;

	(void)state;
	m.overcommit = 4;
	assert_int_equal(model_write(&m, 13), 0);
	assert_int_equal(model_write(&m, 10), 0);
	assert_int_equal(sum_total(&m), 17);

	r = run(&m, 10, RESIZE_NO_WAIT);
	assert_true(r.done);
	assert_int_equal(sum_total(&m), 14);
	assert_int_equal(sum_surplus(&m), 4);
	assert_int_equal(sum_free(&m), 0);
}

/* ---- pages that somebody has ---------------------------------------------------------- */

/* A user lets go of one page for each pause: it leaves, since there is surplus. */
static void let_go(struct model *m)
{
	if (m->node[0].total > m->node[0].free && m->node[0].surplus) {
		m->node[0].total--;
		m->node[0].surplus--;
	}
}

static void test_held(void **state)
{
	struct model m = model_of(20, 10, 0);
	struct resize_report r = run(&m, 5, RESIZE_NO_WAIT);

	(void)state;
	assert_false(r.done);
	assert_int_equal(r.held, 5);
	assert_int_equal(r.missing + r.refused + r.extra, 0);
	assert_int_equal(r.after.total, 10);
	assert_int_equal(m.pauses, 0); /* there is nothing to try */
	m.on_pause = let_go;
	r = run(&m, 5, 100 * SECOND);
	assert_true(r.done);
	assert_int_equal(r.after.total, 5);
	assert_true(m.writes <= 3); /* it only looked */
}

static void test_reserved(void **state)
{
	struct model m = model_of(20, 20, 0);
	struct resize_report r;

	(void)state;
	m.reserved = 8;
	r = run(&m, 5, RESIZE_NO_WAIT);
	assert_int_equal(r.held, 3);
	assert_int_equal(r.refused, 0);
	assert_int_equal(r.after.total, 8);
}

/* What users took within the limit is theirs, and no reason to complain. */
static void test_overcommitted(void **state)
{
	struct model m = model_of(15, 0, 5);
	struct resize_report r;

	(void)state;
	m.overcommit = 5;
	r = run(&m, 10, RESIZE_NO_WAIT);
	assert_true(r.done);
	assert_int_equal(r.after.surplus, 5);
	r = run(&m, 7, RESIZE_NO_WAIT);
	assert_int_equal(r.held, 3);
	/* Above the limit from the start: those should be gone. */
	m = model_of(15, 0, 5);
	m.overcommit = 1;
	r = run(&m, 10, RESIZE_NO_WAIT);
	assert_int_equal(r.held, 4);
}

/* ---- nodes -------------------------------------------------------------------------------- */

static void test_node(void **state)
{
	struct model m = model_of(10, 10, 0);
	struct resize_report r;

	(void)state;
	m.node[1].blocks = 40;
	m.node_of = 1;
	r = run(&m, 30, RESIZE_NO_WAIT);
	assert_true(r.done);
	assert_int_equal(m.node[1].total, 30);
	assert_int_equal(m.node[0].total, 10);
	r = run(&m, 50, RESIZE_NO_WAIT);
	assert_int_equal(r.missing, 10);
	m.frames = 0;
	r = run(&m, 8, RESIZE_NO_WAIT);
	assert_int_equal(r.refused, 32);
	assert_int_equal(m.node[1].total, 40);
	assert_int_equal(m.node[0].total, 10);
	m.frames = PLENTY;
	r = run(&m, 8, RESIZE_NO_WAIT);
	assert_true(r.done);
	assert_int_equal(m.node[1].total, 8);
	assert_int_equal(m.node[0].total, 10);
}

/* ---- the end before the end ---------------------------------------------------------------- */

static void interrupt_at_3(struct model *m, uint64_t nr)
{
	(void)nr;
	m->interrupted = m->writes >= 3;
}

static void test_interrupted_step(void **state)
{
	struct model m = model_of(0, 0, 0);
	struct resize_report r;

	(void)state;
	m.on_write = interrupt_at_3;
	r = run(&m, 64000, RESIZE_WAIT_FOREVER);
	assert_true(r.interrupted);
	assert_false(r.done);
	assert_int_equal(r.after.total, 3 * 1001);
	assert_int_equal(r.missing, 64000 - 3 * 1001);
	assert_int_equal(sum_surplus(&m), 0);
	m.writes = 0;
	m.interrupted = false;
	r = run(&m, 0, RESIZE_WAIT_FOREVER);
	assert_true(r.interrupted);
	assert_int_equal(r.extra, 3 * 1001 - 3 * 512);
}

static uint64_t raised_to;

static void interrupt_raise(struct model *m, uint64_t nr)
{
	if (nr != 10) {
		raised_to = nr;
		m->interrupted = true;
	}
}

/* Between the raise and the fall: it falls all the same. */
static void test_interrupted_round(void **state)
{
	struct model m = model_of(64, 64, 0);
	struct resize_report r;

	(void)state;
	m.frames = 0;
	m.on_write = interrupt_raise;
	raised_to = 0;
	r = run(&m, 10, RESIZE_WAIT_FOREVER);
	assert_int_equal(raised_to, 64);
	assert_true(r.interrupted);
	assert_int_equal(persistent(&m), 10);
	assert_int_equal(r.refused, 54);
	/* And in a pause. */
	m.interrupted = false;
	m.on_write = NULL;
	m.on_pause = NULL;
	r = run(&m, 10, SECOND);
	assert_false(r.interrupted);
	assert_int_equal(persistent(&m), 10);
}

/* Each read and each write in turn. */
static void test_errors(void **state)
{
	struct resize_report r;
	unsigned int i;
	struct model m;

	(void)state;
	for (i = 1; i <= 8; i++) {
		m = model_of(64, 64, 0);
		m.frames = 0;
		m.fail_write = i;
		r = run(&m, 0, RESIZE_NO_WAIT);
		if (!r.err)
			break;
		assert_int_equal(r.err, -EACCES);
		assert_false(r.done);
		/* After a raise that failed it is lowered all the same. */
		assert_in_range(m.writes, i, i + 1);
	}
	assert_int_equal(i, 1 + 1 + 2 * RESIZE_IDLE_ROUNDS);
	for (i = 1; i <= 8; i++) {
		m = model_of(64, 64, 0);
		m.frames = 0;
		m.fail_read = i;
		r = run(&m, 0, RESIZE_NO_WAIT);
		if (!r.err)
			break;
		assert_int_equal(r.err, -EIO);
		assert_int_equal(m.reads, i);
	}
	assert_int_equal(i, 1 + 2 + RESIZE_IDLE_ROUNDS);
}

/* ---- any state ---------------------------------------------------------------------------- */

/* With memory enough it always comes to what is wanted, and what stays is somebody's. */
static void test_random(void **state)
{
	uint64_t seed = 1, i, j, wanted, used;
	struct resize_report r;
	struct model m;

	(void)state;
	for (i = 0; i < 20000; i++) {
		m = model_of(0, 0, 0);
		for (j = 0; j < (i % 2 ? 1 : NODES); j++) {
			struct model_node *n = &m.node[j];

			n->total = rig_random(&seed) % 40;
			n->free = rig_random(&seed) % (n->total + 1);
			n->surplus = rig_random(&seed) % (n->total + 1);
			n->blocks = PLENTY;
		}
		m.reserved = rig_random(&seed) % (sum_free(&m) + 1);
		m.overcommit = rig_random(&seed) % 20;
		used = sum_total(&m) - sum_free(&m) + m.reserved;
		wanted = rig_random(&seed) % 100;
		r = run(&m, wanted, RESIZE_NO_WAIT);
		assert_int_equal(r.err, 0);
		assert_int_equal(r.missing + r.extra + r.refused, 0);
		assert_int_equal(persistent(&m), wanted);
		/*
		 * On one node it is as small as it can be: what is surplus is in use or
		 * promised. On two there may be free pages on the one, within what was asked
		 * for, and users' surplus on the other.
		 */
		if (i % 2 && sum_total(&m) != (used > wanted ? used : wanted))
			fail_msg("case %llu: %llu pages, %llu wanted, %llu used",
				 (unsigned long long)i, (unsigned long long)sum_total(&m),
				 (unsigned long long)wanted, (unsigned long long)used);
		assert_true(r.held <= sum_surplus(&m));
	}
}

/* ---- demoting ------------------------------------------------------------------------------ */

static struct demote_report demote(struct model *m, uint64_t nr, uint64_t wait_ns)
{
	struct demote_report r;

	resize_demote(&ops, m, nr, wait_ns, &r);
	return r;
}

static void test_demote(void **state)
{
	struct model m = model_of(10, 8, 0);
	struct demote_report r = demote(&m, 3, RESIZE_NO_WAIT);

	(void)state;
	assert_int_equal(r.err, 0);
	assert_int_equal(r.demoted, 3);
	assert_int_equal(r.before.total, 10);
	assert_int_equal(r.after.total, 7);
	m.reserved = 1;
	r = demote(&m, 100, RESIZE_NO_WAIT);
	assert_int_equal(r.err, 0);
	assert_int_equal(r.demoted, 4);
	assert_int_equal(r.after.free, 1);
	assert_int_equal(m.pauses, 0);
	assert_int_equal(demote(&m, 0, RESIZE_NO_WAIT).demoted, 0);
}

static void test_demote_refused(void **state)
{
	struct model m = model_of(10, 10, 0);
	struct demote_report r;

	(void)state;
	m.frames = 4 * NEEDS;
	r = demote(&m, 6, RESIZE_NO_WAIT);
	assert_int_equal(r.err, -ENOMEM);
	assert_int_equal(r.demoted, 4);
	assert_true(r.retries > 0);
	m.on_pause = find_frames;
	r = demote(&m, 6, 10 * SECOND);
	assert_int_equal(r.err, 0);
	assert_int_equal(r.demoted, 6);
	m.now = 0;
	m.node[0].total = m.node[0].free = 3;
	m.poisoned = true;
	r = demote(&m, 3, SECOND);
	assert_int_equal(r.err, -EBUSY);
	assert_int_equal(m.now, SECOND);
	m.interrupted = true;
	r = demote(&m, 3, RESIZE_WAIT_FOREVER);
	assert_true(r.interrupted);
	m = model_of(10, 10, 0);
	m.fail_write = 3;
	r = demote(&m, 6, RESIZE_WAIT_FOREVER);
	assert_int_equal(r.err, -EACCES);
	assert_int_equal(r.demoted, 2);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_it_is),
		cmocka_unit_test(test_grow),
		cmocka_unit_test(test_grow_short),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_refused_wait),
		cmocka_unit_test(test_refused_in_part),
		cmocka_unit_test(test_refused_then_grow),
		cmocka_unit_test(test_refused_beside_used),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_overcommitted),
		cmocka_unit_test(test_node),
		cmocka_unit_test(test_interrupted_step),
		cmocka_unit_test(test_interrupted_round),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_demote),
		cmocka_unit_test(test_demote_refused),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
