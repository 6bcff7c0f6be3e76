// SPDX-License-Identifier: MIT
/*
 * Threads that name frames by number, while the memory of these comes and goes: every call that
 * takes a frame, a range, a node or a zone, against add, online, offline and remove of the
 * sections that it looks at. Nothing may crash, whatever a call says about memory that just left
 * must be one of its documented errors, and each round ends with a clean audit.
 *
 * HVO_SECONDS: how long each mode runs (default 2). HVO_CALL: the one kind of call to make, by
 * its name below. HVO_SEED: where the dice begin.
 *
 * Locks: what a worker holds is under its own mutex, since any thread may move it. None is held
 * while the machine is called.
 * In Linux: mm/memory_hotplug.c, get_online_mems(); pfn_to_online_page().
 */
#include "crew.h"
#include "holder.h"

#include <hvo/contig.h>
#include <hvo/hotplug.h>
#include <hvo/migrate.h>

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ANY HVO_NODE_ANY
#define CALLERS 4
#define PLUGGERS 2
#define HELD 6
#define NR_WORKED 32
#define ROUND_MS 1000
#define GFP_QUIET (HVO_GFP_USER | HVO_GFP_NOWARN)
/* Of the record, which is soon full. */
#define POISON_MOST 900

/* NORMAL, a section of MOVABLE, and two that are added. */
#define MOVABLE_START (2 * HVO_SECTION_FRAMES)
#define PLUG_START (3 * HVO_SECTION_FRAMES)
#define PLUG_END (5 * HVO_SECTION_FRAMES)

struct shared {
	struct rig r;
	struct hvo_pool *huge, *large;
	struct worker *workers;
	bool stop; /* atomic */
};

struct worker {
	struct shared *s;
	struct hvo_machine *m;
	struct holder h;
	uint64_t tag[HELD]; /* in the first word of what the holder has in that slot */
	uint64_t random;
	uint64_t errors;
	const char *what; /* of the first one */
	int wrong;	  /* and what was returned */
	uint64_t worked[NR_WORKED];
	bool remove; /* as soon as something is offline */
};

static uint64_t dice(struct worker *w, uint64_t nr)
{
	return (rig_random(&w->random) >> 17) % nr;
}

/* A frame of what anybody holds, or held a moment ago. */
static hvo_pfn_t held_frame(struct worker *w)
{
	struct worker *other = &w->s->workers[dice(w, CALLERS)];
	struct held *b = &other->h.held[dice(w, HELD)];
	hvo_pfn_t pfn;

	pthread_mutex_lock(&other->h.lock);
	pfn = b->pfn == HVO_PFN_NONE ? b->was : b->pfn;
	pthread_mutex_unlock(&other->h.lock);
	return pfn;
}

/* A frame of the memory that comes and goes; now and then any number. */
static hvo_pfn_t any_frame(struct worker *w)
{
	switch (dice(w, 16)) {
	case 0:
		return dice(w, PLUG_END + 4096);
	case 1:
		return MOVABLE_START + dice(w, HVO_SECTION_FRAMES);
	case 2:
	case 3:
	case 4:
	case 5:
		return held_frame(w) + dice(w, 2);
	default:
		return PLUG_START + dice(w, PLUG_END - PLUG_START);
	}
}

/* One of these errors, or success. The list ends with 0. */
static int expect(struct worker *w, int rc, const char *what, const int *errors)
{
	for (; rc < 0 && *errors; errors++)
		if (rc == *errors)
			return rc;
	if (rc < 0 && !w->errors++) {
		w->what = what;
		w->wrong = rc;
	}
	return rc;
}

#define EXPECT(w, call, ...) expect(w, call, #call, (const int[]){ __VA_ARGS__, 0 })

static void must(struct worker *w, bool ok, const char *what)
{
	if (!ok && !w->errors++)
		w->what = what;
}

/* ---- what is held ------------------------------------------------------------------------ */

static void hold(struct worker *w, uint64_t slot, hvo_pfn_t pfn, unsigned int order)
{
	w->tag[slot] = rig_random(&w->random);
	must(w, !hvo_page_set_private(w->m, pfn, 0, w->tag[slot]), "word of a block that is held");
	holder_hold_at(&w->h, slot, pfn, order, 0);
}

