// SPDX-License-Identifier: MIT
/*
 * What backs each page of the descriptor array, and the ledger of mappings.
 *
 * A page is either the shared tail (anonymous, PROT_READ, never written: the
 * kernel's zero page, and a write traps) or a frame of the arena (shared, writable
 * mapping of the memfd). One mmap(MAP_FIXED) replaces one by the other; readers
 * see the old or the new, never nothing, because their faults wait for mmap.
 * Neighbours that are alike merge in the kernel: tail with tail, frame f with
 * f + 1. So the table of what backs each page also says exactly how many mappings
 * there are (1 + the number of edges between unlike neighbours), and how many
 * there will be after a run, before anything is touched.
 *
 * Mappings are not populated: the first use of a page maps it and its neighbours, 16
 * at a time. That takes no memory, since the frames and the page tables are there,
 * and many descriptors are never looked at between a restore and the next fold.
 *
 * Budget: growing folds stay within max_mappings; runs towards frames may use the
 * spare mappings besides; a run that does not grow the ledger has no limit but the
 * kernel's. The pages of the last runs are remembered: a run inside one of them may
 * be its inverse, and is not refused for the budget. If the kernel itself refuses
 * (the program has used up the mappings elsewhere), spare ones are given up, for
 * what does not grow the ledger or may be an undo also the chunk kept for that.
 *
 * Page tables: munmap, hence mmap(MAP_FIXED), frees a page-table page when one call
 * covers all 2 MiB of that page. In a populated arena no call does: runs are cut at odd
 * MiB addresses, so the way back finds all page tables where they were.
 *
 * Locks: the host's lock for all but backing(), which reads the table atomically. The core
 * remaps single pages under its spin locks while readers wait for that: so whoever has
 * the host's lock waits for no reader and for no lock of the core.
 */
#include "host.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How many spare mappings a remap may give up before it fails. */
enum effort {
	EFFORT_NONE,  /* ordinary: -ENOMEM is an answer */
	EFFORT_SPARE, /* the way back */
	EFFORT_ALL,   /* an undo, or may be one */
};

struct plan {
	uint64_t page, nr;
	uint32_t entry; /* of the first page; the others follow */
	uint64_t after; /* ledger then */
	uint64_t worst; /* and in between */
	bool same;	/* nothing to do */
	enum effort effort;
};

/*
 * An inverse that takes several runs may need more mappings half-way than at either
 * end: the edge between what is inverted and what is not yet.
 */
#define UNDO_SLACK 4u

static uint32_t entry_get(const struct hvo_linux *host, uint64_t page)
{
	return __atomic_load_n(&host->table[page], __ATOMIC_ACQUIRE);
}

/* Entry of the page @i after one whose entry is @first, in one run. */
static uint32_t entry_at(uint32_t first, uint64_t i)
{
	return first ? first + (uint32_t)i : 0;
}

/* Do neighbours with these entries lie in one mapping? */
static bool entries_merge(uint32_t left, uint32_t right)
{
	return left ? right && right == left + 1 : !right;
}

/*
 * The system call itself: libc's mmap is intercepted by the thread sanitizer and
 * counts there as a write, a race with every reader of the array.
 */
static int map_once(struct hvo_linux *host, uint64_t page, uint32_t entry, uint64_t nr)
{
	uint8_t *addr = host->array + (page << PAGE_SHIFT);
	int prot = PROT_READ, flags = TAIL_MAP_FLAGS, fd = -1;
	uint64_t offset = 0;

	if (entry) {
		prot = PROT_READ | PROT_WRITE;
		flags = MAP_SHARED | MAP_FIXED;
		fd = host->fd;
		offset = (uint64_t)(entry - 1) << PAGE_SHIFT;
	}
	if (syscall(SYS_mmap, addr, (size_t)(nr << PAGE_SHIFT), prot, flags, fd, offset) == -1)
		return -errno;
	return 0;
}

static int map_piece(struct hvo_linux *host, uint64_t page, uint32_t entry, uint64_t nr,
		     enum effort effort)
{
	int rc;

	for (;;) {
		rc = map_once(host, page, entry, nr);
		if (rc != -ENOMEM || effort == EFFORT_NONE)
			break;
		if (hvo_linux_spare_drop(&host->spare))
			continue;
		if (effort != EFFORT_ALL || !hvo_linux_spare_drop_undo(&host->spare))
			break;
	}
	return rc ? -HVO_ENOMEM : 0;
}

