// SPDX-License-Identifier: MIT
/*
 * Where the arena's memory comes from, for each kind of arena, and which sentence says why it does
 * not come.
 *
 * Order: the descriptor, or the buffer; address space (linux.c); the direct map, which reserves pages
 * of the pool of huge pages; binding to nodes (numa.c); memory. What is told to who opens the machine
 * is found out after the kernel has refused: between a question and an answer others take pages.
 *
 * States: a host that is being built. Locks: none.
 *
 * In Linux: mm/memfd.c; fs/hugetlbfs/inode.c; drivers/dax/device.c.
 */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef MFD_HUGETLB
#define MFD_HUGETLB 0x0004U
#endif
#define MFD_HUGE_ORDER_SHIFT 26
#define GIGA (UINT64_C(1) << 30)

/* ---- what is wrong ---------------------------------------------------------------- */

int hvo_linux_refuse(const struct hvo_linux *host, int rc, const char *fmt, ...)
{
	va_list ap;

	if (!host->why)
		return rc;
	va_start(ap, fmt);
	(void)vsnprintf(host->why, WHY_LEN, fmt, ap);
	va_end(ap);
	return rc;
}

/* "2 MiB", in a buffer of the caller's. */
static const char *size_text(uint64_t bytes, char text[32])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB" };
	unsigned int i = 0;

	for (; i < 3 && bytes && !(bytes % 1024); i++)
		bytes /= 1024;
	(void)snprintf(text, 32, "%" PRIu64 " %s", bytes, units[i]);
	return text;
}

/* ---- opening ---------------------------------------------------------------------- */

/* ftruncate beyond RLIMIT_FSIZE raises SIGXFSZ, which kills by default. */
static int resize_quietly(const struct hvo_linux *host)
{
	const struct timespec now = { 0, 0 };
	sigset_t set, old, pending;
	int rc, error;
	char text[32];

	sigemptyset(&set);
	sigaddset(&set, SIGXFSZ);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	rc = ftruncate(host->fd, (off_t)host->bytes);
	error = errno;
	/* Ours only: one that was pending before belongs to the program. */
	if (rc && error == EFBIG && !sigismember(&pending, SIGXFSZ))
		while (sigtimedwait(&set, NULL, &now) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!rc)
		return 0;
	if (error == EFBIG)
		return hvo_linux_refuse(host, -HVO_EFBIG,
					"files of this process may not have %s: raise RLIMIT_FSIZE "
					"(ulimit -f)",
					size_text(host->bytes, text));
	return error == EINVAL ? -HVO_EINVAL : -HVO_ENOMEM;
}

/* Sealed: whoever gets the descriptor cannot pull the memory from under us. */
static int open_memfd(struct hvo_linux *host, unsigned int huge)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | huge;
	int rc;

	/* Systems may insist on it (vm.memfd_noexec); kernels before 6.3 do not know it. */
	host->fd = memfd_create("hvo", flags | MFD_NOEXEC_SEAL);
	if (host->fd < 0 && errno == EINVAL)
		host->fd = memfd_create("hvo", flags);
	if (host->fd < 0) {
		if (errno == ENOSYS || errno == EPERM)
			return hvo_linux_refuse(host, -HVO_ENOSYS, "the system gives no memfd: %s",
						strerror(errno));
		return huge && errno != ENOMEM && errno != EMFILE && errno != ENFILE ? -HVO_EINVAL :
										       -HVO_ENOMEM;
	}
	rc = resize_quietly(host);
	if (rc)
		return rc;
	if (fcntl(host->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -HVO_ENOSYS;
	return 0;
}

static int check_whole(const struct hvo_linux *host, uint64_t memory)
{
	char text[32];

	if (memory % host->unit || host->bytes % host->unit)
		return hvo_linux_refuse(
			host, -HVO_EINVAL,
			"memory_bytes and hotplug_bytes must be multiples of %s, the "
			"size of the arena's pages",
			size_text(host->unit, text));
	return 0;
}

static int open_hugetlb(struct hvo_linux *host, const struct hvo_linux_options *opt,
			uint64_t memory)
{
	unsigned int order = opt->page_order ? opt->page_order : HVO_PAGEBLOCK_ORDER;
	char text[32];
	int rc;

	if (order != HVO_PAGEBLOCK_ORDER && order != HVO_GIGA_ORDER)
		return hvo_linux_refuse(host, -HVO_EINVAL,
					"page_order: %u is neither %u (2 MiB) nor %u (1 GiB)",
					order, HVO_PAGEBLOCK_ORDER, HVO_GIGA_ORDER);
	host->unit = PAGE_BYTES << order;
	rc = check_whole(host, memory);
	if (rc)
		return rc;
	rc = open_memfd(host, MFD_HUGETLB | (order + PAGE_SHIFT) << MFD_HUGE_ORDER_SHIFT);
	if (rc == -HVO_EINVAL)
		return hvo_linux_refuse(host, rc, "this kernel has no huge pages of %s",
					size_text(host->unit, text));
	return rc;
}

/* Size and alignment of a device, as sysfs says. */
static int look_at_dax(struct hvo_linux *host, const struct stat *st, uint64_t *ret_size)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/size", major(st->st_rdev),
		       minor(st->st_rdev));
	if (!hvo_linux_read_number(path, "", ret_size))
		return -HVO_EINVAL;
	(void)snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/align", major(st->st_rdev),
		       minor(st->st_rdev));
	if (!hvo_linux_read_number(path, "", &host->unit))
		return -HVO_EINVAL;
	host->lasting = true;
	return 0;
}

