// SPDX-License-Identifier: MIT
/*
 * What all of the public interface has in common: structures that can grow, names, errors of a
 * machine that is gone.
 */
#include "harness.h"

#include <limits.h>
#include <stdio.h>
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
	assert_int_equal(hvo_cma_create(r.m, 0, HVO_PAGEBLOCK_FRAMES, &cma), 0);
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
	struct hvo_owner owner = { sizeof(owner),  rig_never_isolate,
				   rig_never_move, rig_putback,
				   NULL,	   NULL };
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

/* ---- names ------------------------------------------------------------------------- */

static void test_version(void **state)
{
	char own[32];

	(void)state;
	snprintf(own, sizeof(own), "%d.%d.%d", HVO_VERSION_MAJOR, HVO_VERSION_MINOR,
		 HVO_VERSION_MICRO);
	assert_string_equal(own, HVO_VERSION);
	assert_string_equal(hvo_version(), HVO_VERSION);
	assert_string_equal(hvo_version(), PROJECT_VERSION);
}

static void test_error_names(void **state)
{
	static const struct {
		int error;
		const char *name;
	} all[] = {
		{ 0, "0" },
		{ HVO_EPERM, "EPERM" },
		{ HVO_EINTR, "EINTR" },
		{ HVO_E2BIG, "E2BIG" },
		{ HVO_EAGAIN, "EAGAIN" },
		{ HVO_ENOMEM, "ENOMEM" },
		{ HVO_EFAULT, "EFAULT" },
		{ HVO_EBUSY, "EBUSY" },
		{ HVO_ENODEV, "ENODEV" },
		{ HVO_EINVAL, "EINVAL" },
		{ HVO_EFBIG, "EFBIG" },
		{ HVO_ENOSPC, "ENOSPC" },
		{ HVO_ERANGE, "ERANGE" },
		{ HVO_ENOSYS, "ENOSYS" },
		{ HVO_EOVERFLOW, "EOVERFLOW" },
		{ HVO_EOPNOTSUPP, "EOPNOTSUPP" },
		{ 99, "unknown" },
		{ 5, "unknown" },
		{ INT_MAX, "unknown" },
	};
	unsigned int i, k;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_string_equal(hvo_error_name(all[i].error), all[i].name);
		assert_string_equal(hvo_error_name(-all[i].error), all[i].name);
		assert_ptr_equal(hvo_error_text(-all[i].error), hvo_error_text(all[i].error));
		assert_true(strlen(hvo_error_text(all[i].error)) > 3);
		/* No two say the same, but for those that have no name. */
		for (k = 0; k < i; k++)
			assert_int_equal(hvo_error_text(all[k].error) ==
						 hvo_error_text(all[i].error),
					 !strcmp(all[k].name, all[i].name));
	}
	assert_string_equal(hvo_error_name(INT_MIN), "unknown");
	/* All that the header has. */
	for (i = 0, k = 0; i < 200; i++)
		k += strcmp(hvo_error_name((int)i), "unknown") != 0;
	assert_int_equal(k, 16);
}

/* Of each field of a configuration, what is said when it is wrong. */
static void test_wrong_field(void **state)
{
	static const struct {
		struct hvo_config cfg;
		const char *field;
	} wrong[] = {
#define MEMORY .size = sizeof(struct hvo_config), .memory_bytes = 4 * HVO_SECTION_SIZE
		{ { .size = 3 }, "size" },
		{ { .size = HVO_SIZE_MAX + 1 }, "size" },
		{ { .size = sizeof(struct hvo_config) }, "memory_bytes" },
		{ { .size = HVO_SIZE_MIN, .memory_bytes = 1 }, "memory_bytes" },
		{ { MEMORY, .nr_nodes = 3 }, "memory_bytes" },
		{ { .size = HVO_SIZE_MIN, .memory_bytes = UINT64_MAX }, "memory_bytes" },
		{ { MEMORY, .movable_bytes = 4 * HVO_SECTION_SIZE - HVO_PAGEBLOCK_SIZE },
		  "movable_bytes" },
		{ { MEMORY, .movable_bytes = 4 * HVO_SECTION_SIZE }, "movable_bytes" },
		{ { MEMORY, .cma_bytes = HVO_FRAME_SIZE }, "cma_bytes" },
		{ { MEMORY, .cma_bytes = 4 * HVO_SECTION_SIZE }, "cma_bytes" },
		{ { MEMORY, .hotplug_bytes = 1 }, "hotplug_bytes" },
		{ { MEMORY, .hotplug_bytes = UINT64_C(16) << 40 }, "hotplug_bytes" },
		{ { MEMORY, .min_free_bytes = 2 * HVO_SECTION_SIZE }, "min_free_bytes" },
		{ { MEMORY, .nr_nodes = 2, .movable_nodes = 4 }, "movable_nodes" },
		{ { MEMORY, .nr_nodes = 2, .movable_nodes = 3 }, "movable_nodes" },
		{ { MEMORY, .nr_nodes = 65 }, "nr_nodes" },
		{ { MEMORY, .max_order = 8 }, "max_order" },
		{ { MEMORY, .max_order = 19 }, "max_order" },
		{ { MEMORY, .mode = 2 }, "mode" },
		{ { MEMORY, .clear = 3 }, "clear" },
		{ { MEMORY, .boot_gigantic = 1, .boot_gigantic_nodes = { 2 } }, "boot_gigantic" },
		{ { MEMORY, .boot_gigantic_nodes = { 0, 1 } }, "boot_gigantic_nodes" },
#undef MEMORY
	};
	struct hvo_config good = rig_config(HVO_LINUX, 128);
	struct hvo_machine *m = NULL;
	struct hvo_sim *sim;
	char why[80], cut[12];
	_Alignas(64) uint64_t mem[8];
	unsigned int i;
	int rc;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		size_t len = strlen(wrong[i].field);

		memset(why, 'x', sizeof(why));
		rc = hvo_config_check(&wrong[i].cfg, why, sizeof(why));
		assert_int_equal(rc, wrong[i].cfg.size > HVO_SIZE_MAX ? -HVO_E2BIG : -HVO_EINVAL);
		assert_int_equal(hvo_config_check(&wrong[i].cfg, NULL, 0), rc);
		if (strncmp(why, wrong[i].field, len) || strncmp(why + len, ": ", 2))
			fail_msg("%s: %s", wrong[i].field, why);
		/* Cut off, and no further. */
		memset(cut, 'x', sizeof(cut));
		assert_int_equal(hvo_config_check(&wrong[i].cfg, cut, sizeof(cut) - 2), rc);
		assert_int_equal(strlen(cut),
				 sizeof(cut) - 3 < strlen(why) ? sizeof(cut) - 3 : strlen(why));
		assert_memory_equal(cut, why, strlen(cut));
		assert_int_equal(cut[sizeof(cut) - 2], 'x');
		assert_int_equal(hvo_machine_size(&wrong[i].cfg), 0);
		assert_int_equal(hvo_sim_create(&wrong[i].cfg, NULL, &sim), rc);
		assert_int_equal(hvo_machine_init(mem, sizeof(mem), &wrong[i].cfg, &hvo_sim_ops,
						  mem, (void *)mem, &m),
				 rc);
	}
	assert_int_equal(hvo_config_check(NULL, why, sizeof(why)), -HVO_EINVAL);
	assert_int_equal(strncmp(why, "size: ", 6), 0);
	assert_int_equal(hvo_config_check(&good, why, sizeof(why)), 0);
	assert_string_equal(why, "");
	assert_int_equal(hvo_config_check(&good, why, 0), 0);
}

