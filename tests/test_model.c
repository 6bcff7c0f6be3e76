// SPDX-License-Identifier: MIT
/*
 * Random operations against a naive model: a list of blocks with their references
 * and contents, and one byte for each frame that says whether somebody has it. The
 * model knows how many frames descriptors take, so free frames must agree exactly.
 *
 * HVO_SEED=n adds a seed. What fails is printed with its seed and step.
 * States and locks: none beyond one machine for each seed.
 * In Linux: tools/testing/radix-tree, tools/testing/vma.
 */
#include "harness.h"

#include <hvo/move.h>

#include "core/migrate.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 400
#define STEPS 900
#define AUDIT_EVERY 90
#define POOLS 2

struct entry {
	hvo_pfn_t pfn;
	unsigned int order, refs, mapped;
	int pool; /* number, or -1 */
	uint64_t tag;
	bool movable; /* has an owner: the model */
};

struct model {
	struct rig r;
	struct hvo_config cfg;
	uint64_t seed, random, step, tags;
	struct hvo_pool *pool[POOLS];
	struct entry entry[BLOCKS];
	unsigned int nr;
	uint8_t *owned; /* of each frame */
	uint64_t nr_frames;
	uint64_t reserved[POOLS];
	struct hvo_owner owner;
	uint32_t id;
};

static const unsigned int pool_order[POOLS] = { 9, 12 };

#define must(mo, ok) must_at(mo, ok, #ok, __FILE__, __LINE__)

static void must_at(struct model *mo, bool ok, const char *what, const char *file, int line)
{
	if (ok)
		return;
	print_error("HVO_SEED=%" PRIu64 ", step %" PRIu64 ", mode %u, %u nodes, movable %" PRIu64
		    " MiB: %s\n",
		    mo->seed, mo->step, mo->cfg.mode, mo->cfg.nr_nodes, mo->cfg.movable_bytes / MIB,
		    what);
	_fail(file, line);
}

static uint64_t pick(struct model *mo, uint64_t n)
{
	return (rig_random(&mo->random) >> 20) % n;
}

/* ---- the model's own records ------------------------------------------------------------------ */

static void own(struct model *mo, hvo_pfn_t pfn, unsigned int order, bool yes)
{
	uint64_t i;

	for (i = 0; i < UINT64_C(1) << order; i++) {
		must(mo, pfn + i < mo->nr_frames && mo->owned[pfn + i] == !yes);
		mo->owned[pfn + i] = yes;
	}
}

static uint64_t size(const struct entry *e)
{
	return UINT64_C(1) << e->order;
}

static void add(struct model *mo, hvo_pfn_t pfn, unsigned int order, int pool)
{
	struct entry *e = &mo->entry[mo->nr++];

	*e = (struct entry){ pfn, order, 1, 0, pool, ++mo->tags, false };
	must(mo, !(pfn & (size(e) - 1)));
	own(mo, pfn, order, true);
	rig_fill(&mo->r, pfn, size(e), e->tag);
}

static void make_movable(struct model *mo, struct entry *e)
{
	must(mo, !hvo_set_owner(mo->r.m, e->pfn, mo->id));
	e->movable = true;
}

static struct entry *entry_at(struct model *mo, hvo_pfn_t pfn)
{
	unsigned int i;

	for (i = 0; i < mo->nr; i++)
		if (mo->entry[i].pfn == pfn)
			return &mo->entry[i];
	return NULL;
}

/* ---- the model as an owner --------------------------------------------------------------------- */

static uint32_t on_isolate(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
			   unsigned int order)
{
	struct model *mo = owner->arg;
	struct entry *e = entry_at(mo, pfn);

	(void)m;
	must(mo, e && e->order == order && e->movable);
	return pick(mo, 8) ? e->refs : 0;
}

static int on_move(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t dst, hvo_pfn_t src,
		   unsigned int order)
{
	struct model *mo = owner->arg;
	struct entry *e = entry_at(mo, src);

	(void)m;
	must(mo, e && e->order == order);
	must(mo, rig_moved_intact(&mo->r, dst, size(e), e->tag, src));
	if (!pick(mo, 8))
		return -HVO_EAGAIN;
	own(mo, src, order, false);
	own(mo, dst, order, true);
	e->pfn = dst;
	rig_fill(&mo->r, dst, size(e), e->tag);
	return 0;
}

