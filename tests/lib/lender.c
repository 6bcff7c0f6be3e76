// SPDX-License-Identifier: MIT
/* A machine whose huge pages are lent: see lender.h. */
#include "lender.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- memory that does not come back at once ------------------------------------------- */

static bool scarce;
static uint64_t left; /* frames */
static void (*at_populate)(void *arg);
static void *populate_arg;

void server_memory(uint64_t frames)
{
	left = frames;
	__atomic_store_n(&scarce, frames != UINT64_MAX, __ATOMIC_RELEASE);
}

void server_at_populate(void (*fn)(void *arg), void *arg)
{
	populate_arg = arg;
	__atomic_store_n(&at_populate, fn, __ATOMIC_RELEASE);
}

int __real_hvo_linux_populate(struct hvo_linux *host, hvo_pfn_t pfn, uint64_t nr);
int __wrap_hvo_linux_populate(struct hvo_linux *host, hvo_pfn_t pfn, uint64_t nr);
int __wrap_hvo_linux_populate(struct hvo_linux *host, hvo_pfn_t pfn, uint64_t nr)
{
	void (*fn)(void *arg) = __atomic_exchange_n(&at_populate, NULL, __ATOMIC_ACQ_REL);

	if (fn)
		fn(populate_arg);
	if (__atomic_load_n(&scarce, __ATOMIC_ACQUIRE)) {
		if (left < nr)
			return -HVO_ENOMEM;
		left -= nr;
	}
	return __real_hvo_linux_populate(host, pfn, nr);
}

/* ---- the server ------------------------------------------------------------------------- */

void server_start(struct server *s)
{
	s->opt.size = sizeof(s->opt);
	assert_int_equal(hvo_lend_open(s->r.host, s->path, &s->opt, &s->lend), 0);
}

/* A pool, and who lends from it. @s->opt is as the test wants it. */
void server_serve(struct server *s)
{
	s->pool = rig_pool_new(&s->r, HVO_PAGEBLOCK_ORDER);
	assert_int_equal(rig_resize(s->pool, HVO_NODE_ANY, SERVER_PAGES).done, SERVER_PAGES);
	strcpy(s->dir, "/tmp/hvo-lend-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	assert_int_equal(chmod(s->dir, 0755), 0);
	(void)snprintf(s->path, sizeof(s->path), "%s/socket", s->dir);
	server_start(s);
}

void server_open(struct server *s, const struct hvo_config *cfg)
{
	rig_open(&s->r, RIG_LINUX, cfg);
	s->r.quiet = true;
	/* Counting events is for tests of one thread. */
	hvo_linux_set_trace(s->r.host, NULL, NULL);
	server_serve(s);
}

void server_open_default(struct server *s)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 128);

	server_open(s, &cfg);
}

void server_close(struct server *s)
{
	assert_int_equal(hvo_lend_close(s->lend), 0);
	assert_int_not_equal(access(s->path, F_OK), 0);
	assert_int_equal(rmdir(s->dir), 0);
	rig_audit(&s->r);
	rig_close(&s->r);
}

uint64_t server_arena_bytes(struct server *s)
{
	struct hvo_linux_info info = { .size = sizeof(info) };

	assert_int_equal(hvo_linux_info(s->r.host, &info), 0);
	return info.backed_bytes;
}

uint64_t server_pool_free(struct server *s)
{
	return rig_pool(s->pool, HVO_NODE_ANY).free;
}

struct hvo_lend_stat server_stat(struct server *s)
{
	struct hvo_lend_stat stat = { .size = sizeof(stat) };

	assert_int_equal(hvo_lend_stat(s->lend, &stat), 0);
	return stat;
}

/* Until the pool has so many free pages; of a test that fails, not at all. */
void server_wait_free(struct server *s, uint64_t nr)
{
	int i;

	for (i = 0; server_pool_free(s) != nr || server_stat(s).loans; i++) {
		if (i == WAIT_STEPS)
			fail_msg("%" PRIu64 " pages free, not %" PRIu64, server_pool_free(s), nr);
		usleep(1000);
	}
}

void server_wait_clients(struct server *s, uint64_t nr)
{
	int i;

	for (i = 0; server_stat(s).clients != nr; i++) {
		if (i == WAIT_STEPS)
			fail_msg("%" PRIu64 " clients, not %" PRIu64, server_stat(s).clients, nr);
		usleep(1000);
	}
}

struct hvo_client *server_client(struct server *s)
{
	struct hvo_client *c = NULL;

	assert_int_equal(hvo_client_connect(s->path, &c), 0);
	return c;
}

uint64_t fd_bytes(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}
