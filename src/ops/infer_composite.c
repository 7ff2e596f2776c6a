/* Type rules of composites: views by name, products, normalisations, losses. */
#include "ops/infer.h"

static const tw_type *type_of(const tw_op *op, int operand)
{
    return &op->operand[operand]->type;
}

static bool axis_of(const tw_op *op, int attr, int rank)
{
    return tw_infer_axis(op, &((tw_op *)(uintptr_t)op)->attr[attr].i, rank);
}

static void remove_dim(tw_type *t, int64_t axis)
{
    for (int i = (int)axis; i + 1 < t->rank; i++)
        t->dims[i] = t->dims[i + 1];
    t->rank--;
}

static tw_status insert_dim(const tw_op *op, tw_type *t, int64_t axis, tw_dim size)
{
    if (t->rank == TW_MAX_RANK)
        return tw_error(TW_ERR_SHAPE, "%s: more than %d dimensions", op->info->name, TW_MAX_RANK);
    for (int i = t->rank; i > axis; i--)
        t->dims[i] = t->dims[i - 1];
    t->dims[axis] = size;
    t->rank++;
    return TW_OK;
}

tw_status tw_infer_flatten(tw_graph *g, tw_op *op)
{
    tw_type t = *type_of(op, 0);
    if (t.rank == 0) {
        *result_of(op) = tw_type_make((tw_dtype)t.dtype, 1, (tw_dim[]){1});
        return TW_OK;
    }
    if (!axis_of(op, 0, t.rank) || !axis_of(op, 1, t.rank))
        return TW_ERR_AXIS;
    for (int64_t i = op->attr[0].i; i < op->attr[1].i; i++) {
        t.dims[op->attr[0].i] = tw_dim_mul(g, t.dims[op->attr[0].i], t.dims[op->attr[0].i + 1]);
        remove_dim(&t, op->attr[0].i + 1);
    }
    *result_of(op) = t;
    return TW_OK;
}

tw_status tw_infer_transpose(tw_graph *g, tw_op *op)
{
    (void)g;
    tw_type t = *type_of(op, 0);
    if (!axis_of(op, 0, t.rank) || !axis_of(op, 1, t.rank))
        return TW_ERR_AXIS;
    t.dims[op->attr[0].i] = type_of(op, 0)->dims[op->attr[1].i];
    t.dims[op->attr[1].i] = type_of(op, 0)->dims[op->attr[0].i];
    *result_of(op) = t;
    return TW_OK;
}

tw_status tw_infer_unsqueeze(tw_graph *g, tw_op *op)
{
    (void)g;
    *result_of(op) = *type_of(op, 0);
    return axis_of(op, 0, type_of(op, 0)->rank + 1) ? insert_dim(op, result_of(op), op->attr[0].i, 1) : TW_ERR_AXIS;
}

tw_status tw_infer_squeeze(tw_graph *g, tw_op *op)
{
    (void)g;
    *result_of(op) = *type_of(op, 0);
    if (!axis_of(op, 0, type_of(op, 0)->rank))
        return TW_ERR_AXIS;
    if (result_of(op)->dims[op->attr[0].i] == 1)
        remove_dim(result_of(op), op->attr[0].i);
    return TW_OK;
}

tw_status tw_infer_select(tw_graph *g, tw_op *op)
{
    const tw_type *x = type_of(op, 0);
    *result_of(op) = *x;
    if (!axis_of(op, 0, x->rank))
        return TW_ERR_AXIS;
    int64_t size = x->dims[op->attr[0].i];
    if (tw_dim_constant(size) ? op->attr[1].i < -size || op->attr[1].i >= size : op->attr[1].i < 0)
        return tw_error(TW_ERR_VALUE, "select: index %lld in dimension %lld of %s", (long long)op->attr[1].i,
                        (long long)op->attr[0].i, tw_shape_text(g, op->operand[0]).text);
    op->attr[1].i += op->attr[1].i < 0 ? size : 0;
    remove_dim(result_of(op), op->attr[0].i);
    return TW_OK;
}

