/* Builtins that touch memory: load, store, block pointers, tensor descriptors, atomics. */
#include <math.h>

#include "tile/lang/lower.h"

/* ---- masks and pointers ---- */

static bool pointer_wanted(lowering *c, const node *n, const val *v, const char *what)
{
    if (v->kind == V_TENSOR && is_pointer(v->s))
        return true;
    return tw_lang_error(c, n, "%s is %s; expected a pointer", what, tw_lang_type_text(c, v));
}

static sca pointee(sca s)
{
    return (sca){.kind = s.kind, .pointers = (uint8_t)(s.pointers - 1)};
}

/* Mask and pointer in one shape; a mask of any integer type counts where it is not 0. */
static bool fit_mask(lowering *c, const node *n, val *pointer, val *mask)
{
    if (!tw_lang_tensor(c, n, mask, "the mask") || !tw_lang_to_bool(c, n, mask))
        return false;
    if (rank_of(mask) && !rank_of(pointer))
        return tw_lang_error(c, n, "the mask is %s for the scalar pointer %s", tw_lang_type_text(c, mask),
                             tw_lang_type_text(c, pointer));
    return tw_lang_align(c, n, pointer, mask) && tw_lang_broadcast(c, n, mask, rank_of(pointer), pointer->v->type.dims);
}

/* What a load or store of elements of type `s` does with bits: pointers in memory are addresses, i64. */
static bool loaded(lowering *c, const node *n, tw_value *v, sca s, val *out)
{
    if (!is_pointer(s))
        return tw_lang_emit(c, n, v, s, out);
    return tw_lang_emit(c, n, v, number(S_I64), out) && tw_lang_cast(c, n, out, s);
}

static bool load_elements(lowering *c, const node *n, val pointer, const val *mask, const val *other, val *out)
{
    val m = *mask, o = *other;
    sca s = pointee(pointer.s);
    if (given_some(&m) && !fit_mask(c, n, &pointer, &m))
        return false;
    if (given_some(&o)) {
        if (!tw_lang_tensor(c, n, &o, "other"))
            return false;
        if (rank_of(&o) && !rank_of(&pointer))
            return tw_lang_error(c, n, "other is %s for the scalar pointer %s", tw_lang_type_text(c, &o),
                                 tw_lang_type_text(c, &pointer));
        if (!tw_lang_cast(c, n, &o, is_pointer(s) ? number(S_I64) : s) || !tw_lang_align(c, n, &pointer, &o) ||
            !tw_lang_broadcast(c, n, &o, rank_of(&pointer), pointer.v->type.dims))
            return false;
        if (given_some(&m) && !tw_lang_broadcast(c, n, &m, rank_of(&pointer), pointer.v->type.dims))
            return false;
    }
    tw_value *v =
        tw_t_load(c->g, pointer.v, given_some(&m) ? m.v : NULL, given_some(&m) && given_some(&o) ? o.v : NULL);
    return loaded(c, n, v, s, out);
}

static bool store_elements(lowering *c, const node *n, val pointer, val value, const val *mask)
{
    val m = *mask;
    sca s = pointee(pointer.s);
    if (!tw_lang_tensor(c, n, &value, "the value"))
        return false;
    if (rank_of(&value) && !rank_of(&pointer))
        return tw_lang_error(c, n, "the value is %s for the scalar pointer %s", tw_lang_type_text(c, &value),
                             tw_lang_type_text(c, &pointer));
    if (given_some(&m) && !fit_mask(c, n, &pointer, &m))
        return false;
    int rank = rank_of(&pointer);
    if (is_pointer(value.s) && !is_pointer(s))
        return tw_lang_error(c, n, "the value is %s; expected %s", tw_lang_type_text(c, &value), tw_sca[s.kind].name);
    if (!tw_lang_cast(c, n, &value, s) || !tw_lang_align(c, n, &pointer, &value))
        return false;
    if (rank_of(&pointer) != rank || (rank && memcmp(pointer.v->type.dims, value.v->type.dims, 0) != 0))
        return tw_lang_error(c, n, "the value is %s for pointers of %d dimensions", tw_lang_type_text(c, &value), rank);
    if (!tw_lang_broadcast(c, n, &value, rank, pointer.v->type.dims))
        return false;
    if (given_some(&m) && !tw_lang_broadcast(c, n, &m, rank, pointer.v->type.dims))
        return false;
    if (is_pointer(s) && !tw_lang_bitcast(c, n, &value, number(S_I64)))
        return false;
    if (tw_t_store(c->g, pointer.v, value.v, given_some(&m) ? m.v : NULL))
        return true;
    return tw_lang_error(c, n, "%s", tw_error_message());
}

