/* The kernels of one layer, forward and backward, as a framework or our scheduler would launch them: products, fused or
 * standard attention, and passes over memory for everything pointwise. Layers of one model may differ (experts in some,
 * attention in others): what is computed is their average, weighted by how many have each part. */
#include <math.h>

#include "machine/internal.h"

/* What gathers while a direction (forward or backward) of a layer is walked. `weight`: how many of such parts an
 * average layer has. */
typedef struct walk {
    const tw_planner *p;
    const tw_device *d;
    const tw_software *software;
    tw_peak type;
    double element; /* bytes of an activation */
    double tokens;  /* of the micro-batch on this device, before tensor parallelism */
    double spread;  /* devices over which pointwise work outside tensor-parallel regions is spread */
    double tensor, weight, traffic;
    double gemm, attention, pass, calls, flops, bytes;
} walk;

static void gemm(walk *w, double m, double n, double k, double batch)
{
    if (m <= 0 || n <= 0 || k <= 0 || batch <= 0)
        return;
    w->gemm += w->weight * tw_gemm_time(w->d, w->type, m, n, k, batch);
    w->calls += w->weight;
    w->flops += w->weight * 2 * m * n * k * batch;
    w->bytes += w->weight * batch * (m * k + k * n + m * n) * tw_peak_bytes(w->type);
}

static void pass(walk *w, tw_pass_class class, double bytes)
{
    if (bytes <= 0)
        return;
    bytes *= w->traffic;
    w->pass += w->weight * tw_pass_time(w->d, class, bytes);
    w->calls += w->weight;
    w->bytes += w->weight * bytes;
}

/* Training makes narrow types from wide ones before a product and, for the gradient, once more transposed; engines
 * leave it to the kernel that wrote the operand. */
static void cast(walk *w, double elements, bool backward)
{
    if (tw_peak_bytes(w->type) < 2 && w->p->work.phase == TW_PHASE_TRAIN)
        pass(w, TW_PASS_STREAM, elements * (w->element + (backward ? 2 : 1) * tw_peak_bytes(w->type)));
}

/* Products of a gradient read their operands the other way round and add to what is there. */
static void slow_down(walk *w, double before)
{
    w->gemm = before + (w->gemm - before) / w->d->fit->backward;
}

/* A linear layer on `rows` tokens. Backward: one product for the input's gradient, one for the weight's, which is then
 * added to what other micro-batches left. */
static void linear(walk *w, bool backward, double rows, double in, double out)
{
    if (!backward) {
        cast(w, rows * in, false);
        gemm(w, rows, out, in, 1);
        return;
    }
    cast(w, rows * out, true);
    double before = w->gemm;
    gemm(w, rows, in, out, 1);
    gemm(w, out, in, rows, 1);
    slow_down(w, before);
    pass(w, TW_PASS_STREAM, in * out * w->software->accumulate_bytes);
    if (w->p->work.model->bias == 1) /* its gradient is a sum of its own; the bytes are few */
        w->calls += w->weight;
}

static bool training(const walk *w)
{
    return w->p->work.phase == TW_PHASE_TRAIN;
}

/* Normalisation before a part and the residual sum behind it. */
static void around(walk *w, bool backward)
{
    double rows = w->tokens / w->spread, h = w->p->work.model->hidden, bytes = rows * h * w->element;
    bool dropout = w->software->dropout == 1 && training(w);
    pass(w, TW_PASS_NORM, (backward ? 4 : 2) * bytes);
    pass(w, TW_PASS_STREAM, (backward ? 2 : 3) * bytes + (dropout ? rows * h : 0));
}

static double attended(const walk *w, bool windowed)
{
    return tw_model_attended(w->p->work.model, w->p->work.sequence, true, windowed);
}

