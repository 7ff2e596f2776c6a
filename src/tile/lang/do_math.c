/* Builtins that work element by element. */
#include <math.h>

#include "tile/lang/lower.h"

bool tw_lang_do_where(lowering *c, const node *n, val *arg, int which, val *out)
{
    (void)which;
    return tw_lang_where(c, n, arg[0], arg[1], arg[2], out);
}

bool tw_lang_do_arithmetic(lowering *c, const node *n, val *arg, int which, val *out)
{
    static const uint32_t ops[] = {OP1('+'), OP1('-'), OP1('*')};
    return tw_lang_binary(c, n, ops[which], &arg[0], &arg[1], out);
}

static bool nan_wins(const val *option)
{
    return option->kind == V_MEANING && !strcmp(option->meaning->name, "PropagateNan.ALL");
}

bool tw_lang_do_minmax(lowering *c, const node *n, val *arg, int which, val *out)
{
    if (is_number(&arg[0]) && is_number(&arg[1])) {
        val less;
        if (!tw_lang_constant_compare(c, n, CMP_LT, &arg[0], &arg[1], &less))
            return false;
        *out = less.truth == (which == 0) ? arg[0] : arg[1];
        return true;
    }
    return tw_lang_minmax(c, n, arg[0], arg[1], which, nan_wins(&arg[2]), out);
}

/* min(max(x, low), high), with all three in one type. */
bool tw_lang_do_clamp(lowering *c, const node *n, val *arg, int which, val *out)
{
    bool nan = nan_wins(&arg[3]);
    (void)which;
    if (!tw_lang_tensor(c, n, &arg[0], "tl.clamp: x") || !tw_lang_minmax(c, n, arg[0], arg[1], true, nan, out))
        return false;
    return tw_lang_minmax(c, n, *out, arg[2], false, nan, out);
}

/* ---- functions of one tensor ---- */

static double constant_value(math_function f, double x)
{
    switch (f) {
    case MATH_ABS:
        return fabs(x);
    case MATH_EXP:
        return exp(x);
    case MATH_EXP2:
        return exp2(x);
    case MATH_LOG:
        return log(x);
    case MATH_LOG2:
        return log2(x);
    case MATH_SQRT:
        return sqrt(x);
    case MATH_FLOOR:
        return floor(x);
    case MATH_CEIL:
        return ceil(x);
    default:
        return NAN;
    }
}

static tw_value *apply(tw_graph *g, math_function f, tw_value *x)
{
    static tw_tile_function *const functions[] = {
        [MATH_EXP] = tw_tile_exp,   [MATH_EXP2] = tw_tile_exp2,   [MATH_EXPM1] = tw_tile_expm1,
        [MATH_LOG] = tw_tile_log,   [MATH_LOG2] = tw_tile_log2,   [MATH_LOG1P] = tw_tile_log1p,
        [MATH_SIN] = tw_tile_sin,   [MATH_COS] = tw_tile_cos,     [MATH_TAN] = tw_tile_tan,
        [MATH_ASIN] = tw_tile_asin, [MATH_ACOS] = tw_tile_acos,   [MATH_ATAN] = tw_tile_atan,
        [MATH_TANH] = tw_tile_tanh, [MATH_RSQRT] = tw_tile_rsqrt, [MATH_ERF] = tw_tile_erf};
    switch (f) {
    case MATH_ABS:
        return tw_t_abs(g, x);
    case MATH_SQRT:
        return tw_t_sqrt(g, x);
    case MATH_FLOOR:
        return tw_t_round(g, x, TW_T_ROUND_FLOOR);
    case MATH_CEIL:
        return tw_t_round(g, x, TW_T_ROUND_CEIL);
    case MATH_TRUNC:
        return tw_t_round(g, x, TW_T_ROUND_TRUNC);
    case MATH_RINT:
        return tw_t_round(g, x, TW_T_ROUND_EVEN);
    default:
        return functions[f](g, x);
    }
}

