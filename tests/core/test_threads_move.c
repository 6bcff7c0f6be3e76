// SPDX-License-Identifier: MIT
/*
 * Threads where memory moves: each one allocates and frees, small and large, huge pages, ranges
 * and pieces of a CMA area; migrates what anybody has; compacts; isolates; takes a section
 * away and brings it back; resizes pools; and reads descriptors that are not its own. What
 * somebody has keeps its contents, wherever it goes, and in the end every frame is back.
 *
 * Locks: each thread's blocks are under its own mutex, since any thread may move them. None is
 * held while the machine is called.
 * In Linux: tools/testing/selftests/mm/migration.c, mm/memory_hotplug.c with lockdep and KCSAN.
 */
#include "crew.h"
#include "holder.h"

#include <hvo/contig.h>
#include <hvo/hotplug.h>
#include <hvo/migrate.h>

#include <pthread.h>
#include <sched.h>
#include <string.h>

#define ANY HVO_NODE_ANY
#define THREADS 4
#define HELD 24
#define RANGES 3
#define GFP_QUIET (HVO_GFP_USER | HVO_GFP_NOWARN)

/* NORMAL, an area of CMA, MOVABLE, and a section that comes and goes. */
#define CMA_START UINT64_C(65536)
#define MOVABLE_START (CMA_START + HVO_SECTION_FRAMES)
#define PLUG_START (MOVABLE_START + HVO_SECTION_FRAMES)
#define PLUG_END (PLUG_START + HVO_SECTION_FRAMES)

/* What has to have worked at least once. */
enum step {
	STEP_SMALL,
	STEP_LARGE,
	STEP_HUGE,
	STEP_KEPT, /* by somebody who cannot move it */
	STEP_FREE,
	STEP_READ,
	STEP_MIGRATE,
	STEP_MOVED, /* by whoever, counted by the owner */
	STEP_RANGE,
	STEP_PAGES,
	STEP_CMA,
	STEP_GIVE_BACK,
	STEP_COMPACT,
	STEP_ISOLATE,
	STEP_OFFLINE,
	STEP_PLUG,
	STEP_POOL,
	NR_STEPS
};

static const char *const names[NR_STEPS] = {
	"small",   "large",   "huge",	 "kept",  "free", "read",
	"migrate", "moved",   "range",	 "pages", "CMA",  "given back",
	"compact", "isolate", "offline", "plug",  "pool",
};

enum from { FROM_NOWHERE = 0, FROM_CONTIG, FROM_CMA };

struct piece {
	hvo_pfn_t pfn;
	uint64_t nr, tag;
	enum from from;
};

struct shared {
	struct rig r;
	struct hvo_pool *huge, *large;
	struct hvo_cma *cma;
	bool plugging; /* atomic: somebody has that section */
};

struct worker {
	struct shared *s;
	struct hvo_machine *m;
	struct holder h; /* of blocks that move; errors are the holder's, too */
	uint64_t random, tag;
	unsigned int steps;
	hvo_pfn_t apart, apart_end; /* what it isolated */
	hvo_pfn_t ref, ref_frame;   /* a reference on what may be somebody else's */
	struct piece range[RANGES]; /* of contiguous memory */
	uint64_t worked[NR_STEPS];
};

static void must(struct worker *w, bool ok, const char *what)
{
	holder_must(&w->h, ok, what);
}

/* Did it work? Nothing but these errors is allowed. */
static bool worked(struct worker *w, enum step step, int rc, bool may_be_busy, const char *what)
{
	must(w, !rc || rc == -HVO_ENOMEM || (may_be_busy && rc == -HVO_EBUSY), what);
	w->worked[step] += !rc;
	return !rc;
}

static uint64_t dice(struct worker *w, uint64_t nr)
{
	return (rig_random(&w->random) >> 17) % nr;
}

/* ---- contents of ranges --------------------------------------------------------------------- */

static uint64_t stride(const struct piece *p)
{
	return p->nr > 16 ? p->nr / 16 : 1;
}

