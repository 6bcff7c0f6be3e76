// SPDX-License-Identifier: MIT
/*
 * An owner of blocks that move: see holder.h.
 *
 * States: a slot is empty, held, isolated or leaving. Locks: one for each holder, under which his
 * functions run; the machine is never called with it.
 */
#include "holder.h"

#include <stdlib.h>

static void must_locked(struct holder *h, bool ok, const char *what)
{
	if (!ok && !h->wrong++)
		h->what = what;
}

void holder_must(struct holder *h, bool ok, const char *what)
{
	if (ok)
		return;
	pthread_mutex_lock(&h->lock);
	must_locked(h, false, what);
	pthread_mutex_unlock(&h->lock);
}

/* ---- contents ---------------------------------------------------------------------------- */

/* Frames at a time, and from one time to the next. */
static uint64_t step_of(const struct holder *h, uint64_t nr, uint64_t *ret_length)
{
	uint64_t step = nr > HVO_PAGEBLOCK_FRAMES ? 61 : nr;

	if (h->coarse)
		step = nr > 16 ? nr / 16 : 1;
	*ret_length = step == nr ? nr : 1;
	return step;
}

static uint64_t tag_of(const struct holder *h, const struct held *b)
{
	return ((uint64_t)(b - h->held) + 1) << 8 | h->id;
}

static void fill(struct holder *h, const struct held *b)
{
	uint64_t nr = UINT64_C(1) << b->order, i, length, step = step_of(h, nr, &length);

	for (i = 0; i < nr; i += step)
		rig_fill(h->r, b->pfn + i, length, tag_of(h, b));
}

static bool intact(const struct holder *h, const struct held *b)
{
	uint64_t nr = UINT64_C(1) << b->order, i, length, step = step_of(h, nr, &length);

	for (i = 0; b->how & HOLD_FILLED && i < nr; i += step)
		if (!rig_moved_intact(h->r, b->pfn + i, length, tag_of(h, b), b->was + i))
			return false;
	return true;
}

/* ---- the owner's functions ----------------------------------------------------------------- */

static struct held *find(struct holder *h, hvo_pfn_t pfn)
{
	return h->at[pfn] ? &h->held[h->at[pfn] - 1] : NULL;
}

static uint32_t on_isolate(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
			   unsigned int order)
{
	struct holder *h = owner->arg;
	uint32_t refs = 0;
	struct held *b;

	(void)m;
	pthread_mutex_lock(&h->lock);
	b = find(h, pfn);
	h->isolates++;
	h->strays += !b;
	if (b)
		must_locked(h, !b->isolated && b->order == order, "isolated once, as it is");
	if (b && pfn != h->stays) {
		b->isolated = true;
		refs = 1;
	}
	pthread_mutex_unlock(&h->lock);
	return refs;
}

static int on_move(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t dst, hvo_pfn_t src,
		   unsigned int order)
{
	struct holder *h = owner->arg;
	struct held *b;

	(void)m;
	pthread_mutex_lock(&h->lock);
	b = find(h, src);
	must_locked(h, b && b->isolated && b->order == order && !find(h, dst),
		    "moved from and to the right place");
	if (b) {
		h->at[dst] = h->at[src];
		h->at[src] = 0;
		b->pfn = dst;
		b->isolated = false;
		h->moves++;
		h->moved_frames += UINT64_C(1) << order;
		must_locked(h, intact(h, b), "contents after a move");
	}
	pthread_mutex_unlock(&h->lock);
	return b ? 0 : -HVO_EBUSY;
}

static void on_putback(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
		       unsigned int order)
{
	struct holder *h = owner->arg;
	struct held *b;

	(void)m;
	pthread_mutex_lock(&h->lock);
	b = find(h, pfn);
	must_locked(h, b && b->isolated && b->order == order, "put back what was isolated");
	if (b)
		b->isolated = false;
	pthread_mutex_unlock(&h->lock);
}

/* ---- taking and letting go ------------------------------------------------------------------ */

void holder_open(struct holder *h, struct rig *r, uint64_t slots)
{
	uint64_t nr_frames = hvo_machine_memmap(r->m)->nr_frames, i;

	*h = (struct holder){
		.owner = { sizeof(h->owner), on_isolate, on_move, on_putback, NULL, h },
		.r = r,
		.stays = HVO_PFN_NONE,
		.nr = slots,
		.max = slots ? slots : nr_frames,
	};
	h->held = calloc(h->max, sizeof(*h->held));
	h->at = calloc(nr_frames, sizeof(*h->at));
	assert_true(h->held && h->at);
	for (i = 0; i < slots; i++)
		h->held[i].pfn = HVO_PFN_NONE;
	assert_int_equal(pthread_mutex_init(&h->lock, NULL), 0);
	assert_int_equal(hvo_owner_register(r->m, &h->owner, &h->id), 0);
}

