// SPDX-License-Identifier: MIT
/*
 * The command: its arguments, and what to do about those that make no sense.
 */
#include "commands.h"
#include "common/args.h"
#include "common/cli.h"
#include "common/text.h"

#include <hvo/hvo.h>

#include <stdio.h>
#include <string.h>

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
	{ "bench", cli_bench, "what folding and cutting cost, beside the running kernel" },
	{ "client", cli_client, "borrow huge pages of a served machine" },
	{ "plan", cli_plan, "what hosts would save, with HVO and in on-demand mode" },
	{ "pool", cli_pool, "show and change pools of huge pages, and see what came of it" },
	{ "report", cli_report, "what the lab found out, as one HTML file with plots" },
	{ "run", cli_run, "run a script of the lab: machines, policies, workloads" },
	{ "serve", cli_serve, "a machine that others use through files, as the kernel's" },
	{ "shell", cli_shell, "the same bindings, line by line" },
	{ "status", cli_status, "memory, pools and HVO of this host or of a served machine" },
	{ "top", cli_top, "a live view of memory: zones, pools, a map by state, events" },
	{ "tour", cli_tour, "fill a machine, free it with no frame left, check it" },
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
