// SPDX-License-Identifier: MIT
/*
 * Pages that are lent, and that the machine moves: to take their memory offline, or for a
 * contiguous range. Nothing is in them, for the client has its own memory: so another page of the
 * pool takes the place of one, and no client notices.
 *
 * What the machine copies, and what is free afterwards, has to have its memory; what is lent has to
 * give it back. So the old place gets memory before anything else happens, and a page that cannot
 * get any stays; the new place loses it at the end. The sum is as before.
 *
 * The first two private words of a page say which loan it is of, and where in that: they go with it.
 *
 * States: see enum lent_state. Locks: @page_lock; the owner's functions run in any thread.
 */
#include "internal.h"

enum { WORD_LOAN, WORD_PAGE };

/* The page at @pfn, where the machine is about to move it, or NULL. Takes @page_lock in any case. */
static struct lent_page *lock_page(struct hvo_lend *lend, hvo_pfn_t pfn)
{
	uint64_t id = 0, i = 0;
	struct loan *loan;

	/* Who is asked has a reference. No loan is 0. */
	(void)hvo_page_private(lend->m, pfn, WORD_LOAN, &id);
	(void)hvo_page_private(lend->m, pfn, WORD_PAGE, &i);
	pthread_mutex_lock(&lend->page_lock);
	for (loan = lend->loans; loan; loan = loan->next)
		if (loan->id == id)
			return &loan->pages[i];
	return NULL;
}

/* It is at @pfn now, and can move again. */
static void page_arrived(struct hvo_lend *lend, struct lent_page *page, hvo_pfn_t pfn)
{
	page->pfn = pfn;
	page->state = LENT_MOVABLE;
	lend->moving--;
	pthread_cond_broadcast(&lend->moved);
	pthread_mutex_unlock(&lend->page_lock);
}

/* ---- the owner's functions -------------------------------------------------------------------- */

static void on_putback(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
		       unsigned int order)
{
	struct hvo_lend *lend = owner->arg;

	(void)m;
	(void)hvo_linux_discard(lend->host, pfn, UINT64_C(1) << order);
	page_arrived(lend, lock_page(lend, pfn), pfn);
}

static uint32_t on_isolate(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
			   unsigned int order)
{
	struct hvo_lend *lend = owner->arg;
	struct lent_page *page = lock_page(lend, pfn);
	bool moves = page && page->state == LENT_MOVABLE && !lend->fixed;

	if (moves) {
		page->state = LENT_MOVING;
		lend->moving++;
	}
	pthread_mutex_unlock(&lend->page_lock);
	if (!moves)
		return 0;
	if (!hvo_linux_populate(lend->host, pfn, UINT64_C(1) << order))
		return 1;
	on_putback(owner, m, pfn, order);
	return 0;
}

static int on_move(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t dst, hvo_pfn_t src,
		   unsigned int order)
{
	struct hvo_lend *lend = owner->arg;

	(void)m;
	(void)hvo_linux_discard(lend->host, dst, UINT64_C(1) << order);
	page_arrived(lend, lock_page(lend, src), dst);
	return 0;
}

/* ---- the server's side --------------------------------------------------------------------------- */

int lend_moves_begin(struct hvo_lend *lend)
{
	lend->owner = (struct hvo_owner){ .size = sizeof(lend->owner),
					  .isolate = on_isolate,
					  .move = on_move,
					  .putback = on_putback,
					  .arg = lend };
	return hvo_owner_register(lend->m, &lend->owner, &lend->owner_id);
}

void lend_moves_end(struct hvo_lend *lend)
{
	pthread_mutex_lock(&lend->page_lock);
	lend->fixed = true;
	while (lend->moving)
		pthread_cond_wait(&lend->moved, &lend->page_lock);
	pthread_mutex_unlock(&lend->page_lock);
}

void lend_page_lent(struct hvo_lend *lend, struct loan *loan, uint64_t i)
{
	hvo_pfn_t pfn = loan->pages[i].pfn;

	if (!(loan->flags & LEND_MOVABLE))
		return;
	/* Before it has an owner who can be asked. */
	pthread_mutex_lock(&lend->page_lock);
	loan->pages[i].state = LENT_MOVABLE;
	pthread_mutex_unlock(&lend->page_lock);
	/* Nobody else holds it, so nothing is refused; if it were, the page would only stay. */
	(void)hvo_page_set_private(lend->m, pfn, WORD_LOAN, loan->id);
	(void)hvo_page_set_private(lend->m, pfn, WORD_PAGE, i);
	(void)hvo_set_owner(lend->m, pfn, lend->owner_id);
}

bool lend_page_back(struct hvo_lend *lend, struct loan *loan, uint64_t i, hvo_pfn_t *ret)
{
	struct lent_page *page = &loan->pages[i];
	bool was_movable, moving;

	pthread_mutex_lock(&lend->page_lock);
	moving = page->state == LENT_MOVING;
	was_movable = page->state == LENT_MOVABLE;
	if (was_movable)
		page->state = LENT_FIXED;
	*ret = page->pfn;
	pthread_mutex_unlock(&lend->page_lock);
	if (was_movable)
		(void)hvo_set_owner(lend->m, *ret, 0);
	return !moving;
}
