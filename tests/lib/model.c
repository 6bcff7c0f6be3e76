// SPDX-License-Identifier: MIT
/*
 * What the model knows: blocks with their references and contents, for each frame whether
 * somebody has it and whether it failed, for each section what it is; and the owner who
 * follows the blocks that move. It knows how many frames descriptors take, so free frames
 * must agree exactly.
 *
 * States and locks: none beyond one machine for each seed.
 * In Linux: tools/testing/radix-tree, tools/testing/vma.
 */
#include "model.h"

#include "core/base.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const unsigned int pool_order[POOLS] = { 9, 12 };

void must_at(struct model *mo, bool ok, const char *what, const char *file, int line)
{
	if (ok)
		return;
	print_error("seed %" PRIu64 ", step %" PRIu64 ", mode %u, %u nodes, movable %" PRIu64
		    ", CMA %" PRIu64 ", hot-plug %" PRIu64 " MiB: %s\n",
		    mo->seed, mo->step, mo->cfg.mode, mo->cfg.nr_nodes, mo->cfg.movable_bytes / MIB,
		    mo->cfg.cma_bytes / MIB, mo->cfg.hotplug_bytes / MIB, what);
	_fail(file, line);
}

uint64_t pick(struct model *mo, uint64_t n)
{
	return (rig_random(&mo->random) >> 20) % n;
}

int pick_node(struct model *mo)
{
	return (int)pick(mo, mo->cfg.nr_nodes + 1) - 1;
}

/* ---- frames and sections ------------------------------------------------------------------ */

bool is_online(struct model *mo, hvo_pfn_t pfn)
{
	return pfn < mo->nr_frames && section_at(mo, pfn)->state == HVO_SECTION_ONLINE;
}

bool one_zone(struct model *mo, hvo_pfn_t start, hvo_pfn_t end)
{
	hvo_pfn_t pfn = start & ~(HVO_SECTION_FRAMES - 1);

	for (; pfn < end; pfn += HVO_SECTION_FRAMES)
		if (!is_online(mo, pfn) ||
		    section_at(mo, pfn)->zone != section_at(mo, start)->zone ||
		    section_at(mo, pfn)->node != section_at(mo, start)->node)
			return false;
	return true;
}

bool any_set(const uint8_t *of_frames, hvo_pfn_t start, hvo_pfn_t end)
{
	return memchr(of_frames + start, 1, end - start);
}

bool is_cleared(const struct model *mo, unsigned int gfp)
{
	return gfp & HVO_GFP_ZERO || mo->cfg.clear != HVO_CLEAR_NEVER;
}

void own(struct model *mo, hvo_pfn_t pfn, uint64_t nr, bool yes)
{
	hvo_pfn_t end = pfn + nr;

	must(mo, end <= mo->nr_frames);
	if (yes)
		must(mo, is_online(mo, pfn) && is_online(mo, end - 1) &&
				 !any_set(mo->failed, pfn, end) &&
				 (end <= mo->closed_start || pfn >= mo->closed_end));
	for (; pfn < end; pfn++) {
		must(mo, mo->owned[pfn] == !yes);
		mo->owned[pfn] = yes;
	}
}

/* ---- blocks --------------------------------------------------------------------------------- */

struct entry *add(struct model *mo, hvo_pfn_t pfn, unsigned int order, int pool)
{
	struct entry *e = &mo->entry[mo->nr++];

	must(mo, mo->nr <= BLOCKS);
	*e = (struct entry){
		.pfn = pfn, .order = order, .refs = 1, .pool = pool, .tag = ++mo->tags
	};
	must(mo, !(pfn & (size(e) - 1)));
	rig_fill(&mo->r, pfn, size(e), e->tag);
	return e;
}

void forget(struct model *mo, struct entry *e)
{
	*e = mo->entry[--mo->nr];
}

void make_movable(struct model *mo, struct entry *e)
{
	must(mo, !hvo_set_owner(mo->r.m, e->pfn, mo->id));
	e->movable = true;
}

void adopt(struct model *mo, hvo_pfn_t start, hvo_pfn_t end, bool movable)
{
	own(mo, start, end - start, true);
	while (start < end) {
		struct entry *e = add(mo, start, rig_page(&mo->r, start)->order, -1);

		if (movable)
			make_movable(mo, e);
		start += size(e);
	}
	must(mo, start == end);
}

