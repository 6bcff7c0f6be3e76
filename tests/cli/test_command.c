/* SPDX-License-Identifier: MIT */
/*
 * What holds for every command: help that fits a terminal and that errors point to, no argument
 * that is silently ignored, one JSON document on standard output, text and tables of 80 columns,
 * numbers that are written alike, an answer to typing errors. Commands and options are taken
 * from what the command says of itself, so a new one is looked at as well.
 */
#include "command.h"
#include "files.h"
#include "terminal.h"

#include "cli/lab/figures.h"
#include "common/table.h"
#include "common/text.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the commands ----------------------------------------------------------------------- */

#define MAX_COMMANDS 32

static char commands[MAX_COMMANDS][16];
static unsigned int nr_commands;

/* Lines of "  name     what it does". */
static int find_commands(void **state)
{
	int status;
	char *out = run(&status, "--help"), *line, *save;

	(void)state;
	assert_int_equal(status, 0);
	for (line = strtok_r(out, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, "  ", 2) != 0 || !islower((unsigned char)line[2]))
			continue;
		assert_true(nr_commands < MAX_COMMANDS);
		(void)snprintf(commands[nr_commands++], sizeof(commands[0]), "%.*s",
			       (int)strcspn(line + 2, " "), line + 2);
	}
	free(out);
	return nr_commands > 10 ? make_dir(state) : 1;
}

static char *help_of(const char *command)
{
	int status;
	char *out = run(&status, "%s --help", command);

	assert_int_equal(status, 0);
	return out;
}

/* ---- help ---------------------------------------------------------------------------------- */

static void test_help(void **state)
{
	char *help, *same, *shell;
	unsigned int i;
	int status;

	(void)state;
	help = help_of("");
	check_shape(help);
	free(help);
	for (i = 0; i < nr_commands; i++) {
		help = help_of(commands[i]);
		check_shape(help);
		same = run(&status, "help %s", commands[i]);
		assert_int_equal(status, 0);
		assert_string_equal(help, same);
		free(help);
		free(same);
	}
	check_error(2, "unknown command 'pol'; did you mean pool?", "help pol");
	check_error(2, "unexpected argument", "help pool set");
	shell = run_shell(&status, "echo 'hvo.help()' | %s shell", HVO_COMMAND);
	assert_int_equal(status, 0);
	check_shape(shell);
	free(shell);
}

/* ---- arguments ------------------------------------------------------------------------------- */

/* One line that ends with where to look. */
static void check_usage(const char *command, const char *args)
{
	char where[64], *out;
	int status;

	(void)snprintf(where, sizeof(where), "(see hvo %s --help)\n", command);
	out = run(&status, "%s", args);
	if (status != 2 || lines(out) != 1 || strlen(out) < strlen(where) ||
	    strcmp(out + strlen(out) - strlen(where), where) != 0)
		fail_msg("hvo %s: status %d, not one line with %s%s", args, status, where, out);
	free(out);
}

/* A command's arguments that make sense but for the last one. */
struct example {
	const char *command, *args;
};

static void test_surplus(void **state)
{
	static const struct example all[] = {
		{ "bench", "remap surplus" },
		{ "bench", "boundary surplus" },
		{ "client", "borrow 2M=1 --socket /nowhere surplus" },
		{ "client", "status --socket /nowhere surplus" },
		{ "plan", "surplus" },
		{ "pool", "list surplus" },
		{ "pool", "set 2M=1 surplus" },
		{ "pool", "demote 1G=1 surplus" },
		{ "pool", "overcommit 2M=1 surplus" },
		{ "pool", "optimize on surplus" },
		{ "report", "--frob" }, /* files, as many as there are */
		{ "run", "a.lua surplus" },
		{ "run", "a.lua --frob" },
		{ "run", "a.lua --quick surplus.lua" },
		{ "serve", "--mount /nowhere surplus" },
		{ "shell", "surplus" },
		{ "status", "surplus" },
		{ "top", "--once surplus" },
		{ "top", "--once --interval 5" },
		{ "tour", "surplus" },
	};
	unsigned int i, k, seen;
	char args[128];

	(void)state;
	for (k = 0; k < nr_commands; k++) {
		seen = 0;
		for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
			if (strcmp(all[i].command, commands[k]) != 0)
				continue;
			seen++;
			(void)snprintf(args, sizeof(args), "%s %s", commands[k], all[i].args);
			check_usage(commands[k], args);
		}
		if (!seen)
			fail_msg("hvo %s: is there anything that it silently ignores?",
				 commands[k]);
	}
}

