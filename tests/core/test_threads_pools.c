// SPDX-License-Identifier: MIT
/*
 * Threads at pools: two reserve, take, hold, give back and verify huge pages while a third
 * resizes, demotes, dissolves, folds what is present, does deferred work and lets frames
 * fail. Each page belongs to one of them: nobody may write into another's, and at the end
 * every counter is what it must be.
 */
#include "crew.h"
#include "harness.h"

#include <pthread.h>
#include <string.h>

#define USERS 2
#define HELD 8

struct user {
	struct hvo_machine *m;
	struct hvo_pool *pool;
	unsigned int number, steps;
	uint64_t random, errors;
	const char *what;
	hvo_pfn_t pfn[HELD];
	unsigned int nr;
	uint64_t reserved;
	const uint64_t *failures;
};

static void wrong(struct user *u, const char *what)
{
	if (!u->errors++)
		u->what = what;
}

static uint64_t *words(struct user *u, hvo_pfn_t pfn)
{
	return hvo_window(u->m, pfn, HVO_PAGEBLOCK_FRAMES);
}

/* The first and the last word of some frames. */
static void sign(struct user *u, hvo_pfn_t pfn)
{
	unsigned int i;

	for (i = 0; i < HVO_PAGEBLOCK_FRAMES; i += 37)
		words(u, pfn)[i * 512] = pfn << 8 | u->number;
}

static void give_back(struct user *u, unsigned int i)
{
	unsigned int k;

	for (k = 0; k < HVO_PAGEBLOCK_FRAMES; k += 37)
		if (words(u, u->pfn[i])[k * 512] != (u->pfn[i] << 8 | u->number))
			wrong(u, "somebody wrote into my page");
	if (hvo_pool_free(u->pool, u->pfn[i]))
		wrong(u, "free");
	u->pfn[i] = u->pfn[--u->nr];
}

static void take(struct user *u, bool reserved)
{
	hvo_pfn_t pfn = HVO_PFN_NONE;
	int rc;

	if (u->nr == HELD)
		return;
	if (reserved && !u->reserved)
		return;
	rc = reserved ? hvo_pool_alloc_reserved(u->pool, HVO_GFP_KERNEL, HVO_NODE_ANY, &pfn) :
			hvo_pool_alloc(u->pool, u->random & 64 ? HVO_GFP_KERNEL : 0, HVO_NODE_ANY,
				       &pfn);
	if (rc) {
		/* A promise is kept, unless the very page failed that it was made with. */
		if (rc != -HVO_ENOMEM ||
		    (reserved && !__atomic_load_n(u->failures, __ATOMIC_ACQUIRE)))
			wrong(u, "alloc");
		return;
	}
	u->reserved -= reserved;
	sign(u, pfn);
	u->pfn[u->nr++] = pfn;
}

static void *use(void *arg)
{
	struct user *u = arg;

	while (u->steps--) {
		uint64_t dice = rig_random(&u->random) >> 9;

		switch (dice % 8) {
		case 0:
			if (!hvo_pool_reserve(u->pool, HVO_NODE_ANY, dice / 8 % 4))
				u->reserved += dice / 8 % 4;
			break;
		case 1:
			if (u->reserved) {
				if (hvo_pool_unreserve(u->pool, 1))
					wrong(u, "unreserve");
				u->reserved--;
			}
			break;
		case 2:
		case 3:
			take(u, true);
			break;
		case 4:
		case 5:
			take(u, false);
			break;
		default:
			if (u->nr)
				give_back(u, (unsigned int)(dice / 8 % u->nr));
		}
	}
	while (u->nr)
		give_back(u, 0);
	if (hvo_pool_unreserve(u->pool, u->reserved))
		wrong(u, "unreserve the rest");
	return NULL;
}

