// SPDX-License-Identifier: MIT
/*
 * The memory behind the frames: how it is given back and comes again, and that it is huge in hardware
 * where it can be.
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
#include <string.h>
#include <sys/mman.h>

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

int hvo_linux_memory_fallocate(const struct hvo_linux *host, int mode, uint64_t off, uint64_t len)
{
	int rc;

	do {
		rc = fallocate(host->fd, mode, (off_t)(host->offset + off), (off_t)len);
	} while (rc && errno == EINTR);
	return rc ? -HVO_ENOMEM : 0;
}

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
		return hvo_linux_memory_fallocate(host, FALLOC_FL_KEEP_SIZE, off, len);
	touch(host, off, len);
	return 0;
}

/* Without a file there is nothing but the mapping that could be populated. */
static int populate_bytes(struct hvo_linux *host, uint64_t off, uint64_t len)
{
	if (host->fd < 0)
		return populate_mapped(host, off, len);
	return hvo_linux_memory_fallocate(host, FALLOC_FL_KEEP_SIZE, off, len);
}

/* Give bytes back, in whole units; what the system will not have reads as zero all the same. */
static void give_back(struct hvo_linux *host, uint64_t off, uint64_t len)
{
	int rc;

	if (host->fd < 0)
		rc = madvise(host->direct + off, (size_t)len, MADV_DONTNEED);
	else
		rc = hvo_linux_memory_fallocate(host, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
						off, len);
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

int hvo_linux_memory_populate(void *ctx, hvo_pfn_t pfn, uint64_t nr)
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

void hvo_linux_memory_discard(void *ctx, hvo_pfn_t pfn, uint64_t nr)
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

/* Of bytes [off, off + len) of the arena: huge if possible, and mapped. -HVO_ENOMEM: not all of it. */
int hvo_linux_memory_get(struct hvo_linux *host, uint64_t off, uint64_t len)
{
	make_huge(host, off >> PAGE_SHIFT, len >> PAGE_SHIFT);
	if (populate_mapped(host, off, len))
		return -HVO_ENOMEM;
	clear_holes(host, off >> PAGE_SHIFT, len >> PAGE_SHIFT);
	return 0;
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
	hvo_linux_memory_discard(host, pfn, nr);
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
	return hvo_linux_memory_get(host, pfn << PAGE_SHIFT, nr << PAGE_SHIFT);
}

/*
 * Of what the machine itself consists of: one huge page for many faults, where all of the page is meant.
 * Not by advice, for some of each is there already.
 */
void hvo_linux_willneed(void *ctx, void *start, size_t len)
{
	uint8_t *from = start, *to = from + len;

	from += -(uintptr_t)from % BLOCK_BYTES;
	to -= (uintptr_t)to % BLOCK_BYTES;
	if (!host_is_gone(ctx) && from < to)
		(void)madvise(from, (size_t)(to - from), MADV_COLLAPSE);
}
