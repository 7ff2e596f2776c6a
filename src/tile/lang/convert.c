/* Conversions between dtypes: numbers, pointers, 8-bit floats (by functions of the prelude). */
#include "tile/lang/lower.h"

static bool from_f8(lowering *c, const node *n, val *v)
{
    static const char *const functions[] = {"_f8e4nv_to_f32", "_f8e5_to_f32", "_f8e4b8_to_f32", "_f8e4b15_to_f32",
                                            "_f8e5b16_to_f32"};
    val bits = of_tensor(v->v, number(S_U8));
    return tw_lang_prelude_call(c, n, functions[v->s.kind - S_F8E4NV], &bits, 1, v);
}

static bool to_f8(lowering *c, const node *n, val *v, sca to, bool to_zero)
{
    static const char *const functions[] = {"_f32_to_f8e4nv", "_f32_to_f8e5", "_f32_to_f8e4b8", "_f32_to_f8e4b15",
                                            "_f32_to_f8e5b16"};
    if (!tw_lang_cast(c, n, v, number(S_F32)))
        return false;
    val arg[2] = {*v, of_bool(to_zero)};
    if (!tw_lang_prelude_call(c, n, functions[to.kind - S_F8E4NV], arg, 2, v))
        return false;
    v->s = to;
    return true;
}

static bool pointer_cast(lowering *c, const node *n, val *v, sca to)
{
    bool from_pointer = is_pointer(v->s);
    if (from_pointer && is_pointer(to))
        return tw_lang_emit(c, n,
                            tw_t_bitcast(c->g, v->v,
                                         tw_lang_dtype(to.pointers > 1 ? number(S_I64) : number((scalar_kind)to.kind)),
                                         true),
                            to, v);
    if (!from_pointer) {
        if (!is_integer(v->s))
            return tw_lang_error(c, n, "cannot cast %s to a pointer; expected an integer", tw_lang_type_text(c, v));
        tw_value *wide_address = v->v->type.dtype == TW_I64 ? v->v : tw_t_cast(c->g, v->v, TW_I64);
        tw_dtype element = to.pointers > 1 ? TW_I64 : tw_sca[to.kind].dtype;
        return tw_lang_emit(c, n, tw_t_bitcast(c->g, wide_address, element, true), to, v);
    }
    if (to.kind != S_I64 && to.kind != S_U64 && to.kind != S_I1)
        return tw_lang_error(c, n, "cannot cast %s to %s; expected int64 for an address", tw_lang_type_text(c, v),
                             tw_sca[to.kind].name);
    if (!tw_lang_emit(c, n, tw_t_bitcast(c->g, v->v, TW_I64, false), number(S_I64), v))
        return false;
    return tw_lang_cast(c, n, v, to);
}

bool tw_lang_to_bool(lowering *c, const node *n, val *v)
{
    if (!tw_lang_to_tensor(c, n, v))
        return false;
    return tw_lang_cast(c, n, v, number(S_I1));
}

bool tw_lang_cast(lowering *c, const node *n, val *v, sca to)
{
    if (same_sca(v->s, to))
        return true;
    if (is_pointer(v->s) || is_pointer(to))
        return pointer_cast(c, n, v, to);
    if (to.kind == S_VOID)
        return tw_lang_error(c, n, "cannot cast to void");
    if (is_f8(v->s) && (!from_f8(c, n, v) || same_sca(v->s, to)))
        return is_f8(v->s) ? false : true;
    if (is_f8(to))
        return to_f8(c, n, v, to, false);
    tw_dtype dtype = tw_lang_dtype(to);
    if (v->v->type.dtype == dtype) {
        v->s = to;
        return true;
    }
    return tw_lang_emit(c, n, tw_t_cast(c->g, v->v, dtype), to, v);
}

bool tw_lang_cast_rounding(lowering *c, const node *n, val *v, sca to, bool to_zero)
{
    bool narrower = is_floating(v->s) && is_floating(to) && tw_sca[to.kind].bits < tw_sca[v->s.kind].bits;
    if (!narrower)
        return tw_lang_error(c, n,
                             "fp_downcast_rounding: %s to %s; expected a conversion to a floating dtype of fewer bits",
                             tw_lang_type_text(c, v), tw_sca[to.kind].name);
    if (!to_zero)
        return tw_lang_cast(c, n, v, to);
    if (is_f8(to))
        return to_f8(c, n, v, to, true);
    if (v->s.kind != S_F32 || (to.kind != S_F16 && to.kind != S_BF16))
        return tw_lang_error(c, n, "fp_downcast_rounding=\"rtz\": %s to %s is not supported", tw_lang_type_text(c, v),
                             tw_sca[to.kind].name);
    return tw_lang_prelude_call(c, n, to.kind == S_F16 ? "_round_f32_to_f16_to_zero" : "_round_f32_to_bf16_to_zero", v,
                                1, v);
}

bool tw_lang_bitcast(lowering *c, const node *n, val *v, sca to)
{
    if (same_sca(v->s, to))
        return true;
    if (is_pointer(v->s) || is_pointer(to))
        return pointer_cast(c, n, v, to);
    if (tw_sca[v->s.kind].bits != tw_sca[to.kind].bits)
        return tw_lang_error(c, n, "cannot bitcast %s to %s: %d and %d bits", tw_lang_type_text(c, v),
                             tw_sca[to.kind].name, tw_sca[v->s.kind].bits, tw_sca[to.kind].bits);
    if (v->v->type.dtype == tw_lang_dtype(to)) {
        v->s = to;
        return true;
    }
    return tw_lang_emit(c, n, tw_t_bitcast(c->g, v->v, tw_lang_dtype(to), false), to, v);
}
