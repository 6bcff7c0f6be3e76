// SPDX-License-Identifier: MIT
/*
 * Clearing and copying frames. What is cleared is rarely read soon, so clearing goes
 * round the caches (non-temporal stores), which is also about twice as fast on cold
 * memory. Sanitizers do not see such stores: they get memset.
 *
 * States: none. Locks: none.
 */
#include "host.h"

#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PLAIN_STORES 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
	__has_feature(memory_sanitizer)
#define PLAIN_STORES 1
#endif
#endif

#if defined(__x86_64__) && !defined(PLAIN_STORES)
#include <immintrin.h>

__attribute__((target("avx512f"))) static void zero_avx512(uint8_t *p, size_t len)
{
	const __m512i zero = _mm512_setzero_si512();
	uint8_t *end = p + len;

	for (; p < end; p += 256) {
		_mm512_stream_si512((void *)p, zero);
		_mm512_stream_si512((void *)(p + 64), zero);
		_mm512_stream_si512((void *)(p + 128), zero);
		_mm512_stream_si512((void *)(p + 192), zero);
	}
	/* The stores are weakly ordered: done before anyone is told of the frames. */
	_mm_sfence();
}

static void zero_sse2(uint8_t *p, size_t len)
{
	const __m128i zero = _mm_setzero_si128();
	uint8_t *end = p + len;

	for (; p < end; p += 64) {
		_mm_stream_si128((void *)p, zero);
		_mm_stream_si128((void *)(p + 16), zero);
		_mm_stream_si128((void *)(p + 32), zero);
		_mm_stream_si128((void *)(p + 48), zero);
	}
	_mm_sfence();
}

static void zero_bytes(uint8_t *p, size_t len)
{
	if (__builtin_cpu_supports("avx512f"))
		zero_avx512(p, len);
	else
		zero_sse2(p, len);
}
#else
static void zero_bytes(uint8_t *p, size_t len)
{
	memset(p, 0, len);
}
#endif

void hvo_linux_zero(void *ctx, hvo_pfn_t pfn, uint64_t nr)
{
	zero_bytes(host_frame(ctx, pfn), (size_t)(nr << PAGE_SHIFT));
}

/*
 * libc's memcpy goes round the caches by itself when that pays. Words of descriptors may be written
 * while these are copied, and are written again then (hvo_page_set_private()): nothing for the thread
 * sanitizer.
 */
void hvo_linux_copy(void *ctx, hvo_pfn_t dst, hvo_pfn_t src, uint64_t nr)
{
	uint64_t *to = (uint64_t *)(void *)host_frame(ctx, dst);
	const uint64_t *from = (const uint64_t *)(const void *)host_frame(ctx, src);
	size_t words = (size_t)(nr << PAGE_SHIFT) / sizeof(*to);

#ifdef HVO_TSAN
	while (words--)
		__atomic_store_n(to++, __atomic_load_n(from++, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
#else
	memcpy(to, from, words * sizeof(*to));
#endif
}
