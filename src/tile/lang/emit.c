/* Typed tile operations: Triton's promotion, broadcasting and conversions, made of tile operations. */
#include <math.h>

#include "tile/lang/lower.h"

bool tw_lang_emit(lowering *c, const node *n, tw_value *v, sca s, val *out)
{
    if (!v)
        return tw_lang_error(c, n, "%s", *tw_error_message() ? tw_error_message() : "out of memory");
    if (c->g->values > c->value_limit)
        return tw_lang_error(c, n, "the kernel unrolls to more than %lld tile operations", (long long)c->value_limit);
    *out = of_tensor(v, s);
    return true;
}

/* ---- numbers as tensors ---- */

static double real(const val *v)
{
    return v->kind == V_FLOAT ? v->f : v->kind == V_BOOL ? (double)v->truth : (double)v->i;
}

static bool fits(wide i, sca s)
{
    int bits = tw_sca[s.kind].bits;
    wide high = tw_sca[s.kind].sign ? ((wide)1 << (bits - 1)) - 1 : ((wide)1 << bits) - 1;
    wide low = tw_sca[s.kind].sign ? -((wide)1 << (bits - 1)) : 0;
    return i >= low && i <= high;
}

bool tw_lang_number(lowering *c, const node *n, const val *v, sca s, val *out)
{
    if (is_pointer(s) || s.kind == S_VOID)
        return tw_lang_error(c, n, "found a number, expected a pointer");
    if (is_f8(s)) {
        val wider;
        return tw_lang_number(c, n, v, number(S_F32), &wider) && tw_lang_cast(c, n, &wider, s) && (*out = wider, true);
    }
    if (is_floating(s))
        return tw_lang_emit(c, n, tw_t_constant(c->g, real(v), 0, tw_lang_dtype(s)), s, out);
    wide i = v->kind == V_FLOAT ? (fabs(v->f) < 0x1p100 ? (wide)v->f : 0) : v->kind == V_BOOL ? (wide)v->truth : v->i;
    if (v->kind == V_FLOAT && (double)i != v->f)
        return tw_lang_error(c, n, "found the constant %g, expected a whole number for %s", v->f, tw_sca[s.kind].name);
    if (s.kind == S_I1)
        i = i != 0;
    else if (!fits(i, s))
        return tw_lang_error(c, n, "the constant %lld does not fit into %s", (long long)i, tw_sca[s.kind].name);
    return tw_lang_emit(c, n, tw_t_constant(c->g, 0, (int64_t)(uint64_t)i, tw_lang_dtype(s)), s, out);
}

/* The type that a number has when it stands alone. */
static sca type_of_number(const val *v)
{
    if (v->kind == V_BOOL)
        return number(S_I1);
    if (v->kind == V_FLOAT) {
        double size = fabs(v->f);
        bool single = size == 0 || isinf(size) || isnan(size) || (size >= 0x1p-126 && size <= 0x1.fffffep127);
        return number(single ? S_F32 : S_F64);
    }
    return number(fits(v->i, number(S_I32))   ? S_I32
                  : fits(v->i, number(S_U32)) ? S_U32
                  : fits(v->i, number(S_I64)) ? S_I64
                                              : S_U64);
}

bool tw_lang_to_tensor(lowering *c, const node *n, val *v)
{
    if (v->kind == V_TENSOR)
        return true;
    if (!is_number(v))
        return tw_lang_error(c, n, "found %s, expected a tensor or a number", tw_lang_type_text(c, v));
    if (v->kind == V_INT && !fits(v->i, number(S_U64)) && !fits(v->i, number(S_I64)))
        return tw_lang_error(c, n, "a constant of more than 64 bits");
    val number = *v;
    return tw_lang_number(c, n, &number, type_of_number(v), v);
}

/* ---- shapes ---- */

static int64_t count_of(int rank, const int64_t *dims)
{
    int64_t count = 1;
    for (int i = 0; i < rank; i++)
        if (dims[i] <= 0 || __builtin_mul_overflow(count, dims[i], &count))
            return INT64_MAX;
    return count;
}

