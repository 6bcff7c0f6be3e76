// SPDX-License-Identifier: MIT
/*
 * A machine as files, without FUSE: the form of each file against the host's own, what it says
 * against the machine, what a write does and how it is refused.
 */
#include "harness.h"

#include "core/base.h"
#include "tree/tree.h"

#include <hvo/contig.h>
#include <hvo/migrate.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define HUGE "/sys/kernel/mm/hugepages/hugepages-2048kB/"
#define GIGA "/sys/kernel/mm/hugepages/hugepages-1048576kB/"
#define NODE "/sys/devices/system/node/"
#define MEMORY "/sys/devices/system/memory/"
#define VM "/proc/sys/vm/"
#define CMA "/sys/kernel/mm/cma/"
#define MODULE "/sys/module/memory_hotplug/parameters/"
#define FIRMWARE "/sys/firmware/memory/"

struct stand {
	struct rig rig;
	struct tree *tree;
	struct hvo_pool *pool;
};

static void stand_up(struct stand *s, const struct hvo_config *cfg, bool giga)
{
	rig_open(&s->rig, RIG_SIM, cfg);
	s->pool = rig_pool_new(&s->rig, HVO_PAGEBLOCK_ORDER);
	if (giga)
		rig_pool_new(&s->rig, HVO_GIGA_ORDER);
	assert_int_equal(tree_new(s->rig.m, NULL, &s->tree), 0);
}

static void tear_down(struct stand *s)
{
	rig_audit(&s->rig);
	tree_free(s->tree);
	rig_close(&s->rig);
}

/* ---- reading and writing ------------------------------------------------------ */

static char *content(struct stand *s, const char *path)
{
	char *text = NULL;
	size_t len;
	int rc = tree_read(s->tree, path, &text, &len);

	if (rc)
		fail_msg("%s: %s", path, strerror(-rc));
	assert_int_equal(strlen(text), len);
	return text;
}

#define assert_file(s, path, expected) file_is(s, path, expected, __LINE__)
static void file_is(struct stand *s, const char *path, const char *expected, int line)
{
	char *text = content(s, path);

	if (strcmp(text, expected))
		fail_msg("line %d: %s is '%s', not '%s'", line, path, text, expected);
	free(text);
}

static uint64_t number(struct stand *s, const char *path)
{
	char *text = content(s, path), *end;
	uint64_t n = strtoull(text, &end, 10);

	assert_string_equal(end, "\n");
	free(text);
	return n;
}

/* The number behind a key at the start of a line. */
static uint64_t field_of(const char *text, const char *key)
{
	const char *at = text;
	size_t len = strlen(key);

	while (at && (strncmp(at, key, len) || !strchr(" :", at[len]))) {
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
	if (!at) {
		fail_msg("there is no %s", key);
		return 0;
	}
	return strtoull(at + len + strspn(at + len, ": "), NULL, 10);
}

static uint64_t field(struct stand *s, const char *path, const char *key)
{
	char *text = content(s, path);
	uint64_t n = field_of(text, key);

	free(text);
	return n;
}

static int put(struct stand *s, const char *path, const char *text)
{
	return tree_write(s->tree, path, text, strlen(text));
}

static bool exists(struct stand *s, const char *path)
{
	mode_t mode;

	return !tree_mode(s->tree, path, &mode);
}

/* ---- the form of the host's own files --------------------------------------------- */

#define MAX_LINES 2048u

struct lines {
	char *text;
	char *line[MAX_LINES];
	unsigned int nr;
};

static bool read_host(const char *path, char **ret)
{
	FILE *f = fopen(path, "r");
	size_t size = 1 << 20, n;
	char *text;

	if (!f)
		return false;
	text = malloc(size);
	assert_non_null(text);
	n = fread(text, 1, size - 1, f);
	text[n] = '\0';
	(void)fclose(f);
	*ret = text;
	return true;
}

static void split(struct lines *l, char *text)
{
	char *save = NULL, *at;

	l->text = text;
	l->nr = 0;
	for (at = strtok_r(text, "\n", &save); at; at = strtok_r(NULL, "\n", &save)) {
		assert_true(l->nr < MAX_LINES);
		l->line[l->nr++] = at;
	}
}

/* All up to the value: "MemTotal:", "nr_free_pages", "Node 0 MemTotal:", "  pages free". */
static size_t key_len(const char *line)
{
	size_t len = strlen(line);

	if (len > 3 && !strcmp(line + len - 3, " kB"))
		len -= 3;
	while (len && isdigit((unsigned char)line[len - 1]))
		len--;
	while (len && line[len - 1] == ' ')
		len--;
	return len;
}

static int find_key(const struct lines *in, const char *line)
{
	size_t len = key_len(line);
	unsigned int i;

	for (i = 0; i < in->nr; i++)
		if (key_len(in->line[i]) == len && !strncmp(in->line[i], line, len))
			return (int)i;
	return -1;
}

/* Where the number ends, and what is behind it: equal unless one is too long for its column. */
static bool same_shape(const char *a, const char *b)
{
	size_t key = key_len(a), na = strlen(a), nb = strlen(b);
	bool aligned = a[key] == ' ' && a[key + 1] == ' ';

	if ((na > 3 && !strcmp(a + na - 3, " kB")) != (nb > 3 && !strcmp(b + nb - 3, " kB")))
		return false;
	return !aligned || na == nb || b[key + 1] != ' ';
}

/* Keys that both have: in the same order and columns. How many? */
static unsigned int compare_lines(struct stand *s, const char *ours, const char *hosts)
{
	static struct lines a, b;
	unsigned int i, common = 0;
	int last = -1, at;
	char *host;

	if (!read_host(hosts, &host))
		return 0;
	split(&a, content(s, ours));
	split(&b, host);
	for (i = 0; i < a.nr; i++) {
		at = find_key(&b, a.line[i]);
		if (at < 0)
			continue;
		if (at <= last)
			fail_msg("%s: '%s' comes elsewhere on the host", ours, a.line[i]);
		if (!same_shape(a.line[i], b.line[at]) && !same_shape(b.line[at], a.line[i]))
			fail_msg("%s: '%s', but '%s' on the host", ours, a.line[i], b.line[at]);
		last = at;
		common++;
	}
	free(a.text);
	free(b.text);
	return common;
}

static void test_form_of_keys(void **state)
{
	static const struct {
		const char *path;
		unsigned int least;
	} files[] = {
		{ "/proc/meminfo", 35 },      { "/proc/vmstat", 40 },
		{ NODE "node0/meminfo", 25 }, { NODE "node0/vmstat", 20 },
		{ NODE "node0/numastat", 6 },
	};
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 512);
	unsigned int i, common, compared = 0;
	struct stand s;

	(void)state;
	stand_up(&s, &cfg, true);
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		common = compare_lines(&s, files[i].path, files[i].path);
		if (common && common < files[i].least)
			fail_msg("%s: %u lines in common", files[i].path, common);
		compared += common;
	}
	tear_down(&s);
	if (!compared)
		skip();
}

/*
 * The line that begins there, with each number, and the blanks before it, made one '#'. The
 * kernel gives up counting at ">100000".
 */
static char *shape_of(const char *line)
{
	char *shape = malloc(strcspn(line, "\n") + 2), *out = shape;

	assert_non_null(shape);
	while (*line && *line != '\n') {
		size_t blanks = strspn(line, " >");

		if (isdigit((unsigned char)line[blanks])) {
			line += blanks;
			line += strspn(line, "0123456789");
			*out++ = '#';
		} else {
			*out++ = *line++;
		}
	}
	*out = '\0';
	return shape;
}

/* Lines that begin so on both sides are of the same shape, up to @cut of it. */
static void compare_shapes(struct stand *s, const char *path, const char *begin, bool whole)
{
	char *host, *ours, *a, *b;
	const char *x, *y;

	if (!read_host(path, &host))
		return;
	ours = content(s, path);
	x = strstr(ours, begin);
	y = strstr(host, begin);
	if (y) {
		if (!x)
			fail_msg("%s: no line with '%s'", path, begin);
		a = shape_of(x);
		b = shape_of(y);
		if (whole ? strcmp(a, b) != 0 : strncmp(a, b, strcspn(b, "#") + 3) != 0)
			fail_msg("%s: '%s', on the host '%s'", path, a, b);
		free(a);
		free(b);
	}
	free(ours);
	free(host);
}

static void test_form_of_tables(void **state)
{
	static const char *const zone_lines[] = {
		"Node 0, zone   Normal", "  pages free",
		"        boost",	 "        min",
		"        low",		 "        high",
		"        promo",	 "        spanned",
		"        present",	 "        managed",
		"        cma",		 "      nr_free_pages",
		"      numa_local",	 "  pagesets",
		"  node_unreclaimable",	 "  start_pfn",
		"Node 0, zone  Movable", "      nr_hugetlb",
		"  per-node stats",
	};
	static const char *const type_lines[] = {
		"Page block order",
		"Pages per block",
		"Free pages count",
		"Node    0, zone   Normal, type    Unmovable",
		"Node    0, zone   Normal, type      Movable",
		"Number of blocks type",
	};
	struct hvo_config cfg = rig_config(HVO_LINUX, 512);
	struct stand s;
	unsigned int i;

	(void)state;
	cfg.max_order = 10; /* as Linux has */
	stand_up(&s, &cfg, false);
	for (i = 0; i < sizeof(zone_lines) / sizeof(zone_lines[0]); i++)
		compare_shapes(&s, "/proc/zoneinfo", zone_lines[i], true);
	for (i = 0; i < sizeof(type_lines) / sizeof(type_lines[0]); i++)
		compare_shapes(&s, "/proc/pagetypeinfo", type_lines[i], i != 5);
	compare_shapes(&s, "/proc/buddyinfo", "Node 0, zone   Normal", true);
	compare_shapes(&s, MEMORY "block_size_bytes", "8000000", true);
	compare_shapes(&s, MEMORY "memory0/phys_index", "00000000", true);
	tear_down(&s);
}

