// SPDX-License-Identifier: MIT
/*
 * sys/devices/system/memory: sections of 128 MiB that go offline and online, and that come and
 * go. A section's directory is there as long as it has memory.
 *
 * What the kernel has no file for on most machines is here: probe adds memory, and, not the
 * kernel's, sys/kernel/hvo/remove_memory takes it away. sys/firmware/memory does both, with a
 * choice of where the descriptors lie, as the kernel has it on s390.
 *
 * Linux: drivers/base/memory.c; mm/memory_hotplug.c, zone_for_pfn_range();
 * drivers/s390/char/sclp_mem.c.
 */
#include "internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define MEMORY_DIR "/sys/devices/system/memory"

/* What may be written to state and auto_online_blocks. */
enum online_type { OFFLINE, ONLINE, ONLINE_KERNEL, ONLINE_MOVABLE, NR_ONLINE_TYPES };
static const char *const online_types[] = { "offline", "online", "online_kernel",
					    "online_movable" };

static struct hvo_section_info info_of(const struct place *p)
{
	/* A machine that is gone says nothing: it has no sections, on no node. */
	struct hvo_section_info info = { .size = sizeof(info),
					 .state = HVO_SECTION_ABSENT,
					 .node = HVO_NODE_ANY };

	(void)hvo_section_info(p->tree->m, p->pfn, &info);
	return info;
}

static bool section_there(void *arg)
{
	return info_of(arg).state != HVO_SECTION_ABSENT;
}

/* ---- which zone it is for --------------------------------------------------------- */

static bool reaches_into(struct tree *t, int node, enum hvo_zone_type zone, hvo_pfn_t pfn)
{
	struct hvo_zone_stat z = { .size = sizeof(z) };

	return !hvo_zone_stat(t->m, node, zone, &z) && z.present && pfn < z.end_pfn &&
	       pfn + HVO_SECTION_FRAMES > z.start_pfn;
}

/* The kernel's choice: the zone that is around it, if there is one alone; else Normal. */
static enum hvo_zone_type default_zone(const struct place *p, int node)
{
	bool normal = reaches_into(p->tree, node, HVO_ZONE_NORMAL, p->pfn) ||
		      reaches_into(p->tree, node, HVO_ZONE_CMA, p->pfn);
	bool movable = reaches_into(p->tree, node, HVO_ZONE_MOVABLE, p->pfn);

	return movable && !normal ? HVO_ZONE_MOVABLE : HVO_ZONE_NORMAL;
}

static int show_valid_zones(void *arg, FILE *out)
{
	const struct place *p = arg;
	struct hvo_section_info info = info_of(p);
	bool movable;

	if (info.state == HVO_SECTION_ABSENT)
		return -ENODEV;
	if (info.state == HVO_SECTION_ONLINE) {
		fputs(info.zone == HVO_ZONE_MOVABLE ? "Movable\n" : "Normal\n", out);
		return 0;
	}
	movable = default_zone(p, info.node) == HVO_ZONE_MOVABLE;
	fputs(movable ? "Movable Normal\n" : "Normal Movable\n", out);
	return 0;
}

/* ---- online and offline --------------------------------------------------------------- */

static int bring_online(const struct place *p, enum online_type type)
{
	struct hvo_section_info info = info_of(p);
	enum hvo_zone_type zone = HVO_ZONE_NORMAL;
	int rc;

	if (info.state != HVO_SECTION_OFFLINE)
		return -EINVAL;
	if (type == ONLINE_MOVABLE)
		zone = HVO_ZONE_MOVABLE;
	else if (type == ONLINE)
		zone = default_zone(p, info.node);
	rc = hvo_memory_online(p->tree->m, p->pfn, p->pfn + HVO_SECTION_FRAMES, zone);
	return rc == -HVO_EBUSY ? -EINVAL : rc; /* somebody else was faster */
}

static int take_offline(const struct place *p)
{
	struct hvo_section_info info = info_of(p);

	if (info.state != HVO_SECTION_ONLINE)
		return -EINVAL;
	/* As in the kernel: what is promised to CMA areas stays. */
	if (info.zone == HVO_ZONE_CMA)
		return -EBUSY;
	return hvo_memory_offline(p->tree->m, p->pfn, p->pfn + HVO_SECTION_FRAMES);
}

static int show_state(void *arg, FILE *out)
{
	switch (info_of(arg).state) {
	case HVO_SECTION_ONLINE:
		fputs("online\n", out);
		return 0;
	case HVO_SECTION_OFFLINE:
		fputs("offline\n", out);
		return 0;
	default:
		return -ENODEV;
	}
}

static int store_state(void *arg, const char *text)
{
	int type;

	for (type = 0; type < NR_ONLINE_TYPES; type++)
		if (word_is(text, online_types[type]))
			return type == OFFLINE ? take_offline(arg) :
						 bring_online(arg, (enum online_type)type);
	return -EINVAL;
}

static int show_online(void *arg, FILE *out)
{
	fputs(info_of(arg).state == HVO_SECTION_ONLINE ? "1\n" : "0\n", out);
	return 0;
}

