// SPDX-License-Identifier: MIT
/*
 * hvo pool: change the pools of a kernel, or of a served machine, and tell what came of it.
 */
#include "cli/commands.h"
#include "cli/files/memory.h"
#include "cli/files/pools.h"
#include "cli/files/saving.h"
#include "common/args.h"
#include "common/cli.h"
#include "common/table.h"
#include "common/text.h"
#include "resize.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_SIZES 16u
#define NS_PER_S UINT64_C(1000000000)
#define PROGRESS_AFTER_NS (2 * NS_PER_S)
/* Of a write: long enough for its fixed costs, short enough to see that it moves. */
#define STEP_BYTES (UINT64_C(1) << 30)
#define MAX_WAIT_S UINT64_C(31536000)
#define NAMES_LEN 256

static const char help[] =
	"usage: hvo pool list                       what is in the pools of huge pages\n"
	"       hvo pool set SIZE=PAGES ...         make pools this large: 2M=1024 1G=4\n"
	"       hvo pool demote SIZE=PAGES ...      turn free pages into smaller ones\n"
	"       hvo pool overcommit SIZE=PAGES ...  limit of surplus pages\n"
	"       hvo pool optimize on|off            HVO, for pages allocated from then on\n"
	"\n"
	"  --node N         set, demote: of this node only\n"
	"  --wait[=SECONDS] set, demote: go on until it is done, or for so long\n"
	"  --root DIR       of the machine that is served at DIR, not of the kernel\n"
	"  --json           the results as JSON\n"
	"\n"
	"Linux calls it a success if pages are missing or were not freed. Here the pools\n"
	"are read back; a refused free is tried again as Linux has it (raise, then\n"
	"lower), as long as something changes; and what is left is told, with what is\n"
	"known of the reason. A pool counts its persistent pages; surplus pages within\n"
	"overcommit are their users'.\n"
	"\n"
	"Exit status: 0 if all is as asked, 1 if not, 2 for nonsense arguments.\n";

/* ---- arguments ---------------------------------------------------------------- */

struct ask {
	uint64_t bytes, nr;
	struct pool_info *pool;
};

struct options {
	const char *dir;
	bool json;
	int node;
	uint64_t wait_ns;
	struct ask ask[MAX_SIZES];
	unsigned int nr;
	int optimize; /* -1: not said */
};

static int set_wait(void *arg, const char *value)
{
	struct options *opt = arg;

	(void)value;
	opt->wait_ns = RESIZE_WAIT_FOREVER;
	return CLI_OK;
}

static int set_wait_seconds(void *arg, const char *value)
{
	struct options *opt = arg;
	uint64_t n = 0;
	int status = args_number("--wait", value, 0, MAX_WAIT_S, &n);

	opt->wait_ns = n * NS_PER_S;
	return status;
}

static int add_ask(void *arg, const char *value)
{
	struct options *opt = arg;
	struct ask *ask = &opt->ask[opt->nr];
	const char *nr;
	unsigned int i;

	if (args_pages("pool", value, &ask->bytes, &nr) ||
	    args_number(value, nr, 0, INT64_MAX, &ask->nr))
		return CLI_USAGE;
	for (i = 0; i < opt->nr; i++)
		if (opt->ask[i].bytes == ask->bytes)
			return args_error("'%s': this size was given already", value);
	if (++opt->nr == MAX_SIZES)
		return args_error("there are no %u sizes of huge pages", MAX_SIZES);
	return CLI_OK;
}

static int set_optimize(void *arg, const char *value)
{
	struct options *opt = arg;

	if (opt->optimize >= 0)
		return args_surplus(value);
	if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
		return args_error("pool optimize: '%s' is neither on nor off", value);
	opt->optimize = !strcmp(value, "on");
	return CLI_OK;
}

static const struct arg_spec plain_specs[] = {
	ARG_TEXT("--root", struct options, dir),
	ARG_FLAG("--json", struct options, json),
	ARG_END,
};

static const struct arg_spec change_specs[] = {
	ARG_TEXT("--root", struct options, dir),
	ARG_FLAG("--json", struct options, json),
	ARG_NUMBER("--node", struct options, node, 0, INT16_MAX),
	ARG_CALL("--wait=", true, set_wait_seconds),
	ARG_CALL("--wait", false, set_wait),
	ARG_END,
};

