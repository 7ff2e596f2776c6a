/* Elementary functions as tile operations.
 *
 * Each is range reduction, a polynomial by Horner's rule in fused multiply-adds, and reconstruction; special values
 * come out of the arithmetic where possible, else of a select. Polynomials of f32 are the published minimax ones
 * (Cephes for exp, log, tanh, sin, cos, asin, atan; Juffa's for erf); those of f64 are longer Taylor or fdlibm ones.
 * tests/tile measures every one against the C library. Clamps compare and select instead of min and max where NaN must
 * pass. */
#include <math.h>

#include "tile/tile.h"

typedef struct ctx {
    tw_graph *g;
    bool wide; /* f64 */
} ctx;

static tw_value *num(ctx c, double value)
{
    return tw_t_constant(c.g, value, 0, c.wide ? TW_F64 : TW_F32);
}

static tw_value *add(ctx c, tw_value *a, tw_value *b)
{
    return tw_t_add(c.g, a, b);
}

static tw_value *sub(ctx c, tw_value *a, tw_value *b)
{
    return tw_t_sub(c.g, a, b);
}

static tw_value *mul(ctx c, tw_value *a, tw_value *b)
{
    return tw_t_mul(c.g, a, b);
}

static tw_value *fma_(ctx c, tw_value *x, tw_value *y, tw_value *z)
{
    return tw_t_fma(c.g, x, y, z);
}

static tw_value *pick(ctx c, tw_value *condition, tw_value *a, tw_value *b)
{
    return tw_t_select(c.g, condition, a, b);
}

static tw_value *below(ctx c, tw_value *a, double b)
{
    return tw_t_compare(c.g, a, num(c, b), TW_T_COMPARE_LT);
}

static tw_value *above(ctx c, tw_value *a, double b)
{
    return tw_t_compare(c.g, a, num(c, b), TW_T_COMPARE_GT);
}

static tw_value *equals(ctx c, tw_value *a, double b)
{
    return tw_t_compare(c.g, a, num(c, b), TW_T_COMPARE_EQ);
}

/* Coefficients from the highest power down. */
static tw_value *polynomial(ctx c, tw_value *x, int count, const double *coefficient)
{
    tw_value *y = num(c, coefficient[0]);
    for (int i = 1; i < count; i++)
        y = fma_(c, y, x, num(c, coefficient[i]));
    return y;
}
#define POLY(c, x, ...)                                                                                                \
    polynomial((c), (x), (int)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)), (const double[]){__VA_ARGS__})

static tw_value *copy_sign(ctx c, tw_value *magnitude, tw_value *sign)
{
    tw_dtype bits = c.wide ? TW_I64 : TW_I32;
    int64_t top = c.wide ? INT64_MIN : INT32_MIN;
    tw_value *mask = tw_t_constant(c.g, 0, top, bits), *rest = tw_t_constant(c.g, 0, ~top, bits);
    tw_value *m = tw_t_and(c.g, tw_t_bitcast(c.g, magnitude, bits, false), rest);
    tw_value *s = tw_t_and(c.g, tw_t_bitcast(c.g, sign, bits, false), mask);
    return tw_t_bitcast(c.g, tw_t_or(c.g, m, s), c.wide ? TW_F64 : TW_F32, false);
}

/* Runs a function of f32 or f64 on any floating tile. */
static tw_value *widened(tw_graph *g, tw_value *x, tw_value *(*function)(ctx, tw_value *))
{
    if (!x)
        return NULL;
    tw_dtype dtype = (tw_dtype)x->type.dtype;
    bool half = dtype == TW_F16 || dtype == TW_BF16;
    tw_value *y = function((ctx){g, dtype == TW_F64}, half ? tw_t_cast(g, x, TW_F32) : x);
    return half ? tw_t_cast(g, y, dtype) : y;
}

/* ---- exponentials ---- */

/* e^r - 1 for |r| <= ln(2)/2, without the leading r: r^2 * p(r). */
static tw_value *exp_tail(ctx c, tw_value *r)
{
    tw_value *p = c.wide ? POLY(c, r, 1.0 / 479001600 / 13, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800,
                                1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5)
                         : POLY(c, r, 1.9875691500E-4, 1.3981999507E-3, 8.3334519073E-3, 4.1665795894E-2,
                                1.6666665459E-1, 5.0000001201E-1);
    return mul(c, mul(c, r, r), p);
}