/* ---- blocks: pointer and mask of every element ---- */

static bool block_index(lowering *c, const node *n, const block_pointer *b, int d, const val *offset, val *index)
{
    val at;
    int64_t dims[5];
    for (int i = 0; i < b->rank; i++)
        dims[i] = i == d ? b->size[i] : 1;
    return tw_lang_iota(c, n, 0, b->size[d], number(S_I64), &at) && tw_lang_binary(c, n, OP1('+'), &at, offset, &at) &&
           tw_lang_reshape(c, n, &at, b->rank, dims) && (*index = at, true);
}

static bool block_elements(lowering *c, const node *n, const block_pointer *b, const val *offset, unsigned checked,
                           val *pointer, val *mask)
{
    *pointer = b->base;
    *mask = of_none();
    for (int d = 0; d < b->rank; d++) {
        val index, distance, low, high, zero = of_int(0), inside;
        if (!block_index(c, n, b, d, &offset[d], &index) ||
            !tw_lang_binary(c, n, OP1('*'), &index, &b->stride[d], &distance) ||
            !tw_lang_binary(c, n, OP1('+'), pointer, &distance, pointer))
            return false;
        if (!(checked >> d & 1))
            continue;
        if (!tw_lang_compare(c, n, CMP_GE, &index, &zero, &low) ||
            !tw_lang_compare(c, n, CMP_LT, &index, &b->shape[d], &high) ||
            !tw_lang_binary(c, n, OP1('&'), &low, &high, &inside))
            return false;
        if (mask->kind == V_NONE)
            *mask = inside;
        else if (!tw_lang_binary(c, n, OP1('&'), mask, &inside, mask))
            return false;
    }
    return tw_lang_broadcast(c, n, pointer, b->rank, b->size) &&
           (mask->kind == V_NONE || tw_lang_broadcast(c, n, mask, b->rank, b->size));
}

static bool checked_dimensions(lowering *c, const node *n, const val *v, int rank, unsigned *set)
{
    val one = *v;
    const val *item = v->kind == V_TUPLE ? v->item : &one;
    int count = !given_some(v) ? 0 : v->kind == V_TUPLE ? v->count : 1;
    *set = 0;
    for (int i = 0; i < count; i++) {
        int axis;
        if (!tw_lang_axis(c, n, &item[i], rank, &axis))
            return false;
        *set |= 1u << axis;
    }
    return true;
}

static bool padding(lowering *c, const node *n, const val *option, sca s, val *other)
{
    *other = of_none();
    if (!given_some(option) || (option->kind == V_STRING && (!option->count || !strcmp(option->text, "zero"))))
        return true;
    if (option->kind != V_STRING || strcmp(option->text, "nan") != 0 || !is_floating(s))
        return tw_lang_error(c, n, "padding_option: expected \"zero\", or \"nan\" for a floating dtype");
    *other = of_float(NAN);
    return true;
}

static bool block_load(lowering *c, const node *n, const block_pointer *b, const val *offset, unsigned checked,
                       const val *option, val *out)
{
    val pointer, mask, other;
    return padding(c, n, option, pointee(b->base.s), &other) &&
           block_elements(c, n, b, offset, checked, &pointer, &mask) &&
           load_elements(c, n, pointer, &mask, &other, out);
}

static bool block_store(lowering *c, const node *n, const block_pointer *b, const val *offset, unsigned checked,
                        const val *value)
{
    val pointer, mask, v = *value;
    if (!tw_lang_tensor(c, n, &v, "the value"))
        return false;
    if (rank_of(&v) && rank_of(&v) != b->rank) { /* a block with dimensions of 1 more or less */
        if (!tw_lang_reshape(c, n, &v, b->rank, b->size))
            return false;
    }
    return block_elements(c, n, b, offset, checked, &pointer, &mask) && store_elements(c, n, pointer, v, &mask);
}

bool tw_lang_do_load(lowering *c, const node *n, val *arg, int which, val *out)
{
    unsigned checked;
    (void)which;
    if (arg[0].kind == V_BLOCK) {
        const block_pointer *b = arg[0].block;
        if (arg[0].descriptor)
            return block_load(c, n, b, b->offset, ~0u, &arg[4], out);
        if (given_some(&arg[1]) || given_some(&arg[2]))
            return tw_lang_error(c, n, "a block pointer takes boundary_check and padding_option, not mask and other");
        return checked_dimensions(c, n, &arg[3], b->rank, &checked) &&
               block_load(c, n, b, b->offset, checked, &arg[4], out);
    }
    if (!pointer_wanted(c, n, &arg[0], "tl.load: the pointer"))
        return false;
    return load_elements(c, n, arg[0], &arg[1], &arg[2], out);
}

