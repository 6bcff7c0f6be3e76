// SPDX-License-Identifier: MIT
/*
 * The measurements as tables and as JSON, and the ratios with their targets.
 */
#include "bench.h"

#include "common/table.h"
#include "common/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- ratios ------------------------------------------------------------- */

/**
 * struct ratio_def - one key of "ratios"
 * @num, @den: series; '@' in them stands for the size of the pool. No @den: the
 *             number itself
 * @target: measured must not be more
 */
struct ratio_def {
	const char *key;
	const char *num;
	const char *den;
	double target;
	const char *what;
};

static const struct ratio_def ratio_defs[] = {
	{ "ondemand_grow_vs_kernel", "ondemand_@_grow_on", "kernel_@_grow_diff", 0.05,
	  "on-demand, all of growing / the kernel's" },
	{ "ondemand_shrink_vs_kernel", "ondemand_@_shrink_on", "kernel_@_shrink_diff", 0.05,
	  "on-demand, all of shrinking / the kernel's" },
	{ "linux_grow_vs_kernel", "linux_@_grow_diff", "kernel_@_grow_diff", 0.10,
	  "Linux mode, growing / the kernel's" },
	{ "linux_shrink_vs_kernel", "linux_@_shrink_diff", "kernel_@_shrink_diff", 0.30,
	  "Linux mode, shrinking / the kernel's" },
	{ "linux_optimize_single_vs_kernel", "fold_1", "kernel_small_grow_diff", 0.6,
	  "one page at a time / the kernel's growing" },
	{ "linux_restore_single_vs_kernel", "present_1", "kernel_small_shrink_diff", 0.7,
	  "one page at a time / the kernel's shrinking" },
	{ "restore_batch_vs_floor", "present_512", "floor", 1.6, "batch of 512 / writing 28 KiB" },
	{ "table_restore_batch_vs_floor", "table_present_512", "floor", 1.2,
	  "batch of 512 / writing 28 KiB, table layout" },
	{ "table_fold_batch_ns", "table_fold_512", NULL, 30,
	  "batch of 512, table layout, ns a page" },
	{ "table_cut_batch_vs_clear", "table_cut_batch", "clear_32k", 1.5,
	  "first frames of 64 blocks and back together / clearing 32 KiB each" },
	{ "table_scattered_4k", "table_scattered_4k", "scattered_4k", 1.0,
	  "scattered frames / those of the virtual layout, over mappings of 4 KiB" },
	{ "table_scattered_huge", "table_scattered_huge", "scattered_huge", 1.0,
	  "scattered frames / those of the virtual layout, over huge mappings" },
	{ "ondemand_grow_ns", "ondemand_@_grow_on", NULL, 40, "on-demand, growing, ns a page" },
	{ "ondemand_shrink_ns", "ondemand_@_shrink_on", NULL, 40,
	  "on-demand, shrinking, ns a page" },
	{ "mappings_per_hugepage", "mappings_fresh", NULL, 0.02, "full pool, fresh" },
	{ "mappings_per_hugepage_churned", "mappings_churned", NULL, 1.0,
	  "half cut up and made whole, again and again" },
};

/*
 * The same questions, asked more strictly: with descriptors that are used between
 * being made present and being folded, and against the floor of clearing in runs.
 */
static const struct ratio_def strict_defs[] = {
	{ "linux_grow_used_vs_kernel", "fold_512_used", "kernel_small_grow_diff", 0.10,
	  "Linux mode, growing, descriptors in use before / the kernel's" },
	{ "linux_shrink_used_vs_kernel", "linux_small_shrink_used", "kernel_small_shrink_diff",
	  0.30, "Linux mode, shrinking, and first use of the descriptors / the kernel's" },
	{ "restore_batch_used_vs_floor", "present_512_used", "floor", 1.6,
	  "batch of 512, and first use of the descriptors / writing 28 KiB" },
	{ "restore_batch_vs_floor_in_runs", "present_512", "write_28k_clear_runs", 1.6,
	  "batch of 512 / writing 28 KiB, 512 times in one go" },
};

#define NR_STRICT (sizeof(strict_defs) / sizeof(strict_defs[0]))
#define NR_RATIOS (sizeof(ratio_defs) / sizeof(ratio_defs[0]))

/* A ratio as measured; @nr pairs went into it, NAN and 0 where there were none. */
struct ratio {
	double median, min, max;
	unsigned int nr;
};

