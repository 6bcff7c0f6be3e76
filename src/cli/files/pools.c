// SPDX-License-Identifier: MIT
/*
 * Pools of huge pages as their files show them.
 * In Linux: mm/hugetlb_sysfs.c; the meaning of the files: hugetlbpage.rst.
 */
#include "pools.h"

#include "common/cli.h"
#include "common/table.h"
#include "path/path.h"
#include "saving.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POOLS_DIR "sys/kernel/mm/hugepages"
#define NODES_DIR "sys/devices/system/node"
#define POOL_PREFIX "hugepages-"

#define MODE_FILE "sys/kernel/hvo/mode"

/* ---- files that cannot be read ----------------------------------------------- */

const char *pools_strerror(int err)
{
	switch (err) {
	case -EPROTO:
		return "there is no number in it";
	case -ENODATA:
		return "a line is missing in it";
	default:
		return strerror(-err);
	}
}

int pools_file_error(const char *dir, const char *path, int err)
{
	bool denied = err == -EACCES || err == -EPERM;

	return cli_error("%s/%s: %s%s", strcmp(dir, "/") != 0 ? dir : "", path, pools_strerror(err),
			 denied && geteuid() != 0 ? "; run it as root" : "");
}

/* ---- reading ---------------------------------------------------------------- */

/* A tree, and the file of it that was read last: the one to name after an error. */
struct source {
	const struct root *root;
	char path[ROOT_PATH_MAX];
};

static int read_number(struct source *s, uint64_t *ret, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int read_number(struct source *s, uint64_t *ret, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(s->path, sizeof(s->path), fmt, args);
	va_end(args);
	return root_number(s->root, ret, "%s", s->path);
}

/* Of all nodes, or of one. */
static int read_file(struct source *s, int node, uint64_t kib, const char *name, uint64_t *ret)
{
	if (node == POOLS_ALL_NODES)
		return read_number(s, ret, POOLS_DIR "/" POOL_PREFIX "%" PRIu64 "kB/%s", kib, name);
	return read_number(s, ret, NODES_DIR "/node%d/hugepages/" POOL_PREFIX "%" PRIu64 "kB/%s",
			   node, kib, name);
}

static int read_counts(struct source *s, int node, uint64_t kib, struct pool_counts *ret)
{
	int rc = read_file(s, node, kib, "nr_hugepages", &ret->total);

	if (!rc)
		rc = read_file(s, node, kib, "free_hugepages", &ret->free);
	if (!rc)
		rc = read_file(s, node, kib, "surplus_hugepages", &ret->surplus);
	return rc;
}

/* The name in brackets, of "mayfail [carve] retry". */
static void read_choice(const struct root *root, uint64_t kib, const char *file,
			char ret[POOLS_POLICY_LEN])
{
	char *text = NULL, *begin;

	if (root_read(root, &text, POOLS_DIR "/" POOL_PREFIX "%" PRIu64 "kB/%s", kib, file))
		return;
	begin = strchr(text, '[');
	if (begin)
		(void)snprintf(ret, POOLS_POLICY_LEN, "%.*s", (int)strcspn(begin + 1, "]\n"),
			       begin + 1);
	free(text);
}

static void read_served(struct source *source, struct pool_info *p)
{
	static const char *const names[] = { "folded_hugepages", "poisoned_hugepages",
					     "deferred_hugepages", "refused_frees",
					     "carved_frames" };
	struct pool_served *s = &p->served;
	uint64_t *const to[] = { &s->folded, &s->poisoned, &s->deferred, &s->refused_frees,
				 &s->carved_frames };
	uint64_t kib = p->bytes / 1024;
	unsigned int i;

	p->has_served = false;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		*to[i] = POOLS_UNKNOWN;
		if (!read_file(source, POOLS_ALL_NODES, kib, names[i], to[i]))
			p->has_served = true;
	}
	s->policy[0] = s->scope[0] = '\0';
	if (p->on_demand)
		return;
	read_choice(source->root, kib, "restore_policy", s->policy);
	read_choice(source->root, kib, "fold_scope", s->scope);
}

