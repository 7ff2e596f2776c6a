/* A training step by closed forms: layers to micro-batches to stages to a pipeline, then gradients and the update.
 *
 * With p stages, m micro-batches, v chunks a device, F and B a stage's forward and backward of one micro-batch:
 *     GPipe, 1F1B    (m + p - 1) (F + B)
 *     interleaved    m (F + B) + (p - 1) (F + B) / v
 *     zero bubble    m (F + B) + (p - 1 + max(0, p - m)) (F + B) / 3
 * Zero bubble fills with gradients of weights, of which few micro-batches leave few. Stages differ at the ends
 * (embedding, head): the slowest sets the pace, all of them the fill. */
#include <math.h>

#include "machine/internal.h"

/* ---- layers that were computed already ---- */

enum { MEMO_ROOM = 1024 };

typedef struct memo_entry {
    uint64_t key; /* 0: free */
    tw_layer_cost cost;
} memo_entry;

struct tw_layer_memo {
    memo_entry entry[MEMO_ROOM];
    int count;
};

tw_status tw_planner_create(tw_planner *p, const tw_machine *machine, const tw_workload *work, const tw_fit *fit)
{
    *p = (tw_planner){.machine = machine, .work = *work};
    double cap = !isnan(machine->power_cap) ? TW_MIN(work->power_cap, machine->power_cap) : work->power_cap;
    p->device = tw_device_of(machine->chip, fit, cap);
    p->parameters = tw_model_parameters(work->model);
    p->layer_parameters = tw_model_layer_parameters(work->model);
    if (p->work.kv_bytes <= 0)
        p->work.kv_bytes = TW_MAX(1.0, tw_peak_bytes(work->type));
    p->memo = tw_alloc_zero(1, sizeof *p->memo);
    return p->memo ? TW_OK : TW_ERR_MEMORY;
}

void tw_planner_destroy(tw_planner *p)
{
    tw_free(p->memo);
    p->memo = NULL;
}

void tw_planner_forget(tw_planner *p)
{
    memset(p->memo, 0, sizeof *p->memo);
}

const tw_layer_cost *tw_planner_layer(tw_planner *p, const tw_strategy *s)
{
    bool folded = s->expert > s->data * s->context;
    uint64_t key = 1;
    const int part[] = {s->tensor, s->context, s->expert, s->micro_batch,
                        s->recompute * 4 + s->sequence_parallel * 2 + folded};
    for (size_t i = 0; i < TW_COUNT(part); i++)
        key = (key ^ (uint64_t)(unsigned)part[i]) * 0x9e3779b97f4a7c15u + (uint64_t)(unsigned)part[i];
    key |= 1;
    if (p->memo->count > MEMO_ROOM / 2)
        tw_planner_forget(p);
    size_t at = (size_t)(key >> 40) % MEMO_ROOM;
    while (p->memo->entry[at].key && p->memo->entry[at].key != key)
        at = (at + 1) % MEMO_ROOM;
    if (!p->memo->entry[at].key) {
        p->memo->entry[at].key = key;
        p->memo->entry[at].cost = tw_layer_compute(p, s);
        p->memo->count++;
    }
    return &p->memo->entry[at].cost;
}

/* ---- names ---- */

const char *tw_recompute_name(int recompute)
{
    static const char *const names[TW_RECOMPUTES] = {"none", "selective", "full"};
    return recompute >= 0 && recompute < TW_RECOMPUTES ? names[recompute] : "unknown";
}

const char *tw_pipeline_schedule_name(int schedule)
{
    static const char *const names[TW_SCHEDULES] = {"gpipe", "1f1b", "interleaved", "zero-bubble"};
    return schedule >= 0 && schedule < TW_SCHEDULES ? names[schedule] : "unknown";
}

