// SPDX-License-Identifier: MIT
/*
 * Migration: the content and the references of a block move to another block, and the owner makes
 * everything that named the old block name the new one. evacuate.c empties ranges so.
 *
 *	1. a reference of our own; the owner isolates, and says how many he has
 *	2. a new place, populated
 *	3. freeze: the owner's references and ours become none, or somebody else has one
 *	4. copy; the new place gets references, map count, words and owner
 *	5. the owner moves his references	6. the old place is free
 *
 * Each step that can fail, but for the owner's, comes before step 4. A move that the owner refuses
 * is undone: the old place gets its references back, the new one loses them.
 *
 * The new place is complete before the owner is asked to name it, since whoever finds it
 * there may use it at once. So if he refuses, somebody who looks at any frame he likes may
 * hold it: then it goes when they let go.
 *
 * States: the old place is USED or HUGETLB_USED with refcount 0 from step 3 on, so nobody can
 * take a reference, and its descriptor does not move (memmap_move.c).
 * Locks: none while the owner is called; the memmap lock for what changes pools.
 * Linux: mm/migrate.c, migrate_pages(), folio_migrate_mapping(), move_to_new_folio(),
 * move_hugetlb_state(); mm/memory_hotplug.c, do_migrate_range(); mm/page_alloc.c,
 * __alloc_contig_migrate_range().
 */
#include "migrate.h"

#include "alloc.h"
#include "badframe.h"
#include "base.h"
#include "fold.h"
#include "last_ref.h"
#include "lock.h"
#include "owner.h"
#include "page.h"
#include "pool_move.h"
#include "ref.h"
#include "scope.h"

#define ATTEMPTS 10
#define WAIT_NS 1000

const struct where migrate_anywhere = { GFP_TARGET, 0 };

/* ---- the new place -------------------------------------------------------------------------- */

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

static int get_from(struct migration *g, unsigned int where)
{
	struct hvo_machine *m = g->m;
	bool restored = false;
	int rc;

	if (g->pool) {
		lock_acquire(m, &m->memmap_lock);
		rc = hugetlb_get_target(g->pool, where, g->node, &g->dst, &g->fresh);
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

/* Get a target of which no frame failed since it was taken. */
static int get_sound(struct migration *g, unsigned int where)
{
	int rc;

	while (!(rc = get_from(g, where)) && badframe_in_block(g->m, g->dst, g->order))
		put_target(g);
	return rc;
}

bool migrate_may_stay(const struct hvo_machine *m, unsigned int where)
{
	return where & GFP_OTHER_NODES && on_demand(m);
}

static int get_target(struct migration *g)
{
	int rc = get_sound(g, g->where);

	if (rc == -HVO_ENOMEM && migrate_may_stay(g->m, g->where))
		rc = get_sound(g, g->pool ? migrate_anywhere.huge : migrate_anywhere.block);
	return rc;
}

/* Copy frames, but not those that failed: their content is lost, and their owner was told. */
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

/* Give the new place map count, words and owner of the old one, and its references. */
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
	if (!g->pool) {
		page_set_state(g->m, g->dst, dst, HVO_PAGE_USED, g->order);
		page_set_flags(dst, 0);
	}
	__atomic_store_n(&dst->mapcount, src->mapcount, __ATOMIC_RELAXED);
	page_set_owner(dst, g->id);
	page_set_refs(dst, g->refs);
}

/* Take the new place back after the owner refused. Others may hold a reference by now. */
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

/* ---- the old place -------------------------------------------------------------------------- */

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

/* ---- one block ------------------------------------------------------------------------------ */

/*
 * Do steps 3 to 6. After an error the source is as before, with the reference of step 1 unless
 * *@ret_frozen.
 */
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
		badframe_tell_later(m, g->dst, g->order);
		free_source(g);
		return 0;
	}
	unpublish_target(g);
	page_set_refs(page_rw(m, g->src), g->refs);
	badframe_tell_later(m, g->src, g->order);
	return rc;
}

/* Fold a huge page again that was restored for a move that failed. Its owner still holds it. */
static void fold_again(struct migration *g)
{
	lock_acquire(g->m, &g->m->memmap_lock);
	hugetlb_fold_in_place(g->pool, g->src);
	lock_release(g->m, &g->m->memmap_lock);
}

/* Migrate a block that nobody else migrates. Drops the reference that the caller took on it. */
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
	rc = get_target(g);
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

/* Fill @g for a block on which the caller took a reference; false: the block can never move. */
static bool migration_init(struct migration *g, struct hvo_machine *m, hvo_pfn_t head, int node,
			   const struct where *where)
{
	const struct hvo_page *page;
	enum hvo_page_state state;

	*g = (struct migration){ .m = m, .src = head };
	m->ops->read_lock(m->ctx);
	page = page_ro(m, head);
	state = hvo_page_state(page);
	g->order = page_order(page);
	g->id = page_owner(page);
	m->ops->read_unlock(m->ctx);
	if (state != HVO_PAGE_USED && state != HVO_PAGE_HUGETLB_USED)
		return false;
	g->pool = state == HVO_PAGE_HUGETLB_USED ? pool_of_order(m, g->order) : NULL;
	g->node = node < 0 ? zone_of(m, head)->node : node;
	g->where = g->pool ? where->huge : where->block;
	g->owner = owner_get(m, g->id);
	return g->owner;
}

int migrate_try(struct hvo_machine *m, hvo_pfn_t pfn, int node, const struct where *where,
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

int hvo_migrate(struct hvo_machine *m, hvo_pfn_t pfn, int node, hvo_pfn_t *ret_dst)
{
	struct migration g;
	int rc;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (pfn >= m->mm.nr_frames || !node_valid(m, node))
		return -HVO_EINVAL;
	rc = migrate_try(m, pfn, node, &migrate_anywhere, &g);
	if (!rc && ret_dst)
		*ret_dst = g.dst;
	return rc > 0 ? -HVO_EINVAL : rc;
}
