/* SPDX-License-Identifier: MIT */
/*
 * A host that says no: the linker puts functions of refuse.c in place of calls of the C library
 * (refused_calls in tests/meson.build), of the library's own and of the test's, but not of other
 * libraries'. Each call is a point, in order; one of them, or all from one on, fails.
 *
 * For tests of one thread at a time.
 */
#ifndef HVO_TESTS_REFUSE_H
#define HVO_TESTS_REFUSE_H

#include <stdbool.h>

/* Points count from 1. 0: none fails. */
void refuse_from(unsigned long point, bool sticky, int error);
/* Calls go to the host again. Has one failed? */
bool refuse_end(void);
/* How many calls there were since refuse_from(). */
unsigned long refuse_points(void);

/* What fopen() of a path finds from now on, NULL: what the host has. For a few paths. */
void refuse_file(const char *path, const char *text);
/* All is the host's again. */
void refuse_files_end(void);

#endif
