// SPDX-License-Identifier: MIT
/*
 * Who is connected, and what is said to them.
 *
 * States of a client: its requests are read; or one is under way (@op), and nothing is read;
 * or gone. Sending never waits: a client that reads each message before it sends the next one
 * always has room for one, and another one is put out.
 *
 * Locks: the server's, held in all of this.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* So many at a time; then those who are in get their turn. */
#define ACCEPT_BATCH 16

int lend_watch(struct hvo_lend *lend, int op, int fd, uint32_t events, void *ptr)
{
	struct epoll_event event = { .events = events, .data.ptr = ptr };

	return epoll_ctl(lend->epoll, op, fd, &event) ? -errno : 0;
}

/* ---- sending ---------------------------------------------------------------- */

/* 0 or negative errno. */
static int send_message(int to, const void *message, size_t len, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)message, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;

	if (fd >= 0) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	}
	return sendmsg(to, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* The request is answered, and the next one is read. The client may be gone afterwards. */
static void answer(struct hvo_lend *lend, struct client *client, const void *message, size_t len,
		   int fd)
{
	client->op = LEND_HELLO;
	if (send_message(client->fd, message, len, fd) ||
	    lend_watch(lend, EPOLL_CTL_MOD, client->fd, EPOLLIN | EPOLLRDHUP, client))
		lend_drop(lend, client);
}

void lend_reply(struct hvo_lend *lend, struct client *client, const struct lend_reply *reply,
		int fd)
{
	struct lend_reply r = *reply;

	r.version = LEND_VERSION;
	lend->refused += r.error != 0;
	answer(lend, client, &r, sizeof(r), fd);
}

void lend_reply_status(struct hvo_lend *lend, struct client *client, struct lend_status *status)
{
	status->reply.version = LEND_VERSION;
	status->reply.op = LEND_STATUS;
	answer(lend, client, status, sizeof(*status), -1);
}

/* ---- coming and going ---------------------------------------------------------- */

/*
 * Not by close() alone: a child of the program may have a copy, since it was forked and did not
 * exec yet. Then the connection would live on, and so would its events.
 */
static void hang_up(struct hvo_lend *lend, int fd)
{
	(void)epoll_ctl(lend->epoll, EPOLL_CTL_DEL, fd, NULL);
	(void)shutdown(fd, SHUT_RDWR);
	close(fd);
}

/* What it borrowed goes back; what is on the way to it turns round. */
void lend_drop(struct hvo_lend *lend, struct client *client)
{
	struct client **link;
	struct loan *loan;

	for (loan = lend->loans; loan; loan = loan->next) {
		if (loan->client != client)
			continue;
		loan->client = NULL;
		loan_give_back(loan, false);
	}
	for (link = &lend->clients; *link != client; link = &(*link)->next)
		;
	*link = client->next;
	hang_up(lend, client->fd);
	free(client);
}

static bool uid_allowed(const struct hvo_lend_options *opt, uid_t uid)
{
	uint32_t i;

	for (i = 0; i < opt->nr_uids; i++)
		if (opt->uids[i] == uid)
			return true;
	return uid == 0 || uid == geteuid();
}

/* 0, or why there is no place for another client of this user. */
static int check_place(const struct hvo_lend *lend, uid_t uid)
{
	uint32_t all = 0, of_user = 0;
	const struct client *client;

	if (!uid_allowed(&lend->opt, uid))
		return -EPERM;
	for (client = lend->clients; client; client = client->next) {
		all++;
		of_user += client->uid == uid;
	}
	return all >= lend->opt.max_clients || of_user >= lend->opt.max_user_clients ? -EUSERS : 0;
}

/* Of @fd, or -errno. */
static int peer_uid(int fd, uid_t *ret)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return -errno;
	*ret = cred.uid;
	return 0;
}

/* @fd is the client's from here on, or closed. */
static void welcome(struct hvo_lend *lend, int fd)
{
	struct lend_reply greeting = { .version = LEND_VERSION, .op = LEND_HELLO };
	struct client *client = calloc(1, sizeof(*client));
	uid_t uid = 0;

	greeting.error = peer_uid(fd, &uid);
	if (!greeting.error)
		greeting.error = check_place(lend, uid);
	if (!greeting.error && !client)
		greeting.error = -ENOMEM;
	if (!greeting.error)
		greeting.error = lend_watch(lend, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP, client);
	if (!send_message(fd, &greeting, sizeof(greeting), -1) && !greeting.error) {
		client->fd = fd;
		client->uid = uid;
		client->next = lend->clients;
		lend->clients = client;
		return;
	}
	lend->refused++;
	free(client);
	hang_up(lend, fd);
}

/*
 * The listener has an event when somebody comes, and none while he waits (EPOLLET): so who cannot be
 * let in wakes nobody up again and again, and what is left of a batch is to be remembered.
 */
void lend_accept(struct hvo_lend *lend)
{
	int i, fd;

	lend->paused = false;
	for (i = 0; i < ACCEPT_BATCH; i++) {
		fd = accept4(lend->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			welcome(lend, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		lend->waiting = errno != EAGAIN;
		lend->paused = lend->waiting;
		return;
	}
}
