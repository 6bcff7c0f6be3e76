// SPDX-License-Identifier: MIT
/*
 * hvo serve: a machine that others use through files in the kernel's own form.
 */
#include "background.h"
#include "cli/commands.h"
#include "common/args.h"
#include "common/box.h"
#include "common/cli.h"
#include "common/events.h"
#include "fuse.h"
#include "lend/lend.h"
#include "path/path.h"

#include <hvo/contig.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
	"usage: hvo serve --mount DIR [options]\n"
	"\n"
	"Build a machine and mount it: its pools, nodes, zones and counters as the files\n"
	"that Linux has for them, DIR/sys/... and DIR/proc/.... Until SIGINT or SIGTERM,\n"
	"or until DIR is unmounted (fusermount3 -u DIR).\n"
	"\n"
	"  --mount DIR         an empty directory\n"
	"  --background        return when it is mounted, and serve until it is unmounted\n"
	"  --memory SIZE       of all nodes, such as 4G: a multiple of 128 MiB for each\n"
	"                      (default 1G)\n"
	"  --nodes N           NUMA nodes (default 1)\n"
	"  --movable-nodes 1,3 nodes whose memory is all movable\n"
	"  --movable SIZE      of each node, in ZONE_MOVABLE\n"
	"  --cma SIZE          of each node, a CMA area\n"
	"  --hotplug SIZE      address space for memory that is added later\n"
	"  --memmap-on-memory  what is added holds its own descriptors\n"
	"  --mode NAME         on-demand (default): descriptors only where memory is cut;\n"
	"                      linux: all exist, and those of huge pages are folded\n"
	"  --layout NAME       how descriptors are found: through a table (default on\n"
	"                      demand), or virtual, in an array of mappings (linux)\n"
	"  --policy NAME       linux: how descriptors are restored (default mayfail)\n"
	"  --hugepagesz SIZE   a pool of such pages; again for another (else 2M and 1G)\n"
	"  --hugepages SIZE=N  so many of them from the start; N may be 0:2,1:3, by node\n"
	"  --sparse            take memory from the system when it is first touched\n"
	"  --socket PATH       lend huge pages to other processes there (hvo client)\n"
	"  --quota-client SIZE what one client may have at a time (default: no limit)\n"
	"  --quota-user SIZE   what all clients of one user may have together\n"
	"  --allow-uid N       a user who may borrow besides this one and root; again\n"
	"                      for another\n"
	"  --platform NAME     linux, memory of this process (default); sim, simulated\n"
	"  --seed N            sim: all that is random follows from it (default 1)\n";

#define DEFAULT_MEMORY (UINT64_C(1) << 30)

/* A pool, and how many pages it is to have at the start; on which nodes, if that was said. */
struct pool_option {
	unsigned int order;
	uint64_t nr;
	uint64_t named; /* bit n: node n was */
	uint32_t nodes[HVO_MAX_NODES];
};

struct serve_options {
	struct hvo_config cfg;
	const struct hvo_policy *policy;
	struct pool_option pools[HVO_MAX_POOLS];
	unsigned int nr_pools;
	bool sizes_given; /* by --hugepagesz */
	bool sim, sparse, background;
	uint64_t seed;
	const char *mount;
	int mount_dir; /* that very directory */
	struct tree_options tree;
	struct lend_options lend; /* none without its path */
	bool quotas;
};

/* ---- options --------------------------------------------------------------- */

static int set_size(const struct arg_spec *spec, const char *value, void *to)
{
	int status = args_store_size(spec, value, to);

	if (!status && *(uint64_t *)to % HVO_SECTION_SIZE)
		return args_error("%s: %s is not a multiple of 128 MiB", spec->name, value);
	return status;
}

static int set_policy(void *arg, const char *value)
{
	struct serve_options *opt = arg;
	const struct hvo_policy *policy;
	char names[256] = "";
	unsigned int i;

	opt->policy = hvo_policy_find(value);
	if (opt->policy)
		return CLI_OK;
	for (i = 0; (policy = hvo_policy_get(i)); i++) {
		strncat(names, " ", sizeof(names) - strlen(names) - 1);
		strncat(names, policy->name, sizeof(names) - strlen(names) - 1);
	}
	return args_error("--policy: '%s' is none of%s", value, names);
}