static void compare_mode(struct stand *s, const char *path)
{
	struct stat st;
	mode_t mode = 0;
	int rc;

	if (stat(path, &st))
		return;
	rc = tree_mode(s->tree, path, &mode);
	if (rc || mode != st.st_mode)
		fail_msg("%s: %s, mode %o, on the host %o", path, strerror(-rc), mode, st.st_mode);
}

static void test_modes(void **state)
{
	static const char *const paths[] = {
		HUGE "nr_hugepages",
		HUGE "free_hugepages",
		HUGE "surplus_hugepages",
		HUGE "resv_hugepages",
		HUGE "nr_hugepages_mempolicy",
		HUGE "nr_overcommit_hugepages",
		GIGA "demote",
		GIGA "demote_size",
		VM "nr_hugepages",
		VM "nr_hugepages_mempolicy",
		VM "nr_overcommit_hugepages",
		VM "hugetlb_shm_group",
		VM "hugetlb_optimize_vmemmap",
		VM "compact_memory",
		VM "min_free_kbytes",
		VM "enable_soft_offline",
		MEMORY "soft_offline_page",
		MEMORY "hard_offline_page",
		NODE "node0/memory_failure/total",
		VM "movable_gigantic_pages",
		"/sys/module/memory_hotplug/parameters/memmap_on_memory",
		"/proc/meminfo",
		"/proc/vmstat",
		"/proc/zoneinfo",
		"/proc/buddyinfo",
		"/proc/pagetypeinfo",
		"/proc/kpageflags",
		"/proc/kpagecount",
		NODE "node0/meminfo",
		NODE "node0/compact",
		NODE "node0/distance",
		NODE "node0/cpulist",
		NODE "node0/hugepages/hugepages-2048kB/nr_hugepages",
		NODE "online",
		NODE "has_normal_memory",
		MEMORY "memory0/state",
		MEMORY "memory0/valid_zones",
		MEMORY "memory0/online",
		MEMORY "memory0/removable",
		MEMORY "auto_online_blocks",
		MEMORY "block_size_bytes",
	};
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	struct stand s;
	unsigned int i;

	(void)state;
	stand_up(&s, &cfg, true);
	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		assert_true(exists(&s, paths[i]));
		compare_mode(&s, paths[i]);
	}
	assert_false(exists(&s, HUGE "demote")); /* the smallest */
	tear_down(&s);
}

/* ---- numbers that are written ------------------------------------------------------------ */

struct written {
	const char *text;
	int rc;
	const char *then; /* what is read afterwards, from "0" */
};

/* What Linux 6.18 does. */
static const struct written strict[] = {
	{ "abc", -EINVAL, "0\n" },
	{ "-1", -EINVAL, "0\n" },
	{ "", 0, "0\n" },
	{ "\n", -EINVAL, "0\n" },
	{ " 5", -EINVAL, "0\n" },
	{ "5 ", -EINVAL, "0\n" },
	{ "5\n", 0, "5\n" },
	{ "5\n\n", -EINVAL, "0\n" },
	{ "+5", 0, "5\n" },
	{ "0x10", -EINVAL, "0\n" },
	{ "010", 0, "10\n" },
	{ "18446744073709551616", -ERANGE, "0\n" },
	{ "18446744073709551615", 0, "18446744073709551615\n" },
	{ "99999999999999999999999", -ERANGE, "0\n" },
	{ "5x", -EINVAL, "0\n" },
	{ "-0", -EINVAL, "0\n" },
	{ NULL, 0, NULL },
};

static const struct written lenient[] = {
	{ "abc", -EINVAL, "0\n" },
	{ "-1", -EINVAL, "0\n" },
	{ "", 0, "0\n" },
	{ "\n", -EINVAL, "0\n" },
	{ " 5", 0, "5\n" },
	{ "5 ", 0, "5\n" },
	{ "5\n\n", 0, "5\n" },
	{ "+5", -EINVAL, "0\n" },
	{ "0x10", 0, "16\n" },
	{ "010", 0, "8\n" },
	{ "08", -EINVAL, "0\n" },
	{ "18446744073709551616", -EINVAL, "0\n" },
	{ "18446744073709551615", 0, "18446744073709551615\n" },
	{ "000000000000000000005", -EINVAL, "0\n" },
	{ "5 x", 0, "5\n" },
	{ "5x", -EINVAL, "0\n" },
	{ "- 1", -EINVAL, "0\n" },
	{ "-0", -EINVAL, "0\n" },
	{ NULL, 0, NULL },
};

static const struct written signed_ones[] = {
	{ "abc", -EINVAL, "0\n" },
	{ "-1", 0, "-1\n" },
	{ "\n", -EINVAL, "0\n" },
	{ " 5", 0, "5\n" },
	{ "+5", -EINVAL, "0\n" },
	{ "2147483647", 0, "2147483647\n" },
	{ "2147483648", -EINVAL, "0\n" },
	{ "-2147483648", 0, "-2147483648\n" },
	{ "-2147483649", -EINVAL, "0\n" },
	{ "18446744073709551615", -EINVAL, "0\n" },
	{ "-0", 0, "0\n" },
	{ NULL, 0, NULL },
};

static const struct written not_negative[] = {
	{ "abc", -EINVAL, "0\n" },
	{ "-1", -EINVAL, "0\n" },
	{ "\n", -EINVAL, "0\n" },
	{ " 5", 0, "5\n" },
	{ "+5", -EINVAL, "0\n" },
	{ "0x11", 0, "17\n" },
	{ "2147483647", 0, "2147483647\n" },
	{ "2147483648", -EINVAL, "0\n" },
	{ "-0", 0, "0\n" },
	{ NULL, 0, NULL },
};

static void write_all(struct stand *s, const char *path, const struct written *w)
{
	for (; w->text; w++) {
		int rc;

		assert_int_equal(put(s, path, "0"), 0);
		rc = put(s, path, w->text);
		if (rc != w->rc)
			fail_msg("%s: '%s' gives %d", path, w->text, rc);
		assert_file(s, path, w->then);
	}
}

static void test_numbers(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	struct stand s;

	(void)state;
	stand_up(&s, &cfg, false);
	write_all(&s, HUGE "nr_overcommit_hugepages", strict);
	write_all(&s, VM "nr_overcommit_hugepages", lenient);
	write_all(&s, VM "hugetlb_shm_group", signed_ones);
	write_all(&s, VM "movable_gigantic_pages", signed_ones);
	write_all(&s, VM "min_free_kbytes", not_negative);
	/* The same readers; these act, so only what is refused. */
	assert_int_equal(put(&s, HUGE "nr_hugepages", "abc"), -EINVAL);
	assert_int_equal(put(&s, HUGE "nr_hugepages", "18446744073709551616"), -ERANGE);
	assert_int_equal(put(&s, HUGE "nr_hugepages_mempolicy", " 1"), -EINVAL);
	assert_int_equal(put(&s, VM "nr_hugepages", "-1"), -EINVAL);
	assert_int_equal(put(&s, VM "nr_hugepages_mempolicy", "+1"), -EINVAL);
	assert_int_equal(put(&s, HUGE "free_hugepages", "1"), -EACCES);
	assert_int_equal(put(&s, "/proc/meminfo", "1"), -EACCES);
	assert_int_equal(put(&s, VM "compact_memory", "2"), -EINVAL);
	assert_int_equal(put(&s, VM "compact_memory", "1\n"), 0);
	assert_int_equal(put(&s, NODE "node0/compact", "x"), 0);
	assert_file(&s, HUGE "nr_hugepages", "0\n");
	tear_down(&s);
}

static void test_switch(void **state)
{
	static const struct {
		const char *text;
		int rc;
		const char *then;
	} w[] = {
		{ "0", 0, "0\n" },	  { "1", 0, "1\n" },   { "0x10", 0, "1\n" },
		{ "00", 0, "0\n" },	  { "-1", 0, "1\n" },  { "abc", -EINVAL, "1\n" },
		{ "+5", -EINVAL, "1\n" }, { "0\n", 0, "0\n" },
	};
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	struct stand s;
	unsigned int i;

	(void)state;
	stand_up(&s, &cfg, false);
	for (i = 0; i < sizeof(w) / sizeof(w[0]); i++) {
		assert_int_equal(put(&s, VM "hugetlb_optimize_vmemmap", w[i].text), w[i].rc);
		assert_file(&s, VM "hugetlb_optimize_vmemmap", w[i].then);
	}
	assert_int_equal(put(&s, HUGE "nr_hugepages", "4"), 0);
	assert_file(&s, HUGE "folded_hugepages", "0\n");
	assert_int_equal(put(&s, VM "hugetlb_optimize_vmemmap", "1"), 0);
	assert_int_equal(put(&s, HUGE "nr_hugepages", "6"), 0);
	assert_file(&s, HUGE "folded_hugepages", "2\n");
	assert_file(&s, NODE "node0/hugepages/hugepages-2048kB/folded_hugepages", "2\n");
	tear_down(&s);

	cfg = rig_config(HVO_ON_DEMAND, 256);
	cfg.layout = HVO_LAYOUT_DEFAULT;
	stand_up(&s, &cfg, false);
	assert_file(&s, VM "hugetlb_optimize_vmemmap", "1\n");
	assert_int_equal(put(&s, VM "hugetlb_optimize_vmemmap", "0"), -EINVAL);
	assert_int_equal(put(&s, VM "hugetlb_optimize_vmemmap", "1"), 0);
	assert_file(&s, "/sys/kernel/hvo/mode", "on-demand\n");
	assert_file(&s, "/sys/kernel/hvo/layout", "table\n");
	tear_down(&s);
}

/* ---- watermarks --------------------------------------------------------------------------- */

#define MAX_ZONES 64u

