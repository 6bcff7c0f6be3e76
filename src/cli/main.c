// SPDX-License-Identifier: MIT
/*
 * The command: its arguments, and what to do about those that make no sense.
 */
#include "cli.h"

#include "args.h"
#include "text.h"

#include <hvo/hvo.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The links in a descriptor are 32 bits wide: no machine has more frames. */
#define MAX_MEMORY (HVO_FRAME_SIZE << 32)

#define TOUR_MEMORY (UINT64_C(1) << 30)
#define TOUR_MEMORY_SIM (UINT64_C(256) << 20)

/* ---- tour and bench --------------------------------------------------------- */

static const char tour_help[] =
	"usage: hvo tour [options]\n"
	"\n"
	"Fill a machine, leave no free frame, free everything in every way, check it.\n"
	"\n"
	"  --memory SIZE    size of the machine, such as 512M or 2G: a multiple of\n"
	"                   128 MiB for each node (default 1G; 256M on sim)\n"
	"  --nodes N        NUMA nodes (default 1)\n"
	"  --platform NAME  linux, memory of this process (default); sim, simulated\n"
	"  --seed N         all that is random follows from it (default 1)\n"
	"  --json           the results as JSON\n"
	"  --no-host        leave the huge page pool of the running kernel alone. Else,\n"
	"                   as root on a kernel with HVO, its pool of 2 MiB pages is\n"
	"                   measured too, and put back as it was, whatever happens\n";

static const char bench_help[] =
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

static int set_memory(void *arg, const char *value)
{
	struct cli_options *opt = arg;
	int err = args_size(value, &opt->memory_bytes);

	if (err == -EINVAL)
		return args_error("--memory: '%s' is not a size such as 512M or 2G", value);
	if (err || opt->memory_bytes > MAX_MEMORY)
		return args_error("--memory: %s is more than a machine can have (16T)", value);
	if (!opt->memory_bytes)
		return args_error("--memory: a machine needs some memory, such as 512M or 2G");
	return CLI_OK;
}

static int set_repeat(void *arg, const char *value)
{
	struct cli_options *opt = arg;
	uint64_t n = 0;
	int status = args_number("--repeat", value, 1, CLI_REPEAT_MAX, &n);

	opt->repeat = (uint32_t)n;
	return status;
}

static int set_rounds(void *arg, const char *value)
{
	struct cli_options *opt = arg;

	return args_number("--rounds", value, 1, CLI_ROUNDS_MAX, &opt->rounds);
}

static const struct arg_spec tour_specs[] = {
	ARG_CALL("--memory", true, set_memory),
	ARG_NODES(struct cli_options, nr_nodes),
	ARG_PLATFORM(struct cli_options, sim),
	ARG_SEED(struct cli_options, seed),
	ARG_FLAG("--json", struct cli_options, json),
	ARG_FLAG("--no-host", struct cli_options, no_host),
	ARG_END,
};

static const struct arg_spec remap_specs[] = {
	ARG_CALL("--repeat", true, set_repeat),
	ARG_FLAG("--quick", struct cli_options, quick),
	ARG_SEED(struct cli_options, seed),
	ARG_FLAG("--json", struct cli_options, json),
	ARG_FLAG("--no-host", struct cli_options, no_host),
	ARG_END,
};

static const struct arg_spec boundary_specs[] = {
	ARG_PLATFORM(struct cli_options, sim),
	ARG_CALL("--rounds", true, set_rounds),
	ARG_SEED(struct cli_options, seed),
	ARG_FLAG("--json", struct cli_options, json),
	ARG_END,
};

/* The default memory is rounded up to whole sections for each node; what was asked for is not. */
static int check_memory(struct cli_options *opt)
{
	uint64_t step = HVO_SECTION_SIZE * opt->nr_nodes;

	if (!opt->memory_bytes) {
		opt->memory_bytes = opt->sim ? TOUR_MEMORY_SIM : TOUR_MEMORY;
		opt->memory_bytes = (opt->memory_bytes + step - 1) / step * step;
	}
	if (opt->memory_bytes % step)
		return args_error("--memory: not a multiple of 128 MiB for each of %" PRIu32
				  " node%s",
				  opt->nr_nodes, opt->nr_nodes == 1 ? "" : "s");
	return CLI_OK;
}

