// SPDX-License-Identifier: MIT
/*
 * Operations. Each does one thing of the API with what is there; where something that it needs is
 * gone, since another thread was faster, it does nothing.
 */
#include "ops.h"

#include <stdio.h>
#include <string.h>

#include "between.h"
#include "core/backing.h"
#include "core/machine.h"
#include "core/page.h"

/* The thread that runs. */
static unsigned int self(void)
{
	return sched_self() - 1;
}

/* Errors that a call may give; all others are findings. */
#define OOM 1u
#define BUSY 2u
#define INVAL 4u
#define AGAIN 8u

static void may_say(int rc, unsigned int errors, const char *what)
{
	char text[100];
	bool expected =
		!rc || (rc == -HVO_ENOMEM && errors & OOM) || (rc == -HVO_EBUSY && errors & BUSY) ||
		(rc == -HVO_EINVAL && errors & INVAL) || (rc == -HVO_EAGAIN && errors & AGAIN);

	if (expected)
		return;
	snprintf(text, sizeof(text), "END-5: an error that %s does not have", what);
	world_wrong(text, (uint64_t)-rc);
}

/* A block that this thread uses, so that nobody else moves or frees it. */
static struct block *still_there(struct world *w, hvo_pfn_t pfn)
{
	struct block *b = world_at(w, pfn);

	must(b, "a block is gone", pfn);
	return b;
}

/* ---- allocation -------------------------------------------------------------------------- */

/* Returns the block, or NULL. */
static struct block *alloc(struct world *w, unsigned int gfp, unsigned int order)
{
	hvo_pfn_t pfn = HVO_PFN_NONE;
	int rc = hvo_alloc_pages(w->m, gfp | HVO_GFP_NOWARN, order, ANY, &pfn);

	may_say(rc, OOM, "hvo_alloc_pages()");
	return rc ? NULL : world_hold(w, pfn, UINT64_C(1) << order, gfp & HVO_GFP_ZERO);
}

static void op_alloc0(struct world *w)
{
	alloc(w, HVO_GFP_USER, 0);
}

static void op_alloc0_atomic(struct world *w)
{
	alloc(w, HVO_GFP_ATOMIC | HVO_GFP_MOVABLE, 0);
}

static void op_alloc_kernel(struct world *w)
{
	alloc(w, HVO_GFP_KERNEL, 1);
}

static void op_alloc8(struct world *w)
{
	alloc(w, HVO_GFP_USER, HVO_PAGEBLOCK_ORDER - 1);
}

static void op_alloc3_zero(struct world *w)
{
	alloc(w, HVO_GFP_USER | HVO_GFP_ZERO, 3);
}

static void op_alloc9(struct world *w)
{
	alloc(w, HVO_GFP_USER | HVO_GFP_ZERO, HVO_PAGEBLOCK_ORDER);
}

static void op_alloc9_last(struct world *w)
{
	alloc(w, HVO_GFP_MOVABLE | HVO_GFP_MEMALLOC, HVO_PAGEBLOCK_ORDER);
}

static void op_alloc_and_free(struct world *w)
{
	struct block *b = alloc(w, HVO_GFP_USER, 0);
	hvo_pfn_t pfn;

	if (!b)
		return;
	pfn = b->pfn;
	b->users++;
	hvo_step(STEP_BETWEEN, NULL);
	world_put(w, still_there(w, pfn));
}

/* The block in the pageblock that is there, and that nobody is just using. */
static struct block *idle_block(struct world *w)
{
	unsigned int i;

	for (i = 0; i < w->nr_blocks; i++)
		if (w->blocks[i].pfn - T < HVO_PAGEBLOCK_FRAMES && !w->blocks[i].users)
			return &w->blocks[i];
	return NULL;
}

static void op_free(struct world *w)
{
	struct block *b = idle_block(w);

	if (b)
		world_put(w, b);
}

