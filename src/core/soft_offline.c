// SPDX-License-Identifier: MIT
/*
 * Frames that are about to fail: what is in them moves while it still can be read, and nothing
 * gets there again. Unlike a failure, this is refused where it cannot be done.
 *
 *	descriptors	the frame is recorded, then they are replaced as those of a failed one
 *	anything else	isolate the block around	evacuate the frame	take it	record it
 *
 * States: recorded for good only when the frame is in nobody's hands but ours, so that a refusal
 * leaves no trace. Taken, it is USED with refcount 0; freed then, it is left out (poison.c).
 * Locks: none held while anything moves; the memmap lock for descriptors.
 * Linux: mm/memory-failure.c, soft_offline_page(), soft_offline_in_use_page(),
 * page_handle_poison(), update_per_node_mf_stats().
 */
#include "alloc.h"
#include "isolate.h"
#include "lock.h"
#include "migrate.h"
#include "move.h"
#include "page.h"
#include "poison.h"
#include "report.h"

/* ---- what failed, by node ------------------------------------------------------------------ */

void failure_count(struct hvo_machine *m, hvo_pfn_t pfn, int rc)
{
	struct node *n = node_of(m, pfn);

	counter_add(!rc		     ? &n->failures_recovered :
		    rc == -HVO_EBUSY ? &n->failures_delayed :
				       &n->failures_failed,
		    1);
}

int hvo_failure_stat(struct hvo_machine *m, int node, struct hvo_failure_stat *ret)
{
	const struct node *n;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (node < 0 || !node_valid(m, node) || !ret)
		return -HVO_EINVAL;
	n = &m->nodes[node];
	ret->recovered = counter_read(&n->failures_recovered);
	ret->delayed = counter_read(&n->failures_delayed);
	ret->failed = counter_read(&n->failures_failed);
	ret->total = ret->recovered + ret->delayed + ret->failed;
	return 0;
}

/* ---- descriptors ------------------------------------------------------------------------------ */

static bool holds_descriptors(struct hvo_machine *m, hvo_pfn_t pfn)
{
	unsigned int whole;
	struct zone *z;
	bool holds;

	z = zone_of(m, pfn);
	lock_acquire(m, &z->lock);
	whole = hvo_fold_byte(&m->mm, block_of(pfn)) & HVO_FOLD_ORDER;
	holds = hvo_page_state(page_ro(m, pfn & ~((UINT64_C(1) << whole) - 1))) == HVO_PAGE_MEMMAP;
	lock_release(m, &z->lock);
	return holds;
}

/* -HVO_EINVAL: there are none in it. */
static int replace_descriptors(struct hvo_machine *m, hvo_pfn_t pfn)
{
	int rc = -HVO_EINVAL;

	lock_acquire(m, &m->memmap_lock);
	if (frame_online(m, pfn) && holds_descriptors(m, pfn)) {
		rc = poison_record(m, pfn);
		if (!rc) {
			rc = vmemmap_replace_frame(m, pfn, GFP_MOVE, true);
			/* They may have left it by themselves meanwhile. */
			if (rc && poison_unrecord(m, pfn))
				rc = 0;
		}
	}
	lock_release(m, &m->memmap_lock);
	return rc < 0 ? rc : 0;
}

/* ---- anything else ---------------------------------------------------------------------------- */

/* State USED, refcount 0. Its block is isolated. */
static int empty_and_take(struct hvo_machine *m, hvo_pfn_t pfn)
{
	int rc = evacuate(m, pfn, pfn + 1, EVACUATE_DISSOLVE, UINT64_MAX, NULL);

	return rc ? rc : isolated_take_frames(m, pfn, pfn + 1);
}

static int take_out(struct hvo_machine *m, hvo_pfn_t pfn)
{
	int rc = poison_record(m, pfn);

	/* One that failed meanwhile is out of use, too. */
	if (rc >= 0)
		page_add_flags(page_rw(m, pfn), HVO_PF_POISONED);
	free_block(m, pfn, 0);
	return rc < 0 ? rc : 0;
}

static int move_and_take_out(struct hvo_machine *m, hvo_pfn_t pfn)
{
	hvo_pfn_t block = block_pfn(block_of(pfn));
	int rc = isolate_range(m, block, block + HVO_BLOCK_FRAMES);

	if (rc)
		return rc;
	rc = empty_and_take(m, pfn);
	if (!rc)
		rc = take_out(m, pfn);
	unisolate_range(m, block, block + HVO_BLOCK_FRAMES);
	return rc;
}

int hvo_soft_offline(struct hvo_machine *m, hvo_pfn_t pfn)
{
	int rc;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (!frame_online(m, pfn))
		return -HVO_EINVAL;
	if (poison_in(m, pfn, pfn + 1))
		return 0;
	rc = replace_descriptors(m, pfn);
	if (rc == -HVO_EINVAL)
		rc = move_and_take_out(m, pfn);
	return rc;
}
