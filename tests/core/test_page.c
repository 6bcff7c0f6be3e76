// SPDX-License-Identifier: MIT
/*
 * Descriptors: the arithmetic of the array, the table of transitions, and the way
 * from any frame to the head of its block.
 *
 * States and locks: none beyond one machine for each test.
 * In Linux: mm/debug_vm_pgtable.c is near; nothing tests compound_head() by itself.
 */
#include "harness.h"

#include <string.h>

#include "core/lock.h"
#include "core/page.h"
#include "core/sort.h"

/* ---- records in order --------------------------------------------------------------- */

static void test_sort(void **state)
{
	uint64_t v[3 * 100], sum = 0;
	unsigned int i, words, nr;

	(void)state;
	for (words = 1; words <= SORT_WORDS; words++)
		for (nr = 0; nr <= 100; nr++) {
			for (i = 0; i < nr * words; i++)
				v[i] = i % words ? v[i - 1] + 1 : (i / words * 37 + 11) % 101;
			sort_records(v, nr, words);
			for (i = 0, sum = 0; i < nr * words; i++) {
				sum += i % words ? 0 : v[i];
				/* What lies behind its first word comes along, and none is lost. */
				assert_true(i % words ? v[i] == v[i - 1] + 1 :
							i < words || v[i] > v[i - words]);
			}
			for (i = 0; i < nr; i++)
				sum -= (i * 37 + 11) % 101;
			assert_int_equal(sum, 0);
		}
}

/* ---- the array -------------------------------------------------------------------- */

static void test_layout(void **state)
{
	struct hvo_memmap mm = { .array = NULL };
	struct hvo_config cfg = { .size = sizeof(cfg), .memory_bytes = 5 * GIB };
	uint64_t page, pages = hvo_memmap_pages(&cfg), q, block;

	(void)state;
	assert_int_equal(pages, 1);
	cfg.layout = HVO_LAYOUT_VIRTUAL;
	pages = hvo_memmap_pages(&cfg);
	assert_int_equal(pages, 5 * 4096);
	cfg.hotplug_bytes = 128 * MIB;
	assert_int_equal(hvo_memmap_pages(&cfg), 6 * 4096);
	cfg.layout = HVO_LAYOUT_DEFAULT;
	cfg.mode = HVO_LINUX;
	assert_int_equal(hvo_memmap_pages(&cfg), 6 * 4096);
	cfg.layout = HVO_LAYOUT_TABLE;
	assert_int_equal(hvo_memmap_pages(&cfg), 1);
	/* One section less than 16 TiB is the most that a table is for. */
	cfg = (struct hvo_config){ .size = sizeof(cfg),
				   .memory_bytes = (UINT64_C(16) << 40) - HVO_SECTION_SIZE };
	assert_int_equal(hvo_memmap_pages(&cfg), 1);
	cfg.hotplug_bytes = HVO_SECTION_SIZE;
	assert_int_equal(hvo_memmap_pages(&cfg), UINT64_C(16) * 1024 * 4096);
	cfg.layout = HVO_LAYOUT_TABLE;
	assert_int_equal(hvo_memmap_pages(&cfg), 0);
	cfg.layout = HVO_LAYOUT_TABLE + 1;
	assert_int_equal(hvo_memmap_pages(&cfg), 0);
	for (q = 0; q < pages; q++) {
		page = hvo_memmap_slot(q);
		assert_true(page < pages);
		assert_int_equal(page / 4096, q / 4096);
		assert_int_equal(hvo_memmap_group(page), q);
		/* A head page is one of the first 512 of its GiB. */
		assert_int_equal(page % 4096 < 512, q % 8 == 0);
		assert_int_equal(hvo_memmap_slot(hvo_memmap_group(q)), q);
	}
	for (block = 0; block < 5 * 512; block++) {
		assert_int_equal(hvo_pageblock_head_page(block),
				 (block & ~UINT64_C(511)) * 8 + block % 512);
		assert_int_equal(hvo_pageblock_tail_page(block),
				 (block & ~UINT64_C(511)) * 8 + 512 + block % 512 * 7);
	}
	mm.nr_frames = 5 * GIB / HVO_FRAME_SIZE;
	assert_int_equal(mm.nr_frames / HVO_PAGES_PER_FRAME, pages);
}

