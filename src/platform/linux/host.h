/* SPDX-License-Identifier: MIT */
#ifndef HVO_LINUX_HOST_H
#define HVO_LINUX_HOST_H

#include <hvo/linux.h>
#include <pthread.h>
#include <sys/mman.h>

/* Since Linux 5.14, 5.14 and 6.1; libc may not know them. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/*
 * The linux platform's own state, shared by the files of this directory only.
 *
 * Address space, reserved once by open; nothing is ever mapped outside of it but
 * the spare mappings, the machine's memory, and a caller's buffer, which is the direct map then.
 * In the table layout the array is one page for reading, and there are no ledger table and
 * no spare mappings:
 *
 *	 span                                                     span + span_len
 *	+-----+------------------+-------+---------------+-------+-------+
 *	| pad | direct map       | guard | array         | guard | table |
 *	|     | 1 GiB aligned    | none  | 2 MiB aligned | none  |       |
 *	+-----+------------------+-------+---------------+-------+-------+
 *
 * The guards keep the array's mappings from merging with foreign ones, so that
 * the ledger of mappings is exact.
 *
 * Locks, outermost first:
 *	list lock (linux.c)	list of hosts, @machine, changes of @trace
 *	what liburcu locks	while it waits for readers, too
 *	@lock			table (writers), ledger, spare mappings, and the
 *				mmap calls on the array; which units of more than 4 KiB
 *				are there
 * @lock is the innermost of all, the core's spin locks included: remap() is called under
 * those, while readers wait for its caller. So under it nobody waits for a reader.
 * Letters: (c) constant after open, (a) atomic, (l) @lock, (g) list lock.
 */

#define PAGE_BYTES ((size_t)HVO_FRAME_SIZE)
#define PAGE_SHIFT HVO_FRAME_SHIFT
#define TABLE_BYTES ((size_t)HVO_PAGEBLOCK_SIZE) /* address range of one page-table page */
#define TABLE_PAGES UINT64_C(512)

/*
 * The table holds pfn + 1 in 32 bits, 0 for the shared tail: so zeroed memory is
 * the initial state. Frame 2^32 - 1 has no entry; arenas stay below 16 TiB.
 */
#define MAX_FRAMES UINT64_C(0xffffffff)

/* Spare mappings are given up and rebuilt so many at a time. */
#define SPARE_CHUNK 16u
#define SPARE_DEFAULT 64u
#define SPARE_MAX 65536u

#define WHY_LEN 512u

/*
 * struct spare - mappings that are only held to be given up
 * @chunks: addresses of the chunks held, @nr_chunks of at most @max_chunks
 * @undo: one more chunk, for undoing only; NULL while it is used up
 * @credits: mappings that were given up and are not in use by the array yet
 * @folds: runs to the shared tail since the last attempt to rebuild a chunk
 */
struct spare {
	void **chunks;
	uint32_t nr_chunks;
	uint32_t max_chunks;
	void *undo;
	uint64_t credits;
	uint32_t folds;
};

/*
 * struct done_run - pages that a run changed, the ledger's higher value before and
 * after, and in which call. A run inside such pages may be an undo, which must not
 * fail. For undoing, this call and the one before matter; other threads may have
 * made some in between.
 */
#define DONE_RUNS 512u
#define DONE_CALLS 8u
struct done_run {
	uint64_t page, nr, high, call;
};

struct trace_slot {
	void (*fn)(void *arg, const struct hvo_event_record *event);
	void *arg;
};

/*
 * struct worker - the thread that calls hvo_work(), see worker.c
 * @stop: close has begun, or there is no such thread in this process: nothing sleeps now
 */
struct worker {
	pthread_t thread; /* (c) */
	bool started;	  /* (c) but not in the child of a fork */
	uint32_t word;	  /* (a) */
	uint32_t stop;	  /* (a) */
};

struct hvo_linux {
	enum hvo_linux_memory memory; /* (c) */
	int fd;			      /* (c) the arena; -1: it has none, or child of a fork */
	uint64_t offset;	      /* (c) in @fd */
	uint64_t unit;		      /* (c) bytes, see memory.c */
	bool small;		      /* (c) units of 4 KiB that can be given back */
	bool lasting;		      /* (c) memory that can not be given back */
	bool collapse;		      /* (c) small pages are to become huge */
	bool sparse;		      /* (c) */
	bool thp_asked;		      /* (c) */
	bool strict_numa;	      /* (c) */
	bool dontfork;		      /* (c) the direct map is not inherited */
	bool hole;		      /* (c) in the child: not ours where the direct map was */
	bool gone;		      /* (a) child of a fork: nothing is mapped any more */
	uint8_t *span;		      /* (c) see above */
	size_t span_len;	      /* (c) */
	uint8_t *direct;	      /* (c) */
	uint8_t *array;		      /* (c) */
	uint64_t bytes;		      /* (c) of the arena */
	uint64_t nr_frames;	      /* (c) */
	uint64_t array_pages;	      /* (c) */
	uint32_t *table;     /* (a) written under (l); entries as above; NULL: table layout */
	uint32_t numa_nodes; /* (c) of the host */
	char *why;	     /* WHY_LEN bytes, only while it is opened */
	uint64_t *holes;     /* (a) a bit for each 2 MiB, see memory.c */