static int read_pool(struct source *s, struct pool_info *p)
{
	uint64_t kib = p->bytes / 1024;
	unsigned int i;
	int rc = read_counts(s, POOLS_ALL_NODES, kib, &p->all);

	if (!rc)
		rc = read_file(s, POOLS_ALL_NODES, kib, "resv_hugepages", &p->reserved);
	if (!rc)
		rc = read_file(s, POOLS_ALL_NODES, kib, "nr_overcommit_hugepages", &p->overcommit);
	for (i = 0; !rc && i < p->nr_nodes; i++)
		rc = read_counts(s, p->node[i].node, kib, &p->node[i].counts);
	if (!rc)
		read_served(s, p);
	return rc;
}

int pool_read(const struct root *root, struct pool_info *p, char failed[ROOT_PATH_MAX])
{
	struct source s = { .root = root };
	int rc = read_pool(&s, p);

	if (rc)
		memcpy(failed, s.path, sizeof(s.path));
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

static int ignore(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	return 0;
}

/* Nodes without memory have no pools. */
static int find_nodes(const struct root *root, const struct pools *pools, struct pool_info *p)
{
	unsigned int i;

	p->node = calloc(pools->nr_nodes + 1, sizeof(*p->node));
	if (!p->node)
		return -ENOMEM;
	for (i = 0; i < pools->nr_nodes; i++)
		if (root_list(root, "", ignore, NULL,
			      NODES_DIR "/node%d/hugepages/" POOL_PREFIX "%" PRIu64 "kB",
			      pools->node[i], p->bytes / 1024) != -ENOENT)
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

bool pools_on_demand(const struct pools *pools)
{
	return !strcmp(pools->mode, "on-demand");
}

static void read_mode(const struct root *root, struct pools *pools)
{
	char *text = NULL;

	if (!root_read(root, &text, MODE_FILE))
		(void)snprintf(pools->mode, sizeof(pools->mode), "%.*s", (int)strcspn(text, " \n"),
			       text);
	free(text);
}

static void read_default(const struct root *root, struct pools *pools)
{
	char *meminfo = NULL;
	uint64_t kib;

	if (!root_read(root, &meminfo, "proc/meminfo") &&
	    !root_field(meminfo, "Hugepagesize", &kib))
		pools->default_bytes = kib * 1024;
	free(meminfo);
}

static void note_failure(struct pools *pools, int err, const char *path)
{
	if (pools->err)
		return;
	pools->err = err;
	(void)snprintf(pools->failed, sizeof(pools->failed), "%s", path);
}

/* The pools that can be read. */
static int read_figures(const struct root *root, struct pools *pools)
{
	struct source s = { .root = root };
	unsigned int i, nr = 0;
	int rc = 0;

	for (i = 0; i < pools->nr; i++) {
		struct pool_info *p = &pools->pool[i];

		p->on_demand = pools_on_demand(pools);
		rc = rc == -ENOMEM ? rc : find_nodes(root, pools, p);
		if (!rc)
			rc = read_pool(&s, p);
		if (!rc) {
			pools->pool[nr++] = *p;
			continue;
		}
		free(p->node);
		if (rc != -ENOMEM)
			note_failure(pools, rc, s.path);
		rc = rc == -ENOMEM ? rc : 0;
	}
	pools->nr = nr;
	return rc;
}

static int read_all(const struct root *root, struct pools *pools)
{
	int rc = root_list(root, "node", add_node, pools, NODES_DIR);

	if (rc == -ENOMEM)
		return rc;
	if (rc && rc != -ENOENT) /* a kernel without NUMA has none */
		note_failure(pools, rc, NODES_DIR);
	rc = root_list(root, POOL_PREFIX, add_pool, pools, POOLS_DIR);
	if (rc == -ENOMEM)
		return rc;
	if (rc == -ENOTDIR || (!rc && !pools->nr))
		rc = -ENOENT;
	read_mode(root, pools);
	read_default(root, pools);
	if (rc && rc != -ENOENT)
		note_failure(pools, rc, POOLS_DIR);
	return rc ? rc : read_figures(root, pools);
}

int pools_read(const struct root *root, struct pools *ret)
{
	struct pools pools = { 0 };
	int rc = read_all(root, &pools);

	if (rc == -ENOMEM || (rc == -ENOENT && !pools.err)) {
		pools_free(&pools);
		return rc;
	}
	*ret = pools;
	return 0;
}

static void print_none(const char *dir)
{
	if (!strcmp(dir, "/"))
		cli_error("this kernel has no huge pages: no /" POOLS_DIR
			  "; is CONFIG_HUGETLBFS off, or sysfs not mounted?");
	else
		cli_error("--root: nothing is served at %s: it has no " POOLS_DIR
			  "; start hvo serve there",
			  dir);
}

int pools_open(struct root *root, const char *dir, struct pools *ret)
{
	struct pools pools = { 0 };
	int rc = root_open(root, dir);

	if (rc)
		return cli_error("--root: %s: %s; it is to be a directory with sys and proc", dir,
				 path_error(rc));
	rc = pools_read(root, &pools);
	if (!rc && !pools.err) {
		*ret = pools;
		return CLI_OK;
	}
	if (rc == -ENOENT)
		print_none(dir);
	else
		(void)pools_file_error(dir, rc ? POOLS_DIR : pools.failed, rc ? rc : pools.err);
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

static void print_figure(struct table *t, uint64_t n)
{
	if (n == POOLS_UNKNOWN)
		table_cell(t, "-");
	else
		table_number(t, n);
}

static void print_served(const struct pools *pools, FILE *out)
{
	/* On-demand mode needs no policy, and folds all. */
	bool policies = !pools_on_demand(pools), any = false;
	const char *const heads[] = { "<size",
				      "folded",
				      "poisoned",
				      "deferred",
				      "refused|frees",
				      "carved|frames",
				      policies ? "<policy" : NULL,
				      "<scope",
				      NULL };
	struct table *t = table_new(heads);
	char size[TABLE_SIZE_LEN];
	unsigned int i;

	for (i = 0; i < pools->nr; i++) {
		const struct pool_served *s = &pools->pool[i].served;

		if (!pools->pool[i].has_served)
			continue;
		any = true;
		table_cell(t, "%s", table_size(size, pools->pool[i].bytes));
		print_figure(t, s->folded);
		print_figure(t, s->poisoned);
		print_figure(t, s->deferred);
		print_figure(t, s->refused_frees);
		print_figure(t, s->carved_frames);
		if (policies) {
			table_cell(t, "%s", s->policy[0] ? s->policy : "-");
			table_cell(t, "%s", s->scope[0] ? s->scope : "-");
		}
	}
	if (!any) {
		table_free(t);
		return;
	}
	fputc('\n', out);
	table_print(t, out, 2);
}

void pools_print(const struct pools *pools, FILE *out)
{
	static const char *const heads[] = { "<size",	 "<node",   "pages",	  "in use", "free",
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
	print_served(pools, out);
}

static void add_number(json_t *j, const char *key, uint64_t n)
{
	json_object_set_new(j, key, cli_json_number(n));
}

static void add_counts(json_t *j, const struct pool_counts *c)
{
	add_number(j, "total", c->total);
	add_number(j, "free", c->free);
	add_number(j, "surplus", c->surplus);
}

static json_t *figure_json(uint64_t n)
{
	return cli_json_known(n != POOLS_UNKNOWN, n);
}

static json_t *served_json(const struct pool_info *p)
{
	const struct pool_served *s = &p->served;

	if (!p->has_served)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "folded", figure_json(s->folded),
			 "poisoned", figure_json(s->poisoned), "deferred", figure_json(s->deferred),
			 "refused_frees", figure_json(s->refused_frees), "carved_frames",
			 figure_json(s->carved_frames), "restore_policy", cli_json_word(s->policy),
			 "fold_scope", cli_json_word(s->scope));
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
