/* What a model asks of a device and of the links, and how a plan spreads it: the closed forms of a step. */
#ifndef TW_MACHINE_WORKLOAD_H
#define TW_MACHINE_WORKLOAD_H

#include "machine/cost.h"

/* ---- counting ---- */

double tw_model_parameters(const tw_model *m);        /* all of them */
double tw_model_layer_parameters(const tw_model *m);  /* of all layers: without embedding, positions and head */
double tw_model_active_parameters(const tw_model *m); /* that one token meets */
/* Forward FLOPs of one token, causal attention counted half where `half`; x 3 for training. */
double tw_model_forward_flops(const tw_model *m, double sequence, bool half);
/* As Narayanan et al. 2021 count a step of GPT: 72BsLh^2(1 + s/6h + V/12Lh), with recomputation 96BsLh^2(1 + s/6h +
 * V/16Lh). */
double tw_gpt_step_flops(const tw_model *m, double batch, double sequence, bool recompute);
double tw_model_kv_bytes(const tw_model *m, double element); /* of one token of context, all layers */

/* ---- the work ---- */

typedef enum { TW_PHASE_TRAIN, TW_PHASE_PREFILL, TW_PHASE_DECODE } tw_phase;

typedef struct tw_workload {
    const tw_model *model;
    tw_phase phase;
    double sequence; /* tokens of one sequence (decode: of context) */
    double context;  /* inference: tokens that each sequence holds already */
    double batch;    /* sequences of one step over all devices */
    tw_peak type;    /* of matrix products */
    int attention;   /* tw_attention */
    const tw_software *software;

    double kv_bytes;             /* of one element of the cache; 0: as type, at least 1 */
    double draft;                /* speculative decoding: tokens checked at once (1: none) */
    double accept;               /* probability that a proposed token is taken */
    const tw_model *draft_model; /* that proposes them; NULL: proposals cost nothing */
    double power_cap;
} tw_workload;

tw_workload tw_workload_of(const tw_model *model); /* training at its sequence length in bf16 */

typedef enum { TW_RECOMPUTE_NONE, TW_RECOMPUTE_SELECTIVE, TW_RECOMPUTE_FULL, TW_RECOMPUTES } tw_recompute;
typedef enum {
    TW_SCHEDULE_GPIPE,
    TW_SCHEDULE_1F1B,
    TW_SCHEDULE_INTERLEAVED,
    TW_SCHEDULE_ZERO_BUBBLE,
    TW_SCHEDULES
} tw_pipeline_schedule;
typedef enum { TW_OFFLOAD_NONE, TW_OFFLOAD_OPTIMISER, TW_OFFLOADS } tw_offload;
const char *tw_recompute_name(int recompute);
const char *tw_pipeline_schedule_name(int schedule);

/* How a model is spread over devices. */
typedef struct tw_strategy {
    int tensor, pipeline, chunks, data, context, expert; /* chunks: model parts a device holds (interleaving) */
    int micro_batch;                                     /* sequences */
    int zero;                                            /* 0 to 3 */
    int recompute, schedule, offload;
    bool sequence_parallel;
} tw_strategy;

int tw_strategy_text(const tw_strategy *s, char *out, size_t room); /* "TP 8 · PP 16 x 3 · DP 8 ..." */

/* Work of one average layer for one micro-batch on one device: seconds. */
typedef struct tw_layer_cost {
    double forward, backward; /* kernels on the device */
    double again;             /* of forward that backward repeats under the strategy's recomputation */
    double host_forward, host_backward, host_again;       /* the host's work, which bounds the above from below */
    double tensor_forward, tensor_backward, tensor_again; /* tensor-parallel communication */
    double expert_forward, expert_backward;               /* all-to-alls */
    double context_forward, context_backward;             /* ring of keys and values */
    double gemm, attention, pass;                         /* forward and backward kernels by kind, for reports */
    double flops, bytes;                                  /* of forward and backward; bytes: memory traffic */
} tw_layer_cost;

/* Bytes on one device. */
typedef struct tw_memory_use {
    double weights, gradients, optimiser, activations, cache, workspace, total, capacity, on_host;
} tw_memory_use;

