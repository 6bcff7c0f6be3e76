// SPDX-License-Identifier: MIT
/*
 * hvo top as lines of text: header, panels, and how they share a terminal.
 */
#include "cli/files/saving.h"
#include "top.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NUMBER_LEN 24
#define MEGA (UINT64_C(1) << 20)

const char *const top_panel_names[TOP_NR_PANELS] = {
	[TOP_ZONES] = "zones", [TOP_POOLS] = "pools",	[TOP_FREE] = "free lists",
	[TOP_MAP] = "memory",  [TOP_EVENTS] = "events",
};

/* ---- lines and numbers ----------------------------------------------------------- */

void top_line_begin(struct top_line *line, int width)
{
	memset(line, 0, sizeof(*line));
	line->width = width < TOP_LINE_LEN ? width : TOP_LINE_LEN - 1;
}

void top_put(struct top_line *line, enum top_style style, const char *fmt, ...)
{
	int room = line->width - line->len, n;
	va_list args;

	if (room <= 0)
		return;
	va_start(args, fmt);
	n = vsnprintf(line->text + line->len, (size_t)room + 1, fmt, args);
	va_end(args);
	if (n > room)
		n = room;
	/* A byte is a column here. */
	for (; n > 0; n--, line->len++) {
		if (line->text[line->len] < ' ' || line->text[line->len] > '~')
			line->text[line->len] = '?';
		line->style[line->len] = (unsigned char)style;
	}
}

/* To its end. */
static void fill(struct top_line *line, enum top_style style)
{
	top_put(line, style, "%*s", line->width - line->len, "");
}

/* At most five characters: 640K, 8.21M, 17.1G, 1023G. */
static const char *size(char buf[NUMBER_LEN], uint64_t bytes)
{
	static const char units[] = "KMGTPE";
	double value = (double)bytes / 1024;
	unsigned int unit = 0;

	while (value >= 1023.5 && units[unit + 1]) {
		value /= 1024;
		unit++;
	}
	if (!bytes)
		(void)snprintf(buf, NUMBER_LEN, "0");
	else
		(void)snprintf(buf, NUMBER_LEN, "%.*f%c",
			       unit == 0 || value >= 99.95 ? 0 :
			       value >= 9.995		   ? 1 :
							     2,
			       value, units[unit]);
	return buf;
}

static const char *pages(char buf[NUMBER_LEN], uint64_t nr)
{
	return size(buf, nr * saving_base_page());
}

/* At most @digits characters, 3 or more; exact as long as it has room: 9999, 524k, .5M. */
static const char *count(char buf[NUMBER_LEN], uint64_t n, int digits)
{
	static const char units[] = "kMGTPE";
	unsigned int unit = 0;

	if (snprintf(buf, NUMBER_LEN, "%" PRIu64, n) <= digits)
		return buf;
	for (n /= 1000; n >= 1000; n /= 1000)
		unit++;
	if (snprintf(buf, NUMBER_LEN, "%" PRIu64 "%c", n, units[unit]) > digits)
		(void)snprintf(buf, NUMBER_LEN, ".%" PRIu64 "%c", n / 100, units[unit + 1]);
	return buf;
}

static void put_bar(struct top_line *line, int width, double used, double mark,
		    enum top_style style)
{
	int cells = width - 2, n, i, at;

	if (cells < 1)
		return;
	n = (int)(used * cells + 0.5);
	at = (int)(mark * cells);
	if (at >= cells)
		at = cells - 1;
	top_put(line, TOP_BOLD, "[");
	for (i = 0; i < cells; i++) {
		if (mark >= 0 && i == at)
			top_put(line, TOP_BOLD, ":");
		else
			top_put(line, i < n ? style : TOP_DIM, i < n ? "|" : " ");
	}
	top_put(line, TOP_BOLD, "]");
}

/* ---- header ---------------------------------------------------------------------------- */

