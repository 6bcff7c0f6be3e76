// SPDX-License-Identifier: MIT
/*
 * Spare mappings. The kernel limits the mappings of a process (vm.max_map_count), and charges the
 * kernel memory of a mapping to a memory cgroup. Runs of the array that go back to frames must fail
 * for neither, so the host holds mappings that are good for nothing but giving them up.
 *
 * A chunk is 16 pages of address space with alternating protection, which is 16
 * mappings and no memory. Unmapping it works at the limit: no mapping is split.
 * Chunks are given up before the array grows, not when mmap fails, so that the
 * number of the kernel's objects does not change; mappings given up and not used yet
 * are credit. Folds return credit, and enough credit rebuilds a chunk: the distance
 * between the two thresholds keeps a fold and a return in turn from building and
 * dropping a chunk each time.
 *
 * States of a chunk: held, or given up (not in the list). Locks: the host's lock.
 */
#include "host.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

static void *chunk_build(void)
{
	size_t len = SPARE_CHUNK * PAGE_BYTES;
	uint8_t *chunk;
	size_t off;

	chunk = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (chunk == MAP_FAILED)
		return NULL;
	for (off = PAGE_BYTES; off < len; off += 2 * PAGE_BYTES) {
		if (mprotect(chunk + off, PAGE_BYTES, PROT_READ)) {
			munmap(chunk, len);
			return NULL;
		}
	}
	return chunk;
}

static void chunk_drop(void *chunk)
{
	munmap(chunk, SPARE_CHUNK * PAGE_BYTES);
}

/* 0 or -HVO_ENOMEM with nothing kept. Zero wanted: none but the ones for undoing. */
int hvo_linux_spare_init(struct spare *spare, uint32_t wanted)
{
	uint32_t max = (wanted + SPARE_CHUNK - 1) / SPARE_CHUNK;
	void *chunk;

	spare->chunks = calloc(max ? max : 1, sizeof(*spare->chunks));
	if (!spare->chunks)
		return -HVO_ENOMEM;
	spare->max_chunks = max;
	spare->undo = chunk_build();
	if (!spare->undo)
		goto undo;
	while (spare->nr_chunks < max) {
		chunk = chunk_build();
		if (!chunk)
			goto undo;
		spare->chunks[spare->nr_chunks++] = chunk;
	}
	return 0;
undo:
	hvo_linux_spare_fini(spare);
	return -HVO_ENOMEM;
}

void hvo_linux_spare_fini(struct spare *spare)
{
	while (spare->nr_chunks)
		chunk_drop(spare->chunks[--spare->nr_chunks]);
	if (spare->undo)
		chunk_drop(spare->undo);
	free(spare->chunks);
	spare->undo = NULL;
	spare->chunks = NULL;
}

/*
 * Hold all again, after the start of the machine: what that used up is not the way
 * back. Failing is fine.
 */
void hvo_linux_spare_fill(struct spare *spare)
{
	void *chunk;

	while (spare->nr_chunks < spare->max_chunks) {
		chunk = chunk_build();
		if (!chunk)
			break;
		spare->chunks[spare->nr_chunks++] = chunk;
	}
	hvo_linux_spare_give(spare, 0);
}

/* Give up a chunk; false if none is left. */
bool hvo_linux_spare_drop(struct spare *spare)
{
	if (!spare->nr_chunks)
		return false;
	chunk_drop(spare->chunks[--spare->nr_chunks]);
	spare->credits += SPARE_CHUNK;
	return true;
}

/* Give up the chunk that is kept for undoing. Earns no credit: it is rebuilt first. */
bool hvo_linux_spare_drop_undo(struct spare *spare)
{
	if (!spare->undo)
		return false;
	chunk_drop(spare->undo);
	spare->undo = NULL;
	return true;
}

/* The array is about to grow by @nr mappings on the way back. Returns what was paid. */
uint64_t hvo_linux_spare_use(struct spare *spare, uint64_t nr)
{
	while (spare->credits < nr && hvo_linux_spare_drop(spare))
		;
	if (nr > spare->credits)
		nr = spare->credits;
	spare->credits -= nr;
	return nr;
}

/* The array shrank, or did not grow after all. Never more than was given up. */
void hvo_linux_spare_give(struct spare *spare, uint64_t nr)
{
	uint64_t missing = (uint64_t)(spare->max_chunks - spare->nr_chunks) * SPARE_CHUNK;

	spare->credits += nr;
	if (spare->credits > missing)
		spare->credits = missing;
}

/**
 * hvo_linux_spare_tend() - after folds, the moment when memory is least short
 * @room: the budget has room, so chunks may be rebuilt without credit as well
 *
 * Without credit it is tried only every 64 folds (8 for the undo chunk). That way a
 * machine whose growth is there to stay gets its spare mappings back too. Failing is
 * fine.
 */
void hvo_linux_spare_tend(struct spare *spare, bool room)
{
	bool rich = spare->credits >= 2 * SPARE_CHUNK;
	bool due = room && spare->folds >= (spare->undo ? 64u : 8u);
	void *chunk;

	if (!rich && !due)
		return;
	if (spare->undo && spare->nr_chunks == spare->max_chunks)
		return;
	spare->folds = 0;
	chunk = chunk_build();
	if (!chunk) {
		/* Ask the kernel again only after as many folds once more. */
		if (rich)
			spare->credits = SPARE_CHUNK;
		return;
	}
	if (!spare->undo) {
		spare->undo = chunk;
		return;
	}
	spare->chunks[spare->nr_chunks++] = chunk;
	spare->credits -= spare->credits < SPARE_CHUNK ? spare->credits : SPARE_CHUNK;
	hvo_linux_spare_give(spare, 0);
}
