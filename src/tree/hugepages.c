// SPDX-License-Identifier: MIT
/*
 * The pools: sys/kernel/mm/hugepages, the same of each node, and what proc/sys/vm says of the
 * default size.
 *
 * Reading nr_hugepages gives all pages in sys and the persistent ones in proc/sys/vm; writing
 * it sets the persistent ones in both. As in the kernel, getting fewer is no error.
 *
 * Beside the kernel's files: folded_hugepages, poisoned_hugepages, deferred_hugepages,
 * refused_frees, carved_frames; in Linux mode restore_policy, fold_scope, out_of_scope_hugepages,
 * move_restores, moves_refused.
 *
 * Linux: mm/hugetlb_sysfs.c, mm/hugetlb_sysctl.c.
 */
#include "internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static bool on_demand(const struct tree *t)
{
	return hvo_machine_config(t->m)->mode == HVO_ON_DEMAND;
}

/* ---- counters ------------------------------------------------------------------- */

/* What is shown of @stat, the counters of the pool of @p. */
#define POOL_STAT(name_, value_)                                      \
	static int show_##name_(void *arg, FILE *out)                 \
	{                                                             \
		const struct place *p = arg;                          \
		struct hvo_pool_stat stat = { .size = sizeof(stat) }; \
                                                                      \
		pool_stat(p->pool, p->node, &stat);                   \
		return show_number(out, value_);                      \
	}

POOL_STAT(total, stat.total)
POOL_STAT(persistent, stat.total - stat.surplus)
POOL_STAT(free, stat.free)
POOL_STAT(surplus, stat.surplus)
POOL_STAT(reserved, stat.reserved)
POOL_STAT(overcommit, stat.overcommit)
POOL_STAT(folded, stat.optimized)
POOL_STAT(poisoned, stat.poisoned)
POOL_STAT(deferred, stat.deferred)
POOL_STAT(refused, stat.refused_total)
POOL_STAT(carved, stat.carved_total *HVO_PAGEBLOCK_TAILS << (p->order - HVO_PAGEBLOCK_ORDER))
POOL_STAT(out_of_scope, stat.out_of_scope_total)
POOL_STAT(move_restores, stat.move_restores_total)
POOL_STAT(moves_refused, stat.moves_refused_total)

/* ---- changing a pool -------------------------------------------------------------- */

static int store_nr(void *arg, const char *text)
{
	const struct place *p = arg;
	uint64_t nr;
	int rc = parse_ulong(text, &nr);

	return rc ? rc : hvo_pool_resize(p->pool, p->node, nr, NULL);
}

static int store_overcommit(void *arg, const char *text)
{
	const struct place *p = arg;
	uint64_t nr;
	int rc = parse_ulong(text, &nr);

	return rc ? rc : hvo_pool_set_overcommit(p->pool, nr);
}

static int store_demote(void *arg, const char *text)
{
	const struct place *p = arg;
	uint64_t nr, done;
	int rc = parse_ulong(text, &nr);

	return rc ? rc : hvo_pool_demote(p->pool, p->node, nr, &done);
}

static int show_demote_size(void *arg, FILE *out)
{
	const struct place *p = arg;
	int order = hvo_pool_demote_order(p->pool);

	if (order < 0)
		return order;
	fprintf(out, "%" PRIu64 "kB\n", (HVO_FRAME_SIZE >> 10) << order);
	return 0;
}

static int store_demote_size(void *arg, const char *text)
{
	const struct place *p = arg;
	uint64_t size = parse_size(text);
	unsigned int order = HVO_PAGEBLOCK_ORDER;

	while (order < p->order && HVO_FRAME_SIZE << order != size)
		order++;
	return order < p->order ? hvo_pool_set_demote_order(p->pool, order) : -EINVAL;
}

