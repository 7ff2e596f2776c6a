/* Type rules of tile operations. Element-wise operations take tiles of one shape, or scalars that stand for one. */
#include "tile/tile_ops.h"

static tw_type *result_of(tw_op *op)
{
    return &op->result[0].type;
}

static const tw_type *type_of(const tw_op *op, uint32_t i)
{
    return &op->operand[i]->type;
}

static tw_status refuse(const tw_graph *g, const tw_op *op, const char *expected)
{
    tw_text text = {0};
    for (uint32_t i = 0; i < op->operands; i++) {
        tw_text_add(&text, "%s", i ? ", " : "");
        if (op->operand[i])
            tw_type_print(g, &op->operand[i]->type, &text);
    }
    tw_status status = tw_error(TW_ERR_SHAPE, "tile %s: operands are (%s); expected %s", op->info->name,
                                tw_text_string(&text), expected);
    tw_text_free(&text);
    return status;
}

static bool same_shape(const tw_type *a, const tw_type *b)
{
    return a->rank == b->rank && !memcmp(a->dims, b->dims, a->rank * sizeof *a->dims);
}

/* The one shape of all tile operands from `first` on; scalars fit any. */
static bool common_shape(const tw_op *op, tw_type *shape)
{
    shape->rank = 0;
    for (uint32_t i = 0; i < op->operands; i++) {
        const tw_type *t = op->operand[i] ? type_of(op, i) : NULL;
        if (!t || t->rank == 0)
            continue;
        if (shape->rank && !same_shape(shape, t))
            return false;
        shape->rank = t->rank;
        memcpy(shape->dims, t->dims, sizeof t->dims);
    }
    return true;
}

tw_status tw_tile_infer_arg(tw_graph *g, tw_op *op)
{
    (void)g;
    *result_of(op) = tw_type_scalar((tw_dtype)op->attr[1].i);
    result_of(op)->pointer = op->attr[2].i != 0;
    return TW_OK;
}

tw_status tw_tile_infer_i64(tw_graph *g, tw_op *op)
{
    (void)g;
    *result_of(op) = tw_type_scalar(TW_I64);
    return TW_OK;
}

tw_status tw_tile_infer_dim(tw_graph *g, tw_op *op)
{
    if (op->attr[0].dims.n != 1)
        return refuse(g, op, "one number");
    *result_of(op) = tw_type_scalar((tw_dtype)op->attr[1].i);
    return TW_OK;
}

tw_status tw_tile_infer_constant(tw_graph *g, tw_op *op)
{
    (void)g;
    *result_of(op) = tw_type_scalar((tw_dtype)op->attr[2].i);
    return TW_OK;
}

tw_status tw_tile_infer_for(tw_graph *g, tw_op *op)
{
    return op->operands == op->results + 3 ? TW_OK
                                           : refuse(g, op, "lower, upper, step and as many carried values as results");
}

tw_status tw_tile_infer_while(tw_graph *g, tw_op *op)
{
    (void)g, (void)op;
    return TW_OK;
}

tw_status tw_tile_infer_if(tw_graph *g, tw_op *op)
{
    (void)g, (void)op;
    return TW_OK;
}

tw_status tw_tile_infer_arange(tw_graph *g, tw_op *op)
{
    if (op->attr[0].dims.n != 1)
        return refuse(g, op, "one size");
    *result_of(op) = tw_type_make(TW_I64, 1, op->attr[0].dims.v);
    return TW_OK;
}

tw_status tw_tile_infer_broadcast(tw_graph *g, tw_op *op)
{
    const tw_type *x = type_of(op, 0);
    int n = op->attr[0].dims.n;
    if (n > TW_MAX_RANK || (x->rank && x->rank != n))
        return refuse(g, op, "a scalar or the same number of dimensions");
    for (int i = 0; i < x->rank; i++)
        if (x->dims[i] != 1 && x->dims[i] != op->attr[0].dims.v[i])
            return refuse(g, op, "dimensions of 1 where the size changes");
    tw_type t = *x;
    t.rank = (uint8_t)n;
    for (int i = 0; i < n; i++)
        t.dims[i] = op->attr[0].dims.v[i];
    *result_of(op) = t;
    return TW_OK;
}

tw_status tw_tile_infer_expand_dims(tw_graph *g, tw_op *op)
{
    tw_type t = *type_of(op, 0);
    int axis = (int)op->attr[0].i;
    if (axis < 0 || axis > t.rank || t.rank == TW_MAX_RANK)
        return refuse(g, op, "an axis within the tile");
    for (int i = t.rank; i > axis; i--)
        t.dims[i] = t.dims[i - 1];
    t.dims[axis] = 1;
    t.rank++;
    *result_of(op) = t;
    return TW_OK;
}

