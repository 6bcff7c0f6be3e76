/* SPDX-License-Identifier: MIT */
/*
 * hvo pool, status and plan as a user meets them: on trees of plain files and, as root, on
 * the pools of the kernel that this runs on. What a kernel refuses is in test_resize.c: plain
 * files refuse nothing. Lists of hosts are in test_plan.c.
 */
#include "command.h"
#include "files.h"
#include "harness.h"
#include "hostpool.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <jansson.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NODE_DIR "sys/devices/system/node"
#define POOL_DIR "sys/kernel/mm/hugepages/hugepages-"

static bool has_hint(json_t *j, const char *code)
{
	json_t *h;
	size_t i;

	json_array_foreach(at(j, "hints"), i, h)
	{
		assert_true(json_is_string(at(h, "text")));
		if (!strcmp(json_string_value(at(h, "code")), code))
			return true;
	}
	return false;
}

/* ---- trees of plain files ------------------------------------------------------------ */

static void put_number(uint64_t n, const char *prefix, const char *name)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%" PRIu64 "\n", n);
	put(text, "%s/%s", prefix, name);
}

struct counts {
	uint64_t total, free, surplus;
};

static void put_counts(const char *prefix, struct counts c)
{
	put_number(c.total, prefix, "nr_hugepages");
	put_number(c.free, prefix, "free_hugepages");
	put_number(c.surplus, prefix, "surplus_hugepages");
}

static void put_pool(const char *size, struct counts a, struct counts b, uint64_t reserved,
		     uint64_t overcommit)
{
	struct counts all = { a.total + b.total, a.free + b.free, a.surplus + b.surplus };
	char prefix[128];

	(void)snprintf(prefix, sizeof(prefix), POOL_DIR "%s", size);
	put_counts(prefix, all);
	put_number(reserved, prefix, "resv_hugepages");
	put_number(overcommit, prefix, "nr_overcommit_hugepages");
	(void)snprintf(prefix, sizeof(prefix), NODE_DIR "/node0/hugepages/hugepages-%s", size);
	put_counts(prefix, a);
	(void)snprintf(prefix, sizeof(prefix), NODE_DIR "/node1/hugepages/hugepages-%s", size);
	put_counts(prefix, b);
}

/* Two nodes of 4 GiB, both pools empty, HVO off, all descriptors there; node 2 has nothing. */
static void put_host(void)
{
	static const struct counts none = { 0 };
	unsigned int i;

	put_pool("2048kB", none, none, 0, 0);
	put_pool("1048576kB", none, none, 0, 0);
	put("2048kB\n", POOL_DIR "1048576kB/demote_size");
	put("MemTotal:  8388608 kB\nMemFree:  2097152 kB\nMemAvailable:  3145728 kB\n"
	    "Hugepagesize:       2048 kB\n",
	    "proc/meminfo");
	for (i = 0; i < 2; i++)
		put("Node 0 MemTotal:  4194304 kB\nNode 0 MemFree:  1048576 kB\n"
		    "Node 1 MemTotal:  4194304 kB\nNode 1 MemFree:  1048576 kB\n",
		    NODE_DIR "/node%u/meminfo", i);
	put("", NODE_DIR "/node2/meminfo");
	put("0\n", "proc/sys/vm/hugetlb_optimize_vmemmap");
	put("nr_memmap_pages 100\nnr_memmap_boot_pages 32668\n", "proc/vmstat");
	put("8000000\n", "sys/devices/system/memory/block_size_bytes");
	for (i = 0; i < 64; i++)
		put("online\n", "sys/devices/system/memory/memory%u/state", i);
	put("Node 0, zone   Normal  9 8 7 6 5 4 3 2 1 1 1\n", "proc/buddyinfo");
	put("Node 0, zone      DMA\n  pages free     100\n        min      200\n"
	    "Node 0, zone   Normal\n  per-node stats\n      nr_free_cma  5\n"
	    "  pages free     1000\n        boost    0\n        min      744\n"
	    "        low      800\n  pagesets\n    cpu: 0\n              min:   3\n"
	    "Node 0, zone  Movable\n  pages free     5000\n        min      20\n",
	    "proc/zoneinfo");
}

