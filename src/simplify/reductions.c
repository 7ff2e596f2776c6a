/* Reductions in one form, [A, R, B] along axis 1 to [A, B], and long ones in two levels.
 *
 *        [4, 5, 6, 7] sum {1, 2}                           [1, 1000000] sum {1}
 *   ->   reshape [4, 30, 7], sum {1}, reshape [4, 7]       reshape [1, 1000000, 1] -> pad -0 to 62 * 16384 -> [62,
 * 16384, 1] sum -> [1, 62, 1] sum
 *
 * Several axes: the last run of neighbours first. How a reduction is split depends on its shape alone, so that the bits
 * of a result depend neither on threads nor on what it was fused with. Padding is by the identity: -0 for sums (x + -0
 * is x, also for x = -0). */
#include <math.h>

#include "simplify/internal.h"

enum {
    LONG_ROW = 65536,  /* a row longer than this is split ... */
    ROW_CHUNK = 16384, /* ... into parts of at most this: half of a 32 kB cache in f32 */
    FEW_ROWS = 64,     /* ... unless there are enough rows to share out */
    LONG_COLUMN = 128, /* a column longer than this is split into parts of 64 to 128 rows */
    ENOUGH_WORK = 32,  /* ... unless there are so many pieces of COLUMNS columns */
    COLUMNS = 256,
    LONG_CHAIN = 2048 /* ... and the sum of a column is still accurate */
};

static bool is_arg(const tw_op *op)
{
    return op->code == TW_G_ARGMAX || op->code == TW_G_ARGMIN;
}

static tw_value *reduce(tw_graph *g, const tw_op *like, tw_value *x, int n, const int64_t *axes)
{
    if (!x)
        return NULL;
    switch (like->code) {
    case TW_G_SUM:
        return tw_g_sum(g, x, n, axes, false);
    case TW_G_PROD:
        return tw_g_prod(g, x, n, axes, false);
    case TW_G_AMAX:
        return tw_g_amax(g, x, n, axes, false);
    case TW_G_AMIN:
        return tw_g_amin(g, x, n, axes, false);
    case TW_G_ARGMAX:
        return tw_g_argmax(g, x, axes[0], false);
    default:
        return tw_g_argmin(g, x, axes[0], false);
    }
}

/* The same reduction of another tensor, keepdim included. */
static tw_value *reduce_as(tw_graph *g, const tw_op *op, tw_value *x)
{
    tw_op *again = tw_graph_add(g, op->code, 1, &x, op->attr);
    return again ? &again->result[0] : NULL;
}

/* The last run of neighbouring reduced axes: first..last; `before` axes are reduced after it. */
static bool last_run(const tw_op *op, int *first, int *last, int *before)
{
    const tw_dim *axes = op->attr[0].dims.v;
    int n = is_arg(op) ? 1 : op->attr[0].dims.n;
    if (n == 0)
        return false;
    if (is_arg(op)) {
        *first = *last = (int)op->attr[0].i;
        *before = 0;
        return true;
    }
    int at = n - 1;
    *last = (int)axes[at];
    while (at > 0 && axes[at - 1] == axes[at] - 1)
        at--;
    *first = (int)axes[at];
    *before = at;
    return true;
}

static tw_dim product(tw_graph *g, const tw_type *t, int from, int to)
{
    tw_dim p = 1;
    for (int i = from; i < to; i++)
        p = tw_dim_mul(g, p, t->dims[i]);
    return p;
}

static tw_value *reshape3(tw_graph *g, tw_value *x, tw_dim a, tw_dim r, tw_dim b)
{
    if (!x)
        return NULL;
    tw_type t = tw_type_make((tw_dtype)x->type.dtype, 3, (tw_dim[]){a, r, b});
    return tw_g_reshape_to(g, x, &t);
}

/* Of one element: the element itself, its index 0. */
static tw_value *reduce_nothing(tw_graph *g, const tw_op *op, tw_value *x)
{
    if (is_arg(op))
        return tw_simplify_full_like(g, &op->result[0], 0);
    tw_dtype dtype = (tw_dtype)op->result[0].type.dtype;
    return tw_g_as(g, x, dtype);
}

/* A rank-0 operand reduced over no axis: decomposition leaves these. */
static bool without_axes(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    if (op->operand[0]->type.rank != 0)
        return false;
    *replacement = reduce_nothing(g, op, op->operand[0]);
    return true;
}

/* Sums and products of nothing are constants, the dot product of nothing too; other reductions refuse it. */
static bool of_nothing(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    const tw_type *t = &op->operand[0]->type;
    bool nothing = false;
    for (int i = 0; i < t->rank; i++)
        nothing |= t->dims[i] == 0;
    if (!nothing || (op->code != TW_G_SUM && op->code != TW_G_PROD && op->code != TW_G_DOT))
        return false;
    *replacement = tw_simplify_full_like(g, &op->result[0], op->code == TW_G_PROD);
    return true;
}

static bool in_form(const tw_op *op)
{
    int first, last, before;
    return op->operand[0]->type.rank == 3 && !op->attr[1].i && last_run(op, &first, &last, &before) && first == 1 &&
           last == 1 && before == 0;
}

