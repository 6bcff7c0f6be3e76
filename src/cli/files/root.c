// SPDX-License-Identifier: MIT
/*
 * Reading and writing the small files in which a kernel tells about its memory.
 */
#include "root.h"

#include "path/path.h"
#include "tree/tree.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define READ_FIRST 4096u
#define READ_MAX (UINT64_C(64) << 20)

int root_open(struct root *root, const char *dir)
{
	int fd = path_open_dir(dir);

	if (fd < 0)
		return fd;
	root->fd = fd;
	root->own = !strcmp(dir, "/");
	root->tree = NULL;
	return 0;
}

void root_of_tree(struct root *root, struct tree *tree)
{
	root->fd = -1;
	root->tree = tree;
}

void root_close(struct root *root)
{
	if (root->fd >= 0)
		close(root->fd);
	root->fd = -1;
	root->tree = NULL;
}

static int make_path(char path[ROOT_PATH_MAX], const char *fmt, va_list args)
{
	int n = vsnprintf(path, ROOT_PATH_MAX, fmt, args);

	return n < 0 || n >= ROOT_PATH_MAX ? -ENAMETOOLONG : 0;
}

/*
 * Links in it lead to what is in it, as for who has that directory for "/": a kernel's tree has
 * some, and another user's is not to lead elsewhere.
 */
static int open_in_root(const struct root *root, int flags, const char *path)
{
	int all = flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	struct open_how how = { .flags = (unsigned int)all, .resolve = RESOLVE_IN_ROOT };
	long fd;

	do {
		fd = syscall(SYS_openat2, root->fd, *path ? path : ".", &how, sizeof(how));
	} while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	/* Before Linux 5.6, or where it is forbidden: one's own "/" needs none of that. */
	if (fd < 0 && (errno == ENOSYS || errno == EPERM) && root->own)
		fd = openat(root->fd, *path ? path : ".", all);
	return fd < 0 ? -errno : (int)fd;
}

