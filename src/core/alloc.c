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
 * them instead of failing; as does one that may reclaim for blocks that the library isolated.
 * Counts of a held block change by compare-and-swap in a reader's section, and wait while
 * the descriptor is on the move (move.c).
 *
 * Linux: mm/page_alloc.c, __alloc_pages_slowpath(), get_page_from_freelist(),
 * free_unref_page(), split_page(); include/linux/mm.h, try_get_page().
 */
#include "alloc.h"

#include "badframe.h"
#include "contig.h"
#include "hugetlb.h"
#include "lock.h"
#include "page.h"
#include "poison.h"
#include "report.h"
#include "sized.h"
#include "vmemmap.h"
#include "watermark.h"
#include "work.h"
#include "zone.h"

#define RECLAIM_ROUNDS 16
#define COMPACT_ROUNDS 4
#define COSTLY_ORDER 3
#define CUT_ATTEMPTS 3
#define WAIT_NS 1000

static enum migratetype gfp_type(unsigned int gfp)
{
	if (gfp & HVO_GFP_MOVABLE)
		return MIGRATE_MOVABLE;
	return gfp & HVO_GFP_RECLAIMABLE ? MIGRATE_RECLAIMABLE : MIGRATE_UNMOVABLE;
}

/* What may wait for the platform before the frames of a block can be used singly. */
static int prepare_cut(struct hvo_machine *m, hvo_pfn_t pfn)
{
	int rc = reported_take_back(m, pfn, HVO_BLOCK_FRAMES);

	return rc || !on_demand(m) ? rc : vmemmap_cut(m, block_of(pfn), 0);
}

static void open_cut(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, enum migratetype type)
{
	if (on_demand(m)) {
		zone_open_block(m, z, block_of(pfn), HVO_BLOCK_TAILS, type, BLOCK_SELF);
		return;
	}
	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_TAIL, 0);
	fold_set(m, pfn, HVO_BLOCK_ORDER, 0);
	zone_open_block(m, z, block_of(pfn), 0, type, 0);
}

/*
 * Cut a whole block, and take of it what is wanted: whatever others have freed by then, a block of
 * Linux mode must not be cut and free. Called and returns with the zone's lock; drops it
 * around the remapping. A block that cannot be cut stays whole and the next one is tried.
 */
static bool take_of_cut(struct hvo_machine *m, struct zone *z, enum migratetype type,
			unsigned int order, hvo_pfn_t *ret)
{
	hvo_pfn_t failed[CUT_ATTEMPTS], pfn = 0;
	unsigned int nr_failed = 0;
	bool taken = false;
	int rc;

	while (nr_failed < CUT_ATTEMPTS && zone_take_whole(m, z, HVO_BLOCK_ORDER, &pfn)) {
		z->in_flight++;
		lock_release(m, &z->lock);
		rc = prepare_cut(m, pfn);
		lock_acquire(m, &z->lock);
		z->in_flight--;
		if (!rc) {
			open_cut(m, z, pfn, type);
			taken = zone_take_from(m, z, block_of(pfn), order, ret);
			break;
		}
		failed[nr_failed++] = pfn;
	}
	while (nr_failed)
		zone_put_whole(m, z, failed[--nr_failed], HVO_BLOCK_ORDER);
	return taken;
}

static int take_small(struct hvo_machine *m, struct zone *z, unsigned int gfp, unsigned int order,
		      hvo_pfn_t *ret)
{
	enum migratetype type = gfp_type(gfp);
	bool split = !(gfp & GFP_MEMMAP);

	if (zone_take_small(m, z, order, type, ret))
		return 0;
	if (type == MIGRATE_MOVABLE && split && zone_take_small(m, z, order, MIGRATE_SPLIT, ret))
		return 0;
	if (!(gfp & GFP_UNCUT) && take_of_cut(m, z, type, order, ret))
		return 0;
	/* Something may have been freed meanwhile. */
	if (zone_take_small(m, z, order, type, ret))
		return 0;
	return zone_take_fallback(m, z, order, type, split, ret) ? 0 : -HVO_ENOMEM;
}

/*
 * For what the library isolated itself: whoever does that waits for shrinkers, and what those
 * allocate must not set RECLAIM, so that waiting for it ends. A user may keep his for ever.
 * Zone lock held.
 */
