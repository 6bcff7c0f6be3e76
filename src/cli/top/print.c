// SPDX-License-Identifier: MIT
/*
 * One snapshot of hvo top, as text and as JSON.
 */
#include "cli/files/saving.h"
#include "common/cli.h"
#include "common/text.h"
#include "top.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* What comes before the cells of a line of the map. */
#define PRINT_MAP_AT 14

/* ---- text -------------------------------------------------------------------------- */

static void print_line(const struct top_line *line)
{
	int len = line->len;

	while (len && line->text[len - 1] == ' ')
		len--;
	printf("%.*s\n", len, line->text);
}

/* Lines of the map that show the same as the one above are only counted. */
static void print_rows(const struct top_view *v, enum top_panel panel)
{
	struct top_line line, above;
	size_t i, same = 0, nr = top_rows(v, panel);

	top_line_begin(&above, v->width);
	for (i = 0; i < nr; i++) {
		top_row(v, panel, i, &line);
		if (panel == TOP_MAP && i && i + 1 < nr && line.len == above.len &&
		    !strcmp(line.text + PRINT_MAP_AT, above.text + PRINT_MAP_AT)) {
			same++;
			continue;
		}
		if (same)
			printf("%*s... %zu more the same\n", PRINT_MAP_AT, "", same);
		same = 0;
		print_line(&line);
		above = line;
	}
}

static void print_panel(const struct top_view *v, enum top_panel panel)
{
	struct top_line line;
	unsigned int i;

	putchar('\n');
	for (i = 0; i < top_heads(v, panel); i++) {
		top_head(v, panel, i, &line);
		print_line(&line);
	}
	print_rows(v, panel);
}

int top_print(const struct top_source *source, const struct top_model *model)
{
	struct top_view v = {
		.source = source,
		.now = model,
		.width = (int)text_width(),
		.age_s = -1,
		.zoom = 1,
	};
	struct top_line line;
	unsigned int i, p;

	for (i = 0; i < TOP_HEADER_LINES; i++) {
		top_header(&v, i, &line);
		print_line(&line);
	}
	for (p = 0; p < TOP_NR_PANELS; p++) {
		if (!top_rows(&v, (enum top_panel)p))
			continue;
		print_panel(&v, (enum top_panel)p);
		/* Nobody can scroll it: the orders that had no room are another panel. */
		if (p != TOP_FREE || !top_last_order(&v))
			continue;
		v.first_order = top_last_order(&v);
		print_panel(&v, TOP_FREE);
		v.first_order = 0;
	}
	return cli_flush();
}

/* ---- JSON ----------------------------------------------------------------------------- */

static json_t *zone_json(const struct top_zone *z)
{
	json_t *j = json_pack("{s:i, s:o}", "node", z->node, "name", cli_json_text(z->name));
	const struct {
		const char *name;
		uint64_t pages;
	} figures[] = {
		{ "free_bytes", z->free },	 { "min_bytes", z->min },
		{ "low_bytes", z->low },	 { "high_bytes", z->high },
		{ "managed_bytes", z->managed }, { "present_bytes", z->present },
		{ "spanned_bytes", z->spanned }, { "cma_bytes", z->cma },
	};
	json_t *orders = json_array();
	size_t i;

	for (i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
		json_object_set_new(j, figures[i].name,
				    z->has_info ?
					    cli_json_number(figures[i].pages * saving_base_page()) :
					    json_null());
	for (i = 0; i < z->nr_orders; i++)
		json_array_append_new(orders, cli_json_number(z->nr_free[i]));
	json_object_set_new(j, "free_blocks", orders);
	return j;
}

static json_t *zones_json(const struct top_model *m)
{
	json_t *all = json_array();
	size_t i;

	for (i = 0; i < m->nr_zones; i++)
		json_array_append_new(all, zone_json(&m->zone[i]));
	return all;
}

static json_t *run_json(const struct top_run *run, uint64_t page)
{
	return json_pack("{s:I, s:o, s:o, s:s%}", "start_bytes", (json_int_t)(run->pfn * page),
			 "node", run->node < 0 ? json_null() : json_integer(run->node), "zone",
			 cli_json_word(run->zone), "cells", run->cells, run->nr);
}

static json_t *map_json(const struct top_map *map)
{
	json_t *runs = json_array(), *counts = json_object();
	uint64_t page = saving_base_page();
	char letter[2] = "";
	size_t i;

	if (map->kind == TOP_MAP_NONE) {
		json_decref(runs);
		json_decref(counts);
		return json_null();
	}
	for (i = 0; i < map->nr_runs; i++)
		json_array_append_new(runs, run_json(&map->run[i], page));
	for (i = 0; i < sizeof(map->count) / sizeof(map->count[0]); i++) {
		letter[0] = (char)i;
		if (map->count[i])
			json_object_set_new(counts, letter, cli_json_number(map->count[i]));
	}
	return json_pack("{s:s, s:I, s:o, s:o}", "kind",
			 map->kind == TOP_MAP_FRAMES ? "frames" : "memory_blocks", "cell_bytes",
			 (json_int_t)(map->cell_pages * page), "cells", counts, "runs", runs);
}

static json_t *events_json(const struct top_model *m)
{
	json_t *j = json_object();
	size_t i;

	for (i = 0; i < m->nr_counters; i++)
		json_object_set_new(j, m->counter[i].name, cli_json_number(m->counter[i].value));
	return j;
}

static json_t *memory_json(const struct top_model *m)
{
	if (!m->has_memory)
		return json_null();
	return json_pack("{s:I, s:I, s:I}", "total_bytes", (json_int_t)m->memory.total,
			 "free_bytes", (json_int_t)m->memory.free, "available_bytes",
			 (json_int_t)m->memory.available);
}

static const char *kind(const struct top_source *source, const struct top_model *m)
{
	if (source->demo)
		return "demo";
	if (m->mode[0])
		return "machine";
	return top_is_host(source) ? "host" : "tree";
}

int top_print_json(const struct top_source *source, const struct top_model *m)
{
	json_t *nodes = json_array(), *j;
	unsigned int i;

	for (i = 0; i < m->pools.nr_nodes; i++)
		json_array_append_new(nodes, json_integer(m->pools.node[i]));
	j = json_pack("{s:s, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "source",
		      kind(source, m), "root", cli_json_text(source->demo ? NULL : source->dir),
		      "release", cli_json_word(m->release), "mode", cli_json_word(m->mode),
		      "base_page_bytes", (json_int_t)saving_base_page(), "nodes", nodes, "memory",
		      memory_json(m), "hvo", memmap_json(&m->memmap), "zones", zones_json(m),
		      "pools", pools_json(&m->pools), "map", map_json(&m->map), "events",
		      events_json(m));
	return cli_print_json(j);
}
