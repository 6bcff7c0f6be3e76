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

#include "core/sized.h"

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
static void handle(struct hvo_lend *lend, const struct epoll_event *event)
{
	struct client *client = event->data.ptr;

	if (event->data.ptr == &lend->wake)
		return;
	if (event->data.ptr == &lend->listener)
		lend->waiting = true;
	else if (event->events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR))
		lend_drop(lend, client);
	else
		lend_request(lend, client);
}

/* Is it time to try again? Then the next such time is a while from now. */
static bool retry_due(struct hvo_lend *lend)
{
	bool wanted = lend->paused || loans_stuck(lend);
	uint64_t now = wanted ? now_ns() : 0;
	bool due = wanted && lend->retry_ns && now >= lend->retry_ns;

	if (!wanted)
		lend->retry_ns = 0;
	else if (due || !lend->retry_ns)
		lend->retry_ns = now + RETRY_MS * MS;
	return due;
}

/* Returns how long epoll_wait() may sleep. */
static int one_round(struct hvo_lend *lend, const struct epoll_event *events, int nr)
{
	bool more, retry;
	int i;

	for (i = 0; i < nr; i++)
		handle(lend, &events[i]);
	retry = retry_due(lend);
	if (lend->waiting && (retry || !lend->paused))
		lend_accept(lend);
	more = loans_step(lend, retry);
	if (more || (lend->waiting && !lend->paused))
		return 0;
	return lend->paused || loans_stuck(lend) ? RETRY_MS : -1;
}

static void *lend_main(void *arg)
{
	struct epoll_event events[EVENTS];
	struct hvo_lend *lend = (struct hvo_lend *)arg;
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
static int start_thread(struct hvo_lend *lend)
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

static int read_options(struct hvo_lend_options *own, const struct hvo_lend_options *opt)
{
	int rc = opt ? SIZED_IN(own, opt) : 0;

	if (rc)
		return rc;
	if (own->nr_uids > HVO_LEND_MAX_UIDS || own->mode & ~(mode_t)0777)
		return -EINVAL;
	if (!own->mode)
		own->mode = own->nr_uids ? 0666 : 0600;
	if (!own->max_clients)
		own->max_clients = CLIENTS_DEFAULT;
	if (!own->max_user_clients)
		own->max_user_clients =
			own->max_clients / USER_SHARE + !!(own->max_clients % USER_SHARE);
	return 0;
}

static int open_all(struct hvo_lend *lend)
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
		rc = lend_moves_begin(lend);
	if (!rc)
		rc = lend_listen(lend);
	if (!rc)
		rc = lend_watch(lend, EPOLL_CTL_ADD, lend->listener, EPOLLIN | EPOLLET,
				&lend->listener);
	return rc;
}

/* Pages that are not back stay where they are, and are nobody's. Returns how many. */
static uint64_t abandon_loan(struct hvo_lend *lend, struct loan *loan)
{
	hvo_pfn_t pfn;
	uint64_t i;

	for (i = 0; i < loan->taken; i++)
		(void)lend_page_back(lend, loan, i, &pfn);
	i = loan_pages(loan);
	if (loan->fd >= 0)
		close(loan->fd);
	free(loan);
	return i;
}

/* Without the thread. Returns what hvo_lend_close() does. */
static uint64_t close_all(struct hvo_lend *lend)
{
	struct loan *loan;
	uint64_t left = 0;

	lend_moves_end(lend);
	while (lend->clients)
		lend_drop(lend, lend->clients);
	while (loans_step(lend, false))
		;
	/* One more attempt for what was stuck all along. */
	while (loans_step(lend, true))
		;
	while ((loan = lend->loans)) {
		lend->loans = loan->next;
		left += abandon_loan(lend, loan);
	}
	lend_unlisten(lend);
	if (lend->owner_id)
		(void)hvo_owner_unregister(lend->m, lend->owner_id);
	if (lend->wake >= 0)
		close(lend->wake);
	if (lend->epoll >= 0)
		close(lend->epoll);
	pthread_cond_destroy(&lend->moved);
	pthread_mutex_destroy(&lend->page_lock);
	pthread_mutex_destroy(&lend->lock);
	free(lend->path);
	free(lend);
	return left;
}

static struct hvo_lend *new_lend(struct hvo_linux *host, const struct hvo_lend_options *opt)
{
	struct hvo_lend *lend = calloc(1, sizeof(*lend));

	if (!lend)
		return NULL;
	lend->host = host;
	lend->m = hvo_linux_machine(host);
	lend->opt = *opt;
	lend->epoll = -1;
	lend->listener = -1;
	lend->dir = -1;
	lend->wake = -1;
	pthread_mutex_init(&lend->lock, NULL);
	pthread_mutex_init(&lend->page_lock, NULL);
	pthread_cond_init(&lend->moved, NULL);
	return lend;
}

int hvo_lend_open(struct hvo_linux *host, const char *path, const struct hvo_lend_options *opt,
		  struct hvo_lend **ret)
{
	struct hvo_lend_options own = { .size = sizeof(own) };
	struct hvo_lend *lend;
	int rc = read_options(&own, opt);

	if (rc)
		return rc;
	if (!host || !path || !ret || !hvo_linux_machine(host))
		return -EINVAL;
	lend = new_lend(host, &own);
	if (!lend)
		return -ENOMEM;
	lend->path = strdup(path);
	rc = lend->path ? open_all(lend) : -ENOMEM;
	if (!rc)
		rc = start_thread(lend);
	if (rc) {
		close_all(lend);
		return rc;
	}
	*ret = lend;
	return 0;
}

uint64_t hvo_lend_close(struct hvo_lend *lend)
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

static struct hvo_lend_pool *pool_of(struct hvo_lend_stat *s, unsigned int order)
{
	unsigned int i = 0;

	while (s->pools[i].order != order)
		i++;
	return &s->pools[i];
}

static void count_loan(struct hvo_lend_stat *s, const struct loan *loan)
{
	struct hvo_lend_pool *pool = pool_of(s, loan->order);
	uint64_t pages = loan_pages(loan);

	s->loans++;
	pool->lent += pages;
	pool->pending += loan_pending(loan);
	pool->pinned += loan->flags & LEND_MOVABLE ? 0 : pages;
}

int hvo_lend_stat(struct hvo_lend *lend, struct hvo_lend_stat *ret)
{
	struct hvo_lend_stat s = { .size = sizeof(s) };
	const struct client *client;
	const struct loan *loan;
	unsigned int order, i = 0;
	int rc = lend ? sized_check(ret) : -EINVAL;

	if (rc)
		return rc;
	s.max_clients = lend->opt.max_clients;
	s.max_user_clients = lend->opt.max_user_clients;
	s.client_bytes = lend->opt.client_bytes;
	s.user_bytes = lend->opt.user_bytes;
	pthread_mutex_lock(&lend->lock);
	for (order = HVO_PAGEBLOCK_ORDER; order <= HVO_MAX_ORDER && i < HVO_MAX_POOLS; order++)
		if (hvo_pool_find(lend->m, order))
			s.pools[i++].order = order;
	for (client = lend->clients; client; client = client->next)
		s.clients++;
	for (loan = lend->loans; loan; loan = loan->next)
		count_loan(&s, loan);
	s.refused = lend->refused;
	pthread_mutex_unlock(&lend->lock);
	SIZED_OUT(ret, &s);
	return 0;
}
