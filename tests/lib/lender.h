/* SPDX-License-Identifier: MIT */
/*
 * A machine of this process whose huge pages are lent, and how its memory comes back. What happens in the
 * server's own time is waited for, and a test fails if it does not come at all.
 *
 * The linker puts a function of lender.c in the place of hvo_linux_populate(): programs that use this
 * are listed in tests/meson.build.
 */
#ifndef HVO_TESTS_LENDER_H
#define HVO_TESTS_LENDER_H

#include "harness.h"

#include <hvo/client.h>
#include <hvo/lend.h>

#define SERVER_PAGES 48u /* of 2 MiB */
#define WAIT_STEPS 60000 /* of a millisecond, and no longer */

struct server {
	struct rig r;
	struct hvo_pool *pool;
	struct hvo_lend *lend;
	struct hvo_lend_options opt;
	char dir[64], path[96];
};

/* A machine, a pool with SERVER_PAGES, and who lends from it; @s->opt is as the test wants it. */
void server_open(struct server *s, const struct hvo_config *cfg);
void server_open_default(struct server *s);
/* On the machine that @s->r has; and once more, where it was before. */
void server_serve(struct server *s);
void server_start(struct server *s);
/* All pages are back, and the machine's numbers are right. */
void server_close(struct server *s);

uint64_t server_arena_bytes(struct server *s);
uint64_t server_pool_free(struct server *s);
struct hvo_lend_stat server_stat(struct server *s);
struct hvo_client *server_client(struct server *s);
/* Until the pool has so many free pages and nothing is lent; until so many are connected. */
void server_wait_free(struct server *s, uint64_t nr);
void server_wait_clients(struct server *s, uint64_t nr);

/* Memory comes back for so many frames more; UINT64_MAX: for all. */
void server_memory(uint64_t frames);
/* Called once, before memory comes back for the first time from now on. */
void server_at_populate(void (*fn)(void *arg), void *arg);

/* Of a memfd. */
uint64_t fd_bytes(int fd);

#endif
