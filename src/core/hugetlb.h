/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_HUGETLB_H
#define HVO_CORE_HUGETLB_H

#include "machine.h"

/* The last reference on a huge page is gone. */
void hugetlb_release(struct hvo_machine *m, hvo_pfn_t pfn, unsigned int order);

bool policy_valid(const struct hvo_policy *policy);

#endif
