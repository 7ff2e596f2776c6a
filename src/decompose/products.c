/* Products, normalisations, attention, losses, random numbers: composites that need control flow. f16 and bf16 are
 * computed in f32. */
#include <math.h>

#include "decompose/decompose.h"
#include "ops/build.h"

tw_decomposition tw_decompose_matmul, tw_decompose_linear, tw_decompose_layer_norm, tw_decompose_rms_norm,
    tw_decompose_rand_uniform, tw_decompose_rand_normal, tw_decompose_rand_int, tw_decompose_embedding,
    tw_decompose_nll_loss, tw_decompose_cross_entropy, tw_decompose_attention, tw_decompose_rotary,
    tw_decompose_logsumexp;

/* x as [batch..., rows, columns] with the given batch dimensions. */
static tw_value *with_batch(tw_graph *g, tw_value *x, int batch_rank, const tw_dim *batch)
{
    tw_type t = {.dtype = x->type.dtype, .rank = (uint8_t)(batch_rank + 2)};
    for (int i = 0; i < batch_rank; i++)
        t.dims[i] = batch[i];
    t.dims[batch_rank] = x->type.dims[x->type.rank - 2];
    t.dims[batch_rank + 1] = x->type.dims[x->type.rank - 1];
    return tw_g_expand_to(g, x, &t);
}

/* [a.., m, k] times one matrix: the batch joins the rows, so that it is one product. */
static tw_value *product(tw_graph *g, tw_value *a, tw_value *b, const tw_type *result)
{
    int ra = a->type.rank, rb = b->type.rank;
    if (rb == 2 && ra > 2) {
        tw_type rows = {.dtype = a->type.dtype, .rank = 2, .dims = {1, a->type.dims[ra - 1]}};
        for (int i = 0; i < ra - 1; i++)
            rows.dims[0] = tw_dim_mul(g, rows.dims[0], a->type.dims[i]);
        return tw_g_reshape_to(g, tw_g_dot(g, tw_g_reshape_to(g, a, &rows), b), result);
    }
    int batch = TW_MAX(ra, rb) - 2;
    tw_dim dims[TW_MAX_RANK];
    for (int i = 0; i < batch; i++) {
        tw_dim p = i - (batch - (ra - 2)) >= 0 ? a->type.dims[i - (batch - (ra - 2))] : 1;
        tw_dim q = i - (batch - (rb - 2)) >= 0 ? b->type.dims[i - (batch - (rb - 2))] : 1;
        dims[i] = p == 1 ? q : p;
    }
    tw_value *left = with_batch(g, a, batch, dims), *right = with_batch(g, b, batch, dims);
    return left && right ? tw_g_reshape_to(g, tw_g_dot(g, left, right), result) : NULL;
}

tw_value *tw_decompose_matmul(tw_graph *g, const tw_op *op)
{
    tw_value *a = op->operand[0], *b = op->operand[1];
    if (a->type.rank == 1)
        a = tw_g_reshape(g, a, 2, (tw_dim[]){1, a->type.dims[0]});
    if (b->type.rank == 1)
        b = tw_g_reshape(g, b, 2, (tw_dim[]){b->type.dims[0], 1});
    return a && b ? product(g, a, b, &op->result[0].type) : NULL;
}

tw_value *tw_decompose_linear(tw_graph *g, const tw_op *op)
{
    tw_value *x = op->operand[0], *w = tw_g_swap(g, op->operand[1], 0, 1);
    if (x->type.rank == 1)
        x = tw_g_reshape(g, x, 2, (tw_dim[]){1, x->type.dims[0]});
    tw_value *y = x && w ? product(g, x, w, &op->result[0].type) : NULL;
    return op->operand[2] ? tw_g_add(g, y, op->operand[2]) : y;
}

static void last_axes(const tw_op *op, int64_t *axes, int *n)
{
    *n = (int)op->attr[0].i;
    for (int i = 0; i < *n; i++)
        axes[i] = op->operand[0]->type.rank - *n + i;
}

static tw_value *scale_and_shift(tw_graph *g, tw_value *y, tw_value *weight, tw_value *bias)
{
    if (weight)
        y = tw_g_mul(g, y, tw_g_wide(g, weight));
    return bias ? tw_g_add(g, y, tw_g_wide(g, bias)) : y;
}

