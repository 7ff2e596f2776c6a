/* Branch and bound over strategies.
 *
 * Order of choice: devices, tensor, pipeline, context (data follows), expert, micro-batch, recomputation and sequence
 * parallelism (now a layer's cost is known), chunks, schedule, ZeRO stage, offload. Two bounds cut:
 *     memory   weights, gradients, optimiser and activations under the most saving choices that are still open
 *     time     before the layer is known: products of the model at the device's full rate over all devices
 *              after it: micro-batches x layers x (forward + backward) of this layer, no communication
 * Both are below what any completion can reach, so the optimum is that of trying everything. */
#include "machine/search.h"

#include <math.h>

#include "machine/internal.h"
#include "machine/money.h"

const char *tw_objective_name(tw_objective o)
{
    static const char *const names[TW_OBJECTIVES] = {"time", "money", "energy"};
    return (unsigned)o < TW_OBJECTIVES ? names[o] : "unknown";
}

tw_search_space tw_search_everything(void)
{
    return (tw_search_space){.fixed = {.zero = -1, .recompute = -1, .schedule = -1, .offload = -1},
                             .sequence_parallel = -1,
                             .pue = 1,
                             .keep = 8};
}

typedef struct search {
    tw_planner *p;
    const tw_search_space *space;
    tw_search_result *result;
    double devices;     /* of the plans being tried */
    double least_layer; /* seconds: no layer of any plan takes less for the whole step, over all devices */
    tw_strategy s;
} search;

double tw_step_joules(const tw_planner *p, const tw_search_space *space, const tw_step *step, double devices)
{
    return space->pue * tw_step_energy(p, step, devices, space->overhead_power);
}

double tw_step_dollars(const tw_planner *p, const tw_search_space *space, const tw_step *step, double devices)
{
    return step->time * devices * space->rent + tw_step_joules(p, space, step, devices) * space->electricity;
}

void tw_search_prices(tw_search_space *space, const tw_library *l, const tw_machine *m)
{
    tw_machine_cost c = tw_machine_cost_of(l, m);
    const tw_economy *e = tw_library_economy(l);
    space->rent = isnan(c.rent) ? 0 : c.rent;
    space->overhead_power = isnan(m->overhead_power) ? 0 : m->overhead_power;
    space->pue = !isnan(m->pue) ? m->pue : e && !isnan(e->pue) ? e->pue : 1;
    space->electricity = e ? e->electricity : 0;
}

/* Energy needs the bytes on every link, which are counted for it alone. */
static double score(search *x, tw_step *step)
{
    if (x->space->objective == TW_OBJECTIVE_TIME)
        return step->time;
    tw_step_account(x->p, &x->s, step);
    return x->space->objective == TW_OBJECTIVE_MONEY ? tw_step_dollars(x->p, x->space, step, x->devices)
                                                     : tw_step_joules(x->p, x->space, step, x->devices);
}

/* A bound on time as a bound on the score: work costs something too, idling for that long is the floor. */
static double score_floor(const search *x, double time)
{
    const tw_search_space *space = x->space;
    double idle = space->pue * tw_idle_energy(x->p, time, x->devices, space->overhead_power);
    switch (space->objective) {
    case TW_OBJECTIVE_MONEY:
        return time * x->devices * space->rent + idle * space->electricity;
    case TW_OBJECTIVE_ENERGY:
        return idle;
    default:
        return time;
    }
}

static bool hopeless(search *x, double time)
{
    const tw_search_result *r = x->result;
    if (x->space->exhaustive || r->count < x->space->keep || score_floor(x, time) < r->best[r->count - 1].score)
        return false;
    x->result->pruned++;
    return true;
}