static void put_source(const struct top_view *v, struct top_line *line)
{
	const struct top_model *m = v->now;

	top_put(line, TOP_BOLD, "hvo top");
	if (v->source->demo)
		top_put(line, TOP_PLAIN, "  demo (%s, seed %" PRIu64 ")",
			demo_options(v->source->demo)->sim ? "sim" : "linux",
			demo_options(v->source->demo)->seed);
	else if (m->mode[0])
		top_put(line, TOP_PLAIN, "  machine at %s", v->source->dir);
	else if (!top_is_host(v->source))
		top_put(line, TOP_PLAIN, "  kernel at %s", v->source->dir);
	else
		top_put(line, TOP_PLAIN, "  Linux %s", m->release);
	if (m->mode[0])
		top_put(line, TOP_PLAIN, ", mode %s", m->mode);
	if (m->pools.nr_nodes)
		top_put(line, TOP_PLAIN, ", %u node%s", m->pools.nr_nodes,
			m->pools.nr_nodes == 1 ? "" : "s");
}

/* At the right end, over what is too long. */
static void put_clock(const struct top_view *v, struct top_line *line)
{
	unsigned int s = (unsigned int)v->age_s;
	char text[64];
	int n;

	n = snprintf(text, sizeof(text),
		     v->width < 60 ? " %u:%02u:%02u" : " up %u:%02u:%02u, every %.4g s", s / 3600,
		     s / 60 % 60, s % 60, v->interval);
	if (v->paused)
		n += 8;
	if (n >= line->width)
		return;
	if (line->len > line->width - n)
		line->len = line->width - n;
	top_put(line, TOP_PLAIN, "%*s", line->width - n - line->len, "");
	if (v->paused)
		top_put(line, TOP_WARN, "  PAUSED");
	top_put(line, TOP_PLAIN, "%s", text);
}

static int header_bar(const struct top_view *v)
{
	return v->width < 60 ? 0 : v->width / 4;
}

static void put_memory(const struct top_view *v, struct top_line *line)
{
	const struct memory_info *m = &v->now->memory;
	double used = m->total ? 1 - (double)m->free / (double)m->total : 0;
	char total[NUMBER_LEN], free[NUMBER_LEN], available[NUMBER_LEN];

	top_put(line, TOP_BOLD, "Memory ");
	if (!v->now->has_memory) {
		top_put(line, TOP_DIM, "unknown");
		return;
	}
	put_bar(line, header_bar(v), used, -1, TOP_GOOD);
	top_put(line, TOP_PLAIN, "%3.0f%% used: %s free of %s", used * 100, size(free, m->free),
		size(total, m->total));
	if (m->available != m->free)
		top_put(line, TOP_PLAIN, ", %s available", size(available, m->available));
}

static void put_memmap(const struct top_view *v, struct top_line *line)
{
	const struct memmap_info *m = &v->now->memmap;
	char now[NUMBER_LEN], full[NUMBER_LEN], could[NUMBER_LEN];
	double share = m->has_now && m->has_full && m->full ? (double)m->now / (double)m->full : -1;

	top_put(line, TOP_BOLD, "Descr. ");
	if (!m->has_now)
		top_put(line, TOP_DIM, "%s",
			m->now_err == -ENODATA ? "not counted by this kernel" : "unknown");
	else if (share >= 0)
		put_bar(line, header_bar(v), share > 1 ? 1 : share, -1, TOP_CELL_HUGE_FREE);
	if (share >= 0)
		top_put(line, TOP_PLAIN, "%3.0f%%: ", share * 100);
	if (m->has_now)
		top_put(line, TOP_PLAIN, "%s", size(now, m->now));
	if (m->has_full)
		top_put(line, TOP_PLAIN, m->has_now ? " of %s" : ", all would take %s",
			size(full, m->full));
	if (m->has_switch)
		top_put(line, TOP_PLAIN, "; HVO %s", m->on ? "on" : "off");
	else if (m->switch_err != -ENOENT)
		top_put(line, TOP_PLAIN, "; HVO unknown");
	else if (!m->on_demand)
		top_put(line, TOP_PLAIN, "; no HVO");
	if (m->has_saved)
		top_put(line, TOP_PLAIN, ", saves %s", size(now, m->saved));
	if (!m->on_demand && m->could)
		top_put(line, TOP_PLAIN, m->has_saved ? " of %s" : ", could save %s",
			size(could, m->could));
}