/* Inference: new tokens see the cache and each other; the cache is read once. */
static void cached_attention(walk *w)
{
    const tw_model *m = w->p->work.model;
    tw_parts parts = tw_model_parts(m);
    double fresh = w->p->work.sequence, context = w->p->work.context, sequences = w->tokens / fresh;
    double element = w->p->work.kv_bytes, t = TW_MIN(w->tensor, m->kv_rank > 0 ? 1 : m->kv_heads);
    double seen = context + (m->causal ? fresh / 2 : fresh), held = context + fresh;
    double full = parts.attention_layers > 0 ? 1 - m->window_layers / parts.attention_layers : 1;
    if (m->window > 0) {
        seen = full * seen + (1 - full) * TW_MIN(seen, m->window);
        held = full * held + (1 - full) * TW_MIN(held, m->window);
    }
    double width = (2 * parts.query_width + 2 * m->heads * m->value_dim) / w->tensor;
    double per_token = tw_model_kv_bytes(m, element) / TW_MAX(parts.attention_layers, 1.0) / t;
    double bytes = sequences * held * per_token, flops = width * w->tokens * seen;
    tw_peak narrow = element < 2 ? w->type : TW_PEAK_BF16; /* a narrow cache is multiplied as it is */
    double arithmetic =
        tw_attention_time(w->d, narrow, flops, parts.query_width / m->heads, false) / w->software->attention;
    /* Without fusion the prompt's scores go through memory, as in training. */
    if (fresh > 1 && w->software->unfused_prompt == 1) {
        double scores = sequences * m->heads / w->tensor * fresh * held * w->element;
        arithmetic += tw_pass_time(w->d, TW_PASS_NORM, 2 * scores) + tw_pass_time(w->d, TW_PASS_STREAM, 2 * scores);
    }
    double reading =
        w->d->fit->gap + w->d->fit->ramp + bytes / (w->d->bandwidth * w->software->cache_read * w->d->fit->cache_read);
    w->attention += w->weight * TW_MAX(arithmetic, reading);
    w->calls +=
        w->weight * (2 + (fresh > 1 ? w->software->prompt_calls : 0)); /* the cache is written by a kernel of its own */
    w->flops += w->weight * flops;
    w->bytes += w->weight * bytes;
}

/* The core: scores, softmax, values. `again`: the forward part repeated in backward. */
static void attention_core(walk *w, bool backward)
{
    const tw_model *m = w->p->work.model;
    tw_parts parts = tw_model_parts(m);
    double s = w->p->work.sequence, heads = m->heads / w->tensor, batch = w->tokens / s * heads;
    double width = (2 * parts.query_width + 2 * m->heads * m->value_dim) / w->tensor;
    if (!training(w)) {
        cached_attention(w);
        return;
    }
    if (w->p->work.attention == TW_ATTENTION_FUSED) {
        double full = parts.attention_layers > 0 ? 1 - m->window_layers / parts.attention_layers : 1;
        double pairs = w->tokens * (full * attended(w, false) + (1 - full) * attended(w, true));
        double flops = width * pairs * (backward ? 2.5 : 1);
        w->attention += w->weight / w->software->attention *
                        tw_attention_time(w->d, TW_PEAK_BF16, flops, parts.query_width / m->heads, backward);
        w->calls += w->weight * (backward ? 3 : 1);
        w->flops += w->weight * flops;
        return;
    }
    tw_peak type = w->type;
    double scores = batch * s * s * w->element, mask = w->software->dropout == 1 && training(w) ? batch * s * s : 0;
    w->type = tw_peak_bytes(type) < 2 ? TW_PEAK_BF16 : type; /* scores stay wide */
    for (int product = 0; product < (backward ? 2 : 1); product++) {
        gemm(w, s, s, parts.query_width / m->heads, batch);
        gemm(w, s, m->value_dim, s, batch);
    }
    w->type = type;
    if (w->p->work.attention == TW_ATTENTION_EAGER) { /* scaled, masked, then the framework's softmax */
        pass(w, TW_PASS_STREAM, 2 * scores);
        pass(w, TW_PASS_STREAM, 2 * scores);
        pass(w, TW_PASS_SOFTMAX, (backward || s > 1024 ? 3 : 2) * scores); /* as tw_softmax_time */
    } else {
        pass(w, TW_PASS_NORM, (backward ? 3 : 2) * scores);
    }
    if (mask > 0)
        pass(w, TW_PASS_STREAM, 2 * scores + mask);
}

