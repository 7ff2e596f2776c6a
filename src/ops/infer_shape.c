/* Type rules of creation, views, joins, indexing and reductions. */
#include "ops/infer.h"

bool tw_infer_axis(const tw_op *op, int64_t *axis, int rank)
{
    if (*axis < -rank || *axis >= rank) {
        tw_error(TW_ERR_AXIS, "%s: axis %lld of a tensor with %d dimensions; expected %d <= axis < %d", op->info->name,
                 (long long)*axis, rank, -rank, rank);
        return false;
    }
    *axis += *axis < 0 ? rank : 0;
    return true;
}

static const tw_type *type_of(const tw_op *op, int operand)
{
    return &op->operand[operand]->type;
}

tw_status tw_infer_input(tw_graph *g, tw_op *op)
{
    (void)g, (void)op;
    return TW_OK;
}

static tw_status made(const tw_graph *g, tw_op *op, int shape_attr, tw_dtype dtype)
{
    const tw_attr *shape = &op->attr[shape_attr];
    if (shape->dims.n > TW_MAX_RANK)
        return tw_error(TW_ERR_SHAPE, "%s: %d dimensions; expected at most %d", op->info->name, shape->dims.n,
                        TW_MAX_RANK);
    for (int i = 0; i < shape->dims.n; i++)
        if (shape->dims.v[i] < 0 && !g->dims)
            return tw_error(TW_ERR_SHAPE, "%s: size %lld of dimension %d is negative", op->info->name,
                            (long long)shape->dims.v[i], i);
    *result_of(op) = tw_type_make(dtype, shape->dims.n, shape->dims.v);
    return TW_OK;
}

tw_status tw_infer_full(tw_graph *g, tw_op *op)
{
    return made(g, op, 0, (tw_dtype)op->attr[3].i);
}

tw_status tw_infer_iota(tw_graph *g, tw_op *op)
{
    TW_TRY(made(g, op, 0, (tw_dtype)op->attr[2].i));
    return tw_infer_axis(op, &op->attr[1].i, op->attr[0].dims.n) ? TW_OK : TW_ERR_AXIS;
}

tw_status tw_infer_philox(tw_graph *g, tw_op *op)
{
    const tw_type *s = type_of(op, 0);
    if (s->dtype != TW_I64 || s->rank != 1 || s->dims[0] != 2)
        return tw_error(TW_ERR_SHAPE, "philox: state is %s; expected i64[2]", tw_shape_text(g, op->operand[0]).text);
    return made(g, op, 0, TW_I32);
}

tw_status tw_infer_random(tw_graph *g, tw_op *op)
{
    const tw_type *s = type_of(op, 0);
    int shape = op->code == TW_G_RAND_INT ? 2 : 0;
    if (s->dtype != TW_I64 || s->rank != 1 || s->dims[0] != 2)
        return tw_error(TW_ERR_SHAPE, "%s: state is %s; expected i64[2]", op->info->name,
                        tw_shape_text(g, op->operand[0]).text);
    if (shape == 2 && op->attr[1].i <= op->attr[0].i)
        return tw_error(TW_ERR_VALUE, "rand_int: low is %lld, high is %lld; expected low < high",
                        (long long)op->attr[0].i, (long long)op->attr[1].i);
    return made(g, op, shape, (tw_dtype)op->attr[shape + 1].i);
}

/* ---- reductions ---- */

/* Sorts and normalises axes; an empty list means all of them. Only the rule itself may widen the list, in the graph's
 * arena. */
static tw_status normal_axes(tw_graph *g, tw_op *op, int attr, int rank, bool empty_is_all)
{
    tw_dim *v = list_of(op, attr);
    int n = op->attr[attr].dims.n;
    if (n == 0 && empty_is_all && rank > 0) {
        v = tw_arena_alloc(g->arena, (size_t)rank * sizeof *v);
        if (!v)
            return TW_ERR_MEMORY;
        for (n = 0; n < rank; n++)
            v[n] = n;
        op->attr[attr].dims.v = v;
        op->attr[attr].dims.n = n;
        return TW_OK;
    }
    for (int i = 0; i < n; i++)
        if (!tw_infer_axis(op, &v[i], rank))
            return TW_ERR_AXIS;
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0 && v[j] < v[j - 1]; j--) {
            tw_dim t = v[j];
            v[j] = v[j - 1];
            v[j - 1] = t;
        }
    for (int i = 1; i < n; i++)
        if (v[i] == v[i - 1])
            return tw_error(TW_ERR_AXIS, "%s: axis %lld is given twice", op->info->name, (long long)v[i]);
    return TW_OK;
}

