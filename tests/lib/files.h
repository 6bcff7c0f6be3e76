/* SPDX-License-Identifier: MIT */
/*
 * A directory with files in it as a kernel has them, plain ones.
 */
#ifndef HVO_TESTS_FILES_H
#define HVO_TESTS_FILES_H

#include <stdint.h>

/* Where it is, as long as there is one. */
extern char dir[64];

/* cmocka's setup and teardown: an empty one, and away with it and all that is in it. */
int make_dir(void **state);
int remove_dir(void **state);

/* Write a file, with the directories that lead there. */
void put(const char *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
