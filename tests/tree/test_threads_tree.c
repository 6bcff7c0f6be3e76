// SPDX-License-Identifier: MIT
/*
 * The files of a machine read by some threads while others resize its pools, allocate, and
 * plug memory in and out.
 */
#include "crew.h"
#include "harness.h"

#include "tree/tree.h"

#include <hvo/hvo.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define HUGE "/sys/kernel/mm/hugepages/hugepages-2048kB/"
#define MEMORY "/sys/devices/system/memory/"
#define ROUNDS 40u
#define NR_THREADS 6u

struct job {
	struct rig *rig;
	struct tree *tree;
	atomic_uint running; /* of those that change something */
	atomic_uint failures;
};

/* ---- reading everything --------------------------------------------------------------- */

struct walk {
	struct job *job;
	char path[256];
};

static int walk_one(void *arg, const char *name, mode_t mode)
{
	struct walk *w = arg;
	size_t len = strlen(w->path), n;
	char *text;
	int rc = 0;

	(void)snprintf(w->path + len, sizeof(w->path) - len, "/%s", name);
	if (S_ISDIR(mode))
		rc = tree_list(w->job->tree, w->path, walk_one, w);
	else if (mode & 0444)
		rc = tree_read(w->job->tree, w->path, &text, &n);
	if (!rc && !S_ISDIR(mode) && mode & 0444)
		free(text);
	/* It may have gone since it was listed. */
	if (rc && rc != -ENOENT && rc != -ENODEV)
		atomic_fetch_add(&w->job->failures, 1);
	w->path[len] = '\0';
	return 0;
}

static void *read_all(void *arg)
{
	struct job *job = arg;
	struct walk w = { .job = job };

	do {
		if (tree_list(job->tree, "/", walk_one, &w))
			atomic_fetch_add(&job->failures, 1);
	} while (atomic_load(&job->running));
	return NULL;
}

/* ---- changing things ------------------------------------------------------------------------ */

static int put(struct job *job, const char *path, const char *text)
{
	return tree_write(job->tree, path, text, strlen(text));
}

static void *resize(void *arg)
{
	struct job *job = arg;
	uint64_t seed = rig_seed(1);
	char nr[16];
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		(void)snprintf(nr, sizeof(nr), "%u", (unsigned int)(rig_random(&seed) % 60));
		if (put(job, HUGE "nr_hugepages", nr))
			atomic_fetch_add(&job->failures, 1);
	}
	atomic_fetch_sub(&job->running, 1);
	return NULL;
}

static void *plug(void *arg)
{
	struct job *job = arg;
	mode_t mode;
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		if (tree_mode(job->tree, MEMORY "memory2", &mode) &&
		    put(job, MEMORY "probe", "0x10000000"))
			atomic_fetch_add(&job->failures, 1);
		(void)put(job, MEMORY "memory2/state", "online_movable");
		/* It may be busy. */
		if (!put(job, MEMORY "memory2/state", "offline") &&
		    put(job, "/sys/kernel/hvo/remove_memory", "0x10000000"))
			atomic_fetch_add(&job->failures, 1);
	}
	atomic_fetch_sub(&job->running, 1);
	return NULL;
}

static void *allocate(void *arg)
{
	struct job *job = arg;
	struct hvo_machine *m = job->rig->m;
	unsigned int i, k, nr;
	hvo_pfn_t pfn[200];

	for (i = 0; i < ROUNDS; i++) {
		for (nr = 0; nr < 200; nr++)
			if (hvo_alloc_pages(m, HVO_GFP_KERNEL | HVO_GFP_NOWARN, nr % 3,
					    HVO_NODE_ANY, &pfn[nr]))
				break;
		for (k = 0; k < nr; k++)
			hvo_put_page(m, pfn[k]);
		(void)hvo_collapse(m, UINT64_MAX, NULL);
	}
	atomic_fetch_sub(&job->running, 1);
	return NULL;
}

static void together(enum hvo_mode mode)
{
	static void *(*const work[NR_THREADS])(void *arg) = { resize,	plug,	  allocate,
							      read_all, read_all, read_all };
	struct hvo_config cfg = rig_config(mode, 256);
	struct job job = { .running = 3 };
	struct crew crew = { 0 };
	struct rig rig;
	unsigned int i;

	cfg.hotplug_bytes = 128 * MIB;
	rig_open(&rig, RIG_LINUX, &cfg);
	rig.quiet = true;
	rig_pool_new(&rig, HVO_PAGEBLOCK_ORDER);
	assert_int_equal(tree_new(rig.m, NULL, &job.tree), 0);
	job.rig = &rig;
	for (i = 0; i < NR_THREADS; i++)
		crew_add(&crew, work[i], &job);
	crew_go(&crew);
	crew_join(&crew);
	assert_int_equal(job.failures, 0);
	assert_int_equal(put(&job, HUGE "nr_hugepages", "0"), 0);
	rig_audit(&rig);
	tree_free(job.tree);
	rig_close(&rig);
}

static void test_on_demand(void **state)
{
	(void)state;
	together(HVO_ON_DEMAND);
}

static void test_linux(void **state)
{
	(void)state;
	together(HVO_LINUX);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_on_demand),
		cmocka_unit_test(test_linux),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
