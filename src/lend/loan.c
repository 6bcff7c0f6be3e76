// SPDX-License-Identifier: MIT
/*
 * Pages on their way to a client and back: see enum loan_state in internal.h.
 *
 * A page of a loan is in use, as the pool counts, from hvo_pool_alloc() to
 * hvo_pool_free(), and its frames have no memory in between. It is freed once the memory is
 * there again, all of it, and never before: a page for which there is none stays with the loan,
 * which is stuck and tries again. So pages are never lost, and none is handed out that is not
 * there. What a step did stays done; every step can be the last one for a while.
 *
 * Locks: the server's, held in all of this.
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26 /* above it: the logarithm of the size of a huge page */
#endif

static uint64_t page_bytes(const struct loan *loan)
{
	return HVO_FRAME_SIZE << loan->order;
}

static uint64_t loan_bytes(const struct loan *loan)
{
	return loan->nr * page_bytes(loan);
}

uint64_t loan_pages(const struct loan *loan)
{
	return loan->taken - loan->restored / page_bytes(loan);
}

uint64_t loan_used(const struct loan *loan)
{
	return loan->state == LOAN_TAKING ? loan_bytes(loan) : loan_pages(loan) * page_bytes(loan);
}

uint64_t loan_pending(const struct loan *loan)
{
	return loan->stuck ? loan_pages(loan) : 0;
}

/* ---- beginning ---------------------------------------------------------------- */

/*
 * Of a size that nobody can change: the client can share it with others who then need not
 * fear SIGBUS, and cannot make it larger. Returns the descriptor or negative errno.
 */
