// SPDX-License-Identifier: MIT
/*
 * A list of hosts: the first line names the columns, in any order. A host that has pages of
 * several sizes has a line for each of them.
 */
#include "plan.h"

#include "cli/files/saving.h"
#include "common/args.h"
#include "common/cli.h"
#include "common/text.h"

#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HOSTS_ALIKE UINT64_C(1000000000)
#define MAX_DESCRIPTOR 4096u

enum column { NAME, MEMORY, SIZE, PAGES, FRACTION, DESCRIPTOR_BYTES, COUNT, NR_COLUMNS };

static const char *const column_names[NR_COLUMNS + 1] = {
	"name", "memory", "size", "pages", "fraction", "descriptor_bytes", "count", NULL,
};

/**
 * struct csv - a list that is being read
 * @at: which field of a line is which column, -1: none
 * @nr_unknown: columns that are not looked at
 * @odd, @near: one of them that is almost the name of one that is missing
 * @field: of the line that is being read, with room for @max_fields
 * @names: tree of what is found by name
 */
struct csv {
	const char *file;
	unsigned long line;
	double fraction;
	int at[NR_COLUMNS];
	unsigned int nr_fields;
	unsigned int nr_unknown;
	char *odd;
	const char *near;
	char **field;
	unsigned int max_fields;
	struct plan plan;
	void *names;
};

__attribute__((format(printf, 2, 3))) static int wrong(const struct csv *csv, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "hvo: %s:%lu: ", csv->file, csv->line);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return CLI_FAILED;
}

/* ---- lines ------------------------------------------------------------------------- */

/* One field, in place: without blanks around it, or in quotes. NULL if a quote is missing. */
static char *next_field(char **at)
{
	char *begin = *at + strspn(*at, " \t"), *in = begin, *out = begin;

	if (*begin != '"') {
		in += strcspn(in, ",");
		for (out = in; out > begin && strchr(" \t", out[-1]);)
			out--;
	} else {
		for (in++; *in && (*in != '"' || in[1] == '"'); in++) {
			in += *in == '"';
			*out++ = *in;
		}
		if (!*in)
			return NULL;
		in++;
		in += strspn(in, " \t");
		if (*in && *in != ',')
			return NULL;
	}
	*at = *in ? in + 1 : NULL;
	*out = '\0';
	return begin;
}

static int split(struct csv *csv, char *line, unsigned int *ret)
{
	unsigned int nr = 0;

	while (line) {
		if (nr == csv->max_fields) {
			csv->max_fields = csv->max_fields * 2 + 16;
			csv->field = reallocarray(csv->field, csv->max_fields, sizeof(*csv->field));
			if (!csv->field)
				cli_die("out of memory");
		}
		csv->field[nr] = next_field(&line);
		if (!csv->field[nr++])
			return wrong(csv, "field %u: the quotes do not match", nr);
	}
	*ret = nr;
	return CLI_OK;
}

static enum column column_of(const char *name)
{
	unsigned int c;

	for (c = 0; c < NR_COLUMNS && strcmp(name, column_names[c]) != 0; c++)
		;
	return (enum column)c;
}

/* A column that is somebody else's, and left alone; what it may have been is noted. */
static void note_unknown(struct csv *csv, const char *name)
{
	const char *near;

	csv->nr_unknown++;
	if (csv->odd)
		return;
	near = TEXT_NEAR(name, column_names);
	if (!near || csv->at[column_of(near)] >= 0)
		return;
	csv->near = near;
	csv->odd = strdup(name);
	if (!csv->odd)
		cli_die("out of memory");
}

static void tell_unknown(const struct csv *csv)
{
	if (csv->odd)
		cli_error("%s: column '%.40s' is not looked at; did you mean %s?", csv->file,
			  csv->odd, csv->near);
	else if (csv->nr_unknown)
		cli_error("%s: %u column%s not looked at", csv->file, csv->nr_unknown,
			  csv->nr_unknown == 1 ? " is" : "s are");
}