static bool may_wait_for_isolated(const struct zone *z, unsigned int gfp)
{
	return z->nr_isolated > z->nr_kept &&
	       (gfp & (HVO_GFP_RECLAIM | GFP_ISOLATING)) == HVO_GFP_RECLAIM;
}

/* A block that its zone has just given: is there memory behind it? */
static int check_taken(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn, unsigned int order)
{
	int rc = order < HVO_BLOCK_ORDER ? 0 : reported_take_back(m, pfn, UINT64_C(1) << order);

	if (!rc)
		return 0;
	lock_acquire(m, &z->lock);
	zone_put_whole(m, z, pfn, order);
	z->nr_allocs--;
	zone_count_allocated(z, -(UINT64_C(1) << order));
	lock_release(m, &z->lock);
	return rc;
}

/* -HVO_EAGAIN: not now, but a block of the zone is in transition. */
static int zone_alloc(struct hvo_machine *m, struct zone *z, unsigned int gfp, unsigned int order,
		      uint64_t mark, hvo_pfn_t *ret)
{
	uint64_t want = UINT64_C(1) << order;
	int rc = -HVO_ENOMEM;

	if (!counter_read(&z->present))
		return rc;
	for (;;) {
		lock_acquire(m, &z->lock);
		if (z->nr_free >= want + mark) {
			if (order >= HVO_BLOCK_ORDER)
				rc = zone_take_whole(m, z, order, ret) ? 0 : -HVO_ENOMEM;
			else
				rc = take_small(m, z, gfp, order, ret);
		}
		if (rc && (z->in_flight || may_wait_for_isolated(z, gfp)))
			rc = -HVO_EAGAIN;
		z->nr_allocs += !rc;
		zone_count_allocated(z, rc ? 0 : want);
		lock_release(m, &z->lock);
		if (!rc)
			return check_taken(m, z, *ret, order);
		if (rc != -HVO_ENOMEM || order < HVO_BLOCK_ORDER ||
		    !counter_read(&z->nr_collapsible))
			return rc;
		if (!vmemmap_collapse(m, z, UINT64_MAX))
			return rc;
	}
}

/* What can be moved goes where nothing else may be, first. */
const uint8_t zonelist[HVO_NR_ZONES] = { HVO_ZONE_MOVABLE, HVO_ZONE_CMA, HVO_ZONE_NORMAL };

