/* SPDX-License-Identifier: MIT */
#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define OUT_MAX (1u << 20)

static char *run_line(int *ret_status, const char *line)
{
	char *out = malloc(OUT_MAX);
	size_t len = 0, n;
	FILE *f;

	assert_non_null(out);
	f = popen(line, "r");
	assert_non_null(f);
	while ((n = fread(out + len, 1, OUT_MAX - 1 - len, f)))
		len += n;
	out[len] = '\0';
	*ret_status = pclose(f);
	assert_true(WIFEXITED(*ret_status));
	*ret_status = WEXITSTATUS(*ret_status);
	return out;
}

char *run_shell(int *ret_status, const char *fmt, ...)
{
	char line[1024];
	va_list va;

	va_start(va, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, va);
	va_end(va);
	return run_line(ret_status, line);
}

char *run(int *ret_status, const char *fmt, ...)
{
	char args[1024], line[2048];
	va_list va;

	va_start(va, fmt);
	(void)vsnprintf(args, sizeof(args), fmt, va);
	va_end(va);
	(void)snprintf(line, sizeof(line), "%s %s 2>&1", HVO_COMMAND, args);
	return run_line(ret_status, line);
}

unsigned int lines(const char *s)
{
	unsigned int nr = 0;

	for (; *s; s++)
		nr += *s == '\n';
	return nr;
}

void check_error(int status, const char *text, const char *args)
{
	int got;
	char *out = run(&got, "%s", args);

	if (got != status || lines(out) != 1 || strncmp(out, "hvo: ", 5) || !strstr(out, text))
		fail_msg("hvo %s: status %d, not %d with '%s':\n%s", args, got, status, text, out);
	free(out);
}

static size_t columns(const char *line, const char *end)
{
	size_t nr = 0;

	for (; line < end; line++)
		nr += ((unsigned char)*line & 0xc0) != 0x80;
	return nr;
}

void check_width(const char *out, size_t width)
{
	const char *line, *end;

	for (line = out; *line; line = end + 1) {
		end = strchr(line, '\n');
		assert_non_null(end);
		if (columns(line, end) > width || (end > line && end[-1] == ' '))
			fail_msg("not this line: '%.*s'", (int)(end - line), line);
	}
}

void check_shape(const char *out)
{
	check_width(out, 80);
}

json_t *run_json(int status, const char *args)
{
	int got;
	char *out = run_shell(&got, "%s %s --json 2>/dev/null", HVO_COMMAND, args);
	json_error_t error;
	json_t *j = json_loads(out, 0, &error);

	if (!j || got != status)
		fail_msg("hvo %s --json: status %d, %s, output:\n%s", args, got,
			 j ? "JSON" : error.text, out);
	free(out);
	return j;
}

json_t *at(json_t *j, const char *path)
{
	char key[64];
	size_t len;

	for (; *path; path += len + (path[len] == '/')) {
		len = strcspn(path, "/");
		(void)snprintf(key, sizeof(key), "%.*s", (int)len, path);
		j = json_is_array(j) ? json_array_get(j, strtoul(key, NULL, 10)) :
				       json_object_get(j, key);
		if (!j)
			fail_msg("no '%s' at '%s'", key, path);
	}
	return j;
}

uint64_t number(json_t *j, const char *path)
{
	j = at(j, path);
	assert_true(json_is_integer(j));
	return (uint64_t)json_integer_value(j);
}
