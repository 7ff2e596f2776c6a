/* Operators on values that are known at compile time, as Python defines them. */
#include <math.h>

#include "tile/lang/lower.h"

static double real(const val *v)
{
    return v->kind == V_FLOAT ? v->f : v->kind == V_BOOL ? (double)v->truth : (double)v->i;
}

static wide whole(const val *v)
{
    return v->kind == V_BOOL ? (wide)v->truth : v->i;
}

static bool too_large(lowering *c, const node *n)
{
    return tw_lang_error(c, n, "a constant of more than 120 bits");
}

static wide floor_divide(wide a, wide b)
{
    wide q = a / b;
    return q - ((a % b != 0) && ((a < 0) != (b < 0)));
}

static bool power(lowering *c, const node *n, wide a, wide b, val *out)
{
    wide r = 1;
    if (b < 0) {
        *out = of_float(pow((double)a, (double)b));
        return true;
    }
    if (b > 4096 && a != 0 && a != 1 && a != -1)
        return too_large(c, n);
    for (wide i = 0; i < TW_MIN(b, (wide)4096 + (b & 1)); i++)
        if (__builtin_mul_overflow(r, a, &r))
            return too_large(c, n);
    *out = of_int(r);
    return true;
}

static bool integers(lowering *c, const node *n, uint32_t op, wide a, wide b, val *out)
{
    wide r = 0;
    bool fine = true;
    switch (op) {
    case OP1('+'):
        fine = !__builtin_add_overflow(a, b, &r);
        break;
    case OP1('-'):
        fine = !__builtin_sub_overflow(a, b, &r);
        break;
    case OP1('*'):
        fine = !__builtin_mul_overflow(a, b, &r);
        break;
    case OP2('/', '/'):
    case OP1('%'):
        if (b == 0)
            return tw_lang_error(c, n, "found a division of constants by 0");
        r = op == OP1('%') ? a - floor_divide(a, b) * b : floor_divide(a, b);
        break;
    case OP2('<', '<'):
    case OP2('>', '>'):
        if (b < 0 || b > 120)
            return tw_lang_error(c, n, "found a shift by %lld bits, expected 0 to 120", (long long)b);
        if (op == OP2('<', '<'))
            fine = !__builtin_mul_overflow(a, (wide)1 << b, &r);
        else
            r = a >> b;
        break;
    case OP1('&'):
        r = a & b;
        break;
    case OP1('|'):
        r = a | b;
        break;
    case OP1('^'):
        r = a ^ b;
        break;
    case OP2('*', '*'):
        return power(c, n, a, b, out);
    default:
        fine = false;
    }
    *out = of_int(r);
    return fine || too_large(c, n);
}

static bool reals(lowering *c, const node *n, uint32_t op, double a, double b, val *out)
{
    double r = 0;
    if ((op == OP1('/') || op == OP2('/', '/') || op == OP1('%')) && b == 0)
        return tw_lang_error(c, n, "found a division of constants by 0");
    switch (op) {
    case OP1('+'):
        r = a + b;
        break;
    case OP1('-'):
        r = a - b;
        break;
    case OP1('*'):
        r = a * b;
        break;
    case OP1('/'):
        r = a / b;
        break;
    case OP2('/', '/'):
        r = floor(a / b);
        break;
    case OP1('%'):
        r = fmod(a, b);
        r += r != 0 && (r < 0) != (b < 0) ? b : 0;
        break;
    case OP2('*', '*'):
        r = pow(a, b);
        break;
    default:
        return tw_lang_error(c, n, "found bits of a constant float, expected whole numbers");
    }
    *out = of_float(r);
    return true;
}

static bool join_tuples(lowering *c, const node *n, const val *a, const val *b, val *out)
{
    *out = tw_lang_tuple(c, a->count + b->count);
    if (out->count != a->count + b->count)
        return tw_lang_error(c, n, "a tuple of more than %d items", MOST_ITEMS);
    for (int i = 0; i < a->count; i++)
        out->item[i] = a->item[i];
    for (int i = 0; i < b->count; i++)
        out->item[a->count + i] = b->item[i];
    return true;
}

static bool repeat(lowering *c, const node *n, const val *a, wide times, val *out)
{
    times = TW_MAX(times, (wide)0);
    if (a->count * times > (a->kind == V_TUPLE ? MOST_ITEMS : MOST_TEXT))
        return tw_lang_error(c, n, "a repetition that is too long");
    int total = a->count * (int)times;
    if (a->kind == V_TUPLE) {
        *out = tw_lang_tuple(c, total);
        for (int i = 0; i < out->count; i++)
            out->item[i] = a->item[i % a->count];
        return true;
    }
    char *text = tw_arena_alloc(c->l->arena, (size_t)total + 1);
    if (!text)
        return tw_lang_error(c, n, "out of memory");
    for (int i = 0; i < total; i++)
        text[i] = a->text[i % a->count];
    text[total] = '\0';
    *out = (val){.kind = V_STRING, .text = text, .count = total};
    return true;
}

static bool join_strings(lowering *c, const node *n, const val *a, const val *b, val *out)
{
    if (a->count + b->count > MOST_TEXT)
        return tw_lang_error(c, n, "a string of more than %d bytes", MOST_TEXT);
    char *text = tw_arena_alloc(c->l->arena, (size_t)(a->count + b->count) + 1);
    if (!text)
        return tw_lang_error(c, n, "out of memory");
    memcpy(text, a->text, (size_t)a->count);
    memcpy(text + a->count, b->text, (size_t)b->count);
    text[a->count + b->count] = '\0';
    *out = (val){.kind = V_STRING, .text = text, .count = a->count + b->count};
    return true;
}

