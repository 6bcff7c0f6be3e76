// SPDX-License-Identifier: MIT
/*
 * Figures about what is lent, as files beside the kernel's own.
 */
#include "lend_files.h"
#include "tree/tree.h"

#include <inttypes.h>

static struct hvo_lend_stat stat_of(struct hvo_lend *lend)
{
	struct hvo_lend_stat s = { .size = sizeof(s) };

	(void)hvo_lend_stat(lend, &s);
	return s;
}

static int show_clients(void *arg, FILE *out)
{
	struct hvo_lend_stat s = stat_of(arg);

	fprintf(out, "%" PRIu64 "\n", s.clients);
	return 0;
}

/* For each pool: its page size in kB, pages lent, of them those that wait for memory, or never move. */
static int show_pages(void *arg, FILE *out)
{
	struct hvo_lend_stat s = stat_of(arg);
	unsigned int i;

	for (i = 0; i < HVO_MAX_POOLS && s.pools[i].order; i++)
		fprintf(out,
			"hugepages-%" PRIu64 "kB %" PRIu64 " pending %" PRIu64 " pinned %" PRIu64
			"\n",
			HVO_FRAME_SIZE >> 10 << s.pools[i].order, s.pools[i].lent,
			s.pools[i].pending, s.pools[i].pinned);
	return 0;
}

/* 0 bytes: no limit. */
static int show_limit(void *arg, FILE *out)
{
	struct hvo_lend_stat s = stat_of(arg);

	fprintf(out,
		"clients %" PRIu32 "\nuser_clients %" PRIu32 "\nclient_bytes %" PRIu64
		"\nuser_bytes %" PRIu64 "\n",
		s.max_clients, s.max_user_clients, s.client_bytes, s.user_bytes);
	return 0;
}

static int show_refused(void *arg, FILE *out)
{
	struct hvo_lend_stat s = stat_of(arg);

	fprintf(out, "%" PRIu64 "\n", s.refused);
	return 0;
}

int lend_add_files(struct hvo_lend *lend, struct tree *tree)
{
	static const struct tree_row files[] = {
		{ "clients", { .mode = 0444, .show = show_clients } },
		{ "pages", { .mode = 0444, .show = show_pages } },
		{ "limit", { .mode = 0444, .show = show_limit } },
		{ "refused", { .mode = 0444, .show = show_refused } },
	};

	return tree_add_rows(tree, "/sys/kernel/hvo/lend", files, sizeof(files) / sizeof(files[0]),
			     lend);
}
