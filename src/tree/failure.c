// SPDX-License-Identifier: MIT
/*
 * Frames that fail, and that are about to: what rasdaemon and mcelog write their physical
 * address to, and what became of those that failed.
 *
 * Linux: drivers/base/memory.c, soft_offline_page_store(), hard_offline_page_store();
 * mm/memory-failure.c, soft_offline_page(), memory_failure(), action_result().
 */
#include "internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static struct tree *tree_of(void *arg)
{
	return ((const struct place *)arg)->tree;
}

static int parse_frame(const char *text, hvo_pfn_t *ret)
{
	uint64_t address;

	if (parse_address(text, &address))
		return -EINVAL;
	*ret = address >> HVO_FRAME_SHIFT;
	return 0;
}

/* ---- about to fail ----------------------------------------------------------------- */

static int store_soft(void *arg, const char *text, size_t len)
{
	struct tree *t = tree_of(arg);
	enum hvo_section_state state;
	hvo_pfn_t pfn;
	int rc = parse_frame(text, &pfn);

	(void)len;
	if (rc)
		return rc;
	state = hvo_section_state(t->m, pfn);
	if (state == HVO_SECTION_ABSENT)
		return -ENXIO;
	if (state == HVO_SECTION_OFFLINE)
		return -EIO;
	if (!atomic_load(&t->soft_offline))
		return -EOPNOTSUPP;
	return hvo_soft_offline(t->m, pfn);
}

static int show_enable(void *arg, FILE *out)
{
	fprintf(out, "%d\n", atomic_load(&tree_of(arg)->soft_offline));
	return 0;
}

static int store_enable(void *arg, const char *text, size_t len)
{
	int on, rc = parse_sysctl_int(text, &on);

	(void)len;
	if (rc || (on != 0 && on != 1))
		return -EINVAL;
	atomic_store(&tree_of(arg)->soft_offline, on);
	return 0;
}

/* ---- failed ------------------------------------------------------------------------- */

static int failed_before(struct tree *t, hvo_pfn_t pfn, bool *ret)
{
	int64_t nr = hvo_poisoned(t->m, NULL, 0), i;
	hvo_pfn_t *pfns;

	if (nr < 0)
		return (int)nr;
	pfns = calloc((size_t)nr + 1, sizeof(*pfns));
	if (!pfns)
		return -ENOMEM;
	*ret = false;
	nr = hvo_poisoned(t->m, pfns, (uint64_t)nr);
	for (i = 0; i < nr && !*ret; i++)
		*ret = pfns[i] == pfn;
	free(pfns);
	return 0;
}

/* What is still in use is out of use later, which is success to the kernel, too. */
static int store_hard(void *arg, const char *text, size_t len)
{
	struct tree *t = tree_of(arg);
	bool known = false;
	hvo_pfn_t pfn;
	int rc = parse_frame(text, &pfn);

	(void)len;
	if (rc)
		return rc;
	if (hvo_section_state(t->m, pfn) != HVO_SECTION_ONLINE)
		return -ENXIO;
	rc = failed_before(t, pfn, &known);
	if (rc)
		return rc;
	if (known)
		return -EHWPOISON;
	rc = hvo_memory_failure(t->m, pfn);
	switch (rc) {
	case -HVO_EBUSY:
		return 0;
	case -HVO_ENOMEM:
	case -HVO_ENOSPC:
		return -EBUSY;
	case -HVO_EINVAL: /* it went offline just now */
		return -ENXIO;
	default:
		return rc;
	}
}

/* name_ is a field of struct hvo_failure_stat. */
#define STAT(name_)                                                                                \
	static int show_##name_(void *arg, FILE *out)                                              \
	{                                                                                          \
		struct hvo_failure_stat stat = { .size = sizeof(stat) };                           \
                                                                                                   \
		(void)hvo_failure_stat(tree_of(arg)->m, ((const struct place *)arg)->node, &stat); \
		fprintf(out, "%" PRIu64 "\n", stat.name_);                                         \
		return 0;                                                                          \
	}

STAT(total)
STAT(recovered)
STAT(delayed)
STAT(failed)

/* A machine follows up on all of them, where the kernel gives up on its own memory. */
static int show_ignored(void *arg, FILE *out)
{
	(void)arg;
	fputs("0\n", out);
	return 0;
}

static const struct tree_row memory_files[] = {
	WO("hard_offline_page", store_hard),
	WO("soft_offline_page", store_soft),
};

static const struct tree_row vm_files[] = {
	RW("enable_soft_offline", show_enable, store_enable),
};

static const struct tree_row node_files[] = {
	RO("delayed", show_delayed),	 RO("failed", show_failed), RO("ignored", show_ignored),
	RO("recovered", show_recovered), RO("total", show_total),
};

int add_failure(struct tree *t)
{
	struct place *p = place_new(t);
	char dir[96];
	int node, rc = p ? 0 : -ENOMEM;

	atomic_init(&t->soft_offline, 1);
	if (!rc)
		rc = add_rows(t, "/sys/devices/system/memory", memory_files, NR_OF(memory_files),
			      p);
	if (!rc)
		rc = add_rows(t, "/proc/sys/vm", vm_files, NR_OF(vm_files), p);
	for (node = 0; node < (int)nr_nodes(t) && !rc; node++) {
		p = place_new(t);
		if (!p)
			return -ENOMEM;
		p->node = node;
		(void)snprintf(dir, sizeof(dir), "/sys/devices/system/node/node%d/memory_failure",
			       node);
		rc = add_rows(t, dir, node_files, NR_OF(node_files), p);
	}
	return rc;
}
