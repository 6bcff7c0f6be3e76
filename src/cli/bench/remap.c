// SPDX-License-Identifier: MIT
/*
 * What remapping descriptors costs.
 *
 * Everything is measured once in each repetition, one after the other, so that what
 * disturbs the host disturbs our numbers and the kernel's alike; a ratio is taken
 * within a repetition. In a pair of "on minus off" the two take turns in going first.
 *
 * Most arenas are sparse: a pool of thousands of huge pages then costs the memory of
 * its descriptors only. warm_up() sees to it that no first touch is measured.
 */
#include "bench.h"

#include "cli/files/root.h"
#include "common/box.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)

/* Memory of a machine beside its huge pages and their descriptors. */
#define MARGIN_BYTES (UINT64_C(256) << 20)
/* So much must be there for the headlines' arenas to be allocated in advance. */
#define POPULATE_ROOM (UINT64_C(10) << 30)
/* What our own machines touch while the kernel's pool is measured. */
#define OWN_BYTES (UINT64_C(4) << 30)

#define FLOOR_BYTES (UINT64_C(256) << 20)
#define TAIL_BYTES (HVO_PAGEBLOCK_TAILS * HVO_FRAME_SIZE)
#define NR_CUTS 64u
#define SCATTERED_FRAMES UINT64_C(65536)
#define NR_SYSCALLS 20000u
#define NR_FAULTS 4096u

/* Estimate of a mapping in kernel memory: its slab object. */
#define VMA_BYTES 200u

const unsigned int bench_batches[BENCH_NR_BATCHES] = { 1, 8, 64, 512 };

/* ---- series ------------------------------------------------------------- */

const char *bench_size_name(enum bench_size size)
{
	return size == BENCH_SMALL ? "small" : "large";
}

const struct series *bench_find(const struct bench *b, const char *name)
{
	unsigned int i;

	for (i = 0; i < b->nr_series; i++)
		if (!strcmp(b->series[i].name, name))
			return &b->series[i];
	return NULL;
}

/* The value of this repetition for the series of that name. */
__attribute__((format(printf, 4, 5))) static void note(struct bench *b, double value,
						       const char *unit, const char *fmt, ...)
{
	char name[BENCH_NAME_LEN];
	struct series *s = NULL;
	unsigned int i;
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(name, sizeof(name), fmt, args);
	va_end(args);
	for (i = 0; i < b->nr_series && !s; i++)
		if (!strcmp(b->series[i].name, name))
			s = &b->series[i];
	if (!s) {
		if (b->nr_series == BENCH_MAX_SERIES)
			cli_die("too many series: BENCH_MAX_SERIES is too small");
		s = &b->series[b->nr_series++];
		memcpy(s->name, name, sizeof(name));
		s->unit = unit;
		for (i = 0; i < BENCH_REPEAT_MAX; i++)
			s->value[i] = (double)NAN;
	}
	s->value[b->repetition] = value;
}

double bench_median(const struct bench *b, const char *name)
{
	const struct series *s = bench_find(b, name);
	double value[BENCH_REPEAT_MAX];
	unsigned int i, nr = 0;

	for (i = 0; s && i < b->opt->repeat; i++)
		if (!isnan(s->value[i]))
			value[nr++] = s->value[i];
	return nr ? cli_median(value, nr) : (double)NAN;
}

static double now_ns(void)
{
	return (double)cli_now_ns();
}

/* The switch takes turns in being off first: 0 or 1 for the first and the second of a pair. */
static unsigned int turn(const struct bench *b, unsigned int first_or_second)
{
	return (b->repetition + first_or_second) & 1;
}

/* ---- machines ----------------------------------------------------------- */

/* A machine with one pool, and the size that the pool is to get. */
struct rig {
	struct box box;
	struct hvo_pool *pool;
	unsigned int order;
	uint64_t pages;
};

/* Memory that holds so many bytes of huge pages when all of its descriptors exist. */
static uint64_t memory_for(uint64_t bytes)
{
	bytes += bytes / 63 + MARGIN_BYTES;
	return (bytes + HVO_SECTION_SIZE - 1) / HVO_SECTION_SIZE * HVO_SECTION_SIZE;
}

/* What a machine is, and how its series are called. */
struct kind {
	enum hvo_mode mode;
	enum hvo_layout layout;
	const char *name;
};

/* The default of each mode, and the other layout. */
enum { LINUX_VIRTUAL, ONDEMAND_TABLE, LINUX_TABLE, ONDEMAND_VIRTUAL, NR_KINDS };

static const struct kind kinds[NR_KINDS] = {
	{ HVO_LINUX, HVO_LAYOUT_VIRTUAL, "linux" },
	{ HVO_ON_DEMAND, HVO_LAYOUT_TABLE, "ondemand" },
	{ HVO_LINUX, HVO_LAYOUT_TABLE, "linux_table" },
	{ HVO_ON_DEMAND, HVO_LAYOUT_VIRTUAL, "ondemand_virtual" },
};

