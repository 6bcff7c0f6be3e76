/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLI_FILES_ROOT_H
#define HVO_CLI_FILES_ROOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tree;

/*
 * The files of a kernel, or of a machine that is served in the same form: DIR/sys/...,
 * DIR/proc/...; or those of a machine of this process. Paths are given as formats, without a
 * leading '/'. Results are 0 or negative errno; outputs stay untouched after an error.
 */
struct root {
	int fd;
	bool own;	   /* the kernel that this runs on */
	struct tree *tree; /* of this process; NULL: files */
};

#define ROOT_PATH_MAX 512

/*
 * @dir: "/", or where a machine is mounted. -ENOENT, -ENOTDIR, -EACCES, ...; -ELOOP: on the way is
 * another user's symbolic link, which root does not follow. Links in @dir do not lead out of it.
 */
int root_open(struct root *root, const char *dir);
/* A machine of this process; the tree must stay until root_close(), which does not free it. */
void root_of_tree(struct root *root, struct tree *tree);
void root_close(struct root *root);

/* All of a file, ended by '\0'; to be freed. */
int root_read(const struct root *root, char **ret, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The number that a file holds; -EPROTO if it is none. */
int root_number(const struct root *root, uint64_t *ret, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Write one string, in one write(). */
int root_write(const struct root *root, const char *text, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/*
 * The names in a directory that begin with @prefix, sorted as numbers where they end in
 * digits; until @each returns other than 0, which is then returned.
 */
int root_list(const struct root *root, const char *prefix, int (*each)(void *arg, const char *name),
	      void *arg, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* The number behind "key" or "key:" at the start of a line of some text; -ENOENT. */
int root_field(const char *text, const char *key, uint64_t *ret);
/*
 * A number of the kernel that this runs on: in the file @path, behind @key if that is not NULL.
 * False if there is none.
 */
bool root_own_number(const char *path, const char *key, uint64_t *ret);

#endif
