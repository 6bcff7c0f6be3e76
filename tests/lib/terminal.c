/* SPDX-License-Identifier: MIT */
#include "terminal.h"

#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

/* Nothing here takes that long: whoever waits longer waits in vain. */
#define PATIENCE_MS 30000
#define STEP_MS 20

/* ---- the screen ------------------------------------------------------------------ */

static void clear(struct term *t, int y, int from, int to)
{
	if (y < t->lines && from < to)
		memset(&t->cell[y][from], ' ', (size_t)(to - from));
}

static void clear_all(struct term *t)
{
	int y;

	for (y = 0; y < TERM_MAX_LINES; y++) {
		memset(t->cell[y], ' ', TERM_MAX_COLUMNS + 1);
		t->cell[y][t->columns] = '\0';
	}
}

/* Lines [top, bottom] move up by @n, or down; what comes in is blank. */
static void scroll(struct term *t, int top, int bottom, int n)
{
	int nr = bottom - top + 1, up = n > 0 ? n : -n, y;

	if (up > nr)
		up = nr;
	memmove(t->cell[top + (n < 0 ? up : 0)], t->cell[top + (n < 0 ? 0 : up)],
		sizeof(t->cell[0]) * (size_t)(nr - up));
	for (y = n < 0 ? top : bottom - up + 1; up; up--, y++)
		clear(t, y, 0, t->columns);
}

static void line_feed(struct term *t)
{
	if (t->y == t->bottom)
		scroll(t, t->top, t->bottom, 1);
	else if (t->y < t->lines - 1)
		t->y++;
}

static void put_char(struct term *t, char c)
{
	if (t->wrap) {
		t->x = 0;
		line_feed(t);
	}
	t->cell[t->y][t->x] = c;
	t->wrap = t->x == t->columns - 1;
	t->x += !t->wrap;
}

static void go(struct term *t, int y, int x)
{
	t->y = y < 0 ? 0 : y >= t->lines ? t->lines - 1 : y;
	t->x = x < 0 ? 0 : x >= t->columns ? t->columns - 1 : x;
	t->wrap = false;
}

static void erase_display(struct term *t, int how)
{
	int y;

	if (how == 2) {
		clear_all(t);
		return;
	}
	clear(t, t->y, how ? 0 : t->x, how ? t->x + 1 : t->columns);
	for (y = how ? 0 : t->y + 1; y < (how ? t->y : t->lines); y++)
		clear(t, y, 0, t->columns);
}

static void look(struct term *t, const char *args)
{
	char *copy = strdup(args), *save, *arg;

	assert_non_null(copy);
	for (arg = strtok_r(copy, ";", &save); arg; arg = strtok_r(NULL, ";", &save))
		t->colours += atoi(arg) >= 30 && atoi(arg) < 50;
	free(copy);
}

static void set_mode(struct term *t, const char *args, bool on)
{
	if (!strncmp(args, "?1049", 5)) {
		t->alternate = on;
		clear_all(t);
	} else if (!strncmp(args, "?25", 3) || !strncmp(args, "?12;25", 6)) {
		t->hidden = !on;
	}
}