static struct entry *entry_at(struct model *mo, hvo_pfn_t pfn)
{
	unsigned int i;

	for (i = 0; i < mo->nr; i++)
		if (mo->entry[i].pfn == pfn)
			return &mo->entry[i];
	return NULL;
}

struct entry *entry_around(struct model *mo, hvo_pfn_t pfn)
{
	unsigned int i;

	for (i = 0; i < mo->nr; i++)
		if (pfn - mo->entry[i].pfn < size(&mo->entry[i]))
			return &mo->entry[i];
	return NULL;
}

/* What the block's frames hold at @at; nobody knows what those that failed do. */
static bool intact_at(struct model *mo, const struct entry *e, hvo_pfn_t at)
{
	uint64_t i = 0, to;

	for (; i < size(e); i = to + 1) {
		for (to = i; to < size(e) && !mo->failed[e->pfn + to];)
			to++;
		if (!rig_moved_intact(&mo->r, at + i, to - i, e->tag, e->pfn + i))
			return false;
	}
	return true;
}

bool entry_intact(struct model *mo, const struct entry *e)
{
	return intact_at(mo, e, e->pfn);
}

void verify(struct model *mo, const struct entry *e)
{
	hvo_pfn_t some = e->pfn + pick(mo, size(e)), head = HVO_PFN_NONE;
	const struct hvo_page *page = rig_page(&mo->r, e->pfn);
	uint64_t word = 0;

	must(mo, entry_intact(mo, e));
	must(mo,
	     page->order == e->order && page->refcount == e->refs && page->mapcount == e->mapped);
	must(mo, page->state == (e->pool < 0 ? HVO_PAGE_USED : HVO_PAGE_HUGETLB_USED));
	must(mo, hvo_page_head(hvo_machine_memmap(mo->r.m), some) == e->pfn);
	must(mo, !hvo_get_page(mo->r.m, some, &head) && head == e->pfn);
	must(mo, !hvo_page_private(mo->r.m, some, 2, &word) && word == e->word);
	must(mo, !hvo_put_page(mo->r.m, some));
}

/* ---- the model as an owner --------------------------------------------------------------------- */

static uint32_t on_isolate(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
			   unsigned int order)
{
	struct model *mo = owner->arg;
	struct entry *e = entry_at(mo, pfn);

	(void)m;
	must(mo, e && e->order == order && e->movable);
	return pick(mo, 8) ? e->refs : 0;
}

static int on_move(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t dst, hvo_pfn_t src,
		   unsigned int order)
{
	struct model *mo = owner->arg;
	struct entry *e = entry_at(mo, src);

	(void)m;
	must(mo, e && e->order == order);
	must(mo, intact_at(mo, e, dst));
	if (!pick(mo, 8))
		return -HVO_EAGAIN;
	own(mo, src, size(e), false);
	own(mo, dst, size(e), true);
	e->pfn = dst;
	rig_fill(&mo->r, dst, size(e), e->tag);
	return 0;
}

static void on_putback(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
		       unsigned int order)
{
	struct model *mo = owner->arg;
	struct entry *e = entry_at(mo, pfn);

	(void)m;
	must(mo, e && e->order == order && entry_intact(mo, e));
}

/* Sometimes he can do without it. */
static void on_failed(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t frame,
		      hvo_pfn_t pfn, unsigned int order)
{
	struct model *mo = owner->arg;
	struct entry *e = entry_at(mo, pfn);

	must(mo, e && e->order == order && frame - pfn < size(e) && mo->failed[frame]);
	if (e->refs > 1 || e->mapped || pick(mo, 3))
		return;
	must(mo, !hvo_put_page(m, frame));
	own(mo, e->pfn, size(e), false);
	forget(mo, e);
}

/* ---- beginning and end --------------------------------------------------------------------- */

