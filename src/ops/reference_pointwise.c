/* Element-wise primitives, from the C library's double functions and 64-bit integers. */
#include <math.h>

#include "ops/reference_internal.h"

static double sign_of(double x)
{
    return isnan(x) ? x : (double)((x > 0) - (x < 0));
}

static double reciprocal_root(double x)
{
    return 1 / sqrt(x);
}

/* Those of one floating operand and a floating result, by code. */
static double (*const unary[])(double) = {
    [TW_G_ABS] = fabs,    [TW_G_SIGN] = sign_of,
    [TW_G_EXP] = exp,     [TW_G_EXP2] = exp2,
    [TW_G_EXPM1] = expm1, [TW_G_LOG] = log,
    [TW_G_LOG2] = log2,   [TW_G_LOG1P] = log1p,
    [TW_G_SQRT] = sqrt,   [TW_G_RSQRT] = reciprocal_root,
    [TW_G_SIN] = sin,     [TW_G_COS] = cos,
    [TW_G_TAN] = tan,     [TW_G_ASIN] = asin,
    [TW_G_ACOS] = acos,   [TW_G_ATAN] = atan,
    [TW_G_TANH] = tanh,   [TW_G_ERF] = erf,
    [TW_G_FLOOR] = floor, [TW_G_CEIL] = ceil,
    [TW_G_ROUND] = rint,  [TW_G_TRUNC] = trunc,
};

static double larger(double a, double b)
{
    if (isnan(a) || isnan(b))
        return NAN;
    return a > b || (a == b && !signbit(a)) ? a : b;
}

static double binary(int code, double a, double b)
{
    switch (code) {
    case TW_G_ADD:
        return a + b;
    case TW_G_SUB:
        return a - b;
    case TW_G_MUL:
        return a * b;
    case TW_G_DIV:
        return a / b;
    case TW_G_FMOD:
        return fmod(a, b);
    case TW_G_POW:
        return pow(a, b);
    case TW_G_ATAN2:
        return atan2(a, b);
    case TW_G_MAXIMUM:
        return larger(a, b);
    default:
        return -larger(-a, -b);
    }
}

static int width_of(tw_dtype dtype)
{
    return (int)(8 * tw_dtype_size(dtype));
}

static int64_t shifted(int code, tw_dtype dtype, int64_t a, int64_t by)
{
    bool beyond = by < 0 || by >= width_of(dtype);
    uint64_t bits = dtype == TW_I32 ? (uint32_t)a : (uint64_t)a;
    switch (code) {
    case TW_G_SHIFT_LEFT:
        return beyond ? 0 : (int64_t)(bits << by);
    case TW_G_SHIFT_RIGHT:
        return a >> (beyond ? 63 : by);
    default:
        return beyond ? 0 : (int64_t)(bits >> by);
    }
}

static int64_t binary_integer(int code, tw_dtype dtype, int64_t a, int64_t b)
{
    uint64_t x = (uint64_t)a, y = (uint64_t)b; /* wraps where signed arithmetic would overflow */
    switch (code) {
    case TW_G_ADD:
        return (int64_t)(x + y);
    case TW_G_SUB:
        return (int64_t)(x - y);
    case TW_G_MUL:
        return (int64_t)(x * y);
    case TW_G_IDIV:
        return b == 0 ? 0 : b == -1 ? (int64_t)(0 - x) : a / b;
    case TW_G_FMOD:
        return b == 0 || b == -1 ? 0 : a % b;
    case TW_G_MAXIMUM:
        return TW_MAX(a, b);
    case TW_G_MINIMUM:
        return TW_MIN(a, b);
    case TW_G_BITWISE_AND:
        return a & b;
    case TW_G_BITWISE_OR:
        return a | b;
    case TW_G_BITWISE_XOR:
        return a ^ b;
    default:
        return shifted(code, dtype, a, b);
    }
}

static int64_t unary_integer(int code, tw_dtype dtype, int64_t a)
{
    switch (code) {
    case TW_G_NEG:
        return (int64_t)(0 - (uint64_t)a);
    case TW_G_ABS:
        return a < 0 ? (int64_t)(0 - (uint64_t)a) : a;
    case TW_G_SIGN:
        return (a > 0) - (a < 0);
    case TW_G_BITWISE_NOT:
        return dtype == TW_BOOL ? !a : ~a;
    default: /* floor, ceil, round, trunc */
        return a;
    }
}

