/* SPDX-License-Identifier: MIT */
/*
 * hvo top: what it reads from trees of plain files, from this host, from a demo's machine and
 * from one that is served; what it prints; and what it shows on a terminal (terminal.c).
 */
#include "command.h"
#include "files.h"
#include "terminal.h"

#include "cli/top/top.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NODE_DIR "sys/devices/system/node"
#define POOL_DIR "sys/kernel/mm/hugepages/hugepages-"
#define BLOCKS_DIR "sys/devices/system/memory"

#define MIB (UINT64_C(1) << 20)

/* ---- trees of plain files ------------------------------------------------------------ */

static void put_pool(const char *size, unsigned int total, unsigned int free, unsigned int surplus)
{
	static const char *const where[] = { "sys/kernel/mm", NODE_DIR "/node0" };
	char text[16];
	unsigned int i;

	for (i = 0; i < 2; i++) {
		(void)snprintf(text, sizeof(text), "%u\n", total);
		put(text, "%s/hugepages/hugepages-%s/nr_hugepages", where[i], size);
		(void)snprintf(text, sizeof(text), "%u\n", free);
		put(text, "%s/hugepages/hugepages-%s/free_hugepages", where[i], size);
		(void)snprintf(text, sizeof(text), "%u\n", surplus);
		put(text, "%s/hugepages/hugepages-%s/surplus_hugepages", where[i], size);
	}
	put("3\n", POOL_DIR "%s/resv_hugepages", size);
	put("0\n", POOL_DIR "%s/nr_overcommit_hugepages", size);
}

static const char zoneinfo[] =
	"Node 0, zone      DMA\n  per-node stats\n      nr_inactive_anon 1167381\n"
	"      nr_free_cma  7\n  pages free     3840\n        boost    0\n        min      11\n"
	"        low      14\n        high     17\n        promo    20\n        spanned  4095\n"
	"        present  3998\n        managed  3840\n        cma      0\n"
	"        protection: (0, 3018, 22272, 22272)\n      nr_free_pages 3840\n  pagesets\n"
	"    cpu: 0\n              count:    0\n              high:     14\n"
	"              high_min: 0\n  start_pfn:           1\n"
	"Node 0, zone   Normal\n  pages free     100000\n        boost    0\n"
	"        min      1000\n        low      200000\n        high     300000\n"
	"        spanned  2000000\n        present  1900000\n        managed  1800000\n"
	"        cma      512\n        protection: (0, 0)\n"
	"Node 0, zone  Movable\n  pages free     0\n        boost    0\n        min      32\n"
	"        low      32\n        high     32\n        spanned  0\n        present  0\n"
	"        managed  0\n        cma      0\n        protection: (0, 0)\n";

/* One node, 32 memory blocks, one of them offline and one going. */
static void put_host(void)
{
	unsigned int i;

	put("MemTotal:  4194304 kB\nMemFree:  1048576 kB\nMemAvailable:  2097152 kB\n"
	    "Hugepagesize:       2048 kB\n",
	    "proc/meminfo");
	put(zoneinfo, "proc/zoneinfo");
	put("Node 0, zone      DMA      0      0      1\n"
	    "Node 0, zone   Normal     70     60     50     40     30     20     10 8 7 6 123456\n",
	    "proc/buddyinfo");
	put("nr_memmap_pages 24\nnr_memmap_boot_pages 16000\nhtlb_buddy_alloc_success 77\n"
	    "oom_kill 2\nsomething_else 5\n",
	    "proc/vmstat");
	put("6.99.0-test\n", "proc/sys/kernel/osrelease");
	put("1\n", "proc/sys/vm/hugetlb_optimize_vmemmap");
	put_pool("2048kB", 50, 40, 39);
	put_pool("1048576kB", 0, 0, 0);
	put("8000000\n", BLOCKS_DIR "/block_size_bytes");
	for (i = 0; i < 32; i++) {
		put(i == 20 ? "offline\n" :
		    i == 21 ? "going-offline\n" :
			      "online\n",
		    BLOCKS_DIR "/memory%u/state", i);
		put(i < 2  ? "DMA32\n" :
		    i == 2 ? "none\n" :
		    i > 29 ? "Movable\n" :
			     "Normal\n",
		    BLOCKS_DIR "/memory%u/valid_zones", i);
		put("", NODE_DIR "/node0/memory%u/state", i);
	}
}

/* And what a machine of libhvo has besides. */
static void put_machine(void)
{
	put_host();
	put("linux\n", "sys/kernel/hvo/mode");
	put("12\n", "sys/kernel/hvo/cuts");
	put("5\n", "sys/kernel/hvo/carved_blocks");
	put("alloc_failed 4\ncut 12\nfree_refused 9\n", "sys/kernel/hvo/events");
	put("0 0 N mmuuHHhhcceerrxxii--............................................\n"
	    "32768 0 N HHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHHH\n"
	    "65536 1 M hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh\n",
	    "sys/kernel/hvo/memory_map");
	put("48\n", POOL_DIR "2048kB/folded_hugepages");
	put("0\n", POOL_DIR "2048kB/poisoned_hugepages");
	put("0\n", POOL_DIR "2048kB/deferred_hugepages");
	put("9\n", POOL_DIR "2048kB/refused_frees");
	put("0\n", POOL_DIR "2048kB/carved_frames");
	put("mayfail [carve-heal] retry\n", POOL_DIR "2048kB/restore_policy");
}

