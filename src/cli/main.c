// SPDX-License-Identifier: MIT
/*
 * The command: its arguments, and what to do about those that make no sense.
 */
#include "cli.h"

#include <hvo/hvo.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef HVO_VERSION
#define HVO_VERSION "unknown"
#endif

/* The links in a descriptor are 32 bits wide: no machine has more frames. */
#define MAX_MEMORY (HVO_FRAME_SIZE << 32)

#define TOUR_MEMORY (UINT64_C(1) << 30)
#define TOUR_MEMORY_SIM (UINT64_C(256) << 20)

/* ---- giving up ---------------------------------------------------------- */

void cli_die(const char *fmt, ...)
{
	va_list args;

	(void)fflush(stdout);
	fputs("hvo: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	exit(CLI_FAILED);
}

void *cli_alloc(size_t nr, size_t size)
{
	void *mem = calloc(nr, size);

	if (!mem)
		cli_die("out of memory");
	return mem;
}

static int compare_double(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

double cli_median(double *values, unsigned int nr)
{
	qsort(values, nr, sizeof(*values), compare_double);
	return nr % 2 ? values[nr / 2] : (values[nr / 2 - 1] + values[nr / 2]) / 2;
}

int cli_flush(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return CLI_OK;
	fputs("hvo: standard output could not be written\n", stderr);
	return CLI_FAILED;
}

__attribute__((format(printf, 1, 2))) static int usage_error(const char *fmt, ...)
{
	va_list args;

	fputs("hvo: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputs(" (see hvo --help)\n", stderr);
	return CLI_USAGE;
}

/* ---- help --------------------------------------------------------------- */

static const char help_text[] =
	"hvo - memory management with HugeTLB vmemmap optimisation, for memory you own\n"
	"\n"
	"usage: hvo tour [options]            fill a machine, free it with no frame left, check it\n"
	"       hvo bench remap [options]     what folding costs, beside the running kernel\n"
	"       hvo bench boundary [options]  to and fro where a block must be cut: cut once?\n"
	"       hvo --help | --version\n"
	"\n"
	"  --memory SIZE     tour: size of the machine, such as 512M or 2G: a multiple of\n"
	"                    128 MiB for each node (default 1G; 256M on sim)\n"
	"  --nodes N         tour: NUMA nodes (default 1)\n"
	"  --platform NAME   tour, boundary: linux, memory of this process (default); sim,\n"
	"                    simulated\n"
	"  --rounds N        boundary: how often (default 1000000)\n"
	"  --repeat N        remap: repetitions to take the median of (default 7)\n"
	"  --quick           remap: small sizes and 3 repetitions, to try it out\n"
	"  --seed N          all that is random follows from it (default 1)\n"
	"  --json            the results as JSON\n"
	"  --no-host         leave the huge page pool of the running kernel alone. Else, as\n"
	"                    root on a kernel with HVO, its pool of 2 MiB pages is measured\n"
	"                    too, and put back as it was, whatever happens\n"
	"\n"
	"Exit status: 0 if all went well, 1 if something failed, 2 for nonsense arguments.\n";

static int print_help(void)
{
	fputs(help_text, stdout);
	return cli_flush();
}

static int print_version(void)
{
	printf("hvo %s\n", HVO_VERSION);
	return cli_flush();
}

/* ---- values of options -------------------------------------------------- */

/* Digits only: strtoull() by itself takes blanks, signs and "-1". */
static int parse_digits(const char *text, int base, uint64_t *ret, const char **ret_end)
{
	unsigned long long n;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, base);
	if (errno)
		return -ERANGE;
	*ret = n;
	*ret_end = end;
	return 0;
}

/* 4096, 512M, 2G, 2GiB, 1T; -EINVAL for nonsense, -ERANGE for 2^64 and more. */
static int parse_size(const char *text, uint64_t *ret)
{
	static const char suffixes[] = "KMGTPE";
	const char *end, *suffix;
	unsigned int shift = 0;
	uint64_t n;
	int err = parse_digits(text, 10, &n, &end);

	if (err)
		return err;
	if (*end) {
		char letter = *end >= 'a' && *end <= 'z' ? (char)(*end - 'a' + 'A') : *end;

		suffix = strchr(suffixes, letter);
		if (!suffix)
			return -EINVAL;
		shift = 10 * ((unsigned int)(suffix - suffixes) + 1);
		end++;
		if (*end && strcmp(end, "iB") != 0 && strcmp(end, "B") != 0)
			return -EINVAL;
	}
	if (n > UINT64_MAX >> shift)
		return -ERANGE;
	*ret = n << shift;
	return 0;
}

static int set_memory(struct cli_options *opt, const char *value)
{
	int err = parse_size(value, &opt->memory_bytes);

	if (err == -EINVAL)
		return usage_error("--memory: '%s' is not a size such as 512M or 2G", value);
	if (err || opt->memory_bytes > MAX_MEMORY)
		return usage_error("--memory: %s is more than a machine can have (16T)", value);
	if (!opt->memory_bytes)
		return usage_error("--memory: a machine needs some memory, such as 512M or 2G");
	return CLI_OK;
}

static int set_number(const char *name, const char *value, uint64_t min, uint64_t max,
		      uint64_t *ret)
{
	const char *end;

	if (parse_digits(value, 10, ret, &end) || *end || *ret < min || *ret > max)
		return usage_error("%s: '%s' is not a number from %" PRIu64 " to %" PRIu64, name,
				   value, min, max);
	return CLI_OK;
}

static int set_nodes(struct cli_options *opt, const char *value)
{
	uint64_t n = 0;
	int status = set_number("--nodes", value, 1, HVO_MAX_NODES, &n);

	opt->nr_nodes = (uint32_t)n;
	return status;
}

static int set_repeat(struct cli_options *opt, const char *value)
{
	uint64_t n = 0;
	int status = set_number("--repeat", value, 1, CLI_REPEAT_MAX, &n);

	opt->repeat = (uint32_t)n;
	return status;
}

static int set_rounds(struct cli_options *opt, const char *value)
{
	return set_number("--rounds", value, 1, CLI_ROUNDS_MAX, &opt->rounds);
}

static int set_platform(struct cli_options *opt, const char *value)
{
	if (strcmp(value, "linux") != 0 && strcmp(value, "sim") != 0)
		return usage_error("--platform: '%s' is neither linux nor sim", value);
	opt->sim = !strcmp(value, "sim");
	return CLI_OK;
}

/* Decimal, or hexadecimal with 0x. */
static int set_seed(struct cli_options *opt, const char *value)
{
	int base = value[0] == '0' && (value[1] | 0x20) == 'x' ? 16 : 10;
	const char *end;

	if (parse_digits(value, base, &opt->seed, &end) || *end)
		return usage_error("--seed: '%s' is not a number from 0 to 2^64 - 1", value);
	return CLI_OK;
}

static int set_json(struct cli_options *opt, const char *value)
{
	(void)value;
	opt->json = true;
	return CLI_OK;
}

static int set_quick(struct cli_options *opt, const char *value)
{
	(void)value;
	opt->quick = true;
	return CLI_OK;
}

static int set_no_host(struct cli_options *opt, const char *value)
{
	(void)value;
	opt->no_host = true;
	return CLI_OK;
}

/* ---- options ------------------------------------------------------------ */

#define FOR_TOUR 1u
#define FOR_REMAP 2u
#define FOR_BOUNDARY 4u

struct option_spec {
	const char *name;
	bool takes_value;
	unsigned int commands;
	int (*set)(struct cli_options *opt, const char *value);
};

static const struct option_spec option_specs[] = {
	{ "--memory", true, FOR_TOUR, set_memory },
	{ "--nodes", true, FOR_TOUR, set_nodes },
	{ "--platform", true, FOR_TOUR | FOR_BOUNDARY, set_platform },
	{ "--repeat", true, FOR_REMAP, set_repeat },
	{ "--quick", false, FOR_REMAP, set_quick },
	{ "--rounds", true, FOR_BOUNDARY, set_rounds },
	{ "--seed", true, FOR_TOUR | FOR_REMAP | FOR_BOUNDARY, set_seed },
	{ "--json", false, FOR_TOUR | FOR_REMAP | FOR_BOUNDARY, set_json },
	{ "--no-host", false, FOR_TOUR | FOR_REMAP, set_no_host },
};

static const struct option_spec *find_option(const char *arg, size_t len, unsigned int command)
{
	size_t i;

	for (i = 0; i < sizeof(option_specs) / sizeof(option_specs[0]); i++) {
		const struct option_spec *spec = &option_specs[i];

		if ((spec->commands & command) && strlen(spec->name) == len &&
		    !memcmp(spec->name, arg, len))
			return spec;
	}
	return NULL;
}

static int parse_options(struct cli_options *opt, unsigned int command, char **args)
{
	const struct option_spec *spec;
	const char *value;
	size_t len;
	int status;

	for (; *args; args++) {
		if ((*args)[0] != '-')
			return usage_error("unexpected argument '%s'", *args);
		len = strcspn(*args, "=");
		spec = find_option(*args, len, command);
		if (!spec)
			return usage_error("unknown option '%s'", *args);
		value = (*args)[len] ? *args + len + 1 : NULL;
		if (value && !spec->takes_value)
			return usage_error("%s takes no value", spec->name);
		if (!value && spec->takes_value)
			value = *++args;
		if (!value && spec->takes_value)
			return usage_error("%s needs a value", spec->name);
		status = spec->set(opt, value);
		if (status)
			return status;
	}
	return CLI_OK;
}

static bool wants_help(char **args)
{
	for (; *args; args++)
		if (!strcmp(*args, "--help") || !strcmp(*args, "-h"))
			return true;
	return false;
}

/* The default memory is rounded up to whole sections for each node; what was asked for is not. */
static int check_memory(struct cli_options *opt)
{
	uint64_t step = HVO_SECTION_SIZE * opt->nr_nodes;

	if (!opt->memory_bytes) {
		opt->memory_bytes = opt->sim ? TOUR_MEMORY_SIM : TOUR_MEMORY;
		opt->memory_bytes = (opt->memory_bytes + step - 1) / step * step;
	}
	if (opt->memory_bytes % step)
		return usage_error("--memory: not a multiple of 128 MiB for each of %" PRIu32
				   " node%s",
				   opt->nr_nodes, opt->nr_nodes == 1 ? "" : "s");
	return CLI_OK;
}

static int run_tour(char **args)
{
	struct cli_options opt = { .seed = 1, .nr_nodes = 1 };
	int status;

	if (wants_help(args))
		return print_help();
	status = parse_options(&opt, FOR_TOUR, args);
	if (!status)
		status = check_memory(&opt);
	return status ? status : cli_tour(&opt);
}

static int run_bench(char **args)
{
	struct cli_options opt = { .seed = 1, .rounds = CLI_ROUNDS_DEFAULT };
	bool boundary;
	int status;

	if (wants_help(args))
		return print_help();
	if (!*args)
		return usage_error("bench needs the name of a benchmark: remap or boundary");
	boundary = !strcmp(*args, "boundary");
	if (!boundary && strcmp(*args, "remap") != 0)
		return usage_error("there is no benchmark '%s'", *args);
	status = parse_options(&opt, boundary ? FOR_BOUNDARY : FOR_REMAP, args + 1);
	if (status)
		return status;
	if (!opt.repeat)
		opt.repeat = opt.quick ? 3 : CLI_REPEAT_DEFAULT;
	return boundary ? cli_bench_boundary(&opt) : cli_bench_remap(&opt);
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : NULL;

	if (!command)
		return usage_error("what is to be done? hvo tour, or hvo bench remap");
	if (!strcmp(command, "--help") || !strcmp(command, "-h") || !strcmp(command, "help"))
		return argc == 2 ? print_help() : usage_error("%s stands alone", command);
	if (!strcmp(command, "--version"))
		return argc == 2 ? print_version() : usage_error("%s stands alone", command);
	if (!strcmp(command, "tour"))
		return run_tour(argv + 2);
	if (!strcmp(command, "bench"))
		return run_bench(argv + 2);
	return usage_error("unknown command '%s'", command);
}
