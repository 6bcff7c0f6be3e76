// SPDX-License-Identifier: MIT
/*
 * hvo serve as others meet it: a real mount, and the unmodified hugeadm and numastat on it, in a
 * mount namespace of their own where its files lie over the kernel's. Nothing of the running
 * system is changed.
 */
#include "program.h"

#include "cli/serve/fuse.h"
#include "cli/serve/opened.h"

#include <hvo/client.h>
#include <hvo/sim.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NODE0 "sys/devices/system/node/node0/hugepages/"
#define NODE2 "sys/devices/system/node/node2/hugepages/"
#define HUGE "sys/kernel/mm/hugepages/hugepages-2048kB/"
#define MEMORY "sys/devices/system/memory/"
#define MAX_ARGS 32
#define TEXT 65536u
#define NOBODY 65534u

/* ---- a server ------------------------------------------------------------------- */

struct server {
	char dir[64];
	pid_t pid;
	FILE *out; /* both streams */
	char line[512];
};

/* Why none of this can be tried here; NULL: it can. */
static const char *missing(void)
{
	if (geteuid())
		return "only root may mount here";
	if (access("/dev/fuse", R_OK | W_OK))
		return "there is no /dev/fuse";
	return NULL;
}

static void skip_unless_ready(void)
{
	const char *why = missing();

	if (!why)
		return;
	print_message("skipped: %s\n", why);
	skip();
}

/* Start hvo serve with these arguments on @dir, which is made if it is NULL. */
static void start(struct server *s, const char *dir, const char *args)
{
	char text[512], *argv[MAX_ARGS], *save = NULL;
	int fds[2], n = 0;

	if (dir)
		(void)snprintf(s->dir, sizeof(s->dir), "%s", dir);
	else
		strcpy(s->dir, "/tmp/test_serve.XXXXXX");
	if (!dir)
		assert_non_null(mkdtemp(s->dir));
	(void)snprintf(text, sizeof(text), "hvo serve --mount %s %s", s->dir, args);
	for (argv[n] = strtok_r(text, " ", &save); argv[n] && n < MAX_ARGS - 1;)
		argv[++n] = strtok_r(NULL, " ", &save);
	assert_int_equal(pipe(fds), 0);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (!s->pid) {
		dup2(fds[1], 1);
		dup2(fds[1], 2);
		close(fds[0]);
		close(fds[1]);
		execv(HVO_COMMAND, argv);
		_exit(127);
	}
	close(fds[1]);
	s->out = fdopen(fds[0], "r");
	assert_non_null(s->out);
	if (!fgets(s->line, sizeof(s->line), s->out))
		s->line[0] = '\0';
}

static void start_well(struct server *s, const char *args)
{
	start(s, NULL, args);
	if (strncmp(s->line, "serving ", 8) != 0)
		fail_msg("hvo serve %s: %s", args, s->line);
}