/* ---- frames ------------------------------------------------------------------------ */

static void test_addresses(void **state)
{
	struct hvo_config cfg = rig_config(HVO_ON_DEMAND, 128);
	enum rig_platform on;
	struct rig r;

	(void)state;
	cfg.hotplug_bytes = HVO_SECTION_SIZE;
	for (on = RIG_SIM; on <= RIG_LINUX; on++) {
		uint64_t nr = 2 * HVO_SECTION_FRAMES, pfn;
		uint8_t *first;

		rig_open(&r, on, &cfg);
		first = hvo_window(r.m, 0, nr);
		for (pfn = 0; pfn < nr; pfn += 509) {
			assert_true(hvo_addr_to_pfn(r.m, hvo_window(r.m, pfn, 1)) == pfn);
			assert_true(hvo_addr_to_pfn(r.m, first + pfn * HVO_FRAME_SIZE + 4095) ==
				    pfn);
		}
		assert_true(hvo_addr_to_pfn(r.m, first + nr * HVO_FRAME_SIZE - 1) == nr - 1);
		assert_true(hvo_addr_to_pfn(r.m, first + nr * HVO_FRAME_SIZE) == HVO_PFN_NONE);
		assert_true(hvo_addr_to_pfn(r.m, first - 1) == HVO_PFN_NONE);
		assert_true(hvo_addr_to_pfn(r.m, NULL) == HVO_PFN_NONE);
		assert_true(hvo_addr_to_pfn(r.m, &r) == HVO_PFN_NONE);
		rig_close(&r);
	}
}

#define BULK 300