/* Every frame of several GiB, there and back. */
static void test_pfn_and_descriptor(void **state)
{
	struct hvo_memmap mm = { .array = NULL };
	hvo_pfn_t pfn, nr = 3 * GIB / HVO_FRAME_SIZE;
	struct hvo_page *first;
	struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM,
		 &(struct hvo_config){ .size = sizeof(struct hvo_config),
				       .memory_bytes = 3 * GIB,
				       .layout = HVO_LAYOUT_VIRTUAL });
	mm = *hvo_machine_memmap(r.m);
	assert_int_equal(mm.nr_frames, nr);
	first = mm.array;
	for (pfn = 0; pfn < nr; pfn++) {
		struct hvo_page *page = hvo_page_addr(&mm, pfn);

		if (page < first || page >= first + nr || hvo_page_to_pfn(&mm, page) != pfn)
			fail_msg("frame %llu", (unsigned long long)pfn);
		if (hvo_page_addr(&mm, hvo_page_to_pfn(&mm, first + pfn)) != first + pfn)
			fail_msg("descriptor %llu", (unsigned long long)pfn);
	}
	rig_close(&r);
}

static void test_zero_is_a_tail(void **state)
{
	struct hvo_page page;

	(void)state;
	memset(&page, 0, sizeof(page));
	assert_int_equal(sizeof(page), 64);
	assert_int_equal(hvo_page_state(&page), HVO_PAGE_TAIL);
	assert_int_equal(hvo_page_refs(&page), 0);
	assert_int_equal(page.flags, 0);
	assert_true(page_transitions[HVO_PAGE_USED] & (1u << HVO_PAGE_TAIL));
}

/* ---- transitions ------------------------------------------------------------------- */

static const char *const names[HVO_PAGE_NR_STATES] = { "tail",	    "free",	 "used",
						       "huge free", "huge used", "memmap",
						       "poisoned",  "isolated",	 "taken" };

/* legal[from][to], in the order of the names */
static const char *const legal[HVO_PAGE_NR_STATES] = {
	/*		 tfuHUmpiT */
	[HVO_PAGE_TAIL] = "yyy--yyyy",	       [HVO_PAGE_FREE] = "yy---yy-y",
	[HVO_PAGE_USED] = "yyy------",	       [HVO_PAGE_HUGETLB_FREE] = "----y---y",
	[HVO_PAGE_HUGETLB_USED] = "---y----y", [HVO_PAGE_MEMMAP] = "yy-------",
	[HVO_PAGE_POISONED] = "--------y",     [HVO_PAGE_ISOLATED] = "y-----y-y",
	[HVO_PAGE_TAKEN] = "yyyyyyyyy",
};

static void test_transitions(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 128);
	unsigned int from, to;
	struct rig r;
	hvo_pfn_t pfn;

	(void)state;
	print_message("%-10s", "from \\ to");
	for (to = 0; to < HVO_PAGE_NR_STATES; to++)
		print_message(" %-9s", names[to]);
	for (from = 0; from < HVO_PAGE_NR_STATES; from++) {
		print_message("\n%-10s", names[from]);
		for (to = 0; to < HVO_PAGE_NR_STATES; to++) {
			bool yes = page_transitions[to] & (1u << from);

			print_message(" %-9s", yes ? "yes" : "-");
			assert_int_equal(yes, legal[from][to] == 'y');
		}
	}
	print_message("\n");
	/* The only function that performs them performs these and stops at the others. */
	rig_open(&r, RIG_SIM, &cfg);
	pfn = rig_alloc(&r, HVO_GFP_KERNEL, 0);
	for (from = 0; from < HVO_PAGE_NR_STATES; from++) {
		for (to = 0; to < HVO_PAGE_NR_STATES; to++) {
			struct hvo_page *page = page_rw(r.m, pfn);

			if (legal[from][to] != 'y')
				continue;
			page->state = (uint8_t)from;
			page_set_state(r.m, pfn, page, (enum hvo_page_state)to, 3);
			assert_int_equal(hvo_page_state(page), to);
			assert_int_equal(page->order, 3);
		}
	}
	rig_close(&r);
}

static void illegal_transition(unsigned int from, unsigned int to)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 128);
	static struct rig r;
	static struct hvo_page *page;
	static hvo_pfn_t pfn;

	rig_open(&r, RIG_SIM, &cfg);
	pfn = rig_alloc(&r, HVO_GFP_KERNEL, 0);
	page = page_rw(r.m, pfn);
	page->state = (uint8_t)from;
	if (!rig_panics(&r)) {
		page_set_state(r.m, pfn, page, (enum hvo_page_state)to, 0);
		fail_msg("%s became %s", names[from], names[to]);
	}
	assert_string_equal(r.panic_what, "PAGE-1: transition");
	assert_int_equal(page->state, from);
	rig_close(&r);
}

