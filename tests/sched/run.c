// SPDX-License-Identifier: MIT
/*
 * See run.h.
 */
#include "run.h"

#include "between.h"

#include <execinfo.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "race.h"

struct counts counts;

/* ---- one run -------------------------------------------------------------------------------- */

struct body {
	struct world *w;
	const struct run *run;
};

static void run_list(void *arg, unsigned int thread)
{
	const struct body *b = arg;
	unsigned int i;

	for (i = 0; i < b->run->nr_list[thread]; i++)
		op_run(b->run->lists[thread][i], b->w, thread);
}

static void at_step(void *w, enum hvo_step step)
{
	if (step == STEP_QUIESCE)
		race_quiesced();
	world_between(w);
}

static void settle(void *arg, unsigned int thread)
{
	(void)thread;
	world_settle(((const struct body *)arg)->w);
}

static void note(struct finding *f, const struct run *run, const struct sched_result *r)
{
	f->run = *run;
	f->kind = r->finding;
	memcpy(f->what, r->what, sizeof(f->what));
	f->where = r->where;
}

bool run_pair(struct run *ret, enum hvo_mode mode, const struct state *state, const struct op *a,
	      const struct op *b)
{
	*ret = (struct run){ .mode = mode,
			     .state = state,
			     .nr = 2,
			     .lists = { { a }, { b } },
			     .nr_list = { 1, 1 },
			     .points = POINTS };
	return op_fits(a, state, mode) && op_fits(b, state, mode);
}

bool run_once(struct world *w, const struct run *run, const struct sched_plan *plan,
	      struct finding *ret)
{
	struct sched_plan watched = *plan;
	struct body body = { w, run };
	const struct sched_plan alone = { .mode = SCHED_REPLAY };
	const struct hvo_sim_failures failures = { .at = run->fail, .also = run->also };
	struct sched_result result;

	world_restore(w);
	hvo_sim_fail(w->sim, &failures);
	watched.check = at_step;
	watched.at_switch = world_switch;
	watched.arg = w;
	race_begin(w->sim);
	sched_run(w->sched, &watched, run->nr, run_list, &body, &result);
	counts.runs++;
	counts.steps += result.steps;
	counts.switches += result.switches;
	/* What was chosen leads to what is found at the end too. */
	ret->nr_switches = result.nr_record < MAX_SWITCHES ? result.nr_record : MAX_SWITCHES;
	memcpy(ret->switches, result.record, ret->nr_switches * sizeof(*ret->switches));
	counts.failed += w->sim->failing.failures == (run->also ? 2u : 1u);
	if (!result.finding && run->print)
		*run->ret_print = run->print(w);
	if (!result.finding) {
		race_begin(NULL);
		sched_run(w->sched, &alone, 1, settle, &body, &result);
	}
	if (!result.finding)
		return true;
	note(ret, run, &result);
	return false;
}

bool run_replay(struct world *w, const struct finding *f, struct finding *ret)
{
	const struct sched_plan plan = {
		.mode = SCHED_REPLAY,
		.points = f->run.points,
		.unfair = f->run.unfair,
		.replay = f->switches,
		.nr_replay = f->nr_switches,
	};

	return run_once(w, &f->run, &plan, ret);
}

bool run_explore(struct world *w, const struct run *run, unsigned int preemptions, bool reduce,
		 uint64_t max, struct finding *ret, bool *ret_all)
{
	const struct sched_plan plan = {
		.mode = SCHED_EXPLORE,
		.points = run->points,
		.preemptions = preemptions,
		.unfair = run->unfair,
		.reduce = reduce,
	};

	*ret_all = false;
	sched_explore(w->sched);
	do {
		if (!max--)
			return true;
		if (!run_once(w, run, &plan, ret))
			return false;
	} while (sched_next(w->sched));
	*ret_all = true;
	return true;
}

/* Runs that fail, of one pair or list. */
struct failing {
	struct world *w;
	struct run run;
	unsigned int preemptions;
	bool reduce, all;
	uint64_t end; /* of counts.runs */
	struct finding *ret;
};