/* The pool of this size of page, a new one if there is none yet; NULL: a line was printed. */
static struct pool_option *pool_option(struct serve_options *opt, const char *name,
				       const char *value, uint64_t bytes)
{
	unsigned int order = args_page_order(bytes), i;

	if (!order) {
		args_error("%s: '%s': huge pages are of 2M, 4M, 8M, ... 1G", name, value);
		return NULL;
	}
	for (i = 0; i < opt->nr_pools; i++)
		if (opt->pools[i].order == order)
			return &opt->pools[i];
	if (opt->nr_pools == HVO_MAX_POOLS) {
		args_error("%s: a machine has at most %d sizes of page", name, HVO_MAX_POOLS);
		return NULL;
	}
	opt->pools[opt->nr_pools] = (struct pool_option){ .order = order };
	return &opt->pools[opt->nr_pools++];
}

static int set_hugepagesz(void *arg, const char *value)
{
	struct serve_options *opt = arg;
	uint64_t bytes = 0;

	opt->sizes_given = true;
	if (args_size(value, &bytes))
		return args_error("--hugepagesz: '%s' is not a size of pages such as 2M or 1G",
				  value);
	return pool_option(opt, "--hugepagesz", value, bytes) ? CLI_OK : CLI_USAGE;
}

/* As 0:2,1:3. */
static int set_each_node(struct pool_option *pool, const char *value)
{
	char text[1024], *item, *rest = text, *nr;
	uint64_t node, pages;
	int status;

	if ((size_t)snprintf(text, sizeof(text), "%s", value) >= sizeof(text))
		return args_error("--hugepages: '%s' is too long", value);
	*pool = (struct pool_option){ .order = pool->order };
	while ((item = strsep(&rest, ","))) {
		nr = strchr(item, ':');
		if (!nr)
			return args_error("--hugepages: '%s' is not as 0:2,1:3", value);
		*nr++ = '\0';
		status = args_number("--hugepages", item, 0, HVO_MAX_NODES - 1, &node);
		if (!status)
			status = args_number("--hugepages", nr, 0, UINT32_MAX, &pages);
		if (status)
			return status;
		if (pool->named >> node & 1)
			return args_error("--hugepages: node %" PRIu64 " twice", node);
		pool->named |= UINT64_C(1) << node;
		pool->nodes[node] = (uint32_t)pages;
		pool->nr += pages;
	}
	return CLI_OK;
}

static int set_movable_nodes(void *arg, const char *value)
{
	struct serve_options *opt = arg;
	char text[256], *item, *rest = text;
	uint64_t node;
	int status;

	if ((size_t)snprintf(text, sizeof(text), "%s", value) >= sizeof(text))
		return args_error("--movable-nodes: '%s' is too long", value);
	while ((item = strsep(&rest, ","))) {
		status = args_number("--movable-nodes", item, 0, HVO_MAX_NODES - 1, &node);
		if (status)
			return status;
		opt->cfg.movable_nodes |= UINT64_C(1) << node;
	}
	return CLI_OK;
}

static int set_hugepages(void *arg, const char *value)
{
	struct pool_option *pool;
	uint64_t bytes;
	const char *nr;

	if (args_pages("--hugepages", value, &bytes, &nr))
		return CLI_USAGE;
	pool = pool_option(arg, "--hugepages", value, bytes);
	if (!pool)
		return CLI_USAGE;
	if (strchr(nr, ':'))
		return set_each_node(pool, nr);
	*pool = (struct pool_option){ .order = pool->order };
	return args_number("--hugepages", nr, 0, UINT32_MAX, &pool->nr);
}

