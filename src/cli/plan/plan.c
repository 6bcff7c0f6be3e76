// SPDX-License-Identifier: MIT
/*
 * hvo plan: what a host, or a list of hosts, would save.
 */
#include "plan.h"

#include "cli/commands.h"
#include "cli/files/memory.h"
#include "cli/files/pools.h"
#include "cli/files/saving.h"
#include "common/args.h"
#include "common/cli.h"
#include "common/table.h"
#include "common/text.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_PAGES 16u
#define DEFAULT_FRACTION 0.8
#define HOST_NAME 65

static const char help[] =
	"usage: hvo plan [options]            this host, with the pools that it has\n"
	"       hvo plan --csv FILE [options] a list of hosts; - for standard input\n"
	"\n"
	"How much memory is saved by HVO, and by libhvo's on-demand mode.\n"
	"\n"
	"  --pages SIZE=N   with so many huge pages instead: 2M=1024; again for another\n"
	"                   size\n"
	"  --fraction F     with this part of the memory in huge pages of 2 MiB (or of\n"
	"                   the size that the list names), 0 to 1\n"
	"  --root DIR       the machine that is served at DIR\n"
	"  --json           the results as JSON, in bytes\n"
	"\n"
	"A list's first line names its columns, in any order; others are not looked at:\n"
	"  name, memory           such as web1 and 512G; these two must be there\n"
	"  size                   of its huge pages; 2M if it is not said\n"
	"  pages or fraction      how many; else --fraction\n"
	"  descriptor_bytes       64 if it is not said\n"
	"  count                  of hosts such as this one\n"
	"Lines of the same name are the sizes of one host. Lines that begin with # are\n"
	"skipped.\n"
	"\n"
	"Formulas, for S bytes of descriptor (64) and base pages of 4 KiB:\n"
	"  descriptors      memory / 4 KiB * S\n"
	"  HVO saves        pages * (V - 1) * 4 KiB, where V = size / 4 KiB * S / 4 KiB:\n"
	"                   7 of 8 pages for 2 MiB, 4095 of 4096 for 1 GiB; nothing if\n"
	"                   V < 2 or S is no power of two (Linux 5.14 to 5.17 kept 2\n"
	"                   pages, not 1)\n"
	"  on-demand saves  7 of 8 pages for each 2 MiB that is not cut into small\n"
	"                   frames: at least those in huge pages (all else cut), up to\n"
	"                   all (nothing cut)\n"
	"  page tables      4 KiB for each 128 MiB of memory (S = 64) whose descriptors\n"
	"                   are mapped in small pages: at most where huge pages are\n"
	"                   (HVO), or everywhere (on-demand). They are taken off what is\n"
	"                   shown as saved.\n";

/* ---- hosts ----------------------------------------------------------------------- */

struct plan_host *plan_add(struct plan *plan, const char *name)
{
	struct plan_host *host;

	/* Twice as many when a power of two is full. */
	if (!(plan->nr & (plan->nr - 1)) || !plan->nr) {
		size_t max = plan->nr ? (size_t)plan->nr * 2 : 1;

		plan->host = reallocarray(plan->host, max, sizeof(*plan->host));
		if (!plan->host)
			cli_die("out of memory");
	}
	host = &plan->host[plan->nr++];
	memset(host, 0, sizeof(*host));
	host->name = strdup(name);
	if (!host->name)
		cli_die("out of memory");
	host->count = 1;
	host->descriptor = SAVING_DESCRIPTOR;
	return host;
}

void plan_add_pool(struct plan_host *host, uint64_t bytes, uint64_t pages)
{
	host->pool = reallocarray(host->pool, host->nr_pools + 1, sizeof(*host->pool));
	if (!host->pool)
		cli_die("out of memory");
	host->pool[host->nr_pools].bytes = bytes;
	host->pool[host->nr_pools++].pages = pages;
}

void plan_free(struct plan *plan)
{
	while (plan->nr) {
		free(plan->host[--plan->nr].name);
		free(plan->host[plan->nr].pool);
	}
	free(plan->host);
	plan->host = NULL;
}

bool plan_fraction(const char *text, double *ret)
{
	double n;
	char *end;

	/* strtod() by itself takes blanks, signs, "inf" and hexadecimal. */
	if (!*text || strspn(text, "0123456789.") != strlen(text))
		return false;
	n = strtod(text, &end);
	if (*end || n > 1)
		return false;
	*ret = n;
	return true;
}

uint64_t plan_pages(uint64_t memory, double fraction, uint64_t bytes)
{
	return (uint64_t)((long double)(memory / bytes) * (long double)fraction);
}

/* ---- formulas ------------------------------------------------------------------------ */

