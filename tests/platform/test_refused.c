// SPDX-License-Identifier: MIT
/*
 * The linux platform on a host that says no: each call to the host fails once, with each error that
 * the host may have, and from there on. What was asked for is done or refused with an error, the
 * audit is clean, and nothing is left behind.
 */
#include "harness.h"
#include "refuse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "platform/linux/host.h"

#define MAX_POINTS 4000
#define MEMORY (128 * MIB)
/* Of the calls that one machine repeats, one in so many fails. */
#define STEP_LATER 7
#define FIRST_POINTS 80

static const struct way {
	int error;
	bool sticky;
} ways[] = {
	{ ENOMEM, false }, { EINVAL, false }, { EPERM, false },
	{ EINTR, false },  { ENOMEM, true },  { EINVAL, true },
};

static const char *const maps = "/proc/self/mountinfo", *const groups = "/proc/self/cgroup",
			 *const thp = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

static bool is_error(int rc)
{
	return rc < 0 && rc > -200;
}

/* Cut, restore, move, hand out and take back: all that maps something. */
static void use(struct hvo_machine *m, struct hvo_linux *host)
{
	struct hvo_linux_info info = { .size = sizeof(info) };
	struct hvo_resize_result done;
	struct hvo_pool *pool = NULL;
	hvo_pfn_t small[64], huge = 0, pfn;
	unsigned int nr, i;
	bool more;
	int rc;

	for (nr = 0; nr < 64; nr++)
		if (hvo_alloc_pages(m, HVO_GFP_NOWARN, nr % 8, HVO_NODE_ANY, &small[nr]))
			break;
	rc = hvo_pool_create(m, HVO_PAGEBLOCK_ORDER, &pool);
	assert_true(!rc || is_error(rc));
	if (!rc) {
		rc = hvo_pool_resize(pool, HVO_NODE_ANY, 8, &done);
		assert_true(!rc || is_error(rc));
		rc = hvo_pool_alloc(pool, HVO_GFP_NOWARN, HVO_NODE_ANY, &huge);
		assert_true(!rc || is_error(rc));
		if (!rc)
			assert_int_equal(hvo_put_page(m, huge), 0);
		rc = hvo_pool_resize(pool, HVO_NODE_ANY, 0, &done);
		assert_true(!rc || is_error(rc));
	}
	rc = hvo_linux_info(host, &info);
	assert_true(!rc || is_error(rc));
	for (i = 0; i < nr; i++)
		(void)hvo_put_page(m, small[i]);
	if (!hvo_alloc_pages(m, HVO_GFP_NOWARN, 0, HVO_NODE_ANY, &pfn)) {
		rc = hvo_linux_discard(host, pfn, 1);
		assert_true(!rc || is_error(rc));
		rc = hvo_linux_populate(host, pfn, 1);
		assert_true(!rc || is_error(rc));
		(void)hvo_put_page(m, pfn);
	}
	(void)hvo_work(m, 1000, &more);
}

static void on_finding(void *arg, const struct hvo_finding *f)
{
	(void)arg;
	fprintf(stderr, "%s %s at %#llx\n", f->rule, f->what, (unsigned long long)f->where);
}

/* Whether a call failed. */
static bool run(const struct hvo_config *cfg, const struct hvo_linux_options *opt,
		unsigned long point, const struct way *way)
{
	struct hvo_linux *host = NULL;
	bool more, failed;
	int rc;

	refuse_from(point, way->sticky, way->error);
	rc = hvo_linux_create(cfg, opt, &host);
	if (rc) {
		failed = refuse_end();
		assert_true(is_error(rc) && failed);
		assert_null(host);
		return true;
	}
	use(hvo_linux_machine(host), host);
	failed = refuse_end();
	(void)hvo_work(hvo_linux_machine(host), UINT64_MAX, &more);
	assert_int_equal(hvo_machine_audit(hvo_linux_machine(host), on_finding, NULL), 0);
	hvo_linux_close(host);
	return failed;
}

static void each_point(const struct hvo_config *cfg, const struct hvo_linux_options *opt)
{
	unsigned int before = open_files(), w;
	unsigned long point;

	for (w = 0; w < sizeof(ways) / sizeof(ways[0]); w++) {
		for (point = 1; point < MAX_POINTS;
		     point += point < FIRST_POINTS ? 1 : STEP_LATER) {
			repeat_with("HVO_POINT", "%lu (errno %d%s)", point, ways[w].error,
				    ways[w].sticky ? ", and all after it" : "");
			if (!run(cfg, opt, point, &ways[w]))
				break;
			assert_int_equal(open_files(), before);
		}
		assert_in_range(point, 10, MAX_POINTS - 1);
	}
	repeat_with("HVO_POINT", NULL);
}

static void test_sparse(void **state)
{
	struct hvo_linux_options opt = { .size = sizeof(opt), .sparse = true };
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, MEMORY / MIB);

	(void)state;
	each_point(&cfg, &opt);
	cfg = rig_config(HVO_LINUX, MEMORY / MIB);
	each_point(&cfg, &opt);
}

/* Memory without a descriptor, and a file of the caller's: the table layout. */
static void test_arenas(void **state)
{
	struct hvo_linux_options opt = { .size = sizeof(opt),
					 .sparse = true,
					 .memory = HVO_LINUX_ANONYMOUS };
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, MEMORY / MIB);

	(void)state;
	cfg.layout = HVO_LAYOUT_TABLE;
	each_point(&cfg, &opt);
	opt.memory = HVO_LINUX_FILE;
	opt.strict_numa = true;
	opt.fd = memfd_create("test_refused", MFD_CLOEXEC);
	assert_true(opt.fd >= 0);
	assert_int_equal(ftruncate(opt.fd, MEMORY), 0);
	each_point(&cfg, &opt);
	close(opt.fd);
}

