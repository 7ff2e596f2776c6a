/* Builtins of compile time, hints, debugging, and what Python itself offers. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#include "tile/lang/lower.h"

bool tw_lang_do_hint(lowering *c, const node *n, val *arg, int which, val *out)
{
    (void)c, (void)n, (void)which;
    *out = arg[0];
    return true;
}

bool tw_lang_do_nothing(lowering *c, const node *n, val *arg, int which, val *out)
{
    (void)c, (void)n, (void)arg, (void)which;
    *out = of_none();
    return true;
}

bool tw_lang_do_constant(lowering *c, const node *n, val *arg, int which, val *out)
{
    val known;
    (void)c, (void)n, (void)which;
    *out = tw_lang_constant(&arg[0], &known) ? known : arg[0];
    return true;
}

bool tw_lang_do_constant_test(lowering *c, const node *n, val *arg, int which, val *out)
{
    val known;
    (void)which;
    if (!tw_lang_constant(&arg[0], &known))
        return tw_lang_error(c, n, "%s is not known at compile time", tw_lang_type_text(c, &arg[0]));
    *out = of_bool(known.kind == V_FLOAT && known.f == 0 && signbit(known.f));
    return true;
}

static const char *message_text(const val *v)
{
    return v->kind == V_STRING ? v->text : "";
}

bool tw_lang_do_static_assert(lowering *c, const node *n, val *arg, int which, val *out)
{
    bool holds;
    (void)which;
    *out = of_none();
    if (!tw_lang_truth(c, n, &arg[0], &holds))
        return false;
    return holds || tw_lang_error(c, n, "static_assert does not hold%s%.300s", *message_text(&arg[1]) ? ": " : "",
                                  message_text(&arg[1]));
}

static bool print(lowering *c, const node *n, const char *prefix, const val *args, bool hex)
{
    enum { MOST_PRINTED = 32 };
    tw_value *v[MOST_PRINTED];
    int count = 0;
    tw_text text = {0};
    tw_text_add(&text, "%s", prefix);
    bool fine = true;
    for (int i = 0; i < args->count && fine; i++) {
        val x = args->item[i];
        if (x.kind == V_STRING) {
            tw_text_add(&text, "%s%.*s", text.count ? " " : "", (int)TW_MIN(x.count, 200), x.text);
            continue;
        }
        fine = tw_lang_tensor(c, n, &x, "what is printed") &&
               (count < MOST_PRINTED || tw_lang_error(c, n, "more than %d values", MOST_PRINTED));
        if (fine && is_f8(x.s))
            fine = tw_lang_cast(c, n, &x, number(S_F32));
        if (fine && is_pointer(x.s))
            fine = tw_lang_cast(c, n, &x, number(S_I64));
        if (fine)
            v[count++] = x.v;
    }
    if (fine && text.count > 400)
        fine = tw_lang_error(c, n, "a text of more than 400 bytes");
    fine = fine &&
           (tw_t_print(c->g, count, v, tw_text_string(&text), hex) || tw_lang_error(c, n, "%s", tw_error_message()));
    tw_text_free(&text);
    return fine;
}

bool tw_lang_do_device_print(lowering *c, const node *n, val *arg, int which, val *out)
{
    bool hex;
    (void)which;
    *out = of_none();
    if (arg[0].kind != V_STRING)
        return tw_lang_error(c, n, "the prefix is %s; expected a string", tw_lang_type_text(c, &arg[0]));
    return tw_lang_flag(c, n, &arg[2], false, &hex) && print(c, n, arg[0].text, &arg[1], hex);
}

bool tw_lang_do_python_print(lowering *c, const node *n, val *arg, int which, val *out)
{
    (void)which;
    *out = of_none();
    return print(c, n, "", &arg[0], false);
}

bool tw_lang_do_device_assert(lowering *c, const node *n, val *arg, int which, val *out)
{
    val holds = arg[0], mask = arg[2];
    (void)which;
    *out = of_none();
    if (!tw_lang_tensor(c, n, &holds, "the condition") || !tw_lang_to_bool(c, n, &holds))
        return false;
    if (given_some(&mask) &&
        (!tw_lang_tensor(c, n, &mask, "the mask") || !tw_lang_unary(c, n, OP1('!'), &mask, &mask) ||
         !tw_lang_binary(c, n, OP1('|'), &holds, &mask, &holds)))
        return false;
    return tw_t_assert(c->g, holds.v, message_text(&arg[1])) || tw_lang_error(c, n, "%s", tw_error_message());
}

/* ---- types ---- */

