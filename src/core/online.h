/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_ONLINE_H
#define HVO_CORE_ONLINE_H

#include "machine.h"

/* Make the 1 GiB at @pfn a huge page reserved at boot: folded, state TAKEN. Returns its end. */
hvo_pfn_t vmemmap_boot_gigantic(struct hvo_machine *m, hvo_pfn_t pfn);

/* Map the descriptors of a node's memory to the frames set aside for them. At the start only. */
HVO_MUST_CHECK int vmemmap_map_node(struct hvo_machine *m, const struct node *n);

/*
 * Make the frames that hold a node's descriptors MEMMAP, in the counts too. At the start only, when
 * the descriptors of all nodes are mapped.
 */
HVO_MUST_CHECK int vmemmap_online_node(struct hvo_machine *m, const struct node *n);

/* Frames of a self-hosted section that hold the section's own descriptors. */
uint64_t vmemmap_self_hosted(const struct hvo_machine *m);

/*
 * Back the descriptors of the sections [start, end), which have none: in frames of NORMAL, or with
 * @self in the first frames of each section.
 *
 * -HVO_ENOMEM: no frames, or more runs than there is room for;
 * other errors: the platform's. Nothing changed then.
 */
HVO_MUST_CHECK int vmemmap_add_range(struct hvo_machine *m, int node, hvo_pfn_t start,
				     hvo_pfn_t end, bool self);

/*
 * Take the descriptors of the sections [start, end), of which nothing is in use, away. Waits for
 * readers. -HVO_ENOMEM: more runs than there is room for; other errors: the platform's. Nothing
 * changed then.
 */
HVO_MUST_CHECK int vmemmap_remove_range(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

#endif
