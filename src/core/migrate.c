// SPDX-License-Identifier: MIT
/*
 * Migration: what a block holds goes somewhere else, with its references, and its owner makes
 * everything that named the old place name the new one. Built on that: emptying a range.
 *
 *	1. a reference of our own; the owner isolates, and says how many he has
 *	2. a new place, populated
 *	3. freeze: the owner's references and ours become none, or somebody else has one
 *	4. copy; the new place gets references, map count, words and owner
 *	5. the owner moves his references	6. the old place is free
 *
 * All that can fail but the owner himself comes before step 4, and what the owner refuses is
 * undone: the old place gets its references back, the new one loses them.
 *
 * The new place is complete before the owner is asked to name it, since whoever finds it
 * there may use it at once. So if he refuses, somebody who looks at any frame he likes may
 * hold it: then it goes when they let go.
 *
 * States: the old place is USED or HUGETLB_USED with refcount 0 from step 3 on, so nobody can
 * take a reference, and its descriptor does not move (move.c).
 * Locks: none while the owner is called; the memmap lock for what changes pools.
 * Linux: mm/migrate.c, migrate_pages(), folio_migrate_mapping(), move_to_new_folio(),
 * move_hugetlb_state(); mm/memory_hotplug.c, do_migrate_range(); mm/page_alloc.c,
 * __alloc_contig_migrate_range().
 */
#include "migrate.h"

#include "alloc.h"
#include "badframe.h"
#include "hugetlb.h"
#include "isolate.h"
#include "lock.h"
#include "move.h"
#include "owner.h"
#include "page.h"
#include "zone.h"

#define ATTEMPTS 10
#define ROUNDS 5
#define WAIT_NS 1000
#define GFP_TARGET (HVO_GFP_USER | HVO_GFP_RETRY_MAYFAIL | HVO_GFP_NOWARN | GFP_ISOLATING)
#define GFP_TARGET_QUIET (GFP_TARGET & ~HVO_GFP_RECLAIM)

/* Where things may go, beside the node that is preferred: flags of an allocation. */
struct where {
	unsigned int block; /* all of them */
	unsigned int huge;  /* 0, HVO_GFP_THISNODE or GFP_OTHER_NODES */
};

static const struct where anywhere = { GFP_TARGET, 0 };

struct migration {
	struct hvo_machine *m;
	struct hvo_owner *owner;
	uint32_t id;
	hvo_pfn_t src, dst;
	unsigned int order;
	uint32_t refs; /* of the owner */
	int node;
	unsigned int where;    /* the one of struct where that is meant */
	struct hvo_pool *pool; /* NULL: an ordinary block */
	bool fresh;	       /* the pool is one larger for it */
	bool restored;	       /* the old place was folded, before the scope asked for it */
	bool stays;	       /* the scope lets nothing of the pool move */
};

/* ---- the new place -------------------------------------------------------------------- */

static void put_target(struct migration *g)
{
	struct hvo_machine *m = g->m;

	if (!g->pool) {
		free_block(m, g->dst, g->order);
		return;
	}
	lock_acquire(m, &m->memmap_lock);
	hugetlb_put_target(g->pool, g->dst, g->fresh);
	lock_release(m, &m->memmap_lock);
}

static int take_from(struct migration *g, unsigned int where)
{
	struct hvo_machine *m = g->m;
	bool restored = false;
	int rc;

	if (g->pool) {
		lock_acquire(m, &m->memmap_lock);
		rc = hugetlb_take_target(g->pool, where, g->node, &g->dst, &g->fresh);
		if (!rc) {
			rc = hugetlb_scope_move(g->pool, g->dst, g->src, g->fresh, &restored);
			g->restored = g->restored || restored;
			if (rc)
				hugetlb_put_target(g->pool, g->dst, g->fresh);
		}
		lock_release(m, &m->memmap_lock);
		return rc;
	}
	rc = alloc_block(m, where, g->order, g->node, &g->dst);
	if (rc)
		return rc;
	rc = m->ops->populate(m->ctx, g->dst, UINT64_C(1) << g->order);
	if (rc)
		put_target(g);
	return rc;
}

