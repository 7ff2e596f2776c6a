/* Multi-head self-attention. */
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

/* [batch, time, 3 dim] to one of q, k, v: [batch, heads, time, dim / heads]. */
static tw_tensor *part_of(const tw_attention_layer *l, tw_tensor *qkv, int which)
{
    int64_t d = tw_size(l->proj.weight, 0);
    tw_tensor *x = tw_narrow_to(qkv, 2, 1, (int64_t[]){which * d}, 1, &d);
    x = tw_reshape(x, 4, (int64_t[]){tw_size(qkv, 0), tw_size(qkv, 1), l->heads, d / l->heads});
    return tw_transpose(x, 1, 2);
}

tw_tensor *tw_attention_forward(const tw_attention_layer *l, tw_tensor *x, tw_tensor *mask, bool causal)
{
    if (tw_tensor_status(x) == TW_OK && tw_rank(x) != 3)
        return tw_tensor_failed(
            tw_error(TW_ERR_SHAPE, "attention: x has %d dimensions; expected 3, [batch, time, dim]", tw_rank(x)));
    tw_tensor *qkv = tw_linear_forward(&l->qkv, x);
    if (tw_tensor_status(qkv) != TW_OK)
        return qkv;
    tw_tensor *y = tw_attention(part_of(l, qkv, 0), part_of(l, qkv, 1), part_of(l, qkv, 2), mask, causal, 0);
    return tw_linear_forward(&l->proj, tw_reshape(tw_transpose(y, 1, 2), 3, tw_shape(x)));
}
