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
    double per_layer = TW_MAX(device, host);
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
    step->host = TW_MAX(0.0, host - device) * m->layers;
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
    step->time = per_layer * m->layers + head + step->pipeline;
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

/* With pipeline stages, a batch is cut into as many parts, which follow each other. */
static double piped(double whole, double part, double stages)
{
    return stages > 1 ? TW_MIN(whole, part * (2 * stages - 1) / stages) : whole;
}

static tw_status phase_time(tw_planner *p, const tw_strategy *s, double batch, double tokens, double context,
                            double *time)
{
    tw_step whole, part;
    TW_TRY(one_pass(p, s, batch, tokens, context, &whole));
    *time = whole.time;
    double stages = s->pipeline;
    if (stages > 1 && batch >= stages) {
        TW_TRY(one_pass(p, s, ceil(batch / stages), tokens, context, &part));
        *time = piped(whole.time, part.time, stages);
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

/* Little's law: each sequence needs one prompt pass and `output` decode steps; prompt passes take their time from
 * decoding. */
tw_status tw_planner_saturated(tw_planner *p, const tw_strategy *s, double input, double output, double most,
                               tw_serving *out)
{
    const tw_model *m = p->work.model;
    double t = TW_MIN((double)s->tensor, m->kv_rank > 0 ? 1 : m->kv_heads);
    double per_token = tw_model_kv_bytes(m, p->work.kv_bytes) / (t * s->pipeline);
    tw_planner q = *p;
    tw_strategy one = *s;
    tw_step step;
    q.work.phase = TW_PHASE_DECODE;
    q.work.sequence = 1;
    q.work.context = 0;
    one.micro_batch = 1;
    tw_memory_use empty = tw_planner_memory(&q, &one);
    double room = 0.9 * (empty.capacity - empty.weights - empty.workspace);
    double held = input + output / 2; /* on average over a sequence's life */
    *out = (tw_serving){.concurrency = TW_MIN(most, floor(room / (held * per_token)))};
    if (!(out->concurrency >= 1)) {
        out->concurrency = 0;
        return tw_error(
            TW_ERR_VALUE, "%s does not fit: weights %.1f GiB and a sequence of %g tokens %.1f GiB, %s holds %.1f GiB",
            m->item.name, empty.weights / 1073741824, input + output, (input + output) * per_token / 1073741824,
            p->machine->chip->item.name, empty.capacity / 1073741824);
    }
    TW_TRY(one_pass(p, s, out->concurrency, 1, held, &step));
    out->token = step.time;
    double prompts = TW_MAX(1.0, floor(8192 / input)); /* prompts of one pass: chunks of about 8192 tokens */
    TW_TRY(one_pass(p, s, prompts, input, 0, &step));
    out->prefill = step.time / prompts;
    double pace = out->token / out->concurrency + out->prefill / output; /* seconds of the instance for one token */
    out->tokens_per_second = 1 / pace;
    out->latency = out->concurrency * output * pace;
    out->memory = empty;
    out->memory.cache = out->concurrency * held * per_token;
    out->memory.total += out->memory.cache;
    return TW_OK;
}
