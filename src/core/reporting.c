// SPDX-License-Identifier: MIT
/*
 * Free page reporting: the content of free memory goes back to the system, while the memory
 * stays online, free and counted. Memory is populated again when a block is allocated, cut, or
 * taken in any other way, before anybody can write to it.
 *
 * States of a pageblock: PB_REPORTED while the system has the content; the pageblock is then part
 * of a whole block that is free, isolated or offline, or is set aside because it could not be cut
 * around a failed frame. Each pageblock has its own flag, so splitting, merging, isolating and
 * going offline need not know of it.
 * Locks: the memmap lock while memory is discarded, so that nobody isolates it meanwhile; the
 * zone's lock for the flags. The block is in the caller's hands while the system is asked.
 * Linux: mm/page_reporting.c, page_reporting_cycle(), page_reporting_drain().
 */
#include "reporting.h"

#include "base.h"
#include "lock.h"
#include "zone_whole.h"

/* The largest block that is out of its zone at a time: 32 MiB. */
#define CHUNK_ORDER (HVO_PAGEBLOCK_ORDER + 4u)

/* Set or clear PB_REPORTED; returns the frames that changed. Zone lock held, or memory offline. */
static uint64_t set_reported(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr, bool reported)
{
	hvo_pfn_t end = pfn + nr;
	uint64_t changed = 0;

	if (frame_online(m, pfn))
		lock_assert_held(m, &zone_of(m, pfn)->lock);
	for (; pfn < end; pfn = pb_end(pfn)) {
		struct pageblock *b = pb_data(m, pb_of(pfn));

		if (!(b->flags & PB_REPORTED) == !reported)
			continue;
		b->flags ^= PB_REPORTED;
		changed += HVO_PAGEBLOCK_FRAMES;
	}
	if (reported)
		counter_add(&m->reported, changed);
	else
		counter_sub(&m->reported, changed);
	HVO_ASSERT(m, counter_read(&m->reported) <= m->mm.nr_frames, REPORT_1, "out of range", end);
	return changed;
}

/* Count the frames, in whole pageblocks, whose content the system has. */
static uint64_t nr_reported(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr)
{
	hvo_pfn_t end = pfn + nr;
	uint64_t frames = 0;

	lock_assert_held(m, &zone_of(m, pfn)->lock);
	for (; pfn < end; pfn = pb_end(pfn))
		if (pb_data(m, pb_of(pfn))->flags & PB_REPORTED)
			frames += HVO_PAGEBLOCK_FRAMES;
	return frames;
}

/* ---- giving it back ------------------------------------------------------------------------- */

struct report {
	struct hvo_machine *m;
	struct zone *z;
	unsigned int order;
	uint64_t max, done;
};

/*
 * Take a part of a free block from @pfn on: state TAKEN, of order *@ret_order. *@ret_next: the frame
 * to go on at, also after false.
 */
static bool take_chunk(struct report *r, hvo_pfn_t pfn, unsigned int *ret_order,
		       hvo_pfn_t *ret_next)
{
	uint64_t most = min_u64(r->max - r->done, UINT64_C(1) << CHUNK_ORDER), low;
	struct hvo_machine *m = r->m;
	unsigned int have, order;

	lock_assert_held(m, &r->z->lock);
	*ret_next = pfn + HVO_SECTION_FRAMES - pfn % HVO_SECTION_FRAMES;
	if (!zone_has(m, r->z, pfn))
		return false;
	*ret_next = pfn + HVO_PAGEBLOCK_FRAMES;
	have = zone_free_order(m, pfn);
	/* Leave enough for others: the block is in use while the system is asked. */
	low = counter_read(&r->z->low);
	most = min_u64(most, r->z->nr_free > low ? r->z->nr_free - low : 0);
	if (have < r->order || most < HVO_PAGEBLOCK_FRAMES)
		return false;
	order = fitting_order(pfn, pfn + most, have);
	*ret_next = pfn + (UINT64_C(1) << order);
	if (nr_reported(m, pfn, UINT64_C(1) << order) == UINT64_C(1) << order)
		return false;
	zone_take_part(m, r->z, pfn, order);
	*ret_order = order;
	return true;
}

