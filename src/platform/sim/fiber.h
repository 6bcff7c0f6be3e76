/* SPDX-License-Identifier: MIT */
#ifndef HVO_PLATFORM_SIM_FIBER_H
#define HVO_PLATFORM_SIM_FIBER_H

#include <hvo/types.h>

/*
 * Stacks that one host thread switches between, without a system call. Sanitizers are told; not
 * TSan, for which all fibers are one thread.
 */
struct fiber {
	void *sp;
	char *stack; /* lowest usable byte; NULL: the host thread's own stack */
	size_t size;
	void *shadow;	    /* of ASan */
	const void *bottom; /* of the host thread's stack, as ASan knows it */
};

/* Map a stack with a guard page below. Return: 0; -HVO_ENOMEM. */
HVO_MUST_CHECK int fiber_create(struct fiber *f);
void fiber_destroy(struct fiber *f);
/* Have the next switch to @f call @entry, which never returns and begins with fiber_entered(). */
void fiber_prepare(struct fiber *f, void (*entry)(void));
/* First in an entry: @host is the fiber of the thread that switched here. */
void fiber_entered(struct fiber *host);
/* Go on in @to; returns when somebody switches back to @from. */
void fiber_switch(struct fiber *from, struct fiber *to);
/* Go on in @to, and never come back. */
void fiber_leave(struct fiber *to) __attribute__((noreturn));

#endif