void top_header(const struct top_view *v, unsigned int i, struct top_line *line)
{
	top_line_begin(line, v->width);
	switch (i) {
	case 0:
		put_source(v, line);
		if (v->age_s >= 0)
			put_clock(v, line);
		break;
	case 1:
		put_memory(v, line);
		break;
	case 2:
		put_memmap(v, line);
		break;
	default:
		break;
	}
}

/* ---- zones -------------------------------------------------------------------------------- */

/* A row: a zone, or all of a node that has several, where there are several nodes. */
struct zone_row {
	struct top_zone zone;
	bool of_node;
};

static unsigned int zones_of(const struct top_model *m, int node)
{
	unsigned int nr = 0;
	size_t i;

	for (i = 0; i < m->nr_zones; i++)
		nr += m->zone[i].node == node && m->zone[i].has_info;
	return nr;
}

static void sum_node(const struct top_model *m, int node, struct top_zone *ret)
{
	size_t i;

	memset(ret, 0, sizeof(*ret));
	ret->node = node;
	(void)snprintf(ret->name, sizeof(ret->name), "all");
	for (i = 0; i < m->nr_zones; i++) {
		const struct top_zone *z = &m->zone[i];

		if (z->node != node)
			continue;
		ret->free += z->free;
		ret->min += z->min;
		ret->low += z->low;
		ret->high += z->high;
		ret->managed += z->managed;
	}
}

/* How many rows there are; the one at @at is stored. */
static size_t zone_rows(const struct top_model *m, size_t at, struct zone_row *ret)
{
	bool several = m->nr_zones && m->zone[0].node != m->zone[m->nr_zones - 1].node;
	size_t i, nr = 0;
	int node = -1;

	for (i = 0; i < m->nr_zones; i++) {
		const struct top_zone *z = &m->zone[i];

		if (!z->has_info)
			continue;
		if (several && z->node != node && zones_of(m, z->node) > 1 && nr++ == at) {
			sum_node(m, z->node, &ret->zone);
			ret->of_node = true;
		}
		node = z->node;
		if (nr++ == at) {
			ret->zone = *z;
			ret->of_node = false;
		}
	}
	return nr;
}

#define ZONE_PREFIX 12
#define ZONE_COLUMN 7
#define ZONE_STATE 6
#define ZONE_COLUMNS 5

/* Columns of figures and the width of the bar; what has no room is left out from the right. */
static int zone_columns(int width, int *ret_bar)
{
	int columns = ZONE_COLUMNS, room = width - ZONE_PREFIX - ZONE_STATE;

	while (columns > 2 && room - columns * ZONE_COLUMN < 12)
		columns--;
	*ret_bar = room - columns * ZONE_COLUMN;
	if (*ret_bar > 60)
		*ret_bar = 60;
	return columns;
}

static void zone_head(const struct top_view *v, struct top_line *line)
{
	static const char *const names[ZONE_COLUMNS] = { "free", "total", "min", "low", "high" };
	int bar, columns = zone_columns(v->width, &bar), i;

	top_put(line, TOP_HEAD, "%-*s%-*s", ZONE_PREFIX, "1 zones", bar > 0 ? bar : 0, "used");
	for (i = 0; i < columns; i++)
		top_put(line, TOP_HEAD, "%*s", ZONE_COLUMN, names[i]);
}

static enum top_style zone_state(const struct top_zone *z, const char **ret)
{
	*ret = z->free < z->min	 ? "<min" :
	       z->free < z->low	 ? "<low" :
	       z->free < z->high ? "<high" :
				   "";
	if (z->free < z->min)
		return TOP_BAD;
	return z->free < z->high ? TOP_WARN : TOP_GOOD;
}

