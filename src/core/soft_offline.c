// SPDX-License-Identifier: MIT
/*
 * Frames that are about to fail: their content moves while it can still be read, and nothing is
 * allocated there again. Unlike a failure, soft offline is refused where it cannot be done.
 *
 *	descriptors	replace the frame as one that failed
 *	other frames	isolate the pageblock, evacuate the frame, claim it, free it
 *
 * States: the failure is recorded only when the frame is empty and claimed (TAKEN), so
 * a refusal leaves no trace. Freed as a frame that failed it stays out of use (badframe.c).
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

/* Move the descriptors in a frame to another one. -HVO_EINVAL: the frame holds no descriptors. */
static int replace_descriptors(struct hvo_machine *m, hvo_pfn_t pfn)
{
	int rc;

	lock_acquire(m, &m->memmap_lock);
	rc = vmemmap_replace_frame(m, pfn, GFP_MOVE);
	lock_release(m, &m->memmap_lock);
	return rc;
}

/* Empty and claim a frame of an isolated pageblock: state TAKEN. */
static int empty_and_take(struct hvo_machine *m, hvo_pfn_t pfn)
{
	int rc = evacuate(m, pfn, pfn + 1, EVACUATE_SOFT, UINT64_MAX, NULL);

	return rc ? rc : isolated_claim_frames(m, pfn, pfn + 1);
}

/* Record the failure of a claimed frame and free it, which takes the frame out of use. */
static void take_out(struct hvo_machine *m, hvo_pfn_t pfn)
{
	badframe_record_own(m, pfn);
	free_block(m, pfn, 0);
}

static int move_and_take_out(struct hvo_machine *m, hvo_pfn_t pfn)
{
	int rc = isolate_range(m, pb_start(pfn), pb_end(pfn));

	if (rc)
		return rc;
	rc = empty_and_take(m, pfn);
	if (!rc)
		take_out(m, pfn);
	unisolate_range(m, pb_start(pfn), pb_end(pfn));
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