static int try_zones(struct hvo_machine *m, unsigned int gfp, unsigned int order, int node,
		     bool low, hvo_pfn_t *ret)
{
	uint32_t first, nr = nodes_to_try(m, gfp, node, &first), i;
	bool again = false;
	unsigned int k;
	int rc;

	for (i = 0; i < nr; i++) {
		struct node *n = &m->nodes[(first + i) % m->cfg.nr_nodes];

		for (k = zonelist_start(gfp); k < HVO_NR_ZONES; k++) {
			struct zone *z = &n->zones[zonelist[k]];

			rc = zone_alloc(m, z, gfp, order,
					low ? counter_read(&z->low) : gfp_watermark(z, gfp), ret);
			if (!rc && i) {
				counter_add(&z->numa_miss, 1);
				counter_add(&m->nodes[first].zones[z->type].numa_foreign, 1);
			}
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
	if (work_under_pressure(m))
		return true;
	freed = call_shrinkers(m, UINT64_C(1) << (order > 5 ? order : 5));
	++*rounds;
	if (freed && (*rounds < RECLAIM_ROUNDS || order <= COSTLY_ORDER))
		return true;
	if (gfp & (HVO_GFP_NORETRY | HVO_GFP_RETRY_MAYFAIL) || order > COSTLY_ORDER)
		return false;
	return call_oom_notifier(m, order) > 0;
}

/*
 * Something moved so that a block of this order got free? Not for who holds the memmap lock,
 * which moving needs, nor for who looks for a place to move to: both say GFP_ISOLATING.
 */
static bool compact_for(struct hvo_machine *m, unsigned int gfp, unsigned int order, int node,
			unsigned int *rounds)
{
	if (order < HVO_BLOCK_ORDER || (gfp & (HVO_GFP_RECLAIM | GFP_ISOLATING)) != HVO_GFP_RECLAIM)
		return false;
	return (*rounds)++ < COMPACT_ROUNDS && compact_direct(m, gfp, order, node);
}

int alloc_block(struct hvo_machine *m, unsigned int gfp, unsigned int order, int node,
		hvo_pfn_t *ret)
{
	unsigned int rounds = 0, compactions = 0;
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
		if (compact_for(m, gfp, order, node, &compactions))
			continue;
		if (!reclaim(m, gfp, order, &rounds))
			break;
	}
	if (!(gfp & HVO_GFP_NOWARN))
		trace(m, HVO_EVENT_ALLOC_FAILED, HVO_PFN_NONE, order, gfp);
	return -HVO_ENOMEM;
}

void clear_freed(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr)
{
	hvo_pfn_t end = pfn + nr;
	uint64_t n;

	if (m->cfg.clear != HVO_CLEAR_ON_FREE)
		return;
	for (; pfn < end; pfn += n + 1) {
		n = badframe_sound(m, pfn, end);
		if (n)
			m->ops->zero(m->ctx, pfn, n);
	}
}

void free_block(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	uint16_t flags = page_flags(page_ro(m, pfn));
	struct zone *z = zone_of(m, pfn);

	if (HVO_UNLIKELY(flags)) {
		if (flags & HVO_PF_CMA)
			cma_freed(m, pfn, order);
		page_set_flags(page_rw(m, pfn), 0);
	}
	lock_acquire(m, &z->lock);
	zone_count_freed(z, UINT64_C(1) << order);
	if (order >= HVO_BLOCK_ORDER)
		zone_put_whole(m, z, pfn, order);
	else
		zone_put_small(m, z, pfn, order);
	lock_release(m, &z->lock);
	if (order >= HVO_BLOCK_ORDER && badframe_in_block(m, pfn, order))
		(void)poison_cut_aside(m, pfn, pfn + (UINT64_C(1) << order), UINT64_MAX);
	/* Bounds what waits to be collapsed; hysteresis: some stay cut for the next one. */
	if (counter_read(&z->nr_collapsible) >= COLLAPSE_KEEP + COLLAPSE_BATCH)
		vmemmap_collapse(m, z, COLLAPSE_BATCH);
}

unsigned int block_order(struct hvo_machine *m, hvo_pfn_t pfn)
{
	unsigned int order;

	m->ops->read_lock(m->ctx);
	order = __atomic_load_n(&page_ro(m, pfn)->order, __ATOMIC_RELAXED);
	m->ops->read_unlock(m->ctx);
	return order;
}

void free_blocks(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end)
{
	unsigned int order;

	for (; start < end; start += UINT64_C(1) << order) {
		order = block_order(m, start);
		free_block(m, start, order);
	}
}

int clear_frames(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr)
{
	int rc = m->ops->populate(m->ctx, pfn, nr);

	if (!rc)
		m->ops->zero(m->ctx, pfn, nr);
	return rc;
}

void set_tails(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	hvo_pfn_t end = pfn + (UINT64_C(1) << order);

	if (order >= HVO_BLOCK_ORDER)
		return;
	for (pfn++; pfn < end; pfn++)
		__atomic_store_n(&page_rw(m, pfn)->order, (uint8_t)order, __ATOMIC_RELAXED);
}

void publish_block(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order, uint32_t owner,
		   uint16_t flags)
{
	bool known = !owner || flags & HVO_PF_POISONED, bad = badframe_in_block(m, pfn, order);
	struct hvo_page *page = page_rw(m, pfn);

	set_tails(m, pfn, order);
	flags &= (uint16_t)~HVO_PF_POISONED;
	/* One that failed when there was nobody to tell; who has an owner is marked when he is. */
	page_set_flags(page, bad && known ? flags | HVO_PF_POISONED : flags);
	page_hand_out(page, owner);
	if (bad && !known)
		work_wanted(m);
}

bool gave_up_bad(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	if (!badframe_in_block(m, pfn, order))
		return false;
	free_block(m, pfn, order);
	return true;
}

int hvo_alloc_pages(struct hvo_machine *m, unsigned int gfp, unsigned int order, int node,
		    hvo_pfn_t *ret)
{
	hvo_pfn_t pfn = 0;
	int rc;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (gfp & ~HVO_GFP_ALL || order > m->cfg.max_order || !ret || !node_valid(m, node))
		return -HVO_EINVAL;
	do {
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
	} while (gave_up_bad(m, pfn, order));
	publish_block(m, pfn, order, 0, 0);
	*ret = pfn;
	return 0;
}

/*
 * Drop a reference, inside a reader's section. 1: it was the last one, the block is
 * the caller's to free. @mapped: also the last one on a block that is mapped.
 */
static int drop_ref(struct hvo_machine *m, hvo_pfn_t head, bool mapped)
{
	for (;;) {
		uint32_t refs = page_count(m, head, PAGE_REFCOUNT);

		if (!refs)
			return -HVO_EINVAL;
		if (refs == 1 && !mapped && page_count(m, head, PAGE_MAPCOUNT))
			return -HVO_EBUSY;
		if (page_count_change(m, head, PAGE_REFCOUNT, refs, refs - 1))
			return refs == 1;
	}
}

/* Nobody holds it any more. */
static void free_head(struct hvo_machine *m, hvo_pfn_t head)
{
	struct hvo_page *page = page_rw(m, head);

	page_set_owner(page, 0);
	clear_freed(m, head, UINT64_C(1) << page->order);
	if (hvo_page_state(page) == HVO_PAGE_HUGETLB_USED)
		hugetlb_release(m, head, page->order);
	else
		free_block(m, head, page->order);
}

/* Head of the block around a frame, and does it reach that far? */
static bool head_covers(struct hvo_machine *m, hvo_pfn_t head, hvo_pfn_t pfn)
{
	const struct hvo_page *page = page_ro(m, head);

	return pfn - head < UINT64_C(1) << __atomic_load_n(&page->order, __ATOMIC_RELAXED);
}

void put_page_mapped(struct hvo_machine *m, hvo_pfn_t head)
{
	int last;

	m->ops->read_lock(m->ctx);
	last = drop_ref(m, head, true);
	m->ops->read_unlock(m->ctx);
	HVO_ASSERT(m, last >= 0, "PAGE-2: reference lost", head);
	if (last)
		free_head(m, head);
}

int freeze_page(struct hvo_machine *m, hvo_pfn_t head)
{
	int rc;

	m->ops->read_lock(m->ctx);
	rc = page_count(m, head, PAGE_MAPCOUNT) || !page_freeze(m, head, 1) ? -HVO_EBUSY : 0;
	m->ops->read_unlock(m->ctx);
	return rc;
}

int hvo_get_page(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t *ret_head)
{
	int rc = -HVO_EBUSY, last = 0;
	uint32_t refs;
	hvo_pfn_t head;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (pfn >= m->mm.nr_frames)
		return -HVO_EINVAL;
	m->ops->read_lock(m->ctx);
	head = hvo_page_head(&m->mm, pfn);
	do {
		refs = page_count(m, head, PAGE_REFCOUNT);
		if (!refs || refs == PAGE_COUNT_MAX)
			goto out;
	} while (!page_count_change(m, head, PAGE_REFCOUNT, refs, refs + 1));
	rc = 0;
	/*
	 * Before the reference was there the block could change under us. It is given
	 * back without looking the head up again: the fold byte may be behind it.
	 */
	if (hvo_page_head(&m->mm, pfn) != head || !head_covers(m, head, pfn)) {
		rc = -HVO_EBUSY;
		last = drop_ref(m, head, true);
		HVO_ASSERT(m, last >= 0, "PAGE-2: reference lost", head);
	}
out:
	m->ops->read_unlock(m->ctx);
	if (last)
		free_head(m, head);
	if (!rc && ret_head)
		*ret_head = head;
	return rc;
}

hvo_pfn_t held_head(struct hvo_machine *m, hvo_pfn_t pfn)
{
	hvo_pfn_t head;

	if (pfn >= m->mm.nr_frames)
		return HVO_PFN_NONE;
	head = hvo_page_head(&m->mm, pfn);
	/* A free tail still has the order of the block that it was in last. */
	if (!hvo_page_refs(page_ro(m, head)) || !head_covers(m, head, pfn))
		return HVO_PFN_NONE;
	return head;
}

bool hvo_pages_held(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr)
{
	hvo_pfn_t end = pfn + nr, head;

	if (machine_gone(m) || pfn > m->mm.nr_frames || nr > m->mm.nr_frames - pfn)
		return false;
	while (pfn < end) {
		m->ops->read_lock(m->ctx);
		head = held_head(m, pfn);
		if (head != HVO_PFN_NONE)
			pfn = head + (UINT64_C(1) << page_order(page_ro(m, head)));
		m->ops->read_unlock(m->ctx);
		if (head == HVO_PFN_NONE)
			return false;
	}
	return true;
}

int hvo_put_page(struct hvo_machine *m, hvo_pfn_t pfn)
{
	hvo_pfn_t head;
	int rc;

	if (machine_gone(m))
		return -HVO_ENODEV;
	m->ops->read_lock(m->ctx);
	head = held_head(m, pfn);
	rc = head == HVO_PFN_NONE ? -HVO_EINVAL : drop_ref(m, head, false);
	m->ops->read_unlock(m->ctx);
	if (rc <= 0)
		return rc;
	free_head(m, head);
	return 0;
}

static int add_mapping(struct hvo_machine *m, hvo_pfn_t pfn, uint32_t limit, uint32_t one)
{
	int rc = -HVO_EINVAL;
	hvo_pfn_t head;
	uint32_t n;

	if (machine_gone(m))
		return -HVO_ENODEV;
	m->ops->read_lock(m->ctx);
	head = held_head(m, pfn);
	while (rc && head != HVO_PFN_NONE) {
		n = page_count(m, head, PAGE_MAPCOUNT);
		if (n == limit)
			break;
		if (page_count_change(m, head, PAGE_MAPCOUNT, n, n + one))
			rc = 0;
	}
	m->ops->read_unlock(m->ctx);
	return rc;
}

int hvo_map_page(struct hvo_machine *m, hvo_pfn_t pfn)
{
	return add_mapping(m, pfn, PAGE_COUNT_MAX, 1);
}

int hvo_unmap_page(struct hvo_machine *m, hvo_pfn_t pfn)
{
	return add_mapping(m, pfn, 0, UINT32_MAX);
}

/* Wait until no descriptors are on the move; what page_private() is checked against. */
static uint32_t move_seq_even(struct hvo_machine *m)
{
	unsigned int turns = 0;
	uint32_t seq;

	while ((seq = __atomic_load_n(&m->move_seq, __ATOMIC_ACQUIRE)) & 1)
		page_wait(m, &turns);
	return seq;
}

/* Nothing moved since? The fence pairs with the one in move.c. */
static bool move_seq_same(struct hvo_machine *m, uint32_t seq)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&m->move_seq, __ATOMIC_RELAXED) == seq;
}

