/* SPDX-License-Identifier: MIT */
#ifndef HVO_COMMON_TABLE_H
#define HVO_COMMON_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Text tables, as wide as text_width() at most: cells are given one after the other, row by row,
 * and the columns become as wide as they must be. Where there is no room, the words of the heads
 * and of columns of text go on in the next line; and where that is not enough, the columns
 * that have no room follow as another table, with the same names of rows.
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
/* The same with heads that are data: without signs in them. The first column is on the left. */
struct table *table_new_plain(const char *const *heads, const bool *left);
/* The next cell. */
void table_cell(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The next cell is a number with its thousands apart: 1 234 567. */
void table_number(struct table *t, uint64_t n);
/* The same with so many decimals; "-" if it is not a number. */
void table_real(struct table *t, double value, unsigned int decimals);
/* And free it. */
void table_print(struct table *t, FILE *out, unsigned int indent);
void table_free(struct table *t); /* accepts NULL */

/* Numbers as people read them, into @buf, which is returned. None is ever "-0". */
#define TABLE_SIZE_LEN 32
/* 1536 MiB, 16.0 MiB, 640 KiB, 12 bytes */
const char *table_size(char buf[TABLE_SIZE_LEN], uint64_t bytes);
/* 850 ns, 12.3 us, 4.56 ms, 1.23 s */
const char *table_time(char buf[TABLE_SIZE_LEN], double ns);

#define TABLE_FIXED_LEN 400 /* any double */
/* -1 234.50: with so many decimals, thousands apart by @gap. */
const char *table_fixed(char buf[TABLE_FIXED_LEN], double value, unsigned int decimals,
			const char *gap);
const char *table_integer(char buf[TABLE_FIXED_LEN], int64_t value, const char *gap);

#endif
