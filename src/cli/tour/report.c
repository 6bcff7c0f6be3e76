// SPDX-License-Identifier: MIT
/*
 * What the tour found out, as text for newcomers and as JSON for programs.
 */
#include "tour.h"

#include "common/table.h"
#include "common/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- text --------------------------------------------------------------- */

/* A line of "  NAME:   text", its other lines below the text. */
__attribute__((format(printf, 2, 3))) static void tell(const char *name, const char *fmt, ...)
{
	char first[32], rest[32];
	va_list args;
	char *text;

	va_start(args, fmt);
	text = cli_vformat(fmt, args);
	va_end(args);
	(void)snprintf(first, sizeof(first), "  %s", name);
	(void)snprintf(rest, sizeof(rest), "%*s", (int)strlen(first), "");
	text_wrap(stdout, first, rest, text);
	free(text);
}

void tour_print_intro(const struct tour *t)
{
	if (t->opt->json)
		return;
	text_wrap(
		stdout, "", "",
		"A machine keeps a descriptor of 64 bytes for every frame of 4 KiB: 16 GiB of each "
		"TiB. The descriptors of a huge page of 2 MiB fill 8 pages, and only the first says "
		"anything. HVO (HugeTLB vmemmap optimisation) folds the other 7 onto one shared "
		"page, and gives their memory back. The price comes due when the huge page is "
		"freed: its descriptors must exist again, so that freeing memory needs memory. "
		"This tour shows both halves.");
	(void)fflush(stdout);
}

static void print_machine_memory(const struct tour_machine *m)
{
	char size[TABLE_SIZE_LEN], part[TABLE_SIZE_LEN];

	table_size(size, m->backed_bytes);
	table_size(part, m->huge_bytes);
	if (m->huge_bytes >= m->backed_bytes)
		tell("memory       ", "%s held, all of it in huge pages of the hardware", size);
	else
		tell("memory       ",
		     "%s held, %s of it in huge pages of the hardware; for the rest this system had no "
		     "more, or is older than Linux 6.1: free some of its memory, or use an arena of "
		     "the kernel's pool (HVO_LINUX_HUGETLB)",
		     size, m->huge_bytes ? part : "none");
	if (m->host_nodes > 1)
		tell("NUMA         ", "nodes are bound to the host's %" PRIu32 " nodes",
		     m->host_nodes);
	else
		tell("NUMA         ", "the host has one node: nothing to bind");
	tell("mappings     ", "%" PRIu64 " of the %" PRIu64 " that it may use", m->nr_mappings,
	     m->max_mappings);
}

void tour_print_machine(const struct tour *t)
{
	const struct tour_machine *m = &t->machine;
	char size[TABLE_SIZE_LEN], part[TABLE_SIZE_LEN];

	if (t->opt->json)
		return;
	puts("\n1. The machine\n");
	tell("size         ",
	     "%s: %" PRIu64 " frames, %" PRIu64 " blocks of 2 MiB, %" PRIu32 " node%s, on %s",
	     table_size(size, t->opt->memory_bytes), m->frames, m->frames / HVO_PAGEBLOCK_FRAMES,
	     t->opt->nr_nodes, t->opt->nr_nodes == 1 ? "" : "s",
	     t->opt->sim ? "simulated memory" : "memory of this process");
	tell("descriptors  ",
	     "%s if all of them exist, as in Linux mode, whose array takes %s of addresses",
	     table_size(size, m->frames * sizeof(struct hvo_page)),
	     table_size(part, m->array_bytes));
	if (!t->opt->sim)
		print_machine_memory(m);
	(void)fflush(stdout);
}

static const char *fill_name(const char *mode)
{
	if (!strcmp(mode, "off"))
		return "HVO off";
	return !strcmp(mode, "linux") ? "Linux mode" : "on-demand mode";
}

void tour_print_fill(const struct tour *t)
{
	static const char *const heads[] = { "<the machine",	       "2 MiB|pages",
					     "4 KiB|frames",	       "bytes|filled",
					     "frames for|descriptors", "own|memory",
					     "frames|spoilt",	       NULL };
	char size[TABLE_SIZE_LEN];
	struct table *table;
	unsigned int i;

	if (t->opt->json)
		return;
	puts("\n2. What a program can fill with data of its own\n");
	tell("",
	     "Each machine is made into huge pages as far as it goes; the rest is taken frame by "
	     "frame until nothing is left. All of it is written, and read again. Own memory is "
	     "what a machine takes beside its frames.");
	putchar('\n');
	table = table_new(heads);
	for (i = 0; i < t->nr_fills; i++) {
		const struct tour_fill *f = &t->fill[i];

		table_cell(table, "%s", fill_name(f->mode));
		table_number(table, f->huge_pages);
		table_number(table, f->small_frames);
		table_number(table, f->bytes_filled);
		table_number(table, f->frames_for_descriptors);
		if (f->metadata_backed)
			table_cell(table, "%s", table_size(size, f->metadata_backed));
		else
			table_cell(table, "-");
		table_number(table, f->checksum_errors);
	}
	table_print(table, stdout, 2);
	(void)fflush(stdout);
}

