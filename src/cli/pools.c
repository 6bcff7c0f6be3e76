// SPDX-License-Identifier: MIT
/*
 * Pools of huge pages as their files show them.
 * In Linux: mm/hugetlb_sysfs.c; the meaning of the files: hugetlbpage.rst.
 */
#include "pools.h"

#include "cli.h"
#include "path/path.h"
#include "saving.h"
#include "table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define POOLS_DIR "sys/kernel/mm/hugepages"
#define NODES_DIR "sys/devices/system/node"
#define POOL_PREFIX "hugepages-"

/* ---- reading ---------------------------------------------------------------- */

static int read_counts(const struct root *root, int node, uint64_t kib, struct pool_counts *ret)
{
	static const char *const names[] = { "nr_hugepages", "free_hugepages",
					     "surplus_hugepages" };
	uint64_t *const to[] = { &ret->total, &ret->free, &ret->surplus };
	unsigned int i;
	int rc = 0;

	for (i = 0; !rc && i < 3; i++)
		rc = node == POOLS_ALL_NODES ?
			     root_number(root, to[i], POOLS_DIR "/" POOL_PREFIX "%" PRIu64 "kB/%s",
					 kib, names[i]) :
			     root_number(root, to[i],
					 NODES_DIR "/node%d/hugepages/" POOL_PREFIX "%" PRIu64
						   "kB/%s",
					 node, kib, names[i]);
	return rc;
}

/* The name in brackets, of "mayfail [carve] retry". */
static void read_policy(const struct root *root, uint64_t kib, char ret[POOLS_POLICY_LEN])
{
	char *text = NULL, *begin;

	ret[0] = '\0';
	if (root_read(root, &text, POOLS_DIR "/" POOL_PREFIX "%" PRIu64 "kB/restore_policy", kib))
		return;
	begin = strchr(text, '[');
	if (begin)
		(void)snprintf(ret, POOLS_POLICY_LEN, "%.*s", (int)strcspn(begin + 1, "]\n"),
			       begin + 1);
	free(text);
}

static void read_served(const struct root *root, struct pool_info *p)
{
	static const char *const names[] = { "folded_hugepages", "poisoned_hugepages",
					     "deferred_hugepages", "refused_frees",
					     "carved_frames" };
	struct pool_served *s = &p->served;
	uint64_t *const to[] = { &s->folded, &s->poisoned, &s->deferred, &s->refused_frees,
				 &s->carved_frames };
	uint64_t kib = p->bytes / 1024;
	unsigned int i;
	int rc = 0;

	for (i = 0; !rc && i < sizeof(names) / sizeof(names[0]); i++)
		rc = root_number(root, to[i], POOLS_DIR "/" POOL_PREFIX "%" PRIu64 "kB/%s", kib,
				 names[i]);
	p->has_served = !rc;
	if (!rc)
		read_policy(root, kib, s->policy);
}

int pool_read(const struct root *root, struct pool_info *p)
{
	uint64_t kib = p->bytes / 1024;
	unsigned int i;
	int rc = read_counts(root, POOLS_ALL_NODES, kib, &p->all);

	if (!rc)
		rc = root_number(root, &p->reserved,
				 POOLS_DIR "/" POOL_PREFIX "%" PRIu64 "kB/resv_hugepages", kib);
	if (!rc)
		rc = root_number(root, &p->overcommit,
				 POOLS_DIR "/" POOL_PREFIX "%" PRIu64 "kB/nr_overcommit_hugepages",
				 kib);
	for (i = 0; !rc && i < p->nr_nodes; i++)
		rc = read_counts(root, p->node[i].node, kib, &p->node[i].counts);
	if (!rc)
		read_served(root, p);
	return rc;
}

/* ---- what is there ----------------------------------------------------------- */

