/* SPDX-License-Identifier: MIT */
/*
 * The x86-64 page-table walker. States, locks and counterparts: walk.h.
 *
 * In Linux: mm/hugetlb_vmemmap.c vmemmap_remap_range(), vmemmap_pmd_entry(),
 * vmemmap_split_pmd(), vmemmap_pte_entry(). Unlike there, what a PMD leaf turns
 * into is the caller's choice, and no pass both allocates and changes PTEs.
 */
#include "mmu/walk.h"

static unsigned int level_shift(enum hvo_mmu_level level)
{
	return HVO_FRAME_SHIFT + 9 * (unsigned int)level;
}

/* Bytes below one entry of a level, minus one. */
static uint64_t level_mask(enum hvo_mmu_level level)
{
	return (UINT64_C(1) << level_shift(level)) - 1;
}

static unsigned int level_index(uint64_t addr, enum hvo_mmu_level level)
{
	return (unsigned int)(addr >> level_shift(level)) & (HVO_MMU_ENTRIES - 1);
}

/*
 * Find the entry that decides about @addr: its PTE, or the entry above that is absent or a large
 * leaf. @ret_level is the level of the entry, @ret_value the value when it was found. A walk in
 * another thread may have made a table of the entry since.
 */
static uint64_t *descend(const struct hvo_mmu *mmu, uint64_t addr, enum hvo_mmu_level *ret_level,
			 uint64_t *ret_value)
{
	uint64_t *table = mmu->table(mmu->ctx, mmu->root);
	unsigned int level = HVO_MMU_PGD;
	uint64_t *entry, value;

	for (;;) {
		entry = &table[level_index(addr, (enum hvo_mmu_level)level)];
		value = hvo_mmu_get(entry);
		if (level == HVO_MMU_PTE || !(value & HVO_MMU_P) || (value & HVO_MMU_PS))
			break;
		table = mmu->table(mmu->ctx, hvo_mmu_frame(value));
		level--;
	}
	*ret_level = (enum hvo_mmu_level)level;
	*ret_value = value;
	return entry;
}

/* The PTE that maps @addr as a large leaf of @level does. */
static uint64_t leaf_to_pte(uint64_t leaf, enum hvo_mmu_level level, uint64_t addr)
{
	uint64_t inside = addr & level_mask(level) & HVO_MMU_ADDR;
	uint64_t base = leaf & HVO_MMU_ADDR & ~level_mask(level);
	uint64_t pte = (leaf & ~HVO_MMU_ADDR & ~HVO_MMU_PS) | base | inside;

	/* PAT lies elsewhere in a large leaf: bit 12, an address bit in a PTE. */
	if (leaf & HVO_MMU_PAT_LARGE)
		pte |= HVO_MMU_PAT_PTE;
	return pte;
}

/*
 * Put a table under an absent entry or a PMD leaf. The new table translates as the entry did, and
 * is complete before the entry points to the table: no walk in another thread sees a translation
 * change.
 */
static int make_table(struct hvo_mmu *mmu, uint64_t *entry, enum hvo_mmu_level level)
{
	uint64_t old = hvo_mmu_get(entry);
	uint64_t frame, *table, value = 0;
	unsigned int i;
	int err;

	err = mmu->table_alloc(mmu->ctx, &frame);
	if (err)
		return err;
	table = mmu->table(mmu->ctx, frame);
	if (level == HVO_MMU_PMD)
		value = mmu->fill;
	for (i = 0; i < HVO_MMU_ENTRIES; i++) {
		if (old & HVO_MMU_P)
			value = leaf_to_pte(old, level, (uint64_t)i << HVO_FRAME_SHIFT);
		hvo_mmu_set(&table[i], value);
	}
	/* A table forbids nothing: its leaves say what is allowed. */
	hvo_mmu_set(entry, frame << HVO_FRAME_SHIFT | HVO_MMU_P | HVO_MMU_RW | HVO_MMU_ACCESSED);
	if (old & HVO_MMU_P)
		mmu->splits++;
	return 0;
}

/*
 * One entry above the PTEs that is no table.
 * Return: 0 to go on behind it, 1 to look at it again (it is a table now), or an
 * error.
 */
static int visit_upper(struct hvo_mmu *mmu, const struct hvo_mmu_walk *walk, uint64_t *entry,
		       enum hvo_mmu_level level, uint64_t addr, uint64_t stop)
{
	bool leaf = hvo_mmu_get(entry) & HVO_MMU_P;
	enum hvo_mmu_step step;
	bool whole;
	int err;