static void op_split(struct world *w)
{
	struct block *b = world_at(w, T);
	int rc;

	if (!b || b->users || b->nr != HVO_PAGEBLOCK_FRAMES || b->range || b->cma)
		return;
	b->users++;
	rc = hvo_split_page(w->m, T, PART_ORDER);
	may_say(rc, OOM | BUSY | INVAL, "hvo_split_page()");
	b = still_there(w, T);
	b->users--;
	if (!rc)
		world_split(w, b, PART_ORDER);
}

/* ---- references and words --------------------------------------------------------------- */

static void op_get(struct world *w)
{
	hvo_pfn_t head = HVO_PFN_NONE;
	const struct hvo_page *page;
	int rc = hvo_get_page(w->m, T + 5, &head);

	may_say(rc, INVAL | BUSY | AGAIN, "hvo_get_page()");
	if (rc)
		return;
	page = page_ro(w->m, head);
	must(hvo_page_state(page) == HVO_PAGE_USED || hvo_page_state(page) == HVO_PAGE_HUGETLB_USED,
	     "a reference on what nobody uses", head);
	w->pins[self()].pfn = head;
	w->pins[self()].nr = UINT64_C(1) << page_order(page);
	must(T + 5 - head < w->pins[self()].nr, "a reference on something else", head);
	hvo_step(STEP_BETWEEN, NULL);
	must(hvo_pages_held(w->m, head, 1), "a reference is gone", head);
	w->pins[self()].nr = 0;
	must(!hvo_put_page(w->m, head), "hvo_put_page()", head);
}

static void op_words(struct world *w)
{
	struct block *b = idle_block(w);
	uint64_t word = 0;
	hvo_pfn_t pfn;

	if (!b)
		return;
	b->users++;
	pfn = b->pfn;
	must(!hvo_page_set_private(w->m, pfn, 0, 7000 + self()), "hvo_page_set_private()", pfn);
	must(!hvo_map_page(w->m, pfn), "hvo_map_page()", pfn);
	must(!hvo_page_private(w->m, pfn, 0, &word), "hvo_page_private()", pfn);
	must(word == 7000 + self(), "a private word changed", pfn);
	must(!hvo_unmap_page(w->m, pfn), "hvo_unmap_page()", pfn);
	b = still_there(w, pfn);
	b->users--;
}

static void read_some(struct world *w, hvo_pfn_t pfn)
{
	const struct hvo_page *page;
	hvo_pfn_t head;
	unsigned int i;

	hvo_read_lock(w->m);
	for (i = 0; i < 3; i++) {
		head = hvo_page_head(&w->m->mm,
				     pfn + HVO_PAGES_PER_FRAME / 2 + HVO_PAGES_PER_FRAME * i);
		page = hvo_page_ro(&w->m->mm, head);
		must(hvo_page_state(page) < HVO_PAGE_NR_STATES, "a state that is none", head);
		(void)hvo_page_refs(page);
	}
	hvo_read_unlock(w->m);
}

static void op_read(struct world *w)
{
	read_some(w, T);
}

/* Memory that comes and goes. */
static void op_read_hotplug(struct world *w)
{
	read_some(w, MEMORY_END);
}

static void op_set_owner(struct world *w)
{
	struct block *b = idle_block(w);
	hvo_pfn_t pfn;

	if (!b || b->range || b->cma)
		return;
	pfn = b->pfn;
	b->users++;
	must(!hvo_set_owner(w->m, pfn, w->owner_id), "hvo_set_owner()", pfn);
	b = still_there(w, pfn);
	b->owned = w->owner_id;
	b->users--;
}

/* ---- moving ------------------------------------------------------------------------------ */

static void op_migrate(struct world *w)
{
	(void)hvo_migrate(w->m, T + 3, ANY, NULL);
}

static void contig(struct world *w, hvo_pfn_t start, hvo_pfn_t end)
{
	int rc = hvo_alloc_contig_range(w->m, start, end, HVO_GFP_KERNEL | HVO_GFP_ZERO);

	may_say(rc, BUSY | OOM | INVAL, "hvo_alloc_contig_range()");
	if (!rc)
		world_hold(w, start, end - start, true)->range = true;
}

static void op_contig(struct world *w)
{
	contig(w, T, T_END);
}

