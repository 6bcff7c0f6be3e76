// SPDX-License-Identifier: MIT
/*
 * hvo top as it runs: time, keys and signals.
 */
#include "common/cli.h"
#include "top.h"

#include <curses.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SECOND_NS UINT64_C(1000000000)
#define ZOOM_STEP 4u

struct live {
	struct top_view view;
	struct top_screen screen;
	struct reader *reader;
	struct top_model *now, *before;
	uint64_t start_ns;
	uint64_t due_ns; /* when to ask for the next model */
	bool asked, quit;
	int error; /* of the last read */
};

/* ---- signals ----------------------------------------------------------------------- */

static const int quit_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
#define NR_SIGNALS (sizeof(quit_signals) / sizeof(quit_signals[0]))

struct signals {
	sigset_t mask;
	struct sigaction action[NR_SIGNALS];
};

static volatile sig_atomic_t caught;

static void catch (int sig)
{
	caught = sig;
}

/* They are let in only where ppoll() waits, so that none is missed. */
static void signals_take(struct signals *old)
{
	struct sigaction action = { .sa_handler = catch };
	sigset_t block;
	size_t i;

	caught = 0;
	sigemptyset(&action.sa_mask);
	sigemptyset(&block);
	for (i = 0; i < NR_SIGNALS; i++) {
		sigaddset(&block, quit_signals[i]);
		(void)sigaction(quit_signals[i], &action, &old->action[i]);
	}
	(void)pthread_sigmask(SIG_BLOCK, &block, &old->mask);
}

/* What came is as if nobody had caught it; ^C is an ordinary way to leave. */
static void signals_leave(const struct signals *old)
{
	int sig = caught;
	size_t i;

	for (i = 0; i < NR_SIGNALS; i++)
		(void)sigaction(quit_signals[i], &old->action[i], NULL);
	(void)pthread_sigmask(SIG_SETMASK, &old->mask, NULL);
	if (sig && sig != SIGINT)
		(void)raise(sig);
}

/* ---- keys --------------------------------------------------------------------------- */

static void change_interval(struct live *l, int by)
{
	static const double steps[] = { 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600 };
	const int nr = (int)(sizeof(steps) / sizeof(steps[0]));
	int i;

	if (by > 0) {
		for (i = 0; i < nr - 1 && steps[i] <= l->view.interval;)
			i++;
	} else {
		for (i = nr - 1; i > 0 && steps[i] >= l->view.interval;)
			i--;
	}
	l->view.interval = steps[i];
	l->due_ns = 0;
}

static void scroll_by(struct live *l, long by)
{
	size_t *at = &l->screen.offset[l->screen.focus];

	/* Too far down is put right when it is drawn. */
	if (by < 0)
		*at = *at > (size_t)-by ? *at - (size_t)-by : 0;
	else
		*at += (size_t)by;
}

static long page_of(const struct live *l)
{
	const struct top_screen *s = &l->screen;
	long rows = s->height[s->focus] - (long)top_heads(&l->view, s->focus);

	return rows > 0 ? rows : 1;
}

static void next_panel(struct live *l)
{
	struct top_screen *s = &l->screen;
	unsigned int i;

	for (i = 0; i < TOP_NR_PANELS; i++) {
		s->focus = (enum top_panel)((s->focus + 1) % TOP_NR_PANELS);
		if (s->height[s->focus])
			return;
	}
}

/* False: it is none of these. */
static bool scroll_key(struct live *l, int key)
{
	switch (key) {
	case KEY_UP:
		scroll_by(l, -1);
		return true;
	case KEY_DOWN:
		scroll_by(l, 1);
		return true;
	case KEY_PPAGE:
		scroll_by(l, -page_of(l));
		return true;
	case KEY_NPAGE:
		scroll_by(l, page_of(l));
		return true;
	case KEY_HOME:
		l->screen.offset[l->screen.focus] = 0;
		return true;
	case KEY_END:
		l->screen.offset[l->screen.focus] = top_rows(&l->view, l->screen.focus);
		return true;
	case KEY_LEFT:
		l->view.first_order -= l->view.first_order > 0;
		return true;
	case KEY_RIGHT:
		l->view.first_order++;
		return true;
	default:
		return false;
	}
}

static void view_key(struct live *l, int key)
{
	struct top_view *v = &l->view;

	if (key >= '1' && key < '1' + TOP_NR_PANELS)
		l->screen.shown[key - '1'] = !l->screen.shown[key - '1'];
	else if (key == 'z' && v->zoom < TOP_ZOOM_MAX)
		v->zoom *= ZOOM_STEP;
	else if (key == 'Z' && v->zoom > 1)
		v->zoom /= ZOOM_STEP;
	else if (key == '\t')
		next_panel(l);
	else if (key == '+' || key == '=')
		change_interval(l, 1);
	else if (key == '-')
		change_interval(l, -1);
}

