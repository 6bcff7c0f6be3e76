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
	"\n"
	"  --repeat N       remap: repetitions to take the median of (default 7)\n"
	"  --quick          remap: small sizes and 3 repetitions, to try it out\n"
	"  --no-host        remap: leave the huge page pool of the running kernel alone\n"
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

static const char *const benchmarks[] = { "remap", "boundary", NULL };

int cli_bench(char **args)
{
	struct bench_options opt = { .seed = 1, .rounds = BENCH_ROUNDS_DEFAULT };
	bool boundary;
	int status;

	if (args_want_help(args))
		return cli_help(help);
	if (!*args || **args == '-')
		return args_error("the name of a benchmark comes first: remap or boundary");
	boundary = !strcmp(*args, "boundary");
	if (!boundary && strcmp(*args, "remap") != 0)
		return args_unknown("there is no benchmark", *args, TEXT_NEAR(*args, benchmarks));
	status = args_parse(boundary ? boundary_specs : remap_specs, args + 1, &opt, NULL);
	if (status)
		return status;
	if (!opt.repeat)
		opt.repeat = opt.quick ? 3 : BENCH_REPEAT_DEFAULT;
	return boundary ? bench_boundary(&opt) : bench_remap(&opt);
}
