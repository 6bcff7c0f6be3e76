/* SPDX-License-Identifier: MIT */
/* What reads text or messages from outside: each with a part of an input, to its end. */
#ifndef HVO_TESTS_FUZZ_PARSE_H
#define HVO_TESTS_FUZZ_PARSE_H

#include <stddef.h>
#include <stdint.h>

/* What of an input was not read yet. */
struct input {
	const uint8_t *at;
	size_t left;
};

/* 0 at the end. */
uint8_t input_byte(struct input *in);
/* Up to a '\0' or the end, ended by '\0'; to be freed. */
char *input_text(struct input *in);

/* Stop with a finding unless @cond. */
#define must(cond, what)                   \
	do {                               \
		if (!(cond))               \
			parse_wrong(what); \
	} while (0)
void parse_wrong(const char *what) __attribute__((noreturn));

struct hvo_machine;
/* Stops with a finding of the audit. */
void parse_audit(struct hvo_machine *m);

void parse_tree(struct input *in);
void parse_script(struct input *in);
void parse_trace(struct input *in);
void parse_requests(struct input *in);
void parse_replies(struct input *in);

#endif