static void keep(search *x, const tw_step *step, double score)
{
    tw_search_result *r = x->result;
    int most = TW_MIN(x->space->keep, (int)TW_SEARCH_MOST), at = r->count;
    if (r->count == most && score >= r->best[r->count - 1].score)
        return;
    r->count += r->count < most;
    at = r->count - 1;
    while (at > 0 && r->best[at - 1].score > score) {
        r->best[at] = r->best[at - 1];
        at--;
    }
    r->best[at] = (tw_candidate){.strategy = x->s, .step = *step, .score = score, .devices = x->devices};
}

static bool fits(search *x)
{
    tw_memory_use use = tw_planner_memory(x->p, &x->s);
    double missing = use.total - use.capacity;
    if (missing <= 0 || x->space->ignore_memory)
        return true;
    tw_search_failures *f = &x->result->failures;
    if (!f->memory++ || missing < f->missing) {
        f->missing = missing;
        f->closest = (tw_candidate){.strategy = x->s, .devices = x->devices};
        f->closest.step.memory = use;
    }
    return false;
}

static bool affordable(search *x, tw_step *step)
{
    tw_search_failures *f = &x->result->failures;
    if (!(x->space->most_dollars > 0))
        return true;
    tw_step_account(x->p, &x->s, step);
    double dollars = tw_step_dollars(x->p, x->space, step, x->devices);
    if (dollars <= x->space->most_dollars)
        return true;
    f->cheapest = f->money++ ? TW_MIN(f->cheapest, dollars) : dollars;
    return false;
}

static void evaluate(search *x)
{
    tw_step step;
    if (tw_strategy_check(x->p, &x->s) != TW_OK || !fits(x))
        return;
    tw_planner_train(x->p, &x->s, &step);
    x->result->evaluated++;
    if (!affordable(x, &step))
        return;
    keep(x, &step, score(x, &step));
}

/* ---- the choices, innermost first ---- */

static bool allowed(int fixed, int value)
{
    return fixed < 0 || fixed == value;
}

static void choose_offload(search *x)
{
    for (int o = 0; o < TW_OFFLOADS; o++)
        if (allowed(x->space->fixed.offload, o)) {
            x->s.offload = o;
            evaluate(x);
        }
}

static void choose_zero(search *x)
{
    bool spread = x->s.data * x->s.context > 1;
    for (int z = 0; z <= 3; z++) {
        if (!allowed(x->space->fixed.zero, z) || (z && !spread && x->space->fixed.zero < 0) ||
            (z == 3 && x->s.pipeline > 1))
            continue;
        x->s.zero = z;
        choose_offload(x);
    }
}

static void choose_schedule(search *x)
{
    int chunks = x->s.chunks;
    for (int k = 0; k < TW_SCHEDULES; k++) {
        bool fitting = x->s.pipeline == 1 ? k == TW_SCHEDULE_1F1B
                       : chunks > 1       ? k == TW_SCHEDULE_INTERLEAVED
                                          : k != TW_SCHEDULE_INTERLEAVED;
        if (!fitting || !allowed(x->s.pipeline == 1 || chunks > 1 ? -1 : x->space->fixed.schedule, k))
            continue;
        x->s.schedule = k;
        choose_zero(x);
    }
}

static void choose_chunks(search *x)
{
    int fixed = x->space->fixed.chunks,
        most = x->s.pipeline > 1 ? (int)((x->p->work.model->layers + 2) / x->s.pipeline) : 1;
    double m = tw_micro_batches(x->p, &x->s);
    if (fixed) {
        x->s.chunks = x->s.pipeline > 1 ? fixed : 1;
        choose_schedule(x);
        return;
    }
    for (int v = 1; v <= TW_MAX(most, 1); v++) { /* interleaving needs micro-batches in multiples of the stages */
        double parts = (double)x->s.pipeline * v, layers = x->p->work.model->layers;
        bool even = fmod(layers, parts) == 0 || fmod(layers + 2, parts) == 0; /* embedding and head as a layer each */
        if (v > 1 && (!even || fmod(m, x->s.pipeline) != 0))
            continue;
        x->s.chunks = v;
        choose_schedule(x);
    }
}

