// SPDX-License-Identifier: MIT
/*
 * The kernel as the reference: one script of pool operations runs on the HugeTLB pools of
 * the kernel that this runs on and on libhvo in Linux mode, and after each step all
 * counters of both are compared.
 *
 *	script --+--> kernel: sysctl, sysfs, mmap(MAP_HUGETLB) --> files of /sys and /proc
 *	         |                                                     || equal?
 *	         +--> libhvo: resize, reserve, alloc, demote ... --> hvo_*_stat()
 *
 * Total, free, surplus, reserved, overcommit and persistent pages must be equal, and so must
 * the number of frames that descriptors take. How that number splits into boot and
 * runtime pages depends on whether a block is folded for the first time, and which
 * blocks the kernel takes is its own business; so there only the rules are checked:
 * boot + MemTotal stays, boot falls by 8 for each block that is folded, at most.
 *
 * What is not compared: reservations that the kernel breaks. When several free pages are
 * demoted by one write, it looks at reservations only once (6.18); here at most one
 * page of 1 GiB is there at a time.
 *
 * HVO_SEED=n runs the script of that seed, HVO_DIFF_SCRIPTS=n that many. The kernel's
 * pools must be empty, and are empty again afterwards, however this ends (hostpool.c).
 *
 * States and locks: a machine for each script, one host pool, one thread.
 * In Linux: mm/hugetlb.c; tools/testing/selftests/mm, hugetlb*.
 */
#include "harness.h"
#include "hostpool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif

#define SCRIPTS 200
#define STEPS 30
#define MAX_STEPS 64 /* with those that end a script */
#define MACHINE_MIB 4096
#define WARM 64	      /* pages of 2 MiB */
#define AUDIT_EVERY 8 /* scripts; it takes longer than one */

/* All that is there at a time stays below 2 GiB. */
#define MAX_SMALL 900
#define MAX_SMALL_BESIDE_1G 400
#define SLOTS 6
#define SLOT_PAGES 8
#define MAX_OVERCOMMIT 4

/* The kernel's worker gets so long. */
#define SETTLE_TRIES 2000
#define SETTLE_STEP_NS 1000000L

#define SMALL HOSTPOOL_2M
#define GIGA HOSTPOOL_1G

enum op_kind {
	/* write a setting */
	OP_SYSCTL,
	OP_SYSFS,
	OP_NODE,
	OP_MEMPOLICY,
	OP_OVERCOMMIT,
	OP_OVERCOMMIT_SYSCTL,
	OP_SWITCH,
	OP_GIGA,
	OP_GIGA_NODE,
	OP_DEMOTE,
	OP_DEMOTE_NODE,
	OP_DEMOTE_ORDER,
	/* what a program does */
	OP_MAP,
	OP_MAP_SHARED,
	OP_MAP_NORESERVE,
	OP_MAP_GIGA,
	OP_TOUCH,
	OP_UNMAP,
};

struct op {
	enum op_kind kind;
	uint64_t nr;
	unsigned int slot;
};

/* What came of an operation; the same on both sides. */
struct result {
	int rc;
	uint64_t done; /* pages touched or demoted */
};

/* The kernel's counters after a step, for the report. */
struct after {
	uint64_t total, free, surplus, reserved;
};

/* A mapping of huge pages, and its counterpart here. */
struct slot {
	enum hostpool_size size;
	bool reserved;
	uint64_t nr;
	void *addr; /* of the kernel's; NULL: there is none */
	uint64_t host_touched;
	hvo_pfn_t page[SLOT_PAGES];
	uint64_t touched;
};

struct pair {
	const char *name;
	uint64_t host, lib;
};

#define MAX_PAIRS 32

struct side {
	uint64_t boot, memmap, total_frames;
};

struct tally {
	uint64_t scripts, steps, failed, deferred, demoted, short_of_1g, exact;
};

struct diff {
	char skipped[HOSTPOOL_REASON]; /* why nothing runs here; empty if it does */
	struct hostpool host;
	struct rig rig;
	struct hvo_pool *pool[HOSTPOOL_SIZES];
	struct slot slot[SLOTS];

	/* at the start, before the step, after it */
	struct side host_base, lib_base, host_before, lib_before;
	uint64_t folds_before;
	struct hostpool_counters now;
	struct pair pair[MAX_PAIRS];
	unsigned int nr_pairs;

	uint64_t seed, random; /* seed 0: no random script */
	struct op script[MAX_STEPS];
	struct result result[MAX_STEPS];
	struct after after[MAX_STEPS];
	unsigned int nr;
	bool with_1g;
	struct tally tally;
};

static struct diff the_diff;

static const unsigned int order_of[HOSTPOOL_SIZES] = { HVO_BLOCK_ORDER, HVO_GIGA_ORDER };

/* ---- what the kernel does ----------------------------------------------------------------- */

