/* Composites that rearrange elements. */
#include "decompose/decompose.h"
#include "ops/build.h"

tw_decomposition tw_decompose_transpose, tw_decompose_select, tw_decompose_narrow_to, tw_decompose_flip,
    tw_decompose_roll, tw_decompose_repeat, tw_decompose_stack, tw_decompose_diagonal, tw_decompose_eye,
    tw_decompose_linspace, tw_decompose_arange_from, tw_decompose_one_hot, tw_decompose_floor_divide;

tw_value *tw_decompose_transpose(tw_graph *g, const tw_op *op)
{
    return tw_g_swap(g, op->operand[0], (int)op->attr[0].i, (int)op->attr[1].i);
}

tw_value *tw_decompose_select(tw_graph *g, const tw_op *op)
{
    return tw_g_reshape_to(g, tw_g_part(g, op->operand[0], (int)op->attr[0].i, op->attr[1].i, 1, 1),
                           &op->result[0].type);
}

tw_value *tw_decompose_narrow_to(tw_graph *g, const tw_op *op)
{
    return tw_g_part(g, op->operand[0], (int)op->attr[0].i, op->attr[1].dims.v[0], op->attr[2].dims.v[0], 1);
}

tw_value *tw_decompose_flip(tw_graph *g, const tw_op *op)
{
    tw_value *x = op->operand[0];
    for (int i = 0; i < op->attr[0].dims.n && x; i++) {
        int64_t axis = op->attr[0].dims.v[i];
        axis += axis < 0 ? x->type.rank : 0;
        if (axis < 0 || axis >= x->type.rank) {
            tw_error(TW_ERR_AXIS, "flip: axis %lld of %d dimensions", (long long)op->attr[0].dims.v[i], x->type.rank);
            return NULL;
        }
        x = tw_g_part(g, x, (int)axis, TW_MAX(x->type.dims[axis] - 1, 0), x->type.dims[axis], -1);
    }
    return x;
}

tw_value *tw_decompose_roll(tw_graph *g, const tw_op *op)
{
    tw_value *x = op->operand[0];
    int64_t axis = op->attr[1].i + (op->attr[1].i < 0 ? x->type.rank : 0);
    if (axis < 0 || axis >= x->type.rank) {
        tw_error(TW_ERR_AXIS, "roll: axis %lld of %d dimensions", (long long)op->attr[1].i, x->type.rank);
        return NULL;
    }
    int64_t size = x->type.dims[axis], shift = size ? ((op->attr[0].i % size) + size) % size : 0;
    if (shift == 0)
        return tw_g_as(g, x, (tw_dtype)x->type.dtype);
    tw_value *const parts[] = {tw_g_part(g, x, (int)axis, size - shift, shift, 1),
                               tw_g_part(g, x, (int)axis, 0, size - shift, 1)};
    return parts[0] && parts[1] ? tw_g_cat(g, 2, parts, axis) : NULL;
}

/* [n] repeated t times is [t, n] expanded and flattened; one dimension after another. */
tw_value *tw_decompose_repeat(tw_graph *g, const tw_op *op)
{
    tw_value *x = op->operand[0];
    tw_type t = op->result[0].type, apart = {.dtype = t.dtype}, grown = {.dtype = t.dtype};
    int added = t.rank - x->type.rank;
    if (2 * t.rank - added > TW_MAX_RANK) {
        tw_error(TW_ERR_UNSUPPORTED, "repeat: %d dimensions; expected at most %d", t.rank, TW_MAX_RANK / 2);
        return NULL;
    }
    for (int i = 0; i < t.rank; i++) {
        apart.dims[apart.rank++] = 1;
        grown.dims[grown.rank++] = op->attr[0].dims.v[i];
        if (i < added)
            continue;
        apart.dims[apart.rank++] = grown.dims[grown.rank] = x->type.dims[i - added];
        grown.rank++;
    }
    return tw_g_reshape_to(g, tw_g_expand_to(g, tw_g_reshape_to(g, x, &apart), &grown), &t);
}