/* The next "--option" of a text, of four letters or more; NULL: none is left. */
static const char *next_option(const char *text, char *ret, size_t max)
{
	size_t len;

	while ((text = strstr(text, "--"))) {
		len = 2 + strspn(text + 2, "abcdefghijklmnopqrstuvwxyz-");
		if (len >= 6 && len < max) {
			(void)snprintf(ret, max, "%.*s", (int)len, text);
			return text + len;
		}
		text += len;
	}
	return NULL;
}

static void check_typing_error(const char *before, const char *name)
{
	char wrong[64], wanted[96], args[160];
	size_t at = strlen(name) / 2;

	/* Two letters swapped; where those are the same, one left out. */
	(void)snprintf(wrong, sizeof(wrong), "%s", name);
	if (wrong[at] != wrong[at + 1] && wrong[at + 1] != '\0') {
		wrong[at] = name[at + 1];
		wrong[at + 1] = name[at];
	} else {
		memmove(wrong + at, wrong + at + 1, strlen(wrong + at));
	}
	(void)snprintf(args, sizeof(args), "%s %s", before, wrong);
	(void)snprintf(wanted, sizeof(wanted), "; did you mean %s", name);
	check_error(2, wanted, args);
}

static void test_did_you_mean(void **state)
{
	/* Of a command with verbs, one that has all options; and bench, where none has. */
	static const char *const verbs[][2] = { { "pool", "pool set" }, { "bench", NULL } };
	char option[64];
	const char *before, *at;
	unsigned int i, k;
	char *help;

	(void)state;
	for (i = 0; i < nr_commands; i++) {
		check_typing_error("", commands[i]);
		before = commands[i];
		for (k = 0; k < sizeof(verbs) / sizeof(verbs[0]); k++)
			if (!strcmp(verbs[k][0], commands[i]))
				before = verbs[k][1];
		help = help_of(commands[i]);
		for (at = help; before && (at = next_option(at, option, sizeof(option)));) {
			/* Of another command, or of the kernel. */
			if (strstr(option, "--help") || strstr(help, "--") == NULL)
				continue;
			check_typing_error(before, option);
		}
		free(help);
	}
	check_error(2, "did you mean overcommit?", "pool overcomit 2M=1");
	check_error(2, "did you mean boundary?", "bench boundry");
	check_error(2, "unknown option '--zzzzzzzz' (see", "tour --zzzzzzzz");
}

/* ---- JSON -------------------------------------------------------------------------------------- */

static void write_script(const char *name, const char *text)
{
	put(text, "%s", name);
}

/* Every command whose help knows --json; standard output is one document. */
static void test_json(void **state)
{
	static const struct example all[] = {
		{ "bench", "boundary --rounds 10 --platform sim" },
		{ "plan", "" },
		{ "pool", "list" },
		{ "run", "--quick " HVO_SOURCE "/lab/frees.lua" },
		{ "status", "" },
		{ "top", "" },
		{ "top", "--demo --platform sim --memory 256M" },
		{ "tour", "--platform sim --memory 128M --no-host" },
		{ "client", NULL }, /* in test_lend: it needs a server */
	};
	unsigned int i, k, seen;
	char args[256];
	char *help;

	(void)state;
	for (k = 0; k < nr_commands; k++) {
		help = help_of(commands[k]);
		seen = strstr(help, "--json") ? 0 : 1;
		free(help);
		for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
			if (strcmp(all[i].command, commands[k]) != 0)
				continue;
			seen++;
			if (!all[i].args)
				continue;
			(void)snprintf(args, sizeof(args), "%s %s", commands[k], all[i].args);
			json_decref(run_json(0, args));
		}
		if (!seen)
			fail_msg("hvo %s --json: is it JSON?", commands[k]);
	}
}

/* A script may print, in every way that there is. */
static void test_json_of_script(void **state)
{
	char args[256];
	int status;
	json_t *j;
	char *out;

	(void)state;
	write_script("loud.lua", "print('1') io.write('2\\n') io.stdout:write('3\\n') "
				 "io.stderr:write('4\\n') os.execute('echo 5') hvo.help() "
				 "hvo.result('r', {columns={'a'}, rows={{1}}}) "
				 "keep = setmetatable({}, {__gc=function() print('6') end})");
	(void)snprintf(args, sizeof(args), "run %s/loud.lua", dir);
	j = run_json(0, args);
	check_text(j, "results/0/name", "r");
	json_decref(j);
	out = run_shell(&status, "%s %s --json 2>&1 >/dev/null", HVO_COMMAND, args);
	assert_int_equal(status, 0);
	assert_int_equal(strncmp(out, "1\n2\n3\n4\n5\n", 10), 0);
	assert_non_null(strstr(out, "6\n"));
	free(out);
	/* Without it they are where they are expected. */
	out = run_shell(&status, "%s %s 2>/dev/null", HVO_COMMAND, args);
	assert_int_equal(status, 0);
	assert_non_null(strstr(out, "2\n3\n"));
	assert_non_null(strstr(out, "5\n"));
	free(out);
}