static const struct series *find_sized(const struct bench *b, const char *pattern,
				       enum bench_size size)
{
	const char *at = strchr(pattern, '@');
	char name[2 * BENCH_NAME_LEN];

	if (!at)
		return bench_find(b, pattern);
	(void)snprintf(name, sizeof(name), "%.*s%s%s", (int)(at - pattern), pattern,
		       bench_size_name(size), at + 1);
	return bench_find(b, name);
}

static struct ratio summary(double *value, unsigned int nr)
{
	struct ratio ret = { (double)NAN, (double)NAN, (double)NAN, nr };

	if (!nr)
		return ret;
	ret.median = cli_median(value, nr);
	/* They are in order now. */
	ret.min = value[0];
	ret.max = value[nr - 1];
	return ret;
}

/*
 * Pair by pair. A pair in which the other side cost nothing, or less than nothing
 * because of noise, says nothing and is left out: @nr tells.
 */
static struct ratio ratio_of(const struct bench *b, const struct ratio_def *def,
			     enum bench_size size)
{
	const struct series *num = find_sized(b, def->num, size);
	const struct series *den = def->den ? find_sized(b, def->den, size) : NULL;
	double value[BENCH_REPEAT_MAX];
	unsigned int i, nr = 0;

	for (i = 0; num && (den || !def->den) && i < b->opt->repeat; i++) {
		if (isnan(num->value[i]) || (den && !(den->value[i] > 0)))
			continue;
		value[nr++] = den ? num->value[i] / den->value[i] : num->value[i];
	}
	return summary(value, nr);
}

static const char *verdict(const struct ratio_def *def, const struct ratio *r)
{
	if (!r->nr)
		return "not measured";
	return r->median <= def->target ? "meets" : "short";
}

static bool has_sizes(const struct ratio_def *def)
{
	return strchr(def->num, '@') != NULL;
}

