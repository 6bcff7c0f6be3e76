// SPDX-License-Identifier: MIT
/*
 * What the compiler calls for each access to memory in code built with -fsanitize=thread, in the
 * place of TSan's own: each atomic access is a step of the scheduler and known by its address. A
 * plain access is none: where there is no race another thread can tell when one happened only by
 * what is atomic. That there is none is looked at too (race.h).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "platform/sim/sched.h"
#include "race.h"

/* The compiler declares these by itself, in its own way. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wbuiltin-declaration-mismatch"
#endif

static void touch(const volatile void *word, bool write)
{
	hvo_step(STEP_ATOMIC, (const void *)word);
	sched_touch((uint64_t)(uintptr_t)word >> 3, write);
}

static void read_plain(const void *p, size_t n)
{
	race_access(p, n, RACE_READ, 0);
}

static void write_plain(const void *p, size_t n)
{
	race_access(p, n, RACE_WRITE, 0);
}

void __tsan_init(void)
{
}

void __tsan_func_entry(void *pc)
{
	(void)pc;
}

void __tsan_func_exit(void)
{
}

#define PLAIN(name, access, n)       \
	void __tsan_##name(void *p); \
	void __tsan_##name(void *p)  \
	{                            \
		access(p, n);        \
	}
#define PLAIN_OF(n)                             \
	PLAIN(read##n, read_plain, n)           \
	PLAIN(write##n, write_plain, n)         \
	PLAIN(unaligned_read##n, read_plain, n) \
	PLAIN(unaligned_write##n, write_plain, n)
PLAIN_OF(1)
PLAIN_OF(2)
PLAIN_OF(4)
PLAIN_OF(8)
PLAIN_OF(16)

void __tsan_read_range(void *p, size_t n)
{
	read_plain(p, n);
}

void __tsan_write_range(void *p, size_t n)
{
	write_plain(p, n);
}

void *__tsan_memcpy(void *to, const void *from, size_t n)
{
	read_plain(from, n);
	write_plain(to, n);
	return memcpy(to, from, n);
}

void *__tsan_memmove(void *to, const void *from, size_t n)
{
	read_plain(from, n);
	write_plain(to, n);
	return memmove(to, from, n);
}

void *__tsan_memset(void *to, int c, size_t n)
{
	write_plain(to, n);
	return memset(to, c, n);
}

#define READ_MODIFY_WRITE(type, bits, name)                                     \
	type __tsan_atomic##bits##_##name(volatile type *p, type v, int order); \
	type __tsan_atomic##bits##_##name(volatile type *p, type v, int order)  \
	{                                                                       \
		touch(p, true);                                                 \
		race_access(p, sizeof(type), RACE_CHANGE, order);               \
		return __atomic_##name(p, v, __ATOMIC_SEQ_CST);                 \
	}

#define ATOMICS(type, bits)                                                                   \
	type __tsan_atomic##bits##_load(const volatile type *p, int order);                   \
	type __tsan_atomic##bits##_load(const volatile type *p, int order)                    \
	{                                                                                     \
		touch(p, false);                                                              \
		race_access(p, sizeof(type), RACE_LOAD, order);                               \
		return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                  \
	}                                                                                     \
	void __tsan_atomic##bits##_store(volatile type *p, type v, int order);                \
	void __tsan_atomic##bits##_store(volatile type *p, type v, int order)                 \
	{                                                                                     \
		touch(p, true);                                                               \
		race_access(p, sizeof(type), RACE_STORE, order);                              \
		__atomic_store_n(p, v, __ATOMIC_SEQ_CST);                                     \
	}                                                                                     \
	type __tsan_atomic##bits##_exchange(volatile type *p, type v, int order);             \
	type __tsan_atomic##bits##_exchange(volatile type *p, type v, int order)              \
	{                                                                                     \
		touch(p, true);                                                               \
		race_access(p, sizeof(type), RACE_CHANGE, order);                             \
		return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);                           \
	}                                                                                     \
	int __tsan_atomic##bits##_compare_exchange_strong(volatile type *p, type *e, type v,  \
							  int order, int failed);             \
	int __tsan_atomic##bits##_compare_exchange_strong(volatile type *p, type *e, type v,  \
							  int order, int failed)              \
	{                                                                                     \
		bool done;                                                                    \
                                                                                              \
		touch(p, true);                                                               \
		done = __atomic_compare_exchange_n(p, e, v, false, __ATOMIC_SEQ_CST,          \
						   __ATOMIC_SEQ_CST);                         \
		race_access(p, sizeof(type), done ? RACE_CHANGE : RACE_LOAD,                  \
			    done ? order : failed);                                           \
		return done;                                                                  \
	}                                                                                     \
	int __tsan_atomic##bits##_compare_exchange_weak(volatile type *p, type *e, type v,    \
							int order, int failed);               \
	int __tsan_atomic##bits##_compare_exchange_weak(volatile type *p, type *e, type v,    \
							int order, int failed)                \
	{                                                                                     \
		return __tsan_atomic##bits##_compare_exchange_strong(p, e, v, order, failed); \
	}                                                                                     \
	type __tsan_atomic##bits##_compare_exchange_val(volatile type *p, type e, type v,     \
							int order, int failed);               \
	type __tsan_atomic##bits##_compare_exchange_val(volatile type *p, type e, type v,     \
							int order, int failed)                \
	{                                                                                     \
		__tsan_atomic##bits##_compare_exchange_strong(p, &e, v, order, failed);       \
		return e;                                                                     \
	}                                                                                     \
	READ_MODIFY_WRITE(type, bits, fetch_add)                                              \
	READ_MODIFY_WRITE(type, bits, fetch_sub)                                              \
	READ_MODIFY_WRITE(type, bits, fetch_or)                                               \
	READ_MODIFY_WRITE(type, bits, fetch_and)                                              \
	READ_MODIFY_WRITE(type, bits, fetch_xor)

ATOMICS(uint8_t, 8)
ATOMICS(uint16_t, 16)
ATOMICS(uint32_t, 32)
ATOMICS(uint64_t, 64)

void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_thread_fence(int order)
{
	(void)order;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void __tsan_atomic_signal_fence(int order);
void __tsan_atomic_signal_fence(int order)
{
	(void)order;
}