static struct top_model *read_dir(void)
{
	const struct top_source source = { .dir = dir };
	struct top_model *m = NULL;

	assert_int_equal(top_read_source(&source, &m), 0);
	return m;
}

static int try_dir(void)
{
	const struct top_source source = { .dir = dir };
	struct top_model *m = NULL;
	int rc = top_read_source(&source, &m);

	top_free(m);
	return rc;
}

static uint64_t counter(const struct top_model *m, const char *name)
{
	size_t i;

	for (i = 0; i < m->nr_counters; i++)
		if (!strcmp(m->counter[i].name, name))
			return m->counter[i].value;
	return UINT64_MAX;
}

/* ---- the model --------------------------------------------------------------------------- */

static void test_model_host(void **state)
{
	struct top_model *m;

	(void)state;
	put_host();
	m = read_dir();
	assert_string_equal(m->release, "6.99.0-test");
	assert_string_equal(m->mode, "");
	assert_int_equal(m->memory.total, 4096 * MIB);
	assert_int_equal(m->memory.available, 2048 * MIB);
	/* The zone without memory is left out. */
	assert_int_equal(m->nr_zones, 2);
	assert_string_equal(m->zone[0].name, "DMA");
	assert_int_equal(m->zone[0].high, 17);
	assert_int_equal(m->zone[0].cma, 0);
	assert_int_equal(m->zone[0].nr_orders, 3);
	assert_int_equal(m->zone[1].free, 100000);
	assert_int_equal(m->zone[1].min, 1000);
	assert_int_equal(m->zone[1].low, 200000);
	assert_int_equal(m->zone[1].managed, 1800000);
	assert_int_equal(m->zone[1].cma, 512);
	assert_int_equal(m->zone[1].nr_orders, 11);
	assert_int_equal(m->zone[1].nr_free[10], 123456);
	assert_int_equal(m->pools.nr, 2);
	assert_int_equal(m->pools.pool[0].all.total, 50);
	assert_true(m->memmap.on);
	assert_int_equal(m->map.kind, TOP_MAP_BLOCKS);
	assert_int_equal(m->map.nr_runs, 1);
	assert_int_equal(m->map.run[0].node, 0);
	assert_int_equal(m->map.cell_pages, 32768);
	assert_memory_equal(m->map.run[0].cells, "DDONNNNNNNNNNNNNNNNN-~NNNNNNNNMM", 32);
	assert_int_equal(m->map.count['N'], 25);
	assert_int_equal(counter(m, "htlb_buddy_alloc_success"), 77);
	assert_int_equal(counter(m, "something_else"), UINT64_MAX);
	top_free(m);
}

static void test_model_machine(void **state)
{
	struct top_model *m;

	(void)state;
	put_machine();
	m = read_dir();
	assert_string_equal(m->mode, "linux");
	assert_int_equal(m->map.kind, TOP_MAP_FRAMES);
	assert_int_equal(m->map.nr_cells, 192);
	/* Two sections that are neighbours, and one of another node. */
	assert_int_equal(m->map.nr_runs, 2);
	assert_int_equal(m->map.run[0].nr, 128);
	assert_int_equal(m->map.run[1].pfn, 65536);
	assert_int_equal(m->map.run[1].node, 1);
	assert_string_equal(m->map.run[1].zone, "Movable");
	assert_int_equal(m->map.count['H'], 66);
	assert_int_equal(m->map.count['h'], 66);
	assert_int_equal(m->map.count['-'], 2);
	assert_int_equal(counter(m, "cuts"), 12);
	/* The same under another name. */
	assert_int_equal(counter(m, "cut"), UINT64_MAX);
	assert_int_equal(counter(m, "free_refused"), 9);
	assert_string_equal(m->pools.pool[0].served.policy, "carve-heal");
	top_free(m);
}

/* Nothing is there but what tells that this is a machine at all. */
static void test_model_missing(void **state)
{
	struct top_model *m;

	(void)state;
	assert_int_equal(try_dir(), -ENOENT);
	put("MemTotal: 1024 kB\nMemFree: 512 kB\n", "proc/meminfo");
	m = read_dir();
	assert_true(m->has_memory);
	assert_int_equal(m->memory.available, 512 * 1024);
	assert_int_equal(m->nr_zones, 0);
	assert_int_equal(m->pools.nr, 0);
	assert_int_equal(m->map.kind, TOP_MAP_NONE);
	assert_int_equal(m->nr_counters, 0);
	assert_false(m->memmap.has_now);
	top_free(m);
	/* A kernel without NUMA: its blocks are of no node. */
	put("8000000\n", BLOCKS_DIR "/block_size_bytes");
	put("online\n", BLOCKS_DIR "/memory3/state");
	m = read_dir();
	assert_int_equal(m->map.nr_runs, 1);
	assert_int_equal(m->map.run[0].node, -1);
	assert_int_equal(m->map.run[0].pfn, 3 * 32768);
	assert_memory_equal(m->map.run[0].cells, "O", 1);
	top_free(m);
}

