// SPDX-License-Identifier: MIT
/*
 * Machines on either platform, and lists of blocks that are held, filled and checked.
 */
#include "box.h"

#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- machines ----------------------------------------------------------- */

int box_open_sim(struct box *box, const struct hvo_config *cfg, uint64_t seed)
{
	struct hvo_sim_options opt = { .size = sizeof(opt), .seed = seed };
	int err;

	memset(box, 0, sizeof(*box));
	box->seed = seed;
	err = hvo_sim_create(cfg, &opt, &box->on_sim);
	if (!err)
		box->m = hvo_sim_machine(box->on_sim);
	return err;
}

int box_open_linux(struct box *box, const struct hvo_config *cfg,
		   const struct hvo_linux_options *opt, uint64_t seed)
{
	int err;

	memset(box, 0, sizeof(*box));
	box->seed = seed;
	err = hvo_linux_create(cfg, opt, &box->on_linux);
	if (!err)
		box->m = hvo_linux_machine(box->on_linux);
	return err;
}

void box_close(struct box *box)
{
	hvo_sim_close(box->on_sim);
	hvo_linux_close(box->on_linux);
	memset(box, 0, sizeof(*box));
}

double box_now_ns(const struct box *box)
{
	struct hvo_sim_stat stat = { .size = sizeof(stat) };
	struct timespec ts;

	if (box->on_sim) {
		hvo_sim_stat(box->on_sim, &stat);
		return (double)stat.now_ns;
	}
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* ---- random numbers and patterns ---------------------------------------- */

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

uint64_t rng_next(uint64_t *rng)
{
	*rng += UINT64_C(0x9e3779b97f4a7c15);
	return mix(*rng);
}

#define FRAME_WORDS (HVO_FRAME_SIZE / sizeof(uint64_t))

/* Odd, so that no two words of a frame are the same. */
#define WORD_STEP UINT64_C(0x9e3779b97f4a7c15)

static void frame_fill(uint64_t *words, uint64_t first)
{
	unsigned int i;

	for (i = 0; i < FRAME_WORDS; i++)
		words[i] = first + i * WORD_STEP;
}

static bool frame_ok(const uint64_t *words, uint64_t first)
{
	uint64_t differs = 0;
	unsigned int i;

	/* No early way out: without one the compiler looks at several words at once. */
	for (i = 0; i < FRAME_WORDS; i++)
		differs |= words[i] ^ (first + i * WORD_STEP);
	return !differs;
}

static uint64_t first_word(const struct box *box, hvo_pfn_t pfn)
{
	return mix(box->seed ^ (pfn * WORD_STEP));
}

/* ---- blocks that are held ----------------------------------------------- */

static void held_add(struct held *held, hvo_pfn_t pfn)
{
	if (held->nr == held->max) {
		uint64_t max = held->max ? held->max * 2 : 1024;
		hvo_pfn_t *more = cli_alloc(max, sizeof(*more));

		if (held->nr)
			memcpy(more, held->pfn, held->nr * sizeof(*more));
		free(held->pfn);
		held->pfn = more;
		held->max = max;
	}
	held->pfn[held->nr++] = pfn;
}

uint64_t held_take_frames(struct held *held, struct box *box, uint64_t max)
{
	const unsigned int gfp = HVO_GFP_KERNEL | HVO_GFP_MOVABLE | HVO_GFP_MEMALLOC |
				 HVO_GFP_NORETRY | HVO_GFP_NOWARN;
	uint64_t before = held->nr;
	hvo_pfn_t pfn;

	held->order = 0;
	while (held->nr - before < max && !hvo_alloc_pages(box->m, gfp, 0, HVO_NODE_ANY, &pfn))
		held_add(held, pfn);
	return held->nr - before;
}

uint64_t held_take_pool(struct held *held, struct hvo_pool *pool, unsigned int order)
{
	uint64_t before = held->nr;
	hvo_pfn_t pfn;

	held->order = order;
	while (!hvo_pool_alloc(pool, HVO_GFP_USER, HVO_NODE_ANY, &pfn))
		held_add(held, pfn);
	return held->nr - before;
}

void held_split(struct held *held, uint64_t nr, struct held *to)
{
	to->order = held->order;
	while (nr-- && held->nr)
		held_add(to, held->pfn[--held->nr]);
}

void held_shuffle(struct held *held, uint64_t *rng)
{
	uint64_t i, k;
	hvo_pfn_t pfn;

	for (i = held->nr; i > 1; i--) {
		k = rng_next(rng) % i;
		pfn = held->pfn[i - 1];
		held->pfn[i - 1] = held->pfn[k];
		held->pfn[k] = pfn;
	}
}

void held_put(const struct held *held, struct box *box)
{
	uint64_t i;

	for (i = 0; i < held->nr; i++)
		if (hvo_put_page(box->m, held->pfn[i]))
			cli_die("frame %llu is ours, but could not be given back",
				(unsigned long long)held->pfn[i]);
}

void held_fill(const struct held *held, struct box *box)
{
	uint64_t nr = UINT64_C(1) << held->order, i, k;

	for (i = 0; i < held->nr; i++) {
		uint64_t *words = hvo_window(box->m, held->pfn[i], nr);

		for (k = 0; k < nr; k++)
			frame_fill(words + k * FRAME_WORDS, first_word(box, held->pfn[i] + k));
	}
}

uint64_t box_check(struct box *box, hvo_pfn_t pfn, hvo_pfn_t origin, uint64_t nr)
{
	const uint64_t *words = hvo_window(box->m, pfn, nr);
	uint64_t wrong = 0, k;

	for (k = 0; k < nr; k++)
		wrong += !frame_ok(words + k * FRAME_WORDS, first_word(box, origin + k));
	return wrong;
}

uint64_t held_check(const struct held *held, struct box *box)
{
	uint64_t nr = UINT64_C(1) << held->order, wrong = 0, i;

	for (i = 0; i < held->nr; i++)
		wrong += box_check(box, held->pfn[i], held->pfn[i], nr);
	return wrong;
}

void held_free(struct held *held)
{
	free(held->pfn);
	memset(held, 0, sizeof(*held));
}