static void open_sections(struct model *mo)
{
	uint64_t boot = mo->cfg.memory_bytes / HVO_SECTION_SIZE, each = boot / mo->cfg.nr_nodes;
	uint64_t movable = each - mo->cfg.movable_bytes / HVO_SECTION_SIZE, i;
	uint64_t nr_cma = mo->cfg.cma_bytes / HVO_SECTION_SIZE, cma;

	mo->nr_sections = (unsigned int)(mo->nr_frames >> HVO_SECTION_ORDER);
	must(mo, mo->nr_sections <= SECTIONS);
	for (i = 0; i < boot; i++) {
		struct model_section *s = &mo->section[i];

		s->state = HVO_SECTION_ONLINE;
		s->node = (int)(i / each);
		cma = rig_zone(&mo->r, s->node, HVO_ZONE_CMA).start_pfn >> HVO_SECTION_ORDER;
		s->zone = i % each >= movable ? HVO_ZONE_MOVABLE :
			  i - cma < nr_cma    ? HVO_ZONE_CMA :
						HVO_ZONE_NORMAL;
	}
}

/* Two areas on each node, of one third and two thirds. */
static void open_areas(struct model *mo)
{
	uint64_t third = mo->cfg.cma_bytes / HVO_FRAME_SIZE / 3 & ~UINT64_C(511);
	int n;

	for (n = 0; third && n < (int)mo->cfg.nr_nodes; n++) {
		must(mo, !hvo_cma_create(mo->r.m, n, third, &mo->area[mo->nr_areas++]));
		must(mo, !hvo_cma_create(mo->r.m, n, 2 * third, &mo->area[mo->nr_areas++]));
	}
}

void model_open(struct model *mo, const struct hvo_config *cfg, uint64_t seed)
{
	unsigned int i;

	memset(mo, 0, sizeof(*mo));
	mo->cfg = *cfg;
	mo->seed = mo->random = seed;
	repeat_with("HVO_SEED", "%" PRIu64, seed);
	rig_open(&mo->r, RIG_SIM, &mo->cfg);
	mo->nr_frames = hvo_machine_memmap(mo->r.m)->nr_frames;
	mo->owned = calloc(mo->nr_frames, 1);
	mo->failed = calloc(mo->nr_frames, 1);
	must(mo, mo->owned && mo->failed);
	open_sections(mo);
	open_areas(mo);
	for (i = 0; i < POOLS; i++)
		must(mo, !hvo_pool_create(mo->r.m, pool_order[i], &mo->pool[i]));
	mo->owner = (struct hvo_owner){
		sizeof(struct hvo_owner), on_isolate, on_move, on_putback, on_failed, mo
	};
	must(mo, !hvo_owner_register(mo->r.m, &mo->owner, &mo->id));
}

void model_close(struct model *mo)
{
	must(mo, !hvo_owner_unregister(mo->r.m, mo->id));
	free(mo->owned);
	free(mo->failed);
	rig_close(&mo->r);
}

/* ---- what must agree ------------------------------------------------------------------------ */

/* Visit each 2 MiB and each larger block in sections of a state. */
static void each_block(struct model *mo, enum hvo_section_state state,
		       void (*visit)(struct model *mo, hvo_pfn_t pfn, unsigned int order,
				     uint64_t *sum),
		       uint64_t *sum)
{
	hvo_pfn_t pfn = 0;

	while (pfn < mo->nr_frames) {
		unsigned int order =
			hvo_fold_byte(hvo_machine_memmap(mo->r.m), pb_of(pfn).nr) & HVO_FOLD_ORDER;

		if (section_at(mo, pfn)->state == state)
			visit(mo, pfn, order, sum);
		pfn += section_at(mo, pfn)->state == state && order ? UINT64_C(1) << order :
								      HVO_PAGEBLOCK_FRAMES;
	}
}

static bool in_scope(struct model *mo, hvo_pfn_t pfn, unsigned int pool)
{
	switch (mo->scope[pool]) {
	case HVO_FOLD_ALL:
		return true;
	case HVO_FOLD_BOOT:
		return rig_page(&mo->r, pfn)->flags & HVO_PF_AT_BOOT;
	default:
		return section_at(mo, pfn)->zone == HVO_ZONE_NORMAL;
	}
}

static void count_present(struct model *mo, hvo_pfn_t pfn, unsigned int order, uint64_t *sum)
{
	const struct hvo_page *page = rig_page(&mo->r, pfn);
	unsigned int pool = order == pool_order[1];

	if (!order ||
	    (page->state != HVO_PAGE_HUGETLB_FREE && page->state != HVO_PAGE_HUGETLB_USED))
		return;
	if (section_at(mo, pfn)->self ||
	    (!(page->flags & HVO_PF_OPTIMIZED) && !in_scope(mo, pfn, pool)))
		sum[pool]++;
}

