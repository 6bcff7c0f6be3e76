// SPDX-License-Identifier: MIT
/*
 * What clients ask for: see protocol.h.
 *
 * All of it comes from outside, and nothing in it is believed: every number is checked before
 * it is used, and quotas are compared in pages of the order asked for, where nothing overflows.
 *
 * Locks: the server's, held in all of this.
 */
#include "internal.h"

#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* ---- borrow ------------------------------------------------------------------- */

/* Bytes lent to a client, or to a user if there is none; what is on its way counts, back too. */
static uint64_t used_bytes(const struct hvo_lend *lend, const struct client *client, uid_t uid)
{
	const struct loan *loan;
	uint64_t sum = 0;

	for (loan = lend->loans; loan; loan = loan->next)
		if (client ? loan->client == client : loan->uid == uid)
			sum += loan_used(loan);
	return sum;
}

static uint64_t room(uint64_t limit, uint64_t used)
{
	if (!limit)
		return UINT64_MAX;
	return used < limit ? limit - used : 0;
}

static int check_quota(const struct hvo_lend *lend, const struct client *client,
		       const struct lend_request *request)
{
	uint64_t mine = room(lend->opt.client_bytes, used_bytes(lend, client, 0));
	uint64_t users = room(lend->opt.user_bytes, used_bytes(lend, NULL, client->uid));
	uint64_t bytes = mine < users ? mine : users;
	const struct loan *loan;
	uint32_t loans = 0;

	if (bytes != UINT64_MAX && request->nr > bytes >> (request->order + HVO_FRAME_SHIFT))
		return -EDQUOT;
	for (loan = lend->loans; loan; loan = loan->next)
		loans += loan->client == client;
	return loans >= LEND_MAX_LOANS ? -EMFILE : 0;
}

/* What is hopeless is not begun. That it is not, here, is no promise. */
static int check_pool(const struct hvo_lend *lend, struct hvo_pool *pool,
		      const struct lend_request *request)
{
	uint64_t frames = hvo_machine_memmap(lend->m)->nr_frames, extra = 0;
	struct hvo_pool_stat node = { .size = sizeof(node) }, all = { .size = sizeof(all) };

	if (hvo_pool_stat(pool, request->node, &node) || hvo_pool_stat(pool, HVO_NODE_ANY, &all))
		return -EINVAL;
	if (all.overcommit > all.surplus)
		extra = all.overcommit - all.surplus;
	if (request->nr > frames >> request->order)
		return -ENOMEM;
	return request->nr > node.free && request->nr - node.free > extra ? -ENOMEM : 0;
}

static int borrow(struct hvo_lend *lend, struct client *client, const struct lend_request *request)
{
	struct hvo_pool *pool;
	int rc;

	if (!request->nr || request->node < HVO_NODE_ANY || request->flags & ~LEND_FLAGS ||
	    request->node >= (int)hvo_machine_config(lend->m)->nr_nodes)
		return -EINVAL;
	pool = hvo_pool_find(lend->m, request->order);
	if (!pool)
		return -ENOENT;
	rc = check_quota(lend, client, request);
	if (!rc)
		rc = check_pool(lend, pool, request);
	return rc ? rc : loan_new(lend, client, pool, request);
}

/* ---- the others --------------------------------------------------------------- */

static int give_back(struct hvo_lend *lend, const struct client *client, uint64_t id)
{
	struct loan *loan;

	for (loan = lend->loans; loan; loan = loan->next) {
		if (loan->client != client || loan->id != id || loan->state != LOAN_LENT)
			continue;
		loan_give_back(loan, true);
		return 0;
	}
	return -EINVAL;
}

static void pool_status(const struct hvo_lend *lend, const struct client *client,
			struct hvo_pool *pool, struct lend_pool_status *ret)
{
	struct hvo_pool_stat stat = { .size = sizeof(stat) };
	const struct loan *loan;

	(void)hvo_pool_stat(pool, HVO_NODE_ANY, &stat);
	ret->total = stat.total;
	ret->free = stat.free;
	ret->reserved = stat.reserved;
	for (loan = lend->loans; loan; loan = loan->next) {
		if (loan->pool != pool)
			continue;
		ret->lent += loan_pages(loan);
		ret->pending += loan_pending(loan);
		ret->mine += loan->client == client ? loan_pages(loan) : 0;
	}
}

static void status(struct hvo_lend *lend, struct client *client)
{
	struct lend_status s = { .limit_bytes = lend->opt.client_bytes,
				 .user_limit_bytes = lend->opt.user_bytes,
				 .max_clients = lend->opt.max_clients,
				 .refused = lend->refused };
	const struct client *other;
	unsigned int order, i = 0;
	struct hvo_pool *pool;

	for (other = lend->clients; other; other = other->next)
		s.clients++;
	s.used_bytes = used_bytes(lend, client, 0);
	s.user_used_bytes = used_bytes(lend, NULL, client->uid);
	for (order = HVO_PAGEBLOCK_ORDER; order <= HVO_MAX_ORDER && i < LEND_POOLS; order++) {
		pool = hvo_pool_find(lend->m, order);
		if (!pool)
			continue;
		s.pools[i].order = order;
		pool_status(lend, client, pool, &s.pools[i++]);
	}
	lend_reply_status(lend, client, &s);
}

/* ---- messages --------------------------------------------------------------------- */

/* Did the client read all that it was sent? */
static bool client_reads(const struct client *client)
{
	int unread = 0;

	return !ioctl(client->fd, SIOCOUTQ, &unread) && !unread;
}

/*
 * Descriptors that come along are not asked for, and the kernel closes them. In another version a
 * request may have another size: then only its version is there.
 * Return: false: end the conversation.
 */
static bool receive(const struct client *client, struct lend_request *ret)
{
	/* With this flag the length is that of the message, not of what fitted. */
	ssize_t len = recv(client->fd, ret, sizeof(*ret), MSG_DONTWAIT | MSG_TRUNC);

	if (len < (ssize_t)sizeof(ret->version) || !client_reads(client))
		return false;
	return len == (ssize_t)sizeof(*ret) || ret->version != LEND_VERSION;
}

static void serve(struct hvo_lend *lend, struct client *client, const struct lend_request *request)
{
	struct lend_reply reply = { .op = request->op };

	switch (request->op) {
	case LEND_BORROW:
		reply.error = borrow(lend, client, request);
		break;
	case LEND_RETURN:
		reply.error = give_back(lend, client, request->id);
		break;
	case LEND_STATUS:
		status(lend, client);
		return;
	default:
		reply.error = -EINVAL;
	}
	if (reply.error) {
		lend_reply(lend, client, &reply, -1);
		return;
	}
	/* The reply comes when it is done; if the client goes before that, its loans do. */
	client->op = request->op;
	if (lend_watch(lend, EPOLL_CTL_MOD, client->fd, EPOLLRDHUP, client))
		lend_drop(lend, client);
}

void lend_request(struct hvo_lend *lend, struct client *client)
{
	struct lend_reply reply = { .version = LEND_VERSION, .error = -EPROTONOSUPPORT };
	struct lend_request request;

	if (!receive(client, &request)) {
		lend_drop(lend, client);
		return;
	}
	if (request.version == LEND_VERSION) {
		serve(lend, client, &request);
		return;
	}
	lend->refused++;
	(void)send(client->fd, &reply, sizeof(reply), MSG_NOSIGNAL | MSG_DONTWAIT);
	lend_drop(lend, client);
}
