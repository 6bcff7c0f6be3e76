// SPDX-License-Identifier: MIT
/*
 * What hvo top shows, from the files of a kernel or of a machine.
 */
#include "saving.h"
#include "top.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HVO_DIR "sys/kernel/hvo"
#define MEMORY_DIR "sys/devices/system/memory"
#define NODES_DIR "sys/devices/system/node"

#define FRAMES_PER_CELL 512u
#define NO_NODE (-1)

uint64_t top_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

/* Room for one more at the end of an array; arrays double. NULL: no memory. */
static void *one_more(void *array, size_t nr, size_t size)
{
	/* Full whenever the number is a power of two. */
	return nr & (nr - 1) ? array : reallocarray(array, nr ? 2 * nr : 1, size);
}

/* Each line of a text, ended by '\0'; until @each returns other than 0. */
static int each_line(char *text, int (*each)(struct top_model *m, const char *line),
		     struct top_model *m)
{
	char *save, *line;
	int rc = 0;

	for (line = strtok_r(text, "\n", &save); line && !rc; line = strtok_r(NULL, "\n", &save))
		rc = each(m, line);
	return rc;
}

/* A file that need not be there. -ENOMEM only. */
static int read_lines(const struct root *root, const char *path,
		      int (*each)(struct top_model *m, const char *line), struct top_model *m)
{
	char *text = NULL;
	int rc = root_read(root, &text, "%s", path);

	if (!rc)
		rc = each_line(text, each, m);
	free(text);
	return rc == -ENOMEM ? rc : 0;
}

/* No blanks, no bytes that a terminal could take for something else. */
static bool all_letters(const char *text)
{
	for (; *text; text++)
		if (*text <= ' ' || *text > '~')
			return false;
	return true;
}

static void read_word(const struct root *root, char *ret, size_t len, const char *path)
{
	char *text = NULL;

	if (!root_read(root, &text, "%s", path))
		(void)snprintf(ret, len, "%.*s", (int)strcspn(text, " \n"), text);
	free(text);
	if (!all_letters(ret))
		*ret = '\0';
}

/* ---- zones ---------------------------------------------------------------------- */

static struct top_zone *find_zone(struct top_model *m, int node, const char *name)
{
	struct top_zone *z;
	size_t i;

	for (i = 0; i < m->nr_zones; i++)
		if (m->zone[i].node == node && !strcmp(m->zone[i].name, name))
			return &m->zone[i];
	z = one_more(m->zone, m->nr_zones, sizeof(*z));
	if (!z)
		return NULL;
	m->zone = z;
	z = &m->zone[m->nr_zones++];
	memset(z, 0, sizeof(*z));
	z->node = node;
	(void)snprintf(z->name, sizeof(z->name), "%s", name);
	return z;
}

/* "Node 0, zone   Normal": how long it is, 0 if it is something else. */
static int zone_line(const char *line, int *ret_node, char name[TOP_NAME_LEN])
{
	int len = 0;

	if (sscanf(line, "Node %d, zone %31s%n", ret_node, name, &len) < 2 || *ret_node < 0 ||
	    !all_letters(name))
		return 0;
	return len;
}

/* The last zone of the list is the one that these lines are about. */
static void zone_item(struct top_zone *z, const char *key, uint64_t value)
{
	const struct {
		const char *key;
		uint64_t *to;
	} items[] = {
		{ "free", &z->free },	    { "min", &z->min },		{ "low", &z->low },
		{ "high", &z->high },	    { "spanned", &z->spanned }, { "present", &z->present },
		{ "managed", &z->managed }, { "cma", &z->cma },
	};
	size_t i;

	for (i = 0; i < sizeof(items) / sizeof(items[0]); i++)
		if (!strcmp(key, items[i].key))
			*items[i].to = value;
}

static int zoneinfo_line(struct top_model *m, const char *line)
{
	char name[TOP_NAME_LEN], key[TOP_NAME_LEN];
	struct top_zone *z;
	uint64_t value;
	int node;

	if (zone_line(line, &node, name)) {
		z = find_zone(m, node, name);
		if (!z)
			return -ENOMEM;
		z->has_info = true;
		return 0;
	}
	line += strspn(line, " ");
	if (!strncmp(line, "pages ", strlen("pages ")))
		line += strlen("pages ");
	/* What has a colon is of a processor's own list. */
	if (m->nr_zones && sscanf(line, "%31s %" SCNu64, key, &value) == 2)
		zone_item(&m->zone[m->nr_zones - 1], key, value);
	return 0;
}

