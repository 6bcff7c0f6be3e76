// SPDX-License-Identifier: MIT
/*
 * Machines to test with: see harness.h.
 *
 * States: a rig is open or closed; RIG_FAULTY is a sim behind one more layer of
 * struct hvo_platform_ops. Locks: none; faults are for tests of one thread.
 *
 * In Linux: lib/fault-inject.c.
 */
#include "harness.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define FINDINGS_SHOWN 20

/* Above this many frames only one in SAMPLE is looked at. */
#define ALL_FRAMES 8192
#define SAMPLE 61

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

/* ---- the platform that fails ---------------------------------------------------- */

static bool page_in_last(const struct rig_fault *f, uint64_t page)
{
	unsigned int i;

	for (i = 0; i < f->nr_last; i++)
		if (page - f->last[i].page < f->last[i].nr)
			return true;
	return false;
}

/* Only pages that the last remap() changed: the way back, which must not fail. */
static bool is_way_back(const struct rig_fault *f, const struct hvo_remap *runs, unsigned int nr)
{
	unsigned int i;
	uint64_t k;

	if (!f->failures)
		return false;
	for (i = 0; i < nr; i++)
		for (k = 0; k < runs[i].nr; k++)
			if (!page_in_last(f, runs[i].page + k))
				return false;
	return true;
}

/* How many of the next @nr points pass; @nr if all do. What is behind a failure does not count. */
static unsigned int pass_points(struct rig_fault *f, unsigned int nr)
{
	unsigned int i;

	for (i = 0; f->armed && i < nr; i++) {
		f->points++;
		if (f->points != f->fail_at && f->points != f->fail_also &&
		    !(f->sticky && f->failures))
			continue;
		f->failures++;
		return i;
	}
	return nr;
}

static void remember(struct rig_fault *f, const struct hvo_remap *runs, unsigned int nr)
{
	if (nr > f->max_last) {
		f->last = realloc(f->last, nr * sizeof(*f->last));
		if (!f->last)
			abort();
		f->max_last = nr;
	}
	if (nr)
		memcpy(f->last, runs, nr * sizeof(*f->last));
	f->nr_last = nr;
}

static void call(struct rig *r)
{
	if (r->on_call)
		r->on_call(r->on_call_arg);
}

static int faulty_remap(void *ctx, const struct hvo_remap *runs, unsigned int nr,
			unsigned int *ret_done)
{
	struct rig *r = ctx;
	unsigned int pass;
	int rc;

	call(r);
	if (is_way_back(&r->fault, runs, nr))
		return hvo_sim_ops.remap(r->sim, runs, nr, ret_done);
	pass = pass_points(&r->fault, nr);
	rc = hvo_sim_ops.remap(r->sim, runs, pass, ret_done);
	if (r->fault.armed)
		remember(&r->fault, runs, *ret_done);
	return rc || pass == nr ? rc : -HVO_ENOMEM;
}

static void note_refused(struct rig *r, hvo_pfn_t pfn, uint64_t nr, bool refused)
{
	if (!r->fault.refused && refused)
		r->fault.refused = calloc(hvo_machine_memmap(r->m)->nr_frames, sizeof(bool));
	if (r->fault.refused)
		memset(r->fault.refused + pfn, refused, nr);
}

static void expect_there(struct rig *r, hvo_pfn_t pfn, uint64_t nr)
{
	if (r->fault.refused && memchr(r->fault.refused + pfn, true, nr))
		fail_msg("frames from %#" PRIx64 " are written to: there is no memory behind them",
			 (uint64_t)pfn);
}

static int faulty_populate(void *ctx, hvo_pfn_t pfn, uint64_t nr)
{
	struct rig *r = ctx;

	call(r);
	if (r->on_populate)
		r->on_populate(r->on_populate_arg, pfn, nr);
	if (!pass_points(&r->fault, 1)) {
		note_refused(r, pfn, nr, true);
		return -HVO_ENOMEM;
	}
	note_refused(r, pfn, nr, false);
	return hvo_sim_ops.populate(r->sim, pfn, nr);
}

static void faulty_sleep_ns(void *ctx, uint64_t ns)
{
	struct rig *r = ctx;

	r->sleeps++;
	call(r);
	hvo_sim_ops.sleep_ns(r->sim, ns);
	if (r->on_sleep)
		r->on_sleep(r->on_sleep_arg, ns);
}

static void record_event(void *arg, const struct hvo_event_record *event)
{
	struct rig *r = arg;

	if (r->quiet)
		return;
	r->events[event->event]++;
	r->last_event[event->event] = *event;
}

static void *faulty_window(void *ctx, hvo_pfn_t pfn, uint64_t nr)
{
	return hvo_sim_ops.window(((struct rig *)ctx)->sim, pfn, nr);
}

static void *faulty_translate(void *ctx, const void *addr, bool write)
{
	return hvo_sim_ops.translate(((struct rig *)ctx)->sim, addr, write);
}

static void faulty_flush(void *ctx)
{
	call(ctx);
	hvo_sim_ops.flush(((struct rig *)ctx)->sim);
}

static hvo_pfn_t faulty_backing(void *ctx, uint64_t page)
{
	return hvo_sim_ops.backing(((struct rig *)ctx)->sim, page);
}

static void faulty_discard(void *ctx, hvo_pfn_t pfn, uint64_t nr)
{
	call(ctx);
	hvo_sim_ops.discard(((struct rig *)ctx)->sim, pfn, nr);
}