static const char *shape_text(lowering *c, int rank, const int64_t *dims)
{
    tw_text text = {0};
    for (int i = 0; i < rank; i++)
        tw_text_add(&text, "%s%lld", i ? ", " : "", (long long)dims[i]);
    const char *copy = tw_arena_text(c->l->arena, "[%s]", tw_text_string(&text));
    tw_text_free(&text);
    return copy ? copy : "?";
}

static bool allowed_shape(lowering *c, const node *n, int rank, const int64_t *dims)
{
    if (rank > TW_MAX_RANK)
        return tw_lang_error(c, n, "a tile of %d dimensions, expected at most %d", rank, TW_MAX_RANK);
    for (int i = 0; i < rank; i++)
        if (dims[i] < 1)
            return tw_lang_error(c, n, "shape %s: a dimension of %lld, expected at least 1", shape_text(c, rank, dims),
                                 (long long)dims[i]);
    if (count_of(rank, dims) > MOST_ELEMENTS)
        return tw_lang_error(c, n, "a tile of shape %s has more than %d elements", shape_text(c, rank, dims),
                             MOST_ELEMENTS);
    for (int i = 0; i < rank; i++)
        if ((dims[i] & (dims[i] - 1)) && !tw_lang_note(c, n, "a tile dimension that is no power of two"))
            return false;
    return true;
}

bool tw_lang_expand(lowering *c, const node *n, val *v, int axis)
{
    int64_t one = 1;
    if (rank_of(v) == 0)
        return tw_lang_broadcast(c, n, v, 1, &one);
    if (rank_of(v) == TW_MAX_RANK)
        return tw_lang_error(c, n, "a tile of more than %d dimensions", TW_MAX_RANK);
    return tw_lang_emit(c, n, tw_t_expand_dims(c->g, v->v, axis), v->s, v);
}

bool tw_lang_broadcast(lowering *c, const node *n, val *v, int rank, const int64_t *dims)
{
    const tw_type *t = &v->v->type;
    if (rank == 0 && t->rank == 0)
        return true;
    if (t->rank == rank && (!rank || !memcmp(t->dims, dims, (size_t)rank * sizeof *dims)))
        return true;
    if (!allowed_shape(c, n, rank, dims))
        return false;
    if (t->rank && t->rank != rank)
        return tw_lang_error(c, n, "cannot broadcast %s to shape %s: the numbers of dimensions differ",
                             tw_lang_type_text(c, v), shape_text(c, rank, dims));
    for (int i = 0; i < t->rank; i++)
        if (t->dims[i] != dims[i] && t->dims[i] != 1)
            return tw_lang_error(c, n, "cannot broadcast %s to shape %s: dimension %d is %lld, expected 1 or %lld",
                                 tw_lang_type_text(c, v), shape_text(c, rank, dims), i, (long long)t->dims[i],
                                 (long long)dims[i]);
    return tw_lang_emit(c, n, tw_t_broadcast(c->g, v->v, rank, dims), v->s, v);
}

bool tw_lang_align(lowering *c, const node *n, val *a, val *b)
{
    int64_t dims[TW_MAX_RANK];
    if (rank_of(a) == 0 || rank_of(b) == 0)
        return true;
    while (rank_of(a) < rank_of(b))
        if (!tw_lang_expand(c, n, a, 0))
            return false;
    while (rank_of(b) < rank_of(a))
        if (!tw_lang_expand(c, n, b, 0))
            return false;
    const tw_type *x = &a->v->type, *y = &b->v->type;
    for (int i = 0; i < x->rank; i++) {
        if (x->dims[i] != y->dims[i] && x->dims[i] != 1 && y->dims[i] != 1)
            return tw_lang_error(c, n, "shapes don't fit: %s and %s differ in dimension %d (%lld and %lld)",
                                 tw_lang_type_text(c, a), tw_lang_type_text(c, b), i, (long long)x->dims[i],
                                 (long long)y->dims[i]);
        dims[i] = TW_MAX(x->dims[i], y->dims[i]);
    }
    int rank = x->rank;
    return tw_lang_broadcast(c, n, a, rank, dims) && tw_lang_broadcast(c, n, b, rank, dims);
}

