// SPDX-License-Identifier: MIT
/*
 * Scopes: which pages of a pool are folded. Every scope through every transition: growing,
 * shrinking, the switch, another scope with pages there, demotion, migration in both directions
 * and where it fails.
 *
 * What is to be folded is kept here for each page, from what a scope says and the zone that a
 * page is in, and compared with the descriptors and with all counters after each step.
 *
 * States and locks: none beyond one machine for each case.
 */
#include "harness.h"

#include <hvo/contig.h>
#include <hvo/hotplug.h>
#include <hvo/migrate.h>

#include <string.h>

#define ANY HVO_NODE_ANY
#define PAGES 192 /* of 2 MiB, in all zones */
#define TAILS HVO_BLOCK_TAILS

/* ---- what has to be ------------------------------------------------------------------- */

/* One pool of 2 MiB pages, in a machine with all zones. */
struct stand {
	struct rig r;
	struct hvo_pool *pool;
	enum hvo_fold_scope scope;
	bool on;	     /* the switch */
	uint8_t huge[PAGES]; /* by block: in the pool */
	uint8_t folded[PAGES], boot[PAGES];
	uint64_t out_of_scope, restores, refused;
	struct hvo_owner owner;
	uint32_t id;
	hvo_pfn_t at; /* of the page that the owner has */
	uint64_t tag, moves, putbacks;
	bool refuse;
	bool preparing; /* what other cases have looked at: without audits */
};

static enum hvo_zone_type zone_at(struct rig *r, hvo_pfn_t pfn)
{
	struct hvo_section_info info = { .size = sizeof(info) };

	hvo_section_info(r->m, pfn, &info);
	return (enum hvo_zone_type)info.zone;
}

static bool in_scope(struct stand *s, uint64_t block)
{
	bool normal = zone_at(&s->r, block * HVO_BLOCK_FRAMES) == HVO_ZONE_NORMAL;

	switch (s->scope) {
	case HVO_FOLD_ALL:
		return true;
	case HVO_FOLD_BOOT:
		return s->boot[block];
	case HVO_FOLD_NORMAL:
	case HVO_FOLD_UNMOVABLE:
		return normal;
	}
	fail();
	return false;
}

/* Compare each block, and count. */
static void check(struct stand *s)
{
	struct hvo_pool_stat p = rig_pool(s->pool, ANY);
	struct hvo_machine_stat m = rig_stat(&s->r);
	uint64_t i, total = 0, folded = 0, waiting = 0;

	for (i = 0; i < PAGES; i++) {
		hvo_pfn_t pfn = i * HVO_BLOCK_FRAMES;
		const struct hvo_page *page = rig_page(&s->r, pfn);
		uint8_t byte = hvo_fold_byte(hvo_machine_memmap(s->r.m), i);
		bool huge = byte && (page->state == HVO_PAGE_HUGETLB_FREE ||
				     page->state == HVO_PAGE_HUGETLB_USED);

		assert_int_equal(huge, s->huge[i]);
		waiting += byte && page->flags & HVO_PF_DEFERRED && page->flags & HVO_PF_OPTIMIZED;
		if (!huge)
			continue;
		total++;
		folded += s->folded[i];
		assert_int_equal(!!(byte & HVO_FOLDED), s->folded[i]);
		assert_int_equal(!!(page->flags & HVO_PF_OPTIMIZED), s->folded[i]);
		assert_int_equal(!!(page->flags & HVO_PF_AT_BOOT), s->boot[i]);
	}
	assert_int_equal(p.total, total);
	assert_int_equal(p.optimized, folded);
	assert_int_equal(p.out_of_scope_total, s->out_of_scope);
	assert_int_equal(p.move_restores_total, s->restores);
	assert_int_equal(p.moves_refused_total, s->refused);
	assert_int_equal(m.memmap + m.memmap_boot,
			 PAGES * HVO_BLOCK_MEMMAP - (folded + waiting) * TAILS);
	if (!s->preparing)
		rig_audit(&s->r);
}

/* Pages came and went: what is new is folded, if the switch and the scope say so. */
static void follow(struct stand *s, bool boot)
{
	uint64_t i;

	for (i = 0; i < PAGES; i++) {
		enum hvo_page_state state = HVO_PAGE_FREE;
		bool huge;

		if (hvo_fold_byte(hvo_machine_memmap(s->r.m), i))
			state = hvo_page_state(rig_page(&s->r, i * HVO_BLOCK_FRAMES));
		huge = state == HVO_PAGE_HUGETLB_FREE || state == HVO_PAGE_HUGETLB_USED;
		if (huge && !s->huge[i]) {
			s->boot[i] = boot;
			s->folded[i] = s->on && in_scope(s, i);
			s->out_of_scope += s->on && !s->folded[i];
			/* What may not be there has not come. */
			if (s->on && s->scope == HVO_FOLD_UNMOVABLE)
				assert_int_equal(zone_at(&s->r, i * HVO_BLOCK_FRAMES),
						 HVO_ZONE_NORMAL);
		}
		s->huge[i] = huge;
	}
	check(s);
}

