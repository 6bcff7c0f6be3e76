// SPDX-License-Identifier: MIT
/*
 * Random operations on ranges, and on memory itself: hot-plug, frames that fail, descriptors
 * that move, migration, compaction, isolation, contiguous ranges, CMA areas.
 *
 * What must be refused is known beforehand, and then nothing at all may have changed.
 *
 * States and locks: none beyond one machine for each seed.
 * In Linux: tools/testing/selftests/memory-hotplug, tools/testing/selftests/mm.
 */
#include "model.h"

#include "core/evacuate.h"

#include <string.h>

#define SECTION HVO_SECTION_FRAMES
#define RANGE 1500

/* ---- all that can be counted --------------------------------------------------------------- */

struct snapshot {
	struct hvo_machine_stat machine;
	struct hvo_zone_stat zone[NODES][HVO_NR_ZONES];
	struct hvo_pool_stat pool[POOLS];
};

static struct snapshot snapshot(struct model *mo)
{
	struct snapshot s;
	unsigned int i, t;

	memset(&s, 0, sizeof(s));
	s.machine = rig_stat(&mo->r);
	for (i = 0; i < mo->cfg.nr_nodes; i++)
		for (t = 0; t < HVO_NR_ZONES; t++)
			s.zone[i][t] = rig_zone(&mo->r, (int)i, (enum hvo_zone_type)t);
	for (i = 0; i < POOLS; i++)
		s.pool[i] = rig_pool(mo->pool[i], HVO_NODE_ANY);
	return s;
}

static void must_be_as(struct model *mo, const struct snapshot *before)
{
	struct snapshot now = snapshot(mo);

	must(mo, !memcmp(&now, before, sizeof(now)));
}

static uint64_t free_in(struct model *mo, enum hvo_zone_type type)
{
	uint64_t nr = 0;
	int n;

	for (n = 0; n < (int)mo->cfg.nr_nodes; n++)
		nr += rig_zone(&mo->r, n, type).free;
	return nr;
}

/* ---- hot-plug --------------------------------------------------------------------------------- */

/* Often sections that begin with one in this state, sometimes nonsense. */
static void pick_sections(struct model *mo, enum hvo_section_state state, hvo_pfn_t *start,
			  hvo_pfn_t *end)
{
	unsigned int first = (unsigned int)pick(mo, mo->nr_sections), i;

	if (!pick(mo, 12)) {
		*start = pick(mo, mo->nr_sections + 2) * SECTION + pick(mo, 2) * pick(mo, SECTION);
		*end = *start + pick(mo, 3) * SECTION + pick(mo, 2) * pick(mo, SECTION);
		if (!pick(mo, 8))
			*end = UINT64_MAX - SECTION + 1;
		return;
	}
	for (i = 0; i < mo->nr_sections && mo->section[first].state != state && pick(mo, 16); i++)
		first = (first + 1) % mo->nr_sections;
	*start = first * SECTION;
	*end = *start + (pick(mo, 3) ? 1 : 1 + pick(mo, 3)) * SECTION;
}

static bool is_range(const struct model *mo, hvo_pfn_t start, hvo_pfn_t end)
{
	return start < end && end <= mo->nr_frames && !((start | end) % SECTION);
}

/* All in this state, and if they are anything, of one node. */
static bool all_are(struct model *mo, hvo_pfn_t start, hvo_pfn_t end, enum hvo_section_state state)
{
	const struct model_section *first = section_at(mo, start);
	hvo_pfn_t pfn;

	for (pfn = start; pfn < end; pfn += SECTION)
		if (section_at(mo, pfn)->state != state ||
		    (state != HVO_SECTION_ABSENT && section_at(mo, pfn)->node != first->node))
			return false;
	return true;
}

/* Frames at the beginning of a section that host its descriptors. */
static uint64_t hosting(const struct model *mo)
{
	uint64_t nr = lasting(mo);

	return mo->cfg.mode == HVO_ON_DEMAND && nr ? nr + rig_tails(&mo->r) : nr;
}

/* Of the free frames of a section, those of one block in eight. */
static void must_be_zero(struct model *mo, hvo_pfn_t pfn, hvo_pfn_t end)
{
	pfn += pick(mo, 8) * HVO_PAGEBLOCK_FRAMES;
	for (; pfn + HVO_PAGEBLOCK_FRAMES <= end; pfn += 8 * HVO_PAGEBLOCK_FRAMES)
		must(mo, rig_zero(&mo->r, pfn, HVO_PAGEBLOCK_FRAMES));
}

