/* What the order of a sum does to it: half a unit in the last place of every partial result, in the order that a kernel
 * has (docs/architecture.md, "Orders"): the last axis in 64 partials that are added by halving, any other axis
 * from its first element on. f16 and bf16 are summed in f32 and rounded once. f64 is summed in double by the reference
 * too, in its own order: both may be off. */
#include <math.h>

#include "ops/reference_internal.h"

enum { PARTIALS = 64 };

static double half_unit(tw_dtype dtype)
{
    return 0.5 * tw_ulp(1, dtype == TW_F64 ? TW_F64 : TW_F32);
}

static double smallest(tw_dtype dtype)
{
    return tw_ulp(0, dtype == TW_F64 ? TW_F64 : TW_F32);
}

/* The reference rounds its own result; where a kernel was off before it rounded to 16 bits, the neighbour may come out.
 * Partial sums that may not fit their dtype, or that were infinite: anything may come out, unless it is NaN for sure.
 */
static void finish(const bounding *b)
{
    const wide *y = b->s->y;
    double units = y->dtype == TW_F64 ? 0 : y->dtype == TW_F32 ? 0.5 : 1;
    double most = half_unit(y->dtype) * tw_largest(y->dtype == TW_F64 ? TW_F64 : TW_F32);
    for (int64_t k = 0; k < y->count; k++) {
        if (!(b->out[k] < most))
            b->out[k] = isnan(b->out[k]) && isnan(y->f[k]) ? 0 : INFINITY;
        else if (b->out[k] > 0 && isfinite(y->f[k]))
            b->out[k] += units * tw_ulp(y->f[k], y->dtype);
    }
}

/* ---- sums ---- */

/* Partials of one line of `n` elements, `apart` from each other: the magnitudes of all partial sums, added up. */
static double running_partials(const double *x, int64_t n, int64_t apart)
{
    double partial[PARTIALS] = {0}, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double *p = &partial[i % PARTIALS];
        *p += x[i * apart];
        sum += i >= PARTIALS ? fabs(*p) : 0;
    }
    for (int width = PARTIALS / 2; width; width /= 2)
        for (int i = 0; i < width; i++) {
            partial[i] += partial[i + width];
            sum += i + width < n ? fabs(partial[i]) : 0;
        }
    return sum;
}

static double running_sequence(const double *x, int64_t n, int64_t apart)
{
    double partial = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        partial += x[i * apart];
        sum += i ? fabs(partial) : 0;
    }
    return sum;
}

static double line_sum(const double *x, int64_t n, int64_t apart)
{
    double sum = 0;
    for (int64_t i = 0; x && i < n; i++)
        sum += x[i * apart];
    return sum;
}

/* ---- running products: below the normal numbers a rounding is half the smallest one ---- */

typedef struct product {
    double p, off; /* a partial product's magnitude, and what it may be off */
} product;

static product times(product a, product b, tw_dtype dtype)
{
    double p = a.p * b.p, off = a.off * b.p + b.off * a.p + a.off * b.off;
    return (product){p, off + fmax(half_unit(dtype) * (p + off), 0.5 * smallest(dtype))};
}

static product line_product(const double *x, const double *e, int64_t n, int64_t apart, tw_dtype dtype, bool partials)
{
    product partial[PARTIALS] = {{0}};
    int64_t chains = TW_MIN(n, partials ? (int64_t)PARTIALS : 1);
    for (int64_t i = 0; i < n; i++) {
        product here = {fabs(x[i * apart]), e ? e[i * apart] : 0}, *to = &partial[partials ? i % PARTIALS : 0];
        *to = i < chains ? here : times(*to, here, dtype);
    }
    for (int64_t width = PARTIALS / 2; width; width /= 2)
        for (int64_t i = 0; i < width && i + width < chains; i++)
            partial[i] = times(partial[i], partial[i + width], dtype);
    return partial[0];
}