/* Some frames of it. */
static bool intact(struct worker *w, const struct piece *p)
{
	uint64_t i;

	for (i = 0; i < p->nr; i += stride(p))
		if (!rig_intact(&w->s->r, p->pfn + i, 1, p->tag))
			return false;
	return true;
}

static void fill_piece(struct worker *w, struct piece *p)
{
	uint64_t i;

	p->tag = ++w->tag;
	for (i = 0; i < p->nr; i += stride(p))
		rig_fill(&w->s->r, p->pfn + i, 1, p->tag);
}

/* False: somebody moves it just now. */
static bool drop(struct worker *w, unsigned int i)
{
	if (!w->h.held[i].used)
		return true;
	if (!holder_keep(&w->h, i))
		return false;
	holder_let_go(&w->h, i);
	return true;
}

/* ---- allocating ---------------------------------------------------------------------------- */

static void step_alloc(struct worker *w, enum step step)
{
	unsigned int order =
		step == STEP_LARGE ? 9 + (unsigned int)dice(w, 2) : (unsigned int)dice(w, 9);
	bool movable = step != STEP_KEPT;
	uint64_t slot = holder_empty_slot(&w->h);
	hvo_pfn_t pfn = HVO_PFN_NONE;
	int rc;

	if (slot == HELD)
		return;
	if (step == STEP_HUGE)
		rc = hvo_pool_alloc(w->s->huge, dice(w, 2) ? HVO_GFP_KERNEL : 0, ANY, &pfn);
	else
		rc = hvo_alloc_pages(w->m, movable ? GFP_QUIET : HVO_GFP_KERNEL | HVO_GFP_NOWARN,
				     order, ANY, &pfn);
	if (worked(w, step, rc, false, "alloc"))
		holder_hold_at(&w->h, slot, pfn, step == STEP_HUGE ? 9 : order,
			       HOLD_FILLED | (movable ? 0 : HOLD_FIXED));
}

static void step_migrate(struct worker *w)
{
	hvo_pfn_t pfn = dice(w, PLUG_END), dst = HVO_PFN_NONE;
	int rc;

	if (dice(w, 4))
		pfn = holder_pfn(&w->h, dice(w, HELD));
	if (pfn == HVO_PFN_NONE)
		return;
	rc = hvo_migrate(w->m, pfn, ANY, &dst);
	must(w, !rc || rc == -HVO_EINVAL || rc == -HVO_EBUSY || rc == -HVO_ENOMEM, "migrate");
	must(w, (dst == HVO_PFN_NONE) == (rc != 0), "where it went");
	w->worked[STEP_MIGRATE] += !rc;
}

/* ---- contiguous memory ------------------------------------------------------------------------ */

static int take_range(struct worker *w, enum step step, struct piece *p)
{
	static const hvo_pfn_t zone[] = { CMA_START / 2, CMA_START, MOVABLE_START };

	p->nr = 1 + dice(w, dice(w, 4) ? 1500 : 6000);
	p->from = step == STEP_CMA ? FROM_CMA : FROM_CONTIG;
	switch (step) {
	case STEP_PAGES:
		return hvo_alloc_contig_pages(w->m, p->nr, HVO_GFP_KERNEL | HVO_GFP_NOWARN, ANY,
					      &p->pfn);
	case STEP_CMA:
		return hvo_cma_alloc(w->s->cma, p->nr, (unsigned int)dice(w, 8), &p->pfn);
	default:
		/* Seldom where it keeps a section from going offline. */
		p->pfn = zone[dice(w, 13) / 6] + dice(w, HVO_SECTION_FRAMES - p->nr);
		return hvo_alloc_contig_range(w->m, p->pfn, p->pfn + p->nr, GFP_QUIET);
	}
}

static void step_range(struct worker *w, enum step step)
{
	struct piece *p = &w->range[dice(w, RANGES)];
	int rc;

	if (p->from)
		return;
	rc = take_range(w, step, p);
	/* That memory may be offline. */
	if (step == STEP_RANGE && rc == -HVO_EINVAL && p->pfn >= MOVABLE_START)
		rc = -HVO_ENOMEM;
	if (worked(w, step, rc, step != STEP_PAGES, "contiguous memory"))
		fill_piece(w, p);
	else
		p->from = FROM_NOWHERE;
}