tw_status tw_infer_narrow(tw_graph *g, tw_op *op)
{
    const tw_type *x = type_of(op, 0);
    *result_of(op) = *x;
    if (!axis_of(op, 0, x->rank) || op->attr[1].dims.n != 1 || op->attr[2].dims.n != 1)
        return tw_error(TW_ERR_AXIS, "narrow_to: axis %lld of %s; expected one start and one size",
                        (long long)op->attr[0].i, tw_shape_text(g, op->operand[0]).text);
    tw_dim start = op->attr[1].dims.v[0], size = op->attr[2].dims.v[0];
    if (!g->dims && (start < 0 || size < 0 || size > x->dims[op->attr[0].i] || start > x->dims[op->attr[0].i] - size))
        return tw_error(TW_ERR_VALUE, "narrow_to: %lld elements from %lld in dimension %lld of %s: out of range",
                        (long long)size, (long long)start, (long long)op->attr[0].i,
                        tw_shape_text(g, op->operand[0]).text);
    result_of(op)->dims[op->attr[0].i] = size;
    return TW_OK;
}

tw_status tw_infer_repeat(tw_graph *g, tw_op *op)
{
    const tw_type *x = type_of(op, 0);
    int n = op->attr[0].dims.n, added = n - x->rank;
    if (added < 0 || n > TW_MAX_RANK)
        return tw_error(TW_ERR_SHAPE, "repeat: %d times for %s; expected %d to %d", n,
                        tw_shape_text(g, op->operand[0]).text, x->rank, TW_MAX_RANK);
    tw_type t = {.dtype = x->dtype, .rank = (uint8_t)n};
    for (int i = 0; i < n; i++) {
        if (op->attr[0].dims.v[i] < 0)
            return tw_error(TW_ERR_VALUE, "repeat: %lld times along dimension %d", (long long)op->attr[0].dims.v[i], i);
        t.dims[i] = tw_dim_mul(g, i >= added ? x->dims[i - added] : 1, op->attr[0].dims.v[i]);
    }
    *result_of(op) = t;
    return TW_OK;
}

tw_status tw_infer_stack(tw_graph *g, tw_op *op)
{
    const tw_type *x = type_of(op, 0);
    for (uint32_t i = 1; i < op->operands; i++)
        if (!tw_type_equal(x, type_of(op, (int)i)))
            return tw_error(TW_ERR_SHAPE, "stack: %s and %s; expected equal shapes and dtypes",
                            tw_shape_text(g, op->operand[0]).text, tw_shape_text(g, op->operand[i]).text);
    *result_of(op) = *x;
    return axis_of(op, 0, x->rank + 1) ? insert_dim(op, result_of(op), op->attr[0].i, op->operands) : TW_ERR_AXIS;
}

tw_status tw_infer_diagonal(tw_graph *g, tw_op *op)
{
    tw_type t = *type_of(op, 0);
    if (t.rank < 2)
        return tw_error(TW_ERR_SHAPE, "diagonal: %s; expected two dimensions or more",
                        tw_shape_text(g, op->operand[0]).text);
    t.dims[t.rank - 2] = TW_MIN(t.dims[t.rank - 2], t.dims[t.rank - 1]);
    t.rank--;
    *result_of(op) = t;
    return TW_OK;
}

tw_status tw_infer_eye(tw_graph *g, tw_op *op)
{
    if (op->attr[0].dims.n != 1 || (op->attr[0].dims.v[0] < 0 && !g->dims))
        return tw_error(TW_ERR_SHAPE, "eye: %d sizes; expected one, of at least 0", op->attr[0].dims.n);
    *result_of(op) = tw_type_make((tw_dtype)op->attr[1].i, 2, (tw_dim[]){op->attr[0].dims.v[0], op->attr[0].dims.v[0]});
    return TW_OK;
}

tw_status tw_infer_linspace(tw_graph *g, tw_op *op)
{
    (void)g;
    if (op->attr[2].i < 0)
        return tw_error(TW_ERR_VALUE, "linspace: %lld steps", (long long)op->attr[2].i);
    *result_of(op) = tw_type_make((tw_dtype)op->attr[3].i, 1, &op->attr[2].i);
    return TW_OK;
}

