// SPDX-License-Identifier: MIT
/*
 * Hot-plug: memory that comes and goes in sections of 128 MiB.
 *
 *	ABSENT --add--> OFFLINE --online--> ONLINE
 *	       <-remove-        <-offline--
 *
 * add: memory and descriptors (head pages; in Linux mode all of them), in frames of NORMAL or in
 * the memory itself. online: it joins a zone, and is free. offline: what is in use moves away,
 * then it leaves its zone. remove: descriptors and memory go back where they came from.
 *
 * States of its frames while offline: TAIL, but those that failed or host descriptors of
 * the section. Nothing finds them: nobody has a reference, and they are in no zone. Descriptors in
 * a hosting frame that fails go to another frame, and later they are freed like those of NORMAL.
 * Locks: the memmap lock for the states of sections; the zone's lock for what is in a zone. Not
 * the memmap lock while things move.
 * Linux: mm/memory_hotplug.c, add_memory_resource(), online_pages(), offline_pages(),
 * try_remove_memory(); mm/sparse-vmemmap.c.
 */
#include "backing.h"
#include "badframe.h"
#include "base.h"
#include "evacuate.h"
#include "isolate.h"
#include "lock.h"
#include "online.h"
#include "page.h"
#include "reporting.h"
#include "sized.h"
#include "watermark.h"
#include "zone_cut.h"
#include "zone_whole.h"

static int range_check(const struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end)
{
	if (machine_gone(m))
		return -HVO_ENODEV;
	if (start >= end || end > m->mm.nr_frames || (start | end) & (HVO_SECTION_FRAMES - 1))
		return -HVO_EINVAL;
	return 0;
}

/* Are all sections in this state, and of one node? */
static bool all_are(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end,
		    enum hvo_section_state state)
{
	uint8_t node = section_of(m, start)->node;

	lock_assert_held(m, &m->memmap_lock);
	for (; start < end; start += HVO_SECTION_FRAMES)
		if (section_of(m, start)->state != state ||
		    (state != HVO_SECTION_ABSENT && section_of(m, start)->node != node))
			return false;
	return true;
}

enum hvo_section_state hvo_section_state(struct hvo_machine *m, hvo_pfn_t pfn)
{
	if (machine_gone(m) || pfn >= m->mm.nr_frames)
		return HVO_SECTION_ABSENT;
	return (enum hvo_section_state)__atomic_load_n(&section_of(m, pfn)->state,
						       __ATOMIC_ACQUIRE);
}

int hvo_section_info(struct hvo_machine *m, hvo_pfn_t pfn, struct hvo_section_info *ret)
{
	struct hvo_section_info info = { .state = hvo_section_state(m, pfn),
					 .node = -1,
					 .zone = -1 };
	int rc = machine_gone(m) ? -HVO_ENODEV : sized_check(ret);
	uint8_t zone;

	if (rc)
		return rc;
	if (info.state != HVO_SECTION_ABSENT) {
		const struct section *s = section_of(m, pfn);

		info.node = __atomic_load_n(&s->node, __ATOMIC_RELAXED);
		info.self_hosted = __atomic_load_n(&s->self_hosted, __ATOMIC_RELAXED);
		zone = __atomic_load_n(&s->zone, __ATOMIC_RELAXED);
		info.state = zone == ZONE_NONE ? HVO_SECTION_OFFLINE : HVO_SECTION_ONLINE;
		if (zone != ZONE_NONE)
			info.zone = zone % HVO_NR_ZONES;
	}
	SIZED_OUT(ret, &info);
	return 0;
}

static void set_state(struct section *s, enum hvo_section_state state)
{
	__atomic_store_n(&s->state, (uint8_t)state, __ATOMIC_RELEASE);
}

/* ---- add and remove ------------------------------------------------------------------------- */

static int add_sections(struct hvo_machine *m, int node, hvo_pfn_t start, hvo_pfn_t end, bool self)
{
	hvo_pfn_t pfn;
	int rc;

	lock_assert_held(m, &m->memmap_lock);
	rc = m->ops->populate(m->ctx, start, end - start);
	if (rc)
		return rc;
	rc = vmemmap_add_range(m, node, start, end, self);
	if (rc) {
		m->ops->discard(m->ctx, start, end - start);
		return rc;
	}
	for (pfn = start; pfn < end; pfn += HVO_SECTION_FRAMES) {
		__atomic_store_n(&section_of(m, pfn)->node, (uint8_t)node, __ATOMIC_RELAXED);
		__atomic_store_n(&section_of(m, pfn)->self_hosted, self, __ATOMIC_RELAXED);
		set_state(section_of(m, pfn), HVO_SECTION_OFFLINE);
	}
	return 0;
}

