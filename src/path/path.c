// SPDX-License-Identifier: MIT
/*
 * Following a path step by step, each one in the directory that the last one opened.
 *
 * Linux: fs/namei.c, link_path_walk(), may_follow_link().
 */
#include "path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MAX_LINKS 40u /* as the kernel */
#define REST_MAX 2048 /* on the stack */

/* Where it is, and what of the path is still to be followed. */
struct walk {
	int dir;
	unsigned int links;
	char rest[REST_MAX];
};

static void move_to(struct walk *w, int dir)
{
	close(w->dir);
	w->dir = dir;
}

static int begin(struct walk *w, const char *path)
{
	if (!*path)
		return -ENOENT;
	if (strlen(path) >= sizeof(w->rest))
		return -ENAMETOOLONG;
	strcpy(w->rest, path);
	w->links = 0;
	w->dir = open(*path == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return w->dir < 0 ? -errno : 0;
}

static bool may_follow(const struct stat *link)
{
	return geteuid() != 0 || link->st_uid == 0;
}

/* Links of proc lead to what is open, which has no path: the kernel has to follow them. */
static bool of_proc(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && fs.f_type == PROC_SUPER_MAGIC;
}

/* The target of a link stands in its place. */
static int put_target(struct walk *w, int link)
{
	char path[REST_MAX];
	ssize_t len = readlinkat(link, "", path, sizeof(path));
	size_t rest = strlen(w->rest);
	int top;

	if (len < 0)
		return -errno;
	if ((size_t)len + rest >= sizeof(path))
		return -ENAMETOOLONG;
	memmove(w->rest + len, w->rest, rest + 1);
	memcpy(w->rest, path, (size_t)len);
	if (*w->rest != '/')
		return 0;
	top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		return -errno;
	move_to(w, top);
	return 0;
}

/* One name, which was taken off what is left. */
static int step(struct walk *w, const char *name)
{
	int fd = openat(w->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), rc;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st)) {
		rc = -errno;
	} else if (!S_ISLNK(st.st_mode)) {
		move_to(w, fd);
		return 0;
	} else if (++w->links > MAX_LINKS || !may_follow(&st)) {
		rc = -ELOOP;
	} else if (of_proc(fd)) {
		close(fd);
		fd = openat(w->dir, name, O_PATH | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		move_to(w, fd);
		return 0;
	} else {
		rc = put_target(w, fd);
	}
	close(fd);
	return rc;
}

/* To the directory of the last name, which is what is left then. */
static int go(struct walk *w)
{
	char name[NAME_MAX + 1];
	size_t skip, len;
	int rc = 0;

	while (!rc) {
		skip = strspn(w->rest, "/");
		len = strcspn(w->rest + skip, "/");
		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		if (!w->rest[skip + len]) {
			memmove(w->rest, w->rest + skip, len + 1);
			return 0;
		}
		memcpy(name, w->rest + skip, len);
		name[len] = '\0';
		memmove(w->rest, w->rest + skip + len, strlen(w->rest + skip + len) + 1);
		rc = step(w, name);
	}
	return rc;
}

int path_open_parent(const char *path, char name[NAME_MAX + 1])
{
	struct walk w;
	int rc = begin(&w, path);

	if (rc)
		return rc;
	rc = go(&w);
	if (!rc && faccessat(w.dir, ".", F_OK, 0))
		rc = -errno; /* not a directory, or not one to be searched */
	if (rc) {
		close(w.dir);
		return rc;
	}
	strcpy(name, *w.rest ? w.rest : ".");
	return w.dir;
}

int path_open_dir(const char *path)
{
	struct walk w;
	int fd, rc = begin(&w, path);

	if (rc)
		return rc;
	rc = strlen(w.rest) + 2 < sizeof(w.rest) ? 0 : -ENAMETOOLONG;
	if (!rc) {
		/* So that its last name is followed, too. */
		strcat(w.rest, "/.");
		rc = go(&w);
	}
	fd = rc ? rc : openat(w.dir, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (!rc && fd < 0)
		fd = -errno;
	close(w.dir);
	return fd;
}

/* The last name is a link: on to where it leads, or into what proc says is open. */
static int create_behind(struct walk *w, int flags, mode_t mode)
{
	int link = openat(w->dir, w->rest, O_PATH | O_NOFOLLOW | O_CLOEXEC), rc;
	struct stat st;

	if (link < 0)
		return -errno;
	if (fstat(link, &st) || ++w->links > MAX_LINKS || !S_ISLNK(st.st_mode) ||
	    !may_follow(&st)) {
		rc = -ELOOP;
	} else if (of_proc(link)) {
		rc = openat(w->dir, w->rest, flags & ~O_NOFOLLOW, mode);
		rc = rc < 0 ? -errno : rc;
	} else {
		*w->rest = '\0';
		rc = put_target(w, link);
		if (!rc)
			rc = -EAGAIN;
	}
	close(link);
	return rc;
}

int path_create(const char *path, mode_t mode)
{
	const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC;
	struct walk w;
	int fd = begin(&w, path);

	if (fd)
		return fd;
	do {
		fd = go(&w);
		if (fd)
			break;
		fd = openat(w.dir, *w.rest ? w.rest : ".", flags, mode);
		if (fd < 0)
			fd = errno == ELOOP ? create_behind(&w, flags, mode) : -errno;
	} while (fd == -EAGAIN);
	close(w.dir);
	return fd;
}

int path_make_dir(const char *path, mode_t mode)
{
	char name[NAME_MAX + 1];
	int dir = path_open_parent(path, name), rc;

	if (dir < 0)
		return dir;
	rc = mkdirat(dir, name, mode) ? -errno : 0;
	close(dir);
	return rc;
}

const char *path_error(int rc)
{
	return rc == -ELOOP ? "a symbolic link on the way is another user's, and root does not "
			      "follow it (or there are too many)" :
			      strerror(-rc);
}
