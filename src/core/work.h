/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_WORK_H
#define HVO_CORE_WORK_H

#include "machine.h"

/*
 * Finish deferred frees and healing for an allocation that found no memory. False: the memmap lock
 * is taken, perhaps by the caller, or there was nothing to finish.
 */
bool work_under_pressure(struct hvo_machine *m);

#endif
