// SPDX-License-Identifier: MIT
/*
 * hvofs: FUSE on one side, a tree on the other.
 *
 * As in sys and proc: a file is read as it was when somebody read its beginning, so reading it
 * in pieces gives one picture, and reading it again from the start gives a new one; one
 * write() is one store, wherever it goes; names cannot be made or removed. Nothing is cached.
 */
#define FUSE_USE_VERSION 35

#include "fuse.h"

#include "cli.h"
#include "opened.h"
#include "path/path.h"

#include <dirent.h>
#include <errno.h>
#include <fuse.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u

/* An open file or directory. What it keeps is counted against who opened it. */
struct handle {
	struct handle *next, *prev; /* of all that are open */
	struct opened_user *user;
	pthread_mutex_t lock;
	bool large;
	char *text; /* as it was when its beginning was read; of a directory: see take_name() */
	size_t len;
};

struct hvofs {
	struct tree *tree;
	struct hvo_machine *m;
	struct fuse *fuse;
	bool threads;
	bool mounted;
	int place; /* the directory that it is mounted on */
	struct timespec since;
	pthread_mutex_t lock; /* of the list */
	struct handle *handles;
	struct opened opened;
};

static struct hvofs *fs_of_call(void)
{
	return fuse_get_context()->private_data;
}

static struct handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct handle *)(uintptr_t)fi->fh;
}

static bool in_proc(const char *path)
{
	return !strncmp(path, "/proc/", 6);
}

/* ---- names ------------------------------------------------------------------------ */

static int fs_readlink(const char *path, char *buf, size_t size)
{
	char *target;
	mode_t mode;
	size_t len;
	int rc = tree_mode(fs_of_call()->tree, path, &mode);

	if (rc)
		return rc;
	if (!S_ISLNK(mode))
		return -EINVAL;
	rc = tree_read(fs_of_call()->tree, path, &target, &len);
	if (rc)
		return rc;
	if (len >= size)
		len = size - 1;
	memcpy(buf, target, len);
	buf[len] = '\0';
	free(target);
	return 0;
}

static int fs_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	const struct hvofs *fs = fs_of_call();
	char target[256];
	mode_t mode;
	int rc = tree_mode(fs->tree, path, &mode);

	(void)fi;
	if (rc)
		return rc;
	memset(st, 0, sizeof(*st));
	st->st_mode = mode;
	st->st_nlink = S_ISDIR(mode) ? 2 : 1;
	st->st_uid = geteuid();
	st->st_gid = getegid();
	st->st_blksize = PAGE;
	st->st_atim = st->st_mtim = st->st_ctim = fs->since;
	/* Nobody knows before it is read: sys says a page, proc nothing. */
	if (S_ISREG(mode) && !in_proc(path))
		st->st_size = PAGE;
	if (S_ISLNK(mode) && !fs_readlink(path, target, sizeof(target)))
		st->st_size = (off_t)strlen(target);
	return 0;
}

/* What sys and proc say to who wants to change names. */
static int fs_mkdir(const char *path, mode_t mode)
{
	(void)mode;
	return in_proc(path) ? -ENOENT : -EPERM;
}

static int fs_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	(void)mode;
	(void)fi;
	return in_proc(path) ? -ENOENT : -EACCES;
}

static int fs_remove(const char *path)
{
	(void)path;
	return -EPERM;
}

static int fs_two_names(const char *from, const char *to)
{
	(void)from;
	(void)to;
	return -EPERM;
}

static int fs_rename(const char *from, const char *to, unsigned int flags)
{
	(void)flags;
	return fs_two_names(from, to);
}

static int fs_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	(void)path;
	(void)mode;
	(void)fi;
	return -EPERM;
}

static int fs_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi)
{
	(void)path;
	(void)uid;
	(void)gid;
	(void)fi;
	return -EPERM;
}

/* ---- contents --------------------------------------------------------------------------- */

