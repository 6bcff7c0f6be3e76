/* SPDX-License-Identifier: MIT */
#ifndef HVO_LEND_PROTOCOL_H
#define HVO_LEND_PROTOCOL_H

#include <stdint.h>

/*
 * What goes over the socket between who lends huge pages and who borrows them. Unix socket,
 * SOCK_SEQPACKET: each message is one structure, whole. Both ends are on one host: numbers in
 * its own byte order, structures without padding.
 *
 *	server	struct lend_reply	greeting: LEND_HELLO, the server's version in @version, and
 *					in @error why the client is not welcome, or 0
 *	client	struct lend_request	one request
 *	server	its reply		struct lend_status to LEND_STATUS, else struct lend_reply;
 *					a memfd comes along (SCM_RIGHTS) with LEND_BORROW
 *	client	the next request ...
 *
 * Nothing but that one descriptor comes with any message. The memfd's size cannot be changed
 * (F_SEAL_SHRINK, F_SEAL_GROW). Each side asks the kernel who the other one is (SO_PEERCRED).
 *
 * A client reads a message before it sends the next one. One that does not, that sends a message
 * of another size, or one of another version (-EPROTONOSUPPORT is the reply to that, whatever its size:
 * only the version always stands at its beginning), is put out: the server closes the socket. All other errors are replies, and the conversation goes on.
 *
 * All that a client borrowed goes back when its socket is closed, by whatever; a message of
 * length zero, or shutdown() of its sending side, is the same.
 *
 * Errors are negative errno values:
 *	-EPERM		greeting: this user may not connect
 *	-EUSERS		greeting: too many clients, in all or of this user
 *	-EINVAL		no such operation, node, flag, loan of this client; no pages
 *	-ENOENT		no pool of that order
 *	-ENOMEM		the pool does not have that many pages there
 *	-EDQUOT		more than this client, or its user, may have
 *	-EMFILE		more loans at a time than a client may have
 *	-ENFILE		the server is out of descriptors
 *	-EOPNOTSUPP	its host has no huge pages of that size
 *	-ESHUTDOWN	the server is about to end
 */

/*
 * 1: no flags. There is no way to serve it any more: the greeting, which comes first, says one version,
 * and a client of another one goes.
 */
#define LEND_VERSION 2u

#define LEND_MAX_LOANS 32u /* of a client at a time */

enum lend_op {
	LEND_HELLO = 0, /* replies only */
	LEND_BORROW = 1,
	LEND_RETURN = 2,
	LEND_STATUS = 3,
};

/*
 * Of LEND_BORROW:
 *	HUGETLB	the memfd is of huge pages of the system's own pool: 1 GiB for that order, else 2 MiB. Only
 *		a mapping reserves them, which is the client's to make: there may be none
 *	MOVABLE	the frames of the pages that are lent may be exchanged for others
 */
#define LEND_HUGETLB 0x1u
#define LEND_MOVABLE 0x2u
#define LEND_FLAGS (LEND_HUGETLB | LEND_MOVABLE)

/**
 * struct lend_request - from the client
 * @version: LEND_VERSION
 * @op: enum lend_op
 * @id: LEND_RETURN: of the loan
 * @nr: LEND_BORROW: huge pages
 * @order: LEND_BORROW: their order, 9 for 2 MiB, 18 for 1 GiB
 * @node: LEND_BORROW: from this node only; -1: from any
 * @flags: LEND_BORROW: LEND_HUGETLB, LEND_MOVABLE
 * @reserved: zero
 */
struct lend_request {
	uint32_t version;
	uint32_t op;
	uint64_t id;
	uint64_t nr;
	uint32_t order;
	int32_t node;
	uint32_t flags;
	uint32_t reserved;
};

/**
 * struct lend_reply - from the server
 * @version: the server's LEND_VERSION
 * @op: of the request, LEND_HELLO in the greeting
 * @error: 0 or a negative errno value
 * @id, @bytes: LEND_BORROW: the loan, and the size of its memfd
 */
struct lend_reply {
	uint32_t version;
	uint32_t op;
	int32_t error;
	uint32_t reserved;
	uint64_t id;
	uint64_t bytes;
};

#define LEND_POOLS 4u

/**
 * struct lend_pool_status - a pool, in pages
 * @lent: to all clients; part of total - free
 * @pending: of @lent, given back already, but the memory for them is not there yet
 * @mine: of @lent, those of this client; they count against its quota until they are back
 */
struct lend_pool_status {
	uint64_t order; /* 0: there is none, nor any behind it */
	uint64_t total, free, reserved;
	uint64_t lent, pending, mine;
};

/**
 * struct lend_status - reply to LEND_STATUS
 * @limit_bytes, @used_bytes: of this client
 * @user_limit_bytes, @user_used_bytes: of its user; a limit of 0 is none
 * @refused: connections and requests that got an error, since the server started
 */
struct lend_status {
	struct lend_reply reply;
	uint64_t clients, max_clients;
	uint64_t limit_bytes, used_bytes;
	uint64_t user_limit_bytes, user_used_bytes;
	uint64_t refused;
	struct lend_pool_status pools[LEND_POOLS];
};

_Static_assert(sizeof(struct lend_request) == 40, "no padding");
_Static_assert(sizeof(struct lend_reply) == 32, "no padding");
_Static_assert(sizeof(struct lend_status) == 312, "no padding");

#endif