static int set_quota(struct serve_options *opt, const char *name, const char *value, uint64_t *ret)
{
	opt->quotas = true;
	if (args_size(value, ret) || !*ret)
		return args_error("%s: '%s' is not a size such as 512M or 2G", name, value);
	return CLI_OK;
}

static int set_quota_client(void *arg, const char *value)
{
	struct serve_options *opt = arg;

	return set_quota(opt, "--quota-client", value, &opt->lend.client_bytes);
}

static int set_quota_user(void *arg, const char *value)
{
	struct serve_options *opt = arg;

	return set_quota(opt, "--quota-user", value, &opt->lend.user_bytes);
}

static int set_allow_uid(void *arg, const char *value)
{
	struct lend_options *lend = &((struct serve_options *)arg)->lend;
	uint64_t uid = 0;
	int status = args_number("--allow-uid", value, 0, UINT32_MAX - 1, &uid);

	if (status)
		return status;
	if (lend->nr_uids == LEND_MAX_UIDS)
		return args_error("--allow-uid: no more than %u users", LEND_MAX_UIDS);
	lend->uids[lend->nr_uids++] = (uid_t)uid;
	return CLI_OK;
}

static const struct arg_spec specs[] = {
	ARG_TEXT("--mount", struct serve_options, mount),
	ARG_FLAG("--background", struct serve_options, background),
	ARG_MEMORY(struct serve_options, cfg.memory_bytes),
	ARG_NODES(struct serve_options, cfg.nr_nodes),
	ARG_STORE("--movable", set_size, struct serve_options, cfg.movable_bytes, uint64_t),
	ARG_CALL("--movable-nodes", true, set_movable_nodes),
	ARG_STORE("--cma", set_size, struct serve_options, cfg.cma_bytes, uint64_t),
	ARG_STORE("--hotplug", set_size, struct serve_options, cfg.hotplug_bytes, uint64_t),
	ARG_FLAG("--memmap-on-memory", struct serve_options, tree.memmap_on_memory),
	ARG_MODE(struct serve_options, cfg.mode),
	ARG_LAYOUT(struct serve_options, cfg.layout),
	ARG_CALL("--policy", true, set_policy),
	ARG_CALL("--hugepagesz", true, set_hugepagesz),
	ARG_CALL("--hugepages", true, set_hugepages),
	ARG_FLAG("--sparse", struct serve_options, sparse),
	ARG_PLATFORM(struct serve_options, sim),
	ARG_SEED(struct serve_options, seed),
	ARG_TEXT("--socket", struct serve_options, lend.path),
	ARG_CALL("--quota-client", true, set_quota_client),
	ARG_CALL("--quota-user", true, set_quota_user),
	ARG_CALL("--allow-uid", true, set_allow_uid),
	ARG_END,
};

static int check_lend_options(const struct serve_options *opt)
{
	if (!opt->lend.path && (opt->quotas || opt->lend.nr_uids))
		return args_error(
			"--quota-client, --quota-user and --allow-uid are for --socket PATH");
	if (opt->lend.path && opt->sim)
		return args_error(
			"--socket: simulated memory cannot be lent; leave --platform sim out");
	return CLI_OK;
}

/* Nodes that were named, and 1 GiB pages, which come before anything else. */
static int check_nodes(struct serve_options *opt)
{
	struct hvo_config *cfg = &opt->cfg;
	uint64_t all = UINT64_MAX >> (64 - cfg->nr_nodes);
	unsigned int i;

	if (cfg->movable_nodes & ~all)
		return args_error("--movable-nodes: the last node is %" PRIu32, cfg->nr_nodes - 1);
	if (cfg->movable_nodes == all)
		return args_error("--movable-nodes: one node at least has other memory, too");
	for (i = 0; i < opt->nr_pools; i++) {
		const struct pool_option *pool = &opt->pools[i];

		if (pool->named & ~all)
			return args_error("--hugepages: the last node is %" PRIu32,
					  cfg->nr_nodes - 1);
		if (pool->order != HVO_GIGA_ORDER)
			continue;
		cfg->boot_gigantic = (uint32_t)pool->nr;
		memcpy(cfg->boot_gigantic_nodes, pool->nodes, sizeof(pool->nodes));
	}
	return CLI_OK;
}

