// SPDX-License-Identifier: MIT
/*
 * The socket that clients come to.
 *
 * Whoever owns its directory can put something else in the place of the socket at any moment. So
 * the path is followed once, what is done to the socket's name is done in that directory, and
 * what could be led elsewhere (chmod) is not done at all: the mode comes from bind().
 *
 * States: none, or bound and listening. Locks: none; before and after the thread.
 */
#include "internal.h"
#include "path/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKLOG 64

/* ---- in a process of its own ------------------------------------------------------ */

/* Does nobody listen there any more? 0 if it was removed. */
static int remove_stale(const struct sockaddr_un *addr)
{
	struct stat st;
	int fd, rc;

	if (lstat(addr->sun_path, &st))
		return errno;
	if (!S_ISSOCK(st.st_mode))
		return EEXIST;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return errno;
	rc = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) ? errno : 0;
	close(fd);
	if (rc != ECONNREFUSED)
		return EADDRINUSE;
	return unlink(addr->sun_path) ? errno : 0;
}

/* Returns an errno value. Linux gives the file the mode that the socket has, less the umask. */
static int bind_name(int dir, int fd, const struct sockaddr_un *addr)
{
	int rc;

	if (fchdir(dir))
		return errno;
	(void)umask(0);
	if (!bind(fd, (const struct sockaddr *)addr, sizeof(*addr)))
		return 0;
	if (errno != EADDRINUSE)
		return errno;
	rc = remove_stale(addr);
	if (!rc && bind(fd, (const struct sockaddr *)addr, sizeof(*addr)))
		rc = errno;
	return rc;
}

/* ---- in the server ------------------------------------------------------------------ */

static bool is_bound(int fd)
{
	struct sockaddr_un addr;
	socklen_t len = sizeof(addr);

	return !getsockname(fd, (struct sockaddr *)&addr, &len) && len > sizeof(addr.sun_family);
}

/*
 * The current directory and the umask are the whole process's, which has other threads; a child
 * has its own. It makes system calls only.
 */
static int bind_apart(int dir, int fd, const struct sockaddr_un *addr)
{
	pid_t pid = fork();
	int status = 0;

	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(bind_name(dir, fd, addr));
	while (waitpid(pid, &status, 0) < 0) {
		if (errno == EINTR)
			continue;
		/* Where SIGCHLD is ignored nobody says how it ended. */
		return is_bound(fd) ? 0 : -EADDRINUSE;
	}
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

static int note_file(struct hvo_lend *lend)
{
	struct stat st;

	if (fstatat(lend->dir, lend->name, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	lend->dev = st.st_dev;
	lend->ino = st.st_ino;
	return 0;
}

static int open_and_bind(struct hvo_lend *lend)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = strlen(lend->path);

	/* Clients have to name all of it. */
	if (!len || len >= sizeof(addr.sun_path))
		return len ? -ENAMETOOLONG : -EINVAL;
	lend->dir = path_open_parent(lend->path, lend->name);
	if (lend->dir < 0)
		return lend->dir;
	memcpy(addr.sun_path, lend->name, strlen(lend->name));
	lend->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (lend->listener < 0 || fchmod(lend->listener, lend->opt.mode))
		return -errno;
	return bind_apart(lend->dir, lend->listener, &addr);
}

static void close_both(struct hvo_lend *lend)
{
	if (lend->listener >= 0)
		close(lend->listener);
	if (lend->dir >= 0)
		close(lend->dir);
	lend->listener = -1;
	lend->dir = -1;
}

int lend_listen(struct hvo_lend *lend)
{
	int rc = open_and_bind(lend);

	if (rc) {
		/* Not bound: what is there is somebody else's. */
		close_both(lend);
		return rc;
	}
	rc = note_file(lend);
	if (!rc && listen(lend->listener, BACKLOG))
		rc = -errno;
	if (rc)
		lend_unlisten(lend);
	return rc;
}

/*
 * Has the socket of another server taken the place of ours? What cannot be looked at, now or when it
 * was bound, is what bind() put there.
 */
static bool is_foreign(const struct hvo_lend *lend)
{
	struct stat st;

	return lend->ino && !fstatat(lend->dir, lend->name, &st, AT_SYMLINK_NOFOLLOW) &&
	       (st.st_dev != lend->dev || st.st_ino != lend->ino);
}

void lend_unlisten(struct hvo_lend *lend)
{
	if (lend->listener < 0)
		return;
	if (!is_foreign(lend))
		(void)unlinkat(lend->dir, lend->name, 0);
	/* Nobody is to wait in vain, even if a child has a copy of it. */
	(void)shutdown(lend->listener, SHUT_RDWR);
	close_both(lend);
}