/* Pools alone are enough; free lists without zoneinfo, too. */
static void test_model_parts(void **state)
{
	struct top_model *m;

	(void)state;
	put_pool("2048kB", 8, 8, 0);
	put("Node 3, zone   Normal 1 2 3\n", "proc/buddyinfo");
	m = read_dir();
	assert_false(m->has_memory);
	assert_int_equal(m->pools.nr, 1);
	assert_int_equal(m->nr_zones, 1);
	assert_int_equal(m->zone[0].node, 3);
	assert_false(m->zone[0].has_info);
	assert_int_equal(m->zone[0].nr_orders, 3);
	top_free(m);
}

static void test_model_garbage(void **state)
{
	static const char *const garbage[] = {
		"",
		"\n\n\n",
		"-1\n",
		"Node\n",
		"Node -5, zone Normal\n  pages free 3\n",
		"Node 0, zone \033[31m\n pages free x\nNode 99999999999999999999, zone N 1 2\n",
		"\377\376 %s %n\n",
		"0 0 N\n1 1 \n x y z\n-1 -1 - --\n5 -7 N ....\n7 0 N ..\033..\n",
		"Node 0, zone Normal 99999999999999999999999 -3 x\n",
		"184467440737095516150 0 N ....\n",
	};
	static const char *const files[] = {
		"proc/zoneinfo",
		"proc/buddyinfo",
		"proc/vmstat",
		"proc/sys/kernel/osrelease",
		"proc/sys/vm/hugetlb_optimize_vmemmap",
		"sys/kernel/hvo/mode",
		"sys/kernel/hvo/cuts",
		"sys/kernel/hvo/events",
		"sys/kernel/hvo/memory_map",
		BLOCKS_DIR "/block_size_bytes",
		BLOCKS_DIR "/memory4/state",
		BLOCKS_DIR "/memory4/valid_zones",
		POOL_DIR "2048kB/nr_hugepages",
		POOL_DIR "2048kB/restore_policy",
	};
	const struct top_source source = { .dir = dir };
	struct top_view v = { .source = &source, .width = 80, .zoom = 1 };
	struct top_line line;
	struct top_model *m;
	size_t i, k, row;
	int p;

	(void)state;
	put_machine();
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		for (k = 0; k < sizeof(garbage) / sizeof(garbage[0]); k++) {
			put(garbage[k], "%s", files[i]);
			m = read_dir();
			v.now = m;
			for (p = 0; p < TOP_NR_PANELS; p++) {
				for (row = 0; row < top_rows(&v, (enum top_panel)p); row++) {
					top_row(&v, (enum top_panel)p, row, &line);
					assert_in_range(line.len, 1, 80);
				}
			}
			top_free(m);
		}
		put_machine();
	}
	/* What makes sense beside it is read. */
	put("garbage\n0 0 N ....\n\n4096 x\n2048 0 N uu\n", "sys/kernel/hvo/memory_map");
	m = read_dir();
	assert_int_equal(m->map.nr_runs, 1);
	assert_memory_equal(m->map.run[0].cells, "....uu", 6);
	top_free(m);
}

/* 1 TiB. */
#define MANY 8192u

static void test_model_many(void **state)
{
	const struct top_source source = { .dir = dir };
	struct top_view v = { .source = &source, .width = 80, .zoom = 1 };
	size_t len = MANY * (size_t)96, at = 0;
	char *text = malloc(len);
	struct top_model *m;
	struct top_line line;
	unsigned int i;

	(void)state;
	assert_non_null(text);
	for (i = 0; i < MANY; i++)
		at += (size_t)snprintf(text + at, len - at, "%u %u N %c%063d\n", i * 32768,
				       i / 4096, i % 2 ? 'x' : 'y', 0);
	put_machine();
	put(text, "sys/kernel/hvo/memory_map");
	free(text);
	m = read_dir();
	assert_int_equal(m->map.nr_runs, 2);
	assert_int_equal(m->map.nr_cells, MANY * 64);
	assert_int_equal(m->map.count['x'], MANY / 2);
	v.now = m;
	assert_int_equal(top_rows(&v, TOP_MAP), MANY);
	top_row(&v, TOP_MAP, MANY - 1, &line);
	assert_non_null(strstr(line.text, " 1 N 1048448M x000"));
	/* Each letter for 64 cells: one line for 64 sections; 0 is what most are. */
	v.zoom = 64;
	assert_int_equal(top_rows(&v, TOP_MAP), MANY / 64);
	top_row(&v, TOP_MAP, 0, &line);
	assert_null(strchr(line.text + 14, 'x'));
	/* A narrow one needs more lines, one of two sections fewer. */
	v.zoom = 1;
	v.width = 40;
	assert_int_equal(top_rows(&v, TOP_MAP), MANY * 4);
	v.width = 150;
	assert_int_equal(top_rows(&v, TOP_MAP), MANY / 2);
	top_free(m);
}