static int run_tour(char **args)
{
	struct cli_options opt = { .seed = 1, .nr_nodes = 1 };
	int status;

	if (args_want_help(args))
		return cli_help(tour_help);
	status = args_parse(tour_specs, args, &opt, NULL);
	if (!status)
		status = check_memory(&opt);
	return status ? status : cli_tour(&opt);
}

static const char *const benchmarks[] = { "remap", "boundary", NULL };

static int run_bench(char **args)
{
	struct cli_options opt = { .seed = 1, .rounds = CLI_ROUNDS_DEFAULT };
	bool boundary;
	int status;

	if (args_want_help(args))
		return cli_help(bench_help);
	if (!*args || **args == '-')
		return args_error("the name of a benchmark comes first: remap or boundary");
	boundary = !strcmp(*args, "boundary");
	if (!boundary && strcmp(*args, "remap") != 0)
		return args_unknown("there is no benchmark", *args, TEXT_NEAR(*args, benchmarks));
	status = args_parse(boundary ? boundary_specs : remap_specs, args + 1, &opt, NULL);
	if (status)
		return status;
	if (!opt.repeat)
		opt.repeat = opt.quick ? 3 : CLI_REPEAT_DEFAULT;
	return boundary ? cli_bench_boundary(&opt) : cli_bench_remap(&opt);
}

/* ---- commands --------------------------------------------------------------- */

/**
 * struct command - one word behind hvo
 * @run: with the arguments behind that word; returns an exit status
 */
struct command {
	const char *name;
	int (*run)(char **args);
	const char *summary;
};

static const struct command commands[] = {
	{ "bench", run_bench, "what folding and cutting cost, beside the running kernel" },
	{ "client", cli_client, "borrow huge pages of a served machine" },
	{ "plan", cli_plan, "what hosts would save, with HVO and in on-demand mode" },
	{ "pool", cli_pool, "show and change pools of huge pages, and see what came of it" },
	{ "report", cli_report, "what the lab found out, as one HTML file with plots" },
	{ "run", cli_run, "run a script of the lab: machines, policies, workloads" },
	{ "serve", cli_serve, "a machine that others use through files, as the kernel's" },
	{ "shell", cli_shell, "the same bindings, line by line" },
	{ "status", cli_status, "memory, pools and HVO of this host or of a served machine" },
	{ "top", cli_top, "a live view of memory: zones, pools, a map by state, events" },
	{ "tour", run_tour, "fill a machine, free it with no frame left, check it" },
	{ NULL, NULL, NULL },
};

static const struct command *find_command(const char *name)
{
	const struct command *c;

	for (c = commands; c->name; c++)
		if (!strcmp(name, c->name))
			return c;
	return NULL;
}

static int unknown_command(const char *name)
{
	return args_unknown("unknown command", name, TEXT_NEAR(name, commands));
}

static int print_help(void)
{
	const struct command *c;

	printf("hvo - memory management with HugeTLB vmemmap optimisation, for memory you own\n\n"
	       "usage: hvo COMMAND [arguments]\n"
	       "       hvo COMMAND --help, or hvo help COMMAND\n"
	       "       hvo --help | --version\n\n");
	for (c = commands; c->name; c++)
		printf("  %-8s %s\n", c->name, c->summary);
	printf("\nExit status: 0 if all went well, 1 if something failed, 2 for nonsense\n"
	       "arguments.\n");
	return cli_flush();
}

static int print_version(void)
{
	printf("hvo %s\n", hvo_version());
	return cli_flush();
}

static int lone(char **args, int (*print)(void))
{
	return args[1] ? args_error("%s stands alone", args[0]) : print();
}

/* hvo help, hvo help COMMAND */
static int help_on(char **args)
{
	static char option[] = "--help";
	char *help[] = { option, NULL };
	const struct command *c;

	if (!*args)
		return print_help();
	if (args[1])
		return args_surplus(args[1]);
	c = find_command(*args);
	return c ? c->run(help) : unknown_command(*args);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;
	const struct command *c;

	if (!name)
		return args_error("what is to be done? hvo tour shows what this is");
	if (!strcmp(name, "--help") || !strcmp(name, "-h"))
		return lone(argv + 1, print_help);
	if (!strcmp(name, "help"))
		return help_on(argv + 2);
	if (!strcmp(name, "--version"))
		return lone(argv + 1, print_version);
	c = find_command(name);
	if (!c)
		return unknown_command(name);
	args_command(c->name);
	return c->run(argv + 2);
}
