// SPDX-License-Identifier: MIT
/*
 * A machine as a whole: from a configuration to nodes and zones with all their
 * memory online, and its counters.
 *
 *	node n:  [start ... NORMAL ....][... CMA ...][NORMAL][... MOVABLE ..... end)
 *		 ^ descriptor frames are set aside here, at the node's start: its own, then
 *		   those of nodes that have no NORMAL memory
 *
 * Linux: mm/mm_init.c, free_area_init(), memmap_init(); mm/sparse-vmemmap.c.
 */
#include "machine.h"

#include "backing.h"
#include "base.h"
#include "lock.h"
#include "online.h"
#include "page.h"
#include "pool.h"
#include "reclaim.h"
#include "sized.h"
#include "watermark.h"
#include "zone_whole.h"

#define ALIGN 64u

/*
 * Links are 32-bit numbers of pageblocks, and what backs a slot 32-bit numbers of frames. In the
 * table these are + 1, so that 0 is "none".
 */
#define MEMORY_MAX (UINT64_C(1) << 44)
#define MEMORY_MAX_TABLE (MEMORY_MAX - HVO_SECTION_SIZE)

/* ---- what a configuration says -------------------------------------------------------------- */

/* Bytes of the address space: memory of the start and memory that can be added. */
static uint64_t total_bytes(const struct hvo_config *c)
{
	return c->memory_bytes + c->hotplug_bytes;
}

static bool has_normal(const struct hvo_config *c, uint32_t nid)
{
	return !(c->movable_nodes >> nid & 1);
}

/* The node whose NORMAL memory holds a node's descriptors: the first in allocation order. */
static uint32_t memmap_node(const struct hvo_config *c, uint32_t nid)
{
	while (!has_normal(c, nid))
		nid = (nid + 1) % c->nr_nodes;
	return nid;
}

/* Frames for the descriptors that a node has from the start. */
static uint64_t memmap_frames(const struct hvo_config *c)
{
	uint64_t blocks = c->memory_bytes / c->nr_nodes / HVO_PAGEBLOCK_SIZE;

	if (c->mode == HVO_LINUX)
		return blocks * HVO_PAGEBLOCK_MEMMAP;
	return c->layout == HVO_LAYOUT_TABLE ? 0 : blocks;
}

/* Frames of a node that hold the descriptors of other nodes. */
static uint64_t guest_frames(const struct hvo_config *c, uint32_t nid)
{
	uint64_t frames = 0;
	uint32_t n;

	for (n = 0; n < c->nr_nodes; n++)
		if (n != nid && memmap_node(c, n) == nid)
			frames += align_up(memmap_frames(c), HVO_PAGEBLOCK_FRAMES);
	return frames;
}

/* Fill in and check the 1 GiB pages of each node, and their sum. */
static const char *boot_wrong(struct hvo_config *c)
{
	uint64_t sum = 0;
	uint32_t n;

	for (n = 0; n < HVO_MAX_NODES; n++) {
		if (c->boot_gigantic_nodes[n] && n >= c->nr_nodes)
			return "boot_gigantic_nodes: there is no such node";
		sum += c->boot_gigantic_nodes[n];
	}
	if (!sum)
		return NULL;
	if (sum > UINT32_MAX || (c->boot_gigantic && c->boot_gigantic != sum))
		return "boot_gigantic: not the sum of boot_gigantic_nodes";
	c->boot_gigantic = (uint32_t)sum;
	return NULL;
}

