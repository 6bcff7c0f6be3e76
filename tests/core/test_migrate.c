// SPDX-License-Identifier: MIT
/*
 * Migration: owners with a table of what they hold. Wherever a block goes, the table names
 * it, its contents, references, map count and words are there, and nothing is lost; what
 * cannot move is as it was. Then: emptying ranges.
 *
 * Locks: a table has its own, under which its functions run.
 * In Linux: tools/testing/selftests/mm/migration.c, hugetlb-migration.
 */
#include "harness.h"

#include <hvo/migrate.h>

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "core/evacuate.h"
#include "core/isolate.h"

#define ANY HVO_NODE_ANY
#define SLOTS 1024

#define EACH_PLATFORM(name)                   \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		name(RIG_SIM);                \
		name(RIG_LINUX);              \
	}

/* ---- an owner ------------------------------------------------------------------------- */

struct slot {
	hvo_pfn_t pfn;
	unsigned int order;
	uint32_t refs, maps;
	uint64_t tag;
	bool isolated;
};

struct table {
	struct hvo_owner owner;
	struct rig *r;
	uint32_t id;
	pthread_mutex_t lock;
	struct slot slots[SLOTS];
	unsigned int nr;
	bool refuse;
	int error; /* of move(), each time or every so often */
	unsigned int error_every, tried;
	bool hold_target;	  /* somebody finds the new place before move() ends */
	bool fail_source;	  /* the first frame of the old one fails just then */
	uint64_t works;		  /* how often hvo_work() was asked for by then */
	struct hvo_pool *resized; /* just then, to so many */
	uint64_t resized_to;
	uint64_t isolates, moves, putbacks, failures, wrong;
	hvo_pfn_t failed_frame, failed_pfn, held;
};

static struct slot *slot_at(struct table *t, hvo_pfn_t pfn)
{
	unsigned int i;

	for (i = 0; i < t->nr; i++)
		if (t->slots[i].refs && t->slots[i].pfn == pfn)
			return &t->slots[i];
	return NULL;
}

static uint32_t on_isolate(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
			   unsigned int order)
{
	struct table *t = owner->arg;
	uint32_t refs = 0;
	struct slot *s;

	pthread_mutex_lock(&t->lock);
	s = slot_at(t, pfn);
	t->isolates++;
	/* Once at a time. */
	t->wrong += !s || s->order != order || s->isolated || m != t->r->m;
	if (s && !t->refuse) {
		s->isolated = true;
		refs = s->refs;
	}
	pthread_mutex_unlock(&t->lock);
	return refs;
}

static int on_move(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t dst, hvo_pfn_t src,
		   unsigned int order)
{
	struct table *t = owner->arg;
	struct slot *s;
	int rc;

	pthread_mutex_lock(&t->lock);
	s = slot_at(t, src);
	t->wrong += !s || s->order != order || !s->isolated || m != t->r->m;
	if (t->hold_target)
		t->wrong += hvo_get_page(m, dst, &t->held) || t->held != dst;
	if (t->fail_source) {
		t->wrong += hvo_memory_failure(m, src) != -HVO_EBUSY;
		t->works = rig_sim(t->r).works;
	}
	if (t->resized)
		t->wrong += hvo_pool_resize(t->resized, ANY, t->resized_to, NULL) != 0;
	rc = t->error_every && ++t->tried % t->error_every ? 0 : t->error;
	if (!rc && s) {
		t->moves++;
		s->pfn = dst;
		s->isolated = false;
	}
	pthread_mutex_unlock(&t->lock);
	return rc;
}

static void on_putback(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
		       unsigned int order)
{
	struct table *t = owner->arg;
	struct slot *s;

	pthread_mutex_lock(&t->lock);
	s = slot_at(t, pfn);
	t->putbacks++;
	t->wrong += !s || s->order != order || !s->isolated || m != t->r->m;
	if (s)
		s->isolated = false;
	pthread_mutex_unlock(&t->lock);
}

static void on_failed(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t frame,
		      hvo_pfn_t pfn, unsigned int order)
{
	struct table *t = owner->arg;
	struct slot *s = slot_at(t, pfn);

	t->failures++;
	t->wrong += !s || s->order != order || m != t->r->m;
	t->failed_frame = frame;
	t->failed_pfn = pfn;
}

static struct table *table_new(struct rig *r)
{
	struct table *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->r = r;
	assert_int_equal(pthread_mutex_init(&t->lock, NULL), 0);
	t->owner = (struct hvo_owner){
		sizeof(struct hvo_owner), on_isolate, on_move, on_putback, on_failed, t
	};
	assert_int_equal(hvo_owner_register(r->m, &t->owner, &t->id), 0);
	assert_in_range(t->id, 1, HVO_MAX_OWNERS);
	return t;
}

/* ---- contents that are known wherever they are ------------------------------------------- */

static uint64_t word_of(uint64_t tag, uint64_t i)
{
	return ((tag << 32) + i + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

/* Of a large block, one frame in 61 and the last. */
static uint64_t next_frame(uint64_t i, uint64_t nr)
{
	uint64_t step = nr > 2048 ? 61 : 1;

	return i + step < nr || i == nr - 1 ? i + step : nr - 1;
}

static void fill(struct rig *r, const struct slot *s)
{
	uint64_t nr = UINT64_C(1) << s->order, i, k;

	for (i = 0; i < nr; i = next_frame(i, nr))
		for (k = 0; k < 512; k += 73)
			((uint64_t *)hvo_window(r->m, s->pfn + i, 1))[k] = word_of(s->tag, i + k);
}

static void check_slot(struct table *t, const struct slot *s)
{
	uint64_t nr = UINT64_C(1) << s->order, i, k, word;
	const struct hvo_page *page = rig_page(t->r, s->pfn);

	assert_false(s->isolated);
	assert_int_equal(page->refcount, s->refs);
	assert_int_equal(page->mapcount, s->maps);
	assert_int_equal(page->order, s->order);
	assert_int_equal(page->owner, t->id);
	for (i = 0; i < HVO_PAGE_PRIVATE; i++) {
		assert_int_equal(hvo_page_private(t->r->m, s->pfn, (unsigned int)i, &word), 0);
		assert_int_equal(word, word_of(s->tag, i));
	}
	for (i = 0; i < nr; i = next_frame(i, nr)) {
		assert_int_equal(hvo_page_head(hvo_machine_memmap(t->r->m), s->pfn + i), s->pfn);
		for (k = 0; k < 512; k += 73)
			assert_int_equal(((uint64_t *)hvo_window(t->r->m, s->pfn + i, 1))[k],
					 word_of(s->tag, i + k));
	}
}

static void check_table(struct table *t)
{
	unsigned int i;

	assert_int_equal(t->wrong, 0);
	for (i = 0; i < t->nr; i++)
		if (t->slots[i].refs)
			check_slot(t, &t->slots[i]);
}

/* A block that the caller has one reference on is the table's. */
static struct slot *adopt(struct table *t, hvo_pfn_t pfn, unsigned int order, uint32_t refs,
			  uint32_t maps)
{
	struct slot *s = &t->slots[t->nr++];
	unsigned int i;

	assert_in_range(t->nr, 1, SLOTS);
	*s = (struct slot){ pfn, order, refs, maps, t->nr, false };
	for (i = 1; i < refs; i++)
		assert_int_equal(hvo_get_page(t->r->m, pfn, NULL), 0);
	for (i = 0; i < maps; i++)
		assert_int_equal(hvo_map_page(t->r->m, pfn), 0);
	for (i = 0; i < HVO_PAGE_PRIVATE; i++)
		assert_int_equal(hvo_page_set_private(t->r->m, pfn, i, word_of(s->tag, i)), 0);
	assert_int_equal(hvo_set_owner(t->r->m, pfn, t->id), 0);
	fill(t->r, s);
	return s;
}

static struct slot *own(struct table *t, unsigned int order)
{
	return adopt(t, rig_alloc(t->r, HVO_GFP_USER, order), order, 1 + t->nr % 3, t->nr % 2);
}

static struct slot *own_huge(struct table *t, struct hvo_pool *pool, unsigned int order, int node)
{
	hvo_pfn_t pfn = HVO_PFN_NONE;

	assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_USER | HVO_GFP_THISNODE, node, &pfn), 0);
	return adopt(t, pfn, order, 1 + t->nr % 3, t->nr % 2);
}