/* All or none, wherever it fails. */
static void bulk(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	static hvo_pfn_t pfns[BULK + 1];
	uint64_t before, done = 77, i, k;
	struct hog hog = { 0 };
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	before = rig_free(&r);
	assert_int_equal(
		hvo_alloc_pages_bulk(r.m, HVO_GFP_KERNEL | HVO_GFP_ZERO, 2, ANY, BULK, pfns), 0);
	for (i = 0; i < BULK; i++) {
		assert_true(hvo_pages_held(r.m, pfns[i], 4));
		for (k = 0; k < i; k++)
			assert_true(pfns[k] != pfns[i]);
	}
	/* One that is not there: what is before it goes, what is behind it stays. */
	k = pfns[100];
	pfns[100] = r.m->mm.nr_frames;
	assert_int_equal(hvo_put_pages_bulk(r.m, pfns, BULK, &done), -HVO_EINVAL);
	assert_int_equal(done, 100);
	assert_false(hvo_pages_held(r.m, pfns[99], 1));
	assert_true(hvo_pages_held(r.m, pfns[101], 4));
	pfns[100] = k;
	assert_int_equal(hvo_put_pages_bulk(r.m, pfns + 100, BULK - 100, &done), 0);
	assert_int_equal(done, BULK - 100);
	hvo_collapse(r.m, UINT64_MAX, NULL);
	assert_int_equal(rig_free(&r), before);

	assert_int_equal(hvo_alloc_pages_bulk(r.m, 0, 0, ANY, 0, pfns), -HVO_EINVAL);
	assert_int_equal(hvo_alloc_pages_bulk(r.m, 0, 0, ANY, 1, NULL), -HVO_EINVAL);
	assert_int_equal(hvo_alloc_pages_bulk(r.m, 0, 19, ANY, 1, pfns), -HVO_EINVAL);
	done = 77;
	assert_int_equal(hvo_put_pages_bulk(r.m, pfns, 0, &done), -HVO_EINVAL);
	assert_int_equal(hvo_put_pages_bulk(r.m, NULL, 1, &done), -HVO_EINVAL);
	assert_int_equal(done, 77);

	/* One frame too few, and memory that the system does not give. */
	hog_all(&r, &hog, BULK, false);
	assert_int_equal(hvo_alloc_pages_bulk(r.m, GFP_HOG, 0, ANY, BULK + 1, pfns), -HVO_ENOMEM);
	assert_int_equal(rig_free(&r), BULK);
	assert_int_equal(hvo_alloc_pages_bulk(r.m, GFP_HOG, 0, ANY, BULK, pfns), 0);
	assert_int_equal(hvo_put_pages_bulk(r.m, pfns, BULK, NULL), 0);
	for (i = 1;; i++) {
		int rc;

		rig_arm(&r, i, false);
		rc = hvo_alloc_pages_bulk(r.m, GFP_HOG | HVO_GFP_ZERO, 0, ANY, 8, pfns);
		if (!rig_disarm(&r))
			break;
		assert_int_equal(rc, -HVO_ENOMEM);
		assert_int_equal(rig_free(&r), BULK);
		rig_audit(&r);
	}
	assert_true(i > 8);
	assert_int_equal(hvo_put_pages_bulk(r.m, pfns, 8, NULL), 0);
	hog_release(&r, &hog, UINT64_MAX);
	rig_audit(&r);
	rig_close(&r);
}

EACH_MODE(bulk)

static void pool_bulk(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 128);
	hvo_pfn_t pfns[16];
	uint64_t done = 0;
	struct hvo_pool *pool;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	assert_int_equal(rig_resize(pool, ANY, 8).done, 8);
	assert_int_equal(hvo_pool_alloc_bulk(pool, 0, ANY, 9, pfns), -HVO_ENOMEM);
	assert_int_equal(rig_pool(pool, ANY).free, 8);
	assert_int_equal(hvo_pool_alloc_bulk(pool, 0, ANY, 0, pfns), -HVO_EINVAL);
	assert_int_equal(hvo_pool_alloc_bulk(pool, 0, 1, 1, pfns), -HVO_EINVAL);
	assert_int_equal(hvo_pool_alloc_bulk(pool, 0, ANY, 8, pfns), 0);
	assert_int_equal(rig_pool(pool, ANY).free, 0);
	assert_int_equal(hvo_put_pages_bulk(r.m, pfns, 8, &done), 0);
	assert_int_equal(done, 8);
	assert_int_equal(rig_pool(pool, ANY).free, 8);
	/* Surplus pages that came in vain leave. */
	assert_int_equal(hvo_pool_set_overcommit(pool, 4), 0);
	assert_int_equal(hvo_pool_alloc_bulk(pool, HVO_GFP_KERNEL, ANY, 13, pfns), -HVO_ENOMEM);
	hvo_work(r.m, UINT64_MAX, NULL);
	assert_int_equal(rig_pool(pool, ANY).total, 8);
	assert_int_equal(hvo_pool_alloc_bulk(pool, HVO_GFP_KERNEL, ANY, 12, pfns), 0);
	assert_int_equal(rig_pool(pool, ANY).surplus, 4);
	assert_int_equal(hvo_put_pages_bulk(r.m, pfns, 12, NULL), 0);
	hvo_work(r.m, UINT64_MAX, NULL);
	assert_int_equal(rig_pool(pool, ANY).total, 8);
	rig_audit(&r);
	rig_close(&r);
}

EACH_MODE(pool_bulk)

/* ---- pools and areas that go ------------------------------------------------------- */

static bool busy_while_resized(void *arg, const struct hvo_resize_result *so_far)
{
	(void)so_far;
	assert_int_equal(hvo_pool_destroy(arg), -HVO_EBUSY);
	return true;
}