/* For who just calls: 0; -EMFILE, -ENFILE: he, or all, have too many; -ENOMEM. */
static int handle_new(struct hvofs *fs, struct handle **ret)
{
	struct handle *h = calloc(1, sizeof(*h));
	int rc = h ? opened_add(&fs->opened, fuse_get_context()->uid, &h->user) : -ENOMEM;

	if (!rc && pthread_mutex_init(&h->lock, NULL)) {
		opened_remove(&fs->opened, h->user, 0);
		rc = -ENOMEM;
	}
	if (rc) {
		free(h);
		return rc;
	}
	pthread_mutex_lock(&fs->lock);
	h->next = fs->handles;
	if (h->next)
		h->next->prev = h;
	fs->handles = h;
	pthread_mutex_unlock(&fs->lock);
	*ret = h;
	return 0;
}

static void handle_free(struct hvofs *fs, struct handle *h)
{
	pthread_mutex_lock(&fs->lock);
	if (h->prev)
		h->prev->next = h->next;
	else
		fs->handles = h->next;
	if (h->next)
		h->next->prev = h->prev;
	pthread_mutex_unlock(&fs->lock);
	opened_remove(&fs->opened, h->user, h->len);
	pthread_mutex_destroy(&h->lock);
	free(h->text);
	free(h);
}

/* The handle's lock held. What it kept before goes; @text is the handle's, or freed: -EBUSY. */
static int handle_keep(struct handle *h, char *text, size_t len)
{
	int rc = opened_resize(&fs_of_call()->opened, h->user, h->len, len);

	if (rc) {
		free(text);
		return rc;
	}
	free(h->text);
	h->text = text;
	h->len = len;
	return 0;
}

static int fs_open(const char *path, struct fuse_file_info *fi)
{
	struct tree *t = fs_of_call()->tree;
	int access = fi->flags & O_ACCMODE;
	struct handle *h;
	mode_t mode = 0;
	int rc = tree_mode(t, path, &mode);

	if (rc)
		return rc;
	/* Root too gets no further than what the file can do. */
	if ((access != O_WRONLY && !(mode & 0444)) || (access != O_RDONLY && !(mode & 0222)))
		return -EACCES;
	rc = handle_new(fs_of_call(), &h);
	if (rc)
		return rc;
	h->large = tree_is_large(t, path);
	fi->fh = (uintptr_t)h;
	fi->direct_io = 1;
	return 0;
}

static int fs_release(const char *path, struct fuse_file_info *fi)
{
	(void)path;
	handle_free(fs_of_call(), handle_of(fi));
	return 0;
}

static int read_again(struct handle *h, const char *path)
{
	char *text;
	size_t len;
	int rc = tree_read(fs_of_call()->tree, path, &text, &len);

	return rc ? rc : handle_keep(h, text, len);
}

static int fs_read(const char *path, char *buf, size_t size, off_t offset,
		   struct fuse_file_info *fi)
{
	struct handle *h = handle_of(fi);
	size_t at = (size_t)offset, len;
	int rc = 0;

	if (h->large)
		return (int)tree_pread(fs_of_call()->tree, path, buf, size, (uint64_t)offset);
	pthread_mutex_lock(&h->lock);
	if (!offset || !h->text)
		rc = read_again(h, path);
	if (!rc && at < h->len) {
		len = h->len - at < size ? h->len - at : size;
		memcpy(buf, h->text + at, len);
		rc = (int)len;
	}
	pthread_mutex_unlock(&h->lock);
	return rc;
}

/* ---- directories ------------------------------------------------------------------------- */

static int fs_opendir(const char *path, struct fuse_file_info *fi)
{
	struct handle *h;
	mode_t mode = 0;
	int rc = tree_mode(fs_of_call()->tree, path, &mode);

	if (!rc && !S_ISDIR(mode))
		rc = -ENOTDIR;
	if (!rc)
		rc = handle_new(fs_of_call(), &h);
	if (!rc)
		fi->fh = (uintptr_t)h;
	return rc;
}

/* An entry: its type as in struct dirent, its name, '\0'. Where the next one is, is its offset. */
static int take_name(void *arg, const char *name, mode_t mode)
{
	FILE *out = arg;

	return fputc((int)IFTODT(mode), out) == EOF || fputs(name, out) == EOF ||
			       fputc('\0', out) == EOF ?
		       -ENOMEM :
		       0;
}

