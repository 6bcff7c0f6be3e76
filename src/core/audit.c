// SPDX-License-Identifier: MIT
/*
 * The audit: recount everything from the descriptors up and tell of every difference, a finding.
 * The audit has its own walks and counts; with the checked code it shares the layout arithmetic and
 * the readers of page.h, base.h and backing.h. INVARIANTS.md has the rules.
 *
 * Locks: none; nobody else may use the machine meanwhile.
 * Linux: nothing like it; closest are page_owner and CONFIG_DEBUG_VM.
 */
#include "backing.h"
#include "base.h"
#include "page.h"
#include "zone_cut.h"

struct count {
	uint64_t free, cut, memmap, boot, isolated, kept, carved, poisoned, cma,
		whole[WHOLE_ORDERS];
	uint64_t serving[MIGRATE_TYPES], frags[MIGRATE_TYPES][SMALL_ORDERS];
};

struct pool_count {
	uint64_t total, free, optimized, poisoned, poisoned_free;
};

struct audit {
	struct hvo_machine *m;
	void (*report)(void *arg, const struct hvo_finding *finding);
	void *arg;
	uint64_t findings;
	struct pool_count pool[HVO_MAX_POOLS]; /* of the node at hand */
	uint64_t deferred[HVO_MAX_POOLS];
};

static void expect(struct audit *a, const char *rule, const char *what, uint64_t where,
		   uint64_t expected, uint64_t found)
{
	struct hvo_finding f = { rule, what, where, expected, found };

	if (expected == found)
		return;
	a->findings++;
	if (a->report)
		a->report(a->arg, &f);
}

/* On-demand mode: find the page for which a frame of a whole block of descriptors was set aside. */
static slot_t slot_of_boot_frame(struct hvo_machine *m, hvo_pfn_t pfn)
{
	const struct node *n = m->nodes;
	uint32_t i;

	for (i = 0; i < m->cfg.nr_nodes; i++)
		if (pfn - m->nodes[i].memmap_pfn < m->nodes[i].memmap_frames)
			n = &m->nodes[i];
	return slot_of(m, n->start + (pfn - n->memmap_pfn) * HVO_PAGEBLOCK_FRAMES);
}

/* Head of the whole block around a frame; the frame itself in a cut one. */
static const struct hvo_page *whole_head(struct hvo_machine *m, hvo_pfn_t pfn)
{
	unsigned int order = fold_order(m, pfn);

	return page_ro(m, order_start(pfn, order));
}

static bool in_whole_memmap(struct hvo_machine *m, hvo_pfn_t pfn)
{
	return fold_byte(m, pb_of(pfn)) && whole_head(m, pfn)->state == HVO_PAGE_MEMMAP;
}

/* Check that a page of descriptors is shared or, as it has to be, backed by a descriptor frame. */
static void check_page(struct audit *a, const char *rule, const char *what, slot_t slot,
		       bool shared)
{
	struct hvo_machine *m = a->m;
	hvo_pfn_t pfn = slot_backing(m, slot);

	expect(a, rule, what, pb_of(slot_pfn(m, slot)).nr, shared, pfn == HVO_SHARED_TAIL);
	if (pfn == HVO_SHARED_TAIL)
		return;
	expect(a, RULE_MEMMAP_2, "state of a backing frame", pfn, HVO_PAGE_MEMMAP,
	       whole_head(m, pfn)->state);
	if (in_whole_memmap(m, pfn))
		expect(a, RULE_MEMMAP_5, "page that a frame was set aside for", pfn,
		       slot_of_boot_frame(m, pfn).nr, slot.nr);
}

/*
 * Check all slots of a pageblock. @head: the first one has a frame; in on-demand mode's table it is
 * a tail like any other.
 */
static void check_slots(struct audit *a, const char *rule, pb_t pb, bool folded, bool head)
{
	struct hvo_machine *m = a->m;
	slot_t slot = tail_slot(m, pb);
	uint64_t k = table_layout(m) && !on_demand(m);

	for (; k < pb_tails(m); k++)
		check_page(a, rule, "tail page is shared", slot_add(slot, k), folded);
	if (!table_layout(m) || !on_demand(m))
		check_page(a, rule, "head page is shared", slot_of(m, pb_pfn(pb)), !head);
}

static bool bit_of(const struct hvo_machine *m, hvo_pfn_t pfn)
{
	return m->bad[pfn / 64] >> (pfn % 64) & 1;
}

