/* SPDX-License-Identifier: MIT */
#ifndef HVO_LEND_INTERNAL_H
#define HVO_LEND_INTERNAL_H

#include "protocol.h"

#include <hvo/lend.h>
#include <hvo/migrate.h>

#include <limits.h>
#include <pthread.h>

/*
 * Shared by the files of this directory only:
 *
 *	lend.c	  the thread, start and stop	listen.c   the socket
 *	client.c  who is connected		request.c  what they ask for
 *	loan.c	  pages on their way		move.c	   pages that the machine moves
 *
 * One lock, @lock of struct hvo_lend, for all that is not constant. The thread has it but while it
 * sleeps; whoever else wants figures waits for one round at most. Long work is done in steps,
 * one for each loan in a round, so that no client waits for all of another's.
 *
 * A second lock, @page_lock, for which page is where, and who has it just now. The machine asks that
 * in threads of its users, and in this one while it waits for a page with the first lock. So the
 * second one is innermost: the machine is not called with it.
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

/*
 * Who has a page of a loan:
 *	LENT_FIXED    the loan alone: it is not lent yet, or on its way back, or may not move at all
 *	LENT_MOVABLE  the machine may move it
 *	LENT_MOVING   the machine is just doing so: its frames have memory, and the loan leaves it alone
 */
enum lent_state { LENT_FIXED, LENT_MOVABLE, LENT_MOVING };

struct lent_page {
	hvo_pfn_t pfn;
	enum lent_state state;
};

/**
 * struct loan - what one request borrowed
 * @client: who asked; NULL: is gone
 * @asked: the client waits for a reply about it
 * @stuck: the last step failed; tried again only when @retry_ns has come
 * @fd: the memfd, or -1
 * @taken: pages that are ours, of @nr wanted
 * @emptied, @restored: bytes, of @nr or @taken pages
 * @flags: of the request
 * @error: for the reply at the end
 * @pages: under @page_lock, as is being in the list of loans
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
	uint32_t flags;
	int node;
	uid_t uid;
	int fd;
	int error;
	bool asked;
	bool stuck;
	struct lent_page pages[];
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

struct hvo_lend {
	struct hvo_linux *host;	     /* constant */
	struct hvo_machine *m;	     /* constant */
	struct hvo_lend_options opt; /* constant */
	char *path;		     /* constant */
	struct hvo_owner owner;	     /* constant; of pages that may move */
	uint32_t owner_id;	     /* constant; 0: not registered */
	int dir;		     /* constant; where the socket is, or -1 */
	char name[NAME_MAX + 1];     /* constant; of the socket there */
	uint64_t dev, ino;	     /* constant; of the socket */
	int epoll, listener, wake;   /* constant */
	pthread_t thread;

	pthread_mutex_t lock;
	struct client *clients;
	struct loan *loans;
	uint64_t next_id;
	uint64_t refused;
	uint64_t retry_ns; /* when what is stuck is tried again; 0: nothing is */
	bool waiting;	   /* somebody may wait to be let in */
	bool paused;	   /* no descriptor for who waits: not looking for a while */
	bool stop;

	pthread_mutex_t page_lock;
	pthread_cond_t moved;
	uint32_t moving; /* pages */
	bool fixed;	 /* no page moves any more */
};

/* listen.c; 0 or negative errno */
int lend_listen(struct hvo_lend *lend);
void lend_unlisten(struct hvo_lend *lend);

/* client.c */
/* 0 or negative errno. */
int lend_watch(struct hvo_lend *lend, int op, int fd, uint32_t events, void *ptr);
void lend_accept(struct hvo_lend *lend);
void lend_drop(struct hvo_lend *lend, struct client *client);
void lend_reply(struct hvo_lend *lend, struct client *client, const struct lend_reply *reply,
		int fd);
void lend_reply_status(struct hvo_lend *lend, struct client *client, struct lend_status *status);

/* request.c */
void lend_request(struct hvo_lend *lend, struct client *client);

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
int loan_new(struct hvo_lend *lend, struct client *client, struct hvo_pool *pool,
	     const struct lend_request *request);
/* @asked: the client waits for it. */
void loan_give_back(struct loan *loan, bool asked);
/*
 * One step for each loan that is under way, of those that are stuck only with @retry. Returns
 * whether there is more to do at once.
 */
bool loans_step(struct hvo_lend *lend, bool retry);
bool loans_stuck(const struct hvo_lend *lend);

/* move.c */
/* Be the owner of what may move. 0 or negative errno. */
int lend_moves_begin(struct hvo_lend *lend);
/* Nothing moves from now on, and what did has arrived. */
void lend_moves_end(struct hvo_lend *lend);
/* Page @i of a loan, which has no memory any more, may move from now on, if the client said so. */
void lend_page_lent(struct hvo_lend *lend, struct loan *loan, uint64_t i);
/* It is for the loan alone from now on. false: it is just moving, to be asked again. */
bool lend_page_back(struct hvo_lend *lend, struct loan *loan, uint64_t i, hvo_pfn_t *ret);

#endif
