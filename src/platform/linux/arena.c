// SPDX-License-Identifier: MIT
/*
 * The memory behind the frames: where it comes from for each kind of arena, how it is given back
 * and comes again, and that it is huge in hardware where it can be.
 *
 * It comes and goes in units: 4 KiB for what consists of small pages, 2 MiB or 1 GiB for pages of
 * the pool of huge pages. Punching a part of such a page would clear it and free nothing. So a
 * discarded part is cleared, and the unit goes when all of it is discarded; until then it is the
 * arena's.
 *
 * Small pages become huge by MADV_COLLAPSE, 2 MiB at a time. Holes alone cannot be collapsed: one
 * byte is touched before. To collapse 512 small pages costs 4 times as much as to collapse that one,
 * for these are copied. A collapse may be refused at any time: then memory is as small as it was.
 *
 * States of 2 MiB: a bit in @holes. Clear: populated from end to end. Set, where the unit is 4 KiB:
 * a part of it may not be populated. Set, where the unit is larger: all of it is discarded, and reads
 * as zero, if it is read at all; the unit is gone if the bits of all of it are set.
 * Locks: none for small units, whose bits are atomic: frames are their caller's. The host's lock for
 * larger ones, since others may have frames in the same unit; nothing is remapped there.
 *
 * In Linux: mm/khugepaged.c, madvise_collapse(); fs/hugetlbfs/inode.c, hugetlbfs_fallocate().
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
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define BLOCK_BYTES ((uint64_t)HVO_PAGEBLOCK_SIZE)
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

static int arena_fallocate(const struct hvo_linux *host, int mode, uint64_t off, uint64_t len)
{
	int rc;

	do {
		rc = fallocate(host->fd, mode, (off_t)(host->offset + off), (off_t)len);
	} while (rc && errno == EINTR);
	return rc ? -HVO_ENOMEM : 0;
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
	    arena_fallocate(host, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, host->bytes))
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

/* ---- holes ------------------------------------------------------------------------ */

void hvo_linux_set_holes(struct hvo_linux *host, hvo_pfn_t pfn, uint64_t nr)
{
	uint64_t block = pfn >> HVO_PAGEBLOCK_ORDER, bits;
	uint64_t end = (pfn + nr + HVO_PAGEBLOCK_FRAMES - 1) >> HVO_PAGEBLOCK_ORDER;
	uint64_t *word;

	for (; block < end; block = (block / 64 + 1) * 64) {
		word = &host->holes[block / 64];
		bits = UINT64_MAX << block % 64;
		if (end - block / 64 * 64 < 64)
			bits &= (UINT64_C(1) << end % 64) - 1;
		__atomic_fetch_or(word, bits, __ATOMIC_RELEASE);
	}
}

static bool is_hole(const struct hvo_linux *host, uint64_t block)
{
	return __atomic_load_n(&host->holes[block / 64], __ATOMIC_ACQUIRE) >> block % 64 & 1;
}

static bool any_hole(const struct hvo_linux *host, hvo_pfn_t pfn, uint64_t nr)
{
	uint64_t block = pfn >> HVO_PAGEBLOCK_ORDER, last = (pfn + nr - 1) >> HVO_PAGEBLOCK_ORDER;

	for (; block <= last; block++)
		if (is_hole(host, block))
			return true;
	return false;
}

/* Only those that are populated from end to end. */
static void clear_holes(struct hvo_linux *host, hvo_pfn_t pfn, uint64_t nr)
{
	uint64_t block = (pfn + HVO_PAGEBLOCK_FRAMES - 1) >> HVO_PAGEBLOCK_ORDER;

	for (; block < (pfn + nr) >> HVO_PAGEBLOCK_ORDER; block++)
		__atomic_fetch_and(&host->holes[block / 64], ~(UINT64_C(1) << block % 64),
				   __ATOMIC_RELEASE);
}

/* ---- giving back, and getting again ------------------------------------------------ */

/* Write what is there to each page: before Linux 5.14 nothing else populates private memory. */
static void touch(struct hvo_linux *host, uint64_t off, uint64_t len)
{
	uint64_t end = off + len;

	for (; off < end; off += PAGE_BYTES)
		(void)__atomic_fetch_or(host->direct + off, 0, __ATOMIC_RELAXED);
}

/*
 * Make [off, off + len) of the arena exist, and if possible mapped: that takes advice on the direct
 * map into account, and page tables are there too. -HVO_ENOMEM: not all of it.
 */
static int populate_mapped(struct hvo_linux *host, uint64_t off, uint64_t len)
{
	int rc;

	do {
		rc = madvise(host->direct + off, (size_t)len, MADV_POPULATE_WRITE);
	} while (rc && (errno == EINTR || errno == EAGAIN));
	if (!rc)
		return 0;
	if (errno != EINVAL)
		return -HVO_ENOMEM;
	/* Memory that can only be read, or a kernel before 5.14? */
	if (!madvise(host->direct, 0, MADV_POPULATE_WRITE))
		return -HVO_ENOMEM;
	if (host->fd >= 0)
		return arena_fallocate(host, FALLOC_FL_KEEP_SIZE, off, len);
	touch(host, off, len);
	return 0;
}

