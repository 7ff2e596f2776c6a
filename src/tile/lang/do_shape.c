/* Builtins that make tiles and change their shapes. */
#include "tile/lang/lower.h"

bool tw_lang_do_program_id(lowering *c, const node *n, val *arg, int which, val *out)
{
    int64_t axis;
    if (!tw_lang_to_int(c, n, &arg[0], "the axis", &axis))
        return false;
    if (axis < 0 || axis > 2)
        return tw_lang_error(c, n, "axis %lld of the grid, expected 0, 1 or 2", (long long)axis);
    tw_value *v = which ? tw_t_num_programs(c->g, axis) : tw_t_program_id(c->g, axis);
    return tw_lang_emit(c, n, v ? tw_t_cast(c->g, v, TW_I32) : NULL, number(S_I32), out);
}

bool tw_lang_do_arange(lowering *c, const node *n, val *arg, int which, val *out)
{
    int64_t from, to;
    (void)which;
    if (!tw_lang_to_int(c, n, &arg[0], "the start of tl.arange", &from) ||
        !tw_lang_to_int(c, n, &arg[1], "the end of tl.arange", &to))
        return false;
    if (to <= from || from < INT32_MIN || to > INT32_MAX)
        return tw_lang_error(c, n, "tl.arange(%lld, %lld): expected a start below the end, both of 32 bits",
                             (long long)from, (long long)to);
    return tw_lang_iota(c, n, from, to - from, number(S_I32), out);
}

static bool filled(lowering *c, const node *n, const val *shape, val value, sca s, val *out)
{
    int64_t dims[TW_MAX_RANK];
    int rank;
    if (!tw_lang_shape(c, n, shape, dims, &rank))
        return false;
    if (value.kind == V_TENSOR) {
        if (rank_of(&value) && !tw_lang_reshape(c, n, &value, 0, NULL))
            return false;
        if (!tw_lang_cast(c, n, &value, s))
            return false;
    } else if (!is_number(&value)) {
        return tw_lang_error(c, n, "the value is %s; expected a number or a scalar", tw_lang_type_text(c, &value));
    } else {
        val num = value;
        if (!tw_lang_number(c, n, &num, s, &value))
            return false;
    }
    *out = value;
    return tw_lang_broadcast(c, n, out, rank, dims);
}

bool tw_lang_do_full(lowering *c, const node *n, val *arg, int which, val *out)
{
    sca s;
    (void)which;
    return tw_lang_type_of(c, n, &arg[2], &s) && filled(c, n, &arg[0], arg[1], s, out);
}

bool tw_lang_do_zeros(lowering *c, const node *n, val *arg, int which, val *out)
{
    sca s;
    (void)which;
    return tw_lang_type_of(c, n, &arg[1], &s) && filled(c, n, &arg[0], of_int(0), s, out);
}

bool tw_lang_do_zeros_like(lowering *c, const node *n, val *arg, int which, val *out)
{
    val shape;
    (void)which;
    return tw_lang_tensor(c, n, &arg[0], "tl.zeros_like: the input") &&
           tw_lang_attribute(c, n, &arg[0], "shape", &shape) && filled(c, n, &shape, of_int(0), arg[0].s, out);
}

bool tw_lang_do_to_tensor(lowering *c, const node *n, val *arg, int which, val *out)
{
    (void)which;
    *out = arg[0];
    return tw_lang_tensor(c, n, out, "tl.to_tensor: the value");
}

bool tw_lang_do_cast(lowering *c, const node *n, val *arg, int which, val *out)
{
    sca s;
    bool bits;
    (void)which;
    *out = arg[0];
    if (!tw_lang_tensor(c, n, out, "the value that is converted") || !tw_lang_type_of(c, n, &arg[1], &s) ||
        !tw_lang_flag(c, n, &arg[3], false, &bits))
        return false;
    if (bits)
        return tw_lang_bitcast(c, n, out, s);
    if (!given_some(&arg[2]))
        return tw_lang_cast(c, n, out, s);
    if (arg[2].kind != V_STRING || (strcmp(arg[2].text, "rtne") != 0 && strcmp(arg[2].text, "rtz") != 0))
        return tw_lang_error(c, n, "fp_downcast_rounding is %s; expected \"rtne\" or \"rtz\"",
                             tw_lang_type_text(c, &arg[2]));
    return tw_lang_cast_rounding(c, n, out, s, !strcmp(arg[2].text, "rtz"));
}