static void on_putback(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
		       unsigned int order)
{
	struct model *mo = owner->arg;
	struct entry *e = entry_at(mo, pfn);

	(void)m;
	must(mo, e && e->order == order && rig_intact(&mo->r, pfn, size(e), e->tag));
}

static void verify(struct model *mo, const struct entry *e)
{
	hvo_pfn_t some = e->pfn + pick(mo, size(e)), head = HVO_PFN_NONE;
	const struct hvo_page *page = rig_page(&mo->r, e->pfn);

	must(mo, rig_intact(&mo->r, e->pfn, size(e), e->tag));
	must(mo,
	     page->order == e->order && page->refcount == e->refs && page->mapcount == e->mapped);
	must(mo, page->state == (e->pool < 0 ? HVO_PAGE_USED : HVO_PAGE_HUGETLB_USED));
	must(mo, hvo_page_head(hvo_machine_memmap(mo->r.m), some) == e->pfn);
	must(mo, !hvo_get_page(mo->r.m, some, &head) && head == e->pfn);
	must(mo, !hvo_put_page(mo->r.m, some));
}

/* Frames that hold descriptors, from what must be present. */
static uint64_t descriptors(struct model *mo)
{
	uint64_t blocks = mo->nr_frames >> HVO_BLOCK_ORDER, nr, n, t, i;

	if (mo->cfg.mode == HVO_LINUX) {
		nr = blocks * HVO_BLOCK_MEMMAP;
		for (i = 0; i < POOLS; i++)
			nr -= (rig_pool(mo->pool[i], -1).optimized +
			       rig_pool(mo->pool[i], -1).deferred) *
			      ((1u << pool_order[i]) / 64 - 1);
		return nr;
	}
	nr = blocks;
	for (n = 0; n < mo->cfg.nr_nodes; n++)
		for (t = 0; t < HVO_NR_ZONES; t++)
			nr += HVO_BLOCK_TAILS *
			      rig_zone(&mo->r, (int)n, (enum hvo_zone_type)t).nr_cut;
	return nr;
}

static void check(struct model *mo)
{
	struct hvo_machine_stat s = rig_stat(&mo->r);
	uint64_t used = 0, i, in_use[POOLS] = { 0 }, in_pools = 0;

	for (i = 0; i < mo->nr; i++) {
		if (mo->entry[i].pool < 0)
			used += size(&mo->entry[i]);
		else
			in_use[mo->entry[i].pool]++;
	}
	for (i = 0; i < POOLS; i++) {
		struct hvo_pool_stat p = rig_pool(mo->pool[i], -1);

		must(mo, p.total - p.free == in_use[i]);
		must(mo, p.surplus <= p.total);
		must(mo, p.reserved == mo->reserved[i] && p.reserved <= p.free);
		in_pools += (p.total + p.deferred) << pool_order[i];
	}
	must(mo, s.memmap + s.memmap_boot == descriptors(mo));
	must(mo, s.total_frames == mo->nr_frames - s.memmap_boot);
	must(mo, s.free_frames + used + in_pools + descriptors(mo) == mo->nr_frames);
}

static void check_all(struct model *mo)
{
	uint64_t i;

	must(mo, !rig_findings(&mo->r));
	for (i = 0; i < mo->nr; i++)
		verify(mo, &mo->entry[i]);
}

/* ---- operations --------------------------------------------------------------------------------- */

static int pick_node(struct model *mo)
{
	return (int)pick(mo, mo->cfg.nr_nodes + 1) - 1;
}

static void op_alloc(struct model *mo)
{
	static const unsigned int flags[] = { HVO_GFP_KERNEL,
					      HVO_GFP_ATOMIC,
					      HVO_GFP_USER,
					      HVO_GFP_MEMALLOC,
					      HVO_GFP_KERNEL | HVO_GFP_RECLAIMABLE,
					      HVO_GFP_MOVABLE | HVO_GFP_NORETRY };
	unsigned int gfp = flags[pick(mo, 6)] | HVO_GFP_NOWARN, order;
	int node = pick_node(mo), rc;
	hvo_pfn_t pfn = HVO_PFN_NONE;
	uint64_t before = rig_free(&mo->r);

	if (mo->nr == BLOCKS)
		return;
	order = (unsigned int)pick(mo, pick(mo, 4) ? 6 : 13);
	if (!pick(mo, 4))
		gfp |= HVO_GFP_THISNODE;
	if (!pick(mo, 4))
		gfp |= HVO_GFP_ZERO;
	rc = hvo_alloc_pages(mo->r.m, gfp, order, node, &pfn);
	if (rc) {
		must(mo, rc == -HVO_ENOMEM && pfn == HVO_PFN_NONE);
		/* An order-0 request without conditions fails when there is nothing. */
		if (gfp & HVO_GFP_MEMALLOC && !order && !(gfp & HVO_GFP_THISNODE) &&
		    !mo->cfg.movable_bytes)
			must(mo, before < 1);
		return;
	}
	must(mo, !(gfp & HVO_GFP_ZERO) || rig_zero(&mo->r, pfn, UINT64_C(1) << order));
	add(mo, pfn, order, -1);
	if (gfp & HVO_GFP_MOVABLE)
		make_movable(mo, &mo->entry[mo->nr - 1]);
}