/* All of them, the one in force in brackets, as the kernel does for the like. */
static int show_policy(void *arg, FILE *out)
{
	const struct place *p = arg;
	const struct hvo_policy *each;
	struct hvo_policy now = { .size = sizeof(now) };
	unsigned int i;
	int rc = hvo_pool_policy(p->pool, &now);

	if (rc)
		return rc;
	for (i = 0; (each = hvo_policy_get(i)); i++)
		fprintf(out, strcmp(each->name, now.name) ? "%s%s" : "%s[%s]", i ? " " : "",
			each->name);
	/* One that the machine's owner made. */
	if (!hvo_policy_find(now.name))
		fprintf(out, " [%s]", now.name);
	fputc('\n', out);
	return 0;
}

static int store_policy(void *arg, const char *text)
{
	const struct place *p = arg;
	const struct hvo_policy *each;
	unsigned int i;

	for (i = 0; (each = hvo_policy_get(i)); i++)
		if (word_is(text, each->name))
			return hvo_pool_set_policy(p->pool, each);
	return -EINVAL;
}

static int show_scope(void *arg, FILE *out)
{
	const struct place *p = arg;
	int now = hvo_pool_fold_scope(p->pool);
	const char *name;
	unsigned int i;

	if (now < 0)
		return now;
	for (i = 0; (name = hvo_fold_scope_name(i)); i++)
		fprintf(out, i == (unsigned int)now ? "%s[%s]" : "%s%s", i ? " " : "", name);
	fputc('\n', out);
	return 0;
}

static int store_scope(void *arg, const char *text)
{
	const struct place *p = arg;
	const char *name;
	unsigned int i;

	for (i = 0; (name = hvo_fold_scope_name(i)); i++)
		if (word_is(text, name))
			return hvo_pool_set_fold_scope(p->pool, (enum hvo_fold_scope)i);
	return -EINVAL;
}

/* ---- sys: all nodes, and one --------------------------------------------------------- */

static const struct tree_row global_files[] = {
	RO("free_hugepages", show_free),
	RW("nr_hugepages", show_total, store_nr),
	/* Nobody's memory policy is known here: as one that allows all nodes. */
	RW("nr_hugepages_mempolicy", show_total, store_nr),
	RW("nr_overcommit_hugepages", show_overcommit, store_overcommit),
	RO("resv_hugepages", show_reserved),
	RO("surplus_hugepages", show_surplus),
	/* not the kernel's */
	RO("carved_frames", show_carved),
	RO("deferred_hugepages", show_deferred),
	RO("folded_hugepages", show_folded),
	RO("poisoned_hugepages", show_poisoned),
	RO("refused_frees", show_refused),
};

static const struct tree_row node_files[] = {
	RO("free_hugepages", show_free),
	RW("nr_hugepages", show_total, store_nr),
	RO("surplus_hugepages", show_surplus),
	/* not the kernel's */
	RO("folded_hugepages", show_folded),
	RO("poisoned_hugepages", show_poisoned),
};

/* Not the kernel's either; on-demand mode has no use for them. */
static const struct tree_row linux_files[] = {
	RW("fold_scope", show_scope, store_scope),
	RO("move_restores", show_move_restores),
	RO("moves_refused", show_moves_refused),
	RO("out_of_scope_hugepages", show_out_of_scope),
	RW("restore_policy", show_policy, store_policy),
};

/* Of a pool that has a smaller one, everywhere. */
static const struct tree_row demote_files[] = {
	WO("demote", store_demote),
	RW("demote_size", show_demote_size, store_demote_size),
};

static int add_pool_dir(struct tree *t, struct hvo_pool *pool, unsigned int order, int node)
{
	const struct place about = { .pool = pool, .order = order, .node = node };
	char dir[128];
	int rc;

	if (node < 0)
		(void)snprintf(dir, sizeof(dir), "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB",
			       (HVO_FRAME_SIZE >> 10) << order);
	else
		(void)snprintf(dir, sizeof(dir),
			       "/sys/devices/system/node/node%d/hugepages/hugepages-%" PRIu64 "kB",
			       node, (HVO_FRAME_SIZE >> 10) << order);
	rc = node < 0 ? add_dir(t, &about, global_files, NR_OF(global_files), "%s", dir) :
			add_dir(t, &about, node_files, NR_OF(node_files), "%s", dir);
	if (!rc && node < 0 && !on_demand(t))
		rc = add_dir(t, &about, linux_files, NR_OF(linux_files), "%s", dir);
	if (!rc && hvo_pool_demote_order(pool) > 0)
		rc = add_dir(t, &about, demote_files, NR_OF(demote_files), "%s", dir);
	return rc;
}