tw_status tw_infer_arange(tw_graph *g, tw_op *op)
{
    if (op->attr[2].dims.n != 1 || (op->attr[2].dims.v[0] < 0 && !g->dims))
        return tw_error(TW_ERR_SHAPE, "arange_from: %d sizes; expected one, of at least 0", op->attr[2].dims.n);
    *result_of(op) = tw_type_make((tw_dtype)op->attr[3].i, 1, op->attr[2].dims.v);
    return TW_OK;
}

tw_status tw_infer_one_hot(tw_graph *g, tw_op *op)
{
    *result_of(op) = *type_of(op, 0);
    if (tw_dtype_floating((tw_dtype)type_of(op, 0)->dtype))
        return tw_error(TW_ERR_DTYPE, "one_hot: index is %s; expected integers", tw_shape_text(g, op->operand[0]).text);
    if (op->attr[0].i < 0)
        return tw_error(TW_ERR_VALUE, "one_hot: %lld classes; expected at least 0", (long long)op->attr[0].i);
    result_of(op)->dtype = (uint8_t)op->attr[1].i;
    return insert_dim(op, result_of(op), result_of(op)->rank, op->attr[0].i);
}

/* ---- products ---- */

static tw_status floating_or_same(const tw_graph *g, const tw_op *op)
{
    tw_dtype a = (tw_dtype)type_of(op, 0)->dtype, b = (tw_dtype)type_of(op, 1)->dtype;
    if (a == b && a != TW_BOOL)
        return TW_OK;
    return tw_error(TW_ERR_DTYPE, "%s: a is %s, b is %s; expected one dtype, not bool", op->info->name,
                    tw_shape_text(g, op->operand[0]).text, tw_shape_text(g, op->operand[1]).text);
}

static tw_status inner_differs(const tw_graph *g, const tw_op *op, const char *expected)
{
    return tw_error(TW_ERR_SHAPE, "%s: inner dimensions differ: a is %s, b is %s; expected %s", op->info->name,
                    tw_shape_text(g, op->operand[0]).text, tw_shape_text(g, op->operand[1]).text, expected);
}

tw_status tw_infer_dot(tw_graph *g, tw_op *op)
{
    const tw_type *a = type_of(op, 0), *b = type_of(op, 1);
    TW_TRY(floating_or_same(g, op));
    bool fits = a->rank >= 2 && a->rank == b->rank;
    for (int i = 0; fits && i < a->rank - 2; i++)
        fits = a->dims[i] == b->dims[i];
    if (!fits)
        return tw_error(TW_ERR_SHAPE, "dot: a is %s, b is %s; expected [batch..., m, k] and [batch..., k, n]",
                        tw_shape_text(g, op->operand[0]).text, tw_shape_text(g, op->operand[1]).text);
    *result_of(op) = *a;
    result_of(op)->dims[a->rank - 1] = b->dims[b->rank - 1];
    return a->dims[a->rank - 1] == b->dims[b->rank - 2] ? TW_OK : inner_differs(g, op, "a.shape[-1] == b.shape[-2]");
}

tw_status tw_infer_matmul(tw_graph *g, tw_op *op)
{
    const tw_type *a = type_of(op, 0), *b = type_of(op, 1);
    TW_TRY(floating_or_same(g, op));
    if (a->rank == 0 || b->rank == 0)
        return tw_error(TW_ERR_SHAPE, "matmul: a is %s, b is %s; expected at least one dimension each",
                        tw_shape_text(g, op->operand[0]).text, tw_shape_text(g, op->operand[1]).text);
    if (a->dims[a->rank - 1] != b->dims[b->rank == 1 ? 0 : b->rank - 2])
        return inner_differs(g, op, b->rank == 1 ? "a.shape[-1] == b.shape[0]" : "a.shape[-1] == b.shape[-2]");
    tw_value left = {.type = *a}, right = {.type = *b};
    left.type.rank = (uint8_t)TW_MAX(a->rank - 2, 0);
    right.type.rank = (uint8_t)TW_MAX(b->rank - 2, 0);
    tw_type batch;
    TW_TRY(tw_infer_broadcast(g, op, &right, &left.type, &batch));
    if (a->rank > 1)
        batch.dims[batch.rank++] = a->dims[a->rank - 2];
    if (b->rank > 1)
        batch.dims[batch.rank++] = b->dims[b->rank - 1];
    *result_of(op) = batch;
    return TW_OK;
}

