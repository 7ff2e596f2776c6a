/* What the files of this folder share. See README.md for the idea; the order of the parts below is the order of the
 * pipeline. */
#ifndef TW_SCHEDULE_INTERNAL_H
#define TW_SCHEDULE_INTERNAL_H

#include "ops/graph_ops.h"
#include "schedule/index.h"
#include "schedule/schedule.h"

/* ---- facts about each value: facts.c ---- */
typedef struct value_facts {
    const tw_op *op;
    uint32_t place; /* of op in the graph; ids don't tell: rewriting gives new ones */
    tw_class class;
    int64_t shape[TW_MAX_RANK], count; /* constant sizes; count = number of elements */
    uint8_t varies;                    /* bit i: dimension i does, from call to call */
    int64_t stride[TW_MAX_RANK]; /* of its memory once it has some; chosen so that its user reads it contiguously */
    const tw_op **user;
    int users;
    bool output;      /* of the graph */
    bool stored;      /* it gets memory of its own (inputs too) */
    bool computed;    /* a kernel computes it as one of its values (stored or used there only) */
    bool panel;       /* part of an attention-like panel: recomputed wherever it is pulled, never stored (panels.c) */
    bool transposed;  /* panel with rows and columns exchanged */
    bool tainted;     /* made from statistics of a panel's rows: pulled too */
    bool terminal;    /* contraction with a panel as an operand: its kernel owns the panel */
    int region;       /* which panel: contractions whose panels meet share one; -1 */
    const tw_op *dot; /* the contraction, not stored itself, whose elements this value is made of one by one */
    double cost;      /* of computing one element from memory: 1 for an addition */
    int reads;        /* values in memory that it is made from, at most */
    int group;        /* the group that computes it; -1 */
} value_facts;

typedef struct var {
    enum { VAR_GRID, VAR_TILE } kind;
    enum { ROLE_PLAIN, ROLE_ROW, ROLE_PANEL_COLUMN, ROLE_INNER } role;
    bool varies; /* its extent, from call to call */
    bool cut;    /* into blocks, whatever the extent is: the last one may hang over */
    int64_t extent;
    int64_t
        block; /* TILE: how many of the extent one program holds (ROLE_ROW of a loop: one iteration); else the extent */
} var;
static inline bool
hangs_over(const var *v) /* the last block: what lies behind the extent is neither read nor written */
{
    return v->varies ? v->cut : v->extent % v->block != 0;
}

/* A kernel's buffers: what it computes and what it reads. What one value reads is bounded first (materialise.c), by so
 * much that a contraction of two such values still fits. */
enum { MOST_VARS = 24, MOST_OUTPUTS = 64, MOST_LOADS = 192, MOST_READS = MOST_LOADS / 2, MOST_DIMS = 12 };

/* ---- a group: values computed by one kernel over a shared iteration space ---- */
typedef enum { GROUP_FLAT, GROUP_ROWS, GROUP_COLUMNS, GROUP_DOT, GROUP_PANEL, GROUP_SCAN, GROUP_SCATTER } group_kind;
typedef struct group {
    group_kind kind;
    int64_t dim[MOST_DIMS]; /* FLAT: the iteration space, row-major; refined where views need it */
    int dims;
    bool dim_varies[MOST_DIMS], a_varies, r_varies, b_varies;
    int64_t a, r,
        b; /* FLAT: a elements; ROWS: a rows of r; COLUMNS, SCAN, SCATTER: [a, r, b]; DOT, PANEL: batch a, see dot */
    const tw_op *dot;                    /* DOT: the contraction; PANEL: one of the panel's */
    const tw_value *value[MOST_OUTPUTS]; /* computed here, in order */
    int values;
    const tw_value **load; /* read from memory: room for MOST_LOADS */
    int loads;
    uint32_t ready; /* the latest value that it loads: when it could run */
} group;

/* Why a value did not join a group. */
typedef enum {
    JOINED,
    NOT_ROOM,     /* the group has as many results, or reads as many values, as a kernel can */
    NOT_ALONE,    /* a scan or a scatter */
    NOT_SPACE,    /* they loop over different things */
    NOT_PANEL,    /* of different attention panels */
    NOT_EPILOGUE, /* contraction: not the result's own elements */
    NOT_ELEMENT,  /* needs elements that the iteration doesn't have at hand */
    NOT_CIRCLE,   /* a third group lies between */
    NOT_RELATED   /* reads nothing that the group computes, which would be no gain */
} refusal_reason;
typedef struct refusal {
    const tw_value *v;
    int group;
    refusal_reason why;
} refusal;