static void attention_part(walk *w, bool backward)
{
    const tw_model *m = w->p->work.model;
    tw_parts parts = tw_model_parts(m);
    double t = w->tensor, rows = w->tokens, q = parts.query_width / t,
           kv = m->kv_heads * (m->head_dim + m->value_dim) / t;
    around(w, backward);
    if (m->kv_rank > 0) {
        if (m->q_rank > 0) {
            linear(w, backward, rows, m->hidden, m->q_rank + m->kv_rank + m->rope_dim);
            linear(w, backward, rows, m->q_rank, q);
        } else {
            linear(w, backward, rows, m->hidden, q + m->kv_rank + m->rope_dim);
        }
        linear(w, backward, rows, m->kv_rank, m->heads * (m->head_dim + m->value_dim) / t);
        kv = m->heads * (m->head_dim + m->rope_dim + m->value_dim) / t;
        pass(w, TW_PASS_NORM, 2 * rows * (m->q_rank + m->kv_rank) * w->element);
    } else {
        linear(w, backward, rows, m->hidden, q + kv);
    }
    /* Heads are split off and turned: rotary positions, or the transposes of older software. */
    if (!m->positions || (w->p->work.attention != TW_ATTENTION_FUSED && training(w)))
        pass(w, TW_PASS_STREAM, 2 * rows * (q + kv) * w->element);
    attention_core(w, backward);
    if (w->p->work.attention != TW_ATTENTION_FUSED && training(w))
        pass(w, TW_PASS_STREAM, 2 * rows * q * w->element);
    linear(w, backward, rows, m->heads * m->value_dim / t, m->hidden);
}

static void activation(walk *w, bool backward, double elements)
{
    const tw_model *m = w->p->work.model;
    double reads = m->gated ? 2 : 1;
    pass(w, TW_PASS_STREAM, elements * w->element * (backward ? 1 + 2 * reads : 1 + reads));
}

static void dense_part(walk *w, bool backward, double ffn)
{
    const tw_model *m = w->p->work.model;
    double f = ffn / w->tensor;
    linear(w, backward, w->tokens, m->hidden, f * (m->gated ? 2 : 1));
    activation(w, backward, w->tokens * f);
    linear(w, backward, w->tokens, f, m->hidden);
}

/* Products of many experts at once: each sees its share of the tokens. */
static void expert_linear(walk *w, bool backward, double rows, double in, double out, double experts)
{
    double before = w->gemm, training_rate = training(w) ? w->software->expert_rate : 1;
    cast(w, rows * (backward ? out : in), backward);
    gemm(w, rows / experts, backward ? in : out, backward ? out : in, experts);
    if (backward) {
        gemm(w, out, in, rows / experts, experts);
        slow_down(w, before);
    }
    w->gemm = before + (w->gemm - before) / training_rate;
    if (backward) {
        pass(w, TW_PASS_STREAM, in * out * experts * w->software->accumulate_bytes);
    }
}

static void expert_part(walk *w, bool backward, double expert_parallel)
{
    const tw_model *m = w->p->work.model;
    double tokens = w->tokens / w->tensor,
           rows = tokens * m->experts_active; /* routed by this device; it receives as many */
    double local = TW_MAX(1.0, m->experts / TW_MAX(expert_parallel, w->tensor)), passes = w->software->expert_passes;
    if (w->p->work.phase != TW_PHASE_TRAIN)
        local = TW_MIN(local, rows); /* a few tokens wake a few experts */
    gemm(w, tokens, m->experts, m->hidden, 1);
    pass(w, TW_PASS_STREAM, 4 * tokens * m->experts * 4); /* softmax, choice, bookkeeping */
    if (training(w))
        w->calls += w->weight * w->software->expert_calls;
    if (m->latent != m->hidden)
        linear(w, backward, tokens, m->hidden, m->latent);
    pass(w, TW_PASS_STREAM, passes * rows * m->latent * w->element); /* sorted by expert */
    expert_linear(w, backward, rows, m->latent, m->expert_ffn * (m->gated ? 2 : 1), local);
    activation(w, backward, rows * m->expert_ffn);
    expert_linear(w, backward, rows, m->expert_ffn, m->latent, local);
    pass(w, TW_PASS_STREAM, passes * rows * m->latent * w->element); /* and back, weighted */
    if (m->latent != m->hidden)
        linear(w, backward, tokens, m->latent, m->hidden);
    if (m->shared_ffn > 0)
        dense_part(w, backward, m->shared_ffn);
}

