// SPDX-License-Identifier: MIT
/* The kernel's own pool of huge pages as a peer; a guardian puts the settings back. */
#include "host.h"

#include "cli/files/root.h"
#include "common/cli.h"

#include <hvo/types.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define SWITCH_PATH "/proc/sys/vm/hugetlb_optimize_vmemmap"
#define POOL_PATH "/sys/kernel/mm/hugepages/hugepages-2048kB/"
#define NR_PATH POOL_PATH "nr_hugepages"
#define SURPLUS_PATH POOL_PATH "surplus_hugepages"
#define NODE1_PATH "/sys/devices/system/node/node1"

/* So much stays free on the host besides what the measurement takes. */
#define MARGIN_BYTES (UINT64_C(512) << 20)

/* ---- numbers in files --------------------------------------------------- */

static bool read_number(int fd, uint64_t *ret)
{
	char buf[32], *end;
	ssize_t len = pread(fd, buf, sizeof(buf) - 1, 0);

	if (len <= 0)
		return false;
	buf[len] = '\0';
	errno = 0;
	*ret = strtoull(buf, &end, 10);
	return end != buf && !errno;
}

/* A signal may cut a long write of nr_hugepages short; the caller reads back anyway. */
static bool write_number(int fd, uint64_t n)
{
	char buf[32];
	int len = snprintf(buf, sizeof(buf), "%" PRIu64 "\n", n);

	return pwrite(fd, buf, (size_t)len, 0) == len;
}

/* ---- memory ------------------------------------------------------------- */

static uint64_t meminfo(const char *name)
{
	uint64_t kib;

	return root_own_number("proc/meminfo", name, &kib) ? kib * 1024 : 0;
}

/* Room below one limit of a memory cgroup, or UINT64_MAX where there is no such limit. */
static uint64_t cgroup_room(const char *dir, const char *path, const char *limit_name,
			    const char *usage_name)
{
	uint64_t limit, usage;
	char file[1024];

	(void)snprintf(file, sizeof(file), "%s%s/%s", dir, path, limit_name);
	if (!root_own_number(file, NULL, &limit))
		return UINT64_MAX; /* "max", or not there */
	(void)snprintf(file, sizeof(file), "%s%s/%s", dir, path, usage_name);
	if (!root_own_number(file, NULL, &usage))
		return UINT64_MAX;
	return limit > usage ? limit - usage : 0;
}

/* The limits of a cgroup and of those above it; @path is cut short on the way. */
static uint64_t cgroup_chain_room(const char *dir, char *path, const char *limit_name,
				  const char *usage_name)
{
	uint64_t room = UINT64_MAX, here;
	char *slash;

	for (;;) {
		here = cgroup_room(dir, path, limit_name, usage_name);
		if (here < room)
			room = here;
		slash = strrchr(path, '/');
		if (!slash)
			return room;
		*slash = '\0';
	}
}

uint64_t host_memory_available(void)
{
	uint64_t room = meminfo("MemAvailable"), here;
	FILE *f = fopen("/proc/self/cgroup", "re");
	char line[512], *path;

	if (!f)
		return room;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		path = strchr(line, ':');
		path = path ? strchr(path + 1, ':') : NULL;
		if (!path)
			continue;
		path++;
		if (!strncmp(line, "0::", 3))
			here = cgroup_chain_room("/sys/fs/cgroup", path, "memory.max",
						 "memory.current");
		else if (strstr(line, ":memory:"))
			here = cgroup_chain_room("/sys/fs/cgroup/memory", path,
						 "memory.limit_in_bytes", "memory.usage_in_bytes");
		else
			continue;
		if (here < room)
			room = here;
	}
	fclose(f);
	return room;
}

/* ---- the settings ------------------------------------------------------- */

/*
 * The switch goes back first: should the pool have become smaller than it was,
 * its pages come back in the form that they had.
 */
static bool put_back(const void *host)
{
	const struct host *h = host;
	uint64_t nr, optimize;

	(void)write_number(h->switch_fd, h->optimize);
	if (!read_number(h->nr_fd, &nr) || nr != h->base)
		(void)write_number(h->nr_fd, h->base);
	return read_number(h->switch_fd, &optimize) && optimize == h->optimize &&
	       read_number(h->nr_fd, &nr) && nr == h->base;
}

/* ---- what the others call ----------------------------------------------- */