/* Make the offline sections [start, end) absent. */
static int remove_sections(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end)
{
	hvo_pfn_t pfn;
	int rc;

	lock_assert_held(m, &m->memmap_lock);
	rc = vmemmap_remove_range(m, start, end);
	if (rc)
		return rc;
	badframe_forget(m, start, end);
	reported_forget(m, start, end);
	m->ops->discard(m->ctx, start, end - start);
	for (pfn = start; pfn < end; pfn += HVO_SECTION_FRAMES) {
		__atomic_store_n(&section_of(m, pfn)->self_hosted, 0, __ATOMIC_RELAXED);
		set_state(section_of(m, pfn), HVO_SECTION_ABSENT);
	}
	return 0;
}

int hvo_memory_add(struct hvo_machine *m, int node, hvo_pfn_t start, hvo_pfn_t end,
		   unsigned int flags)
{
	int rc = range_check(m, start, end);

	if (rc)
		return rc;
	if (node < 0 || node >= (int)m->cfg.nr_nodes || flags & ~HVO_MEMMAP_ON_MEMORY)
		return -HVO_EINVAL;
	lock_acquire(m, &m->memmap_lock);
	rc = -HVO_EBUSY;
	if (all_are(m, start, end, HVO_SECTION_ABSENT))
		rc = add_sections(m, node, start, end,
				  flags & HVO_MEMMAP_ON_MEMORY && vmemmap_self_hosted(m));
	lock_release(m, &m->memmap_lock);
	return rc;
}

int hvo_memory_remove(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end)
{
	int rc = range_check(m, start, end);

	if (rc)
		return rc;
	lock_acquire(m, &m->memmap_lock);
	rc = -HVO_EBUSY;
	if (all_are(m, start, end, HVO_SECTION_OFFLINE))
		rc = remove_sections(m, start, end);
	lock_release(m, &m->memmap_lock);
	return rc;
}

/* ---- online and offline --------------------------------------------------------------------- */

/* Free in its zone what a section has of free memory. */
static void free_section(struct hvo_machine *m, struct zone *z, hvo_pfn_t pfn)
{
	hvo_pfn_t end = pfn + HVO_SECTION_FRAMES, from;

	lock_assert_held(m, &z->lock);
	for (from = pfn; pfn < end; pfn += HVO_PAGEBLOCK_FRAMES) {
		bool whole = fold_byte(m, pb_of(pfn));

		if (whole && hvo_page_state(page_ro(m, pfn)) == HVO_PAGE_TAIL)
			continue;
		zone_put_free(m, z, from, pfn);
		from = pfn + HVO_PAGEBLOCK_FRAMES;
		if (!whole)
			zone_reopen_pageblock(m, z, pb_of(pfn));
	}
	zone_put_free(m, z, from, end);
}

/* How many frames of a section were set aside for its own descriptors? */
static uint64_t set_aside(struct hvo_machine *m, hvo_pfn_t pfn)
{
	return section_of(m, pfn)->self_hosted ? vmemmap_self_hosted(m) : 0;
}

/* How many of these still host descriptors? A failed frame was replaced by one from elsewhere. */
static uint64_t hosting(struct hvo_machine *m, hvo_pfn_t pfn)
{
	hvo_pfn_t end = pfn + set_aside(m, pfn);
	uint64_t nr = 0;

	for (; pfn < end; pfn++)
		nr += hvo_page_state(page_ro(m, pfn)) == HVO_PAGE_MEMMAP &&
		      page_flags(page_ro(m, pfn)) & HVO_PF_BOOT;
	return nr;
}

static void join_zone(struct hvo_machine *m, struct zone *z, hvo_pfn_t start, hvo_pfn_t end)
{
	hvo_pfn_t pfn;

	lock_assert_held(m, &m->memmap_lock);
	lock_acquire(m, &z->lock);
	if (!z->present || start < z->start)
		z->start = start;
	if (!z->present || end > z->end)
		z->end = end;
	counter_set(&z->present, z->present + (end - start));
	for (pfn = start; pfn < end; pfn += HVO_SECTION_FRAMES) {
		counter_set(&z->managed, z->managed + HVO_SECTION_FRAMES);
		vmemmap_count(m, z, 0, (int64_t)hosting(m, pfn));
		__atomic_store_n(&section_of(m, pfn)->zone, z->id, __ATOMIC_RELAXED);
		set_state(section_of(m, pfn), HVO_SECTION_ONLINE);
	}
	for (pfn = start; pfn < end; pfn += HVO_SECTION_FRAMES)
		free_section(m, z, pfn);
	lock_release(m, &z->lock);
}