static void disown(struct table *t, struct slot *s)
{
	for (; s->maps; s->maps--)
		assert_int_equal(hvo_unmap_page(t->r->m, s->pfn), 0);
	for (; s->refs; s->refs--)
		rig_put(t->r, s->pfn);
}

static void table_free(struct table *t)
{
	unsigned int i;

	check_table(t);
	for (i = 0; i < t->nr; i++)
		disown(t, &t->slots[i]);
	assert_int_equal(hvo_owner_unregister(t->r->m, t->id), 0);
	free(t);
}

static void work_all(struct rig *r)
{
	while (hvo_work(r->m, UINT64_MAX, NULL))
		;
}

static int node_of_slot(const struct rig *r, const struct slot *s)
{
	const struct hvo_config *cfg = hvo_machine_config(r->m);

	return (int)(s->pfn / (cfg->memory_bytes / HVO_FRAME_SIZE / cfg->nr_nodes));
}

/* ---- owners -------------------------------------------------------------------------------- */

static void test_owners(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 128);
	struct hvo_owner bad[3];
	struct table *t, *many[HVO_MAX_OWNERS];
	uint32_t id = 77;
	hvo_pfn_t pfn;
	struct rig r;
	int i;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	t = table_new(&r);
	for (i = 0; i < 3; i++)
		bad[i] = t->owner;
	bad[0].isolate = NULL;
	bad[1].move = NULL;
	bad[2].putback = NULL;
	for (i = 0; i < 3; i++)
		assert_int_equal(hvo_owner_register(r.m, &bad[i], &id), -HVO_EINVAL);
	assert_int_equal(hvo_owner_register(r.m, NULL, &id), -HVO_EINVAL);
	assert_int_equal(hvo_owner_register(r.m, &t->owner, NULL), -HVO_EINVAL);
	for (i = 1; i < HVO_MAX_OWNERS; i++)
		many[i] = table_new(&r);
	assert_int_equal(hvo_owner_register(r.m, &t->owner, &id), -HVO_ENOSPC);
	assert_int_equal(id, 77);

	pfn = rig_alloc(&r, HVO_GFP_USER, 3);
	assert_int_equal(rig_page(&r, pfn)->owner, 0);
	assert_int_equal(hvo_set_owner(r.m, pfn, HVO_MAX_OWNERS + 1), -HVO_EINVAL);
	assert_int_equal(hvo_set_owner(r.m, pfn + 1, t->id), -HVO_EINVAL);
	assert_int_equal(hvo_set_owner(r.m, r.m->mm.nr_frames, t->id), -HVO_EINVAL);
	assert_int_equal(hvo_migrate(r.m, pfn, ANY, NULL), -HVO_EINVAL);
	assert_int_equal(hvo_set_owner(r.m, pfn, t->id), 0);
	assert_int_equal(hvo_set_owner(r.m, pfn, 0), 0);
	assert_int_equal(hvo_migrate(r.m, pfn, ANY, NULL), -HVO_EINVAL);
	assert_int_equal(hvo_set_owner(r.m, pfn, t->id), 0);
	/* A number that nobody has any more. */
	id = many[5]->id;
	assert_int_equal(hvo_owner_unregister(r.m, id), 0);
	assert_int_equal(hvo_owner_unregister(r.m, id), -HVO_EINVAL);
	assert_int_equal(hvo_owner_unregister(r.m, 0), -HVO_EINVAL);
	assert_int_equal(hvo_set_owner(r.m, pfn, id), -HVO_EINVAL);
	assert_int_equal(rig_page(&r, pfn)->owner, t->id);
	assert_int_equal(hvo_owner_register(r.m, &many[5]->owner, &many[5]->id), 0);
	assert_int_equal(many[5]->id, id);
	/* The next one who gets the block has not inherited it. */
	rig_put(&r, pfn);
	assert_int_equal(hvo_set_owner(r.m, pfn, t->id), -HVO_EINVAL);
	assert_int_equal(hvo_migrate(r.m, pfn, ANY, NULL), -HVO_EINVAL);
	assert_int_equal(rig_alloc(&r, HVO_GFP_USER, 3), pfn);
	assert_int_equal(rig_page(&r, pfn)->owner, 0);
	rig_put(&r, pfn);
	for (i = 1; i < HVO_MAX_OWNERS; i++)
		table_free(many[i]);
	table_free(t);
	rig_audit(&r);
	rig_close(&r);
}

/* ---- ordinary blocks ------------------------------------------------------------------------- */

static void orders_in(enum rig_platform platform, enum hvo_mode mode, enum hvo_clear clear)
{
	struct hvo_config cfg = rig_config(mode, 256);
	struct hvo_machine_stat before = { .size = sizeof(before) };
	hvo_pfn_t was, dst;
	struct table *t;
	unsigned int o, i;
	struct rig r;

	cfg.clear = clear;
	cfg.movable_bytes = 128 * MIB;
	rig_open(&r, platform, &cfg);
	before = rig_stat(&r);
	t = table_new(&r);
	for (o = 0; o <= 11; o++)
		own(t, o);
	/* One that was not allocated movable can move all the same. */
	adopt(t, rig_alloc(&r, HVO_GFP_KERNEL, 2), 2, 1, 0);
	for (i = 0; i < t->nr; i++) {
		was = t->slots[i].pfn;
		/* By any frame of it. */
		assert_int_equal(hvo_migrate(r.m, was + (UINT64_C(1) << t->slots[i].order) - 1, ANY,
					     &dst),
				 0);
		assert_int_equal(t->slots[i].pfn, dst);
		assert_int_not_equal(dst, was);
		assert_int_equal(hvo_get_page(r.m, was, NULL), -HVO_EBUSY);
		if (clear == HVO_CLEAR_ON_FREE)
			assert_true(rig_zero(&r, was, 1));
		check_table(t);
		rig_audit(&r);
	}
	assert_int_equal(t->moves, t->nr);
	assert_int_equal(t->putbacks, 0);
	table_free(t);
	hvo_collapse(r.m, UINT64_MAX, NULL);
	assert_int_equal(rig_free(&r), before.free_frames);
	rig_audit(&r);
	rig_close(&r);
}

static void orders(enum rig_platform platform)
{
	orders_in(platform, HVO_ON_DEMAND, HVO_CLEAR_NEVER);
	orders_in(platform, HVO_LINUX, HVO_CLEAR_NEVER);
	orders_in(platform, HVO_ON_DEMAND, HVO_CLEAR_ON_FREE);
	orders_in(platform, HVO_LINUX, HVO_CLEAR_ON_ALLOC);
}
EACH_PLATFORM(orders)

/* To the node that is asked for, else to its own. */
static void test_nodes(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 512);
	struct table *t;
	struct slot *s;
	struct rig r;

	(void)state;
	cfg.nr_nodes = 2;
	rig_open(&r, RIG_SIM, &cfg);
	t = table_new(&r);
	s = own(t, 4);
	assert_int_equal(node_of_slot(&r, s), 0);
	assert_int_equal(hvo_migrate(r.m, s->pfn, 1, NULL), 0);
	assert_int_equal(node_of_slot(&r, s), 1);
	assert_int_equal(hvo_migrate(r.m, s->pfn, ANY, NULL), 0);
	assert_int_equal(node_of_slot(&r, s), 1);
	assert_int_equal(hvo_migrate(r.m, s->pfn, 2, NULL), -HVO_EINVAL);
	assert_int_equal(hvo_migrate(r.m, s->pfn, -2, NULL), -HVO_EINVAL);
	assert_int_equal(hvo_migrate(r.m, r.m->mm.nr_frames, ANY, NULL), -HVO_EINVAL);
	table_free(t);
	rig_audit(&r);
	rig_close(&r);
}