/* Unlike state, this takes what is true already. */
static int store_online(void *arg, const char *text)
{
	bool on;
	int rc = parse_bool(text, &on);

	if (rc || on == (info_of(arg).state == HVO_SECTION_ONLINE))
		return rc;
	return on ? bring_online(arg, ONLINE) : take_offline(arg);
}

/* ---- the rest of a section ------------------------------------------------------------- */

static int show_phys_index(void *arg, FILE *out)
{
	const struct place *p = arg;

	fprintf(out, "%08" PRIx64 "\n", p->pfn >> HVO_SECTION_ORDER);
	return 0;
}

static int show_phys_device(void *arg, FILE *out)
{
	(void)arg;
	fputs("0\n", out);
	return 0;
}

/* Since Linux 5.x: whether the kernel can do it at all. */
static int show_removable(void *arg, FILE *out)
{
	(void)arg;
	fputs("1\n", out);
	return 0;
}

#define SECTION(name_, mode_, show_, store_)                                                   \
	{                                                                                      \
		name_,                                                                         \
		{                                                                              \
			.mode = mode_, .show = show_, .store = store_, .there = section_there, \
		}                                                                              \
	}

static const struct tree_row section_files[] = {
	SECTION("online", 0644, show_online, store_online),
	SECTION("phys_device", 0444, show_phys_device, NULL),
	SECTION("phys_index", 0444, show_phys_index, NULL),
	SECTION("removable", 0444, show_removable, NULL),
	SECTION("state", 0644, show_state, store_state),
	SECTION("valid_zones", 0444, show_valid_zones, NULL),
};

/* ---- links between sections and nodes ------------------------------------------------------ */

static bool link_there(void *arg)
{
	const struct place *p = arg;

	return info_of(p).node == p->node;
}

static int show_node_link(void *arg, FILE *out)
{
	fprintf(out, "../../node/node%d", ((const struct place *)arg)->node);
	return 0;
}

static int show_memory_link(void *arg, FILE *out)
{
	fprintf(out, "../../memory/memory%" PRIu64,
		((const struct place *)arg)->pfn >> HVO_SECTION_ORDER);
	return 0;
}

static const struct tree_file node_link = { .mode = S_IFLNK,
					    .show = show_node_link,
					    .there = link_there };
static const struct tree_file memory_link = { .mode = S_IFLNK,
					      .show = show_memory_link,
					      .there = link_there };

static int add_links(struct tree *t, hvo_pfn_t pfn, int node)
{
	const struct place about = { .node = node, .pfn = pfn };
	struct place *p = place_new(t, &about);
	char path[96];
	int rc;

	if (!p)
		return -ENOMEM;
	(void)snprintf(path, sizeof(path), MEMORY_DIR "/memory%" PRIu64 "/node%d",
		       pfn >> HVO_SECTION_ORDER, node);
	rc = tree_add(t, path, &node_link, p);
	if (rc)
		return rc;
	(void)snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/memory%" PRIu64, node,
		       pfn >> HVO_SECTION_ORDER);
	return tree_add(t, path, &memory_link, p);
}

/* ---- memory that comes and goes -------------------------------------------------------------- */

static int show_block_size(void *arg, FILE *out)
{
	(void)arg;
	fprintf(out, "%" PRIx64 "\n", HVO_SECTION_SIZE);
	return 0;
}

static int show_auto_online(void *arg, FILE *out)
{
	const struct place *p = arg;

	fprintf(out, "%s\n", online_types[atomic_load(&p->tree->auto_online)]);
	return 0;
}

static int store_auto_online(void *arg, const char *text)
{
	const struct place *p = arg;
	int type;

	for (type = 0; type < NR_ONLINE_TYPES; type++) {
		if (!word_is(text, online_types[type]))
			continue;
		atomic_store(&p->tree->auto_online, type);
		return 0;
	}
	return -EINVAL;
}

/* A node has its share of the memory of the start, and its share of what can be added. */
static int node_of_address(const struct tree *t, hvo_pfn_t pfn)
{
	uint64_t start = 0, nr = t->hotplug_start;

	if (pfn >= t->hotplug_start) {
		start = t->hotplug_start;
		nr = t->hotplug_end - t->hotplug_start;
	}
	return (int)((pfn - start) / HVO_SECTION_FRAMES * nr_nodes(t) / (nr / HVO_SECTION_FRAMES));
}

static int parse_section(const struct tree *t, const char *text, hvo_pfn_t *ret)
{
	uint64_t address;
	int rc = parse_address(text, &address);

	if (rc)
		return rc;
	if (address % HVO_SECTION_SIZE || address >> HVO_FRAME_SHIFT >= t->hotplug_end)
		return -EINVAL;
	*ret = address >> HVO_FRAME_SHIFT;
	return 0;
}

