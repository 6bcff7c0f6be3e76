// SPDX-License-Identifier: MIT
/*
 * Arenas of all kinds on the real thing: that they are huge in hardware where they can be and say so,
 * that memory given back is with the system and comes again, what they refuse and in which words,
 * and that contents and audit are right whatever is done.
 *
 * States and locks: the kernel's pool of 2 MiB pages is this program's from setup to teardown; a
 * guardian puts it back, and its file is locked meanwhile. Limits are set in forked children only.
 * In Linux: tools/testing/selftests/mm/khugepaged.c, hugetlb_fault_after_madv.c.
 */
#include "harness.h"

#include "cli/kernel/guardian.h"
#include "platform/linux/host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK HVO_PAGEBLOCK_FRAMES
#define FRAMES(bytes) ((bytes) / HVO_FRAME_SIZE)
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static char why[256];

static struct hvo_linux_options options(enum hvo_linux_memory memory)
{
	memset(why, 0, sizeof(why));
	return (struct hvo_linux_options){ .size = sizeof(struct hvo_linux_options),
					   .memory = memory,
					   .why = why,
					   .why_len = sizeof(why) };
}

/* In the layout that all kinds can have. */
static struct hvo_config config(enum hvo_mode mode, uint64_t mib)
{
	struct hvo_config cfg = rig_config(mode, mib);

	cfg.layout = HVO_LAYOUT_TABLE;
	return cfg;
}

static void open_rig(struct rig *r, const struct hvo_config *cfg,
		     const struct hvo_linux_options *opt)
{
	int rc;

	memset(r, 0, sizeof(*r));
	memset(why, 0, sizeof(why));
	rc = hvo_linux_create(cfg, opt, &r->host);
	if (rc)
		fail_msg("%d: %s", rc, opt->why);
	assert_string_equal(why, "");
	r->m = hvo_linux_machine(r->host);
}

static void refused(const struct hvo_config *cfg, const struct hvo_linux_options *opt, int rc,
		    const char *sentence)
{
	struct hvo_linux *host = NULL;

	memset(why, 0, sizeof(why));
	assert_int_equal(hvo_linux_create(cfg, opt, &host), rc);
	assert_null(host);
	if (!strstr(why, sentence))
		fail_msg("\"%s\" does not say \"%s\"", why, sentence);
	assert_int_equal(hvo_linux_open(cfg, opt, &host), rc);
	assert_null(host);
}

static struct hvo_linux_info info_of(struct rig *r)
{
	struct hvo_linux_info info = { .size = sizeof(info) };

	assert_int_equal(hvo_linux_info(r->host, &info), 0);
	return info;
}

static uint64_t sum_of_nodes(const struct hvo_linux_info *info)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < HVO_MAX_NODES; i++)
		sum += info->node_bytes[i];
	return sum;
}

