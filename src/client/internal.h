/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLIENT_INTERNAL_H
#define HVO_CLIENT_INTERNAL_H

#include <hvo/client.h>

/* The memory of a loan. 0 or negative errno. */

/* Is it what was asked for? -EPROTO: not. */
int loan_check(const struct hvo_loan *loan, uint64_t flags);
/* Make it what the flags say, and find out @huge_bytes. -ENOSPC: there is not the memory for that. */
int loan_prepare(struct hvo_loan *loan, uint64_t flags);

#endif
