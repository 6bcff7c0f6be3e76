/* SPDX-License-Identifier: MIT */
/*
 * The naive model of test_model.c: what it knows of a machine, and the operations that are in
 * other files.
 *
 * States and locks: none beyond one machine for each seed.
 * In Linux: tools/testing/radix-tree, tools/testing/vma.
 */
#ifndef HVO_TESTS_MODEL_H
#define HVO_TESTS_MODEL_H

#include "harness.h"

#include <hvo/contig.h>
#include <hvo/hotplug.h>
#include <hvo/migrate.h>

#define BLOCKS 400
#define POOLS 2
#define NODES 2
#define SECTIONS 16
#define AREAS 4
#define PIECES 16
#define FAILURES 20

/* A block, or a huge page, with its references. */
struct entry {
	hvo_pfn_t pfn;
	unsigned int order, refs, mapped;
	int pool; /* number, or -1 */
	uint64_t tag, word;
	bool movable;  /* has an owner: the model */
	bool reserved; /* came by a reservation */
};

struct model_section {
	enum hvo_section_state state;
	int node;		 /* unless it is absent */
	enum hvo_zone_type zone; /* while it is online */
	bool self;		 /* hosts its own descriptors */
};

/* Of a CMA area. */
struct piece {
	unsigned int area;
	hvo_pfn_t pfn;
	uint64_t nr, tag;
};

struct model {
	struct rig r;
	struct hvo_config cfg;
	uint64_t seed, random, step, tags;
	struct hvo_pool *pool[POOLS];
	uint64_t reserved[POOLS];
	enum hvo_fold_scope scope[POOLS];
	struct entry entry[BLOCKS];
	unsigned int nr;
	struct piece piece[PIECES];
	unsigned int nr_pieces;
	struct hvo_cma *area[AREAS];
	unsigned int nr_areas;
	struct model_section section[SECTIONS];
	unsigned int nr_sections;
	uint64_t nr_frames;
	uint8_t *owned, *failed; /* of each frame */
	unsigned int nr_failed;
	hvo_pfn_t closed_start, closed_end; /* nothing may be allocated there just now */
	struct hvo_owner owner;
	uint32_t id;
};

extern const unsigned int pool_order[POOLS];

#define must(mo, ok) must_at(mo, ok, #ok, __FILE__, __LINE__)
void must_at(struct model *mo, bool ok, const char *what, const char *file, int line);

uint64_t pick(struct model *mo, uint64_t n);
int pick_node(struct model *mo);

/* ---- model.c: records ------------------------------------------------------------------ */

void model_open(struct model *mo, const struct hvo_config *cfg, uint64_t seed);
void model_close(struct model *mo);

static inline uint64_t size(const struct entry *e)
{
	return UINT64_C(1) << e->order;
}

static inline struct model_section *section_at(struct model *mo, hvo_pfn_t pfn)
{
	return &mo->section[pfn >> HVO_SECTION_ORDER];
}

bool is_online(struct model *mo, hvo_pfn_t pfn);
/* All sections that [start, end) reaches into are online, in one zone. */
bool one_zone(struct model *mo, hvo_pfn_t start, hvo_pfn_t end);
bool any_set(const uint8_t *of_frames, hvo_pfn_t start, hvo_pfn_t end);
/* Is memory that is handed out zero? */
bool is_cleared(const struct model *mo, unsigned int gfp);

/* Frames get somebody who has them, or lose him; it was the other way round before. */
void own(struct model *mo, hvo_pfn_t pfn, uint64_t nr, bool yes);
struct entry *add(struct model *mo, hvo_pfn_t pfn, unsigned int order, int pool);
/* Its frames are somebody else's from now on, or were given up. */
void forget(struct model *mo, struct entry *e);
void make_movable(struct model *mo, struct entry *e);
/* What is allocated there, block by block. */
void adopt(struct model *mo, hvo_pfn_t start, hvo_pfn_t end, bool movable);
struct entry *entry_around(struct model *mo, hvo_pfn_t pfn);
bool entry_intact(struct model *mo, const struct entry *e);
void verify(struct model *mo, const struct entry *e);

/*
 * Huge pages of a pool that are present, and stay so: in sections that host their own descriptors, or
 * out of the pool's scope.
 */
uint64_t pages_present(struct model *mo, unsigned int pool);

/* After each step; and, now and then, everything. */
void check(struct model *mo);
void check_all(struct model *mo);

/* Frames with descriptors of a section, whatever the section is used for. */
uint64_t lasting(const struct model *mo);

/* ---- model_memory.c: operations on ranges and on memory itself ----------------------------- */

void op_add(struct model *mo);
void op_online(struct model *mo);
void op_offline(struct model *mo);
void op_remove(struct model *mo);
void op_fail(struct model *mo);
void op_move_memmap(struct model *mo);
void op_migrate(struct model *mo);
void op_compact(struct model *mo);
void op_contig(struct model *mo);
void op_contig_pages(struct model *mo);
void op_empty(struct model *mo);
void op_cma_alloc(struct model *mo);
void op_cma_release(struct model *mo);

#endif