static struct result host_write(struct diff *d, const struct op *op)
{
	static const struct {
		enum hostpool_size size;
		enum hostpool_file file;
	} where[] = {
		[OP_SYSFS] = { SMALL, HOSTPOOL_NR },
		[OP_NODE] = { SMALL, HOSTPOOL_NODE_NR },
		[OP_MEMPOLICY] = { SMALL, HOSTPOOL_NR_MEMPOLICY },
		[OP_OVERCOMMIT] = { SMALL, HOSTPOOL_OVERCOMMIT },
		[OP_GIGA] = { GIGA, HOSTPOOL_NR },
		[OP_GIGA_NODE] = { GIGA, HOSTPOOL_NODE_NR },
	};

	return (struct result){
		hostpool_write_nr(&d->host, where[op->kind].size, where[op->kind].file, op->nr), 0
	};
}

static struct result host_sysctl(struct diff *d, const struct op *op)
{
	enum hostpool_sysctl sysctl = HOSTPOOL_SYSCTL_NR;

	if (op->kind == OP_SWITCH)
		sysctl = HOSTPOOL_SYSCTL_SWITCH;
	else if (op->kind == OP_OVERCOMMIT_SYSCTL)
		sysctl = HOSTPOOL_SYSCTL_OVERCOMMIT;
	return (struct result){ hostpool_write_sysctl(&d->host, sysctl, op->nr), 0 };
}

static uint64_t host_total(struct diff *d, enum hostpool_size size)
{
	struct hostpool_counters c;

	assert_true(hostpool_counters(&d->host, &c));
	return c.pool[size].total;
}

/* How many were demoted shows only in the counters. */
static struct result host_demote(struct diff *d, const struct op *op)
{
	uint64_t before = host_total(d, GIGA);
	int rc = hostpool_write_nr(&d->host, GIGA,
				   op->kind == OP_DEMOTE ? HOSTPOOL_DEMOTE : HOSTPOOL_NODE_DEMOTE,
				   op->nr);

	return (struct result){ rc, before - host_total(d, GIGA) };
}

static struct result host_demote_order(struct diff *d, const struct op *op)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%" PRIu64 "kB", UINT64_C(4) << op->nr);
	return (struct result){ hostpool_write(&d->host, GIGA, HOSTPOOL_DEMOTE_SIZE, text), 0 };
}

static size_t slot_bytes(const struct slot *s)
{
	return s->nr << (order_of[s->size] + HVO_FRAME_SHIFT);
}

static struct result host_map(struct diff *d, const struct op *op)
{
	struct slot *s = &d->slot[op->slot];
	int flags = MAP_ANONYMOUS | MAP_HUGETLB;
	void *addr;

	memset(s, 0, sizeof(*s));
	s->size = op->kind == OP_MAP_GIGA ? GIGA : SMALL;
	s->reserved = op->kind != OP_MAP_NORESERVE;
	s->nr = op->nr;
	flags |= (int)(order_of[s->size] + HVO_FRAME_SHIFT) << MAP_HUGE_SHIFT;
	flags |= op->kind == OP_MAP_SHARED ? MAP_SHARED : MAP_PRIVATE;
	flags |= s->reserved ? 0 : MAP_NORESERVE;
	addr = mmap(NULL, slot_bytes(s), PROT_READ | PROT_WRITE, flags, -1, 0);
	if (addr == MAP_FAILED)
		return (struct result){ -errno, 0 };
	s->addr = addr;
	return (struct result){ 0, 0 };
}

/*
 * Faults one page after the other. Where a plain access would end in SIGBUS for want of a
 * page, madvise() says EFAULT; hvo_pool_alloc() calls it -HVO_ENOMEM.
 */
static struct result host_touch(struct diff *d, const struct op *op)
{
	struct slot *s = &d->slot[op->slot];
	size_t size = slot_bytes(s) / s->nr;
	struct result r = { 0, 0 };

	while (!r.rc && r.done < op->nr && s->host_touched < s->nr) {
		uint8_t *page = (uint8_t *)s->addr + s->host_touched * size;

		if (madvise(page, size, MADV_POPULATE_WRITE)) {
			r.rc = errno == EFAULT ? -HVO_ENOMEM : -errno;
			break;
		}
		s->host_touched++;
		r.done++;
	}
	return r;
}

static struct result host_unmap(struct diff *d, const struct op *op)
{
	struct slot *s = &d->slot[op->slot];
	int rc = munmap(s->addr, slot_bytes(s)) ? -errno : 0;

	s->addr = NULL;
	return (struct result){ rc, 0 };
}

/* ---- what libhvo does --------------------------------------------------------------------- */

static struct result lib_resize(struct diff *d, const struct op *op)
{
	struct hvo_pool *pool = d->pool[op->kind == OP_GIGA || op->kind == OP_GIGA_NODE];
	struct hvo_resize_options opt = { .size = sizeof(opt), .nodes = 1 };

	if (op->kind == OP_MEMPOLICY)
		return (struct result){
			hvo_pool_resize_with(pool, HVO_NODE_ANY, op->nr, &opt, NULL), 0
		};
	return (struct result){
		hvo_pool_resize(pool,
				op->kind == OP_NODE || op->kind == OP_GIGA_NODE ? 0 : HVO_NODE_ANY,
				op->nr, NULL),
		0
	};
}

static struct result lib_overcommit(struct diff *d, const struct op *op)
{
	return (struct result){ hvo_pool_set_overcommit(d->pool[SMALL], op->nr), 0 };
}

