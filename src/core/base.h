/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_BASE_H
#define HVO_CORE_BASE_H

#include "machine.h"
#include "rules.h"

#define HVO_LIKELY(x) __builtin_expect(!!(x), 1)
#define HVO_UNLIKELY(x) __builtin_expect(!!(x), 0)

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline pb_t pb_of(hvo_pfn_t pfn)
{
	return (pb_t){ pfn >> HVO_PAGEBLOCK_ORDER };
}

/* First frame of a pageblock. */
static inline hvo_pfn_t pb_pfn(pb_t pb)
{
	return pb.nr << HVO_PAGEBLOCK_ORDER;
}

static inline bool pb_same(pb_t a, pb_t b)
{
	return a.nr == b.nr;
}

/* First frame of the pageblock around a frame, and first one of the next pageblock. */
static inline hvo_pfn_t pb_start(hvo_pfn_t pfn)
{
	return pb_pfn(pb_of(pfn));
}

static inline hvo_pfn_t pb_end(hvo_pfn_t pfn)
{
	return pb_start(pfn) + HVO_PAGEBLOCK_FRAMES;
}

/* Index of a frame in its pageblock. */
static inline unsigned int pb_index(hvo_pfn_t pfn)
{
	return pfn & (HVO_PAGEBLOCK_FRAMES - 1);
}

/* First frame of the block of @order around a frame. */
static inline hvo_pfn_t order_start(hvo_pfn_t pfn, unsigned int order)
{
	return pfn & ~((UINT64_C(1) << order) - 1);
}

/* First frame of the buddy of the block of @order around a frame. */
static inline hvo_pfn_t buddy_of(hvo_pfn_t pfn, unsigned int order)
{
	return (pfn >> order ^ 1) << order;
}

static inline uint32_t link_of_pb(pb_t pb)
{
	return (uint32_t)pb.nr + 1;
}

static inline pb_t pb_of_link(uint32_t link)
{
	return (pb_t){ link - 1 };
}

static inline struct pageblock *pb_data(const struct hvo_machine *m, pb_t pb)
{
	return &m->pageblocks[pb.nr];
}

/* @align: a power of two. */
static inline uint64_t align_up(uint64_t n, uint64_t align)
{
	return (n + align - 1) & ~(align - 1);
}

static inline bool table_layout(const struct hvo_machine *m)
{
	return m->table;
}

/* Slot that has the descriptor of a frame, and the first frame described in a slot. */
static inline slot_t slot_of(const struct hvo_machine *m, hvo_pfn_t pfn)
{
	uint64_t group = pfn / HVO_PAGES_PER_FRAME;

	return (slot_t){ table_layout(m) ? group : hvo_memmap_slot(group) };
}

static inline hvo_pfn_t slot_pfn(const struct hvo_machine *m, slot_t slot)
{
	uint64_t group = table_layout(m) ? slot.nr : hvo_memmap_group(slot.nr);

	return group * HVO_PAGES_PER_FRAME;
}

static inline slot_t slot_add(slot_t slot, uint64_t nr)
{
	return (slot_t){ slot.nr + nr };
}

/*
 * Tails of a pageblock: the slots that have frames only where it is cut. In the virtual layout the
 * first one, with the descriptor of the pageblock as a whole, is none.
 */
static inline unsigned int pb_tails(const struct hvo_machine *m)
{
	return table_layout(m) ? HVO_PAGEBLOCK_MEMMAP : HVO_PAGEBLOCK_MEMMAP - 1;
}

/*
 * Index of the frame of a pageblock from which on it holds its own tails, if none of these frames
 * failed. In the table layout readers go to that very frame: with the same index everywhere all
 * would share a few sets of the caches and of the TLB.
 */
static inline unsigned int pb_tails_at(const struct hvo_machine *m, pb_t pb)
{
	return table_layout(m) ? pb.nr * HVO_PAGEBLOCK_MEMMAP % (HVO_PAGEBLOCK_FRAMES / 2) : 0;
}

/* First of the tails of a pageblock. */
static inline slot_t tail_slot(const struct hvo_machine *m, pb_t pb)
{
	return slot_of(m, pb_end(pb_pfn(pb)) - pb_tails(m) * HVO_PAGES_PER_FRAME);
}

static inline bool slot_is_tail(const struct hvo_machine *m, slot_t slot)
{
	return table_layout(m) || pb_index(slot_pfn(m, slot));
}

static inline struct section *section_of(const struct hvo_machine *m, hvo_pfn_t pfn)
{
	return &m->sections[pfn >> HVO_SECTION_ORDER];
}

/* struct zone::id of the section that a frame is in, or ZONE_NONE. */
static inline uint8_t section_zone(const struct hvo_machine *m, hvo_pfn_t pfn)
{
	return __atomic_load_n(&section_of(m, pfn)->zone, __ATOMIC_RELAXED);
}

static inline struct zone *zone_by_id(struct hvo_machine *m, uint8_t id)
{
	return &m->nodes[id / HVO_NR_ZONES].zones[id % HVO_NR_ZONES];
}