/* Whatever this host is, it has memory. */
static void test_model_this_host(void **state)
{
	const struct top_source source = { .dir = "/" };
	struct top_model *m = NULL;
	uint64_t managed = 0;
	size_t i;

	(void)state;
	assert_int_equal(top_read_source(&source, &m), 0);
	assert_true(m->has_memory);
	assert_true(m->memory.free <= m->memory.total);
	assert_true(m->nr_zones > 0);
	for (i = 0; i < m->nr_zones; i++)
		managed += m->zone[i].managed;
	assert_true(managed > 0);
	assert_true(m->nr_counters > 0);
	top_free(m);
}

/* ---- sharing the lines ------------------------------------------------------------------------ */

static void test_layout(void **state)
{
	static const size_t heads[TOP_NR_PANELS] = { 1, 1, 1, 3, 1 };
	static const size_t want[TOP_NR_PANELS] = { 4, 3, 4, 100, 10 };
	static const size_t fewer[TOP_NR_PANELS] = { 4, 0, 0, 0, 0 };
	int height[TOP_NR_PANELS], lines, p, sum;

	(void)state;
	for (lines = 0; lines < 150; lines++) {
		top_layout(lines, want, heads, height);
		for (p = 0, sum = 0; p < TOP_NR_PANELS; p++) {
			assert_true(!height[p] || (size_t)height[p] > heads[p]);
			assert_true((size_t)height[p] <= want[p]);
			sum += height[p];
		}
		/* Nothing is wasted, once all are there. */
		assert_true(sum <= lines);
		if (lines >= 12)
			assert_int_equal(sum, lines < 121 ? lines : 121);
	}
	top_layout(50, fewer, heads, height);
	assert_int_equal(height[TOP_ZONES], 4);
	assert_int_equal(height[TOP_MAP], 0);
}

/* ---- printed -------------------------------------------------------------------------------------- */

static void test_nonsense(void **state)
{
	static const char *const args[] = {
		"nonsense",	      "--interval 0",
		"--interval 0.01",    "--interval -1",
		"--interval 1e3",     "--interval 1.2.3",
		"--interval .",	      "--interval nan",
		"--interval 3601",    "--interval ''",
		"--root / --demo",    "--memory 1G",
		"--seed 1 --once",    "--demo --memory 100M",
		"--demo --memory 0",  "--demo --nodes 0",
		"--demo --mode moon", "--demo --platform moon",
		"--demo --seed x",    "--json=1",
	};
	char line[128];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(args) / sizeof(args[0]); i++) {
		(void)snprintf(line, sizeof(line), "top %s", args[i]);
		check_error(2, "", line);
	}
	check_error(1, "--once", "top </dev/null");
}

static void test_nothing_there(void **state)
{
	char line[128];

	(void)state;
	check_error(1, "No such file", "top --once --root /nonexistent");
	check_error(1, "hvo serve", "top --json --root /nonexistent");
	(void)snprintf(line, sizeof(line), "top --once --root %s", dir);
	check_error(1, dir, line);
}

static void test_once(void **state)
{
	char *out;
	int status;

	(void)state;
	put_host();
	out = run(&status, "top --once --root %s", dir);
	assert_int_equal(status, 0);
	check_shape(out);
	assert_non_null(strstr(out, "kernel at "));
	assert_non_null(strstr(out, "75% used: 1.00G free of 4.00G, 2.00G available"));
	assert_non_null(strstr(out, "HVO on"));
	/* Between min and low. */
	assert_non_null(strstr(out, "  391M  6.87G  3.91M   781M  1.14G <low"));
	assert_non_null(strstr(out, " 2M            50     10     40      3     39"));
	assert_non_null(strstr(out, "123k"));
	assert_non_null(strstr(out, "DDONNNNNNNNNNNNNNNNN-~NNNNNNNNMM"));
	assert_non_null(strstr(out, "M online, Movable 256M"));
	assert_non_null(strstr(out, "htlb_buddy_alloc_success     77"));
	assert_null(strstr(out, "something_else"));
	free(out);
}

static void test_once_machine(void **state)
{
	char *out;
	int status;

	(void)state;
	put_machine();
	out = run(&status, "top --once --root %s", dir);
	assert_int_equal(status, 0);
	check_shape(out);
	assert_non_null(strstr(out, "machine at "));
	assert_non_null(strstr(out, "mode linux"));
	assert_non_null(strstr(out, "carve-heal"));
	assert_non_null(strstr(out, " 0 N       0M mmuuHHhhcceerrxxii--...."));
	assert_non_null(strstr(out, " 1 M     256M hhhh"));
	assert_non_null(strstr(out, "e cut, empty 4.00M"));
	assert_non_null(strstr(out, "free_refused                  9"));
	free(out);
}