static int find_columns(struct csv *csv, char *line)
{
	unsigned int i, c;

	for (c = 0; c < NR_COLUMNS; c++)
		csv->at[c] = -1;
	if (split(csv, line, &csv->nr_fields))
		return CLI_FAILED;
	for (i = 0; i < csv->nr_fields; i++) {
		c = column_of(csv->field[i]);
		if (c == NR_COLUMNS)
			continue;
		if (csv->at[c] >= 0)
			return wrong(csv, "two columns '%s'", csv->field[i]);
		csv->at[c] = (int)i;
	}
	for (i = 0; i < csv->nr_fields; i++)
		if (column_of(csv->field[i]) == NR_COLUMNS)
			note_unknown(csv, csv->field[i]);
	if (csv->at[NAME] < 0 || csv->at[MEMORY] < 0)
		return wrong(csv, "a list needs the columns name and memory%s%.40s%s%s%s",
			     csv->odd ? "; is '" : "", csv->odd ? csv->odd : "",
			     csv->odd ? "' to be " : "", csv->odd ? csv->near : "",
			     csv->odd ? "?" : "");
	return CLI_OK;
}

/* ---- values -------------------------------------------------------------------------- */

/* What a line has in a column; NULL: nothing. */
static const char *value(const struct csv *csv, char *const *field, enum column c)
{
	return csv->at[c] < 0 || !field[csv->at[c]][0] ? NULL : field[csv->at[c]];
}

static int read_size(const struct csv *csv, char *const *field, enum column c, uint64_t *ret)
{
	const char *text = value(csv, field, c);

	if (!text)
		return c == SIZE ? CLI_OK : wrong(csv, "%s is missing", column_names[c]);
	if (args_size(text, ret) || !*ret)
		return wrong(csv, "%s: '%.40s' is not a size such as 2M or 512G", column_names[c],
			     text);
	return CLI_OK;
}

static int read_number(const struct csv *csv, char *const *field, enum column c, uint64_t min,
		       uint64_t max, uint64_t *ret)
{
	const char *text = value(csv, field, c);
	uint64_t n;

	if (!text)
		return CLI_OK;
	if (strspn(text, "0123456789") != strlen(text) || args_size(text, &n) || n < min || n > max)
		return wrong(csv, "%s: '%.40s' is not a number from %" PRIu64 " to %" PRIu64,
			     column_names[c], text, min, max);
	*ret = n;
	return CLI_OK;
}

/* The number of pages, from the one or the other column, or from what holds for all. */
static int read_pages(const struct csv *csv, char *const *field, uint64_t memory, uint64_t size,
		      uint64_t *ret)
{
	const char *pages = value(csv, field, PAGES), *fraction = value(csv, field, FRACTION);
	double part = csv->fraction;

	if (pages && fraction)
		return wrong(csv, "pages and fraction: one of them");
	if (pages)
		return read_number(csv, field, PAGES, 0, INT64_MAX, ret);
	if (fraction && !plan_fraction(fraction, &part))
		return wrong(csv, "fraction: '%.40s' is not a number from 0 to 1", fraction);
	if (part < 0)
		return wrong(csv, "how many pages? Neither pages nor fraction, nor --fraction");
	*ret = plan_pages(memory, part, size);
	return CLI_OK;
}

/* ---- hosts ------------------------------------------------------------------------------ */

/* By name; hosts move in memory, so it is their number that is kept. */
struct known {
	char *name;
	unsigned int host;
};

static int compare_known(const void *a, const void *b)
{
	return strcmp(((const struct known *)a)->name, ((const struct known *)b)->name);
}

static void free_known(void *arg)
{
	struct known *k = arg;

	free(k->name);
	free(k);
}

/* The host of this name, a new one if there is none. */
static struct plan_host *host_of(struct csv *csv, const char *name)
{
	struct known key = { .name = strdup(name) }, **found, *k;
	struct plan_host *host;

	if (!key.name)
		cli_die("out of memory");
	found = tfind(&key, &csv->names, compare_known);
	if (found) {
		free(key.name);
		return &csv->plan.host[(*found)->host];
	}
	k = cli_alloc(1, sizeof(*k));
	k->name = key.name;
	k->host = csv->plan.nr;
	if (!tsearch(k, &csv->names, compare_known))
		cli_die("out of memory");
	host = plan_add(&csv->plan, name);
	host->line = 0;
	return host;
}