/* ---- text --------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void cell_median(const struct bench *b,
							      struct table *t, const char *fmt, ...)
{
	char name[BENCH_NAME_LEN];
	double median;
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(name, sizeof(name), fmt, args);
	va_end(args);
	median = bench_median(b, name);
	table_real(t, median, 0);
}

static void pool_row(const struct bench *b, struct table *t, const char *title, const char *prefix,
		     enum bench_size size, unsigned int pages)
{
	static const char *const what[] = { "grow", "shrink" };
	const char *name = bench_size_name(size);
	unsigned int i;

	table_cell(t, "%s", title);
	if (pages)
		table_number(t, pages);
	else
		table_cell(t, "-");
	for (i = 0; i < 2; i++) {
		cell_median(b, t, "%s_%s_%s_off", prefix, name, what[i]);
		cell_median(b, t, "%s_%s_%s_on", prefix, name, what[i]);
		cell_median(b, t, "%s_%s_%s_diff", prefix, name, what[i]);
	}
}

static void print_pools(const struct bench *b)
{
	static const char *const heads[] = {
		"<pool",       "pages",	     "grow,|off",	 "grow,|on", "grow,|on - off",
		"shrink,|off", "shrink,|on", "shrink,|on - off", NULL
	};
	struct table *t = table_new(heads);
	enum bench_size s;

	puts("Growing and shrinking a pool of 2 MiB pages, ns per page\n");
	for (s = BENCH_SMALL; s <= BENCH_LARGE; s++) {
		pool_row(b, t, "this kernel", "kernel", s, b->host_pages[s]);
		pool_row(b, t, "Linux mode, virtual", "linux", s, b->pages[s]);
		pool_row(b, t, "Linux mode, table", "linux_table", s, b->pages[s]);
		pool_row(b, t, "on-demand, virtual", "ondemand_virtual", s, b->pages[s]);
		pool_row(b, t, "on-demand, table", "ondemand", s, b->pages[s]);
	}
	table_print(t, stdout, 2);
	if (!b->host_reason[0])
		return;
	putchar('\n');
	text_wrapf(stdout, "  ", "  ", "The kernel's own pool%s skipped: %s.",
		   b->host_pages[BENCH_SMALL] ? " is partly" : " was", b->host_reason);
}

static void print_batches(const struct bench *b)
{
	static const char *const heads[] = { "<pages at a time",    "fold,|virtual",
					     "fold,|table",	    "make present,|virtual",
					     "make present,|table", NULL };
	struct table *t = table_new(heads);
	unsigned int i;

	puts("\nFolding and making present alone (Linux mode, on - off), ns per page\n");
	for (i = 0; i < BENCH_NR_BATCHES; i++) {
		table_cell(t, "%u of 2 MiB", bench_batches[i]);
		cell_median(b, t, "fold_%u", bench_batches[i]);
		cell_median(b, t, "table_fold_%u", bench_batches[i]);
		cell_median(b, t, "present_%u", bench_batches[i]);
		cell_median(b, t, "table_present_%u", bench_batches[i]);
	}
	table_cell(t, "%u of 1 GiB", b->giga_pages);
	cell_median(b, t, "fold_1g");
	table_cell(t, "-");
	cell_median(b, t, "present_1g");
	table_cell(t, "-");
	table_print(t, stdout, 2);
}

static void value_row(const struct bench *b, struct table *t, const char *name, const char *what)
{
	double median = bench_median(b, name);
	const struct series *s = bench_find(b, name);
	char buf[TABLE_SIZE_LEN];

	if (!s || isnan(median))
		return;
	if (!strcmp(s->unit, "ns"))
		table_cell(t, "%s", table_time(buf, median));
	else if (!strcmp(s->unit, "bytes"))
		table_cell(t, "%s", table_size(buf, (uint64_t)median));
	else
		table_cell(t, "%.4g%s%s", median, *s->unit ? " " : "", s->unit);
	table_cell(t, "%s", what);
}

static void print_values(const struct bench *b)
{
	static const char *const heads[] = { "", "<", NULL };
	struct table *t = table_new(heads);
	char name[BENCH_NAME_LEN];

	value_row(b, t, "first_use", "first use of the 7 descriptor pages of a 2 MiB page");
	value_row(b, t, "fold_512_used", "fold them once they were used, 512 at a time");
	value_row(b, t, "cut", "cut the first 4 KiB frame from a block, virtual layout");
	value_row(b, t, "table_cut", "the same, table layout");
	value_row(b, t, "give_back", "give it back, and the block is whole, virtual layout");
	value_row(b, t, "table_give_back", "the same, table layout");
	value_row(b, t, "cut_batch", "first frames of 64 blocks and back together, virtual");
	value_row(b, t, "table_cut_batch", "the same, table layout");
	value_row(b, t, "scattered_4k", "change a frame for another, virtual, over 4 KiB");
	value_row(b, t, "table_scattered_4k", "the same, table layout");
	value_row(b, t, "scattered_huge", "change a frame for another, virtual, over 2 MiB");
	value_row(b, t, "table_scattered_huge", "the same, table layout");
	value_row(b, t, "write_28k_memset", "floor: write 28 KiB, cold, memset()");
	value_row(b, t, "write_28k_clear", "floor: the same, past the caches");
	value_row(b, t, "write_28k_clear_runs", "floor: the same, for 512 pages at a time");
	value_row(b, t, "clear_32k", "floor: clear 32 KiB");
	value_row(b, t, "syscall", "floor: an empty system call");
	value_row(b, t, "page_fault", "floor: a page fault");
	value_row(b, t, "bring_up_1tib", "bring up a machine of 1 TiB");
	value_row(b, t, "first_grow_1tib", "a page of 2 MiB of its first pool, nine tenths of it");
	value_row(b, t, "first_shrink_1tib", "a page that leaves");
	value_row(b, t, "bring_up_memory_1tib", "memory that it takes at first, per GiB");
	value_row(b, t, "grown_memory_1tib", "with that pool, per GiB");
	(void)snprintf(name, sizeof(name), "bring_up_%utib", b->tib_large);
	value_row(b, t, name, "bring up a large machine, per TiB");
	(void)snprintf(name, sizeof(name), "first_grow_%utib", b->tib_large);
	value_row(b, t, name, "a page of its first pool");
	(void)snprintf(name, sizeof(name), "grown_memory_%utib", b->tib_large);
	value_row(b, t, name, "memory with that pool, per GiB");
	puts("\nOther costs");
	table_print(t, stdout, 2);
}

static void print_mappings(const struct bench *b)
{
	static const char *const heads[] = { "<per huge page, virtual layout", "on-demand",
					     "Linux mode", NULL };
	static const struct {
		const char *name, *what;
		unsigned int decimals;
	} rows[] = {
		{ "mappings_fresh", "mappings, fresh pool", 3 },
		{ "mappings_peak", "mappings, half cut up (at most)", 3 },
		{ "mappings_churned", "mappings, made whole again", 3 },
		{ "kernel_memory_fresh", "kernel memory, fresh, bytes", 1 },
		{ "kernel_memory_churned", "kernel memory, whole again, bytes", 1 },
		{ "pages_after_churn", "huge pages in the pool then", 0 },
	};
	struct table *t = table_new(heads);
	char name[BENCH_NAME_LEN];
	unsigned int i, mode;

	putchar('\n');
	text_wrapf(
		stdout, "", "",
		"Mappings of the descriptor array: %u pages; a random half cut up and made whole "
		"%u times",
		b->pages[BENCH_SMALL], b->churn_rounds);
	putchar('\n');
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		table_cell(t, "%s", rows[i].what);
		for (mode = 0; mode < 2; mode++) {
			(void)snprintf(name, sizeof(name), "%s_%s", rows[i].name,
				       mode ? "linux" : "ondemand_virtual");
			table_real(t, bench_median(b, name), rows[i].decimals);
		}
	}
	table_print(t, stdout, 2);
	putchar('\n');
	text_wrapf(stdout, "  ", "  ",
		   "%" PRIu64 " of %" PRIu64 " huge pages folded with %" PRIu64
		   " mappings of the array (vm.max_map_count is %" PRIu64 "), %.0f ns per page.",
		   b->many.folded, b->many.pages, b->many.mappings, b->many.max_map_count,
		   b->many.ns_per_page);
}

static void ratio_row(struct table *t, const struct ratio_def *def, const struct ratio *r)
{
	table_cell(t, "%s", def->key);
	table_real(t, def->target, 2);
	table_real(t, r->median, 3);
	table_real(t, r->min, 3);
	table_real(t, r->max, 3);
	table_cell(t, "%s", verdict(def, r));
}

/* Those of @defs that depend on the size of the pool, or all. */
static void print_ratio_table(const struct bench *b, const struct ratio_def *defs, size_t nr,
			      enum bench_size size)
{
	static const char *const heads[] = {
		"<ratio", "target", "measured", "from", "to", "<", NULL
	};
	struct table *t = table_new(heads);
	struct ratio r;
	size_t i;