tw_status tw_infer_linear(tw_graph *g, tw_op *op)
{
    const tw_type *x = type_of(op, 0), *w = type_of(op, 1);
    TW_TRY(floating_or_same(g, op));
    if (x->rank < 1 || w->rank != 2 || x->dims[x->rank - 1] != w->dims[1])
        return tw_error(TW_ERR_SHAPE, "linear: x is %s, weight is %s; expected [..., in] and [out, in]",
                        tw_shape_text(g, op->operand[0]).text, tw_shape_text(g, op->operand[1]).text);
    if (op->operand[2] && (type_of(op, 2)->rank != 1 || type_of(op, 2)->dims[0] != w->dims[0]))
        return tw_error(TW_ERR_SHAPE, "linear: bias is %s, weight is %s; expected [out]",
                        tw_shape_text(g, op->operand[2]).text, tw_shape_text(g, op->operand[1]).text);
    *result_of(op) = *x;
    result_of(op)->dims[x->rank - 1] = w->dims[0];
    return TW_OK;
}

tw_status tw_infer_outer(tw_graph *g, tw_op *op)
{
    if (type_of(op, 0)->rank != 1 || type_of(op, 1)->rank != 1)
        return tw_error(TW_ERR_SHAPE, "outer: %s and %s; expected one dimension each",
                        tw_shape_text(g, op->operand[0]).text, tw_shape_text(g, op->operand[1]).text);
    *result_of(op) = tw_type_make(tw_infer_promote(op->operand[0], op->operand[1]), 2,
                                  (tw_dim[]){type_of(op, 0)->dims[0], type_of(op, 1)->dims[0]});
    return TW_OK;
}

tw_status tw_infer_addmm(tw_graph *g, tw_op *op)
{
    const tw_type *a = type_of(op, 1), *b = type_of(op, 2);
    if (a->rank != 2 || b->rank != 2 || a->dims[1] != b->dims[0])
        return tw_error(TW_ERR_SHAPE, "addmm: a is %s, b is %s; expected [m, k] and [k, n]",
                        tw_shape_text(g, op->operand[1]).text, tw_shape_text(g, op->operand[2]).text);
    tw_type t = tw_type_make((tw_dtype)a->dtype, 2, (tw_dim[]){a->dims[0], b->dims[1]});
    TW_TRY(tw_infer_broadcast(g, op, op->operand[0], &t, result_of(op)));
    result_of(op)->dtype = a->dtype;
    return TW_OK;
}

/* ---- normalisation, losses, attention ---- */

tw_status tw_infer_norm(tw_graph *g, tw_op *op)
{
    const tw_type *x = type_of(op, 0);
    int64_t dims = op->attr[0].i;
    *result_of(op) = *x;
    if (dims < 1 || dims > x->rank)
        return tw_error(TW_ERR_AXIS, "%s: the last %lld dimensions of %s; expected 1 to %d", op->info->name,
                        (long long)dims, tw_shape_text(g, op->operand[0]).text, x->rank);
    if (!tw_dtype_floating((tw_dtype)x->dtype))
        return tw_error(TW_ERR_DTYPE, "%s: x is %s; expected a floating dtype", op->info->name,
                        tw_shape_text(g, op->operand[0]).text);
    for (uint32_t i = 1; i < op->operands; i++) {
        const tw_type *w = op->operand[i] ? type_of(op, (int)i) : NULL;
        bool fits = !w || w->rank == dims;
        for (int d = 0; w && fits && d < dims; d++)
            fits = w->dims[d] == x->dims[x->rank - dims + d];
        if (!fits)
            return tw_error(TW_ERR_SHAPE, "%s: x is %s, %s is %s; expected its last %lld dimensions", op->info->name,
                            tw_shape_text(g, op->operand[0]).text, op->info->operand_names[i],
                            tw_shape_text(g, op->operand[i]).text, (long long)dims);
    }
    return TW_OK;
}