/* Of series about a layout, whatever the mode. */
static const char *prefix(const struct kind *kind)
{
	return kind->layout == HVO_LAYOUT_TABLE ? "table_" : "";
}

static void rig_open_memory(struct rig *rig, uint64_t memory_bytes, const struct kind *kind,
			    bool sparse)
{
	const struct hvo_config cfg = {
		.size = sizeof(cfg),
		.memory_bytes = memory_bytes,
		.mode = kind->mode,
		.layout = kind->layout,
		/* The kernel does not clear what joins or leaves its pool either. */
		.clear = HVO_CLEAR_NEVER,
		.optimize = true,
	};
	/* In a sparse arena a huge page would be allocated for each frame touched. */
	const struct hvo_linux_options opt = { .size = sizeof(opt),
					       .sparse = sparse,
					       .no_thp = sparse };

	box_must_open(&rig->box, &cfg, false, &opt, 0);
}

static void rig_open(struct rig *rig, uint64_t pages, unsigned int order, const struct kind *kind,
		     bool sparse)
{
	uint64_t bytes = (pages * HVO_FRAME_SIZE) << order;
	int err;

	memset(rig, 0, sizeof(*rig));
	rig->order = order;
	rig->pages = pages;
	/* A page of 1 GiB must lie on a multiple of 1 GiB: one more for the margin. */
	if (order == HVO_GIGA_ORDER)
		bytes += GIB;
	rig_open_memory(rig, memory_for(bytes), kind, sparse);
	err = hvo_pool_create(rig->box.m, order, &rig->pool);
	if (err)
		cli_die("no pool of huge pages could be created: %s", strerror(-err));
}

static void rig_close(struct rig *rig)
{
	box_close(&rig->box);
}

/* Set the pool to @nr pages; returns how long it took. */
static double resize(struct rig *rig, uint64_t nr)
{
	struct hvo_resize_result res = { .size = sizeof(res) };
	struct hvo_pool_stat stat = { .size = sizeof(stat) };
	double start = now_ns(), ns;
	int err = hvo_pool_resize(rig->pool, HVO_NODE_ANY, nr, &res);

	ns = now_ns() - start;
	if (!err)
		err = hvo_pool_stat(rig->pool, HVO_NODE_ANY, &stat);
	if (err)
		cli_die("the pool could not be resized: %s", strerror(-err));
	if (stat.total != nr)
		cli_die("a pool of %" PRIu64 " pages was wanted, it has %" PRIu64, nr, stat.total);
	return ns;
}

static void write_each(const struct held *frames, struct box *box)
{
	uint64_t i;

	for (i = 0; i < frames->nr; i++)
		*(volatile char *)hvo_window(box->m, frames->pfn[i], 1) = 0;
}

static uint64_t backed_bytes(struct rig *rig)
{
	struct hvo_linux_info info = { .size = sizeof(info) };

	return hvo_linux_info(rig->box.on_linux, &info) ? 0 : info.backed_bytes;
}

/*
 * Frames of a sparse arena cost a page fault at first; a machine's memory does
 * not. Touch those that descriptors may get, then go on until no new memory is
 * touched.
 */
static void warm_up(struct rig *rig)
{
	uint64_t frames_of_descriptors = (rig->pages << rig->order) / HVO_PAGES_PER_FRAME;
	struct held frames = { 0 };
	unsigned int i;
	uint64_t before;

	hvo_set_optimize(rig->box.m, true);
	(void)resize(rig, rig->pages);
	(void)held_take_frames(&frames, &rig->box, 2 * frames_of_descriptors);
	write_each(&frames, &rig->box);
	held_put(&frames, &rig->box);
	held_free(&frames);
	(void)hvo_collapse(rig->box.m, UINT64_MAX, NULL);
	(void)resize(rig, 0);
	for (i = 0; i < 6; i++) {
		before = backed_bytes(rig);
		hvo_set_optimize(rig->box.m, i & 1);
		(void)resize(rig, rig->pages);
		(void)resize(rig, 0);
		if (i && backed_bytes(rig) == before)
			break;
	}
}

/* ---- pools: the kernel's and ours --------------------------------------- */

static void measure_host(struct bench *b, enum bench_size size)
{
	const char *name = bench_size_name(size);
	unsigned int nr = b->host_pages[size], i, on;
	double grow[2], shrink[2];
	bool complete = true;

	if (!nr)
		return;
	/* Not counted: whoever comes first would pay for cold caches, here and below. */
	(void)host_measure(&b->host, nr, true, &grow[0], &shrink[0]);
	for (i = 0; i < 2; i++) {
		on = turn(b, i);
		complete = host_measure(&b->host, nr, on, &grow[on], &shrink[on]) == nr && complete;
	}
	if (!complete) {
		(void)snprintf(b->host_reason, sizeof(b->host_reason),
			       "the kernel did not find %u huge pages, or did not give them back",
			       nr);
		return;
	}
	for (on = 0; on < 2; on++) {
		note(b, grow[on] / nr, "ns", "kernel_%s_grow_%s", name, on ? "on" : "off");
		note(b, shrink[on] / nr, "ns", "kernel_%s_shrink_%s", name, on ? "on" : "off");
	}
	note(b, (grow[1] - grow[0]) / nr, "ns", "kernel_%s_grow_diff", name);
	note(b, (shrink[1] - shrink[0]) / nr, "ns", "kernel_%s_shrink_diff", name);
}

