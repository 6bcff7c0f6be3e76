/* SPDX-License-Identifier: MIT */
/*
 * A program on a terminal: a pseudo-terminal, and of xterm and vt100 what is needed to know
 * what the screen shows.
 */
#ifndef HVO_TESTS_TERMINAL_H
#define HVO_TESTS_TERMINAL_H

#include <stdbool.h>
#include <sys/types.h>

#define TERM_MAX_LINES 60
#define TERM_MAX_COLUMNS 160

/**
 * struct term - the program and its screen
 * @cell: what is on it, each line ended by '\0'
 * @colours: escape sequences for colours that came
 * @unknown: sequences that are not understood here: then the screen is not to be trusted
 * @alternate, @hidden: the other screen is on; the cursor is not seen
 */
struct term {
	int master, slave;
	pid_t pid;
	int lines, columns;
	char cell[TERM_MAX_LINES][TERM_MAX_COLUMNS + 1];
	int y, x;
	int top, bottom; /* of the part that scrolls */
	bool wrap;	 /* the last column is written: the next character goes to the next line */
	char escape[64];
	unsigned int escape_len;
	unsigned int colours, unknown;
	bool alternate, hidden;
};

/* Run hvo with these arguments on a terminal of type @name. Asserts that it starts. */
void term_open(struct term *t, const char *name, int columns, int lines, const char *args);
void term_keys(struct term *t, const char *keys);
void term_resize(struct term *t, int columns, int lines);
/* Until the screen shows @text, or (@there false) shows it no more; fails if it never does. */
void term_wait(struct term *t, const char *text, bool there);
bool term_shows(const struct term *t, const char *text);
/*
 * Until the program has ended: returns its status as from waitpid(). Checks that the terminal
 * is as it was.
 */
int term_end(struct term *t);
/* The other end goes away, while the program still runs; its status too. */
int term_hang_up(struct term *t);

#endif