static int list_again(struct handle *h, const char *path)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int rc = out ? 0 : -ENOMEM;

	if (rc)
		return rc;
	if (take_name(out, ".", S_IFDIR) || take_name(out, "..", S_IFDIR))
		rc = -ENOMEM;
	if (!rc)
		rc = tree_list(fs_of_call()->tree, path, take_name, out);
	if (fclose(out) && !rc)
		rc = -ENOMEM;
	if (!rc)
		return handle_keep(h, text, len);
	free(text);
	return rc;
}

/* One picture from the beginning to the end, as of a file. */
static int fs_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t offset,
		      struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	struct handle *h = handle_of(fi);
	size_t at = (size_t)offset, next;
	int rc = 0;

	(void)flags;
	pthread_mutex_lock(&h->lock);
	if (!offset || !h->text)
		rc = list_again(h, path);
	for (; !rc && at < h->len; at = next) {
		struct stat st = { .st_mode = DTTOIF((mode_t)h->text[at]) };

		next = at + strlen(h->text + at) + 1;
		if (fill(buf, h->text + at + 1, &st, (off_t)next, (enum fuse_fill_dir_flags)0))
			break;
	}
	pthread_mutex_unlock(&h->lock);
	return rc;
}

/* ---- writing ----------------------------------------------------------------------------- */

/* proc/sys takes what is at the beginning; sys takes a page each time. */
static int fs_write(const char *path, const char *buf, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	struct hvofs *fs = fs_of_call();
	size_t len = size < PAGE ? size : PAGE;
	int rc;

	(void)fi;
	if (in_proc(path) && offset)
		return (int)size;
	rc = tree_write(fs->tree, path, buf, len);
	if (!fs->threads)
		(void)hvo_work(fs->m, UINT64_MAX, NULL);
	if (rc)
		return rc;
	return (int)(in_proc(path) ? size : len);
}

/* As open() with O_TRUNC: nothing to be done, if it can be written. */
static int fs_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	mode_t mode = 0;
	int rc = tree_mode(fs_of_call()->tree, path, &mode);

	(void)size;
	(void)fi;
	if (rc)
		return rc;
	return mode & 0222 ? 0 : -EACCES;
}

static void *fs_init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
	(void)conn;
	cfg->entry_timeout = 0;
	cfg->attr_timeout = 0;
	cfg->negative_timeout = 0;
	return fs_of_call();
}

static const struct fuse_operations operations = {
	.getattr = fs_getattr,
	.readlink = fs_readlink,
	.opendir = fs_opendir,
	.readdir = fs_readdir,
	.releasedir = fs_release,
	.mkdir = fs_mkdir,
	.create = fs_create,
	.unlink = fs_remove,
	.rmdir = fs_remove,
	.symlink = fs_two_names,
	.link = fs_two_names,
	.rename = fs_rename,
	.chmod = fs_chmod,
	.chown = fs_chown,
	.open = fs_open,
	.read = fs_read,
	.write = fs_write,
	.truncate = fs_truncate,
	.release = fs_release,
	.init = fs_init,
};

/* ---- mounting ------------------------------------------------------------------------------ */

static int say(const char *dir, const char *what)
{
	fprintf(stderr, "hvo serve: %s: %s\n", dir, what);
	return CLI_FAILED;
}