static const char *parts_wrong(const struct hvo_config *c)
{
	uint64_t node = c->memory_bytes / c->nr_nodes, all = UINT64_MAX >> (64 - c->nr_nodes),
		 normal;
	uint64_t frames = memmap_frames(c);
	uint32_t n;

	if (c->movable_nodes & ~all)
		return "movable_nodes: there is no such node";
	if (c->movable_nodes == all)
		return "movable_nodes: no node with NORMAL memory is left";
	if (c->movable_bytes % HVO_SECTION_SIZE)
		return "movable_bytes: not a multiple of a section (128 MiB)";
	if (c->cma_bytes % HVO_SECTION_SIZE)
		return "cma_bytes: not a multiple of a section (128 MiB)";
	if (c->movable_bytes >= node)
		return "movable_bytes: all of a node or more";
	if (c->cma_bytes >= node - c->movable_bytes)
		return "cma_bytes: nothing is left of a node for NORMAL memory";
	normal = node - c->movable_bytes - c->cma_bytes;
	for (n = 0; n < c->nr_nodes; n++)
		if (has_normal(c, n) &&
		    (frames + guest_frames(c, n) + 2 * HVO_PAGEBLOCK_FRAMES) * HVO_FRAME_SIZE >
			    normal)
			return "memory_bytes: NORMAL has no room for the descriptors";
	return c->min_free_bytes < node / 2 ? NULL : "min_free_bytes: half of a node or more";
}

static const char *size_wrong(const struct hvo_config *c)
{
	if (!c->memory_bytes)
		return "memory_bytes: 0";
	if (c->memory_bytes > MEMORY_MAX)
		return "memory_bytes: more than 16 TiB";
	if (c->memory_bytes % (HVO_SECTION_SIZE * c->nr_nodes))
		return "memory_bytes: not a multiple of nr_nodes sections (128 MiB)";
	if (c->hotplug_bytes % HVO_SECTION_SIZE)
		return "hotplug_bytes: not a multiple of a section (128 MiB)";
	if (c->hotplug_bytes > MEMORY_MAX - c->memory_bytes)
		return "hotplug_bytes: more than 16 TiB together with memory_bytes";
	if (c->layout == HVO_LAYOUT_TABLE && total_bytes(c) > MEMORY_MAX_TABLE)
		return "layout: a table is for less than 16 TiB";
	return NULL;
}

static const char *choice_wrong(const struct hvo_config *c)
{
	if (c->nr_nodes > HVO_MAX_NODES)
		return "nr_nodes: more than 64";
	if (c->max_order < HVO_PAGEBLOCK_ORDER || c->max_order > HVO_MAX_ORDER)
		return "max_order: not from 9 to 18";
	if (c->mode > HVO_LINUX)
		return "mode: no such mode";
	if (c->layout > HVO_LAYOUT_TABLE)
		return "layout: no such layout";
	return c->clear > HVO_CLEAR_NEVER ? "clear: no such time to clear" : NULL;
}

/* Linux mode is the system as its authors built it; the words of a table are too short for 16 TiB. */
static enum hvo_layout default_layout(const struct hvo_config *c)
{
	if (c->mode == HVO_LINUX || total_bytes(c) > MEMORY_MAX_TABLE)
		return HVO_LAYOUT_VIRTUAL;
	return HVO_LAYOUT_TABLE;
}

/* The configuration with its defaults filled in; an error says in *@ret_why what is wrong. */
static int read_config(const struct hvo_config *in, struct hvo_config *c, const char **ret_why)
{
	int rc = SIZED_IN(c, in);

	*ret_why = rc == -HVO_E2BIG ? "size: more than this library knows of" : "size: too small";
	if (rc)
		return rc;
	if (!c->nr_nodes)
		c->nr_nodes = 1;
	if (!c->max_order)
		c->max_order = HVO_MAX_ORDER;
	if (c->layout == HVO_LAYOUT_DEFAULT)
		c->layout = default_layout(c);
	*ret_why = choice_wrong(c);
	if (!*ret_why)
		*ret_why = size_wrong(c);
	if (!*ret_why)
		*ret_why = parts_wrong(c);
	if (!*ret_why)
		*ret_why = boot_wrong(c);
	return *ret_why ? -HVO_EINVAL : 0;
}

int hvo_config_check(const struct hvo_config *cfg, char *why, size_t len)
{
	struct hvo_config c;
	const char *text;
	int rc = read_config(cfg, &c, &text);

	if (!why || !len)
		return rc;
	while (rc && *text && --len)
		*why++ = *text++;
	*why = 0;
	return rc;
}

