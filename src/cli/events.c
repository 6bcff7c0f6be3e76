// SPDX-License-Identifier: MIT
#include "events.h"

static const char *const names[HVO_EVENT_NR] = {
	[HVO_EVENT_ALLOC_FAILED] = "alloc_failed",
	[HVO_EVENT_FREE_REFUSED] = "free_refused",
	[HVO_EVENT_CARVED] = "carved",
	[HVO_EVENT_FOLD_FAILED] = "fold_failed",
	[HVO_EVENT_RESTORE_FAILED] = "restore_failed",
	[HVO_EVENT_CUT] = "cut",
	[HVO_EVENT_COLLAPSED] = "collapsed",
	[HVO_EVENT_HEALED] = "healed",
	[HVO_EVENT_POISONED] = "poisoned",
};

/* Also under the machine's spin locks. */
static void count(void *arg, const struct hvo_event_record *event)
{
	struct events *events = arg;

	if ((unsigned int)event->event < HVO_EVENT_NR)
		atomic_fetch_add_explicit(&events->nr[event->event], 1, memory_order_relaxed);
}

void events_count(struct events *events, struct box *box)
{
	if (box->on_sim)
		hvo_sim_set_trace(box->on_sim, count, events);
	else
		hvo_linux_set_trace(box->on_linux, count, events);
}

const char *events_name(enum hvo_event event)
{
	return names[event];
}

static int show(void *arg, FILE *out)
{
	struct events *events = arg;
	unsigned int i;

	for (i = 0; i < HVO_EVENT_NR; i++)
		fprintf(out, "%s %llu\n", names[i], atomic_load(&events->nr[i]));
	return 0;
}

int events_add(struct events *events, struct tree *tree)
{
	static const struct tree_file file = { .mode = 0444, .show = show };

	return tree_add(tree, "/sys/kernel/hvo/events", &file, events);
}
