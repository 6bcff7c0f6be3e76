/* SPDX-License-Identifier: MIT */
#ifndef HVO_LINUX_H
#define HVO_LINUX_H

#include <hvo/hvo.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The linux platform: a machine on real memory of this process. The arena is one piece of memory of
 * one kind (frame n is its bytes from n * 4096 on); the direct map shows it, and so does the
 * descriptor array in the virtual layout. Memfd and anonymous need no privilege.
 */

struct hvo_linux;

/**
 * enum hvo_linux_memory - what the arena is made of
 * @HVO_LINUX_MEMFD: a sealed memfd. Can be shared, see hvo_linux_fd()
 * @HVO_LINUX_ANONYMOUS: private memory of this process
 * @HVO_LINUX_HUGETLB: a sealed memfd of pages of the host's pool of huge pages. Those for the memory
 *                     that is there at the start are reserved at once, also for a sparse machine
 * @HVO_LINUX_FILE: a descriptor of the caller's: of a file of hugetlbfs or tmpfs, a memfd of either
 *                  kind, or device DAX
 * @HVO_LINUX_BUFFER: memory of the caller's, who unmaps it after hvo_linux_close()
 *
 * Memfd, anonymous memory and files of tmpfs consist of small pages that are made huge: 2 MiB are
 * touched at one byte and then collapsed (MADV_COLLAPSE, Linux 6.1), whatever the host's settings for
 * shared memory say. Of a sparse machine that happens to the 2 MiB in which the machine first asks
 * for memory: when it cuts them, clears them for their user, or moves something there. What nothing
 * cleared is small if its user is the first to touch it. A host without huge pages to give, or with
 * an older kernel, leaves small ones: hvo_linux_info() says how it is.
 *
 * Touching memory can end with SIGBUS where nobody could have said no before: a file that somebody
 * shortens; frames that hvo_linux_discard() gave back, and memory that is not added yet, of a pool
 * of huge pages that is empty; huge pages of a sparse machine beyond a control group's limit
 * (hugetlb.2MB.max) or on a node that has no more; memory that fails in hardware.
 */
enum hvo_linux_memory {
	HVO_LINUX_MEMFD = 0,
	HVO_LINUX_ANONYMOUS = 1,
	HVO_LINUX_HUGETLB = 2,
	HVO_LINUX_FILE = 3,
	HVO_LINUX_BUFFER = 4,
};

/**
 * struct hvo_linux_options - zero means the default
 * @size: sizeof(struct hvo_linux_options), see types.h
 * @sparse: do not allocate the arena's memory in advance. Frames then cost memory
 *          when they are first touched, and the promise that freeing needs no
 *          memory holds only for frames that were touched before.
 * @no_thp: leave small pages small
 * @max_mappings: own budget of mappings (default: vm.max_map_count less an eighth)
 * @spare_mappings: kept for the way back (default 64)
 * @worker: run a thread that calls hvo_work() when there is something to do, and every
 *          second. From hvo_linux_create() to hvo_linux_close(), which waits for it; not in
 *          the child of a fork. Shrinkers, the out-of-memory notifier and the trace function
 *          may be called by it. It is named "hvo-work" and blocks all signals but those for
 *          its own faults. Without it some thread of the program should call hvo_work()
 * @memory: enum hvo_linux_memory. All but memfd run on the table layout only, which is the default
 *          there in both modes
 * @page_order: HUGETLB: 9 (default) or 18, pages of 2 MiB or 1 GiB. All memory of the machine, and
 *              what is to be added to it, has whole ones
 * @fd: FILE: open for reading and writing. Duplicated: the caller may close it
 * @strict_numa: node n of the machine has memory of the n-th node of the host that this process may
 *               use, and no other, or there is no machine. Not for BUFFER and device DAX
 * @offset: FILE: where the arena begins; a multiple of 2 MiB and of the size of its pages
 * @buffer: BUFFER: a multiple of 2 MiB. Memory that can be read and written, for all of the machine
 *          and what is to be added to it
 * @why: NULL, or where a sentence goes that says what is wrong and what to do; after an error only
 * @why_len: bytes there are at @why; what does not fit is cut off, the end is 0 always
 *
 * What FILE and BUFFER contain is lost: a machine begins with clear memory. A buffer, or device, of a
 * sparse machine is not touched, and has to be clear.
 */
struct hvo_linux_options {
	uint32_t size;
	bool sparse;
	bool no_thp;
	bool worker;
	uint32_t max_mappings;
	uint32_t spare_mappings;
	uint32_t memory;
	uint32_t page_order;
	int fd;
	bool strict_numa;
	uint64_t offset;
	void *buffer;
	char *why;
	size_t why_len;
};