/*
 * A broken rule of rules.h stops the machine, in release builds too. @cond changes nothing. @where
 * is a frame, or HVO_PFN_NONE.
 */
#define HVO_PANIC(m, rule, what, where) machine_panic(m, RULE_##rule ": " what, where)
#define HVO_ASSERT(m, cond, rule, what, where)           \
	do {                                             \
		if (HVO_UNLIKELY(!(cond)))               \
			HVO_PANIC(m, rule, what, where); \
	} while (0)

void machine_panic(struct hvo_machine *m, const char *what, hvo_pfn_t pfn)
	__attribute__((noreturn, cold));

/*
 * Find the zone of a frame that stays online. A section leaves its zone under the memmap lock and
 * the zone's lock, and only when nothing in the section is in use. So memory stays online for a
 * caller that has one of the two locks, or that uses the memory: a block that the caller holds or
 * took out of the zone, a place of descriptors, a part of a range that the caller isolated. A
 * caller that has nothing but a frame number uses zone_lock_of().
 *
 * Descriptors last longer than memory is online: those of a section that is removed go when all
 * readers are done. Looking at descriptors with neither lock nor use takes a reader's section.
 */
static inline struct zone *zone_of(struct hvo_machine *m, hvo_pfn_t pfn)
{
	uint8_t n = section_zone(m, pfn);

	HVO_ASSERT(m, n != ZONE_NONE, ZONE_5, "memory that is used is not online", pfn);
	return zone_by_id(m, n);
}

static inline struct node *node_of(struct hvo_machine *m, hvo_pfn_t pfn)
{
	return &m->nodes[section_of(m, pfn)->node];
}

/* Is a frame in this zone? The answer lasts under the zone's lock or while the frame is in use. */
static inline bool zone_has(const struct hvo_machine *m, const struct zone *z, hvo_pfn_t pfn)
{
	return pfn < m->mm.nr_frames && section_zone(m, pfn) == z->id;
}

/* Order of the largest aligned block that begins at @pfn and ends at or before @end; up to @max. */
static inline unsigned int fitting_order(hvo_pfn_t pfn, hvo_pfn_t end, unsigned int max)
{
	unsigned int order = 63 - (unsigned int)__builtin_clzll(end - pfn);

	if (pfn && order > (unsigned int)__builtin_ctzll(pfn))
		order = (unsigned int)__builtin_ctzll(pfn);
	return order < max ? order : max;
}

static inline bool frame_online(const struct hvo_machine *m, hvo_pfn_t pfn)
{
	return pfn < m->mm.nr_frames && section_zone(m, pfn) != ZONE_NONE;
}

/* A node of the machine, or HVO_NODE_ANY? */
static inline bool node_valid(const struct hvo_machine *m, int node)
{
	return node >= HVO_NODE_ANY && node < (int)m->cfg.nr_nodes;
}

static inline bool on_demand(const struct hvo_machine *m)
{
	return m->cfg.mode == HVO_ON_DEMAND;
}

static inline bool machine_gone(const struct hvo_machine *m)
{
	return HVO_UNLIKELY(__atomic_load_n(&m->abandoned, __ATOMIC_RELAXED));
}

static inline void counter_add(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static inline void counter_sub(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_sub(counter, n, __ATOMIC_RELAXED);
}

/* Set a counter that only the holder of its lock writes and that others read without the lock. */
static inline void counter_set(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, n, __ATOMIC_RELAXED);
}

static inline uint64_t counter_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static inline void trace3(struct hvo_machine *m, enum hvo_event event, hvo_pfn_t pfn, uint64_t a,
			  uint64_t b, uint64_t c)
{
	struct hvo_event_record r = { event, pfn, a, b, c };

	if (m->ops->trace)
		m->ops->trace(m->ctx, &r);
}

static inline void trace(struct hvo_machine *m, enum hvo_event event, hvo_pfn_t pfn, uint64_t a,
			 uint64_t b)
{
	trace3(m, event, pfn, a, b, 0);
}

/* Tell the platform that hvo_work() has something to do. */
static inline void work_wanted(struct hvo_machine *m)
{
	if (m->ops->kick)
		m->ops->kick(m->ctx);
}

/* The pool of huge pages of this order, or NULL. */
static inline struct hvo_pool *pool_of_order(struct hvo_machine *m, unsigned int order)
{
	unsigned int i;

	for (i = 0; i < HVO_MAX_POOLS; i++)
		if (order && __atomic_load_n(&m->pools[i].order, __ATOMIC_ACQUIRE) == order)
			return &m->pools[i];
	return NULL;
}

/*
 * Refuse what every call on a pool refuses: no pool, or none any more, a machine that is gone, no
 * such node.
 */
static inline int pool_check(const struct hvo_pool *pool, int node)
{
	if (!pool || node < HVO_NODE_ANY)
		return -HVO_EINVAL;
	if (machine_gone(pool->m))
		return -HVO_ENODEV;
	if (!__atomic_load_n(&pool->order, __ATOMIC_RELAXED))
		return -HVO_EINVAL;
	return node >= (int)pool->m->cfg.nr_nodes ? -HVO_EINVAL : 0;
}

#endif
