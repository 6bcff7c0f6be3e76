/* SPDX-License-Identifier: MIT */
#include "files.h"

#include "program.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

char dir[64];

void put(const char *text, const char *fmt, ...)
{
	char path[512];
	va_list va;
	size_t len;
	char *p;
	FILE *f;

	len = (size_t)snprintf(path, sizeof(path), "%s/", dir);
	va_start(va, fmt);
	(void)vsnprintf(path + len, sizeof(path) - len, fmt, va);
	va_end(va);
	for (p = path + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		assert_true(!mkdir(path, 0755) || errno == EEXIST);
	}
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

int make_dir(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/hvo-test-XXXXXX");
	return mkdtemp(dir) ? 0 : 1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int remove_dir(void **state)
{
	(void)state;
	return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
