/* Values of the lowering: what they are, how they are called in messages, when two are the same. */
#include <math.h>

#include "tile/lang/lower.h"

const sca_info tw_sca[S_COUNT] = {
    [S_VOID] = {"void", "void", TW_U8, 0, 0, false, false},
    [S_I1] = {"int1", "i1", TW_BOOL, 1, 0, false, false},
    [S_I8] = {"int8", "i8", TW_I8, 8, 0, false, true},
    [S_I16] = {"int16", "i16", TW_I16, 16, 0, false, true},
    [S_I32] = {"int32", "i32", TW_I32, 32, 0, false, true},
    [S_I64] = {"int64", "i64", TW_I64, 64, 0, false, true},
    [S_U8] = {"uint8", "u8", TW_U8, 8, 0, false, false},
    [S_U16] = {"uint16", "u16", TW_U16, 16, 0, false, false},
    [S_U32] = {"uint32", "u32", TW_U32, 32, 0, false, false},
    [S_U64] = {"uint64", "u64", TW_U64, 64, 0, false, false},
    [S_F8E4NV] = {"float8e4nv", "f8e4nv", TW_U8, 8, 3, true, true},
    [S_F8E5] = {"float8e5", "f8e5", TW_U8, 8, 2, true, true},
    [S_F8E4B8] = {"float8e4b8", "f8e4b8", TW_U8, 8, 3, true, true},
    [S_F8E4B15] = {"float8e4b15", "f8e4b15", TW_U8, 8, 3, true, true},
    [S_F8E5B16] = {"float8e5b16", "f8e5b16", TW_U8, 8, 2, true, true},
    [S_F16] = {"float16", "f16", TW_F16, 16, 10, true, true},
    [S_BF16] = {"bfloat16", "bf16", TW_BF16, 16, 7, true, true},
    [S_F32] = {"float32", "f32", TW_F32, 32, 23, true, true},
    [S_F64] = {"float64", "f64", TW_F64, 64, 52, true, true},
};

tw_dtype tw_lang_dtype(sca s)
{
    return s.pointers > 1 ? TW_I64 : tw_sca[s.kind].dtype;
}

static bool named(const char *name, size_t length, const char *is)
{
    return strlen(is) == length && !strncmp(name, is, length);
}

bool tw_lang_sca_named(const char *name, size_t length, sca *s)
{
    static const struct {
        const char *name;
        scalar_kind kind;
    } others[] = {{"fp64", S_F64},         {"fp32", S_F32},   {"fp16", S_F16},       {"bool", S_I1},
                  {"fp8e4nv", S_F8E4NV},   {"fp8e5", S_F8E5}, {"fp8e4b8", S_F8E4B8}, {"fp8e4b15", S_F8E4B15},
                  {"fp8e5b16", S_F8E5B16}, {"B", S_I1},       {"u1", S_I1},          {"uint1", S_I1}};
    *s = (sca){0};
    while (length && *name == '*') {
        s->pointers++;
        name++;
        length--;
    }
    if (length > 1 && *name == 'k' && s->pointers) { /* *kf32: a pointer to constant memory */
        name++;
        length--;
    }
    for (int i = 0; i < S_COUNT; i++)
        if (named(name, length, tw_sca[i].name) || named(name, length, tw_sca[i].brief))
            return s->kind = (uint8_t)i, s->pointers <= 4;
    for (size_t i = 0; i < TW_COUNT(others); i++)
        if (named(name, length, others[i].name))
            return s->kind = (uint8_t)others[i].kind, s->pointers <= 4;
    return false;
}

void tw_lang_print_sca(sca s, tw_text *out)
{
    for (int i = 0; i < s.pointers; i++)
        tw_text_add(out, "*");
    tw_text_add(out, "%s", tw_sca[s.kind].brief);
}

static void print_type(const val *v, tw_text *out)
{
    static const char *const kinds[] = {[V_UNDEFINED] = "nothing",      [V_NONE] = "None",
                                        [V_BOOL] = "a constant bool",   [V_INT] = "a constant int",
                                        [V_FLOAT] = "a constant float", [V_STRING] = "a string",
                                        [V_TUPLE] = "a tuple",          [V_DICT] = "a dictionary",
                                        [V_TYPE] = "a dtype",           [V_FUNCTION] = "a function",
                                        [V_METHOD] = "a method",        [V_SLICE] = "a slice",
                                        [V_LAMBDA] = "a lambda"};
    switch (v->kind) {
    case V_TENSOR:
        tw_lang_print_sca(v->s, out);
        for (int i = 0; i < v->v->type.rank; i++)
            tw_text_add(out, "%s%lld", i ? ", " : "[", (long long)v->v->type.dims[i]);
        tw_text_add(out, "%s", v->v->type.rank ? "]" : "");
        return;
    case V_BLOCK:
        tw_text_add(out, v->descriptor ? "a tensor descriptor of " : "a block pointer to ");
        tw_lang_print_sca(number((scalar_kind)v->block->base.s.kind), out);
        for (int i = 0; i < v->block->rank; i++)
            tw_text_add(out, "%s%lld", i ? ", " : "[", (long long)v->block->size[i]);
        tw_text_add(out, "]");
        return;
    case V_MEANING:
        tw_text_add(out, v->meaning->kind == IS_OPAQUE ? "'%s', which host code defines" : "'%s'", v->meaning->name);
        return;
    case V_TYPE:
        tw_text_add(out, "the type ");
        tw_lang_print_sca(v->s, out);
        return;
    default:
        tw_text_add(out, "%s", kinds[v->kind]);
        if (v->kind == V_INT)
            tw_text_add(out, " (%lld)", (long long)v->i);
        if (v->kind == V_FLOAT)
            tw_text_add(out, " (%g)", v->f);
        if (v->kind == V_TUPLE)
            tw_text_add(out, " of %d", (int)v->count);
    }
}