static void faulty_zero(void *ctx, hvo_pfn_t pfn, uint64_t nr)
{
	call(ctx);
	expect_there(ctx, pfn, nr);
	hvo_sim_ops.zero(((struct rig *)ctx)->sim, pfn, nr);
}

static void faulty_copy(void *ctx, hvo_pfn_t dst, hvo_pfn_t src, uint64_t nr)
{
	call(ctx);
	expect_there(ctx, dst, nr);
	hvo_sim_ops.copy(((struct rig *)ctx)->sim, dst, src, nr);
}

static void faulty_lock_wait(void *ctx, uint32_t *word, uint32_t value)
{
	hvo_sim_ops.lock_wait(((struct rig *)ctx)->sim, word, value);
}

static void faulty_lock_wake(void *ctx, uint32_t *word)
{
	hvo_sim_ops.lock_wake(((struct rig *)ctx)->sim, word);
}

static void faulty_read_lock(void *ctx)
{
	hvo_sim_ops.read_lock(((struct rig *)ctx)->sim);
}

static void faulty_read_unlock(void *ctx)
{
	hvo_sim_ops.read_unlock(((struct rig *)ctx)->sim);
}

static void faulty_quiesce(void *ctx)
{
	call(ctx);
	hvo_sim_ops.quiesce(((struct rig *)ctx)->sim);
}

static uint64_t faulty_now_ns(void *ctx)
{
	return hvo_sim_ops.now_ns(((struct rig *)ctx)->sim);
}

static void faulty_kick(void *ctx)
{
	hvo_sim_ops.kick(((struct rig *)ctx)->sim);
}

static void faulty_panic(void *ctx, const char *what, uint64_t pfn, const struct hvo_page *page)
	__attribute__((noreturn));

static void faulty_panic(void *ctx, const char *what, uint64_t pfn, const struct hvo_page *page)
{
	hvo_sim_ops.panic(((struct rig *)ctx)->sim, what, pfn, page);
}

static void faulty_audit(void *ctx,
			 void (*mismatch)(void *arg, uint64_t page, uint64_t recorded,
					  uint64_t real),
			 void *arg)
{
	hvo_sim_ops.audit(((struct rig *)ctx)->sim, mismatch, arg);
}

static const struct hvo_platform_ops faulty_ops = {
	.size = sizeof(faulty_ops),
	.window = faulty_window,
	.translate = faulty_translate,
	.remap = faulty_remap,
	.flush = faulty_flush,
	.backing = faulty_backing,
	.populate = faulty_populate,
	.discard = faulty_discard,
	.zero = faulty_zero,
	.copy = faulty_copy,
	.lock_wait = faulty_lock_wait,
	.lock_wake = faulty_lock_wake,
	.read_lock = faulty_read_lock,
	.read_unlock = faulty_read_unlock,
	.quiesce = faulty_quiesce,
	.now_ns = faulty_now_ns,
	.sleep_ns = faulty_sleep_ns,
	.kick = faulty_kick,
	.trace = record_event,
	.panic = faulty_panic,
	.audit = faulty_audit,
};

void rig_arm(struct rig *r, uint64_t fail_at, bool sticky)
{
	struct rig_fault *f = &r->fault;

	f->armed = true;
	f->sticky = sticky;
	f->fail_at = fail_at;
	f->fail_also = 0;
	f->points = 0;
	f->failures = 0;
	f->nr_last = 0;
}

void rig_arm_pair(struct rig *r, uint64_t first, uint64_t second)
{
	rig_arm(r, first, false);
	r->fault.fail_also = second;
}

bool rig_disarm(struct rig *r)
{
	bool failed = r->fault.failures;

	r->fault.armed = false;
	r->fault.failures = 0;
	free(r->fault.refused);
	r->fault.refused = NULL;
	return failed;
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

struct hvo_config rig_config(enum hvo_mode mode, uint64_t mib)
{
	return (struct hvo_config){
		.size = sizeof(struct hvo_config),
		.memory_bytes = mib * MIB,
		.min_free_bytes = HVO_FRAME_SIZE,
		.mode = mode,
		.clear = HVO_CLEAR_NEVER,
		.optimize = true,
	};
}

static void open_faulty(struct rig *r, const struct hvo_config *cfg,
			const struct hvo_sim_options *opt)
{
	assert_int_equal(hvo_sim_open(cfg, opt, &r->sim), 0);
	r->size = hvo_machine_size(cfg);
	assert_int_not_equal(r->size, 0);
	r->memory = mmap(NULL, r->size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(r->memory, MAP_FAILED);
	assert_int_equal(hvo_machine_init(r->memory, r->size, cfg, &faulty_ops, r,
					  hvo_sim_array(r->sim), &r->m),
			 0);
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
	struct hvo_sim_options opt = {
		.size = sizeof(opt), .seed = 1, .on_fault = on_fault, .on_fault_arg = r
	};
	const struct hvo_linux_options sparse = { .size = sizeof(sparse), .sparse = true };

	memset(r, 0, sizeof(*r));
	switch (platform) {
	case RIG_SIM:
		assert_int_equal(hvo_sim_create(cfg, &opt, &r->sim), 0);
		hvo_sim_set_trace(r->sim, record_event, r);
		r->m = hvo_sim_machine(r->sim);
		break;
	case RIG_FAULTY:
		open_faulty(r, cfg, &opt);
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
	if (r->memory)
		munmap(r->memory, r->size);
	free(r->fault.last);
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