/* ---- what cannot move -------------------------------------------------------------------------- */

/* An error, and nothing has changed but what a failed attempt may leave cut. */
static void expect_stays(struct table *t, struct slot *s, int error)
{
	uint64_t putbacks = t->putbacks, isolates = t->isolates, free = rig_free(t->r);
	hvo_pfn_t was = s->pfn, dst = 77;

	assert_int_equal(hvo_migrate(t->r->m, s->pfn, ANY, &dst), error);
	assert_int_equal(dst, 77);
	assert_int_equal(s->pfn, was);
	assert_int_equal(t->isolates, isolates + 1);
	assert_int_equal(t->putbacks, putbacks + !t->refuse);
	assert_int_equal(rig_free(t->r), free);
	check_table(t);
	rig_audit(t->r);
}

static void refusals_in(enum rig_platform platform, enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 256);
	struct hvo_pool *pool;
	struct hog hog = { 0 };
	struct slot *s[4];
	struct table *t;
	hvo_pfn_t was;
	struct rig r;
	int i;

	rig_open(&r, platform, &cfg);
	pool = rig_pool_new(&r, 9);
	t = table_new(&r);
	rig_resize(pool, ANY, 2);
	s[0] = own(t, 0);
	s[1] = own(t, 8);
	s[2] = own(t, 10);
	s[3] = own_huge(t, pool, 9, 0);
	/* Another block of order 0 and 8 is cut already: attempts leave the counts alone. */
	own(t, 0);
	own(t, 8);
	for (i = 0; i < 4; i++) {
		t->refuse = true;
		expect_stays(t, s[i], -HVO_EBUSY);
		t->refuse = false;
		/* Somebody else has a reference. */
		assert_int_equal(hvo_get_page(r.m, s[i]->pfn, NULL), 0);
		r.sleeps = 0;
		was = s[i]->pfn;
		assert_int_equal(hvo_migrate(r.m, was, ANY, NULL), -HVO_EBUSY);
		assert_int_equal(s[i]->pfn, was);
		assert_int_equal(r.sleeps, platform == RIG_SIM ? 9 : 0);
		rig_put(&r, s[i]->pfn);
		check_table(t);
		rig_audit(&r);
		/* Whatever the owner says, the caller hears. */
		t->error = -HVO_EAGAIN;
		expect_stays(t, s[i], -HVO_EAGAIN);
		t->error = -HVO_EPERM;
		expect_stays(t, s[i], -HVO_EPERM);
		/* Somebody looks at the new place just then: it goes when he lets go. */
		t->hold_target = true;
		assert_int_equal(hvo_migrate(r.m, s[i]->pfn, ANY, NULL), -HVO_EPERM);
		t->hold_target = false;
		t->error = 0;
		check_table(t);
		assert_int_equal(rig_page(&r, t->held)->refcount, 1);
		assert_int_equal(rig_page(&r, t->held)->mapcount, 0);
		assert_int_equal(rig_page(&r, t->held)->owner, 0);
		rig_put(&r, t->held);
		work_all(&r);
		rig_audit(&r);
	}
	assert_int_equal(rig_pool(pool, ANY).total, 2);
	assert_int_equal(rig_pool(pool, ANY).free, 1);
	assert_int_equal(rig_pool(pool, ANY).surplus, 0);
	/* No place, and for the huge page no free one of its pool. */
	own_huge(t, pool, 9, 0);
	hog_all(&r, &hog, 0, false);
	for (i = 0; i < 4; i++)
		expect_stays(t, s[i], -HVO_ENOMEM);
	hog_release(&r, &hog, UINT64_MAX);
	for (i = 0; i < 4; i++)
		assert_int_equal(hvo_migrate(r.m, s[i]->pfn, ANY, NULL), 0);
	table_free(t);
	work_all(&r);
	rig_audit(&r);
	rig_close(&r);
}

static void refusals(enum rig_platform platform)
{
	refusals_in(platform, HVO_ON_DEMAND);
	refusals_in(platform, HVO_LINUX);
}
EACH_PLATFORM(refusals)

/* A new page of a pool that the owner refused, while somebody looked at it. */
static void held_fresh_in(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	struct hvo_pool_stat was = { .size = sizeof(was) }, now = { .size = sizeof(now) };
	struct hvo_pool *pool;
	struct table *t;
	struct slot *s;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	t = table_new(&r);
	rig_resize(pool, ANY, 1);
	s = own_huge(t, pool, 9, 0);
	was = rig_pool(pool, ANY);
	t->error = -HVO_EPERM;
	expect_stays(t, s, -HVO_EPERM);
	now = rig_pool(pool, ANY);
	assert_memory_equal(&was, &now, sizeof(was));
	t->hold_target = true;
	assert_int_equal(hvo_migrate(r.m, s->pfn, ANY, NULL), -HVO_EPERM);
	now = rig_pool(pool, ANY);
	assert_int_equal(now.total, 2);
	assert_int_equal(now.surplus, 1);
	rig_audit(&r);
	rig_put(&r, t->held);
	work_all(&r);
	now = rig_pool(pool, ANY);
	assert_memory_equal(&was, &now, sizeof(was));
	rig_audit(&r);
	table_free(t);
	rig_close(&r);
}

static void test_held_fresh(void **state)
{
	(void)state;
	held_fresh_in(HVO_ON_DEMAND);
	held_fresh_in(HVO_LINUX);
}

/* Each point that can fail, in turn: moved, or as before. */
static void points_in(enum hvo_mode mode, unsigned int order, bool huge, bool sticky)
{
	struct hvo_config cfg = rig_config(mode, 128);
	uint64_t point, failures = 0;
	struct hvo_pool *pool;
	struct table *t;
	struct slot *s;
	bool failed;
	struct rig r;
	int rc;

	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	t = table_new(&r);
	rig_resize(pool, ANY, 1);
	s = huge ? own_huge(t, pool, 9, 0) : own(t, order);
	for (point = 1;; point++) {
		uint64_t moves = t->moves;

		rig_arm(&r, point, sticky);
		rc = hvo_migrate(r.m, s->pfn, ANY, NULL);
		failed = rig_disarm(&r);
		/* A fold that fails leaves a page that is as good. */
		assert_true(!rc || rc == -HVO_ENOMEM);
		assert_int_equal(t->moves, moves + !rc);
		assert_true(failed || !rc);
		failures += rc != 0;
		check_table(t);
		rig_audit(&r);
		work_all(&r);
		rig_audit(&r);
		assert_int_equal(rig_pool(pool, ANY).total, 1);
		if (!failed)
			break;
	}
	assert_in_range(failures, 1, point);
	table_free(t);
	rig_close(&r);
}

static void test_points(void **state)
{
	int mode, sticky;

	(void)state;
	for (mode = 0; mode < 2; mode++) {
		for (sticky = 0; sticky < 2; sticky++) {
			points_in(mode ? HVO_LINUX : HVO_ON_DEMAND, 0, false, sticky);
			points_in(mode ? HVO_LINUX : HVO_ON_DEMAND, 10, false, sticky);
			points_in(mode ? HVO_LINUX : HVO_ON_DEMAND, 9, true, sticky);
		}
	}
}

/* ---- split ------------------------------------------------------------------------------------ */

static void split_in(enum hvo_mode mode, unsigned int order, unsigned int part)
{
	struct hvo_config cfg = rig_config(mode, 128);
	uint64_t nr = UINT64_C(1) << (order - part), i;
	struct table *t;
	hvo_pfn_t pfn;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	t = table_new(&r);
	pfn = rig_alloc(&r, HVO_GFP_USER, order);
	assert_int_equal(hvo_set_owner(r.m, pfn, t->id), 0);
	assert_int_equal(hvo_split_page(r.m, pfn, part), 0);
	for (i = 0; i < nr; i++) {
		assert_int_equal(rig_page(&r, pfn + (i << part))->owner, t->id);
		adopt(t, pfn + (i << part), part, 1, 0);
	}
	for (i = 0; i < nr; i += 3)
		assert_int_equal(hvo_migrate(r.m, pfn + (i << part), ANY, NULL), 0);
	table_free(t);
	rig_audit(&r);
	rig_close(&r);
}