static void destroy_pool(enum hvo_mode mode)
{
	struct hvo_resize_options opt = { .size = sizeof(opt), .progress = busy_while_resized };
	struct hvo_config cfg = rig_config(mode, 256);
	struct hvo_pool_stat stat = { .size = sizeof(stat) };
	struct hvo_pool *pool, *large, *other, *at;
	unsigned int orders = 0;
	hvo_pfn_t pfn;
	struct rig r;

	rig_open(&r, RIG_SIM, &cfg);
	assert_null(hvo_pool_next(r.m, NULL));
	large = rig_pool_new(&r, 12);
	pool = rig_pool_new(&r, 10);
	other = rig_pool_new(&r, 9);
	hvo_for_each_pool(r.m, at) orders = orders * 100 + (unsigned int)hvo_pool_order(at);
	assert_int_equal(orders, 91012);
	assert_int_equal(hvo_pool_set_demote_order(large, 10), 0);

	/* Pages that are free, in use, promised. */
	opt.arg = pool;
	assert_int_equal(hvo_pool_resize_with(pool, ANY, 2, &opt, NULL), 0);
	assert_int_equal(hvo_pool_destroy(pool), -HVO_EBUSY);
	assert_int_equal(hvo_pool_alloc(pool, 0, ANY, &pfn), 0);
	(void)rig_resize(pool, ANY, 0);
	assert_int_equal(rig_pool(pool, ANY).total, 1);
	assert_int_equal(hvo_pool_destroy(pool), -HVO_EBUSY);
	assert_int_equal(hvo_pool_free(pool, pfn), 0);
	/* Deferred: it has left the pool, and comes back if it cannot be restored. */
	assert_int_equal(rig_pool(pool, ANY).deferred, mode == HVO_LINUX);
	assert_int_equal(hvo_pool_destroy(pool), mode == HVO_LINUX ? -HVO_EBUSY : 0);
	hvo_work(r.m, UINT64_MAX, NULL);
	if (mode == HVO_LINUX)
		assert_int_equal(hvo_pool_destroy(pool), 0);
	assert_int_equal(hvo_pool_destroy(pool), -HVO_EINVAL);
	assert_int_equal(hvo_pool_destroy(NULL), -HVO_EINVAL);
	assert_int_equal(hvo_pool_stat(pool, ANY, &stat), -HVO_EINVAL);
	assert_int_equal(hvo_pool_order(pool), -HVO_EINVAL);
	assert_null(hvo_pool_find(r.m, 10));
	assert_int_equal(hvo_pool_demote_order(large), 9);
	orders = 0;
	hvo_for_each_pool(r.m, at) orders = orders * 100 + (unsigned int)hvo_pool_order(at);
	assert_int_equal(orders, 912);
	rig_audit(&r);

	/* Another one in its place knows nothing of it. */
	assert_int_equal(hvo_pool_set_overcommit(other, 5), 0);
	assert_int_equal(hvo_pool_set_policy(other, hvo_policy_find("carve")), 0);
	assert_int_equal(hvo_pool_reserve(other, ANY, 1), 0);
	assert_int_equal(hvo_pool_destroy(other), -HVO_EBUSY);
	assert_int_equal(hvo_pool_unreserve(other, 1), 0);
	assert_int_equal(hvo_pool_destroy(other), 0);
	other = rig_pool_new(&r, 9);
	pool = rig_pool_new(&r, 11);
	stat = rig_pool(other, ANY);
	assert_true(!stat.overcommit && !stat.total && !stat.surplus && !stat.refused_total);
	assert_int_equal(rig_resize(other, ANY, 3).done, 3);
	assert_int_equal(rig_resize(pool, ANY, 1).done, 1);
	rig_audit(&r);
	rig_close(&r);
}

EACH_MODE(destroy_pool)

static void destroy_area(enum hvo_mode mode)
{
	const uint64_t nr = 4 * HVO_PAGEBLOCK_FRAMES;
	struct hvo_cma_events events = { .size = sizeof(events) };
	struct hvo_config cfg = rig_config(mode, 512);
	struct hvo_cma *areas[HVO_MAX_CMA], *cma;
	hvo_pfn_t start, pfn, was;
	struct hvo_pool *pool;
	uint64_t used;
	struct rig r;
	int i;

	cfg.cma_bytes = HVO_SECTION_SIZE;
	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	for (i = 0; i < HVO_MAX_CMA; i++)
		assert_int_equal(hvo_cma_create(r.m, 0, nr, &areas[i]), 0);
	assert_int_equal(hvo_cma_create(r.m, 0, nr, &cma), -HVO_ENOSPC);
	assert_int_equal(hvo_cma_alloc(areas[3], 7, 0, &pfn), 0);
	assert_int_not_equal(hvo_cma_alloc(areas[3], nr, 0, &start), 0);
	/* At a multiple of 1 GiB, which may be there; of more is a mistake. */
	assert_int_not_equal(hvo_cma_alloc(areas[3], nr, HVO_GIGA_ORDER, &start), -HVO_EINVAL);
	assert_int_equal(hvo_cma_alloc(areas[3], 1, HVO_GIGA_ORDER + 1, &start), -HVO_EINVAL);
	assert_int_equal(hvo_cma_events(areas[3], &events), 0);
	assert_int_equal(events.failed, 2 * nr);
	assert_int_equal(hvo_cma_destroy(areas[3]), -HVO_EBUSY);
	assert_int_equal(hvo_cma_release(areas[3], pfn, 7), 0);
	assert_int_equal(hvo_cma_stat(areas[3], &was, NULL, NULL), 0);
	assert_int_equal(hvo_cma_destroy(areas[3]), 0);
	assert_int_equal(hvo_cma_destroy(areas[3]), -HVO_EINVAL);
	assert_int_equal(hvo_cma_destroy(NULL), -HVO_EINVAL);
	assert_int_equal(hvo_cma_alloc(areas[3], 1, 0, &pfn), -HVO_EINVAL);
	assert_int_equal(hvo_cma_release(areas[3], was, 1), -HVO_EINVAL);
	assert_int_equal(hvo_cma_events(areas[3], &events), -HVO_EINVAL);
	assert_int_equal(hvo_cma_stat(areas[3], &start, NULL, NULL), -HVO_EINVAL);
	assert_ptr_equal(hvo_cma_get(r.m, 2), areas[2]);
	assert_ptr_equal(hvo_cma_get(r.m, 3), areas[4]);
	assert_ptr_equal(hvo_cma_get(r.m, HVO_MAX_CMA - 2), areas[HVO_MAX_CMA - 1]);
	assert_null(hvo_cma_get(r.m, HVO_MAX_CMA - 1));
	rig_audit(&r);

	/* One more, in its place, and nothing that the old one counted. */
	assert_int_equal(hvo_cma_create(r.m, 0, nr, &cma), 0);
	assert_int_equal(hvo_cma_stat(cma, &start, NULL, &used), 0);
	assert_true(start == was && !used);
	assert_int_equal(hvo_cma_events(cma, &events), 0);
	assert_true(!events.allocated && !events.failed && !events.released);
	/* A pool's page keeps it, until it is free again. */
	for (i = 0; i < HVO_MAX_CMA; i++)
		if (areas[i] != cma)
			assert_int_equal(hvo_cma_destroy(areas[i]), 0);
	assert_int_equal(hvo_pool_set_cma(pool, true), 0);
	assert_int_equal(rig_resize(pool, ANY, 1).done, 1);
	assert_int_equal(hvo_cma_destroy(cma), -HVO_EBUSY);
	assert_int_equal(rig_resize(pool, ANY, 0).done, 1);
	assert_int_equal(hvo_cma_destroy(cma), 0);
	assert_null(hvo_cma_get(r.m, 0));
	/* Without areas pages come from elsewhere. */
	assert_int_equal(rig_resize(pool, ANY, 1).done, 1);
	rig_audit(&r);
	rig_close(&r);
}