static void resize(struct stand *s, uint64_t nr, bool boot)
{
	struct hvo_resize_options opt = { .size = sizeof(opt), .boot = boot };

	assert_int_equal(hvo_pool_resize_with(s->pool, ANY, nr, &opt, NULL), 0);
	follow(s, boot);
}

static void set_scope(struct stand *s, enum hvo_fold_scope scope)
{
	assert_int_equal(hvo_pool_set_fold_scope(s->pool, scope), 0);
	assert_int_equal(hvo_pool_fold_scope(s->pool), scope);
	s->scope = scope;
	check(s);
}

static void turn(struct stand *s, bool on)
{
	hvo_set_optimize(s->r.m, on);
	s->on = on;
	check(s);
}

static void fold_present(struct stand *s)
{
	uint64_t done = 99, want = 0, i;

	for (i = 0; i < PAGES; i++) {
		if (s->huge[i] && !s->folded[i] && in_scope(s, i)) {
			s->folded[i] = 1;
			want++;
		}
	}
	assert_int_equal(hvo_pool_optimize(s->pool, &done), 0);
	assert_int_equal(done, want);
	check(s);
}

/* ---- an owner of one page --------------------------------------------------------------- */

static uint32_t on_isolate(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
			   unsigned int order)
{
	struct stand *s = owner->arg;

	(void)m;
	assert_int_equal(pfn, s->at);
	assert_int_equal(order, HVO_BLOCK_ORDER);
	return 1;
}

static int on_move(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t dst, hvo_pfn_t src,
		   unsigned int order)
{
	struct stand *s = owner->arg;

	(void)m;
	(void)order;
	assert_int_equal(src, s->at);
	if (s->refuse)
		return -HVO_EAGAIN;
	s->moves++;
	s->at = dst;
	return 0;
}

static void on_putback(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
		       unsigned int order)
{
	struct stand *s = owner->arg;

	(void)m;
	(void)order;
	assert_int_equal(pfn, s->at);
	s->putbacks++;
}

/* ---- a machine ---------------------------------------------------------------------------- */

static void stand_up(struct stand *s, enum rig_platform platform)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, PAGES * 2);

	memset(s, 0, sizeof(*s));
	cfg.cma_bytes = 128 * MIB;
	cfg.movable_bytes = 128 * MIB;
	rig_open(&s->r, platform, &cfg);
	s->pool = rig_pool_new(&s->r, HVO_BLOCK_ORDER);
	s->on = true;
	s->owner = (struct hvo_owner){
		sizeof(struct hvo_owner), on_isolate, on_move, on_putback, NULL, s
	};
	assert_int_equal(hvo_owner_register(s->r.m, &s->owner, &s->id), 0);
	assert_int_equal(hvo_pool_fold_scope(s->pool), HVO_FOLD_ALL);
	check(s);
}

static void stand_down(struct stand *s)
{
	uint64_t free = PAGES * HVO_BLOCK_FRAMES;
	struct hvo_machine_stat m = { .size = sizeof(m) };

	assert_int_equal(hvo_owner_unregister(s->r.m, s->id), 0);
	resize(s, 0, false);
	while (hvo_work(s->r.m, UINT64_MAX, NULL))
		;
	follow(s, false);
	m = rig_stat(&s->r);
	assert_int_equal(m.free_frames, free - m.memmap - m.memmap_boot);
	assert_int_equal(rig_pool(s->pool, ANY).total, 0);
	rig_close(&s->r);
}

/* Is it in one that is, or is not, NORMAL? */
static bool is_in(struct stand *s, hvo_pfn_t pfn, enum hvo_zone_type zone)
{
	return zone_at(&s->r, pfn) == zone;
}

/* ---- the setting ---------------------------------------------------------------------------- */

