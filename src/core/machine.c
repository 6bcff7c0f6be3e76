// SPDX-License-Identifier: MIT
/*
 * A machine as a whole: from a configuration to nodes and zones with all their
 * memory online, and its counters.
 *
 *	node n:  [start ... NORMAL ................][... MOVABLE ..... end)
 *		 ^ descriptor frames are set aside here, at the node's start
 *
 * Linux: mm/mm_init.c, free_area_init(), memmap_init(); mm/sparse-vmemmap.c.
 */
#include <hvo/move.h>

#include "alloc.h"
#include "hugetlb.h"
#include "lock.h"
#include "page.h"
#include "vmemmap.h"
#include "zone.h"

#define ALIGN 64u
/* Links and backing records are 32 bits of frames and blocks. */
#define MEMORY_MAX (UINT64_C(1) << 44)

void machine_panic(struct hvo_machine *m, const char *what, hvo_pfn_t pfn)
{
	const struct hvo_page *page = pfn < m->mm.nr_frames ? hvo_page_addr(&m->mm, pfn) : NULL;

	m->ops->panic(m->ctx, what, pfn, m->mm.translate ? NULL : page);
}

/* Defaults filled in; false if it makes no sense. */
static bool config_valid(const struct hvo_config *in, struct hvo_config *c)
{
	uint64_t node, normal, memmap;

	if (!in)
		return false;
	*c = *in;
	if (!c->nr_nodes)
		c->nr_nodes = 1;
	if (!c->max_order)
		c->max_order = HVO_MAX_ORDER;
	if (c->boot_gigantic && c->max_order < HVO_GIGA_ORDER)
		return false;
	if (c->nr_nodes > HVO_MAX_NODES || c->max_order < HVO_BLOCK_ORDER ||
	    c->max_order > HVO_MAX_ORDER || c->mode > HVO_LINUX || c->clear > HVO_CLEAR_NEVER)
		return false;
	if (!c->memory_bytes || c->memory_bytes > MEMORY_MAX || c->hotplug_bytes > MEMORY_MAX ||
	    c->memory_bytes + c->hotplug_bytes > MEMORY_MAX ||
	    c->memory_bytes % (HVO_SECTION_SIZE * c->nr_nodes) ||
	    c->hotplug_bytes % HVO_SECTION_SIZE)
		return false;
	node = c->memory_bytes / c->nr_nodes;
	if (c->movable_bytes >= node || c->movable_bytes % HVO_SECTION_SIZE ||
	    c->cma_bytes >= node - c->movable_bytes || c->cma_bytes % HVO_SECTION_SIZE)
		return false;
	normal = node - c->movable_bytes - c->cma_bytes;
	memmap = node / HVO_BLOCK_SIZE * HVO_FRAME_SIZE;
	if (c->mode == HVO_LINUX)
		memmap *= HVO_BLOCK_MEMMAP;
	return memmap + 2 * HVO_BLOCK_SIZE <= normal && c->min_free_bytes < node / 2;
}

/* Of the address space: what is there and what can be added. */
static uint64_t total_bytes(const struct hvo_config *c)
{
	return c->memory_bytes + c->hotplug_bytes;
}

struct layout {
	size_t fold, blocks, sections, runs, undo, bad, total;
};

static size_t place(size_t *at, size_t bytes)
{
	size_t here = (*at + ALIGN - 1) & ~(size_t)(ALIGN - 1);

	*at = here + bytes;
	return here;
}

static struct layout layout_of(const struct hvo_config *c)
{
	size_t nr_blocks = total_bytes(c) / HVO_BLOCK_SIZE;
	size_t nr_sections = total_bytes(c) / HVO_SECTION_SIZE;
	struct layout l;

	l.total = sizeof(struct hvo_machine) + c->nr_nodes * sizeof(struct node);
	l.fold = place(&l.total, nr_blocks);
	l.sections = place(&l.total, nr_sections * sizeof(struct section));
	l.runs = place(&l.total, NR_RUNS * sizeof(struct hvo_remap));
	l.undo = place(&l.total, NR_RUNS * sizeof(struct hvo_remap));
	l.blocks = place(&l.total, nr_blocks * sizeof(struct block));
	l.bad = place(&l.total, nr_blocks * (HVO_BLOCK_FRAMES / 8));
	return l;
}

size_t hvo_machine_size(const struct hvo_config *cfg)
{
	struct hvo_config c;

	return config_valid(cfg, &c) ? layout_of(&c).total : 0;
}

uint64_t hvo_memmap_pages(uint64_t memory_bytes)
{
	uint64_t gib = UINT64_C(1) << 30;

	return (memory_bytes / gib + (memory_bytes % gib != 0)) * 4096;
}