struct layout {
	size_t fold, pageblocks, sections, runs, undo, bad, heads, table, total;
};

static size_t place(size_t *at, size_t bytes)
{
	size_t here = (*at + ALIGN - 1) & ~(size_t)(ALIGN - 1);

	*at = here + bytes;
	return here;
}

static struct layout layout_of(const struct hvo_config *c)
{
	size_t nr_blocks = total_bytes(c) / HVO_PAGEBLOCK_SIZE;
	size_t nr_sections = total_bytes(c) / HVO_SECTION_SIZE;
	struct layout l = { 0 };

	l.total = sizeof(struct hvo_machine) + c->nr_nodes * sizeof(struct node);
	l.fold = place(&l.total, nr_blocks);
	l.sections = place(&l.total, nr_sections * sizeof(struct section));
	l.runs = place(&l.total, NR_RUNS * sizeof(struct hvo_remap));
	l.undo = place(&l.total, NR_RUNS * sizeof(struct hvo_remap));
	l.pageblocks = place(&l.total, nr_blocks * sizeof(struct pageblock));
	l.bad = place(&l.total, nr_blocks * (HVO_PAGEBLOCK_FRAMES / 8));
	if (c->layout != HVO_LAYOUT_TABLE)
		return l;
	l.heads = place(&l.total, nr_blocks * sizeof(struct hvo_page));
	l.table = place(&l.total, nr_blocks * HVO_PAGEBLOCK_MEMMAP * sizeof(uint32_t));
	return l;
}

size_t hvo_machine_size(const struct hvo_config *cfg)
{
	struct hvo_config c;
	const char *why;

	return read_config(cfg, &c, &why) ? 0 : layout_of(&c).total;
}

uint64_t hvo_memmap_pages(const struct hvo_config *cfg)
{
	uint64_t gib = HVO_FRAME_SIZE << HVO_GIGA_ORDER;
	struct hvo_config c;
	const char *why;

	if (read_config(cfg, &c, &why))
		return 0;
	if (c.layout == HVO_LAYOUT_TABLE)
		return 1;
	return align_up(total_bytes(&c), gib) / gib * HVO_GIGA_MEMMAP;
}

/* ---- memory at the start -------------------------------------------------------------------- */

/* Set up a zone with its memory in [start, end), where other zones may have memory, too. */
static struct zone *init_zone(struct hvo_machine *m, uint32_t nid, uint32_t type, hvo_pfn_t start,
			      hvo_pfn_t end)
{
	struct zone *z = &m->nodes[nid].zones[type];

	z->node = (uint8_t)nid;
	z->type = (uint8_t)type;
	z->start = start;
	z->end = end;
	z->id = (uint8_t)(nid * HVO_NR_ZONES + type);
	return z;
}

static void add_sections(struct hvo_machine *m, struct zone *z, hvo_pfn_t start, hvo_pfn_t end)
{
	hvo_pfn_t pfn;

	z->present += end - start;
	z->managed += end - start;
	for (pfn = start; pfn < end; pfn += HVO_SECTION_FRAMES)
		*section_of(m, pfn) = (struct section){ z->id, HVO_SECTION_ONLINE, z->node, 0, 0 };
}

/* Mark all address space as absent. */
static void init_absent(struct hvo_machine *m)
{
	hvo_pfn_t pfn = m->cfg.memory_bytes >> HVO_FRAME_SHIFT;

	for (; pfn < m->mm.nr_frames; pfn += HVO_SECTION_FRAMES) {
		section_of(m, pfn)->zone = ZONE_NONE;
		fold_set(m, pfn, HVO_SECTION_ORDER, HVO_PAGEBLOCK_ORDER | HVO_FOLDED);
	}
}

