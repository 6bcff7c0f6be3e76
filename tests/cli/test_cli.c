/* SPDX-License-Identifier: MIT */
/*
 * The command as a user meets it: what it refuses, with which status and how many
 * lines, and what its JSON says.
 */
#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_nonsense(void **state)
{
	static const char *const args[] = {
		"",
		"nonsense",
		"tour nonsense",
		"tour --memory",
		"tour --memory 0",
		"tour --memory -1",
		"tour --memory 1X",
		"tour --memory 9223372036854775808",
		"tour --memory 99999999999999999999999",
		"tour --memory 100M",
		"tour --nodes 0",
		"tour --nodes 65",
		"tour --nodes 2 --memory 128M",
		"tour --platform moon",
		"tour --seed x",
		"tour --frob",
		"bench",
		"bench nonsense",
		"bench remap --repeat 0",
		"bench remap --rounds 5",
		"bench boundary --rounds 0",
		"bench boundary --rounds x",
		"bench boundary --repeat 3",
		"bench boundary --platform moon",
		"bench tlb --rounds 5",
		"bench tlb --repeat 100",
	};
	unsigned int i;
	int status;
	char *out;

	(void)state;
	for (i = 0; i < sizeof(args) / sizeof(args[0]); i++) {
		out = run(&status, "%s", args[i]);
		if (status != 2 || lines(out) != 1)
			fail_msg("hvo %s: status %d, output:\n%s", args[i], status, out);
		free(out);
	}
}

static void test_help_and_version(void **state)
{
	int status;
	char *out;

	(void)state;
	out = run(&status, "--help");
	assert_int_equal(status, 0);
	assert_non_null(strstr(out, "tour"));
	assert_non_null(strstr(out, "bench"));
	free(out);
	out = run(&status, "bench --help");
	assert_int_equal(status, 0);
	assert_non_null(strstr(out, "bench remap"));
	assert_non_null(strstr(out, "bench boundary"));
	assert_non_null(strstr(out, "bench tlb"));
	free(out);
	out = run(&status, "tour --json --help");
	assert_int_equal(status, 0);
	assert_non_null(strstr(out, "--nodes"));
	free(out);
	out = run(&status, "--version");
	assert_int_equal(status, 0);
	assert_non_null(strstr(out, "0.1"));
	free(out);
}

static void check_run(const json_t *r)
{
	const char *mode = json_string_value(json_object_get(r, "mode"));
	const char *policy = json_string_value(json_object_get(r, "policy"));
	json_int_t asked = json_integer_value(json_object_get(r, "asked"));
	json_int_t freed = json_integer_value(json_object_get(r, "freed"));
	json_int_t refused = json_integer_value(json_object_get(r, "refused"));
	json_int_t carved = json_integer_value(json_object_get(r, "carved"));
	json_int_t whole = json_integer_value(json_object_get(r, "whole_again"));
	json_int_t spoilt = json_integer_value(json_object_get(r, "still_spoilt"));

	assert_non_null(mode);
	assert_non_null(policy);
	assert_true(asked > 0);
	assert_int_equal(freed + refused, asked);
	assert_true(json_is_number(json_object_get(r, "ns_per_page")));
	assert_true(json_is_integer(json_object_get(r, "still_spoilt")));
	if (!strcmp(mode, "on-demand")) {
		assert_int_equal(freed, asked);
		assert_int_equal(whole, asked);
		assert_int_equal(spoilt, 0);
	} else if (!strcmp(policy, "carve")) {
		assert_int_equal(freed, asked);
		assert_true(carved > 0);
		assert_true(whole <= asked - carved);
		assert_true(spoilt > 0 && spoilt <= carved);
	} else if (!strcmp(policy, "carve-heal")) {
		assert_int_equal(freed, asked);
		assert_true(carved > 0);
		assert_int_equal(spoilt, 0);
	} else {
		assert_int_equal(freed, 0);
		assert_int_equal(spoilt, 0);
	}
}

