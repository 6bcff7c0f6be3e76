// SPDX-License-Identifier: MIT
/*
 * Random operations against a naive model (model.h): here those on blocks and pools, and the
 * runs; in model_memory.c those on memory. After each of them the counts must agree.
 *
 * HVO_SEED=n: this seed alone. What fails is printed with its seed and step.
 * States and locks: none beyond one machine for each seed.
 * In Linux: tools/testing/radix-tree, tools/testing/vma.
 */
#include "model.h"

#include <stdlib.h>

#define STEPS 700
#define AUDIT_EVERY 70

/* ---- operations --------------------------------------------------------------------------------- */

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
	uint64_t normal = 0;
	struct entry *e;
	int n;

	for (n = 0; n < (int)mo->cfg.nr_nodes; n++)
		normal += rig_zone(&mo->r, n, HVO_ZONE_NORMAL).free;
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
		if (gfp & HVO_GFP_MEMALLOC && !order && !(gfp & HVO_GFP_THISNODE))
			must(mo, !normal);
		return;
	}
	must(mo, !is_cleared(mo, gfp) || rig_zero(&mo->r, pfn, UINT64_C(1) << order));
	if (!(gfp & HVO_GFP_MOVABLE))
		must(mo, section_at(mo, pfn)->zone == HVO_ZONE_NORMAL);
	if (gfp & HVO_GFP_THISNODE && node >= 0)
		must(mo, section_at(mo, pfn)->node == node);
	own(mo, pfn, UINT64_C(1) << order, true);
	e = add(mo, pfn, order, -1);
	if (gfp & HVO_GFP_MOVABLE)
		make_movable(mo, e);
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
	if (e->pool >= 0 && pick(mo, 2))
		rc = hvo_pool_free(mo->pool[e->pool], e->pfn);
	else
		rc = hvo_put_page(mo->r.m, some);
	if (e->refs == 1 && e->mapped) {
		must(mo, rc == -HVO_EBUSY);
		return;
	}
	must(mo, !rc);
	if (--e->refs)
		return;
	own(mo, e->pfn, size(e), false);
	forget(mo, e);
}

/* Give a page back with its reservation. */
static void op_put_reserved(struct model *mo)
{
	struct entry *e;
	int rc;

	if (!mo->nr)
		return;
	e = &mo->entry[pick(mo, mo->nr)];
	if (e->pool < 0) {
		must(mo, hvo_pool_free_reserved(mo->pool[0], e->pfn) == -HVO_EINVAL);
		return;
	}
	if (!e->reserved)
		return;
	rc = hvo_pool_free_reserved(mo->pool[e->pool], e->pfn);
	must(mo, rc == (e->refs > 1 || e->mapped ? -HVO_EBUSY : 0));
	if (rc)
		return;
	mo->reserved[e->pool]++;
	own(mo, e->pfn, size(e), false);
	forget(mo, e);
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
	e->word = pick(mo, 1000);
	must(mo, !hvo_page_set_private(mo->r.m, e->pfn + pick(mo, size(e)), 2, e->word));
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
	must(mo, entry_intact(mo, e));
	forget(mo, e);
	for (i = 0; i < size(&old); i += UINT64_C(1) << order)
		add(mo, old.pfn + i, order, -1)->movable = old.movable;
}

static void op_resize(struct model *mo)
{
	struct hvo_resize_options opt = { .size = sizeof(opt),
					  .nodes = pick(mo, UINT64_C(1) << mo->cfg.nr_nodes),
					  .boot = pick(mo, 2) };
	struct hvo_resize_result res = { .size = sizeof(res) };
	unsigned int i = (unsigned int)pick(mo, POOLS);
	uint64_t nr = pick(mo, i ? 4 : 24);

	if (pick(mo, 3))
		must(mo, !hvo_pool_resize(mo->pool[i], pick_node(mo), nr, &res));
	else
		must(mo, !hvo_pool_resize_with(mo->pool[i], HVO_NODE_ANY, nr, &opt, &res));
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
	struct entry *e;

	if (mo->nr == BLOCKS)
		return;
	if (reserved)
		rc = hvo_pool_alloc_reserved(mo->pool[i], gfp, node, &pfn);
	else
		rc = hvo_pool_alloc(mo->pool[i], gfp, node, &pfn);
	now = rig_pool(mo->pool[i], -1);
	if (rc) {
		must(mo, pfn == HVO_PFN_NONE && now.total == had.total && now.free == had.free);
		/* Pages with a frame that failed are free, but nobody gets them. */
		if (reserved && !had.reserved)
			must(mo, rc == -HVO_EINVAL);
		else
			must(mo, rc == -HVO_ENOMEM &&
					 (had.poisoned || (!reserved && had.free == had.reserved)));
		return;
	}
	mo->reserved[i] -= reserved;
	if (now.total == had.total)
		must(mo, now.free == had.free - 1 && (reserved || had.free > had.reserved));
	else
		must(mo, gfp && now.total == had.total + 1 && now.surplus == had.surplus + 1 &&
				 now.surplus <= had.overcommit &&
				 (had.poisoned || (!reserved && had.free == had.reserved)));
	if (now.total > had.total && mo->scope[i] == HVO_FOLD_UNMOVABLE && hvo_optimize(mo->r.m))
		must(mo, section_at(mo, pfn)->zone == HVO_ZONE_NORMAL);
	must(mo, !is_cleared(mo, gfp) || rig_zero(&mo->r, pfn, UINT64_C(1) << pool_order[i]));
	own(mo, pfn, UINT64_C(1) << pool_order[i], true);
	e = add(mo, pfn, pool_order[i], (int)i);
	e->reserved = reserved;
	if (pick(mo, 8))
		make_movable(mo, e);
}