static void test_setting(void **state)
{
	static const char *const names[] = { "all", "boot", "normal", "unmovable" };
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 128);
	struct hvo_pool *pool;
	struct stand s;
	struct rig r;
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_string_equal(hvo_fold_scope_name(i), names[i]);
	assert_null(hvo_fold_scope_name(4));
	assert_null(hvo_fold_scope_name(UINT32_MAX));
	stand_up(&s, RIG_SIM);
	assert_int_equal(hvo_pool_set_fold_scope(NULL, HVO_FOLD_ALL), -HVO_EINVAL);
	assert_int_equal(hvo_pool_fold_scope(NULL), -HVO_EINVAL);
	set_scope(&s, HVO_FOLD_BOOT);
	assert_int_equal(hvo_pool_set_fold_scope(s.pool, (enum hvo_fold_scope)4), -HVO_EINVAL);
	assert_int_equal(hvo_pool_set_fold_scope(s.pool, (enum hvo_fold_scope) - 1), -HVO_EINVAL);
	assert_int_equal(hvo_pool_fold_scope(s.pool), HVO_FOLD_BOOT);
	stand_down(&s);
	/* On-demand mode folds everything and has nothing to choose. */
	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	for (i = 0; i < 4; i++)
		assert_int_equal(hvo_pool_set_fold_scope(pool, (enum hvo_fold_scope)i),
				 -HVO_EINVAL);
	assert_int_equal(hvo_pool_fold_scope(pool), -HVO_EINVAL);
	rig_resize(pool, ANY, 10);
	assert_int_equal(rig_pool(pool, ANY).optimized, 10);
	hvo_machine_abandon(r.m);
	assert_int_equal(hvo_pool_set_fold_scope(pool, HVO_FOLD_ALL), -HVO_ENODEV);
	assert_int_equal(hvo_pool_fold_scope(pool), -HVO_ENODEV);
	rig_close(&r);
}

/* ---- growing, shrinking, the switch, another scope ------------------------------------------------ */

/* Pages of each zone come, the scope or the switch changes, more come, all go. */
static void transitions(enum hvo_fold_scope first, enum hvo_fold_scope second, bool on)
{
	struct stand s;

	stand_up(&s, RIG_SIM);
	set_scope(&s, first);
	turn(&s, on);
	resize(&s, 20, true);
	/* Past MOVABLE and CMA memory, into NORMAL. */
	resize(&s, 140, false);
	set_scope(&s, second);
	resize(&s, 10, false);
	turn(&s, !on);
	resize(&s, 150, false);
	fold_present(&s);
	resize(&s, 70, false);
	turn(&s, on);
	resize(&s, 160, true);
	set_scope(&s, first);
	fold_present(&s);
	fold_present(&s);
	stand_down(&s);
}

static void test_transitions(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 32; i++)
		transitions((enum hvo_fold_scope)(i & 3), (enum hvo_fold_scope)(i >> 2 & 3),
			    i >> 4);
}

/* Pages that somebody has, and surplus ones that come when they are asked for. */
static void test_surplus(void **state)
{
	hvo_pfn_t pfn[100];
	struct stand s;
	unsigned int scope, i;

	(void)state;
	for (scope = 0; scope < 4; scope++) {
		stand_up(&s, RIG_SIM);
		set_scope(&s, (enum hvo_fold_scope)scope);
		resize(&s, 30, true);
		assert_int_equal(hvo_pool_set_overcommit(s.pool, 100), 0);
		for (i = 0; i < 100; i++)
			if (hvo_pool_alloc(s.pool, HVO_GFP_KERNEL, ANY, &pfn[i]))
				break;
		/* NORMAL alone has not room for them. */
		assert_int_equal(i == 100, scope != HVO_FOLD_UNMOVABLE);
		follow(&s, false);
		while (i)
			assert_int_equal(hvo_pool_free(s.pool, pfn[--i]), 0);
		while (hvo_work(s.r.m, UINT64_MAX, NULL))
			;
		follow(&s, false);
		stand_down(&s);
	}
}

/* ---- at boot ----------------------------------------------------------------------------------------- */

/* What was reserved at boot is so until it leaves its pool; also carved, also refused. */
static void test_boot(void **state)
{
	struct hog hog = { 0 };
	struct stand s;

	(void)state;
	stand_up(&s, RIG_SIM);
	set_scope(&s, HVO_FOLD_BOOT);
	resize(&s, 20, true);
	assert_int_equal(rig_pool(s.pool, ANY).optimized, 20);
	/* Refused, it stays in the pool and is what it was. */
	hog_all(&s.r, &hog, 0, false);
	resize(&s, 0, false);
	assert_int_equal(rig_pool(s.pool, ANY).refused_total, 20);
	assert_int_equal(rig_pool(s.pool, ANY).total, 20);
	assert_int_equal(hvo_pool_set_policy(s.pool, hvo_policy_find("carve-heal")), 0);
	resize(&s, 0, false);
	assert_in_range(rig_pool(s.pool, ANY).carved_total, 1, 20);
	assert_int_equal(rig_pool(s.pool, ANY).total, 0);
	hog_release(&s.r, &hog, UINT64_MAX);
	/* Memory that was one is no such page any more, healed or not. */
	while (hvo_work(s.r.m, UINT64_MAX, NULL))
		;
	assert_int_equal(rig_stat(&s.r).carved_blocks, 0);
	resize(&s, 100, false);
	assert_int_equal(rig_pool(s.pool, ANY).optimized, 0);
	assert_int_equal(hvo_owner_unregister(s.r.m, s.id), 0);
	resize(&s, 0, false);
	rig_close(&s.r);
}

