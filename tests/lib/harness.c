// SPDX-License-Identifier: MIT
/*
 * Machines to test with: see harness.h.
 *
 * States: a rig is open or closed. Locks: none; failures are for tests of one thread.
 */
#include "harness.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "layout.h"

#define FINDINGS_SHOWN 20

/* Above this many frames only one in SAMPLE is looked at. */
#define ALL_FRAMES 8192
#define SAMPLE 61

/* From this many frames on the system is asked for all of them at once. */
#define POPULATE_FROM 16

static uint64_t word_of(hvo_pfn_t pfn, unsigned int i)
{
	return (pfn << 8 | i) * UINT64_C(0x9e3779b97f4a7c15);
}

void rig_mark(struct rig *r, hvo_pfn_t pfn)
{
	unsigned int i;

	for (i = 0; i < pfn % 3; i++)
		assert_int_equal(hvo_get_page(r->m, pfn, NULL), 0);
	for (i = 0; i < pfn % 2; i++)
		assert_int_equal(hvo_map_page(r->m, pfn), 0);
	for (i = 0; i < HVO_PAGE_PRIVATE; i++)
		assert_int_equal(hvo_page_set_private(r->m, pfn, i, word_of(pfn, i)), 0);
}

void rig_unmark(struct rig *r, hvo_pfn_t pfn)
{
	uint64_t word = 0;
	unsigned int i;

	assert_int_equal(rig_page(r, pfn)->refcount, 1 + pfn % 3);
	assert_int_equal(rig_page(r, pfn)->mapcount, pfn % 2);
	for (i = 0; i < HVO_PAGE_PRIVATE; i++) {
		assert_int_equal(hvo_page_private(r->m, pfn, i, &word), 0);
		assert_int_equal(word, word_of(pfn, i));
	}
	for (i = 0; i < pfn % 2; i++)
		assert_int_equal(hvo_unmap_page(r->m, pfn), 0);
	for (i = 0; i < pfn % 3; i++)
		rig_put(r, pfn);
}

uint64_t rig_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* ---- what the sim calls, and failures ---------------------------------------------- */

static void on_call(void *arg, enum hvo_sim_call call, hvo_pfn_t pfn, uint64_t nr)
{
	struct rig *r = arg;

	if (call == HVO_SIM_SLEEP)
		__atomic_add_fetch(&r->sleeps, 1, __ATOMIC_RELAXED);
	if (r->on_call)
		r->on_call(r->on_call_arg);
	if (call == HVO_SIM_SLEEP && r->on_sleep)
		r->on_sleep(r->on_sleep_arg, nr);
	if (call == HVO_SIM_POPULATE && r->on_populate)
		r->on_populate(r->on_populate_arg, pfn, nr);
}

static void record_event(void *arg, const struct hvo_event_record *event)
{
	struct rig *r = arg;

	if (r->quiet)
		return;
	r->events[event->event]++;
	r->last_event[event->event] = *event;
}

void rig_fail(struct rig *r, const struct hvo_sim_failures *failures)
{
	hvo_sim_fail(r->sim, failures);
	if (!failures->at)
		repeat_with("HVO_FAULT", NULL);
	else if (failures->also)
		repeat_with("HVO_FAULT", "%" PRIu64 ",%" PRIu64, failures->at, failures->also);
	else
		repeat_with("HVO_FAULT", "%" PRIu64 "%s", failures->at,
			    failures->sticky ? "+" : "");
}

void rig_arm(struct rig *r, uint64_t fail_at, bool sticky)
{
	rig_fail(r, &(struct hvo_sim_failures){ .at = fail_at, .sticky = sticky });
}

struct hvo_sim_stat rig_sim(struct rig *r)
{
	struct hvo_sim_stat s = { .size = sizeof(s) };

	assert_int_equal(hvo_sim_stat(r->sim, &s), 0);
	return s;
}

bool rig_disarm(struct rig *r)
{
	bool failed = rig_sim(r).failures;

	hvo_sim_fail(r->sim, NULL);
	return failed;
}

/* HVO_FAULT after @prefix; false if it is not set, or begins otherwise. */
static bool asked_to_fail(const char *prefix, struct hvo_sim_failures *ret)
{
	const char *text = getenv("HVO_FAULT"), *point;
	char *end;

	if (!text || (text[0] == '@') != (prefix[0] == '@'))
		return false;
	point = text + strlen(prefix);
	*ret = (struct hvo_sim_failures){ .at = strtoull(point, &end, 10) };
	if (*end == ',')
		ret->also = strtoull(end + 1, &end, 10);
	ret->sticky = *end == '+';
	end += ret->sticky;
	if (*end || !ret->at)
		fail_msg("HVO_FAULT=%s: neither POINT, POINT+ nor POINT,POINT, nor @ and these",
			 text);
	return true;
}

