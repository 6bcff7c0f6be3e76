/* SPDX-License-Identifier: MIT */
/*
 * A holder: an owner who knows each block that he has, lets it move, and finds it where it went.
 *
 * What it promises: after a move the block is known at the new place only, with the contents that
 * it was filled with; a call of the machine that names a wrong block is counted, and makes
 * holder_check() fail. His functions run in any thread. A block is taken and let go by one thread,
 * the holder's own, which holds no lock while it calls the machine.
 *
 * In Linux: mm/balloon_compaction.c.
 */
#ifndef HVO_TESTS_HOLDER_H
#define HVO_TESTS_HOLDER_H

#include "harness.h"

#include <pthread.h>

/* How a block is held. */
#define HOLD_FILLED 1u /* with contents, which are looked at whenever it moves or goes */
#define HOLD_FIXED 2u  /* without an owner: it cannot be moved */

struct held {
	hvo_pfn_t pfn; /* HVO_PFN_NONE: an empty slot */
	hvo_pfn_t was; /* where it was taken; stays when it is let go */
	unsigned int order, how;
	bool used;     /* for the holder's own thread, which needs no lock for it */
	bool isolated; /* being moved: hands off */
	bool leaving;  /* being freed: it is not moved any more */
};

struct holder {
	struct hvo_owner owner;
	struct rig *r;
	uint32_t id;
	/* Fill no more than about 16 frames of a block: where threads have to be quick. */
	bool coarse;
	/* Refuse to let this block move; HVO_PFN_NONE: none. */
	hvo_pfn_t stays;

	pthread_mutex_t lock; /* all below */
	struct held *held;
	uint64_t nr, max;
	uint32_t *at; /* the slot of the block that begins at a frame, + 1 */
	uint64_t isolates, moves, moved_frames;
	uint64_t strays; /* asked to isolate what he does not have */
	uint64_t wrong;
	const char *what; /* was wrong first */
};

/* Register with the machine. @slots are there from the start, empty: for holder_hold_at(). */
void holder_open(struct holder *h, struct rig *r, uint64_t slots);
/* Check, let everything go, unregister. */
void holder_close(struct holder *h);
/* Unregister; nothing is held any more. */
void holder_leave(struct holder *h);

/* A block with one reference: into a new slot, whose number is returned, or into an empty one. */
uint64_t holder_hold(struct holder *h, hvo_pfn_t pfn, unsigned int order, unsigned int how);
void holder_hold_at(struct holder *h, uint64_t slot, hvo_pfn_t pfn, unsigned int order,
		    unsigned int how);
/* The first empty slot, or the number of slots. */
uint64_t holder_empty_slot(const struct holder *h);
/* Where a block is now; HVO_PFN_NONE while it is moved, or if the slot is empty. */
hvo_pfn_t holder_pfn(struct holder *h, uint64_t slot);

/* False if the block is being moved. From then on it is not, and holder_let_go() may follow. */
bool holder_keep(struct holder *h, uint64_t slot);
/* Look at the contents and put the reference. */
void holder_let_go(struct holder *h, uint64_t slot);

/* Something that must be true of the holder. Any thread. */
void holder_must(struct holder *h, bool ok, const char *what);
/* Nothing was wrong, and each block is as it was taken. Returns how many there are. */
uint64_t holder_check(struct holder *h);
/* As above without a look at the blocks; strays are allowed, as with several threads. */
void holder_check_calls(struct holder *h);

#endif