bool tw_lang_do_store(lowering *c, const node *n, val *arg, int which, val *out)
{
    unsigned checked;
    (void)which;
    *out = of_none();
    if (arg[0].kind == V_BLOCK) {
        const block_pointer *b = arg[0].block;
        if (given_some(&arg[2]))
            return tw_lang_error(c, n, "a block pointer takes boundary_check, not mask");
        return checked_dimensions(c, n, &arg[3], b->rank, &checked) &&
               block_store(c, n, b, b->offset, arg[0].descriptor ? ~0u : checked, &arg[1]);
    }
    if (!pointer_wanted(c, n, &arg[0], "tl.store: the pointer"))
        return false;
    return store_elements(c, n, arg[0], arg[1], &arg[2]);
}

/* ---- making blocks ---- */

static bool scalars(lowering *c, const node *n, const val *list, const char *what, int rank, val *out)
{
    val one = *list;
    const val *item = list->kind == V_TUPLE ? list->item : &one;
    int count = list->kind == V_TUPLE ? list->count : 1;
    if (count != rank)
        return tw_lang_error(c, n, "%s has %d entries, expected %d as the block has dimensions", what, count, rank);
    for (int i = 0; i < rank; i++) {
        out[i] = item[i];
        if (!tw_lang_tensor(c, n, &out[i], what))
            return false;
        if (!is_integer(out[i].s))
            return tw_lang_error(c, n, "%s: entry %d is %s; expected an integer scalar", what, i,
                                 tw_lang_type_text(c, &out[i]));
        if (rank_of(&out[i]) && !tw_lang_reshape(c, n, &out[i], 0, NULL))
            return false;
        if (!tw_lang_cast(c, n, &out[i], number(S_I64)))
            return false;
    }
    return true;
}

static bool new_block(lowering *c, const node *n, const val *base, const val *shape, const val *stride, const val *size,
                      block_pointer **out)
{
    block_pointer *b = tw_arena_zero(c->l->arena, 1, sizeof *b);
    int64_t dims[TW_MAX_RANK];
    int rank;
    if (!b)
        return tw_lang_error(c, n, "out of memory");
    if (!pointer_wanted(c, n, base, "the base") || !tw_lang_shape(c, n, size, dims, &rank))
        return false;
    if (rank_of(base))
        return tw_lang_error(c, n, "the base is %s; expected a scalar pointer", tw_lang_type_text(c, base));
    if (rank < 1 || rank > 5)
        return tw_lang_error(c, n, "a block of %d dimensions, expected 1 to 5", rank);
    b->rank = rank;
    b->base = *base;
    for (int i = 0; i < rank; i++)
        b->size[i] = dims[i];
    *out = b;
    return scalars(c, n, shape, "shape", rank, b->shape) && scalars(c, n, stride, "strides", rank, b->stride);
}

bool tw_lang_do_make_block_ptr(lowering *c, const node *n, val *arg, int which, val *out)
{
    block_pointer *b;
    (void)which;
    if (!new_block(c, n, &arg[0], &arg[1], &arg[2], &arg[4], &b) ||
        !scalars(c, n, &arg[3], "offsets", b->rank, b->offset))
        return false;
    *out = (val){.kind = V_BLOCK, .block = b};
    return true;
}

bool tw_lang_do_advance(lowering *c, const node *n, val *arg, int which, val *out)
{
    val by[5];
    (void)which;
    if (arg[0].kind != V_BLOCK || arg[0].descriptor)
        return tw_lang_error(c, n, "tl.advance of %s; expected a block pointer", tw_lang_type_text(c, &arg[0]));
    block_pointer *b = tw_arena_copy(c->l->arena, arg[0].block, sizeof *b);
    if (!b)
        return tw_lang_error(c, n, "out of memory");
    if (!scalars(c, n, &arg[1], "offsets", b->rank, by))
        return false;
    for (int i = 0; i < b->rank; i++)
        if (!tw_lang_binary(c, n, OP1('+'), &b->offset[i], &by[i], &b->offset[i]))
            return false;
    *out = (val){.kind = V_BLOCK, .block = b};
    return true;
}

