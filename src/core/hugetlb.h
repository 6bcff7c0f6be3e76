/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_HUGETLB_H
#define HVO_CORE_HUGETLB_H

#include "machine.h"
#include "page.h"

/* ---- hugetlb.c: lists and counters; the pool's lock held ------------------------- */

/* A page, state USED, joins the pool's counters; @surplus more of it are surplus. */
void hugetlb_account(struct hvo_pool *pool, hvo_pfn_t pfn, uint64_t surplus);
/* It goes on the free list; it is accounted already. */
void hugetlb_enqueue(struct hvo_pool *pool, hvo_pfn_t pfn);
/* A free page leaves pool and list, with @surplus less: state USED. */
void hugetlb_remove(struct hvo_pool *pool, hvo_pfn_t pfn, uint64_t surplus);
/* The newest one of a node that has one, onto a list. */
void hugetlb_remove_to(struct hvo_pool *pool, struct pool_node *n, uint64_t surplus,
		       struct page_list *list);
/* The same for a page in use that nobody holds any more. */
void hugetlb_remove_used(struct hvo_pool *pool, hvo_pfn_t pfn, uint64_t surplus);

/*
 * Migration. Where a page in use is to go: state HUGETLB_USED, populated, no reference; a
 * free one that nobody reserved, else a new one (*ret_fresh), which makes the pool one larger
 * until the migration ends. @where: 0, HVO_GFP_THISNODE or GFP_OTHER_NODES. Memmap lock held.
 */
HVO_MUST_CHECK int hugetlb_take_target(struct hvo_pool *pool, unsigned int where, int node,
				       hvo_pfn_t *ret, bool *ret_fresh);
/* It is not needed, and as before: nobody holds it. Memmap lock held. */
void hugetlb_put_target(struct hvo_pool *pool, hvo_pfn_t pfn, bool fresh);
/* Nor this one, which others still hold: it leaves when they let go of it. */
void hugetlb_leave_target(struct hvo_pool *pool, hvo_pfn_t pfn, bool fresh);
/* All that was at @src, which nobody holds any more, is at @dst. */
void hugetlb_migrated(struct hvo_pool *pool, hvo_pfn_t dst, hvo_pfn_t src, bool fresh);
/*
 * Another page takes the place of a free one, as alloc_and_dissolve_hugetlb_folio(); drops the
 * pool's lock. @where: as above. -HVO_EBUSY: it is not free any more, or its memory is not;
 * -HVO_ENOMEM: there is no other page. Memmap lock held.
 */
HVO_MUST_CHECK int hugetlb_replace_locked(struct hvo_pool *pool, unsigned int where, hvo_pfn_t pfn);

/*
 * A free page, on the list, that something is done with: free for all who count, but state USED
 * and on no list, so that nobody gets it. And the way back. Memmap lock held too.
 */
void hugetlb_hide(struct hvo_pool *pool, hvo_pfn_t pfn);
void hugetlb_unhide(struct hvo_pool *pool, hvo_pfn_t pfn);

