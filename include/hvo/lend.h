/* SPDX-License-Identifier: MIT */
#ifndef HVO_LEND_H
#define HVO_LEND_H

#include <hvo/linux.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Huge pages of a machine lent to other processes, which borrow them with <hvo/client.h>. A client
 * gets a memfd of its own, never the arena's: with as much memory as the pages that it asked for,
 * and the frames of those pages give theirs back to the system meanwhile. So the sum stays what it
 * was; where a client asks for memory of the system's own pool of huge pages, that pool pays.
 *
 * Who still has a mapping or a descriptor of a memfd after its pages went back has a file that
 * was emptied. What is written to it from then on is memory of who writes: the system's
 * accounts and limits for that process apply, and neither the pool nor the server knows of it,
 * no more than if that process had made a memfd by itself. Frames that were pinned (by O_DIRECT or
 * a device) stay with who pinned them until they are unpinned.
 *
 * A page that is lent is in use. The library moves it, to take its memory offline or for a contiguous
 * range, where the client said that it may (HVO_BORROW_MOVABLE): another page of the pool takes its
 * place, and the memfd is not touched. All others stay where they are.
 *
 * All errors are negative errno values. Outputs are untouched after an error.
 */

struct hvo_lend;

#define HVO_LEND_MAX_UIDS 16u

/**
 * struct hvo_lend_options - zero means the default
 * @size: sizeof(struct hvo_lend_options), see types.h
 * @nr_uids: of @uids
 * @uids: users that may connect besides the server's own and root
 * @mode: of the socket; default 0600, and 0666 where others than those two may connect
 * @max_clients: at a time; default 64
 * @max_user_clients: of one user; default: a quarter of @max_clients
 * @client_bytes: what one client may have at a time; default: no limit
 * @user_bytes: and one user, in all its clients
 */
struct hvo_lend_options {
	uint32_t size;
	uint32_t nr_uids;
	uid_t uids[HVO_LEND_MAX_UIDS];
	mode_t mode;
	uint32_t max_clients;
	uint32_t max_user_clients;
	uint64_t client_bytes;
	uint64_t user_bytes;
};

/**
 * hvo_lend_open() - lend huge pages, with a thread that listens on a socket
 * @host: with the machine that hvo_linux_create() built; stays until hvo_lend_close()
 * @path: of the socket; root follows no other user's symbolic link on the way there
 * @opt: NULL: defaults
 *
 * A socket that nobody listens on is replaced. The thread is named "hvo-lend" and blocks all signals
 * but those for its own faults. It is not there in the child of a fork. A process is forked for the
 * socket's mode; who ignores SIGCHLD need not mind.
 *
 * Context: may wait; not from a shrinker, nor from an owner's functions.
 * Return: 0; -EINVAL: options that make no sense, or no machine; -E2BIG; -ENAMETOOLONG; -EADDRINUSE:
 * somebody listens there; -EEXIST: something else than a socket is there; -ELOOP: a link of another
 * user's, or too many; -ENOSPC: the machine has as many owners as it takes; -ENOMEM; what the
 * system says. Nothing is kept after an error.
 */
HVO_MUST_CHECK int hvo_lend_open(struct hvo_linux *host, const char *path,
				 const struct hvo_lend_options *opt, struct hvo_lend **ret);

/**
 * hvo_lend_close() - put all clients out, and take all pages back
 *
 * Accepts NULL.
 *
 * Context: may wait; not from a shrinker, nor from an owner's functions, nor in the child of a fork.
 * Return: pages whose memory could not be had: they stay in use in the machine.
 */
uint64_t hvo_lend_close(struct hvo_lend *lend);

/**
 * struct hvo_lend_pool - pages of one pool
 * @order: 0: no pool, nor any behind it
 * @lent: out of the pool now: in clients' hands, or on the way there or back
 * @pending: of them, given back, but their memory could not be had yet; tried again and again
 * @pinned: of @lent, those that the library may not move
 */
struct hvo_lend_pool {
	unsigned int order;
	uint64_t lent, pending, pinned;
};

/**
 * struct hvo_lend_stat - who borrows, and what
 * @size: sizeof(struct hvo_lend_stat), see types.h
 * @max_clients, @max_user_clients, @client_bytes, @user_bytes: as the server was opened, defaults
 *	filled in; bytes of 0: no limit
 * @refused: connections and requests that got an error
 */
struct hvo_lend_stat {
	uint32_t size;
	uint32_t max_clients, max_user_clients;
	uint64_t client_bytes, user_bytes;
	uint64_t clients, loans;
	uint64_t refused;
	struct hvo_lend_pool pools[HVO_MAX_POOLS];
};

/**
 * hvo_lend_stat() - figures of one moment
 *
 * Context: waits for what the thread is just doing.
 * Return: 0; -EINVAL; -E2BIG.
 */
int hvo_lend_stat(struct hvo_lend *lend, struct hvo_lend_stat *ret);

#ifdef __cplusplus
}
#endif

#endif