/* Nothing moves to a frame that failed since it was taken. */
static int take_sound(struct migration *g, unsigned int where)
{
	int rc;

	while (!(rc = take_from(g, where)) && badframe_in_block(g->m, g->dst, g->order))
		put_target(g);
	return rc;
}

/* Linux mode gives up where the other nodes have no room, as the kernel. */
static bool may_stay(const struct hvo_machine *m, unsigned int where)
{
	return where & GFP_OTHER_NODES && on_demand(m);
}

static int take_target(struct migration *g)
{
	int rc = take_sound(g, g->where);

	if (rc == -HVO_ENOMEM && may_stay(g->m, g->where))
		rc = take_sound(g, g->pool ? anywhere.huge : anywhere.block);
	return rc;
}

/* Frames that failed have nothing that could be copied, and their owner was told. */
static void copy_frames(struct hvo_machine *m, hvo_pfn_t dst, hvo_pfn_t src, uint64_t nr)
{
	hvo_pfn_t end = src + nr;

	while (src < end) {
		uint64_t good = badframe_sound(m, src, end);

		if (good)
			m->ops->copy(m->ctx, dst, src, good);
		src += good;
		dst += good;
		if (src == end)
			break;
		m->ops->zero(m->ctx, dst, 1);
		src++;
		dst++;
	}
}

/* All that the old place has but its contents; it has a reference from here on. */
static void publish_target(struct migration *g)
{
	const struct hvo_page *src = page_ro(g->m, g->src);
	struct hvo_page *dst = page_rw(g->m, g->dst);
	uint64_t words[HVO_PAGE_PRIVATE];
	unsigned int i;

	for (i = 0; i < HVO_PAGE_PRIVATE; i++)
		words[i] = src->private_data[i];
	for (i = 0; i < HVO_PAGE_PRIVATE; i++)
		page_set_word(dst, i, words[i]);
	set_tails(g->m, g->dst, g->order);
	if (!g->pool)
		page_set_flags(dst, 0);
	__atomic_store_n(&dst->mapcount, src->mapcount, __ATOMIC_RELAXED);
	page_set_owner(dst, g->id);
	page_set_refs(dst, g->refs);
}

/* The owner refused. Others may have taken a reference meanwhile. */
static void unpublish_target(struct migration *g)
{
	struct hvo_machine *m = g->m;
	uint32_t n, i;
	bool alone;

	owner_set(m, g->dst, 0);
	m->ops->read_lock(m->ctx);
	do
		n = page_count(m, g->dst, PAGE_MAPCOUNT);
	while (!page_count_change(m, g->dst, PAGE_MAPCOUNT, n, 0));
	alone = page_freeze(m, g->dst, g->refs);
	m->ops->read_unlock(m->ctx);
	if (alone) {
		clear_freed(m, g->dst, UINT64_C(1) << g->order);
		put_target(g);
		return;
	}
	if (g->pool)
		hugetlb_leave_target(g->pool, g->dst, g->fresh);
	for (i = 0; i < g->refs; i++)
		put_page_mapped(m, g->dst);
}

/* ---- the old place -------------------------------------------------------------------- */

static bool freeze_source(struct migration *g)
{
	struct hvo_machine *m = g->m;
	unsigned int i;
	bool frozen;

	for (i = 0; i < ATTEMPTS; i++) {
		if (i)
			m->ops->sleep_ns(m->ctx, WAIT_NS);
		m->ops->read_lock(m->ctx);
		frozen = page_freeze(m, g->src, g->refs + 1);
		m->ops->read_unlock(m->ctx);
		if (frozen)
			return true;
	}
	return false;
}