/* The time of a whole grow and shrink, [0] with the switch off and [1] with it on. */
static void cycle_off_and_on(struct bench *b, struct rig *rig, double grow[2], double shrink[2])
{
	unsigned int i, on;

	(void)resize(rig, rig->pages);
	(void)resize(rig, 0);
	for (i = 0; i < 2; i++) {
		on = turn(b, i);
		hvo_set_optimize(rig->box.m, on);
		grow[on] = resize(rig, rig->pages);
		shrink[on] = resize(rig, 0);
	}
}

static void measure_pool(struct bench *b, struct rig *rig, const char *mode, enum bench_size size)
{
	const char *name = bench_size_name(size);
	double nr = (double)rig->pages;
	double grow[2], shrink[2];
	unsigned int on;

	cycle_off_and_on(b, rig, grow, shrink);
	for (on = 0; on < 2; on++) {
		note(b, grow[on] / nr, "ns", "%s_%s_grow_%s", mode, name, on ? "on" : "off");
		note(b, shrink[on] / nr, "ns", "%s_%s_shrink_%s", mode, name, on ? "on" : "off");
	}
	note(b, (grow[1] - grow[0]) / nr, "ns", "%s_%s_grow_diff", mode, name);
	note(b, (shrink[1] - shrink[0]) / nr, "ns", "%s_%s_shrink_diff", mode, name);
}

/*
 * Folding and making present alone: Linux mode, so many pages at a time, the
 * switch on minus off.
 */
static void measure_batch(struct bench *b, struct rig *rig, const struct kind *kind,
			  unsigned int batch)
{
	unsigned int nr = bench_batches[BENCH_NR_BATCHES - 1], i, on, at;
	double grow[2] = { 0 }, shrink[2] = { 0 };

	(void)resize(rig, nr);
	(void)resize(rig, 0);
	for (i = 0; i < 2; i++) {
		on = turn(b, i);
		hvo_set_optimize(rig->box.m, on);
		for (at = 0; at < nr; at += batch)
			grow[on] += resize(rig, at + batch);
		for (at = nr; at; at -= batch)
			shrink[on] += resize(rig, at - batch);
	}
	note(b, (grow[1] - grow[0]) / nr, "ns", "%sfold_%u", prefix(kind), batch);
	note(b, (shrink[1] - shrink[0]) / nr, "ns", "%spresent_%u", prefix(kind), batch);
}

/* What this repetition measured before; NAN if it did not. */
static double noted(const struct bench *b, const char *name)
{
	const struct series *s = bench_find(b, name);

	return s ? s->value[b->repetition] : (double)NAN;
}

/* Read a descriptor in each tail page of each block; ns per block. */
static double use_descriptors(struct rig *rig, const struct held *huge)
{
	const struct hvo_memmap *mm = hvo_machine_memmap(rig->box.m);
	double start = now_ns(), ns;
	unsigned int k;
	uint64_t i;

	hvo_read_lock(rig->box.m);
	for (i = 0; i < huge->nr; i++)
		for (k = 1; k < HVO_PAGEBLOCK_MEMMAP; k++)
			(void)hvo_page_state(
				hvo_page_ro(mm, huge->pfn[i] + (hvo_pfn_t)k * HVO_PAGES_PER_FRAME));
	hvo_read_unlock(rig->box.m);
	ns = now_ns() - start;
	return huge->nr ? ns / (double)huge->nr : 0;
}

/*
 * A platform may map a descriptor page at its first use only. The kernel does not,
 * so here is what that adds: the first use of all 7 pages to making present, and
 * to folding that they are mapped.
 */
static void measure_first_use(struct bench *b, struct rig *rig)
{
	unsigned int nr = bench_batches[BENCH_NR_BATCHES - 1];
	struct held huge = { 0 };
	double use, fold, off;

	hvo_set_optimize(rig->box.m, true);
	(void)resize(rig, nr);
	(void)held_take_pool(&huge, rig->pool, rig->order);
	held_put(&huge, &rig->box);
	(void)resize(rig, 0);
	use = use_descriptors(rig, &huge);
	fold = resize(rig, nr);
	(void)resize(rig, 0);
	hvo_set_optimize(rig->box.m, false);
	off = resize(rig, nr);
	(void)resize(rig, 0);
	held_free(&huge);

	note(b, use, "ns", "first_use");
	note(b, (fold - off) / nr, "ns", "fold_512_used");
	note(b, noted(b, "present_512") + use, "ns", "present_512_used");
	note(b, noted(b, "linux_small_shrink_diff") + use, "ns", "linux_small_shrink_used");
}

