// SPDX-License-Identifier: MIT
/*
 * Text tables, and numbers as people read them.
 */
#include "table.h"

#include "cli.h"
#include "text.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define GAP 2u
/* Text is not made narrower than this as long as there is another way. */
#define TEXT_MIN 24u
#define TEXT_LEAST 8u

struct column {
	char *head; /* '\n' between its lines */
	bool left;
};

struct table {
	struct column column[TABLE_MAX_COLUMNS];
	unsigned int nr_columns;
	unsigned int nr_cells;
	unsigned int max_cells;
	char **cells;
};

/* ---- cells ------------------------------------------------------------------ */

static char *copy(const char *text)
{
	char *all = strdup(text);

	if (!all)
		cli_die("out of memory");
	return all;
}

static struct column *add_column(struct table *t, const char *head, bool left)
{
	struct column *c = &t->column[t->nr_columns++];

	c->head = copy(head);
	c->left = left;
	return c;
}

struct table *table_new(const char *const *heads)
{
	struct table *t = cli_alloc(1, sizeof(*t));
	char *bar;

	for (; t->nr_columns < TABLE_MAX_COLUMNS && *heads; heads++) {
		bar = strchr(add_column(t, *heads + (**heads == '<'), **heads == '<')->head, '|');
		if (bar)
			*bar = '\n';
	}
	return t;
}

struct table *table_new_plain(const char *const *heads, const bool *left)
{
	struct table *t = cli_alloc(1, sizeof(*t));

	for (; t->nr_columns < TABLE_MAX_COLUMNS && *heads; heads++)
		(void)add_column(t, *heads, !t->nr_columns || left[t->nr_columns]);
	return t;
}

static void add_cell(struct table *t, char *text)
{
	if (t->nr_cells == t->max_cells) {
		t->max_cells = t->max_cells ? t->max_cells * 2 : 64;
		t->cells = reallocarray(t->cells, t->max_cells, sizeof(*t->cells));
		if (!t->cells)
			cli_die("out of memory");
	}
	t->cells[t->nr_cells++] = text;
}

void table_cell(struct table *t, const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	text = cli_vformat(fmt, args);
	va_end(args);
	add_cell(t, text);
}

void table_number(struct table *t, uint64_t n)
{
	char buf[TABLE_FIXED_LEN];

	/* None that is counted is near 2^63. */
	add_cell(t, copy(table_integer(buf, n > INT64_MAX ? INT64_MAX : (int64_t)n, " ")));
}

void table_real(struct table *t, double value, unsigned int decimals)
{
	char buf[TABLE_FIXED_LEN];

	add_cell(t, copy(isfinite(value) ? table_fixed(buf, value, decimals, " ") : "-"));
}

void table_free(struct table *t)
{
	if (!t)
		return;
	while (t->nr_cells)
		free(t->cells[--t->nr_cells]);
	while (t->nr_columns)
		free(t->column[--t->nr_columns].head);
	free(t->cells);
	free(t);
}

/* ---- widths ----------------------------------------------------------------- */

/* Columns of the widest line, or, @words, of the widest word. */
static size_t widest(const char *text, bool words)
{
	size_t width = 0, columns = 0;

	for (; *text; text++) {
		if (*text == '\n' || (words && *text == ' '))
			columns = 0;
		else
			columns += ((unsigned char)*text & 0xc0) != 0x80;
		width = columns > width ? columns : width;
	}
	return width;
}

/**
 * struct layout - some of the columns, beside each other
 * @column: which
 * @width: of each
 */
struct layout {
	unsigned int column[TABLE_MAX_COLUMNS];
	size_t width[TABLE_MAX_COLUMNS];
	unsigned int nr;
};

static size_t layout_width(const struct layout *l)
{
	size_t sum = l->nr ? (l->nr - 1) * GAP : 0;
	unsigned int i;

	for (i = 0; i < l->nr; i++)
		sum += l->width[i];
	return sum;
}

static void layout_add(const struct table *t, struct layout *l, unsigned int column, bool words)
{
	size_t width = widest(t->column[column].head, words), one;
	unsigned int i;

	for (i = column; i < t->nr_cells; i += t->nr_columns) {
		one = widest(t->cells[i], false);
		width = one > width ? one : width;
	}
	l->column[l->nr] = column;
	l->width[l->nr++] = width;
}

/* Columns of text become narrower, the last one first, none below @least. Does it fit? */
static bool layout_shrink(const struct table *t, struct layout *l, size_t room, size_t least)
{
	struct layout l2 = *l;
	unsigned int i = l->nr;
	size_t over;

	while (i-- && layout_width(&l2) > room) {
		over = layout_width(&l2) - room;
		if (!t->column[l2.column[i]].left || l2.width[i] <= least)
			continue;
		l2.width[i] = l2.width[i] > least + over ? l2.width[i] - over : least;
	}
	if (layout_width(&l2) > room)
		return false;
	*l = l2;
	return true;
}

static bool fits(const struct table *t, struct layout *l, size_t room)
{
	bool words = false;
	unsigned int c;

	do {
		l->nr = 0;
		for (c = 0; c < t->nr_columns; c++)
			layout_add(t, l, c, words);
		if (layout_width(l) <= room)
			return true;
		words = !words;
	} while (words);
	return layout_shrink(t, l, room, TEXT_MIN);
}

/* Columns that name a row: those of text that come first. */
static unsigned int nr_names(const struct table *t)
{
	unsigned int nr = 1;

	while (nr < t->nr_columns && t->column[nr].left)
		nr++;
	return nr < t->nr_columns ? nr : 1;
}

