/* A training step played through: every micro-batch on every stage, what its links carry, and when. */
#ifndef TW_MACHINE_TIMELINE_H
#define TW_MACHINE_TIMELINE_H

#include "machine/workload.h"

typedef enum {
    TW_WORK_FORWARD,
    TW_WORK_BACKWARD,
    TW_WORK_WEIGHT, /* gradients of weights alone (zero bubble) */
    TW_WORK_HOST,   /* the device waits for launches */
    TW_WORK_TENSOR, /* communication from here on */
    TW_WORK_EXPERT,
    TW_WORK_CONTEXT,
    TW_WORK_SEND,
    TW_WORK_DATA,
    TW_WORK_UPDATE, /* optimiser */
    TW_WORK_OTHER,
    TW_WORKS
} tw_work;
const char *tw_work_name(tw_work work); /* "forward" */

/* What one stage's device did: on its engine, or (hidden) on its links beside it. */
typedef struct tw_span {
    double start, end;
    int stage, micro_batch, chunk; /* micro_batch -1: of the whole step */
    unsigned char work, hidden;    /* tw_work */
} tw_span;

typedef struct tw_timeline {
    tw_span *span;
    size_t spans;
    int stages;
    double end;
    double *busy;          /* seconds that each stage's engine was taken, by compute or by communication that is seen */
    double sent, received; /* bytes over the links between stages */
} tw_timeline;

/* The pipeline alone: what every stage takes for one chunk of one micro-batch, by direction. */
typedef struct tw_pipeline {
    int stages, chunks, micro_batches, schedule; /* tw_pipeline_schedule */
    const double *forward, *backward;            /* seconds of each stage, of one chunk */
    double weight;                               /* share of backward that is gradients of weights (zero bubble) */
    double send;                                 /* seconds of a transfer to the next stage that compute can hide */
    double send_bytes;
} tw_pipeline;

/* Fills in when each piece of work starts and ends. `timeline` is freed with tw_timeline_free. */
tw_status tw_pipeline_run(const tw_pipeline *p, tw_timeline *timeline);

/* The whole step: parameters gathered, the pipeline, gradients reduced, the update. At most `most` micro-batches are
 * played (the rest repeats the same pattern); 0: all. */
tw_status tw_step_timeline(tw_planner *p, const tw_strategy *s, int most, tw_timeline *timeline);
void tw_timeline_free(tw_timeline *timeline);

#endif