bool tw_lang_constant_binary(lowering *c, const node *n, uint32_t op, const val *a, const val *b, val *out)
{
    bool sequence = a->kind == V_TUPLE || a->kind == V_STRING;
    if (is_number(a) && is_number(b)) {
        bool bits = op == OP1('&') || op == OP1('|') || op == OP1('^');
        if (a->kind == V_BOOL && b->kind == V_BOOL && bits) {
            *out = of_bool(op == OP1('&')   ? a->truth && b->truth
                           : op == OP1('|') ? a->truth || b->truth
                                            : a->truth != b->truth);
            return true;
        }
        if (a->kind == V_FLOAT || b->kind == V_FLOAT || op == OP1('/'))
            return reals(c, n, op, real(a), real(b), out);
        return integers(c, n, op, whole(a), whole(b), out);
    }
    if (sequence && a->kind == b->kind && op == OP1('+'))
        return a->kind == V_TUPLE ? join_tuples(c, n, a, b, out) : join_strings(c, n, a, b, out);
    if (op == OP1('*') && sequence && (b->kind == V_INT || b->kind == V_BOOL))
        return repeat(c, n, a, whole(b), out);
    if (op == OP1('*') && (b->kind == V_TUPLE || b->kind == V_STRING) && a->kind == V_INT)
        return repeat(c, n, b, a->i, out);
    return tw_lang_error(c, n, "operands are %s and %s; expected numbers or tensors", tw_lang_type_text(c, a),
                         tw_lang_type_text(c, b));
}

static bool contains(const val *in, const val *what)
{
    bool equal = false;
    for (int i = 0; in->kind == V_STRING && what->kind == V_STRING && i + what->count <= in->count; i++)
        if (!memcmp(in->text + i, what->text, (size_t)what->count))
            return true;
    for (int i = 0; i < in->count && (in->kind == V_TUPLE || in->kind == V_DICT) && !equal;
         i += in->kind == V_DICT ? 2 : 1)
        (void)tw_lang_equal(&in->item[i], what, &equal);
    return equal;
}

bool tw_lang_constant_compare(lowering *c, const node *n, compare_kind kind, const val *a, const val *b, val *out)
{
    bool equal;
    switch (kind) {
    case CMP_IN:
    case CMP_NOT_IN:
        if (b->kind != V_TUPLE && b->kind != V_STRING && b->kind != V_DICT)
            return tw_lang_error(c, n, "found 'in' %s, expected a tuple or a string", tw_lang_type_text(c, b));
        *out = of_bool(contains(b, a) == (kind == CMP_IN));
        return true;
    case CMP_EQ:
    case CMP_NE:
    case CMP_IS:
    case CMP_IS_NOT:
        if (!tw_lang_equal(a, b, &equal))
            return tw_lang_error(c, n, "can't compare %s with %s", tw_lang_type_text(c, a), tw_lang_type_text(c, b));
        *out = of_bool(equal == (kind == CMP_EQ || kind == CMP_IS));
        return true;
    default:
        break;
    }
    if (!is_number(a) || !is_number(b))
        return tw_lang_error(c, n, "can't order %s and %s", tw_lang_type_text(c, a), tw_lang_type_text(c, b));
    bool floating = a->kind == V_FLOAT || b->kind == V_FLOAT;
    bool less = floating ? real(a) < real(b) : whole(a) < whole(b),
         more = floating ? real(a) > real(b) : whole(a) > whole(b);
    bool same = floating ? real(a) == real(b) : whole(a) == whole(b);
    *out = of_bool(kind == CMP_LT ? less : kind == CMP_LE ? less || same : kind == CMP_GT ? more : more || same);
    return true;
}

bool tw_lang_truth(lowering *c, const node *n, const val *v, bool *truth)
{
    val known;
    *truth = true;
    if (tw_lang_constant(v, &known)) {
        *truth = real(&known) != 0;
        return true;
    }
    switch (v->kind) {
    case V_NONE:
        *truth = false;
        return true;
    case V_STRING:
    case V_TUPLE:
    case V_DICT:
        *truth = v->count > 0;
        return true;
    case V_TYPE:
    case V_FUNCTION:
    case V_BLOCK:
    case V_LAMBDA:
        return true;
    case V_MEANING:
        if (v->meaning->kind != IS_OPAQUE)
            return true;
        break;
    default:
        break;
    }
    return tw_lang_error(c, n, "the truth of %s is not known at compile time", tw_lang_type_text(c, v));
}

bool tw_lang_to_int(lowering *c, const node *n, const val *v, const char *what, int64_t *i)
{
    val known;
    if (tw_lang_constant(v, &known) && known.kind != V_FLOAT && whole(&known) >= INT64_MIN &&
        whole(&known) <= INT64_MAX) {
        *i = (int64_t)whole(&known);
        return true;
    }
    if (tw_lang_constant(v, &known) && known.kind == V_FLOAT && fabs(known.f) < 0x1p62 && known.f == floor(known.f)) {
        *i = (int64_t)known.f;
        return true;
    }
    return tw_lang_error(c, n, "%s is %s; expected a whole number known at compile time", what,
                         tw_lang_type_text(c, v));
}
