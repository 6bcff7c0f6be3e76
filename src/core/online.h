/* SPDX-License-Identifier: MIT */
#ifndef HVO_CORE_ONLINE_H
#define HVO_CORE_ONLINE_H

#include "machine.h"

/* A 1 GiB page reserved at boot is one from now on, folded, state USED; returns its end. */
hvo_pfn_t vmemmap_boot_gigantic(struct hvo_machine *m, hvo_pfn_t pfn);

/* For hvo_machine_init(): map the descriptors of a node's memory to the frames set aside for them. */
HVO_MUST_CHECK int vmemmap_map_node(struct hvo_machine *m, const struct node *n);

/* Then, with those of all nodes there: the frames themselves are descriptors' from now on. */
HVO_MUST_CHECK int vmemmap_online_node(struct hvo_machine *m, const struct node *n);

/* How many frames of its own a self-hosted section needs. */
uint64_t vmemmap_self_hosted(const struct hvo_machine *m);

/*
 * Hot-plug, memmap lock held, whole sections. Descriptors for sections that have none, in frames
 * of NORMAL or in the first frames of each. -HVO_ENOMEM, nothing changed: also where these take
 * more runs than there is room for.
 */
HVO_MUST_CHECK int vmemmap_add_range(struct hvo_machine *m, int node, hvo_pfn_t start,
				     hvo_pfn_t end, bool self);

/* Their descriptors go; nobody uses anything there. The same errors. */
HVO_MUST_CHECK int vmemmap_remove_range(struct hvo_machine *m, hvo_pfn_t start, hvo_pfn_t end);

#endif
