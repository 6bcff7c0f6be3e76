// SPDX-License-Identifier: MIT
/*
 * The sim platform: a state to come back to, as often as is wanted.
 *
 * All memory of a sim that was touched goes into a file without a name, which is then mapped
 * privately in the place of the memory. A page that is written to becomes a copy, which costs a
 * fault: so copies stay, and to come back is to fill them with what was saved. Of frames the sim
 * knows which are written to, since all that goes through it; of the rest, which is little, the
 * kernel is asked for copies that are new, and all are filled. A few pages are filled unasked.
 *
 * States: nothing saved; saved. Saving again replaces the state.
 * Locks: none; no call of the machine runs.
 *
 * In Linux: what fork() does to a child, kernel/fork.c and mm/memory.c do_wp_page().
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "platform/sim/internal.h"

#define PAGE ((size_t)4096)
#define NR_REGIONS 5
#define ENTRIES 2048 /* of the pagemap at a time */
#define FEW ((size_t)4 * PAGE)

/* Of an entry of /proc/self/pagemap. */
#define ENTRY_PRESENT (UINT64_C(1) << 63)
#define ENTRY_SWAPPED (UINT64_C(1) << 62)
#define ENTRY_FILE (UINT64_C(1) << 61)

struct region {
	char *start;
	size_t bytes; /* whole pages */
	off_t offset; /* in the file */
};

/* A list without anything twice. */
struct pages {
	uint32_t *list;
	size_t nr, max;
	uint8_t *has; /* bits */
};

struct hvo_sim_snapshot {
	struct hvo_sim fields; /* some of them; with a TLB */
	struct region regions[NR_REGIONS];
	char *saved; /* the file */
	size_t bytes;
	int pagemap;
	struct pages copies; /* of all regions but the first, as numbers of pages in the file */
	struct pages dirty;  /* frames, the first region, since the last time */
	uint8_t *written;    /* bits: frames that had a content when they were saved */
	uint64_t entries[ENTRIES];
};

static void add_page(struct pages *p, uint32_t page)
{
	if (p->has[page / 8] >> page % 8 & 1)
		return;
	if (p->nr == p->max) {
		p->max = p->max ? 2 * p->max : 1024;
		p->list = realloc(p->list, p->max * sizeof(*p->list));
		if (!p->list)
			abort();
	}
	p->has[page / 8] = (uint8_t)(p->has[page / 8] | 1u << page % 8);
	p->list[p->nr++] = page;
}

static size_t whole_pages(size_t bytes)
{
	return (bytes + PAGE - 1) & ~(PAGE - 1);
}

static void set_regions(struct hvo_sim_snapshot *s, const struct hvo_sim *sim)
{
	const struct region all[NR_REGIONS] = {
		{ (char *)sim->memory, hvo_sim_all_frames(sim) * HVO_FRAME_SIZE, 0 },
		{ sim->machine_memory, sim->machine_size, 0 },
		{ (char *)sim->records, sim->nr_pages * sizeof(*sim->records), 0 },
		{ (char *)sim->discarded, hvo_sim_bitmap_bytes(sim), 0 },
		{ (char *)sim->refused, hvo_sim_bitmap_bytes(sim), 0 },
	};
	unsigned int i;

	for (i = 0; i < NR_REGIONS; i++) {
		s->regions[i] = all[i];
		s->regions[i].bytes = whole_pages(all[i].bytes);
		s->regions[i].offset = (off_t)s->bytes;
		s->bytes += s->regions[i].bytes;
	}
}

/* Call @fn for each page of a region whose entry has some of @any and none of @none. */
static int
for_pages(struct hvo_sim_snapshot *s, const struct region *r, uint64_t any, uint64_t none,
	  int (*fn)(struct hvo_sim_snapshot *s, const struct region *r, size_t at, int fd), int fd)
{
	uint64_t *entries = s->entries;
	size_t at, i, nr;
	ssize_t got;
	int err;

	for (at = 0; at < r->bytes; at += nr * PAGE) {
		nr = (r->bytes - at) / PAGE;
		if (nr > ENTRIES)
			nr = ENTRIES;
		got = pread(s->pagemap, entries, nr * sizeof(*entries),
			    (off_t)(((uintptr_t)r->start + at) / PAGE * sizeof(*entries)));
		if (got != (ssize_t)(nr * sizeof(*entries)))
			return -HVO_ENOMEM;
		for (i = 0; i < nr; i++) {
			if (!(entries[i] & any) || entries[i] & none)
				continue;
			err = fn(s, r, at + i * PAGE, fd);
			if (err)
				return err;
		}
	}
	return 0;
}

static int write_page(struct hvo_sim_snapshot *s, const struct region *r, size_t at, int fd)
{
	size_t page = at / PAGE;

	if (!r->offset)
		s->written[page / 8] = (uint8_t)(s->written[page / 8] | 1u << page % 8);
	return pwrite(fd, r->start + at, PAGE, r->offset + (off_t)at) == (ssize_t)PAGE ?
		       0 :
		       -HVO_ENOMEM;
}