/* False: somebody moves it just now. */
static bool drop(struct worker *w, uint64_t slot)
{
	const struct held *b = &w->h.held[slot];
	uint64_t tag = 0;

	if (!b->used)
		return true;
	if (!holder_keep(&w->h, slot))
		return false;
	must(w, !hvo_page_private(w->m, b->pfn, 0, &tag) && tag == w->tag[slot],
	     "word that was kept");
	holder_let_go(&w->h, slot);
	return true;
}

/* ---- kinds of calls ----------------------------------------------------------------------- */

static bool call_alloc(struct worker *w)
{
	unsigned int order = (unsigned int)dice(w, 11);
	uint64_t slot = holder_empty_slot(&w->h);
	hvo_pfn_t pfn = 0;

	if (slot == HELD)
		return drop(w, dice(w, HELD));
	if (EXPECT(w, hvo_alloc_pages(w->m, GFP_QUIET, order, ANY, &pfn), -HVO_ENOMEM))
		return false;
	hold(w, slot, pfn, order);
	return true;
}

static bool call_hugetlb(struct worker *w)
{
	uint64_t slot = holder_empty_slot(&w->h);
	hvo_pfn_t pfn = 0;

	if (slot == HELD)
		return drop(w, dice(w, HELD));
	if (EXPECT(w, hvo_pool_alloc(w->s->huge, 0, ANY, &pfn), -HVO_ENOMEM))
		return false;
	hold(w, slot, pfn, HVO_PAGEBLOCK_ORDER);
	return true;
}

static bool call_reserve(struct worker *w)
{
	struct hvo_pool *pool = w->s->huge;
	hvo_pfn_t pfn = 0;

	if (EXPECT(w, hvo_pool_reserve(pool, ANY, 1), -HVO_ENOMEM))
		return false;
	if (EXPECT(w, hvo_pool_alloc_reserved(pool, HVO_GFP_KERNEL, ANY, &pfn), -HVO_ENOMEM)) {
		EXPECT(w, hvo_pool_unreserve(pool, 1), 0);
		return false;
	}
	/* Somebody looks at it, and the promise is used up. */
	if (EXPECT(w, hvo_pool_free_reserved(pool, pfn), -HVO_EBUSY))
		return !EXPECT(w, hvo_put_page(w->m, pfn), 0);
	return !EXPECT(w, hvo_pool_unreserve(pool, 1), 0);
}

static bool call_split(struct worker *w)
{
	unsigned int order = 1 + (unsigned int)dice(w, 10), to = (unsigned int)dice(w, order);
	hvo_pfn_t pfn = 0, end;
	int rc;

	if (EXPECT(w, hvo_alloc_pages(w->m, GFP_QUIET, order, ANY, &pfn), -HVO_ENOMEM))
		return false;
	end = pfn + (UINT64_C(1) << order);
	rc = EXPECT(w, hvo_split_page(w->m, pfn, to), -HVO_EBUSY, -HVO_ENOMEM);
	for (; pfn < end; pfn += UINT64_C(1) << (rc ? order : to))
		must(w, !hvo_put_page(w->m, pfn), "put of a part");
	return !rc;
}

static bool call_failure(struct worker *w)
{
	hvo_pfn_t pfn = any_frame(w);

	/* In what stays it would never be forgotten. */
	if (pfn < PLUG_START || hvo_poisoned(w->m, NULL, 0) > POISON_MOST)
		return false;
	return !EXPECT(w, hvo_memory_failure(w->m, pfn), -HVO_EINVAL, -HVO_EBUSY, -HVO_ENOMEM);
}

static bool call_isolate(struct worker *w)
{
	hvo_pfn_t start = any_frame(w) & ~UINT64_C(511), end = start + (1 + dice(w, 4)) * 512;

	if (EXPECT(w, hvo_isolate_range(w->m, start, end), -HVO_EINVAL, -HVO_EBUSY))
		return false;
	return !EXPECT(w, hvo_unisolate_range(w->m, start, end), 0);
}

