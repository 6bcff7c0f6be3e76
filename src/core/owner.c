// SPDX-License-Identifier: MIT
/*
 * Owners, who can move the blocks that they hold, and the list of blocks that are being moved.
 *
 * States of a number: free; registered; leaving, while calls still run. A block has the
 * number in its head's descriptor, from hvo_set_owner() to the last reference.
 *
 * Locks: the owner lock for the table, innermost, not held while a function is called. The
 * number of a block in use is written under the lock of its zone: that keeps its
 * descriptor where it is (memmap_move.c).
 * Linux: include/linux/migrate.h, set_movable_ops(), struct movable_operations; for mapped
 * memory, rmap does what an owner does here.
 */
#include "owner.h"

#include "base.h"
#include "lock.h"
#include "page.h"
#include "ref.h"
#include "sized.h"

#define WAIT_NS 1000

int hvo_owner_register(struct hvo_machine *m, struct hvo_owner *owner, uint32_t *ret_id)
{
	uint32_t i;
	int rc;

	if (machine_gone(m))
		return -HVO_ENODEV;
	rc = sized_whole(owner, sizeof(*owner));
	if (rc)
		return rc;
	if (!owner->isolate || !owner->move || !owner->putback || !ret_id)
		return -HVO_EINVAL;
	rc = -HVO_ENOSPC;
	lock_acquire(m, &m->owner_lock);
	for (i = 0; i < HVO_MAX_OWNERS && rc; i++) {
		if (m->owners[i].owner)
			continue;
		m->owners[i].owner = owner;
		*ret_id = i + 1;
		rc = 0;
	}
	lock_release(m, &m->owner_lock);
	return rc;
}

static struct owner_slot *registered(struct hvo_machine *m, uint32_t id)
{
	struct owner_slot *slot;

	lock_assert_held(m, &m->owner_lock);
	if (!id || id > HVO_MAX_OWNERS)
		return NULL;
	slot = &m->owners[id - 1];
	return slot->owner && !slot->leaving ? slot : NULL;
}

int hvo_owner_unregister(struct hvo_machine *m, uint32_t id)
{
	struct owner_slot *slot;

	if (machine_gone(m))
		return -HVO_ENODEV;
	lock_acquire(m, &m->owner_lock);
	slot = registered(m, id);
	if (!slot) {
		lock_release(m, &m->owner_lock);
		return -HVO_EINVAL;
	}
	slot->leaving = true;
	while (slot->calls) {
		lock_release(m, &m->owner_lock);
		m->ops->sleep_ns(m->ctx, WAIT_NS);
		lock_acquire(m, &m->owner_lock);
	}
	*slot = (struct owner_slot){ 0 };
	lock_release(m, &m->owner_lock);
	return 0;
}

struct hvo_owner *owner_get(struct hvo_machine *m, uint32_t id)
{
	struct hvo_owner *owner = NULL;
	struct owner_slot *slot;

	lock_acquire(m, &m->owner_lock);
	slot = registered(m, id);
	if (slot) {
		slot->calls++;
		owner = slot->owner;
	}
	lock_release(m, &m->owner_lock);
	return owner;
}

void owner_put(struct hvo_machine *m, uint32_t id)
{
	lock_acquire(m, &m->owner_lock);
	HVO_ASSERT(m, m->owners[id - 1].calls, OWNER_1, "no call runs", HVO_PFN_NONE);
	m->owners[id - 1].calls--;
	lock_release(m, &m->owner_lock);
}

void owner_set(struct hvo_machine *m, hvo_pfn_t head, uint32_t id)
{
	struct zone *z = zone_of(m, head);

	lock_acquire(m, &z->lock);
	page_set_owner(page_rw(m, head), id);
	lock_release(m, &z->lock);
}

static bool is_registered(struct hvo_machine *m, uint32_t id)
{
	bool is;

	lock_acquire(m, &m->owner_lock);
	is = registered(m, id);
	lock_release(m, &m->owner_lock);
	return is;
}

/* Does a block in use that is not of a CMA area begin at @pfn? Inside a reader's section. */
static bool can_have_owner(struct hvo_machine *m, hvo_pfn_t pfn)
{
	enum hvo_page_state state;

	if (!heads_held(m, pfn))
		return false;
	state = hvo_page_state(page_ro(m, pfn));
	return state == HVO_PAGE_HUGETLB_USED ||
	       (state == HVO_PAGE_USED && !(page_flags(page_ro(m, pfn)) & HVO_PF_CMA));
}

int hvo_set_owner(struct hvo_machine *m, hvo_pfn_t pfn, uint32_t id)
{
	struct zone *z;
	int rc;

	if (machine_gone(m))
		return -HVO_ENODEV;
	if (id && !is_registered(m, id))
		return -HVO_EINVAL;
	z = zone_lock_of(m, pfn);
	if (!z)
		return -HVO_EINVAL;
	m->ops->read_lock(m->ctx);
	rc = can_have_owner(m, pfn) ? 0 : -HVO_EINVAL;
	if (!rc)
		page_set_owner(page_rw(m, pfn), id);
	m->ops->read_unlock(m->ctx);
	lock_release(m, &z->lock);
	return rc;
}

bool migrating_begin(struct hvo_machine *m, hvo_pfn_t head)
{
	hvo_pfn_t *room = NULL;
	uint32_t i;

	lock_acquire(m, &m->owner_lock);
	for (i = 0; i < NR_MIGRATING; i++) {
		if (m->migrating[i] == head + 1)
			break;
		if (!m->migrating[i])
			room = &m->migrating[i];
	}
	if (i < NR_MIGRATING)
		room = NULL;
	if (room)
		*room = head + 1;
	lock_release(m, &m->owner_lock);
	return room;
}

void migrating_end(struct hvo_machine *m, hvo_pfn_t head)
{
	uint32_t i;

	lock_acquire(m, &m->owner_lock);
	for (i = 0; i < NR_MIGRATING; i++)
		if (m->migrating[i] == head + 1)
			m->migrating[i] = 0;
	lock_release(m, &m->owner_lock);
}

void tell_owner(struct hvo_machine *m, hvo_pfn_t frame, hvo_pfn_t head)
{
	struct hvo_owner *owner;
	unsigned int order;
	uint32_t id;

	m->ops->read_lock(m->ctx);
	id = page_owner(page_ro(m, head));
	order = page_order(page_ro(m, head));
	m->ops->read_unlock(m->ctx);
	owner = owner_get(m, id);
	if (!owner)
		return;
	if (owner->failed)
		owner->failed(owner, m, frame, head, order);
	owner_put(m, id);
}