/* x = k ln 2 + r */
static tw_value *reduce_exp(ctx c, tw_value *x, tw_value **k)
{
    *k = tw_t_round(c.g, mul(c, x, num(c, 1.44269504088896340736)), TW_T_ROUND_EVEN);
    tw_value *r = fma_(c, *k, num(c, c.wide ? -0x1.62e42fefa3800p-1 : -0x1.62e400p-1), x);
    return fma_(c, *k, num(c, c.wide ? -0x1.ef35793c76730p-45 : -0x1.7f7d1cp-20), r);
}

static tw_value *exp_(ctx c, tw_value *x)
{
    tw_value *k;
    double most = c.wide ? 710 : 89, least = c.wide ? -746 : -105;
    x = pick(c, above(c, x, most), num(c, most), x);
    x = pick(c, below(c, x, least), num(c, least), x);
    tw_value *r = reduce_exp(c, x, &k);
    return tw_t_ldexp(c.g, add(c, add(c, exp_tail(c, r), r), num(c, 1)), k);
}

tw_value *tw_tile_exp(tw_graph *g, tw_value *x)
{
    return widened(g, x, exp_);
}

/* 2^x = 2^k e^(f ln 2) */
static tw_value *exp2_(ctx c, tw_value *x)
{
    double most = c.wide ? 1025 : 129, least = c.wide ? -1080 : -152;
    x = pick(c, above(c, x, most), num(c, most), x);
    x = pick(c, below(c, x, least), num(c, least), x);
    tw_value *k = tw_t_round(c.g, x, TW_T_ROUND_EVEN), *f = sub(c, x, k);
    tw_value *r = mul(c, f, num(c, 0.69314718055994530942));
    return tw_t_ldexp(c.g, add(c, add(c, exp_tail(c, r), r), num(c, 1)), k);
}

tw_value *tw_tile_exp2(tw_graph *g, tw_value *x)
{
    return widened(g, x, exp2_);
}

/* 2^k (r + tail) + (2^k - 1): the large part is exact. */
static tw_value *expm1_(ctx c, tw_value *x)
{
    tw_value *k, *given = x;
    double most = c.wide ? 710 : 89, least = c.wide ? -40 : -20;
    x = pick(c, above(c, x, most), num(c, most), x);
    x = pick(c, below(c, x, least), num(c, least), x);
    tw_value *r = reduce_exp(c, x, &k), *small = add(c, exp_tail(c, r), r);
    tw_value *half = sub(c, k, num(c, 1)); /* 2^128 is out of f32's range, 2 * 2^127 isn't */
    tw_value *p = tw_t_ldexp(c.g, num(c, 1), half);
    tw_value *y = mul(c, fma_(c, small, p, sub(c, p, num(c, 0.5))), num(c, 2));
    return pick(c, equals(c, given, 0), given, y); /* keeps -0 */
}

tw_value *tw_tile_expm1(tw_graph *g, tw_value *x)
{
    return widened(g, x, expm1_);
}

/* ---- logarithms ---- */

/* x = 2^k m with sqrt(1/2) <= m < sqrt(2); returns m - 1. Subnormal numbers are scaled first. */
static tw_value *reduce_log(ctx c, tw_value *x, tw_value **k)
{
    tw_dtype bits = c.wide ? TW_I64 : TW_I32, floating = c.wide ? TW_F64 : TW_F32;
    int shift = c.wide ? 52 : 23;
    double smallest = c.wide ? 0x1p-1022 : 0x1p-126, scale = c.wide ? 54 : 25;
    int64_t root = c.wide ? 0x3fe6a09e667f3bcd : 0x3f3504f3;
    tw_value *tiny = below(c, x, smallest);
    x = pick(c, tiny, mul(c, x, num(c, exp2(scale))), x);
    tw_value *i = tw_t_sub(c.g, tw_t_bitcast(c.g, x, bits, false), tw_t_constant(c.g, 0, root, bits));
    tw_value *e = tw_t_shr(c.g, i, tw_t_constant(c.g, 0, shift, bits));
    tw_value *fraction = tw_t_and(c.g, i, tw_t_constant(c.g, 0, ((int64_t)1 << shift) - 1, bits));
    tw_value *m = tw_t_bitcast(c.g, tw_t_add(c.g, fraction, tw_t_constant(c.g, 0, root, bits)), floating, false);
    *k = sub(c, tw_t_cast(c.g, e, floating), pick(c, tiny, num(c, scale), num(c, 0)));
    return sub(c, m, num(c, 1));
}

