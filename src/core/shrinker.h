/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_SHRINKER_H
#define HVO_CORE_SHRINKER_H

#include "machine.h"

/* Ask the shrinkers for @nr_frames frames; returns how many were freed. No spin lock held. */
uint64_t call_shrinkers(struct hvo_machine *m, uint64_t nr_frames);

/* Ask the notifier, if one is set; returns how many frames were freed. No spin lock held. */
uint64_t call_oom_notifier(struct hvo_machine *m, unsigned int order);

#endif
