/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLI_SERVE_BACKGROUND_H
#define HVO_CLI_SERVE_BACKGROUND_H

/*
 * Go on in the background, once there is something to go on with. Until then the user waits, sees
 * what is printed, and can interrupt it.
 */

/**
 * background_fork() - go on in a child
 * @ret_pipe: for background_ready()
 *
 * Call it before there is anything that a fork should not have.
 *
 * Return: -1 in the child, which goes on; in the process that the user waits for an exit status, as
 * soon as the child is ready, or has ended.
 */
int background_fork(int *ret_pipe);

/*
 * What was started works: the user need not wait. From here on there are no standard streams and no
 * terminal. CLI_OK, or CLI_FAILED and a line was printed.
 */
int background_ready(int pipe_fd);

#endif
