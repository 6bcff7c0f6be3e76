// SPDX-License-Identifier: MIT
/*
 * proc: meminfo, vmstat, zoneinfo, buddyinfo, pagetypeinfo, and what of proc/sys/vm is not about
 * huge pages.
 *
 * Left out of meminfo: what describes the host's address space or its promises to processes
 * (CommitLimit, VmallocTotal, DirectMap*, ...), which a machine has none of.
 *
 * Linux: fs/proc/meminfo.c; mm/vmstat.c, mm/show_mem.c.
 */
#include "internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#define KIB(frames) ((frames) * (HVO_FRAME_SIZE >> 10))

/* ---- meminfo --------------------------------------------------------------------- */

struct mem_line {
	const char *name;
	size_t at; /* in struct counts */
};

#define IS(field) offsetof(struct counts, field)
#define NONE IS(none)

static const struct mem_line mem_lines[] = {
	{ "MemTotal", IS(managed) },
	{ "MemFree", IS(free) },
	{ "MemAvailable", IS(available) },
	{ "Buffers", NONE },
	{ "Cached", NONE },
	{ "SwapCached", NONE },
	{ "Active", NONE },
	{ "Inactive", NONE },
	{ "Active(anon)", NONE },
	{ "Inactive(anon)", NONE },
	{ "Active(file)", NONE },
	{ "Inactive(file)", NONE },
	{ "Unevictable", NONE },
	{ "Mlocked", NONE },
	{ "SwapTotal", NONE },
	{ "SwapFree", NONE },
	{ "Dirty", NONE },
	{ "Writeback", NONE },
	{ "AnonPages", NONE },
	{ "Mapped", NONE },
	{ "Shmem", NONE },
	{ "KReclaimable", NONE },
	{ "Slab", NONE },
	{ "SReclaimable", NONE },
	{ "SUnreclaim", NONE },
	{ "KernelStack", NONE },
	{ "PageTables", NONE },
	{ "SecPageTables", NONE },
	{ "NFS_Unstable", NONE },
	{ "Bounce", NONE },
	{ "WritebackTmp", NONE },
	{ "HardwareCorrupted", IS(poisoned) },
	{ "AnonHugePages", NONE },
	{ "ShmemHugePages", NONE },
	{ "ShmemPmdMapped", NONE },
	{ "FileHugePages", NONE },
	{ "FilePmdMapped", NONE },
};

static void mem_line(FILE *out, const char *name, uint64_t value, const char *unit)
{
	int pad = 16 - fprintf(out, "%s:", name);

	fprintf(out, "%*" PRIu64 "%s\n", 8 + pad, value, unit);
}

static void show_huge(struct tree *t, const struct counts *c, FILE *out)
{
	struct hvo_pool_stat stat = { .size = sizeof(stat) };

	if (!t->default_order)
		return;
	pool_stat(hvo_pool_find(t->m, t->default_order), HVO_NODE_ANY, &stat);
	mem_line(out, "HugePages_Total", stat.total, "");
	mem_line(out, "HugePages_Free", stat.free, "");
	mem_line(out, "HugePages_Rsvd", stat.reserved, "");
	mem_line(out, "HugePages_Surp", stat.surplus, "");
	mem_line(out, "Hugepagesize", KIB(UINT64_C(1) << t->default_order), " kB");
	mem_line(out, "Hugetlb", KIB(c->hugetlb), " kB");
}

static int show_meminfo(void *arg, FILE *out)
{
	struct tree *t = ((const struct place *)arg)->tree;
	struct hvo_machine_stat stat = { .size = sizeof(stat) };
	struct counts c;
	uint64_t frames;
	size_t i;

	hvo_machine_stat(t->m, &stat);
	count_node(t, HVO_NODE_ANY, &c);
	c.poisoned = stat.poisoned;
	for (i = 0; i < NR_OF(mem_lines); i++) {
		memcpy(&frames, (const char *)&c + mem_lines[i].at, sizeof(frames));
		mem_line(out, mem_lines[i].name, KIB(frames), " kB");
	}
	if (hvo_machine_config(t->m)->cma_bytes) {
		mem_line(out, "CmaTotal", KIB(c.cma), " kB");
		mem_line(out, "CmaFree", KIB(c.free_cma), " kB");
	}
	show_huge(t, &c, out);
	return 0;
}