/* What is not there is left out, not shown as 0. */
static void test_once_little(void **state)
{
	char *out;
	int status;

	(void)state;
	put("MemTotal: 1024 kB\nMemFree: 512 kB\n", "proc/meminfo");
	out = run(&status, "top --once --root %s", dir);
	assert_int_equal(status, 0);
	assert_non_null(strstr(out, "50% used: 512K free of 1.00M"));
	assert_non_null(strstr(out, "unknown; no HVO"));
	assert_int_equal(lines(out), TOP_HEADER_LINES);
	free(out);
}

static void test_json(void **state)
{
	char args[128];
	json_t *j;

	(void)state;
	put_machine();
	(void)snprintf(args, sizeof(args), "top --root %s", dir);
	j = run_json(0, args);
	check_text(j, "source", "machine");
	check_text(j, "root", dir);
	check_text(j, "mode", "linux");
	check_text(j, "release", "6.99.0-test");
	check_number(j, "memory/available_bytes", 2048 * MIB);
	check_number(j, "hvo/descriptor_bytes", 16024 * 4096);
	check_number(j, "hvo/descriptor_bytes_full", 64 * MIB);
	check_number(j, "zones/1/low_bytes", UINT64_C(200000) * 4096);
	check_number(j, "zones/1/free_blocks/10", 123456);
	check_number(j, "pools/0/surplus", 39);
	check_number(j, "pools/0/served/refused_frees", 9);
	check_text(j, "map/kind", "frames");
	check_number(j, "map/cell_bytes", 2 * MIB);
	check_number(j, "map/cells/H", 66);
	check_number(j, "map/runs/1/start_bytes", 256 * MIB);
	assert_int_equal(strlen(json_string_value(at(j, "map/runs/0/cells"))), 128);
	check_number(j, "events/carved_blocks", 5);
	json_decref(j);
	/* The least there can be. */
	remove_dir(NULL);
	put("MemTotal: 1024 kB\nMemFree: 512 kB\n", "proc/meminfo");
	j = run_json(0, args);
	check_text(j, "source", "tree");
	assert_true(json_is_null(at(j, "mode")));
	assert_true(json_is_null(at(j, "map")));
	assert_int_equal(json_array_size(at(j, "zones")), 0);
	json_decref(j);
	j = run_json(0, "top");
	check_text(j, "source", "host");
	assert_true(number(j, "memory/total_bytes") > 0);
	json_decref(j);
}

/* A simulation is the same each time; something has happened in it. */
static void test_demo(void **state)
{
	static const char *const args[] = {
		"top --demo --platform sim --memory 256M --nodes 1 --seed 5",
		"top --demo --mode linux --memory 512M",
		"top --demo --platform sim --mode linux --memory 512M --nodes 2",
		"top --demo --memory 4G --nodes 4",
	};
	json_t *j, *again;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(args) / sizeof(args[0]); i++) {
		j = run_json(0, args[i]);
		check_text(j, "source", "demo");
		assert_true(json_is_null(at(j, "root")));
		check_text(j, "map/kind", "frames");
		assert_true(number(j, "map/cells/c") > 0);
		assert_true(number(j, "pools/0/total") > 0);
		assert_true(number(j, "memory/free_bytes") < number(j, "memory/total_bytes"));
		assert_true(number(j, "events/restored") > 0);
		if (strstr(args[i], "sim")) {
			again = run_json(0, args[i]);
			assert_true(json_equal(j, again));
			json_decref(again);
		}
		json_decref(j);
	}
}

static int count_name(void *arg, const char *name)
{
	(void)name;
	++*(unsigned int *)arg;
	return 0;
}

/* A machine of this process through the same calls as files. */
static void test_root_of_tree(void **state)
{
	const struct demo_options opt = {
		.memory_bytes = 256 * MIB, .seed = 1, .nr_nodes = 2, .sim = true
	};
	struct demo *demo = NULL;
	unsigned int names = 0;
	struct root root;
	uint64_t n = 77;

	(void)state;
	assert_int_equal(demo_open(&opt, &demo), 0);
	root_of_tree(&root, demo_tree(demo));
	assert_int_equal(root_write(&root, "12", POOL_DIR "%dkB/nr_hugepages", 2048), 0);
	assert_int_equal(root_number(&root, &n, POOL_DIR "%dkB/free_hugepages", 2048), 0);
	assert_int_equal(n, 12);
	assert_int_equal(root_write(&root, "x", POOL_DIR "2048kB/nr_hugepages"), -EINVAL);
	assert_int_equal(root_write(&root, "1", POOL_DIR "2048kB/free_hugepages"), -EACCES);
	assert_int_equal(root_number(&root, &n, "proc/nothing"), -ENOENT);
	assert_int_equal(n, 12);
	assert_int_equal(root_list(&root, "node", count_name, &names, NODE_DIR), 0);
	assert_int_equal(names, 2);
	root_close(&root);
	demo_close(demo);
}

/* ---- the reader's thread -------------------------------------------------------------------- */