static int buddyinfo_line(struct top_model *m, const char *line)
{
	char name[TOP_NAME_LEN], *end;
	struct top_zone *z;
	uint64_t nr;
	int node, len = zone_line(line, &node, name);

	if (!len)
		return 0;
	z = find_zone(m, node, name);
	if (!z)
		return -ENOMEM;
	for (line += len, z->nr_orders = 0; z->nr_orders < TOP_ORDERS; line = end) {
		nr = strtoull(line, &end, 10);
		if (end == line)
			break;
		z->nr_free[z->nr_orders++] = nr;
	}
	return 0;
}

/* Linux lists zones that have no memory, too. */
static void drop_empty_zones(struct top_model *m)
{
	size_t i, to = 0;

	for (i = 0; i < m->nr_zones; i++)
		if (m->zone[i].nr_orders || m->zone[i].present)
			m->zone[to++] = m->zone[i];
	m->nr_zones = to;
}

static int read_zones(const struct root *root, struct top_model *m)
{
	int rc = read_lines(root, "proc/zoneinfo", zoneinfo_line, m);

	if (!rc)
		rc = read_lines(root, "proc/buddyinfo", buddyinfo_line, m);
	/* The array must stay as large as one_more() thinks. */
	if (!rc)
		drop_empty_zones(m);
	return rc;
}

/* ---- map: of a machine of libhvo ---------------------------------------------------- */

static int add_cells(struct top_map *map, uint64_t pfn, int node, const char *zone,
		     const char *cells, size_t nr)
{
	struct top_run *run = map->nr_runs ? &map->run[map->nr_runs - 1] : NULL;
	char *more;
	size_t i;

	if (!run || run->node != node || strcmp(run->zone, zone) != 0 ||
	    run->pfn + run->nr * map->cell_pages != pfn) {
		run = one_more(map->run, map->nr_runs, sizeof(*run));
		if (!run)
			return -ENOMEM;
		map->run = run;
		run = &map->run[map->nr_runs++];
		memset(run, 0, sizeof(*run));
		run->pfn = pfn;
		run->node = node;
		(void)snprintf(run->zone, sizeof(run->zone), "%s", zone);
	}
	more = realloc(run->cells, run->nr + nr);
	if (!more)
		return -ENOMEM;
	run->cells = more;
	memcpy(run->cells + run->nr, cells, nr);
	run->nr += nr;
	map->nr_cells += nr;
	for (i = 0; i < nr; i++)
		map->count[(unsigned char)cells[i]]++;
	return 0;
}

static const char *zone_name(char letter)
{
	switch (letter) {
	case 'N':
		return "Normal";
	case 'M':
		return "Movable";
	case 'C':
		return "CMA";
	default:
		return "";
	}
}

/* "32768 0 N ....uuHHcc": a line that is none is left out. */
static int map_line(struct top_model *m, const char *line)
{
	uint64_t pfn;
	int node, at = 0;
	char zone;

	if (sscanf(line, "%" SCNu64 " %d %c %n", &pfn, &node, &zone, &at) < 3 || !at || !line[at] ||
	    !all_letters(line + at))
		return 0;
	return add_cells(&m->map, pfn, node, zone_name(zone), line + at, strlen(line + at));
}

/* ---- map: of a kernel ------------------------------------------------------------------ */

struct block {
	uint64_t index;
	int node;
};

struct blocks {
	const struct root *root;
	struct block *block;
	size_t nr;
	int node; /* whose are listed now */
};

static int add_block(void *arg, const char *name)
{
	struct blocks *b = arg;
	struct block *more;
	char *end;
	uint64_t index;

	name += strlen("memory");
	if (*name < '0' || *name > '9')
		return 0;
	index = strtoull(name, &end, 10);
	if (*end)
		return 0;
	more = one_more(b->block, b->nr, sizeof(*more));
	if (!more)
		return -ENOMEM;
	b->block = more;
	b->block[b->nr++] = (struct block){ index, b->node };
	return 0;
}

