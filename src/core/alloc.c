// SPDX-License-Identifier: MIT
/*
 * Allocation above the zones: watermarks, the order of zones and nodes, cutting a
 * block when no cut one can serve, reclaim, and the life of an allocated block from
 * its first reference to its last.
 *
 * States: a block comes from a zone in state USED with no reference; its
 * descriptors are prepared, then the reference is published with release order.
 * Locks: takes the zone lock, drops it around every remapping. Blocks in
 * transition are counted in zone->in_flight, so that another thread waits for
 * them instead of failing.
 *
 * Linux: mm/page_alloc.c, __alloc_pages_slowpath(), get_page_from_freelist(),
 * free_unref_page(), split_page(); include/linux/mm.h, try_get_page().
 */
#include "alloc.h"

#include "hugetlb.h"
#include "lock.h"
#include "page.h"
#include "vmemmap.h"
#include "zone.h"

#define RECLAIM_ROUNDS 16
#define COSTLY_ORDER 3
#define CUT_ATTEMPTS 3
#define WAIT_NS 1000

uint64_t gfp_watermark(const struct zone *z, unsigned int gfp)
{
	if (gfp & HVO_GFP_MEMALLOC)
		return 0;
	return gfp & HVO_GFP_HIGH ? z->min / 2 : z->min;
}

static enum migratetype gfp_type(unsigned int gfp)
{
	if (gfp & HVO_GFP_MOVABLE)
		return MIGRATE_MOVABLE;
	return gfp & HVO_GFP_RECLAIMABLE ? MIGRATE_RECLAIMABLE : MIGRATE_UNMOVABLE;
}

/*
 * Cut a whole block and leave its frames to the zone. Called and returns with the
 * zone's lock; drops it around the remapping. A block that cannot be cut stays
 * whole and the next one is tried.
 */
static int cut_one(struct hvo_machine *m, struct zone *z, enum migratetype type)
{
	hvo_pfn_t failed[CUT_ATTEMPTS], pfn = 0;
	unsigned int nr_failed = 0;
	int rc = -HVO_ENOMEM;

	while (nr_failed < CUT_ATTEMPTS && zone_take_whole(m, z, HVO_BLOCK_ORDER, &pfn)) {
		if (!on_demand(m)) {
			page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_TAIL, 0);
			fold_set(m, pfn, HVO_BLOCK_ORDER, 0);
			zone_open_block(m, z, block_of(pfn), 0, type, 0);
			return 0;
		}
		z->in_flight++;
		lock_release(m, &z->lock);
		rc = vmemmap_cut(m, block_of(pfn));
		lock_acquire(m, &z->lock);
		z->in_flight--;
		if (!rc) {
			zone_open_block(m, z, block_of(pfn), HVO_BLOCK_TAILS, type, BLOCK_SELF);
			break;
		}
		failed[nr_failed++] = pfn;
	}
	while (nr_failed)
		zone_put_whole(m, z, failed[--nr_failed], HVO_BLOCK_ORDER);
	return rc;
}

static int take_small(struct hvo_machine *m, struct zone *z, unsigned int gfp, unsigned int order,
		      hvo_pfn_t *ret)
{
	enum migratetype type = gfp_type(gfp);
	int tries;

	for (tries = 0; tries < 2; tries++) {
		if (zone_take_small(m, z, order, type, ret))
			return 0;
		if (cut_one(m, z, type))
			break;
	}
	return zone_take_small(m, z, order, type, ret) ||
			       zone_take_fallback(m, z, order, type, ret) ?
		       0 :
		       -HVO_ENOMEM;
}

