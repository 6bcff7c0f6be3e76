/* SPDX-License-Identifier: MIT */
/*
 * The page-table walker on tables of its own, and the sim platform driven through
 * hvo_sim_ops, without a machine.
 *
 * States and locks: none beyond one sim or one set of tables for each test.
 *
 * In Linux: tools/testing/selftests/mm has nothing for vmemmap_remap_range(); the
 * nearest is mm/debug_vm_pgtable.c.
 */
#include "program.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mmu/walk.h"
#include "platform/sim/internal.h"

#define MIB2 UINT64_C(0x200000)
#define GIB UINT64_C(0x40000000)
#define BASE UINT64_C(0xffffea0000000000)
#define FILL UINT64_C(0x7000001)
#define LEAF_BITS (HVO_MMU_P | HVO_MMU_RW | HVO_MMU_NX)

/* ---- walker ------------------------------------------------------------------ */

#define TABLES 16

/* Frame 0 is never given out: an entry of zeros must not look like a table. */
struct tables {
	uint64_t entries[TABLES + 1][HVO_MMU_ENTRIES];
	bool used[TABLES + 1];
	unsigned int nr_used, limit;
	struct hvo_mmu mmu;
};

static uint64_t *tables_table(void *ctx, uint64_t frame)
{
	struct tables *t = (struct tables *)ctx;

	assert_in_range(frame, 1, TABLES);
	assert_true(t->used[frame]);
	return t->entries[frame];
}

static int tables_alloc(void *ctx, uint64_t *ret_frame)
{
	struct tables *t = (struct tables *)ctx;
	unsigned int i;

	if (t->nr_used == t->limit)
		return -HVO_ENOMEM;
	for (i = 1; t->used[i]; i++)
		;
	t->used[i] = true;
	t->nr_used++;
	/* What the walker leaves unwritten shows. */
	memset(t->entries[i], 0xa5, sizeof(t->entries[i]));
	*ret_frame = i;
	return 0;
}

static void tables_free(void *ctx, uint64_t frame)
{
	struct tables *t = (struct tables *)ctx;

	assert_true(t->used[frame]);
	t->used[frame] = false;
	t->nr_used--;
}

static int tables_setup(void **state)
{
	struct tables *t = (struct tables *)calloc(1, sizeof(*t));

	if (!t)
		return -1;
	t->limit = TABLES;
	t->mmu.fill = FILL;
	t->mmu.table = tables_table;
	t->mmu.table_alloc = tables_alloc;
	t->mmu.table_free = tables_free;
	t->mmu.ctx = t;
	*state = t;
	return hvo_mmu_init(&t->mmu);
}

/* Every test ends with the tables given back. */
static int tables_teardown(void **state)
{
	struct tables *t = (struct tables *)*state;
	int left;

	hvo_mmu_destroy(&t->mmu);
	left = (int)t->nr_used;
	free(t);
	return left;
}

/* Page n of BASE shows frame n + add; stops with an error at fail_at. */
struct mapper {
	uint64_t add, fail_at;
	unsigned int calls, pmd_calls, whole_calls;
	enum hvo_mmu_step step;
};

static uint64_t mapped(uint64_t addr, uint64_t add)
{
	return (addr - BASE + (add << HVO_FRAME_SHIFT)) | LEAF_BITS;
}

static int map_pte(void *arg, uint64_t addr, uint64_t *entry)
{
	struct mapper *m = (struct mapper *)arg;

	if (addr == m->fail_at)
		return -HVO_EBUSY;
	m->calls++;
	hvo_mmu_set(entry, mapped(addr, m->add));
	return 0;
}

static int unmap_pte(void *arg, uint64_t addr, uint64_t *entry)
{
	struct mapper *m = (struct mapper *)arg;

	assert_true(hvo_mmu_get(entry) == mapped(addr, m->add));
	m->calls++;
	hvo_mmu_set(entry, FILL);
	return 0;
}

static enum hvo_mmu_step map_pmd(void *arg, uint64_t addr, uint64_t *entry, bool whole)
{
	struct mapper *m = (struct mapper *)arg;

	m->pmd_calls++;
	if (whole && m->step == HVO_MMU_NEXT)
		hvo_mmu_set(entry, mapped(addr, m->add) | HVO_MMU_PS);
	if (whole)
		m->whole_calls++;
	return m->step;
}

static void map_leaf(struct tables *t, uint64_t addr, uint64_t add)
{
	struct mapper m = { .add = add, .step = HVO_MMU_NEXT };
	struct hvo_mmu_walk walk = { .start = addr,
				     .end = addr + MIB2,
				     .flags = HVO_MMU_CREATE,
				     .pmd = map_pmd,
				     .arg = &m };

	assert_int_equal(hvo_mmu_walk(&t->mmu, &walk, NULL), 0);
	assert_int_equal(m.whole_calls, 1);
}

