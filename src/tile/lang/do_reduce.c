/* Reductions, scans, sorting. What tile operations know by name is one operation; the rest is `combine` with a region.
 */
#include "tile/lang/lower.h"

/* The tile flattened where no axis is given; *all: it was. */
static bool reduced_axis(lowering *c, const node *n, val *x, const val *axis, int *d, bool *all)
{
    *all = !given_some(axis);
    if (!*all)
        return tw_lang_axis(c, n, axis, rank_of(x), d);
    *d = 0;
    int64_t count = 1;
    for (int i = 0; i < rank_of(x); i++)
        count *= x->v->type.dims[i];
    return tw_lang_reshape(c, n, x, 1, &count);
}

static bool keep_dimension(lowering *c, const node *n, const val *keep, int rank, int axis, bool all, val *out)
{
    bool kept;
    if (!tw_lang_flag(c, n, keep, false, &kept) || !kept)
        return !kept && !c->d->set;
    if (!all)
        return tw_lang_expand(c, n, out, axis);
    int64_t ones[TW_MAX_RANK];
    for (int i = 0; i < rank; i++)
        ones[i] = 1;
    return tw_lang_broadcast(c, n, out, rank, ones);
}

static bool wider_integer(lowering *c, const node *n, val *x, const val *dtype)
{
    sca s = x->s;
    if (given_some(dtype)) {
        if (!tw_lang_type_of(c, n, dtype, &s))
            return false;
    } else if (is_integer(s) && tw_sca[s.kind].bits < 32) {
        s = number(tw_sca[s.kind].sign ? S_I32 : S_U32);
    }
    return tw_lang_cast(c, n, x, s);
}

/* ---- by a region ---- */

/* One region that takes two elements of each tile and yields one of each: `make` fills it. */
typedef bool region_maker(lowering *c, const node *n, const val *pairs, int tiles, const val *with, int which,
                          val *result);

static bool combine(lowering *c, const node *n, const val *x, int tiles, int axis, bool scan, bool reverse, int kind,
                    region_maker *make, const val *with, int which, val *out)
{
    enum { MOST_TILES = 8 };
    tw_value *operand[MOST_TILES] = {NULL}, *result[MOST_TILES] = {NULL};
    val pair[2 * MOST_TILES], made;
    tw_block *outer = c->g->insert_block;
    if (tiles > MOST_TILES)
        return tw_lang_error(c, n, "a reduction of %d tiles together, expected at most %d", tiles, MOST_TILES);
    for (int i = 0; i < tiles; i++)
        operand[i] = x[i].v;
    tw_op *op = tw_t_combine(c->g, tiles, operand, axis, scan, reverse, kind);
    if (!op)
        return tw_lang_error(c, n, "%s", tw_error_message());
    for (int i = 0; i < 2 * tiles; i++) {
        tw_type t = tw_type_scalar((tw_dtype)x[i % tiles].v->type.dtype);
        t.pointer = x[i % tiles].v->type.pointer;
        pair[i] = of_tensor(tw_block_add_arg(c->g, op->region[0], t), x[i % tiles].s);
        if (!pair[i].v)
            return tw_lang_error(c, n, "out of memory");
    }
    tw_graph_insert_at_end(c->g, op->region[0]);
    bool fine = make(c, n, pair, tiles, with, which, &made);
    for (int i = 0; i < tiles && fine; i++) {
        val item = made.kind == V_TUPLE && i < made.count ? made.item[i] : made;
        if ((made.kind == V_TUPLE && made.count != tiles) || (made.kind != V_TUPLE && tiles != 1))
            fine = tw_lang_error(c, n, "the combine function returns %s; expected %d values",
                                 tw_lang_type_text(c, &made), tiles);
        fine = fine && tw_lang_tensor(c, n, &item, "what the combine function returns");
        if (fine && rank_of(&item))
            fine =
                tw_lang_error(c, n, "the combine function returns %s; expected scalars", tw_lang_type_text(c, &item));
        fine = fine && tw_lang_cast(c, n, &item, x[i].s);
        result[i] = item.v;
    }
    fine = fine && (tw_t_yield(c->g, tiles, result) || tw_lang_error(c, n, "%s", tw_error_message()));
    tw_graph_insert_at_end(c->g, outer);
    if (!fine)
        return false;
    if (tw_op_finish(c->g, op) != TW_OK)
        return tw_lang_error(c, n, "%s", tw_error_message());
    for (int i = 0; i < tiles; i++)
        out[i] = of_tensor(&op->result[i], x[i].s);
    return true;
}