/* Sizes and nodes that the tree does not have. */
static int find_asked(struct options *opt, const struct pools *pools)
{
	char names[NAMES_LEN], name[POOLS_NAME_LEN];
	unsigned int i;

	if (opt->node != POOLS_ALL_NODES && !pools_has_node(pools, opt->node)) {
		pools_node_names(pools, names, sizeof(names));
		return args_error("--node: there is no node %d; nodes are: %s", opt->node, names);
	}
	for (i = 0; i < opt->nr; i++) {
		opt->ask[i].pool = pools_find(pools, opt->ask[i].bytes);
		pools_name(name, opt->ask[i].bytes);
		if (!opt->ask[i].pool) {
			pools_names(pools, names, sizeof(names));
			return args_error("there are no huge pages of %s; sizes are: %s",
					  opt->ask[i].bytes < 1024 ? "so few bytes" : name, names);
		}
		if (opt->node != POOLS_ALL_NODES && !pool_node(opt->ask[i].pool, opt->node))
			return args_error("--node: node %d has no pool of %s", opt->node, name);
	}
	return CLI_OK;
}

/* Linux would try, and leave no memory to anybody. */
static int check_fits(const struct options *opt, const struct root *root)
{
	struct memory_info memory;
	char name[POOLS_NAME_LEN], has[TABLE_SIZE_LEN];
	uint64_t sum = 0, bytes;
	unsigned int i;

	if (memory_read(root, opt->node, &memory))
		return CLI_OK;
	for (i = 0; i < opt->nr; i++) {
		if (__builtin_mul_overflow(opt->ask[i].nr, opt->ask[i].bytes, &bytes) ||
		    __builtin_add_overflow(sum, bytes, &sum) || sum > memory.total)
			return args_error("%s=%" PRIu64 ": that is more than the %s of memory %s",
					  pools_name(name, opt->ask[i].bytes), opt->ask[i].nr,
					  table_size(has, memory.total),
					  opt->node == POOLS_ALL_NODES ? "there are" :
									 "of this node");
	}
	return CLI_OK;
}

/* ---- files ---------------------------------------------------------------------- */

/* Set by a signal: what is being done is brought to a good state, and told. */
static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
}

/* A pool of a tree as resize.h wants it. */
struct files {
	const struct root *root;
	const char *dir;
	struct pool_info *pool;
	int node;
	char path[ROOT_PATH_MAX]; /* of the last file that was written, or could not be read */
	uint64_t start_ns;
	bool shown;
};

static uint64_t files_now(void *ctx)
{
	(void)ctx;
	return cli_now_ns();
}

static int files_read(void *ctx, struct resize_counts *ret)
{
	struct files *f = ctx;
	const struct pool_node *node;
	struct pool_counts c;
	int rc = pool_read(f->root, f->pool, f->path);

	if (rc)
		return rc;
	node = f->node == POOLS_ALL_NODES ? NULL : pool_node(f->pool, f->node);
	c = node ? node->counts : f->pool->all;
	ret->total = c.total;
	ret->free = c.free;
	ret->surplus = c.surplus;
	ret->stuck = pool_stuck(f->pool, f->node);
	ret->reserved = f->pool->reserved;
	ret->overcommit = f->pool->overcommit;
	return 0;
}

static void name_file(struct files *f, const char *name)
{
	uint64_t kib = f->pool->bytes / 1024;

	if (f->node == POOLS_ALL_NODES)
		(void)snprintf(f->path, sizeof(f->path),
			       "sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/%s", kib, name);
	else
		(void)snprintf(f->path, sizeof(f->path),
			       "sys/devices/system/node/node%d/hugepages/hugepages-%" PRIu64
			       "kB/%s",
			       f->node, kib, name);
}

static int write_number(struct files *f, const char *name, uint64_t nr)
{
	char text[32];

	name_file(f, name);
	(void)snprintf(text, sizeof(text), "%" PRIu64 "\n", nr);
	return root_write(f->root, text, "%s", f->path);
}

