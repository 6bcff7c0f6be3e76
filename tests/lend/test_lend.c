/* SPDX-License-Identifier: MIT */
/*
 * Huge pages lent to other processes: that they come back, all of them and empty, whatever the
 * client does; that the sum of memory stays what it was; what clients are refused, and what
 * those do to others who do not keep to the protocol.
 *
 * The server runs in this process, clients in it too or in forked children. Where something
 * happens in the server's own time, a test waits for it, and fails if it does not come at all.
 */
#include "lender.h"

#include "lend/protocol.h"
#include "platform/linux/host.h"

#include <hvo/migrate.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES SERVER_PAGES
#define ORDER HVO_PAGEBLOCK_ORDER
#define PAGE_SIZE_HUGE HVO_PAGEBLOCK_SIZE
#define BIG_ORDER 14u /* 64 MiB: more than the server does in one step */
#define NOBODY 65534u

/* ---- clients ---------------------------------------------------------------------- */

static struct hvo_loan borrow(struct hvo_client *c, unsigned int order, uint64_t nr)
{
	struct hvo_loan loan = { .size = sizeof(loan) };

	assert_int_equal(hvo_client_borrow(c, order, nr, HVO_NODE_ANY, &loan), 0);
	return loan;
}

static int try_borrow(struct hvo_client *c, uint64_t nr)
{
	struct hvo_loan loan = { .size = sizeof(loan), .fd = -77 };
	int rc = hvo_client_borrow(c, ORDER, nr, HVO_NODE_ANY, &loan);

	/* Untouched after an error. */
	assert_true(!rc || loan.fd == -77);
	if (!rc)
		close(loan.fd);
	return rc;
}

static bool all_bytes(const uint8_t *p, uint64_t len, uint8_t value)
{
	return p[0] == value && !memcmp(p, p + 1, (size_t)len - 1);
}

/* ---- a connection without the library ----------------------------------------------- */

static int raw_connect(struct server *s)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", s->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* An error of the reply that is next, or 1 at the end. */
static int raw_reply(int fd)
{
	struct lend_reply reply;
	ssize_t len = recv(fd, &reply, sizeof(reply), 0);

	if (!len || (len < 0 && errno == ECONNRESET))
		return 1;
	assert_int_equal(len, sizeof(reply));
	assert_int_equal(reply.version, LEND_VERSION);
	return reply.error;
}

static int raw_open(struct server *s)
{
	int fd = raw_connect(s);

	assert_int_equal(raw_reply(fd), 0);
	return fd;
}

