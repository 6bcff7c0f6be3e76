// SPDX-License-Identifier: MIT
/*
 * hvo top: what the memory of a host or of a machine is doing.
 */
#include "top.h"

#include "cli/commands.h"
#include "common/args.h"
#include "common/cli.h"

#include <hvo/types.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
	"usage: hvo top [options]\n"
	"\n"
	"A live view of memory: zones, pools of huge pages, free lists, a map by state,\n"
	"events. Of the running kernel, if nothing else is said; no root needed. h shows\n"
	"the keys.\n"
	"\n"
	"  --root DIR         of the machine that is served at DIR\n"
	"  --demo             of a machine in this process, in which something goes on\n"
	"  --interval SECONDS how often to look, 0.1 to 3600 (default 2)\n"
	"  --once             look once, and print it as text\n"
	"  --json             look once, and print it as JSON\n"
	"\n"
	"With --demo:\n"
	"\n"
	"  --memory SIZE      a multiple of 128 MiB for each node (default 1G)\n"
	"  --nodes N          NUMA nodes (default 2)\n"
	"  --mode NAME        on-demand (default), or linux\n"
	"  --platform NAME    linux, memory of this process (default); sim, simulated\n"
	"  --seed N           all that is random follows from it (default 1)\n";

#define INTERVAL_MIN 0.1
#define INTERVAL_MAX 3600.0
#define INTERVAL_DEFAULT 2.0

#define DEMO_MEMORY (UINT64_C(1) << 30)
#define DEMO_NODES 2u
/* So much has happened in a machine before somebody looks for the first time. */
#define DEMO_STEPS 300u

struct options {
	struct top_source source;
	struct demo_options demo;
	const char *of_demo; /* an option that only a demo has */
	double interval;     /* 0: not said */
	bool want_demo, once, json;
};

static int set_interval(void *arg, const char *value)
{
	struct options *opt = arg;
	char *end = NULL;

	/* No signs, no "inf", no "nan", no exponents. */
	if (*value && value[strspn(value, "0123456789.")] == '\0')
		opt->interval = strtod(value, &end);
	if (!end || *end || !(opt->interval >= INTERVAL_MIN && opt->interval <= INTERVAL_MAX))
		return args_error("--interval: '%s' is not a number of seconds from 0.1 to 3600",
				  value);
	return CLI_OK;
}

static const struct arg_spec demo_specs[] = {
	ARG_MEMORY(struct demo_options, memory_bytes), ARG_NODES(struct demo_options, nr_nodes),
	ARG_MODE(struct demo_options, mode),	       ARG_PLATFORM(struct demo_options, sim),
	ARG_SEED(struct demo_options, seed),	       ARG_END,
};

static int set_of_demo(const struct arg_spec *spec, const char *value, void *to)
{
	struct options *opt = to;

	opt->of_demo = spec->name;
	return args_set(demo_specs, spec->name, value, &opt->demo);
}

#define ARG_OF_DEMO(name)                              \
	{                                              \
		name, true, NULL, set_of_demo, 0, 0, 0 \
	}

static const struct arg_spec specs[] = {
	ARG_TEXT("--root", struct options, source.dir),
	ARG_FLAG("--demo", struct options, want_demo),
	ARG_CALL("--interval", true, set_interval),
	ARG_FLAG("--once", struct options, once),
	ARG_FLAG("--json", struct options, json),
	ARG_OF_DEMO("--memory"),
	ARG_OF_DEMO("--nodes"),
	ARG_OF_DEMO("--mode"),
	ARG_OF_DEMO("--platform"),
	ARG_OF_DEMO("--seed"),
	ARG_END,
};

static int check_options(struct options *opt)
{
	if (opt->want_demo && opt->source.dir)
		return args_error("--root and --demo: one machine at a time");
	if ((opt->once || opt->json) && opt->interval > 0)
		return args_error("--interval is for the live view: it looks again");
	if (opt->interval <= 0)
		opt->interval = INTERVAL_DEFAULT;
	if (!opt->want_demo && opt->of_demo)
		return args_error("%s is for the machine of --demo", opt->of_demo);
	if (!opt->source.dir)
		opt->source.dir = "/";
	return args_memory(&opt->demo.memory_bytes, opt->demo.nr_nodes, DEMO_MEMORY);
}

/* ---- command -------------------------------------------------------------------------- */

static int read_first(const struct top_source *source, struct top_model **ret)
{
	int rc = top_read_source(source, ret);

	if (!rc)
		return CLI_OK;
	if (source->demo)
		return cli_error("%s", strerror(-rc));
	if (top_is_host(source))
		return cli_error("/proc/meminfo: %s; is proc mounted?", strerror(-rc));
	if (rc != -ENOENT && rc != -ENOTDIR)
		return pools_file_error(source->dir, MEMORY_FILE, rc);
	return cli_error("--root: nothing is served at %s: %s; start hvo serve there", source->dir,
			 strerror(-rc));
}

static int look(const struct options *opt)
{
	struct top_model *model;
	int status = read_first(&opt->source, &model);

	if (status)
		return status;
	if (!opt->once && !opt->json)
		return top_live(&opt->source, opt->interval, model);
	status = opt->json ? top_print_json(&opt->source, model) : top_print(&opt->source, model);
	top_free(model);
	return status;
}

static int run(struct options *opt)
{
	unsigned int i;
	int status;

	if (!opt->once && !opt->json && !(isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)))
		return cli_error("top: this is no terminal; use --once or --json");
	if (!opt->want_demo)
		return look(opt);
	status = demo_open(&opt->demo, &opt->source.demo);
	if (status)
		return status;
	for (i = 0; i < DEMO_STEPS; i++)
		demo_step(opt->source.demo);
	status = look(opt);
	demo_close(opt->source.demo);
	return status;
}

int cli_top(char **args)
{
	struct options opt = {
		.demo = { .seed = 1, .nr_nodes = DEMO_NODES },
	};
	int status;

	if (args_want_help(args))
		return cli_help(help);
	status = args_parse(specs, args, &opt, NULL);
	if (!status)
		status = check_options(&opt);
	return status ? status : run(&opt);
}