static void test_walk_create(void **state)
{
	struct tables *t = (struct tables *)*state;
	struct mapper m = { .add = 7 };
	struct hvo_mmu_walk walk = { .start = BASE + MIB2 - 3 * HVO_FRAME_SIZE,
				     .end = BASE + MIB2 + 2 * HVO_FRAME_SIZE,
				     .pte = map_pte,
				     .arg = &m };
	uint64_t addr, end = 0;

	/* Nothing is there and nothing may be made: nothing to visit. */
	assert_int_equal(hvo_mmu_walk(&t->mmu, &walk, &end), 0);
	assert_true(end == walk.end);
	assert_int_equal(m.calls, 0);
	assert_int_equal(t->nr_used, 1);

	walk.flags = HVO_MMU_CREATE;
	assert_int_equal(hvo_mmu_walk(&t->mmu, &walk, &end), 0);
	assert_int_equal(m.calls, 5);
	/* PGD, PUD, PMD, and two of PTEs. */
	assert_int_equal(t->nr_used, 5);
	for (addr = BASE; addr < BASE + 3 * MIB2; addr += HVO_FRAME_SIZE)
		assert_true(hvo_mmu_lookup(&t->mmu, addr) ==
			    (addr >= walk.start && addr < walk.end ? mapped(addr, 7) : FILL));
	assert_true(hvo_mmu_lookup(&t->mmu, 0) == FILL);
}

static void test_walk_ranges(void **state)
{
	struct tables *t = (struct tables *)*state;
	struct mapper m = { .add = 0 };
	struct hvo_mmu_walk walk = { .flags = HVO_MMU_CREATE, .pte = map_pte, .arg = &m };
	uint64_t end = 1;

	walk.start = walk.end = BASE;
	assert_int_equal(hvo_mmu_walk(&t->mmu, &walk, &end), 0);
	assert_true(end == BASE);
	walk.end = BASE + 1;
	assert_int_equal(hvo_mmu_walk(&t->mmu, &walk, NULL), -HVO_EINVAL);
	walk.end = BASE - HVO_FRAME_SIZE;
	assert_int_equal(hvo_mmu_walk(&t->mmu, &walk, NULL), -HVO_EINVAL);
	assert_int_equal(t->nr_used, 1);

	/* The last two pages there are. */
	walk.start = UINT64_MAX - 2 * HVO_FRAME_SIZE + 1;
	walk.end = 0;
	assert_int_equal(hvo_mmu_walk(&t->mmu, &walk, &end), 0);
	assert_true(end == 0);
	assert_int_equal(m.calls, 2);

	/* Over a hole of many absent PGD entries, without making anything of it. */
	m.calls = 0;
	walk.start = BASE;
	walk.flags = 0;
	assert_int_equal(hvo_mmu_walk(&t->mmu, &walk, NULL), 0);
	assert_int_equal(m.calls, 512);
}

static void test_walk_split(void **state)
{
	struct tables *t = (struct tables *)*state;
	struct mapper m = { .add = 9000 };
	struct hvo_mmu_walk walk = { .start = BASE + 5 * HVO_FRAME_SIZE,
				     .end = BASE + 6 * HVO_FRAME_SIZE,
				     .pte = map_pte,
				     .arg = &m };
	uint64_t addr;

	map_leaf(t, BASE, 1024);
	assert_int_equal(t->nr_used, 3);
	for (addr = BASE; addr < BASE + MIB2; addr += HVO_FRAME_SIZE)
		assert_true(hvo_mmu_lookup(&t->mmu, addr) == mapped(addr, 1024));

	/* Not asked to split: the leaf is passed by. */
	assert_int_equal(hvo_mmu_walk(&t->mmu, &walk, NULL), 0);
	assert_int_equal(m.calls, 0);

	/* No frame for the table: nothing happens. */
	walk.flags = HVO_MMU_SPLIT;
	t->limit = t->nr_used;
	assert_int_equal(hvo_mmu_walk(&t->mmu, &walk, &addr), -HVO_ENOMEM);
	assert_true(addr == walk.start);
	assert_true(hvo_mmu_lookup(&t->mmu, walk.start) == mapped(walk.start, 1024));
	assert_true(t->mmu.splits == 0);

	/* First pass: same translations through a table. */
	t->limit = TABLES;
	walk.pte = NULL;
	assert_int_equal(hvo_mmu_walk(&t->mmu, &walk, NULL), 0);
	assert_true(t->mmu.splits == 1);
	assert_int_equal(t->nr_used, 4);
	for (addr = BASE; addr < BASE + MIB2; addr += HVO_FRAME_SIZE)
		assert_true(hvo_mmu_lookup(&t->mmu, addr) == mapped(addr, 1024));

	/* Second pass: needs no memory. */
	t->limit = 0;
	walk.flags = 0;
	walk.pte = map_pte;
	assert_int_equal(hvo_mmu_walk(&t->mmu, &walk, NULL), 0);
	for (addr = BASE; addr < BASE + MIB2; addr += HVO_FRAME_SIZE)
		assert_true(hvo_mmu_lookup(&t->mmu, addr) ==
			    mapped(addr, addr == walk.start ? 9000 : 1024));
}

static void test_walk_split_bits(void **state)
{
	struct tables *t = (struct tables *)*state;
	struct mapper m = { .step = HVO_MMU_TABLE };
	struct hvo_mmu_walk walk = { .start = BASE, .end = BASE + MIB2, .pmd = map_pmd, .arg = &m };
	uint64_t leaf = 512 * HVO_FRAME_SIZE | HVO_MMU_PS | HVO_MMU_PAT_LARGE | LEAF_BITS;
	uint64_t pte = 515 * HVO_FRAME_SIZE | HVO_MMU_PAT_PTE | LEAF_BITS;
	uint64_t addr = BASE + 3 * HVO_FRAME_SIZE;

	map_leaf(t, BASE, 512);
	/* Frames 1 to 3 are the PGD, the PUD and the PMD. */
	hvo_mmu_set(&t->entries[3][0], leaf);
	assert_true(hvo_mmu_lookup(&t->mmu, addr) == pte);
	assert_int_equal(hvo_mmu_walk(&t->mmu, &walk, NULL), 0);
	assert_true(hvo_mmu_lookup(&t->mmu, addr) == pte);
	assert_true(t->entries[4][3] == pte);
}