	pthread_mutex_t lock;
	uint64_t nr_mappings;		 /* (l) of the array: 1 + edges between unlike pages */
	uint64_t max_mappings;		 /* (c) */
	struct done_run done[DONE_RUNS]; /* (l) ring */
	uint32_t next_done;		 /* (l) */
	uint64_t calls;			 /* (l) of remap() */
	struct spare spare;		 /* (l) */

	struct trace_slot slots[2]; /* (g) the one that @trace does not point to */
	struct trace_slot *trace;   /* (a) */

	struct worker worker;

	struct hvo_machine *machine; /* (g) */
	void *machine_mem;	     /* (c) */
	size_t machine_len;	     /* (c) */
	struct hvo_linux *next;	     /* (g) */
};

/* arena.c */
/* Say what is wrong to who opens the host; returns @rc. */
int hvo_linux_refuse(const struct hvo_linux *host, int rc, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int hvo_linux_arena_open(struct hvo_linux *host, const struct hvo_linux_options *opt,
			 uint64_t memory);
int hvo_linux_arena_map(struct hvo_linux *host, uint64_t memory);
int hvo_linux_arena_fill(struct hvo_linux *host, uint64_t memory, uint64_t extra);
/* Does this node of the host have so much for us? 0, or -HVO_ENOMEM and why. */
int hvo_linux_arena_room(const struct hvo_linux *host, int node, uint64_t bytes);
bool hvo_linux_arena_lost(const struct hvo_linux *host);

/* memory.c */
#define BLOCK_BYTES ((uint64_t)HVO_PAGEBLOCK_SIZE)
int hvo_linux_memory_fallocate(const struct hvo_linux *host, int mode, uint64_t off, uint64_t len);
int hvo_linux_memory_get(struct hvo_linux *host, uint64_t off, uint64_t len);
int hvo_linux_memory_populate(void *ctx, hvo_pfn_t pfn, uint64_t nr);
void hvo_linux_memory_discard(void *ctx, hvo_pfn_t pfn, uint64_t nr);
void hvo_linux_willneed(void *ctx, void *start, size_t len);
/* What lies in these frames is not all populated. */
void hvo_linux_set_holes(struct hvo_linux *host, hvo_pfn_t pfn, uint64_t nr);

/* remap.c */
#define TAIL_MAP_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK | MAP_FIXED)
int hvo_linux_remap(void *ctx, const struct hvo_remap *runs, unsigned int nr,
		    unsigned int *ret_done);
void hvo_linux_flush(void *ctx);
hvo_pfn_t hvo_linux_backing(void *ctx, uint64_t page);

/* spare.c; all but init and fini under the lock */
int hvo_linux_spare_init(struct spare *spare, uint32_t wanted);
void hvo_linux_spare_fini(struct spare *spare);
void hvo_linux_spare_fill(struct spare *spare);
bool hvo_linux_spare_drop(struct spare *spare);
bool hvo_linux_spare_drop_undo(struct spare *spare);
uint64_t hvo_linux_spare_use(struct spare *spare, uint64_t nr);
void hvo_linux_spare_give(struct spare *spare, uint64_t nr);
void hvo_linux_spare_tend(struct spare *spare, bool room);

/* nt.c */
void hvo_linux_zero(void *ctx, hvo_pfn_t pfn, uint64_t nr);
void hvo_linux_copy(void *ctx, hvo_pfn_t dst, hvo_pfn_t src, uint64_t nr);

/* numa.c */
int hvo_linux_numa_bind(struct hvo_linux *host, uint64_t bytes, uint32_t nr_nodes);

/* limits.c */
/* First number after @key at the start of a line; @key "" is the file's first number. */
bool hvo_linux_read_number(const char *path, const char *key, uint64_t *ret);
uint64_t hvo_linux_memory_available(void);
uint64_t hvo_linux_max_map_count(void);
bool hvo_linux_thp_allowed(void);

/* proc.c */
void hvo_linux_audit(void *ctx,
		     void (*mismatch)(void *arg, uint64_t page, uint64_t recorded, uint64_t real),
		     void *arg);

/* worker.c */
void hvo_linux_kick(void *ctx);
int hvo_linux_worker_start(struct hvo_linux *host);
void hvo_linux_worker_stop(struct hvo_linux *host);

/* ops.c */
void hvo_linux_sleep_ns(void *ctx, uint64_t ns);
void hvo_linux_panic(void *ctx, const char *what, uint64_t pfn, const struct hvo_page *page)
	__attribute__((noreturn));

static inline uint8_t *host_frame(const struct hvo_linux *host, hvo_pfn_t pfn)
{
	return host->direct + (pfn << PAGE_SHIFT);
}

static inline bool host_is_gone(const struct hvo_linux *host)
{
	return __atomic_load_n(&host->gone, __ATOMIC_RELAXED);
}

#endif
