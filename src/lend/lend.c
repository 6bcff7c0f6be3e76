// SPDX-License-Identifier: MIT
/*
 * The thread that lends huge pages, and its start and end.
 *
 * States: being built, running, ending (@stop), gone. Start undoes its steps in reverse order
 * through the same function that the end uses.
 *
 * Locks: @lock, see internal.h. The thread sleeps in epoll_wait() without it.
 */
#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 32
#define RETRY_MS 100
#define MS UINT64_C(1000000) /* ns */

#define CLIENTS_DEFAULT 64u
#define USER_SHARE 4u

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 * MS + (uint64_t)ts.tv_nsec;
}

/* ---- the thread ---------------------------------------------------------------- */

/* Each descriptor has one event, so a client that one of them puts out is in no other. */
static void handle(struct lend *lend, const struct epoll_event *event)
{
	struct client *client = event->data.ptr;

	if (event->data.ptr == &lend->wake)
		return;
	if (event->data.ptr == &lend->listener)
		lend_accept(lend);
	else if (event->events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR))
		lend_drop(lend, client);
	else
		lend_request(lend, client);
}

/* Is it time to try again? Then the next such time is a while from now. */
static bool retry_due(struct lend *lend)
{
	bool wanted = lend->paused || loans_stuck(lend);
	uint64_t now = wanted ? now_ns() : 0;
	bool due = wanted && lend->retry_ns && now >= lend->retry_ns;

	if (!wanted)
		lend->retry_ns = 0;
	else if (due || !lend->retry_ns)
		lend->retry_ns = now + RETRY_MS * MS;
	if (due && lend->paused)
		lend->paused = lend_watch(lend, EPOLL_CTL_MOD, lend->listener, EPOLLIN,
					  &lend->listener) != 0;
	return due;
}

/* Returns how long epoll_wait() may sleep. */
static int one_round(struct lend *lend, const struct epoll_event *events, int nr)
{
	bool more;
	int i;

	for (i = 0; i < nr; i++)
		handle(lend, &events[i]);
	more = loans_step(lend, retry_due(lend));
	if (more)
		return 0;
	return lend->paused || loans_stuck(lend) ? RETRY_MS : -1;
}

static void *lend_main(void *arg)
{
	struct epoll_event events[EVENTS];
	struct lend *lend = (struct lend *)arg;
	int nr, timeout = -1;

	(void)pthread_setname_np(pthread_self(), "hvo-lend");
	for (;;) {
		nr = epoll_wait(lend->epoll, events, EVENTS, timeout);
		pthread_mutex_lock(&lend->lock);
		if (lend->stop)
			break;
		timeout = one_round(lend, events, nr);
		pthread_mutex_unlock(&lend->lock);
	}
	pthread_mutex_unlock(&lend->lock);
	return NULL;
}

/* Signals are for the program's own threads, but for what this one brings upon itself. */
static int start_thread(struct lend *lend)
{
	sigset_t set, old;
	int rc;

	sigfillset(&set);
	sigdelset(&set, SIGSEGV);
	sigdelset(&set, SIGBUS);
	sigdelset(&set, SIGILL);
	sigdelset(&set, SIGFPE);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	rc = pthread_create(&lend->thread, NULL, lend_main, lend);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -rc;
}

/* ---- start and end ---------------------------------------------------------------- */

static int check_options(const struct lend_options *opt)
{
	return !opt->path || opt->nr_uids > LEND_MAX_UIDS || opt->mode & ~(mode_t)0777 ? -EINVAL :
											 0;
}

static void set_defaults(struct lend_options *opt)
{
	if (!opt->mode)
		opt->mode = opt->nr_uids ? 0666 : 0600;
	if (!opt->max_clients)
		opt->max_clients = CLIENTS_DEFAULT;
	if (!opt->max_user_clients)
		opt->max_user_clients = (opt->max_clients + USER_SHARE - 1) / USER_SHARE;
	if (!opt->populate)
		opt->populate = hvo_linux_populate;
}

