/* SPDX-License-Identifier: MIT */
#ifndef HVO_COMMON_CLI_H
#define HVO_COMMON_CLI_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

/* What the parts of the command share: the options, JSON, and how it gives up. */

/* Exit statuses. */
#define CLI_OK 0
#define CLI_FAILED 1 /* it was tried and did not work, or a promise was broken */
#define CLI_USAGE 2  /* the arguments make no sense */

#define CLI_REPEAT_DEFAULT 7u
#define CLI_REPEAT_MAX 99u
#define CLI_ROUNDS_DEFAULT UINT64_C(1000000)
#define CLI_ROUNDS_MAX UINT64_C(1000000000)

/**
 * struct cli_options - what the user asked for; zero means the command's default
 * @memory_bytes: size of the tour's machine
 * @seed: all that is random follows from it
 * @nr_nodes: of the tour's machine
 * @rounds: of bench boundary, at each boundary
 * @repeat: repetitions of bench remap
 * @sim: the simulated platform
 * @json: JSON instead of text
 * @quick: small sizes, for tests of the benchmark itself
 * @no_host: leave the host's own pool alone
 */
struct cli_options {
	uint64_t memory_bytes;
	uint64_t seed;
	uint64_t rounds;
	uint32_t nr_nodes;
	uint32_t repeat;
	bool sim;
	bool json;
	bool quick;
	bool no_host;
};

/* The commands; they return an exit status. */
int cli_tour(const struct cli_options *opt);
int cli_bench_remap(const struct cli_options *opt);
int cli_bench_boundary(const struct cli_options *opt);
/* With what stands behind the command's name. */
int cli_client(char **args);
int cli_plan(char **args);
int cli_pool(char **args);
int cli_report(char **args);
int cli_run(char **args);
int cli_serve(char **args);
int cli_shell(char **args);
int cli_status(char **args);
int cli_top(char **args);

/* One line on standard error, and out with CLI_FAILED. */
void cli_die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Memory of the command's own; gives up where there is none. */
void *cli_alloc(size_t nr, size_t size) __attribute__((warn_unused_result));

/* The same for a text; the caller frees it. */
char *cli_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *cli_vformat(const char *fmt, va_list args) __attribute__((format(printf, 1, 0)));

/* Median of @nr values, at least one; sorts them. */
double cli_median(double *values, unsigned int nr);

/* Print a text to standard output; returns what cli_flush() does. */
int cli_help(const char *text);

/*
 * Text that comes from outside as JSON: what is not UTF-8 in it becomes '?'. NULL becomes null.
 */
json_t *cli_json_text(const char *text);

/*
 * Print a document, and give it back; returns what cli_flush() does. All that goes to standard
 * output with --json goes through here; gives up where there is nothing to print.
 */
int cli_print_json(json_t *doc);

/* CLI_OK, or CLI_FAILED with a line if standard output could not be written. */
int cli_flush(void);

#endif