/* Does this host make huge what is small, now? */
static void need_collapse(bool shared)
{
	int flags = MAP_ANONYMOUS | MAP_FIXED | (shared ? MAP_SHARED : MAP_PRIVATE), rc;
	uint8_t *p = mmap(NULL, 2 * BLOCK_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *block = p + (BLOCK_BYTES - (uintptr_t)p % BLOCK_BYTES) % BLOCK_BYTES;

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_ptr_equal(mmap(block, BLOCK_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0), block);
	*block = 1;
	rc = madvise(block, BLOCK_BYTES, MADV_COLLAPSE);
	munmap(p, 2 * BLOCK_BYTES);
	if (!rc)
		return;
	print_message("this host gives no huge pages: %s\n", strerror(errno));
	skip();
}

/* ---- what all kinds do ------------------------------------------------------------- */

/* All of it cut into frames and filled, whole again, in a pool, twice. */
static void whole_and_cut(struct rig *r)
{
	struct hvo_pool *pool = rig_pool_new(r, 9);
	struct hog h = { 0 };
	int i;

	for (i = 0; i < 2; i++) {
		hog_all(r, &h, 0, true);
		assert_true(hog_intact(r, &h));
		rig_audit(r);
		hog_release(r, &h, UINT64_MAX);
		hvo_collapse(r->m, UINT64_MAX, NULL);
		assert_int_equal(rig_resize(pool, HVO_NODE_ANY, 30).done, 30);
		rig_audit(r);
		assert_int_equal(rig_resize(pool, HVO_NODE_ANY, 0).done, 30);
	}
	assert_int_equal(hvo_pool_destroy(pool), 0);
}

/* struct walk - random operations: blocks that somebody has, and which of them are discarded */
#define WALK_BLOCKS 64u
struct walk {
	struct rig *r;
	uint64_t rnd, unit;
	bool lasting;
	struct {
		hvo_pfn_t pfn;
		unsigned int order;
		bool away;
	} held[WALK_BLOCKS];
	unsigned int nr;
};

static void walk_alloc(struct walk *w)
{
	unsigned int order = (unsigned int)(rig_random(&w->rnd) % 12);
	hvo_pfn_t pfn;

	if (w->nr == WALK_BLOCKS || hvo_alloc_pages(w->r->m, GFP_HOG, order, HVO_NODE_ANY, &pfn))
		return;
	rig_fill(w->r, pfn, UINT64_C(1) << order, pfn);
	w->held[w->nr].pfn = pfn;
	w->held[w->nr].order = order;
	w->held[w->nr++].away = false;
}

static void walk_discard(struct walk *w, unsigned int i)
{
	uint64_t nr = UINT64_C(1) << w->held[i].order;
	int rc = hvo_linux_discard(w->r->host, w->held[i].pfn, nr);

	if (w->lasting)
		assert_int_equal(rc, -HVO_EOPNOTSUPP);
	else
		assert_int_equal(rc, nr * HVO_FRAME_SIZE % w->unit ? -HVO_EINVAL : 0);
	if (!rc)
		w->held[i].away = true;
}

static void walk_back(struct walk *w, unsigned int i)
{
	uint64_t nr = UINT64_C(1) << w->held[i].order;

	if (!w->held[i].away)
		return;
	assert_int_equal(hvo_linux_populate(w->r->host, w->held[i].pfn, nr), 0);
	assert_true(rig_zero(w->r, w->held[i].pfn, nr));
	rig_fill(w->r, w->held[i].pfn, nr, w->held[i].pfn);
	w->held[i].away = false;
}

static void walk_free(struct walk *w, unsigned int i)
{
	walk_back(w, i);
	assert_true(
		rig_intact(w->r, w->held[i].pfn, UINT64_C(1) << w->held[i].order, w->held[i].pfn));
	rig_put(w->r, w->held[i].pfn);
	w->held[i] = w->held[--w->nr];
}

/* The last section goes and comes, if it can. */
static void walk_section(struct walk *w)
{
	hvo_pfn_t end = w->r->host->nr_frames, start = end - HVO_SECTION_FRAMES;

	if (hvo_memory_offline(w->r->m, start, end))
		return;
	assert_int_equal(hvo_memory_remove(w->r->m, start, end), 0);
	rig_audit(w->r);
	assert_int_equal(hvo_memory_add(w->r->m, 0, start, end, 0), 0);
	assert_int_equal(hvo_memory_online(w->r->m, start, end, HVO_ZONE_MOVABLE), 0);
}

static void walk_step(struct walk *w)
{
	unsigned int i = w->nr ? (unsigned int)(rig_random(&w->rnd) % w->nr) : 0;

	switch (rig_random(&w->rnd) % 8) {
	case 0:
	case 1:
	case 2:
		walk_alloc(w);
		break;
	case 3:
		if (w->nr)
			walk_discard(w, i);
		break;
	case 4:
		if (w->nr)
			walk_back(w, i);
		break;
	case 5:
		(void)hvo_report_free(w->r->m, HVO_NODE_ANY, 9, 8192, NULL);
		break;
	case 6:
		if (w->nr)
			walk_free(w, i);
		break;
	default:
		if (rig_random(&w->rnd) % 16)
			(void)hvo_collapse(w->r->m, 8, NULL);
		else
			walk_section(w);
	}
}

static void walk(struct rig *r, unsigned int steps)
{
	struct walk w = { .r = r, .rnd = rig_seed(14), .unit = info_of(r).unit };
	unsigned int i;

	w.lasting = r->host->lasting;
	for (i = 0; i < steps; i++) {
		walk_step(&w);
		if (!(i % 32))
			rig_audit(r);
	}
	while (w.nr)
		walk_free(&w, w.nr - 1);
	rig_audit(r);
}

/* A child has no machine, and can close it; here nothing has happened. */
static void fork_and_look(struct rig *r)
{
	hvo_pfn_t pfn = rig_alloc(r, HVO_GFP_KERNEL, 9), none;
	struct hvo_linux_info info = { .size = sizeof(info) };
	int status;
	pid_t pid;

	rig_fill(r, pfn, BLOCK, 3);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		if (hvo_alloc_pages(r->m, HVO_GFP_KERNEL, 0, HVO_NODE_ANY, &none) != -HVO_ENODEV ||
		    hvo_linux_fd(r->host) != -HVO_ENODEV ||
		    hvo_linux_info(r->host, &info) != -HVO_ENODEV ||
		    hvo_linux_populate(r->host, pfn, BLOCK) != -HVO_ENODEV ||
		    hvo_linux_discard(r->host, pfn, BLOCK) != -HVO_ENODEV)
			_exit(1);
		hvo_linux_close(r->host);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(rig_intact(r, pfn, BLOCK, 3));
	rig_put(r, pfn);
	rig_audit(r);
}

/* In both modes, all of it; @cfg without a mode. */
static void live(struct hvo_config cfg, const struct hvo_linux_options *opt)
{
	struct rig r;

	cfg.movable_bytes = HVO_SECTION_SIZE;
	for (cfg.mode = HVO_ON_DEMAND; cfg.mode <= HVO_LINUX; cfg.mode++) {
		open_rig(&r, &cfg, opt);
		assert_int_equal(info_of(&r).memory, opt->memory);
		whole_and_cut(&r);
		walk(&r, 400);
		fork_and_look(&r);
		rig_close(&r);
	}
}

/* ---- small pages made huge ---------------------------------------------------------- */

/* A part that goes and comes leaves the rest of its block as it was, and all of it huge. */
static void discard_part(struct rig *r)
{
	uint64_t huge = info_of(r).huge_bytes, backed = info_of(r).backed_bytes;
	hvo_pfn_t pfn = rig_alloc(r, HVO_GFP_KERNEL, 9);

	rig_fill(r, pfn, BLOCK, 5);
	assert_int_equal(hvo_linux_discard(r->host, pfn + 16, 32), 0);
	assert_int_equal(info_of(r).backed_bytes, backed - 32 * HVO_FRAME_SIZE);
	assert_true(info_of(r).huge_bytes <= huge - BLOCK_BYTES);
	assert_int_equal(hvo_linux_populate(r->host, pfn, BLOCK), 0);
	assert_true(rig_intact(r, pfn, 16, 5));
	assert_true(rig_zero(r, pfn + 16, 32));
	assert_true(rig_moved_intact(r, pfn + 48, BLOCK - 48, 5, pfn + 48));
	assert_int_equal(info_of(r).huge_bytes, huge);
	assert_int_equal(info_of(r).backed_bytes, backed);
	rig_put(r, pfn);
}

/* What is reported is gone, and huge when it is back. */
static void report_and_back(struct rig *r)
{
	uint64_t huge = info_of(r).huge_bytes, backed = info_of(r).backed_bytes;
	int64_t done = hvo_report_free(r->m, HVO_NODE_ANY, 9, UINT64_MAX, NULL);
	struct hog h = { 0 };

	assert_true(done > 0);
	assert_int_equal(info_of(r).backed_bytes, backed - (uint64_t)done * HVO_FRAME_SIZE);
	assert_true(info_of(r).huge_bytes < huge);
	hog_all(r, &h, 0, true);
	assert_true(hog_intact(r, &h));
	assert_int_equal(info_of(r).huge_bytes, huge);
	assert_int_equal(info_of(r).backed_bytes, backed);
	hog_release(r, &h, UINT64_MAX);
	rig_audit(r);
}

static void populated_is_huge(enum hvo_linux_memory memory)
{
	struct hvo_linux_options opt = options(memory);
	struct hvo_config cfg = config(HVO_ON_DEMAND, 256);
	struct hvo_linux_info info;
	struct rig r;

	open_rig(&r, &cfg, &opt);
	info = info_of(&r);
	assert_true(info.thp_asked);
	assert_int_equal(info.unit, HVO_FRAME_SIZE);
	assert_int_equal(info.backed_bytes, 256 * MIB);
	assert_int_equal(info.huge_bytes, 256 * MIB);
	assert_int_equal(info.thp_bytes, 256 * MIB);
	assert_int_equal(sum_of_nodes(&info), 256 * MIB);
	assert_false(info.strict_numa);
	discard_part(&r);
	report_and_back(&r);
	rig_close(&r);
	opt.no_thp = true;
	open_rig(&r, &cfg, &opt);
	assert_false(info_of(&r).thp_asked);
	assert_int_equal(info_of(&r).backed_bytes, 256 * MIB);
	rig_close(&r);
}

/* Block by block, as memory is asked for: cleared for its user, or cut. */
static void sparse_becomes_huge(enum hvo_linux_memory memory)
{
	struct hvo_linux_options opt = options(memory);
	struct hvo_config cfg = config(HVO_ON_DEMAND, 1024);
	hvo_pfn_t huge, small;
	struct rig r;

	opt.sparse = true;
	open_rig(&r, &cfg, &opt);
	assert_int_equal(info_of(&r).backed_bytes, 0);
	huge = rig_alloc(&r, HVO_GFP_KERNEL | HVO_GFP_ZERO, 11);
	assert_int_equal(info_of(&r).huge_bytes, 4 * BLOCK_BYTES);
	small = rig_alloc(&r, HVO_GFP_KERNEL, 0);
	assert_int_equal(info_of(&r).huge_bytes, 5 * BLOCK_BYTES);
	assert_int_equal(info_of(&r).backed_bytes, 5 * BLOCK_BYTES);
	rig_put(&r, small);
	rig_put(&r, huge);
	/* Nothing that is cleared on its way back needs more. */
	hvo_collapse(r.m, UINT64_MAX, NULL);
	assert_int_equal(info_of(&r).backed_bytes, 5 * BLOCK_BYTES);
	rig_audit(&r);
	walk(&r, 300);
	rig_close(&r);
}

/* Written in small pages, by one who did not ask; then made huge by a move that asks. */
static void collapse_keeps(enum hvo_linux_memory memory)
{
	struct hvo_linux_options opt = options(memory);
	struct hvo_config cfg = config(HVO_ON_DEMAND, 128);
	hvo_pfn_t pfn;
	struct rig r;

	opt.sparse = true;
	open_rig(&r, &cfg, &opt);
	pfn = rig_alloc(&r, HVO_GFP_KERNEL, 9);
	rig_fill(&r, pfn, BLOCK, 8);
	assert_int_equal(hvo_linux_ops.populate(r.host, pfn, BLOCK), 0);
	assert_int_equal(info_of(&r).huge_bytes, BLOCK_BYTES);
	assert_true(rig_intact(&r, pfn, BLOCK, 8));
	rig_put(&r, pfn);
	rig_close(&r);
}

static void test_memfd(void **state)
{
	struct hvo_linux_options opt = options(HVO_LINUX_MEMFD);
	struct hvo_config cfg = config(HVO_ON_DEMAND, 256);
	struct rig r;
	uint8_t *p;

	(void)state;
	live(cfg, &opt);
	/* Somebody else maps the arena by its descriptor. */
	open_rig(&r, &cfg, &opt);
	p = mmap(NULL, BLOCK_BYTES, PROT_READ, MAP_SHARED, hvo_linux_fd(r.host), BLOCK_BYTES);
	assert_ptr_not_equal(p, MAP_FAILED);
	memset(r.host->direct + BLOCK_BYTES, 0x5a, 100);
	assert_memory_equal(p, r.host->direct + BLOCK_BYTES, 100);
	munmap(p, BLOCK_BYTES);
	rig_close(&r);
}

static void test_memfd_huge(void **state)
{
	(void)state;
	need_collapse(true);
	populated_is_huge(HVO_LINUX_MEMFD);
	sparse_becomes_huge(HVO_LINUX_MEMFD);
	collapse_keeps(HVO_LINUX_MEMFD);
}

static void test_anonymous(void **state)
{
	struct hvo_linux_options opt = options(HVO_LINUX_ANONYMOUS);
	struct hvo_config cfg = config(HVO_ON_DEMAND, 256);
	struct rig r;

	(void)state;
	live(cfg, &opt);
	open_rig(&r, &cfg, &opt);
	assert_int_equal(hvo_linux_fd(r.host), -HVO_EOPNOTSUPP);
	rig_close(&r);
}

static void test_anonymous_huge(void **state)
{
	(void)state;
	need_collapse(false);
	populated_is_huge(HVO_LINUX_ANONYMOUS);
	sparse_becomes_huge(HVO_LINUX_ANONYMOUS);
	collapse_keeps(HVO_LINUX_ANONYMOUS);
}

/* ---- the kernel's pools ------------------------------------------------------------- */

/*
 * Empty before and after: a guardian sees to that. Its file, which is locked, is the one that the
 * command and other tests lock.
 */
#define POOL_2M "/sys/kernel/mm/hugepages/hugepages-2048kB"
static struct {
	int fd;
	struct guardian guardian;
	const char *reason; /* why not */
} pool = { .fd = -1 };

static bool write_pool(uint64_t nr)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)nr);

	return pwrite(pool.fd, text, (size_t)len, 0) == len;
}

