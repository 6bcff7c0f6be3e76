// SPDX-License-Identifier: MIT
/*
 * The kernel's pools as a peer: see hostpool.h. The guardian is that of the hvo command
 * (src/cli/kernel/guardian.c) with more to put back.
 *
 * A process that dies gives up its mappings before its files, so when the guardian
 * wakes up no huge page is in use.
 *
 * States: the pools are empty, taken by one hostpool, empty again.
 * Locks: flock() on the file of the 2 MiB pool, as the hvo command takes it; the
 * guardian has it too, so nobody sees a pool that is half put back.
 * In Linux: mm/hugetlb_sysfs.c, mm/hugetlb_sysctl.c.
 */
#include "hostpool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define SYSFS "/sys/kernel/mm/hugepages/hugepages-"
#define NODE "/sys/devices/system/node/node"
#define VM "/proc/sys/vm/"

#define NEEDED_BYTES (UINT64_C(6) << 30)
#define LOCK_TRIES 600
#define LOCK_STEP_NS 100000000L
#define FRAME_KIB 4

static const char *const size_names[HOSTPOOL_SIZES] = { "2048kB", "1048576kB" };

static const char *const file_names[HOSTPOOL_FILES] = {
	[HOSTPOOL_NR] = "nr_hugepages",
	[HOSTPOOL_NR_MEMPOLICY] = "nr_hugepages_mempolicy",
	[HOSTPOOL_OVERCOMMIT] = "nr_overcommit_hugepages",
	[HOSTPOOL_FREE] = "free_hugepages",
	[HOSTPOOL_SURPLUS] = "surplus_hugepages",
	[HOSTPOOL_RESERVED] = "resv_hugepages",
	[HOSTPOOL_NODE_NR] = "nr_hugepages",
	[HOSTPOOL_NODE_FREE] = "free_hugepages",
	[HOSTPOOL_NODE_SURPLUS] = "surplus_hugepages",
	[HOSTPOOL_DEMOTE] = "demote",
	[HOSTPOOL_DEMOTE_SIZE] = "demote_size",
	[HOSTPOOL_NODE_DEMOTE] = "demote",
};

static const char *const sysctl_names[HOSTPOOL_SYSCTLS] = {
	[HOSTPOOL_SYSCTL_NR] = VM "nr_hugepages",
	[HOSTPOOL_SYSCTL_OVERCOMMIT] = VM "nr_overcommit_hugepages",
	[HOSTPOOL_SYSCTL_SWITCH] = VM "hugetlb_optimize_vmemmap",
};

/* ---- files ------------------------------------------------------------------------ */

static bool is_of_node(enum hostpool_file file)
{
	return file == HOSTPOOL_NODE_NR || file == HOSTPOOL_NODE_FREE ||
	       file == HOSTPOOL_NODE_SURPLUS || file == HOSTPOOL_NODE_DEMOTE;
}

static int file_mode(enum hostpool_file file)
{
	switch (file) {
	case HOSTPOOL_FREE:
	case HOSTPOOL_SURPLUS:
	case HOSTPOOL_RESERVED:
	case HOSTPOOL_NODE_FREE:
	case HOSTPOOL_NODE_SURPLUS:
		return O_RDONLY;
	case HOSTPOOL_DEMOTE:
	case HOSTPOOL_NODE_DEMOTE:
		return O_WRONLY;
	default:
		return O_RDWR;
	}
}

static int open_file(enum hostpool_size size, enum hostpool_file file)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s%s/%s",
		       is_of_node(file) ? NODE "0/hugepages/hugepages-" : SYSFS, size_names[size],
		       file_names[file]);
	return open(path, file_mode(file) | O_CLOEXEC);
}

static unsigned int files_of(enum hostpool_size size)
{
	return size == HOSTPOOL_1G ? HOSTPOOL_FILES : HOSTPOOL_DEMOTE;
}

static void close_files(struct hostpool *hp)
{
	unsigned int size, i;

	for (size = 0; size < HOSTPOOL_SIZES; size++)
		for (i = 0; i < HOSTPOOL_FILES; i++)
			if (hp->file[size][i] >= 0)
				close(hp->file[size][i]);
	for (i = 0; i < HOSTPOOL_SYSCTLS; i++)
		if (hp->sysctl[i] >= 0)
			close(hp->sysctl[i]);
	if (hp->vmstat >= 0)
		close(hp->vmstat);
	if (hp->meminfo >= 0)
		close(hp->meminfo);
}

