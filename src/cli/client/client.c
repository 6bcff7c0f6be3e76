// SPDX-License-Identifier: MIT
/*
 * hvo client: huge pages of a served machine, for a while or for a program.
 *
 * The program takes this one's place, with the socket: so pages are lent exactly as long as it
 * lives, however it ends, and there is nobody to pass signals on.
 */
#include "cli/commands.h"
#include "common/args.h"
#include "common/cli.h"
#include "common/table.h"

#include <hvo/client.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMORY_FD 3
#define SOCKET_FD 4
#define ABOVE_BOTH 5
#define HOLD_MAX UINT64_C(2000000) /* seconds; fits poll() in ms */
#define SIZE_NAME_LEN 24
#define HUGENESS_LEN (2 * TABLE_SIZE_LEN + 32)

static const char help[] =
	"usage: hvo client borrow SIZE=N --socket PATH [options] [-- COMMAND...]\n"
	"       hvo client status --socket PATH [--json]\n"
	"\n"
	"Borrow huge pages of a machine that hvo serve --socket PATH lends, as a sealed\n"
	"memfd. With a command they are lent as long as it runs: the memfd is its\n"
	"descriptor 3 (HVO_FD=3 and HVO_BYTES are in the environment), and 4 is the\n"
	"socket (HVO_SOCKET_FD=4), which must stay open: when the last copy of it is\n"
	"closed, the memory is emptied and goes back.\n"
	"Without one they are held until this command ends.\n"
	"\n"
	"  SIZE=N           such as 2M=16: so many pages of that size\n"
	"  --socket PATH    of the server\n"
	"  --server-uid N   who has to serve there (default: root or this user)\n"
	"  --node N         from this node only\n"
	"  --hugetlb        memory of this system's own pool of huge pages\n"
	"  --populate       all of the memory at once, not when it is first touched\n"
	"  --collapse       and huge in hardware, as far as the system can\n"
	"  --movable        the served machine may take other pages for it later\n"
	"  --hold SECONDS   give them back after so long\n"
	"  --json           what was lent, or the status, as JSON\n";

struct client_options {
	const char *socket;
	const char *verb;
	char **command;
	uint64_t nr;
	uint64_t hold; /* seconds */
	unsigned int order;
	int node;
	uid_t server;
	bool has_hold;
	bool hugetlb, populate, collapse, movable;
	bool json;
};

/* ---- arguments ------------------------------------------------------------------ */

static int set_hold(void *arg, const char *value)
{
	struct client_options *opt = arg;

	opt->has_hold = true;
	return args_number("--hold", value, 0, HOLD_MAX, &opt->hold);
}

static const struct arg_spec specs[] = {
	ARG_TEXT("--socket", struct client_options, socket),
	ARG_NUMBER("--server-uid", struct client_options, server, 0, UINT32_MAX - 1),
	ARG_NUMBER("--node", struct client_options, node, 0, HVO_MAX_NODES - 1),
	ARG_FLAG("--hugetlb", struct client_options, hugetlb),
	ARG_FLAG("--populate", struct client_options, populate),
	ARG_FLAG("--collapse", struct client_options, collapse),
	ARG_FLAG("--movable", struct client_options, movable),
	ARG_CALL("--hold", true, set_hold),
	ARG_FLAG("--json", struct client_options, json),
	ARG_END,
};

/* 2M=16 */
static int set_pages(struct client_options *opt, const char *value)
{
	uint64_t bytes;
	const char *nr;

	if (opt->nr)
		return args_error("borrow: one size at a time, so '%s' is too much", value);
	if (args_pages("borrow", value, &bytes, &nr))
		return CLI_USAGE;
	opt->order = args_page_order(bytes);
	if (!opt->order)
		return args_error("borrow: '%s': there are huge pages of 2M to 1G only", value);
	return args_number("borrow", nr, 1, UINT64_MAX, &opt->nr);
}

static int take_operand(void *arg, const char *value)
{
	struct client_options *opt = arg;

	if (!opt->verb) {
		opt->verb = value;
		if (strcmp(value, "borrow") != 0 && strcmp(value, "status") != 0)
			return args_error("client: '%s' is neither borrow nor status", value);
		return CLI_OK;
	}
	if (!strcmp(opt->verb, "borrow"))
		return set_pages(opt, value);
	return args_error("unexpected argument '%s'", value);
}