bool tw_lang_do_pointer_type(lowering *c, const node *n, val *arg, int which, val *out)
{
    *out = (val){.kind = V_TYPE, .count = -1};
    if (!tw_lang_type_of(c, n, &arg[0], &out->s))
        return false;
    if (!which) {
        out->s.pointers++;
        return out->s.pointers <= 4 || tw_lang_error(c, n, "pointers to pointers are nested too deep");
    }
    int64_t dims[TW_MAX_RANK];
    int rank;
    if (!tw_lang_shape(c, n, &arg[1], dims, &rank))
        return false;
    out->count = rank;
    out->dims = tw_arena_copy(c->l->arena, dims, sizeof dims);
    return out->dims || tw_lang_error(c, n, "out of memory");
}

bool tw_lang_do_int_dtype(lowering *c, const node *n, val *arg, int which, val *out)
{
    int64_t bits;
    bool sign;
    (void)which;
    if (!tw_lang_to_int(c, n, &arg[0], "the width", &bits) || !tw_lang_flag(c, n, &arg[1], true, &sign))
        return false;
    for (int k = S_I1; k <= S_U64; k++) {
        if (tw_sca[k].bits != bits || (tw_sca[k].sign != sign && bits != 1))
            continue;
        *out = (val){.kind = V_TYPE, .s = number((scalar_kind)k), .count = -1};
        return true;
    }
    return tw_lang_error(c, n, "no integer has %lld bits", (long long)bits);
}

bool tw_lang_do_type_of(lowering *c, const node *n, val *arg, int which, val *out)
{
    (void)which;
    if (arg[0].kind == V_TENSOR)
        return tw_lang_attribute(c, n, &arg[0], "type", out);
    return tw_lang_error(c, n, "not supported: type() of %s", tw_lang_type_text(c, &arg[0]));
}

/* ---- numbers of the host ---- */

bool tw_lang_do_host_cdiv(lowering *c, const node *n, val *arg, int which, val *out)
{
    val one = of_int(1), t;
    (void)which;
    return tw_lang_binary(c, n, OP1('-'), &arg[1], &one, &t) && tw_lang_binary(c, n, OP1('+'), &arg[0], &t, &t) &&
           tw_lang_binary(c, n, op_of("//"), &t, &arg[1], out);
}

bool tw_lang_do_next_power(lowering *c, const node *n, val *arg, int which, val *out)
{
    int64_t x, p = 1;
    if (!tw_lang_to_int(c, n, &arg[0], "the number", &x))
        return false;
    while (p < x && p < (int64_t)1 << 61)
        p *= 2;
    *out = of_int(which && p > x ? p / 2 : p);
    return true;
}

bool tw_lang_do_target(lowering *c, const node *n, val *arg, int which, val *out)
{
    (void)c, (void)n, (void)arg;
    *out = which ? of_none() : of_bool(false);
    return true;
}

bool tw_lang_do_constant_math(lowering *c, const node *n, val *arg, int which, val *out)
{
    val known;
    if (!tw_lang_constant(&arg[0], &known))
        return tw_lang_error(c, n, "%s is not known at compile time; tl.math has functions of tensors",
                             tw_lang_type_text(c, &arg[0]));
    double x = known.kind == V_FLOAT ? known.f : known.kind == V_BOOL ? known.truth : (double)known.i;
    switch (which) {
    case MATH_SQRT:
        return *out = of_float(sqrt(x)), true;
    case MATH_LOG2:
        return *out = of_float(log2(x)), true;
    case MATH_LOG:
        return *out = of_float(log(x)), true;
    case MATH_EXP:
        return *out = of_float(exp(x)), true;
    default:
        x = which == MATH_CEIL ? ceil(x) : floor(x);
        if (!(fabs(x) < 0x1p62))
            return tw_lang_error(c, n, "%g is no whole number of 64 bits", x);
        return *out = of_int((int64_t)x), true;
    }
}

/* ---- Python ---- */