static void op_contig_part(struct world *w)
{
	contig(w, T + HVO_PAGEBLOCK_FRAMES / 5, T + HVO_PAGEBLOCK_FRAMES * 4 / 5);
}

static void op_contig_pages(struct world *w)
{
	hvo_pfn_t pfn = HVO_PFN_NONE;
	int rc = hvo_alloc_contig_pages(w->m, SOME, HVO_GFP_MOVABLE, ANY, &pfn);

	may_say(rc, BUSY | OOM, "hvo_alloc_contig_pages()");
	if (!rc)
		world_hold(w, pfn, SOME, false)->range = true;
}

static void op_isolate(struct world *w)
{
	int rc;

	w->isolations++;
	w->isolating++;
	rc = hvo_isolate_range(w->m, T, T_END);
	w->isolating -= rc != 0;
	may_say(rc, BUSY | INVAL, "hvo_isolate_range()");
	if (rc)
		return;
	must(!w->isolated, "isolated by two", T);
	hvo_step(STEP_BETWEEN, NULL);
	must(!hvo_unisolate_range(w->m, T, T_END), "hvo_unisolate_range()", T);
	w->isolating--;
}

static void op_unisolate(struct world *w)
{
	if (!w->isolated)
		return;
	w->isolated = false;
	must(!hvo_unisolate_range(w->m, T, T_END), "hvo_unisolate_range()", T);
}

static void op_compact(struct world *w)
{
	(void)hvo_compact(w->m, ANY, HVO_PAGEBLOCK_ORDER, 2 * HVO_PAGEBLOCK_FRAMES, NULL);
}

static void op_move_memmap(struct world *w)
{
	hvo_pfn_t pfn = slot_backing(w->m, tail_slot(w->m, pb_of(T)));

	if (pfn != HVO_SHARED_TAIL)
		(void)hvo_move_memmap(w->m, pfn);
}

static void op_cma(struct world *w)
{
	hvo_pfn_t pfn = HVO_PFN_NONE;
	int rc = hvo_cma_alloc(w->cma, HVO_PAGEBLOCK_FRAMES, HVO_PAGEBLOCK_ORDER, &pfn);

	may_say(rc, BUSY | OOM, "hvo_cma_alloc()");
	if (!rc)
		world_hold(w, pfn, HVO_PAGEBLOCK_FRAMES, false)->cma = true;
}

/* ---- what is done in the background ----------------------------------------------------- */

static void op_collapse(struct world *w)
{
	(void)hvo_collapse(w->m, UINT64_MAX, NULL);
}

static void op_work(struct world *w)
{
	(void)hvo_work(w->m, UINT64_MAX, NULL);
}

static void op_report(struct world *w)
{
	(void)hvo_report_free(w->m, ANY, HVO_PAGEBLOCK_ORDER, 4 * HVO_PAGEBLOCK_FRAMES, NULL);
}

static void op_min_free(struct world *w)
{
	must(!hvo_set_min_free(w->m, HVO_FRAME_SIZE * (1 + self())), "hvo_set_min_free()", 0);
}

static void op_stat(struct world *w)
{
	struct hvo_machine_stat s = { .size = sizeof(s) };
	struct hvo_zone_stat zone = { .size = sizeof(zone) };
	struct hvo_numa_stat numa = { .size = sizeof(numa) };
	struct hvo_failure_stat failures = { .size = sizeof(failures) };

	must(!hvo_machine_stat(w->m, &s), "hvo_machine_stat()", 0);
	must(!hvo_zone_stat(w->m, 0, HVO_ZONE_NORMAL, &zone), "hvo_zone_stat()", 0);
	must(!hvo_numa_stat(w->m, 0, HVO_ZONE_NORMAL, &numa), "hvo_numa_stat()", 0);
	must(!hvo_failure_stat(w->m, 0, &failures), "hvo_failure_stat()", 0);
	must(s.free_frames <= MEMORY_END * 2, "more is free than there is", s.free_frames);
	must(hvo_min_free(w->m) >= 0, "hvo_min_free()", 0);
	must(hvo_poisoned(w->m, NULL, 0) <= MAX_FAILED, "more failed than there were", 0);
}