static json_t *tree_json(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static json_t *tree_json(int status, const char *fmt, ...)
{
	char args[512];
	va_list va;
	size_t len;

	va_start(va, fmt);
	len = (size_t)vsnprintf(args, sizeof(args), fmt, va);
	va_end(va);
	(void)snprintf(args + len, sizeof(args) - len, " --root %s", dir);
	return run_json(status, args);
}

/* ---- arguments -------------------------------------------------------------------------- */

static void test_nonsense(void **state)
{
	static const char *const args[] = {
		"pool",
		"pool nonsense",
		"pool list 2M=1",
		"pool list --wait",
		"pool set",
		"pool set --json",
		"pool set 2M",
		"pool set 2M=",
		"pool set =5",
		"pool set 0=5",
		"pool set 2M=-1",
		"pool set 2M=+1",
		"pool set 2M=x",
		"pool set 2M=9223372036854775808",
		"pool set 2M=18446744073709551616",
		"pool set 2M=99999999999999999999999",
		"pool set 2M=9223372036854775807",
		"pool set 99999999999999999999M=1",
		"pool set 2M=1 2048K=2",
		"pool set 2M=1 --node",
		"pool set 2M=1 --node x",
		"pool set 2M=1 --node -1",
		"pool set 2M=1 --node 9999999999",
		"pool set 2M=1 --wait=x",
		"pool set 2M=1 --wait=-1",
		"pool set 2M=1 --frob",
		"pool overcommit 2M=1 --node 0",
		"pool overcommit",
		"pool demote",
		"pool optimize",
		"pool optimize maybe",
		"pool optimize on off",
		"pool optimize 2M=5",
		"status now",
		"status --node 1",
		"status --root",
		"plan nonsense",
		"plan --fraction 1.5",
		"plan --fraction -0.5",
		"plan --fraction nan",
		"plan --fraction x",
		"plan --fraction",
		"plan --fraction 0.5.5",
		"plan --pages 2M",
		"plan --pages 3M=1",
		"plan --pages 4K=1",
		"plan --pages 2M=x",
		"plan --pages 2M=1 --pages 2M=1",
		"plan --pages 2M=1 --fraction 0.5",
		"plan --pages 2M=9223372036854775807",
		"plan --csv - --pages 2M=1",
		"plan --csv - --root /",
		"plan --csv",
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(args) / sizeof(args[0]); i++)
		check_error(2, "", args[i]);
}

static void test_no_such_tree(void **state)
{
	static const char *const commands[] = { "pool list", "pool set 2M=1", "status", "plan" };
	char args[256];
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		(void)snprintf(args, sizeof(args), "%s --root %s/none", commands[i], dir);
		check_error(1, "No such file or directory", args);
		(void)snprintf(args, sizeof(args), "%s --root /etc/passwd", commands[i]);
		check_error(1, "Not a directory", args);
		(void)snprintf(args, sizeof(args), "%s --root %s", commands[i], dir);
		check_error(1, "hvo serve", args);
	}
	put("", "sys/kernel/mm/hugepages/nothing");
	(void)snprintf(args, sizeof(args), "status --root %s", dir);
	check_error(1, "hvo serve", args);
	put("x\n", POOL_DIR "2048kB/nr_hugepages");
	check_error(1, "2048kB/nr_hugepages: there is no number in it", args);
}

/* ---- a file that is missing ------------------------------------------------------------- */

static char files[128][192];
static unsigned int nr_files;

/* All but the states of memory blocks, which are many and alike. */
static int note_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (type == FTW_F && !strstr(path, "/system/memory/memory")) {
		assert_true(nr_files < sizeof(files) / sizeof(files[0]));
		(void)snprintf(files[nr_files++], sizeof(files[0]), "%s", path);
	}
	return 0;
}

/*
 * With one file less, or one that says nothing: what is there is shown, or the file is named;
 * nobody is told that there is nothing, or that a kernel has not got what nobody could read.
 */
static void check_without(const char *file, const char *command)
{
	static const char *const lies[] = { "nothing is served",
					    "no huge pages",
					    "has no pool",
					    "there is none",
					    "not counted by this kernel",
					    "Linux counts descriptors",
					    "no HVO",
					    "has none" };
	const char *name = file + strlen(dir) + 1;
	bool is_switch = strstr(name, "hugetlb_optimize_vmemmap");
	unsigned int i;
	int status;
	char *out = run(&status, "%s --root %s", command, dir);

	if (status && !strstr(out, name))
		fail_msg("without %s: hvo %s: status %d:\n%s", name, command, status, out);
	for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		if (strstr(out, lies[i]) && !(is_switch && access(file, F_OK)))
			fail_msg("without %s: hvo %s:\n%s", name, command, out);
	if (!strstr(out, "2M"))
		if (!strstr(out, "2 MiB") && !strstr(out, name))
			fail_msg("without %s: hvo %s: where is the other pool?\n%s", name, command,
				 out);
	free(out);
}

static void test_one_file_less(void **state)
{
	static const char *const commands[] = { "pool set 2M=0", "status", "top --once" };
	static const struct counts none = { 0 }, a = { 7, 7, 0 };
	char away[256];
	unsigned int i, c;

	(void)state;
	nr_files = 0;
	put_host();
	put_pool("2048kB", none, none, 0, 0);
	/* The one that is looked at must not be the one whose files are there. */
	put_pool("1048576kB", a, none, 0, 0);
	assert_int_equal(nftw(dir, note_file, 16, FTW_PHYS), 0);
	assert_true(nr_files > 25);
	(void)snprintf(away, sizeof(away), "%s/away", dir);
	for (i = 0; i < nr_files; i++) {
		assert_int_equal(rename(files[i], away), 0);
		for (c = 0; c < sizeof(commands) / sizeof(commands[0]); c++)
			check_without(files[i], commands[c]);
		assert_int_equal(rename(away, files[i]), 0);
	}
}

