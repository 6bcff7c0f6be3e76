// SPDX-License-Identifier: MIT
/*
 * sys/kernel/hvo: what the kernel has no file for. The machine's own counters, and a map of
 * its memory, a character for each 2 MiB.
 */
#include "internal.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

static struct tree *tree_of(void *arg)
{
	return ((const struct place *)arg)->tree;
}

static int show_mode(void *arg, FILE *out)
{
	fputs(hvo_machine_config(tree_of(arg)->m)->mode == HVO_LINUX ? "linux\n" : "on-demand\n",
	      out);
	return 0;
}

static int show_layout(void *arg, FILE *out)
{
	fputs(hvo_machine_memmap(tree_of(arg)->m)->table ? "table\n" : "virtual\n", out);
	return 0;
}

/* ---- counters ---------------------------------------------------------------------- */

/* name_ is a field of struct hvo_machine_stat. */
#define COUNTER(name_)                                                   \
	static int show_##name_(void *arg, FILE *out)                    \
	{                                                                \
		struct hvo_machine_stat stat = { .size = sizeof(stat) }; \
                                                                         \
		hvo_machine_stat(tree_of(arg)->m, &stat);                \
		return show_number(out, stat.name_);                     \
	}

COUNTER(memmap)
COUNTER(memmap_boot)
COUNTER(cuts)
COUNTER(cut_failures)
COUNTER(collapses)
COUNTER(collapse_failures)
COUNTER(folds)
COUNTER(restored)
COUNTER(carved_blocks)
COUNTER(moved)
COUNTER(reported)
COUNTER(poisoned)

/* ---- the map --------------------------------------------------------------------------- */

#define SECTION_BLOCKS (HVO_SECTION_FRAMES / HVO_PAGEBLOCK_FRAMES)

/* What is found in a block that is cut, but for its own descriptors. */
struct found {
	bool used, boot, failed;
};

/* Of the frames that hold the descriptors of @block only those that come and go with the cut. */
static bool of_own_block(const struct hvo_memmap *mm, const struct hvo_page *page, uint64_t block)
{
	uint64_t first = mm->table ? block * HVO_PAGEBLOCK_MEMMAP : hvo_pageblock_tail_page(block);
	uint64_t nr = mm->table ? HVO_PAGEBLOCK_MEMMAP : HVO_PAGEBLOCK_TAILS;
	uint64_t n = __atomic_load_n(&page->private_data[0], __ATOMIC_RELAXED);

	return n >= first && n < first + nr;
}

static void look_at(const struct hvo_memmap *mm, const struct hvo_page *page, uint64_t block,
		    struct found *f)
{
	switch (hvo_page_state(page)) {
	case HVO_PAGE_USED:
	case HVO_PAGE_TAKEN:
		f->used = true;
		break;
	case HVO_PAGE_MEMMAP:
		if (__atomic_load_n(&page->flags, __ATOMIC_RELAXED) & HVO_PF_BOOT)
			f->boot = true;
		else if (!of_own_block(mm, page, block))
			f->used = true;
		break;
	case HVO_PAGE_POISONED:
		f->failed = true;
		break;
	default:
		break;
	}
}

static char cut_block(const struct hvo_memmap *mm, hvo_pfn_t pfn)
{
	const struct hvo_page *page;
	struct found f = { 0 };
	unsigned int i;

	for (i = 0; i < HVO_PAGEBLOCK_FRAMES; i += cut_frames(page)) {
		page = hvo_page_ro(mm, pfn + i);
		look_at(mm, page, pfn >> HVO_PAGEBLOCK_ORDER, &f);
	}
	if (f.failed)
		return 'x';
	if (f.used)
		return 'c';
	return f.boot ? 'm' : 'e';
}

static char whole_block(struct tree *t, const struct hvo_memmap *mm, hvo_pfn_t pfn)
{
	const struct hvo_page *page = hvo_page_ro(mm, hvo_page_head(mm, pfn));

	if (__atomic_load_n(&page->flags, __ATOMIC_RELAXED) & HVO_PF_POISONED)
		return 'x';
	switch (hvo_page_state(page)) {
	case HVO_PAGE_FREE:
		return hvo_reported(t->m, pfn) ? 'r' : '.';
	case HVO_PAGE_HUGETLB_FREE:
		return 'h';
	case HVO_PAGE_HUGETLB_USED:
		return 'H';
	case HVO_PAGE_MEMMAP:
		return 'm';
	case HVO_PAGE_POISONED:
		return 'x';
	case HVO_PAGE_ISOLATED:
		return 'i';
	default:
		return 'u';
	}
}

static void show_section(struct tree *t, hvo_pfn_t pfn, const struct hvo_section_info *info,
			 FILE *out)
{
	static const char zones[] = { 'N', 'M', 'C' };
	const struct hvo_memmap *mm = hvo_machine_memmap(t->m);
	bool online = info->state == HVO_SECTION_ONLINE;
	char map[SECTION_BLOCKS + 1];
	unsigned int i;

	memset(map, '-', SECTION_BLOCKS);
	map[SECTION_BLOCKS] = '\0';
	for (i = 0; i < SECTION_BLOCKS && online; i++) {
		hvo_pfn_t block = pfn + i * HVO_PAGEBLOCK_FRAMES;

		hvo_read_lock(t->m);
		map[i] = hvo_fold_byte(mm, block >> HVO_PAGEBLOCK_ORDER) & HVO_FOLD_ORDER ?
				 whole_block(t, mm, block) :
				 cut_block(mm, block);
		hvo_read_unlock(t->m);
	}
	fprintf(out, "%" PRIu64 " %d %c %s\n", pfn, info->node, online ? zones[info->zone] : '-',
		map);
}

static int show_map(void *arg, FILE *out)
{
	struct tree *t = tree_of(arg);
	struct hvo_section_info info = { .size = sizeof(info) };
	hvo_pfn_t pfn;

	for (pfn = 0; pfn < t->hotplug_end; pfn += HVO_SECTION_FRAMES) {
		hvo_section_info(t->m, pfn, &info);
		if (info.state != HVO_SECTION_ABSENT)
			show_section(t, pfn, &info, out);
	}
	return 0;
}

static const struct tree_row hvo_files[] = {
	RO("mode", show_mode),
	RO("layout", show_layout),
	RO("memory_map", show_map),
	RO("descriptor_frames", show_memmap),
	RO("descriptor_frames_boot", show_memmap_boot),
	RO("cuts", show_cuts),
	RO("cut_failures", show_cut_failures),
	RO("collapses", show_collapses),
	RO("collapse_failures", show_collapse_failures),
	RO("folds", show_folds),
	RO("restored", show_restored),
	RO("carved_blocks", show_carved_blocks),
	RO("moved_frames", show_moved),
	RO("reported_frames", show_reported),
	RO("poisoned_frames", show_poisoned),
};

int add_hvo(struct tree *t)
{
	return add_dir(t, NULL, hvo_files, NR_OF(hvo_files), "/sys/kernel/hvo");
}
