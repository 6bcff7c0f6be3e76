// SPDX-License-Identifier: MIT
/*
 * A server that lends huge pages, and its client, on a host that says no: each call to the host
 * fails once, with each error that the host may have, and all calls of a start fail. All pages come back.
 */
#include "harness.h"
#include "refuse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <hvo/client.h>
#include <hvo/lend.h>

#include "cli/serve/lend_files.h"
#include "lend/protocol.h"
#include "tree/tree.h"

#define PAGES 4u
#define MAX_POINTS 400

static const struct way {
	int error;
	bool sticky;
} ways[] = {
	{ ENOMEM, false }, { EINVAL, false }, { EMFILE, false },
	{ EINTR, false },  { ENOMEM, true },  { EMFILE, true },
};

static struct hvo_linux *host;
static struct hvo_pool *pool;
static char dir[] = "/tmp/hvo-refused-XXXXXX", path[64];

static int open_host(void **state)
{
	struct hvo_linux_options opt = { .size = sizeof(opt), .sparse = true };
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 128);

	(void)state;
	if (!mkdtemp(dir) || hvo_linux_create(&cfg, &opt, &host) ||
	    hvo_pool_create(hvo_linux_machine(host), HVO_PAGEBLOCK_ORDER, &pool))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/socket", dir);
	return hvo_pool_resize(pool, HVO_NODE_ANY, PAGES, NULL);
}

static int close_host(void **state)
{
	(void)state;
	hvo_linux_close(host);
	return rmdir(dir);
}

static void use_loan(struct hvo_client *client, uint64_t flags)
{
	struct hvo_borrow_options opt = { .size = sizeof(opt), .flags = flags };
	struct hvo_loan loan = { .size = sizeof(loan) };
	void *at;

	if (hvo_client_borrow_with(client, HVO_PAGEBLOCK_ORDER, 2, HVO_NODE_ANY, &opt, &loan))
		return;
	assert_int_equal(loan.bytes, 4 * MIB);
	if (!hvo_client_map(&loan, &at)) {
		*(volatile char *)at = 1;
		munmap(at, loan.bytes);
	}
	(void)hvo_client_return(client, &loan);
}

/* A short one for the many that are refused. */
static void be_client(void)
{
	struct hvo_client_status status = { .size = sizeof(status) };
	struct hvo_client *client;

	if (hvo_client_connect(path, &client))
		return;
	if (!hvo_client_status(client, &status))
		assert_int_equal(status.clients, 1);
	use_loan(client, 0);
	use_loan(client, HVO_BORROW_COLLAPSE | HVO_BORROW_MOVABLE);
	/* Of most hosts' pools there is none. */
	use_loan(client, HVO_BORROW_HUGETLB);
	hvo_client_close(client);
}

/* Whether a call failed. */
static bool run(unsigned long point, const struct way *way)
{
	struct hvo_pool_stat s = { .size = sizeof(s) };
	struct hvo_lend *lend = NULL;
	struct tree *tree = NULL;
	char *text;
	size_t len;
	bool failed;
	int rc;

	refuse_from(point, way->sticky, way->error);
	rc = hvo_lend_open(host, path, NULL, &lend);
	if (rc) {
		assert_true(refuse_end());
		assert_in_range(-rc, 1, 200);
		assert_int_equal(access(path, F_OK), -1);
		return true;
	}
	/* A host that never says yes again keeps a client waiting. */
	failed = way->sticky && refuse_end();
	be_client();
	failed = refuse_end() || failed;
	assert_int_equal(tree_new(hvo_linux_machine(host), NULL, &tree), 0);
	assert_int_equal(lend_add_files(lend, tree), 0);
	assert_int_equal(tree_read(tree, "/sys/kernel/hvo/lend/limit", &text, &len), 0);
	assert_non_null(strstr(text, "clients 64\n"));
	free(text);
	tree_free(tree);
	assert_int_equal(hvo_lend_close(lend), 0);
	assert_int_equal(hvo_pool_stat(pool, HVO_NODE_ANY, &s), 0);
	assert_int_equal(s.free, PAGES);
	assert_int_equal(access(path, F_OK), -1);
	return failed;
}

static void test_each_call(void **state)
{
	unsigned long point;
	unsigned int w;

	(void)state;
	for (w = 0; w < sizeof(ways) / sizeof(ways[0]); w++) {
		for (point = 1; point < MAX_POINTS; point++) {
			repeat_with("HVO_POINT", "%lu (errno %d%s)", point, ways[w].error,
				    ways[w].sticky ? ", and all after it" : "");
			if (!run(point, &ways[w]))
				break;
		}
		assert_in_range(point, 10, MAX_POINTS - 1);
	}
	repeat_with("HVO_POINT", NULL);
	assert_int_equal(hvo_machine_audit(hvo_linux_machine(host), NULL, NULL), 0);
}

/* ---- nobody can be let in ---------------------------------------------------------------------- */

#define WAITING 20u /* more than are let in at once */
#define RETRY_MS 100u
#define ENOUGH 4u

static uint64_t clock_ms(clockid_t clock)
{
	struct timespec ts;

	assert_int_equal(clock_gettime(clock, &ts), 0);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/*
 * As long as no call succeeds that lets clients in, or that changes what the server waits for, it tries
 * again once in a while, and sleeps in between. Then all of them hear of it.
 */
static void test_let_in_later(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct hvo_lend *lend = NULL;
	struct lend_reply greeting;
	uint64_t begin, busy;
	int fds[WAITING];
	unsigned int i;

	(void)state;
	assert_int_equal(hvo_lend_open(host, path, NULL, &lend), 0);
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	for (i = 0; i < WAITING; i++) {
		fds[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		assert_true(fds[i] >= 0);
	}
	begin = clock_ms(CLOCK_MONOTONIC);
	refuse_from(1, true, EMFILE);
	for (i = 0; i < WAITING; i++)
		assert_int_equal(connect(fds[i], (struct sockaddr *)&addr, sizeof(addr)), 0);
	while (refuse_points() < ENOUGH)
		usleep(RETRY_MS * 1000);
	busy = clock_ms(CLOCK_PROCESS_CPUTIME_ID);
	usleep(ENOUGH * RETRY_MS * 1000);
	busy = clock_ms(CLOCK_PROCESS_CPUTIME_ID) - busy;
	assert_in_range(busy, 0, ENOUGH * RETRY_MS / 10);
	assert_in_range(refuse_points(), ENOUGH,
			WAITING + (clock_ms(CLOCK_MONOTONIC) - begin) / RETRY_MS + 2);
	assert_true(refuse_end());
	for (i = 0; i < WAITING; i++) {
		assert_int_equal(recv(fds[i], &greeting, sizeof(greeting), 0), sizeof(greeting));
		assert_int_equal(greeting.op, LEND_HELLO);
		assert_true(!greeting.error || greeting.error == -EUSERS);
	}
	for (i = 0; i < WAITING; i++)
		close(fds[i]);
	assert_int_equal(hvo_lend_close(lend), 0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_call),
		cmocka_unit_test(test_let_in_later),
	};

	return run_program(argc, argv, tests, open_host, close_host);
}