static void test_not_there(void **state)
{
	char args[256];

	(void)state;
	put_host();
	(void)snprintf(args, sizeof(args), "pool set 4M=1 --root %s", dir);
	check_error(2, "2M, 1G", args);
	(void)snprintf(args, sizeof(args), "pool set 2M=1 --node 7 --root %s", dir);
	check_error(2, "0, 1, 2", args);
	(void)snprintf(args, sizeof(args), "pool set 2M=1 --node 2 --root %s", dir);
	check_error(2, "no pool", args);
	(void)snprintf(args, sizeof(args), "pool demote 2M=1 --root %s", dir);
	check_error(2, "cannot be demoted", args);
	/* All memory, and a page more. */
	(void)snprintf(args, sizeof(args), "pool set 2M=4097 --root %s", dir);
	check_error(2, "8 GiB", args);
	(void)snprintf(args, sizeof(args), "pool set 2M=2049 --node 1 --root %s", dir);
	check_error(2, "4 GiB", args);
	(void)snprintf(args, sizeof(args), "pool set 1G=8 2M=1 --root %s", dir);
	check_error(2, "8 GiB", args);
}

/* ---- pools of a tree ----------------------------------------------------------------------- */

static void test_list(void **state)
{
	static const struct counts a = { 100, 30, 5 }, b = { 50, 0, 0 }, none = { 0 };
	int status;
	json_t *j;
	char *out;

	(void)state;
	put_host();
	put_pool("2048kB", a, b, 10, 20);
	put_pool("1048576kB", none, none, 0, 0);
	j = tree_json(0, "pool list");
	check_text(j, "root", dir);
	assert_int_equal(json_array_size(at(j, "pools")), 2);
	check_text(j, "pools/0/size", "2M");
	check_number(j, "pools/0/page_bytes", 2 * MIB);
	assert_true(json_is_true(at(j, "pools/0/default")));
	check_number(j, "pools/0/total", 150);
	check_number(j, "pools/0/free", 30);
	check_number(j, "pools/0/surplus", 5);
	check_number(j, "pools/0/reserved", 10);
	check_number(j, "pools/0/overcommit", 20);
	check_number(j, "pools/0/refused", 5);
	assert_int_equal(json_array_size(at(j, "pools/0/nodes")), 2);
	check_number(j, "pools/0/nodes/1/node", 1);
	check_number(j, "pools/0/nodes/1/total", 50);
	assert_true(json_is_null(at(j, "pools/0/served")));
	check_text(j, "pools/1/size", "1G");
	json_decref(j);
	out = run(&status, "pool list --root %s", dir);
	assert_int_equal(status, 0);
	check_shape(out);
	assert_int_equal(lines(out), 1 + 2 * 3);
	free(out);
}

static void check_counts(json_t *j, const char *path)
{
	static const char *const keys[] = { "total", "free", "surplus", "reserved", "overcommit" };
	unsigned int i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_true(json_is_integer(at(at(j, path), keys[i])));
}

static void check_set_schema(json_t *j)
{
	assert_true(json_is_boolean(at(j, "done")));
	assert_true(json_is_boolean(at(j, "results/0/done")));
	assert_true(json_is_boolean(at(j, "results/0/interrupted")));
	assert_true(json_is_integer(at(j, "results/0/retries")));
	check_counts(j, "results/0/before");
	check_counts(j, "results/0/after");
}

static void test_set(void **state)
{
	static const struct counts none = { 0 }, left = { 64, 64, 64 };
	json_t *j;

	(void)state;
	put_host();
	j = tree_json(0, "pool set 1G=2 2M=64");
	check_set_schema(j);
	assert_true(json_is_true(at(j, "done")));
	assert_true(json_is_null(at(j, "node")));
	check_text(j, "results/0/size", "1G");
	check_number(j, "results/0/wanted", 2);
	check_number(j, "results/0/before/total", 0);
	check_number(j, "results/0/after/total", 2);
	check_number(j, "results/1/after/total", 64);
	assert_true(json_is_null(at(j, "results/1/error")));
	json_decref(j);
	/* What shrinks comes first. */
	j = tree_json(0, "pool set 1G=3 2M=10");
	check_text(j, "results/0/size", "2M");
	check_text(j, "results/1/size", "1G");
	json_decref(j);
	j = tree_json(0, "pool set 2M=7 --node 1");
	check_number(j, "node", 1);
	check_number(j, "results/0/after/total", 7);
	json_decref(j);
	/* Surplus in a file that does not move: refused, and told so. */
	put_pool("2048kB", left, none, 0, 0);
	j = tree_json(1, "pool set 2M=0");
	check_set_schema(j);
	assert_true(json_is_false(at(j, "done")));
	check_number(j, "results/0/refused", 64);
	check_number(j, "results/0/wanted", 0);
	json_decref(j);
}

static void test_set_text(void **state)
{
	static const struct counts none = { 0 }, left = { 64, 64, 64 };
	int status;
	char *out;

	(void)state;
	put_host();
	out = run(&status, "pool set 2M=64 --root %s", dir);
	assert_int_equal(status, 0);
	assert_string_equal(out, "2 MiB: 64 pages; before: 0\n");
	free(out);
	put_pool("2048kB", left, none, 0, 0);
	out = run(&status, "pool set 2M=0 --wait=0 --root %s", dir);
	assert_int_equal(status, 1);
	assert_non_null(strstr(out, "64 refused"));
	assert_non_null(strstr(out, "28 KiB each"));
	assert_non_null(strstr(out, "2 GiB free, 1 MiB of it for that: above"));
	check_shape(out);
	free(out);
}