/* Frames of one word, in one pageblock. */
#define WORD_FRAMES (HVO_PAGEBLOCK_FRAMES < 64 ? HVO_PAGEBLOCK_FRAMES : 64)

/* Did a frame of a block of this order, at least 9, fail? */
static bool any_bit(const struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order)
{
	hvo_pfn_t end = pfn + (UINT64_C(1) << order);

	for (; pfn < end; pfn += WORD_FRAMES)
		if (section_of(m, pfn)->nr_bad &&
		    m->bad[pfn / 64] >> pfn % 64 & (UINT64_MAX >> (64 - WORD_FRAMES)))
			return true;
	return false;
}

static unsigned int pool_index(const struct hvo_machine *m, unsigned int order)
{
	unsigned int i;

	for (i = 0; i < HVO_MAX_POOLS; i++)
		if (m->pools[i].order == order)
			break;
	return i;
}

/* Count a huge page of a pool, or one that left a pool and waits to be freed. */
static void count_huge(struct audit *a, hvo_pfn_t pfn, const struct hvo_page *page)
{
	unsigned int i = pool_index(a->m, page->order);
	struct pool_count *c;
	bool failed;

	if (i == HVO_MAX_POOLS) {
		expect(a, RULE_POOL_1, "huge page without a pool", pfn, 0, 1);
		return;
	}
	if (page->state == HVO_PAGE_TAKEN) {
		a->deferred[i]++;
		return;
	}
	c = &a->pool[i];
	c->total++;
	c->free += page->state == HVO_PAGE_HUGETLB_FREE;
	c->optimized += !!(page_flags(page) & HVO_PF_OPTIMIZED);
	failed = any_bit(a->m, pfn, page->order);
	c->poisoned += failed;
	c->poisoned_free += failed && page->state == HVO_PAGE_HUGETLB_FREE;
}

/* Count a whole block of descriptors. A frame in it that backs nothing has to be a failed one. */
static void count_boot_frames(struct audit *a, hvo_pfn_t pfn, hvo_pfn_t end, struct count *c)
{
	struct hvo_machine *m = a->m;

	for (; pfn < end; pfn++) {
		bool backs = slot_backing(m, slot_of_boot_frame(m, pfn)) == pfn;

		c->memmap += backs;
		c->boot += backs;
		c->poisoned += !backs;
	}
}

/* Check a block in use: while nobody is at work somebody holds it, and none is lost. */
static void expect_used(struct audit *a, hvo_pfn_t pfn, const struct hvo_page *page)
{
	expect(a, RULE_PAGE_1, "state of a block in use", pfn, HVO_PAGE_USED, page->state);
	if (page->state == HVO_PAGE_USED)
		expect(a, RULE_PAGE_2, "somebody holds a block in use", pfn, true,
		       page->refcount > 0);
}

