// SPDX-License-Identifier: MIT
/*
 * The main() of a target that no fuzzer drives: each file of its corpus, or of the command line, is
 * one test, which passes if its execution comes to its end.
 */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST ((size_t)1 << 16)

static unsigned int passed, failed;

static void run_file(const char *path)
{
	uint8_t *data = malloc(LONGEST);
	FILE *f = fopen(path, "re");
	size_t size;

	if (!f || !data) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		failed++;
	} else {
		size = fread(data, 1, LONGEST, f);
		/* The last line of a program that ends here says where. */
		printf("[ RUN      ] %s\n", path);
		fflush(stdout);
		LLVMFuzzerTestOneInput(data, size);
		passed++;
	}
	if (f)
		fclose(f);
	free(data);
}

static int is_file(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void run_dir(const char *dir)
{
	struct dirent **entries = NULL;
	char path[4096];
	int nr = scandir(dir, &entries, is_file, alphasort), i;

	if (nr < 0) {
		fprintf(stderr, "%s: %s\n", dir, strerror(errno));
		failed++;
	}
	for (i = 0; i < nr; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name);
		run_file(path);
		free(entries[i]);
	}
	free(entries);
}

int main(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		run_file(argv[i]);
	if (argc < 2)
		run_dir(HVO_CORPUS);
	/* As cmocka counts. */
	printf("[  PASSED  ] %u test(s).\n", passed);
	if (failed)
		printf("[  FAILED  ] %u test(s)\n", failed);
	return failed || !passed;
}
