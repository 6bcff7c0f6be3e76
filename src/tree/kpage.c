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

/* What one frame's word is, of a block that @head heads. */
typedef uint64_t word_fn(const struct hvo_page *head, bool first);

static uint32_t mapcount(const struct hvo_page *head)
{
	return __atomic_load_n(&head->mapcount, __ATOMIC_RELAXED) & ~HVO_HOLD;
}

static uint64_t flags_of_used(const struct hvo_page *head, bool first)
{
	uint64_t flags = mapcount(head) ? KPF_MMAP : 0;

	if (__atomic_load_n(&head->order, __ATOMIC_RELAXED))
		flags |= first ? KPF_COMPOUND_HEAD : KPF_COMPOUND_TAIL;
	return flags;
}

static uint64_t flags_of(const struct hvo_page *head, bool first)
{
	switch (hvo_page_state(head)) {
	case HVO_PAGE_FREE:
	case HVO_PAGE_ISOLATED:
		return KPF_BUDDY;
	case HVO_PAGE_USED:
	case HVO_PAGE_TAKEN:
		return flags_of_used(head, first);
	case HVO_PAGE_HUGETLB_FREE:
	case HVO_PAGE_HUGETLB_USED:
		return KPF_HUGE | flags_of_used(head, first);
	case HVO_PAGE_MEMMAP:
		return __atomic_load_n(&head->flags, __ATOMIC_RELAXED) & HVO_PF_BOOT ?
			       KPF_RESERVED :
			       0;
	case HVO_PAGE_POISONED:
		return KPF_HWPOISON;
	default:
		return 0;
	}
}

static uint64_t count_of(const struct hvo_page *head, bool first)
{
	(void)first;
	return mapcount(head);
}

/* Frames [first, end) of the block of 2 MiB at @base, and where their words go. */
struct piece {
	const struct hvo_memmap *mm;
	word_fn *word;
	hvo_pfn_t base;
	unsigned int first, end;
	char *buf;
};

/* Words of the frames [at, at + nr) of it, which belong to what begins at @head. */
static void put_words(const struct piece *p, unsigned int at, unsigned int nr, hvo_pfn_t head)
{
	const struct hvo_page *page = hvo_page_ro(p->mm, head);
	unsigned int i = at < p->first ? p->first : at, end = at + nr < p->end ? at + nr : p->end;
	uint64_t value;

	for (; i < end; i++) {
		value = p->word(page, p->base + i == head);
		memcpy(p->buf + (i - p->first) * sizeof(value), &value, sizeof(value));
	}
}

/* A block that is cut: what begins where is found from its start on. */
static void cut_words(const struct piece *p)
{
	unsigned int at, nr;

	for (at = 0; at < p->end; at += nr) {
		nr = cut_frames(hvo_page_ro(p->mm, p->base + at));
		put_words(p, at, nr, p->base + at);
	}
}

/* @nr words from @pfn on; those of frames that are not online stay as they are. */
static void fill(struct tree *t, hvo_pfn_t pfn, uint64_t nr, word_fn *word, char *buf)
{
	struct piece p = { .mm = hvo_machine_memmap(t->m), .word = word, .buf = buf };

	for (; nr; nr -= p.end - p.first, pfn = p.base + p.end) {
		p.first = pfn % HVO_PAGEBLOCK_FRAMES;
		p.end = HVO_PAGEBLOCK_FRAMES - p.first < nr ? HVO_PAGEBLOCK_FRAMES :
							      p.first + (unsigned int)nr;
		p.base = pfn - p.first;
		hvo_read_lock(t->m);
		if (hvo_section_state(t->m, p.base) != HVO_SECTION_ONLINE)
			; /* no descriptors to look at */
		else if (hvo_fold_byte(p.mm, p.base >> HVO_PAGEBLOCK_ORDER) & HVO_FOLD_ORDER)
			put_words(&p, 0, HVO_PAGEBLOCK_FRAMES, hvo_page_head(p.mm, p.base));
		else
			cut_words(&p);
		hvo_read_unlock(t->m);
		p.buf += (p.end - p.first) * sizeof(uint64_t);
	}
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
	int64_t nr_failed, had, k;
	uint64_t i, value, absent = KPF_NOPAGE;

	if (nr <= 0)
		return nr;
	for (i = 0; i < (uint64_t)nr; i++)
		memcpy((char *)buf + i * sizeof(absent), &absent, sizeof(absent));
	fill(t, pfn, (uint64_t)nr, flags_of, buf);
	/* Failed, and in use still: the record knows which frame of a block it is. */
	nr_failed = hvo_poisoned(t->m, NULL, 0);
	if (nr_failed < 0)
		return (int)nr_failed;
	failed = malloc(((size_t)nr_failed + 1) * sizeof(*failed));
	if (!failed)
		return -ENOMEM;
	had = hvo_poisoned(t->m, failed, (uint64_t)nr_failed);
	if (had < nr_failed)
		nr_failed = had;
	for (k = 0; k < nr_failed; k++) {
		if (failed[k] < pfn || failed[k] - pfn >= (uint64_t)nr)
			continue;
		memcpy(&value, (char *)buf + (failed[k] - pfn) * sizeof(value), sizeof(value));
		value |= KPF_HWPOISON;
		memcpy((char *)buf + (failed[k] - pfn) * sizeof(value), &value, sizeof(value));
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
	memset(buf, 0, (size_t)nr * sizeof(uint64_t));
	fill(t, offset / sizeof(uint64_t), (uint64_t)nr, count_of, buf);
	return nr * (ssize_t)sizeof(uint64_t);
}

static const struct tree_row kpage_files[] = {
	{ "kpagecount", { .mode = 0400, .pread = read_count } },
	{ "kpageflags", { .mode = 0400, .pread = read_flags } },
};

int add_kpage(struct tree *t)
{
	return add_dir(t, NULL, kpage_files, NR_OF(kpage_files), "/proc");
}