	if (level > HVO_MMU_PMD) {
		if (leaf)
			return -HVO_EINVAL;
		step = (walk->flags & HVO_MMU_CREATE) ? HVO_MMU_TABLE : HVO_MMU_NEXT;
	} else if (walk->pmd) {
		whole = stop - addr == level_mask(level);
		step = walk->pmd(walk->arg, addr, entry, whole);
	} else {
		step = (walk->flags & (leaf ? HVO_MMU_SPLIT : HVO_MMU_CREATE)) ? HVO_MMU_TABLE :
										 HVO_MMU_NEXT;
	}
	if (step == HVO_MMU_NEXT)
		return 0;
	err = make_table(mmu, entry, level);
	if (!err)
		return 1;
	if (step == HVO_MMU_TRY_TABLE && err == -HVO_ENOMEM)
		return 0;
	return err;
}

/* The PTEs of [*addr, stop], which one table holds; *addr stays at one that failed. */
static int visit_ptes(const struct hvo_mmu_walk *walk, uint64_t *entry, uint64_t *addr,
		      uint64_t stop)
{
	uint64_t at = *addr;
	int err;

	if (!walk->pte)
		return 0;
	for (;; at += HVO_FRAME_SIZE, entry++) {
		*addr = at;
		err = walk->pte(walk->arg, at, entry);
		if (err)
			return err;
		/* Not at < stop: the range may end at the top of the address space. */
		if (stop - at < HVO_FRAME_SIZE)
			return 0;
	}
}

int hvo_mmu_walk(struct hvo_mmu *mmu, const struct hvo_mmu_walk *walk, uint64_t *ret_end)
{
	uint64_t addr = walk->start, last = walk->end - 1;
	uint64_t *entry, stop, value;
	enum hvo_mmu_level level;
	int err;

	if (ret_end)
		*ret_end = addr;
	if (walk->start == walk->end)
		return 0;
	if (((walk->start | walk->end) & (HVO_FRAME_SIZE - 1)) || walk->start > last)
		return -HVO_EINVAL;

	for (;;) {
		entry = descend(mmu, addr, &level, &value);
		/* Up to where this entry, or the table that it lies in, decides. */
		stop = addr | level_mask(level > HVO_MMU_PMD ? level : HVO_MMU_PMD);
		if (stop > last)
			stop = last;
		if (level == HVO_MMU_PTE)
			err = visit_ptes(walk, entry, &addr, stop);
		else
			err = visit_upper(mmu, walk, entry, level, addr, stop);
		if (err > 0 && level != HVO_MMU_PTE)
			continue;
		if (err || stop == last)
			break;
		addr = stop + 1;
	}
	if (ret_end)
		*ret_end = err ? addr : walk->end;
	return err;
}

uint64_t hvo_mmu_lookup(const struct hvo_mmu *mmu, uint64_t addr)
{
	enum hvo_mmu_level level;
	uint64_t value;

	descend(mmu, addr, &level, &value);
	if (level == HVO_MMU_PTE)
		return value;
	if (!(value & HVO_MMU_P))
		return mmu->fill;
	return leaf_to_pte(value, level, addr);
}

int hvo_mmu_init(struct hvo_mmu *mmu)
{
	uint64_t *table;
	unsigned int i;
	int err;

	err = mmu->table_alloc(mmu->ctx, &mmu->root);
	if (err)
		return err;
	table = mmu->table(mmu->ctx, mmu->root);
	/* With hvo_mmu_set() here and below no compiler makes a call of memset(). */
	for (i = 0; i < HVO_MMU_ENTRIES; i++)
		hvo_mmu_set(&table[i], 0);
	mmu->splits = 0;
	return 0;
}

/* Recursion is bounded by the number of levels. */
static void free_tables(struct hvo_mmu *mmu, uint64_t frame, unsigned int level)
{
	const uint64_t *table = mmu->table(mmu->ctx, frame);
	unsigned int i;

	for (i = 0; level > HVO_MMU_PTE && i < HVO_MMU_ENTRIES; i++)
		if ((table[i] & HVO_MMU_P) && !(table[i] & HVO_MMU_PS))
			free_tables(mmu, hvo_mmu_frame(table[i]), level - 1);
	mmu->table_free(mmu->ctx, frame);
}

void hvo_mmu_destroy(struct hvo_mmu *mmu)
{
	free_tables(mmu, mmu->root, HVO_MMU_PGD);
}
