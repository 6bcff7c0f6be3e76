/* SPDX-License-Identifier: MIT */
#ifndef HVO_LEND_LEND_H
#define HVO_LEND_LEND_H

#include <hvo/linux.h>

#include <sys/types.h>

/*
 * Huge pages of a machine for other processes. A client gets a memfd of its own, with as much
 * memory as the pages that it asked for, and the frames of those pages give theirs back to the
 * system meanwhile: the sum stays what it was. What the two say to each other is in protocol.h.
 *
 * Who still has a mapping or a descriptor of a memfd after its pages went back has a file that
 * was emptied. What is written to it from then on is memory of who writes: the system's
 * accounts and limits for that process apply, and neither the pool nor the server knows of it,
 * no more than if that process had made a memfd by itself. Frames that were pinned (by O_DIRECT or
 * a device) stay with who pinned them until they are unpinned.
 */
struct lend;
struct tree;

#define LEND_MAX_UIDS 16u
#define LEND_MAX_LOANS 32u /* of a client at a time */

/**
 * struct lend_options - zero means the default
 * @path: of the socket; root follows no other user's symbolic link on the way there
 * @uids: @nr_uids users that may connect besides the server's own and root
 * @mode: of the socket; default 0600, and 0666 where others than those two may connect
 * @client_bytes: what one client may have at a time; default: no limit
 * @user_bytes: and one user, in all its clients
 * @max_clients: at a time; default 64
 * @max_user_clients: of one user; default: a quarter of @max_clients
 * @populate: for tests of what happens without memory; default hvo_linux_populate()
 */
struct lend_options {
	const char *path;
	uid_t uids[LEND_MAX_UIDS];
	uint32_t nr_uids;
	mode_t mode;
	uint64_t client_bytes;
	uint64_t user_bytes;
	uint32_t max_clients;
	uint32_t max_user_clients;
	int (*populate)(struct hvo_linux *host, hvo_pfn_t pfn, uint64_t nr);
};

/**
 * struct lend_pool - pages of one pool
 * @lent: out of the pool now: in clients' hands, or on the way there or back
 * @pending: of them, given back, but their memory could not be had yet; tried again and again
 */
struct lend_pool {
	unsigned int order; /* 0: no pool, nor any behind it */
	uint64_t lent, pending;
};

struct lend_stat {
	uint64_t clients, loans;
	uint64_t refused; /* connections and requests that got an error */
	struct lend_pool pools[HVO_MAX_POOLS];
};

/**
 * lend_start() - listen, with a thread of its own
 * @host: a machine on it must be there (hvo_linux_create()); stays until lend_stop()
 *
 * A socket that nobody listens on is replaced.
 * Context: may wait.
 * Return: 0; negative errno: -EINVAL: options that make no sense; -ENAMETOOLONG; -EADDRINUSE:
 * somebody listens there; -EEXIST: something else than a socket is there; -ELOOP: see
 * src/path/path.h; what the system says. Nothing is kept after an error.
 */
HVO_MUST_CHECK int lend_start(struct hvo_linux *host, const struct lend_options *opt,
			      struct lend **ret);

/**
 * lend_stop() - put all clients out, take all pages back
 *
 * Context: may wait. Accepts NULL. No file of lend_add_files() may be read any more.
 * Return: pages whose memory could not be had: they stay in use in the machine.
 */
uint64_t lend_stop(struct lend *lend);

/* What it says is of one moment. Any thread. */
void lend_stat(struct lend *lend, struct lend_stat *ret);
/* As it was started, defaults filled in; constant. */
const struct lend_options *lend_options(const struct lend *lend);

/**
 * lend_add_files() - sys/kernel/hvo/lend/{clients,pages,limit,refused}
 *
 * The tree must be gone before lend_stop().
 * Return: what tree_add() does; files that were added before an error stay.
 */
int lend_add_files(struct lend *lend, struct tree *tree);

#endif