static struct result lib_switch(struct diff *d, const struct op *op)
{
	hvo_set_optimize(d->rig.m, op->nr != 0);
	return (struct result){ 0, 0 };
}

static struct result lib_demote(struct diff *d, const struct op *op)
{
	struct result r = { 0, 0 };

	r.rc = hvo_pool_demote(d->pool[GIGA], op->kind == OP_DEMOTE ? HVO_NODE_ANY : 0, op->nr,
			       &r.done);
	return r;
}

static struct result lib_demote_order(struct diff *d, const struct op *op)
{
	return (struct result){ hvo_pool_set_demote_order(d->pool[GIGA], (unsigned int)op->nr), 0 };
}

static struct result lib_map(struct diff *d, const struct op *op)
{
	enum hostpool_size size = op->kind == OP_MAP_GIGA ? GIGA : SMALL;

	if (op->kind == OP_MAP_NORESERVE)
		return (struct result){ 0, 0 };
	return (struct result){ hvo_pool_reserve(d->pool[size], HVO_NODE_ANY, op->nr), 0 };
}

static struct result lib_touch(struct diff *d, const struct op *op)
{
	struct slot *s = &d->slot[op->slot];
	struct hvo_pool *pool = d->pool[s->size];
	struct result r = { 0, 0 };

	while (r.done < op->nr && s->touched < s->nr) {
		hvo_pfn_t *page = &s->page[s->touched];

		if (s->reserved)
			r.rc = hvo_pool_alloc_reserved(pool, HVO_GFP_KERNEL, HVO_NODE_ANY, page);
		else
			r.rc = hvo_pool_alloc(pool, HVO_GFP_KERNEL, HVO_NODE_ANY, page);
		if (r.rc)
			break;
		s->touched++;
		r.done++;
	}
	return r;
}

static struct result lib_unmap(struct diff *d, const struct op *op)
{
	struct slot *s = &d->slot[op->slot];
	struct hvo_pool *pool = d->pool[s->size];
	uint64_t unused = s->reserved ? s->nr - s->touched : 0;
	uint64_t i;
	int rc = 0;

	/* From the start on, as the kernel: those that come first leave with the surplus. */
	for (i = 0; !rc && i < s->touched; i++)
		rc = hvo_pool_free(pool, s->page[i]);
	if (!rc && unused)
		rc = hvo_pool_unreserve(pool, unused);
	return (struct result){ rc, 0 };
}

/* ---- operations by name ------------------------------------------------------------------- */

static const struct op_type {
	const char *name;
	struct result (*host)(struct diff *d, const struct op *op);
	struct result (*lib)(struct diff *d, const struct op *op);
} op_types[] = {
	[OP_SYSCTL] = { "vm.nr_hugepages =", host_sysctl, lib_resize },
	[OP_SYSFS] = { "nr_hugepages =", host_write, lib_resize },
	[OP_NODE] = { "node0 nr_hugepages =", host_write, lib_resize },
	[OP_MEMPOLICY] = { "nr_hugepages_mempolicy =", host_write, lib_resize },
	[OP_OVERCOMMIT] = { "nr_overcommit_hugepages =", host_write, lib_overcommit },
	[OP_OVERCOMMIT_SYSCTL] = { "vm.nr_overcommit_hugepages =", host_sysctl, lib_overcommit },
	[OP_SWITCH] = { "hugetlb_optimize_vmemmap =", host_sysctl, lib_switch },
	[OP_GIGA] = { "1G nr_hugepages =", host_write, lib_resize },
	[OP_GIGA_NODE] = { "1G node0 nr_hugepages =", host_write, lib_resize },
	[OP_DEMOTE] = { "1G demote", host_demote, lib_demote },
	[OP_DEMOTE_NODE] = { "1G node0 demote", host_demote, lib_demote },
	[OP_DEMOTE_ORDER] = { "1G demote_size = order", host_demote_order, lib_demote_order },
	[OP_MAP] = { "map", host_map, lib_map },
	[OP_MAP_SHARED] = { "map shared", host_map, lib_map },
	[OP_MAP_NORESERVE] = { "map without reservation", host_map, lib_map },
	[OP_MAP_GIGA] = { "1G map", host_map, lib_map },
	[OP_TOUCH] = { "touch", host_touch, lib_touch },
	[OP_UNMAP] = { "unmap", host_unmap, lib_unmap },
};

/* ---- both sides' counters ----------------------------------------------------------------- */

static struct side host_side(const struct diff *d)
{
	return (struct side){ d->now.memmap_boot, d->now.memmap, d->now.total_frames };
}

static struct side lib_side(struct diff *d)
{
	struct hvo_machine_stat s = rig_stat(&d->rig);

	return (struct side){ s.memmap_boot, s.memmap, s.total_frames };
}

/* Frames for descriptors that there are less than at the start. */
static uint64_t saved(const struct side *base, const struct side *now)
{
	return base->boot + base->memmap - now->boot - now->memmap;
}

static void pair(struct diff *d, const char *name, uint64_t host, uint64_t lib)
{
	assert_true(d->nr_pairs < MAX_PAIRS);
	d->pair[d->nr_pairs++] = (struct pair){ name, host, lib };
}