static bool call_contig_range(struct worker *w)
{
	hvo_pfn_t start = any_frame(w), end = start + 1 + dice(w, 700);

	if (EXPECT(w, hvo_alloc_contig_range(w->m, start, end, GFP_QUIET), -HVO_EINVAL, -HVO_EBUSY,
		   -HVO_ENOMEM))
		return false;
	return !EXPECT(w, hvo_free_contig_range(w->m, start, end), 0);
}

static bool call_contig_pages(struct worker *w)
{
	uint64_t nr = 1 + dice(w, 3000);
	hvo_pfn_t pfn = 0;

	if (EXPECT(w, hvo_alloc_contig_pages(w->m, nr, GFP_QUIET, ANY, &pfn), -HVO_ENOMEM))
		return false;
	return !EXPECT(w, hvo_free_contig_range(w->m, pfn, pfn + nr), 0);
}

static bool call_migrate(struct worker *w)
{
	return !EXPECT(w, hvo_migrate(w->m, any_frame(w), ANY, NULL), -HVO_EINVAL, -HVO_EBUSY,
		       -HVO_ENOMEM);
}

/* One of NORMAL that holds descriptors, if there is one nearby; else any. */
static hvo_pfn_t memmap_frame(struct worker *w)
{
	const struct hvo_memmap *mm = hvo_machine_memmap(w->m);
	hvo_pfn_t pfn = dice(w, MOVABLE_START - 512), end = pfn + 512, found = any_frame(w);

	hvo_read_lock(w->m);
	for (; pfn < end; pfn++)
		if (!hvo_fold_byte(mm, pfn >> HVO_PAGEBLOCK_ORDER) &&
		    hvo_page_state(hvo_page_ro(mm, pfn)) == HVO_PAGE_MEMMAP)
			found = pfn;
	hvo_read_unlock(w->m);
	return found;
}

static bool call_move_memmap(struct worker *w)
{
	return !EXPECT(w, hvo_move_memmap(w->m, memmap_frame(w)), -HVO_EINVAL, -HVO_EBUSY,
		       -HVO_ENOMEM);
}

static bool call_get(struct worker *w)
{
	hvo_pfn_t pfn = any_frame(w), head = HVO_PFN_NONE;

	if (EXPECT(w, hvo_get_page(w->m, pfn, &head), -HVO_EINVAL, -HVO_EBUSY))
		return false;
	must(w, !hvo_map_page(w->m, head), "map");
	must(w, !hvo_page_set_private(w->m, pfn, 4, pfn), "word of a page that is held");
	must(w, !hvo_unmap_page(w->m, head), "unmap");
	return !EXPECT(w, hvo_put_page(w->m, pfn), 0);
}

/* Without a reference: what is there now may be anything, but it can be looked at. */
static bool call_read(struct worker *w)
{
	const struct hvo_memmap *mm = hvo_machine_memmap(w->m);
	hvo_pfn_t pfn = any_frame(w), head;
	uint64_t word;
	unsigned int i;

	hvo_read_lock(w->m);
	for (i = 0; i < 64 && pfn < PLUG_END; i++, pfn += 61) {
		head = hvo_page_head(mm, pfn);
		must(w, head <= pfn && hvo_page_state(hvo_page_ro(mm, head)) < HVO_PAGE_NR_STATES,
		     "state of any page");
		(void)hvo_page_refs(hvo_page_ro(mm, head));
	}
	hvo_read_unlock(w->m);
	return !EXPECT(w, hvo_page_private(w->m, any_frame(w), 0, &word), -HVO_EINVAL);
}

static bool call_section(struct worker *w)
{
	struct hvo_section_info info = { .size = sizeof(info) };
	bool reported = false;
	unsigned int i;

	for (i = 0; i < 64; i++)
		reported |= hvo_reported(w->m, any_frame(w));
	hvo_section_info(w->m, any_frame(w), &info);
	must(w, (info.zone >= 0) == (info.state == HVO_SECTION_ONLINE), "a section's zone");
	must(w, hvo_section_state(w->m, PLUG_END) == HVO_SECTION_ABSENT, "a section that is not");
	return reported;
}