static void choose_layer(search *x)
{
    const tw_model *model = x->p->work.model;
    for (int sp = 0; sp < 2; sp++) {
        if (!allowed(x->space->sequence_parallel, sp) || (x->space->sequence_parallel < 0 && sp && x->s.tensor == 1))
            continue;
        x->s.sequence_parallel = sp;
        for (int r = 0; r < TW_RECOMPUTES; r++) {
            if (!allowed(x->space->fixed.recompute, r))
                continue;
            x->s.recompute = r;
            const tw_layer_cost *layer = tw_planner_layer(x->p, &x->s);
            double once = layer->forward + layer->backward + layer->again;
            if (!hopeless(x, tw_micro_batches(x->p, &x->s) * model->layers / x->s.pipeline * once))
                choose_chunks(x);
        }
    }
}

/* The most saving choices still open, for a lower bound of memory. */
static bool cannot_fit(search *x)
{
    tw_strategy saving = x->s;
    if (x->space->exhaustive || x->space->ignore_memory)
        return false;
    saving.chunks = 1;
    saving.schedule = TW_SCHEDULE_1F1B;
    saving.sequence_parallel = true;
    saving.offload = x->space->fixed.offload < 0 ? TW_OFFLOAD_OPTIMISER : x->space->fixed.offload;
    saving.recompute = x->space->fixed.recompute < 0 ? TW_RECOMPUTE_FULL : x->space->fixed.recompute;
    saving.zero = x->space->fixed.zero >= 0 ? x->space->fixed.zero : x->s.pipeline > 1 ? 2 : 3;
    tw_memory_use use = tw_planner_memory(x->p, &saving);
    /* Full recomputation keeps one layer whole while its backward runs, which others don't: not part of the bound. */
    double open = 0;
    if (saving.recompute == TW_RECOMPUTE_FULL) {
        tw_strategy whole = saving;
        whole.recompute = TW_RECOMPUTE_NONE;
        open = tw_activation_bytes(x->p, &whole);
    }
    double missing = use.total - open - use.capacity;
    if (missing <= 0)
        return false;
    tw_search_failures *f = &x->result->failures;
    if (!f->memory++ || missing < f->missing) {
        f->missing = missing;
        f->closest = (tw_candidate){.strategy = saving, .devices = x->devices};
        f->closest.step.memory = use;
    }
    x->result->pruned++;
    return true;
}

static void choose_micro_batch(search *x)
{
    double replica = floor(x->p->work.batch / x->s.data);
    int fixed = x->space->fixed.micro_batch;
    for (int b = 1; b <= replica && b <= 4096; b++) {
        if (fixed ? b != fixed : fmod(replica, b) != 0)
            continue;
        x->s.micro_batch = b;
        if (cannot_fit(x)) { /* larger ones need more */
            if (!fixed)
                break;
            continue;
        }
        choose_layer(x);
    }
}

static void choose_expert(search *x)
{
    const tw_model *m = x->p->work.model;
    double most = (double)x->s.data * x->s.context * x->s.tensor;
    int fixed = x->space->fixed.expert;
    for (int e = 1; e <= TW_MAX(m->experts, 1) && e <= most; e++) {
        if (fixed ? e != fixed : (e > 1 && (fmod(m->experts, e) != 0 || fmod(most, e) != 0)))
            continue;
        x->s.expert = e;
        choose_micro_batch(x);
    }
}

static void choose_context(search *x)
{
    double left = x->devices / ((double)x->s.tensor * x->s.pipeline);
    int fixed = x->space->fixed.context;
    for (int c = 1; c <= left && c <= 64; c++) {
        if (fixed ? c != fixed : (fmod(left, c) != 0 || (c > 1 && x->p->work.sequence / c < 1024)))
            continue;
        if (fmod(left, c) != 0)
            continue;
        x->s.context = c;
        x->s.data = (int)(left / c);
        if (x->s.data > x->p->work.batch || !(x->space->fixed.data == 0 || x->space->fixed.data == x->s.data))
            continue;
        choose_expert(x);
    }
}