/* Of one zone of /proc/zoneinfo. */
struct marks {
	bool movable;
	uint64_t min, low, high, managed;
};

static unsigned int parse_zoneinfo(char *text, struct marks *zones)
{
	char *save = NULL, *at, name[32];
	unsigned int nr = 0, node;

	for (at = strtok_r(text, "\n", &save); at; at = strtok_r(NULL, "\n", &save)) {
		if (sscanf(at, "Node %u, zone %31s", &node, name) == 2) {
			assert_true(nr < MAX_ZONES);
			zones[nr++] = (struct marks){ .movable = !strcmp(name, "Movable") };
		} else if (nr) {
			struct marks *z = &zones[nr - 1];

			(void)sscanf(at, "        min %" SCNu64, &z->min);
			(void)sscanf(at, "        low %" SCNu64, &z->low);
			(void)sscanf(at, "        high %" SCNu64, &z->high);
			(void)sscanf(at, "        managed %" SCNu64, &z->managed);
		}
	}
	return nr;
}

static bool near(uint64_t a, uint64_t b, uint64_t slack, uint64_t percent)
{
	uint64_t more = a > b ? a - b : b - a;

	return more <= slack + b * percent / 100;
}

/*
 * The kernel's rule, which is held against the host first: shares of what is kept back by size,
 * but in movable zones; low and high by a quarter of the share above it, or 10 of 10000.
 * @slack: a machine's zone Normal is two, each of which rounds. @percent: by how much the zones
 * may have changed since the kernel looked, as those of a virtual machine do.
 */
static bool shares_are(const struct marks *zones, unsigned int nr, uint64_t kib, uint64_t slack,
		       uint64_t percent)
{
	uint64_t all = 0, share, step, min;
	unsigned int i;

	for (i = 0; i < nr; i++)
		all += zones[i].movable ? 0 : zones[i].managed;
	for (i = 0; i < nr; i++) {
		const struct marks *z = &zones[i];

		share = (kib >> 2) * z->managed / all;
		step = share / 4 > z->managed / 1000 ? share / 4 : z->managed / 1000;
		min = z->managed / 1024 > 128 ? 128 : z->managed / 1024;
		min = !z->movable ? share : min < 32 ? 32 : min;
		if (!near(z->min, min, slack, percent) ||
		    !near(z->low, min + step, 2 * slack, percent) ||
		    !near(z->high, min + 2 * step, 3 * slack, percent))
			return false;
	}
	return true;
}

static void test_min_free(void **state)
{
	static const char *const written[] = { "0", "4", "4096", "65536", "100001" };
	struct hvo_config cfg = rig_config(HVO_LINUX, 2048);
	struct marks zones[MAX_ZONES];
	char *text, *kib, *scale;
	unsigned int i, nr;
	struct stand s;

	(void)state;
	if (read_host("/proc/zoneinfo", &text) && read_host(VM "min_free_kbytes", &kib) &&
	    read_host(VM "watermark_scale_factor", &scale)) {
		nr = parse_zoneinfo(text, zones);
		if (!strcmp(scale, "10\n"))
			assert_true(shares_are(zones, nr, strtoull(kib, NULL, 10), 1, 20));
		free(text);
		free(kib);
		free(scale);
	}
	cfg.nr_nodes = 2;
	cfg.movable_bytes = 256 * MIB;
	cfg.cma_bytes = 128 * MIB;
	cfg.min_free_bytes = 0;
	stand_up(&s, &cfg, false);
	assert_int_equal(number(&s, VM "min_free_kbytes"), hvo_min_free(s.rig.m) >> 10);
	for (i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
		assert_int_equal(put(&s, VM "min_free_kbytes", written[i]), 0);
		text = content(&s, "/proc/zoneinfo");
		nr = parse_zoneinfo(text, zones);
		free(text);
		assert_int_equal(nr, 4);
		assert_true(shares_are(zones, nr, strtoull(written[i], NULL, 10), 1, 0));
		assert_int_equal(number(&s, VM "min_free_kbytes"), strtoull(written[i], NULL, 10));
	}
	tear_down(&s);
}

/* ---- pools ----------------------------------------------------------------------------------- */

static void test_pool(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 512);
	struct stand s;
	hvo_pfn_t a, b;

	(void)state;
	cfg.nr_nodes = 2;
	stand_up(&s, &cfg, false);
	assert_int_equal(put(&s, HUGE "nr_hugepages", "10\n"), 0);
	assert_file(&s, HUGE "nr_hugepages", "10\n");
	assert_file(&s, NODE "node0/hugepages/hugepages-2048kB/nr_hugepages", "5\n");
	assert_int_equal(put(&s, NODE "node1/hugepages/hugepages-2048kB/nr_hugepages", "1"), 0);
	assert_file(&s, HUGE "nr_hugepages", "6\n");
	assert_file(&s, VM "nr_hugepages", "6\n");
	assert_int_equal(rig_pool(s.pool, 1).total, 1);

	/* In use beyond what is wanted: surplus. All in sys, the persistent ones in proc. */
	assert_int_equal(hvo_pool_alloc(s.pool, 0, 0, &a), 0);
	assert_int_equal(hvo_pool_alloc(s.pool, 0, 0, &b), 0);
	assert_int_equal(put(&s, VM "nr_hugepages", "1"), 0);
	assert_file(&s, HUGE "nr_hugepages", "2\n");
	assert_file(&s, HUGE "nr_hugepages_mempolicy", "2\n");
	assert_file(&s, VM "nr_hugepages", "1\n");
	assert_file(&s, VM "nr_hugepages_mempolicy", "1\n");
	assert_file(&s, HUGE "surplus_hugepages", "1\n");
	assert_file(&s, NODE "node0/hugepages/hugepages-2048kB/surplus_hugepages", "1\n");
	assert_file(&s, HUGE "free_hugepages", "0\n");
	assert_int_equal(field(&s, "/proc/meminfo", "HugePages_Total"), 2);
	assert_int_equal(field(&s, "/proc/meminfo", "HugePages_Surp"), 1);
	assert_int_equal(field(&s, "/proc/meminfo", "Hugepagesize"), 2048);
	assert_int_equal(field(&s, "/proc/meminfo", "Hugetlb"), 4096);
	assert_int_equal(field(&s, "/proc/vmstat", "nr_hugetlb"), 1024);
	assert_int_equal(field(&s, "/proc/vmstat", "htlb_buddy_alloc_success"), 10);
	assert_int_equal(field(&s, NODE "node0/meminfo", "Node 0 HugePages_Total"), 2);
	assert_int_equal(hvo_pool_free(s.pool, a), 0);
	assert_int_equal(hvo_pool_free(s.pool, b), 0);

	assert_int_equal(put(&s, HUGE "nr_overcommit_hugepages", "3"), 0);
	assert_int_equal(hvo_pool_reserve(s.pool, 0, 3), 0);
	assert_file(&s, HUGE "resv_hugepages", "3\n");
	assert_int_equal(field(&s, "/proc/meminfo", "HugePages_Rsvd"), 3);
	assert_int_equal(hvo_pool_unreserve(s.pool, 3), 0);
	/* As many as there are: fewer than asked is no error. */
	assert_int_equal(put(&s, HUGE "nr_hugepages", "18446744073709551615"), 0);
	assert_true(number(&s, HUGE "nr_hugepages") > 200);
	assert_true(field(&s, "/proc/vmstat", "htlb_buddy_alloc_fail") > 0);
	tear_down(&s);
}

static void test_demote(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 3072);
	struct stand s;

	(void)state;
	stand_up(&s, &cfg, true);
	assert_int_equal(put(&s, GIGA "nr_hugepages", "2"), 0);
	assert_file(&s, GIGA "nr_hugepages", "2\n");
	assert_file(&s, GIGA "demote_size", "2048kB\n");
	assert_int_equal(put(&s, GIGA "demote_size", "1G"), -EINVAL);
	assert_int_equal(put(&s, GIGA "demote_size", "4M"), -EINVAL);
	assert_int_equal(put(&s, GIGA "demote_size", "4k"), -EINVAL);
	assert_int_equal(put(&s, GIGA "demote_size", "nonsense"), -EINVAL);
	assert_int_equal(put(&s, GIGA "demote_size", "2048kB\n"), 0);
	assert_int_equal(put(&s, GIGA "demote_size", "0x200000"), 0);
	assert_int_equal(put(&s, GIGA "demote", "abc"), -EINVAL);
	assert_int_equal(put(&s, GIGA "demote", "1"), 0);
	assert_file(&s, GIGA "nr_hugepages", "1\n");
	assert_file(&s, HUGE "nr_hugepages", "512\n");
	assert_int_equal(put(&s, NODE "node0/hugepages/hugepages-1048576kB/demote", "1"), 0);
	assert_file(&s, HUGE "free_hugepages", "1024\n");
	/* The default size is the smallest one; all sizes count here. */
	assert_int_equal(field(&s, "/proc/meminfo", "HugePages_Total"), 1024);
	assert_int_equal(field(&s, "/proc/meminfo", "Hugetlb"), 2 << 20);
	tear_down(&s);
}

static void test_policy(void **state)
{
	struct hvo_policy own = *hvo_policy_find("mayfail");
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	struct stand s;

	(void)state;
	stand_up(&s, &cfg, false);
	assert_file(&s, HUGE "restore_policy",
		    "[mayfail] mayfail-node noretry atomic retry oom carve carve-heal\n");
	assert_int_equal(put(&s, HUGE "restore_policy", "carve\n"), 0);
	assert_file(&s, HUGE "restore_policy",
		    "mayfail mayfail-node noretry atomic retry oom [carve] carve-heal\n");
	assert_int_equal(put(&s, HUGE "restore_policy", "carv"), -EINVAL);
	assert_int_equal(put(&s, HUGE "restore_policy", "carve "), -EINVAL);
	strcpy(own.name, "mine");
	assert_int_equal(hvo_pool_set_policy(s.pool, &own), 0);
	assert_file(&s, HUGE "restore_policy",
		    "mayfail mayfail-node noretry atomic retry oom carve carve-heal [mine]\n");
	tear_down(&s);
}