static uint64_t div_up(uint64_t n, uint64_t step)
{
	return n / step + (n % step != 0);
}

static struct plan_saving saving_of_one(const struct plan_host *h)
{
	/* Memory whose descriptors one page of page tables maps. */
	uint64_t span = SAVING_PAGE / 8 * SAVING_PAGE / h->descriptor * SAVING_PAGE;
	uint64_t all_tables = div_up(h->memory, span), tables = 0, blocks = 0;
	uint64_t block = saving_per_page(SAVING_BLOCK, SAVING_PAGE, h->descriptor);
	struct plan_saving s = { .memory = h->memory };
	unsigned int i;

	s.array = saving_array(h->memory, SAVING_PAGE, h->descriptor);
	for (i = 0; i < h->nr_pools; i++) {
		const struct plan_pool *p = &h->pool[i];
		uint64_t each = saving_per_page(p->bytes, SAVING_PAGE, h->descriptor);

		s.huge += p->bytes * p->pages;
		s.hvo += p->pages * each;
		tables += each ? p->pages * div_up(p->bytes, span) : 0;
		blocks += p->pages * (p->bytes / SAVING_BLOCK);
	}
	s.hvo_tables = (tables < all_tables ? tables : all_tables) * SAVING_PAGE;
	s.least = blocks * block;
	s.most = h->memory / SAVING_BLOCK * block;
	s.tables = all_tables * SAVING_PAGE;
	return s;
}

static bool add_times(uint64_t *sum, uint64_t n, uint64_t count)
{
	uint64_t product;

	return !__builtin_mul_overflow(n, count, &product) &&
	       !__builtin_add_overflow(*sum, product, sum);
}

static bool add_saving(struct plan_saving *sum, const struct plan_saving *s, uint64_t count)
{
	return add_times(&sum->memory, s->memory, count) &&
	       add_times(&sum->array, s->array, count) && add_times(&sum->huge, s->huge, count) &&
	       add_times(&sum->hvo, s->hvo, count) &&
	       add_times(&sum->hvo_tables, s->hvo_tables, count) &&
	       add_times(&sum->least, s->least, count) && add_times(&sum->most, s->most, count) &&
	       add_times(&sum->tables, s->tables, count);
}

bool plan_host_saving(const struct plan_host *host, struct plan_saving *ret)
{
	struct plan_saving one = saving_of_one(host), sum = { 0 };

	if (!add_saving(&sum, &one, host->count) || sum.memory > INT64_MAX)
		return false;
	*ret = sum;
	return true;
}

bool plan_total(const struct plan *plan, struct plan_saving *ret)
{
	struct plan_saving sum = { 0 }, s;
	unsigned int i;

	for (i = 0; i < plan->nr; i++)
		if (!plan_host_saving(&plan->host[i], &s) || !add_saving(&sum, &s, 1))
			return false;
	if (sum.memory > INT64_MAX)
		return false;
	*ret = sum;
	return true;
}

/* ---- output ------------------------------------------------------------------------------- */

/* What is saved, less page tables; that may be less than nothing. */
static void net_cell(struct table *t, uint64_t saved, uint64_t tables)
{
	char size[TABLE_SIZE_LEN];

	if (saved >= tables)
		table_cell(t, "%s", saved == tables ? "0" : table_size(size, saved - tables));
	else
		table_cell(t, "-%s", table_size(size, tables - saved));
}

static void print_row(struct table *t, const char *name, uint64_t count,
		      const struct plan_saving *s)
{
	char size[TABLE_SIZE_LEN];

	table_cell(t, "%s", name);
	table_number(t, count);
	table_cell(t, "%s", table_size(size, s->memory));
	table_cell(t, "%s", s->huge ? table_size(size, s->huge) : "0");
	table_cell(t, "%s", table_size(size, s->array));
	net_cell(t, s->hvo, s->hvo_tables);
	net_cell(t, s->least, s->tables);
	net_cell(t, s->most, s->tables);
}

static const char *percent(char buf[TABLE_FIXED_LEN], uint64_t part, uint64_t tables,
			   uint64_t whole)
{
	double share = whole ? ((double)part - (double)tables) / (double)whole : 0;

	return table_fixed(buf, share * 100, 2, "");
}

