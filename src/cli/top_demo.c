// SPDX-License-Identifier: MIT
/*
 * A machine to look at: programs come and go, pools grow and shrink, and now and then memory
 * gets tight. All of it follows from the seed.
 */
#include "box.h"
#include "cli.h"
#include "events.h"
#include "top.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of each step. */
#define STEP_OPERATIONS 48u
#define STEP_WORK 4u
#define STEP_HUGE 2u

/* Programs want more and more, then less and less: so many steps up and down. */
#define TIDE_STEPS 800u
/* The pool is resized once in so many steps. */
#define POOL_STEPS 40u

/* Shares of memory, in percent: what programs want at least and at most, and the pool. */
#define SMALL_LEAST 5u
#define SMALL_MOST 75u
#define POOL_LEAST 10u
#define POOL_MOST 50u

struct block {
	hvo_pfn_t pfn;
	unsigned int order;
};

struct demo {
	struct demo_options opt;
	struct box box;
	struct events events;
	struct tree *tree;
	struct hvo_pool *pool;
	uint64_t rng, step;
	uint64_t frames; /* of the machine */
	struct block *small;
	uint64_t nr_small, max_small, small_frames;
	hvo_pfn_t *huge;
	uint64_t nr_huge, max_huge;
};

/* ---- programs ---------------------------------------------------------------- */

static uint64_t below(struct demo *d, uint64_t n)
{
	return rng_next(&d->rng) % n;
}

/* Most are small, a few are whole blocks. */
static unsigned int some_order(struct demo *d)
{
	uint64_t r = below(d, 256);

	if (!r)
		return HVO_BLOCK_ORDER;
	return r < 160 ? 0 : (unsigned int)below(d, 7);
}

static bool alloc_one(struct demo *d)
{
	struct block b = { .order = some_order(d) };
	unsigned int gfp = below(d, 4) ? HVO_GFP_USER : HVO_GFP_KERNEL;

	if (d->nr_small == d->max_small ||
	    hvo_alloc_pages(d->box.m, gfp | HVO_GFP_NORETRY, b.order, HVO_NODE_ANY, &b.pfn))
		return false;
	d->small[d->nr_small++] = b;
	d->small_frames += UINT64_C(1) << b.order;
	return true;
}

/*
 * Of those that came at about the same time: programs end with all that they have, which is
 * what lets blocks become whole again.
 */
static void free_one(struct demo *d)
{
	uint64_t i = d->nr_small - 1 - below(d, d->nr_small < 64 ? d->nr_small : 64);

	if (!below(d, 8))
		i = below(d, d->nr_small);
	d->small_frames -= UINT64_C(1) << d->small[i].order;
	(void)hvo_put_page(d->box.m, d->small[i].pfn);
	d->small[i] = d->small[--d->nr_small];
}

static void run_programs(struct demo *d)
{
	uint64_t at = d->step % (2 * TIDE_STEPS), share, i;

	if (at >= TIDE_STEPS)
		at = 2 * TIDE_STEPS - at;
	share = SMALL_LEAST + (SMALL_MOST - SMALL_LEAST) * at / TIDE_STEPS;
	/* Always a few of both, and more of what leads there. */
	for (i = 0; i < STEP_OPERATIONS; i++) {
		bool more = d->small_frames < d->frames * share / 100;

		if (!below(d, 4))
			more = !more;
		if (more)
			(void)alloc_one(d);
		else if (d->nr_small)
			free_one(d);
	}
}

/* Users of huge pages: they want about half of the pool. */
static void run_huge(struct demo *d)
{
	struct hvo_pool_stat stat = { .size = sizeof(stat) };
	unsigned int i;

	(void)hvo_pool_stat(d->pool, HVO_NODE_ANY, &stat);
	for (i = 0; i < STEP_HUGE; i++) {
		bool more = d->nr_huge < stat.total / 2;
		uint64_t at;

		if (!below(d, 4))
			more = !more;
		if (more && d->nr_huge < d->max_huge &&
		    !hvo_pool_alloc(d->pool, HVO_GFP_USER, HVO_NODE_ANY, &d->huge[d->nr_huge])) {
			d->nr_huge++;
		} else if (!more && d->nr_huge) {
			at = below(d, d->nr_huge);
			(void)hvo_pool_free(d->pool, d->huge[at]);
			d->huge[at] = d->huge[--d->nr_huge];
		}
	}
}

void demo_step(struct demo *d)
{
	uint64_t blocks = d->frames / HVO_BLOCK_FRAMES;

	if (d->step % POOL_STEPS == 0)
		(void)hvo_pool_resize(
			d->pool, HVO_NODE_ANY,
			blocks * (POOL_LEAST + below(d, POOL_MOST - POOL_LEAST)) / 100, NULL);
	run_programs(d);
	run_huge(d);
	(void)hvo_work(d->box.m, STEP_WORK, NULL);
	d->step++;
}

/* ---- the machine ------------------------------------------------------------------ */

static int open_machine(struct demo *d)
{
	uint64_t node = d->opt.memory_bytes / d->opt.nr_nodes;
	const struct hvo_config cfg = {
		.size = sizeof(cfg),
		.memory_bytes = d->opt.memory_bytes,
		.nr_nodes = d->opt.nr_nodes,
		.movable_bytes = node > HVO_SECTION_SIZE ? HVO_SECTION_SIZE : 0,
		.mode = d->opt.linux_mode ? HVO_LINUX : HVO_ON_DEMAND,
		.optimize = true,
		/* Nobody looks at what is in the frames: then they take no memory of the host. */
		.clear = HVO_CLEAR_NEVER,
	};
	const struct hvo_linux_options host = { .size = sizeof(host), .sparse = true };

	d->frames = d->opt.memory_bytes >> HVO_FRAME_SHIFT;
	return d->opt.sim ? box_open_sim(&d->box, &cfg, d->opt.seed) :
			    box_open_linux(&d->box, &cfg, &host, d->opt.seed);
}

static int open_rest(struct demo *d)
{
	struct hvo_pool *giga;
	int rc = hvo_pool_create(d->box.m, HVO_BLOCK_ORDER, &d->pool);

	events_count(&d->events, &d->box);
	if (!rc)
		rc = hvo_pool_create(d->box.m, HVO_GIGA_ORDER, &giga);
	if (!rc)
		rc = tree_new(d->box.m, NULL, &d->tree);
	return rc ? rc : events_add(&d->events, d->tree);
}

int demo_open(const struct demo_options *opt, struct demo **ret)
{
	struct demo *d = cli_alloc(1, sizeof(*d));
	int rc;

	d->opt = *opt;
	d->rng = opt->seed;
	rc = open_machine(d);
	if (!rc)
		rc = open_rest(d);
	if (rc) {
		fprintf(stderr,
			"hvo: --demo: no machine of %" PRIu64 " MiB: %s; try a smaller --memory\n",
			opt->memory_bytes >> 20, strerror(-rc));
		demo_close(d);
		return CLI_FAILED;
	}
	d->max_small = d->frames;
	d->small = cli_alloc(d->max_small, sizeof(*d->small));
	d->max_huge = d->frames / HVO_BLOCK_FRAMES;
	d->huge = cli_alloc(d->max_huge, sizeof(*d->huge));
	*ret = d;
	return CLI_OK;
}

void demo_close(struct demo *d)
{
	tree_free(d->tree);
	box_close(&d->box);
	free(d->small);
	free(d->huge);
	free(d);
}

struct tree *demo_tree(struct demo *d)
{
	return d->tree;
}

const struct demo_options *demo_options(const struct demo *d)
{
	return &d->opt;
}
