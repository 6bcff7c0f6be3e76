/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_SORT_H
#define HVO_CORE_SORT_H

#include <stdint.h>

/* Shell sort: no memory, no recursion, quick for some hundred block numbers. */
static inline void sort_ascending(uint64_t *v, unsigned int nr)
{
	static const unsigned int gaps[] = { 301, 132, 57, 23, 10, 4, 1 };
	unsigned int g, i, j;

	for (g = 0; g < sizeof(gaps) / sizeof(gaps[0]); g++) {
		for (i = gaps[g]; i < nr; i++) {
			uint64_t x = v[i];

			for (j = i; j >= gaps[g] && v[j - gaps[g]] > x; j -= gaps[g])
				v[j] = v[j - gaps[g]];
			v[j] = x;
		}
	}
}

#endif
