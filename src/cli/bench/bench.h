/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLI_BENCH_BENCH_H
#define HVO_CLI_BENCH_BENCH_H

#include "cli/kernel/host.h"
#include "common/cli.h"

#include <hvo/types.h>

#include <jansson.h>

/**
 * struct bench_options - what the user asked for
 * @seed: all that is random follows from it
 * @rounds: boundary: at each boundary
 * @repeat: remap, tlb: repetitions
 * @sim: boundary: the simulated platform
 * @json: JSON instead of text
 * @quick: remap, tlb: small sizes, for tests of the benchmark itself
 * @no_host: remap, tlb: leave the host's own pool alone
 */
struct bench_options {
	uint64_t seed;
	uint64_t rounds;
	uint32_t repeat;
	bool sim, json, quick, no_host;
};

/* The benchmarks; they return an exit status. */
int bench_remap(const struct bench_options *opt);
int bench_tlb(const struct bench_options *opt);
int bench_boundary(const struct bench_options *opt);

#define BENCH_REPEAT_DEFAULT 7u
#define BENCH_REPEAT_QUICK 3u
#define BENCH_REPEAT_MAX 99u
#define BENCH_ROUNDS_DEFAULT UINT64_C(1000000)
#define BENCH_ROUNDS_MAX UINT64_C(1000000000)

/* ---- bench remap: what it measures (remap.c) and how that is told (remap_report.c) ------- */

#define BENCH_NAME_LEN 40
#define BENCH_MAX_SERIES 192u

/* Two sizes of pool: the headline, and one that spreads the fixed part of each write. */
enum bench_size { BENCH_SMALL = 0, BENCH_LARGE = 1, BENCH_NR_SIZES = 2 };

/* Pages folded, or made present, in one call. */
#define BENCH_NR_BATCHES 4u
extern const unsigned int bench_batches[BENCH_NR_BATCHES];

/**
 * struct series - one quantity, measured once in each repetition
 * @value: by repetition; NAN where it could not be measured
 */
struct series {
	char name[BENCH_NAME_LEN];
	const char *unit;
	double value[BENCH_REPEAT_MAX];
};

/* The arena that shows that the limit of mappings is no limit. */
struct bench_many {
	uint64_t pages;
	uint64_t folded;
	uint64_t mappings;
	uint64_t max_map_count;
	double ns_per_page;
};

/**
 * struct bench - one run of the benchmark
 * @repetition: the one that is being measured
 * @pages: of a pool of 2 MiB pages, by size
 * @host_pages: of the kernel's own, by size; 0 where it is not measured
 * @giga_pages: of a pool of 1 GiB pages
 * @churn_rounds: how often half of a pool is cut up and made whole
 * @host_reason: why the kernel's pool (or its large size) is not measured
 */
struct bench {
	const struct bench_options *opt;
	unsigned int repetition;
	unsigned int nr_series;
	struct series series[BENCH_MAX_SERIES];
	unsigned int pages[BENCH_NR_SIZES];
	unsigned int host_pages[BENCH_NR_SIZES];
	unsigned int giga_pages;
	unsigned int churn_rounds;
	unsigned int tib_large;
	uint64_t rng;
	struct host host;
	bool host_put_back;
	char host_reason[HOST_REASON_LEN];
	struct bench_many many;
	double seconds;
};

/* "small" or "large": part of the names of series. */
const char *bench_size_name(enum bench_size size);

/* A series by its name, or NULL. */
const struct series *bench_find(const struct bench *b, const char *name);
/* Median of a series over its measured values; NAN if there is none. */
double bench_median(const struct bench *b, const char *name);

/* The text, printed at the end; and the same as JSON (the caller owns it). */
void bench_print(const struct bench *b);
json_t *bench_json(const struct bench *b);

#endif