static uint64_t flags_of(const struct client_options *opt)
{
	return (opt->hugetlb ? HVO_BORROW_HUGETLB : 0) | (opt->populate ? HVO_BORROW_POPULATE : 0) |
	       (opt->collapse ? HVO_BORROW_COLLAPSE : 0) | (opt->movable ? HVO_BORROW_MOVABLE : 0);
}

static int check_options(const struct client_options *opt)
{
	bool borrow;

	if (!opt->verb)
		return args_error("client: what is to be done? borrow or status");
	if (!opt->socket)
		return args_error("client: whose memory? --socket PATH is that of hvo serve");
	borrow = !strcmp(opt->verb, "borrow");
	if (borrow && !opt->nr)
		return args_error("borrow: how many pages of which size? Such as 2M=16");
	if (!borrow &&
	    (opt->command || opt->has_hold || opt->node != HVO_NODE_ANY || flags_of(opt)))
		return args_error("client status takes --socket, --server-uid and --json only");
	if (opt->command && !*opt->command)
		return args_error("borrow: there is no command behind --");
	if (opt->command && (opt->has_hold || opt->json))
		return args_error("borrow: with a command there is neither --hold nor --json");
	return CLI_OK;
}

/* Options of the command behind "--" are not ours. */
static char **cut_command(char **args)
{
	for (; *args; args++) {
		if (strcmp(*args, "--") != 0)
			continue;
		*args = NULL;
		return args + 1;
	}
	return NULL;
}

/* ---- the server ------------------------------------------------------------------- */

static const char *size_name(char buf[SIZE_NAME_LEN], uint64_t bytes)
{
	bool giga = !(bytes % (UINT64_C(1) << 30));

	(void)snprintf(buf, SIZE_NAME_LEN, "%" PRIu64 "%c", bytes >> (giga ? 30 : 20),
		       giga ? 'G' : 'M');
	return buf;
}

static struct hvo_client *connect_to(const struct client_options *opt)
{
	const char *path = opt->socket;
	struct hvo_client *client = NULL;
	int rc = hvo_client_connect_uid(path, opt->server, &client);

	switch (rc) {
	case 0:
		return client;
	case -ENOENT:
	case -ECONNREFUSED:
		cli_die("%s: nobody serves there (hvo serve --socket %s)", path, path);
	case -EPERM:
		cli_die("%s: not for this user (hvo serve --allow-uid %u)", path,
			(unsigned int)geteuid());
	case -EUSERS:
		cli_die("%s: the server has as many clients as it takes, in all or of this user; "
			"try again later",
			path);
	case -ECONNABORTED:
		cli_die("%s: who serves there is not who is expected, and could read the memory "
			"(--server-uid N says who may be)",
			path);
	case -EPROTO:
	case -EPROTONOSUPPORT:
		cli_die("%s: not an hvo server of this version", path);
	default:
		cli_die("%s: %s", path, strerror(-rc));
	}
}

static void die_of_borrow(const struct client_options *opt, int rc)
{
	char size[SIZE_NAME_LEN];

	size_name(size, HVO_FRAME_SIZE << opt->order);
	switch (rc) {
	case -ENOENT:
		cli_die("the server has no pool of %s pages (hvo client status shows which)", size);
	case -ENOMEM:
		cli_die("the server has not got %" PRIu64 " free pages of %s%s (hvo pool set "
			"adds some)",
			opt->nr, size, opt->node < 0 ? "" : " on that node");
	case -EDQUOT:
		cli_die("%" PRIu64 " pages of %s are more than the quota (hvo client status shows "
			"it)",
			opt->nr, size);
	case -EINVAL:
		cli_die("the server has no node %d", opt->node);
	case -ENOSPC:
		cli_die("this system has not got the memory: %s",
			opt->hugetlb ?
				"so many huge pages are not free in its own pool (hvo status "
				"shows that, hvo pool set adds some)" :
				"not as much as --populate and --collapse ask for");
	case -EOPNOTSUPP:
		cli_die("this system has no huge pages of %s of its own (--hugetlb)", size);
	default:
		cli_die("borrowing %" PRIu64 " pages of %s: %s", opt->nr, size, strerror(-rc));
	}
}

