// SPDX-License-Identifier: MIT
/*
 * The sim platform: stacks, and switching between them.
 *
 * swapcontext() makes a system call for the signal mask; where it is known how, the callee's
 * registers are saved by hand. Signals are the host thread's.
 *
 * In Linux: arch/x86/entry/entry_64.S, __switch_to_asm().
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "platform/sim/fiber.h"

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#endif
#ifdef FIBER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define STACK_SIZE ((size_t)256 << 10)
#define GUARD_SIZE ((size_t)4096)

int fiber_create(struct fiber *f)
{
	char *mem = mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem == MAP_FAILED)
		return -HVO_ENOMEM;
	if (mprotect(mem, GUARD_SIZE, PROT_NONE)) {
		munmap(mem, GUARD_SIZE + STACK_SIZE);
		return -HVO_ENOMEM;
	}
	memset(f, 0, sizeof(*f));
	f->stack = mem + GUARD_SIZE;
	f->size = STACK_SIZE;
	return 0;
}

void fiber_destroy(struct fiber *f)
{
	if (!f->stack)
		return;
#ifdef FIBER_ASAN
	__asan_unpoison_memory_region(f->stack, f->size);
#endif
	munmap(f->stack - GUARD_SIZE, GUARD_SIZE + f->size);
	f->stack = NULL;
}

#ifdef __x86_64__

/* Save the registers that a callee keeps and the stack in *save; take those of @to. */
void hvo_fiber_swap(void **save, void *to);
__asm__(".text\n"
	".globl hvo_fiber_swap\n"
	".hidden hvo_fiber_swap\n"
	".type hvo_fiber_swap, @function\n"
	"hvo_fiber_swap:\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	".size hvo_fiber_swap, . - hvo_fiber_swap\n");

#define SAVED_REGISTERS 6

static void set_entry(struct fiber *f, void (*entry)(void))
{
	uintptr_t *sp = (uintptr_t *)(void *)(f->stack + f->size);

	/* What an entry would return to, and that its stack is aligned as after a call. */
	*--sp = 0;
	*--sp = (uintptr_t)entry;
	sp -= SAVED_REGISTERS;
	memset(sp, 0, SAVED_REGISTERS * sizeof(*sp));
	f->sp = sp;
}

static void swap(struct fiber *from, struct fiber *to)
{
	hvo_fiber_swap(&from->sp, to->sp);
}

#else

static ucontext_t *context_of(struct fiber *f)
{
	if (!f->sp)
		f->sp = calloc(1, sizeof(ucontext_t));
	if (!f->sp)
		abort();
	return f->sp;
}

static void set_entry(struct fiber *f, void (*entry)(void))
{
	ucontext_t *c = context_of(f);

	getcontext(c);
	c->uc_stack.ss_sp = f->stack;
	c->uc_stack.ss_size = f->size;
	c->uc_link = NULL;
	makecontext(c, entry, 0);
}

static void swap(struct fiber *from, struct fiber *to)
{
	swapcontext(context_of(from), context_of(to));
}

#endif

void fiber_prepare(struct fiber *f, void (*entry)(void))
{
#ifdef FIBER_ASAN
	__asan_unpoison_memory_region(f->stack, f->size);
#endif
	f->shadow = NULL;
	set_entry(f, entry);
}

void fiber_entered(struct fiber *host)
{
#ifdef FIBER_ASAN
	const void *bottom;
	size_t size;

	__sanitizer_finish_switch_fiber(NULL, &bottom, &size);
	/* Another fiber may have been there before this one; the first came from the host. */
	if (!host->bottom) {
		host->bottom = bottom;
		host->size = size;
	}
#else
	(void)host;
#endif
}

#ifdef FIBER_ASAN
static void tell(void **shadow, const struct fiber *to)
{
	__sanitizer_start_switch_fiber(shadow, to->stack ? to->stack : to->bottom, to->size);
}
#endif

void fiber_switch(struct fiber *from, struct fiber *to)
{
#ifdef FIBER_ASAN
	tell(&from->shadow, to);
	swap(from, to);
	__sanitizer_finish_switch_fiber(from->shadow, NULL, NULL);
#else
	swap(from, to);
#endif
}

void fiber_leave(struct fiber *to)
{
	struct fiber gone = { 0 };

#ifdef FIBER_ASAN
	tell(NULL, to);
#endif
	swap(&gone, to);
	abort();
}