/* Its exit status, or 128 and the signal that ended it. */
static int wait_for(struct server *s)
{
	int status;

	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	(void)fclose(s->out);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool is_mounted(const char *dir)
{
	char line[4096], what[128];
	FILE *f = fopen("/proc/self/mounts", "r");
	bool found = false;

	assert_non_null(f);
	(void)snprintf(what, sizeof(what), " %s fuse.hvofs ", dir);
	while (fgets(line, sizeof(line), f))
		found = found || strstr(line, what);
	(void)fclose(f);
	return found;
}

static void stop(struct server *s)
{
	assert_int_equal(kill(s->pid, SIGTERM), 0);
	while (fgets(s->line, sizeof(s->line), s->out))
		print_message("%s", s->line);
	assert_int_equal(wait_for(s), 0);
	assert_false(is_mounted(s->dir));
	assert_int_equal(rmdir(s->dir), 0);
}

/* ---- its files --------------------------------------------------------------------- */

static int open_file(const struct server *s, const char *path, int flags)
{
	char full[256];
	int fd;

	(void)snprintf(full, sizeof(full), "%s/%s", s->dir, path);
	fd = open(full, flags, 0644);
	return fd < 0 ? -errno : fd;
}

/* All of a file. */
static void read_file(const struct server *s, const char *path, char *text)
{
	int fd = open_file(s, path, O_RDONLY);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		fail_msg("%s: %s", path, strerror(-fd));
	while ((n = read(fd, text + len, TEXT - 1 - len)) > 0)
		len += (size_t)n;
	assert_int_equal(n, 0);
	text[len] = '\0';
	close(fd);
}

static uint64_t number(const struct server *s, const char *path)
{
	static char text[TEXT];

	read_file(s, path, text);
	return strtoull(text, NULL, 10);
}

/* 0 or negative errno. */
static int put(const struct server *s, const char *path, const char *text)
{
	int fd = open_file(s, path, O_WRONLY | O_TRUNC), rc;
	ssize_t n;

	if (fd < 0)
		return fd;
	n = write(fd, text, strlen(text));
	rc = n < 0 ? -errno : 0;
	close(fd);
	return rc;
}

static bool there(const struct server *s, const char *path)
{
	struct stat st;
	char full[256];

	(void)snprintf(full, sizeof(full), "%s/%s", s->dir, path);
	return !stat(full, &st);
}

static uint64_t field_of(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	if (!at) {
		fail_msg("no %s in: %s", key, text);
		return 0;
	}
	return strtoull(at + strlen(key) + strspn(at + strlen(key), ": "), NULL, 10);
}

/* ---- as a file system ------------------------------------------------------------------ */

static void test_files(void **state)
{
	static char text[TEXT], again[TEXT];
	struct server s;
	struct stat st;
	char full[256];
	int fd;

	(void)state;
	skip_unless_ready();
	start_well(&s, "--memory 512M --hotplug 256M --sparse");
	assert_true(is_mounted(s.dir));
	(void)snprintf(full, sizeof(full), "%s/proc/meminfo", s.dir);
	assert_int_equal(stat(full, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0444);
	assert_int_equal(st.st_size, 0);
	(void)snprintf(full, sizeof(full), "%s/%s", s.dir, HUGE "nr_hugepages");
	assert_int_equal(stat(full, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0644);
	assert_int_equal(st.st_size, 4096);

	/* In pieces it is one picture; from the start, a new one. */
	fd = open_file(&s, "proc/meminfo", O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, 10), 10);
	assert_int_equal(put(&s, HUGE "nr_hugepages", "7\n"), 0);
	text[10 + read(fd, text + 10, TEXT - 11)] = '\0';
	assert_int_equal(field_of(text, "HugePages_Total"), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	again[read(fd, again, TEXT - 1)] = '\0';
	assert_int_equal(field_of(again, "HugePages_Total"), 7);
	assert_int_equal(strlen(text), strlen(again));
	close(fd);

	/* Sections come and go. */
	assert_false(there(&s, MEMORY "memory4/state"));
	assert_int_equal(put(&s, MEMORY "probe", "0x20000000"), 0);
	assert_true(there(&s, MEMORY "memory4/state"));
	(void)snprintf(full, sizeof(full), "%s/sys/devices/system/node/node0/memory4/state", s.dir);
	assert_int_equal(stat(full, &st), 0); /* through the link */
	assert_int_equal(put(&s, "sys/kernel/hvo/remove_memory", "0x20000000"), 0);
	assert_false(there(&s, MEMORY "memory4/state"));
	assert_int_equal(put(&s, MEMORY "memory4/state", "online"), -ENOENT);
	stop(&s);
}

/* ---- what others can make of it -------------------------------------------------------- */

/*
 * Another user opens and reads a file, or a directory, until that fails: how often it went well,
 * or negative errno where it failed for another reason than a limit of the server's.
 */
static int open_many(const struct server *s, uid_t uid, const char *path, int flags)
{
	const struct rlimit enough = { 4096, 4096 };
	int fds[2], nr = 0, fd, status;
	char byte;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (setrlimit(RLIMIT_NOFILE, &enough) || setresuid(uid, uid, uid))
			_exit(1);
		for (; (fd = open_file(s, path, flags)) >= 0 && nr < 2000; nr++)
			if (!(flags & O_DIRECTORY) && read(fd, &byte, 1) != 1)
				_exit(2);
		if (fd < 0 && fd != -EMFILE)
			nr = fd;
		/* It is not this process that has too many. */
		if (open("/dev/null", O_RDONLY) < 0)
			nr = -errno;
		/* One less, and there is room for one more. */
		close(nr > 0 ? fd < 0 ? 3 + nr : fd : -1);
		if (nr > 0 && nr < 2000 && open_file(s, path, flags) < 0)
			nr = -ETIME;
		_exit(write(fds[1], &nr, sizeof(nr)) != (ssize_t)sizeof(nr));
	}
	close(fds[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(read(fds[0], &nr, sizeof(nr)), sizeof(nr));
	close(fds[0]);
	return nr;
}

static void test_many_files(void **state)
{
	struct server s;

	(void)state;
	skip_unless_ready();
	start_well(&s, "--memory 128M --platform sim");
	assert_int_equal(open_many(&s, NOBODY, "proc/meminfo", O_RDONLY), OPENED_USER_FILES);
	/* What was closed counts no longer. */
	assert_int_equal(open_many(&s, NOBODY, "sys/kernel/mm", O_RDONLY | O_DIRECTORY),
			 OPENED_USER_FILES);
	assert_int_equal(open_many(&s, NOBODY - 1, "proc/meminfo", O_RDONLY), OPENED_USER_FILES);
	/* Root's own files have no limit. */
	assert_int_equal(open_many(&s, 0, "proc/meminfo", O_RDONLY), 2000);
	stop(&s);
}

static void test_opened(void **state)
{
	struct opened o = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct opened_user *a, *b, *c, *root;
	uint64_t most = OPENED_USER_BYTES, i;

	(void)state;
	assert_int_equal(opened_add(&o, 1, &a), 0);
	assert_int_equal(opened_resize(&o, a, 0, most), 0);
	assert_int_equal(opened_resize(&o, a, most, most + 1), -EBUSY);
	/* Again the same, and less. */
	assert_int_equal(opened_resize(&o, a, most, most), 0);
	assert_int_equal(opened_resize(&o, a, most, 10), 0);
	assert_int_equal(opened_resize(&o, a, 10, most), 0);
	/* All together. */
	for (i = 1; i < OPENED_BYTES / OPENED_USER_BYTES; i++) {
		assert_int_equal(opened_add(&o, (uid_t)(100 + i), &b), 0);
		assert_int_equal(opened_resize(&o, b, 0, most), 0);
	}
	assert_int_equal(opened_add(&o, 2, &c), 0);
	assert_int_equal(opened_resize(&o, c, 0, 1), -EBUSY);
	/* Root is not in that sum, and not kept from reading by it. */
	assert_int_equal(opened_add(&o, 0, &root), 0);
	assert_int_equal(opened_resize(&o, root, 0, 2 * OPENED_BYTES), 0);
	opened_remove(&o, root, 2 * OPENED_BYTES);
	opened_remove(&o, a, most);
	assert_int_equal(opened_resize(&o, c, 0, most), 0);
	opened_remove(&o, c, most);
	for (i = 1; i < OPENED_BYTES / OPENED_USER_BYTES; i++) {
		assert_int_equal(opened_add(&o, (uid_t)(100 + i), &b), 0);
		opened_remove(&o, b, most);
		opened_remove(&o, b, 0);
	}
	assert_null(o.users);
	assert_int_equal(o.all.bytes, 0);
	/* So many users that no one of them has too many. */
	for (i = 0; i < OPENED_FILES; i++)
		assert_int_equal(opened_add(&o, (uid_t)(1 + i % 16), &a), 0);
	assert_int_equal(opened_add(&o, 50, &a), -ENFILE);
	assert_int_equal(opened_add(&o, 0, &root), 0);
	opened_remove(&o, root, 0);
	while (o.users)
		opened_remove(&o, o.users, 0);
	assert_int_equal(o.all.files, 0);
}

static void test_errors(void **state)
{
	static char text[TEXT];
	char full[256], other[256];
	struct server s;
	int fd;

	(void)state;
	skip_unless_ready();
	start_well(&s, "--memory 256M --sparse");
	assert_int_equal(put(&s, HUGE "nr_hugepages", "abc"), -EINVAL);
	assert_int_equal(put(&s, HUGE "nr_hugepages", "18446744073709551616"), -ERANGE);
	assert_int_equal(put(&s, HUGE "free_hugepages", "1"), -EACCES);
	assert_int_equal(put(&s, "proc/meminfo", "1"), -EACCES);
	assert_int_equal(open_file(&s, "proc/sys/vm/compact_memory", O_RDONLY), -EACCES);
	assert_int_equal(open_file(&s, "proc/x", O_WRONLY | O_CREAT), -ENOENT);
	assert_int_equal(open_file(&s, "sys/x", O_WRONLY | O_CREAT), -EACCES);

	(void)snprintf(full, sizeof(full), "%s/sys/x", s.dir);
	assert_int_equal(mkdir(full, 0755), -1);
	assert_int_equal(errno, EPERM);
	(void)snprintf(other, sizeof(other), "%s/proc/meminfo", s.dir);
	assert_int_equal(unlink(other), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(rename(other, full), -1);
	assert_int_equal(errno, EPERM);

	/* Of proc/sys the first write counts, of sys each one does, with a page of it. */
	fd = open_file(&s, "proc/sys/vm/nr_hugepages", O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "3", 1), 1);
	assert_int_equal(write(fd, "9", 1), 1);
	close(fd);
	assert_int_equal(number(&s, "proc/sys/vm/nr_hugepages"), 3);
	memset(text, '0', 8192);
	text[8191] = '5';
	fd = open_file(&s, HUGE "nr_hugepages", O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, 8192), 4096);
	assert_int_equal(number(&s, HUGE "nr_hugepages"), 0);
	assert_int_equal(write(fd, text + 4096, 4096), 4096);
	assert_int_equal(number(&s, HUGE "nr_hugepages"), 5);
	close(fd);

	fd = open_file(&s, "proc/kpageflags", O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, text, 16, 8), 16);
	assert_int_equal(pread(fd, text, 7, 0), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(pread(fd, text, 16, 65536 * 8 - 8), 8);
	assert_int_equal(pread(fd, text, 16, 65536 * 8), 0);
	close(fd);
	stop(&s);
}

/* ---- how it ends ------------------------------------------------------------------------- */

static void test_signals(void **state)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	struct server s;
	unsigned int i;

	(void)state;
	skip_unless_ready();
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		start_well(&s, i ? "--memory 128M --sparse" : "--memory 128M --platform sim");
		kill(s.pid, signals[i]);
		assert_int_equal(wait_for(&s), 0);
		assert_false(is_mounted(s.dir));
		assert_int_equal(rmdir(s.dir), 0);
	}
}

static void test_unmount(void **state)
{
	struct server s;

	(void)state;
	skip_unless_ready();
	start_well(&s, "--memory 128M --sparse");
	assert_int_equal(umount(s.dir), 0);
	assert_int_equal(wait_for(&s), 0);
	assert_int_equal(rmdir(s.dir), 0);
}

/* It lets go of its user when it is ready, and of all that it was given. */
static void test_background(void **state)
{
	struct server s;
	char text[TEXT];
	int status = -1;

	(void)state;
	skip_unless_ready();
	/* What it leaves behind is ours to wait for. */
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	start_well(&s, "--memory 128M --hugepages 2M=5 --background");
	assert_null(fgets(s.line, sizeof(s.line), s.out));
	assert_int_equal(wait_for(&s), 0);
	assert_true(is_mounted(s.dir));
	read_file(&s, HUGE "nr_hugepages", text);
	assert_string_equal(text, "5\n");
	assert_int_equal(umount(s.dir), 0);
	assert_true(waitpid(-1, &status, 0) > 0);
	assert_int_equal(status, 0);
	assert_int_equal(rmdir(s.dir), 0);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

/* Nothing can be done about SIGKILL; the next one says so, and what helps. */
static void test_killed(void **state)
{
	struct server s, next;

	(void)state;
	skip_unless_ready();
	start_well(&s, "--memory 128M --sparse");
	kill(s.pid, SIGKILL);
	assert_int_equal(wait_for(&s), 128 + SIGKILL);
	start(&next, s.dir, "--memory 128M --sparse");
	assert_non_null(strstr(next.line, "fusermount3 -u"));
	assert_int_equal(wait_for(&next), 1);
	assert_int_equal(umount(s.dir), 0);
	start(&next, s.dir, "--memory 128M --sparse");
	assert_int_equal(strncmp(next.line, "serving ", 8), 0);
	stop(&next);
}

static void refused(const char *dir, const char *args, const char *why, int status)
{
	struct server s;

	start(&s, dir, args);
	if (!strstr(s.line, why))
		fail_msg("hvo serve %s on %s: %s", args, dir, s.line);
	assert_null(fgets(s.line, sizeof(s.line), s.out)); /* one line */
	assert_int_equal(wait_for(&s), status);
	assert_false(is_mounted(s.dir));
}

static void test_refusals(void **state)
{
	char dir[] = "/tmp/test_serve.XXXXXX", inner[64];

	(void)state;
	skip_unless_ready();
	assert_non_null(mkdtemp(dir));
	refused(dir, "--memory 100M", "128 MiB", 2);
	refused(dir, "--memory 0", "needs some memory", 2);
	refused(dir, "--memory 8T", "no memory", 1);
	refused(dir, "--memory 8T --background", "no memory", 1);
	refused(dir, "--hugepagesz 3M", "3M", 2);
	refused(dir, "--policy carve", "on-demand", 2);
	refused(dir, "--movable 1G", "--movable: all of a node or more; together with --memory", 2);
	refused(dir, "--hugepages 2M=0:1,1", "0:2,1:3", 2);
	refused(dir, "--hugepages 2M=0:1,0:1", "twice", 2);
	refused(dir, "--hugepages 2M=0:1,", "0:2,1:3", 2);
	refused(dir, "--hugepages 2M=1:1", "--hugepages", 2);
	refused(dir, "--nodes 2 --movable-nodes 2", "--movable-nodes", 2);
	refused(dir, "--nodes 2 --movable-nodes 0,1", "--movable-nodes", 2);
	(void)snprintf(inner, sizeof(inner), "%s/x", dir);
	refused(inner, "", "no such directory", 1);
	assert_int_equal(mkdir(inner, 0755), 0);
	refused(dir, "", "not empty", 1);
	assert_int_equal(rmdir(inner), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* In a process of its own. What is mounted is the directory that was looked at. */
static int mount_swapped(const char *dir, const char *old, const char *other)
{
	const struct hvo_config cfg = { .size = sizeof(cfg),
					.memory_bytes = 128 << 20,
					.nr_nodes = 1 };
	const struct hvo_sim_options opt = { .size = sizeof(opt), .seed = 1 };
	struct hvo_machine *m;
	struct hvofs *fs;
	struct hvo_sim *sim;
	struct tree *tree;
	int fd, wrong = 0;

	if (hvo_sim_create(&cfg, &opt, &sim))
		return 1;
	m = hvo_sim_machine(sim);
	if (tree_new(m, NULL, &tree) || hvofs_check(dir, &fd))
		return 2;
	if (rename(dir, old) || symlink(other, dir))
		return 3;
	if (hvofs_mount(tree, m, dir, fd, false, &fs))
		return 4;
	if (!is_mounted(old))
		wrong = 5;
	if (is_mounted(other))
		wrong = 6;
	hvofs_free(fs);
	if (!wrong && (is_mounted(old) || is_mounted(other)))
		wrong = 7;
	tree_free(tree);
	hvo_sim_close(sim);
	return wrong;
}

/* The directory is in one of another user's, who puts a link in its place. */
static void test_swapped(void **state)
{
	char top[] = "/tmp/test_serve.XXXXXX", dir[64], old[64], other[64];
	int status;
	pid_t pid;

	(void)state;
	skip_unless_ready();
	assert_non_null(mkdtemp(top));
	assert_int_equal(chown(top, NOBODY, NOBODY), 0);
	(void)snprintf(dir, sizeof(dir), "%s/theirs", top);
	(void)snprintf(old, sizeof(old), "%s/old", top);
	(void)snprintf(other, sizeof(other), "%s/other", top);
	assert_int_equal(mkdir(dir, 0755), 0);
	assert_int_equal(mkdir(other, 0755), 0);
	pid = fork();
	if (!pid)
		_exit(mount_swapped(dir, old, other));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)umount2(old, MNT_DETACH);
	(void)umount2(other, MNT_DETACH);
	assert_int_equal(status, 0);
	/* And none is followed from the start. */
	assert_int_equal(lchown(dir, NOBODY, NOBODY), 0);
	refused(dir, "", "another user", 1);
	assert_int_equal(unlink(dir), 0);
	assert_int_equal(rmdir(old), 0);
	assert_int_equal(rmdir(other), 0);
	assert_int_equal(rmdir(top), 0);
}

static void test_boot(void **state)
{
	static char text[TEXT];
	struct server s;

	(void)state;
	skip_unless_ready();
	start_well(&s, "--memory 4G --nodes 2 --platform sim --mode linux --policy carve "
		       "--hugepages 1G=1 --hugepages 2M=100");
	assert_int_equal(number(&s, "sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages"), 1);
	assert_int_equal(number(&s, HUGE "nr_hugepages"), 100);
	assert_int_equal(number(&s, HUGE "folded_hugepages"), 100);
	read_file(&s, HUGE "restore_policy", text);
	assert_non_null(strstr(text, "[carve]"));
	read_file(&s, "sys/kernel/hvo/events", text);
	assert_int_equal(field_of(text, "free_refused"), 0);
	assert_int_equal(number(&s, "proc/sys/vm/hugetlb_optimize_vmemmap"), 1);
	/* What its one thread puts off is done after each write. */
	assert_int_equal(put(&s, HUGE "nr_hugepages", "0"), 0);
	assert_int_equal(number(&s, HUGE "deferred_hugepages"), 0);
	stop(&s);
}

/* Pages on the nodes that were named, and a node whose memory is all movable. */
static void test_boot_nodes(void **state)
{
	static char text[TEXT];
	struct server s;

	(void)state;
	skip_unless_ready();
	start_well(&s, "--memory 9G --nodes 3 --platform sim --mode linux --movable-nodes 0 "
		       "--hugepages 1G=1:1,2:2 --hugepages 2M=0:30,2:7");
	assert_int_equal(number(&s, NODE0 "hugepages-1048576kB/nr_hugepages"), 0);
	assert_int_equal(number(&s, NODE2 "hugepages-1048576kB/nr_hugepages"), 2);
	assert_int_equal(number(&s, NODE0 "hugepages-2048kB/nr_hugepages"), 30);
	assert_int_equal(number(&s, HUGE "nr_hugepages"), 37);
	read_file(&s, "sys/devices/system/node/has_normal_memory", text);
	assert_string_equal(text, "1-2\n");
	read_file(&s, "sys/devices/system/node/has_memory", text);
	assert_string_equal(text, "0-2\n");
	read_file(&s, "proc/zoneinfo", text);
	assert_non_null(strstr(text, "Node 0, zone  Movable"));
	stop(&s);
}

/* ---- many at a time ------------------------------------------------------------------------- */

#define ROUNDS 60u

static void resize(const struct server *s, const char *path, unsigned int seed)
{
	char nr[16];
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		(void)snprintf(nr, sizeof(nr), "%d", rand_r(&seed) % 100);
		if (put(s, path, nr))
			_exit(1);
	}
}

static void look(const struct server *s)
{
	static const char *const paths[] = { "proc/meminfo", "proc/zoneinfo", "proc/pagetypeinfo",
					     "sys/kernel/hvo/memory_map", "proc/kpageflags" };
	static char text[TEXT];
	unsigned int i;
	ssize_t n;
	int fd;

	for (i = 0; i < ROUNDS; i++) {
		fd = open_file(s, paths[i % 5], O_RDONLY);
		if (fd < 0)
			_exit(1);
		while ((n = read(fd, text, TEXT)) > 0)
			;
		if (n < 0)
			_exit(1);
		close(fd);
	}
}

/* Memory comes and goes under them. Taking it offline may fail, in any round. */
static void plug(const struct server *s)
{
	unsigned int i;

	for (i = 0; i < ROUNDS / 4; i++) {
		if (!there(s, MEMORY "memory4") && put(s, MEMORY "probe", "0x20000000"))
			_exit(1);
		(void)put(s, MEMORY "memory4/state", "online_movable");
		if (!put(s, MEMORY "memory4/state", "offline") &&
		    put(s, "sys/kernel/hvo/remove_memory", "0x20000000"))
			_exit(1);
	}
}

static void together(const char *args)
{
	static const char *const paths[] = {
		HUGE "nr_hugepages",
		"proc/sys/vm/nr_hugepages",
		"sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages",
	};
	static char text[TEXT];
	pid_t pids[6];
	struct server s;
	unsigned int i;
	int status;

	start_well(&s, args);
	for (i = 0; i < 6; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i])
			continue;
		if (i < 3)
			resize(&s, paths[i], i);
		else if (i < 5)
			look(&s);
		else
			plug(&s);
		_exit(0);
	}
	for (i = 0; i < 6; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		if (status)
			fail_msg("process %u failed", i);
	}
	assert_int_equal(put(&s, HUGE "nr_hugepages", "0"), 0);
	read_file(&s, "proc/meminfo", text);
	assert_int_equal(field_of(text, "HugePages_Total"), 0);
	assert_int_equal(field_of(text, "Hugetlb"), 0);
	assert_true(field_of(text, "MemFree") <= field_of(text, "MemTotal"));
	stop(&s);
}

