// SPDX-License-Identifier: MIT
/*
 * Deferred work in bounded steps: deferred frees, healing, collapse, failed frames. Done by a
 * thread in the background, by an allocation that finds no memory, or by any caller of hvo_work().
 *
 * Locks: takes the memmap lock for each kind of work, not for all of it.
 * Linux: workqueues: free_hpage_work of mm/hugetlb.c, kcompactd of mm/compaction.c.
 */
#include "work.h"

#include "base.h"
#include "carve.h"
#include "failure.h"
#include "fold.h"
#include "lock.h"
#include "pool_leave.h"

/*
 * Finish deferred frees, then heal carved pageblocks of pools whose policy asks.
 */
static uint64_t memmap_work(struct hvo_machine *m, uint64_t max)
{
	uint64_t done = 0;
	unsigned int i;
	bool heal = false;

	lock_assert_held(m, &m->memmap_lock);
	for (i = 0; i < HVO_MAX_POOLS; i++) {
		if (!m->pools[i].order)
			continue;
		done += hugetlb_flush(&m->pools[i], max - done);
		heal = heal || m->pools[i].policy.flags & HVO_POLICY_HEAL;
	}
	if (heal && counter_read(&m->carved_blocks))
		done += vmemmap_heal(m, max - done);
	if (counter_read(&m->nr_bad))
		done += cut_all_aside(m, 0, m->mm.nr_frames, max - done);
	return done;
}

/* Collapse pageblocks beyond those that stay cut for the next small allocations. */
static uint64_t collapse_work(struct hvo_machine *m, uint64_t max)
{
	uint64_t done = 0, waiting;
	uint32_t n, t;

	for (n = 0; n < m->cfg.nr_nodes; n++) {
		for (t = 0; t < HVO_NR_ZONES && done < max; t++) {
			struct zone *z = &m->nodes[n].zones[t];

			waiting = counter_read(&z->nr_collapsible);
			if (waiting <= COLLAPSE_KEEP)
				continue;
			waiting -= COLLAPSE_KEEP;
			done += vmemmap_collapse(m, z, waiting < max - done ? waiting : max - done);
		}
	}
	return done;
}

int64_t hvo_work(struct hvo_machine *m, uint64_t max, bool *ret_more)
{
	uint64_t done;

	if (machine_gone(m))
		return -HVO_ENODEV;
	max = min_u64(max, INT64_MAX);
	lock_acquire(m, &m->memmap_lock);
	done = memmap_work(m, max);
	lock_release(m, &m->memmap_lock);
	/* Bringing frames back may need memory, so work_under_pressure() does not. */
	done += poison_work(m, max - done);
	done += collapse_work(m, max - done);
	if (ret_more)
		*ret_more = done >= max;
	return (int64_t)done;
}

bool work_under_pressure(struct hvo_machine *m)
{
	uint64_t done;

	if (!lock_try(&m->memmap_lock))
		return false;
	done = memmap_work(m, UINT64_MAX);
	lock_release(m, &m->memmap_lock);
	return done;
}