static void test_boot_gigantic(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 4096);
	struct hvo_pool *giant, *small;
	uint64_t done = 0;
	int early;
	struct rig r;

	(void)state;
	for (early = 0; early < 2; early++) {
		cfg.boot_gigantic = 2;
		cfg.optimize = early;
		rig_open(&r, RIG_SIM, &cfg);
		giant = hvo_pool_find(r.m, HVO_GIGA_ORDER);
		small = rig_pool_new(&r, 9);
		hvo_set_optimize(r.m, true);
		assert_int_equal(hvo_pool_set_fold_scope(giant, HVO_FOLD_BOOT), 0);
		assert_int_equal(hvo_pool_set_fold_scope(small, HVO_FOLD_BOOT), 0);
		assert_int_equal(hvo_pool_optimize(giant, &done), 0);
		assert_int_equal(done, early ? 0 : 2);
		rig_resize(giant, ANY, 3);
		rig_resize(small, ANY, 5);
		assert_int_equal(rig_pool(giant, ANY).optimized, 2);
		assert_int_equal(rig_pool(giant, ANY).out_of_scope_total, 1);
		assert_int_equal(rig_pool(small, ANY).optimized, 0);
		assert_int_equal(rig_pool(small, ANY).out_of_scope_total, 5);
		/* One that came later, then one that was reserved: its parts are, too. */
		assert_int_equal(hvo_pool_demote(giant, ANY, 1, &done), 0);
		assert_int_equal(rig_pool(small, ANY).optimized, 0);
		assert_int_equal(rig_pool(small, ANY).out_of_scope_total, 5 + 512);
		assert_int_equal(hvo_pool_demote(giant, ANY, 1, &done), 0);
		assert_int_equal(rig_pool(small, ANY).optimized, 512);
		assert_int_equal(rig_pool(small, ANY).out_of_scope_total, 5 + 512);
		rig_audit(&r);
		rig_resize(small, ANY, 0);
		rig_resize(giant, ANY, 0);
		rig_audit(&r);
		rig_close(&r);
	}
}

/* ---- demotion ------------------------------------------------------------------------------------------ */

/* Parts are folded by the scope of the pool that they are for, however the page is restored. */
static void test_demote(void **state)
{
	static const char *const policies[] = { "mayfail", "carve-heal" };
	struct hvo_config cfg = rig_config(HVO_LINUX, 384);
	struct hvo_pool *large, *small;
	struct hvo_pool_stat now = { .size = sizeof(now) };
	uint64_t done;
	unsigned int i, scope;
	struct rig r;

	(void)state;
	cfg.movable_bytes = 128 * MIB;
	for (i = 0; i < 8; i++) {
		scope = i % 4;
		rig_open(&r, RIG_SIM, &cfg);
		large = rig_pool_new(&r, 12);
		small = rig_pool_new(&r, 9);
		assert_int_equal(hvo_pool_set_policy(large, hvo_policy_find(policies[i / 4])), 0);
		assert_int_equal(hvo_pool_set_fold_scope(small, (enum hvo_fold_scope)scope), 0);
		rig_resize(large, ANY, 8); /* all of MOVABLE */
		assert_int_equal(rig_pool(large, ANY).optimized, 8);
		assert_int_equal(hvo_pool_demote(large, ANY, 1, &done), 0);
		now = rig_pool(small, ANY);
		assert_int_equal(now.total, 8);
		assert_int_equal(now.optimized, scope == HVO_FOLD_ALL ? 8 : 0);
		assert_int_equal(now.out_of_scope_total, scope == HVO_FOLD_ALL ? 0 : 8);
		rig_audit(&r);
		rig_resize(small, ANY, 0);
		rig_resize(large, ANY, 0);
		rig_audit(&r);
		rig_close(&r);
	}
}

/* ---- moving ---------------------------------------------------------------------------------------------- */

enum target { FRESH, PRESENT, FOLDED };

