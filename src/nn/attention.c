/* Multi-head attention. */
#include "base/base.h"
#include "tensor/record.h"
#include "tilewright/nn.h"
#include "tilewright/ops.h"

tw_status tw_attention_init(tw_attention_layer *l, tw_parameters *p, const char *name, int64_t dim, int64_t heads,
                            bool bias, double std)
{
    char part[64];
    if (dim < 1 || heads < 1 || dim % heads)
        return tw_error(TW_ERR_VALUE, "attention: dim %lld, %lld heads; expected a positive dim, a multiple of heads",
                        (long long)dim, (long long)heads);
    l->heads = heads;
    snprintf(part, sizeof part, "%s.qkv", name);
    TW_TRY(tw_linear_init(&l->qkv, p, part, dim, 3 * dim, bias, std));
    snprintf(part, sizeof part, "%s.proj", name);
    return tw_linear_init(&l->proj, p, part, dim, dim, bias, std);
}

/* [batch, time, some dim], from its dim number `first` on, to [batch, heads, time, dim / heads]. */
static tw_tensor *heads_of(const tw_attention_layer *l, tw_tensor *x, int64_t first)
{
    int64_t dim = tw_size(l->proj.weight, 0), start = first * dim;
    x = tw_narrow_to(x, 2, 1, &start, 1, &dim);
    return tw_transpose(tw_reshape(x, 4, (int64_t[]){tw_size(x, 0), tw_size(x, 1), l->heads, dim / l->heads}), 1, 2);
}

/* `parts` of queries, keys and values, from number `first` on: those rows of the weight. */
static tw_tensor *project(const tw_attention_layer *l, tw_tensor *x, int64_t first, int64_t parts)
{
    int64_t dim = tw_size(l->proj.weight, 0), start = first * dim, rows = parts * dim;
    tw_tensor *weight = tw_narrow_to(l->qkv.weight, 0, 1, &start, 1, &rows);
    return tw_linear(x, weight, l->qkv.bias ? tw_narrow_to(l->qkv.bias, 0, 1, &start, 1, &rows) : NULL);
}

static tw_status check_input(const tw_attention_layer *l, const char *name, tw_tensor *x)
{
    int64_t dim = tw_size(l->proj.weight, 0);
    TW_TRY(tw_tensor_status(x));
    if (tw_rank(x) != 3)
        return tw_error(TW_ERR_SHAPE, "attention: %s has %d dimensions; expected 3, [batch, time, dim]", name,
                        tw_rank(x));
    if (tw_size(x, 2) != dim)
        return tw_error(TW_ERR_SHAPE, "attention: %s is [%lld, %lld, %lld]; expected [batch, time, %lld]", name,
                        (long long)tw_size(x, 0), (long long)tw_size(x, 1), (long long)tw_size(x, 2), (long long)dim);
    return TW_OK;
}

tw_tensor *tw_attention_forward(const tw_attention_layer *l, tw_tensor *x, tw_tensor *other, tw_tensor *mask,
                                bool causal)
{
    tw_status status = check_input(l, "x", x);
    if (status == TW_OK && other)
        status = check_input(l, "other", other);
    if (status != TW_OK)
        return tw_tensor_failed(status);
    tw_tensor *queries, *rest;
    if (other) {
        queries = project(l, x, 0, 1);
        rest = project(l, other, 1, 2);
    } else {
        queries = rest = tw_linear_forward(&l->qkv, x);
    }
    int64_t keys = other ? 0 : 1;
    tw_tensor *y =
        tw_attention(heads_of(l, queries, 0), heads_of(l, rest, keys), heads_of(l, rest, keys + 1), mask, causal, 0);
    return tw_linear_forward(&l->proj, tw_reshape(tw_transpose(y, 1, 2), 3, tw_shape(x)));
}