static void put_zone(const struct top_view *v, size_t i, struct top_line *line)
{
	struct zone_row r = { 0 };
	const struct top_zone *z = &r.zone;
	const uint64_t *const figures[ZONE_COLUMNS] = { &z->free, &z->managed, &z->min, &z->low,
							&z->high };
	double managed, used, mark;
	char buf[NUMBER_LEN];
	enum top_style style;
	const char *state;
	int bar, columns = zone_columns(v->width, &bar), c;

	(void)zone_rows(v->now, i, &r);
	managed = z->managed ? (double)z->managed : 1;
	used = z->free < z->managed ? 1 - (double)z->free / managed : 0;
	mark = z->high < z->managed ? 1 - (double)z->high / managed : 0;
	style = zone_state(z, &state);
	if (r.of_node)
		top_put(line, TOP_BOLD, "%2d %-9s", z->node, "all");
	else
		top_put(line, TOP_PLAIN, "%2d %-9.8s", z->node, z->name);
	put_bar(line, bar, used, r.of_node ? -1 : mark, style);
	for (c = 0; c < columns; c++)
		top_put(line, c ? TOP_PLAIN : style, "%*s", ZONE_COLUMN, pages(buf, *figures[c]));
	top_put(line, style, " %s", r.of_node ? "" : state);
}

/* ---- pools --------------------------------------------------------------------------------- */

#define POOL_PREFIX 10
#define POOL_COLUMN 7

static bool any_served(const struct top_model *m)
{
	return m->pools.nr && m->pools.pool[0].has_served;
}

static void pool_head(const struct top_view *v, struct top_line *line)
{
	static const char *const names[] = { "total", "used", "free", "resv", "surp", "over" };
	size_t i;

	top_put(line, TOP_HEAD, "%-*s", POOL_PREFIX, "2 pools");
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		top_put(line, TOP_HEAD, "%*s", POOL_COLUMN, names[i]);
	if (any_served(v->now))
		top_put(line, TOP_HEAD, "%*s%*s%s", POOL_COLUMN, "folded", POOL_COLUMN + 1,
			"refused", pools_on_demand(&v->now->pools) ? "" : " policy");
	else
		top_put(line, TOP_HEAD, "%*s%*s", POOL_COLUMN, "stuck", POOL_COLUMN + 1, "memory");
}

/*
 * A pool, and, if it is not empty, its nodes where there are several; and a row for a file that
 * could not be read, for which nothing is stored. How many rows?
 */
static size_t pool_rows(const struct top_model *m, size_t at, const struct pool_info **ret,
			const struct pool_node **ret_node)
{
	size_t nr = 0;
	unsigned int i, n;

	for (i = 0; i < m->pools.nr; i++) {
		const struct pool_info *p = &m->pools.pool[i];

		if (nr++ == at) {
			*ret = p;
			*ret_node = NULL;
		}
		for (n = 0; p->nr_nodes > 1 && p->all.total && n < p->nr_nodes; n++) {
			if (nr++ == at) {
				*ret = p;
				*ret_node = &p->node[n];
			}
		}
	}
	return nr + (m->pools.err != 0);
}

static void put_count(struct top_line *line, enum top_style style, uint64_t n)
{
	char buf[NUMBER_LEN];

	top_put(line, n ? style : TOP_DIM, "%*s", POOL_COLUMN, count(buf, n, POOL_COLUMN - 1));
}

static void put_known(struct top_line *line, enum top_style style, uint64_t n)
{
	if (n == POOLS_UNKNOWN)
		top_put(line, TOP_DIM, "%*s", POOL_COLUMN, "-");
	else
		put_count(line, style, n);
}

