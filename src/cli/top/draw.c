// SPDX-License-Identifier: MIT
/*
 * hvo top on a terminal. newterm() and delscreen(), not initscr(): that one exits where the
 * terminal is not known, and leaves memory behind.
 */
#include "common/cli.h"
#include "top.h"

#include <curses.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ESCAPE_MS 25

static SCREEN *screen;

/* ---- looks ----------------------------------------------------------------------- */

/* With colours (-1: the terminal's own), and without. */
struct look {
	short fg, bg;
	attr_t attr;
	attr_t mono;
};

static const struct look looks[TOP_NR_STYLES] = {
	[TOP_PLAIN] = { -1, -1, A_NORMAL, A_NORMAL },
	[TOP_DIM] = { -1, -1, A_DIM, A_NORMAL },
	[TOP_BOLD] = { -1, -1, A_BOLD, A_BOLD },
	[TOP_HEAD] = { COLOR_BLACK, COLOR_GREEN, A_NORMAL, A_REVERSE },
	[TOP_FOCUS] = { COLOR_BLACK, COLOR_CYAN, A_NORMAL, A_REVERSE | A_BOLD },
	[TOP_GOOD] = { COLOR_GREEN, -1, A_NORMAL, A_NORMAL },
	[TOP_WARN] = { COLOR_YELLOW, -1, A_BOLD, A_BOLD },
	[TOP_BAD] = { COLOR_RED, -1, A_BOLD, A_BOLD },
	/* What is in use has a background: how full memory is can be seen from afar. */
	[TOP_CELL_FREE] = { COLOR_GREEN, -1, A_NORMAL, A_NORMAL },
	[TOP_CELL_REPORTED] = { COLOR_CYAN, -1, A_NORMAL, A_NORMAL },
	[TOP_CELL_USED] = { COLOR_BLACK, COLOR_YELLOW, A_NORMAL, A_NORMAL },
	[TOP_CELL_HUGE_USED] = { COLOR_WHITE, COLOR_BLUE, A_NORMAL, A_NORMAL },
	[TOP_CELL_HUGE_FREE] = { COLOR_BLUE, -1, A_BOLD, A_NORMAL },
	[TOP_CELL_CUT] = { COLOR_BLACK, COLOR_CYAN, A_NORMAL, A_NORMAL },
	[TOP_CELL_EMPTY] = { COLOR_YELLOW, -1, A_NORMAL, A_NORMAL },
	[TOP_CELL_MEMMAP] = { COLOR_BLACK, COLOR_WHITE, A_NORMAL, A_NORMAL },
	[TOP_CELL_FAILED] = { COLOR_WHITE, COLOR_RED, A_BOLD, A_REVERSE },
	[TOP_CELL_ISOLATED] = { COLOR_BLACK, COLOR_MAGENTA, A_NORMAL, A_NORMAL },
	[TOP_CELL_OFFLINE] = { -1, -1, A_DIM, A_NORMAL },
};

static bool colours;

/* As https://no-color.org has it. */
static bool want_colours(void)
{
	const char *no = getenv("NO_COLOR");

	return !(no && *no) && has_colors() && start_color() == OK && use_default_colors() == OK &&
	       COLOR_PAIRS > TOP_NR_STYLES;
}

static void use_look(enum top_style style)
{
	if (colours)
		(void)attr_set(looks[style].attr, (short)(style + 1), NULL);
	else
		(void)attr_set(looks[style].mono, 0, NULL);
}

/* ---- the terminal -------------------------------------------------------------------- */

void top_screen_close(void)
{
	if (!screen)
		return;
	(void)endwin();
	delscreen(screen);
	screen = NULL;
}

int top_screen_open(void)
{
	static bool registered;
	const char *name = getenv("TERM");
	short i;

	screen = newterm(NULL, stdout, stdin);
	if (!screen)
		return cli_error(
			"TERM is '%s', a terminal that is not known here; set TERM, or use "
			"--once",
			name ? name : "");
	if (!registered && !atexit(top_screen_close))
		registered = true;
	(void)cbreak();
	(void)noecho();
	(void)nonl();
	(void)intrflush(stdscr, FALSE);
	(void)keypad(stdscr, TRUE);
	(void)nodelay(stdscr, TRUE);
	(void)set_escdelay(ESCAPE_MS);
	(void)curs_set(0);
	colours = want_colours();
	for (i = 0; colours && i < TOP_NR_STYLES; i++)
		(void)init_pair((short)(i + 1), looks[i].fg, looks[i].bg);
	return CLI_OK;
}

/* ---- drawing ---------------------------------------------------------------------------- */

static void draw_line(int y, const struct top_line *line)
{
	int i, n;

	(void)move(y, 0);
	for (i = 0; i < line->len; i += n) {
		for (n = 1; i + n < line->len && line->style[i + n] == line->style[i]; n++)
			;
		use_look((enum top_style)line->style[i]);
		(void)addnstr(line->text + i, n);
	}
}

static const char *const help[] = {
	"q  ^C         quit",
	"space         pause, and go on",
	"+ -           look less often, more often",
	"1 2 3 4 5     show or hide a panel",
	"tab           the next panel is the one to scroll",
	"up down page  scroll it; home, end: to its ends",
	"left right    free lists: other orders",
	"z Z           memory map: a letter for 4 times as much, and back",
	"",
	"In the bar of a zone ':' is its high watermark. Zones of the map: N Normal,",
	"M Movable, C CMA. Pools: resv reserved, surp surplus, over overcommit limit,",
	"stuck: free pages that Linux refused to free; refused: how often it happened.",
};

