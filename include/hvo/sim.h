/* SPDX-License-Identifier: MIT */
#ifndef HVO_SIM_H
#define HVO_SIM_H

#include <hvo/hvo.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The sim platform: the same core on simulated frames behind 4-level x86-64 page
 * tables that are walked in software, through a software TLB that keeps entries
 * until they are flushed. Everything follows from the seed; time is virtual.
 */

struct hvo_sim;

/* What the simulated hardware caught. */
enum hvo_sim_fault {
	HVO_SIM_NOT_PRESENT,   /* access to an address that nothing backs */
	HVO_SIM_WRITE_TO_TAIL, /* write to a read-only descriptor page */
	HVO_SIM_STALE_TLB, /* access through an entry that the accessing thread owed a flush for */
	HVO_SIM_PANIC,	   /* the core's own panic() */
	HVO_SIM_NOT_POPULATED, /* zero() or copy() to a frame whose content was discarded */
};

/*
 * Which of a machine's calls for something that can fail do so. Each populate() is one such
 * point, and each run of a remap(); a remap() that fails at a run has done the runs before it,
 * and never comes to those after it. What undoes the last remap() never fails and is no point.
 */
struct hvo_sim_failures {
	uint64_t at;   /* this point fails, from 1; 0: none */
	uint64_t also; /* and this one, of those that there are after the first failure; 0: none */
	bool sticky;   /* all points fail from the first failure on */
};

/* What a machine asks its platform for, among it all that changes something or waits. */
enum hvo_sim_call {
	HVO_SIM_REMAP,
	HVO_SIM_FLUSH,
	HVO_SIM_POPULATE,
	HVO_SIM_DISCARD,
	HVO_SIM_ZERO,
	HVO_SIM_COPY,
	HVO_SIM_QUIESCE,
	HVO_SIM_SLEEP,
};

struct hvo_sim_options {
	uint32_t size;
	uint64_t seed;
	uint32_t tlb_entries;  /* default 64; a power of two */
	uint32_t table_frames; /* for page tables; default: enough for every split */
	/*
	 * Called instead of abort() when the hardware catches something; must not
	 * return (longjmp away, the sim can then only be closed).
	 */
	void (*on_fault)(void *arg, enum hvo_sim_fault fault, const char *what, uint64_t where);
	void *on_fault_arg;
	/*
	 * Called before each of these calls, NULL for nothing: with the frames that it is about, or,
	 * of HVO_SIM_SLEEP, the time in @nr. May use the machine, as far as the one who called may.
	 */
	void (*on_call)(void *arg, enum hvo_sim_call call, hvo_pfn_t pfn, uint64_t nr);
	void *on_call_arg;
	struct hvo_sim_failures failures; /* from the start on; see hvo_sim_fail() */
};

struct hvo_sim_stat {
	uint32_t size;
	uint64_t now_ns;
	uint64_t tlb_hits, tlb_misses, flushes;
	uint64_t table_frames_used; /* page-table frames in use now */
	uint64_t pmd_splits;
	uint64_t remapped_pages;
	uint64_t quiesces;
	uint64_t works;		   /* how often hvo_work() was asked for */
	uint64_t discarded_frames; /* whose content is with the system now */
	uint64_t points, failures; /* of the last hvo_sim_fail(): how many could fail, and did */
};

/**
 * hvo_sim_open() - simulated hardware, and the platform context for a machine
 * @opt: NULL: defaults
 *
 * Context: may wait.
 * Return: 0; -HVO_EINVAL; -HVO_ENOMEM. After an error nothing is kept.
 */
HVO_MUST_CHECK int hvo_sim_open(const struct hvo_config *cfg, const struct hvo_sim_options *opt,
				struct hvo_sim **ret);
void hvo_sim_close(struct hvo_sim *sim); /* accepts NULL */

/**
 * hvo_sim_ops - what hvo_machine_init() needs of this platform
 *
 * The functions, whose context is the struct hvo_sim, and the address of the descriptor array.
 * hvo_sim_create() does all of it.
 *
 * Context: any.
 */
extern const struct hvo_platform_ops hvo_sim_ops;
struct hvo_page *hvo_sim_array(struct hvo_sim *sim);

/**
 * hvo_sim_create() - open, and build the machine on it
 * @opt: NULL: defaults
 *
 * The machine goes with hvo_sim_close().
 *
 * Context: may wait.
 * Return: as hvo_sim_open() and hvo_machine_init(). After an error nothing is kept.
 */
HVO_MUST_CHECK int hvo_sim_create(const struct hvo_config *cfg, const struct hvo_sim_options *opt,
				  struct hvo_sim **ret);
struct hvo_machine *hvo_sim_machine(struct hvo_sim *sim);

/**
 * hvo_sim_stat() - what the simulated hardware did
 *
 * Context: any.
 * Return: 0; -HVO_EINVAL, *@ret untouched.
 */
int hvo_sim_stat(struct hvo_sim *sim, struct hvo_sim_stat *ret);

/**
 * hvo_sim_fail() - count the points at which a call may fail from here on, and fail some of them
 * @failures: which; NULL: fail and count no more
 *
 * A frame that populate() failed for faults when somebody writes to it, until populate() works or
 * hvo_sim_fail() is called again.
 *
 * Context: for machines that one thread uses.
 */
void hvo_sim_fail(struct hvo_sim *sim, const struct hvo_sim_failures *failures);

/**
 * hvo_sim_set_trace() - have a function called for each event
 * @trace: one at a time; NULL for none. Under spin locks too: it must not wait, nor call the library
 *
 * Context: any.
 */
void hvo_sim_set_trace(struct hvo_sim *sim,
		       void (*trace)(void *arg, const struct hvo_event_record *event), void *arg);

#ifdef __cplusplus
}
#endif

#endif