void tour_print_tails(const struct tour *t)
{
	static const char *const heads[] = { "<the machine", "block", "head page", "<7 tail pages",
					     NULL };
	const struct tour_tails *tails = &t->tails;
	struct table *table;
	unsigned int i, k;
	bool same;

	if (t->opt->json)
		return;
	puts("\n3. What backs the folded descriptors\n");
	if (!tails->nr) {
		tell("Skipped: ", "%s.", tails->reason);
		return;
	}
	puts("  Physical frame numbers, from /proc/self/pagemap:\n");
	table = table_new(heads);
	for (i = 0; i < tails->nr; i++) {
		const struct tour_tail *b = &tails->block[i];

		same = true;
		for (k = 1; k < HVO_PAGEBLOCK_TAILS; k++)
			same = same && b->tail_frames[k] == b->tail_frames[0];
		table_cell(table, "%s", fill_name(b->mode));
		table_number(table, b->block);
		table_cell(table, "%#" PRIx64, b->head_frame);
		table_cell(table, same ? "all 7: %#" PRIx64 : "not the same: %#" PRIx64 ", ...",
			   b->tail_frames[0]);
	}
	table_print(table, stdout, 2);
	puts(tails->tails_shared && tails->heads_own ?
		     "\n  All folded tails are one frame; each head page has its own." :
		     "\n  Not as it should be: tails share one frame, and heads have their own.");
	(void)fflush(stdout);
}

static uint64_t to_integer(double value)
{
	return value > 0 ? (uint64_t)(value + 0.5) : 0;
}

/* A policy is one of Linux mode. */
static const char *run_name(const struct tour_run *r)
{
	return !strcmp(r->policy, "none") ? r->mode : r->policy;
}

static void print_run_rows(const struct tour *t, struct table *table)
{
	unsigned int i;

	for (i = 0; i < t->nr_runs; i++) {
		const struct tour_run *r = &t->run[i];

		table_cell(table, "%s%s", run_name(r), r->bounded ? "*" : "");
		table_number(table, r->freed);
		table_number(table, r->refused);
		table_number(table, r->carved);
		table_number(table, r->frames_cut);
		table_number(table, r->whole_again);
		table_number(table, r->still_spoilt);
		table_number(table, to_integer(r->grow_ns_per_page));
		table_number(table, to_integer(r->ns_per_page));
	}
}

static void print_host_rows(const struct tour_host *host, struct table *table)
{
	unsigned int on, i;

	for (on = 0; on < 2 && host->measured; on++) {
		table_cell(table, "kernel HVO %s", on ? "on" : "off");
		table_number(table, host->got[on]);
		for (i = 0; i < 5; i++)
			table_cell(table, "-");
		table_number(table, to_integer(host->grow_ns_per_page[on]));
		table_number(table, to_integer(host->ns_per_page[on]));
	}
}

static uint64_t most_free_before(const struct tour *t)
{
	uint64_t most = 0;
	unsigned int i;

	for (i = 0; i < t->nr_runs; i++)
		if (t->run[i].free_before > most)
			most = t->run[i].free_before;
	return most;
}

static bool any_bounded(const struct tour *t)
{
	unsigned int i;

	for (i = 0; i < t->nr_runs; i++)
		if (t->run[i].bounded)
			return true;
	return false;
}