EACH_MODE(destroy_area)

/* ---- a machine that is gone -------------------------------------------------------- */

/* What a call is given: all that a machine had before it went. */
struct gone {
	struct hvo_machine *m;
	struct hvo_pool *pool;
	struct hvo_cma *cma;
	struct hvo_owner owner;
	struct hvo_shrinker shrinker;
	hvo_pfn_t pfn, huge, out;
	uint64_t value;
	bool more;
};

struct gone_call {
	const char *name;
	int64_t (*fn)(struct gone *g);
};

#define KERNEL HVO_GFP_KERNEL
#define SIZED(type) (&(struct type){ .size = sizeof(struct type) })
/* The calls, and what they answer: an error, or "nothing". */
#define GONE_CALLS(CALL, NOTHING)                                                            \
	CALL(set_min_free, hvo_set_min_free(g->m, 0))                                        \
	CALL(min_free, hvo_min_free(g->m))                                                   \
	NOTHING(window, hvo_window(g->m, g->pfn, 1) == NULL)                                 \
	NOTHING(addr_to_pfn, hvo_addr_to_pfn(g->m, g) == HVO_PFN_NONE)                       \
	CALL(alloc_pages, hvo_alloc_pages(g->m, KERNEL, 0, ANY, &g->out))                    \
	CALL(alloc_pages_bulk, hvo_alloc_pages_bulk(g->m, KERNEL, 0, ANY, 1, &g->out))       \
	CALL(put_page, hvo_put_page(g->m, g->pfn))                                           \
	CALL(put_pages_bulk, hvo_put_pages_bulk(g->m, &g->pfn, 1, &g->value))                \
	CALL(get_page, hvo_get_page(g->m, g->pfn, &g->out))                                  \
	NOTHING(pages_held, !hvo_pages_held(g->m, g->pfn, 1))                                \
	CALL(map_page, hvo_map_page(g->m, g->pfn))                                           \
	CALL(unmap_page, hvo_unmap_page(g->m, g->pfn))                                       \
	CALL(page_set_private, hvo_page_set_private(g->m, g->pfn, 0, 1))                     \
	CALL(page_private, hvo_page_private(g->m, g->pfn, 0, &g->value))                     \
	CALL(split_page, hvo_split_page(g->m, g->pfn, 0))                                    \
	CALL(shrinker_register, hvo_shrinker_register(g->m, &g->shrinker))                   \
	CALL(shrinker_unregister, hvo_shrinker_unregister(g->m, &g->shrinker))               \
	CALL(set_oom_notifier, hvo_set_oom_notifier(g->m, NULL, NULL))                       \
	CALL(collapse, hvo_collapse(g->m, 1, &g->more))                                      \
	CALL(work, hvo_work(g->m, 1, &g->more))                                              \
	CALL(report_free, hvo_report_free(g->m, ANY, 9, 1, &g->more))                        \
	NOTHING(reported, !hvo_reported(g->m, g->pfn))                                       \
	CALL(move_memmap, hvo_move_memmap(g->m, g->pfn))                                     \
	CALL(memory_failure, hvo_memory_failure(g->m, g->pfn))                               \
	CALL(soft_offline, hvo_soft_offline(g->m, g->pfn))                                   \
	CALL(failure_stat, hvo_failure_stat(g->m, 0, SIZED(hvo_failure_stat)))               \
	CALL(poisoned, hvo_poisoned(g->m, NULL, 0))                                          \
	CALL(pool_create, hvo_pool_create(g->m, 12, &(struct hvo_pool *){ NULL }))           \
	CALL(pool_destroy, hvo_pool_destroy(g->pool))                                        \
	NOTHING(pool_find, hvo_pool_find(g->m, 9) == NULL)                                   \
	NOTHING(pool_next, hvo_pool_next(g->m, NULL) == NULL)                                \
	CALL(pool_order, hvo_pool_order(g->pool))                                            \
	CALL(pool_set_policy, hvo_pool_set_policy(g->pool, hvo_policy_get(0)))               \
	CALL(pool_policy, hvo_pool_policy(g->pool, SIZED(hvo_policy)))                       \
	CALL(pool_set_fold_scope, hvo_pool_set_fold_scope(g->pool, HVO_FOLD_ALL))            \
	CALL(pool_fold_scope, hvo_pool_fold_scope(g->pool))                                  \
	CALL(set_optimize, hvo_set_optimize(g->m, true))                                     \
	NOTHING(optimize, !hvo_optimize(g->m))                                               \
	CALL(set_movable_gigantic, hvo_set_movable_gigantic(g->m, true))                     \
	NOTHING(movable_gigantic, !hvo_movable_gigantic(g->m))                               \
	CALL(optimize_pool, hvo_pool_optimize(g->pool, &g->value))                           \
	CALL(pool_resize, hvo_pool_resize(g->pool, ANY, 9, SIZED(hvo_resize_result)))        \
	CALL(pool_resize_with, hvo_pool_resize_with(g->pool, ANY, 9, NULL, NULL))            \
	CALL(pool_set_overcommit, hvo_pool_set_overcommit(g->pool, 1))                       \
	CALL(reserve, hvo_pool_reserve(g->pool, ANY, 1))                                     \
	CALL(unreserve, hvo_pool_unreserve(g->pool, 1))                                      \
	CALL(hugetlb_alloc, hvo_pool_alloc(g->pool, KERNEL, ANY, &g->out))                   \
	CALL(hugetlb_alloc_bulk, hvo_pool_alloc_bulk(g->pool, KERNEL, ANY, 1, &g->out))      \
	CALL(alloc_reserved, hvo_pool_alloc_reserved(g->pool, KERNEL, ANY, &g->out))         \
	CALL(hugetlb_free, hvo_pool_free(g->pool, g->huge))                                  \
	CALL(free_reserved, hvo_pool_free_reserved(g->pool, g->huge))                        \
	CALL(dissolve, hvo_hugetlb_dissolve(g->m, g->huge))                                  \
	CALL(set_demote_order, hvo_pool_set_demote_order(g->pool, 9))                        \
	CALL(demote_order, hvo_pool_demote_order(g->pool))                                   \
	CALL(demote, hvo_pool_demote(g->pool, ANY, 1, &g->value))                            \
	CALL(pool_stat, hvo_pool_stat(g->pool, ANY, SIZED(hvo_pool_stat)))                   \
	CALL(pool_set_cma, hvo_pool_set_cma(g->pool, true))                                  \
	CALL(zone_stat, hvo_zone_stat(g->m, 0, HVO_ZONE_NORMAL, SIZED(hvo_zone_stat)))       \
	CALL(zone_types, hvo_zone_types(g->m, 0, HVO_ZONE_NORMAL, SIZED(hvo_zone_types)))    \
	CALL(numa_stat, hvo_numa_stat(g->m, 0, HVO_ZONE_NORMAL, SIZED(hvo_numa_stat)))       \
	CALL(zone_events, hvo_zone_events(g->m, 0, HVO_ZONE_NORMAL, SIZED(hvo_zone_events))) \
	CALL(machine_stat, hvo_machine_stat(g->m, SIZED(hvo_machine_stat)))                  \
	CALL(audit, hvo_machine_audit(g->m, NULL, NULL))                                     \
	CALL(owner_register, hvo_owner_register(g->m, &g->owner, &(uint32_t){ 0 }))          \
	CALL(owner_unregister, hvo_owner_unregister(g->m, 1))                                \
	CALL(set_owner, hvo_set_owner(g->m, g->pfn, 0))                                      \
	CALL(migrate, hvo_migrate(g->m, g->pfn, ANY, &g->out))                               \
	CALL(isolate_range, hvo_isolate_range(g->m, 0, HVO_PAGEBLOCK_FRAMES))                \
	CALL(unisolate_range, hvo_unisolate_range(g->m, 0, HVO_PAGEBLOCK_FRAMES))            \
	CALL(compact, hvo_compact(g->m, ANY, 9, 1, &g->more))                                \
	CALL(alloc_contig_range, hvo_alloc_contig_range(g->m, 0, 1, KERNEL))                 \
	CALL(free_contig_range, hvo_free_contig_range(g->m, g->pfn, g->pfn + 1))             \
	CALL(alloc_contig_pages, hvo_alloc_contig_pages(g->m, 1, KERNEL, ANY, &g->out))      \
	CALL(cma_create,                                                                     \
	     hvo_cma_create(g->m, 0, HVO_PAGEBLOCK_FRAMES, &(struct hvo_cma *){ NULL }))     \
	CALL(cma_destroy, hvo_cma_destroy(g->cma))                                           \
	CALL(cma_alloc, hvo_cma_alloc(g->cma, 1, 0, &g->out))                                \
	CALL(cma_release, hvo_cma_release(g->cma, g->pfn, 1))                                \
	CALL(cma_stat, hvo_cma_stat(g->cma, &g->out, &g->value, &g->value))                  \
	NOTHING(cma_get, hvo_cma_get(g->m, 0) == NULL)                                       \
	CALL(cma_events, hvo_cma_events(g->cma, SIZED(hvo_cma_events)))                      \
	CALL(memory_add, hvo_memory_add(g->m, 0, 0, HVO_SECTION_FRAMES, 0))                  \
	CALL(memory_online, hvo_memory_online(g->m, 0, HVO_SECTION_FRAMES, HVO_ZONE_NORMAL)) \
	CALL(memory_offline, hvo_memory_offline(g->m, 0, HVO_SECTION_FRAMES))                \
	CALL(memory_remove, hvo_memory_remove(g->m, 0, HVO_SECTION_FRAMES))                  \
	NOTHING(section_state, hvo_section_state(g->m, 0) == HVO_SECTION_ABSENT)             \
	CALL(section_info, hvo_section_info(g->m, 0, SIZED(hvo_section_info)))

