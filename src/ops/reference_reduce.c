/* Reductions, scans and products: sequential along the axis, from its first element on. */
#include <math.h>

#include "ops/reference_internal.h"

/* ---- reductions over any set of axes ---- */

static bool multiplies(int code)
{
    return code == TW_G_PROD || code == TW_G_CUMPROD;
}

static bool takes_largest(int code)
{
    return code == TW_G_AMAX || code == TW_G_CUMMAX;
}

static bool takes_smallest(int code)
{
    return code == TW_G_AMIN || code == TW_G_CUMMIN;
}

/* -0 is the identity of addition: the sum of negative zeros is one. The sum of nothing is +0. */
static double start_floating(int code, bool nothing)
{
    return multiplies(code)       ? 1
           : takes_largest(code)  ? -INFINITY
           : takes_smallest(code) ? INFINITY
           : nothing              ? 0.0
                                  : -0.0;
}

static int64_t start_integer(int code, tw_dtype dtype)
{
    int64_t lowest = dtype == TW_BOOL || dtype == TW_U8 ? 0 : dtype == TW_I32 ? INT32_MIN : INT64_MIN;
    int64_t highest = dtype == TW_BOOL ? 1 : dtype == TW_U8 ? 255 : dtype == TW_I32 ? INT32_MAX : INT64_MAX;
    return multiplies(code) ? 1 : takes_largest(code) ? lowest : takes_smallest(code) ? highest : 0;
}

static double extreme(double so_far, double x, bool largest)
{
    if (isnan(so_far) || isnan(x))
        return NAN;
    if (x == so_far) /* of two zeros +0 is the larger, as for maximum */
        return largest == !signbit(x) ? x : so_far;
    return (largest ? x > so_far : x < so_far) ? x : so_far;
}

static void add_floating(int code, double *so_far, double x)
{
    if (code == TW_G_SUM || code == TW_G_CUMSUM)
        *so_far += x;
    else if (multiplies(code))
        *so_far *= x;
    else
        *so_far = extreme(*so_far, x, takes_largest(code));
}

static void add_integer(int code, int64_t *so_far, int64_t x)
{
    if (code == TW_G_SUM || code == TW_G_CUMSUM)
        *so_far = (int64_t)((uint64_t)*so_far + (uint64_t)x);
    else if (multiplies(code))
        *so_far = (int64_t)((uint64_t)*so_far * (uint64_t)x);
    else
        *so_far = takes_largest(code) ? TW_MAX(*so_far, x) : TW_MIN(*so_far, x);
}

/* Row-major walk over x; `to` is the place in the result, whose strides are 0 along reduced axes. */
static void reduce_all(const step *s, const int64_t *stride)
{
    const wide *x = s->x[0];
    int64_t at[TW_MAX_RANK] = {0}, to = 0;
    for (int64_t e = 0; e < x->count; e++) {
        if (x->f)
            add_floating(s->op->code, &s->y->f[to], x->f[e]);
        else
            add_integer(s->op->code, &s->y->i[to], x->i[e]);
        for (int i = x->rank - 1; i >= 0; i--) {
            to += stride[i];
            if (++at[i] < x->shape[i])
                break;
            to -= stride[i] * x->shape[i];
            at[i] = 0;
        }
    }
}

static tw_status reduce_axes(step *s)
{
    const wide *x = s->x[0];
    int64_t stride[TW_MAX_RANK], below = 1;
    bool gone[TW_MAX_RANK] = {0};
    for (int i = 0; i < s->op->attr[0].dims.n; i++)
        gone[s->op->attr[0].dims.v[i]] = true;
    for (int i = x->rank - 1; i >= 0; i--) {
        stride[i] = gone[i] ? 0 : below;
        below *= gone[i] ? 1 : x->shape[i];
    }
    if (!x->f != !s->y->f)
        return tw_error(TW_ERR_DTYPE, "reference: %s of %s into %s", s->op->info->name, tw_dtype_name(x->dtype),
                        tw_dtype_name(s->y->dtype));
    for (int64_t e = 0; e < s->y->count; e++) {
        if (x->f)
            s->y->f[e] = start_floating(s->op->code, x->count == 0);
        else
            s->y->i[e] = start_integer(s->op->code, x->dtype);
    }
    reduce_all(s, stride);
    return TW_OK;
}

