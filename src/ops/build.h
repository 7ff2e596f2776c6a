/* Helpers that the tables' expressions call beside the generated builders. NULL operands and failures give NULL. */
#ifndef TW_OPS_BUILD_H
#define TW_OPS_BUILD_H

#include "ops/graph_ops.h"

tw_value *tw_g_constant(tw_graph *g, tw_dtype dtype, double value); /* a rank-0 full */
tw_value *tw_g_like(tw_graph *g, const tw_value *x,
                    double value); /* scalar of x's dtype (f32 when that can't hold it) */
tw_value *tw_g_like_f32(tw_graph *g, double value);
tw_value *tw_g_like_i64(tw_graph *g, int64_t value);
tw_value *tw_g_sub_from(tw_graph *g, double value, tw_value *x); /* value - x */
tw_value *tw_g_wide(tw_graph *g, tw_value *x); /* f16 and bf16 as f32; integers too; f32 and f64 as they are */
tw_value *tw_g_narrow(tw_graph *g, tw_value *y, const tw_value *x); /* back to x's dtype if that is floating */
tw_value *tw_g_as(tw_graph *g, tw_value *x, tw_dtype dtype);
tw_value *tw_g_filled(tw_graph *g, const tw_type *type, double value);
tw_value *tw_g_zeros_as(tw_graph *g, const tw_value *x);
tw_value *tw_g_ones_as(tw_graph *g, const tw_value *x);
tw_value *tw_g_reshape_like(tw_graph *g, tw_value *x, const tw_value *like);
tw_value *tw_g_reshape_to(tw_graph *g, tw_value *x, const tw_type *type);
tw_value *tw_g_padded_to(tw_graph *g, tw_value *x, const tw_value *like); /* zeros behind x, up to the sizes of like */
tw_value *tw_g_expand_to(tw_graph *g, tw_value *x, const tw_type *type);
tw_value *tw_g_count_as(tw_graph *g, const tw_value *x, int n,
                        const int64_t *axes); /* elements of x along axes, as a scalar of its dtype */
tw_value *tw_g_count_less(tw_graph *g, const tw_value *x, int n, const int64_t *axes, int64_t correction);
/* y, a reduction of x over axes, with its dimensions back and grown to x's shape. */
tw_value *tw_g_spread(tw_graph *g, tw_value *y, const tw_value *x, int n, const int64_t *axes, bool keepdim);
tw_value *tw_g_row_index(tw_graph *g, const tw_value *x);    /* iota along the last but one dimension */
tw_value *tw_g_column_index(tw_graph *g, const tw_value *x); /* along the last */
tw_value *tw_g_uniform_as(tw_graph *g, const tw_value *x, tw_value *state,
                          int64_t stream);                /* f32 in [0, 1) of x's shape */
tw_value *tw_g_uniform_bits(tw_graph *g, tw_value *bits); /* i32 random bits to f32 in [0, 1): the upper 24 */
static inline double tw_g_inverse_keep(double p)
{
    return p >= 1 ? 0 : 1 / (1 - p);
}
tw_value *tw_g_swap(tw_graph *g, tw_value *x, int first, int second); /* transpose, as the primitive permute */
tw_value *tw_g_part(tw_graph *g, tw_value *x, int axis, tw_dim start, tw_dim size, int64_t step);
/* Sums away the dimensions in which `type` was broadcast to x's shape, and casts to its dtype. */
tw_value *tw_g_unbroadcast(tw_graph *g, tw_value *x, const tw_type *type);

#endif