static void put_pool_rest(struct top_line *line, const struct pool_info *p)
{
	uint64_t stuck = pool_stuck(p, POOLS_ALL_NODES);
	char buf[NUMBER_LEN];

	if (!p->has_served) {
		put_count(line, TOP_BAD, stuck);
		top_put(line, TOP_PLAIN, "%*s", POOL_COLUMN + 1,
			size(buf, p->all.total * p->bytes));
		return;
	}
	put_known(line, TOP_PLAIN, p->served.folded);
	top_put(line, TOP_PLAIN, " ");
	put_known(line, TOP_BAD, p->served.refused_frees);
	top_put(line, TOP_PLAIN, " %s", p->served.policy);
}

static void put_pool(const struct top_view *v, size_t i, struct top_line *line)
{
	const struct pool_node *node = NULL;
	const struct pool_info *p = NULL;
	const struct pool_counts *c;
	char name[POOLS_NAME_LEN];

	(void)pool_rows(v->now, i, &p, &node);
	if (!p) {
		top_put(line, TOP_BAD, " %s: %s", v->now->pools.failed,
			pools_strerror(v->now->pools.err));
		return;
	}
	c = node ? &node->counts : &p->all;
	if (node)
		top_put(line, TOP_DIM, "   node %-*d", POOL_PREFIX - 8, node->node);
	else
		top_put(line, TOP_BOLD, " %-*s", POOL_PREFIX - 1, pools_name(name, p->bytes));
	put_count(line, TOP_PLAIN, c->total);
	put_count(line, TOP_PLAIN, c->total > c->free ? c->total - c->free : 0);
	put_count(line, TOP_PLAIN, c->free);
	if (node)
		top_put(line, TOP_DIM, "%*s", POOL_COLUMN, "");
	else
		put_count(line, TOP_PLAIN, p->reserved);
	put_count(line, c->surplus ? TOP_WARN : TOP_PLAIN, c->surplus);
	if (node)
		return;
	put_count(line, TOP_PLAIN, p->overcommit);
	put_pool_rest(line, p);
}

/* ---- free lists -------------------------------------------------------------------------------- */

#define ORDER_COLUMN 5
#define ORDER_COLUMN_LEAST 4

static const struct top_zone *free_zone(const struct top_model *m, size_t at, size_t *ret_nr)
{
	const struct top_zone *found = NULL;
	size_t i;

	*ret_nr = 0;
	for (i = 0; i < m->nr_zones; i++)
		if (m->zone[i].nr_orders && (*ret_nr)++ == at)
			found = &m->zone[i];
	return found;
}

static unsigned int all_orders(const struct top_model *m)
{
	unsigned int most = 0;
	size_t i;

	for (i = 0; i < m->nr_zones; i++)
		if (m->zone[i].nr_orders > most)
			most = m->zone[i].nr_orders;
	return most;
}

/* Narrow ones, if that is what it takes to show all orders. */
static int order_column(const struct top_view *v)
{
	int all = (int)all_orders(v->now), room = v->width - ZONE_PREFIX;

	return all * ORDER_COLUMN > room && all * ORDER_COLUMN_LEAST <= room ? ORDER_COLUMN_LEAST :
									       ORDER_COLUMN;
}

unsigned int top_last_order(const struct top_view *v)
{
	int all = (int)all_orders(v->now), room = (v->width - ZONE_PREFIX) / order_column(v);

	return all > room ? (unsigned int)(all - room) : 0;
}

static void free_head(const struct top_view *v, struct top_line *line)
{
	/* By where there are more orders. */
	static const char *const names[2][2] = { { "3 free lists", "3 free  ->" },
						 { "3 free  <-", "3 free <->" } };
	bool left = v->first_order, right = v->first_order < top_last_order(v);
	unsigned int o, all = all_orders(v->now);

	top_put(line, TOP_HEAD, "%-*s", ZONE_PREFIX, names[left][right]);
	for (o = v->first_order; o < all; o++)
		top_put(line, TOP_HEAD, "%*u", order_column(v), o);
}

