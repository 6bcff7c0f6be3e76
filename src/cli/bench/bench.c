// SPDX-License-Identifier: MIT
/*
 * hvo bench: which benchmark, and its options.
 */
#include "bench.h"

#include "cli/commands.h"
#include "common/args.h"
#include "common/cli.h"
#include "common/text.h"

#include <string.h>

static const char help[] =
	"usage: hvo bench remap [options]     what folding costs, beside the kernel's\n"
	"       hvo bench boundary [options]  to and fro where a block is cut: cut once?\n"
	"       hvo bench tlb [options]       random reads in memory of each kind\n"
	"\n"
	"  --repeat N       remap, tlb: repetitions to take the median of (7, tlb 3)\n"
	"  --quick          remap, tlb: small sizes and 3 repetitions, to try it out\n"
	"  --no-host        remap, tlb: leave the huge page pool of the kernel as it is\n"
	"  --rounds N       boundary: how often (default 1000000)\n"
	"  --platform NAME  boundary: linux, memory of this process (default); sim\n"
	"  --seed N         all that is random follows from it (default 1)\n"
	"  --json           the results as JSON\n";

static const struct arg_spec remap_specs[] = {
	ARG_NUMBER("--repeat", struct bench_options, repeat, 1, BENCH_REPEAT_MAX),
	ARG_FLAG("--quick", struct bench_options, quick),
	ARG_SEED(struct bench_options, seed),
	ARG_FLAG("--json", struct bench_options, json),
	ARG_FLAG("--no-host", struct bench_options, no_host),
	ARG_END,
};

static const struct arg_spec boundary_specs[] = {
	ARG_PLATFORM(struct bench_options, sim),
	ARG_NUMBER("--rounds", struct bench_options, rounds, 1, BENCH_ROUNDS_MAX),
	ARG_SEED(struct bench_options, seed),
	ARG_FLAG("--json", struct bench_options, json),
	ARG_END,
};

/* struct benchmark - its name, its options, and how often it repeats */
static const struct benchmark {
	const char *name;
	const struct arg_spec *specs;
	int (*run)(const struct bench_options *opt);
	uint32_t repeat;
} list[] = {
	{ "remap", remap_specs, bench_remap, BENCH_REPEAT_DEFAULT },
	{ "boundary", boundary_specs, bench_boundary, 1 },
	{ "tlb", remap_specs, bench_tlb, BENCH_REPEAT_QUICK },
};

static const char *const benchmarks[] = { "remap", "boundary", "tlb", NULL };

static const struct benchmark *find_benchmark(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (!strcmp(list[i].name, name))
			return &list[i];
	return NULL;
}

int cli_bench(char **args)
{
	struct bench_options opt = { .seed = 1, .rounds = BENCH_ROUNDS_DEFAULT };
	const struct benchmark *bench;
	int status;

	if (args_want_help(args))
		return cli_help(help);
	if (!*args || **args == '-')
		return args_error("the name of a benchmark comes first: remap, boundary or tlb");
	bench = find_benchmark(*args);
	if (!bench)
		return args_unknown("there is no benchmark", *args, TEXT_NEAR(*args, benchmarks));
	status = args_parse(bench->specs, args + 1, &opt, NULL);
	if (status)
		return status;
	if (!opt.repeat)
		opt.repeat = opt.quick ? BENCH_REPEAT_QUICK : bench->repeat;
	return bench->run(&opt);
}