static bool by_function(lowering *c, const node *n, const val *pairs, int tiles, const val *with, int which,
                        val *result)
{
    (void)which;
    return tw_lang_invoke(c, n, with, pairs, 2 * tiles, result);
}

static bool by_operator(lowering *c, const node *n, const val *pairs, int tiles, const val *with, int which,
                        val *result)
{
    (void)with, (void)tiles;
    if (which == RED_MAX || which == RED_MIN)
        return tw_lang_minmax(c, n, pairs[0], pairs[1], which == RED_MAX, false, result);
    return tw_lang_binary(c, n,
                          which == RED_XOR    ? OP1('^')
                          : which == RED_OR   ? OP1('|')
                          : which == RED_PROD ? OP1('*')
                                              : OP1('+'),
                          &pairs[0], &pairs[1], result);
}

/* value and index of the larger (smaller) of two; of equal ones the lower index, where ties matter. */
static bool by_extreme(lowering *c, const node *n, const val *pairs, int tiles, const val *with, int which, val *result)
{
    const val *v1 = &pairs[0], *i1 = &pairs[1], *v2 = &pairs[2], *i2 = &pairs[3];
    bool larger = which == RED_ARGMAX, left = with->truth;
    val better, tie, lower;
    (void)tiles;
    *result = tw_lang_tuple(c, 2);
    if (result->count != 2)
        return tw_lang_error(c, n, "out of memory");
    if (!tw_lang_compare(c, n, larger ? CMP_GT : CMP_LT, v1, v2, &better))
        return false;
    if (left && (!tw_lang_compare(c, n, CMP_EQ, v1, v2, &tie) || !tw_lang_compare(c, n, CMP_LT, i1, i2, &lower) ||
                 !tw_lang_binary(c, n, OP1('&'), &tie, &lower, &tie) ||
                 !tw_lang_binary(c, n, OP1('|'), &better, &tie, &better)))
        return false;
    return tw_lang_where(c, n, better, *v1, *v2, &result->item[0]) &&
           tw_lang_where(c, n, better, *i1, *i2, &result->item[1]);
}

/* ---- sums, extremes ---- */

static bool extreme_with_index(lowering *c, const node *n, val x, const val *axis, const val *ties, const val *keep,
                               bool larger, val *out)
{
    int d, rank = rank_of(&x);
    bool all, left;
    val pair[2], made[2];
    if (!tw_lang_flag(c, n, ties, true, &left) || !reduced_axis(c, n, &x, axis, &d, &all))
        return false;
    int64_t dims[TW_MAX_RANK];
    for (int i = 0; i < rank_of(&x); i++)
        dims[i] = i == d ? x.v->type.dims[i] : 1;
    if (is_f8(x.s) && !tw_lang_cast(c, n, &x, number(S_F32)))
        return false;
    pair[0] = x;
    if (!tw_lang_iota(c, n, 0, x.v->type.dims[d], number(S_I32), &pair[1]) ||
        !tw_lang_reshape(c, n, &pair[1], rank_of(&x), dims) ||
        !tw_lang_broadcast(c, n, &pair[1], rank_of(&x), x.v->type.dims))
        return false;
    val flag = of_bool(left);
    if (!combine(c, n, pair, 2, d, false, false, TW_T_COMBINE_CUSTOM, by_extreme, &flag,
                 larger ? RED_ARGMAX : RED_ARGMIN, made))
        return false;
    *out = tw_lang_tuple(c, 2);
    for (int i = 0; i < out->count; i++) {
        out->item[i] = made[i];
        if (!keep_dimension(c, n, keep, rank, d, all, &out->item[i]))
            return false;
    }
    return out->count == 2 || tw_lang_error(c, n, "out of memory");
}