static int files_write_nr(void *ctx, uint64_t nr)
{
	return write_number(ctx, "nr_hugepages", nr);
}

static int files_demote(void *ctx, uint64_t nr)
{
	return write_number(ctx, "demote", nr);
}

static void files_pause(void *ctx, uint64_t ns)
{
	struct timespec ts = { (time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S) };

	(void)ctx;
	(void)nanosleep(&ts, NULL);
}

static bool files_interrupted(void *ctx)
{
	(void)ctx;
	return stop;
}

static void files_progress(void *ctx, const struct resize_counts *now, uint64_t wanted)
{
	struct files *f = ctx;
	uint64_t ns = files_now(f) - f->start_ns;
	char size[TABLE_SIZE_LEN];

	if (ns < PROGRESS_AFTER_NS || !isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r  %s: %" PRIu64 " pages, %" PRIu64 " wanted, %" PRIu64 " s\033[K",
		table_size(size, f->pool->bytes), now->total, wanted, ns / NS_PER_S);
	f->shown = true;
}

static const struct resize_ops files_ops = {
	.read = files_read,
	.write_nr = files_write_nr,
	.demote = files_demote,
	.now_ns = files_now,
	.pause = files_pause,
	.interrupted = files_interrupted,
	.progress = files_progress,
};

static struct files files_of(const struct options *opt, const struct root *root,
			     struct pool_info *pool)
{
	struct files f = { .root = root,
			   .dir = opt->dir,
			   .pool = pool,
			   .node = opt->node,
			   .start_ns = files_now(NULL) };

	return f;
}

static void end_progress(const struct files *f)
{
	if (f->shown)
		fputs("\r\033[K", stderr);
}

static json_t *json_error(int err)
{
	return err ? json_string(strerror(-err)) : json_null();
}

static json_t *json_node(int node)
{
	return node == POOLS_ALL_NODES ? json_null() : json_integer(node);
}

static json_t *json_counts(const struct resize_counts *c)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "total", (json_int_t)c->total, "free",
			 (json_int_t)c->free, "surplus", (json_int_t)c->surplus, "reserved",
			 (json_int_t)c->reserved, "overcommit", (json_int_t)c->overcommit);
}

static json_t *add_outcome(json_t *j, const struct resize_counts *before,
			   const struct resize_counts *after, int err)
{
	json_object_set_new(j, "before", json_counts(before));
	json_object_set_new(j, "after", json_counts(after));
	json_object_set_new(j, "error", json_error(err));
	return j;
}

/* ---- set --------------------------------------------------------------------------- */

static const char *pages(uint64_t nr)
{
	return nr == 1 ? "page" : "pages";
}

static void tell_missing(FILE *out, const struct options *opt, const struct root *root,
			 const struct pool_info *pool, const struct resize_report *r)
{
	char free[TABLE_SIZE_LEN], whole[TABLE_SIZE_LEN], size[TABLE_SIZE_LEN];
	struct memory_info memory;
	uint64_t bytes;

	fprintf(out, "  %" PRIu64 " missing: ", r->missing);
	if (r->interrupted) {
		fprintf(out, "interrupted\n");
		return;
	}
	fprintf(out, "no contiguous memory for more");
	if (!memory_read(root, opt->node, &memory)) {
		fprintf(out, "; %s free", table_size(free, memory.free));
		if (!memory_whole_free(root, opt->node, pool->bytes, &bytes))
			fprintf(out, ", of it %s in blocks of %s or more", table_size(whole, bytes),
				table_size(size, pool->bytes));
	}
	fputc('\n', out);
}

static void tell_room(FILE *out, const struct options *opt, const struct root *root)
{
	char free[TABLE_SIZE_LEN], room[TABLE_SIZE_LEN];
	struct memory_info memory;
	uint64_t bytes;

	if (memory_read(root, opt->node, &memory))
		return;
	fprintf(out, "    %s free", table_size(free, memory.free));
	if (!memory_for_descriptors(root, opt->node, &bytes))
		fprintf(out, ", %s of it for that: above the min watermark, not in Movable",
			table_size(room, bytes));
	fputc('\n', out);
}

