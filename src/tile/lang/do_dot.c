/* Matrix products. */
#include "tile/lang/lower.h"

static bool matrices(lowering *c, const node *n, const val *a, const val *b)
{
    int r = rank_of(a);
    if (a->kind != V_TENSOR || b->kind != V_TENSOR || r < 2 || r > 3 || rank_of(b) != r)
        return tw_lang_error(c, n, "tl.dot of %s and %s; expected [m, k] and [k, n], or with one leading dimension",
                             tw_lang_type_text(c, a), tw_lang_type_text(c, b));
    if (a->v->type.dims[r - 1] != b->v->type.dims[r - 2])
        return tw_lang_error(c, n, "tl.dot of %s and %s: inner dimensions are %lld and %lld", tw_lang_type_text(c, a),
                             tw_lang_type_text(c, b), (long long)a->v->type.dims[r - 1],
                             (long long)b->v->type.dims[r - 2]);
    if (r == 3 && a->v->type.dims[0] != b->v->type.dims[0])
        return tw_lang_error(c, n, "tl.dot of %s and %s: leading dimensions differ", tw_lang_type_text(c, a),
                             tw_lang_type_text(c, b));
    return true;
}

/* Operands in a dtype that products take; 8-bit floats are exact in f16, mixed dtypes meet in f32. */
static bool operand_types(lowering *c, const node *n, val *a, val *b)
{
    if (is_f8(a->s) && is_f8(b->s))
        return tw_lang_cast(c, n, a, number(S_F32)) && tw_lang_cast(c, n, b, number(S_F32));
    if (is_integer(a->s) && is_integer(b->s) && a->s.kind != S_I1 && b->s.kind != S_I1) {
        if (a->s.kind == b->s.kind && (a->s.kind == S_I8 || a->s.kind == S_U8))
            return true;
        return tw_lang_error(c, n, "tl.dot of %s and %s; expected int8 or uint8", tw_lang_type_text(c, a),
                             tw_lang_type_text(c, b));
    }
    bool fine = is_floating(a->s) && is_floating(b->s) && same_sca(a->s, b->s);
    return fine || tw_lang_error(c, n, "tl.dot of %s and %s; expected one floating dtype, or int8",
                                 tw_lang_type_text(c, a), tw_lang_type_text(c, b));
}

/* acc + a b. The tile operation accumulates in f32, f64 or i32; another type of accumulator is converted around it. */
static bool product(lowering *c, const node *n, val a, val b, val acc, sca out_type, val *out)
{
    if (!matrices(c, n, &a, &b) || !operand_types(c, n, &a, &b))
        return false;
    sca inner = number(a.s.kind == S_F64 ? S_F64 : is_integer(a.s) ? S_I32 : S_F32);
    if (given_some(&acc)) {
        int r = rank_of(&a);
        int64_t dims[3] = {a.v->type.dims[0], a.v->type.dims[r - 2], b.v->type.dims[r - 1]};
        if (!tw_lang_tensor(c, n, &acc, "acc") || !tw_lang_cast(c, n, &acc, inner) ||
            !tw_lang_broadcast(c, n, &acc, r, r == 3 ? dims : dims + 1))
            return false;
    }
    return tw_lang_emit(c, n, tw_t_dot(c->g, a.v, b.v, given_some(&acc) ? acc.v : NULL), inner, out) &&
           tw_lang_cast(c, n, out, out_type);
}

static bool transposed(lowering *c, const node *n, val *x, const val *flag)
{
    bool on;
    int64_t axes[3] = {0, 1, 2};
    if (!tw_lang_flag(c, n, flag, false, &on) || !on)
        return !c->d->set;
    int r = rank_of(x);
    if (x->kind != V_TENSOR || r < 2 || r > 3)
        return tw_lang_error(c, n, "tl.dot of %s", tw_lang_type_text(c, x));
    axes[r - 1] = r - 2;
    axes[r - 2] = r - 1;
    return tw_lang_permute(c, n, x, axes);
}

bool tw_lang_do_dot(lowering *c, const node *n, val *arg, int which, val *out)
{
    /* input, other, acc, input_precision, allow_tf32, max_num_imprecise_acc, out_dtype, trans_a, trans_b */
    val a = arg[0], b = arg[1];
    sca s = number(S_F32);
    (void)which;
    if (!transposed(c, n, &a, &arg[7]) || !transposed(c, n, &b, &arg[8]) || !matrices(c, n, &a, &b))
        return false;
    if (arg[2].kind == V_TENSOR)
        s = arg[2].s;
    if (given_some(&arg[6]) && !tw_lang_type_of(c, n, &arg[6], &s))
        return false;
    if (is_integer(a.s))
        s = number(S_I32);
    else if (a.s.kind == S_F64)
        s = number(S_F64);
    return product(c, n, a, b, arg[2], s, out);
}

/* ---- microscaled ---- */