const char *tw_lang_type_text(lowering *c, const val *v)
{
    tw_text text = {0};
    print_type(v, &text);
    const char *copy = tw_arena_text(c->l->arena, "%s", tw_text_string(&text));
    tw_text_free(&text);
    return copy ? copy : "?";
}

bool tw_lang_constant(const val *v, val *result)
{
    if (is_number(v)) {
        *result = *v;
        return true;
    }
    if (v->kind != V_TENSOR || v->v->type.rank || !v->v->def || v->v->def->code != TW_T_CONSTANT || is_pointer(v->s) ||
        is_f8(v->s))
        return false;
    const tw_attr *attr = v->v->def->attr;
    if (v->s.kind == S_I1)
        *result = of_bool(attr[1].i != 0);
    else if (is_floating(v->s))
        *result = of_float(v->s.kind == S_F32 ? (double)(float)attr[0].f : attr[0].f);
    else
        *result = of_int(v->s.kind == S_U64 ? (wide)(uint64_t)attr[1].i : (wide)attr[1].i);
    return true;
}

val tw_lang_tuple(lowering *c, int count)
{
    val t = {.kind = V_TUPLE, .count = count};
    if (count > MOST_ITEMS || !(t.item = tw_arena_zero(c->l->arena, (size_t)TW_MAX(count, 1), sizeof *t.item)))
        t.count = 0;
    return t;
}

static double as_double(const val *v)
{
    return v->kind == V_FLOAT ? v->f : v->kind == V_BOOL ? (double)v->truth : (double)v->i;
}

static wide as_wide(const val *v)
{
    return v->kind == V_BOOL ? (wide)v->truth : v->i;
}

bool tw_lang_equal(const val *a, const val *b, bool *equal)
{
    val x, y;
    *equal = false;
    if (a->kind == V_TENSOR || b->kind == V_TENSOR) {
        if (!tw_lang_constant(a, &x) || !tw_lang_constant(b, &y))
            return a->kind == V_NONE || b->kind == V_NONE;
        a = &x;
        b = &y;
    }
    if (is_number(a) && is_number(b)) {
        *equal = a->kind == V_FLOAT || b->kind == V_FLOAT ? as_double(a) == as_double(b) : as_wide(a) == as_wide(b);
        return true;
    }
    if (a->kind != b->kind)
        return true;
    switch (a->kind) {
    case V_NONE:
        *equal = true;
        return true;
    case V_STRING:
        *equal = a->count == b->count && !memcmp(a->text, b->text, (size_t)a->count);
        return true;
    case V_TYPE:
        *equal = same_sca(a->s, b->s) && a->count == b->count &&
                 (a->count <= 0 || !memcmp(a->dims, b->dims, (size_t)a->count * sizeof *a->dims));
        return true;
    case V_FUNCTION:
        *equal = a->function == b->function;
        return true;
    case V_MEANING:
        *equal = a->meaning->kind == b->meaning->kind && a->meaning->name == b->meaning->name;
        return a->meaning->kind != IS_OPAQUE;
    case V_TUPLE:
        if (a->count != b->count)
            return true;
        *equal = true;
        for (int i = 0; i < a->count && *equal; i++)
            if (!tw_lang_equal(&a->item[i], &b->item[i], equal))
                return false;
        return true;
    default:
        return false;
    }
}

bool tw_lang_same(const val *a, const val *b)
{
    bool equal = false;
    if (a->kind != b->kind)
        return false;
    if (a->kind == V_TENSOR)
        return a->v == b->v && same_sca(a->s, b->s);
    if (a->kind == V_UNDEFINED)
        return true;
    if (a->kind == V_BLOCK)
        return a->block == b->block;
    if (a->kind == V_TUPLE) {
        for (int i = 0; i < a->count && a->count == b->count; i++)
            if (!tw_lang_same(&a->item[i], &b->item[i]))
                return false;
        return a->count == b->count;
    }
    if (a->kind == V_FLOAT && isnan(a->f) && isnan(b->f))
        return true;
    return tw_lang_equal(a, b, &equal) && equal;
}
