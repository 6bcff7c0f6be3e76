// SPDX-License-Identifier: MIT
/*
 * What small pages in hardware cost: reads of 8 bytes, each at a random place that only the read
 * before tells, in arenas of all kinds, beside plain mappings of hugetlbfs and of 4 KiB pages.
 *
 * One memory is there at a time, all of them in each repetition; a ratio is taken within a repetition.
 */
#include "bench.h"

#include "common/box.h"
#include "common/table.h"
#include "common/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_BYTES HVO_PAGEBLOCK_SIZE
#define TLB_READS UINT64_C(4000000)
#define TLB_READS_QUICK UINT64_C(200000)
#define TLB_BYTES (UINT64_C(4) << 30)
#define TLB_BYTES_QUICK (UINT64_C(256) << 20)
/* A kind that is huge is that much slower than plain hugetlbfs at most. */
#define TLB_TARGET 1.05

/**
 * struct memory - one kind of memory to read
 * @flags: of a plain mapping; 0: an arena, as @arena says
 */
struct memory {
	const char *name;
	const char *title;
	int flags;
	struct hvo_linux_options arena;
};

#define ARENA(...)                                                    \
	{                                                             \
		.size = sizeof(struct hvo_linux_options), __VA_ARGS__ \
	}

static const struct memory memories[] = {
	{ "plain_hugetlb", "mapping of hugetlbfs", MAP_HUGETLB, { 0 } },
	{ "plain_4k", "mapping of 4 KiB pages", MAP_NORESERVE, { 0 } },
	{ "hugetlb", "arena: hugetlb", 0, ARENA(.memory = HVO_LINUX_HUGETLB) },
	{ "memfd", "arena: memfd", 0, ARENA(.memory = HVO_LINUX_MEMFD) },
	{ "anonymous", "arena: anonymous", 0, ARENA(.memory = HVO_LINUX_ANONYMOUS) },
	{ "memfd_small", "arena: memfd, left small", 0,
	  ARENA(.memory = HVO_LINUX_MEMFD, .no_thp = true) },
};

#define NR_MEMORIES (sizeof(memories) / sizeof(memories[0]))

struct tlb {
	const struct bench_options *opt;
	uint64_t bytes, reads;
	double ns[NR_MEMORIES][BENCH_REPEAT_MAX]; /* NAN: was not to be had */
	uint64_t huge_bytes[NR_MEMORIES];
	char why[NR_MEMORIES][200];
	struct host host;
	bool has_host;
};

static bool is_huge(const struct tlb *t, unsigned int i)
{
	return t->huge_bytes[i] == t->bytes;
}

/* ---- reading ------------------------------------------------------------ */

/* Memory of zeroes: what is read changes nothing, which nobody but us knows. */
static double read_at_random(const struct tlb *t, const char *mem)
{
	uint64_t at = t->opt->seed, mask = t->bytes / sizeof(uint64_t) - 1, i;
	double start;

	for (i = 0; i < t->bytes; i += HVO_FRAME_SIZE)
		(void)*(const volatile char *)(mem + i);
	start = (double)cli_now_ns();
	for (i = 0; i < t->reads; i++) {
		at = at * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		at += ((const volatile uint64_t *)(const void *)mem)[at >> 24 & mask];
	}
	return ((double)cli_now_ns() - start) / (double)t->reads;
}

static void plain(struct tlb *t, unsigned int i, double *ret)
{
	char *mem = mmap(NULL, t->bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | memories[i].flags, -1, 0);
	uint64_t at;

	if (mem == MAP_FAILED) {
		(void)snprintf(t->why[i], sizeof(t->why[i]), "the host's pool does not have it");
		return;
	}
	if (memories[i].flags & MAP_HUGETLB)
		t->huge_bytes[i] = t->bytes;
	else
		(void)madvise(mem, t->bytes, MADV_NOHUGEPAGE);
	for (at = 0; at < t->bytes; at += HVO_FRAME_SIZE)
		*(volatile char *)(mem + at) = 0;
	*ret = read_at_random(t, mem);
	(void)munmap(mem, t->bytes);
}

static void arena(struct tlb *t, unsigned int i, double *ret)
{
	const struct hvo_config cfg = { .size = sizeof(cfg), .memory_bytes = t->bytes };
	struct hvo_linux_info info = { .size = sizeof(info) };
	struct hvo_linux_options opt = memories[i].arena;
	struct hvo_linux *host;

	opt.why = t->why[i];
	opt.why_len = sizeof(t->why[i]);
	if (hvo_linux_create(&cfg, &opt, &host))
		return;
	*ret = read_at_random(t, hvo_window(hvo_linux_machine(host), 0, 1));
	if (!hvo_linux_info(host, &info))
		t->huge_bytes[i] = info.huge_bytes;
	hvo_linux_close(host);
}