static int add_node(void *arg, const char *name)
{
	struct pools *pools = arg;
	int *more;
	char *end;
	long n = strtol(name + strlen("node"), &end, 10);

	if (end == name + strlen("node") || *end || n < 0 || n > INT16_MAX)
		return 0;
	more = reallocarray(pools->node, pools->nr_nodes + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	pools->node = more;
	pools->node[pools->nr_nodes++] = (int)n;
	return 0;
}

static int add_pool(void *arg, const char *name)
{
	struct pools *pools = arg;
	struct pool_info *p;
	uint64_t kib;
	char *end;

	errno = 0;
	kib = strtoull(name + strlen(POOL_PREFIX), &end, 10);
	if (errno || strcmp(end, "kB") != 0 || !kib || kib > UINT64_MAX / 1024)
		return 0;
	p = reallocarray(pools->pool, pools->nr + 1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	pools->pool = p;
	p = &pools->pool[pools->nr++];
	memset(p, 0, sizeof(*p));
	p->bytes = kib * 1024;
	return 0;
}

/* Nodes without memory have no pools. */
static int find_nodes(const struct root *root, const struct pools *pools, struct pool_info *p)
{
	struct pool_counts counts;
	unsigned int i;

	p->node = calloc(pools->nr_nodes + 1, sizeof(*p->node));
	if (!p->node)
		return -ENOMEM;
	for (i = 0; i < pools->nr_nodes; i++)
		if (read_counts(root, pools->node[i], p->bytes / 1024, &counts) != -ENOENT)
			p->node[p->nr_nodes++].node = pools->node[i];
	return 0;
}

void pools_free(struct pools *pools)
{
	unsigned int i;

	for (i = 0; i < pools->nr; i++)
		free(pools->pool[i].node);
	free(pools->pool);
	free(pools->node);
	memset(pools, 0, sizeof(*pools));
}

static int read_all(const struct root *root, struct pools *pools)
{
	char *meminfo = NULL;
	uint64_t kib;
	unsigned int i;
	int rc = root_list(root, "node", add_node, pools, NODES_DIR);

	if (rc && rc != -ENOENT) /* a kernel without NUMA has none */
		return rc;
	rc = root_list(root, POOL_PREFIX, add_pool, pools, POOLS_DIR);
	for (i = 0; !rc && i < pools->nr; i++) {
		rc = find_nodes(root, pools, &pools->pool[i]);
		if (!rc)
			rc = pool_read(root, &pools->pool[i]);
	}
	if (!rc && !root_read(root, &meminfo, "proc/meminfo"))
		if (!root_field(meminfo, "Hugepagesize", &kib))
			pools->default_bytes = kib * 1024;
	free(meminfo);
	return rc;
}

int pools_read(const struct root *root, struct pools *ret)
{
	struct pools pools = { 0 };
	int rc = read_all(root, &pools);

	if (rc)
		pools_free(&pools);
	else
		*ret = pools;
	return rc;
}

int pools_open(struct root *root, const char *dir, struct pools *ret)
{
	struct pools pools = { 0 };
	bool own = !strcmp(dir, "/");
	int rc = root_open(root, dir);

	if (rc) {
		fprintf(stderr, "hvo: --root: %s: %s; it is to be a directory with sys and proc\n",
			dir, path_error(rc));
		return CLI_FAILED;
	}
	rc = pools_read(root, &pools);
	if (!rc && pools.nr) {
		*ret = pools;
		return CLI_OK;
	}
	if (rc && rc != -ENOENT && rc != -ENOTDIR)
		fprintf(stderr, "hvo: %s/" POOLS_DIR ": cannot be read: %s\n", own ? "" : dir,
			strerror(-rc));
	else if (own)
		fprintf(stderr, "hvo: this kernel has no huge pages: no /" POOLS_DIR
				"; is CONFIG_HUGETLBFS off, or sysfs not mounted?\n");
	else
		fprintf(stderr,
			"hvo: --root: nothing is served at %s: it has no " POOLS_DIR
			"; start hvo serve there\n",
			dir);
	pools_free(&pools);
	root_close(root);
	return CLI_FAILED;
}

void pools_close(struct root *root, struct pools *pools)
{
	pools_free(pools);
	root_close(root);
}

/* ---- figures ------------------------------------------------------------------ */

struct pool_info *pools_find(const struct pools *pools, uint64_t bytes)
{
	unsigned int i;

	for (i = 0; i < pools->nr; i++)
		if (pools->pool[i].bytes == bytes)
			return &pools->pool[i];
	return NULL;
}

const struct pool_node *pool_node(const struct pool_info *p, int node)
{
	unsigned int i;

	for (i = 0; i < p->nr_nodes; i++)
		if (p->node[i].node == node)
			return &p->node[i];
	return NULL;
}

bool pools_has_node(const struct pools *pools, int node)
{
	unsigned int i;

	for (i = 0; i < pools->nr_nodes; i++)
		if (pools->node[i] == node)
			return true;
	return false;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Reservations are not of a node: so many of the free pages are somebody's. */
uint64_t pool_stuck(const struct pool_info *p, int node)
{
	uint64_t unpromised = p->all.free > p->reserved ? p->all.free - p->reserved : 0;
	uint64_t stuck = 0;
	unsigned int i;

	for (i = 0; i < p->nr_nodes; i++)
		if (node == POOLS_ALL_NODES || node == p->node[i].node)
			stuck += min_u64(p->node[i].counts.free, p->node[i].counts.surplus);
	if (!p->nr_nodes)
		stuck = min_u64(p->all.free, p->all.surplus);
	return min_u64(stuck, unpromised);
}

uint64_t pools_could_save(const struct pools *pools)
{
	uint64_t bytes = 0, page = saving_base_page();
	unsigned int i;

	for (i = 0; i < pools->nr; i++)
		bytes += pools->pool[i].all.total *
			 saving_per_page(pools->pool[i].bytes, page, SAVING_DESCRIPTOR);
	return bytes;
}

/* ---- names -------------------------------------------------------------------- */

const char *pools_name(char buf[POOLS_NAME_LEN], uint64_t bytes)
{
	static const char units[] = "KMGT";
	unsigned int unit = 0;

	bytes /= 1024;
	while (unit < 3 && bytes && bytes % 1024 == 0) {
		bytes /= 1024;
		unit++;
	}
	(void)snprintf(buf, POOLS_NAME_LEN, "%" PRIu64 "%c", bytes, units[unit]);
	return buf;
}

void pools_names(const struct pools *pools, char *buf, size_t len)
{
	char name[POOLS_NAME_LEN];
	size_t at = 0;
	unsigned int i;

	buf[0] = '\0';
	for (i = 0; i < pools->nr && at < len; i++)
		at += (size_t)snprintf(buf + at, len - at, "%s%s", i ? ", " : "",
				       pools_name(name, pools->pool[i].bytes));
}

void pools_node_names(const struct pools *pools, char *buf, size_t len)
{
	size_t at = 0;
	unsigned int i;

	(void)snprintf(buf, len, "none");
	for (i = 0; i < pools->nr_nodes && at < len; i++)
		at += (size_t)snprintf(buf + at, len - at, "%s%d", i ? ", " : "", pools->node[i]);
}

/* ---- output --------------------------------------------------------------------- */

static void print_row(struct table *t, const struct pool_info *p, const struct pool_counts *c,
		      int node)
{
	bool all = node == POOLS_ALL_NODES;
	char size[TABLE_SIZE_LEN];

	table_cell(t, "%s", all ? table_size(size, p->bytes) : "");
	if (all)
		table_cell(t, "all");
	else
		table_cell(t, "%d", node);
	table_number(t, c->total);
	table_number(t, c->total > c->free ? c->total - c->free : 0);
	table_number(t, c->free);
	if (all)
		table_number(t, p->reserved);
	else
		table_cell(t, "-");
	table_number(t, c->surplus);
	if (all)
		table_number(t, p->overcommit);
	else
		table_cell(t, "-");
	table_cell(t, "%s", c->total ? table_size(size, c->total * p->bytes) : "0");
}

static void print_served(const struct pools *pools, FILE *out)
{
	static const char *const heads[] = { "<size",	      "folded",
					     "poisoned",      "deferred",
					     "refused|frees", "carved|frames",
					     "<policy",	      NULL };
	struct table *t = table_new(heads);
	char size[TABLE_SIZE_LEN];
	bool any = false;
	unsigned int i;

	for (i = 0; i < pools->nr; i++) {
		const struct pool_served *s = &pools->pool[i].served;

		if (!pools->pool[i].has_served)
			continue;
		any = true;
		table_cell(t, "%s", table_size(size, pools->pool[i].bytes));
		table_number(t, s->folded);
		table_number(t, s->poisoned);
		table_number(t, s->deferred);
		table_number(t, s->refused_frees);
		table_number(t, s->carved_frames);
		table_cell(t, "%s", s->policy[0] ? s->policy : "-");
	}
	if (any) {
		fputc('\n', out);
		table_print(t, out, 2);
	}
	table_free(t);
}

void pools_print(const struct pools *pools, FILE *out)
{
	static const char *const heads[] = { "<size",	 "node",    "pages",	  "in use", "free",
					     "reserved", "surplus", "overcommit", "memory", NULL };
	struct table *t = table_new(heads);
	unsigned int i, n;

	for (i = 0; i < pools->nr; i++) {
		const struct pool_info *p = &pools->pool[i];

		print_row(t, p, &p->all, POOLS_ALL_NODES);
		for (n = 0; p->nr_nodes > 1 && n < p->nr_nodes; n++)
			print_row(t, p, &p->node[n].counts, p->node[n].node);
	}
	table_print(t, out, 2);
	table_free(t);
	print_served(pools, out);
}

static void add_number(json_t *j, const char *key, uint64_t n)
{
	json_object_set_new(j, key, json_integer((json_int_t)n));
}

static void add_counts(json_t *j, const struct pool_counts *c)
{
	add_number(j, "total", c->total);
	add_number(j, "free", c->free);
	add_number(j, "surplus", c->surplus);
}

static json_t *served_json(const struct pool_info *p)
{
	const struct pool_served *s = &p->served;

	if (!p->has_served)
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:s?}", "folded", (json_int_t)s->folded,
			 "poisoned", (json_int_t)s->poisoned, "deferred", (json_int_t)s->deferred,
			 "refused_frees", (json_int_t)s->refused_frees, "carved_frames",
			 (json_int_t)s->carved_frames, "restore_policy",
			 s->policy[0] ? s->policy : NULL);
}

static json_t *pool_json(const struct pools *pools, const struct pool_info *p)
{
	json_t *j = json_object(), *nodes = json_array(), *node;
	char name[POOLS_NAME_LEN];
	unsigned int i;

	for (i = 0; i < p->nr_nodes; i++) {
		node = json_object();
		add_number(node, "node", (uint64_t)p->node[i].node);
		add_counts(node, &p->node[i].counts);
		json_array_append_new(nodes, node);
	}
	json_object_set_new(j, "size", json_string(pools_name(name, p->bytes)));
	add_number(j, "page_bytes", p->bytes);
	json_object_set_new(j, "default", json_boolean(p->bytes == pools->default_bytes));
	add_counts(j, &p->all);
	add_number(j, "reserved", p->reserved);
	add_number(j, "overcommit", p->overcommit);
	add_number(j, "refused", pool_stuck(p, POOLS_ALL_NODES));
	json_object_set_new(j, "nodes", nodes);
	json_object_set_new(j, "served", served_json(p));
	return j;
}

json_t *pools_json(const struct pools *pools)
{
	json_t *all = json_array();
	unsigned int i;

	for (i = 0; i < pools->nr; i++)
		json_array_append_new(all, pool_json(pools, &pools->pool[i]));
	return all;
}
