// SPDX-License-Identifier: MIT
/*
 * What a loan's memory is like, where the client asked for something: there, huge in hardware, of the
 * system's own pool; and that the pages that stand for it in the served machine move where they
 * may, in use by nobody while they do, and else keep their memory from going offline.
 */
#include "hostpool.h"
#include "lender.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <hvo/hotplug.h>

#define ORDER HVO_PAGEBLOCK_ORDER
#define SECTION HVO_SECTION_FRAMES
#define LENT 8u
#define BYTES (LENT * HVO_PAGEBLOCK_SIZE)

static int borrow_with(struct hvo_client *c, uint64_t flags, uint64_t nr, struct hvo_loan *ret)
{
	struct hvo_borrow_options opt = { .size = sizeof(opt), .flags = flags };

	*ret = (struct hvo_loan){ .size = sizeof(*ret), .fd = -77 };
	return hvo_client_borrow_with(c, ORDER, nr, HVO_NODE_ANY, &opt, ret);
}

static struct hvo_loan borrow(struct hvo_client *c, uint64_t flags, uint64_t nr)
{
	struct hvo_loan loan;

	assert_int_equal(borrow_with(c, flags, nr, &loan), 0);
	assert_int_equal(loan.bytes, nr * HVO_PAGEBLOCK_SIZE);
	return loan;
}

/* Of @at, a mapping of a loan, what the hardware maps as huge pages, as the kernel says. */
static uint64_t huge_in_hardware(const void *at)
{
	unsigned long start, end, kib;
	uint64_t sum = 0;
	bool mine = false;
	char line[512];
	FILE *f = fopen("/proc/self/smaps", "re");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			mine = start == (unsigned long)at;
		else if (mine && (sscanf(line, "ShmemPmdMapped: %lu", &kib) == 1 ||
				  sscanf(line, "Shared_Hugetlb: %lu", &kib) == 1 ||
				  sscanf(line, "Private_Hugetlb: %lu", &kib) == 1))
			sum += (uint64_t)kib << 10;
	}
	(void)fclose(f);
	return sum;
}

/* Written to, and then looked at by the kernel's figures. */
static uint64_t use_mapping(const struct hvo_loan *loan)
{
	uint64_t huge;
	void *at;

	assert_int_equal(hvo_client_map(loan, &at), 0);
	assert_int_equal((uintptr_t)at % HVO_PAGEBLOCK_SIZE, 0);
	memset(at, 0x5a, loan->bytes);
	huge = huge_in_hardware(at);
	assert_int_equal(munmap(at, loan->bytes), 0);
	return huge;
}

/* ---- memory that is there ------------------------------------------------------------------- */

static void test_populated(void **state)
{
	struct hvo_loan loan, other;
	struct server s = { 0 };
	struct hvo_client *c;
	uint64_t arena;

	(void)state;
	server_open_default(&s);
	arena = server_arena_bytes(&s);
	c = server_client(&s);
	loan = borrow(c, HVO_BORROW_POPULATE, LENT);
	assert_int_equal(fd_bytes(loan.fd), BYTES);
	other = borrow(c, 0, LENT);
	assert_int_equal(fd_bytes(other.fd), 0);
	assert_int_equal(other.huge_bytes, 0);
	assert_int_equal(server_arena_bytes(&s), arena - 2 * BYTES);
	assert_int_equal(hvo_client_return(c, &loan), 0);
	assert_int_equal(hvo_client_return(c, &other), 0);
	assert_int_equal(server_arena_bytes(&s), arena);
	hvo_client_close(c);
	server_close(&s);
}

/* The kernel may have no huge page just now: what is said is what is there. */
static void test_collapsed(void **state)
{
	struct server s = { 0 };
	struct hvo_client *c;
	struct hvo_loan loan;

	(void)state;
	server_open_default(&s);
	c = server_client(&s);
	loan = borrow(c, HVO_BORROW_COLLAPSE, LENT);
	assert_int_equal(fd_bytes(loan.fd), BYTES);
	assert_in_range(loan.huge_bytes, 0, BYTES);
	assert_int_equal(use_mapping(&loan), loan.huge_bytes);
	if (!access("/sys/kernel/mm/transparent_hugepage", F_OK))
		assert_in_range(loan.huge_bytes, HVO_PAGEBLOCK_SIZE, BYTES);
	assert_int_equal(hvo_client_return(c, &loan), 0);
	hvo_client_close(c);
	server_close(&s);
}