static int print_text(const struct plan *plan, const struct plan_saving *total)
{
	static const char *const heads[] = { "<host",
					     "count",
					     "memory",
					     "in huge|pages",
					     "descriptors",
					     "HVO|saves",
					     "on-demand|at least",
					     "saves|up to",
					     NULL };
	struct table *t = table_new(heads);
	char hvo[TABLE_FIXED_LEN], least[TABLE_FIXED_LEN], most[TABLE_FIXED_LEN];
	struct plan_saving s = { 0 };
	uint64_t hosts = 0;
	unsigned int i;

	if (plan->assumed >= 0)
		text_wrapf(stdout, "", "",
			   "The pools are empty: as if %.0f %% of memory were in huge pages of "
			   "2 MiB (--fraction).",
			   plan->assumed * 100);
	if (plan->assumed >= 0)
		putchar('\n');
	for (i = 0; i < plan->nr; i++) {
		(void)plan_host_saving(&plan->host[i], &s);
		print_row(t, plan->host[i].name, plan->host[i].count, &s);
		hosts += plan->host[i].count;
	}
	if (plan->nr > 1)
		print_row(t, "all", hosts, total);
	table_print(t, stdout, 2);
	putchar('\n');
	text_wrapf(stdout, "", "",
		   "Of all memory, HVO saves %s %%, on-demand mode %s to %s %%; page tables are "
		   "taken off. On-demand: at least if all but the huge pages is cut into small "
		   "frames, up to if nothing is. Formulas: hvo plan --help",
		   percent(hvo, total->hvo, total->hvo_tables, total->memory),
		   percent(least, total->least, total->tables, total->memory),
		   percent(most, total->most, total->tables, total->memory));
	return cli_flush();
}

static json_t *saving_json(const struct plan_saving *s)
{
	return json_pack("{s:I, s:I, s:I, s:{s:I, s:I, s:I}, s:{s:I, s:I, s:I, s:I, s:I}}",
			 "memory_bytes", (json_int_t)s->memory, "huge_bytes", (json_int_t)s->huge,
			 "descriptor_bytes", (json_int_t)s->array, "hvo", "saved_bytes",
			 (json_int_t)s->hvo, "page_table_bytes", (json_int_t)s->hvo_tables,
			 "net_bytes", (json_int_t)(s->hvo - s->hvo_tables), "on_demand",
			 "saved_bytes_min", (json_int_t)s->least, "saved_bytes_max",
			 (json_int_t)s->most, "page_table_bytes", (json_int_t)s->tables,
			 "net_bytes_min", (json_int_t)(s->least - s->tables), "net_bytes_max",
			 (json_int_t)(s->most - s->tables));
}

static json_t *host_json(const struct plan_host *h)
{
	json_t *pools = json_array(), *j;
	char size[POOLS_NAME_LEN];
	struct plan_saving s = { 0 };
	unsigned int i;

	j = json_pack("{s:o, s:I, s:I}", "name", cli_json_text(h->name), "count",
		      (json_int_t)h->count, "bytes_per_descriptor", (json_int_t)h->descriptor);
	for (i = 0; i < h->nr_pools; i++)
		json_array_append_new(pools, json_pack("{s:s, s:I, s:I}", "size",
						       pools_name(size, h->pool[i].bytes),
						       "page_bytes", (json_int_t)h->pool[i].bytes,
						       "pages", (json_int_t)h->pool[i].pages));
	(void)plan_host_saving(h, &s);
	json_object_set_new(j, "pools", pools);
	json_object_update_new(j, saving_json(&s));
	return j;
}

static int print_json(const struct plan *plan, const struct plan_saving *total)
{
	json_t *hosts = json_array(), *j;
	unsigned int i;

	for (i = 0; i < plan->nr; i++)
		json_array_append_new(hosts, host_json(&plan->host[i]));
	j = json_pack("{s:o, s:o, s:o}", "assumed_fraction",
		      plan->assumed < 0 ? json_null() : json_real(plan->assumed), "hosts", hosts,
		      "total", saving_json(total));
	return cli_print_json(j);
}

/* ---- command ------------------------------------------------------------------------------- */

struct options {
	const char *dir, *csv;
	bool json;
	double fraction;
	struct plan_pool ask[MAX_PAGES];
	unsigned int nr;
};

static int set_fraction(void *arg, const char *value)
{
	struct options *opt = arg;

	if (!plan_fraction(value, &opt->fraction))
		return args_error("--fraction: '%s' is not a number from 0 to 1", value);
	return CLI_OK;
}

static int add_pages(void *arg, const char *value)
{
	struct options *opt = arg;
	struct plan_pool *ask = &opt->ask[opt->nr];
	const char *nr;
	unsigned int i;

	if (args_pages("--pages", value, &ask->bytes, &nr))
		return CLI_USAGE;
	if (ask->bytes <= SAVING_PAGE || (ask->bytes & (ask->bytes - 1)))
		return args_error("--pages: '%s' is not a size of pages such as 2M or 1G", value);
	if (args_number("--pages", nr, 0, INT64_MAX, &ask->pages))
		return CLI_USAGE;
	for (i = 0; i < opt->nr; i++)
		if (opt->ask[i].bytes == ask->bytes)
			return args_error("--pages: '%s': this size was given already", value);
	if (++opt->nr == MAX_PAGES)
		return args_error("--pages: too many sizes");
	return CLI_OK;
}