static void measure_giga(struct bench *b, struct rig *rig)
{
	double grow[2], shrink[2], nr = (double)rig->pages;

	cycle_off_and_on(b, rig, grow, shrink);
	note(b, (grow[1] - grow[0]) / nr, "ns", "fold_1g");
	note(b, (shrink[1] - shrink[0]) / nr, "ns", "present_1g");
}

/* ---- cutting ------------------------------------------------------------ */

static int take_frame(struct rig *rig, hvo_pfn_t *ret)
{
	return hvo_alloc_pages(rig->box.m, HVO_GFP_USER | HVO_GFP_NOWARN, 0, HVO_NODE_ANY, ret);
}

static uint64_t nr_cuts(struct rig *rig)
{
	struct hvo_machine_stat stat = { .size = sizeof(stat) };

	hvo_machine_stat(rig->box.m, &stat);
	return stat.cuts;
}

/* Use up the frames of blocks that are cut already: the next one needs a cut. */
static void use_up_cut_blocks(struct rig *rig)
{
	uint64_t before = nr_cuts(rig);
	hvo_pfn_t pfn;

	(void)hvo_collapse(rig->box.m, UINT64_MAX, NULL);
	do {
		if (take_frame(rig, &pfn))
			cli_die("no frame could be allocated");
	} while (nr_cuts(rig) == before);
	if (hvo_put_page(rig->box.m, pfn))
		cli_die("a frame could not be given back");
	(void)hvo_collapse(rig->box.m, UINT64_MAX, NULL);
}

static void measure_cut(struct bench *b, struct rig *rig, const struct kind *kind)
{
	double cut = 0, back = 0, start, middle;
	uint64_t before = nr_cuts(rig);
	hvo_pfn_t pfn;
	unsigned int i;

	for (i = 0; i < NR_CUTS; i++) {
		start = now_ns();
		if (take_frame(rig, &pfn))
			cli_die("no frame could be allocated");
		middle = now_ns();
		if (hvo_put_page(rig->box.m, pfn) || hvo_collapse(rig->box.m, 1, NULL) != 1)
			cli_die("a cut block did not become whole");
		back += now_ns() - middle;
		cut += middle - start;
	}
	if (nr_cuts(rig) - before != NR_CUTS)
		cli_die("a frame was to be cut from a folded block, and was not");
	note(b, cut / NR_CUTS, "ns", "%scut", prefix(kind));
	note(b, back / NR_CUTS, "ns", "%sgive_back", prefix(kind));
}

/* What is left of a block that is cut when a first frame of it is taken: a block of each of these. */
static const unsigned int rest_orders[] = { 8, 7, 6, 5, 4, 2, 1, 0 };

#define NR_RESTS (sizeof(rest_orders) / sizeof(rest_orders[0]))

static void take_rest(struct rig *rig, hvo_pfn_t *rest)
{
	unsigned int i;

	for (i = 0; i < NR_RESTS; i++)
		if (hvo_alloc_pages(rig->box.m, HVO_GFP_USER | HVO_GFP_NOWARN, rest_orders[i],
				    HVO_NODE_ANY, &rest[i]))
			cli_die("the rest of a block could not be allocated");
}

static void give_all(struct rig *rig, const hvo_pfn_t *pfns, uint64_t nr)
{
	uint64_t i;

	for (i = 0; i < nr; i++)
		if (hvo_put_page(rig->box.m, pfns[i]))
			cli_die("a block could not be given back");
}

/*
 * The first frames of many folded blocks, and back together. So that the next frame is of another
 * block the rest of each is taken, at nobody's expense.
 */
static void measure_cut_batch(struct bench *b, struct rig *rig, const struct kind *kind)
{
	hvo_pfn_t *rest = cli_alloc((size_t)NR_CUTS * NR_RESTS, sizeof(*rest)), first[NR_CUTS];
	uint64_t before = nr_cuts(rig);
	double ns = 0, start;
	unsigned int i;
	int64_t done;

	for (i = 0; i < NR_CUTS; i++) {
		start = now_ns();
		if (take_frame(rig, &first[i]))
			cli_die("no frame could be allocated");
		ns += now_ns() - start;
		take_rest(rig, rest + i * NR_RESTS);
	}
	give_all(rig, rest, NR_CUTS * NR_RESTS);
	free(rest);
	start = now_ns();
	give_all(rig, first, NR_CUTS);
	done = hvo_collapse(rig->box.m, UINT64_MAX, NULL);
	ns += now_ns() - start;
	note(b, ns / NR_CUTS, "ns", "%scut_batch", prefix(kind));
	if (nr_cuts(rig) - before != NR_CUTS || done != NR_CUTS)
		cli_die("%u blocks were to be cut and made whole: %" PRIu64 " were cut, %" PRId64
			" became whole",
			NR_CUTS, nr_cuts(rig) - before, done);
}