static int add_pages(const struct csv *csv, struct plan_host *host, uint64_t size, uint64_t pages)
{
	uint64_t bytes, sum = 0;
	unsigned int i;

	for (i = 0; i < host->nr_pools; i++) {
		if (host->pool[i].bytes == size)
			return wrong(csv, "'%.40s' has pages of this size since line %lu already",
				     host->name, host->line);
		sum += host->pool[i].bytes * host->pool[i].pages;
	}
	if (__builtin_mul_overflow(size, pages, &bytes) || bytes > host->memory - sum)
		return wrong(csv, "'%.40s': its huge pages are more than its memory", host->name);
	plan_add_pool(host, size, pages);
	return CLI_OK;
}

static int add_line(struct csv *csv, char *const *field)
{
	const char *name = value(csv, field, NAME);
	uint64_t memory = 0, size = SAVING_BLOCK, pages = 0;
	uint64_t descriptor = SAVING_DESCRIPTOR, count = 1;
	struct plan_host *host;

	if (!name)
		return wrong(csv, "name is missing");
	if (read_size(csv, field, MEMORY, &memory) || read_size(csv, field, SIZE, &size))
		return CLI_FAILED;
	if (size <= SAVING_PAGE || (size & (size - 1)))
		return wrong(csv,
			     "size: no page has %" PRIu64 " bytes: it is a power of two above 4K",
			     size);
	if (read_pages(csv, field, memory, size, &pages) ||
	    read_number(csv, field, DESCRIPTOR_BYTES, 1, MAX_DESCRIPTOR, &descriptor) ||
	    read_number(csv, field, COUNT, 1, MAX_HOSTS_ALIKE, &count))
		return CLI_FAILED;
	host = host_of(csv, name);
	if (!host->line) {
		host->line = csv->line;
		host->memory = memory;
		host->descriptor = descriptor;
		host->count = count;
	} else if (host->memory != memory || host->descriptor != descriptor ||
		   host->count != count) {
		return wrong(csv, "'%.40s' is another host in line %lu", name, host->line);
	}
	return add_pages(csv, host, size, pages);
}

static int read_line(struct csv *csv, char *line, size_t len)
{
	unsigned int nr;

	if (strlen(line) != len)
		return wrong(csv, "this is no text");
	if (len >= 3 && csv->line == 1 && !memcmp(line, "\xef\xbb\xbf", 3))
		line += 3;
	line[strcspn(line, "\r\n")] = '\0';
	if (!line[strspn(line, " \t")] || line[0] == '#')
		return CLI_OK;
	if (!csv->nr_fields)
		return find_columns(csv, line);
	if (split(csv, line, &nr))
		return CLI_FAILED;
	if (nr != csv->nr_fields)
		return wrong(csv, "%u field%s where the first line has %u", nr, nr == 1 ? "" : "s",
			     csv->nr_fields);
	return add_line(csv, csv->field);
}

int plan_read_csv(FILE *f, const char *file, double fraction, struct plan *ret)
{
	struct csv csv = { .file = file,
			   .fraction = fraction,
			   .plan = { .assumed = PLAN_NO_FRACTION } };
	int status = CLI_OK;
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	errno = 0;
	while (!status && (len = getline(&line, &size, f)) >= 0) {
		csv.line++;
		status = read_line(&csv, line, (size_t)len);
	}
	if (!status && ferror(f))
		status = cli_error("%s: %s", file, strerror(errno));
	if (!status && !csv.plan.nr) {
		csv.line++;
		status = wrong(&csv, "no hosts: a line of column names (name,memory,size,pages), "
				     "then a line for each host");
	}
	free(line);
	free(csv.field);
	if (!status)
		tell_unknown(&csv);
	free(csv.odd);
	tdestroy(csv.names, free_known);
	if (status)
		plan_free(&csv.plan);
	else
		*ret = csv.plan;
	return status;
}