/* A group of its own for limits, where the system has such groups. */
static struct {
	char root[64], dir[96];
	bool enabled; /* by us */
} group;

static bool write_group(const char *dir, const char *name, const char *text)
{
	char path[192];
	ssize_t n = -1;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = write(fd, text, strlen(text));
	close(fd);
	return n == (ssize_t)strlen(text);
}

static void make_group(void)
{
	static const char *const roots[] = { "/sys/fs/cgroup/unified", "/sys/fs/cgroup" };
	char path[128];
	size_t i;

	for (i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "%s/cgroup.subtree_control", roots[i]);
		if (!access(path, W_OK))
			break;
	}
	if (i == 2)
		return;
	(void)snprintf(group.root, sizeof(group.root), "%s", roots[i]);
	(void)snprintf(group.dir, sizeof(group.dir), "%s/hvo-arena-%d", group.root, getpid());
	if (mkdir(group.dir, 0755)) {
		group.dir[0] = '\0';
		return;
	}
	(void)snprintf(path, sizeof(path), "%s/hugetlb.2MB.max", group.dir);
	if (access(path, W_OK))
		group.enabled = write_group(group.root, "cgroup.subtree_control", "+hugetlb");
}

static bool remove_group(void)
{
	bool ok = !group.dir[0] || !rmdir(group.dir);

	if (group.enabled)
		ok = write_group(group.root, "cgroup.subtree_control", "-hugetlb") && ok;
	return ok;
}