/* ---- small frames all over the place ------------------------------------ */

/* Frames that somebody has, of which one after the other is given back for another one. */
static void measure_scattered(struct bench *b, const struct kind *kind, bool huge)
{
	uint64_t bytes = SCATTERED_FRAMES * 4 * HVO_FRAME_SIZE, i;
	const struct hvo_config cfg = { .size = sizeof(cfg),
					.memory_bytes = bytes,
					.layout = kind->layout,
					.clear = HVO_CLEAR_NEVER };
	const struct hvo_linux_options opt = { .size = sizeof(opt), .no_thp = !huge };
	struct held frames = { 0 };
	struct rig rig = { 0 };
	double start;

	box_must_open(&rig.box, &cfg, false, &opt, 0);
	(void)held_take_frames(&frames, &rig.box, 2 * SCATTERED_FRAMES);
	held_shuffle(&frames, &b->rng);
	give_all(&rig, frames.pfn + SCATTERED_FRAMES, frames.nr - SCATTERED_FRAMES);
	frames.nr = SCATTERED_FRAMES;
	start = now_ns();
	for (i = 0; i < frames.nr; i++)
		if (hvo_put_page(rig.box.m, frames.pfn[i]) || take_frame(&rig, &frames.pfn[i]))
			cli_die("a frame could not be changed for another one");
	note(b, (now_ns() - start) / (double)frames.nr, "ns", "%sscattered_%s", prefix(kind),
	     huge ? "huge" : "4k");
	held_put(&frames, &rig.box);
	held_free(&frames);
	rig_close(&rig);
}

/* ---- mappings and kernel memory ----------------------------------------- */

/* Lines of /proc/self/maps that lie in the descriptor array. */
static uint64_t count_mappings(struct rig *rig)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long long start, end, from, to;
	struct hvo_linux_info info = { .size = sizeof(info) };
	uint64_t nr = 0;
	char line[1024];

	if (!f || hvo_linux_info(rig->box.on_linux, &info))
		cli_die("the mappings of this process cannot be read");
	from = (unsigned long long)(uintptr_t)info.array;
	to = from + info.array_bytes;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%llx-%llx", &start, &end) == 2 && start < to && end > from)
			nr++;
	fclose(f);
	return nr;
}

static uint64_t page_table_bytes(void)
{
	uint64_t kib;

	if (!root_own_number("proc/self/status", "VmPTE", &kib))
		cli_die("/proc/self/status cannot be read");
	return kib * 1024;
}

/*
 * Take half of the pool's pages, whichever, out of it, cut all that is free into
 * frames, and put everything together again. @ret_peak: mappings at the worst moment.
 */
static void churn_once(struct bench *b, struct rig *rig, struct held *huge, uint64_t *ret_peak)
{
	struct held half = { 0 }, frames = { 0 };
	struct hvo_resize_result res = { .size = sizeof(res) };
	uint64_t nr;

	held_shuffle(huge, &b->rng);
	held_split(huge, huge->nr / 2, &half);
	held_put(&half, &rig->box);
	if (hvo_pool_resize(rig->pool, HVO_NODE_ANY, huge->nr, &res))
		cli_die("the pool could not be resized");
	(void)held_take_frames(&frames, &rig->box, UINT64_MAX);
	nr = count_mappings(rig);
	if (nr > *ret_peak)
		*ret_peak = nr;
	held_shuffle(&frames, &b->rng);
	held_put(&frames, &rig->box);
	(void)hvo_collapse(rig->box.m, UINT64_MAX, NULL);
	/* Linux mode may find fewer: descriptors that it restored lie about. */
	if (hvo_pool_resize(rig->pool, HVO_NODE_ANY, rig->pages, &res))
		cli_die("the pool could not be resized");
	(void)held_take_pool(huge, rig->pool, rig->order);
	held_free(&half);
	held_free(&frames);
}

/*
 * The page tables of the direct map exist wherever frames are used, with or
 * without descriptors. Make all of them exist; returns what they take.
 */
static uint64_t touch_direct_map(struct rig *rig)
{
	uint64_t nr = hvo_machine_memmap(rig->box.m)->nr_frames, before = page_table_bytes(), now;
	hvo_pfn_t pfn;

	for (pfn = 0; pfn < nr; pfn += HVO_PAGEBLOCK_FRAMES)
		(void)*(volatile char *)hvo_window(rig->box.m, pfn, 1);
	now = page_table_bytes();
	return now > before ? now - before : 0;
}

/* Of the descriptor array, per huge page. */
struct footprint {
	double mappings, kernel_bytes;
};