static void op_put(struct model *mo)
{
	struct entry *e;
	uint64_t some;
	int rc;

	if (!mo->nr)
		return;
	e = &mo->entry[pick(mo, mo->nr)];
	verify(mo, e);
	some = e->pfn + pick(mo, size(e));
	rc = hvo_put_page(mo->r.m, some);
	if (e->refs == 1 && e->mapped) {
		must(mo, rc == -HVO_EBUSY);
		return;
	}
	must(mo, !rc);
	if (--e->refs)
		return;
	own(mo, e->pfn, e->order, false);
	*e = mo->entry[--mo->nr];
}

static void op_get(struct model *mo)
{
	struct entry *e;

	if (!mo->nr)
		return;
	e = &mo->entry[pick(mo, mo->nr)];
	if (e->refs < 4) {
		must(mo, !hvo_get_page(mo->r.m, e->pfn + pick(mo, size(e)), NULL));
		e->refs++;
	}
	if (e->mapped) {
		must(mo, !hvo_unmap_page(mo->r.m, e->pfn));
		e->mapped--;
	} else if (!pick(mo, 4)) {
		must(mo, !hvo_map_page(mo->r.m, e->pfn + size(e) - 1));
		e->mapped++;
	}
}

/* Any frame: held or not, the model knows. */
static void op_stray(struct model *mo)
{
	hvo_pfn_t pfn = pick(mo, mo->nr_frames);
	int rc = hvo_get_page(mo->r.m, pfn, NULL);

	must(mo, rc == (mo->owned[pfn] ? 0 : -HVO_EBUSY));
	if (!rc)
		must(mo, !hvo_put_page(mo->r.m, pfn));
	else
		must(mo, hvo_put_page(mo->r.m, pfn) == -HVO_EINVAL &&
				 hvo_map_page(mo->r.m, pfn) == -HVO_EINVAL);
}

static void op_split(struct model *mo)
{
	struct entry *e, old;
	unsigned int order;
	uint64_t i;
	int rc;

	if (!mo->nr)
		return;
	e = &mo->entry[pick(mo, mo->nr)];
	if (!e->order)
		return;
	order = (unsigned int)pick(mo, e->order);
	if (mo->nr + (size(e) >> order) > BLOCKS)
		order = e->order - 1;
	if (mo->nr + 2 > BLOCKS)
		return;
	verify(mo, e);
	old = *e;
	rc = hvo_split_page(mo->r.m, e->pfn, order);
	if (e->pool >= 0 || e->refs > 1 || e->mapped) {
		must(mo, rc == (e->pool >= 0 ? -HVO_EINVAL : -HVO_EBUSY));
		return;
	}
	if (rc) {
		must(mo, rc == -HVO_ENOMEM && mo->cfg.mode == HVO_ON_DEMAND && e->order >= 9 &&
				 order < 9);
		verify(mo, e);
		return;
	}
	must(mo, rig_intact(&mo->r, old.pfn, size(&old), old.tag));
	own(mo, old.pfn, old.order, false);
	*e = mo->entry[--mo->nr];
	for (i = 0; i < size(&old); i += UINT64_C(1) << order) {
		add(mo, old.pfn + i, order, -1);
		mo->entry[mo->nr - 1].movable = old.movable;
	}
}

static void op_resize(struct model *mo)
{
	struct hvo_resize_result res;
	unsigned int i = (unsigned int)pick(mo, POOLS);

	must(mo, !hvo_pool_resize(mo->pool[i], pick_node(mo), pick(mo, i ? 4 : 24), &res));
	must(mo, res.done + res.refused <= res.asked);
	must(mo, mo->cfg.mode == HVO_LINUX || (!res.refused && !res.carved));
}