/* The names and, from *@next on, as many of the others as there is room for; one at least. */
static void layout_part(const struct table *t, struct layout *l, size_t room, unsigned int *next)
{
	unsigned int names = nr_names(t), c;

	l->nr = 0;
	for (c = 0; c < names; c++)
		layout_add(t, l, c, true);
	for (; *next < t->nr_columns; ++*next) {
		layout_add(t, l, *next, true);
		if (layout_width(l) > room && l->nr > names + 1) {
			l->nr--;
			break;
		}
	}
	if (layout_width(l) > room)
		(void)layout_shrink(t, l, room, TEXT_LEAST);
}

/* ---- printing --------------------------------------------------------------- */

static void print_cell(FILE *out, const char *text, size_t len, size_t width, bool left, bool last)
{
	size_t columns = 0, i;

	for (i = 0; i < len; i++)
		columns += ((unsigned char)text[i] & 0xc0) != 0x80;
	if (!left)
		fprintf(out, "%*s", (int)(width - columns), "");
	fprintf(out, "%.*s", (int)len, text);
	if (left && !last)
		fprintf(out, "%*s", (int)(width - columns), "");
}

/* Does any column to the right have text left? No blanks at the end of a line. */
static bool is_last(const struct layout *l, const char *const *at, unsigned int i)
{
	for (i++; i < l->nr; i++)
		if (*at[i])
			return false;
	return true;
}

/* One line of a row; @at moves on in each cell. */
static void print_line(const struct table *t, FILE *out, unsigned int indent,
		       const struct layout *l, const char **at)
{
	unsigned int i, last = 0;
	const char *text;
	size_t len;

	while (last < l->nr && !is_last(l, at, last))
		last++;
	fprintf(out, "%*s", last || *at[0] ? (int)indent : 0, "");
	for (i = 0; i <= last && i < l->nr; i++) {
		text = at[i];
		len = text_line(&at[i], l->width[i]);
		if (i)
			fprintf(out, "%*s", (int)GAP, "");
		print_cell(out, text, len, l->width[i], t->column[l->column[i]].left, i == last);
	}
	fputc('\n', out);
}

static bool any_left(const struct layout *l, const char *const *at)
{
	unsigned int i;

	for (i = 0; i < l->nr; i++)
		if (*at[i])
			return true;
	return false;
}

/* @row: of cells, or NULL for the heads; those are left out if all are empty. */
static void print_row(const struct table *t, FILE *out, unsigned int indent, const struct layout *l,
		      char *const *row)
{
	const char *at[TABLE_MAX_COLUMNS];
	unsigned int i;

	for (i = 0; i < l->nr; i++)
		at[i] = row ? row[l->column[i]] : t->column[l->column[i]].head;
	if (row && !any_left(l, at))
		fputc('\n', out);
	while (any_left(l, at))
		print_line(t, out, indent, l, at);
}

static void print_part(const struct table *t, FILE *out, unsigned int indent,
		       const struct layout *l)
{
	unsigned int i;

	print_row(t, out, indent, l, NULL);
	for (i = 0; i + t->nr_columns <= t->nr_cells; i += t->nr_columns)
		print_row(t, out, indent, l, t->cells + i);
}

static void print_all(const struct table *t, FILE *out, unsigned int indent)
{
	size_t room = text_width() - indent;
	unsigned int next = nr_names(t);
	struct layout l;

	if (!t->nr_columns)
		return;
	if (fits(t, &l, room)) {
		print_part(t, out, indent, &l);
		return;
	}
	while (next < t->nr_columns) {
		if (next > nr_names(t))
			fputc('\n', out);
		layout_part(t, &l, room, &next);
		print_part(t, out, indent, &l);
	}
}

void table_print(struct table *t, FILE *out, unsigned int indent)
{
	print_all(t, out, indent);
	table_free(t);
}

/* ---- numbers ---------------------------------------------------------------- */

/* Digits with a sign and a point, thousands apart; without the sign if all are 0. */
static const char *group(char buf[TABLE_FIXED_LEN], const char *digits, const char *gap)
{
	size_t len, i, at = 0, step = strlen(gap);

	if (*digits == '-' && !digits[strspn(digits, "-0.")])
		digits++;
	if (*digits == '-')
		buf[at++] = *digits++;
	len = strspn(digits, "0123456789");
	for (i = 0; digits[i] && at + step + 2 < TABLE_FIXED_LEN; i++) {
		if (i && i < len && (len - i) % 3 == 0) {
			memcpy(buf + at, gap, step);
			at += step;
		}
		buf[at++] = digits[i];
	}
	buf[at] = '\0';
	return buf;
}

const char *table_fixed(char buf[TABLE_FIXED_LEN], double value, unsigned int decimals,
			const char *gap)
{
	char digits[TABLE_FIXED_LEN];

	(void)snprintf(digits, sizeof(digits), "%.*f", (int)decimals, value);
	return group(buf, digits, gap);
}

const char *table_integer(char buf[TABLE_FIXED_LEN], int64_t value, const char *gap)
{
	char digits[32];

	(void)snprintf(digits, sizeof(digits), "%" PRId64, value);
	return group(buf, digits, gap);
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
	char digits[TABLE_FIXED_LEN];
	unsigned int unit = 0;

	while (size >= 1000 && unit < 3) {
		size /= 1000;
		ns /= 1000;
		unit++;
	}
	if (size >= 100 || !unit)
		(void)snprintf(buf, TABLE_SIZE_LEN, "%.20s %s", table_fixed(digits, ns, 0, ""),
			       units[unit]);
	else
		(void)snprintf(buf, TABLE_SIZE_LEN, "%.3g %s", ns, units[unit]);
	return buf;
}
