/* SPDX-License-Identifier: MIT */
#ifndef HVO_TREE_INTERNAL_H
#define HVO_TREE_INTERNAL_H

#include "tree.h"

#include <hvo/contig.h>
#include <hvo/hotplug.h>
#include <hvo/migrate.h>

#include <stdatomic.h>

/*
 * What the files of the tree share. Each directory is a table of rows: name, mode, what
 * writes the content, what takes a write. All rows of a directory are called with the same
 * place, which says what they are about.
 */

/* A file or a directory. A directory is there if something in it is. */
struct node {
	const char *name;
	const struct tree_file *file; /* NULL: a directory */
	void *arg;		      /* of the file */
	struct node *children;	      /* of a directory, in the order of strverscmp() */
	size_t nr, max;
};

/**
 * struct place - what the files of a directory are about
 * @pool, @order: of a pool's directory; @order: also the number of a CMA area
 * @node: of a node's directory, else HVO_NODE_ANY
 * @pfn: of a section's directory: its first frame
 * @on_memory: of a section that can be added: its descriptors are to lie in itself
 */
struct place {
	struct tree *tree;
	struct place *next;
	struct hvo_pool *pool;
	unsigned int order;
	int node;
	hvo_pfn_t pfn;
	atomic_bool on_memory;
};

struct text {
	struct text *next;
	char data[];
};

/**
 * struct tree - all of it
 * @default_order: of the huge pages that /proc speaks of; 0: there is no pool
 * @hotplug_start, @hotplug_end: frames that memory can be added at
 * @memmap_on_memory: memory that is added may hold its own descriptors
 * @auto_online: what becomes of memory that is added, an index of online_types[]
 * @shm_group: vm.hugetlb_shm_group, which is only kept
 * @movable_gigantic: vm.movable_gigantic_pages, as it was written
 * @soft_offline: vm.enable_soft_offline
 */
struct tree {
	struct hvo_machine *m;
	struct node root;
	struct place *places;
	struct text *names;
	unsigned int default_order;
	hvo_pfn_t hotplug_start, hotplug_end;
	atomic_int auto_online;
	bool memmap_on_memory;
	atomic_int shm_group;
	atomic_int movable_gigantic;
	atomic_int soft_offline;
};

/* clang-format off */
#define RO(name_, show_)	 { name_, { .mode = 0444, .show = show_ } }
#define RW(name_, show_, store_) { name_, { .mode = 0644, .show = show_, .store = store_ } }
#define WO(name_, store_)	 { name_, { .mode = 0200, .store = store_ } }
/* clang-format on */

#define NR_OF(a) (sizeof(a) / sizeof((a)[0]))

/* Like @about, of this tree, and as long as the tree is there. NULL: no memory. */
struct place *place_new(struct tree *t, const struct place *about);
/* Files of a directory, and what they are about; NULL: the tree, and all nodes. 0 or -ENOMEM. */
int add_dir(struct tree *t, const struct place *about, const struct tree_row *rows, size_t nr,
	    const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* The parts; each adds its files. 0 or -ENOMEM. */
int add_hugepages(struct tree *t);
int add_nodes(struct tree *t);
int add_memory(struct tree *t);
int add_proc(struct tree *t);
int add_kpage(struct tree *t);
int add_hvo(struct tree *t);
int add_cma(struct tree *t);
int add_failure(struct tree *t);

/* ---- text.c: what a write brought, as the kernel reads it -------------------------------- */

/* kstrtoul(), base 10: -EINVAL; -ERANGE. */
int parse_ulong(const char *text, uint64_t *ret);
/* kstrtoull(), any base: a physical address. The same errors. */
int parse_address(const char *text, uint64_t *ret);
/* A file of proc/sys: blanks around it, any base, what follows a blank is ignored. -EINVAL. */
int parse_sysctl_ulong(const char *text, uint64_t *ret);
/* The same, negative too. */
int parse_sysctl_int(const char *text, int *ret);
/* kstrtobool() */
int parse_bool(const char *text, bool *ret);
/* memparse(): 2M, 2048kB, 0x200000; what follows is ignored. 0 for nonsense. */
uint64_t parse_size(const char *text);
/* sysfs_streq(): one newline may follow. */
bool word_is(const char *text, const char *word);
/* What most files show: one number on a line. Returns 0. */
int show_number(FILE *out, uint64_t n);

/* ---- counters.c: frames of nodes and zones, under Linux's names ------------------------------ */

/* Linux has no zone of its own for CMA: it is part of Normal. */
enum linux_zone { ZONE_NORMAL, ZONE_MOVABLE, NR_LINUX_ZONES };

struct zone_sum {
	const char *name;
	struct hvo_zone_stat own, cma;
	struct hvo_numa_stat numa; /* of both */
	struct hvo_zone_events events;
};
#define BOTH(z, field) ((z)->own.field + (z)->cma.field)

void zone_sum(struct tree *t, int node, enum linux_zone zone, struct zone_sum *ret);
/* Frames from its first to behind its last. */
uint64_t zone_spanned(const struct zone_sum *z);

/**
 * struct counts - frames of a zone, a node or all of it
 * @available: free, less what is kept back
 * @hugetlb: in huge pages
 * @poisoned: failed; of all of it only
 */
struct counts {
	uint64_t managed, free, available;
	uint64_t free_blocks, free_cma, cma;
	uint64_t numa_hit, numa_miss, numa_foreign;
	uint64_t hugetlb, poisoned;
	uint64_t none; /* stays 0 */
};

void count_zone(struct counts *c, const struct zone_sum *z);
/* Of a node, or HVO_NODE_ANY. */
void count_node(struct tree *t, int node, struct counts *c);

/* The items of a zone or of a node, one a line in this format: name, value. */
void show_zone_items(const struct counts *c, const char *fmt, FILE *out);
void show_node_items(const struct counts *c, const char *fmt, FILE *out);

/* Frames that a descriptor in a block that is cut speaks of, as it is read without a lock. */
unsigned int cut_frames(const struct hvo_page *page);

/* All lists of nodes and the like. "0-3\n" */
void show_nodes(struct tree *t, FILE *out);
unsigned int nr_nodes(const struct tree *t);

/* One store for many files: compact_memory and node N/compact. */
int compact(struct tree *t, int node);

/* The pool of an order, all of it or of one node. */
void pool_stat(struct hvo_pool *pool, int node, struct hvo_pool_stat *ret);
/* The pools in order, smallest first; NULL after the last. @order: 0 at first. */
struct hvo_pool *next_pool(struct tree *t, unsigned int *order);

#endif
