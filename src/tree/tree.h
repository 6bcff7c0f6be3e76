/* SPDX-License-Identifier: MIT */
#ifndef HVO_TREE_TREE_H
#define HVO_TREE_TREE_H

#include <hvo/hvo.h>

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

/*
 * A machine as files in the kernel's own form: sys/kernel/mm/hugepages/..., proc/meminfo, ...
 * Whoever shows them to others (FUSE, a test, the lab) goes through these calls. Paths begin
 * with '/', and the root is "/". Thread-safe, but for tree_add().
 */
struct tree;

/**
 * struct tree_file - what a file does
 * @mode: its permissions, 0444 or 0644 or 0200; with S_IFLNK: a symbolic link, and what @show
 *        writes is its target
 * @show: write its whole content; 0 or negative errno. NULL: it cannot be read (-EACCES)
 * @store: take what one write() brought, ended by '\0'; 0 or negative errno. NULL: it
 *         cannot be written (-EACCES)
 * @there: NULL, or does it exist now?
 * @pread: instead of @show, for a large file: up to @len bytes from @offset on; how many there
 *         were, 0 at its end, or negative errno
 */
struct tree_file {
	mode_t mode;
	int (*show)(void *arg, FILE *out);
	int (*store)(void *arg, const char *text);
	bool (*there)(void *arg);
	ssize_t (*pread)(void *arg, void *buf, size_t len, uint64_t offset);
};

/**
 * struct tree_options - what the kernel is told when it boots; zero means the default
 * @memmap_on_memory: memory_hotplug.memmap_on_memory: memory that is added by its address holds
 *                    its own descriptors
 */
struct tree_options {
	bool memmap_on_memory;
};

/*
 * All files of a machine, which must stay until tree_free(), with the pools it has now.
 * @opt: may be NULL. 0 or -ENOMEM.
 */
int tree_new(struct hvo_machine *m, const struct tree_options *opt, struct tree **ret);
void tree_free(struct tree *t);

/**
 * tree_add() - one more file
 * @file: must stay until tree_free(); so must @arg, which its functions are called with
 *
 * Directories on the way are made. Context: before others use the tree.
 * Return: 0; -EEXIST; -ENOTDIR: a file is in the way; -ENOMEM. Nothing changed after an error.
 */
int tree_add(struct tree *t, const char *path, const struct tree_file *file, void *arg);

struct tree_row {
	const char *name;
	struct tree_file file;
};

/**
 * tree_add_rows() - tree_add() for @nr files of a directory
 *
 * Context: as tree_add().
 * Return: as tree_add(); files that were added before an error stay.
 */
int tree_add_rows(struct tree *t, const char *dir, const struct tree_row *rows, size_t nr,
		  void *arg);

/* Type and permissions, as in st_mode. 0; -ENOENT; -ENOTDIR. */
int tree_mode(struct tree *t, const char *path, mode_t *ret);
/* The names in a directory, until @each returns other than 0, which is then returned. */
int tree_list(struct tree *t, const char *path,
	      int (*each)(void *arg, const char *name, mode_t mode), void *arg);
/* All of a file, ended by '\0' at [*ret_len]; to be freed. Also -EISDIR, -EACCES, -ENOMEM. */
int tree_read(struct tree *t, const char *path, char **ret, size_t *ret_len);
/* What one write() is to do. 0, or what the file says. */
int tree_write(struct tree *t, const char *path, const char *text, size_t len);

/* Is it a file that tree_pread() reads? Then tree_read() does it in one piece. False if not there. */
bool tree_is_large(struct tree *t, const char *path);
/* A piece of such a file: how many bytes, 0 at its end, or negative errno; -EINVAL: it is none. */
ssize_t tree_pread(struct tree *t, const char *path, void *buf, size_t len, uint64_t offset);

#endif