/* Everything that changes pools, until the users are done. */
static void administrate(struct hvo_machine *m, struct hvo_pool *small, struct hvo_pool *large,
			 bool *stop, uint64_t *failures)
{
	uint64_t random = 7, done, bad = 0, i = 0;

	while (!__atomic_load_n(stop, __ATOMIC_ACQUIRE)) {
		uint64_t dice = rig_random(&random) >> 9;

		switch (dice % 8) {
		case 0:
		case 1:
			bad += hvo_pool_resize(small, HVO_NODE_ANY, dice / 8 % 24, NULL) != 0;
			break;
		case 2:
			bad += hvo_pool_set_overcommit(small, dice / 8 % 8) != 0;
			break;
		case 3:
			bad += hvo_pool_resize(large, HVO_NODE_ANY, dice / 8 % 2, NULL) != 0;
			(void)hvo_pool_demote(large, HVO_NODE_ANY, 1, &done);
			break;
		case 4:
			(void)hvo_hugetlb_dissolve(m, dice / 8 % hvo_machine_memmap(m)->nr_frames);
			break;
		case 5:
			hvo_set_optimize(m, dice & 8);
			bad += hvo_pool_optimize(small, &done) != 0;
			break;
		case 6:
			/* Only in the second half: until then no promise may be broken. */
			if (i++ < 200 || i % 16)
				break;
			__atomic_store_n(failures, 1, __ATOMIC_RELEASE);
			(void)hvo_memory_failure(m, dice / 8 % hvo_machine_memmap(m)->nr_frames);
			break;
		default:
			(void)hvo_work(m, dice / 8 % 4, NULL);
		}
	}
	assert_int_equal(bad, 0);
}

struct watcher {
	struct crew users;
	bool stop;
};

static void *wait_for_users(void *arg)
{
	struct watcher *w = arg;

	crew_join(&w->users);
	__atomic_store_n(&w->stop, true, __ATOMIC_RELEASE);
	return NULL;
}

static void pools_together(enum rig_platform platform, enum hvo_mode mode, unsigned int steps)
{
	struct hvo_config cfg = rig_config(mode, 256);
	struct hvo_pool *small, *large;
	uint64_t failures = 0;
	struct user u[USERS];
	struct watcher w = { 0 };
	pthread_t watcher;
	struct rig r;
	unsigned int i;

	rig_open(&r, platform, &cfg);
	r.quiet = true;
	assert_int_equal(hvo_pool_create(r.m, 9, &small), 0);
	assert_int_equal(hvo_pool_create(r.m, 12, &large), 0);
	rig_resize(small, HVO_NODE_ANY, 12);
	memset(u, 0, sizeof(u));
	for (i = 0; i < USERS; i++) {
		u[i].m = r.m;
		u[i].pool = small;
		u[i].number = i + 1;
		u[i].random = (rig_seed(0) << 8) + i;
		u[i].steps = steps;
		u[i].failures = &failures;
		crew_add(&w.users, use, &u[i]);
	}
	crew_go(&w.users);
	assert_int_equal(pthread_create(&watcher, NULL, wait_for_users, &w), 0);
	administrate(r.m, small, large, &w.stop, &failures);
	assert_int_equal(pthread_join(watcher, NULL), 0);
	for (i = 0; i < USERS; i++)
		if (u[i].errors)
			fail_msg("user %u: %llu errors, the first: %s", i,
				 (unsigned long long)u[i].errors, u[i].what);
	assert_int_equal(rig_pool(small, HVO_NODE_ANY).reserved, 0);
	rig_resize(large, HVO_NODE_ANY, 0);
	rig_resize(small, HVO_NODE_ANY, 1);
	rig_resize(small, HVO_NODE_ANY, 0);
	assert_int_equal(rig_pool(small, HVO_NODE_ANY).total - rig_pool(small, HVO_NODE_ANY).free,
			 0);
	rig_audit(&r);
	rig_close(&r);
}

static void test_pools_on_demand(void **state)
{
	(void)state;
	pools_together(RIG_SIM, HVO_ON_DEMAND, 20000);
	pools_together(RIG_LINUX, HVO_ON_DEMAND, 60000);
}

static void test_pools_linux_mode(void **state)
{
	(void)state;
	pools_together(RIG_SIM, HVO_LINUX, 10000);
	pools_together(RIG_LINUX, HVO_LINUX, 40000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pools_on_demand),
		cmocka_unit_test(test_pools_linux_mode),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
