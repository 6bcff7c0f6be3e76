/* SPDX-License-Identifier: MIT */
#ifndef HVO_CLI_TOP_TOP_H
#define HVO_CLI_TOP_TOP_H

#include "cli/files/memory.h"
#include "cli/files/pools.h"
#include "cli/files/root.h"

#include <hvo/hvo.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * hvo top: what is known of a host or of a machine at one moment (top_read.c), as lines of
 * text with styles (top_lines.c), which are printed (top_print.c) or shown on a terminal and
 * kept up to date (top_draw.c, top_live.c). A machine to look at: top_demo.c.
 */

/* ---- what is known ------------------------------------------------------------- */

#define TOP_NAME_LEN 32
#define TOP_ORDERS 32u

/**
 * struct top_zone - of a node; all in base pages
 * @has_info: zoneinfo tells of it
 * @nr_free: free blocks of each order, @nr_orders of them; 0: buddyinfo does not tell
 */
struct top_zone {
	int node;
	char name[TOP_NAME_LEN];
	bool has_info;
	uint64_t free, min, low, high;
	uint64_t spanned, present, managed, cma;
	uint64_t nr_free[TOP_ORDERS];
	unsigned int nr_orders;
};

/* What one cell of the map says: a letter. */
enum top_map_kind {
	TOP_MAP_NONE,
	TOP_MAP_BLOCKS, /* a memory block of the kernel: online in which zone, or offline */
	TOP_MAP_FRAMES, /* 2 MiB of a machine of libhvo: what is in it */
};

/* Cells that are neighbours, of one node and one zone. */
struct top_run {
	uint64_t pfn;
	int node; /* -1: not known */
	char zone[TOP_NAME_LEN];
	char *cells;
	size_t nr;
};

/**
 * struct top_map - memory by state
 * @cell_pages: base pages of a cell
 * @count: cells of each letter
 */
struct top_map {
	enum top_map_kind kind;
	uint64_t cell_pages;
	struct top_run *run;
	size_t nr_runs;
	uint64_t nr_cells;
	uint64_t count[128];
};

/**
 * struct top_counter - an event, or another thing that is counted
 * @gauge: it goes up and down: no rate
 */
struct top_counter {
	char name[TOP_NAME_LEN];
	uint64_t value;
	bool gauge;
};

/**
 * struct top_model - all of it
 * @taken_ns: when, by the monotonic clock
 * @release: of a kernel; empty: not known
 * @mode: "on-demand", "linux": of a machine of libhvo; empty: it is a kernel
 * @memory: meaningful if @has_memory
 */
struct top_model {
	uint64_t taken_ns;
	char release[80];
	char mode[TOP_NAME_LEN];
	bool has_memory;
	struct memory_info memory;
	struct memmap_info memmap;
	struct pools pools;
	struct top_zone *zone;
	size_t nr_zones;
	struct top_map map;
	struct top_counter *counter;
	size_t nr_counters;
};

/**
 * top_read() - read all that is there
 *
 * What is not there, or makes no sense, is left out.
 *
 * Return: 0 and a model for top_free(); negative errno if neither memory nor pools are there,
 * -ENOMEM.
 */
int top_read(const struct root *root, struct top_model **ret);
void top_free(struct top_model *model); /* accepts NULL */

/* ---- where it comes from -------------------------------------------------------- */

struct demo;

/* @dir: "/", or where a machine is served; @demo: NULL, or the machine. */
struct top_source {
	const char *dir;
	struct demo *demo;
};

bool top_is_host(const struct top_source *source);
/*
 * Open, read, close: so nobody who wants to unmount the directory finds it in use, and what
 * is mounted there later is found. What top_read() says, or why the directory is not there.
 */
int top_read_source(const struct top_source *source, struct top_model **ret);

/* ---- lines ------------------------------------------------------------------------ */

enum top_style {
	TOP_PLAIN,
	TOP_DIM,
	TOP_BOLD,
	TOP_HEAD,  /* of a panel */
	TOP_FOCUS, /* of the panel that the arrows scroll */
	TOP_GOOD,
	TOP_WARN,
	TOP_BAD,
	TOP_CELLS, /* and on: of cells of the map, see top_cell_style() */
	TOP_CELL_FREE = TOP_CELLS,
	TOP_CELL_REPORTED,
	TOP_CELL_USED,
	TOP_CELL_HUGE_USED,
	TOP_CELL_HUGE_FREE,
	TOP_CELL_CUT,
	TOP_CELL_EMPTY,
	TOP_CELL_MEMMAP,
	TOP_CELL_FAILED,
	TOP_CELL_ISOLATED,
	TOP_CELL_OFFLINE,
	TOP_NR_STYLES
};

