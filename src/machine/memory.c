/* What stands in one device's memory during a step.
 *
 * Activations a layer, in bytes, with 16-bit values (Korthikanti et al. 2022, section 4), T tokens, width h, tensor t:
 *     not divided by t     10 T h: inputs of two normalisations (4), of two linear layers (4), two dropout masks (2)
 *     divided by t         24 T h: queries, keys (4), values (2), input of the projection (2), of GELU (8), of the last
 * (8) 5 a s / h more where attention is not fused: softmax's output, its dropout and mask Sequence parallelism divides
 * the first line too; selective recomputation drops the third; full keeps 2 T h. */
#include <math.h>

#include "machine/internal.h"

/* Of one average layer and micro-batch. */
double tw_activation_bytes(const tw_planner *p, const tw_strategy *s)
{
    const tw_model *m = p->work.model;
    tw_parts parts = tw_model_parts(m);
    double tokens = s->micro_batch * p->work.sequence / s->context, h = m->hidden, t = s->tensor, l = m->layers;
    double spread = s->sequence_parallel ? t : 1, masks = p->work.software->dropout == 1 ? 1 : 0;
    if (s->recompute == TW_RECOMPUTE_FULL)
        return 2 * tokens * h / (s->sequence_parallel ? t : 1);
    double a = parts.attention_layers / l, x = parts.mixer_layers / l, d = parts.dense_layers / l,
           e = parts.expert_layers / l;
    bool again = s->recompute == TW_RECOMPUTE_SELECTIVE, cheap = again && p->work.attention == TW_ATTENTION_FUSED;
    double narrow =
        TW_MIN(2.0, TW_MAX(1.0, tw_peak_bytes(p->work.type))); /* inputs of products are kept as they are read */
    /* Before normalisation, before the first linear layer, mask; the second is made again from the first where it is
     * cheap. */
    double whole = (a + x + d + e) * (2 + (cheap ? 0 : narrow) + masks) * h;
    double q = parts.query_width, kv = m->kv_heads * (m->head_dim + m->value_dim), v = m->heads * m->value_dim;
    if (m->kv_rank > 0) /* latents are kept, keys and values made again from them */
        kv = m->kv_rank + m->rope_dim;
    double divided = a * (2 * (q + kv) + narrow * v) + x * 2 * 5 * m->mixer_inner,
           inner = (m->gated ? 2 : 1) * 2 + (cheap ? 0 : narrow);
    divided += d * inner * m->ffn;
    divided += e * (m->experts_active * (narrow * m->latent + inner * m->expert_ffn) + inner * m->shared_ffn);
    if (p->work.attention != TW_ATTENTION_FUSED && s->recompute != TW_RECOMPUTE_SELECTIVE)
        divided += a * (4 + masks) * m->heads * p->work.sequence;
    if (p->work.attention == TW_ATTENTION_FUSED)
        divided += a * 4 * m->heads; /* log-sum-exp of each row */
    return tokens * (whole / spread + divided / t);
}

/* Micro-batches whose activations the first stage holds, in whole models of its layers. */
double tw_held_micro_batches(const tw_planner *p, const tw_strategy *s)
{
    double m = tw_micro_batches(p, s), stages = s->pipeline, v = s->chunks;
    switch (s->schedule) {
    case TW_SCHEDULE_GPIPE:
        return m;
    default: /* zero bubble (ZB-H1) holds as many as 1F1B */
        return TW_MIN(m, stages) * (v > 1 ? 1 + (stages - 1) / (stages * v) : 1);
    }
}

double tw_micro_batches(const tw_planner *p, const tw_strategy *s)
{
    return TW_MAX(1.0, floor(p->work.batch / ((double)s->data * s->micro_batch)));
}

/* Layers of the stage that has most. */
double tw_stage_layers(const tw_model *m, const tw_strategy *s)
{
    return ceil(m->layers / ((double)s->pipeline * s->chunks)) * s->chunks;
}

/* Parameters of a stage's layers on one device: experts are spread over expert parallelism, the rest over tensor
 * parallelism. `replicas`: devices that hold the same expert. */
static double stage_parameters(const tw_planner *p, const tw_strategy *s, double *experts)
{
    const tw_model *m = p->work.model;
    tw_parts parts = tw_model_parts(m);
    double share = tw_stage_layers(m, s) / m->layers, expert_all = parts.expert_layers * m->experts * parts.expert;
    *experts = share * expert_all / TW_MAX(s->expert, s->tensor);
    return share * (p->layer_parameters - expert_all) / s->tensor;
}

double tw_device_parameters(const tw_planner *p, const tw_strategy *s, double *experts)
{
    double dense = stage_parameters(p, s, experts);
    double end =
        p->work.model->vocab * p->work.model->hidden / s->tensor; /* embedding on the first stage, head on the last */
    return dense + (s->pipeline == 1 && !p->work.model->tied ? 2 : 1) * end;
}

static double usable(double bytes)
{
    return isnan(bytes) ? INFINITY : bytes;
}

tw_memory_use tw_planner_memory(const tw_planner *p, const tw_strategy *s)
{
    const tw_software *w = p->work.software;
    const tw_model *m = p->work.model;
    tw_memory_use use = {.capacity = usable(p->device.chip->memory_bytes)};
    double experts, dense = tw_device_parameters(p, s, &experts), d = (double)s->data * s->context;
    double de = TW_MAX(1.0, d * s->tensor / s->expert); /* devices that share an expert's optimiser */
    double element =
        tw_peak_bytes(p->work.type) < 2 && p->work.phase != TW_PHASE_TRAIN ? tw_peak_bytes(p->work.type) : 2;
    if (p->work.phase != TW_PHASE_TRAIN) {
        use.weights = (dense + experts) * element;
        use.cache = s->micro_batch * (p->work.context + p->work.sequence) * tw_model_kv_bytes(m, p->work.kv_bytes) /
                    ((double)s->pipeline * TW_MIN((double)s->tensor, m->kv_rank > 0 ? 1 : m->kv_heads));
        use.activations = s->micro_batch * p->work.sequence * (4 * m->hidden + 2 * m->ffn / s->tensor) * 2;
        use.workspace = 1.5e9;
    } else {
        double tokens = s->micro_batch * p->work.sequence / s->context, stages = s->pipeline;
        double gradient = w->main_gradient_bytes;
        use.weights = 2 * (s->zero >= 3 ? dense / d + experts / de : dense + experts);
        use.gradients = gradient * (s->zero >= 2 ? dense / d + experts / de : dense + experts);
        use.optimiser = w->state_bytes * (s->zero >= 1 ? dense / d + experts / de : dense + experts);
        if (s->zero >= 3) /* two layers are gathered at a time */
            use.workspace += 2 * 2 * p->layer_parameters / m->layers / s->tensor;
        use.activations = tw_activation_bytes(p, s) * m->layers / stages * tw_held_micro_batches(p, s);
        if (s->recompute == TW_RECOMPUTE_FULL) { /* one layer stands whole while its backward runs */
            tw_strategy open = *s;
            open.recompute = TW_RECOMPUTE_NONE;
            use.activations += tw_activation_bytes(p, &open);
        }
        /* Logits in 16 bits and as 32-bit probabilities, where the head is; frameworks and NCCL keep about 2 GB. */
        use.workspace += (stages == 1 ? 6 : 2) * tokens * m->vocab / s->tensor + 2e9;
        if (s->offload == TW_OFFLOAD_OPTIMISER) {
            use.on_host = use.optimiser;
            use.optimiser = 0;
        }
    }
    use.total = use.weights + use.gradients + use.optimiser + use.activations + use.cache + use.workspace;
    return use;
}