/* @why begins with a field of the configuration: the option that sets it has nearly the same name. */
static int wrong_field(const char *why)
{
	char option[32];
	size_t i, len = strcspn(why, ":");

	if (!strncmp(why, "nr_", 3)) {
		why += 3;
		len -= 3;
	}
	for (i = 0; i < len && i < sizeof(option) - 1 && strncmp(why + i, "_bytes:", 7); i++)
		option[i] = why[i] == '_' ? '-' : why[i];
	option[i] = '\0';
	return args_error("--%s%s; together with --memory no machine can be like this", option,
			  why + len);
}

/* What fits together, and what is left to defaults. */
static int check_options(struct serve_options *opt)
{
	struct hvo_config *cfg = &opt->cfg;
	char why[80];

	if (!opt->mount)
		return args_error("--mount is missing: where is the machine to be seen?");
	if (check_lend_options(opt))
		return CLI_USAGE;
	if (args_memory(&cfg->memory_bytes, cfg->nr_nodes, DEFAULT_MEMORY))
		return CLI_USAGE;
	if (!opt->sizes_given) {
		(void)pool_option(opt, "--hugepagesz", "2M", HVO_PAGEBLOCK_SIZE);
		if (opt->nr_pools < HVO_MAX_POOLS)
			(void)pool_option(opt, "--hugepagesz", "1G",
					  HVO_FRAME_SIZE << HVO_GIGA_ORDER);
	}
	if (opt->policy && cfg->mode != HVO_LINUX)
		return args_error("--policy is for --mode linux: on-demand mode restores nothing");
	if (check_nodes(opt))
		return CLI_USAGE;
	if (hvo_config_check(cfg, why, sizeof(why)))
		return wrong_field(why);
	return CLI_OK;
}

/* ---- the machine -------------------------------------------------------------- */

struct server {
	struct box box;
	struct tree *tree;
	struct lend *lend; /* or NULL */
	struct events events;
	struct hvofs *fs;
};

static int open_machine(struct server *s, const struct serve_options *opt)
{
	struct hvo_linux_options host = { .size = sizeof(host),
					  .worker = true,
					  .sparse = opt->sparse };
	int rc = box_open(&s->box, &opt->cfg, opt->sim, &host, opt->seed);

	if (!rc) {
		events_count(&s->events, &s->box);
		return CLI_OK;
	}
	return cli_error("no memory for the machine: %s; try a smaller --memory%s", strerror(-rc),
			 opt->sparse ? "" : ", or --sparse");
}

static int fill_pool(struct hvo_pool *pool, const struct pool_option *want)
{
	static const struct hvo_resize_options at_boot = { .size = sizeof(at_boot), .boot = true };
	int rc = 0, n;

	if (!want->named)
		return hvo_pool_resize_with(pool, HVO_NODE_ANY, want->nr, &at_boot, NULL);
	for (n = 0; n < HVO_MAX_NODES && !rc; n++)
		if (want->named >> n & 1)
			rc = hvo_pool_resize_with(pool, n, want->nodes[n], &at_boot, NULL);
	return rc;
}

/* All CMA memory of a node is one area. */
static int open_areas(struct server *s, const struct serve_options *opt)
{
	struct hvo_cma *cma;
	uint32_t node;
	int rc = 0;

	for (node = 0; node < opt->cfg.nr_nodes && node < HVO_MAX_CMA && opt->cfg.cma_bytes && !rc;
	     node++)
		rc = hvo_cma_create(s->box.m, (int)node, opt->cfg.cma_bytes >> HVO_FRAME_SHIFT,
				    &cma);
	if (!rc)
		return CLI_OK;
	return cli_error("a CMA area could not be made: %s", strerror(-rc));
}