static void test_overcommit_and_optimize(void **state)
{
	char args[256];
	json_t *j;

	(void)state;
	put_host();
	j = tree_json(0, "pool overcommit 2M=12 1G=1");
	assert_true(json_is_true(at(j, "done")));
	check_number(j, "results/0/before", 0);
	check_number(j, "results/0/after", 12);
	check_text(j, "results/1/size", "1G");
	json_decref(j);
	j = tree_json(0, "pool optimize on");
	assert_true(json_is_false(at(j, "before")));
	assert_true(json_is_true(at(j, "after")));
	assert_true(json_is_true(at(j, "wanted")));
	assert_true(json_is_true(at(j, "done")));
	json_decref(j);
	j = tree_json(0, "pool optimize off");
	assert_true(json_is_false(at(j, "after")));
	json_decref(j);
	(void)snprintf(args, sizeof(args), "%s/proc/sys/vm/hugetlb_optimize_vmemmap", dir);
	assert_int_equal(unlink(args), 0);
	(void)snprintf(args, sizeof(args), "pool optimize on --root %s", dir);
	check_error(1, "there is none", args);
}

/* A file with this text that nobody can write, in place of another one. */
static void put_read_only(const char *text, const char *name)
{
	char path[256];

	put(text, "%s", name);
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (geteuid()) {
		assert_int_equal(chmod(path, 0444), 0);
		return;
	}
	/* Root writes to that, too; but not to what is mounted so. */
	assert_int_equal(mount(path, path, NULL, MS_BIND, NULL), 0);
	assert_int_equal(mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
}

static void put_back(const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (!geteuid())
		assert_int_equal(umount2(path, MNT_DETACH), 0);
}

/* What is there already is no error where it could not be changed: it needs no change. */
static void test_as_it_is(void **state)
{
	static const struct counts a = { 5, 5, 0 }, none = { 0 };
	char args[256];
	json_t *j;

	(void)state;
	put_host();
	put_pool("2048kB", a, none, 0, 0);
	/* So that nothing stays mounted, whatever happens. */
	if (!geteuid() &&
	    (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))) {
		print_message("skipped: nobody can mount here\n");
		skip();
	}
	put_read_only("65536\n", POOL_DIR "2048kB/nr_overcommit_hugepages");
	j = tree_json(0, "pool overcommit 2M=65536");
	assert_true(json_is_true(at(j, "done")));
	json_decref(j);
	(void)snprintf(args, sizeof(args), "pool overcommit 2M=1 --root %s", dir);
	check_error(1, "nr_overcommit_hugepages", args);
	put_read_only("1\n", "proc/sys/vm/hugetlb_optimize_vmemmap");
	json_decref(tree_json(0, "pool optimize on"));
	(void)snprintf(args, sizeof(args), "pool optimize off --root %s", dir);
	check_error(1, "hugetlb_optimize_vmemmap", args);
	put_back("proc/sys/vm/hugetlb_optimize_vmemmap");
	put_back(POOL_DIR "2048kB/nr_overcommit_hugepages");
}

