// SPDX-License-Identifier: MIT
/*
 * The files of a machine while the host has no memory: each allocation fails once, and all from
 * there on. A tree is built or not, a file says the same as before or -ENOMEM, a write is done or
 * has changed nothing; and nothing is left behind.
 */
#include "harness.h"
#include "refuse.h"

#include "tree/tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MEMORY "/sys/devices/system/memory/"
#define VM "/proc/sys/vm/"
#define MAX_POINTS 10000u
/* To build a tree is to ask for memory once a file, mostly in one way. */
#define STEP_LATER 13u
#define FIRST_POINTS 200u

struct stand {
	struct rig rig;
	struct tree *tree;
};

static void stand_up(struct stand *s)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 512);

	cfg.nr_nodes = 2;
	cfg.cma_bytes = 128 * MIB;
	cfg.hotplug_bytes = 256 * MIB;
	rig_open(&s->rig, RIG_SIM, &cfg);
	rig_pool_new(&s->rig, HVO_PAGEBLOCK_ORDER);
	rig_pool_new(&s->rig, HVO_PAGEBLOCK_ORDER + 1);
	s->tree = NULL;
}

static void tear_down(struct stand *s)
{
	rig_audit(&s->rig);
	tree_free(s->tree);
	rig_close(&s->rig);
}

/* ---- built ------------------------------------------------------------------------- */

static void test_build(void **state)
{
	unsigned long point;
	unsigned int sticky;
	struct stand s;
	int rc = -ENOMEM;

	(void)state;
	stand_up(&s);
	for (sticky = 0; sticky < 2; sticky++) {
		for (point = 1; point < MAX_POINTS;
		     point += point < FIRST_POINTS ? 1 : STEP_LATER) {
			repeat_with("HVO_POINT", "%lu", point);
			refuse_from(point, sticky, ENOMEM);
			rc = tree_new(s.rig.m, NULL, &s.tree);
			if (!refuse_end())
				break;
			assert_int_equal(rc, -ENOMEM);
			assert_null(s.tree);
		}
		assert_in_range(point, FIRST_POINTS, MAX_POINTS - 1);
		assert_int_equal(rc, 0);
		tree_free(s.tree);
		s.tree = NULL;
	}
	repeat_with("HVO_POINT", NULL);
	tear_down(&s);
}

/* One more file: there or not, and what was there stays. */
static int show_nothing(void *arg, FILE *out)
{
	(void)arg;
	(void)out;
	return 0;
}

static void test_add(void **state)
{
	static const struct tree_file file = { .mode = 0444, .show = show_nothing };
	unsigned long point;
	struct stand s;
	mode_t mode;
	int rc;

	(void)state;
	stand_up(&s);
	assert_int_equal(tree_new(s.rig.m, NULL, &s.tree), 0);
	for (point = 1; point < 20; point++) {
		refuse_from(point, false, ENOMEM);
		rc = tree_add(s.tree, "/a/b/c", &file, NULL);
		if (!refuse_end())
			break;
		assert_int_equal(rc, -ENOMEM);
		assert_int_equal(tree_mode(s.tree, "/a/b/c", &mode), -ENOENT);
		assert_int_equal(tree_mode(s.tree, "/a", &mode), -ENOENT);
	}
	assert_in_range(point, 4, 19);
	assert_int_equal(rc, 0);
	assert_int_equal(tree_mode(s.tree, "/a/b/c", &mode), 0);
	assert_int_equal(mode, S_IFREG | 0444);
	tear_down(&s);
}

/* ---- read ----------------------------------------------------------------------------- */

struct walk {
	struct tree *tree;
	const char *dir;
	unsigned int nr; /* files that were read */
};

/* With each allocation that fails: the content, or the error and nothing. */
static int read_refused(struct tree *tree, const char *path)
{
	char *before, *text, none;
	size_t before_len, len;
	unsigned long point;
	bool failed = true;
	int rc = tree_read(tree, path, &before, &before_len);

	if (rc)
		return rc;
	for (point = 1; failed; point++) {
		repeat_with("HVO_POINT", "%lu of %s", point, path);
		text = &none;
		len = 77;
		refuse_from(point, false, ENOMEM);
		rc = tree_read(tree, path, &text, &len);
		failed = refuse_end();
		if (rc) {
			assert_true(failed);
			assert_int_equal(rc, -ENOMEM);
			assert_ptr_equal(text, &none);
			assert_int_equal(len, 77);
			continue;
		}
		assert_int_equal(len, before_len);
		assert_memory_equal(text, before, len);
		free(text);
	}
	/* There is the stream at least. */
	assert_true(point > 2);
	free(before);
	return 0;
}

static int read_below(void *arg, const char *name, mode_t mode)
{
	struct walk *w = arg, below = { .tree = w->tree };
	char path[512];
	int rc;

	(void)snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	below.dir = path;
	rc = S_ISDIR(mode) ? tree_list(w->tree, path, read_below, &below) :
			     read_refused(w->tree, path);
	w->nr += S_ISDIR(mode) ? below.nr : !rc;
	return rc == -EACCES ? 0 : rc;
}

static void test_read(void **state)
{
	struct walk w = { .dir = "" };
	struct stand s;
	hvo_pfn_t pfn;

	(void)state;
	stand_up(&s);
	assert_int_equal(tree_new(s.rig.m, NULL, &s.tree), 0);
	/* A frame that failed in use, which kpageflags asks the record for. */
	pfn = rig_alloc(&s.rig, HVO_GFP_KERNEL, 0);
	assert_int_equal(hvo_memory_failure(s.rig.m, pfn), -HVO_EBUSY);
	w.tree = s.tree;
	assert_int_equal(tree_list(s.tree, "/", read_below, &w), 0);
	assert_true(w.nr > 100);
	repeat_with("HVO_POINT", NULL);
	rig_put(&s.rig, pfn);
	tear_down(&s);
}

/* ---- written --------------------------------------------------------------------------- */

static void is(struct stand *s, const char *path, const char *expected)
{
	char *text;
	size_t len;

	assert_int_equal(tree_read(s->tree, path, &text, &len), 0);
	assert_string_equal(text, expected);
	free(text);
}

/* Refused at each allocation, and then done. */
static void write_refused(struct stand *s, const char *path, const char *written,
			  const char *counter, const char *before, const char *after)
{
	unsigned long point;
	int rc;

	for (point = 1;; point++) {
		is(s, counter, before);
		refuse_from(point, false, ENOMEM);
		rc = tree_write(s->tree, path, written, strlen(written));
		if (!refuse_end())
			break;
		assert_int_equal(rc, -ENOMEM);
	}
	assert_true(point > 1);
	assert_int_equal(rc, 0);
	is(s, counter, after);
}

static void test_write(void **state)
{
	struct stand s;

	(void)state;
	stand_up(&s);
	assert_int_equal(tree_new(s.rig.m, NULL, &s.tree), 0);
	write_refused(&s, VM "nr_hugepages", "3", VM "nr_hugepages", "0\n", "3\n");
	write_refused(&s, VM "hugetlb_shm_group", "7", VM "hugetlb_shm_group", "0\n", "7\n");
	/* What failed before is looked up in a list that needs memory. */
	write_refused(&s, MEMORY "hard_offline_page", "0x5000000",
		      "/sys/kernel/hvo/poisoned_frames", "0\n", "1\n");
	tear_down(&s);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_build),
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_write),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
