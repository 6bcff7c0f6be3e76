// SPDX-License-Identifier: MIT
/*
 * The tour: build a machine in memory, fill it, leave no free frame, then free its
 * pool in on-demand mode and under each policy of Linux mode, and verify every byte
 * that must survive. Each part has a fresh machine of its own.
 */
#include "tour.h"

#include "cli/commands.h"
#include "common/args.h"
#include "common/progress.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Pages of the kernel's own pool that are grown and shrunk. */
#define HOST_PAGES 512u

/* One page in so many stays in use when the pool is freed. */
#define SHARE_IN_USE 4u

/* What the command itself takes besides the machine's memory. */
#define OWN_MEMORY (UINT64_C(128) << 20)

/* The policy that waits without end is cut short to this. */
#define BOUNDED_RETRIES 2u
#define BOUNDED_DELAY_MS 1u

/* ---- machines ----------------------------------------------------------- */

static void open_machine(const struct tour *t, struct box *box, enum hvo_mode mode, bool optimize)
{
	const struct hvo_config cfg = {
		.size = sizeof(cfg),
		.memory_bytes = t->opt->memory_bytes,
		.nr_nodes = t->opt->nr_nodes,
		.mode = mode,
		/* Every frame is filled here before anybody reads it. */
		.clear = HVO_CLEAR_NEVER,
		.optimize = optimize,
	};

	box_must_open(box, &cfg, t->opt->sim, NULL, t->opt->seed);
}

static struct hvo_pool *create_pool(struct box *box)
{
	struct hvo_pool *pool;
	int err = hvo_pool_create(box->m, HVO_PAGEBLOCK_ORDER, &pool);

	if (err)
		cli_die("no pool of huge pages could be created: %s", strerror(-err));
	return pool;
}

/*
 * As many huge pages as there are. Folding frees frames, and those may make up
 * another huge page: grow until nothing more comes. Returns the time it took.
 */
double tour_grow(struct box *box, struct hvo_pool *pool, uint64_t *ret_pages)
{
	uint64_t blocks = hvo_machine_memmap(box->m)->nr_frames / HVO_PAGEBLOCK_FRAMES;
	struct hvo_resize_result res = { .size = sizeof(res) };
	double start = box_now_ns(box);

	*ret_pages = 0;
	do {
		if (hvo_pool_resize(pool, HVO_NODE_ANY, blocks, &res))
			cli_die("the pool of huge pages could not be resized");
		*ret_pages += res.done;
	} while (res.done);
	return box_now_ns(box) - start;
}

static void note_finding(void *arg, const struct hvo_finding *finding)
{
	struct tour *t = arg;
	struct tour_finding *note;

	if (t->audit_findings < TOUR_MAX_FINDINGS) {
		note = &t->finding[t->audit_findings];
		(void)snprintf(note->where, sizeof(note->where), "%s", t->now);
		(void)snprintf(note->rule, sizeof(note->rule), "%s", finding->rule);
		(void)snprintf(note->what, sizeof(note->what), "%s", finding->what);
		note->pfn = finding->where;
		note->expected = finding->expected;
		note->found = finding->found;
	}
	t->audit_findings++;
}

void tour_audit(struct tour *t, struct box *box, const char *mode, const char *policy)
{
	uint64_t before = t->audit_findings;
	int64_t nr;

	(void)snprintf(t->now, sizeof(t->now), "%s %s", mode, policy);
	nr = hvo_machine_audit(box->m, note_finding, t);
	/* The count is what the audit says, should it report fewer than it found. */
	if (nr < 0)
		cli_die("the machine is gone");
	t->audit_findings = before + (uint64_t)nr;
	t->audits++;
}

static uint64_t check(struct tour *t, const struct held *held, struct box *box)
{
	uint64_t errors = held_check(held, box);

	t->checksum_errors += errors;
	return errors;
}

/* ---- 1. the machine ----------------------------------------------------- */