bool tw_lang_reshape(lowering *c, const node *n, val *v, int rank, const int64_t *dims)
{
    const tw_type *t = &v->v->type;
    if (!allowed_shape(c, n, rank, dims))
        return false;
    if (t->rank == rank && (!rank || !memcmp(t->dims, dims, (size_t)rank * sizeof *dims)))
        return true;
    if (count_of(rank, dims) != count_of(t->rank, t->dims))
        return tw_lang_error(c, n, "cannot reshape %s to %s: the numbers of elements differ", tw_lang_type_text(c, v),
                             shape_text(c, rank, dims));
    if (t->rank == 0)
        return tw_lang_broadcast(c, n, v, rank, dims);
    int64_t none = 0;
    return tw_lang_emit(c, n, tw_t_reshape(c->g, v->v, rank, rank ? dims : &none), v->s, v);
}

bool tw_lang_permute(lowering *c, const node *n, val *v, const int64_t *axes)
{
    bool same = true;
    for (int i = 0; i < rank_of(v); i++)
        same = same && axes[i] == i;
    return same || tw_lang_emit(c, n, tw_t_permute(c->g, v->v, rank_of(v), axes), v->s, v);
}

bool tw_lang_iota(lowering *c, const node *n, int64_t start, int64_t count, sca s, val *out)
{
    if (!allowed_shape(c, n, 1, &count))
        return false;
    tw_value *v = tw_t_arange(c->g, 1, &count);
    if (v && s.kind != S_I64)
        v = tw_t_cast(c->g, v, tw_lang_dtype(s));
    if (v && start)
        v = tw_t_add(c->g, v, tw_t_constant(c->g, 0, start, tw_lang_dtype(s)));
    return tw_lang_emit(c, n, v, s, out);
}

/* x along `axis` at the places of `index`; all other dimensions stay. */
bool tw_lang_take(lowering *c, const node *n, const val *x, val index, int axis, val *out)
{
    int64_t dims[TW_MAX_RANK];
    int rank = rank_of(x);
    int64_t size = rank_of(&index) ? index.v->type.dims[0] : 1;
    for (int i = 0; i < rank; i++)
        dims[i] = i == axis ? size : 1;
    if (rank_of(&index) ? !tw_lang_reshape(c, n, &index, rank, dims) : !tw_lang_broadcast(c, n, &index, rank, dims))
        return false;
    for (int i = 0; i < rank; i++)
        dims[i] = i == axis ? size : x->v->type.dims[i];
    return tw_lang_broadcast(c, n, &index, rank, dims) &&
           tw_lang_emit(c, n, tw_t_gather(c->g, x->v, index.v, axis), x->s, out);
}

/* ---- promotion ---- */

static int kind_of(sca s)
{
    return s.kind == S_I1 ? 0 : is_floating(s) ? 2 : 1;
}

static bool integer_type(lowering *c, const node *n, sca a, sca b, bool division, sca *result)
{
    const sca_info *x = &tw_sca[a.kind], *y = &tw_sca[b.kind];
    if (division && x->sign != y->sign)
        return tw_lang_error(c, n, "a division of %s by %s: one is signed, the other is not; cast one of them", x->name,
                             y->name);
    if (x->sign == y->sign)
        *result = x->bits > y->bits ? a : b;
    else if (!x->sign)
        *result = x->bits >= y->bits ? a : b;
    else
        *result = y->bits >= x->bits ? b : a;
    return true;
}

/* Triton's rules; a number beside a tensor counts only where its kind (bool, integer, floating) is the higher one. */
static bool common_type(lowering *c, const node *n, sca a, bool a_number, sca b, bool b_number, bool division,
                        sca *result)
{
    if (a_number != b_number) {
        sca num = a_number ? a : b, tensor = a_number ? b : a;
        if (kind_of(num) <= kind_of(tensor))
            a = b = tensor;
    }
    bool floating = is_floating(a) || is_floating(b);
    if (a.kind == S_F64 || b.kind == S_F64)
        *result = number(S_F64);
    else if (division && floating)
        *result = number(S_F32);
    else if (a.kind == S_F32 || b.kind == S_F32)
        *result = number(S_F32);
    else if (a.kind == S_F16 || b.kind == S_F16)
        *result = number(S_F16);
    else if (a.kind == S_BF16 || b.kind == S_BF16)
        *result = number(a.kind == b.kind ? S_BF16 : S_F32);
    else if (is_f8(a) || is_f8(b))
        *result = a.kind == b.kind ? a : number(is_f8(a) && is_f8(b) ? S_F16 : S_F32);
    else
        return integer_type(c, n, a, b, division, result);
    return true;
}