/* @tables_else: page tables that are not the array's */
static struct footprint footprint(struct rig *rig, uint64_t pages, uint64_t tables_else)
{
	uint64_t nr = count_mappings(rig), tables = page_table_bytes();
	struct footprint ret;

	tables = tables > tables_else ? tables - tables_else : 0;
	ret.mappings = (double)nr / (double)pages;
	ret.kernel_bytes = (double)(tables + nr * VMA_BYTES) / (double)pages;
	return ret;
}

static void measure_mappings(struct bench *b, const struct kind *kind, struct footprint *ret_fresh,
			     struct footprint *ret_churned)
{
	const char *name = kind->name;
	uint64_t tables_else = page_table_bytes(), peak = 0;
	struct held huge = { 0 };
	struct rig rig;
	unsigned int i;

	rig_open(&rig, b->pages[BENCH_SMALL], HVO_PAGEBLOCK_ORDER, kind, true);
	(void)resize(&rig, rig.pages);
	tables_else += touch_direct_map(&rig);
	(void)held_take_pool(&huge, rig.pool, rig.order);
	*ret_fresh = footprint(&rig, huge.nr, tables_else);
	for (i = 0; i < b->churn_rounds; i++)
		churn_once(b, &rig, &huge, &peak);
	*ret_churned = footprint(&rig, huge.nr, tables_else);
	note(b, ret_fresh->mappings, "", "mappings_fresh_%s", name);
	note(b, ret_fresh->kernel_bytes, "bytes", "kernel_memory_fresh_%s", name);
	note(b, ret_churned->mappings, "", "mappings_churned_%s", name);
	note(b, ret_churned->kernel_bytes, "bytes", "kernel_memory_churned_%s", name);
	note(b, (double)peak / (double)rig.pages, "", "mappings_peak_%s", name);
	note(b, (double)huge.nr, "pages", "pages_after_churn_%s", name);
	held_free(&huge);
	rig_close(&rig);
}

static double worse(double a, double b)
{
	return a > b ? a : b;
}

/* The headline is the worse of the two modes, where descriptors are mapped. */
static void measure_both_mappings(struct bench *b)
{
	struct footprint fresh[2], churned[2];

	measure_mappings(b, &kinds[ONDEMAND_VIRTUAL], &fresh[0], &churned[0]);
	measure_mappings(b, &kinds[LINUX_VIRTUAL], &fresh[1], &churned[1]);
	note(b, worse(fresh[0].mappings, fresh[1].mappings), "", "mappings_fresh");
	note(b, worse(churned[0].mappings, churned[1].mappings), "", "mappings_churned");
}

/* ---- bringing a machine up, and the limit of mappings ------------------- */

/* Memory of a machine's own and frames that hold descriptors, what is there of them; bytes a GiB. */
static double metadata_per_gib(struct rig *rig, unsigned int tib)
{
	struct hvo_linux_info info = { .size = sizeof(info) };

	if (hvo_linux_info(rig->box.on_linux, &info))
		cli_die("the system does not say what a machine takes");
	return (double)(info.metadata_backed + info.backed_bytes) / (1024.0 * tib);
}

/* Up, then nine tenths in pages of 2 MiB for the first time, and back. */
static void measure_bring_up(struct bench *b, unsigned int tib)
{
	double start = now_ns();
	struct rig rig;
	int err;

	memset(&rig, 0, sizeof(rig));
	/* A section less: 16 TiB would be one frame more than there are numbers for. */
	rig_open_memory(&rig, tib * TIB - HVO_SECTION_SIZE, &kinds[ONDEMAND_TABLE], true);
	note(b, (now_ns() - start) / tib, "ns", "bring_up_%utib", tib);
	note(b, metadata_per_gib(&rig, tib), "bytes", "bring_up_memory_%utib", tib);
	err = hvo_pool_create(rig.box.m, HVO_PAGEBLOCK_ORDER, &rig.pool);
	if (err)
		cli_die("no pool of huge pages could be created: %s", strerror(-err));
	rig.pages = tib * (TIB / HVO_PAGEBLOCK_SIZE) / 10 * 9;
	note(b, resize(&rig, rig.pages) / (double)rig.pages, "ns", "first_grow_%utib", tib);
	note(b, metadata_per_gib(&rig, tib), "bytes", "grown_memory_%utib", tib);
	note(b, resize(&rig, 0) / (double)rig.pages, "ns", "first_shrink_%utib", tib);
	rig_close(&rig);
}

static void measure_many(struct bench *b)
{
	struct bench_many *many = &b->many;
	struct hvo_pool_stat stat = { .size = sizeof(stat) };
	struct rig rig;

	many->pages = b->opt->quick ? 10000 : 200000;
	(void)root_own_number("proc/sys/vm/max_map_count", NULL, &many->max_map_count);
	rig_open(&rig, many->pages, HVO_PAGEBLOCK_ORDER, &kinds[LINUX_VIRTUAL], true);
	many->ns_per_page = resize(&rig, many->pages) / (double)many->pages;
	if (hvo_pool_stat(rig.pool, HVO_NODE_ANY, &stat))
		cli_die("the pool has no counters");
	many->folded = stat.optimized;
	many->mappings = count_mappings(&rig);
	rig_close(&rig);
}