int hvo_page_set_private(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int i, uint64_t value)
{
	hvo_pfn_t head;
	uint32_t seq;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (i >= HVO_PAGE_PRIVATE)
		return -HVO_EINVAL;
	m->ops->read_lock(m->ctx);
	head = held_head(m, pfn);
	/* A store that may have gone to the old frame after it was copied is done again. */
	if (head != HVO_PFN_NONE)
		do {
			seq = move_seq_even(m);
			__atomic_store_n(&page_rw(m, head)->private_data[i], value,
					 __ATOMIC_RELAXED);
		} while (!move_seq_same(m, seq));
	m->ops->read_unlock(m->ctx);
	return head == HVO_PFN_NONE ? -HVO_EINVAL : 0;
}

int hvo_page_private(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int i, uint64_t *ret)
{
	uint64_t value = 0;
	hvo_pfn_t head;
	uint32_t seq;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (i >= HVO_PAGE_PRIVATE || !ret)
		return -HVO_EINVAL;
	m->ops->read_lock(m->ctx);
	head = held_head(m, pfn);
	/* So that nobody sees a new value in the old frame and then the old one in the new. */
	if (head != HVO_PFN_NONE)
		do {
			seq = move_seq_even(m);
			value = __atomic_load_n(&page_ro(m, head)->private_data[i],
						__ATOMIC_RELAXED);
		} while (!move_seq_same(m, seq));
	m->ops->read_unlock(m->ctx);
	if (head == HVO_PFN_NONE)
		return -HVO_EINVAL;
	*ret = value;
	return 0;
}