/* Check and count one whole block: free, allocated, in a pool, or full of descriptors. */
static void audit_whole(struct audit *a, hvo_pfn_t pfn, unsigned int order, struct count *c)
{
	struct hvo_machine *m = a->m;
	uint8_t byte = fold_byte(m, pb_of(pfn));
	const struct hvo_page *page = page_ro(m, pfn);
	uint64_t nr = UINT64_C(1) << (order - HVO_PAGEBLOCK_ORDER), i, k;
	bool folded = byte & HVO_FOLDED;

	expect(a, RULE_FOLD_2, "order of a whole block's head", pfn, order, page->order);
	switch (page->state) {
	case HVO_PAGE_FREE:
		c->free += UINT64_C(1) << order;
		c->whole[order - HVO_PAGEBLOCK_ORDER]++;
		break;
	case HVO_PAGE_HUGETLB_FREE:
	case HVO_PAGE_HUGETLB_USED:
		count_huge(a, pfn, page);
		break;
	case HVO_PAGE_POISONED:
		expect(a, RULE_POISON_1, "a pageblock aside has a frame that failed", pfn, true,
		       any_bit(m, pfn, order));
		break;
	case HVO_PAGE_ISOLATED:
		expect(a, RULE_ZONE_4, "a free block apart is isolated", pfn, true,
		       pb_data(m, pb_of(pfn))->isolation != NOT_ISOLATED);
		expect(a, RULE_ZONE_4, "flags of a free block apart", pfn, 0,
		       pb_data(m, pb_of(pfn))->flags & ~PB_REPORTED);
		break;
	case HVO_PAGE_MEMMAP:
		count_boot_frames(a, pfn, pfn + (UINT64_C(1) << order), c);
		break;
	default:
		if (page->state == HVO_PAGE_TAKEN && page_flags(page) & HVO_PF_DEFERRED)
			count_huge(a, pfn, page);
		else
			expect_used(a, pfn, page);
	}
	if (page->state == HVO_PAGE_FREE || page->state == HVO_PAGE_HUGETLB_FREE)
		expect(a, RULE_PAGE_1, "references of a free block", pfn, 0, page->refcount);
	if (page_flags(page) & HVO_PF_CMA)
		c->cma += UINT64_C(1) << order;
	for (i = 0; i < nr; i++) {
		pb_t pb = pb_of(pfn + i * HVO_PAGEBLOCK_FRAMES);
		bool isolated = pb_data(m, pb)->isolation;

		c->isolated += isolated;
		c->kept += pb_data(m, pb)->isolation == ISOLATED_BY_USER;
		expect(a, RULE_ZONE_4, "free memory is not isolated", pb.nr, 0,
		       isolated && page->state == HVO_PAGE_FREE);
		expect(a, RULE_FOLD_2, "fold byte", pb.nr, byte, fold_byte(m, pb));
		check_slots(a, RULE_FOLD_1, pb, folded, on_demand(m) || !folded || !i);
		for (k = i ? 0 : 1; k < (folded ? HVO_PAGES_PER_FRAME : HVO_PAGEBLOCK_FRAMES); k++)
			expect(a, RULE_PAGE_1, "state inside a whole block", pb_pfn(pb) + k,
			       HVO_PAGE_TAIL, page_ro(m, pb_pfn(pb) + k)->state);
	}
}

/* Is the fragment on its block's list? */
static bool on_list(struct hvo_machine *m, pb_t pb, unsigned int idx, unsigned int order)
{
	uint32_t at = pb_data(m, pb)->free_head[order];
	unsigned int guard = HVO_PAGEBLOCK_FRAMES;

	for (; at && guard--; at = page_ro(m, pb_pfn(pb) + at - 1)->next)
		if (at == idx + 1)
			return true;
	return false;
}

static void audit_bin(struct audit *a, struct zone *z, pb_t pb)
{
	const struct pageblock *b = pb_data(a->m, pb);
	unsigned int bin, order;
	uint32_t at;

	if (!b->nr_free)
		return;
	bin = pageblock_collapsible(a->m, b) ? BIN_COLLAPSIBLE : b->nr_free >> BIN_SHIFT;
	order = 31 - (unsigned int)__builtin_clz(b->orders);
	/* Walking the list for every block would be quadratic: its links must agree. */
	at = b->prev ? pb_data(a->m, pb_of_link(b->prev))->next :
		       z->bins[b->migratetype].head[bin][order];
	expect(a, RULE_BIN_1, "link to a block in its bin", pb.nr, link_of_pb(pb), at);
	if (b->next)
		expect(a, RULE_BIN_1, "link back", pb.nr, link_of_pb(pb),
		       pb_data(a->m, pb_of_link(b->next))->prev);
	expect(a, RULE_BIN_1, "bin is marked", pb.nr, 1,
	       z->bins[b->migratetype].orders[bin] >> order & 1);
}

static void expect_backs(struct audit *a, hvo_pfn_t pfn, slot_t slot)
{
	struct hvo_machine *m = a->m;
	bool valid = slot_pfn(m, slot) < m->mm.nr_frames;

	expect(a, RULE_MEMMAP_3, "page that a frame backs is one", pfn, 1, valid);
	if (valid)
		expect(a, RULE_MEMMAP_3, "frame behind the page that it backs", slot.nr, pfn,
		       slot_backing(m, slot));
}

/* Check that a pageblock with PB_SELF holds all its tails. */
static void check_own(struct audit *a, pb_t pb)
{
	struct hvo_machine *m = a->m;
	uint64_t own = 0, k;

	for (k = 0; k < pb_tails(m); k++)
		own += pb_same(pb_of(slot_backing(m, slot_add(tail_slot(m, pb), k))), pb);
	expect(a, RULE_BLOCK_1, "tails in frames of their own block", pb.nr, pb_tails(m), own);
}