static int look_at_file(struct hvo_linux *host, uint64_t *ret_size)
{
	struct statfs fs;
	struct stat st;

	if (fstat(host->fd, &st))
		return -HVO_EINVAL;
	if (S_ISCHR(st.st_mode))
		return look_at_dax(host, &st, ret_size);
	if (!S_ISREG(st.st_mode) || fstatfs(host->fd, &fs))
		return -HVO_EINVAL;
	*ret_size = (uint64_t)st.st_size;
	if (fs.f_type == HUGETLBFS_MAGIC)
		host->unit = (uint64_t)fs.f_bsize;
	return fs.f_type == HUGETLBFS_MAGIC || fs.f_type == TMPFS_MAGIC ? 0 : -HVO_EINVAL;
}

static int open_file(struct hvo_linux *host, const struct hvo_linux_options *opt, uint64_t memory)
{
	uint64_t size = 0, align;
	char text[32];
	int rc;

	host->fd = fcntl(opt->fd, F_DUPFD_CLOEXEC, 0);
	if (host->fd < 0)
		return hvo_linux_refuse(host, errno == EBADF ? -HVO_EINVAL : -HVO_ENOMEM,
					"fd: %d: %s", opt->fd, strerror(errno));
	if ((fcntl(host->fd, F_GETFL) & O_ACCMODE) != O_RDWR)
		return hvo_linux_refuse(host, -HVO_EINVAL,
					"fd: %d is not open for reading and writing", opt->fd);
	rc = look_at_file(host, &size);
	if (rc)
		return hvo_linux_refuse(host, rc,
					"fd: %d is no file of hugetlbfs or tmpfs, memfd, or device "
					"DAX",
					opt->fd);
	align = host->unit > BLOCK_BYTES ? host->unit : BLOCK_BYTES;
	if (opt->offset % align)
		return hvo_linux_refuse(host, -HVO_EINVAL, "offset: not a multiple of %s",
					size_text(align, text));
	rc = check_whole(host, memory);
	if (rc)
		return rc;
	if (opt->offset > size || host->bytes > size - opt->offset)
		return hvo_linux_refuse(host, -HVO_EINVAL,
					"the file is too short: it has %" PRIu64
					" bytes, and %" PRIu64 " from %" PRIu64 " on are needed",
					size, host->bytes, opt->offset);
	host->offset = opt->offset;
	return 0;
}

static int open_buffer(struct hvo_linux *host, const struct hvo_linux_options *opt)
{
	if (!opt->buffer || (uintptr_t)opt->buffer % BLOCK_BYTES)
		return hvo_linux_refuse(
			host, -HVO_EINVAL,
			"buffer: %s; aligned_alloc(), or mmap() of 2 MiB more, gives "
			"one",
			opt->buffer ? "not at a multiple of 2 MiB" : "there is none");
	host->direct = opt->buffer;
	host->lasting = true;
	return 0;
}

