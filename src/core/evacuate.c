// SPDX-License-Identifier: MIT
/*
 * Emptying a range: everything that is in use there moves, free huge pages are replaced or leave
 * their pool, descriptors move, and what holds nothing but its own descriptors collapses.
 *
 * Looking for what is in the way gives a guess; the function that moves a block looks again.
 *
 * Locks: none while an owner is called; the memmap lock for what changes pools and descriptors.
 * Linux: mm/memory_hotplug.c, do_migrate_range(); mm/page_alloc.c, __alloc_contig_migrate_range().
 */
#include "evacuate.h"

#include "alloc.h"
#include "base.h"
#include "isolate.h"
#include "lock.h"
#include "memmap_move.h"
#include "migrate.h"
#include "page.h"
#include "pool.h"
#include "pool_leave.h"
#include "pool_move.h"
#include "zone_cut.h"

#define ROUNDS 5
#define WAIT_NS 1000

struct evacuation {
	struct hvo_machine *m;
	hvo_pfn_t start, end;
	enum evacuate_for purpose;
	struct where where;
	uint64_t max, moved;
	/* In this round: blocks wait for room on their node; others could not be moved. */
	bool crowded, stuck;
	hvo_pfn_t behind; /* end of the last block that stays */
	bool own_only;
};

/* Is there memory on a node but this one? */
static bool others_have_memory(struct hvo_machine *m, uint32_t node)
{
	uint32_t n, t;

	for (n = 0; n < m->cfg.nr_nodes; n++)
		for (t = 0; t < HVO_NR_ZONES; t++)
			if (n != node && counter_read(&m->nodes[n].zones[t].present))
				return true;
	return false;
}

static struct where where_for(struct hvo_machine *m, hvo_pfn_t start, enum evacuate_for purpose)
{
	struct where this_node = { GFP_TARGET | HVO_GFP_THISNODE, HVO_GFP_THISNODE };
	struct where others = { GFP_TARGET | GFP_OTHER_NODES, GFP_OTHER_NODES };

	switch (purpose) {
	case EVACUATE_OFFLINE:
		if (!others_have_memory(m, zone_of(m, start)->node))
			return migrate_anywhere;
		/* Reclaim nothing on other nodes if the block may stay on its own. */
		if (on_demand(m))
			others.block = GFP_TARGET_QUIET | GFP_OTHER_NODES;
		return others;
	case EVACUATE_CONTIG:
		this_node.block = GFP_TARGET_QUIET | HVO_GFP_THISNODE;
		return this_node;
	case EVACUATE_SOFT:
		return migrate_anywhere;
	default:
		return this_node;
	}
}

/* May blocks go to other nodes once nothing else is left in the range? */
static bool may_spread(const struct evacuation *e)
{
	return e->purpose == EVACUATE_CONTIG && e->where.block != migrate_anywhere.block;
}

/* ---- what is in use ------------------------------------------------------------------------- */

/* Move a block in use. An error ends the evacuation; a block that may move later is none. */
static int move_used(struct evacuation *e, hvo_pfn_t pfn)
{
	struct migration g = { 0 };
	int rc;

	if (e->moved >= e->max)
		return -HVO_EAGAIN;
	rc = migrate_try(e->m, pfn, HVO_NODE_ANY, &e->where, &g);
	switch (rc) {
	case 0:
		e->moved += UINT64_C(1) << g.order;
		return 0;
	case -HVO_ENOMEM:
		if (g.pool || !may_spread(e))
			return rc;
		e->crowded = true;
		return 0;
	case -HVO_EINVAL: /* nobody can move it */
		return -HVO_EBUSY;
	default: /* try again in the next round */
		if (g.stays)
			return rc;
		e->stuck = e->stuck || rc < 0;
		return 0;
	}
}

static int move_descriptors(struct evacuation *e, hvo_pfn_t pfn)
{
	struct hvo_machine *m = e->m;
	int rc;

	if (e->moved >= e->max)
		return -HVO_EAGAIN;
	lock_acquire(m, &m->memmap_lock);
	rc = vmemmap_move_frame(m, pfn);
	lock_release(m, &m->memmap_lock);
	if (!rc)
		e->moved++;
	e->stuck = e->stuck || rc == -HVO_EBUSY;
	return rc == -HVO_ENOMEM ? rc : 0;
}

/* How a free huge page goes: out of its pool, or replaced by one from where it should come. */
enum go { GO_LEAVE, GO_REPLACE, GO_REPLACE_ANYWHERE };

/* Try one way. -HVO_EAGAIN: the page is in use, or gone, by now. */
static int try_to_go(struct evacuation *e, enum go how, hvo_pfn_t pfn)
{
	struct hvo_machine *m = e->m;
	bool used = false;
	struct hvo_pool *pool;

	lock_assert_held(m, &m->memmap_lock);
	pool = hugetlb_lock_pool_of(m, &pfn, &used);
	if (!pool)
		return -HVO_EAGAIN;
	if (used) {
		lock_release(m, &pool->lock);
		return -HVO_EAGAIN;
	}
	if (how == GO_LEAVE)
		return hugetlb_dissolve_locked(pool, pfn, false);
	return hugetlb_replace_locked(
		pool, how == GO_REPLACE ? e->where.huge : migrate_anywhere.huge, pfn);
}