/*
 * Each part of [pfn, end) becomes a block of its own, with the words of the first one gone:
 * who can move the whole can move the parts. He may do so as soon as one has its reference, so
 * all that its head has to say is said before. A piece of CMA begins where it did.
 */
static void split_into(struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end, unsigned int order,
		       uint32_t owner, uint16_t flags)
{
	for (; pfn < end; pfn += UINT64_C(1) << order) {
		page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_USED, order);
		publish_block(m, pfn, order, owner, flags);
		flags &= (uint16_t)~HVO_PF_CMA_FIRST;
	}
}

static void split_below_block(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int have,
			      unsigned int order, uint32_t owner, uint16_t flags)
{
	struct zone *z = zone_of(m, pfn);
	hvo_pfn_t end = pfn + (UINT64_C(1) << have);

	page_set_state(m, pfn, page_rw(m, pfn), HVO_PAGE_TAIL, 0);
	for (; pfn < end; pfn += HVO_BLOCK_FRAMES) {
		split_into(m, pfn, pfn + HVO_BLOCK_FRAMES, order, owner, flags);
		lock_acquire(m, &z->lock);
		fold_set(m, pfn, HVO_BLOCK_ORDER, 0);
		zone_open_block(m, z, block_of(pfn), HVO_BLOCK_FRAMES,
				on_demand(m) ? MIGRATE_SPLIT : MIGRATE_MOVABLE, 0);
		lock_release(m, &z->lock);
		flags &= (uint16_t)~HVO_PF_CMA_FIRST;
	}
}

