/* Derivatives that need control flow. */
#include "autograd/rules.h"

#include "ops/build.h"

tw_derivative tw_derive_sum, tw_derive_prod, tw_derive_amax, tw_derive_amin, tw_derive_permute, tw_derive_slice,
    tw_derive_pad, tw_derive_cat, tw_derive_cumprod, tw_derive_cummax, tw_derive_cummin, tw_derive_slice_update,
    tw_derive_layer_norm, tw_derive_cross_entropy;

static tw_value *spread(tw_graph *g, tw_value *y, const tw_op *op, const tw_value *x)
{
    return tw_g_spread(g, y, x, op->attr[0].dims.n, op->attr[0].dims.v, op->attr[1].i != 0);
}

bool tw_derive_sum(tw_graph *g, const tw_op *op, tw_value *const *x, tw_value *y, tw_value *grad, uint32_t needed,
                   tw_value **out)
{
    (void)y, (void)needed;
    return (out[0] = spread(g, grad, op, x[0])) != NULL;
}

/* The product of the others: y / x, or, where there is exactly one zero, the product of all but it. */
bool tw_derive_prod(tw_graph *g, const tw_op *op, tw_value *const *x, tw_value *y, tw_value *grad, uint32_t needed,
                    tw_value **out)
{
    (void)needed;
    int n = op->attr[0].dims.n;
    const int64_t *axes = op->attr[0].dims.v;
    tw_value *one = tw_g_like(g, x[0], 1), *none = tw_g_like(g, x[0], 0);
    tw_value *zero = tw_g_eq(g, x[0], none), *safe = tw_g_where(g, zero, one, x[0]);
    tw_value *zeros = spread(g, tw_g_sum(g, zero, n, axes, op->attr[1].i != 0), op, x[0]);
    tw_value *rest = spread(g, tw_g_prod(g, safe, n, axes, op->attr[1].i != 0), op, x[0]);
    tw_value *single = tw_g_where(g, tw_g_eq(g, zeros, tw_g_like_i64(g, 1)), rest, none);
    tw_value *others = tw_g_where(g, zero, single, tw_g_div(g, spread(g, y, op, x[0]), safe));
    return (out[0] = tw_g_mul(g, spread(g, grad, op, x[0]), others)) != NULL;
}

/* With s the reversed running sum of grad * y: s / x before the first zero; at it, the same sum with that zero taken as
 * 1, which is the product of the others; nothing after it. */
bool tw_derive_cumprod(tw_graph *g, const tw_op *op, tw_value *const *x, tw_value *y, tw_value *grad, uint32_t needed,
                       tw_value **out)
{
    int64_t axis = op->attr[0].i;
    bool reverse = op->attr[1].i != 0;
    (void)needed;
    tw_value *one = tw_g_like(g, x[0], 1), *none = tw_g_like(g, x[0], 0);
    tw_value *zero = tw_g_eq(g, x[0], none), *zeros = tw_g_cumsum(g, tw_g_as(g, zero, TW_I64), axis, reverse);
    tw_value *first = tw_g_logical_and(g, zero, tw_g_eq(g, zeros, tw_g_like_i64(g, 1)));
    tw_value *safe = tw_g_where(g, zero, one, x[0]);
    tw_value *filled = tw_g_cumprod(g, tw_g_where(g, first, one, x[0]), axis, reverse);
    tw_value *before = tw_g_div(g, tw_g_cumsum(g, tw_g_mul(g, grad, y), axis, !reverse), safe);
    tw_value *at = tw_g_cumsum(g, tw_g_mul(g, grad, filled), axis, !reverse);
    tw_value *rest = tw_g_where(g, first, at, none);
    return (out[0] = tw_g_where(g, tw_g_eq(g, zeros, tw_g_like_i64(g, 0)), before, rest)) != NULL;
}

/* All of a gradient goes to the element that was the extreme then: of equal ones the latest, and a NaN before
 * everything else. Where an element is the extreme so far, its index; the largest index so far is where the running
 * extreme stands. */
