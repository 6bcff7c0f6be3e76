// SPDX-License-Identifier: MIT
/* The arena of a served machine: see arena.h. */
#include "arena.h"

#include "common/args.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	enum hvo_linux_memory memory;
	uint32_t page_order;
} kinds[] = {
	{ "memfd", HVO_LINUX_MEMFD, 0 },
	{ "anonymous", HVO_LINUX_ANONYMOUS, 0 },
	{ "hugetlb", HVO_LINUX_HUGETLB, HVO_PAGEBLOCK_ORDER },
	{ "hugetlb:2M", HVO_LINUX_HUGETLB, HVO_PAGEBLOCK_ORDER },
	{ "hugetlb:1G", HVO_LINUX_HUGETLB, HVO_GIGA_ORDER },
};

int arena_parse(const char *value, struct hvo_linux_options *ret)
{
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(value, kinds[i].name))
			continue;
		ret->memory = kinds[i].memory;
		ret->page_order = kinds[i].page_order;
		return 0;
	}
	return args_error("--arena: '%s' is neither memfd, anonymous, hugetlb nor hugetlb:1G",
			  value);
}

static int show_arena(void *arg, FILE *out)
{
	struct hvo_linux_info info = { .size = sizeof(info) };
	int rc = hvo_linux_info(arg, &info);

	if (!rc)
		fprintf(out, "%s\n", kinds[info.memory].name);
	return rc;
}

static int show_bytes(void *arg, FILE *out)
{
	struct hvo_linux_info info = { .size = sizeof(info) };
	int rc = hvo_linux_info(arg, &info);

	if (!rc)
		fprintf(out, "%" PRIu64 "\n", info.backed_bytes);
	return rc;
}

static int show_huge_bytes(void *arg, FILE *out)
{
	struct hvo_linux_info info = { .size = sizeof(info) };
	int rc = hvo_linux_info(arg, &info);

	if (!rc)
		fprintf(out, "%" PRIu64 "\n", info.huge_bytes);
	return rc;
}

int arena_add_files(struct hvo_linux *host, struct tree *tree)
{
	static const struct tree_row files[] = {
		{ "arena", { .mode = 0444, .show = show_arena } },
		{ "arena_bytes", { .mode = 0444, .show = show_bytes } },
		{ "arena_huge_bytes", { .mode = 0444, .show = show_huge_bytes } },
	};

	return tree_add_rows(tree, "/sys/kernel/hvo", files, sizeof(files) / sizeof(files[0]),
			     host);
}