/* All of it, or one frame if that is a block by itself. */
static void give_back(struct worker *w, struct piece *p, bool all)
{
	uint64_t nr = !all && p->pfn % 2 ? 1 : p->nr;
	int rc;

	must(w, intact(w, p), "contents of a range");
	rc = p->from == FROM_CMA ? hvo_cma_release(w->s->cma, p->pfn, nr) :
				   hvo_free_contig_range(w->m, p->pfn, p->pfn + nr);
	must(w, !rc, "range given back");
	w->worked[STEP_GIVE_BACK]++;
	p->pfn += nr;
	p->nr -= nr;
	if (p->nr && !rc)
		fill_piece(w, p);
	else
		p->from = FROM_NOWHERE;
}

/* ---- everything else ---------------------------------------------------------------------------- */

/* Any frames at all, without a reference. */
static void read_around(struct worker *w, hvo_pfn_t pfn)
{
	const struct hvo_memmap *mm = hvo_machine_memmap(w->m);
	enum hvo_page_state state;
	hvo_pfn_t head;
	unsigned int i;

	hvo_read_lock(w->m);
	for (i = 0; i < 32 && pfn < PLUG_END; i++, pfn += 61) {
		head = hvo_page_head(mm, pfn);
		state = hvo_page_state(hvo_page_ro(mm, head));
		must(w, head <= pfn && state < HVO_PAGE_NR_STATES, "state of any page");
		(void)hvo_page_refs(hvo_page_ro(mm, head));
	}
	hvo_read_unlock(w->m);
}

/* With a reference, that is kept until the next time, it stays what and where it is. */
static void step_read(struct worker *w)
{
	const struct hvo_memmap *mm = hvo_machine_memmap(w->m);
	enum hvo_page_state state;

	read_around(w, dice(w, PLUG_END));
	if (w->ref == HVO_PFN_NONE) {
		w->ref_frame = dice(w, PLUG_END);
		w->worked[STEP_READ] += !hvo_get_page(w->m, w->ref_frame, &w->ref);
		return;
	}
	hvo_read_lock(w->m);
	must(w, hvo_page_head(mm, w->ref_frame) == w->ref, "head of a held page");
	state = hvo_page_state(hvo_page_ro(mm, w->ref));
	must(w, state == HVO_PAGE_USED || state == HVO_PAGE_HUGETLB_USED, "state of a held page");
	hvo_read_unlock(w->m);
	must(w, !hvo_put_page(w->m, w->ref), "put of a reference");
	w->ref = HVO_PFN_NONE;
}

static void step_isolate(struct worker *w)
{
	hvo_pfn_t end;
	int rc;

	if (w->apart_end) {
		must(w, !hvo_unisolate_range(w->m, w->apart, w->apart_end), "unisolate");
		w->apart_end = 0;
		return;
	}
	w->apart = dice(w, (dice(w, 8) ? MOVABLE_START : PLUG_END) / HVO_PAGEBLOCK_FRAMES - 4) *
		   HVO_PAGEBLOCK_FRAMES;
	end = w->apart + (1 + dice(w, 4)) * HVO_PAGEBLOCK_FRAMES;
	rc = hvo_isolate_range(w->m, w->apart, end);
	/* Others have isolated it; it is in two zones, or offline. */
	must(w, !rc || rc == -HVO_EBUSY || rc == -HVO_EINVAL, "isolate");
	w->worked[STEP_ISOLATE] += !rc;
	w->apart_end = rc ? 0 : end;
}

static void step_offline(struct worker *w)
{
	int rc = hvo_memory_offline(w->m, MOVABLE_START, PLUG_START);

	/* Another thread may be at it. */
	if (rc == -HVO_EINVAL)
		return;
	if (!worked(w, STEP_OFFLINE, rc, true, "offline"))
		return;
	must(w, !hvo_memory_online(w->m, MOVABLE_START, PLUG_START, HVO_ZONE_MOVABLE), "online");
}

