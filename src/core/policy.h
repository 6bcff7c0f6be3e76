/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_POLICY_H
#define HVO_CORE_POLICY_H

#include "machine.h"

/* Does a policy say what can be done? */
bool policy_valid(const struct hvo_policy *policy);

#endif
