/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_WORK_H
#define HVO_CORE_WORK_H

#include "machine.h"

/* An allocation found nothing: finish what was deferred, unless the caller may be doing it. */
bool work_under_pressure(struct hvo_machine *m);

#endif
