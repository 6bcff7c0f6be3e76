// SPDX-License-Identifier: MIT
/*
 * hvo status: memory, pools and descriptors of a kernel or of a served machine; and hints
 * where something is off.
 */
#include "cli/commands.h"
#include "cli/files/memory.h"
#include "cli/files/pools.h"
#include "cli/files/saving.h"
#include "common/args.h"
#include "common/cli.h"
#include "common/table.h"
#include "common/text.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_LEN 320
/* Each pool has so many hints at most, and the whole. */
#define HINTS_OF_POOL 2u
#define HINTS_OF_ALL 3u
#define UNKNOWN UINT64_MAX
#define HINT_FROM_BYTES (UINT64_C(1) << 20)

static const char help[] =
	"usage: hvo status [options]\n"
	"\n"
	"Memory, huge pages and their descriptors, as the kernel counts them; no root\n"
	"needed.\n"
	"\n"
	"  --root DIR       of the machine that is served at DIR, not of the kernel\n"
	"  --json           the same as JSON\n"
	"\n"
	"Linux does not say how many huge pages are optimised. What is saved is the\n"
	"array of all memory blocks (64 bytes for each base page) less\n"
	"nr_memmap_boot_pages and nr_memmap_pages, where that is a number that the pools\n"
	"can have saved; if not, it is unknown. What could be saved: all but one of the\n"
	"descriptor pages of each huge page, 7 of 8 for 2 MiB, 4095 of 4096 for 1 GiB.\n"
	"Page tables of the array that was split, at most one page for 128 MiB of memory,\n"
	"are not in these numbers.\n";

/* ---- all that is known ------------------------------------------------------------ */

/* What only a served machine tells; UNKNOWN where it does not. */
struct served {
	bool there;
	uint64_t cuts, collapses, folds, restored, carved_blocks, moved, reported, poisoned;
	uint64_t arena, arena_huge;
};

static const struct {
	const char *file;
	size_t offset;
	const char *what;
} served_figures[] = {
	{ "cuts", offsetof(struct served, cuts), "blocks cut into small frames" },
	{ "collapses", offsetof(struct served, collapses), "and made whole again" },
	{ "folds", offsetof(struct served, folds), "descriptors of blocks given back" },
	{ "restored", offsetof(struct served, restored), "and made present" },
	{ "carved_blocks", offsetof(struct served, carved_blocks), "blocks spoiled by carving" },
	{ "moved_frames", offsetof(struct served, moved), "descriptor frames moved" },
	{ "reported_frames", offsetof(struct served, reported), "free frames given to the system" },
	{ "poisoned_frames", offsetof(struct served, poisoned), "frames that failed" },
	{ "arena_bytes", offsetof(struct served, arena), "bytes of memory held" },
	{ "arena_huge_bytes", offsetof(struct served, arena_huge),
	  "and in huge pages of the hardware" },
};

#define NR_FIGURES (sizeof(served_figures) / sizeof(served_figures[0]))

struct hint {
	const char *code;
	char text[TEXT_LEN];
	char command[TEXT_LEN]; /* empty: none */
};

struct status {
	const char *dir;
	struct pools pools;
	char release[80];
	struct memory_info memory;
	struct memmap_info memmap;
	struct served served;
	struct hint *hint;
	unsigned int nr_hints;
};

static uint64_t *figure(struct served *s, size_t i)
{
	return (uint64_t *)(void *)((char *)s + served_figures[i].offset);
}

static void read_served(const struct root *root, const struct pools *pools, struct served *s)
{
	size_t i;

	s->there = pools->mode[0] != '\0';
	for (i = 0; s->there && i < NR_FIGURES; i++) {
		*figure(s, i) = UNKNOWN;
		(void)root_number(root, figure(s, i), "sys/kernel/hvo/%s", served_figures[i].file);
	}
}

static void read_release(const struct root *root, struct status *st)
{
	char *text = NULL;

	if (!root_read(root, &text, "proc/sys/kernel/osrelease"))
		(void)snprintf(st->release, sizeof(st->release), "%.*s", (int)strcspn(text, "\n"),
			       text);
	free(text);
}