/* 1 GiB pages that a node is to have: the configured number, or its share of the sum in turn. */
static uint64_t boot_share(const struct hvo_config *c, uint32_t nid)
{
	uint32_t before = 0, nr = 0, n;
	uint64_t sum = 0;

	for (n = 0; n < c->nr_nodes; n++) {
		sum += c->boot_gigantic_nodes[n];
		before += n < nid && has_normal(c, n);
		nr += has_normal(c, n);
	}
	if (sum)
		return c->boot_gigantic_nodes[nid];
	return c->boot_gigantic / nr + (before < c->boot_gigantic % nr);
}

/*
 * Place 1 GiB pages that never have all their descriptors: at the end of NORMAL, or of its first
 * part if there are two; as many of the node's share as leave room for other descriptors.
 */
static void place_boot_gigantic(struct hvo_machine *m, struct node *n, uint32_t nid,
				hvo_pfn_t normal_end)
{
	uint64_t giga = UINT64_C(1) << HVO_GIGA_ORDER, saved = giga / HVO_PAGES_PER_FRAME - 1;
	uint64_t nr = boot_share(&m->cfg, nid), guests = guest_frames(&m->cfg, nid);

	n->boot_start = normal_end;
	n->boot_end = normal_end;
	if (on_demand(m) || !m->cfg.optimize || !nr || (normal_end & ~(giga - 1)) <= n->start)
		return;
	n->boot_start = normal_end & ~(giga - 1);
	n->boot_end = n->boot_start;
	for (; nr && n->boot_start >= n->start + giga; nr--) {
		uint64_t left = n->memmap_frames - saved;

		if (n->boot_start - giga < n->start + left + guests + 2 * HVO_PAGEBLOCK_FRAMES)
			break;
		n->boot_start -= giga;
		n->memmap_frames = left;
	}
}

/*
 * The frame where a node's CMA memory, which ends at @end or before, begins: aligned to the largest
 * huge page that fits into the memory, if the memory in front leaves room.
 */
static hvo_pfn_t cma_start(const struct hvo_machine *m, uint32_t nid, hvo_pfn_t end)
{
	const struct node *n = &m->nodes[nid];
	uint64_t nr = m->cfg.cma_bytes >> HVO_FRAME_SHIFT, align;
	hvo_pfn_t lowest =
		n->start + n->memmap_frames + guest_frames(&m->cfg, nid) + 2 * HVO_PAGEBLOCK_FRAMES;

	if (!nr)
		return end;
	for (align = UINT64_C(1) << fitting_order(0, nr, HVO_GIGA_ORDER);
	     align > HVO_SECTION_FRAMES; align /= 2)
		if (((end - nr) & ~(align - 1)) >= lowest)
			break;
	return (end - nr) & ~(align - 1);
}

static void place_zones(struct hvo_machine *m, uint32_t nid)
{
	uint64_t nr_cma = has_normal(&m->cfg, nid) ? m->cfg.cma_bytes >> HVO_FRAME_SHIFT : 0;
	struct node *n = &m->nodes[nid];
	hvo_pfn_t movable = n->start, cma = n->start;
	struct zone *normal;

	if (has_normal(&m->cfg, nid)) {
		movable = n->end - (m->cfg.movable_bytes >> HVO_FRAME_SHIFT);
		cma = cma_start(m, nid, movable);
	}
	place_boot_gigantic(m, n, nid, cma);
	normal = init_zone(m, nid, HVO_ZONE_NORMAL, n->start,
			   cma + nr_cma < movable ? movable : cma);
	add_sections(m, normal, n->start, cma);
	add_sections(m, normal, cma + nr_cma, movable);
	add_sections(m, init_zone(m, nid, HVO_ZONE_CMA, cma, cma + nr_cma), cma, cma + nr_cma);
	add_sections(m, init_zone(m, nid, HVO_ZONE_MOVABLE, movable, n->end), movable, n->end);
}

