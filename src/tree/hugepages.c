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

static int show_number(FILE *out, uint64_t n)
{
	fprintf(out, "%" PRIu64 "\n", n);
	return 0;
}

static bool on_demand(const struct tree *t)
{
	return hvo_machine_config(t->m)->mode == HVO_ON_DEMAND;
}

/* ---- counters ------------------------------------------------------------------- */

static struct hvo_pool_stat stat_of(const struct place *p)
{
	struct hvo_pool_stat stat = { .size = sizeof(stat) };

	pool_stat(p->pool, p->node, &stat);
	return stat;
}

static int show_total(void *arg, FILE *out)
{
	return show_number(out, stat_of(arg).total);
}

static int show_persistent(void *arg, FILE *out)
{
	struct hvo_pool_stat stat = stat_of(arg);

	return show_number(out, stat.total - stat.surplus);
}

static int show_free(void *arg, FILE *out)
{
	return show_number(out, stat_of(arg).free);
}

static int show_surplus(void *arg, FILE *out)
{
	return show_number(out, stat_of(arg).surplus);
}

static int show_reserved(void *arg, FILE *out)
{
	return show_number(out, stat_of(arg).reserved);
}

static int show_overcommit(void *arg, FILE *out)
{
	return show_number(out, stat_of(arg).overcommit);
}

static int show_folded(void *arg, FILE *out)
{
	return show_number(out, stat_of(arg).optimized);
}

static int show_poisoned(void *arg, FILE *out)
{
	return show_number(out, stat_of(arg).poisoned);
}

static int show_deferred(void *arg, FILE *out)
{
	return show_number(out, stat_of(arg).deferred);
}

static int show_refused(void *arg, FILE *out)
{
	return show_number(out, stat_of(arg).refused_total);
}

static int show_carved(void *arg, FILE *out)
{
	const struct place *p = arg;

	return show_number(out, stat_of(p).carved_total * HVO_BLOCK_TAILS
					<< (p->order - HVO_BLOCK_ORDER));
}

static int show_out_of_scope(void *arg, FILE *out)
{
	return show_number(out, stat_of(arg).out_of_scope_total);
}

static int show_move_restores(void *arg, FILE *out)
{
	return show_number(out, stat_of(arg).move_restores_total);
}

static int show_moves_refused(void *arg, FILE *out)
{
	return show_number(out, stat_of(arg).moves_refused_total);
}

/* ---- changing a pool -------------------------------------------------------------- */

static int store_nr(void *arg, const char *text, size_t len)
{
	const struct place *p = arg;
	uint64_t nr;
	int rc = parse_ulong(text, &nr);

	(void)len;
	return rc ? rc : hvo_pool_resize(p->pool, p->node, nr, NULL);
}

static int store_overcommit(void *arg, const char *text, size_t len)
{
	const struct place *p = arg;
	uint64_t nr;
	int rc = parse_ulong(text, &nr);

	(void)len;
	return rc ? rc : hvo_pool_set_overcommit(p->pool, nr);
}

static int store_demote(void *arg, const char *text, size_t len)
{
	const struct place *p = arg;
	uint64_t nr, done;
	int rc = parse_ulong(text, &nr);

	(void)len;
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

static int store_demote_size(void *arg, const char *text, size_t len)
{
	const struct place *p = arg;
	uint64_t size = parse_size(text);
	unsigned int order = HVO_BLOCK_ORDER;

	(void)len;
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

static int store_policy(void *arg, const char *text, size_t len)
{
	const struct place *p = arg;
	const struct hvo_policy *each;
	unsigned int i;

	(void)len;
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

static int store_scope(void *arg, const char *text, size_t len)
{
	const struct place *p = arg;
	const char *name;
	unsigned int i;

	(void)len;
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
	struct place *p = place_new(t);
	char dir[128];
	int rc;

	if (!p)
		return -ENOMEM;
	p->pool = pool;
	p->order = order;
	p->node = node;
	if (node < 0)
		(void)snprintf(dir, sizeof(dir), "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB",
			       (HVO_FRAME_SIZE >> 10) << order);
	else
		(void)snprintf(dir, sizeof(dir),
			       "/sys/devices/system/node/node%d/hugepages/hugepages-%" PRIu64 "kB",
			       node, (HVO_FRAME_SIZE >> 10) << order);
	rc = node < 0 ? add_rows(t, dir, global_files, NR_OF(global_files), p) :
			add_rows(t, dir, node_files, NR_OF(node_files), p);
	if (!rc && node < 0 && !on_demand(t))
		rc = add_rows(t, dir, linux_files, NR_OF(linux_files), p);
	if (!rc && hvo_pool_demote_order(pool) > 0)
		rc = add_rows(t, dir, demote_files, NR_OF(demote_files), p);
	return rc;
}

/* ---- proc/sys/vm ------------------------------------------------------------------------ */

static int store_sysctl_nr(void *arg, const char *text, size_t len)
{
	const struct place *p = arg;
	uint64_t nr;
	int rc = parse_sysctl_ulong(text, &nr);

	(void)len;
	return rc ? rc : hvo_pool_resize(p->pool, p->node, nr, NULL);
}

static int store_sysctl_overcommit(void *arg, const char *text, size_t len)
{
	const struct place *p = arg;
	uint64_t nr;
	int rc = parse_sysctl_ulong(text, &nr);

	(void)len;
	return rc ? rc : hvo_pool_set_overcommit(p->pool, nr);
}

static int show_shm_group(void *arg, FILE *out)
{
	const struct place *p = arg;

	fprintf(out, "%d\n", atomic_load(&p->tree->shm_group));
	return 0;
}

static int store_shm_group(void *arg, const char *text, size_t len)
{
	const struct place *p = arg;
	int gid, rc = parse_sysctl_int(text, &gid);

	(void)len;
	if (!rc)
		atomic_store(&p->tree->shm_group, gid);
	return rc;
}

static int show_optimize(void *arg, FILE *out)
{
	const struct place *p = arg;

	return show_number(out, on_demand(p->tree) || hvo_optimize(p->tree->m));
}

static int store_optimize(void *arg, const char *text, size_t len)
{
	const struct place *p = arg;
	int on, rc = parse_sysctl_int(text, &on);

	(void)len;
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

static int store_movable_gigantic(void *arg, const char *text, size_t len)
{
	struct tree *t = ((const struct place *)arg)->tree;
	int number, rc = parse_sysctl_int(text, &number);

	(void)len;
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
	struct place *p = place_new(t);

	if (!p)
		return -ENOMEM;
	p->order = t->default_order;
	p->pool = hvo_pool_find(t->m, t->default_order);
	return add_rows(t, "/proc/sys/vm", sysctl_files, NR_OF(sysctl_files), p);
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