/* ---- hints -------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static struct hint *hint(struct status *st, const char *code,
							       const char *fmt, ...)
{
	struct hint *h = &st->hint[st->nr_hints++];
	va_list args;

	h->code = code;
	h->command[0] = '\0';
	va_start(args, fmt);
	(void)vsnprintf(h->text, sizeof(h->text), fmt, args);
	va_end(args);
	return h;
}

static void command(struct hint *h, const struct status *st, const char *what)
{
	bool own = !strcmp(st->dir, "/");

	(void)snprintf(h->command, sizeof(h->command), "hvo pool %s%s%s", what,
		       own ? "" : " --root ", own ? "" : st->dir);
}

static void hint_pool(struct status *st, const struct pool_info *p)
{
	uint64_t stuck = pool_stuck(p, POOLS_ALL_NODES), rest;
	char size[TABLE_SIZE_LEN], name[POOLS_NAME_LEN], what[64];
	struct hint *h;

	table_size(size, p->bytes);
	if (stuck) {
		h = hint(st, "frees-refused",
			 "%" PRIu64
			 " free pages of %s are there as surplus, promised to nobody: to free "
			 "them was refused, and is tried again only if asked for",
			 stuck, size);
		(void)snprintf(what, sizeof(what), "set %s=%" PRIu64 " --wait",
			       pools_name(name, p->bytes), p->all.total - p->all.surplus);
		command(h, st, what);
	}
	rest = p->all.surplus - stuck;
	if (rest > p->overcommit)
		(void)hint(st, "surplus-above-limit",
			   "%" PRIu64 " surplus pages of %s are above overcommit (%" PRIu64
			   "): the pool was made smaller than what its users have; they go when "
			   "users let go",
			   rest - p->overcommit, size, p->overcommit);
}

/* Some of what is not folded is not to be. */
static bool is_scope_narrow(const struct pools *pools)
{
	unsigned int i;

	for (i = 0; i < pools->nr; i++)
		if (pools->pool[i].served.scope[0] &&
		    strcmp(pools->pool[i].served.scope, "all") != 0)
			return true;
	return false;
}

static void hint_switch(struct status *st)
{
	const struct memmap_info *m = &st->memmap;
	uint64_t saved = m->has_saved ? m->saved : 0;
	char more[TABLE_SIZE_LEN];

	if (m->could < saved + HINT_FROM_BYTES)
		return;
	table_size(more, m->could - saved);
	if (!m->has_switch && m->switch_err != -ENOENT)
		return;
	if (!m->has_switch)
		(void)hint(st, "no-hvo",
			   "this kernel cannot optimise huge pages; one that can (x86-64, "
			   "CONFIG_HUGETLB_PAGE_OPTIMIZE_VMEMMAP) would save %s",
			   more);
	else if (!m->on)
		command(hint(st, "hvo-off",
			     "HVO is off: it would save %s%s. It acts on new pages only: then set the "
			     "pools to 0 and back, or boot with hugetlb_free_vmemmap=on",
			     more, m->has_saved ? "" : " at most"),
			st, "optimize on");
	else if (m->has_saved)
		(void)hint(
			st, "not-optimised",
			"HVO is on, but %s more would be saved if the pages that are older than that "
			"were new%s: set the pools to 0 and back",
			more, is_scope_narrow(&st->pools) ? ", and fold_scope were all" : "");
}

/* What to free all that is free takes, and whether it is there. */
static void hint_need(struct status *st)
{
	const struct memmap_info *m = &st->memmap;
	uint64_t need = 0, page = saving_base_page(), i;
	char needs[TABLE_SIZE_LEN], has[TABLE_SIZE_LEN];

	for (i = 0; i < st->pools.nr; i++)
		need += st->pools.pool[i].all.free *
			saving_per_page(st->pools.pool[i].bytes, page, SAVING_DESCRIPTOR);
	if (m->has_saved && need > m->saved)
		need = m->saved;
	if (!m->has_saved && !m->on)
		return;
	if (need > st->memory.available)
		(void)hint(
			st, "free-needs-memory",
			"to free the huge pages that are free takes %s for their descriptors, and "
			"%s are available: frees will be refused",
			table_size(needs, need), table_size(has, st->memory.available));
}

/* What is huge here need not be huge to the hardware. */
static void hint_arena(struct status *st)
{
	const struct served *s = &st->served;
	char huge[TABLE_SIZE_LEN], all[TABLE_SIZE_LEN];

	if (!s->there || s->arena == UNKNOWN || s->arena_huge == UNKNOWN ||
	    s->arena <= s->arena_huge + s->arena / 8)
		return;
	(void)hint(
		st, "arena-not-huge",
		"%s of the %s that this machine holds are huge pages of the hardware, the rest is "
		"in pages of 4 KiB: the system's memory was in pieces, or it is older than Linux "
		"6.1; hvo serve --arena hugetlb takes pages of the kernel's pool",
		table_size(huge, s->arena_huge), table_size(all, s->arena));
}

