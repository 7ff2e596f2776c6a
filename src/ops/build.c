/* Helpers beside the generated builders. */
#include "ops/build.h"

#include <math.h>

tw_value *tw_g_constant(tw_graph *g, tw_dtype dtype, double value)
{
    return tw_g_full(g, 0, NULL, value, (int64_t)(isfinite(value) ? value : 0), dtype);
}

tw_value *tw_g_like(tw_graph *g, const tw_value *x, double value)
{
    if (!x)
        return NULL;
    tw_dtype dtype = (tw_dtype)x->type.dtype;
    bool whole = isfinite(value) && value == floor(value);
    bool holds = tw_dtype_floating(dtype) || (whole && (dtype != TW_BOOL || value == 0 || value == 1));
    return tw_g_constant(g, holds ? dtype : TW_F32, value);
}

tw_value *tw_g_like_f32(tw_graph *g, double value)
{
    return tw_g_constant(g, TW_F32, value);
}

tw_value *tw_g_like_i64(tw_graph *g, int64_t value)
{
    return tw_g_full(g, 0, NULL, (double)value, value, TW_I64);
}

tw_value *tw_g_sub_from(tw_graph *g, double value, tw_value *x)
{
    return tw_g_sub(g, tw_g_like(g, x, value), x);
}

tw_value *tw_g_as(tw_graph *g, tw_value *x, tw_dtype dtype)
{
    return !x || x->type.dtype == dtype ? x : tw_g_cast(g, x, dtype);
}

tw_value *tw_g_wide(tw_graph *g, tw_value *x)
{
    return !x || x->type.dtype == TW_F64 ? x : tw_g_as(g, x, TW_F32);
}

tw_value *tw_g_narrow(tw_graph *g, tw_value *y, const tw_value *x)
{
    return y && x && tw_dtype_floating((tw_dtype)x->type.dtype) ? tw_g_as(g, y, (tw_dtype)x->type.dtype) : y;
}

tw_value *tw_g_filled(tw_graph *g, const tw_type *type, double value)
{
    return tw_g_full(g, type->rank, type->dims, value, (int64_t)(isfinite(value) ? value : 0), (tw_dtype)type->dtype);
}

tw_value *tw_g_zeros_as(tw_graph *g, const tw_value *x)
{
    return x ? tw_g_filled(g, &x->type, 0) : NULL;
}

tw_value *tw_g_ones_as(tw_graph *g, const tw_value *x)
{
    return x ? tw_g_filled(g, &x->type, 1) : NULL;
}

static bool has_shape(const tw_value *x, const tw_type *type)
{
    return x->type.rank == type->rank && !memcmp(x->type.dims, type->dims, type->rank * sizeof *type->dims);
}

tw_value *tw_g_reshape_to(tw_graph *g, tw_value *x, const tw_type *type)
{
    return !x || has_shape(x, type) ? x : tw_g_reshape(g, x, type->rank, type->dims);
}

tw_value *tw_g_reshape_like(tw_graph *g, tw_value *x, const tw_value *like)
{
    return like ? tw_g_reshape_to(g, x, &like->type) : NULL;
}

tw_value *tw_g_padded_to(tw_graph *g, tw_value *x, const tw_value *like)
{
    int64_t none[TW_MAX_RANK] = {0}, behind[TW_MAX_RANK];
    if (!x || !like || has_shape(x, &like->type))
        return like ? x : NULL;
    for (int i = 0; i < x->type.rank; i++)
        behind[i] = x->type.dims[i] == like->type.dims[i] ? 0 : like->type.dims[i] - x->type.dims[i];
    return tw_g_pad(g, x, x->type.rank, none, x->type.rank, behind, 0);
}

tw_value *tw_g_expand_to(tw_graph *g, tw_value *x, const tw_type *type)
{
    return !x || has_shape(x, type) ? x : tw_g_expand(g, x, type->rank, type->dims);
}

static double count_along(const tw_value *x, int n, const int64_t *axes)
{
    double count = 1;
    for (int i = 0; i < (n ? n : x->type.rank); i++)
        count *= (double)x->type.dims[n ? axes[i] : i];
    return count;
}