bool tw_lang_do_math1(lowering *c, const node *n, val *arg, int which, val *out)
{
    math_function f = (math_function)which;
    val x = arg[0];
    if (is_number(&x) && c->frame->host) {
        if (f == MATH_ABS && x.kind == V_INT)
            return *out = of_int(x.i < 0 ? -x.i : x.i), true;
        *out = of_float(constant_value(f, x.kind == V_FLOAT ? x.f : (double)x.i));
        return true;
    }
    if (is_number(&x) && f == MATH_ABS) {
        *out = x.kind == V_FLOAT ? of_float(fabs(x.f)) : x.kind == V_INT ? of_int(x.i < 0 ? -x.i : x.i) : x;
        return true;
    }
    if (!tw_lang_tensor(c, n, &x, "the operand"))
        return false;
    if (f == MATH_ABS && is_integer(x.s)) {
        *out = x;
        return !tw_sca[x.s.kind].sign || tw_lang_emit(c, n, tw_t_abs(c->g, x.v), x.s, out);
    }
    if (f >= MATH_FLOOR && f <= MATH_RINT && is_integer(x.s))
        return *out = x, true;
    if (is_integer(x.s) && !tw_lang_cast(c, n, &x, number(S_F32))) /* as libdevice's overloads do */
        return false;
    if (!is_floating(x.s))
        return tw_lang_error(c, n, "the operand is %s; expected a floating dtype", tw_lang_type_text(c, &x));
    sca back = x.s;
    if (is_f8(x.s) && !tw_lang_cast(c, n, &x, number(S_F32)))
        return false;
    return tw_lang_emit(c, n, apply(c->g, f, x.v), x.s, out) && tw_lang_cast(c, n, out, back);
}

/* ---- of two ---- */

static bool copy_sign(lowering *c, const node *n, const val *x, const val *y, val *out)
{
    scalar_kind bits = tw_sca[x->s.kind].bits == 64 ? S_I64 : tw_sca[x->s.kind].bits == 32 ? S_I32 : S_I16;
    val top = of_int((wide)1 << (tw_sca[bits].bits - 1)), a = *x, b = *y, mask;
    top.i = -top.i;
    return tw_lang_bitcast(c, n, &a, number(bits)) && tw_lang_bitcast(c, n, &b, number(bits)) &&
           tw_lang_number(c, n, &top, number(bits), &mask) && tw_lang_binary(c, n, OP1('&'), &b, &mask, &b) &&
           tw_lang_unary(c, n, OP1('~'), &mask, &mask) && tw_lang_binary(c, n, OP1('&'), &a, &mask, &a) &&
           tw_lang_binary(c, n, OP1('|'), &a, &b, out) && tw_lang_bitcast(c, n, out, x->s);
}

bool tw_lang_do_math2(lowering *c, const node *n, val *arg, int which, val *out)
{
    val x = arg[0], y = arg[1];
    if (which == MATH_LDEXP && tw_lang_tensor(c, n, &x, "the operand") && tw_lang_tensor(c, n, &y, "the exponent") &&
        !tw_lang_cast(c, n, &y, x.s))
        return false;
    if (which == MATH_POW && y.kind == V_TENSOR && is_integer(y.s) && x.kind == V_TENSOR &&
        !tw_lang_cast(c, n, &y, x.s))
        return false;
    if (!tw_lang_promote(c, n, &x, &y, false))
        return false;
    if (is_integer(x.s) && (!tw_lang_cast(c, n, &x, number(S_F32)) || !tw_lang_cast(c, n, &y, number(S_F32))))
        return false;
    if (!is_floating(x.s) || is_f8(x.s))
        return tw_lang_error(c, n, "operands are %s and %s; expected a floating dtype", tw_lang_type_text(c, &arg[0]),
                             tw_lang_type_text(c, &arg[1]));
    switch (which) {
    case MATH_POW:
        return tw_lang_emit(c, n, tw_tile_pow(c->g, x.v, y.v), x.s, out);
    case MATH_ATAN2:
        return tw_lang_emit(c, n, tw_tile_atan2(c->g, x.v, y.v), x.s, out);
    case MATH_FMOD:
        return tw_lang_emit(c, n, tw_t_rem(c->g, x.v, y.v), x.s, out);
    case MATH_LDEXP:
        return tw_lang_emit(c, n, tw_t_ldexp(c->g, x.v, y.v), x.s, out);
    default:
        return copy_sign(c, n, &x, &y, out);
    }
}