static bool plain_reduction(lowering *c, const node *n, val x, const val *axis, const val *keep, reduction which,
                            val *out)
{
    static const int kinds[] = {[RED_MAX] = TW_T_COMBINE_MAXNUM,
                                [RED_MIN] = TW_T_COMBINE_MINNUM,
                                [RED_XOR] = TW_T_COMBINE_XOR,
                                [RED_OR] = TW_T_COMBINE_OR};
    int d, rank = rank_of(&x);
    bool all;
    if (!reduced_axis(c, n, &x, axis, &d, &all))
        return false;
    bool named = which == RED_SUM || which == RED_PROD || ((which == RED_MAX || which == RED_MIN) && !is_floating(x.s));
    if (is_pointer(x.s) || x.s.kind == S_VOID)
        return tw_lang_error(c, n, "a reduction of %s; expected numbers", tw_lang_type_text(c, &x));
    if ((which == RED_XOR || which == RED_OR) && !is_integer(x.s))
        return tw_lang_error(c, n, "bits of %s; expected integers", tw_lang_type_text(c, &x));
    if (named) {
        int kind = which == RED_SUM    ? TW_T_REDUCE_SUM
                   : which == RED_PROD ? TW_T_REDUCE_PROD
                   : which == RED_MAX  ? TW_T_REDUCE_MAX
                                       : TW_T_REDUCE_MIN;
        if (!tw_lang_emit(c, n, tw_t_reduce(c->g, x.v, d, kind), x.s, out))
            return false;
    } else if (!combine(c, n, &x, 1, d, false, false, kinds[which], by_operator, NULL, (int)which, out)) {
        return false;
    }
    return keep_dimension(c, n, keep, rank, d, all, out);
}

bool tw_lang_do_reduce(lowering *c, const node *n, val *arg, int which, val *out)
{
    val x = arg[0], pair;
    bool indices = false;
    if (!tw_lang_tensor(c, n, &x, "the tile that is reduced"))
        return false;
    if (rank_of(&x) == 0)
        return tw_lang_error(c, n, "a reduction of the scalar %s; expected a tile", tw_lang_type_text(c, &x));
    switch (which) {
    case RED_SUM: /* input, axis, keep_dims, dtype */
        if (is_f8(x.s) && !tw_lang_cast(c, n, &x, number(S_F32)))
            return false;
        return wider_integer(c, n, &x, &arg[3]) && plain_reduction(c, n, x, &arg[1], &arg[2], RED_SUM, out);
    case RED_XOR:
    case RED_OR:
        return plain_reduction(c, n, x, &arg[1], &arg[2], (reduction)which, out);
    case RED_ARGMAX: /* input, axis, tie_break_left, keep_dims */
    case RED_ARGMIN:
        if (!extreme_with_index(c, n, x, &arg[1], &arg[2], &arg[3], which == RED_ARGMAX, &pair))
            return false;
        *out = pair.item[1];
        return true;
    default: /* input, axis, return_indices, return_indices_tie_break_left, keep_dims */
        if (!tw_lang_flag(c, n, &arg[2], false, &indices))
            return false;
        if (indices)
            return extreme_with_index(c, n, x, &arg[1], &arg[3], &arg[4], which == RED_MAX, out);
        if (is_floating(x.s) && tw_sca[x.s.kind].bits < 32 && !tw_lang_cast(c, n, &x, number(S_F32)))
            return false;
        if (is_integer(x.s) && tw_sca[x.s.kind].bits < 32 && !tw_lang_cast(c, n, &x, number(S_I32)))
            return false;
        return plain_reduction(c, n, x, &arg[1], &arg[4], (reduction)which, out);
    }
}

bool tw_lang_do_scan(lowering *c, const node *n, val *arg, int which, val *out)
{
    val x = arg[0], zero = of_int(0); /* input, axis, reverse, dtype */
    int d;
    bool reverse;
    if (!tw_lang_tensor(c, n, &x, "the tile that is scanned") ||
        !tw_lang_axis(c, n, given_some(&arg[1]) ? &arg[1] : &zero, rank_of(&x), &d) ||
        !tw_lang_flag(c, n, &arg[2], false, &reverse) || !wider_integer(c, n, &x, &arg[3]))
        return false;
    int kind = which == RED_SUM ? TW_T_SCAN_SUM : TW_T_SCAN_PROD;
    return tw_lang_emit(c, n, tw_t_scan(c->g, x.v, d, kind, reverse), x.s, out);
}

