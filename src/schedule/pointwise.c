/* One element-wise primitive as tile operations. A half-precision operation computes in f32 and rounds once. */
#include "schedule/internal.h"
#include "tile/tile.h"

static tw_value *compare_kind(tw_graph *g, int code, tw_value *a, tw_value *b)
{
    static const int kinds[] = {TW_T_COMPARE_EQ, TW_T_COMPARE_NE, TW_T_COMPARE_LT,
                                TW_T_COMPARE_LE, TW_T_COMPARE_GT, TW_T_COMPARE_GE};
    return tw_t_compare(g, a, b, kinds[code - TW_G_EQ]);
}

static tw_value *rounded(tw_graph *g, tw_value *x, int mode)
{
    return tw_dtype_floating((tw_dtype)x->type.dtype) ? tw_t_round(g, x, mode) : x;
}

/* Shifts right with zeros coming in: on the unsigned dtype of the same width. */
static tw_value *shift_logical(tw_graph *g, tw_value *a, tw_value *b)
{
    tw_dtype own = (tw_dtype)a->type.dtype, plain = own == TW_I32 ? TW_U32 : own == TW_I64 ? TW_U64 : own;
    if (plain == own)
        return tw_t_shr(g, a, b);
    return tw_t_bitcast(g, tw_t_shr(g, tw_t_bitcast(g, a, plain, false), tw_t_bitcast(g, b, plain, false)), own, false);
}

static tw_value *build(tw_graph *g, const tw_op *op, tw_value *a, tw_value *b, tw_value *c)
{
    switch (op->code) {
    case TW_G_NEG:
        return tw_t_neg(g, a);
    case TW_G_ABS:
        return tw_t_abs(g, a);
    case TW_G_SIGN:
        return tw_tile_sign(g, a);
    case TW_G_EXP:
        return tw_tile_exp(g, a);
    case TW_G_EXP2:
        return tw_tile_exp2(g, a);
    case TW_G_EXPM1:
        return tw_tile_expm1(g, a);
    case TW_G_LOG:
        return tw_tile_log(g, a);
    case TW_G_LOG2:
        return tw_tile_log2(g, a);
    case TW_G_LOG1P:
        return tw_tile_log1p(g, a);
    case TW_G_SQRT:
        return tw_t_sqrt(g, a);
    case TW_G_RSQRT:
        return tw_tile_rsqrt(g, a);
    case TW_G_SIN:
        return tw_tile_sin(g, a);
    case TW_G_COS:
        return tw_tile_cos(g, a);
    case TW_G_TAN:
        return tw_tile_tan(g, a);
    case TW_G_ASIN:
        return tw_tile_asin(g, a);
    case TW_G_ACOS:
        return tw_tile_acos(g, a);
    case TW_G_ATAN:
        return tw_tile_atan(g, a);
    case TW_G_TANH:
        return tw_tile_tanh(g, a);
    case TW_G_ERF:
        return tw_tile_erf(g, a);
    case TW_G_FLOOR:
        return rounded(g, a, TW_T_ROUND_FLOOR);
    case TW_G_CEIL:
        return rounded(g, a, TW_T_ROUND_CEIL);
    case TW_G_ROUND:
        return rounded(g, a, TW_T_ROUND_EVEN);
    case TW_G_TRUNC:
        return rounded(g, a, TW_T_ROUND_TRUNC);
    case TW_G_ISNAN:
        return tw_t_compare(g, a, a, TW_T_COMPARE_NE);
    case TW_G_BITWISE_NOT:
        return tw_t_xor(g, a, tw_t_constant(g, 0, a->type.dtype == TW_BOOL ? 1 : -1, (tw_dtype)a->type.dtype));
    case TW_G_CAST:
        return a->type.dtype == (uint8_t)op->attr[0].i ? a : tw_t_cast(g, a, (tw_dtype)op->attr[0].i);
    case TW_G_ADD:
        return a->type.dtype == TW_BOOL ? tw_t_or(g, a, b) : tw_t_add(g, a, b);
    case TW_G_SUB:
        return tw_t_sub(g, a, b);
    case TW_G_MUL:
        return a->type.dtype == TW_BOOL ? tw_t_and(g, a, b) : tw_t_mul(g, a, b);
    case TW_G_DIV:
    case TW_G_IDIV:
        return tw_t_div(g, a, b);
    case TW_G_FMOD:
        return tw_t_rem(g, a, b);
    case TW_G_POW:
        return tw_tile_pow(g, a, b);
    case TW_G_ATAN2:
        return tw_tile_atan2(g, a, b);
    case TW_G_MAXIMUM:
        return tw_t_max(g, a, b);
    case TW_G_MINIMUM:
        return tw_t_min(g, a, b);
    case TW_G_BITWISE_AND:
        return tw_t_and(g, a, b);
    case TW_G_BITWISE_OR:
        return tw_t_or(g, a, b);
    case TW_G_BITWISE_XOR:
        return tw_t_xor(g, a, b);
    case TW_G_SHIFT_LEFT:
        return tw_t_shl(g, a, b);
    case TW_G_SHIFT_RIGHT:
        return tw_t_shr(g, a, b);
    case TW_G_SHIFT_RIGHT_LOGICAL:
        return shift_logical(g, a, b);
    case TW_G_WHERE:
        return tw_t_select(g, a, b, c);
    default:
        return compare_kind(g, op->code, a, b);
    }
}

emitted tw_emit_pointwise(emitter *e, const tw_op *op, const emitted *operand)
{
    tw_value *x[3] = {NULL};
    uint32_t set = 0;
    for (uint32_t i = 0; i < op->operands; i++)
        set |= operand[i].set;
    for (uint32_t i = 0; i < op->operands; i++) {
        emitted aligned = operand[i].set ? tw_emit_align(e, operand[i], set) : operand[i];
        if (!(x[i] = aligned.v))
            return (emitted){NULL, 0};
    }
    if (op->code < TW_G_NEG || op->code > TW_G_WHERE)
        return (emitted){tw_emit_fail(e, tw_error(TW_ERR_INTERNAL, "schedule: no tile form of %s", op->info->name)), 0};
    tw_value *y = build(e->g, op, x[0], x[1], x[2]);
    return (emitted){y ? y : tw_emit_fail(e, tw_error_code()), set};
}
