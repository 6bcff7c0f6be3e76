// SPDX-License-Identifier: MIT
/*
 * proc/kpageflags and proc/kpagecount: 8 bytes for each frame, by its number, in the order of
 * the processor. Reads are of whole words, as the kernel wants it.
 *
 * Linux: fs/proc/page.c, include/uapi/linux/kernel-page-flags.h.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Numbers of the kernel's. */
#define KPF_BUDDY (UINT64_C(1) << 10)
#define KPF_MMAP (UINT64_C(1) << 11)
#define KPF_COMPOUND_HEAD (UINT64_C(1) << 15)
#define KPF_COMPOUND_TAIL (UINT64_C(1) << 16)
#define KPF_HUGE (UINT64_C(1) << 17)
#define KPF_HWPOISON (UINT64_C(1) << 19)
#define KPF_NOPAGE (UINT64_C(1) << 20)
#define KPF_RESERVED (UINT64_C(1) << 32)

/* Readers hold others up: so many frames at a time. */
#define CHUNK HVO_BLOCK_FRAMES

static uint64_t compound(hvo_pfn_t pfn, hvo_pfn_t head, const struct hvo_page *page)
{
	if (!page->order)
		return 0;
	return pfn == head ? KPF_COMPOUND_HEAD : KPF_COMPOUND_TAIL;
}

static uint64_t flags_of(const struct hvo_memmap *mm, hvo_pfn_t pfn)
{
	hvo_pfn_t head = hvo_page_head(mm, pfn);
	const struct hvo_page *page = hvo_page_ro(mm, head);
	uint64_t mapped =
		__atomic_load_n(&page->mapcount, __ATOMIC_RELAXED) & ~HVO_HOLD ? KPF_MMAP : 0;

	switch (hvo_page_state(page)) {
	case HVO_PAGE_FREE:
	case HVO_PAGE_ISOLATED:
		return KPF_BUDDY;
	case HVO_PAGE_USED:
		return mapped | compound(pfn, head, page);
	case HVO_PAGE_HUGETLB_FREE:
	case HVO_PAGE_HUGETLB_USED:
		return mapped | KPF_HUGE | compound(pfn, head, page);
	case HVO_PAGE_MEMMAP:
		return page->flags & HVO_PF_BOOT ? KPF_RESERVED : 0;
	case HVO_PAGE_POISONED:
		return KPF_HWPOISON;
	default:
		return 0;
	}
}

static uint64_t count_of(const struct hvo_memmap *mm, hvo_pfn_t pfn)
{
	const struct hvo_page *page = hvo_page_ro(mm, hvo_page_head(mm, pfn));

	return __atomic_load_n(&page->mapcount, __ATOMIC_RELAXED) & ~HVO_HOLD;
}

/* @nr words from @pfn on. What is offline is no page, and maps nothing. */
static void fill(struct tree *t, hvo_pfn_t pfn, size_t nr, uint64_t absent,
		 uint64_t (*word)(const struct hvo_memmap *mm, hvo_pfn_t pfn), char *buf)
{
	const struct hvo_memmap *mm = hvo_machine_memmap(t->m);
	uint64_t value;
	size_t i;

	for (i = 0; i < nr; i++) {
		if (!(i % CHUNK)) {
			if (i)
				hvo_read_unlock(t->m);
			hvo_read_lock(t->m);
		}
		value = hvo_section_state(t->m, pfn + i) == HVO_SECTION_ONLINE ? word(mm, pfn + i) :
										 absent;
		memcpy(buf + i * sizeof(value), &value, sizeof(value));
	}
	if (nr)
		hvo_read_unlock(t->m);
}

static ssize_t words(struct tree *t, size_t len, uint64_t offset)
{
	uint64_t end = hvo_machine_memmap(t->m)->nr_frames * sizeof(uint64_t);

	if (offset % sizeof(uint64_t) || len % sizeof(uint64_t))
		return -EINVAL;
	if (offset >= end)
		return 0;
	return (ssize_t)((len < end - offset ? len : end - offset) / sizeof(uint64_t));
}

static ssize_t read_flags(void *arg, void *buf, size_t len, uint64_t offset)
{
	struct tree *t = ((const struct place *)arg)->tree;
	ssize_t nr = words(t, len, offset);
	hvo_pfn_t pfn = offset / sizeof(uint64_t), *failed;
	uint64_t nr_failed, i, value;

	if (nr <= 0)
		return nr;
	fill(t, pfn, (size_t)nr, KPF_NOPAGE, flags_of, buf);
	/* Failed, and in use still: the record knows which frame of a block it is. */
	nr_failed = hvo_poisoned(t->m, NULL, 0);
	failed = malloc((nr_failed + 1) * sizeof(*failed));
	if (!failed)
		return -ENOMEM;
	i = hvo_poisoned(t->m, failed, nr_failed);
	if (i < nr_failed)
		nr_failed = i;
	for (i = 0; i < nr_failed; i++) {
		if (failed[i] < pfn || failed[i] - pfn >= (uint64_t)nr)
			continue;
		memcpy(&value, (char *)buf + (failed[i] - pfn) * sizeof(value), sizeof(value));
		value |= KPF_HWPOISON;
		memcpy((char *)buf + (failed[i] - pfn) * sizeof(value), &value, sizeof(value));
	}
	free(failed);
	return nr * (ssize_t)sizeof(uint64_t);
}

static ssize_t read_count(void *arg, void *buf, size_t len, uint64_t offset)
{
	struct tree *t = ((const struct place *)arg)->tree;
	ssize_t nr = words(t, len, offset);

	if (nr <= 0)
		return nr;
	fill(t, offset / sizeof(uint64_t), (size_t)nr, 0, count_of, buf);
	return nr * (ssize_t)sizeof(uint64_t);
}

static const struct tree_row kpage_files[] = {
	{ "kpagecount", { .mode = 0400, .pread = read_count } },
	{ "kpageflags", { .mode = 0400, .pread = read_flags } },
};

int add_kpage(struct tree *t)
{
	struct place *p = place_new(t);

	return p ? add_rows(t, "/proc", kpage_files, NR_OF(kpage_files), p) : -ENOMEM;
}
