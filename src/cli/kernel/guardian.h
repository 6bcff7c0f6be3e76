/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLI_KERNEL_GUARDIAN_H
#define HVO_CLI_KERNEL_GUARDIAN_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * A process that puts settings of the kernel back when this one ends, in whatever way.
 *
 *	us ------ pipe -----> guardian: sleeps in read()
 *	 | change settings        |
 *	 x end, in whatever way   +--> end of file: calls put_back()
 *
 * It is there before the first change, in a session of its own, deaf to all signals
 * that can be ignored. It has the files that were open when it was started, and with
 * them their locks: nobody who takes such a lock sees settings that are half put back.
 */

struct guardian {
	int pipe; /* its write end */
	pid_t pid;
};

/**
 * guardian_start() - fork the process
 * @put_back: called in it, once; returns whether all is as it was
 *
 * Call it before there is anything that a fork should not have.
 * Return: false if it could not be done.
 */
bool guardian_start(struct guardian *g, bool (*put_back)(const void *arg), const void *arg);

/* Let it do its work now, and wait. False unless all is as it was. */
bool guardian_end(struct guardian *g);

#endif