bool rig_asked_to_fail(struct hvo_sim_failures *ret)
{
	return asked_to_fail("", ret);
}

/* ---- opening and closing ----------------------------------------------------------- */

static void on_fault(void *arg, enum hvo_sim_fault fault, const char *what, uint64_t where)
{
	struct rig *r = arg;

	if (r->may_panic) {
		r->panic_what = what;
		longjmp(r->panic, 1);
	}
	fail_msg("fault %d of the simulated machine: %s (%#" PRIx64 ")", (int)fault, what, where);
}

bool rig_table(const struct rig *r)
{
	return hvo_machine_memmap(r->m)->table;
}

unsigned int rig_tails(const struct rig *r)
{
	return hvo_pageblock_tails(r->m);
}

unsigned int rig_lasting(const struct rig *r)
{
	if (hvo_machine_config(r->m)->mode == HVO_LINUX)
		return HVO_PAGEBLOCK_MEMMAP;
	return HVO_PAGEBLOCK_MEMMAP - rig_tails(r);
}

uint64_t rig_slot(const struct rig *r, uint64_t group)
{
	return rig_table(r) ? group : hvo_memmap_slot(group);
}

uint64_t rig_group(const struct rig *r, uint64_t slot)
{
	return rig_table(r) ? slot : hvo_memmap_group(slot);
}

uint64_t rig_tail_slot(const struct rig *r, uint64_t pageblock)
{
	return rig_table(r) ? pageblock << 3 : hvo_pageblock_tail_page(pageblock);
}

uint64_t rig_head_slot(const struct rig *r, uint64_t pageblock)
{
	return rig_slot(r, pageblock << 3);
}

hvo_pfn_t rig_backing(const struct rig *r, uint64_t slot)
{
	const struct hvo_memmap *mm = hvo_machine_memmap(r->m);

	if (!mm->table)
		return r->sim ? hvo_sim_ops.backing(r->sim, slot) :
				hvo_linux_ops.backing(r->host, slot);
	return mm->table[slot] ? mm->table[slot] - UINT64_C(1) : HVO_SHARED_TAIL;
}

struct hvo_config rig_config(enum hvo_mode mode, uint64_t mib)
{
	return (struct hvo_config){
		.size = sizeof(struct hvo_config),
		.memory_bytes = mib * MIB,
		.min_free_bytes = HVO_FRAME_SIZE,
		.mode = mode,
		.clear = HVO_CLEAR_NEVER,
		.optimize = true,
		.layout = layout_asked(mode),
	};
}

struct hvo_config rig_config_aside(enum hvo_mode mode, uint64_t mib)
{
	struct hvo_config cfg = rig_config(mode, mib);

	if (mode == HVO_ON_DEMAND)
		cfg.layout = HVO_LAYOUT_VIRTUAL;
	return cfg;
}

uint32_t rig_never_isolate(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
			   unsigned int order)
{
	(void)owner;
	(void)m;
	(void)pfn;
	(void)order;
	return 0;
}

int rig_never_move(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t dst, hvo_pfn_t src,
		   unsigned int order)
{
	(void)owner;
	(void)m;
	(void)dst;
	(void)src;
	(void)order;
	return -HVO_EBUSY;
}

void rig_putback(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	(void)owner;
	(void)m;
	(void)pfn;
	(void)order;
}

void rig_open(struct rig *r, enum rig_platform platform, const struct hvo_config *cfg)
{
	struct hvo_sim_options opt = { .size = sizeof(opt),
				       .seed = 1,
				       .on_fault = on_fault,
				       .on_fault_arg = r,
				       .on_call = on_call,
				       .on_call_arg = r };
	struct hvo_sim_failures asked;
	const struct hvo_linux_options sparse = { .size = sizeof(sparse), .sparse = true };

	memset(r, 0, sizeof(*r));
	switch (platform) {
	case RIG_SIM:
		assert_int_equal(hvo_sim_create(cfg, &opt, &r->sim), 0);
		hvo_sim_set_trace(r->sim, record_event, r);
		/* It is in the environment, so that the line that repeats the test has it. */
		if (asked_to_fail("@", &asked))
			hvo_sim_fail(r->sim, &asked);
		r->m = hvo_sim_machine(r->sim);
		break;
	case RIG_SPARSE:
		r->quiet = true;
		assert_int_equal(hvo_linux_create(cfg, &sparse, &r->host), 0);
		r->m = hvo_linux_machine(r->host);
		break;
	case RIG_LINUX:
		assert_int_equal(hvo_linux_create(cfg, NULL, &r->host), 0);
		hvo_linux_set_trace(r->host, record_event, r);
		r->m = hvo_linux_machine(r->host);
		break;
	}
}

