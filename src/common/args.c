// SPDX-License-Identifier: MIT
/*
 * Arguments of a command, and what to say about those that make no sense.
 */
#include "args.h"

#include "cli.h"
#include "text.h"

#include <hvo/hvo.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The links in a descriptor are 32 bits wide: no machine has more frames. */
#define MAX_MEMORY (HVO_FRAME_SIZE << 32)

static const char *command;

void args_command(const char *name)
{
	command = name;
}

int args_error(const char *fmt, ...)
{
	va_list args;

	fputs("hvo: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, " (see hvo%s%s --help)\n", command ? " " : "", command ? command : "");
	return CLI_USAGE;
}

int args_surplus(const char *value)
{
	return args_error("unexpected argument '%s'", value);
}

int args_unknown(const char *what, const char *word, const char *near)
{
	return args_error("%s '%s'%s%s%s", what, word, near ? "; did you mean " : "",
			  near ? near : "", near ? "?" : "");
}

/* ---- values -------------------------------------------------------------- */

/* Digits only: strtoull() by itself takes blanks, signs and "-1". */
static int parse_digits(const char *text, int base, uint64_t *ret, const char **ret_end)
{
	unsigned long long n;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, base);
	if (errno)
		return -ERANGE;
	*ret = n;
	*ret_end = end;
	return 0;
}

int args_size(const char *text, uint64_t *ret)
{
	static const char suffixes[] = "KMGTPE";
	const char *end, *suffix;
	unsigned int shift = 0;
	uint64_t n;
	int err = parse_digits(text, 10, &n, &end);

	if (err)
		return err;
	if (*end) {
		char letter = *end >= 'a' && *end <= 'z' ? (char)(*end - 'a' + 'A') : *end;

		suffix = strchr(suffixes, letter);
		if (!suffix)
			return -EINVAL;
		shift = 10 * ((unsigned int)(suffix - suffixes) + 1);
		end++;
		if (*end && strcmp(end, "iB") != 0 && strcmp(end, "B") != 0)
			return -EINVAL;
	}
	if (n > UINT64_MAX >> shift)
		return -ERANGE;
	*ret = n << shift;
	return 0;
}

int args_number(const char *name, const char *value, uint64_t min, uint64_t max, uint64_t *ret)
{
	const char *end;
	uint64_t n;

	if (parse_digits(value, 10, &n, &end) || *end || n < min || n > max)
		return args_error("%s: '%s' is not a number from %" PRIu64 " to %" PRIu64, name,
				  value, min, max);
	*ret = n;
	return CLI_OK;
}

int args_seed(const char *text, uint64_t *ret)
{
	int base = text[0] == '0' && (text[1] | 0x20) == 'x' ? 16 : 10;
	const char *end;
	uint64_t n;

	if (parse_digits(text, base, &n, &end) || *end)
		return -EINVAL;
	*ret = n;
	return 0;
}

int args_pages(const char *name, const char *value, uint64_t *ret_bytes, const char **ret_nr)
{
	size_t len = strcspn(value, "=");
	char size[32];

	if (!value[len])
		return args_error("%s: '%s' is not a size and a number of pages such as 2M=16",
				  name, value);
	(void)snprintf(size, sizeof(size), "%.*s", (int)len, value);
	if (len >= sizeof(size) || args_size(size, ret_bytes) || !*ret_bytes)
		return args_error("%s: '%s' is not a size of pages such as 2M or 1G", name, size);
	*ret_nr = value + len + 1;
	return CLI_OK;
}

unsigned int args_page_order(uint64_t bytes)
{
	unsigned int order = HVO_PAGEBLOCK_ORDER;

	while (order <= HVO_MAX_ORDER && HVO_FRAME_SIZE << order != bytes)
		order++;
	return order <= HVO_MAX_ORDER ? order : 0;
}

/* ---- where values go -------------------------------------------------------- */

int args_store_flag(const struct arg_spec *spec, const char *value, void *to)
{
	(void)spec;
	(void)value;
	*(bool *)to = true;
	return CLI_OK;
}

int args_store_text(const struct arg_spec *spec, const char *value, void *to)
{
	(void)spec;
	*(const char **)to = value;
	return CLI_OK;
}

int args_store_seed(const struct arg_spec *spec, const char *value, void *to)
{
	if (args_seed(value, to))
		return args_error("%s: '%s' is not a number from 0 to 2^64 - 1", spec->name, value);
	return CLI_OK;
}

int args_store_seed63(const struct arg_spec *spec, const char *value, void *to)
{
	uint64_t seed;

	if (args_seed(value, &seed) || seed > INT64_MAX)
		return args_error("%s: '%s' is not a number from 0 to 2^63 - 1", spec->name, value);
	*(uint64_t *)to = seed;
	return CLI_OK;
}

int args_store_size(const struct arg_spec *spec, const char *value, void *to)
{
	int err = args_size(value, to);

	if (err == -ERANGE)
		return args_error("%s: %s is more than a machine can have (16T)", spec->name,
				  value);
	return err ? args_error("%s: '%s' is not a size such as 512M or 2G", spec->name, value) :
		     CLI_OK;
}

