// SPDX-License-Identifier: MIT
/*
 * Figures about what is lent, as files beside the kernel's own.
 */
#include "lend.h"
#include "tree/tree.h"

#include <inttypes.h>

static int show_clients(void *arg, FILE *out)
{
	struct lend_stat s;

	lend_stat(arg, &s);
	fprintf(out, "%" PRIu64 "\n", s.clients);
	return 0;
}

/* For each pool: its page size in kB, pages lent, of them pages that wait for memory. */
static int show_pages(void *arg, FILE *out)
{
	struct lend_stat s;
	unsigned int i;

	lend_stat(arg, &s);
	for (i = 0; i < HVO_MAX_POOLS && s.pools[i].order; i++)
		fprintf(out, "hugepages-%" PRIu64 "kB %" PRIu64 " pending %" PRIu64 "\n",
			HVO_FRAME_SIZE >> 10 << s.pools[i].order, s.pools[i].lent,
			s.pools[i].pending);
	return 0;
}

/* 0 bytes: no limit. */
static int show_limit(void *arg, FILE *out)
{
	const struct lend_options *opt = lend_options(arg);

	fprintf(out,
		"clients %" PRIu32 "\nuser_clients %" PRIu32 "\nclient_bytes %" PRIu64
		"\nuser_bytes %" PRIu64 "\n",
		opt->max_clients, opt->max_user_clients, opt->client_bytes, opt->user_bytes);
	return 0;
}

static int show_refused(void *arg, FILE *out)
{
	struct lend_stat s;

	lend_stat(arg, &s);
	fprintf(out, "%" PRIu64 "\n", s.refused);
	return 0;
}

int lend_add_files(struct lend *lend, struct tree *tree)
{
	static const struct {
		const char *path;
		struct tree_file file;
	} files[] = {
		{ "/sys/kernel/hvo/lend/clients", { .mode = 0444, .show = show_clients } },
		{ "/sys/kernel/hvo/lend/pages", { .mode = 0444, .show = show_pages } },
		{ "/sys/kernel/hvo/lend/limit", { .mode = 0444, .show = show_limit } },
		{ "/sys/kernel/hvo/lend/refused", { .mode = 0444, .show = show_refused } },
	};
	size_t i;
	int rc = 0;

	for (i = 0; !rc && i < sizeof(files) / sizeof(files[0]); i++)
		rc = tree_add(tree, files[i].path, &files[i].file, lend);
	return rc;
}