void rig_close(struct rig *r)
{
	hvo_sim_close(r->sim);
	hvo_linux_close(r->host);
	memset(r, 0, sizeof(*r));
}

/* ---- audit ---------------------------------------------------------------------------- */

static void show_finding(void *arg, const struct hvo_finding *f)
{
	unsigned int *shown = arg;

	if ((*shown)++ < FINDINGS_SHOWN)
		print_error("audit: %s %s, at %#" PRIx64 ": expected %" PRIu64 ", found %" PRIu64
			    "\n",
			    f->rule, f->what, f->where, f->expected, f->found);
}

uint64_t rig_findings(struct rig *r)
{
	unsigned int shown = 0;

	return (uint64_t)hvo_machine_audit(r->m, show_finding, &shown);
}

void rig_audit_at(struct rig *r, const char *file, int line)
{
	uint64_t nr = rig_findings(r);

	if (!nr)
		return;
	print_error("audit: %" PRIu64 " findings\n", nr);
	_fail(file, line);
}

/* ---- contents --------------------------------------------------------------------------- */

static uint64_t step_of(uint64_t nr)
{
	return nr > ALL_FRAMES ? SAMPLE : 1;
}

/* @visit each sampled word; false from it ends. */
static bool each_word(struct rig *r, hvo_pfn_t pfn, uint64_t nr, uint64_t tag, hvo_pfn_t origin,
		      bool (*visit)(uint64_t *word, uint64_t value))
{
	uint64_t i, k;

	for (i = 0; i < nr; i += step_of(nr)) {
		uint64_t seed = (origin + i) * UINT64_C(0x9e3779b97f4a7c15) ^ tag << 20;
		uint64_t *bytes = hvo_window(r->m, pfn + i, 1);

		assert_non_null(bytes);
		for (k = 0; k < HVO_FRAME_SIZE / 8; k += 8)
			if (!visit(bytes + k, (seed + k) | 1))
				return false;
	}
	return true;
}

static bool set_word(uint64_t *word, uint64_t value)
{
	*word = value;
	return true;
}

static bool word_is(uint64_t *word, uint64_t value)
{
	return *word == value;
}

static bool word_is_zero(uint64_t *word, uint64_t value)
{
	unsigned int i;

	(void)value;
	for (i = 0; i < 8; i++)
		if (word[i])
			return false;
	return true;
}

void rig_fill(struct rig *r, hvo_pfn_t pfn, uint64_t nr, uint64_t tag)
{
	void *bytes = hvo_window(r->m, pfn, nr);

	/* Every frame is written to: one call costs less than a page fault for each. */
	if (bytes && nr >= POPULATE_FROM && step_of(nr) == 1)
		(void)madvise(bytes, nr * HVO_FRAME_SIZE, MADV_POPULATE_WRITE);
	each_word(r, pfn, nr, tag, pfn, set_word);
}

bool rig_intact(struct rig *r, hvo_pfn_t pfn, uint64_t nr, uint64_t tag)
{
	return each_word(r, pfn, nr, tag, pfn, word_is);
}

bool rig_moved_intact(struct rig *r, hvo_pfn_t pfn, uint64_t nr, uint64_t tag, hvo_pfn_t origin)
{
	return each_word(r, pfn, nr, tag, origin, word_is);
}

void rig_fill_some(struct rig *r, hvo_pfn_t pfn, uint64_t nr, uint64_t tag)
{
	uint64_t i;

	for (i = 0; i < nr; i += SAMPLE)
		rig_fill(r, pfn + i, 1, tag);
}

bool rig_some_intact(struct rig *r, hvo_pfn_t pfn, uint64_t nr, uint64_t tag)
{
	uint64_t i;

	for (i = 0; i < nr; i += SAMPLE)
		if (!rig_intact(r, pfn + i, 1, tag))
			return false;
	return true;
}

bool rig_zero(struct rig *r, hvo_pfn_t pfn, uint64_t nr)
{
	return each_word(r, pfn, nr, 0, pfn, word_is_zero);
}

/* ---- hog ---------------------------------------------------------------------------------- */

static void hog_add(struct hog *h, hvo_pfn_t pfn, unsigned int order)
{
	if (h->nr == h->max) {
		h->max = h->max ? 2 * h->max : 256;
		h->blocks = realloc(h->blocks, h->max * sizeof(*h->blocks));
		if (!h->blocks)
			abort();
	}
	h->blocks[h->nr++] = (struct hog_block){ pfn, order };
}

