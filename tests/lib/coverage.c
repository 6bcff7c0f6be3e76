// SPDX-License-Identifier: MIT
/*
 * In a build that counts what is reached: processes that end here and now, children of a test and
 * those that a broken rule stops, count too. The linker puts these functions in place of libc's.
 */
#include <gcov.h>
#include <stdlib.h>
#include <unistd.h>

void __real__exit(int status) __attribute__((noreturn));
void __real_abort(void) __attribute__((noreturn));
void __wrap__exit(int status) __attribute__((noreturn));
void __wrap_abort(void) __attribute__((noreturn));

void __wrap__exit(int status)
{
	__gcov_dump();
	__real__exit(status);
}

void __wrap_abort(void)
{
	__gcov_dump();
	__real_abort();
}
