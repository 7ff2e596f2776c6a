/* What the forms of tw plan share: options that say what is to be planned, and the planner that they make. */
#ifndef TW_CLI_PLAN_H
#define TW_CLI_PLAN_H

#include "cli/machine.h"
#include "machine/report.h"
#include "machine/service.h"

/* What is asked. Zeroes: not said. */
typedef struct plan_request {
    const char *model, *machine;
    const char *phase, *objective, *type, *software, *fixed, *draft_model, *constants;
    int64_t batch, sequence, devices, keep, input, output, sequences, draft;
    double tokens, budget, slowest, accept;
    bool fewer;
    text_list with, settings;
} plan_request;

enum { PLAN_OPTIONS = 22 };
/* The rows of an option table that fill `r`; returns how many. */
int plan_options(plan_request *r, option out[PLAN_OPTIONS]);

/* A planner for the request. Everything lives as long as the job. */
typedef struct plan_job {
    tw_library *library;
    tw_machine machine;
    tw_planner planner;
    tw_search_space space;
    tw_service service;
    const tw_fit *constants;
    bool serving; /* prefill or decode */
} plan_job;
tw_status plan_begin(const plan_request *r, tw_library *library, plan_job *job);
void plan_end(plan_job *job); /* the library stays */

/* The best plan's figures: what comparisons and sweeps print. NaN: not of this phase. */
typedef struct plan_figures {
    char plan[240];
    double devices, seconds, token_ms, prompt_ms, tokens_per_second, utilisation, memory, watts, kwh,
        dollars; /* of a million tokens */
} plan_figures;
tw_status plan_measure(plan_job *job, plan_figures *out);

int cmd_plan_graph(int argc, char **argv);
int cmd_plan_compare(int argc, char **argv);
int cmd_plan_sweep(int argc, char **argv);
int cmd_plan_seed(int argc, char **argv);

tw_status plan_write_file(const char *path, const tw_text *text);

#endif
