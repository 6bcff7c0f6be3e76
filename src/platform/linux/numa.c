// SPDX-License-Identifier: MIT
/*
 * Nodes of the machine on nodes of the host, through libnuma. The policy is that of
 * a file's inode, so it also holds for frames that are first touched through the
 * array. Called once, before the arena is populated.
 *
 * States: none. Locks: none.
 */
#include "host.h"

#include <errno.h>
#include <numa.h>
#include <numaif.h>
#include <string.h>

/* Bind the range of one machine node to one of the host. 0, or an errno. */
static int bind_node(const struct hvo_linux *host, uint64_t off, uint64_t len,
		     unsigned int host_node)
{
	struct bitmask *mask = numa_allocate_nodemask();
	/*
	 * If not strict preferred, not bound: when the node is full, memory of another one is better
	 * than the out-of-memory killer, which acts on a node that is used up alone.
	 */
	int mode = host->strict_numa ? MPOL_BIND : MPOL_PREFERRED;
	int rc;

	if (!mask)
		return ENOMEM;
	numa_bitmask_setbit(mask, host_node);
	/* Nothing is there yet that could lie elsewhere. */
	rc = (int)mbind(host->direct + off, len, mode, mask->maskp, mask->size + 1, 0);
	rc = rc ? errno : 0;
	numa_free_nodemask(mask);
	return rc;
}

/* Nodes of the host that this process may use, at least 1. */
static unsigned int host_nodes(unsigned int nodes[HVO_MAX_NODES])
{
	unsigned int nr = 0, i;

	nodes[0] = 0;
	if (numa_available() < 0 || !numa_all_nodes_ptr)
		return 1;
	for (i = 0; i < numa_all_nodes_ptr->size && nr < HVO_MAX_NODES; i++)
		if (numa_bitmask_isbitset(numa_all_nodes_ptr, i))
			nodes[nr++] = i;
	return nr ? nr : 1;
}

static int bind_strictly(const struct hvo_linux *host, uint64_t off, uint64_t len,
			 unsigned int host_node)
{
	int rc = host->sparse ? 0 : hvo_linux_arena_room(host, (int)host_node, len);

	if (rc)
		return rc;
	rc = bind_node(host, off, len, host_node);
	return rc ? hvo_linux_refuse(host, -HVO_ENOMEM, "strict_numa: mbind: %s", strerror(rc)) : 0;
}

/* Node for node, or not at all. */
static int bind_all_strictly(const struct hvo_linux *host, uint64_t len, uint32_t nr_nodes,
			     const unsigned int *nodes)
{
	uint32_t i;
	int rc = 0;

	if (host->lasting)
		return hvo_linux_refuse(host, -HVO_EINVAL,
					"strict_numa: a buffer or a device lies where it lies");
	if (numa_available() < 0)
		return hvo_linux_refuse(host, -HVO_EINVAL,
					"strict_numa: this system does not let memory be bound");
	if (nr_nodes > host->numa_nodes)
		return hvo_linux_refuse(
			host, -HVO_EINVAL,
			"strict_numa: the machine has %u nodes, and this process may "
			"use %u of the host",
			nr_nodes, host->numa_nodes);
	if (len % host->unit)
		return hvo_linux_refuse(
			host, -HVO_EINVAL,
			"strict_numa: a node's memory is not a multiple of the arena's "
			"pages");
	for (i = 0; !rc && i < nr_nodes; i++)
		rc = bind_strictly(host, i * len, len, nodes[i]);
	return rc;
}

int hvo_linux_numa_bind(struct hvo_linux *host, uint64_t bytes, uint32_t nr_nodes)
{
	uint64_t len = bytes / (nr_nodes ? nr_nodes : 1);
	unsigned int nodes[HVO_MAX_NODES];
	uint32_t i;

	host->numa_nodes = host_nodes(nodes);
	if (host->strict_numa)
		return bind_all_strictly(host, len, nr_nodes ? nr_nodes : 1, nodes);
	/* One machine node on many: the kernel's own policy spreads it as needed. */
	if (host->numa_nodes <= 1 || nr_nodes <= 1 || host->lasting)
		return 0;
	/* Best effort: placement is not correctness. */
	for (i = 0; i < nr_nodes; i++)
		(void)bind_node(host, i * len, len, nodes[i % host->numa_nodes]);
	return 0;
}