/* Values of a microscaled operand in f32: two e2m1 a byte along the packed dimension. */
static bool scaled_values(lowering *c, const node *n, val *x, const val *format, int packed)
{
    static const struct {
        const char *name;
        scalar_kind kind;
    } formats[] = {{"e4m3", S_F8E4NV}, {"e5m2", S_F8E5}, {"bf16", S_BF16}, {"fp16", S_F16}};
    const char *name = format->kind == V_STRING ? format->text : "";
    for (size_t i = 0; i < TW_COUNT(formats); i++)
        if (!strcmp(name, formats[i].name))
            return tw_lang_bitcast(c, n, x, number(formats[i].kind)) && tw_lang_cast(c, n, x, number(S_F32));
    if (strcmp(name, "e2m1") != 0)
        return tw_lang_error(c, n, "the format is %s; expected \"e2m1\", \"e4m3\", \"e5m2\", \"bf16\" or \"fp16\"",
                             tw_lang_type_text(c, format));
    val low, high, four = of_int(4);
    int64_t dims[TW_MAX_RANK], axes[TW_MAX_RANK];
    int r = rank_of(x);
    if (x->s.kind != S_U8 && x->s.kind != S_I8)
        return tw_lang_error(c, n, "e2m1 is packed as uint8; found %s", tw_lang_type_text(c, x));
    if (!tw_lang_bitcast(c, n, x, number(S_U8)) || !tw_lang_binary(c, n, op_of(">>"), x, &four, &high) ||
        !tw_lang_prelude_call(c, n, "_e2m1_to_f32", x, 1, &low) ||
        !tw_lang_prelude_call(c, n, "_e2m1_to_f32", &high, 1, &high))
        return false;
    for (int i = 0; i < r; i++)
        dims[i] = x->v->type.dims[i] * (i == packed ? 2 : 1);
    for (int i = 0; i <= r; i++)
        axes[i] = i <= packed ? i : i == packed + 1 ? r : i - 1;
    return tw_lang_emit(c, n, tw_t_join(c->g, low.v, high.v), number(S_F32), x) && tw_lang_permute(c, n, x, axes) &&
           tw_lang_reshape(c, n, x, r, dims);
}

/* x[.., rows, k] times scale[.., rows, k / group]. */
static bool scale_rows(lowering *c, const node *n, val *x, const val *given_scale)
{
    val scale = *given_scale;
    int r = rank_of(x);
    int64_t wide_dims[TW_MAX_RANK], dims[TW_MAX_RANK];
    if (!given_some(&scale))
        return true;
    if (!tw_lang_tensor(c, n, &scale, "the scale"))
        return false;
    if (scale.s.kind == S_U8 || scale.s.kind == S_I8) {
        if (!tw_lang_bitcast(c, n, &scale, number(S_U8)) ||
            !tw_lang_prelude_call(c, n, "_e8m0_to_f32", &scale, 1, &scale))
            return false;
    } else if (!tw_lang_cast(c, n, &scale, number(S_F32))) {
        return false;
    }
    if (rank_of(&scale) == 0)
        return tw_lang_binary(c, n, OP1('*'), x, &scale, x);
    int64_t k = x->v->type.dims[r - 1], groups = rank_of(&scale) == r ? scale.v->type.dims[r - 1] : 0;
    if (groups < 1 || k % groups)
        return tw_lang_error(c, n, "the scale is %s for %s", tw_lang_type_text(c, &scale), tw_lang_type_text(c, x));
    for (int i = 0; i < r; i++)
        dims[i] = wide_dims[i] = x->v->type.dims[i];
    wide_dims[r - 1] = groups;
    wide_dims[r] = k / groups;
    return tw_lang_expand(c, n, &scale, r) && tw_lang_broadcast(c, n, &scale, r + 1, wide_dims) &&
           tw_lang_reshape(c, n, &scale, r, dims) && tw_lang_binary(c, n, OP1('*'), x, &scale, x);
}

bool tw_lang_do_dot_scaled(lowering *c, const node *n, val *arg, int which, val *out)
{
    /* lhs, lhs_scale, lhs_format, rhs, rhs_scale, rhs_format, acc, fast_math, lhs_k_pack, rhs_k_pack, out_dtype */
    val a = arg[0], b = arg[3];
    bool a_k, b_k;
    sca s = arg[6].kind == V_TENSOR ? arg[6].s : number(S_F32);
    int64_t swap[3] = {0, 1, 2};
    (void)which;
    if (!tw_lang_tensor(c, n, &a, "lhs") || !tw_lang_tensor(c, n, &b, "rhs") ||
        !tw_lang_flag(c, n, &arg[8], true, &a_k) || !tw_lang_flag(c, n, &arg[9], true, &b_k))
        return false;
    int r = rank_of(&a);
    if (r < 2 || r > 3 || rank_of(&b) != r)
        return tw_lang_error(c, n, "tl.dot_scaled of %s and %s; expected matrices", tw_lang_type_text(c, &a),
                             tw_lang_type_text(c, &b));
    swap[r - 1] = r - 2;
    swap[r - 2] = r - 1;
    if (given_some(&arg[10]) && !tw_lang_type_of(c, n, &arg[10], &s))
        return false;
    /* the scale of rhs is [n, k / group]: work on its transpose [n, k] */
    return scaled_values(c, n, &a, &arg[2], a_k ? r - 1 : r - 2) && scale_rows(c, n, &a, &arg[1]) &&
           scaled_values(c, n, &b, &arg[5], b_k ? r - 2 : r - 1) && tw_lang_permute(c, n, &b, swap) &&
           scale_rows(c, n, &b, &arg[4]) && tw_lang_permute(c, n, &b, swap) && product(c, n, a, b, arg[6], s, out);
}