void tour_print_runs(const struct tour *t)
{
	static const char *const heads[] = {
		"<mode or|policy", "freed",	   "refused",  "carved",   "4 KiB|frames",
		"whole|again",	   "still|spoilt", "grow,|ns", "free,|ns", NULL
	};
	struct table *table;

	if (t->opt->json)
		return;
	printf("\n4. Giving it back, with %s frame left\n\n",
	       most_free_before(t) ? "hardly a" : "no free");
	tell("",
	     "Every huge page is in the pool, every other frame is in use, and so is a quarter of "
	     "the huge pages. Now the pool is to let go of the rest. In on-demand mode that needs "
	     "nothing. Linux mode must find 7 frames for each page: its policies say where, and "
	     "what it cannot restore it refuses to free. What was freed is then cut into frames of "
	     "4 KiB; these are filled, read, and given back in any order. How many blocks are whole "
	     "again? At last all memory is given back, and what was put off is done (hvo_work). How "
	     "many blocks stay spoilt?");
	putchar('\n');
	table = table_new(heads);
	print_run_rows(t, table);
	print_host_rows(&t->host, table);
	table_print(table, stdout, 2);

	putchar('\n');
	tell("carved: ",
	     "freed at the price of 7 of its own frames, which spoils the block until "
	     "its descriptors move elsewhere: carve never moves them, carve-heal does.");
	tell("ns:     ", "per huge page that was asked for.%s",
	     t->opt->sim ? " Time is virtual in a simulation; only waiting takes any." : "");
	tell("oom:    ",
	     "asks the program to give up memory; here all must survive, it gives none.");
	if (any_bounded(t))
		tell("retry*: ", "waits 100 ms and tries again without end; here 2 times 1 ms.");
	if (t->host.measured)
		tell("kernel: ", "its own pool, with memory to spare; it is as it was before.");
	else
		tell("kernel: ", "its own pool was skipped: %s.", t->host.reason);
	(void)fflush(stdout);
}

void tour_print_offline(const struct tour *t)
{
	static const char *const heads[] = { "<mode",
					     "to go",
					     "pages|in use",
					     "free in|pool",
					     "free frames|elsewhere",
					     "pages|moved",
					     "<answer",
					     NULL };
	char size[TABLE_SIZE_LEN];
	struct table *table;
	unsigned int i;

	if (t->opt->json)
		return;
	puts("\n5. Taking a node's movable memory offline, with everything else full\n");
	tell("",
	     "It is all huge pages. Those in use move to free ones of their pool elsewhere; the "
	     "others have to be dissolved. In on-demand mode that needs nothing. Linux mode must "
	     "find 7 frames for each, as it must to free it.");
	putchar('\n');
	table = table_new(heads);
	for (i = 0; i < 2; i++) {
		const struct tour_offline *o = &t->offline[i];

		table_cell(table, "%s", o->mode);
		table_cell(table, "%s", table_size(size, o->bytes));
		table_number(table, o->in_use);
		table_number(table, o->in_pool);
		table_number(table, o->free_elsewhere);
		table_number(table, o->moved);
		table_cell(table, "%s", o->error ? strerror(o->error) : "offline, and back again");
	}
	table_print(table, stdout, 2);
	(void)fflush(stdout);
}

static void print_findings(const struct tour *t)
{
	uint64_t i, nr = t->audit_findings;

	if (nr > TOUR_MAX_FINDINGS)
		nr = TOUR_MAX_FINDINGS;
	for (i = 0; i < nr; i++) {
		const struct tour_finding *f = &t->finding[i];

		tell("  ", "%s: %s: %s at %#" PRIx64 ", expected %" PRIu64 ", found %" PRIu64,
		     f->where, f->rule, f->what, f->pfn, f->expected, f->found);
	}
	if (nr < t->audit_findings)
		printf("    and %" PRIu64 " more\n", t->audit_findings - nr);
}

void tour_print_verdict(const struct tour *t)
{
	const struct tour_fill *off = &t->fill[0], *ondemand = &t->fill[TOUR_MAX_FILLS - 1];
	const struct tour_run *run = &t->run[0];
	char size[TABLE_SIZE_LEN];

	if (t->opt->json)
		return;
	puts("\n6. What to remember\n");
	if (ondemand->bytes_filled >= off->bytes_filled)
		tell("", "On-demand mode gave a program %s more of the same memory.",
		     table_size(size, ondemand->bytes_filled - off->bytes_filled));
	tell("",
	     "It freed %" PRIu64 " of %" PRIu64 " huge pages with %" PRIu64
	     " free frames, and %" PRIu64 " are whole again.",
	     run->freed, run->asked, run->free_before, run->whole_again);
	tell("",
	     "Bytes that must survive: %" PRIu64 " frames spoilt. Audit: %" PRIu64
	     " recounts, %" PRIu64 " mismatches.",
	     t->checksum_errors, t->audits, t->audit_findings);
	print_findings(t);
	if (!t->host.put_back)
		puts("  The kernel's own pool could NOT be put back as it was.");
	printf("  %s, in %.1f s.\n", t->ok ? "All promises kept" : "NOT all promises kept",
	       t->seconds);
}

/* ---- JSON --------------------------------------------------------------- */