#define GONE_FN(name_, call)                        \
	static int64_t gone_##name_(struct gone *g) \
	{                                           \
		return call;                        \
	}
#define GONE_NOTHING(name_, is_nothing) GONE_FN(name_, (is_nothing) ? -HVO_ENODEV : 0)
GONE_CALLS(GONE_FN, GONE_NOTHING)

#define GONE_ROW(name_, call) { #name_, gone_##name_ },
static const struct gone_call gone_calls[] = { GONE_CALLS(GONE_ROW, GONE_ROW) };

static void count_calls(void *arg)
{
	(*(unsigned int *)arg)++;
}

static void gone(enum hvo_mode mode)
{
	struct hvo_config cfg = rig_config(mode, 512);
	unsigned int i, calls = 0;
	struct gone g = {
		.owner = { sizeof(g.owner), rig_never_isolate, rig_never_move, rig_putback, NULL,
			   NULL },
		.shrinker = { .size = sizeof(g.shrinker), .scan = scan },
		.out = 77,
		.value = 77,
		.more = true,
	};
	struct rig r;

	cfg.cma_bytes = HVO_SECTION_SIZE;
	rig_open(&r, RIG_SIM, &cfg);
	g.m = r.m;
	(void)rig_pool_new(&r, 9);
	g.pool = rig_pool_new(&r, 10);
	(void)rig_resize(g.pool, ANY, 2);
	assert_int_equal(hvo_cma_create(r.m, 0, HVO_PAGEBLOCK_FRAMES, &g.cma), 0);
	g.pfn = rig_alloc(&r, HVO_GFP_KERNEL, 2);
	assert_int_equal(hvo_pool_alloc(g.pool, 0, ANY, &g.huge), 0);
	hvo_machine_abandon(r.m);
	/* Nothing is changed any more by anybody, nor waited for. */
	r.on_call = count_calls;
	r.on_call_arg = &calls;
	for (i = 0; i < sizeof(gone_calls) / sizeof(gone_calls[0]); i++) {
		int64_t rc = gone_calls[i].fn(&g);

		if (rc != -HVO_ENODEV)
			fail_msg("%s of a machine that is gone: %lld", gone_calls[i].name,
				 (long long)rc);
	}
	assert_int_equal(calls, 0);
	assert_true(g.out == 77 && g.value == 77 && g.more);
	r.on_call = NULL;
	rig_close(&r);
}