/* log(1 + f) - f, for sqrt(1/2) - 1 <= f < sqrt(2) - 1. */
static tw_value *log_tail(ctx c, tw_value *f)
{
    tw_value *z = mul(c, f, f);
    if (!c.wide) {
        tw_value *p = POLY(c, f, 7.0376836292E-2, -1.1514610310E-1, 1.1676998740E-1, -1.2420140846E-1, 1.4249322787E-1,
                           -1.6668057665E-1, 2.0000714765E-1, -2.4999993993E-1, 3.3333331174E-1);
        return fma_(c, num(c, -0.5), z, mul(c, mul(c, f, z), p));
    }
    /* s = f/(2+f); log(1+f) = f - (hfsq - s (hfsq + R)), as in fdlibm */
    tw_value *s = tw_t_div(c.g, f, add(c, f, num(c, 2))), *w = mul(c, s, s);
    tw_value *r = mul(c, w,
                      POLY(c, w, 1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01,
                           2.222219843214978396e-01, 2.857142874366239149e-01, 3.999999999940941908e-01,
                           6.666666666666735130e-01));
    tw_value *h = mul(c, z, num(c, 0.5));
    return sub(c, mul(c, s, add(c, h, r)), h);
}

static tw_value *log_special(ctx c, tw_value *x, tw_value *y)
{
    y = pick(c, equals(c, x, INFINITY), x, y);
    y = pick(c, equals(c, x, 0), num(c, -INFINITY), y);
    y = pick(c, below(c, x, 0), num(c, NAN), y);
    return pick(c, tw_t_compare(c.g, x, x, TW_T_COMPARE_NE), x, y);
}

/* k ln 2 in two parts around f + tail, small parts first. */
static tw_value *log_sum(ctx c, tw_value *k, tw_value *f, tw_value *tail)
{
    tw_value *y = fma_(c, k, num(c, c.wide ? 1.90821492927058770002e-10 : -2.12194440e-4), tail);
    return fma_(c, k, num(c, c.wide ? 6.93147180369123816490e-01 : 0.693359375), add(c, f, y));
}

static tw_value *log_(ctx c, tw_value *x)
{
    tw_value *k, *f = reduce_log(c, x, &k);
    return log_special(c, x, log_sum(c, k, f, log_tail(c, f)));
}

tw_value *tw_tile_log(tw_graph *g, tw_value *x)
{
    return widened(g, x, log_);
}

static tw_value *log2_(ctx c, tw_value *x)
{
    tw_value *k, *f = reduce_log(c, x, &k), *tail = log_tail(c, f);
    /* log2(e) = 1 + 0.4427: the product with f keeps f itself exact */
    tw_value *small = fma_(c, tail, num(c, 0.44269504088896340736), mul(c, f, num(c, 0.44269504088896340736)));
    return log_special(c, x, add(c, add(c, add(c, small, tail), f), k));
}

tw_value *tw_tile_log2(tw_graph *g, tw_value *x)
{
    return widened(g, x, log2_);
}

/* log(u) + correction for what rounding u = 1 + x lost: (x - (u - 1)) / u. */
static tw_value *log1p_(ctx c, tw_value *x)
{
    tw_value *u = add(c, x, num(c, 1));
    tw_value *lost = sub(c, x, sub(c, u, num(c, 1)));
    tw_value *k, *f = reduce_log(c, u, &k);
    tw_value *tail = log_tail(c, f);
    tail = add(c, tail, tw_t_div(c.g, lost, u));
    tw_value *y = log_special(c, u, log_sum(c, k, f, tail));
    tw_value *tiny = below(c, tw_t_abs(c.g, x), c.wide ? 0x1p-54 : 0x1p-25);
    return pick(c, tiny, x, y);
}

tw_value *tw_tile_log1p(tw_graph *g, tw_value *x)
{
    return widened(g, x, log1p_);
}

/* ---- trigonometric ---- reduction by pi/2 in f64, also for f32 */