/* As somebody who may read, but not write. */
static void test_not_root(void **state)
{
	char out[1024] = "";
	ssize_t len = 0, n;
	int fds[2], status;
	char *argv[] = { (char *)(uintptr_t)HVO_COMMAND,
			 (char *)(uintptr_t) "pool",
			 (char *)(uintptr_t) "set",
			 (char *)(uintptr_t) "2M=5",
			 (char *)(uintptr_t) "--root",
			 dir,
			 NULL };
	mode_t old;
	pid_t pid;

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: only root can become somebody else\n");
		skip();
	}
	old = umask(022);
	put_host();
	(void)umask(old);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (!pid) {
		if (dup2(fds[1], 1) < 0 || dup2(fds[1], 2) < 0 || setgid(65534) || setuid(65534))
			_exit(99);
		(void)execv(argv[0], argv);
		_exit(98);
	}
	close(fds[1]);
	while ((n = read(fds[0], out + len, sizeof(out) - 1 - (size_t)len)) > 0)
		len += n;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 98) {
		print_message("skipped: others cannot run the command where it was built\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 1);
	assert_int_equal(lines(out), 1);
	assert_non_null(strstr(out, "hugepages-2048kB/nr_hugepages: Permission denied; run it as "
				    "root"));
}

/* ---- status of a tree --------------------------------------------------------------------- */

static void test_status(void **state)
{
	static const struct counts a = { 1024, 1024, 0 }, none = { 0 };
	char command[256];
	json_t *j;

	(void)state;
	put_host();
	put("6.18.0-test\n", "proc/sys/kernel/osrelease");
	j = tree_json(0, "status");
	check_text(j, "release", "6.18.0-test");
	assert_int_equal(json_array_size(at(j, "nodes")), 3);
	check_number(j, "memory/total_bytes", 8 * GIB);
	check_number(j, "memory/free_bytes", 2 * GIB);
	check_number(j, "memory/available_bytes", 3 * GIB);
	assert_true(json_is_true(at(j, "hvo/available")));
	assert_true(json_is_false(at(j, "hvo/enabled")));
	check_number(j, "hvo/descriptor_bytes", 128 * MIB);
	check_number(j, "hvo/descriptor_bytes_full", 128 * MIB);
	check_number(j, "hvo/saved_bytes", 0);
	check_number(j, "hvo/could_save_bytes", 0);
	assert_true(json_is_null(at(j, "served")));
	assert_int_equal(json_array_size(at(j, "hints")), 0);
	json_decref(j);

	put_pool("2048kB", a, none, 0, 0);
	j = tree_json(0, "status");
	check_number(j, "hvo/could_save_bytes", 28 * MIB);
	assert_true(has_hint(j, "hvo-off"));
	(void)snprintf(command, sizeof(command), "hvo pool optimize on --root %s", dir);
	check_text(j, "hints/0/command", command);
	json_decref(j);
}

/* What is saved is known where the counters fit to the pools, and else it is not. */
static void test_status_saved(void **state)
{
	static const struct counts a = { 100, 100, 0 }, b = { 1, 1, 0 }, none = { 0 };
	char path[128];
	json_t *j;

	(void)state;
	put_host();
	put_pool("2048kB", a, none, 0, 0);
	put_pool("1048576kB", none, b, 0, 0);
	put("1\n", "proc/sys/vm/hugetlb_optimize_vmemmap");
	put("nr_memmap_pages 101\nnr_memmap_boot_pages 27872\n", "proc/vmstat");
	j = tree_json(0, "status");
	check_number(j, "hvo/saved_bytes", (32768 - 27973) * UINT64_C(4096));
	check_number(j, "hvo/could_save_bytes", (700 + 4095) * UINT64_C(4096));
	assert_false(has_hint(j, "not-optimised"));
	json_decref(j);
	/* One page was optimised, 99 and that of 1 GiB were not. */
	put("nr_memmap_pages 1\nnr_memmap_boot_pages 32760\n", "proc/vmstat");
	j = tree_json(0, "status");
	check_number(j, "hvo/saved_bytes", 7 * 4096);
	assert_true(has_hint(j, "not-optimised"));
	json_decref(j);
	/* No multiple of what pages save; more than they can; more than there is. */
	put("nr_memmap_pages 0\nnr_memmap_boot_pages 32760\n", "proc/vmstat");
	j = tree_json(0, "status");
	assert_true(json_is_null(at(j, "hvo/saved_bytes")));
	json_decref(j);
	put("nr_memmap_pages 0\nnr_memmap_boot_pages 27966\n", "proc/vmstat");
	j = tree_json(0, "status");
	assert_true(json_is_null(at(j, "hvo/saved_bytes")));
	json_decref(j);
	put("nr_memmap_pages 0\nnr_memmap_boot_pages 32769\n", "proc/vmstat");
	j = tree_json(0, "status");
	assert_true(json_is_null(at(j, "hvo/saved_bytes")));
	json_decref(j);
	/* Before Linux 6.11, and without the switch. */
	put("nr_free_pages 1\n", "proc/vmstat");
	(void)snprintf(path, sizeof(path), "%s/proc/sys/vm/hugetlb_optimize_vmemmap", dir);
	assert_int_equal(unlink(path), 0);
	j = tree_json(0, "status");
	assert_true(json_is_null(at(j, "hvo/saved_bytes")));
	assert_true(json_is_null(at(j, "hvo/descriptor_bytes")));
	assert_true(json_is_null(at(j, "hvo/enabled")));
	assert_true(has_hint(j, "no-hvo"));
	json_decref(j);
}

static void test_status_hints(void **state)
{
	static const struct counts stuck = { 80, 70, 64 }, used = { 10, 0, 6 }, none = { 0 };
	static const struct counts many = { 2048, 2048, 0 };
	char command[256];
	int status;
	json_t *j;
	char *out;

	(void)state;
	put_host();
	put_pool("2048kB", stuck, none, 2, 3);
	put_pool("1048576kB", none, used, 0, 4);
	j = tree_json(0, "status");
	check_number(j, "pools/0/refused", 64);
	check_number(j, "pools/1/refused", 0);
	assert_true(has_hint(j, "frees-refused"));
	(void)snprintf(command, sizeof(command), "hvo pool set 2M=16 --wait --root %s", dir);
	check_text(j, "hints/0/command", command);
	assert_true(has_hint(j, "surplus-above-limit"));
	json_decref(j);
	out = run(&status, "status --root %s", dir);
	assert_int_equal(status, 0);
	check_shape(out);
	assert_non_null(strstr(out, "Hints"));
	free(out);
	/* The descriptors of what is free are more than there is memory. */
	put_pool("2048kB", many, none, 0, 0);
	put_pool("1048576kB", none, none, 0, 0);
	put("1\n", "proc/sys/vm/hugetlb_optimize_vmemmap");
	put("nr_memmap_pages 2048\nnr_memmap_boot_pages 16384\n", "proc/vmstat");
	put("MemTotal:  8388608 kB\nMemFree:  4096 kB\nMemAvailable:  8192 kB\n", "proc/meminfo");
	j = tree_json(0, "status");
	assert_true(has_hint(j, "free-needs-memory"));
	json_decref(j);
}

/* A machine in on-demand mode: what it has, and nothing about a switch it has not. */
static void test_status_served(void **state)
{
	static const struct counts a = { 100, 40, 0 }, none = { 0 };
	static const char *const names[] = { "folded_hugepages", "poisoned_hugepages",
					     "deferred_hugepages", "refused_frees",
					     "carved_frames" };
	char args[256], *out;
	unsigned int i;
	int status;
	json_t *j;

	(void)state;
	put_host();
	put_pool("2048kB", a, none, 0, 0);
	put("1\n", "proc/sys/vm/hugetlb_optimize_vmemmap");
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		put_number(90 + i, POOL_DIR "2048kB", names[i]);
	put("noretry [carve] mayfail\n", POOL_DIR "2048kB/restore_policy");
	put("all boot [normal] unmovable\n", POOL_DIR "2048kB/fold_scope");
	put("on-demand\n", "sys/kernel/hvo/mode");
	put("77\n", "sys/kernel/hvo/cuts");
	put("nr_memmap_pages 700\nnr_memmap_boot_pages 4096\n", "proc/vmstat");
	j = tree_json(0, "status");
	check_text(j, "served/mode", "on-demand");
	check_number(j, "served/cuts", 77);
	assert_true(json_is_null(at(j, "served/collapses")));
	check_number(j, "pools/0/served/folded", 90);
	check_number(j, "pools/0/served/carved_frames", 94);
	/* Even where such files are there. */
	assert_true(json_is_null(at(j, "pools/0/served/restore_policy")));
	assert_true(json_is_null(at(j, "pools/0/served/fold_scope")));
	assert_true(json_is_false(at(j, "hvo/available")));
	check_number(j, "hvo/saved_bytes", (32768 - 4796) * UINT64_C(4096));
	assert_int_equal(json_array_size(at(j, "hints")), 0);
	json_decref(j);
	out = run(&status, "status --root %s", dir);
	assert_int_equal(status, 0);
	check_shape(out);
	assert_non_null(strstr(out, "on-demand mode"));
	assert_non_null(strstr(out, "only where memory is cut"));
	assert_null(strstr(out, "HVO:"));
	assert_null(strstr(out, "policy"));
	assert_null(strstr(out, "carve "));
	free(out);
	out = run(&status, "top --once --root %s", dir);
	assert_int_equal(status, 0);
	assert_null(strstr(out, "HVO"));
	assert_null(strstr(out, "policy"));
	assert_null(strstr(out, "carve\n"));
	free(out);
	(void)snprintf(args, sizeof(args), "pool optimize off --root %s", dir);
	check_error(1, "on-demand mode", args);
	/* Memory that the hardware has in small pages is worth a hint, if it is much. */
	put_number(800 << 20, "sys/kernel/hvo", "arena_bytes");
	put_number(600 << 20, "sys/kernel/hvo", "arena_huge_bytes");
	out = run(&status, "status --root %s", dir);
	check_shape(out);
	assert_non_null(strstr(out, "600 MiB of the 800 MiB that"));
	free(out);
	put_number(700 << 20, "sys/kernel/hvo", "arena_huge_bytes");
	j = tree_json(0, "status");
	check_number(j, "served/arena_huge_bytes", 700 << 20);
	assert_int_equal(json_array_size(at(j, "hints")), 0);
	json_decref(j);
	/* In Linux mode both are of interest. */
	put("linux\n", "sys/kernel/hvo/mode");
	j = tree_json(0, "status");
	check_text(j, "pools/0/served/restore_policy", "carve");
	check_text(j, "pools/0/served/fold_scope", "normal");
	assert_true(json_is_true(at(j, "hvo/enabled")));
	json_decref(j);
	/* New pages are not folded either, while that is so. */
	put("nr_memmap_pages 100\nnr_memmap_boot_pages 32668\n", "proc/vmstat");
	out = run(&status, "status --root %s", dir);
	check_shape(out);
	assert_non_null(strstr(out, "normal"));
	assert_non_null(strstr(out, "fold_scope were all"));
	free(out);
	put("[all] boot normal unmovable\n", POOL_DIR "2048kB/fold_scope");
	out = run(&status, "status --root %s", dir);
	assert_non_null(strstr(out, "set the pools to 0"));
	assert_null(strstr(out, "fold_scope"));
	free(out);
}

/* ---- plan of a tree ----------------------------------------------------------------------- */

static void test_plan_host(void **state)
{
	static const struct counts a = { 100, 100, 0 }, none = { 0 };
	char args[256];
	int status;
	json_t *j;
	char *out;

	(void)state;
	put_host();
	/* Nothing in its pools: as if 80 % were. */
	j = tree_json(0, "plan");
	assert_true(json_is_real(at(j, "assumed_fraction")));
	check_text(j, "hosts/0/name", dir);
	check_number(j, "hosts/0/memory_bytes", 8 * GIB);
	check_number(j, "hosts/0/pools/0/pages", 3276);
	json_decref(j);
	j = tree_json(0, "plan --fraction 0.25");
	assert_true(json_is_null(at(j, "assumed_fraction")));
	check_number(j, "hosts/0/pools/0/pages", 1024);
	json_decref(j);
	j = tree_json(0, "plan --pages 2M=5 --pages 1G=2");
	check_number(j, "hosts/0/hvo/saved_bytes", (5 * 7 + 2 * 4095) * 4096);
	json_decref(j);
	put_pool("2048kB", a, none, 0, 0);
	j = tree_json(0, "plan");
	assert_true(json_is_null(at(j, "assumed_fraction")));
	check_number(j, "hosts/0/hvo/saved_bytes", 100 * 7 * 4096);
	json_decref(j);
	out = run(&status, "plan --root %s", dir);
	assert_int_equal(status, 0);
	check_shape(out);
	free(out);
	(void)snprintf(args, sizeof(args), "plan --pages 2M=4097 --root %s", dir);
	check_error(2, "8 GiB", args);
}

static void test_help(void **state)
{
	static const char *const args[] = { "pool --help", "pool set --help", "status -h",
					    "plan --help" };
	unsigned int i;
	int status;
	char *out;

	(void)state;
	for (i = 0; i < sizeof(args) / sizeof(args[0]); i++) {
		out = run(&status, "%s", args[i]);
		assert_int_equal(status, 0);
		assert_non_null(strstr(out, "usage: hvo"));
		check_shape(out);
		free(out);
	}
}

/* ---- this kernel -------------------------------------------------------------------------------- */

static struct hostpool host;
static char host_skipped[HOSTPOOL_REASON];

static int begin_host(void **state)
{
	(void)state;
	if (!hostpool_begin(&host, host_skipped) && !host_skipped[0])
		return 1;
	return 0;
}

static int end_host(void **state)
{
	(void)state;
	return host_skipped[0] || hostpool_end(&host) ? 0 : 1;
}

static void need_host(void)
{
	if (!host_skipped[0])
		return;
	print_message("skipped: %s\n", host_skipped);
	skip();
}

static struct hostpool_counters host_counters(void)
{
	struct hostpool_counters c;

	assert_true(hostpool_counters(&host, &c));
	return c;
}

static void test_host_status(void **state)
{
	int status;
	json_t *j;
	char *out;

	(void)state;
	/* Reading needs no root. */
	if (access("/sys/kernel/mm/hugepages", F_OK)) {
		print_message("skipped: this kernel has no huge pages\n");
		skip();
	}
	j = run_json(0, "status");
	check_text(j, "root", "/");
	assert_true(number(j, "memory/total_bytes") > 0);
	assert_true(json_array_size(at(j, "pools")) > 0);
	json_decref(j);
	json_decref(run_json(0, "pool list"));
	json_decref(run_json(0, "plan"));
	out = run(&status, "status");
	assert_int_equal(status, 0);
	check_shape(out);
	free(out);
}

/* Up by 8, of the node, down again; the figures are the kernel's. */
static void test_host_set(void **state)
{
	json_t *j;

	(void)state;
	need_host();
	j = run_json(0, "pool set 2M=8");
	check_number(j, "results/0/before/total", 0);
	check_number(j, "results/0/after/total", 8);
	json_decref(j);
	assert_int_equal(host_counters().pool[HOSTPOOL_2M].total, 8);
	j = run_json(0, "pool set 2M=16 --node 0 --wait=1");
	check_number(j, "node", 0);
	json_decref(j);
	assert_int_equal(host_counters().pool[HOSTPOOL_2M].node_total, 16);
	j = run_json(0, "pool set 2M=600");
	json_decref(j);
	j = run_json(0, "pool set 2M=3");
	check_number(j, "results/0/before/total", 600);
	json_decref(j);
	assert_int_equal(host_counters().pool[HOSTPOOL_2M].total, 3);
	json_decref(run_json(0, "pool set 2M=0"));
	assert_int_equal(host_counters().pool[HOSTPOOL_2M].total, 0);
	check_error(2, "0", "pool set 2M=1 --node 63");
}

/* What status says is saved is what was. */
static void test_host_optimize(void **state)
{
	struct hostpool_counters before, after;
	json_t *j;

	(void)state;
	need_host();
	j = run_json(0, "pool optimize on");
	assert_true(json_is_true(at(j, "after")));
	json_decref(j);
	before = host_counters();
	json_decref(run_json(0, "pool set 2M=32"));
	after = host_counters();
	assert_int_equal(before.memmap + before.memmap_boot - after.memmap - after.memmap_boot,
			 32 * 7);
	j = run_json(0, "status");
	assert_true(json_is_true(at(j, "hvo/enabled")));
	check_number(j, "hvo/could_save_bytes", 32 * 7 * 4096);
	/* Where the memory blocks have no holes, it is known. */
	if (!json_is_null(at(j, "hvo/saved_bytes")))
		check_number(j, "hvo/saved_bytes", 32 * 7 * 4096);
	json_decref(j);
	json_decref(run_json(0, "pool set 2M=0"));
	assert_true(hostpool_reset(&host));
}

static void test_host_overcommit_and_demote(void **state)
{
	json_t *j;

	(void)state;
	need_host();
	json_decref(run_json(0, "pool overcommit 2M=3"));
	assert_int_equal(host_counters().pool[HOSTPOOL_2M].overcommit, 3);
	json_decref(run_json(0, "pool overcommit 2M=0"));
	check_error(1, "no surplus pages of 1 GiB", "pool overcommit 1G=1");
	j = run_json(1, "pool demote 1G=1");
	check_number(j, "results/0/demoted", 0);
	assert_true(json_is_null(at(j, "results/0/error")));
	json_decref(j);
	if (hostpool_write_nr(&host, HOSTPOOL_1G, HOSTPOOL_NR, 1) ||
	    !host_counters().pool[HOSTPOOL_1G].total) {
		print_message("no page of 1 GiB can be had: not demoted\n");
	} else {
		j = run_json(0, "pool demote 1G=1");
		check_number(j, "results/0/demoted", 1);
		check_text(j, "results/0/to", "2M");
		check_counts(j, "results/0/before");
		json_decref(j);
		assert_int_equal(host_counters().pool[HOSTPOOL_2M].total, 512);
	}
	assert_true(hostpool_reset(&host));
}

/* Runs @args in the background, its output to a file. */
static pid_t start(const char *out, char *const *argv)
{
	int fd = open(out, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	pid_t pid;

	assert_true(fd >= 0);
	pid = fork();
	if (!pid) {
		if (dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
			_exit(99);
		(void)execv(argv[0], argv);
		_exit(98);
	}
	close(fd);
	return pid;
}

static json_t *finish(pid_t pid, const char *out, int want)
{
	json_t *j;
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), want);
	j = json_load_file(out, 0, NULL);
	assert_non_null(j);
	return j;
}

static void wait_surplus(uint64_t nr)
{
	static const struct timespec step = { 0, 1000000 };
	unsigned int tries;

	for (tries = 0; tries < 20000; tries++) {
		if (host_counters().pool[HOSTPOOL_2M].surplus == nr)
			return;
		(void)nanosleep(&step, NULL);
	}
	fail_msg("the pool never had %" PRIu64 " surplus pages", nr);
}

/* Pages in use stay; with --wait it ends when they are let go, or when it is interrupted. */
static void test_host_held(void **state)
{
	char *argv[] = { (char *)(uintptr_t)HVO_COMMAND,
			 (char *)(uintptr_t) "pool",
			 (char *)(uintptr_t) "set",
			 (char *)(uintptr_t) "2M=1",
			 (char *)(uintptr_t) "--wait",
			 (char *)(uintptr_t) "--json",
			 NULL };
	char out[128];
	void *used;
	pid_t pid;
	json_t *j;

	(void)state;
	need_host();
	json_decref(run_json(0, "pool set 2M=8"));
	used = mmap(NULL, 4 * 2 * MIB, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	assert_true(used != MAP_FAILED);
	memset(used, 1, 3 * 2 * MIB); /* one stays reserved */
	j = run_json(1, "pool set 2M=1");
	check_number(j, "results/0/held", 3);
	check_number(j, "results/0/refused", 0);
	check_number(j, "results/0/after/total", 4);
	json_decref(j);

	(void)snprintf(out, sizeof(out), "%s/out", dir);
	/* Once it has written the number it is ready for the signal. */
	assert_int_equal(hostpool_write_nr(&host, HOSTPOOL_2M, HOSTPOOL_NR, 8), 0);
	pid = start(out, argv);
	wait_surplus(3);
	assert_int_equal(kill(pid, SIGINT), 0);
	j = finish(pid, out, 1);
	assert_true(json_is_true(at(j, "results/0/interrupted")));
	check_number(j, "results/0/held", 3);
	json_decref(j);
	assert_int_equal(host_counters().persistent, 1);

	pid = start(out, argv);
	assert_int_equal(munmap(used, 4 * 2 * MIB), 0);
	j = finish(pid, out, 0);
	assert_true(json_is_true(at(j, "done")));
	check_number(j, "results/0/after/total", 1);
	json_decref(j);
	assert_true(hostpool_reset(&host));
}

#define on_tree(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_help),
		on_tree(test_no_such_tree),
		on_tree(test_one_file_less),
		on_tree(test_as_it_is),
		on_tree(test_not_there),
		on_tree(test_list),
		on_tree(test_set),
		on_tree(test_set_text),
		on_tree(test_overcommit_and_optimize),
		on_tree(test_not_root),
		on_tree(test_status),
		on_tree(test_status_saved),
		on_tree(test_status_hints),
		on_tree(test_status_served),
		on_tree(test_plan_host),
		cmocka_unit_test(test_host_status),
		cmocka_unit_test(test_host_set),
		cmocka_unit_test(test_host_optimize),
		cmocka_unit_test(test_host_overcommit_and_demote),
		on_tree(test_host_held),
	};

	return run_program(argc, argv, tests, begin_host, end_host);
}