static void without_axes(tw_op *op, const tw_type *x, const tw_dim *axes, int n, bool keepdim, tw_dtype dtype)
{
    tw_type t = {.dtype = (uint8_t)dtype};
    for (int i = 0, next = 0; i < x->rank; i++) {
        bool gone = next < n && axes[next] == i;
        next += gone;
        if (!gone || keepdim)
            t.dims[t.rank++] = gone ? 1 : x->dims[i];
    }
    *result_of(op) = t;
}

static tw_status reduced(tw_graph *g, tw_op *op, tw_dtype dtype)
{
    TW_TRY(normal_axes(g, op, 0, type_of(op, 0)->rank, true));
    without_axes(op, type_of(op, 0), op->attr[0].dims.v, op->attr[0].dims.n, op->attr[1].i != 0, dtype);
    return TW_OK;
}

static tw_dtype sum_dtype(tw_dtype t)
{
    return tw_dtype_floating(t) ? t : TW_I64;
}

tw_status tw_infer_sum(tw_graph *g, tw_op *op)
{
    return reduced(g, op, sum_dtype((tw_dtype)type_of(op, 0)->dtype));
}

tw_status tw_infer_sum_like(tw_graph *g, tw_op *op)
{
    (void)g;
    *result_of(op) = *type_of(op, 0);
    result_of(op)->dtype = (uint8_t)sum_dtype((tw_dtype)type_of(op, 0)->dtype);
    return tw_infer_axis(op, &op->attr[0].i, type_of(op, 0)->rank) ? TW_OK : TW_ERR_AXIS;
}

tw_status tw_infer_scanned(tw_graph *g, tw_op *op)
{
    (void)g;
    *result_of(op) = *type_of(op, 0);
    return tw_infer_axis(op, &op->attr[0].i, type_of(op, 0)->rank) ? TW_OK : TW_ERR_AXIS;
}

/* The largest of nothing doesn't exist. */
static tw_status not_empty(const tw_graph *g, const tw_op *op, const tw_dim *axes, int n)
{
    for (int i = 0; i < n; i++)
        if (type_of(op, 0)->dims[axes[i]] == 0)
            return tw_error(TW_ERR_SHAPE, "%s: axis %lld of %s is empty; expected at least one element", op->info->name,
                            (long long)axes[i], tw_shape_text(g, op->operand[0]).text);
    return TW_OK;
}

tw_status tw_infer_reduced(tw_graph *g, tw_op *op)
{
    TW_TRY(reduced(g, op, (tw_dtype)type_of(op, 0)->dtype));
    return type_of(op, 0)->dtype == TW_BOOL ? TW_OK : not_empty(g, op, op->attr[0].dims.v, op->attr[0].dims.n);
}

tw_status tw_infer_reduced_bool(tw_graph *g, tw_op *op)
{
    return reduced(g, op, TW_BOOL);
}

tw_status tw_infer_reduced_floating(tw_graph *g, tw_op *op)
{
    if (!tw_dtype_floating((tw_dtype)type_of(op, 0)->dtype))
        return tw_error(TW_ERR_DTYPE, "%s: operand is %s; expected a floating dtype", op->info->name,
                        tw_shape_text(g, op->operand[0]).text);
    return reduced(g, op, (tw_dtype)type_of(op, 0)->dtype);
}

tw_status tw_infer_argreduced(tw_graph *g, tw_op *op)
{
    if (!tw_infer_axis(op, &op->attr[0].i, type_of(op, 0)->rank))
        return TW_ERR_AXIS;
    without_axes(op, type_of(op, 0), &op->attr[0].i, 1, op->attr[1].i != 0, TW_I64);
    return not_empty(g, op, &op->attr[0].i, 1);
}

/* ---- views ---- */