static void pair_pools(struct diff *d)
{
	static const char *const names[HOSTPOOL_SIZES][8] = {
		{ "total", "free", "surplus", "reserved", "overcommit", "node0 total", "node0 free",
		  "node0 surplus" },
		{ "1G total", "1G free", "1G surplus", "1G reserved", "1G overcommit",
		  "1G node0 total", "1G node0 free", "1G node0 surplus" },
	};
	unsigned int i;

	for (i = 0; i < HOSTPOOL_SIZES; i++) {
		struct hvo_pool_stat all = rig_pool(d->pool[i], HVO_NODE_ANY);
		struct hvo_pool_stat node = rig_pool(d->pool[i], 0);

		pair(d, names[i][0], d->now.pool[i].total, all.total);
		pair(d, names[i][1], d->now.pool[i].free, all.free);
		pair(d, names[i][2], d->now.pool[i].surplus, all.surplus);
		pair(d, names[i][3], d->now.pool[i].reserved, all.reserved);
		pair(d, names[i][4], d->now.pool[i].overcommit, all.overcommit);
		pair(d, names[i][5], d->now.pool[i].node_total, node.total);
		pair(d, names[i][6], d->now.pool[i].node_free, node.free);
		pair(d, names[i][7], d->now.pool[i].node_surplus, node.surplus);
		if (i == SMALL)
			pair(d, "persistent", d->now.persistent, all.total - all.surplus);
	}
}

/* Boot pages that went in this step: whole blocks, of those that were folded. */
static uint64_t boot_rule(uint64_t before, uint64_t now, uint64_t folds)
{
	uint64_t gone = before - now;

	return now <= before && gone % HVO_BLOCK_MEMMAP == 0 && gone <= folds * HVO_BLOCK_MEMMAP;
}

static void pair_memmap(struct diff *d)
{
	const struct side host = host_side(d), lib = lib_side(d);
	uint64_t folds = rig_stat(&d->rig).folds - d->folds_before;
	uint64_t small = rig_pool(d->pool[SMALL], HVO_NODE_ANY).optimized;
	uint64_t giga = rig_pool(d->pool[GIGA], HVO_NODE_ANY).optimized;

	pair(d, "descriptor frames saved", saved(&d->host_base, &host), saved(&d->lib_base, &lib));
	pair(d, "as the pools say", 7 * small + 4095 * giga, saved(&d->lib_base, &lib));
	pair(d, "boot + MemTotal moved by",
	     host.boot + host.total_frames - d->host_base.boot - d->host_base.total_frames,
	     lib.boot + lib.total_frames - d->lib_base.boot - d->lib_base.total_frames);
	pair(d, "boot + MemTotal stays", 0,
	     lib.boot + lib.total_frames - d->lib_base.boot - d->lib_base.total_frames);
	pair(d, "boot falls by whole folds", boot_rule(d->host_before.boot, host.boot, folds),
	     boot_rule(d->lib_before.boot, lib.boot, folds));
	pair(d, "as it should", 1, boot_rule(d->lib_before.boot, lib.boot, folds));
}

/* Let the kernel's worker finish: it frees what the step left to it. */
static void settle(struct diff *d)
{
	struct timespec step = { 0, SETTLE_STEP_NS };
	const struct side lib = lib_side(d);
	uint64_t wanted = d->host_base.boot + d->host_base.memmap - saved(&d->lib_base, &lib);
	uint64_t sum, tries;

	for (tries = 0; tries < SETTLE_TRIES; tries++) {
		assert_true(hostpool_memmap(&d->host, &sum));
		if (sum == wanted)
			return;
		(void)nanosleep(&step, NULL);
	}
}

/* How many counters differ. */
static unsigned int compare(struct diff *d)
{
	unsigned int i, unequal = 0;

	assert_true(hostpool_counters(&d->host, &d->now));
	d->nr_pairs = 0;
	pair_pools(d);
	pair_memmap(d);
	for (i = 0; i < d->nr_pairs; i++)
		unequal += d->pair[i].host != d->pair[i].lib;
	return unequal;
}

/* ---- a step ------------------------------------------------------------------------------- */

static void show_script(const struct diff *d)
{
	unsigned int i;

	if (d->seed)
		print_error("HVO_SEED=%" PRIu64 ", step %u\n", d->seed, d->nr);
	print_error("%61s\n", "total free surp resv");
	for (i = 0; i < d->nr; i++) {
		const struct op *op = &d->script[i];

		print_error("%4u  %-30s %4" PRIu64, i + 1, op_types[op->kind].name, op->nr);
		if (op->kind >= OP_MAP)
			print_error("  mapping %u", op->slot);
		else
			print_error("           ");
		print_error("  %-6s  %4" PRIu64 " %4" PRIu64 " %4" PRIu64 " %4" PRIu64 "\n",
			    d->result[i].rc ? "failed" : "", d->after[i].total, d->after[i].free,
			    d->after[i].surplus, d->after[i].reserved);
	}
}

