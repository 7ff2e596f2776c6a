/* Types. */
#include "ir/ir.h"

bool tw_type_equal(const tw_type *a, const tw_type *b)
{
    if (a->dtype != b->dtype || a->rank != b->rank || a->pointer != b->pointer)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i])
            return false;
    return true;
}

tw_dim tw_type_count(tw_graph *g, const tw_type *t)
{
    tw_dim count = 1;
    for (int i = 0; i < t->rank; i++)
        count = tw_dim_mul(g, count, t->dims[i]);
    return count;
}

tw_type tw_type_make(tw_dtype dtype, int rank, const tw_dim *dims)
{
    tw_type t = {.dtype = (uint8_t)dtype, .rank = (uint8_t)rank};
    for (int i = 0; i < rank; i++)
        t.dims[i] = dims[i];
    return t;
}

void tw_type_print(const tw_graph *g, const tw_type *t, tw_text *out)
{
    tw_text_add(out, t->pointer ? "ptr<%s>[" : "%s[", tw_dtype_name((tw_dtype)t->dtype));
    for (int i = 0; i < t->rank; i++) {
        tw_text_add(out, "%s", i ? ", " : "");
        tw_dim_print(g, t->dims[i], out);
    }
    tw_text_add(out, "]");
}
