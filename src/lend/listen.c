// SPDX-License-Identifier: MIT
/*
 * The socket that clients come to.
 *
 * States: none, or bound and listening. Locks: none; before and after the thread.
 */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

/* Does nobody listen there any more? 0 if it was removed. */
static int remove_stale(const struct sockaddr_un *addr)
{
	struct stat st;
	int fd, rc;

	if (lstat(addr->sun_path, &st))
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	rc = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) ? errno : 0;
	close(fd);
	if (rc != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(addr->sun_path) ? -errno : 0;
}

/* Linux gives the file the mode that the socket has: there is no moment with another one. */
static int bind_path(int fd, const struct sockaddr_un *addr, mode_t mode)
{
	int rc;

	if (fchmod(fd, mode))
		return -errno;
	if (!bind(fd, (const struct sockaddr *)addr, sizeof(*addr)))
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	rc = remove_stale(addr);
	if (!rc && bind(fd, (const struct sockaddr *)addr, sizeof(*addr)))
		rc = -errno;
	return rc;
}

static int note_file(struct lend *lend)
{
	struct stat st;

	/* What the umask took away: the mode is what was asked for. */
	if (chmod(lend->opt.path, lend->opt.mode) || lstat(lend->opt.path, &st))
		return -errno;
	lend->dev = st.st_dev;
	lend->ino = st.st_ino;
	return 0;
}

int lend_listen(struct lend *lend)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = strlen(lend->opt.path);
	int fd, rc;

	if (!len || len >= sizeof(addr.sun_path))
		return len ? -ENAMETOOLONG : -EINVAL;
	memcpy(addr.sun_path, lend->opt.path, len);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	rc = bind_path(fd, &addr, lend->opt.mode);
	if (rc) {
		close(fd);
		return rc;
	}
	lend->listener = fd;
	rc = note_file(lend);
	if (!rc && listen(fd, BACKLOG))
		rc = -errno;
	if (rc)
		lend_unlisten(lend);
	return rc;
}

/* Not the socket of another server, which took the place of ours. */
void lend_unlisten(struct lend *lend)
{
	struct stat st;

	if (lend->listener < 0)
		return;
	if (!lstat(lend->opt.path, &st) && st.st_dev == lend->dev && st.st_ino == lend->ino)
		(void)unlink(lend->opt.path);
	/* Nobody is to wait in vain, even if a child has a copy of it. */
	(void)shutdown(lend->listener, SHUT_RDWR);
	close(lend->listener);
	lend->listener = -1;
}