/* ---- position of the extreme ---- */

static bool beats(const wide *x, int64_t candidate, int64_t best, bool largest)
{
    if (!x->f)
        return largest ? x->i[candidate] > x->i[best] : x->i[candidate] < x->i[best];
    if (isnan(x->f[best]))
        return false;
    return isnan(x->f[candidate]) || (largest ? x->f[candidate] > x->f[best] : x->f[candidate] < x->f[best]);
}

static tw_status position(step *s)
{
    const wide *x = s->x[0];
    axis_form form = tw_reference_axis(x, s->op->attr[0].i);
    bool largest = s->op->code == TW_G_ARGMAX;
    for (int64_t o = 0; o < s->y->count; o++) {
        int64_t first = o / form.b * form.r * form.b + o % form.b, best = 0;
        for (int64_t r = 1; r < form.r; r++)
            if (beats(x, first + r * form.b, first + best * form.b, largest))
                best = r;
        s->y->i[o] = best;
    }
    return TW_OK;
}

tw_status tw_reference_reduce(step *s)
{
    return s->op->code == TW_G_ARGMAX || s->op->code == TW_G_ARGMIN ? position(s) : reduce_axes(s);
}

/* ---- scans ---- */

tw_status tw_reference_scan(step *s)
{
    const wide *x = s->x[0];
    axis_form form = tw_reference_axis(x, s->op->attr[0].i);
    bool reverse = s->op->attr[1].i != 0;
    for (int64_t line = 0; form.r && line < x->count / form.r; line++) {
        int64_t first = line / form.b * form.r * form.b + line % form.b;
        double f = start_floating(s->op->code, false);
        int64_t i = start_integer(s->op->code, x->dtype);
        for (int64_t r = 0; r < form.r; r++) {
            int64_t at = first + (reverse ? form.r - 1 - r : r) * form.b;
            if (x->f) {
                add_floating(s->op->code, &f, x->f[at]);
                s->y->f[at] = f;
            } else {
                add_integer(s->op->code, &i, x->i[at]);
                s->y->i[at] = i;
            }
        }
    }
    return TW_OK;
}

/* ---- contraction ---- the rows of b one after another, so that each element is one chain over k, ascending */

/* The product of two floats, or of narrower numbers, is exact in double: fused or not makes no difference. */
static void add_row(double *y, double a, const double *b, int64_t columns, bool fused)
{
    for (int64_t j = 0; j < columns; j++)
        y[j] = fused ? fma(a, b[j], y[j]) : a * b[j] + y[j];
}

static void add_row_integer(int64_t *y, int64_t a, const int64_t *b, int64_t columns)
{
    for (int64_t j = 0; j < columns; j++)
        y[j] = (int64_t)((uint64_t)y[j] + (uint64_t)a * (uint64_t)b[j]);
}

tw_status tw_reference_dot(step *s)
{
    const wide *a = s->x[0], *b = s->x[1];
    int rank = a->rank;
    int64_t rows = a->shape[rank - 2], inner = a->shape[rank - 1], columns = b->shape[rank - 1];
    if (!a->f != !s->y->f || !b->f != !a->f)
        return tw_error(TW_ERR_DTYPE, "reference: dot of %s and %s", tw_dtype_name(a->dtype), tw_dtype_name(b->dtype));
    for (int64_t row = 0; columns && row < s->y->count / columns; row++) { /* of all batches */
        for (int64_t k = 0; k < inner; k++) {
            int64_t from = (row / rows * inner + k) * columns, to = row * columns;
            if (a->f)
                add_row(s->y->f + to, a->f[row * inner + k], b->f + from, columns, a->dtype == TW_F64);
            else
                add_row_integer(s->y->i + to, a->i[row * inner + k], b->i + from, columns);
        }
    }
    return TW_OK;
}
