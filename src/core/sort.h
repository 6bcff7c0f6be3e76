/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_SORT_H
#define HVO_CORE_SORT_H

#include <stdint.h>

#define SORT_WORDS 3u

static inline void sort_copy(uint64_t *to, const uint64_t *from, unsigned int words)
{
	while (words--)
		to[words] = from[words];
}

/*
 * Sort @nr records of @words words, SORT_WORDS at most, by their first word. Shell sort: needs no
 * memory and no recursion, and is quick for some thousand records.
 */
static inline void sort_records(uint64_t *v, unsigned int nr, unsigned int words)
{
	static const unsigned int gaps[] = { 1750, 701, 301, 132, 57, 23, 10, 4, 1 };
	unsigned int g, i, j;

	for (g = 0; g < sizeof(gaps) / sizeof(gaps[0]); g++) {
		for (i = gaps[g]; i < nr; i++) {
			uint64_t x[SORT_WORDS];

			sort_copy(x, &v[i * words], words);
			for (j = i; j >= gaps[g] && v[(j - gaps[g]) * words] > x[0]; j -= gaps[g])
				sort_copy(&v[j * words], &v[(j - gaps[g]) * words], words);
			sort_copy(&v[j * words], x, words);
		}
	}
}

static inline void sort_ascending(uint64_t *v, unsigned int nr)
{
	sort_records(v, nr, 1);
}

#endif