static void audit_cut(struct audit *a, struct zone *z, pb_t pb, struct count *c)
{
	struct hvo_machine *m = a->m;
	const struct pageblock *b = pb_data(m, pb);
	bool serves = !b->isolation;
	hvo_pfn_t base = pb_pfn(pb);
	unsigned int idx = 0, nr_free = 0;

	check_slots(a, RULE_FOLD_1, pb, false, true);
	expect(a, RULE_BLOCK_1, "flags of a cut block", pb.nr, PB_CUT,
	       b->flags & (PB_CUT | PB_BUSY));
	if (b->flags & PB_SELF)
		check_own(a, pb);
	while (idx < HVO_PAGEBLOCK_FRAMES) {
		const struct hvo_page *page = page_ro(m, base + idx);
		unsigned int order = page->order;

		if (page->state == HVO_PAGE_MEMMAP) {
			c->memmap++;
			c->boot += page_flags(page) & HVO_PF_BOOT;
			expect_backs(a, base + idx, page_backs(page));
			order = 0;
		} else if (page->state == HVO_PAGE_POISONED) {
			c->poisoned++;
			order = 0;
		} else if (page->state == HVO_PAGE_FREE) {
			expect(a, RULE_BLOCK_2, "free fragment on its list", base + idx, 1,
			       order < SMALL_ORDERS && on_list(m, pb, idx, order));
			expect(a, RULE_PAGE_1, "references of a free block", base + idx, 0,
			       page->refcount);
			nr_free += 1u << order;
			if (serves && order < SMALL_ORDERS)
				c->frags[b->migratetype][order]++;
		} else {
			expect_used(a, base + idx, page);
			if (page_flags(page) & HVO_PF_CMA)
				c->cma += UINT64_C(1) << order;
		}
		if (order >= SMALL_ORDERS || idx & ((1u << order) - 1)) {
			expect(a, RULE_PAGE_1, "order fits its place", base + idx, 0, order);
			order = 0;
		}
		idx += 1u << order;
	}
	expect(a, RULE_BLOCK_1, "free frames of a cut block", pb.nr, nr_free, b->nr_free);
	expect(a, RULE_BLOCK_3, "a cut block is free as a whole", pb.nr, 0,
	       !on_demand(m) && nr_free == HVO_PAGEBLOCK_FRAMES && !b->isolation);
	c->cut++;
	c->carved += !!(b->flags & PB_CARVED);
	if (!serves) {
		c->isolated++;
		c->kept += b->isolation == ISOLATED_BY_USER;
		expect(a, RULE_ZONE_4, "links of an isolated block", pb.nr, 0, b->next | b->prev);
		return;
	}
	audit_bin(a, z, pb);
	c->free += nr_free;
	c->serving[b->migratetype]++;
}

static void audit_types(struct audit *a, const struct zone *z, const struct count *c)
{
	unsigned int type, o;

	for (type = 0; type < MIGRATE_TYPES; type++) {
		expect(a, RULE_ZONE_6, "cut blocks of a type that serve", type, c->serving[type],
		       z->nr_serving[type]);
		for (o = 0; o < SMALL_ORDERS; o++)
			expect(a, RULE_ZONE_6, "free fragments of an order", o, c->frags[type][o],
			       z->nr_frags[type][o]);
	}
}

