/* SPDX-License-Identifier: MIT */
#ifndef HVO_LEND_INTERNAL_H
#define HVO_LEND_INTERNAL_H

#include "lend.h"
#include "protocol.h"

#include <limits.h>
#include <pthread.h>

/*
 * Shared by the files of this directory only:
 *
 *	lend.c	  the thread, start and stop	listen.c   the socket
 *	client.c  who is connected		request.c  what they ask for
 *	loan.c	  pages on their way		files.c	   figures in a tree
 *
 * One lock, @lock of struct lend, for all that is not constant. The thread has it but while it
 * sleeps; whoever else wants figures waits for one round at most. Long work is done in steps,
 * one for each loan in a round, so that no client waits for all of another's.
 */

/* How much of a loan is done in one round. Whole blocks, so that huge pages stay such. */
#define LEND_STEP_BYTES (UINT64_C(32) << 20)

/*
 * States of a loan:
 *	TAKING	   pages come from the pool, one by one, and lose their memory; then LENT; or
 *		   RESTORING if the pool does not have enough
 *	LENT	   the client has the memfd
 *	EMPTYING   given back, or the client is gone: the memfd is emptied, and closed
 *	RESTORING  pages get their memory again, and go to the pool; then the loan is no more
 */
enum loan_state { LOAN_TAKING, LOAN_LENT, LOAN_EMPTYING, LOAN_RESTORING };

/**
 * struct loan - what one request borrowed
 * @client: who asked; NULL: is gone
 * @asked: the client waits for a reply about it
 * @stuck: the last step failed; tried again only when @retry_ns has come
 * @fd: the memfd, or -1
 * @taken: pages that are ours, of @nr wanted
 * @emptied, @restored: bytes, of @nr or @taken pages
 * @error: for the reply at the end
 */
struct loan {
	struct loan *next;
	struct client *client;
	struct hvo_pool *pool;
	uint64_t id;
	uint64_t nr, taken;
	uint64_t emptied, restored;
	enum loan_state state;
	unsigned int order;
	int node;
	uid_t uid;
	int fd;
	int error;
	bool asked;
	bool stuck;
	hvo_pfn_t pfns[];
};

/**
 * struct client - one connection
 * @op: the request that is under way; LEND_HELLO: none
 */
struct client {
	struct client *next;
	uid_t uid;
	int fd;
	uint32_t op;
};

struct lend {
	struct hvo_linux *host;	   /* constant */
	struct hvo_machine *m;	   /* constant */
	struct lend_options opt;   /* constant; @path is our own */
	int dir;		   /* constant; where the socket is, or -1 */
	char name[NAME_MAX + 1];   /* constant; of the socket there */
	uint64_t dev, ino;	   /* constant; of the socket */
	int epoll, listener, wake; /* constant */
	pthread_t thread;

	pthread_mutex_t lock;
	struct client *clients;
	struct loan *loans;
	uint64_t next_id;
	uint64_t refused;
	uint64_t retry_ns; /* when what is stuck is tried again; 0: nothing is */
	bool paused;	   /* no descriptor for who connects: not looking for a while */
	bool stop;
};

/* listen.c; 0 or negative errno */
int lend_listen(struct lend *lend);
void lend_unlisten(struct lend *lend);

/* client.c */
int lend_watch(struct lend *lend, int op, int fd, uint32_t events, void *ptr);
void lend_accept(struct lend *lend);
void lend_drop(struct lend *lend, struct client *client);
void lend_reply(struct lend *lend, struct client *client, const struct lend_reply *reply, int fd);
void lend_reply_status(struct lend *lend, struct client *client, struct lend_status *status);

/* request.c */
void lend_request(struct lend *lend, struct client *client);

/* loan.c */
/*
 * What counts against quotas: each page from the request until it is really back, also where the
 * client was told long ago that it need not wait for that.
 */
uint64_t loan_used(const struct loan *loan);
/* Pages that are out of the pool now; those that were given back, and have no memory yet. */
uint64_t loan_pages(const struct loan *loan);
uint64_t loan_pending(const struct loan *loan);
/* 0: its steps follow; -ENOMEM: no memory for the loan itself; -ENFILE: no descriptor. */
int loan_new(struct lend *lend, struct client *client, struct hvo_pool *pool,
	     const struct lend_request *request);
/* @asked: the client waits for it. */
void loan_give_back(struct loan *loan, bool asked);
/*
 * One step for each loan that is under way, of those that are stuck only with @retry. Returns
 * whether there is more to do at once.
 */
bool loans_step(struct lend *lend, bool retry);
bool loans_stuck(const struct lend *lend);

#endif