static int print_json(json_t *o)
{
	if (!o || json_dumpf(o, stdout, JSON_INDENT(2)))
		cli_die("out of memory");
	putchar('\n');
	json_decref(o);
	return cli_flush();
}

/* ---- borrow --------------------------------------------------------------------------- */

/* What the hardware maps as huge pages, in words, since "huge" is also what small pages are called. */
static const char *hugeness(const struct client_options *opt, const struct hvo_loan *loan,
			    char buf[HUGENESS_LEN])
{
	char huge[TABLE_SIZE_LEN], all[TABLE_SIZE_LEN];

	if (opt->hugetlb)
		return "all of it huge in hardware, of this system's own pool";
	if (!opt->populate && !opt->collapse)
		return "memory comes when it is touched, huge in hardware where the system makes it "
		       "so (--collapse asks for it)";
	if (loan->huge_bytes == loan->bytes)
		return "all of it huge in hardware";
	if (!loan->huge_bytes)
		return opt->collapse ?
			       "nothing of it huge in hardware: the system had no huge page" :
			       "nothing of it huge in hardware (--collapse asks for that)";
	(void)snprintf(buf, HUGENESS_LEN, "%s of %s huge in hardware",
		       table_size(huge, loan->huge_bytes), table_size(all, loan->bytes));
	return buf;
}

static int print_loan(const struct client_options *opt, const struct hvo_loan *loan)
{
	char size[SIZE_NAME_LEN], bytes[TABLE_SIZE_LEN], words[HUGENESS_LEN];

	size_name(size, HVO_FRAME_SIZE << loan->order);
	if (opt->json)
		return print_json(json_pack(
			"{s:s, s:o, s:o, s:o, s:o, s:b, s:o, s:o}", "size", size, "page_bytes",
			cli_json_number(HVO_FRAME_SIZE << loan->order), "pages",
			cli_json_number(loan->nr), "bytes", cli_json_number(loan->bytes),
			"huge_bytes", cli_json_number(loan->huge_bytes), "movable", opt->movable,
			"node", opt->node < 0 ? json_null() : json_integer(opt->node),
			"hold_seconds", opt->has_hold ? cli_json_number(opt->hold) : json_null()));
	printf("%" PRIu64 " pages of %s, %s, until this ends\n%s\n", loan->nr, size,
	       table_size(bytes, loan->bytes), hugeness(opt, loan, words));
	return cli_flush();
}

static int hold(const struct client_options *opt, struct hvo_client *client, struct hvo_loan *loan)
{
	struct pollfd server = { .fd = hvo_client_socket(client) };
	int rc, status = print_loan(opt, loan);

	do {
		rc = poll(&server, 1, opt->has_hold ? (int)(opt->hold * 1000) : -1);
	} while (rc < 0 && errno == EINTR);
	if (rc)
		cli_die("%s: the server is gone, and the memory with it", opt->socket);
	rc = hvo_client_return(client, loan);
	if (rc)
		cli_die("giving the pages back: %s", strerror(-rc));
	hvo_client_close(client);
	return status;
}

/* As descriptor @to, kept over exec. */
static void place(int fd, int to)
{
	if (fd < 0 || dup2(fd, to) < 0)
		cli_die("descriptor %d: %s", to, strerror(errno));
}

static void run_command(const struct client_options *opt, const struct hvo_client *client,
			const struct hvo_loan *loan)
{
	/* Out of the way first: either may be where the other one is to be. */
	int memory = fcntl(loan->fd, F_DUPFD_CLOEXEC, ABOVE_BOTH);
	int server = fcntl(hvo_client_socket(client), F_DUPFD_CLOEXEC, ABOVE_BOTH);
	char bytes[SIZE_NAME_LEN];

	place(memory, MEMORY_FD);
	place(server, SOCKET_FD);
	(void)snprintf(bytes, sizeof(bytes), "%" PRIu64, loan->bytes);
	if (setenv("HVO_FD", "3", 1) || setenv("HVO_SOCKET_FD", "4", 1) ||
	    setenv("HVO_BYTES", bytes, 1))
		cli_die("out of memory");
	execvp(opt->command[0], opt->command);
	cli_die("%s: %s", opt->command[0], strerror(errno));
}

