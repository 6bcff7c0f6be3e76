// SPDX-License-Identifier: MIT
/*
 * Messages on the socket of who lends huge pages: requests that a server gets, and replies that a
 * client gets.
 */
#include "parse.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <hvo/client.h>

#include "core/machine.h"
#include "lend/internal.h"

#define PAGES 2
#define MAX_MESSAGES 12u

/* ---- a server ------------------------------------------------------------------------------- */

/* Without its thread and its socket: what the thread does with a client is done here. */
static struct hvo_lend server;
static bool no_memory;

/* The linker puts this in the place of hvo_linux_populate(). */
int __real_hvo_linux_populate(struct hvo_linux *host, hvo_pfn_t pfn, uint64_t nr);
int __wrap_hvo_linux_populate(struct hvo_linux *host, hvo_pfn_t pfn, uint64_t nr);
int __wrap_hvo_linux_populate(struct hvo_linux *host, hvo_pfn_t pfn, uint64_t nr)
{
	return no_memory ? -ENOMEM : __real_hvo_linux_populate(host, pfn, nr);
}

/* Nobody looks at what huge pages hold, and clearing them would take most of the time. */
static void clear_nothing(void *ctx, hvo_pfn_t pfn, uint64_t nr)
{
	(void)ctx;
	(void)pfn;
	(void)nr;
}

static void open_server(void)
{
	static struct hvo_platform_ops ops;
	static const struct hvo_config cfg = { .size = sizeof(cfg),
					       .memory_bytes = UINT64_C(128) << 20 };
	static const struct hvo_linux_options opt = { .size = sizeof(opt), .sparse = true };
	struct hvo_pool *pool;

	must(!hvo_linux_create(&cfg, &opt, &server.host), "no machine");
	server.m = hvo_linux_machine(server.host);
	ops = *server.m->ops;
	ops.zero = clear_nothing;
	server.m->ops = &ops;
	must(!hvo_pool_create(server.m, HVO_PAGEBLOCK_ORDER, &pool), "no pool");
	must(!hvo_pool_resize(pool, HVO_NODE_ANY, PAGES, NULL), "no pages");
	server.epoll = epoll_create1(EPOLL_CLOEXEC);
	must(server.epoll >= 0, "no epoll");
	server.opt.max_clients = 4;
	server.opt.client_bytes = UINT64_C(4) << 20;
	pthread_mutex_init(&server.lock, NULL);
	pthread_mutex_init(&server.page_lock, NULL);
	must(!lend_moves_begin(&server), "no owner");
}

/* Its other end is returned. */
static int connect_client(void)
{
	struct client *client = calloc(1, sizeof(*client));
	int fds[2];

	must(client && !socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
	     "no socket");
	client->fd = fds[0];
	must(!lend_watch(&server, EPOLL_CTL_ADD, client->fd, EPOLLIN | EPOLLRDHUP, client),
	     "no event");
	client->next = server.clients;
	server.clients = client;
	return fds[1];
}

static void read_replies(int fd)
{
	struct lend_status reply;
	ssize_t len;

	while ((len = recv(fd, &reply, sizeof(reply), MSG_DONTWAIT)) > 0) {
		must(len == sizeof(reply) || len == sizeof(reply.reply), "a reply of no size");
		must(reply.reply.version == LEND_VERSION && reply.reply.error <= 0,
		     "a reply that is none");
		must(len == sizeof(reply.reply) || reply.used_bytes <= server.opt.client_bytes,
		     "more than a client may have");
	}
}

/* A message as it may be, or some bytes. */
static void send_request(int fd, struct input *in)
{
	struct lend_request r = { .version = LEND_VERSION, .op = input_byte(in) };
	uint8_t bytes[2 * sizeof(r)] = { 0 };
	size_t len, i;

	if (r.op & 0x80) {
		len = input_byte(in) % sizeof(bytes);
		for (i = 0; i < len; i++)
			bytes[i] = input_byte(in);
		(void)send(fd, bytes, len, MSG_NOSIGNAL);
		return;
	}
	r.id = input_byte(in);
	r.order = input_byte(in);
	r.node = (int8_t)input_byte(in);
	r.nr = input_byte(in);
	/* Flags, too, of which most bits mean nothing. */
	r.flags = r.order >> 5;
	r.order &= 0x1f;
	/* The largest numbers are what overflows. */
	if (r.op & 0x40)
		r.nr = UINT64_MAX / (r.nr + 1);
	r.op &= 0x3f;
	(void)send(fd, &r, sizeof(r), MSG_NOSIGNAL);
}

static void work(bool retry)
{
	struct epoll_event event;

	while (epoll_wait(server.epoll, &event, 1, 0) == 1) {
		if (event.events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR))
			lend_drop(&server, event.data.ptr);
		else
			lend_request(&server, event.data.ptr);
	}
	while (loans_step(&server, retry))
		;
}