static void measure(struct tlb *t, unsigned int repetition)
{
	unsigned int i;

	for (i = 0; i < NR_MEMORIES; i++) {
		t->ns[i][repetition] = (double)NAN;
		if (memories[i].flags)
			plain(t, i, &t->ns[i][repetition]);
		else
			arena(t, i, &t->ns[i][repetition]);
	}
}

/* ---- telling ------------------------------------------------------------ */

static double median_of(const struct tlb *t, unsigned int i, bool as_ratio)
{
	double value[BENCH_REPEAT_MAX];
	unsigned int r, nr = 0;

	for (r = 0; r < t->opt->repeat; r++) {
		double v = t->ns[i][r] / (as_ratio ? t->ns[0][r] : 1);

		if (!isnan(v))
			value[nr++] = v;
	}
	return nr ? cli_median(value, nr) : (double)NAN;
}

static void print(const struct tlb *t)
{
	static const char *const heads[] = { "<random reads of 8 bytes", "ns", "x hugetlbfs",
					     "huge", NULL };
	struct table *table = table_new(heads);
	char size[TABLE_SIZE_LEN];
	unsigned int i;

	text_wrapf(stdout, "", "",
		   "hvo bench tlb: %s of each kind, %" PRIu64 " reads, medians of %" PRIu32
		   " repetitions",
		   table_size(size, t->bytes), t->reads, t->opt->repeat);
	putchar('\n');
	for (i = 0; i < NR_MEMORIES; i++) {
		table_cell(table, "%s", memories[i].title);
		table_real(table, median_of(t, i, false), 0);
		table_real(table, median_of(t, i, true), 2);
		table_cell(table, "%s", table_size(size, t->huge_bytes[i]));
	}
	table_print(table, stdout, 2);
	putchar('\n');
	for (i = 0; i < NR_MEMORIES; i++)
		if (t->why[i][0])
			text_wrapf(stdout, "  ", "  ", "%s: %s.", memories[i].title, t->why[i]);
	text_wrapf(stdout, "  ", "  ",
		   "huge: bytes that the hardware maps by pages of %s or more. Such memory should "
		   "not be more than %.2f x hugetlbfs.",
		   table_size(size, HUGE_BYTES), TLB_TARGET);
}

static int print_json(const struct tlb *t)
{
	json_t *o = json_object(), *all = json_object(), *one;
	unsigned int i;
	double ratio;

	for (i = 0; i < NR_MEMORIES; i++) {
		one = json_object();
		ratio = median_of(t, i, true);
		json_object_set_new(one, "ns_per_read", cli_json_real(median_of(t, i, false)));
		json_object_set_new(one, "ratio", cli_json_real(ratio));
		json_object_set_new(one, "huge_bytes", cli_json_number(t->huge_bytes[i]));
		json_object_set_new(one, "meets",
				    !is_huge(t, i) || isnan(ratio) ?
					    json_null() :
					    json_boolean(ratio <= TLB_TARGET));
		json_object_set_new(one, "reason", cli_json_word(t->why[i]));
		json_object_set_new(all, memories[i].name, one);
	}
	json_object_set_new(o, "benchmark", json_string("tlb"));
	json_object_set_new(o, "bytes", cli_json_number(t->bytes));
	json_object_set_new(o, "reads", cli_json_number(t->reads));
	json_object_set_new(o, "repeat", json_integer(t->opt->repeat));
	json_object_set_new(o, "target", json_real(TLB_TARGET));
	json_object_set_new(o, "memory", all);
	return cli_print_json(o);
}

/* The host's pool is as large as it is measured with, if that can be had. */
static void begin_host(struct tlb *t)
{
	char reason[HOST_REASON_LEN];
	uint64_t nr = t->bytes / HUGE_BYTES;

	if (t->opt->no_host || !host_probe(nr, t->bytes, reason))
		return;
	t->has_host = host_begin(&t->host, reason);
	if (t->has_host)
		(void)host_grow(&t->host, nr);
}

int bench_tlb(const struct bench_options *opt)
{
	struct tlb *t = cli_alloc(1, sizeof(*t));
	unsigned int r;
	int status;

	t->opt = opt;
	t->bytes = opt->quick ? TLB_BYTES_QUICK : TLB_BYTES;
	t->reads = opt->quick ? TLB_READS_QUICK : TLB_READS;
	if (host_memory_available() < t->bytes + t->bytes / 2)
		cli_die("there is not enough memory for %" PRIu64 " MiB", t->bytes >> 20);
	begin_host(t);
	for (r = 0; r < opt->repeat; r++)
		measure(t, r);
	if (opt->json) {
		status = print_json(t);
	} else {
		print(t);
		status = cli_flush();
	}
	if (t->has_host && !host_end(&t->host))
		status = CLI_FAILED;
	free(t);
	return status;
}