int tw_strategy_text(const tw_strategy *s, char *out, size_t room)
{
    int n = snprintf(out, room, "TP %d%s x PP %d", s->tensor, s->sequence_parallel && s->tensor > 1 ? "+SP" : "",
                     s->pipeline);
    if (s->chunks > 1)
        n += snprintf(out + n, room > (size_t)n ? room - (size_t)n : 0, " (%d chunks)", s->chunks);
    if (s->context > 1)
        n += snprintf(out + n, room > (size_t)n ? room - (size_t)n : 0, " x CP %d", s->context);
    n += snprintf(out + n, room > (size_t)n ? room - (size_t)n : 0, " x DP %d", s->data);
    if (s->zero)
        n += snprintf(out + n, room > (size_t)n ? room - (size_t)n : 0, " ZeRO-%d", s->zero);
    if (s->expert > 1)
        n += snprintf(out + n, room > (size_t)n ? room - (size_t)n : 0, ", EP %d", s->expert);
    n += snprintf(out + n, room > (size_t)n ? room - (size_t)n : 0, ", micro-batch %d", s->micro_batch);
    if (s->recompute)
        n += snprintf(out + n, room > (size_t)n ? room - (size_t)n : 0, ", %s recomputation",
                      tw_recompute_name(s->recompute));
    if (s->schedule == TW_SCHEDULE_GPIPE || s->schedule == TW_SCHEDULE_ZERO_BUBBLE)
        n += snprintf(out + n, room > (size_t)n ? room - (size_t)n : 0, ", %s", tw_pipeline_schedule_name(s->schedule));
    if (s->offload)
        n += snprintf(out + n, room > (size_t)n ? room - (size_t)n : 0, ", optimiser on the host");
    return n;
}

/* ---- whether it fits ---- */

tw_status tw_strategy_check(const tw_planner *p, const tw_strategy *s)
{
    const tw_model *m = p->work.model;
    const int parts[] = {s->tensor, s->pipeline, s->chunks, s->data, s->context, s->expert, s->micro_batch};
    for (size_t i = 0; i < TW_COUNT(parts); i++)
        if (parts[i] < 1)
            return tw_error(TW_ERR_VALUE, "plan: a degree of %d; expected 1 or more", parts[i]);
    double devices = (double)s->tensor * s->pipeline * s->data * s->context;
    if (devices > p->machine->devices)
        return tw_error(TW_ERR_VALUE, "plan: %d x %d x %d x %d = %g devices, the machine has %g", s->tensor,
                        s->pipeline, s->context, s->data, devices, p->machine->devices);
    if (fmod(m->heads, s->tensor) != 0)
        return tw_error(TW_ERR_VALUE, "plan: %g heads don't divide by tensor parallelism %d", m->heads, s->tensor);
    if ((double)s->pipeline * s->chunks > m->layers + 2) /* embedding and head may stand for a layer each */
        return tw_error(TW_ERR_VALUE, "plan: %d stages of %d chunks for %g layers", s->pipeline, s->chunks, m->layers);
    if (s->chunks > 1 && s->pipeline < 2)
        return tw_error(TW_ERR_VALUE, "plan: chunks without a pipeline");
    if (s->expert > 1 && (m->experts <= 0 || fmod(m->experts, s->expert) != 0))
        return tw_error(TW_ERR_VALUE, "plan: %g experts don't divide by expert parallelism %d", m->experts, s->expert);
    if ((double)s->expert > (double)s->data * s->context * s->tensor)
        return tw_error(TW_ERR_VALUE, "plan: expert parallelism %d over %g devices of a stage", s->expert,
                        (double)s->data * s->context * s->tensor);
    if (s->zero >= 2 && s->pipeline > 1 && s->zero == 3)
        return tw_error(TW_ERR_VALUE,
                        "plan: ZeRO-3 gathers every layer for each micro-batch; with a pipeline use ZeRO-1");
    if (p->work.phase == TW_PHASE_TRAIN && p->work.batch < (double)s->data * s->micro_batch)
        return tw_error(TW_ERR_VALUE, "plan: %d replicas of micro-batch %d for a batch of %g sequences", s->data,
                        s->micro_batch, p->work.batch);
    return TW_OK;
}

/* ---- the step ---- */

/* What cannot hide is seen, and what hides slows compute a little. */
static tw_beside overlap(double communication, double compute, double share)
{
    double hidden = TW_MIN(communication * share, compute);
    return (tw_beside){communication - hidden, hidden};
}

/* One direction of one layer. `inside`: tensor parallelism stays in the innermost tier, where chunks of a product can
 * be sent while the next ones are computed. */
