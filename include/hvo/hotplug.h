/* SPDX-License-Identifier: MIT */
#ifndef HVO_HOTPLUG_H
#define HVO_HOTPLUG_H

#include <hvo/hvo.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Memory that comes and goes, in sections of 128 MiB.
 *
 * Ranges are half-open and in frames. Everything here may wait, and none of it may be called
 * from a shrinker or from an owner's functions, unless its Context says otherwise.
 */

/* ---- hot-plug --------------------------------------------------------------------------------- */

enum hvo_section_state {
	HVO_SECTION_ABSENT = 0,	 /* address space without memory */
	HVO_SECTION_OFFLINE = 1, /* memory, with descriptors, that nobody uses */
	HVO_SECTION_ONLINE = 2,
};

/* Descriptors of added memory lie in itself. */
#define HVO_MEMMAP_ON_MEMORY 0x1u

/**
 * hvo_memory_add() - add memory at absent sections
 * @node: that it belongs to
 * @start, @end: multiples of a section (128 MiB)
 * @flags: HVO_MEMMAP_ON_MEMORY or 0
 *
 * Its head pages (in Linux mode: all descriptors) take frames of NORMAL, or the first frames of
 * the memory itself. Linux mode then never folds the pages in it.
 *
 * Context: may wait; not from a shrinker, nor from an owner's functions.
 * Return: 0; -HVO_EINVAL; -HVO_EBUSY: there is memory; -HVO_ENOMEM. After an error nothing has changed.
 */
HVO_MUST_CHECK int hvo_memory_add(struct hvo_machine *m, int node, hvo_pfn_t start, hvo_pfn_t end,
				  unsigned int flags);

/**
 * hvo_memory_online() - give offline memory to a zone
 * @zone: NORMAL or MOVABLE
 *
 * Context: may wait; not from a shrinker, nor from an owner's functions.
 * Return: 0; -HVO_EINVAL; -HVO_EBUSY: not offline; -HVO_ENOMEM. After an error nothing has changed.
 */
HVO_MUST_CHECK int hvo_memory_online(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end,
				     enum hvo_zone_type zone);

/**
 * hvo_memory_offline() - take memory out of use
 *
 * What is in use moves to other nodes, if any of them has memory; where they have no room, Linux
 * mode gives up and on-demand mode takes the node itself. Free huge pages are dissolved; those that
 * are reserved are replaced, by the same rule. CMA memory stays.
 *
 * Context: may wait; not from a shrinker, nor from an owner's functions.
 * Return: 0; -HVO_EINVAL: not online; -HVO_EBUSY: something cannot be moved; -HVO_ENOMEM: no place
 * for it, or, in Linux mode, for the descriptors of a huge page. After an error all of it is
 * online; what was moved or dissolved stays so.
 */
HVO_MUST_CHECK int hvo_memory_offline(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

/**
 * hvo_memory_remove() - give offline memory back to the system, with its descriptors
 *
 * Context: may wait; not from a shrinker, nor from an owner's functions.
 * Return: 0; -HVO_EINVAL; -HVO_EBUSY: not offline; -HVO_ENOMEM: a mapping was refused, nothing changed.
 */
HVO_MUST_CHECK int hvo_memory_remove(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

/**
 * hvo_section_state() - whether a section of memory is there, and online
 * @pfn: any frame of it
 *
 * Context: any.
 * Return: enum hvo_section_state; absent beyond the end of the address space.
 */
enum hvo_section_state hvo_section_state(struct hvo_machine *m, hvo_pfn_t pfn);

/**
 * struct hvo_section_info - a section of 128 MiB
 * @size: sizeof(struct hvo_section_info), see types.h
 * @state: as hvo_section_state() says; absent beyond the end of the address space
 * @node: that it belongs to; -1 if it is absent
 * @zone: where it is online, enum hvo_zone_type; -1 if it is not
 * @self_hosted: its descriptors lie in itself, HVO_MEMMAP_ON_MEMORY
 */
struct hvo_section_info {
	uint32_t size;
	enum hvo_section_state state;
	int node;
	int zone;
	bool self_hosted;
};

/**
 * hvo_section_info() - hvo_section_state() and more
 *
 * What comes or goes meanwhile is seen before or after.
 *
 * Context: any.
 * Return: 0; -HVO_ENODEV: the machine is gone, *@ret untouched.
 */
int hvo_section_info(struct hvo_machine *m, hvo_pfn_t pfn, struct hvo_section_info *ret);

#ifdef __cplusplus
}
#endif

#endif
