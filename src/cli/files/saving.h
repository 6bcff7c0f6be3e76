/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLI_FILES_SAVING_H
#define HVO_CLI_FILES_SAVING_H

#include <stdint.h>

/*
 * What descriptors cost and what can be saved, as formulas. S is the size of a descriptor,
 * P of a base page, H of a huge page:
 *
 *	descriptor pages of a huge page     V = H / P * S / P
 *	HVO keeps one of them, saves        V - 1   (if V >= 2 and S is a power of two)
 *	page tables, once array is split    one page for P / 8 descriptor pages
 *
 * With S = 64 and P = 4 KiB: 7 of 8 for 2 MiB, 4095 of 4096 for 1 GiB, and a page of page
 * tables for each 128 MiB. (Linux 5.14 to 5.17 kept two pages, not one.)
 */

#define SAVING_DESCRIPTOR 64u
#define SAVING_PAGE 4096u
#define SAVING_BLOCK (UINT64_C(2) << 20)
#define SAVING_TABLE_SPAN (UINT64_C(128) << 20)

/* The base page of the kernel that this runs on. */
uint64_t saving_base_page(void);

/* Bytes that HVO saves for one huge page of @huge bytes. */
uint64_t saving_per_page(uint64_t huge, uint64_t page, uint64_t descriptor);

/* Bytes of descriptors for @bytes of memory, all of them present. */
uint64_t saving_array(uint64_t bytes, uint64_t page, uint64_t descriptor);

#endif