/* What a caller gets wrong. */
static void test_options(void **state)
{
	struct hvo_loan loan = { .size = sizeof(loan), .fd = -77 };
	struct hvo_borrow_options opt = { .size = 8 };
	struct {
		struct hvo_borrow_options known;
		uint64_t more;
	} later = { .known = { .size = sizeof(later) }, .more = 1 };
	struct server s = { 0 };
	struct hvo_client *c;
	void *at;

	(void)state;
	server_open_default(&s);
	c = server_client(&s);
	assert_int_equal(hvo_client_borrow_with(c, ORDER, 1, 0, &opt, &loan), -EINVAL);
	assert_int_equal(hvo_client_borrow_with(c, ORDER, 1, 0, &later.known, &loan), -E2BIG);
	assert_int_equal(borrow_with(c, 0x10, 1, &loan), -EINVAL);
	assert_int_equal(borrow_with(c, UINT64_C(1) << 32, 1, &loan), -EINVAL);
	assert_int_equal(loan.fd, -77);
	loan = borrow(c, 0, 1);
	loan.order = HVO_MAX_ORDER + 1;
	assert_int_equal(hvo_client_map(&loan, &at), -EINVAL);
	assert_int_equal(hvo_client_return(c, &loan), 0);
	hvo_client_close(c);
	server_close(&s);
}

/* ---- memory of the system's pool -------------------------------------------------------------- */

static struct hostpool_counters host_counters(const struct hostpool *hp)
{
	struct hostpool_counters c = { 0 };

	assert_true(hostpool_counters(hp, &c));
	return c;
}

/* Reserved at once, there when it is touched, and back when it is given back. */
static void check_hugetlb(const struct hostpool *hp, struct server *s, struct hvo_client *c)
{
	struct hvo_loan loan = borrow(c, HVO_BORROW_HUGETLB | HVO_BORROW_MOVABLE, LENT), other;

	assert_int_equal(loan.huge_bytes, BYTES);
	assert_int_equal(host_counters(hp).pool[HOSTPOOL_2M].reserved, LENT);
	assert_int_equal(host_counters(hp).pool[HOSTPOOL_2M].free, LENT + 1);
	/* Too many, at once and not at the first access; the connection goes on. */
	assert_int_equal(borrow_with(c, HVO_BORROW_HUGETLB, 2, &other), -ENOSPC);
	assert_int_equal(other.fd, -77);
	server_wait_clients(s, 1);
	assert_int_equal(use_mapping(&loan), BYTES);
	assert_int_equal(host_counters(hp).pool[HOSTPOOL_2M].free, 1);
	other = borrow(c, HVO_BORROW_HUGETLB | HVO_BORROW_POPULATE | HVO_BORROW_COLLAPSE, 1);
	assert_int_equal(other.huge_bytes, HVO_PAGEBLOCK_SIZE);
	assert_int_equal(host_counters(hp).pool[HOSTPOOL_2M].free, 0);
	assert_int_equal(hvo_client_return(c, &other), 0);
	assert_int_equal(hvo_client_return(c, &loan), 0);
	assert_int_equal(server_pool_free(s), SERVER_PAGES);
	assert_int_equal(host_counters(hp).pool[HOSTPOOL_2M].free, LENT + 1);
	assert_int_equal(host_counters(hp).pool[HOSTPOOL_2M].reserved, 0);
}

static void test_hugetlb(void **state)
{
	char reason[HOSTPOOL_REASON];
	struct server s = { 0 };
	struct hvo_client *c;
	struct hostpool hp;
	struct hvo_loan loan;

	(void)state;
	if (!hostpool_begin(&hp, reason)) {
		print_message("%s\n", reason);
		skip();
	}
	server_open_default(&s);
	c = server_client(&s);
	assert_int_equal(borrow_with(c, HVO_BORROW_HUGETLB, 1, &loan), -ENOSPC);
	assert_int_equal(hostpool_write_nr(&hp, HOSTPOOL_2M, HOSTPOOL_NR, LENT + 1), 0);
	assert_int_equal(host_counters(&hp).pool[HOSTPOOL_2M].total, LENT + 1);
	check_hugetlb(&hp, &s, c);
	/* Its user ends, and has given back nothing. */
	loan = borrow(c, HVO_BORROW_HUGETLB | HVO_BORROW_POPULATE, LENT);
	hvo_client_close(c);
	server_wait_free(&s, SERVER_PAGES);
	assert_int_equal(host_counters(&hp).pool[HOSTPOOL_2M].free, LENT + 1);
	close(loan.fd);
	server_close(&s);
	assert_true(hostpool_end(&hp));
}

