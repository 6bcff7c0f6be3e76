/* SPDX-License-Identifier: MIT */
#ifndef HVO_LINUX_H
#define HVO_LINUX_H

#include <hvo/hvo.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The linux platform: a machine on real memory of this process. One sealed memfd is
 * the arena (frame n is its bytes from n * 4096 on); the direct map and the
 * descriptor array are mapped from it. Needs no privilege.
 */

struct hvo_linux;

/**
 * struct hvo_linux_options - zero means the default
 * @size: sizeof(struct hvo_linux_options), see types.h
 * @sparse: do not allocate the arena's memory in advance. Frames then cost memory
 *          when they are first touched, and the promise that freeing needs no
 *          memory holds only for frames that were touched before.
 * @no_thp: do not ask for transparent huge pages
 * @max_mappings: own budget of mappings (default: vm.max_map_count less an eighth)
 * @spare_mappings: kept for the way back (default 64)
 * @worker: run a thread that calls hvo_work() when there is something to do, and every
 *          second. From hvo_linux_create() to hvo_linux_close(), which waits for it; not in
 *          the child of a fork. Shrinkers, the out-of-memory notifier and the trace function
 *          may be called by it. It is named "hvo-work" and blocks all signals but those for
 *          its own faults. Without it some thread of the program should call hvo_work()
 */
struct hvo_linux_options {
	uint32_t size;
	bool sparse;
	bool no_thp;
	bool worker;
	uint32_t max_mappings;
	uint32_t spare_mappings;
};

struct hvo_linux_info {
	uint32_t size;
	uint64_t array_bytes;  /* address space of the descriptor array */
	void *array;	       /* where it starts */
	void *direct;	       /* where the direct map starts */
	uint64_t backed_bytes; /* memory that the arena holds now (st_blocks) */
	uint64_t thp_bytes;    /* of the direct map, mapped by huge pages */
	bool thp_asked;
	uint32_t numa_nodes;	 /* of the host; > 1: a machine's nodes prefer them */
	uint64_t nr_mappings;	 /* of the array, by the platform's own count */
	uint64_t spare_mappings; /* held now */
	uint64_t max_mappings;
};

/**
 * hvo_linux_open() - memory, mappings and the platform context for a machine
 *
 * Context: may wait. Installs fork handlers once per process: in the child of a
 * fork the arena is not there, and every call on the machine is -HVO_ENODEV.
 * Return: 0; -HVO_EINVAL (also for 16 TiB exactly: one section less is the most here);
 * -HVO_ENOMEM (address space or memory; populating memory that the host does not have);
 * -HVO_EFBIG (RLIMIT_FSIZE); -HVO_ENOSYS (no memfd).
 * After an error nothing is kept.
 */
HVO_MUST_CHECK int hvo_linux_open(const struct hvo_config *cfg, const struct hvo_linux_options *opt,
				  struct hvo_linux **ret);
/* Accepts NULL. Not from what the worker calls. */
void hvo_linux_close(struct hvo_linux *host);

/**
 * hvo_linux_ops - what hvo_machine_init() needs of this platform
 *
 * The functions, whose context is the struct hvo_linux, and the address of the descriptor array.
 * hvo_linux_create() does all of it.
 *
 * Context: any.
 */
extern const struct hvo_platform_ops hvo_linux_ops;
struct hvo_page *hvo_linux_array(struct hvo_linux *host);

/**
 * hvo_linux_create() - open, and build the machine on it
 * @opt: NULL: defaults
 *
 * The machine goes with hvo_linux_close().
 *
 * Context: may wait.
 * Return: as hvo_linux_open() and hvo_machine_init(); -HVO_ENOMEM also where the thread of @opt->worker
 * could not be started. After an error nothing is kept.
 */
HVO_MUST_CHECK int hvo_linux_create(const struct hvo_config *cfg,
				    const struct hvo_linux_options *opt, struct hvo_linux **ret);
struct hvo_machine *hvo_linux_machine(struct hvo_linux *host);

/**
 * hvo_linux_info() - what was got from the system
 *
 * Reads /proc.
 *
 * Context: may wait.
 * Return: 0 or negative errno, *@ret untouched then.
 */
int hvo_linux_info(struct hvo_linux *host, struct hvo_linux_info *ret);

/**
 * hvo_linux_discard() - give the memory of frames back to the system
 * @pfn: first of @nr frames, all of them in blocks that the caller holds
 *
 * For a holder that has no use for the content, which is lost: they read as zero. To be
 * populated again before they are freed, for a frame that is free must be there.
 *
 * Context: may wait.
 * Return: 0; -HVO_EINVAL: not all of them are in blocks that somebody holds, or @host has no
 * machine that hvo_linux_create() built; -HVO_ENODEV. After an error nothing has changed.
 */
int hvo_linux_discard(struct hvo_linux *host, hvo_pfn_t pfn, uint64_t nr);

/**
 * hvo_linux_populate() - get the memory of frames from the system again
 * @pfn: first of @nr frames that were released, in blocks that the caller holds
 *
 * What is there already keeps its content. Asks first what the system can do without killing
 * anybody for it. Of a sparse machine frames come with the first touch: nothing to do.
 *
 * Context: may wait.
 * Return: 0; -HVO_EINVAL as hvo_linux_discard(); -HVO_ENODEV; -HVO_ENOMEM: not that much memory. A
 * part may be there then; to be tried again, or released.
 */
HVO_MUST_CHECK int hvo_linux_populate(struct hvo_linux *host, hvo_pfn_t pfn, uint64_t nr);

/**
 * hvo_linux_set_trace() - have a function called for each event
 * @trace: one at a time; NULL for none. Any thread may call it, also under spin locks: it must not wait,
 *         nor call the library
 *
 * Context: any.
 */
void hvo_linux_set_trace(struct hvo_linux *host,
			 void (*trace)(void *arg, const struct hvo_event_record *event), void *arg);

#ifdef __cplusplus
}
#endif

#endif
