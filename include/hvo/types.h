/* SPDX-License-Identifier: MIT */
#ifndef HVO_TYPES_H
#define HVO_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Sizes, error numbers and plain types that every other header uses.
 *
 * Ranges are half-open everywhere: [start, end). A frame is 4 KiB; a block is
 * 2 MiB, the unit in which descriptors are folded; a section is 128 MiB.
 */

/* The version of these headers, which is that of the library they came with: hvo_version(). */
#define HVO_VERSION_MAJOR 0
#define HVO_VERSION_MINOR 1
#define HVO_VERSION_MICRO 0
#define HVO_VERSION "0.1.0"

#define HVO_FRAME_SHIFT 12
#define HVO_FRAME_SIZE (UINT64_C(1) << HVO_FRAME_SHIFT)
/*
 * These three are constants of every build but one: a machine that is checked for all interleavings
 * is built smaller, with as many descriptor pages for each pageblock.
 */
#ifndef HVO_PAGEBLOCK_ORDER
#define HVO_PAGEBLOCK_ORDER 9
#endif
#ifndef HVO_GIGA_ORDER
#define HVO_GIGA_ORDER 18
#endif
#ifndef HVO_SECTION_ORDER
#define HVO_SECTION_ORDER 15
#endif
#define HVO_PAGEBLOCK_FRAMES (1u << HVO_PAGEBLOCK_ORDER)
#define HVO_PAGEBLOCK_SIZE (HVO_FRAME_SIZE << HVO_PAGEBLOCK_ORDER)
#define HVO_MAX_ORDER HVO_GIGA_ORDER
#define HVO_SECTION_FRAMES (UINT64_C(1) << HVO_SECTION_ORDER)
#define HVO_SECTION_SIZE (HVO_FRAME_SIZE << HVO_SECTION_ORDER)

/*
 * Pages of descriptors of one pageblock, and how many of these are tails in the virtual layout; in
 * either: hvo_pageblock_tails().
 */
#define HVO_PAGEBLOCK_MEMMAP 8u
#define HVO_PAGEBLOCK_TAILS 7u

#define HVO_MAX_NODES 64
#define HVO_NODE_ANY (-1)

/* A page frame number: offset in the arena / 4096. */
typedef uint64_t hvo_pfn_t;
#define HVO_PFN_NONE UINT64_MAX

/* Results are 0 or a negative one of these; the numbers are Linux's. */
enum hvo_errno {
	HVO_EPERM = 1,
	HVO_EINTR = 4,
	HVO_E2BIG = 7,
	HVO_EAGAIN = 11,
	HVO_ENOMEM = 12,
	HVO_EFAULT = 14,
	HVO_EBUSY = 16,
	HVO_ENODEV = 19,
	HVO_EINVAL = 22,
	HVO_EFBIG = 27,
	HVO_ENOSPC = 28,
	HVO_ERANGE = 34,
	HVO_ENOSYS = 38,
	HVO_EOVERFLOW = 75,
	HVO_EOPNOTSUPP = 95,
};

#define HVO_MUST_CHECK __attribute__((warn_unused_result))

/*
 * Structures that the caller allocates begin with their size, so that they can grow:
 *
 *	struct hvo_pool_stat stat = { .size = sizeof(stat) };
 *
 * A program and a library that know different versions of one agree on what both know. What the
 * library reads: fields behind @size are zero; all bytes behind what the library knows must be,
 * or the call fails with -HVO_E2BIG. What the library writes: never more than @size bytes, with
 * zeroes behind what it knows; @size stays. New fields come at the end, never into padding.
 *
 * -HVO_EINVAL: @size is less than HVO_SIZE_MIN, as it is when nobody set it; or functions that
 * the library is to call are missing. -HVO_E2BIG: @size is more than HVO_SIZE_MAX. Nothing has
 * happened then. This holds for every function that takes such a structure.
 */
#define HVO_SIZE_MIN 16u
#define HVO_SIZE_MAX 4096u

/*
 * What may be done in steps (hvo_work(), hvo_collapse(), hvo_report_free(), hvo_compact()) returns how
 * much was done, or a negative error, and says in *@ret_more whether it ended because of the
 * caller's bound, so that another call now may do more. @ret_more may be NULL; after an error
 * it is untouched.
 *
 * A machine that is gone (hvo_machine_abandon()) answers every call with -HVO_ENODEV, or with what the
 * call has for "nothing": NULL, false, HVO_PFN_NONE.
 */

struct hvo_machine;
struct hvo_pool;

#endif
