/* The best way to serve a model on a machine: how many devices an instance spans, how many sequences it holds. */
#ifndef TW_MACHINE_SERVICE_H
#define TW_MACHINE_SERVICE_H

#include "machine/search.h"

typedef struct tw_service {
    double input, output; /* tokens of a request */
    double sequences;     /* in flight on an instance; 0: free */
    double slowest;       /* seconds for a token that users accept; 0: any */
    bool prompts_only;    /* prefill alone: time to the first token counts, nothing is decoded */
} tw_service;

typedef struct tw_service_plan {
    tw_strategy strategy;
    double devices, instances; /* of an instance; instances of the machine */
    tw_serving serving;
    double tokens_per_second; /* of the whole machine: produced, or read where only prompts are */
    double joules, dollars;   /* of a million tokens */
    double score;
} tw_service_plan;

enum { TW_SERVICE_MOST = 16 };

/* By space->objective: time is throughput of the machine (of prompts only: time to the first token, at one request).
 * Best first. error: TW_ERR_VALUE when nothing fits or is fast enough. */
tw_status tw_search_service(tw_planner *p, const tw_search_space *space, const tw_service *service,
                            tw_service_plan best[TW_SERVICE_MOST], int *count);

#endif