static int add_memory_at(struct tree *t, hvo_pfn_t pfn, bool on_memory)
{
	struct place section = { .tree = t, .pfn = pfn };
	enum online_type type;
	int rc = hvo_memory_add(t->m, node_of_address(t, pfn), pfn, pfn + HVO_SECTION_FRAMES,
				on_memory ? HVO_MEMMAP_ON_MEMORY : 0);

	if (rc)
		return rc == -HVO_EBUSY ? -EEXIST : rc;
	/* As in the kernel, it stays added where this fails. */
	type = (enum online_type)atomic_load(&t->auto_online);
	if (type != OFFLINE)
		(void)bring_online(&section, type);
	return 0;
}

static int store_probe(void *arg, const char *text)
{
	struct tree *t = ((const struct place *)arg)->tree;
	hvo_pfn_t pfn;
	int rc = parse_section(t, text, &pfn);

	return rc ? rc : add_memory_at(t, pfn, t->memmap_on_memory);
}

static int store_remove(void *arg, const char *text)
{
	const struct place *p = arg;
	hvo_pfn_t pfn;
	int rc = parse_section(p->tree, text, &pfn);

	return rc ? rc : hvo_memory_remove(p->tree->m, pfn, pfn + HVO_SECTION_FRAMES);
}

static int show_memmap_on_memory(void *arg, FILE *out)
{
	fputs(((const struct place *)arg)->tree->memmap_on_memory ? "Y\n" : "N\n", out);
	return 0;
}

static const struct tree_row module_files[] = {
	RO("memmap_on_memory", show_memmap_on_memory),
};

/* ---- sections that can be added, one by one ------------------------------------------------- */

static int show_config(void *arg, FILE *out)
{
	fprintf(out, "%d\n", section_there(arg));
	return 0;
}

static int store_config(void *arg, const char *text)
{
	struct place *p = arg;
	bool on;
	int rc = parse_bool(text, &on);

	if (rc || on == section_there(p))
		return rc;
	return on ? add_memory_at(p->tree, p->pfn, atomic_load(&p->on_memory)) :
		    hvo_memory_remove(p->tree->m, p->pfn, p->pfn + HVO_SECTION_FRAMES);
}

/* Of memory that is there, what it really is. */
static int show_on_memory(void *arg, FILE *out)
{
	struct place *p = arg;
	struct hvo_section_info info = info_of(p);
	bool there = info.state != HVO_SECTION_ABSENT;

	fprintf(out, "%d\n", there ? info.self_hosted : atomic_load(&p->on_memory));
	return 0;
}

static int store_on_memory(void *arg, const char *text)
{
	struct place *p = arg;
	bool on;
	int rc = parse_bool(text, &on);

	if (rc)
		return rc;
	if (on && !p->tree->memmap_on_memory)
		return -EOPNOTSUPP;
	if (section_there(p))
		return -EBUSY;
	atomic_store(&p->on_memory, on);
	return 0;
}

static const struct tree_row config_files[] = {
	RW("config", show_config, store_config),
	RW("memmap_on_memory", show_on_memory, store_on_memory),
};

static int add_config(struct tree *t, hvo_pfn_t pfn)
{
	const struct place about = { .node = HVO_NODE_ANY, .pfn = pfn };

	return add_dir(t, &about, config_files, NR_OF(config_files),
		       "/sys/firmware/memory/memory%" PRIu64, pfn >> HVO_SECTION_ORDER);
}

static const struct tree_row memory_files[] = {
	RW("auto_online_blocks", show_auto_online, store_auto_online),
	RO("block_size_bytes", show_block_size),
	WO("probe", store_probe),
};

static const struct tree_row own_files[] = {
	WO("remove_memory", store_remove),
};

/* Its node is known unless it is yet to come: then it may be any. */
static int add_section(struct tree *t, hvo_pfn_t pfn)
{
	const struct place about = { .tree = t, .node = HVO_NODE_ANY, .pfn = pfn };
	struct hvo_section_info info = info_of(&about);
	int node, rc = add_dir(t, &about, section_files, NR_OF(section_files),
			       MEMORY_DIR "/memory%" PRIu64, pfn >> HVO_SECTION_ORDER);

	for (node = 0; node < (int)nr_nodes(t) && !rc; node++)
		if (info.node < 0 || info.node == node)
			rc = add_links(t, pfn, node);
	return rc;
}

int add_memory(struct tree *t)
{
	int rc = add_dir(t, NULL, memory_files, NR_OF(memory_files), MEMORY_DIR);
	hvo_pfn_t pfn;

	if (!rc)
		rc = add_dir(t, NULL, own_files, NR_OF(own_files), "/sys/kernel/hvo");
	if (!rc)
		rc = add_dir(t, NULL, module_files, NR_OF(module_files),
			     "/sys/module/memory_hotplug/parameters");
	for (pfn = 0; pfn < t->hotplug_end && !rc; pfn += HVO_SECTION_FRAMES)
		rc = add_section(t, pfn);
	for (pfn = t->hotplug_start; pfn < t->hotplug_end && !rc; pfn += HVO_SECTION_FRAMES)
		rc = add_config(t, pfn);
	return rc;
}
