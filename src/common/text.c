// SPDX-License-Identifier: MIT
/*
 * Text for people: see text.h.
 */
#include "text.h"

#include "cli.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Narrower ones are not worth the effort. */
#define WIDTH_MIN 40u

unsigned int text_width(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col)
		return TEXT_WIDTH;
	return size.ws_col < WIDTH_MIN ? WIDTH_MIN : size.ws_col;
}

/* ---- lines ------------------------------------------------------------------ */

static bool begins_character(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

size_t text_columns(const char *text)
{
	size_t columns = 0;

	for (; *text; text++)
		columns += begins_character(*text);
	return columns;
}

size_t text_line(const char **at, size_t width)
{
	const char *begin = *at, *in = begin, *blank = NULL;
	size_t columns = 0;

	for (; *in && *in != '\n'; in++) {
		if (begins_character(*in) && columns++ == width)
			break;
		if (*in == ' ')
			blank = in;
	}
	if (!*in || *in == '\n') {
		*at = in + (*in == '\n');
		return (size_t)(in - begin);
	}
	/* A blank that has no room ends the line as well. */
	if (*in == ' ')
		blank = in;
	if (!blank || blank == begin) {
		*at = in;
		return (size_t)(in - begin);
	}
	*at = blank + strspn(blank, " ");
	while (blank > begin && blank[-1] == ' ')
		blank--;
	return (size_t)(blank - begin);
}

void text_wrap(FILE *out, const char *first, const char *rest, const char *text)
{
	size_t width = text_width(), before = text_columns(first), len;
	const char *at = text;

	if (width > TEXT_WIDTH)
		width = TEXT_WIDTH;
	do {
		text = at;
		len = text_line(&at, width > before + 1 ? width - before : 1);
		while (len && text[len - 1] == ' ')
			len--;
		fprintf(out, "%s%.*s\n", len ? first : "", (int)len, text);
		first = rest;
		before = text_columns(rest);
	} while (*at);
}

void text_wrapf(FILE *out, const char *first, const char *rest, const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	text = cli_vformat(fmt, args);
	va_end(args);
	text_wrap(out, first, rest, text);
	free(text);
}

void text_begin(struct text_buffer *b)
{
	b->text = NULL;
	b->out = open_memstream(&b->text, &b->len);
	if (!b->out)
		cli_die("out of memory");
}

#define INDENT_MAX 32

static void print_indented(char *line)
{
	char first[INDENT_MAX + 1], rest[INDENT_MAX + 3];
	size_t indent = strspn(line, " ");

	if (indent > INDENT_MAX)
		indent = INDENT_MAX;
	(void)snprintf(first, sizeof(first), "%*s", (int)indent, "");
	(void)snprintf(rest, sizeof(rest), "%*s", (int)indent + 2, "");
	text_wrap(stdout, first, rest, line + indent);
}

void text_end(struct text_buffer *b)
{
	char *line, *next;

	if (fclose(b->out))
		cli_die("out of memory");
	for (line = b->text; *line; line = next) {
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		print_indented(line);
	}
	free(b->text);
}

/* ---- names ------------------------------------------------------------------ */

#define NAME_MAX_LEN 40u

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static bool same(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Characters to add, leave out, replace, or swap with the next one. */
static size_t distance(const char *a, const char *b)
{
	size_t row[3][NAME_MAX_LEN + 1], na = strlen(a), nb = strlen(b), i, k;
	size_t *two = row[0], *one = row[1], *now = row[2], *spare;

	for (k = 0; k <= nb; k++)
		one[k] = k;
	for (i = 1; i <= na; i++) {
		now[0] = i;
		for (k = 1; k <= nb; k++) {
			now[k] = min_size(min_size(one[k], now[k - 1]) + 1,
					  one[k - 1] + !same(a[i - 1], b[k - 1]));
			if (i > 1 && k > 1 && same(a[i - 1], b[k - 2]) && same(a[i - 2], b[k - 1]))
				now[k] = min_size(now[k], two[k - 2] + 1);
		}
		spare = two;
		two = one;
		one = now;
		now = spare;
	}
	return one[nb];
}

/* How far a name may be away: less than half of it is wrong. */
static bool is_near(const char *word, const char *name, size_t far)
{
	size_t len = strlen(word);

	if (len > 1 && !strncasecmp(word, name, len))
		return true;
	return far <= 1 + len / 4 && far < min_size(len, strlen(name));
}

const char *text_near(const char *word, const void *table, size_t stride)
{
	const char *at = table, *name, *nearest = NULL;
	size_t least = SIZE_MAX, far;

	if (strlen(word) > NAME_MAX_LEN)
		return NULL;
	for (; (name = *(const char *const *)(const void *)at); at += stride) {
		if (strlen(name) > NAME_MAX_LEN)
			continue;
		far = distance(word, name);
		if (far < least && is_near(word, name, far)) {
			least = far;
			nearest = name;
		}
	}
	return nearest;
}
