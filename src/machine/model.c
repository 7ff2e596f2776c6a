/* Counting a transformer: parameters, FLOPs, cache. Each published figure counts FLOPs its own way; the functions say
 * which way is theirs. */
#include <math.h>

#include "machine/internal.h"
#include "machine/workload.h"

tw_parts tw_model_parts(const tw_model *m)
{
    double matrices = m->gated ? 3 : 2, query = m->heads * m->head_dim, value = m->heads * m->value_dim;
    tw_parts p = {.attention_layers = m->attention_layers, .mixer_layers = m->mixer_layers};
    p.expert_layers = m->experts > 0 ? TW_MAX(0.0, m->ffn_layers - m->dense_layers) : 0;
    p.dense_layers = m->ffn_layers - p.expert_layers;
    if (m->kv_rank > 0) /* latent attention: queries and keys have a rotary part */
        p.attention = (m->q_rank > 0 ? m->hidden * m->q_rank + m->q_rank * m->heads * (m->head_dim + m->rope_dim)
                                     : m->hidden * m->heads * (m->head_dim + m->rope_dim)) +
                      m->hidden * (m->kv_rank + m->rope_dim) + m->kv_rank * m->heads * (m->head_dim + m->value_dim) +
                      value * m->hidden;
    else
        p.attention = m->hidden * query + m->hidden * m->kv_heads * (m->head_dim + m->value_dim) + value * m->hidden;
    p.dense = matrices * m->hidden * m->ffn;
    p.expert = matrices * m->latent * m->expert_ffn;
    p.shared = matrices * m->hidden * m->shared_ffn + (m->latent != m->hidden ? 2 * m->hidden * m->latent : 0);
    p.router = m->hidden * m->experts;
    p.mixer = m->hidden * (2 * m->mixer_inner + 2 * m->mixer_groups * m->mixer_state + m->mixer_heads) +
              m->mixer_inner * m->hidden;
    p.norm = m->bias ? 2 * m->hidden : m->hidden;
    p.bias = m->bias ? query + m->kv_heads * 2 * m->head_dim + m->hidden + m->ffn + m->hidden : 0;
    p.query_width = m->heads * (m->head_dim + (m->kv_rank > 0 ? m->rope_dim : 0));
    return p;
}

/* Layers stand once each; what a layer holds differs, so the sum runs over the parts. */
static double layers(const tw_model *m, double experts)
{
    tw_parts p = tw_model_parts(m);
    double norms = (p.attention_layers + p.mixer_layers + p.dense_layers + p.expert_layers) * p.norm;
    return p.attention_layers * p.attention + p.mixer_layers * p.mixer + p.dense_layers * p.dense +
           p.expert_layers * (experts * p.expert + p.shared + p.router) + norms + m->layers * p.bias;
}

double tw_model_layer_parameters(const tw_model *m)
{
    return layers(m, m->experts);
}

static double ends(const tw_model *m)
{
    return m->vocab * m->hidden * (m->tied ? 1 : 2) + (m->positions ? m->sequence * m->hidden : 0) + 2 * m->hidden +
           m->extra_layers * (layers(m, m->experts) / m->layers + 2 * m->hidden * m->hidden);
}

double tw_model_parameters(const tw_model *m)
{
    return layers(m, m->experts) + ends(m);
}

double tw_model_active_parameters(const tw_model *m)
{
    return layers(m, m->experts_active) + m->vocab * m->hidden * (m->tied ? 1 : 2);
}

double tw_model_attended(const tw_model *m, double sequence, bool half, bool windowed)
{
    double seen = windowed && m->window > 0 ? TW_MIN(m->window, sequence) : sequence;
    return half && m->causal && seen == sequence ? seen / 2 : seen;
}

double tw_model_forward_flops(const tw_model *m, double sequence, bool half)
{
    tw_parts p = tw_model_parts(m);
    double matrix = layers(m, m->experts_active) -
                    (p.attention_layers + p.mixer_layers + p.dense_layers + p.expert_layers) * p.norm -
                    m->layers * p.bias;
    double width =
        2 * p.query_width + 2 * m->heads * m->value_dim; /* scores, then values: FLOPs of one pair of tokens */
    double full = p.attention_layers - m->window_layers;
    double attention = width * (full * tw_model_attended(m, sequence, half, false) +
                                m->window_layers * tw_model_attended(m, sequence, half, true));
    double scan = p.mixer_layers * 6 * m->mixer_inner * m->mixer_state;
    double heads = 1 + m->extra_layers;
    return 2 * matrix * (1 + m->extra_layers / m->layers) + attention + scan + 2 * m->hidden * m->vocab * heads;
}

double tw_gpt_step_flops(const tw_model *m, double batch, double sequence, bool recompute)
{
    double h = m->hidden, l = m->layers, base = batch * sequence * l * h * h;
    return recompute ? 96 * base * (1 + sequence / (6 * h) + m->vocab / (16 * l * h))
                     : 72 * base * (1 + sequence / (6 * h) + m->vocab / (12 * l * h));
}

double tw_model_kv_bytes(const tw_model *m, double element)
{
    double token = m->kv_rank > 0 ? m->kv_rank + m->rope_dim : m->kv_heads * (m->head_dim + m->value_dim);
    return m->attention_layers * token * element;
}

tw_workload tw_workload_of(const tw_model *m)
{
    return (tw_workload){.model = m,
                         .phase = TW_PHASE_TRAIN,
                         .sequence = m->sequence,
                         .batch = 1024,
                         .type = TW_PEAK_BF16,
                         .attention = m->attention,
                         .software = m->software,
                         .draft = 1,
                         .power_cap = 1};
}