static void test_split(void **state)
{
	int mode;

	(void)state;
	for (mode = 0; mode < 2; mode++) {
		split_in(mode ? HVO_LINUX : HVO_ON_DEMAND, 11, 9);
		split_in(mode ? HVO_LINUX : HVO_ON_DEMAND, 9, 2);
		split_in(mode ? HVO_LINUX : HVO_ON_DEMAND, 5, 0);
	}
}

/* ---- huge pages ---------------------------------------------------------------------------------- */

static void expect_pool(struct hvo_pool *pool, int node, uint64_t total, uint64_t free,
			uint64_t surplus)
{
	struct hvo_pool_stat s = rig_pool(pool, node);

	assert_int_equal(s.total, total);
	assert_int_equal(s.free, free);
	assert_int_equal(s.surplus, surplus);
}

/* What nobody has: Linux mode counts the frames of descriptors that it folded anew. */
static uint64_t free_or_memmap(struct rig *r)
{
	struct hvo_machine_stat s = rig_stat(r);

	return s.free_frames + s.memmap + s.memmap_boot;
}

static void huge_in(enum rig_platform platform, enum hvo_mode mode, bool optimize)
{
	struct hvo_config cfg = rig_config(mode, 256);
	bool folded = mode == HVO_LINUX && optimize;
	struct hvo_pool *pool;
	hvo_pfn_t was, dst;
	uint64_t before;
	struct table *t;
	struct slot *s;
	struct rig r;

	cfg.optimize = optimize;
	rig_open(&r, platform, &cfg);
	before = free_or_memmap(&r);
	pool = rig_pool_new(&r, 9);
	t = table_new(&r);
	rig_resize(pool, ANY, 4);
	s = own_huge(t, pool, 9, 0);
	/* To a free one, which it changes places with. */
	was = s->pfn;
	assert_int_equal(hvo_migrate(r.m, was + 100, ANY, &dst), 0);
	assert_int_equal(dst, s->pfn);
	assert_int_equal(rig_page(&r, was)->state, HVO_PAGE_HUGETLB_FREE);
	assert_int_equal(rig_page(&r, dst)->state, HVO_PAGE_HUGETLB_USED);
	expect_pool(pool, ANY, 4, 3, 0);
	check_table(t);
	rig_audit(&r);
	/* All that are free are promised: a new one, and the old one leaves. */
	assert_int_equal(hvo_pool_reserve(pool, ANY, 3), 0);
	was = s->pfn;
	assert_int_equal(hvo_migrate(r.m, was, ANY, &dst), 0);
	expect_pool(pool, ANY, 4, 3, 0);
	assert_int_equal(rig_pool(pool, ANY).reserved, 3);
	assert_int_equal(rig_pool(pool, ANY).deferred, folded);
	assert_int_equal(rig_pool(pool, ANY).optimized, mode == HVO_LINUX ? 4 * folded : 4);
	assert_int_equal(rig_page(&r, was)->state, folded ? HVO_PAGE_TAKEN : HVO_PAGE_FREE);
	check_table(t);
	rig_audit(&r);
	work_all(&r);
	assert_int_equal(rig_pool(pool, ANY).deferred, 0);
	expect_pool(pool, ANY, 4, 3, 0);
	rig_audit(&r);
	assert_int_equal(hvo_pool_unreserve(pool, 3), 0);
	table_free(t);
	expect_pool(pool, ANY, 4, 4, 0);
	rig_resize(pool, ANY, 0);
	work_all(&r);
	hvo_collapse(r.m, UINT64_MAX, NULL);
	assert_int_equal(free_or_memmap(&r), before);
	rig_audit(&r);
	rig_close(&r);
}

static void huge(enum rig_platform platform)
{
	huge_in(platform, HVO_ON_DEMAND, true);
	huge_in(platform, HVO_LINUX, true);
	huge_in(platform, HVO_LINUX, false);
}
EACH_PLATFORM(huge)

/* Nodes and surplus, as move_hugetlb_state() has it. */
static void surplus_in(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 512);
	struct hvo_pool *pool;
	struct table *t;
	struct slot *s;
	struct rig r;

	cfg.nr_nodes = 2;
	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	t = table_new(&r);
	assert_int_equal(hvo_pool_set_overcommit(pool, 4), 0);
	s = own_huge(t, pool, 9, 0);
	expect_pool(pool, 0, 1, 0, 1);
	/* A new page on the other node takes the surplus with it. */
	assert_int_equal(hvo_migrate(r.m, s->pfn, 1, NULL), 0);
	assert_int_equal(node_of_slot(&r, s), 1);
	expect_pool(pool, 0, 0, 0, 0);
	expect_pool(pool, 1, 1, 0, 1);
	rig_audit(&r);
	work_all(&r);
	expect_pool(pool, ANY, 1, 0, 1);
	rig_audit(&r);
	/* On the same node nothing changes. */
	assert_int_equal(hvo_migrate(r.m, s->pfn, ANY, NULL), 0);
	work_all(&r);
	expect_pool(pool, 0, 0, 0, 0);
	expect_pool(pool, 1, 1, 0, 1);
	/* A page that was free has its own place in the counts: the old one leaves as surplus. */
	rig_resize(pool, 0, 1);
	expect_pool(pool, 0, 1, 1, 0);
	expect_pool(pool, 1, 1, 0, 1);
	assert_int_equal(hvo_migrate(r.m, s->pfn, 0, NULL), 0);
	assert_int_equal(node_of_slot(&r, s), 0);
	work_all(&r);
	expect_pool(pool, 0, 1, 0, 0);
	expect_pool(pool, 1, 0, 0, 0);
	check_table(t);
	rig_audit(&r);
	table_free(t);
	expect_pool(pool, ANY, 1, 1, 0);
	rig_close(&r);
}

static void test_surplus(void **state)
{
	(void)state;
	surplus_in(HVO_ON_DEMAND);
	surplus_in(HVO_LINUX);
}

/* A resize while a page moves to a new one: that is not a page more, whatever becomes of it. */
static void resized_in(enum hvo_mode mode, uint64_t to, int error)
{
	struct hvo_config cfg = rig_config(mode, 512);
	uint64_t total = to > 2 ? to : 2;
	struct hvo_pool *pool;
	struct table *t;
	struct slot *s;
	struct rig r;

	cfg.nr_nodes = 2;
	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	t = table_new(&r);
	rig_resize(pool, ANY, 2);
	(void)own_huge(t, pool, 9, 1);
	s = own_huge(t, pool, 9, 0);
	t->resized = pool;
	t->resized_to = to;
	t->error = error;
	assert_int_equal(hvo_migrate(r.m, s->pfn, 1, NULL), error);
	assert_int_equal(node_of_slot(&r, s), !error);
	work_all(&r);
	expect_pool(pool, ANY, total, total - 2, total - to);
	check_table(t);
	rig_audit(&r);
	table_free(t);
	work_all(&r);
	expect_pool(pool, ANY, to, to, 0);
	rig_audit(&r);
	rig_close(&r);
}

static void test_resized(void **state)
{
	uint64_t to;

	(void)state;
	for (to = 0; to < 5; to++) {
		resized_in(HVO_ON_DEMAND, to, 0);
		resized_in(HVO_ON_DEMAND, to, -HVO_EBUSY);
		resized_in(HVO_LINUX, to, 0);
		resized_in(HVO_LINUX, to, -HVO_EBUSY);
	}
}