/* ---- the floor ---------------------------------------------------------- */

static void measure_faults(struct bench *b)
{
	size_t len = NR_FAULTS * HVO_FRAME_SIZE, i;
	char *mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	double start;

	if (mem == MAP_FAILED)
		cli_die("no memory for the page faults");
	(void)madvise(mem, len, MADV_NOHUGEPAGE);
	start = now_ns();
	for (i = 0; i < len; i += HVO_FRAME_SIZE)
		*(volatile char *)(mem + i) = 1;
	note(b, (now_ns() - start) / NR_FAULTS, "ns", "page_fault");
	munmap(mem, len);
}

static void measure_syscall(struct bench *b)
{
	double start = now_ns();
	unsigned int i;

	for (i = 0; i < NR_SYSCALLS; i++)
		(void)syscall(SYS_getppid);
	note(b, (now_ns() - start) / NR_SYSCALLS, "ns", "syscall");
}

/* Clear all of the floor's memory, so many frames at a time; ns per frame. */
static double clear_in_runs(struct hvo_linux *host, uint64_t frames)
{
	uint64_t nr = FLOOR_BYTES / HVO_FRAME_SIZE / frames, i;
	double start = now_ns();

	for (i = 0; i < nr; i++)
		hvo_linux_ops.zero(host, i * frames, frames);
	return (now_ns() - start) / (double)(nr * frames);
}

static double memset_each(struct bench *b, struct hvo_linux *host)
{
	uint64_t nr = FLOOR_BYTES / TAIL_BYTES, i;
	double start = now_ns();

	for (i = 0; i < nr; i++) {
		void *mem =
			hvo_linux_ops.window(host, i * HVO_PAGEBLOCK_TAILS, HVO_PAGEBLOCK_TAILS);

		memset(mem, (int)(b->repetition & 1), TAIL_BYTES);
		/* Nobody reads it, but it must be written. */
		__asm__ volatile("" : : "r"(mem) : "memory");
	}
	return (now_ns() - start) / (double)nr;
}

/*
 * Writing the 28 KiB of tail descriptors of each of many blocks, cold, with what
 * is fastest here: the best that making present could do if mapping cost nothing.
 * In the runs of a large batch it costs less still; that floor stands beside it.
 */
static void measure_floor(struct bench *b, struct hvo_linux *host)
{
	unsigned int batch = bench_batches[BENCH_NR_BATCHES - 1];
	double plain = memset_each(b, host);
	double single = clear_in_runs(host, HVO_PAGEBLOCK_TAILS) * HVO_PAGEBLOCK_TAILS;
	double run =
		clear_in_runs(host, (uint64_t)batch * HVO_PAGEBLOCK_TAILS) * HVO_PAGEBLOCK_TAILS;

	note(b, plain, "ns", "write_28k_memset");
	note(b, single, "ns", "write_28k_clear");
	note(b, run, "ns", "write_28k_clear_runs");
	note(b, plain < single ? plain : single, "ns", "floor");
	note(b, clear_in_runs(host, HVO_PAGEBLOCK_MEMMAP) * HVO_PAGEBLOCK_MEMMAP, "ns",
	     "clear_32k");
}

/* ---- all of it ---------------------------------------------------------- */

struct rigs {
	struct rig pool[NR_KINDS][BENCH_NR_SIZES];
	struct rig giga;
	struct rig cut[2]; /* virtual, table */
	struct hvo_linux *floor;
};

static void open_rigs(struct bench *b, struct rigs *rigs)
{
	const struct hvo_config floor_cfg = { .size = sizeof(floor_cfg),
					      .memory_bytes = FLOOR_BYTES };
	enum bench_size s;
	bool room = host_memory_available() > POPULATE_ROOM;
	unsigned int k;
	int err;

	for (s = BENCH_SMALL; s <= BENCH_LARGE; s++)
		for (k = 0; k < NR_KINDS; k++) {
			bool sparse = kinds[k].mode != HVO_LINUX || s == BENCH_LARGE || !room;

			rig_open(&rigs->pool[k][s], b->pages[s], HVO_PAGEBLOCK_ORDER, &kinds[k],
				 sparse);
			warm_up(&rigs->pool[k][s]);
		}
	rig_open(&rigs->giga, b->giga_pages, HVO_GIGA_ORDER, &kinds[LINUX_VIRTUAL], true);
	warm_up(&rigs->giga);
	for (k = 0; k < 2; k++) {
		rig_open(&rigs->cut[k], 128, HVO_PAGEBLOCK_ORDER,
			 &kinds[k ? ONDEMAND_TABLE : ONDEMAND_VIRTUAL], false);
		use_up_cut_blocks(&rigs->cut[k]);
	}
	err = hvo_linux_open(&floor_cfg, NULL, &rigs->floor);
	if (err)
		cli_die("no memory for the floor: %s", strerror(-err));
}

