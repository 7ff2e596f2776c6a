/* What the files of this folder share.
 *
 *     tensor ──┐                          cell: one content, its memory, its version
 *     tensor ──┼──> cell ──> memory       tensor: a handle: shape, strides, history
 *     view ────┘                          view: a handle that says how it is made from another handle of the cell
 *       └──────> tensor (its base)
 *
 * A cell's content is in memory, or pending (a value of the thread's segment), or both: old content in memory, new
 * content pending. Tensors of one cell are aliases: what changes one changes all. Inside a segment nothing changes in
 * place: a change makes a new value for the cell and counts its version, and views of it are derived again where they
 * are used (views.c).
 *
 * A handle is looked at if anybody but a view's `base` refers to it. A pending cell that no handle looks at is never
 * computed on its own. */
#ifndef TW_TENSOR_INTERNAL_H
#define TW_TENSOR_INTERNAL_H

#include "ops/graph_ops.h"
#include "tensor/hooks.h"
#include "tensor/record.h"

typedef struct cell {
    int references; /* tensors, and segments that read it or will compute it */
    int lookers;    /* handles that are looked at */
    tw_dtype dtype;
    int rank;
    int64_t shape[TW_MAX_RANK], stride[TW_MAX_RANK], count;
    uint64_t version; /* counts changes in place */
    tw_status status; /* computing it failed */
    void *data;       /* NULL: not computed yet */
    size_t bytes;
    void (*free)(void *user); /* of the user's memory */
    void *user;
    bool foreign;     /* the user's memory: it is what changes in place */
    bool strided;     /* not row-major (foreign only) */
    uint64_t segment; /* of `value`; another number: none in the current one */
    tw_value *value;
    int input;    /* number of the segment's input that holds the content of before the segment; -1 */
    bool pending; /* the segment's value is newer than the memory */
} cell;

typedef struct tape_node tape_node;

/* An operation as it was recorded, to be recorded again. */
typedef struct recipe {
    const tw_op_info *info;
    int code;
    tw_attr *attrs; /* one block, lists included */
} recipe;

typedef struct view {
    tw_tensor *base;
    recipe op;                 /* of the base */
    uint64_t segment, version; /* of `value`: the segment it belongs to, the cell's version that it is of */
    tw_value *value;
    int listed; /* place in the segment's list of views; -1 */
} view;

struct tw_tensor {
    int references, bases; /* all; those by views whose base it is */
    tw_status status;
    tw_dtype dtype;
    int rank;
    int64_t shape[TW_MAX_RANK], stride[TW_MAX_RANK], offset, count; /* strides and offset in elements of the cell */
    cell *cell;
    view *view; /* NULL: the cell's content as it is */
    bool requires_grad, detached;
    tw_tensor *grad;
    tape_node *node;  /* how it was made; NULL: a leaf, or nothing that needs gradients */
    uint64_t history; /* views: the cell's version that `node` is of */
    void *packed;     /* a row-major copy of a strided view, made for who looks at it */
    uint64_t packed_version;
};

/* ---- memory and cells: cell.c ---- */
cell *tw_cell_create(tw_dtype dtype, int rank, const int64_t *shape); /* without memory; one reference */
bool tw_cell_allocate(cell *c);
void tw_cell_release(cell *c);

/* ---- handles: tensor.c ---- */
bool tw_overlaps(int rank, const int64_t *shape, const int64_t *stride); /* stands any element where another does? */
tw_tensor *tw_tensor_create(tw_dtype dtype, int rank, const int64_t *shape); /* with a cell; owned by the scope */
tw_tensor *tw_tensor_of(cell *c);                                            /* one more handle */
tw_tensor *tw_tensor_unowned(tw_tensor *t); /* takes the scope's newest tensor, t, away from it; NULL: it failed */
void tw_base_release(tw_tensor *t);         /* as tw_release, of the reference that a view has to its base */
bool tw_scope_own(tw_tensor *t);

