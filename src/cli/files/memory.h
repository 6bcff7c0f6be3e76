/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLI_FILES_MEMORY_H
#define HVO_CLI_FILES_MEMORY_H

#include "pools.h"
#include "root.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Memory, and what its descriptors take, from the files of a kernel or of a served machine. */

struct memory_info {
	uint64_t total, free;
	uint64_t available; /* as meminfo says; of a node: what is free */
};

#define MEMORY_FILE "proc/meminfo"

/* @node: or POOLS_ALL_NODES. 0 or negative errno; -ENODATA: MEMORY_FILE lacks a line. */
int memory_read(const struct root *root, int node, struct memory_info *ret);

/*
 * Free memory in blocks that are whole, of @bytes or more: from buddyinfo. -ERANGE: the
 * buddy allocator knows no such blocks.
 */
int memory_whole_free(const struct root *root, int node, uint64_t bytes, uint64_t *ret);

/*
 * Free memory above the min watermarks of the zones that descriptors come from, all but Movable:
 * from zoneinfo. 0 or negative errno.
 */
int memory_for_descriptors(const struct root *root, int node, uint64_t *ret);

/**
 * struct memmap_info - descriptors; all in bytes
 * @has_now: the kernel counts them (Linux 6.11 and later)
 * @now_err: else why not; -ENODATA: it does not
 * @now: nr_memmap_boot_pages + nr_memmap_pages
 * @has_full: the memory blocks are listed
 * @full: what the array of all memory blocks would take, all of it present
 * @has_saved: @full - @now is what pages of the pools can have saved. Where a memory block
 *             has holes, or other things are counted in, it is not
 * @could: if all pages of the pools were optimised
 * @has_switch, @on: vm.hugetlb_optimize_vmemmap. On-demand mode needs none: there it does not count
 * @switch_err: why there is none; -ENOENT: the kernel has none, anything else: nobody knows
 */
struct memmap_info {
	bool has_now, has_full, has_saved, has_switch;
	bool on, on_demand;
	int now_err, switch_err;
	uint64_t now, full, saved, could;
};

void memmap_read(const struct root *root, const struct pools *pools, struct memmap_info *ret);

/* What "hvo" is in JSON. */
json_t *memmap_json(const struct memmap_info *m);

/* A counter of vmstat; 0 or negative errno, -ENODATA if it is not counted. */
int memory_vmstat(const struct root *root, const char *name, uint64_t *ret);

#define MEMORY_COUNTERS "proc/vmstat"
#define MEMORY_SWITCH "proc/sys/vm/hugetlb_optimize_vmemmap"

#endif