static void audit_zone(struct audit *a, struct zone *z, struct count *sum)
{
	struct hvo_machine *m = a->m;
	struct count c = { 0 };
	hvo_pfn_t pfn = z->start;
	unsigned int o;

	while (pfn < z->end) {
		unsigned int order;

		if (!zone_has(m, z, pfn)) {
			pfn += HVO_SECTION_FRAMES;
			continue;
		}
		order = fold_order(m, pfn);
		if (!order) {
			audit_cut(a, z, pb_of(pfn), &c);
			pfn += HVO_PAGEBLOCK_FRAMES;
			continue;
		}
		if (order < HVO_PAGEBLOCK_ORDER || order > HVO_MAX_ORDER ||
		    pfn & ((UINT64_C(1) << order) - 1)) {
			expect(a, RULE_FOLD_2, "order fits its place", pfn, 0, order);
			pfn += HVO_PAGEBLOCK_FRAMES;
			continue;
		}
		audit_whole(a, pfn, order, &c);
		pfn += UINT64_C(1) << order;
	}
	expect(a, RULE_ZONE_1, "free frames", z->start, c.free, z->nr_free);
	expect(a, RULE_ZONE_2, "cut blocks", z->start, c.cut, z->nr_cut);
	audit_types(a, z, &c);
	expect(a, RULE_ZONE_4, "isolated blocks", z->start, c.isolated, z->nr_isolated);
	expect(a, RULE_ZONE_4, "blocks that a user keeps isolated", z->start, c.kept,
	       z->nr_isolated_by_user);
	for (o = 0; o < WHOLE_ORDERS; o++) {
		uint64_t nr = 0, guard = c.whole[o] + 1;
		uint32_t at = z->whole[o];

		for (; at && nr < guard; at = page_ro(m, pb_pfn(pb_of_link(at)))->next)
			nr++;
		expect(a, RULE_ZONE_3, "blocks on a free list", o + HVO_PAGEBLOCK_ORDER, c.whole[o],
		       nr);
		expect(a, RULE_ZONE_3, "count of a free list", o + HVO_PAGEBLOCK_ORDER, c.whole[o],
		       z->nr_whole[o]);
	}
	expect(a, RULE_MANAGED_1, "managed frames", z->start, z->present - c.boot, z->managed);
	sum->memmap += c.memmap;
	sum->boot += c.boot;
	sum->poisoned += c.poisoned;
	sum->carved += c.carved;
	sum->cma += c.cma;
}

static void audit_pool_node(struct audit *a, unsigned int i, uint32_t node)
{
	const struct hvo_pool *pool = &a->m->pools[i];
	const struct pool_node *n = &pool->nodes[node];
	const struct pool_count *c = &a->pool[i];
	uint64_t nr = 0;
	uint32_t at;

	for (at = n->free_list; at && nr <= n->free;
	     at = page_ro(a->m, pb_pfn(pb_of_link(at)))->next)
		nr++;
	expect(a, RULE_POOL_1, "pages of a pool", pool->order, c->total, n->total);
	expect(a, RULE_POOL_2, "free pages of a pool", pool->order, c->free, n->free);
	expect(a, RULE_POOL_3, "pages on its free list", pool->order, n->free, nr);
	expect(a, RULE_POOL_2, "surplus within total", pool->order, 0, n->surplus > n->total);
	expect(a, RULE_POOL_4, "folded pages of a pool", pool->order, c->optimized, n->optimized);
	expect(a, RULE_POOL_4, "poisoned pages of a pool", pool->order, c->poisoned, n->poisoned);
	expect(a, RULE_POOL_4, "free ones of them", pool->order, c->poisoned_free,
	       n->poisoned_free);
}

static void audit_pool(struct audit *a, unsigned int i)
{
	const struct hvo_pool *pool = &a->m->pools[i];
	uint64_t nr = 0, free = 0, poisoned = 0;
	uint32_t n, at;

	for (n = 0; n < a->m->cfg.nr_nodes && pool->order; n++) {
		free += pool->nodes[n].free;
		poisoned += pool->nodes[n].poisoned;
	}
	for (at = pool->deferred.first; at && nr <= pool->deferred.nr;
	     at = page_ro(a->m, pb_pfn(pb_of_link(at)))->next)
		nr++;
	expect(a, RULE_POOL_5, "pages that wait to be freed", pool->order, a->deferred[i],
	       pool->deferred.nr);
	expect(a, RULE_POOL_5, "on their list", pool->order, pool->deferred.nr, nr);
	if (!poisoned)
		expect(a, RULE_POOL_6, "reserved pages that are not there", pool->order, 0,
		       pool->reserved > free ? pool->reserved - free : 0);
	expect(a, RULE_POOL_6, "pages in flight", pool->order, 0, pool->in_flight);
}

static void audit_node(struct audit *a, uint32_t node, struct count *sum)
{
	struct hvo_machine *m = a->m;
	unsigned int i;

	for (i = 0; i < HVO_MAX_POOLS; i++)
		a->pool[i] = (struct pool_count){ 0 };
	for (i = 0; i < HVO_NR_ZONES; i++)
		audit_zone(a, &m->nodes[node].zones[i], sum);
	for (i = 0; i < HVO_MAX_POOLS; i++)
		if (m->pools[i].order)
			audit_pool_node(a, i, node);
}

/* ---- offline memory ------------------------------------------------------------------------- */

