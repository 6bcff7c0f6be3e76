// SPDX-License-Identifier: MIT
/*
 * On-demand mode at its boundaries: where one frame more needs another block cut, and
 * one frame less leaves a block with nothing in it but its own descriptors. Who takes and
 * gives just that frame, again and again, must not pay for cutting and folding each time.
 *
 * Times are told, and judged by nobody; the counts are judged.
 */
#include "bench.h"

#include "common/box.h"
#include "common/cli.h"
#include "common/table.h"
#include "common/text.h"

#include <jansson.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_BYTES (UINT64_C(1) << 30)

struct counts {
	uint64_t cuts, folds, collapses;
};

/**
 * struct boundary - one place to allocate and free at, and what came of it
 * @order: of the block that comes and goes
 * @prepare: leave the machine at the boundary
 * @expected: counts over all rounds, however many
 */
struct boundary {
	const char *name;
	const char *title;
	unsigned int order;
	void (*prepare)(struct box *box);
	struct counts expected;
	struct counts counts;
	double ns_per_pair;
	bool ok;
};

/* ---- machines ----------------------------------------------------------- */

static void open_machine(const struct bench_options *opt, struct box *box)
{
	const struct hvo_config cfg = {
		.size = sizeof(cfg),
		.memory_bytes = MEMORY_BYTES,
		.mode = HVO_ON_DEMAND,
		/* What is measured is where frames come from. */
		.clear = HVO_CLEAR_NEVER,
	};
	const struct hvo_linux_options sparse = { .size = sizeof(sparse),
						  .sparse = true,
						  .no_thp = true };

	box_must_open(box, &cfg, opt->sim, &sparse, opt->seed);
}

static struct hvo_zone_stat zone(struct box *box)
{
	struct hvo_zone_stat stat = { .size = sizeof(stat) };

	if (hvo_zone_stat(box->m, 0, HVO_ZONE_NORMAL, &stat))
		cli_die("the machine has no counters");
	return stat;
}

static hvo_pfn_t take(struct box *box, unsigned int order)
{
	hvo_pfn_t pfn;

	if (hvo_alloc_pages(box->m, HVO_GFP_KERNEL, order, HVO_NODE_ANY, &pfn))
		cli_die("a block of order %u could not be allocated", order);
	return pfn;
}

static void give(struct box *box, hvo_pfn_t pfn)
{
	if (hvo_put_page(box->m, pfn))
		cli_die("frame %" PRIu64 " is ours, but could not be given back", pfn);
}

/* ---- boundaries --------------------------------------------------------- */

static void prepare_nothing_cut(struct box *box)
{
	if (zone(box).nr_cut)
		cli_die("a new machine has blocks that are cut");
}

static void prepare_full_block(struct box *box)
{
	unsigned int i, nr = HVO_PAGEBLOCK_FRAMES - hvo_pageblock_tails(box->m);

	prepare_nothing_cut(box);
	for (i = 0; i < nr; i++)
		(void)take(box, 0);
	if (zone(box).nr_cut != 1)
		cli_die("%u frames did not fill one block", nr);
}

static void prepare_half(struct box *box)
{
	uint64_t blocks = MEMORY_BYTES / HVO_PAGEBLOCK_SIZE, i;

	for (i = 0; i < blocks / 2; i++)
		(void)take(box, HVO_PAGEBLOCK_ORDER);
}

/* The first of the rounds at each of the first two cuts a block; nothing else ever does. */
static const struct boundary boundaries[] = {
	{ .name = "nothing_cut",
	  .title = "4 KiB, nothing is cut",
	  .prepare = prepare_nothing_cut,
	  .expected = { .cuts = 1 } },
	{ .name = "full_block",
	  .title = "4 KiB, the one cut block is full",
	  .prepare = prepare_full_block,
	  .expected = { .cuts = 1 } },
	{ .name = "whole_block",
	  .title = "2 MiB, half of all blocks are in use",
	  .order = HVO_PAGEBLOCK_ORDER,
	  .prepare = prepare_half },
};

#define NR_BOUNDARIES (sizeof(boundaries) / sizeof(boundaries[0]))

static struct counts read_counts(struct box *box)
{
	struct hvo_machine_stat stat = { .size = sizeof(stat) };

	hvo_machine_stat(box->m, &stat);
	return (struct counts){ stat.cuts, stat.folds, stat.collapses };
}

static bool same_counts(const struct counts *a, const struct counts *b)
{
	return a->cuts == b->cuts && a->folds == b->folds && a->collapses == b->collapses;
}