static void put_free(const struct top_view *v, size_t i, struct top_line *line)
{
	size_t nr;
	const struct top_zone *z = free_zone(v->now, i, &nr);
	int column = order_column(v);
	char buf[NUMBER_LEN];
	unsigned int o;

	top_put(line, TOP_PLAIN, "%2d %-9.8s", z->node, z->name);
	for (o = v->first_order; o < z->nr_orders; o++)
		top_put(line, z->nr_free[o] ? TOP_PLAIN : TOP_DIM, "%*s", column,
			count(buf, z->nr_free[o], column - 1));
}

/* ---- map ------------------------------------------------------------------------------------------ */

struct legend {
	char letter;
	enum top_style style;
	const char *name;
};

static const struct legend of_frames[] = {
	{ '.', TOP_CELL_FREE, "free" },		  { 'r', TOP_CELL_REPORTED, "reported" },
	{ 'u', TOP_CELL_USED, "used whole" },	  { 'H', TOP_CELL_HUGE_USED, "huge used" },
	{ 'h', TOP_CELL_HUGE_FREE, "huge free" }, { 'c', TOP_CELL_CUT, "cut" },
	{ 'e', TOP_CELL_EMPTY, "cut, empty" },	  { 'm', TOP_CELL_MEMMAP, "descriptors" },
	{ 'i', TOP_CELL_ISOLATED, "isolated" },	  { 'x', TOP_CELL_FAILED, "failed" },
	{ '-', TOP_CELL_OFFLINE, "offline" },	  { 0, TOP_PLAIN, NULL },
};

static const struct legend of_blocks[] = {
	{ 'N', TOP_CELL_HUGE_USED, "online, Normal" },
	{ 'M', TOP_CELL_CUT, "online, Movable" },
	{ 'D', TOP_CELL_USED, "online, DMA" },
	{ 'O', TOP_CELL_MEMMAP, "online" },
	{ '~', TOP_CELL_ISOLATED, "going offline" },
	{ '-', TOP_CELL_OFFLINE, "offline" },
	{ 0, TOP_PLAIN, NULL },
};

static const struct legend *legend_of(const struct top_map *map)
{
	return map->kind == TOP_MAP_FRAMES ? of_frames : of_blocks;
}

static enum top_style cell_style(const struct top_map *map, char letter)
{
	const struct legend *l = legend_of(map);

	while (l->letter && l->letter != letter)
		l++;
	return l->style;
}

#define MAP_PREFIX 14
#define MAP_STEP 64

/* Whole sections where there is room for them, else a part that divides one. */
static size_t map_cells(const struct top_view *v)
{
	size_t room = v->width > MAP_PREFIX ? (size_t)(v->width - MAP_PREFIX) : 1, n = MAP_STEP;

	if (room >= MAP_STEP)
		return room / MAP_STEP * MAP_STEP;
	while (n > room)
		n /= 2;
	return n;
}

static size_t rows_of_run(const struct top_view *v, const struct top_run *run)
{
	size_t step = map_cells(v) * v->zoom;

	return (run->nr + step - 1) / step;
}

static size_t map_rows(const struct top_view *v)
{
	const struct top_map *map = &v->now->map;
	size_t i, nr = 0;

	for (i = 0; i < map->nr_runs; i++)
		nr += rows_of_run(v, &map->run[i]);
	return nr;
}

/* What most of these cells are. */
static char most_common(const char *cells, size_t nr)
{
	unsigned int of[128] = { 0 };
	size_t i, best = 0;

	for (i = 0; i < nr; i++)
		of[(unsigned char)cells[i]]++;
	for (i = 0; i < nr; i++)
		if (of[(unsigned char)cells[i]] > of[(unsigned char)cells[best]])
			best = i;
	return cells[best];
}

static void put_cells(const struct top_view *v, const struct top_run *run, size_t at,
		      struct top_line *line)
{
	size_t i, nr = map_cells(v), left;
	char letter;

	for (i = 0; i < nr && at < run->nr; i++, at += v->zoom) {
		left = run->nr - at;
		letter = most_common(run->cells + at, left < v->zoom ? left : v->zoom);
		top_put(line, cell_style(&v->now->map, letter), "%c", letter);
	}
}