/* How many messages each time before the server works, and then each. */
void parse_requests(struct input *in)
{
	uint8_t how = input_byte(in);
	int fd;
	unsigned int i;
	struct hvo_pool_stat s = { .size = sizeof(s) };

	if (!server.m)
		open_server();
	no_memory = how & 1;
	fd = connect_client();
	for (i = 0; in->left && i < MAX_MESSAGES; i++) {
		send_request(fd, in);
		if (how >> (1 + i % 7) & 1)
			continue;
		work(false);
		read_replies(fd);
	}
	close(fd);
	no_memory = false;
	work(true);
	work(true);
	must(!server.clients && !server.loans, "somebody is still there");
	must(!hvo_pool_stat(hvo_pool_find(server.m, HVO_PAGEBLOCK_ORDER), HVO_NODE_ANY, &s) &&
		     s.free == PAGES,
	     "pages did not come back");
}

/* ---- a client ---------------------------------------------------------------------------------- */

/* Has no name any more: it is found through the descriptor. */
static int listener = -1;
static char address[64];

static void listen_somewhere(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/hvo-fuzz-XXXXXX";
	int file;

	must(mkdtemp(dir), "no directory");
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket", dir);
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	must(!bind(listener, (const struct sockaddr *)&addr, sizeof(addr)) && !listen(listener, 1),
	     "no socket");
	file = open(addr.sun_path, O_PATH | O_CLOEXEC);
	must(file >= 0, "no socket");
	(void)unlink(addr.sun_path);
	(void)rmdir(dir);
	(void)snprintf(address, sizeof(address), "/proc/self/fd/%d", file);
}

static int some_file(uint8_t kind)
{
	int fd = kind & 3 ? memfd_create("hvo-fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING) :
			    open("/dev/null", O_RDWR | O_CLOEXEC);

	must(fd >= 0, "no descriptor");
	if (kind & 2)
		(void)!ftruncate(fd, (off_t)1 << 21);
	if (kind & 1)
		(void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
	return fd;
}

static void send_with(int to, const void *message, size_t len, int fd, unsigned int nr)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(3 * sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)message, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	unsigned int i;

	if (nr) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(nr * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(nr * sizeof(int));
		for (i = 0; i < nr; i++)
			memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &fd, sizeof(fd));
	}
	(void)sendmsg(to, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Which descriptors come along, the message's length if that is odd, and fields. */
static void send_reply(int to, struct input *in)
{
	uint8_t how = input_byte(in), shape = input_byte(in);
	struct lend_status s = { .reply = { .version = LEND_VERSION } };
	int fd = some_file(how);
	size_t len = shape & 1 ? sizeof(s) : sizeof(s.reply), i;

	s.reply.op = input_byte(in);
	s.reply.error = (int8_t)input_byte(in);
	s.reply.id = input_byte(in);
	s.reply.bytes = (uint64_t)input_byte(in) << 21;
	if (shape & 2) {
		len = input_byte(in) % sizeof(s);
		for (i = 0; i < len; i++)
			((uint8_t *)&s)[i] ^= input_byte(in);
	}
	send_with(to, &s, len, fd, how >> 2 & 3u);
	close(fd);
}

static void *be_server(void *arg)
{
	struct lend_reply greeting = { .version = LEND_VERSION };
	struct input *in = arg;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	unsigned int i;

	must(fd >= 0, "nobody came");
	if (!(input_byte(in) & 1))
		send_with(fd, &greeting, sizeof(greeting), -1, 0);
	for (i = 0; in->left && i < MAX_MESSAGES; i++)
		send_reply(fd, in);
	(void)shutdown(fd, SHUT_WR);
	return (void *)(intptr_t)fd;
}

static unsigned int open_descriptors(void)
{
	int fd = dup(listener);

	must(fd >= 0, "no descriptor");
	close(fd);
	return (unsigned int)fd;
}

static void use_client(struct hvo_client *client, uint8_t asks)
{
	struct hvo_client_status status = { .size = sizeof(status) };
	struct hvo_loan loan = { .size = sizeof(loan) };
	unsigned int i;
	void *at;

	for (i = 0; i < 4; i++, asks = (uint8_t)(asks >> 2)) {
		if (asks & 1 && !hvo_client_status(client, &status))
			status.clients = 0;
		if (hvo_client_borrow(client, HVO_PAGEBLOCK_ORDER, 1 + (asks >> 1 & 1),
				      HVO_NODE_ANY, &loan))
			continue;
		must(loan.bytes == loan.nr << 21, "a loan of another size");
		if (!hvo_client_map(&loan, &at)) {
			/* Nobody can take this memory away, of which the end would go first. */
			((volatile char *)at)[loan.bytes - 1] = 1;
			munmap(at, loan.bytes);
		}
		if (hvo_client_return(client, &loan) == -EINVAL)
			close(loan.fd);
	}
}

/* What the client asks for; and then what a server says to it, whatever that was. */
void parse_replies(struct input *in)
{
	uint8_t asks = input_byte(in);
	struct hvo_client *client;
	unsigned int before;
	pthread_t thread;
	void *fd;

	if (listener < 0)
		listen_somewhere();
	before = open_descriptors();
	must(!pthread_create(&thread, NULL, be_server, in), "no thread");
	if (!hvo_client_connect(address, &client)) {
		use_client(client, asks);
		hvo_client_close(client);
	}
	must(!pthread_join(thread, &fd), "no thread");
	close((int)(intptr_t)fd);
	must(open_descriptors() == before, "a descriptor is left open");
}
