// SPDX-License-Identifier: MIT
#include "background.h"

#include "common/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* One byte says that it is ready; without it the child's end says what became of it. */
static int wait_until_ready(int pipe_fd, pid_t child)
{
	int status = 0;
	ssize_t got;
	char byte;

	do {
		got = read(pipe_fd, &byte, 1);
	} while (got < 0 && errno == EINTR);
	if (got == 1)
		return CLI_OK;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : CLI_FAILED;
}

int background_fork(int *ret_pipe)
{
	int fds[2], status;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		cli_die("--background: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		cli_die("--background: %s", strerror(errno));
	close(fds[pid ? 1 : 0]);
	if (!pid) {
		*ret_pipe = fds[1];
		return -1;
	}
	status = wait_until_ready(fds[0], pid);
	close(fds[0]);
	return status;
}

int background_ready(int pipe_fd)
{
	const char byte = 1;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return cli_error("/dev/null: %s", strerror(errno));
	(void)setsid();
	(void)signal(SIGPIPE, SIG_IGN);
	/* Nobody waits any more: then nobody knows that this is here, and it ends. */
	if (write(pipe_fd, &byte, 1) != 1) {
		close(null);
		return CLI_FAILED;
	}
	close(pipe_fd);
	(void)dup2(null, STDIN_FILENO);
	(void)dup2(null, STDOUT_FILENO);
	(void)dup2(null, STDERR_FILENO);
	if (null > STDERR_FILENO)
		close(null);
	return CLI_OK;
}
