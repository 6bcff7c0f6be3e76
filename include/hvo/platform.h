/* SPDX-License-Identifier: MIT */
#ifndef HVO_PLATFORM_H
#define HVO_PLATFORM_H

#include <hvo/page.h>
#include <hvo/types.h>

/*
 * The only way out of the core. One table and one context for each machine.
 * All that is not deterministic goes through it, so a simulation replays from a
 * seed.
 *
 * Results are 0 or negative errno values. "May wait" means that the caller holds
 * no spin lock (zone or pool lock). remap() of one page to one frame, and flush(), are the
 * exception: where a frame of descriptors is moved they are called under spin locks.
 */

/* In struct hvo_remap::pfn: map the shared, read-only tail page instead of frames. */
#define HVO_SHARED_TAIL HVO_PFN_NONE

/**
 * struct hvo_remap - one run of descriptor pages and what is to back it
 * @page: first page of the array (in pages from its start)
 * @pfn: first of @nr neighbouring frames, or HVO_SHARED_TAIL
 * @nr: how many pages
 */
struct hvo_remap {
	uint64_t page;
	hvo_pfn_t pfn;
	uint64_t nr;
};

/* Called for every event; see enum hvo_event in hvo.h. */
struct hvo_event_record;

struct hvo_platform_ops {
	uint32_t size;
	/*
	 * window() - bytes of the frames [pfn, pfn + nr), through the direct map.
	 * Never fails, never allocates, any context. Page aligned; neighbouring
	 * frames are neighbouring bytes.
	 */
	void *(*window)(void *ctx, hvo_pfn_t pfn, uint64_t nr);

	/*
	 * translate() - NULL, or what struct hvo_memmap::translate is. Stops the
	 * machine (panic) on a write to a read-only page or an access to nothing.
	 */
	void *(*translate)(void *ctx, const void *addr, bool write);

	/*
	 * remap() - change what backs runs of descriptor pages, in the order given.
	 * @ret_done is always set: how many whole runs are in force. A run is never
	 * half done. -HVO_ENOMEM when a mapping or a table page is missing; then
	 * the runs from @ret_done on are exactly as before. To HVO_SHARED_TAIL
	 * that is an ordinary answer. Towards frames it neither allocates memory
	 * for their content nor touches it. Inverting runs that this very call
	 * (or the one before it, under the same memmap lock) put in force, whole
	 * or the parts of them that belong to one huge page, never fails.
	 * -HVO_ENODEV once the memory has gone away under the machine. May wait;
	 * called with the memmap lock or for pages that only the
	 * caller knows. Readers on other CPUs see the old or the new backing until
	 * flush() returns, then only the new one.
	 * One page that goes from one frame to another may be remapped under spin locks, and
	 * while others, even readers, wait for that page: then it waits for no lock of
	 * the core, for no reader (quiesce()), and for nobody who waits for those. Others
	 * may write to that page meanwhile, and the write may reach either frame.
	 */
	int (*remap)(void *ctx, const struct hvo_remap *runs, unsigned int nr,
		     unsigned int *ret_done);

	/*
	 * flush() - after one or many remap() calls, before anything relies on them. Under
	 * spin locks too.
	 */
	void (*flush)(void *ctx);

	/* backing() - frame that backs a page of the array, or HVO_SHARED_TAIL. Any context. */
	hvo_pfn_t (*backing)(void *ctx, uint64_t page);

	/*
	 * populate() - make sure that writing to the frames [pfn, pfn + nr) through
	 * window() cannot fail. -HVO_ENOMEM, or -HVO_ENODEV as remap(): nothing changed. May
	 * wait.
	 * discard() - give their content back to the system; they read as zero
	 * afterwards. May wait.
	 */
	int (*populate)(void *ctx, hvo_pfn_t pfn, uint64_t nr);
	void (*discard)(void *ctx, hvo_pfn_t pfn, uint64_t nr);

	/* zero(), copy() - whole frames, through the direct map, populated before. */
	void (*zero)(void *ctx, hvo_pfn_t pfn, uint64_t nr);
	void (*copy)(void *ctx, hvo_pfn_t dst, hvo_pfn_t src, uint64_t nr);

	/*
	 * lock_wait() - sleep while *word == value (spurious returns are fine).
	 * lock_wake() - wake one sleeper of the word.
	 */
	void (*lock_wait)(void *ctx, uint32_t *word, uint32_t value);
	void (*lock_wake)(void *ctx, uint32_t *word);

	/*
	 * read_lock(), read_unlock() - a reader of descriptors that takes no lock.
	 * quiesce() - returns once every reader that ran when it was called is done.
	 * Called without spin locks and never inside read_lock().
	 */
	void (*read_lock)(void *ctx);
	void (*read_unlock)(void *ctx);
	void (*quiesce)(void *ctx);

	/*
	 * willneed() - NULL, or: most of [@start, @start + @len) of the memory that
	 * hvo_machine_init() was given is about to be written for the first time. A hint. May wait.
	 */
	void (*willneed)(void *ctx, void *start, size_t len);

	/* now_ns() - monotonic time; sleep_ns() - wait; virtual in a simulation. */
	uint64_t (*now_ns)(void *ctx);
	void (*sleep_ns)(void *ctx, uint64_t ns);

	/*
	 * kick() - NULL, or: hvo_work() is worth calling. Must not call it itself. Any
	 * context, also under spin locks.
	 */
	void (*kick)(void *ctx);

	/* trace() - NULL, or sees every event. Any context, also under spin locks. */
	void (*trace)(void *ctx, const struct hvo_event_record *event);

	/* panic() - an invariant is broken; @what is static text. Does not return. */
	void (*panic)(void *ctx, const char *what, uint64_t pfn, const struct hvo_page *page)
		__attribute__((noreturn));

	/*
	 * audit() - NULL, or compare the platform's own records (backing()) with
	 * what is really mapped; call @mismatch for each difference. May wait.
	 */
	void (*audit)(void *ctx,
		      void (*mismatch)(void *arg, uint64_t page, uint64_t recorded, uint64_t real),
		      void *arg);
};

#endif