static tw_value *nearest(ctx d, tw_value *x)
{
    return tw_t_round(d.g, x, TW_T_ROUND_EVEN);
}

/* Of an f32 however large, exactly (after Payne and Hanek, 1983): 2/pi in pieces of 29 bits, whose products with 24
 * bits are exact. Each product leaves its fraction and its integer modulo 4; the fractions are added from the largest
 * down, without what is integral in their sum. Returns what is left; *quarters: how many quarter turns, modulo 4 or
 * nearly. */
static tw_value *reduce_huge(ctx d, tw_value *x, tw_value **quarters)
{
    static const double piece[] = {0x1.45f306dp-1,   0x1.9391054p-30, 0x1.4fe13abp-59,  0x1.d1f534dp-88,
                                   0x1.b81b6c5p-117, 0x1.5993c4p-148, 0x1.c820ff2p-175, 0x1.163abdep-204};
    enum { PIECES = sizeof piece / sizeof *piece };
    tw_value *fraction[PIECES], *sum = NULL;
    for (int i = 0; i < PIECES; i++) {
        tw_value *product = mul(d, x, num(d, piece[i])), *whole = nearest(d, product);
        fraction[i] = sub(d, product, whole);
        tw_value *turn = fma_(d, nearest(d, mul(d, whole, num(d, 0.25))), num(d, -4), whole);
        *quarters = i ? add(d, *quarters, turn) : turn;
        sum = i ? add(d, sum, fraction[i]) : fraction[i];
    }
    tw_value *whole = nearest(d, sum), *rest = sub(d, fraction[0], whole);
    for (int i = 1; i < PIECES; i++)
        rest = add(d, rest, fraction[i]);
    *quarters = add(d, *quarters, whole);
    return mul(d, rest, num(d, 0x1.921fb54442d18p+0));
}

/* f64 is right up to 2^50: its long way would be ten times as long. */
static tw_value *reduce_trig(ctx c, tw_value *x, tw_value **quadrant)
{
    ctx d = {c.g, true};
    tw_value *w = c.wide ? x : tw_t_cast(c.g, x, TW_F64);
    tw_value *k = nearest(d, mul(d, w, num(d, 0.63661977236758134308)));
    tw_value *r = fma_(d, k, num(d, -0x1.921fb54442d18p+0), w);
    r = fma_(d, k, num(d, -0x1.1a62633145c07p-54), r);
    if (!c.wide) {
        tw_value *huge = above(d, tw_t_abs(c.g, w), 0x1p40), *turns;
        tw_value *rest = reduce_huge(d, w, &turns);
        r = pick(d, huge, rest, r);
        k = pick(d, huge, turns, k);
    }
    *quadrant = tw_t_cast(c.g, k, TW_I64);
    return c.wide ? r : tw_t_cast(c.g, r, TW_F32);
}

static tw_value *sin_kernel(ctx c, tw_value *r)
{
    tw_value *z = mul(c, r, r);
    tw_value *p = c.wide
                      ? POLY(c, z, 1.58969099521155010221e-10, -2.50507602534068634195e-08, 2.75573137070700676789e-06,
                             -1.98412698298579493134e-04, 8.33333333332248946124e-03, -1.66666666666666324348e-01)
                      : POLY(c, z, -1.9515295891E-4, 8.3321608736E-3, -1.6666654611E-1);
    return fma_(c, mul(c, r, z), p, r);
}

static tw_value *cos_kernel(ctx c, tw_value *r)
{
    tw_value *z = mul(c, r, r);
    tw_value *p = c.wide
                      ? POLY(c, z, -1.13596475577881948265e-11, 2.08757232129817482790e-09, -2.75573143513906633035e-07,
                             2.48015872894767294178e-05, -1.38888888888741095749e-03, 4.16666666666666019037e-02)
                      : POLY(c, z, 2.443315711809948E-005, -1.388731625493765E-003, 4.166664568298827E-002);
    return fma_(c, mul(c, z, z), p, fma_(c, z, num(c, -0.5), num(c, 1)));
}

static tw_value *has_bit(ctx c, tw_value *quadrant, int64_t bit)
{
    tw_value *and = tw_t_and(c.g, quadrant, tw_t_constant(c.g, 0, bit, TW_I64));
    return tw_t_compare(c.g, and, tw_t_constant(c.g, 0, 0, TW_I64), TW_T_COMPARE_NE);
}

