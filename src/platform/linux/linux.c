// SPDX-License-Identifier: MIT
/*
 * Opening and closing a machine's memory, and what a fork does to it.
 *
 * States of a host: being built (in the list once it has mappings), open, gone (in
 * the child of a fork: address space is kept but shows nothing, the memfd is
 * closed, calls on the machine are -HVO_ENODEV), closed. Open undoes its steps in
 * reverse order; close can undo a half-built host, so both are one function.
 *
 * Locks: list_lock protects the list and the machine of each host, for the fork
 * handlers. Order: list_lock, then what liburcu locks, then a host's lock.
 */
#include "host.h"

#include "core/sized.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <urcu/urcu-bp.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define GIGA (UINT64_C(1) << 30)

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct hvo_linux *hosts; /* (g) */
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static int fork_result;

/* ---- fork ------------------------------------------------------------- */

/*
 * No remap may be half done in the child, and no lock taken by a thread it lacks. Readers'
 * locks come before the hosts': who waits for readers may wait for one that waits for a
 * remap, since that is what moves a frame of descriptors.
 */
static void fork_prepare(void)
{
	struct hvo_linux *host;

	pthread_mutex_lock(&list_lock);
	urcu_bp_before_fork();
	for (host = hosts; host; host = host->next)
		pthread_mutex_lock(&host->lock);
}

static void fork_unlock_hosts(void)
{
	struct hvo_linux *host;

	for (host = hosts; host; host = host->next)
		pthread_mutex_unlock(&host->lock);
}

static void fork_parent(void)
{
	fork_unlock_hosts();
	urcu_bp_after_fork_parent();
	pthread_mutex_unlock(&list_lock);
}

/*
 * The address space of the host stays reserved in the child, so that what still
 * points there traps instead of meeting something else. Where the direct map was is
 * a hole, and a handler that ran before this one may have mapped something there (a
 * sanitizer starts a thread): not to be replaced, and not to be unmapped by close.
 */
static void fork_cover(struct hvo_linux *host)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	size_t array_len = (size_t)(host->array_pages << PAGE_SHIFT);
	void *p;

	p = mmap(host->array, array_len, PROT_NONE, flags | MAP_FIXED, -1, 0);
	if (p == MAP_FAILED)
		munmap(host->array, array_len);
	if (!host->dontfork)
		munmap(host->direct, (size_t)host->bytes);
	p = mmap(host->direct, (size_t)host->bytes, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
	if (p == host->direct)
		return;
	/* Kernels before 4.17 take the address for a hint. */
	if (p != MAP_FAILED)
		munmap(p, (size_t)host->bytes);
	host->hole = true;
}

/*
 * The arena is shared memory: a child that kept it would write into its parent's.
 * The direct map is not there already (MADV_DONTFORK); of the array that cannot be
 * had, since each remap would lose it.
 */
static void fork_child(void)
{
	struct hvo_linux *host;

	for (host = hosts; host; host = host->next) {
		if (host_is_gone(host))
			continue;
		/* No such thread here: nobody to wait for. */
		host->worker.started = false;
		__atomic_store_n(&host->worker.stop, 1, __ATOMIC_RELAXED);
		__atomic_store_n(&host->gone, true, __ATOMIC_RELAXED);
		fork_cover(host);
		close(host->fd);
		host->fd = -1;
		if (host->machine)
			hvo_machine_abandon(host->machine);
	}
	fork_unlock_hosts();
	urcu_bp_after_fork_child();
	pthread_mutex_unlock(&list_lock);
}

static void fork_install(void)
{
	fork_result = pthread_atfork(fork_prepare, fork_parent, fork_child);
}

/* ---- open, step by step ----------------------------------------------- */

/* ftruncate beyond RLIMIT_FSIZE raises SIGXFSZ, which kills by default. */
static int resize_quietly(int fd, uint64_t bytes)
{
	const struct timespec now = { 0, 0 };
	sigset_t set, old, pending;
	int rc, error;

	sigemptyset(&set);
	sigaddset(&set, SIGXFSZ);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	rc = ftruncate(fd, (off_t)bytes);
	error = errno;
	/* Ours only: one that was pending before belongs to the program. */
	if (rc && error == EFBIG && !sigismember(&pending, SIGXFSZ))
		while (sigtimedwait(&set, NULL, &now) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!rc)
		return 0;
	if (error == EFBIG)
		return -HVO_EFBIG;
	return error == EINVAL ? -HVO_EINVAL : -HVO_ENOMEM;
}