/* Names that are no UTF-8. */
static void test_json_of_bytes(void **state)
{
	static const char *const odd[] = { "pool list", "status", "plan", "top" };
	char args[256];
	unsigned int i;
	int status;
	char *out;

	(void)state;
	for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		(void)snprintf(args, sizeof(args), "%s --root $(printf '%s/\\377')", odd[i], dir);
		out = run_shell(&status, "ln -sfn / $(printf '%s/\\377')", dir);
		assert_int_equal(status, 0);
		free(out);
		json_decref(run_json(0, args));
	}
	put("name,memory,pages\n\xe4,1G,1\n", "latin1.csv");
	(void)snprintf(args, sizeof(args), "plan --csv %s/latin1.csv", dir);
	json_decref(run_json(0, args));
}

/* ---- text ---------------------------------------------------------------------------------------- */

static void check_text_of(const char *args)
{
	int status;
	char *out = run(&status, "%s", args);

	if (status)
		fail_msg("hvo %s: status %d:\n%s", args, status, out);
	check_shape(out);
	free(out);
}

static void test_text(void **state)
{
	static const char *const args[] = {
		"plan --pages 2M=1",
		"pool list",
		"status",
		"top --once",
		"top --once --demo --platform sim --memory 512M",
		"tour --no-host --memory 256M --nodes 2",
		"bench boundary --rounds 10",
		"run --quick " HVO_SOURCE "/lab/reserves.lua",
	};
	char line[256];
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(args) / sizeof(args[0]); i++)
		check_text_of(args[i]);
	put("name,memory,pages\na_host_with_a_name_of_more_than_80_columns_"
	    "which_nobody_has_but_who_knows_a_list_is_a_list,1T,5\nb,7E,1000000000\n",
	    "long.csv");
	(void)snprintf(line, sizeof(line), "plan --csv %s/long.csv", dir);
	check_text_of(line);
	write_script("wide.lua",
		     "local c, r = {}, {} for i = 1, 12 do c[i] = 'column of many words ' .. i "
		     "r[i] = 123456789 * i end r[1] = ('words '):rep(40) r[2] = ('x'):rep(60) "
		     "hvo.result('wide', {title=('title '):rep(30), columns=c, rows={r}, "
		     "notes=('note '):rep(50)})");
	(void)snprintf(line, sizeof(line), "run %s/wide.lua", dir);
	check_text_of(line);
}

/* The same on terminals: a wide one is used, a narrow one is not overrun. */
static void test_terminal(void **state)
{
	static struct term t;

	(void)state;
	term_open(&t, "vt100", 80, 50, "tour --platform sim --memory 128M");
	term_wait(&t, "6. What to remember", true);
	/* Nothing went on in the line below: then that one would not begin with a blank. */
	term_wait(&t, "  All promises kept", true);
	(void)term_end(&t);
	term_open(&t, "vt100", 60, 24, "pool list");
	term_wait(&t, "overcommit  memory", true);
	(void)term_end(&t);
}

/* @fixed on @width columns: into memory. */
static char *table_text(const char *const *heads, const bool *left, const char *const *cells,
			unsigned int nr)
{
	struct table *t = table_new_plain(heads, left);
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	unsigned int i;

	assert_non_null(out);
	for (i = 0; i < nr; i++)
		table_cell(t, "%s", cells[i]);
	table_print(t, out, 2);
	assert_int_equal(fclose(out), 0);
	return text;
}

/* Heads are data here: no sign in them is more than a sign. */
static void test_table(void **state)
{
	static const char *const heads[] = { "<a", "b|c", "<d", NULL };
	static const bool left[] = { true, false, true };
	static const char *const cells[] = { "x", "1", "y", "\xc3\xa4", "22", "zz" };
	char *text = table_text(heads, left, cells, 6);

	(void)state;
	assert_string_equal(text, "  <a  b|c  <d\n  x     1  y\n  \xc3\xa4    22  zz\n");
	free(text);
}

/* ---- numbers ---------------------------------------------------------------------------------------- */