static tw_value *turned(ctx c, tw_value *x, int64_t quarter)
{
    tw_value *q, *r = reduce_trig(c, x, &q);
    q = tw_t_add(c.g, q, tw_t_constant(c.g, 0, quarter, TW_I64));
    tw_value *y = pick(c, has_bit(c, q, 1), cos_kernel(c, r), sin_kernel(c, r));
    y = pick(c, has_bit(c, q, 2), tw_t_neg(c.g, y), y);
    tw_value *huge = tw_t_compare(c.g, tw_t_abs(c.g, x), num(c, INFINITY), TW_T_COMPARE_LT);
    return pick(c, huge, y, num(c, NAN)); /* infinity and NaN */
}

static tw_value *sin_(ctx c, tw_value *x)
{
    return turned(c, x, 0);
}

static tw_value *cos_(ctx c, tw_value *x)
{
    return turned(c, x, 1);
}

tw_value *tw_tile_sin(tw_graph *g, tw_value *x)
{
    return widened(g, x, sin_);
}

tw_value *tw_tile_cos(tw_graph *g, tw_value *x)
{
    return widened(g, x, cos_);
}

static tw_value *tan_(ctx c, tw_value *x)
{
    return tw_t_div(c.g, turned(c, x, 0), turned(c, x, 1));
}

tw_value *tw_tile_tan(tw_graph *g, tw_value *x)
{
    return widened(g, x, tan_);
}

/* ---- inverse trigonometric ---- */

static tw_value *atan_(ctx c, tw_value *x)
{
    tw_value *a = tw_t_abs(c.g, x), *big = above(c, a, 2.414213562373095), *middle = above(c, a, 0.4142135623730950);
    tw_value *shifted = tw_t_div(c.g, sub(c, a, num(c, 1)), add(c, a, num(c, 1)));
    tw_value *inverse = tw_t_div(c.g, num(c, -1), a);
    tw_value *t = pick(c, big, inverse, pick(c, middle, shifted, a));
    tw_value *offset =
        pick(c, big, num(c, 1.57079632679489661923), pick(c, middle, num(c, 0.78539816339744830962), num(c, 0)));
    tw_value *z = mul(c, t, t), *p;
    if (c.wide) {
        tw_value *top = POLY(c, z, -8.750608600031904122785E-1, -1.615753718733365076637E1, -7.500855792314704667340E1,
                             -1.228866684490136173410E2, -6.485021904942025371773E1);
        tw_value *bottom = POLY(c, z, 1, 2.485846490142306297962E1, 1.650270098316988542046E2,
                                4.328810604912902668951E2, 4.853903996359136964868E2, 1.945506571482613964425E2);
        p = tw_t_div(c.g, top, bottom);
    } else {
        p = POLY(c, z, 8.05374449538e-2, -1.38776856032E-1, 1.99777106478E-1, -3.33329491539E-1);
    }
    return copy_sign(c, add(c, fma_(c, mul(c, z, t), p, t), offset), x);
}

tw_value *tw_tile_atan(tw_graph *g, tw_value *x)
{
    return widened(g, x, atan_);
}

/* asin x = atan(x / sqrt((1 - x)(1 + x))) */
static tw_value *asin_(ctx c, tw_value *x)
{
    tw_value *root = tw_t_sqrt(c.g, mul(c, sub(c, num(c, 1), x), add(c, num(c, 1), x)));
    return atan_(c, tw_t_div(c.g, x, root));
}

tw_value *tw_tile_asin(tw_graph *g, tw_value *x)
{
    return widened(g, x, asin_);
}

/* acos x = 2 atan(sqrt((1 - x) / (1 + x))) */
static tw_value *acos_(ctx c, tw_value *x)
{
    tw_value *ratio = tw_t_div(c.g, sub(c, num(c, 1), x), add(c, num(c, 1), x));
    return mul(c, atan_(c, tw_t_sqrt(c.g, ratio)), num(c, 2));
}

tw_value *tw_tile_acos(tw_graph *g, tw_value *x)
{
    return widened(g, x, acos_);
}

