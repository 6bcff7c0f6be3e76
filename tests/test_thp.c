// SPDX-License-Identifier: MIT
/*
 * Machines whose memory is transparent huge pages: that they are asked for, got and counted, and
 * that cutting, folding and giving back go on exactly where a huge page is in the way.
 *
 * States and locks: the kernel's switch for shared memory says "advise" from setup to teardown
 * unless it allowed them before; a guardian puts it back, and its file is locked meanwhile.
 * In Linux: mm/shmem.c, shmem_enabled; tools/testing/selftests/mm/khugepaged.c.
 */
#include "harness.h"

#include "cli/guardian.h"
#include "platform/linux/host.h"

#include <hvo/hotplug.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define SWITCH "/sys/kernel/mm/transparent_hugepage/shmem_enabled"

static struct {
	int fd;
	char before[32];
	struct guardian guardian;
	const char *why; /* not; NULL: huge pages can be had */
} thp = { .fd = -1 };

/* "always within_size advise [never] deny force" */
static bool read_switch(int fd, char word[32])
{
	char line[256] = "", *start;
	ssize_t n = pread(fd, line, sizeof(line) - 1, 0);

	start = n > 0 ? strchr(line, '[') : NULL;
	return start && sscanf(start, "[%31[a-z_]]", word) == 1;
}

static bool write_switch(const char *word)
{
	return pwrite(thp.fd, word, strlen(word), 0) == (ssize_t)strlen(word);
}

static bool put_back(const void *arg)
{
	(void)arg;
	return write_switch(thp.before);
}

static const char *take_switch(void)
{
	char now[32];

	if (!access(SWITCH, F_OK) && hvo_linux_thp_allowed())
		return NULL;
	thp.fd = open(SWITCH, O_RDWR | O_CLOEXEC);
	if (thp.fd < 0)
		return "this kernel has none, or only root may ask for them";
	if (flock(thp.fd, LOCK_EX) || !read_switch(thp.fd, thp.before) ||
	    !guardian_start(&thp.guardian, put_back, NULL)) {
		close(thp.fd);
		thp.fd = -1;
		return "no guardian for the kernel's switch";
	}
	return write_switch("advise") && read_switch(thp.fd, now) && !strcmp(now, "advise") ?
		       NULL :
		       "the kernel's switch cannot be changed";
}

static int setup(void **state)
{
	(void)state;
	thp.why = take_switch();
	return 0;
}

static int teardown(void **state)
{
	bool ok;

	(void)state;
	if (thp.fd < 0)
		return 0;
	ok = guardian_end(&thp.guardian);
	close(thp.fd);
	return ok ? 0 : -1;
}

static void need_thp(void)
{
	if (!thp.why)
		return;
	print_message("%s\n", thp.why);
	skip();
}

static struct hvo_linux_info info_of(struct rig *r)
{
	struct hvo_linux_info info = { .size = sizeof(info) };

	assert_int_equal(hvo_linux_info(r->host, &info), 0);
	return info;
}

static void test_asked(void **state)
{
	const struct hvo_linux_options without = { .size = sizeof(without), .no_thp = true };
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 256);
	struct hvo_linux_info info = { .size = sizeof(info) };
	struct hvo_linux *host;
	struct rig r;

	(void)state;
	need_thp();
	rig_open(&r, RIG_LINUX, &cfg);
	info = info_of(&r);
	assert_true(info.thp_asked);
	/* Where memory is in pieces there are fewer. */
	assert_in_range(info.thp_bytes, HVO_BLOCK_SIZE, 256 * MIB);
	assert_int_equal(info.thp_bytes % HVO_BLOCK_SIZE, 0);
	assert_int_equal(info.backed_bytes, 256 * MIB);
	rig_close(&r);
	assert_int_equal(hvo_linux_create(&cfg, &without, &host), 0);
	assert_int_equal(hvo_linux_info(host, &info), 0);
	assert_false(info.thp_asked);
	hvo_linux_close(host);
}

/* Everything cut into frames, folded again, and all of it twice. */
static void whole_and_cut(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	struct hvo_pool *pool;
	struct hog h = { 0 };
	struct rig r;
	int i;

	rig_open(&r, RIG_LINUX, &cfg);
	pool = rig_pool_new(&r, 9);
	for (i = 0; i < 2; i++) {
		hog_all(&r, &h, 0, true);
		assert_true(hog_intact(&r, &h));
		rig_audit(&r);
		hog_release(&r, &h, UINT64_MAX);
		hvo_collapse(r.m, UINT64_MAX, NULL);
		rig_audit(&r);
		assert_int_equal(rig_resize(pool, HVO_NODE_ANY, 40).done, 40);
		rig_audit(&r);
		assert_int_equal(rig_resize(pool, HVO_NODE_ANY, 0).done, 40);
	}
	assert_int_equal(info_of(&r).backed_bytes, 128 * MIB);
	rig_close(&r);
}

static void test_whole_and_cut(void **state)
{
	(void)state;
	need_thp();
	whole_and_cut(HVO_ON_DEMAND);
	whole_and_cut(HVO_LINUX);
}

/* Exactly what is reported, or goes offline and is removed, is with the system. */
static void given_back(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 512);
	hvo_pfn_t end = 512 * MIB / HVO_FRAME_SIZE, start = end - HVO_SECTION_FRAMES, pfn;
	struct hog h = { 0 };
	uint64_t before;
	struct rig r;
	int64_t done;

	cfg.movable_bytes = HVO_SECTION_SIZE;
	rig_open(&r, RIG_LINUX, &cfg);
	pfn = rig_alloc(&r, HVO_GFP_KERNEL, 0);
	rig_fill(&r, pfn, 1, 99);
	before = info_of(&r).backed_bytes;
	done = hvo_report_free(r.m, HVO_NODE_ANY, 9, UINT64_MAX, NULL);
	assert_true(done >= (int64_t)(400 * MIB / HVO_FRAME_SIZE));
	assert_int_equal(info_of(&r).backed_bytes, before - (uint64_t)done * HVO_FRAME_SIZE);
	assert_true(rig_intact(&r, pfn, 1, 99));
	hog_all(&r, &h, 0, true);
	assert_int_equal(info_of(&r).backed_bytes, before);
	assert_true(hog_intact(&r, &h));
	rig_audit(&r);
	hog_release(&r, &h, UINT64_MAX);
	assert_int_equal(hvo_memory_offline(r.m, start, end), 0);
	assert_int_equal(hvo_memory_remove(r.m, start, end), 0);
	assert_int_equal(info_of(&r).backed_bytes, before - HVO_SECTION_SIZE);
	rig_audit(&r);
	assert_int_equal(hvo_memory_add(r.m, 0, start, end, 0), 0);
	assert_int_equal(hvo_memory_online(r.m, start, end, HVO_ZONE_MOVABLE), 0);
	assert_int_equal(info_of(&r).backed_bytes, before);
	rig_audit(&r);
	assert_true(rig_intact(&r, pfn, 1, 99));
	rig_put(&r, pfn);
	rig_close(&r);
}

static void test_given_back(void **state)
{
	(void)state;
	need_thp();
	given_back(HVO_ON_DEMAND);
	given_back(HVO_LINUX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_asked),
		cmocka_unit_test(test_whole_and_cut),
		cmocka_unit_test(test_given_back),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