/* A page of 1 GiB is mapped as such, and is asked for as such of a system that may have none. */
static void test_gigantic(void **state)
{
	struct hvo_borrow_options opt = { .size = sizeof(opt), .flags = HVO_BORROW_HUGETLB };
	struct hvo_linux_options sparse = { .size = sizeof(sparse), .sparse = true };
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 3072);
	struct hvo_loan loan = { .size = sizeof(loan) };
	struct server s = { 0 };
	struct hvo_client *c;
	void *at;
	int rc;

	(void)state;
	assert_int_equal(hvo_linux_create(&cfg, &sparse, &s.r.host), 0);
	s.r.m = hvo_linux_machine(s.r.host);
	server_serve(&s);
	assert_int_equal(rig_resize(rig_pool_new(&s.r, HVO_GIGA_ORDER), HVO_NODE_ANY, 1).done, 1);
	c = server_client(&s);
	assert_int_equal(hvo_client_borrow(c, HVO_GIGA_ORDER, 1, HVO_NODE_ANY, &loan), 0);
	assert_int_equal(hvo_client_map(&loan, &at), 0);
	assert_int_equal((uintptr_t)at % loan.bytes, 0);
	*(volatile char *)at = 1;
	assert_int_equal(munmap(at, loan.bytes), 0);
	assert_int_equal(hvo_client_return(c, &loan), 0);
	rc = hvo_client_borrow_with(c, HVO_GIGA_ORDER, 1, HVO_NODE_ANY, &opt, &loan);
	assert_true(!rc || rc == -ENOSPC || rc == -EOPNOTSUPP);
	if (!rc)
		assert_int_equal(hvo_client_return(c, &loan), 0);
	hvo_client_close(c);
	server_wait_free(&s, SERVER_PAGES);
	server_close(&s);
}

/* ---- pages that move ------------------------------------------------------------------------------ */

/* A machine with a section of movable memory at its end, all of which is lent. */
struct movable {
	struct server s;
	struct hvo_client *c;
	struct hvo_loan loan;
	hvo_pfn_t start, end; /* of the section */
	uint64_t nr;	      /* pages of the pool */
};

static bool is_in_use(struct rig *r, hvo_pfn_t start, hvo_pfn_t end)
{
	for (; start < end; start += HVO_PAGEBLOCK_FRAMES)
		if (hvo_pages_held(r->m, start, 1))
			return true;
	return false;
}

/* @added: it was hot-plugged, and not there from the start. */
static void movable_open(struct movable *v, enum hvo_mode mode, bool added, uint64_t flags)
{
	struct hvo_config cfg = rig_config(mode, added ? 256 : 384);

	*v = (struct movable){ .start = 2 * SECTION, .end = 3 * SECTION };
	cfg.movable_bytes = added ? 0 : HVO_SECTION_SIZE;
	cfg.hotplug_bytes = added ? HVO_SECTION_SIZE : 0;
	server_open(&v->s, &cfg);
	if (added) {
		assert_int_equal(hvo_memory_add(v->s.r.m, 0, v->start, v->end, 0), 0);
		assert_int_equal(hvo_memory_online(v->s.r.m, v->start, v->end, HVO_ZONE_MOVABLE),
				 0);
	}
	v->nr = rig_resize(v->s.pool, HVO_NODE_ANY, 100).done + SERVER_PAGES;
	assert_int_equal(v->nr, 100);
	v->c = server_client(&v->s);
	v->loan = borrow(v->c, flags, v->nr);
	assert_true(is_in_use(&v->s.r, v->start, v->end));
	assert_int_equal(pwrite(v->loan.fd, "kept", 4, 0), 4);
}