/* Of a frame that failed while nobody could take a reference the owner is told by hvo_work(). */
static void tell_later(struct migration *g, hvo_pfn_t pfn)
{
	if (badframe_in_block(g->m, pfn, g->order))
		work_wanted(g->m);
}

static void free_source(struct migration *g)
{
	struct hvo_page *src = page_rw(g->m, g->src);

	page_set_owner(src, 0);
	__atomic_store_n(&src->mapcount, 0, __ATOMIC_RELAXED);
	clear_freed(g->m, g->src, UINT64_C(1) << g->order);
	if (g->pool) {
		hugetlb_migrated(g->pool, g->dst, g->src, g->fresh);
		return;
	}
	free_block(g->m, g->src, g->order);
}

/* ---- one block ------------------------------------------------------------------------- */

/* Steps 3 to 6. After an error the source is as it was, with our reference if it was not frozen. */
static int move_over(struct migration *g, bool *ret_frozen)
{
	struct hvo_machine *m = g->m;
	int rc;

	*ret_frozen = freeze_source(g);
	if (!*ret_frozen) {
		put_target(g);
		return -HVO_EBUSY;
	}
	copy_frames(m, g->dst, g->src, UINT64_C(1) << g->order);
	publish_target(g);
	rc = g->owner->move(g->owner, m, g->dst, g->src, g->order);
	if (!rc) {
		tell_later(g, g->dst);
		free_source(g);
		return 0;
	}
	unpublish_target(g);
	page_set_refs(page_rw(m, g->src), g->refs);
	tell_later(g, g->src);
	return rc;
}

/* A huge page that did not move is what it was. Its owner has not let go of it yet. */
static void fold_again(struct migration *g)
{
	lock_acquire(g->m, &g->m->memmap_lock);
	hugetlb_fold_in_place(g->pool, g->src);
	lock_release(g->m, &g->m->memmap_lock);
}

/* A block that we hold a reference on, and nobody else migrates; drops the reference. */
static int migrate_held(struct migration *g)
{
	struct hvo_machine *m = g->m;
	bool frozen = false;
	int rc;

	g->refs = g->owner->isolate(g->owner, m, g->src, g->order);
	if (!g->refs) {
		put_page_mapped(m, g->src);
		return -HVO_EBUSY;
	}
	rc = take_target(g);
	if (!rc)
		rc = move_over(g, &frozen);
	if (rc && g->restored)
		fold_again(g);
	if (rc)
		g->owner->putback(g->owner, m, g->src, g->order);
	if (!frozen)
		put_page_mapped(m, g->src);
	counter_add(rc ? &m->migrate_failures : &m->migrated, UINT64_C(1) << g->order);
	return rc;
}

/* What a block is that we hold a reference on; false: it cannot be moved. */
static bool migration_init(struct migration *g, struct hvo_machine *m, hvo_pfn_t head, int node,
			   const struct where *where)
{
	const struct hvo_page *page;
	enum hvo_page_state state;

	*g = (struct migration){ .m = m, .src = head };
	m->ops->read_lock(m->ctx);
	page = page_ro(m, head);
	state = hvo_page_state(page);
	g->order = __atomic_load_n(&page->order, __ATOMIC_RELAXED);
	g->id = page_owner(page);
	m->ops->read_unlock(m->ctx);
	if (state != HVO_PAGE_USED && state != HVO_PAGE_HUGETLB_USED)
		return false;
	g->pool = state == HVO_PAGE_HUGETLB_USED ? hvo_pool_find(m, g->order) : NULL;
	g->node = node < 0 ? zone_of(m, head)->node : node;
	g->where = g->pool ? where->huge : where->block;
	g->owner = owner_get(m, g->id);
	return g->owner;
}

/* 1: nobody holds a block there, for now. */
static int try_migrate(struct hvo_machine *m, hvo_pfn_t pfn, int node, const struct where *where,
		       struct migration *g)
{
	hvo_pfn_t head = HVO_PFN_NONE;
	int rc;