/* A state-space mixer in chunks: convolution, scan within chunks as products, states passed on. */
static void mixer_part(walk *w, bool backward)
{
    const tw_model *m = w->p->work.model;
    double t = w->tensor, inner = m->mixer_inner / t,
           rest = (2 * m->mixer_groups * m->mixer_state + m->mixer_heads) / t;
    double flops = 6 * w->tokens * inner * m->mixer_state * (backward ? 2.5 : 1);
    around(w, backward);
    linear(w, backward, w->tokens, m->hidden, 2 * inner + rest);
    pass(w, TW_PASS_STREAM, (backward ? 5 : 2) * w->tokens * (inner + rest) * w->element); /* convolution */
    pass(w, TW_PASS_STREAM, (backward ? 8 : 4) * w->tokens * inner * w->element); /* scan: x, z, B, C, states */
    w->attention += w->weight / w->software->mixer_rate *
                    tw_attention_time(w->d, TW_PEAK_BF16, flops, m->mixer_inner / m->mixer_heads, backward);
    w->flops += w->weight * flops;
    pass(w, TW_PASS_NORM, (backward ? 5 : 3) * w->tokens * inner * w->element); /* gated normalisation */
    linear(w, backward, w->tokens, inner, m->hidden);
}

static void whole_layer(walk *w, bool backward, const tw_strategy *s)
{
    const tw_model *m = w->p->work.model;
    tw_parts parts = tw_model_parts(m);
    w->weight = parts.attention_layers / m->layers;
    if (w->weight > 0)
        attention_part(w, backward);
    w->weight = parts.mixer_layers / m->layers;
    if (w->weight > 0)
        mixer_part(w, backward);
    w->weight = parts.dense_layers / m->layers;
    if (w->weight > 0) {
        around(w, backward);
        dense_part(w, backward, m->ffn);
    }
    w->weight = parts.expert_layers / m->layers;
    if (w->weight > 0) {
        around(w, backward);
        expert_part(w, backward, s->expert);
    }
}

/* What selective recomputation repeats: the attention core where its scores would have to be kept, else what is cheap
 * to make again from what is kept anyway: normalisations and activations. */
static void selected_again(walk *w)
{
    const tw_model *m = w->p->work.model;
    tw_parts parts = tw_model_parts(m);
    double rows = w->tokens, h = m->hidden;
    if (w->p->work.attention != TW_ATTENTION_FUSED) {
        w->weight = parts.attention_layers / m->layers;
        attention_core(w, false);
        return;
    }
    w->weight = (parts.attention_layers + parts.mixer_layers + parts.dense_layers + parts.expert_layers) / m->layers;
    pass(w, TW_PASS_NORM, 2 * rows / w->spread * h * w->element);
    w->weight = parts.dense_layers / m->layers;
    activation(w, false, rows * m->ffn / w->tensor);
    w->weight = parts.expert_layers / m->layers;
    activation(w, false, rows / w->tensor * m->experts_active * m->expert_ffn);
    activation(w, false, rows * m->shared_ffn / w->tensor);
}

static walk start(const tw_planner *p, const tw_strategy *s)
{
    double tokens = s->micro_batch * p->work.sequence / s->context;
    return (walk){.p = p,
                  .d = &p->device,
                  .software = p->work.software,
                  .type = p->work.type,
                  .element = 2,
                  .tokens = tokens,
                  .spread = s->sequence_parallel ? s->tensor : 1,
                  .tensor = s->tensor,
                  .traffic = p->work.software->traffic};
}

static double device_time(const walk *w)
{
    return w->gemm + w->attention + w->pass;
}

/* The host runs ahead while long kernels run and falls behind among short ones, so neither of the two times hides
 * wholly behind the other: a norm of both, whose power is the software's (large: the larger time alone). */