static void test_walk_try_table(void **state)
{
	struct tables *t = (struct tables *)*state;
	struct mapper m = { .step = HVO_MMU_TRY_TABLE };
	struct hvo_mmu_walk walk = {
		.start = BASE, .end = BASE + 2 * MIB2, .pmd = map_pmd, .arg = &m
	};

	map_leaf(t, BASE, 512);
	map_leaf(t, BASE + MIB2, 512);
	t->limit = t->nr_used + 1;
	assert_int_equal(hvo_mmu_walk(&t->mmu, &walk, NULL), 0);
	assert_int_equal(m.pmd_calls, 2);
	assert_true(t->mmu.splits == 1);

	/* Half of the second leaf, which must not be replaced here. */
	m.step = HVO_MMU_TABLE;
	m.whole_calls = 0;
	walk.end -= MIB2 / 2;
	assert_int_equal(hvo_mmu_walk(&t->mmu, &walk, NULL), -HVO_ENOMEM);
	assert_int_equal(m.whole_calls, 0);
}

static void test_walk_undo(void **state)
{
	struct tables *t = (struct tables *)*state;
	struct mapper m = { .add = 3, .fail_at = BASE + MIB2 + 4 * HVO_FRAME_SIZE };
	struct hvo_mmu_walk walk = { .start = BASE + MIB2 - 4 * HVO_FRAME_SIZE,
				     .end = BASE + MIB2 + 9 * HVO_FRAME_SIZE,
				     .flags = HVO_MMU_CREATE,
				     .pte = map_pte,
				     .arg = &m };
	uint64_t addr, end;

	assert_int_equal(hvo_mmu_walk(&t->mmu, &walk, &end), -HVO_EBUSY);
	assert_true(end == m.fail_at);
	assert_int_equal(m.calls, 8);

	t->limit = 0;
	m.calls = 0;
	walk.end = end;
	walk.flags = 0;
	walk.pte = unmap_pte;
	assert_int_equal(hvo_mmu_walk(&t->mmu, &walk, NULL), 0);
	assert_int_equal(m.calls, 8);
	for (addr = BASE; addr < BASE + 2 * MIB2; addr += HVO_FRAME_SIZE)
		assert_true(hvo_mmu_lookup(&t->mmu, addr) == FILL);
}

static void test_walk_create_no_memory(void **state)
{
	struct tables *t = (struct tables *)*state;
	struct mapper m = { .add = 0 };
	struct hvo_mmu_walk walk = { .start = BASE + MIB2,
				     .end = BASE + 2 * MIB2,
				     .flags = HVO_MMU_CREATE,
				     .pte = map_pte,
				     .arg = &m };
	uint64_t end;

	/* Whichever of the three tables is missing. */
	for (t->limit = 1; t->limit < 4; t->limit++) {
		assert_int_equal(hvo_mmu_walk(&t->mmu, &walk, &end), -HVO_ENOMEM);
		assert_true(end == walk.start);
		assert_true(hvo_mmu_lookup(&t->mmu, walk.start) == FILL);
	}
	assert_int_equal(hvo_mmu_walk(&t->mmu, &walk, &end), 0);
	assert_int_equal(m.calls, 512);
}

static void test_walk_giga_leaf(void **state)
{
	struct tables *t = (struct tables *)*state;
	struct hvo_mmu_walk walk = { .start = BASE,
				     .end = BASE + MIB2,
				     .flags = HVO_MMU_CREATE | HVO_MMU_SPLIT };
	uint64_t addr = BASE + 700 * HVO_FRAME_SIZE;

	assert_int_equal(hvo_mmu_walk(&t->mmu, &walk, NULL), 0);
	hvo_mmu_set(&t->entries[2][1], GIB | HVO_MMU_PS | LEAF_BITS);
	assert_true(hvo_mmu_lookup(&t->mmu, addr + GIB) ==
		    (GIB + 700 * HVO_FRAME_SIZE) + LEAF_BITS);
	walk.start += GIB;
	walk.end += GIB;
	assert_int_equal(hvo_mmu_walk(&t->mmu, &walk, NULL), -HVO_EINVAL);
}

/* ---- sim: helpers ------------------------------------------------------------- */

#define NR_FRAMES (HVO_SECTION_FRAMES * 8)

struct caught {
	jmp_buf env;
	bool armed;
	enum hvo_sim_fault fault;
	const char *what;
	uint64_t where;
};

static void on_fault(void *arg, enum hvo_sim_fault fault, const char *what, uint64_t where)
{
	struct caught *c = (struct caught *)arg;

	if (!c->armed)
		fail_msg("fault %d at %#llx: %s", (int)fault, (unsigned long long)where, what);
	c->armed = false;
	c->fault = fault;
	c->what = what;
	c->where = where;
	longjmp(c->env, 1);
}

