// SPDX-License-Identifier: MIT
/*
 * Values of scripts as people read them.
 */
#include "figures.h"

#include "common/cli.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define DECIMALS_MAX 6
/* Digits that the smallest one shows, if it has so many. */
#define DIGITS 4
#define FAR 1e15

static double power_of_ten(int n)
{
	double power = 1;

	while (n-- > 0)
		power *= 10;
	return power;
}

static bool is_whole(double small)
{
	return fabs(small - (double)(int)(small + 0.5)) < 1e-9;
}

/* Decimals that show it: all that it has, or its first digits. */
static unsigned int decimals_of(double value)
{
	double size = fabs(value), scaled;
	unsigned int n;

	for (n = 0; n < DECIMALS_MAX; n++) {
		scaled = size * power_of_ten((int)n);
		if (scaled >= power_of_ten(DIGITS - 1) || is_whole(scaled))
			break;
	}
	return n;
}

static void look_at(struct figures *f, const json_t *value)
{
	unsigned int n;
	double real;

	if (!json_is_number(value)) {
		f->is_text = true;
		return;
	}
	if (json_is_integer(value))
		return;
	real = json_real_value(value);
	if (fabs(real) >= FAR || (fabs(real) > 0 && fabs(real) < 1 / power_of_ten(DECIMALS_MAX)))
		f->is_far = true;
	n = decimals_of(real);
	if (n > f->decimals)
		f->decimals = n;
}

struct figures figures_of_column(const json_t *rows, size_t column)
{
	struct figures f = { 0 };
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) look_at(&f, json_array_get(row, column));
	return f;
}

struct figures figures_of_value(const json_t *value)
{
	struct figures f = { 0 };

	look_at(&f, value);
	return f;
}

char *figures_text(const struct figures *f, const json_t *value, const char *gap)
{
	char buf[TABLE_FIXED_LEN] = "", *text;
	const char *from = buf;

	if (json_is_string(value))
		from = json_string_value(value);
	else if (json_is_boolean(value))
		from = json_is_true(value) ? "yes" : "no";
	else if (json_is_number(value) && f->is_far)
		(void)snprintf(buf, sizeof(buf), "%.6g", json_number_value(value) + 0.0);
	else if (json_is_integer(value) && !f->decimals)
		(void)table_integer(buf, json_integer_value(value), gap);
	else if (json_is_number(value))
		(void)table_fixed(buf, json_number_value(value), f->decimals, gap);
	text = strdup(from);
	if (!text)
		cli_die("out of memory");
	return text;
}