static const struct arg_spec specs[] = {
	ARG_TEXT("--root", struct options, dir),  ARG_TEXT("--csv", struct options, csv),
	ARG_FLAG("--json", struct options, json), ARG_CALL("--fraction", true, set_fraction),
	ARG_CALL("--pages", true, add_pages),	  ARG_END,
};

static int check(const struct options *opt)
{
	if (opt->csv && opt->dir)
		return args_error("--csv and --root: one of them");
	if (opt->csv && opt->nr)
		return args_error("--csv and --pages: the list says how many, or --fraction");
	if (opt->nr && opt->fraction >= 0)
		return args_error("--pages and --fraction: one of them");
	return CLI_OK;
}

static int read_list(const struct options *opt, struct plan *plan)
{
	bool input = !strcmp(opt->csv, "-");
	FILE *f = input ? stdin : fopen(opt->csv, "re");
	int status;

	if (!f)
		return cli_error("%s: %s", opt->csv, strerror(errno));
	status = plan_read_csv(f, input ? "standard input" : opt->csv, opt->fraction, plan);
	if (!input)
		fclose(f);
	return status;
}

/* The pools that were asked for, or those that are there, or if those are empty what is usual. */
static int fill_host(const struct options *opt, const struct pools *pools, struct plan *plan)
{
	struct plan_host *host = &plan->host[0];
	char size[TABLE_SIZE_LEN], has[TABLE_SIZE_LEN];
	uint64_t sum = 0, bytes, there = 0;
	double fraction = opt->fraction;
	unsigned int i;

	for (i = 0; i < opt->nr; i++) {
		if (__builtin_mul_overflow(opt->ask[i].bytes, opt->ask[i].pages, &bytes) ||
		    __builtin_add_overflow(sum, bytes, &sum) || sum > host->memory)
			return args_error("--pages: with %" PRIu64
					  " of %s more than the %s of memory",
					  opt->ask[i].pages, table_size(size, opt->ask[i].bytes),
					  table_size(has, host->memory));
		plan_add_pool(host, opt->ask[i].bytes, opt->ask[i].pages);
	}
	if (opt->nr)
		return CLI_OK;
	for (i = 0; i < pools->nr; i++)
		there += pools->pool[i].all.total;
	if (fraction < 0 && !there)
		fraction = plan->assumed = DEFAULT_FRACTION;
	for (i = 0; i < pools->nr && fraction < 0; i++)
		plan_add_pool(host, pools->pool[i].bytes, pools->pool[i].all.total);
	if (fraction >= 0)
		plan_add_pool(host, SAVING_BLOCK, plan_pages(host->memory, fraction, SAVING_BLOCK));
	return CLI_OK;
}

static int read_host(const struct options *opt, struct plan *plan)
{
	const char *dir = opt->dir ? opt->dir : "/";
	struct memory_info memory;
	struct plan_host *host;
	struct pools pools;
	struct root root;
	char name[HOST_NAME] = "";
	int status, err;

	if (!opt->dir && gethostname(name, sizeof(name) - 1))
		name[0] = '\0';
	status = pools_open(&root, dir, &pools);
	if (status)
		return status;
	err = memory_read(&root, POOLS_ALL_NODES, &memory);
	if (err) {
		status = pools_file_error(dir, MEMORY_FILE, err);
	} else {
		host = plan_add(plan, opt->dir ? dir : name[0] ? name : "this host");
		host->memory = memory.total;
		status = fill_host(opt, &pools, plan);
	}
	pools_close(&root, &pools);
	return status;
}

int cli_plan(char **args)
{
	struct options opt = { .fraction = PLAN_NO_FRACTION };
	struct plan_saving total;
	struct plan plan = { .assumed = PLAN_NO_FRACTION };
	int status;

	if (args_want_help(args))
		return cli_help(help);
	status = args_parse(specs, args, &opt, NULL);
	if (!status)
		status = check(&opt);
	if (!status)
		status = opt.csv ? read_list(&opt, &plan) : read_host(&opt, &plan);
	if (!status && !plan_total(&plan, &total))
		status = cli_error("%s: together more than 2^63 bytes of memory", opt.csv);
	if (!status)
		status = opt.json ? print_json(&plan, &total) : print_text(&plan, &total);
	plan_free(&plan);
	return status;
}
