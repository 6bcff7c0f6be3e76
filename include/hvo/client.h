/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLIENT_H
#define HVO_CLIENT_H

#include <hvo/types.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Huge pages borrowed from a machine of another process: hvo serve --socket, or any that calls
 * hvo_lend_open(). A library of its own, libhvo-client, which needs nothing but libc. All errors are negative errno
 * values. Outputs are untouched after an error.
 *
 * Functions are thread-safe: requests of one client wait for each other. What is in a
 * loan is the caller's.
 */

/* ---- clients ----------------------------------------------------------- */

struct hvo_client;

/**
 * struct hvo_loan - huge pages that were borrowed, as a memfd
 * @size: sizeof(struct hvo_loan), see types.h
 * @id: names the loan
 * @bytes: size of the memfd: @nr pages of @order
 * @fd: the memfd, close-on-exec. Its size is sealed, which was looked at: nobody can change it.
 *      Memory comes when it is first touched, but for HVO_BORROW_POPULATE and HVO_BORROW_COLLAPSE
 * @order: 9 for pages of 2 MiB, 18 for 1 GiB
 * @huge_bytes: of @bytes, what was huge for the hardware too when hvo_client_borrow_with() returned:
 *              all of it with HVO_BORROW_HUGETLB; none of memory that did not come yet
 */
struct hvo_loan {
	uint32_t size;
	uint64_t id;
	uint64_t bytes;
	uint64_t nr;
	unsigned int order;
	int fd;
	uint64_t huge_bytes;
};

/* A server that may be trusted with what is written to its memory: root's, or one's own. */
#define HVO_CLIENT_TRUSTED ((uid_t)-1)

/**
 * hvo_client_connect_uid() - to the socket of a server that runs as a user
 * @server: that user, as this process sees it: 65534 for one that its user namespace does not know;
 *	    HVO_CLIENT_TRUSTED
 *
 * The server can read what is in the memory that it lends, and can withdraw it. So nothing is
 * asked of a server of anybody else: the kernel says who listens there.
 *
 * What is borrowed through a connection goes back when the last descriptor of its socket is
 * closed, by the end of the process at the latest.
 *
 * Context: waits for the server.
 * Return: 0; -EINVAL; -ENAMETOOLONG; -ENOMEM; -EPERM: not for this user; -EUSERS: the server has
 * as many clients as it takes; -ECONNABORTED: it runs as another user; -EPROTO: no such server
 * there; -EPROTONOSUPPORT: one of another version; what connect() says.
 */
HVO_MUST_CHECK int hvo_client_connect_uid(const char *path, uid_t server, struct hvo_client **ret);

/**
 * hvo_client_connect() - hvo_client_connect_uid() of HVO_CLIENT_TRUSTED
 *
 * Context: waits for the server.
 * Return: as hvo_client_connect_uid().
 */
HVO_MUST_CHECK int hvo_client_connect(const char *path, struct hvo_client **ret);

/**
 * hvo_client_close() - end a connection; everything that was borrowed goes back
 *
 * What is still mapped, too. Descriptors of loans are the
 * caller's to close. Accepts NULL. Nobody may use the client any more.
 *
 * Context: not in the child of a fork: there it ends the parent's connection as well.
 */
void hvo_client_close(struct hvo_client *client);

/**
 * hvo_client_socket() - the socket of a connection, close-on-exec
 *
 * To be looked at only: to know when the server is gone (poll() says POLLHUP), or to let what was
 * borrowed live on in a program that is started.
 *
 * Context: any.
 * Return: the descriptor, which stays the client's; -EINVAL without a client.
 */
int hvo_client_socket(const struct hvo_client *client);

/* ---- loans ------------------------------------------------------------- */

/**
 * hvo_client_borrow() - huge pages of a pool
 * @order: of the pages; the server must have a pool of it
 * @nr: how many: all or none
 * @node: of the served machine: from there only; HVO_NODE_ANY
 *
 * Context: waits for the server.
 * Return: 0; -EINVAL; -ENOENT: no such pool; -ENOMEM: not so many pages; -EDQUOT: more than this
 * client or user may have; -EMFILE: too many loans at a time, or no descriptor for the memfd here;
 * -ENFILE: the server has no descriptor; -EPROTO: what came is no memfd of that size, sealed, or
 * more than that, and the connection is at its end; -ECONNRESET or -EPIPE: the server is gone.
 */
HVO_MUST_CHECK int hvo_client_borrow(struct hvo_client *client, unsigned int order, uint64_t nr,
				     int node, struct hvo_loan *ret);

