// SPDX-License-Identifier: MIT
/*
 * How far something is: one line on a terminal, drawn again and again.
 */
#include "progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define FIRST_AFTER 2.0
#define AGAIN_AFTER 0.1

static double begun, drawn;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void progress_show(double fraction, const char *what)
{
	double t = now();

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
