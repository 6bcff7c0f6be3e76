// SPDX-License-Identifier: MIT
/*
 * Nodes of the machine on nodes of the host, through libnuma. The policy is that of
 * the memfd's inode, so it also holds for frames that are first touched through the
 * array. Called once, before the arena is populated.
 *
 * States: none. Locks: none.
 */
#include "host.h"

#include <numa.h>
#include <numaif.h>

/* Bind the range of one machine node. Best effort: placement is not correctness. */
static void bind_node(uint8_t *start, uint64_t len, unsigned int host_node)
{
	struct bitmask *mask = numa_allocate_nodemask();

	if (!mask)
		return;
	numa_bitmask_setbit(mask, host_node);
	/*
	 * Preferred, not bound: when the node is full, memory of another one is better
	 * than the out-of-memory killer, which acts on a node that is used up alone.
	 */
	(void)mbind(start, len, MPOL_PREFERRED, mask->maskp, mask->size + 1, 0);
	numa_free_nodemask(mask);
}

/* Returns the number of nodes of the host that this process may use, at least 1. */
uint32_t hvo_linux_numa_bind(uint8_t *direct, uint64_t bytes, uint32_t nr_nodes)
{
	unsigned int nodes[HVO_MAX_NODES], nr = 0, i;
	uint64_t len;

	if (numa_available() < 0 || !numa_all_nodes_ptr)
		return 1;
	for (i = 0; i < numa_all_nodes_ptr->size && nr < HVO_MAX_NODES; i++)
		if (numa_bitmask_isbitset(numa_all_nodes_ptr, i))
			nodes[nr++] = i;
	if (nr <= 1)
		return 1;
	/* One machine node on many: the kernel's own policy spreads it as needed. */
	if (nr_nodes <= 1)
		return nr;
	len = bytes / nr_nodes;
	for (i = 0; i < nr_nodes; i++)
		bind_node(direct + i * len, len, nodes[i % nr]);
	return nr;
}
