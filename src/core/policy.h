/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_POLICY_H
#define HVO_CORE_POLICY_H

#include "machine.h"

/* Has a policy a name, known flags, and 1 to HVO_POLICY_STEPS steps that can be done? */
bool policy_valid(const struct hvo_policy *policy);

#endif