static void test_together(void **state)
{
	(void)state;
	skip_unless_ready();
	together("--memory 512M --nodes 2 --hotplug 128M --mode linux --sparse");
	together("--memory 512M --nodes 2 --hotplug 128M --sparse");
}

/* ---- the tools that administrators use ------------------------------------------------------------ */

/* Standard output of a command where the machine's files lie over the kernel's. */
static char *in_its_place(const struct server *s, const char *command, int *ret_status)
{
	static const char *const over[] = {
		"sys/kernel/mm/hugepages",
		"sys/devices/system/node",
		"sys/devices/system/memory",
		"proc/meminfo",
		"proc/vmstat",
		"proc/zoneinfo",
		"proc/buddyinfo",
		"proc/sys/vm/nr_hugepages",
		"proc/sys/vm/nr_hugepages_mempolicy",
		"proc/sys/vm/nr_overcommit_hugepages",
		"proc/sys/vm/hugetlb_shm_group",
		"proc/sys/vm/min_free_kbytes",
	};
	static char line[8192], out[TEXT];
	size_t len, i;
	FILE *f;

	/* unshare -m makes its mounts private: nobody else sees them. */
	len = (size_t)snprintf(line, sizeof(line), "exec unshare -m sh -c '");
	for (i = 0; i < sizeof(over) / sizeof(over[0]); i++)
		len += (size_t)snprintf(line + len, sizeof(line) - len,
					"mount --bind %s/%s /%s && ", s->dir, over[i], over[i]);
	(void)snprintf(line + len, sizeof(line) - len, "exec %s 2>/dev/null'", command);
	f = popen(line, "r");
	assert_non_null(f);
	len = fread(out, 1, sizeof(out) - 1, f);
	out[len] = '\0';
	*ret_status = pclose(f);
	return out;
}

