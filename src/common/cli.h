/* SPDX-License-Identifier: MIT */
#ifndef HVO_COMMON_CLI_H
#define HVO_COMMON_CLI_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

/* What all commands share: exit statuses, giving up, texts, JSON. */

/* Exit statuses. */
#define CLI_OK 0
#define CLI_FAILED 1 /* it was tried and did not work, or a promise was broken */
#define CLI_USAGE 2  /* the arguments make no sense */

/* One line on standard error; returns CLI_FAILED. */
int cli_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* And out with it. */
void cli_die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Monotonic time. */
uint64_t cli_now_ns(void);

/* Memory of the command's own; gives up where there is none. */
void *cli_alloc(size_t nr, size_t size) __attribute__((warn_unused_result));

/* The same for a text; the caller frees it. */
char *cli_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *cli_vformat(const char *fmt, va_list args) __attribute__((format(printf, 1, 0)));

/* Median of @nr values, at least one; sorts them. */
double cli_median(double *values, unsigned int nr);

/* Print a text to standard output; returns what cli_flush() does. */
int cli_help(const char *text);

/*
 * Text that comes from outside as JSON: what is not UTF-8 in it becomes '?'. NULL becomes null.
 */
json_t *cli_json_text(const char *text);

/* A word that may be missing: then it is empty, and null. */
json_t *cli_json_word(const char *word);

json_t *cli_json_number(uint64_t n);
/* null for NAN: not measured. */
json_t *cli_json_real(double value);
/* null unless it @is known. */
json_t *cli_json_known(bool is, uint64_t n);

/*
 * Print a document, and give it back; returns what cli_flush() does. All that goes to standard
 * output with --json goes through here; gives up where there is nothing to print.
 */
int cli_print_json(json_t *doc);

/* CLI_OK, or CLI_FAILED with a line if standard output could not be written. */
int cli_flush(void);

#endif