static bool running_extreme(tw_graph *g, const tw_op *op, tw_value *x, tw_value *y, tw_value *grad, tw_value **out)
{
    int64_t axis = op->attr[0].i, sign = op->attr[1].i ? -1 : 1; /* from the end: the smallest index */
    tw_value *hit = tw_g_logical_or(g, tw_g_eq(g, x, y), tw_g_isnan(g, x));
    tw_value *index = tw_g_iota(g, x->type.rank, x->type.dims, axis, TW_I64);
    tw_value *none = tw_g_like_i64(g, sign > 0 ? -1 : INT64_MAX);
    tw_value *place = tw_g_where(g, hit, index, none);
    place = sign > 0 ? tw_g_cummax(g, place, axis, false) : tw_g_cummin(g, place, axis, true);
    *out = tw_g_scatter_add(g, tw_g_zeros_as(g, grad), place, grad, axis);
    return *out != NULL;
}

bool tw_derive_cummax(tw_graph *g, const tw_op *op, tw_value *const *x, tw_value *y, tw_value *grad, uint32_t needed,
                      tw_value **out)
{
    (void)needed;
    return running_extreme(g, op, x[0], y, grad, out);
}

bool tw_derive_cummin(tw_graph *g, const tw_op *op, tw_value *const *x, tw_value *y, tw_value *grad, uint32_t needed,
                      tw_value **out)
{
    (void)needed;
    return running_extreme(g, op, x[0], y, grad, out);
}

/* Equal extremes share the gradient. */
static bool extreme(tw_graph *g, const tw_op *op, tw_value *x, tw_value *y, tw_value *grad, tw_value **out)
{
    tw_value *hit = tw_g_as(g, tw_g_eq(g, x, spread(g, y, op, x)), (tw_dtype)x->type.dtype);
    tw_value *count = tw_g_sum(g, hit, op->attr[0].dims.n, op->attr[0].dims.v, op->attr[1].i != 0);
    *out = tw_g_mul(g, hit, spread(g, tw_g_div(g, grad, count), op, x));
    return *out != NULL;
}

bool tw_derive_amax(tw_graph *g, const tw_op *op, tw_value *const *x, tw_value *y, tw_value *grad, uint32_t needed,
                    tw_value **out)
{
    (void)needed;
    return extreme(g, op, x[0], y, grad, out);
}

bool tw_derive_amin(tw_graph *g, const tw_op *op, tw_value *const *x, tw_value *y, tw_value *grad, uint32_t needed,
                    tw_value **out)
{
    (void)needed;
    return extreme(g, op, x[0], y, grad, out);
}

/* ---- views ---- */

bool tw_derive_permute(tw_graph *g, const tw_op *op, tw_value *const *x, tw_value *y, tw_value *grad, uint32_t needed,
                       tw_value **out)
{
    int64_t inverse[TW_MAX_RANK];
    (void)x, (void)y, (void)needed;
    for (int i = 0; i < op->attr[0].dims.n; i++)
        inverse[op->attr[0].dims.v[i]] = i;
    return (out[0] = tw_g_permute(g, grad, op->attr[0].dims.n, inverse)) != NULL;
}

bool tw_derive_slice(tw_graph *g, const tw_op *op, tw_value *const *x, tw_value *y, tw_value *grad, uint32_t needed,
                     tw_value **out)
{
    (void)y, (void)needed;
    tw_type type = x[0]->type;
    type.dtype = grad->type.dtype;
    int rank = type.rank;
    return (out[0] = tw_g_slice_update(g, tw_g_filled(g, &type, 0), grad, rank, op->attr[0].dims.v, rank,
                                       op->attr[2].dims.v)) != NULL;
}

bool tw_derive_pad(tw_graph *g, const tw_op *op, tw_value *const *x, tw_value *y, tw_value *grad, uint32_t needed,
                   tw_value **out)
{
    int64_t ones[TW_MAX_RANK];
    (void)y, (void)needed;
    int rank = x[0]->type.rank;
    for (int i = 0; i < rank; i++)
        ones[i] = 1;
    return (out[0] = tw_g_slice(g, grad, rank, op->attr[0].dims.v, rank, x[0]->type.dims, rank, ones)) != NULL;
}

bool tw_derive_cat(tw_graph *g, const tw_op *op, tw_value *const *x, tw_value *y, tw_value *grad, uint32_t needed,
                   tw_value **out)
{
    int64_t start = 0, axis = op->attr[0].i;
    (void)y;
    for (uint32_t i = 0; i < op->operands; i++) {
        tw_dim size = x[i]->type.dims[axis];
        if (needed >> TW_MIN(i, 31u) & 1 && !(out[i] = tw_g_part(g, grad, (int)axis, start, size, 1)))
            return false;
        start += size;
    }
    return true;
}