/* Without a file there is nothing but the mapping that could be populated. */
static int populate_bytes(struct hvo_linux *host, uint64_t off, uint64_t len)
{
	if (host->fd < 0)
		return populate_mapped(host, off, len);
	return arena_fallocate(host, FALLOC_FL_KEEP_SIZE, off, len);
}

/* Give bytes back, in whole units; what the system will not have reads as zero all the same. */
static void give_back(struct hvo_linux *host, uint64_t off, uint64_t len)
{
	int rc;

	if (host->fd < 0)
		rc = madvise(host->direct + off, (size_t)len, MADV_DONTNEED);
	else
		rc = arena_fallocate(host, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len);
	if (rc)
		memset(host->direct + off, 0, (size_t)len);
}

/* Is nothing of these 2 MiB there? */
static bool all_empty(const struct hvo_linux *host, uint64_t block)
{
	unsigned char there[HVO_PAGEBLOCK_FRAMES];
	unsigned int i;

	if (mincore(host->direct + block * BLOCK_BYTES, BLOCK_BYTES, there))
		return false;
	for (i = 0; i < HVO_PAGEBLOCK_FRAMES; i++)
		if (there[i] & 1)
			return false;
	return true;
}

/* The first byte of each of the blocks that have holes, then all at once. False: not all. */
static bool collapse(struct hvo_linux *host, uint64_t block, uint64_t nr)
{
	uint64_t i;

	if (!nr)
		return true;
	for (i = block; i < block + nr; i++)
		if (is_hole(host, i) && populate_mapped(host, i * BLOCK_BYTES, PAGE_BYTES))
			return false;
	return !madvise(host->direct + block * BLOCK_BYTES, (size_t)(nr * BLOCK_BYTES),
			MADV_COLLAPSE);
}

/*
 * Make huge what the frames are in: whole blocks; of a sparse machine also the one block that they
 * are a part of, if nothing of that is there yet. Otherwise others may have given the rest back.
 */
static void make_huge(struct hvo_linux *host, hvo_pfn_t pfn, uint64_t nr)
{
	uint64_t first = (pfn + HVO_PAGEBLOCK_FRAMES - 1) >> HVO_PAGEBLOCK_ORDER;
	uint64_t end = (pfn + nr) >> HVO_PAGEBLOCK_ORDER, block = pfn >> HVO_PAGEBLOCK_ORDER;

	if (!host->collapse)
		return;
	if (first < end)
		(void)collapse(host, first, end - first);
	else if (host->sparse && (pfn + nr - 1) >> HVO_PAGEBLOCK_ORDER == block &&
		 all_empty(host, block) && collapse(host, block, 1))
		clear_holes(host, block << HVO_PAGEBLOCK_ORDER, HVO_PAGEBLOCK_FRAMES);
}

static int populate_small(struct hvo_linux *host, hvo_pfn_t pfn, uint64_t nr)
{
	uint64_t first = (pfn + HVO_PAGEBLOCK_FRAMES - 1) >> HVO_PAGEBLOCK_ORDER, block;

	make_huge(host, pfn, nr);
	if (!populate_bytes(host, pfn << PAGE_SHIFT, nr << PAGE_SHIFT)) {
		clear_holes(host, pfn, nr);
		return 0;
	}
	/* Nothing has changed: these blocks are the caller's, and empty for all that is known. */
	for (block = first; block < (pfn + nr) >> HVO_PAGEBLOCK_ORDER; block++)
		if (is_hole(host, block))
			give_back(host, block * BLOCK_BYTES, BLOCK_BYTES);
	return -HVO_ENOMEM;
}

/* Of the unit that @off is in: are all blocks discarded? */
static bool unit_gone(const struct hvo_linux *host, uint64_t off)
{
	uint64_t block = off / host->unit * (host->unit / BLOCK_BYTES), i;

	for (i = 0; i < host->unit / BLOCK_BYTES; i++)
		if (!is_hole(host, block + i))
			return false;
	return true;
}

static int populate_units(struct hvo_linux *host, hvo_pfn_t pfn, uint64_t nr)
{
	uint64_t first = (pfn << PAGE_SHIFT) / host->unit * host->unit, off;
	uint64_t end = (pfn + nr) << PAGE_SHIFT;
	hvo_pfn_t block = pfn / HVO_PAGEBLOCK_FRAMES * HVO_PAGEBLOCK_FRAMES;
	int rc = 0;

	pthread_mutex_lock(&host->lock);
	for (off = first; !rc && off < end; off += host->unit)
		if (unit_gone(host, off))
			rc = populate_mapped(host, off, host->unit);
	if (!rc)
		clear_holes(host, block,
			    (end + BLOCK_BYTES - 1) / BLOCK_BYTES * HVO_PAGEBLOCK_FRAMES - block);
	while (rc && off > first) {
		off -= host->unit;
		if (unit_gone(host, off))
			give_back(host, off, host->unit);
	}
	pthread_mutex_unlock(&host->lock);
	return rc;
}

