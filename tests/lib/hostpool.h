/* SPDX-License-Identifier: MIT */
/*
 * The pools of huge pages of the kernel that this runs on, to compare with: its files
 * by name, all its counters at once, and a promise that everything is put back.
 */
#ifndef HVO_TESTS_HOSTPOOL_H
#define HVO_TESTS_HOSTPOOL_H

#include "cli/kernel/guardian.h"

#include <stdbool.h>
#include <stdint.h>

enum hostpool_size { HOSTPOOL_2M, HOSTPOOL_1G, HOSTPOOL_SIZES };

/* What a pool of one size consists of: a file each. */
enum hostpool_file {
	HOSTPOOL_NR,
	HOSTPOOL_NR_MEMPOLICY,
	HOSTPOOL_OVERCOMMIT,
	HOSTPOOL_FREE,
	HOSTPOOL_SURPLUS,
	HOSTPOOL_RESERVED,
	HOSTPOOL_NODE_NR,
	HOSTPOOL_NODE_FREE,
	HOSTPOOL_NODE_SURPLUS,
	HOSTPOOL_DEMOTE, /* from here on only of 1 GiB */
	HOSTPOOL_DEMOTE_SIZE,
	HOSTPOOL_NODE_DEMOTE,
	HOSTPOOL_FILES
};

/* And of the system. */
enum hostpool_sysctl {
	HOSTPOOL_SYSCTL_NR,
	HOSTPOOL_SYSCTL_OVERCOMMIT,
	HOSTPOOL_SYSCTL_SWITCH,
	HOSTPOOL_SYSCTLS
};

struct hostpool_counters {
	struct {
		uint64_t total, free, surplus, reserved, overcommit;
		uint64_t node_total, node_free, node_surplus;
	} pool[HOSTPOOL_SIZES];
	uint64_t persistent;   /* of 2 MiB, as the sysctl shows it */
	uint64_t memmap_boot;  /* nr_memmap_boot_pages */
	uint64_t memmap;       /* nr_memmap_pages */
	uint64_t total_frames; /* MemTotal */
};

#define HOSTPOOL_REASON 160

/**
 * struct hostpool - a time in which the kernel's pools may be changed
 * @guardian: puts everything back
 * @file, @sysctl, @vmstat, @meminfo: open files
 * @optimize: the switch before
 */
struct hostpool {
	struct guardian guardian;
	int file[HOSTPOOL_SIZES][HOSTPOOL_FILES];
	int sysctl[HOSTPOOL_SYSCTLS];
	int vmstat, meminfo;
	uint64_t optimize;
};

/**
 * hostpool_begin() - take the kernel's pools, which must be empty, and start the guardian
 * @reason: why not
 *
 * Waits for others that have them: tests, and the hvo command. Call it before there is
 * anything that a fork should not have.
 * Return: false if it cannot be done here; nothing is changed then.
 */
bool hostpool_begin(struct hostpool *hp, char reason[HOSTPOOL_REASON]);

/* Put everything back. False if something is not as it was. */
bool hostpool_reset(const struct hostpool *hp);
/* And let go of it. */
bool hostpool_end(struct hostpool *hp);

/* 0 or a negative errno. */
int hostpool_write(const struct hostpool *hp, enum hostpool_size size, enum hostpool_file file,
		   const char *text);
int hostpool_write_nr(const struct hostpool *hp, enum hostpool_size size, enum hostpool_file file,
		      uint64_t nr);
int hostpool_write_sysctl(const struct hostpool *hp, enum hostpool_sysctl sysctl, uint64_t nr);

/* Fails only if the files do not look like Linux's. */
bool hostpool_counters(const struct hostpool *hp, struct hostpool_counters *ret);
/* The sum of the two counters of descriptor pages alone. */
bool hostpool_memmap(const struct hostpool *hp, uint64_t *ret);

#endif
