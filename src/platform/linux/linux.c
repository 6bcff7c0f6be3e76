// SPDX-License-Identifier: MIT
/*
 * Opening and closing a machine's memory, and what a fork does to it.
 *
 * States of a host: being built (in the list once it has mappings), open, gone (in
 * the child of a fork: address space is kept but shows nothing, the descriptor is
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <urcu/urcu-bp.h>

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
	/* Its owner's: private or shared as that wants it. */
	if (host->memory == HVO_LINUX_BUFFER)
		return;
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
		if (host->fd >= 0)
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

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

static int map_fixed(void *addr, uint64_t len, int prot, int flags)
{
	void *p;

	if (!len)
		return 0;
	p = mmap(addr, (size_t)len, prot, flags | MAP_FIXED, -1, 0);
	return p == MAP_FAILED ? -HVO_ENOMEM : 0;
}

static bool in_table_layout(const struct hvo_linux *host)
{
	return host->array_pages == 1;
}

/* All address space at once: later nothing fails for want of it. See host.h. */
static int open_span(struct hvo_linux *host)
{
	const int anon = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	uint64_t array_bytes = host->array_pages << PAGE_SHIFT, inner = host->bytes,
		 table_bytes = 0;
	uint64_t array_off, table_off;
	uint8_t *base;
	int rc;

	if (host->direct)
		inner = 0;
	if (!in_table_layout(host))
		table_bytes = round_up(host->array_pages * sizeof(*host->table), PAGE_BYTES);
	array_off = round_up(inner, TABLE_BYTES) + TABLE_BYTES;
	table_off = array_off + round_up(array_bytes, TABLE_BYTES) + TABLE_BYTES;
	host->span_len = (size_t)(GIGA + table_off + table_bytes);
	host->span = mmap(NULL, host->span_len, PROT_NONE, anon, -1, 0);
	if (host->span == MAP_FAILED) {
		host->span = NULL;
		return hvo_linux_refuse(
			host, -HVO_ENOMEM,
			"this process may not have %llu MiB of address space: look at "
			"RLIMIT_AS (ulimit -v)",
			(unsigned long long)host->span_len >> 20);
	}
	base = host->span + (round_up((uintptr_t)host->span, GIGA) - (uintptr_t)host->span);
	host->array = base + array_off;
	if (!host->direct)
		host->direct = base;
	if (table_bytes)
		host->table = (uint32_t *)(void *)(base + table_off);
	rc = map_fixed(host->array, array_bytes, PROT_READ, TAIL_MAP_FLAGS);
	return rc ? rc : map_fixed(host->table, table_bytes, PROT_READ | PROT_WRITE, anon);
}

/* The direct map is never mapped again, so advice on it lasts. A buffer is its owner's. */
static int advise(struct hvo_linux *host, const struct hvo_config *cfg,
		  const struct hvo_linux_options *opt)
{
	host->strict_numa = opt->strict_numa;
	host->thp_asked = host->collapse;
	if (host->memory != HVO_LINUX_BUFFER)
		host->dontfork = !madvise(host->direct, (size_t)host->bytes, MADV_DONTFORK);
	if (host->collapse && (host->fd < 0 || hvo_linux_thp_allowed()))
		(void)madvise(host->direct, (size_t)host->bytes, MADV_HUGEPAGE);
	return hvo_linux_numa_bind(host, cfg->memory_bytes, cfg->nr_nodes);
}

/*
 * All memory that a populated machine's descriptors will ever need: the arena, the table, and the
 * page tables of direct map and array (which a read of one page in each 2 MiB makes; it shows the
 * zero page).
 */
