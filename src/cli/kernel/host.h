/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLI_KERNEL_HOST_H
#define HVO_CLI_KERNEL_HOST_H

#include "guardian.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The HugeTLB pool of the kernel that this runs on, as a peer to measure against.
 * Two settings are changed for it: vm.hugetlb_optimize_vmemmap, and the number of
 * huge pages of 2 MiB. Whatever happens to this process, a guardian puts both back.
 */

#define HOST_MAX_PAGES 2048u /* 4 GiB */
#define HOST_REASON_LEN 160

/**
 * struct host - a time in which the settings may be changed
 * @guardian: puts them back
 * @nr_fd, @switch_fd: the two settings
 * @base: pages of the pool before
 * @optimize: the switch before
 */
struct host {
	struct guardian guardian;
	int nr_fd;
	int switch_fd;
	uint64_t base;
	bool optimize;
};

/**
 * host_probe() - can the kernel's pool be measured here?
 * @nr: pages that it would grow by
 * @other_bytes: memory that will be used besides
 * @reason: why not
 *
 * Changes nothing.
 */
bool host_probe(uint64_t nr, uint64_t other_bytes, char reason[HOST_REASON_LEN]);

/**
 * host_begin() - save the settings and start the guardian
 *
 * The guardian is a fork of this process: call it before a machine is open.
 * Return: false, with @reason, if it could not be done; nothing is changed then.
 */
bool host_begin(struct host *h, char reason[HOST_REASON_LEN]);

/**
 * host_measure() - grow the pool by @nr pages and shrink it again
 * @optimize: the switch while growing
 * @ret_grow_ns, @ret_shrink_ns: time of the write that did it
 *
 * Return: pages that were really added and taken away again; less than @nr if the
 * kernel found no more, or did not give all back. Times are set in any case.
 */
uint64_t host_measure(struct host *h, uint64_t nr, bool optimize, double *ret_grow_ns,
		      double *ret_shrink_ns);

/* Make the pool @nr pages larger, until host_end(). Returns by how many it is. */
uint64_t host_grow(struct host *h, uint64_t nr);

/* Put the settings back and end the guardian. False, and a line, if they are not as before. */
bool host_end(struct host *h);

/* Memory that this process may still use: MemAvailable, or less in a memory cgroup. */
uint64_t host_memory_available(void);

#endif
