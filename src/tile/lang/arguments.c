/* What builtins are given: shapes, integers, flags, axes, dtypes, tensors. */
#include "tile/lang/lower.h"

bool tw_lang_shape(lowering *c, const node *n, const val *v, int64_t *dims, int *rank)
{
    val one = *v;
    const val *list = v;
    if (v->kind == V_TUPLE && v->count == 1 && v->item[0].kind == V_TUPLE) /* f(x, (a, b)) as well as f(x, a, b) */
        list = &v->item[0];
    const val *item = list->kind == V_TUPLE ? list->item : &one;
    int count = list->kind == V_TUPLE ? list->count : 1;
    if (count > TW_MAX_RANK)
        return tw_lang_error(c, n, "a shape of %d dimensions, expected at most %d", count, TW_MAX_RANK);
    for (int i = 0; i < count; i++)
        if (!tw_lang_to_int(c, n, &item[i], "a dimension of a shape", &dims[i]))
            return false;
    *rank = count;
    return true;
}

bool tw_lang_flag(lowering *c, const node *n, const val *v, bool otherwise, bool *flag)
{
    *flag = otherwise;
    return !given_some(v) || tw_lang_truth(c, n, v, flag);
}

bool tw_lang_axis(lowering *c, const node *n, const val *v, int rank, int *axis)
{
    int64_t i;
    if (!tw_lang_to_int(c, n, v, "an axis", &i))
        return false;
    if (i < -rank || i >= rank)
        return tw_lang_error(c, n, "axis %lld of a tile of %d dimensions", (long long)i, rank);
    *axis = (int)(i < 0 ? i + rank : i);
    return true;
}

bool tw_lang_type_of(lowering *c, const node *n, const val *v, sca *s)
{
    if (v->kind == V_TYPE) {
        *s = v->s;
        return true;
    }
    if (v->kind == V_STRING && tw_lang_sca_named(v->text, (size_t)v->count, s))
        return true;
    return tw_lang_error(c, n, "found %s, expected a dtype", tw_lang_type_text(c, v));
}

bool tw_lang_tensor(lowering *c, const node *n, val *v, const char *what)
{
    if (v->kind == V_TENSOR)
        return true;
    if (is_number(v))
        return tw_lang_to_tensor(c, n, v);
    return tw_lang_error(c, n, "%s is %s; expected a tensor", what, tw_lang_type_text(c, v));
}