static void measure(const struct bench_options *opt, struct boundary *b)
{
	struct counts before, after;
	struct box box;
	double start;
	uint64_t i;

	open_machine(opt, &box);
	b->prepare(&box);
	before = read_counts(&box);
	start = box_now_ns(&box);
	for (i = 0; i < opt->rounds; i++)
		give(&box, take(&box, b->order));
	b->ns_per_pair = (box_now_ns(&box) - start) / (double)opt->rounds;
	after = read_counts(&box);
	box_close(&box);

	b->counts.cuts = after.cuts - before.cuts;
	b->counts.folds = after.folds - before.folds;
	b->counts.collapses = after.collapses - before.collapses;
	b->ok = same_counts(&b->counts, &b->expected);
}

/* ---- telling ------------------------------------------------------------ */

static void count_cell(struct table *t, uint64_t count, uint64_t expected)
{
	if (count == expected)
		table_number(t, count);
	else
		table_cell(t, "%" PRIu64 ", not %" PRIu64, count, expected);
}

static void print(const struct bench_options *opt, const struct boundary *list, bool ok)
{
	static const char *const heads[] = { "<again and again", "ns/pair", "cuts", "folds",
					     "collapses",	 NULL };
	struct table *t = table_new(heads);
	unsigned int i;

	text_wrapf(stdout, "", "",
		   "hvo bench boundary: allocate and free, %" PRIu64 " times, on-demand mode on %s",
		   opt->rounds, opt->sim ? "sim" : "linux");
	putchar('\n');
	for (i = 0; i < NR_BOUNDARIES; i++) {
		const struct boundary *b = &list[i];

		table_cell(t, "%s", b->title);
		if (opt->sim)
			table_cell(t, "-");
		else
			table_real(t, b->ns_per_pair, 0);
		count_cell(t, b->counts.cuts, b->expected.cuts);
		count_cell(t, b->counts.folds, b->expected.folds);
		count_cell(t, b->counts.collapses, b->expected.collapses);
	}
	table_print(t, stdout, 2);
	putchar('\n');
	text_wrap(
		stdout, "  ", "  ",
		ok ? "As it must be: where a block has to be cut the first round does it, none after." :
		     "NOT as it must be: going to and fro at a boundary costs more than the first "
		     "round.");
}

static json_t *json_counts(const struct counts *counts)
{
	json_t *o = json_object();

	json_object_set_new(o, "cuts", cli_json_number(counts->cuts));
	json_object_set_new(o, "folds", cli_json_number(counts->folds));
	json_object_set_new(o, "collapses", cli_json_number(counts->collapses));
	return o;
}

static int print_json(const struct bench_options *opt, const struct boundary *list, bool ok)
{
	json_t *o = json_object(), *runs = json_array(), *r;
	unsigned int i;

	for (i = 0; i < NR_BOUNDARIES; i++) {
		r = json_counts(&list[i].counts);
		json_object_set_new(r, "name", json_string(list[i].name));
		json_object_set_new(r, "order", json_integer(list[i].order));
		/* Time is virtual in a simulation; only waiting takes any. */
		json_object_set_new(r, "ns_per_pair",
				    opt->sim ? json_null() : json_real(list[i].ns_per_pair));
		json_object_set_new(r, "expected", json_counts(&list[i].expected));
		json_object_set_new(r, "ok", json_boolean(list[i].ok));
		json_array_append_new(runs, r);
	}
	json_object_set_new(o, "benchmark", json_string("boundary"));
	json_object_set_new(o, "platform", json_string(opt->sim ? "sim" : "linux"));
	json_object_set_new(o, "memory_bytes", cli_json_number(MEMORY_BYTES));
	json_object_set_new(o, "rounds", cli_json_number(opt->rounds));
	json_object_set_new(o, "runs", runs);
	json_object_set_new(o, "ok", json_boolean(ok));
	return cli_print_json(o);
}

int bench_boundary(const struct bench_options *opt)
{
	struct boundary list[NR_BOUNDARIES];
	bool ok = true;
	unsigned int i;
	int status;

	memcpy(list, boundaries, sizeof(list));
	for (i = 0; i < NR_BOUNDARIES; i++) {
		measure(opt, &list[i]);
		ok = ok && list[i].ok;
	}
	if (!opt->json)
		print(opt, list, ok);
	status = opt->json ? print_json(opt, list, ok) : cli_flush();
	return ok ? status : CLI_FAILED;
}