/* Report the free block at @pfn; returns the frame to go on at. */
static hvo_pfn_t report_at(struct report *r, hvo_pfn_t pfn)
{
	struct hvo_machine *m = r->m;
	unsigned int order = 0;
	hvo_pfn_t next = pfn;
	uint64_t nr;

	lock_assert_held(m, &m->memmap_lock);
	lock_acquire(m, &r->z->lock);
	if (!take_chunk(r, pfn, &order, &next)) {
		lock_release(m, &r->z->lock);
		return next;
	}
	r->z->in_flight++;
	lock_release(m, &r->z->lock);
	nr = UINT64_C(1) << order;
	m->ops->discard(m->ctx, pfn, nr);
	lock_acquire(m, &r->z->lock);
	zone_end_flight(m, r->z);
	r->done += set_reported(m, pfn, nr, true);
	zone_put_whole(m, r->z, pfn, order);
	lock_release(m, &r->z->lock);
	return next;
}

/* Go once around the zone, from where the last call ended. */
static void report_zone(struct report *r, struct zone *z)
{
	struct hvo_machine *m = r->m;
	hvo_pfn_t first, pfn, end;
	bool wrapped = false;

	lock_acquire(m, &m->memmap_lock);
	r->z = z;
	first = z->report_next;
	pfn = first;
	while (r->max - r->done >= HVO_PAGEBLOCK_FRAMES) {
		/* The zone may have grown or shrunk while the lock was dropped. */
		end = wrapped ? min_u64(first, z->end) : z->end;
		if (pfn < z->start)
			pfn = z->start;
		if (pfn >= end) {
			if (wrapped)
				break;
			wrapped = true;
			pfn = z->start;
			continue;
		}
		pfn = report_at(r, pfn);
		z->report_next = pfn;
		if (pfn % HVO_SECTION_FRAMES)
			continue;
		/* Let other threads have the memmap lock. */
		lock_release(m, &m->memmap_lock);
		lock_acquire(m, &m->memmap_lock);
	}
	lock_release(m, &m->memmap_lock);
}

int64_t hvo_report_free(struct hvo_machine *m, int node, unsigned int order, uint64_t max,
			bool *ret_more)
{
	struct report r = { .m = m, .order = order, .max = max };
	uint32_t n, t;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (order < HVO_PAGEBLOCK_ORDER || order > m->cfg.max_order || !node_valid(m, node))
		return -HVO_EINVAL;
	for (n = 0; n < m->cfg.nr_nodes; n++) {
		if (node >= 0 && n != (uint32_t)node)
			continue;
		for (t = 0; t < HVO_NR_ZONES; t++)
			report_zone(&r, &m->nodes[n].zones[t]);
	}
	if (ret_more)
		*ret_more = r.done >= max || max - r.done < HVO_PAGEBLOCK_FRAMES;
	return (int64_t)r.done;
}

/* ---- taking it back ------------------------------------------------------------------------- */

bool hvo_reported(struct hvo_machine *m, hvo_pfn_t pfn)
{
	struct zone *z = machine_gone(m) ? NULL : zone_lock_of(m, pfn);
	bool reported;

	if (!z)
		return false;
	reported = pb_data(m, pb_of(pfn))->flags & PB_REPORTED;
	lock_release(m, &z->lock);
	return reported;
}

int reported_populate(struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr)
{
	struct zone *z = zone_of(m, pfn);
	bool away;
	int rc;

	if (HVO_LIKELY(!counter_read(&m->reported)))
		return 0;
	lock_acquire(m, &z->lock);
	away = nr_reported(m, pfn, nr);
	lock_release(m, &z->lock);
	if (!away)
		return 0;
	rc = m->ops->populate(m->ctx, pfn, nr);
	if (rc)
		return rc;
	lock_acquire(m, &z->lock);
	(void)set_reported(m, pfn, nr, false);
	lock_release(m, &z->lock);
	return 0;
}

void reported_forget(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end)
{
	lock_assert_held(m, &m->memmap_lock);
	(void)set_reported(m, start, end - start, false);
}
