/* Layers. Weights are drawn from a normal distribution, biases begin at zero. */
#include <float.h>

#include "base/base.h"
#include "tensor/record.h"
#include "tilewright/nn.h"
#include "tilewright/ops.h"

tw_tensor *tw_parameters_add(tw_parameters *p, const char *name, tw_tensor *value)
{
    if (tw_tensor_status(value) != TW_OK)
        return NULL;
    if (strlen(name) >= sizeof p->item->name) {
        tw_error(TW_ERR_VALUE, "parameters: a name of %zu bytes, %s; expected at most %zu", strlen(name), name,
                 sizeof p->item->name - 1);
        return NULL;
    }
    if (p->count == p->room) {
        int room = TW_MAX(16, 2 * p->room);
        tw_parameter *grown = tw_realloc(p->item, (size_t)room * sizeof *grown);
        if (!grown)
            return NULL;
        p->item = grown;
        p->room = room;
    }
    tw_parameter *item = &p->item[p->count++];
    snprintf(item->name, sizeof item->name, "%s", name);
    item->value = tw_requires_grad(tw_keep(value), true);
    return value;
}

void tw_parameters_free(tw_parameters *p)
{
    for (int i = 0; i < p->count; i++)
        tw_release(p->item[i].value);
    tw_free(p->item);
    *p = (tw_parameters){0};
}

void tw_parameters_zero_grad(tw_parameters *p)
{
    for (int i = 0; i < p->count; i++)
        tw_zero_grad(p->item[i].value);
}

static tw_tensor *add_part(tw_parameters *p, const char *name, const char *part, tw_tensor *value)
{
    char full[128]; /* more than a name may have: it is refused, never cut */
    snprintf(full, sizeof full, "%s.%s", name, part);
    return tw_parameters_add(p, full, value);
}

static tw_tensor *normal(int rank, const int64_t *shape, double std)
{
    tw_tensor *x = tw_mul(tw_randn(rank, shape, TW_F32), tw_scalar(std, TW_F32));
    return tw_sync() == TW_OK ? x : tw_tensor_failed(tw_error_code());
}

tw_status tw_linear_init(tw_linear_layer *l, tw_parameters *p, const char *name, int64_t in, int64_t out, bool bias,
                         double std)
{
    TW_SCOPE {
        l->weight = add_part(p, name, "weight", normal(2, (int64_t[]){out, in}, std));
        l->bias = bias ? add_part(p, name, "bias", tw_zeros(1, &out, TW_F32)) : NULL;
    }
    return l->weight && (!bias || l->bias) ? TW_OK : tw_error_code();
}

tw_tensor *tw_linear_forward(const tw_linear_layer *l, tw_tensor *x)
{
    return tw_linear(x, l->weight, l->bias);
}

tw_status tw_layer_norm_init(tw_layer_norm_layer *l, tw_parameters *p, const char *name, int64_t size)
{
    TW_SCOPE {
        l->weight = add_part(p, name, "weight", tw_ones(1, &size, TW_F32));
        l->bias = add_part(p, name, "bias", tw_zeros(1, &size, TW_F32));
        l->eps = 1e-5;
    }
    return l->weight && l->bias ? TW_OK : tw_error_code();
}

tw_tensor *tw_layer_norm_forward(const tw_layer_norm_layer *l, tw_tensor *x)
{
    return tw_layer_norm(x, l->weight, l->bias, 1, l->eps);
}

tw_status tw_rms_norm_init(tw_rms_norm_layer *l, tw_parameters *p, const char *name, int64_t size)
{
    TW_SCOPE {
        l->weight = add_part(p, name, "weight", tw_ones(1, &size, TW_F32));
        l->eps = FLT_EPSILON;
    }
    return l->weight ? TW_OK : tw_error_code();
}

tw_tensor *tw_rms_norm_forward(const tw_rms_norm_layer *l, tw_tensor *x)
{
    return tw_rms_norm(x, l->weight, 1, l->eps);
}

tw_status tw_embedding_init(tw_embedding_layer *l, tw_parameters *p, const char *name, int64_t rows, int64_t size,
                            double std)
{
    TW_SCOPE {
        l->weight = add_part(p, name, "weight", normal(2, (int64_t[]){rows, size}, std));
    }
    return l->weight ? TW_OK : tw_error_code();
}

tw_tensor *tw_embedding_forward(const tw_embedding_layer *l, tw_tensor *index)
{
    return tw_embedding(l->weight, index);
}

tw_status tw_dropout_init(tw_dropout_layer *l, double p)
{
    if (!(p >= 0 && p <= 1))
        return tw_error(TW_ERR_VALUE, "dropout: probability %g; expected 0 <= p <= 1", p);
    *l = (tw_dropout_layer){p};
    return TW_OK;
}

tw_tensor *tw_dropout_forward(const tw_dropout_layer *l, tw_tensor *x, bool training)
{
    if (!training || l->p <= 0)
        return x;
    return tw_dropout(x, tw_generator_take(tw_numel(x)), l->p, 0);
}