void hog_all(struct rig *r, struct hog *h, uint64_t left, bool fill)
{
	unsigned int order = hvo_machine_config(r->m)->max_order + 1;
	uint64_t first = h->nr, i;
	hvo_pfn_t pfn;

	for (i = 0; i < left; i++) {
		assert_int_equal(hvo_alloc_pages(r->m, GFP_HOG, 0, HVO_NODE_ANY, &pfn), 0);
		hog_add(h, pfn, 0);
	}
	while (order--) {
		while (!hvo_alloc_pages(r->m, GFP_HOG, order, HVO_NODE_ANY, &pfn))
			hog_add(h, pfn, order);
	}
	for (i = first; i < first + left; i++)
		rig_put(r, h->blocks[i].pfn);
	memmove(h->blocks + first, h->blocks + first + left,
		(h->nr - first - left) * sizeof(*h->blocks));
	h->nr -= left;
	assert_int_equal(rig_free(r), left);
	h->filled = fill;
	for (i = first; fill && i < h->nr; i++)
		rig_fill(r, h->blocks[i].pfn, UINT64_C(1) << h->blocks[i].order, 0xb0);
}

bool hog_intact(struct rig *r, const struct hog *h)
{
	uint64_t i;

	for (i = 0; h->filled && i < h->nr; i++)
		if (!rig_intact(r, h->blocks[i].pfn, UINT64_C(1) << h->blocks[i].order, 0xb0))
			return false;
	return true;
}

void hog_release(struct rig *r, struct hog *h, uint64_t nr)
{
	while (h->nr && nr--)
		rig_put(r, h->blocks[--h->nr].pfn);
	if (h->nr)
		return;
	free(h->blocks);
	memset(h, 0, sizeof(*h));
}

/* ---- shorthand --------------------------------------------------------------------------- */

struct hvo_machine_stat rig_stat(struct rig *r)
{
	struct hvo_machine_stat s = { .size = sizeof(s) };

	hvo_machine_stat(r->m, &s);
	return s;
}

uint64_t rig_free(struct rig *r)
{
	return rig_stat(r).free_frames;
}

struct hvo_zone_stat rig_zone(struct rig *r, int node, enum hvo_zone_type type)
{
	struct hvo_zone_stat s = { .size = sizeof(s) };

	assert_int_equal(hvo_zone_stat(r->m, node, type, &s), 0);
	return s;
}

struct hvo_pool *rig_pool_new(struct rig *r, unsigned int order)
{
	struct hvo_pool *pool = NULL;

	assert_int_equal(hvo_pool_create(r->m, order, &pool), 0);
	return pool;
}

hvo_pfn_t rig_take(struct hvo_pool *pool, int node)
{
	hvo_pfn_t pfn = HVO_PFN_NONE;

	assert_int_equal(hvo_pool_alloc(pool, HVO_GFP_KERNEL, node, &pfn), 0);
	return pfn;
}

hvo_pfn_t rig_take_reserved(struct hvo_pool *pool)
{
	hvo_pfn_t pfn = HVO_PFN_NONE;

	assert_int_equal(hvo_pool_alloc_reserved(pool, HVO_GFP_KERNEL, HVO_NODE_ANY, &pfn), 0);
	return pfn;
}

struct hvo_pool_stat rig_pool(struct hvo_pool *pool, int node)
{
	struct hvo_pool_stat s = { .size = sizeof(s) };

	assert_int_equal(hvo_pool_stat(pool, node, &s), 0);
	return s;
}

hvo_pfn_t rig_alloc(struct rig *r, unsigned int gfp, unsigned int order)
{
	hvo_pfn_t pfn = HVO_PFN_NONE;

	assert_int_equal(hvo_alloc_pages(r->m, gfp, order, HVO_NODE_ANY, &pfn), 0);
	return pfn;
}

void rig_put(struct rig *r, hvo_pfn_t pfn)
{
	assert_int_equal(hvo_put_page(r->m, pfn), 0);
}

const struct hvo_page *rig_page(struct rig *r, hvo_pfn_t pfn)
{
	return hvo_page_ro(hvo_machine_memmap(r->m), pfn);
}

struct hvo_resize_result rig_resize(struct hvo_pool *pool, int node, uint64_t nr)
{
	struct hvo_resize_result res = { .size = sizeof(res) };

	assert_int_equal(hvo_pool_resize(pool, node, nr, &res), 0);
	return res;
}

uint64_t rig_seed(uint64_t otherwise)
{
	const char *text = getenv("HVO_SEED");

	return text ? strtoull(text, NULL, 0) : otherwise;
}