/* Directories if @flags say so, else files as a kernel has them: nothing that could wait. */
static int open_path(const struct root *root, int flags, const char *path)
{
	int fd = open_in_root(root, flags, path);
	struct stat st;

	if (fd < 0 || flags & O_DIRECTORY)
		return fd;
	if (fstat(fd, &st))
		st.st_mode = 0;
	if (S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
}

/* ---- reading --------------------------------------------------------------- */

static int read_some(int fd, char *buf, size_t len, size_t *ret)
{
	ssize_t n;

	do {
		n = read(fd, buf, len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*ret = (size_t)n;
	return 0;
}

static int read_all(int fd, char **ret)
{
	size_t size = READ_FIRST, len = 0, n = 1;
	char *buf = malloc(size), *larger;
	int rc = buf ? 0 : -ENOMEM;

	while (!rc && n) {
		if (len + 1 == size) {
			size *= 2;
			larger = size > READ_MAX ? NULL : realloc(buf, size);
			if (!larger) {
				rc = -ENOMEM;
				break;
			}
			buf = larger;
		}
		rc = read_some(fd, buf + len, size - len - 1, &n);
		len += rc ? 0 : n;
	}
	if (rc) {
		free(buf);
		return rc;
	}
	buf[len] = '\0';
	*ret = buf;
	return 0;
}

static int read_path(const struct root *root, char **ret, const char *fmt, va_list args)
{
	char path[ROOT_PATH_MAX];
	int fd, rc = make_path(path, fmt, args);
	size_t len;

	if (rc)
		return rc;
	if (root->tree)
		return tree_read(root->tree, path, ret, &len);
	fd = open_path(root, O_RDONLY, path);
	if (fd < 0)
		return fd;
	rc = read_all(fd, ret);
	close(fd);
	return rc;
}

int root_read(const struct root *root, char **ret, const char *fmt, ...)
{
	va_list args;
	int rc;

	va_start(args, fmt);
	rc = read_path(root, ret, fmt, args);
	va_end(args);
	return rc;
}

static int parse_number(const char *text, uint64_t *ret)
{
	unsigned long long n;
	char *end;

	text += strspn(text, " \t");
	if (!isdigit((unsigned char)*text))
		return -EPROTO;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno)
		return -EPROTO;
	*ret = n;
	return 0;
}

int root_number(const struct root *root, uint64_t *ret, const char *fmt, ...)
{
	char *text = NULL;
	va_list args;
	int rc;

	va_start(args, fmt);
	rc = read_path(root, &text, fmt, args);
	va_end(args);
	if (rc)
		return rc;
	rc = parse_number(text, ret);
	free(text);
	return rc;
}

int root_field(const char *text, const char *key, uint64_t *ret)
{
	size_t len = strlen(key);
	const char *line = text;

	while (line) {
		const char *next = strchr(line, '\n');

		if (!strncmp(line, key, len) && strchr(": \t", line[len]))
			return parse_number(line + len + strspn(line + len, ":"), ret);
		line = next ? next + 1 : NULL;
	}
	return -ENOENT;
}

bool root_own_number(const char *path, const char *key, uint64_t *ret)
{
	char *text = NULL;
	struct root root;
	int rc = root_open(&root, "/");

	if (rc)
		return false;
	rc = root_read(&root, &text, "%s", path);
	if (!rc)
		rc = key ? root_field(text, key, ret) : parse_number(text, ret);
	free(text);
	root_close(&root);
	return !rc;
}

/* ---- writing ----------------------------------------------------------------- */

int root_write(const struct root *root, const char *text, const char *fmt, ...)
{
	char path[ROOT_PATH_MAX];
	size_t len = strlen(text);
	va_list args;
	ssize_t n;
	int fd, rc;

	va_start(args, fmt);
	rc = make_path(path, fmt, args);
	va_end(args);
	if (rc)
		return rc;
	if (root->tree)
		return tree_write(root->tree, path, text, len);
	fd = open_path(root, O_WRONLY, path);
	if (fd < 0)
		return fd;
	do {
		n = write(fd, text, len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		rc = -errno;
	else if ((size_t)n != len)
		rc = -EIO;
	if (close(fd) && !rc)
		rc = -errno;
	return rc;
}

/* ---- directories --------------------------------------------------------------- */

/* node2 before node10, hugepages-2048kB before hugepages-1048576kB. */
static int compare_names(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

struct names {
	char **name;
	size_t nr;
};

static void names_free(struct names *names)
{
	while (names->nr)
		free(names->name[--names->nr]);
	free(names->name);
}

static int names_add(struct names *names, const char *name)
{
	char **more = reallocarray(names->name, names->nr + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	names->name = more;
	names->name[names->nr] = strdup(name);
	if (!names->name[names->nr])
		return -ENOMEM;
	names->nr++;
	return 0;
}

struct prefixed {
	struct names *names;
	const char *prefix;
};

static int add_prefixed(void *arg, const char *name, mode_t mode)
{
	const struct prefixed *p = arg;

	(void)mode;
	if (name[0] == '.' || strncmp(name, p->prefix, strlen(p->prefix)) != 0)
		return 0;
	return names_add(p->names, name);
}

static int read_dir(int fd, struct prefixed *p)
{
	const struct dirent *entry;
	DIR *dir = fdopendir(fd);
	int rc = 0;

	if (!dir) {
		rc = -errno;
		close(fd);
		return rc;
	}
	errno = 0;
	while (!rc && (entry = readdir(dir)))
		rc = add_prefixed(p, entry->d_name, 0);
	if (!rc)
		rc = -errno;
	closedir(dir);
	return rc;
}

int root_list(const struct root *root, const char *prefix, int (*each)(void *arg, const char *name),
	      void *arg, const char *fmt, ...)
{
	struct names names = { NULL, 0 };
	struct prefixed p = { &names, prefix };
	char path[ROOT_PATH_MAX];
	va_list args;
	size_t i;
	int fd, rc;

	va_start(args, fmt);
	rc = make_path(path, fmt, args);
	va_end(args);
	if (rc)
		return rc;
	if (root->tree) {
		rc = tree_list(root->tree, path, add_prefixed, &p);
	} else {
		fd = open_path(root, O_RDONLY | O_DIRECTORY, path);
		rc = fd < 0 ? fd : read_dir(fd, &p);
	}
	if (!rc && names.nr)
		qsort(names.name, names.nr, sizeof(*names.name), compare_names);
	for (i = 0; !rc && i < names.nr; i++)
		rc = each(arg, names.name[i]);
	names_free(&names);
	return rc;
}