static void wait_for_answer(struct reader *r, struct top_model **m, int *error)
{
	fd_set set;

	do {
		FD_ZERO(&set);
		FD_SET(reader_fd(r), &set);
		assert_true(select(reader_fd(r) + 1, &set, NULL, NULL, NULL) == 1);
	} while (!reader_answer(r, m, error));
}

static atomic_bool changing;

/* Files that change while they are read. */
static void *change(void *arg)
{
	unsigned int i;

	(void)arg;
	for (i = 0; atomic_load(&changing); i++) {
		put_pool("2048kB", i % 50, i % 40, i % 30);
		put(i % 2 ? "0 0 N ....\n" : "0 0 N uu\n2048 1 N HH\n",
		    "sys/kernel/hvo/memory_map");
	}
	return NULL;
}

static void test_reader_threads(void **state)
{
	const struct top_source source = { .dir = dir };
	struct reader *r = NULL;
	struct top_model *m;
	pthread_t thread;
	unsigned int i;
	int error;

	(void)state;
	put_machine();
	assert_int_equal(reader_start(&source, &r), 0);
	assert_false(reader_answer(r, &m, &error));
	atomic_store(&changing, true);
	assert_int_equal(pthread_create(&thread, NULL, change, NULL), 0);
	for (i = 0; i < 50; i++) {
		m = NULL;
		reader_ask(r);
		reader_ask(r);
		wait_for_answer(r, &m, &error);
		assert_int_equal(error, 0);
		assert_true(m->has_memory);
		top_free(m);
	}
	atomic_store(&changing, false);
	assert_int_equal(pthread_join(thread, NULL), 0);
	remove_dir(NULL);
	reader_ask(r);
	wait_for_answer(r, &m, &error);
	assert_int_equal(error, -ENOENT);
	/* One that nobody takes. */
	put_host();
	reader_ask(r);
	assert_true(reader_stop(r));
}

/* ---- on a terminal ------------------------------------------------------------------------------ */

static void open_dir(struct term *t, const char *name, int columns, int height, const char *more)
{
	char args[256];

	(void)snprintf(args, sizeof(args), "top --root %s %s", dir, more);
	term_open(t, name, columns, height, args);
}