static bool to_form(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    int first, last, before;
    tw_value *x = op->operand[0];
    const tw_type t = x->type;
    bool empty_run = !last_run(op, &first, &last, &before);
    if (empty_run || (in_form(op) && t.dims[1] != 1))
        return false;
    tw_dim a = product(g, &t, 0, first), r = product(g, &t, first, last + 1), b = product(g, &t, last + 1, t.rank);
    tw_value *y = r == 1 ? reduce_nothing(g, op, x) : reduce(g, op, reshape3(g, x, a, r, b), 1, (const int64_t[]){1});
    if (y && before) { /* the other axes, in the shape that is left */
        tw_type left = t;
        left.dtype = y->type.dtype;
        left.rank = (uint8_t)(t.rank - (last + 1 - first));
        for (int i = last + 1; i < t.rank; i++)
            left.dims[i - (last + 1 - first)] = t.dims[i];
        y = reduce(g, op, tw_g_reshape_to(g, y, &left), before, op->attr[0].dims.v);
    }
    *replacement = y ? tw_g_reshape_to(g, y, &op->result[0].type) : NULL;
    return true;
}

/* 16-bit sums and products accumulate in f32 and round once; said in the graph, partial results of two levels aren't
 * rounded either. */
static bool in_f32(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    tw_dtype dtype = (tw_dtype)op->result[0].type.dtype;
    if ((op->code != TW_G_SUM && op->code != TW_G_PROD) || (dtype != TW_F16 && dtype != TW_BF16))
        return false;
    tw_value *wide = tw_g_as(g, op->operand[0], TW_F32);
    wide = wide ? reduce_as(g, op, wide) : NULL;
    *replacement = wide ? tw_g_as(g, wide, dtype) : NULL;
    return true;
}

/* ---- two levels ---- */

/* What leaves every other element as it is; false: pad can't say it (its value is a double). */
static bool neutral_element(const tw_op *op, double *value)
{
    tw_dtype dtype = (tw_dtype)op->operand[0]->type.dtype;
    bool whole = !tw_dtype_floating(dtype);
    switch (op->code) {
    case TW_G_SUM:
        *value = whole ? 0.0 : -0.0;
        return true;
    case TW_G_PROD:
        *value = 1;
        return true;
    default:
        *value = op->code == TW_G_AMAX ? -INFINITY : INFINITY;
        return !whole;
    }
}

/* The largest divisor of n in low..high, or 0. */
static int64_t divisor_between(int64_t n, int64_t low, int64_t high)
{
    for (int64_t d = high; d >= low; d--)
        if (n % d == 0)
            return d;
    return 0;
}

/* How many elements a part has; 0: one level is right. */
static int64_t part_of(const tw_op *op)
{
    const tw_dim *d = op->operand[0]->type.dims;
    if (!tw_dim_constant(d[0]) || !tw_dim_constant(d[1]) || !tw_dim_constant(d[2]) || d[0] == 0 || d[2] == 0)
        return 0;
    if (d[2] == 1) {
        if (d[1] <= LONG_ROW || d[0] >= FEW_ROWS)
            return 0;
        int64_t part = divisor_between(d[1], ROW_CHUNK / 2, ROW_CHUNK);
        return part ? part : ROW_CHUNK;
    }
    bool adds = op->code == TW_G_SUM || op->code == TW_G_PROD;
    bool inaccurate = adds && floating(&op->result[0]) && d[1] > LONG_CHAIN;
    if (d[1] <= LONG_COLUMN || (!inaccurate && d[0] * ((d[2] + COLUMNS - 1) / COLUMNS) >= ENOUGH_WORK))
        return 0;
    int64_t part = divisor_between(d[1], LONG_COLUMN / 2, LONG_COLUMN);
    return part ? part : LONG_COLUMN;
}

static bool in_two_levels(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    double padding;
    if (is_arg(op) || !in_form(op) || op->operand[0]->type.dtype != op->result[0].type.dtype)
        return false;
    int64_t part = part_of(op);
    tw_value *x = op->operand[0];
    if (!part || (x->type.dims[1] % part && !neutral_element(op, &padding)))
        return false;
    int64_t a = x->type.dims[0], b = x->type.dims[2], parts = (x->type.dims[1] + part - 1) / part,
            missing = parts * part - x->type.dims[1];
    if (missing) {
        neutral_element(op, &padding);
        x = tw_g_pad(g, x, 3, (const int64_t[]){0, 0, 0}, 3, (const int64_t[]){0, missing, 0}, padding);
    }
    tw_value *y = reduce(g, op, reshape3(g, x, a * parts, part, b), 1, (const int64_t[]){1});
    *replacement = reduce(g, op, reshape3(g, y, a, parts, b), 1, (const int64_t[]){1});
    return true;
}

static const tw_rewrite_rule rules[] = {
#define REDUCTION(code)                                                                                                \
    {code, "reduction of nothing", of_nothing}, {code, "reduction of one element", without_axes},                      \
        {code, "16-bit sum in f32", in_f32}, {code, "reduction in the form [A, R, B]", to_form},                       \
    {                                                                                                                  \
        code, "long reduction in two levels", in_two_levels                                                            \
    }
    REDUCTION(TW_G_SUM),
    REDUCTION(TW_G_PROD),
    REDUCTION(TW_G_AMAX),
    REDUCTION(TW_G_AMIN),
    REDUCTION(TW_G_ARGMAX),
    REDUCTION(TW_G_ARGMIN),
    {TW_G_DOT, "product of nothing", of_nothing},
};
const rule_table tw_simplify_reductions = {rules, TW_COUNT(rules)};
