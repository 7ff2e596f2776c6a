/* Inference: one pass over new tokens, a whole request, and a server that is never idle. */
#include <math.h>

#include "machine/internal.h"

/* The pass as a workload of its own: the memory of layers is forgotten, since it knows nothing of context. */
static tw_status one_pass(tw_planner *p, const tw_strategy *s, double batch, double tokens, double context,
                          tw_step *step)
{
    const tw_model *m = p->work.model;
    const tw_device *d = &p->device;
    tw_planner q = *p;
    tw_strategy one = *s;
    *step = (tw_step){.micro_batches = 1};
    q.work.phase = tokens > 1 ? TW_PHASE_PREFILL : TW_PHASE_DECODE;
    q.work.sequence = tokens;
    q.work.context = context;
    one.micro_batch = (int)TW_MIN(batch, 1e9);
    one.context = 1;
    one.recompute = TW_RECOMPUTE_NONE;
    one.sequence_parallel = false;
    one.data = TW_MAX(one.data, 1);
    tw_layer_cost layer = tw_layer_compute(&q, &one);
    double host = layer.host_forward; /* engines have none: their launches are captured */
    double device = layer.forward + layer.tensor_forward + layer.expert_forward;
    double per_layer = device + tw_host_wait(p->work.software, device, host);
    tw_peak wide = tw_peak_bytes(p->work.type) < 2 ? TW_PEAK_BF16 : p->work.type;
    double head = tw_gemm_time(d, wide, batch, m->vocab / s->tensor, m->hidden, 1) +
                  4 * tw_pass_time(d, TW_PASS_STREAM, 4 * batch * m->vocab / s->tensor);
    if (s->tensor > 1) {
        tw_group g = tw_group_of(p->machine, s->tensor, 1);
        head += tw_collective_time(p->machine, &g, TW_ALL_GATHER, batch * m->vocab * 2, TW_ALGORITHM_AUTO);
    }
    step->tensor = layer.tensor_forward * m->layers;
    step->expert = layer.expert_forward * m->layers;
    step->compute = layer.forward * m->layers;
    step->host = tw_host_wait(p->work.software, device, host) * m->layers;
    step->gemm = layer.gemm * m->layers;
    step->attention = layer.attention * m->layers;
    step->pass = layer.pass * m->layers;
    step->embedding = head;
    step->memory_bytes = layer.bytes * m->layers / s->pipeline;
    if (s->pipeline > 1) {
        tw_group g = tw_group_of(p->machine, 2, (double)s->tensor * s->data);
        step->pipeline =
            (s->pipeline - 1) *
            tw_collective_time(p->machine, &g, TW_SEND, batch * tokens * m->hidden * 2 / s->tensor, TW_ALGORITHM_AUTO);
    }
    if (s->tensor > 1) {
        tw_group g = tw_group_of(p->machine, s->tensor, 1);
        tw_collective_bytes(&g, TW_ALL_REDUCE, 2 * batch * tokens * m->hidden * 2 * m->layers / s->pipeline,
                            step->link_bytes);
    }
    step->other = p->work.software->pass_overhead;
    step->time = per_layer * m->layers + head + step->pipeline + step->other;
    step->model_flops = batch * tokens * tw_model_forward_flops(m, context + tokens, true);
    q.work.sequence = tokens;
    one.micro_batch = (int)TW_MIN(batch, 1e9);
    step->memory = tw_planner_memory(&q, &one);
    return TW_OK;
}

tw_status tw_planner_pass(tw_planner *p, const tw_strategy *s, double batch, double tokens, double context,
                          tw_step *step)
{
    return one_pass(p, s, batch, tokens, context, step);
}

/* With pipeline stages, a batch is cut into as many parts, which follow each other; parts of prompts are halved until
 * they have at most 4096 tokens, as engines do. */
static double parts_of(double batch, double tokens, double stages)
{
    double parts = stages;
    while (batch / parts * tokens > 4096 && batch / parts >= 2)
        parts *= 2;
    return parts;
}

static tw_status phase_time(tw_planner *p, const tw_strategy *s, double batch, double tokens, double context,
                            double *time)
{
    tw_step whole, part;
    TW_TRY(one_pass(p, s, batch, tokens, context, &whole));
    *time = whole.time;
    double stages = s->pipeline;
    if (stages > 1 && batch >= stages) {
        double parts = parts_of(batch, tokens, stages);
        TW_TRY(one_pass(p, s, ceil(batch / parts), tokens, context, &part));
        *time = TW_MIN(whole.time, part.time * (parts + stages - 1) / stages);
    }
    return TW_OK;
}

