// SPDX-License-Identifier: MIT
/*
 * sys/kernel/mm/cma: a directory for each CMA area, there from the moment that the area is. An
 * area has no name of its own, so as in the kernel it is called by its number.
 *
 * Linux: mm/cma_sysfs.c; mm/cma.c, cma_new_area().
 */
#include "internal.h"

#include <errno.h>
#include <inttypes.h>

static const struct hvo_cma *area_of(void *arg)
{
	const struct place *p = arg;

	return hvo_cma_get(p->tree->m, p->order);
}

static bool area_there(void *arg)
{
	return area_of(arg);
}

/* A machine that is gone has none: all is 0. */
static struct hvo_cma_events events_of(void *arg)
{
	struct hvo_cma_events events = { .size = sizeof(events) };
	const struct hvo_cma *cma = area_of(arg);

	if (cma)
		hvo_cma_events(cma, &events);
	return events;
}

static int show_number(FILE *out, uint64_t n)
{
	fprintf(out, "%" PRIu64 "\n", n);
	return 0;
}

static int show_allocated(void *arg, FILE *out)
{
	return show_number(out, events_of(arg).allocated);
}

static int show_failed(void *arg, FILE *out)
{
	return show_number(out, events_of(arg).failed);
}

static int show_released(void *arg, FILE *out)
{
	return show_number(out, events_of(arg).released);
}

static int show_total(void *arg, FILE *out)
{
	const struct hvo_cma *cma = area_of(arg);
	uint64_t nr = 0;

	if (cma)
		hvo_cma_stat(cma, NULL, &nr, NULL);
	return show_number(out, nr);
}

static int show_available(void *arg, FILE *out)
{
	const struct hvo_cma *cma = area_of(arg);
	uint64_t nr = 0, used = 0;

	if (cma)
		hvo_cma_stat(cma, NULL, &nr, &used);
	return show_number(out, nr - used);
}

#define AREA(name_, show_)                                                \
	{                                                                 \
		name_,                                                    \
		{                                                         \
			.mode = 0444, .show = show_, .there = area_there, \
		}                                                         \
	}

static const struct tree_row area_files[] = {
	AREA("alloc_pages_fail", show_failed),	 AREA("alloc_pages_success", show_allocated),
	AREA("available_pages", show_available), AREA("release_pages_success", show_released),
	AREA("total_pages", show_total),
};

int add_cma(struct tree *t)
{
	unsigned int i;
	char dir[64];
	int rc = 0;

	for (i = 0; i < HVO_MAX_CMA && !rc; i++) {
		struct place *p = place_new(t);

		if (!p)
			return -ENOMEM;
		p->order = i;
		(void)snprintf(dir, sizeof(dir), "/sys/kernel/mm/cma/cma%u", i);
		rc = add_rows(t, dir, area_files, NR_OF(area_files), p);
	}
	return rc;
}
