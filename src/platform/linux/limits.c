// SPDX-License-Identifier: MIT
/*
 * What the system allows, read from /proc and /sys: memory (of the host and of the
 * memory cgroups, v1 and v2, up to the root), mappings, huge pages. Populating
 * more memory than there is ends with the out-of-memory killer, not with an error,
 * so it must be known before.
 *
 * What cannot be read counts as no limit. States: none. Locks: none.
 */
#include "host.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* struct cgroup - file names of a version of the memory controller */
struct cgroup {
	const char *fstype;
	const char *limit, *usage;
	const char *inactive, *active; /* page cache, which is given back on demand */
};

static const struct cgroup cgroups[] = {
	{ "cgroup", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file",
	  "total_active_file" },
	{ "cgroup2", "memory.max", "memory.current", "inactive_file", "active_file" },
};

/* First number after @key at the start of a line; @key "" is the file's first number. */
bool hvo_linux_read_number(const char *path, const char *key, uint64_t *ret)
{
	size_t len = strlen(key);
	char line[256];
	bool found = false;
	FILE *f;

	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, len))
			continue;
		if (len && line[len] != ' ' && line[len] != ':')
			continue;
		found = sscanf(line + len + (line[len] == ':'), "%" SCNu64, ret) == 1;
		if (!len)
			break;
	}
	fclose(f);
	return found;
}

static bool cgroup_number(const char *dir, const char *file, const char *key, uint64_t *ret)
{
	char *path;
	bool found;

	if (asprintf(&path, "%s/%s", dir, file) < 0)
		return false;
	found = hvo_linux_read_number(path, key, ret);
	free(path);
	return found;
}

/* Room in one group, not looking at its parents. */
static uint64_t cgroup_room(const struct cgroup *cg, const char *dir)
{
	uint64_t limit, usage, cache = 0, n;

	if (!cgroup_number(dir, cg->limit, "", &limit) ||
	    !cgroup_number(dir, cg->usage, "", &usage))
		return UINT64_MAX;
	if (cgroup_number(dir, "memory.stat", cg->inactive, &n))
		cache += n;
	if (cgroup_number(dir, "memory.stat", cg->active, &n))
		cache += n;
	usage -= cache < usage ? cache : usage;
	return limit > usage ? limit - usage : 0;
}

#define NAME_LEN 2048
struct names {
	char mount[NAME_LEN], root[NAME_LEN], path[NAME_LEN], dir[2 * NAME_LEN];
};

/* Where the hierarchy is mounted, and which of its groups is the root there. */
static bool cgroup_mount(const struct cgroup *cg, char *mount, char *root)
{
	char *line = NULL, *tail, fstype[32], opts[1024];
	size_t size = 0;
	bool found = false;
	FILE *f;

	f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return false;
	while (!found && getline(&line, &size, f) > 0) {
		tail = strstr(line, " - ");
		if (!tail || sscanf(tail, " - %31s %*s %1023s", fstype, opts) != 2)
			continue;
		if (strcmp(fstype, cg->fstype))
			continue;
		if (!strcmp(fstype, "cgroup") && !strstr(opts, "memory"))
			continue;
		found = sscanf(line, "%*s %*s %*s %2047s %2047s", root, mount) == 2;
	}
	free(line);
	fclose(f);
	return found;
}

/* This process's group: "4:memory:/path", or "0::/path" for v2. */
static bool cgroup_path(const struct cgroup *cg, char *path)
{
	bool v2 = !strcmp(cg->fstype, "cgroup2"), found = false;
	char *line = NULL, *controllers, *rest;
	size_t size = 0;
	FILE *f;

	f = fopen("/proc/self/cgroup", "re");
	if (!f)
		return false;
	while (!found && getline(&line, &size, f) > 0) {
		controllers = strchr(line, ':');
		rest = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!rest)
			continue;
		*rest++ = '\0';
		rest[strcspn(rest, "\n")] = '\0';
		found = v2 ? !controllers[1] : strstr(controllers + 1, "memory") != NULL;
		if (found && snprintf(path, NAME_LEN, "%s", rest) >= NAME_LEN)
			found = false;
	}
	free(line);
	fclose(f);
	return found;
}

/* Least room of the group and its parents. */
static uint64_t cgroup_walk(const struct cgroup *cg, struct names *names)
{
	uint64_t room = UINT64_MAX, n;
	size_t skip;
	char *slash;

	if (!cgroup_mount(cg, names->mount, names->root) || !cgroup_path(cg, names->path))
		return UINT64_MAX;
	/* In a container the mount may show a subtree only, under the host's names. */
	skip = strcmp(names->root, "/") ? strlen(names->root) : 0;
	if (strncmp(names->path, names->root, skip)) {
		skip = 0;
		names->path[0] = '\0';
	}
	snprintf(names->dir, sizeof(names->dir), "%s%s", names->mount, names->path + skip);
	for (;;) {
		n = cgroup_room(cg, names->dir);
		room = n < room ? n : room;
		slash = strrchr(names->dir, '/');
		if (!slash || slash < names->dir + strlen(names->mount))
			break;
		*slash = '\0';
	}
	return room;
}

static uint64_t cgroup_available(const struct cgroup *cg)
{
	struct names *names = calloc(1, sizeof(*names));
	uint64_t room = names ? cgroup_walk(cg, names) : UINT64_MAX;

	free(names);
	return room;
}

/* Bytes that this process can allocate now without anyone being killed for it. */
uint64_t hvo_linux_memory_available(void)
{
	uint64_t room = UINT64_MAX, n;
	size_t i;

	if (hvo_linux_read_number("/proc/meminfo", "MemAvailable", &n))
		room = n << 10;
	for (i = 0; i < sizeof(cgroups) / sizeof(cgroups[0]); i++) {
		n = cgroup_available(&cgroups[i]);
		room = n < room ? n : room;
	}
	return room;
}

uint64_t hvo_linux_max_map_count(void)
{
	uint64_t n;

	return hvo_linux_read_number("/proc/sys/vm/max_map_count", "", &n) ? n : 65530;
}

/* Would asking for huge pages in shared memory do anything? */
bool hvo_linux_thp_allowed(void)
{
	char line[256] = "";
	FILE *f;

	f = fopen("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "re");
	if (!f)
		return false;
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	return strchr(line, '[') && !strstr(line, "[never]") && !strstr(line, "[deny]");
}