static void show_pairs(const struct diff *d)
{
	const struct side *h = &d->host_before, *l = &d->lib_before;
	unsigned int i;

	print_error("%-28s %12s %12s\n", "", "kernel", "libhvo");
	for (i = 0; i < d->nr_pairs; i++)
		print_error("%-28s %12" PRIi64 " %12" PRIi64 "%s\n", d->pair[i].name,
			    (int64_t)d->pair[i].host, (int64_t)d->pair[i].lib,
			    d->pair[i].host != d->pair[i].lib ? "  <--" : "");
	print_error("%-28s %12" PRIu64 " %12" PRIu64 "\n", "boot pages before", h->boot, l->boot);
	print_error("%-28s %12" PRIu64 " %12" PRIu64 "\n", "other pages before", h->memmap,
		    l->memmap);
}

/* d->now is as the last comparison left it. */
static void remember(struct diff *d)
{
	d->host_before = host_side(d);
	d->lib_before = lib_side(d);
	d->folds_before = rig_stat(&d->rig).folds;
}

/*
 * The kernel first. It may not find 1 GiB in one piece where libhvo's machine has it; what
 * is told to libhvo then is what the kernel found.
 */
static struct result do_host(struct diff *d, struct op *op)
{
	struct result r = op_types[op->kind].host(d, op);
	uint64_t persistent;

	if (op->kind != OP_GIGA && op->kind != OP_GIGA_NODE)
		return r;
	assert_true(hostpool_counters(&d->host, &d->now));
	persistent = d->now.pool[GIGA].total - d->now.pool[GIGA].surplus;
	if (persistent < op->nr) {
		op->nr = persistent;
		d->tally.short_of_1g++;
	}
	return r;
}

static struct result do_lib(struct diff *d, const struct op *op)
{
	struct result r = op_types[op->kind].lib(d, op);
	unsigned int i;

	for (i = 0; i < HOSTPOOL_SIZES; i++)
		d->tally.deferred += rig_pool(d->pool[i], HVO_NODE_ANY).deferred;
	while (hvo_work(d->rig.m, 64, NULL) == 64)
		;
	return r;
}

/* For the report. */
static void note(struct diff *d)
{
	d->after[d->nr - 1] =
		(struct after){ d->now.pool[SMALL].total, d->now.pool[SMALL].free,
				d->now.pool[SMALL].surplus, d->now.pool[SMALL].reserved };
}

static void count(struct diff *d, const struct result *r, const struct op *op)
{
	const struct side host = host_side(d), lib = lib_side(d);

	d->tally.steps++;
	d->tally.failed += r->rc != 0;
	if (op->kind == OP_DEMOTE || op->kind == OP_DEMOTE_NODE)
		d->tally.demoted += r->done;
	/* The counters are unsigned, their differences may be of either sign. */
	d->tally.exact += host.boot - d->host_before.boot == lib.boot - d->lib_before.boot &&
			  host.memmap - d->host_before.memmap == lib.memmap - d->lib_before.memmap;
}

static struct result step(struct diff *d, struct op op)
{
	struct result host, lib;
	unsigned int unequal;

	assert_true(d->nr < MAX_STEPS);
	remember(d);
	d->script[d->nr] = op;
	host = do_host(d, &op);
	d->result[d->nr++] = host;
	if (rig_panics(&d->rig)) {
		show_script(d);
		fail_msg("libhvo panics: %s", d->rig.panic_what);
	}
	lib = do_lib(d, &op);
	d->rig.may_panic = false;
	settle(d);
	unequal = compare(d);
	note(d);
	if (unequal || host.rc != lib.rc || host.done != lib.done) {
		show_script(d);
		show_pairs(d);
		fail_msg("the kernel's result is %d (%" PRIu64 " done), libhvo's %d (%" PRIu64 ")",
			 host.rc, host.done, lib.rc, lib.done);
	}
	count(d, &host, &op);
	return host;
}

/*
 * A machine for each script: what happens must follow from the seed alone, and in a machine
 * that has restored descriptors all over the place there is no 1 GiB in one piece some day.
 * The blocks that come first are folded once, as the kernel's mostly have been.
 */
static void begin_script(struct diff *d, uint64_t seed)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, MACHINE_MIB);
	unsigned int i;

	rig_open(&d->rig, RIG_SIM, &cfg);
	for (i = 0; i < HOSTPOOL_SIZES; i++)
		assert_int_equal(hvo_pool_create(d->rig.m, order_of[i], &d->pool[i]), 0);
	assert_int_equal(rig_resize(d->pool[SMALL], HVO_NODE_ANY, WARM).done, WARM);
	rig_resize(d->pool[SMALL], HVO_NODE_ANY, 0);
	assert_true(hostpool_counters(&d->host, &d->now));
	d->host_base = host_side(d);
	d->lib_base = lib_side(d);
	d->nr = 0;
	d->seed = d->random = seed;
	d->tally.scripts++;
	step(d, (struct op){ OP_SWITCH, seed % 3 != 2, 0 });
}

/*
 * Steps too: what is in use is given back while there may be surplus. A shrink beside
 * surplus pages in use keeps that many free pages too many, which are surplus in the end
 * and are not reserved by anybody: only raising the number and lowering it frees them.
 */