/* What was copied to a page of the pool that the owner then refused is nobody else's. */
static void refused_clears(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	hvo_pfn_t pfn = HVO_PFN_NONE;
	struct hvo_pool *pool;
	struct table *t;
	struct slot *s;
	struct rig r;

	cfg.clear = HVO_CLEAR_ON_FREE;
	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	t = table_new(&r);
	rig_resize(pool, ANY, 2);
	s = own_huge(t, pool, 9, 0);
	t->error = -HVO_EPERM;
	assert_int_equal(hvo_migrate(r.m, s->pfn, ANY, NULL), -HVO_EPERM);
	t->error = 0;
	check_table(t);
	assert_int_equal(hvo_pool_alloc(pool, 0, 0, &pfn), 0);
	assert_true(rig_zero(&r, pfn, HVO_PAGEBLOCK_FRAMES));
	rig_put(&r, pfn);
	table_free(t);
	rig_audit(&r);
	rig_close(&r);
}

static void test_refused_clears(void **state)
{
	(void)state;
	refused_clears(HVO_ON_DEMAND);
	refused_clears(HVO_LINUX);
}

/* The old page's descriptors cannot be had: it is surplus, as a migration source of Linux. */
static void test_source_refused(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 128);
	struct hvo_pool *pool;
	struct hog hog = { 0 };
	struct table *t;
	struct slot *s;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	t = table_new(&r);
	rig_resize(pool, ANY, 1);
	s = own_huge(t, pool, 9, 0);
	assert_int_equal(hvo_migrate(r.m, s->pfn, ANY, NULL), 0);
	expect_pool(pool, ANY, 1, 0, 0);
	hog_all(&r, &hog, 0, false);
	work_all(&r);
	expect_pool(pool, ANY, 2, 1, 1);
	assert_int_equal(rig_pool(pool, ANY).refused_total, 1);
	rig_audit(&r);
	hog_release(&r, &hog, UINT64_MAX);
	table_free(t);
	work_all(&r);
	expect_pool(pool, ANY, 1, 1, 0);
	rig_audit(&r);
	rig_close(&r);
}

static void test_gigantic(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 4096);
	struct hvo_pool *pool;
	struct table *t;
	struct slot *s;
	struct rig r;
	int mode;

	(void)state;
	for (mode = 0; mode < 2; mode++) {
		cfg.mode = mode ? HVO_LINUX : HVO_ON_DEMAND;
		rig_open(&r, RIG_SIM, &cfg);
		pool = rig_pool_new(&r, 18);
		t = table_new(&r);
		rig_resize(pool, ANY, 1);
		s = own_huge(t, pool, 18, 0);
		assert_int_equal(hvo_migrate(r.m, s->pfn + 12345, ANY, NULL), 0);
		check_table(t);
		work_all(&r);
		expect_pool(pool, ANY, 1, 0, 0);
		rig_audit(&r);
		table_free(t);
		rig_close(&r);
	}
}

/* ---- frames that failed ------------------------------------------------------------------------- */

static void failed_in(enum hvo_mode mode, unsigned int order, bool huge_page)
{
	struct hvo_config cfg = rig_config(mode, 128);
	uint64_t nr = UINT64_C(1) << order, i;
	struct hvo_pool *pool;
	struct table *t;
	struct slot *s;
	hvo_pfn_t bad, was;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	t = table_new(&r);
	rig_resize(pool, ANY, 2);
	s = huge_page ? own_huge(t, pool, 9, 0) : own(t, order);
	was = s->pfn;
	bad = was + nr / 2;
	assert_int_equal(hvo_memory_failure(r.m, bad), -HVO_EBUSY);
	assert_int_equal(t->failures, 1);
	assert_int_equal(t->failed_frame, bad);
	assert_int_equal(t->failed_pfn, was);
	rig_audit(&r);
	/* What can be saved is. */
	assert_int_equal(hvo_migrate(r.m, was, ANY, NULL), 0);
	work_all(&r);
	assert_int_equal(rig_page(&r, bad)->state, HVO_PAGE_POISONED);
	assert_int_equal(rig_page(&r, s->pfn)->flags & HVO_PF_POISONED, 0);
	for (i = 0; i < nr; i++) {
		const uint64_t *word = hvo_window(r.m, s->pfn + i, 1);

		assert_int_equal(*word, i == nr / 2 ? 0 : word_of(s->tag, i));
	}
	fill(&r, s);
	check_table(t);
	rig_audit(&r);
	table_free(t);
	rig_audit(&r);
	rig_close(&r);
}

static void test_failed(void **state)
{
	int mode;

	(void)state;
	for (mode = 0; mode < 2; mode++) {
		failed_in(mode ? HVO_LINUX : HVO_ON_DEMAND, 0, false);
		failed_in(mode ? HVO_LINUX : HVO_ON_DEMAND, 5, false);
		failed_in(mode ? HVO_LINUX : HVO_ON_DEMAND, 10, false);
		failed_in(mode ? HVO_LINUX : HVO_ON_DEMAND, 9, true);
	}
}

/* A frame fails when nobody can take a reference to mark its block: it is out all the same. */
static void failed_frozen_in(enum hvo_mode mode, unsigned int order)
{
	struct hvo_config cfg = rig_config(mode, 128);
	struct table *t;
	struct slot *s;
	hvo_pfn_t was;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	t = table_new(&r);
	t->fail_source = true;
	s = own(t, order);
	was = s->pfn;
	assert_int_equal(hvo_migrate(r.m, was, ANY, NULL), 0);
	assert_int_equal(rig_page(&r, was)->state, HVO_PAGE_POISONED);
	assert_int_equal(hvo_poisoned(r.m, NULL, 0), 1);
	rig_audit(&r);
	table_free(t);
	rig_audit(&r);
	rig_close(&r);
}

static void on_failed_resize(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t frame,
			     hvo_pfn_t pfn, unsigned int order)
{
	struct table *t = owner->arg;

	on_failed(owner, m, frame, pfn, order);
	t->wrong += hvo_pool_resize(pool_of_order(m, HVO_PAGEBLOCK_ORDER), ANY, 1, NULL) != 0;
}

/* It fails just then, and its block does not move after all: the owner is told by hvo_work(). */
static void told_later_in(enum hvo_mode mode, bool fails)
{
	struct hvo_config cfg = rig_config(mode, 128);
	struct table *t;
	struct slot *s;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	(void)rig_pool_new(&r, HVO_PAGEBLOCK_ORDER);
	t = table_new(&r);
	s = own(t, 9);
	t->fail_source = fails;
	t->error = -HVO_EAGAIN;
	t->works = rig_sim(&r).works;
	assert_int_equal(hvo_migrate(r.m, s->pfn, ANY, NULL), -HVO_EAGAIN);
	/* Again: what was asked for may have been done, and could tell nobody. */
	assert_int_equal(rig_sim(&r).works > t->works, fails);
	assert_int_equal(t->failures, 0);
	t->fail_source = false;
	/* No lock is held then: the owner may ask for anything. */
	t->owner.failed = on_failed_resize;
	(void)hvo_work(r.m, UINT64_MAX, NULL);
	assert_int_equal(t->failures, fails);
	table_free(t);
	rig_audit(&r);
	rig_close(&r);
}

static void test_failed_frozen(void **state)
{
	int mode;

	(void)state;
	for (mode = 0; mode < 2; mode++) {
		told_later_in(mode ? HVO_LINUX : HVO_ON_DEMAND, false);
		told_later_in(mode ? HVO_LINUX : HVO_ON_DEMAND, true);
		failed_frozen_in(mode ? HVO_LINUX : HVO_ON_DEMAND, 0);
		failed_frozen_in(mode ? HVO_LINUX : HVO_ON_DEMAND, 10);
	}
}

/* The owner lets go of it at once: then it is out of use when the call returns. */
static void on_failed_free(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t frame,
			   hvo_pfn_t pfn, unsigned int order)
{
	struct table *t = owner->arg;

	(void)m;
	(void)order;
	t->failures++;
	t->failed_frame = frame;
	disown(t, slot_at(t, pfn));
}