static void draw_help(const struct top_view *v, int lines)
{
	struct top_line line;
	size_t i;
	int y = 0;

	top_line_begin(&line, v->width);
	top_put(&line, TOP_BOLD, "hvo top: keys");
	draw_line(y, &line);
	y += lines > 16 ? 2 : 1;
	for (i = 0; i < sizeof(help) / sizeof(help[0]) && y < lines - 1; i++, y++) {
		top_line_begin(&line, v->width);
		top_put(&line, TOP_PLAIN, "%s", help[i]);
		draw_line(y, &line);
	}
	top_line_begin(&line, v->width - 1);
	top_put(&line, TOP_FOCUS, "any key: back");
	draw_line(lines - 1, &line);
}

static void draw_too_small(int lines, int columns)
{
	use_look(TOP_PLAIN);
	(void)mvaddnstr(0, 0, "hvo top: too small", columns);
	if (lines > 1)
		(void)mvprintw(1, 0, "%.*s", columns, "40x10 is needed");
	if (lines > 2)
		(void)mvprintw(2, 0, "this is %dx%d", columns, lines);
}

/* Which rows these are, at the end of the panel's head. */
static void mark_part(struct top_line *line, size_t first, size_t shown, size_t rows)
{
	enum top_style style = (enum top_style)line->style[0];
	char text[64];
	int n = snprintf(text, sizeof(text), " %zu-%zu/%zu", first + 1, first + shown, rows);

	if (line->len < n)
		return;
	line->len -= n;
	top_put(line, style, "%s", text);
}

static void draw_panel(struct top_screen *s, const struct top_view *v, enum top_panel panel, int y)
{
	size_t heads = top_heads(v, panel), rows = top_rows(v, panel), i;
	size_t room = (size_t)s->height[panel] - heads;
	struct top_line line;

	if (room > rows)
		room = rows;
	if (s->offset[panel] > rows - room)
		s->offset[panel] = rows - room;
	for (i = 0; i < heads; i++, y++) {
		top_head(v, panel, i, &line);
		if (!i && panel == s->focus)
			memset(line.style, TOP_FOCUS, sizeof(line.style));
		if (!i && room < rows)
			mark_part(&line, s->offset[panel], room, rows);
		draw_line(y, &line);
	}
	for (i = 0; i < room; i++, y++) {
		top_row(v, panel, s->offset[panel] + i, &line);
		draw_line(y, &line);
	}
}

static void draw_panels(struct top_screen *s, struct top_view *v, int lines)
{
	size_t want[TOP_NR_PANELS], heads[TOP_NR_PANELS], rows;
	int y = TOP_HEADER_LINES, p;

	for (p = 0; p < TOP_NR_PANELS; p++) {
		rows = s->shown[p] ? top_rows(v, (enum top_panel)p) : 0;
		heads[p] = top_heads(v, (enum top_panel)p);
		want[p] = rows ? rows + heads[p] : 0;
	}
	top_layout(lines - TOP_HEADER_LINES - 1, want, heads, s->height);
	for (p = 0; p < TOP_NR_PANELS && !s->height[s->focus]; p++)
		s->focus = (enum top_panel)((s->focus + 1) % TOP_NR_PANELS);
	for (p = 0; p < TOP_NR_PANELS; p++) {
		if (s->height[p])
			draw_panel(s, v, (enum top_panel)p, y);
		y += s->height[p];
	}
}

/* Keys, and what had no room. */
static void draw_foot(const struct top_screen *s, const struct top_view *v, int y)
{
	struct top_line line;
	int p;

	/* Not the last column: there some terminals scroll. */
	top_line_begin(&line, v->width - 1);
	if (s->message[0]) {
		top_put(&line, TOP_BAD, "%s", s->message);
	} else {
		top_put(&line, TOP_DIM, "q quit  h help");
		for (p = 0; p < TOP_NR_PANELS; p++)
			if (!s->height[p] && top_rows(v, (enum top_panel)p))
				top_put(&line, TOP_BOLD, "  %d %s %s", p + 1, top_panel_names[p],
					s->shown[p] ? "(no room)" : "(hidden)");
		top_put(&line, TOP_DIM, "  space %s  tab, arrows scroll  +/- interval",
			v->paused ? "go on" : "pause");
	}
	draw_line(y, &line);
}

void top_screen_draw(struct top_screen *s, struct top_view *v)
{
	struct top_line line;
	int lines, columns;
	unsigned int i;

	getmaxyx(stdscr, lines, columns);
	use_look(TOP_PLAIN);
	(void)erase();
	v->width = columns;
	if (v->first_order > top_last_order(v))
		v->first_order = top_last_order(v);
	if (lines < TOP_MIN_LINES || columns < TOP_MIN_COLUMNS) {
		draw_too_small(lines, columns);
	} else if (s->help) {
		draw_help(v, lines);
	} else {
		for (i = 0; i < TOP_HEADER_LINES; i++) {
			top_header(v, i, &line);
			draw_line((int)i, &line);
		}
		draw_panels(s, v, lines);
		draw_foot(s, v, lines - 1);
	}
	(void)refresh();
}