/* One step of a section that was not there; one thread at a time. */
static void step_plug(struct worker *w)
{
	enum hvo_zone_type zone = dice(w, 2) ? HVO_ZONE_MOVABLE : HVO_ZONE_NORMAL;
	unsigned int flags = dice(w, 2) ? HVO_MEMMAP_ON_MEMORY : 0;
	int rc;

	/* Seldom: all of its memory comes and goes. */
	if (dice(w, 4) || __atomic_exchange_n(&w->s->plugging, true, __ATOMIC_ACQUIRE))
		return;
	switch (hvo_section_state(w->m, PLUG_START)) {
	case HVO_SECTION_ABSENT:
		rc = hvo_memory_add(w->m, 0, PLUG_START, PLUG_END, flags);
		(void)worked(w, STEP_PLUG, rc, false, "add");
		break;
	case HVO_SECTION_OFFLINE:
		rc = dice(w, 2) ? hvo_memory_online(w->m, PLUG_START, PLUG_END, zone) :
				  hvo_memory_remove(w->m, PLUG_START, PLUG_END);
		(void)worked(w, STEP_PLUG, rc, false, "online or remove");
		break;
	case HVO_SECTION_ONLINE:
		rc = hvo_memory_offline(w->m, PLUG_START, PLUG_END);
		(void)worked(w, STEP_PLUG, rc, true, "offline of what was added");
		break;
	}
	__atomic_store_n(&w->s->plugging, false, __ATOMIC_RELEASE);
}

static void step_pool(struct worker *w)
{
	switch (dice(w, 6)) {
	case 0:
		must(w, !hvo_pool_resize(w->s->large, ANY, dice(w, 3), NULL), "resize");
		break;
	case 1:
		must(w, !hvo_pool_set_cma(w->s->large, dice(w, 2)), "set_cma");
		break;
	case 2:
		hvo_collapse(w->m, dice(w, 8), NULL);
		break;
	case 3:
		hvo_set_optimize(w->m, dice(w, 4));
		break;
	default:
		must(w, !hvo_pool_resize(w->s->huge, ANY, dice(w, 12), NULL), "resize");
		w->worked[STEP_POOL]++;
	}
}

static void one_step(struct worker *w)
{
	enum step step = (enum step)dice(w, NR_STEPS);
	int64_t moved;

	switch (step) {
	case STEP_SMALL:
	case STEP_LARGE:
	case STEP_HUGE:
	case STEP_KEPT:
		step_alloc(w, step);
		break;
	case STEP_FREE:
	case STEP_MOVED:
		w->worked[STEP_FREE] += drop(w, (unsigned int)dice(w, HELD));
		break;
	case STEP_READ:
		step_read(w);
		break;
	case STEP_MIGRATE:
		step_migrate(w);
		break;
	case STEP_RANGE:
	case STEP_PAGES:
	case STEP_CMA:
		step_range(w, step);
		break;
	case STEP_GIVE_BACK:
		if (w->range[w->steps % RANGES].from)
			give_back(w, &w->range[w->steps % RANGES], false);
		break;
	case STEP_COMPACT:
		moved = hvo_compact(w->m, ANY, 9 + (unsigned int)dice(w, 2), 4000, NULL);
		must(w, moved >= 0, "compact");
		w->worked[STEP_COMPACT] += moved > 0;
		break;
	case STEP_ISOLATE:
		step_isolate(w);
		break;
	case STEP_OFFLINE:
		step_offline(w);
		break;
	case STEP_PLUG:
		step_plug(w);
		break;
	default:
		step_pool(w);
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned int i;

	for (; w->steps; w->steps--)
		one_step(w);
	if (w->apart_end)
		step_isolate(w);
	if (w->ref != HVO_PFN_NONE)
		step_read(w);
	for (i = 0; i < RANGES; i++)
		if (w->range[i].from)
			give_back(w, &w->range[i], true);
	for (i = 0; i < HELD; i++)
		while (!drop(w, i))
			sched_yield();
	return NULL;
}

/* ---- all at once ----------------------------------------------------------------------------------- */

static void shared_open(struct shared *s, enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 512);

	cfg.max_order = 10;
	cfg.cma_bytes = 128 * MIB;
	cfg.movable_bytes = 128 * MIB;
	cfg.hotplug_bytes = 128 * MIB;
	memset(s, 0, sizeof(*s));
	rig_open(&s->r, RIG_SPARSE, &cfg);
	s->huge = rig_pool_new(&s->r, 9);
	s->large = rig_pool_new(&s->r, 12);
	assert_int_equal(hvo_cma_create(s->r.m, 0, 16384, &s->cma), 0);
}