static void test_failed_frees(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 128);
	struct table *t;
	struct slot *s;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	t = table_new(&r);
	t->owner.failed = on_failed_free;
	s = own(t, 3);
	assert_int_equal(hvo_memory_failure(r.m, s->pfn + 1), 0);
	assert_int_equal(t->failures, 1);
	assert_int_equal(rig_page(&r, t->failed_frame)->state, HVO_PAGE_POISONED);
	t->owner.failed = NULL;
	s = own(t, 3);
	assert_int_equal(hvo_memory_failure(r.m, s->pfn + 1), -HVO_EBUSY);
	assert_int_equal(t->failures, 1);
	table_free(t);
	rig_audit(&r);
	rig_close(&r);
}

/* ---- emptying a range ------------------------------------------------------------------------------ */

static bool block_out(struct rig *r, hvo_pfn_t pfn)
{
	const struct hvo_page *page = rig_page(r, pfn);

	return page->state == HVO_PAGE_ISOLATED;
}

/* Of every kind something, all over the range; every other block is given back. */
static void mix(struct table *t, struct hvo_pool *pool, hvo_pfn_t end)
{
	uint64_t random = 3;
	hvo_pfn_t last;

	do {
		uint64_t dice = rig_random(&random) >> 9;
		struct slot *s;

		if (dice % 16 == 0 && rig_pool(pool, ANY).free)
			s = own_huge(t, pool, 9, 0);
		else
			s = own(t, (unsigned int)(dice % 16 < 8 ? 6 + dice / 16 % 3 :
								  7 + dice / 16 % 4));
		last = s->pfn;
		if (dice / 256 % 3 == 0)
			disown(t, s);
	} while (last < end && t->nr < SLOTS - 1);
}

static void evacuate_in(enum rig_platform platform, enum hvo_mode mode, enum evacuate_for how)
{
	struct hvo_config cfg = rig_config(mode, 512);
	hvo_pfn_t start = 32768, end = start + 16384, pfn;
	struct hvo_pool_stat was = { .size = sizeof(was) }, now = { .size = sizeof(now) };
	struct evacuated moved, step;
	uint64_t before;
	struct hvo_pool *pool;
	struct table *t;
	struct rig r;
	int rc, i;

	rig_open(&r, platform, &cfg);
	before = free_or_memmap(&r);
	pool = rig_pool_new(&r, 9);
	t = table_new(&r);
	mix(t, pool, start);
	rig_resize(pool, ANY, 12);
	for (i = 0; i < 3; i++)
		own_huge(t, pool, 9, 0);
	mix(t, pool, start + 4096);
	was = rig_pool(pool, ANY);
	assert_in_range(was.free, 1, 11);
	rig_audit(&r);
	assert_int_equal(hvo_isolate_range(r.m, start, end), 0);
	rig_audit(&r);
	/* In steps, then the rest. */
	rc = evacuate(r.m, start, end, how, 100, &step);
	assert_int_equal(rc, -HVO_EAGAIN);
	assert_in_range(step.moved, 100, 100 + 2048);
	check_table(t);
	rig_audit(&r);
	assert_int_equal(evacuate(r.m, start, end, how, UINT64_MAX, &moved), 0);
	assert_in_range(step.moved + moved.moved, 200, 16384);
	check_table(t);
	rig_audit(&r);
	for (pfn = start; pfn < end; pfn += 512)
		assert_true(block_out(&r, pfn));
	now = rig_pool(pool, ANY);
	assert_int_equal(now.surplus, 0);
	assert_int_equal(now.total - now.free, was.total - was.free);
	if (how == EVACUATE_CONTIG)
		assert_int_equal(now.total, was.total);
	else
		assert_in_range(now.total, was.total - was.free, was.total - 1);
	/* Nothing is left to do, and nothing moves. */
	assert_int_equal(evacuate(r.m, start, end, how, UINT64_MAX, &moved), 0);
	assert_int_equal(moved.moved, 0);
	assert_int_equal(hvo_unisolate_range(r.m, start, end), 0);
	rig_audit(&r);
	check_table(t);
	table_free(t);
	rig_resize(pool, ANY, 0);
	work_all(&r);
	hvo_collapse(r.m, UINT64_MAX, NULL);
	rig_audit(&r);
	assert_int_equal(free_or_memmap(&r), before);
	rig_close(&r);
}

static void evacuates(enum rig_platform platform)
{
	evacuate_in(platform, HVO_ON_DEMAND, EVACUATE_CONTIG);
	evacuate_in(platform, HVO_ON_DEMAND, EVACUATE_OFFLINE);
	evacuate_in(platform, HVO_LINUX, EVACUATE_CONTIG);
	evacuate_in(platform, HVO_LINUX, EVACUATE_OFFLINE);
}
EACH_PLATFORM(evacuates)

/* Free huge pages that are promised, and no memory for others. */
static void evacuate_huge_in(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	struct hvo_pool *pool;
	struct hog hog = { 0 };
	hvo_pfn_t start, pfn = 0;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	rig_resize(pool, ANY, 1);
	assert_int_equal(hvo_pool_alloc(pool, 0, ANY, &start), 0);
	rig_put(&r, start);
	assert_int_equal(hvo_pool_reserve(pool, ANY, 1), 0);
	assert_int_equal(hvo_isolate_range(r.m, start, start + 512), 0);
	/* It is not handed out meanwhile, nor replaced by itself. */
	assert_int_equal(evacuate(r.m, start, start + 512, EVACUATE_OFFLINE, UINT64_MAX, NULL), 0);
	assert_true(block_out(&r, start));
	expect_pool(pool, ANY, 1, 1, 0);
	rig_audit(&r);
	assert_int_equal(hvo_unisolate_range(r.m, start, start + 512), 0);
	assert_int_equal(hvo_pool_unreserve(pool, 1), 0);

	assert_int_equal(hvo_pool_alloc(pool, 0, ANY, &start), 0);
	rig_put(&r, start);
	hog_all(&r, &hog, 16, false);
	assert_int_equal(hvo_isolate_range(r.m, start, start + 512), 0);
	assert_int_equal(hvo_pool_alloc(pool, 0, ANY, &pfn), -HVO_ENOMEM);
	if (mode == HVO_LINUX) {
		assert_int_equal(evacuate(r.m, start, start + 512, EVACUATE_CONTIG, UINT64_MAX,
					  NULL),
				 -HVO_ENOMEM);
		expect_pool(pool, ANY, 1, 1, 0);
	} else {
		/* Promised: it has to stay. */
		assert_int_equal(hvo_pool_reserve(pool, ANY, 1), 0);
		assert_int_equal(evacuate(r.m, start, start + 512, EVACUATE_CONTIG, UINT64_MAX,
					  NULL),
				 -HVO_EBUSY);
		expect_pool(pool, ANY, 1, 1, 0);
		assert_int_equal(hvo_pool_unreserve(pool, 1), 0);
		assert_int_equal(
			evacuate(r.m, start, start + 512, EVACUATE_CONTIG, UINT64_MAX, NULL), 0);
		expect_pool(pool, ANY, 0, 0, 0);
	}
	rig_audit(&r);
	assert_int_equal(hvo_unisolate_range(r.m, start, start + 512), 0);
	rig_audit(&r);
	hog_release(&r, &hog, UINT64_MAX);
	rig_audit(&r);
	rig_close(&r);
}

static void test_evacuate_huge(void **state)
{
	(void)state;
	evacuate_huge_in(HVO_ON_DEMAND);
	evacuate_huge_in(HVO_LINUX);
}