static void test_no_negative_zero(void **state)
{
	static const double values[] = { -0.0, -0.001, -0.004999, -0.4, -1e-300, 0, 0.4 };
	char buf[TABLE_FIXED_LEN], small[TABLE_SIZE_LEN];
	unsigned int i, d;
	json_t *j;
	char *text;

	(void)state;
	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct figures f;

		for (d = 0; d < 4; d++) {
			(void)table_fixed(buf, values[i], d, " ");
			if (buf[0] == '-' && !strpbrk(buf, "123456789"))
				fail_msg("%g is '%s'", values[i], buf);
		}
		assert_false(!strncmp(table_time(small, values[i]), "-0", 2));
		j = json_real(values[i]);
		f = figures_of_value(j);
		text = figures_text(&f, j, " ");
		if (text[0] == '-' && !strpbrk(text, "123456789"))
			fail_msg("%g is '%s'", values[i], text);
		free(text);
		json_decref(j);
	}
	assert_string_equal(table_fixed(buf, -1234567.891, 2, " "), "-1 234 567.89");
	assert_string_equal(table_integer(buf, INT64_MIN, " "), "-9 223 372 036 854 775 808");
	assert_string_equal(table_integer(buf, -100, " "), "-100");
	assert_string_equal(table_fixed(buf, 999, 0, " "), "999");
}

/* In a column all numbers have the same decimals, and all thousands are apart. */
static void test_columns_alike(void **state)
{
	static const struct {
		const char *rows;
		const char *text[3];
	} columns[] = {
		{ "[[1234], [5], [-12345678]]", { "1 234", "5", "-12 345 678" } },
		{ "[[12345], [0.5], [-3]]", { "12 345.0", "0.5", "-3.0" } },
		{ "[[12345.25], [99999], [1]]", { "12 345", "99 999", "1" } },
		{ "[[0.001], [1234.5], [2]]", { "0.001", "1 234.500", "2.000" } },
		{ "[[\"a\"], [1234], [true]]", { "a", "1 234", "yes" } },
		{ "[[1e300], [1234], [0]]", { "1e+300", "1234", "0" } },
	};
	unsigned int i, k;
	struct figures f;
	json_t *rows;
	char *text;

	(void)state;
	for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		rows = json_loads(columns[i].rows, 0, NULL);
		assert_non_null(rows);
		f = figures_of_column(rows, 0);
		for (k = 0; k < 3; k++) {
			text = figures_text(&f, json_array_get(json_array_get(rows, k), 0), " ");
			assert_string_equal(text, columns[i].text[k]);
			free(text);
		}
		json_decref(rows);
	}
}

/* ---- the shell ----------------------------------------------------------------------------------------- */

/* ^C ends what runs, or drops what was typed; the machines stay. */
static void test_interrupt(void **state)
{
	static const char *const long_lines[] = {
		"while true do end",
		"while true do pcall(function() while true do end end) end",
		"coroutine.wrap(function() while true do end end)()",
		"m:churn{every='1us', mix={{life='1us'}}}:run{time='1w'}",
		"hvo.machine{platform='linux', memory='128M'}:sleep('1w')",
	};
	static struct term t;
	char line[128];
	unsigned int i;

	(void)state;
	term_open(&t, "vt100", 80, 40, "shell");
	term_wait(&t, "hvo> ", true);
	term_keys(&t, "m = hvo.machine{memory='128M'}\r");
	for (i = 0; i < sizeof(long_lines) / sizeof(long_lines[0]); i++) {
		(void)snprintf(line, sizeof(line), "print('run', %u) %s\r", i, long_lines[i]);
		term_keys(&t, line);
		(void)snprintf(line, sizeof(line), "run     %u", i);
		term_wait(&t, line, true);
		usleep(100000);
		term_keys(&t, "\003");
		term_wait(&t, "interrupted", true);
		(void)snprintf(line, sizeof(line), "m, 'still', %u\r", i);
		term_keys(&t, line);
		term_wait(&t, "machine (sim, 128 MiB)", true);
		/* For the next round. */
		term_keys(&t, "for i = 1, 60 do print() end\r");
		term_wait(&t, "interrupted", false);
	}
	term_keys(&t, "for i = 1, 2 do\r");
	term_wait(&t, "  >> ", true);
	term_keys(&t, "nonsense\003");
	term_keys(&t, "6 * 7\r");
	term_wait(&t, "42", true);
	term_keys(&t, "\004");
	assert_int_equal(term_end(&t), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_help),	       cmocka_unit_test(test_surplus),
		cmocka_unit_test(test_did_you_mean),   cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_of_script), cmocka_unit_test(test_json_of_bytes),
		cmocka_unit_test(test_text),	       cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_table),	       cmocka_unit_test(test_no_negative_zero),
		cmocka_unit_test(test_columns_alike),  cmocka_unit_test(test_interrupt),
	};

	return run_program(argc, argv, tests, find_commands, remove_dir);
}