bool tw_lang_do_make_descriptor(lowering *c, const node *n, val *arg, int which, val *out)
{
    block_pointer *b;
    val zero = of_int(0);
    (void)which;
    if (!new_block(c, n, &arg[0], &arg[1], &arg[2], &arg[3], &b))
        return false;
    for (int i = 0; i < b->rank; i++)
        if (!tw_lang_number(c, n, &zero, number(S_I64), &b->offset[i]))
            return false;
    b->nan = arg[4].kind == V_STRING && !strcmp(arg[4].text, "nan");
    *out = (val){.kind = V_BLOCK, .descriptor = true, .block = b};
    return true;
}

static bool descriptor_wanted(lowering *c, const node *n, const val *v)
{
    if (v->kind == V_BLOCK && v->descriptor)
        return true;
    return tw_lang_error(c, n, "found %s, expected a tensor descriptor", tw_lang_type_text(c, v));
}

bool tw_lang_do_descriptor_load(lowering *c, const node *n, val *arg, int which, val *out)
{
    val offset[5], option = {.kind = V_UNDEFINED};
    (void)which;
    if (!descriptor_wanted(c, n, &arg[0]) || !scalars(c, n, &arg[1], "offsets", arg[0].block->rank, offset))
        return false;
    if (arg[0].block->nan)
        option = (val){.kind = V_STRING, .text = "nan", .count = 3};
    return block_load(c, n, arg[0].block, offset, ~0u, &option, out);
}

bool tw_lang_do_descriptor_store(lowering *c, const node *n, val *arg, int which, val *out)
{
    val offset[5];
    const val *offsets = which ? &arg[2] : &arg[1], *value = which ? &arg[1] : &arg[2];
    *out = of_none();
    return descriptor_wanted(c, n, &arg[0]) && scalars(c, n, offsets, "offsets", arg[0].block->rank, offset) &&
           block_store(c, n, arg[0].block, offset, ~0u, value);
}

/* Rows x_offsets[i] of a matrix, columns from y_offset on. */
bool tw_lang_do_descriptor_rows(lowering *c, const node *n, val *arg, int which, val *out)
{
    if (!descriptor_wanted(c, n, &arg[0]))
        return false;
    const block_pointer *b = arg[0].block;
    val rows = which ? arg[2] : arg[1], from = which ? arg[3] : arg[2], columns, pointer = b->base, part, mask,
        zero = of_int(0);
    if (b->rank != 2 || b->size[0] != 1)
        return tw_lang_error(c, n, "rows of %s; expected a block of one row", tw_lang_type_text(c, &arg[0]));
    if (!tw_lang_tensor(c, n, &rows, "the rows") || rank_of(&rows) != 1)
        return tw_lang_error(c, n, "the rows are %s; expected a tile of one dimension", tw_lang_type_text(c, &rows));
    if (!tw_lang_cast(c, n, &rows, number(S_I64)) || !tw_lang_expand(c, n, &rows, 1) ||
        !tw_lang_iota(c, n, 0, b->size[1], number(S_I64), &columns) ||
        !tw_lang_binary(c, n, OP1('+'), &columns, &from, &columns) || !tw_lang_expand(c, n, &columns, 0))
        return false;
    const val *index[2] = {&rows, &columns};
    mask = of_bool(true);
    for (int d = 0; d < 2; d++) {
        val low, high;
        if (!tw_lang_binary(c, n, OP1('*'), index[d], &b->stride[d], &part) ||
            !tw_lang_binary(c, n, OP1('+'), &pointer, &part, &pointer) ||
            !tw_lang_compare(c, n, CMP_GE, index[d], &zero, &low) ||
            !tw_lang_compare(c, n, CMP_LT, index[d], &b->shape[d], &high) ||
            !tw_lang_binary(c, n, OP1('&'), &low, &high, &low) || !tw_lang_binary(c, n, OP1('&'), &low, &mask, &mask))
            return false;
    }
    val none = of_none();
    if (!which)
        return load_elements(c, n, pointer, &mask, &none, out);
    *out = none;
    return store_elements(c, n, pointer, arg[1], &mask);
}

/* ---- atomics ---- */