static bool call_report(struct worker *w)
{
	return EXPECT(w, (int)hvo_report_free(w->m, dice(w, 2) ? ANY : 0, 9, 4096, NULL), 0) > 0;
}

static bool call_collapse(struct worker *w)
{
	return hvo_collapse(w->m, 1 + dice(w, 16), NULL);
}

static bool call_compact(struct worker *w)
{
	return EXPECT(w, (int)hvo_compact(w->m, ANY, 9 + (unsigned int)dice(w, 2), 2000, NULL), 0) >
	       0;
}

static bool call_dissolve(struct worker *w)
{
	return !EXPECT(w, hvo_hugetlb_dissolve(w->m, any_frame(w)), -HVO_EINVAL, -HVO_EBUSY,
		       -HVO_ENOMEM);
}

static bool call_demote(struct worker *w)
{
	uint64_t done = 0;

	EXPECT(w, hvo_pool_resize(w->s->large, ANY, dice(w, 4), NULL), 0);
	EXPECT(w, hvo_pool_demote(w->s->large, ANY, 1, &done), -HVO_EBUSY, -HVO_ENOMEM);
	return done;
}

static bool call_pool(struct worker *w)
{
	hvo_set_optimize(w->m, dice(w, 4));
	EXPECT(w, hvo_pool_resize(w->s->huge, ANY, dice(w, 24), NULL), 0);
	return !EXPECT(w, hvo_pool_optimize(w->s->huge, NULL), -HVO_ENOMEM);
}

/* Memory of a block that is ours goes to the system and comes back. */
static bool call_release(struct worker *w)
{
	unsigned int order = (unsigned int)dice(w, 11);
	struct hvo_linux *host = w->s->r.host;
	uint64_t nr = UINT64_C(1) << order;
	hvo_pfn_t pfn = 0;

	if (EXPECT(w, hvo_alloc_pages(w->m, GFP_QUIET, order, ANY, &pfn), -HVO_ENOMEM))
		return false;
	EXPECT(w, hvo_linux_discard(host, pfn, nr), 0);
	EXPECT(w, hvo_linux_populate(host, pfn, nr), 0);
	must(w, !hvo_put_page(w->m, pfn), "put");
	return true;
}

static bool call_stat(struct worker *w)
{
	struct hvo_machine_stat machine = { .size = sizeof(machine) };
	struct hvo_zone_types types = { .size = sizeof(types) };
	struct hvo_pool_stat pool = { .size = sizeof(pool) };
	struct hvo_zone_stat zone = { .size = sizeof(zone) };
	struct hvo_numa_stat numa = { .size = sizeof(numa) };
	enum hvo_zone_type type;

	for (type = HVO_ZONE_NORMAL; type < HVO_NR_ZONES; type++) {
		EXPECT(w, hvo_zone_stat(w->m, 0, type, &zone), 0);
		must(w, zone.free <= zone.managed && zone.managed <= zone.present,
		     "a zone's counts");
		EXPECT(w, hvo_zone_types(w->m, 0, type, &types), 0);
		EXPECT(w, hvo_numa_stat(w->m, 0, type, &numa), 0);
	}
	hvo_machine_stat(w->m, &machine);
	return !EXPECT(w, hvo_pool_stat(w->s->huge, ANY, &pool), 0);
}

static bool call_work(struct worker *w)
{
	return hvo_work(w->m, 1 + dice(w, 32), NULL);
}

static const struct call {
	const char *name;
	bool (*fn)(struct worker *w); /* did what it was to do */
} calls[] = {
	{ "alloc", call_alloc },
	{ "collapse", call_collapse },
	{ "compact", call_compact },
	{ "contig_pages", call_contig_pages },
	{ "contig_range", call_contig_range },
	{ "demote", call_demote },
	{ "dissolve", call_dissolve },
	{ "failure", call_failure },
	{ "get", call_get },
	{ "hugetlb", call_hugetlb },
	{ "isolate", call_isolate },
	{ "migrate", call_migrate },
	{ "move_memmap", call_move_memmap },
	{ "pool", call_pool },
	{ "read", call_read },
	{ "release", call_release },
	{ "report", call_report },
	{ "reserve", call_reserve },
	{ "section", call_section },
	{ "split", call_split },
	{ "stat", call_stat },
	{ "work", call_work },
};
#define NR_CALLS (sizeof(calls) / sizeof(calls[0]))

