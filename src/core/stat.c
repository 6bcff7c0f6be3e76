// SPDX-License-Identifier: MIT
/*
 * Statistics: reads of the counters of zones, nodes and the machine.
 *
 * Locks: the zone's lock for what has to fit together.
 * Linux: mm/vmstat.c, mm/show_mem.c; mm/memory-failure.c, update_per_node_mf_stats().
 */
#include "stat.h"

#include "base.h"
#include "lock.h"
#include "sized.h"

/* The public type of a cut pageblock: to an allocation MIGRATE_HOSTED is movable memory. */
static enum hvo_migratetype public_type(uint8_t type)
{
	if (type == MIGRATE_UNMOVABLE)
		return HVO_MIGRATE_UNMOVABLE;
	return type == MIGRATE_RECLAIMABLE ? HVO_MIGRATE_RECLAIMABLE : HVO_MIGRATE_MOVABLE;
}

/* Count the cut pageblocks that serve, and their free blocks, by type. Zone lock held. */
static void count_types(const struct zone *z, struct hvo_zone_types *types)
{
	unsigned int from, o;

	for (from = 0; from < MIGRATE_TYPES; from++) {
		enum hvo_migratetype type = public_type((uint8_t)from);

		types->nr_cut[type] += z->nr_serving[from];
		for (o = 0; o < SMALL_ORDERS; o++)
			types->nr_free[type][o] += z->nr_frags[from][o];
	}
}

static void count_free(const struct zone *z, struct hvo_zone_stat *s)
{
	struct hvo_zone_types types = { 0 };
	unsigned int o, type;

	count_types(z, &types);
	for (o = 0; o < SMALL_ORDERS; o++)
		for (type = 0; type < HVO_NR_MIGRATETYPES; type++)
			s->nr_free[o] += types.nr_free[type][o];
	for (o = HVO_PAGEBLOCK_ORDER; o <= HVO_MAX_ORDER; o++)
		s->nr_free[o] = z->nr_whole[o - HVO_PAGEBLOCK_ORDER];
}

/* Check the arguments of a call about a zone and find the zone. -HVO_EINVAL: also without @out. */
static int zone_find(struct hvo_machine *m, int node, enum hvo_zone_type type, const void *out,
		     struct zone **ret)
{
	if (machine_gone(m))
		return -HVO_ENODEV;
	if (node < 0 || !node_valid(m, node) || (uint32_t)type >= HVO_NR_ZONES)
		return -HVO_EINVAL;
	*ret = &m->nodes[node].zones[type];
	return sized_check(out);
}

int hvo_zone_stat(struct hvo_machine *m, int node, enum hvo_zone_type type,
		  struct hvo_zone_stat *ret)
{
	struct hvo_zone_stat s = { 0 };
	struct zone *z;
	int rc = zone_find(m, node, type, ret, &z);

	if (rc)
		return rc;
	lock_acquire(m, &z->lock);
	s.start_pfn = z->start;
	s.end_pfn = z->end;
	s.present = z->present;
	s.managed = z->managed;
	s.free = z->nr_free;
	s.watermark_min = counter_read(&z->min);
	s.watermark_low = counter_read(&z->low);
	s.watermark_high = counter_read(&z->high);
	s.nr_cut = z->nr_cut;
	s.nr_collapsible = z->nr_collapsible;
	s.nr_isolated = z->nr_isolated;
	count_free(z, &s);
	lock_release(m, &z->lock);
	SIZED_OUT(ret, &s);
	return 0;
}

int hvo_zone_types(struct hvo_machine *m, int node, enum hvo_zone_type type,
		   struct hvo_zone_types *ret)
{
	struct hvo_zone_types types = { 0 };
	struct zone *z;
	int rc = zone_find(m, node, type, ret, &z);

	if (rc)
		return rc;
	lock_acquire(m, &z->lock);
	count_types(z, &types);
	lock_release(m, &z->lock);
	SIZED_OUT(ret, &types);
	return 0;
}

int hvo_numa_stat(struct hvo_machine *m, int node, enum hvo_zone_type type,
		  struct hvo_numa_stat *ret)
{
	struct hvo_numa_stat s = { 0 };
	struct zone *z;
	int rc = zone_find(m, node, type, ret, &z);