static int open_all(struct lend *lend)
{
	int rc;

	lend->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (lend->epoll < 0)
		return -errno;
	lend->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (lend->wake < 0)
		return -errno;
	rc = lend_watch(lend, EPOLL_CTL_ADD, lend->wake, EPOLLIN, &lend->wake);
	if (!rc)
		rc = lend_listen(lend);
	if (!rc)
		rc = lend_watch(lend, EPOLL_CTL_ADD, lend->listener, EPOLLIN, &lend->listener);
	return rc;
}

/* Without the thread. Returns what lend_stop() does. */
static uint64_t close_all(struct lend *lend)
{
	struct loan *loan;
	uint64_t left = 0;

	while (lend->clients)
		lend_drop(lend, lend->clients);
	while (loans_step(lend, false))
		;
	/* One more attempt for what was stuck all along. */
	while (loans_step(lend, true))
		;
	while ((loan = lend->loans)) {
		left += loan_pages(loan);
		lend->loans = loan->next;
		if (loan->fd >= 0)
			close(loan->fd);
		free(loan);
	}
	lend_unlisten(lend);
	if (lend->wake >= 0)
		close(lend->wake);
	if (lend->epoll >= 0)
		close(lend->epoll);
	pthread_mutex_destroy(&lend->lock);
	free((char *)(uintptr_t)lend->opt.path);
	free(lend);
	return left;
}

int lend_start(struct hvo_linux *host, const struct lend_options *opt, struct lend **ret)
{
	int rc = check_options(opt);
	struct lend *lend;

	if (rc)
		return rc;
	lend = calloc(1, sizeof(*lend));
	if (!lend)
		return -ENOMEM;
	lend->host = host;
	lend->m = hvo_linux_machine(host);
	lend->epoll = -1;
	lend->listener = -1;
	lend->dir = -1;
	lend->wake = -1;
	lend->opt = *opt;
	set_defaults(&lend->opt);
	pthread_mutex_init(&lend->lock, NULL);
	lend->opt.path = strdup(opt->path);
	rc = lend->opt.path ? open_all(lend) : -ENOMEM;
	if (!rc)
		rc = start_thread(lend);
	if (rc) {
		close_all(lend);
		return rc;
	}
	*ret = lend;
	return 0;
}

uint64_t lend_stop(struct lend *lend)
{
	const uint64_t one = 1;

	if (!lend)
		return 0;
	pthread_mutex_lock(&lend->lock);
	lend->stop = true;
	pthread_mutex_unlock(&lend->lock);
	/* Never full: nobody else writes to it. */
	while (write(lend->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	pthread_join(lend->thread, NULL);
	return close_all(lend);
}

/* ---- figures ------------------------------------------------------------------------ */

static struct lend_pool *pool_of(struct lend_stat *s, unsigned int order)
{
	unsigned int i = 0;

	while (s->pools[i].order != order)
		i++;
	return &s->pools[i];
}

void lend_stat(struct lend *lend, struct lend_stat *ret)
{
	struct lend_stat s = { 0 };
	const struct client *client;
	const struct loan *loan;
	unsigned int order, i = 0;

	pthread_mutex_lock(&lend->lock);
	for (order = HVO_PAGEBLOCK_ORDER; order <= HVO_MAX_ORDER && i < HVO_MAX_POOLS; order++)
		if (hvo_pool_find(lend->m, order))
			s.pools[i++].order = order;
	for (client = lend->clients; client; client = client->next)
		s.clients++;
	for (loan = lend->loans; loan; loan = loan->next) {
		struct lend_pool *pool = pool_of(&s, loan->order);

		s.loans++;
		pool->lent += loan_pages(loan);
		pool->pending += loan_pending(loan);
	}
	s.refused = lend->refused;
	pthread_mutex_unlock(&lend->lock);
	*ret = s;
}

const struct lend_options *lend_options(const struct lend *lend)
{
	return &lend->opt;
}
