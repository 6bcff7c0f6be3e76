// SPDX-License-Identifier: MIT
/*
 * What all of the public interface has in common: structures that can grow, names, errors of a
 * machine that is gone.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "core/machine.h"

#define ANY HVO_NODE_ANY
#define NEW 64 /* bytes that a structure may have one day */

/* A structure as a caller with other headers has it: longer, and with something behind it. */
struct grown {
	union {
		uint32_t size;
		uint64_t words[(HVO_SIZE_MAX + NEW) / 8];
	};
};

/* ---- structures that can grow ------------------------------------------------------ */

struct out {
	const char *name;
	uint32_t size;
	int (*fn)(struct rig *r, struct hvo_pool *pool, void *ret);
};

/* What the library filled in, by a function that takes any pointer. */
#define OUT(name_, call)                                                        \
	static int out_##name_(struct rig *r, struct hvo_pool *pool, void *ret) \
	{                                                                       \
		(void)r;                                                        \
		(void)pool;                                                     \
		return call;                                                    \
	}

OUT(pool_stat, hvo_pool_stat(pool, ANY, ret))
OUT(zone_stat, hvo_zone_stat(r->m, 0, HVO_ZONE_NORMAL, ret))
OUT(zone_types, hvo_zone_types(r->m, 0, HVO_ZONE_NORMAL, ret))
OUT(numa_stat, hvo_numa_stat(r->m, 0, HVO_ZONE_NORMAL, ret))
OUT(zone_events, hvo_zone_events(r->m, 0, HVO_ZONE_NORMAL, ret))
OUT(machine_stat, hvo_machine_stat(r->m, ret))
OUT(failure_stat, hvo_failure_stat(r->m, 0, ret))
OUT(section_info, hvo_section_info(r->m, 0, ret))
OUT(policy, hvo_pool_policy(pool, ret))
OUT(resize_result, hvo_pool_resize(pool, ANY, 4, ret))
OUT(cma_events, hvo_cma_events(hvo_cma_get(r->m, 0), ret))
OUT(sim_stat, hvo_sim_stat(r->sim, ret))

static const struct out outs[] = {
	{ "pool_stat", sizeof(struct hvo_pool_stat), out_pool_stat },
	{ "zone_stat", sizeof(struct hvo_zone_stat), out_zone_stat },
	{ "zone_types", sizeof(struct hvo_zone_types), out_zone_types },
	{ "numa_stat", sizeof(struct hvo_numa_stat), out_numa_stat },
	{ "zone_events", sizeof(struct hvo_zone_events), out_zone_events },
	{ "machine_stat", sizeof(struct hvo_machine_stat), out_machine_stat },
	{ "failure_stat", sizeof(struct hvo_failure_stat), out_failure_stat },
	{ "section_info", sizeof(struct hvo_section_info), out_section_info },
	{ "policy", sizeof(struct hvo_policy), out_policy },
	{ "resize_result", sizeof(struct hvo_resize_result), out_resize_result },
	{ "cma_events", sizeof(struct hvo_cma_events), out_cma_events },
	{ "sim_stat", sizeof(struct hvo_sim_stat), out_sim_stat },
};

static void fill(struct grown *g, uint32_t size)
{
	memset(g, 0xa5, sizeof(*g));
	g->size = size;
}

static bool untouched(const struct grown *g, uint32_t from)
{
	const uint8_t *bytes = (const uint8_t *)g;

	for (; from < sizeof(*g); from++)
		if (bytes[from] != 0xa5)
			return false;
	return true;
}

/* Filled as far as it says, and not a byte further. */
static void expect_out(struct rig *r, struct hvo_pool *pool, const struct out *out)
{
	static const uint32_t refused[] = { 0, 1, HVO_SIZE_MIN - 1, HVO_SIZE_MAX + 1, UINT32_MAX };
	struct grown own, g;
	const uint8_t *a = (const uint8_t *)&own, *b = (const uint8_t *)&g;
	uint32_t size, i;

	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		fill(&g, refused[i]);
		assert_int_equal(out->fn(r, pool, &g),
				 refused[i] > HVO_SIZE_MAX ? -HVO_E2BIG : -HVO_EINVAL);
		assert_int_equal(g.size, refused[i]);
		assert_true(untouched(&g, 4));
	}
	fill(&own, out->size);
	assert_int_equal(out->fn(r, pool, &own), 0);
	assert_true(untouched(&own, out->size));
	for (size = HVO_SIZE_MIN; size <= out->size + NEW; size += 4) {
		fill(&g, size);
		assert_int_equal(out->fn(r, pool, &g), 0);
		assert_int_equal(g.size, size);
		assert_true(untouched(&g, size));
		/* All that is known of the size, and zero behind that. */
		if (out->fn != out_sim_stat)
			assert_memory_equal(b + 4, a + 4,
					    (size < out->size ? size : out->size) - 4);
		for (i = out->size; i < size; i++)
			assert_int_equal(b[i], 0);
	}
}