static bool open_files(struct hostpool *hp)
{
	unsigned int size, i;
	bool ok = true;

	memset(hp, 0xff, sizeof(*hp)); /* no file is open, no guardian is there */
	for (size = 0; size < HOSTPOOL_SIZES; size++) {
		for (i = 0; i < files_of((enum hostpool_size)size); i++) {
			hp->file[size][i] =
				open_file((enum hostpool_size)size, (enum hostpool_file)i);
			ok = ok && hp->file[size][i] >= 0;
		}
	}
	for (i = 0; i < HOSTPOOL_SYSCTLS; i++) {
		hp->sysctl[i] = open(sysctl_names[i], O_RDWR | O_CLOEXEC);
		ok = ok && hp->sysctl[i] >= 0;
	}
	hp->vmstat = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
	hp->meminfo = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	return ok && hp->vmstat >= 0 && hp->meminfo >= 0;
}

static int write_text(int fd, const char *text)
{
	size_t len = strlen(text);
	ssize_t done = pwrite(fd, text, len, 0);

	if (done < 0)
		return -errno;
	return (size_t)done == len ? 0 : -EINTR;
}

static int write_number(int fd, uint64_t nr)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%" PRIu64 "\n", nr);
	return write_text(fd, text);
}

static bool read_number(int fd, uint64_t *ret)
{
	char text[32], *end;
	ssize_t len = pread(fd, text, sizeof(text) - 1, 0);

	if (len <= 0)
		return false;
	text[len] = '\0';
	*ret = strtoull(text, &end, 10);
	return end != text;
}

