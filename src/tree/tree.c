// SPDX-License-Identifier: MIT
/*
 * Names, directories, reading and writing: what all files have in common. What is in them is
 * in the other files here, a table for each directory.
 *
 * The tree is built once. What comes and goes (sections of memory) is there from the start,
 * and says whether it exists: so no lock is needed.
 */
#include "internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_LEN 256
#define LARGE_STEP (UINT64_C(1) << 16)

/* ---- nodes ------------------------------------------------------------------- */

static bool node_there(const struct node *n)
{
	size_t i;

	if (n->file)
		return !n->file->there || n->file->there(n->arg);
	for (i = 0; i < n->nr; i++)
		if (node_there(&n->children[i]))
			return true;
	return false;
}

/* node2 before node10: what is added with rising numbers goes to the end. */
static struct node *find_child(const struct node *dir, const char *name, size_t len, size_t *ret_at)
{
	size_t lo = 0, hi = dir->nr;
	char key[PATH_LEN];

	if (len >= sizeof(key))
		return NULL;
	memcpy(key, name, len);
	key[len] = '\0';
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strverscmp(dir->children[mid].name, key);

		if (!c)
			return &dir->children[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret_at = lo;
	return NULL;
}

static int insert_child(struct node *dir, size_t at, const struct node *child, struct node **ret)
{
	if (dir->nr == dir->max) {
		size_t max = dir->max ? 2 * dir->max : 8;
		struct node *more = reallocarray(dir->children, max, sizeof(*more));

		if (!more)
			return -ENOMEM;
		dir->children = more;
		dir->max = max;
	}
	memmove(&dir->children[at + 1], &dir->children[at], (dir->nr - at) * sizeof(*child));
	dir->children[at] = *child;
	dir->nr++;
	*ret = &dir->children[at];
	return 0;
}

static void free_children(struct node *dir)
{
	while (dir->nr)
		free_children(&dir->children[--dir->nr]);
	free(dir->children);
}

/* The next part of a path, and its length; 0 at the end. */
static size_t next_part(const char **path)
{
	*path += strspn(*path, "/");
	return strcspn(*path, "/");
}

static int lookup(struct tree *t, const char *path, struct node **ret)
{
	struct node *n = &t->root;
	size_t len, at;

	for (; (len = next_part(&path)); path += len) {
		if (n->file)
			return -ENOTDIR;
		n = find_child(n, path, len, &at);
		if (!n || !node_there(n))
			return -ENOENT;
	}
	*ret = n;
	return 0;
}

static mode_t node_mode(const struct node *n)
{
	if (!n->file)
		return S_IFDIR | 0755;
	return S_ISLNK(n->file->mode) ? S_IFLNK | 0777 : S_IFREG | n->file->mode;
}

/* ---- building it -------------------------------------------------------------- */

static const char *keep_name(struct tree *t, const char *name, size_t len)
{
	struct text *text = malloc(sizeof(*text) + len + 1);

	if (!text)
		return NULL;
	memcpy(text->data, name, len);
	text->data[len] = '\0';
	text->next = t->names;
	t->names = text;
	return text->data;
}

static int make_child(struct tree *t, struct node *dir, const char *name, size_t len,
		      const struct tree_file *file, void *arg, struct node **ret)
{
	struct node child = { .file = file, .arg = arg };
	struct node *found;
	size_t at = 0;

	if (len >= PATH_LEN)
		return -ENAMETOOLONG;
	found = find_child(dir, name, len, &at);
	if (found) {
		if (file)
			return -EEXIST;
		*ret = found;
		return found->file ? -ENOTDIR : 0;
	}
	child.name = keep_name(t, name, len);
	return child.name ? insert_child(dir, at, &child, ret) : -ENOMEM;
}

int tree_add(struct tree *t, const char *path, const struct tree_file *file, void *arg)
{
	struct node *n = &t->root;
	size_t len = next_part(&path);
	int rc = len ? 0 : -EEXIST;

	/* An empty directory left behind by a failure is not there. */
	while (!rc && len) {
		const char *rest = path + len;
		size_t next = next_part(&rest);

		rc = make_child(t, n, path, len, next ? NULL : file, arg, &n);
		path = rest;
		len = next;
	}
	return rc;
}

struct place *place_new(struct tree *t, const struct place *about)
{
	struct place *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->tree = t;
	p->pool = about->pool;
	p->order = about->order;
	p->node = about->node;
	p->pfn = about->pfn;
	atomic_init(&p->on_memory, t->memmap_on_memory);
	p->next = t->places;
	t->places = p;
	return p;
}

int tree_add_rows(struct tree *t, const char *dir, const struct tree_row *rows, size_t nr,
		  void *arg)
{
	char path[PATH_LEN];
	int rc = 0;
	size_t i;

	for (i = 0; i < nr && !rc; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, rows[i].name);
		rc = tree_add(t, path, &rows[i].file, arg);
	}
	return rc;
}