static void find_hints(struct status *st)
{
	unsigned int i;

	st->hint = cli_alloc(HINTS_OF_POOL * st->pools.nr + HINTS_OF_ALL, sizeof(*st->hint));
	for (i = 0; i < st->pools.nr; i++)
		hint_pool(st, &st->pools.pool[i]);
	hint_arena(st);
	if (st->memmap.on_demand)
		return;
	hint_switch(st);
	hint_need(st);
}

/* ---- text ------------------------------------------------------------------------------ */

static void print_head(const struct status *st)
{
	char total[TABLE_SIZE_LEN], free[TABLE_SIZE_LEN];
	unsigned int nodes = st->pools.nr_nodes;
	struct text_buffer text;

	text_begin(&text);
	if (st->served.there)
		fprintf(text.out, "Machine served at %s, %s mode", st->dir,
			st->memmap.on_demand ? "on-demand" : "Linux");
	else if (strcmp(st->dir, "/") != 0)
		fprintf(text.out, "Kernel at %s", st->dir);
	else
		fprintf(text.out, "Linux %s", st->release);
	fprintf(text.out, ": %s of memory, %s free", table_size(total, st->memory.total),
		table_size(free, st->memory.free));
	if (nodes)
		fprintf(text.out, ", %u node%s", nodes, nodes == 1 ? "" : "s");
	text_end(&text);
	putchar('\n');
}

