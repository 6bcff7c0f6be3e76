// SPDX-License-Identifier: MIT
/*
 * The sim platform: its own threads, and who goes on.
 *
 * States of a thread: running or ready, waiting for a lock's word to change, waiting for the
 * readers that were there, asleep, done. A thread that sleeps may go on when the others had a turn;
 * one that cannot go on gives way at once, which is a choice too.
 *
 * Locks: none; all threads are one host thread, and nothing here is shared with another.
 *
 * In Linux: no counterpart that is in the tree; kernel/sched/core.c for the words.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <execinfo.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/sim/fiber.h"
#include "platform/sim/internal.h"
#include "platform/sim/sched.h"

#define MAX_STEPS UINT64_C(1000000)
#define SIGNAL_STACK 65536
#define MAX_PRIORITY_CHANGES 8
/* Turns in which all sleep; a loop that waits for a thread that is gone never ends. */
#define IDLE_TURNS 3000
/* How often a sleeper is preferred to those who could run. */
#define UNFAIR_TURNS 40
#define WORDS_LOG 14

enum state { DONE, READY, WAITS_LOCK, WAITS_READERS, ASLEEP };

struct thread {
	struct fiber fiber;
	enum state state;
	uint32_t steps;
	const uint32_t *word; /* waits while *word == value */
	uint32_t value;
	unsigned int depth; /* of reader's sections */
	uint32_t section;   /* number of the section that it is in, or of the next one */
	uint32_t awaited[SCHED_THREADS]; /* sections; 0: none */
	uint32_t priority, turns, sleeps;
	const void *held[SCHED_HELD];
	unsigned int nr_held;
	void *stack[SCHED_STACK];
	int nr_stack;
};

struct decision {
	uint8_t nr, at, to[SCHED_THREADS];
};

/* A word and who touched it: bit t read, bit t + 4 wrote. */
struct word {
	uint64_t key;
	uint8_t mask;
};

struct sched {
	struct fiber host;
	struct thread threads[SCHED_THREADS];
	unsigned int nr, current;
	bool dumping;
	const struct sched_plan *plan;
	void (*body)(void *arg, unsigned int thread);
	void *arg;
	struct sched_result *result;
	sigjmp_buf crashed;
	uint64_t random;
	uint64_t changes[MAX_PRIORITY_CHANGES]; /* steps */
	uint64_t unlocks;
	uint32_t idle, preempted;
	unsigned int replayed[SCHED_THREADS + 1]; /* of plan->replay, by the one who gives way */

	struct sched_switch *record;
	unsigned int nr_record, max_record;

	struct decision *decisions;
	unsigned int nr_decisions, max_decisions, decided;
	struct word words[1u << WORDS_LOG];
	unsigned int nr_words;
	bool more_shared;

	char *signal_stack;
	stack_t old_stack;
};

static _Thread_local struct sched *running;

/* Of @n, by a multiplication: no bias that matters, and no division. */
static uint32_t random_below(struct sched *s, uint32_t n)
{
	return (uint32_t)((hvo_sim_random(&s->random) >> 32) * n >> 32);
}

struct sched *sched_current(void)
{
	return running;
}

unsigned int sched_self(void)
{
	return running ? running->current + 1 : 0;
}

/* ---- findings ------------------------------------------------------------------------------ */

static void note_finding(struct sched *s, enum sched_finding finding, const char *what,
			 uint64_t where)
{
	struct sched_result *r = s->result;

	if (r->finding)
		return;
	r->finding = finding;
	snprintf(r->what, sizeof(r->what), "%s", what);
	r->where = where;
	r->thread = s->current;
}

static void note_stack(struct thread *t)
{
	t->nr_stack = backtrace(t->stack, SCHED_STACK);
}

void sched_find(enum sched_finding finding, const char *what, uint64_t where)
{
	struct sched *s = running;

	if (!s)
		return;
	note_finding(s, finding, what, where);
	note_stack(&s->threads[s->current]);
	fiber_leave(&s->host);
}

/*
 * Signals are caught from the first run on, as long as there is a scheduler; what comes outside of a
 * run goes where it went before. Nothing is put back after a run, which costs more than short runs.
 */