static void movable_close(struct movable *v)
{
	if (v->loan.fd >= 0)
		assert_int_equal(hvo_client_return(v->c, &v->loan), 0);
	hvo_client_close(v->c);
	server_wait_free(&v->s, v->nr);
	server_close(&v->s);
}

static void check_kept(const struct movable *v)
{
	char text[5] = "";

	assert_int_equal(pread(v->loan.fd, text, 4, 0), 4);
	assert_string_equal(text, "kept");
	assert_int_equal(fd_bytes(v->loan.fd), HVO_FRAME_SIZE);
}

/* All pages leave the section; the sum of memory stays, and they come back as from anywhere. */
static void check_offline(enum hvo_mode mode, bool added)
{
	struct movable v;
	uint64_t arena;

	movable_open(&v, mode, added, HVO_BORROW_MOVABLE);
	arena = server_arena_bytes(&v.s);
	assert_int_equal(server_stat(&v.s).pools[0].pinned, 0);
	assert_int_equal(hvo_memory_offline(v.s.r.m, v.start, v.end), 0);
	assert_int_equal(server_arena_bytes(&v.s), arena);
	assert_int_equal(server_stat(&v.s).pools[0].lent, v.nr);
	check_kept(&v);
	rig_audit(&v.s.r);
	if (added)
		assert_int_equal(hvo_memory_remove(v.s.r.m, v.start, v.end), 0);
	else
		assert_int_equal(hvo_memory_online(v.s.r.m, v.start, v.end, HVO_ZONE_MOVABLE), 0);
	movable_close(&v);
}

static void test_offline(void **state)
{
	(void)state;
	check_offline(HVO_ON_DEMAND, false);
	check_offline(HVO_ON_DEMAND, true);
	check_offline(HVO_LINUX, false);
	check_offline(HVO_LINUX, true);
}

/* Where the client did not say so they stay, and so does their memory. */
static void test_pinned(void **state)
{
	struct movable v;
	uint64_t arena;

	(void)state;
	movable_open(&v, HVO_ON_DEMAND, false, 0);
	arena = server_arena_bytes(&v.s);
	assert_int_equal(server_stat(&v.s).pools[0].pinned, v.nr);
	assert_int_equal(hvo_memory_offline(v.s.r.m, v.start, v.end), -HVO_EBUSY);
	assert_int_equal(hvo_section_state(v.s.r.m, v.start), HVO_SECTION_ONLINE);
	assert_int_equal(server_arena_bytes(&v.s), arena);
	check_kept(&v);
	assert_int_equal(hvo_client_return(v.c, &v.loan), 0);
	assert_int_equal(hvo_memory_offline(v.s.r.m, v.start, v.end), 0);
	v.nr = server_pool_free(&v.s);
	movable_close(&v);
}

/* The old place cannot have its memory back, or there is no new place: all is as before. */
static void test_no_way(void **state)
{
	struct hog hog = { 0 };
	struct movable v;
	uint64_t arena;

	(void)state;
	movable_open(&v, HVO_LINUX, false, HVO_BORROW_MOVABLE);
	arena = server_arena_bytes(&v.s);
	server_memory(0);
	assert_int_equal(hvo_memory_offline(v.s.r.m, v.start, v.end), -HVO_EBUSY);
	assert_int_equal(server_arena_bytes(&v.s), arena);
	server_memory(UINT64_MAX);
	hog_all(&v.s.r, &hog, 0, false);
	assert_int_equal(hvo_memory_offline(v.s.r.m, v.start, v.end), -HVO_ENOMEM);
	assert_int_equal(server_arena_bytes(&v.s), arena);
	check_kept(&v);
	hog_release(&v.s.r, &hog, UINT64_MAX);
	movable_close(&v);
}

/* ---- while one moves ------------------------------------------------------------------------------- */

/* In the middle of the first move: its loan is given back. */
static void return_loan(void *arg)
{
	struct movable *v = arg;

	assert_int_equal(hvo_client_return(v->c, &v->loan), 0);
	assert_in_range(server_stat(&v->s).pools[0].pending, 1, v->nr);
}