int add_dir(struct tree *t, const struct place *about, const struct tree_row *rows, size_t nr,
	    const char *fmt, ...)
{
	static const struct place all = { .node = HVO_NODE_ANY };
	struct place *p = place_new(t, about ? about : &all);
	char dir[PATH_LEN];
	va_list args;

	if (!p)
		return -ENOMEM;
	va_start(args, fmt);
	(void)vsnprintf(dir, sizeof(dir), fmt, args);
	va_end(args);
	return tree_add_rows(t, dir, rows, nr, p);
}

int tree_new(struct hvo_machine *m, const struct tree_options *opt, struct tree **ret)
{
	static int (*const parts[])(struct tree * t) = {
		add_hugepages, add_nodes, add_memory, add_proc,
		add_kpage,     add_hvo,	  add_cma,    add_failure,
	};
	const struct hvo_config *cfg = hvo_machine_config(m);
	struct tree *t = calloc(1, sizeof(*t));
	unsigned int order = 0;
	size_t i;
	int rc = t ? 0 : -ENOMEM;

	if (rc)
		return rc;
	t->m = m;
	t->memmap_on_memory = opt && opt->memmap_on_memory;
	t->hotplug_start = cfg->memory_bytes >> HVO_FRAME_SHIFT;
	t->hotplug_end = t->hotplug_start + (cfg->hotplug_bytes >> HVO_FRAME_SHIFT);
	if (next_pool(t, &order))
		t->default_order = order;
	for (i = 0; i < NR_OF(parts) && !rc; i++)
		rc = parts[i](t);
	if (rc)
		tree_free(t);
	else
		*ret = t;
	return rc;
}

void tree_free(struct tree *t)
{
	if (!t)
		return;
	while (t->places) {
		struct place *next = t->places->next;

		free(t->places);
		t->places = next;
	}
	while (t->names) {
		struct text *next = t->names->next;

		free(t->names);
		t->names = next;
	}
	free_children(&t->root);
	free(t);
}

/* ---- using it -------------------------------------------------------------------- */

int tree_mode(struct tree *t, const char *path, mode_t *ret)
{
	struct node *n;
	int rc = lookup(t, path, &n);

	if (!rc)
		*ret = node_mode(n);
	return rc;
}

int tree_list(struct tree *t, const char *path,
	      int (*each)(void *arg, const char *name, mode_t mode), void *arg)
{
	struct node *dir;
	size_t i;
	int rc = lookup(t, path, &dir);

	if (rc)
		return rc;
	if (dir->file)
		return -ENOTDIR;
	for (i = 0; i < dir->nr && !rc; i++)
		if (node_there(&dir->children[i]))
			rc = each(arg, dir->children[i].name, node_mode(&dir->children[i]));
	return rc;
}

static int lookup_file(struct tree *t, const char *path, struct node **ret)
{
	int rc = lookup(t, path, ret);

	return rc ? rc : (*ret)->file ? 0 : -EISDIR;
}

/* A file that is read in pieces, all of it. */
static int show_large(const struct node *n, FILE *out)
{
	uint64_t offset = 0;
	char *buf = malloc(LARGE_STEP);
	ssize_t len = buf ? 1 : -ENOMEM;

	while (len > 0) {
		len = n->file->pread(n->arg, buf, LARGE_STEP, offset);
		if (len > 0 && fwrite(buf, 1, (size_t)len, out) != (size_t)len)
			len = -ENOMEM;
		if (len > 0)
			offset += (uint64_t)len;
	}
	free(buf);
	return (int)len;
}

int tree_read(struct tree *t, const char *path, char **ret, size_t *ret_len)
{
	char *text = NULL;
	struct node *n;
	size_t len;
	FILE *out;
	int rc = lookup_file(t, path, &n);

	if (rc)
		return rc;
	if (!n->file->show && !n->file->pread)
		return -EACCES;
	out = open_memstream(&text, &len);
	if (!out)
		return -ENOMEM;
	rc = n->file->pread ? show_large(n, out) : n->file->show(n->arg, out);
	if (!rc && ferror(out))
		rc = -ENOMEM;
	if (fclose(out) && !rc)
		rc = -ENOMEM;
	if (rc) {
		free(text);
		return rc;
	}
	*ret = text;
	*ret_len = len;
	return 0;
}

int tree_write(struct tree *t, const char *path, const char *text, size_t len)
{
	struct node *n;
	char *copy;
	int rc = lookup_file(t, path, &n);

	if (rc)
		return rc;
	if (!n->file->store)
		return -EACCES;
	if (!len)
		return 0; /* the kernel asks nobody about nothing */
	copy = malloc(len + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, text, len);
	copy[len] = '\0';
	rc = n->file->store(n->arg, copy);
	free(copy);
	return rc;
}

bool tree_is_large(struct tree *t, const char *path)
{
	struct node *n;

	return !lookup_file(t, path, &n) && n->file->pread;
}

ssize_t tree_pread(struct tree *t, const char *path, void *buf, size_t len, uint64_t offset)
{
	struct node *n;
	int rc = lookup_file(t, path, &n);

	if (rc)
		return rc;
	return n->file->pread ? n->file->pread(n->arg, buf, len, offset) : -EINVAL;
}