/* "\e[12;34H": @args is what stands before the last character. */
static void control(struct term *t, const char *args, char last)
{
	const char *second = strchr(args, ';');
	int n = atoi(args), step = n > 0 ? n : 1, rest = t->columns - t->x, i;
	int within = step < rest ? step : rest;
	char before;

	switch (last) {
	case 'H':
		go(t, step - 1, second && atoi(second + 1) ? atoi(second + 1) - 1 : 0);
		break;
	case 'A':
		go(t, t->y - step, t->x);
		break;
	case 'B':
		go(t, t->y + step, t->x);
		break;
	case 'C':
		go(t, t->y, t->x + step);
		break;
	case 'D':
		go(t, t->y, t->x - step);
		break;
	case 'G':
		go(t, t->y, step - 1);
		break;
	case 'd':
		go(t, step - 1, t->x);
		break;
	case 'J':
		erase_display(t, n);
		break;
	case 'K':
		clear(t, t->y, n ? 0 : t->x, n == 1 ? t->x + 1 : t->columns);
		break;
	case 'X':
		clear(t, t->y, t->x, t->x + within);
		break;
	case 'P':
		memmove(&t->cell[t->y][t->x], &t->cell[t->y][t->x + within],
			(size_t)(rest - within));
		clear(t, t->y, t->columns - within, t->columns);
		break;
	case '@':
		memmove(&t->cell[t->y][t->x + within], &t->cell[t->y][t->x],
			(size_t)(rest - within));
		clear(t, t->y, t->x, t->x + within);
		break;
	case 'b': /* the character before, again */
		before = t->cell[t->y][t->wrap || !t->x ? t->x : t->x - 1];
		for (i = 0; i < step; i++)
			put_char(t, before);
		break;
	case 'm':
		look(t, args);
		break;
	case 'h':
	case 'l':
		set_mode(t, args, last == 'h');
		break;
	case 'r': /* the part that scrolls */
		t->top = step - 1;
		t->bottom = second && atoi(second + 1) ? atoi(second + 1) - 1 : t->lines - 1;
		go(t, 0, 0);
		break;
	case 'S':
	case 'T':
		scroll(t, t->top, t->bottom, last == 'S' ? step : -step);
		break;
	case 'L':
	case 'M':
		scroll(t, t->y, t->bottom, last == 'M' ? step : -step);
		break;
	case 't': /* the window's title */
		break;
	default:
		print_message("unknown: ESC [ %s %c\n", args, last);
		t->unknown++;
		break;
	}
}

/* One more character of an escape sequence. */
static void escape(struct term *t, char c)
{
	assert_true(t->escape_len < sizeof(t->escape) - 1);
	t->escape[t->escape_len++] = c;
	t->escape[t->escape_len] = '\0';
	if (t->escape_len == 1)
		return;
	if (t->escape[1] == '[') {
		if (t->escape_len > 2 && c >= '@' && c <= '~') {
			t->escape[t->escape_len - 1] = '\0';
			t->escape_len = 0;
			control(t, t->escape + 2, c);
		}
		return;
	}
	/* Character sets, two more characters; others, one. */
	if (t->escape_len == 2 && (c == '(' || c == ')'))
		return;
	t->escape_len = 0;
	if (t->escape[1] == 'M') {
		if (t->y == t->top)
			scroll(t, t->top, t->bottom, -1);
		else
			t->y -= t->y > 0;
	} else if (!strchr("()=>78", t->escape[1])) {
		print_message("unknown: ESC %c\n", t->escape[1]);
		t->unknown++;
	}
}

static void show(struct term *t, char c)
{
	if (t->escape_len || c == '\033') {
		escape(t, c);
		return;
	}
	switch (c) {
	case '\r':
		go(t, t->y, 0);
		break;
	case '\n':
		line_feed(t);
		break;
	case '\b':
		go(t, t->y, t->x - 1);
		break;
	case '\t':
		go(t, t->y, (t->x + 8) / 8 * 8);
		break;
	case '\0':
	case '\016':
	case '\017':
		break;
	default:
		if (c < ' ' || c > '~')
			t->unknown++;
		else
			put_char(t, c);
		break;
	}
}

bool term_shows(const struct term *t, const char *text)
{
	int y;

	for (y = 0; y < t->lines; y++)
		if (strstr(t->cell[y], text))
			return true;
	return false;
}

static void print_screen(const struct term *t)
{
	int y;

	for (y = 0; y < t->lines; y++)
		print_message("%2d|%s|\n", y, t->cell[y]);
}

/* ---- the program -------------------------------------------------------------------- */

static struct winsize size_of(const struct term *t)
{
	return (struct winsize){ .ws_row = (unsigned short)t->lines,
				 .ws_col = (unsigned short)t->columns };
}