void op_add(struct model *mo)
{
	unsigned int flags = pick(mo, 2) ? HVO_MEMMAP_ON_MEMORY : 0;
	int node = (int)pick(mo, mo->cfg.nr_nodes), want = 0, rc;
	uint64_t needed, room = free_in(mo, HVO_ZONE_NORMAL);
	struct snapshot before = snapshot(mo);
	hvo_pfn_t start, end, pfn;

	pick_sections(mo, HVO_SECTION_ABSENT, &start, &end);
	if (!pick(mo, 16))
		node = pick(mo, 2) ? -1 : (int)mo->cfg.nr_nodes;
	if (!pick(mo, 16))
		flags |= 2;
	if (!is_range(mo, start, end) || node < 0 || node >= (int)mo->cfg.nr_nodes || flags & 2)
		want = -HVO_EINVAL;
	else if (!all_are(mo, start, end, HVO_SECTION_ABSENT))
		want = -HVO_EBUSY;
	rc = hvo_memory_add(mo->r.m, node, start, end, flags);
	if (rc || want) {
		needed = want ? 0 : (end - start) / SECTION * lasting(mo);
		/* Without one to spare for tails or below the watermarks. */
		must(mo, rc == want || (rc == -HVO_ENOMEM && !want && !flags &&
					room < needed + needed / 32 + 64));
		if (want)
			must_be_as(mo, &before);
		return;
	}
	for (pfn = start; pfn < end; pfn += SECTION) {
		*section_at(mo, pfn) =
			(struct model_section){ HVO_SECTION_OFFLINE, node, HVO_ZONE_NORMAL,
						flags && hosting(mo) };
		must_be_zero(mo, pfn + (flags ? hosting(mo) : 0), pfn + SECTION);
	}
}

void op_online(struct model *mo)
{
	enum hvo_zone_type zone = pick(mo, 3) ? HVO_ZONE_MOVABLE : HVO_ZONE_NORMAL;
	struct snapshot before = snapshot(mo);
	hvo_pfn_t start, end, pfn;
	int want = 0, rc;

	pick_sections(mo, HVO_SECTION_OFFLINE, &start, &end);
	if (!pick(mo, 16))
		zone = pick(mo, 2) ? HVO_ZONE_CMA : HVO_NR_ZONES;
	if (!is_range(mo, start, end) || zone > HVO_ZONE_MOVABLE)
		want = -HVO_EINVAL;
	else if (!all_are(mo, start, end, HVO_SECTION_OFFLINE))
		want = -HVO_EBUSY;
	rc = hvo_memory_online(mo->r.m, start, end, zone);
	must(mo, rc == want);
	if (rc) {
		must_be_as(mo, &before);
		return;
	}
	for (pfn = start; pfn < end; pfn += SECTION) {
		section_at(mo, pfn)->state = HVO_SECTION_ONLINE;
		section_at(mo, pfn)->zone = zone;
	}
}

void op_offline(struct model *mo)
{
	struct snapshot before = snapshot(mo);
	hvo_pfn_t start, end, pfn;
	int want = 0, rc;
	bool nobody;

	pick_sections(mo, HVO_SECTION_ONLINE, &start, &end);
	if (!is_range(mo, start, end) || !one_zone(mo, start, end))
		want = -HVO_EINVAL;
	else if (section_at(mo, start)->zone == HVO_ZONE_CMA)
		want = -HVO_EBUSY;
	if (want) {
		must(mo, hvo_memory_offline(mo->r.m, start, end) == want);
		must_be_as(mo, &before);
		return;
	}
	nobody = section_at(mo, start)->zone == HVO_ZONE_MOVABLE && !any_set(mo->owned, start, end);
	mo->closed_start = start;
	mo->closed_end = end;
	rc = hvo_memory_offline(mo->r.m, start, end);
	mo->closed_start = mo->closed_end = 0;
	must(mo, !rc || rc == -HVO_ENOMEM || (rc == -HVO_EBUSY && !nobody));
	if (rc)
		return;
	must(mo, !any_set(mo->owned, start, end));
	for (pfn = start; pfn < end; pfn += SECTION)
		section_at(mo, pfn)->state = HVO_SECTION_OFFLINE;
}