/*
 * Remove a free huge page from the range: let the pool get smaller, and replace what is reserved; or
 * replace all, and on-demand mode lets a page leave for which there is no other.
 */
static int remove_free_huge(struct evacuation *e, hvo_pfn_t pfn)
{
	static const enum go ways[2][3] = { { GO_REPLACE, GO_REPLACE_ANYWHERE, GO_LEAVE },
					    { GO_LEAVE, GO_REPLACE, GO_REPLACE_ANYWHERE } };
	bool smaller = e->purpose == EVACUATE_OFFLINE || e->purpose == EVACUATE_SOFT, next = true;
	struct hvo_machine *m = e->m;
	unsigned int i;
	int rc = 0;

	lock_acquire(m, &m->memmap_lock);
	for (i = 0; i < 3 && next; i++) {
		enum go how = ways[smaller][i];

		if ((how == GO_REPLACE_ANYWHERE && !migrate_may_stay(m, e->where.huge)) ||
		    (how == GO_LEAVE && !smaller && !on_demand(m)))
			continue;
		rc = try_to_go(e, how, pfn);
		next = rc == (how == GO_LEAVE ? -HVO_EBUSY : -HVO_ENOMEM);
	}
	lock_release(m, &m->memmap_lock);
	return rc == -HVO_EAGAIN ? 0 : rc;
}

/* ---- block by block ------------------------------------------------------------------------- */

/* Find the next block from *@pfn on that is in the way, a moment ago; false: look again at *@pfn. */
static bool next_in_way(struct evacuation *e, hvo_pfn_t *pfn, struct in_way *ret)
{
	struct zone *z = zone_of(e->m, e->start);
	bool found;

	lock_acquire(e->m, &z->lock);
	found = zone_next_in_way(e->m, pfn, e->start, e->end, ret);
	lock_release(e->m, &z->lock);
	return found;
}

/* Move a block out of the way. What cannot be seen, or is in the library's hands, may be later. */
static int empty_block(struct evacuation *e, const struct in_way *b)
{
	switch (b->state) {
	case HVO_PAGE_USED:
	case HVO_PAGE_HUGETLB_USED:
		return move_used(e, b->head);
	case HVO_PAGE_HUGETLB_FREE:
		return remove_free_huge(e, b->head);
	case HVO_PAGE_MEMMAP:
		if (b->flags & HVO_PF_BOOT)
			return -HVO_EBUSY;
		return b->own ? 0 : move_descriptors(e, b->head);
	default:
		return 0;
	}
}

/* Is nothing left in the way, once pageblocks with nothing but their own tails are collapsed? */
static bool range_is_empty(struct evacuation *e)
{
	hvo_pfn_t pfn = pb_start(e->start);
	struct in_way b;

	e->behind = 0;
	e->own_only = true;
	while (pfn < e->end) {
		if (!pb_index(pfn))
			isolated_collapse(e->m, pb_of(pfn));
		if (!next_in_way(e, &pfn, &b))
			continue;
		e->behind = pfn;
		e->own_only = e->own_only && b.own;
	}
	return !e->behind;
}

static int evacuate_round(struct evacuation *e)
{
	hvo_pfn_t pfn = pb_start(e->start);
	struct hvo_machine *m = e->m;
	struct in_way b;
	int rc = 0;

	e->crowded = e->stuck = false;
	e->own_only = false;
	/* Free pages that left their pool and wait for their descriptors. */
	lock_acquire(m, &m->memmap_lock);
	hugetlb_flush_all(m);
	lock_release(m, &m->memmap_lock);
	while (pfn < e->end && !rc) {
		if (next_in_way(e, &pfn, &b))
			rc = empty_block(e, &b);
		if (rc)
			e->behind = pfn;
	}
	return rc;
}

int evacuate(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end, enum evacuate_for purpose,
	     uint64_t max, struct evacuated *ret)
{
	struct evacuation e = {
		.m = m, .start = start, .end = end, .purpose = purpose, .max = max
	};
	int rc = 0, i;

	e.where = where_for(m, start, purpose);
	for (i = 0; i < ROUNDS && !rc; i++) {
		if (i)
			m->ops->sleep_ns(m->ctx, WAIT_NS);
		rc = evacuate_round(&e);
		if (!rc && !e.crowded && range_is_empty(&e))
			break;
		/* Nothing but these blocks is left: from now on they may go anywhere. */
		if (e.crowded && !e.stuck)
			e.where.block = migrate_anywhere.block;
	}
	if (!rc && i == ROUNDS)
		rc = -HVO_EBUSY;
	if (ret)
		*ret = (struct evacuated){ e.moved, e.behind, e.own_only };
	return rc;
}