/* Every row is as wide as the widest of the others. */
static void row(struct table *t, const char *name, bool known, uint64_t bytes, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

static void row(struct table *t, const char *name, bool known, uint64_t bytes, const char *fmt, ...)
{
	char size[TABLE_SIZE_LEN], note[80];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(note, sizeof(note), fmt, args);
	va_end(args);
	table_cell(t, "%s", name);
	table_cell(t, "%s", !known ? "unknown" : bytes ? table_size(size, bytes) : "0");
	table_cell(t, "%s", note);
}

/* The only size that has pages, or NULL. */
static const struct pool_info *lone_pool(const struct pools *pools)
{
	const struct pool_info *lone = NULL;
	unsigned int i;

	for (i = 0; i < pools->nr; i++) {
		if (!pools->pool[i].all.total)
			continue;
		if (lone)
			return NULL;
		lone = &pools->pool[i];
	}
	return lone;
}

static void saved_note(const struct status *st, char *buf, size_t len)
{
	const struct memmap_info *m = &st->memmap;
	const struct pool_info *p = lone_pool(&st->pools);
	uint64_t each = p ? saving_per_page(p->bytes, saving_base_page(), SAVING_DESCRIPTOR) : 0;

	buf[0] = '\0';
	if (st->memmap.on_demand)
		(void)snprintf(buf, len, "whole blocks, free or in huge pages");
	else if (m->now_err == -ENODATA)
		(void)snprintf(buf, len, "Linux counts descriptors from 6.11 on");
	else if (m->now_err)
		(void)snprintf(buf, len, MEMORY_COUNTERS ": %s", pools_strerror(m->now_err));
	else if (!m->has_full)
		(void)snprintf(buf, len, "the memory blocks are not listed");
	else if (!m->has_saved)
		(void)snprintf(buf, len, "other things are counted too, or memory has holes");
	else if (each)
		(void)snprintf(buf, len, "%" PRIu64 " of %" PRIu64 " huge pages are optimised",
			       m->saved / each, p->all.total);
}

static void print_memmap(const struct status *st)
{
	static const char *const heads[] = { "<", "", "<", NULL };
	const struct memmap_info *m = &st->memmap;
	struct table *t = table_new(heads);
	char note[80];

	if (st->memmap.on_demand)
		printf("\nDescriptors: only where memory is cut into small frames\n");
	else if (!m->has_switch && m->switch_err != -ENOENT)
		printf("\nHVO: unknown: " MEMORY_SWITCH ": %s\n", pools_strerror(m->switch_err));
	else if (!m->has_switch)
		printf("\nHVO: this kernel has none\n");
	else
		printf("\nHVO: %s (for huge pages allocated from now on)\n", m->on ? "on" : "off");
	row(t, "descriptors now", m->has_now, m->now, "%s",
	    m->has_now ? "nr_memmap_boot_pages + nr_memmap_pages" : "");
	row(t, "without saving", m->has_full, m->full, "%s",
	    m->has_full ? "64 bytes for each page of all memory blocks" : "");
	saved_note(st, note, sizeof(note));
	row(t, "saved now", m->has_saved, m->saved, "%s", note);
	if (!st->memmap.on_demand)
		row(t, "could be saved", true, m->could, "all huge pages optimised");
	table_print(t, stdout, 2);
}

static void print_served(struct served *s)
{
	static const char *const heads[] = { "<", "", NULL };
	struct table *t;
	bool any = false;
	size_t i;

	if (!s->there)
		return;
	t = table_new(heads);
	for (i = 0; i < NR_FIGURES; i++) {
		if (!*figure(s, i) || *figure(s, i) == UNKNOWN)
			continue;
		table_cell(t, "%s", served_figures[i].what);
		table_number(t, *figure(s, i));
		any = true;
	}
	if (!any) {
		table_free(t);
		return;
	}
	printf("\nWithin this machine\n");
	table_print(t, stdout, 2);
}

static int print_text(struct status *st)
{
	unsigned int i;

	print_head(st);
	pools_print(&st->pools, stdout);
	print_memmap(st);
	print_served(&st->served);
	if (st->nr_hints)
		printf("\nHints\n");
	for (i = 0; i < st->nr_hints; i++) {
		text_wrap(stdout, "  - ", "    ", st->hint[i].text);
		if (st->hint[i].command[0])
			printf("      %s\n", st->hint[i].command);
	}
	return cli_flush();
}

/* ---- JSON -------------------------------------------------------------------------------- */

static json_t *served_json(struct served *s, const char *mode)
{
	json_t *j;
	size_t i;

	if (!s->there)
		return json_null();
	j = json_pack("{s:o}", "mode", cli_json_text(mode));
	for (i = 0; i < NR_FIGURES; i++)
		json_object_set_new(j, served_figures[i].file,
				    cli_json_known(*figure(s, i) != UNKNOWN, *figure(s, i)));
	return j;
}

static json_t *hints_json(const struct status *st)
{
	json_t *all = json_array();
	unsigned int i;

	for (i = 0; i < st->nr_hints; i++)
		json_array_append_new(all, json_pack("{s:s, s:s, s:o}", "code", st->hint[i].code,
						     "text", st->hint[i].text, "command",
						     cli_json_word(st->hint[i].command)));
	return all;
}

static int print_json(struct status *st)
{
	json_t *nodes = json_array(), *j;
	unsigned int i;

	for (i = 0; i < st->pools.nr_nodes; i++)
		json_array_append_new(nodes, json_integer(st->pools.node[i]));
	j = json_pack("{s:o, s:o, s:I, s:o, s:{s:I, s:I, s:I}, s:o, s:o, s:o, s:o}", "root",
		      cli_json_text(st->dir), "release", cli_json_word(st->release),
		      "base_page_bytes", (json_int_t)saving_base_page(), "nodes", nodes, "memory",
		      "total_bytes", (json_int_t)st->memory.total, "free_bytes",
		      (json_int_t)st->memory.free, "available_bytes",
		      (json_int_t)st->memory.available, "pools", pools_json(&st->pools), "hvo",
		      memmap_json(&st->memmap), "served", served_json(&st->served, st->pools.mode),
		      "hints", hints_json(st));
	return cli_print_json(j);
}

/* ---- command -------------------------------------------------------------------------------- */

struct options {
	const char *dir;
	bool json;
};

static const struct arg_spec specs[] = {
	ARG_TEXT("--root", struct options, dir),
	ARG_FLAG("--json", struct options, json),
	ARG_END,
};

int cli_status(char **args)
{
	struct options opt = { .dir = "/" };
	struct status st = { 0 };
	struct root root;
	int status, err;

	if (args_want_help(args))
		return cli_help(help);
	status = args_parse(specs, args, &opt, NULL);
	if (!status)
		status = pools_open(&root, opt.dir, &st.pools);
	if (status)
		return status;
	st.dir = opt.dir;
	read_served(&root, &st.pools, &st.served);
	read_release(&root, &st);
	err = memory_read(&root, POOLS_ALL_NODES, &st.memory);
	if (err) {
		status = pools_file_error(opt.dir, MEMORY_FILE, err);
	} else {
		memmap_read(&root, &st.pools, &st.memmap);
		find_hints(&st);
		status = opt.json ? print_json(&st) : print_text(&st);
		free(st.hint);
	}
	pools_close(&root, &st.pools);
	return status;
}