/* tl.reduce and tl.associative_scan. */
bool tw_lang_do_reduce_with(lowering *c, const node *n, val *arg, int which, val *out)
{
    enum { MOST_TILES = 8 };
    val x[MOST_TILES], made[MOST_TILES], one = arg[0];
    const val *item = arg[0].kind == V_TUPLE ? arg[0].item : &one;
    int count = arg[0].kind == V_TUPLE ? arg[0].count : 1, d = 0;
    bool all = false, reverse = false;
    if (count < 1 || count > MOST_TILES)
        return tw_lang_error(c, n, "a reduction of %d tiles together, expected 1 to %d", count, MOST_TILES);
    int rank = 0;
    for (int i = 0; i < count; i++) {
        x[i] = item[i];
        if (!tw_lang_tensor(c, n, &x[i], "the tile that is reduced"))
            return false;
        rank = rank_of(&x[i]);
        if (rank == 0)
            return tw_lang_error(c, n, "a reduction of the scalar %s; expected a tile", tw_lang_type_text(c, &x[i]));
        if (!reduced_axis(c, n, &x[i], &arg[1], &d, &all))
            return false;
    }
    for (int i = 1; i < count; i++)
        if (x[i].v->type.rank != x[0].v->type.rank ||
            memcmp(x[i].v->type.dims, x[0].v->type.dims, sizeof(tw_dim) * (size_t)x[0].v->type.rank) != 0)
            return tw_lang_error(c, n, "a reduction of %s and %s together; expected one shape",
                                 tw_lang_type_text(c, &x[0]), tw_lang_type_text(c, &x[i]));
    if (which && !tw_lang_flag(c, n, &arg[3], false, &reverse))
        return false;
    if (!combine(c, n, x, count, d, which, reverse, TW_T_COMBINE_CUSTOM, by_function, &arg[2], 0, made))
        return false;
    for (int i = 0; i < count && !which; i++)
        if (!keep_dimension(c, n, &arg[3], rank, d, all, &made[i]))
            return false;
    if (arg[0].kind != V_TUPLE)
        return *out = made[0], true;
    *out = tw_lang_tuple(c, count);
    for (int i = 0; i < out->count; i++)
        out->item[i] = made[i];
    return true;
}

/* ---- sorting ---- */

bool tw_lang_do_sort(lowering *c, const node *n, val *arg, int which, val *out)
{
    val x = arg[0];
    const val *dim = which ? &arg[2] : &arg[1], *order = which ? &arg[3] : &arg[2];
    bool descending;
    int64_t k = 0;
    if (!tw_lang_tensor(c, n, &x, "the tile that is sorted"))
        return false;
    int d = rank_of(&x) - 1;
    if (d < 0)
        return tw_lang_error(c, n, "sorting the scalar %s; expected a tile", tw_lang_type_text(c, &x));
    if ((given_some(dim) && !tw_lang_axis(c, n, dim, rank_of(&x), &d)) ||
        !tw_lang_flag(c, n, order, which == 1, &descending))
        return false;
    if (which && !tw_lang_to_int(c, n, &arg[1], "k", &k))
        return false;
    if (which && (k < 1 || k > x.v->type.dims[d]))
        return tw_lang_error(c, n, "tl.topk: k is %lld, expected 1 to %lld", (long long)k,
                             (long long)x.v->type.dims[d]);
    sca back = x.s;
    if (is_f8(x.s) && !tw_lang_cast(c, n, &x, number(S_F32)))
        return false;
    if (!tw_lang_emit(c, n, tw_t_sort(c->g, x.v, d, descending), x.s, out) || !tw_lang_cast(c, n, out, back))
        return false;
    val index;
    return !which || k == x.v->type.dims[d] ||
           (tw_lang_iota(c, n, 0, k, number(S_I64), &index) && tw_lang_take(c, n, out, index, d, out));
}

/* bins[j] = how many elements are j: one comparison of all elements with all bins. */
bool tw_lang_do_histogram(lowering *c, const node *n, val *arg, int which, val *out)
{
    val x = arg[0], bins, equal, mask = arg[2], axis = of_int(0), none = {.kind = V_UNDEFINED};
    int64_t count;
    (void)which;
    if (!tw_lang_tensor(c, n, &x, "tl.histogram: the input") || !tw_lang_to_int(c, n, &arg[1], "num_bins", &count))
        return false;
    if (rank_of(&x) != 1 || !is_integer(x.s))
        return tw_lang_error(c, n, "tl.histogram of %s; expected integers in one dimension", tw_lang_type_text(c, &x));
    if (!tw_lang_iota(c, n, 0, count, number(S_I32), &bins) || !tw_lang_expand(c, n, &x, 1) ||
        !tw_lang_expand(c, n, &bins, 0) || !tw_lang_compare(c, n, CMP_EQ, &x, &bins, &equal))
        return false;
    if (given_some(&mask) && (!tw_lang_tensor(c, n, &mask, "the mask") || !tw_lang_to_bool(c, n, &mask) ||
                              (rank_of(&mask) == 1 && !tw_lang_expand(c, n, &mask, 1)) ||
                              !tw_lang_binary(c, n, OP1('&'), &equal, &mask, &equal)))
        return false;
    return tw_lang_cast(c, n, &equal, number(S_I32)) && plain_reduction(c, n, equal, &axis, &none, RED_SUM, out);
}