/* ---- vmstat -------------------------------------------------------------------------- */

static void event(FILE *out, const char *name, uint64_t nr)
{
	fprintf(out, "%s %" PRIu64 "\n", name, nr);
}

/* Frames that allocations gave, of each zone, and that became free. */
static void show_page_events(struct tree *t, FILE *out)
{
	uint64_t allocated[NR_LINUX_ZONES] = { 0 }, freed = 0;
	struct zone_sum z;
	int node, i;

	for (node = 0; node < (int)nr_nodes(t); node++) {
		for (i = 0; i < NR_LINUX_ZONES; i++) {
			zone_sum(t, node, (enum linux_zone)i, &z);
			allocated[i] += z.events.allocated;
			freed += z.events.freed;
		}
	}
	event(out, "pgalloc_normal", allocated[ZONE_NORMAL]);
	event(out, "pgalloc_movable", allocated[ZONE_MOVABLE]);
	event(out, "pgfree", freed);
}

/* There is no scanner for free memory, and no daemon: those lines stay 0. */
static void show_compact_events(const struct hvo_machine_stat *stat, FILE *out)
{
	event(out, "compact_migrate_scanned", stat->compact_scanned);
	event(out, "compact_free_scanned", 0);
	event(out, "compact_isolated", stat->compact_isolated);
	event(out, "compact_stall", stat->compact_stalls);
	event(out, "compact_fail", stat->compact_stalls - stat->compact_successes);
	event(out, "compact_success", stat->compact_successes);
	event(out, "compact_daemon_wake", 0);
	event(out, "compact_daemon_migrate_scanned", 0);
	event(out, "compact_daemon_free_scanned", 0);
}

static int show_vmstat(void *arg, FILE *out)
{
	struct tree *t = ((const struct place *)arg)->tree;
	struct hvo_machine_stat stat = { .size = sizeof(stat) };
	struct counts c;

	hvo_machine_stat(t->m, &stat);
	count_node(t, HVO_NODE_ANY, &c);
	show_zone_items(&c, "%s %" PRIu64 "\n", out);
	show_node_items(&c, "%s %" PRIu64 "\n", out);
	event(out, "nr_memmap_pages", stat.memmap);
	event(out, "nr_memmap_boot_pages",
	      stat.memmap_boot + (stat.head_bytes + HVO_FRAME_SIZE - 1) / HVO_FRAME_SIZE);
	show_page_events(t, out);
	event(out, "pgmigrate_success", stat.migrated);
	event(out, "pgmigrate_fail", stat.migrate_failures);
	show_compact_events(&stat, out);
	event(out, "htlb_buddy_alloc_success", stat.hugetlb_allocs);
	event(out, "htlb_buddy_alloc_fail", stat.hugetlb_alloc_failures);
	event(out, "cma_alloc_success", stat.cma_allocs);
	event(out, "cma_alloc_fail", stat.cma_alloc_failures);
	return 0;
}

/* ---- zones ------------------------------------------------------------------------------- */

/* Call @each for the zones of all nodes; @all: also those without memory. */
static int each_zone(struct tree *t, bool all,
		     void (*each)(struct tree *t, int node, const struct zone_sum *z, FILE *out),
		     FILE *out)
{
	struct zone_sum z;
	int node, i;

	for (node = 0; node < (int)nr_nodes(t); node++) {
		for (i = 0; i < NR_LINUX_ZONES; i++) {
			zone_sum(t, node, (enum linux_zone)i, &z);
			if (all || BOTH(&z, present))
				each(t, node, &z, out);
		}
	}
	return 0;
}

