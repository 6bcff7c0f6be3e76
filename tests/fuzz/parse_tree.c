// SPDX-License-Identifier: MIT
/*
 * Writes to the served tree of a machine of the sim. The machine is made once, and comes back to
 * its first state before each input.
 */
#include "parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <hvo/contig.h>
#include <hvo/sim.h>

#include "platform/sim/internal.h"
#include "tree/tree.h"

#define MAX_PATHS 256u
#define MAX_WRITES 8u

static struct hvo_sim *sim;
static char *paths[MAX_PATHS];
static unsigned int nr_paths;

static void open_machine(void)
{
	struct hvo_config cfg = { .size = sizeof(cfg),
				  .memory_bytes = 3 * HVO_SECTION_SIZE,
				  .movable_bytes = HVO_SECTION_SIZE,
				  .hotplug_bytes = HVO_SECTION_SIZE,
				  .cma_bytes = HVO_SECTION_SIZE,
				  .optimize = true };
	struct hvo_pool *pool;
	struct hvo_cma *cma;

	must(!hvo_sim_create(&cfg, NULL, &sim), "no machine");
	must(!hvo_pool_create(hvo_sim_machine(sim), HVO_PAGEBLOCK_ORDER, &pool), "no pool");
	must(!hvo_pool_resize(pool, HVO_NODE_ANY, 2, NULL), "no pages");
	must(!hvo_cma_create(hvo_sim_machine(sim), 0, HVO_SECTION_SIZE >> HVO_FRAME_SHIFT, &cma),
	     "no area");
	must(!hvo_sim_save(sim), "no snapshot");
}

struct walk {
	struct tree *tree;
	const char *dir;
};

static int add_path(void *arg, const char *name, mode_t mode)
{
	const struct walk *from = arg;
	struct walk walk = { from->tree, NULL };
	char *path = NULL;

	must(asprintf(&path, "%s/%s", from->dir, name) > 0, "out of memory");
	if (S_ISREG(mode) && mode & 0200 && nr_paths < MAX_PATHS) {
		paths[nr_paths++] = path;
		return 0;
	}
	walk.dir = path;
	if (S_ISDIR(mode))
		(void)tree_list(from->tree, path, add_path, &walk);
	free(path);
	return 0;
}

/* The file that a byte chooses, and what is written to it, ended by '\0'; again and again. */
void parse_tree(struct input *in)
{
	struct walk walk = { NULL, "" };
	struct tree *t;
	char *text, *content;
	unsigned int i;
	const char *path;
	size_t len;

	if (!sim)
		open_machine();
	hvo_sim_restore(sim);
	must(!tree_new(hvo_sim_machine(sim), NULL, &t), "no tree");
	walk.tree = t;
	if (!nr_paths)
		(void)tree_list(t, "/", add_path, &walk);
	for (i = 0; in->left && i < MAX_WRITES; i++) {
		path = paths[input_byte(in) % nr_paths];
		text = input_text(in);
		(void)tree_write(t, path, text, strlen(text));
		free(text);
		content = NULL;
		if (!tree_read(t, path, &content, &len))
			must(strlen(content) == len, "a file with a zero in it");
		free(content);
	}
	tree_free(t);
	parse_audit(hvo_sim_machine(sim));
}
