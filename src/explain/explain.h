/* What is known about a step: collect.c watches it run, adopt.c copies what its plans say, and each form that it is
 * shown in (table.c, tsv.c, page.c, trace.c, graphviz.c) is made from this alone. Nothing here points to a plan or a
 * graph: they may be gone by the time that somebody reads it. */
#ifndef TW_EXPLAIN_H
#define TW_EXPLAIN_H

#include "capture/capture.h"
#include "tilewright/explain.h"

/* What keeps a launch from being faster. */
typedef enum {
    LIMIT_COMPUTE, /* arithmetic, at the peak of each dtype */
    LIMIT_MEMORY,  /* bytes, at the bandwidth of so many */
    LIMIT_LAUNCH,  /* threads that wait for each other */
    LIMITS
} explained_limit;
const char *explained_limit_name(explained_limit limit);

typedef struct explained_launch {
    int kernel, batch;
    tw_kernel_kind kind;
    const char *name;
    int64_t programs, flops, bytes_read, bytes_written;
    int64_t flops_of[TW_TENSOR_DTYPES]; /* flops by the dtype that they are computed in */
    double ns;                          /* a step */
    double limit_ns[LIMITS];
    explained_limit bound; /* the largest of them */
    const char **inside;   /* the operations, as their graph prints them */
    int insides;
    const char *summary; /* "dot, add, mul x3" */
} explained_launch;

/* A value that crosses memory between two launches, and why. */
typedef struct explained_edge {
    int from, to;
    const char *value, *reason; /* "%5 f32[16, 64]" */
    int64_t bytes;
} explained_edge;

typedef struct explained_temporary {
    int first, last; /* batches */
    int64_t offset, bytes;
    const char *value;
} explained_temporary;

enum { MOST_SAMPLES = 5 };

typedef struct explained_plan {
    const tw_executable *executable; /* to know it again; not followed */
    int kernels, batches, threads;
    explained_launch *launch;
    int launches;
    explained_edge *edge;
    int edges;
    explained_temporary *temporary;
    int temporaries;
    int64_t arena_bytes, scratch_bytes, temporary_bytes; /* the last: all temporaries, without sharing */
    int64_t input_bytes, output_bytes;
    int renewed, in_place; /* results that are an input's new content; those written right over it */
    int64_t renewed_bytes, in_place_bytes;
    double *sample[MOST_SAMPLES]; /* ns by launch of one timed step */
} explained_plan;

/* A segment, in the order in which they ran. */
typedef struct explained_run {
    int plan;           /* -1: operation by operation */
    const char *reason; /* what ended it */
    int operations;
    uint64_t start, end, compile_ns;
    tw_launch_span *span; /* [launch][thread] */
    int threads;
} explained_run;

struct tw_explanation {
    tw_arena *arena;
    tw_limits limits;
    tw_vec(explained_plan *) plans;
    tw_vec(explained_run) runs;
    uint64_t begun, ended; /* of the last pass, whose spans are noted */
    int samples;
    double sample_ns[MOST_SAMPLES]; /* of each timed step, recording and looking up included */
    double step_ns;                 /* its launches, and what lies between and around them */
    double kind_ns[TW_KINDS];
    int64_t stated_bytes, measured_bytes; /* peak, compiled */
    bool compared;                        /* the rest is known: the same operation by operation */
    double separate_ns, separate_kind_ns[TW_KINDS];
    int64_t separate_stated_bytes, separate_measured_bytes; /* -1: not known */
};

/* adopt.c: NULL: no memory. */
explained_plan *explain_adopt(tw_explanation *e, const tw_segment_run *run);
void explain_apply_limits(tw_explanation *e);
/* What running the recorded operations one by one holds at most, beside what is there before and after. */
int64_t explain_separate_bytes(const tw_graph *g, const tw_segment_io *io);

double explain_plan_ns(const explained_plan *p);

/* The forms: each adds to `out`. */
tw_status explain_table(const tw_explanation *e, const char *title, tw_text *out);
tw_status explain_tsv(const tw_explanation *e, const char *title, tw_text *out);
tw_status explain_page(const tw_explanation *e, const char *title, tw_text *out);
tw_status explain_trace(const tw_explanation *e, const char *title, tw_text *out);
tw_status explain_graphviz(const tw_explanation *e, const char *title, tw_text *out);

#endif