static bool to_common(lowering *c, const node *n, val *v, sca s)
{
    if (v->kind == V_TENSOR)
        return tw_lang_cast(c, n, v, s);
    if (is_integer(s) && v->kind == V_INT && s.kind != S_I1 && !fits(v->i, s))
        return tw_lang_error(c, n, "the constant %lld is out of range for %s; cast one of the operands",
                             (long long)v->i, tw_sca[s.kind].name);
    val num = *v;
    return tw_lang_number(c, n, &num, s, v);
}

static bool operands_wanted(lowering *c, const node *n, const val *a, const val *b)
{
    bool fine = (a->kind == V_TENSOR || is_number(a)) && (b->kind == V_TENSOR || is_number(b));
    return fine || tw_lang_error(c, n, "operands are %s and %s; expected tensors or numbers", tw_lang_type_text(c, a),
                                 tw_lang_type_text(c, b));
}

bool tw_lang_promote(lowering *c, const node *n, val *a, val *b, bool division)
{
    sca s;
    if (!operands_wanted(c, n, a, b))
        return false;
    bool a_number = a->kind != V_TENSOR, b_number = b->kind != V_TENSOR;
    sca x = a_number ? type_of_number(a) : a->s, y = b_number ? type_of_number(b) : b->s;
    if (is_pointer(x) || is_pointer(y)) {
        if (!same_sca(x, y))
            return tw_lang_error(c, n, "operands are %s and %s; expected pointers of one type", tw_lang_type_text(c, a),
                                 tw_lang_type_text(c, b));
        return tw_lang_align(c, n, a, b);
    }
    if (!common_type(c, n, x, a_number, y, b_number, division, &s) || !to_common(c, n, a, s) || !to_common(c, n, b, s))
        return false;
    return tw_lang_align(c, n, a, b);
}

/* ---- operators ---- */

static bool add_offset(lowering *c, const node *n, val pointer, val offset, bool minus, val *out)
{
    if (!tw_lang_to_tensor(c, n, &offset))
        return false;
    if (!is_integer(offset.s))
        return tw_lang_error(c, n, "operands are %s and %s; expected an integer offset to a pointer",
                             tw_lang_type_text(c, &pointer), tw_lang_type_text(c, &offset));
    if (!tw_lang_cast(c, n, &offset, number(S_I64)) || !tw_lang_align(c, n, &pointer, &offset))
        return false;
    tw_value *by = minus ? tw_t_neg(c->g, offset.v) : offset.v;
    if (rank_of(&offset) && !rank_of(&pointer) &&
        !tw_lang_broadcast(c, n, &pointer, rank_of(&offset), offset.v->type.dims))
        return false;
    return tw_lang_emit(c, n, tw_t_add(c->g, pointer.v, by), pointer.s, out);
}

static tw_value *build_bool(tw_graph *g, uint32_t op, tw_value *a, tw_value *b)
{
    switch (op) {
    case OP1('*'):
    case OP1('&'):
        return tw_t_and(g, a, b);
    case OP1('|'):
        return tw_t_or(g, a, b);
    default: /* one bit wraps around: + and - are exclusive or */
        return tw_t_xor(g, a, b);
    }
}