static void close_rigs(struct rigs *rigs)
{
	enum bench_size s;
	unsigned int k;

	for (s = BENCH_SMALL; s <= BENCH_LARGE; s++)
		for (k = 0; k < NR_KINDS; k++)
			rig_close(&rigs->pool[k][s]);
	rig_close(&rigs->giga);
	for (k = 0; k < 2; k++)
		rig_close(&rigs->cut[k]);
	hvo_linux_close(rigs->floor);
}

static void measure_all(struct bench *b, struct rigs *rigs)
{
	enum bench_size s;
	unsigned int i;

	for (s = BENCH_SMALL; s <= BENCH_LARGE; s++) {
		measure_host(b, s);
		for (i = 0; i < NR_KINDS; i++)
			measure_pool(b, &rigs->pool[i][s], kinds[i].name, s);
	}
	measure_floor(b, rigs->floor);
	for (i = 0; i < BENCH_NR_BATCHES; i++) {
		measure_batch(b, &rigs->pool[LINUX_VIRTUAL][BENCH_SMALL], &kinds[LINUX_VIRTUAL],
			      bench_batches[i]);
		measure_batch(b, &rigs->pool[LINUX_TABLE][BENCH_SMALL], &kinds[LINUX_TABLE],
			      bench_batches[i]);
	}
	measure_first_use(b, &rigs->pool[LINUX_VIRTUAL][BENCH_SMALL]);
	measure_giga(b, &rigs->giga);
	for (i = 0; i < 2; i++) {
		const struct kind *kind = &kinds[i ? ONDEMAND_TABLE : ONDEMAND_VIRTUAL];

		measure_cut(b, &rigs->cut[i], kind);
		measure_cut_batch(b, &rigs->cut[i], kind);
		measure_scattered(b, kind, false);
		measure_scattered(b, kind, true);
	}
	measure_syscall(b);
	measure_faults(b);
	measure_bring_up(b, 1);
	measure_bring_up(b, b->tib_large);
	measure_both_mappings(b);
}

static void set_sizes(struct bench *b)
{
	bool quick = b->opt->quick;

	b->pages[BENCH_SMALL] = quick ? 512 : 1024;
	b->pages[BENCH_LARGE] = quick ? 1024 : 8192;
	b->host_pages[BENCH_SMALL] = quick ? 256 : 1024;
	b->host_pages[BENCH_LARGE] = quick ? 512 : 2048;
	b->giga_pages = quick ? 1 : 4;
	b->churn_rounds = quick ? 2 : 10;
	b->tib_large = quick ? 2 : 16;
}

/* Where memory is short, the large size of the kernel's pool is left out, or all of it. */
static void begin_host(struct bench *b)
{
	bool ok = true;

	b->host_put_back = true;
	if (b->opt->no_host) {
		(void)snprintf(b->host_reason, sizeof(b->host_reason), "not wanted (--no-host)");
		ok = false;
	}
	if (ok && !host_probe(b->host_pages[BENCH_LARGE], OWN_BYTES, b->host_reason)) {
		b->host_pages[BENCH_LARGE] = 0;
		ok = host_probe(b->host_pages[BENCH_SMALL], OWN_BYTES, b->host_reason);
	}
	if (!ok || !host_begin(&b->host, b->host_reason))
		b->host_pages[BENCH_SMALL] = b->host_pages[BENCH_LARGE] = 0;
}

static void end_host(struct bench *b)
{
	if (!b->host_pages[BENCH_SMALL])
		return;
	b->host_put_back = host_end(&b->host);
}

static void progress(const struct bench *b)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\rrepetition %u of %" PRIu32 " ...", b->repetition + 1,
			b->opt->repeat);
}

static void run(struct bench *b)
{
	struct rigs *rigs = cli_alloc(1, sizeof(*rigs));
	double start = now_ns();

	begin_host(b);
	open_rigs(b, rigs);
	for (b->repetition = 0; b->repetition < b->opt->repeat; b->repetition++) {
		progress(b);
		measure_all(b, rigs);
	}
	close_rigs(rigs);
	free(rigs);
	measure_many(b);
	end_host(b);
	if (isatty(STDERR_FILENO))
		fputs("\r                                \r", stderr);
	b->seconds = (now_ns() - start) / 1e9;
}

int bench_remap(const struct bench_options *opt)
{
	struct bench *b = cli_alloc(1, sizeof(*b));
	int status;

	b->opt = opt;
	b->rng = opt->seed;
	set_sizes(b);
	run(b);
	if (opt->json) {
		status = cli_print_json(bench_json(b));
	} else {
		bench_print(b);
		status = cli_flush();
	}
	if (!b->host_put_back)
		status = CLI_FAILED;
	free(b);
	return status;
}