static struct caught caught;

/* The statement must fault, so; then the sim is good for nothing but this look. */
#define assert_faults(what, statement)                \
	do {                                          \
		caught.armed = true;                  \
		if (!setjmp(caught.env)) {            \
			statement;                    \
			fail_msg("no fault");         \
		}                                     \
		assert_int_equal(caught.fault, what); \
	} while (0)

static struct hvo_sim *sim_open(uint64_t seed, uint32_t table_frames)
{
	struct hvo_config cfg = { .size = sizeof(cfg),
				  .memory_bytes = NR_FRAMES * HVO_FRAME_SIZE,
				  .layout = HVO_LAYOUT_VIRTUAL };
	struct hvo_sim_options opt = { .size = sizeof(opt),
				       .seed = seed,
				       .table_frames = table_frames,
				       .on_fault = on_fault,
				       .on_fault_arg = &caught };
	struct hvo_sim *sim;

	caught.armed = false;
	assert_int_equal(hvo_sim_open(&cfg, &opt, &sim), 0);
	return sim;
}

static uint8_t *array_page(struct hvo_sim *sim, uint64_t page)
{
	return (uint8_t *)hvo_sim_array(sim) + page * HVO_FRAME_SIZE;
}

static uint8_t *touch(struct hvo_sim *sim, uint64_t page, bool write)
{
	return (uint8_t *)hvo_sim_ops.translate(sim, array_page(sim, page), write);
}

static int remap_one(struct hvo_sim *sim, uint64_t page, hvo_pfn_t pfn, uint64_t nr)
{
	struct hvo_remap run = { .page = page, .pfn = pfn, .nr = nr };
	unsigned int done = 99;
	int err = hvo_sim_ops.remap(sim, &run, 1, &done);

	assert_int_equal(done, err ? 0 : 1);
	return err;
}

static struct hvo_sim_stat stat_of(struct hvo_sim *sim)
{
	struct hvo_sim_stat stat = { .size = sizeof(stat) };

	hvo_sim_stat(sim, &stat);
	return stat;
}

static void count_mismatch(void *arg, uint64_t page, uint64_t recorded, uint64_t real)
{
	uint64_t *n = (uint64_t *)arg;

	(void)page;
	assert_true(recorded != real);
	(*n)++;
}

static uint64_t audit(struct hvo_sim *sim)
{
	uint64_t n = 0;

	hvo_sim_ops.audit(sim, count_mismatch, &n);
	return n;
}

/* ---- sim: tests --------------------------------------------------------------- */

static void test_sim_options(void **state)
{
	struct hvo_config cfg = { .size = sizeof(cfg), .memory_bytes = HVO_SECTION_SIZE };
	struct hvo_sim_options opt = { .size = sizeof(opt), .tlb_entries = 48 };
	struct hvo_sim *sim;

	(void)state;
	assert_int_equal(hvo_sim_open(&cfg, &opt, &sim), -HVO_EINVAL);
	cfg.memory_bytes++;
	assert_int_equal(hvo_sim_open(&cfg, NULL, &sim), -HVO_EINVAL);
	cfg.memory_bytes = 0;
	assert_int_equal(hvo_sim_open(&cfg, NULL, &sim), -HVO_EINVAL);
	cfg.memory_bytes = HVO_SECTION_SIZE;
	assert_int_equal(hvo_sim_open(&cfg, NULL, &sim), 0);
	assert_null(hvo_sim_machine(sim));
	hvo_sim_close(sim);
	hvo_sim_close(NULL);
}

static void test_sim_starts_shared(void **state)
{
	struct hvo_sim *sim = sim_open(1, 0);
	uint64_t page, i;
	const uint8_t *bytes;

	(void)state;
	for (page = 0; page < sim->nr_pages; page += 37) {
		assert_true(hvo_sim_ops.backing(sim, page) == HVO_SHARED_TAIL);
		bytes = touch(sim, page, false);
		for (i = 0; i < HVO_FRAME_SIZE; i += 64)
			assert_int_equal(bytes[i], 0);
	}
	assert_true(stat_of(sim).table_frames_used == 1);
	assert_true(audit(sim) == 0);
	/* Folding what is folded needs nothing. */
	assert_int_equal(remap_one(sim, 0, HVO_SHARED_TAIL, sim->nr_pages), 0);
	assert_true(stat_of(sim).table_frames_used == 1);
	assert_faults(HVO_SIM_WRITE_TO_TAIL, touch(sim, 17, true));
	assert_true(caught.where == 17);
	hvo_sim_close(sim);
}