static void op_stat_zone(struct world *w)
{
	struct hvo_zone_types types = { .size = sizeof(types) };
	struct hvo_zone_events events = { .size = sizeof(events) };
	struct hvo_section_info info = { .size = sizeof(info) };

	must(!hvo_zone_types(w->m, 0, HVO_ZONE_MOVABLE, &types), "hvo_zone_types()", 0);
	must(!hvo_zone_events(w->m, 0, HVO_ZONE_MOVABLE, &events), "hvo_zone_events()", 0);
	must(!hvo_section_info(w->m, T, &info), "hvo_section_info()", T);
	must(hvo_section_state(w->m, T) != HVO_SECTION_ABSENT, "hvo_section_state()", T);
	(void)hvo_reported(w->m, T);
}

static void op_stat_pool(struct world *w)
{
	struct hvo_pool_stat s = { .size = sizeof(s) };

	must(!hvo_pool_stat(w->pool, ANY, &s), "hvo_pool_stat()", 0);
	must(s.free <= s.total, "more of a pool is free than it has", s.free);
}

static void op_stat_cma(struct world *w)
{
	struct hvo_cma_events events = { .size = sizeof(events) };
	hvo_pfn_t start = 0;
	uint64_t nr = 0, used = 0;

	must(!hvo_cma_stat(w->cma, &start, &nr, &used), "hvo_cma_stat()", 0);
	must(used <= nr, "more of an area is used than it has", used);
	must(!hvo_cma_events(w->cma, &events), "hvo_cma_events()", 0);
}

/* ---- pools ------------------------------------------------------------------------------------ */

static void op_grow(struct world *w)
{
	(void)hvo_pool_resize(w->pool, ANY, 2, NULL);
}

static void op_shrink(struct world *w)
{
	(void)hvo_pool_resize(w->pool, ANY, 0, NULL);
}

static void op_huge_alloc(struct world *w)
{
	hvo_pfn_t pfn = HVO_PFN_NONE;
	int rc = hvo_pool_alloc(w->pool, HVO_GFP_KERNEL | HVO_GFP_ZERO, ANY, &pfn);

	may_say(rc, OOM, "hvo_pool_alloc()");
	if (!rc)
		world_hold(w, pfn, HVO_PAGEBLOCK_FRAMES, true);
}

static void op_huge_reserved(struct world *w)
{
	uint64_t isolations = w->isolations;
	bool isolating = w->isolating;
	hvo_pfn_t pfn = HVO_PFN_NONE;
	int rc = hvo_pool_reserve(w->pool, ANY, 1);

	may_say(rc, OOM, "hvo_pool_reserve()");
	if (rc)
		return;
	hvo_step(STEP_BETWEEN, NULL);
	rc = hvo_pool_alloc_reserved(w->pool, HVO_GFP_KERNEL, ANY, &pfn);
	/* What failed meanwhile takes its promise along; what a user isolates cannot be had. */
	must(!rc || w->nr_failed || isolating || w->isolating || w->isolated ||
		     w->isolations != isolations,
	     "a promise was broken", (uint64_t)-rc);
	if (!rc)
		world_hold(w, pfn, HVO_PAGEBLOCK_FRAMES, false);
	else
		(void)hvo_pool_unreserve(w->pool, 1);
}

static void op_surplus(struct world *w)
{
	must(!hvo_pool_set_overcommit(w->pool, 1), "hvo_pool_set_overcommit()", 0);
	op_huge_alloc(w);
	must(!hvo_pool_set_overcommit(w->pool, 0), "hvo_pool_set_overcommit()", 0);
}

static void op_dissolve(struct world *w)
{
	(void)hvo_hugetlb_dissolve(w->m, T);
}

static void op_optimize(struct world *w)
{
	uint64_t done;

	(void)hvo_pool_optimize(w->pool, &done);
}

static void op_demote(struct world *w)
{
	uint64_t done;

	if (w->big)
		(void)hvo_pool_demote(w->big, ANY, 1, &done);
}