static void op_huge(struct model *mo)
{
	unsigned int i = (unsigned int)pick(mo, POOLS);
	struct hvo_pool_stat had = rig_pool(mo->pool[i], -1), now;
	unsigned int gfp = pick(mo, 2) ? HVO_GFP_KERNEL : 0;
	hvo_pfn_t pfn = HVO_PFN_NONE;
	bool reserved = pick(mo, 3) == 0;
	int node = pick_node(mo), rc;

	if (mo->nr == BLOCKS)
		return;
	if (reserved)
		rc = hvo_hugetlb_alloc_reserved(mo->pool[i], gfp, node, &pfn);
	else
		rc = hvo_hugetlb_alloc(mo->pool[i], gfp, node, &pfn);
	now = rig_pool(mo->pool[i], -1);
	if (rc) {
		must(mo, pfn == HVO_PFN_NONE && now.total == had.total && now.free == had.free);
		if (reserved)
			must(mo, rc == -HVO_EINVAL && !had.reserved);
		else
			must(mo, rc == -HVO_ENOMEM && had.free == had.reserved);
		return;
	}
	mo->reserved[i] -= reserved;
	if (reserved || had.free > had.reserved)
		must(mo, now.free == had.free - 1 && now.total == had.total);
	else
		must(mo, gfp && now.total == had.total + 1 && now.surplus == had.surplus + 1 &&
				 now.surplus <= had.overcommit);
	add(mo, pfn, pool_order[i], (int)i);
	if (pick(mo, 4))
		make_movable(mo, &mo->entry[mo->nr - 1]);
}

static void op_migrate(struct model *mo)
{
	hvo_pfn_t dst = HVO_PFN_NONE, src;
	struct entry *e;
	int rc;

	if (!mo->nr)
		return;
	e = &mo->entry[pick(mo, mo->nr)];
	src = e->pfn;
	rc = hvo_migrate(mo->r.m, src + pick(mo, size(e)), pick_node(mo), &dst);
	if (!e->movable)
		must(mo, rc == -HVO_EINVAL);
	if (rc)
		must(mo, e->pfn == src && dst == HVO_PFN_NONE &&
				 (rc == -HVO_EINVAL || rc == -HVO_EBUSY || rc == -HVO_ENOMEM ||
				  rc == -HVO_EAGAIN));
	else
		must(mo, e->pfn == dst && dst != src);
	verify(mo, e);
}

static void op_compact(struct model *mo)
{
	uint64_t max = pick(mo, 1500);
	int64_t moved = hvo_compact(mo->r.m, pick_node(mo), 9 + (unsigned int)pick(mo, 3), max);

	must(mo, moved >= 0 && (uint64_t)moved <= max);
}

/* Any frames are wanted: then all of them are free, or nobody's. */
static void op_contig(struct model *mo)
{
	hvo_pfn_t start = pick(mo, mo->nr_frames), end = start + 1 + pick(mo, 1500), pfn;
	int rc = hvo_alloc_contig_range(mo->r.m, start, end, HVO_GFP_USER | HVO_GFP_NOWARN);

	if (rc) {
		must(mo, rc == -HVO_EBUSY || rc == -HVO_ENOMEM || rc == -HVO_EINVAL ||
				 rc == -HVO_EAGAIN);
		return;
	}
	for (pfn = start; pfn < end; pfn++)
		must(mo, !mo->owned[pfn] && !hvo_get_page(mo->r.m, pfn, NULL) &&
				 !hvo_put_page(mo->r.m, pfn));
	must(mo, !rig_findings(&mo->r));
	must(mo, !hvo_free_contig_range(mo->r.m, start, end));
}

/* A range of some blocks is emptied, if that can be; then nobody is in it any more. */
static void op_empty(struct model *mo)
{
	enum evacuate_huge huge = pick(mo, 2) ? EVACUATE_DISSOLVE : EVACUATE_REPLACE;
	uint64_t blocks = mo->nr_frames >> HVO_BLOCK_ORDER;
	hvo_pfn_t start = pick(mo, blocks) << HVO_BLOCK_ORDER;
	hvo_pfn_t end = start + ((1 + pick(mo, 8)) << HVO_BLOCK_ORDER);
	uint64_t moved = 0;
	unsigned int i;
	int rc;

	rc = hvo_isolate_range(mo->r.m, start, end);
	if (rc) {
		must(mo, rc == -HVO_EINVAL);
		return;
	}
	rc = evacuate(mo->r.m, start, end, huge, pick(mo, 4) ? UINT64_MAX : pick(mo, 600), &moved);
	must(mo, !rc || rc == -HVO_EBUSY || rc == -HVO_ENOMEM || rc == -HVO_EAGAIN);
	for (i = 0; i < mo->nr && !rc; i++)
		must(mo,
		     mo->entry[i].pfn >= end || mo->entry[i].pfn + size(&mo->entry[i]) <= start);
	if (!pick(mo, 3))
		must(mo, !rig_findings(&mo->r));
	must(mo, !hvo_unisolate_range(mo->r.m, start, end));
}