static void check_end(struct term *t)
{
	int status = term_end(t);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_keys(void **state)
{
	struct term t;

	(void)state;
	put_machine();
	open_dir(&t, "xterm", 80, 24, "");
	term_wait(&t, "q quit", true);
	assert_true(term_shows(&t, "machine at "));
	assert_true(term_shows(&t, "every 2 s"));
	assert_true(term_shows(&t, "1 zones"));
	assert_true(term_shows(&t, "2 pools"));
	assert_true(term_shows(&t, "3 free lists"));
	assert_true(term_shows(&t, "4 memory map: a letter is 2.00M"));
	assert_true(term_shows(&t, "mmuuHHhhcceerrxxii--...."));
	assert_true(term_shows(&t, "5 events"));
	assert_true(t.alternate && t.hidden);
	assert_true(t.colours > 0);
	term_keys(&t, "h");
	term_wait(&t, "any key: back", true);
	assert_false(term_shows(&t, "1 zones"));
	term_keys(&t, "x");
	term_wait(&t, "1 zones", true);
	term_keys(&t, "1");
	term_wait(&t, "1 zones (hidden)", true);
	assert_false(term_shows(&t, "0 Normal   ["));
	term_keys(&t, "1");
	term_wait(&t, "(hidden)", false);
	term_keys(&t, "+");
	term_wait(&t, "every 5 s", true);
	term_keys(&t, "--");
	term_wait(&t, "every 1 s", true);
	term_keys(&t, " ");
	term_wait(&t, "PAUSED", true);
	term_keys(&t, " ");
	term_wait(&t, "PAUSED", false);
	term_keys(&t, "z");
	term_wait(&t, "a letter is 8.00M, what most of it is", true);
	term_keys(&t, "Z");
	term_wait(&t, "a letter is 2.00M", true);
	term_keys(&t, "\014"); /* ^L */
	term_keys(&t, "q");
	check_end(&t);
}

static void test_scrolling(void **state)
{
	char text[MANY / 64 * 96];
	size_t at = 0;
	struct term t;
	unsigned int i;

	(void)state;
	for (i = 0; i < 100; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%u 0 N %c%063d\n", i * 32768,
				       'a' + (char)(i % 26), 0);
	put_machine();
	put(text, "sys/kernel/hvo/memory_map");
	open_dir(&t, "xterm", 80, 24, "");
	term_wait(&t, " 1-", true);
	term_keys(&t, "\033OB");
	term_wait(&t, "0 N     128M b000", true);
	term_wait(&t, " 2-", true);
	term_keys(&t, "\033[6~\033[6~");
	term_wait(&t, "0 N     128M b000", false);
	term_keys(&t, "\033OF");
	term_wait(&t, "-100/100", true);
	assert_true(term_shows(&t, "0 N   12672M v000"));
	term_keys(&t, "\033[5~");
	term_wait(&t, "0 N   12672M v000", false);
	term_keys(&t, "\033OH\033OA");
	term_wait(&t, "0 N       0M a000", true);
	/* Tab: the events, then the zones. */
	term_keys(&t, "\t");
	term_keys(&t, "\033OF");
	term_wait(&t, "/100", true);
	assert_true(term_shows(&t, "oom_kill"));
	term_keys(&t, "q");
	check_end(&t);
}

static void test_orders(void **state)
{
	struct term t;

	(void)state;
	put_host();
	put("Node 0, zone   Normal 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 1919\n",
	    "proc/buddyinfo");
	open_dir(&t, "xterm", 80, 24, "");
	term_wait(&t, "3 free  ->", true);
	assert_false(term_shows(&t, "1919"));
	term_keys(&t, "\033OC");
	term_wait(&t, "3 free <->", true);
	term_keys(&t, "\033OC\033OC\033OC\033OC\033OC\033OC\033OC\033OC\033OC\033OC");
	term_wait(&t, "1919", true);
	assert_true(term_shows(&t, "3 free  <-"));
	/* Not further than needed: it comes back with as many keys as it takes. */
	term_keys(&t, "\033OD");
	term_wait(&t, "1919", false);
	term_keys(&t, "q");
	check_end(&t);
}

/* No colours, no keypad's own screen: letters tell all. */
static void test_vt100(void **state)
{
	struct term t;

	(void)state;
	put_machine();
	open_dir(&t, "vt100", 80, 24, "");
	term_wait(&t, "q quit", true);
	assert_true(term_shows(&t, "mmuuHHhhcceerrxxii--...."));
	assert_true(term_shows(&t, "2 pools"));
	assert_int_equal(t.colours, 0);
	term_keys(&t, "q");
	check_end(&t);
}

static void test_no_color(void **state)
{
	struct term t;

	(void)state;
	put_machine();
	assert_int_equal(setenv("NO_COLOR", "1", 1), 0);
	open_dir(&t, "xterm", 80, 24, "");
	assert_int_equal(unsetenv("NO_COLOR"), 0);
	term_wait(&t, "q quit", true);
	assert_int_equal(t.colours, 0);
	term_keys(&t, "q");
	check_end(&t);
}

static void test_sizes(void **state)
{
	static const int sizes[][2] = {
		{ 160, 60 }, { 41, 11 }, { 80, 12 }, { 120, 40 }, { 40, 60 }, { 160, 10 },
	};
	struct term t;
	size_t i;
	int small;

	(void)state;
	put_machine();
	open_dir(&t, "xterm", 40, 10, "");
	term_wait(&t, "q quit", true);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		term_resize(&t, sizes[i][0], sizes[i][1]);
		/* All of it is drawn anew: the foot is in the last line. */
		while (strncmp(t.cell[t.lines - 1], "q quit", 6) != 0)
			term_wait(&t, "q quit", true);
		term_wait(&t, "1 zones", true);
	}
	for (small = 0; small < 2; small++) {
		term_resize(&t, small ? 80 : 39, small ? 9 : 24);
		term_wait(&t, "40x10 is needed", true);
		assert_true(term_shows(&t, small ? "this is 80x9" : "this is 39x24"));
	}
	term_keys(&t, "z\t1h x"); /* unseen, and no harm */
	term_resize(&t, 1, 1);
	term_wait(&t, "h", true);
	term_resize(&t, 80, 24);
	term_wait(&t, "q quit", true);
	term_keys(&t, "q");
	check_end(&t);
}

static void test_signals(void **state)
{
	static const int sigs[] = { SIGTERM, SIGHUP, SIGQUIT };
	struct term t;
	size_t i;
	int status;

	(void)state;
	put_host();
	for (i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
		open_dir(&t, "xterm", 80, 24, "");
		term_wait(&t, "q quit", true);
		assert_int_equal(kill(t.pid, sigs[i]), 0);
		status = term_end(&t);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), sigs[i]);
	}
	open_dir(&t, "xterm", 80, 24, "");
	term_wait(&t, "q quit", true);
	term_keys(&t, "\003");
	check_end(&t);
	/* The terminal is gone: so is the program, one way or the other. */
	open_dir(&t, "xterm", 80, 24, "");
	term_wait(&t, "q quit", true);
	status = term_hang_up(&t);
	assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGHUP : WEXITSTATUS(status) == 1);
}

static void test_unknown_terminal(void **state)
{
	struct term t;
	int status;

	(void)state;
	put_host();
	open_dir(&t, "nonsense-9000", 80, 24, "");
	status = term_end(&t);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	assert_true(term_shows(&t, "TERM is 'nonsense-9000'"));
}

static void test_rates(void **state)
{
	struct term t;

	(void)state;
	put_host();
	open_dir(&t, "xterm", 120, 40, "--interval 0.1");
	term_wait(&t, "htlb_buddy_alloc_success     77      0 ", true);
	put("htlb_buddy_alloc_success 100077\n", "proc/vmstat");
	term_wait(&t, "htlb_buddy_alloc_success 100077 ", true);
	/* A counter that began anew has no rate. */
	put("htlb_buddy_alloc_success 3\n", "proc/vmstat");
	term_wait(&t, "htlb_buddy_alloc_success      3      0 ", true);
	term_keys(&t, "q");
	check_end(&t);
}

