/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLI_TABLE_H
#define HVO_CLI_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Text tables for a terminal of 100 columns: cells are given one after the other,
 * row by row, and the columns become as wide as they must be.
 */

struct table;

#define TABLE_MAX_COLUMNS 12

/**
 * table_new() - start a table
 * @heads: one word or more for each column, NULL after the last; a '<' in front
 *         aligns the column to the left, anything else is aligned to the right.
 *         a '|' in a head starts a second line. No line at all if all are empty.
 */
struct table *table_new(const char *const *heads);
/* The next cell. */
void table_cell(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The next cell is a number with its thousands apart: 1 234 567. */
void table_number(struct table *t, uint64_t n);
void table_print(const struct table *t, FILE *out, unsigned int indent);
void table_free(struct table *t); /* accepts NULL */

/* 1536 MiB, 16.0 MiB, 640 KiB, 12 bytes: into @buf, which is returned. */
#define TABLE_SIZE_LEN 32
const char *table_size(char buf[TABLE_SIZE_LEN], uint64_t bytes);
/* 850 ns, 12.3 us, 4.56 ms, 1.23 s */
const char *table_time(char buf[TABLE_SIZE_LEN], double ns);

#endif