static void look_at_machine(struct tour *t, struct box *box)
{
	struct tour_machine *ret = &t->machine;
	struct hvo_linux_info info = { .size = sizeof(info) };

	ret->frames = hvo_machine_memmap(box->m)->nr_frames;
	ret->array_bytes = hvo_memmap_pages(hvo_machine_config(box->m)) * HVO_FRAME_SIZE;
	ret->machine_bytes = hvo_machine_size(hvo_machine_config(box->m));
	if (!box->on_linux || hvo_linux_info(box->on_linux, &info))
		return;
	ret->array_bytes = info.array_bytes;
	ret->backed_bytes = info.backed_bytes;
	ret->thp_bytes = info.thp_bytes;
	ret->huge_bytes = info.huge_bytes;
	ret->thp_asked = info.thp_asked;
	ret->nr_mappings = info.nr_mappings;
	ret->max_mappings = info.max_mappings;
	ret->host_nodes = info.numa_nodes;
}

/* ---- 3. what backs folded tails ----------------------------------------- */

/* The frame behind a page of the array, or 0 if the kernel does not say. */
static uint64_t physical_frame(int pagemap, const struct hvo_linux_info *info, uint64_t page)
{
	const volatile char *addr = (const volatile char *)info->array + page * HVO_FRAME_SIZE;
	uint64_t entry;

	(void)*addr; /* what was never read need not be mapped yet */
	if (pread(pagemap, &entry, sizeof(entry),
		  (off_t)((uintptr_t)addr / HVO_FRAME_SIZE * sizeof(entry))) != sizeof(entry))
		return 0;
	return entry >> 63 ? entry & ((UINT64_C(1) << 55) - 1) : 0;
}

/* Reading memory that nobody wrote to gives one frame for all, as Linux does unless it is told not to. */
static bool has_zero_page(int pagemap)
{
	const size_t len = 2 * HVO_FRAME_SIZE;
	struct hvo_linux_info info = { .size = sizeof(info) };
	void *pages = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool ret;

	if (pages == MAP_FAILED)
		return true;
	(void)madvise(pages, len, MADV_NOHUGEPAGE);
	info.array = pages;
	ret = physical_frame(pagemap, &info, 0) == physical_frame(pagemap, &info, 1);
	(void)munmap(pages, len);
	return ret;
}

static bool look_at_block(struct tour_tails *tails, const char *mode, int pagemap,
			  const struct hvo_linux_info *info, uint64_t block)
{
	struct tour_tail *ret = &tails->block[tails->nr];
	const struct tour_tail *first = ret;
	unsigned int i;

	(void)snprintf(ret->mode, sizeof(ret->mode), "%s", mode);
	ret->block = block;
	/* Two machines have two shared pages: compare within one. */
	for (i = 0; i < tails->nr; i++)
		if (!strcmp(tails->block[i].mode, mode)) {
			first = &tails->block[i];
			break;
		}
	ret->head_frame = physical_frame(pagemap, info, hvo_pageblock_head_page(block));
	for (i = 0; i < HVO_PAGEBLOCK_TAILS; i++) {
		ret->tail_frames[i] =
			physical_frame(pagemap, info, hvo_pageblock_tail_page(block) + i);
		if (!ret->tail_frames[i] || !ret->head_frame)
			return false;
		if (ret->tail_frames[i] != first->tail_frames[0])
			tails->tails_shared = false;
		if (ret->tail_frames[i] == ret->head_frame)
			tails->heads_own = false;
	}
	if (ret != first && ret->head_frame == first->head_frame &&
	    hvo_pageblock_head_page(block) != hvo_pageblock_head_page(first->block))
		tails->heads_own = false;
	tails->nr++;
	return true;
}