tw_status tw_planner_request(tw_planner *p, const tw_strategy *s, double batch, double input, double output,
                             tw_serving *out)
{
    tw_step last;
    *out = (tw_serving){.concurrency = batch};
    TW_TRY(phase_time(p, s, batch, input, 0, &out->prefill));
    TW_TRY(phase_time(p, s, batch, 1, input + output / 2, &out->token));
    out->latency = out->prefill + TW_MAX(0.0, output - 1) * out->token;
    out->tokens_per_second = batch * output / out->latency;
    TW_TRY(one_pass(p, s, batch, 1, input + output, &last));
    out->memory = last.memory;
    return TW_OK;
}

/* Tokens that one decode step yields and the seconds it takes, for `sequences` that hold `context` tokens each. With
 * speculation a small model proposes draft - 1 tokens one after the other, the large one checks them all in one pass;
 * of a chain of proposals each is taken with probability `accept` while those before it were (Leviathan et al. 2023).
 */
static tw_status decode_step(tw_planner *p, const tw_strategy *s, double sequences, double context, double *time,
                             double *tokens, tw_step *pass)
{
    double proposed = TW_MAX(1.0, p->work.draft), a = p->work.accept;
    *tokens = proposed <= 1 ? 1 : a < 1 ? (1 - pow(a, proposed)) / (1 - a) : proposed;
    TW_TRY(one_pass(p, s, sequences, proposed, context, pass));
    *time = pass->time;
    if (proposed > 1 && p->work.draft_model) {
        tw_planner small = *p;
        tw_step guess;
        tw_strategy one = *s;
        small.work.model = p->work.draft_model;
        small.parameters = tw_model_parameters(small.work.model);
        small.layer_parameters = tw_model_layer_parameters(small.work.model);
        one.tensor = (int)TW_MIN((double)one.tensor, small.work.model->heads);
        one.pipeline = one.expert = 1;
        TW_TRY(one_pass(&small, &one, sequences, 1, context, &guess));
        *time += (proposed - 1) * guess.time;
    }
    return TW_OK;
}

/* Bytes that one token of one sequence holds on each device. */
static double held_bytes(const tw_planner *p, const tw_strategy *s)
{
    const tw_model *m = p->work.model;
    double t = TW_MIN((double)s->tensor, m->kv_rank > 0 ? 1 : m->kv_heads);
    return tw_model_kv_bytes(m, p->work.kv_bytes) / (t * s->pipeline);
}

static tw_memory_use without_sequences(const tw_planner *p, const tw_strategy *s)
{
    tw_planner q = *p;
    tw_strategy one = *s;
    q.work.phase = TW_PHASE_DECODE;
    q.work.sequence = 1;
    q.work.context = 0;
    one.micro_batch = 1;
    return tw_planner_memory(&q, &one);
}

double tw_planner_most_sequences(const tw_planner *p, const tw_strategy *s, double input, double output)
{
    tw_memory_use empty = without_sequences(p, s);
    double room = 0.9 * (empty.capacity - empty.weights - empty.workspace);
    double held = input + output; /* engines keep room for all of a request, so that none has to be put off */
    return TW_MAX(0.0, floor(room / (held * held_bytes(p, s))));
}

/* Little's law: each sequence needs one prompt pass and `output` decoded tokens; prompt passes take their time from
 * decoding. */
tw_status tw_planner_serve(tw_planner *p, const tw_strategy *s, double input, double output, double sequences,
                           tw_serving *out)
{
    tw_step step;
    double held = input + output / 2, tokens;
    *out = (tw_serving){.concurrency = sequences};
    TW_TRY(decode_step(p, s, sequences, held, &out->token, &tokens, &out->pass));
    out->token /= tokens;
    double prompts = TW_MAX(1.0, floor(8192 / input)); /* prompts of one pass: chunks of about 8192 tokens */
    TW_TRY(one_pass(p, s, prompts, input, 0, &step));
    out->prefill = step.time / prompts;
    double pace = out->token / sequences + out->prefill / output; /* seconds of the instance for one token */
    out->tokens_per_second = 1 / pace;
    out->latency = sequences * output * pace;
    out->memory = without_sequences(p, s);
    out->memory.cache = sequences * held * held_bytes(p, s);
    out->memory.total += out->memory.cache;
    return TW_OK;
}

tw_status tw_planner_saturated(tw_planner *p, const tw_strategy *s, double input, double output, double most,
                               tw_serving *out)
{
    double sequences = TW_MIN(most, tw_planner_most_sequences(p, s, input, output));
    if (sequences >= 1)
        return tw_planner_serve(p, s, input, output, sequences, out);
    tw_memory_use empty = without_sequences(p, s);
    double gib = 1073741824;
    return tw_error(TW_ERR_VALUE,
                    "%s does not fit: weights %.1f GiB and a sequence of %g tokens %.1f GiB, %s holds %.1f GiB",
                    p->work.model->item.name, empty.weights / gib, input + output,
                    (input + output) * held_bytes(p, s) / gib, p->machine->chip->item.name, empty.capacity / gib);
}
