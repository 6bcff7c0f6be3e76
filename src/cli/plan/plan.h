/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLI_PLAN_PLAN_H
#define HVO_CLI_PLAN_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Hosts, and what they would save; see saving.h for the formulas. */

#define PLAN_NO_FRACTION (-1.0)

struct plan_pool {
	uint64_t bytes; /* of a page: a power of two */
	uint64_t pages;
};

/**
 * struct plan_host - hosts that are alike
 * @count: how many of them
 * @descriptor: bytes of a descriptor
 * @line: of the list, where it was met first
 */
struct plan_host {
	char *name;
	uint64_t count, memory, descriptor;
	struct plan_pool *pool;
	unsigned int nr_pools;
	unsigned long line;
};

/**
 * struct plan - all of them
 * @assumed: the part of the memory in huge pages that nobody asked for, or PLAN_NO_FRACTION
 */
struct plan {
	struct plan_host *host;
	unsigned int nr;
	double assumed;
};

/**
 * struct plan_saving - in bytes, of one host or of many
 * @array: all descriptors
 * @huge: memory in huge pages
 * @hvo, @hvo_tables: saved by HVO, and page tables that it adds at most
 * @least, @most: saved by on-demand mode if all memory outside of huge pages is cut into small
 *                frames, and if none is
 * @tables: page tables of on-demand mode at most
 */
struct plan_saving {
	uint64_t memory, array, huge;
	uint64_t hvo, hvo_tables;
	uint64_t least, most, tables;
};

struct plan_host *plan_add(struct plan *plan, const char *name);
void plan_add_pool(struct plan_host *host, uint64_t bytes, uint64_t pages);
void plan_free(struct plan *plan);

/* A number from 0 to 1. False if it is none. */
bool plan_fraction(const char *text, double *ret);
/* Pages of @bytes that this part of the memory is. */
uint64_t plan_pages(uint64_t memory, double fraction, uint64_t bytes);

/* False if it does not fit in 64 bits. */
bool plan_host_saving(const struct plan_host *host, struct plan_saving *ret);
bool plan_total(const struct plan *plan, struct plan_saving *ret);

/**
 * plan_read_csv() - a list of hosts
 * @file: its name, for errors
 * @fraction: of hosts for which the list does not say how many pages, or PLAN_NO_FRACTION
 *
 * Return: CLI_OK; CLI_FAILED after one line on standard error, and *@ret is untouched.
 */
int plan_read_csv(FILE *f, const char *file, double fraction, struct plan *ret);

#endif