/* -HVO_EAGAIN: not now, but a block of the zone is in transition. */
static int zone_alloc(struct hvo_machine *m, struct zone *z, unsigned int gfp, unsigned int order,
		      uint64_t mark, hvo_pfn_t *ret)
{
	uint64_t want = UINT64_C(1) << order;
	int rc = -HVO_ENOMEM;

	if (!z->present)
		return rc;
	for (;;) {
		lock_acquire(m, &z->lock);
		if (z->nr_free >= want + mark) {
			if (order >= HVO_BLOCK_ORDER)
				rc = zone_take_whole(m, z, order, ret) ? 0 : -HVO_ENOMEM;
			else
				rc = take_small(m, z, gfp, order, ret);
		}
		if (rc && z->in_flight)
			rc = -HVO_EAGAIN;
		lock_release(m, &z->lock);
		if (rc != -HVO_ENOMEM || order < HVO_BLOCK_ORDER ||
		    !counter_read(&z->nr_collapsible))
			return rc;
		if (!vmemmap_collapse(m, z, UINT64_MAX))
			return rc;
	}
}

static int try_zones(struct hvo_machine *m, unsigned int gfp, unsigned int order, int node,
		     bool low, hvo_pfn_t *ret)
{
	uint32_t nr = m->cfg.nr_nodes, first = node < 0 ? 0 : (uint32_t)node, i;
	bool again = false;
	int type, rc;

	for (i = 0; i < nr; i++) {
		struct node *n = &m->nodes[(first + i) % nr];

		if (i && gfp & HVO_GFP_THISNODE && node >= 0)
			break;
		for (type = gfp & HVO_GFP_MOVABLE ? HVO_ZONE_MOVABLE : HVO_ZONE_NORMAL; type >= 0;
		     type--) {
			struct zone *z = &n->zones[type];

			rc = zone_alloc(m, z, gfp, order, low ? z->low : gfp_watermark(z, gfp),
					ret);
			if (!rc)
				return 0;
			if (rc == -HVO_EAGAIN)
				again = true;
		}
	}
	return again ? -HVO_EAGAIN : -HVO_ENOMEM;
}

static uint64_t call_shrinkers(struct hvo_machine *m, uint64_t nr_frames)
{
	struct hvo_shrinker *s;
	uint64_t freed = 0;

	lock_acquire(m, &m->shrinker_lock);
	for (s = m->shrinkers; s && freed < nr_frames; s = s->next)
		freed += s->scan(s, m, nr_frames - freed);
	lock_release(m, &m->shrinker_lock);
	return freed;
}

uint64_t call_oom_notifier(struct hvo_machine *m, unsigned int order)
{
	uint64_t freed = 0;

	lock_acquire(m, &m->shrinker_lock);
	if (m->oom)
		freed = m->oom(m->oom_arg, m, order);
	lock_release(m, &m->shrinker_lock);
	return freed;
}

/* Something was freed, or will be soon: worth another attempt? */
static bool reclaim(struct hvo_machine *m, unsigned int gfp, unsigned int order,
		    unsigned int *rounds)
{
	uint64_t freed;

	if (!(gfp & HVO_GFP_RECLAIM) || (gfp & HVO_GFP_NORETRY && *rounds))
		return false;
	freed = call_shrinkers(m, UINT64_C(1) << (order > 5 ? order : 5));
	++*rounds;
	if (freed && (*rounds < RECLAIM_ROUNDS || order <= COSTLY_ORDER))
		return true;
	if (gfp & (HVO_GFP_NORETRY | HVO_GFP_RETRY_MAYFAIL) || order > COSTLY_ORDER)
		return false;
	return call_oom_notifier(m, order) > 0;
}

int alloc_block(struct hvo_machine *m, unsigned int gfp, unsigned int order, int node,
		hvo_pfn_t *ret)
{
	unsigned int rounds = 0;
	int rc;

	for (;;) {
		rc = try_zones(m, gfp, order, node, true, ret);
		if (rc)
			rc = try_zones(m, gfp, order, node, false, ret);
		if (!rc)
			return 0;
		if (rc == -HVO_EAGAIN) {
			m->ops->sleep_ns(m->ctx, WAIT_NS);
			continue;
		}
		if (!reclaim(m, gfp, order, &rounds))
			break;
	}
	if (!(gfp & HVO_GFP_NOWARN))
		trace(m, HVO_EVENT_ALLOC_FAILED, HVO_PFN_NONE, order, gfp);
	return -HVO_ENOMEM;
}