tw_value *tw_g_count_as(tw_graph *g, const tw_value *x, int n, const int64_t *axes)
{
    return tw_g_like(g, x, count_along(x, n, axes));
}

tw_value *tw_g_count_less(tw_graph *g, const tw_value *x, int n, const int64_t *axes, int64_t correction)
{
    return tw_g_like(g, x, TW_MAX(count_along(x, n, axes) - (double)correction, 0.0));
}

tw_value *tw_g_spread(tw_graph *g, tw_value *y, const tw_value *x, int n, const int64_t *axes, bool keepdim)
{
    if (!x || !y)
        return NULL;
    tw_type kept = x->type;
    for (int i = 0; i < (n ? n : kept.rank); i++)
        kept.dims[n ? axes[i] : i] = 1;
    if (!keepdim)
        y = tw_g_reshape_to(g, y, &kept);
    return tw_g_expand_to(g, y, &x->type);
}

static tw_value *index_along(tw_graph *g, const tw_value *x, int from_end)
{
    if (x && x->type.rank < from_end) {
        tw_error(TW_ERR_SHAPE, "tril, triu: a tensor of %d dimensions; expected at least 2", x->type.rank);
        return NULL;
    }
    return x ? tw_g_iota(g, x->type.rank, x->type.dims, x->type.rank - from_end, TW_I64) : NULL;
}

tw_value *tw_g_row_index(tw_graph *g, const tw_value *x)
{
    return index_along(g, x, 2);
}

tw_value *tw_g_column_index(tw_graph *g, const tw_value *x)
{
    return index_along(g, x, 1);
}

tw_value *tw_g_uniform_bits(tw_graph *g, tw_value *bits)
{
    tw_value *upper = tw_g_shift_right_logical(g, bits, tw_g_constant(g, TW_I32, 8));
    return tw_g_mul(g, tw_g_as(g, upper, TW_F32), tw_g_constant(g, TW_F32, 0x1p-24));
}

tw_value *tw_g_uniform_as(tw_graph *g, const tw_value *x, tw_value *state, int64_t stream)
{
    return x ? tw_g_uniform_bits(g, tw_g_philox(g, state, x->type.rank, x->type.dims, stream)) : NULL;
}

tw_value *tw_g_swap(tw_graph *g, tw_value *x, int first, int second)
{
    if (!x)
        return NULL;
    int64_t axes[TW_MAX_RANK];
    int rank = x->type.rank;
    for (int i = 0; i < rank; i++)
        axes[i] = i;
    first += first < 0 ? rank : 0;
    second += second < 0 ? rank : 0;
    axes[first] = second;
    axes[second] = first;
    return tw_g_permute(g, x, rank, axes);
}

tw_value *tw_g_part(tw_graph *g, tw_value *x, int axis, tw_dim start, tw_dim size, int64_t step)
{
    if (!x)
        return NULL;
    tw_dim starts[TW_MAX_RANK] = {0}, sizes[TW_MAX_RANK], steps[TW_MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) {
        sizes[i] = x->type.dims[i];
        steps[i] = 1;
    }
    starts[axis] = start;
    sizes[axis] = size;
    steps[axis] = step;
    return tw_g_slice(g, x, x->type.rank, starts, x->type.rank, sizes, x->type.rank, steps);
}

tw_value *tw_g_unbroadcast(tw_graph *g, tw_value *x, const tw_type *type)
{
    int64_t axes[TW_MAX_RANK];
    int n = 0;
    if (!x)
        return NULL;
    for (int i = 0; i < x->type.rank; i++) {
        int own = i - (x->type.rank - type->rank);
        if (own < 0 || (type->dims[own] == 1 && x->type.dims[i] != 1))
            axes[n++] = i;
    }
    if (n)
        x = tw_g_sum(g, x, n, axes, false);
    if (x &&
        !has_shape(
            x, type)) { /* smaller than the operand: the gradient of a scalar use grows; else sizes of 1 come back */
        tw_value *shaped = tw_type_count(g, &x->type) == tw_type_count(g, type) ? tw_g_reshape_to(g, x, type)
                                                                                : tw_g_expand_to(g, x, type);
        x = shaped;
    }
    return tw_g_as(g, x, (tw_dtype)type->dtype);
}