static void raw_send(int fd, const void *message, size_t len)
{
	assert_int_equal(send(fd, message, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* ---- there and back --------------------------------------------------------------- */

static void check_seals(const struct hvo_loan *loan)
{
	int seals = fcntl(loan->fd, F_GET_SEALS);

	assert_true(seals >= 0);
	assert_int_equal(seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
			 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	assert_int_equal(ftruncate(loan->fd, (off_t)loan->bytes - 1), -1);
	assert_int_equal(ftruncate(loan->fd, (off_t)loan->bytes + 1), -1);
	assert_int_equal(fallocate(loan->fd, FALLOC_FL_KEEP_SIZE, (off_t)loan->bytes, 4096), -1);
	assert_int_equal(fcntl(loan->fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
}

static void check_not_arena(struct server *s, const struct hvo_loan *loan)
{
	struct stat arena, mine;

	assert_int_equal(fstat(s->r.host->fd, &arena), 0);
	assert_int_equal(fstat(loan->fd, &mine), 0);
	assert_true(arena.st_dev != mine.st_dev || arena.st_ino != mine.st_ino);
	assert_int_equal(mine.st_size, (off_t)loan->bytes);
	assert_true(fcntl(loan->fd, F_GETFD) & FD_CLOEXEC);
}

/* Dirty all free pages of the pool. */
static void dirty_pool(struct server *s)
{
	hvo_pfn_t pfns[PAGES];
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		assert_int_equal(hvo_pool_alloc(s->pool, 0, HVO_NODE_ANY, &pfns[i]), 0);
		memset(hvo_window(s->r.m, pfns[i], HVO_PAGEBLOCK_FRAMES), 0xaa, HVO_PAGEBLOCK_SIZE);
	}
	for (i = 0; i < PAGES; i++)
		assert_int_equal(hvo_pool_free(s->pool, pfns[i]), 0);
}

/* How many free pages of the pool are all zero. */
static unsigned int zero_pages(struct server *s)
{
	hvo_pfn_t pfns[PAGES];
	unsigned int i, zero = 0;

	for (i = 0; i < PAGES; i++) {
		assert_int_equal(hvo_pool_alloc(s->pool, 0, HVO_NODE_ANY, &pfns[i]), 0);
		zero += all_bytes(hvo_window(s->r.m, pfns[i], HVO_PAGEBLOCK_FRAMES),
				  HVO_PAGEBLOCK_SIZE, 0);
	}
	for (i = 0; i < PAGES; i++)
		assert_int_equal(hvo_pool_free(s->pool, pfns[i]), 0);
	return zero;
}

static void test_borrow(void **state)
{
	struct server s = { 0 };
	struct hvo_loan loan = { .size = sizeof(loan) };
	struct hvo_client *c;
	uint64_t arena;
	void *map;
	int kept;

	(void)state;
	server_open_default(&s);
	dirty_pool(&s);
	arena = server_arena_bytes(&s);
	c = server_client(&s);
	loan = borrow(c, ORDER, 40);
	assert_int_equal(loan.bytes, 40 * PAGE_SIZE_HUGE);
	check_seals(&loan);
	check_not_arena(&s, &loan);
	assert_int_equal(server_pool_free(&s), PAGES - 40);
	assert_int_equal(rig_pool(s.pool, HVO_NODE_ANY).total, PAGES);
	assert_int_equal(server_stat(&s).pools[0].lent, 40);

	/* The sum is what it was, however much of the memfd is there. */
	assert_int_equal(server_arena_bytes(&s), arena - loan.bytes);
	assert_int_equal(fd_bytes(loan.fd), 0);
	assert_int_equal(hvo_client_map(&loan, &map), 0);
	assert_int_equal((uintptr_t)map % HVO_PAGEBLOCK_SIZE, 0);
	assert_true(all_bytes(map, loan.bytes, 0));
	memset(map, 0x55, loan.bytes);
	assert_int_equal(fd_bytes(loan.fd), loan.bytes);
	assert_int_equal(server_arena_bytes(&s), arena - loan.bytes);

	/* A mapping and a descriptor that are kept show nothing afterwards, and hold nothing. */
	kept = dup(loan.fd);
	assert_int_equal(hvo_client_return(c, &loan), 0);
	assert_int_equal(loan.fd, -1);
	assert_int_equal(fd_bytes(kept), 0);
	assert_int_equal(server_arena_bytes(&s), arena);
	assert_int_equal(server_pool_free(&s), PAGES);
	assert_true(all_bytes(map, loan.bytes, 0));
	assert_int_equal(zero_pages(&s), 40);
	munmap(map, loan.bytes);
	close(kept);
	hvo_client_close(c);
	server_close(&s);
}

/* Pages that are restored in more than one step, in both modes. */
static void test_big_pages(void **state)
{
	enum hvo_mode mode;

	(void)state;
	for (mode = HVO_ON_DEMAND; mode <= HVO_LINUX; mode++) {
		struct hvo_config cfg = rig_config(mode, 384);
		struct server s = { 0 };
		struct hvo_client *c;
		struct hvo_pool *big;
		struct hvo_loan loan = { .size = sizeof(loan) };
		uint64_t arena;

		server_open(&s, &cfg);
		big = rig_pool_new(&s.r, BIG_ORDER);
		assert_int_equal(rig_resize(big, HVO_NODE_ANY, 3).done, 3);
		arena = server_arena_bytes(&s);
		c = server_client(&s);
		loan = borrow(c, BIG_ORDER, 2);
		assert_int_equal(loan.bytes, 128 * MIB);
		assert_int_equal(server_arena_bytes(&s), arena - 128 * MIB);
		assert_int_equal(rig_pool(big, HVO_NODE_ANY).free, 1);
		assert_int_equal(server_stat(&s).pools[1].lent, 2);
		assert_int_equal(hvo_client_return(c, &loan), 0);
		assert_int_equal(server_arena_bytes(&s), arena);
		assert_int_equal(rig_pool(big, HVO_NODE_ANY).free, 3);
		hvo_client_close(c);
		server_close(&s);
	}
}

/* Another one's loan is none; what a client has goes back with it, and only that. */
static void test_two_clients(void **state)
{
	struct hvo_loan la = { .size = sizeof(la) }, lb = { .size = sizeof(lb) },
			forged = { .size = sizeof(forged) };
	struct server s = { 0 };
	struct hvo_client *a, *b;

	(void)state;
	server_open_default(&s);
	a = server_client(&s);
	b = server_client(&s);
	la = borrow(a, ORDER, 5);
	lb = borrow(b, ORDER, 7);
	assert_int_equal(server_stat(&s).clients, 2);
	forged = la;
	assert_int_equal(hvo_client_return(b, &forged), -EINVAL);
	assert_int_equal(forged.fd, la.fd);
	forged.id += 100;
	assert_int_equal(hvo_client_return(a, &forged), -EINVAL);
	assert_int_equal(server_pool_free(&s), PAGES - 12);
	assert_int_equal(pwrite(lb.fd, "here", 5, 4096), 5);

	hvo_client_close(a);
	server_wait_clients(&s, 1);
	while (server_pool_free(&s) != PAGES - 7)
		usleep(1000);
	assert_int_equal(fd_bytes(lb.fd), 4096);
	assert_int_equal(hvo_client_return(b, &lb), 0);
	/* It is gone already. */
	assert_int_equal(hvo_client_return(b, &lb), -EINVAL);
	assert_int_equal(server_pool_free(&s), PAGES);
	close(la.fd);
	hvo_client_close(b);
	server_close(&s);
}

/* ---- clients that die -------------------------------------------------------------- */

/* In a child: borrow, fill, tell, wait for the end. */
static void borrow_forever(struct server *s, int tell)
{
	struct hvo_client *c;
	struct hvo_loan loan = { .size = sizeof(loan) };
	void *map;

	if (hvo_client_connect(s->path, &c) ||
	    hvo_client_borrow(c, ORDER, 20, HVO_NODE_ANY, &loan) || hvo_client_map(&loan, &map))
		_exit(1);
	memset(map, 0x77, loan.bytes);
	if (write(tell, "x", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static void test_killed(void **state)
{
	enum hvo_mode mode;

	(void)state;
	for (mode = HVO_ON_DEMAND; mode <= HVO_LINUX; mode++) {
		struct hvo_config cfg = rig_config(mode, 128);
		struct server s = { 0 };
		uint64_t arena;
		int tell[2];
		char byte;
		pid_t pid;

		server_open(&s, &cfg);
		dirty_pool(&s);
		arena = server_arena_bytes(&s);
		assert_int_equal(pipe2(tell, O_CLOEXEC), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (!pid)
			borrow_forever(&s, tell[1]);
		assert_int_equal(read(tell[0], &byte, 1), 1);
		assert_int_equal(server_pool_free(&s), PAGES - 20);
		assert_int_equal(server_arena_bytes(&s), arena - 20 * PAGE_SIZE_HUGE);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		server_wait_free(&s, PAGES);
		assert_int_equal(server_arena_bytes(&s), arena);
		assert_int_equal(zero_pages(&s), 20);
		assert_int_equal(server_stat(&s).clients, 0);
		close(tell[0]);
		close(tell[1]);
		server_close(&s);
	}
}

/* Gone before the pages are there: they turn round. */
static void test_gone_while_borrowing(void **state)
{
	struct lend_request request = {
		.version = LEND_VERSION, .op = LEND_BORROW, .nr = PAGES, .order = ORDER, .node = -1
	};
	struct server s = { 0 };
	unsigned int i, before;
	uint64_t arena;
	int fd;

	(void)state;
	server_open_default(&s);
	arena = server_arena_bytes(&s);
	before = open_files();
	for (i = 0; i < 20; i++) {
		fd = raw_open(&s);
		raw_send(fd, &request, sizeof(request));
		if (i % 2)
			usleep(i * 250);
		close(fd);
		if (i % 5)
			server_wait_free(&s, PAGES);
	}
	server_wait_free(&s, PAGES);
	server_wait_clients(&s, 0);
	assert_int_equal(server_arena_bytes(&s), arena);
	assert_int_equal(open_files(), before);
	server_close(&s);
}

/* A child that has copies of all descriptors keeps no connection alive, and no dead one noisy. */
static void test_forked(void **state)
{
	struct server s = { 0 };
	struct hvo_client *c, *other;
	struct hvo_loan loan = { .size = sizeof(loan) };
	pid_t pid;

	(void)state;
	server_open_default(&s);
	c = server_client(&s);
	loan = borrow(c, ORDER, 3);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		for (;;)
			pause();
	hvo_client_close(c);
	close(loan.fd);
	server_wait_free(&s, PAGES);
	other = server_client(&s);
	server_wait_clients(&s, 1);
	loan = borrow(other, ORDER, 3);
	assert_int_equal(hvo_lend_close(s.lend), 0);
	assert_int_equal(try_borrow(other, 1), -EPIPE);
	hvo_client_close(other);
	close(loan.fd);
	server_start(&s);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	server_close(&s);
}

static void test_descriptors(void **state)
{
	struct server s = { 0 };
	unsigned int i, before;

	(void)state;
	server_open_default(&s);
	before = open_files();
	for (i = 0; i < 60; i++) {
		struct hvo_client *c = server_client(&s);
		struct hvo_loan loan = borrow(c, ORDER, 1 + i % 3);

		assert_int_equal(try_borrow(c, PAGES + 1), -ENOMEM);
		if (i % 2)
			assert_int_equal(hvo_client_return(c, &loan), 0);
		else
			close(loan.fd);
		hvo_client_close(c);
		server_wait_free(&s, PAGES);
	}
	server_wait_clients(&s, 0);
	assert_int_equal(open_files(), before);
	server_close(&s);
}

/* ---- what is refused ------------------------------------------------------------------ */

static void test_errors(void **state)
{
	struct hvo_loan loans[LEND_MAX_LOANS], loan = { .size = sizeof(loan) };
	struct server s = { 0 };
	struct hvo_client *c;
	unsigned int i;

	(void)state;
	server_open_default(&s);
	c = server_client(&s);
	assert_int_equal(hvo_client_borrow(c, 10, 1, HVO_NODE_ANY, &loan), -ENOENT);
	assert_int_equal(hvo_client_borrow(c, 0, 1, HVO_NODE_ANY, &loan), -ENOENT);
	assert_int_equal(hvo_client_borrow(c, 99, 1, HVO_NODE_ANY, &loan), -EINVAL);
	assert_int_equal(hvo_client_borrow(c, ORDER, 0, HVO_NODE_ANY, &loan), -EINVAL);
	assert_int_equal(hvo_client_borrow(c, ORDER, 1, 1, &loan), -EINVAL);
	assert_int_equal(hvo_client_borrow(c, ORDER, 1, -2, &loan), -EINVAL);
	assert_int_equal(try_borrow(c, PAGES + 1), -ENOMEM);
	assert_int_equal(try_borrow(c, UINT64_C(1) << 63), -ENOMEM);
	assert_int_equal(try_borrow(c, UINT64_MAX), -ENOMEM);
	assert_int_equal(server_stat(&s).refused, 8);
	for (i = 0; i < LEND_MAX_LOANS; i++)
		loans[i] = borrow(c, ORDER, 1);
	assert_int_equal(try_borrow(c, 1), -EMFILE);
	assert_int_equal(hvo_client_return(c, &loans[0]), 0);
	loans[0] = borrow(c, ORDER, 1);
	assert_int_equal(server_pool_free(&s), PAGES - LEND_MAX_LOANS);
	hvo_client_close(c);
	server_wait_free(&s, PAGES);
	for (i = 0; i < LEND_MAX_LOANS; i++)
		close(loans[i].fd);
	server_close(&s);
}

static void test_quotas(void **state)
{
	struct server s = { .opt = { .client_bytes = 10 * PAGE_SIZE_HUGE,
				     .user_bytes = 15 * PAGE_SIZE_HUGE + 4096 } };
	struct hvo_client_status status = { .size = sizeof(status) };
	struct hvo_client *a, *b;
	struct hvo_loan la = { .size = sizeof(la) }, lb = { .size = sizeof(lb) };

	(void)state;
	server_open_default(&s);
	a = server_client(&s);
	b = server_client(&s);
	assert_int_equal(try_borrow(a, 11), -EDQUOT);
	assert_int_equal(try_borrow(a, UINT64_C(1) << 63), -EDQUOT);
	la = borrow(a, ORDER, 10);
	assert_int_equal(try_borrow(a, 1), -EDQUOT);
	assert_int_equal(try_borrow(b, 6), -EDQUOT);
	lb = borrow(b, ORDER, 5);
	assert_int_equal(try_borrow(b, 1), -EDQUOT);
	assert_int_equal(hvo_client_status(b, &status), 0);
	assert_int_equal(status.limit_bytes, s.opt.client_bytes);
	assert_int_equal(status.user_limit_bytes, s.opt.user_bytes);
	assert_int_equal(status.used_bytes, lb.bytes);
	assert_int_equal(status.user_used_bytes, la.bytes + lb.bytes);
	assert_int_equal(status.pools[0].order, ORDER);
	assert_int_equal(status.pools[0].mine, 5);
	assert_int_equal(status.pools[0].lent, 15);
	assert_int_equal(status.pools[0].free, PAGES - 15);
	assert_int_equal(status.pools[1].order, 0);
	assert_int_equal(status.clients, 2);
	assert_int_equal(status.refused, 5);
	/* What came back can be had again, by anybody. */
	assert_int_equal(hvo_client_return(a, &la), 0);
	la = borrow(b, ORDER, 5);
	assert_int_equal(try_borrow(b, 1), -EDQUOT);
	hvo_client_close(b);
	server_wait_free(&s, PAGES);
	close(la.fd);
	close(lb.fd);
	la = borrow(a, ORDER, 10);
	close(la.fd);
	hvo_client_close(a);
	server_close(&s);
}

/* Reservations of others, surplus pages within the limit, and nodes: as in Linux. */
static void test_pool_rules(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	struct server s = { 0 };
	struct hvo_client *c;
	struct hvo_loan loan = { .size = sizeof(loan) };

	(void)state;
	cfg.nr_nodes = 2;
	server_open(&s, &cfg);
	c = server_client(&s);
	assert_int_equal(hvo_client_borrow(c, ORDER, PAGES / 2 + 1, 1, &loan), -ENOMEM);
	assert_int_equal(hvo_client_borrow(c, ORDER, PAGES / 2, 1, &loan), 0);
	assert_int_equal(rig_pool(s.pool, 1).free, 0);
	assert_int_equal(rig_pool(s.pool, 0).free, PAGES / 2);
	assert_int_equal(hvo_client_return(c, &loan), 0);

	/* Begun, since so many are free; but some of them are promised. All turns round. */
	assert_int_equal(hvo_pool_reserve(s.pool, HVO_NODE_ANY, 8), 0);
	assert_int_equal(try_borrow(c, PAGES), -ENOMEM);
	assert_int_equal(server_pool_free(&s), PAGES);
	assert_int_equal(server_stat(&s).loans, 0);
	loan = borrow(c, ORDER, PAGES - 8);
	assert_int_equal(hvo_client_return(c, &loan), 0);

	assert_int_equal(hvo_pool_set_overcommit(s.pool, 16), 0);
	loan = borrow(c, ORDER, PAGES);
	assert_int_equal(rig_pool(s.pool, HVO_NODE_ANY).surplus, 8);
	assert_int_equal(try_borrow(c, 9), -ENOMEM);
	assert_int_equal(rig_pool(s.pool, HVO_NODE_ANY).surplus, 8);
	assert_int_equal(hvo_client_return(c, &loan), 0);
	while (hvo_work(s.r.m, 64, NULL))
		;
	assert_int_equal(rig_pool(s.pool, HVO_NODE_ANY).surplus, 0);
	assert_int_equal(rig_pool(s.pool, HVO_NODE_ANY).total, PAGES);
	assert_int_equal(hvo_pool_unreserve(s.pool, 8), 0);
	hvo_client_close(c);
	server_close(&s);
}

/* ---- memory that does not come back at once ------------------------------------------- */

/*
 * The machine is full to the last frame and the system has no memory for what comes back: the
 * pages stay out of the pool, and come when there is some.
 */
static void test_no_memory(void **state)
{
	struct server s = { 0 };
	struct hvo_loan first = { .size = sizeof(first) }, second = { .size = sizeof(second) };
	struct hog hog = { 0 };
	struct hvo_client *c;
	uint64_t arena;

	(void)state;
	server_open_default(&s);
	arena = server_arena_bytes(&s);
	hog_all(&s.r, &hog, 0, false);
	c = server_client(&s);
	first = borrow(c, ORDER, 10);
	second = borrow(c, ORDER, 20);
	server_memory(4 * HVO_PAGEBLOCK_FRAMES);
	assert_int_equal(hvo_client_return(c, &first), 0);
	assert_int_equal(server_pool_free(&s), PAGES - 26);
	assert_int_equal(server_stat(&s).pools[0].lent, 26);
	assert_int_equal(server_stat(&s).pools[0].pending, 6);
	assert_int_equal(server_arena_bytes(&s), arena - 26 * PAGE_SIZE_HUGE);
	/* Others go on. */
	assert_int_equal(hvo_client_return(c, &first), -EINVAL);
	first = borrow(c, ORDER, 2);
	assert_int_equal(hvo_client_return(c, &second), 0);
	hvo_client_close(c);
	close(first.fd);
	server_wait_clients(&s, 0);
	assert_int_equal(server_stat(&s).pools[0].lent, 28);
	assert_int_equal(server_pool_free(&s), PAGES - 28);

	server_memory(UINT64_MAX);
	server_wait_free(&s, PAGES);
	assert_int_equal(server_arena_bytes(&s), arena);
	assert_int_equal(server_stat(&s).pools[0].pending, 0);
	hog_release(&s.r, &hog, UINT64_MAX);
	server_close(&s);
}

/*
 * What was given back is not there before it is: until then it counts against the quotas of who
 * had it, page by page, and no longer.
 */
static void test_quota_until_back(void **state)
{
	struct server s = { .opt = { .client_bytes = 10 * PAGE_SIZE_HUGE,
				     .user_bytes = 14 * PAGE_SIZE_HUGE } };
	struct hvo_client_status status = { .size = sizeof(status) };
	struct hvo_client *a, *b;
	struct hvo_loan loan = { .size = sizeof(loan) };
	int i;

	(void)state;
	server_open_default(&s);
	a = server_client(&s);
	b = server_client(&s);
	loan = borrow(a, ORDER, 10);
	server_memory(4 * HVO_PAGEBLOCK_FRAMES);
	assert_int_equal(hvo_client_return(a, &loan), 0);
	assert_int_equal(hvo_client_status(a, &status), 0);
	assert_int_equal(status.used_bytes, 6 * PAGE_SIZE_HUGE);
	assert_int_equal(status.user_used_bytes, 6 * PAGE_SIZE_HUGE);
	assert_int_equal(status.pools[0].mine, 6);
	assert_int_equal(try_borrow(a, 5), -EDQUOT);
	assert_int_equal(try_borrow(b, 9), -EDQUOT);
	/* What is on the way back cannot be given back again. */
	loan.fd = -1;
	assert_int_equal(hvo_client_return(a, &loan), -EINVAL);
	loan = borrow(a, ORDER, 4);
	assert_int_equal(try_borrow(a, 1), -EDQUOT);
	assert_int_equal(try_borrow(b, 5), -EDQUOT);

	server_memory(UINT64_MAX);
	for (i = 0; server_pool_free(&s) != PAGES - 4 && i < WAIT_STEPS; i++)
		usleep(1000);
	assert_int_equal(try_borrow(b, 10), 0);
	assert_int_equal(try_borrow(a, 1), -EDQUOT);
	close(loan.fd);
	hvo_client_close(a);
	hvo_client_close(b);
	server_wait_free(&s, PAGES);
	server_close(&s);
}

/* A request that turns round, and at the end a server that stops, without memory. */
static void test_no_memory_at_the_end(void **state)
{
	struct server s = { 0 };
	struct hvo_client *c;

	(void)state;
	server_open_default(&s);
	c = server_client(&s);
	assert_int_equal(hvo_pool_reserve(s.pool, HVO_NODE_ANY, 8), 0);
	server_memory(0);
	assert_int_equal(try_borrow(c, PAGES), -ENOMEM);
	assert_int_equal(server_pool_free(&s), 8);
	assert_int_equal(server_stat(&s).pools[0].pending, PAGES - 8);
	hvo_client_close(c);
	assert_int_equal(hvo_lend_close(s.lend), PAGES - 8);
	server_memory(UINT64_MAX);
	assert_int_equal(rig_pool(s.pool, HVO_NODE_ANY).total, PAGES);
	assert_int_equal(server_pool_free(&s), 8);
	rig_audit(&s.r);
	rig_close(&s.r);
	assert_int_equal(rmdir(s.dir), 0);
}

static void test_populate(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 128);
	struct rig r = { 0 };
	hvo_pfn_t pfn;

	(void)state;
	rig_open(&r, RIG_LINUX, &cfg);
	pfn = rig_alloc(&r, HVO_GFP_KERNEL, ORDER);
	rig_fill(&r, pfn, HVO_PAGEBLOCK_FRAMES, 5);
	assert_int_equal(hvo_linux_discard(r.host, pfn + 16, 32), 0);
	assert_int_equal(hvo_linux_populate(r.host, pfn, HVO_PAGEBLOCK_FRAMES), 0);
	assert_true(rig_intact(&r, pfn, 16, 5));
	assert_true(rig_zero(&r, pfn + 16, 32));
	assert_int_equal(hvo_linux_discard(r.host, 0, r.host->nr_frames + 1), -HVO_EINVAL);
	assert_int_equal(hvo_linux_discard(r.host, UINT64_MAX, 2), -HVO_EINVAL);
	assert_int_equal(hvo_linux_populate(r.host, r.host->nr_frames, 1), -HVO_EINVAL);
	assert_int_equal(hvo_linux_populate(r.host, 1, UINT64_MAX), -HVO_EINVAL);
	assert_int_equal(hvo_linux_populate(r.host, r.host->nr_frames, 0), 0);
	rig_put(&r, pfn);
	rig_audit(&r);
	rig_close(&r);
}

/* Frames of a sparse machine have no memory before they are used, and need none to be free. */
static void test_sparse(void **state)
{
	struct hvo_linux_options sparse = { .size = sizeof(sparse), .sparse = true };
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 1024);
	struct server s = { 0 };
	struct hvo_client *c;
	struct hvo_loan loan = { .size = sizeof(loan) };
	uint64_t arena;

	(void)state;
	cfg.clear = HVO_CLEAR_ON_ALLOC;
	assert_int_equal(hvo_linux_create(&cfg, &sparse, &s.r.host), 0);
	s.r.m = hvo_linux_machine(s.r.host);
	server_serve(&s);
	arena = server_arena_bytes(&s);
	assert_true(arena < 64 * MIB);
	c = server_client(&s);
	loan = borrow(c, ORDER, PAGES);
	assert_int_equal(server_arena_bytes(&s), arena);
	assert_int_equal(pwrite(loan.fd, "x", 1, 0), 1);
	assert_int_equal(hvo_client_return(c, &loan), 0);
	assert_int_equal(server_arena_bytes(&s), arena);
	assert_int_equal(zero_pages(&s), PAGES);
	hvo_client_close(c);
	server_close(&s);
}

/* ---- descriptors that are not there ------------------------------------------------------ */

/* So many more can be opened in this process, until @old is put back. */
static void allow_descriptors(unsigned int nr, struct rlimit *old)
{
	int lowest = dup(0);
	struct rlimit limit;

	assert_true(lowest >= 0);
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, old), 0);
	limit = *old;
	limit.rlim_cur = (rlim_t)lowest + nr;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void test_no_descriptors(void **state)
{
	struct server s = { 0 };
	struct hvo_client *c;
	struct hvo_loan loan = { .size = sizeof(loan) };
	struct rlimit old;
	int fd, fds[8], i;

	(void)state;
	server_open_default(&s);
	c = server_client(&s);
	/* For the memfd; for what comes out of it at this end: it goes back; for who connects. */
	allow_descriptors(0, &old);
	assert_int_equal(try_borrow(c, 1), -ENFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	allow_descriptors(1, &old);
	assert_int_equal(try_borrow(c, 1), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(server_stat(&s).loans, 0);
	assert_int_equal(server_pool_free(&s), PAGES);
	allow_descriptors(8, &old);
	for (i = 0; i < 8; i++)
		fds[i] = dup(0);
	close(fds[0]);
	fd = raw_connect(&s);
	close(fds[1]);
	assert_int_equal(raw_reply(fd), 0);
	server_wait_clients(&s, 2);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	loan = borrow(c, ORDER, 1);
	assert_int_equal(hvo_client_return(c, &loan), 0);
	for (i = 2; i < 8; i++)
		close(fds[i]);
	close(fd);
	hvo_client_close(c);
	server_close(&s);
}

/* ---- clients that do not keep to it ----------------------------------------------------- */

static void test_malformed(void **state)
{
	struct lend_request request = { .version = LEND_VERSION,
					.op = LEND_BORROW,
					.nr = UINT64_C(1) << 63,
					.order = ORDER,
					.node = -1 };
	static const size_t sizes[] = { 1, sizeof(request) - 1, sizeof(request) + 1, 4096, 100000 };
	static uint8_t noise[100000];
	struct server s = { 0 };
	unsigned int i;
	int fd;

	(void)state;
	server_open_default(&s);
	memcpy(noise, &request.version, sizeof(request.version));
	/* Another size ends it; so does nothing at all. */
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		fd = raw_open(&s);
		raw_send(fd, noise, sizes[i]);
		assert_int_equal(raw_reply(fd), 1);
		close(fd);
	}
	fd = raw_open(&s);
	raw_send(fd, noise, 0);
	assert_int_equal(raw_reply(fd), 1);
	close(fd);
	/* Numbers that make no sense are only refused. */
	fd = raw_open(&s);
	raw_send(fd, &request, sizeof(request));
	assert_int_equal(raw_reply(fd), -ENOMEM);
	request.nr = (UINT64_C(1) << 55) + 1; /* in bytes, 2^64 and one page */
	raw_send(fd, &request, sizeof(request));
	assert_int_equal(raw_reply(fd), -ENOMEM);
	request.order = 0xffffffff;
	raw_send(fd, &request, sizeof(request));
	assert_int_equal(raw_reply(fd), -ENOENT);
	request.order = ORDER;
	request.flags = 0x80000000;
	raw_send(fd, &request, sizeof(request));
	assert_int_equal(raw_reply(fd), -EINVAL);
	request.op = 77;
	raw_send(fd, &request, sizeof(request));
	assert_int_equal(raw_reply(fd), -EINVAL);
	request.op = LEND_HELLO;
	raw_send(fd, &request, sizeof(request));
	assert_int_equal(raw_reply(fd), -EINVAL);
	close(fd);
	server_wait_clients(&s, 0);
	assert_int_equal(server_pool_free(&s), PAGES);
	server_close(&s);
}

/* A client of another version hears of it, however long its requests are, and goes. */
static void test_versions(void **state)
{
	static const size_t sizes[] = { sizeof(uint32_t), 32, sizeof(struct lend_request), 200 };
	static const uint32_t versions[] = { 0, 1, LEND_VERSION + 1 };
	uint32_t message[50] = { 0 };
	struct server s = { 0 };
	unsigned int i, j;
	int fd;

	(void)state;
	server_open_default(&s);
	for (i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		for (j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++) {
			fd = raw_open(&s);
			message[0] = versions[i];
			raw_send(fd, message, sizes[j]);
			assert_int_equal(raw_reply(fd), -EPROTONOSUPPORT);
			assert_int_equal(raw_reply(fd), 1);
			close(fd);
		}
	}
	server_wait_clients(&s, 0);
	assert_int_equal(server_stat(&s).refused, i * j);
	server_close(&s);
}

/* What a caller gets wrong, and structures of other versions. */
static void test_arguments(void **state)
{
	struct hvo_lend_options opt = { .size = sizeof(opt) };
	struct hvo_lend_stat stat = { .size = sizeof(stat) };
	struct server s = { 0 };
	struct hvo_lend *other = NULL;
	struct hvo_linux *bare = NULL;
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 128);
	struct {
		struct hvo_lend_options known;
		uint64_t more;
	} later = { .known = { .size = sizeof(later) }, .more = 1 };

	(void)state;
	server_open_default(&s);
	assert_int_equal(hvo_lend_open(NULL, s.path, NULL, &other), -EINVAL);
	assert_int_equal(hvo_lend_open(s.r.host, NULL, NULL, &other), -EINVAL);
	assert_int_equal(hvo_lend_open(s.r.host, s.path, NULL, NULL), -EINVAL);
	assert_int_equal(hvo_linux_open(&cfg, NULL, &bare), 0);
	assert_int_equal(hvo_lend_open(bare, s.path, NULL, &other), -EINVAL);
	hvo_linux_close(bare);
	assert_int_equal(hvo_lend_open(s.r.host, s.path, &later.known, &other), -E2BIG);
	opt.nr_uids = HVO_LEND_MAX_UIDS + 1;
	assert_int_equal(hvo_lend_open(s.r.host, s.path, &opt, &other), -EINVAL);
	opt.nr_uids = 0;
	opt.mode = 01777;
	assert_int_equal(hvo_lend_open(s.r.host, s.path, &opt, &other), -EINVAL);
	opt = (struct hvo_lend_options){ 0 };
	assert_int_equal(hvo_lend_open(s.r.host, s.path, &opt, &other), -EINVAL);
	assert_null(other);
	assert_int_equal(hvo_lend_stat(NULL, &stat), -EINVAL);
	assert_int_equal(hvo_lend_stat(s.lend, NULL), -EINVAL);
	stat.size = 8;
	assert_int_equal(hvo_lend_stat(s.lend, &stat), -EINVAL);
	assert_int_equal(hvo_lend_close(NULL), 0);
	server_close(&s);
}

/* Descriptors that are pushed upon the server do not stay there. */
static void test_pushed_descriptors(void **state)
{
	struct lend_request request = { .version = LEND_VERSION, .op = LEND_RETURN, .id = 5 };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(20 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = &request, .iov_len = sizeof(request) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct server s = { 0 };
	unsigned int i, before;
	int fds[20], fd;

	(void)state;
	server_open_default(&s);
	fd = raw_open(&s);
	before = open_files();
	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(sizeof(fds));
	for (i = 0; i < 20; i++)
		fds[i] = fd;
	memcpy(CMSG_DATA(&control.align), fds, sizeof(fds));
	for (i = 0; i < 10; i++) {
		assert_int_equal(sendmsg(fd, &msg, 0), (ssize_t)sizeof(request));
		assert_int_equal(raw_reply(fd), -EINVAL);
	}
	assert_int_equal(open_files(), before);
	close(fd);
	server_wait_clients(&s, 0);
	server_close(&s);
}

/* Who does not read, or says nothing, is in nobody's way. */
static void test_slow(void **state)
{
	struct lend_request request = { .version = LEND_VERSION, .op = LEND_STATUS };
	struct server s = { 0 };
	struct hvo_client *c;
	struct hvo_loan loan = { .size = sizeof(loan) };
	int silent, deaf;

	(void)state;
	server_open_default(&s);
	silent = raw_connect(&s);
	deaf = raw_connect(&s);
	c = server_client(&s);
	server_wait_clients(&s, 3);
	loan = borrow(c, ORDER, 3);
	/* The greeting was not read: out. What it was sent is still there to be read. */
	raw_send(deaf, &request, sizeof(request));
	server_wait_clients(&s, 2);
	assert_int_equal(raw_reply(deaf), 0);
	assert_int_equal(raw_reply(deaf), 1);
	close(deaf);
	/* One request is answered, the second one before that was read is the last. */
	deaf = raw_open(&s);
	server_wait_clients(&s, 3);
	request.op = LEND_RETURN;
	raw_send(deaf, &request, sizeof(request));
	(void)send(deaf, &request, sizeof(request), MSG_NOSIGNAL);
	server_wait_clients(&s, 2);
	close(deaf);
	assert_int_equal(hvo_client_return(c, &loan), 0);
	hvo_client_close(c);
	server_wait_clients(&s, 1);
	/* The end of its sending side is the end. */
	assert_int_equal(raw_reply(silent), 0);
	assert_int_equal(shutdown(silent, SHUT_WR), 0);
	assert_int_equal(raw_reply(silent), 1);
	close(silent);
	server_wait_clients(&s, 0);
	server_close(&s);
}

#define MANY 1000u

static void test_many_connections(void **state)
{
	struct server s = { .opt = { .max_clients = 12, .max_user_clients = 8 } };
	struct hvo_client *c, *extra;
	struct hvo_loan loan = { .size = sizeof(loan) };
	unsigned int i;
	int fds[MANY];

	(void)state;
	server_open_default(&s);
	c = server_client(&s);
	for (i = 0; i < MANY; i++) {
		fds[i] = raw_connect(&s);
		assert_int_equal(raw_reply(fds[i]), i < 7 ? 0 : -EUSERS);
		if (i >= 7) {
			assert_int_equal(raw_reply(fds[i]), 1);
			close(fds[i]);
		}
	}
	assert_int_equal(server_stat(&s).clients, 8);
	assert_int_equal(server_stat(&s).refused, MANY - 7);
	assert_int_equal(hvo_client_connect(s.path, &extra), -EUSERS);
	loan = borrow(c, ORDER, 1);
	assert_int_equal(hvo_client_return(c, &loan), 0);
	/* In a hurry, without reading anything. */
	for (i = 0; i < 2 * MANY; i++)
		close(raw_connect(&s));
	loan = borrow(c, ORDER, 1);
	assert_int_equal(hvo_client_return(c, &loan), 0);
	for (i = 0; i < 7; i++)
		close(fds[i]);
	server_wait_clients(&s, 1);
	extra = server_client(&s);
	hvo_client_close(extra);
	hvo_client_close(c);
	server_close(&s);
}

/* ---- who may ------------------------------------------------------------------------- */

/* What another user is told. */
static int connect_as(struct server *s, uid_t uid)
{
	struct hvo_client *c = NULL;
	struct hvo_loan loan = { .size = sizeof(loan) };
	int status, rc;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		if (setresuid(uid, uid, uid))
			_exit(255);
		rc = hvo_client_connect(s->path, &c);
		if (!rc)
			rc = hvo_client_borrow(c, ORDER, 2, HVO_NODE_ANY, &loan);
		/* Its own file: it can be opened again, as programs do by its name. */
		if (!rc && open("/proc/self/fd/3", O_RDWR) < 0 && loan.fd == 3)
			rc = -errno;
		_exit(-rc);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

static void test_users(void **state)
{
	struct server s = { .opt = { .mode = 0666, .user_bytes = 2 * PAGE_SIZE_HUGE } };
	struct hvo_client *c;
	struct hvo_loan loan = { .size = sizeof(loan) };
	struct stat st;

	(void)state;
	if (geteuid() != 0)
		skip();
	server_open_default(&s);
	assert_int_equal(connect_as(&s, NOBODY), -EPERM);
	assert_int_equal(connect_as(&s, 0), 0);
	server_wait_free(&s, PAGES);
	assert_int_equal(hvo_lend_close(s.lend), 0);

	/* Without anybody else the file's mode keeps them out. */
	s.opt.mode = 0;
	server_start(&s);
	assert_int_equal(stat(s.path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0600);
	assert_int_equal(connect_as(&s, NOBODY), -EACCES);
	assert_int_equal(hvo_lend_close(s.lend), 0);

	s.opt.uids[s.opt.nr_uids++] = 4711;
	s.opt.uids[s.opt.nr_uids++] = NOBODY;
	server_start(&s);
	assert_int_equal(stat(s.path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0666);
	/* One user's quota is not another's. */
	c = server_client(&s);
	loan = borrow(c, ORDER, 2);
	assert_int_equal(connect_as(&s, NOBODY), 0);
	assert_int_equal(connect_as(&s, NOBODY + 1), -EPERM);
	assert_int_equal(connect_as(&s, 0), -EDQUOT);
	close(loan.fd);
	hvo_client_close(c);
	server_wait_free(&s, PAGES);
	server_close(&s);
}

/* ---- start and end ----------------------------------------------------------------------- */

static void test_stop(void **state)
{
	struct server s = { 0 };
	struct hvo_client *c;
	struct hvo_loan loan = { .size = sizeof(loan) };
	uint64_t arena;

	(void)state;
	server_open_default(&s);
	arena = server_arena_bytes(&s);
	c = server_client(&s);
	loan = borrow(c, ORDER, PAGES);
	assert_int_equal(pwrite(loan.fd, "x", 1, 0), 1);
	assert_int_equal(hvo_lend_close(s.lend), 0);
	assert_int_equal(server_pool_free(&s), PAGES);
	assert_int_equal(server_arena_bytes(&s), arena);
	assert_int_equal(fd_bytes(loan.fd), 0);
	assert_int_equal(try_borrow(c, 1), -EPIPE);
	assert_int_equal(hvo_client_return(c, &loan), -EPIPE);
	assert_int_equal(loan.fd, -1);
	hvo_client_close(c);
	assert_int_equal(hvo_client_connect(s.path, &c), -ENOENT);
	server_start(&s);
	server_close(&s);
}

static void test_paths(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct server s = { 0 };
	struct hvo_lend *other;
	char path[200];
	unsigned int before;
	int fd;

	(void)state;
	server_open_default(&s);
	before = open_files();
	assert_int_equal(hvo_lend_open(s.r.host, s.path, NULL, &other), -EADDRINUSE);
	assert_int_equal(hvo_lend_open(s.r.host, s.dir, NULL, &other), -EEXIST);
	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(hvo_lend_open(s.r.host, path, NULL, &other), -ENAMETOOLONG);
	assert_int_equal(hvo_lend_open(s.r.host, "/nowhere/at/all", NULL, &other), -ENOENT);
	assert_int_equal(hvo_lend_open(s.r.host, "", NULL, &other), -EINVAL);
	assert_int_equal(open_files(), before);
	assert_int_equal(hvo_lend_close(s.lend), 0);

	/* What a server left behind that was killed. */
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", s.path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	server_start(&s);
	hvo_client_close(server_client(&s));
	/* Another one took its place: that is not this one's to remove. */
	assert_int_equal(unlink(s.path), 0);
	assert_int_equal(hvo_lend_open(s.r.host, s.path, NULL, &other), 0);
	assert_int_equal(hvo_lend_close(s.lend), 0);
	s.lend = other;
	hvo_client_close(server_client(&s));
	server_close(&s);
}

/*
 * What the library asks for by path, on the way to the system: whoever owns a directory can put
 * something else there just before.
 */
static void (*at_chmod)(const char *path), (*at_unlink)(const char *path);

int chmod(const char *path, mode_t mode)
{
	if (at_chmod)
		at_chmod(path);
	return fchmodat(AT_FDCWD, path, mode, 0);
}

int unlink(const char *path)
{
	if (at_unlink)
		at_unlink(path);
	return unlinkat(AT_FDCWD, path, 0);
}

static char root_dir[64], victim[80]; /* of root, mode 0600 */
static struct server *swapped;

static void swap_socket(const char *path)
{
	assert_int_equal(unlinkat(AT_FDCWD, path, 0), 0);
	assert_int_equal(symlink(victim, path), 0);
}

static void swap_directory(const char *path)
{
	char old[80];

	(void)path;
	(void)snprintf(old, sizeof(old), "%s.old", swapped->dir);
	assert_int_equal(rename(swapped->dir, old), 0);
	assert_int_equal(symlink(root_dir, swapped->dir), 0);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode;
}

/* The socket's directory is somebody else's, who makes something else of it at every moment. */
static void test_swapped(void **state)
{
	struct server s = { .opt = { .mode = 0666 } };
	struct hvo_lend *other;
	char old[80];
	mode_t mask;

	(void)state;
	if (geteuid() != 0)
		skip();
	server_open_default(&s);
	assert_int_equal(hvo_lend_close(s.lend), 0);
	assert_int_equal(chown(s.dir, NOBODY, NOBODY), 0);
	strcpy(root_dir, "/tmp/hvo-lend-XXXXXX");
	assert_non_null(mkdtemp(root_dir));
	(void)snprintf(victim, sizeof(victim), "%s/socket", root_dir);
	assert_int_equal(close(creat(victim, 0600)), 0);
	swapped = &s;

	/* Whatever the umask is, and it stays. */
	mask = umask(0077);
	at_chmod = swap_socket;
	server_start(&s);
	at_chmod = NULL;
	assert_int_equal(mode_of(victim), S_IFREG | 0600);
	assert_int_equal(mode_of(s.path), S_IFSOCK | 0666);
	assert_int_equal(umask(mask), 0077);

	/* At the end another directory is in the place of that one, with a name as the socket's. */
	at_unlink = swap_directory;
	assert_int_equal(hvo_lend_close(s.lend), 0);
	at_unlink = NULL;
	/* That nothing was removed by its path is how it should be. */
	if (S_ISDIR(mode_of(s.dir)))
		swap_directory(s.path);
	assert_int_equal(mode_of(victim), S_IFREG | 0600);

	/* Nor is root led there at the start. */
	assert_int_equal(lchown(s.dir, NOBODY, NOBODY), 0);
	assert_int_equal(unlink(victim), 0);
	assert_int_equal(hvo_lend_open(s.r.host, s.path, NULL, &other), -ELOOP);
	assert_int_not_equal(access(victim, F_OK), 0);
	assert_int_equal(unlink(s.dir), 0);
	(void)snprintf(old, sizeof(old), "%s.old", s.dir);
	assert_int_equal(rename(old, s.dir), 0);
	assert_int_equal(rmdir(root_dir), 0);
	server_start(&s);
	server_close(&s);
}

/* Whoever started the program may have left it deaf to its children. */
static void test_deaf_to_children(void **state)
{
	struct server s = { 0 };
	struct hvo_lend *other;

	(void)state;
	(void)signal(SIGCHLD, SIG_IGN);
	server_open_default(&s);
	assert_int_equal(hvo_lend_open(s.r.host, s.path, NULL, &other), -EADDRINUSE);
	(void)signal(SIGCHLD, SIG_DFL);
	server_close(&s);
}

/* A server that moved with its directory takes its socket away all the same. */
static void test_moved(void **state)
{
	struct server s = { 0 };
	struct hvo_client *c = NULL;
	char old[80], path[96];

	(void)state;
	server_open_default(&s);
	(void)snprintf(old, sizeof(old), "%s.old", s.dir);
	(void)snprintf(path, sizeof(path), "%s/socket", old);
	assert_int_equal(rename(s.dir, old), 0);
	assert_int_equal(hvo_client_connect(path, &c), 0);
	hvo_client_close(c);
	assert_int_equal(hvo_lend_close(s.lend), 0);
	assert_int_not_equal(access(path, F_OK), 0);
	assert_int_equal(rename(old, s.dir), 0);
	server_start(&s);
	server_close(&s);
}

/* Sockets where no such server is. */
static void test_foreign_server(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char path[] = "/tmp/hvo-lend-XXXXXX";
	struct hvo_client *c = NULL;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(path));
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket", path);
	assert_int_equal(hvo_client_connect(addr.sun_path, &c), -ENOENT);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(hvo_client_connect(addr.sun_path, &c), -EPROTO);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(hvo_client_connect(addr.sun_path, &c), -EPROTO);
	close(fd);
	assert_int_equal(unlink(addr.sun_path), 0);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(hvo_client_connect("", &c), -EINVAL);
	assert_null(c);
}

/* ---- servers that are not what they say -------------------------------------------------- */

/* What comes with a message of such a server: so many memfds, of that size, sealed like that. */
struct pushed {
	unsigned int nr;
	off_t size;
	int seals;
	bool directory; /* of the file system instead */
	bool hugetlb;	/* memory that may not be there when it is touched */
};

struct hostile {
	char dir[32];
	struct sockaddr_un addr;
	int listener;
	pthread_t thread;
	struct pushed greeting, answer;
	int error; /* in the answer */
};

#define PUSHED_MAX 200u

static int pushed_fd(const struct pushed *p)
{
	int fd;

	if (p->directory)
		return open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = memfd_create("hostile",
			  MFD_CLOEXEC | MFD_ALLOW_SEALING | (p->hugetlb ? MFD_HUGETLB : 0));
	if (fd < 0 || ftruncate(fd, p->size) || fcntl(fd, F_ADD_SEALS, p->seals))
		abort();
	return fd;
}

static void push(int to, const void *message, size_t len, const struct pushed *p)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(PUSHED_MAX * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)message, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[PUSHED_MAX];
	unsigned int i;

	for (i = 0; i < p->nr; i++)
		fds[i] = pushed_fd(p);
	if (p->nr) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(p->nr * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(p->nr * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, p->nr * sizeof(int));
	}
	(void)sendmsg(to, &msg, MSG_NOSIGNAL);
	for (i = 0; i < p->nr; i++)
		close(fds[i]);
}

/* One client, until it goes. */
static void *hostile_main(void *arg)
{
	const struct hostile *h = arg;
	struct lend_reply reply = { .version = LEND_VERSION, .op = LEND_HELLO };
	struct lend_status status = { 0 };
	struct lend_request request;
	int fd = accept4(h->listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return NULL;
	push(fd, &reply, sizeof(reply), &h->greeting);
	while (recv(fd, &request, sizeof(request), 0) == (ssize_t)sizeof(request)) {
		reply.op = request.op;
		reply.error = h->error;
		reply.id = 1;
		reply.bytes = request.nr << (request.order + HVO_FRAME_SHIFT);
		status.reply = reply;
		if (request.op == LEND_STATUS)
			push(fd, &status, sizeof(status), &h->answer);
		else
			push(fd, &reply, sizeof(reply), &h->answer);
	}
	close(fd);
	return NULL;
}

static void hostile_open(struct hostile *h)
{
	strcpy(h->dir, "/tmp/hvo-lend-XXXXXX");
	assert_non_null(mkdtemp(h->dir));
	assert_int_equal(chmod(h->dir, 0755), 0);
	h->addr.sun_family = AF_UNIX;
	(void)snprintf(h->addr.sun_path, sizeof(h->addr.sun_path), "%s/socket", h->dir);
	h->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(h->listener >= 0);
	assert_int_equal(bind(h->listener, (struct sockaddr *)&h->addr, sizeof(h->addr)), 0);
	assert_int_equal(chmod(h->addr.sun_path, 0666), 0);
}

static void hostile_listen(struct hostile *h)
{
	assert_int_equal(listen(h->listener, 4), 0);
	assert_int_equal(pthread_create(&h->thread, NULL, hostile_main, h), 0);
}

static void hostile_close(struct hostile *h)
{
	(void)shutdown(h->listener, SHUT_RDWR);
	pthread_join(h->thread, NULL);
	close(h->listener);
	assert_int_equal(unlink(h->addr.sun_path), 0);
	assert_int_equal(rmdir(h->dir), 0);
}

enum asked { ASK_CONNECT, ASK_BORROW, ASK_HUGETLB, ASK_RETURN, ASK_STATUS };

/* One request to such a server: what is said, and nothing that it pushed stays open. */
static void hostile_case(struct pushed greeting, struct pushed answer, enum asked what, int error,
			 int expected)
{
	struct hostile h = { .greeting = greeting, .answer = answer, .error = error };
	struct hvo_loan loan = { .size = sizeof(loan), .id = 1, .fd = -77 };
	struct hvo_borrow_options huge = { .size = sizeof(huge), .flags = HVO_BORROW_HUGETLB };
	struct hvo_client_status status = { .size = sizeof(status) };
	struct hvo_client *c = NULL;
	unsigned int before = open_files();
	int rc;

	hostile_open(&h);
	hostile_listen(&h);
	rc = hvo_client_connect(h.addr.sun_path, &c);
	if (what != ASK_CONNECT)
		assert_int_equal(rc, 0);
	if (what == ASK_BORROW)
		rc = hvo_client_borrow(c, ORDER, 2, HVO_NODE_ANY, &loan);
	else if (what == ASK_HUGETLB)
		rc = hvo_client_borrow_with(c, ORDER, 2, HVO_NODE_ANY, &huge, &loan);
	else if (what == ASK_RETURN)
		rc = hvo_client_return(c, &loan);
	else if (what == ASK_STATUS)
		rc = hvo_client_status(c, &status);
	assert_int_equal(rc, expected);
	if (!rc && what == ASK_BORROW)
		close(loan.fd);
	/* After what breaks the rules there is nothing more to say. */
	if (rc == -EPROTO && c)
		assert_int_equal(hvo_client_status(c, &status), -EPIPE);
	hvo_client_close(c);
	hostile_close(&h);
	assert_int_equal(open_files(), before);
}

static void test_hostile_server(void **state)
{
	const int sealed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	const off_t size = 2 * PAGE_SIZE_HUGE;
	const struct pushed none = { 0 };
	unsigned int nr;

	(void)state;
#define PUSH(n, bytes, seal) ((struct pushed){ .nr = (n), .size = (bytes), .seals = (seal) })
	hostile_case(none, PUSH(1, size, sealed), ASK_BORROW, 0, 0);
	/* More than one, or any where there is nothing to come. */
	for (nr = 2; nr <= PUSHED_MAX; nr = nr * 3 + 1) {
		hostile_case(none, PUSH(nr, size, sealed), ASK_BORROW, 0, -EPROTO);
		hostile_case(PUSH(nr, size, sealed), none, ASK_CONNECT, 0, -EPROTO);
	}
	hostile_case(PUSH(1, size, sealed), none, ASK_CONNECT, 0, -EPROTO);
	hostile_case(none, PUSH(1, size, sealed), ASK_RETURN, 0, -EPROTO);
	hostile_case(none, PUSH(1, size, sealed), ASK_STATUS, 0, -EPROTO);
	hostile_case(none, PUSH(1, size, sealed), ASK_BORROW, -ENOMEM, -EPROTO);
	hostile_case(none, none, ASK_BORROW, -ENOMEM, -ENOMEM);
	/* A file whose size can be changed, so that whoever has it mapped dies of SIGBUS. */
	hostile_case(none, PUSH(1, size, F_SEAL_GROW), ASK_BORROW, 0, -EPROTO);
	hostile_case(none, PUSH(1, size, F_SEAL_SHRINK), ASK_BORROW, 0, -EPROTO);
	hostile_case(none, PUSH(1, size, 0), ASK_BORROW, 0, -EPROTO);
	hostile_case(none, PUSH(1, size - 4096, sealed), ASK_BORROW, 0, -EPROTO);
	hostile_case(none, PUSH(1, size + 4096, sealed), ASK_BORROW, 0, -EPROTO);
	hostile_case(none, (struct pushed){ .nr = 1, .directory = true }, ASK_BORROW, 0, -EPROTO);
	/* Memory of another kind than was asked for. */
	hostile_case(none, PUSH(1, size, sealed), ASK_HUGETLB, 0, -EPROTO);
	if (!access("/sys/kernel/mm/hugepages", F_OK))
		hostile_case(
			none,
			(struct pushed){ .nr = 1, .size = size, .seals = sealed, .hugetlb = true },
			ASK_BORROW, 0, -EPROTO);
#undef PUSH
}

/* Somebody else serves there: root and oneself are trusted, others if they are named. */
static void test_whose_server(void **state)
{
	struct hostile h = { .error = 0 };
	struct hvo_client *c = NULL;

	(void)state;
	if (geteuid() != 0)
		skip();
	hostile_open(&h);
	assert_int_equal(seteuid(NOBODY), 0);
	hostile_listen(&h);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(hvo_client_connect(h.addr.sun_path, &c), -ECONNABORTED);
	assert_int_equal(hvo_client_connect_uid(h.addr.sun_path, 4711, &c), -ECONNABORTED);
	assert_null(c);
	hostile_close(&h);

	h = (struct hostile){ .error = 0 };
	hostile_open(&h);
	assert_int_equal(seteuid(NOBODY), 0);
	hostile_listen(&h);
	/* Oneself. */
	assert_int_equal(hvo_client_connect(h.addr.sun_path, &c), 0);
	hvo_client_close(c);
	assert_int_equal(seteuid(0), 0);
	hostile_close(&h);

	h = (struct hostile){ .error = 0 };
	hostile_open(&h);
	assert_int_equal(seteuid(NOBODY), 0);
	hostile_listen(&h);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(hvo_client_connect_uid(h.addr.sun_path, NOBODY, &c), 0);
	hvo_client_close(c);
	hostile_close(&h);
}

/* ---- all at once ------------------------------------------------------------------------- */

#define THREADS 4
#define ROUNDS 60u

static struct server crowd;
static uint32_t crowd_wrong, crowd_done; /* @crowd_wrong: the line */
static uint64_t crowd_moved;		 /* pages */

static void wrong_at(bool is, unsigned int line)
{
	if (is)
		__atomic_store_n(&crowd_wrong, line, __ATOMIC_RELAXED);
}

#define wrong(is) wrong_at((is), __LINE__)

static void use_loan(struct hvo_client *c, struct hvo_loan *loan, uint64_t tag, bool give_back)
{
	uint64_t got = 0, off;

	for (off = 0; off < loan->bytes; off += PAGE_SIZE_HUGE) {
		wrong(pread(loan->fd, &got, sizeof(got), (off_t)off) != sizeof(got) || got);
		wrong(pwrite(loan->fd, &tag, sizeof(tag), (off_t)off) != sizeof(tag));
	}
	for (off = 0; off < loan->bytes; off += PAGE_SIZE_HUGE)
		wrong(pread(loan->fd, &got, sizeof(got), (off_t)off) != sizeof(got) || got != tag);
	if (give_back)
		wrong(hvo_client_return(c, loan));
	else
		close(loan->fd);
}

static void *crowd_client(void *arg)
{
	uint64_t seed = (uintptr_t)arg;
	struct hvo_client *c = NULL;
	struct hvo_loan loan = { .size = sizeof(loan) };
	struct hvo_borrow_options opt = { .size = sizeof(opt) };
	unsigned int i;
	int rc;

	for (i = 0; i < ROUNDS; i++) {
		bool again = rig_random(&seed) % 4;

		opt.flags = rig_random(&seed) % 4 ? HVO_BORROW_MOVABLE : 0;

		if (!c && hvo_client_connect(crowd.path, &c)) {
			wrong(true);
			break;
		}
		rc = hvo_client_borrow_with(c, ORDER, 1 + rig_random(&seed) % 20, HVO_NODE_ANY,
					    &opt, &loan);
		wrong(rc && rc != -ENOMEM);
		if (!rc)
			use_loan(c, &loan, seed, again);
		if (!again) {
			hvo_client_close(c);
			c = NULL;
		}
	}
	hvo_client_close(c);
	__atomic_fetch_add(&crowd_done, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* What is lent, at random: it moves, or nothing happens. */
static void crowd_move(uint64_t *seed)
{
	uint64_t nr = hvo_machine_memmap(crowd.r.m)->nr_frames;
	int rc = hvo_migrate(crowd.r.m, rig_random(seed) % nr, HVO_NODE_ANY, NULL);

	crowd_moved += !rc;
	wrong(rc && rc != -HVO_EINVAL && rc != -HVO_EBUSY && rc != -HVO_ENOMEM);
}

/* The administrator and the machine's own users, meanwhile. */
static void crowd_rest(uint64_t *seed)
{
	struct hvo_resize_result res = { .size = sizeof(res) };
	struct hvo_lend_stat stat;
	unsigned int i;
	hvo_pfn_t pfn;

	wrong(hvo_pool_resize(crowd.pool, HVO_NODE_ANY, PAGES - rig_random(seed) % 16, &res));
	wrong(hvo_pool_set_overcommit(crowd.pool, rig_random(seed) % 8));
	stat = server_stat(&crowd);
	wrong(stat.pools[0].lent > PAGES + 8);
	if (!hvo_pool_alloc(crowd.pool, 0, HVO_NODE_ANY, &pfn)) {
		*(uint64_t *)hvo_window(crowd.r.m, pfn, 1) = *seed;
		wrong(hvo_pool_free(crowd.pool, pfn));
	}
	for (i = 0; i < 8; i++)
		crowd_move(seed);
	hvo_work(crowd.r.m, 16, NULL);
}

static void test_crowd(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 128);
	pthread_t threads[THREADS];
	struct hvo_client *both;
	uint64_t seed = 1, arena;
	uintptr_t i;

	(void)state;
	server_open(&crowd, &cfg);
	arena = server_arena_bytes(&crowd);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, crowd_client, (void *)(i + 1)),
				 0);
	while (__atomic_load_n(&crowd_done, __ATOMIC_ACQUIRE) < THREADS)
		crowd_rest(&seed);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(crowd_wrong, 0);
	assert_int_not_equal(crowd_moved, 0);
	while (server_stat(&crowd).loans)
		usleep(1000);
	assert_int_equal(hvo_pool_set_overcommit(crowd.pool, 0), 0);
	while (hvo_work(crowd.r.m, 64, NULL))
		;
	(void)rig_resize(crowd.pool, HVO_NODE_ANY, PAGES);
	assert_int_equal(server_pool_free(&crowd), PAGES);
	assert_int_equal(server_arena_bytes(&crowd), arena);
	both = server_client(&crowd);
	hvo_client_close(both);
	server_close(&crowd);
}

/* One client, several threads: each gets its own replies. */
static struct hvo_client *shared;

static void *shared_client(void *arg)
{
	uint64_t nr = (uintptr_t)arg;
	struct hvo_client_status status = { .size = sizeof(status) };
	struct hvo_loan loan = { .size = sizeof(loan) };
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		if (hvo_client_borrow(shared, ORDER, nr, HVO_NODE_ANY, &loan)) {
			wrong(true);
			continue;
		}
		wrong(loan.bytes != nr * PAGE_SIZE_HUGE);
		wrong(hvo_client_status(shared, &status) || status.pools[0].mine < nr);
		use_loan(shared, &loan, nr, true);
	}
	return NULL;
}

static void test_shared_client(void **state)
{
	pthread_t threads[THREADS];
	struct server s = { 0 };
	uintptr_t i;

	(void)state;
	crowd_wrong = 0;
	server_open_default(&s);
	shared = server_client(&s);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, shared_client, (void *)(i + 1)),
				 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(crowd_wrong, 0);
	assert_int_equal(server_pool_free(&s), PAGES);
	hvo_client_close(shared);
	server_close(&s);
}

/* ---- hvo client ---------------------------------------------------------------------------- */

/* Output, both streams, of a command line with the socket's path in it; its exit status. */
static char *run(struct server *s, const char *args, int *ret_status)
{
	static char out[8192];
	char line[1024];
	size_t len;
	FILE *f;

	(void)snprintf(line, sizeof(line), "%s client --socket %s %s 2>&1", HVO_COMMAND, s->path,
		       args);
	f = popen(line, "re");
	assert_non_null(f);
	len = fread(out, 1, sizeof(out) - 1, f);
	out[len] = '\0';
	*ret_status = pclose(f);
	assert_true(WIFEXITED(*ret_status));
	*ret_status = WEXITSTATUS(*ret_status);
	return out;
}

static json_int_t number(const json_t *o, const char *name)
{
	assert_true(json_is_integer(json_object_get(o, name)));
	return json_integer_value(json_object_get(o, name));
}

/* How much of it is huge in hardware is said in words, and whether there is more to be had. */
static void check_words(struct server *s)
{
	int status;
	char *out;

	out = run(s, "borrow 2M=4 --hold 0", &status);
	assert_int_equal(status, 0);
	assert_non_null(strstr(out, "memory comes when it is touched"));
	out = run(s, "borrow 2M=4 --hold 0 --populate --movable", &status);
	assert_int_equal(status, 0);
	assert_non_null(strstr(out, "huge in hardware"));
	out = run(s, "borrow 2M=4 --hold 0 --collapse", &status);
	assert_int_equal(status, 0);
	assert_non_null(strstr(out, "huge in hardware"));
	assert_null(strstr(out, "--collapse"));
	server_wait_free(s, PAGES);
}

static void test_command(void **state)
{
	struct server s = { 0 };
	const json_t *pool;
	json_t *o;
	int status;
	char *out;

	(void)state;
	server_open_default(&s);
	/* Exactly the descriptors that are promised, and the status of the program. */
	out = run(&s,
		  "borrow 2M=4 -- sh -c 'stat -L -c %s /proc/self/fd/3; echo $HVO_FD $HVO_BYTES;"
		  " head -c 4096 /dev/zero | tr \"\\0\" x 1<>/proc/self/fd/3; exit 7'",
		  &status);
	assert_int_equal(status, 7);
	assert_string_equal(out, "8388608\n3 8388608\n");
	server_wait_free(&s, PAGES);
	out = run(&s, "borrow 2M=4 -- sh -c 'kill -9 $$'", &status);
	assert_int_equal(status, 128 + SIGKILL);
	server_wait_free(&s, PAGES);
	out = run(&s, "borrow 2M=4 --hold 0 --json", &status);
	assert_int_equal(status, 0);
	o = json_loads(out, 0, NULL);
	assert_int_equal(number(o, "pages"), 4);
	assert_int_equal(number(o, "bytes"), 4 * PAGE_SIZE_HUGE);
	assert_int_equal(number(o, "page_bytes"), PAGE_SIZE_HUGE);
	assert_int_equal(number(o, "huge_bytes"), 0);
	assert_true(json_is_false(json_object_get(o, "movable")));
	json_decref(o);
	server_wait_free(&s, PAGES);
	check_words(&s);
	out = run(&s, "status --json", &status);
	assert_int_equal(status, 0);
	o = json_loads(out, 0, NULL);
	assert_int_equal(number(o, "clients"), 1);
	assert_true(json_is_null(json_object_get(o, "client_limit_bytes")));
	pool = json_array_get(json_object_get(o, "pools"), 0);
	assert_int_equal(number(pool, "total"), PAGES);
	assert_int_equal(number(pool, "lent"), 0);
	json_decref(o);
	out = run(&s, "status", &status);
	assert_int_equal(status, 0);
	assert_non_null(strstr(out, "2M"));
	server_close(&s);
}

static void test_command_refusals(void **state)
{
	static const struct {
		const char *args;
		int status;
	} lines[] = {
		{ "", 2 },
		{ "nonsense", 2 },
		{ "borrow", 2 },
		{ "borrow 2M", 2 },
		{ "borrow 2M=", 2 },
		{ "borrow 2M=0", 2 },
		{ "borrow 3M=1", 2 },
		{ "borrow =1", 2 },
		{ "borrow 2M=1 2M=2", 2 },
		{ "borrow 2M=1 --node x", 2 },
		{ "borrow 2M=1 --hold -1", 2 },
		{ "borrow 2M=1 --", 2 },
		{ "borrow 2M=1 --json -- true", 2 },
		{ "status 2M=1", 2 },
		{ "status -- true", 2 },
		{ "status --hold 1", 2 },
		{ "status --movable", 2 },
		{ "borrow 2M=1000", 1 },
		{ "borrow 1G=1", 1 },
		{ "borrow 2M=18446744073709551615", 1 },
		{ "borrow 2M=1 --node 9", 1 },
		{ "borrow 2M=11", 1 },
		{ "borrow 2M=1 -- /nowhere/at/all", 1 },
	};
	struct server s = { .opt = { .client_bytes = 10 * PAGE_SIZE_HUGE } };
	unsigned int i;
	int status;
	char *out;

	(void)state;
	server_open_default(&s);
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		out = run(&s, lines[i].args, &status);
		if (status != lines[i].status || !strchr(out, '\n') ||
		    strchr(out, '\n') != out + strlen(out) - 1)
			fail_msg("hvo client %s: status %d, output:\n%s", lines[i].args, status,
				 out);
	}
	server_wait_free(&s, PAGES);
	server_close(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_borrow),
		cmocka_unit_test(test_big_pages),
		cmocka_unit_test(test_two_clients),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_gone_while_borrowing),
		cmocka_unit_test(test_forked),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_quotas),
		cmocka_unit_test(test_pool_rules),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_quota_until_back),
		cmocka_unit_test(test_no_memory_at_the_end),
		cmocka_unit_test(test_populate),
		cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_no_descriptors),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_pushed_descriptors),
		cmocka_unit_test(test_slow),
		cmocka_unit_test(test_many_connections),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_swapped),
		cmocka_unit_test(test_deaf_to_children),
		cmocka_unit_test(test_moved),
		cmocka_unit_test(test_foreign_server),
		cmocka_unit_test(test_hostile_server),
		cmocka_unit_test(test_whose_server),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_shared_client),
		cmocka_unit_test(test_command),
		cmocka_unit_test(test_command_refusals),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