static void end_script(struct diff *d)
{
	unsigned int i;

	for (i = 0; i < SLOTS; i++)
		if (d->slot[i].addr)
			step(d, (struct op){ OP_UNMAP, 0, i });
	step(d, (struct op){ OP_OVERCOMMIT, 0, 0 });
	step(d, (struct op){ OP_GIGA, d->now.pool[GIGA].total, 0 });
	step(d, (struct op){ OP_GIGA, 0, 0 });
	step(d, (struct op){ OP_SYSFS, d->now.pool[SMALL].total, 0 });
	step(d, (struct op){ OP_SYSFS, 0, 0 });
	for (i = 0; i < HOSTPOOL_SIZES; i++)
		assert_int_equal(d->now.pool[i].total, 0);
	if (d->seed % AUDIT_EVERY == 0)
		rig_audit(&d->rig);
	rig_close(&d->rig);
}

/* ---- random scripts ----------------------------------------------------------------------- */

static uint64_t pick(struct diff *d, uint64_t n)
{
	return (rig_random(&d->random) >> 20) % n;
}

/* A number of small pages: often near one that matters. */
static uint64_t pick_nr(struct diff *d)
{
	uint64_t max = d->now.pool[GIGA].total ? MAX_SMALL_BESIDE_1G : MAX_SMALL, nr;
	uint64_t needed =
		d->now.pool[SMALL].total - d->now.pool[SMALL].free + d->now.pool[SMALL].reserved;

	switch (pick(d, 6)) {
	case 0:
		nr = 0;
		break;
	case 1:
		nr = d->now.persistent;
		break;
	case 2:
		nr = d->now.persistent + pick(d, 9);
		break;
	case 3:
		nr = d->now.persistent - pick(d, d->now.persistent + 1) / 2;
		break;
	case 4:
		nr = needed + pick(d, 3) - (needed ? 1 : 0);
		break;
	default:
		nr = pick(d, 24);
		break;
	}
	return nr < max ? nr : max;
}

static bool pick_slot(struct diff *d, bool mapped, unsigned int *ret)
{
	unsigned int first = (unsigned int)pick(d, SLOTS), i;

	for (i = 0; i < SLOTS; i++) {
		*ret = (first + i) % SLOTS;
		if ((d->slot[*ret].addr != NULL) == mapped)
			return true;
	}
	return false;
}

static enum op_kind pick_kind(struct diff *d)
{
	static const enum op_kind small[] = {
		OP_SYSCTL, OP_SYSFS, OP_NODE,	    OP_MEMPOLICY,  OP_OVERCOMMIT,
		OP_SWITCH, OP_MAP,   OP_MAP,	    OP_MAP,	   OP_MAP_SHARED,
		OP_TOUCH,  OP_TOUCH, OP_TOUCH,	    OP_TOUCH,	   OP_OVERCOMMIT_SYSCTL,
		OP_UNMAP,  OP_UNMAP, OP_MAP_SHARED, OP_OVERCOMMIT, OP_MAP_NORESERVE,
	};
	static const enum op_kind giga[] = {
		OP_GIGA,   OP_GIGA,   OP_GIGA_NODE,    OP_MAP_GIGA,    OP_DEMOTE,
		OP_DEMOTE, OP_DEMOTE, OP_DEMOTE_ORDER, OP_DEMOTE_NODE,
	};

	if (d->with_1g && !pick(d, 5))
		return giga[pick(d, sizeof(giga) / sizeof(giga[0]))];
	return small[pick(d, sizeof(small) / sizeof(small[0]))];
}

/* Something else than what was picked, where that cannot be done now. */
static bool complete(struct diff *d, struct op *op)
{
	static const uint64_t orders[] = { 0, 4, 8, 9, 10, 18, 19, 30 };

	switch (op->kind) {
	case OP_OVERCOMMIT:
	case OP_OVERCOMMIT_SYSCTL:
		op->nr = pick(d, MAX_OVERCOMMIT + 1);
		return true;
	case OP_SWITCH:
		op->nr = pick(d, 2);
		return true;
	case OP_GIGA:
	case OP_GIGA_NODE:
		op->nr = pick(d, 3) != 0;
		return !op->nr || d->now.pool[GIGA].total ||
		       d->now.pool[SMALL].total <= MAX_SMALL_BESIDE_1G;
	case OP_DEMOTE:
	case OP_DEMOTE_NODE:
		op->nr = pick(d, 3);
		return true;
	case OP_DEMOTE_ORDER:
		op->nr = orders[pick(d, sizeof(orders) / sizeof(orders[0]))];
		return true;
	case OP_MAP:
	case OP_MAP_SHARED:
	case OP_MAP_NORESERVE:
		op->nr = 1 + pick(d, pick(d, 2) ? SLOT_PAGES : 4);
		return pick_slot(d, false, &op->slot);
	case OP_MAP_GIGA:
		op->nr = 1;
		return pick_slot(d, false, &op->slot);
	case OP_TOUCH:
		op->nr = 1 + pick(d, SLOT_PAGES);
		/* The kernel clears what is touched: 1 GiB takes too long. */
		return pick_slot(d, true, &op->slot) && d->slot[op->slot].size == SMALL;
	case OP_UNMAP:
		return pick_slot(d, true, &op->slot);
	default:
		op->nr = pick_nr(d);
		return true;
	}
}