/* Does [page, page + nr) cover the whole range of a page-table page that is to stay? */
static bool must_cut(const struct hvo_linux *host, uint64_t page, uint64_t nr)
{
	uint64_t aligned = (page + TABLE_PAGES - 1) & ~(TABLE_PAGES - 1);

	return !host->sparse && aligned + TABLE_PAGES <= page + nr;
}

/* Pages of the first call for [page, page + nr). */
static uint64_t piece_len(const struct hvo_linux *host, uint64_t page, uint64_t nr)
{
	uint64_t cut = ((page + TABLE_PAGES / 2) & ~(TABLE_PAGES - 1)) + TABLE_PAGES / 2;

	return must_cut(host, page, nr) ? cut - page : nr;
}

/* Map a run. On failure *@ret_done pages of it are mapped. */
static int map_pieces(struct hvo_linux *host, uint64_t page, uint32_t entry, uint64_t nr,
		      enum effort effort, uint64_t *ret_done)
{
	uint64_t done, len;
	int rc = 0;

	for (done = 0; done < nr; done += len) {
		len = piece_len(host, page + done, nr - done);
		rc = map_piece(host, page + done, entry_at(entry, done), len, effort);
		if (rc)
			break;
	}
	*ret_done = done;
	return rc;
}

/*
 * Map pages as the table (still) says. The mappings that this needs were there a
 * moment ago, plus two for splitting, and for those a chunk is kept.
 */
static void map_as_recorded(struct hvo_linux *host, uint64_t page, uint64_t nr)
{
	uint64_t end = page + nr, done, len;
	uint32_t entry;

	for (; page < end; page += len) {
		entry = entry_get(host, page);
		for (len = 1; page + len < end; len++)
			if (entry_get(host, page + len) != entry_at(entry, len))
				break;
		if (map_pieces(host, page, entry, len, EFFORT_ALL, &done))
			hvo_linux_panic(host, "undo of a remap failed", page, NULL);
	}
}

/* The ledger's future. Edge i lies between page i - 1 and page i. */
static void plan_count(const struct hvo_linux *host, struct plan *plan)
{
	uint64_t end = plan->page + plan->nr, edges = 0, after = 0, i;
	bool first_edge = true, last_edge = true;
	uint32_t left, right;

	plan->same = true;
	left = entry_get(host, plan->page);
	if (plan->page) {
		right = left;
		left = entry_get(host, plan->page - 1);
		first_edge = !entries_merge(left, right);
		edges += first_edge;
		after += !entries_merge(left, plan->entry);
		left = right;
	}
	for (i = 0; i < plan->nr; i++) {
		right = entry_get(host, plan->page + i);
		if (i)
			edges += !entries_merge(left, right);
		if (right != entry_at(plan->entry, i))
			plan->same = false;
		left = right;
	}
	if (end < host->array_pages) {
		right = entry_get(host, end);
		last_edge = !entries_merge(left, right);
		edges += last_edge;
		after += !entries_merge(entry_at(plan->entry, plan->nr - 1), right);
	}
	plan->after = host->nr_mappings - edges + after;
	/* The kernel splits at both ends first; of a cut run, at each cut besides. */
	plan->worst = host->nr_mappings + !first_edge;
	plan->worst += must_cut(host, plan->page, plan->nr) ? 2 : (uint64_t)!last_edge;
}

/* Does the run lie in what one recent run changed, and go no higher than that did? */
static bool may_be_undo(const struct hvo_linux *host, const struct plan *plan)
{
	const struct done_run *done;
	uint32_t i;

	for (i = 0; i < DONE_RUNS; i++) {
		done = &host->done[i];
		if (host->calls - done->call > DONE_CALLS)
			continue;
		if (plan->page >= done->page && plan->page + plan->nr <= done->page + done->nr &&
		    plan->after <= done->high + UNDO_SLACK)
			return true;
	}
	return false;
}

/* May the run be tried, and how hard? 0 or -HVO_ENOMEM. */
static int plan_budget(const struct hvo_linux *host, struct plan *plan)
{
	uint64_t spare = (uint64_t)host->spare.max_chunks * SPARE_CHUNK;

	plan->effort = EFFORT_ALL;
	if (plan->after <= host->nr_mappings)
		return 0;
	plan->effort = plan->entry ? EFFORT_SPARE : EFFORT_NONE;
	if (plan->entry && plan->after <= host->max_mappings + spare)
		return 0;
	if (!plan->entry && plan->worst <= host->max_mappings)
		return 0;
	plan->effort = EFFORT_ALL;
	return may_be_undo(host, plan) ? 0 : -HVO_ENOMEM;
}