static void op_switch_optimize(struct world *w)
{
	must(!hvo_set_optimize(w->m, false), "hvo_set_optimize()", 0);
	hvo_step(STEP_BETWEEN, NULL);
	must(!hvo_set_optimize(w->m, true), "hvo_set_optimize()", 0);
}

/* ---- what is set, and who is told ----------------------------------------------------------- */

/* While it is so, pages that are in use stay where they are. */
static void op_scope(struct world *w)
{
	must(!hvo_pool_set_fold_scope(w->pool, HVO_FOLD_UNMOVABLE), "hvo_pool_set_fold_scope()", 0);
	hvo_step(STEP_BETWEEN, NULL);
	op_migrate(w);
	must(!hvo_pool_set_fold_scope(w->pool, HVO_FOLD_ALL), "hvo_pool_set_fold_scope()", 0);
}

/* Whoever asks gets one or the other. */
static void op_settings(struct world *w)
{
	must(!hvo_pool_set_cma(w->pool, false), "hvo_pool_set_cma()", 0);
	must(!w->big || (!hvo_pool_set_demote_order(w->big, HVO_PAGEBLOCK_ORDER) &&
			 hvo_pool_demote_order(w->big) == HVO_PAGEBLOCK_ORDER),
	     "hvo_pool_set_demote_order()", 9);
	must(!hvo_set_movable_gigantic(w->m, true), "hvo_set_movable_gigantic()", 0);
	hvo_step(STEP_BETWEEN, NULL);
	must(w->mode != HVO_LINUX || hvo_pool_fold_scope(w->pool) >= 0, "hvo_pool_fold_scope()", 0);
	must(!hvo_pool_set_cma(w->pool, w->cma), "hvo_pool_set_cma()", 0);
	must(!hvo_set_movable_gigantic(w->m, false), "hvo_set_movable_gigantic()", 0);
}

static void op_policy(struct world *w)
{
	struct hvo_policy was = { .size = sizeof(was) };

	must(!hvo_pool_policy(w->pool, &was), "hvo_pool_policy()", 0);
	must(!hvo_pool_set_policy(w->pool, hvo_policy_find("noretry")), "hvo_pool_set_policy()", 0);
	(void)hvo_pool_resize(w->pool, ANY, 0, NULL);
	must(!hvo_pool_set_policy(w->pool, &was), "hvo_pool_set_policy()", 0);
}

static uint64_t shrink_nothing(struct hvo_shrinker *shrinker, struct hvo_machine *m, uint64_t nr)
{
	(void)shrinker;
	(void)m;
	(void)nr;
	hvo_step(STEP_BETWEEN, NULL);
	return 0;
}

static uint64_t notice_nothing(void *arg, struct hvo_machine *m, unsigned int order)
{
	(void)arg;
	(void)m;
	(void)order;
	hvo_step(STEP_BETWEEN, NULL);
	return 0;
}

/* One that has nothing to give, for an allocation that may want something. */
static void op_shrinker(struct world *w)
{
	struct hvo_shrinker shrinker = { .size = sizeof(shrinker), .scan = shrink_nothing };

	must(!hvo_shrinker_register(w->m, &shrinker), "hvo_shrinker_register()", 0);
	must(!hvo_set_oom_notifier(w->m, notice_nothing, NULL), "hvo_set_oom_notifier()", 0);
	alloc(w, HVO_GFP_USER, HVO_PAGEBLOCK_ORDER - 1);
	must(!hvo_set_oom_notifier(w->m, NULL, NULL), "hvo_set_oom_notifier()", 0);
	must(!hvo_shrinker_unregister(w->m, &shrinker), "hvo_shrinker_unregister()", 0);
}

/* A second owner, who gets no block. */
static void op_owner(struct world *w)
{
	struct hvo_owner owner = w->owner;
	uint32_t id = 0;

	must(!hvo_owner_register(w->m, &owner, &id), "hvo_owner_register()", 0);
	must(id != w->owner_id, "two owners have one number", id);
	hvo_step(STEP_BETWEEN, NULL);
	must(!hvo_owner_unregister(w->m, id), "hvo_owner_unregister()", id);
}