typedef struct scheduler {
    tw_arena *arena;
    const tw_graph *g;
    tw_schedule_options options;
    value_facts *facts; /* by value id */
    uint32_t values;
    group **groups;
    int group_count, group_room;
    refusal *refusals; /* of the last round of grouping, for explain */
    int refusal_count, refusal_room;
    uint64_t *after; /* bit matrix: after[i] has j: group i needs, directly or not, what group j makes */
    int words;
} scheduler;

static inline value_facts *facts_of(const scheduler *s, const tw_value *v)
{
    return &s->facts[v->id];
}

tw_status tw_schedule_facts(scheduler *s);
void tw_schedule_axis_form(const value_facts *f, int axis, int64_t *a, int64_t *r, int64_t *b);
enum { VARIES_A = 1, VARIES_R = 2, VARIES_B = 4 };
int tw_schedule_axis_varies(const value_facts *f, int axis); /* which of the three */
static inline bool dim_varies(const value_facts *f, int dim)
{
    return f->varies >> dim & 1;
}
bool tw_schedule_reduction_form(const scheduler *s, const tw_op *op, int64_t *a, int64_t *r,
                                int64_t *b); /* of its operand; false: not one axis */
int tw_schedule_reduced_axis(const tw_op *op, bool *keepdim);
static inline bool is_heavy(const tw_op *op) /* cannot be pulled element by element */
{
    tw_class class = op->info->class;
    return class == TW_CLASS_REDUCTION || class == TW_CLASS_CONTRACTION || class == TW_CLASS_SCAN ||
           (class == TW_CLASS_SCATTER && op->code != TW_G_SLICE_UPDATE);
}
static inline uint32_t read_operands(const tw_op *op) /* `after` reads its first one only */
{
    return op->code == TW_G_AFTER ? 1 : op->operands;
}
static inline bool is_view(const tw_op *op)
{
    return op->code == TW_G_RESHAPE || op->code == TW_G_PERMUTE || op->code == TW_G_EXPAND || op->code == TW_G_SLICE ||
           op->code == TW_G_AFTER;
}

/* ---- which elements an element is made from: access.c ---- */
typedef struct guard { /* low <= x < high, else the operand isn't read */
    const tw_index *x;
    int64_t low, high;
} guard;
typedef struct access {
    const tw_index *at[TW_MAX_RANK];
    guard guard[2 * TW_MAX_RANK];
    int guards;
} access;
/* The element of operand `i` that the element `at` of op's result is made from; op can be pulled (not heavy). */
tw_status tw_schedule_access(scheduler *s, const tw_op *op, uint32_t i, const tw_index *const *at, access *out);

/* The elements of a contraction's operands for the element `at` of its result and the step `k` of the contracted
 * dimension. */
void tw_schedule_dot_access(const tw_op *dot, const tw_index *const *at, const tw_index *k, const tw_index **left,
                            const tw_index **right);

/* ---- what is stored, what is recomputed: panels.c, materialise.c ---- */
tw_status tw_schedule_panels(scheduler *s);
const tw_value *tw_schedule_panel_operand(const scheduler *s, const tw_op *dot); /* of a terminal */
tw_status tw_schedule_materialise(scheduler *s);
tw_status tw_schedule_store_shared(scheduler *s,
                                   bool *changed); /* after grouping: values that several groups recompute dearly */

/* ---- walking from a value to what it is made from: trace.c ---- */
typedef struct frame { /* the variables of a kernel */
    var var[MOST_VARS];
    int vars;
    int row, panel_column; /* PANEL: variable numbers; -1 */
} frame;
int tw_frame_add(frame *f, var v); /* -1: too many */
/* The variable that runs over a reduced or contracted dimension inside an expression at `at`. */
int tw_frame_inner(frame *f, int64_t extent, bool varies, int rank, const tw_index *const *at, int wanted);
int tw_frame_dot_inner(const scheduler *s, frame *f, const tw_op *dot, const tw_index *const *at);

typedef struct trace_entry {
    enum { TRACE_LOAD, TRACE_OWN, TRACE_PULLED, TRACE_EXPRESSION, TRACE_WAIT /* isn't read, but must be there */ } kind;
    const tw_value *value;
    const tw_index *at[TW_MAX_RANK];
    const tw_index
        *linear;    /* LOAD: offset in its memory; OWN: row-major number of the element; EXPRESSION: the expression */
    int64_t period; /* EXPRESSION that is a guard: see trace_guard; else 0 */
} trace_entry;
typedef struct trace {
    scheduler *s;
    frame *f;
    int own; /* group whose computed values count as OWN; -1 */
    trace_entry *entry;
    int entries, room;
    uint64_t *seen;
    size_t seen_room, seen_count;
    tw_status status;
} trace;
void tw_trace_init(trace *t, scheduler *s, frame *f, int own);
/* Pulls `value` at `at`; `inside`: also when it is stored or computed elsewhere, look at what it is made from. */
void tw_trace_value(trace *t, const tw_value *value, const tw_index *const *at, bool inside);

