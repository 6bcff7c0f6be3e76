// SPDX-License-Identifier: MIT
/*
 * Reading in a thread of its own: a served machine may not answer, and whoever looks must be
 * able to leave then. A demo's machine lives in that thread as well, so that one thread alone
 * uses it: a simulation is for one.
 */
#include "top.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* How often a demo's machine does something. */
#define DEMO_NS 10000000

/* How long a read may take when it is to end. */
#define STOP_S 1

/**
 * struct reader - all but @thread and @fd is under @lock
 * @wake: asked for something, or done with everything
 * @asked: a model is wanted, or on the way
 * @answered: there is one, or an error
 */
struct reader {
	struct top_source source;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	int fd;
	bool asked, answered, stop, gone;
	struct top_model *model;
	int error;
};

/* Returns whether a model is wanted; or a demo's time has come, or it is over. */
static bool wait_for_work(struct reader *r, bool *ret_stop)
{
	struct timespec until;
	bool want;

	pthread_mutex_lock(&r->lock);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += DEMO_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	while (!r->stop && (!r->asked || r->answered)) {
		if (!r->source.demo)
			pthread_cond_wait(&r->wake, &r->lock);
		else if (pthread_cond_timedwait(&r->wake, &r->lock, &until))
			break;
	}
	want = r->asked && !r->answered;
	*ret_stop = r->stop;
	pthread_mutex_unlock(&r->lock);
	return want;
}

static void answer(struct reader *r)
{
	struct top_model *model = NULL;
	int rc = top_read_source(&r->source, &model);

	pthread_mutex_lock(&r->lock);
	r->model = model;
	r->error = rc;
	r->answered = true;
	pthread_mutex_unlock(&r->lock);
	(void)eventfd_write(r->fd, 1);
}

static void *run(void *arg)
{
	struct reader *r = arg;
	bool stop = false, want;

	while (!stop) {
		want = wait_for_work(r, &stop);
		if (stop)
			break;
		if (r->source.demo)
			demo_step(r->source.demo);
		if (want)
			answer(r);
	}
	pthread_mutex_lock(&r->lock);
	r->gone = true;
	pthread_cond_broadcast(&r->wake);
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* Signals are for the thread that has the terminal. */
static int start_thread(struct reader *r)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&r->thread, NULL, run, r);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -rc;
}

static void destroy(struct reader *r)
{
	pthread_cond_destroy(&r->wake);
	pthread_mutex_destroy(&r->lock);
	close(r->fd);
	top_free(r->model);
	free(r);
}

int reader_start(const struct top_source *source, struct reader **ret)
{
	struct reader *r = calloc(1, sizeof(*r));
	pthread_condattr_t attr;
	int rc;

	if (!r)
		return -ENOMEM;
	r->source = *source;
	r->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->fd < 0) {
		rc = -errno;
		free(r);
		return rc;
	}
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->wake, &attr);
	pthread_condattr_destroy(&attr);
	rc = start_thread(r);
	if (rc)
		destroy(r);
	else
		*ret = r;
	return rc;
}

void reader_ask(struct reader *r)
{
	pthread_mutex_lock(&r->lock);
	r->asked = true;
	pthread_cond_broadcast(&r->wake);
	pthread_mutex_unlock(&r->lock);
}

int reader_fd(const struct reader *r)
{
	return r->fd;
}

bool reader_answer(struct reader *r, struct top_model **ret, int *ret_error)
{
	eventfd_t n;
	bool there;

	(void)eventfd_read(r->fd, &n);
	pthread_mutex_lock(&r->lock);
	there = r->answered;
	if (there) {
		*ret = r->model;
		*ret_error = r->error;
		r->model = NULL;
		r->asked = r->answered = false;
	}
	pthread_mutex_unlock(&r->lock);
	return there;
}

bool reader_stop(struct reader *r)
{
	struct timespec until;
	bool gone;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += STOP_S;
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_cond_broadcast(&r->wake);
	while (!r->gone && !rc)
		rc = r->source.demo ? pthread_cond_wait(&r->wake, &r->lock) :
				      pthread_cond_timedwait(&r->wake, &r->lock, &until);
	gone = r->gone;
	pthread_mutex_unlock(&r->lock);
	if (!gone) {
		pthread_detach(r->thread);
		return false;
	}
	pthread_join(r->thread, NULL);
	destroy(r);
	return true;
}