bool tw_lang_do_divide(lowering *c, const node *n, val *arg, int which, val *out)
{
    val x = arg[0], y = arg[1];
    if (!tw_lang_promote(c, n, &x, &y, true))
        return false;
    if (!is_floating(x.s))
        return tw_lang_error(c, n, "operands are %s and %s; expected a floating dtype", tw_lang_type_text(c, &arg[0]),
                             tw_lang_type_text(c, &arg[1]));
    if (!tw_lang_emit(c, n, tw_t_div(c->g, x.v, y.v), x.s, out) || which == 0)
        return which == 0 && out->kind == V_TENSOR;
    /* towards 0: back by one unit where q * y went beyond x; the remainder is exact in one fma */
    val q = *out, bits, one = of_int(1), rest, product, beyond, sign_q, zero = of_float(0);
    scalar_kind as = x.s.kind == S_F64 ? S_I64 : S_I32;
    tw_value *negative = tw_t_neg(c->g, q.v);
    if (!tw_lang_emit(c, n, negative ? tw_t_fma(c->g, negative, y.v, x.v) : NULL, x.s, &rest))
        return false;
    bits = q;
    return tw_lang_bitcast(c, n, &bits, number(as)) && tw_lang_binary(c, n, OP1('-'), &bits, &one, &bits) &&
           tw_lang_bitcast(c, n, &bits, x.s) && tw_lang_binary(c, n, OP1('*'), &rest, &x, &product) &&
           tw_lang_compare(c, n, CMP_LT, &product, &zero, &beyond) &&
           tw_lang_compare(c, n, CMP_NE, &q, &zero, &sign_q) &&
           tw_lang_binary(c, n, OP1('&'), &beyond, &sign_q, &beyond) && tw_lang_where(c, n, beyond, bits, q, out);
}

bool tw_lang_do_fma(lowering *c, const node *n, val *arg, int which, val *out)
{
    val x = arg[0], y = arg[1], z = arg[2];
    (void)which;
    if (!tw_lang_promote(c, n, &x, &y, false) || !tw_lang_promote(c, n, &x, &z, false) ||
        !tw_lang_promote(c, n, &y, &z, false) || !tw_lang_promote(c, n, &x, &y, false))
        return false;
    if (!is_floating(x.s) || is_f8(x.s))
        return tw_lang_error(c, n, "operands are %s, %s and %s; expected a floating dtype",
                             tw_lang_type_text(c, &arg[0]), tw_lang_type_text(c, &arg[1]),
                             tw_lang_type_text(c, &arg[2]));
    return tw_lang_emit(c, n, tw_t_fma(c->g, x.v, y.v, z.v), x.s, out);
}

bool tw_lang_do_umulhi(lowering *c, const node *n, val *arg, int which, val *out)
{
    val x = arg[0], y = arg[1];
    (void)which;
    if (!tw_lang_promote(c, n, &x, &y, false))
        return false;
    if (!is_integer(x.s) || tw_sca[x.s.kind].bits < 32)
        return tw_lang_error(c, n, "operands are %s and %s; expected integers of 32 or 64 bits",
                             tw_lang_type_text(c, &arg[0]), tw_lang_type_text(c, &arg[1]));
    sca back = x.s, plain = number(tw_sca[x.s.kind].bits == 32 ? S_U32 : S_U64);
    return tw_lang_bitcast(c, n, &x, plain) && tw_lang_bitcast(c, n, &y, plain) &&
           tw_lang_emit(c, n, tw_t_mulhi(c->g, x.v, y.v), plain, out) && tw_lang_bitcast(c, n, out, back);
}

/* The function is lowered once, on whole tiles. */
bool tw_lang_do_map_elementwise(lowering *c, const node *n, val *arg, int which, val *out)
{
    (void)which;
    return tw_lang_invoke(c, n, &arg[0], arg[1].item, arg[1].count, out);
}

bool tw_lang_do_inline_asm(lowering *c, const node *n, val *arg, int which, val *out)
{
    (void)arg, (void)which, (void)out;
    return tw_lang_error(c, n, "not supported: inline_asm_elementwise is assembly of one vendor's chip");
}

bool tw_lang_do_unavailable(lowering *c, const node *n, val *arg, int which, val *out)
{
    (void)arg, (void)which, (void)out;
    return tw_lang_error(c, n, "not supported: this builtin belongs to one vendor's chip");
}
