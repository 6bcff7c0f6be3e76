// SPDX-License-Identifier: MIT
/*
 * The memory of a loan: what was got, mapped, made to be there, made huge.
 *
 * All of that is done here and not by the server: so memory is charged to who uses it, and no client
 * waits while the server clears memory for another one.
 *
 * States: none. Locks: none; a loan is its caller's.
 */
#include "internal.h"

#include "core/sized.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/*
 * Is it what was asked for? The rest of the program relies on its size: so it is one that nobody
 * can change, the server neither.
 */
int loan_check(const struct hvo_loan *loan, uint64_t flags)
{
	const int sealed = F_SEAL_SHRINK | F_SEAL_GROW;
	unsigned int shift = loan->order + HVO_FRAME_SHIFT;
	int seals = fcntl(loan->fd, F_GET_SEALS);
	struct statfs fs;
	struct stat st;

	/* The seals first: what they hold does not change any more. */
	if (seals < 0 || (seals & sealed) != sealed || fstat(loan->fd, &st))
		return -EPROTO;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != loan->bytes)
		return -EPROTO;
	if (fstatfs(loan->fd, &fs) ||
	    (fs.f_type == HUGETLBFS_MAGIC) != ((flags & HVO_BORROW_HUGETLB) != 0))
		return -EPROTO;
	return loan->nr <= UINT64_MAX >> shift && loan->bytes == loan->nr << shift ? 0 : -EPROTO;
}

/* Huge pages need an address that is aligned as the offset in the file is. */
int hvo_client_map(const struct hvo_loan *loan, void **ret)
{
	size_t len, head, align = (size_t)HVO_PAGEBLOCK_SIZE;
	struct hvo_loan own;
	uint8_t *area;
	void *p;
	int rc = SIZED_IN(&own, loan);

	if (rc)
		return rc;
	if (own.order > HVO_MAX_ORDER)
		return -EINVAL;
	if (own.order > HVO_PAGEBLOCK_ORDER)
		align = (size_t)HVO_FRAME_SIZE << own.order;
	if (!ret || own.fd < 0 || own.bytes > SIZE_MAX - align)
		return -EINVAL;
	len = (size_t)own.bytes;
	area = mmap(NULL, len + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		    0);
	if (area == MAP_FAILED)
		return -errno;
	head = (align - (uintptr_t)area % align) % align;
	p = mmap(area + head, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, own.fd, 0);
	if (p == MAP_FAILED) {
		int error = errno;

		munmap(area, len + align);
		return -error;
	}
	if (head)
		munmap(area, head);
	if (align - head)
		munmap(area + head + len, align - head);
	/* Where that is not to be had, small ones do. */
	(void)madvise(p, len, MADV_HUGEPAGE);
	*ret = p;
	return 0;
}

/* ---- memory that is there, and huge --------------------------------------------------- */

/* An error is one where an access would be a signal. */
static int populate(void *at, size_t len)
{
	int rc;

	do {
		rc = madvise(at, len, MADV_POPULATE_WRITE);
	} while (rc && (errno == EINTR || errno == EAGAIN));
	return rc ? -ENOSPC : 0;
}

/*
 * A block with one page is made huge at once, without copying the others; one with none cannot be.
 * Where there is no huge page, small ones do.
 */
static int collapse(char *at, size_t len)
{
	size_t off;
	int rc = 0;

	for (off = 0; !rc && off < len; off += HVO_PAGEBLOCK_SIZE) {
		rc = populate(at + off, HVO_FRAME_SIZE);
		if (!rc)
			(void)madvise(at + off, HVO_PAGEBLOCK_SIZE, MADV_COLLAPSE);
	}
	return rc;
}

/* Of a mapping, what the hardware sees as huge pages; 0 where nobody says so. */
static uint64_t mapped_huge(const void *at)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	uint64_t start, end, kib, sum = 0;
	bool mine = false;
	char line[512];

	if (!maps)
		return 0;
	while (fgets(line, sizeof(line), maps)) {
		/* A mapping, and then what is to be said about it. */
		if (sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) == 2)
			mine = start == (uintptr_t)at;
		else if (mine && (sscanf(line, "ShmemPmdMapped: %" SCNu64, &kib) == 1 ||
				  sscanf(line, "FilePmdMapped: %" SCNu64, &kib) == 1))
			sum += kib << 10;
	}
	fclose(maps);
	return sum;
}

int loan_prepare(struct hvo_loan *loan, uint64_t flags)
{
	bool hugetlb = flags & HVO_BORROW_HUGETLB,
	     fill = flags & (HVO_BORROW_POPULATE | HVO_BORROW_COLLAPSE);
	void *at;
	int rc;

	if (!hugetlb && !fill)
		return 0;
	/* Pages of the system's pool are reserved when they are mapped first, and stay so. */
	rc = hvo_client_map(loan, &at);
	if (rc)
		return rc == -ENOMEM ? -ENOSPC : rc;
	if (!hugetlb && flags & HVO_BORROW_COLLAPSE)
		rc = collapse(at, loan->bytes);
	if (!rc && fill)
		rc = populate(at, loan->bytes);
	if (!rc)
		loan->huge_bytes = hugetlb ? loan->bytes : mapped_huge(at);
	munmap(at, loan->bytes);
	return rc;
}
