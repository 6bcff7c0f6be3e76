/* SPDX-License-Identifier: MIT */
/*
 * Running the hvo command and looking at what it says.
 */
#ifndef HVO_TESTS_COMMAND_H
#define HVO_TESTS_COMMAND_H

#include "program.h"

#include <jansson.h>

/* Output of a shell's command line, to be freed, and its exit status. */
char *run_shell(int *ret_status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same of hvo with these arguments, both streams. */
char *run(int *ret_status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/*
 * What it says on standard output with --json: one document, and nothing else. It must end with
 * @status. To be given back with json_decref().
 */
json_t *run_json(int status, const char *args);

unsigned int lines(const char *s);
/* It says one line, with @text in it, and ends with this status. */
void check_error(int status, const char *text, const char *args);
/* No line has more than 80 columns, or blanks at its end. */
void check_shape(const char *out);
/* The same with other columns. */
void check_width(const char *out, size_t width);

/* "pools/0/nodes/1/free": fails the test if it is not there. */
json_t *at(json_t *j, const char *path);
/* The same, and it must be an integer. */
uint64_t number(json_t *j, const char *path);

#define check_number(j, path, n) assert_int_equal(number(j, path), n)
#define check_text(j, path, s) assert_string_equal(json_string_value(at(j, path)), s)

#endif