/* Check a frame of offline memory: TAIL, failed, or with descriptors of its own section. */
static void check_offline_frame(struct audit *a, hvo_pfn_t pfn, struct count *sum)
{
	struct hvo_machine *m = a->m;
	const struct hvo_page *page = page_ro(m, pfn);
	pb_t pb = pb_of(pfn);

	switch (page->state) {
	case HVO_PAGE_POISONED:
		sum->poisoned++;
		break;
	case HVO_PAGE_MEMMAP:
		expect_backs(a, pfn, page_backs(page));
		if (page_flags(page) & HVO_PF_BOOT)
			expect(a, RULE_OFFLINE_1, "the section hosts itself", pfn, 1,
			       section_of(m, pfn)->self_hosted);
		else
			expect(a, RULE_OFFLINE_1, "block that a frame has tails of", pfn, pb.nr,
			       pb_data(m, pb)->flags & PB_SELF ?
				       pb_of(slot_pfn(m, page_backs(page))).nr :
				       UINT64_MAX);
		break;
	default:
		expect(a, RULE_OFFLINE_1, "state of a frame", pfn, HVO_PAGE_TAIL, page->state);
	}
}

static void audit_offline_pageblock(struct audit *a, pb_t pb, struct count *sum)
{
	struct hvo_machine *m = a->m;
	const struct pageblock *b = pb_data(m, pb);
	bool cut = b->flags & PB_CUT, folded = on_demand(m) && !cut;
	hvo_pfn_t pfn = pb_pfn(pb), end = pfn + HVO_PAGEBLOCK_FRAMES;

	expect(a, RULE_OFFLINE_1, "fold byte", pb.nr,
	       cut ? 0 : HVO_PAGEBLOCK_ORDER | (folded ? HVO_FOLDED : 0), fold_byte(m, pb));
	expect(a, RULE_OFFLINE_1, "flags of a block", pb.nr, 0,
	       b->flags & ~(PB_CUT | (cut ? PB_SELF : PB_REPORTED)));
	expect(a, RULE_OFFLINE_1, "isolation of a block", pb.nr, NOT_ISOLATED, b->isolation);
	expect(a, RULE_OFFLINE_1, "free frames of a block", pb.nr, 0, cut ? b->nr_free : 0);
	check_slots(a, RULE_OFFLINE_1, pb, folded, true);
	if (cut) {
		for (; pfn < end; pfn++)
			check_offline_frame(a, pfn, sum);
		return;
	}
	/*
	 * A pageblock set aside could not be cut around its failed frame: all of it is out of use.
	 */
	if (page_ro(m, pfn)->state == HVO_PAGE_POISONED)
		pfn++;
	for (; pfn < end; pfn++)
		expect(a, RULE_OFFLINE_1, "state of a frame", pfn, HVO_PAGE_TAIL,
		       page_ro(m, pfn)->state);
}

static void audit_offline(struct audit *a, struct count *sum)
{
	struct hvo_machine *m = a->m;
	hvo_pfn_t pfn;

	for (pfn = 0; pfn < m->mm.nr_frames; pfn += HVO_PAGEBLOCK_FRAMES)
		if (section_of(m, pfn)->state == HVO_SECTION_OFFLINE)
			audit_offline_pageblock(a, pb_of(pfn), sum);
}

/* Is a frame free, for anybody, by what its descriptors say? */
static bool frame_is_free(struct hvo_machine *m, hvo_pfn_t pfn)
{
	enum hvo_page_state state = whole_head(m, pfn)->state;
	unsigned int order;

	if (fold_byte(m, pb_of(pfn)))
		return state == HVO_PAGE_FREE || state == HVO_PAGE_ISOLATED;
	for (order = 0; order < SMALL_ORDERS; order++) {
		const struct hvo_page *head = page_ro(m, order_start(pfn, order));

		if (head->state != HVO_PAGE_TAIL)
			return head->state == HVO_PAGE_FREE && head->order >= order;
	}
	return false;
}

/* The head of the block that somebody holds there, or NULL. */
static const struct hvo_page *holder(struct hvo_machine *m, hvo_pfn_t pfn)
{
	const struct hvo_page *head = page_ro(m, hvo_page_head(&m->mm, pfn));

	return head->refcount ? head : NULL;
}