__attribute__((format(printf, 2, 3))) static bool refuse(char reason[HOST_REASON_LEN],
							 const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(reason, HOST_REASON_LEN, fmt, args);
	va_end(args);
	return false;
}

bool host_probe(uint64_t nr, uint64_t other_bytes, char reason[HOST_REASON_LEN])
{
	uint64_t base, surplus, need = nr * HVO_PAGEBLOCK_SIZE + other_bytes + MARGIN_BYTES;
	uint64_t free_bytes = meminfo("MemFree");

	if (nr > HOST_MAX_PAGES)
		return refuse(reason, "more than 4 GiB of huge pages asked for");
	if (access(SWITCH_PATH, F_OK))
		return refuse(reason, "this kernel has no HVO (no " SWITCH_PATH ")");
	if (geteuid() != 0)
		return refuse(reason, "changing the kernel's pool needs root");
	if (access(SWITCH_PATH, W_OK) || access(NR_PATH, W_OK))
		return refuse(reason, "the kernel's settings cannot be written here");
	if (!root_own_number(NR_PATH, NULL, &base) ||
	    !root_own_number(SURPLUS_PATH, NULL, &surplus))
		return refuse(reason, "the kernel's pool of 2 MiB pages cannot be read");
	if (surplus)
		return refuse(reason, "the kernel's pool has surplus pages: left alone");
	if (base && !access(NODE1_PATH, F_OK))
		return refuse(reason, "the kernel's pool has pages on several nodes: left alone");
	if (free_bytes < need)
		return refuse(reason,
			      "%" PRIu64 " MiB of memory are free, %" PRIu64 " would be needed",
			      free_bytes >> 20, need >> 20);
	return true;
}

bool host_begin(struct host *h, char reason[HOST_REASON_LEN])
{
	uint64_t optimize;

	memset(h, 0, sizeof(*h));
	h->nr_fd = open(NR_PATH, O_RDWR | O_CLOEXEC);
	h->switch_fd = open(SWITCH_PATH, O_RDWR | O_CLOEXEC);
	if (h->nr_fd < 0 || h->switch_fd < 0 || !read_number(h->nr_fd, &h->base) ||
	    !read_number(h->switch_fd, &optimize)) {
		(void)refuse(reason, "the kernel's settings cannot be opened");
		goto undo_open;
	}
	h->optimize = optimize != 0;
	/* Held by the guardian too, so a second hvo waits for no half-restored state. */
	if (flock(h->nr_fd, LOCK_EX | LOCK_NB)) {
		(void)refuse(reason, "another hvo is measuring the kernel's pool");
		goto undo_open;
	}
	if (!guardian_start(&h->guardian, put_back, h)) {
		(void)refuse(reason, "no guardian could be started for the kernel's settings");
		goto undo_open;
	}
	return true;

undo_open:
	if (h->nr_fd >= 0)
		close(h->nr_fd);
	if (h->switch_fd >= 0)
		close(h->switch_fd);
	return false;
}

uint64_t host_measure(struct host *h, uint64_t nr, bool optimize, double *ret_grow_ns,
		      double *ret_shrink_ns)
{
	uint64_t grown = h->base, left = h->base;
	double start;

	(void)write_number(h->switch_fd, optimize);

	start = (double)cli_now_ns();
	(void)write_number(h->nr_fd, h->base + nr);
	*ret_grow_ns = (double)cli_now_ns() - start;
	(void)read_number(h->nr_fd, &grown);

	start = (double)cli_now_ns();
	(void)write_number(h->nr_fd, h->base);
	*ret_shrink_ns = (double)cli_now_ns() - start;
	(void)read_number(h->nr_fd, &left);

	(void)write_number(h->switch_fd, h->optimize);
	return grown > left && left >= h->base ? grown - left : 0;
}

uint64_t host_grow(struct host *h, uint64_t nr)
{
	uint64_t now = h->base;

	(void)write_number(h->nr_fd, h->base + nr);
	(void)read_number(h->nr_fd, &now);
	return now > h->base ? now - h->base : 0;
}

bool host_end(struct host *h)
{
	bool ok = put_back(h);

	ok = guardian_end(&h->guardian) && ok;
	close(h->nr_fd);
	close(h->switch_fd);
	if (!ok)
		cli_error("the kernel's own pool is not as it was before; see " NR_PATH);
	return ok;
}