#define TOP_LINE_LEN 512

/* @width: more is cut off. Always ended by '\0'. */
struct top_line {
	int width, len;
	char text[TOP_LINE_LEN];
	unsigned char style[TOP_LINE_LEN];
};

/**
 * struct top_view - how the model is looked at
 * @before: an older model, for rates; or NULL
 * @age_s: how long somebody has been looking; negative: just once
 * @interval: seconds between two looks
 * @zoom: cells of the map that one letter stands for
 * @first_order: of the free lists, the first that is shown
 */
struct top_view {
	const struct top_source *source;
	const struct top_model *now, *before;
	int width;
	double age_s, interval;
	bool paused;
	size_t zoom;
	unsigned int first_order;
};

enum top_panel { TOP_ZONES, TOP_POOLS, TOP_FREE, TOP_MAP, TOP_EVENTS, TOP_NR_PANELS };
extern const char *const top_panel_names[TOP_NR_PANELS];

#define TOP_HEADER_LINES 3
#define TOP_ZOOM_MAX 4096u

void top_header(const struct top_view *v, unsigned int i, struct top_line *line);
/* Lines that name what follows and do not scroll; then those that do. No rows: nothing to show. */
size_t top_heads(const struct top_view *v, enum top_panel panel);
size_t top_rows(const struct top_view *v, enum top_panel panel);
void top_head(const struct top_view *v, enum top_panel panel, size_t i, struct top_line *line);
void top_row(const struct top_view *v, enum top_panel panel, size_t i, struct top_line *line);
/* How many orders more than one, at most, can be scrolled away. */
unsigned int top_last_order(const struct top_view *v);

void top_line_begin(struct top_line *line, int width);
void top_put(struct top_line *line, enum top_style style, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * top_layout() - share out the lines of a terminal
 * @want, @heads: of each panel; @want is 0 for one that is not shown
 * @ret: lines of each panel, heads too; 0: no room
 *
 * Each gets its heads and a row as long as there is room for it, the most important first; what
 * is left goes round.
 */
void top_layout(int lines, const size_t want[TOP_NR_PANELS], const size_t heads[TOP_NR_PANELS],
		int ret[TOP_NR_PANELS]);

/* ---- output ------------------------------------------------------------------------- */

/* One snapshot; an exit status. */
int top_print(const struct top_source *source, const struct top_model *model);
int top_print_json(const struct top_source *source, const struct top_model *model);
/* From a first model on, which it frees, until somebody has seen enough. */
int top_live(const struct top_source *source, double interval, struct top_model *first);

/* ---- terminal (top_draw.c) ------------------------------------------------------------- */

#define TOP_MIN_COLUMNS 40
#define TOP_MIN_LINES 10

/**
 * struct top_screen - what is shown, and how far it is scrolled
 * @message: in place of the keys, if not empty
 */
struct top_screen {
	bool shown[TOP_NR_PANELS];
	size_t offset[TOP_NR_PANELS];
	int height[TOP_NR_PANELS]; /* as drawn */
	enum top_panel focus;
	bool help;
	char message[TOP_LINE_LEN];
};

/* 0, or CLI_FAILED after a line on standard error. It is put back at exit() at the latest. */
int top_screen_open(void);
void top_screen_close(void);
void top_screen_draw(struct top_screen *s, struct top_view *v);

/* ---- reading without waiting for it (top_reader.c) ---------------------------------------- */

struct reader;

/* A thread that reads, and lets a demo's machine live in between. 0 or negative errno. */
int reader_start(const struct top_source *source, struct reader **ret);
/* Ask for a model; nothing if one is on the way. */
void reader_ask(struct reader *r);
/* To wait for with poll(): readable when there is an answer. */
int reader_fd(const struct reader *r);
/* Is there one? Then 0 and a model, or an error, is stored. */
bool reader_answer(struct reader *r, struct top_model **ret, int *ret_error);
/* False: it hangs in a read, and was left behind. */
bool reader_stop(struct reader *r);

/* ---- a machine to look at (top_demo.c) ------------------------------------------------------ */

struct demo_options {
	uint64_t memory_bytes;
	uint64_t seed;
	uint32_t nr_nodes;
	enum hvo_mode mode;
	bool sim;
};

/* 0, or CLI_FAILED after a line on standard error. */
int demo_open(const struct demo_options *opt, struct demo **ret);
void demo_close(struct demo *demo);
struct tree *demo_tree(struct demo *demo);
const struct demo_options *demo_options(const struct demo *demo);
/* A little of what programs do: allocate, free, resize pools. One thread at a time. */
void demo_step(struct demo *demo);

#endif
