/* SPDX-License-Identifier: MIT */
#ifndef HVO_COMMON_BOX_H
#define HVO_COMMON_BOX_H

#include <hvo/hvo.h>
#include <hvo/linux.h>
#include <hvo/sim.h>

/*
 * A machine on either platform, and what the commands do with its frames: hold
 * them, fill them with bytes of their own, look whether the bytes are still there.
 */

/**
 * struct box - a machine, whichever platform it stands on
 * @m: the machine
 * @on_linux, @on_sim: its platform; one of them is NULL
 * @seed: of the bytes that frames are filled with
 */
struct box {
	struct hvo_machine *m;
	struct hvo_linux *on_linux;
	struct hvo_sim *on_sim;
	uint64_t seed;
};

/* Build a machine, on linux with @opt (may be NULL). 0 or what the platform answered. */
int box_open(struct box *box, const struct hvo_config *cfg, bool sim,
	     const struct hvo_linux_options *opt, uint64_t seed);
/* Gives up where there is no room for it. */
void box_must_open(struct box *box, const struct hvo_config *cfg, bool sim,
		   const struct hvo_linux_options *opt, uint64_t seed);
void box_close(struct box *box);

/* Monotonic time; virtual, and the same in every run, on sim. */
double box_now_ns(const struct box *box);

/* How many of @nr frames do not hold the bytes that the ones from @origin on were filled with. */
uint64_t box_check(struct box *box, hvo_pfn_t pfn, hvo_pfn_t origin, uint64_t nr);

/**
 * struct held - blocks of one order that a command holds
 * @pfn: their heads, in the order in which they came unless shuffled
 */
struct held {
	hvo_pfn_t *pfn;
	uint64_t nr;
	uint64_t max;
	unsigned int order;
};

/* Every frame that is left, the reserves too, one by one, but no more than @max. How many? */
uint64_t held_take_frames(struct held *held, struct box *box, uint64_t max);
/* Every page that is free in a pool. */
uint64_t held_take_pool(struct held *held, struct hvo_pool *pool, unsigned int order);
/* Move the last @nr entries to @to. */
void held_split(struct held *held, uint64_t nr, struct held *to);
/* Random order; @rng is moved on. */
void held_shuffle(struct held *held, uint64_t *rng);
/* Drop the reference on each; the list stays, as a note of what was held. */
void held_put(const struct held *held, struct box *box);
/* Fill each with bytes that follow from the seed and the frame number. */
void held_fill(const struct held *held, struct box *box);
/* How many frames do not hold these bytes. */
uint64_t held_check(const struct held *held, struct box *box);
void held_free(struct held *held);

/* Random numbers (splitmix64). */
uint64_t rng_next(uint64_t *rng);

#endif