/* Map the whole run or nothing; harder once more if it may be an undo. */
static int map_run(struct hvo_linux *host, const struct plan *plan)
{
	uint64_t done;
	int rc;

	rc = map_pieces(host, plan->page, plan->entry, plan->nr, plan->effort, &done);
	if (!rc)
		return 0;
	map_as_recorded(host, plan->page, done);
	if (plan->effort == EFFORT_ALL || !may_be_undo(host, plan))
		return rc;
	rc = map_pieces(host, plan->page, plan->entry, plan->nr, EFFORT_ALL, &done);
	if (rc)
		map_as_recorded(host, plan->page, done);
	return rc;
}

static void record(struct hvo_linux *host, const struct plan *plan)
{
	uint64_t i;
	uint32_t entry;

	for (i = 0; i < plan->nr; i++) {
		entry = entry_at(plan->entry, i);
		/* Reading first spares a sparse machine the memory of untouched entries. */
		if (entry_get(host, plan->page + i) != entry)
			__atomic_store_n(&host->table[plan->page + i], entry, __ATOMIC_RELEASE);
	}
}

/* Ledger, credit, and the note that allows the inverse. */
static void settle(struct hvo_linux *host, const struct plan *plan)
{
	struct done_run *done = &host->done[host->next_done];
	uint64_t before = host->nr_mappings;

	done->page = plan->page;
	done->nr = plan->nr;
	done->call = host->calls;
	done->high = plan->after > before ? plan->after : before;
	host->next_done = (host->next_done + 1) % DONE_RUNS;
	if (!plan->entry)
		host->spare.folds++;
	if (plan->after < before)
		hvo_linux_spare_give(&host->spare, before - plan->after);
	host->nr_mappings = plan->after;
}

/* One run, all or nothing. 0, -HVO_ENOMEM or -HVO_EINVAL. */
static int remap_run(struct hvo_linux *host, const struct hvo_remap *run)
{
	struct plan plan = { .page = run->page, .nr = run->nr };
	uint64_t paid = 0;
	int rc;

	if (run->page > host->array_pages || run->nr > host->array_pages - run->page)
		return -HVO_EINVAL;
	if (!run->nr)
		return 0;
	if (run->pfn != HVO_SHARED_TAIL) {
		if (run->pfn >= host->nr_frames || run->nr > host->nr_frames - run->pfn)
			return -HVO_EINVAL;
		plan.entry = (uint32_t)(run->pfn + 1);
	}
	plan_count(host, &plan);
	if (plan.same)
		return 0;
	rc = plan_budget(host, &plan);
	if (rc)
		return rc;
	if (plan.entry && plan.after > host->nr_mappings)
		paid = hvo_linux_spare_use(&host->spare, plan.after - host->nr_mappings);
	rc = map_run(host, &plan);
	if (rc) {
		hvo_linux_spare_give(&host->spare, paid);
		return rc;
	}
	record(host, &plan);
	settle(host, &plan);
	return 0;
}

int hvo_linux_remap(void *ctx, const struct hvo_remap *runs, unsigned int nr,
		    unsigned int *ret_done)
{
	struct hvo_linux *host = ctx;
	bool folded = false;
	int rc = 0;

	*ret_done = 0;
	if (host_is_gone(host))
		return -HVO_ENODEV;
	if (!host->table)
		return -HVO_EINVAL;
	pthread_mutex_lock(&host->lock);
	host->calls++;
	while (*ret_done < nr) {
		rc = remap_run(host, &runs[*ret_done]);
		if (rc)
			break;
		folded |= runs[*ret_done].pfn == HVO_SHARED_TAIL;
		(*ret_done)++;
	}
	if (folded)
		hvo_linux_spare_tend(&host->spare, host->nr_mappings < host->max_mappings);
	pthread_mutex_unlock(&host->lock);
	return rc;
}

/* Nothing to do: mmap has flushed the TLBs of all CPUs when it returns. */
void hvo_linux_flush(void *ctx)
{
	(void)ctx;
}

hvo_pfn_t hvo_linux_backing(void *ctx, uint64_t page)
{
	const struct hvo_linux *host = ctx;
	uint32_t entry = host->table ? entry_get(host, page) : 0;

	return entry ? entry - UINT64_C(1) : HVO_SHARED_TAIL;
}
