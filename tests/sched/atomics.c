// SPDX-License-Identifier: MIT
/*
 * What the compiler calls for each access to memory in code built with -fsanitize=thread, in the
 * place of TSan's own: each atomic access is a step of the scheduler and known by its address. A
 * plain access is none: where TSan finds no race another thread can tell when one happened only by
 * what is atomic.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "platform/sim/sched.h"

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

#define PLAIN(name)                  \
	void __tsan_##name(void *p); \
	void __tsan_##name(void *p)  \
	{                            \
		(void)p;             \
	}
#define PLAIN_OF(n)              \
	PLAIN(read##n)           \
	PLAIN(write##n)          \
	PLAIN(unaligned_read##n) \
	PLAIN(unaligned_write##n)
PLAIN_OF(1)
PLAIN_OF(2)
PLAIN_OF(4)
PLAIN_OF(8)
PLAIN_OF(16)

void __tsan_read_range(void *p, size_t n)
{
	(void)p;
	(void)n;
}

void __tsan_write_range(void *p, size_t n)
{
	(void)p;
	(void)n;
}

void *__tsan_memcpy(void *to, const void *from, size_t n)
{
	return memcpy(to, from, n);
}

void *__tsan_memmove(void *to, const void *from, size_t n)
{
	return memmove(to, from, n);
}

void *__tsan_memset(void *to, int c, size_t n)
{
	return memset(to, c, n);
}

#define READ_MODIFY_WRITE(type, bits, name)                                     \
	type __tsan_atomic##bits##_##name(volatile type *p, type v, int order); \
	type __tsan_atomic##bits##_##name(volatile type *p, type v, int order)  \
	{                                                                       \
		(void)order;                                                    \
		touch(p, true);                                                 \
		return __atomic_##name(p, v, __ATOMIC_SEQ_CST);                 \
	}

#define ATOMICS(type, bits)                                                                   \
	type __tsan_atomic##bits##_load(const volatile type *p, int order);                   \
	type __tsan_atomic##bits##_load(const volatile type *p, int order)                    \
	{                                                                                     \
		(void)order;                                                                  \
		touch(p, false);                                                              \
		return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                  \
	}                                                                                     \
	void __tsan_atomic##bits##_store(volatile type *p, type v, int order);                \
	void __tsan_atomic##bits##_store(volatile type *p, type v, int order)                 \
	{                                                                                     \
		(void)order;                                                                  \
		touch(p, true);                                                               \
		__atomic_store_n(p, v, __ATOMIC_SEQ_CST);                                     \
	}                                                                                     \
	type __tsan_atomic##bits##_exchange(volatile type *p, type v, int order);             \
	type __tsan_atomic##bits##_exchange(volatile type *p, type v, int order)              \
	{                                                                                     \
		(void)order;                                                                  \
		touch(p, true);                                                               \
		return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);                           \
	}                                                                                     \
	int __tsan_atomic##bits##_compare_exchange_strong(volatile type *p, type *e, type v,  \
							  int order, int failed);             \
	int __tsan_atomic##bits##_compare_exchange_strong(volatile type *p, type *e, type v,  \
							  int order, int failed)              \
	{                                                                                     \
		(void)order;                                                                  \
		(void)failed;                                                                 \
		touch(p, true);                                                               \
		return __atomic_compare_exchange_n(p, e, v, false, __ATOMIC_SEQ_CST,          \
						   __ATOMIC_SEQ_CST);                         \
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