double tw_host_wait(const tw_software *software, double device, double host)
{
    double high = TW_MAX(device, host), low = TW_MIN(device, host), n = software->host_norm;
    return high > 0 ? high * pow(1 + pow(low / high, n), 1 / n) - device : 0;
}

/* Bytes of a tensor-parallel collective, and how many of them an average layer makes in one direction. */
static double tensor_collectives(const tw_model *m)
{
    tw_parts parts = tw_model_parts(m);
    double shared = m->shared_ffn > 0 ? parts.expert_layers : 0;
    return (parts.attention_layers + parts.mixer_layers + parts.dense_layers + shared) / m->layers;
}

static void communicate(tw_layer_cost *c, const tw_planner *p, const tw_strategy *s, double tokens)
{
    const tw_machine *machine = p->machine;
    const tw_model *m = p->work.model;
    tw_parts parts = tw_model_parts(m);
    double bytes = tokens * m->hidden * 2, count = tensor_collectives(m);
    if (s->tensor > 1) {
        tw_group g = tw_group_of(machine, s->tensor, 1);
        double once = s->sequence_parallel
                          ? tw_collective_time(machine, &g, TW_ALL_GATHER, bytes, TW_ALGORITHM_AUTO) +
                                tw_collective_time(machine, &g, TW_REDUCE_SCATTER, bytes, TW_ALGORITHM_AUTO)
                          : tw_collective_time(machine, &g, TW_ALL_REDUCE, bytes,
                                               p->work.software->rings == 1 ? TW_ALGORITHM_RING : TW_ALGORITHM_AUTO);
        c->tensor_forward = count * once;
        c->tensor_backward = count * once;
    }
    if (s->expert > 1 && parts.expert_layers > 0) {
        bool folded = s->expert > s->data * s->context;
        tw_group g = tw_group_of(machine, s->expert, folded ? 1 : s->tensor);
        double routed = tokens / s->tensor * m->experts_active * m->latent * 2;
        double once = tw_collective_time(machine, &g, TW_ALL_TO_ALL, routed, TW_ALGORITHM_AUTO);
        c->expert_forward = 2 * once * parts.expert_layers / m->layers;
        c->expert_backward = c->expert_forward;
    }
    if (s->context > 1) {
        tw_group g = tw_group_of(machine, s->context, s->tensor);
        double kv = tokens * m->kv_heads * (m->head_dim + m->value_dim) / s->tensor * 2 * s->context;
        double once = tw_collective_time(machine, &g, TW_ALL_GATHER, kv, TW_ALGORITHM_AUTO);
        c->context_forward = once * parts.attention_layers / m->layers;
        c->context_backward = 2 * c->context_forward;
    }
}

tw_layer_cost tw_layer_compute(const tw_planner *p, const tw_strategy *s)
{
    tw_layer_cost c = {0};
    walk forward = start(p, s), backward = start(p, s), again = start(p, s);
    double host = p->work.software->call / p->device.host_speed;
    whole_layer(&forward, false, s);
    c.forward = device_time(&forward);
    c.host_forward = forward.calls * host;
    communicate(&c, p, s, forward.tokens);
    c.flops = forward.flops;
    c.bytes = forward.bytes;
    if (p->work.phase != TW_PHASE_TRAIN) {
        c.gemm = forward.gemm;
        c.attention = forward.attention;
        c.pass = forward.pass;
        return c;
    }
    whole_layer(&backward, true, s);
    c.backward = device_time(&backward);
    c.host_backward = backward.calls * host;
    if (s->recompute == TW_RECOMPUTE_FULL) {
        again = forward;
        again.calls += p->work.software->checkpoint_calls;
        c.tensor_again = c.tensor_forward;
    } else if (s->recompute == TW_RECOMPUTE_SELECTIVE) {
        selected_again(&again);
    }
    c.again = device_time(&again);
    c.host_again = again.calls * host;
    c.gemm = forward.gemm + backward.gemm + again.gemm;
    c.attention = forward.attention + backward.attention + again.attention;
    c.pass = forward.pass + backward.pass + again.pass;
    c.flops += backward.flops + again.flops;
    c.bytes += backward.bytes + again.bytes;
    return c;
}