static bool atomic_operands(lowering *c, const node *n, val *pointer, val *value, val *mask)
{
    if (!pointer_wanted(c, n, pointer, "the pointer of an atomic operation") ||
        !tw_lang_tensor(c, n, value, "the value"))
        return false;
    if (pointer->s.pointers > 1)
        return tw_lang_error(c, n, "not supported: an atomic operation on pointers in memory");
    if (rank_of(value) && !rank_of(pointer))
        return tw_lang_error(c, n, "the value is %s for the scalar pointer %s", tw_lang_type_text(c, value),
                             tw_lang_type_text(c, pointer));
    if (!tw_lang_cast(c, n, value, pointee(pointer->s)) || !tw_lang_align(c, n, pointer, value))
        return false;
    if (given_some(mask) && !fit_mask(c, n, pointer, mask))
        return false;
    int rank = rank_of(pointer);
    if (is_f8(value->s))
        return tw_lang_error(c, n, "not supported: an atomic operation on 8-bit floats");
    return tw_lang_broadcast(c, n, value, rank, pointer->v->type.dims) &&
           (!given_some(mask) || tw_lang_broadcast(c, n, mask, rank, pointer->v->type.dims));
}

static bool atomic_of(lowering *c, const node *n, val pointer, val value, val mask, const val *compare, int kind,
                      val *out)
{
    if (!atomic_operands(c, n, &pointer, &value, &mask))
        return false;
    tw_value *v =
        tw_t_atomic(c->g, pointer.v, value.v, given_some(&mask) ? mask.v : NULL, compare ? compare->v : NULL, kind);
    return tw_lang_emit(c, n, v, value.s, out);
}

bool tw_lang_do_atomic(lowering *c, const node *n, val *arg, int which, val *out)
{
    static const int kinds[] = {TW_T_ATOMIC_ADD, TW_T_ATOMIC_MAX, TW_T_ATOMIC_MIN,     TW_T_ATOMIC_AND,
                                TW_T_ATOMIC_OR,  TW_T_ATOMIC_XOR, TW_T_ATOMIC_EXCHANGE};
    sca s = arg[0].kind == V_TENSOR && is_pointer(arg[0].s) ? pointee(arg[0].s) : number(S_I32);
    if (which >= 3 && which <= 5 && !is_integer(s))
        return tw_lang_error(c, n, "bits of %s in memory; expected integers", tw_sca[s.kind].name);
    return atomic_of(c, n, arg[0], arg[1], arg[2], NULL, kinds[which], out);
}

bool tw_lang_do_atomic_cas(lowering *c, const node *n, val *arg, int which, val *out)
{
    val compare = arg[1], none = of_none();
    (void)which;
    if (!pointer_wanted(c, n, &arg[0], "the pointer of an atomic operation") ||
        !tw_lang_tensor(c, n, &compare, "the value to compare with") ||
        !tw_lang_cast(c, n, &compare, pointee(arg[0].s)) ||
        !tw_lang_broadcast(c, n, &compare, rank_of(&arg[0]), arg[0].v->type.dims))
        return false;
    return atomic_of(c, n, arg[0], arg[2], none, &compare, TW_T_ATOMIC_CAS, out);
}

/* An atomic read is "or 0": it takes part in the order of atomic operations. */
bool tw_lang_do_atomic_load(lowering *c, const node *n, val *arg, int which, val *out)
{
    (void)which;
    if (!pointer_wanted(c, n, &arg[0], "the pointer of an atomic operation"))
        return false;
    val zero = of_int(0), pointer = arg[0];
    sca s = pointee(pointer.s);
    if (is_integer(s) && s.kind != S_I1)
        return tw_lang_number(c, n, &zero, s, &zero) &&
               atomic_of(c, n, pointer, zero, arg[1], NULL, TW_T_ATOMIC_OR, out);
    return load_elements(c, n, pointer, &arg[1], &(val){.kind = V_NONE}, out);
}

bool tw_lang_do_atomic_store(lowering *c, const node *n, val *arg, int which, val *out)
{
    val old;
    (void)which;
    *out = of_none();
    return atomic_of(c, n, arg[0], arg[1], arg[2], NULL, TW_T_ATOMIC_EXCHANGE, &old);
}

bool tw_lang_do_descriptor_atomic(lowering *c, const node *n, val *arg, int which, val *out)
{
    static const int kinds[] = {TW_T_ATOMIC_ADD, TW_T_ATOMIC_MAX, TW_T_ATOMIC_MIN,
                                TW_T_ATOMIC_AND, TW_T_ATOMIC_OR,  TW_T_ATOMIC_XOR};
    val offset[5], pointer, mask, old;
    *out = of_none();
    return descriptor_wanted(c, n, &arg[0]) && scalars(c, n, &arg[1], "offsets", arg[0].block->rank, offset) &&
           block_elements(c, n, arg[0].block, offset, ~0u, &pointer, &mask) &&
           atomic_of(c, n, pointer, arg[2], mask, NULL, kinds[which], &old);
}