static void worker_open(struct worker *w, struct shared *s, unsigned int number)
{
	*w = (struct worker){
		.s = s, .m = s->r.m, .random = rig_seed(0) * THREADS + number, .ref = HVO_PFN_NONE
	};
	w->tag = (uint64_t)(number + 1) << 32;
	holder_open(&w->h, &s->r, HELD);
	w->h.coarse = true;
}

static void worker_close(struct worker *w)
{
	holder_check_calls(&w->h);
	w->worked[STEP_MOVED] = w->h.moves;
	holder_leave(&w->h);
}

/* What can be had of the machine, and what its descriptors take. */
static uint64_t balance(struct rig *r, uint64_t total)
{
	struct hvo_machine_stat s = { .size = sizeof(s) };

	hvo_collapse(r->m, UINT64_MAX, NULL);
	s = rig_stat(r);
	/* Frames of the start that Linux mode moved count as managed from then on. */
	return s.free_frames + s.memmap - (s.total_frames - total);
}

/* Everything is given back; the machine is as it was. */
static void shared_close(struct shared *s, uint64_t total, uint64_t before)
{
	struct rig *r = &s->r;
	uint64_t used = 1;

	rig_audit(r);
	rig_resize(s->huge, ANY, 0);
	rig_resize(s->large, ANY, 0);
	hvo_cma_stat(s->cma, NULL, NULL, &used);
	assert_int_equal(used, 0);
	if (hvo_section_state(r->m, PLUG_START) == HVO_SECTION_ONLINE)
		assert_int_equal(hvo_memory_offline(r->m, PLUG_START, PLUG_END), 0);
	if (hvo_section_state(r->m, PLUG_START) == HVO_SECTION_OFFLINE)
		assert_int_equal(hvo_memory_remove(r->m, PLUG_START, PLUG_END), 0);
	rig_audit(r);
	assert_int_equal(balance(r, total), before);
	/* Nothing is left that cannot be moved, and nothing is isolated. */
	assert_int_equal(hvo_memory_offline(r->m, MOVABLE_START, PLUG_START), 0);
	assert_int_equal(hvo_memory_online(r->m, MOVABLE_START, PLUG_START, HVO_ZONE_MOVABLE), 0);
	rig_audit(r);
	rig_close(r);
}

static void together(enum hvo_mode mode, unsigned int steps)
{
	static struct worker w[THREADS];
	static struct shared s;
	struct crew crew = { 0 };
	uint64_t total, before, sum;
	unsigned int i, k;

	shared_open(&s, mode);
	total = rig_stat(&s.r).total_frames;
	before = balance(&s.r, total);
	for (i = 0; i < THREADS; i++) {
		worker_open(&w[i], &s, i);
		w[i].steps = steps;
		crew_add(&crew, work, &w[i]);
	}
	crew_go(&crew);
	crew_join(&crew);
	for (i = 0; i < THREADS; i++)
		worker_close(&w[i]);
	for (k = 0; k < NR_STEPS; k++) {
		for (sum = 0, i = 0; i < THREADS; i++)
			sum += w[i].worked[k];
		print_message("%s%s %llu", k ? ", " : "", names[k], (unsigned long long)sum);
		if (!sum)
			fail_msg("never worked: %s", names[k]);
	}
	print_message("\n");
	shared_close(&s, total, before);
}

static void test_on_demand(void **state)
{
	(void)state;
	together(HVO_ON_DEMAND, 3000);
}

static void test_linux_mode(void **state)
{
	(void)state;
	together(HVO_LINUX, 3000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_on_demand),
		cmocka_unit_test(test_linux_mode),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
