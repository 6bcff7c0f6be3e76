/* SPDX-License-Identifier: MIT */
#ifndef HVO_COMMON_TEXT_H
#define HVO_COMMON_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* Text for people: how wide it may be, words in lines, and words that are almost another. */

/* What a terminal has at least; where there is none, and for sentences on wider ones, too. */
#define TEXT_WIDTH 80u

/* Columns for standard output: those of its terminal, TEXT_WIDTH where that is none. */
unsigned int text_width(void);

/* Columns that UTF-8 takes: a character is one. */
size_t text_columns(const char *text);

/**
 * text_line() - the next line of a text
 * @at: moved on to the line after it; "" at the end
 * @width: columns of it at most; a word that is wider is cut
 *
 * Lines end at '\n', and at blanks where there is no more room.
 *
 * Return: its bytes, from where *@at was.
 */
size_t text_line(const char **at, size_t width);

/**
 * text_wrap() - print a text in lines of text_width(), of TEXT_WIDTH at most
 * @first: what stands before the first line
 * @rest: and before the others
 */
void text_wrap(FILE *out, const char *first, const char *rest, const char *text);
/* The same for what has to be put together. */
void text_wrapf(FILE *out, const char *first, const char *rest, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/**
 * struct text_buffer - lines that are put together piece by piece
 * @out: where the pieces go
 */
struct text_buffer {
	FILE *out;
	char *text;
	size_t len;
};

void text_begin(struct text_buffer *b);
/* Print them; what has no room goes on in the next line, indented by two columns more. */
void text_end(struct text_buffer *b);

/**
 * text_near() - what somebody may have meant
 * @table: elements of @stride bytes that begin with a name, a const char *; NULL ends them
 *
 * Return: the name that @word is almost, or begins; NULL if there is none.
 */
const char *text_near(const char *word, const void *table, size_t stride);
#define TEXT_NEAR(word, table) text_near(word, table, sizeof((table)[0]))

#endif