/* Frozen at no reference, nobody can take another one while the block changes. */
static int freeze_for_split(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order,
			    unsigned int *ret_have)
{
	const struct hvo_page *page;

	if (!heads_held(m, pfn))
		return -HVO_EINVAL;
	page = page_ro(m, pfn);
	*ret_have = __atomic_load_n(&page->order, __ATOMIC_RELAXED);
	if (hvo_page_state(page) != HVO_PAGE_USED || order >= *ret_have)
		return -HVO_EINVAL;
	return page_count(m, pfn, PAGE_MAPCOUNT) || !page_freeze(m, pfn, 1) ? -HVO_EBUSY : 0;
}

static int split_frozen(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int have, unsigned int order,
			uint32_t owner, uint16_t flags)
{
	hvo_pfn_t end = pfn + (UINT64_C(1) << have);
	uint8_t folded;
	int rc;

	if (have < HVO_BLOCK_ORDER) {
		split_into(m, pfn, end, order, owner, flags);
		return 0;
	}
	if (order < HVO_BLOCK_ORDER) {
		rc = on_demand(m) ? vmemmap_present_elsewhere(m, pfn, have) : 0;
		if (!rc)
			split_below_block(m, pfn, have, order, owner, flags);
		return rc;
	}
	folded = hvo_fold_byte(&m->mm, block_of(pfn)) & HVO_FOLDED;
	for (; pfn < end; pfn += UINT64_C(1) << order) {
		fold_set(m, pfn, order, (uint8_t)(order | folded));
		split_into(m, pfn, pfn + (UINT64_C(1) << order), order, owner, flags);
		flags &= (uint16_t)~HVO_PF_CMA_FIRST;
	}
	return 0;
}

int hvo_split_page(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	unsigned int have = 0;
	int rc;

	if (machine_gone(m))
		return -HVO_ENODEV;
	m->ops->read_lock(m->ctx);
	rc = freeze_for_split(m, pfn, order, &have);
	m->ops->read_unlock(m->ctx);
	if (rc)
		return rc;
	rc = split_frozen(m, pfn, have, order, page_owner(page_ro(m, pfn)),
			  page_flags(page_ro(m, pfn)) &
				  (HVO_PF_CMA | HVO_PF_CMA_FIRST | HVO_PF_POISONED));
	if (rc) {
		page_set_refs(page_rw(m, pfn), 1);
		/* Of one that failed when there was nobody to tell the owner is told by hvo_work(). */
		if (badframe_in_block(m, pfn, have))
			work_wanted(m);
	}
	return rc;
}

void hvo_read_lock(struct hvo_machine *m)
{
	m->ops->read_lock(m->ctx);
}

void hvo_read_unlock(struct hvo_machine *m)
{
	m->ops->read_unlock(m->ctx);
}

int hvo_shrinker_register(struct hvo_machine *m, struct hvo_shrinker *shrinker)
{
	int rc = machine_gone(m) ? -HVO_ENODEV : sized_whole(shrinker, sizeof(*shrinker));

	if (rc || !shrinker->scan)
		return rc ? rc : -HVO_EINVAL;
	lock_acquire(m, &m->shrinker_lock);
	shrinker->next = m->shrinkers;
	m->shrinkers = shrinker;
	lock_release(m, &m->shrinker_lock);
	return 0;
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