/* All memory is there from the beginning, with huge pages where they are allowed. */
static void test_populated(void **state)
{
	struct hvo_linux_options opt = { .size = sizeof(opt), .worker = true };
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, MEMORY / MIB);
	static const struct way way = { ENOMEM, false };
	unsigned long point;

	(void)state;
	refuse_file(thp, "always [advise] never\n");
	for (point = 1; point < FIRST_POINTS && run(&cfg, &opt, point, &way); point++)
		;
	refuse_file(thp, NULL);
	assert_in_range(point, 10, FIRST_POINTS);
}

/* ---- what the host's files say ---------------------------------------------------------- */

static void test_huge_pages(void **state)
{
	(void)state;
	refuse_file(thp, "always [advise] never\n");
	assert_true(hvo_linux_thp_allowed());
	refuse_file(thp, "always advise [never]\n");
	assert_false(hvo_linux_thp_allowed());
	refuse_file(thp, "always advise never [deny]\n");
	assert_false(hvo_linux_thp_allowed());
	refuse_file(thp, "\n");
	assert_false(hvo_linux_thp_allowed());
	refuse_file(thp, NULL);
	refuse_from(1, true, ENOENT);
	assert_false(hvo_linux_thp_allowed());
	assert_int_equal(hvo_linux_max_map_count(), 65530);
	assert_true(refuse_end());
}

/* Without /proc nobody knows better: as much as is asked for. */
static void test_memory_unknown(void **state)
{
	(void)state;
	refuse_from(1, true, ENOENT);
	assert_true(hvo_linux_memory_available() == UINT64_MAX);
	assert_true(refuse_end());
}

static const struct hierarchy {
	const char *mount, *group, *limit, *usage, *inactive, *active;
} hierarchies[] = {
	{ "cgroup cgroup rw,memory", "9:cpu,memory:", "memory.limit_in_bytes",
	  "memory.usage_in_bytes", "total_inactive_file", "total_active_file" },
	{ "cgroup2 cgroup rw", "0::", "memory.max", "memory.current", "inactive_file",
	  "active_file" },
};

/* The text lasts as long as the test. */
static void say(const char *dir, const char *file, const char *fmt, ...)
{
	static char texts[16][128], paths[16][128];
	static unsigned int nr;
	unsigned int i = nr++ % 16;
	va_list ap;

	(void)snprintf(paths[i], sizeof(paths[i]), "%s/%s", dir, file);
	va_start(ap, fmt);
	(void)vsnprintf(texts[i], sizeof(texts[i]), fmt, ap);
	va_end(ap);
	refuse_file(paths[i], texts[i]);
}

/* The host has more than these 700,000 bytes. */
static void group_is(const struct hierarchy *h, const char *root, const char *path, uint64_t room)
{
	char text[512], group[4096];

	(void)snprintf(text, sizeof(text),
		       "nonsense\n20 1 0:1 / /x rw - tmpfs tmpfs rw\n"
		       "21 1 0:2 / /y rw - cgroup cgroup rw,cpu\n22 1 0:3 %s /hvo rw - %s\n",
		       root, h->mount);
	(void)snprintf(group, sizeof(group), "nonsense\n7:x\n3:cpu:/y\n%s%s\n", h->group, path);
	refuse_file(maps, text);
	refuse_file(groups, group);
	if (room)
		assert_int_equal(hvo_linux_memory_available(), room);
	else
		assert_true(hvo_linux_memory_available() > 1000000);
	refuse_file(maps, NULL);
	refuse_file(groups, NULL);
}

/* Of a group and those above it the one with the least room counts. */
static void test_groups(void **state)
{
	const struct hierarchy *h;
	char longest[3000];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	for (h = hierarchies; h < hierarchies + 2; h++) {
		refuse_files_end();
		group_is(h, "/", "/a/b", 0);
		say("/hvo/a/b", h->limit, "max\n");
		group_is(h, "/", "/a/b", 0);
		say("/hvo/a", h->limit, "1000000\n");
		group_is(h, "/", "/a/b", 0);
		say("/hvo/a", h->usage, "300000\n");
		group_is(h, "/", "/a/b", 700000);
		/* The page cache goes when it has to; so much more is there. */
		say("/hvo/a", "memory.stat", "x 1\n%s 100000\n%s 50000\n", h->inactive, h->active);
		group_is(h, "/", "/a/b", 850000);
		say("/hvo/a", "memory.stat", "%s 900000\n", h->inactive);
		group_is(h, "/", "/a/b", 1000000);
		say("/hvo", h->limit, "1000\n");
		say("/hvo", h->usage, "999\n");
		group_is(h, "/", "/a/b", 1);
		/* A container's mount shows what is below its own group. */
		group_is(h, "/outer", "/outer/a", 1);
		group_is(h, "/outer", "/else", 1);
		group_is(h, "/", longest, 0);
	}
	refuse_files_end();
	/* Neither is mounted, or the process is in no group. */
	refuse_file(maps, "nonsense\n");
	assert_true(hvo_linux_memory_available() > 1000000);
	refuse_files_end();
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sparse),	       cmocka_unit_test(test_arenas),
		cmocka_unit_test(test_populated),      cmocka_unit_test(test_huge_pages),
		cmocka_unit_test(test_memory_unknown), cmocka_unit_test(test_groups),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