EACH_MODE(gone)

/* ---- done, and more ----------------------------------------------------------------- */

/* By steps of one all is done that one call does, and only the last one says that it is. */
static uint64_t by_steps(struct rig *r, int64_t (*step)(struct hvo_machine *m, bool *ret_more))
{
	bool more = true;
	uint64_t sum = 0;
	int64_t done;

	while (more) {
		done = step(r->m, &more);
		assert_true(done >= 0);
		/* What does nothing has no more, or it would never end. */
		assert_true(done || !more);
		sum += (uint64_t)done;
	}
	return sum;
}

static int64_t work_one(struct hvo_machine *m, bool *ret_more)
{
	return hvo_work(m, 1, ret_more);
}

static int64_t collapse_one(struct hvo_machine *m, bool *ret_more)
{
	return hvo_collapse(m, 1, ret_more);
}

static int64_t report_one(struct hvo_machine *m, bool *ret_more)
{
	return hvo_report_free(m, ANY, 9, HVO_PAGEBLOCK_FRAMES, ret_more);
}

static void test_more(void **state)
{
	struct hvo_config cfg = rig_config(HVO_LINUX, 256);
	struct hvo_pool *pool;
	hvo_pfn_t pfns[8];
	bool more = true;
	struct rig r;
	int i;

	(void)state;
	rig_open(&r, RIG_SIM, &cfg);
	pool = rig_pool_new(&r, 9);
	(void)rig_resize(pool, ANY, 8);
	assert_int_equal(hvo_pool_alloc_bulk(pool, 0, ANY, 8, pfns), 0);
	(void)rig_resize(pool, ANY, 0);
	assert_int_equal(hvo_put_pages_bulk(r.m, pfns, 8, NULL), 0);
	assert_int_equal(hvo_work(r.m, 3, &more), 3);
	assert_true(more);
	assert_int_equal(by_steps(&r, work_one), 5);
	assert_int_equal(hvo_work(r.m, UINT64_MAX, &more), 0);
	assert_false(more);
	assert_int_equal(hvo_report_free(r.m, ANY, 9, 700, &more), HVO_PAGEBLOCK_FRAMES);
	assert_true(more);
	assert_true(by_steps(&r, report_one) > 10 * HVO_PAGEBLOCK_FRAMES);
	more = true;
	assert_int_equal(hvo_report_free(r.m, ANY, 9, UINT64_MAX, &more), 0);
	assert_false(more);
	more = true;
	assert_int_equal(hvo_compact(r.m, ANY, 9, UINT64_MAX, &more), 0);
	assert_false(more);
	assert_int_equal(hvo_report_free(r.m, 1, 9, 1, &more), -HVO_EINVAL);
	assert_false(more);
	rig_close(&r);

	cfg.mode = HVO_ON_DEMAND;
	rig_open(&r, RIG_SIM, &cfg);
	for (i = 0; i < 8; i++)
		pfns[i] = rig_alloc(&r, HVO_GFP_KERNEL, 8);
	assert_int_equal(hvo_put_pages_bulk(r.m, pfns, 8, NULL), 0);
	assert_int_equal(hvo_collapse(r.m, 2, &more), 2);
	assert_true(more);
	assert_true(by_steps(&r, collapse_one) > 2);
	assert_int_equal(hvo_collapse(r.m, 1, &more), 0);
	assert_false(more);
	rig_audit(&r);
	rig_close(&r);
}

