// SPDX-License-Identifier: MIT
/*
 * See resize.h. In Linux: set_max_huge_pages() and what it calls, mm/hugetlb.c.
 */
#include "resize.h"

#include <errno.h>
#include <string.h>

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t above(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static uint64_t persistent(const struct resize_counts *c)
{
	return above(c->total, c->surplus);
}

/* ---- what is wrong with it -------------------------------------------------------- */

/* Surplus pages that somebody has. */
static uint64_t held_surplus(const struct resize_counts *c)
{
	return above(c->surplus, c->stuck);
}

/*
 * Surplus that users took within the limit before this began is theirs, and so is what they
 * take later on: what stays because of us is no more than we took off, and what was above the
 * limit before.
 */
static uint64_t held(const struct resize_counts *before, const struct resize_counts *now,
		     uint64_t wanted)
{
	uint64_t had = held_surplus(before), theirs = min_u64(had, before->overcommit);
	uint64_t ours = above(persistent(before), wanted) + (had - theirs);

	return min_u64(above(held_surplus(now), theirs), ours);
}

static void judge(struct resize_report *r)
{
	r->missing = above(r->wanted, persistent(&r->after));
	r->extra = above(persistent(&r->after), r->wanted);
	r->refused = r->after.stuck;
	r->held = held(&r->before, &r->after, r->wanted);
	r->done = !r->missing && !r->extra && !r->refused && !r->held;
}

static uint64_t left(const struct resize_report *r)
{
	return r->missing + r->extra + r->refused + r->held;
}

/* ---- the run ------------------------------------------------------------------------ */

struct run {
	const struct resize_ops *ops;
	void *ctx;
	uint64_t wait_ns, start_ns;
	uint64_t pause_ns;
	unsigned int idle; /* rounds since something changed */
};

static struct run begin(const struct resize_ops *ops, void *ctx, uint64_t wait_ns)
{
	struct run run = { .ops = ops,
			   .ctx = ctx,
			   .wait_ns = wait_ns,
			   .start_ns = ops->now_ns(ctx),
			   .pause_ns = RESIZE_PAUSE_NS };

	return run;
}

/*
 * Between two rounds. A round that changed something is followed by the next one at once: what
 * it freed may serve it. Returns false if it is time to stop.
 */
static bool another_round(struct run *run, bool changed)
{
	uint64_t waited = run->ops->now_ns(run->ctx) - run->start_ns;
	bool forever = run->wait_ns == RESIZE_WAIT_FOREVER;
	uint64_t pause;

	if (run->ops->interrupted(run->ctx))
		return false;
	if (changed) {
		run->idle = 0;
		run->pause_ns = RESIZE_PAUSE_NS;
		return run->wait_ns == RESIZE_NO_WAIT || forever || waited < run->wait_ns;
	}
	run->idle++;
	if (run->wait_ns == RESIZE_NO_WAIT ? run->idle >= RESIZE_IDLE_ROUNDS :
					     !forever && waited >= run->wait_ns)
		return false;
	pause = run->pause_ns;
	if (run->wait_ns != RESIZE_NO_WAIT && !forever)
		pause = min_u64(pause, run->wait_ns - waited);
	run->ops->pause(run->ctx, pause);
	run->pause_ns = min_u64(run->pause_ns * 2, RESIZE_PAUSE_MAX_NS);
	return !run->ops->interrupted(run->ctx);
}

static int read_again(const struct run *run, struct resize_report *r)
{
	int rc = run->ops->read(run->ctx, &r->after);

	judge(r);
	return rc;
}

/* From where the pool is to where it is to be, in steps: so there is progress to show. */
static int walk(const struct run *run, struct resize_report *r, uint64_t step)
{
	uint64_t from = persistent(&r->before), at = from;
	bool up = r->wanted > from;
	uint64_t way = up ? r->wanted - from : from - r->wanted;
	int rc;

	if (step < way / RESIZE_STEPS + 1)
		step = way / RESIZE_STEPS + 1;
	do {
		if (up)
			at += min_u64(step, r->wanted - at);
		else
			at -= min_u64(step, at - r->wanted);
		rc = run->ops->write_nr(run->ctx, at);
		if (!rc)
			rc = read_again(run, r);
		run->ops->progress(run->ctx, &r->after, r->wanted);
		/* No memory for this step: there is none for the next one. */
		if (up && persistent(&r->after) < at)
			break;
	} while (!rc && at != r->wanted && !run->ops->interrupted(run->ctx));
	return rc;
}

/*
 * All surplus, not just the pages that are stuck, has to become persistent: what is in use
 * counts against the number of pages that a shrinking pool may lose. The second write is
 * made in any case, or the pool would stay as large as it is.
 */
static int round_again(const struct run *run, struct resize_report *r)
{
	int rc = 0, err;

	if (r->refused || r->extra) {
		if (r->after.total > r->wanted)
			rc = run->ops->write_nr(run->ctx, r->after.total);
		err = run->ops->write_nr(run->ctx, r->wanted);
		rc = rc ? rc : err;
	} else if (r->missing) {
		rc = run->ops->write_nr(run->ctx, r->wanted);
	}
	return rc ? rc : read_again(run, r);
}

void resize_run(const struct resize_ops *ops, void *ctx, uint64_t wanted, uint64_t step,
		uint64_t wait_ns, struct resize_report *ret)
{
	struct run run = begin(ops, ctx, wait_ns);
	struct resize_report r = { .wanted = wanted };
	uint64_t before = UINT64_MAX;

	r.err = ops->read(ctx, &r.before);
	r.after = r.before;
	judge(&r);
	/* What is there already needs no write. */
	if (!r.err && !r.done)
		r.err = walk(&run, &r, step);
	while (!r.err && !r.done) {
		bool changed = left(&r) < before;

		before = left(&r);
		/* Nothing but time helps where all that is left is in use. */
		if (wait_ns == RESIZE_NO_WAIT && r.held == before)
			break;
		if (!another_round(&run, changed))
			break;
		r.err = round_again(&run, &r);
		r.retries++;
		ops->progress(ctx, &r.after, wanted);
	}
	r.interrupted = !r.done && ops->interrupted(ctx);
	*ret = r;
}

/* ---- demoting ----------------------------------------------------------------------- */

static bool may_help_to_wait(int err)
{
	return err == 0 || err == -ENOMEM || err == -EBUSY;
}

void resize_demote(const struct resize_ops *ops, void *ctx, uint64_t wanted, uint64_t wait_ns,
		   struct demote_report *ret)
{
	struct run run = begin(ops, ctx, wait_ns);
	struct demote_report r = { .wanted = wanted };
	uint64_t total;
	int rc;

	r.err = ops->read(ctx, &r.before);
	r.after = r.before;
	while (may_help_to_wait(r.err) && r.demoted < wanted) {
		total = r.after.total;
		r.err = ops->demote(ctx, 1);
		rc = ops->read(ctx, &r.after);
		if (rc)
			r.err = rc;
		r.demoted += above(total, r.after.total);
		ops->progress(ctx, &r.after, above(r.before.total, wanted));
		if (r.demoted >= wanted || !may_help_to_wait(r.err))
			break;
		if (r.after.total < total) {
			run = begin(ops, ctx, wait_ns);
			if (ops->interrupted(ctx))
				break;
			continue;
		}
		/* No page is free: only time helps. */
		if (wait_ns == RESIZE_NO_WAIT && !r.err)
			break;
		if (!another_round(&run, false))
			break;
		r.retries++;
	}
	r.interrupted = r.demoted < wanted && ops->interrupted(ctx);
	*ret = r;
}
