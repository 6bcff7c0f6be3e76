/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLI_LAB_PLOT_H
#define HVO_CLI_LAB_PLOT_H

#include <jansson.h>

#include <stdbool.h>

/* Can this result, as hvo.result() made it, be drawn? */
bool plot_possible(const json_t *result);

/**
 * plot_svg() - draw a result with gnuplot
 * @nr: different for each plot of a document: its ids begin with it
 * @ret_svg: an <svg> element, to be freed
 *
 * Return: 0; -ENOENT: there is no gnuplot; -EIO: it failed; other negative errno.
 */
int plot_svg(const json_t *result, unsigned int nr, char **ret_svg);

#endif