/*
 * Flags of struct hvo_borrow_options:
 *	HUGETLB	 memory of this system's own pool of huge pages, of 1 GiB for that order, else of 2 MiB.
 *		 They are reserved at once: what is touched later is there, but for limits of a cgroup
 *	POPULATE all of the memory is there at once, on account of who borrows
 *	COLLAPSE and is made huge in hardware where the system can (MADV_COLLAPSE, Linux 6.1), whatever it
 *		 does with shared memory by itself; @huge_bytes of the loan says how far it came
 *	MOVABLE	 the served machine may exchange the pages that stand for the loan there, to take their
 *		 frames offline or for a contiguous range, also for pages of another node. The memfd is
 *		 not touched
 */
#define HVO_BORROW_HUGETLB 0x1u
#define HVO_BORROW_POPULATE 0x2u
#define HVO_BORROW_COLLAPSE 0x4u
#define HVO_BORROW_MOVABLE 0x8u

/**
 * struct hvo_borrow_options - what a loan is to be like; zero means the default
 * @size: sizeof(struct hvo_borrow_options), see types.h
 * @flags: HVO_BORROW_*
 */
struct hvo_borrow_options {
	uint32_t size;
	uint64_t flags;
};

/**
 * hvo_client_borrow_with() - hvo_client_borrow(), with options
 * @opt: NULL: defaults
 *
 * Context: waits for the server, and for the memory that was asked for.
 * Return: as hvo_client_borrow(); -EINVAL also for flags that there are not; -E2BIG; -EOPNOTSUPP: the
 * system has no huge pages of that size; -ENOSPC: this system has not the memory that was to be there, in
 * its own pool of huge pages or at all. What was borrowed went back then.
 */
HVO_MUST_CHECK int hvo_client_borrow_with(struct hvo_client *client, unsigned int order,
					  uint64_t nr, int node,
					  const struct hvo_borrow_options *opt,
					  struct hvo_loan *ret);

/**
 * hvo_client_return() - give a loan back, and close its memfd
 *
 * The memory is emptied: what still maps it reads zeroes, and what is written there from then
 * on is memory of whoever writes, which the server knows nothing of.
 *
 * Context: waits for the server.
 * Return: 0; -EINVAL: no loan of this client's; -EPROTO; -ECONNRESET or -EPIPE: the server is
 * gone. @loan->fd is -1 afterwards, or untouched after -EINVAL.
 */
int hvo_client_return(struct hvo_client *client, struct hvo_loan *loan);

/**
 * hvo_client_map() - all of a loan, shared, aligned to the size of its pages
 *
 * Asks for transparent huge pages, where the system lets shared memory have them. munmap() undoes
 * it; best before hvo_client_return().
 *
 * Context: may wait.
 * Return: 0; -EINVAL; -ENOMEM; what mmap() says.
 */
HVO_MUST_CHECK int hvo_client_map(const struct hvo_loan *loan, void **ret);

/* ---- figures ------------------------------------------------------------ */

/**
 * struct hvo_client_pool - a pool of the server, in pages
 * @order: 0: there is none, nor any behind it
 * @lent: to all clients
 * @pending: of @lent, given back, but the memory for them is not there yet
 * @mine: of @lent, those of this client; they count against its quota until they are back
 */
struct hvo_client_pool {
	unsigned int order;
	uint64_t total, free, reserved;
	uint64_t lent, pending, mine;
};

#define HVO_CLIENT_POOLS 4

/**
 * struct hvo_client_status - of a server, and of this client there
 * @size: sizeof(struct hvo_client_status), see types.h
 * @limit_bytes: what this client may have at a time; 0: no limit
 * @user_limit_bytes: what all clients of this user may have together; 0: no limit
 * @refused: connections and requests that got an error, since the server started
 */
struct hvo_client_status {
	uint32_t size;
	uint64_t clients, max_clients;
	uint64_t limit_bytes, used_bytes;
	uint64_t user_limit_bytes, user_used_bytes;
	uint64_t refused;
	struct hvo_client_pool pools[HVO_CLIENT_POOLS];
};

/**
 * hvo_client_status() - figures of a server, and of this client there
 *
 * Context: waits for the server.
 * Return: 0; -EINVAL; -EPROTO; -ECONNRESET or -EPIPE: the server is gone.
 */
HVO_MUST_CHECK int hvo_client_status(struct hvo_client *client, struct hvo_client_status *ret);

#ifdef __cplusplus
}
#endif

#endif
