// SPDX-License-Identifier: MIT
/*
 * Text tables, and sizes and times as people read them.
 */
#include "table.h"

#include "cli.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define CELL_LEN 80

struct table {
	const char *const *heads;
	unsigned int nr_columns;
	unsigned int nr_cells;
	unsigned int max_cells;
	char (*cells)[CELL_LEN];
};

struct table *table_new(const char *const *heads)
{
	struct table *t = cli_alloc(1, sizeof(*t));

	t->heads = heads;
	while (t->nr_columns < TABLE_MAX_COLUMNS && heads[t->nr_columns])
		t->nr_columns++;
	return t;
}

static char *next_cell(struct table *t)
{
	if (t->nr_cells == t->max_cells) {
		unsigned int more = t->max_cells ? t->max_cells * 2 : 64;
		char(*cells)[CELL_LEN] = cli_alloc(more, CELL_LEN);

		if (t->nr_cells)
			memcpy(cells, t->cells, (size_t)t->nr_cells * CELL_LEN);
		free(t->cells);
		t->cells = cells;
		t->max_cells = more;
	}
	return t->cells[t->nr_cells++];
}

void table_cell(struct table *t, const char *fmt, ...)
{
	char *cell = next_cell(t);
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(cell, CELL_LEN, fmt, args);
	va_end(args);
}

void table_number(struct table *t, uint64_t n)
{
	char digits[24], apart[32];
	size_t len, i, k = 0;

	(void)snprintf(digits, sizeof(digits), "%" PRIu64, n);
	len = strlen(digits);
	for (i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			apart[k++] = ' ';
		apart[k++] = digits[i];
	}
	apart[k] = '\0';
	table_cell(t, "%s", apart);
}

/* One of the two lines of a head, without its '<'. */
static int head_line(const char *head, unsigned int line, const char **ret)
{
	const char *bar;

	if (*head == '<')
		head++;
	bar = strchr(head, '|');
	if (line == 0) {
		*ret = head;
		return bar ? (int)(bar - head) : (int)strlen(head);
	}
	*ret = bar ? bar + 1 : "";
	return (int)strlen(*ret);
}

static int column_width(const struct table *t, unsigned int column)
{
	const char *text;
	int width = 0, len;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		len = head_line(t->heads[column], i, &text);
		if (len > width)
			width = len;
	}
	for (i = column; i < t->nr_cells; i += t->nr_columns) {
		len = (int)strlen(t->cells[i]);
		if (len > width)
			width = len;
	}
	return width;
}

static void print_cell(const struct table *t, FILE *out, unsigned int column, int width,
		       const char *text, int len)
{
	bool last = column + 1 == t->nr_columns;

	if (last && !len) /* no blanks at the end of a line */
		return;
	if (column)
		fputs("  ", out);
	if (t->heads[column][0] != '<')
		fprintf(out, "%*s%.*s", width - len, "", len, text);
	else if (last)
		fprintf(out, "%.*s", len, text);
	else
		fprintf(out, "%.*s%*s", len, text, width - len, "");
}

void table_print(const struct table *t, FILE *out, unsigned int indent)
{
	int width[TABLE_MAX_COLUMNS];
	bool two_lines = false, no_heads = true;
	const char *text;
	unsigned int c, i;
	int len;

	for (c = 0; c < t->nr_columns; c++) {
		width[c] = column_width(t, c);
		two_lines = two_lines || strchr(t->heads[c], '|');
		no_heads = no_heads && !head_line(t->heads[c], 0, &text);
	}
	for (i = 0; i < (two_lines ? 2u : 1u) && !no_heads; i++) {
		fprintf(out, "%*s", (int)indent, "");
		for (c = 0; c < t->nr_columns; c++) {
			len = head_line(t->heads[c], i, &text);
			print_cell(t, out, c, width[c], text, len);
		}
		fputc('\n', out);
	}
	for (i = 0; i + t->nr_columns <= t->nr_cells; i += t->nr_columns) {
		fprintf(out, "%*s", (int)indent, "");
		for (c = 0; c < t->nr_columns; c++)
			print_cell(t, out, c, width[c], t->cells[i + c],
				   (int)strlen(t->cells[i + c]));
		fputc('\n', out);
	}
}

void table_free(struct table *t)
{
	if (!t)
		return;
	free(t->cells);
	free(t);
}

const char *table_size(char buf[TABLE_SIZE_LEN], uint64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes / 1024;
	unsigned int unit = 0;

	if (bytes < 1024) {
		(void)snprintf(buf, TABLE_SIZE_LEN, "%" PRIu64 " bytes", bytes);
		return buf;
	}
	while (value >= 10240 && unit < 3) {
		value /= 1024;
		unit++;
	}
	if (value >= 1024 && unit < 3 && bytes % (UINT64_C(1) << (10 * (unit + 2))) == 0) {
		value /= 1024;
		unit++;
	}
	(void)snprintf(buf, TABLE_SIZE_LEN,
		       value >= 100 || (double)(uint64_t)value >= value ? "%.0f %s" : "%.1f %s",
		       value, units[unit]);
	return buf;
}

const char *table_time(char buf[TABLE_SIZE_LEN], double ns)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	double size = ns < 0 ? -ns : ns;
	unsigned int unit = 0;

	while (size >= 1000 && unit < 3) {
		size /= 1000;
		ns /= 1000;
		unit++;
	}
	(void)snprintf(buf, TABLE_SIZE_LEN, size >= 100 || !unit ? "%.0f %s" : "%.3g %s", ns,
		       units[unit]);
	return buf;
}