	for (i = 0; i < nr; i++) {
		if (size != BENCH_SMALL && !has_sizes(&defs[i]))
			continue;
		r = ratio_of(b, &defs[i], size);
		ratio_row(t, &defs[i], &r);
	}
	table_print(t, stdout, 2);
}

static void print_ratios(const struct bench *b)
{
	puts("\nTargets: medians of ratios, taken pair by pair; lower is better\n");
	print_ratio_table(b, ratio_defs, NR_RATIOS, BENCH_SMALL);
	printf("\nThe same with pools of %u pages, the kernel's of %u\n\n", b->pages[BENCH_LARGE],
	       b->host_pages[BENCH_LARGE]);
	print_ratio_table(b, ratio_defs, NR_RATIOS, BENCH_LARGE);
	puts("\nMore strictly: descriptors are used while present; the floor is cleared in\n"
	     "runs\n");
	print_ratio_table(b, strict_defs, NR_STRICT, BENCH_SMALL);
}

void bench_print(const struct bench *b)
{
	printf("hvo bench remap: medians of %" PRIu32 " repetitions, %.0f s%s\n\n", b->opt->repeat,
	       b->seconds, b->opt->quick ? "; small sizes, only to try it out" : "");
	print_pools(b);
	print_batches(b);
	print_values(b);
	print_mappings(b);
	print_ratios(b);
}

/* ---- JSON --------------------------------------------------------------- */

static json_t *json_series(const struct bench *b, const struct series *s)
{
	json_t *o = json_object(), *values = json_array();
	double value[BENCH_REPEAT_MAX];
	unsigned int i, nr = 0;
	struct ratio r;

	for (i = 0; i < b->opt->repeat; i++) {
		json_array_append_new(values, cli_json_real(s->value[i]));
		if (!isnan(s->value[i]))
			value[nr++] = s->value[i];
	}
	r = summary(value, nr);
	json_object_set_new(o, "unit", json_string(s->unit));
	json_object_set_new(o, "median", cli_json_real(r.median));
	json_object_set_new(o, "min", cli_json_real(r.min));
	json_object_set_new(o, "max", cli_json_real(r.max));
	json_object_set_new(o, "values", values);
	return o;
}

