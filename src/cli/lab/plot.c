// SPDX-License-Identifier: MIT
/*
 * Plots: a script for gnuplot goes into its standard input, the data with it, and the SVG
 * comes out of its standard output. No files.
 */
#include "plot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- the script --------------------------------------------------------------------------- */

/* In '...' gnuplot replaces nothing; a quote is written twice. */
static void put_quoted(FILE *out, const char *text)
{
	fputc('\'', out);
	for (; *text; text++) {
		if (*text == '\'')
			fputs("''", out);
		else
			fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
	}
	fputc('\'', out);
}

/* A name in a line of data: between "...", where gnuplot knows '\'. */
static void put_name(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++)
		fputc(*text == '"' || *text == '\\' ? '\'' :
		      (unsigned char)*text < ' '    ? ' ' :
						      *text,
		      out);
	fputc('"', out);
}

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static bool is_point(const json_t *point)
{
	const json_t *x = json_array_get(point, 0);

	return (json_is_number(x) || json_is_string(x)) && json_is_number(json_array_get(point, 1));
}

/* Is there such a point, seen on these axes? */
static bool any_point(const json_t *result, bool (*is)(const json_t *point, unsigned int axes),
		      unsigned int axes)
{
	const json_t *one, *point;
	size_t i, k;

	json_array_foreach(json_object_get(result, "series"), i, one)
	{
		json_array_foreach(json_object_get(one, "points"), k, point)
		{
			if (is_point(point) && is(point, axes))
				return true;
		}
	}
	return false;
}

#define LOG_X 1u
#define LOG_Y 2u

static bool is_visible(const json_t *point, unsigned int axes)
{
	return (!(axes & LOG_X) || json_number_value(json_array_get(point, 0)) > 0) &&
	       (!(axes & LOG_Y) || json_number_value(json_array_get(point, 1)) > 0);
}

static bool is_negative(const json_t *point, unsigned int axes)
{
	(void)axes;
	return json_number_value(json_array_get(point, 1)) < 0;
}

static bool has_name(const json_t *point, unsigned int axes)
{
	(void)axes;
	return json_is_string(json_array_get(point, 0));
}

bool plot_possible(const json_t *result)
{
	return any_point(result, is_visible, 0);
}

static void put_number(FILE *out, double value)
{
	fprintf(out, "%.12g", value);
}

static void put_lines(FILE *out, const json_t *series)
{
	const json_t *one, *point;
	size_t i, k;

	json_array_foreach(series, i, one)
	{
		fprintf(out, "$d%zu << EOD\n", i);
		json_array_foreach(json_object_get(one, "points"), k, point)
		{
			if (!is_point(point) || !json_is_number(json_array_get(point, 0)))
				continue;
			put_number(out, json_number_value(json_array_get(point, 0)));
			fputc(' ', out);
			put_number(out, json_number_value(json_array_get(point, 1)));
			fputc('\n', out);
		}
		fputs("EOD\n", out);
	}
}

/* The y of a series at a name, or NULL. */
static const json_t *value_at(const json_t *one, const json_t *x)
{
	const json_t *point;
	size_t k;

	json_array_foreach(json_object_get(one, "points"), k,
			   point) if (is_point(point) && json_equal(json_array_get(point, 0),
								    x)) return json_array_get(point,
											      1);
	return NULL;
}

/* All names, in the order in which they appear. */
static json_t *all_names(const json_t *series)
{
	json_t *names = json_array(), *x, *name;
	const json_t *one, *point;
	size_t i, k, n;
	bool known;

	json_array_foreach(series, i, one)
		json_array_foreach(json_object_get(one, "points"), k, point)
	{
		if (!is_point(point))
			continue;
		x = json_array_get(point, 0);
		known = false;
		json_array_foreach(names, n, name) known = known || json_equal(name, x);
		if (!known)
			json_array_append(names, x);
	}
	return names;
}