/* Which pages are folded, and how they are restored: served where there is a choice. */
static void test_scope(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 512);
	struct stand s;
	mode_t mode;

	(void)state;
	cfg.movable_bytes = 256 * MIB;
	stand_up(&s, &cfg, false);
	assert_file(&s, HUGE "fold_scope", "[all] boot normal unmovable\n");
	assert_int_equal(put(&s, HUGE "fold_scope", "norma"), -EINVAL);
	assert_int_equal(put(&s, HUGE "fold_scope", "normal\n"), 0);
	assert_file(&s, HUGE "fold_scope", "all boot [normal] unmovable\n");
	assert_int_equal(put(&s, HUGE "nr_hugepages", "20"), 0);
	assert_file(&s, HUGE "folded_hugepages", "0\n");
	assert_file(&s, HUGE "out_of_scope_hugepages", "20\n");
	assert_file(&s, HUGE "move_restores", "0\n");
	assert_file(&s, HUGE "moves_refused", "0\n");
	tear_down(&s);
	cfg.mode = HVO_ON_DEMAND;
	stand_up(&s, &cfg, false);
	assert_int_equal(tree_mode(s.tree, HUGE "fold_scope", &mode), -ENOENT);
	assert_int_equal(tree_mode(s.tree, HUGE "moves_refused", &mode), -ENOENT);
	assert_int_equal(tree_mode(s.tree, HUGE "restore_policy", &mode), -ENOENT);
	tear_down(&s);
}

/* Nothing is left for descriptors: the free is refused, which a shrink does not tell. */
static void test_refused(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	struct hog hog = { 0 };
	struct stand s;

	(void)state;
	stand_up(&s, &cfg, false);
	assert_int_equal(put(&s, HUGE "nr_hugepages", "20"), 0);
	assert_file(&s, HUGE "folded_hugepages", "20\n");
	hog_all(&s.rig, &hog, 0, false);
	assert_int_equal(put(&s, HUGE "nr_hugepages", "19"), 0);
	assert_file(&s, HUGE "nr_hugepages", "20\n");
	assert_file(&s, VM "nr_hugepages", "19\n");
	assert_file(&s, HUGE "refused_frees", "1\n");
	assert_file(&s, HUGE "surplus_hugepages", "1\n");
	assert_int_equal(put(&s, HUGE "restore_policy", "carve"), 0);
	assert_int_equal(put(&s, HUGE "nr_hugepages", "18"), 0);
	assert_file(&s, HUGE "nr_hugepages", "18\n");
	assert_true(number(&s, HUGE "carved_frames") >= 7);
	assert_true(number(&s, "/sys/kernel/hvo/carved_blocks") >= 1);
	hog_release(&s.rig, &hog, UINT64_MAX);
	tear_down(&s);
}

/* ---- counters ------------------------------------------------------------------------------------ */

static void check_sums(struct stand *s)
{
	struct hvo_machine_stat stat = rig_stat(&s->rig);
	uint64_t total = 0, free_kib = 0, present = 0, own;
	char *meminfo = content(s, "/proc/meminfo"), *vmstat = content(s, "/proc/vmstat");
	char path[96], key[64];
	int n, nr = (int)hvo_machine_config(s->rig.m)->nr_nodes, t;

	for (n = 0; n < nr; n++) {
		(void)snprintf(path, sizeof(path), NODE "node%d/meminfo", n);
		(void)snprintf(key, sizeof(key), "Node %d MemTotal", n);
		total += field(s, path, key);
		(void)snprintf(key, sizeof(key), "Node %d MemFree", n);
		free_kib += field(s, path, key);
		for (t = 0; t < HVO_NR_ZONES; t++)
			present += rig_zone(&s->rig, n, (enum hvo_zone_type)t).present;
	}
	assert_int_equal(field_of(meminfo, "MemTotal"), stat.total_frames * 4);
	assert_int_equal(field_of(meminfo, "MemTotal"), total);
	assert_int_equal(field_of(meminfo, "MemFree"), stat.free_frames * 4);
	assert_int_equal(field_of(meminfo, "MemFree"), free_kib);
	assert_true(field_of(meminfo, "MemAvailable") <= stat.free_frames * 4);
	assert_int_equal(field_of(vmstat, "nr_free_pages"), stat.free_frames);
	assert_int_equal(field_of(vmstat, "nr_memmap_pages"), stat.memmap);
	assert_int_equal(field_of(vmstat, "nr_memmap_boot_pages"),
			 stat.memmap_boot + (stat.head_bytes + 4095) / 4096);
	assert_int_equal(number(s, "/sys/kernel/hvo/descriptor_frames_boot"), stat.memmap_boot);
	assert_int_equal(field_of(vmstat, "compact_migrate_scanned"), stat.compact_scanned);
	assert_int_equal(field_of(vmstat, "compact_isolated"), stat.compact_isolated);
	assert_int_equal(field_of(vmstat, "compact_stall"), stat.compact_stalls);
	assert_int_equal(field_of(vmstat, "compact_success"), stat.compact_successes);
	/* What came and did not go is there; a block that is cut pays for its own descriptors. */
	own = hvo_machine_config(s->rig.m)->mode == HVO_ON_DEMAND ? stat.memmap : 0;
	assert_int_equal(field_of(vmstat, "pgfree") - field_of(vmstat, "pgalloc_normal") -
				 field_of(vmstat, "pgalloc_movable"),
			 stat.free_frames + own);
	free(meminfo);
	free(vmstat);
	assert_true(present > 0);
}

/* Sum of the columns of buddyinfo, in frames. */
static uint64_t buddy_frames(struct stand *s)
{
	char *text = content(s, "/proc/buddyinfo"), *at, *end, *save = NULL;
	uint64_t frames = 0, n;
	unsigned int o;

	for (at = strtok_r(text, "\n", &save); at; at = strtok_r(NULL, "\n", &save)) {
		at = strstr(at, "zone ") + 5;
		at += strspn(at, " ");
		at += strcspn(at, " ");
		for (o = 0;; o++) {
			n = strtoull(at, &end, 10);
			if (end == at)
				break;
			frames += n << o;
			at = end;
		}
		assert_int_equal(o, hvo_machine_config(s->rig.m)->max_order + 1);
	}
	free(text);
	return frames;
}

/* Sum of "type" lines of pagetypeinfo, in frames; and of its blocks. */
static uint64_t typed_frames(struct stand *s, uint64_t *ret_blocks)
{
	char *text = content(s, "/proc/pagetypeinfo"), *at, *end, *save = NULL;
	uint64_t frames = 0, n;
	bool blocks = false;
	unsigned int o;

	*ret_blocks = 0;
	for (at = strtok_r(text, "\n", &save); at; at = strtok_r(NULL, "\n", &save)) {
		blocks = blocks || !strncmp(at, "Number", 6);
		if (strncmp(at, "Node", 4) != 0)
			continue;
		at = strstr(at, blocks ? "zone " : "type ") + 5;
		at += strspn(at, " ");
		at += strcspn(at, " ");
		for (o = 0;; o++, at = end) {
			n = strtoull(at, &end, 10);
			if (end == at)
				break;
			frames += blocks ? 0 : n << o;
			*ret_blocks += blocks ? n : 0;
		}
	}
	free(text);
	return frames;
}

static void check_frames(struct stand *s)
{
	uint64_t blocks, present = 0;
	int n, t;

	for (n = 0; n < (int)hvo_machine_config(s->rig.m)->nr_nodes; n++)
		for (t = 0; t < HVO_NR_ZONES; t++)
			present += rig_zone(&s->rig, n, (enum hvo_zone_type)t).present;
	assert_int_equal(buddy_frames(s), rig_free(&s->rig));
	assert_int_equal(typed_frames(s, &blocks), rig_free(&s->rig));
	assert_int_equal(blocks, present / HVO_PAGEBLOCK_FRAMES);
}

static void counters(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 2048);
	hvo_pfn_t pfn[300];
	struct stand s;
	unsigned int i;

	cfg.nr_nodes = 2;
	cfg.movable_bytes = 256 * MIB;
	cfg.cma_bytes = 128 * MIB;
	stand_up(&s, &cfg, false);
	check_sums(&s);
	check_frames(&s);
	for (i = 0; i < 300; i++)
		pfn[i] = rig_alloc(&s.rig,
				   i % 3 == 0 ? HVO_GFP_KERNEL :
				   i % 3 == 1 ? HVO_GFP_USER :
						HVO_GFP_KERNEL | HVO_GFP_RECLAIMABLE,
				   i % 4);
	for (i = 0; i < 300; i += 2)
		rig_put(&s.rig, pfn[i]);
	assert_int_equal(put(&s, HUGE "nr_hugepages", "33"), 0);
	check_sums(&s);
	check_frames(&s);
	assert_int_equal(field(&s, "/proc/meminfo", "CmaTotal"), 256 << 10);
	assert_int_equal(field(&s, NODE "node0/numastat", "numa_hit") +
				 field(&s, NODE "node1/numastat", "numa_hit"),
			 300 + 33);
	for (i = 1; i < 300; i += 2)
		rig_put(&s.rig, pfn[i]);
	tear_down(&s);
}

static void test_counters_on_demand(void **state)
{
	(void)state;
	counters(HVO_ON_DEMAND);
}

static void test_counters_linux(void **state)
{
	(void)state;
	counters(HVO_LINUX);
}