void op_remove(struct model *mo)
{
	struct snapshot before = snapshot(mo);
	hvo_pfn_t start, end, pfn;
	int want = 0, rc;

	pick_sections(mo, HVO_SECTION_OFFLINE, &start, &end);
	if (!is_range(mo, start, end))
		want = -HVO_EINVAL;
	else if (!all_are(mo, start, end, HVO_SECTION_OFFLINE))
		want = -HVO_EBUSY;
	rc = hvo_memory_remove(mo->r.m, start, end);
	must(mo, rc == want);
	if (rc) {
		must_be_as(mo, &before);
		return;
	}
	for (pfn = start; pfn < end; pfn += SECTION)
		*section_at(mo, pfn) = (struct model_section){ .state = HVO_SECTION_ABSENT };
	for (pfn = start; pfn < end; pfn++) {
		mo->nr_failed -= mo->failed[pfn];
		mo->failed[pfn] = 0;
	}
}

/* ---- frames that fail, and frames of descriptors -------------------------------------------------- */

static enum hvo_page_state state_of(struct model *mo, hvo_pfn_t pfn)
{
	return hvo_page_state(rig_page(&mo->r, hvo_page_head(hvo_machine_memmap(mo->r.m), pfn)));
}

void op_fail(struct model *mo)
{
	struct snapshot before = snapshot(mo);
	bool again, owned, is_free;
	hvo_pfn_t pfn;
	int rc;

	pfn = pick(mo, 16) ? pick(mo, mo->nr_frames) : mo->nr_frames + pick(mo, 2);
	if (!is_online(mo, pfn)) {
		must(mo, hvo_memory_failure(mo->r.m, pfn) == -HVO_EINVAL);
		must_be_as(mo, &before);
		return;
	}
	again = mo->failed[pfn];
	owned = mo->owned[pfn];
	is_free = state_of(mo, pfn) == HVO_PAGE_FREE;
	if ((!again && mo->nr_failed == FAILURES) || pick(mo, 3))
		return;
	mo->nr_failed += !again;
	mo->failed[pfn] = 1;
	rc = hvo_memory_failure(mo->r.m, pfn);
	must(mo, !rc || rc == -HVO_EBUSY || (rc == -HVO_ENOMEM && mo->cfg.mode == HVO_LINUX));
	if (is_free)
		must(mo, !rc);
	if (owned && mo->owned[pfn])
		must(mo, rc == -HVO_EBUSY);
	if (!rc)
		must(mo, state_of(mo, pfn) == HVO_PAGE_POISONED);
}

void op_move_memmap(struct model *mo)
{
	hvo_pfn_t pfn;
	unsigned int i;
	int rc;

	pfn = pick(mo, mo->nr_frames);
	for (i = 0; i < 500 && state_of(mo, pfn) != HVO_PAGE_MEMMAP; i++)
		pfn = pick(mo, 4) ? (pfn + 1) % mo->nr_frames : pick(mo, mo->nr_frames);
	if (state_of(mo, pfn) != HVO_PAGE_MEMMAP) {
		must(mo, hvo_move_memmap(mo->r.m, pfn) == -HVO_EINVAL);
		return;
	}
	rc = hvo_move_memmap(mo->r.m, pfn);
	must(mo, !rc || rc == -HVO_EINVAL || rc == -HVO_ENOMEM || rc == -HVO_EBUSY);
	if (!is_online(mo, pfn))
		must(mo, rc == -HVO_EINVAL);
	must(mo, (state_of(mo, pfn) == HVO_PAGE_MEMMAP) == !!rc);
}

/* ---- moving blocks ------------------------------------------------------------------------------ */

void op_migrate(struct model *mo)
{
	hvo_pfn_t dst = HVO_PFN_NONE, src;
	struct entry *e;
	int rc;

	if (!mo->nr)
		return;
	e = &mo->entry[pick(mo, mo->nr)];
	src = e->pfn;
	rc = hvo_migrate(mo->r.m, src + pick(mo, size(e)), pick_node(mo), &dst);
	must(mo, (rc == -HVO_EINVAL) == !e->movable);
	if (rc)
		must(mo, e->pfn == src && dst == HVO_PFN_NONE &&
				 (!e->movable || rc == -HVO_EBUSY || rc == -HVO_ENOMEM ||
				  rc == -HVO_EAGAIN));
	else
		must(mo, e->pfn == dst && dst != src);
	verify(mo, e);
}

