/* What the type rules (infer_*.c) share. A rule sets op->result[0].type from operands and attributes; it also brings
 * attributes into their normal form (negative axes, -1 in shapes, sorted axes), so that equal operations have equal
 * attributes. */
#ifndef TW_OPS_INFER_H
#define TW_OPS_INFER_H

#include "ops/graph_ops.h"

typedef struct shape_text { /* "f32[2, 3]" for messages */
    char text[160];
} shape_text;
shape_text tw_shape_text(const tw_graph *g, const tw_value *v);

tw_status tw_infer_broadcast(tw_graph *g, const tw_op *op, const tw_value *a, const tw_type *so_far, tw_type *result);
bool tw_infer_axis(const tw_op *op, int64_t *axis, int rank); /* normalises; false: out of range, error set */
tw_dtype tw_infer_promote(const tw_value *a, const tw_value *b);
static inline tw_type *result_of(tw_op *op)
{
    return &op->result[0].type;
}
static inline tw_dim *list_of(const tw_op *op, int attr) /* rules normalise lists in place */
{
    return (tw_dim *)(uintptr_t)op->attr[attr].dims.v;
}

#endif