void holder_hold_at(struct holder *h, uint64_t slot, hvo_pfn_t pfn, unsigned int order,
		    unsigned int how)
{
	struct held b = { .pfn = pfn, .was = pfn, .order = order, .how = how, .used = true };
	bool known;

	pthread_mutex_lock(&h->lock);
	known = h->at[pfn];
	h->held[slot] = b;
	if (how & HOLD_FILLED)
		fill(h, &h->held[slot]);
	h->at[pfn] = (uint32_t)slot + 1;
	must_locked(h, !known, "a block that nobody has");
	pthread_mutex_unlock(&h->lock);
	if (!(how & HOLD_FIXED))
		holder_must(h, !hvo_set_owner(h->r->m, pfn, h->id), "owner of a block");
}

uint64_t holder_hold(struct holder *h, hvo_pfn_t pfn, unsigned int order, unsigned int how)
{
	assert_true(h->nr < h->max);
	holder_hold_at(h, h->nr, pfn, order, how);
	return h->nr++;
}

uint64_t holder_empty_slot(const struct holder *h)
{
	uint64_t i;

	/* No other thread takes a block or lets it go. */
	for (i = 0; i < h->nr && h->held[i].used; i++)
		;
	return i;
}

hvo_pfn_t holder_pfn(struct holder *h, uint64_t slot)
{
	hvo_pfn_t pfn;

	pthread_mutex_lock(&h->lock);
	pfn = h->held[slot].isolated ? HVO_PFN_NONE : h->held[slot].pfn;
	pthread_mutex_unlock(&h->lock);
	return pfn;
}

bool holder_keep(struct holder *h, uint64_t slot)
{
	struct held *b = &h->held[slot];

	pthread_mutex_lock(&h->lock);
	b->leaving = !b->isolated;
	/* It may be free soon, and the frame somebody else's. */
	if (b->leaving)
		h->at[b->pfn] = 0;
	pthread_mutex_unlock(&h->lock);
	return b->leaving;
}

void holder_let_go(struct holder *h, uint64_t slot)
{
	struct held *b = &h->held[slot];

	holder_must(h, b->leaving || holder_keep(h, slot), "let go while it moves");
	holder_must(h, intact(h, b), "contents of a block");
	holder_must(h, !hvo_put_page(h->r->m, b->pfn), "put of a block");
	pthread_mutex_lock(&h->lock);
	b->pfn = HVO_PFN_NONE;
	b->leaving = false;
	b->used = false;
	pthread_mutex_unlock(&h->lock);
}

/* ---- checks --------------------------------------------------------------------------------- */

void holder_check_calls(struct holder *h)
{
	if (h->wrong)
		fail_msg("%llu times wrong, the first: %s", (unsigned long long)h->wrong, h->what);
}

uint64_t holder_check(struct holder *h)
{
	uint64_t nr = 0, i;

	holder_check_calls(h);
	assert_int_equal(h->strays, 0);
	for (i = 0; i < h->nr; i++) {
		const struct held *b = &h->held[i];
		const struct hvo_page *page;

		if (b->pfn == HVO_PFN_NONE)
			continue;
		nr++;
		page = rig_page(h->r, b->pfn);
		assert_false(b->isolated);
		assert_int_equal(page->order, b->order);
		assert_int_equal(page->refcount, 1);
		assert_int_equal(page->owner, b->how & HOLD_FIXED ? 0 : h->id);
		assert_true(intact(h, b));
	}
	return nr;
}

void holder_leave(struct holder *h)
{
	assert_int_equal(hvo_owner_unregister(h->r->m, h->id), 0);
	pthread_mutex_destroy(&h->lock);
	free(h->held);
	free(h->at);
}

void holder_close(struct holder *h)
{
	uint64_t i;

	holder_check(h);
	for (i = 0; i < h->nr; i++)
		if (h->held[i].pfn != HVO_PFN_NONE)
			holder_let_go(h, i);
	holder_check_calls(h);
	holder_leave(h);
}