/* One axis: decomposition leaves no other reductions. */
static void bound_reduction(const bounding *b)
{
    const wide *x = b->s->x[0];
    axis_form form = tw_reference_axis(x, b->s->op->attr[0].dims.v[0]);
    double unit = half_unit(x->dtype);
    for (int64_t o = 0; o < b->s->y->count; o++) {
        int64_t first = o / form.b * form.r * form.b + o % form.b;
        const double *at = x->f + first, *e = b->e[0] ? b->e[0] + first : NULL;
        if (b->s->op->code == TW_G_PROD) {
            b->out[o] = line_product(at, e, form.r, form.b, x->dtype, form.b == 1).off;
            if (x->dtype == TW_F64)
                b->out[o] += line_product(at, e, form.r, form.b, x->dtype, false).off;
            continue;
        }
        double running = form.b == 1 ? running_partials(at, form.r, 1) : running_sequence(at, form.r, form.b);
        if (x->dtype == TW_F64)
            running += running_sequence(at, form.r, form.b);
        double off = line_sum(e, form.r, form.b);
        b->out[o] = off + unit * (running + (double)form.r * off);
    }
}

/* ---- products: a row of the result at once ---- */

typedef struct row {
    double *partial, *running, *off;
} row;

/* `exact`: no operand is off. Where one is, partial sums may be larger by what they are off. */
static void add_to_row(const row *r, double a, double a_off, const double *b, const double *b_off, bool exact,
                       int64_t columns)
{
    for (int64_t j = 0; j < columns; j++) {
        r->partial[j] += a * b[j];
        r->running[j] += fabs(r->partial[j]);
    }
    for (int64_t j = 0; j < columns && !exact; j++) {
        double e = b_off ? b_off[j] : 0;
        r->off[j] += (a_off > 0 ? a_off * (fabs(b[j]) + e) : 0) + (e > 0 ? fabs(a) * e : 0);
        r->running[j] += r->off[j];
    }
}

static tw_status bound_dot(const bounding *b)
{
    const wide *x = b->s->x[0], *y = b->s->x[1];
    int rank = x->rank;
    int64_t rows = x->shape[rank - 2], inner = x->shape[rank - 1], columns = y->shape[rank - 1];
    double unit = half_unit(x->dtype) * (x->dtype == TW_F64 ? 2 : 1),
           *memory = tw_alloc_zero((size_t)columns + 1, 3 * sizeof *memory);
    if (!memory)
        return TW_ERR_MEMORY;
    double steps = (double)inner * 0.5 * smallest(x->dtype);
    row r = {memory, memory + columns, memory + 2 * columns};
    for (int64_t i = 0; columns && i < b->s->y->count / columns; i++) {
        memset(memory, 0, (size_t)(3 * columns) * sizeof *memory);
        for (int64_t k = 0; k < inner; k++) {
            int64_t p = i * inner + k, q = (i / rows * inner + k) * columns;
            add_to_row(&r, x->f[p], b->e[0] ? b->e[0][p] : 0, y->f + q, b->e[1] ? b->e[1] + q : NULL,
                       tw_bounding_exact(b), columns);
        }
        for (int64_t j = 0; j < columns; j++)
            b->out[i * columns + j] = r.off[j] + unit * r.running[j] + steps;
    }
    tw_free(memory);
    return TW_OK;
}

/* ---- scans ---- */

static void bound_scan(const bounding *b)
{
    const wide *x = b->s->x[0];
    axis_form form = tw_reference_axis(x, b->s->op->attr[0].i);
    bool reverse = b->s->op->attr[1].i != 0, multiplies = b->s->op->code == TW_G_CUMPROD;
    double unit = half_unit(x->dtype) * (x->dtype == TW_F64 ? 2 : 1);
    for (int64_t line = 0; form.r && line < x->count / form.r; line++) {
        int64_t first = line / form.b * form.r * form.b + line % form.b;
        double partial = 0, off = 0;
        product so_far = {1, 0};
        for (int64_t i = 0; i < form.r; i++) {
            int64_t at = first + (reverse ? form.r - 1 - i : i) * form.b;
            double e = b->e[0] ? b->e[0][at] : 0;
            partial += x->f[at];
            off += e + (i ? unit * (fabs(partial) + off + e) : 0);
            so_far = i ? times(so_far, (product){fabs(x->f[at]), e}, x->dtype) : (product){fabs(x->f[at]), e};
            b->out[at] = multiplies ? so_far.off * (x->dtype == TW_F64 ? 2 : 1) : off;
        }
    }
}

