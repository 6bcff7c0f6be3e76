/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLI_LAB_FIGURES_H
#define HVO_CLI_LAB_FIGURES_H

#include "common/table.h"

#include <jansson.h>

/* Values of scripts as people read them: in one column all numbers are written alike. */

/**
 * struct figures - how the numbers of a column are written
 * @decimals: of each
 * @is_far: some are too large or too small for that: in digits that count, without groups
 * @is_text: there is a value that is no number
 */
struct figures {
	unsigned int decimals;
	bool is_far;
	bool is_text;
};

/* @rows: an array of rows, which are arrays. */
struct figures figures_of_column(const json_t *rows, size_t column);
struct figures figures_of_value(const json_t *value);

/* To be freed; thousands apart by @gap. */
char *figures_text(const struct figures *f, const json_t *value, const char *gap);

#endif