static void op_reserve(struct model *mo)
{
	unsigned int i = (unsigned int)pick(mo, POOLS);
	struct hvo_pool_stat had = rig_pool(mo->pool[i], -1), now;
	uint64_t nr = pick(mo, 6);
	int rc;

	if (pick(mo, 2)) {
		rc = hvo_pool_unreserve(mo->pool[i], nr);
		must(mo, rc == (nr <= mo->reserved[i] ? 0 : -HVO_EINVAL));
		mo->reserved[i] -= rc ? 0 : nr;
		return;
	}
	rc = hvo_pool_reserve(mo->pool[i], pick_node(mo), nr);
	now = rig_pool(mo->pool[i], -1);
	/* A page that failed is no promise. */
	if (had.free >= had.reserved + had.poisoned + nr)
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
	const struct entry *e = entry_around(mo, pfn);
	int rc = hvo_hugetlb_dissolve(mo->r.m, pfn);

	must(mo, !rc || rc == -HVO_EBUSY || (rc == -HVO_ENOMEM && mo->cfg.mode == HVO_LINUX));
	if (e)
		must(mo, rc == (e->pool < 0 ? 0 : -HVO_EBUSY));
	if (!is_online(mo, pfn))
		must(mo, !rc);
}

static void op_demote(struct model *mo)
{
	uint64_t nr = pick(mo, 3), done = 99, small = rig_pool(mo->pool[0], -1).total;
	struct hvo_pool_stat had = rig_pool(mo->pool[1], -1);
	int rc = hvo_pool_demote(mo->pool[1], pick_node(mo), nr, &done);

	must(mo, done <= nr && done <= had.free - had.reserved);
	must(mo, !rc || (rc == -HVO_ENOMEM && mo->cfg.mode == HVO_LINUX) ||
			 (rc == -HVO_EBUSY && had.poisoned));
	must(mo, rig_pool(mo->pool[1], -1).total == had.total - done);
	must(mo, rig_pool(mo->pool[0], -1).total == small + done * 8);
}

static void op_optimize(struct model *mo)
{
	unsigned int i = (unsigned int)pick(mo, POOLS);
	struct hvo_pool_stat had = rig_pool(mo->pool[i], -1);
	uint64_t done = 99, left = mo->cfg.mode == HVO_LINUX ? pages_present(mo, i) : 0;

	must(mo, !hvo_pool_optimize(mo->pool[i], &done));
	must(mo, done == had.total - had.optimized - left);
	must(mo, rig_pool(mo->pool[i], -1).optimized == had.total - left);
}

static void op_work(struct model *mo)
{
	uint64_t max = pick(mo, 4) ? UINT64_MAX : pick(mo, 3);

	must(mo, (uint64_t)hvo_work(mo->r.m, max, NULL) <= max);
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
	must(mo, !hvo_pool_set_cma(mo->pool[pick(mo, POOLS)], pick(mo, 2)));
}

static void op_scope(struct model *mo)
{
	unsigned int i = (unsigned int)pick(mo, POOLS);
	enum hvo_fold_scope scope = (enum hvo_fold_scope)pick(mo, 4);
	int rc = hvo_pool_set_fold_scope(mo->pool[i], scope);

	must(mo, rc == (mo->cfg.mode == HVO_LINUX ? 0 : -HVO_EINVAL));
	if (!rc)
		mo->scope[i] = scope;
}

static void op_collapse(struct model *mo)
{
	uint64_t max = pick(mo, 8);

	must(mo, (uint64_t)hvo_collapse(mo->r.m, max, NULL) <= max);
}

/* What is free stays so, wherever its content is. */
static void op_report(struct model *mo)
{
	uint64_t max = pick(mo, 4) ? pick(mo, 40) * HVO_PAGEBLOCK_FRAMES : UINT64_MAX;
	uint64_t free = rig_free(&mo->r), was = rig_stat(&mo->r).reported;
	int64_t done =
		hvo_report_free(mo->r.m, HVO_NODE_ANY, 9 + (unsigned int)pick(mo, 4), max, NULL);

	must(mo, done >= 0 && (uint64_t)done <= max);
	must(mo, rig_free(&mo->r) == free);
	must(mo, rig_stat(&mo->r).reported == was + (uint64_t)done);
}

