/* Numbers that are known: integer arithmetic of constants, and operations with a neutral one. Floating values are left
 * alone: no rewrite here changes a bit. */
#include "tile/optimise.h"

static bool is_integer(tw_dtype dtype)
{
    return !tw_dtype_floating(dtype) && dtype != TW_BOOL;
}

static bool number(const tw_value *v, int64_t *value)
{
    const tw_op *op = v ? v->def : NULL;
    while (op && (op->code == TW_T_BROADCAST || op->code == TW_T_EXPAND_DIMS))
        op = op->operand[0]->def;
    if (!op || op->code != TW_T_CONSTANT || !is_integer((tw_dtype)op->result[0].type.dtype))
        return false;
    *value = op->attr[1].i;
    return true;
}

static bool takes_place(const tw_op *op, tw_value *v, tw_value **replacement)
{
    if (!tw_type_equal(&v->type, &op->result[0].type))
        return false;
    *replacement = v;
    return true;
}

/* The low bits of a number as its dtype has them. */
static int64_t wrapped(tw_dtype dtype, int64_t value)
{
    unsigned unused = 64 - (unsigned)tw_dtype_size(dtype) * 8;
    uint64_t bits = (uint64_t)value << unused;
    return tw_dtype_signed(dtype) ? (int64_t)bits >> unused : (int64_t)(bits >> unused);
}

static bool compute(int code, tw_dtype dtype, int64_t a, int64_t b, int64_t *r)
{
    bool sign = tw_dtype_signed(dtype);
    switch (code) {
    case TW_T_ADD:
        *r = (int64_t)((uint64_t)a + (uint64_t)b);
        return true;
    case TW_T_SUB:
        *r = (int64_t)((uint64_t)a - (uint64_t)b);
        return true;
    case TW_T_MUL:
        *r = (int64_t)((uint64_t)a * (uint64_t)b);
        return true;
    case TW_T_DIV:
    case TW_T_REM:
        if (!sign || b == 0 || b == -1)
            return false;
        *r = code == TW_T_DIV ? a / b : a % b;
        return true;
    case TW_T_MIN:
    case TW_T_MAX:
        if (!sign)
            return false;
        *r = (code == TW_T_MIN) == (a < b) ? a : b;
        return true;
    default:
        return false;
    }
}

static bool fold_two(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    tw_dtype dtype = (tw_dtype)op->result[0].type.dtype;
    int64_t a, b, r;
    if (op->result[0].type.rank || op->result[0].type.pointer || !is_integer(dtype) || !number(op->operand[0], &a) ||
        !number(op->operand[1], &b) || !compute(op->code, dtype, a, b, &r))
        return false;
    r = wrapped(dtype, r);
    *replacement = tw_t_constant(g, (double)r, r, dtype);
    return true;
}

/* x + 0, 0 + x, x - 0 */
static bool plus_nothing(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    int64_t n;
    (void)g;
    if (number(op->operand[1], &n) && n == 0)
        return takes_place(op, op->operand[0], replacement);
    return op->code == TW_T_ADD && number(op->operand[0], &n) && n == 0 && takes_place(op, op->operand[1], replacement);
}

/* x * 1, 1 * x, x / 1 */
static bool times_one(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    int64_t n;
    (void)g;
    if (number(op->operand[1], &n) && n == 1)
        return takes_place(op, op->operand[0], replacement);
    return op->code == TW_T_MUL && number(op->operand[0], &n) && n == 1 && takes_place(op, op->operand[1], replacement);
}

static bool no_cast(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    (void)g;
    return takes_place(op, op->operand[0], replacement);
}

static bool cast_constant(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    tw_dtype dtype = (tw_dtype)op->result[0].type.dtype;
    int64_t n;
    if (op->result[0].type.rank || !is_integer(dtype) || !number(op->operand[0], &n))
        return false;
    n = wrapped(dtype, n);
    *replacement = tw_t_constant(g, (double)n, n, dtype);
    return true;
}

static bool no_broadcast(tw_graph *g, const tw_op *op, tw_value **replacement)
{
    (void)g;
    return takes_place(op, op->operand[0], replacement);
}

tw_status tw_tile_pass_fold(tw_graph **g, bool *changed)
{
    static const tw_rewrite_rule rules[] = {
        {TW_T_ADD, "numbers", fold_two},
        {TW_T_SUB, "numbers", fold_two},
        {TW_T_MUL, "numbers", fold_two},
        {TW_T_DIV, "numbers", fold_two},
        {TW_T_REM, "numbers", fold_two},
        {TW_T_MIN, "numbers", fold_two},
        {TW_T_MAX, "numbers", fold_two},
        {TW_T_ADD, "x + 0 = x", plus_nothing},
        {TW_T_SUB, "x - 0 = x", plus_nothing},
        {TW_T_MUL, "x * 1 = x", times_one},
        {TW_T_DIV, "x / 1 = x", times_one},
        {TW_T_CAST, "a cast of a number", cast_constant},
        {TW_T_CAST, "a cast to the same dtype", no_cast},
        {TW_T_BROADCAST, "a broadcast to the same shape", no_broadcast},
        {TW_T_RESHAPE, "a reshape to the same shape", no_broadcast},
    };
    return tw_rewrite(g, rules, (int)TW_COUNT(rules), changed);
}