static void tell_refused(FILE *out, const struct options *opt, const struct root *root,
			 const struct pool_info *pool, const struct resize_report *r)
{
	uint64_t each = saving_per_page(pool->bytes, saving_base_page(), SAVING_DESCRIPTOR);
	char need[TABLE_SIZE_LEN], all[TABLE_SIZE_LEN];
	uint64_t on;

	fprintf(out, "  %" PRIu64 " refused: free, but not freed; tried %" PRIu64 " time%s\n",
		r->refused, r->retries + 1, r->retries ? "s" : "");
	if (!root_number(root, &on, MEMORY_SWITCH) && each) {
		fprintf(out, "    HVO: no memory for their descriptors, %s each, %s\n",
			table_size(need, each), table_size(all, each * r->refused));
		tell_room(out, opt, root);
	}
	fprintf(out, "    when there is memory: the same again, with --wait\n");
}

static void tell_held(FILE *out, const struct resize_report *r)
{
	const struct resize_counts *c = &r->after;
	uint64_t used = c->total > c->free ? c->total - c->free : 0;

	fprintf(out,
		"  %" PRIu64 " held: surplus until users let go (%" PRIu64 " in use, %" PRIu64
		" reserved)\n",
		r->held, used, c->reserved);
}

static void tell_set(FILE *out, const struct options *opt, const struct root *root,
		     const struct pool_info *pool, const struct resize_report *r)
{
	char size[TABLE_SIZE_LEN], node[32] = "";

	if (opt->node != POOLS_ALL_NODES)
		(void)snprintf(node, sizeof(node), ", node %d", opt->node);
	fprintf(out, "%s%s: ", table_size(size, pool->bytes), node);
	if (r->done)
		fprintf(out, "%" PRIu64 " %s", r->wanted, pages(r->wanted));
	else
		fprintf(out, "%" PRIu64 " %s, %" PRIu64 " asked for", r->after.total,
			pages(r->after.total), r->wanted);
	if (r->done && r->after.surplus)
		fprintf(out, " and %" PRIu64 " surplus", r->after.surplus);
	fprintf(out, "; before: %" PRIu64 "\n", r->before.total);
	if (r->missing)
		tell_missing(out, opt, root, pool, r);
	if (r->extra)
		fprintf(out, "  %" PRIu64 " more than asked for: %s\n", r->extra,
			r->interrupted ? "interrupted" : "somebody else changes the pool");
	if (r->refused)
		tell_refused(out, opt, root, pool, r);
	if (r->held)
		tell_held(out, r);
}

static json_t *json_set(const struct pool_info *pool, const struct resize_report *r)
{
	char name[POOLS_NAME_LEN];
	json_t *j = json_pack("{s:s, s:I, s:I, s:b, s:I, s:I, s:I, s:I, s:I}", "size",
			      pools_name(name, pool->bytes), "page_bytes", (json_int_t)pool->bytes,
			      "wanted", (json_int_t)r->wanted, "done", r->done, "missing",
			      (json_int_t)r->missing, "extra", (json_int_t)r->extra, "refused",
			      (json_int_t)r->refused, "held", (json_int_t)r->held, "retries",
			      (json_int_t)r->retries);

	json_object_set_new(j, "interrupted", json_boolean(r->interrupted));
	return add_outcome(j, &r->before, &r->after, r->err);
}

/* What shrinks comes first: its memory may serve what grows. */
static void sort_asked(struct options *opt)
{
	struct ask sorted[MAX_SIZES];
	const struct pool_counts *c;
	unsigned int nr = 0, i, grows;

	for (grows = 0; grows < 2; grows++)
		for (i = 0; i < opt->nr; i++) {
			c = &opt->ask[i].pool->all;
			if ((opt->ask[i].nr + c->surplus > c->total) == (grows != 0))
				sorted[nr++] = opt->ask[i];
		}
	memcpy(opt->ask, sorted, nr * sizeof(sorted[0]));
}

/*
 * Change each pool that was asked for, until one cannot be, or somebody interrupts. @change
 * returns whether to go on; *@ret_done: that pool is as wanted.
 */