static void init_zone(struct hvo_machine *m, struct node *n, uint32_t nid, uint32_t type,
		      hvo_pfn_t start, hvo_pfn_t end)
{
	struct zone *z = &n->zones[type];
	hvo_pfn_t pfn;

	z->node = (uint8_t)nid;
	z->type = (uint8_t)type;
	z->start = start;
	z->end = end;
	z->present = end - start;
	z->managed = z->present;
	z->id = (uint8_t)(nid * HVO_NR_ZONES + type);
	for (pfn = start; pfn < end; pfn += HVO_SECTION_FRAMES)
		m->sections[pfn >> HVO_SECTION_ORDER] =
			(struct section){ z->id, HVO_SECTION_ONLINE, (uint8_t)nid, 0, 0 };
}

/* Address space without memory: nobody is there to be found. */
static void init_absent(struct hvo_machine *m)
{
	hvo_pfn_t pfn = m->cfg.memory_bytes >> HVO_FRAME_SHIFT;

	for (; pfn < m->mm.nr_frames; pfn += HVO_SECTION_FRAMES) {
		m->sections[pfn >> HVO_SECTION_ORDER].zone = ZONE_NONE;
		fold_set(m, pfn, HVO_SECTION_ORDER, HVO_BLOCK_ORDER | HVO_FOLDED);
	}
}

/*
 * 1 GiB pages whose descriptors are never all there: at the end of NORMAL, as many of the
 * node's share as leave room for what is.
 */
static void place_boot_gigantic(struct hvo_machine *m, struct node *n, uint32_t nid,
				hvo_pfn_t normal_end)
{
	uint64_t giga = UINT64_C(1) << HVO_GIGA_ORDER, saved = giga / HVO_PAGES_PER_FRAME - 1;
	uint64_t nr = m->cfg.boot_gigantic / m->cfg.nr_nodes;

	nr += nid < m->cfg.boot_gigantic % m->cfg.nr_nodes;
	n->boot_start = normal_end;
	n->boot_end = normal_end;
	if (on_demand(m) || !m->cfg.optimize || !nr || (normal_end & ~(giga - 1)) <= n->start)
		return;
	n->boot_start = normal_end & ~(giga - 1);
	n->boot_end = n->boot_start;
	for (; nr && n->boot_start >= n->start + giga; nr--) {
		uint64_t left = n->memmap_frames - saved;

		if (n->boot_start - giga < n->start + left + 2 * HVO_BLOCK_FRAMES)
			break;
		n->boot_start -= giga;
		n->memmap_frames = left;
	}
}

static int online_node(struct hvo_machine *m, uint32_t nid)
{
	uint64_t frames = (m->cfg.memory_bytes / m->cfg.nr_nodes) >> HVO_FRAME_SHIFT;
	struct node *n = &m->nodes[nid];
	hvo_pfn_t movable, cma, first;
	int rc;

	n->start = nid * frames;
	n->end = n->start + frames;
	n->memmap_pfn = n->start;
	n->memmap_frames = frames >> HVO_BLOCK_ORDER;
	if (!on_demand(m))
		n->memmap_frames *= HVO_BLOCK_MEMMAP;
	movable = n->end - (m->cfg.movable_bytes >> HVO_FRAME_SHIFT);
	cma = movable - (m->cfg.cma_bytes >> HVO_FRAME_SHIFT);
	place_boot_gigantic(m, n, nid, cma);
	init_zone(m, n, nid, HVO_ZONE_NORMAL, n->start, cma);
	init_zone(m, n, nid, HVO_ZONE_CMA, cma, movable);
	init_zone(m, n, nid, HVO_ZONE_MOVABLE, movable, n->end);
	rc = vmemmap_online_node(m, n);
	if (rc)
		return rc;
	first = n->start + n->memmap_frames + HVO_BLOCK_FRAMES - 1;
	first &= ~(hvo_pfn_t)(HVO_BLOCK_FRAMES - 1);
	zone_put_free(m, &n->zones[HVO_ZONE_NORMAL], first, n->boot_start);
	zone_put_free(m, &n->zones[HVO_ZONE_NORMAL], n->boot_end, cma);
	zone_put_free(m, &n->zones[HVO_ZONE_CMA], cma, movable);
	zone_put_free(m, &n->zones[HVO_ZONE_MOVABLE], movable, n->end);
	return 0;
}

/* As many as there are; the kernel too boots with fewer. */
static int boot_gigantic(struct hvo_machine *m)
{
	struct hvo_pool *pool;
	hvo_pfn_t pfn;
	uint32_t n;
	int rc;

	if (!m->cfg.boot_gigantic)
		return 0;
	rc = hvo_pool_create(m, HVO_GIGA_ORDER, &pool);
	for (n = 0; n < m->cfg.nr_nodes && !rc; n++) {
		for (pfn = m->nodes[n].boot_start; pfn < m->nodes[n].boot_end;) {
			pool->batch[0] = pfn;
			pfn = vmemmap_boot_gigantic(m, pfn);
			hugetlb_add_batch(pool, 1);
		}
	}
	return rc ? rc : hvo_pool_resize(pool, HVO_NODE_ANY, m->cfg.boot_gigantic, NULL);
}

