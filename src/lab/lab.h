/* SPDX-License-Identifier: MIT */
#ifndef HVO_LAB_LAB_H
#define HVO_LAB_LAB_H

#include <jansson.h>
#include <lua.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * The lab: Lua scripts that drive machines. Who runs one goes through these calls.
 *
 * Conventions of all bindings: what the library refuses is nil and the name of the error
 * ("ENOMEM"), so assert() makes an error of it; a call that makes no sense (a wrong type, an
 * unknown name, a machine that is closed) is an error of Lua's, with file and line. Nothing
 * that a script does may crash the program: that is why there is no debug library and no
 * binary code. What a script does on sim follows from its text and the seed: math.random is
 * seeded, and pairs() goes through its keys in order.
 */

/**
 * struct lab_options - of one run
 * @seed: hvo.seed; of math.random and, unless they say otherwise, of machines and workloads
 * @quick: hvo.quick: small machines, short times, to see whether a script works
 * @interruptible: lab_interrupt() ends scripts; that costs some time at each instruction
 * @args: NULL, or what follows the script's name, NULL after the last one: the table arg
 */
struct lab_options {
	uint64_t seed;
	bool quick;
	bool interruptible;
	char **args;
};

/* NULL without memory. */
lua_State *lab_open(const struct lab_options *opt);
/* Closes all machines that are still open. Accepts NULL. */
void lab_close(lua_State *L);

/**
 * lab_run() - run a script
 * @ret_error: why it failed, in one line; to be freed
 * Return: did it end well?
 */
bool lab_run(lua_State *L, const char *file, char **ret_error);
/* The same for text that somebody types: values of expressions are printed. */
enum lab_line { LAB_LINE_OK, LAB_LINE_FAILED, LAB_LINE_UNFINISHED };
enum lab_line lab_run_line(lua_State *L, const char *text, char **ret_error);

/*
 * End what runs with the error "interrupted", as soon as a workload goes on, or the script does
 * something, if that is @interruptible. Of what runs now: the next line is not concerned. For a
 * handler of signals.
 */
void lab_interrupt(void);
/* Is what runs to end? */
bool lab_interrupted(void);

/* What hvo.result() collected: an array, borrowed. */
const json_t *lab_results(lua_State *L);

/*
 * Words that could stand at the end of @text, sorted, each with what of @text comes before it;
 * NULL after the last one. One array with its words, to be freed by lab_free_words(). NULL:
 * no memory.
 */
char **lab_complete(lua_State *L, const char *text);
void lab_free_words(char **words);

/* All bindings, as text. */
void lab_print_help(FILE *out);

#endif