static void zone_info(struct tree *t, int node, const struct zone_sum *z, FILE *out)
{
	uint64_t low = BOTH(z, watermark_low), high = BOTH(z, watermark_high);
	struct counts c = { 0 };
	struct counts all;

	fprintf(out, "Node %d, zone %8s", node, z->name);
	/* With the first zone that has memory. Normal always has, Linux mode and on-demand alike. */
	if (!strcmp(z->name, "Normal")) {
		count_node(t, node, &all);
		fputs("\n  per-node stats", out);
		show_node_items(&all, "\n      %-12s %" PRIu64, out);
	}
	fprintf(out,
		"\n  pages free     %" PRIu64 "\n        boost    0\n        min      %" PRIu64
		"\n        low      %" PRIu64 "\n        high     %" PRIu64
		"\n        promo    %" PRIu64 "\n        spanned  %" PRIu64
		"\n        present  %" PRIu64 "\n        managed  %" PRIu64
		"\n        cma      %" PRIu64 "\n        protection: (0, 0)",
		BOTH(z, free), BOTH(z, watermark_min), low, high, high + (high - low),
		zone_spanned(z), BOTH(z, present), BOTH(z, managed), z->cma.present);
	if (BOTH(z, present)) {
		count_zone(&c, z);
		show_zone_items(&c, "\n      %-12s %" PRIu64, out);
		fprintf(out,
			"\n  pagesets\n  node_unreclaimable:  0\n  start_pfn:           %" PRIu64,
			z->own.present ? z->own.start_pfn : z->cma.start_pfn);
	}
	fputc('\n', out);
}

static int show_zoneinfo(void *arg, FILE *out)
{
	return each_zone(((const struct place *)arg)->tree, true, zone_info, out);
}

/* ---- free blocks ---------------------------------------------------------------------------- */

static unsigned int max_order(const struct tree *t)
{
	return hvo_machine_config(t->m)->max_order;
}

static void buddy_info(struct tree *t, int node, const struct zone_sum *z, FILE *out)
{
	unsigned int o;

	fprintf(out, "Node %d, zone %8s ", node, z->name);
	for (o = 0; o <= max_order(t); o++)
		fprintf(out, "%6" PRIu64 " ", BOTH(z, nr_free[o]));
	fputc('\n', out);
}

static int show_buddyinfo(void *arg, FILE *out)
{
	return each_zone(((const struct place *)arg)->tree, false, buddy_info, out);
}

/* In the kernel's order. There is no reserve of high-order atomic blocks. */
enum type { UNMOVABLE, MOVABLE, RECLAIMABLE, HIGHATOMIC, CMA, ISOLATE, NR_TYPES };
static const char *const type_names[] = { "Unmovable",	"Movable", "Reclaimable",
					  "HighAtomic", "CMA",	   "Isolate" };

static bool has_type(const struct tree *t, int type)
{
	return type != CMA || hvo_machine_config(t->m)->cma_bytes;
}

static struct hvo_zone_types types_of(struct tree *t, int node, const struct zone_sum *z)
{
	struct hvo_zone_types types = { .size = sizeof(types) };

	(void)hvo_zone_types(t->m, node,
			     !strcmp(z->name, "Movable") ? HVO_ZONE_MOVABLE : HVO_ZONE_NORMAL,
			     &types);
	return types;
}

/* Whole blocks have no type; the kernel's start as movable ones. */
static uint64_t free_of_type(const struct zone_sum *z, const struct hvo_zone_types *types, int type,
			     unsigned int order)
{
	bool small = order < HVO_PAGEBLOCK_ORDER;

	switch (type) {
	case UNMOVABLE:
		return small ? types->nr_free[HVO_MIGRATE_UNMOVABLE][order] : 0;
	case MOVABLE:
		return small ? types->nr_free[HVO_MIGRATE_MOVABLE][order] : z->own.nr_free[order];
	case RECLAIMABLE:
		return small ? types->nr_free[HVO_MIGRATE_RECLAIMABLE][order] : 0;
	case CMA:
		return z->cma.nr_free[order];
	default:
		return 0;
	}
}