/* Each call from @from on in turn, until no run comes that far. @more after it, in *@which's place. */
static bool fail_from(struct failing *f, uint64_t *which, uint64_t from, unsigned int more)
{
	uint64_t failed;
	bool all;

	for (*which = from;; ++*which) {
		failed = counts.failed;
		if (counts.runs >= f->end) {
			f->all = false;
			break;
		}
		if (!run_explore(f->w, &f->run, f->preemptions, f->reduce, f->end - counts.runs,
				 f->ret, &all))
			return false;
		f->all = f->all && all;
		if (counts.failed == failed)
			break;
		if (more && !fail_from(f, &f->run.also, *which + 1, more - 1))
			return false;
	}
	*which = 0;
	return true;
}

bool run_failing(struct world *w, const struct run *run, unsigned int failures,
		 unsigned int preemptions, bool reduce, uint64_t max, struct finding *ret,
		 bool *ret_all)
{
	struct failing f = { .w = w,
			     .run = *run,
			     .preemptions = preemptions,
			     .reduce = reduce,
			     .all = true,
			     .end = max < UINT64_MAX - counts.runs ? counts.runs + max : UINT64_MAX,
			     .ret = ret };
	bool fine = fail_from(&f, &f.run.fail, 1, failures - 1);

	*ret_all = f.all;
	return fine;
}

/* ---- shrinking --------------------------------------------------------------------------------- */

/* The same thing is wrong, whatever the numbers of an audit. */
static bool same(const struct finding *a, const struct finding *b)
{
	const char *numbers = strstr(a->what, ": expected");
	size_t len = numbers ? (size_t)(numbers - a->what) : sizeof(a->what);

	return a->kind == b->kind && !strncmp(a->what, b->what, len);
}

static bool still(struct world *w, const struct finding *wanted, const struct finding *candidate)
{
	struct finding *got = malloc(sizeof(*got));
	bool rc;

	if (!got)
		abort();
	rc = !run_replay(w, candidate, got) && same(wanted, got);
	free(got);
	return rc;
}

static void without_switches(struct finding *f, unsigned int from, unsigned int nr)
{
	memmove(&f->switches[from], &f->switches[from + nr],
		(f->nr_switches - from - nr) * sizeof(*f->switches));
	f->nr_switches -= nr;
}

static bool shrink_switches(struct world *w, struct finding *f)
{
	struct finding *c = malloc(sizeof(*c));
	unsigned int size, at;
	bool any = false;

	if (!c)
		abort();
	for (size = f->nr_switches; size; size /= 2)
		for (at = 0; at + size <= f->nr_switches;) {
			*c = *f;
			without_switches(c, at, size);
			if (still(w, f, c)) {
				*f = *c;
				any = true;
			} else {
				at += size;
			}
		}
	free(c);
	return any;
}

static bool shrink_lists(struct world *w, struct finding *f)
{
	struct finding *c = malloc(sizeof(*c));
	unsigned int t, i;
	bool any = false;

	if (!c)
		abort();
	for (t = 0; t < f->run.nr; t++)
		for (i = f->run.nr_list[t]; i--;) {
			*c = *f;
			memmove(&c->run.lists[t][i], &c->run.lists[t][i + 1],
				(MAX_LIST - i - 1) * sizeof(c->run.lists[t][0]));
			c->run.nr_list[t]--;
			if (still(w, f, c)) {
				*f = *c;
				any = true;
			}
		}
	for (i = 0; i < 2; i++) {
		uint64_t *at = i ? &c->run.also : &c->run.fail;

		*c = *f;
		if (!*at)
			continue;
		*at = 0;
		if (still(w, f, c)) {
			*f = *c;
			any = true;
		}
	}
	free(c);
	return any;
}

void run_shrink(struct world *w, struct finding *f)
{
	bool lists, switches;

	do {
		lists = shrink_lists(w, f);
		switches = shrink_switches(w, f);
	} while (lists || switches);
}

/* ---- lines --------------------------------------------------------------------------------------- */

static const char *mode_name(enum hvo_mode mode)
{
	return mode == HVO_LINUX ? "linux" : "on-demand";
}

static int add(char *to, size_t len, int at, const char *text)
{
	return at + snprintf(to + at, (size_t)at < len ? len - (size_t)at : 0, "%s", text);
}