static void step(struct model *mo)
{
	static void (*const ops[])(struct model *) = {
		op_alloc,	 op_alloc,     op_alloc,      op_alloc,	      op_alloc,
		op_put,		 op_put,       op_put,	      op_put,	      op_get,
		op_get,		 op_stray,     op_stray,      op_split,	      op_resize,
		op_resize,	 op_huge,      op_huge,	      op_huge,	      op_put_reserved,
		op_reserve,	 op_reserve,   op_overcommit, op_dissolve,    op_demote,
		op_optimize,	 op_policy,    op_collapse,   op_report,      op_work,
		op_migrate,	 op_migrate,   op_empty,      op_compact,     op_contig,
		op_contig_pages, op_cma_alloc, op_cma_alloc,  op_cma_release, op_cma_release,
		op_move_memmap,	 op_fail,      op_scope,
	};
	static void (*const hotplug[])(struct model *) = { op_add, op_online, op_offline,
							   op_remove };

	if (mo->cfg.hotplug_bytes && !pick(mo, 6))
		hotplug[pick(mo, 4)](mo);
	else
		ops[pick(mo, sizeof(ops) / sizeof(ops[0]))](mo);
	/* So that there is room again. */
	while (mo->nr > BLOCKS * 3 / 4 && pick(mo, 8))
		op_put(mo);
}

/* ---- the runs --------------------------------------------------------------------------------------- */

struct setup {
	enum hvo_mode mode;
	uint32_t nr_nodes;
	uint64_t normal, cma, movable; /* MiB of each node */
	uint64_t hotplug;	       /* MiB */
};

static void give_all_back(struct model *mo)
{
	unsigned int i;

	while (mo->nr) {
		for (i = 0; i < mo->nr; i++) {
			while (mo->entry[i].mapped) {
				must(mo, !hvo_unmap_page(mo->r.m, mo->entry[i].pfn));
				mo->entry[i].mapped--;
			}
		}
		op_put(mo);
	}
	while (mo->nr_pieces)
		op_cma_release(mo);
	check(mo);
	check_all(mo);
	for (i = 0; i < POOLS; i++)
		must(mo, !hvo_pool_unreserve(mo->pool[i], mo->reserved[i]));
}

static void run(const struct setup *s, uint64_t seed)
{
	static struct model m;
	struct hvo_config cfg =
		rig_config(s->mode, s->nr_nodes * (s->normal + s->cma + s->movable));
	struct model *mo = &m;

	cfg.nr_nodes = s->nr_nodes;
	cfg.cma_bytes = s->cma * MIB;
	cfg.movable_bytes = s->movable * MIB;
	cfg.hotplug_bytes = s->hotplug * MIB;
	cfg.clear = (uint32_t)(seed % 3);
	cfg.max_order = seed % 2 ? HVO_MAX_ORDER : 12;
	model_open(mo, &cfg, seed);
	check(mo);
	for (mo->step = 1; mo->step <= STEPS; mo->step++) {
		step(mo);
		check(mo);
		if (mo->step % AUDIT_EVERY == 0)
			check_all(mo);
	}
	give_all_back(mo);
	model_close(mo);
}

static void seeds(const struct setup *s)
{
	uint64_t seed[64];
	size_t nr = seeds_of_test(seed, sizeof(seed) / sizeof(seed[0])), i;

	for (i = 0; i < nr; i++)
		run(s, seed[i]);
}

#define TEST(name, ...)                                 \
	static void test_##name(void **state)           \
	{                                               \
		const struct setup setup = __VA_ARGS__; \
                                                        \
		(void)state;                            \
		seeds(&setup);                          \
	}

TEST(on_demand, { HVO_ON_DEMAND, 1, 128, 0, 0, 0 })
TEST(on_demand_zones, { HVO_ON_DEMAND, 1, 128, 128, 128, 0 })
TEST(on_demand_two_nodes, { HVO_ON_DEMAND, 2, 128, 0, 0, 0 })
TEST(on_demand_hotplug, { HVO_ON_DEMAND, 1, 256, 0, 0, 384 })
TEST(on_demand_hotplug_two_nodes, { HVO_ON_DEMAND, 2, 128, 128, 0, 256 })
TEST(linux, { HVO_LINUX, 1, 128, 0, 0, 0 })
TEST(linux_zones, { HVO_LINUX, 1, 128, 128, 128, 0 })
TEST(linux_two_nodes, { HVO_LINUX, 2, 128, 0, 0, 0 })
TEST(linux_hotplug, { HVO_LINUX, 1, 256, 0, 0, 384 })
TEST(linux_hotplug_two_nodes, { HVO_LINUX, 2, 128, 128, 0, 256 })

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_on_demand),
		cmocka_unit_test(test_on_demand_zones),
		cmocka_unit_test(test_on_demand_two_nodes),
		cmocka_unit_test(test_on_demand_hotplug),
		cmocka_unit_test(test_on_demand_hotplug_two_nodes),
		cmocka_unit_test(test_linux),
		cmocka_unit_test(test_linux_zones),
		cmocka_unit_test(test_linux_two_nodes),
		cmocka_unit_test(test_linux_hotplug),
		cmocka_unit_test(test_linux_hotplug_two_nodes),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
