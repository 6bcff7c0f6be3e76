// SPDX-License-Identifier: MIT
/*
 * Huge pages borrowed from a server: the client's side of src/lend/protocol.h.
 *
 * States of a client: its conversation is in order; or broken, after anything unexpected: then
 * the socket is shut down, so that both sides know, and every request is -EPIPE.
 *
 * Locks: one for each client, from a request to its reply.
 */
#include "internal.h"

#include "core/sized.h"
#include "lend/protocol.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ALL_FLAGS                                                                    \
	((uint64_t)(HVO_BORROW_HUGETLB | HVO_BORROW_POPULATE | HVO_BORROW_COLLAPSE | \
		    HVO_BORROW_MOVABLE))

struct hvo_client {
	int fd;
	pthread_mutex_t lock;
};

/* ---- messages --------------------------------------------------------------------- */

/* As many as one message can bring (SCM_MAX_FD): what is received here is closed here. */
#define MAX_FDS 253u

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* How many descriptors came along; the first one stays open, the others are closed. */
static unsigned int take_fds(struct msghdr *msg, int *ret_fd)
{
	struct cmsghdr *cmsg;
	unsigned int nr = 0;
	size_t at;
	int fd;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		for (at = CMSG_LEN(0); at + sizeof(fd) <= cmsg->cmsg_len; at += sizeof(fd)) {
			memcpy(&fd, (const char *)cmsg + at, sizeof(fd));
			if (nr++)
				close(fd);
			else
				*ret_fd = fd;
		}
	}
	return nr;
}

/*
 * One message of exactly @len bytes, and the descriptor that comes along, or -1; more than one,
 * or any where none is expected (@ret_fd is NULL), is -EPROTO. 0 or negative errno; nothing is
 * open after an error.
 */