/* ---- proc/sys/vm ------------------------------------------------------------------------ */

static int store_sysctl_nr(void *arg, const char *text)
{
	const struct place *p = arg;
	uint64_t nr;
	int rc = parse_sysctl_ulong(text, &nr);

	return rc ? rc : hvo_pool_resize(p->pool, p->node, nr, NULL);
}

static int store_sysctl_overcommit(void *arg, const char *text)
{
	const struct place *p = arg;
	uint64_t nr;
	int rc = parse_sysctl_ulong(text, &nr);

	return rc ? rc : hvo_pool_set_overcommit(p->pool, nr);
}

static int show_shm_group(void *arg, FILE *out)
{
	const struct place *p = arg;

	fprintf(out, "%d\n", atomic_load(&p->tree->shm_group));
	return 0;
}

static int store_shm_group(void *arg, const char *text)
{
	const struct place *p = arg;
	int gid, rc = parse_sysctl_int(text, &gid);

	if (!rc)
		atomic_store(&p->tree->shm_group, gid);
	return rc;
}

static int show_optimize(void *arg, FILE *out)
{
	const struct place *p = arg;

	return show_number(out, on_demand(p->tree) || hvo_optimize(p->tree->m));
}

static int store_optimize(void *arg, const char *text)
{
	const struct place *p = arg;
	int on, rc = parse_sysctl_int(text, &on);

	/* Folding is what on-demand mode is made of. */
	if (!rc && !on && on_demand(p->tree))
		rc = -EINVAL;
	if (!rc)
		hvo_set_optimize(p->tree->m, on);
	return rc;
}

/* Any number but 0 is yes, and the number is kept, unless the machine's owner changed that. */
static int show_movable_gigantic(void *arg, FILE *out)
{
	struct tree *t = ((const struct place *)arg)->tree;
	int number = atomic_load(&t->movable_gigantic);
	bool on = hvo_movable_gigantic(t->m);

	fprintf(out, "%d\n", on == !!number ? number : on);
	return 0;
}

static int store_movable_gigantic(void *arg, const char *text)
{
	struct tree *t = ((const struct place *)arg)->tree;
	int number, rc = parse_sysctl_int(text, &number);

	if (rc)
		return rc;
	atomic_store(&t->movable_gigantic, number);
	hvo_set_movable_gigantic(t->m, number);
	return 0;
}

static const struct tree_row sysctl_files[] = {
	RW("hugetlb_optimize_vmemmap", show_optimize, store_optimize),
	RW("hugetlb_shm_group", show_shm_group, store_shm_group),
	RW("movable_gigantic_pages", show_movable_gigantic, store_movable_gigantic),
	RW("nr_hugepages", show_persistent, store_sysctl_nr),
	RW("nr_hugepages_mempolicy", show_persistent, store_sysctl_nr),
	RW("nr_overcommit_hugepages", show_overcommit, store_sysctl_overcommit),
};

static int add_sysctls(struct tree *t)
{
	const struct place about = { .pool = hvo_pool_find(t->m, t->default_order),
				     .order = t->default_order,
				     .node = HVO_NODE_ANY };

	return add_dir(t, &about, sysctl_files, NR_OF(sysctl_files), "/proc/sys/vm");
}

int add_hugepages(struct tree *t)
{
	struct hvo_pool *pool;
	unsigned int order = 0;
	int node, rc = 0;

	while (!rc && (pool = next_pool(t, &order)))
		for (node = HVO_NODE_ANY; node < (int)nr_nodes(t) && !rc; node++)
			rc = add_pool_dir(t, pool, order, node);
	return rc || !t->default_order ? rc : add_sysctls(t);
}
