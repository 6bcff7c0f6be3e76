// SPDX-License-Identifier: MIT
#include "guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Sleeps until the last write end of the pipe is closed, which the kernel does for
 * a process that ends in whatever way.
 */
static void wait_for_end(int pipe_fd)
{
	static const int deaf_to[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP };
	int null = open("/dev/null", O_RDWR);
	ssize_t got;
	size_t i;
	char byte;

	(void)setsid();
	for (i = 0; i < sizeof(deaf_to) / sizeof(deaf_to[0]); i++)
		(void)signal(deaf_to[i], SIG_IGN);
	/* Whoever reads our output must not wait for the guardian. */
	if (null >= 0) {
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
		(void)dup2(null, STDERR_FILENO);
	}
	do {
		got = read(pipe_fd, &byte, 1);
	} while (got > 0 || (got < 0 && errno == EINTR));
}

bool guardian_start(struct guardian *g, bool (*put_back)(const void *arg), const void *arg)
{
	sigset_t all, before;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return false;
	/* No signal may end the guardian before it has made itself deaf; it stays blocked. */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, &before);
	g->pid = fork();
	if (g->pid == 0) {
		close(fds[1]);
		wait_for_end(fds[0]);
		_exit(put_back(arg) ? 0 : 1);
	}
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	close(fds[0]);
	if (g->pid < 0) {
		close(fds[1]);
		return false;
	}
	g->pipe = fds[1];
	return true;
}

bool guardian_end(struct guardian *g)
{
	int status = 0;

	close(g->pipe);
	while (waitpid(g->pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