static bool put_back(const void *arg)
{
	bool ok = write_pool(0);

	(void)arg;
	return remove_group() && ok;
}

static uint64_t read_pool(const char *name)
{
	uint64_t nr = UINT64_MAX;
	char path[128];

	(void)snprintf(path, sizeof(path), POOL_2M "/%s", name);
	assert_true(hvo_linux_read_number(path, "", &nr));
	return nr;
}

static int setup(void **state)
{
	(void)state;
	pool.fd = open(POOL_2M "/nr_hugepages", O_RDWR | O_CLOEXEC);
	if (pool.fd < 0) {
		pool.reason = "there are no huge pages, or only root may have some";
		return 0;
	}
	if (flock(pool.fd, LOCK_EX) || read_pool("nr_hugepages") ||
	    read_pool("nr_overcommit_hugepages"))
		pool.reason = "the kernel's pool is in use: left alone";
	if (!pool.reason) {
		make_group();
		if (guardian_start(&pool.guardian, put_back, NULL))
			return 0;
		(void)remove_group();
		pool.reason = "no guardian for the kernel's pool";
	}
	close(pool.fd);
	pool.fd = -1;
	return 0;
}

static int teardown(void **state)
{
	bool ok = pool.fd < 0 || guardian_end(&pool.guardian);

	(void)state;
	if (pool.fd >= 0)
		close(pool.fd);
	return ok ? 0 : -1;
}

/* Pages of 2 MiB, or this is skipped. */
static void set_pool(uint64_t nr)
{
	if (!pool.reason && (!write_pool(nr) || read_pool("nr_hugepages") != nr)) {
		(void)write_pool(0);
		print_message("the kernel has no %u huge pages to give\n", (unsigned int)nr);
		skip();
	}
	if (!pool.reason)
		return;
	print_message("%s\n", pool.reason);
	skip();
}

static uint64_t pool_free(void)
{
	return read_pool("free_hugepages") - read_pool("resv_hugepages");
}

static void test_hugetlb(void **state)
{
	struct hvo_linux_options opt = options(HVO_LINUX_HUGETLB);
	struct hvo_config cfg = config(HVO_ON_DEMAND, 256);
	struct hvo_linux_info info;
	struct rig r;
	hvo_pfn_t pfn;
	int64_t done;

	(void)state;
	set_pool(128);
	live(cfg, &opt);
	assert_int_equal(pool_free(), 128);
	open_rig(&r, &cfg, &opt);
	info = info_of(&r);
	assert_int_equal(info.unit, BLOCK_BYTES);
	assert_int_equal(info.huge_bytes, 256 * MIB);
	assert_int_equal(info.backed_bytes, 256 * MIB);
	assert_int_equal(sum_of_nodes(&info), 256 * MIB);
	assert_false(info.thp_asked);
	assert_true(hvo_linux_fd(r.host) >= 0);
	assert_int_equal(pool_free(), 0);
	/* In pages of the pool, or not at all. */
	pfn = rig_alloc(&r, HVO_GFP_KERNEL, 10);
	rig_fill(&r, pfn, 2 * BLOCK, 4);
	assert_int_equal(hvo_linux_discard(r.host, pfn, 1), -HVO_EINVAL);
	assert_int_equal(hvo_linux_discard(r.host, pfn + 1, BLOCK), -HVO_EINVAL);
	assert_true(rig_intact(&r, pfn, 2 * BLOCK, 4));
	assert_int_equal(hvo_linux_discard(r.host, pfn, BLOCK), 0);
	assert_int_equal(pool_free(), 1);
	/* Somebody takes that page away: nothing is lost, and it can be had later. */
	set_pool(127);
	assert_int_equal(hvo_linux_populate(r.host, pfn, BLOCK), -HVO_ENOMEM);
	assert_true(rig_moved_intact(&r, pfn + BLOCK, BLOCK, 4, pfn + BLOCK));
	set_pool(128);
	assert_int_equal(hvo_linux_populate(r.host, pfn, BLOCK), 0);
	assert_true(rig_zero(&r, pfn, BLOCK));
	rig_put(&r, pfn);
	done = hvo_report_free(r.m, HVO_NODE_ANY, 9, UINT64_MAX, NULL);
	assert_true(done > 0);
	assert_int_equal(pool_free(), (uint64_t)done / BLOCK);
	assert_int_equal(info_of(&r).backed_bytes, 256 * MIB - (uint64_t)done * HVO_FRAME_SIZE);
	/* What is with the system and does not come again is no block that can be had. */
	set_pool(128 - (uint64_t)done / BLOCK);
	while (!hvo_alloc_pages(r.m, GFP_HOG, 9, HVO_NODE_ANY, &pfn))
		rig_fill(&r, pfn, BLOCK, 1);
	rig_audit(&r);
	rig_close(&r);
	set_pool(0);
}