static void press(struct live *l, int key)
{
	if (key == KEY_RESIZE || key == 'L' - '@') {
		/* Some terminals move what they show to other lines when their size changes. */
		(void)clearok(curscr, TRUE);
		return;
	}
	if (key == 'q' || key == 'Q') {
		l->quit = true;
	} else if (l->screen.help) {
		l->screen.help = false;
	} else if (key == 'h' || key == '?') {
		l->screen.help = true;
	} else if (key == ' ') {
		l->view.paused = !l->view.paused;
		l->due_ns = 0;
	} else if (!scroll_key(l, key)) {
		view_key(l, key);
	}
}

/* ---- time ---------------------------------------------------------------------------- */

static void take_answer(struct live *l)
{
	struct top_model *model = NULL;
	int error;

	if (!reader_answer(l->reader, &model, &error))
		return;
	l->asked = false;
	l->error = error;
	if (error)
		return;
	top_free(l->before);
	l->before = l->now;
	l->now = model;
	l->view.now = l->now;
	l->view.before = l->before;
}

static void ask(struct live *l)
{
	uint64_t now = cli_now_ns();

	if (l->view.paused || l->asked || now < l->due_ns)
		return;
	reader_ask(l->reader);
	l->asked = true;
	l->due_ns = now + (uint64_t)(l->view.interval * (double)SECOND_NS);
}

/* What is shown may be old: that must be seen. */
static void set_message(struct live *l)
{
	unsigned int age = (unsigned int)((cli_now_ns() - l->now->taken_ns) / SECOND_NS);
	char *text = l->screen.message;

	text[0] = '\0';
	if (l->view.paused)
		return;
	if (l->error)
		(void)snprintf(text, TOP_LINE_LEN,
			       "%s: %s; trying again; this is %u s old. q quits",
			       l->view.source->dir, strerror(-l->error), age);
	else if (l->asked && age > 2 + (unsigned int)l->view.interval)
		(void)snprintf(text, TOP_LINE_LEN, "%s does not answer; this is %u s old. q quits",
			       l->view.source->dir, age);
}

/* Until something happens, or time goes on for those who look. */
static int wait_for_event(struct live *l, const struct signals *old)
{
	struct pollfd fds[2] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = reader_fd(l->reader), .events = POLLIN },
	};
	uint64_t now = cli_now_ns(), ns = SECOND_NS;
	struct timespec wait;
	int n, bytes = 0;

	if (!l->view.paused && !l->asked && l->due_ns < now + ns)
		ns = l->due_ns > now ? l->due_ns - now : 0;
	wait.tv_sec = (time_t)(ns / SECOND_NS);
	wait.tv_nsec = (long)(ns % SECOND_NS);
	n = ppoll(fds, 2, &wait, &old->mask);
	if (n < 0 && errno != EINTR)
		return -errno;
	/* A terminal that went away is always readable. */
	if (n > 0 && fds[0].revents && (ioctl(STDIN_FILENO, FIONREAD, &bytes) || !bytes))
		return -EIO;
	return 0;
}

static int loop(struct live *l, const struct signals *old)
{
	int key, rc = 0;

	while (!l->quit && !caught && !rc) {
		take_answer(l);
		ask(l);
		set_message(l);
		l->view.age_s = (double)(cli_now_ns() - l->start_ns) / (double)SECOND_NS;
		top_screen_draw(&l->screen, &l->view);
		rc = wait_for_event(l, old);
		while (!rc && (key = getch()) != ERR)
			press(l, key);
	}
	return rc && !caught ? CLI_FAILED : CLI_OK;
}

int top_live(const struct top_source *source, double interval, struct top_model *first)
{
	struct live l = {
		.view = { .source = source, .now = first, .interval = interval, .zoom = 1 },
		.screen = { .shown = { true, true, true, true, true }, .focus = TOP_MAP },
		.now = first,
		.start_ns = cli_now_ns(),
	};
	struct signals old;
	int status, rc;

	l.due_ns = l.start_ns + (uint64_t)(interval * (double)SECOND_NS);
	signals_take(&old);
	rc = reader_start(source, &l.reader);
	if (rc)
		cli_error("no thread to read with: %s", strerror(-rc));
	status = rc ? CLI_FAILED : top_screen_open();
	if (!status)
		status = loop(&l, &old);
	top_screen_close();
	if (!rc)
		(void)reader_stop(l.reader);
	top_free(l.now);
	top_free(l.before);
	signals_leave(&old);
	return status;
}