static void op_another_pool(struct world *w)
{
	struct hvo_pool *pool = NULL;
	int rc = hvo_pool_create(w->m, HVO_PAGEBLOCK_ORDER + 2, &pool);

	may_say(rc, BUSY, "hvo_pool_create()");
	if (rc)
		return;
	hvo_step(STEP_BETWEEN, NULL);
	/* Busy, too, while the one that was in its place is just going. */
	rc = hvo_pool_destroy(pool);
	may_say(rc, BUSY, "hvo_pool_destroy()");
}

#define BULK 4u

static void op_bulk(struct world *w)
{
	hvo_pfn_t pfns[BULK];
	struct block *b;
	uint64_t done = 0;
	unsigned int i;
	int rc = hvo_alloc_pages_bulk(w->m, HVO_GFP_USER | HVO_GFP_NOWARN, 0, ANY, BULK, pfns);

	may_say(rc, OOM, "hvo_alloc_pages_bulk()");
	if (rc)
		return;
	for (i = 0; i < BULK; i++)
		world_hold(w, pfns[i], 1, false)->users++;
	hvo_step(STEP_BETWEEN, NULL);
	for (i = 0; i < BULK; i++) {
		b = still_there(w, pfns[i]);
		world_drop(w, b);
	}
	must(!hvo_put_pages_bulk(w->m, pfns, BULK, &done) && done == BULK, "hvo_put_pages_bulk()",
	     done);
}

/* ---- what fails ---------------------------------------------------------------------------- */

static void fail(struct world *w, hvo_pfn_t pfn)
{
	int rc;

	if (pfn == HVO_SHARED_TAIL)
		return;
	world_failing(w, pfn);
	rc = hvo_memory_failure(w->m, pfn);
	may_say(rc, BUSY | OOM | INVAL, "hvo_memory_failure()");
	if (rc != -HVO_EINVAL)
		world_failed(w, pfn);
}

static void op_fail_early(struct world *w)
{
	fail(w, T + 3);
}

static void op_fail_late(struct world *w)
{
	fail(w, T + LATE);
}

static void op_fail_descriptors(struct world *w)
{
	fail(w, slot_backing(w->m, tail_slot(w->m, pb_of(T))));
}

static void op_soft_offline(struct world *w)
{
	int rc;

	world_failing(w, T + LATE);
	rc = hvo_soft_offline(w->m, T + LATE);
	if (!rc)
		world_failed(w, T + LATE);
}

/* ---- memory that comes and goes ----------------------------------------------------------- */

static void op_offline(struct world *w)
{
	hvo_pfn_t start = T & ~(HVO_SECTION_FRAMES - 1), end = start + HVO_SECTION_FRAMES;
	int rc;

	w->layout_changed = true;
	if (hvo_memory_offline(w->m, start, end))
		return;
	hvo_step(STEP_BETWEEN, NULL);
	rc = hvo_memory_online(w->m, start, end, HVO_ZONE_MOVABLE);
	may_say(rc, OOM | BUSY | INVAL, "hvo_memory_online()");
}

static void op_hotplug(struct world *w)
{
	hvo_pfn_t start = MEMORY_END, end = start + HVO_SECTION_FRAMES;
	int rc;

	w->layout_changed = true;
	if (hvo_memory_add(w->m, 0, start, end, self() & 1 ? HVO_MEMMAP_ON_MEMORY : 0))
		return;
	if (!hvo_memory_online(w->m, start, end, HVO_ZONE_MOVABLE)) {
		hvo_step(STEP_BETWEEN, NULL);
		if (hvo_memory_offline(w->m, start, end))
			return;
	}
	rc = hvo_memory_remove(w->m, start, end);
	may_say(rc, BUSY | INVAL | OOM, "hvo_memory_remove()");
}

/* ---- the catalogue ------------------------------------------------------------------------- */