tw_value *tw_tile_atan2(tw_graph *g, tw_value *y, tw_value *x)
{
    if (!x || !y)
        return NULL;
    tw_dtype dtype = (tw_dtype)x->type.dtype;
    bool half = dtype == TW_F16 || dtype == TW_BF16;
    ctx c = {g, dtype == TW_F64};
    if (half) {
        x = tw_t_cast(g, x, TW_F32);
        y = tw_t_cast(g, y, TW_F32);
    }
    tw_value *ax = tw_t_abs(g, x), *ay = tw_t_abs(g, y);
    tw_value *larger = tw_t_max(g, ax, ay), *smaller = tw_t_min(g, ax, ay);
    tw_value *ratio = tw_t_div(g, smaller, larger);
    ratio =
        pick(c, tw_t_compare(g, smaller, larger, TW_T_COMPARE_EQ), num(c, 1), ratio); /* inf/inf; 0/0 is mended below */
    ratio = pick(c, equals(c, larger, 0), num(c, 0), ratio);
    tw_value *angle = atan_(c, ratio);
    angle = pick(c, tw_t_compare(g, ay, ax, TW_T_COMPARE_GT), sub(c, num(c, 1.57079632679489661923), angle), angle);
    tw_value *left = below(c, copy_sign(c, num(c, 1), x), 0); /* also for -0 */
    angle = pick(c, left, sub(c, num(c, 3.14159265358979323846), angle), angle);
    angle = copy_sign(c, angle, y);
    tw_value *nan = tw_t_or(g, tw_t_compare(g, x, x, TW_T_COMPARE_NE), tw_t_compare(g, y, y, TW_T_COMPARE_NE));
    angle = pick(c, nan, num(c, NAN), angle);
    return half ? tw_t_cast(g, angle, dtype) : angle;
}

/* ---- tanh, erf, others ---- */

static tw_value *tanh_(ctx c, tw_value *x)
{
    tw_value *a = tw_t_abs(c.g, x);
    if (c.wide) { /* t = expm1(2a): tanh = t / (t + 2) */
        tw_value *clipped = pick(c, above(c, a, 22), num(c, 22), a);
        tw_value *t = expm1_(c, mul(c, clipped, num(c, 2)));
        return copy_sign(c, tw_t_div(c.g, t, add(c, t, num(c, 2))), x);
    }
    tw_value *z = mul(c, x, x);
    tw_value *p =
        POLY(c, z, -5.70498872745E-3, 2.06390887954E-2, -5.37397155531E-2, 1.33314422036E-1, -3.33332819422E-1);
    tw_value *small = fma_(c, mul(c, x, z), p, x);
    tw_value *e = exp_(c, mul(c, a, num(c, 2)));
    tw_value *large = copy_sign(c, sub(c, num(c, 1), tw_t_div(c.g, num(c, 2), add(c, e, num(c, 1)))), x);
    return pick(c, above(c, a, 0.625), large, small);
}

tw_value *tw_tile_tanh(tw_graph *g, tw_value *x)
{
    return widened(g, x, tanh_);
}

/* f64: erf = 1 - exp(-x^2) q(t) for large |x|, the Maclaurin series for |x| < 2, where it needs 34 terms. */
static tw_value *erf_wide(ctx c, tw_value *x)
{
    enum { TERMS = 44 };
    double coefficient[TERMS];
    for (int n = 0; n < TERMS; n++)
        coefficient[TERMS - 1 - n] = 1.12837916709551257390 * (n % 2 ? -1 : 1) / (tgamma(n + 1.0) * (2 * n + 1));
    tw_value *a = tw_t_abs(c.g, x), *z = mul(c, x, x);
    tw_value *series = mul(c, x, polynomial(c, z, TERMS, coefficient));
    /* Continued fraction of erfc by Lentz's bottom-up form: a fixed depth reaches full precision from 2 on. */
    tw_value *f = a;
    for (int n = 60; n >= 1; n--)
        f = add(c, a, tw_t_div(c.g, num(c, n * 0.5), f));
    tw_value *tail = tw_t_div(c.g, mul(c, exp_(c, tw_t_neg(c.g, z)), num(c, 0.56418958354775628695)), f);
    tw_value *large = copy_sign(c, sub(c, num(c, 1), tail), x);
    large = pick(c, above(c, a, 6), copy_sign(c, num(c, 1), x), large);
    return pick(c, above(c, a, 2), large, series);
}

