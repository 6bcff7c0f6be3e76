// SPDX-License-Identifier: MIT
/*
 * What is really mapped, as /proc tells: the audit of the table, and the facts for
 * hvo_linux_info().
 *
 * States: none. Locks: the host's lock, around the count of mappings, and around an
 * audit, so that no remap moves what is being compared.
 */
#include "host.h"

#include "core/sized.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* What an array page shows that is neither a frame of the arena nor a shared tail. */
#define REAL_FOREIGN (UINT64_MAX - 1)

struct mapping {
	uint64_t start, end, offset, inode;
	unsigned int major, minor;
	char perms[8];
};

/* struct audit - a walk; @next is the array page from which nothing was seen yet */
struct audit {
	struct hvo_linux *host;
	struct stat st;
	uint64_t next;
	void (*mismatch)(void *arg, uint64_t page, uint64_t recorded, uint64_t real);
	void *arg;
};

/* Other lines may begin with a hexadecimal digit, too ("AnonHugePages:"). */
static bool parse_mapping(const char *line, struct mapping *ret)
{
	struct mapping map;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %x:%x %" SCNu64, &map.start,
		   &map.end, map.perms, &map.offset, &map.major, &map.minor, &map.inode) != 7)
		return false;
	*ret = map;
	return true;
}

static uint64_t follow(uint64_t pfn, uint64_t i)
{
	return pfn < REAL_FOREIGN ? pfn + i : pfn;
}

/* Compare pages that really are backed from @real on; report each run of mismatches. */
static void audit_pages(struct audit *audit, uint64_t page, uint64_t end, uint64_t real)
{
	uint64_t i, first = 0, recorded;
	uint64_t prev = 0;
	bool bad = false;

	for (i = 0; page + i < end; i++) {
		recorded = hvo_linux_backing(audit->host, page + i);
		if (recorded == follow(real, i)) {
			bad = false;
			continue;
		}
		if (!bad || recorded != follow(prev, i - first))
			audit->mismatch(audit->arg, page + i, recorded, follow(real, i));
		if (!bad || recorded != follow(prev, i - first)) {
			first = i;
			prev = recorded;
		}
		bad = true;
	}
}

static uint64_t mapping_backing(const struct audit *audit, const struct mapping *map)
{
	if (audit->host->table && !strcmp(map->perms, "rw-s") && map->inode == audit->st.st_ino &&
	    map->major == major(audit->st.st_dev) && map->minor == minor(audit->st.st_dev))
		return map->offset >> PAGE_SHIFT;
	if (!strcmp(map->perms, "r--p") && !map->inode)
		return HVO_SHARED_TAIL;
	return REAL_FOREIGN;
}

static void audit_mapping(struct audit *audit, struct mapping *map)
{
	uint64_t array = (uint64_t)(uintptr_t)audit->host->array, real, page, end;
	uint64_t array_end = array + (audit->host->array_pages << PAGE_SHIFT);

	if (map->end <= array || map->start >= array_end)
		return;
	if (map->start < array) {
		map->offset += array - map->start;
		map->start = array;
	}
	real = mapping_backing(audit, map);
	page = (map->start - array) >> PAGE_SHIFT;
	end = ((map->end < array_end ? map->end : array_end) - array) >> PAGE_SHIFT;
	if (audit->next < page)
		audit_pages(audit, audit->next, page, REAL_FOREIGN);
	audit_pages(audit, page, end, real);
	audit->next = end;
}

void hvo_linux_audit(void *ctx,
		     void (*mismatch)(void *arg, uint64_t page, uint64_t recorded, uint64_t real),
		     void *arg)
{
	struct audit audit = { .host = ctx, .mismatch = mismatch, .arg = arg };
	struct mapping map;
	size_t size = 0;
	char *line = NULL;
	FILE *f;

	/* Without /proc there is nothing to compare with. */
	f = fopen("/proc/self/maps", "re");
	if (!f)
		return;
	pthread_mutex_lock(&audit.host->lock);
	if (!host_is_gone(audit.host) &&
	    (audit.host->fd < 0 || !fstat(audit.host->fd, &audit.st))) {
		while (getline(&line, &size, f) > 0)
			if (parse_mapping(line, &map))
				audit_mapping(&audit, &map);
		if (audit.next < audit.host->array_pages)
			audit_pages(&audit, audit.next, audit.host->array_pages, REAL_FOREIGN);
	}
	pthread_mutex_unlock(&audit.host->lock);
	free(line);
	fclose(f);
}

/* struct amounts - bytes of the direct map, of what this process has touched */
struct amounts {
	uint64_t there, thp, huge;
	uint64_t on_node[HVO_MAX_NODES];
};

/* A line of smaps about a mapping that is one of the direct map. */
static void add_amount(struct amounts *sum, const char *line)
{
	static const char *const thp[] = { "AnonHugePages:", "ShmemPmdMapped:", "FilePmdMapped:" };
	static const char *const hugetlb[] = { "Shared_Hugetlb:", "Private_Hugetlb:" };
	char key[32];
	uint64_t kb;
	size_t i;

	if (sscanf(line, "%31s %" SCNu64, key, &kb) != 2)
		return;
	if (!strcmp(key, "Rss:"))
		sum->there += kb << 10;
	for (i = 0; i < sizeof(thp) / sizeof(thp[0]); i++)
		if (!strcmp(key, thp[i]))
			sum->thp += kb << 10;
	for (i = 0; i < sizeof(hugetlb) / sizeof(hugetlb[0]); i++)
		if (!strcmp(key, hugetlb[i]))
			sum->huge += kb << 10;
}