static void op_reserve(struct model *mo)
{
	unsigned int i = (unsigned int)pick(mo, POOLS);
	struct hvo_pool_stat had = rig_pool(mo->pool[i], -1), now;
	uint64_t nr = pick(mo, 6);
	int rc;

	if (pick(mo, 2)) {
		rc = hvo_hugetlb_unreserve(mo->pool[i], nr);
		must(mo, rc == (nr <= mo->reserved[i] ? 0 : -HVO_EINVAL));
		mo->reserved[i] -= rc ? 0 : nr;
		return;
	}
	rc = hvo_hugetlb_reserve(mo->pool[i], pick_node(mo), nr);
	now = rig_pool(mo->pool[i], -1);
	if (had.free >= had.reserved + nr)
		must(mo, !rc);
	must(mo, !rc || rc == -HVO_ENOMEM);
	mo->reserved[i] += rc ? 0 : nr;
	/* Refused frees apart, surplus pages keep within their limit. */
	if (now.surplus > had.surplus && now.refused_total == had.refused_total)
		must(mo, now.surplus <= had.overcommit);
}

static void op_overcommit(struct model *mo)
{
	must(mo, !hvo_pool_set_overcommit(mo->pool[pick(mo, POOLS)], pick(mo, 5)));
}

static void op_dissolve(struct model *mo)
{
	hvo_pfn_t pfn = pick(mo, mo->nr_frames);
	unsigned int i;
	int rc = hvo_hugetlb_dissolve(mo->r.m, pfn);

	must(mo, !rc || rc == -HVO_EBUSY || (rc == -HVO_ENOMEM && mo->cfg.mode == HVO_LINUX));
	for (i = 0; i < mo->nr; i++)
		if (mo->entry[i].pool >= 0 && pfn >= mo->entry[i].pfn &&
		    pfn < mo->entry[i].pfn + size(&mo->entry[i]))
			must(mo, rc == -HVO_EBUSY);
}

static void op_demote(struct model *mo)
{
	uint64_t nr = pick(mo, 3), done = 99, small = rig_pool(mo->pool[0], -1).total;
	struct hvo_pool_stat had = rig_pool(mo->pool[1], -1);
	int rc = hvo_pool_demote(mo->pool[1], pick_node(mo), nr, &done);

	must(mo, done <= nr && done <= had.free - had.reserved);
	must(mo, !rc || (rc == -HVO_ENOMEM && mo->cfg.mode == HVO_LINUX));
	must(mo, rig_pool(mo->pool[1], -1).total == had.total - done);
	must(mo, rig_pool(mo->pool[0], -1).total == small + done * 8);
}

static void op_optimize(struct model *mo)
{
	unsigned int i = (unsigned int)pick(mo, POOLS);
	struct hvo_pool_stat had = rig_pool(mo->pool[i], -1);
	uint64_t done = 99;

	must(mo, !hvo_hugetlb_optimize_pool(mo->pool[i], &done));
	must(mo, done == had.total - had.optimized);
	must(mo, rig_pool(mo->pool[i], -1).optimized == had.total);
}

static void op_work(struct model *mo)
{
	uint64_t max = pick(mo, 4) ? UINT64_MAX : pick(mo, 3);

	must(mo, hvo_work(mo->r.m, max) <= max);
	if (max == UINT64_MAX)
		must(mo,
		     !rig_pool(mo->pool[0], -1).deferred && !rig_pool(mo->pool[1], -1).deferred);
}

static void op_policy(struct model *mo)
{
	static const char *const names[] = { "mayfail", "mayfail-node", "noretry",   "atomic",
					     "oom",	"carve",	"carve-heal" };

	hvo_set_optimize(mo->r.m, pick(mo, 3));
	must(mo,
	     !hvo_pool_set_policy(mo->pool[pick(mo, POOLS)], hvo_policy_find(names[pick(mo, 7)])));
}