bool tw_lang_do_python_minmax(lowering *c, const node *n, val *arg, int which, val *out)
{
    val list = arg[0];
    if (list.count == 1 && list.item[0].kind == V_TUPLE)
        list = list.item[0];
    if (list.count < 1)
        return tw_lang_error(c, n, "min and max need arguments");
    *out = list.item[0];
    for (int i = 1; i < list.count; i++) {
        val pair[3] = {*out, list.item[i], {.kind = V_UNDEFINED}};
        if (is_number(&pair[0]) && is_number(&pair[1])) {
            val less;
            if (!tw_lang_constant_compare(c, n, CMP_LT, &pair[1], &pair[0], &less))
                return false;
            bool same;
            (void)tw_lang_equal(&pair[0], &pair[1], &same);
            *out = same ? pair[0] : less.truth == (which == 0) ? pair[1] : pair[0];
        } else if (!tw_lang_minmax(c, n, pair[0], pair[1], which, false, out)) {
            return false;
        }
    }
    return true;
}

bool tw_lang_do_length(lowering *c, const node *n, val *arg, int which, val *out)
{
    (void)which;
    const val *v = &arg[0];
    if (v->kind == V_TUPLE || v->kind == V_STRING || v->kind == V_DICT)
        return *out = of_int(v->kind == V_DICT ? v->count / 2 : v->count), true;
    if (v->kind == V_TENSOR && rank_of(v))
        return *out = of_int(v->v->type.dims[0]), true;
    return tw_lang_error(c, n, "len() of %s", tw_lang_type_text(c, v));
}

static bool parse_real(const char *text, double *value)
{
    static const char *const words[] = {"inf", "-inf", "+inf", "infinity", "-infinity", "nan", "-nan"};
    static const double values[] = {INFINITY, -INFINITY, INFINITY, INFINITY, -INFINITY, NAN, NAN};
    char lower[32];
    size_t n = 0;
    for (; text[n] && n + 1 < sizeof lower; n++)
        lower[n] = (char)tolower((unsigned char)text[n]);
    lower[n] = '\0';
    for (size_t i = 0; i < TW_COUNT(words); i++)
        if (!strcmp(lower, words[i]))
            return *value = values[i], true;
    char *end;
    *value = strtod(text, &end);
    return end != text && !*end;
}

bool tw_lang_do_python_number(lowering *c, const node *n, val *arg, int which, val *out)
{
    const val *v = &arg[0];
    val known;
    double real;
    bool truth;
    if (which == 3) {
        tw_text text = {0};
        if (v->kind == V_STRING)
            return *out = *v, true;
        if (v->kind == V_TYPE)
            return tw_lang_attribute(c, n, v, "name", out);
        if (!tw_lang_constant(v, &known))
            return tw_lang_error(c, n, "str() of %s", tw_lang_type_text(c, v));
        if (known.kind == V_FLOAT)
            tw_text_add(&text, "%.17g", known.f);
        else if (known.kind == V_BOOL)
            tw_text_add(&text, "%s", known.truth ? "True" : "False");
        else
            tw_text_add(&text, "%lld", (long long)known.i);
        *out = (val){.kind = V_STRING,
                     .count = (int)text.count,
                     .text = tw_arena_text(c->l->arena, "%s", tw_text_string(&text))};
        tw_text_free(&text);
        return out->text || tw_lang_error(c, n, "out of memory");
    }
    if (which == 2)
        return tw_lang_truth(c, n, v, &truth) && (*out = of_bool(truth), true);
    if (v->kind == V_STRING && which == 1) {
        char text[64];
        snprintf(text, sizeof text, "%.*s", (int)TW_MIN(v->count, 60), v->text);
        if (!parse_real(text, &real))
            return tw_lang_error(c, n, "float() of \"%s\"; expected a number, \"inf\" or \"nan\"", text);
        return *out = of_float(real), true;
    }
    if (!tw_lang_constant(v, &known)) {
        if (v->kind == V_TENSOR && c->frame->host == false && !tw_lang_note(c, n, "float() or int() of a tensor"))
            return false;
        *out = *v;
        return v->kind == V_TENSOR ? tw_lang_cast(c, n, out, number(which ? S_F32 : S_I32))
                                   : tw_lang_error(c, n, "%s is no number", tw_lang_type_text(c, v));
    }
    if (which == 1)
        return *out = of_float(known.kind == V_FLOAT  ? known.f
                               : known.kind == V_BOOL ? known.truth
                                                      : (double)known.i),
               true;
    if (known.kind == V_FLOAT && !(fabs(known.f) < 0x1p100))
        return tw_lang_error(c, n, "int() of %g", known.f);
    *out = of_int(known.kind == V_FLOAT ? (wide)known.f : known.kind == V_BOOL ? (wide)known.truth : known.i);
    return true;
}