static void put_map(const struct top_view *v, size_t i, struct top_line *line)
{
	const struct top_map *map = &v->now->map;
	const struct top_run *run = map->run;
	uint64_t page = saving_base_page();
	size_t at;

	for (; i >= rows_of_run(v, run); run++)
		i -= rows_of_run(v, run);
	at = i * map_cells(v) * v->zoom;
	if (run->node >= 0)
		top_put(line, TOP_PLAIN, "%2d ", run->node);
	else
		top_put(line, TOP_PLAIN, " - ");
	top_put(line, TOP_PLAIN, "%c%8" PRIu64 "M ", run->zone[0] ? run->zone[0] : ' ',
		(run->pfn + at * map->cell_pages) * page / MEGA);
	put_cells(v, run, at, line);
}

/* The letters that occur and how much is in them, in lines; which has @at? */
static size_t put_legend(const struct top_view *v, size_t at, struct top_line *line)
{
	const struct top_map *map = &v->now->map;
	const struct legend *l;
	struct top_line each;
	size_t nr = 1;
	char buf[NUMBER_LEN];

	top_line_begin(&each, v->width);
	for (l = legend_of(map); l->letter; l++) {
		uint64_t cells = map->count[(unsigned char)l->letter];
		const char *amount = pages(buf, cells * map->cell_pages);
		int len = (int)(strlen(l->name) + strlen(amount)) + 5;

		if (!cells)
			continue;
		if (each.len && each.len + len > v->width) {
			top_line_begin(&each, v->width);
			nr++;
		}
		top_put(&each, TOP_PLAIN, " ");
		top_put(&each, l->style, "%c", l->letter);
		top_put(&each, TOP_PLAIN, " %s %s ", l->name, amount);
		if (line && nr == at + 1)
			*line = each;
	}
	return nr;
}

static void map_head(const struct top_view *v, struct top_line *line)
{
	const struct top_map *map = &v->now->map;
	char cell[NUMBER_LEN];

	top_put(line, TOP_HEAD, "4 memory map: a letter is %s",
		pages(cell, map->cell_pages * v->zoom));
	if (v->zoom > 1)
		top_put(line, TOP_HEAD, ", what most of it is");
}

/* ---- events ------------------------------------------------------------------------------------------ */

#define EVENT_COLUMN 40

static size_t event_columns(const struct top_view *v)
{
	return v->width < 2 * EVENT_COLUMN ? 1 : (size_t)v->width / EVENT_COLUMN;
}

static void event_head(const struct top_view *v, struct top_line *line)
{
	size_t i;

	for (i = 0; i < event_columns(v); i++)
		top_put(line, TOP_HEAD, "%-25s%7s%7s ", i ? "" : "5 events", "count",
			v->age_s < 0 ? "" : "per s");
}

/* False: there is none. */
static bool rate(const struct top_view *v, size_t i, double *ret)
{
	const struct top_counter *c = &v->now->counter[i], *b;
	double s;

	if (!v->before || i >= v->before->nr_counters)
		return false;
	b = &v->before->counter[i];
	s = (double)(v->now->taken_ns - v->before->taken_ns) / 1e9;
	if (c->gauge || strcmp(b->name, c->name) != 0 || b->value > c->value || s <= 0)
		return false;
	*ret = (double)(c->value - b->value) / s;
	return true;
}

static void put_event(const struct top_view *v, size_t i, struct top_line *line)
{
	const struct top_counter *c = &v->now->counter[i];
	char buf[NUMBER_LEN];
	double r = 0;
	bool known = rate(v, i, &r);

	top_put(line, c->value ? TOP_PLAIN : TOP_DIM, " %-24.24s", c->name);
	top_put(line,
		r > 0	 ? TOP_BOLD :
		c->value ? TOP_PLAIN :
			   TOP_DIM,
		"%7s", count(buf, c->value, 6));
	if (!known || v->age_s < 0)
		top_put(line, TOP_DIM, "%7s ", "");
	else if (r >= 999.95)
		top_put(line, TOP_BOLD, "%7s ", count(buf, (uint64_t)(r + 0.5), 6));
	else
		top_put(line, r > 0 ? TOP_BOLD : TOP_DIM, "%7.*f ", r > 0 ? 1 : 0, r);
}

