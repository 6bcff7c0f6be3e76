/* SPDX-License-Identifier: MIT */
/*
 * Targets for fuzzers: a program for each, with what libFuzzer calls, and AFL++ by its driver for
 * libFuzzer's targets. A build without a fuzzer has a main() that goes through the corpus instead
 * (corpus.c).
 */
#ifndef HVO_TESTS_FUZZ_H
#define HVO_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* One execution. Aborts with a finding, and leaves nothing behind. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