uint64_t pages_present(struct model *mo, unsigned int pool)
{
	uint64_t sum[POOLS] = { 0 };

	each_block(mo, HVO_SECTION_ONLINE, count_present, sum);
	return sum[pool];
}

/* Frames that pages save which left their pool and wait, folded, for hvo_work(). */
static void count_deferred(struct model *mo, hvo_pfn_t pfn, unsigned int order, uint64_t *sum)
{
	const struct hvo_page *page = rig_page(&mo->r, pfn);

	if (order && page->flags & HVO_PF_DEFERRED && page->flags & HVO_PF_OPTIMIZED)
		*sum += (UINT64_C(1) << order) / 64 - 1;
}

/* Tails of blocks that stayed cut when they went offline, in frames that did not. */
static void count_offline_cut(struct model *mo, hvo_pfn_t pfn, unsigned int order, uint64_t *sum)
{
	uint64_t page = rig_tail_slot(&mo->r, pb_of(pfn).nr), k;

	for (k = 0; !order && k < rig_tails(&mo->r); k++)
		*sum += is_online(mo, rig_backing(&mo->r, page + k));
}

/* Frames of online memory that hold descriptors, from what must be present. */
/* Frames elsewhere that hold descriptors of a section that hosts itself: some of its own failed. */
static uint64_t hosted_elsewhere(struct model *mo, uint64_t section)
{
	uint64_t q = section * (HVO_SECTION_FRAMES / HVO_PAGES_PER_FRAME), nr = 0, i;
	hvo_pfn_t pfn;

	for (i = 0; i < HVO_SECTION_FRAMES / HVO_PAGES_PER_FRAME; i++) {
		pfn = rig_backing(&mo->r, rig_slot(&mo->r, q + i));
		nr += pfn != HVO_SHARED_TAIL && pfn >> HVO_SECTION_ORDER != section;
	}
	return nr;
}

uint64_t lasting(const struct model *mo)
{
	return HVO_SECTION_FRAMES / HVO_PAGEBLOCK_FRAMES * rig_lasting(&mo->r);
}

static uint64_t descriptors(struct model *mo)
{
	bool on_demand = mo->cfg.mode == HVO_ON_DEMAND;
	uint64_t of_section = lasting(mo), nr = 0, saved = 0, i, t;

	for (i = 0; i < mo->nr_sections; i++)
		if (mo->section[i].state == HVO_SECTION_ONLINE ||
		    (mo->section[i].state == HVO_SECTION_OFFLINE && !mo->section[i].self))
			nr += of_section;
		else if (mo->section[i].state == HVO_SECTION_OFFLINE)
			nr += hosted_elsewhere(mo, i);
	if (!on_demand) {
		for (i = 0; i < POOLS; i++)
			nr -= rig_pool(mo->pool[i], -1).optimized *
			      ((1u << pool_order[i]) / 64 - 1);
		each_block(mo, HVO_SECTION_ONLINE, count_deferred, &saved);
		return nr - saved;
	}
	for (i = 0; i < mo->cfg.nr_nodes; i++)
		for (t = 0; t < HVO_NR_ZONES; t++)
			nr += rig_tails(&mo->r) *
			      rig_zone(&mo->r, (int)i, (enum hvo_zone_type)t).nr_cut;
	each_block(mo, HVO_SECTION_OFFLINE, count_offline_cut, &nr);
	return nr;
}

static uint64_t check_pools(struct model *mo)
{
	uint64_t in_use[POOLS] = { 0 }, frames = 0, i;

	for (i = 0; i < mo->nr; i++)
		if (mo->entry[i].pool >= 0)
			in_use[mo->entry[i].pool]++;
	for (i = 0; i < POOLS; i++) {
		struct hvo_pool_stat p = rig_pool(mo->pool[i], -1);

		must(mo, p.total - p.free == in_use[i]);
		must(mo, p.surplus <= p.total);
		must(mo, p.reserved == mo->reserved[i] && p.reserved <= p.free);
		frames += (p.total + p.deferred) << pool_order[i];
	}
	return frames;
}