static int fill(struct hvo_linux *host, const struct hvo_config *cfg)
{
	uint64_t array_bytes = host->array_pages << PAGE_SHIFT, off;
	uint64_t extra = (host->bytes + array_bytes) / 512 +
			 host->array_pages * sizeof(*host->table) + 4 * HVO_PAGEBLOCK_SIZE;
	int rc = hvo_linux_arena_fill(host, cfg->memory_bytes, extra);

	if (rc || host->sparse || in_table_layout(host))
		return rc;
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
static int open_mapped(struct hvo_linux *host, const struct hvo_config *cfg,
		       const struct hvo_linux_options *opt)
{
	int rc;

	pthread_mutex_lock(&list_lock);
	rc = hvo_linux_arena_open(host, opt, cfg->memory_bytes);
	if (!rc)
		rc = open_span(host);
	if (!rc)
		rc = hvo_linux_arena_map(host, cfg->memory_bytes);
	if (!rc) {
		rc = advise(host, cfg, opt);
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
		return hvo_linux_refuse(host, -HVO_EINVAL, "spare_mappings: more than %u",
					SPARE_MAX);
	set_budget(host, opt);
	rc = open_mapped(host, cfg, opt);
	if (rc)
		return rc;
	if (!in_table_layout(host)) {
		rc = hvo_linux_spare_init(&host->spare, spare);
		if (rc)
			return rc;
	}
	return fill(host, cfg);
}

/* ---- the interface ---------------------------------------------------- */

#define NOT_ENOUGH "the system has not enough memory, address space or mappings"

/* Tell the caller what is wrong; returns @rc. */
static int tell(const struct hvo_linux_options *opt, int rc, const char *text)
{
	if (opt->why && opt->why_len)
		(void)snprintf(opt->why, opt->why_len, "%s", text);
	return rc;
}

/* Own copies of what the caller gave, with the layout that is meant. */
static int read_options(const struct hvo_config *cfg, const struct hvo_linux_options *opt,
			struct hvo_config *c, struct hvo_linux_options *own)
{
	int rc = 0;

	memset(own, 0, sizeof(*own));
	if (opt)
		rc = SIZED_IN(own, opt);
	if (rc)
		return rc;
	rc = hvo_config_check(cfg, NULL, 0);
	if (rc)
		return hvo_config_check(cfg, own->why, own->why_len);
	rc = SIZED_IN(c, cfg);
	if (rc)
		return rc;
	if ((c->memory_bytes + c->hotplug_bytes) >> PAGE_SHIFT > MAX_FRAMES)
		return tell(own, -HVO_EINVAL, "memory_bytes: with hotplug_bytes 16 TiB or more");
	if (own->memory == HVO_LINUX_MEMFD)
		return 0;
	if (c->layout == HVO_LAYOUT_VIRTUAL)
		return tell(
			own, -HVO_EINVAL,
			"layout: memory that is no memfd cannot be mapped in pieces of 4 KiB; the "
			"table layout can be had");
	c->layout = HVO_LAYOUT_TABLE;
	return 0;
}

static int open_host(const struct hvo_config *cfg, const struct hvo_linux_options *opt,
		     struct hvo_linux **ret)
{
	char why[WHY_LEN] = NOT_ENOUGH;
	struct hvo_linux *host;
	int rc;

	pthread_once(&fork_once, fork_install);
	host = fork_result ? NULL : calloc(1, sizeof(*host));
	if (!host)
		return tell(opt, -HVO_ENOMEM, why);
	host->fd = -1;
	host->why = why;
	host->sparse = opt->sparse;
	host->bytes = cfg->memory_bytes + cfg->hotplug_bytes;
	host->nr_frames = host->bytes >> PAGE_SHIFT;
	host->array_pages = hvo_memmap_pages(cfg);
	pthread_mutex_init(&host->lock, NULL);
	host->holes =
		calloc((host->nr_frames >> HVO_PAGEBLOCK_ORDER) / 64 + 1, sizeof(*host->holes));
	rc = host->holes ? open_steps(host, cfg, opt) : -HVO_ENOMEM;
	host->why = NULL;
	if (rc) {
		hvo_linux_close(host);
		return tell(opt, rc, why);
	}
	*ret = host;
	return 0;
}

int hvo_linux_open(const struct hvo_config *cfg, const struct hvo_linux_options *opt,
		   struct hvo_linux **ret)
{
	struct hvo_linux_options own;
	struct hvo_config c;
	int rc = ret ? read_options(cfg, opt, &c, &own) : -HVO_EINVAL;

	return rc ? rc : open_host(&c, &own, ret);
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

static int create(const struct hvo_config *cfg, const struct hvo_linux_options *opt,
		  struct hvo_linux **ret)
{
	struct hvo_machine *machine;
	struct hvo_linux *host;
	void *mem;
	int rc;

	rc = open_host(cfg, opt, &host);
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
	if (opt->worker) {
		rc = hvo_linux_worker_start(host);
		if (rc)
			goto undo;
	}
	*ret = host;
	return 0;
undo:
	hvo_linux_close(host);
	return tell(opt, rc, NOT_ENOUGH);
}

int hvo_linux_create(const struct hvo_config *cfg, const struct hvo_linux_options *opt,
		     struct hvo_linux **ret)
{
	struct hvo_linux_options own;
	struct hvo_config c;
	int rc = ret ? read_options(cfg, opt, &c, &own) : -HVO_EINVAL;

	return rc ? rc : create(&c, &own, ret);
}

int hvo_linux_fd(const struct hvo_linux *host)
{
	if (host_is_gone(host))
		return -HVO_ENODEV;
	return host->fd >= 0 ? host->fd : -HVO_EOPNOTSUPP;
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