struct move {
	enum hvo_fold_scope scope;
	enum hvo_zone_type from, to;
	enum target target;
};

/* The first page of a zone that somebody has goes back to the pool. */
static hvo_pfn_t give_back(struct stand *s, enum hvo_zone_type zone)
{
	uint64_t i;

	for (i = 0; i < PAGES; i++) {
		hvo_pfn_t pfn = i * HVO_BLOCK_FRAMES;

		if (s->huge[i] && pfn != s->at && is_in(s, pfn, zone) &&
		    rig_page(&s->r, pfn)->refcount) {
			assert_int_equal(hvo_pool_free(s->pool, pfn), 0);
			return pfn;
		}
	}
	fail();
	return HVO_PFN_NONE;
}

/*
 * All memory is huge pages in use; the owner has one in @from, and the place to go is one in
 * @to. A folded target is of another scope than what comes after.
 */
static void before_move(struct stand *s, const struct move *v, enum rig_platform platform)
{
	hvo_pfn_t pfn, free;
	uint64_t i;

	stand_up(s, platform);
	s->preparing = true;
	set_scope(s, v->target == FOLDED ? HVO_FOLD_ALL : v->scope);
	/* Pages of MOVABLE and CMA are there in each scope, and folded as that says. */
	turn(s, s->scope != HVO_FOLD_UNMOVABLE);
	resize(s, PAGES, s->scope == HVO_FOLD_BOOT);
	turn(s, true);
	fold_present(s);
	for (i = 0; i < PAGES && !hvo_pool_alloc(s->pool, 0, ANY, &pfn); i++)
		/* Some need its neighbour, too. */
		if (!s->at && is_in(s, pfn, v->from) && s->huge[(pfn / HVO_BLOCK_FRAMES) ^ 1])
			s->at = pfn;
	assert_int_equal(i, rig_pool(s->pool, ANY).total);
	assert_int_not_equal(s->at, 0);
	assert_int_equal(hvo_set_owner(s->r.m, s->at, s->id), 0);
	s->tag = 7;
	rig_fill(&s->r, s->at, HVO_BLOCK_FRAMES, s->tag);
	free = give_back(s, v->to);
	if (v->target == FRESH) {
		/* One more: a zone keeps a few frames back. */
		give_back(s, v->to);
		resize(s, i - 2, false);
	} else {
		assert_int_equal(s->folded[free / HVO_BLOCK_FRAMES],
				 v->target == FOLDED || in_scope(s, free / HVO_BLOCK_FRAMES));
	}
	set_scope(s, v->scope);
	assert_int_equal(rig_pool(s->pool, ANY).free, v->target != FRESH);
	s->preparing = false;
}

static void after_move(struct stand *s)
{
	uint64_t i;

	check(s);
	s->preparing = true;
	assert_int_equal(hvo_set_owner(s->r.m, s->at, 0), 0);
	for (i = 0; i < PAGES; i++)
		if (s->huge[i] && rig_page(&s->r, i * HVO_BLOCK_FRAMES)->refcount)
			assert_int_equal(hvo_pool_free(s->pool, i * HVO_BLOCK_FRAMES), 0);
	stand_down(s);
}

static bool follows(const struct move *v)
{
	return v->scope == HVO_FOLD_NORMAL;
}

/* It went from @src to where it is now: what the pages have to be. */
static void expect_moved(struct stand *s, const struct move *v, hvo_pfn_t src)
{
	uint64_t from = src / HVO_BLOCK_FRAMES, to = s->at / HVO_BLOCK_FRAMES;
	bool was_folded = s->folded[from];

	assert_true(is_in(s, s->at, v->to));
	assert_true(rig_moved_intact(&s->r, s->at, HVO_BLOCK_FRAMES, s->tag, src));
	if (v->target == FRESH) {
		s->huge[to] = 1;
		s->boot[to] = 0;
		s->folded[to] = s->on && in_scope(s, to);
		s->out_of_scope += s->on && !s->folded[to];
		s->huge[from] = 0;
	}
	if (follows(v) && in_scope(s, to)) {
		s->folded[to] |= s->on;
	} else if (follows(v)) {
		s->restores += v->target == FRESH ? was_folded : s->folded[to];
		s->folded[to] = 0;
	}
	check(s);
	/* What leaves the pool waits for its descriptors, unless they were there before. */
	assert_int_equal(rig_pool(s->pool, ANY).deferred,
			 v->target == FRESH && was_folded && !(follows(v) && !in_scope(s, to)));
	while (hvo_work(s->r.m, UINT64_MAX, NULL))
		;
	check(s);
}