static tw_value *erf_(ctx c, tw_value *x)
{
    if (c.wide)
        return erf_wide(c, x);
    tw_value *t = tw_t_abs(c.g, x), *s = mul(c, x, x);
    tw_value *near =
        POLY(c, s, -5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1);
    near = fma_(c, near, x, x);
    tw_value *r = fma_(c, num(c, -1.72853470e-5), t, num(c, 3.83197126e-4));
    tw_value *u = fma_(c, num(c, -3.88396438e-3), t, num(c, 2.42546219e-2));
    r = fma_(c, r, s, u);
    r = fma_(c, r, t, num(c, -1.06777877e-1));
    r = fma_(c, r, t, num(c, -6.34846687e-1));
    r = fma_(c, r, t, num(c, -1.28717512e-1));
    r = fma_(c, r, t, tw_t_neg(c.g, t));
    /* beyond 4 the result is 1; r^... of infinity would be NaN */
    tw_value *far = copy_sign(c, sub(c, num(c, 1), exp_(c, r)), x);
    far = pick(c, above(c, t, 4), copy_sign(c, num(c, 1), x), far);
    return pick(c, above(c, t, 0.927734375), far, near);
}

tw_value *tw_tile_erf(tw_graph *g, tw_value *x)
{
    return widened(g, x, erf_);
}

static tw_value *rsqrt_(ctx c, tw_value *x)
{
    return tw_t_div(c.g, num(c, 1), tw_t_sqrt(c.g, x));
}

tw_value *tw_tile_rsqrt(tw_graph *g, tw_value *x)
{
    return widened(g, x, rsqrt_);
}

tw_value *tw_tile_sign(tw_graph *g, tw_value *x)
{
    if (!x)
        return NULL;
    tw_value *zero = tw_tile_like(g, x, 0), *one = tw_tile_like(g, x, 1);
    tw_value *rest = tw_t_add(g, x, zero); /* NaN, and 0 without a sign */
    tw_value *y = tw_t_select(g, tw_t_compare(g, x, zero, TW_T_COMPARE_GT), one, rest);
    if (!tw_dtype_signed((tw_dtype)x->type.dtype))
        return y;
    return tw_t_select(g, tw_t_compare(g, x, zero, TW_T_COMPARE_LT), tw_tile_like(g, x, -1), y);
}

/* x^y = 2^(y log2 |x|) in f64, so that f32 is right to the last bits; signs and special values as C99's pow. */
tw_value *tw_tile_pow(tw_graph *g, tw_value *x, tw_value *y)
{
    if (!x || !y)
        return NULL;
    tw_dtype dtype = (tw_dtype)x->type.dtype;
    ctx c = {g, true};
    if (dtype != TW_F64) {
        x = tw_t_cast(g, x, TW_F64);
        y = tw_t_cast(g, y, TW_F64);
    }
    tw_value *a = tw_t_abs(g, x), *z = exp2_(c, mul(c, y, log2_(c, a)));
    tw_value *whole = tw_t_compare(g, tw_t_round(g, y, TW_T_ROUND_TRUNC), y, TW_T_COMPARE_EQ);
    tw_value *half = mul(c, y, num(c, 0.5));
    tw_value *even = tw_t_compare(g, tw_t_round(g, half, TW_T_ROUND_TRUNC), half, TW_T_COMPARE_EQ);
    tw_value *negative = below(c, copy_sign(c, num(c, 1), x), 0);
    tw_value *odd = tw_t_and(g, whole, tw_t_xor(g, even, tw_t_constant(g, 0, 1, TW_BOOL)));
    z = pick(c, tw_t_and(g, negative, odd), tw_t_neg(g, z), z);
    z = pick(c,
             tw_t_and(g, tw_t_and(g, below(c, x, 0), tw_t_xor(g, whole, tw_t_constant(g, 0, 1, TW_BOOL))),
                      above(c, x, -INFINITY)),
             num(c, NAN), z);
    z = pick(c, tw_t_and(g, equals(c, x, -1), equals(c, tw_t_abs(g, y), INFINITY)), num(c, 1), z);
    z = pick(c, tw_t_or(g, equals(c, y, 0), equals(c, x, 1)), num(c, 1), z);
    return dtype == TW_F64 ? z : tw_t_cast(g, z, dtype);
}