static void set_size(struct term *t, int columns, int lines)
{
	assert_true(columns <= TERM_MAX_COLUMNS && lines <= TERM_MAX_LINES);
	t->columns = columns;
	t->lines = lines;
	t->top = 0;
	t->bottom = lines - 1;
	clear_all(t);
	go(t, t->y, t->x);
}

void term_open(struct term *t, const char *name, int columns, int lines, const char *args)
{
	struct winsize size;
	char line[512];

	memset(t, 0, sizeof(*t));
	set_size(t, columns, lines);
	size = size_of(t);
	assert_int_equal(openpty(&t->master, &t->slave, NULL, NULL, &size), 0);
	assert_int_equal(fcntl(t->master, F_SETFL, O_NONBLOCK), 0);
	(void)snprintf(line, sizeof(line), "exec %s %s", HVO_COMMAND, args);
	t->pid = fork();
	assert_true(t->pid >= 0);
	if (t->pid)
		return;
	close(t->master);
	(void)setenv("TERM", name, 1);
	(void)unsetenv("LINES");
	(void)unsetenv("COLUMNS");
	if (!login_tty(t->slave))
		execl("/bin/sh", "sh", "-c", line, (char *)NULL);
	_exit(127);
}

void term_keys(struct term *t, const char *keys)
{
	assert_int_equal(write(t->master, keys, strlen(keys)), strlen(keys));
}

void term_resize(struct term *t, int columns, int lines)
{
	struct winsize size;

	set_size(t, columns, lines);
	size = size_of(t);
	assert_int_equal(ioctl(t->master, TIOCSWINSZ, &size), 0);
}

/* What the program has written; waits a moment for it. False: there was nothing. */
static bool take_output(struct term *t)
{
	struct pollfd fd = { .fd = t->master, .events = POLLIN };
	char buf[4096];
	ssize_t n = 0, i;

	if (poll(&fd, 1, STEP_MS) > 0)
		n = read(t->master, buf, sizeof(buf));
	for (i = 0; i < n; i++)
		show(t, buf[i]);
	return n > 0;
}

void term_wait(struct term *t, const char *text, bool there)
{
	unsigned int waited = 0;

	/* Half of a change may be on its way: look when no more comes. */
	for (;;) {
		if (take_output(t))
			continue;
		if (term_shows(t, text) == there)
			break;
		waited += STEP_MS;
		if (waited >= PATIENCE_MS) {
			print_screen(t);
			kill(t->pid, SIGKILL);
			fail_msg("'%s' %s", text, there ? "never came" : "stays");
		}
	}
	if (t->unknown)
		print_screen(t);
	assert_int_equal(t->unknown, 0);
}

static int wait_for_end(struct term *t)
{
	unsigned int waited = 0;
	int status;

	while (!waitpid(t->pid, &status, WNOHANG)) {
		if (t->master < 0)
			(void)poll(NULL, 0, STEP_MS);
		else if (take_output(t))
			continue;
		waited += STEP_MS;
		if (waited >= PATIENCE_MS) {
			kill(t->pid, SIGKILL);
			fail_msg("the program does not end");
		}
	}
	return status;
}

int term_end(struct term *t)
{
	struct termios before, after;
	int status = wait_for_end(t), master, slave;

	while (take_output(t))
		;
	/* As a new terminal is. */
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(tcgetattr(slave, &before), 0);
	assert_int_equal(tcgetattr(t->slave, &after), 0);
	assert_int_equal(before.c_iflag, after.c_iflag);
	assert_int_equal(before.c_oflag, after.c_oflag);
	assert_int_equal(before.c_lflag, after.c_lflag);
	assert_false(t->alternate);
	assert_false(t->hidden);
	assert_int_equal(t->unknown, 0);
	close(master);
	close(slave);
	close(t->master);
	close(t->slave);
	return status;
}

int term_hang_up(struct term *t)
{
	close(t->master);
	close(t->slave);
	t->master = -1;
	return wait_for_end(t);
}