/* 0 is what a size is before it is said, and none that a machine can have. */
int args_store_memory(const struct arg_spec *spec, const char *value, void *to)
{
	uint64_t bytes = 0;
	int status = args_store_size(spec, value, &bytes);

	if (!status && !bytes)
		return args_error("%s: a machine needs some memory, such as 512M or 2G",
				  spec->name);
	if (bytes > MAX_MEMORY)
		return args_error("%s: %s is more than a machine can have (16T)", spec->name,
				  value);
	*(uint64_t *)to = bytes;
	return status;
}

int args_memory(uint64_t *bytes, uint32_t nr_nodes, uint64_t otherwise)
{
	uint64_t step = HVO_SECTION_SIZE * nr_nodes;

	if (!*bytes)
		*bytes = (otherwise + step - 1) / step * step;
	if (*bytes % step)
		return args_error("--memory: not a multiple of 128 MiB for each of %" PRIu32
				  " node%s",
				  nr_nodes, nr_nodes == 1 ? "" : "s");
	return CLI_OK;
}

int args_store_u64(const struct arg_spec *spec, const char *value, void *to)
{
	return args_number(spec->name, value, spec->min, spec->max, to);
}

int args_store_u32(const struct arg_spec *spec, const char *value, void *to)
{
	uint64_t n = 0;
	int status = args_store_u64(spec, value, &n);

	*(uint32_t *)to = (uint32_t)n;
	return status;
}

int args_store_int(const struct arg_spec *spec, const char *value, void *to)
{
	uint64_t n = 0;
	int status = args_store_u64(spec, value, &n);

	*(int *)to = (int)n;
	return status;
}

/* One of two words: *@ret is whether it is the second. */
static int one_of_two(const char *name, const char *value, const char *first, const char *second,
		      bool *ret)
{
	if (strcmp(value, first) != 0 && strcmp(value, second) != 0)
		return args_error("%s: '%s' is neither %s nor %s", name, value, first, second);
	*ret = !strcmp(value, second);
	return CLI_OK;
}

int args_store_platform(const struct arg_spec *spec, const char *value, void *to)
{
	return one_of_two(spec->name, value, "linux", "sim", to);
}

int args_store_mode(const struct arg_spec *spec, const char *value, void *to)
{
	bool is_linux = false;
	int status = one_of_two(spec->name, value, "on-demand", "linux", &is_linux);

	*(enum hvo_mode *)to = is_linux ? HVO_LINUX : HVO_ON_DEMAND;
	return status;
}

int args_store_layout(const struct arg_spec *spec, const char *value, void *to)
{
	bool is_virtual = false;
	int status = one_of_two(spec->name, value, "table", "virtual", &is_virtual);

	*(enum hvo_layout *)to = is_virtual ? HVO_LAYOUT_VIRTUAL : HVO_LAYOUT_TABLE;
	return status;
}

/* ---- options -------------------------------------------------------------- */

static const struct arg_spec *find_spec(const struct arg_spec *specs, const char *arg, size_t len)
{
	for (; specs->name; specs++)
		if (strlen(specs->name) == len && !memcmp(specs->name, arg, len))
			return specs;
	return NULL;
}

static int store(const struct arg_spec *spec, const char *value, void *opt)
{
	return spec->store ? spec->store(spec, value, (char *)opt + spec->at) :
			     spec->set(opt, value);
}

int args_set(const struct arg_spec *specs, const char *name, const char *value, void *opt)
{
	return store(find_spec(specs, name, strlen(name)), value, opt);
}

/* "--wait=" of a table is written --wait=SECONDS. */
static int unknown_option(const struct arg_spec *specs, const char *arg, size_t len)
{
	char name[64];
	const char *near;

	(void)snprintf(name, sizeof(name), "%.*s", (int)len, arg);
	near = text_near(name, specs, sizeof(*specs));
	return args_unknown("unknown option", arg, near);
}

/* One option; *args is moved on where its value is the next argument. */
static int parse_option(const struct arg_spec *specs, char ***args, void *opt)
{
	const char *arg = **args, *value;
	size_t len = strcspn(arg, "=");
	const struct arg_spec *spec = arg[len] ? find_spec(specs, arg, len + 1) : NULL;

	if (!spec)
		spec = find_spec(specs, arg, len);
	if (!spec)
		return unknown_option(specs, arg, len);
	value = arg[len] ? arg + len + 1 : NULL;
	if (value && !spec->takes_value)
		return args_error("%s takes no value", spec->name);
	if (!value && spec->takes_value) {
		value = (*args)[1];
		if (!value)
			return args_error("%s needs a value", spec->name);
		++*args;
	}
	return store(spec, value, opt);
}

int args_parse(const struct arg_spec *specs, char **args, void *opt,
	       int (*operand)(void *opt, const char *value))
{
	bool options = true;
	int status = CLI_OK;

	for (; *args && !status; args++) {
		if (options && !strcmp(*args, "--"))
			options = false;
		else if (options && (*args)[0] == '-' && (*args)[1])
			status = parse_option(specs, &args, opt);
		else if (operand)
			status = operand(opt, *args);
		else
			status = args_surplus(*args);
	}
	return status;
}

bool args_want_help(char **args)
{
	for (; *args && strcmp(*args, "--") != 0; args++)
		if (!strcmp(*args, "--help") || !strcmp(*args, "-h"))
			return true;
	return false;
}

char **args_rest(char **args)
{
	for (; *args; args++) {
		if (strcmp(*args, "--") != 0)
			continue;
		*args = NULL;
		return args + 1;
	}
	return NULL;
}