static int borrow(const struct client_options *opt)
{
	struct hvo_client *client = connect_to(opt);
	struct hvo_loan loan = { .size = sizeof(loan) };
	struct hvo_borrow_options with = { .size = sizeof(with), .flags = flags_of(opt) };
	int rc = hvo_client_borrow_with(client, opt->order, opt->nr, opt->node, &with, &loan);

	if (rc)
		die_of_borrow(opt, rc);
	if (opt->command)
		run_command(opt, client, &loan);
	return hold(opt, client, &loan);
}

/* ---- status --------------------------------------------------------------------------- */

static json_t *pools_json(const struct hvo_client_status *s)
{
	json_t *pools = json_array();
	char size[SIZE_NAME_LEN];
	int i;

	for (i = 0; i < HVO_CLIENT_POOLS && s->pools[i].order; i++) {
		const struct hvo_client_pool *p = &s->pools[i];
		uint64_t bytes = HVO_FRAME_SIZE << p->order;

		json_array_append_new(pools, json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
						       "size", size_name(size, bytes), "page_bytes",
						       cli_json_number(bytes), "total",
						       cli_json_number(p->total), "free",
						       cli_json_number(p->free), "reserved",
						       cli_json_number(p->reserved), "lent",
						       cli_json_number(p->lent), "pending",
						       cli_json_number(p->pending), "mine",
						       cli_json_number(p->mine)));
	}
	return pools;
}

static json_t *limit(uint64_t bytes)
{
	return bytes ? cli_json_number(bytes) : json_null();
}

static int print_status_json(const struct hvo_client_status *s)
{
	return print_json(json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "clients", cli_json_number(s->clients),
		"max_clients", cli_json_number(s->max_clients), "client_limit_bytes",
		limit(s->limit_bytes), "user_limit_bytes", limit(s->user_limit_bytes),
		"user_used_bytes", cli_json_number(s->user_used_bytes), "refused",
		cli_json_number(s->refused), "pools", pools_json(s)));
}

static int print_status(const struct hvo_client_status *s)
{
	static const char *const heads[] = { "<pool", "total",	 "free", "reserved",
					     "lent",  "pending", NULL };
	char size[SIZE_NAME_LEN], a[TABLE_SIZE_LEN], b[TABLE_SIZE_LEN];
	struct table *t = table_new(heads);
	int i;

	for (i = 0; i < HVO_CLIENT_POOLS && s->pools[i].order; i++) {
		const struct hvo_client_pool *p = &s->pools[i];

		table_cell(t, "%s", size_name(size, HVO_FRAME_SIZE << p->order));
		table_number(t, p->total);
		table_number(t, p->free);
		table_number(t, p->reserved);
		table_number(t, p->lent);
		table_number(t, p->pending);
	}
	table_print(t, stdout, 0);
	printf("\nclients  %" PRIu64 " of at most %" PRIu64 ", this one included\n", s->clients,
	       s->max_clients);
	printf("quota    %s for a client, %s for a user, who has %s\n",
	       s->limit_bytes ? table_size(a, s->limit_bytes) : "none",
	       s->user_limit_bytes ? table_size(b, s->user_limit_bytes) : "none",
	       s->user_used_bytes ? table_size((char[TABLE_SIZE_LEN]){ 0 }, s->user_used_bytes) :
				    "nothing");
	printf("refused  %" PRIu64 "\n", s->refused);
	return cli_flush();
}

static int show_status(const struct client_options *opt)
{
	struct hvo_client *client = connect_to(opt);
	struct hvo_client_status s = { .size = sizeof(s) };
	int rc = hvo_client_status(client, &s);

	if (rc)
		cli_die("%s: %s", opt->socket, strerror(-rc));
	hvo_client_close(client);
	return opt->json ? print_status_json(&s) : print_status(&s);
}

int cli_client(char **args)
{
	struct client_options opt = { .node = HVO_NODE_ANY, .server = HVO_CLIENT_TRUSTED };
	int status;

	if (args_want_help(args))
		return cli_help(help);
	opt.command = cut_command(args);
	status = args_parse(specs, args, &opt, take_operand);
	if (!status)
		status = check_options(&opt);
	if (status)
		return status;
	return strcmp(opt.verb, "borrow") ? show_status(&opt) : borrow(&opt);
}
