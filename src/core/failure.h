/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_FAILURE_H
#define HVO_CORE_FAILURE_H

#include "machine.h"

/*
 * Look again at every failed frame that is in use: what holds it may give it up by now.
 * Up to @max, returns how many went out. Takes the memmap lock itself, and calls owners without it.
 */
uint64_t poison_work(struct hvo_machine *m, uint64_t max);

#endif