static uint64_t blocks_of_type(const struct zone_sum *z, const struct hvo_zone_types *types,
			       int type)
{
	uint64_t unmovable = types->nr_cut[HVO_MIGRATE_UNMOVABLE];
	uint64_t reclaimable = types->nr_cut[HVO_MIGRATE_RECLAIMABLE];
	uint64_t others = unmovable + reclaimable + z->own.nr_isolated;
	uint64_t all = z->own.present >> HVO_PAGEBLOCK_ORDER;

	switch (type) {
	case UNMOVABLE:
		return unmovable;
	case MOVABLE:
		return all > others ? all - others : 0;
	case RECLAIMABLE:
		return reclaimable;
	case CMA:
		return (z->cma.present >> HVO_PAGEBLOCK_ORDER) - z->cma.nr_isolated;
	case ISOLATE:
		return BOTH(z, nr_isolated);
	default:
		return 0;
	}
}

static void free_by_type(struct tree *t, int node, const struct zone_sum *z, FILE *out)
{
	struct hvo_zone_types types = types_of(t, node, z);
	unsigned int o;
	int type;

	for (type = 0; type < NR_TYPES; type++) {
		if (!has_type(t, type))
			continue;
		fprintf(out, "Node %4d, zone %8s, type %12s ", node, z->name, type_names[type]);
		for (o = 0; o <= max_order(t); o++)
			fprintf(out, "%6" PRIu64 " ", free_of_type(z, &types, type, o));
		fputc('\n', out);
	}
}

static void blocks_by_type(struct tree *t, int node, const struct zone_sum *z, FILE *out)
{
	struct hvo_zone_types types = types_of(t, node, z);
	int type;

	fprintf(out, "Node %d, zone %8s ", node, z->name);
	for (type = 0; type < NR_TYPES; type++)
		if (has_type(t, type))
			fprintf(out, "%12" PRIu64 " ", blocks_of_type(z, &types, type));
	fputc('\n', out);
}

static int show_pagetypeinfo(void *arg, FILE *out)
{
	struct tree *t = ((const struct place *)arg)->tree;
	unsigned int o;
	int type;

	fprintf(out, "Page block order: %d\nPages per block:  %u\n\n%-43s ", HVO_PAGEBLOCK_ORDER,
		HVO_PAGEBLOCK_FRAMES, "Free pages count per migrate type at order");
	for (o = 0; o <= max_order(t); o++)
		fprintf(out, "%6u ", o);
	fputc('\n', out);
	each_zone(t, false, free_by_type, out);
	fprintf(out, "\n%-23s", "Number of blocks type ");
	for (type = 0; type < NR_TYPES; type++)
		if (has_type(t, type))
			fprintf(out, "%12s ", type_names[type]);
	fputc('\n', out);
	return each_zone(t, false, blocks_by_type, out);
}

/* ---- proc/sys/vm ------------------------------------------------------------------------------- */

static int show_min_free(void *arg, FILE *out)
{
	int64_t bytes = hvo_min_free(((const struct place *)arg)->tree->m);

	return bytes < 0 ? (int)bytes : show_number(out, (uint64_t)bytes >> 10);
}

static int store_min_free(void *arg, const char *text)
{
	int kib, rc = parse_sysctl_int(text, &kib);

	if (rc || kib < 0)
		return -EINVAL;
	return hvo_set_min_free(((const struct place *)arg)->tree->m, (uint64_t)kib << 10);
}

static int store_compact(void *arg, const char *text)
{
	int one, rc = parse_sysctl_int(text, &one);

	if (rc || one != 1)
		return -EINVAL;
	return compact(((const struct place *)arg)->tree, HVO_NODE_ANY);
}

static const struct tree_row proc_files[] = {
	RO("buddyinfo", show_buddyinfo),
	RO("meminfo", show_meminfo),
	{ "pagetypeinfo", { .mode = 0400, .show = show_pagetypeinfo } },
	RO("vmstat", show_vmstat),
	RO("zoneinfo", show_zoneinfo),
};

static const struct tree_row vm_files[] = {
	WO("compact_memory", store_compact),
	RW("min_free_kbytes", show_min_free, store_min_free),
};

int add_proc(struct tree *t)
{
	int rc = add_dir(t, NULL, proc_files, NR_OF(proc_files), "/proc");

	return rc ? rc : add_dir(t, NULL, vm_files, NR_OF(vm_files), "/proc/sys/vm");
}
