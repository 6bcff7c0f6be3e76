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
#include <unistd.h>

#include <hvo/client.h>
#include <hvo/lend.h>

#include "cli/serve/lend_files.h"
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

/* A short one for the many that are refused. */
static void be_client(void)
{
	struct hvo_client_status status = { .size = sizeof(status) };
	struct hvo_loan loan = { .size = sizeof(loan) };
	struct hvo_client *client;
	void *at;

	if (hvo_client_connect(path, &client))
		return;
	if (!hvo_client_status(client, &status))
		assert_int_equal(status.clients, 1);
	if (!hvo_client_borrow(client, HVO_PAGEBLOCK_ORDER, 2, HVO_NODE_ANY, &loan)) {
		assert_int_equal(loan.bytes, 4 * MIB);
		if (!hvo_client_map(&loan, &at)) {
			*(volatile char *)at = 1;
			munmap(at, loan.bytes);
		}
		(void)hvo_client_return(client, &loan);
	}
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

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_call),
	};

	return run_program(argc, argv, tests, open_host, close_host);
}