/*
 * Sum up the mappings of the direct map. It lies below the array, whose thousands of mappings are not
 * looked at.
 */
static int read_amounts(const struct hvo_linux *host, struct amounts *sum)
{
	uint64_t start = (uint64_t)(uintptr_t)host->direct, end = start + host->bytes;
	struct mapping map = { .start = 0 };
	size_t size = 0;
	char *line = NULL;
	FILE *f;

	f = fopen("/proc/self/smaps", "re");
	if (!f)
		return -errno;
	while (getline(&line, &size, f) > 0) {
		if (!parse_mapping(line, &map)) {
			if (map.end > start)
				add_amount(sum, line);
		} else if (map.start >= end) {
			break;
		}
	}
	free(line);
	fclose(f);
	/* Of hugetlb Rss says nothing, and transparent huge pages are huge. */
	sum->there += sum->huge;
	sum->huge += sum->thp;
	return 0;
}

/* "N0=512 N1=3 kernelpagesize_kB=4" */
static void add_nodes(struct amounts *sum, const char *line)
{
	const char *at = strstr(line, " kernelpagesize_kB=");
	uint64_t kb, nr;
	unsigned int node;

	if (!at || sscanf(at, " kernelpagesize_kB=%" SCNu64, &kb) != 1)
		return;
	for (at = strstr(line, " N"); at; at = strstr(at + 1, " N"))
		if (sscanf(at, " N%u=%" SCNu64, &node, &nr) == 2 && node < HVO_MAX_NODES)
			sum->on_node[node] += nr * (kb << 10);
}

/* A kernel without nodes has no such file: all is on the one node. */
static void read_nodes(const struct hvo_linux *host, struct amounts *sum)
{
	uint64_t start = (uint64_t)(uintptr_t)host->direct, at;
	size_t size = 0;
	char *line = NULL;
	FILE *f;

	f = fopen("/proc/self/numa_maps", "re");
	if (!f) {
		sum->on_node[0] = sum->there;
		return;
	}
	while (getline(&line, &size, f) > 0) {
		if (sscanf(line, "%" SCNx64, &at) != 1 || at < start)
			continue;
		if (at >= start + host->bytes)
			break;
		add_nodes(sum, line);
	}
	free(line);
	fclose(f);
}

static uint64_t min_bytes(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Of a memfd of our own all is known, touched or not. */
static int backed_bytes(const struct hvo_linux *host, const struct amounts *sum, uint64_t *ret)
{
	struct stat st;

	*ret = min_bytes(sum->there, host->bytes);
	if (host->memory != HVO_LINUX_MEMFD && host->memory != HVO_LINUX_HUGETLB)
		return 0;
	if (fstat(host->fd, &st))
		return -errno;
	*ret = (uint64_t)st.st_blocks * 512;
	return 0;
}

/* Bytes of [start, start + len) that are there now. */
static int add_backed(uint8_t *start, size_t len, uint64_t *sum)
{
	unsigned char pages[512];
	size_t done, step, i;

	for (done = 0; done < len; done += step) {
		step = min_bytes(len - done, sizeof(pages) << PAGE_SHIFT);
		if (mincore(start + done, step, pages))
			return -errno;
		for (i = 0; i < (step + PAGE_BYTES - 1) >> PAGE_SHIFT; i++)
			*sum += (uint64_t)(pages[i] & 1) << PAGE_SHIFT;
	}
	return 0;
}

static int metadata(const struct hvo_linux *host, struct hvo_linux_info *info)
{
	size_t table = host->table ? host->array_pages * sizeof(*host->table) : 0;
	int rc = 0;

	if (host->machine_mem)
		rc = add_backed(host->machine_mem, host->machine_len, &info->metadata_backed);
	if (!rc && table)
		rc = add_backed((uint8_t *)host->table, table, &info->metadata_backed);
	info->metadata_bytes = host->machine_len + table;
	return rc;
}

int hvo_linux_info(struct hvo_linux *host, struct hvo_linux_info *ret)
{
	struct hvo_linux_info info = { .array = host->array, .direct = host->direct };
	struct spare *spare = &host->spare;
	struct amounts sum = { .there = 0 };
	int rc;

	if (host_is_gone(host) || hvo_linux_arena_lost(host))
		return -HVO_ENODEV;
	rc = sized_check(ret);
	if (!rc)
		rc = read_amounts(host, &sum);
	if (!rc)
		rc = backed_bytes(host, &sum, &info.backed_bytes);
	if (!rc)
		rc = metadata(host, &info);
	if (rc)
		return rc;
	read_nodes(host, &sum);
	memcpy(info.node_bytes, sum.on_node, sizeof(info.node_bytes));
	info.memory = host->memory;
	info.strict_numa = host->strict_numa;
	info.unit = host->unit;
	info.thp_bytes = min_bytes(sum.thp, host->bytes);
	info.huge_bytes = min_bytes(sum.huge, host->bytes);
	info.array_bytes = host->array_pages << PAGE_SHIFT;
	info.thp_asked = host->thp_asked;
	info.numa_nodes = host->numa_nodes;
	info.max_mappings = host->max_mappings;
	pthread_mutex_lock(&host->lock);
	info.nr_mappings = host->nr_mappings;
	info.spare_mappings = (uint64_t)spare->nr_chunks * SPARE_CHUNK;
	pthread_mutex_unlock(&host->lock);
	SIZED_OUT(ret, &info);
	return 0;
}
