// SPDX-License-Identifier: MIT
/*
 * A target for fuzzers: all that reads text or messages from outside. The first byte of an input
 * chooses which, see parsers[]; the rest is for that.
 */
#include "fuzz.h"
#include "parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hvo/hvo.h>

#include "cli/commands.h"
#include "cli/files/memory.h"
#include "cli/plan/plan.h"
#include "common/args.h"
#include "common/cli.h"
#include "tree/internal.h"

/* ---- inputs --------------------------------------------------------------------------- */

uint8_t input_byte(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->at++;
}

char *input_text(struct input *in)
{
	const uint8_t *end = in->left ? memchr(in->at, '\0', in->left) : NULL;
	size_t len = end ? (size_t)(end - in->at) : in->left;
	char *text = strndup((const char *)in->at, len);

	must(text, "out of memory");
	len += end != NULL;
	in->at += len;
	in->left -= len;
	return text;
}

void parse_wrong(const char *what)
{
	fprintf(stderr, "finding: %s\n", what);
	abort();
}

static void on_finding(void *arg, const struct hvo_finding *f)
{
	(void)arg;
	fprintf(stderr, "%s %s at %#llx: expected %#llx, found %#llx\n", f->rule, f->what,
		(unsigned long long)f->where, (unsigned long long)f->expected,
		(unsigned long long)f->found);
}

void parse_audit(struct hvo_machine *m)
{
	must(!hvo_machine_audit(m, on_finding, NULL), "the audit");
}

/* ---- arguments --------------------------------------------------------------------------- */

#define MAX_ARGS 16u

/* No option, nor the value of one: a command reads all arguments before these, and does nothing. */
static char no_option[] = "--no-such-option";

/*
 * Arguments of a command, each ended by '\0'. The first of two that no command knows may be taken
 * for the value of an option; the second is an error.
 */
static void parse_args(struct input *in)
{
	static int (*const commands[])(char **args) = {
		cli_bench, cli_client, cli_plan,   cli_pool, cli_run,
		cli_serve, cli_shell,  cli_status, cli_top,  cli_tour,
	};
	int (*run)(char **args) = commands[input_byte(in) % NR_OF(commands)];
	char *args[MAX_ARGS + 3] = { NULL }, *own[MAX_ARGS];
	unsigned int i, nr = 0;
	bool help;

	while (in->left && nr < MAX_ARGS) {
		own[nr] = input_text(in);
		args[nr] = own[nr];
		if (!strcmp(args[nr++], "--"))
			break;
	}
	help = args_want_help(args);
	i = nr && !strcmp(args[nr - 1], "--") ? nr - 1 : nr;
	args[i + 2] = args[i];
	args[i] = no_option;
	args[i + 1] = no_option;
	must(run(args) == (help ? CLI_OK : CLI_USAGE), "what makes no sense was done");
	while (nr)
		free(own[--nr]);
}

/* ---- lists of hosts ---------------------------------------------------------------------- */

static void parse_csv(struct input *in)
{
	double fraction = input_byte(in) & 1 ? 0.5 : PLAN_NO_FRACTION;
	struct plan plan = { .assumed = PLAN_NO_FRACTION };
	struct plan_saving total;
	FILE *f;

	if (!in->left)
		return;
	f = fmemopen((void *)(uintptr_t)in->at, in->left, "r");
	must(f, "out of memory");
	if (plan_read_csv(f, "list", fraction, &plan) == CLI_OK && plan_total(&plan, &total))
		must(total.hvo <= total.array && total.least <= total.most &&
			     total.most <= total.array,
		     "more is saved than there is");
	plan_free(&plan);
	fclose(f);
}

/* ---- saved trees --------------------------------------------------------------------------- */

#define MAX_FILES 32u

static int show_text(void *arg, FILE *out)
{
	fputs(arg, out);
	return 0;
}

static void read_files(struct tree *t, FILE *nowhere)
{
	struct memory_info memory;
	struct memmap_info memmap;
	struct pools pools;
	struct root root;
	uint64_t n;
	int node;

	root_of_tree(&root, t);
	for (node = POOLS_ALL_NODES; node < 2; node++) {
		(void)memory_read(&root, node, &memory);
		(void)memory_whole_free(&root, node, UINT64_C(2) << 20, &n);
		(void)memory_for_descriptors(&root, node, &n);
	}
	if (pools_read(&root, &pools))
		return;
	memmap_read(&root, &pools, &memmap);
	json_decref(memmap_json(&memmap));
	json_decref(pools_json(&pools));
	pools_print(&pools, nowhere);
	(void)pools_could_save(&pools);
	pools_close(&root, &pools);
}

/* Files, each ended by '\0': its path to the end of a line, and what it contains. */
static void parse_files(struct input *in)
{
	static const struct tree_file plain = { .mode = 0444, .show = show_text };
	struct tree *t = calloc(1, sizeof(*t));
	FILE *nowhere = fopen("/dev/null", "w");
	char *texts[MAX_FILES], *content;
	unsigned int nr = 0;

	must(t && nowhere, "out of memory");
	while (in->left && nr < MAX_FILES) {
		texts[nr] = input_text(in);
		content = texts[nr] + strcspn(texts[nr], "\n");
		if (*content)
			*content++ = '\0';
		(void)tree_add(t, texts[nr++], &plain, content);
	}
	read_files(t, nowhere);
	fclose(nowhere);
	tree_free(t);
	while (nr)
		free(texts[--nr]);
}

/* ---- the target --------------------------------------------------------------------------- */

/* In this order for ever: files of the corpus rely on it. */
static void (*const parsers[])(struct input *in) = {
	parse_args,  parse_csv,	   parse_files,	   parse_tree,
	parse_trace, parse_script, parse_requests, parse_replies,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	parsers[input_byte(&in) % NR_OF(parsers)](&in);
	return 0;
}