/* What pluggers do; counted behind the calls. */
enum plug { PLUG_ADD, PLUG_ONLINE, PLUG_OFFLINE, PLUG_REMOVE, NR_PLUGS };
static const char *const plug_names[NR_PLUGS] = { "add", "online", "offline", "remove" };

/* ---- threads ------------------------------------------------------------------------------- */

static bool stopped(const struct shared *s)
{
	return __atomic_load_n(&s->stop, __ATOMIC_RELAXED);
}

static void *call_all(void *arg)
{
	const char *only = getenv("HVO_CALL");
	struct worker *w = arg;
	unsigned int i;

	while (!stopped(w->s) && !w->errors) {
		const struct call *call = &calls[dice(w, NR_CALLS)];

		if (!only || !strcmp(only, call->name))
			w->worked[call - calls] += call->fn(w);
	}
	for (i = 0; i < HELD; i++)
		while (!drop(w, i))
			sched_yield();
	return NULL;
}

/* One step of a section, from the state that it was in a moment ago. */
static bool plug_step(struct worker *w, hvo_pfn_t start, hvo_pfn_t end, enum plug *ret_step)
{
	enum hvo_zone_type zone = dice(w, 2) ? HVO_ZONE_MOVABLE : HVO_ZONE_NORMAL;
	unsigned int flags = dice(w, 2) ? HVO_MEMMAP_ON_MEMORY : 0;

	switch (hvo_section_state(w->m, start)) {
	case HVO_SECTION_ABSENT:
		*ret_step = PLUG_ADD;
		return !EXPECT(w, hvo_memory_add(w->m, 0, start, end, flags), -HVO_EBUSY,
			       -HVO_ENOMEM);
	case HVO_SECTION_ONLINE:
		*ret_step = PLUG_OFFLINE;
		return !EXPECT(w, hvo_memory_offline(w->m, start, end), -HVO_EINVAL, -HVO_EBUSY,
			       -HVO_ENOMEM);
	default:
		break;
	}
	/* Once a round, and seldom else: all of its memory goes and comes, which takes a while. */
	if (start < PLUG_START || (!w->remove && dice(w, 128))) {
		*ret_step = PLUG_ONLINE;
		return !EXPECT(w, hvo_memory_online(w->m, start, end, zone), -HVO_EBUSY);
	}
	w->remove = false;
	*ret_step = PLUG_REMOVE;
	return !EXPECT(w, hvo_memory_remove(w->m, start, end), -HVO_EBUSY, -HVO_ENOMEM);
}

static void *plug(void *arg)
{
	const struct timespec pause = { 0, 20000 };
	struct worker *w = arg;
	enum plug step = PLUG_ADD;
	hvo_pfn_t start;

	while (!stopped(w->s) && !w->errors) {
		start = MOVABLE_START + dice(w, 3) * HVO_SECTION_FRAMES;
		if (plug_step(w, start, start + HVO_SECTION_FRAMES, &step))
			w->worked[NR_CALLS + step]++;
		/* Let others have the lock. */
		nanosleep(&pause, NULL);
	}
	return NULL;
}

/* ---- rounds -------------------------------------------------------------------------------- */

static void shared_open(struct shared *s, enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 384);

	cfg.max_order = 10;
	cfg.movable_bytes = 128 * MIB;
	cfg.hotplug_bytes = 256 * MIB;
	memset(s, 0, sizeof(*s));
	rig_open(&s->r, RIG_SPARSE, &cfg);
	s->huge = rig_pool_new(&s->r, 9);
	s->large = rig_pool_new(&s->r, 10);
}

