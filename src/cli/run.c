// SPDX-License-Identifier: MIT
/*
 * hvo run: a script of the lab, and where its results go.
 */
#include "args.h"
#include "cli.h"
#include "figures.h"
#include "lab/lab.h"
#include "path/path.h"
#include "table.h"
#include "text.h"

#include <hvo/hvo.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
	"usage: hvo run [options] FILE.lua [-- ARGUMENTS...]\n"
	"\n"
	"Run a script of the lab: machines, pools, policies, workloads. What it finds out\n"
	"is printed. The arguments are the script's table arg. hvo shell knows the\n"
	"bindings: hvo.help().\n"
	"\n"
	"  --json           the results as JSON instead; what the script prints goes to\n"
	"                   standard error then\n"
	"  -o DIR           write them as JSON to DIR/NAME.json for FILE NAME.lua, for\n"
	"                   hvo report; print what was found in words, the time it took,\n"
	"                   and its memory\n"
	"  --quick          small machines and short times, where the script knows them\n"
	"  --seed N         all that is random follows from it (default 1)\n";

struct run_options {
	struct lab_options lab;
	const char *file;
	const char *dir;
	bool json;
};

static int set_file(void *arg, const char *value)
{
	struct run_options *opt = arg;

	if (opt->file)
		return args_error("one script at a time, so '%s' is too much; what is for the "
				  "script stands behind --",
				  value);
	opt->file = value;
	return CLI_OK;
}

static const struct arg_spec specs[] = {
	ARG_FLAG("--json", struct run_options, json),
	ARG_TEXT("-o", struct run_options, dir),
	ARG_FLAG("--quick", struct run_options, lab.quick),
	ARG_STORE("--seed", args_store_seed63, struct run_options, lab.seed, uint64_t),
	ARG_END,
};

/* ---- JSON --------------------------------------------------------------------------- */

/* "frees" of lab/frees.lua. */
static char *script_name(const char *file)
{
	const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
	const char *dot = strrchr(base, '.');
	char *name = strndup(base, dot && dot > base ? (size_t)(dot - base) : strlen(base));

	if (!name)
		cli_die("out of memory");
	return name;
}

static json_t *document(const struct run_options *opt, const char *name, const json_t *results)
{
	json_t *doc = json_pack("{s:o, s:I, s:b, s:s, s:O}", "script", cli_json_text(name), "seed",
				(json_int_t)opt->lab.seed, "quick", opt->lab.quick, "version",
				hvo_version(), "results", results);

	if (!doc)
		cli_die("out of memory");
	return doc;
}

/* The same bytes for the same results. */
#define JSON_FORM (JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(15))

static void write_json(const char *dir, const char *name, const json_t *doc)
{
	char *path;
	int fd = path_make_dir(dir, 0777);

	if (fd && fd != -EEXIST)
		cli_die("%s: %s", dir, path_error(fd));
	path = cli_format("%s/%s.json", dir, name);
	fd = path_create(path, 0666);
	if (fd < 0)
		cli_die("%s: %s", path, path_error(fd));
	if (json_dumpfd(doc, fd, JSON_FORM) || close(fd))
		cli_die("%s could not be written: %s", path, strerror(errno));
	free(path);
}

/* ---- text --------------------------------------------------------------------------- */

static void print_rows(const json_t *result)
{
	const json_t *columns = json_object_get(result, "columns"), *row, *cell;
	const json_t *rows = json_object_get(result, "rows");
	const char *heads[TABLE_MAX_COLUMNS + 1] = { NULL };
	struct figures figures[TABLE_MAX_COLUMNS];
	bool left[TABLE_MAX_COLUMNS];
	struct table *t;
	size_t i, k;
	char *text;

	if (!json_array_size(columns))
		return;
	for (i = 0; i < json_array_size(columns); i++) {
		heads[i] = json_string_value(json_array_get(columns, i));
		figures[i] = figures_of_column(rows, i);
		left[i] = figures[i].is_text;
	}
	t = table_new_plain(heads, left);
	json_array_foreach(rows, i, row)
	{
		json_array_foreach(row, k, cell)
		{
			text = figures_text(&figures[k], cell, " ");
			table_cell(t, "%s", text);
			free(text);
		}
	}
	table_print(t, stdout, 2);
	table_free(t);
	putchar('\n');
}

static void print_result(const json_t *result, bool rows)
{
	const char *title = json_string_value(json_object_get(result, "title"));
	const json_t *note;
	size_t i;

	if (!title)
		title = json_string_value(json_object_get(result, "name"));
	text_wrap(stdout, "", "", title);
	if (rows) {
		putchar('\n');
		print_rows(result);
	}
	json_array_foreach(json_object_get(result, "notes"), i, note)
		text_wrap(stdout, "  ", "    ", json_string_value(note));
	if (rows)
		putchar('\n');
}

/* Not in the JSON: it differs from run to run. */
static void print_cost(double seconds)
{
	char size[TABLE_SIZE_LEN], time[TABLE_SIZE_LEN];
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	printf("  (%s, %s of memory)\n", table_time(time, seconds * 1e9),
	       table_size(size, (uint64_t)ru.ru_maxrss * 1024));
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void report(const struct run_options *opt, const char *name, const json_t *doc,
		   double seconds)
{
	const json_t *result;
	size_t i;

	if (opt->dir)
		write_json(opt->dir, name, doc);
	if (opt->json) {
		(void)json_dumpf(doc, stdout, JSON_FORM);
		putchar('\n');
		return;
	}
	json_array_foreach(json_object_get(doc, "results"), i, result)
		print_result(result, !opt->dir);
	if (opt->dir)
		print_cost(seconds);
}

/* From here on what is written to standard output goes to standard error; the way back. */
static int divert_output(void)
{
	int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

	if (fd < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		cli_die("standard output: %s", strerror(errno));
	/* In the order of what is written to standard error itself. */
	(void)setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	return fd;
}

static void restore_output(int fd)
{
	(void)fflush(stdout);
	if (dup2(fd, STDOUT_FILENO) < 0)
		cli_die("standard output: %s", strerror(errno));
	close(fd);
}

/*
 * Run it, and close all that it left open. With --json there is one document on standard output,
 * whatever the script, its programs and its finalizers write.
 *
 * Return: what it found; NULL after a line on standard error.
 */
static json_t *run_script(const struct run_options *opt, const char *name)
{
	int output = opt->json ? divert_output() : -1;
	lua_State *L = lab_open(&opt->lab);
	json_t *doc = NULL;
	char *error = NULL;

	if (!L)
		cli_die("out of memory");
	if (lab_run(L, opt->file, &error))
		doc = document(opt, name, lab_results(L));
	(void)fflush(stdout);
	if (!doc)
		fprintf(stderr, "hvo: %s\n", error ? error : "out of memory");
	free(error);
	lab_close(L);
	if (output >= 0)
		restore_output(output);
	return doc;
}

int cli_run(char **args)
{
	struct run_options opt = { .lab = { .seed = 1 } };
	double start = now();
	int status;
	json_t *doc;
	char *name;

	if (args_want_help(args))
		return cli_help(help);
	opt.lab.args = args_rest(args);
	status = args_parse(specs, args, &opt, set_file);
	if (status)
		return status;
	if (!opt.file)
		return args_error("run needs a script, such as lab/frees.lua");
	name = script_name(opt.file);
	doc = run_script(&opt, name);
	if (doc)
		report(&opt, name, doc, now() - start);
	status = cli_flush();
	status = doc ? status : CLI_FAILED;
	json_decref(doc);
	free(name);
	return status;
}
