/* SPDX-License-Identifier: MIT */
#ifndef HVO_TESTS_LAYOUT_H
#define HVO_TESTS_LAYOUT_H

#include <stdlib.h>
#include <string.h>

#include <hvo/hvo.h>

/*
 * HVO_LAYOUT of the environment, the layout that a test is to run with; without: the default of the
 * mode. "other": the one that is not.
 */
static inline enum hvo_layout layout_asked(enum hvo_mode mode)
{
	const char *layout = getenv("HVO_LAYOUT");

	if (!layout)
		return HVO_LAYOUT_DEFAULT;
	if (!strcmp(layout, "other"))
		return mode == HVO_LINUX ? HVO_LAYOUT_TABLE : HVO_LAYOUT_VIRTUAL;
	return strcmp(layout, "table") ? HVO_LAYOUT_VIRTUAL : HVO_LAYOUT_TABLE;
}

#endif