bool tw_lang_do_broadcast_to(lowering *c, const node *n, val *arg, int which, val *out)
{
    int64_t dims[TW_MAX_RANK];
    int rank;
    (void)which;
    *out = arg[0];
    return tw_lang_tensor(c, n, out, "tl.broadcast_to: the input") && tw_lang_shape(c, n, &arg[1], dims, &rank) &&
           tw_lang_broadcast(c, n, out, rank, dims);
}

bool tw_lang_do_broadcast(lowering *c, const node *n, val *arg, int which, val *out)
{
    (void)which;
    *out = arg[0];
    if (!tw_lang_tensor(c, n, out, "tl.broadcast: the input") ||
        !tw_lang_tensor(c, n, &arg[1], "tl.broadcast: the other") || !tw_lang_align(c, n, out, &arg[1]))
        return false;
    return rank_of(out) || !rank_of(&arg[1]) || tw_lang_broadcast(c, n, out, rank_of(&arg[1]), arg[1].v->type.dims);
}

bool tw_lang_do_reshape(lowering *c, const node *n, val *arg, int which, val *out)
{
    int64_t dims[TW_MAX_RANK], known = 1, all = 1;
    int rank, open = -1;
    (void)which;
    *out = arg[0];
    if (arg[1].kind == V_TUPLE && arg[1].count == 2 && arg[1].item[0].kind == V_TUPLE) /* reshape(x, shape, True) */
        arg[1] = arg[1].item[0];
    if (!tw_lang_tensor(c, n, out, "tl.reshape: the input") || !tw_lang_shape(c, n, &arg[1], dims, &rank))
        return false;
    for (int i = 0; i < rank_of(out); i++)
        all *= out->v->type.dims[i];
    for (int i = 0; i < rank; i++) {
        if (dims[i] == -1)
            open = i;
        else
            known *= TW_MAX(dims[i], (int64_t)1);
    }
    if (open >= 0 && all % known == 0)
        dims[open] = all / known;
    return tw_lang_reshape(c, n, out, rank, dims);
}

bool tw_lang_do_trans(lowering *c, const node *n, val *arg, int which, val *out)
{
    int64_t axes[TW_MAX_RANK];
    unsigned seen = 0;
    int count = 0;
    *out = arg[0];
    if (!tw_lang_tensor(c, n, out, "the input"))
        return false;
    int rank = rank_of(out);
    if (arg[1].kind == V_TUPLE && arg[1].count && !tw_lang_shape(c, n, &arg[1], axes, &count))
        return false;
    if (count == 0) {
        if (rank < 2)
            return tw_lang_error(c, n, "tl.trans of %s; expected two dimensions or more", tw_lang_type_text(c, out));
        for (int i = 0; i < rank; i++)
            axes[i] = i;
        axes[rank - 1] = rank - 2;
        axes[rank - 2] = rank - 1;
        count = rank;
    }
    (void)which;
    for (int i = 0; i < count; i++) {
        axes[i] += axes[i] < 0 ? rank : 0;
        if (count != rank || axes[i] < 0 || axes[i] >= rank || (seen >> axes[i] & 1))
            return tw_lang_error(c, n, "the order of dimensions of %s: expected each of 0 to %d once",
                                 tw_lang_type_text(c, out), rank - 1);
        seen |= 1u << axes[i];
    }
    return tw_lang_permute(c, n, out, axes);
}

bool tw_lang_do_expand_dims(lowering *c, const node *n, val *arg, int which, val *out)
{
    val one = arg[1];
    const val *item = arg[1].kind == V_TUPLE ? arg[1].item : &one;
    int count = arg[1].kind == V_TUPLE ? arg[1].count : 1, final_rank;
    unsigned new_axes = 0;
    (void)which;
    *out = arg[0];
    if (!tw_lang_tensor(c, n, out, "tl.expand_dims: the input"))
        return false;
    final_rank = rank_of(out) + count;
    for (int i = 0; i < count; i++) {
        int axis;
        if (final_rank > TW_MAX_RANK || !tw_lang_axis(c, n, &item[i], final_rank, &axis))
            return tw_lang_error(c, n, "a tile of more than %d dimensions", TW_MAX_RANK);
        new_axes |= 1u << axis;
    }
    for (int d = 0; d < final_rank; d++)
        if ((new_axes >> d & 1) && !tw_lang_expand(c, n, out, d))
            return false;
    return true;
}

static bool two_tensors(lowering *c, const node *n, val *a, val *b, const char *what)
{
    if (!tw_lang_tensor(c, n, a, what) || !tw_lang_tensor(c, n, b, what))
        return false;
    if (!same_sca(a->s, b->s))
        return tw_lang_error(c, n, "%s: operands are %s and %s; expected one dtype", what, tw_lang_type_text(c, a),
                             tw_lang_type_text(c, b));
    return true;
}