static void op_collapse(struct model *mo)
{
	uint64_t max = pick(mo, 8);

	must(mo, hvo_collapse(mo->r.m, max) <= max);
}

static void step(struct model *mo)
{
	static void (*const ops[])(struct model *) = {
		op_alloc,    op_alloc,	  op_alloc,   op_alloc,	  op_alloc,	 op_put,
		op_put,	     op_put,	  op_put,     op_get,	  op_stray,	 op_split,
		op_resize,   op_resize,	  op_huge,    op_huge,	  op_stray,	 op_policy,
		op_collapse, op_huge,	  op_reserve, op_reserve, op_overcommit, op_dissolve,
		op_demote,   op_optimize, op_work,    op_migrate, op_migrate,	 op_empty,
		op_compact,  op_contig,
	};

	ops[pick(mo, sizeof(ops) / sizeof(ops[0]))](mo);
	/* So that there is room again. */
	while (mo->nr > BLOCKS * 3 / 4 && pick(mo, 8))
		op_put(mo);
}

/* ---- the runs --------------------------------------------------------------------------------------- */

static void run(enum hvo_mode mode, uint32_t nr_nodes, uint64_t movable, uint64_t seed)
{
	static struct model m;
	struct model *mo = &m;
	unsigned int i;

	memset(mo, 0, sizeof(*mo));
	mo->cfg = rig_config(mode, nr_nodes * (movable ? 256 : 128));
	mo->cfg.nr_nodes = nr_nodes;
	mo->cfg.movable_bytes = movable;
	mo->cfg.clear = (uint32_t)(seed % 3);
	mo->cfg.max_order = seed % 2 ? HVO_MAX_ORDER : 12;
	mo->seed = mo->random = seed;
	rig_open(&mo->r, RIG_SIM, &mo->cfg);
	mo->nr_frames = hvo_machine_memmap(mo->r.m)->nr_frames;
	mo->owned = calloc(mo->nr_frames, 1);
	assert_non_null(mo->owned);
	for (i = 0; i < POOLS; i++)
		must(mo, !hvo_pool_create(mo->r.m, pool_order[i], &mo->pool[i]));
	mo->owner = (struct hvo_owner){ on_isolate, on_move, on_putback, NULL, mo };
	must(mo, !hvo_owner_register(mo->r.m, &mo->owner, &mo->id));
	check(mo);
	for (mo->step = 1; mo->step <= STEPS; mo->step++) {
		step(mo);
		check(mo);
		if (mo->step % AUDIT_EVERY == 0)
			check_all(mo);
	}
	while (mo->nr) {
		for (i = 0; i < mo->nr; i++) {
			while (mo->entry[i].mapped) {
				must(mo, !hvo_unmap_page(mo->r.m, mo->entry[i].pfn));
				mo->entry[i].mapped--;
			}
		}
		op_put(mo);
	}
	check(mo);
	check_all(mo);
	for (i = 0; i < POOLS; i++)
		must(mo, !hvo_hugetlb_unreserve(mo->pool[i], mo->reserved[i]));
	free(mo->owned);
	rig_close(&mo->r);
}

static void seeds(enum hvo_mode mode, uint32_t nr_nodes, uint64_t movable)
{
	const char *env = getenv("HVO_SEED");
	uint64_t seed;

	if (env)
		run(mode, nr_nodes, movable, strtoull(env, NULL, 0));
	for (seed = 1; seed <= 3; seed++)
		run(mode, nr_nodes, movable, seed);
}

#define TEST(name, mode, nodes, movable)      \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		seeds(mode, nodes, movable);  \
	}

TEST(on_demand, HVO_ON_DEMAND, 1, 0)
TEST(on_demand_movable, HVO_ON_DEMAND, 1, 128 * MIB)
TEST(on_demand_two_nodes, HVO_ON_DEMAND, 2, 0)
TEST(linux, HVO_LINUX, 1, 0)
TEST(linux_movable, HVO_LINUX, 1, 128 * MIB)
TEST(linux_two_nodes, HVO_LINUX, 2, 0)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_on_demand),
		cmocka_unit_test(test_on_demand_movable),
		cmocka_unit_test(test_on_demand_two_nodes),
		cmocka_unit_test(test_linux),
		cmocka_unit_test(test_linux_movable),
		cmocka_unit_test(test_linux_two_nodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