/* ---- an owner who looks at words ---------------------------------------------------- */

/*
 * The first thing that a buffer pool does in move(): which of my buffers was at @src? Its private
 * word says so.
 */
struct buffers {
	struct hvo_owner owner;
	hvo_pfn_t pfn[3];
	unsigned int moved, refuse, kept;
};

static uint32_t buffer_isolate(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
			       unsigned int order)
{
	struct buffers *b = owner->arg;
	uint64_t id = 77;

	(void)order;
	assert_int_equal(hvo_page_private(m, pfn, 1, &id), 0);
	assert_true(b->pfn[id] == pfn);
	return 1;
}

static int buffer_move(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t dst, hvo_pfn_t src,
		       unsigned int order)
{
	hvo_pfn_t last = src + (UINT64_C(1) << order) - 1;
	struct buffers *b = owner->arg;
	uint64_t id = 77, same = 78;

	assert_int_equal(hvo_page_private(m, src, 1, &id), 0);
	assert_true(b->pfn[id] == src);
	assert_int_equal(hvo_page_private(m, dst, 1, &same), 0);
	assert_int_equal(same, id);
	assert_int_equal(hvo_page_private(m, last, 1, &same), 0);
	assert_int_equal(same, id);
	/* Reading is all that can be done there. */
	assert_int_equal(hvo_page_set_private(m, src, 1, 9), -HVO_EINVAL);
	assert_int_equal(hvo_get_page(m, src, NULL), -HVO_EBUSY);
	assert_int_equal(hvo_put_page(m, src), -HVO_EINVAL);
	if (b->refuse)
		return -HVO_EBUSY;
	b->pfn[id] = dst;
	b->moved++;
	return 0;
}

static void buffer_putback(struct hvo_owner *owner, struct hvo_machine *m, hvo_pfn_t pfn,
			   unsigned int order)
{
	struct buffers *b = owner->arg;
	uint64_t id = 77;

	(void)order;
	assert_int_equal(hvo_page_private(m, pfn, 1, &id), 0);
	assert_true(b->pfn[id] == pfn);
	b->kept++;
}

static void words_of_source(enum hvo_mode mode)
{
	static const unsigned int orders[] = { 0, 3, 9 };
	struct hvo_config cfg = rig_config(mode, 128);
	struct buffers b = { .owner = { sizeof(b.owner), buffer_isolate, buffer_move,
					buffer_putback, NULL, &b } };
	hvo_pfn_t was[3], pfn;
	uint64_t word = 77;
	struct rig r;
	uint32_t id;
	unsigned int i;

	rig_open(&r, RIG_SIM, &cfg);
	assert_int_equal(hvo_owner_register(r.m, &b.owner, &id), 0);
	assert_int_equal(rig_resize(rig_pool_new(&r, 9), ANY, 2).done, 2);
	for (i = 0; i < 3; i++) {
		b.pfn[i] = i < 2 ? rig_alloc(&r, HVO_GFP_USER, orders[i]) : HVO_PFN_NONE;
		if (i == 2)
			assert_int_equal(hvo_pool_alloc(hvo_pool_find(r.m, 9), 0, ANY, &b.pfn[2]),
					 0);
		assert_int_equal(hvo_page_set_private(r.m, b.pfn[i], 1, i), 0);
		assert_int_equal(hvo_set_owner(r.m, b.pfn[i], id), 0);
		was[i] = b.pfn[i];
	}
	for (b.refuse = 1, i = 0; i < 3; i++) {
		assert_int_equal(hvo_migrate(r.m, was[i], ANY, NULL), -HVO_EBUSY);
		assert_true(b.pfn[i] == was[i] && b.kept == i + 1);
	}
	for (b.refuse = 0, i = 0; i < 3; i++) {
		assert_int_equal(hvo_migrate(r.m, was[i], ANY, &pfn), 0);
		assert_true(pfn == b.pfn[i] && pfn != was[i] && b.moved == i + 1);
		/* Afterwards nobody has anything there. */
		assert_int_equal(hvo_page_private(r.m, was[i], 1, &word), -HVO_EINVAL);
		assert_int_equal(word, 77);
		assert_int_equal(hvo_set_owner(r.m, pfn, 0), 0);
		assert_int_equal(hvo_put_page(r.m, pfn), 0);
	}
	assert_int_equal(hvo_owner_unregister(r.m, id), 0);
	rig_audit(&r);
	rig_close(&r);
}

EACH_MODE(words_of_source)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		/* clang-format off */
		cmocka_unit_test(test_outputs),
		cmocka_unit_test(test_configuration),
		cmocka_unit_test(test_inputs),
		cmocka_unit_test(test_functions),
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_error_names),
		cmocka_unit_test(test_wrong_field),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_bulk),
		cmocka_unit_test(test_pool_bulk),
		cmocka_unit_test(test_destroy_pool),
		cmocka_unit_test(test_destroy_area),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_more),
		cmocka_unit_test(test_words_of_source),
		/* clang-format on */
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
