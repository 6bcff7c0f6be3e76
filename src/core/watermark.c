// SPDX-License-Identifier: MIT
/*
 * Watermarks: the frames of a zone that an ordinary allocation leaves free, by the size of the zone
 * or as a user set them.
 *
 * Locks: the memmap lock for setting; reading takes no lock.
 * Linux: mm/page_alloc.c, __setup_per_zone_wmarks(), calculate_min_free_kbytes(),
 * min_free_kbytes_sysctl_handler().
 */
#include "watermark.h"

#include "base.h"
#include "lock.h"

static uint64_t int_sqrt(uint64_t n)
{
	uint64_t root = 0, bit;

	for (bit = UINT64_C(1) << 31; bit; bit >>= 1)
		if ((root | bit) * (root | bit) <= n)
			root |= bit;
	return root;
}

#define MOVABLE_MIN (HVO_PAGEBLOCK_FRAMES / 16)
#define MOVABLE_MAX (HVO_PAGEBLOCK_FRAMES / 4)

/* Frames of all NORMAL zones: unmovable memory has no others. */
static uint64_t lowmem_frames(struct hvo_machine *m)
{
	uint64_t total = 0;
	uint32_t n, t;

	for (n = 0; n < m->cfg.nr_nodes; n++)
		for (t = 0; t < HVO_NR_ZONES; t++)
			if (t != HVO_ZONE_MOVABLE)
				total += counter_read(&m->nodes[n].zones[t].managed);
	return total;
}

/* Bytes kept back by default, as in Linux: 4 * sqrt(KiB) KiB, between 128 KiB and 256 MiB. */
static uint64_t default_min_free(uint64_t lowmem)
{
	uint64_t kib = 4 * int_sqrt(lowmem << (HVO_FRAME_SHIFT - 10));

	kib = kib < 128 ? 128 : kib > 262144 ? 262144 : kib;
	return kib << 10;
}

/* Frames that a movable zone keeps back: few, since the reserve is for unmovable memory. */
static uint64_t movable_min(uint64_t managed)
{
	uint64_t min = managed / 1024;

	return min < MOVABLE_MIN ? MOVABLE_MIN : min > MOVABLE_MAX ? MOVABLE_MAX : min;
}

void zone_set_watermarks(struct hvo_machine *m)
{
	uint64_t lowmem = lowmem_frames(m), reserve;
	uint32_t n, t;

	lock_assert_held(m, &m->memmap_lock);
	if (!m->min_free_set)
		counter_set(&m->min_free, default_min_free(lowmem));
	reserve = m->min_free >> HVO_FRAME_SHIFT;
	for (n = 0; n < m->cfg.nr_nodes; n++) {
		for (t = 0; t < HVO_NR_ZONES; t++) {
			struct zone *z = &m->nodes[n].zones[t];
			uint64_t managed = counter_read(&z->managed), step, share;

			share = lowmem ? reserve * managed / lowmem : 0;
			step = share / 4 > managed / 1000 ? share / 4 : managed / 1000;
			counter_set(&z->min, t == HVO_ZONE_MOVABLE ? movable_min(managed) : share);
			counter_set(&z->low, z->min + step);
			counter_set(&z->high, z->low + step);
		}
	}
}

uint64_t gfp_watermark(const struct zone *z, unsigned int gfp)
{
	if (gfp & HVO_GFP_MEMALLOC)
		return 0;
	return gfp & HVO_GFP_HIGH ? counter_read(&z->min) / 2 : counter_read(&z->min);
}

int hvo_set_min_free(struct hvo_machine *m, uint64_t bytes)
{
	if (machine_gone(m))
		return -HVO_ENODEV;
	if (bytes > HVO_MIN_FREE_MAX)
		return -HVO_EINVAL;
	lock_acquire(m, &m->memmap_lock);
	counter_set(&m->min_free, bytes);
	m->min_free_set = true;
	zone_set_watermarks(m);
	lock_release(m, &m->memmap_lock);
	return 0;
}

int64_t hvo_min_free(const struct hvo_machine *m)
{
	return machine_gone(m) ? -HVO_ENODEV : (int64_t)counter_read(&m->min_free);
}