static int add_node_blocks(void *arg, const char *name)
{
	struct blocks *b = arg;
	char *end;
	long node = strtol(name + strlen("node"), &end, 10);
	int rc;

	if (end == name + strlen("node") || *end || node < 0 || node > INT16_MAX)
		return 0;
	b->node = (int)node;
	rc = root_list(b->root, "memory", add_block, b, NODES_DIR "/%s", name);
	return rc == -ENOMEM ? rc : 0;
}

static int compare_blocks(const void *a, const void *b)
{
	const struct block *x = a, *y = b;

	return (x->index > y->index) - (x->index < y->index);
}

static int find_blocks(struct blocks *b)
{
	int rc = root_list(b->root, "node", add_node_blocks, b, NODES_DIR);

	if (rc == -ENOMEM)
		return rc;
	if (b->nr) {
		qsort(b->block, b->nr, sizeof(*b->block), compare_blocks);
		return 0;
	}
	/* A kernel without NUMA. */
	b->node = NO_NODE;
	rc = root_list(b->root, "memory", add_block, b, MEMORY_DIR);
	return rc == -ENOMEM ? rc : 0;
}

/* 0: nobody says. */
static char block_letter(const struct root *root, uint64_t index)
{
	char state[TOP_NAME_LEN] = "", zone[TOP_NAME_LEN] = "", path[96];

	(void)snprintf(path, sizeof(path), MEMORY_DIR "/memory%" PRIu64 "/state", index);
	read_word(root, state, sizeof(state), path);
	if (!strcmp(state, "offline"))
		return '-';
	if (!strcmp(state, "going-offline"))
		return '~';
	if (strcmp(state, "online") != 0)
		return 0;
	(void)snprintf(path, sizeof(path), MEMORY_DIR "/memory%" PRIu64 "/valid_zones", index);
	read_word(root, zone, sizeof(zone), path);
	if (!strcmp(zone, "Normal") || !strcmp(zone, "Movable") || !strncmp(zone, "DMA", 3))
		return zone[0];
	return 'O';
}

static int read_blocks(const struct root *root, struct top_map *map)
{
	struct blocks b = { .root = root };
	char *text = NULL, letter;
	uint64_t bytes = 0;
	size_t i;
	int rc;

	if (!root_read(root, &text, MEMORY_DIR "/block_size_bytes"))
		bytes = strtoull(text, NULL, 16);
	free(text);
	map->cell_pages = bytes / saving_base_page();
	if (!map->cell_pages)
		return 0;
	rc = find_blocks(&b);
	for (i = 0; i < b.nr && !rc; i++) {
		letter = block_letter(root, b.block[i].index);
		if (letter)
			rc = add_cells(map, b.block[i].index * map->cell_pages, b.block[i].node, "",
				       &letter, 1);
	}
	free(b.block);
	return rc;
}

static int read_map(const struct root *root, struct top_model *m)
{
	int rc;

	m->map.cell_pages = FRAMES_PER_CELL;
	rc = read_lines(root, HVO_DIR "/memory_map", map_line, m);
	if (!rc && m->map.nr_cells) {
		m->map.kind = TOP_MAP_FRAMES;
		return 0;
	}
	if (!rc)
		rc = read_blocks(root, &m->map);
	if (!rc && m->map.nr_cells)
		m->map.kind = TOP_MAP_BLOCKS;
	return rc;
}

/* ---- events -------------------------------------------------------------------------- */

static int add_counter(struct top_model *m, const char *name, uint64_t value, bool gauge)
{
	struct top_counter *c = one_more(m->counter, m->nr_counters, sizeof(*c));

	if (!c)
		return -ENOMEM;
	m->counter = c;
	c = &m->counter[m->nr_counters++];
	(void)snprintf(c->name, sizeof(c->name), "%s", name);
	c->value = value;
	c->gauge = gauge;
	return 0;
}

