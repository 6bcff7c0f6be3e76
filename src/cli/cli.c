// SPDX-License-Identifier: MIT
/*
 * What the commands share: giving up, memory, the end of the output.
 */
#include "cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void cli_die(const char *fmt, ...)
{
	va_list args;

	(void)fflush(stdout);
	fputs("hvo: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	exit(CLI_FAILED);
}

void *cli_alloc(size_t nr, size_t size)
{
	void *mem = calloc(nr, size);

	if (!mem)
		cli_die("out of memory");
	return mem;
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
	fputs("hvo: standard output could not be written\n", stderr);
	return CLI_FAILED;
}

int cli_help(const char *text)
{
	fputs(text, stdout);
	return cli_flush();
}