/* In the background, with a bound, or all that can be. */
void op_compact(struct model *mo)
{
	uint64_t max = pick(mo, 4) ? pick(mo, RANGE) : UINT64_MAX;
	int64_t moved =
		hvo_compact(mo->r.m, pick_node(mo), 9 + (unsigned int)pick(mo, 4), max, NULL);

	must(mo, moved >= 0 && (uint64_t)moved <= max);
}

/* A range of some blocks is emptied, if that can be; then nobody is in it any more. */
void op_empty(struct model *mo)
{
	enum evacuate_for purpose = pick(mo, 2) ? EVACUATE_OFFLINE : EVACUATE_CONTIG;
	uint64_t blocks = mo->nr_frames >> HVO_PAGEBLOCK_ORDER;
	hvo_pfn_t start = pick(mo, blocks) << HVO_PAGEBLOCK_ORDER;
	hvo_pfn_t end = start + ((1 + pick(mo, 8)) << HVO_PAGEBLOCK_ORDER);
	struct snapshot before = snapshot(mo);
	int rc;

	rc = hvo_isolate_range(mo->r.m, start, end);
	must(mo, rc == (one_zone(mo, start, end) ? 0 : -HVO_EINVAL));
	if (rc) {
		must(mo, hvo_unisolate_range(mo->r.m, start, end) == -HVO_EINVAL);
		must_be_as(mo, &before);
		return;
	}
	mo->closed_start = start;
	mo->closed_end = end;
	rc = evacuate(mo->r.m, start, end, purpose, pick(mo, 4) ? UINT64_MAX : pick(mo, 600), NULL);
	must(mo, !rc || rc == -HVO_EBUSY || rc == -HVO_ENOMEM || rc == -HVO_EAGAIN);
	if (!rc)
		must(mo, !any_set(mo->owned, start, end));
	if (!pick(mo, 3))
		must(mo, !rig_findings(&mo->r));
	must(mo, hvo_isolate_range(mo->r.m, start, end) == -HVO_EBUSY);
	must(mo, !hvo_unisolate_range(mo->r.m, start, end));
	mo->closed_start = mo->closed_end = 0;
}

/* ---- contiguous ranges ------------------------------------------------------------------------ */

/* Somebody got these frames: nobody else has them. He keeps them, or gives them back. */
static void got_range(struct model *mo, hvo_pfn_t start, hvo_pfn_t end, unsigned int gfp)
{
	hvo_pfn_t pfn;

	must(mo, !any_set(mo->owned, start, end) && !any_set(mo->failed, start, end));
	must(mo, !is_cleared(mo, gfp) || rig_zero(&mo->r, start, end - start));
	for (pfn = start; pfn < end; pfn++)
		must(mo, !hvo_get_page(mo->r.m, pfn, NULL) && !hvo_put_page(mo->r.m, pfn));
	if (!pick(mo, 3))
		must(mo, !rig_findings(&mo->r));
	if (mo->nr + 64 < BLOCKS && !pick(mo, 4)) {
		adopt(mo, start, end, pick(mo, 16));
		return;
	}
	rig_fill(&mo->r, start, end - start, 1);
	must(mo, !hvo_free_contig_range(mo->r.m, start, end));
	must(mo, hvo_free_contig_range(mo->r.m, start, end) == -HVO_EINVAL);
}

/* Any frames are wanted: then all of them are free, or nobody's. */
void op_contig(struct model *mo)
{
	unsigned int gfp = HVO_GFP_USER | HVO_GFP_NOWARN | (pick(mo, 3) ? 0 : HVO_GFP_ZERO);
	hvo_pfn_t start = pick(mo, mo->nr_frames), end = start + 1 + pick(mo, RANGE);
	bool valid = one_zone(mo, start, end);
	struct snapshot before = snapshot(mo);
	int rc;

	mo->closed_start = start;
	mo->closed_end = end;
	rc = hvo_alloc_contig_range(mo->r.m, start, end, gfp);
	mo->closed_start = mo->closed_end = 0;
	must(mo, (rc == -HVO_EINVAL) == !valid);
	if (!valid)
		must_be_as(mo, &before);
	else if (rc)
		must(mo, rc == -HVO_EBUSY || rc == -HVO_ENOMEM || rc == -HVO_EAGAIN);
	else
		got_range(mo, start, end, gfp);
}