static const int signals[] = { SIGSEGV, SIGBUS };
#define NR_SIGNALS (sizeof(signals) / sizeof(signals[0]))
static struct sigaction old_actions[NR_SIGNALS];
static unsigned int nr_scheds;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	struct sched *s = running;

	(void)context;
	if (!s) {
		sigaction(sig, &old_actions[sig == SIGBUS], NULL);
		return;
	}
	note_finding(s, SCHED_CRASH, sig == SIGBUS ? "SIGBUS" : "SIGSEGV",
		     (uint64_t)(uintptr_t)info->si_addr);
	note_stack(&s->threads[s->current]);
	siglongjmp(s->crashed, 1);
}

static void catch_signals(void)
{
	const struct sigaction action = { .sa_sigaction = on_signal,
					  .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	struct sigaction old;
	size_t i;

	for (i = 0; i < NR_SIGNALS; i++)
		if (!sigaction(signals[i], &action, &old) && old.sa_sigaction != on_signal)
			old_actions[i] = old;
}

static void release_signals(void)
{
	struct sigaction now;
	size_t i;

	for (i = 0; i < NR_SIGNALS; i++)
		if (!sigaction(signals[i], NULL, &now) && now.sa_sigaction == on_signal)
			sigaction(signals[i], &old_actions[i], NULL);
}

/* Those who did not run at the end say where they are. */
static void note_stacks(struct sched *s)
{
	unsigned int i;

	s->dumping = true;
	for (i = 0; i < s->nr; i++)
		if (i != s->result->thread && s->threads[i].state != DONE)
			fiber_switch(&s->host, &s->threads[i].fiber);
	s->dumping = false;
}

unsigned int sched_stack(struct sched *s, unsigned int thread, void *ret[SCHED_STACK])
{
	const struct thread *t = &s->threads[thread];

	memcpy(ret, t->stack, (size_t)t->nr_stack * sizeof(*ret));
	return (unsigned int)t->nr_stack;
}

/* ---- what is chosen ------------------------------------------------------------------------- */

static void *grown(void *list, unsigned int *max, size_t size)
{
	*max = *max ? *max * 2 : 1024;
	list = realloc(list, *max * size);
	if (!list)
		abort();
	return list;
}

static void record(struct sched *s, unsigned int from, unsigned int to, uint32_t step)
{
	if (s->nr_record == s->max_record)
		s->record = grown(s->record, &s->max_record, sizeof(*s->record));
	s->record[s->nr_record++] = (struct sched_switch){ step, (uint8_t)from, (uint8_t)to };
}

/* What the list says of thread @from at @step; SCHED_THREADS: nothing. */
static unsigned int replay(struct sched *s, unsigned int from, uint32_t step)
{
	unsigned int *i = &s->replayed[from];
	const struct sched_switch *list = s->plan->replay;

	for (; *i < s->plan->nr_replay; ++*i) {
		if (list[*i].from != from || list[*i].step < step)
			continue;
		return list[*i].step == step ? list[*i].to : SCHED_THREADS;
	}
	return SCHED_THREADS;
}

static unsigned int decide(struct sched *s, const unsigned int *to, unsigned int nr)
{
	struct decision *d;
	unsigned int i;

	if (s->decided < s->nr_decisions) {
		d = &s->decisions[s->decided++];
		return d->to[d->at];
	}
	if (s->nr_decisions == s->max_decisions)
		s->decisions = grown(s->decisions, &s->max_decisions, sizeof(*s->decisions));
	d = &s->decisions[s->nr_decisions++];
	s->decided++;
	d->nr = (uint8_t)nr;
	d->at = 0;
	for (i = 0; i < nr; i++)
		d->to[i] = (uint8_t)to[i];
	return to[0];
}

void sched_explore(struct sched *s)
{
	s->nr_decisions = 0;
	s->nr_words = 0;
	s->more_shared = false;
	memset(s->words, 0, sizeof(s->words));
}

bool sched_next(struct sched *s)
{
	struct decision *d;

	/* Points that were passed over are points now: from the start. */
	if (s->more_shared) {
		s->more_shared = false;
		s->nr_decisions = 0;
		return true;
	}
	for (; s->nr_decisions; s->nr_decisions--) {
		d = &s->decisions[s->nr_decisions - 1];
		if (++d->at < d->nr)
			return true;
	}
	return false;
}

/* Two threads touch the word, and one writes. */
static bool is_shared(uint8_t mask)
{
	unsigned int reads = mask & 15u, writes = mask >> 4;
	unsigned int all = reads | writes;

	return writes && (all & (all - 1));
}

static struct word *word_of(struct sched *s, uint64_t key)
{
	uint64_t h = key * UINT64_C(0x9e3779b97f4a7c15) >> (64 - WORDS_LOG);
	struct word *w;

	for (;; h = (h + 1) & ((1u << WORDS_LOG) - 1)) {
		w = &s->words[h];
		if (w->key == key)
			return w;
		if (!w->key)
			break;
	}
	/* Full: everything else counts as one word. */
	if (s->nr_words == (1u << WORDS_LOG) * 3 / 4)
		return &s->words[0];
	s->nr_words++;
	w->key = key;
	return w;
}

bool sched_reduces(void)
{
	return running && running->plan->reduce;
}

void sched_touch(uint64_t key, bool write)
{
	struct sched *s = running;
	struct word *w;
	uint8_t mask;

	if (!s || !s->plan->reduce)
		return;
	w = word_of(s, key ? key : 1);
	mask = (uint8_t)(w->mask | 1u << (s->current + (write ? 4 : 0)));
	if (is_shared(mask) && !is_shared(w->mask))
		s->more_shared = true;
	w->mask = mask;
}

/* ---- who goes on ------------------------------------------------------------------------------ */

static bool can_go_on(const struct sched *s, const struct thread *t)
{
	unsigned int i;

	switch (t->state) {
	case READY:
		return true;
	case WAITS_LOCK:
		return __atomic_load_n(t->word, __ATOMIC_RELAXED) != t->value;
	case WAITS_READERS:
		for (i = 0; i < s->nr; i++)
			if (t->awaited[i] && s->threads[i].depth &&
			    s->threads[i].section == t->awaited[i])
				return false;
		return true;
	default:
		return false;
	}
}

static void switch_to(struct sched *s, unsigned int to)
{
	struct thread *from = &s->threads[s->current];

	s->threads[to].state = READY;
	if (to == s->current)
		return;
	if (s->plan->at_switch)
		s->plan->at_switch(s->plan->arg);
	s->result->switches++;
	s->current = to;
	fiber_switch(&from->fiber, &s->threads[to].fiber);
	if (s->dumping) {
		note_stack(from);
		fiber_leave(&s->host);
	}
}

/* The others that can go on; sleepers too, if they may be woken. */
static unsigned int others(struct sched *s, unsigned int *ret, bool wake)
{
	unsigned int i, nr = 0;

	for (i = 0; i < s->nr; i++)
		if (i != s->current &&
		    (can_go_on(s, &s->threads[i]) ||
		     (wake && s->threads[i].state == ASLEEP && !random_below(s, 8))))
			ret[nr++] = i;
	return nr;
}

static unsigned int highest(const struct sched *s, const unsigned int *list, unsigned int nr)
{
	unsigned int i, best = list[0];

	for (i = 1; i < nr; i++)
		if (s->threads[list[i]].priority > s->threads[best].priority)
			best = list[i];
	return best;
}

static void count_step(struct sched *s)
{
	struct thread *t = &s->threads[s->current];

	t->steps++;
	if (++s->result->steps > s->plan->max_steps)
		sched_find(SCHED_LIVELOCK, "steps without an end", s->result->steps);
}

/* Is there something to choose at this step? */
static bool is_point(struct sched *s, enum hvo_step step, const void *word)
{
	if (!(s->plan->points >> step & 1))
		return false;
	return !s->plan->reduce || step != STEP_ATOMIC ||
	       is_shared(word_of(s, (uint64_t)(uintptr_t)word >> 3)->mask);
}

void hvo_step(enum hvo_step step, const void *word)
{
	struct sched *s = running;
	unsigned int to[SCHED_THREADS], nr, i, next;
	struct thread *t;

	if (!s)
		return;
	count_step(s);
	s->unlocks += step == STEP_UNLOCK;
	if (s->plan->check)
		s->plan->check(s->plan->arg, step);
	if (!is_point(s, step, word))
		return;
	t = &s->threads[s->current];
	next = s->current;
	switch (s->plan->mode) {
	case SCHED_RANDOM:
		if (random_below(s, s->plan->one_in))
			return;
		nr = others(s, to, true);
		if (nr)
			next = to[random_below(s, nr)];
		break;
	case SCHED_PRIORITY:
		for (i = 0; i < s->plan->preemptions && i < MAX_PRIORITY_CHANGES; i++)
			if (s->changes[i] == s->result->steps)
				t->priority = i + 1;
		nr = others(s, to, false);
		to[nr++] = s->current;
		next = highest(s, to, nr);
		break;
	case SCHED_REPLAY:
		i = replay(s, s->current, t->steps);
		if (i < s->nr && (can_go_on(s, &s->threads[i]) || s->threads[i].state == ASLEEP))
			next = i;
		break;
	case SCHED_EXPLORE:
		if (s->preempted >= s->plan->preemptions)
			return;
		nr = others(s, to + 1, false);
		if (!nr)
			return;
		to[0] = s->current;
		next = decide(s, to, nr + 1);
		s->preempted += next != s->current;
		break;
	}
	if (next == s->current)
		return;
	record(s, s->current, next, t->steps);
	switch_to(s, next);
}

/* The sleeper who slept least often. */
static unsigned int next_sleeper(struct sched *s)
{
	unsigned int i, best = SCHED_THREADS;

	for (i = 0; i < s->nr; i++)
		if (s->threads[i].state == ASLEEP &&
		    (best == SCHED_THREADS || s->threads[i].sleeps < s->threads[best].sleeps))
			best = i;
	if (best < SCHED_THREADS && ++s->idle > IDLE_TURNS)
		sched_find(SCHED_LIVELOCK, "all sleep, and nothing happens", 0);
	return best;
}

/* Sleepers that a plan lets go on although others can: how fair sleeping is belongs to the plan. */
static unsigned int add_sleepers(struct sched *s, unsigned int *to, unsigned int nr, bool sleeping)
{
	bool explore = s->plan->mode == SCHED_EXPLORE;
	struct thread *t;
	unsigned int i;

	if (s->plan->mode == SCHED_REPLAY)
		return nr;
	for (i = 0; i < s->nr; i++) {
		t = &s->threads[i];
		if (t->state != ASLEEP)
			continue;
		if (i == s->current && !s->plan->unfair)
			continue;
		if (explore ? i == s->current && t->turns < UNFAIR_TURNS / 2 :
			      (s->plan->unfair && t->turns < UNFAIR_TURNS) || !random_below(s, 8))
			to[nr++] = i;
	}
	if (!sleeping && !explore)
		for (i = 0; i < s->nr; i++)
			s->threads[i].turns = 0;
	return nr;
}

/* The thread that runs cannot go on, or sleeps, or is done: who does instead? */
static void give_way(struct sched *s, bool sleeping)
{
	struct thread *t = &s->threads[s->current];
	unsigned int to[SCHED_THREADS * 2], nr, i, next;

	nr = others(s, to, false);
	if (!nr && !sleeping && can_go_on(s, t)) {
		t->state = READY;
		return;
	}
	if (nr) {
		s->idle = 0;
		nr = add_sleepers(s, to, nr, sleeping);
	} else {
		to[0] = next_sleeper(s);
		nr = to[0] < SCHED_THREADS;
	}
	if (!nr) {
		for (i = 0; i < s->nr; i++)
			if (s->threads[i].state != DONE)
				sched_find(SCHED_DEADLOCK, "deadlock", i);
		fiber_leave(&s->host);
	}
	next = to[0];
	if (nr > 1) {
		switch (s->plan->mode) {
		case SCHED_RANDOM:
			next = to[random_below(s, nr)];
			break;
		case SCHED_PRIORITY:
			next = highest(s, to, nr);
			break;
		case SCHED_EXPLORE:
			next = decide(s, to, nr);
			break;
		case SCHED_REPLAY:
			break;
		}
	}
	if (s->plan->mode == SCHED_REPLAY) {
		i = replay(s, s->current, t->steps);
		if (i < s->nr && (can_go_on(s, &s->threads[i]) || s->threads[i].state == ASLEEP))
			next = i;
	}
	record(s, s->current, next, t->steps);
	switch_to(s, next);
}

/* ---- for the core and the platform --------------------------------------------------------- */

void hvo_step_locked(const void *word)
{
	struct sched *s = running;
	struct thread *t;

	if (!s)
		return;
	t = &s->threads[s->current];
	if (t->nr_held == SCHED_HELD)
		sched_find(SCHED_CHECK, "too many locks held", t->nr_held);
	t->held[t->nr_held++] = word;
}

void hvo_step_unlocked(const void *word)
{
	struct sched *s = running;
	struct thread *t;
	unsigned int i;

	if (!s)
		return;
	t = &s->threads[s->current];
	for (i = t->nr_held; i; i--)
		if (t->held[i - 1] == word)
			break;
	if (!i)
		sched_find(SCHED_CHECK, "releases a lock that somebody else holds", 0);
	t->nr_held--;
	memmove(&t->held[i - 1], &t->held[i], (t->nr_held - i + 1) * sizeof(*t->held));
}

bool hvo_step_holds(const void *word)
{
	const struct sched *s = running;
	const struct thread *t;
	unsigned int i;

	if (!s)
		return true;
	t = &s->threads[s->current];
	for (i = 0; i < t->nr_held; i++)
		if (t->held[i] == word)
			return true;
	return false;
}

unsigned int sched_held(const struct sched *s, unsigned int thread)
{
	return s->threads[thread].nr_held;
}

uint64_t sched_unlocks(const struct sched *s)
{
	return s->unlocks;
}

uint32_t sched_section(const struct sched *s, unsigned int thread)
{
	return s->threads[thread].depth ? s->threads[thread].section : 0;
}

void sched_lock_wait(const uint32_t *word, uint32_t value)
{
	struct sched *s = running;
	struct thread *t = &s->threads[s->current];

	count_step(s);
	t->state = WAITS_LOCK;
	t->word = word;
	t->value = value;
	give_way(s, false);
}

void sched_quiesce(void)
{
	struct sched *s = running;
	struct thread *t = &s->threads[s->current];
	unsigned int i;

	hvo_step(STEP_QUIESCE, NULL);
	if (t->depth)
		sched_find(SCHED_FAULT, "quiesce() inside read_lock()", 0);
	for (i = 0; i < s->nr; i++)
		t->awaited[i] = sched_section(s, i);
	count_step(s);
	t->state = WAITS_READERS;
	if (can_go_on(s, t))
		t->state = READY;
	else
		give_way(s, false);
	hvo_step(STEP_QUIESCE, NULL);
}

void sched_sleep(void)
{
	struct sched *s = running;
	struct thread *t = &s->threads[s->current];

	count_step(s);
	t->state = ASLEEP;
	t->turns++;
	t->sleeps++;
	give_way(s, true);
}

void sched_read_lock(void)
{
	struct sched *s = running;

	hvo_step(STEP_READ_LOCK, NULL);
	s->threads[s->current].depth++;
}

void sched_read_unlock(void)
{
	struct sched *s = running;
	struct thread *t = &s->threads[s->current];

	if (!t->depth)
		sched_find(SCHED_FAULT, "read_unlock() without read_lock()", 0);
	if (!--t->depth)
		t->section++;
	hvo_step(STEP_READ_UNLOCK, NULL);
}

/* ---- runs ------------------------------------------------------------------------------------ */

static void thread_entry(void)
{
	struct sched *s = running;
	struct thread *t = &s->threads[s->current];

	fiber_entered(&s->host);
	if (s->dumping)
		fiber_leave(&s->host);
	s->body(s->arg, s->current);
	if (t->nr_held)
		sched_find(SCHED_CHECK, "a thread ends with a lock held", t->nr_held);
	if (t->depth)
		sched_find(SCHED_CHECK, "a thread ends inside a reader's section", t->depth);
	/* The end is a step of its own: a switch is named by one. */
	count_step(s);
	t->state = DONE;
	give_way(s, false);
	abort();
}

static void prepare_threads(struct sched *s)
{
	struct fiber fiber;
	unsigned int i;

	for (i = 0; i < s->nr; i++) {
		struct thread *t = &s->threads[i];

		fiber = t->fiber;
		memset(t, 0, sizeof(*t));
		t->fiber = fiber;
		fiber_prepare(&t->fiber, thread_entry);
		t->state = READY;
		t->section = 1;
		t->priority = 100 + (uint32_t)(hvo_sim_random(&s->random) >> 40);
	}
}

static unsigned int choose_first(struct sched *s)
{
	unsigned int all[SCHED_THREADS], i;

	for (i = 0; i < SCHED_THREADS; i++)
		all[i] = i;
	switch (s->plan->mode) {
	case SCHED_RANDOM:
		return random_below(s, s->nr);
	case SCHED_PRIORITY:
		return highest(s, all, s->nr);
	case SCHED_EXPLORE:
		return s->nr > 1 ? decide(s, all, s->nr) : 0;
	default:
		i = replay(s, SCHED_THREADS, 0);
		return i < s->nr ? i : 0;
	}
}

void sched_run(struct sched *s, const struct sched_plan *plan, unsigned int nr,
	       void (*body)(void *arg, unsigned int thread), void *arg, struct sched_result *ret)
{
	struct sched_plan p = *plan;
	unsigned int i;

	if (!p.max_steps)
		p.max_steps = MAX_STEPS;
	if (!p.one_in)
		p.one_in = 1;
	memset(ret, 0, sizeof(*ret));
	s->plan = &p;
	s->nr = nr;
	s->body = body;
	s->arg = arg;
	s->result = ret;
	s->random = p.seed;
	s->idle = 0;
	s->preempted = 0;
	s->nr_record = 0;
	s->decided = 0;
	memset(s->replayed, 0, sizeof(s->replayed));
	for (i = 0; i < MAX_PRIORITY_CHANGES; i++)
		s->changes[i] = 1 + random_below(s, 1024);
	prepare_threads(s);
	s->current = choose_first(s);
	record(s, SCHED_THREADS, s->current, 0);
	running = s;
	catch_signals();
	if (!sigsetjmp(s->crashed, 0))
		fiber_switch(&s->host, &s->threads[s->current].fiber);
	if (ret->finding)
		note_stacks(s);
	running = NULL;
	ret->record = s->record;
	ret->nr_record = s->nr_record;
	s->plan = NULL;
}

int sched_create(struct sched **ret)
{
	struct sched *s = calloc(1, sizeof(*s));
	stack_t stack = { .ss_size = SIGNAL_STACK };
	unsigned int i;

	if (!s)
		return -HVO_ENOMEM;
	s->signal_stack = malloc(SIGNAL_STACK);
	stack.ss_sp = s->signal_stack;
	for (i = 0; i < SCHED_THREADS; i++)
		if (!s->signal_stack || fiber_create(&s->threads[i].fiber))
			goto fail;
	/* A stack that overflows leaves none to say so on. */
	if (sigaltstack(&stack, &s->old_stack))
		goto fail;
	nr_scheds++;
	*ret = s;
	return 0;
fail:
	for (i = 0; i < SCHED_THREADS; i++)
		fiber_destroy(&s->threads[i].fiber);
	free(s->signal_stack);
	free(s);
	return -HVO_ENOMEM;
}

void sched_destroy(struct sched *s)
{
	unsigned int i;

	if (!s)
		return;
	if (!--nr_scheds)
		release_signals();
	sigaltstack(&s->old_stack, NULL);
	for (i = 0; i < SCHED_THREADS; i++)
		fiber_destroy(&s->threads[i].fiber);
	free(s->signal_stack);
	free(s->record);
	free(s->decisions);
	free(s);
}
