// SPDX-License-Identifier: MIT
/*
 * Which frames failed: a bit for each frame, set once and for as long as the memory is there, and
 * a count for each section, so that looking at what is sound costs next to nothing.
 *
 * The bit is all that is recorded. Where the frame is follows from its state (zone_whole.c):
 *	out of use	its descriptor says POISONED. In a whole block of descriptors it has none:
 *			there it backs nothing any more
 *	set aside	the whole pageblock around it is POISONED, until it can be cut
 *	still in use	anything else; the frame goes when it comes back
 *
 * Locks: the lock of the frame's zone sets a bit. Who reads one without that lock reads a guess,
 * unless the frames are the reader's own: then a failure that is recorded behind the reader's back
 * finds them in use, and they are looked at again when they come back.
 * Linux: the page flag HWPoison, mm/memory-failure.c.
 */
#include "badframe.h"

#include "base.h"
#include "lock.h"

#define WORD 64u
#define SECTION_MASK (HVO_SECTION_FRAMES - 1)

bool badframe_record(struct hvo_machine *m, hvo_pfn_t pfn)
{
	uint64_t bit = UINT64_C(1) << (pfn % WORD);

	lock_assert_held(m, &zone_of(m, pfn)->lock);
	if (__atomic_fetch_or(&m->bad[pfn / WORD], bit, __ATOMIC_RELAXED) & bit)
		return false;
	__atomic_fetch_add(&section_of(m, pfn)->nr_bad, 1, __ATOMIC_RELAXED);
	counter_add(&m->nr_bad, 1);
	return true;
}

void badframe_record_own(struct hvo_machine *m, hvo_pfn_t pfn)
{
	struct zone *z = zone_of(m, pfn);

	lock_acquire(m, &z->lock);
	(void)badframe_record(m, pfn);
	lock_release(m, &z->lock);
}

void badframe_forget(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end)
{
	hvo_pfn_t pfn;

	lock_assert_held(m, &m->memmap_lock);
	for (; start < end; start += HVO_SECTION_FRAMES) {
		struct section *s = section_of(m, start);

		if (!s->nr_bad)
			continue;
		for (pfn = start; pfn < start + HVO_SECTION_FRAMES; pfn += WORD)
			__atomic_store_n(&m->bad[pfn / WORD], 0, __ATOMIC_RELAXED);
		HVO_ASSERT(m, counter_read(&m->nr_bad) >= s->nr_bad, POISON_2,
			   "more forgotten than failed", start);
		counter_sub(&m->nr_bad, s->nr_bad);
		__atomic_store_n(&s->nr_bad, 0, __ATOMIC_RELAXED);
	}
}

hvo_pfn_t badframe_next(const struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end)
{
	while (pfn < end) {
		const struct section *s = section_of(m, pfn);
		uint64_t word;

		if (!__atomic_load_n(&s->nr_bad, __ATOMIC_RELAXED)) {
			pfn = (pfn | SECTION_MASK) + 1;
			continue;
		}
		word = __atomic_load_n(&m->bad[pfn / WORD], __ATOMIC_RELAXED) >> (pfn % WORD);
		if (word) {
			pfn += (hvo_pfn_t)__builtin_ctzll(word);
			return pfn < end ? pfn : HVO_PFN_NONE;
		}
		pfn = (pfn | (WORD - 1)) + 1;
	}
	return HVO_PFN_NONE;
}

uint64_t badframe_sound(const struct hvo_machine *m, hvo_pfn_t pfn, hvo_pfn_t end)
{
	hvo_pfn_t bad = counter_read(&m->nr_bad) ? badframe_next(m, pfn, end) : end;

	return min_u64(bad, end) - pfn;
}

unsigned int badframe_sound_group(const struct hvo_machine *m, pb_t pb, hvo_pfn_t start,
				  hvo_pfn_t end)
{
	unsigned int at = pb_tails_at(m, pb), i;

	for (i = 0; i < HVO_PAGEBLOCK_FRAMES; i += HVO_PAGEBLOCK_MEMMAP) {
		hvo_pfn_t pfn = pb_pfn(pb) + at;

		if ((pfn + HVO_PAGEBLOCK_MEMMAP <= start || pfn >= end) &&
		    !badframe_in(m, pfn, pfn + HVO_PAGEBLOCK_MEMMAP))
			return at;
		at = (at + HVO_PAGEBLOCK_MEMMAP) % HVO_PAGEBLOCK_FRAMES;
	}
	return HVO_PAGEBLOCK_FRAMES;
}

int64_t hvo_poisoned(struct hvo_machine *m, hvo_pfn_t *pfns, uint64_t max)
{
	hvo_pfn_t pfn = 0;
	uint64_t nr = 0;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (!pfns || !counter_read(&m->nr_bad))
		return (int64_t)counter_read(&m->nr_bad);
	while ((pfn = badframe_next(m, pfn, m->mm.nr_frames)) != HVO_PFN_NONE) {
		if (nr < max)
			pfns[nr] = pfn;
		nr++;
		pfn++;
	}
	return (int64_t)nr;
}