/* Two passes: the mean, then the mean of squared distances from it. */
tw_value *tw_decompose_layer_norm(tw_graph *g, const tw_op *op)
{
    int64_t axes[TW_MAX_RANK];
    int n;
    last_axes(op, axes, &n);
    tw_value *x = tw_g_wide(g, op->operand[0]);
    tw_value *c = tw_g_sub(g, x, tw_g_mean(g, x, n, axes, true));
    tw_value *v = tw_g_mean(g, tw_g_mul(g, c, c), n, axes, true);
    tw_value *y = tw_g_mul(g, c, tw_g_rsqrt(g, tw_g_add(g, v, tw_g_like(g, v, op->attr[1].f))));
    return scale_and_shift(g, y, op->operand[1], op->operand[2]);
}

tw_value *tw_decompose_rms_norm(tw_graph *g, const tw_op *op)
{
    int64_t axes[TW_MAX_RANK];
    int n;
    last_axes(op, axes, &n);
    tw_value *x = tw_g_wide(g, op->operand[0]), *v = tw_g_mean(g, tw_g_mul(g, x, x), n, axes, true);
    tw_value *y = tw_g_mul(g, x, tw_g_rsqrt(g, tw_g_add(g, v, tw_g_like(g, v, op->attr[1].f))));
    return scale_and_shift(g, y, op->operand[1], NULL);
}

tw_value *tw_decompose_logsumexp(tw_graph *g, const tw_op *op)
{
    int n = op->attr[0].dims.n;
    const tw_dim *axes = op->attr[0].dims.v;
    tw_value *x = tw_g_wide(g, op->operand[0]), *m = tw_g_amax(g, x, n, axes, true);
    m = tw_g_where(g, tw_g_isfinite(g, m), m, tw_g_like(g, m, 0)); /* a row of -inf gives -inf, not NaN */
    tw_value *y = tw_g_add(g, tw_g_log(g, tw_g_sum(g, tw_g_exp(g, tw_g_sub(g, x, m)), n, axes, true)), m);
    return tw_g_reshape_to(g, y, &op->result[0].type);
}

/* ---- random numbers ---- */

tw_value *tw_decompose_rand_uniform(tw_graph *g, const tw_op *op)
{
    const tw_type *t = &op->result[0].type;
    return tw_g_uniform_bits(g, tw_g_philox(g, op->operand[0], t->rank, t->dims, op->attr[2].i));
}

/* Box and Muller: two uniforms, one normal; 1 - u keeps the logarithm finite. */
tw_value *tw_decompose_rand_normal(tw_graph *g, const tw_op *op)
{
    const tw_type *t = &op->result[0].type;
    tw_value *u = tw_g_uniform_bits(g, tw_g_philox(g, op->operand[0], t->rank, t->dims, 2 * op->attr[2].i));
    tw_value *angle = tw_g_uniform_bits(g, tw_g_philox(g, op->operand[0], t->rank, t->dims, 2 * op->attr[2].i + 1));
    tw_value *radius = tw_g_sqrt(g, tw_g_mul(g, tw_g_log(g, tw_g_sub_from(g, 1, u)), tw_g_like(g, u, -2)));
    return tw_g_mul(g, radius, tw_g_cos(g, tw_g_mul(g, angle, tw_g_like(g, angle, 6.283185307179586477))));
}

tw_value *tw_decompose_rand_int(tw_graph *g, const tw_op *op)
{
    const tw_type *t = &op->result[0].type;
    int64_t low = op->attr[0].i, range = op->attr[1].i - low;
    tw_value *bits = tw_g_as(g, tw_g_philox(g, op->operand[0], t->rank, t->dims, op->attr[4].i), TW_I64);
    bits = tw_g_bitwise_and(g, bits, tw_g_like_i64(g, 0xffffffff));
    tw_value *scaled = tw_g_shift_right(g, tw_g_mul(g, bits, tw_g_like_i64(g, range)), tw_g_like_i64(g, 32));
    return tw_g_add(g, scaled, tw_g_like_i64(g, low));
}

/* ---- embedding, losses ---- */

