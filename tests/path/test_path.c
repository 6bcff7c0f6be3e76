// SPDX-License-Identifier: MIT
/*
 * Paths in directories of other users: root is not led elsewhere, whoever made what he follows,
 * and what is everyday goes on to work.
 *
 * States and locks: none; a directory of a test's own, which belongs to another user.
 */
#include "harness.h"

#include "cli/files/root.h"
#include "path/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534u

/* Somebody's directory, and beside it a file that he may not write. */
struct place {
	char top[64], dir[80], victim[80];
};

static void in(char path[128], const struct place *p, const char *name)
{
	(void)snprintf(path, 128, "%s/%s", p->dir, name);
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

#define assert_text(path, expected) text_is(path, expected, __LINE__)
static void text_is(const char *path, const char *expected, int line)
{
	char text[64] = "";
	FILE *f = fopen(path, "r");

	if (!f)
		fail_msg("line %d: %s: %s", line, path, strerror(errno));
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	(void)fclose(f);
	if (strcmp(text, expected) != 0)
		fail_msg("line %d: %s holds '%s', not '%s'", line, path, text, expected);
}

static void setup(struct place *p)
{
	strcpy(p->top, "/tmp/hvo-path-XXXXXX");
	assert_non_null(mkdtemp(p->top));
	assert_int_equal(chmod(p->top, 0755), 0);
	(void)snprintf(p->dir, sizeof(p->dir), "%s/theirs", p->top);
	(void)snprintf(p->victim, sizeof(p->victim), "%s/victim", p->top);
	write_text(p->victim, "precious\n");
	assert_int_equal(mkdir(p->dir, 0755), 0);
	if (!geteuid())
		assert_int_equal(chown(p->dir, NOBODY, NOBODY), 0);
}

static void teardown(struct place *p)
{
	char line[128];

	(void)snprintf(line, sizeof(line), "rm -rf %s", p->top);
	assert_int_equal(system(line), 0);
}

/* A link in the directory, by who has it. */
static void put_link(const struct place *p, const char *target, const char *name, uid_t uid)
{
	char path[128];

	in(path, p, name);
	(void)unlink(path);
	assert_int_equal(symlink(target, path), 0);
	if (!geteuid())
		assert_int_equal(lchown(path, uid, uid), 0);
}

static int opened(int fd)
{
	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

static void put_text(int fd, const char *text)
{
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* ---- following ------------------------------------------------------------------------ */

static void test_create(void **state)
{
	char path[128], name[NAME_MAX + 1];
	struct place p;
	int fds[2];

	(void)state;
	if (geteuid() != 0)
		skip();
	setup(&p);
	in(path, &p, "plain");
	put_text(path_create(path, 0644), "a");
	assert_text(path, "a");
	/* At the end, on the way, behind another link, and where nothing is yet. */
	put_link(&p, p.victim, "last", NOBODY);
	in(path, &p, "last");
	assert_int_equal(path_create(path, 0644), -ELOOP);
	put_link(&p, p.top, "way", NOBODY);
	in(path, &p, "way/victim");
	assert_int_equal(path_create(path, 0644), -ELOOP);
	in(path, &p, "way/new");
	assert_int_equal(path_create(path, 0644), -ELOOP);
	assert_int_equal(path_make_dir(path, 0755), -ELOOP);
	assert_int_equal(path_open_parent(path, name), -ELOOP);
	put_link(&p, "last", "first", 0);
	in(path, &p, "first");
	assert_int_equal(path_create(path, 0644), -ELOOP);
	in(path, &p, "way/.");
	assert_int_equal(path_open_dir(path), -ELOOP);
	in(path, &p, "way");
	assert_int_equal(path_open_dir(path), -ELOOP);
	assert_text(p.victim, "precious\n");

	/* Root's own are followed: /var/run, /dev/stdout, ... */
	put_link(&p, "..", "way", 0);
	in(path, &p, "way/./theirs/../victim");
	put_text(path_create(path, 0644), "mine");
	assert_text(p.victim, "mine");
	put_link(&p, p.victim, "last", 0);
	in(path, &p, "last");
	put_text(path_create(path, 0644), "again");
	assert_text(p.victim, "again");
	assert_int_equal(pipe(fds), 0);
	(void)snprintf(path, sizeof(path), "/dev/fd/%d", fds[1]);
	put_text(path_create(path, 0644), "through");
	assert_int_equal(read(fds[0], path, sizeof(path)), 7);
	close(fds[0]);
	close(fds[1]);
	put_link(&p, "round", "round", 0);
	in(path, &p, "round");
	assert_int_equal(path_create(path, 0644), -ELOOP);
	teardown(&p);
}

/* Who is not root gets nowhere that he could not go himself: all links are followed. */
static void test_others(void **state)
{
	struct place p;
	char path[128];
	int status;
	pid_t pid;

	(void)state;
	setup(&p);
	put_link(&p, p.top, "way", NOBODY);
	pid = fork();
	if (!pid) {
		if (!geteuid() && setresuid(NOBODY - 1, NOBODY - 1, NOBODY - 1))
			_exit(1);
		in(path, &p, "way/theirs/way");
		_exit(opened(path_open_dir(path)) ? 2 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	teardown(&p);
}

static void test_forms(void **state)
{
	char name[NAME_MAX + 1], path[5000];
	struct place p;

	(void)state;
	setup(&p);
	assert_int_equal(path_open_dir(""), -ENOENT);
	assert_int_equal(opened(path_open_dir("/")), 0);
	assert_int_equal(opened(path_open_dir(".")), 0);
	assert_int_equal(opened(path_open_dir("//tmp//")), 0);
	assert_int_equal(path_open_dir(p.victim), -ENOTDIR);
	assert_int_equal(path_open_dir("/nowhere/at/all"), -ENOENT);
	assert_int_equal(opened(path_open_parent("/", name)), 0);
	assert_string_equal(name, ".");
	assert_int_equal(opened(path_open_parent("/tmp/", name)), 0);
	assert_string_equal(name, ".");
	assert_int_equal(opened(path_open_parent("new", name)), 0);
	assert_string_equal(name, "new");
	(void)snprintf(path, sizeof(path), "%s/x", p.victim);
	assert_int_equal(path_open_parent(path, name), -ENOTDIR);
	assert_int_equal(path_create(p.dir, 0644), -EISDIR);
	assert_int_equal(path_create("/", 0644), -EISDIR);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(path_open_dir(path), -ENAMETOOLONG);
	path[NAME_MAX + 1] = '\0';
	assert_int_equal(path_open_parent(path, name), -ENAMETOOLONG);
	teardown(&p);
}

/* ---- --root ------------------------------------------------------------------------------ */

/* A tree that somebody made, and in it all that could lead out of it. */
static void test_root(void **state)
{
	char path[128], target[128], *text = NULL;
	struct root root;
	struct place p;

	(void)state;
	setup(&p);
	in(path, &p, "sys");
	assert_int_equal(mkdir(path, 0755), 0);
	in(path, &p, "sys/real");
	write_text(path, "7\n");
	put_link(&p, p.victim, "sys/absolute", NOBODY);
	put_link(&p, "../../victim", "sys/relative", NOBODY);
	put_link(&p, "../..", "sys/up", NOBODY);
	put_link(&p, "/proc/self/fd/0", "sys/magic", NOBODY);
	put_link(&p, "../sys/real", "sys/inside", NOBODY);
	put_link(&p, "/sys/real", "sys/from_top", NOBODY);
	in(path, &p, "sys/fifo");
	assert_int_equal(mkfifo(path, 0666), 0);

	assert_int_equal(root_open(&root, p.dir), 0);
	assert_true(root_write(&root, "spoilt", "sys/absolute") < 0);
	assert_true(root_write(&root, "spoilt", "sys/relative") < 0);
	assert_true(root_write(&root, "spoilt", "sys/up/victim") < 0);
	assert_true(root_write(&root, "spoilt", "sys/up/../victim") < 0);
	assert_true(root_write(&root, "spoilt", "../victim") < 0);
	assert_true(root_write(&root, "spoilt", "sys/magic") < 0);
	assert_true(root_read(&root, &text, "sys/absolute") < 0);
	assert_true(root_read(&root, &text, "../victim") < 0);
	assert_text(p.victim, "precious\n");
	/* Nobody waits for whoever would write to it. */
	assert_int_equal(root_read(&root, &text, "sys/fifo"), -EINVAL);
	/* As in a kernel's tree: /sys/bus/node/devices/node0. */
	assert_int_equal(root_read(&root, &text, "sys/inside"), 0);
	assert_string_equal(text, "7\n");
	free(text);
	assert_int_equal(root_write(&root, "8\n", "sys/from_top"), 0);
	in(target, &p, "sys/real");
	assert_text(target, "8\n");
	root_close(&root);

	/* Not even to its beginning. */
	if (!geteuid()) {
		put_link(&p, "/", "root", NOBODY);
		in(path, &p, "root");
		assert_int_equal(root_open(&root, path), -ELOOP);
	}
	teardown(&p);
}

/* The kernel's own, with the links that it has. */
static void test_root_of_kernel(void **state)
{
	struct root root;
	char *text = NULL;

	(void)state;
	assert_int_equal(root_open(&root, "/"), 0);
	assert_int_equal(root_read(&root, &text, "proc/meminfo"), 0);
	free(text);
	if (!access("/sys/bus/node/devices/node0/meminfo", R_OK)) {
		assert_int_equal(root_read(&root, &text, "sys/bus/node/devices/node0/meminfo"), 0);
		free(text);
	}
	root_close(&root);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create),	       cmocka_unit_test(test_others),
		cmocka_unit_test(test_forms),	       cmocka_unit_test(test_root),
		cmocka_unit_test(test_root_of_kernel),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
