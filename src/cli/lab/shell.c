// SPDX-License-Identifier: MIT
/*
 * hvo shell: the bindings of the lab, line by line. ^C ends what runs, or drops what was typed, and
 * no more: machines are dear.
 */
#include "cli/commands.h"
#include "common/args.h"
#include "common/cli.h"
#include "lab/lab.h"

#include <readline/history.h>
#include <readline/readline.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
	"usage: hvo shell [--seed N]\n"
	"\n"
	"Lua with the bindings of the lab: m = hvo.machine{}, then m:stat(). hvo.help()\n"
	"lists all; the tabulator key completes. Ctrl-C ends what runs, or drops what was\n"
	"typed. The end of the input (Ctrl-D) ends it.\n"
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

/* ---- signals ------------------------------------------------------------------ */

/* At the prompt they are let in only where ppoll() waits, so that none is missed. */
static const int prompt_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };
#define NR_SIGNALS (sizeof(prompt_signals) / sizeof(prompt_signals[0]))

struct signals {
	sigset_t mask;
	struct sigaction action[NR_SIGNALS];
};

static volatile sig_atomic_t caught;

/* Threads of a machine take signals as well; but it is this one that waits, and is to wake up. */
static pthread_t own_thread;

static bool is_own(int sig)
{
	if (pthread_equal(pthread_self(), own_thread))
		return true;
	(void)pthread_kill(own_thread, sig);
	return false;
}

static void on_prompt_signal(int sig)
{
	if (is_own(sig))
		caught = sig;
}

static void signals_take(struct signals *old)
{
	struct sigaction action = { .sa_handler = on_prompt_signal };
	sigset_t block;
	size_t i;

	sigemptyset(&block);
	for (i = 0; i < NR_SIGNALS; i++) {
		sigaddset(&block, prompt_signals[i]);
		(void)sigaction(prompt_signals[i], &action, &old->action[i]);
	}
	(void)sigprocmask(SIG_BLOCK, &block, &old->mask);
}

static void signals_leave(const struct signals *old)
{
	size_t i;

	for (i = 0; i < NR_SIGNALS; i++)
		(void)sigaction(prompt_signals[i], &old->action[i], NULL);
	(void)sigprocmask(SIG_SETMASK, &old->mask, NULL);
}

/* While a line runs. A call of the library comes to its end first: that is said. */
static void on_interrupt(int sig)
{
	static const char wait[] = "\n(as soon as this call returns; Ctrl-\\ ends hvo)\n";

	if (!is_own(sig))
		return;
	if (lab_interrupted() && write(STDERR_FILENO, wait, sizeof(wait) - 1) < 0)
		return;
	lab_interrupt();
}

/* ---- lines -------------------------------------------------------------------- */

static char *typed;
static bool is_typed;

/* The terminal is as it was before the next prompt, whatever a line does to it. */
static void take_line(char *line)
{
	typed = line;
	is_typed = true;
	rl_callback_handler_remove();
}

static void drop_line(void)
{
	rl_free_line_state();
	rl_callback_sigcleanup();
	rl_callback_handler_remove();
	putchar('\n');
	(void)fflush(stdout);
}

/* What was caught is as if nobody had caught it. A stopped process goes on here. */
static void pass_on(struct signals *old)
{
	int sig = caught;

	caught = 0;
	signals_leave(old);
	(void)raise(sig);
	signals_take(old);
}

/* NULL: the end. *@ret_dropped: ^C, and there is no line. */
static char *read_terminal(bool more, bool *ret_dropped)
{
	struct pollfd fd = { .fd = STDIN_FILENO, .events = POLLIN };
	const char *prompt = more ? "  >> " : "hvo> ";
	const struct timespec no_time = { 0 };
	struct signals old;
	int nr;

	is_typed = *ret_dropped = false;
	typed = NULL;
	caught = 0;
	signals_take(&old);
	rl_callback_handler_install(prompt, take_line);
	while (!is_typed && !*ret_dropped) {
		nr = ppoll(&fd, 1, NULL, &old.mask);
		/* A signal comes before what was typed after it. */
		if (nr > 0)
			(void)ppoll(NULL, 0, &no_time, &old.mask);
		if (caught == SIGINT) {
			drop_line();
			*ret_dropped = true;
		} else if (caught) {
			drop_line();
			pass_on(&old);
			rl_callback_handler_install(prompt, take_line);
		} else if (nr > 0) {
			rl_callback_read_char();
		} else if (errno != EINTR) {
			break;
		}
	}
	signals_leave(&old);
	if (typed && *typed)
		add_history(typed);
	return typed;
}

static char *read_file(void)
{
	char *line = NULL;
	size_t max = 0;
	ssize_t len = getline(&line, &max, stdin);

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
	all = cli_format("%s\n%s", begun, line);
	free(begun);
	free(line);
	return all;
}

static enum lab_line run_line(lua_State *L, const char *text)
{
	char *error = NULL;
	enum lab_line rc = lab_run_line(L, text, &error);

	if (rc == LAB_LINE_FAILED)
		cli_error("%s", error ? error : "out of memory");
	free(error);
	return rc;
}

/* Returns whether the last thing went well. */
static bool loop(lua_State *L, bool terminal)
{
	enum lab_line rc = LAB_LINE_OK;
	char *begun = NULL, *line;
	bool dropped = false;

	for (;;) {
		line = terminal ? read_terminal(begun, &dropped) : read_file();
		if (dropped) {
			free(begun);
			begun = NULL;
			continue;
		}
		if (!line)
			break;
		begun = join(begun, line);
		rc = run_line(L, begun);
		if (rc == LAB_LINE_UNFINISHED)
			continue;
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

static void prepare_terminal(void)
{
	const struct sigaction action = { .sa_handler = on_interrupt };

	own_thread = pthread_self();
	(void)sigaction(SIGINT, &action, NULL);
	printf("Lua with the bindings of the lab; hvo.help() lists them, Ctrl-D ends it.\n");
	rl_readline_name = "hvo";
	rl_basic_word_break_characters = " \t\n\"'`@$><=;|&{}()[],+-*/%^#~";
	rl_attempted_completion_function = complete;
	rl_catch_signals = 0; /* it would end the process */
}

int cli_shell(char **args)
{
	bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO), ok;
	struct lab_options opt = { .seed = 1, .interruptible = terminal };
	int status;

	if (args_want_help(args))
		return cli_help(help);
	status = args_parse(specs, args, &opt, NULL);
	if (status)
		return status;
	shell = lab_open(&opt);
	if (!shell)
		cli_die("out of memory");
	if (terminal)
		prepare_terminal();
	ok = loop(shell, terminal);
	lab_close(shell);
	status = cli_flush();
	/* For a person, errors have been said; a script wants to know. */
	return ok || terminal ? status : CLI_FAILED;
}