int hvo_machine_init(void *mem, size_t len, const struct hvo_config *cfg,
		     const struct hvo_platform_ops *ops, void *ctx, struct hvo_page *array,
		     struct hvo_machine **ret)
{
	struct hvo_machine *m = mem;
	struct hvo_config c;
	struct layout l;
	uint32_t n;
	int rc;

	if (!mem || !ops || !array || !ret || !config_valid(cfg, &c) || (uintptr_t)mem % ALIGN)
		return -HVO_EINVAL;
	l = layout_of(&c);
	if (len < l.total)
		return -HVO_EINVAL;
	m->cfg = c;
	m->ops = ops;
	m->ctx = ctx;
	m->fold = (uint8_t *)mem + l.fold;
	m->sections = (void *)((uint8_t *)mem + l.sections);
	m->runs = (void *)((uint8_t *)mem + l.runs);
	m->undo = (void *)((uint8_t *)mem + l.undo);
	m->bad = (void *)((uint8_t *)mem + l.bad);
	m->blocks = (void *)((uint8_t *)mem + l.blocks);
	m->mm.array = array;
	m->mm.fold = m->fold;
	m->mm.nr_frames = total_bytes(&c) >> HVO_FRAME_SHIFT;
	m->mm.translate = ops->translate;
	m->mm.ctx = ctx;
	m->optimize = c.optimize;
	m->min_free = c.min_free_bytes;
	m->min_free_set = c.min_free_bytes;
	init_absent(m);
	for (n = 0; n < c.nr_nodes; n++) {
		rc = online_node(m, n);
		if (rc)
			return rc;
	}
	zone_set_watermarks(m);
	rc = boot_gigantic(m);
	if (rc)
		return rc;
	*ret = m;
	return 0;
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

int hvo_set_min_free(struct hvo_machine *m, uint64_t bytes)
{
	if (machine_gone(m))
		return -HVO_ENODEV;
	if (bytes > HVO_MIN_FREE_MAX)
		return -HVO_EINVAL;
	lock_acquire(m, &m->memmap_lock);
	counter_set(&m->min_free, bytes);
	m->min_free_set = true;
	zone_set_watermarks(m);
	lock_release(m, &m->memmap_lock);
	return 0;
}

uint64_t hvo_min_free(const struct hvo_machine *m)
{
	return counter_read(&m->min_free);
}

void hvo_machine_abandon(struct hvo_machine *m)
{
	__atomic_store_n(&m->abandoned, 1, __ATOMIC_RELAXED);
}

/* To an allocation a block of MIGRATE_SPLIT is one of movable memory. */
static enum hvo_migratetype public_type(uint8_t type)
{
	if (type == MIGRATE_UNMOVABLE)
		return HVO_MIGRATE_UNMOVABLE;
	return type == MIGRATE_RECLAIMABLE ? HVO_MIGRATE_RECLAIMABLE : HVO_MIGRATE_MOVABLE;
}

/* Of all cut blocks that serve somebody. Zone lock held. */
static void count_types(struct hvo_machine *m, struct zone *z, struct hvo_zone_types *types)
{
	enum hvo_migratetype type;
	uint64_t block;
	unsigned int o;

	for (block = block_of(z->start); block < block_of(z->end); block++) {
		const struct block *b = &m->blocks[block];

		if (!zone_has(m, z, block_pfn(block)))
			continue;
		if (hvo_fold_byte(&m->mm, block) || !(b->flags & BLOCK_CUT) ||
		    b->flags & (BLOCK_BUSY | BLOCK_ISOLATED))
			continue;
		type = public_type(b->migratetype);
		types->nr_cut[type]++;
		for (o = 0; o < SMALL_ORDERS; o++) {
			uint32_t idx = b->free_head[o];

			for (; idx; idx = page_ro(m, block_pfn(block) + idx - 1)->next)
				types->nr_free[type][o]++;
		}
	}
}

static void count_free(struct hvo_machine *m, struct zone *z, struct hvo_zone_stat *s)
{
	struct hvo_zone_types types = { 0 };
	unsigned int o, type;

	count_types(m, z, &types);
	for (o = 0; o < SMALL_ORDERS; o++)
		for (type = 0; type < HVO_NR_MIGRATETYPES; type++)
			s->nr_free[o] += types.nr_free[type][o];
	for (o = HVO_BLOCK_ORDER; o <= HVO_MAX_ORDER; o++)
		s->nr_free[o] = z->nr_whole[o - HVO_BLOCK_ORDER];
}

/* What @out is to be about; -HVO_EINVAL, too, where that is nowhere. */
static int zone_find(struct hvo_machine *m, int node, enum hvo_zone_type type, const void *out,
		     struct zone **ret)
{
	if (machine_gone(m))
		return -HVO_ENODEV;
	if (node < 0 || !node_valid(m, node) || (uint32_t)type >= HVO_NR_ZONES || !out)
		return -HVO_EINVAL;
	*ret = &m->nodes[node].zones[type];
	return 0;
}

int hvo_zone_stat(struct hvo_machine *m, int node, enum hvo_zone_type type,
		  struct hvo_zone_stat *ret)
{
	struct hvo_zone_stat s = { 0 };
	struct zone *z;
	int rc = zone_find(m, node, type, ret, &z);