static void add_direction(tw_stage_time *t, const tw_software *w, bool inside, double device, double host,
                          double tensor, double expert, double context)
{
    tw_beside x = overlap(tensor, device, inside ? w->tensor_hidden : 0),
              e = overlap(expert, device - x.hidden, w->expert_hidden),
              c = overlap(context, device - x.hidden - e.hidden, w->context_hidden);
    double hidden = x.hidden + e.hidden + c.hidden, compute = device + w->interference * hidden;
    double seen = x.seen + e.seen + c.seen;
    t->compute += compute;
    t->host += tw_host_wait(w, compute + seen, host);
    t->tensor += x.seen;
    t->expert += e.seen;
    t->context += c.seen;
    t->hidden += hidden;
}

static double stage_sum(const tw_stage_time *t)
{
    return t->compute + t->host + t->tensor + t->expert + t->context;
}

/* Work at the pipeline's ends, of one micro-batch: embedding on the first stage; head and loss on the last. Returns
 * FLOPs. */
static double ends(const tw_planner *p, const tw_strategy *s, double *first, double *last)
{
    const tw_model *m = p->work.model;
    const tw_device *d = &p->device;
    double tokens = s->micro_batch * p->work.sequence / s->context, vocab = m->vocab / s->tensor;
    double spread = s->sequence_parallel ? s->tensor : 1, logits = tokens * vocab, heads = 1 + m->extra_layers;
    tw_peak type = tw_peak_bytes(p->work.type) < 2 ? TW_PEAK_BF16 : p->work.type; /* the head stays wide */
    *first = 3 * tw_pass_time(d, TW_PASS_STREAM, 3 * tokens * m->hidden * 2 / spread);
    if (p->work.software->dropout == 1)
        *first += 2 * tw_pass_time(d, TW_PASS_STREAM, 5 * tokens * m->hidden / spread);
    *last = tw_gemm_time(d, type, tokens, vocab, m->hidden, 1) + tw_gemm_time(d, type, tokens, m->hidden, vocab, 1) +
            tw_gemm_time(d, type, vocab, m->hidden, tokens, 1);
    *last += 4 * tw_pass_time(d, TW_PASS_STREAM, 4 * logits); /* to 32 bits, maximum, exponentials, gradient */
    *last += 2 * tw_pass_time(d, TW_PASS_NORM, 3 * tokens * m->hidden * 2 / spread);
    *last *= heads;
    return 6 * tokens * vocab * m->hidden * heads;
}

/* One send of a micro-batch's activations to the next stage. */
static double send_time(const tw_planner *p, const tw_strategy *s)
{
    double tokens = s->micro_batch * p->work.sequence / s->context;
    double bytes = tokens * p->work.model->hidden * 2 / s->tensor, stride = (double)s->tensor * s->context * s->data;
    tw_group g = tw_group_of(p->machine, 2, stride);
    double time = tw_collective_time(p->machine, &g, TW_SEND, bytes, TW_ALGORITHM_AUTO);
    if (s->tensor > 1 && !s->sequence_parallel) { /* each rank sent its share; all of them need all of it */
        tw_group t = tw_group_of(p->machine, s->tensor, 1);
        time += tw_collective_time(p->machine, &t, TW_ALL_GATHER, bytes * s->tensor, TW_ALGORITHM_AUTO);
    }
    return time;
}

/* Fetching parameters device by device, matrix by matrix (four in a layer): one ring over the whole group, whose bytes
 * all come by the link of the outermost tier that it spans. */
static double flat_gather(const tw_planner *p, const tw_group *g, double bytes)
{
    const tw_machine_tier *tier = NULL;
    double rings = 4 * p->work.model->layers, around = 0, crossings = g->members;
    for (int t = 0; t < g->tiers; t++) {
        if (g->size[t] <= 1)
            continue;
        tier = &p->machine->tier[t];
        double outside = crossings / g->size[t],
               step = tier->link && !isnan(tier->link->step) ? tier->link->step : tier->hop_latency;
        around += (crossings - outside) * step;
        crossings = outside;
    }
    if (!tier)
        return 0;
    double achieved = tier->link && !isnan(tier->link->achieved) ? tier->link->achieved : 0.8;
    return rings * around + bytes * (g->members - 1) / g->members / (tier->rate / tier->oversubscription * achieved);
}