void free_block(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	struct zone *z = zone_of(m, pfn);

	if (m->cfg.clear == HVO_CLEAR_ON_FREE)
		m->ops->zero(m->ctx, pfn, UINT64_C(1) << order);
	lock_acquire(m, &z->lock);
	if (order >= HVO_BLOCK_ORDER)
		zone_put_whole(m, z, pfn, order);
	else
		zone_put_small(m, z, pfn, order);
	lock_release(m, &z->lock);
	/* Bounds what waits to be collapsed; hysteresis: some stay cut for the next one. */
	if (counter_read(&z->nr_collapsible) >= 2 * COLLAPSE_BATCH)
		vmemmap_collapse(m, z, COLLAPSE_BATCH);
}

int clear_frames(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr)
{
	int rc = m->ops->populate(m->ctx, pfn, nr);

	if (!rc)
		m->ops->zero(m->ctx, pfn, nr);
	return rc;
}

/* The descriptors of a new block of order below 9 say which block they are in. */
static void set_tails(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	hvo_pfn_t end = pfn + (UINT64_C(1) << order);

	if (order >= HVO_BLOCK_ORDER)
		return;
	for (pfn++; pfn < end; pfn++)
		__atomic_store_n(&page_rw(m, pfn)->order, (uint8_t)order, __ATOMIC_RELAXED);
}

static void publish(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	struct hvo_page *page = page_rw(m, pfn);

	set_tails(m, pfn, order);
	page->flags = 0;
	page_hand_out(page);
}

int hvo_alloc_pages(struct hvo_machine *m, unsigned int gfp, unsigned int order, int node,
		    hvo_pfn_t *ret)
{
	hvo_pfn_t pfn = 0;
	int rc;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (gfp & ~HVO_GFP_ALL || order > m->cfg.max_order || !ret || node < HVO_NODE_ANY ||
	    node >= (int)m->cfg.nr_nodes)
		return -HVO_EINVAL;
	rc = alloc_block(m, gfp, order, node, &pfn);
	if (rc)
		return rc;
	if (gfp & HVO_GFP_ZERO || m->cfg.clear == HVO_CLEAR_ON_ALLOC) {
		rc = clear_frames(m, pfn, UINT64_C(1) << order);
		if (rc) {
			free_block(m, pfn, order);
			return rc;
		}
	}
	publish(m, pfn, order);
	*ret = pfn;
	return 0;
}