tw_status tw_tile_infer_permute(tw_graph *g, tw_op *op)
{
    const tw_type *x = type_of(op, 0);
    unsigned seen = 0;
    *result_of(op) = *x;
    if (op->attr[0].dims.n != x->rank)
        return refuse(g, op, "as many axes as dimensions");
    for (int i = 0; i < x->rank; i++) {
        int64_t axis = op->attr[0].dims.v[i];
        if (axis < 0 || axis >= x->rank || (seen >> axis & 1))
            return refuse(g, op, "each axis once");
        seen |= 1u << axis;
        result_of(op)->dims[i] = x->dims[axis];
    }
    return TW_OK;
}

tw_status tw_tile_infer_reshape(tw_graph *g, tw_op *op)
{
    tw_type t = *type_of(op, 0);
    if (op->attr[0].dims.n > TW_MAX_RANK)
        return refuse(g, op, "at most 8 dimensions");
    t.rank = (uint8_t)op->attr[0].dims.n;
    for (int i = 0; i < t.rank; i++)
        t.dims[i] = op->attr[0].dims.v[i];
    *result_of(op) = t;
    return tw_type_count(g, &t) == tw_type_count(g, type_of(op, 0)) ? TW_OK
                                                                    : refuse(g, op, "the same number of elements");
}

tw_status tw_tile_infer_join(tw_graph *g, tw_op *op)
{
    tw_type t = *type_of(op, 0);
    if (!tw_type_equal(&t, type_of(op, 1)) || t.rank == TW_MAX_RANK)
        return refuse(g, op, "equal types");
    t.dims[t.rank++] = 2;
    *result_of(op) = t;
    return TW_OK;
}

tw_status tw_tile_infer_split(tw_graph *g, tw_op *op)
{
    tw_type t = *type_of(op, 0);
    if (t.rank < 1 || t.dims[t.rank - 1] != 2)
        return refuse(g, op, "a last dimension of 2");
    t.rank--;
    op->result[0].type = op->result[1].type = t;
    return TW_OK;
}

tw_status tw_tile_infer_load(tw_graph *g, tw_op *op)
{
    tw_type t = *type_of(op, 0), shape;
    if (!t.pointer || !common_shape(op, &shape) || shape.rank != t.rank)
        return refuse(g, op, "pointers, and mask and other of the same shape");
    t.pointer = false;
    *result_of(op) = t;
    return TW_OK;
}

tw_status tw_tile_infer_atomic(tw_graph *g, tw_op *op)
{
    return tw_tile_infer_load(g, op);
}

static tw_status elementwise(tw_graph *g, tw_op *op, uint32_t first)
{
    tw_type t = *type_of(op, first);
    for (uint32_t i = first; i < op->operands; i++)
        if (type_of(op, i)->dtype != t.dtype || type_of(op, i)->pointer != t.pointer)
            return refuse(g, op, "one dtype");
    if (!common_shape(op, &t))
        return refuse(g, op, "one shape, or scalars");
    *result_of(op) = t;
    return TW_OK;
}

tw_status tw_tile_infer_same(tw_graph *g, tw_op *op)
{
    return elementwise(g, op, 0);
}

tw_status tw_tile_infer_addptr(tw_graph *g, tw_op *op)
{
    if (!type_of(op, 0)->pointer)
        return elementwise(g, op, 0);
    tw_type t = *type_of(op, 0);
    if (type_of(op, 1)->pointer || tw_dtype_floating((tw_dtype)type_of(op, 1)->dtype) || !common_shape(op, &t))
        return refuse(g, op, "a pointer and an integer offset");
    *result_of(op) = t;
    return TW_OK;
}

tw_status tw_tile_infer_compare(tw_graph *g, tw_op *op)
{
    TW_TRY(elementwise(g, op, 0));
    result_of(op)->dtype = TW_BOOL;
    result_of(op)->pointer = false;
    return TW_OK;
}

tw_status tw_tile_infer_select(tw_graph *g, tw_op *op)
{
    if (type_of(op, 0)->dtype != TW_BOOL)
        return refuse(g, op, "a bool condition");
    return elementwise(g, op, 1);
}

