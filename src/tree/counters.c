// SPDX-License-Identifier: MIT
/*
 * Frames of nodes and zones under the kernel's names. Linux has two zones where a machine has
 * three: memory for CMA areas is part of Normal.
 *
 * What a machine has nothing of (page cache, swap, slabs) is 0, as in a kernel that has none of
 * it: whoever reads these files finds the lines.
 *
 * Linux: mm/vmstat.c, vmstat_text[].
 */
#include "internal.h"

#include <stddef.h>
#include <string.h>

unsigned int nr_nodes(const struct tree *t)
{
	return hvo_machine_config(t->m)->nr_nodes;
}

void show_nodes(struct tree *t, FILE *out)
{
	unsigned int nr = nr_nodes(t);

	if (nr > 1)
		fprintf(out, "0-%u\n", nr - 1);
	else
		fputs("0\n", out);
}

struct hvo_pool *next_pool(struct tree *t, unsigned int *order)
{
	struct hvo_pool *pool = NULL;
	unsigned int o = *order ? *order + 1 : HVO_PAGEBLOCK_ORDER;

	for (; !pool && o <= HVO_MAX_ORDER; o++) {
		pool = hvo_pool_find(t->m, o);
		*order = o;
	}
	return pool;
}

void pool_stat(struct hvo_pool *pool, int node, struct hvo_pool_stat *ret)
{
	memset(ret, 0, sizeof(*ret)); /* what a machine has that is gone */
	ret->size = sizeof(*ret);
	(void)hvo_pool_stat(pool, node, ret);
}

/* ---- zones ------------------------------------------------------------------------- */

static void add_zone(struct tree *t, int node, enum hvo_zone_type type, struct hvo_zone_stat *stat,
		     struct zone_sum *sum)
{
	struct hvo_zone_events events = { .size = sizeof(events) };
	struct hvo_numa_stat numa = { .size = sizeof(numa) };

	(void)hvo_zone_stat(t->m, node, type, stat);
	(void)hvo_numa_stat(t->m, node, type, &numa);
	(void)hvo_zone_events(t->m, node, type, &events);
	sum->numa.hit += numa.hit;
	sum->numa.miss += numa.miss;
	sum->numa.foreign += numa.foreign;
	sum->events.allocated += events.allocated;
	sum->events.freed += events.freed;
}

void zone_sum(struct tree *t, int node, enum linux_zone zone, struct zone_sum *ret)
{
	bool movable = zone == ZONE_MOVABLE;

	/* Of a machine that is gone nothing is left. */
	memset(ret, 0, sizeof(*ret));
	ret->own.size = sizeof(ret->own);
	ret->cma.size = sizeof(ret->cma);
	ret->name = movable ? "Movable" : "Normal";
	add_zone(t, node, movable ? HVO_ZONE_MOVABLE : HVO_ZONE_NORMAL, &ret->own, ret);
	if (!movable)
		add_zone(t, node, HVO_ZONE_CMA, &ret->cma, ret);
}

uint64_t zone_spanned(const struct zone_sum *z)
{
	uint64_t start = z->own.start_pfn, end = z->own.end_pfn;

	if (!z->own.present)
		return z->cma.present ? z->cma.end_pfn - z->cma.start_pfn : 0;
	if (z->cma.present && z->cma.start_pfn < start)
		start = z->cma.start_pfn;
	if (z->cma.present && z->cma.end_pfn > end)
		end = z->cma.end_pfn;
	return end - start;
}

void count_zone(struct counts *c, const struct zone_sum *z)
{
	uint64_t high = BOTH(z, watermark_high), free = BOTH(z, free);
	unsigned int o;

	c->managed += BOTH(z, managed);
	c->free += free;
	c->available += free > high ? free - high : 0;
	c->free_cma += z->cma.free;
	c->cma += z->cma.present;
	c->numa_hit += z->numa.hit;
	c->numa_miss += z->numa.miss;
	c->numa_foreign += z->numa.foreign;
	for (o = HVO_PAGEBLOCK_ORDER; o <= HVO_MAX_ORDER; o++)
		c->free_blocks += BOTH(z, nr_free[o]) << o;
}

