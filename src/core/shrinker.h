/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_SHRINKER_H
#define HVO_CORE_SHRINKER_H

#include "machine.h"

/* Ask for @nr_frames; returns how many frames were freed. */
uint64_t call_shrinkers(struct hvo_machine *m, uint64_t nr_frames);

/* Ask the notifier, if there is one; returns how many frames were freed. */
uint64_t call_oom_notifier(struct hvo_machine *m, unsigned int order);

#endif