	if (hvo_get_page(m, pfn, &head))
		return 1;
	if (!migration_init(g, m, head, node, where)) {
		put_page_mapped(m, head);
		return -HVO_EINVAL;
	}
	g->stays = g->pool && hugetlb_stays(g->pool);
	if (g->stays) {
		hugetlb_move_refused(g->pool);
		put_page_mapped(m, head);
		rc = -HVO_EBUSY;
	} else if (migrating_begin(m, head)) {
		rc = migrate_held(g);
		migrating_end(m, head);
	} else {
		put_page_mapped(m, head);
		rc = -HVO_EBUSY;
	}
	owner_put(m, g->id);
	return rc;
}

int migrate_block(struct hvo_machine *m, hvo_pfn_t pfn, int node, hvo_pfn_t *ret_dst)
{
	struct migration g;
	int rc = try_migrate(m, pfn, node, &anywhere, &g);

	if (rc)
		return rc > 0 ? -HVO_EINVAL : rc;
	if (ret_dst)
		*ret_dst = g.dst;
	return 0;
}

int hvo_migrate(struct hvo_machine *m, hvo_pfn_t pfn, int node, hvo_pfn_t *ret_dst)
{
	if (machine_gone(m))
		return -HVO_ENODEV;
	if (pfn >= m->mm.nr_frames || !node_valid(m, node))
		return -HVO_EINVAL;
	return migrate_block(m, pfn, node, ret_dst);
}

/* ---- emptying a range -------------------------------------------------------------------- */

struct evacuation {
	struct hvo_machine *m;
	hvo_pfn_t start, end;
	enum evacuate_for purpose;
	struct where where;
	uint64_t max, moved;
	/* Of this round: blocks wait for room on their node; other things could not be moved. */
	bool crowded, stuck;
	hvo_pfn_t behind; /* the end of what stays */
	bool own_only;
};

/* What a frame was a moment ago. */
struct look {
	enum hvo_page_state state;
	unsigned int order; /* of what it heads */
	uint16_t flags;
};

/* The order of the whole block around a frame and what its head says; 0: it is cut. */
static unsigned int look_at(struct hvo_machine *m, hvo_pfn_t pfn, struct look *ret)
{
	const struct hvo_page *page;
	unsigned int whole;

	m->ops->read_lock(m->ctx);
	whole = hvo_fold_byte(&m->mm, block_of(pfn)) & HVO_FOLD_ORDER;
	page = page_ro(m, pfn & ~((UINT64_C(1) << whole) - 1));
	ret->state = hvo_page_state(page);
	ret->order = __atomic_load_n(&page->order, __ATOMIC_RELAXED) & HVO_FOLD_ORDER;
	ret->flags = page_flags(page);
	m->ops->read_unlock(m->ctx);
	return whole;
}

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
			return anywhere;
		/* Nothing is reclaimed for it where the node itself may do. */
		if (on_demand(m))
			others.block = GFP_TARGET_QUIET | GFP_OTHER_NODES;
		return others;
	case EVACUATE_CONTIG:
		this_node.block = GFP_TARGET_QUIET | HVO_GFP_THISNODE;
		return this_node;
	case EVACUATE_SOFT:
		return anywhere;
	default:
		return this_node;
	}
}

/* Blocks of a contiguous range, later. */
static bool may_spread(const struct evacuation *e)
{
	return e->purpose == EVACUATE_CONTIG && e->where.block != anywhere.block;
}

/* Only what is hopeless, and what ends all of it, is an error. */
static int move_used(struct evacuation *e, hvo_pfn_t pfn)
{
	struct migration g = { 0 };
	int rc;

	if (e->moved >= e->max)
		return -HVO_EAGAIN;
	rc = try_migrate(e->m, pfn, HVO_NODE_ANY, &e->where, &g);
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
	default: /* the next round, perhaps */
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
	/* Those of its own block go with it; whether they do, is looked at in the end. */
	return rc == -HVO_ENOMEM ? rc : 0;
}