static void look_at_tails(struct tour *t, struct box *box, const char *mode,
			  const struct held *huge)
{
	const struct hvo_memmap *mm = hvo_machine_memmap(box->m);
	struct tour_tails *tails = &t->tails;
	struct hvo_linux_info info = { .size = sizeof(info) };
	unsigned int looked = 0;
	int pagemap;
	uint64_t i;

	if (!box->on_linux) {
		(void)snprintf(tails->reason, sizeof(tails->reason),
			       "simulated frames have no physical frames behind them");
		return;
	}
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (geteuid() != 0 || pagemap < 0 || hvo_linux_info(box->on_linux, &info)) {
		(void)snprintf(tails->reason, sizeof(tails->reason),
			       "the kernel tells physical frame numbers to root only");
		if (pagemap >= 0)
			close(pagemap);
		return;
	}
	if (!has_zero_page(pagemap)) {
		(void)snprintf(tails->reason, sizeof(tails->reason),
			       "this kernel has no zero page for all: what is read gets a frame");
		close(pagemap);
		return;
	}
	for (i = 0; i < huge->nr && looked < 2 && tails->nr < TOUR_MAX_TAILS; i++) {
		uint64_t block = huge->pfn[i] >> HVO_PAGEBLOCK_ORDER;

		if (!(hvo_fold_byte(mm, block) & HVO_FOLDED))
			continue;
		if (!look_at_block(tails, mode, pagemap, &info, block)) {
			(void)snprintf(tails->reason, sizeof(tails->reason),
				       "the kernel shows no physical frame numbers here");
			break;
		}
		looked++;
	}
	close(pagemap);
}

/* ---- 2. what a program can fill ----------------------------------------- */

static void fill_machine(struct tour *t, const char *name, enum hvo_mode mode, bool optimize)
{
	struct tour_fill *ret = &t->fill[t->nr_fills];
	struct held huge = { 0 }, frames = { 0 };
	struct hvo_machine_stat stat = { .size = sizeof(stat) };
	struct hvo_linux_info info = { .size = sizeof(info) };
	struct hvo_pool *pool;
	struct box box;

	(void)snprintf(ret->mode, sizeof(ret->mode), "%s", name);
	open_machine(t, &box, mode, optimize);
	if (!t->nr_fills) {
		look_at_machine(t, &box);
		tour_print_machine(t);
	}
	pool = create_pool(&box);
	(void)tour_grow(&box, pool, &ret->huge_pages);
	ret->huge_pages = held_take_pool(&huge, pool, HVO_PAGEBLOCK_ORDER);
	ret->small_frames = held_take_frames(&frames, &box, UINT64_MAX);
	held_fill(&huge, &box);
	held_fill(&frames, &box);

	hvo_machine_stat(box.m, &stat);
	ret->frames_for_descriptors = stat.memmap_boot + stat.memmap;
	if (box.on_linux && !hvo_linux_info(box.on_linux, &info))
		ret->metadata_backed = info.metadata_backed;
	ret->bytes_filled = (huge.nr * HVO_PAGEBLOCK_FRAMES + frames.nr) * HVO_FRAME_SIZE;
	ret->checksum_errors = check(t, &huge, &box) + check(t, &frames, &box);
	if (optimize || mode == HVO_ON_DEMAND)
		look_at_tails(t, &box, name, &huge);
	tour_audit(t, &box, "filled,", name);

	held_free(&huge);
	held_free(&frames);
	box_close(&box);
	t->nr_fills++;
}

/* ---- 4. freeing with no frame left -------------------------------------- */

/* Freed huge pages whose block is one free block, or part of a larger one, again. */
static uint64_t count_whole(struct box *box, const struct held *freed)
{
	const struct hvo_memmap *mm = hvo_machine_memmap(box->m);
	uint64_t whole = 0, i;

	hvo_read_lock(box->m);
	for (i = 0; i < freed->nr; i++) {
		hvo_pfn_t pfn = freed->pfn[i];

		if (!(hvo_fold_byte(mm, pfn >> HVO_PAGEBLOCK_ORDER) & HVO_FOLD_ORDER))
			continue;
		whole += hvo_page_state(hvo_page_ro(mm, hvo_page_head(mm, pfn))) == HVO_PAGE_FREE;
	}
	hvo_read_unlock(box->m);
	return whole;
}