/* Whole nanoseconds. */
static json_t *nanoseconds(double ns)
{
	return cli_json_number(to_integer(ns));
}

static json_t *json_machine(const struct tour *t)
{
	const struct tour_machine *m = &t->machine;
	json_t *o = json_object();

	json_object_set_new(o, "platform", json_string(t->opt->sim ? "sim" : "linux"));
	json_object_set_new(o, "memory_bytes", cli_json_number(t->opt->memory_bytes));
	json_object_set_new(o, "nodes", cli_json_number(t->opt->nr_nodes));
	json_object_set_new(o, "seed", cli_json_number(t->opt->seed));
	json_object_set_new(o, "frames", cli_json_number(m->frames));
	json_object_set_new(o, "blocks", cli_json_number(m->frames / HVO_PAGEBLOCK_FRAMES));
	json_object_set_new(o, "descriptor_bytes",
			    cli_json_number(m->frames * sizeof(struct hvo_page)));
	json_object_set_new(o, "array_bytes", cli_json_number(m->array_bytes));
	json_object_set_new(o, "machine_bytes", cli_json_number(m->machine_bytes));
	if (t->opt->sim)
		return o;
	json_object_set_new(o, "backed_bytes", cli_json_number(m->backed_bytes));
	json_object_set_new(o, "thp_asked", json_boolean(m->thp_asked));
	json_object_set_new(o, "thp_bytes", cli_json_number(m->thp_bytes));
	json_object_set_new(o, "huge_bytes", cli_json_number(m->huge_bytes));
	json_object_set_new(o, "host_nodes", cli_json_number(m->host_nodes));
	json_object_set_new(o, "mappings", cli_json_number(m->nr_mappings));
	json_object_set_new(o, "max_mappings", cli_json_number(m->max_mappings));
	return o;
}

static json_t *json_fill(const struct tour *t)
{
	json_t *a = json_array(), *o;
	unsigned int i;

	for (i = 0; i < t->nr_fills; i++) {
		const struct tour_fill *f = &t->fill[i];

		o = json_object();
		json_object_set_new(o, "mode", json_string(f->mode));
		json_object_set_new(o, "huge_pages", cli_json_number(f->huge_pages));
		json_object_set_new(o, "small_frames", cli_json_number(f->small_frames));
		json_object_set_new(o, "bytes_filled", cli_json_number(f->bytes_filled));
		json_object_set_new(o, "frames_for_descriptors",
				    cli_json_number(f->frames_for_descriptors));
		json_object_set_new(o, "metadata_bytes",
				    t->opt->sim ? json_null() :
						  cli_json_number(f->metadata_backed));
		json_object_set_new(o, "checksum_errors", cli_json_number(f->checksum_errors));
		json_array_append_new(a, o);
	}
	return a;
}

static json_t *json_tails(const struct tour *t)
{
	const struct tour_tails *tails = &t->tails;
	json_t *o = json_object(), *blocks = json_array(), *b, *frames;
	unsigned int i, k;

	json_object_set_new(o, "checked", json_boolean(tails->nr != 0));
	json_object_set_new(o, "reason", tails->nr ? json_null() : json_string(tails->reason));
	json_object_set_new(o, "tails_shared",
			    tails->nr ? json_boolean(tails->tails_shared) : json_null());
	json_object_set_new(o, "heads_own",
			    tails->nr ? json_boolean(tails->heads_own) : json_null());
	for (i = 0; i < tails->nr; i++) {
		b = json_object();
		frames = json_array();
		for (k = 0; k < HVO_PAGEBLOCK_TAILS; k++)
			json_array_append_new(frames,
					      cli_json_number(tails->block[i].tail_frames[k]));
		json_object_set_new(b, "mode", json_string(tails->block[i].mode));
		json_object_set_new(b, "block", cli_json_number(tails->block[i].block));
		json_object_set_new(b, "head_frame", cli_json_number(tails->block[i].head_frame));
		json_object_set_new(b, "tail_frames", frames);
		json_array_append_new(blocks, b);
	}
	json_object_set_new(o, "blocks", blocks);
	return o;
}