static tw_value *build(tw_graph *g, uint32_t op, sca s, tw_value *a, tw_value *b)
{
    if (s.kind == S_I1 && op != OP2('/', '/') && op != OP1('%') && op != OP1('/') && op != OP2('<', '<') &&
        op != OP2('>', '>'))
        return build_bool(g, op, a, b);
    switch (op) {
    case OP1('+'):
        return tw_t_add(g, a, b);
    case OP1('-'):
        return tw_t_sub(g, a, b);
    case OP1('*'):
        return tw_t_mul(g, a, b);
    case OP1('/'):
    case OP2('/', '/'):
        return tw_t_div(g, a, b);
    case OP1('%'):
        return tw_t_rem(g, a, b);
    case OP1('&'):
        return tw_t_and(g, a, b);
    case OP1('|'):
        return tw_t_or(g, a, b);
    case OP1('^'):
        return tw_t_xor(g, a, b);
    case OP2('<', '<'):
        return tw_t_shl(g, a, b);
    default:
        return tw_t_shr(g, a, b);
    }
}

static const char *op_text(uint32_t op, char room[4])
{
    for (int i = 0; i < 4; i++)
        room[i] = (char)(op >> (8 * i) & 255);
    return room;
}

/* 8-bit floats are computed in f32 and rounded. */
static bool in_f32(lowering *c, const node *n, uint32_t op, val a, val b, sca back, val *out)
{
    return tw_lang_cast(c, n, &a, number(S_F32)) && tw_lang_cast(c, n, &b, number(S_F32)) &&
           tw_lang_emit(c, n, build(c->g, op, number(S_F32), a.v, b.v), number(S_F32), out) &&
           tw_lang_cast(c, n, out, back);
}

static bool power(lowering *c, const node *n, val a, val b, val *out);

bool tw_lang_binary(lowering *c, const node *n, uint32_t op, const val *left, const val *right, val *out)
{
    char text[4] = "";
    val a = *left, b = *right;
    bool bits = op == OP1('&') || op == OP1('|') || op == OP1('^') || op == OP2('<', '<') || op == OP2('>', '>');
    if (a.kind != V_TENSOR && b.kind != V_TENSOR)
        return tw_lang_constant_binary(c, n, op, &a, &b, out);
    if (!operands_wanted(c, n, &a, &b))
        return false;
    if (a.kind == V_TENSOR && is_pointer(a.s) && (op == OP1('+') || op == OP1('-')) &&
        !(b.kind == V_TENSOR && is_pointer(b.s)))
        return add_offset(c, n, a, b, op == OP1('-'), out);
    if (b.kind == V_TENSOR && is_pointer(b.s) && op == OP1('+') && !(a.kind == V_TENSOR && is_pointer(a.s)))
        return add_offset(c, n, b, a, false, out);
    if ((a.kind == V_TENSOR && is_pointer(a.s)) || (b.kind == V_TENSOR && is_pointer(b.s)))
        return tw_lang_error(c, n, "found '%s' of %s and %s; a pointer takes only + and - of an integer",
                             op_text(op, text), tw_lang_type_text(c, left), tw_lang_type_text(c, right));
    if (op == OP2('*', '*'))
        return power(c, n, a, b, out);
    bool division = op == OP1('/') || op == OP2('/', '/') || op == OP1('%');
    if (op == OP2('<', '<') || op == OP2('>', '>')) { /* the left operand's signedness says how zeros come in */
        sca s = a.kind == V_TENSOR ? a.s : type_of_number(&a);
        if (!tw_lang_promote(c, n, &a, &b, false))
            return false;
        if (is_integer(a.s) && is_integer(s) && tw_sca[a.s.kind].sign != tw_sca[s.kind].sign && s.kind != S_I1) {
            static const scalar_kind with_sign[] = {S_I8, S_I16, S_I32, S_I64}, without[] = {S_U8, S_U16, S_U32, S_U64};
            int size = tw_sca[a.s.kind].bits == 8    ? 0
                       : tw_sca[a.s.kind].bits == 16 ? 1
                       : tw_sca[a.s.kind].bits == 32 ? 2
                                                     : 3;
            sca as = number(tw_sca[s.kind].sign ? with_sign[size] : without[size]), was = a.s;
            return tw_lang_bitcast(c, n, &a, as) && tw_lang_bitcast(c, n, &b, as) &&
                   tw_lang_emit(c, n, build(c->g, op, as, a.v, b.v), as, out) && tw_lang_bitcast(c, n, out, was);
        }
    } else if (!tw_lang_promote(c, n, &a, &b, division)) {
        return false;
    }
    if (bits && !is_integer(a.s))
        return tw_lang_error(c, n, "found '%s' of %s and %s; expected integers", op_text(op, text),
                             tw_lang_type_text(c, left), tw_lang_type_text(c, right));
    if (op == OP2('/', '/') && !is_integer(a.s))
        return tw_lang_error(c, n, "found '//' of %s and %s; expected integers", tw_lang_type_text(c, left),
                             tw_lang_type_text(c, right));
    if (op == OP1('@'))
        return tw_lang_error(c, n, "found '@'; expected tl.dot");
    if (op == OP1('/') && is_integer(a.s) &&
        (!tw_lang_cast(c, n, &a, number(S_F32)) || !tw_lang_cast(c, n, &b, number(S_F32))))
        return false;
    if (is_f8(a.s))
        return in_f32(c, n, op, a, b, a.s, out);
    return tw_lang_emit(c, n, build(c->g, op, a.s, a.v, b.v), a.s, out);
}

