/* Type rules of element-wise operations: broadcasting and promotion as in PyTorch. */
#include "ops/infer.h"

shape_text tw_shape_text(const tw_graph *g, const tw_value *v)
{
    shape_text s;
    tw_text text = {0};
    tw_type_print(g, &v->type, &text);
    snprintf(s.text, sizeof s.text, "%s", tw_text_string(&text));
    tw_text_free(&text);
    return s;
}

static int category(tw_dtype t)
{
    return t == TW_BOOL ? 0 : tw_dtype_floating(t) ? 2 : 1;
}

/* A tensor without dimensions doesn't change the dtype of one that has some, unless it is of a higher category. */
tw_dtype tw_infer_promote(const tw_value *a, const tw_value *b)
{
    tw_dtype x = (tw_dtype)a->type.dtype, y = (tw_dtype)b->type.dtype;
    if (x == y)
        return x;
    if (a->type.rank > 0 && b->type.rank == 0 && category(x) >= category(y))
        return x;
    if (b->type.rank > 0 && a->type.rank == 0 && category(y) >= category(x))
        return y;
    return tw_dtype_promote(x, y);
}

/* result = so_far broadcast with a's shape. */
tw_status tw_infer_broadcast(tw_graph *g, const tw_op *op, const tw_value *a, const tw_type *so_far, tw_type *result)
{
    const tw_type *x = &a->type;
    int rank = TW_MAX(x->rank, so_far->rank);
    tw_type t = {.dtype = so_far->dtype, .rank = (uint8_t)rank};
    for (int i = 1; i <= rank; i++) {
        tw_dim p = i <= x->rank ? x->dims[x->rank - i] : 1, q = i <= so_far->rank ? so_far->dims[so_far->rank - i] : 1;
        if (p != q && p != 1 && q != 1) {
            tw_value other = {.type = *so_far};
            other.type.dtype = op->operand[0]->type.dtype;
            return tw_error(
                TW_ERR_SHAPE,
                "%s: shapes don't broadcast: %s with %s; expected equal sizes or 1, from the last dimension on",
                op->info->name, tw_shape_text(g, &other).text, tw_shape_text(g, a).text);
        }
        t.dims[rank - i] = p == 1 ? q : p;
    }
    *result = t;
    return TW_OK;
}

static tw_status broadcast_all(tw_graph *g, tw_op *op)
{
    tw_type t = op->operand[0]->type;
    for (uint32_t i = 1; i < op->operands; i++) {
        const tw_type *x = &op->operand[i]->type;
        bool same = x->rank == t.rank && (x->rank == 0 || !memcmp(x->dims, t.dims, x->rank * sizeof *x->dims));
        if (!same)
            TW_TRY(tw_infer_broadcast(g, op, op->operand[i], &t, &t));
    }
    *result_of(op) = t;
    return TW_OK;
}

static tw_status promote_all(tw_graph *g, tw_op *op, uint32_t first)
{
    tw_value *widest = op->operand[first];
    tw_value so_far = *widest;
    for (uint32_t i = first + 1; i < op->operands; i++) {
        so_far.type.dtype = (uint8_t)tw_infer_promote(&so_far, op->operand[i]);
        so_far.type.rank = TW_MAX(so_far.type.rank, op->operand[i]->type.rank);
    }
    TW_TRY(broadcast_all(g, op));
    result_of(op)->dtype = so_far.type.dtype;
    return TW_OK;
}

static tw_status refuse_dtype(const tw_graph *g, const tw_op *op, const char *expected)
{
    return tw_error(TW_ERR_DTYPE, "%s: operand is %s; expected %s", op->info->name,
                    tw_shape_text(g, op->operand[0]).text, expected);
}

tw_status tw_infer_numeric(tw_graph *g, tw_op *op)
{
    *result_of(op) = op->operand[0]->type;
    return op->operand[0]->type.dtype == TW_BOOL && op->code == TW_G_NEG ? refuse_dtype(g, op, "a number, not bool")
                                                                         : TW_OK;
}