static void moved_on(const struct move *v, enum rig_platform platform)
{
	struct stand s;
	hvo_pfn_t src;

	before_move(&s, v, platform);
	src = s.at;
	if (v->scope == HVO_FOLD_UNMOVABLE) {
		assert_int_equal(hvo_migrate(s.r.m, src, ANY, NULL), -HVO_EBUSY);
		assert_int_equal(hvo_alloc_contig_range(s.r.m, src, src + 1, HVO_GFP_KERNEL),
				 -HVO_EBUSY);
		assert_int_equal(s.moves + s.putbacks, 0);
		s.refused += 2;
		check(&s);
		turn(&s, false);
	}
	/* The owner refuses, and nothing has changed but a target that was there. */
	if (v->target == FRESH) {
		s.refuse = true;
		assert_int_equal(hvo_migrate(s.r.m, src, ANY, NULL), -HVO_EAGAIN);
		s.refuse = false;
		s.restores +=
			follows(v) && v->to != HVO_ZONE_NORMAL && s.folded[src / HVO_BLOCK_FRAMES];
		s.out_of_scope += s.on && v->scope != HVO_FOLD_ALL &&
				  (v->to != HVO_ZONE_NORMAL || v->scope == HVO_FOLD_BOOT);
		while (hvo_work(s.r.m, UINT64_MAX, NULL))
			;
		assert_int_equal(s.at, src);
		assert_int_equal(s.putbacks, 1);
		check(&s);
	}
	assert_int_equal(hvo_migrate(s.r.m, src, ANY, NULL), 0);
	assert_int_equal(s.moves, 1);
	expect_moved(&s, v, src);
	after_move(&s);
}

static void each_move(enum hvo_fold_scope scope,
		      void (*try)(const struct move *v, enum rig_platform),
		      enum rig_platform platform)
{
	unsigned int from, to, target;

	for (from = 0; from < HVO_NR_ZONES; from++) {
		for (to = 0; to < HVO_NR_ZONES; to++) {
			for (target = 0; target < 3; target++) {
				struct move v = { scope, (enum hvo_zone_type)from,
						  (enum hvo_zone_type)to, (enum target)target };

				try(&v, platform);
			}
		}
	}
}

static void test_moves(void **state)
{
	int scope;

	(void)state;
	for (scope = 0; scope < 4; scope++)
		each_move((enum hvo_fold_scope)scope, moved_on, RIG_SIM);
}

static void test_moves_linux(void **state)
{
	const struct move away = { HVO_FOLD_NORMAL, HVO_ZONE_NORMAL, HVO_ZONE_MOVABLE, FRESH };
	const struct move back = { HVO_FOLD_NORMAL, HVO_ZONE_CMA, HVO_ZONE_NORMAL, FRESH };
	const struct move other = { HVO_FOLD_NORMAL, HVO_ZONE_NORMAL, HVO_ZONE_CMA, FOLDED };

	(void)state;
	moved_on(&away, RIG_LINUX);
	moved_on(&back, RIG_LINUX);
	moved_on(&other, RIG_LINUX);
}

/* No frame for descriptors: the move fails, the page is where it was and what it was. */
static void test_no_memory(void **state)
{
	static const struct move moves[] = {
		{ HVO_FOLD_NORMAL, HVO_ZONE_NORMAL, HVO_ZONE_MOVABLE, FRESH },
		{ HVO_FOLD_NORMAL, HVO_ZONE_NORMAL, HVO_ZONE_CMA, FRESH },
		{ HVO_FOLD_NORMAL, HVO_ZONE_NORMAL, HVO_ZONE_MOVABLE, FOLDED },
		{ HVO_FOLD_NORMAL, HVO_ZONE_MOVABLE, HVO_ZONE_CMA, FOLDED },
	};
	struct hvo_machine_stat was = { .size = sizeof(was) }, now = { .size = sizeof(now) };
	struct hog hog = { 0 };
	struct stand s;
	hvo_pfn_t src, place = 0, spare = 0;
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		before_move(&s, &moves[i], RIG_SIM);
		src = s.at;
		/* Nothing is left but the place to go to, and six frames of NORMAL. */
		if (moves[i].target == FRESH) {
			place = rig_alloc(&s.r, HVO_GFP_USER, HVO_BLOCK_ORDER);
			/* MOVABLE keeps a few frames back. */
			spare = moves[i].to == HVO_ZONE_MOVABLE ?
					rig_alloc(&s.r, GFP_HOG, HVO_BLOCK_ORDER) :
					0;
		}
		hog = (struct hog){ 0 };
		hog_all(&s.r, &hog, 6, false);
		if (moves[i].target == FRESH) {
			assert_true(is_in(&s, place, moves[i].to));
			rig_put(&s.r, place);
			if (spare)
				rig_put(&s.r, spare);
		}
		was = rig_stat(&s.r);
		assert_int_equal(hvo_migrate(s.r.m, src, ANY, NULL), -HVO_ENOMEM);
		now = rig_stat(&s.r);
		assert_int_equal(now.free_frames, was.free_frames);
		assert_int_equal(s.at, src);
		assert_int_equal(s.moves, 0);
		assert_int_equal(s.putbacks, 1);
		s.refused++;
		s.out_of_scope += moves[i].target == FRESH;
		assert_true(rig_intact(&s.r, src, HVO_BLOCK_FRAMES, s.tag));
		check(&s);
		/* A few frames more are enough. */
		hog_release(&s.r, &hog, 20);
		assert_int_equal(hvo_migrate(s.r.m, src, ANY, NULL), 0);
		expect_moved(&s, &moves[i], src);
		hog_release(&s.r, &hog, UINT64_MAX);
		after_move(&s);
	}
}