/* What nobody can move ends it; what the owner keeps for now does after some rounds. */
static void test_evacuate_stays(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	hvo_pfn_t pfn, start;
	struct table *t;
	struct slot *s;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	t = table_new(&r);
	s = own(t, 4);
	start = s->pfn & ~(hvo_pfn_t)511;
	assert_int_equal(hvo_isolate_range(r.m, start, start + 512), 0);
	t->refuse = true;
	assert_int_equal(evacuate(r.m, start, start + 512, EVACUATE_CONTIG, UINT64_MAX, NULL),
			 -HVO_EBUSY);
	assert_int_equal(t->isolates, 5);
	t->refuse = false;
	assert_int_equal(hvo_set_owner(r.m, s->pfn, 0), 0);
	assert_int_equal(evacuate(r.m, start, start + 512, EVACUATE_CONTIG, UINT64_MAX, NULL),
			 -HVO_EBUSY);
	assert_int_equal(t->isolates, 5);
	assert_int_equal(hvo_set_owner(r.m, s->pfn, t->id), 0);
	assert_int_equal(evacuate(r.m, start, start + 512, EVACUATE_CONTIG, UINT64_MAX, NULL), 0);
	assert_true(block_out(&r, start));
	assert_int_equal(hvo_unisolate_range(r.m, start, start + 512), 0);
	/* A frame that failed stays, and is no hindrance. */
	pfn = s->pfn;
	start = pfn & ~(hvo_pfn_t)511;
	assert_int_equal(hvo_memory_failure(r.m, pfn + 3), -HVO_EBUSY);
	assert_int_equal(hvo_isolate_range(r.m, start, start + 512), 0);
	assert_int_equal(evacuate(r.m, start + 8, start + 512, EVACUATE_CONTIG, UINT64_MAX, NULL),
			 0);
	assert_int_equal(rig_page(&r, pfn + 3)->state, HVO_PAGE_POISONED);
	assert_int_not_equal(s->pfn & ~(hvo_pfn_t)511, start);
	fill(&r, s);
	rig_audit(&r);
	assert_int_equal(hvo_unisolate_range(r.m, start, start + 512), 0);
	table_free(t);
	rig_audit(&r);
	rig_close(&r);
}

/* A block that holds descriptors of others, something owned and its own descriptors. */
static void evacuate_memmap(enum rig_platform platform)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	hvo_pfn_t boot, first, pfn, start, frame;
	struct table *t;
	struct evacuated moved;
	unsigned int i;
	struct rig r;

	rig_open(&r, platform, &cfg);
	t = table_new(&r);
	/* Not in the block that has descriptors from the start, if there is one. */
	boot = rig_lasting(&r) ? rig_backing(&r, 0) >> 9 : UINT64_MAX;
	do
		first = rig_alloc(&r, HVO_GFP_KERNEL, 0);
	while (first >> 9 == boot);
	adopt(t, first, 0, 2, 0);
	pfn = rig_alloc(&r, HVO_GFP_USER, 9);
	assert_int_equal(hvo_split_page(r.m, pfn, 0), 0);
	frame = rig_backing(&r, rig_tail_slot(&r, pfn >> 9));
	assert_int_equal(rig_page(&r, frame)->state, HVO_PAGE_MEMMAP);
	start = frame & ~(hvo_pfn_t)511;
	assert_int_equal(t->slots[0].pfn & ~(hvo_pfn_t)511, start);
	assert_int_equal(hvo_isolate_range(r.m, start, start + 512), 0);
	assert_int_equal(evacuate(r.m, start, start + 512, EVACUATE_CONTIG, 1, &moved),
			 -HVO_EAGAIN);
	assert_int_equal(moved.moved, 1);
	rig_audit(&r);
	assert_int_equal(evacuate(r.m, start, start + 512, EVACUATE_CONTIG, UINT64_MAX, &moved), 0);
	assert_int_equal(moved.moved, rig_tails(&r));
	assert_true(block_out(&r, start));
	assert_int_equal(rig_stat(&r).moved, rig_tails(&r));
	check_table(t);
	rig_audit(&r);
	assert_int_equal(hvo_unisolate_range(r.m, start, start + 512), 0);
	rig_audit(&r);
	for (i = 0; i < 512; i++)
		rig_put(&r, pfn + i);
	table_free(t);
	rig_audit(&r);
	rig_close(&r);
}
EACH_PLATFORM(evacuate_memmap)

/* Set aside at the start: descriptors that never move. */
static void test_evacuate_boot(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	hvo_pfn_t start;
	struct rig r;
	int mode;

	(void)state;
	for (mode = 0; mode < 2; mode++) {
		cfg = rig_config_aside(mode ? HVO_LINUX : HVO_ON_DEMAND, 256);
		rig_open(&r, RIG_SIM, &cfg);
		start = rig_backing(&r, 0) & ~(hvo_pfn_t)511;
		assert_int_equal(hvo_isolate_range(r.m, start, start + 512), 0);
		assert_int_equal(evacuate(r.m, start, start + 512, EVACUATE_CONTIG, UINT64_MAX,
					  NULL),
				 -HVO_EBUSY);
		rig_audit(&r);
		assert_int_equal(hvo_unisolate_range(r.m, start, start + 512), 0);
		rig_audit(&r);
		rig_close(&r);
	}
}

/* Each point that can fail, in turn, with something of each kind in the range. */
static void evacuate_points_in(enum hvo_mode mode, enum evacuate_for how)
{
	struct hvo_config cfg = rig_config(mode, 128);
	hvo_pfn_t start = 8192, end = 16384, pfn = 0;
	uint64_t point, failures = 0;
	struct hvo_pool *pool;
	struct table *t;
	bool failed;
	struct rig r;
	int rc;

	for (point = 1;; point++) {
		rig_open(&r, RIG_SIM, &cfg);
		pool = rig_pool_new(&r, 9);
		t = table_new(&r);
		while (pfn < start)
			pfn = own(t, 10)->pfn;
		pfn = 0;
		own(t, 0);
		own(t, 7);
		own(t, 9);
		rig_resize(pool, ANY, 3);
		own_huge(t, pool, 9, 0);
		assert_int_equal(hvo_isolate_range(r.m, start, end), 0);
		rig_arm(&r, point, false);
		rc = evacuate(r.m, start, end, how, UINT64_MAX, NULL);
		failed = rig_disarm(&r);
		assert_true(!rc || rc == -HVO_ENOMEM || rc == -HVO_EBUSY);
		assert_true(failed || !rc);
		failures += rc != 0;
		check_table(t);
		rig_audit(&r);
		rc = evacuate(r.m, start, end, how, UINT64_MAX, NULL);
		assert_int_equal(rc, 0);
		for (pfn = start; pfn < end; pfn += 512)
			assert_true(block_out(&r, pfn));
		pfn = 0;
		assert_int_equal(hvo_unisolate_range(r.m, start, end), 0);
		rig_audit(&r);
		table_free(t);
		rig_audit(&r);
		rig_close(&r);
		if (!failed)
			break;
	}
	assert_in_range(failures, 1, point);
}

static void test_evacuate_points(void **state)
{
	(void)state;
	evacuate_points_in(HVO_ON_DEMAND, EVACUATE_CONTIG);
	evacuate_points_in(HVO_ON_DEMAND, EVACUATE_OFFLINE);
	evacuate_points_in(HVO_LINUX, EVACUATE_CONTIG);
	evacuate_points_in(HVO_LINUX, EVACUATE_OFFLINE);
}

/* ---- threads ----------------------------------------------------------------------------------------- */

struct looker {
	pthread_t thread;
	struct hvo_machine *m;
	hvo_pfn_t first;
	uint64_t nr, seed, taken;
	bool *stop;
};

/* References on frames that are somebody else's, for a moment. */
static void *look_around(void *arg)
{
	struct looker *l = arg;
	hvo_pfn_t head;

	/* Also where the others are done before this one begins. */
	while (!__atomic_load_n(l->stop, __ATOMIC_ACQUIRE) || !l->taken) {
		if (hvo_get_page(l->m, l->first + rig_random(&l->seed) % l->nr, &head)) {
			sched_yield();
			continue;
		}
		l->taken++;
		if (hvo_put_page(l->m, head) == -HVO_EBUSY)
			abort();
	}
	return NULL;
}

struct mover {
	pthread_t thread;
	struct table *t;
	uint64_t seed, done, wrong;
};