/* Too few, from the start; the rest is what others took since. */
static void test_hugetlb_missing(void **state)
{
	struct hvo_linux_options opt = options(HVO_LINUX_HUGETLB);
	struct hvo_config cfg = config(HVO_ON_DEMAND, 256);
	struct rig r, other;

	(void)state;
	set_pool(125);
	refused(&cfg, &opt, -HVO_ENOMEM,
		"3 huge pages of 2 MiB are missing on node 0: 128 are needed, 125 are free; as root: "
		"echo 128 >/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
	opt.sparse = true;
	refused(&cfg, &opt, -HVO_ENOMEM, "3 huge pages of 2 MiB are missing");
	opt.strict_numa = true;
	refused(&cfg, &opt, -HVO_ENOMEM, "3 huge pages of 2 MiB are missing");
	assert_int_equal(pool_free(), 125);
	opt = options(HVO_LINUX_HUGETLB);
	/* Pages that a sparse machine has not touched are its own all the same. */
	opt.sparse = true;
	cfg.memory_bytes = 128 * MIB;
	open_rig(&r, &cfg, &opt);
	assert_int_equal(info_of(&r).backed_bytes, 0);
	assert_int_equal(pool_free(), 61);
	refused(&cfg, &opt, -HVO_ENOMEM, "3 huge pages of 2 MiB are missing");
	set_pool(128);
	open_rig(&other, &cfg, &opt);
	whole_and_cut(&r);
	rig_close(&other);
	rig_close(&r);
	/* Memory to come asks for its pages when it comes. */
	cfg.hotplug_bytes = 128 * MIB;
	set_pool(100);
	open_rig(&r, &cfg, &opt);
	assert_int_equal(hvo_memory_add(r.m, 0, FRAMES(128 * MIB), FRAMES(256 * MIB), 0),
			 -HVO_ENOMEM);
	assert_int_equal(pool_free(), 36);
	rig_audit(&r);
	set_pool(128);
	assert_int_equal(hvo_memory_add(r.m, 0, FRAMES(128 * MIB), FRAMES(256 * MIB), 0), 0);
	assert_int_equal(pool_free(), 0);
	rig_audit(&r);
	rig_close(&r);
	set_pool(0);
}

/* What is given back in parts goes when all of its unit is given back, and not before. */
static void in_parts(struct rig *r, uint64_t unit)
{
	uint64_t nr = FRAMES(unit), part = nr / 8, before = info_of(r).backed_bytes;
	hvo_pfn_t pfn = rig_alloc(r, HVO_GFP_KERNEL, (unsigned int)__builtin_ctzll(nr));
	uint64_t i;

	assert_int_equal(info_of(r).unit, unit);
	rig_fill(r, pfn, nr, 6);
	assert_int_equal(hvo_linux_discard(r->host, pfn, part), -HVO_EINVAL);
	assert_true(rig_intact(r, pfn, nr, 6));
	for (i = 0; i < nr; i += part) {
		assert_int_equal(info_of(r).backed_bytes, before);
		assert_true(rig_moved_intact(r, pfn + i, nr - i, 6, pfn + i));
		hvo_linux_ops.discard(r->host, pfn + i, part);
		/* Once more does no harm, and less than 2 MiB do not count. */
		hvo_linux_ops.discard(r->host, pfn + i, part);
		hvo_linux_ops.discard(r->host, pfn + i, 1);
		if (i + part < nr)
			assert_true(rig_zero(r, pfn + i, part));
	}
	assert_int_equal(info_of(r).backed_bytes, before - unit);
	/* All of it comes again with a part, but the others stay discarded. */
	assert_int_equal(hvo_linux_ops.populate(r->host, pfn + part, part), 0);
	assert_int_equal(info_of(r).backed_bytes, before);
	rig_fill(r, pfn + part, part, 7);
	hvo_linux_ops.discard(r->host, pfn + 2 * part, part);
	assert_true(rig_moved_intact(r, pfn + part, part, 7, pfn + part));
	hvo_linux_ops.discard(r->host, pfn + part, part);
	assert_int_equal(info_of(r).backed_bytes, before - unit);
	assert_int_equal(hvo_linux_populate(r->host, pfn, nr), 0);
	assert_true(rig_zero(r, pfn, nr));
	rig_put(r, pfn);
	rig_audit(r);
}

/* What the group's file @name refuses, in words. A child's exit status. */
static int in_group(const char *name)
{
	struct hvo_linux_options opt = options(HVO_LINUX_HUGETLB);
	struct hvo_config cfg = config(HVO_ON_DEMAND, 128);
	struct hvo_linux *host = NULL;
	char pid[32];

	(void)snprintf(pid, sizeof(pid), "%d", getpid());
	if (!write_group(group.dir, "cgroup.procs", pid) ||
	    !write_group(group.dir, name, "67108864"))
		return 2;
	if (hvo_linux_create(&cfg, &opt, &host) != -HVO_ENOMEM || host)
		return 3;
	if (!strstr(why, "the pool has enough huge pages of 2 MiB") ||
	    !strstr(why, "control group"))
		return 4;
	if (pool_free() != 128 || !write_group(group.dir, name, "max"))
		return 5;
	return hvo_linux_create(&cfg, &opt, &host) ? 6 : 0;
}

static void test_hugetlb_group(void **state)
{
	static const char *const names[] = { "hugetlb.2MB.max", "hugetlb.2MB.rsvd.max" };
	int status, i;
	char path[192];
	pid_t pid;

	(void)state;
	set_pool(128);
	(void)snprintf(path, sizeof(path), "%s/%s", group.dir, names[0]);
	if (!group.dir[0] || access(path, W_OK)) {
		print_message("no control groups that limit huge pages\n");
		set_pool(0);
		skip();
	}
	for (i = 0; i < 2; i++) {
		fflush(NULL);
		pid = fork();
		if (!pid)
			_exit(in_group(names[i]));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	set_pool(0);
}

/* As if pages of 2 MiB were of 16: the same code, also where there are none of 1 GiB. */
static void test_hugetlb_in_parts(void **state)
{
	struct hvo_linux_options opt = options(HVO_LINUX_HUGETLB);
	struct hvo_config cfg = config(HVO_ON_DEMAND, 256);
	hvo_pfn_t pfn;
	struct rig r;

	(void)state;
	set_pool(128);
	open_rig(&r, &cfg, &opt);
	r.host->unit = 16 * MIB;
	in_parts(&r, 16 * MIB);
	/* No memory for a second unit: the first is with the system again. */
	pfn = rig_alloc(&r, HVO_GFP_KERNEL, 13);
	assert_int_equal(hvo_linux_discard(r.host, pfn, FRAMES(32 * MIB)), 0);
	assert_int_equal(pool_free(), 16);
	set_pool(124);
	assert_int_equal(hvo_linux_populate(r.host, pfn, FRAMES(32 * MIB)), -HVO_ENOMEM);
	assert_int_equal(pool_free(), 12);
	set_pool(128);
	assert_int_equal(hvo_linux_populate(r.host, pfn, FRAMES(32 * MIB)), 0);
	assert_true(rig_zero(&r, pfn, FRAMES(32 * MIB)));
	rig_put(&r, pfn);
	walk(&r, 300);
	rig_close(&r);
	set_pool(0);
}

static void test_hugetlb_gigantic(void **state)
{
	struct hvo_linux_options opt = options(HVO_LINUX_HUGETLB);
	struct hvo_config cfg = config(HVO_ON_DEMAND, 1152);
	struct hvo_linux *host = NULL;
	struct rig r;

	(void)state;
	opt.page_order = 18;
	refused(&cfg, &opt, -HVO_EINVAL, "must be multiples of 1 GiB");
	cfg.memory_bytes = GIB;
	cfg.hotplug_bytes = 128 * MIB;
	refused(&cfg, &opt, -HVO_EINVAL, "must be multiples of 1 GiB");
	cfg.hotplug_bytes = 0;
	if (hvo_linux_create(&cfg, &opt, &host)) {
		assert_true(strstr(why, "are missing") || strstr(why, "no huge pages of 1 GiB"));
		print_message("%s\n", why);
		skip();
	}
	hvo_linux_close(host);
	cfg.min_free_bytes = HVO_FRAME_SIZE;
	open_rig(&r, &cfg, &opt);
	in_parts(&r, GIB);
	walk(&r, 150);
	rig_close(&r);
}

/* ---- the caller's own ---------------------------------------------------------------- */

static int file_of(uint64_t bytes, unsigned int flags)
{
	int fd = memfd_create("test_arena", MFD_CLOEXEC | flags);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static void test_file(void **state)
{
	struct hvo_linux_options opt = options(HVO_LINUX_FILE);
	struct hvo_config cfg = config(HVO_ON_DEMAND, 256);
	uint8_t before[2] = { 7, 7 }, after[2] = { 0, 0 };
	struct rig r;

	(void)state;
	opt.fd = file_of(264 * MIB, 0);
	opt.offset = 4 * MIB;
	/* What lies around it is not the arena's. */
	assert_int_equal(pwrite(opt.fd, &before[0], 1, 4 * MIB - 1), 1);
	assert_int_equal(pwrite(opt.fd, &before[1], 1, 260 * MIB), 1);
	live(cfg, &opt);
	assert_int_equal(pwrite(opt.fd, "dirt", 4, 6 * MIB), 4);
	open_rig(&r, &cfg, &opt);
	assert_true(rig_zero(&r, FRAMES(2 * MIB), BLOCK));
	assert_int_not_equal(hvo_linux_fd(r.host), opt.fd);
	rig_close(&r);
	assert_int_equal(pread(opt.fd, &after[0], 1, 4 * MIB - 1), 1);
	assert_int_equal(pread(opt.fd, &after[1], 1, 260 * MIB), 1);
	assert_memory_equal(before, after, 2);
	close(opt.fd);
}

static void test_file_wrong(void **state)
{
	struct hvo_linux_options opt = options(HVO_LINUX_FILE);
	struct hvo_config cfg = config(HVO_ON_DEMAND, 128);
	char path[64];
	int fd, ends[2];

	(void)state;
	fd = file_of(128 * MIB - 4096, 0);
	opt.fd = fd;
	refused(&cfg, &opt, -HVO_EINVAL, "the file is too short");
	assert_int_equal(ftruncate(fd, 130 * MIB), 0);
	opt.offset = 4096;
	refused(&cfg, &opt, -HVO_EINVAL, "offset: not a multiple of 2 MiB");
	opt.offset = 4 * MIB;
	refused(&cfg, &opt, -HVO_EINVAL, "the file is too short");
	opt.offset = UINT64_MAX - BLOCK_BYTES + 1;
	refused(&cfg, &opt, -HVO_EINVAL, "the file is too short");
	opt.offset = 0;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	opt.fd = open(path, O_RDONLY | O_CLOEXEC);
	refused(&cfg, &opt, -HVO_EINVAL, "not open for reading and writing");
	close(opt.fd);
	close(fd);
	refused(&cfg, &opt, -HVO_EINVAL, "fd: ");
	opt.fd = -1;
	refused(&cfg, &opt, -HVO_EINVAL, "fd: -1");
	opt.fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	refused(&cfg, &opt, -HVO_EINVAL, "no file of hugetlbfs");
	close(opt.fd);
	assert_int_equal(pipe(ends), 0);
	opt.fd = ends[0];
	refused(&cfg, &opt, -HVO_EINVAL, "not open for reading and writing");
	close(ends[0]);
	close(ends[1]);
	opt.fd = open("/proc/self/comm", O_RDWR | O_CLOEXEC);
	refused(&cfg, &opt, -HVO_EINVAL, "no file of hugetlbfs");
	close(opt.fd);
}

/* Somebody shortens the file: said wherever the system is asked; touching it is the end. */
static void test_file_truncated(void **state)
{
	struct hvo_linux_options opt = options(HVO_LINUX_FILE);
	struct hvo_config cfg = config(HVO_ON_DEMAND, 128);
	struct hvo_linux_info info = { .size = sizeof(info) };
	struct rlimit none = { 0, 0 };
	hvo_pfn_t pfn, low;
	struct rig r;
	int status;
	pid_t pid;

	(void)state;
	opt.fd = file_of(128 * MIB, 0);
	open_rig(&r, &cfg, &opt);
	low = rig_alloc(&r, HVO_GFP_KERNEL, 9);
	pfn = rig_alloc(&r, HVO_GFP_KERNEL, 9);
	if (low > pfn) {
		hvo_pfn_t other = low;

		low = pfn;
		pfn = other;
	}
	rig_fill(&r, low, BLOCK, 2);
	assert_int_equal(hvo_linux_discard(r.host, pfn, BLOCK), 0);
	assert_int_equal(ftruncate(opt.fd, (off_t)(pfn * HVO_FRAME_SIZE)), 0);
	assert_int_equal(hvo_linux_populate(r.host, pfn, BLOCK), -HVO_ENODEV);
	assert_int_equal(hvo_linux_info(r.host, &info), -HVO_ENODEV);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		uint8_t *p = mmap(NULL, BLOCK_BYTES, PROT_READ, MAP_SHARED, opt.fd,
				  (off_t)(pfn * HVO_FRAME_SIZE));

		setrlimit(RLIMIT_CORE, &none);
		signal(SIGBUS, SIG_DFL);
		_exit(p == MAP_FAILED || *(volatile uint8_t *)p);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	/* What is still there is as it was, and the file can become as long again. */
	assert_true(rig_intact(&r, low, BLOCK, 2));
	assert_int_equal(ftruncate(opt.fd, 128 * MIB), 0);
	assert_int_equal(hvo_linux_populate(r.host, pfn, BLOCK), 0);
	assert_true(rig_zero(&r, pfn, BLOCK));
	rig_put(&r, pfn);
	rig_put(&r, low);
	rig_audit(&r);
	rig_close(&r);
	close(opt.fd);
}

static void test_file_of_hugetlbfs(void **state)
{
	struct hvo_linux_options opt = options(HVO_LINUX_FILE);
	struct hvo_config cfg = config(HVO_ON_DEMAND, 256);
	struct rig r;

	(void)state;
	set_pool(130);
	opt.fd = file_of(260 * MIB, MFD_HUGETLB);
	opt.offset = 4 * MIB;
	open_rig(&r, &cfg, &opt);
	assert_int_equal(info_of(&r).unit, BLOCK_BYTES);
	assert_int_equal(info_of(&r).huge_bytes, 256 * MIB);
	rig_close(&r);
	live(cfg, &opt);
	/* They are the caller's; without them the next one has too few. */
	assert_true(pool_free() >= 2);
	close(opt.fd);
	set_pool(100);
	opt.fd = file_of(260 * MIB, MFD_HUGETLB);
	refused(&cfg, &opt, -HVO_ENOMEM, "28 huge pages of 2 MiB are missing");
	close(opt.fd);
	set_pool(0);
}

static void test_buffer(void **state)
{
	struct hvo_linux_options opt = options(HVO_LINUX_BUFFER);
	struct hvo_config cfg = config(HVO_ON_DEMAND, 256);
	uint8_t *p =
		mmap(NULL, 260 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *start = p + (BLOCK_BYTES - (uintptr_t)p % BLOCK_BYTES) % BLOCK_BYTES;
	struct rig r;

	(void)state;
	assert_ptr_not_equal(p, MAP_FAILED);
	refused(&cfg, &opt, -HVO_EINVAL, "buffer: there is none");
	opt.buffer = start + 4096;
	refused(&cfg, &opt, -HVO_EINVAL, "not at a multiple of 2 MiB");
	opt.buffer = start;
	opt.strict_numa = true;
	refused(&cfg, &opt, -HVO_EINVAL, "a buffer or a device lies where it lies");
	opt.strict_numa = false;
	opt.sparse = true;
	assert_int_equal(mprotect(start, 4096, PROT_READ), 0);
	refused(&cfg, &opt, -HVO_EINVAL, "memory that can be read and written");
	assert_int_equal(mprotect(start, 4096, PROT_READ | PROT_WRITE), 0);
	opt.sparse = false;
	live(cfg, &opt);
	memset(start, 1, 256 * MIB);
	open_rig(&r, &cfg, &opt);
	assert_ptr_equal(info_of(&r).direct, start);
	assert_true(rig_zero(&r, 0, FRAMES(256 * MIB)));
	assert_int_equal(info_of(&r).backed_bytes, 256 * MIB);
	assert_int_equal(hvo_linux_fd(r.host), -HVO_EOPNOTSUPP);
	memset(start + 6 * MIB, 9, 4096);
	rig_close(&r);
	assert_int_equal(start[6 * MIB], 9);
	munmap(start + 64 * MIB, 4096);
	refused(&cfg, &opt, -HVO_EINVAL, "memory that can be read and written");
	munmap(p, 260 * MIB);
}

/* ---- what no kind does, and limits ----------------------------------------------------- */

static void test_layouts(void **state)
{
	enum hvo_linux_memory memory;
	struct hvo_config cfg = config(HVO_LINUX, 128);
	struct hvo_linux_options opt;
	struct rig r;

	(void)state;
	cfg.layout = HVO_LAYOUT_VIRTUAL;
	for (memory = HVO_LINUX_ANONYMOUS; memory <= HVO_LINUX_BUFFER; memory++) {
		opt = options(memory);
		refused(&cfg, &opt, -HVO_EINVAL, "the table layout can be had");
	}
	/* Nobody asked: what can be had. */
	cfg.layout = HVO_LAYOUT_DEFAULT;
	opt = options(HVO_LINUX_ANONYMOUS);
	open_rig(&r, &cfg, &opt);
	assert_true(rig_table(&r));
	assert_int_equal(info_of(&r).array_bytes, HVO_FRAME_SIZE);
	assert_int_equal(info_of(&r).spare_mappings, 0);
	rig_close(&r);
	opt = options((enum hvo_linux_memory)(HVO_LINUX_BUFFER + 1));
	refused(&cfg, &opt, -HVO_EINVAL, "memory: there is no kind 5");
	opt = options(HVO_LINUX_HUGETLB);
	opt.page_order = 10;
	refused(&cfg, &opt, -HVO_EINVAL, "page_order: 10 is neither 9");
	opt = options(HVO_LINUX_MEMFD);
	opt.spare_mappings = 1000000;
	refused(&cfg, &opt, -HVO_EINVAL, "spare_mappings");
	cfg.mode = 9;
	refused(&cfg, &opt, -HVO_EINVAL, "mode");
	/* A sentence that does not fit ends all the same; nowhere to say it is no error. */
	opt.why_len = 5;
	refused(&cfg, &opt, -HVO_EINVAL, "mode");
	assert_int_equal(strlen(why), 4);
	opt.why = NULL;
	assert_int_equal(hvo_linux_create(&cfg, &opt, &r.host), -HVO_EINVAL);
}

static void test_strict_numa(void **state)
{
	struct hvo_linux_options opt = options(HVO_LINUX_MEMFD);
	struct hvo_config cfg = config(HVO_ON_DEMAND, 256);
	struct hvo_linux_info info;
	struct rig r;

	(void)state;
	opt.strict_numa = true;
	for (opt.memory = HVO_LINUX_MEMFD; opt.memory <= HVO_LINUX_ANONYMOUS; opt.memory++) {
		cfg.nr_nodes = 1;
		open_rig(&r, &cfg, &opt);
		info = info_of(&r);
		assert_true(info.strict_numa);
		assert_int_equal(sum_of_nodes(&info), 256 * MIB);
		cfg.nr_nodes = info.numa_nodes + 1;
		rig_close(&r);
		if (cfg.nr_nodes > 2)
			continue;
		assert_int_equal(info.node_bytes[0], 256 * MIB);
		refused(&cfg, &opt, -HVO_EINVAL,
			"the machine has 2 nodes, and this process may use 1");
	}
}

/* What a limit refuses, in words. A child's exit status. */
static int limited(int resource, rlim_t most, int expected, const char *sentence)
{
	const struct rlimit limit = { most, most };
	struct hvo_config cfg = config(HVO_ON_DEMAND, 256);
	struct hvo_linux_options opt = options(HVO_LINUX_MEMFD);
	struct hvo_linux *host = NULL;

	if (setrlimit((__rlimit_resource_t)resource, &limit))
		return 2;
	if (hvo_linux_create(&cfg, &opt, &host) != expected || host)
		return 3;
	if (strstr(why, sentence))
		return 0;
	fprintf(stderr, "\"%s\" does not say \"%s\"\n", why, sentence);
	return 4;
}

static void test_limits(void **state)
{
	static const struct {
		int resource, rc;
		rlim_t most;
		const char *sentence;
	} limits[] = {
		{ RLIMIT_FSIZE, -HVO_EFBIG, 128 * MIB,
		  "files of this process may not have 256 MiB" },
		{ RLIMIT_AS, -HVO_ENOMEM, 768 * MIB, "RLIMIT_AS" },
		{ RLIMIT_NOFILE, -HVO_ENOMEM, 3, "not enough memory" },
	};
	unsigned int i;
	int status;
	pid_t pid;

	(void)state;
	/* A sanitizer's own addresses are beyond any limit. */
	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		if (limits[i].resource == RLIMIT_AS && (WITH_ASAN || WITH_TSAN))
			continue;
		fflush(NULL);
		pid = fork();
		if (!pid)
			_exit(limited(limits[i].resource, limits[i].most, limits[i].rc,
				      limits[i].sentence));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memfd),
		cmocka_unit_test(test_memfd_huge),
		cmocka_unit_test(test_anonymous),
		cmocka_unit_test(test_anonymous_huge),
		cmocka_unit_test(test_hugetlb),
		cmocka_unit_test(test_hugetlb_missing),
		cmocka_unit_test(test_hugetlb_group),
		cmocka_unit_test(test_hugetlb_in_parts),
		cmocka_unit_test(test_hugetlb_gigantic),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_file_wrong),
		cmocka_unit_test(test_file_truncated),
		cmocka_unit_test(test_file_of_hugetlbfs),
		cmocka_unit_test(test_buffer),
		cmocka_unit_test(test_layouts),
		cmocka_unit_test(test_strict_numa),
		cmocka_unit_test(test_limits),
	};

	return run_program(argc, argv, tests, setup, teardown);
}