tw_value *tw_decompose_embedding(tw_graph *g, const tw_op *op)
{
    tw_type flat = {.dtype = op->operand[1]->type.dtype, .rank = 1, .dims = {tw_type_count(g, &op->operand[1]->type)}};
    tw_value *rows = tw_g_index_select(g, op->operand[0], tw_g_reshape_to(g, op->operand[1], &flat), 0);
    return tw_g_reshape_to(g, rows, &op->result[0].type);
}

static tw_value *picked(tw_graph *g, tw_value *x, tw_value *target)
{
    return tw_g_gather(g, x, tw_g_reshape(g, target, 2, (tw_dim[]){target->type.dims[0], 1}), 1);
}

tw_value *tw_decompose_nll_loss(tw_graph *g, const tw_op *op)
{
    return tw_g_neg(g, tw_g_mean(g, picked(g, op->operand[0], op->operand[1]), 0, NULL, false));
}

tw_value *tw_decompose_cross_entropy(tw_graph *g, const tw_op *op)
{
    tw_value *x = tw_g_wide(g, op->operand[0]);
    tw_value *rows = tw_g_sub(g, tw_g_logsumexp(g, x, 1, (tw_dim[]){1}, true), picked(g, x, op->operand[1]));
    return tw_g_mean(g, rows, 0, NULL, false);
}

/* ---- attention ---- */

static tw_value *scores(tw_graph *g, tw_value *q, tw_value *k, tw_value *mask, bool causal, double scale)
{
    tw_value *s = tw_g_matmul(g, tw_g_wide(g, q), tw_g_swap(g, tw_g_wide(g, k), -2, -1));
    s = tw_g_mul(g, s, tw_g_like(g, s, scale > 0 ? scale : 1 / sqrt((double)q->type.dims[q->type.rank - 1])));
    if (!s)
        return NULL;
    if (causal)
        s = tw_g_where(g, tw_g_ge(g, tw_g_row_index(g, s), tw_g_column_index(g, s)), s, tw_g_like(g, s, -INFINITY));
    if (mask && mask->type.dtype == TW_BOOL)
        s = tw_g_where(g, mask, s, tw_g_like(g, s, -INFINITY));
    else if (mask)
        s = tw_g_add(g, s, tw_g_wide(g, mask));
    return s;
}

/* A row of which the mask hides everything weighs nothing, as in PyTorch, where a softmax alone would make NaN of it.
 * Its scores are replaced before the softmax too, so that no NaN reaches the gradients. */
static tw_value *weights(tw_graph *g, tw_value *s, bool masked)
{
    if (!s || !masked)
        return s ? tw_g_softmax(g, s, -1) : NULL;
    tw_value *hidden = tw_g_eq(g, tw_g_amax(g, s, 1, (int64_t[]){-1}, true), tw_g_like(g, s, -INFINITY));
    tw_value *zero = tw_g_like(g, s, 0);
    return tw_g_where(g, hidden, zero, tw_g_softmax(g, tw_g_where(g, hidden, zero, s), -1));
}

tw_value *tw_decompose_attention(tw_graph *g, const tw_op *op)
{
    tw_value *s = scores(g, op->operand[0], op->operand[1], op->operand[3], op->attr[0].i != 0, op->attr[1].f);
    tw_value *v = tw_g_wide(g, op->operand[2]);
    return s && v ? tw_g_matmul(g, weights(g, s, op->operand[3] != NULL), v) : NULL;
}

/* (a, b) * (cos, cos) + (-b, a) * (sin, sin) over the halves a and b. */
tw_value *tw_decompose_rotary(tw_graph *g, const tw_op *op)
{
    tw_value *x = tw_g_wide(g, op->operand[0]);
    int axis = x ? x->type.rank - 1 : 0;
    if (!x || axis < 0 || x->type.dims[axis] % 2) {
        tw_error(TW_ERR_SHAPE, "rotary: the last dimension must have an even size");
        return NULL;
    }
    tw_dim half = x->type.dims[axis] / 2;
    tw_value *a = tw_g_part(g, x, axis, 0, half, 1), *b = tw_g_part(g, x, axis, half, half, 1);
    tw_value *const turned[] = {tw_g_neg(g, b), a};
    if (!turned[0] || !a)
        return NULL;
    return tw_g_add(g, tw_g_mul(g, x, tw_g_wide(g, op->operand[1])),
                    tw_g_mul(g, tw_g_cat(g, 2, turned, axis), tw_g_wide(g, op->operand[2])));
}
