/* The best strategy for a workload on a machine: branch and bound over every degree of parallelism, exact on the model
 * of workload.h. */
#ifndef TW_MACHINE_SEARCH_H
#define TW_MACHINE_SEARCH_H

#include "machine/workload.h"

typedef enum { TW_OBJECTIVE_TIME, TW_OBJECTIVE_MONEY, TW_OBJECTIVE_ENERGY, TW_OBJECTIVES } tw_objective;
const char *tw_objective_name(tw_objective objective); /* "time", "money", "energy" */

/* What a search may choose. A value of 0 (schedule, recompute, zero, sequence_parallel, offload: -1) is free. */
typedef struct tw_search_space {
    tw_strategy fixed;
    int sequence_parallel; /* -1 free, 0, 1 */
    double devices;        /* that a plan uses, exactly; 0: all of the machine's */
    bool fewer;            /* also powers of two times fewer (for money and energy) */
    bool ignore_memory;    /* plans that don't fit count too */
    bool exhaustive;       /* evaluate everything: what the tests compare with */
    tw_objective objective;
    /* What money and energy are asked at: USD a device and second without electricity, W beside each chip, power of the
     * site over that of the machine, USD/J. tw_search_prices sets them. */
    double rent, overhead_power, pue, electricity;
    double most_dollars; /* a step may cost; 0: any */
    int keep;            /* how many of the best to return, at most TW_SEARCH_MOST */
} tw_search_space;

enum { TW_SEARCH_MOST = 64 };

typedef struct tw_candidate {
    tw_strategy strategy;
    tw_step step;
    double score, devices;
} tw_candidate;

/* Why plans failed. */
typedef struct tw_search_failures {
    int64_t memory;       /* did not fit */
    tw_candidate closest; /* of those that did not fit, the one that missed by least */
    double missing;       /* bytes */
    int64_t money;        /* cost too much */
    double cheapest;      /* USD a step, of those */
} tw_search_failures;

typedef struct tw_search_result {
    tw_candidate best[TW_SEARCH_MOST]; /* best first */
    int count;
    int64_t evaluated, pruned; /* closed forms evaluated; subtrees cut by a bound */
    tw_search_failures failures;
} tw_search_result;

tw_search_space tw_search_everything(void); /* all free, time, all devices, 8 kept */

void tw_search_prices(tw_search_space *space, const tw_library *l, const tw_machine *machine);

/* error: TW_ERR_VALUE when nothing fits: which memory, by how much. */
tw_status tw_search(tw_planner *p, const tw_search_space *space, tw_search_result *result);

/* Joules and dollars of a step that was accounted (tw_step_account), the site's overhead included. */
double tw_step_joules(const tw_planner *p, const tw_search_space *space, const tw_step *step, double devices);
double tw_step_dollars(const tw_planner *p, const tw_search_space *space, const tw_step *step, double devices);

#endif
