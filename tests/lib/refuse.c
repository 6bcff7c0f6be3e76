// SPDX-License-Identifier: MIT
/* A host that says no: see refuse.h. */
#include "refuse.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_FILES 16u

/* Threads of the library count as well, and its children. */
static struct counters {
	unsigned long points;
	bool failed;
} * counters;
static unsigned long fail_at;
static bool armed, stays;
static int fail_with;
static struct {
	const char *path, *text;
} files[MAX_FILES];

void refuse_from(unsigned long point, bool sticky, int error)
{
	if (!counters)
		counters = mmap(NULL, sizeof(*counters), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counters == MAP_FAILED)
		abort();
	__atomic_store_n(&counters->points, 0, __ATOMIC_RELAXED);
	fail_at = point;
	stays = sticky;
	fail_with = error;
	__atomic_store_n(&counters->failed, false, __ATOMIC_RELAXED);
	__atomic_store_n(&armed, true, __ATOMIC_RELEASE);
}

bool refuse_end(void)
{
	__atomic_store_n(&armed, false, __ATOMIC_RELEASE);
	return __atomic_load_n(&counters->failed, __ATOMIC_RELAXED);
}

unsigned long refuse_points(void)
{
	return __atomic_load_n(&counters->points, __ATOMIC_RELAXED);
}

void refuse_file(const char *path, const char *text)
{
	unsigned int i;

	for (i = 0; i < MAX_FILES; i++)
		if (!files[i].path || !strcmp(files[i].path, path))
			break;
	if (i == MAX_FILES)
		abort();
	files[i].path = path;
	files[i].text = text;
}

void refuse_files_end(void)
{
	memset(files, 0, sizeof(files));
}

static bool refused(void)
{
	unsigned long point;

	if (!__atomic_load_n(&armed, __ATOMIC_ACQUIRE))
		return false;
	point = __atomic_add_fetch(&counters->points, 1, __ATOMIC_RELAXED);
	if (!fail_at || (stays ? point < fail_at : point != fail_at))
		return false;
	__atomic_store_n(&counters->failed, true, __ATOMIC_RELAXED);
	errno = fail_with;
	return true;
}

/*
 * Calls of a known form, by the names that they have for the linker where file offsets have 64 bits,
 * as in all that meson builds: name, result where it fails, parameters, arguments.
 */
#define CALL(type, name, bad, params, args)                    \
	type __real_##name params;                             \
	type __wrap_##name params;                             \
	type __wrap_##name params                              \
	{                                                      \
		return refused() ? (bad) : __real_##name args; \
	}

CALL(void *, mmap64, MAP_FAILED, (void *at, size_t len, int prot, int flags, int fd, off_t off),
     (at, len, prot, flags, fd, off))
CALL(int, mprotect, -1, (void *at, size_t len, int prot), (at, len, prot))
CALL(int, madvise, -1, (void *at, size_t len, int advice), (at, len, advice))
CALL(int, fallocate64, -1, (int fd, int mode, off_t off, off_t len), (fd, mode, off, len))
CALL(int, ftruncate64, -1, (int fd, off_t len), (fd, len))
CALL(int, memfd_create, -1, (const char *name, unsigned int flags), (name, flags))
CALL(int, fstat64, -1, (int fd, struct stat *st), (fd, st))
CALL(int, fstatat64, -1, (int dir, const char *path, struct stat *st, int flags),
     (dir, path, st, flags))
CALL(void *, malloc, NULL, (size_t size), (size))
CALL(void *, calloc, NULL, (size_t nr, size_t size), (nr, size))
CALL(void *, reallocarray, NULL, (void *at, size_t nr, size_t size), (at, nr, size))
CALL(FILE *, open_memstream, NULL, (char **text, size_t *len), (text, len))
CALL(char *, strdup, NULL, (const char *text), (text))
CALL(int, pthread_create, errno,
     (pthread_t * thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg),
     (thread, attr, fn, arg))
CALL(int, epoll_create1, -1, (int flags), (flags))
CALL(int, epoll_ctl, -1, (int epoll, int op, int fd, struct epoll_event *event),
     (epoll, op, fd, event))
CALL(int, eventfd, -1, (unsigned int count, int flags), (count, flags))
CALL(int, socket, -1, (int family, int type, int protocol), (family, type, protocol))
CALL(int, bind, -1, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len))
CALL(int, listen, -1, (int fd, int backlog), (fd, backlog))

CALL(int, accept4, -1, (int fd, struct sockaddr *addr, socklen_t *len, int flags),
     (fd, addr, len, flags))
CALL(int, getsockopt, -1, (int fd, int level, int name, void *value, socklen_t *len),
     (fd, level, name, value, len))
CALL(int, fchmod, -1, (int fd, mode_t mode), (fd, mode))
CALL(ssize_t, sendmsg, -1, (int fd, const struct msghdr *msg, int flags), (fd, msg, flags))
CALL(pid_t, fork, -1, (void), ())

int __real_fcntl64(int fd, int cmd, ...);
int __wrap_fcntl64(int fd, int cmd, ...);
int __wrap_fcntl64(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	return refused() ? -1 : __real_fcntl64(fd, cmd, arg);
}

/* Sleeps and wakes are not refused: who waits would go on waiting. */
long __real_syscall(long nr, ...);
long __wrap_syscall(long nr, ...);
long __wrap_syscall(long nr, ...)
{
	long args[6];
	va_list ap;
	int i;

	va_start(ap, nr);
	for (i = 0; i < 6; i++)
		args[i] = va_arg(ap, long);
	va_end(ap);
	if (nr != SYS_futex && refused())
		return -1;
	return __real_syscall(nr, args[0], args[1], args[2], args[3], args[4], args[5]);
}

FILE *__real_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode)
{
	unsigned int i;

	for (i = 0; i < MAX_FILES; i++)
		if (files[i].text && !strcmp(files[i].path, path))
			return fmemopen((void *)(uintptr_t)files[i].text, strlen(files[i].text),
					"r");
	return refused() ? NULL : __real_fopen64(path, mode);
}