	if (rc)
		return rc;
	lock_acquire(m, &z->lock);
	s.start_pfn = z->start;
	s.end_pfn = z->end;
	s.present = z->present;
	s.managed = z->managed;
	s.free = z->nr_free;
	s.watermark_min = counter_read(&z->min);
	s.watermark_low = counter_read(&z->low);
	s.watermark_high = counter_read(&z->high);
	s.nr_cut = z->nr_cut;
	s.nr_collapsible = z->nr_collapsible;
	s.nr_isolated = z->nr_isolated;
	count_free(m, z, &s);
	lock_release(m, &z->lock);
	*ret = s;
	return 0;
}

int hvo_zone_types(struct hvo_machine *m, int node, enum hvo_zone_type type,
		   struct hvo_zone_types *ret)
{
	struct hvo_zone_types types = { 0 };
	struct zone *z;
	int rc = zone_find(m, node, type, ret, &z);

	if (rc)
		return rc;
	lock_acquire(m, &z->lock);
	count_types(m, z, &types);
	lock_release(m, &z->lock);
	*ret = types;
	return 0;
}

int hvo_numa_stat(struct hvo_machine *m, int node, enum hvo_zone_type type,
		  struct hvo_numa_stat *ret)
{
	struct hvo_numa_stat s = { 0 };
	struct zone *z;
	int rc = zone_find(m, node, type, ret, &z);

	if (rc)
		return rc;
	lock_acquire(m, &z->lock);
	s.miss = counter_read(&z->numa_miss);
	s.hit = z->nr_allocs - s.miss;
	s.foreign = counter_read(&z->numa_foreign);
	lock_release(m, &z->lock);
	*ret = s;
	return 0;
}

int hvo_zone_events(struct hvo_machine *m, int node, enum hvo_zone_type type,
		    struct hvo_zone_events *ret)
{
	struct zone *z;
	int rc = zone_find(m, node, type, ret, &z);

	if (rc)
		return rc;
	ret->allocated = counter_read(&z->allocated);
	ret->freed = counter_read(&z->freed);
	return 0;
}

void hvo_machine_stat(struct hvo_machine *m, struct hvo_machine_stat *ret)
{
	struct hvo_machine_stat s = { 0 };
	uint32_t n, t;

	for (n = 0; n < m->cfg.nr_nodes; n++) {
		for (t = 0; t < HVO_NR_ZONES; t++) {
			s.total_frames += counter_read(&m->nodes[n].zones[t].managed);
			s.free_frames += counter_read(&m->nodes[n].zones[t].nr_free);
		}
	}
	s.memmap_boot = counter_read(&m->memmap_boot);
	s.memmap = counter_read(&m->memmap);
	s.folds = counter_read(&m->folds);
	s.presents = counter_read(&m->presents);
	s.cuts = counter_read(&m->cuts);
	s.cut_failures = counter_read(&m->cut_failures);
	s.collapses = counter_read(&m->collapses);
	s.collapse_failures = counter_read(&m->collapse_failures);
	s.poisoned = counter_read(&m->nr_bad);
	s.self_hosted_huge = counter_read(&m->self_hosted_huge);
	s.moved = counter_read(&m->moved);
	s.carved_blocks = counter_read(&m->carved_blocks);
	s.hugetlb_allocs = counter_read(&m->hugetlb_allocs);
	s.hugetlb_alloc_failures = counter_read(&m->hugetlb_alloc_failures);
	s.migrated = counter_read(&m->migrated);
	s.migrate_failures = counter_read(&m->migrate_failures);
	s.reported = counter_read(&m->reported);
	s.cma_allocs = counter_read(&m->cma_allocs);
	s.cma_alloc_failures = counter_read(&m->cma_alloc_failures);
	s.compact_scanned = counter_read(&m->compact_scanned);
	s.compact_isolated = counter_read(&m->compact_isolated);
	s.compact_stalls = counter_read(&m->compact_stalls);
	s.compact_successes = counter_read(&m->compact_successes);
	*ret = s;
}