/* On-demand mode takes it offline; Linux mode has no frames for what it must restore. */
static void check_offline(json_t *both)
{
	json_t *o;
	size_t i;

	assert_int_equal(json_array_size(both), 2);
	json_array_foreach(both, i, o)
	{
		assert_int_equal(number(o, "free_frames_elsewhere"), 0);
		assert_true(number(o, "in_use") > 20 && number(o, "in_pool") > 20);
		assert_true(json_is_true(json_object_get(o, "back")));
		assert_int_equal(number(o, "checksum_errors"), 0);
		assert_int_equal(number(o, "error"), i ? ENOMEM : 0);
	}
	o = json_array_get(both, 0);
	assert_int_equal(number(o, "moved"), number(o, "in_use"));
}

static void check_tour(const char *args)
{
	json_t *tour, *runs, *fill, *r;
	json_int_t bytes[3] = { 0 };
	int status;
	size_t i;
	char *out = run(&status, "%s", args);

	tour = json_loads(out, 0, NULL);
	if (status || !tour)
		fail_msg("hvo %s: status %d, output:\n%s", args, status, out);
	free(out);
	assert_int_equal(json_integer_value(json_object_get(tour, "checksum_errors")), 0);
	assert_true(json_is_integer(json_object_get(tour, "audit_findings")));
	assert_int_equal(json_integer_value(json_object_get(tour, "audit_findings")), 0);
	runs = json_object_get(tour, "runs");
	/* On-demand mode, and each policy of Linux mode. */
	assert_int_equal(json_array_size(runs), 9);
	json_array_foreach(runs, i, r) check_run(r);
	check_offline(json_object_get(tour, "offline"));
	fill = json_object_get(tour, "fill");
	assert_int_equal(json_array_size(fill), 3);
	json_array_foreach(fill, i, r)
	{
		bytes[i] = json_integer_value(json_object_get(r, "bytes_filled"));
		assert_true(json_integer_value(json_object_get(r, "frames_for_descriptors")) > 0);
	}
	/* HVO off, Linux mode, on-demand mode: each leaves a program more. */
	assert_true(bytes[0] < bytes[1]);
	assert_true(bytes[1] <= bytes[2]);
	json_decref(tour);
}

static void test_tour_sim(void **state)
{
	(void)state;
	check_tour("tour --platform sim --memory 256M --seed 7 --json");
}

static void test_tour_linux(void **state)
{
	(void)state;
	check_tour("tour --memory 256M --nodes 2 --no-host --json");
}

/* At a boundary a block is cut once, however often one goes to and fro. */
static void check_boundary(const char *args)
{
	static const json_int_t cuts[] = { 1, 1, 0 };
	json_t *all, *runs, *r;
	int status;
	size_t i;
	char *out = run(&status, "%s", args);

	all = json_loads(out, 0, NULL);
	if (status || !all)
		fail_msg("hvo %s: status %d, output:\n%s", args, status, out);
	free(out);
	assert_int_equal(json_integer_value(json_object_get(all, "rounds")), 3000);
	runs = json_object_get(all, "runs");
	assert_int_equal(json_array_size(runs), 3);
	json_array_foreach(runs, i, r)
	{
		assert_true(json_is_integer(json_object_get(r, "folds")));
		assert_int_equal(json_integer_value(json_object_get(r, "cuts")), cuts[i]);
		assert_int_equal(json_integer_value(json_object_get(r, "folds")), 0);
		assert_int_equal(json_integer_value(json_object_get(r, "collapses")), 0);
		assert_true(json_is_true(json_object_get(r, "ok")));
	}
	json_decref(all);
}

static void test_boundary(void **state)
{
	int status;
	char *out;

	(void)state;
	check_boundary("bench boundary --rounds 3000 --json");
	check_boundary("bench boundary --platform sim --rounds 3000 --json");
	out = run(&status, "bench boundary --rounds 100");
	assert_int_equal(status, 0);
	assert_non_null(strstr(out, "collapses"));
	free(out);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nonsense),   cmocka_unit_test(test_help_and_version),
		cmocka_unit_test(test_boundary),   cmocka_unit_test(test_tour_sim),
		cmocka_unit_test(test_tour_linux),
	};

	return run_program(argc, argv, tests, NULL, NULL);
}