/* x ** k of a small whole k by multiplication, else pow. */
static bool power(lowering *c, const node *n, val a, val b, val *out)
{
    val k, result = a;
    if (a.kind == V_TENSOR && tw_lang_constant(&b, &k) && real(&k) == floor(real(&k)) && real(&k) >= 1 &&
        real(&k) <= 16) {
        for (int i = 1; i < (int)real(&k); i++)
            if (!tw_lang_binary(c, n, OP1('*'), &result, &a, &result))
                return false;
        *out = result;
        return true;
    }
    if (!tw_lang_promote(c, n, &a, &b, true))
        return false;
    if (!is_floating(a.s) && (!tw_lang_cast(c, n, &a, number(S_F32)) || !tw_lang_cast(c, n, &b, number(S_F32))))
        return false;
    return tw_lang_emit(c, n, tw_tile_pow(c->g, a.v, b.v), a.s, out);
}

bool tw_lang_compare(lowering *c, const node *n, compare_kind kind, const val *left, const val *right, val *out)
{
    val a = *left, b = *right;
    bool tensors = a.kind == V_TENSOR || b.kind == V_TENSOR;
    if (!tensors || kind >= CMP_IS || a.kind == V_NONE || b.kind == V_NONE) {
        if (tensors && (kind == CMP_IS || kind == CMP_IS_NOT)) {
            *out = of_bool(kind == CMP_IS_NOT);
            return true;
        }
        return tw_lang_constant_compare(c, n, kind, &a, &b, out);
    }
    if (a.kind == V_TENSOR && b.kind == V_TENSOR && is_pointer(a.s) && is_pointer(b.s) &&
        (!tw_lang_cast(c, n, &a, number(S_I64)) || !tw_lang_cast(c, n, &b, number(S_I64))))
        return false;
    if (a.kind == V_TENSOR && is_pointer(a.s) && !tw_lang_cast(c, n, &a, number(S_I64)))
        return false;
    if (!tw_lang_promote(c, n, &a, &b, false))
        return false;
    if (is_f8(a.s) && (!tw_lang_cast(c, n, &a, number(S_F32)) || !tw_lang_cast(c, n, &b, number(S_F32))))
        return false;
    static const int kinds[] = {TW_T_COMPARE_EQ, TW_T_COMPARE_NE, TW_T_COMPARE_LT,
                                TW_T_COMPARE_LE, TW_T_COMPARE_GT, TW_T_COMPARE_GE};
    return tw_lang_emit(c, n, tw_t_compare(c->g, a.v, b.v, kinds[kind]), number(S_I1), out);
}