static int change_each(const struct options *opt, const struct root *root,
		       bool (*change)(const struct options *opt, struct files *f, uint64_t nr,
				      json_t **ret, bool *ret_done))
{
	json_t *results = json_array(), *result;
	bool done = true, go_on = true, one;
	int status = CLI_OK;
	unsigned int i;

	for (i = 0; i < opt->nr && go_on; i++) {
		struct files f = files_of(opt, root, opt->ask[i].pool);

		go_on = change(opt, &f, opt->ask[i].nr, &result, &one);
		done = done && one;
		json_array_append_new(results, result);
	}
	done = i == opt->nr && done;
	if (opt->json)
		status = cli_print_json(
			json_pack("{s:o, s:o, s:b, s:o}", "root", cli_json_text(opt->dir), "node",
				  json_node(opt->node), "done", done, "results", results));
	else
		json_decref(results);
	return status || cli_flush() || !done ? CLI_FAILED : CLI_OK;
}

static bool set_pool(const struct options *opt, struct files *f, uint64_t nr, json_t **ret,
		     bool *ret_done)
{
	struct text_buffer text;
	struct resize_report r;

	resize_run(&files_ops, f, nr, STEP_BYTES / f->pool->bytes, opt->wait_ns, &r);
	end_progress(f);
	*ret = json_set(f->pool, &r);
	*ret_done = r.done && !r.err;
	if (r.err) {
		(void)pools_file_error(opt->dir, f->path, r.err);
	} else if (!opt->json) {
		text_begin(&text);
		tell_set(text.out, opt, f->root, f->pool, &r);
		text_end(&text);
	}
	return !r.err && !r.interrupted;
}

static int run_set(struct options *opt, const struct root *root, const struct pools *pools)
{
	int status = check_fits(opt, root);

	(void)pools;
	if (status)
		return status;
	sort_asked(opt);
	return change_each(opt, root, set_pool);
}

/* ---- demote -------------------------------------------------------------------------- */

/* Size of what the pages become; 0 if they cannot be demoted. */
static uint64_t demote_size(const struct root *root, const struct pool_info *pool)
{
	uint64_t kib;

	if (root_number(root, &kib, "sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/demote_size",
			pool->bytes / 1024))
		return 0;
	return kib * 1024;
}

static void tell_demoted(FILE *out, const struct options *opt, const struct root *root,
			 const struct pool_info *pool, uint64_t to, const struct demote_report *r)
{
	char size[TABLE_SIZE_LEN], small[TABLE_SIZE_LEN], need[TABLE_SIZE_LEN];
	uint64_t each = saving_per_page(pool->bytes, saving_base_page(), SAVING_DESCRIPTOR);
	struct memory_info memory;

	fprintf(out,
		"%s: %" PRIu64 " of %" PRIu64 " %s demoted to %" PRIu64 " of %s; %" PRIu64
		" left\n",
		table_size(size, pool->bytes), r->demoted, r->wanted, pages(r->wanted),
		r->demoted * (pool->bytes / to), table_size(small, to), r->after.total);
	if (r->demoted >= r->wanted)
		return;
	fprintf(out, "  %" PRIu64 " not: ", r->wanted - r->demoted);
	if (r->interrupted) {
		fprintf(out, "interrupted\n");
	} else if (r->err == -ENOMEM) {
		fprintf(out, "HVO: no memory for descriptors, %s for a page",
			table_size(need, each));
		if (!memory_read(root, opt->node, &memory))
			fprintf(out, "; %s free", table_size(size, memory.free));
		fprintf(out, "; tried %" PRIu64 " time%s\n", r->retries + 1, r->retries ? "s" : "");
	} else if (r->err == -EBUSY) {
		fprintf(out, "what is free has frames that failed\n");
	} else {
		fprintf(out, "no more are free (%" PRIu64 " free, %" PRIu64 " reserved)\n",
			r->after.free, r->after.reserved);
	}
}

