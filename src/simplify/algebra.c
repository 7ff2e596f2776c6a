/* Algebra of element-wise operations. Each rule keeps every bit of the result (of a NaN: that it is one), so that a
 * compiled graph agrees with its operations run one by one. What looks true and isn't: x + 0 = x (-0 + 0 is +0), x - x
 * = 0 (infinities, NaN), 0 * x = 0, x == x. */
#include <math.h>

#include "simplify/internal.h"

bool tw_simplify_is(const tw_value *v, double number)
{
    const tw_op *full = made_by(v, TW_G_FULL);
    if (!full)
        return false;
    if (!floating(v))
        return number == (double)full->attr[2].i;
    return full->attr[1].f == number && !signbit(full->attr[1].f) == !signbit(number);
}

tw_value *tw_simplify_full_like(tw_graph *g, const tw_value *v, double number)
{
    return tw_g_filled(g, &v->type, number);
}

/* The operand stands for the result, grown to its shape if it is a scalar beside a tensor. */
static bool becomes(tw_graph *g, const tw_op *op, tw_value *x, tw_value **replacement)
{
    if (x->type.dtype != op->result[0].type.dtype)
        return false;
    *replacement = tw_g_expand_to(g, x, &op->result[0].type);
    return true;
}

/* x op c = x, for the constant c on the right, and on the left of commutative operations. */
static bool neutral(tw_graph *g, const tw_op *op, double number, tw_value **replacement)
{
    if (tw_simplify_is(op->operand[1], number))
        return becomes(g, op, op->operand[0], replacement);
    bool either = (op->info->flags & TW_OP_COMMUTATIVE) != 0;
    return either && tw_simplify_is(op->operand[0], number) && becomes(g, op, op->operand[1], replacement);
}

static bool add_zero(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    return neutral(g, op, floating(&op->result[0]) ? -0.0 : 0.0, replacement);
}

static bool by_zero(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    return neutral(g, op, 0, replacement);
}

static bool by_one(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    return neutral(g, op, 1, replacement);
}

static bool by_all_ones(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    return neutral(g, op, op->result[0].type.dtype == TW_BOOL ? 1 : -1, replacement);
}

static bool integer_times_zero(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    if (floating(&op->result[0]) || !(tw_simplify_is(op->operand[0], 0) || tw_simplify_is(op->operand[1], 0)))
        return false;
    *replacement = tw_simplify_full_like(g, &op->result[0], 0);
    return true;
}

static bool times_minus_one(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    int other = tw_simplify_is(op->operand[1], -1) ? 0 : tw_simplify_is(op->operand[0], -1) ? 1 : -1;
    if (other < 0 || op->result[0].type.dtype == TW_BOOL || op->result[0].type.dtype == TW_U8)
        return false;
    tw_value *negated = tw_g_neg(g, op->operand[other]);
    *replacement = negated ? tw_g_expand_to(g, negated, &op->result[0].type) : NULL;
    return true;
}

static bool add_negated(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    const tw_op *neg = made_by(op->operand[1], TW_G_NEG);
    if (!neg)
        return false;
    *replacement = op->code == TW_G_ADD ? tw_g_sub(g, op->operand[0], neg->operand[0])
                                        : tw_g_add(g, op->operand[0], neg->operand[0]);
    return true;
}

static bool twice_is_none(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    const tw_op *inner = made_by(op->operand[0], op->code);
    (void)g;
    *replacement = inner ? inner->operand[0] : NULL;
    return inner != NULL;
}

static bool twice_is_once(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    (void)g;
    *replacement = op->operand[0];
    return made_by(op->operand[0], op->code) != NULL;
}

static bool abs_of_neg(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    const tw_op *neg = made_by(op->operand[0], TW_G_NEG);
    if (neg)
        *replacement = tw_g_abs(g, neg->operand[0]);
    return neg != NULL;
}

static bool with_itself(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    (void)g;
    *replacement = op->operand[0];
    return op->operand[0] == op->operand[1];
}

static bool where_decided(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    if (op->operand[1] == op->operand[2] || tw_simplify_is(op->operand[0], 1))
        return becomes(g, op, op->operand[1], replacement);
    return tw_simplify_is(op->operand[0], 0) && becomes(g, op, op->operand[2], replacement);
}

static const tw_value *behind_views(const tw_value *v)
{
    while (made_by(v, TW_G_RESHAPE) || made_by(v, TW_G_EXPAND))
        v = v->def->operand[0];
    return v;
}

/* In a softmax: exp(where(m, x, -inf) - max) is where(m, exp(x - max), 0). Said so, a back end sees that what a causal
 * mask hides need not be computed. (A row that is hidden as a whole: 0 / 0 instead of NaN / NaN.) */