/* The last reference on a huge page is gone. Takes the pool's lock itself. */
void hugetlb_release(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

/*
 * The pool whose huge page covers a frame, with its lock held and *pfn the page's head;
 * *ret_used says whether somebody has it. NULL without a lock: no huge page there. Under
 * the memmap lock.
 */
struct hvo_pool *hugetlb_lock_pool_of(struct hvo_machine *m, hvo_pfn_t *pfn, bool *ret_used);
/*
 * Dissolve the free page that was found so; drops the pool's lock. @quietly: without the policy,
 * and nobody is told if its descriptors cannot be restored.
 */
HVO_MUST_CHECK int hugetlb_dissolve_locked(struct hvo_pool *pool, hvo_pfn_t pfn, bool quietly);
/* A frame of a page that the pool has failed: nobody gets the page. Pool lock held. */
void hugetlb_mark_bad(struct hvo_pool *pool, hvo_pfn_t pfn);
/* Free pages that can be handed out, so many can be promised. Pool lock held. */
uint64_t hugetlb_sound_free(const struct hvo_pool *pool);
/* Free pages that may leave, whichever of them they are: what is promised stays. Pool lock held. */
uint64_t hugetlb_spare(const struct hvo_pool *pool);

/* What every call on a pool refuses: no pool, or none any more, a machine that is gone, no such node. */
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

struct pool_node *hugetlb_node(struct hvo_pool *pool, hvo_pfn_t pfn);

/* Sum of a field of struct pool_node over all nodes. */
uint64_t hugetlb_sum(const struct hvo_pool *pool, size_t offset);
#define POOL_SUM(pool, field) hugetlb_sum(pool, offsetof(struct pool_node, field))

/* ---- release.c: leaving a pool; the memmap lock held -------------------------------- */

void page_list_add(struct hvo_machine *m, struct page_list *list, hvo_pfn_t pfn);
/* HVO_PFN_NONE if it is empty. */
hvo_pfn_t page_list_pop(struct hvo_machine *m, struct page_list *list);
/* The first ones of a list, up to @max, which stay on it; returns how many. */
unsigned int page_list_peek(struct hvo_machine *m, const struct page_list *list, hvo_pfn_t *pfns,
			    unsigned int max);

/* Restore and free pages that left, in the order of the list; those that cannot be are surplus. */
void hugetlb_release_list(struct hvo_pool *pool, struct page_list *list,
			  struct hvo_resize_result *res);
/* Free one page, by the pool's policy; false: as before, *ret_missing frames were missing. */
bool hugetlb_restore_one(struct hvo_pool *pool, hvo_pfn_t pfn, struct hvo_resize_result *res,
			 uint64_t *ret_missing);
/* A page that left could not be restored: back, with @surplus, counted and reported. */
void hugetlb_refuse(struct hvo_pool *pool, hvo_pfn_t pfn, uint64_t missing, uint64_t surplus);
/* One page with what memory there is, and no policy; it is free then. False: as before. */
bool hugetlb_restore_quietly(struct hvo_pool *pool, hvo_pfn_t pfn);
/* A page that is present goes back to the buddy allocator. */
void hugetlb_free_page(struct hvo_pool *pool, hvo_pfn_t pfn);
/* Finish frees that were deferred, up to @max; returns how many pages were tried. */
uint64_t hugetlb_flush(struct hvo_pool *pool, uint64_t max);
/* Of all pools, as everything does that changes one. */
void hugetlb_flush_all(struct hvo_machine *m);

/* ---- resize.c: nodes in turn, joining a pool; the memmap lock held ----------------------- */

uint64_t all_nodes(const struct hvo_machine *m);
unsigned int nr_of_nodes(uint64_t nodes);
/* The next node in turn of those in @nodes that @fits; NULL after one round. */
struct pool_node *hugetlb_next_node(struct hvo_pool *pool, uint32_t *turn, uint64_t nodes,
				    bool (*fits)(const struct pool_node *n));
bool hugetlb_has_free_surplus(const struct pool_node *n);
/* A new page for the pool, from this node: state USED, not folded, in no counter. */
HVO_MUST_CHECK int hugetlb_alloc_fresh(struct hvo_pool *pool, unsigned int gfp, int node,
				       hvo_pfn_t *ret);
/* The first @nr of pool->batch are folded, if that is on, and in another order afterwards. */
void hugetlb_fold_batch(struct hvo_pool *pool, unsigned int nr);
/* They join the pool, free, the last one first: so the first one is handed out first, as in Linux. */
void hugetlb_add_batch(struct hvo_pool *pool, unsigned int nr);

/* ---- scope.c: which pages are folded; the memmap lock held ---------------------------------- */

/* May a page be folded where it is? */
bool hugetlb_in_scope(struct hvo_pool *pool, hvo_pfn_t pfn);
/*
 * Are its pages like memory that cannot be moved, just now? And does a whole block stay for that
 * reason, by its head? No lock is needed for either.
 */
bool hugetlb_stays(const struct hvo_pool *pool);
bool hugetlb_page_stays(struct hvo_machine *m, const struct hvo_page *page, unsigned int order);
/*
 * The page in use at @src, which the caller holds, is about to move to @dst, which
 * hugetlb_take_target() gave: bring in line with the scope what has to be. *ret_restored: @src
 * was folded before, and is to be again if it does not move. -HVO_ENOMEM: nothing changed.
 */
HVO_MUST_CHECK int hugetlb_scope_move(struct hvo_pool *pool, hvo_pfn_t dst, hvo_pfn_t src,
				      bool fresh, bool *ret_restored);
/* The same for a free page that a new one takes the place of. */
HVO_MUST_CHECK int hugetlb_scope_replace(struct hvo_pool *pool, hvo_pfn_t fresh, hvo_pfn_t pfn);
/* A page that nobody can take out of the pool meanwhile. It may stay present. */
void hugetlb_fold_in_place(struct hvo_pool *pool, hvo_pfn_t pfn);
/* One more move that the scope did not let happen. */
void hugetlb_move_refused(struct hvo_pool *pool);

/* ---- resv.c ------------------------------------------------------------------------------------- */

/* A new surplus page, in nobody's hands: state USED, accounted. -HVO_ENOMEM: not allowed, or none. */
HVO_MUST_CHECK int hugetlb_alloc_surplus(struct hvo_pool *pool, unsigned int gfp, int node,
					 hvo_pfn_t *ret);

bool policy_valid(const struct hvo_policy *policy);

#endif