typedef struct data_time {
    double every, scatter;              /* of each micro-batch: parameters fetched, gradients scattered */
    double once_forward, once_backward; /* of a step, beside forward or backward */
} data_time;

static void count_bytes(const tw_group *g, tw_collective what, double size, double *bytes)
{
    if (bytes)
        tw_collective_bytes(g, what, size, bytes);
}

/* Experts have fewer replicas than the rest, and their own collectives. */
static void expert_replicas(const tw_planner *p, const tw_strategy *s, const tw_group *e, double experts, data_time *t,
                            double *bytes)
{
    double reduced = p->work.software->gradient_bytes * experts;
    double scatter =
        tw_collective_time(p->machine, e, s->zero ? TW_REDUCE_SCATTER : TW_ALL_REDUCE, reduced, TW_ALGORITHM_AUTO);
    double gather = s->zero ? tw_collective_time(p->machine, e, TW_ALL_GATHER, 2 * experts, TW_ALGORITHM_AUTO) : 0;
    if (s->zero >= 3)
        t->every += 2 * gather;
    else
        t->once_forward += gather;
    *(s->zero >= 2 ? &t->scatter : &t->once_backward) += scatter;
    count_bytes(e, s->zero ? TW_REDUCE_SCATTER : TW_ALL_REDUCE, reduced, bytes);
    if (s->zero)
        count_bytes(e, TW_ALL_GATHER, (s->zero >= 3 ? 2 : 1) * 2 * experts, bytes);
}

/* Gradients and parameters between replicas. `bytes`: what that puts on the links of each tier, NULL: not counted. */
static data_time replicas(const tw_planner *p, const tw_strategy *s, double dense, double experts, double *bytes)
{
    const tw_software *w = p->work.software;
    double d = (double)s->data * s->context, de = TW_MAX(1.0, floor(d * s->tensor / s->expert));
    tw_group g = tw_group_of(p->machine, d, s->tensor);
    tw_group e = tw_group_of(p->machine, de, (double)s->tensor * s->expert);
    data_time t = {0};
    double reduced = w->gradient_bytes * dense;
    if (s->zero >= 3) {
        double gather = w->flat_gather == 1
                            ? flat_gather(p, &g, 2 * dense)
                            : tw_collective_time(p->machine, &g, TW_ALL_GATHER, 2 * dense, TW_ALGORITHM_AUTO);
        double scatter = w->flat_gather == 1
                             ? flat_gather(p, &g, reduced)
                             : tw_collective_time(p->machine, &g, TW_REDUCE_SCATTER, reduced, TW_ALGORITHM_AUTO);
        t.every = 2 * gather;
        t.scatter = scatter;
        count_bytes(&g, TW_ALL_GATHER, 2 * 2 * dense, bytes);
        count_bytes(&g, TW_REDUCE_SCATTER, reduced, bytes);
    } else if (s->zero >= 1) {
        double scatter = tw_collective_time(p->machine, &g, TW_REDUCE_SCATTER, reduced, TW_ALGORITHM_AUTO);
        t.once_forward = tw_collective_time(p->machine, &g, TW_ALL_GATHER, 2 * dense, TW_ALGORITHM_AUTO);
        s->zero == 2 ? (t.scatter = scatter)
                     : (t.once_backward = scatter); /* ZeRO-2 keeps no whole gradient between micro-batches */
        count_bytes(&g, TW_ALL_GATHER, 2 * dense, bytes);
        count_bytes(&g, TW_REDUCE_SCATTER, reduced, bytes);
    } else {
        t.once_backward = tw_collective_time(p->machine, &g, TW_ALL_REDUCE, reduced, TW_ALGORITHM_AUTO);
        count_bytes(&g, TW_ALL_REDUCE, reduced, bytes);
    }
    if (experts > 0 && de > 1)
        expert_replicas(p, s, &e, experts, &t, bytes);
    return t;
}