static void test_outputs(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 512);
	struct hvo_pool *pool;
	struct hvo_cma *cma;
	struct rig r;
	size_t i;

	(void)state;
	cfg.cma_bytes = HVO_SECTION_SIZE;
	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	(void)rig_resize(pool, ANY, 4);
	assert_int_equal(hvo_cma_create(r.m, 0, HVO_BLOCK_FRAMES, &cma), 0);
	for (i = 0; i < sizeof(outs) / sizeof(outs[0]); i++)
		expect_out(&r, pool, &outs[i]);
	/* A result that cannot be given: nothing is done. */
	for (i = 0; i < 2; i++) {
		struct hvo_resize_result bad = { .size = i ? 3 : HVO_SIZE_MAX + 1 };

		assert_int_equal(hvo_pool_resize(pool, ANY, 9, &bad), i ? -HVO_EINVAL : -HVO_E2BIG);
		assert_int_equal(rig_pool(pool, ANY).total, 4);
	}
	rig_audit(&r);
	rig_close(&r);
}

/* How a machine of this configuration is refused, or 0; *ret_bytes: what it has. */
static int try_config(const struct grown *g, uint64_t *ret_bytes)
{
	const struct hvo_config *cfg = (const struct hvo_config *)(const void *)g;
	struct hvo_sim *sim = NULL;
	int rc = hvo_sim_create(cfg, NULL, &sim);

	assert_true(!hvo_machine_size(cfg) == !!rc);
	if (rc)
		return rc;
	assert_int_equal(hvo_machine_config(hvo_sim_machine(sim))->size, sizeof(struct hvo_config));
	*ret_bytes = hvo_machine_config(hvo_sim_machine(sim))->hotplug_bytes;
	hvo_sim_close(sim);
	return 0;
}

static void test_configuration(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 128);
	uint64_t hotplug = 77;
	struct hvo_linux *host;
	struct grown g = { .size = 0 };

	(void)state;
	cfg.hotplug_bytes = HVO_SECTION_SIZE;
	memcpy(&g, &cfg, sizeof(cfg));
	assert_int_equal(try_config(&g, &hotplug), 0);
	assert_int_equal(hotplug, HVO_SECTION_SIZE);
	/* From a program that knows the first field alone: garbage behind it is not looked at. */
	memset((uint8_t *)&g + 16, 0xa5, sizeof(g) - 16);
	g.size = 16;
	assert_int_equal(try_config(&g, &hotplug), 0);
	assert_int_equal(hotplug, 0);
	g.size = 15;
	assert_int_equal(try_config(&g, &hotplug), -HVO_EINVAL);
	g.size = 0;
	assert_int_equal(try_config(&g, &hotplug), -HVO_EINVAL);
	g.size = HVO_SIZE_MAX + 1;
	assert_int_equal(try_config(&g, &hotplug), -HVO_E2BIG);
	/* From one that knows more: if it wants none of that. */
	memset(&g, 0, sizeof(g));
	memcpy(&g, &cfg, sizeof(cfg));
	g.size = sizeof(cfg) + NEW;
	assert_int_equal(try_config(&g, &hotplug), 0);
	((uint8_t *)&g)[sizeof(cfg) + NEW - 1] = 1;
	assert_int_equal(try_config(&g, &hotplug), -HVO_E2BIG);
	assert_int_equal(hvo_linux_create((void *)&g, NULL, &host), -HVO_E2BIG);
	g.size--;
	assert_int_equal(try_config(&g, &hotplug), 0);
}