static int receive(int from, void *message, size_t len, int *ret_fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = message, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	unsigned int nr, most = ret_fd ? 1 : 0;
	bool more;
	ssize_t got;
	int fd = -1;

	do {
		got = recvmsg(from, &msg, MSG_CMSG_CLOEXEC | MSG_TRUNC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	nr = take_fds(&msg, &fd);
	/* For some this process had no room. One that is missing is the caller's to find out. */
	more = msg.msg_flags & MSG_CTRUNC && (nr || !most);
	if (got && (size_t)got == len && nr <= most && !more) {
		if (ret_fd)
			*ret_fd = fd;
		return 0;
	}
	close_fd(fd);
	return got ? -EPROTO : -ECONNRESET;
}

static int send_request(int to, const struct lend_request *request)
{
	ssize_t sent;

	do {
		sent = send(to, request, sizeof(*request), MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

/*
 * A request and its reply, @len bytes that begin with a struct lend_reply. The result says whether
 * there is a reply, which may well be an error; then nothing comes with it. @ret_fd as above.
 */
static int transact(struct hvo_client *client, struct lend_request *request, void *reply,
		    size_t len, int *ret_fd)
{
	const struct lend_reply *head = reply;
	int rc;

	request->version = LEND_VERSION;
	pthread_mutex_lock(&client->lock);
	rc = send_request(client->fd, request);
	if (!rc)
		rc = receive(client->fd, reply, len, ret_fd);
	if (!rc && (head->version != LEND_VERSION || head->op != request->op || head->error > 0 ||
		    (head->error && ret_fd && *ret_fd >= 0))) {
		rc = -EPROTO;
		if (ret_fd)
			close_fd(*ret_fd);
	}
	if (rc)
		(void)shutdown(client->fd, SHUT_RDWR);
	pthread_mutex_unlock(&client->lock);
	return rc;
}

/* ---- clients ------------------------------------------------------------------------ */

/* The server speaks first. */
static int read_greeting(int fd)
{
	struct lend_reply greeting;
	int rc = receive(fd, &greeting, sizeof(greeting), NULL);

	if (rc)
		return rc == -ECONNRESET ? -EPROTO : rc;
	if (greeting.op != LEND_HELLO || greeting.error > 0)
		return -EPROTO;
	if (greeting.version != LEND_VERSION)
		return -EPROTONOSUPPORT;
	return greeting.error;
}

/* Is it who is expected? Whoever lends memory can look at all that is written there. */
static int check_server(int fd, uid_t server)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return -errno;
	if (server != HVO_CLIENT_TRUSTED)
		return cred.uid == server ? 0 : -ECONNABORTED;
	return !cred.uid || cred.uid == geteuid() ? 0 : -ECONNABORTED;
}

static int connect_path(int fd, const char *path, uid_t server)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	int rc;

	if (!len || len >= sizeof(addr.sun_path))
		return len ? -ENAMETOOLONG : -EINVAL;
	memcpy(addr.sun_path, path, len);
	do {
		rc = connect(fd, (const struct sockaddr *)&addr, sizeof(addr));
	} while (rc && errno == EINTR);
	/* Sockets of other types are there for somebody else. */
	if (rc)
		return errno == EPROTOTYPE ? -EPROTO : -errno;
	rc = check_server(fd, server);
	return rc ? rc : read_greeting(fd);
}

int hvo_client_connect_uid(const char *path, uid_t server, struct hvo_client **ret)
{
	struct hvo_client *client;
	int rc;

	if (!path || !ret)
		return -EINVAL;
	client = malloc(sizeof(*client));
	if (!client)
		return -ENOMEM;
	client->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	rc = client->fd < 0 ? -errno : connect_path(client->fd, path, server);
	if (!rc)
		rc = -pthread_mutex_init(&client->lock, NULL);
	if (rc) {
		close_fd(client->fd);
		free(client);
		return rc;
	}
	*ret = client;
	return 0;
}

int hvo_client_connect(const char *path, struct hvo_client **ret)
{
	return hvo_client_connect_uid(path, HVO_CLIENT_TRUSTED, ret);
}

void hvo_client_close(struct hvo_client *client)
{
	if (!client)
		return;
	/* Copies that a fork made do not keep it open. */
	(void)shutdown(client->fd, SHUT_RDWR);
	close(client->fd);
	pthread_mutex_destroy(&client->lock);
	free(client);
}

int hvo_client_socket(const struct hvo_client *client)
{
	return client ? client->fd : -EINVAL;
}

/* ---- loans --------------------------------------------------------------------------- */

/* What cannot be used goes back. The connection is as before, whatever the server says to it. */
static void send_back(struct hvo_client *client, const struct hvo_loan *loan)
{
	struct lend_request request = { .op = LEND_RETURN, .id = loan->id };
	struct lend_reply reply;

	close_fd(loan->fd);
	(void)transact(client, &request, &reply, sizeof(reply), NULL);
}

/* A loan that the server says it gave. */
static int accept_loan(struct hvo_client *client, struct hvo_loan *loan, uint64_t flags)
{
	int rc;

	/* It did come, but this process has no room for it: see recvmsg(). */
	if (loan->fd < 0) {
		send_back(client, loan);
		return -EMFILE;
	}
	rc = loan_check(loan, flags);
	if (rc) {
		close(loan->fd);
		(void)shutdown(client->fd, SHUT_RDWR);
		return rc;
	}
	rc = loan_prepare(loan, flags);
	if (rc)
		send_back(client, loan);
	return rc;
}

static uint32_t request_flags(uint64_t flags)
{
	return (flags & HVO_BORROW_HUGETLB ? LEND_HUGETLB : 0) |
	       (flags & HVO_BORROW_MOVABLE ? LEND_MOVABLE : 0);
}

int hvo_client_borrow_with(struct hvo_client *client, unsigned int order, uint64_t nr, int node,
			   const struct hvo_borrow_options *opt, struct hvo_loan *ret)
{
	struct lend_request request = { .op = LEND_BORROW, .order = order, .nr = nr, .node = node };
	struct hvo_loan loan = { .size = sizeof(loan), .order = order, .nr = nr };
	struct hvo_borrow_options own = { .size = sizeof(own) };
	struct lend_reply reply;
	int rc = opt ? SIZED_IN(&own, opt) : 0;

	if (!rc)
		rc = sized_check(ret);
	if (rc)
		return rc;
	if (!client || order > HVO_MAX_ORDER || own.flags & ~ALL_FLAGS)
		return -EINVAL;
	request.flags = request_flags(own.flags);
	rc = transact(client, &request, &reply, sizeof(reply), &loan.fd);
	if (!rc)
		rc = reply.error;
	if (rc)
		return rc;
	loan.id = reply.id;
	loan.bytes = reply.bytes;
	rc = accept_loan(client, &loan, own.flags);
	if (!rc)
		SIZED_OUT(ret, &loan);
	return rc;
}

int hvo_client_borrow(struct hvo_client *client, unsigned int order, uint64_t nr, int node,
		      struct hvo_loan *ret)
{
	return hvo_client_borrow_with(client, order, nr, node, NULL, ret);
}

int hvo_client_return(struct hvo_client *client, struct hvo_loan *loan)
{
	struct lend_request request = { .op = LEND_RETURN };
	struct lend_reply reply;
	struct hvo_loan own;
	int rc;

	if (!client)
		return -EINVAL;
	rc = SIZED_IN(&own, loan);
	if (rc)
		return rc;
	request.id = own.id;
	rc = transact(client, &request, &reply, sizeof(reply), NULL);
	if (!rc)
		rc = reply.error;
	if (rc == -EINVAL)
		return rc;
	close_fd(own.fd);
	own.fd = -1;
	SIZED_OUT(loan, &own);
	return rc;
}

/* ---- figures ---------------------------------------------------------------------------- */

int hvo_client_status(struct hvo_client *client, struct hvo_client_status *ret)
{
	struct lend_request request = { .op = LEND_STATUS };
	struct hvo_client_status s = { .size = sizeof(s) };
	struct lend_status reply;
	int rc, i;

	if (!client)
		return -EINVAL;
	rc = sized_check(ret);
	if (rc)
		return rc;
	rc = transact(client, &request, &reply, sizeof(reply), NULL);
	if (!rc)
		rc = reply.reply.error;
	if (rc)
		return rc;
	s.clients = reply.clients;
	s.max_clients = reply.max_clients;
	s.limit_bytes = reply.limit_bytes;
	s.used_bytes = reply.used_bytes;
	s.user_limit_bytes = reply.user_limit_bytes;
	s.user_used_bytes = reply.user_used_bytes;
	s.refused = reply.refused;
	for (i = 0; i < HVO_CLIENT_POOLS; i++) {
		s.pools[i].order = (unsigned int)reply.pools[i].order;
		s.pools[i].total = reply.pools[i].total;
		s.pools[i].free = reply.pools[i].free;
		s.pools[i].reserved = reply.pools[i].reserved;
		s.pools[i].lent = reply.pools[i].lent;
		s.pools[i].pending = reply.pools[i].pending;
		s.pools[i].mine = reply.pools[i].mine;
	}
	SIZED_OUT(ret, &s);
	return 0;
}