/* Check a failed frame; returns the number of frames that it puts out of use. */
static uint64_t audit_failed_frame(struct audit *a, hvo_pfn_t pfn)
{
	struct hvo_machine *m = a->m;

	if (frame_online(m, pfn))
		expect(a, RULE_POISON_1, "a frame that failed is free", pfn, false,
		       frame_is_free(m, pfn));
	if (frame_online(m, pfn) && holder(m, pfn))
		expect(a, RULE_POISON_3, "its holder's head is marked", pfn, HVO_PF_POISONED,
		       page_flags(holder(m, pfn)) & HVO_PF_POISONED);
	if (in_whole_memmap(m, pfn))
		return slot_backing(m, slot_of_boot_frame(m, pfn)) != pfn;
	return !fold_byte(m, pb_of(pfn)) && page_ro(m, pfn)->state == HVO_PAGE_POISONED;
}

static void audit_poison(struct audit *a, const struct count *sum)
{
	struct hvo_machine *m = a->m;
	uint64_t nr = 0, out = 0;
	hvo_pfn_t pfn, end;

	for (pfn = 0; pfn < m->mm.nr_frames; pfn = end) {
		uint32_t expected = section_of(m, pfn)->nr_bad;
		uint64_t before = nr;

		end = pfn + HVO_SECTION_FRAMES;
		for (; pfn < end && expected; pfn++) {
			if (!bit_of(m, pfn))
				continue;
			nr++;
			out += audit_failed_frame(a, pfn);
		}
		expect(a, RULE_POISON_2, "failed frames of a section", end, nr - before, expected);
	}
	expect(a, RULE_POISON_2, "failed frames", 0, nr, m->nr_bad);
	expect(a, RULE_POISON_1, "frames out of use", 0, out, sum->poisoned);
}

/* May the system have the content of a pageblock: is it whole and unused, or offline? */
static bool may_be_reported(struct hvo_machine *m, hvo_pfn_t pfn)
{
	unsigned int order = fold_order(m, pfn);
	enum hvo_page_state state;

	if (!order || !frame_online(m, pfn))
		return order;
	state = hvo_page_state(whole_head(m, pfn));
	return state == HVO_PAGE_FREE || state == HVO_PAGE_ISOLATED || state == HVO_PAGE_POISONED;
}

static void audit_reported(struct audit *a)
{
	struct hvo_machine *m = a->m;
	uint64_t frames = 0;
	hvo_pfn_t pfn;

	for (pfn = 0; pfn < m->mm.nr_frames; pfn += HVO_PAGEBLOCK_FRAMES) {
		if (!(pb_data(m, pb_of(pfn))->flags & PB_REPORTED))
			continue;
		frames += HVO_PAGEBLOCK_FRAMES;
		expect(a, RULE_REPORT_1, "nobody uses what is with the system", pb_of(pfn).nr, true,
		       may_be_reported(m, pfn));
	}
	expect(a, RULE_REPORT_1, "frames that are with the system", 0, frames, m->reported);
}

static void mapping_mismatch(void *arg, uint64_t page, uint64_t recorded, uint64_t real)
{
	expect(arg, RULE_MAP_1, "what backs a page of the array", page, recorded, real);
}

int64_t hvo_machine_audit(struct hvo_machine *m,
			  void (*report)(void *arg, const struct hvo_finding *finding), void *arg)
{
	struct audit a = { .m = m, .report = report, .arg = arg };
	struct count sum = { 0 };
	uint64_t cma = 0;
	uint32_t n;

	if (machine_gone(m))
		return -HVO_ENODEV;
	for (n = 0; n < m->cfg.nr_nodes; n++)
		audit_node(&a, n, &sum);
	audit_offline(&a, &sum);
	expect(&a, RULE_MEMMAP_1, "frames that hold descriptors", 0, sum.memmap,
	       m->memmap + m->memmap_boot);
	expect(&a, RULE_MEMMAP_1, "of them, set aside at the start", 0, sum.boot, m->memmap_boot);
	expect(&a, RULE_MEMMAP_4, "carved blocks", 0, sum.carved, m->carved_blocks);
	for (n = 0; n < m->nr_cmas; n++)
		cma += m->cmas[n].used;
	expect(&a, RULE_CMA_1, "frames of areas in use", 0, sum.cma, cma);
	for (n = 0; n < HVO_MAX_POOLS; n++)
		audit_pool(&a, n);
	audit_poison(&a, &sum);
	audit_reported(&a);
	if (m->ops->audit)
		m->ops->audit(m->ctx, mapping_mismatch, &a);
	return (int64_t)a.findings;
}
