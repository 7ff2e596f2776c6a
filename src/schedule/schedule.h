/* Primitive graph in, plan out: which operations share a kernel, in what order the kernels run, where every value
 * lives. */
#ifndef TW_SCHEDULE_H
#define TW_SCHEDULE_H

#include "ir/ir.h"

/* What a kernel mostly does: for the table "where the time went". */
typedef enum {
    TW_KIND_MATMUL,
    TW_KIND_ATTENTION,
    TW_KIND_NORM_SOFTMAX,
    TW_KIND_POINTWISE,
    TW_KIND_OTHER,
    TW_KINDS
} tw_kernel_kind;
TW_API const char *tw_kernel_kind_name(tw_kernel_kind kind); /* "matrix products", ... */

/* One tile program, used by one or more launches (equal programs are shared). */
typedef struct tw_plan_kernel {
    tw_graph *program;
    tw_hash hash;     /* of the program */
    const char *name; /* "layer_norm-ish" summary made from the primitives inside: "sum_sub_mul..." */
    tw_kernel_kind kind;
    const char *contents; /* the primitives inside, one a line, for explain */
} tw_plan_kernel;

typedef enum { TW_SLOT_INPUT, TW_SLOT_OUTPUT, TW_SLOT_TEMPORARY } tw_slot_kind;

/* Where a value lives. Inputs and outputs are given by the caller at run time (contiguous, row-major unless `strides`
 * say otherwise). */
typedef struct tw_plan_slot {
    tw_slot_kind kind;
    int index; /* which input or output of the graph */
    tw_type type;
    tw_dim bytes;
    tw_dim offset;   /* TEMPORARY: within the arena; constant plans: a number; symbolic plans: laid out at run time */
    int first, last; /* launches between which it is alive */
    int alias_input; /* OUTPUT: may be written over this input's memory in place (-1: none): the input is dead or the
                        same storage */
    uint32_t value;  /* of the plan's graph, by id */
    int64_t stride[TW_MAX_RANK]; /* in elements: a temporary is laid out as its reader likes it */
} tw_plan_slot;

typedef struct tw_plan_launch {
    int kernel;
    int arguments;
    int *slot;      /* one for each pointer argument of the program: first those it reads, then those it writes */
    int reads;      /* how many of them it reads */
    tw_dim *scalar; /* the program's symbols are the plan's symbols; extra scalar arguments come here */
    int scalars;
    tw_dim grid[3];
    int batch; /* launches of one batch (sibling programs of one kernel, independent) run as one: index of the batch */
    /* Of one run: each operation counted once, however often it is recomputed; of each argument what is read or
     * written of it, once. */
    int64_t flops, bytes;
    int64_t bytes_read; /* the part of bytes that is loaded */
    uint32_t *inside;   /* which values of the plan's graph are computed here, by id, in the graph's order */
    int insides;
} tw_plan_launch;

/* A value that crosses memory between two launches, and why one kernel doesn't do both. */
typedef struct tw_plan_boundary {
    int from, to; /* launches */
    uint32_t value;
    const char *reason;
} tw_plan_boundary;

typedef struct tw_plan {
    tw_arena *arena;
    tw_graph *graph; /* the primitive graph it came from (dims, explain) */
    int kernels, slots, launches, batches;
    tw_plan_kernel *kernel;
    tw_plan_slot *slot;
    tw_plan_launch *launch;
    tw_plan_boundary *boundary;
    int boundaries;
    int64_t arena_bytes;         /* of temporaries, constant plans */
    int64_t peak_bytes_separate; /* what operation-by-operation execution would need at its peak */
} tw_plan;

typedef struct tw_schedule_options {
    bool no_fusion; /* one primitive a kernel */
    /* in_place[i] = j: output i is the new content of input j's storage (an in-place update); -1: none. NULL: none. */
    const int *in_place;
    const int64_t *const *input_stride; /* by input, in elements; NULL, or an entry that is NULL: row-major */
    /* By operation of the graph, in order: bit i says that dimension i of its result is another in other calls.
     * Programs are then laid out so that they differ between sizes in numbers only. NULL: no size varies. */
    const uint8_t *varies;
    int threads; /* what the plan will run on: it may choose block sizes, never the arithmetic */
} tw_schedule_options;

/* `g` holds primitives only and outlives the plan's making, not the plan. */
tw_status tw_schedule(const tw_graph *g, const tw_schedule_options *options, tw_plan **plan);
void tw_plan_destroy(tw_plan *plan);

/* The plan's graph by id, for those who walk from a plan to what it computes: def[id] makes value id (NULL: gone). In
 * `arena`; NULL: no memory. */
const tw_op **tw_plan_definitions(const tw_plan *plan, tw_arena *arena);
/* Arithmetic operations of a kernel's operations: an element of a result is one, of a product 2k, of a reduction one
 * for each element that goes in; moving and converting are none. The same operation on the same values counts once
 * (what rematerialisation computes again, where one kernel holds both). by_dtype: has TW_TENSOR_DTYPES entries, to
 * which they are added by the dtype that they are computed in; or NULL. `arena`: for the while. -1: no memory. */
int64_t tw_flops_of(const tw_op *const *op, int count, tw_arena *arena, int64_t *by_dtype);
void tw_plan_print(const tw_plan *plan, tw_text *out);

#endif