static double update_time(const tw_planner *p, const tw_strategy *s, double dense, double experts, double *offload,
                          double *bytes)
{
    const tw_software *w = p->work.software;
    double d = (double)s->data * s->context, de = TW_MAX(1.0, d * s->tensor / s->expert);
    double owned = s->zero >= 1 ? dense / d + experts / de : dense + experts;
    if (s->offload == TW_OFFLOAD_OPTIMISER) {
        double link = !isnan(p->device.chip->host_bandwidth) ? p->device.chip->host_bandwidth * 0.85 : 20e9;
        double per_host = TW_MAX(1.0, isnan(p->machine->chips_per_host) ? 4 : p->machine->chips_per_host);
        double memory = p->machine->host && !isnan(p->machine->host->memory_bandwidth)
                            ? p->machine->host->memory_bandwidth * 0.8
                            : 150e9;
        *offload = owned * (w->main_gradient_bytes + 2) / link + owned * 28 / (memory / per_host);
        return 0;
    }
    *bytes = owned * w->optimiser_bytes;
    return owned * w->optimiser_bytes / p->device.stream;
}

/* Time of the pipeline with `stage` for most stages, more at its ends. */
static double pipeline_time(const tw_strategy *s, double m, double stage, const tw_step_parts *e, double *bubble)
{
    double p = s->pipeline, slowest = stage + (p == 1 ? e->first + e->last : TW_MAX(e->first, e->last));
    double all = p * stage + e->first + e->last, work = m * slowest, fill = all - slowest;
    if (s->chunks > 1)
        fill /= s->chunks;
    if (s->schedule == TW_SCHEDULE_ZERO_BUBBLE) /* too few micro-batches leave too few weights to fill with */
        fill = (fill + TW_MAX(0.0, p - m) * stage) / 3;
    *bubble = fill;
    return work + fill;
}

/* First and last stage add the gradients of the embedding that they share. */
static double tied_time(const tw_planner *p, const tw_strategy *s)
{
    const tw_model *m = p->work.model;
    if (!m->tied || s->pipeline == 1)
        return 0;
    tw_group pair = tw_group_of(p->machine, 2, (double)s->tensor * s->context * s->data);
    double bytes = p->work.software->gradient_bytes * m->vocab * m->hidden / s->tensor;
    return tw_collective_time(p->machine, &pair, TW_ALL_REDUCE, bytes, TW_ALGORITHM_AUTO);
}

static tw_beside to_beside(double seen, double hidden)
{
    return (tw_beside){seen, hidden};
}

tw_step_parts tw_step_divide(tw_planner *p, const tw_strategy *s)
{
    const tw_layer_cost *layer = tw_planner_layer(p, s);
    const tw_software *w = p->work.software;
    const tw_model *model = p->work.model;
    double layers = model->layers / s->pipeline;
    bool inside = !p->machine->tiers || s->tensor <= p->machine->tier[0].members;
    tw_step_parts x = {.micro_batches = tw_micro_batches(p, s), .layers = tw_stage_layers(model, s)};
    add_direction(&x.forward, w, inside, layer->forward, layer->host_forward, layer->tensor_forward,
                  layer->expert_forward, layer->context_forward);
    add_direction(&x.backward, w, inside, layer->backward + layer->again, layer->host_backward + layer->host_again,
                  layer->tensor_backward + layer->tensor_again, layer->expert_backward, layer->context_backward);
    ends(p, s, &x.first, &x.last);
    double stage = x.layers * (stage_sum(&x.forward) + stage_sum(&x.backward));
    double send = s->pipeline > 1 ? 2 * send_time(p, s) * s->chunks : 0;
    double experts, dense = tw_device_parameters(p, s, &experts);
    data_time data = replicas(p, s, dense, experts, NULL);
    x.sends = overlap(send, stage, w->pipeline_hidden);
    tw_beside fetched = overlap(data.every, stage, w->gather_hidden),
              scattered = overlap(data.scatter, stage - fetched.hidden, w->data_hidden);
    x.every = to_beside(fetched.seen + scattered.seen, fetched.hidden + scattered.hidden);
    x.gather = overlap(data.once_forward, layers * layer->forward, w->data_hidden);
    x.reduce = overlap(data.once_backward, layers * layer->backward, w->data_hidden);
    x.update = update_time(p, s, dense, experts, &x.offload, &x.update_bytes);
    x.tied = tied_time(p, s);
    x.overhead = w->step_overhead;
    x.slowed = w->interference * (x.sends.hidden + x.every.hidden);
    x.slowed_once = w->interference * (x.gather.hidden + x.reduce.hidden);
    return x;
}