static json_t *json_sizes(const struct bench *b)
{
	json_t *o = json_object();

	json_object_set_new(o, "small", json_integer(b->pages[BENCH_SMALL]));
	json_object_set_new(o, "large", json_integer(b->pages[BENCH_LARGE]));
	json_object_set_new(o, "kernel_small", json_integer(b->host_pages[BENCH_SMALL]));
	json_object_set_new(o, "kernel_large", json_integer(b->host_pages[BENCH_LARGE]));
	json_object_set_new(o, "giga", json_integer(b->giga_pages));
	json_object_set_new(o, "churn_rounds", json_integer(b->churn_rounds));
	return o;
}

static json_t *json_host(const struct bench *b)
{
	json_t *o = json_object();

	json_object_set_new(o, "measured", json_boolean(b->host_pages[BENCH_SMALL] != 0));
	json_object_set_new(o, "reason", cli_json_word(b->host_reason));
	json_object_set_new(o, "put_back", json_boolean(b->host_put_back));
	return o;
}

static json_t *json_many(const struct bench_many *many)
{
	json_t *o = json_object();

	json_object_set_new(o, "pages", cli_json_number(many->pages));
	json_object_set_new(o, "folded", cli_json_number(many->folded));
	json_object_set_new(o, "mappings", cli_json_number(many->mappings));
	json_object_set_new(o, "max_map_count", cli_json_number(many->max_map_count));
	json_object_set_new(o, "ns_per_page", cli_json_real(many->ns_per_page));
	return o;
}

/* What was asked of each ratio, and what it is made of. */
static json_t *json_targets(const struct bench *b, const struct ratio_def *defs, size_t nr)
{
	json_t *o = json_object(), *t;
	struct ratio r;
	size_t i;

	for (i = 0; i < nr; i++) {
		r = ratio_of(b, &defs[i], BENCH_SMALL);
		t = json_object();
		json_object_set_new(t, "what", json_string(defs[i].what));
		json_object_set_new(t, "target", json_real(defs[i].target));
		json_object_set_new(t, "measured", cli_json_real(r.median));
		json_object_set_new(t, "min", cli_json_real(r.min));
		json_object_set_new(t, "max", cli_json_real(r.max));
		json_object_set_new(t, "pairs", json_integer(r.nr));
		json_object_set_new(t, "verdict", json_string(verdict(&defs[i], &r)));
		json_object_set_new(o, defs[i].key, t);
	}
	return o;
}

static json_t *json_ratios(const struct bench *b, const struct ratio_def *defs, size_t nr,
			   enum bench_size size)
{
	json_t *o = json_object();
	size_t i;

	for (i = 0; i < nr; i++) {
		if (size != BENCH_SMALL && !has_sizes(&defs[i]))
			continue;
		json_object_set_new(o, defs[i].key,
				    cli_json_real(ratio_of(b, &defs[i], size).median));
	}
	return o;
}

json_t *bench_json(const struct bench *b)
{
	json_t *o = json_object(), *all = json_object();
	unsigned int i;

	for (i = 0; i < b->nr_series; i++)
		json_object_set_new(all, b->series[i].name, json_series(b, &b->series[i]));
	json_object_set_new(o, "benchmark", json_string("remap"));
	json_object_set_new(o, "repeat", json_integer(b->opt->repeat));
	json_object_set_new(o, "quick", json_boolean(b->opt->quick));
	json_object_set_new(o, "seconds", json_real(b->seconds));
	json_object_set_new(o, "sizes", json_sizes(b));
	json_object_set_new(o, "host", json_host(b));
	json_object_set_new(o, "measurements", all);
	json_object_set_new(o, "many", json_many(&b->many));
	json_object_set_new(o, "ratios", json_ratios(b, ratio_defs, NR_RATIOS, BENCH_SMALL));
	json_object_set_new(o, "ratios_large", json_ratios(b, ratio_defs, NR_RATIOS, BENCH_LARGE));
	json_object_set_new(o, "ratios_strict",
			    json_ratios(b, strict_defs, NR_STRICT, BENCH_SMALL));
	json_object_set_new(o, "targets", json_targets(b, ratio_defs, NR_RATIOS));
	json_object_set_new(o, "targets_strict", json_targets(b, strict_defs, NR_STRICT));
	return o;
}