static bool hidden_weighs_nothing(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    const tw_op *sub = made_by(op->operand[0], TW_G_SUB), *where = sub ? made_by(sub->operand[0], TW_G_WHERE) : NULL;
    const tw_op *largest = sub ? made_by(behind_views(sub->operand[1]), TW_G_AMAX) : NULL;
    if (!where || !largest || tw_env_on("TW_EXACT") || behind_views(largest->operand[0]) != sub->operand[0] ||
        !tw_simplify_is(where->operand[2], -INFINITY) || !same_shape(&where->operand[1]->type, &op->result[0].type))
        return false;
    const tw_value *mask = where->operand[0];
    if (!made_by(mask, TW_G_GE) && !made_by(mask, TW_G_GT) && !made_by(mask, TW_G_LE) && !made_by(mask, TW_G_LT))
        return false;
    tw_value *seen = tw_g_exp(g, tw_g_sub(g, where->operand[1], sub->operand[1]));
    tw_type scalar = {.dtype = op->result[0].type.dtype};
    *replacement = seen ? tw_g_where(g, where->operand[0], seen, tw_g_filled(g, &scalar, 0)) : NULL;
    return true;
}

static bool bool_not_zero(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    return op->operand[0]->type.dtype == TW_BOOL && neutral(g, op, 0, replacement);
}

/* ---- casts ---- */

/* Does every value of `from` exist in `to`? */
static bool holds(tw_dtype to, tw_dtype from)
{
    static const unsigned char held[TW_TENSOR_DTYPES] = {
        /* which dtypes hold all of: */
        [TW_BOOL] = 0xff,
        [TW_U8] = 1 << TW_U8 | 1 << TW_I32 | 1 << TW_I64 | 1 << TW_F16 | 1 << TW_BF16 | 1 << TW_F32 | 1 << TW_F64,
        [TW_I32] = 1 << TW_I32 | 1 << TW_I64 | 1 << TW_F64,
        [TW_I64] = 1 << TW_I64,
        [TW_F16] = 1 << TW_F16 | 1 << TW_F32 | 1 << TW_F64,
        [TW_BF16] = 1 << TW_BF16 | 1 << TW_F32 | 1 << TW_F64,
        [TW_F32] = 1 << TW_F32 | 1 << TW_F64,
        [TW_F64] = 1 << TW_F64,
    };
    return held[from] >> to & 1;
}

static bool cast_to_itself(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    return becomes(g, op, op->operand[0], replacement);
}

static bool cast_of_wider(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    const tw_op *inner = made_by(op->operand[0], TW_G_CAST);
    if (!inner || !holds((tw_dtype)inner->result[0].type.dtype, (tw_dtype)inner->operand[0]->type.dtype))
        return false;
    *replacement = tw_g_as(g, inner->operand[0], (tw_dtype)op->attr[0].i);
    return true;
}

static const tw_rewrite_rule rules[] = {
    {TW_G_ADD, "x + -0 = x; x + 0 = x for integers", add_zero},
    {TW_G_ADD, "x + -y = x - y", add_negated},
    {TW_G_SUB, "x - 0 = x", by_zero},
    {TW_G_SUB, "x - -y = x + y", add_negated},
    {TW_G_MUL, "x * 1 = x", by_one},
    {TW_G_MUL, "x * -1 = -x", times_minus_one},
    {TW_G_MUL, "x * 0 = 0 for integers", integer_times_zero},
    {TW_G_DIV, "x / 1 = x", by_one},
    {TW_G_IDIV, "x / 1 = x", by_one},
    {TW_G_NEG, "--x = x", twice_is_none},
    {TW_G_BITWISE_NOT, "~~x = x", twice_is_none},
    {TW_G_ABS, "||x|| = |x|", twice_is_once},
    {TW_G_ABS, "|-x| = |x|", abs_of_neg},
    {TW_G_FLOOR, "floor of floor", twice_is_once},
    {TW_G_CEIL, "ceil of ceil", twice_is_once},
    {TW_G_ROUND, "round of round", twice_is_once},
    {TW_G_TRUNC, "trunc of trunc", twice_is_once},
    {TW_G_MAXIMUM, "max(x, x) = x", with_itself},
    {TW_G_MINIMUM, "min(x, x) = x", with_itself},
    {TW_G_BITWISE_AND, "x & x = x", with_itself},
    {TW_G_BITWISE_AND, "x & ~0 = x", by_all_ones},
    {TW_G_BITWISE_OR, "x | x = x", with_itself},
    {TW_G_BITWISE_OR, "x | 0 = x", by_zero},
    {TW_G_BITWISE_XOR, "x ^ 0 = x", by_zero},
    {TW_G_SHIFT_LEFT, "x << 0 = x", by_zero},
    {TW_G_SHIFT_RIGHT, "x >> 0 = x", by_zero},
    {TW_G_SHIFT_RIGHT_LOGICAL, "x >>> 0 = x", by_zero},
    {TW_G_WHERE, "where of a known condition, or of equal values", where_decided},
    {TW_G_EXP, "what a softmax hides weighs nothing", hidden_weighs_nothing},
    {TW_G_NE, "b != false = b", bool_not_zero},
    {TW_G_CAST, "cast to its own dtype", cast_to_itself},
    {TW_G_CAST, "cast of a cast that lost nothing", cast_of_wider},
};
const rule_table tw_simplify_algebra = {rules, TW_COUNT(rules)};
