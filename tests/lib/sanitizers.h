/* SPDX-License-Identifier: MIT */
/* Sanitizers that a test is built with: WITH_ASAN and WITH_TSAN are 1 or 0. */
#ifndef HVO_TESTS_SANITIZERS_H
#define HVO_TESTS_SANITIZERS_H

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif
#ifndef WITH_ASAN
#define WITH_ASAN 0
#endif
#ifndef WITH_TSAN
#define WITH_TSAN 0
#endif

#endif