/* Options of both platforms, of a resize, and a policy. */
static void test_inputs(void **state)
{
	struct hvo_linux_options linux_opt = { .size = sizeof(linux_opt), .sparse = true };
	struct hvo_resize_options resize = { .size = 8, .nodes = 1 };
	struct hvo_sim_options sim_opt = { .size = 8, .seed = 1 };
	struct hvo_config cfg = rig_config(HVO_LINUX, 128);
	struct hvo_policy policy = *hvo_policy_find("retry");
	struct hvo_linux *host;
	struct hvo_pool *pool;
	struct hvo_sim *sim;
	struct grown g = { .size = 0 };
	struct rig r;

	(void)state;
	assert_int_equal(hvo_sim_create(&cfg, &sim_opt, &sim), -HVO_EINVAL);
	sim_opt.size = HVO_SIZE_MAX + 1;
	assert_int_equal(hvo_sim_open(&cfg, &sim_opt, &sim), -HVO_E2BIG);
	linux_opt.size = 0;
	assert_int_equal(hvo_linux_create(&cfg, &linux_opt, &host), -HVO_EINVAL);
	linux_opt.size = sizeof(linux_opt);
	memcpy(&g, &linux_opt, sizeof(linux_opt));
	g.size += 8;
	((uint8_t *)&g)[sizeof(linux_opt)] = 1;
	assert_int_equal(hvo_linux_open(&cfg, (void *)&g, &host), -HVO_E2BIG);

	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	assert_int_equal(hvo_pool_resize_with(pool, ANY, 2, &resize, NULL), -HVO_EINVAL);
	assert_int_equal(rig_pool(pool, ANY).total, 0);
	/* Without @progress and the rest. */
	resize.size = HVO_SIZE_MIN;
	memset((uint8_t *)&resize + HVO_SIZE_MIN, 0xa5, sizeof(resize) - HVO_SIZE_MIN);
	assert_int_equal(hvo_pool_resize_with(pool, ANY, 2, &resize, NULL), 0);
	assert_int_equal(rig_pool(pool, ANY).total, 2);

	policy.size = 0;
	assert_int_equal(hvo_pool_set_policy(pool, &policy), -HVO_EINVAL);
	policy.size = HVO_SIZE_MIN; /* no steps */
	assert_int_equal(hvo_pool_set_policy(pool, &policy), -HVO_EINVAL);
	policy.size = sizeof(policy);
	memcpy(&g, &policy, sizeof(policy));
	g.size += 8;
	((uint8_t *)&g)[sizeof(policy)] = 0;
	memset((uint8_t *)&g + sizeof(policy), 0, 8);
	assert_int_equal(hvo_pool_set_policy(pool, (void *)&g), 0);
	((uint8_t *)&g)[sizeof(policy) + 7] = 1;
	assert_int_equal(hvo_pool_set_policy(pool, (void *)&g), -HVO_E2BIG);
	assert_int_equal(hvo_pool_policy(pool, &policy), 0);
	assert_string_equal(policy.name, "retry");
	assert_int_equal(policy.size, sizeof(policy));
	rig_close(&r);
}

static uint32_t never_isolated(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
			       unsigned int order)
{
	(void)owner;
	(void)m;
	(void)pfn;
	(void)order;
	return 0;
}

static int never_moved(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t dst, hvo_pfn_t src,
		       unsigned int order)
{
	(void)owner;
	(void)m;
	(void)dst;
	(void)src;
	(void)order;
	return -HVO_EBUSY;
}

static uint64_t scan(struct hvo_shrinker *shrinker, struct hvo_machine *m, uint64_t nr_frames)
{
	(void)shrinker;
	(void)m;
	(void)nr_frames;
	return 0;
}

/* Functions that the library is to call: none may be missing. */
static void test_functions(void **state)
{
	struct hvo_owner owner = { sizeof(owner), never_isolated, never_moved,
				   rig_putback,	  NULL,		  NULL };
	struct hvo_shrinker shrinker = { .size = sizeof(shrinker), .scan = scan };
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 128);
	struct hvo_platform_ops ops;
	struct hvo_machine *m;
	uint32_t id = 0;
	struct rig r;
	void *mem;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	for (owner.size = 0; owner.size < sizeof(owner); owner.size += 8)
		assert_int_equal(hvo_owner_register(r.m, &owner, &id), -HVO_EINVAL);
	assert_int_equal(hvo_owner_register(r.m, &owner, &id), 0);
	assert_int_equal(hvo_owner_unregister(r.m, id), 0);
	for (shrinker.size = 0; shrinker.size < sizeof(shrinker); shrinker.size += 8)
		assert_int_equal(hvo_shrinker_register(r.m, &shrinker), -HVO_EINVAL);
	shrinker.scan = NULL;
	assert_int_equal(hvo_shrinker_register(r.m, &shrinker), -HVO_EINVAL);
	shrinker.scan = scan;
	assert_int_equal(hvo_shrinker_register(r.m, &shrinker), 0);
	assert_int_equal(hvo_shrinker_unregister(r.m, &shrinker), 0);

	ops = *r.m->ops;
	mem = aligned_alloc(64, hvo_machine_size(&cfg));
	assert_non_null(mem);
	ops.size -= 8;
	assert_int_equal(hvo_machine_init(mem, hvo_machine_size(&cfg), &cfg, &ops, r.sim,
					  hvo_sim_array(r.sim), &m),
			 -HVO_EINVAL);
	free(mem);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outputs),
		cmocka_unit_test(test_configuration),
		cmocka_unit_test(test_inputs),
		cmocka_unit_test(test_functions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