/* ---- the segment: segment.c ---- */
void tw_segment_forget(void); /* a thread that ends: what was recorded is not computed */
typedef struct segment {
    uint64_t number; /* changes at every flush */
    tw_graph *g;
    tw_vec(cell *) pending; /* new content is to be computed */
    tw_vec(cell *) inputs;
    tw_vec(tw_tensor *) views; /* of cells that have no memory yet; NULL where one died */
    bool running, eager;       /* eager: TW_EAGER when it was opened */
} segment;

typedef struct results { /* what a segment computes: cells that are looked at */
    cell **cell;
    tw_value **value;
    void **output, **input;
    const int64_t **stride; /* by input */
    void **made;            /* memory for a result that isn't written where it belongs at once */
    int *in_place, count;
} results;

/* Runs what the segment holds in place of the usual runner. */
typedef tw_status tw_segment_sink(void *user, segment *s, const results *r, tw_segment_io *io);

segment *tw_segment_current(void);       /* NULL: no memory */
tw_value *tw_tensor_value(tw_tensor *t); /* in the current segment; NULL: error set */
tw_value *tw_cell_value(cell *c);
tw_tensor *tw_tensor_pending(tw_value *v);
void tw_cell_set_value(cell *c, tw_value *v); /* its new content, to be computed */
void tw_cell_hand_over(cell *c, void *made);  /* takes computed content, row-major */
tw_status tw_segment_flush(const char *reason);
tw_status tw_segment_flush_into(const char *reason, tw_segment_sink *sink, void *user);

/* ---- views: views.c ---- */
bool tw_recipe_copy(recipe *r, const tw_op *op);
tw_tensor *tw_view_of(tw_tensor *base, tw_op *op); /* NULL: the result can't alias (a reshape that must copy) */
tw_value *tw_view_value(tw_tensor *t);             /* in the current segment */
tw_tensor *tw_view_written(tw_tensor *t, tw_tensor *content); /* the base's content once t's is `content`: recorded */
bool tw_view_grown(const tw_tensor *t);                       /* an expanded one is among what it is made from */
tw_tensor *tw_view_scattered(tw_tensor *t, tw_tensor *root, tw_tensor *content); /* the root's content, likewise */
tw_status tw_view_separate(tw_tensor *t); /* gives it a cell of its own; its value must be in the segment */
tw_tensor *tw_tensor_alias(tw_tensor *t); /* another handle of the same content, without history; no scope owns it */
void tw_view_forget(tw_tensor *t);        /* its base is the caller's to release */

/* ---- history: tape.c ---- */
typedef struct saved { /* a value that a rule will read: a cell's content, or a view of it; never a handle with a
                          history */
    cell *cell;        /* NULL: nothing is saved */
    tw_tensor *view;
    uint64_t version; /* of the content that is meant */
} saved;

typedef struct edge { /* an operand */
    tape_node *node;  /* how it was made */
    tw_tensor *leaf;  /* or the leaf that it is */
    saved value;
    tw_type type;
    bool present; /* optional operands may not be given */
} edge;

struct tape_node {
    int references;
    recipe op;
    tw_type type; /* of the result */
    uint32_t operands;
    edge *edge;
    saved result;
    uint64_t order;
    bool spent;           /* backward has been here */
    tape_node *next_dead; /* while it is being freed */
};

bool tw_tracked(tw_tensor *t); /* has a history or is a leaf that requires gradients; refreshes a view's history */
tw_status tw_tape_add(tw_tensor *result, int operands, tw_tensor *const *operand, const tw_op *op);
void tw_node_release(tape_node *n);
void tw_node_spend(tape_node *n); /* forgets what it saved and where it came from */

/* ---- changing in place: inplace.c ---- */
typedef enum { WRITE_SAME_DTYPE, WRITE_ANY_DTYPE, WRITE_FILL /* one value everywhere */ } write_kind;
tw_status tw_write(tw_tensor *t, tw_tensor *content, const char *name, write_kind kind);

#endif