#define COMPARE(code, a, b)                                                                                            \
    ((code) == TW_G_EQ   ? (a) == (b)                                                                                  \
     : (code) == TW_G_NE ? (a) != (b)                                                                                  \
     : (code) == TW_G_LT ? (a) < (b)                                                                                   \
     : (code) == TW_G_LE ? (a) <= (b)                                                                                  \
     : (code) == TW_G_GT ? (a) > (b)                                                                                   \
                         : (a) >= (b))

static bool compares(int code)
{
    return code == TW_G_EQ || code == TW_G_NE || code == TW_G_LT || code == TW_G_LE || code == TW_G_GT ||
           code == TW_G_GE;
}

/* NaN stays. */
static double within_i32(double value)
{
    return value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : value;
}

static int64_t truncated(tw_dtype dtype, double value)
{
    int64_t whole;
    tw_dtype_store(TW_I64, &whole, dtype == TW_I32 ? within_i32(value) : value);
    return whole;
}

static void cast_element(const wide *x, int64_t from, wide *y, int64_t to)
{
    if (y->f)
        y->f[to] = x->f ? x->f[from] : y->dtype == TW_F64 ? (double)x->i[from] : tw_reference_from_integer(x->i[from]);
    else if (x->f)
        y->i[to] = y->dtype == TW_BOOL ? x->f[from] != 0 : truncated(y->dtype, x->f[from]);
    else
        y->i[to] = x->i[from]; /* the driver wraps */
}

/* Where element e of the result finds operand n: a scalar serves all. */
static int64_t place(const step *s, int n, int64_t e)
{
    return s->x[n]->rank == 0 ? 0 : e;
}

static void one_operand(const step *s, int64_t e)
{
    const wide *x = s->x[0];
    wide *y = s->y;
    int64_t at = place(s, 0, e);
    int code = s->op->code;
    if (code == TW_G_CAST)
        cast_element(x, at, y, e);
    else if (code == TW_G_ISNAN)
        y->i[e] = x->f && isnan(x->f[at]);
    else if (!x->f)
        y->i[e] = unary_integer(code, x->dtype, x->i[at]);
    else
        y->f[e] = code == TW_G_NEG ? -x->f[at] : unary[code](x->f[at]);
}

static void two_operands(const step *s, int64_t e)
{
    const wide *a = s->x[0], *b = s->x[1];
    int64_t p = place(s, 0, e), q = place(s, 1, e);
    int code = s->op->code;
    if (compares(code))
        s->y->i[e] = a->f ? COMPARE(code, a->f[p], b->f[q]) : COMPARE(code, a->i[p], b->i[q]);
    else if (a->f)
        s->y->f[e] = binary(code, a->f[p], b->f[q]);
    else
        s->y->i[e] = binary_integer(code, a->dtype, a->i[p], b->i[q]);
}

static void choose(const step *s, int64_t e)
{
    int from = s->x[0]->i[place(s, 0, e)] ? 1 : 2;
    int64_t at = place(s, from, e);
    if (s->y->f)
        s->y->f[e] = s->x[from]->f[at];
    else
        s->y->i[e] = s->x[from]->i[at];
}

/* Operands of the result's shape or scalars, and of dtypes that fit: what decomposition promises. */
static tw_status strict(const step *s)
{
    const tw_op *op = s->op;
    int code = op->code;
    bool same_dtype = true, same_shape = true, evaluated_in_class = true;
    for (uint32_t i = 0; i < op->operands; i++) {
        const wide *x = s->x[i];
        same_shape = same_shape && (x->rank == 0 || x->count == s->y->count);
        if (code == TW_G_CAST || code == TW_G_ISNAN || (code == TW_G_WHERE && i == 0))
            continue;
        same_dtype = same_dtype && x->dtype == (compares(code) ? s->x[0] : s->y)->dtype;
        bool table = op->operands == 1 && code != TW_G_NEG && code != TW_G_BITWISE_NOT;
        evaluated_in_class = evaluated_in_class && (!table || !x->f || ((size_t)code < TW_COUNT(unary) && unary[code]));
    }
    if (same_shape && same_dtype && evaluated_in_class)
        return TW_OK;
    return tw_error(TW_ERR_UNSUPPORTED,
                    "reference: %s with operands of several shapes or dtypes; expected a decomposed graph",
                    op->info->name);
}

tw_status tw_reference_pointwise(step *s)
{
    TW_TRY(strict(s));
    void (*element)(const step *, int64_t) = s->op->operands == 1   ? one_operand
                                             : s->op->operands == 2 ? two_operands
                                                                    : choose;
    for (int64_t e = 0; e < s->y->count; e++)
        element(s, e);
    return TW_OK;
}
