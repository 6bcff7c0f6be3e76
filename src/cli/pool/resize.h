/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLI_POOL_RESIZE_H
#define HVO_CLI_POOL_RESIZE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Changing a pool and seeing what came of it. Linux calls a write to nr_hugepages a success
 * whatever happened: what counts is read back. And it tries a refused free again only if the
 * number is raised to the total first, which makes what is surplus persistent and takes no
 * memory, and lowered then; to write the same number again does nothing.
 *
 * How a pool is read and written comes from the caller: files of a kernel, or a model.
 */

/**
 * struct resize_counts - a pool, or that of one node
 * @total: pages, with those that are surplus; the others are persistent
 * @stuck: free, promised to nobody, and surplus: pool_stuck()
 * @overcommit: limit of surplus, of all nodes
 */
struct resize_counts {
	uint64_t total, free, surplus, stuck;
	uint64_t reserved, overcommit;
};

/**
 * struct resize_ops - all that it needs; results are 0 or negative errno
 * @write_nr: set the number of persistent pages
 * @demote: turn so many pages into smaller ones
 * @pause: wait; may be cut short by a signal
 * @interrupted: has the user had enough?
 * @progress: called after each step, with what is there now
 */
struct resize_ops {
	int (*read)(void *ctx, struct resize_counts *ret);
	int (*write_nr)(void *ctx, uint64_t nr);
	int (*demote)(void *ctx, uint64_t nr);
	uint64_t (*now_ns)(void *ctx);
	void (*pause)(void *ctx, uint64_t ns);
	bool (*interrupted)(void *ctx);
	void (*progress)(void *ctx, const struct resize_counts *now, uint64_t wanted);
};

#define RESIZE_NO_WAIT UINT64_C(0)
#define RESIZE_WAIT_FOREVER UINT64_MAX

/* Rounds that change nothing before it gives up, if it is not to wait. */
#define RESIZE_IDLE_ROUNDS 3u
#define RESIZE_PAUSE_NS UINT64_C(100000000)
#define RESIZE_PAUSE_MAX_NS UINT64_C(1600000000)
#define RESIZE_STEPS UINT64_C(64)

/**
 * struct resize_report - what came of it
 * @err: of the last read or write, 0 or negative errno; nothing was tried after it
 * @missing: persistent pages that could not be had
 * @extra: persistent pages more than wanted: somebody else changed the pool
 * @refused: pages that are free and that Linux did not free
 * @held: pages that stay because they are used or promised; they go when let go
 * @retries: rounds after the first pass
 * @done: all as wanted
 */
struct resize_report {
	struct resize_counts before, after;
	uint64_t wanted;
	int err;
	uint64_t missing, extra, refused, held;
	uint64_t retries;
	bool done;
	bool interrupted;
};

/**
 * resize_run() - make a pool have @wanted persistent pages, and no page that should be gone
 * @step: pages of a write at least; there are RESIZE_STEPS of them at most
 * @wait_ns: how long to go on where it does not work
 *
 * Without waiting, too, it goes on as long as each round changes something. The state after an
 * interruption is that of a pool between two steps: @after tells.
 */
void resize_run(const struct resize_ops *ops, void *ctx, uint64_t wanted, uint64_t step,
		uint64_t wait_ns, struct resize_report *ret);

/**
 * struct demote_report - what came of demoting
 * @demoted: pages that became smaller ones
 * @err: -ENOMEM: their descriptors could not be had; -EBUSY: what is free has failed
 *       frames; or of a read or write; 0 with fewer than @wanted: no more were free
 */
struct demote_report {
	struct resize_counts before, after;
	uint64_t wanted, demoted;
	int err;
	uint64_t retries;
	bool interrupted;
};

/*
 * resize_demote() - one page after the other: each of them needs memory for a moment, 16 MiB
 * for a page of 1 GiB, and Linux would take it for all of them at once.
 */
void resize_demote(const struct resize_ops *ops, void *ctx, uint64_t wanted, uint64_t wait_ns,
		   struct demote_report *ret);

#endif