static void test_numastat(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	hvo_pfn_t pfn[2];
	struct stand s;

	(void)state;
	cfg.nr_nodes = 2;
	stand_up(&s, &cfg, false);
	assert_int_equal(put(&s, NODE "node1/hugepages/hugepages-2048kB/nr_hugepages", "1000"), 0);
	assert_int_equal(hvo_alloc_pages(s.rig.m, HVO_GFP_KERNEL, 9, 1, &pfn[0]), 0);
	assert_true(pfn[0] < 128 * MIB / HVO_FRAME_SIZE);
	assert_int_equal(hvo_alloc_pages(s.rig.m, HVO_GFP_KERNEL, 0, 0, &pfn[1]), 0);
	assert_int_equal(field(&s, NODE "node0/numastat", "numa_miss"), 1);
	assert_int_equal(field(&s, NODE "node0/numastat", "other_node"), 1);
	assert_int_equal(field(&s, NODE "node0/numastat", "numa_hit"), 1);
	assert_int_equal(field(&s, NODE "node1/numastat", "numa_foreign"), 1);
	assert_int_equal(field(&s, NODE "node0/numastat", "numa_foreign"), 0);
	rig_put(&s.rig, pfn[0]);
	rig_put(&s.rig, pfn[1]);
	assert_file(&s, NODE "node0/distance", "10 20\n");
	assert_file(&s, NODE "online", "0-1\n");
	assert_file(&s, NODE "has_memory", "0-1\n");
	assert_file(&s, NODE "has_cpu", "\n");
	tear_down(&s);
}

/* ---- frames that fail --------------------------------------------------------------------------------- */

#define FAILURES NODE "node1/memory_failure/"

static void address(char *text, hvo_pfn_t pfn)
{
	(void)sprintf(text, "%#llx", (unsigned long long)pfn << 12);
}

/* What rasdaemon and mcelog write, and the kernel's answers. */
static void test_failures(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 512);
	struct hvo_failure_stat stat = { .size = sizeof(stat) };
	hvo_pfn_t used;
	char text[32];
	struct stand s;

	(void)state;
	cfg.nr_nodes = 2;
	cfg.hotplug_bytes = 256 * MIB;
	stand_up(&s, &cfg, false);
	/* Node 1 has the frames from 65536 on. */
	assert_int_equal(hvo_alloc_pages(s.rig.m, HVO_GFP_KERNEL, 0, 1, &used), 0);
	assert_int_equal(put(&s, MEMORY "soft_offline_page", "0x14000fff\n"), 0);
	assert_int_equal(field(&s, "/proc/meminfo", "HardwareCorrupted"), 4);
	assert_int_equal(put(&s, MEMORY "soft_offline_page", "0x14000000"), 0);
	assert_int_equal(field(&s, "/proc/meminfo", "HardwareCorrupted"), 4);
	assert_int_equal(put(&s, MEMORY "hard_offline_page", "0x14000000"), -EHWPOISON);
	assert_file(&s, FAILURES "total", "0\n");
	/* In use, and nobody can move it: soft is refused, hard is for later. */
	address(text, used);
	assert_int_equal(put(&s, MEMORY "soft_offline_page", text), -EBUSY);
	assert_int_equal(field(&s, "/proc/meminfo", "HardwareCorrupted"), 4);
	assert_int_equal(put(&s, MEMORY "hard_offline_page", text), 0);
	assert_file(&s, FAILURES "delayed", "1\n");
	assert_int_equal(put(&s, MEMORY "hard_offline_page", text), -EHWPOISON);
	rig_put(&s.rig, used);
	assert_int_equal(put(&s, MEMORY "hard_offline_page", "0x15000000"), 0);
	assert_file(&s, FAILURES "recovered", "1\n");
	assert_file(&s, FAILURES "total", "2\n");
	assert_file(&s, FAILURES "failed", "0\n");
	assert_file(&s, FAILURES "ignored", "0\n");
	assert_file(&s, NODE "node0/memory_failure/total", "0\n");
	assert_int_equal(hvo_failure_stat(s.rig.m, 1, &stat), 0);
	assert_int_equal(stat.total, 2);
	assert_int_equal(field(&s, "/proc/meminfo", "HardwareCorrupted"), 12);
	/* What is no frame, and what is none yet. */
	assert_int_equal(put(&s, MEMORY "soft_offline_page", "x"), -EINVAL);
	assert_int_equal(put(&s, MEMORY "hard_offline_page", "99999999999999999999"), -EINVAL);
	assert_int_equal(put(&s, MEMORY "soft_offline_page", "0x20000000"), -ENXIO);
	assert_int_equal(put(&s, MEMORY "hard_offline_page", "0x20000000"), -ENXIO);
	assert_int_equal(put(&s, MEMORY "probe", "0x20000000"), 0);
	assert_int_equal(put(&s, MEMORY "soft_offline_page", "0x20000000"), -EIO);
	assert_int_equal(put(&s, MEMORY "hard_offline_page", "0x20000000"), -ENXIO);
	/* And it can be turned off. */
	assert_file(&s, VM "enable_soft_offline", "1\n");
	assert_int_equal(put(&s, VM "enable_soft_offline", "2"), -EINVAL);
	assert_int_equal(put(&s, VM "enable_soft_offline", "-1"), -EINVAL);
	assert_int_equal(put(&s, VM "enable_soft_offline", "0\n"), 0);
	assert_file(&s, VM "enable_soft_offline", "0\n");
	assert_int_equal(put(&s, MEMORY "soft_offline_page", "0x16000000"), -EOPNOTSUPP);
	assert_int_equal(field(&s, "/proc/meminfo", "HardwareCorrupted"), 12);
	tear_down(&s);
}

/* ---- CMA, 1 GiB pages ---------------------------------------------------------------------------------- */

static void test_cma(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 512);
	hvo_pfn_t first, pfn;
	struct hvo_cma *cma;
	struct stand s;

	(void)state;
	cfg.cma_bytes = 256 * MIB;
	stand_up(&s, &cfg, false);
	assert_false(exists(&s, CMA));
	assert_int_equal(hvo_cma_create(s.rig.m, 0, 32768, &cma), 0);
	assert_true(exists(&s, CMA "cma0"));
	assert_false(exists(&s, CMA "cma1"));
	assert_ptr_equal(hvo_cma_get(s.rig.m, 0), cma);
	assert_null(hvo_cma_get(s.rig.m, 1));
	assert_file(&s, CMA "cma0/total_pages", "32768\n");
	assert_file(&s, CMA "cma0/available_pages", "32768\n");
	assert_int_equal(hvo_cma_alloc(cma, 1000, 0, &first), 0);
	assert_file(&s, CMA "cma0/available_pages", "31768\n");
	assert_file(&s, CMA "cma0/alloc_pages_success", "1000\n");
	assert_int_equal(hvo_cma_release(cma, first, 512), 0);
	assert_file(&s, CMA "cma0/release_pages_success", "512\n");
	assert_int_equal(hvo_cma_alloc(cma, 32769, 0, &pfn), -HVO_ENOMEM);
	assert_file(&s, CMA "cma0/alloc_pages_fail", "32769\n");
	assert_file(&s, CMA "cma0/alloc_pages_success", "1000\n");
	assert_file(&s, CMA "cma0/available_pages", "32280\n");
	assert_int_equal(field(&s, "/proc/vmstat", "cma_alloc_success"), 1);
	assert_int_equal(field(&s, "/proc/vmstat", "cma_alloc_fail"), 1);
	assert_int_equal(put(&s, CMA "cma0/total_pages", "1"), -EACCES);
	assert_int_equal(hvo_cma_release(cma, first + 512, 488), 0);
	tear_down(&s);
}

/* 1 GiB pages come from zone Movable if that is said, and only then. */
static void test_movable_gigantic(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 4096);
	struct stand s;

	(void)state;
	cfg.movable_bytes = 2048 * MIB;
	cfg.max_order = 10; /* as Linux has */
	stand_up(&s, &cfg, true);
	assert_file(&s, VM "movable_gigantic_pages", "0\n");
	assert_int_equal(put(&s, GIGA "nr_hugepages", "4"), 0);
	assert_file(&s, GIGA "nr_hugepages", "1\n");
	assert_int_equal(put(&s, VM "movable_gigantic_pages", "2"), 0);
	assert_true(hvo_movable_gigantic(s.rig.m));
	assert_int_equal(put(&s, GIGA "nr_hugepages", "4"), 0);
	assert_file(&s, GIGA "nr_hugepages", "3\n");
	assert_file(&s, VM "movable_gigantic_pages", "2\n");
	hvo_set_movable_gigantic(s.rig.m, false);
	assert_file(&s, VM "movable_gigantic_pages", "0\n");
	tear_down(&s);
}

/* ---- memory that comes and goes ----------------------------------------------------------------------- */

static int count_name(void *arg, const char *name, mode_t mode)
{
	(void)mode;
	if (!strncmp(name, "memory", 6) && isdigit((unsigned char)name[6]))
		++*(unsigned int *)arg;
	return 0;
}

static unsigned int nr_sections(struct stand *s, const char *dir)
{
	unsigned int nr = 0;

	assert_int_equal(tree_list(s->tree, dir, count_name, &nr), 0);
	return nr;
}

