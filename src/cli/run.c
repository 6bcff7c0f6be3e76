// SPDX-License-Identifier: MIT
/*
 * hvo run: a script of the lab, and where its results go.
 */
#include "args.h"
#include "cli.h"
#include "lab/lab.h"
#include "path/path.h"
#include "table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#ifndef HVO_VERSION
#define HVO_VERSION "unknown"
#endif

static const char help[] =
	"usage: hvo run [options] FILE.lua [arguments]\n"
	"\n"
	"Run a script of the lab: machines, pools, policies, workloads. What it finds out is printed.\n"
	"The arguments are the script's table arg. hvo shell knows the bindings: hvo.help().\n"
	"\n"
	"  --json           the results as JSON instead\n"
	"  -o DIR           write them as JSON to DIR/NAME.json for FILE NAME.lua, for hvo report;\n"
	"                   print what was found in words, the time it took, and its memory\n"
	"  --quick          small machines and short times, where the script knows them\n"
	"  --seed N         all that is random follows from it (default 1)\n";

struct run_options {
	struct lab_options lab;
	char **args; /* all that there are */
	const char *file;
	const char *dir;
	bool json;
};

static int set_file(void *arg, const char *value)
{
	struct run_options *opt = arg;

	opt->file = value;
	/* The rest is the script's. */
	while (*opt->args != value)
		opt->args++;
	opt->lab.args = opt->args + 1;
	return ARGS_STOP;
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
	json_t *doc = json_pack("{s:s, s:I, s:b, s:s, s:O}", "script", name, "seed",
				(json_int_t)opt->lab.seed, "quick", opt->lab.quick, "version",
				HVO_VERSION, "results", results);

	if (!doc)
		cli_die("out of memory, or the name of the script is no text");
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
	if (asprintf(&path, "%s/%s.json", dir, name) < 0)
		cli_die("out of memory");
	fd = path_create(path, 0666);
	if (fd < 0)
		cli_die("%s: %s", path, path_error(fd));
	if (json_dumpfd(doc, fd, JSON_FORM) || close(fd))
		cli_die("%s could not be written: %s", path, strerror(errno));
	free(path);
}

/* ---- text --------------------------------------------------------------------------- */

static void print_cell(struct table *t, const json_t *value)
{
	if (json_is_string(value))
		table_cell(t, "%s", json_string_value(value));
	else if (json_is_integer(value))
		table_number(t, (uint64_t)json_integer_value(value));
	else if (json_is_real(value))
		table_cell(t, "%.6g", json_real_value(value));
	else
		table_cell(t, "%s", json_is_true(value) ? "yes" : "no");
}

static void print_rows(const json_t *result)
{
	const json_t *columns = json_object_get(result, "columns"), *row, *cell;
	const char *heads[TABLE_MAX_COLUMNS + 1] = { NULL };
	struct table *t;
	size_t i, k;

	if (!json_array_size(columns))
		return;
	for (i = 0; i < json_array_size(columns); i++)
		heads[i] = json_string_value(json_array_get(columns, i));
	t = table_new(heads);
	json_array_foreach(json_object_get(result, "rows"), i, row) json_array_foreach(row, k, cell)
		print_cell(t, cell);
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
	printf("%s\n", title);
	if (rows) {
		putchar('\n');
		print_rows(result);
	}
	json_array_foreach(json_object_get(result, "notes"), i, note)
		printf("  %s\n", json_string_value(note));
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

static void report(const struct run_options *opt, const json_t *results, double seconds)
{
	char *name = script_name(opt->file);
	json_t *doc = document(opt, name, results);
	const json_t *result;
	size_t i;

	if (opt->dir)
		write_json(opt->dir, name, doc);
	if (opt->json) {
		json_dumpf(doc, stdout, JSON_FORM);
		putchar('\n');
	} else {
		json_array_foreach(results, i, result) print_result(result, !opt->dir);
		if (opt->dir)
			print_cost(seconds);
	}
	json_decref(doc);
	free(name);
}

int cli_run(char **args)
{
	struct run_options opt = { .lab = { .seed = 1 }, .args = args };
	double start = now();
	char *error = NULL;
	lua_State *L;
	int status;
	bool ok;

	if (*args && (!strcmp(*args, "--help") || !strcmp(*args, "-h")))
		return cli_help(help);
	status = args_parse(specs, args, &opt, set_file);
	if (status)
		return status;
	if (!opt.file)
		return args_error("run needs a script, such as lab/frees.lua");
	L = lab_open(&opt.lab);
	if (!L)
		cli_die("out of memory");
	ok = lab_run(L, opt.file, &error);
	(void)fflush(stdout);
	if (ok)
		report(&opt, lab_results(L), now() - start);
	else
		fprintf(stderr, "hvo: %s\n", error ? error : "out of memory");
	free(error);
	lab_close(L);
	status = cli_flush();
	return ok ? status : CLI_FAILED;
}
