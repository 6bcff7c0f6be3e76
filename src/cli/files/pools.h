/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLI_FILES_POOLS_H
#define HVO_CLI_FILES_POOLS_H

#include "root.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/*
 * The pools of huge pages of a kernel, or of a machine that is served in the same form, as
 * their files show them. A page is persistent or surplus; it is in use or free; a free page
 * may be promised (reserved). Files are read one after the other: while somebody changes a
 * pool the figures need not fit together.
 */

#define POOLS_ALL_NODES (-1)
#define POOLS_NAME_LEN 24
#define POOLS_POLICY_LEN 24
#define POOLS_MODE_LEN 32

struct pool_counts {
	uint64_t total; /* with surplus */
	uint64_t free;
	uint64_t surplus;
};

struct pool_node {
	int node;
	struct pool_counts counts;
};

/* What only a served machine tells; a figure that it does not tell is POOLS_UNKNOWN. */
#define POOLS_UNKNOWN UINT64_MAX
struct pool_served {
	uint64_t folded, poisoned, deferred, refused_frees, carved_frames;
	/* empty: none, or on-demand mode, which needs none */
	char policy[POOLS_POLICY_LEN], scope[POOLS_POLICY_LEN];
};

/**
 * struct pool_info - the pool of one size
 * @bytes: of a page
 * @node: those nodes that have a pool of this size; none where the kernel knows no nodes
 * @on_demand: of a machine in on-demand mode
 * @served: meaningful if @has_served
 */
struct pool_info {
	uint64_t bytes;
	struct pool_counts all;
	uint64_t reserved;
	uint64_t overcommit;
	struct pool_node *node;
	unsigned int nr_nodes;
	bool on_demand;
	bool has_served;
	struct pool_served served;
};

/**
 * struct pools - all of them
 * @node: numbers of the nodes that are there, whether they have pools or not
 * @default_bytes: size of the default pool, 0 if the files do not say
 * @mode: "on-demand", "linux": of a served machine; empty: it is a kernel
 * @err, @failed: 0, or why this file could not be read: what it belongs to is left out
 */
struct pools {
	struct pool_info *pool; /* smallest first */
	unsigned int nr;
	int *node;
	unsigned int nr_nodes;
	uint64_t default_bytes;
	char mode[POOLS_MODE_LEN];
	int err;
	char failed[ROOT_PATH_MAX];
};

/**
 * pools_open() - the tree of a command, and its pools
 * @dir: "/", or where a machine is mounted
 *
 * Return: CLI_OK, or CLI_FAILED after one line on standard error, and nothing is open.
 */
int pools_open(struct root *root, const char *dir, struct pools *ret);
/*
 * The same without a word, and with what can be read of it: see @err of the result. -ENOENT: there
 * are none at all; -ENOMEM.
 */
int pools_read(const struct root *root, struct pools *ret);
bool pools_on_demand(const struct pools *pools);
void pools_free(struct pools *pools);
void pools_close(struct root *root, struct pools *pools);

/*
 * Read the figures of one pool again. 0 or negative errno, and which file it was of is in @failed;
 * @p may be half new then.
 */
int pool_read(const struct root *root, struct pool_info *p, char failed[ROOT_PATH_MAX]);

/* The line about a file of the tree that could not be read or written. Returns CLI_FAILED. */
int pools_file_error(const char *dir, const char *path, int err);
/* What is wrong with such a file, in words. */
const char *pools_strerror(int err);

/* NULL if there is none. */
struct pool_info *pools_find(const struct pools *pools, uint64_t bytes);
const struct pool_node *pool_node(const struct pool_info *p, int node);
bool pools_has_node(const struct pools *pools, int node);

/*
 * pool_stuck() - pages that are free, promised to nobody, and yet surplus
 * @node: or POOLS_ALL_NODES
 *
 * A page that becomes free while its node has surplus leaves the pool, so such a page is one
 * that Linux refused to free. There may be more: somebody may use such a page again.
 */
uint64_t pool_stuck(const struct pool_info *p, int node);

/* Bytes of descriptors that HVO saves if all pages of the pools are optimised. */
uint64_t pools_could_save(const struct pools *pools);

/* 2M, 1G, 64K: as in arguments. */
const char *pools_name(char buf[POOLS_NAME_LEN], uint64_t bytes);
/* "2M, 1G": all that are there. */
void pools_names(const struct pools *pools, char *buf, size_t len);
/* "0, 1" */
void pools_node_names(const struct pools *pools, char *buf, size_t len);

/* The pools as a table, and as the array that "pools" is in JSON. */
void pools_print(const struct pools *pools, FILE *out);
json_t *pools_json(const struct pools *pools);

#endif