static void test_sim_remap_to_frames(void **state)
{
	struct hvo_sim *sim = sim_open(2, 0);
	uint8_t *bytes;

	(void)state;
	assert_int_equal(remap_one(sim, 700, 40, 7), 0);
	hvo_sim_ops.flush(sim);
	bytes = (uint8_t *)hvo_sim_ops.translate(sim, array_page(sim, 703) + 128, true);
	*bytes = 77;
	assert_ptr_equal(bytes, (uint8_t *)hvo_sim_ops.window(sim, 43, 1) + 128);
	assert_true(hvo_sim_ops.backing(sim, 706) == 46);
	assert_true(hvo_sim_ops.backing(sim, 707) == HVO_SHARED_TAIL);
	assert_true(hvo_sim_ops.backing(sim, 699) == HVO_SHARED_TAIL);
	assert_true(stat_of(sim).table_frames_used == 4);
	assert_true(stat_of(sim).remapped_pages == 7);

	assert_int_equal(remap_one(sim, 700, HVO_SHARED_TAIL, 7), 0);
	hvo_sim_ops.flush(sim);
	assert_int_equal(touch(sim, 703, false)[128], 0);
	/* Frames keep what they hold, tables stay. */
	assert_int_equal(*bytes, 77);
	assert_true(stat_of(sim).table_frames_used == 4);
	assert_true(audit(sim) == 0);
	assert_faults(HVO_SIM_WRITE_TO_TAIL, touch(sim, 703, true));
	hvo_sim_close(sim);
}

static void test_sim_stale_tlb(void **state)
{
	struct hvo_sim *volatile sim;
	volatile unsigned int seen = 0, hidden = 0;
	volatile uint64_t seed;

	(void)state;
	/* Most seeds show the missing flush, some lose the entry in time. */
	for (seed = 0; seed < 200; seed++) {
		sim = sim_open(seed, 0);
		assert_int_equal(remap_one(sim, 9, 100, 1), 0);
		hvo_sim_ops.flush(sim);
		touch(sim, 9, true);
		assert_int_equal(remap_one(sim, 9, 101, 1), 0);
		caught.armed = true;
		if (!setjmp(caught.env)) {
			assert_ptr_equal(touch(sim, 9, false), hvo_sim_ops.window(sim, 101, 1));
			hidden++;
		} else {
			assert_int_equal(caught.fault, HVO_SIM_STALE_TLB);
			assert_true(caught.where == 9);
			seen++;
		}
		hvo_sim_close(sim);
	}
	assert_in_range(seen, 150, 199);
	assert_in_range(hidden, 1, 50);

	/* With the flush, never. */
	sim = sim_open(1, 0);
	for (seed = 0; seed < 2000; seed++) {
		assert_int_equal(remap_one(sim, 9, seed, 1), 0);
		hvo_sim_ops.flush(sim);
		assert_ptr_equal(touch(sim, 9, true), hvo_sim_ops.window(sim, seed, 1));
	}
	hvo_sim_close(sim);
}

static void test_sim_leaf(void **state)
{
	struct hvo_sim *sim = sim_open(3, 0);
	uint64_t page;

	(void)state;
	assert_int_equal(remap_one(sim, 512, 1024, 1024), 0);
	hvo_sim_ops.flush(sim);
	assert_true(stat_of(sim).table_frames_used == 3);
	assert_ptr_equal(touch(sim, 600, true), hvo_sim_ops.window(sim, 1112, 1));

	/* A split alone changes nothing that the TLB holds. */
	assert_int_equal(remap_one(sim, 515, HVO_SHARED_TAIL, 7), 0);
	assert_true(stat_of(sim).pmd_splits == 1);
	assert_true(stat_of(sim).table_frames_used == 4);
	assert_ptr_equal(touch(sim, 600, true), hvo_sim_ops.window(sim, 1112, 1));
	for (page = 512; page < 1536; page++)
		assert_true(hvo_sim_ops.backing(sim, page) ==
			    (page >= 515 && page < 522 ? HVO_SHARED_TAIL : page + 512));

	/* Not aligned to each other: no leaf. */
	assert_int_equal(remap_one(sim, 2048, 4097, 512), 0);
	assert_true(stat_of(sim).table_frames_used == 5);
	assert_true(audit(sim) == 0);
	hvo_sim_close(sim);
}

static void test_sim_no_tables(void **state)
{
	/* The upper three, and one of PTEs. */
	struct hvo_sim *sim = sim_open(4, 4);
	const struct hvo_remap runs[] = {
		{ .page = 3, .pfn = 10, .nr = 7 },
		{ .page = 20, .pfn = 40, .nr = 7 },
		{ .page = 510, .pfn = 60, .nr = 7 }, /* reaches into the next table */
		{ .page = 30, .pfn = 80, .nr = 7 },
	};
	const struct hvo_remap back[] = {
		{ .page = 20, .pfn = HVO_SHARED_TAIL, .nr = 7 },
		{ .page = 3, .pfn = HVO_SHARED_TAIL, .nr = 7 },
	};
	unsigned int done = 99;
	uint64_t page;

	(void)state;
	assert_int_equal(hvo_sim_ops.remap(sim, runs, 4, &done), -HVO_ENOMEM);
	assert_int_equal(done, 2);
	assert_true(hvo_sim_ops.backing(sim, 26) == 46);
	for (page = 30; page < 1024; page++)
		assert_true(hvo_sim_ops.backing(sim, page) == HVO_SHARED_TAIL);
	assert_int_equal(hvo_sim_ops.remap(sim, back, 2, &done), 0);
	assert_int_equal(done, 2);
	hvo_sim_ops.flush(sim);
	for (page = 0; page < 1024; page++)
		assert_true(hvo_sim_ops.backing(sim, page) == HVO_SHARED_TAIL);
	assert_true(audit(sim) == 0);

	/* A leaf needs no table of PTEs; a part of it does; all of it can be taken back. */
	assert_int_equal(remap_one(sim, 512, 512, 512), 0);
	assert_int_equal(remap_one(sim, 513, HVO_SHARED_TAIL, 7), -HVO_ENOMEM);
	assert_true(hvo_sim_ops.backing(sim, 513) == 513);
	assert_int_equal(remap_one(sim, 512, HVO_SHARED_TAIL, 512), 0);
	assert_true(hvo_sim_ops.backing(sim, 513) == HVO_SHARED_TAIL);
	assert_int_equal(remap_one(sim, 512, 512, 512), 0);
	assert_true(hvo_sim_ops.backing(sim, 513) == 513);
	assert_true(stat_of(sim).table_frames_used == 4);
	assert_true(audit(sim) == 0);
	hvo_sim_close(sim);
}