/* MODE STATE OP+OP/OP POINTS FAIL UNFAIR FROM.STEP.TO,... */
void finding_line(const struct finding *f, char *to, size_t len)
{
	char text[64];
	unsigned int t, i;
	int at = snprintf(to, len, "%s %s ", mode_name(f->run.mode), f->run.state->name);

	for (t = 0; t < f->run.nr; t++) {
		at = add(to, len, at, t ? "/" : "");
		at = add(to, len, at, f->run.nr_list[t] ? "" : "-");
		for (i = 0; i < f->run.nr_list[t]; i++) {
			at = add(to, len, at, i ? "+" : "");
			at = add(to, len, at, f->run.lists[t][i]->name);
		}
	}
	snprintf(text, sizeof(text), " %x %" PRIu64 ",%" PRIu64 " %d ", f->run.points, f->run.fail,
		 f->run.also, f->run.unfair);
	at = add(to, len, at, text);
	for (i = 0; i < f->nr_switches && (size_t)at + 64 < len; i++) {
		snprintf(text, sizeof(text), "%s%u.%u.%u", i ? "," : "", f->switches[i].from,
			 f->switches[i].step, f->switches[i].to);
		at = add(to, len, at, text);
	}
}

static bool parse_lists(char *text, struct run *run)
{
	char *list, *op, *outer = NULL, *inner;

	for (list = strtok_r(text, "/", &outer); list; list = strtok_r(NULL, "/", &outer)) {
		if (run->nr == SCHED_THREADS)
			return false;
		inner = NULL;
		for (op = strtok_r(list, "+", &inner); op; op = strtok_r(NULL, "+", &inner)) {
			unsigned int *nr = &run->nr_list[run->nr];

			if (!strcmp(op, "-"))
				continue;
			if (*nr == MAX_LIST)
				return false;
			run->lists[run->nr][*nr] = op_find(op);
			if (!run->lists[run->nr][(*nr)++])
				return false;
		}
		run->nr++;
	}
	return run->nr;
}

bool finding_parse(const char *line, struct finding *ret)
{
	char mode[16], state[32], lists[512];
	unsigned int from, step, to, unfair;
	int used = 0, n;

	memset(ret, 0, sizeof(*ret));
	if (sscanf(line, "%15s %31s %511s %x %" SCNu64 ",%" SCNu64 " %u %n", mode, state, lists,
		   &ret->run.points, &ret->run.fail, &ret->run.also, &unfair, &used) < 7 ||
	    !used)
		return false;
	ret->run.mode = strcmp(mode, "linux") ? HVO_ON_DEMAND : HVO_LINUX;
	ret->run.state = state_find(state);
	ret->run.unfair = unfair;
	if (!ret->run.state || !parse_lists(lists, &ret->run))
		return false;
	for (line += used; *line && ret->nr_switches < MAX_SWITCHES; line += n + (line[n] == ',')) {
		n = 0;
		if (sscanf(line, "%u.%u.%u%n", &from, &step, &to, &n) < 3 || !n)
			return !*line || *line == '\n';
		ret->switches[ret->nr_switches++] =
			(struct sched_switch){ step, (uint8_t)from, (uint8_t)to };
	}
	return true;
}

static const char *const kinds[] = {
	[SCHED_DEADLOCK] = "deadlock", [SCHED_LIVELOCK] = "livelock", [SCHED_FAULT] = "fault",
	[SCHED_CRASH] = "crash",       [SCHED_CHECK] = "finding",
};

void finding_print(FILE *to, const struct finding *f, struct world *w)
{
	char line[8192];
	void *stack[SCHED_STACK];
	unsigned int t, n;

	finding_line(f, line, sizeof(line));
	fprintf(to, "%s: %s (%#" PRIx64 ")\n  repeat: torture replay '%s'\n", kinds[f->kind],
		f->what, f->where, line);
	for (t = 0; w && t < f->run.nr; t++) {
		n = sched_stack(w->sched, t, stack);
		fprintf(to, "  thread %u%s\n", t, n ? "" : ": done");
		fflush(to);
		backtrace_symbols_fd(stack, (int)n, fileno(to));
	}
}