static bool is_empty(DIR *d)
{
	const struct dirent *entry;

	while ((entry = readdir(d)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return false;
	return true;
}

/* 0, or why it is none of ours. */
static int open_empty(const char *dir, int *ret_fd, bool *ret_empty)
{
	int fd = path_open_dir(dir), in;
	DIR *d = NULL;

	if (fd < 0)
		return fd;
	in = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (in >= 0)
		d = fdopendir(in);
	if (!d) {
		int rc = -errno;

		if (in >= 0)
			close(in);
		close(fd);
		return rc;
	}
	*ret_empty = is_empty(d);
	closedir(d);
	*ret_fd = fd;
	return 0;
}

int hvofs_check(const char *dir, int *ret_fd)
{
	bool empty = false;
	int fd = -1, rc = open_empty(dir, &fd, &empty);

	switch (rc) {
	case 0:
		break;
	case -ENOENT:
		return say(dir, "there is no such directory; make it first");
	case -ENOTCONN:
		return say(dir, "its last server died without unmounting it; run fusermount3 -u on "
				"it first");
	default:
		return say(dir, path_error(rc));
	}
	if (!empty) {
		close(fd);
		return say(dir, "is not empty, and would be hidden; mount elsewhere");
	}
	*ret_fd = fd;
	return CLI_OK;
}

/* The last thing that libfuse complained about; it would print it itself. */
static char complaint[256];

static void keep_complaint(enum fuse_log_level level, const char *fmt, va_list args)
{
	char *end;

	if (level > FUSE_LOG_WARNING)
		return;
	(void)vsnprintf(complaint, sizeof(complaint), fmt, args);
	end = strchr(complaint, '\n');
	if (end)
		*end = '\0';
}

/* The one that there is; signals know of no other way. */
static struct hvofs *running;
static volatile sig_atomic_t stopped;

/* Both only store a word. */
static void stop(int sig)
{
	(void)sig;
	stopped = 1;
	hvo_machine_abandon(running->m);
	fuse_exit(running->fuse);
}

static void catch_signals(struct hvofs *fs)
{
	/* Without SA_RESTART: whoever waits in the loop has to look up. */
	struct sigaction action = { .sa_handler = stop };

	running = fs;
	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

/* From the moment that it is mounted no signal may end the program otherwise. */
static bool mount_it(struct hvofs *fs, const char *dir)
{
	sigset_t mask, before;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &mask, &before);
	fs->mounted = !fuse_mount(fs->fuse, dir);
	if (fs->mounted)
		catch_signals(fs);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return fs->mounted;
}

int hvofs_mount(struct tree *t, struct hvo_machine *m, const char *dir, int fd, bool threads,
		struct hvofs **ret)
{
	char place[32];
	/* Others than root may let others in only where the administrator says so. */
	char options[] = "-ofsname=hvo,subtype=hvofs,default_permissions,allow_other";
	char mine[] = "-ofsname=hvo,subtype=hvofs,default_permissions", name[] = "hvofs";
	char *argv[] = { name, geteuid() ? mine : options, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(2, argv);
	struct hvofs *fs = cli_alloc(1, sizeof(*fs));

	*fs = (struct hvofs){ .tree = t, .m = m, .threads = threads, .place = fd };
	if (pthread_mutex_init(&fs->lock, NULL) || pthread_mutex_init(&fs->opened.lock, NULL)) {
		close(fd);
		free(fs);
		return say(dir, "no memory");
	}
	clock_gettime(CLOCK_REALTIME, &fs->since);
	fuse_set_log_func(keep_complaint);
	fs->fuse = fuse_new(&args, &operations, sizeof(operations), fs);
	fuse_opt_free_args(&args);
	/*
	 * What was looked at, not what has its name now. For others than root fusermount3 mounts,
	 * with no more rights than they have; it is another process, and looks by itself.
	 */
	(void)snprintf(place, sizeof(place), "/proc/self/fd/%d", fd);
	if (!fs->fuse || !mount_it(fs, geteuid() ? dir : place)) {
		hvofs_free(fs);
		return say(dir, *complaint ? complaint : "it cannot be mounted");
	}
	*ret = fs;
	return CLI_OK;
}

int hvofs_run(struct hvofs *fs)
{
	struct fuse_loop_config cfg = { .clone_fd = 0, .max_idle_threads = 10 };
	int rc;

	rc = fs->threads ? fuse_loop_mt(fs->fuse, &cfg) : fuse_loop(fs->fuse);
	if (rc < 0 && !stopped) {
		fprintf(stderr, "hvo serve: serving ended: %s\n", strerror(-rc));
		return CLI_FAILED;
	}
	return CLI_OK;
}

void hvofs_free(struct hvofs *fs)
{
	if (fs->mounted)
		fuse_unmount(fs->fuse);
	if (fs->fuse)
		fuse_destroy(fs->fuse);
	/* Files that were open, or whose closing was not told before the end. */
	while (fs->handles)
		handle_free(fs, fs->handles);
	close(fs->place);
	pthread_mutex_destroy(&fs->lock);
	pthread_mutex_destroy(&fs->opened.lock);
	free(fs);
}
