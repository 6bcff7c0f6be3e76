// SPDX-License-Identifier: MIT
/*
 * hvo report: results of the lab as one HTML file that needs nothing else.
 */
#include "cli/commands.h"
#include "common/args.h"
#include "common/cli.h"
#include "common/progress.h"
#include "figures.h"
#include "path/path.h"
#include "plot.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char help[] =
	"usage: hvo report [options] DIR|FILE...\n"
	"\n"
	"Make one HTML file of what hvo run -o wrote: plots (by gnuplot), tables, and\n"
	"the words.\n"
	"\n"
	"  -o FILE          where to; it is needed\n"
	"  --title TEXT     the heading (default: libhvo lab)\n";

/* All documents, in the order of the files. */
struct report {
	const char *out;
	const char *title;
	json_t **docs;
	size_t nr;
};

/* ---- input --------------------------------------------------------------------------- */

static int add_file(struct report *r, const char *path)
{
	json_error_t error;
	json_t *doc = json_load_file(path, JSON_REJECT_DUPLICATES, &error), **more;

	if (!doc)
		return cli_error("%s: %s; it should be what hvo run -o wrote", path, error.text);
	if (!json_is_array(json_object_get(doc, "results"))) {
		cli_error("%s: no results in it; it should be what hvo run -o wrote", path);
		json_decref(doc);
		return CLI_FAILED;
	}
	more = realloc(r->docs, (r->nr + 1) * sizeof(*more));
	if (!more)
		cli_die("out of memory");
	r->docs = more;
	r->docs[r->nr++] = doc;
	return CLI_OK;
}

static int is_json(const struct dirent *d)
{
	size_t len = strlen(d->d_name);

	return len > 5 && d->d_name[0] != '.' && !strcmp(d->d_name + len - 5, ".json");
}

static int add_dir(struct report *r, const char *dir)
{
	int nr, i, status = CLI_OK;
	struct dirent **names;
	char *path;

	nr = scandir(dir, &names, is_json, alphasort);
	if (nr < 0)
		cli_die("%s: %s", dir, strerror(errno));
	for (i = 0; i < nr; i++) {
		path = cli_format("%s/%s", dir, names[i]->d_name);
		if (!status)
			status = add_file(r, path);
		free(path);
		free(names[i]);
	}
	free(names);
	if (!nr)
		cli_die("%s: no results in it; hvo run -o %s FILE.lua writes some", dir, dir);
	return status;
}

static int add_operand(void *arg, const char *value)
{
	struct stat st;

	if (!stat(value, &st) && S_ISDIR(st.st_mode))
		return add_dir(arg, value);
	return add_file(arg, value);
}

/* ---- HTML ----------------------------------------------------------------------------- */

static void put(FILE *out, const char *text)
{
	for (; text && *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", out);
			break;
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		default:
			/* No document may hold the other control characters. */
			if ((unsigned char)*text >= ' ' || *text == '\n' || *text == '\t')
				fputc(*text, out);
			break;
		}
	}
}