/* Pool lock held, and dropped. */
static int replace_huge(struct evacuation *e, struct hvo_pool *pool, hvo_pfn_t pfn)
{
	struct hvo_machine *m = e->m;
	int rc = hugetlb_replace_locked(pool, e->where.huge, pfn);
	bool used = false;

	if (rc != -HVO_ENOMEM || !may_stay(m, e->where.huge))
		return rc;
	pool = hugetlb_lock_pool_of(m, &pfn, &used);
	if (pool && !used)
		return hugetlb_replace_locked(pool, anywhere.huge, pfn);
	if (pool)
		lock_release(m, &pool->lock);
	return -HVO_EAGAIN;
}

/* A free huge page. Memmap lock held. */
static int remove_huge(struct evacuation *e, hvo_pfn_t pfn)
{
	struct hvo_machine *m = e->m;
	struct hvo_pool *pool;
	bool used = false;
	int rc = -HVO_EBUSY;

	pool = hugetlb_lock_pool_of(m, &pfn, &used);
	if (!pool)
		return 0;
	if (used) {
		lock_release(m, &pool->lock);
		return -HVO_EAGAIN;
	}
	if (e->purpose == EVACUATE_OFFLINE || e->purpose == EVACUATE_SOFT) {
		rc = hugetlb_dissolve_locked(pool, pfn, false);
		if (rc != -HVO_EBUSY)
			return rc;
		/* Somebody has a promise: another page is as good. */
		pool = hugetlb_lock_pool_of(m, &pfn, &used);
		if (pool && !used)
			return replace_huge(e, pool, pfn);
	} else {
		rc = replace_huge(e, pool, pfn);
		if (rc != -HVO_ENOMEM || !on_demand(m))
			return rc;
		pool = hugetlb_lock_pool_of(m, &pfn, &used);
		if (pool && !used)
			return hugetlb_dissolve_locked(pool, pfn, false);
	}
	if (pool)
		lock_release(m, &pool->lock);
	return -HVO_EAGAIN;
}

static int remove_free_huge(struct evacuation *e, hvo_pfn_t pfn)
{
	struct hvo_machine *m = e->m;
	int rc;

	lock_acquire(m, &m->memmap_lock);
	rc = remove_huge(e, pfn);
	lock_release(m, &m->memmap_lock);
	return rc == -HVO_EAGAIN ? 0 : rc;
}

/* Frames of a cut block, block by block of its own buddy. */
static int empty_cut(struct evacuation *e, hvo_pfn_t base)
{
	hvo_pfn_t pfn = base, end = base + HVO_BLOCK_FRAMES;
	struct look at;
	int rc = 0;

	while (pfn < end && pfn < e->end && !rc) {
		uint64_t nr;

		/* It is whole by now, for whatever purpose: the next round sees that. */
		if (look_at(e->m, pfn, &at))
			return 0;
		nr = page_cut_frames(at.state, at.order);
		if (pfn + nr <= e->start || at.state == HVO_PAGE_FREE) {
			pfn += nr;
			continue;
		}
		if (at.state == HVO_PAGE_USED)
			rc = move_used(e, pfn);
		else if (at.state == HVO_PAGE_MEMMAP)
			rc = at.flags & HVO_PF_BOOT ? -HVO_EBUSY : move_descriptors(e, pfn);
		pfn += nr;
		if (rc)
			e->behind = pfn;
	}
	return rc;
}

static int empty_whole(struct evacuation *e, hvo_pfn_t pfn, enum hvo_page_state state)
{
	switch (state) {
	case HVO_PAGE_USED:
	case HVO_PAGE_HUGETLB_USED:
		return move_used(e, pfn);
	case HVO_PAGE_HUGETLB_FREE:
		return remove_free_huge(e, pfn);
	case HVO_PAGE_MEMMAP:
		return -HVO_EBUSY;
	default:
		return 0;
	}
}