void op_contig_pages(struct model *mo)
{
	unsigned int gfp = (pick(mo, 4) ? HVO_GFP_USER : HVO_GFP_KERNEL) | HVO_GFP_NOWARN;
	uint64_t nr = 1 + pick(mo, pick(mo, 2) ? 64 : 3 * RANGE);
	hvo_pfn_t pfn = HVO_PFN_NONE;
	int node = pick_node(mo), rc;

	if (!pick(mo, 4))
		gfp |= HVO_GFP_THISNODE;
	rc = hvo_alloc_contig_pages(mo->r.m, nr, gfp, node, &pfn);
	if (rc) {
		must(mo, rc == -HVO_ENOMEM && pfn == HVO_PFN_NONE);
		return;
	}
	must(mo, one_zone(mo, pfn, pfn + nr));
	must(mo, !(pfn & ((UINT64_C(1) << (63 - __builtin_clzll(nr))) - 1)));
	if (gfp & HVO_GFP_THISNODE && node >= 0)
		must(mo, section_at(mo, pfn)->node == node);
	if (!(gfp & HVO_GFP_MOVABLE))
		must(mo, section_at(mo, pfn)->zone == HVO_ZONE_NORMAL);
	got_range(mo, pfn, pfn + nr, gfp);
}

/* ---- CMA areas --------------------------------------------------------------------------------- */

void op_cma_alloc(struct model *mo)
{
	uint64_t nr = 1 + pick(mo, pick(mo, 2) ? 64 : 2 * RANGE), room = 0;
	unsigned int area, align = (unsigned int)pick(mo, 11);
	hvo_pfn_t pfn = HVO_PFN_NONE, start = 0;
	int rc;

	if (!mo->nr_areas || mo->nr_pieces == PIECES)
		return;
	area = (unsigned int)pick(mo, mo->nr_areas);
	rc = hvo_cma_alloc(mo->area[area], nr, align, &pfn);
	if (rc) {
		must(mo, pfn == HVO_PFN_NONE && (rc == -HVO_ENOMEM || rc == -HVO_EBUSY));
		return;
	}
	hvo_cma_stat(mo->area[area], &start, &room, NULL);
	must(mo, pfn >= start && pfn + nr <= start + room);
	must(mo, !(pfn & ((UINT64_C(1) << align) - 1)));
	must(mo, !is_cleared(mo, 0) || rig_zero(&mo->r, pfn, nr));
	own(mo, pfn, nr, true);
	mo->piece[mo->nr_pieces++] = (struct piece){ area, pfn, nr, ++mo->tags };
	rig_fill(&mo->r, pfn, nr, mo->tags);
}

static bool begins_piece(const struct model *mo, hvo_pfn_t pfn)
{
	unsigned int i;

	for (i = 0; i < mo->nr_pieces; i++)
		if (mo->piece[i].pfn == pfn)
			return true;
	return false;
}

/* All of a piece, or its first block. */
void op_cma_release(struct model *mo)
{
	struct snapshot before = snapshot(mo);
	struct hvo_cma *area;
	struct piece *p;
	uint64_t nr;
	bool lone;

	if (!mo->nr_pieces)
		return;
	p = &mo->piece[pick(mo, mo->nr_pieces)];
	area = mo->area[p->area];
	nr = pick(mo, 3) ? p->nr : UINT64_C(1) << rig_page(&mo->r, p->pfn)->order;
	must(mo, any_set(mo->failed, p->pfn, p->pfn + p->nr) ||
			 rig_intact(&mo->r, p->pfn, p->nr, p->tag));
	/* One frame more is no error if a piece that begins there has a block of one frame. */
	lone = !begins_piece(mo, p->pfn + p->nr);
	must(mo, !lone || hvo_cma_release(area, p->pfn, p->nr + 1) == -HVO_EINVAL);
	must(mo, hvo_cma_release(area, p->pfn, 0) == -HVO_EINVAL);
	if (nr > 1 && lone)
		must(mo, hvo_cma_release(area, p->pfn + 1, nr) == -HVO_EINVAL);
	must_be_as(mo, &before);
	must(mo, !hvo_cma_release(area, p->pfn, nr));
	own(mo, p->pfn, nr, false);
	p->pfn += nr;
	p->nr -= nr;
	/* What is left is what was there, further on. */
	p->tag = ++mo->tags;
	rig_fill(&mo->r, p->pfn, p->nr, p->tag);
	if (!p->nr)
		*p = mo->piece[--mo->nr_pieces];
}
