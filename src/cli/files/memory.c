// SPDX-License-Identifier: MIT
#include "memory.h"

#include "common/cli.h"
#include "saving.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory ------------------------------------------------------------------ */

static int read_field(const char *text, const char *prefix, const char *name, uint64_t *ret)
{
	char key[64];
	uint64_t kib;
	int rc;

	(void)snprintf(key, sizeof(key), "%s%s", prefix, name);
	rc = root_field(text, key, &kib);
	if (!rc)
		*ret = kib * 1024;
	return rc == -ENOENT ? -ENODATA : rc;
}

int memory_read(const struct root *root, int node, struct memory_info *ret)
{
	struct memory_info m = { 0 };
	char *text = NULL, prefix[32] = "";
	int rc;

	if (node == POOLS_ALL_NODES) {
		rc = root_read(root, &text, MEMORY_FILE);
	} else {
		(void)snprintf(prefix, sizeof(prefix), "Node %d ", node);
		rc = root_read(root, &text, "sys/devices/system/node/node%d/meminfo", node);
	}
	if (rc)
		return rc;
	rc = read_field(text, prefix, "MemTotal", &m.total);
	if (!rc)
		rc = read_field(text, prefix, "MemFree", &m.free);
	if (!rc && read_field(text, prefix, "MemAvailable", &m.available))
		m.available = m.free;
	free(text);
	if (!rc)
		*ret = m;
	return rc;
}

/* "Node 0, zone   Normal   12   3 ...": a number of free blocks for each order. */
static uint64_t whole_of_line(const char *line, int node, uint64_t bytes, uint64_t *largest)
{
	uint64_t block = saving_base_page(), sum = 0, nr;
	char *end;
	int of, at = 0;

	if (sscanf(line, "Node %d, zone %*s%n", &of, &at) < 1 || !at ||
	    (node != POOLS_ALL_NODES && of != node))
		return 0;
	for (line += at; *line && *line != '\n'; line = end, block *= 2) {
		nr = strtoull(line, &end, 10);
		if (end == line)
			break;
		*largest = block > *largest ? block : *largest;
		if (block >= bytes)
			sum += nr * block;
		end += strspn(end, " ");
	}
	return sum;
}

int memory_whole_free(const struct root *root, int node, uint64_t bytes, uint64_t *ret)
{
	uint64_t sum = 0, largest = 0;
	char *text = NULL;
	const char *line;
	int rc = root_read(root, &text, "proc/buddyinfo");

	if (rc)
		return rc;
	for (line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
		sum += whole_of_line(line, node, bytes, &largest);
	free(text);
	if (largest < bytes)
		return -ERANGE;
	*ret = sum;
	return 0;
}

int memory_for_descriptors(const struct root *root, int node, uint64_t *ret)
{
	uint64_t sum = 0, free_pages = 0, value;
	char *text = NULL, key[32], zone[32];
	const char *line;
	bool counts = false;
	int of, rc = root_read(root, &text, "proc/zoneinfo");

	if (rc)
		return rc;
	for (line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		if (sscanf(line, "Node %d, zone %31s", &of, zone) == 2)
			counts = (node == POOLS_ALL_NODES || of == node) && strcmp(zone, "Movable");
		else if (sscanf(line, " pages free %" SCNu64, &value) == 1)
			free_pages = value;
		else if (counts && sscanf(line, " %31s %" SCNu64, key, &value) == 2 &&
			 !strcmp(key, "min"))
			sum += free_pages > value ? free_pages - value : 0;
	}
	free(text);
	*ret = sum * saving_base_page();
	return 0;
}

/* ---- descriptors --------------------------------------------------------------- */

int memory_vmstat(const struct root *root, const char *name, uint64_t *ret)
{
	char *text = NULL;
	int rc = root_read(root, &text, MEMORY_COUNTERS);

	if (rc)
		return rc;
	rc = root_field(text, name, ret);
	free(text);
	return rc == -ENOENT ? -ENODATA : rc;
}

static int count_block(void *arg, const char *name)
{
	uint64_t *nr = arg;

	name += strlen("memory");
	*nr += *name && strspn(name, "0123456789") == strlen(name);
	return 0;
}

static bool read_full(const struct root *root, uint64_t *ret)
{
	uint64_t nr = 0, block;
	char *text = NULL;

	if (root_read(root, &text, "sys/devices/system/memory/block_size_bytes"))
		return false;
	block = strtoull(text, NULL, 16);
	free(text);
	if (root_list(root, "memory", count_block, &nr, "sys/devices/system/memory"))
		return false;
	*ret = saving_array(nr * block, saving_base_page(), SAVING_DESCRIPTOR);
	return nr && block;
}

/* What each page saves: every sum of them is a multiple of it. */
static uint64_t common_step(const struct pools *pools)
{
	uint64_t page = saving_base_page(), step = 0, a, t;
	unsigned int i;

	for (i = 0; i < pools->nr; i++) {
		a = pools->pool[i].all.total ?
			    saving_per_page(pools->pool[i].bytes, page, SAVING_DESCRIPTOR) :
			    0;
		while (a) {
			t = step % a;
			step = a;
			a = t;
		}
	}
	return step;
}

static bool may_be_saved(const struct memmap_info *m, const struct pools *pools)
{
	uint64_t saved = m->full - m->now, step = common_step(pools);

	if (!m->has_now || !m->has_full || m->now > m->full)
		return false;
	return m->on_demand || !saved || (saved <= m->could && saved % step == 0);
}

void memmap_read(const struct root *root, const struct pools *pools, struct memmap_info *ret)
{
	struct memmap_info m = { .could = pools_could_save(pools),
				 .on_demand = pools_on_demand(pools) };
	uint64_t boot = 0, later = 0, on = 0;

	m.now_err = memory_vmstat(root, "nr_memmap_boot_pages", &boot);
	if (!m.now_err)
		m.now_err = memory_vmstat(root, "nr_memmap_pages", &later);
	m.has_now = !m.now_err;
	m.now = (boot + later) * saving_base_page();
	m.has_full = read_full(root, &m.full);
	m.has_saved = may_be_saved(&m, pools);
	m.saved = m.has_saved ? m.full - m.now : 0;
	m.switch_err = m.on_demand ? -ENOENT : root_number(root, &on, MEMORY_SWITCH);
	m.has_switch = !m.switch_err;
	m.on = on != 0;
	*ret = m;
}

json_t *memmap_json(const struct memmap_info *m)
{
	bool unknown = m->switch_err && m->switch_err != -ENOENT;

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:I}", "available",
			 unknown ? json_null() : json_boolean(m->has_switch), "enabled",
			 m->has_switch ? json_boolean(m->on) : json_null(), "descriptor_bytes",
			 cli_json_known(m->has_now, m->now), "descriptor_bytes_full",
			 cli_json_known(m->has_full, m->full), "saved_bytes",
			 cli_json_known(m->has_saved, m->saved), "could_save_bytes",
			 (json_int_t)m->could);
}