static char *tool(const struct server *s, const char *command)
{
	int status;
	char *out = in_its_place(s, command, &status);

	if (status)
		fail_msg("%s: status %d: %s", command, status, out);
	return out;
}

/* hugeadm --pool-list: Size Minimum Current Maximum [Default] */
static void check_list(const struct server *s, uint64_t size, uint64_t minimum, uint64_t current,
		       uint64_t maximum)
{
	uint64_t n[4] = { 0 };
	char *save = NULL, *at = tool(s, "hugeadm --pool-list");

	for (at = strtok_r(at, "\n", &save); at; at = strtok_r(NULL, "\n", &save)) {
		if (sscanf(at, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &n[0], &n[1], &n[2],
			   &n[3]) != 4 ||
		    n[0] != size)
			continue;
		assert_int_equal(n[1], minimum);
		assert_int_equal(n[2], current);
		assert_int_equal(n[3], maximum);
		assert_int_equal(strchr(at, '*') != NULL, size == 2 << 20);
		return;
	}
	fail_msg("no pages of %" PRIu64 " in the list", size);
}

/* The running kernel's own pool, which nothing here may touch. */
static uint64_t host_pages(void)
{
	static const struct server host = { .dir = "" };

	return there(&host, HUGE "nr_hugepages") ? number(&host, HUGE "nr_hugepages") : 0;
}