/* Two that are counted under a name of their own, too. */
static int event_line(struct top_model *m, const char *line)
{
	char name[TOP_NAME_LEN];
	uint64_t value;

	if (sscanf(line, "%31s %" SCNu64, name, &value) != 2 || !all_letters(name))
		return 0;
	if (!strcmp(name, "cut") || !strcmp(name, "collapsed"))
		return 0;
	return add_counter(m, name, value, false);
}

static int read_own(const struct root *root, struct top_model *m)
{
	static const struct {
		const char *file;
		bool gauge;
	} own[] = {
		{ "cuts", false },	     { "cut_failures", false },
		{ "collapses", false },	     { "collapse_failures", false },
		{ "folds", false },	     { "restored", false },
		{ "moved_frames", false },   { "carved_blocks", true },
		{ "reported_frames", true }, { "poisoned_frames", true },
	};
	uint64_t value;
	size_t i;
	int rc = 0;

	for (i = 0; i < sizeof(own) / sizeof(own[0]) && !rc; i++)
		if (!root_number(root, &value, HVO_DIR "/%s", own[i].file))
			rc = add_counter(m, own[i].file, value, own[i].gauge);
	return rc ? rc : read_lines(root, HVO_DIR "/events", event_line, m);
}

/* Of the kernel's events those about finding, moving and freeing memory. */
static int read_vmstat(const struct root *root, struct top_model *m)
{
	static const char *const names[] = {
		"htlb_buddy_alloc_success", "htlb_buddy_alloc_fail", "compact_stall",
		"compact_success",	    "compact_fail",	     "pgmigrate_success",
		"pgmigrate_fail",	    "cma_alloc_success",     "cma_alloc_fail",
		"allocstall_normal",	    "allocstall_movable",    "pgscan_kswapd",
		"pgsteal_kswapd",	    "pgscan_direct",	     "pgsteal_direct",
		"thp_fault_alloc",	    "thp_fault_fallback",    "oom_kill",
	};
	char *text = NULL;
	uint64_t value;
	size_t i;
	int rc = 0;

	if (root_read(root, &text, "proc/vmstat"))
		return 0;
	for (i = 0; i < sizeof(names) / sizeof(names[0]) && !rc; i++)
		if (!root_field(text, names[i], &value))
			rc = add_counter(m, names[i], value, false);
	free(text);
	return rc;
}

/* ---- all of it ------------------------------------------------------------------------- */

static int read_all(const struct root *root, struct top_model *m)
{
	int memory = memory_read(root, POOLS_ALL_NODES, &m->memory);
	int rc = pools_read(root, &m->pools);

	m->has_memory = !memory;
	if (rc == -ENOMEM || (memory && !m->pools.nr && !m->pools.err))
		return rc == -ENOMEM ? rc : memory;
	read_word(root, m->mode, sizeof(m->mode), HVO_DIR "/mode");
	read_word(root, m->release, sizeof(m->release), "proc/sys/kernel/osrelease");
	memmap_read(root, &m->pools, &m->memmap);
	rc = read_zones(root, m);
	if (!rc)
		rc = read_map(root, m);
	if (!rc)
		rc = read_own(root, m);
	return rc ? rc : read_vmstat(root, m);
}

int top_read(const struct root *root, struct top_model **ret)
{
	struct top_model *m = calloc(1, sizeof(*m));
	int rc = m ? read_all(root, m) : -ENOMEM;

	if (rc) {
		top_free(m);
		return rc;
	}
	m->taken_ns = top_now_ns();
	*ret = m;
	return 0;
}

void top_free(struct top_model *m)
{
	size_t i;

	if (!m)
		return;
	pools_free(&m->pools);
	free(m->zone);
	for (i = 0; i < m->map.nr_runs; i++)
		free(m->map.run[i].cells);
	free(m->map.run);
	free(m->counter);
	free(m);
}

bool top_is_host(const struct top_source *source)
{
	return !source->demo && !strcmp(source->dir, "/");
}

int top_read_source(const struct top_source *source, struct top_model **ret)
{
	struct root root;
	int rc = 0;

	if (source->demo)
		root_of_tree(&root, demo_tree(source->demo));
	else
		rc = root_open(&root, source->dir);
	if (rc)
		return rc;
	rc = top_read(&root, ret);
	root_close(&root);
	return rc;
}