tw_status tw_infer_reshape(tw_graph *g, tw_op *op)
{
    tw_dim *shape = list_of(op, 0), total = tw_type_count(g, type_of(op, 0)), known = 1;
    int n = op->attr[0].dims.n, open = -1;
    if (n > TW_MAX_RANK)
        return tw_error(TW_ERR_SHAPE, "reshape: %d dimensions; expected at most %d", n, TW_MAX_RANK);
    for (int i = 0; i < n; i++) {
        if (shape[i] == -1 && !g->dims && open < 0)
            open = i;
        else if (shape[i] < 0 && !g->dims)
            return tw_error(TW_ERR_SHAPE, "reshape: size %lld of dimension %d; expected at most one -1",
                            (long long)shape[i], i);
        else
            known = tw_dim_mul(g, known, shape[i]);
    }
    if (g->failed != TW_OK) /* counts that can't be told apart any more */
        return g->failed;
    if (open >= 0 && known > 0 && tw_dim_divides(g, known, total)) {
        shape[open] = tw_dim_floordiv(g, total, known);
        known = total;
    }
    *result_of(op) = tw_type_make((tw_dtype)type_of(op, 0)->dtype, n, shape);
    if (known == total && (open < 0 || shape[open] >= 0))
        return TW_OK;
    return tw_error(TW_ERR_SHAPE, "reshape: %s has %lld elements, the shape asked for holds %lld",
                    tw_shape_text(g, op->operand[0]).text, (long long)total, (long long)known);
}

tw_status tw_infer_permute(tw_graph *g, tw_op *op)
{
    const tw_type *x = type_of(op, 0);
    tw_dim *axes = list_of(op, 0);
    unsigned seen = 0;
    *result_of(op) = *x;
    if (op->attr[0].dims.n != x->rank)
        return tw_error(TW_ERR_AXIS, "permute: %d axes for %s; expected %d", op->attr[0].dims.n,
                        tw_shape_text(g, op->operand[0]).text, x->rank);
    for (int i = 0; i < x->rank; i++) {
        if (!tw_infer_axis(op, &axes[i], x->rank))
            return TW_ERR_AXIS;
        if (seen >> axes[i] & 1)
            return tw_error(TW_ERR_AXIS, "permute: axis %lld is given twice", (long long)axes[i]);
        seen |= 1u << axes[i];
        result_of(op)->dims[i] = x->dims[axes[i]];
    }
    return TW_OK;
}

tw_status tw_infer_expand(tw_graph *g, tw_op *op)
{
    const tw_type *x = type_of(op, 0);
    tw_dim *shape = list_of(op, 0);
    int n = op->attr[0].dims.n, added = n - x->rank;
    if (added < 0 || n > TW_MAX_RANK)
        return tw_error(TW_ERR_SHAPE, "%s: %s to %d dimensions; expected %d to %d", op->info->name,
                        tw_shape_text(g, op->operand[0]).text, n, x->rank, TW_MAX_RANK);
    for (int i = 0; i < n; i++) {
        tw_dim had = i >= added ? x->dims[i - added] : 1;
        if (shape[i] == -1 && !g->dims)
            shape[i] = had;
        if (shape[i] != had && had != 1)
            return tw_error(TW_ERR_SHAPE, "%s: dimension %d of %s to size %lld; only sizes of 1 grow", op->info->name,
                            i - added, tw_shape_text(g, op->operand[0]).text, (long long)shape[i]);
    }
    *result_of(op) = tw_type_make((tw_dtype)x->dtype, n, shape);
    return TW_OK;
}

tw_status tw_infer_after(tw_graph *g, tw_op *op)
{
    (void)g;
    *result_of(op) = *type_of(op, 0);
    return TW_OK;
}

/* Do first, first + step ... lie within a dimension? Whatever the numbers: none may wrap back into it. count >= 1. */
static bool within(int64_t first, int64_t count, int64_t step, int64_t size)
{
    int64_t last;
    return first >= 0 && first < size && !__builtin_mul_overflow(count - 1, step, &last) &&
           !__builtin_add_overflow(first, last, &last) && last >= 0 && last < size;
}

tw_status tw_infer_slice(tw_graph *g, tw_op *op)
{
    const tw_type *x = type_of(op, 0);
    const tw_dim *starts = op->attr[0].dims.v, *sizes = op->attr[1].dims.v, *steps = op->attr[2].dims.v;
    if (op->attr[0].dims.n != x->rank || op->attr[1].dims.n != x->rank || op->attr[2].dims.n != x->rank)
        return tw_error(TW_ERR_AXIS, "slice: %d starts, %d sizes, %d steps for %s; expected %d of each",
                        op->attr[0].dims.n, op->attr[1].dims.n, op->attr[2].dims.n,
                        tw_shape_text(g, op->operand[0]).text, x->rank);
    for (int i = 0; i < x->rank; i++) {
        if (g->dims || sizes[i] == 0)
            continue;
        if (steps[i] == 0 || sizes[i] < 0 || !within(starts[i], sizes[i], steps[i], x->dims[i]))
            return tw_error(TW_ERR_VALUE, "slice: %lld elements from %lld by %lld in dimension %d of %s: out of range",
                            (long long)sizes[i], (long long)starts[i], (long long)steps[i], i,
                            tw_shape_text(g, op->operand[0]).text);
    }
    *result_of(op) = tw_type_make((tw_dtype)x->dtype, x->rank, sizes);
    return TW_OK;
}

