/* Element-wise operations on operands that may be off: evaluated again with each of them moved to either end of what it
 * may be. That is right for functions that are monotone in each operand over that range, as nearly all are nearly
 * everywhere; equality, periods, poles and jumps are looked at by themselves. Rounding is monotone, so a result that is
 * correctly rounded lies between the rounded ends. */
#include <math.h>

#include "ops/reference_internal.h"

enum { MOST_MOVED = 3 };

/* Operand i moved: down, or up by what it may be off. A truth value that may be off is the other one. */
static tw_status move(const wide *x, const double *e, bool up, wide *moved)
{
    *moved = *x;
    TW_TRY(tw_wide_create(moved));
    for (int64_t k = 0; k < x->count; k++) {
        if (x->f)
            moved->f[k] = e[k] > 0 ? x->f[k] + (up ? e[k] : -e[k]) : x->f[k];
        else if (x->dtype == TW_BOOL)
            moved->i[k] = e[k] > 0 ? up : x->i[k];
        else if (isfinite(e[k]))
            moved->i[k] = x->i[k] + (up ? (int64_t)ceil(e[k]) : -(int64_t)ceil(e[k]));
        else
            moved->i[k] = x->i[k];
    }
    return TW_OK;
}

static double apart(const wide *a, const wide *b, int64_t k)
{
    if (!a->f)
        return fabs((double)a->i[k] - (double)b->i[k]);
    if (a->f[k] == b->f[k] || (isnan(a->f[k]) && isnan(b->f[k])))
        return 0;
    double d = fabs(a->f[k] - b->f[k]);
    return isfinite(d) ? d : INFINITY;
}

/* The result at one corner of what the operands may be. */
static tw_status look_at_corner(const bounding *b, const int *moving, int count, unsigned corner)
{
    const tw_op *op = b->s->op;
    const wide *x[MOST_MOVED] = {NULL};
    wide moved[MOST_MOVED] = {{0}}, y = {0};
    tw_status status = TW_OK;
    for (uint32_t i = 0; i < op->operands; i++)
        x[i] = b->s->x[i];
    for (int i = 0; i < count && status == TW_OK; i++) {
        status = move(b->s->x[moving[i]], b->e[moving[i]], corner >> i & 1, &moved[i]);
        x[moving[i]] = &moved[i];
    }
    if (status == TW_OK)
        status = tw_reference_evaluate_op(b->s->g, op, TW_REFERENCE_ROUNDED, b->s->symbols, x, &y);
    for (int64_t k = 0; k < b->s->y->count && status == TW_OK; k++)
        b->out[k] = fmax(b->out[k], apart(&y, b->s->y, k));
    for (int i = 0; i < count; i++)
        tw_wide_free(&moved[i]);
    tw_wide_free(&y);
    return status;
}

static double operand_error(const bounding *b, uint32_t i, int64_t k)
{
    return b->e[i] ? b->e[i][b->s->x[i]->rank == 0 ? 0 : k] : 0;
}

/* a == b may come out either way where they may meet. */
static void bound_equality(const bounding *b)
{
    const wide *x = b->s->x[0], *y = b->s->x[1];
    for (int64_t k = 0; k < b->s->y->count; k++) {
        int64_t p = x->rank ? k : 0, q = y->rank ? k : 0;
        double d = x->f ? fabs(x->f[p] - y->f[q]) : fabs((double)x->i[p] - (double)y->i[q]);
        double off = operand_error(b, 0, k) + operand_error(b, 1, k);
        if (off > 0 && !(d > off))
            b->out[k] = 1;
    }
}

/* ---- between the corners ---- */

static bool crosses_zero(double x, double off)
{
    return off > 0 && !(fabs(x) > off);
}