static void place_node(struct hvo_machine *m, uint32_t nid)
{
	uint64_t frames = (m->cfg.memory_bytes / m->cfg.nr_nodes) >> HVO_FRAME_SHIFT;
	struct node *n = &m->nodes[nid];

	n->start = nid * frames;
	n->end = n->start + frames;
	n->memmap_node = memmap_node(&m->cfg, nid);
	n->memmap_frames = memmap_frames(&m->cfg);
	place_zones(m, nid);
}

/* A node's own descriptors come first, then those of others; returns where they end. */
static hvo_pfn_t place_memmap(struct hvo_machine *m, uint32_t nid)
{
	hvo_pfn_t pfn = m->nodes[nid].start;
	uint32_t i;

	for (i = 0; i < m->cfg.nr_nodes; i++) {
		struct node *n = &m->nodes[(nid + i) % m->cfg.nr_nodes];

		if (n->memmap_node != nid)
			continue;
		n->memmap_pfn = pfn;
		pfn += align_up(n->memmap_frames, HVO_PAGEBLOCK_FRAMES);
	}
	return pfn;
}

static void free_range(struct hvo_machine *m, struct zone *z, hvo_pfn_t start, hvo_pfn_t end)
{
	lock_acquire(m, &z->lock);
	zone_put_free(m, z, start, end);
	lock_release(m, &z->lock);
}

static void free_node(struct hvo_machine *m, uint32_t nid)
{
	struct node *n = &m->nodes[nid];
	struct zone *normal = &n->zones[HVO_ZONE_NORMAL], *cma = &n->zones[HVO_ZONE_CMA];
	struct zone *movable = &n->zones[HVO_ZONE_MOVABLE];

	if (normal->present) {
		free_range(m, normal, place_memmap(m, nid), n->boot_start);
		free_range(m, normal, n->boot_end, cma->start);
		free_range(m, normal, cma->end, movable->start);
	}
	free_range(m, cma, cma->start, cma->end);
	free_range(m, movable, movable->start, movable->end);
}

static int online_nodes(struct hvo_machine *m)
{
	uint32_t n;
	int rc = 0;

	for (n = 0; n < m->cfg.nr_nodes; n++)
		place_node(m, n);
	for (n = 0; n < m->cfg.nr_nodes; n++)
		if (has_normal(&m->cfg, n))
			(void)place_memmap(m, n);
	for (n = 0; n < m->cfg.nr_nodes && !rc; n++)
		rc = vmemmap_map_node(m, &m->nodes[n]);
	if (rc)
		return rc;
	vmemmap_flush(m);
	for (n = 0; n < m->cfg.nr_nodes && !rc; n++)
		rc = vmemmap_online_node(m, &m->nodes[n]);
	for (n = 0; n < m->cfg.nr_nodes && !rc; n++)
		free_node(m, n);
	return rc;
}

/*
 * Allocate the 1 GiB pages that are left to allocate, as many as fit: Linux, too, boots with fewer.
 */
static int boot_rest(struct hvo_machine *m, struct hvo_pool *pool)
{
	static const struct hvo_resize_options at_boot = { .size = sizeof(at_boot), .boot = true };
	bool in_turn = true;
	uint32_t n;
	int rc = 0;

	for (n = 0; n < m->cfg.nr_nodes && !rc; n++) {
		if (!m->cfg.boot_gigantic_nodes[n])
			continue;
		in_turn = false;
		rc = hvo_pool_resize_with(pool, (int)n, m->cfg.boot_gigantic_nodes[n], &at_boot,
					  NULL);
	}
	if (in_turn)
		rc = hvo_pool_resize_with(pool, HVO_NODE_ANY, m->cfg.boot_gigantic, &at_boot, NULL);
	return rc;
}