static json_t *json_demoted(const struct pool_info *pool, uint64_t to,
			    const struct demote_report *r)
{
	char name[POOLS_NAME_LEN], small[POOLS_NAME_LEN];
	json_t *j = json_pack("{s:s, s:I, s:s, s:I, s:I, s:b, s:b, s:I}", "size",
			      pools_name(name, pool->bytes), "page_bytes", (json_int_t)pool->bytes,
			      "to", pools_name(small, to), "wanted", (json_int_t)r->wanted,
			      "demoted", (json_int_t)r->demoted, "done", r->demoted >= r->wanted,
			      "interrupted", r->interrupted, "retries", (json_int_t)r->retries);

	return add_outcome(j, &r->before, &r->after, r->err);
}

static int check_demotable(const struct options *opt, const struct root *root)
{
	char size[TABLE_SIZE_LEN];
	unsigned int i;

	for (i = 0; i < opt->nr; i++)
		if (!demote_size(root, opt->ask[i].pool))
			return args_error("pages of %s cannot be demoted: no smaller size is there",
					  table_size(size, opt->ask[i].bytes));
	return CLI_OK;
}

static bool demote_pool(const struct options *opt, struct files *f, uint64_t nr, json_t **ret,
			bool *ret_done)
{
	uint64_t to = demote_size(f->root, f->pool);
	struct text_buffer text;
	struct demote_report r;
	bool told;

	resize_demote(&files_ops, f, nr, opt->wait_ns, &r);
	end_progress(f);
	*ret = json_demoted(f->pool, to, &r);
	*ret_done = r.demoted >= r.wanted;
	/* These are answers, not errors of the file. */
	told = !r.err || r.err == -ENOMEM || r.err == -EBUSY;
	if (!told) {
		(void)pools_file_error(opt->dir, f->path, r.err);
	} else if (!opt->json) {
		text_begin(&text);
		tell_demoted(text.out, opt, f->root, f->pool, to, &r);
		text_end(&text);
	}
	return told && !r.interrupted;
}

static int run_demote(struct options *opt, const struct root *root, const struct pools *pools)
{
	int status = check_demotable(opt, root);

	(void)pools;
	return status ? status : change_each(opt, root, demote_pool);
}

/* ---- overcommit, optimize, list --------------------------------------------------------- */

static int run_overcommit(struct options *opt, const struct root *root, const struct pools *pools)
{
	json_t *results = json_array();
	char size[TABLE_SIZE_LEN], name[POOLS_NAME_LEN];
	int status = CLI_OK, err = 0;
	unsigned int i;

	(void)pools;
	for (i = 0; i < opt->nr && !err; i++) {
		struct files f = files_of(opt, root, opt->ask[i].pool);
		uint64_t before = f.pool->overcommit;

		/* A limit that there is needs no write, and some sizes take none. */
		if (before != opt->ask[i].nr)
			err = write_number(&f, "nr_overcommit_hugepages", opt->ask[i].nr);
		if (!err)
			err = pool_read(root, f.pool, f.path);
		if (err || f.pool->overcommit != opt->ask[i].nr)
			status = CLI_FAILED;
		if (err == -EINVAL)
			cli_error("the kernel allows no surplus pages of %s",
				  table_size(size, f.pool->bytes));
		else if (err)
			(void)pools_file_error(opt->dir, f.path, err);
		else if (!opt->json)
			printf("%s: overcommit %" PRIu64 "; before: %" PRIu64 "\n",
			       table_size(size, f.pool->bytes), f.pool->overcommit, before);
		json_array_append_new(results, json_pack("{s:s, s:I, s:I, s:I, s:I, s:o}", "size",
							 pools_name(name, f.pool->bytes),
							 "page_bytes", (json_int_t)f.pool->bytes,
							 "wanted", (json_int_t)opt->ask[i].nr,
							 "before", (json_int_t)before, "after",
							 (json_int_t)f.pool->overcommit, "error",
							 json_error(err)));
	}
	if (opt->json)
		err = cli_print_json(json_pack("{s:o, s:b, s:o}", "root", cli_json_text(opt->dir),
					       "done", status == CLI_OK, "results", results));
	else
		json_decref(results);
	return err || cli_flush() ? CLI_FAILED : status;
}

static uint64_t all_pages(const struct pools *pools)
{
	uint64_t nr = 0;
	unsigned int i;

	for (i = 0; i < pools->nr; i++)
		nr += pools->pool[i].all.total;
	return nr;
}