static json_t *json_runs(const struct tour *t)
{
	json_t *a = json_array(), *o;
	unsigned int i;

	for (i = 0; i < t->nr_runs; i++) {
		const struct tour_run *r = &t->run[i];

		o = json_object();
		json_object_set_new(o, "mode", json_string(r->mode));
		json_object_set_new(o, "policy", json_string(r->policy));
		json_object_set_new(o, "bounded", json_boolean(r->bounded));
		json_object_set_new(o, "free_frames_before", cli_json_number(r->free_before));
		json_object_set_new(o, "asked", cli_json_number(r->asked));
		json_object_set_new(o, "freed", cli_json_number(r->freed));
		json_object_set_new(o, "refused", cli_json_number(r->refused));
		json_object_set_new(o, "carved", cli_json_number(r->carved));
		json_object_set_new(o, "frames_cut", cli_json_number(r->frames_cut));
		json_object_set_new(o, "whole_again", cli_json_number(r->whole_again));
		json_object_set_new(o, "still_spoilt", cli_json_number(r->still_spoilt));
		json_object_set_new(o, "checksum_errors", cli_json_number(r->checksum_errors));
		json_object_set_new(o, "grow_ns_per_page", nanoseconds(r->grow_ns_per_page));
		json_object_set_new(o, "ns_per_page", nanoseconds(r->ns_per_page));
		json_array_append_new(a, o);
	}
	return a;
}

static json_t *json_offline(const struct tour *t)
{
	json_t *a = json_array(), *o;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		const struct tour_offline *r = &t->offline[i];

		o = json_object();
		json_object_set_new(o, "mode", json_string(r->mode));
		json_object_set_new(o, "bytes", cli_json_number(r->bytes));
		json_object_set_new(o, "in_use", cli_json_number(r->in_use));
		json_object_set_new(o, "in_pool", cli_json_number(r->in_pool));
		json_object_set_new(o, "free_frames_elsewhere", cli_json_number(r->free_elsewhere));
		json_object_set_new(o, "moved", cli_json_number(r->moved));
		json_object_set_new(o, "error", json_integer(r->error));
		json_object_set_new(o, "back", json_boolean(r->back));
		json_object_set_new(o, "checksum_errors", cli_json_number(r->checksum_errors));
		json_array_append_new(a, o);
	}
	return a;
}

static json_t *json_host(const struct tour_host *host)
{
	json_t *o = json_object(), *runs = json_array(), *r;
	unsigned int on;

	json_object_set_new(o, "measured", json_boolean(host->measured));
	json_object_set_new(o, "reason", host->measured ? json_null() : json_string(host->reason));
	json_object_set_new(o, "put_back", json_boolean(host->put_back));
	for (on = 0; on < 2 && host->measured; on++) {
		r = json_object();
		json_object_set_new(r, "mode", json_string("kernel"));
		json_object_set_new(r, "optimize", json_boolean(on != 0));
		json_object_set_new(r, "asked", cli_json_number(host->pages));
		json_object_set_new(r, "freed", cli_json_number(host->got[on]));
		json_object_set_new(r, "grow_ns_per_page", nanoseconds(host->grow_ns_per_page[on]));
		json_object_set_new(r, "ns_per_page", nanoseconds(host->ns_per_page[on]));
		json_array_append_new(runs, r);
	}
	json_object_set_new(o, "runs", runs);
	return o;
}

static json_t *json_findings(const struct tour *t)
{
	json_t *a = json_array(), *o;
	uint64_t i;

	for (i = 0; i < t->audit_findings && i < TOUR_MAX_FINDINGS; i++) {
		const struct tour_finding *f = &t->finding[i];

		o = json_object();
		json_object_set_new(o, "when", json_string(f->where));
		json_object_set_new(o, "rule", json_string(f->rule));
		json_object_set_new(o, "what", json_string(f->what));
		json_object_set_new(o, "where", cli_json_number(f->pfn));
		json_object_set_new(o, "expected", cli_json_number(f->expected));
		json_object_set_new(o, "found", cli_json_number(f->found));
		json_array_append_new(a, o);
	}
	return a;
}

json_t *tour_json(const struct tour *t)
{
	json_t *o = json_object();

	json_object_set_new(o, "machine", json_machine(t));
	json_object_set_new(o, "fill", json_fill(t));
	json_object_set_new(o, "tails", json_tails(t));
	json_object_set_new(o, "runs", json_runs(t));
	json_object_set_new(o, "offline", json_offline(t));
	json_object_set_new(o, "host", json_host(&t->host));
	json_object_set_new(o, "checksum_errors", cli_json_number(t->checksum_errors));
	json_object_set_new(o, "audits", cli_json_number(t->audits));
	json_object_set_new(o, "audit_findings", cli_json_number(t->audit_findings));
	json_object_set_new(o, "findings", json_findings(t));
	/* A simulation prints the same for the same seed. */
	if (!t->opt->sim)
		json_object_set_new(o, "seconds", json_real(t->seconds));
	json_object_set_new(o, "ok", json_boolean(t->ok));
	return o;
}