static int open_memfd(const struct loan *loan)
{
	unsigned int giga = loan->order == HVO_GIGA_ORDER, flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	unsigned int shift = HVO_FRAME_SHIFT + (giga ? HVO_GIGA_ORDER : HVO_PAGEBLOCK_ORDER);
	int fd;

	if (loan->flags & LEND_HUGETLB)
		flags |= MFD_HUGETLB | shift << MFD_HUGE_SHIFT;
	fd = memfd_create("hvo-loan", flags | MFD_NOEXEC_SEAL);
	/* Kernels before 6.3 do not know it. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("hvo-loan", flags);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE))
		return -ENFILE;
	/* Of that size; or of any, with EINVAL, where the kernel was built without. */
	if (fd < 0)
		return loan->flags & LEND_HUGETLB && errno != ENOMEM ? -EOPNOTSUPP : -ENOMEM;
	if (!ftruncate(fd, (off_t)loan_bytes(loan)) &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return fd;
	close(fd);
	return -ENOMEM;
}

int loan_new(struct hvo_lend *lend, struct client *client, struct hvo_pool *pool,
	     const struct lend_request *request)
{
	struct loan *loan;

	loan = calloc(1, sizeof(*loan) + request->nr * sizeof(loan->pages[0]));
	if (!loan)
		return -ENOMEM;
	loan->nr = request->nr;
	loan->order = request->order;
	loan->node = request->node;
	loan->flags = request->flags;
	loan->fd = open_memfd(loan);
	if (loan->fd < 0) {
		int error = loan->fd;

		free(loan);
		return error;
	}
	loan->client = client;
	loan->asked = true;
	loan->uid = client->uid;
	loan->pool = pool;
	loan->id = ++lend->next_id;
	loan->next = lend->loans;
	pthread_mutex_lock(&lend->page_lock);
	lend->loans = loan;
	pthread_mutex_unlock(&lend->page_lock);
	return 0;
}

/* ---- steps ------------------------------------------------------------------------ */

/* First without waiting for anybody; surplus pages can take a while, if the pool may have any. */
static int take_page(struct loan *loan, hvo_pfn_t *ret)
{
	unsigned int gfp = loan->node >= 0 ? HVO_GFP_THISNODE : 0;
	int rc = hvo_pool_alloc(loan->pool, gfp, loan->node, ret);
	struct hvo_pool_stat stat = { .size = sizeof(stat) };

	if (rc != -HVO_ENOMEM || hvo_pool_stat(loan->pool, HVO_NODE_ANY, &stat) ||
	    stat.surplus >= stat.overcommit)
		return rc;
	return hvo_pool_alloc(loan->pool, gfp | HVO_GFP_RECLAIM | HVO_GFP_NOWARN, loan->node, ret);
}

static void close_memfd(struct loan *loan)
{
	close(loan->fd);
	loan->fd = -1;
}

static void take_step(struct hvo_lend *lend, struct loan *loan)
{
	struct lend_reply reply = { .op = LEND_BORROW, .id = loan->id, .bytes = loan_bytes(loan) };
	uint64_t bytes;
	hvo_pfn_t pfn;

	for (bytes = 0; bytes < LEND_STEP_BYTES && loan->taken < loan->nr;
	     bytes += page_bytes(loan)) {
		if (take_page(loan, &pfn)) {
			/* Nobody has seen the memfd. */
			close_memfd(loan);
			loan->error = -ENOMEM;
			loan->state = LOAN_RESTORING;
			return;
		}
		loan->pages[loan->taken].pfn = pfn;
		(void)hvo_linux_discard(lend->host, pfn, UINT64_C(1) << loan->order);
		lend_page_lent(lend, loan, loan->taken++);
	}
	if (loan->taken < loan->nr)
		return;
	loan->state = LOAN_LENT;
	loan->asked = false;
	lend_reply(lend, loan->client, &reply, loan->fd);
}

/* The memory of @len bytes at @off; who has them mapped reads zeroes. */
static bool punch(const struct loan *loan, uint64_t off, uint64_t len)
{
	int rc;

	do {
		rc = fallocate(loan->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off,
			       (off_t)len);
	} while (rc && errno == EINTR);
	return !rc;
}

static void empty_step(struct loan *loan)
{
	uint64_t len = loan_bytes(loan) - loan->emptied;

	if (len > LEND_STEP_BYTES)
		len = LEND_STEP_BYTES;
	loan->stuck = !punch(loan, loan->emptied, len);
	if (loan->stuck)
		return;
	loan->emptied += len;
	if (loan->emptied < loan_bytes(loan))
		return;
	close_memfd(loan);
	loan->state = LOAN_RESTORING;
}

/* A part of one page, or all of it; then it goes to the pool. */
static bool restore_part(struct hvo_lend *lend, struct loan *loan, uint64_t *ret_len)
{
	uint64_t size = page_bytes(loan), off = loan->restored % size;
	uint64_t len = size - off < LEND_STEP_BYTES ? size - off : LEND_STEP_BYTES;
	hvo_pfn_t pfn;

	if (!lend_page_back(lend, loan, loan->restored / size, &pfn) ||
	    hvo_linux_populate(lend->host, pfn + (off >> HVO_FRAME_SHIFT), len >> HVO_FRAME_SHIFT))
		return false;
	/* Nobody else can have mapped it or have a reference that stays. */
	if (off + len == size && hvo_pool_free(loan->pool, pfn))
		return false;
	loan->restored += len;
	*ret_len = len;
	return true;
}

static void restore_step(struct hvo_lend *lend, struct loan *loan)
{
	uint64_t bytes = 0, len = 0, all = loan->taken * page_bytes(loan);

	loan->stuck = false;
	while (!loan->stuck && bytes < LEND_STEP_BYTES && loan->restored < all) {
		loan->stuck = !restore_part(lend, loan, &len);
		bytes += len;
	}
}

/* The client did its part, however long ours takes. */
static void answer_loan(struct hvo_lend *lend, struct loan *loan)
{
	struct client *client = loan->client;
	struct lend_reply reply = { .id = loan->id, .error = loan->error };

	if (!client || !loan->asked)
		return;
	loan->asked = false;
	reply.op = client->op;
	lend_reply(lend, client, &reply, -1);
}

static void loan_step(struct hvo_lend *lend, struct loan *loan)
{
	switch (loan->state) {
	case LOAN_TAKING:
		take_step(lend, loan);
		break;
	case LOAN_EMPTYING:
		empty_step(loan);
		break;
	case LOAN_RESTORING:
		restore_step(lend, loan);
		break;
	case LOAN_LENT:
		break;
	}
	if (loan->stuck)
		answer_loan(lend, loan);
}

void loan_give_back(struct loan *loan, bool asked)
{
	loan->asked = asked;
	if (loan->state == LOAN_LENT)
		loan->state = LOAN_EMPTYING;
	if (loan->state == LOAN_TAKING) {
		close_memfd(loan);
		loan->state = LOAN_RESTORING;
	}
}

/* ---- all of them ------------------------------------------------------------------- */

static bool loan_done(const struct loan *loan)
{
	return loan->state == LOAN_RESTORING && loan->restored == loan->taken * page_bytes(loan);
}

bool loans_step(struct hvo_lend *lend, bool retry)
{
	struct loan **link = &lend->loans, *loan;
	bool more = false;

	while ((loan = *link)) {
		if (retry || !loan->stuck)
			loan_step(lend, loan);
		if (loan_done(loan)) {
			pthread_mutex_lock(&lend->page_lock);
			*link = loan->next;
			pthread_mutex_unlock(&lend->page_lock);
			answer_loan(lend, loan);
			free(loan);
			continue;
		}
		more = more || (loan->state != LOAN_LENT && !loan->stuck);
		link = &loan->next;
	}
	return more;
}

bool loans_stuck(const struct hvo_lend *lend)
{
	const struct loan *loan;

	for (loan = lend->loans; loan; loan = loan->next)
		if (loan->stuck)
			return true;
	return false;
}
