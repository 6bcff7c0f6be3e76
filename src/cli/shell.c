// SPDX-License-Identifier: MIT
/*
 * hvo shell: the bindings of the lab, line by line.
 */
#include "args.h"
#include "cli.h"
#include "lab/lab.h"

#include <readline/history.h>
#include <readline/readline.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
	"usage: hvo shell [--seed N]\n"
	"\n"
	"Lua with the bindings of the lab: m = hvo.machine{}, then m:stat(). hvo.help() lists all;\n"
	"the tabulator key completes. The end of the input (Ctrl-D) ends it.\n"
	"\n"
	"  --seed N         all that is random follows from it (default 1)\n";

/* Readline's functions have no argument of ours. */
static lua_State *shell;

static const struct arg_spec specs[] = {
	ARG_STORE("--seed", args_store_seed63, struct lab_options, seed, uint64_t),
	ARG_END,
};

/* One word at each call, NULL after the last. */
static char *next_word(const char *text, int state)
{
	static char **words;
	static size_t at;
	char *word;

	if (!state) {
		lab_free_words(words);
		words = lab_complete(shell, text);
		at = 0;
	}
	word = words ? words[at] : NULL;
	if (!word)
		return NULL;
	at++;
	return strdup(word);
}

static char **complete(const char *text, int start, int end)
{
	(void)start;
	(void)end;
	rl_attempted_completion_over = 1; /* no names of files */
	rl_completion_append_character = '\0';
	return rl_completion_matches(text, next_word);
}

static char *read_line(bool terminal, bool more)
{
	char *line = NULL;
	size_t max = 0;
	ssize_t len;

	if (terminal) {
		line = readline(more ? "  >> " : "hvo> ");
		if (line && *line)
			add_history(line);
		return line;
	}
	len = getline(&line, &max, stdin);
	if (len < 0) {
		free(line);
		return NULL;
	}
	if (len && line[len - 1] == '\n')
		line[len - 1] = '\0';
	return line;
}

/* What was begun and the next line of it. */
static char *join(char *begun, char *line)
{
	char *all;

	if (!begun)
		return line;
	if (asprintf(&all, "%s\n%s", begun, line) < 0)
		cli_die("out of memory");
	free(begun);
	free(line);
	return all;
}

/* Returns whether the last thing went well. */
static bool loop(lua_State *L, bool terminal)
{
	char *begun = NULL, *line, *error;
	enum lab_line rc = LAB_LINE_OK;

	while ((line = read_line(terminal, begun))) {
		begun = join(begun, line);
		error = NULL;
		rc = lab_run_line(L, begun, &error);
		(void)fflush(stdout);
		if (rc == LAB_LINE_UNFINISHED)
			continue;
		if (rc == LAB_LINE_FAILED)
			fprintf(stderr, "hvo: %s\n", error ? error : "out of memory");
		free(error);
		free(begun);
		begun = NULL;
	}
	if (terminal)
		putchar('\n');
	else if (begun)
		fputs("hvo: the input ends in the middle of a statement\n", stderr);
	free(begun);
	return rc == LAB_LINE_OK;
}

int cli_shell(char **args)
{
	bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO), ok;
	struct lab_options opt = { .seed = 1 };
	int status;

	if (args_want_help(args))
		return cli_help(help);
	status = args_parse(specs, args, &opt, NULL);
	if (status)
		return status;
	shell = lab_open(&opt);
	if (!shell)
		cli_die("out of memory");
	if (terminal) {
		printf("Lua with the bindings of the lab; hvo.help() lists them, Ctrl-D ends it.\n");
		rl_readline_name = "hvo";
		rl_basic_word_break_characters = " \t\n\"'`@$><=;|&{}()[],+-*/%^#~";
		rl_attempted_completion_function = complete;
	}
	ok = loop(shell, terminal);
	lab_close(shell);
	status = cli_flush();
	/* For a person, errors have been said; a script wants to know. */
	return ok || terminal ? status : CLI_FAILED;
}