static void make_floating(tw_type *t)
{
    if (!tw_dtype_floating((tw_dtype)t->dtype))
        t->dtype = TW_F32;
}

tw_status tw_infer_floating(tw_graph *g, tw_op *op)
{
    (void)g;
    *result_of(op) = op->operand[0]->type;
    make_floating(result_of(op));
    return TW_OK;
}

tw_status tw_infer_predicate(tw_graph *g, tw_op *op)
{
    (void)g;
    *result_of(op) = op->operand[0]->type;
    result_of(op)->dtype = TW_BOOL;
    return TW_OK;
}

tw_status tw_infer_cast(tw_graph *g, tw_op *op)
{
    (void)g;
    *result_of(op) = op->operand[0]->type;
    result_of(op)->dtype = (uint8_t)op->attr[0].i;
    if (op->attr[0].i < 0 || op->attr[0].i >= TW_TENSOR_DTYPES)
        return tw_error(TW_ERR_DTYPE, "cast: dtype %lld is none that tensors have", (long long)op->attr[0].i);
    return TW_OK;
}

tw_status tw_infer_promoted(tw_graph *g, tw_op *op)
{
    return promote_all(g, op, 0);
}

tw_status tw_infer_promoted3(tw_graph *g, tw_op *op)
{
    return promote_all(g, op, 0);
}

tw_status tw_infer_quotient(tw_graph *g, tw_op *op)
{
    TW_TRY(promote_all(g, op, 0));
    make_floating(result_of(op));
    return TW_OK;
}

tw_status tw_infer_floating2(tw_graph *g, tw_op *op)
{
    return tw_infer_quotient(g, op);
}

tw_status tw_infer_comparison(tw_graph *g, tw_op *op)
{
    TW_TRY(broadcast_all(g, op));
    result_of(op)->dtype = TW_BOOL;
    return TW_OK;
}

tw_status tw_infer_integral(tw_graph *g, tw_op *op)
{
    TW_TRY(promote_all(g, op, 0));
    return tw_dtype_floating((tw_dtype)result_of(op)->dtype) ? refuse_dtype(g, op, "integers or bool") : TW_OK;
}

tw_status tw_infer_where(tw_graph *g, tw_op *op)
{
    if (op->operand[0]->type.dtype != TW_BOOL)
        return refuse_dtype(g, op, "bool for the condition");
    return promote_all(g, op, 1);
}

tw_status tw_infer_masked(tw_graph *g, tw_op *op)
{
    TW_TRY(broadcast_all(g, op));
    result_of(op)->dtype = op->operand[0]->type.dtype;
    return op->operand[1]->type.dtype == TW_BOOL ? TW_OK
                                                 : tw_error(TW_ERR_DTYPE, "masked_fill: mask is %s; expected bool",
                                                            tw_shape_text(g, op->operand[1]).text);
}

tw_status tw_infer_same(tw_graph *g, tw_op *op)
{
    (void)g;
    *result_of(op) = op->operand[0]->type;
    return TW_OK;
}

/* For operations along one axis (or axes) that change nothing else: the axes are checked at the call. */
static tw_status check_axes(tw_op *op)
{
    int rank = op->operand[0]->type.rank;
    for (int i = 0; i < op->info->attrs; i++) {
        const tw_attr_info *info = &op->info->attr_info[i];
        int64_t axis = op->attr[i].i;
        if (!strcmp(info->name, "axis") && !tw_infer_axis(op, &axis, rank))
            return TW_ERR_AXIS;
        for (int j = 0; !strcmp(info->name, "axes") && j < op->attr[i].dims.n; j++) {
            axis = op->attr[i].dims.v[j];
            if (!tw_infer_axis(op, &axis, rank))
                return TW_ERR_AXIS;
        }
    }
    return TW_OK;
}

tw_status tw_infer_floating_along(tw_graph *g, tw_op *op)
{
    TW_TRY(check_axes(op));
    return tw_infer_floating(g, op);
}

tw_status tw_infer_same_along(tw_graph *g, tw_op *op)
{
    TW_TRY(check_axes(op));
    return tw_infer_same(g, op);
}