/* Sealed: whoever gets the descriptor cannot pull the memory from under us. */
static int open_arena(struct hvo_linux *host)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int rc;

	/* Systems may insist on it (vm.memfd_noexec); kernels before 6.3 do not know it. */
	host->fd = memfd_create("hvo", flags | MFD_NOEXEC_SEAL);
	if (host->fd < 0 && errno == EINVAL)
		host->fd = memfd_create("hvo", flags);
	if (host->fd < 0)
		return errno == ENOSYS || errno == EPERM ? -HVO_ENOSYS : -HVO_ENOMEM;
	rc = resize_quietly(host->fd, host->bytes);
	if (rc)
		return rc;
	if (fcntl(host->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -HVO_ENOSYS;
	return 0;
}

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

static int map_fixed(void *addr, uint64_t len, int prot, int flags, int fd)
{
	void *p = mmap(addr, (size_t)len, prot, flags | MAP_FIXED, fd, 0);

	return p == MAP_FAILED ? -HVO_ENOMEM : 0;
}

/* All address space at once: later nothing fails for want of it. See host.h. */
static int open_span(struct hvo_linux *host)
{
	uint64_t array_bytes = host->array_pages << PAGE_SHIFT;
	uint64_t table_bytes = round_up(host->array_pages * sizeof(*host->table), PAGE_BYTES);
	uint64_t array_off = round_up(host->bytes, TABLE_BYTES) + TABLE_BYTES;
	uint64_t table_off = array_off + round_up(array_bytes, TABLE_BYTES) + TABLE_BYTES;
	const int anon = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	uintptr_t base;
	int rc;

	host->span_len = (size_t)(GIGA + table_off + table_bytes);
	host->span = mmap(NULL, host->span_len, PROT_NONE, anon, -1, 0);
	if (host->span == MAP_FAILED) {
		host->span = NULL;
		return -HVO_ENOMEM;
	}
	base = (uintptr_t)round_up((uintptr_t)host->span, GIGA) - (uintptr_t)host->span;
	host->direct = host->span + base;
	host->array = host->direct + array_off;
	host->table = (uint32_t *)(void *)(host->direct + table_off);
	rc = map_fixed(host->direct, host->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, host->fd);
	if (!rc)
		rc = map_fixed(host->array, array_bytes, PROT_READ, TAIL_MAP_FLAGS, -1);
	if (!rc)
		rc = map_fixed(host->table, table_bytes, PROT_READ | PROT_WRITE, anon, -1);
	return rc;
}

/* The direct map is never mapped again, so advice on it lasts. */
static void advise(struct hvo_linux *host, const struct hvo_config *cfg, bool no_thp)
{
	host->dontfork = !madvise(host->direct, (size_t)host->bytes, MADV_DONTFORK);
	if (!no_thp && hvo_linux_thp_allowed())
		host->thp_asked = !madvise(host->direct, (size_t)host->bytes, MADV_HUGEPAGE);
	host->numa_nodes = hvo_linux_numa_bind(host->direct, cfg->memory_bytes, cfg->nr_nodes);
}

/*
 * Make [off, off + len) of the arena exist, and if possible mapped: that takes advice on the direct
 * map into account, and page tables are there too. -HVO_ENOMEM: not all of it.
 */
int hvo_linux_populate_range(struct hvo_linux *host, uint64_t off, uint64_t len)
{
	int rc;

	do {
		rc = madvise(host->direct + off, (size_t)len, MADV_POPULATE_WRITE);
	} while (rc && (errno == EINTR || errno == EAGAIN));
	if (!rc)
		return 0;
	if (errno != EINVAL)
		return -HVO_ENOMEM;
	/* Before Linux 5.14. */
	do {
		rc = fallocate(host->fd, 0, (off_t)off, (off_t)len);
	} while (rc && errno == EINTR);
	return rc ? -HVO_ENOMEM : 0;
}

/*
 * All memory that a populated machine's descriptors will ever need: the arena, the
 * table, and the page tables of direct map and array (which a read of one page in
 * each 2 MiB makes; it shows the zero page). What is there is asked again for each
 * GiB, because others take memory meanwhile.
 */
static int populate_all(struct hvo_linux *host, uint64_t bytes)
{
	uint64_t array_bytes = host->array_pages << PAGE_SHIFT, need, off, len;
	uint64_t extra = (host->bytes + array_bytes) / 512 +
			 host->array_pages * sizeof(*host->table) + 4 * HVO_PAGEBLOCK_SIZE;
	int rc;

	for (off = 0; off < bytes; off += len) {
		need = bytes - off + extra;
		if (need > hvo_linux_memory_available())
			return -HVO_ENOMEM;
		len = bytes - off < GIGA ? bytes - off : GIGA;
		rc = hvo_linux_populate_range(host, off, len);
		if (rc)
			return rc;
	}
	/* Entries are in place before the way back writes them; a hint before 5.14. */
	(void)madvise(host->table, (size_t)host->array_pages * sizeof(*host->table),
		      MADV_POPULATE_WRITE);
	for (off = 0; off < array_bytes; off += TABLE_BYTES)
		(void)*(volatile uint8_t *)(host->array + off);
	return 0;
}

static void set_budget(struct hvo_linux *host, const struct hvo_linux_options *opt)
{
	uint64_t max = hvo_linux_max_map_count();

	host->max_mappings = opt->max_mappings ? opt->max_mappings : max - max / 8;
	host->nr_mappings = 1;
}

/* Under the list lock, so that no fork finds shared mappings that it does not know. */
static int open_mapped(struct hvo_linux *host, const struct hvo_config *cfg, bool no_thp)
{
	int rc;

	pthread_mutex_lock(&list_lock);
	rc = open_arena(host);
	if (!rc)
		rc = open_span(host);
	if (!rc) {
		advise(host, cfg, no_thp);
		host->next = hosts;
		hosts = host;
	}
	pthread_mutex_unlock(&list_lock);
	return rc;
}

static int open_steps(struct hvo_linux *host, const struct hvo_config *cfg,
		      const struct hvo_linux_options *opt)
{
	uint32_t spare = opt->spare_mappings ? opt->spare_mappings : SPARE_DEFAULT;
	int rc;

	if (spare > SPARE_MAX)
		return -HVO_EINVAL;
	set_budget(host, opt);
	rc = open_mapped(host, cfg, opt->no_thp);
	if (rc)
		return rc;
	rc = hvo_linux_spare_init(&host->spare, spare);
	if (rc)
		return rc;
	/* What is added later gets its memory then. */
	hvo_linux_set_holes(host, cfg->memory_bytes >> PAGE_SHIFT,
			    cfg->hotplug_bytes >> PAGE_SHIFT);
	return host->sparse ? 0 : populate_all(host, cfg->memory_bytes);
}

/* ---- the interface ---------------------------------------------------- */

int hvo_linux_open(const struct hvo_config *cfg, const struct hvo_linux_options *opt,
		   struct hvo_linux **ret)
{
	struct hvo_linux_options own = { 0 };
	struct hvo_linux *host;
	struct hvo_config c;
	int rc = SIZED_IN(&c, cfg);

	if (!rc && opt)
		rc = SIZED_IN(&own, opt);
	if (rc)
		return rc;
	if (!ret || !hvo_machine_size(cfg))
		return -HVO_EINVAL;
	if (c.memory_bytes % HVO_SECTION_SIZE || !c.memory_bytes ||
	    (c.memory_bytes + c.hotplug_bytes) >> PAGE_SHIFT > MAX_FRAMES)
		return -HVO_EINVAL;
	pthread_once(&fork_once, fork_install);
	if (fork_result)
		return -HVO_ENOMEM;
	host = calloc(1, sizeof(*host));
	if (!host)
		return -HVO_ENOMEM;
	host->fd = -1;
	host->sparse = own.sparse;
	host->bytes = c.memory_bytes + c.hotplug_bytes;
	host->nr_frames = host->bytes >> PAGE_SHIFT;
	host->array_pages = hvo_memmap_pages(cfg);
	pthread_mutex_init(&host->lock, NULL);
	host->holes =
		calloc((host->nr_frames >> HVO_PAGEBLOCK_ORDER) / 64 + 1, sizeof(*host->holes));
	rc = host->holes ? open_steps(host, &c, &own) : -HVO_ENOMEM;
	if (rc) {
		hvo_linux_close(host);
		return rc;
	}
	*ret = host;
	return 0;
}

static void close_span(const struct hvo_linux *host)
{
	uint8_t *start = host->span;

	if (!start)
		return;
	if (host->hole) {
		munmap(start, (size_t)(host->direct - start));
		start = host->direct + host->bytes;
	}
	munmap(start, (size_t)(host->span + host->span_len - start));
}

void hvo_linux_close(struct hvo_linux *host)
{
	struct hvo_linux **link;

	if (!host)
		return;
	hvo_linux_worker_stop(host);
	pthread_mutex_lock(&list_lock);
	for (link = &hosts; *link && *link != host; link = &(*link)->next)
		;
	if (*link)
		*link = host->next;
	pthread_mutex_unlock(&list_lock);
	hvo_linux_spare_fini(&host->spare);
	if (host->machine_mem)
		munmap(host->machine_mem, host->machine_len);
	close_span(host);
	if (host->fd >= 0)
		close(host->fd);
	pthread_mutex_destroy(&host->lock);
	free(host->holes);
	free(host);
}

struct hvo_page *hvo_linux_array(struct hvo_linux *host)
{
	return (struct hvo_page *)(void *)host->array;
}

/* Head pages are used from the first allocation on: map them now, not one by one. */
static void map_heads(struct hvo_linux *host)
{
	size_t gib = 4096 << PAGE_SHIFT, heads = 512 << PAGE_SHIFT, off;

	for (off = 0; !host->sparse && off + heads <= host->array_pages << PAGE_SHIFT; off += gib)
		(void)madvise(host->array + off, heads, MADV_POPULATE_READ);
}

int hvo_linux_create(const struct hvo_config *cfg, const struct hvo_linux_options *opt,
		     struct hvo_linux **ret)
{
	struct hvo_machine *machine;
	struct hvo_linux *host;
	void *mem;
	int rc;

	if (!ret)
		return -HVO_EINVAL;
	rc = hvo_linux_open(cfg, opt, &host);
	if (rc)
		return rc;
	host->machine_len = hvo_machine_size(cfg);
	mem = mmap(NULL, host->machine_len, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED) {
		rc = -HVO_ENOMEM;
		goto undo;
	}
	host->machine_mem = mem;
	rc = hvo_machine_init(mem, host->machine_len, cfg, &hvo_linux_ops, host,
			      hvo_linux_array(host), &machine);
	if (rc)
		goto undo;
	map_heads(host);
	pthread_mutex_lock(&list_lock);
	pthread_mutex_lock(&host->lock);
	hvo_linux_spare_fill(&host->spare);
	pthread_mutex_unlock(&host->lock);
	host->machine = machine;
	pthread_mutex_unlock(&list_lock);
	if (opt && opt->worker) {
		rc = hvo_linux_worker_start(host);
		if (rc)
			goto undo;
	}
	*ret = host;
	return 0;
undo:
	hvo_linux_close(host);
	return rc;
}

struct hvo_machine *hvo_linux_machine(struct hvo_linux *host)
{
	return host->machine;
}

/*
 * Not from inside the traced function or a reader's section: it waits until no call
 * of the old function runs any more, so that its argument may be freed afterwards.
 */
void hvo_linux_set_trace(struct hvo_linux *host,
			 void (*trace)(void *arg, const struct hvo_event_record *event), void *arg)
{
	struct trace_slot *slot = NULL;

	pthread_mutex_lock(&list_lock);
	if (trace) {
		slot = &host->slots[host->trace == &host->slots[0]];
		slot->fn = trace;
		slot->arg = arg;
	}
	__atomic_store_n(&host->trace, slot, __ATOMIC_RELEASE);
	urcu_bp_synchronize_rcu();
	pthread_mutex_unlock(&list_lock);
}
