// SPDX-License-Identifier: MIT
/*
 * Restore policies, as data. One function interprets them: hugetlb_restore_one() in pool_leave.c.
 * What each stands for in the history of the kernel's HVO is in DESIGN.md.
 *
 * Linux: alloc_vmemmap_page_list() in mm/hugetlb_vmemmap.c, over its versions.
 */
#include "policy.h"

#define SIZE sizeof(struct hvo_policy)
#define MAYFAIL (HVO_GFP_KERNEL | HVO_GFP_RETRY_MAYFAIL)
#define NORETRY (HVO_GFP_KERNEL | HVO_GFP_NORETRY)

/* clang-format off */
static const struct hvo_policy policies[] = {
	{ SIZE, "mayfail", 0, 1, { { HVO_RESTORE_ALLOC, MAYFAIL, 0, 0 } } },
	{ SIZE, "mayfail-node", 0, 1, { { HVO_RESTORE_ALLOC, MAYFAIL | HVO_GFP_THISNODE, 0, 0 } } },
	{ SIZE, "noretry", 0, 1, { { HVO_RESTORE_ALLOC, NORETRY | HVO_GFP_THISNODE, 0, 0 } } },
	{ SIZE, "atomic", HVO_POLICY_RETRY, 1, { { HVO_RESTORE_ALLOC, HVO_GFP_ATOMIC, 0, 0 } } },
	{ SIZE, "retry", 0, 1,
	  { { HVO_RESTORE_ALLOC, MAYFAIL | HVO_GFP_THISNODE | HVO_GFP_NOWARN, UINT32_MAX, 100 } } },
	{ SIZE, "oom", HVO_POLICY_RETRY, 2,
	  { { HVO_RESTORE_ALLOC, MAYFAIL, 0, 0 }, { HVO_RESTORE_OOM, MAYFAIL, 0, 0 } } },
	{ SIZE, "carve", HVO_POLICY_RETRY, 2,
	  { { HVO_RESTORE_ALLOC, MAYFAIL | HVO_GFP_NOWARN, 0, 0 }, { HVO_RESTORE_CARVE, 0, 0, 0 } } },
	{ SIZE, "carve-heal", HVO_POLICY_FLAGS, 2,
	  { { HVO_RESTORE_ALLOC, MAYFAIL | HVO_GFP_NOWARN, 0, 0 }, { HVO_RESTORE_CARVE, 0, 0, 0 } } },
};

/* ---- clang-format on ------------------------------------------------------------------------ */

#define NR_POLICIES (sizeof(policies) / sizeof(policies[0]))

const struct hvo_policy *hvo_policy_get(unsigned int index)
{
	return index < NR_POLICIES ? &policies[index] : NULL;
}

static bool same_name(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

const struct hvo_policy *hvo_policy_find(const char *name)
{
	unsigned int i;

	for (i = 0; name && i < NR_POLICIES; i++)
		if (same_name(policies[i].name, name))
			return &policies[i];
	return NULL;
}

bool policy_valid(const struct hvo_policy *policy)
{
	unsigned int i;

	if (policy->flags & ~HVO_POLICY_FLAGS || !policy->nr_steps ||
	    policy->nr_steps > HVO_POLICY_STEPS)
		return false;
	for (i = 0; i < sizeof(policy->name) && policy->name[i]; i++)
		;
	if (!i || i == sizeof(policy->name))
		return false;
	for (i = 0; i < policy->nr_steps; i++) {
		const struct hvo_restore_step *s = &policy->steps[i];

		if (s->source < HVO_RESTORE_ALLOC || s->source > HVO_RESTORE_OOM ||
		    s->gfp & ~HVO_GFP_ALL || s->gfp & HVO_GFP_MOVABLE)
			return false;
	}
	return true;
}
