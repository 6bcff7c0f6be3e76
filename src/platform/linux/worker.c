// SPDX-License-Identifier: MIT
/*
 * A thread that calls hvo_work(), for programs that want one.
 *
 * States of @word: WORK_RUNS (the thread runs and has seen all that it was asked for),
 * WORK_ASKED (it is to look again), WORK_SLEEPS. Whoever asks writes WORK_ASKED over any of
 * them, and wakes the thread if it slept. The thread goes to sleep only from WORK_RUNS, so
 * that nothing asked meanwhile is lost.
 *
 * The thread ends when @stop is set. That is what close waits for, so nothing in it may take
 * long by then: the machine is abandoned, which ends a policy that tries without end, and
 * sleep_ns() returns at once.
 *
 * Locks: none. hvo_linux_kick() is called under the core's spin locks.
 *
 * In Linux: schedule_work() and free_hpage_workfn() of mm/hugetlb.c.
 */
#include "host.h"

#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define WORK_STEPS 64u
#define WORK_EVERY_SECONDS 1
#define WORK_PAUSE_NS UINT64_C(10000000)

enum worker_word { WORK_RUNS = 0, WORK_ASKED = 1, WORK_SLEEPS = 2 };

static bool worker_stops(const struct worker *worker)
{
	return __atomic_load_n(&worker->stop, __ATOMIC_ACQUIRE);
}

void hvo_linux_kick(void *ctx)
{
	struct worker *worker = &((struct hvo_linux *)ctx)->worker;

	if (__atomic_exchange_n(&worker->word, WORK_ASKED, __ATOMIC_SEQ_CST) == WORK_SLEEPS)
		syscall(SYS_futex, &worker->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* All that there is to do now. Returns how many steps that was. */
static uint64_t work_all(struct hvo_linux *host)
{
	uint64_t done = 0;
	bool more = true;
	int64_t n;

	while (more && !worker_stops(&host->worker)) {
		more = false;
		n = hvo_work(host->machine, WORK_STEPS, &more);
		done += n > 0 ? (uint64_t)n : 0;
	}
	return done;
}

/* Until it is asked, or a while has gone by. Waking up for nothing does no harm. */
static void worker_sleep(struct worker *worker)
{
	const struct timespec most = { WORK_EVERY_SECONDS, 0 };
	uint32_t word = WORK_RUNS;

	if (__atomic_compare_exchange_n(&worker->word, &word, WORK_SLEEPS, false, __ATOMIC_SEQ_CST,
					__ATOMIC_SEQ_CST))
		syscall(SYS_futex, &worker->word, FUTEX_WAIT_PRIVATE, WORK_SLEEPS, &most, NULL, 0);
}

static void *worker_main(void *arg)
{
	struct hvo_linux *host = (struct hvo_linux *)arg;
	struct worker *worker = &host->worker;
	uint64_t done;

	(void)pthread_setname_np(pthread_self(), "hvo-work");
	for (;;) {
		/* Not a store: what was noted by who asked must be seen from here on. */
		(void)__atomic_exchange_n(&worker->word, WORK_RUNS, __ATOMIC_SEQ_CST);
		done = work_all(host);
		if (worker_stops(worker))
			return NULL;
		/* Who asks all the time, in vain, must not keep a processor busy. */
		if (!done && __atomic_load_n(&worker->word, __ATOMIC_RELAXED) == WORK_ASKED)
			hvo_linux_sleep_ns(host, WORK_PAUSE_NS);
		worker_sleep(worker);
	}
}

/*
 * Signals are the program's own threads' business, but for those that a thread brings upon
 * itself: blocked, they would kill without the program's handler.
 */
static void block_signals(sigset_t *ret_old)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
	sigset_t set;
	size_t i;

	sigfillset(&set);
	for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(&set, faults[i]);
	pthread_sigmask(SIG_BLOCK, &set, ret_old);
}

/* Once the machine is there. 0 or -HVO_ENOMEM. */
int hvo_linux_worker_start(struct hvo_linux *host)
{
	sigset_t old;
	int rc;

	block_signals(&old);
	rc = pthread_create(&host->worker.thread, NULL, worker_main, host);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc)
		return -HVO_ENOMEM;
	host->worker.started = true;
	return 0;
}

/* Returns when it has ended. Nothing where it was never started, or not in this process. */
void hvo_linux_worker_stop(struct hvo_linux *host)
{
	struct worker *worker = &host->worker;

	if (!worker->started)
		return;
	hvo_machine_abandon(host->machine);
	__atomic_store_n(&worker->stop, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &worker->stop, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
	hvo_linux_kick(host);
	pthread_join(worker->thread, NULL);
	worker->started = false;
}
