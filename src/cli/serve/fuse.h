/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLI_SERVE_FUSE_H
#define HVO_CLI_SERVE_FUSE_H

#include "tree/tree.h"

#include <stdbool.h>

/*
 * A tree mounted as a file system (hvofs). Errors are one line on standard error, and the
 * exit status is returned.
 */
struct hvofs;

/*
 * Can a machine be mounted there? A directory, empty, and nothing mounted on it. *@ret_fd is
 * that directory, whatever becomes of its name: for hvofs_mount(), until hvofs_free().
 */
int hvofs_check(const char *dir, int *ret_fd);

/**
 * hvofs_mount() - mount it; readers wait until hvofs_run()
 * @dir, @fd: as from hvofs_check()
 * @m: whose tree it is; abandoned when a signal ends hvofs_run(), so that nobody waits in it
 * @threads: several requests at a time; else hvo_work() is called after each write
 */
int hvofs_mount(struct tree *t, struct hvo_machine *m, const char *dir, int fd, bool threads,
		struct hvofs **ret);
/* Serve until it is unmounted, or SIGINT, SIGTERM or SIGHUP. From the main thread, once. */
int hvofs_run(struct hvofs *fs);
/* Unmount, if it is mounted still. */
void hvofs_free(struct hvofs *fs);

#endif