/* What is folded by now, however that came. */
static void take_over(struct stand *s)
{
	struct hvo_pool_stat now = rig_pool(s->pool, ANY);
	uint64_t i;

	while (hvo_work(s->r.m, UINT64_MAX, NULL))
		;
	for (i = 0; i < PAGES; i++) {
		hvo_pfn_t pfn = i * HVO_BLOCK_FRAMES;
		const struct hvo_page *page = rig_page(&s->r, pfn);

		s->huge[i] = hvo_fold_byte(hvo_machine_memmap(s->r.m), i) &&
			     (page->state == HVO_PAGE_HUGETLB_FREE ||
			      page->state == HVO_PAGE_HUGETLB_USED);
		s->folded[i] = s->huge[i] && page->flags & HVO_PF_OPTIMIZED;
		s->boot[i] = s->huge[i] && page->flags & HVO_PF_AT_BOOT;
		assert_true(!s->folded[i] || s->scope != HVO_FOLD_NORMAL || in_scope(s, i) ||
			    pfn != s->at);
	}
	s->out_of_scope = now.out_of_scope_total;
	s->restores = now.move_restores_total;
	s->refused = now.moves_refused_total;
	check(s);
}

/* Each point that can fail, in turn. */
static void points_on(const struct move *v, enum rig_platform platform)
{
	uint64_t point, sticky;

	for (sticky = 0; sticky < 2; sticky++) {
		for (point = 1;; point++) {
			struct stand s;
			bool failed;
			hvo_pfn_t src;
			int rc;

			before_move(&s, v, platform);
			if (v->scope == HVO_FOLD_UNMOVABLE)
				turn(&s, false);
			src = s.at;
			rig_arm(&s.r, point, sticky);
			rc = hvo_migrate(s.r.m, src, ANY, NULL);
			failed = rig_disarm(&s.r);
			assert_true(!rc || (failed && rc == -HVO_ENOMEM));
			if (rc) {
				uint64_t refused = rig_pool(s.pool, ANY).moves_refused_total;

				/* A restore that failed, or a target that could not be had. */
				assert_in_range(refused, 0, follows(v));
				s.refused = refused;
				s.out_of_scope = rig_pool(s.pool, ANY).out_of_scope_total;
				assert_int_equal(s.at, src);
				assert_true(rig_intact(&s.r, src, HVO_BLOCK_FRAMES, s.tag));
				/* Nothing has changed, also where a new page left again. */
				while (hvo_work(s.r.m, UINT64_MAX, NULL))
					;
				check(&s);
			} else if (failed) {
				/* A fold that fails leaves a page that is as good. */
				assert_true(
					rig_moved_intact(&s.r, s.at, HVO_BLOCK_FRAMES, s.tag, src));
				take_over(&s);
			} else {
				expect_moved(&s, v, src);
			}
			after_move(&s);
			if (!failed)
				break;
		}
		assert_in_range(point, v->target == FRESH ? 2 : 1, 64);
	}
}

static void test_points(void **state)
{
	int scope;

	(void)state;
	each_move(HVO_FOLD_NORMAL, points_on, RIG_FAULTY);
	/* The others bring nothing in line, so one of each kind does. */
	for (scope = 0; scope < 4; scope++) {
		struct move v = { (enum hvo_fold_scope)scope, HVO_ZONE_NORMAL, HVO_ZONE_MOVABLE,
				  FRESH };

		points_on(&v, RIG_FAULTY);
	}
}

/* ---- making room ------------------------------------------------------------------------------------------- */