/* Several of them, so some blocks are wanted by two. */
static void *migrate_some(void *arg)
{
	struct mover *mover = arg;
	struct table *t = mover->t;
	unsigned int i;
	hvo_pfn_t pfn;
	int rc;

	for (i = 0; i < 400; i++) {
		pthread_mutex_lock(&t->lock);
		pfn = t->slots[rig_random(&mover->seed) % t->nr].pfn;
		pthread_mutex_unlock(&t->lock);
		rc = hvo_migrate(t->r->m, pfn, ANY, NULL);
		mover->done += !rc;
		/* Where it was is nobody's when the other one was quicker. */
		mover->wrong += rc && rc != -HVO_EBUSY && rc != -HVO_EPERM && rc != -HVO_EINVAL;
	}
	return NULL;
}

static void threads_in(enum rig_platform platform, enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	struct looker lookers[2];
	struct mover movers[2];
	struct hvo_pool *pool;
	struct table *t;
	bool stop = false;
	hvo_pfn_t pfn = 0;
	unsigned int i;
	struct rig r;

	rig_open(&r, platform, &cfg);
	r.quiet = true;
	pool = rig_pool_new(&r, 9);
	t = table_new(&r);
	t->error = -HVO_EPERM;
	t->error_every = 7;
	rig_resize(pool, ANY, 4);
	/* Never mapped: who looks may have the last reference for a moment. */
	for (i = 0; i < 12; i++)
		adopt(t, rig_alloc(&r, HVO_GFP_USER, i % 11), i % 11, 1 + i % 3, 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(hvo_pool_alloc(pool, 0, ANY, &pfn), 0);
		adopt(t, pfn, 9, 1 + i % 3, 0);
	}
	for (i = 0; i < 2; i++) {
		lookers[i] = (struct looker){
			.m = r.m, .nr = r.m->mm.nr_frames, .seed = i, .stop = &stop
		};
		movers[i] = (struct mover){ .t = t, .seed = i + 10 };
		assert_int_equal(pthread_create(&lookers[i].thread, NULL, look_around, &lookers[i]),
				 0);
		assert_int_equal(pthread_create(&movers[i].thread, NULL, migrate_some, &movers[i]),
				 0);
	}
	for (i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(movers[i].thread, NULL), 0);
		assert_int_equal(movers[i].wrong, 0);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(lookers[i].thread, NULL), 0);
		assert_int_not_equal(lookers[i].taken, 0);
	}
	assert_int_equal(t->moves, movers[0].done + movers[1].done);
	assert_in_range(t->moves, 50, 800);
	check_table(t);
	work_all(&r);
	rig_audit(&r);
	expect_pool(pool, ANY, 4, 1, 0);
	table_free(t);
	work_all(&r);
	rig_audit(&r);
	rig_close(&r);
}

static void test_threads(void **state)
{
	(void)state;
	threads_in(RIG_SIM, HVO_ON_DEMAND);
	threads_in(RIG_SIM, HVO_LINUX);
	threads_in(RIG_LINUX, HVO_ON_DEMAND);
	threads_in(RIG_LINUX, HVO_LINUX);
}

/* ---- ranges that are emptied while all sorts of things go on ----------------------------------- */

struct busy {
	pthread_t thread;
	struct hvo_machine *m;
	struct hvo_pool *pool;
	uint64_t seed, wrong;
	bool *stop;
};

static void *be_busy(void *arg)
{
	struct busy *b = arg;
	hvo_pfn_t held[32], huge[2];
	unsigned int nr = 0, nr_huge = 0, i;

	while (!__atomic_load_n(b->stop, __ATOMIC_ACQUIRE)) {
		uint64_t dice = rig_random(&b->seed) >> 9;

		if (dice % 8 == 0 && nr_huge < 2)
			nr_huge += !hvo_pool_alloc(b->pool, 0, ANY, &huge[nr_huge]);
		else if (dice % 8 == 1 && nr_huge)
			b->wrong += hvo_pool_free(b->pool, huge[--nr_huge]) != 0;
		else if (dice % 8 == 2)
			hvo_work(b->m, 8, NULL);
		else if (dice % 8 < 5 && nr < 32)
			nr += !hvo_alloc_pages(b->m, HVO_GFP_NOWARN, (unsigned int)(dice / 8 % 9),
					       ANY, &held[nr]);
		else if (nr)
			b->wrong += hvo_put_page(b->m, held[--nr]) != 0;
	}
	for (i = 0; i < nr; i++)
		b->wrong += hvo_put_page(b->m, held[i]) != 0;
	for (i = 0; i < nr_huge; i++)
		b->wrong += hvo_pool_free(b->pool, huge[i]) != 0;
	return NULL;
}

static void threads_evacuate_in(enum rig_platform platform, enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 256);
	uint64_t random = 9, emptied = 0;
	struct looker looker;
	struct hvo_pool *pool;
	struct busy busy[2];
	struct table *t;
	bool stop = false;
	unsigned int i;
	struct rig r;

	rig_open(&r, platform, &cfg);
	r.quiet = true;
	pool = rig_pool_new(&r, 9);
	t = table_new(&r);
	rig_resize(pool, ANY, 6);
	for (i = 0; i < 40; i++)
		adopt(t, rig_alloc(&r, HVO_GFP_USER, i % 11), i % 11, 1 + i % 3, 0);
	looker = (struct looker){ .m = r.m, .nr = r.m->mm.nr_frames, .seed = 1, .stop = &stop };
	assert_int_equal(pthread_create(&looker.thread, NULL, look_around, &looker), 0);
	for (i = 0; i < 2; i++) {
		busy[i] = (struct busy){ .m = r.m, .pool = pool, .seed = i, .stop = &stop };
		assert_int_equal(pthread_create(&busy[i].thread, NULL, be_busy, &busy[i]), 0);
	}
	for (i = 0; i < 150; i++) {
		hvo_pfn_t start = rig_random(&random) % 120 * 512, end = start + 8 * 512;
		int rc;

		assert_int_equal(hvo_isolate_range(r.m, start, end), 0);
		rc = evacuate(r.m, start, end, EVACUATE_CONTIG, UINT64_MAX, NULL);
		assert_true(!rc || rc == -HVO_EBUSY || rc == -HVO_ENOMEM);
		emptied += !rc;
		assert_int_equal(hvo_unisolate_range(r.m, start, end), 0);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(looker.thread, NULL), 0);
	for (i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(busy[i].thread, NULL), 0);
		assert_int_equal(busy[i].wrong, 0);
	}
	assert_int_not_equal(emptied, 0);
	check_table(t);
	work_all(&r);
	rig_audit(&r);
	table_free(t);
	work_all(&r);
	rig_audit(&r);
	rig_close(&r);
}

static void test_threads_evacuate(void **state)
{
	(void)state;
	threads_evacuate_in(RIG_SIM, HVO_ON_DEMAND);
	threads_evacuate_in(RIG_SIM, HVO_LINUX);
	threads_evacuate_in(RIG_LINUX, HVO_ON_DEMAND);
	threads_evacuate_in(RIG_LINUX, HVO_LINUX);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_orders),
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_held_fresh),
		cmocka_unit_test(test_points),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_huge),
		cmocka_unit_test(test_resized),
		cmocka_unit_test(test_surplus),
		cmocka_unit_test(test_source_refused),
		cmocka_unit_test(test_gigantic),
		cmocka_unit_test(test_failed),
		cmocka_unit_test(test_failed_frees),
		cmocka_unit_test(test_evacuates),
		cmocka_unit_test(test_evacuate_huge),
		cmocka_unit_test(test_evacuate_stays),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_failed_frozen),
		cmocka_unit_test(test_evacuate_memmap),
		cmocka_unit_test(test_evacuate_boot),
		cmocka_unit_test(test_evacuate_points),
		cmocka_unit_test(test_threads_evacuate),
		cmocka_unit_test(test_refused_clears),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