bool tw_lang_do_join(lowering *c, const node *n, val *arg, int which, val *out)
{
    (void)which;
    if (!two_tensors(c, n, &arg[0], &arg[1], "tl.join") || !tw_lang_align(c, n, &arg[0], &arg[1]))
        return false;
    if (rank_of(&arg[0]) != rank_of(&arg[1])) {
        val *scalar = rank_of(&arg[0]) ? &arg[1] : &arg[0], *tile = rank_of(&arg[0]) ? &arg[0] : &arg[1];
        if (!tw_lang_broadcast(c, n, scalar, rank_of(tile), tile->v->type.dims))
            return false;
    }
    if (rank_of(&arg[0]) == TW_MAX_RANK)
        return tw_lang_error(c, n, "a tile of more than %d dimensions", TW_MAX_RANK);
    return tw_lang_emit(c, n, tw_t_join(c->g, arg[0].v, arg[1].v), arg[0].s, out);
}

bool tw_lang_do_split(lowering *c, const node *n, val *arg, int which, val *out)
{
    val x = arg[0];
    int rank = rank_of(&x);
    (void)which;
    if (x.kind != V_TENSOR || rank < 1 || x.v->type.dims[rank - 1] != 2)
        return tw_lang_error(c, n, "tl.split of %s; expected a last dimension of 2", tw_lang_type_text(c, &x));
    tw_op *op = tw_t_split(c->g, x.v);
    *out = tw_lang_tuple(c, 2);
    if (!op || out->count != 2)
        return tw_lang_error(c, n, "%s", tw_error_message());
    out->item[0] = of_tensor(&op->result[0], x.s);
    out->item[1] = of_tensor(&op->result[1], x.s);
    return true;
}

/* join, then the new dimension moved before `dim`, then both merged. */
bool tw_lang_do_cat(lowering *c, const node *n, val *arg, int which, val *out)
{
    int64_t axes[TW_MAX_RANK], dims[TW_MAX_RANK];
    int dim = 0;
    (void)which;
    if (!two_tensors(c, n, &arg[0], &arg[1], "tl.cat"))
        return false;
    int rank = rank_of(&arg[0]);
    if (rank < 1 || rank >= TW_MAX_RANK || !tw_type_equal(&arg[0].v->type, &arg[1].v->type))
        return tw_lang_error(c, n, "tl.cat of %s and %s; expected tiles of one shape", tw_lang_type_text(c, &arg[0]),
                             tw_lang_type_text(c, &arg[1]));
    if (given_some(&arg[3]) && !tw_lang_axis(c, n, &arg[3], rank, &dim))
        return false;
    for (int i = 0; i <= rank; i++)
        axes[i] = i < dim ? i : i == dim ? rank : i - 1;
    for (int i = 0; i < rank; i++)
        dims[i] = arg[0].v->type.dims[i] * (i == dim ? 2 : 1);
    return tw_lang_emit(c, n, tw_t_join(c->g, arg[0].v, arg[1].v), arg[0].s, out) && tw_lang_permute(c, n, out, axes) &&
           tw_lang_reshape(c, n, out, rank, dims);
}

bool tw_lang_do_flip(lowering *c, const node *n, val *arg, int which, val *out)
{
    val index, last;
    int axis = rank_of(&arg[0]) - 1;
    (void)which;
    if (!tw_lang_tensor(c, n, &arg[0], "tl.flip: the input") ||
        (given_some(&arg[1]) && !tw_lang_axis(c, n, &arg[1], rank_of(&arg[0]), &axis)))
        return false;
    if (axis < 0)
        return tw_lang_error(c, n, "tl.flip of %s; expected a tile", tw_lang_type_text(c, &arg[0]));
    int64_t size = arg[0].v->type.dims[axis];
    last = of_int(size - 1);
    return tw_lang_iota(c, n, 0, size, number(S_I64), &index) &&
           tw_lang_binary(c, n, OP1('-'), &last, &index, &index) && tw_lang_take(c, n, &arg[0], index, axis, out);
}