static uint64_t roll(uint64_t *seed, uint64_t below)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (*seed >> 33) % below;
}

static void random_run(const struct hvo_sim *sim, uint64_t *seed, struct hvo_remap *run)
{
	bool leafy = !roll(seed, 3);

	/* Now and then the same pages as last time, folded. */
	if (run->nr && !roll(seed, 3)) {
		run->pfn = HVO_SHARED_TAIL;
		return;
	}
	run->nr = leafy ? 512 * (1 + roll(seed, 2)) : 1 + roll(seed, 20);
	run->page = roll(seed, sim->nr_pages - run->nr + 1);
	run->pfn = roll(seed, sim->nr_frames - run->nr + 1);
	if (leafy) {
		run->page &= ~UINT64_C(511);
		run->pfn &= ~UINT64_C(511);
	}
	if (!roll(seed, 3))
		run->pfn = HVO_SHARED_TAIL;
}

static uint64_t nth(hvo_pfn_t pfn, uint64_t i)
{
	return pfn == HVO_SHARED_TAIL ? HVO_SHARED_TAIL : pfn + i;
}

/* Random runs, some refused, some taken back, against a flat array. */
static void random_remaps(uint64_t seed, uint32_t table_frames, struct hvo_sim_stat *ret,
			  unsigned int *inverted)
{
	struct hvo_sim *sim = sim_open(seed, table_frames);
	uint64_t *model = (uint64_t *)malloc(sim->nr_pages * sizeof(*model));
	struct hvo_remap run = { .nr = 0 };
	uint64_t i, page, step;
	int err;

	assert_non_null(model);
	for (i = 0; i < sim->nr_pages; i++)
		model[i] = HVO_SHARED_TAIL;
	for (step = 0; step < 3000; step++) {
		random_run(sim, &seed, &run);
		err = remap_one(sim, run.page, run.pfn, run.nr);
		assert_true(!err || err == -HVO_ENOMEM);
		/* Back to what it was, where that is one run too, is never refused. */
		for (i = 1; i < run.nr && model[run.page + i] == nth(model[run.page], i); i++)
			;
		if (!err && i == run.nr && !roll(&seed, 3)) {
			assert_int_equal(remap_one(sim, run.page, model[run.page], run.nr), 0);
			run.pfn = model[run.page];
			*inverted += run.pfn != HVO_SHARED_TAIL;
		}
		hvo_sim_ops.flush(sim);
		for (i = 0; !err && i < run.nr; i++)
			model[run.page + i] = nth(run.pfn, i);
		for (i = 0; i < 20; i++) {
			page = i < 4 ? run.page + roll(&seed, run.nr) : roll(&seed, sim->nr_pages);
			assert_true(hvo_sim_ops.backing(sim, page) == model[page]);
			if (model[page] != HVO_SHARED_TAIL)
				assert_ptr_equal(touch(sim, page, true),
						 hvo_sim_ops.window(sim, model[page], 1));
			else
				assert_int_equal(*touch(sim, page, false), 0);
		}
	}
	for (page = 0; page < sim->nr_pages; page++)
		assert_true(hvo_sim_ops.backing(sim, page) == model[page]);
	assert_true(audit(sim) == 0);
	hvo_sim_stat(sim, ret);
	hvo_sim_close(sim);
	free(model);
}

static void test_sim_random(void **state)
{
	struct hvo_sim_stat stat = { .size = sizeof(stat) }, again = { .size = sizeof(again) };
	unsigned int inverted = 0;
	uint64_t seed;

	(void)state;
	for (seed = 0; seed < 10; seed++) {
		random_remaps(seed, (uint32_t)(3 + seed), &stat, &inverted);
		random_remaps(seed, (uint32_t)(3 + seed), &again, &inverted);
		assert_memory_equal(&stat, &again, sizeof(stat));
	}
	assert_in_range(inverted, 100, 100000);
	random_remaps(seed, 0, &stat, &inverted);
	assert_true(stat.pmd_splits > 0);
}

static void test_sim_default_tables(void **state)
{
	struct hvo_sim *sim = sim_open(5, 0);
	uint64_t page;

	(void)state;
	for (page = 0; page < sim->nr_pages; page += 512)
		assert_int_equal(remap_one(sim, page, page, 512), 0);
	for (page = 0; page < sim->nr_pages; page += 512)
		assert_int_equal(remap_one(sim, page + 1, HVO_SHARED_TAIL, 1), 0);
	assert_true(stat_of(sim).pmd_splits == sim->nr_pages / 512);
	assert_true(stat_of(sim).table_frames_used == sim->nr_tables);
	hvo_sim_close(sim);
}