tw_status tw_infer_pad(tw_graph *g, tw_op *op)
{
    const tw_type *x = type_of(op, 0);
    *result_of(op) = *x;
    if (op->attr[0].dims.n != x->rank || op->attr[1].dims.n != x->rank)
        return tw_error(TW_ERR_AXIS, "pad: %d low and %d high sizes for %s; expected %d of each", op->attr[0].dims.n,
                        op->attr[1].dims.n, tw_shape_text(g, op->operand[0]).text, x->rank);
    for (int i = 0; i < x->rank; i++) {
        if (op->attr[0].dims.v[i] < 0 || op->attr[1].dims.v[i] < 0)
            return tw_error(TW_ERR_VALUE, "pad: a negative size in dimension %d", i);
        result_of(op)->dims[i] = tw_dim_add(g, tw_dim_add(g, x->dims[i], op->attr[0].dims.v[i]), op->attr[1].dims.v[i]);
    }
    return TW_OK;
}

tw_status tw_infer_cat(tw_graph *g, tw_op *op)
{
    const tw_type *x = type_of(op, 0);
    if (!tw_infer_axis(op, &op->attr[0].i, x->rank))
        return TW_ERR_AXIS;
    int64_t axis = op->attr[0].i;
    *result_of(op) = *x;
    for (uint32_t i = 1; i < op->operands; i++) {
        const tw_type *t = type_of(op, (int)i);
        bool fits = t->rank == x->rank;
        for (int d = 0; fits && d < x->rank; d++)
            fits = d == axis || t->dims[d] == x->dims[d];
        if (!fits)
            return tw_error(TW_ERR_SHAPE, "cat: %s and %s along axis %lld; expected equal sizes elsewhere",
                            tw_shape_text(g, op->operand[0]).text, tw_shape_text(g, op->operand[i]).text,
                            (long long)axis);
        result_of(op)->dims[axis] = tw_dim_add(g, result_of(op)->dims[axis], t->dims[axis]);
        result_of(op)->dtype = (uint8_t)tw_dtype_promote((tw_dtype)result_of(op)->dtype, (tw_dtype)t->dtype);
    }
    return TW_OK;
}

/* ---- indexing ---- */

static tw_status index_dtype(const tw_graph *g, const tw_op *op, int operand)
{
    if (type_of(op, operand)->dtype == TW_I64 || type_of(op, operand)->dtype == TW_I32)
        return TW_OK;
    return tw_error(TW_ERR_DTYPE, "%s: index is %s; expected i64 or i32", op->info->name,
                    tw_shape_text(g, op->operand[operand]).text);
}

static tw_status same_but(const tw_graph *g, const tw_op *op, int a, int b, int64_t axis)
{
    const tw_type *x = type_of(op, a), *y = type_of(op, b);
    bool fits = x->rank == y->rank;
    for (int i = 0; fits && i < x->rank; i++)
        fits = i == axis || x->dims[i] == y->dims[i];
    return fits ? TW_OK
                : tw_error(TW_ERR_SHAPE, "%s: %s with %s along axis %lld: sizes differ elsewhere", op->info->name,
                           tw_shape_text(g, op->operand[a]).text, tw_shape_text(g, op->operand[b]).text,
                           (long long)axis);
}

/* The index names places for a part of x that begins at the first element: it may be smaller, beside the axis. Which of
 * two symbolic sizes is smaller isn't known: those must be equal. */
static tw_status index_within(const tw_graph *g, const tw_op *op, int x, int64_t axis)
{
    const tw_type *outer = type_of(op, x), *index = type_of(op, 1);
    bool fits = outer->rank == index->rank;
    for (int i = 0; fits && i < outer->rank; i++) {
        tw_dim large = outer->dims[i], small = index->dims[i];
        fits = i == axis || large == small || (tw_dim_constant(large) && tw_dim_constant(small) && small <= large);
    }
    if (fits)
        return TW_OK;
    return tw_error(TW_ERR_SHAPE, "%s: index is %s, %s is %s; expected equal ranks, and an index no larger%s",
                    op->info->name, tw_shape_text(g, op->operand[1]).text, op->info->operand_names[x],
                    tw_shape_text(g, op->operand[x]).text, axis < 0 ? "" : " beside the axis");
}