static int fill(struct hvo_sim_snapshot *s, int fd)
{
	unsigned int i;
	int err;

	if (ftruncate(fd, (off_t)s->bytes))
		return -HVO_ENOMEM;
	for (i = 0; i < NR_REGIONS; i++) {
		err = for_pages(s, &s->regions[i], ENTRY_PRESENT | ENTRY_SWAPPED, 0, write_page,
				fd);
		if (err)
			return err;
	}
	s->saved = mmap(NULL, s->bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (s->saved == MAP_FAILED)
		s->saved = NULL;
	return s->saved ? 0 : -HVO_ENOMEM;
}

/* Mapping over what is mapped takes no more mappings than there are: it does not fail half way. */
static int map_regions(const struct hvo_sim_snapshot *s, const struct hvo_sim *sim, int fd)
{
	const struct region *r;

	for (r = s->regions; r < s->regions + NR_REGIONS; r++)
		if (mmap(r->start, r->bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd, r->offset) == MAP_FAILED)
			return -HVO_ENOMEM;
	if (mprotect(hvo_sim_bytes(sim, hvo_sim_tail_frame(sim)), HVO_FRAME_SIZE, PROT_READ))
		return -HVO_ENOMEM;
	return 0;
}

/* What is neither memory of the machine nor constant. */
static void copy_fields(struct hvo_sim *to, const struct hvo_sim *from, size_t tlb_bytes)
{
	size_t start = offsetof(struct hvo_sim, mmu), end = offsetof(struct hvo_sim, opt);

	memcpy((char *)to + start, (const char *)from + start, end - start);
	memcpy(to->tlb, from->tlb, tlb_bytes);
}

static void free_snapshot(struct hvo_sim_snapshot *s)
{
	if (!s)
		return;
	if (s->saved)
		munmap(s->saved, s->bytes);
	if (s->pagemap >= 0)
		close(s->pagemap);
	free(s->fields.tlb);
	free(s->copies.list);
	free(s->copies.has);
	free(s->dirty.list);
	free(s->dirty.has);
	free(s->written);
	free(s);
}

int hvo_sim_save(struct hvo_sim *sim)
{
	struct hvo_sim_snapshot *s = calloc(1, sizeof(*s));
	int fd = memfd_create("hvo-sim", MFD_CLOEXEC);
	int err = -HVO_ENOMEM;

	if (!s)
		goto out;
	set_regions(s, sim);
	s->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	s->fields.tlb = malloc(hvo_sim_tlb_bytes(sim));
	s->copies.has = calloc(1, s->bytes / PAGE / 8 + 1);
	s->dirty.has = calloc(1, s->bytes / PAGE / 8 + 1);
	s->written = calloc(1, s->bytes / PAGE / 8 + 1);
	if (fd < 0 || s->pagemap < 0 || !s->fields.tlb || !s->copies.has || !s->dirty.has ||
	    !s->written)
		goto out;
	copy_fields(&s->fields, sim, hvo_sim_tlb_bytes(sim));
	err = fill(s, fd);
	if (!err)
		err = map_regions(s, sim, fd);
	if (err)
		goto out;
	free_snapshot(sim->snapshot);
	sim->snapshot = s;
	s = NULL;
out:
	/* The mappings keep the file. */
	if (fd >= 0)
		close(fd);
	free_snapshot(s);
	return err;
}

static int note_copy(struct hvo_sim_snapshot *s, const struct region *r, size_t at, int fd)
{
	(void)fd;
	add_page(&s->copies, (uint32_t)(((size_t)r->offset + at) / PAGE));
	return 0;
}

void hvo_sim_note_write(struct hvo_sim *sim, uint64_t frame, uint64_t nr)
{
	for (; nr; nr--)
		add_page(&sim->snapshot->dirty, (uint32_t)frame++);
}

bool hvo_sim_is_untouched(const struct hvo_sim *sim, uint64_t frame)
{
	const struct hvo_sim_snapshot *s = sim->snapshot;

	return s && !((s->written[frame / 8] | s->dirty.has[frame / 8]) >> frame % 8 & 1);
}

static void fill_page(const struct hvo_sim_snapshot *s, uint32_t page)
{
	size_t at = page * PAGE;
	const struct region *r = s->regions;

	while (at >= (size_t)r->offset + r->bytes)
		r++;
	memcpy(r->start + (at - (size_t)r->offset), s->saved + at, PAGE);
}

void hvo_sim_restore(struct hvo_sim *sim)
{
	struct hvo_sim_snapshot *s = sim->snapshot;
	const struct region *r;
	uint32_t page;
	size_t i;

	for (r = s->regions + 1; r < s->regions + NR_REGIONS; r++)
		if (r->bytes <= FEW)
			memcpy(r->start, s->saved + r->offset, r->bytes);
		else if (for_pages(s, r, ENTRY_PRESENT | ENTRY_SWAPPED, ENTRY_FILE, note_copy, -1))
			abort();
	for (i = 0; i < s->copies.nr; i++)
		fill_page(s, s->copies.list[i]);
	/* Tables are written to by who walks them. */
	for (page = (uint32_t)hvo_sim_tail_frame(sim) + 1; page < sim->tables_fresh; page++)
		fill_page(s, page);
	while (s->dirty.nr) {
		page = s->dirty.list[--s->dirty.nr];
		s->dirty.has[page / 8] = (uint8_t)(s->dirty.has[page / 8] & ~(1u << page % 8));
		fill_page(s, page);
	}
	copy_fields(sim, &s->fields, hvo_sim_tlb_bytes(sim));
	hvo_sim_fail(sim, NULL);
}

void hvo_sim_forget_saved(struct hvo_sim *sim)
{
	free_snapshot(sim->snapshot);
	sim->snapshot = NULL;
}