static void test_hotplug(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 512);
	uint64_t total;
	struct stand s;
	mode_t mode;

	(void)state;
	cfg.nr_nodes = 2;
	cfg.hotplug_bytes = 512 * MIB;
	stand_up(&s, &cfg, false);
	total = field(&s, "/proc/meminfo", "MemTotal");
	assert_int_equal(nr_sections(&s, MEMORY), 4);
	assert_int_equal(nr_sections(&s, NODE "node1"), 2);
	assert_false(exists(&s, MEMORY "memory6"));
	assert_false(exists(&s, MEMORY "memory6/state"));

	/* 0x30000000 is 768 MiB, section 6: in node 1's share of what can be added. */
	assert_int_equal(put(&s, MEMORY "probe", "0x30000001"), -EINVAL);
	assert_int_equal(put(&s, MEMORY "probe", "0x40000000"), -EINVAL);
	assert_int_equal(put(&s, MEMORY "probe", "x"), -EINVAL);
	assert_int_equal(put(&s, MEMORY "probe", "0x0"), -EEXIST);
	assert_int_equal(put(&s, MEMORY "probe", "0x30000000\n"), 0);
	assert_int_equal(put(&s, MEMORY "probe", "0x30000000"), -EEXIST);
	assert_int_equal(nr_sections(&s, MEMORY), 5);
	assert_file(&s, MEMORY "memory6/phys_index", "00000006\n");
	assert_file(&s, MEMORY "memory6/state", "offline\n");
	assert_file(&s, MEMORY "memory6/online", "0\n");
	assert_file(&s, MEMORY "memory6/valid_zones", "Normal Movable\n");
	assert_true(exists(&s, MEMORY "memory6/node1"));
	assert_false(exists(&s, MEMORY "memory6/node0"));
	assert_int_equal(tree_mode(s.tree, NODE "node1/memory6", &mode), 0);
	assert_true(S_ISLNK(mode));
	assert_file(&s, NODE "node1/memory6", "../../memory/memory6");
	assert_file(&s, MEMORY "memory6/node1", "../../node/node1");
	assert_int_equal(field(&s, "/proc/meminfo", "MemTotal"), total);

	assert_int_equal(put(&s, MEMORY "memory6/state", "offline"), -EINVAL);
	assert_int_equal(put(&s, MEMORY "memory6/state", "Online"), -EINVAL);
	assert_int_equal(put(&s, MEMORY "memory6/state", "online_movable\n"), 0);
	assert_int_equal(put(&s, MEMORY "memory6/state", "online"), -EINVAL);
	assert_int_equal(put(&s, MEMORY "memory6/online", "1"), 0); /* unlike state */
	assert_int_equal(put(&s, MEMORY "memory6/online", "2"), -EINVAL);
	assert_file(&s, MEMORY "memory6/valid_zones", "Movable\n");
	assert_int_equal(field(&s, "/proc/meminfo", "MemTotal"), total + (128 << 10));
	assert_int_equal(put(&s, "/sys/kernel/hvo/remove_memory", "0x30000000"), -EBUSY);
	assert_int_equal(put(&s, MEMORY "memory6/state", "offline\n"), 0);
	assert_int_equal(put(&s, "/sys/kernel/hvo/remove_memory", "0x30000000"), 0);
	assert_false(exists(&s, MEMORY "memory6"));
	assert_int_equal(put(&s, "/sys/kernel/hvo/remove_memory", "0x30000000"), -EBUSY);

	assert_file(&s, MEMORY "auto_online_blocks", "offline\n");
	assert_int_equal(put(&s, MEMORY "auto_online_blocks", "bad"), -EINVAL);
	assert_int_equal(put(&s, MEMORY "auto_online_blocks", "online_kernel"), 0);
	assert_file(&s, MEMORY "auto_online_blocks", "online_kernel\n");
	assert_int_equal(put(&s, MEMORY "probe", "0x30000000"), 0);
	assert_file(&s, MEMORY "memory6/valid_zones", "Normal\n");
	tear_down(&s);
}

/* What "online" is, where the kernel decides: Movable between movable sections, else Normal. */
static void test_default_zone(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 512);
	struct stand s;

	(void)state;
	cfg.hotplug_bytes = 640 * MIB;
	stand_up(&s, &cfg, false);
	assert_int_equal(put(&s, MEMORY "probe", "+0x20000000"), 0);
	assert_int_equal(put(&s, MEMORY "probe", "0x28000000"), 0);
	assert_int_equal(put(&s, MEMORY "probe", "0x30000000"), 0);
	assert_file(&s, MEMORY "memory5/valid_zones", "Normal Movable\n");
	assert_int_equal(put(&s, MEMORY "memory4/state", "online_movable"), 0);
	assert_file(&s, MEMORY "memory5/valid_zones", "Normal Movable\n");
	assert_int_equal(put(&s, MEMORY "memory6/state", "online_movable"), 0);
	assert_file(&s, MEMORY "memory5/valid_zones", "Movable Normal\n");
	assert_int_equal(put(&s, MEMORY "memory5/state", "online"), 0);
	assert_file(&s, MEMORY "memory5/valid_zones", "Movable\n");
	/* Between movable sections, and nevertheless between Normal ones too. */
	assert_int_equal(put(&s, MEMORY "memory5/state", "offline"), 0);
	assert_int_equal(put(&s, MEMORY "probe", "0x38000000"), 0);
	assert_int_equal(put(&s, MEMORY "memory7/state", "online_kernel"), 0);
	assert_file(&s, MEMORY "memory5/valid_zones", "Normal Movable\n");
	assert_int_equal(put(&s, MEMORY "memory5/online", "y"), 0);
	assert_file(&s, MEMORY "memory5/valid_zones", "Normal\n");
	/* What is added comes online by itself, by the same rule. */
	assert_int_equal(put(&s, MEMORY "auto_online_blocks", "online"), 0);
	assert_int_equal(put(&s, MEMORY "probe", "0x40000000"), 0);
	assert_file(&s, MEMORY "memory8/valid_zones", "Normal\n");
	/* Addresses that are none, and memory that is not there. */
	assert_int_equal(put(&s, MEMORY "probe", "0x20000000 x"), -EINVAL);
	assert_int_equal(put(&s, MEMORY "probe", "0x10000000000000000"), -ERANGE);
	assert_int_equal(put(&s, MEMORY "memory8/online", "oh"), -EINVAL);
	assert_int_equal(put(&s, MEMORY "memory8/online", "oFF"), 0);
	assert_file(&s, MEMORY "memory8/online", "0\n");
	assert_int_equal(put(&s, "/sys/kernel/hvo/remove_memory", "0x40000000"), 0);
	assert_int_equal(put(&s, "/sys/kernel/hvo/remove_memory", "0x40000000"), -EBUSY);
	assert_int_equal(put(&s, "/sys/kernel/hvo/remove_memory", "none"), -EINVAL);
	tear_down(&s);
}

/* What is promised to CMA areas is part of zone Normal, wherever the rest of that is. */
static void test_cma_is_normal(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 512);
	struct hvo_zone_stat normal, cma;
	uint64_t start, end;
	struct stand s;

	(void)state;
	cfg.cma_bytes = 128 * MIB;
	cfg.hotplug_bytes = 128 * MIB;
	stand_up(&s, &cfg, false);
	normal = rig_zone(&s.rig, 0, HVO_ZONE_NORMAL);
	cma = rig_zone(&s.rig, 0, HVO_ZONE_CMA);
	start = normal.start_pfn < cma.start_pfn ? normal.start_pfn : cma.start_pfn;
	end = normal.end_pfn > cma.end_pfn ? normal.end_pfn : cma.end_pfn;
	assert_int_equal(field(&s, "/proc/zoneinfo", "        spanned"), end - start);
	/* Around it, now. */
	assert_int_equal(put(&s, MEMORY "probe", "0x20000000"), 0);
	assert_int_equal(put(&s, MEMORY "memory4/state", "online_kernel"), 0);
	assert_int_equal(field(&s, "/proc/zoneinfo", "        spanned"),
			 640 * MIB / HVO_FRAME_SIZE);
	assert_int_equal(field(&s, "/proc/zoneinfo", "        cma"), 128 * MIB / HVO_FRAME_SIZE);
	tear_down(&s);
}

/* Where the descriptors of added memory lie: of all of it, and of one block. */
static void memmap_on_memory(enum hvo_mode mode)
{
	static const struct tree_options on = { .memmap_on_memory = true };
	struct hvo_config cfg = rig_config_aside(mode, 256);
	uint64_t frames;
	struct stand s;

	cfg.hotplug_bytes = 512 * MIB;
	stand_up(&s, &cfg, false);
	compare_shapes(&s, MODULE "memmap_on_memory", "N", true);
	assert_file(&s, MODULE "memmap_on_memory", "N\n");
	assert_int_equal(put(&s, MODULE "memmap_on_memory", "Y"), -EACCES);
	assert_false(exists(&s, FIRMWARE "memory1"));
	assert_file(&s, FIRMWARE "memory2/config", "0\n");
	assert_int_equal(put(&s, FIRMWARE "memory2/memmap_on_memory", "1"), -EOPNOTSUPP);
	assert_file(&s, FIRMWARE "memory2/memmap_on_memory", "0\n");
	frames = rig_free(&s.rig);
	assert_int_equal(put(&s, MEMORY "probe", "0x10000000"), 0);
	assert_true(rig_free(&s.rig) < frames);
	assert_file(&s, FIRMWARE "memory2/config", "1\n");
	tear_down(&s);

	stand_up(&s, &cfg, false);
	tree_free(s.tree);
	assert_int_equal(tree_new(s.rig.m, &on, &s.tree), 0);
	assert_file(&s, MODULE "memmap_on_memory", "Y\n");
	assert_file(&s, FIRMWARE "memory2/memmap_on_memory", "1\n");
	frames = rig_free(&s.rig);
	assert_int_equal(put(&s, MEMORY "probe", "0x10000000"), 0);
	assert_int_equal(rig_free(&s.rig), frames);
	assert_int_equal(put(&s, FIRMWARE "memory2/memmap_on_memory", "0"), -EBUSY);
	assert_int_equal(put(&s, FIRMWARE "memory2/config", "1"), 0); /* it is */
	/* One block may be otherwise. */
	assert_int_equal(put(&s, FIRMWARE "memory3/memmap_on_memory", "0\n"), 0);
	assert_int_equal(put(&s, FIRMWARE "memory3/config", "2"), -EINVAL);
	assert_int_equal(put(&s, FIRMWARE "memory3/config", "1\n"), 0);
	assert_true(rig_free(&s.rig) < frames);
	assert_file(&s, FIRMWARE "memory3/memmap_on_memory", "0\n");
	assert_file(&s, MEMORY "memory3/state", "offline\n");
	assert_int_equal(put(&s, MEMORY "memory3/state", "online_movable"), 0);
	assert_int_equal(put(&s, FIRMWARE "memory3/config", "0"), -EBUSY);
	assert_int_equal(put(&s, MEMORY "memory3/state", "offline"), 0);
	assert_int_equal(put(&s, FIRMWARE "memory3/config", "0"), 0);
	assert_int_equal(put(&s, FIRMWARE "memory3/config", "0"), 0);
	assert_false(exists(&s, MEMORY "memory3"));
	assert_int_equal(rig_free(&s.rig), frames);
	tear_down(&s);
}