static int boot_gigantic(struct hvo_machine *m)
{
	struct hvo_pool *pool;
	hvo_pfn_t pfn;
	uint32_t n;
	int rc;

	if (!m->cfg.boot_gigantic)
		return 0;
	rc = hvo_pool_create(m, HVO_GIGA_ORDER, &pool);
	lock_acquire(m, &m->memmap_lock);
	for (n = 0; n < m->cfg.nr_nodes && !rc; n++) {
		for (pfn = m->nodes[n].boot_start; pfn < m->nodes[n].boot_end;) {
			pool->batch[0] = pfn;
			pfn = vmemmap_boot_gigantic(m, pfn);
			hugetlb_add_batch(pool, 1);
		}
	}
	lock_release(m, &m->memmap_lock);
	return rc ? rc : boot_rest(m, pool);
}

int hvo_machine_init(void *mem, size_t len, const struct hvo_config *cfg,
		     const struct hvo_platform_ops *ops, void *ctx, struct hvo_page *array,
		     struct hvo_machine **ret)
{
	struct hvo_machine *m = mem;
	struct hvo_config c;
	const char *why;
	struct layout l;
	int rc;

	if (!mem || sized_whole(ops, sizeof(*ops)) || !array || !ret || (uintptr_t)mem % ALIGN)
		return -HVO_EINVAL;
	rc = read_config(cfg, &c, &why);
	if (rc)
		return rc;
	l = layout_of(&c);
	if (len < l.total)
		return -HVO_EINVAL;
	m->cfg = c;
	m->ops = ops;
	m->reclaim = reclaim;
	m->ctx = ctx;
	m->fold = (uint8_t *)mem + l.fold;
	m->sections = (void *)((uint8_t *)mem + l.sections);
	m->runs = (void *)((uint8_t *)mem + l.runs);
	m->undo = (void *)((uint8_t *)mem + l.undo);
	m->bad = (void *)((uint8_t *)mem + l.bad);
	m->pageblocks = (void *)((uint8_t *)mem + l.pageblocks);
	m->mm.array = array;
	m->mm.fold = m->fold;
	m->mm.nr_frames = total_bytes(&c) >> HVO_FRAME_SHIFT;
	if (l.table) {
		m->table = (void *)((uint8_t *)mem + l.table);
		m->mm.table = m->table;
		m->mm.heads = (void *)((uint8_t *)mem + l.heads);
		m->mm.direct = ops->window(ctx, 0, m->mm.nr_frames);
	}
	m->mm.translate = ops->translate;
	m->mm.ctx = ctx;
	m->optimize = c.optimize;
	m->min_free = c.min_free_bytes;
	m->min_free_set = c.min_free_bytes;
	init_absent(m);
	rc = online_nodes(m);
	if (rc)
		return rc;
	lock_acquire(m, &m->memmap_lock);
	zone_set_watermarks(m);
	lock_release(m, &m->memmap_lock);
	rc = boot_gigantic(m);
	if (rc)
		return rc;
	*ret = m;
	return 0;
}

unsigned int hvo_pageblock_tails(const struct hvo_machine *m)
{
	return pb_tails(m);
}

const struct hvo_memmap *hvo_machine_memmap(const struct hvo_machine *m)
{
	return &m->mm;
}

const struct hvo_config *hvo_machine_config(const struct hvo_machine *m)
{
	return &m->cfg;
}

void *hvo_window(const struct hvo_machine *m, hvo_pfn_t pfn, uint64_t nr)
{
	if (machine_gone(m) || pfn >= m->mm.nr_frames || nr > m->mm.nr_frames - pfn)
		return NULL;
	return m->ops->window(m->ctx, pfn, nr);
}

hvo_pfn_t hvo_addr_to_pfn(const struct hvo_machine *m, const void *addr)
{
	uint64_t at;

	if (machine_gone(m))
		return HVO_PFN_NONE;
	at = (uintptr_t)addr - (uintptr_t)m->ops->window(m->ctx, 0, m->mm.nr_frames);
	return at >> HVO_FRAME_SHIFT < m->mm.nr_frames ? at >> HVO_FRAME_SHIFT : HVO_PFN_NONE;
}

void hvo_machine_abandon(struct hvo_machine *m)
{
	__atomic_store_n(&m->abandoned, 1, __ATOMIC_RELAXED);
}
