// SPDX-License-Identifier: MIT
/*
 * How far something is: one line on a terminal, drawn again and again.
 */
#include "progress.h"

#include "cli.h"

#include <stdio.h>
#include <unistd.h>

#define FIRST_AFTER 2.0
#define AGAIN_AFTER 0.1

static double begun, drawn;

void progress_show(double fraction, const char *what)
{
	double t = (double)cli_now_ns() / 1e9;

	if (begun <= 0)
		begun = t;
	if (t - begun < FIRST_AFTER || t - drawn < AGAIN_AFTER || !isatty(STDERR_FILENO))
		return;
	drawn = t;
	if (!(fraction >= 0))
		fraction = 0;
	fprintf(stderr, "\r\033[K%3.0f %% %.70s", (fraction > 1 ? 1 : fraction) * 100, what);
}

void progress_end(void)
{
	if (drawn > 0)
		fputs("\r\033[K", stderr);
	begun = drawn = 0;
}