/* One line for each name, with its place and all series' values. */
static void put_bars(FILE *out, const json_t *series)
{
	json_t *names = all_names(series), *name;
	const json_t *one, *value;
	size_t n, i;
	char number[32];

	fputs("$d << EOD\n", out);
	json_array_foreach(names, n, name)
	{
		(void)snprintf(number, sizeof(number), "%g", json_number_value(name));
		put_name(out, json_is_string(name) ? json_string_value(name) : number);
		json_array_foreach(series, i, one)
		{
			value = value_at(one, name);
			fputc(' ', out);
			if (value)
				put_number(out, json_number_value(value));
			else
				fputs("NaN", out);
		}
		fputc('\n', out);
	}
	fputs("EOD\n", out);
	json_decref(names);
}

static void put_plot(FILE *out, const json_t *series, bool bars)
{
	const json_t *one;
	size_t i;

	fputs("plot ", out);
	json_array_foreach(series, i, one)
	{
		if (i)
			fputs(", ", out);
		if (bars)
			fprintf(out, "$d using %zu:xtic(1) title ", i + 2);
		else
			/* Where lines lie on each other, all of them can be seen. */
			fprintf(out, "$d%zu using 1:2 with linespoints lw %zu ps 0.6 title ", i,
				json_array_size(series) - i > 8 ? 8 : json_array_size(series) - i);
		put_quoted(out, text_of(one, "name"));
	}
	fputc('\n', out);
}

static void put_script(FILE *out, const json_t *result)
{
	const json_t *series = json_object_get(result, "series");
	/* Points whose x are names are drawn as bars. */
	bool bars = any_point(result, has_name, 0);
	unsigned int axes = 0;

	if (json_is_true(json_object_get(result, "logx")) && !bars)
		axes |= LOG_X;
	if (json_is_true(json_object_get(result, "logy")))
		axes |= LOG_Y;
	if (!any_point(result, is_visible, axes))
		axes = 0;
	fputs("set terminal svg size 900,420 dynamic noenhanced font 'sans-serif,13' "
	      "background 'white'\n"
	      "set encoding utf8\n"
	      "set grid lc rgb '#dddddd'\n"
	      "set border 3\n"
	      "set tics nomirror\n",
	      out);
	fputs(json_array_size(series) > 1 ? "set key outside right top\n" : "set key off\n", out);
	fputs("set xlabel ", out);
	put_quoted(out, text_of(result, "x"));
	fputs("\nset ylabel ", out);
	put_quoted(out, text_of(result, "y"));
	fputc('\n', out);
	if (axes & LOG_X)
		fputs("set logscale x\n", out);
	if (axes & LOG_Y)
		fputs("set logscale y\n", out);
	else if (!any_point(result, is_negative, 0)) /* bars, and shares, begin at 0 */
		fputs("set yrange [0:*]\nset offsets 0, 0, graph 0.05, 0\n", out);
	if (bars)
		fputs("set style data histograms\n"
		      "set style histogram clustered gap 1\n"
		      "set style fill solid 0.8 noborder\n"
		      "set xtics rotate by -25\n",
		      out);
	if (bars)
		put_bars(out, series);
	else
		put_lines(out, series);
	put_plot(out, series, bars);
}

/* ---- gnuplot -------------------------------------------------------------------------------- */

/* Child with two pipes; 0 or negative errno. */
static int start(int *ret_in, int *ret_out, pid_t *ret_pid)
{
	static char name[] = "gnuplot";
	char *const argv[] = { name, NULL };
	posix_spawn_file_actions_t actions;
	int in[2], out[2], err;

	if (pipe2(in, O_CLOEXEC))
		return -errno;
	if (pipe2(out, O_CLOEXEC)) {
		err = errno;
		close(in[0]);
		close(in[1]);
		return -err;
	}
	err = posix_spawn_file_actions_init(&actions);
	if (!err) {
		posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
		posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
		/* It has opinions about ranges; whether it worked is in its status. */
		posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
		err = posix_spawnp(ret_pid, name, &actions, NULL, argv, environ);
		posix_spawn_file_actions_destroy(&actions);
	}
	close(in[0]);
	close(out[1]);
	if (err) {
		close(in[1]);
		close(out[0]);
		return -err;
	}
	*ret_in = in[1];
	*ret_out = out[0];
	return 0;
}