bool tw_lang_do_gather(lowering *c, const node *n, val *arg, int which, val *out)
{
    int axis;
    (void)which;
    if (arg[0].kind == V_BLOCK) { /* of a descriptor: rows by index */
        return tw_lang_do_descriptor_rows(c, n, arg, 0, out);
    }
    if (!tw_lang_tensor(c, n, &arg[0], "tl.gather: the source") ||
        !tw_lang_tensor(c, n, &arg[1], "tl.gather: the index") || !tw_lang_axis(c, n, &arg[2], rank_of(&arg[0]), &axis))
        return false;
    if (!is_integer(arg[1].s) || rank_of(&arg[1]) != rank_of(&arg[0]))
        return tw_lang_error(c, n, "tl.gather of %s by %s; expected integers and as many dimensions",
                             tw_lang_type_text(c, &arg[0]), tw_lang_type_text(c, &arg[1]));
    for (int i = 0; i < rank_of(&arg[0]); i++)
        if (i != axis && arg[0].v->type.dims[i] != arg[1].v->type.dims[i])
            return tw_lang_error(c, n, "tl.gather of %s by %s: dimension %d differs", tw_lang_type_text(c, &arg[0]),
                                 tw_lang_type_text(c, &arg[1]), i);
    return tw_lang_cast(c, n, &arg[1], number(S_I64)) &&
           tw_lang_emit(c, n, tw_t_gather(c->g, arg[0].v, arg[1].v, axis), arg[0].s, out);
}

/* extract_slice(x, offsets, sizes, strides) and its counterpart. */
bool tw_lang_do_slice(lowering *c, const node *n, val *arg, int which, val *out)
{
    int first = which ? 2 : 1, rank = rank_of(&arg[0]), count;
    int64_t offset[TW_MAX_RANK], size[TW_MAX_RANK], stride[TW_MAX_RANK];
    if (!tw_lang_tensor(c, n, &arg[0], "the tile") || !tw_lang_note(c, n, "a slice of a tile"))
        return false;
    for (int i = 0; i < TW_MAX_RANK; i++)
        stride[i] = 1;
    if (!tw_lang_shape(c, n, &arg[first], offset, &count) || count != rank ||
        !tw_lang_shape(c, n, &arg[first + 1], size, &count) || count != rank ||
        (given_some(&arg[first + 2]) && (!tw_lang_shape(c, n, &arg[first + 2], stride, &count) || count != rank)))
        return tw_lang_error(c, n, "offsets, sizes and strides: expected %d constants each", rank);
    for (int d = 0; d < rank; d++)
        if (offset[d] < 0 || size[d] < 1 || stride[d] < 1 ||
            offset[d] + (size[d] - 1) * stride[d] >= arg[0].v->type.dims[d])
            return tw_lang_error(c, n, "a slice beyond %s in dimension %d", tw_lang_type_text(c, &arg[0]), d);
    *out = which ? arg[1] : arg[0];
    val inside = of_bool(true);
    for (int d = 0; d < rank; d++) {
        val index, from = of_int(offset[d]), step = of_int(stride[d]), zero = of_int(0), count_of = of_int(size[d]), a,
                   b, rest;
        int64_t dims[TW_MAX_RANK];
        if (!which) {
            if (!tw_lang_iota(c, n, 0, size[d], number(S_I64), &index) ||
                !tw_lang_binary(c, n, OP1('*'), &index, &step, &index) ||
                !tw_lang_binary(c, n, OP1('+'), &index, &from, &index) || !tw_lang_take(c, n, out, index, d, out))
                return false;
            continue;
        }
        for (int i = 0; i < rank; i++)
            dims[i] = i == d ? arg[0].v->type.dims[d] : 1;
        if (!tw_lang_iota(c, n, 0, arg[0].v->type.dims[d], number(S_I64), &index) ||
            !tw_lang_binary(c, n, OP1('-'), &index, &from, &index) ||
            !tw_lang_binary(c, n, OP1('%'), &index, &step, &rest) ||
            !tw_lang_binary(c, n, op_of("//"), &index, &step, &a) ||
            !tw_lang_compare(c, n, CMP_EQ, &rest, &zero, &rest) || !tw_lang_compare(c, n, CMP_GE, &index, &zero, &b) ||
            !tw_lang_binary(c, n, OP1('&'), &rest, &b, &b) || !tw_lang_compare(c, n, CMP_LT, &a, &count_of, &rest) ||
            !tw_lang_binary(c, n, OP1('&'), &rest, &b, &b) || !tw_lang_where(c, n, b, a, zero, &a) ||
            !tw_lang_take(c, n, out, a, d, out) || !tw_lang_reshape(c, n, &b, rank, dims) ||
            !tw_lang_binary(c, n, OP1('&'), &inside, &b, &inside))
            return false;
    }
    return !which || tw_lang_where(c, n, inside, *out, arg[0], out);
}

bool tw_lang_do_item(lowering *c, const node *n, val *arg, int which, val *out)
{
    (void)which;
    *out = arg[0];
    return tw_lang_tensor(c, n, out, "the tile") && (rank_of(out) == 0 || tw_lang_reshape(c, n, out, 0, NULL));
}