static void choose_pipeline(search *x)
{
    double left = x->devices / x->s.tensor;
    int fixed = x->space->fixed.pipeline;
    for (int p = 1; p <= left && p <= x->p->work.model->layers; p++)
        if ((fixed ? p == fixed : true) && fmod(left, p) == 0) {
            x->s.pipeline = p;
            choose_context(x);
        }
}

static void choose_tensor(search *x)
{
    int fixed = x->space->fixed.tensor;
    if (hopeless(x, x->least_layer / x->devices))
        return;
    for (int t = 1; t <= x->p->work.model->heads && t <= x->devices; t++)
        if ((fixed ? t == fixed : true) && fmod(x->p->work.model->heads, t) == 0 && fmod(x->devices, t) == 0) {
            x->s.tensor = t;
            choose_pipeline(x);
        }
}

/* Products and nothing else, at the device's full rate, over one device. */
static double least_time(const tw_planner *p)
{
    const tw_model *m = p->work.model;
    tw_parts parts = tw_model_parts(m);
    double matrix = parts.attention_layers * parts.attention + parts.mixer_layers * parts.mixer +
                    parts.dense_layers * parts.dense + parts.expert_layers * m->experts_active * parts.expert;
    return 6 * matrix * p->work.sequence * p->work.batch / p->device.matrix[p->work.type];
}

static tw_status explain_nothing(const search *x)
{
    const tw_search_failures *f = &x->result->failures;
    char plan[200];
    if (f->money)
        return tw_error(
            TW_ERR_VALUE,
            "no plan for %s costs %.4g USD a step or less; the cheapest that fits costs %.4g: raise the budget "
            "or train on fewer tokens",
            x->p->work.model->item.name, x->space->most_dollars, f->cheapest);
    if (!f->memory)
        return tw_error(TW_ERR_VALUE, "no plan divides %g devices, %g heads, %g layers and a batch of %g sequences",
                        x->devices, x->p->work.model->heads, x->p->work.model->layers, x->p->work.batch);
    const tw_memory_use *use = &f->closest.step.memory;
    tw_strategy_text(&f->closest.strategy, plan, sizeof plan);
    return tw_error(TW_ERR_VALUE,
                    "%s cannot fit on %g x %s: the nearest plan (%s) needs %.1f GiB of %.1f GiB a device, %.1f GiB too "
                    "many (weights %.1f, "
                    "gradients %.1f, optimiser %.1f, activations %.1f, other %.1f); use more devices, more memory or a "
                    "smaller batch",
                    x->p->work.model->item.name, x->devices, x->p->machine->chip->item.name, plan,
                    use->total / 1073741824, use->capacity / 1073741824, f->missing / 1073741824,
                    use->weights / 1073741824, use->gradients / 1073741824, use->optimiser / 1073741824,
                    use->activations / 1073741824, use->workspace / 1073741824);
}

tw_status tw_search(tw_planner *p, const tw_search_space *space, tw_search_result *result)
{
    search x = {
        .p = p, .space = space, .result = result, .devices = space->devices > 0 ? space->devices : p->machine->devices};
    memset(result, 0, sizeof *result);
    if (space->keep < 1)
        return tw_error(TW_ERR_VALUE, "search: keep is %d; expected 1 or more", space->keep);
    x.least_layer = least_time(p);
    for (double all = x.devices; x.devices >= 1; x.devices = floor(x.devices / 2)) {
        choose_tensor(&x);
        if (!space->fewer || fmod(x.devices, 2) != 0) {
            x.devices = all;
            break;
        }
    }
    if (!result->count)
        return explain_nothing(&x);
    for (int i = 0; i < result->count; i++)
        tw_step_account(p, &result->best[i].strategy, &result->best[i].step);
    return TW_OK;
}
