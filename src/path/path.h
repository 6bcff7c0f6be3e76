/* SPDX-License-Identifier: MIT */
#ifndef HVO_PATH_PATH_H
#define HVO_PATH_PATH_H

#include <limits.h>
#include <sys/types.h>

/*
 * Paths that somebody names, in directories that may belong to somebody else. A path is followed
 * once, to a directory that is held open; whatever is done then is done there, to a name without
 * '/', so that nobody can put another place under what was looked at.
 *
 * Root follows no symbolic link of another user: he could lead root to where he may not write
 * himself. What root, or in any other case anybody, made is followed as usual.
 *
 * Descriptors are close-on-exec. Errors are negative errno values; of them -ELOOP also for such
 * a link.
 */

/* A directory, O_PATH. -ENOTDIR: it is something else. */
int path_open_dir(const char *path);
/* The directory that the last name of a path is in, O_PATH. *@name is that name, "." if there is none. */
int path_open_parent(const char *path, char name[NAME_MAX + 1]);
/* Like creat(): a file to be written from its beginning. */
int path_create(const char *path, mode_t mode);
/* Like mkdir(). */
int path_make_dir(const char *path, mode_t mode);
/* strerror() of one of these. */
const char *path_error(int rc);

#endif