bool tw_lang_do_python_pow(lowering *c, const node *n, val *arg, int which, val *out)
{
    (void)which;
    return tw_lang_binary(c, n, op_of("**"), &arg[0], &arg[1], out);
}

bool tw_lang_do_python_sum(lowering *c, const node *n, val *arg, int which, val *out)
{
    (void)which;
    *out = given_some(&arg[1]) ? arg[1] : of_int(0);
    if (arg[0].kind != V_TUPLE)
        return tw_lang_error(c, n, "sum() of %s; expected a tuple (tl.sum adds a tile)", tw_lang_type_text(c, &arg[0]));
    for (int i = 0; i < arg[0].count; i++)
        if (!tw_lang_binary(c, n, OP1('+'), out, &arg[0].item[i], out))
            return false;
    return true;
}

bool tw_lang_do_tuple(lowering *c, const node *n, val *arg, int which, val *out)
{
    (void)which;
    if (given(&arg[0]))
        return tw_lang_iterate(c, n, &arg[0], out);
    *out = tw_lang_tuple(c, 0);
    return true;
}

static bool is_instance(const val *v, const char *type)
{
    if (!strcmp(type, "tensor"))
        return v->kind == V_TENSOR;
    if (!strcmp(type, "constexpr"))
        return is_number(v) || v->kind == V_STRING || v->kind == V_NONE;
    if (!strcmp(type, "tuple") || !strcmp(type, "list"))
        return v->kind == V_TUPLE;
    if (!strcmp(type, "dtype"))
        return v->kind == V_TYPE;
    if (!strcmp(type, "pointer_type"))
        return v->kind == V_TYPE && is_pointer(v->s);
    if (!strcmp(type, "block_type"))
        return v->kind == V_TYPE && v->count > 0;
    if (!strcmp(type, "tensor_descriptor") || !strcmp(type, "tensor_descriptor_base"))
        return v->kind == V_BLOCK && v->descriptor;
    if (!strcmp(type, "int"))
        return v->kind == V_INT || v->kind == V_BOOL;
    if (!strcmp(type, "bool"))
        return v->kind == V_BOOL;
    if (!strcmp(type, "float"))
        return v->kind == V_FLOAT;
    return !strcmp(type, "str") && v->kind == V_STRING;
}

bool tw_lang_do_isinstance(lowering *c, const node *n, val *arg, int which, val *out)
{
    val one = arg[1];
    const val *item = arg[1].kind == V_TUPLE ? arg[1].item : &one;
    int count = arg[1].kind == V_TUPLE ? arg[1].count : 1;
    bool holds = false;
    (void)which;
    for (int i = 0; i < count; i++) {
        if (item[i].kind != V_MEANING)
            return tw_lang_error(c, n, "isinstance() with %s", tw_lang_type_text(c, &item[i]));
        const meaning *m = item[i].meaning;
        holds = holds || is_instance(&arg[0], m->kind == IS_BUILTIN ? m->builtin->name : m->name);
    }
    *out = of_bool(holds);
    return true;
}

bool tw_lang_do_getattr(lowering *c, const node *n, val *arg, int which, val *out)
{
    if (arg[1].kind != V_STRING)
        return tw_lang_error(c, n, "the name of an attribute is %s; expected a string", tw_lang_type_text(c, &arg[1]));
    const char *name = tw_lang_intern(c->l, arg[1].text, (size_t)arg[1].count);
    diagnostic kept = *c->d;
    bool has = tw_lang_attribute(c, n, &arg[0], name, out);
    if (has && out->kind == V_METHOD && arg[0].kind != V_TYPE)
        has = tw_lang_method(name).kind == IS_BUILTIN;
    if (which) {
        *c->d = kept;
        return *out = of_bool(has), true;
    }
    if (!has && given(&arg[2])) {
        *c->d = kept;
        return *out = arg[2], true;
    }
    return has;
}
