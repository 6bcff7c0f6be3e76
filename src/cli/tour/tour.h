/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLI_TOUR_TOUR_H
#define HVO_CLI_TOUR_TOUR_H

#include "cli/kernel/host.h"
#include "common/box.h"
#include "common/cli.h"

#include <hvo/hvo.h>

#include <jansson.h>

/* What the tour finds out (tour.c), and how it is told (tour_report.c). */

/**
 * struct tour_options - what the user asked for
 * @memory_bytes: size of the machine
 * @seed: all that is random follows from it
 * @sim: the simulated platform
 * @json: JSON instead of text
 * @no_host: leave the host's own pool alone
 */
struct tour_options {
	uint64_t memory_bytes;
	uint64_t seed;
	uint32_t nr_nodes;
	bool sim, json, no_host;
};

#define TOUR_NAME_LEN 16
#define TOUR_MAX_FILLS 3u
#define TOUR_MAX_RUNS 16u
#define TOUR_MAX_TAILS 4u
#define TOUR_MAX_FINDINGS 32u
#define TOUR_HOST_ROUNDS 3u

/* The machine, as the platform got it. Sizes in bytes; what only linux knows is 0 on sim. */
struct tour_machine {
	uint64_t frames;
	uint64_t array_bytes;
	uint64_t machine_bytes;
	uint64_t backed_bytes;
	uint64_t thp_bytes;
	uint64_t huge_bytes;
	uint64_t nr_mappings;
	uint64_t max_mappings;
	uint32_t host_nodes;
	bool thp_asked;
};

/* One machine filled to the last frame. */
struct tour_fill {
	char mode[TOUR_NAME_LEN];
	uint64_t huge_pages;
	uint64_t small_frames;
	uint64_t bytes_filled;
	uint64_t frames_for_descriptors;
	uint64_t metadata_backed; /* of memory beside the machine's; 0 on sim */
	uint64_t checksum_errors;
};

/* Physical frames behind the descriptor pages of one folded block. */
struct tour_tail {
	char mode[TOUR_NAME_LEN];
	uint64_t block;
	uint64_t head_frame;
	uint64_t tail_frames[HVO_PAGEBLOCK_TAILS];
};

/**
 * struct tour_tails - what backs folded tails
 * @reason: why nobody looked, when @nr is 0
 * @tails_shared: all tail pages of each machine are one and the same frame
 * @heads_own: no head page is
 */
struct tour_tails {
	struct tour_tail block[TOUR_MAX_TAILS];
	unsigned int nr;
	char reason[HOST_REASON_LEN];
	bool tails_shared;
	bool heads_own;
};

/**
 * struct tour_run - a pool freed with no frame left
 * @free_before: free frames of the machine when the shrink began
 * @frames_cut: frames of 4 KiB that the freed memory was cut into
 * @whole_again: freed huge pages whose block is one free block again at the end
 * @still_spoilt: blocks that policy carve spoilt and that stay so with all memory given back
 *                and nothing left for hvo_work() to do
 * @heals: the policy promises that there are none
 * @bounded: the policy's endless waiting was cut short
 */
struct tour_run {
	char mode[TOUR_NAME_LEN];
	char policy[TOUR_NAME_LEN];
	uint64_t free_before;
	uint64_t asked, freed, refused, carved;
	uint64_t frames_cut;
	uint64_t whole_again;
	uint64_t still_spoilt;
	uint64_t checksum_errors;
	double grow_ns_per_page;
	double ns_per_page;
	bool heals;
	bool bounded;
};

/**
 * struct tour_offline - movable memory that is to go, with everything else full
 * @bytes: that are to go offline
 * @in_use, @in_pool: huge pages there, in use and free in their pool
 * @free_elsewhere: free frames of the rest of the machine
 * @moved: of the pages in use
 * @error: what it was answered, as a positive errno; 0: it worked
 * @back: it was put online again, or never left
 */
struct tour_offline {
	char mode[TOUR_NAME_LEN];
	uint64_t bytes;
	uint64_t in_use, in_pool;
	uint64_t free_elsewhere;
	uint64_t moved;
	int error;
	bool back;
	uint64_t checksum_errors;
};

/* The kernel's own pool; [0] with the switch off, [1] on. */
struct tour_host {
	bool measured;
	bool put_back;
	char reason[HOST_REASON_LEN];
	uint64_t pages;
	uint64_t got[2];
	double grow_ns_per_page[2];
	double ns_per_page[2];
};

struct tour_finding {
	char where[2 * TOUR_NAME_LEN + 4];
	char rule[32];
	char what[96];
	uint64_t pfn, expected, found;
};

struct tour {
	const struct tour_options *opt;
	struct tour_machine machine;
	struct tour_fill fill[TOUR_MAX_FILLS];
	unsigned int nr_fills;
	struct tour_tails tails;
	struct tour_run run[TOUR_MAX_RUNS];
	unsigned int nr_runs;
	struct tour_offline offline[2]; /* on-demand mode, Linux mode */
	struct tour_host host;
	struct tour_finding finding[TOUR_MAX_FINDINGS];
	char now[2 * TOUR_NAME_LEN + 4]; /* what is being audited */
	uint64_t audits;
	uint64_t checksum_errors;
	uint64_t audit_findings;
	double seconds;
	bool ok;
};

/* tour.c: recount everything of a machine. */
void tour_audit(struct tour *t, struct box *box, const char *mode, const char *policy);
/* tour.c: as many huge pages as there are; the time it took. */
double tour_grow(struct box *box, struct hvo_pool *pool, uint64_t *ret_pages);
/* tour_offline.c: the same in both modes. */
void tour_offline(struct tour *t);

/* The text, part by part; each prints nothing when JSON was asked for. */
void tour_print_intro(const struct tour *t);
void tour_print_machine(const struct tour *t);
void tour_print_fill(const struct tour *t);
void tour_print_tails(const struct tour *t);
void tour_print_runs(const struct tour *t);
void tour_print_offline(const struct tour *t);
void tour_print_verdict(const struct tour *t);
/* All of it; the caller owns the reference. */
json_t *tour_json(const struct tour *t);

#endif