static struct op pick_op(struct diff *d)
{
	struct op op = { OP_SYSFS, 0, 0 };

	/* The same setting again. */
	if (d->nr && d->script[d->nr - 1].kind <= OP_GIGA_NODE && !pick(d, 8))
		return d->script[d->nr - 1];
	do {
		op.kind = pick_kind(d);
	} while (!complete(d, &op));
	return op;
}

static void random_script(struct diff *d, uint64_t seed)
{
	unsigned int i;

	begin_script(d, seed);
	d->with_1g = !pick(d, 2);
	for (i = 0; i < STEPS; i++)
		step(d, pick_op(d));
	end_script(d);
}

/* ---- tests -------------------------------------------------------------------------------- */

static void skip_unless_ready(struct diff *d)
{
	if (!d->skipped[0])
		return;
	print_message("skipped: %s\n", d->skipped);
	skip();
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

/* Each of these is a rule of its own; see the comment at its end. */
static const struct op shrink_below_reserved[] = {
	{ OP_SYSFS, 10, 0 }, { OP_MAP, 4, 0 },	 { OP_SYSFS, 2, 0 },
	{ OP_SYSFS, 0, 0 },  { OP_TOUCH, 2, 0 }, { OP_SYSCTL, 3, 0 },
	{ OP_NODE, 1, 0 },   { OP_UNMAP, 0, 0 }, { OP_SYSCTL, 0, 0 },
}; /* reserved pages stay and become surplus */

static const struct op shrink_below_used[] = {
	{ OP_SYSFS, 4, 0 }, { OP_MAP, 4, 0 },	     { OP_TOUCH, 4, 0 }, { OP_SYSFS, 1, 0 },
	{ OP_MAP, 1, 1 },   { OP_OVERCOMMIT, 3, 0 }, { OP_MAP, 1, 1 },	 { OP_OVERCOMMIT, 4, 0 },
	{ OP_MAP, 1, 1 },   { OP_UNMAP, 0, 0 },	     { OP_UNMAP, 0, 1 },
}; /* surplus may be more than overcommit; then none is added */

static const struct op overcommit[] = {
	{ OP_OVERCOMMIT, 3, 0 }, { OP_SYSFS, 2, 0 },	     { OP_MAP, 4, 0 },
	{ OP_MAP, 2, 1 },	 { OP_TOUCH, 1, 0 },	     { OP_MAP_NORESERVE, 2, 1 },
	{ OP_TOUCH, 2, 1 },	 { OP_SYSFS, 4, 0 },	     { OP_TOUCH, 1, 1 },
	{ OP_SYSFS, 3, 0 },	 { OP_OVERCOMMIT, 0, 0 },    { OP_UNMAP, 0, 0 },
	{ OP_UNMAP, 0, 1 },	 { OP_MAP_NORESERVE, 4, 2 }, { OP_TOUCH, 4, 2 },
	{ OP_SYSFS, 3, 0 },	 { OP_UNMAP, 0, 2 },
}; /* a reservation that fails half way leaves nothing; pages without one find the limit */

static const struct op switch_matters_on_the_way_in[] = {
	{ OP_SWITCH, 0, 0 }, { OP_SYSFS, 5, 0 }, { OP_SWITCH, 1, 0 }, { OP_SYSFS, 8, 0 },
	{ OP_SWITCH, 0, 0 }, { OP_SYSFS, 6, 0 }, { OP_SYSFS, 9, 0 },  { OP_SYSFS, 3, 0 },
	{ OP_SWITCH, 1, 0 }, { OP_SYSFS, 3, 0 },
}; /* only new pages are folded; folded ones are restored whatever it says */

#define RUN(d, script) run_fixed(d, script, sizeof(script) / sizeof((script)[0]))

static void run_fixed(struct diff *d, const struct op *ops, size_t nr)
{
	size_t i;

	begin_script(d, 0);
	for (i = 0; i < nr; i++)
		step(d, ops[i]);
	end_script(d);
}

static void test_rules(void **state)
{
	struct diff *d = *state;

	skip_unless_ready(d);
	RUN(d, shrink_below_reserved);
	RUN(d, shrink_below_used);
	RUN(d, overcommit);
	RUN(d, switch_matters_on_the_way_in);
}

/* What one side alone did is noticed. */
static void test_notices(void **state)
{
	static const struct op ops[] = {
		{ OP_SYSFS, 3, 0 }, { OP_MAP, 2, 0 },	     { OP_TOUCH, 1, 0 },
		{ OP_UNMAP, 0, 0 }, { OP_OVERCOMMIT, 2, 0 }, { OP_SYSFS, 0, 0 },
	};
	struct diff *d = *state;
	size_t i;

	skip_unless_ready(d);
	begin_script(d, 0);
	for (i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		struct op op = ops[i];

		remember(d);
		(void)do_host(d, &op);
		assert_int_not_equal(compare(d), 0);
		(void)do_lib(d, &op);
		settle(d);
		assert_int_equal(compare(d), 0);
	}
	end_script(d);
}

/* In use, reserved, surplus, with and without the switch: what demotion may take. */
static const struct op demote[] = {
	{ OP_DEMOTE, 1, 0 },	    { OP_GIGA, 1, 0 },	       { OP_DEMOTE, 0, 0 },
	{ OP_MAP_GIGA, 1, 0 },	    { OP_DEMOTE, 1, 0 },       { OP_MAP_GIGA, 1, 1 },
	{ OP_TOUCH, 1, 0 },	    { OP_DEMOTE, 1, 0 },       { OP_GIGA, 0, 0 },
	{ OP_DEMOTE_NODE, 1, 0 },   { OP_GIGA_NODE, 1, 0 },    { OP_UNMAP, 0, 0 },
	{ OP_DEMOTE_ORDER, 18, 0 }, { OP_DEMOTE_ORDER, 0, 0 }, { OP_DEMOTE_ORDER, 9, 0 },
	{ OP_DEMOTE, 2, 0 },	    { OP_SYSCTL, 500, 0 },     { OP_SYSFS, 500, 0 },
};

static const struct op demote_into_surplus[] = {
	{ OP_SYSFS, 2, 0 },  { OP_MAP, 2, 0 },	   { OP_TOUCH, 2, 0 },	{ OP_SYSFS, 0, 0 },
	{ OP_SWITCH, 0, 0 }, { OP_GIGA, 1, 0 },	   { OP_SWITCH, 1, 0 }, { OP_DEMOTE_NODE, 1, 0 },
	{ OP_UNMAP, 0, 0 },  { OP_SYSFS, 100, 0 }, { OP_GIGA, 1, 0 },	{ OP_SWITCH, 0, 0 },
	{ OP_DEMOTE, 1, 0 }, { OP_NODE, 0, 0 },
};

/*
 * Free pages of which some are surplus, for they are reserved: shrinking keeps as many
 * free pages as that in excess, and gives up none of them later.
 */
static const struct op demote_beside_surplus[] = {
	{ OP_SYSFS, 4, 0 },  { OP_MAP, 4, 0 },	 { OP_SYSFS, 0, 0 }, { OP_GIGA, 1, 0 },
	{ OP_DEMOTE, 1, 0 }, { OP_MAP, 3, 1 },	 { OP_SYSFS, 5, 0 }, { OP_TOUCH, 1, 1 },
	{ OP_SYSFS, 0, 0 },  { OP_UNMAP, 0, 1 }, { OP_UNMAP, 0, 0 }, { OP_SYSFS, 0, 0 },
	{ OP_MAP, 1, 0 },    { OP_SYSFS, 1, 0 }, { OP_NODE, 0, 0 },  { OP_UNMAP, 0, 0 },
	{ OP_SYSFS, 9, 0 },  { OP_SYSFS, 2, 0 },
};

static void test_demote(void **state)
{
	struct diff *d = *state;

	skip_unless_ready(d);
	RUN(d, demote);
	RUN(d, demote_into_surplus);
	RUN(d, demote_beside_surplus);
	if (!d->tally.demoted) {
		print_message("skipped: the kernel found no 1 GiB page\n");
		skip();
	}
}

static void test_random(void **state)
{
	struct diff *d = *state;
	uint64_t first = rig_seed(1), seed;
	uint64_t nr = number_of("HVO_DIFF_SCRIPTS", rig_seed(0) ? 1 : SCRIPTS);

	skip_unless_ready(d);
	assert_true(nr > 0);
	for (seed = first; seed < first + nr; seed++)
		random_script(d, seed);
	print_message("%" PRIu64 " scripts, %" PRIu64 " steps, %" PRIu64
		      " refused or failed, %" PRIu64 " deferred frees, %" PRIu64
		      " pages of 1 GiB demoted, %" PRIu64
		      " not found; boot pages equal too in %" PRIu64 " steps\n",
		      d->tally.scripts, d->tally.steps, d->tally.failed, d->tally.deferred,
		      d->tally.demoted, d->tally.short_of_1g, d->tally.exact);
}

/* ---- the two sides ------------------------------------------------------------------------ */

static int begin(void **state)
{
	*state = &the_diff;
	(void)hostpool_begin(&the_diff.host, the_diff.skipped);
	return 0;
}

static int end(void **state)
{
	struct diff *d = *state;

	return d->skipped[0] || hostpool_end(&d->host) ? 0 : 1;
}

/* After a mismatch there are mappings left. */
static int close_sides(void **state)
{
	struct diff *d = *state;
	unsigned int i;

	if (d->skipped[0])
		return 0;
	for (i = 0; i < SLOTS; i++)
		if (d->slot[i].addr)
			(void)munmap(d->slot[i].addr, slot_bytes(&d->slot[i]));
	memset(d->slot, 0, sizeof(d->slot));
	memset(&d->tally, 0, sizeof(d->tally));
	rig_close(&d->rig);
	return hostpool_reset(&d->host) ? 0 : 1;
}

#define TEST(name) cmocka_unit_test_teardown(test_##name, close_sides)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(notices),
		TEST(rules),
		TEST(demote),
		TEST(random),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