/* A machine that goes away, comes back, and one that does not answer any more. */
static void test_goes_away(void **state)
{
	char away[160];
	struct term t;

	(void)state;
	put_machine();
	open_dir(&t, "xterm", 100, 30, "--interval 0.1");
	term_wait(&t, "1 zones", true);
	(void)snprintf(away, sizeof(away), "%s.away", dir);
	assert_int_equal(rename(dir, away), 0);
	term_wait(&t, "No such file or directory; trying again", true);
	assert_true(term_shows(&t, "1 zones"));
	assert_int_equal(rename(away, dir), 0);
	term_wait(&t, "trying again", false);
	assert_true(term_shows(&t, "q quit"));
	term_keys(&t, "q");
	check_end(&t);
}

/*
 * A machine that hvo serve serves. Whoever looks does not keep it from being unmounted: it is
 * open only while it is read. One that hangs keeps nobody from anything either.
 */
static void test_served(void **state)
{
	char line[512];
	struct term t;
	unsigned int i;
	FILE *server;
	int rc = -1;
	pid_t pid;

	(void)state;
	if (geteuid() || access("/dev/fuse", R_OK | W_OK)) {
		print_message("skipped: nobody can mount here\n");
		skip();
	}
	(void)snprintf(line, sizeof(line),
		       "echo $$; exec %s serve --mount %s --memory 256M --sparse", HVO_COMMAND,
		       dir);
	server = popen(line, "r");
	assert_non_null(server);
	assert_non_null(fgets(line, sizeof(line), server));
	pid = (pid_t)strtol(line, NULL, 10);
	assert_true(pid > 1);
	assert_non_null(fgets(line, sizeof(line), server));
	open_dir(&t, "xterm", 100, 40, "--interval 0.5");
	term_wait(&t, "q quit", true);
	assert_true(term_shows(&t, "machine at "));
	assert_true(term_shows(&t, "mode on-demand"));
	assert_true(term_shows(&t, "Descr. "));
	put("10\n", POOL_DIR "2048kB/nr_hugepages");
	term_wait(&t, " 2M            10      0     10", true);
	assert_true(term_shows(&t, "h huge free 20.0M"));
	put("0\n", POOL_DIR "2048kB/nr_hugepages");
	term_wait(&t, "h huge free", false);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	term_wait(&t, "does not answer", true);
	term_keys(&t, "h");
	term_wait(&t, "any key: back", true);
	term_keys(&t, "x");
	assert_int_equal(kill(pid, SIGCONT), 0);
	term_wait(&t, "does not answer", false);
	(void)snprintf(line, sizeof(line), "fusermount3 -u %s 2>/dev/null", dir);
	for (i = 0; rc && i < 100; i++)
		rc = system(line);
	assert_int_equal(rc, 0);
	term_wait(&t, "trying again", true);
	assert_int_equal(pclose(server), 0);
	term_keys(&t, "q");
	check_end(&t);
}

static void check_demo(const char *args)
{
	struct term t;

	term_open(&t, "xterm", 120, 40, args);
	term_wait(&t, "q quit", true);
	assert_true(term_shows(&t, "demo ("));
	assert_true(term_shows(&t, "free_refused"));
	/* It lives: it is another picture some time. */
	term_wait(&t, "up 0:00:01", true);
	term_keys(&t, "q");
	check_end(&t);
}

static void test_demo_live(void **state)
{
	(void)state;
	check_demo("top --demo --interval 0.1 --memory 512M");
	check_demo("top --demo --interval 0.1 --memory 512M --mode linux");
	check_demo("top --demo --interval 0.1 --memory 512M --platform sim");
	check_demo("top --demo --interval 0.1 --memory 512M --platform sim --mode linux");
}

#define on_tree(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		on_tree(test_model_host),
		on_tree(test_model_machine),
		on_tree(test_model_missing),
		on_tree(test_model_parts),
		on_tree(test_model_garbage),
		on_tree(test_model_many),
		cmocka_unit_test(test_model_this_host),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_nonsense),
		on_tree(test_nothing_there),
		on_tree(test_once),
		on_tree(test_once_machine),
		on_tree(test_once_little),
		on_tree(test_json),
		cmocka_unit_test(test_demo),
		cmocka_unit_test(test_root_of_tree),
		on_tree(test_reader_threads),
		on_tree(test_keys),
		on_tree(test_scrolling),
		on_tree(test_orders),
		on_tree(test_vt100),
		on_tree(test_no_color),
		on_tree(test_sizes),
		on_tree(test_signals),
		on_tree(test_unknown_terminal),
		on_tree(test_rates),
		on_tree(test_goes_away),
		on_tree(test_served),
		cmocka_unit_test(test_demo_live),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