/* Nobody else changes that meanwhile: the tests that do take the same lock. */
static int host_lock(void)
{
	int fd = open("/" HUGE "nr_hugepages", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	return fd;
}

static bool has_tool(const char *name)
{
	char line[128];

	(void)snprintf(line, sizeof(line), "command -v %s >/dev/null", name);
	if (!system(line))
		return true;
	print_message("skipped: there is no %s\n", name);
	return false;
}

static bool has_pool_on_host(void)
{
	static const struct server host = { .dir = "" };

	if (there(&host, HUGE "nr_hugepages"))
		return true;
	print_message("skipped: the running kernel has no pool of 2 MiB to lie over\n");
	return false;
}

static void hugeadm(const char *args)
{
	int lock = host_lock();
	uint64_t before = host_pages();
	struct server s;

	start_well(&s, args);
	check_list(&s, 2 << 20, 0, 0, 0);
	check_list(&s, 1 << 30, 0, 0, 0);
	assert_non_null(strstr(tool(&s, "hugeadm --page-sizes-all"), "2097152\n1073741824\n"));
	tool(&s, "hugeadm --pool-pages-min 2M:+10");
	check_list(&s, 2 << 20, 10, 10, 10);
	assert_int_equal(number(&s, HUGE "nr_hugepages"), 10);
	assert_int_equal(number(&s, HUGE "free_hugepages"), 10);
	tool(&s, "hugeadm --pool-pages-max 2M:25");
	check_list(&s, 2 << 20, 10, 10, 25);
	assert_int_equal(number(&s, HUGE "nr_overcommit_hugepages"), 15);
	tool(&s, "hugeadm --hard --pool-pages-min 2M:20");
	check_list(&s, 2 << 20, 20, 20, 25);
	tool(&s, "hugeadm --pool-pages-min 2M:-13");
	check_list(&s, 2 << 20, 7, 7, 25);
	tool(&s, "hugeadm --pool-pages-min 1G:1");
	check_list(&s, 1 << 30, 1, 1, 1);
	assert_int_equal(number(&s, "proc/sys/vm/nr_hugepages"), 7);
	assert_int_equal(host_pages(), before);
	close(lock);
	stop(&s);
}

static void test_hugeadm(void **state)
{
	(void)state;
	skip_unless_ready();
	if (!has_tool("hugeadm") || !has_pool_on_host())
		skip();
	hugeadm("--memory 3G --platform sim --mode linux");
	hugeadm("--memory 3G --platform sim");
}

static double column(const char *text, const char *row, int col)
{
	const char *at = strstr(text, row);
	double v[3] = { 0 };

	if (!at || sscanf(at + strlen(row), "%lf %lf %lf", &v[0], &v[1], &v[2]) != 3)
		fail_msg("no row %s in: %s", row, text);
	return v[col];
}

#define OFFLINE(how_) "/sys/devices/system/memory/" how_ "_offline_page"

static void test_numastat(void **state)
{
	static char meminfo[TEXT];
	double total;
	struct server s;
	char *out;

	(void)state;
	skip_unless_ready();
	if (!has_tool("numastat") || !has_pool_on_host())
		skip();
	start_well(&s, "--memory 1G --nodes 2 --platform sim");
	assert_int_equal(put(&s, HUGE "nr_hugepages", "30"), 0);
	assert_int_equal(
		put(&s, "sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages",
		    "5"),
		0);
	out = tool(&s, "numastat -m");
	assert_true(column(out, "HugePages_Total", 0) == 30.0); /* MiB */
	assert_true(column(out, "HugePages_Total", 1) == 10.0);
	assert_true(column(out, "HugePages_Free", 2) == 40.0);
	read_file(&s, "proc/meminfo", meminfo);
	total = column(out, "MemTotal", 2) * 1024 - (double)field_of(meminfo, "MemTotal");
	assert_true(total > -11 && total < 11); /* two digits behind the point are shown */
	out = tool(&s, "numastat");
	assert_true(strstr(out, "numa_hit") != NULL);
	stop(&s);
}

/*
 * Page offlining, as rasdaemon does it where a page has had too many errors: may the file be
 * written, then the address in hexadecimal, softly; and hard where that is refused. Frame 65536 is
 * free; frame 0 holds descriptors, and moves.
 */
static void test_page_offline(void **state)
{
	struct server s;
	int status;

	(void)state;
	skip_unless_ready();
	if (access("/sys/devices/system/memory", F_OK) || !has_pool_on_host())
		skip();
	start_well(&s, "--memory 1G --platform sim");
	assert_string_equal(
		tool(&s, "sh -c \"[ -w " OFFLINE("soft") " ] && printf %#x 268435456 > " OFFLINE(
				 "soft") " && grep HardwareCorrupted /proc/meminfo\""),
		"HardwareCorrupted:     4 kB\n");
	assert_string_equal(tool(&s, "sh -c \"printf 0x0 > " OFFLINE(
					     "soft") " && grep HardwareCorrupted /proc/meminfo\""),
			    "HardwareCorrupted:     8 kB\n");
	in_its_place(&s, "sh -c \"printf 0x7f0000000000 > " OFFLINE("soft") "\"", &status);
	assert_true(status != 0);
	assert_string_equal(
		tool(&s,
		     "sh -c \"printf 0x20000000 > " OFFLINE(
			     "hard") " && cat /sys/devices/system/node/node0/memory_failure/recovered\""),
		"1\n");
	stop(&s);
}

/* ---- lending ------------------------------------------------------------------------- */

/* Until the pool has so many free pages: what a client had comes back in the server's time. */
static void wait_free(const struct server *s, uint64_t nr)
{
	unsigned int i;

	for (i = 0; number(s, HUGE "free_hugepages") != nr; i++) {
		if (i == 30000)
			fail_msg("%" PRIu64 " free, not %" PRIu64, number(s, HUGE "free_hugepages"),
				 nr);
		usleep(1000);
	}
}

static void test_lend(void **state)
{
	static char text[TEXT];
	struct hvo_client *client = NULL;
	struct hvo_loan loan = { .size = sizeof(loan) };
	struct server s;
	char path[96], args[256];

	(void)state;
	skip_unless_ready();
	(void)snprintf(path, sizeof(path), "/tmp/test_serve.%d.socket", (int)getpid());
	(void)snprintf(args, sizeof(args),
		       "--memory 256M --hugepages 2M=16 --socket %s --quota-client 8M "
		       "--quota-user 16M --allow-uid 12345",
		       path);
	start_well(&s, args);
	assert_int_equal(hvo_client_connect(path, &client), 0);
	assert_int_equal(hvo_client_borrow(client, HVO_PAGEBLOCK_ORDER, 5, HVO_NODE_ANY, &loan),
			 -EDQUOT);
	assert_int_equal(hvo_client_borrow(client, HVO_PAGEBLOCK_ORDER, 3, HVO_NODE_ANY, &loan), 0);
	assert_int_equal(number(&s, HUGE "nr_hugepages"), 16);
	assert_int_equal(number(&s, HUGE "free_hugepages"), 13);
	assert_int_equal(number(&s, "sys/kernel/hvo/lend/clients"), 1);
	assert_int_equal(number(&s, "sys/kernel/hvo/lend/refused"), 1);
	read_file(&s, "sys/kernel/hvo/lend/pages", text);
	assert_non_null(strstr(text, "hugepages-2048kB 3 pending 0 pinned 3\n"));
	read_file(&s, "sys/kernel/hvo/lend/limit", text);
	assert_int_equal(field_of(text, "client_bytes"), 8 << 20);
	assert_int_equal(field_of(text, "user_bytes"), 16 << 20);
	hvo_client_close(client);
	close(loan.fd);
	wait_free(&s, 16);
	assert_int_equal(hvo_client_connect(path, &client), 0);
	assert_int_equal(hvo_client_borrow(client, HVO_PAGEBLOCK_ORDER, 3, HVO_NODE_ANY, &loan), 0);
	/* The server ends with pages lent. */
	stop(&s);
	assert_int_equal(hvo_client_return(client, &loan), -EPIPE);
	hvo_client_close(client);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void test_lend_refused(void **state)
{
	static const char *const args[] = {
		"--quota-client 1G",
		"--quota-user 1G",
		"--allow-uid 5",
		"--socket /nowhere/at/all --quota-user 0",
		"--socket /nowhere/at/all --allow-uid -1",
		"--socket /nowhere/at/all --platform sim",
		"--arena anonymous --platform sim",
		"--arena hugetlb:3M",
	};
	struct server s;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(args) / sizeof(args[0]); i++) {
		start(&s, "/tmp", args[i]);
		assert_int_equal(wait_for(&s), 2);
	}
	skip_unless_ready();
	start(&s, NULL, "--memory 128M --socket /nowhere/at/all");
	assert_non_null(strstr(s.line, "/nowhere/at/all"));
	assert_int_equal(wait_for(&s), 1);
	assert_int_equal(rmdir(s.dir), 0);
}

/* What the memory is made of, and how much of it is huge in hardware. */
static void test_arena(void **state)
{
	static const char *const kinds[] = { "memfd", "anonymous" };
	static char text[TEXT];
	struct server s;
	uint64_t bytes;
	char args[64];
	size_t i;

	(void)state;
	skip_unless_ready();
	for (i = 0; i < 2; i++) {
		(void)snprintf(args, sizeof(args), "--memory 128M --arena %s", kinds[i]);
		start_well(&s, args);
		read_file(&s, "sys/kernel/hvo/arena", text);
		text[strcspn(text, "\n")] = '\0';
		assert_string_equal(text, kinds[i]);
		bytes = number(&s, "sys/kernel/hvo/arena_bytes");
		assert_int_equal(bytes, 128 << 20);
		assert_true(number(&s, "sys/kernel/hvo/arena_huge_bytes") <= bytes);
		stop(&s);
	}
	/* The library's own sentence. */
	start(&s, NULL, "--memory 128M --arena anonymous --layout virtual");
	assert_non_null(strstr(s.line, "the table layout can be had"));
	assert_int_equal(wait_for(&s), 1);
	assert_int_equal(rmdir(s.dir), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),	     cmocka_unit_test(test_errors),
		cmocka_unit_test(test_signals),	     cmocka_unit_test(test_unmount),
		cmocka_unit_test(test_background),   cmocka_unit_test(test_killed),
		cmocka_unit_test(test_refusals),     cmocka_unit_test(test_boot),
		cmocka_unit_test(test_together),     cmocka_unit_test(test_hugeadm),
		cmocka_unit_test(test_page_offline), cmocka_unit_test(test_numastat),
		cmocka_unit_test(test_lend),	     cmocka_unit_test(test_lend_refused),
		cmocka_unit_test(test_many_files),   cmocka_unit_test(test_boot_nodes),
		cmocka_unit_test(test_opened),	     cmocka_unit_test(test_swapped),
		cmocka_unit_test(test_arena),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