/* A step. Seconds on the critical path unless said otherwise. */
typedef struct tw_step {
    double time;
    double compute, bubble, tensor, expert, context, pipeline, data, optimiser, host, offload, other;
    double gemm, attention, pass, embedding; /* device work within compute */
    double model_flops, hardware_flops;      /* of all devices; hardware: recomputation counted */
    double memory_bytes;                     /* traffic of one device's memory */
    double link_bytes[TW_TIERS];             /* of one device and direction */
    double overlapped;                       /* communication that compute hides */
    double micro_batches;
    tw_memory_use memory;
} tw_step;

/* A step divided into what its timeline is made of: seconds. */
typedef struct tw_beside { /* communication beside compute */
    double seen, hidden;
} tw_beside;
typedef struct tw_stage_time { /* one direction of one layer for one micro-batch */
    double compute, host, tensor, expert, context, hidden;
} tw_stage_time;
typedef struct tw_step_parts {
    double micro_batches, layers; /* of the stage that has most */
    tw_stage_time forward, backward;
    double first, last;                     /* more on the first stage (embedding), on the last (head, loss) */
    tw_beside sends, every;                 /* a micro-batch: to the next stage and back; parameters fetched */
    tw_beside gather, reduce;               /* a step: parameters before, gradients after */
    double update, offload, tied, overhead; /* a step */
    double slowed, slowed_once;             /* compute lost beside hidden communication: a micro-batch, a step */
    double update_bytes;
} tw_step_parts;

/* ---- a planner for one workload on one machine ---- */

typedef struct tw_planner {
    const tw_machine *machine;
    tw_workload work;
    tw_device device;
    double parameters, layer_parameters; /* of work.model */
    struct tw_layer_memo *memo;
} tw_planner;

tw_status tw_planner_create(tw_planner *p, const tw_machine *machine, const tw_workload *work, const tw_fit *fit);
void tw_planner_destroy(tw_planner *p);

/* Whether the numbers fit each other at all (divide each other, not more devices than there are). Says why not. */
tw_status tw_strategy_check(const tw_planner *p, const tw_strategy *s);

const tw_layer_cost *tw_planner_layer(tw_planner *p, const tw_strategy *s); /* remembered; NULL: no memory */
tw_memory_use tw_planner_memory(const tw_planner *p, const tw_strategy *s);
tw_step_parts tw_step_divide(tw_planner *p, const tw_strategy *s);
tw_status tw_planner_train(tw_planner *p, const tw_strategy *s, tw_step *step);
/* What a step counts and holds beside its time; not needed while plans are compared by time. */
void tw_step_account(tw_planner *p, const tw_strategy *s, tw_step *step);

/* ---- inference ---- */

/* One pass of the model over `tokens` new tokens of each of `batch` sequences that hold `context` tokens already. */
tw_status tw_planner_pass(tw_planner *p, const tw_strategy *s, double batch, double tokens, double context,
                          tw_step *step);

typedef struct tw_serving {
    double prefill, token;    /* seconds of a prompt pass; of one decode step */
    double latency;           /* of a whole request: prompt and all its tokens */
    double tokens_per_second; /* produced by the whole instance */
    double concurrency;       /* sequences in flight */
    tw_memory_use memory;
    tw_step pass; /* one decode step of the large model */
} tw_serving;

/* A batch that starts together: `input` tokens each, `output` to produce. */
tw_status tw_planner_request(tw_planner *p, const tw_strategy *s, double batch, double input, double output,
                             tw_serving *out);
/* Requests without end, batched in flight, `sequences` at a time. */
tw_status tw_planner_serve(tw_planner *p, const tw_strategy *s, double input, double output, double sequences,
                           tw_serving *out);
double tw_planner_most_sequences(const tw_planner *p, const tw_strategy *s, double input, double output);
/* Requests without end, batched in flight, as many as the memory holds (at most `most`). */
tw_status tw_planner_saturated(tw_planner *p, const tw_strategy *s, double input, double output, double most,
                               tw_serving *out);

#endif