/* @mapped: also the last reference on a block that is mapped. */
static int put_head(struct hvo_machine *m, hvo_pfn_t head, bool mapped)
{
	struct hvo_page *page = page_rw(m, head);
	uint32_t refs = hvo_page_refs(page);

	do {
		if (!refs)
			return -HVO_EINVAL;
		if (refs == 1 && !mapped && __atomic_load_n(&page->mapcount, __ATOMIC_RELAXED))
			return -HVO_EBUSY;
	} while (!__atomic_compare_exchange_n(&page->refcount, &refs, refs - 1, true,
					      __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	if (refs > 1)
		return 0;
	if (hvo_page_state(page) == HVO_PAGE_HUGETLB_USED)
		hugetlb_release(m, head, page->order);
	else
		free_block(m, head, page->order);
	return 0;
}

int hvo_get_page(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t *ret_head)
{
	const struct hvo_page *page;
	int rc = -HVO_EBUSY;
	uint32_t refs;
	hvo_pfn_t head;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (pfn >= m->mm.nr_frames)
		return -HVO_EINVAL;
	m->ops->read_lock(m->ctx);
	head = hvo_page_head(&m->mm, pfn);
	page = page_ro(m, head);
	refs = hvo_page_refs(page);
	while (refs && refs < UINT32_MAX) {
		if (!__atomic_compare_exchange_n(&page_rw(m, head)->refcount, &refs, refs + 1, true,
						 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			continue;
		rc = 0;
		break;
	}
	/* Before the reference was there the block could change under us. */
	if (!rc && (hvo_page_head(&m->mm, pfn) != head ||
		    pfn - head >= UINT64_C(1) << __atomic_load_n(&page->order, __ATOMIC_RELAXED)))
		rc = -HVO_EAGAIN;
	m->ops->read_unlock(m->ctx);
	if (rc == -HVO_EAGAIN) {
		/* Not by looking the head up again: the fold byte may be behind it. */
		rc = put_head(m, head, true);
		HVO_ASSERT(m, !rc, "PAGE-2: reference lost", head);
		return -HVO_EBUSY;
	}
	if (!rc && ret_head)
		*ret_head = head;
	return rc;
}

/* Head of a block that somebody holds a reference on, or HVO_PFN_NONE. */
static hvo_pfn_t held_head(struct hvo_machine *m, hvo_pfn_t pfn)
{
	const struct hvo_page *page;
	hvo_pfn_t head;

	if (pfn >= m->mm.nr_frames)
		return HVO_PFN_NONE;
	m->ops->read_lock(m->ctx);
	head = hvo_page_head(&m->mm, pfn);
	page = page_ro(m, head);
	/* A free tail still has the order of the block that it was in last. */
	if (!hvo_page_refs(page) ||
	    pfn - head >= UINT64_C(1) << __atomic_load_n(&page->order, __ATOMIC_RELAXED))
		head = HVO_PFN_NONE;
	m->ops->read_unlock(m->ctx);
	return head;
}

int hvo_put_page(struct hvo_machine *m, hvo_pfn_t pfn)
{
	hvo_pfn_t head;

	if (machine_gone(m))
		return -HVO_ENODEV;
	head = held_head(m, pfn);
	return head == HVO_PFN_NONE ? -HVO_EINVAL : put_head(m, head, false);
}

int hvo_map_page(struct hvo_machine *m, hvo_pfn_t pfn)
{
	hvo_pfn_t head;

	if (machine_gone(m))
		return -HVO_ENODEV;
	head = held_head(m, pfn);
	if (head == HVO_PFN_NONE)
		return -HVO_EINVAL;
	__atomic_fetch_add(&page_rw(m, head)->mapcount, 1, __ATOMIC_RELAXED);
	return 0;
}

int hvo_unmap_page(struct hvo_machine *m, hvo_pfn_t pfn)
{
	hvo_pfn_t head;
	uint32_t *count, n;

	if (machine_gone(m))
		return -HVO_ENODEV;
	head = held_head(m, pfn);
	if (head == HVO_PFN_NONE)
		return -HVO_EINVAL;
	count = &page_rw(m, head)->mapcount;
	n = __atomic_load_n(count, __ATOMIC_RELAXED);
	do {
		if (!n)
			return -HVO_EINVAL;
	} while (!__atomic_compare_exchange_n(count, &n, n - 1, true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return 0;
}

/* Each part of [pfn, end) becomes a block of its own, with the words of the first one gone. */
static void split_into(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end, unsigned int order)
{
	for (; pfn < end; pfn += UINT64_C(1) << order) {
		page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_USED, order);
		publish(m, pfn, order);
	}
}

static void split_below_block(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int have,
			      unsigned int order)
{
	struct zone *z = zone_of(m, pfn);
	hvo_pfn_t end = pfn + (UINT64_C(1) << have);

	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_TAIL, 0);
	for (; pfn < end; pfn += HVO_BLOCK_FRAMES) {
		lock_acquire(m, &z->lock);
		zone_open_block(m, z, block_of(pfn), HVO_BLOCK_FRAMES, MIGRATE_MOVABLE, 0);
		lock_release(m, &z->lock);
		split_into(m, pfn, pfn + HVO_BLOCK_FRAMES, order);
		fold_set(m, pfn, HVO_BLOCK_ORDER, 0);
	}
}

int hvo_split_page(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	struct hvo_page *page;
	unsigned int have, o;
	uint32_t refs = 1;
	uint64_t part;
	int rc = 0;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (held_head(m, pfn) != pfn)
		return -HVO_EINVAL;
	page = page_rw(m, pfn);
	have = page->order;
	if (hvo_page_state(page) != HVO_PAGE_USED || order >= have)
		return -HVO_EINVAL;
	/* Frozen at no reference, nobody can take another one while the block changes. */
	if (__atomic_load_n(&page->mapcount, __ATOMIC_RELAXED) ||
	    !__atomic_compare_exchange_n(&page->refcount, &refs, 0, false, __ATOMIC_ACQUIRE,
					 __ATOMIC_RELAXED))
		return -HVO_EBUSY;
	if (have < HVO_BLOCK_ORDER) {
		split_into(m, pfn, pfn + (UINT64_C(1) << have), order);
		return 0;
	}
	if (order < HVO_BLOCK_ORDER && on_demand(m))
		rc = vmemmap_present_elsewhere(m, pfn, have);
	if (rc) {
		page_set_refs(page, 1);
		return rc;
	}
	if (order < HVO_BLOCK_ORDER) {
		split_below_block(m, pfn, have, order);
		return 0;
	}
	o = hvo_fold_byte(&m->mm, block_of(pfn)) & HVO_FOLDED;
	for (part = 0; part < UINT64_C(1) << have; part += UINT64_C(1) << order) {
		fold_set(m, pfn + part, order, (uint8_t)(order | o));
		split_into(m, pfn + part, pfn + part + (UINT64_C(1) << order), order);
	}
	return 0;
}

void hvo_read_lock(struct hvo_machine *m)
{
	m->ops->read_lock(m->ctx);
}

void hvo_read_unlock(struct hvo_machine *m)
{
	m->ops->read_unlock(m->ctx);
}

void hvo_shrinker_register(struct hvo_machine *m, struct hvo_shrinker *shrinker)
{
	if (machine_gone(m))
		return;
	lock_acquire(m, &m->shrinker_lock);
	shrinker->next = m->shrinkers;
	m->shrinkers = shrinker;
	lock_release(m, &m->shrinker_lock);
}

int hvo_shrinker_unregister(struct hvo_machine *m, struct hvo_shrinker *shrinker)
{
	struct hvo_shrinker **p;
	int rc = -HVO_EINVAL;

	if (machine_gone(m))
		return -HVO_ENODEV;
	lock_acquire(m, &m->shrinker_lock);
	for (p = &m->shrinkers; *p; p = &(*p)->next) {
		if (*p != shrinker)
			continue;
		*p = shrinker->next;
		rc = 0;
		break;
	}
	lock_release(m, &m->shrinker_lock);
	return rc;
}

void hvo_set_oom_notifier(struct hvo_machine *m,
			  uint64_t (*notify)(void *arg, struct hvo_machine *m, unsigned int order),
			  void *arg)
{
	if (machine_gone(m))
		return;
	lock_acquire(m, &m->shrinker_lock);
	m->oom = notify;
	m->oom_arg = arg;
	lock_release(m, &m->shrinker_lock);
}

uint64_t hvo_collapse(struct hvo_machine *m, uint64_t max_blocks)
{
	uint64_t done = 0;
	uint32_t n, t;

	if (machine_gone(m))
		return 0;
	for (n = 0; n < m->cfg.nr_nodes; n++)
		for (t = 0; t < HVO_NR_ZONES && done < max_blocks; t++)
			done += vmemmap_collapse(m, &m->nodes[n].zones[t], max_blocks - done);
	return done;
}