tw_status tw_infer_embedding(tw_graph *g, tw_op *op)
{
    const tw_type *w = type_of(op, 0), *index = type_of(op, 1);
    if (w->rank != 2 || (index->dtype != TW_I64 && index->dtype != TW_I32))
        return tw_error(TW_ERR_SHAPE, "embedding: weight is %s, index is %s; expected [rows, size] and i64 or i32",
                        tw_shape_text(g, op->operand[0]).text, tw_shape_text(g, op->operand[1]).text);
    *result_of(op) = *index;
    result_of(op)->dtype = w->dtype;
    return insert_dim(op, result_of(op), index->rank, w->dims[1]);
}

tw_status tw_infer_nll(tw_graph *g, tw_op *op)
{
    const tw_type *x = type_of(op, 0), *t = type_of(op, 1);
    if (x->rank != 2 || t->rank != 1 || x->dims[0] != t->dims[0] || !tw_dtype_floating((tw_dtype)x->dtype) ||
        (t->dtype != TW_I64 && t->dtype != TW_I32))
        return tw_error(TW_ERR_SHAPE, "%s: x is %s, target is %s; expected floating [rows, classes] and integer [rows]",
                        op->info->name, tw_shape_text(g, op->operand[0]).text, tw_shape_text(g, op->operand[1]).text);
    *result_of(op) = tw_type_scalar((tw_dtype)x->dtype);
    return TW_OK;
}

tw_status tw_infer_loss2(tw_graph *g, tw_op *op)
{
    tw_type t;
    TW_TRY(tw_infer_broadcast(g, op, op->operand[1], type_of(op, 0), &t));
    tw_dtype dtype = tw_infer_promote(op->operand[0], op->operand[1]);
    if (!tw_dtype_floating(dtype))
        return tw_error(TW_ERR_DTYPE, "%s: %s and %s; expected a floating dtype", op->info->name,
                        tw_shape_text(g, op->operand[0]).text, tw_shape_text(g, op->operand[1]).text);
    *result_of(op) = tw_type_scalar(dtype);
    return TW_OK;
}

/* A mask broadcasts to the scores [..., m, n], whose leading dimensions are q's. */
static tw_status check_mask(tw_graph *g, const tw_op *op)
{
    const tw_type *mask = type_of(op, 3);
    tw_value scores = {.type = *type_of(op, 0)};
    int r = scores.type.rank, added = r - mask->rank;
    scores.type.dims[r - 1] = type_of(op, 1)->dims[r - 2];
    bool fits = added >= 0 && (mask->dtype == TW_BOOL || tw_dtype_floating((tw_dtype)mask->dtype));
    for (int i = 0; fits && i < mask->rank; i++)
        fits = mask->dims[i] == 1 || mask->dims[i] == scores.type.dims[i + added];
    return fits ? TW_OK
                : tw_error(TW_ERR_SHAPE,
                           "attention: mask is %s; expected bool or floating, of the shape of the scores "
                           "%s or broadcasting to it",
                           tw_shape_text(g, op->operand[3]).text, tw_shape_text(g, &scores).text);
}

tw_status tw_infer_attention(tw_graph *g, tw_op *op)
{
    const tw_type *q = type_of(op, 0), *k = type_of(op, 1), *v = type_of(op, 2);
    int r = q->rank;
    bool fits = r >= 2 && k->rank == r && v->rank == r && q->dims[r - 1] == k->dims[r - 1] &&
                k->dims[r - 2] == v->dims[r - 2] && q->dtype == k->dtype && k->dtype == v->dtype &&
                tw_dtype_floating((tw_dtype)q->dtype);
    for (int i = 0; fits && i < r - 2; i++)
        fits = q->dims[i] == k->dims[i] && k->dims[i] == v->dims[i];
    if (!fits)
        return tw_error(TW_ERR_SHAPE,
                        "attention: q is %s, k is %s, v is %s; expected [..., m, d], [..., n, d], [..., n, e] of one "
                        "floating dtype",
                        tw_shape_text(g, op->operand[0]).text, tw_shape_text(g, op->operand[1]).text,
                        tw_shape_text(g, op->operand[2]).text);
    if (op->operand[3])
        TW_TRY(check_mask(g, op));
    *result_of(op) = *q;
    result_of(op)->dims[r - 1] = v->dims[r - 1];
    return TW_OK;
}