static void test_sim_audit(void **state)
{
	struct hvo_sim *sim = sim_open(6, 0);

	(void)state;
	assert_int_equal(remap_one(sim, 0, 20, 3), 0);
	assert_true(audit(sim) == 0);
	sim->records[1]++;
	sim->records[4000] = 5;
	assert_true(audit(sim) == 2);
	hvo_sim_close(sim);
}

static void test_sim_not_present(void **state)
{
	struct hvo_sim *volatile sim = sim_open(7, 0);
	struct hvo_mmu_walk walk = { .start = HVO_SIM_VADDR,
				     .end = HVO_SIM_VADDR + HVO_FRAME_SIZE };
	uint64_t *entry;

	(void)state;
	assert_faults(HVO_SIM_NOT_PRESENT, touch(sim, sim->nr_pages, false));
	assert_faults(HVO_SIM_NOT_PRESENT,
		      hvo_sim_ops.translate(sim, array_page(sim, 0) - 1, false));

	/* Frames of the PUD, the PMD and the PTEs follow that of the PGD. */
	walk.flags = HVO_MMU_CREATE;
	assert_int_equal(hvo_mmu_walk(&sim->mmu, &walk, NULL), 0);
	entry = sim->mmu.table(sim, sim->mmu.root + 3);
	assert_true(entry[0] == sim->mmu.fill);
	entry[0] = 0;
	assert_true(audit(sim) == 1);
	assert_faults(HVO_SIM_NOT_PRESENT, touch(sim, 0, false));
	assert_faults(HVO_SIM_NOT_PRESENT, hvo_sim_ops.backing(sim, 0));
	hvo_sim_close(sim);
}

static void test_sim_array_traps(void **state)
{
	struct hvo_sim *sim = sim_open(8, 0);
	int status = 0;
	pid_t pid;

	(void)state;
	assert_int_equal(remap_one(sim, 0, 0, 1), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		/* Not cmocka's handlers, which would go on with the next test. */
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		*(volatile uint8_t *)array_page(sim, 0);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	hvo_sim_close(sim);
}

static void test_sim_frames(void **state)
{
	struct hvo_sim *volatile sim = sim_open(9, 0);
	uint8_t *bytes = (uint8_t *)hvo_sim_ops.window(sim, 0, sim->nr_frames);
	uint64_t i;

	(void)state;
	assert_int_equal((uintptr_t)bytes & (HVO_FRAME_SIZE - 1), 0);
	assert_int_equal(hvo_sim_ops.populate(sim, 4, 4), 0);
	memset(bytes + 4 * HVO_FRAME_SIZE, 5, 4 * HVO_FRAME_SIZE);
	hvo_sim_ops.copy(sim, 100, 4, 4);
	hvo_sim_ops.zero(sim, 101, 1);
	hvo_sim_ops.discard(sim, 102, 1);
	for (i = 0; i < 4; i++)
		assert_int_equal(bytes[(100 + i) * HVO_FRAME_SIZE + 9], i == 1 || i == 2 ? 0 : 5);
	/* Only what is there is written to. */
	assert_faults(HVO_SIM_NOT_POPULATED, hvo_sim_ops.zero(sim, 0, 512));
	assert_faults(HVO_SIM_NOT_POPULATED, hvo_sim_ops.copy(sim, 102, 4, 1));
	assert_int_equal(hvo_sim_ops.populate(sim, 102, 1), 0);
	hvo_sim_ops.zero(sim, 0, 512);
	assert_int_equal(bytes[4 * HVO_FRAME_SIZE], 0);

	/* The frame after the arena's last is the shared tail. */
	assert_faults(HVO_SIM_PANIC, hvo_sim_ops.window(sim, sim->nr_frames, 1));
	assert_faults(HVO_SIM_PANIC, hvo_sim_ops.window(sim, sim->nr_frames - 1, 2));
	assert_faults(HVO_SIM_PANIC, hvo_sim_ops.window(sim, 1, UINT64_MAX));
	assert_faults(HVO_SIM_PANIC, remap_one(sim, 0, sim->nr_frames, 1));
	assert_faults(HVO_SIM_PANIC, remap_one(sim, sim->nr_pages - 1, 0, 2));
	hvo_sim_close(sim);
}

static void test_sim_waits(void **state)
{
	struct hvo_sim *volatile sim = sim_open(10, 0);
	uint32_t word = 1;

	(void)state;
	sim->spin_limit = 1000;
	hvo_sim_ops.lock_wait(sim, &word, 2);
	hvo_sim_ops.lock_wake(sim, &word);
	hvo_sim_ops.quiesce(sim);
	hvo_sim_ops.read_lock(sim);
	hvo_sim_ops.read_lock(sim);
	hvo_sim_ops.read_unlock(sim);
	hvo_sim_ops.read_unlock(sim);
	hvo_sim_ops.quiesce(sim);
	assert_true(stat_of(sim).quiesces == 2);
	assert_faults(HVO_SIM_PANIC, hvo_sim_ops.lock_wait(sim, &word, 1));
	hvo_sim_ops.read_lock(sim);
	assert_faults(HVO_SIM_PANIC, hvo_sim_ops.quiesce(sim));
	/* Found at once, not by counting. */
	assert_string_equal(caught.what, "quiesce() inside read_lock()");
	hvo_sim_close(sim);

	/* Being in a read section when a sim goes away says nothing about the next. */
	sim = sim_open(10, 0);
	hvo_sim_ops.quiesce(sim);
	assert_faults(HVO_SIM_PANIC, hvo_sim_ops.read_unlock(sim));
	hvo_sim_close(sim);
}

static void count_event(void *arg, const struct hvo_event_record *event)
{
	unsigned int *n = (unsigned int *)arg;

	assert_int_equal(event->event, HVO_EVENT_CUT);
	(*n)++;
}

static void test_sim_time_trace_panic(void **state)
{
	struct hvo_sim *sim = sim_open(11, 0);
	struct hvo_event_record event = { .event = HVO_EVENT_CUT };
	unsigned int events = 0;
	uint64_t then = hvo_sim_ops.now_ns(sim);

	(void)state;
	assert_true(hvo_sim_ops.now_ns(sim) > then);
	then = hvo_sim_ops.now_ns(sim);
	hvo_sim_ops.sleep_ns(sim, 3600 * UINT64_C(1000000000));
	assert_true(stat_of(sim).now_ns - then == 3600 * UINT64_C(1000000000));

	hvo_sim_ops.trace(sim, &event);
	hvo_sim_set_trace(sim, count_event, &events);
	hvo_sim_ops.trace(sim, &event);
	assert_int_equal(events, 1);

	assert_faults(HVO_SIM_PANIC, hvo_sim_ops.panic(sim, "test", 55, NULL));
	assert_true(caught.where == 55);
	hvo_sim_close(sim);
}

struct reader {
	struct hvo_sim *sim;
	uint32_t stop;
	uint64_t bad, reads;
};

/* Sees the old or the new frame, never anything else and never a fault. */
static void *read_along(void *arg)
{
	struct reader *r = (struct reader *)arg;
	uint8_t value;

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED) || !r->reads) {
		hvo_sim_ops.read_lock(r->sim);
		value = *touch(r->sim, 5, false);
		hvo_sim_ops.read_unlock(r->sim);
		if (value > 2)
			r->bad++;
		r->reads++;
	}
	return NULL;
}