/* A free page of NORMAL is in the way, and there is room for another in MOVABLE only. */
static void test_replace(void **state)
{
	const struct move v = { HVO_FOLD_NORMAL, HVO_ZONE_NORMAL, HVO_ZONE_MOVABLE, FRESH };
	struct hog hog = { 0 };
	struct hvo_pool_stat was = { .size = sizeof(was) }, now = { .size = sizeof(now) };
	hvo_pfn_t place, spare, pfn;
	struct stand s;

	(void)state;
	before_move(&s, &v, RIG_SIM);
	pfn = give_back(&s, HVO_ZONE_NORMAL);
	assert_true(s.folded[pfn / HVO_BLOCK_FRAMES]);
	place = rig_alloc(&s.r, HVO_GFP_USER, HVO_BLOCK_ORDER);
	/* The zone keeps a few frames back. */
	spare = rig_alloc(&s.r, GFP_HOG, HVO_BLOCK_ORDER);
	hog_all(&s.r, &hog, 6, false);
	rig_put(&s.r, place);
	rig_put(&s.r, spare);
	was = rig_pool(s.pool, ANY);
	assert_int_equal(hvo_alloc_contig_range(s.r.m, pfn, pfn + HVO_BLOCK_FRAMES, HVO_GFP_KERNEL),
			 -HVO_ENOMEM);
	now = rig_pool(s.pool, ANY);
	assert_int_equal(now.free, was.free);
	assert_int_equal(now.surplus, was.surplus);
	assert_int_equal(now.refused_total, was.refused_total);
	s.refused++;
	s.out_of_scope++;
	check(&s);
	hog_release(&s.r, &hog, 20);
	assert_int_equal(hvo_alloc_contig_range(s.r.m, pfn, pfn + HVO_BLOCK_FRAMES, HVO_GFP_KERNEL),
			 0);
	now = rig_pool(s.pool, ANY);
	assert_int_equal(now.free, was.free);
	assert_int_equal(now.surplus, was.surplus);
	assert_int_equal(now.deferred, 0);
	s.restores++;
	follow(&s, false);
	assert_int_equal(hvo_free_contig_range(s.r.m, pfn, pfn + HVO_BLOCK_FRAMES), 0);
	hog_release(&s.r, &hog, UINT64_MAX);
	after_move(&s);
}

/* Where huge pages stay, ranges around them are not even tried. */
static void test_stays(void **state)
{
	unsigned int scope;
	struct stand s;

	(void)state;
	for (scope = 0; scope < 4; scope++) {
		struct move v = { (enum hvo_fold_scope)scope, HVO_ZONE_NORMAL, HVO_ZONE_MOVABLE,
				  FRESH };
		uint64_t isolated = 0;
		hvo_pfn_t src, other, got = HVO_PFN_NONE;
		int rc;

		before_move(&s, &v, RIG_SIM);
		src = s.at;
		other = src ^ HVO_BLOCK_FRAMES;
		assert_int_equal(hvo_pool_free(s.pool, other), 0);
		assert_int_equal(hvo_hugetlb_dissolve(s.r.m, other), 0);
		follow(&s, false);
		isolated = s.moves + s.putbacks;
		rc = hvo_alloc_contig_pages(s.r.m, 2 * HVO_BLOCK_FRAMES, HVO_GFP_KERNEL, ANY, &got);
		if (scope == HVO_FOLD_UNMOVABLE) {
			assert_int_equal(rc, -HVO_ENOMEM);
			assert_int_equal(s.moves + s.putbacks, isolated);
			check(&s);
			turn(&s, false);
			rc = hvo_alloc_contig_pages(s.r.m, 2 * HVO_BLOCK_FRAMES, HVO_GFP_KERNEL,
						    ANY, &got);
		}
		assert_int_equal(rc, 0);
		assert_int_equal(got, src < other ? src : other);
		assert_true(is_in(&s, s.at, HVO_ZONE_MOVABLE));
		assert_int_equal(hvo_free_contig_range(s.r.m, got, got + 2 * HVO_BLOCK_FRAMES), 0);
		take_over(&s);
		after_move(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_setting),	      cmocka_unit_test(test_transitions),
		cmocka_unit_test(test_surplus),	      cmocka_unit_test(test_boot),
		cmocka_unit_test(test_boot_gigantic), cmocka_unit_test(test_demote),
		cmocka_unit_test(test_moves),	      cmocka_unit_test(test_moves_linux),
		cmocka_unit_test(test_no_memory),     cmocka_unit_test(test_points),
		cmocka_unit_test(test_replace),	      cmocka_unit_test(test_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
