// SPDX-License-Identifier: MIT
/*
 * sys/devices/system/node: what each node has. Its pools are in hugepages.c, its sections in
 * memory.c.
 *
 * Linux: drivers/base/node.c.
 */
#include "internal.h"

#include <errno.h>
#include <inttypes.h>

#define KIB(frames) ((frames) * (HVO_FRAME_SIZE >> 10))
#define DISTANCE_LOCAL 10
#define DISTANCE_REMOTE 20

/* ---- meminfo ------------------------------------------------------------------ */

/* Lines of what a machine has nothing of. */
static const char *const nothing[] = {
	"SwapCached",	 "Active",	   "Inactive",	     "Active(anon)",  "Inactive(anon)",
	"Active(file)",	 "Inactive(file)", "Unevictable",    "Mlocked",	      "Dirty",
	"Writeback",	 "FilePages",	   "Mapped",	     "AnonPages",     "Shmem",
	"KernelStack",	 "PageTables",	   "SecPageTables",  "NFS_Unstable",  "Bounce",
	"WritebackTmp",	 "KReclaimable",   "Slab",	     "SReclaimable",  "SUnreclaim",
	"AnonHugePages", "ShmemHugePages", "ShmemPmdMapped", "FileHugePages", "FilePmdMapped",
};

static void line_kib(FILE *out, int node, const char *name, uint64_t frames)
{
	int pad = fprintf(out, "Node %d %s:", node, name) - (node > 9 ? 8 : 7);

	fprintf(out, "%*s%8" PRIu64 " kB\n", pad < 16 ? 16 - pad : 0, "", KIB(frames));
}

static int show_meminfo(void *arg, FILE *out)
{
	const struct place *p = arg;
	struct hvo_pool_stat stat = { .size = sizeof(stat) };
	struct counts c;
	size_t i;

	count_node(p->tree, p->node, &c);
	line_kib(out, p->node, "MemTotal", c.managed);
	line_kib(out, p->node, "MemFree", c.free);
	line_kib(out, p->node, "MemUsed", c.managed - c.free);
	for (i = 0; i < NR_OF(nothing); i++)
		line_kib(out, p->node, nothing[i], 0);
	if (!p->tree->default_order)
		return 0;
	pool_stat(hvo_pool_find(p->tree->m, p->tree->default_order), p->node, &stat);
	fprintf(out, "Node %d HugePages_Total: %5" PRIu64 "\n", p->node, stat.total);
	fprintf(out, "Node %d HugePages_Free:  %5" PRIu64 "\n", p->node, stat.free);
	fprintf(out, "Node %d HugePages_Surp:  %5" PRIu64 "\n", p->node, stat.surplus);
	return 0;
}

/* ---- the rest of a node --------------------------------------------------------- */

static int show_vmstat(void *arg, FILE *out)
{
	const struct place *p = arg;
	struct counts c;

	count_node(p->tree, p->node, &c);
	show_zone_items(&c, "%s %" PRIu64 "\n", out);
	show_node_items(&c, "%s %" PRIu64 "\n", out);
	return 0;
}

static int show_numastat(void *arg, FILE *out)
{
	const struct place *p = arg;
	struct counts c;

	count_node(p->tree, p->node, &c);
	fprintf(out,
		"numa_hit %" PRIu64 "\nnuma_miss %" PRIu64 "\nnuma_foreign %" PRIu64 "\n"
		"interleave_hit 0\nlocal_node %" PRIu64 "\nother_node %" PRIu64 "\n",
		c.numa_hit, c.numa_miss, c.numa_foreign, c.numa_hit, c.numa_miss);
	return 0;
}

static int show_distance(void *arg, FILE *out)
{
	const struct place *p = arg;
	unsigned int n;

	for (n = 0; n < nr_nodes(p->tree); n++)
		fprintf(out, "%s%d", n ? " " : "",
			(int)n == p->node ? DISTANCE_LOCAL : DISTANCE_REMOTE);
	fputc('\n', out);
	return 0;
}

/* No processors here: nodes of memory only. */
static int show_no_cpus(void *arg, FILE *out)
{
	(void)arg;
	fputc('\n', out);
	return 0;
}

static int show_no_cpu_mask(void *arg, FILE *out)
{
	(void)arg;
	fputs("0\n", out);
	return 0;
}

static int store_compact(void *arg, const char *text, size_t len)
{
	const struct place *p = arg;

	(void)text;
	(void)len;
	return compact(p->tree, p->node);
}

static const struct tree_row node_files[] = {
	WO("compact", store_compact),  RO("cpulist", show_no_cpus), RO("cpumap", show_no_cpu_mask),
	RO("distance", show_distance), RO("meminfo", show_meminfo), RO("numastat", show_numastat),
	RO("vmstat", show_vmstat),
};

/* ---- all nodes --------------------------------------------------------------------- */

static int show_all(void *arg, FILE *out)
{
	show_nodes(((const struct place *)arg)->tree, out);
	return 0;
}

static bool has_memory(struct tree *t, int node, int nr_zones)
{
	uint64_t present = 0;
	struct zone_sum z;
	int i;

	for (i = 0; i < nr_zones; i++) {
		zone_sum(t, node, (enum linux_zone)i, &z);
		present += BOTH(&z, present);
	}
	return present;
}

/* Those with memory in one of the first @nr_zones zones, as a list: "0,2-3". */
static int show_with_memory(struct tree *t, int nr_zones, FILE *out)
{
	int nr = (int)nr_nodes(t), n, first;
	const char *sep = "";

	for (n = 0; n < nr; n++) {
		if (!has_memory(t, n, nr_zones))
			continue;
		for (first = n; n + 1 < nr && has_memory(t, n + 1, nr_zones); n++)
			;
		fprintf(out, n == first ? "%s%d" : "%s%d-%d", sep, first, n);
		sep = ",";
	}
	fputc('\n', out);
	return 0;
}

static int show_has_memory(void *arg, FILE *out)
{
	return show_with_memory(((const struct place *)arg)->tree, NR_LINUX_ZONES, out);
}

static int show_has_normal(void *arg, FILE *out)
{
	return show_with_memory(((const struct place *)arg)->tree, ZONE_NORMAL + 1, out);
}

static const struct tree_row all_files[] = {
	RO("has_cpu", show_no_cpus),
	RO("has_generic_initiator", show_no_cpus),
	RO("has_memory", show_has_memory),
	RO("has_normal_memory", show_has_normal),
	RO("online", show_all),
	RO("possible", show_all),
};

int add_nodes(struct tree *t)
{
	struct place *p = place_new(t);
	char dir[64];
	int node, rc = p ? 0 : -ENOMEM;

	if (!rc)
		rc = add_rows(t, "/sys/devices/system/node", all_files, NR_OF(all_files), p);
	for (node = 0; node < (int)nr_nodes(t) && !rc; node++) {
		p = place_new(t);
		if (!p)
			return -ENOMEM;
		p->node = node;
		(void)snprintf(dir, sizeof(dir), "/sys/devices/system/node/node%d", node);
		rc = add_rows(t, dir, node_files, NR_OF(node_files), p);
	}
	return rc;
}