/* What is discarded already stays away: a write would bring it back, or find no memory. */
static void clear_part(struct hvo_linux *host, uint64_t off, uint64_t end)
{
	uint64_t next;

	for (; off < end; off = next) {
		next = (off / BLOCK_BYTES + 1) * BLOCK_BYTES;
		next = next < end ? next : end;
		if (!is_hole(host, off / BLOCK_BYTES))
			memset(host->direct + off, 0, (size_t)(next - off));
	}
}

static void discard_units(struct hvo_linux *host, hvo_pfn_t pfn, uint64_t nr)
{
	uint64_t off = pfn << PAGE_SHIFT, end = off + (nr << PAGE_SHIFT), next, first, last;

	pthread_mutex_lock(&host->lock);
	for (; off < end; off = next) {
		next = (off / host->unit + 1) * host->unit;
		next = next < end ? next : end;
		if (next - off < host->unit)
			clear_part(host, off, next);
		first = (off + BLOCK_BYTES - 1) / BLOCK_BYTES;
		last = next / BLOCK_BYTES;
		if (first < last)
			hvo_linux_set_holes(host, first << HVO_PAGEBLOCK_ORDER,
					    (last - first) << HVO_PAGEBLOCK_ORDER);
		if (unit_gone(host, off))
			give_back(host, off / host->unit * host->unit, host->unit);
	}
	pthread_mutex_unlock(&host->lock);
}

int hvo_linux_arena_populate(void *ctx, hvo_pfn_t pfn, uint64_t nr)
{
	struct hvo_linux *host = ctx;

	if (host_is_gone(host))
		return -HVO_ENODEV;
	if (!nr || host->lasting || !any_hole(host, pfn, nr))
		return 0;
	if (hvo_linux_arena_lost(host))
		return -HVO_ENODEV;
	return host->small ? populate_small(host, pfn, nr) : populate_units(host, pfn, nr);
}

void hvo_linux_arena_discard(void *ctx, hvo_pfn_t pfn, uint64_t nr)
{
	struct hvo_linux *host = ctx;

	if (host_is_gone(host) || !nr)
		return;
	if (host->lasting) {
		memset(host_frame(host, pfn), 0, (size_t)(nr << PAGE_SHIFT));
	} else if (host->small) {
		hvo_linux_set_holes(host, pfn, nr);
		give_back(host, pfn << PAGE_SHIFT, nr << PAGE_SHIFT);
	} else {
		discard_units(host, pfn, nr);
	}
}

/* The caller's: can all of it be read, and at least the first page be written? */
static int check_buffer(struct hvo_linux *host)
{
	/* Of all calls msync() does nothing but to say whether there are holes. */
	if (msync(host->direct, (size_t)host->bytes, MS_ASYNC) ||
	    populate_mapped(host, 0, PAGE_BYTES))
		return hvo_linux_refuse(host, -HVO_EINVAL,
					"buffer: not %" PRIu64
					" bytes of memory that can be read and written",
					host->bytes);
	return 0;
}

static int get_memory(struct hvo_linux *host, uint64_t off, uint64_t len)
{
	make_huge(host, off >> PAGE_SHIFT, len >> PAGE_SHIFT);
	if (populate_mapped(host, off, len))
		return -HVO_ENOMEM;
	clear_holes(host, off >> PAGE_SHIFT, len >> PAGE_SHIFT);
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
		if (!get_memory(host, off, len))
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

/* ---- for holders of frames ------------------------------------------------------- */

/* Nobody else's, and nothing that the machine itself needs. */
static int check_held(const struct hvo_linux *host, hvo_pfn_t pfn, uint64_t nr)
{
	if (host_is_gone(host))
		return -HVO_ENODEV;
	return host->machine && hvo_pages_held(host->machine, pfn, nr) ? 0 : -HVO_EINVAL;
}

int hvo_linux_discard(struct hvo_linux *host, hvo_pfn_t pfn, uint64_t nr)
{
	int rc = check_held(host, pfn, nr);

	if (rc)
		return rc;
	if (host->lasting)
		return -HVO_EOPNOTSUPP;
	if ((pfn << PAGE_SHIFT) % host->unit || (nr << PAGE_SHIFT) % host->unit)
		return -HVO_EINVAL;
	hvo_linux_arena_discard(host, pfn, nr);
	return 0;
}

int hvo_linux_populate(struct hvo_linux *host, hvo_pfn_t pfn, uint64_t nr)
{
	int rc = check_held(host, pfn, nr);

	if (rc || !nr || host->sparse || host->lasting || !any_hole(host, pfn, nr))
		return rc;
	if (hvo_linux_arena_lost(host))
		return -HVO_ENODEV;
	if (!host->small)
		return populate_units(host, pfn, nr);
	if (nr << PAGE_SHIFT > hvo_linux_memory_available())
		return -HVO_ENOMEM;
	return get_memory(host, pfn << PAGE_SHIFT, nr << PAGE_SHIFT);
}