static int run_optimize(struct options *opt, const struct root *root, const struct pools *pools)
{
	uint64_t before, after = 0, there = all_pages(pools);
	int err = root_number(root, &before, MEMORY_SWITCH);
	bool wanted = opt->optimize != 0, done;

	if (pools_on_demand(pools))
		return cli_error("the machine at %s is in on-demand mode: it has nothing to "
				 "switch on or off",
				 opt->dir);
	if (err == -ENOENT)
		return cli_error("%s/" MEMORY_SWITCH ": there is none: this kernel has no HVO",
				 strcmp(opt->dir, "/") ? opt->dir : "");
	if (!err && (before != 0) != wanted)
		err = root_write(root, opt->optimize ? "1\n" : "0\n", MEMORY_SWITCH);
	if (!err)
		err = root_number(root, &after, MEMORY_SWITCH);
	if (err)
		return pools_file_error(opt->dir, MEMORY_SWITCH, err);
	done = (after != 0) == wanted;
	if (opt->json)
		err = cli_print_json(json_pack("{s:o, s:b, s:b, s:b, s:b, s:I}", "root",
					       cli_json_text(opt->dir), "wanted", opt->optimize,
					       "before", before != 0, "after", after != 0, "done",
					       done, "pages_as_before", (json_int_t)there));
	else
		printf("HVO is %s; before: %s\n", after ? "on" : "off", before ? "on" : "off");
	if (!opt->json && there && before != after)
		text_wrapf(stdout, "  ", "  ",
			   "the %" PRIu64 " huge %s there stay as they are: a pool set to 0 and "
			   "back has new ones",
			   there, pages(there));
	return err || cli_flush() || !done ? CLI_FAILED : CLI_OK;
}

static int run_list(struct options *opt, const struct root *root, const struct pools *pools)
{
	(void)root;
	if (opt->json)
		return cli_print_json(json_pack("{s:o, s:o}", "root", cli_json_text(opt->dir),
						"pools", pools_json(pools)));
	pools_print(pools, stdout);
	return cli_flush();
}

/* ---- command ------------------------------------------------------------------------------ */

struct verb {
	const char *name;
	const struct arg_spec *specs;
	int (*operand)(void *opt, const char *value);
	int (*run)(struct options *opt, const struct root *root, const struct pools *pools);
	const char *needs; /* an operand, such as this */
};

static const struct verb verbs[] = {
	{ "list", plain_specs, NULL, run_list, NULL },
	{ "set", change_specs, add_ask, run_set, "2M=1024" },
	{ "demote", change_specs, add_ask, run_demote, "1G=1" },
	{ "overcommit", plain_specs, add_ask, run_overcommit, "2M=64" },
	{ "optimize", plain_specs, set_optimize, run_optimize, "on or off" },
	{ NULL, NULL, NULL, NULL, NULL },
};

static const struct verb *find_verb(const char *name)
{
	const struct verb *v;

	for (v = verbs; v->name; v++)
		if (!strcmp(v->name, name))
			return v;
	return NULL;
}

int cli_pool(char **args)
{
	struct options opt = { .dir = "/", .node = POOLS_ALL_NODES, .optimize = -1 };
	const struct verb *verb;
	struct pools pools;
	struct root root;
	int status;

	if (args_want_help(args))
		return cli_help(help);
	if (!*args || **args == '-')
		return args_error(
			"what is to be done comes first: list, set, demote, overcommit or "
			"optimize");
	verb = find_verb(*args);
	if (!verb)
		return args_unknown("there is no pool command", *args, TEXT_NEAR(*args, verbs));
	status = args_parse(verb->specs, args + 1, &opt, verb->operand);
	if (!status && verb->needs && !opt.nr && opt.optimize < 0)
		status = args_error("pool %s needs %s", verb->name, verb->needs);
	if (!status)
		status = pools_open(&root, opt.dir, &pools);
	if (status)
		return status;
	catch_signals();
	status = find_asked(&opt, &pools);
	if (!status)
		status = verb->run(&opt, &root, &pools);
	pools_close(&root, &pools);
	return status;
}