int hvo_linux_arena_open(struct hvo_linux *host, const struct hvo_linux_options *opt,
			 uint64_t memory)
{
	int rc;

	host->memory = (enum hvo_linux_memory)opt->memory;
	host->unit = PAGE_BYTES;
	switch (opt->memory) {
	case HVO_LINUX_MEMFD:
		rc = open_memfd(host, 0);
		break;
	case HVO_LINUX_ANONYMOUS:
		rc = 0;
		break;
	case HVO_LINUX_HUGETLB:
		rc = open_hugetlb(host, opt, memory);
		break;
	case HVO_LINUX_FILE:
		rc = open_file(host, opt, memory);
		break;
	case HVO_LINUX_BUFFER:
		rc = open_buffer(host, opt);
		break;
	default:
		rc = hvo_linux_refuse(host, -HVO_EINVAL, "memory: there is no kind %u",
				      opt->memory);
	}
	if (rc)
		return rc;
	host->small = host->unit == PAGE_BYTES && !host->lasting;
	host->collapse = host->small && !opt->no_thp;
	if (host->small)
		hvo_linux_set_holes(host, 0, memory >> PAGE_SHIFT);
	if (!host->lasting)
		hvo_linux_set_holes(host, memory >> PAGE_SHIFT,
				    (host->bytes - memory) >> PAGE_SHIFT);
	/* Machines begin with clear memory. Before it is mapped, for that reserves huge pages. */
	if (opt->memory == HVO_LINUX_FILE && !host->lasting &&
	    hvo_linux_memory_fallocate(host, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				       host->bytes))
		return hvo_linux_refuse(host, -HVO_EINVAL, "fd: the file cannot be cleared: %s",
					strerror(errno));
	return 0;
}

/* How many pages of the pool @path of huge pages are there for us. */
static uint64_t pool_room(const char *path, uint64_t *ret_total)
{
	uint64_t free = 0, reserved = 0, more = 0, surplus = 0;
	char file[192];

	*ret_total = 0;
	(void)snprintf(file, sizeof(file), "%s/nr_hugepages", path);
	(void)hvo_linux_read_number(file, "", ret_total);
	(void)snprintf(file, sizeof(file), "%s/free_hugepages", path);
	(void)hvo_linux_read_number(file, "", &free);
	/* A node has none of these files. */
	(void)snprintf(file, sizeof(file), "%s/resv_hugepages", path);
	(void)hvo_linux_read_number(file, "", &reserved);
	(void)snprintf(file, sizeof(file), "%s/nr_overcommit_hugepages", path);
	if (hvo_linux_read_number(file, "", &more)) {
		(void)snprintf(file, sizeof(file), "%s/surplus_hugepages", path);
		(void)hvo_linux_read_number(file, "", &surplus);
		free += more > surplus ? more - surplus : 0;
	}
	return free > reserved ? free - reserved : 0;
}

/* Of the node @node of the host, or of all with -1. 0, or -HVO_ENOMEM and why. */
static int check_pool(const struct hvo_linux *host, int node, uint64_t bytes)
{
	uint64_t need = bytes / host->unit, total, room;
	char path[128], where[32] = "", text[32];

	if (node < 0) {
		(void)snprintf(path, sizeof(path),
			       "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB",
			       host->unit >> 10);
	} else {
		(void)snprintf(path, sizeof(path),
			       "/sys/devices/system/node/node%d/hugepages/hugepages-%" PRIu64 "kB",
			       node, host->unit >> 10);
	}
	if (node >= 0 || host->numa_nodes <= 1)
		(void)snprintf(where, sizeof(where), " on node %d", node < 0 ? 0 : node);
	room = pool_room(path, &total);
	if (room >= need)
		return 0;
	return hvo_linux_refuse(host, -HVO_ENOMEM,
				"%" PRIu64 " huge pages of %s are missing%s: %" PRIu64
				" are needed, %" PRIu64 " are free; as root: echo %" PRIu64
				" >%s/nr_hugepages",
				need - room, size_text(host->unit, text), where, need, room,
				total + need - room, path);
}

/* What the kernel refused: for want of pages, or by a limit? */
static int pool_too_small(const struct hvo_linux *host, uint64_t bytes)
{
	char text[32];
	int rc = check_pool(host, -1, bytes);

	if (rc)
		return rc;
	return hvo_linux_refuse(
		host, -HVO_ENOMEM,
		"the pool has enough huge pages of %s, but this process may not have "
		"them: look at hugetlb.*.max and hugetlb.*.rsvd.max of its control "
		"group, and at RLIMIT_AS",
		size_text(host->unit, text));
}