static const char *text_of(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static void put_element(FILE *out, const char *tag, const char *text)
{
	if (!text)
		return;
	fprintf(out, "<%s>", tag);
	put(out, text);
	fprintf(out, "</%s>\n", tag);
}

/* Thousands apart by a narrow space that does not break. */
#define GAP "\u202f"

static void put_figures(FILE *out, const struct figures *figures, const json_t *value)
{
	char *text = figures_text(figures, value, GAP);

	put(out, text);
	free(text);
}

static void put_value(FILE *out, const json_t *value)
{
	const struct figures figures = figures_of_value(value);

	put_figures(out, &figures, value);
}

static void put_rows(FILE *out, const json_t *result)
{
	const json_t *columns = json_object_get(result, "columns"), *row, *cell;
	const json_t *rows = json_object_get(result, "rows");
	struct figures figures;
	size_t i, k;

	if (!json_array_size(columns))
		return;
	fputs("<table>\n<thead><tr>", out);
	json_array_foreach(columns, i, cell)
	{
		fputs("<th>", out);
		put_value(out, cell);
		fputs("</th>", out);
	}
	fputs("</tr></thead>\n<tbody>\n", out);
	json_array_foreach(rows, i, row)
	{
		fputs("<tr>", out);
		json_array_foreach(row, k, cell)
		{
			figures = figures_of_column(rows, k);
			fputs(json_is_number(cell) ? "<td class=\"n\">" : "<td>", out);
			put_figures(out, &figures, cell);
			fputs("</td>", out);
		}
		fputs("</tr>\n", out);
	}
	fputs("</tbody>\n</table>\n", out);
}

static void put_notes(FILE *out, const json_t *result)
{
	const json_t *notes = json_object_get(result, "notes"), *note;
	size_t i;

	if (!json_array_size(notes))
		return;
	fputs("<ul class=\"notes\">\n", out);
	json_array_foreach(notes, i, note) put_element(out, "li", json_string_value(note));
	fputs("</ul>\n", out);
}

static void put_parameters(FILE *out, const json_t *doc, const json_t *result)
{
	json_t *parameters = json_object_get(result, "parameters"), *value;
	const char *name;

	fputs("<p class=\"parameters\">", out);
	put(out, text_of(doc, "script"));
	fputs(", seed ", out);
	put_value(out, json_object_get(doc, "seed"));
	json_object_foreach(parameters, name, value)
	{
		fputs(", ", out);
		put(out, name);
		fputs(" = ", out);
		put_value(out, value);
	}
	if (json_is_true(json_object_get(doc, "quick")))
		fputs(", <b>a quick run, to try it out</b>", out);
	if (text_of(doc, "version")) {
		fputs(", hvo ", out);
		put(out, text_of(doc, "version"));
	}
	fputs("</p>\n", out);
}

static void put_plot(FILE *out, const json_t *result, unsigned int nr)
{
	char *svg = NULL;
	int err;

	if (!plot_possible(result))
		return;
	err = plot_svg(result, nr, &svg);
	if (err == -ENOENT)
		cli_die("there is no gnuplot, which draws the plots; install the package "
			"gnuplot-nox");
	if (err)
		cli_die("gnuplot could not draw '%s': %s", text_of(result, "name"), strerror(-err));
	fprintf(out, "<figure>\n%s\n</figure>\n", svg);
	free(svg);
}

static const char *title_of(const json_t *result)
{
	const char *title = text_of(result, "title");

	return title ? title : text_of(result, "name");
}

static void put_result(FILE *out, const json_t *doc, const json_t *result, unsigned int nr)
{
	fprintf(out, "<section id=\"r%u\">\n", nr);
	put_element(out, "h2", title_of(result));
	put_element(out, "p", text_of(result, "question"));
	put_notes(out, result);
	put_plot(out, result, nr);
	put_rows(out, result);
	put_parameters(out, doc, result);
	fputs("</section>\n", out);
}

static const char style[] =
	"body { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; "
	"color: #222; background: #fff; }\n"
	"h1, h2 { line-height: 1.2; }\n"
	"h2 { margin-top: 3rem; border-top: 1px solid #ccc; padding-top: 1rem; }\n"
	"figure { margin: 1rem 0; }\n"
	"svg { width: 100%; height: auto; }\n"
	"table { border-collapse: collapse; margin: 1rem 0; font-size: 0.9rem; }\n"
	"th, td { padding: 0.2rem 0.7rem; border-bottom: 1px solid #ddd; text-align: left; "
	"vertical-align: bottom; }\n"
	"td.n { text-align: right; font-variant-numeric: tabular-nums; }\n"
	".notes { font-weight: bold; }\n"
	".parameters { color: #555; font-size: 0.85rem; }\n";

static void put_contents(FILE *out, const struct report *r)
{
	unsigned int nr = 0;
	const json_t *result;
	size_t i, k;

	fputs("<ol>\n", out);
	for (i = 0; i < r->nr; i++)
		json_array_foreach(json_object_get(r->docs[i], "results"), k, result)
		{
			fprintf(out, "<li><a href=\"#r%u\">", nr++);
			put(out, title_of(result));
			fputs("</a>", out);
			put_notes(out, result);
			fputs("</li>\n", out);
		}
	fputs("</ol>\n", out);
}

static void put_document(FILE *out, const struct report *r)
{
	unsigned int nr = 0;
	const json_t *result;
	size_t i, k;

	fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n", out);
	put_element(out, "title", r->title);
	fprintf(out, "<style>\n%s</style>\n</head>\n<body>\n", style);
	put_element(out, "h1", r->title);
	put_contents(out, r);
	for (i = 0; i < r->nr; i++) {
		json_array_foreach(json_object_get(r->docs[i], "results"), k, result)
			put_result(out, r->docs[i], result, nr++);
		progress_show((double)(i + 1) / (double)r->nr, "drawing");
	}
	progress_end();
	fputs("</body>\n</html>\n", out);
}

/* ---- the command ---------------------------------------------------------------------- */

static const struct arg_spec specs[] = {
	ARG_TEXT("-o", struct report, out),
	ARG_TEXT("--title", struct report, title),
	ARG_END,
};

/* Made in memory: what fails half-way leaves the file as it was. */
static void write_report(const struct report *r)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int fd;

	if (!out)
		cli_die("out of memory");
	put_document(out, r);
	if (fclose(out))
		cli_die("out of memory");
	fd = path_create(r->out, 0666);
	if (fd < 0)
		cli_die("%s: %s", r->out, path_error(fd));
	out = fdopen(fd, "w");
	if (!out || fwrite(text, 1, len, out) != len || fclose(out))
		cli_die("%s: %s", r->out, strerror(errno));
	free(text);
}

int cli_report(char **args)
{
	struct report r = { .title = "libhvo lab" };
	int status;
	size_t i;

	if (args_want_help(args))
		return cli_help(help);
	status = args_parse(specs, args, &r, add_operand);
	if (!status && !r.nr)
		status = args_error("report needs a directory or files that hvo run -o wrote");
	if (!status && !r.out)
		status = args_error("report needs -o FILE, where to write it");
	if (!status)
		write_report(&r);
	for (i = 0; i < r.nr; i++)
		json_decref(r.docs[i]);
	free(r.docs);
	return status;
}
