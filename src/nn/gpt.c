/* The GPT. */
#include "base/base.h"
#include "tensor/record.h"
#include "tilewright/nn.h"
#include "tilewright/ops.h"

static tw_status init_block(tw_gpt *m, int64_t i)
{
    static const double std = 0.02;
    int64_t d = m->config.dim;
    tw_gpt_block *b = &m->block[i];
    char name[5][32];
    static const char *const parts[] = {"", ".ln1", ".ln2", ".fc", ".out"};
    for (int k = 0; k < 5; k++)
        snprintf(name[k], sizeof name[k], "bl.%lld%s", (long long)i, parts[k]);
    TW_TRY(tw_layer_norm_init(&b->ln1, &m->parameters, name[1], d));
    TW_TRY(tw_attention_init(&b->attention, &m->parameters, name[0], d, m->config.heads, true, std));
    TW_TRY(tw_layer_norm_init(&b->ln2, &m->parameters, name[2], d));
    TW_TRY(tw_linear_init(&b->fc, &m->parameters, name[3], d, 4 * d, true, std));
    return tw_linear_init(&b->out, &m->parameters, name[4], 4 * d, d, true, std);
}

tw_status tw_gpt_init(tw_gpt *m, const tw_gpt_config *config)
{
    *m = (tw_gpt){.config = *config};
    if (config->layers < 1 || config->dim < 1 || config->heads < 1 || config->context < 1 || config->vocabulary < 1 ||
        config->dim % config->heads)
        return tw_error(TW_ERR_VALUE,
                        "gpt: %lld layers, dim %lld, %lld heads, context %lld, vocabulary %lld; expected positive "
                        "sizes and dim a multiple of heads",
                        (long long)config->layers, (long long)config->dim, (long long)config->heads,
                        (long long)config->context, (long long)config->vocabulary);
    TW_TRY(tw_dropout_init(&m->drop, config->dropout));
    m->block = tw_alloc_zero((size_t)config->layers, sizeof *m->block);
    tw_status status = m->block ? TW_OK : TW_ERR_MEMORY;
    if (status == TW_OK)
        status = tw_embedding_init(&m->wte, &m->parameters, "wte", config->vocabulary, config->dim, 0.02);
    if (status == TW_OK)
        status = tw_embedding_init(&m->wpe, &m->parameters, "wpe", config->context, config->dim, 0.02);
    for (int64_t i = 0; i < config->layers && status == TW_OK; i++)
        status = init_block(m, i);
    if (status == TW_OK)
        status = tw_layer_norm_init(&m->lnf, &m->parameters, "lnf", config->dim);
    if (status != TW_OK)
        tw_gpt_free(m);
    return status;
}

void tw_gpt_free(tw_gpt *m)
{
    tw_parameters_free(&m->parameters);
    tw_free(m->block);
    m->block = NULL;
}

static tw_tensor *block_forward(const tw_gpt *m, const tw_gpt_block *b, tw_tensor *x, bool training)
{
    tw_tensor *y = tw_attention_forward(&b->attention, tw_layer_norm_forward(&b->ln1, x), NULL, NULL, true);
    x = tw_add(x, tw_dropout_forward(&m->drop, y, training));
    y = tw_gelu(tw_linear_forward(&b->fc, tw_layer_norm_forward(&b->ln2, x)));
    return tw_add(x, tw_dropout_forward(&m->drop, tw_linear_forward(&b->out, y), training));
}

tw_tensor *tw_gpt_logits(tw_gpt *m, tw_tensor *tokens, bool training)
{
    if (tw_tensor_status(tokens) != TW_OK)
        return tokens;
    int64_t time = tw_size(tokens, 1);
    if (tw_rank(tokens) != 2 || time > m->config.context)
        return tw_tensor_failed(tw_error(
            TW_ERR_SHAPE, "gpt: tokens with %d dimensions, time %lld; expected [batch, time] with time <= %lld",
            tw_rank(tokens), (long long)time, (long long)m->config.context));
    tw_tensor *positions = tw_narrow_to(m->wpe.weight, 0, 1, (int64_t[]){0}, 1, &time);
    tw_tensor *x = tw_add(tw_embedding_forward(&m->wte, tokens), positions);
    x = tw_dropout_forward(&m->drop, x, training);
    for (int64_t i = 0; i < m->config.layers; i++)
        x = block_forward(m, &m->block[i], x, training);
    x = tw_layer_norm_forward(&m->lnf, x);
    return tw_linear(tw_reshape(x, 2, (int64_t[]){-1, m->config.dim}), m->wte.weight, NULL);
}

tw_tensor *tw_gpt_loss(tw_gpt *m, tw_tensor *tokens, tw_tensor *targets, bool training)
{
    return tw_cross_entropy(tw_gpt_logits(m, tokens, training), tw_reshape(targets, 1, (int64_t[]){-1}));
}
