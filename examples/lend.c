/* SPDX-License-Identifier: MIT */
/*
 * A program that lends huge pages of its own machine to another one, as hvo serve --socket does, and takes
 * memory offline that stands for them. Ends with 0 only if what the borrower wrote survived that, and
 * all pages came back.
 *
 *	cc -std=gnu11 examples/lend.c $(pkg-config --cflags --libs libhvo libhvo-client)
 *
 * The borrower needs libhvo-client alone; it is in this file so that there is one to run. It
 * gets a memfd of its own. The frames of the pages that it borrowed give their memory back to the
 * system meanwhile, so the sum stays what it was.
 */
#include <hvo/client.h>
#include <hvo/hotplug.h>
#include <hvo/lend.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ORDER 9u /* 2 MiB */
#define PAGES 100u
#define SECTION (UINT64_C(128) << 20)

static void must(int rc, const char *what)
{
	if (rc) {
		fprintf(stderr, "%s: %d\n", what, rc);
		exit(1);
	}
}

/* ---- who borrows ------------------------------------------------------------------ */

/* Says when the pages are there, waits for the word to give them back, and looks at them. */
static int borrow(const char *path, int to, int from)
{
	/* All of it at once, as huge as the system makes it; and the lender may shift its own about. */
	struct hvo_borrow_options opt = { .size = sizeof(opt),
					  .flags = HVO_BORROW_COLLAPSE | HVO_BORROW_MOVABLE };
	struct hvo_loan loan = { .size = sizeof(loan) };
	struct hvo_client *client;
	volatile uint64_t *memory;
	uint64_t i, step = 4096 / sizeof(*memory), wrong = 0;
	void *at;
	char word = 'x';

	/* There is nobody yet: the lender says when. */
	must(read(from, &word, 1) != 1, "the lender did not begin");
	must(hvo_client_connect(path, &client), "connect");
	must(hvo_client_borrow_with(client, ORDER, PAGES, HVO_NODE_ANY, &opt, &loan), "borrow");
	must(hvo_client_map(&loan, &at), "map");
	memory = at;
	for (i = 0; i < loan.bytes / sizeof(*memory); i += step)
		memory[i] = i;
	printf("borrowed %llu MiB, %llu of it huge in hardware\n",
	       (unsigned long long)loan.bytes >> 20, (unsigned long long)loan.huge_bytes >> 20);
	fflush(stdout);
	must(write(to, &word, 1) != 1 || read(from, &word, 1) != 1, "the lender is gone");
	for (i = 0; i < loan.bytes / sizeof(*memory); i += step)
		wrong += memory[i] != i;
	munmap(at, loan.bytes);
	must(hvo_client_return(client, &loan), "give back");
	hvo_client_close(client);
	return wrong != 0;
}

/* ---- who lends -------------------------------------------------------------------- */

/* In a directory of its own, so that nobody else serves there. */
static char dir[] = "/tmp/hvo-lend-XXXXXX", path[sizeof(dir) + 8];

static void lend(int to, int from)
{
	struct hvo_config cfg = { .size = sizeof(cfg),
				  .memory_bytes = 3 * SECTION,
				  .movable_bytes = SECTION };
	struct hvo_lend_stat stat = { .size = sizeof(stat) };
	struct hvo_lend *server;
	struct hvo_linux *host;
	struct hvo_machine *m;
	struct hvo_pool *pool;
	char word = 'x';

	must(hvo_linux_create(&cfg, NULL, &host), "a machine");
	m = hvo_linux_machine(host);
	must(hvo_pool_create(m, ORDER, &pool), "a pool");
	must(hvo_pool_resize(pool, HVO_NODE_ANY, PAGES, NULL), "its pages");
	must(hvo_lend_open(host, path, NULL, &server), "lend");
	must(write(to, &word, 1) != 1 || read(from, &word, 1) != 1, "the borrower is gone");
	must(hvo_lend_stat(server, &stat), "figures");
	printf("lent %llu pages of 2 MiB, %llu of them pinned\n",
	       (unsigned long long)stat.pools[0].lent, (unsigned long long)stat.pools[0].pinned);
	/* The last section is movable memory: what is lent from there moves to other pages. */
	must(hvo_memory_offline(m, 2 * SECTION / 4096, 3 * SECTION / 4096), "offline");
	must(write(to, &word, 1) != 1, "the borrower is gone");
	/* Until it has ended. */
	must(read(from, &word, 1) != 0, "the borrower goes on");
	must(hvo_lend_close(server) != 0, "pages that did not come back");
	must(hvo_machine_audit(m, NULL, NULL) != 0, "mistakes");
	hvo_linux_close(host);
}

int main(void)
{
	int down[2], up[2], status = 0;
	pid_t pid;

	must(!mkdtemp(dir), dir);
	snprintf(path, sizeof(path), "%s/socket", dir);
	must(pipe(down) || pipe(up), "pipe");
	/* Before there is a machine, which a child could not use. */
	pid = fork();
	must(pid < 0, "fork");
	if (!pid) {
		close(down[1]);
		close(up[0]);
		_exit(borrow(path, up[1], down[0]));
	}
	close(down[0]);
	close(up[1]);
	lend(down[1], up[0]);
	must(waitpid(pid, &status, 0) != pid || status, "what was written is not there");
	rmdir(dir);
	return 0;
}