static void write_all(int fd, const char *text, size_t len)
{
	ssize_t n;

	while (len && ((n = write(fd, text, len)) > 0 || errno == EINTR)) {
		if (n < 0)
			continue;
		text += n;
		len -= (size_t)n;
	}
}

static char *read_all(int fd)
{
	size_t len = 0, max = 1 << 16;
	char *text = malloc(max), *more;
	ssize_t n;

	while (text &&
	       ((n = read(fd, text + len, max - len - 1)) > 0 || (n < 0 && errno == EINTR))) {
		len += n > 0 ? (size_t)n : 0;
		if (max - len > 1)
			continue;
		max *= 2;
		more = realloc(text, max);
		if (!more)
			free(text);
		text = more;
	}
	if (text)
		text[len] = '\0';
	return text;
}

/* gnuplot draws at the last line of the script: all of it is read before it writes much. */
static int run(const char *script, size_t len, char **ret)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, before;
	int in = -1, out = -1, status = -1, err;
	pid_t pid = 0;

	err = start(&in, &out, &pid);
	if (err)
		return err;
	/* Should it end early: that is told by its status. */
	sigaction(SIGPIPE, &ignore, &before);
	write_all(in, script, len);
	close(in);
	sigaction(SIGPIPE, &before, NULL);
	*ret = read_all(out);
	close(out);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (*ret && WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	err = !*ret ? -ENOMEM : WIFEXITED(status) && WEXITSTATUS(status) == 127 ? -ENOENT : -EIO;
	free(*ret);
	return err;
}

/* ---- the element ------------------------------------------------------------------------------ */

/* Inside of a tag: names of things in this document become this plot's own. */
static size_t put_own_name(FILE *out, const char *at, unsigned int nr)
{
	static const struct {
		const char *from, *to;
	} names[] = {
		{ " id='", " id='p" },
		{ " id=\"", " id=\"p" },
		{ " xlink:href='#", " href='#p" },
		{ "url(#", "url(#p" },
	};
	size_t i, len;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		len = strlen(names[i].from);
		if (!strncmp(at, names[i].from, len)) {
			fprintf(out, "%s%u-", names[i].to, nr);
			return len;
		}
	}
	return 0;
}

static char *own_names(const char *svg, unsigned int nr)
{
	bool in_tag = false;
	char *text = NULL;
	size_t len, skip;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	for (; *svg; svg += skip ? skip : 1) {
		skip = in_tag ? put_own_name(out, svg, nr) : 0;
		if (skip)
			continue;
		if (*svg == '<' || *svg == '>')
			in_tag = *svg == '<';
		fputc(*svg, out);
	}
	return fclose(out) ? NULL : text;
}

int plot_svg(const json_t *result, unsigned int nr, char **ret_svg)
{
	char *script = NULL, *all = NULL, *svg;
	size_t len = 0;
	FILE *out = open_memstream(&script, &len);
	int err;

	if (!out)
		return -ENOMEM;
	put_script(out, result);
	if (fclose(out))
		return -ENOMEM;
	err = run(script, len, &all);
	free(script);
	if (err)
		return err;
	/* Without what comes before the element: a document has that already. */
	svg = strstr(all, "<svg");
	if (!svg || !strstr(svg, "</svg>"))
		err = -EIO;
	else
		*ret_svg = own_names(svg, nr);
	free(all);
	if (!err && !*ret_svg)
		err = -ENOMEM;
	return err;
}
