// SPDX-License-Identifier: MIT
/*
 * An allocation found nothing: what can be done about it, before it fails. The machine calls
 * reclaim() by a pointer, since all of this stands above the allocator.
 *
 *	compaction		for large blocks, a few times
 *	deferred work		unless the caller may be doing it
 *	shrinkers		as long as they find something
 *	the notifier		for what must not fail
 *
 * Locks: none held, but perhaps the caller's memmap lock: GFP_ISOLATING says so.
 * Linux: mm/page_alloc.c, __alloc_pages_slowpath(), should_reclaim_retry().
 */
#include "reclaim.h"

#include "alloc.h"
#include "compact.h"
#include "shrinker.h"
#include "work.h"

#define RECLAIM_ROUNDS 16
#define COMPACT_ROUNDS 4
#define COSTLY_ORDER 3

/*
 * Something moved so that a block of this order got free? Not for who holds the memmap lock,
 * which moving needs, nor for who looks for a place to move to: both say GFP_ISOLATING.
 */
static bool compact(struct hvo_machine *m, struct reclaim *r)
{
	if (r->order < HVO_BLOCK_ORDER ||
	    (r->gfp & (HVO_GFP_RECLAIM | GFP_ISOLATING)) != HVO_GFP_RECLAIM)
		return false;
	return r->compactions++ < COMPACT_ROUNDS && compact_direct(m, r->gfp, r->order, r->node);
}

bool reclaim(struct hvo_machine *m, struct reclaim *r)
{
	uint64_t freed;

	if (compact(m, r))
		return true;
	if (!(r->gfp & HVO_GFP_RECLAIM) || (r->gfp & HVO_GFP_NORETRY && r->rounds))
		return false;
	if (work_under_pressure(m))
		return true;
	freed = call_shrinkers(m, UINT64_C(1) << (r->order > 5 ? r->order : 5));
	r->rounds++;
	if (freed && (r->rounds < RECLAIM_ROUNDS || r->order <= COSTLY_ORDER))
		return true;
	if (r->gfp & (HVO_GFP_NORETRY | HVO_GFP_RETRY_MAYFAIL) || r->order > COSTLY_ORDER)
		return false;
	return call_oom_notifier(m, r->order) > 0;
}