static int open_pool(struct server *s, const struct serve_options *opt,
		     const struct pool_option *want)
{
	struct hvo_pool *pool = hvo_pool_find(s->box.m, want->order); /* of the start, if any */
	struct hvo_pool_stat stat = { .size = sizeof(stat) };
	int rc = pool ? 0 : hvo_pool_create(s->box.m, want->order, &pool);

	if (!rc && opt->policy)
		rc = hvo_pool_set_policy(pool, opt->policy);
	if (!rc && want->nr)
		rc = fill_pool(pool, want);
	if (!rc)
		rc = hvo_pool_stat(pool, HVO_NODE_ANY, &stat);
	if (rc)
		return cli_error("a pool could not be made: %s", strerror(-rc));
	/* As the kernel does at boot: it says so, and goes on. */
	if (stat.total < want->nr)
		cli_error("--hugepages: %" PRIu64 " of %" PRIu64 " pages of %" PRIu64
			  " MiB; there is no room for more",
			  stat.total, want->nr, (HVO_FRAME_SIZE << want->order) >> 20);
	return CLI_OK;
}

static int open_tree(struct server *s, const struct serve_options *opt)
{
	int rc = tree_new(s->box.m, &opt->tree, &s->tree);

	if (!rc)
		rc = events_add(&s->events, s->tree);
	if (!rc)
		return CLI_OK;
	return cli_error("%s", strerror(-rc));
}

static int open_lend(struct server *s, const struct serve_options *opt)
{
	int rc = lend_start(s->box.on_linux, &opt->lend, &s->lend);

	if (rc)
		return cli_error("--socket %s: %s", opt->lend.path,
				 rc == -EADDRINUSE ?
					 "somebody serves there already; take another path" :
					 path_error(rc));
	rc = lend_add_files(s->lend, s->tree);
	if (!rc)
		return CLI_OK;
	return cli_error("%s", strerror(-rc));
}

static int open_server(struct server *s, const struct serve_options *opt)
{
	unsigned int i;
	int status = open_machine(s, opt);

	if (!status)
		status = open_areas(s, opt);
	for (i = 0; i < opt->nr_pools && !status; i++)
		status = open_pool(s, opt, &opt->pools[i]);
	if (!status)
		status = open_tree(s, opt);
	if (!status && opt->lend.path)
		status = open_lend(s, opt);
	/* A simulation is for one thread. */
	if (!status)
		status = hvofs_mount(s->tree, s->box.m, opt->mount, opt->mount_dir, !opt->sim,
				     &s->fs);
	return status;
}

static void close_server(struct server *s)
{
	if (s->fs)
		hvofs_free(s->fs);
	tree_free(s->tree);
	/* What cannot be given back to the machine goes with it. */
	(void)lend_stop(s->lend);
	box_close(&s->box);
}

/* @ready: for background_ready(); -1: in the foreground. */
static int serve(const struct serve_options *opt, int ready)
{
	struct server s = { .tree = NULL };
	int status = open_server(&s, opt);

	if (!status) {
		printf("serving %" PRIu64 " MiB on %" PRIu32 " node%s at %s\n",
		       opt->cfg.memory_bytes >> 20, opt->cfg.nr_nodes,
		       opt->cfg.nr_nodes == 1 ? "" : "s", opt->mount);
		status = cli_flush();
	}
	if (!status && ready >= 0)
		status = background_ready(ready);
	if (!status)
		status = hvofs_run(s.fs);
	close_server(&s);
	return status;
}

int cli_serve(char **args)
{
	struct serve_options opt = {
		.seed = 1, .cfg = { .size = sizeof(opt.cfg), .nr_nodes = 1, .optimize = true }
	};
	int status, ready = -1;

	if (args_want_help(args))
		return cli_help(help);
	status = args_parse(specs, args, &opt, NULL);
	if (!status)
		status = check_options(&opt);
	if (!status)
		status = hvofs_check(opt.mount, &opt.mount_dir);
	if (status)
		return status;
	if (opt.background) {
		status = background_fork(&ready);
		if (status >= 0)
			return status;
	}
	return serve(&opt, ready);
}
