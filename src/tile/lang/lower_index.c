/* Indexing: of tuples and strings as Python does it; of tiles with None and :, and (extensions) elements and slices. */
#include "tile/lang/lower.h"

static bool clamp_slice(lowering *c, const node *n, const val *slice, int64_t size, int64_t *from, int64_t *to,
                        int64_t *step)
{
    *step = 1;
    if (slice->item[2].kind != V_NONE && !tw_lang_to_int(c, n, &slice->item[2], "the step of a slice", step))
        return false;
    if (*step == 0)
        return tw_lang_error(c, n, "a slice with step 0");
    *from = *step > 0 ? 0 : size - 1;
    *to = *step > 0 ? size : -1;
    if (slice->item[0].kind != V_NONE) {
        if (!tw_lang_to_int(c, n, &slice->item[0], "the start of a slice", from))
            return false;
        *from += *from < 0 ? size : 0;
        *from = TW_MAX(TW_MIN(*from, *step > 0 ? size : size - 1), *step > 0 ? 0 : -1);
    }
    if (slice->item[1].kind != V_NONE) {
        if (!tw_lang_to_int(c, n, &slice->item[1], "the end of a slice", to))
            return false;
        *to += *to < 0 ? size : 0;
        *to = TW_MAX(TW_MIN(*to, size), *step > 0 ? 0 : -1);
    }
    return true;
}

static bool index_sequence(lowering *c, const node *n, const val *of, const val *index, val *out)
{
    int64_t i, from, to, step;
    if (index->kind == V_SLICE) {
        if (!clamp_slice(c, n, index, of->count, &from, &to, &step))
            return false;
        int64_t count = step > 0 ? (to - from + step - 1) / step : (from - to - step - 1) / -step;
        count = TW_MAX(count, (int64_t)0);
        if (of->kind == V_STRING) {
            if (step != 1)
                return tw_lang_error(c, n, "not supported: a string with a step");
            *out = (val){.kind = V_STRING, .text = of->text + from, .count = (int)count};
            return true;
        }
        *out = tw_lang_tuple(c, (int)count);
        for (int64_t k = 0; k < out->count; k++)
            out->item[k] = of->item[from + k * step];
        return true;
    }
    if (!tw_lang_to_int(c, n, index, "an index", &i))
        return false;
    if (i < -of->count || i >= of->count)
        return tw_lang_error(c, n, "index %lld of %s", (long long)i, tw_lang_type_text(c, of));
    i += i < 0 ? of->count : 0;
    *out = of->kind == V_STRING ? (val){.kind = V_STRING, .text = of->text + i, .count = 1} : of->item[i];
    return true;
}

/* One index of a tile's dimension: an extension of Triton. */
static bool index_dimension(lowering *c, const node *n, val *x, const val *index, int axis, bool *drops)
{
    int64_t size = x->v->type.dims[axis], from, to, step;
    val at;
    *drops = index->kind != V_SLICE;
    if (!tw_lang_note(c, n, *drops ? "an element of a tile's dimension" : "a slice of a tile"))
        return false;
    if (index->kind == V_SLICE) {
        if (!clamp_slice(c, n, index, size, &from, &to, &step))
            return false;
        int64_t count = TW_MAX(step > 0 ? (to - from + step - 1) / step : (from - to - step - 1) / -step, (int64_t)0);
        if (count == 0)
            return tw_lang_error(c, n, "an empty slice of %s", tw_lang_type_text(c, x));
        val scale = of_int(step), start = of_int(from);
        return tw_lang_iota(c, n, 0, count, number(S_I64), &at) && tw_lang_binary(c, n, OP1('*'), &at, &scale, &at) &&
               tw_lang_binary(c, n, OP1('+'), &at, &start, &at) && tw_lang_take(c, n, x, at, axis, x);
    }
    at = *index;
    val known;
    if (tw_lang_constant(index, &known)) {
        if (!tw_lang_to_int(c, n, index, "an index", &from))
            return false;
        if (from < -size || from >= size)
            return tw_lang_error(c, n, "index %lld of a dimension of %lld", (long long)from, (long long)size);
        at = of_int(from < 0 ? from + size : from);
    }
    if (!tw_lang_to_tensor(c, n, &at) || !is_integer(at.s) || rank_of(&at))
        return tw_lang_error(c, n, "an index is %s; expected an integer, a slice, ':' or None",
                             tw_lang_type_text(c, index));
    return tw_lang_cast(c, n, &at, number(S_I64)) && tw_lang_take(c, n, x, at, axis, x);
}

static bool whole_slice(const val *v)
{
    return v->kind == V_SLICE && v->item[0].kind == V_NONE && v->item[1].kind == V_NONE && v->item[2].kind == V_NONE;
}

static bool index_tensor(lowering *c, const node *n, const val *of, const val *index, val *out)
{
    val one = *index, x = *of;
    const val *item = index->kind == V_TUPLE ? index->item : &one;
    int count = index->kind == V_TUPLE ? index->count : 1, axis = 0, used = 0;
    for (int i = 0; i < count; i++)
        used += item[i].kind != V_NONE && item[i].kind != V_MEANING;
    for (int i = 0; i < count; i++) {
        bool drops = false;
        if (item[i].kind == V_MEANING) /* ... */
            return tw_lang_error(c, n, "not supported: '...' as an index");
        if (item[i].kind == V_NONE) {
            if (rank_of(&x) == 0 && used)
                return tw_lang_error(c, n, "an index of the scalar %s", tw_lang_type_text(c, of));
            if (!tw_lang_expand(c, n, &x, axis))
                return false;
            axis++;
            continue;
        }
        if (axis >= rank_of(&x))
            return tw_lang_error(c, n, "%d indices of %s", used, tw_lang_type_text(c, of));
        if (whole_slice(&item[i])) {
            axis++;
            continue;
        }
        if (!index_dimension(c, n, &x, &item[i], axis, &drops))
            return false;
        if (drops) {
            int64_t dims[TW_MAX_RANK];
            int rank = 0;
            for (int d = 0; d < rank_of(&x); d++)
                if (d != axis)
                    dims[rank++] = x.v->type.dims[d];
            if (!tw_lang_emit(c, n, tw_t_reshape(c->g, x.v, rank, dims), x.s, &x))
                return false;
        }
        axis += !drops;
    }
    *out = x;
    return true;
}

bool tw_lang_subscript(lowering *c, const node *n, val *out)
{
    val of, index;
    if (!tw_lang_evaluate(c, n->child[0], &of) || !tw_lang_evaluate(c, n->child[1], &index))
        return false;
    switch (of.kind) {
    case V_TUPLE:
    case V_STRING:
        return index_sequence(c, n, &of, &index, out);
    case V_TENSOR:
        return index_tensor(c, n, &of, &index, out);
    case V_DICT:
        for (int i = 0; i + 1 < of.count; i += 2) {
            bool equal = false;
            if (tw_lang_equal(&of.item[i], &index, &equal) && equal)
                return *out = of.item[i + 1], true;
        }
        return tw_lang_error(c, n, "the key is not in the dictionary");
    case V_FUNCTION: /* kernel[grid]: a launch */
    default:
        return tw_lang_error(c, n, "found an index of %s; expected a tensor or a tuple", tw_lang_type_text(c, &of));
    }
}