static void test_memmap_on_memory(void **state)
{
	(void)state;
	memmap_on_memory(HVO_ON_DEMAND);
	memmap_on_memory(HVO_LINUX);
}

static void test_offline(void **state)
{
	struct hvo_config cfg = rig_config_aside(HVO_ON_DEMAND, 512);
	struct stand s;
	hvo_pfn_t pfn;

	(void)state;
	cfg.movable_bytes = 128 * MIB;
	cfg.cma_bytes = 128 * MIB;
	stand_up(&s, &cfg, false);
	assert_file(&s, MEMORY "memory0/valid_zones", "Normal\n");
	assert_file(&s, MEMORY "memory2/valid_zones", "Normal\n");
	assert_file(&s, MEMORY "memory3/valid_zones", "Movable\n");
	assert_int_equal(put(&s, MEMORY "memory0/state", "offline"), -EBUSY); /* descriptors */
	assert_int_equal(put(&s, MEMORY "memory2/state", "offline"), -EBUSY); /* for CMA */
	pfn = rig_alloc(&s.rig, HVO_GFP_USER, 0);
	assert_true(pfn >= 384 * MIB / HVO_FRAME_SIZE);
	assert_int_equal(put(&s, MEMORY "memory3/state", "offline"), -EBUSY);
	assert_file(&s, MEMORY "memory3/state", "online\n");
	rig_put(&s.rig, pfn);
	assert_int_equal(put(&s, MEMORY "memory3/online", "off"), 0);
	assert_file(&s, MEMORY "memory3/state", "offline\n");
	assert_int_equal(put(&s, MEMORY "memory3/state", "online"), 0);
	assert_file(&s, MEMORY "memory3/valid_zones", "Normal\n");
	tear_down(&s);
}

/* ---- the map, and the words of each frame ----------------------------------------------------------- */

static uint64_t count_map(struct stand *s, char c)
{
	char *text = content(s, "/sys/kernel/hvo/memory_map"), *save = NULL, *at, zone;
	uint64_t pfn, expected = 0, nr = 0;
	char map[80];
	int node;

	for (at = strtok_r(text, "\n", &save); at; at = strtok_r(NULL, "\n", &save)) {
		assert_int_equal(sscanf(at, "%" SCNu64 " %d %c %79s", &pfn, &node, &zone, map), 4);
		assert_true(pfn >= expected);
		assert_int_equal(strlen(map), 64);
		expected = pfn + HVO_SECTION_FRAMES;
		for (at = map; *at; at++)
			nr += *at == c;
	}
	free(text);
	return nr;
}

static void look_at_map(struct hvo_config cfg)
{
	hvo_pfn_t small, whole, used;
	int64_t reported;
	uint64_t cut;
	struct stand s;

	cfg.hotplug_bytes = 128 * MIB;
	stand_up(&s, &cfg, false);
	assert_int_equal(count_map(&s, '-'), 0);
	/* Some are set aside at the start where the first descriptors of pageblocks have frames. */
	assert_int_equal(count_map(&s, 'm') > 0, cfg.layout == HVO_LAYOUT_VIRTUAL);
	assert_int_equal(put(&s, MEMORY "probe", "0x20000000"), 0);
	assert_int_equal(count_map(&s, '-'), 64);
	assert_int_equal(put(&s, HUGE "nr_hugepages", "5"), 0);
	assert_int_equal(hvo_pool_alloc(s.pool, 0, 0, &used), 0);
	assert_int_equal(count_map(&s, 'h'), 4);
	assert_int_equal(count_map(&s, 'H'), 1);
	cut = count_map(&s, 'c'); /* where the descriptors of the section that was added lie */
	small = rig_alloc(&s.rig, HVO_GFP_USER, 0);
	whole = rig_alloc(&s.rig, HVO_GFP_USER, 10);
	assert_int_equal(count_map(&s, 'c'), cut + 1);
	assert_int_equal(count_map(&s, 'u'), 2);
	rig_put(&s.rig, small);
	assert_int_equal(count_map(&s, 'c'), cut);
	assert_int_equal(count_map(&s, 'e'), 1);
	assert_int_equal(hvo_collapse(s.rig.m, UINT64_MAX, NULL), 1);
	assert_int_equal(count_map(&s, 'e'), 0);
	rig_put(&s.rig, whole);
	assert_int_equal(hvo_pool_free(s.pool, used), 0);
	reported = hvo_report_free(s.rig.m, HVO_NODE_ANY, 9, UINT64_MAX, NULL);
	assert_true(reported > 0);
	assert_int_equal(count_map(&s, 'r'), reported / 512);
	assert_int_equal(number(&s, "/sys/kernel/hvo/reported_frames") / 512, count_map(&s, 'r'));
	/* The block at the end, which nobody has. */
	assert_int_equal(hvo_isolate_range(s.rig.m, 131072 - 512, 131072), 0);
	assert_int_equal(count_map(&s, 'i'), 1);
	assert_int_equal(hvo_unisolate_range(s.rig.m, 131072 - 512, 131072), 0);
	assert_int_equal(hvo_memory_failure(s.rig.m, 131072 - 512), 0);
	assert_int_equal(count_map(&s, 'x'), 1);
	assert_int_equal(field(&s, "/proc/meminfo", "HardwareCorrupted"), 4);
	tear_down(&s);
}

static void test_map(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 512);

	(void)state;
	cfg.layout = HVO_LAYOUT_TABLE;
	look_at_map(cfg);
	cfg.layout = HVO_LAYOUT_VIRTUAL;
	look_at_map(cfg);
}

static uint64_t count_flag(struct stand *s, uint64_t flag)
{
	uint64_t buf[512], nr = 0, offset = 0;
	ssize_t len = 1;
	size_t i;

	for (; len > 0; offset += (uint64_t)len) {
		len = tree_pread(s->tree, "/proc/kpageflags", buf, sizeof(buf), offset);
		assert_true(len >= 0);
		for (i = 0; i < (size_t)len / 8; i++)
			nr += (buf[i] & flag) != 0;
	}
	assert_int_equal(offset, hvo_machine_memmap(s->rig.m)->nr_frames * 8);
	return nr;
}

static void kpage(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 256);
	hvo_pfn_t small, used;
	uint64_t word;
	struct stand s;
	char *all;
	size_t len;

	cfg.hotplug_bytes = 128 * MIB;
	stand_up(&s, &cfg, false);
	assert_int_equal(put(&s, HUGE "nr_hugepages", "3"), 0);
	assert_int_equal(hvo_pool_alloc(s.pool, 0, 0, &used), 0);
	assert_int_equal(hvo_map_page(s.rig.m, used), 0);
	small = rig_alloc(&s.rig, HVO_GFP_KERNEL, 2);
	assert_int_equal(count_flag(&s, 1 << 17), 3 * 512);	       /* KPF_HUGE */
	assert_int_equal(count_flag(&s, 1 << 15), 3 + 1);	       /* KPF_COMPOUND_HEAD */
	assert_int_equal(count_flag(&s, 1 << 16), 3 * 511 + 3);	       /* KPF_COMPOUND_TAIL */
	assert_int_equal(count_flag(&s, 1 << 10), rig_free(&s.rig));   /* KPF_BUDDY */
	assert_int_equal(count_flag(&s, 1 << 20), HVO_SECTION_FRAMES); /* KPF_NOPAGE */
	assert_int_equal(count_flag(&s, 1 << 11), 512);		       /* KPF_MMAP */
	assert_int_equal(hvo_memory_failure(s.rig.m, used + 5), -HVO_EBUSY);
	assert_int_equal(count_flag(&s, 1 << 19), 1); /* KPF_HWPOISON */
	assert_int_equal(tree_pread(s.tree, "/proc/kpagecount", &word, 8, (used + 7) * 8), 8);
	assert_int_equal(word, 1);
	assert_int_equal(tree_pread(s.tree, "/proc/kpageflags", &word, 8, 4), -EINVAL);
	assert_int_equal(tree_pread(s.tree, "/proc/kpageflags", &word, 7, 0), -EINVAL);
	assert_int_equal(tree_pread(s.tree, "/proc/meminfo", &word, 8, 0), -EINVAL);
	assert_true(tree_is_large(s.tree, "/proc/kpageflags"));
	assert_false(tree_is_large(s.tree, "/proc/meminfo"));
	assert_int_equal(tree_read(s.tree, "/proc/kpageflags", &all, &len), 0);
	assert_int_equal(len, 384 * MIB / HVO_FRAME_SIZE * 8);
	free(all);
	assert_int_equal(hvo_unmap_page(s.rig.m, used), 0);
	assert_int_equal(hvo_pool_free(s.pool, used), 0);
	rig_put(&s.rig, small);
	tear_down(&s);
}

static void test_kpage(void **state)
{
	(void)state;
	kpage(HVO_ON_DEMAND);
	kpage(HVO_LINUX);
}

/* ---- the tree itself ------------------------------------------------------------------------------------ */

static int show_hello(void *arg, FILE *out)
{
	fprintf(out, "%s\n", (const char *)arg);
	return 0;
}

static int show_error(void *arg, FILE *out)
{
	(void)arg;
	fputs("half", out);
	return -ENODEV;
}