tw_status tw_infer_gather(tw_graph *g, tw_op *op)
{
    TW_TRY(index_dtype(g, op, 1));
    if (!tw_infer_axis(op, &op->attr[0].i, type_of(op, 0)->rank))
        return TW_ERR_AXIS;
    TW_TRY(index_within(g, op, 0, op->attr[0].i));
    *result_of(op) = *type_of(op, 1);
    result_of(op)->dtype = type_of(op, 0)->dtype;
    return TW_OK;
}

static tw_status rank_one(const tw_graph *g, const tw_op *op, int operand)
{
    return type_of(op, operand)->rank == 1 ? TW_OK
                                           : tw_error(TW_ERR_SHAPE, "%s: index is %s; expected one dimension",
                                                      op->info->name, tw_shape_text(g, op->operand[operand]).text);
}

tw_status tw_infer_index_select(tw_graph *g, tw_op *op)
{
    TW_TRY(index_dtype(g, op, 1));
    TW_TRY(rank_one(g, op, 1));
    if (!tw_infer_axis(op, &op->attr[0].i, type_of(op, 0)->rank))
        return TW_ERR_AXIS;
    *result_of(op) = *type_of(op, 0);
    result_of(op)->dims[op->attr[0].i] = type_of(op, 1)->dims[0];
    return TW_OK;
}

static tw_status same_dtype(const tw_graph *g, const tw_op *op, int a, int b)
{
    return type_of(op, a)->dtype == type_of(op, b)->dtype
               ? TW_OK
               : tw_error(TW_ERR_DTYPE, "%s: %s and %s; expected one dtype", op->info->name,
                          tw_shape_text(g, op->operand[a]).text, tw_shape_text(g, op->operand[b]).text);
}

tw_status tw_infer_scatter(tw_graph *g, tw_op *op)
{
    TW_TRY(index_dtype(g, op, 1));
    TW_TRY(same_dtype(g, op, 0, 2));
    if (!tw_infer_axis(op, &op->attr[0].i, type_of(op, 0)->rank))
        return TW_ERR_AXIS;
    TW_TRY(index_within(g, op, 0, op->attr[0].i));
    TW_TRY(index_within(g, op, 2, -1));
    *result_of(op) = *type_of(op, 0);
    return TW_OK;
}

tw_status tw_infer_index_add(tw_graph *g, tw_op *op)
{
    TW_TRY(index_dtype(g, op, 1));
    TW_TRY(rank_one(g, op, 1));
    TW_TRY(same_dtype(g, op, 0, 2));
    if (!tw_infer_axis(op, &op->attr[0].i, type_of(op, 0)->rank))
        return TW_ERR_AXIS;
    TW_TRY(same_but(g, op, 0, 2, op->attr[0].i));
    if (type_of(op, 2)->dims[op->attr[0].i] != type_of(op, 1)->dims[0])
        return tw_error(TW_ERR_SHAPE, "index_add: source is %s, index is %s; expected as many slices as indices",
                        tw_shape_text(g, op->operand[2]).text, tw_shape_text(g, op->operand[1]).text);
    *result_of(op) = *type_of(op, 0);
    return TW_OK;
}

tw_status tw_infer_slice_update(tw_graph *g, tw_op *op)
{
    const tw_type *x = type_of(op, 0), *v = type_of(op, 1);
    TW_TRY(same_dtype(g, op, 0, 1));
    bool fits = v->rank == x->rank && op->attr[0].dims.n == x->rank && op->attr[1].dims.n == x->rank;
    for (int i = 0; fits && i < x->rank && !g->dims; i++)
        fits = v->dims[i] == 0 || within(op->attr[0].dims.v[i], v->dims[i], op->attr[1].dims.v[i], x->dims[i]);
    *result_of(op) = *x;
    return fits ? TW_OK
                : tw_error(TW_ERR_SHAPE, "slice_update: %s doesn't fit into %s there",
                           tw_shape_text(g, op->operand[1]).text, tw_shape_text(g, op->operand[0]).text);
}
