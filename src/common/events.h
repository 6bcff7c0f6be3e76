/* SPDX-License-Identifier: MIT */
#ifndef HVO_COMMON_EVENTS_H
#define HVO_COMMON_EVENTS_H

#include "box.h"
#include "tree/tree.h"

#include <stdatomic.h>

/* The events of a machine, counted, and as the file sys/kernel/hvo/events of its tree. */
struct events {
	atomic_ullong nr[HVO_EVENT_NR];
};

/* From now on, until the machine is closed. One for a machine. */
void events_count(struct events *events, struct box *box);
/* As in that file. */
const char *events_name(enum hvo_event event);
/* What tree_add() says. */
int events_add(struct events *events, struct tree *tree);

#endif