int hvo_linux_arena_room(const struct hvo_linux *host, int node, uint64_t bytes)
{
	char path[64], key[32];
	uint64_t kib = 0, room = 0;
	static const char *const keys[] = { "MemFree", "Inactive(file)", "Active(file)" };
	size_t i;

	if (host->memory == HVO_LINUX_HUGETLB)
		return check_pool(host, node, bytes);
	(void)snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/meminfo", node);
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		(void)snprintf(key, sizeof(key), "Node %d %s", node, keys[i]);
		if (!hvo_linux_read_number(path, key, &kib))
			return 0;
		room += kib << 10;
	}
	if (bytes <= room)
		return 0;
	return hvo_linux_refuse(host, -HVO_ENOMEM,
				"node %d of the host has %" PRIu64 " MiB to give, and %" PRIu64
				" MiB must be there",
				node, room >> 20, bytes >> 20);
}

static int map_part(struct hvo_linux *host, uint64_t off, uint64_t len, int flags)
{
	void *p;

	if (!len)
		return 0;
	flags |= MAP_FIXED | (host->fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);
	p = mmap(host->direct + off, (size_t)len, PROT_READ | PROT_WRITE, flags, host->fd,
		 host->fd < 0 ? 0 : (off_t)(host->offset + off));
	if (p != MAP_FAILED)
		return 0;
	if (host->unit > PAGE_BYTES && !host->lasting && errno == ENOMEM)
		return pool_too_small(host, len);
	return hvo_linux_refuse(host, errno == EINVAL ? -HVO_EINVAL : -HVO_ENOMEM,
				"the arena cannot be mapped: %s", strerror(errno));
}

/* Huge pages are reserved by this; not those for memory that is not there yet. */
int hvo_linux_arena_map(struct hvo_linux *host, uint64_t memory)
{
	int rc;

	if (host->memory == HVO_LINUX_BUFFER)
		return 0;
	if (host->unit == PAGE_BYTES || host->lasting)
		return map_part(host, 0, host->bytes, host->fd < 0 ? MAP_NORESERVE : 0);
	rc = map_part(host, 0, memory, 0);
	return rc ? rc : map_part(host, memory, host->bytes - memory, MAP_NORESERVE);
}

/* Has somebody shortened the caller's file? */
bool hvo_linux_arena_lost(const struct hvo_linux *host)
{
	struct stat st;

	if (host->memory != HVO_LINUX_FILE || host->lasting)
		return false;
	return fstat(host->fd, &st) || (uint64_t)st.st_size < host->offset + host->bytes;
}

/* ---- memory ------------------------------------------------------------------------ */

/* The caller's: can all of it be read, and at least the first page be written? */
static int check_buffer(struct hvo_linux *host)
{
	/* Of all calls msync() does nothing but to say whether there are holes. */
	if (msync(host->direct, (size_t)host->bytes, MS_ASYNC) ||
	    hvo_linux_memory_get(host, 0, PAGE_BYTES))
		return hvo_linux_refuse(host, -HVO_EINVAL,
					"buffer: not %" PRIu64
					" bytes of memory that can be read and written",
					host->bytes);
	return 0;
}

/* Does the system have @need bytes to give? */
static int check_room(const struct hvo_linux *host, uint64_t need)
{
	uint64_t there = hvo_linux_memory_available();

	if (need <= there)
		return 0;
	return hvo_linux_refuse(host, -HVO_ENOMEM,
				"%" PRIu64 " MiB of memory are needed, and %" PRIu64
				" MiB can be had; a sparse machine needs none at the start",
				need >> 20, there >> 20);
}

static int populate_all(struct hvo_linux *host, uint64_t memory, uint64_t extra)
{
	uint64_t off, len;
	int rc;

	for (off = 0; off < memory; off += len) {
		/* Others take some meanwhile: ask for each GiB. */
		rc = check_room(host, extra + (host->small ? memory - off : 0));
		if (rc)
			return rc;
		len = memory - off < GIGA ? memory - off : GIGA;
		if (!hvo_linux_memory_get(host, off, len))
			continue;
		if (host->unit > PAGE_BYTES)
			return pool_too_small(host, memory - off);
		return hvo_linux_refuse(host, -HVO_ENOMEM,
					"the memory of the arena cannot be had, or not be written: "
					"%s",
					strerror(errno));
	}
	return 0;
}

/* @extra: what else is going to be needed. */
int hvo_linux_arena_fill(struct hvo_linux *host, uint64_t memory, uint64_t extra)
{
	int rc = 0;

	if (host->memory == HVO_LINUX_BUFFER)
		rc = check_buffer(host);
	/* A device has all of its memory. */
	if (!rc && !host->sparse && (host->fd < 0 || !host->lasting))
		rc = populate_all(host, memory, extra);
	if (!rc && !host->sparse && host->lasting)
		memset(host->direct, 0, (size_t)host->bytes);
	return rc;
}