/**
 * struct rig - a machine whose pool is to be freed
 * @huge, @frames: what stays allocated
 * @to_free: the huge pages that are free in the pool
 */
struct rig {
	struct box box;
	struct hvo_pool *pool;
	struct held huge, frames, to_free;
};

/*
 * Leave nothing: every huge page is taken and filled but for those to be freed,
 * and every other frame is taken and filled.
 */
static void exhaust(struct tour *t, struct rig *rig, struct tour_run *ret)
{
	struct box *box = &rig->box;
	struct hvo_machine_stat stat = { .size = sizeof(stat) };
	uint64_t rng = t->opt->seed, pages;
	double ns = tour_grow(box, rig->pool, &pages);

	ret->grow_ns_per_page = pages ? ns / (double)pages : 0;
	(void)held_take_pool(&rig->huge, rig->pool, HVO_PAGEBLOCK_ORDER);
	/* Which ones stay is left to chance, as in a machine that has run for a while. */
	held_shuffle(&rig->huge, &rng);
	held_split(&rig->huge, rig->huge.nr - rig->huge.nr / SHARE_IN_USE, &rig->to_free);
	(void)held_take_frames(&rig->frames, box, UINT64_MAX);
	held_fill(&rig->huge, box);
	held_fill(&rig->frames, box);
	/* Back to the pool's free list: to the machine they are not free memory yet. */
	held_put(&rig->to_free, box);
	hvo_machine_stat(box->m, &stat);
	ret->free_before = stat.free_frames;
}

static void set_policy(struct hvo_pool *pool, const struct hvo_policy *policy, bool *ret_bounded)
{
	struct hvo_policy copy = *policy;
	unsigned int i;

	for (i = 0; i < copy.nr_steps; i++) {
		if (copy.steps[i].retries != UINT32_MAX)
			continue;
		copy.steps[i].retries = BOUNDED_RETRIES;
		copy.steps[i].delay_ms = BOUNDED_DELAY_MS;
		*ret_bounded = true;
	}
	if (hvo_pool_set_policy(pool, &copy))
		cli_die("the policy %s was not accepted", copy.name);
}

/* Cut all that was freed into frames of 4 KiB, fill them, give them back in any order. */
static void cut_and_give_back(struct tour *t, struct box *box, struct tour_run *ret)
{
	uint64_t rng = t->opt->seed + 1;
	struct held cut = { 0 };

	ret->frames_cut = held_take_frames(&cut, box, UINT64_MAX);
	held_fill(&cut, box);
	ret->checksum_errors += check(t, &cut, box);
	tour_audit(t, box, ret->mode, ret->policy);
	held_shuffle(&cut, &rng);
	held_put(&cut, box);
	held_free(&cut);
	(void)hvo_collapse(box->m, UINT64_MAX, NULL);
}

/* The step that all this is about. */
static void shrink(struct rig *rig, struct tour_run *ret)
{
	double start = box_now_ns(&rig->box);
	struct hvo_resize_result res = { .size = sizeof(res) };

	if (hvo_pool_resize(rig->pool, HVO_NODE_ANY, rig->huge.nr, &res))
		cli_die("the pool of huge pages could not be resized");
	ret->ns_per_page = res.asked ? (box_now_ns(&rig->box) - start) / (double)res.asked : 0;
	ret->asked = res.asked;
	ret->freed = res.done;
	ret->refused = res.refused;
	ret->carved = res.carved;
}

