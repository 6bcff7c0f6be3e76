/* SPDX-License-Identifier: MIT */
#ifndef HVO_COMMON_ARGS_H
#define HVO_COMMON_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Arguments of a command: a table of its options, and the values they take. */

/**
 * struct arg_spec - one option
 * @name: with its dashes, "--memory"; NULL after the last one of a table. "--wait=" stands
 *        for --wait=5 only, so that "--wait" may stand in the table, too, without a value
 * @takes_value: it has one: --memory=1G, or --memory 1G
 * @set: store it; @value is NULL where it takes none. CLI_OK, or what args_error() gave
 * @store: instead of @set: store it at @at bytes into the command's options
 * @min, @max: of a number
 *
 * Tables are made of the macros below.
 */
struct arg_spec {
	const char *name;
	bool takes_value;
	int (*set)(void *opt, const char *value);
	int (*store)(const struct arg_spec *spec, const char *value, void *to);
	size_t at;
	uint64_t min, max;
};

/* Where a member is; it must have this type. */
#define ARG_AT(type, member, member_type) \
	_Generic(((type *)0)->member, member_type : offsetof(type, member))

/* By a function that knows the command's options. */
#define ARG_CALL(name, takes_value, set)              \
	{                                             \
		name, takes_value, set, NULL, 0, 0, 0 \
	}
/* By a function that knows the type of one member. */
#define ARG_STORE(name, store, type, member, member_type)                        \
	{                                                                        \
		name, true, NULL, store, ARG_AT(type, member, member_type), 0, 0 \
	}
/* A number from @min to @max: a uint64_t, uint32_t or int. */
#define ARG_NUMBER(name, type, member, min, max)               \
	{                                                      \
		name, true, NULL,                              \
			_Generic(((type *)0)->member, uint64_t \
				 : args_store_u64, uint32_t    \
				 : args_store_u32, int         \
				 : args_store_int),            \
			offsetof(type, member), min, max       \
	}
#define ARG_FLAG(name, type, member)                                                 \
	{                                                                            \
		name, false, NULL, args_store_flag, ARG_AT(type, member, bool), 0, 0 \
	}
#define ARG_TEXT(name, type, member) ARG_STORE(name, args_store_text, type, member, const char *)
#define ARG_SEED(type, member) ARG_STORE("--seed", args_store_seed, type, member, uint64_t)
#define ARG_MEMORY(type, member) ARG_STORE("--memory", args_store_memory, type, member, uint64_t)
#define ARG_NODES(type, member) ARG_NUMBER("--nodes", type, member, 1, HVO_MAX_NODES)
/* --platform linux|sim: a bool, true for sim. */
#define ARG_PLATFORM(type, member) ARG_STORE("--platform", args_store_platform, type, member, bool)
/* --mode on-demand|linux */
#define ARG_MODE(type, member) ARG_STORE("--mode", args_store_mode, type, member, enum hvo_mode)
/* --layout table|virtual */
#define ARG_LAYOUT(type, member) \
	ARG_STORE("--layout", args_store_layout, type, member, enum hvo_layout)
#define ARG_END                                  \
	{                                        \
		NULL, false, NULL, NULL, 0, 0, 0 \
	}

int args_store_flag(const struct arg_spec *spec, const char *value, void *to);
int args_store_text(const struct arg_spec *spec, const char *value, void *to);
int args_store_seed(const struct arg_spec *spec, const char *value, void *to);
/* One that a signed number holds, too. */
int args_store_seed63(const struct arg_spec *spec, const char *value, void *to);
int args_store_size(const struct arg_spec *spec, const char *value, void *to);
int args_store_memory(const struct arg_spec *spec, const char *value, void *to);
int args_store_u64(const struct arg_spec *spec, const char *value, void *to);
int args_store_u32(const struct arg_spec *spec, const char *value, void *to);
int args_store_int(const struct arg_spec *spec, const char *value, void *to);
int args_store_platform(const struct arg_spec *spec, const char *value, void *to);
int args_store_layout(const struct arg_spec *spec, const char *value, void *to);
int args_store_mode(const struct arg_spec *spec, const char *value, void *to);

/* The command that the arguments are of: its help is what errors point to. NULL: that of all. */
void args_command(const char *name);

/**
 * args_parse() - go through the arguments of a command
 * @args: NULL after the last one
 * @operand: what is no option; NULL where a command takes none
 *
 * "--" ends the options. Whatever stands there is an option, an operand, or an error: where
 * arguments are for somebody else they stand behind "--", see args_rest().
 * Return: CLI_OK, or CLI_USAGE after a line on standard error.
 */
int args_parse(const struct arg_spec *specs, char **args, void *opt,
	       int (*operand)(void *opt, const char *value));

/* One option of a table, and its value. CLI_OK or CLI_USAGE. */
int args_set(const struct arg_spec *specs, const char *name, const char *value, void *opt);

/* Is there --help or -h before any "--"? */
bool args_want_help(char **args);

/* Cut off "--" and what is behind it, which is returned; NULL: there is no "--". */
char **args_rest(char **args);

/* One line on standard error; returns CLI_USAGE. */
int args_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* An operand too many. */
int args_surplus(const char *value);
/*
 * A name that is not known: "WHAT 'WORD'", and what may have been meant: @near, NULL if there is
 * nothing like it (text_near()).
 */
int args_unknown(const char *what, const char *word, const char *near);

/* 4096, 512M, 2G, 2GiB, 1T; -EINVAL for nonsense, -ERANGE for 2^64 and more. */
int args_size(const char *text, uint64_t *ret);

/*
 * The size of a machine in whole sections for each node: @bytes, or, where that is 0, at least
 * @otherwise. CLI_OK or CLI_USAGE, with a line.
 */
int args_memory(uint64_t *bytes, uint32_t nr_nodes, uint64_t otherwise);

/* A decimal number in [min, max] for the option @name. CLI_OK or CLI_USAGE, with a line. */
int args_number(const char *name, const char *value, uint64_t min, uint64_t max, uint64_t *ret);

/*
 * "2M=16" for the option @name: a size of pages, and *@ret_nr is what stands behind '='. CLI_OK or
 * CLI_USAGE, with a line.
 */
int args_pages(const char *name, const char *value, uint64_t *ret_bytes, const char **ret_nr);
/* The order of the huge pages of @bytes that a machine can have; 0: there are none. */
unsigned int args_page_order(uint64_t bytes);

/* Any 64-bit number, decimal, or hexadecimal with 0x. 0 or -EINVAL. */
int args_seed(const char *text, uint64_t *ret);

#endif
