// SPDX-License-Identifier: MIT
/*
 * Frames that are about to fail: what is in them moves while it still can be read, and nothing
 * gets there again. Unlike a failure, this is refused where it cannot be done.
 *
 *	descriptors	they are replaced as those of a frame that failed
 *	anything else	isolate the pageblock	evacuate the frame	take it	free it
 *
 * States: recorded only when nothing is left in the frame and it is in nobody's hands but ours, so
 * a refusal leaves no trace. Then it comes back as one that failed, and does not pass (badframe.c).
 * Locks: none held while anything moves; the memmap lock for descriptors.
 * Linux: mm/memory-failure.c, soft_offline_page(), soft_offline_in_use_page(),
 * page_handle_poison(), update_per_node_mf_stats().
 */
#include "badframe.h"
#include "base.h"
#include "evacuate.h"
#include "fold.h"
#include "isolate.h"
#include "lock.h"
#include "memmap_move.h"

/* -HVO_EINVAL: there are none in it. */
static int replace_descriptors(struct hvo_machine *m, hvo_pfn_t pfn)
{
	int rc;

	lock_acquire(m, &m->memmap_lock);
	rc = vmemmap_replace_frame(m, pfn, GFP_MOVE);
	lock_release(m, &m->memmap_lock);
	return rc;
}

/* State USED, refcount 0. Its block is isolated. */
static int empty_and_take(struct hvo_machine *m, hvo_pfn_t pfn)
{
	int rc = evacuate(m, pfn, pfn + 1, EVACUATE_SOFT, UINT64_MAX, NULL);

	return rc ? rc : isolated_take_frames(m, pfn, pfn + 1);
}

/* Freed as one that failed it does not come back. */
static void take_out(struct hvo_machine *m, hvo_pfn_t pfn)
{
	badframe_record_own(m, pfn);
	free_block(m, pfn, 0);
}

static int move_and_take_out(struct hvo_machine *m, hvo_pfn_t pfn)
{
	hvo_pfn_t block = block_pfn(block_of(pfn));
	int rc = isolate_range(m, block, block + HVO_BLOCK_FRAMES);

	if (rc)
		return rc;
	rc = empty_and_take(m, pfn);
	if (!rc)
		take_out(m, pfn);
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
	if (badframe_in_block(m, pfn, 0))
		return 0;
	rc = replace_descriptors(m, pfn);
	if (rc == -HVO_EINVAL)
		rc = move_and_take_out(m, pfn);
	return rc;
}