bool tw_lang_unary(lowering *c, const node *n, uint32_t op, const val *operand, val *out)
{
    val a = *operand, all = of_int(-1);
    bool truth;
    if (op == OP1('!') && a.kind != V_TENSOR) {
        if (!tw_lang_truth(c, n, &a, &truth))
            return false;
        *out = of_bool(!truth);
        return true;
    }
    if (a.kind != V_TENSOR) {
        if (!is_number(&a) || (op == OP1('~') && a.kind == V_FLOAT))
            return tw_lang_error(c, n, "the operand is %s; expected a number or a tensor", tw_lang_type_text(c, &a));
        wide i = a.kind == V_BOOL ? (wide)a.truth : a.i;
        *out = a.kind == V_FLOAT ? of_float(op == OP1('-') ? -a.f : a.f)
                                 : of_int(op == OP1('-')   ? -i
                                          : op == OP1('~') ? ~i
                                                           : i);
        return true;
    }
    if (is_pointer(a.s))
        return tw_lang_error(c, n, "the operand is %s; expected a number", tw_lang_type_text(c, &a));
    if (op == OP1('+')) {
        *out = a;
        return true;
    }
    if (op == OP1('!')) {
        val one = of_bool(true);
        return tw_lang_to_bool(c, n, &a) && tw_lang_number(c, n, &one, number(S_I1), &all) &&
               tw_lang_emit(c, n, tw_t_xor(c->g, a.v, all.v), number(S_I1), out);
    }
    if (op == OP1('~')) {
        if (!is_integer(a.s))
            return tw_lang_error(c, n, "the operand is %s; expected an integer", tw_lang_type_text(c, &a));
        tw_value *ones = tw_t_constant(c->g, 0, a.s.kind == S_I1 ? 1 : -1, tw_lang_dtype(a.s));
        return tw_lang_emit(c, n, tw_t_xor(c->g, a.v, ones), a.s, out);
    }
    if (a.s.kind == S_I1) { /* 0 - x in one bit */
        *out = a;
        return true;
    }
    if (is_f8(a.s)) {
        sca back = a.s;
        return tw_lang_cast(c, n, &a, number(S_F32)) && tw_lang_emit(c, n, tw_t_neg(c->g, a.v), number(S_F32), out) &&
               tw_lang_cast(c, n, out, back);
    }
    return tw_lang_emit(c, n, tw_t_neg(c->g, a.v), a.s, out);
}

bool tw_lang_where(lowering *c, const node *n, val condition, val a, val b, val *out)
{
    if (!tw_lang_to_bool(c, n, &condition) || !tw_lang_promote(c, n, &a, &b, false))
        return false;
    if (rank_of(&condition)) {
        if (!tw_lang_align(c, n, &condition, &a) || !tw_lang_align(c, n, &condition, &b) ||
            !tw_lang_align(c, n, &condition, &a))
            return false;
    } else if (rank_of(&a) != rank_of(&b)) {
        const tw_type t = rank_of(&a) ? a.v->type : b.v->type;
        if (!tw_lang_broadcast(c, n, &a, t.rank, t.dims) || !tw_lang_broadcast(c, n, &b, t.rank, t.dims))
            return false;
    }
    return tw_lang_emit(c, n, tw_t_select(c->g, condition.v, a.v, b.v), a.s, out);
}

/* max and min of tile operations let a NaN win; without `nan` the number wins. */
bool tw_lang_minmax(lowering *c, const node *n, val a, val b, bool larger, bool nan, val *out)
{
    if (!tw_lang_promote(c, n, &a, &b, false))
        return false;
    sca s = a.s, back = s;
    if (is_f8(s)) {
        if (!tw_lang_cast(c, n, &a, number(S_F32)) || !tw_lang_cast(c, n, &b, number(S_F32)))
            return false;
        s = number(S_F32);
    }
    if (s.kind == S_I1)
        return tw_lang_emit(c, n, larger ? tw_t_or(c->g, a.v, b.v) : tw_t_and(c->g, a.v, b.v), s, out);
    tw_value *m = larger ? tw_t_max(c->g, a.v, b.v) : tw_t_min(c->g, a.v, b.v);
    if (is_floating(s) && !nan) {
        val x, y;
        if (!(tw_lang_constant(&b, &y) && !isnan(real(&y))))
            m = tw_t_select(c->g, tw_t_compare(c->g, b.v, b.v, TW_T_COMPARE_NE), a.v, m);
        if (!(tw_lang_constant(&a, &x) && !isnan(real(&x))))
            m = tw_t_select(c->g, tw_t_compare(c->g, a.v, a.v, TW_T_COMPARE_NE), b.v, m);
    }
    return tw_lang_emit(c, n, m, s, out) && tw_lang_cast(c, n, out, back);
}