/* All memory back, and the time for what was put off: what is not whole now never will be. */
static void give_all_back(struct rig *rig, struct tour_run *ret)
{
	struct hvo_resize_result res = { .size = sizeof(res) };
	struct hvo_machine_stat stat = { .size = sizeof(stat) };

	held_put(&rig->frames, &rig->box);
	held_put(&rig->huge, &rig->box);
	if (hvo_pool_resize(rig->pool, HVO_NODE_ANY, 0, &res))
		cli_die("the pool of huge pages could not be resized");
	(void)hvo_work(rig->box.m, UINT64_MAX, NULL);
	hvo_machine_stat(rig->box.m, &stat);
	ret->still_spoilt = stat.carved_blocks;
}

/* @policy: of Linux mode; NULL for on-demand mode. */
static void free_pool(struct tour *t, const struct hvo_policy *policy)
{
	struct tour_run *ret = &t->run[t->nr_runs];
	struct rig rig = { 0 };

	(void)snprintf(ret->mode, sizeof(ret->mode), "%s", policy ? "linux" : "on-demand");
	(void)snprintf(ret->policy, sizeof(ret->policy), "%s", policy ? policy->name : "none");
	open_machine(t, &rig.box, policy ? HVO_LINUX : HVO_ON_DEMAND, policy != NULL);
	rig.pool = create_pool(&rig.box);
	/* Nothing is ever carved in on-demand mode. */
	ret->heals = !policy || policy->flags & HVO_POLICY_HEAL;
	if (policy)
		set_policy(rig.pool, policy, &ret->bounded);
	exhaust(t, &rig, ret);
	shrink(&rig, ret);
	tour_audit(t, &rig.box, ret->mode, ret->policy);

	cut_and_give_back(t, &rig.box, ret);
	ret->whole_again = count_whole(&rig.box, &rig.to_free);
	ret->checksum_errors += check(t, &rig.huge, &rig.box) + check(t, &rig.frames, &rig.box);
	tour_audit(t, &rig.box, ret->mode, ret->policy);

	give_all_back(&rig, ret);
	tour_audit(t, &rig.box, ret->mode, ret->policy);

	held_free(&rig.huge);
	held_free(&rig.frames);
	held_free(&rig.to_free);
	box_close(&rig.box);
	t->nr_runs++;
}

/* ---- 5. the kernel's own pool ------------------------------------------- */

/* Before any machine is open: the guardian of the settings is a fork. */
static void measure_host(struct tour *t)
{
	double grow[2][TOUR_HOST_ROUNDS], shrink[2][TOUR_HOST_ROUNDS];
	struct tour_host *ret = &t->host;
	unsigned int round, on;
	struct host host;

	ret->put_back = true;
	ret->pages = HOST_PAGES;
	if (t->opt->no_host || t->opt->sim) {
		(void)snprintf(ret->reason, sizeof(ret->reason), "%s",
			       t->opt->sim ? "this is a simulation" : "not wanted (--no-host)");
		return;
	}
	if (!host_probe(HOST_PAGES, 0, ret->reason) || !host_begin(&host, ret->reason))
		return;
	ret->got[0] = ret->got[1] = HOST_PAGES;
	for (round = 0; round < TOUR_HOST_ROUNDS; round++)
		for (on = 0; on < 2; on++) {
			uint64_t got = host_measure(&host, HOST_PAGES, on, &grow[on][round],
						    &shrink[on][round]);

			if (got < ret->got[on])
				ret->got[on] = got;
		}
	for (on = 0; on < 2; on++) {
		ret->grow_ns_per_page[on] = cli_median(grow[on], TOUR_HOST_ROUNDS) / HOST_PAGES;
		ret->ns_per_page[on] = cli_median(shrink[on], TOUR_HOST_ROUNDS) / HOST_PAGES;
	}
	ret->measured = true;
	ret->put_back = host_end(&host);
}

/* ---- all of it ---------------------------------------------------------- */

static void check_room(const struct tour_options *opt)
{
	uint64_t available = host_memory_available();

	if (opt->memory_bytes + opt->memory_bytes / 32 + OWN_MEMORY > available)
		cli_die("a machine of %" PRIu64 " MiB does not fit: this host has %" PRIu64
			" MiB of memory to spare",
			opt->memory_bytes >> 20, available >> 20);
}

