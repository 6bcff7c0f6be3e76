/* SPDX-License-Identifier: MIT */
/*
 * hvo plan on lists of hosts: the formulas, what a list may look like, and what is said about
 * one that makes no sense.
 */
#include "command.h"
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char list_file[] = "/tmp/hvo-plan-XXXXXX";

static void put(const char *list)
{
	FILE *f = fopen(list_file, "w");

	assert_non_null(f);
	assert_true(fputs(list, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int make_list(void **state)
{
	int fd = mkstemp(list_file);

	(void)state;
	return fd < 0 ? 1 : close(fd);
}

static int remove_list(void **state)
{
	(void)state;
	(void)unlink(list_file); /* a test does so, too */
	return 0;
}

/* ---- lists ------------------------------------------------------------------------------------ */

static json_t *plan_json(const char *list, const char *args)
{
	char line[256];

	put(list);
	(void)snprintf(line, sizeof(line), "plan --csv %s %s", list_file, args);
	return run_json(0, line);
}

/* 1 TiB full of huge pages: the figures that everybody knows. */
static void test_plan_formulas(void **state)
{
	json_t *j;

	(void)state;
	j = plan_json("name,memory,size,fraction\na,1T,2M,1\nb,1T,1G,1\nc,1T,64K,1\n", "");
	check_number(j, "hosts/0/descriptor_bytes", 16 * GIB);
	check_number(j, "hosts/0/hvo/saved_bytes", 14 * GIB);
	check_number(j, "hosts/0/hvo/page_table_bytes", 32 * MIB);
	check_number(j, "hosts/0/hvo/net_bytes", 14 * GIB - 32 * MIB);
	check_number(j, "hosts/0/on_demand/saved_bytes_min", 14 * GIB);
	check_number(j, "hosts/0/on_demand/saved_bytes_max", 14 * GIB);
	check_number(j, "hosts/1/hvo/saved_bytes", 4193280 * UINT64_C(4096));
	check_number(j, "hosts/1/hvo/page_table_bytes", 32 * MIB);
	check_number(j, "hosts/1/on_demand/saved_bytes_min", 14 * GIB);
	check_number(j, "hosts/1/pools/0/pages", 1024);
	check_number(j, "hosts/2/hvo/saved_bytes", 0);
	check_number(j, "hosts/2/hvo/page_table_bytes", 0);
	check_number(j, "hosts/2/on_demand/saved_bytes_min", 0);
	check_number(j, "hosts/2/on_demand/saved_bytes_max", 14 * GIB);
	/* Page tables are there all the same. */
	assert_int_equal(json_integer_value(at(j, "hosts/2/on_demand/net_bytes_min")),
			 -(json_int_t)(32 * MIB));
	check_number(j, "total/memory_bytes", 3 * 1024 * GIB);
	assert_true(json_is_null(at(j, "assumed_fraction")));
	json_decref(j);
	/* Other descriptors: V is 4 and 16; 48 is no power of two. */
	j = plan_json("name,memory,fraction,descriptor_bytes\na,1T,1,32\nb,1T,1,128\nc,1T,1,48\n",
		      "");
	check_number(j, "hosts/0/hvo/saved_bytes", 524288 * UINT64_C(3) * 4096);
	check_number(j, "hosts/0/hvo/page_table_bytes", 16 * MIB);
	check_number(j, "hosts/1/hvo/saved_bytes", 524288 * UINT64_C(15) * 4096);
	check_number(j, "hosts/1/hvo/page_table_bytes", 64 * MIB);
	check_number(j, "hosts/2/hvo/saved_bytes", 0);
	check_number(j, "hosts/2/descriptor_bytes", 12 * GIB);
	json_decref(j);
}

static void test_plan_list(void **state)
{
	int status;
	json_t *j;
	char *out;

	(void)state;
	j = plan_json("\xef\xbb\xbf# what we have\r\n\r\n\"pages\", size ,memory,name,count\r\n"
		      "100,2M, 512G ,\"web, \"\"big\"\"\",3\r\n"
		      ",1G,64G,db,\r\n"
		      "2,2M,64G,db,1\r\n",
		      "--fraction 0.5");
	assert_int_equal(json_array_size(at(j, "hosts")), 2);
	check_text(j, "hosts/0/name", "web, \"big\"");
	check_number(j, "hosts/0/count", 3);
	check_number(j, "hosts/0/memory_bytes", 3 * 512 * GIB);
	check_number(j, "hosts/0/hvo/saved_bytes", 3 * 100 * 7 * 4096);
	/* Two sizes, one host: its memory counts once. */
	check_text(j, "hosts/1/name", "db");
	check_number(j, "hosts/1/memory_bytes", 64 * GIB);
	assert_int_equal(json_array_size(at(j, "hosts/1/pools")), 2);
	check_number(j, "hosts/1/pools/0/pages", 32);
	check_number(j, "hosts/1/hvo/saved_bytes", (32 * 4095 + 2 * 7) * 4096);
	check_number(j, "total/memory_bytes", (3 * 512 + 64) * GIB);
	check_number(j, "total/hvo/saved_bytes", (300 * 7 + 32 * 4095 + 14) * 4096);
	json_decref(j);
	out = run(&status, "plan --csv - --fraction 0.8 <%s", list_file);
	assert_int_equal(status, 0);
	check_shape(out);
	assert_non_null(strstr(out, "all"));
	free(out);
}

/* Columns that belong to others: a list is what somebody has, not what this command wants. */
static void test_plan_more_columns(void **state)
{
	char args[256], *out;
	json_t *j;
	int status;

	(void)state;
	put("rack,name,site,memory,,pages\nr1,a,here,1T,,5\n");
	(void)snprintf(args, sizeof(args), "plan --csv %s", list_file);
	j = run_json(0, args);
	check_text(j, "hosts/0/name", "a");
	check_number(j, "hosts/0/pools/0/pages", 5);
	json_decref(j);
	out = run(&status, "%s", args);
	assert_int_equal(status, 0);
	assert_non_null(strstr(out, "column 'site' is not looked at; did you mean size?"));
	free(out);
	put("name,memory,pages,owner\na,1T,5,me\n");
	out = run(&status, "%s", args);
	assert_int_equal(status, 0);
	assert_non_null(strstr(out, ": 1 column is not looked at"));
	free(out);
}

static void test_plan_bad_lists(void **state)
{
	static const struct {
		const char *list, *what;
	} bad[] = {
		{ "", ":1: no hosts" },
		{ "name,memory\n", ":2: no hosts" },
		{ "name,size\na,2M\n", ":1: a list needs" },
		{ "name,memroy,colour\n",
		  ":1: a list needs the columns name and memory; is 'memroy' to be memory?" },
		{ "name,memory,name\n", ":1: two columns 'name'" },
		{ "name,memory,pages\na,1T,5\nb,1X,5\n", ":3: memory: '1X'" },
		{ "name,memory,pages\na,,5\n", ":2: memory is missing" },
		{ "name,memory,pages\n,1T,5\n", ":2: name is missing" },
		{ "name,memory,pages\na,0,5\n", ":2: memory: '0'" },
		{ "name,memory,pages\na,1T,-5\n", ":2: pages: '-5'" },
		{ "name,memory,pages\na,1T,5k\n", ":2: pages: '5k'" },
		{ "name,memory,pages\na,99999999999T,5\n", ":2: memory:" },
		{ "name,memory,pages\na,1T\n", ":2: 2 fields where" },
		{ "name,memory,pages\na,1T,5,6\n", ":2: 4 fields where" },
		{ "name,memory,pages\n\n\"a,1T,5\n", ":3: field 1: the quotes" },
		{ "name,memory,pages\n\"a\"x,1T,5\n", ":2: field 1: the quotes" },
		{ "name,memory,pages\na,1G,513\n", ":2: 'a': its huge pages are more" },
		{ "name,memory,pages\na,1G,9223372036854775807\n", ":2: 'a': its huge pages" },
		{ "name,memory,size,pages\na,1G,2M,512\na,1G,1G,1\n", ":3: 'a': its huge pages" },
		{ "name,memory,pages\na,1G,1\na,1G,1\n", ":3: 'a' has pages of this size" },
		{ "name,memory,size,pages\na,1G,2M,1\na,2G,1G,1\n", ":3: 'a' is another host" },
		{ "name,memory,size,pages\na,1G,3M,1\n", ":2: size: no page has" },
		{ "name,memory,size,pages\na,1G,4K,1\n", ":2: size: no page has" },
		{ "name,memory,fraction\na,1G,2\n", ":2: fraction: '2'" },
		{ "name,memory,pages,fraction\na,1G,1,1\n", ":2: pages and fraction" },
		{ "name,memory\na,1G\n", ":2: how many pages?" },
		{ "name,memory,pages,count\na,1G,1,0\n", ":2: count: '0'" },
		{ "name,memory,pages,descriptor_bytes\na,1G,1,0\n", ":2: descriptor_bytes: '0'" },
		{ "name,memory,pages,descriptor_bytes\na,1G,1,x\n", ":2: descriptor_bytes: 'x'" },
		{ "name,memory,pages,count\na,8E,1,2\n", "together more than" },
	};
	char args[256];
	unsigned int i;

	(void)state;
	(void)snprintf(args, sizeof(args), "plan --csv %s", list_file);
	assert_int_equal(unlink(list_file), 0);
	check_error(1, "No such file", args);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put(bad[i].list);
		check_error(1, bad[i].what, args);
	}
	(void)snprintf(args, sizeof(args), "plan --csv /tmp");
	check_error(1, "Is a directory", args);
	(void)snprintf(args, sizeof(args), "plan --csv - </dev/null");
	check_error(1, "standard input:1:", args);
	/* Bytes that are no text. */
	(void)snprintf(args, sizeof(args), "plan --csv /proc/self/auxv");
	check_error(1, ":1: ", args);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plan_formulas),
		cmocka_unit_test(test_plan_list),
		cmocka_unit_test(test_plan_more_columns),
		cmocka_unit_test(test_plan_bad_lists),
	};

	return run_program(argc, argv, tests, make_list, remove_list);
}