struct hvo_linux_info {
	uint32_t size;
	uint64_t array_bytes;  /* address space of the descriptor array */
	void *array;	       /* where it starts */
	void *direct;	       /* where the direct map starts */
	uint64_t backed_bytes; /* memory that the arena holds now */
	uint64_t thp_bytes;    /* of the direct map, mapped by transparent huge pages */
	bool thp_asked;
	uint32_t numa_nodes;	 /* of the host; > 1: a machine's nodes prefer them */
	uint64_t nr_mappings;	 /* of the array, by the platform's own count */
	uint64_t spare_mappings; /* held now */
	uint64_t max_mappings;
	uint32_t memory;     /* enum hvo_linux_memory */
	bool strict_numa;    /* as asked for, and got */
	uint64_t unit;	     /* bytes: the memory behind the arena comes and goes in such pieces */
	uint64_t huge_bytes; /* of the direct map, mapped by huge pages of any kind now */
	uint64_t node_bytes[HVO_MAX_NODES]; /* of the direct map, on each node of the host */
	/*
	 * The machine's own memory beside the arena, that of hvo_linux_create(): address space, and
	 * how much of it is there (mincore). In the virtual layout its table of mappings too.
	 */
	uint64_t metadata_bytes, metadata_backed;
};

/**
 * hvo_linux_open() - memory, mappings and the platform context for a machine
 *
 * Context: may wait. Installs fork handlers once per process: in the child of a
 * fork the arena is not there, and every call on the machine is -HVO_ENODEV; a caller's buffer
 * stays what it is.
 * Return: 0; -HVO_EINVAL (also for 16 TiB exactly: one section less is the most here; the virtual
 * layout on other memory than a memfd; a file that is too short, or of another kind; no such huge
 * pages; no node for strict binding); -HVO_ENOMEM (address space or memory; populating memory that
 * the host, one of its nodes, its pool of huge pages or a control group does not have);
 * -HVO_EFBIG (RLIMIT_FSIZE); -HVO_ENOSYS (no memfd). @opt->why says which.
 * After an error nothing is kept.
 *
 * Who builds the machine on it by hvo_machine_init() says HVO_LAYOUT_TABLE in the configuration where
 * the arena is no memfd.
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
 * hvo_linux_fd() - the descriptor of the arena
 *
 * To map it elsewhere, or to hand it to another process, which then reads and writes all of the
 * machine's memory. It stays the host's: to be duplicated, not closed.
 *
 * Context: any.
 * Return: the descriptor, whose bytes from @offset of the options on are the arena;
 * -HVO_EOPNOTSUPP: this memory has none (anonymous, a buffer); -HVO_ENODEV: the child of a fork.
 */
int hvo_linux_fd(const struct hvo_linux *host);

/**
 * hvo_linux_info() - what was got from the system
 *
 * Reads /proc. Of memory that this process has not touched yet nobody knows whether it is huge, nor
 * where: it is in none of these numbers. Of a buffer they are those of the mappings it lies in, up to
 * its size.
 *
 * Context: may wait.
 * Return: 0 or negative errno, *@ret untouched then; -HVO_ENODEV also for a file that somebody has
 * shortened.
 */
int hvo_linux_info(struct hvo_linux *host, struct hvo_linux_info *ret);

/**
 * hvo_linux_discard() - give the memory of frames back to the system
 * @pfn: first of @nr frames, all of them in blocks that the caller holds
 *
 * For a holder that has no use for the content, which is lost: they read as zero. To be
 * populated again before they are freed, for a frame that is free must be there.
 *
 * What hvo_report_free() and removed memory give back may be smaller than @unit of hvo_linux_info():
 * the system gets it when all the rest of the same piece is given back, too.
 *
 * Context: may wait.
 * Return: 0; -HVO_EINVAL: not all of them are in blocks that somebody holds, or @host has no
 * machine that hvo_linux_create() built, or they are not whole pieces of @unit bytes;
 * -HVO_EOPNOTSUPP: memory that cannot be given back (a buffer, device DAX); -HVO_ENODEV. After an
 * error nothing has changed.
 */
int hvo_linux_discard(struct hvo_linux *host, hvo_pfn_t pfn, uint64_t nr);

/**
 * hvo_linux_populate() - get the memory of frames from the system again
 * @pfn: first of @nr frames that were released, in blocks that the caller holds
 *
 * What is there already keeps its content. Asks first what the system can do without killing
 * anybody for it. Blocks of 2 MiB become huge in hardware where that can be had. Of a sparse machine
 * frames come with the first touch: nothing to do.
 *
 * Context: may wait.
 * Return: 0; -HVO_EINVAL: not all of them are in blocks that somebody holds, or @host has no machine
 * that hvo_linux_create() built; -HVO_ENODEV, also for a file that somebody has shortened;
 * -HVO_ENOMEM: not that much memory. A part may be there then; to be tried again, or released.
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