tw_status tw_tile_infer_cast(tw_graph *g, tw_op *op)
{
    (void)g;
    *result_of(op) = *type_of(op, 0);
    result_of(op)->dtype = (uint8_t)op->attr[0].i;
    return TW_OK;
}

/* Addresses are i64. */
tw_status tw_tile_infer_bitcast(tw_graph *g, tw_op *op)
{
    const tw_type *x = type_of(op, 0);
    bool pointer = op->attr[1].i != 0;
    size_t had = x->pointer ? 8 : tw_dtype_size((tw_dtype)x->dtype),
           wants = pointer ? 8 : tw_dtype_size((tw_dtype)op->attr[0].i);
    bool floating = (x->pointer && !pointer && tw_dtype_floating((tw_dtype)op->attr[0].i)) ||
                    (pointer && !x->pointer && tw_dtype_floating((tw_dtype)x->dtype));
    if (had != wants || floating)
        return refuse(g, op, "a dtype of the same width; of pointers 64-bit integers");
    *result_of(op) = *x;
    result_of(op)->dtype = (uint8_t)op->attr[0].i;
    result_of(op)->pointer = pointer;
    return TW_OK;
}

/* The region yields one element for each operand; the results are tiles of them. */
tw_status tw_tile_infer_combine(tw_graph *g, tw_op *op)
{
    int axis = (int)op->attr[0].i;
    const tw_block *region = op->region[0];
    if (op->operands == 0 || op->results != op->operands || region->args != 2 * op->operands)
        return refuse(g, op, "as many results as operands, and a region that takes two elements of each");
    for (uint32_t i = 0; i < op->operands; i++) {
        tw_type t = *type_of(op, i);
        if (axis < 0 || axis >= t.rank || !same_shape(&t, type_of(op, 0)))
            return refuse(g, op, "tiles of one shape and an axis of them");
        if (op->result[i].type.dtype != t.dtype || op->result[i].type.rank)
            return refuse(g, op, "a region that yields elements of the operands' dtypes");
        for (int j = axis; j + 1 < t.rank && !op->attr[1].i; j++)
            t.dims[j] = t.dims[j + 1];
        t.rank = (uint8_t)(t.rank - !op->attr[1].i);
        op->result[i].type = t;
    }
    return TW_OK;
}

tw_status tw_tile_infer_reduce(tw_graph *g, tw_op *op)
{
    tw_type t = *type_of(op, 0);
    int axis = (int)op->attr[0].i;
    if (axis < 0 || axis >= t.rank)
        return refuse(g, op, "an axis of the tile");
    for (int i = axis; i + 1 < t.rank; i++)
        t.dims[i] = t.dims[i + 1];
    t.rank--;
    if (op->attr[1].i == TW_T_REDUCE_ARGMIN || op->attr[1].i == TW_T_REDUCE_ARGMAX)
        t.dtype = TW_I64;
    *result_of(op) = t;
    return TW_OK;
}

tw_status tw_tile_infer_dot(tw_graph *g, tw_op *op)
{
    const tw_type *a = type_of(op, 0), *b = type_of(op, 1);
    int r = a->rank;
    if (r < 2 || b->rank != r || a->dtype != b->dtype || a->dims[r - 1] != b->dims[r - 2])
        return refuse(g, op, "[.., m, k] and [.., k, n] of one dtype");
    tw_type t = *a;
    t.dims[r - 1] = b->dims[r - 1];
    if (t.dtype == TW_F16 || t.dtype == TW_BF16)
        t.dtype = TW_F32;
    if (t.dtype == TW_I8 || t.dtype == TW_U8)
        t.dtype = TW_I32;
    *result_of(op) = t;
    return op->operand[2] && !tw_type_equal(type_of(op, 2), &t) ? refuse(g, op, "an accumulator of the result's type")
                                                                : TW_OK;
}

tw_status tw_tile_infer_gather(tw_graph *g, tw_op *op)
{
    const tw_type *x = type_of(op, 0), *index = type_of(op, 1);
    int axis = (int)op->attr[0].i;
    bool fits = x->rank == index->rank && axis >= 0 && axis < x->rank && !tw_dtype_floating((tw_dtype)index->dtype);
    for (int i = 0; i < x->rank && fits; i++)
        fits = i == axis || x->dims[i] == index->dims[i];
    if (!fits)
        return refuse(g, op, "an integer index with the same dimensions beside the axis");
    *result_of(op) = *index;
    result_of(op)->dtype = x->dtype;
    result_of(op)->pointer = x->pointer;
    return TW_OK;
}