int hvo_memory_online(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end,
		      enum hvo_zone_type zone)
{
	int rc = range_check(m, start, end);

	if (rc)
		return rc;
	if (zone != HVO_ZONE_NORMAL && zone != HVO_ZONE_MOVABLE)
		return -HVO_EINVAL;
	lock_acquire(m, &m->memmap_lock);
	if (!all_are(m, start, end, HVO_SECTION_OFFLINE)) {
		rc = -HVO_EBUSY;
	} else {
		join_zone(m, &m->nodes[section_of(m, start)->node].zones[zone], start, end);
		zone_set_watermarks(m);
	}
	lock_release(m, &m->memmap_lock);
	return rc;
}

/* Is nothing left of an isolated section but the frames that host its descriptors? */
static bool section_is_empty(struct hvo_machine *m, hvo_pfn_t pfn)
{
	hvo_pfn_t start = pfn + set_aside(m, pfn), end = pfn + HVO_SECTION_FRAMES;
	struct in_way b;

	for (pfn = pb_start(start); pfn < end;)
		if (zone_next_in_way(m, &pfn, start, end, &b))
			return false;
	return true;
}

/* Take the range out of its zone, if all pageblocks can leave. */
static bool leave_zone(struct hvo_machine *m, struct zone *z, hvo_pfn_t start, hvo_pfn_t end)
{
	hvo_pfn_t pfn;

	lock_assert_held(m, &m->memmap_lock);
	lock_assert_held(m, &z->lock);
	HVO_ASSERT(m, z->present >= end - start, MANAGED_1, "more leaves than is there", start);
	for (pfn = start; pfn < end; pfn += HVO_SECTION_FRAMES)
		if (!section_is_empty(m, pfn))
			return false;
	for (pfn = start; pfn < end; pfn += HVO_PAGEBLOCK_FRAMES)
		zone_close_pageblock(m, z, pb_of(pfn));
	counter_set(&z->present, z->present - (end - start));
	for (pfn = start; pfn < end; pfn += HVO_SECTION_FRAMES) {
		vmemmap_count(m, z, 0, -(int64_t)hosting(m, pfn));
		counter_set(&z->managed, z->managed - HVO_SECTION_FRAMES);
		__atomic_store_n(&section_of(m, pfn)->zone, ZONE_NONE, __ATOMIC_RELAXED);
		set_state(section_of(m, pfn), HVO_SECTION_OFFLINE);
	}
	return true;
}

/* Empty the range, but for the frames that host the sections' descriptors. */
static int empty_range(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end)
{
	hvo_pfn_t pfn;
	int rc = 0;

	for (pfn = start; pfn < end && !rc; pfn += HVO_SECTION_FRAMES)
		rc = evacuate(m, pfn + set_aside(m, pfn), pfn + HVO_SECTION_FRAMES,
			      EVACUATE_OFFLINE, UINT64_MAX, NULL);
	return rc;
}

/* Is a frame in a zone CMA? Areas keep their memory for good, as in Linux. */
static bool is_cma(const struct hvo_machine *m, hvo_pfn_t pfn)
{
	uint8_t zone = section_zone(m, pfn);

	return zone != ZONE_NONE && zone % HVO_NR_ZONES == HVO_ZONE_CMA;
}

int hvo_memory_offline(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end)
{
	struct zone *z;
	int rc = range_check(m, start, end);

	if (rc)
		return rc;
	if (!isolate_range_valid(m, start, end))
		return -HVO_EINVAL;
	if (is_cma(m, start))
		return -HVO_EBUSY;
	rc = isolate_range(m, start, end);
	if (rc)
		return rc;
	/* Isolated, it stays online. */
	z = zone_of(m, start);
	rc = empty_range(m, start, end);
	lock_acquire(m, &m->memmap_lock);
	lock_acquire(m, &z->lock);
	if (!rc && !leave_zone(m, z, start, end))
		rc = -HVO_EBUSY;
	lock_release(m, &z->lock);
	if (!rc)
		zone_set_watermarks(m);
	lock_release(m, &m->memmap_lock);
	if (rc)
		unisolate_range(m, start, end);
	return rc;
}