tw_status tw_planner_train(tw_planner *p, const tw_strategy *s, tw_step *step)
{
    const tw_layer_cost *layer = tw_planner_layer(p, s);
    tw_step_parts x = tw_step_divide(p, s);
    double m = x.micro_batches, most = x.layers;
    double stage = most * (stage_sum(&x.forward) + stage_sum(&x.backward)) + x.sends.seen + x.every.seen + x.slowed;
    *step = (tw_step){.micro_batches = m};
    step->time = pipeline_time(s, m, stage, &x, &step->bubble) + x.gather.seen + x.reduce.seen + x.update + x.offload +
                 x.tied + x.overhead + x.slowed_once;
    step->data = x.gather.seen + x.reduce.seen + m * x.every.seen + x.tied;
    step->overlapped = m * (most * (x.forward.hidden + x.backward.hidden) + x.sends.hidden + x.every.hidden) +
                       x.gather.hidden + x.reduce.hidden;
    step->optimiser = x.update;
    step->offload = x.offload;
    step->other = x.overhead + m * x.slowed + x.slowed_once;
    step->compute = m * most * (x.forward.compute + x.backward.compute);
    step->embedding = m * (s->pipeline == 1 ? x.first + x.last : TW_MAX(x.first, x.last));
    step->tensor = m * most * (x.forward.tensor + x.backward.tensor);
    step->expert = m * most * (x.forward.expert + x.backward.expert);
    step->context = m * most * (x.forward.context + x.backward.context);
    step->pipeline = m * x.sends.seen;
    step->host = m * most * (x.forward.host + x.backward.host);
    step->gemm = m * most * layer->gemm;
    step->attention = m * most * layer->attention;
    step->pass = m * most * layer->pass;
    step->memory_bytes = m * most * layer->bytes + x.update_bytes;
    return TW_OK;
}

void tw_step_account(tw_planner *p, const tw_strategy *s, tw_step *step)
{
    const tw_layer_cost *layer = tw_planner_layer(p, s);
    const tw_model *model = p->work.model;
    double m = step->micro_batches, layers = model->layers / s->pipeline;
    double tokens = s->micro_batch * p->work.sequence / s->context, bytes = tokens * model->hidden * 2;
    double first, last;
    tw_parts parts = tw_model_parts(model);
    step->model_flops = 3 * p->work.batch * p->work.sequence * tw_model_forward_flops(model, p->work.sequence, true);
    step->hardware_flops = layer->flops * model->layers * m * s->data * s->context * s->tensor +
                           ends(p, s, &first, &last) * m * s->data * s->context * s->tensor;
    step->memory = tw_planner_memory(p, s);
    memset(step->link_bytes, 0, sizeof step->link_bytes);
    double experts, dense = tw_device_parameters(p, s, &experts);
    replicas(p, s, dense, experts, step->link_bytes);
    if (s->tensor > 1) {
        tw_group g = tw_group_of(p->machine, s->tensor, 1);
        double count = (parts.attention_layers + parts.mixer_layers + parts.dense_layers +
                        (model->shared_ffn > 0 ? parts.expert_layers : 0)) /
                       model->layers;
        double directions = s->recompute == TW_RECOMPUTE_FULL ? 3 : 2;
        tw_collective_bytes(&g, TW_ALL_REDUCE, bytes * count * directions * layers * m, step->link_bytes);
    }
    if (s->pipeline > 1) {
        tw_group g = tw_group_of(p->machine, 2, (double)s->tensor * s->context * s->data);
        tw_collective_bytes(&g, TW_SEND, 2 * bytes / s->tensor * s->chunks * m, step->link_bytes);
    }
    if (s->expert > 1) {
        tw_group g = tw_group_of(p->machine, s->expert, s->expert > s->data * s->context ? 1 : s->tensor);
        tw_collective_bytes(&g, TW_ALL_TO_ALL,
                            4 * tokens / s->tensor * model->experts_active * model->latent * 2 * parts.expert_layers /
                                s->pipeline * m,
                            step->link_bytes);
    }
}
