/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLI_ARGS_H
#define HVO_CLI_ARGS_H

#include <stdbool.h>
#include <stdint.h>

/* Arguments of a command: a table of its options, and the values they take. */

/**
 * struct arg_spec - one option
 * @name: with its dashes, "--memory"; NULL after the last one of a table. "--wait=" stands
 *        for --wait=5 only, so that "--wait" may stand in the table, too, without a value
 * @takes_value: it has one: --memory=1G, or --memory 1G
 * @set: store it; NULL for @value where it takes none. CLI_OK, or what args_error() gave
 */
struct arg_spec {
	const char *name;
	bool takes_value;
	int (*set)(void *opt, const char *value);
};

/**
 * args_parse() - go through the arguments of a command
 * @args: NULL after the last one
 * @operand: what is no option; NULL where a command takes none
 *
 * "--" ends the options.
 * Return: CLI_OK, or CLI_USAGE after a line on standard error.
 */
int args_parse(const struct arg_spec *specs, char **args, void *opt,
	       int (*operand)(void *opt, const char *value));

/* Is there --help or -h before any "--"? */
bool args_want_help(char **args);

/* One line on standard error; returns CLI_USAGE. */
int args_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* 4096, 512M, 2G, 2GiB, 1T; -EINVAL for nonsense, -ERANGE for 2^64 and more. */
int args_size(const char *text, uint64_t *ret);

/* A decimal number in [min, max] for the option @name. CLI_OK or CLI_USAGE, with a line. */
int args_number(const char *name, const char *value, uint64_t min, uint64_t max, uint64_t *ret);

/* Any 64-bit number, decimal, or hexadecimal with 0x. 0 or -EINVAL. */
int args_seed(const char *text, uint64_t *ret);

#endif
