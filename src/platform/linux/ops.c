// SPDX-License-Identifier: MIT
/*
 * The table of operations, and those that are a system call and little more.
 *
 * States: none. Locks: none; the members of the host that are read here are constant or atomic.
 */
#include "host.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <urcu/urcu-bp.h>

static void *window(void *ctx, hvo_pfn_t pfn, uint64_t nr)
{
	(void)nr;
	return host_frame(ctx, pfn);
}

static void lock_wait(void *ctx, uint32_t *word, uint32_t value)
{
	(void)ctx;
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void lock_wake(void *ctx, uint32_t *word)
{
	(void)ctx;
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/*
 * Readers are those of liburcu's "bullet-proof" flavour, which registers threads by
 * itself: any thread may read. Its functions are called, not inlined (_LGPL_SOURCE
 * is not defined), so this file's licence is unaffected. All machines of the process
 * share one domain: quiesce() also waits for readers of the others.
 */
static void read_lock(void *ctx)
{
	(void)ctx;
	urcu_bp_read_lock();
}

/* The thread sanitizer does not see into liburcu: what readers did is before the end of a wait. */
#ifdef HVO_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
static char readers;
#define READER_ENDS() __tsan_release(&readers)
#define READERS_ENDED() __tsan_acquire(&readers)
#else
#define READER_ENDS() ((void)0)
#define READERS_ENDED() ((void)0)
#endif

static void read_unlock(void *ctx)
{
	(void)ctx;
	READER_ENDS();
	urcu_bp_read_unlock();
}

static void quiesce(void *ctx)
{
	(void)ctx;
	urcu_bp_synchronize_rcu();
	READERS_ENDED();
}

static uint64_t now_ns(void *ctx)
{
	struct timespec ts;

	(void)ctx;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

/*
 * Until a point in time, so that signals do not make it longer; or until the machine is
 * closed, which waits for the thread that sleeps here.
 */
void hvo_linux_sleep_ns(void *ctx, uint64_t ns)
{
	struct hvo_linux *host = ctx;
	uint64_t until = now_ns(ctx), max = (uint64_t)INT64_MAX;
	struct timespec ts;
	long rc = 0;

	until = ns < max - until ? until + ns : max;
	ts.tv_sec = (time_t)(until / UINT64_C(1000000000));
	ts.tv_nsec = (long)(until % UINT64_C(1000000000));
	/* An absolute time, of CLOCK_MONOTONIC. */
	while (!rc && !__atomic_load_n(&host->worker.stop, __ATOMIC_ACQUIRE)) {
		rc = syscall(SYS_futex, &host->worker.stop, FUTEX_WAIT_BITSET_PRIVATE, 0, &ts, NULL,
			     FUTEX_BITSET_MATCH_ANY);
		if (rc && (errno == EINTR || errno == EAGAIN))
			rc = 0;
	}
}

/* Inside a reader's section: hvo_linux_set_trace() waits for calls that still run. */
static void trace(void *ctx, const struct hvo_event_record *event)
{
	struct hvo_linux *host = ctx;
	struct trace_slot *slot;

	if (!__atomic_load_n(&host->trace, __ATOMIC_RELAXED))
		return;
	urcu_bp_read_lock();
	slot = __atomic_load_n(&host->trace, __ATOMIC_ACQUIRE);
	if (slot)
		slot->fn(slot->arg, event);
	urcu_bp_read_unlock();
}

/* The one place where the library prints: nobody is left to return an error to. */
void hvo_linux_panic(void *ctx, const char *what, uint64_t pfn, const struct hvo_page *page)
{
	char text[512];
	int n;

	(void)ctx;
	n = snprintf(text, sizeof(text), "hvo: panic: %s, pfn 0x%llx\n", what,
		     (unsigned long long)pfn);
	if (n > 0 && write(STDERR_FILENO, text, strlen(text)) < 0)
		abort();
	if (page) {
		n = snprintf(text, sizeof(text),
			     "hvo: page %p: state %u order %u flags 0x%x refcount %u mapcount %u "
			     "next 0x%x prev 0x%x private %llx %llx %llx %llx %llx\n",
			     (const void *)page, page->state, page->order, page->flags,
			     page->refcount, page->mapcount, page->next, page->prev,
			     (unsigned long long)page->private_data[0],
			     (unsigned long long)page->private_data[1],
			     (unsigned long long)page->private_data[2],
			     (unsigned long long)page->private_data[3],
			     (unsigned long long)page->private_data[4]);
		if (n > 0 && write(STDERR_FILENO, text, strlen(text)) < 0)
			abort();
	}
	abort();
}

const struct hvo_platform_ops hvo_linux_ops = {
	.size = sizeof(hvo_linux_ops),
	.window = window,
	.translate = NULL,
	.remap = hvo_linux_remap,
	.flush = hvo_linux_flush,
	.backing = hvo_linux_backing,
	.populate = hvo_linux_memory_populate,
	.discard = hvo_linux_memory_discard,
	.zero = hvo_linux_zero,
	.copy = hvo_linux_copy,
	.lock_wait = lock_wait,
	.lock_wake = lock_wake,
	.read_lock = read_lock,
	.read_unlock = read_unlock,
	.quiesce = quiesce,
	.willneed = hvo_linux_willneed,
	.now_ns = now_ns,
	.sleep_ns = hvo_linux_sleep_ns,
	.kick = hvo_linux_kick,
	.trace = trace,
	.panic = hvo_linux_panic,
	.audit = hvo_linux_audit,
};