static void test_illegal_transitions(void **state)
{
	unsigned int from, to;

	(void)state;
	for (from = 0; from < HVO_PAGE_NR_STATES; from++)
		for (to = 0; to < HVO_PAGE_NR_STATES; to++)
			if (legal[from][to] != 'y')
				illegal_transition(from, to);
}

/* ---- heads ----------------------------------------------------------------------------- */

static void check_heads(struct rig *r, hvo_pfn_t head, unsigned int order)
{
	const struct hvo_memmap *mm = hvo_machine_memmap(r->m);
	hvo_pfn_t end = head + (UINT64_C(1) << order), pfn, got;

	assert_int_equal(head & ((UINT64_C(1) << order) - 1), 0);
	for (pfn = head; pfn < end; pfn++)
		if (hvo_page_head(mm, pfn) != head)
			fail_msg("order %u, frame %#llx", order, (unsigned long long)pfn);
	/* A reference through its last frame is one on the head. */
	assert_int_equal(hvo_get_page(r->m, end - 1, &got), 0);
	assert_int_equal(got, head);
	assert_int_equal(hvo_page_refs(rig_page(r, head)), 2);
	rig_put(r, end - 1);
	assert_int_equal(hvo_page_refs(rig_page(r, head)), 1);
}

/* Orders first, first + 2, ...: all of them together do not fit. */
static void heads_of(struct rig *r, unsigned int first)
{
	hvo_pfn_t pfn[HVO_MAX_ORDER + 1];
	int order, top = HVO_MAX_ORDER - (int)(first & 1);

	/* From the largest down: a machine of 2 GiB has one GiB that is whole. */
	for (order = top; order >= 0; order -= 2)
		pfn[order] = rig_alloc(r, HVO_GFP_KERNEL, (unsigned int)order);
	for (order = top; order >= 0; order -= 2)
		check_heads(r, pfn[order], (unsigned int)order);
	/* With holes around them the answer is the same. */
	for (order = top; order >= 0; order -= 4)
		rig_put(r, pfn[order]);
	for (order = top - 2; order >= 0; order -= 4) {
		check_heads(r, pfn[order], (unsigned int)order);
		rig_put(r, pfn[order]);
	}
	rig_audit(r);
}

static void heads(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 2048);
	hvo_pfn_t one;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	heads_of(&r, 0);
	heads_of(&r, 1);
	one = rig_alloc(&r, HVO_GFP_KERNEL, 0);
	check_heads(&r, one, 0);
	rig_put(&r, one);
	rig_audit(&r);
	rig_close(&r);
}

static void test_heads(void **state)
{
	(void)state;
	heads(HVO_ON_DEMAND);
}

static void test_heads_linux_mode(void **state)
{
	(void)state;
	heads(HVO_LINUX);
}

/* Huge pages of the pools of Linux mode: their tails are never read. */
static void test_heads_folded(void **state)
{
	static const unsigned int orders[] = { 18, 12, 9 };
	struct hvo_config cfg = rig_config(HVO_LINUX, 2048);
	struct hvo_pool *pool;
	struct rig r;
	hvo_pfn_t pfn;
	unsigned int i;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	for (i = 0; i < 3; i++) {
		assert_int_equal(hvo_pool_create(r.m, orders[i], &pool), 0);
		assert_int_equal(rig_resize(pool, HVO_NODE_ANY, 1).done, 1);
		assert_int_equal(rig_pool(pool, 0).optimized, 1);
		assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_KERNEL, HVO_NODE_ANY, &pfn), 0);
		check_heads(&r, pfn, orders[i]);
		assert_int_equal(hvo_pool_free(pool, pfn), 0);
	}
	rig_audit(&r);
	rig_close(&r);
}

/* What is released is held: a lock that nobody took is noticed at the latest when it is let go. */
static void test_release(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 128);
	static struct rig r;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	lock_acquire(r.m, &r.m->memmap_lock);
	lock_release(r.m, &r.m->memmap_lock);
	if (!rig_panics(&r)) {
		lock_release(r.m, &r.m->memmap_lock);
		fail_msg("released twice");
	}
	assert_string_equal(r.panic_what, "LOCK-1: a lock is released that nobody holds");
	rig_close(&r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sort),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_pfn_and_descriptor),
		cmocka_unit_test(test_zero_is_a_tail),
		cmocka_unit_test(test_transitions),
		cmocka_unit_test(test_illegal_transitions),
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_heads_linux_mode),
		cmocka_unit_test(test_heads_folded),
		cmocka_unit_test(test_release),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