static void judge(struct tour *t)
{
	const struct tour_run *ondemand = &t->run[0];
	uint64_t not_healed = 0;
	unsigned int i;

	for (i = 0; i < t->nr_runs; i++)
		if (t->run[i].heals)
			not_healed += t->run[i].still_spoilt;
	t->ok = !t->checksum_errors && !t->offline[0].error && t->offline[0].back &&
		t->offline[1].back && !t->audit_findings && t->host.put_back &&
		ondemand->freed == ondemand->asked && !ondemand->refused && !not_healed &&
		t->tails.tails_shared && t->tails.heads_own;
}

static int run(const struct tour_options *opt)
{
	struct tour *t = cli_alloc(1, sizeof(*t));
	const struct hvo_policy *policy;
	uint64_t start = cli_now_ns();
	unsigned int i, nr = 0;
	int status;

	t->opt = opt;
	t->tails.tails_shared = t->tails.heads_own = true;
	check_room(opt);
	tour_print_intro(t);
	measure_host(t);

	fill_machine(t, "off", HVO_LINUX, false);
	fill_machine(t, "linux", HVO_LINUX, true);
	fill_machine(t, "on-demand", HVO_ON_DEMAND, true);
	tour_print_fill(t);
	tour_print_tails(t);

	free_pool(t, NULL);
	while (hvo_policy_get(nr))
		nr++;
	for (i = 0; (policy = hvo_policy_get(i)) && t->nr_runs < TOUR_MAX_RUNS; i++) {
		progress_show((i + 1) / (nr + 1.0), policy->name);
		free_pool(t, policy);
	}
	progress_end();
	tour_print_runs(t);

	tour_offline(t);
	tour_print_offline(t);

	t->seconds = (double)(cli_now_ns() - start) / 1e9;
	judge(t);
	tour_print_verdict(t);
	status = opt->json ? cli_print_json(tour_json(t)) : cli_flush();
	if (!t->ok)
		status = CLI_FAILED;
	free(t);
	return status;
}

/* ---- command ------------------------------------------------------------ */

static const char help[] =
	"usage: hvo tour [options]\n"
	"\n"
	"Fill a machine, leave no free frame, free everything in every way, check it.\n"
	"\n"
	"  --memory SIZE    size of the machine, such as 512M or 2G: a multiple of\n"
	"                   128 MiB for each node (default 1G; 256M on sim)\n"
	"  --nodes N        NUMA nodes (default 1)\n"
	"  --platform NAME  linux, memory of this process (default); sim, simulated\n"
	"  --seed N         all that is random follows from it (default 1)\n"
	"  --json           the results as JSON\n"
	"  --no-host        leave the huge page pool of the running kernel alone. Else,\n"
	"                   as root on a kernel with HVO, its pool of 2 MiB pages is\n"
	"                   measured too, and put back as it was, whatever happens\n";

#define DEFAULT_MEMORY (UINT64_C(1) << 30)
#define DEFAULT_MEMORY_SIM (UINT64_C(256) << 20)

static const struct arg_spec specs[] = {
	ARG_MEMORY(struct tour_options, memory_bytes),
	ARG_NODES(struct tour_options, nr_nodes),
	ARG_PLATFORM(struct tour_options, sim),
	ARG_SEED(struct tour_options, seed),
	ARG_FLAG("--json", struct tour_options, json),
	ARG_FLAG("--no-host", struct tour_options, no_host),
	ARG_END,
};

int cli_tour(char **args)
{
	struct tour_options opt = { .seed = 1, .nr_nodes = 1 };
	int status;

	if (args_want_help(args))
		return cli_help(help);
	status = args_parse(specs, args, &opt, NULL);
	if (!status)
		status = args_memory(&opt.memory_bytes, opt.nr_nodes,
				     opt.sim ? DEFAULT_MEMORY_SIM : DEFAULT_MEMORY);
	return status ? status : run(&opt);
}