void tw_trace_expression(trace *t, const tw_index *x); /* one more that the kernel needs */

/* ---- groups: group.c ---- */
tw_status tw_schedule_group(scheduler *s);
/* The element of `value` that a group's iteration computes, for its frame made by tw_group_frame. */
tw_status tw_group_frame(scheduler *s, const group *k, frame *f);
tw_status tw_group_at(scheduler *s, const group *k, frame *f, const tw_value *value, const tw_index **at);

/* ---- iteration spaces of flat groups: space.c ---- */
tw_status tw_schedule_refine(scheduler *s, group *k, int number);
tw_status tw_schedule_size_free(scheduler *s, const group *k, int number, bool *yes);

/* ---- programs: emit.c (pulling), pointwise.c (one element operation), kernels.c (one function a kind) ---- */
typedef struct emitted {
    tw_value *v;
    uint32_t set; /* which tile variables it varies over: its dimensions, in ascending order; 0: a scalar */
} emitted;
typedef struct emitter {
    scheduler *s;
    const group *k;
    frame f;
    tw_graph *g;             /* the tile program */
    emitted base[MOST_VARS]; /* each variable's value: a scalar, or a tile base + arange */
    tw_value *grid_value[MOST_VARS];
    const tw_value *buffer[MOST_LOADS + MOST_OUTPUTS]; /* pointer arguments, in order: loads, then stores */
    bool written[MOST_LOADS + MOST_OUTPUTS];
    tw_value *pointer[MOST_LOADS + MOST_OUTPUTS];
    int buffers;
    emitted condition; /* of the surrounding guards; v == NULL: none */
    tw_hash condition_key;
    tw_value *size; /* size-free programs: the extent of variable 0 */
    struct memo *memo;
    size_t memo_count, memo_room;
    tw_status status;
    int64_t flops, bytes, bytes_read;
    int reads;
    const uint32_t *inside;
    int insides;
} emitter;

emitted tw_emit_index(emitter *e, const tw_index *x);
emitted tw_emit_value(emitter *e, const tw_value *value, const tw_index *const *at, bool inside);
void tw_emit_remember(emitter *e, const tw_value *value, const tw_index *const *at, emitted result);
void tw_emit_forget(emitter *e); /* the memo, at the border of a region */
emitted tw_emit_load_stored(emitter *e, const tw_value *value,
                            const tw_index *const *at); /* of what the program itself wrote */
void tw_emit_store(emitter *e, const tw_value *value, const tw_index *const *at, emitted x);
void tw_emit_only_where(emitter *e, const tw_index *x, int64_t size); /* from here on: only where 0 <= x < size */
emitted tw_emit_align(emitter *e, emitted x, uint32_t set);
tw_value *tw_emit_fail(emitter *e, tw_status status);
emitted tw_emit_from_matrix(emitter *e, tw_value *x, int rows, int columns);
tw_value *tw_emit_dot_tile(emitter *e, const tw_op *op, const tw_index *const *at, tw_value *accumulator, int *rows,
                           int *columns);
emitted tw_emit_pointwise(emitter *e, const tw_op *op, const emitted *operand);
tw_value *tw_emit_constant(emitter *e, tw_dtype dtype, double value, int64_t bits);
static inline tw_value *tw_emit_i64(emitter *e, int64_t value)
{
    return tw_emit_constant(e, TW_I64, 0, value);
}
/* Fills in kernel and launch (arguments are value ids still: memory.c turns them into slots). */
tw_status tw_schedule_emit(scheduler *s, int group_number, tw_plan *plan, tw_plan_kernel *kernel,
                           tw_plan_launch *launch);

/* ---- why kernels end where they end: boundaries.c ---- `order` as tw_schedule_order gives it; after slots are made */
tw_status tw_schedule_boundaries(scheduler *s, tw_plan *plan, const int *order);

/* ---- order, batches, memory: memory.c ---- */
tw_status tw_schedule_order(scheduler *s, int *order);
tw_status tw_schedule_memory(scheduler *s, tw_plan *plan, const int *order);

#endif
