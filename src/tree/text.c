// SPDX-License-Identifier: MIT
/*
 * What a write brought, read as the kernel reads it: files of sys are strict, files of proc/sys
 * take blanks and any base.
 *
 * Linux: lib/kstrtox.c, lib/cmdline.c memparse(), kernel/sysctl.c proc_get_long().
 */
#include "internal.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

int parse_ulong(const char *text, uint64_t *ret)
{
	uint64_t n = 0;

	if (*text == '+')
		text++;
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	for (; isdigit((unsigned char)*text); text++)
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*text - '0'), &n))
			return -ERANGE;
	if (*text == '\n')
		text++;
	if (*text)
		return -EINVAL;
	*ret = n;
	return 0;
}

int parse_address(const char *text, uint64_t *ret)
{
	unsigned long long n;
	char *end;

	if (*text == '+')
		text++;
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 0);
	if (*end == '\n')
		end++;
	if (*end)
		return -EINVAL;
	if (errno)
		return -ERANGE;
	*ret = n;
	return 0;
}

/* The kernel looks at no more than 21 characters of a number. */
#define SYSCTL_LEN 21

static int parse_sysctl(const char *text, bool *ret_negative, uint64_t *ret)
{
	const char *start;
	char *end;
	unsigned long long n;

	start = text += strspn(text, " \t\n\v\f\r");
	if (*text == '-')
		text++;
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || end - start >= SYSCTL_LEN || (*end && !strchr(" \t\n", *end)))
		return -EINVAL;
	*ret_negative = *start == '-';
	*ret = n;
	return 0;
}

int parse_sysctl_ulong(const char *text, uint64_t *ret)
{
	bool negative;
	uint64_t n;
	int rc = parse_sysctl(text, &negative, &n);

	if (rc || negative)
		return -EINVAL;
	*ret = n;
	return 0;
}

int parse_sysctl_int(const char *text, int *ret)
{
	bool negative;
	uint64_t n;
	int rc = parse_sysctl(text, &negative, &n);

	if (rc || n > (uint64_t)INT_MAX + negative)
		return -EINVAL;
	*ret = (int)(negative ? -(int64_t)n : (int64_t)n);
	return 0;
}

int parse_bool(const char *text, bool *ret)
{
	int c = tolower((unsigned char)text[0]);

	if (c == 'o') {
		c = tolower((unsigned char)text[1]);
		if (c != 'n' && c != 'f')
			return -EINVAL;
		*ret = c == 'n';
		return 0;
	}
	if (!c || !strchr("yt1nf0", c))
		return -EINVAL;
	*ret = strchr("yt1", c);
	return 0;
}

uint64_t parse_size(const char *text)
{
	static const char units[] = "kmgtpe";
	const char *unit;
	uint64_t n;
	char *end;

	if (!isdigit((unsigned char)*text))
		return 0;
	n = strtoull(text, &end, 0);
	unit = *end ? strchr(units, tolower((unsigned char)*end)) : NULL;
	return unit ? n << 10 * (unit - units + 1) : n;
}

int show_number(FILE *out, uint64_t n)
{
	fprintf(out, "%" PRIu64 "\n", n);
	return 0;
}

bool word_is(const char *text, const char *word)
{
	size_t len = strlen(word);

	return !strncmp(text, word, len) && (!text[len] || !strcmp(text + len, "\n"));
}
