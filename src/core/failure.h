/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_FAILURE_H
#define HVO_CORE_FAILURE_H

#include "machine.h"

/*
 * Try again to take each failed frame that is in use out of use, up to @max frames; returns how
 * many went out. Takes the memmap lock itself, and calls owners without any lock.
 */
uint64_t poison_work(struct hvo_machine *m, uint64_t max);

#endif