static void test_sim_threads(void **state)
{
	struct reader r = { .sim = sim_open(12, 0) };
	pthread_t thread;
	unsigned int i;

	(void)state;
	*(uint8_t *)hvo_sim_ops.window(r.sim, 200, 1) = 1;
	*(uint8_t *)hvo_sim_ops.window(r.sim, 201, 1) = 2;
	assert_int_equal(pthread_create(&thread, NULL, read_along, &r), 0);
	for (i = 0; i < 20000; i++) {
		assert_int_equal(remap_one(r.sim, 5, i % 3 ? 199 + i % 3 : HVO_SHARED_TAIL, 1), 0);
		hvo_sim_ops.flush(r.sim);
		assert_int_equal(*touch(r.sim, 5, false), i % 3);
		if (i % 64 == 0)
			hvo_sim_ops.quiesce(r.sim);
	}
	__atomic_store_n(&r.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_true(r.bad == 0 && r.reads > 0);
	hvo_sim_close(r.sim);
}

static void test_sim_huge(void **state)
{
	struct hvo_config cfg = { .size = sizeof(cfg), .memory_bytes = UINT64_C(16) << 40 };
	struct hvo_sim *sim;
	uint64_t page;

	(void)state;
	/* Not where the host forbids to reserve so much. */
	if (hvo_sim_open(&cfg, NULL, &sim))
		skip();
	for (page = 0; page < sim->nr_pages; page += sim->nr_pages / 8)
		assert_int_equal(remap_one(sim, page + 600, page * 64, 7), 0);
	hvo_sim_ops.flush(sim);
	for (page = 0; page < sim->nr_pages; page += sim->nr_pages / 8) {
		*touch(sim, page + 603, true) = 3;
		assert_int_equal(*(uint8_t *)hvo_sim_ops.window(sim, page * 64 + 3, 1), 3);
	}
	assert_true(stat_of(sim).table_frames_used < 40);
	hvo_sim_close(sim);
}

#define walk_test(f) cmocka_unit_test_setup_teardown(f, tables_setup, tables_teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		walk_test(test_walk_create),
		walk_test(test_walk_ranges),
		walk_test(test_walk_split),
		walk_test(test_walk_split_bits),
		walk_test(test_walk_try_table),
		walk_test(test_walk_undo),
		walk_test(test_walk_create_no_memory),
		walk_test(test_walk_giga_leaf),
		cmocka_unit_test(test_sim_options),
		cmocka_unit_test(test_sim_starts_shared),
		cmocka_unit_test(test_sim_remap_to_frames),
		cmocka_unit_test(test_sim_stale_tlb),
		cmocka_unit_test(test_sim_leaf),
		cmocka_unit_test(test_sim_no_tables),
		cmocka_unit_test(test_sim_random),
		cmocka_unit_test(test_sim_default_tables),
		cmocka_unit_test(test_sim_audit),
		cmocka_unit_test(test_sim_not_present),
		cmocka_unit_test(test_sim_array_traps),
		cmocka_unit_test(test_sim_frames),
		cmocka_unit_test(test_sim_waits),
		cmocka_unit_test(test_sim_time_trace_panic),
		cmocka_unit_test(test_sim_threads),
		cmocka_unit_test(test_sim_huge),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