static void test_returned_meanwhile(void **state)
{
	struct movable v;
	int rc;

	(void)state;
	movable_open(&v, HVO_ON_DEMAND, false, HVO_BORROW_MOVABLE);
	server_at_populate(return_loan, &v);
	rc = hvo_memory_offline(v.s.r.m, v.start, v.end);
	/* Pages on their way back do not move. */
	assert_true(!rc || rc == -HVO_EBUSY);
	assert_int_equal(v.loan.fd, -1);
	server_wait_free(&v.s, rig_pool(v.s.pool, HVO_NODE_ANY).total);
	v.nr = server_pool_free(&v.s);
	movable_close(&v);
}

static uint32_t closed;

static void *close_lend(void *arg)
{
	struct movable *v = arg;
	uint64_t left = hvo_lend_close(v->s.lend);

	__atomic_store_n(&closed, 1, __ATOMIC_RELEASE);
	return (void *)(uintptr_t)left;
}

static pthread_t closer;

/* In the middle of the first move: all of it is to end, and waits for this one. */
static void close_meanwhile(void *arg)
{
	struct movable *v = arg;
	int i;

	assert_int_equal(pthread_create(&closer, NULL, close_lend, arg), 0);
	/* If it does not wait, all others come back. */
	for (i = 0; i < 500 && server_pool_free(&v->s) < v->nr - 1; i++)
		usleep(1000);
	assert_int_equal(__atomic_load_n(&closed, __ATOMIC_ACQUIRE), 0);
}

static void test_closed_meanwhile(void **state)
{
	struct movable v;
	void *left;
	int rc;

	(void)state;
	movable_open(&v, HVO_ON_DEMAND, false, HVO_BORROW_MOVABLE);
	server_at_populate(close_meanwhile, &v);
	rc = hvo_memory_offline(v.s.r.m, v.start, v.end);
	assert_true(!rc || rc == -HVO_EBUSY);
	assert_int_equal(pthread_join(closer, &left), 0);
	assert_null(left);
	close(v.loan.fd);
	hvo_client_close(v.c);
	rig_audit(&v.s.r);
	server_start(&v.s);
	assert_int_equal(server_stat(&v.s).loans, 0);
	server_close(&v.s);
}

/* At the end, some of them without memory: they stay in use, and have no owner who is gone. */
static void test_left(void **state)
{
	struct movable v;
	hvo_pfn_t pfn;

	(void)state;
	movable_open(&v, HVO_ON_DEMAND, false, HVO_BORROW_MOVABLE);
	server_memory(0);
	assert_int_equal(hvo_lend_close(v.s.lend), v.nr);
	server_memory(UINT64_MAX);
	assert_int_equal(hvo_memory_offline(v.s.r.m, v.start, v.end), -HVO_EBUSY);
	for (pfn = v.start; pfn < v.end; pfn += HVO_PAGEBLOCK_FRAMES)
		assert_int_equal(rig_page(&v.s.r, pfn)->owner, 0);
	close(v.loan.fd);
	hvo_client_close(v.c);
	server_start(&v.s);
	server_close(&v.s);
}

/* A machine has a number of owners, and each server is one. */
static void test_no_owner(void **state)
{
	static struct hvo_owner owners[HVO_MAX_OWNERS];
	struct hvo_lend *other = NULL;
	struct server s = { 0 };
	uint32_t id = 0, i;
	char path[128];
	int rc = 0;

	(void)state;
	server_open_default(&s);
	(void)snprintf(path, sizeof(path), "%s.other", s.path);
	for (i = 0; !rc && i < HVO_MAX_OWNERS; i++) {
		owners[i] = (struct hvo_owner){ .size = sizeof(owners[i]),
						.isolate = rig_never_isolate,
						.move = rig_never_move,
						.putback = rig_putback };
		rc = hvo_owner_register(s.r.m, &owners[i], &id);
	}
	assert_int_equal(rc, -HVO_ENOSPC);
	assert_int_equal(hvo_lend_open(s.r.host, path, NULL, &other), -ENOSPC);
	assert_int_equal(access(path, F_OK), -1);
	assert_null(other);
	server_close(&s);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_populated),
		cmocka_unit_test(test_collapsed),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_hugetlb),
		cmocka_unit_test(test_gigantic),
		cmocka_unit_test(test_offline),
		cmocka_unit_test(test_pinned),
		cmocka_unit_test(test_no_way),
		cmocka_unit_test(test_returned_meanwhile),
		cmocka_unit_test(test_closed_meanwhile),
		cmocka_unit_test(test_left),
		cmocka_unit_test(test_no_owner),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