static int in_order(void *arg, const char *name, mode_t mode)
{
	char *last = arg;

	(void)mode;
	assert_true(strverscmp(last, name) < 0);
	strcpy(last, name);
	return !strcmp(name, "memory3") ? 77 : 0;
}

static void test_tree(void **state)
{
	static const struct tree_file hello = { .mode = 0444, .show = show_hello };
	static const struct tree_file broken = { .mode = 0444, .show = show_error };
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 512);
	char hi[] = "hi", last[256] = "", *text = hi;
	struct stand s;
	size_t len = 5;
	mode_t mode;

	(void)state;
	stand_up(&s, &cfg, false);
	assert_int_equal(tree_add(s.tree, "/sys/kernel/hvo/lend/clients", &hello, hi), 0);
	assert_int_equal(tree_add(s.tree, "/sys/kernel/hvo/lend/clients", &hello, hi), -EEXIST);
	assert_int_equal(tree_add(s.tree, "/sys/kernel/hvo/lend/clients/x", &hello, hi), -ENOTDIR);
	assert_int_equal(tree_add(s.tree, "/sys/kernel/hvo", &hello, hi), -EEXIST);
	assert_int_equal(tree_add(s.tree, "/", &hello, hi), -EEXIST);
	assert_int_equal(tree_add(s.tree, "/broken", &broken, NULL), 0);
	assert_file(&s, "/sys/kernel/hvo/lend/clients", "hi\n");
	assert_int_equal(tree_read(s.tree, "/broken", &text, &len), -ENODEV);
	assert_int_equal(tree_read(s.tree, "/sys", &text, &len), -EISDIR);
	assert_int_equal(tree_read(s.tree, "/nothing", &text, &len), -ENOENT);
	assert_int_equal(tree_read(s.tree, "/proc/meminfo/x", &text, &len), -ENOTDIR);
	assert_int_equal(tree_read(s.tree, VM "compact_memory", &text, &len), -EACCES);
	assert_ptr_equal(text, hi);
	assert_int_equal(len, 5);
	assert_int_equal(tree_write(s.tree, "/sys", "x", 1), -EISDIR);
	assert_int_equal(tree_mode(s.tree, "/", &mode), 0);
	assert_int_equal(mode, S_IFDIR | 0755);
	assert_int_equal(tree_mode(s.tree, "/sys/kernel/hvo/lend", &mode), 0);
	assert_int_equal(tree_list(s.tree, "/proc/meminfo", in_order, last), -ENOTDIR);
	assert_int_equal(tree_list(s.tree, "/sys/devices/system/memory", in_order, last), 77);
	assert_string_equal(last, "memory3");
	/* One write need not end in '\0'. */
	assert_int_equal(tree_write(s.tree, HUGE "nr_hugepages", "123", 1), 0);
	assert_file(&s, HUGE "nr_hugepages", "1\n");
	tear_down(&s);
}

/* Without pools there is nothing about them, as in a kernel without HugeTLB. */
static void test_no_pools(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	struct tree *tree;
	struct rig rig;
	char *text;
	size_t len;

	(void)state;
	rig_open(&rig, RIG_SIM, &cfg);
	assert_int_equal(tree_new(rig.m, NULL, &tree), 0);
	assert_int_equal(tree_read(tree, VM "nr_hugepages", &text, &len), -ENOENT);
	assert_int_equal(tree_read(tree, "/proc/meminfo", &text, &len), 0);
	assert_null(strstr(text, "HugePages_Total"));
	free(text);
	tree_free(tree);
	rig_close(&rig);
}

/* ---- what reading costs ------------------------------------------------------------- */

struct walk {
	struct tree *tree;
	const char *dir;
	unsigned int nr;      /* files that were read */
	unsigned int refused; /* those that said -ENODEV */
};

/* All below a directory, but the map, which asks for each block by itself. */
static int read_below(void *arg, const char *name, mode_t mode)
{
	struct walk *w = arg, below = { .tree = w->tree };
	char path[512], *text = NULL;
	size_t len;
	int rc;

	(void)snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	below.dir = path;
	if (!strcmp(name, "memory_map"))
		return 0;
	if (S_ISDIR(mode)) {
		rc = tree_list(w->tree, path, read_below, &below);
		w->nr += below.nr;
		w->refused += below.refused;
		return rc;
	}
	rc = tree_read(w->tree, path, &text, &len);
	free(text);
	w->nr += !rc;
	w->refused += rc == -ENODEV;
	return rc == -EACCES || rc == -ENODEV ? 0 : rc;
}

/* Of a machine that is gone a file says nothing: 0, an empty line, or that there is no such device. */
static void gone(enum hvo_mode mode)
{
	static const struct {
		const char *path, *text;
		int rc;
	} refused[] = {
		{ HUGE "nr_hugepages", "1", -ENODEV },
		{ HUGE "nr_overcommit_hugepages", "1", -ENODEV },
		{ GIGA "demote", "1", -ENODEV },
		{ GIGA "demote_size", "2M", -ENODEV },
		{ VM "nr_hugepages", "1", -ENODEV },
		{ VM "min_free_kbytes", "4096", -ENODEV },
		{ VM "compact_memory", "1", -ENODEV },
		{ NODE "node0/compact", "1", -ENODEV },
		{ MEMORY "probe", "0x40000000", -ENODEV },
		{ MEMORY "soft_offline_page", "0x1000", -ENXIO },
		{ MEMORY "hard_offline_page", "0x1000", -ENXIO },
		{ MEMORY "memory0/state", "offline", -ENOENT },
		{ "/sys/kernel/hvo/remove_memory", "0x8000000", -ENODEV },
		{ FIRMWARE "memory8/config", "1", -ENODEV },
	};
	struct hvo_config cfg = rig_config(mode, 1024);
	struct walk w = { .dir = "" };
	struct hvo_cma *cma;
	struct stand s;
	unsigned int i;
	int rc;

	cfg.cma_bytes = 128 * MIB;
	cfg.hotplug_bytes = 256 * MIB;
	stand_up(&s, &cfg, true);
	assert_int_equal(hvo_cma_create(s.rig.m, 0, 512, &cma), 0);
	w.tree = s.tree;
	assert_int_equal(tree_list(s.tree, "/", read_below, &w), 0);
	assert_int_equal(w.refused, 0);
	hvo_machine_abandon(s.rig.m);
	assert_int_equal(tree_list(s.tree, "/", read_below, &w), 0);
	/* At least: min_free_kbytes, and of kpageflags the record of what failed. */
	assert_true(w.refused >= 2);
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		rc = put(&s, refused[i].path, refused[i].text);
		if (rc != refused[i].rc)
			fail_msg("%s: %d", refused[i].path, rc);
	}
	if (mode == HVO_LINUX) {
		assert_int_equal(put(&s, HUGE "restore_policy", "carve"), -ENODEV);
		assert_int_equal(put(&s, HUGE "fold_scope", "normal"), -ENODEV);
	}
	assert_file(&s, HUGE "nr_hugepages", "0\n");
	assert_file(&s, NODE "has_memory", "\n");
	assert_int_equal(field(&s, "/proc/meminfo", "MemTotal"), 0);
	assert_false(exists(&s, MEMORY "memory0"));
	assert_false(exists(&s, NODE "node0/memory0"));
	assert_false(exists(&s, CMA "cma0"));
	tree_free(s.tree);
	rig_close(&s.rig);
}

static void test_gone(void **state)
{
	(void)state;
	gone(HVO_ON_DEMAND);
	gone(HVO_LINUX);
}

#define NR_CUT 400u

/* What a zone is asked for does not grow with it: nothing that is read looks at its blocks. */
static void no_block_visited(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 1024);
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first, end;
	struct walk w = { .dir = "" };
	hvo_pfn_t pfn[NR_CUT];
	struct stand s;
	unsigned int i;
	int status;
	pid_t pid;

	stand_up(&s, &cfg, false);
	/* Cut blocks all over it: the largest small ones fill a block in pairs at most. */
	for (i = 0; i < NR_CUT; i++)
		pfn[i] = rig_alloc(&s.rig, HVO_GFP_KERNEL, HVO_PAGEBLOCK_ORDER - 1);
	first = ((uintptr_t)s.rig.m->pageblocks + page - 1) / page * page;
	end = (uintptr_t)(s.rig.m->pageblocks + (s.rig.m->mm.nr_frames >> HVO_PAGEBLOCK_ORDER)) /
	      page * page;
	assert_true(end > first);
	w.tree = s.tree;
	pid = fork();
	if (!pid) {
		if (mprotect((void *)first, end - first, PROT_NONE))
			_exit(1);
		_exit(tree_list(s.tree, "/", read_below, &w) || w.nr < 100 || w.refused ? 2 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	for (i = 0; i < NR_CUT; i++)
		rig_put(&s.rig, pfn[i]);
	tear_down(&s);
}

static void test_no_block_visited(void **state)
{
	(void)state;
	no_block_visited(HVO_ON_DEMAND);
	no_block_visited(HVO_LINUX);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_form_of_keys),
		cmocka_unit_test(test_form_of_tables),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_min_free),
		cmocka_unit_test(test_switch),
		cmocka_unit_test(test_pool),
		cmocka_unit_test(test_demote),
		cmocka_unit_test(test_policy),
		cmocka_unit_test(test_scope),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_counters_on_demand),
		cmocka_unit_test(test_counters_linux),
		cmocka_unit_test(test_numastat),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_cma),
		cmocka_unit_test(test_movable_gigantic),
		cmocka_unit_test(test_hotplug),
		cmocka_unit_test(test_default_zone),
		cmocka_unit_test(test_cma_is_normal),
		cmocka_unit_test(test_memmap_on_memory),
		cmocka_unit_test(test_offline),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_kpage),
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_no_pools),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_no_block_visited),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