/* Returns the frames that are online. */
static uint64_t check_sections(struct model *mo)
{
	uint64_t present[NODES][HVO_NR_ZONES] = { { 0 } }, online = 0, managed = 0, n, t;
	unsigned int i;

	for (i = 0; i < mo->nr_sections; i++) {
		const struct model_section *s = &mo->section[i];

		must(mo, hvo_section_state(mo->r.m, ((i + UINT64_C(1)) << HVO_SECTION_ORDER) - 1) ==
				 s->state);
		if (s->state != HVO_SECTION_ONLINE)
			continue;
		present[s->node][s->zone] += HVO_SECTION_FRAMES;
		online += HVO_SECTION_FRAMES;
	}
	for (n = 0; n < mo->cfg.nr_nodes; n++) {
		for (t = 0; t < HVO_NR_ZONES; t++) {
			struct hvo_zone_stat z = rig_zone(&mo->r, (int)n, (enum hvo_zone_type)t);

			must(mo, z.present == present[n][t]);
			managed += z.managed;
		}
	}
	must(mo, managed == rig_stat(&mo->r).total_frames);
	return online;
}

/* Frames of online memory that are out of use for good. */
static uint64_t check_failed(struct model *mo)
{
	hvo_pfn_t pfns[FAILURES];
	uint64_t nr = (uint64_t)hvo_poisoned(mo->r.m, pfns, FAILURES), out = 0, i;

	must(mo, nr == mo->nr_failed && rig_stat(&mo->r).poisoned == nr);
	for (i = 0; i < nr; i++) {
		must(mo, mo->failed[pfns[i]] && (!i || pfns[i] > pfns[i - 1]));
		if (!is_online(mo, pfns[i]) ||
		    hvo_fold_byte(hvo_machine_memmap(mo->r.m), pb_of(pfns[i]).nr) ||
		    rig_page(&mo->r, pfns[i])->state != HVO_PAGE_POISONED)
			continue;
		must(mo, !mo->owned[pfns[i]]);
		out++;
	}
	return out;
}

/* Frames that pools took from an area, in a pool or on their way out of it. */
static uint64_t taken_by_pools(struct model *mo, hvo_pfn_t pfn, uint64_t nr)
{
	uint64_t end = pfn + nr, frames = 0;

	for (; pfn < end; pfn += HVO_PAGEBLOCK_FRAMES) {
		const struct hvo_page *page = rig_page(&mo->r, pfn);

		if (hvo_fold_byte(hvo_machine_memmap(mo->r.m), pb_of(pfn).nr) &&
		    page->flags & HVO_PF_CMA &&
		    (page->state == HVO_PAGE_HUGETLB_FREE || page->state == HVO_PAGE_HUGETLB_USED ||
		     page->flags & HVO_PF_DEFERRED))
			frames += UINT64_C(1) << page->order;
	}
	return frames;
}

static uint64_t check_areas(struct model *mo)
{
	uint64_t in_use[AREAS] = { 0 }, used, nr, sum = 0;
	hvo_pfn_t start;
	unsigned int i;

	for (i = 0; i < mo->nr_pieces; i++) {
		in_use[mo->piece[i].area] += mo->piece[i].nr;
		sum += mo->piece[i].nr;
	}
	for (i = 0; i < mo->nr_areas; i++) {
		hvo_cma_stat(mo->area[i], &start, &nr, &used);
		must(mo, used == in_use[i] + taken_by_pools(mo, start, nr));
	}
	return sum;
}

void check(struct model *mo)
{
	struct hvo_machine_stat s = rig_stat(&mo->r);
	uint64_t used = check_areas(mo) + check_pools(mo) + check_failed(mo), i;
	uint64_t online = check_sections(mo), nr = descriptors(mo);

	for (i = 0; i < mo->nr; i++)
		if (mo->entry[i].pool < 0)
			used += size(&mo->entry[i]);
	must(mo, s.memmap + s.memmap_boot == nr);
	must(mo, s.total_frames == online - s.memmap_boot);
	must(mo, s.free_frames + used + nr == online);
}

void check_all(struct model *mo)
{
	unsigned int i;

	must(mo, !rig_findings(&mo->r));
	for (i = 0; i < mo->nr; i++)
		verify(mo, &mo->entry[i]);
	for (i = 0; i < mo->nr_pieces; i++)
		must(mo,
		     any_set(mo->failed, mo->piece[i].pfn, mo->piece[i].pfn + mo->piece[i].nr) ||
			     rig_intact(&mo->r, mo->piece[i].pfn, mo->piece[i].nr,
					mo->piece[i].tag));
}