/* ---- scatters: every addition rounds to the result's dtype ---- */

static tw_status bound_scatter(const bounding *b)
{
    const step *s = b->s;
    wide magnitude[3] = {*s->x[0], *s->x[1], *s->x[2]}, count[3] = {*s->x[0], *s->x[1], *s->x[2]}, sum = {0},
         adds = {0};
    const wide *by_magnitude[3] = {&magnitude[0], s->x[1], &magnitude[2]},
               *by_count[3] = {&count[0], s->x[1], &count[2]};
    tw_status status = tw_bound_move(b);
    magnitude[0].f = magnitude[2].f = count[0].f = count[2].f = NULL;
    for (int i = 0; i < 3 && status == TW_OK; i += 2) {
        magnitude[i].dtype = count[i].dtype = TW_F64;
        status = tw_wide_create(&magnitude[i]);
        if (status == TW_OK)
            status = tw_wide_create(&count[i]);
        for (int64_t k = 0; k < s->x[i]->count && status == TW_OK; k++) {
            magnitude[i].f[k] = fabs(s->x[i]->f[k]) + (b->e[i] ? b->e[i][k] : 0);
            count[i].f[k] = i == 2;
        }
    }
    sum = adds = *s->y;
    sum.dtype = adds.dtype = TW_F64;
    sum.f = adds.f = NULL;
    if (status == TW_OK)
        status = tw_wide_create(&sum);
    if (status == TW_OK)
        status = tw_wide_create(&adds);
    step sums = {s->g, s->op, s->symbols, by_magnitude, &sum}, counts = {s->g, s->op, s->symbols, by_count, &adds};
    if (status == TW_OK)
        status = tw_reference_index(&sums);
    if (status == TW_OK)
        status = tw_reference_index(&counts);
    double unit = tw_ulp(1, s->y->dtype); /* a half each for the kernel; the reference's own rounding and order */
    for (int64_t k = 0; k < s->y->count && status == TW_OK; k++)
        b->out[k] += adds.f[k] > 0 ? unit * adds.f[k] * sum.f[k] : 0;
    for (int i = 0; i < 3; i += 2) {
        tw_wide_free(&magnitude[i]);
        tw_wide_free(&count[i]);
    }
    tw_wide_free(&sum);
    tw_wide_free(&adds);
    return status;
}

tw_status tw_bound_accumulation(const bounding *b)
{
    tw_status status = TW_OK;
    if (!b->s->y->f) /* integers are exact; so must be what they are made from */
        return tw_bounding_exact(b) ? TW_OK : tw_bound_position(b);
    if (b->s->op->info->class == TW_CLASS_CONTRACTION)
        status = bound_dot(b);
    else if (b->s->op->info->class == TW_CLASS_SCATTER)
        status = bound_scatter(b);
    else if (b->s->op->info->class == TW_CLASS_SCAN)
        bound_scan(b);
    else
        bound_reduction(b);
    if (status == TW_OK)
        finish(b);
    return status;
}

/* ---- positions ---- */

/* Another element that may be as large: the position may be any. An integer made from what may be off: the same. */
tw_status tw_bound_position(const bounding *b)
{
    const step *s = b->s;
    const wide *x = s->x[0];
    bool largest = s->op->code == TW_G_ARGMAX, position = largest || s->op->code == TW_G_ARGMIN;
    if (tw_bounding_exact(b))
        return TW_OK;
    axis_form form = position ? tw_reference_axis(x, s->op->attr[0].i) : (axis_form){0};
    for (int64_t o = 0; o < s->y->count; o++) {
        int64_t first = position ? o / form.b * form.r * form.b + o % form.b : 0, best = position ? s->y->i[o] : 0;
        b->out[o] = position ? 0 : INFINITY;
        for (int64_t r = 0; r < form.r; r++) {
            int64_t at = first + r * form.b, top = first + best * form.b;
            double gap = x->f ? x->f[top] - x->f[at] : (double)x->i[top] - (double)x->i[at];
            double off = b->e[0][at] + b->e[0][top];
            if (r != best && off > 0 && !((largest ? gap : -gap) > off))
                b->out[o] = INFINITY;
        }
    }
    return TW_OK;
}