static void worker_open(struct worker *w, struct shared *s, unsigned int number)
{
	memset(w, 0, sizeof(*w));
	w->s = s;
	w->m = s->r.m;
	w->random = rig_seed(0) * (CALLERS + PLUGGERS) + number;
	assert_true(NR_CALLS + NR_PLUGS <= NR_WORKED);
	holder_open(&w->h, &s->r, HELD);
}

static void one_round(struct shared *s, struct worker *w)
{
	const struct timespec length = { ROUND_MS / 1000, ROUND_MS % 1000 * 1000000L };
	struct crew crew = { 0 };
	unsigned int i;

	__atomic_store_n(&s->stop, false, __ATOMIC_RELAXED);
	w[CALLERS].remove = true;
	for (i = 0; i < CALLERS + PLUGGERS; i++)
		crew_add(&crew, i < CALLERS ? call_all : plug, &w[i]);
	crew_go(&crew);
	nanosleep(&length, NULL);
	__atomic_store_n(&s->stop, true, __ATOMIC_RELAXED);
	crew_join(&crew);
	for (i = 0; i < CALLERS + PLUGGERS; i++) {
		holder_check_calls(&w[i].h);
		if (w[i].errors)
			fail_msg("thread %u: %s: %d", i, w[i].what, w[i].wrong);
	}
	rig_audit(&s->r);
}

static void leave(struct rig *r, hvo_pfn_t start, hvo_pfn_t end)
{
	if (hvo_section_state(r->m, start) == HVO_SECTION_ONLINE)
		assert_int_equal(hvo_memory_offline(r->m, start, end), 0);
	if (start >= PLUG_START && hvo_section_state(r->m, start) == HVO_SECTION_OFFLINE)
		assert_int_equal(hvo_memory_remove(r->m, start, end), 0);
}

/* All that comes and goes is gone, and what failed with it. */
static void shared_close(struct shared *s)
{
	hvo_pfn_t start;

	rig_resize(s->huge, ANY, 0);
	rig_resize(s->large, ANY, 0);
	(void)hvo_work(s->r.m, UINT64_MAX, NULL);
	for (start = MOVABLE_START; start < PLUG_END; start += HVO_SECTION_FRAMES)
		leave(&s->r, start, start + HVO_SECTION_FRAMES);
	rig_audit(&s->r);
	assert_int_equal(hvo_poisoned(s->r.m, NULL, 0), 0);
	assert_int_equal(rig_zone(&s->r, 0, HVO_ZONE_MOVABLE).present, 0);
	rig_close(&s->r);
}

/* What worked, and how often; memory has to have come and gone. */
static void tell(const struct worker *w)
{
	uint64_t sum;
	unsigned int i, k;

	for (k = 0; k < NR_CALLS + NR_PLUGS; k++) {
		for (sum = 0, i = 0; i < CALLERS + PLUGGERS; i++)
			sum += w[i].worked[k];
		print_message("%s%s %llu", k ? ", " : "",
			      k < NR_CALLS ? calls[k].name : plug_names[k - NR_CALLS],
			      (unsigned long long)sum);
		if (!sum && k >= NR_CALLS)
			fail_msg("never worked: %s", plug_names[k - NR_CALLS]);
	}
	print_message("\n");
}

static void together(enum hvo_mode mode)
{
	static struct worker w[CALLERS + PLUGGERS];
	const char *seconds = getenv("HVO_SECONDS");
	unsigned int rounds = (seconds ? (unsigned int)atoi(seconds) : 2) * 1000 / ROUND_MS, i;
	static struct shared s;

	shared_open(&s, mode);
	s.workers = w;
	for (i = 0; i < CALLERS + PLUGGERS; i++)
		worker_open(&w[i], &s, i);
	while (rounds--)
		one_round(&s, w);
	tell(w);
	for (i = 0; i < CALLERS + PLUGGERS; i++)
		holder_leave(&w[i].h);
	shared_close(&s);
}

static void test_on_demand(void **state)
{
	(void)state;
	together(HVO_ON_DEMAND);
}

static void test_linux_mode(void **state)
{
	(void)state;
	together(HVO_LINUX);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_on_demand),
		cmocka_unit_test(test_linux_mode),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