/* One whole block, or the 2 MiB of a cut one; *ret_end is where the next begins. */
static int empty_one(struct evacuation *e, hvo_pfn_t pfn, hvo_pfn_t *ret_end)
{
	struct look at;
	unsigned int whole = look_at(e->m, pfn, &at);
	int rc;

	if (!whole) {
		*ret_end = (pfn | (HVO_BLOCK_FRAMES - 1)) + 1;
		return empty_cut(e, pfn & ~(hvo_pfn_t)(HVO_BLOCK_FRAMES - 1));
	}
	*ret_end = (pfn | ((UINT64_C(1) << whole) - 1)) + 1;
	rc = empty_whole(e, pfn, at.state);
	if (rc)
		e->behind = *ret_end;
	return rc;
}

/* Only a cut block's words are anybody's to read; what collapses holds its own tails and no more. */
static bool holds_own_tails(struct hvo_machine *m, hvo_pfn_t pfn)
{
	struct zone *z = zone_of(m, pfn);
	enum block_place place;
	bool own;

	lock_acquire(m, &z->lock);
	place = block_place(m, block_of(pfn));
	own = place == PLACE_COLLAPSING || (place == PLACE_CUT && page_describes_itself(m, pfn));
	lock_release(m, &z->lock);
	return own;
}

/*
 * Free but for frames that failed? What holds nothing but its own descriptors collapses;
 * only a frame that failed keeps it from that, or what lies in it outside of the range.
 */
static bool block_is_empty(struct evacuation *e, hvo_pfn_t base)
{
	hvo_pfn_t pfn, next, end = min_u64(base + HVO_BLOCK_FRAMES, e->end), own = 0, stays = 0;
	bool bad = false;
	struct look at;
	unsigned int whole;

	if (isolated_block_free(e->m, base))
		return true;
	for (pfn = base; pfn < end; pfn = next) {
		whole = look_at(e->m, pfn, &at);
		if (whole) {
			/* One that is not free may be one that could not be cut. */
			if (at.state == HVO_PAGE_POISONED)
				return true;
			stays = (pfn | ((UINT64_C(1) << whole) - 1)) + 1;
			break;
		}
		next = pfn + page_cut_frames(at.state, at.order);
		if (at.state == HVO_PAGE_POISONED)
			bad = true;
		else if (next <= e->start || at.state == HVO_PAGE_FREE)
			continue;
		else if (at.state == HVO_PAGE_MEMMAP && holds_own_tails(e->m, pfn))
			own = next;
		else
			stays = next;
	}
	if (stays)
		e->own_only = false;
	if (!bad && own > stays)
		stays = own;
	if (stays > e->behind)
		e->behind = stays;
	return !stays;
}

static bool range_is_empty(struct evacuation *e)
{
	hvo_pfn_t pfn = e->start & ~(hvo_pfn_t)(HVO_BLOCK_FRAMES - 1);
	bool empty = true;

	e->behind = 0;
	e->own_only = true;
	for (; pfn < e->end; pfn += HVO_BLOCK_FRAMES)
		empty = block_is_empty(e, pfn) && empty;
	return empty;
}

static int evacuate_round(struct evacuation *e)
{
	struct hvo_machine *m = e->m;
	hvo_pfn_t pfn = e->start;
	int rc = 0;

	e->crowded = e->stuck = false;
	e->own_only = false;
	/* What left its pool is nobody's, and only waits for its descriptors. */
	lock_acquire(m, &m->memmap_lock);
	hugetlb_flush_all(m);
	lock_release(m, &m->memmap_lock);
	while (pfn < e->end && !rc)
		rc = empty_one(e, pfn, &pfn);
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
		/* All but these blocks is gone: now they may go anywhere. */
		if (e.crowded && !e.stuck)
			e.where.block = anywhere.block;
	}
	if (!rc && i == ROUNDS)
		rc = -HVO_EBUSY;
	if (ret)
		*ret = (struct evacuated){ e.moved, e.behind, e.own_only };
	return rc;
}