static void put_events(const struct top_view *v, size_t i, struct top_line *line)
{
	size_t columns = event_columns(v), c;

	for (c = 0; c < columns && i * columns + c < v->now->nr_counters; c++)
		put_event(v, i * columns + c, line);
}

/* ---- panels --------------------------------------------------------------------------------------------- */

size_t top_heads(const struct top_view *v, enum top_panel panel)
{
	size_t legend, most = v->width < 60 ? 1 : 3;

	if (panel != TOP_MAP)
		return 1;
	legend = put_legend(v, 0, NULL);
	return 1 + (legend < most ? legend : most);
}

size_t top_rows(const struct top_view *v, enum top_panel panel)
{
	const struct pool_node *node;
	const struct pool_info *pool;
	struct zone_row row;
	size_t nr;

	switch (panel) {
	case TOP_ZONES:
		return zone_rows(v->now, SIZE_MAX, &row);
	case TOP_POOLS:
		return pool_rows(v->now, SIZE_MAX, &pool, &node);
	case TOP_FREE:
		(void)free_zone(v->now, SIZE_MAX, &nr);
		return nr;
	case TOP_MAP:
		return map_rows(v);
	case TOP_EVENTS:
		return (v->now->nr_counters + event_columns(v) - 1) / event_columns(v);
	default:
		return 0;
	}
}

void top_head(const struct top_view *v, enum top_panel panel, size_t i, struct top_line *line)
{
	static void (*const heads[TOP_NR_PANELS])(const struct top_view *, struct top_line *) = {
		[TOP_ZONES] = zone_head, [TOP_POOLS] = pool_head,   [TOP_FREE] = free_head,
		[TOP_MAP] = map_head,	 [TOP_EVENTS] = event_head,
	};

	top_line_begin(line, v->width);
	if (i) {
		(void)put_legend(v, i - 1, line);
		return;
	}
	heads[panel](v, line);
	fill(line, TOP_HEAD);
}

void top_row(const struct top_view *v, enum top_panel panel, size_t i, struct top_line *line)
{
	static void (*const rows[TOP_NR_PANELS])(const struct top_view *, size_t,
						 struct top_line *) = {
		[TOP_ZONES] = put_zone, [TOP_POOLS] = put_pool,	   [TOP_FREE] = put_free,
		[TOP_MAP] = put_map,	[TOP_EVENTS] = put_events,
	};

	top_line_begin(line, v->width);
	rows[panel](v, i, line);
}

/* One line more, if there is one and it is of use. */
static bool grow(enum top_panel p, const size_t want[TOP_NR_PANELS], int ret[TOP_NR_PANELS],
		 int *lines)
{
	if (!*lines || !ret[p] || (size_t)ret[p] >= want[p])
		return false;
	ret[p]++;
	--*lines;
	return true;
}

void top_layout(int lines, const size_t want[TOP_NR_PANELS], const size_t heads[TOP_NR_PANELS],
		int ret[TOP_NR_PANELS])
{
	static const enum top_panel order[TOP_NR_PANELS] = { TOP_ZONES, TOP_POOLS, TOP_MAP,
							     TOP_EVENTS, TOP_FREE };
	bool more = true;
	unsigned int i;

	for (i = 0; i < TOP_NR_PANELS; i++) {
		enum top_panel p = order[i];

		ret[p] = want[p] && (int)heads[p] < lines ? (int)heads[p] + 1 : 0;
		lines -= ret[p];
	}
	/* The map has most to show. */
	while (lines && more) {
		more = grow(TOP_MAP, want, ret, &lines);
		for (i = 0; i < TOP_NR_PANELS; i++)
			more |= grow(order[i], want, ret, &lines);
	}
}