/* The number that follows @name at the start of a line. */
static bool find_number(const char *text, const char *name, uint64_t *ret)
{
	size_t len = strlen(name);
	char *end;

	while (text && strncmp(text, name, len)) {
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	if (!text)
		return false;
	*ret = strtoull(text + len, &end, 10);
	return end != text + len;
}

static bool read_all(int fd, char *buf, size_t max)
{
	size_t len = 0;
	ssize_t got;

	do {
		got = pread(fd, buf + len, max - 1 - len, (off_t)len);
		if (got > 0)
			len += (size_t)got;
	} while (got > 0 && len < max - 1);
	buf[len] = '\0';
	return len && got == 0;
}

/* ---- counters --------------------------------------------------------------------- */

static bool read_memmap(const struct hostpool *hp, uint64_t *ret_boot, uint64_t *ret_memmap)
{
	char text[16384];

	return read_all(hp->vmstat, text, sizeof(text)) &&
	       find_number(text, "nr_memmap_boot_pages ", ret_boot) &&
	       find_number(text, "nr_memmap_pages ", ret_memmap);
}

bool hostpool_memmap(const struct hostpool *hp, uint64_t *ret)
{
	uint64_t boot, memmap;

	if (!read_memmap(hp, &boot, &memmap))
		return false;
	*ret = boot + memmap;
	return true;
}

static bool read_meminfo(const struct hostpool *hp, const char *name, uint64_t *ret_kib)
{
	char text[8192];

	return read_all(hp->meminfo, text, sizeof(text)) && find_number(text, name, ret_kib);
}

bool hostpool_counters(const struct hostpool *hp, struct hostpool_counters *ret)
{
	uint64_t kib;
	unsigned int i;
	bool ok = true;

	for (i = 0; i < HOSTPOOL_SIZES; i++) {
		const int *fd = hp->file[i];

		ok = ok && read_number(fd[HOSTPOOL_NR], &ret->pool[i].total) &&
		     read_number(fd[HOSTPOOL_FREE], &ret->pool[i].free) &&
		     read_number(fd[HOSTPOOL_SURPLUS], &ret->pool[i].surplus) &&
		     read_number(fd[HOSTPOOL_RESERVED], &ret->pool[i].reserved) &&
		     read_number(fd[HOSTPOOL_OVERCOMMIT], &ret->pool[i].overcommit) &&
		     read_number(fd[HOSTPOOL_NODE_NR], &ret->pool[i].node_total) &&
		     read_number(fd[HOSTPOOL_NODE_FREE], &ret->pool[i].node_free) &&
		     read_number(fd[HOSTPOOL_NODE_SURPLUS], &ret->pool[i].node_surplus);
	}
	if (!ok || !read_number(hp->sysctl[HOSTPOOL_SYSCTL_NR], &ret->persistent) ||
	    !read_memmap(hp, &ret->memmap_boot, &ret->memmap) ||
	    !read_meminfo(hp, "MemTotal:", &kib))
		return false;
	ret->total_frames = kib / FRAME_KIB;
	return true;
}

/* ---- settings --------------------------------------------------------------------- */

int hostpool_write(const struct hostpool *hp, enum hostpool_size size, enum hostpool_file file,
		   const char *text)
{
	return write_text(hp->file[size][file], text);
}

int hostpool_write_nr(const struct hostpool *hp, enum hostpool_size size, enum hostpool_file file,
		      uint64_t nr)
{
	return write_number(hp->file[size][file], nr);
}

int hostpool_write_sysctl(const struct hostpool *hp, enum hostpool_sysctl sysctl, uint64_t nr)
{
	return write_number(hp->sysctl[sysctl], nr);
}

/* Nothing in any pool, and no setting that is not 0. */
static bool all_empty(const struct hostpool *hp)
{
	struct hostpool_counters c;
	unsigned int i;

	if (!hostpool_counters(hp, &c))
		return false;
	for (i = 0; i < HOSTPOOL_SIZES; i++)
		if (c.pool[i].total || c.pool[i].surplus || c.pool[i].reserved ||
		    c.pool[i].overcommit)
			return false;
	return c.persistent == 0;
}

/* Raising the number first makes persistent what is surplus: that would stay otherwise. */
static void empty_pool(const struct hostpool *hp, enum hostpool_size size)
{
	uint64_t total;

	if (read_number(hp->file[size][HOSTPOOL_NR], &total))
		(void)write_number(hp->file[size][HOSTPOOL_NR], total);
	(void)write_number(hp->file[size][HOSTPOOL_NR], 0);
}

bool hostpool_reset(const struct hostpool *hp)
{
	uint64_t optimize;

	(void)write_number(hp->sysctl[HOSTPOOL_SYSCTL_OVERCOMMIT], 0);
	(void)write_text(hp->file[HOSTPOOL_1G][HOSTPOOL_DEMOTE_SIZE], size_names[HOSTPOOL_2M]);
	empty_pool(hp, HOSTPOOL_1G);
	empty_pool(hp, HOSTPOOL_2M);
	(void)write_number(hp->sysctl[HOSTPOOL_SYSCTL_SWITCH], hp->optimize);
	return all_empty(hp) && read_number(hp->sysctl[HOSTPOOL_SYSCTL_SWITCH], &optimize) &&
	       optimize == hp->optimize;
}

static bool put_back(const void *hp)
{
	return hostpool_reset(hp);
}

/* ---- beginning and end ------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static bool refuse(char reason[HOSTPOOL_REASON],
							 const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(reason, HOSTPOOL_REASON, fmt, args);
	va_end(args);
	return false;
}

static bool lock_pools(const struct hostpool *hp)
{
	struct timespec step = { 0, LOCK_STEP_NS };
	unsigned int tries;

	for (tries = 0; tries < LOCK_TRIES; tries++) {
		if (!flock(hp->file[HOSTPOOL_2M][HOSTPOOL_NR], LOCK_EX | LOCK_NB))
			return true;
		(void)nanosleep(&step, NULL);
	}
	return false;
}

static bool take(struct hostpool *hp, char reason[HOSTPOOL_REASON])
{
	struct hostpool_counters c;
	uint64_t kib = 0;

	if (!lock_pools(hp))
		return refuse(reason, "others have had the kernel's pools for a minute");
	if (!hostpool_counters(hp, &c) ||
	    !read_number(hp->sysctl[HOSTPOOL_SYSCTL_SWITCH], &hp->optimize))
		return refuse(reason, "the kernel does not show all counters");
	if (!all_empty(hp))
		return refuse(reason, "the kernel's pools are in use: left alone");
	if (!read_meminfo(hp, "MemAvailable:", &kib) || kib << 10 <= NEEDED_BYTES)
		return refuse(reason, "%" PRIu64 " MiB of memory are available, %" PRIu64 " needed",
			      kib >> 10, NEEDED_BYTES >> 20);
	if (!guardian_start(&hp->guardian, put_back, hp))
		return refuse(reason, "no guardian could be started for the kernel's settings");
	return true;
}

bool hostpool_begin(struct hostpool *hp, char reason[HOSTPOOL_REASON])
{
	if (access(sysctl_names[HOSTPOOL_SYSCTL_SWITCH], F_OK))
		return refuse(reason, "this kernel has no HVO");
	if (geteuid() != 0)
		return refuse(reason, "changing the kernel's pools needs root");
	if (!access(NODE "1", F_OK))
		return refuse(reason, "the kernel has several nodes");
	if (!open_files(hp))
		(void)refuse(reason, "the kernel's pools of 2 MiB and 1 GiB cannot be written");
	else if (take(hp, reason))
		return true;
	close_files(hp);
	return false;
}

bool hostpool_end(struct hostpool *hp)
{
	bool ok = hostpool_reset(hp);

	ok = guardian_end(&hp->guardian) && ok;
	close_files(hp);
	return ok;
}