bool tw_derive_slice_update(tw_graph *g, const tw_op *op, tw_value *const *x, tw_value *y, tw_value *grad,
                            uint32_t needed, tw_value **out)
{
    (void)y;
    int rank = x[0]->type.rank;
    const tw_dim *starts = op->attr[0].dims.v, *steps = op->attr[1].dims.v;
    tw_type hole = x[1]->type;
    hole.dtype = grad->type.dtype;
    if (needed & 1 && !(out[0] = tw_g_slice_update(g, grad, tw_g_filled(g, &hole, 0), rank, starts, rank, steps)))
        return false;
    return !(needed & 2) || (out[1] = tw_g_slice(g, grad, rank, starts, rank, x[1]->type.dims, rank, steps)) != NULL;
}

/* ---- normalisation and losses ---- */

/* With n = (x - mean) * r, r = rsqrt(var + eps) and h = g * weight:  dx = r * (h - mean(h) - n * mean(h * n)).
 * Mean and variance are written as the decomposition writes them, so that they are shared with the forward pass. */
bool tw_derive_layer_norm(tw_graph *g, const tw_op *op, tw_value *const *given, tw_value *y, tw_value *grad,
                          uint32_t needed, tw_value **out)
{
    int64_t axes[TW_MAX_RANK], lead[TW_MAX_RANK];
    int n = (int)op->attr[0].i, rank = given[0]->type.rank;
    (void)y;
    for (int i = 0; i < n; i++)
        axes[i] = rank - n + i;
    for (int i = 0; i < rank - n; i++)
        lead[i] = i;
    tw_value *x = tw_g_wide(g, given[0]), *wide = tw_g_wide(g, grad);
    tw_value *c = tw_g_sub(g, x, tw_g_mean(g, x, n, axes, true));
    tw_value *v = tw_g_mean(g, tw_g_mul(g, c, c), n, axes, true);
    tw_value *r = tw_g_rsqrt(g, tw_g_add(g, v, tw_g_like(g, v, op->attr[1].f)));
    tw_value *normal = tw_g_mul(g, c, r);
    if (needed & 1) {
        tw_value *h = given[1] ? tw_g_mul(g, wide, tw_g_wide(g, given[1])) : wide;
        tw_value *along = tw_g_mul(g, normal, tw_g_mean(g, tw_g_mul(g, h, normal), n, axes, true));
        out[0] = tw_g_mul(g, r, tw_g_sub(g, tw_g_sub(g, h, tw_g_mean(g, h, n, axes, true)), along));
    }
    if (needed & 2)
        out[1] = rank > n ? tw_g_sum(g, tw_g_mul(g, wide, normal), rank - n, lead, false) : tw_g_mul(g, wide, normal);
    if (needed & 4)
        out[2] = rank > n ? tw_g_sum(g, wide, rank - n, lead, false) : wide;
    return (!(needed & 1) || out[0]) && (!(needed & 2) || out[1]) && (!(needed & 4) || out[2]);
}

/* (exp(x - logsumexp(x)) - [class is target]) * g / rows: no softmax is stored. */
bool tw_derive_cross_entropy(tw_graph *g, const tw_op *op, tw_value *const *given, tw_value *y, tw_value *grad,
                             uint32_t needed, tw_value **out)
{
    (void)op, (void)y, (void)needed;
    tw_value *x = tw_g_wide(g, given[0]), *target = tw_g_unsqueeze(g, given[1], -1);
    tw_value *p = tw_g_exp(g, tw_g_sub(g, x, tw_g_logsumexp(g, x, 1, (int64_t[]){1}, true)));
    tw_value *class = tw_g_iota(g, 2, given[0]->type.dims, 1, (tw_dtype)given[1]->type.dtype);
    tw_value *hit = tw_g_where(g, tw_g_eq(g, class, target), tw_g_like(g, x, 1), tw_g_like(g, x, 0));
    tw_value *share = tw_g_div(g, tw_g_wide(g, grad), tw_g_like(g, x, (double)TW_MAX(given[0]->type.dims[0], 1)));
    return (out[0] = tw_g_mul(g, tw_g_sub(g, p, hit), share)) != NULL;
}