static void count_one_node(struct tree *t, int node, struct counts *c)
{
	struct hvo_pool_stat stat = { .size = sizeof(stat) };
	struct hvo_pool *pool;
	unsigned int order = 0;
	struct zone_sum z;
	int i;

	for (i = 0; i < NR_LINUX_ZONES; i++) {
		zone_sum(t, node, (enum linux_zone)i, &z);
		count_zone(c, &z);
	}
	while ((pool = next_pool(t, &order))) {
		pool_stat(pool, node, &stat);
		c->hugetlb += stat.total << order;
	}
}

void count_node(struct tree *t, int node, struct counts *c)
{
	unsigned int n;

	memset(c, 0, sizeof(*c));
	for (n = 0; n < nr_nodes(t); n++)
		if (node == HVO_NODE_ANY || node == (int)n)
			count_one_node(t, (int)n, c);
}

/* ---- items --------------------------------------------------------------------------- */

struct item {
	const char *name;
	size_t at; /* in struct counts */
};

#define IS(field) offsetof(struct counts, field)
#define NONE IS(none)

static const struct item zone_items[] = {
	{ "nr_free_pages", IS(free) },
	{ "nr_free_pages_blocks", IS(free_blocks) },
	{ "nr_zone_inactive_anon", NONE },
	{ "nr_zone_active_anon", NONE },
	{ "nr_zone_inactive_file", NONE },
	{ "nr_zone_active_file", NONE },
	{ "nr_zone_unevictable", NONE },
	{ "nr_zone_write_pending", NONE },
	{ "nr_mlock", NONE },
	{ "nr_free_cma", IS(free_cma) },
	{ "numa_hit", IS(numa_hit) },
	{ "numa_miss", IS(numa_miss) },
	{ "numa_foreign", IS(numa_foreign) },
	{ "numa_interleave", NONE },
	/* Who allocates runs on no node: the one that is preferred is the local one. */
	{ "numa_local", IS(numa_hit) },
	{ "numa_other", IS(numa_miss) },
};

static const struct item node_items[] = {
	{ "nr_inactive_anon", NONE },
	{ "nr_active_anon", NONE },
	{ "nr_inactive_file", NONE },
	{ "nr_active_file", NONE },
	{ "nr_unevictable", NONE },
	{ "nr_slab_reclaimable", NONE },
	{ "nr_slab_unreclaimable", NONE },
	{ "nr_isolated_anon", NONE },
	{ "nr_isolated_file", NONE },
	{ "nr_anon_pages", NONE },
	{ "nr_mapped", NONE },
	{ "nr_file_pages", NONE },
	{ "nr_dirty", NONE },
	{ "nr_writeback", NONE },
	{ "nr_shmem", NONE },
	{ "nr_shmem_hugepages", NONE },
	{ "nr_shmem_pmdmapped", NONE },
	{ "nr_file_hugepages", NONE },
	{ "nr_file_pmdmapped", NONE },
	{ "nr_anon_transparent_hugepages", NONE },
	{ "nr_kernel_misc_reclaimable", NONE },
	{ "nr_kernel_stack", NONE },
	{ "nr_page_table_pages", NONE },
	{ "nr_sec_page_table_pages", NONE },
	{ "nr_hugetlb", IS(hugetlb) },
};

static void show_items(const struct item *items, size_t nr, const struct counts *c, const char *fmt,
		       FILE *out)
{
	uint64_t value;
	size_t i;

	for (i = 0; i < nr; i++) {
		memcpy(&value, (const char *)c + items[i].at, sizeof(value));
		fprintf(out, fmt, items[i].name, value);
	}
}

void show_zone_items(const struct counts *c, const char *fmt, FILE *out)
{
	show_items(zone_items, NR_OF(zone_items), c, fmt, out);
}

void show_node_items(const struct counts *c, const char *fmt, FILE *out)
{
	show_items(node_items, NR_OF(node_items), c, fmt, out);
}

unsigned int cut_frames(const struct hvo_page *page)
{
	unsigned int order = __atomic_load_n(&page->order, __ATOMIC_RELAXED) & HVO_FOLD_ORDER;
	enum hvo_page_state state = hvo_page_state(page);
	bool head = state == HVO_PAGE_FREE || state == HVO_PAGE_USED || state == HVO_PAGE_TAKEN;

	return head && order < HVO_PAGEBLOCK_ORDER ? 1u << order : 1;
}

int compact(struct tree *t, int node)
{
	int64_t moved =
		hvo_compact(t->m, node, hvo_machine_config(t->m)->max_order, UINT64_MAX, NULL);

	return moved < 0 ? (int)moved : 0;
}