tw_value *tw_decompose_stack(tw_graph *g, const tw_op *op)
{
    enum { MOST = 64 };
    tw_value *part[MOST];
    tw_type t = op->result[0].type;
    if (op->operands > MOST) {
        tw_error(TW_ERR_UNSUPPORTED, "stack: %u tensors; expected at most %d", op->operands, MOST);
        return NULL;
    }
    t.dims[op->attr[0].i] = 1;
    for (uint32_t i = 0; i < op->operands; i++)
        if (!(part[i] = tw_g_reshape(g, op->operand[i], t.rank, t.dims)))
            return NULL;
    return tw_g_cat(g, (int)op->operands, part, op->attr[0].i);
}

/* Element i of the diagonal is element i * (columns + 1) of the flattened matrix. */
tw_value *tw_decompose_diagonal(tw_graph *g, const tw_op *op)
{
    tw_type flat = op->operand[0]->type;
    int axis = flat.rank - 2;
    tw_dim columns = flat.dims[axis + 1];
    flat.dims[axis] = tw_dim_mul(g, flat.dims[axis], columns);
    flat.rank--;
    return tw_g_part(g, tw_g_reshape_to(g, op->operand[0], &flat), axis, 0, op->result[0].type.dims[axis], columns + 1);
}

tw_value *tw_decompose_eye(tw_graph *g, const tw_op *op)
{
    const tw_type *t = &op->result[0].type;
    tw_value *same = tw_g_eq(g, tw_g_iota(g, 2, t->dims, 0, TW_I64), tw_g_iota(g, 2, t->dims, 1, TW_I64));
    return same ? tw_g_cast(g, same, (tw_dtype)t->dtype) : NULL;
}

/* start + i * step in double, rounded once. */
static tw_value *progression(tw_graph *g, const tw_type *t, double start, double step)
{
    tw_value *i = tw_g_iota(g, 1, t->dims, 0, TW_I64);
    tw_value *x = tw_g_add(g, tw_g_mul(g, tw_g_as(g, i, TW_F64), tw_g_constant(g, TW_F64, step)),
                           tw_g_constant(g, TW_F64, start));
    return tw_g_as(g, x, (tw_dtype)t->dtype);
}

tw_value *tw_decompose_linspace(tw_graph *g, const tw_op *op)
{
    double start = op->attr[0].f, stop = op->attr[1].f;
    int64_t steps = op->attr[2].i;
    return progression(g, &op->result[0].type, start, steps > 1 ? (stop - start) / (double)(steps - 1) : 0);
}

tw_value *tw_decompose_arange_from(tw_graph *g, const tw_op *op)
{
    return progression(g, &op->result[0].type, op->attr[0].f, op->attr[1].f);
}

tw_value *tw_decompose_one_hot(tw_graph *g, const tw_op *op)
{
    const tw_type *t = &op->result[0].type;
    tw_value *index = tw_g_unsqueeze(g, op->operand[0], -1);
    tw_value *hot =
        tw_g_eq(g, index, tw_g_iota(g, t->rank, t->dims, t->rank - 1, (tw_dtype)op->operand[0]->type.dtype));
    return hot ? tw_g_cast(g, hot, (tw_dtype)t->dtype) : NULL;
}

tw_value *tw_decompose_floor_divide(tw_graph *g, const tw_op *op)
{
    tw_value *a = op->operand[0], *b = op->operand[1];
    if (tw_dtype_floating((tw_dtype)op->result[0].type.dtype))
        return tw_g_floor(g, tw_g_div(g, a, b));
    tw_value *q = tw_g_idiv(g, a, b), *r = tw_g_sub(g, a, tw_g_mul(g, q, b));
    tw_value *below =
        tw_g_logical_and(g, tw_g_ne(g, r, tw_g_like(g, r, 0)),
                         tw_g_ne(g, tw_g_lt(g, r, tw_g_like(g, r, 0)), tw_g_lt(g, b, tw_g_like(g, b, 0))));
    return tw_g_where(g, below, tw_g_sub(g, q, tw_g_like(g, q, 1)), q);
}
