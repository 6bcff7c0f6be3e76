/* SPDX-License-Identifier: MIT */
/*
 * The sim platform: calls that fail because somebody asked for it.
 *
 * States: idle, or counting from hvo_sim_fail() on; each point that is counted passes or fails.
 * Locks: none; failures are for machines that one thread uses.
 *
 * In Linux: lib/fault-inject.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "platform/sim/internal.h"

/* Below this a page that is given back, and comes again, costs more. */
#define CLEAR_BY_HAND 4096

static void forget_refused(struct hvo_sim *sim)
{
	size_t bytes = hvo_sim_bitmap_bytes(sim);

	if (bytes <= CLEAR_BY_HAND || madvise(sim->refused, bytes, MADV_DONTNEED))
		memset(sim->refused, 0, bytes);
	sim->failing.any_refused = false;
}

void hvo_sim_fail(struct hvo_sim *sim, const struct hvo_sim_failures *failures)
{
	struct hvo_sim_failing *f = &sim->failing;

	f->counting = failures != NULL;
	f->wanted = failures ? *failures : (struct hvo_sim_failures){ 0 };
	/* What was counted can be read until the next time. */
	if (failures) {
		f->points = 0;
		f->failures = 0;
		f->nr_last = 0;
	}
	if (f->any_refused)
		forget_refused(sim);
}

unsigned int hvo_sim_pass(struct hvo_sim *sim, unsigned int nr)
{
	struct hvo_sim_failing *f = &sim->failing;
	unsigned int i;

	for (i = 0; f->counting && i < nr; i++) {
		f->points++;
		if (f->points != f->wanted.at && f->points != f->wanted.also &&
		    !(f->wanted.sticky && f->failures))
			continue;
		f->failures++;
		return i;
	}
	return nr;
}

/* ---- remap --------------------------------------------------------------------- */

static bool page_in_last(const struct hvo_sim_failing *f, uint64_t page)
{
	unsigned int i;

	for (i = 0; i < f->nr_last; i++)
		if (page - f->last[i].page < f->last[i].nr)
			return true;
	return false;
}

bool hvo_sim_is_way_back(const struct hvo_sim *sim, const struct hvo_remap *runs, unsigned int nr)
{
	unsigned int i;
	uint64_t k;

	if (!sim->failing.counting || !sim->failing.failures)
		return false;
	for (i = 0; i < nr; i++)
		for (k = 0; k < runs[i].nr; k++)
			if (!page_in_last(&sim->failing, runs[i].page + k))
				return false;
	return true;
}

void hvo_sim_remember(struct hvo_sim *sim, const struct hvo_remap *runs, unsigned int nr)
{
	struct hvo_sim_failing *f = &sim->failing;

	if (!f->counting)
		return;
	if (nr > f->max_last) {
		free(f->last);
		f->last = malloc(nr * sizeof(*f->last));
		if (!f->last)
			abort();
		f->max_last = nr;
	}
	if (nr)
		memcpy(f->last, runs, nr * sizeof(*f->last));
	f->nr_last = nr;
}

/* ---- populate ------------------------------------------------------------------- */

void hvo_sim_refuse(struct hvo_sim *sim, hvo_pfn_t pfn, uint64_t nr, bool refuse)
{
	hvo_pfn_t end = pfn + nr;

	if (!refuse && !sim->failing.any_refused)
		return;
	sim->failing.any_refused = true;
	for (; pfn < end; pfn++) {
		uint8_t bit = (uint8_t)(1u << pfn % 8);

		sim->refused[pfn / 8] = (uint8_t)(refuse ? sim->refused[pfn / 8] | bit :
							   sim->refused[pfn / 8] & ~bit);
	}
}

bool hvo_sim_is_refused(const struct hvo_sim *sim, hvo_pfn_t pfn)
{
	return sim->failing.any_refused && sim->refused[pfn / 8] >> pfn % 8 & 1;
}
