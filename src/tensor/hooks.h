/* What tensors need from the folders after them: functions, set at start-up by capture. */
#ifndef TW_TENSOR_HOOKS_H
#define TW_TENSOR_HOOKS_H

#include "ir/ir.h"

typedef struct tw_segment_io {
    int inputs, outputs;
    void **input;                 /* values, in order of the graph's inputs: row-major, or as `stride` says */
    const int64_t *const *stride; /* by input, in elements; an entry is NULL where the value is row-major */
    void **output;                /* where the results go; NULL: over the input that in_place names */
    const int *in_place;          /* by output: the input whose content it renews; -1: none */
} tw_segment_io;

/* Runs a recorded graph (composites and primitives, ending in `output`). The graph stays the caller's. `reason`: what
 * looked at a value and so ended the segment. */
typedef tw_status tw_run_segment(const tw_graph *g, tw_segment_io *io, const char *reason);
extern tw_run_segment *tw_segment_runner;

/* The two halves of it for functions that are compiled once and called often: a plan for this graph and these in-place
 * results (NULL: error set), which is there until it is released, and running that plan. */
typedef struct tw_prepared tw_prepared;
typedef tw_prepared *tw_prepare_segment(const tw_graph *g, const tw_segment_io *io, const char *reason);
typedef tw_status tw_run_prepared(tw_prepared *plan, tw_segment_io *io);
typedef void tw_release_prepared(tw_prepared *plan); /* NULL is fine */
extern tw_prepare_segment *tw_segment_preparer;
extern tw_run_prepared *tw_prepared_runner;
extern tw_release_prepared *tw_prepared_releaser;

/* Memory that stands for values: of tensors, and of plans while they run. Counted in one place, so that its peak can be
 * stated. */
void tw_count_bytes(int64_t change);

#endif