/* What a result may be off where the corners don't tell: poles, jumps, more than one period; 0: they do. */
static double between(int code, double x, double x_off, double y, double y_off)
{
    static const double pi = 3.14159265358979323846;
    switch (code) {
    case TW_G_SIN: /* never steeper than 1 */
    case TW_G_COS:
        return fmin(x_off, 2);
    case TW_G_TAN:
        return floor((x - x_off) / pi + 0.5) == floor((x + x_off) / pi + 0.5) ? 0 : INFINITY;
    case TW_G_DIV:
        return crosses_zero(y, y_off) ? INFINITY : 0;
    case TW_G_FMOD:
        return x_off + y_off * fabs(x / y) < fabs(y) / 2 ? 0 : INFINITY;
    case TW_G_POW:
        return crosses_zero(x, x_off) ? INFINITY : 0;
    case TW_G_ATAN2: /* around the origin, and across the cut along the negative axis */
        return (x == 0 || crosses_zero(x, x_off)) && !(y - y_off > 0) ? 2 * pi : 0;
    default:
        return 0;
    }
}

static double operand_at(const wide *x, int64_t k)
{
    return x->f[x->rank ? k : 0];
}

/* Integers other than truth values that may be off: only sums are monotone enough. */
static bool any_bits(const step *s)
{
    bool monotone = s->op->code == TW_G_ADD || s->op->code == TW_G_SUB || s->op->code == TW_G_NEG ||
                    s->op->code == TW_G_CAST || s->op->code == TW_G_WHERE || s->op->code == TW_G_MAXIMUM ||
                    s->op->code == TW_G_MINIMUM || (s->y->dtype == TW_BOOL && s->op->operands == 2);
    return !s->x[0]->f && s->x[0]->dtype != TW_BOOL && !monotone;
}

static void bound_between(const bounding *b)
{
    const step *s = b->s;
    bool two = s->op->operands > 1, floating = s->x[0]->f && (!two || s->x[1]->f);
    for (int64_t k = 0; k < s->y->count; k++) {
        double x_off = operand_error(b, 0, k), y_off = two ? operand_error(b, 1, k) : 0;
        if (!(x_off + y_off > 0))
            continue;
        if (any_bits(s))
            b->out[k] = INFINITY;
        else if (floating)
            b->out[k] = fmax(b->out[k], between(s->op->code, operand_at(s->x[0], k), x_off,
                                                two ? operand_at(s->x[1], k) : 0, y_off));
    }
}

/* What may be anything makes anything, unless it isn't chosen. */
static void spread_unknown(const bounding *b)
{
    const step *s = b->s;
    bool chooses = s->op->code == TW_G_WHERE;
    for (int64_t k = 0; k < s->y->count; k++) {
        for (uint32_t i = 0; i < s->op->operands; i++) {
            bool chosen = !chooses || i == 0 || operand_error(b, 0, k) > 0 ||
                          (i == 1) == (s->x[0]->i[s->x[0]->rank ? k : 0] != 0);
            if (chosen && isinf(operand_error(b, i, k)))
                b->out[k] = INFINITY;
        }
    }
}

/* What the operation's row promises; f64 is promised against the true value, and the C library is a unit off too. */
static void add_promise(const bounding *b)
{
    const wide *y = b->s->y;
    double promised = tw_reference_ulp(b->s->op->code, y->dtype), units = promised + (y->dtype == TW_F64);
    if (!y->f || promised <= 0.5 || b->s->op->info->class != TW_CLASS_POINTWISE)
        return;
    for (int64_t k = 0; k < y->count; k++)
        if (!isnan(y->f[k]))
            b->out[k] += units * tw_ulp(isinf(y->f[k]) ? tw_largest(y->dtype) : y->f[k], y->dtype);
}

tw_status tw_bound_pointwise(const bounding *b)
{
    const tw_op *op = b->s->op;
    int moving[MOST_MOVED], count = 0;
    if (op->operands > MOST_MOVED)
        return tw_error(TW_ERR_UNSUPPORTED, "bounds: %s has %u operands", op->info->name, op->operands);
    for (uint32_t i = 0; i < op->operands; i++)
        if (b->e[i])
            moving[count++] = (int)i;
    for (unsigned corner = 0; count && corner < 1u << count; corner++)
        TW_TRY(look_at_corner(b, moving, count, corner));
    if (count && (op->code == TW_G_EQ || op->code == TW_G_NE))
        bound_equality(b);
    if (count && op->info->class == TW_CLASS_POINTWISE) {
        bound_between(b);
        spread_unknown(b);
    }
    add_promise(b);
    return TW_OK;
}
