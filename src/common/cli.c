// SPDX-License-Identifier: MIT
/*
 * What the commands share: giving up, memory, JSON, the end of the output.
 */
#include "cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void print_error(const char *fmt, va_list args)
{
	(void)fflush(stdout);
	fputs("hvo: ", stderr);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
}

int cli_error(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_error(fmt, args);
	va_end(args);
	return CLI_FAILED;
}

void cli_die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_error(fmt, args);
	va_end(args);
	exit(CLI_FAILED);
}

uint64_t cli_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

void *cli_alloc(size_t nr, size_t size)
{
	void *mem = calloc(nr, size);

	if (!mem)
		cli_die("out of memory");
	return mem;
}

char *cli_vformat(const char *fmt, va_list args)
{
	char *text;

	if (vasprintf(&text, fmt, args) < 0)
		cli_die("out of memory");
	return text;
}

char *cli_format(const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	text = cli_vformat(fmt, args);
	va_end(args);
	return text;
}

static int compare_double(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

double cli_median(double *values, unsigned int nr)
{
	qsort(values, nr, sizeof(*values), compare_double);
	return nr % 2 ? values[nr / 2] : (values[nr / 2 - 1] + values[nr / 2]) / 2;
}

int cli_flush(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return CLI_OK;
	return cli_error("standard output could not be written");
}

int cli_help(const char *text)
{
	fputs(text, stdout);
	return cli_flush();
}

/* ---- JSON -------------------------------------------------------------------- */

/* Bytes of the character that begins here; 0 if it is none. */
static size_t character(const char *text)
{
	size_t len;
	json_t *j;

	for (len = 1; len <= 4 && text[len - 1]; len++) {
		j = json_stringn(text, len);
		if (j) {
			json_decref(j);
			return len;
		}
	}
	return 0;
}

json_t *cli_json_text(const char *text)
{
	json_t *j = text ? json_string(text) : json_null();
	char *clean;
	size_t i, len;

	if (j)
		return j;
	clean = strdup(text);
	if (!clean)
		cli_die("out of memory");
	for (i = 0; clean[i]; i += len) {
		len = character(clean + i);
		if (len)
			continue;
		clean[i] = '?';
		len = 1;
	}
	j = json_string(clean);
	free(clean);
	if (!j)
		cli_die("out of memory");
	return j;
}

json_t *cli_json_word(const char *word)
{
	return cli_json_text(*word ? word : NULL);
}

json_t *cli_json_number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

json_t *cli_json_real(double value)
{
	return isnan(value) ? json_null() : json_real(value);
}

json_t *cli_json_known(bool is, uint64_t n)
{
	return is ? cli_json_number(n) : json_null();
}

/* The same bytes for the same document. */
#define JSON_FORM (JSON_INDENT(2) | JSON_REAL_PRECISION(15))

int cli_print_json(json_t *doc)
{
	/* Nothing: it could not be put together. */
	if (!doc || json_dumpf(doc, stdout, JSON_FORM))
		cli_die("the JSON could not be written");
	putchar('\n');
	json_decref(doc);
	return cli_flush();
}