	if (rc)
		return rc;
	lock_acquire(m, &z->lock);
	s.miss = counter_read(&z->numa_miss);
	s.hit = z->nr_allocs - s.miss;
	s.foreign = counter_read(&z->numa_foreign);
	lock_release(m, &z->lock);
	SIZED_OUT(ret, &s);
	return 0;
}

int hvo_zone_events(struct hvo_machine *m, int node, enum hvo_zone_type type,
		    struct hvo_zone_events *ret)
{
	struct hvo_zone_events events = { 0 };
	struct zone *z;
	int rc = zone_find(m, node, type, ret, &z);

	if (rc)
		return rc;
	events.allocated = counter_read(&z->allocated);
	events.freed = counter_read(&z->freed);
	SIZED_OUT(ret, &events);
	return 0;
}

int hvo_machine_stat(struct hvo_machine *m, struct hvo_machine_stat *ret)
{
	struct hvo_machine_stat s = { 0 };
	int rc = machine_gone(m) ? -HVO_ENODEV : sized_check(ret);
	uint32_t n, t;

	if (rc)
		return rc;
	for (n = 0; n < m->cfg.nr_nodes; n++) {
		for (t = 0; t < HVO_NR_ZONES; t++) {
			s.total_frames += counter_read(&m->nodes[n].zones[t].managed);
			s.free_frames += counter_read(&m->nodes[n].zones[t].nr_free);
		}
	}
	s.memmap_boot = counter_read(&m->memmap_boot);
	s.memmap = counter_read(&m->memmap);
	s.folds = counter_read(&m->folds);
	s.restored = counter_read(&m->restored);
	s.cuts = counter_read(&m->cuts);
	s.cut_failures = counter_read(&m->cut_failures);
	s.collapses = counter_read(&m->collapses);
	s.collapse_failures = counter_read(&m->collapse_failures);
	s.poisoned = counter_read(&m->nr_bad);
	s.self_hosted_huge = counter_read(&m->self_hosted_huge);
	s.moved = counter_read(&m->moved);
	s.carved_blocks = counter_read(&m->carved_blocks);
	s.hugetlb_allocs = counter_read(&m->hugetlb_allocs);
	s.hugetlb_alloc_failures = counter_read(&m->hugetlb_alloc_failures);
	s.migrated = counter_read(&m->migrated);
	s.migrate_failures = counter_read(&m->migrate_failures);
	s.reported = counter_read(&m->reported);
	s.cma_allocs = counter_read(&m->cma_allocs);
	s.cma_alloc_failures = counter_read(&m->cma_alloc_failures);
	s.compact_scanned = counter_read(&m->compact_scanned);
	s.compact_isolated = counter_read(&m->compact_isolated);
	s.compact_stalls = counter_read(&m->compact_stalls);
	s.compact_successes = counter_read(&m->compact_successes);
	if (table_layout(m))
		s.head_bytes = (m->mm.nr_frames >> HVO_PAGEBLOCK_ORDER) * sizeof(*m->mm.heads);
	SIZED_OUT(ret, &s);
	return 0;
}

/* ---- what failed, by node ------------------------------------------------------------------- */

void failure_count(struct hvo_machine *m, hvo_pfn_t pfn, int rc)
{
	struct node *n = node_of(m, pfn);

	counter_add(!rc		     ? &n->failures_recovered :
		    rc == -HVO_EBUSY ? &n->failures_delayed :
				       &n->failures_failed,
		    1);
}

int hvo_failure_stat(struct hvo_machine *m, int node, struct hvo_failure_stat *ret)
{
	struct hvo_failure_stat s = { 0 };
	const struct node *n;
	int rc = machine_gone(m) ? -HVO_ENODEV : sized_check(ret);

	if (rc)
		return rc;
	if (node < 0 || !node_valid(m, node))
		return -HVO_EINVAL;
	n = &m->nodes[node];
	s.recovered = counter_read(&n->failures_recovered);
	s.delayed = counter_read(&n->failures_delayed);
	s.failed = counter_read(&n->failures_failed);
	s.total = s.recovered + s.delayed + s.failed;
	SIZED_OUT(ret, &s);
	return 0;
}