const struct op ops[] = {
	{ "alloc0", op_alloc0, DEEP },
	{ "alloc0-atomic", op_alloc0_atomic, 0 },
	{ "alloc-kernel", op_alloc_kernel, 0 },
	{ "alloc8", op_alloc8, 0 },
	{ "alloc3-zero", op_alloc3_zero, 0 },
	{ "alloc9", op_alloc9, DEEP },
	{ "alloc9-last", op_alloc9_last, 0 },
	{ "alloc-free", op_alloc_and_free, 0 },
	{ "free", op_free, DEEP },
	{ "split", op_split, DEEP },
	{ "get", op_get, 0 },
	{ "words", op_words, 0 },
	{ "read", op_read, 0 },
	{ "read-hotplug", op_read_hotplug, WITH_HOTPLUG },
	{ "set-owner", op_set_owner, 0 },
	{ "migrate", op_migrate, DEEP },
	{ "contig", op_contig, DEEP },
	{ "contig-part", op_contig_part, 0 },
	{ "contig-pages", op_contig_pages, 0 },
	{ "isolate", op_isolate, DEEP },
	{ "unisolate", op_unisolate, ISOLATED | DEEP },
	{ "compact", op_compact, DEEP },
	{ "move-memmap", op_move_memmap, ON_DEMAND_ONLY },
	{ "cma", op_cma, WITH_CMA | DEEP },
	{ "collapse", op_collapse, ON_DEMAND_ONLY | DEEP },
	{ "work", op_work, 0 },
	{ "report", op_report, DEEP },
	{ "min-free", op_min_free, 0 },
	{ "stat", op_stat, 0 },
	{ "stat-zone", op_stat_zone, 0 },
	{ "stat-pool", op_stat_pool, NEEDS_POOL },
	{ "stat-cma", op_stat_cma, WITH_CMA },
	{ "grow", op_grow, NEEDS_POOL | DEEP },
	{ "shrink", op_shrink, NEEDS_POOL | DEEP },
	{ "huge-alloc", op_huge_alloc, NEEDS_POOL | DEEP },
	{ "huge-reserved", op_huge_reserved, NEEDS_POOL },
	{ "surplus", op_surplus, NEEDS_POOL },
	{ "dissolve", op_dissolve, NEEDS_POOL },
	{ "optimize", op_optimize, NEEDS_POOL | LINUX_ONLY | DEEP },
	{ "demote", op_demote, NEEDS_POOL | DEEP },
	{ "switch-optimize", op_switch_optimize, NEEDS_POOL | LINUX_ONLY },
	{ "scope", op_scope, NEEDS_POOL | LINUX_ONLY },
	{ "settings", op_settings, NEEDS_POOL },
	{ "policy", op_policy, NEEDS_POOL | LINUX_ONLY },
	{ "shrinker", op_shrinker, 0 },
	{ "owner", op_owner, 0 },
	{ "another-pool", op_another_pool, 0 },
	{ "bulk", op_bulk, 0 },
	{ "fail-early", op_fail_early, 0 },
	{ "fail-late", op_fail_late, DEEP },
	{ "fail-descriptors", op_fail_descriptors, 0 },
	{ "soft-offline", op_soft_offline, 0 },
	{ "offline", op_offline, 0 },
	{ "hotplug", op_hotplug, WITH_HOTPLUG },
};
const unsigned int nr_ops = sizeof(ops) / sizeof(*ops);

const struct op *op_find(const char *name)
{
	unsigned int i;

	for (i = 0; i < nr_ops; i++)
		if (!strcmp(ops[i].name, name))
			return &ops[i];
	return NULL;
}

bool op_fits(const struct op *op, const struct state *state, enum hvo_mode mode)
{
	unsigned int needs = op->flags & (WITH_CMA | WITH_HOTPLUG | NEEDS_POOL | ISOLATED);

	if (op->flags & (mode == HVO_LINUX ? ON_DEMAND_ONLY : LINUX_ONLY))
		return false;
	return !(needs & ~state->flags);
}

void op_run(const struct op *op, struct world *w, unsigned int thread)
{
	hvo_step(STEP_BETWEEN, NULL);
	w->began[thread] = ++w->clock;
	op->run(w);
	hands_end(w, thread);
}
